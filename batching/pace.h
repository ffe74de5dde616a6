/* SPDX-License-Identifier: Apache-2.0 */
/* pace.h -- how fast an engine gets on with its queue, and whether it gets on at all. Pure.
 *
 * One meter for two questions: max_wait asks how long a newcomer would wait for its first token,
 * and Retry-After when whoever was sent away should come again. */
#ifndef WEIR_BATCHING_PACE_H
#define WEIR_BATCHING_PACE_H

#include "batching/engine.h"

#include <stdbool.h>
#include <stdint.h>

#define PACE_RETRY_AFTER_MAX_S 60u
#define PACE_RANKS             64u

/* What steps have shown of late; all zero: nothing yet. The engine thread's. */
struct pace {
    double prompt_tokens, prompt_us; /* of steps that computed prompts */
    double ends, seat_us;            /* generations that ran to an end; what sequences ran */
};

struct pace_step {
    uint64_t begun_us, ended_us;
    uint32_t running;       /* sequences that ran meanwhile */
    uint32_t prompt_tokens; /* computed, and found in the cache */
    uint32_t ends;          /* of generations that had begun */
};
void pace_note(struct pace *pace, const struct pace_step *step);

/* 0 where nothing was measured: who knows nothing sends nobody away. */
struct pace_costs {
    uint32_t token_ns; /* of a prompt, while prompts are computed */
    uint64_t turn_us;  /* of seats: what a generation takes, all its choices together */
};
struct pace_costs pace_costs(const struct pace *pace);

struct pace_queue {
    uint32_t waiting, waiting_tokens; /* generations ahead that never ran, and their prompts */
    uint32_t running, seats;          /* sequences that run; that can run at once, 1 at least */
};
uint64_t pace_wait_us(const struct pace_queue *queue, const struct pace_costs *costs);
/* For who was told to wait so long: 1 to PACE_RETRY_AFTER_MAX_S seconds. */
uint32_t pace_retry_after_s(uint64_t wait_us);

/* Below PACE_RANKS. Who waits is counted by rank, and who has a higher one is not ahead. Classes 0,
 * 1 and -1 have ranks of their own; of others each power of two shares one: 2 and 3, 4 to 7. */
uint32_t pace_rank(int32_t priority);

/* How long an engine that has something to do has done nothing; 0 while it is idle. */
uint64_t pace_still_us(const struct engine_stats *stats, uint64_t now_us);
/* Longer than it may. */
bool pace_stalled(const struct engine_stats *stats, uint64_t now_us, uint32_t timeout_ms);

#endif
