/* SPDX-License-Identifier: Apache-2.0 */
/* h1.c -- HTTP/1.0 and 1.1: one exchange after the other.
 *
 *            head whole            body whole           answer sent
 *     HEAD ------------->  BODY  ------------->  WAIT  -------------> HEAD (or the close)
 *       \                    \                    /
 *        `-- refused: the answer goes out, the connection closes after it
 *
 * Pipelined requests stay in `in`, unread, until their turn; at H1_INPUT_BYTES_MAX the socket is no
 * longer read, so a client that sends without end waits in the kernel. While there is room we read
 * on, for that is how the end of a connection is noticed under a long generation. An end of input
 * counts as "gone" for an answer that is not complete: a client that shuts its sending side and
 * still wants to read is far rarer than one that left, and each of the latter would keep a
 * generation running.
 *
 * An answer may come before the body: the rest of the body is then read and dropped (within its
 * limits) so that the connection can go on. It closes instead if the client waits for our
 * "100 Continue", since whether its body will come is anyone's guess (RFC 9110, section 10.1.1).
 *
 * Answers are written with their framing into exchange->answer as the application gives them;
 * produce() only moves bytes. What the head says is parsed by h1_head.c. */
#include "daemon/http/h1.h"

#include "daemon/http/connection.h"
#include "daemon/http/exchange_inner.h"
#include "daemon/http/h1_head.h"
#include "daemon/http/listener_inner.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define H1_INPUT_BYTES_MAX (64u * 1024u) /* read ahead of their turn; more than any head */
static_assert(H1_INPUT_BYTES_MAX > H1_HEAD_BYTES_MAX, "a head must fit, or its read would stall");

enum h1_phase {
    H1_HEAD, /* also between requests */
    H1_BODY_LENGTH,
    H1_BODY_CHUNKED,
    H1_WAIT,   /* the request is whole */
    H1_CLOSED, /* input is of no interest any more */
};

struct h1 {
    enum h1_phase phase;
    bool keep_alive;   /* as things stand; the answer's head fixes it */
    bool head_begun;   /* bytes of the next head have come */
    uint64_t since_us; /* the connection began to wait for this head, or its first byte came */
    struct exchange *exchange; /* NULL between requests */
    uint64_t body_left;        /* H1_BODY_LENGTH */
    uint64_t body_bytes;       /* seen of this body, kept or dropped */
    struct h1_chunks chunks;
    struct text in; /* read, not yet parsed */
    size_t scanned; /* of in, for h1_head_find() */
};

bool h1_start(struct connection *connection)
{
    struct h1 *h1 = calloc(1, sizeof *h1);
    if (h1 == NULL)
        return false;
    h1->since_us = connection->opened_us;
    connection->session = h1;
    return true;
}

static void h1_free(struct connection *connection)
{
    struct h1 *h1 = connection->session;
    text_destroy(&h1->in);
    free(h1);
    connection->session = NULL;
}

/* -- Reading -- */

/* The protocol's own answer; nothing after it can be trusted to be where we think it is. */
static void refuse(struct connection *connection, uint32_t status, const char *fault)
{
    struct h1 *h1 = connection->session;
    h1->phase = H1_CLOSED;
    h1->keep_alive = false;
    if (h1->exchange == NULL) {
        h1->exchange = exchange_open(connection);
        if (h1->exchange == NULL) {
            connection_break(connection);
            return;
        }
        h1->exchange->version = HTTP_1_1;
    }
    exchange_refuse(h1->exchange, status, fault);
    connection_touch(connection); /* an answer given before ends the connection now */
}

static void copy_head(struct exchange *exchange, const struct h1_head *head)
{
    exchange->version = head->version_1_1 ? HTTP_1_1 : HTTP_1_0;
    exchange->method = exchange_keep(exchange, head->method.bytes, head->method.count);
    exchange_set_target(exchange, head->target.bytes, head->target.count);
    for (uint32_t i = 0; i < head->field_count; i++)
        exchange_add_field(exchange, head->fields[i].name.bytes, head->fields[i].name.count,
                           head->fields[i].value.bytes, head->fields[i].value.count);
}

static void finish_request(struct connection *connection)
{
    struct h1 *h1 = connection->session;
    h1->phase = H1_WAIT;
    exchange_tell_request(h1->exchange);
    connection_touch(connection); /* its answer may have been sent before */
}

