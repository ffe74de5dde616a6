/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/api/doubles.h"

#include <assert.h>
#include <string.h>

void exchange_double_init(struct exchange *exchange, const char *method, const char *path)
{
    memset(exchange, 0, sizeof *exchange);
    exchange->method = method;
    exchange->path = path;
    exchange->client = "127.0.0.1";
    exchange->body = "";
    exchange->version = HTTP_2;
    exchange->door = EXCHANGE_DOOR_PUBLIC | EXCHANGE_DOOR_ADMIN;
    exchange->started_us = 1000;
    text_init(&exchange->headers);
    text_init(&exchange->bytes);
}

void exchange_double_header(struct exchange *exchange, const char *name, const char *value)
{
    assert(exchange->request_count < DOUBLE_HEADERS_MAX);
    exchange->request[exchange->request_count++] = (struct http_header){name, value};
}

void exchange_double_destroy(struct exchange *exchange)
{
    text_destroy(&exchange->headers);
    text_destroy(&exchange->bytes);
}

void exchange_double_ask(struct api *api, struct exchange *exchange, const char *json)
{
    const struct exchange_handler *handler = api_handler(api);
    handler->on_headers(handler->application, exchange);
    if (exchange->status != 0)
        return;
    exchange->body = json;
    exchange->body_count = strlen(json);
    handler->on_request(handler->application, exchange);
}

void exchange_double_go(struct api *api, struct exchange *exchange)
{
    const struct exchange_handler *handler = api_handler(api);
    assert(!exchange->complete);
    handler->on_gone(handler->application, exchange);
    exchange->complete = true; /* no call may follow */
}

const char *exchange_method(const struct exchange *exchange)
{
    return exchange->method;
}

const char *exchange_path(const struct exchange *exchange)
{
    return exchange->path;
}

const char *exchange_query(const struct exchange *exchange)
{
    return exchange->query == NULL ? "" : exchange->query;
}

const char *exchange_header(const struct exchange *exchange, const char *name)
{
    for (size_t i = 0; i < exchange->request_count; i++)
        if (strcmp(exchange->request[i].name, name) == 0)
            return exchange->request[i].value;
    return NULL;
}

const char *exchange_header_next(const struct exchange *exchange, const char *name, uint32_t *at)
{
    while (*at < exchange->request_count) {
        const struct http_header *header = &exchange->request[(*at)++];
        if (strcmp(header->name, name) == 0)
            return header->value;
    }
    return NULL;
}

bool exchange_header_differs(const struct exchange *exchange, const char *name)
{
    uint32_t at = 0;
    const char *first = exchange_header_next(exchange, name, &at), *other = first;
    while (other != NULL && strcmp(first, other) == 0)
        other = exchange_header_next(exchange, name, &at);
    return other != NULL;
}

const char *exchange_body(const struct exchange *exchange, size_t *ret_count)
{
    *ret_count = exchange->body_count;
    return exchange->body;
}

const char *exchange_client(const struct exchange *exchange)
{
    return exchange->client;
}

unsigned exchange_door(const struct exchange *exchange)
{
    return exchange->door;
}

enum http_version exchange_version(const struct exchange *exchange)
{
    return exchange->version;
}

bool exchange_is_tls(const struct exchange *exchange)
{
    (void)exchange;
    return false;
}

const struct tls_client *exchange_tls_client(const struct exchange *exchange)
{
    return exchange->tls_client;
}

uint64_t exchange_started_us(const struct exchange *exchange)
{
    return exchange->started_us;
}

void exchange_set_owner(struct exchange *exchange, void *owner)
{
    exchange->owner = owner;
}

void *exchange_owner(const struct exchange *exchange)
{
    return exchange->owner;
}

bool exchange_answered(const struct exchange *exchange)
{
    return exchange->status != 0;
}

uint32_t exchange_refusal(const struct exchange *exchange)
{
    return exchange->refusal;
}

uint64_t exchange_answer_bytes(const struct exchange *exchange)
{
    return exchange->bytes.count;
}

uint32_t exchange_status(const struct exchange *exchange)
{
    return exchange->status;
}

static void begin(struct exchange *exchange, uint32_t status, const struct http_header *headers,
                  size_t count)
{
    assert(exchange->status == 0);
    assert(!exchange->complete);
    exchange->status = status;
    for (size_t i = 0; i < count; i++)
        text_append_format(&exchange->headers, "%s: %s\n", headers[i].name, headers[i].value);
}

void exchange_respond(struct exchange *exchange, uint32_t status, const struct http_header *headers,
                      size_t header_count, const void *body, size_t body_count)
{
    begin(exchange, status, headers, header_count);
    text_append(&exchange->bytes, body, body_count);
    exchange->complete = true;
}

void exchange_stream_begin(struct exchange *exchange, uint32_t status,
                           const struct http_header *headers, size_t header_count)
{
    begin(exchange, status, headers, header_count);
    exchange->streaming = true;
}

size_t exchange_stream_write(struct exchange *exchange, const void *bytes, size_t count)
{
    assert(exchange->streaming);
    assert(!exchange->complete);
    text_append(&exchange->bytes, bytes, count);
    exchange->writes++;
    return exchange->waiting;
}

void exchange_stream_end(struct exchange *exchange)
{
    assert(exchange->streaming);
    assert(!exchange->complete);
    exchange->complete = true;
}

void exchange_abort(struct exchange *exchange)
{
    assert(!exchange->complete);
    exchange->aborted = exchange->complete = true;
}
