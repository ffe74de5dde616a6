/* SPDX-License-Identifier: Apache-2.0 */
/* heap.h -- what jemalloc says of the memory that it gave. Any thread; reads of all arenas take
 * their locks one after the other, some milliseconds at most. */
#ifndef WEIR_DAEMON_PROFILE_HEAP_H
#define WEIR_DAEMON_PROFILE_HEAP_H

#include "base/error.h"
#include "base/text.h"

#include <stddef.h>

/* mallctl(3). */
typedef int (*heap_control)(const char *name, void *old, size_t *old_bytes, void *new,
                            size_t new_bytes);

/* This process's; NULL where another allocator is, as under a sanitizer. */
heap_control heap_own_control(void);

/* An object of JSON: totals, each arena that was used, and whether allocations are sampled.
 * ERROR_UNSUPPORTED without a jemalloc that keeps statistics. */
int heap_totals(heap_control control, struct text *out, struct error *err);
/* A profile as jeprof reads it: of what is allocated now, by who asked for it. ERROR_REFUSED where
 * jemalloc was not started for it, ERROR_UNSUPPORTED where it cannot be; err says what helps. */
int heap_dump(heap_control control, struct text *out, struct error *err);

#endif