/* A head that is in order: make the exchange, tell the application, get ready for the body. */
static void open_request(struct connection *connection, const struct h1_head *head)
{
    struct h1 *h1 = connection->session;
    struct listener *listener = connection->listener;
    h1->keep_alive = head->keep_alive && !listener->draining;
    h1->exchange = exchange_open(connection);
    if (h1->exchange == NULL) {
        connection_break(connection);
        return;
    }
    copy_head(h1->exchange, head);
    h1->exchange->started_us = listener->now_us;
    if (h1->exchange->head.failed) {
        connection_break(connection);
        return;
    }
    if (h1->exchange->head_fault != 0) { /* what h1_head.c takes and exchange.h's limits do not */
        refuse(connection, h1->exchange->head_fault,
               h1->exchange->head_fault == 414 ? "the request target is too long"
                                               : "the headers are too many or too large");
        return;
    }
    if (head->length > listener->limits.body_bytes_max) {
        refuse(connection, 413, "the request body is larger than this server takes");
        return;
    }
    h1->body_left = head->length;
    h1->body_bytes = 0;
    h1->chunks = (struct h1_chunks){0};
    if (head->chunked)
        h1->phase = H1_BODY_CHUNKED;
    else
        h1->phase = head->length > 0 ? H1_BODY_LENGTH : H1_WAIT;
    bool has_body = h1->phase != H1_WAIT;
    bool must_continue = head->expects_continue && has_body;
    bool keep_alive = h1->keep_alive;
    if (must_continue)
        h1->keep_alive = false; /* for an answer that comes now instead of "100 Continue" */
    exchange_tell_headers(h1->exchange);
    if (must_continue && !exchange_answered(h1->exchange)) {
        h1->keep_alive = keep_alive;
        text_append_string(&h1->exchange->answer, "HTTP/1.1 100 Continue\r\n\r\n");
        connection_touch(connection);
    } else if (must_continue) {
        h1->phase = H1_CLOSED;
    }
    if (!has_body)
        finish_request(connection);
}

static size_t parse_head(struct connection *connection, const char *bytes, size_t count)
{
    struct h1 *h1 = connection->session;
    if (!h1->head_begun) {
        if (count >= 2 && bytes[0] == '\r' && bytes[1] == '\n')
            return 2; /* RFC 9112, section 2.2: an empty line before a request is skipped */
        if (count == 1 && bytes[0] == '\r')
            return 0;
        h1->head_begun = true;
        h1->since_us = connection->listener->now_us;
    }
    size_t head_count = h1_head_find(bytes, count, &h1->scanned);
    if (head_count == 0 && count > H1_HEAD_BYTES_MAX) {
        bool in_target = memchr(bytes, '\n', count) == NULL;
        refuse(connection, in_target ? 414 : 431,
               in_target ? "the request target is too long" : "the headers are too large");
        return count;
    }
    if (head_count == 0)
        return 0;
    h1->scanned = 0;
    h1->head_begun = false;
    struct h1_head head;
    const char *fault = NULL;
    uint32_t status = h1_head_parse(bytes, head_count, &head, &fault);
    if (status == 400 || status == 501)
        COUNTER_ADD(connection->listener->counters.abuse[HTTP_ABUSE_AMBIGUOUS], 1);
    if (status != 0)
        refuse(connection, status, fault);
    else
        open_request(connection, &head);
    return head_count;
}

/* Body bytes: kept for the application, or dropped when the answer was given already. */
static void take_body(struct connection *connection, const char *bytes, size_t count)
{
    struct h1 *h1 = connection->session;
    struct exchange *exchange = h1->exchange;
    h1->body_bytes += count;
    if (h1->body_bytes > connection->listener->limits.body_bytes_max)
        refuse(connection, 413, "the request body is larger than this server takes");
    else if (!exchange_answered(exchange))
        text_append(&exchange->body, bytes, count);
    if (exchange->body.failed)
        refuse(connection, 503, "there is no memory for the request body");
}

static size_t parse_length_body(struct connection *connection, const char *bytes, size_t count)
{
    struct h1 *h1 = connection->session;
    size_t run = count < h1->body_left ? count : (size_t)h1->body_left;
    h1->body_left -= run;
    take_body(connection, bytes, run);
    if (h1->phase == H1_BODY_LENGTH && h1->body_left == 0)
        finish_request(connection);
    return run;
}

static size_t parse_chunked_body(struct connection *connection, const char *bytes, size_t count)
{
    struct h1 *h1 = connection->session;
    struct h1_span run;
    size_t used = h1_chunks_parse(&h1->chunks, bytes, count, &run);
    if (run.count > 0)
        take_body(connection, run.bytes, run.count);
    if (h1->phase != H1_BODY_CHUNKED)
        return used;
    if (h1->chunks.state == H1_CHUNK_DATA &&
        h1->chunks.left > connection->listener->limits.body_bytes_max) {
        refuse(connection, 413, "the request body is larger than this server takes");
    } else if (h1->chunks.state == H1_CHUNK_BAD) {
        COUNTER_ADD(connection->listener->counters.abuse[HTTP_ABUSE_AMBIGUOUS], 1);
        refuse(connection, 400, "the chunked request body is malformed");
    } else if (h1->chunks.state == H1_CHUNK_DONE)
        finish_request(connection);
    return used;
}

