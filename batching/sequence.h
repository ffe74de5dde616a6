/* SPDX-License-Identifier: Apache-2.0 */
/* sequence.h -- a generation is a request being served; a sequence is one choice of it.
 *
 *                 +------ preempted ------+
 *                 v                       |
 *     HELD --> WAITING --> PREFILL --> DECODE --> FINISHED
 *                 ^           |
 *                 +-----------+ preempted          any state --> FINISHED
 *
 * Made by the worker that submits, the engine thread's from then on. Everything that a generation
 * will ever need but blocks is allocated here, so that serving it cannot run out of memory. */
#ifndef WEIR_BATCHING_SEQUENCE_H
#define WEIR_BATCHING_SEQUENCE_H

#include "batching/engine.h"
#include "batching/heap.h"

#include <stdbool.h>
#include <stdint.h>

enum sequence_state {
    SEQUENCE_HELD,     /* until another choice has the prompt in the cache */
    SEQUENCE_WAITING,  /* in its tenant's queue, new or preempted; names no blocks */
    SEQUENCE_PREFILL,  /* running; tokens before the newest are not in the cache yet */
    SEQUENCE_DECODE,   /* running; only the newest token is not in the cache */
    SEQUENCE_FINISHED, /* names no blocks; its last event is on the way */
};

struct generation;

struct sequence {
    struct generation *generation; /* borrowed: holds this sequence */
    uint32_t choice;
    enum sequence_state state; /* written by sequence_set_state() alone */

    uint32_t *output; /* [request.max_tokens] */
    uint32_t output_count;

    /* Of a running sequence. */
    uint32_t seat;            /* its row of the scheduler's block tables */
    uint32_t *blocks;         /* borrowed: that row */
    uint32_t block_count;     /* in the table */
    uint32_t sealed_count;    /* of them, those that are full and named */
    struct kv_hash chain;     /* the last sealed block's, or the salt */
    uint32_t computed_tokens; /* whose K and V are in the blocks */
    uint32_t planned_rows;    /* of the step being planned or run */
    uint32_t ahead_rows;      /* of the step behind that */

    uint32_t cached_tokens; /* found in the cache when first admitted */
    uint32_t preemptions;
    uint32_t blocks_wanted; /* admission failed for want of them */
    bool admitted;          /* at least once */

    /* Room for the event that ends this choice when no step does; NULL once used. */
    struct generation_events *last_words;
    struct heap_node queue_node; /* tenant's queue, while WAITING */
};

struct tenant; /* scheduler.c */

struct generation {
    uint64_t id;
    struct generation_request request; /* arrays owned */
    struct generation_times times;
    uint64_t arrival;        /* order of arrival at the engine */
    struct kv_hash salt;     /* parent of the first block */
    struct tenant *tenant;   /* borrowed: scheduler */
    uint32_t unfinished;     /* choices */
    uint32_t echoed_tokens;  /* prompt tokens whose event has been made (prompt_logprobs) */
    bool prompt_ready;       /* one choice has had all of the prompt computed */
    bool queued;             /* no choice was ever admitted */
    uint32_t sequence_count; /* request.choices */
    struct sequence sequences[];
};

/* Copies the request, and names its arrays without owning them yet. NULL without memory. */
struct generation *generation_new(const struct generation_request *request);
/* NULL is fine. Frees the request's arrays only if free_arrays: a refused submission keeps them. */
void generation_free(struct generation *generation, bool free_arrays);

/* The one place where a state changes; asserts that the change is one of the picture. */
void sequence_set_state(struct sequence *sequence, enum sequence_state state);

/* Prompt and output so far. */
uint32_t sequence_token_count(const struct sequence *sequence);
uint32_t sequence_token(const struct sequence *sequence, uint32_t position);
/* Seniority: lower priority value, then earlier arrival, then lower choice. A total order: queues
 * serve the senior first, and no block is taken from a senior for a junior. */
bool sequence_before(const struct sequence *a, const struct sequence *b);

static inline bool sequence_is_running(const struct sequence *sequence)
{
    return sequence->state == SEQUENCE_PREFILL || sequence->state == SEQUENCE_DECODE;
}

#endif
