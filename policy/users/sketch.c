/* SPDX-License-Identifier: Apache-2.0 */
/* sketch.c -- a set that turns into registers when it has grown enough.
 *
 *     hashes      open addressing, at most 7/8 full, 64 slots that double up to 2^p / 8:
 *                 the table never takes more memory than the registers that follow it
 *     registers   2^p bytes; the hashes are added to them and let go
 *
 * The turn comes exactly when the set holds more than exact_max(p) hashes, never sooner and never
 * later, also in a join: that is what makes the bytes canonical. */
#include "policy/users/sketch.h"

#include "policy/users/sketch_registers.h"

#include <assert.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#define P_LEAST       8u
#define SLOTS_MIN     64u
#define HEADER_BYTES  16u
#define FORM_HASHES   1u
#define FORM_REGISTER 2u

struct sketch {
    uint32_t p;
    uint8_t *registers; /* NULL while exact */
    uint64_t *slots;    /* NULL when empty or not exact; 0 is a free slot */
    uint32_t slot_count, hash_count;
    bool has_zero; /* the hash 0, which no slot can hold; counted in hash_count */
};

static uint32_t exact_max(uint32_t p)
{
    return (1u << p) / 64 * 7;
}

static_assert(SKETCH_EXACT_MAX == (1u << SKETCH_P) / 64 * 7, "the header's number");

struct sketch *sketch_new(uint32_t p)
{
    assert(p >= P_LEAST && p <= SKETCH_P_MAX);
    struct sketch *sketch = calloc(1, sizeof *sketch);
    if (sketch != NULL)
        sketch->p = p;
    return sketch;
}

void sketch_free(struct sketch *sketch)
{
    if (sketch == NULL)
        return;
    free(sketch->registers);
    free(sketch->slots);
    free(sketch);
}

uint32_t sketch_p(const struct sketch *sketch)
{
    return sketch->p;
}

bool sketch_is_exact(const struct sketch *sketch)
{
    return sketch->registers == NULL;
}

size_t sketch_memory(const struct sketch *sketch)
{
    return sizeof *sketch + (size_t)sketch->slot_count * sizeof sketch->slots[0] +
           (sketch->registers != NULL ? (size_t)1 << sketch->p : 0);
}

/* -- The set -- */

/* Where the hash is, or the free slot where it would go. Hashes are random already. */
static uint64_t *find(uint64_t *slots, uint32_t slot_count, uint64_t hash)
{
    uint32_t at = (uint32_t)hash & (slot_count - 1);
    while (slots[at] != 0 && slots[at] != hash)
        at = (at + 1) & (slot_count - 1);
    return &slots[at];
}

static bool has(const struct sketch *sketch, uint64_t hash)
{
    if (hash == 0)
        return sketch->has_zero;
    return sketch->slots != NULL && *find(sketch->slots, sketch->slot_count, hash) == hash;
}

/* Room for one more at 7/8. */
static int make_room(struct sketch *sketch, struct error *err)
{
    if ((uint64_t)(sketch->hash_count + 1) * 8 <= (uint64_t)sketch->slot_count * 7)
        return 0;
    uint32_t slot_count = sketch->slot_count == 0 ? SLOTS_MIN : 2 * sketch->slot_count;
    uint64_t *slots = calloc(slot_count, sizeof *slots);
    if (slots == NULL)
        return error_no_memory(err);
    for (uint32_t i = 0; i < sketch->slot_count; i++)
        if (sketch->slots[i] != 0)
            *find(slots, slot_count, sketch->slots[i]) = sketch->slots[i];
    free(sketch->slots);
    sketch->slots = slots;
    sketch->slot_count = slot_count;
    return 0;
}

static void add_all(uint8_t *registers, uint32_t p, const struct sketch *exact)
{
    for (uint32_t i = 0; i < exact->slot_count; i++)
        if (exact->slots[i] != 0)
            (void)registers_add(registers, p, exact->slots[i], NULL, NULL);
    if (exact->has_zero)
        (void)registers_add(registers, p, 0, NULL, NULL);
}

