/* SPDX-License-Identifier: Apache-2.0 */
/* counter.c -- a set that is read without locks, and what it turns into, in a mapped file.
 *
 *     list        in the file: hashes as they came, a free slot is 0
 *     tables      in memory: the same hashes, found by open addressing, at most 7/8 full
 *                 [ - | 512 slots | 1024 slots | 2048 ... | 32768 slots ]
 *     registers   in the file: 2^18 bytes, once there are more than SKETCH_EXACT_MAX users
 *
 * slot_count says which table is the one, or 0 that it is the registers. Slots only go from 0 to a
 * hash, so a reader needs no lock: what it finds is there. What it does not find may have moved
 * meanwhile; then slot_count has changed, and it looks again. That happens seven times in a life.
 *
 * The tables lie in one reservation of address space. A table that has been left gives its pages
 * back by MADV_DONTNEED, and a reader that is still in it finds zeros there: "not found, look
 * again". So nothing waits for readers, and memory is the newest table alone.
 *
 * The turn, under the lock, with adders waiting and readers still in the table:
 *     1. the disk is asked for room   2. the listed hashes are added to the registers
 *     3. form = 'R', one byte         4. slot_count = 0
 * Killed before 3 the list is whole and what is in the registers says no more than it; killed after
 * it, the registers are. A power cut may mix old and new pages of all of these, so opening trusts
 * none alone: with 'R' the list is added once more, and with 'E' registers that say more than the
 * list mean that the turn had come. The list is dropped when the registers have been synced.
 *
 * Invariant (counter_sketch): the same bytes as a sketch to which the same hashes were added. */
#include "policy/users/counter.h"

#include "policy/users/counter_file.h"
#include "policy/users/sketch_registers.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define SLOTS_MIN      512u /* 4 KiB */
#define SLOTS_MAX      32768u
#define TABLES_BYTES   (2 * (size_t)SLOTS_MAX * sizeof(uint64_t))
#define REGISTER_COUNT (1u << SKETCH_P)

static_assert(SKETCH_EXACT_MAX * 8 <= SLOTS_MAX * 7, "all exact hashes have room");

struct counter {
    /* Fixed at opening. */
    struct counter_name name;
    _Atomic uint64_t *tables; /* the table of n slots begins at slot n; NULL if never exact */

    /* Shared: atomics are read without the lock; all but registers are changed under it. */
    pthread_mutex_t lock;
    _Atomic uint32_t slot_count; /* of the table in use; 0: the registers are */
    _Atomic bool sealed;         /* the file is, and must not be when it changes */
    _Atomic uint64_t changes;
    uint32_t user_count; /* under the lock, while exact */
    uint32_t cursor;     /* under the lock: no slot of the list before it is free */
    uint32_t reserved;   /* under the lock: slots of the list, from the first, with room on disk */

    struct counter_file file; /* its syncing fields: the policy thread */
};

/* -- Reading -- */

/* Where the hash is, or the free slot where it would go; there always is one. Acquire, so that a
 * reader that looks at slot_count again does so after. */
static _Atomic uint64_t *find(const struct counter *counter, uint32_t slot_count, uint64_t hash)
{
    _Atomic uint64_t *slots = counter->tables + slot_count;
    uint32_t at = (uint32_t)hash & (slot_count - 1); /* hashes are random already */
    for (;;) {
        uint64_t found = atomic_load_explicit(&slots[at], memory_order_acquire);
        if (found == hash || found == 0)
            return &slots[at];
        at = (at + 1) & (slot_count - 1);
    }
}

static bool table_has(const struct counter *counter, uint32_t slot_count, uint64_t hash)
{
    if (hash == 0) /* which no slot can hold */
        return atomic_load_explicit(&counter->file.header->has_zero, memory_order_acquire) != 0;
    return atomic_load_explicit(find(counter, slot_count, hash), memory_order_acquire) == hash;
}

bool counter_has(const struct counter *counter, uint64_t hash)
{
    uint32_t slot_count = atomic_load_explicit(&counter->slot_count, memory_order_acquire);
    while (slot_count != 0) {
        if (table_has(counter, slot_count, hash))
            return true;
        uint32_t now = atomic_load_explicit(&counter->slot_count, memory_order_acquire);
        if (now == slot_count)
            return false;
        slot_count = now;
    }
    return !registers_would_change(counter->file.registers, SKETCH_P, hash);
}

uint64_t counter_changes(const struct counter *counter)
{
    return atomic_load_explicit(&counter->changes, memory_order_relaxed);
}

