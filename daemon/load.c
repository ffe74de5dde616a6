/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/load.h"

#include "base/clock.h"
#include "base/text.h"
#include "daemon/memory.h"
#include "daemon/worker.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define BASE_MODELS_MAX 16u
#define FACT_BYTES_MAX  512u

/* A string, or an array of strings joined with ",": both are found under general.license. */
static void read_strings(const struct gguf *gguf, const char *key, struct text *out)
{
    struct gguf_string string;
    struct gguf_array array;
    if (gguf_get_string(gguf, key, &string)) {
        text_append(out, string.bytes, string.count);
    } else if (gguf_get_array(gguf, key, &array) && array.kind == GGUF_ARRAY_STRINGS) {
        uint64_t cursor = 0;
        while (gguf_array_next_string(&array, &cursor, &string)) {
            if (out->count > 0)
                text_append_char(out, ',');
            text_append(out, string.bytes, string.count);
        }
    }
}

struct base_model_text {
    char name[FACT_BYTES_MAX], organization[FACT_BYTES_MAX], repo_url[FACT_BYTES_MAX];
};

static uint32_t read_base_models(const struct gguf *gguf, struct base_model_text *texts,
                                 struct policy_base_model *ret)
{
    uint64_t count = 0;
    (void)gguf_get_u64(gguf, "general.base_model.count", &count);
    if (count > BASE_MODELS_MAX)
        count = BASE_MODELS_MAX;
    for (uint32_t i = 0; i < count; i++) {
        char key[64];
        struct base_model_text *text = &texts[i];
        (void)snprintf(key, sizeof key, "general.base_model.%u.name", i);
        (void)gguf_copy_string(gguf, key, text->name, sizeof text->name);
        (void)snprintf(key, sizeof key, "general.base_model.%u.organization", i);
        (void)gguf_copy_string(gguf, key, text->organization, sizeof text->organization);
        (void)snprintf(key, sizeof key, "general.base_model.%u.repo_url", i);
        (void)gguf_copy_string(gguf, key, text->repo_url, sizeof text->repo_url);
        ret[i] = (struct policy_base_model){
            .name = text->name, .organization = text->organization, .repo_url = text->repo_url};
    }
    return (uint32_t)count;
}

/* What the file says of itself goes to the policy; what the policy makes of it, to the log. */
static int declare_model(struct server *server, struct served_model *served, const char *path,
                         struct error *err)
{
    const struct gguf *gguf = model_file(served->model);
    struct base_model_text base_texts[BASE_MODELS_MAX] = {0};
    struct policy_base_model base_models[BASE_MODELS_MAX];
    char name[FACT_BYTES_MAX] = "", organization[FACT_BYTES_MAX] = "";
    struct text license, license_name, license_link;
    text_init(&license);
    text_init(&license_name);
    text_init(&license_link);
    (void)gguf_copy_string(gguf, "general.name", name, sizeof name);
    (void)gguf_copy_string(gguf, "general.organization", organization, sizeof organization);
    read_strings(gguf, "general.license", &license);
    read_strings(gguf, "general.license.name", &license_name);
    read_strings(gguf, "general.license.link", &license_link);
    const struct policy_model_facts facts = {
        .id = served->id,
        .path = path,
        .name = name,
        .organization = organization,
        .license = text_string(&license),
        .license_name = text_string(&license_name),
        .license_link = text_string(&license_link),
        .base_models = base_models,
        .base_model_count = read_base_models(gguf, base_texts, base_models),
    };
    int result = license.failed || license_name.failed || license_link.failed
                     ? error_no_memory(err)
                     : policy_model_add(server->policy, &facts, clock_unix_us() / 1000000, &served->policy, err);
    text_destroy(&license);
    text_destroy(&license_name);
    text_destroy(&license_link);
    return result;
}

static void on_engine_events(void *wake_argument, uint32_t worker)
{
    struct server *server = wake_argument;
    worker_ring(&server->workers[worker]);
}

