/* SPDX-License-Identifier: Apache-2.0 */
/* generation_inner.h -- what generation.c (its life) and generation_write.c (its answer) share. */
#ifndef WEIR_DAEMON_API_GENERATION_INNER_H
#define WEIR_DAEMON_API_GENERATION_INNER_H

#include "daemon/api/answer.h"
#include "daemon/api/choice.h"
#include "daemon/api/generation.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An octet that no header may have takes three: of a longer text, what fits. */
#define GENERATION_ATTRIBUTION_BYTES 1024u

/* One prompt: a generation of the engine's. */
struct part {
    struct generation *generation;
    struct choice *choices; /* [choices_per_part], in generation->choices */
    uint64_t engine_id;
    uint32_t max_tokens;
    bool open; /* its last event has not come */
    uint32_t prompt_tokens, cached_tokens;
    struct detokenizer prompt_detokenizer; /* where prompt tokens' text starts (echo) */
    size_t prompt_characters;
};

struct generation {
    /* fixed at start */
    struct call call; /* call.exchange is NULL once answered or gone */
    struct served_model *model;
    const struct shape *shape;
    struct choice_rules rules; /* owns rules.stops */
    bool stream, include_usage, continuous_usage;
    bool prompt_only; /* echo and max_tokens 0: the engine's one token is not the answer's */
    char id[48];
    int64_t created_unix;
    enum identity_class identity;
    char attribution[GENERATION_ATTRIBUTION_BYTES]; /* as a header's value */
    uint32_t part_count, choices_per_part;
    struct part *parts;     /* [part_count] */
    struct choice *choices; /* [part_count * choices_per_part] */
    /* state */
    uint32_t open_parts;      /* submitted, last event not come */
    uint32_t running_choices; /* not finished, submitted or not */
    bool begun;               /* the head of a stream was given */
    bool answering;           /* a token of the answer came */
    uint64_t submitted_us;
    size_t kept_bytes;
    uint64_t ttft_us;
    struct tenant_lease lease;     /* what it reserved of its tenant's limits */
    uint64_t used_tokens;          /* of that, by the parts that ended */
    struct generation_times times; /* the earliest of its parts, but for the latest end */
    struct text out;               /* written in one piece after each wake-up */
    struct text head;              /* of each chunk: `data: {"id":...,"choices":[` */
    uint64_t sequence; /* the first byte waits for it (policy_durable); 0: for nothing */
    /* links */
    bool touched, held;
    struct generation *next_touched, *next_held;
    struct generation *previous_open, *next_open;
};

/* Writes what is ready; ends the answer when all is. generation->call.now_us is the time. */
void generation_flush(struct generation *generation);
/* Ends the answer with a fault, in whatever shape it may still take. */
void generation_answer_fault(struct generation *generation, const struct fault *fault);
/* Tells the engine to stop whatever is open. */
void generation_cancel(struct generation *generation);
struct answer_record generation_record_of(const struct generation *generation);

#endif
