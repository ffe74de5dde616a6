/* SPDX-License-Identifier: Apache-2.0 */
/* double_arena.c -- an arena whose every piece is an allocation of its own, so that a sanitizer
 * sees its ends, and which refuses the one it is told to. The gate has no other memory. */
#include "base/arena.h"
#include "tests/unit/gate/gate_fixture.h"

#include <stdalign.h>
#include <stdlib.h>

struct piece {
    struct piece *next;
    alignas(max_align_t) unsigned char bytes[];
};

struct arena {
    struct piece *pieces;
    size_t left;
};

static struct {
    unsigned long left;
    bool refused;
} heap;

void arena_refuse_after(unsigned long n)
{
    heap.left = n;
    heap.refused = false;
}

bool arena_refused(void)
{
    return heap.refused;
}

static bool refuses(void)
{
    if (heap.left == 0 || --heap.left > 0)
        return false;
    heap.refused = true;
    return true;
}

struct arena *arena_new(size_t bytes_max)
{
    struct arena *arena = refuses() ? NULL : calloc(1, sizeof *arena);
    if (arena != NULL)
        arena->left = bytes_max;
    return arena;
}

void arena_free(struct arena *arena)
{
    while (arena != NULL && arena->pieces != NULL) {
        struct piece *next = arena->pieces->next;
        free(arena->pieces);
        arena->pieces = next;
    }
    free(arena);
}

void *arena_alloc(struct arena *arena, size_t bytes)
{
    if (bytes > arena->left || refuses())
        return NULL;
    struct piece *piece = calloc(1, sizeof *piece + bytes);
    if (piece == NULL)
        return NULL;
    arena->left -= bytes;
    piece->next = arena->pieces;
    arena->pieces = piece;
    return piece->bytes;
}
