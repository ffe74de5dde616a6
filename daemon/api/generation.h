/* SPDX-License-Identifier: Apache-2.0 */
/* generation.h -- a worker's side of a generation: from prompts to the last byte of the answer.
 * Worker's thread. */
#ifndef WEIR_DAEMON_API_GENERATION_H
#define WEIR_DAEMON_API_GENERATION_H

#include "daemon/api/call.h"
#include "daemon/api/fault.h"
#include "daemon/api/request.h"
#include "daemon/api/shape.h"
#include "daemon/server.h"
#include "models/tokenizer.h"

#include <stdint.h>

/* Text and log-probabilities kept for an answer that is not streamed. */
#define GENERATION_KEPT_BYTES_MAX (64u * 1024u * 1024u)

struct generation;

/* Whether the model's engine takes a generation now, and would come to it in time: 0, or -1 and 429
 * or 503 with Retry-After. request: NULL until it is read, as if it did not put itself behind. */
int generation_admission(const struct call *call, const struct served_model *model,
                         const struct request *request, struct fault *fault);

struct generation_plan {
    struct call *call; /* copied on success */
    struct served_model *model;
    const struct shape *shape;
    const struct request *request; /* borrowed during the call */
    struct token_list *prompts;    /* [prompt_count]; their ids are taken */
    const struct text *echoes;     /* [prompt_count] text before the answer, or NULL */
    uint32_t prompt_count;
    int64_t now_unix_us;
};

/* Counts the user, submits each prompt, and sees to the answer, be it a fault. */
void generation_start(const struct generation_plan *plan);

/* Takes what the engines left for this worker and writes what came of it. */
void generation_receive(struct api *api, uint64_t now_us);

/* Ends what has waited too long for its first token, or for its end. */
void generation_expire(struct api *api, uint64_t now_us);

/* The client went: nothing more is written, and the engine is told. */
void generation_gone(struct generation *generation, uint64_t now_us);

#endif
