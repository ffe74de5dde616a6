/* SPDX-License-Identifier: Apache-2.0 */
#include "batching/sequence.h"

#include <assert.h>
#include <stdlib.h>

struct generation *generation_new(const struct generation_request *request)
{
    size_t bytes = sizeof(struct generation) + (size_t)request->choices * sizeof(struct sequence);
    struct generation *generation = calloc(1, bytes);
    if (generation == NULL)
        return NULL;
    generation->request = *request;
    generation->sequence_count = request->choices;
    generation->unfinished = request->choices;
    generation->queued = true;
    for (uint32_t i = 0; i < request->choices; i++) {
        struct sequence *sequence = &generation->sequences[i];
        sequence->generation = generation;
        sequence->choice = i;
        sequence->state = SEQUENCE_HELD;
        /* Not zeroed: pages of a long limit that is never reached are never touched. */
        sequence->output = malloc((size_t)request->max_tokens * sizeof *sequence->output);
        sequence->last_words =
            calloc(1, sizeof(struct generation_events) + sizeof(struct generation_event));
        if (sequence->output == NULL || sequence->last_words == NULL) {
            generation_free(generation, false);
            return NULL;
        }
    }
    return generation;
}

void generation_free(struct generation *generation, bool free_arrays)
{
    if (generation == NULL)
        return;
    for (uint32_t i = 0; i < generation->sequence_count; i++) {
        free(generation->sequences[i].output);
        free(generation->sequences[i].last_words);
    }
    if (free_arrays) {
        free(generation->request.prompt);
        free(generation->request.sampling.bias);
    }
    free(generation);
}

void sequence_set_state(struct sequence *sequence, enum sequence_state state)
{
    static const uint32_t allowed[] = {
        [SEQUENCE_HELD] = 1u << SEQUENCE_WAITING | 1u << SEQUENCE_FINISHED,
        [SEQUENCE_WAITING] = 1u << SEQUENCE_PREFILL | 1u << SEQUENCE_FINISHED,
        [SEQUENCE_PREFILL] =
            1u << SEQUENCE_DECODE | 1u << SEQUENCE_WAITING | 1u << SEQUENCE_FINISHED,
        [SEQUENCE_DECODE] = 1u << SEQUENCE_WAITING | 1u << SEQUENCE_FINISHED,
        [SEQUENCE_FINISHED] = 0,
    };
    assert(allowed[sequence->state] & 1u << state);
    sequence->state = state;
}

uint32_t sequence_token_count(const struct sequence *sequence)
{
    return sequence->generation->request.prompt_count + sequence->output_count;
}

uint32_t sequence_token(const struct sequence *sequence, uint32_t position)
{
    const struct generation_request *request = &sequence->generation->request;
    assert(position < request->prompt_count + sequence->output_count);
    if (position < request->prompt_count)
        return request->prompt[position];
    return sequence->output[position - request->prompt_count];
}

bool sequence_before(const struct sequence *a, const struct sequence *b)
{
    int32_t a_priority = a->generation->request.priority;
    int32_t b_priority = b->generation->request.priority;
    if (a_priority != b_priority)
        return a_priority < b_priority;
    if (a->generation->arrival != b->generation->arrival)
        return a->generation->arrival < b->generation->arrival;
    return a->choice < b->choice;
}
