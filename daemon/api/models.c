/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/api/answer.h"
#include "daemon/api/handlers.h"

#include <string.h>

#define MODEL_ID_BYTES_MAX 1024u

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
    text_append_format(out, ",\"parent\":null,\"max_model_len\":%u", engine_context(model->engine));
    text_append_char(out, '}');
}

void models_answer_list(struct call *call)
{
    const struct server *server = call->api->server;
    struct text body;
    text_init(&body);
    text_append_string(&body, "{\"object\":\"list\",\"data\":[");
    for (uint32_t i = 0; i < server->model_count; i++) {
        if (i > 0)
            text_append_char(&body, ',');
        append_model(&body, &server->models[i]);
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

void models_answer_one(struct call *call)
{
    const char *path = exchange_path(call->exchange) + strlen("/v1/models/");
    char id[MODEL_ID_BYTES_MAX];
    struct served_model *model = NULL;
    if (decode_percent(path, id, sizeof id))
        model = server_find_model(call->api->server, id);
    if (model == NULL) {
        struct fault fault;
        (void)fault_code(&fault, 404, "model_not_found", "The model '%.200s' is not served here",
                         path);
        answer_fault(call, &fault, NULL);
        return;
    }
    struct text body;
    text_init(&body);
    append_model(&body, model);
    answer_json(call, &body);
    text_destroy(&body);
}
