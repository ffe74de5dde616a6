/* SPDX-License-Identifier: Apache-2.0 */
/* guards.h -- how one who replaces something knows that nobody is in the old one any more.
 *
 * Who reads enters first and leaves after: two adds, no lock. Who replaces swaps the pointer, and
 * frees what it held once every guard was seen at rest after the swap. */
#ifndef WEIR_POLICY_USERS_GUARDS_H
#define WEIR_POLICY_USERS_GUARDS_H

#include <stdbool.h>
#include <stdint.h>

#define GUARDS_COUNT 16u

struct guards {
    struct {
        _Alignas(64) _Atomic uint32_t inside;
    } each[GUARDS_COUNT]; /* a cache line each, picked by thread */
};

/* All zero at first. Returns what guards_leave() needs. Any thread. */
uint32_t guards_enter(struct guards *guards);
void guards_leave(struct guards *guards, uint32_t guard);
/* rested: 0 when the pointer was swapped, then what the calls before left. True: all have been at
 * rest since. One thread at a time for one `rested`. */
bool guards_rested(struct guards *guards, uint32_t *rested);

#endif