/* As far as these bytes and the order of exchanges allow; returns how many were used. */
static size_t advance(struct connection *connection, const char *bytes, size_t count)
{
    struct h1 *h1 = connection->session;
    size_t at = 0;
    while (at < count && connection->state == CONNECTION_OPEN) {
        size_t used = 0;
        switch (h1->phase) {
        case H1_HEAD:
            used = parse_head(connection, bytes + at, count - at);
            break;
        case H1_BODY_LENGTH:
            used = parse_length_body(connection, bytes + at, count - at);
            break;
        case H1_BODY_CHUNKED:
            used = parse_chunked_body(connection, bytes + at, count - at);
            break;
        case H1_WAIT:
            break;
        case H1_CLOSED:
            return count;
        }
        if (used == 0)
            break;
        at += used;
    }
    return at;
}

/* Parses what was read ahead, then keeps what is left. */
static void advance_input(struct connection *connection)
{
    struct h1 *h1 = connection->session;
    size_t used = advance(connection, text_string(&h1->in), h1->in.count);
    size_t left = h1->in.count - used;
    if (left == 0) {
        text_destroy(&h1->in);
    } else if (used > 0) {
        memmove(h1->in.bytes, h1->in.bytes + used, left);
        h1->in.count = left;
    }
    connection_pause_reading(connection, left >= H1_INPUT_BYTES_MAX);
}

static void h1_receive(struct connection *connection, const char *bytes, size_t count)
{
    struct h1 *h1 = connection->session;
    if (h1->in.count == 0) { /* the usual case: parsed where it lies */
        size_t used = advance(connection, bytes, count);
        bytes += used;
        count -= used;
        if (count == 0)
            return;
        text_append(&h1->in, bytes, count);
        connection_pause_reading(connection, h1->in.count >= H1_INPUT_BYTES_MAX);
    } else {
        text_append(&h1->in, bytes, count);
        advance_input(connection);
    }
    if (h1->in.failed)
        connection_break(connection);
}

static void h1_end_of_input(struct connection *connection)
{
    struct h1 *h1 = connection->session;
    if (h1->exchange != NULL && h1->exchange->answer_state != ANSWER_COMPLETE) {
        connection_break(connection);
        return;
    }
    h1->phase = H1_CLOSED; /* what is complete goes out, then the close */
    h1->keep_alive = false;
    if (h1->exchange == NULL)
        connection_finish(connection);
    connection_touch(connection);
}

/* -- Answering -- */

static void h1_answer_begin(struct exchange *exchange, const struct answer_head *head)
{
    struct connection *connection = exchange->connection;
    struct h1 *h1 = connection->session;
    struct text *out = &exchange->answer;
    if (connection->listener->draining)
        h1->keep_alive = false;
    exchange->chunked = !head->whole && exchange->version == HTTP_1_1 && !exchange->bodyless;
    if (!head->whole && exchange->version == HTTP_1_0)
        h1->keep_alive = false; /* the end of the stream is the end of the connection */
    text_append_string(out, "HTTP/1.1 ");
    text_append_u64(out, head->status);
    text_append_char(out, ' ');
    text_append_string(out, exchange_reason(head->status));
    text_append_string(out, "\r\ndate: ");
    text_append_string(out, connection->listener->date);
    for (size_t i = 0; i < head->header_count; i++) {
        if (!exchange_header_may_pass(&head->headers[i]))
            continue;
        text_append_string(out, "\r\n");
        text_append_string(out, head->headers[i].name);
        text_append_string(out, ": ");
        text_append_string(out, head->headers[i].value);
    }
    if (head->whole && head->status != 204 && head->status != 304) {
        text_append_string(out, "\r\ncontent-length: ");
        text_append_u64(out, head->body_count);
    }
    if (exchange->chunked)
        text_append_string(out, "\r\ntransfer-encoding: chunked");
    if (!h1->keep_alive)
        text_append_string(out, "\r\nconnection: close");
    else if (exchange->version == HTTP_1_0)
        text_append_string(out, "\r\nconnection: keep-alive");
    text_append_string(out, "\r\n\r\n");
}

static void h1_answer_write(struct exchange *exchange, const void *bytes, size_t count)
{
    if (exchange->chunked)
        text_append_format(&exchange->answer, "%zx\r\n", count);
    text_append(&exchange->answer, bytes, count);
    if (exchange->chunked)
        text_append(&exchange->answer, "\r\n", 2);
}

