/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/fleet/fleet_delta.h"

#include "policy/users/sketch_registers.h"

#include <assert.h>
#include <endian.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define SKETCH_HEADER  16u /* of sketch_write() */
#define HEADER_BYTES   8u
#define FORM_HASHES    1u
#define FORM_REGISTERS 2u

static uint64_t hash_at(const uint8_t *bytes, size_t index)
{
    uint64_t hash;
    memcpy(&hash, bytes + 8 * index, sizeof hash);
    return le64toh(hash);
}

static uint32_t record_at(const uint8_t *bytes, size_t index)
{
    uint32_t record;
    memcpy(&record, bytes + 4 * index, sizeof record);
    return le32toh(record);
}

/* sketch_write()'s header and room for all registers, zero. */
static uint8_t *empty_registers(uint32_t p)
{
    static const char magic[4] = {'W', 'S', 'K', '1'};
    uint8_t *bytes = calloc(1, SKETCH_HEADER + ((size_t)1 << p));
    if (bytes == NULL)
        return NULL;
    memcpy(bytes, magic, sizeof magic);
    bytes[4] = FORM_REGISTERS;
    bytes[5] = (uint8_t)p;
    return bytes;
}

/* -- Writing -- */

/* The sketch's bytes; of registers, even if it is exact still, when as_registers. */
static int write_as(const struct sketch *sketch, bool as_registers, struct text *out,
                    struct error *err)
{
    uint32_t p = sketch_p(sketch);
    struct sketch *turned = NULL;
    if (as_registers && sketch_is_exact(sketch)) {
        uint8_t *empty = empty_registers(p);
        int result = empty == NULL
                         ? error_no_memory(err)
                         : sketch_read(empty, SKETCH_HEADER + ((size_t)1 << p), &turned, err);
        free(empty);
        if (result == 0)
            result = sketch_join(turned, sketch, err);
        if (result != 0) {
            sketch_free(turned);
            return result;
        }
        sketch = turned;
    }
    sketch_write(sketch, out);
    sketch_free(turned);
    return out->failed ? error_no_memory(err) : 0;
}

/* Appends records unless out is NULL; returns how many there are. */
static uint32_t diff_hashes(const struct text *now, const struct text *before, struct text *out)
{
    const uint8_t *new = (const uint8_t *)now->bytes + SKETCH_HEADER;
    const uint8_t *old = (const uint8_t *)before->bytes + SKETCH_HEADER;
    size_t new_count = (now->count - SKETCH_HEADER) / 8, old_at = 0;
    size_t old_count = (before->count - SKETCH_HEADER) / 8;
    uint32_t count = 0;
    for (size_t i = 0; i < new_count; i++) {
        uint64_t hash = hash_at(new, i);
        while (old_at < old_count && hash_at(old, old_at) < hash)
            old_at++;
        if (old_at < old_count && hash_at(old, old_at) == hash)
            continue;
        count++;
        if (out != NULL)
            text_append(out, new + 8 * i, 8);
    }
    return count;
}

static uint32_t diff_registers(const struct text *now, const struct text *before, struct text *out)
{
    const uint8_t *new = (const uint8_t *)now->bytes + SKETCH_HEADER;
    const uint8_t *old = (const uint8_t *)before->bytes + SKETCH_HEADER;
    uint32_t count = 0;
    for (size_t i = 0; i < now->count - SKETCH_HEADER; i++) {
        if (new[i] == old[i] || register_join(new[i], old[i]) == old[i])
            continue;
        count++;
        uint32_t record = htole32((uint32_t)i << 8 | new[i]);
        if (out != NULL)
            text_append(out, &record, sizeof record);
    }
    return count;
}

int fleet_delta_write(const struct sketch *now, const struct sketch *before, struct text *out,
                      uint32_t *ret_count, struct error *err)
{
    assert(sketch_p(now) == sketch_p(before) && sketch_p(now) <= FLEET_P_MAX);
    bool registers = !sketch_is_exact(now) || !sketch_is_exact(before);
    uint32_t (*diff)(const struct text *, const struct text *, struct text *) =
        registers ? diff_registers : diff_hashes;
    struct text new, old;
    text_init(&new);
    text_init(&old);
    int result = write_as(now, registers, &new, err);
    if (result == 0)
        result = write_as(before, registers, &old, err);
    if (result == 0) {
        uint32_t count = diff(&new, &old, NULL);
        if (count > 0 && count <= FLEET_DELTA_RECORDS_MAX) {
            uint8_t header[HEADER_BYTES] = {(uint8_t)(registers ? FORM_REGISTERS : FORM_HASHES),
                                            (uint8_t)sketch_p(now)};
            uint32_t little = htole32(count);
            memcpy(header + 4, &little, sizeof little);
            text_append(out, header, sizeof header);
            (void)diff(&new, &old, out);
        }
        if (out->failed)
            result = error_no_memory(err);
        else
            *ret_count = count;
    }
    text_destroy(&new);
    text_destroy(&old);
    return result;
}

