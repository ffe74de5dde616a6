/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_CHUNK_BYTES 4096

struct arena_chunk {
    struct arena_chunk *next;
    size_t capacity;
    size_t used;
    alignas(max_align_t) unsigned char bytes[];
};

struct arena {
    struct arena_chunk *chunks; /* the newest first; only it is bumped */
    size_t total_bytes;         /* of all chunks */
    size_t bytes_max;
};

struct arena *arena_new(size_t bytes_max)
{
    struct arena *arena = calloc(1, sizeof *arena);
    if (arena != NULL)
        arena->bytes_max = bytes_max;
    return arena;
}

static void free_chunks(struct arena_chunk *chunk)
{
    while (chunk != NULL) {
        struct arena_chunk *next = chunk->next;
        free(chunk);
        chunk = next;
    }
}

void arena_free(struct arena *arena)
{
    if (arena == NULL)
        return;
    free_chunks(arena->chunks);
    free(arena);
}

void arena_reset(struct arena *arena)
{
    struct arena_chunk *kept = arena->chunks;
    if (kept == NULL)
        return;
    free_chunks(kept->next);
    kept->next = NULL;
    kept->used = 0;
    arena->total_bytes = kept->capacity;
}

static struct arena_chunk *add_chunk(struct arena *arena, size_t bytes)
{
    size_t capacity = bytes > ARENA_CHUNK_BYTES ? bytes : ARENA_CHUNK_BYTES;
    if (arena->bytes_max - arena->total_bytes < capacity)
        capacity = bytes;
    if (arena->bytes_max - arena->total_bytes < capacity)
        return NULL;
    struct arena_chunk *chunk = malloc(sizeof *chunk + capacity);
    if (chunk == NULL)
        return NULL;
    chunk->next = arena->chunks;
    chunk->capacity = capacity;
    chunk->used = 0;
    arena->chunks = chunk;
    arena->total_bytes += capacity;
    return chunk;
}

void *arena_alloc(struct arena *arena, size_t bytes)
{
    const size_t align = alignof(max_align_t);
    if (bytes > SIZE_MAX - align)
        return NULL;
    size_t rounded = (bytes + align - 1) / align * align;
    struct arena_chunk *chunk = arena->chunks;
    if (chunk == NULL || chunk->capacity - chunk->used < rounded)
        chunk = add_chunk(arena, rounded);
    if (chunk == NULL)
        return NULL;
    void *memory = chunk->bytes + chunk->used;
    chunk->used += rounded;
    return memset(memory, 0, rounded);
}

char *arena_copy(struct arena *arena, const char *bytes, size_t count)
{
    char *copy = arena_alloc(arena, count + 1);
    if (copy != NULL && count > 0)
        memcpy(copy, bytes, count);
    return copy;
}