static void h1_answer_end(struct exchange *exchange)
{
    if (exchange->chunked)
        text_append_string(&exchange->answer, "0\r\n\r\n");
}

/* A reset, so that even a client reading to the end of the connection sees that it was cut. */
static void h1_answer_abort(struct exchange *exchange)
{
    const struct linger reset = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(exchange->connection->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    connection_break(exchange->connection);
}

/* Moves waiting bytes to out; true when the answer is all there. */
static bool move_answer(struct exchange *exchange, struct text *out)
{
    size_t count = exchange_waiting(exchange);
    if (count > CONNECTION_OUT_BYTES)
        count = CONNECTION_OUT_BYTES;
    if (count > 0 && text_reserve(out, count))
        out->count += exchange_take(exchange, out->bytes + out->count, count);
    return exchange->answer_state == ANSWER_COMPLETE && exchange_waiting(exchange) == 0;
}

/* The answer is sent. On to the next request; false when this one's body is still coming. */
static bool finish_exchange(struct connection *connection)
{
    struct h1 *h1 = connection->session;
    if (h1->keep_alive && h1->phase != H1_WAIT)
        return false;
    exchange_close(h1->exchange);
    h1->exchange = NULL;
    if (!h1->keep_alive) {
        h1->phase = H1_CLOSED;
        connection_finish(connection);
        return true;
    }
    h1->phase = H1_HEAD;
    h1->since_us = connection->listener->now_us;
    if (connection->listener->draining)
        connection_finish(connection);
    else if (h1->in.count > 0)
        advance_input(connection);
    return true;
}

static void h1_produce(struct connection *connection, struct text *out)
{
    struct h1 *h1 = connection->session;
    while (connection->state == CONNECTION_OPEN && h1->exchange != NULL &&
           out->count < CONNECTION_OUT_BYTES && !out->failed) {
        if (move_answer(h1->exchange, out)) {
            if (!finish_exchange(connection))
                return;
        } else if (exchange_waiting(h1->exchange) == 0) {
            return;
        }
    }
}

/* -- Time -- */

static void h1_drain(struct connection *connection)
{
    struct h1 *h1 = connection->session;
    if (h1->exchange == NULL && !h1->head_begun)
        connection_finish(connection);
    else if (h1->exchange == NULL || !exchange_answered(h1->exchange))
        h1->keep_alive = false; /* its answer's head will say so */
}

static void h1_cut(struct connection *connection)
{
    struct h1 *h1 = connection->session;
    bool reading = h1->phase == H1_HEAD
                       ? h1->head_begun
                       : h1->phase == H1_BODY_LENGTH || h1->phase == H1_BODY_CHUNKED;
    if (reading && (h1->exchange == NULL || !exchange_answered(h1->exchange)))
        refuse(connection, 503, EXCHANGE_CUT_TEXT);
}

static uint64_t h1_deadline(const struct connection *connection)
{
    const struct h1 *h1 = connection->session;
    const struct listener_limits *limits = &connection->listener->limits;
    switch (h1->phase) {
    case H1_HEAD:
        return h1->head_begun ? deadline_after(h1->since_us, limits->header_timeout_ms)
                              : deadline_after(h1->since_us, limits->idle_timeout_ms);
    case H1_BODY_LENGTH:
    case H1_BODY_CHUNKED:
        return deadline_after(h1->exchange->started_us, limits->body_timeout_ms);
    case H1_WAIT:
    case H1_CLOSED:
        break;
    }
    return UINT64_MAX; /* the answer takes as long as the application needs */
}

static void h1_expire(struct connection *connection, uint64_t now_us)
{
    (void)now_us;
    struct h1 *h1 = connection->session;
    COUNTER_ADD(connection->listener->counters.timeouts, 1);
    if (h1->phase != H1_HEAD || h1->head_begun)
        COUNTER_ADD(connection->listener->counters.abuse[HTTP_ABUSE_SLOW_REQUEST], 1);
    if (h1->phase == H1_HEAD && !h1->head_begun)
        connection_finish(connection);
    else if (h1->exchange != NULL && exchange_answered(h1->exchange))
        connection_break(connection); /* answered long ago; only the body dawdles */
    else
        refuse(connection, 408,
               h1->phase == H1_HEAD ? "the request's head did not come in time"
                                    : "the request's body did not come in time");
}

const struct protocol h1_protocol = {
    .receive = h1_receive,
    .end_of_input = h1_end_of_input,
    .produce = h1_produce,
    .drain = h1_drain,
    .cut = h1_cut,
    .deadline = h1_deadline,
    .expire = h1_expire,
    .free = h1_free,
    .answer_begin = h1_answer_begin,
    .answer_write = h1_answer_write,
    .answer_end = h1_answer_end,
    .answer_abort = h1_answer_abort,
};