static void drop_hashes(struct sketch *sketch)
{
    free(sketch->slots);
    sketch->slots = NULL;
    sketch->slot_count = sketch->hash_count = 0;
    sketch->has_zero = false;
}

static int turn(struct sketch *sketch, struct error *err)
{
    uint8_t *registers = calloc(1, (size_t)1 << sketch->p);
    if (registers == NULL)
        return error_no_memory(err);
    add_all(registers, sketch->p, sketch);
    drop_hashes(sketch);
    sketch->registers = registers;
    return 0;
}

int sketch_add(struct sketch *sketch, uint64_t hash, bool *ret_changed, struct error *err)
{
    bool changed = false;
    int result = 0;
    if (sketch->registers == NULL && !has(sketch, hash)) {
        if (sketch->hash_count == exact_max(sketch->p))
            result = turn(sketch, err);
        else
            result = make_room(sketch, err);
        if (result != 0)
            return result;
        changed = true;
        if (sketch->registers == NULL) {
            if (hash == 0)
                sketch->has_zero = true;
            else
                *find(sketch->slots, sketch->slot_count, hash) = hash;
            sketch->hash_count++;
        }
    }
    if (sketch->registers != NULL)
        changed |= registers_add(sketch->registers, sketch->p, hash, NULL, NULL);
    if (ret_changed != NULL)
        *ret_changed = changed;
    return 0;
}

/* -- Unions -- */

int sketch_downsize(struct sketch *sketch, uint32_t to_p, struct error *err)
{
    assert(to_p >= P_LEAST && to_p <= sketch->p);
    if (sketch->registers != NULL) {
        uint8_t *registers = malloc((size_t)1 << to_p);
        if (registers == NULL)
            return error_no_memory(err);
        registers_downsize(sketch->registers, sketch->p, registers, to_p);
        free(sketch->registers);
        sketch->registers = registers;
        sketch->p = to_p;
        return 0;
    }
    uint32_t p = sketch->p;
    sketch->p = to_p;
    int result = sketch->hash_count > exact_max(to_p) ? turn(sketch, err) : 0;
    if (result != 0)
        sketch->p = p;
    return result;
}

static int join_hashes(struct sketch *into, const struct sketch *from, struct error *err)
{
    int result = from->has_zero ? sketch_add(into, 0, NULL, err) : 0;
    for (uint32_t i = 0; result == 0 && i < from->slot_count; i++)
        if (from->slots[i] != 0)
            result = sketch_add(into, from->slots[i], NULL, err);
    return result;
}

int sketch_join(struct sketch *into, const struct sketch *from, struct error *err)
{
    int result = 0;
    if (into == from)
        return 0;
    if (into->p > from->p)
        result = sketch_downsize(into, from->p, err);
    if (result == 0 && from->registers == NULL)
        return join_hashes(into, from, err);
    if (result == 0 && into->registers == NULL)
        result = turn(into, err);
    if (result != 0)
        return result;
    if (from->p == into->p) {
        registers_join(into->registers, from->registers, into->p);
        return 0;
    }
    uint8_t *smaller = malloc((size_t)1 << into->p);
    if (smaller == NULL)
        return error_no_memory(err);
    registers_downsize(from->registers, from->p, smaller, into->p);
    registers_join(into->registers, smaller, into->p);
    free(smaller);
    return 0;
}

/* -- Counts -- */

void sketch_count(const struct sketch *sketch, struct sketch_count *ret)
{
    struct registers_estimate estimate = {.value = sketch->hash_count};
    if (sketch->registers != NULL)
        registers_estimate(sketch->registers, sketch->p, &estimate);
    *ret =
        (struct sketch_count){.value = estimate.value, .standard_error = estimate.standard_error};
}

double sketch_change_chance(const struct sketch *sketch)
{
    return sketch->registers == NULL ? 1 : registers_change_chance(sketch->registers, sketch->p);
}

double sketch_lower(const struct sketch_count *count, double z)
{
    double lower = count->value - z * count->standard_error;
    return lower > 0 ? lower : 0;
}

double sketch_upper(const struct sketch_count *count, double z)
{
    return count->value + z * count->standard_error;
}