static int start_engine(struct server *server, struct served_model *served, uint32_t index,
                        struct error *err)
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
        .models_to_come = server->model_count - index,
    };
    struct kv_plan plan;
    int result = kv_plan(&request, &plan, err);
    if (result != 0)
        return result;
    if (plan.context_cut)
        log_event(server->log, LOG_LEVEL_WARN, "context_cut", LOG_STRING("model", served->id),
                  LOG_U64("context", plan.context),
                  LOG_U64("model_context", request.shape->context), LOG_U64("kv_bytes", plan.bytes),
                  LOG_STRING("remedy", "set engine.kv_memory or engine.context"));
    const struct engine_config engine = {
        .model = served->model,
        .workers = server->worker_count,
        .kv_memory_bytes = plan.bytes,
        .context = plan.context,
        .max_step_tokens = config->max_step_tokens,
        .max_sequences = config->max_sequences,
        .max_queue = config->max_queue,
        .max_queue_tokens = config->max_queue_tokens,
        .prefix_cache = config->prefix_cache,
        .share_prefixes = config->share_prefixes,
        .wake = on_engine_events,
        .wake_argument = server,
    };
    served->engine = engine_start(&engine, err);
    return served->engine == NULL ? err->code : 0;
}

static void log_loaded(struct server *server, const struct served_model *served,
                       uint64_t started_us)
{
    const struct model_shape *shape = model_shape(served->model);
    struct engine_stats stats;
    engine_stats(served->engine, &stats);
    log_event(server->log, LOG_LEVEL_INFO, "model_loaded", LOG_STRING("model", served->id),
              LOG_STRING("architecture", model_architecture(served->model)),
              LOG_U64("parameters", shape->parameters),
              LOG_U64("file_bytes", gguf_file_bytes(model_file(served->model))),
              LOG_U64("weight_bytes", model_weight_bytes(served->model)),
              LOG_U64("context", engine_context(served->engine)),
              LOG_U64("kv_blocks", stats.kv.block_count),
              LOG_U64("kv_bytes", (uint64_t)stats.kv.block_count * shape->kv_block_bytes),
              LOG_STRING("device", served->backend->ops->name),
              LOG_U64("load_ms", (clock_monotonic_us() - started_us) / 1000));
    if (model_chat_template(served->model) == NULL)
        log_event(server->log, LOG_LEVEL_WARN, "no_chat_template", LOG_STRING("model", served->id),
                  LOG_STRING("reason", model_template_error(served->model)));
}

int load_model(struct server *server, uint32_t index, struct error *err)
{
    const struct config *config = server->config;
    const struct config_model *model = &config->models[index];
    struct served_model *served = &server->models[index];
    uint64_t started_us = clock_monotonic_us();
    struct stat status;
    served->id = model->id;
    if (stat(model->path, &status) != 0) {
        error_set_errno(err, errno, "%s", model->path);
        return error_wrap(err, "model '%s'", model->id);
    }
    served->created_unix = (int64_t)status.st_mtim.tv_sec;
    const struct backend_config backend = {.device = config->device, .threads = config->threads};
    served->backend = backend_open(&backend, err);
    if (served->backend == NULL)
        return error_wrap(err, "engine.device '%s'", config->device);
    served->model = model_load(model->path, served->backend, err);
    if (served->model == NULL)
        return error_wrap(err, "model '%s'", model->id);
    if (declare_model(server, served, model->path, err) != 0 ||
        start_engine(server, served, index, err) != 0)
        return error_wrap(err, "model '%s'", model->id);
    log_loaded(server, served, started_us);
    return 0;
}

void unload_model(struct served_model *served)
{
    engine_free(served->engine);
    model_free(served->model);
    backend_close(served->backend);
    served->engine = NULL;
    served->model = NULL;
    served->backend = NULL;
}
