/* SPDX-License-Identifier: Apache-2.0 */
/* load_retry.h -- when a model that did not load is tried again.
 *
 * After LOAD_RETRY_FIRST_MS, then after twice as long each time, until that is the longest that its
 * models[].retry_max allows. Pure: the clock is an argument. */
#ifndef WEIR_DAEMON_LOAD_RETRY_H
#define WEIR_DAEMON_LOAD_RETRY_H

#include <stdint.h>

#define LOAD_RETRY_FIRST_MS 5000u

struct load_retry {    /* all zero: due at once */
    uint32_t failures; /* in a row */
    uint64_t due_us;   /* not before, by the monotonic clock */
};

/* It failed: *retry says when it is due again. */
void load_retry_failed(struct load_retry *retry, uint32_t longest_ms, uint64_t now_us);
/* Somebody thinks that it may work now: it is due, and what follows is short again. */
void load_retry_hurry(struct load_retry *retry);
/* Until it is due; 0: it is. */
uint64_t load_retry_left_us(const struct load_retry *retry, uint64_t now_us);

#endif