/* -- Bytes -- */

static int compare_hashes(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

static void write_hashes(const struct sketch *sketch, struct text *out)
{
    uint64_t *sorted = malloc(((size_t)sketch->hash_count + 1) * sizeof *sorted);
    uint32_t count = 0;
    if (sorted == NULL) {
        out->failed = true;
        return;
    }
    if (sketch->has_zero)
        sorted[count++] = 0;
    for (uint32_t i = 0; i < sketch->slot_count; i++)
        if (sketch->slots[i] != 0)
            sorted[count++] = sketch->slots[i];
    assert(count == sketch->hash_count);
    qsort(sorted, count, sizeof *sorted, compare_hashes);
    for (uint32_t i = 0; i < count; i++)
        sorted[i] = htole64(sorted[i]);
    text_append(out, sorted, count * sizeof *sorted);
    free(sorted);
}

void sketch_write(const struct sketch *sketch, struct text *out)
{
    bool exact = sketch->registers == NULL;
    uint8_t header[HEADER_BYTES] = {
        'W', 'S', 'K', '1', exact ? FORM_HASHES : FORM_REGISTER, (uint8_t)sketch->p};
    uint64_t count = htole64(sketch->hash_count);
    memcpy(header + 8, &count, sizeof count);
    text_append(out, header, sizeof header);
    if (exact)
        write_hashes(sketch, out);
    else
        text_append(out, sketch->registers, (size_t)1 << sketch->p);
}

static int read_hashes(struct sketch *sketch, const uint8_t *bytes, uint64_t count,
                       struct error *err)
{
    uint64_t before = 0;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t hash;
        memcpy(&hash, bytes + 8 * i, sizeof hash);
        hash = le64toh(hash);
        if (i > 0 && hash <= before)
            return error_set(err, ERROR_INVALID, "sketch: hash %llu is out of order",
                             (unsigned long long)i);
        int result = sketch_add(sketch, hash, NULL, err);
        if (result != 0)
            return result;
        before = hash;
    }
    return 0;
}

static int read_registers(struct sketch *sketch, const uint8_t *bytes, struct error *err)
{
    size_t count = (size_t)1 << sketch->p;
    if (!registers_possible(bytes, sketch->p))
        return error_set(err, ERROR_INVALID, "sketch: a register that no hash leaves");
    sketch->registers = malloc(count);
    if (sketch->registers == NULL)
        return error_no_memory(err);
    memcpy(sketch->registers, bytes, count);
    return 0;
}

int sketch_read(const void *bytes, size_t count, struct sketch **ret, struct error *err)
{
    const uint8_t *at = bytes;
    uint64_t hashes;
    if (count < HEADER_BYTES || memcmp(at, "WSK1", 4) != 0 || at[6] != 0 || at[7] != 0)
        return error_set(err, ERROR_INVALID, "sketch: not the bytes of one");
    memcpy(&hashes, at + 8, sizeof hashes);
    hashes = le64toh(hashes);
    uint32_t form = at[4], p = at[5];
    if (p < P_LEAST || p > SKETCH_P_MAX)
        return error_set(err, ERROR_INVALID, "sketch: p is %u", p);
    bool exact = form == FORM_HASHES && hashes <= exact_max(p);
    if (!exact && (form != FORM_REGISTER || hashes != 0))
        return error_set(err, ERROR_INVALID, "sketch: form %u of %llu hashes", form,
                         (unsigned long long)hashes);
    uint64_t body = exact ? 8 * hashes : (uint64_t)1 << p;
    if (count - HEADER_BYTES != body)
        return error_set(err, ERROR_INVALID, "sketch: %zu bytes, not %llu", count,
                         (unsigned long long)body + HEADER_BYTES);
    struct sketch *sketch = sketch_new(p);
    if (sketch == NULL)
        return error_no_memory(err);
    int result = exact ? read_hashes(sketch, at + HEADER_BYTES, hashes, err)
                       : read_registers(sketch, at + HEADER_BYTES, err);
    if (result != 0) {
        sketch_free(sketch);
        return result;
    }
    *ret = sketch;
    return 0;
}
