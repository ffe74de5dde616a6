/* SPDX-License-Identifier: Apache-2.0 */
#include "batching/step_arrays.h"

#include "batching/sequence.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct step_arrays {
    struct step_arrays_limits limits;
    uint32_t *tokens, *positions; /* [rows_max] */
    struct attention_span *spans; /* [sequences_max] */
    uint32_t *output_rows;        /* [outputs_max] */
    struct draw_row *draw_rows;   /* [outputs_max]; NULL: the device draws nothing */
    struct step_draw *draws;      /* [sequences_max] */
    uint32_t *sources;            /* [sequences_max] */
    bool ahead;                   /* of the plan that was filled in */
    uint32_t *ends;               /* [sequences_max, end_count + ENGINE_STOP_TOKENS_MAX] */
};

struct step_arrays *step_arrays_new(const struct step_arrays_limits *limits, struct error *err)
{
    const uint32_t stride = limits->end_count + ENGINE_STOP_TOKENS_MAX;
    struct step_arrays *arrays = calloc(1, sizeof *arrays);
    if (arrays == NULL)
        goto fail;
    arrays->limits = *limits;
    arrays->tokens = calloc(limits->rows_max, sizeof *arrays->tokens);
    arrays->positions = calloc(limits->rows_max, sizeof *arrays->positions);
    arrays->spans = calloc(limits->sequences_max, sizeof *arrays->spans);
    arrays->output_rows = calloc(limits->outputs_max, sizeof *arrays->output_rows);
    arrays->draws = calloc(limits->sequences_max, sizeof *arrays->draws);
    arrays->sources = calloc(limits->sequences_max, sizeof *arrays->sources);
    arrays->ends = calloc(limits->sequences_max, stride * sizeof *arrays->ends);
    if (limits->device_draws)
        arrays->draw_rows = calloc(limits->outputs_max, sizeof *arrays->draw_rows);
    if (arrays->tokens == NULL || arrays->positions == NULL || arrays->spans == NULL ||
        arrays->output_rows == NULL || arrays->draws == NULL || arrays->ends == NULL ||
        arrays->sources == NULL || (limits->device_draws && arrays->draw_rows == NULL))
        goto fail;
    for (uint32_t i = 0; i < limits->sequences_max && limits->end_count > 0; i++)
        memcpy(arrays->ends + (size_t)i * stride, limits->ends,
               limits->end_count * sizeof *limits->ends);
    return arrays;
fail:
    step_arrays_free(arrays);
    (void)error_no_memory(err);
    return NULL;
}

void step_arrays_free(struct step_arrays *arrays)
{
    if (arrays == NULL)
        return;
    free(arrays->tokens);
    free(arrays->positions);
    free(arrays->spans);
    free(arrays->output_rows);
    free(arrays->draw_rows);
    free(arrays->draws);
    free(arrays->sources);
    free(arrays->ends);
    free(arrays);
}

/* -- draws -- */

static void fill_draw(struct step_arrays *arrays, uint32_t entry, const struct sequence *sequence)
{
    const struct generation_request *request = &sequence->generation->request;
    const uint32_t end_count = arrays->limits.end_count;
    uint32_t *ends = arrays->ends + (size_t)entry * (end_count + ENGINE_STOP_TOKENS_MAX);
    struct step_draw *draw = &arrays->draws[entry];
    for (uint32_t i = 0; i < request->stop_token_count; i++)
        ends[end_count + i] = request->stop_tokens[i];
    const uint32_t skipped = request->ignore_eos ? end_count : 0;
    draw->ends = ends + skipped;
    draw->end_count = end_count - skipped + request->stop_token_count;
    draw->input = (struct sampler_input){
        .sampling = &request->sampling,
        .prompt = request->prompt,
        .prompt_count = request->prompt_count,
        .output = sequence->output,
        .output_count = sequence->output_count + arrays->ahead, /* one is under way */
        .choice = sequence->choice,
        .forbidden = draw->ends,
        .forbidden_count = sequence->output_count < request->min_tokens ? draw->end_count : 0,
    };
}

