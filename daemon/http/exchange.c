/* SPDX-License-Identifier: Apache-2.0 */
/* exchange.c -- one request and its answer, whichever protocol carries them.
 *
 * Who may call whom, and when, is the whole difficulty:
 *
 *     socket -> protocol -> exchange_tell_*() -> application      (downwards: from the event loop)
 *     application -> exchange_respond() ... -> protocol's buffers  (upwards: notes, never acts)
 *
 * What the application says is written into buffers and the connection is touched; nothing is sent,
 * parsed, called back or freed until control is back in the event loop and the listener flushes.
 * From that one rule follow the others:
 *
 *   1. No callback is ever made from inside an exchange_*() call. A stream that runs out of memory
 *      within exchange_stream_write() is marked broken, drops what follows, and on_gone comes from
 *      the loop.
 *   2. An exchange outlives the application's call that completes its answer: exchange_status()
 *      after exchange_respond() is fine until the callback (or the event) returns.
 *   3. on_gone is owed from the first on_headers or on_request until the answer is complete, which
 *      is when exchange_respond(), exchange_stream_end() or exchange_abort() is called, sent or
 *      not. While it is owed it comes exactly once if the client goes (or if the protocol gives up
 *      on it: a body too large or too late); once not owed, never. `owed` is that rule, one bit,
 *      cleared in two places: exchange_set_answer() and exchange_vanish().
 *   4. All that an application says in one turn, and all exchanges of a connection, leave in one
 *      write.
 *
 * Memory: the request's strings are copied into one text (`head`) and named by offsets, so a
 * request costs no allocation once a listener has spares. A listener keeps EXCHANGE_SPARES_MAX of
 * them, each trimmed to EXCHANGE_SPARE_BYTES_MAX a text.
 *
 * Held by tests/unit/daemon/exchange_life_test.c, which counts on_gone for every way to vanish. */
#include "daemon/http/exchange.h"

#include "daemon/http/connection.h"
#include "daemon/http/exchange_inner.h"
#include "daemon/http/listener_inner.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static void text_trim(struct text *text)
{
    if (text->capacity > EXCHANGE_SPARE_BYTES_MAX)
        text_destroy(text);
    else
        text_reset(text);
}

/* Everything but the three texts and the fields, which keep their memory. */
static void exchange_reset(struct exchange *exchange)
{
    struct text head = exchange->head, body = exchange->body, answer = exchange->answer;
    memset(exchange, 0, offsetof(struct exchange, fields));
    size_t rest = offsetof(struct exchange, field_count);
    memset((char *)exchange + rest, 0, sizeof *exchange - rest);
    text_trim(&head);
    text_trim(&body);
    text_trim(&answer);
    exchange->head = head;
    exchange->body = body;
    exchange->answer = answer;
}

struct exchange *exchange_open(struct connection *connection)
{
    struct listener *listener = connection->listener;
    struct exchange *exchange = listener->spares;
    if (exchange != NULL) {
        listener->spares = exchange->next;
        listener->spare_count--;
        exchange->next = NULL;
    } else {
        exchange = calloc(1, sizeof *exchange);
        if (exchange == NULL)
            return NULL;
    }
    text_append_char(&exchange->head, '\0'); /* offset 0 is "" */
    exchange->connection = connection;
    exchange->next = connection->exchanges;
    if (exchange->next != NULL)
        exchange->next->previous = exchange;
    connection->exchanges = exchange;
    connection->exchange_count++;
    COUNTER_ADD(listener->counters.exchanges, 1);
    return exchange;
}

static void unlink_exchange(struct exchange *exchange)
{
    struct connection *connection = exchange->connection;
    if (exchange->previous != NULL)
        exchange->previous->next = exchange->next;
    else
        connection->exchanges = exchange->next;
    if (exchange->next != NULL)
        exchange->next->previous = exchange->previous;
    connection->exchange_count--;
    if (!exchange->writable_due)
        return;
    struct exchange **link = &connection->writable_head;
    while (*link != exchange)
        link = &(*link)->writable_next;
    *link = exchange->writable_next;
}

