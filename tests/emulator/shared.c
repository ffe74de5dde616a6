/* SPDX-License-Identifier: Apache-2.0 */
/* shared.c -- shared memory: poisoned, fenced in, and new to every block.
 *
 *     | zone | dynamic, 128-byte aligned | zone | array | zone | array | zone ...
 *
 * What a block has not written is NaN (ff in every byte), zones too, so that it shows when it is
 * used; zones are ASan's red besides. Arrays are placed at 16 bytes past a multiple of 32:
 * SHARED_ARRAY promises no more than 16. For TSan the whole map is made anew, because its memory of
 * the last block's accesses would be races with this one's. */
#include "shared.h"

#include "block.h"
#include "sanitizer.h"

#include <string.h>
#include <sys/mman.h>

#define MAP_BYTES  ((size_t)1 << 20)
#define ZONE_BYTES 128u
#define POISON     0xff

static void map_anew(struct shared_memory *shared)
{
    if (shared->map != NULL && !tsan_is_linked())
        return;
    int fixed = shared->map != NULL ? MAP_FIXED : 0;
    if (AnnotateIgnoreWritesBegin != NULL)
        AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
    void *map = mmap(shared->map, MAP_BYTES, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | fixed, -1, 0);
    if (AnnotateIgnoreWritesEnd != NULL)
        AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    if (map == MAP_FAILED)
        emulator_fail("no memory for a block's shared memory");
    shared->map = map;
}

unsigned char *shared_begin(struct shared_memory *shared, const struct launch *launch)
{
    bool same = shared->map != NULL && shared->function == launch->kernel.function &&
                shared->dynamic_bytes == launch->dynamic_bytes;
    map_anew(shared);
    if (!same) {
        shared->function = launch->kernel.function;
        shared->dynamic_bytes = launch->dynamic_bytes;
        shared->array_count = 0;
        shared->static_bytes = 0;
        shared->used_bytes = ZONE_BYTES + (launch->dynamic_bytes + 127) / 128 * 128 + ZONE_BYTES;
        asan_poison(shared->map, MAP_BYTES);
        asan_unpoison(shared->map + ZONE_BYTES, launch->dynamic_bytes);
    }
    raw_fill(shared->map, POISON, shared->used_bytes);
    return shared->map + ZONE_BYTES;
}

void *emulator_shared(const void *key, size_t bytes, struct emulator_site site)
{
    struct block *block = block_current();
    struct shared_memory *shared = &block->shared;
    for (unsigned i = 0; i < shared->array_count; i++) {
        if (shared->arrays[i].key == key)
            return shared->arrays[i].start;
    }
    shared->static_bytes += (bytes + 15) / 16 * 16;
    if (shared->static_bytes > SHARED_STATIC_BYTES_MAX)
        emulator_fail("%s:%d: %zu bytes of static shared memory, %u is what a block may have",
                      site.file, site.line, shared->static_bytes, SHARED_STATIC_BYTES_MAX);
    if (shared->array_count == SHARED_ARRAYS_MAX)
        emulator_fail("%s:%d: more shared arrays than the emulator counts", site.file, site.line);
    struct shared_array *array = &shared->arrays[shared->array_count++];
    array->key = key;
    array->bytes = bytes;
    size_t before = shared->used_bytes;
    array->start = shared->map + before + 16;
    shared->used_bytes += (bytes + 16 + 31) / 32 * 32 + ZONE_BYTES;
    asan_unpoison(array->start, bytes);
    raw_fill(shared->map + before, POISON, shared->used_bytes - before);
    return array->start;
}
