/* SPDX-License-Identifier: Apache-2.0 */
/* traffic.c -- bytes that kernels move, by the calls that -fsanitize=thread leaves in their code.
 *
 * The compiler puts a call before each load and store; ThreadSanitizer would answer it, here it is
 * counted, where a kernel runs and the address is device memory. Each allocation has two maps for
 * the launch, a bit a sector, read and written. There is one worker, so nothing is shared. */
#include "tests/emulator/include/emulator_traffic.h"

#include "tests/emulator/counted.h"
#include "tests/emulator/memory.h"

#include <stdlib.h>
#include <string.h>

#define KERNELS_MAX 256u

/* Device memory as it was when the launch began. */
struct region {
    const char *start;
    size_t bytes;
    uint64_t *read, *written; /* a bit a sector */
};

static struct emulator_traffic entries[KERNELS_MAX];
static const void *functions[KERNELS_MAX];
static unsigned entry_count;
static struct emulator_traffic *counting; /* NULL: no kernel runs */
static struct region *regions;
static unsigned region_count;
static struct region *latest; /* where the last access was */

unsigned emulator_traffic_read(struct emulator_traffic *out, unsigned max)
{
    for (unsigned i = 0; i < entry_count && i < max; i++)
        out[i] = entries[i];
    return entry_count;
}

void emulator_traffic_reset(void)
{
    entry_count = 0;
}

static struct emulator_traffic *entry_of(const struct emulator_kernel *kernel)
{
    for (unsigned i = 0; i < entry_count; i++) {
        if (functions[i] == kernel->function)
            return &entries[i];
    }
    if (entry_count == KERNELS_MAX)
        emulator_fail("more kernels than are counted");
    functions[entry_count] = kernel->function;
    entries[entry_count] = (struct emulator_traffic){.kernel = kernel->name};
    return &entries[entry_count++];
}

/* -- A launch -- */

static size_t map_words(size_t bytes)
{
    return (bytes / EMULATOR_SECTOR_BYTES + 2 + 63) / 64;
}

static void on_region(const void *start, size_t bytes, void *user)
{
    (void)user;
    struct region *grown = realloc(regions, (region_count + 1) * sizeof *regions);
    if (grown == NULL)
        emulator_fail("no memory to count in");
    regions = grown;
    struct region *added = &regions[region_count++];
    added->start = start;
    added->bytes = bytes;
    added->read = calloc(2 * map_words(bytes), sizeof *added->read);
    if (added->read == NULL)
        emulator_fail("no memory to count in");
    added->written = added->read + map_words(bytes);
}

void counted_begin(const struct launch *launch)
{
    region_count = 0;
    memory_each_device(on_region, NULL);
    latest = regions;
    counting = entry_of(&launch->kernel);
    counting->launches++;
}

static uint64_t bits_set(const uint64_t *words, size_t count)
{
    uint64_t bits = 0;
    for (size_t i = 0; i < count; i++)
        bits += (uint64_t)__builtin_popcountll(words[i]);
    return bits;
}

void counted_end(void)
{
    for (unsigned i = 0; i < region_count; i++) {
        size_t words = map_words(regions[i].bytes);
        counting->read_sectors += bits_set(regions[i].read, words);
        counting->written_sectors += bits_set(regions[i].written, words);
        free(regions[i].read);
    }
    free(regions);
    regions = NULL;
    region_count = 0;
    counting = NULL;
}

/* -- An access -- */

static bool is_in(const struct region *region, const char *at)
{
    return at >= region->start && at < region->start + region->bytes;
}

static struct region *region_of(const char *at)
{
    if (region_count == 0 || is_in(latest, at))
        return region_count == 0 ? NULL : latest;
    for (unsigned i = 0; i < region_count; i++) {
        if (is_in(&regions[i], at)) {
            latest = &regions[i];
            return latest;
        }
    }
    return NULL;
}

static void mark(uint64_t *map, size_t first, size_t last)
{
    for (size_t sector = first; sector <= last; sector++)
        map[sector / 64] |= (uint64_t)1 << sector % 64;
}

