/* SPDX-License-Identifier: Apache-2.0 */
/* pace.h -- how fast an engine gets on with its queue, and whether it gets on at all. Pure.
 *
 * Retry-After wants to know when those who wait now will have begun. Tokens a second do not say it:
 * a step of decodes alone has few rows and takes in nobody. So what is measured is generations that
 * left the queue, over the time in which somebody waited; a machine with time to spare is slow only
 * because few ask. Old measurements fade by half in about 20 seconds. */
#ifndef WEIR_BATCHING_PACE_H
#define WEIR_BATCHING_PACE_H

#include "batching/engine.h"

#include <stdbool.h>
#include <stdint.h>

#define PACE_RETRY_AFTER_MAX_S 60u

/* All zero is: nothing measured yet. The engine thread's. */
struct pace {
    double left, seconds; /* faded sums */
    uint64_t noted_us;
    bool somebody_waited; /* when it was last noted */
};

/* left: generations that left the queue since the last note; waiting: those that wait now. */
void pace_note(struct pace *pace, uint64_t left, uint32_t waiting, uint64_t now_us);
/* Generations that leave the queue in 1000 seconds; 0 until it was measured. */
uint32_t pace_a_ks(const struct pace *pace);
/* Until those who wait have begun: 1 to PACE_RETRY_AFTER_MAX_S seconds; 1 where nobody knows. */
uint32_t pace_retry_after_s(uint32_t waiting, uint32_t a_ks);

/* How long an engine that has something to do has done nothing; 0 while it is idle. */
uint64_t pace_still_us(const struct engine_stats *stats, uint64_t now_us);
/* Longer than it may. */
bool pace_stalled(const struct engine_stats *stats, uint64_t now_us, uint32_t timeout_ms);

#endif