static void exchange_free(struct exchange *exchange)
{
    text_destroy(&exchange->head);
    text_destroy(&exchange->body);
    text_destroy(&exchange->answer);
    free(exchange);
}

void exchange_close(struct exchange *exchange)
{
    struct listener *listener = exchange->connection->listener;
    assert(!exchange->owed);
    unlink_exchange(exchange);
    COUNTER_ADD(listener->counters.exchanges, -1u);
    if (listener->spare_count == EXCHANGE_SPARES_MAX) {
        exchange_free(exchange);
        return;
    }
    exchange_reset(exchange);
    exchange->next = listener->spares;
    listener->spares = exchange;
    listener->spare_count++;
}

void exchange_spares_free(struct listener *listener)
{
    while (listener->spares != NULL) {
        struct exchange *exchange = listener->spares;
        listener->spares = exchange->next;
        exchange_free(exchange);
    }
    listener->spare_count = 0;
}

/* -- The request, as the protocol reads it -- */

uint32_t exchange_keep(struct exchange *exchange, const char *bytes, size_t count)
{
    struct text *head = &exchange->head;
    size_t at = head->count;
    if (!text_reserve(head, count + 1)) {
        exchange->head_fault = 503;
        return 0;
    }
    text_append(head, bytes, count);
    text_append_char(head, '\0');
    return (uint32_t)at;
}

