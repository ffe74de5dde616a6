/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/load.h"

#include "base/clock.h"
#include "base/text.h"
#include "daemon/device.h"
#include "daemon/license_log.h"
#include "daemon/memory.h"
#include "daemon/model_facts.h"
#include "daemon/worker.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define LOAD_LEAST_US   60000000u
#define LOAD_BYTES_A_US 10u /* 10 MB a second: a slow disk over a slow network */

/* The id is one segment of the path: all but what is unreserved there is escaped. */
char *load_license_link(const char *id)
{
    static const char unreserved[] = "-._~";
    struct text link;
    text_init(&link);
    text_append_string(&link, "</v1/models/");
    for (; *id != '\0'; id++) {
        unsigned char c = (unsigned char)*id;
        if ((c < 0x80 && isalnum(c)) || strchr(unreserved, c) != NULL)
            text_append_char(&link, (char)c);
        else
            text_append_format(&link, "%%%02X", c);
    }
    text_append_string(&link, "/license>; rel=\"license\"");
    size_t count;
    char *bytes = text_take(&link, &count);
    text_destroy(&link);
    return bytes;
}

/* -- Licence -- */

/* What the file says of itself, and what we were told of it. */
static int read_facts(const struct server *server, const struct config_model *model,
                      const struct gguf *gguf, struct model_facts *ret, struct error *err)
{
    int result = model_facts_init(ret, gguf, err);
    if (result != 0)
        return result;
    ret->facts.id = model->id;
    ret->facts.path = model->path;
    ret->facts.chosen_license = model->license;
    ret->facts.product = model->product;
    ret->facts.enforce = model->has_enforcement ? model->enforcement : server->config->enforce;
    ret->facts.cap_users = model->cap_users;
    return 0;
}

static void become(struct served_model *served, enum model_state state)
{
    atomic_store_explicit(&served->state, state, memory_order_release);
}

/* policy NULL: it was something else than a licence that refused. */
static int refuse(struct server *server, struct served_model *served, struct policy_model *policy,
                  struct error *err)
{
    if (policy == NULL)
        return error_wrap(err, "model '%s'", served->id);
    served->policy = policy;
    license_log_refusal(server->log, policy_model_assessment(policy), err->text);
    become(served, MODEL_REFUSED);
    return ERROR_REFUSED;
}

int load_screen(struct server *server, struct served_model *served, int64_t now_unix,
                struct error *err)
{
    struct model_facts facts;
    struct policy_model *policy = NULL;
    struct gguf *gguf = gguf_open(served->config->path, err); /* maps the file, reads its header */
    if (gguf == NULL)
        return error_wrap(err, "model '%s'", served->id);
    int result = read_facts(server, served->config, gguf, &facts, err);
    if (result == 0) {
        result = policy_model_screen(server->policy, &facts.facts, now_unix, &policy, err);
        model_facts_destroy(&facts);
    }
    gguf_close(gguf);
    return result == 0 ? 0 : refuse(server, served, policy, err);
}

/* Of the file that was loaded, which may be another than the one that was screened. */
static int weigh(struct server *server, struct served_model *served, struct error *err)
{
    struct model_facts facts;
    struct policy_model *policy = NULL;
    int result = read_facts(server, served->config, model_file(served->model), &facts, err);
    if (result == 0) {
        result =
            policy_model_add(server->policy, &facts.facts, clock_unix_us() / 1000000, &policy, err);
        model_facts_destroy(&facts);
    }
    if (result != 0)
        return refuse(server, served, policy, err);
    served->policy = policy;
    license_log(server->log, policy_model_assessment(policy));
    return 0;
}

/* -- Weights, memory, engine -- */

static void on_engine_events(void *wake_argument, uint32_t worker)
{
    struct server *server = wake_argument;
    worker_ring(&server->workers[worker]);
}

static int start_engine(struct server *server, struct served_model *served, struct error *err)
{
    const struct config *config = server->config;
    struct engine_config engine = {
        .model = served->model,
        .number = (uint32_t)(served - server->models),
        .workers = server->worker_count,
        .max_step_tokens = config->max_step_tokens,
        .max_sequences = config->max_sequences,
        .max_queue = config->max_queue,
        .max_queue_tokens = config->max_queue_tokens,
        .prefix_cache = config->prefix_cache,
        .share_prefixes = config->share_prefixes,
        .wake = on_engine_events,
        .wake_argument = server,
    };
    if (device_plan_kv(server, served, &engine, err) != 0)
        return err->code;
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
              LOG_STRING("kv_format", kv_format_name(served->backend->kv_format)),
              LOG_STRING("device", served->backend->ops->name),
              LOG_U64("load_ms", (clock_monotonic_us() - started_us) / 1000));
    if (model_chat_template(served->model) == NULL)
        log_event(server->log, LOG_LEVEL_WARN, "no_chat_template", LOG_STRING("model", served->id),
                  LOG_STRING("reason", model_template_error(served->model)));
}

uint64_t load_needs_us(const struct served_model *served)
{
    struct stat status;
    uint64_t bytes = stat(served->config->path, &status) == 0 ? (uint64_t)status.st_size : 0;
    return LOAD_LEAST_US + bytes / LOAD_BYTES_A_US;
}

/* Who waits for memory is not to take it from those who are served: their weights would be dropped
 * and read again at every step, or the kernel would end the process. */
static int check_memory(const struct config_model *model, uint64_t file_bytes, struct error *err)
{
    uint64_t available = memory_available();
    if (!model->retries || available == 0 || file_bytes <= available)
        return 0;
    return error_set(err, ERROR_NO_MEMORY, "its weights take %llu MiB, and %llu MiB are free",
                     (unsigned long long)(file_bytes >> 20), (unsigned long long)(available >> 20));
}

static int load_weights(struct server *server, struct served_model *served, struct error *err)
{
    const struct config_model *model = served->config;
    struct stat status;
    if (stat(model->path, &status) != 0)
        return error_set_errno(err, errno, "%s", model->path);
    int result = check_memory(model, (uint64_t)status.st_size, err);
    if (result != 0)
        return result;
    served->created_unix = (int64_t)status.st_mtim.tv_sec;
    if (device_open(server, served, err) != 0)
        return err->code;
    served->model = model_load_unless(model->path, served->backend, &server->loads_end, err);
    return served->model == NULL ? err->code : start_engine(server, served, err);
}

int load_model(struct server *server, struct served_model *served, struct error *err)
{
    uint64_t started_us = clock_monotonic_us();
    int result = load_weights(server, served, err);
    if (result != 0)
        (void)error_wrap(err, "model '%s'", served->id);
    if (result == 0 && atomic_load(&server->loads_end))
        result = error_set(err, ERROR_CLOSED, "model '%s': weir stops", served->id);
    if (result == 0)
        result = weigh(server, served, err);
    if (result != 0) {
        if (served->engine != NULL)
            engine_stop(served->engine);
        unload_model(served);
        return result;
    }
    log_loaded(server, served, started_us);
    become(served, MODEL_SERVED);
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
