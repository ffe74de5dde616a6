/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/cuda/sample_pack.h"

#include <string.h>

#define FORBIDDEN_EACH 64u /* end and stop tokens: few models have more than five */

uint32_t sample_tokens_max(const struct reserve_args *args)
{
    const uint64_t most = (uint64_t)args->spans_max * (args->context_max + FORBIDDEN_EACH);
    return most < SAMPLE_TOKENS_MAX ? (uint32_t)most : SAMPLE_TOKENS_MAX;
}

static uint32_t add_tokens(struct sample_pack *pack, const uint32_t *tokens, uint32_t count)
{
    const uint32_t offset = pack->token_count;
    if (count > 0)
        memcpy(pack->tokens + offset, tokens, count * sizeof *tokens);
    pack->token_count += count;
    return offset;
}

/* False, with nothing taken, where there is no room. */
static bool pack_row(struct sample_pack *pack, const struct draw_row *row, struct sample_row *ret)
{
    const bool repetition = row->repetition_penalty != 1.0f;
    const bool history =
        repetition || row->presence_penalty != 0.0f || row->frequency_penalty != 0.0f;
    const uint32_t prompt_count = repetition ? row->prompt_count : 0;
    const uint32_t output_count = history ? row->output_count : 0;
    if ((uint64_t)prompt_count + output_count + row->forbidden_count >
            pack->token_max - pack->token_count ||
        row->bias_count > pack->bias_max - pack->bias_count)
        return false;
    *ret = (struct sample_row){
        .seed = row->seed,
        .temperature = row->temperature,
        .top_p = row->top_p,
        .min_p = row->min_p,
        .top_k = row->top_k,
        .repetition_penalty = row->repetition_penalty,
        .presence_penalty = row->presence_penalty,
        .frequency_penalty = row->frequency_penalty,
        .choice = row->choice,
        .history_offset = add_tokens(pack, row->prompt, prompt_count),
        .prompt_count = prompt_count,
        .output_count = row->output_count, /* the position of the draw too */
        .bias_offset = pack->bias_count,
        .bias_count = row->bias_count,
        .forbidden_count = row->forbidden_count,
        .logprobs = row->logprob,
    };
    (void)add_tokens(pack, row->output, output_count);
    ret->forbidden_offset = add_tokens(pack, row->forbidden, row->forbidden_count);
    if (row->bias_count > 0)
        memcpy(pack->biases + pack->bias_count, row->biases, row->bias_count * sizeof *row->biases);
    pack->bias_count += row->bias_count;
    return true;
}

void sample_pack_fill(struct sample_pack *pack, const struct draw_row *rows, uint32_t row_count)
{
    pack->token_count = pack->bias_count = pack->drawn_count = pack->needs = 0;
    for (uint32_t i = 0; i < row_count; i++) {
        pack->left[i] = rows[i].by_host || !pack_row(pack, &rows[i], &pack->rows[i]);
        if (pack->left[i]) {
            pack->rows[i] = (struct sample_row){.top_p = 1.0f, .repetition_penalty = 1.0f};
            continue;
        }
        pack->drawn_count++;
        pack->needs |= sample_needs(&pack->rows[i]);
    }
}