void exchange_add_field(struct exchange *exchange, const char *name, size_t name_count,
                        const char *value, size_t value_count)
{
    size_t bytes = exchange->field_bytes + name_count + value_count;
    const struct listener_limits *limits = &exchange->connection->listener->limits;
    assert(limits->headers_max <= EXCHANGE_HEADERS_MAX);
    if (exchange->field_count >= limits->headers_max || bytes > limits->header_bytes_max) {
        exchange->head_fault = 431;
        return;
    }
    uint32_t name_at = exchange_keep(exchange, name, name_count);
    uint32_t value_at = exchange_keep(exchange, value, value_count);
    if (exchange->head.failed)
        return;
    for (char *c = exchange->head.bytes + name_at; *c != '\0'; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c += 'a' - 'A';
    exchange->field_bytes = (uint32_t)bytes;
    exchange->fields[exchange->field_count++] = (struct exchange_field){name_at, value_at};
}

/* Where the path of "http://host:port/path" begins; 0 for an origin form. */
static size_t authority_end(const char *target, size_t count)
{
    const char *colon = memchr(target, ':', count);
    if (target[0] == '/' || colon == NULL || (size_t)(colon - target) + 3 > count ||
        colon[1] != '/' || colon[2] != '/')
        return 0;
    size_t at = (size_t)(colon - target) + 3;
    while (at < count && target[at] != '/' && target[at] != '?')
        at++;
    return at;
}

void exchange_set_target(struct exchange *exchange, const char *target, size_t count)
{
    if (count > EXCHANGE_PATH_BYTES_MAX) {
        exchange->head_fault = 414;
        return;
    }
    if (count == 0)
        return;
    size_t begin = authority_end(target, count);
    target += begin;
    count -= begin;
    const char *mark = count == 0 ? NULL : memchr(target, '?', count);
    size_t path_count = mark == NULL ? count : (size_t)(mark - target);
    if (path_count == 0) /* "http://host" names its root */
        exchange->path = exchange_keep(exchange, "/", 1);
    else
        exchange->path = exchange_keep(exchange, target, path_count);
    if (mark != NULL)
        exchange->query = exchange_keep(exchange, mark + 1, count - path_count - 1);
}

/* -- What the protocol tells the application -- */

/* A trusted proxy's word on whose request it is; no other peer's headers are looked at. */
static void find_client(struct exchange *exchange)
{
    struct listener *listener = exchange->connection->listener;
    const char *x[EXCHANGE_HEADERS_MAX], *rfc[EXCHANGE_HEADERS_MAX];
    struct forwarded_lines lines = {.x = x, .rfc = rfc};
    uint32_t at = 0;
    while ((x[lines.x_count] = exchange_header_next(exchange, "x-forwarded-for", &at)) != NULL)
        if (++lines.x_count == EXCHANGE_HEADERS_MAX)
            break;
    at = 0;
    while ((rfc[lines.rfc_count] = exchange_header_next(exchange, "forwarded", &at)) != NULL)
        if (++lines.rfc_count == EXCHANGE_HEADERS_MAX)
            break;
    struct address client;
    enum forwarded_result result =
        forwarded_client(&lines, listener->trust.by, &listener->trust.proxies, &client);
    if (result == FORWARDED_CLIENT)
        address_format(&client, exchange->client);
    else if (result == FORWARDED_WRONG)
        COUNTER_ADD(listener->counters.forwarded_errors, 1);
}

void exchange_tell_headers(struct exchange *exchange)
{
    struct listener *listener = exchange->connection->listener;
    const struct exchange_handler *handler = listener->handler;
    if (exchange->version == HTTP_2)
        COUNTER_ADD(listener->counters.requests_h2, 1);
    else
        COUNTER_ADD(listener->counters.requests_h1, 1);
    if (exchange->connection->trusted)
        find_client(exchange);
    if (handler->on_headers == NULL)
        return;
    exchange->owed = true;
    handler->on_headers(handler->application, exchange);
}

void exchange_tell_request(struct exchange *exchange)
{
    const struct exchange_handler *handler = exchange->connection->listener->handler;
    exchange->request_complete = true;
    if (exchange->answer_state != ANSWER_NONE)
        return; /* answered before its body came, by the application or by us */
    exchange->owed = true;
    handler->on_request(handler->application, exchange);
}

void exchange_vanish(struct exchange *exchange)
{
    const struct exchange_handler *handler = exchange->connection->listener->handler;
    if (!exchange->owed)
        return;
    exchange->owed = false;
    exchange->broken = true; /* whatever it still says of this exchange meanwhile is dropped */
    handler->on_gone(handler->application, exchange);
}

/* -- The answer, as the application gives it -- */

static void exchange_set_answer(struct exchange *exchange, enum answer_state to)
{
    assert(exchange->answer_state < to);
    exchange->answer_state = to;
    if (to == ANSWER_COMPLETE)
        exchange->owed = false;
}

/* Out of memory, or past its limit: the answer cannot go on. on_gone is still owed (unless this
 * was the end) and comes from the loop as the stream or connection closes. */
static void exchange_break(struct exchange *exchange)
{
    exchange->broken = true;
    exchange->connection->protocol->answer_abort(exchange);
    connection_touch(exchange->connection);
}

static void begin(struct exchange *exchange, const struct answer_head *head)
{
    assert(head->status >= 200 && head->status <= 599);
    assert(head->header_count <= EXCHANGE_ANSWER_HEADERS_MAX);
    exchange->status = head->status;
    exchange->bodyless = head->status == 204 || head->status == 304 ||
                         strcmp(exchange_method(exchange), "HEAD") == 0;
    exchange->connection->protocol->answer_begin(exchange, head);
    connection_touch(exchange->connection);
}

static void append(struct exchange *exchange, const void *bytes, size_t count)
{
    if (count == 0 || exchange->bodyless)
        return;
    exchange->answer_given += count;
    if (exchange_waiting(exchange) == 0)
        exchange->progress_us = exchange->connection->listener->now_us;
    exchange->connection->protocol->answer_write(exchange, bytes, count);
    connection_touch(exchange->connection);
}

void exchange_respond(struct exchange *exchange, uint32_t status, const struct http_header *headers,
                      size_t header_count, const void *body, size_t body_count)
{
    if (exchange->broken)
        return;
    begin(exchange, &(struct answer_head){status, headers, header_count, true, body_count});
    append(exchange, body, body_count);
    exchange_set_answer(exchange, ANSWER_COMPLETE);
    exchange->connection->protocol->answer_end(exchange);
    if (exchange->answer.failed)
        exchange_break(exchange);
}

void exchange_stream_begin(struct exchange *exchange, uint32_t status,
                           const struct http_header *headers, size_t header_count)
{
    if (exchange->broken)
        return;
    begin(exchange, &(struct answer_head){status, headers, header_count, false, 0});
    exchange_set_answer(exchange, ANSWER_STREAMING);
    if (exchange->answer.failed)
        exchange_break(exchange);
}

size_t exchange_stream_write(struct exchange *exchange, const void *bytes, size_t count)
{
    if (exchange->broken)
        return 0;
    assert(exchange->answer_state == ANSWER_STREAMING);
    append(exchange, bytes, count);
    if (exchange->answer.failed || exchange_waiting(exchange) > EXCHANGE_WAITING_BYTES_MAX)
        exchange_break(exchange);
    return exchange_waiting(exchange);
}

void exchange_stream_end(struct exchange *exchange)
{
    if (exchange->broken) {
        exchange->owed = false;
        return;
    }
    assert(exchange->answer_state == ANSWER_STREAMING);
    exchange_set_answer(exchange, ANSWER_COMPLETE);
    exchange->connection->protocol->answer_end(exchange);
    if (exchange->answer.failed)
        exchange_break(exchange);
    connection_touch(exchange->connection);
}

void exchange_abort(struct exchange *exchange)
{
    exchange->owed = false;
    if (exchange->broken || exchange->answer_state == ANSWER_COMPLETE)
        return;
    exchange_set_answer(exchange, ANSWER_COMPLETE);
    exchange_break(exchange);
}

/* As JSON has it. */
static const char *refusal_code(const struct listener *listener, uint32_t status)
{
    switch (status) {
    case 408:
        return "\"request_too_slow\"";
    case 413:
        return "\"body_too_large\"";
    case 414:
        return "\"path_too_long\"";
    case 431:
        return "\"headers_too_large\"";
    case 503:
        return listener->cut ? "\"shutting_down\"" : "null";
    default:
        return "null";
    }
}

/* Of a request that the application was never shown. */
static void tell_refused(struct exchange *exchange)
{
    const struct exchange_handler *handler = exchange->connection->listener->handler;
    if (handler->on_refused != NULL)
        handler->on_refused(handler->application, exchange);
}

void exchange_refuse(struct exchange *exchange, uint32_t status, const char *message)
{
    struct listener *listener = exchange->connection->listener;
    if (exchange->broken || exchange->answer_state == ANSWER_COMPLETE)
        return;
    COUNTER_ADD(listener->counters.protocol_errors, listener->cut ? 0 : 1);
    if (status == 414 || status == 431)
        COUNTER_ADD(listener->counters.heads_refused, 1);
    else if (status == 413)
        COUNTER_ADD(listener->counters.bodies_refused, 1);
    bool begun = exchange->answer_state != ANSWER_NONE;
    exchange->refusal = begun ? 0 : status;
    if (!begun && !exchange->owed)
        tell_refused(exchange);
    exchange_vanish(exchange);
    exchange->broken = false;
    if (begun) {
        exchange_abort(exchange);
        return;
    }
    struct text body;
    text_init(&body);
    text_append_string(&body, "{\"error\":{\"message\":");
    text_append_json(&body, message, strlen(message));
    text_append_format(&body, ",\"type\":\"%s\",\"param\":null,\"code\":%s}}",
                       status == 503 ? "server_error" : "invalid_request_error",
                       refusal_code(listener, status));
    const struct http_header type = {"content-type", "application/json"};
    exchange_respond(exchange, status, &type, 1, body.bytes, body.count);
    text_destroy(&body);
}

/* -- The answer, as the protocol sends it -- */

size_t exchange_waiting(const struct exchange *exchange)
{
    return exchange->answer.count - exchange->answer_taken;
}

static void note_writable(struct exchange *exchange)
{
    struct connection *connection = exchange->connection;
    if (exchange->writable_due || connection->listener->handler->on_writable == NULL)
        return;
    exchange->writable_due = true;
    exchange->writable_next = connection->writable_head;
    connection->writable_head = exchange;
    connection_touch(connection);
}

size_t exchange_take(struct exchange *exchange, void *to, size_t count)
{
    struct text *answer = &exchange->answer;
    size_t before = exchange_waiting(exchange);
    if (count > before)
        count = before;
    if (count == 0)
        return 0;
    memcpy(to, answer->bytes + exchange->answer_taken, count);
    exchange->answer_taken += count;
    size_t after = before - count;
    exchange->progress_bytes += count;
    if (after == 0 || exchange->progress_bytes >= EXCHANGE_PROGRESS_BYTES) {
        exchange->progress_us = exchange->connection->listener->now_us;
        exchange->progress_bytes = 0;
    }
    if (after == 0) {
        text_reset(answer);
        exchange->answer_taken = 0;
    } else if (exchange->answer_taken > EXCHANGE_BUFFER_HIGH && exchange->answer_taken > after) {
        /* Less moves than was taken since the last move: the cost of each byte stays constant. */
        memmove(answer->bytes, answer->bytes + exchange->answer_taken, after);
        answer->count = after;
        exchange->answer_taken = 0;
    }
    if (before >= EXCHANGE_BUFFER_LOW && after < EXCHANGE_BUFFER_LOW &&
        exchange->answer_state == ANSWER_STREAMING)
        note_writable(exchange);
    return count;
}

bool exchange_header_may_pass(const struct http_header *header)
{
    static const char *const ours[] = {"connection", "content-length",   "date",
                                       "keep-alive", "proxy-connection", "transfer-encoding",
                                       "upgrade"};
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        if (strcmp(header->name, ours[i]) == 0)
            return false;
    /* A value may carry what a client sent; it must not end our line and begin its own. */
    for (const unsigned char *c = (const unsigned char *)header->value; *c != '\0'; c++)
        if ((*c < ' ' && *c != '\t') || *c == 0x7f)
            return false;
    return true;
}

const char *exchange_reason(uint32_t status)
{
    static const struct {
        uint32_t status;
        const char *reason;
    } known[] = {
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {206, "Partial Content"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {303, "See Other"},
        {304, "Not Modified"},
        {307, "Temporary Redirect"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {402, "Payment Required"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {411, "Length Required"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {417, "Expectation Failed"},
        {422, "Unprocessable Content"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {451, "Unavailable For Legal Reasons"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].status == status)
            return known[i].reason;
    return ""; /* RFC 9112, section 4: the phrase may be empty */
}

/* -- What the application reads -- */

static const char *head_string(const struct exchange *exchange, uint32_t at)
{
    return exchange->head.bytes == NULL ? "" : exchange->head.bytes + at;
}

const char *exchange_method(const struct exchange *exchange)
{
    return head_string(exchange, exchange->method);
}

const char *exchange_path(const struct exchange *exchange)
{
    return head_string(exchange, exchange->path);
}

const char *exchange_query(const struct exchange *exchange)
{
    return head_string(exchange, exchange->query);
}

const char *exchange_header(const struct exchange *exchange, const char *name)
{
    uint32_t at = 0;
    return exchange_header_next(exchange, name, &at);
}

const char *exchange_header_next(const struct exchange *exchange, const char *name, uint32_t *at)
{
    while (*at < exchange->field_count) {
        const struct exchange_field *field = &exchange->fields[(*at)++];
        if (strcmp(head_string(exchange, field->name), name) == 0)
            return head_string(exchange, field->value);
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
    if (ret_count != NULL)
        *ret_count = exchange->body.count;
    return text_string(&exchange->body);
}

const char *exchange_client(const struct exchange *exchange)
{
    return exchange->client[0] != '\0' ? exchange->client : exchange->connection->client;
}

unsigned exchange_door(const struct exchange *exchange)
{
    return exchange->connection->door->is.serves;
}

enum http_version exchange_version(const struct exchange *exchange)
{
    return exchange->version;
}

bool exchange_is_tls(const struct exchange *exchange)
{
    return exchange->connection->tls != NULL;
}

const struct tls_client *exchange_tls_client(const struct exchange *exchange)
{
    struct tls *tls = exchange->connection->tls;
    return tls == NULL ? NULL : tls_client_of(tls);
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
    return exchange->answer_state != ANSWER_NONE;
}

uint32_t exchange_refusal(const struct exchange *exchange)
{
    return exchange->refusal;
}

uint64_t exchange_answer_bytes(const struct exchange *exchange)
{
    return exchange->answer_given;
}

uint32_t exchange_status(const struct exchange *exchange)
{
    return exchange->status;
}
