/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "tests/unit/recognition/doubles.h"

struct piece {
    struct piece *next;
    max_align_t bytes[];
};

struct arena {
    struct piece *pieces;
};

static int64_t fail_after = -1, allocations;

void arena_fail_after(int64_t after)
{
    fail_after = after;
    allocations = 0;
}

int64_t arena_allocations(void)
{
    return allocations;
}

static bool fails(void)
{
    return allocations++ == fail_after;
}

struct arena *arena_new(size_t bytes_max)
{
    (void)bytes_max;
    return fails() ? NULL : calloc(1, sizeof(struct arena));
}

void arena_free(struct arena *arena)
{
    if (arena == NULL)
        return;
    for (struct piece *piece = arena->pieces; piece != NULL;) {
        struct piece *next = piece->next;
        free(piece);
        piece = next;
    }
    free(arena);
}

void *arena_alloc(struct arena *arena, size_t bytes)
{
    struct piece *piece = fails() ? NULL : calloc(1, sizeof *piece + bytes);
    if (piece == NULL)
        return NULL;
    piece->next = arena->pieces;
    arena->pieces = piece;
    return piece->bytes;
}

char *arena_copy(struct arena *arena, const char *bytes, size_t count)
{
    char *copy = arena_alloc(arena, count + 1);
    if (copy != NULL && count > 0)
        memcpy(copy, bytes, count);
    return copy;
}