static bool is_exact(const struct counter *counter)
{
    return atomic_load_explicit(&counter->slot_count, memory_order_acquire) != 0;
}

static int changed(struct counter *counter)
{
    atomic_fetch_add_explicit(&counter->changes, 1, memory_order_relaxed);
    return 1;
}

/* -- The table, under the lock -- */

static void release_table(struct counter *counter, uint32_t slot_count)
{
    /* Where pages are larger than the table this says no, and the table stays as it is. */
    (void)madvise(counter->tables + slot_count, slot_count * sizeof counter->tables[0],
                  MADV_DONTNEED);
}

static void grow(struct counter *counter)
{
    uint32_t old = atomic_load_explicit(&counter->slot_count, memory_order_relaxed);
    assert(old < SLOTS_MAX);
    for (uint32_t i = 0; i < old; i++) {
        uint64_t hash = atomic_load_explicit(&counter->tables[old + i], memory_order_relaxed);
        if (hash != 0)
            atomic_store_explicit(find(counter, 2 * old, hash), hash, memory_order_relaxed);
    }
    atomic_store_explicit(&counter->slot_count, 2 * old, memory_order_release);
    release_table(counter, old);
}

/* The hash is not 0 and not in the table. */
static void table_insert(struct counter *counter, uint64_t hash)
{
    uint32_t slot_count = atomic_load_explicit(&counter->slot_count, memory_order_relaxed);
    if ((counter->user_count + 1) * 8 > slot_count * 7) {
        grow(counter);
        slot_count *= 2;
    }
    atomic_store_explicit(find(counter, slot_count, hash), hash, memory_order_release);
}

/* -- Changing -- */

/* Under the lock: puts the hash, which is not there yet, into the list. */
static int list_append(struct counter *counter, uint64_t hash, struct error *err)
{
    uint64_t *list = counter->file.list;
    while (list[counter->cursor] != 0) {
        counter->cursor++;
        assert(counter->cursor < SKETCH_EXACT_MAX); /* no hash is in it twice */
    }
    if (counter->cursor >= counter->reserved) {
        uint32_t at = COUNTER_LIST_AT + counter->cursor * (uint32_t)sizeof list[0];
        int result = counter_file_reserve(&counter->file, at, sizeof list[0], err);
        if (result != 0)
            return result;
        counter->reserved = (counter->cursor / 512 + 1) * 512;
    }
    __atomic_store_n(&list[counter->cursor], hash, __ATOMIC_RELEASE);
    if (counter->cursor >= counter->file.header->count)
        counter->file.header->count = counter->cursor + 1;
    return 0;
}

/* Under the lock; the registers have room. */
static void add_list_to_registers(struct counter *counter, uint8_t *registers)
{
    for (uint32_t i = 0; i < counter->file.header->count; i++)
        if (counter->file.list[i] != 0)
            (void)registers_add(registers, SKETCH_P, counter->file.list[i], NULL, NULL);
    if (counter->file.header->has_zero != 0)
        (void)registers_add(registers, SKETCH_P, 0, NULL, NULL);
}

/* Under the lock. */
static int turn(struct counter *counter, struct error *err)
{
    uint32_t slot_count = atomic_load_explicit(&counter->slot_count, memory_order_relaxed);
    int result = counter_file_reserve(&counter->file, COUNTER_REGISTERS_AT, REGISTER_COUNT, err);
    if (result != 0)
        return result;
    add_list_to_registers(counter, counter->file.registers);
    atomic_store_explicit(&counter->file.header->form, COUNTER_REGISTERS, memory_order_release);
    atomic_store_explicit(&counter->slot_count, 0, memory_order_release);
    release_table(counter, slot_count);
    return 0;
}

static int add_to_registers(struct counter *counter, uint64_t hash, struct journal_record *record)
{
    uint32_t index;
    uint8_t value;
    if (!registers_add(counter->file.registers, SKETCH_P, hash, &index, &value))
        return 0;
    *record = (struct journal_record){.counter = counter->name.id,
                                      .value = (uint64_t)index << 8 | value,
                                      .kind = JOURNAL_REGISTER};
    return changed(counter);
}

/* Under the lock. The hash that makes the registers goes to the journal as a hash: to whom replays
 * or joins it, it is the one too many as well. */
