/* SPDX-License-Identifier: Apache-2.0 */
#include "batching/engine_check.h"

#include "batching/scheduler.h"

#include <math.h>

uint32_t engine_pool_blocks(const struct engine_config *config, size_t block_bytes,
                            struct error *err)
{
    uint64_t needed = (config->context + KV_BLOCK_TOKENS - 1) / KV_BLOCK_TOKENS;
    uint64_t blocks = config->kv_blocks;
    if (blocks == 0)
        blocks = config->kv_memory_bytes / (block_bytes > 0 ? block_bytes : 1);
    if (blocks >= needed)
        return blocks < UINT32_MAX / 4 ? (uint32_t)blocks : UINT32_MAX / 4;
    (void)error_set(err, ERROR_INVALID,
                    "the KV cache has %llu blocks of %u tokens, but one sequence of context %u "
                    "needs %llu: set kv_memory_bytes to at least %llu, or context to at most %llu",
                    (unsigned long long)blocks, KV_BLOCK_TOKENS, config->context,
                    (unsigned long long)needed, (unsigned long long)(needed * block_bytes),
                    (unsigned long long)(blocks * KV_BLOCK_TOKENS));
    return 0;
}

int engine_check_config(const struct engine_config *config, const struct model_shape *shape,
                        struct error *err)
{
    if (config->context < 2 || config->context > shape->context)
        return error_set(err, ERROR_INVALID, "context: %u is not within 2..%u, the model's",
                         config->context, shape->context);
    if (config->max_sequences == 0 || config->max_step_tokens < config->max_sequences)
        return error_set(err, ERROR_INVALID,
                         "max_step_tokens: %u is less than max_sequences, %u: each running "
                         "sequence needs a row in every step (and one must run)",
                         config->max_step_tokens, config->max_sequences);
    if (config->max_queue == 0 || config->max_queue > UINT32_MAX / 8 ||
        config->max_sequences > UINT32_MAX / 8)
        return error_set(err, ERROR_INVALID, "max_queue: %u with max_sequences %u: out of range",
                         config->max_queue, config->max_sequences);
    uint64_t blocks = (config->context + KV_BLOCK_TOKENS - 1) / KV_BLOCK_TOKENS;
    if (blocks * config->max_sequences > UINT32_MAX)
        return error_set(err, ERROR_INVALID,
                         "max_sequences: %u tables of %llu blocks are more than can be numbered",
                         config->max_sequences, (unsigned long long)blocks);
    if (config->workers == 0 || config->wake == NULL)
        return error_set(err, ERROR_INVALID, "workers: %u, with a way to wake them, is too few",
                         config->workers);
    return 0;
}

uint32_t engine_outputs_max(const struct engine_config *config)
{
    const uint32_t outputs = config->max_sequences + SCHEDULER_ECHO_ROWS_MAX;
    return outputs < config->max_step_tokens ? outputs : config->max_step_tokens;
}

struct model_limits engine_limits(const struct engine_config *config, uint32_t blocks)
{
    return (struct model_limits){
        .blocks = blocks,
        .rows_max = config->max_step_tokens,
        .spans_max = config->max_sequences,
        .outputs_max = engine_outputs_max(config),
        .context_max = config->context,
    };
}

int engine_check_request(const struct engine_config *config,
                         const struct generation_request *request, uint32_t vocabulary,
                         struct error *err)
{
    uint32_t context = config->context;
    if (request->worker >= config->workers)
        return error_set(err, ERROR_INVALID, "worker %u is not below %u", request->worker,
                         config->workers);
    if (request->prompt_count == 0 || request->prompt_count >= context)
        return error_set(err, ERROR_INVALID, "the prompt has %u tokens, not 1..%u",
                         request->prompt_count, context - 1);
    if (request->max_tokens == 0 || request->max_tokens > context - request->prompt_count)
        return error_set(err, ERROR_INVALID,
                         "max_tokens: %u is not within 1..%u, what a prompt of %u tokens leaves of "
                         "the context of %u",
                         request->max_tokens, context - request->prompt_count,
                         request->prompt_count, context);
    if (request->choices == 0 || request->choices > ENGINE_CHOICES_MAX)
        return error_set(err, ERROR_INVALID, "n: %u is not within 1..%u", request->choices,
                         ENGINE_CHOICES_MAX);
    if (request->stop_token_count > ENGINE_STOP_TOKENS_MAX)
        return error_set(err, ERROR_INVALID, "stop_token_ids: %u, at most %u are taken",
                         request->stop_token_count, ENGINE_STOP_TOKENS_MAX);
    if (!(request->tenant_weight > 0.0f && isfinite(request->tenant_weight)))
        return error_set(err, ERROR_INVALID, "tenant weight: %g is not above 0",
                         (double)request->tenant_weight);
    for (uint32_t i = 0; i < request->prompt_count; i++)
        if (request->prompt[i] >= vocabulary)
            return error_set(err, ERROR_INVALID, "prompt token %u: id %u is not below %u", i,
                             request->prompt[i], vocabulary);
    return sampling_check(&request->sampling, vocabulary, err);
}