/* A list of the most likely tokens is the host's to make. */
static struct draw_row draw_row_of(const struct sampler_input *input)
{
    const struct sampling *sampling = input->sampling;
    return (struct draw_row){
        .by_host = sampling->logprobs && sampling->top_logprobs > 0,
        .logprob = sampling->logprobs,
        .seed = sampling->seed,
        .temperature = sampling->temperature,
        .top_p = sampling->top_p,
        .min_p = sampling->min_p,
        .top_k = sampling->top_k,
        .repetition_penalty = sampling->repetition_penalty,
        .presence_penalty = sampling->presence_penalty,
        .frequency_penalty = sampling->frequency_penalty,
        .choice = input->choice,
        .prompt = input->prompt,
        .output = input->output,
        .forbidden = input->forbidden,
        .biases = sampling->bias,
        .prompt_count = input->prompt_count,
        .output_count = input->output_count,
        .forbidden_count = input->forbidden_count,
        .bias_count = sampling->bias_count,
    };
}

/* -- the step -- */

/* The outputs of an entry, which tell of prompt tokens or draw; returns how many there are then. */
static uint32_t fill_outputs(struct step_arrays *arrays, const struct plan *plan, uint32_t index,
                             uint32_t row, uint32_t output)
{
    const struct planned *entry = &plan->entries[index];
    for (uint32_t j = 0; j < entry->echo_count; j++, output++) {
        arrays->output_rows[output] = row + entry->echo_first + j;
        if (arrays->draw_rows != NULL)
            arrays->draw_rows[output] = (struct draw_row){.by_host = true};
    }
    if (!entry->draws)
        return output;
    fill_draw(arrays, index, entry->sequence);
    arrays->output_rows[output] = row + entry->row_count - 1;
    if (arrays->draw_rows != NULL)
        arrays->draw_rows[output] = draw_row_of(&arrays->draws[index].input);
    return output + 1;
}

struct model_step step_arrays_fill(struct step_arrays *arrays, const struct plan *plan)
{
    uint32_t row = 0, output = 0;
    arrays->ahead = plan->ahead;
    assert(plan->row_count <= arrays->limits.rows_max);
    assert(plan->entry_count <= arrays->limits.sequences_max);
    assert(plan->output_count <= arrays->limits.outputs_max);
    for (uint32_t i = 0; i < plan->entry_count; i++) {
        const struct planned *entry = &plan->entries[i];
        arrays->spans[i] = (struct attention_span){
            .first_row = row,
            .row_count = entry->row_count,
            .position = entry->position,
            .block_offset = entry->sequence->seat * plan->table_stride,
        };
        arrays->sources[i] = entry->source;
        output = fill_outputs(arrays, plan, i, row, output);
        for (uint32_t j = 0; j < entry->row_count; j++, row++) {
            arrays->positions[row] = entry->position + j;
            arrays->tokens[row] =
                plan->ahead ? 0 : sequence_token(entry->sequence, entry->position + j);
        }
    }
    assert(row == plan->row_count);
    assert(output == plan->output_count);
    return (struct model_step){
        .row_count = row,
        .tokens = arrays->tokens,
        .positions = arrays->positions,
        .span_count = plan->entry_count,
        .spans = arrays->spans,
        .block_tables = plan->block_tables,
        .output_count = output,
        .output_rows = arrays->output_rows,
    };
}

const struct draw_row *step_arrays_rows(const struct step_arrays *arrays)
{
    return arrays->draw_rows;
}

const uint32_t *step_arrays_sources(const struct step_arrays *arrays)
{
    return arrays->ahead ? arrays->sources : NULL;
}

static bool may_lead(const struct sequence *sequence)
{
    const struct generation_request *request = &sequence->generation->request;
    const struct sampling *sampling = &request->sampling;
    return sampling->repetition_penalty == 1.0f && sampling->presence_penalty == 0.0f &&
           sampling->frequency_penalty == 0.0f && sampling->bias_count == 0 &&
           !(sampling->logprobs && sampling->top_logprobs > 0) && !request->prompt_logprobs &&
           sequence->output_count >= request->min_tokens;
}

bool step_arrays_may_lead(const struct plan *plan)
{
    for (uint32_t i = 0; i < plan->entry_count; i++)
        if (plan->entries[i].sequence != NULL && !may_lead(plan->entries[i].sequence))
            return false;
    return true;
}

const struct step_draw *step_arrays_draw(const struct step_arrays *arrays, uint32_t entry)
{
    assert(entry < arrays->limits.sequences_max);
    return &arrays->draws[entry];
}
