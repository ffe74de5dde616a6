/* SPDX-License-Identifier: Apache-2.0 */
/* scheduler.h -- what runs in the next step, and whose turn it is.
 *
 * Pure: no input or output, no clock; planning changes only the scheduler's own structures and the
 * block pool. Engine thread only.
 *
 *     scheduler_add()      a generation arrives
 *     scheduler_plan()     a step; planning again without running it is allowed
 *     scheduler_plan_ahead() the step behind it, while it runs
 *     scheduler_computed() the step ran: for each planned entry
 *     scheduler_drawn()    and a token was drawn for it
 *     scheduler_finish()   a choice ends, in any state
 */
#ifndef WEIR_BATCHING_SCHEDULER_H
#define WEIR_BATCHING_SCHEDULER_H

#include "base/error.h"
#include "batching/kv_cache.h"
#include "batching/pace.h"
#include "batching/sequence.h"

#include <stdbool.h>
#include <stdint.h>

/* Rows of logits a step may compute for prompt_logprobs, above one a sequence. */
#define SCHEDULER_ECHO_ROWS_MAX 64u
/* Prompts in progress at once, unless all of them together fit into one step. */
#define SCHEDULER_PREFILLS_MAX 16u

struct scheduler;

struct scheduler_config {
    struct kv_cache *cache;   /* borrowed: engine */
    uint32_t context;         /* tokens a sequence may have; the pool holds at least that many */
    uint32_t max_step_tokens; /* >= max_sequences */
    uint32_t max_sequences;
    uint32_t generations_max; /* added and not finished */
    bool prefix_cache;
    bool share_prefixes;
    uint64_t secrets[2]; /* random; no outsider can then aim a hash */
};

struct scheduler *scheduler_new(const struct scheduler_config *config, struct error *err);
void scheduler_free(struct scheduler *scheduler); /* NULL is fine; generations are not freed */

/* Queues the generation's first choice; the others are held. The generation stays the caller's
 * and must live until its last choice is finished. */
void scheduler_add(struct scheduler *scheduler, struct generation *generation);

struct planned {
    struct sequence *sequence; /* NULL: it ended while the step was under way */
    uint32_t position;         /* of the first row */
    uint32_t row_count;
    uint32_t echo_count; /* rows whose logits tell about the next prompt token */
    uint32_t echo_first; /* the first of them, counted from 0 within the entry's rows */
    bool draws;          /* the last row's logits are for a new token */
    uint32_t source;     /* of a plan ahead: the entry of the plan before that draws its token */
};

struct plan {
    const struct planned *entries; /* decodes first; valid until the plan after the next */
    uint32_t entry_count;
    uint32_t row_count;
    uint32_t output_count; /* the sum of echo_count and draws */
    const uint32_t *block_tables;
    uint32_t table_stride; /* sequence's table begins at block_tables[seat * table_stride] */
    bool ahead;            /* by scheduler_plan_ahead() */
};

/* A plan with rows unless nothing runs or waits. now_us becomes scheduled_us of what is admitted
 * for the first time. */
struct plan scheduler_plan(struct scheduler *scheduler, uint64_t now_us);
/* The step behind one that is under way, whose draws are not known: each of its sequences goes on
 * by a token, but for those that max_tokens ends. Those that end otherwise leave both plans. False,
 * with nothing changed, where another plan would be: somebody could be admitted, has prompt left,
 * or would have to give up blocks. */
bool scheduler_plan_ahead(struct scheduler *scheduler, const struct plan *under_way,
                          struct plan *ret);
/* The entry's rows are in the cache: full blocks are sealed. */
void scheduler_computed(struct scheduler *scheduler, const struct planned *entry);
/* Appends the token and charges the tenant. The sequence decodes from now on. */
void scheduler_drawn(struct scheduler *scheduler, struct sequence *sequence, uint32_t token);
/* Gives back what the choice has. It must not be finished yet. */
void scheduler_finish(struct scheduler *scheduler, struct sequence *sequence);

struct scheduler_counts {
    uint32_t running, waiting, held;         /* sequences now */
    uint64_t preemptions;                    /* since the start, as all below */
    uint64_t dequeued;                       /* generations that left the queue */
    uint64_t dequeued_cached_tokens;         /* of their prompts, found in the cache then */
    uint64_t prefix_queries, prefix_hits;    /* tokens */
    uint64_t computed_tokens, cached_tokens; /* of prompts */
    bool short_of_blocks;                    /* the last plan left somebody waiting for them */
};
bool scheduler_has_work(const struct scheduler *scheduler); /* anything runs or waits */
struct scheduler_counts scheduler_counts(const struct scheduler *scheduler);
/* Generations of each rank that left the queue since the start, and their prompts, modulo 2^32. */
struct scheduler_left {
    uint32_t generations, tokens;
};
const struct scheduler_left *scheduler_left(const struct scheduler *scheduler); /* [PACE_RANKS] */
/* What a tenant was served so far, divided by its weight; 0 for one not known. */
double scheduler_served(const struct scheduler *scheduler, uint64_t tenant);
/* Proves the invariants; asserts. For tests. */
void scheduler_check(const struct scheduler *scheduler);

#endif