/* -- Reading -- */

void fleet_gather_init(struct fleet_gather *gather, uint32_t p)
{
    *gather = (struct fleet_gather){.p = p};
}

void fleet_gather_destroy(struct fleet_gather *gather)
{
    sketch_free(gather->hashes);
    free(gather->registers);
    fleet_gather_init(gather, gather->p);
}

static bool records_rise(const uint8_t *records, uint32_t count, uint32_t form, uint32_t p)
{
    for (uint32_t i = 0; i < count; i++) {
        if (form == FORM_HASHES) {
            if (i > 0 && hash_at(records, i) <= hash_at(records, i - 1))
                return false;
            continue;
        }
        uint32_t record = record_at(records, i);
        if (record >> 8 >= 1u << p || (uint8_t)record == 0 ||
            !register_possible((uint8_t)record, p) ||
            (i > 0 && record >> 8 <= record_at(records, i - 1) >> 8))
            return false;
    }
    return true;
}

static int add_hashes(struct fleet_gather *gather, const uint8_t *records, uint32_t count,
                      struct error *err)
{
    int result = 0;
    if (gather->hashes == NULL)
        gather->hashes = sketch_new(gather->p);
    if (gather->hashes == NULL)
        return error_no_memory(err);
    for (uint32_t i = 0; i < count && result == 0; i++)
        result = sketch_add(gather->hashes, hash_at(records, i), NULL, err);
    return result;
}

static int add_registers(struct fleet_gather *gather, const uint8_t *records, uint32_t count,
                         struct error *err)
{
    if (gather->registers == NULL)
        gather->registers = empty_registers(gather->p);
    if (gather->registers == NULL)
        return error_no_memory(err);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t record = record_at(records, i);
        uint8_t *at = &gather->registers[SKETCH_HEADER + (record >> 8)];
        *at = register_join(*at, (uint8_t)record);
    }
    return 0;
}

int fleet_gather_add(struct fleet_gather *gather, const void *bytes, size_t count,
                     struct error *err)
{
    const uint8_t *at = bytes;
    if (count < HEADER_BYTES || at[2] != 0 || at[3] != 0 ||
        (at[0] != FORM_HASHES && at[0] != FORM_REGISTERS))
        return error_set(err, ERROR_INVALID, "delta: not the bytes of one");
    if (at[1] != gather->p)
        return error_set(err, ERROR_INVALID, "delta: p is %u, ours is %u", at[1], gather->p);
    uint32_t form = at[0], record_count = record_at(at, 1);
    size_t record_bytes = form == FORM_HASHES ? 8 : 4;
    if (record_count == 0 || record_count > FLEET_DELTA_RECORDS_MAX ||
        count - HEADER_BYTES != record_count * record_bytes)
        return error_set(err, ERROR_INVALID, "delta: %u records in %zu bytes", record_count, count);
    if (!records_rise(at + HEADER_BYTES, record_count, form, gather->p))
        return error_set(err, ERROR_INVALID, "delta: a record out of order, or of no hash");
    return form == FORM_HASHES ? add_hashes(gather, at + HEADER_BYTES, record_count, err)
                               : add_registers(gather, at + HEADER_BYTES, record_count, err);
}

int fleet_gather_sketch(const struct fleet_gather *gather, struct sketch **ret, struct error *err)
{
    struct sketch *all = NULL;
    int result = 0;
    if (gather->registers != NULL) {
        result =
            sketch_read(gather->registers, SKETCH_HEADER + ((size_t)1 << gather->p), &all, err);
    } else {
        all = sketch_new(gather->p);
        if (all == NULL)
            result = error_no_memory(err);
    }
    if (result == 0 && gather->hashes != NULL)
        result = sketch_join(all, gather->hashes, err);
    if (result != 0) {
        sketch_free(all);
        return result;
    }
    *ret = all;
    return 0;
}
