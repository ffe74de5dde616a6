/* SPDX-License-Identifier: Apache-2.0 */
/* arena.h -- memory that lives and dies together: a request's, a template's, a file's.
 *
 * Allocation bumps a pointer; nothing is freed alone. The arena has a limit, so that input cannot
 * make it grow without bound: past it, arena_alloc() answers NULL as if memory had run out. Not
 * shared between threads. */
#ifndef WEIR_BASE_ARENA_H
#define WEIR_BASE_ARENA_H

#include <stddef.h>

struct arena;

struct arena *arena_new(size_t bytes_max); /* NULL when there is no memory */
void arena_free(struct arena *arena);      /* NULL is fine; everything from it dies */
void arena_reset(struct arena *arena);     /* everything from it dies; one chunk is kept */

/* Zeroed, aligned for any type. NULL past the limit or out of memory. */
void *arena_alloc(struct arena *arena, size_t bytes);
/* A NUL-terminated copy. */
char *arena_copy(struct arena *arena, const char *bytes, size_t count);

#endif