static int add_locked(struct counter *counter, uint64_t hash, struct journal_record *record,
                      struct error *err)
{
    uint32_t slot_count = atomic_load_explicit(&counter->slot_count, memory_order_relaxed);
    int result = 0;
    if (slot_count == 0) /* since we looked */
        return add_to_registers(counter, hash, record);
    if (table_has(counter, slot_count, hash))
        return 0;
    bool turns = counter->user_count == SKETCH_EXACT_MAX;
    if (turns)
        result = turn(counter, err);
    else if (hash != 0)
        result = list_append(counter, hash, err);
    if (result != 0)
        return result;
    if (turns)
        (void)registers_add(counter->file.registers, SKETCH_P, hash, NULL, NULL);
    else if (hash == 0)
        atomic_store_explicit(&counter->file.header->has_zero, 1, memory_order_release);
    else
        table_insert(counter, hash);
    counter->user_count++;
    *record =
        (struct journal_record){.counter = counter->name.id, .value = hash, .kind = JOURNAL_HASH};
    return changed(counter);
}

/* Under the lock: the file may be changed after it. */
static int unseal(struct counter *counter, struct error *err)
{
    if (!atomic_load_explicit(&counter->sealed, memory_order_acquire))
        return 0;
    int result = counter_file_unseal(&counter->file, err);
    if (result == 0)
        atomic_store_explicit(&counter->sealed, false, memory_order_release);
    return result;
}

int counter_add(struct counter *counter, uint64_t hash, struct journal_record *ret_record,
                struct error *err)
{
    if (counter_has(counter, hash))
        return 0;
    if (!is_exact(counter) && !atomic_load_explicit(&counter->sealed, memory_order_acquire))
        return add_to_registers(counter, hash, ret_record);
    (void)pthread_mutex_lock(&counter->lock);
    int result = unseal(counter, err);
    if (result == 0)
        result = add_locked(counter, hash, ret_record, err);
    (void)pthread_mutex_unlock(&counter->lock);
    return result;
}

/* Any thread, once there are registers. */
static bool register_would_change(const struct counter *counter, uint32_t index, uint8_t value)
{
    uint8_t old = __atomic_load_n(&counter->file.registers[index], __ATOMIC_RELAXED);
    return register_join(old, value) != old;
}

