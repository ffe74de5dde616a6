/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/device.h"

#include "daemon/device_memory.h"
#include "daemon/memory.h"

#include <string.h>
#include <sys/stat.h>

static bool has_own_memory(const struct backend *backend)
{
    return backend->ops->memory_room != NULL;
}

/* Weights of models that are yet to be loaded take about their files' size. */
static uint64_t later_bytes(const struct server *server, const struct served_model *served)
{
    uint64_t bytes = 0;
    struct stat status;
    for (uint32_t i = 0; i < server->model_count; i++) {
        const struct served_model *other = &server->models[i];
        if (other != served && server_model_state(other) == MODEL_ABSENT &&
            stat(other->config->path, &status) == 0)
            bytes += (uint64_t)status.st_size;
    }
    return bytes;
}

static int fill_request(struct server *server, const struct served_model *served,
                        const struct model_needs *needs, struct device_request *ret,
                        struct error *err)
{
    const struct config *config = server->config;
    struct backend *backend = served->backend;
    const uint32_t context = config->context == 0 || config->context > needs->shape.context
                                 ? needs->shape.context
                                 : config->context;
    const struct engine_config engine = {.max_step_tokens = config->max_step_tokens,
                                         .max_sequences = config->max_sequences,
                                         .context = context};
    const struct model_limits limits = engine_limits(&engine, 1);
    *ret = (struct device_request){
        .utilization = config->gpu_memory_utilization,
        .shape = &needs->shape,
        .weight_bytes = needs->weight_bytes,
        .later_bytes = later_bytes(server, served),
        .models_to_come = server_count_models(server, MODEL_ABSENT),
        .kv_memory_bytes = config->kv_memory_bytes,
        .context = config->context,
        .max_sequences = config->max_sequences,
    };
    if (!backend->ops->memory_room(backend, &ret->room))
        return error_set(err, ERROR_IO, "the GPU does not say how much memory it has");
    return model_step_bytes(needs, &limits, backend, &ret->step_bytes, err);
}

static void log_memory(struct server *server, const struct served_model *served,
                       const struct device_request *request, const struct device_plan *plan)
{
    const uint64_t blocks = plan->kv_bytes / request->shape->kv_block_bytes;
    log_event(server->log, LOG_LEVEL_INFO, "device_memory", LOG_STRING("model", served->id),
              LOG_STRING("device", request->room.device),
              LOG_U64("total_bytes", request->room.total_bytes),
              LOG_U64("free_bytes", request->room.free_bytes),
              LOG_U64("usable_bytes", plan->usable_bytes),
              LOG_U64("weight_bytes", request->weight_bytes),
              LOG_U64("step_bytes", request->step_bytes),
              LOG_U64("later_model_bytes", request->later_bytes),
              LOG_U64("kv_bytes", plan->kv_bytes), LOG_U64("kv_tokens", blocks * KV_BLOCK_TOKENS));
}

/* Whether the model will fit, before any of it is loaded. */
static int weigh(struct server *server, const struct served_model *served, struct error *err)
{
    struct model_needs needs;
    struct device_request request;
    struct device_plan plan;
    int code;
    if ((code = model_read_needs(served->config->path, served->backend, &needs, err)) != 0 ||
        (code = fill_request(server, served, &needs, &request, err)) != 0 ||
        (code = device_plan_memory(&request, &plan, err)) != 0)
        return code;
    log_memory(server, served, &request, &plan);
    return 0;
}

static int open_named(struct server *server, struct served_model *served, const char *device,
                      struct error *no_gpu, struct error *err)
{
    const struct backend_config config = {.device = device,
                                          .threads = server->config->threads,
                                          .no_gpu = no_gpu,
                                          .kv_format = server->config->kv_format};
    served->backend = backend_open(&config, err);
    if (served->backend == NULL)
        return err->code;
    if (served->backend->ops->repeat_steps != NULL)
        served->backend->ops->repeat_steps(served->backend, server->config->gpu_graphs);
    return 0;
}

int device_open(struct server *server, struct served_model *served, struct error *err)
{
    const char *device = server->config->device;
    struct error no_gpu = {0};
    int code = open_named(server, served, device, &no_gpu, err);
    if (code == 0 && has_own_memory(served->backend)) {
        code = weigh(server, served, &no_gpu);
        if (code != 0) {
            backend_close(served->backend);
            served->backend = NULL;
            if (strcmp(device, "auto") == 0)
                code = open_named(server, served, "cpu", NULL, err);
            else
                (void)error_set(err, no_gpu.code, "%s", no_gpu.text);
        }
    }
    if (code != 0)
        return error_wrap(err, "engine.device '%s'", device);
    if (no_gpu.code != 0)
        log_event(server->log, LOG_LEVEL_INFO, "no_gpu", LOG_STRING("model", served->id),
                  LOG_STRING("device", served->backend->ops->name),
                  LOG_STRING("reason", no_gpu.text));
    return 0;
}

static int plan_on_device(struct server *server, const struct served_model *served,
                          struct device_plan *ret, struct error *err)
{
    struct model_needs needs;
    struct device_request request;
    int code = model_read_needs(served->config->path, served->backend, &needs, err);
    if (code == 0)
        code = fill_request(server, served, &needs, &request, err);
    if (code != 0)
        return code;
    request.weight_bytes = 0; /* what is free now is free without them */
    return device_plan_memory(&request, ret, err);
}

static int plan_on_host(struct server *server, const struct served_model *served,
                        struct device_plan *ret, struct error *err)
{
    const struct config *config = server->config;
    uint64_t available = memory_available(), file = gguf_file_bytes(model_file(served->model));
    /* A mapped file counts as available, though every step will need it in memory. */
    const struct kv_request request = {
        .shape = model_shape(served->model),
        .context = config->context,
        .max_sequences = config->max_sequences,
        .kv_memory_bytes = config->kv_memory_bytes,
        .available_bytes = available > file ? available - file : available,
        .models_to_come = server_count_models(server, MODEL_ABSENT),
    };
    struct kv_plan plan;
    int code = kv_plan(&request, &plan, err);
    if (code == 0)
        *ret = (struct device_plan){
            .kv_bytes = plan.bytes, .context = plan.context, .context_cut = plan.context_cut};
    return code;
}

int device_plan_kv(struct server *server, const struct served_model *served,
                   struct engine_config *engine, struct error *err)
{
    struct device_plan plan;
    int code = has_own_memory(served->backend) ? plan_on_device(server, served, &plan, err)
                                               : plan_on_host(server, served, &plan, err);
    if (code != 0)
        return code;
    if (plan.context_cut)
        log_event(server->log, LOG_LEVEL_WARN, "context_cut", LOG_STRING("model", served->id),
                  LOG_U64("context", plan.context),
                  LOG_U64("model_context", model_shape(served->model)->context),
                  LOG_U64("kv_bytes", plan.kv_bytes),
                  LOG_STRING("remedy", "set engine.kv_memory or engine.context"));
    engine->kv_memory_bytes = plan.kv_bytes;
    engine->context = plan.context;
    return 0;
}
