/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/api/models.h"

#include "daemon/api/answer.h"
#include "daemon/api/handlers.h"
#include "policy/license/assessment.h"
#include "policy/policy_enforce.h"
#include "policy/render/render.h"

#include <string.h>

#define MODEL_ID_BYTES_MAX 1024u
#define SECOND_US          UINT64_C(1000000)
#define LOADING_RETRY_S    5u /* while it is being tried */

static void append_member(struct text *out, const char *key, const char *value)
{
    text_append_format(out, ",\"%s\":", key);
    text_append_json(out, value, strlen(value));
}

static void append_model(struct text *out, const struct served_model *model)
{
    text_append_string(out, "{\"id\":");
    text_append_json(out, model->id, strlen(model->id));
    text_append_format(out, ",\"object\":\"model\",\"created\":%lld,\"owned_by\":\"weir\"",
                       (long long)model->created_unix);
    append_member(out, "root", model->id);
    text_append_format(
        out, ",\"parent\":null,\"max_model_len\":%u,\"license\":", engine_context(model->engine));
    render_license_object(policy_model_assessment(model->policy), policy_attribution(model->policy),
                          out);
    text_append_char(out, '}');
}

static bool may_use(const struct call *call, const char *id)
{
    return config_tenant_may_use(call->identity.rules, id);
}

/* Of whatever state. */
static struct served_model *find_slot(const struct call *call, const char *id)
{
    const struct config_tenant *rules = call->identity.rules;
    if (id[0] == '\0' && rules->model_count == 1)
        id = rules->models[0];
    struct served_model *model = server_find_slot(call->api->server, id);
    return model != NULL && may_use(call, model->id) ? model : NULL;
}

struct served_model *models_find(const struct call *call, const char *id)
{
    struct served_model *model = find_slot(call, id);
    return model != NULL && server_model_state(model) == MODEL_SERVED ? model : NULL;
}

uint32_t models_retry_after_s(const struct served_model *model, uint64_t now_us)
{
    uint64_t next_us = atomic_load(&model->next_load_us);
    return next_us > now_us ? (uint32_t)((next_us - now_us) / SECOND_US) + 1 : LOADING_RETRY_S;
}

static int not_loaded(const struct call *call, const struct served_model *model,
                      struct fault *fault)
{
    (void)fault_code(fault, 503, "model_not_loaded",
                     "The model '%.200s' could not be loaded yet, and is tried again; ask again "
                     "later, or another server",
                     model->id);
    fault->retry_after_s = models_retry_after_s(model, call->now_us);
    return -1;
}

static int unknown(const char *id, struct fault *fault)
{
    return fault_code(fault, 404, "model_not_found",
                      "The model '%.200s' is not served here; GET /v1/models lists those that are",
                      id);
}

int models_not_found(const struct call *call, const char *id, struct fault *fault)
{
    const struct served_model *model = find_slot(call, id);
    bool refused = model != NULL && server_model_state(model) == MODEL_REFUSED;
    if (model != NULL && !refused) /* it may have come since it was looked for */
        return not_loaded(call, model, fault);
    if (id[0] == '\0')
        return fault_set(fault, 400, "model",
                         "model is missing; GET /v1/models lists those that are served here");
    if (!refused)
        return unknown(id, fault);
    return fault_code(fault, 404, "model_not_found",
                      "The model '%.200s' is not served here, for it is refused by its licence "
                      "(%.100s); GET /v1/models/{id}/license says by which condition and what to "
                      "do",
                      model->id, policy_model_assessment(model->policy)->license);
}

void models_answer_list(struct call *call)
{
    const struct server *server = call->api->server;
    struct text body;
    text_init(&body);
    text_append_string(&body, "{\"object\":\"list\",\"data\":[");
    bool first = true;
    for (uint32_t i = 0; i < server->model_count; i++) {
        const struct served_model *model = server_model(server, i);
        if (model == NULL || !may_use(call, model->id))
            continue;
        if (!first)
            text_append_char(&body, ',');
        first = false;
        append_model(&body, model);
    }
    text_append_string(&body, "]}");
    answer_json(call, &body);
    text_destroy(&body);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* RFC 3986, section 2.1. Clients write the '/' of "org/model" either way. False when malformed,
 * too long, or with a NUL in it. */
static bool decode_percent(const char *from, char *to, size_t to_bytes)
{
    size_t count = 0;
    for (; *from != '\0'; from++) {
        int c = (unsigned char)*from;
        if (c == '%') {
            int high = hex_digit(from[1]);
            int low = high < 0 ? -1 : hex_digit(from[2]);
            if (low < 0)
                return false;
            c = high * 16 + low;
            from += 2;
        }
        if (c == 0 || count + 1 >= to_bytes)
            return false;
        to[count++] = (char)c;
    }
    to[count] = '\0';
    return count > 0;
}

static void answer_not_found(struct call *call, const char *id)
{
    struct fault fault;
    if (id[0] == '\0')
        (void)unknown(id, &fault);
    else
        (void)models_not_found(call, id, &fault);
    answer_fault(call, &fault, NULL);
}

/* The licence of a refused model is told as well: that is where its refusal is explained. */
static const struct policy_model *find_policy(const struct call *call, const char *id)
{
    const struct served_model *model = find_slot(call, id);
    return model == NULL || server_model_state(model) == MODEL_ABSENT ? NULL : model->policy;
}

static void answer_license(struct call *call, const struct policy_model *model)
{
    struct text body;
    text_init(&body);
    render_json(policy_model_assessment(model), &body);
    answer_json(call, &body);
    text_destroy(&body);
}

static void answer_model(struct call *call, const struct served_model *model)
{
    struct text body;
    struct answer_headers head;
    text_init(&body);
    append_model(&body, model);
    if (body.failed) {
        answer_json(call, &body);
    } else {
        answer_headers_init(&head, call, "application/json");
        answer_headers_add(&head, "link", model->license_link);
        answer_give(call,
                    &(struct answer){
                        .status = 200, .head = &head, .body = body.bytes, .count = body.count});
    }
    text_destroy(&body);
}

/* Ids may hold a '/', so that the path does not say where the id ends: a model whose own id ends
 * in "/license" is found before another's licence. */
void models_answer_one(struct call *call)
{
    static const char suffix[] = "/license";
    const char *path = exchange_path(call->exchange) + strlen("/v1/models/");
    char id[MODEL_ID_BYTES_MAX];
    if (!decode_percent(path, id, sizeof id)) {
        answer_not_found(call, path);
        return;
    }
    const struct served_model *model = models_find(call, id);
    if (model != NULL) {
        answer_model(call, model);
        return;
    }
    size_t count = strlen(id), suffix_count = sizeof suffix - 1;
    if (count > suffix_count && strcmp(id + count - suffix_count, suffix) == 0) {
        id[count - suffix_count] = '\0';
        const struct policy_model *policy = find_policy(call, id);
        if (policy != NULL) {
            answer_license(call, policy);
            return;
        }
    }
    answer_not_found(call, id);
}