static void join_register(struct counter *counter, uint32_t index, uint8_t value)
{
    uint8_t *at = &counter->file.registers[index];
    uint8_t old = __atomic_load_n(at, __ATOMIC_RELAXED), joined;
    do {
        joined = register_join(old, value);
        if (joined == old)
            return;
    } while (
        !__atomic_compare_exchange_n(at, &old, joined, true, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
}

/* 1 when a register changed. Registers can only come from somebody who has more users than are
 * counted exactly; so the union has too. */
static int join_registers(struct counter *counter, uint32_t first, const uint8_t *values,
                          uint32_t count, struct error *err)
{
    uint32_t i = 0;
    int result;
    if (!is_exact(counter)) /* what is joined often is nothing new: that breaks no seal */
        while (i < count && !register_would_change(counter, first + i, values[i]))
            i++;
    if (i == count)
        return 0;
    (void)pthread_mutex_lock(&counter->lock);
    result = unseal(counter, err);
    if (result == 0 && is_exact(counter))
        result = turn(counter, err);
    for (; result == 0 && i < count; i++)
        join_register(counter, first + i, values[i]);
    if (result == 0)
        result = changed(counter);
    (void)pthread_mutex_unlock(&counter->lock);
    return result;
}

int counter_apply(struct counter *counter, const struct journal_record *record, struct error *err)
{
    struct journal_record again;
    if (record->counter != counter->name.id)
        return error_set(err, ERROR_INVALID, "a record of another counter");
    if (record->kind == JOURNAL_HASH)
        return counter_add(counter, record->value, &again, err);
    uint64_t index = record->value >> 8;
    uint8_t value = (uint8_t)record->value;
    if (record->kind != JOURNAL_REGISTER || index >= REGISTER_COUNT || value == 0 ||
        !register_possible(value, SKETCH_P))
        return error_set(err, ERROR_INVALID, "a record that no counter writes");
    return join_registers(counter, (uint32_t)index, &value, 1, err);
}

/* -- Sketches: through their bytes, as sketch.h has them -- */

#define SKETCH_HEADER_BYTES  16u
#define SKETCH_FORM_REGISTER 2u

static int join_hashes(struct counter *counter, const struct text *bytes, struct error *err)
{
    struct journal_record record;
    int any = 0;
    for (size_t at = SKETCH_HEADER_BYTES; at < bytes->count; at += sizeof(uint64_t)) {
        uint64_t hash;
        memcpy(&hash, bytes->bytes + at, sizeof hash);
        int result = counter_add(counter, hash, &record, err);
        if (result < 0)
            return result;
        any |= result;
    }
    return any;
}

static int join_bytes(struct counter *counter, const struct text *bytes, struct error *err)
{
    const uint8_t *registers = (const uint8_t *)bytes->bytes + SKETCH_HEADER_BYTES;
    if (bytes->bytes[4] != SKETCH_FORM_REGISTER) /* hashes are whole, of any p */
        return join_hashes(counter, bytes, err);
    uint32_t p = (uint8_t)bytes->bytes[5];
    if (p < SKETCH_P)
        return error_set(err, ERROR_UNSUPPORTED, "a sketch of 2^%u registers, not 2^%u", p,
                         SKETCH_P);
    if (p == SKETCH_P)
        return join_registers(counter, 0, registers, REGISTER_COUNT, err);
    uint8_t *smaller = malloc(REGISTER_COUNT);
    if (smaller == NULL)
        return error_no_memory(err);
    registers_downsize(registers, p, smaller, SKETCH_P);
    int result = join_registers(counter, 0, smaller, REGISTER_COUNT, err);
    free(smaller);
    return result;
}

int counter_join(struct counter *counter, const struct sketch *sketch, struct error *err)
{
    struct text bytes;
    text_init(&bytes);
    sketch_write(sketch, &bytes);
    int result = bytes.failed ? error_no_memory(err) : join_bytes(counter, &bytes, err);
    text_destroy(&bytes);
    return result;
}

static int sketch_registers(const struct counter *counter, struct sketch **ret, struct error *err)
{
    const size_t count = SKETCH_HEADER_BYTES + REGISTER_COUNT;
    uint8_t *bytes = aligned_alloc(sizeof(uint64_t), count);
    if (bytes == NULL)
        return error_no_memory(err);
    const uint8_t header[SKETCH_HEADER_BYTES] = {'W',     'S', 'K', '1', SKETCH_FORM_REGISTER,
                                                 SKETCH_P};
    memcpy(bytes, header, sizeof header);
    /* Beside those who add: each byte is some state that it has had. */
    const uint64_t *from = (const uint64_t *)counter->file.registers;
    uint64_t *to = (uint64_t *)(bytes + SKETCH_HEADER_BYTES);
    for (uint32_t i = 0; i < REGISTER_COUNT / sizeof *to; i++)
        to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
    int result = sketch_read(bytes, count, ret, err);
    free(bytes);
    return result;
}

/* Copies the exact hashes; *ret_exact: whether it was still exact. */
static uint32_t copy_hashes(const struct counter *counter, uint64_t *hashes, bool *ret_exact)
{
    uint32_t count = 0;
    pthread_mutex_t *lock = (pthread_mutex_t *)&counter->lock; /* const is for what it holds */
    (void)pthread_mutex_lock(lock);
    *ret_exact = is_exact(counter);
    if (*ret_exact) {
        for (uint32_t i = 0; i < counter->file.header->count; i++)
            if (counter->file.list[i] != 0)
                hashes[count++] = counter->file.list[i];
        if (counter->file.header->has_zero != 0)
            hashes[count++] = 0;
    }
    (void)pthread_mutex_unlock(lock);
    return count;
}

static int sketch_hashes(const uint64_t *hashes, uint32_t count, struct sketch **ret,
                         struct error *err)
{
    struct sketch *sketch = sketch_new(SKETCH_P);
    int result = sketch == NULL ? error_no_memory(err) : 0;
    for (uint32_t i = 0; result == 0 && i < count; i++)
        result = sketch_add(sketch, hashes[i], NULL, err);
    if (result != 0) {
        sketch_free(sketch);
        return result;
    }
    *ret = sketch;
    return 0;
}

int counter_sketch(const struct counter *counter, struct sketch **ret, struct error *err)
{
    bool exact;
    uint64_t *hashes = malloc(SKETCH_EXACT_MAX * sizeof *hashes);
    if (hashes == NULL)
        return error_no_memory(err);
    uint32_t count = copy_hashes(counter, hashes, &exact);
    int result = exact ? sketch_hashes(hashes, count, ret, err) : 0;
    free(hashes);
    return exact ? result : sketch_registers(counter, ret, err);
}

/* -- Opening, syncing, closing -- */

/* Takes the list up: into the table while exact. What lies behind `count` was stored before a power
 * cut that lost the header's page; it counts, too. */
static int load_list(struct counter *counter, struct error *err)
{
    uint32_t begin, end, at = COUNTER_LIST_AT, used = 0;
    for (; counter_file_next_run(&counter->file, at, COUNTER_REGISTERS_AT, &begin, &end); at = end)
        for (uint32_t i = (begin - COUNTER_LIST_AT) / 8; i < (end - COUNTER_LIST_AT) / 8; i++) {
            uint64_t hash = counter->file.list[i];
            if (hash == 0)
                continue;
            used = i + 1;
            if (!is_exact(counter))
                continue;
            if (table_has(counter, atomic_load(&counter->slot_count), hash) ||
                counter->user_count == SKETCH_EXACT_MAX)
                return error_set(err, ERROR_INVALID, "slot %u of the list is damaged", i);
            table_insert(counter, hash);
            counter->user_count++;
        }
    if (used > counter->file.header->count)
        counter->file.header->count = used;
    return 0;
}

/* Registers of a file that says it is exact: left over from a turn that was killed, unless they
 * know of somebody who is not in the list. */
static int check_leftovers(struct counter *counter, struct error *err)
{
    uint32_t begin, end;
    if (!counter_file_next_run(&counter->file, COUNTER_REGISTERS_AT, COUNTER_FILE_BYTES, &begin,
                               &end))
        return 0;
    if (!registers_possible(counter->file.registers, SKETCH_P))
        return error_set(err, ERROR_INVALID, "a register that no hash leaves");
    uint8_t *of_list = calloc(1, REGISTER_COUNT);
    if (of_list == NULL)
        return error_no_memory(err);
    add_list_to_registers(counter, of_list);
    bool more = false;
    for (uint32_t i = 0; i < REGISTER_COUNT && !more; i++)
        more = register_join(of_list[i], counter->file.registers[i]) != of_list[i];
    free(of_list);
    if (more && counter->sealed) /* what was closed in order had taken its turn */
        return error_set(err, ERROR_INVALID, "registers of nobody in the list");
    return more ? turn(counter, err) : 0;
}

static int load_exact(struct counter *counter, struct error *err)
{
    void *tables = mmap(NULL, TABLES_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (tables == MAP_FAILED)
        return error_set_errno(err, errno, "making room for users");
    counter->tables = tables;
    atomic_store(&counter->slot_count, SLOTS_MIN);
    counter->user_count = counter->file.header->has_zero;
    int result = load_list(counter, err);
    return result == 0 ? check_leftovers(counter, err) : result;
}

static int load_registers(struct counter *counter, struct error *err)
{
    if (!registers_possible(counter->file.registers, SKETCH_P))
        return error_set(err, ERROR_INVALID, "a register that no hash leaves");
    int result = counter_file_reserve(&counter->file, COUNTER_REGISTERS_AT, REGISTER_COUNT, err);
    if (result == 0)
        result = load_list(counter, err);
    if (result == 0)
        add_list_to_registers(counter, counter->file.registers);
    return result;
}

static void counter_free(struct counter *counter)
{
    if (counter->tables != NULL)
        (void)munmap(counter->tables, TABLES_BYTES);
    counter_file_close(&counter->file);
    (void)pthread_mutex_destroy(&counter->lock);
    free(counter);
}

int counter_open(const char *path, const struct counter_name *name, struct counter **ret,
                 struct error *err)
{
    struct counter *counter = calloc(1, sizeof *counter);
    if (counter == NULL)
        return error_no_memory(err);
    int result = counter_file_open(path, name, &counter->file, err);
    if (result != 0) {
        free(counter);
        return result;
    }
    (void)pthread_mutex_init(&counter->lock, NULL); /* cannot fail with these attributes */
    counter->name = *name;
    atomic_store(&counter->sealed, counter->file.header->sealed == COUNTER_SEALED);
    result = counter->file.header->form == COUNTER_EXACT ? load_exact(counter, err)
                                                         : load_registers(counter, err);
    if (result != 0) {
        (void)error_wrap(err, "%s", path);
        counter_free(counter);
        return result;
    }
    *ret = counter;
    return 0;
}

int counter_sync(struct counter *counter, struct error *err)
{
    if (atomic_load(&counter->sealed)) /* nothing has changed since it was put on */
        return 0;
    bool had_registers = !is_exact(counter);
    int result = counter_file_sync(&counter->file, err);
    if (result != 0 || !had_registers)
        return result;
    (void)pthread_mutex_lock(&counter->lock);
    if (counter->file.header->count != 0 || counter->file.header->has_zero != 0)
        counter_file_drop_list(&counter->file);
    (void)pthread_mutex_unlock(&counter->lock);
    return 0;
}

void counter_close(struct counter *counter)
{
    if (counter == NULL)
        return;
    if (!atomic_load(&counter->sealed) && counter_sync(counter, NULL) == 0)
        counter_file_seal(&counter->file);
    counter_free(counter);
}
