/* SPDX-License-Identifier: Apache-2.0 */
/* suspects.h -- API keys under a flag, for a while. Any thread, one cache line to ask, no lock.
 *
 *     slot   bits 16..63 of the key's hash | the last day of its flag, 16 bits; 0: free
 *
 * A key has the eight slots of one line, so that nothing is chained and a slot whose day is over
 * is simply another's. */
#ifndef WEIR_POLICY_USERS_SUSPECTS_H
#define WEIR_POLICY_USERS_SUSPECTS_H

#include <stdbool.h>
#include <stdint.h>

#define SUSPECTS_LINES 128u
#define SUSPECTS_SLOTS 8u

struct suspects { /* all zero at first */
    struct {
        _Alignas(64) _Atomic uint64_t slots[SUSPECTS_SLOTS];
    } lines[SUSPECTS_LINES];
    _Atomic uint32_t last_day; /* of all flags: past it there is none */
};

/* Until the end of that day, or the later one that it has. False: its line is full of others. */
bool suspects_raise(struct suspects *suspects, uint64_t key, uint32_t today, uint32_t last_day);
bool suspects_have(const struct suspects *suspects, uint64_t key, uint32_t today);

#endif