static void count(const void *start, size_t bytes, bool is_write)
{
    if (counting == NULL || bytes == 0)
        return;
    const struct region *region = region_of(start);
    if (region == NULL)
        return;
    /* Allocations are aligned to sectors. */
    size_t offset = (size_t)((const char *)start - region->start);
    mark(is_write ? region->written : region->read, offset / EMULATOR_SECTOR_BYTES,
         (offset + bytes - 1) / EMULATOR_SECTOR_BYTES);
    *(is_write ? &counting->written_bytes : &counting->read_bytes) += bytes;
}

void counted_read(const void *start, size_t bytes)
{
    count(start, bytes, false);
}

/* -- What the compiler calls -- */

#define ACCESS(size)                                                                               \
    void __tsan_read##size(void *at);                                                              \
    void __tsan_write##size(void *at);                                                             \
    void __tsan_unaligned_read##size(void *at);                                                    \
    void __tsan_unaligned_write##size(void *at);                                                   \
    void __tsan_volatile_read##size(void *at);                                                     \
    void __tsan_volatile_write##size(void *at);                                                    \
    void __tsan_read##size(void *at)                                                               \
    {                                                                                              \
        count(at, size, false);                                                                    \
    }                                                                                              \
    void __tsan_write##size(void *at)                                                              \
    {                                                                                              \
        count(at, size, true);                                                                     \
    }                                                                                              \
    void __tsan_unaligned_read##size(void *at)                                                     \
    {                                                                                              \
        count(at, size, false);                                                                    \
    }                                                                                              \
    void __tsan_unaligned_write##size(void *at)                                                    \
    {                                                                                              \
        count(at, size, true);                                                                     \
    }                                                                                              \
    void __tsan_volatile_read##size(void *at)                                                      \
    {                                                                                              \
        count(at, size, false);                                                                    \
    }                                                                                              \
    void __tsan_volatile_write##size(void *at)                                                     \
    {                                                                                              \
        count(at, size, true);                                                                     \
    }
ACCESS(1)
ACCESS(2)
ACCESS(4)
ACCESS(8)
ACCESS(16)

/* The atomics that the device language is made of (include/emulator/atomic.hpp). */
#define ATOMIC(bits, type)                                                                         \
    type __tsan_atomic##bits##_load(const volatile type *at, int order);                           \
    int __tsan_atomic##bits##_compare_exchange_strong(volatile type *at, type *old, type wanted,   \
                                                      int order, int failure);                     \
    type __tsan_atomic##bits##_load(const volatile type *at, int order)                            \
    {                                                                                              \
        (void)order;                                                                               \
        count((const void *)at, sizeof(type), false);                                              \
        return __atomic_load_n(at, __ATOMIC_SEQ_CST);                                              \
    }                                                                                              \
    int __tsan_atomic##bits##_compare_exchange_strong(volatile type *at, type *old, type wanted,   \
                                                      int order, int failure)                      \
    {                                                                                              \
        (void)order;                                                                               \
        (void)failure;                                                                             \
        count((const void *)at, sizeof(type), true);                                               \
        return __atomic_compare_exchange_n(at, old, wanted, false, __ATOMIC_SEQ_CST,               \
                                           __ATOMIC_SEQ_CST);                                      \
    }
ATOMIC(16, uint16_t)
ATOMIC(32, uint32_t)
ATOMIC(64, uint64_t)

void __tsan_init(void);
void __tsan_func_entry(void *caller);
void __tsan_func_exit(void);
void __tsan_vptr_update(void **vptr, void *value);
void __tsan_vptr_read(void **vptr);

void __tsan_init(void)
{
}

void __tsan_func_entry(void *caller)
{
    (void)caller;
}

void __tsan_func_exit(void)
{
}

void __tsan_vptr_update(void **vptr, void *value)
{
    (void)vptr;
    (void)value;
}

void __tsan_vptr_read(void **vptr)
{
    (void)vptr;
}

void __tsan_read_range(void *start, unsigned long bytes)
{
    count(start, bytes, false);
}

void __tsan_write_range(void *start, unsigned long bytes)
{
    count(start, bytes, true);
}
