/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/device_memory.h"

#define CONTEXT_TOKENS_MIN 256u /* a context cut below this serves nobody */
#define ONE                1000000u

static uint64_t tokens_to_bytes(const struct model_shape *shape, uint64_t tokens)
{
    return (tokens + KV_BLOCK_TOKENS - 1) / KV_BLOCK_TOKENS * shape->kv_block_bytes;
}

static unsigned long long mib(uint64_t bytes)
{
    return (unsigned long long)((bytes + (1u << 20) - 1) >> 20);
}

/* Of what is free now, less the share of all that is to stay free. */
static uint64_t usable_of(const struct device_room *room, uint32_t utilization)
{
    const uint64_t spared = ((room->total_bytes >> 10) * (ONE - utilization) / ONE) << 10;
    return room->free_bytes > spared ? room->free_bytes - spared : 0;
}

static int tell_shortage(const struct device_request *request, uint64_t usable, uint32_t context,
                         struct error *err)
{
    const uint64_t sequence = tokens_to_bytes(request->shape, context);
    return error_set(
        err, ERROR_NO_MEMORY,
        "'%s' has %llu MiB, %llu free, of which engine.gpu_memory_utilization %.2f leaves %llu; "
        "needed are %llu for weights, %llu for steps, %llu for models that follow and %llu for "
        "keys and values of one sequence of %u tokens: lower engine.context or "
        "engine.max_step_tokens, raise engine.gpu_memory_utilization, or serve a smaller model",
        request->room.device, mib(request->room.total_bytes), mib(request->room.free_bytes),
        (double)request->utilization / ONE, mib(usable), mib(request->weight_bytes),
        mib(request->step_bytes), mib(request->later_bytes), mib(sequence), context);
}

int device_plan_memory(const struct device_request *request, struct device_plan *ret,
                       struct error *err)
{
    const struct model_shape *shape = request->shape;
    uint32_t context = request->context == 0 ? shape->context : request->context;
    if (context > shape->context)
        return error_set(err, ERROR_INVALID,
                         "engine.context: %u tokens asked, but the model was made for %u", context,
                         shape->context);
    const uint64_t usable = usable_of(&request->room, request->utilization);
    const uint64_t taken = request->weight_bytes + request->step_bytes + request->later_bytes;
    const uint64_t left = usable > taken ? usable - taken : 0;
    if (request->kv_memory_bytes > left)
        return error_set(err, ERROR_NO_MEMORY,
                         "engine.kv_memory: %llu MiB asked; '%s' has %llu MiB usable, of which "
                         "%llu are for weights, %llu for steps and %llu for models that follow",
                         mib(request->kv_memory_bytes), request->room.device, mib(usable),
                         mib(request->weight_bytes), mib(request->step_bytes),
                         mib(request->later_bytes));
    uint64_t bytes = left / (request->models_to_come == 0 ? 1 : request->models_to_come);
    const uint64_t most = tokens_to_bytes(shape, context) * request->max_sequences;
    if (request->kv_memory_bytes != 0)
        bytes = request->kv_memory_bytes;
    else if (bytes > most)
        bytes = most;
    const uint64_t tokens = bytes / shape->kv_block_bytes * KV_BLOCK_TOKENS;
    const bool cut = tokens < context;
    if (cut && (request->context != 0 || tokens < CONTEXT_TOKENS_MIN))
        return tell_shortage(request, usable, context, err);
    ret->usable_bytes = usable;
    ret->kv_bytes = bytes;
    ret->context = cut ? (uint32_t)tokens : context;
    ret->context_cut = cut;
    return 0;
}
