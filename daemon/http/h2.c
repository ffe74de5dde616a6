/* SPDX-License-Identifier: Apache-2.0 */
/* h2.c -- HTTP/2: many exchanges on one connection.
 *
 * nghttp2 keeps the frames, HPACK, flow control and the state of streams, and does no I/O; this
 * file turns its events into exchanges and exchanges' answers into its submissions.
 *
 *     mem_recv -> on_begin_headers, on_header, on_frame_recv, on_data_chunk -> exchange_tell_*()
 *     exchange_respond() ... -> submit_response, resume_data             (only notes: no frame yet)
 *     flush -> mem_send -> on_read_answer, on_frame_send, on_stream_close   -> out, one send
 *
 * An exchange is the stream's user data and dies in on_stream_close() (or with the connection),
 * nowhere else; nghttp2 calls that from mem_recv or mem_send, so never within an application's
 * call.
 *
 * A stream whose client does not read is held by its flow-control window: its bytes wait in
 * exchange->answer, exchange_stream_write() says how many, and the others go on. Past
 * write_timeout_ms without a byte taken it is reset.
 *
 * A request that is whole is begun when all that was read with it has been looked at, not before:
 * one that is reset in the same breath (by its client, or by us for what the client sends next)
 * costs no work at all.
 *
 * Received body bytes are copied and their windows opened again at once; what bounds memory are
 * body_bytes_max a stream and H2_BODIES_PER_MAX times that a connection, beyond which new bytes are
 * refused rather than left waiting, for the streams that hold the memory may run for minutes.
 *
 * What hostile clients try is met by h2_guard.c, which counts, by H2_OUTBOUND_MAX for those who ask
 * and do not read, and by the time limits. Whatever it is, the end is one: nghttp2 is not asked
 * again (what it has queued may be the harm), every exchange is told, a GOAWAY written here goes
 * out, and the connection closes.
 *
 * Going away is told in two steps (RFC 9113, section 6.8): a GOAWAY that names no stream, so that
 * requests already on their way are still served, then, after a round trip (the ack of a PING) or
 * H2_DRAIN_NOTICE_MS, one that names the last stream. */
#include "daemon/http/h2.h"

#include "daemon/http/connection.h"
#include "daemon/http/exchange_inner.h"
#include "daemon/http/h2_guard.h"
#include "daemon/http/listener_inner.h"

#include <assert.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define H2_CONTENT_LENGTH_BYTES 24

struct h2 {
    nghttp2_session *frames;
    bool exhausted; /* nghttp2 ran out of memory half-way: see h2_free() */
    bool settings_seen;
    uint64_t head_since_us;  /* a header block is being received since; 0: none */
    uint64_t idle_since_us;  /* no exchange is open since */
    uint64_t drain_since_us; /* 0: not draining */
    bool drain_told;         /* the last GOAWAY is submitted */
    bool ending;             /* with this code, as soon as nghttp2 returns */
    uint32_t ending_code;
    struct h2_guard guard;
    struct exchange *request_head, *request_tail; /* on_request due, in the order they came */
};

static struct exchange *exchange_of(nghttp2_session *frames, int32_t stream_id)
{
    return nghttp2_session_get_stream_user_data(frames, stream_id);
}

/* -- The end of a connection that went wrong -- */

/* Returns what makes nghttp2 stop where it is. */
static int end_with(struct connection *connection, uint32_t code)
{
    struct h2 *h2 = connection->session;
    h2->ending = true;
    h2->ending_code = code;
    return NGHTTP2_ERR_CALLBACK_FAILURE;
}

/* 0, or the end with ENHANCE_YOUR_CALM. */
static int weigh(struct connection *connection, enum http_abuse kind)
{
    if (kind == HTTP_ABUSE_NONE)
        return 0;
    connection_abused(connection, kind);
    return end_with(connection, NGHTTP2_ENHANCE_YOUR_CALM);
}

static void put_request(struct h2 *h2, struct exchange *exchange)
{
    exchange->request_due = true;
    exchange->request_next = NULL;
    if (h2->request_tail != NULL)
        h2->request_tail->request_next = exchange;
    else
        h2->request_head = exchange;
    h2->request_tail = exchange;
}

static void drop_request(struct h2 *h2, struct exchange *exchange)
{
    if (!exchange->request_due)
        return;
    exchange->request_due = false;
    struct exchange *before = NULL;
    for (struct exchange *each = h2->request_head; each != exchange; each = each->request_next)
        before = each;
    if (before != NULL)
        before->request_next = exchange->request_next;
    else
        h2->request_head = exchange->request_next;
    if (h2->request_tail == exchange)
        h2->request_tail = before;
}

/* No nghttp2 is on the stack. */
static void begin_requests(struct h2 *h2)
{
    while (h2->request_head != NULL) {
        struct exchange *exchange = h2->request_head;
        drop_request(h2, exchange);
        exchange_tell_request(exchange);
    }
}

/* The exchanges stay, deaf and mute, until the connection is freed. */
static void tell_all_gone(struct connection *connection)
{
    for (struct exchange *each = connection->exchanges; each != NULL; each = each->next) {
        exchange_vanish(each);
        each->broken = true;
    }
}

static void put_u32(char *to, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        to[i] = (char)(value >> (24 - 8 * i));
}

/* All that nghttp2 gave out were whole frames: this one may follow. */
static void write_goaway(struct connection *connection, struct text *out)
{
    const struct h2 *h2 = connection->session;
    char goaway[9 + 8] = {0, 0, 8, NGHTTP2_GOAWAY};
    put_u32(goaway + 9, (uint32_t)nghttp2_session_get_last_proc_stream_id(h2->frames));
    put_u32(goaway + 13, h2->ending_code);
    text_append(out, goaway, sizeof goaway);
    COUNTER_ADD(connection->listener->counters.protocol_errors, 1);
    tell_all_gone(connection);
    connection_finish(connection);
}

/* -- Requests come in: nghttp2 calls, within mem_recv -- */

static int on_begin_frame(nghttp2_session *frames, const nghttp2_frame_hd *head, void *argument)
{
    (void)frames;
    struct connection *connection = argument;
    struct h2 *h2 = connection->session;
    /* nghttp2 does not look at PRIORITY any more: RFC 9113, section 6.3 */
    if (head->type == NGHTTP2_PRIORITY && head->stream_id == 0)
        return end_with(connection, NGHTTP2_PROTOCOL_ERROR);
    if (head->type == NGHTTP2_HEADERS) {
        h2->head_since_us = connection->listener->now_us;
        h2_guard_block(&h2->guard);
    } else if (head->type != NGHTTP2_CONTINUATION) {
        h2->head_since_us = 0;
    }
    return 0;
}

static int on_begin_headers(nghttp2_session *frames, const nghttp2_frame *frame, void *argument)
{
    struct connection *connection = argument;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    struct exchange *exchange = exchange_open(connection);
    if (exchange == NULL)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    exchange->version = HTTP_2;
    exchange->stream_id = frame->hd.stream_id;
    (void)nghttp2_session_set_stream_user_data(frames, frame->hd.stream_id, exchange);
    return 0;
}

/* nghttp2 has checked order, spelling and completeness; :scheme is of no use to us. */
static void take_pseudo_header(struct exchange *exchange, const char *name, const char *value,
                               size_t count)
{
    if (strcmp(name, ":method") == 0) {
        if (count > EXCHANGE_HEADER_BYTES_MAX)
            exchange->head_fault = 431;
        else
            exchange->method = exchange_keep(exchange, value, count);
    } else if (strcmp(name, ":path") == 0) {
        exchange_set_target(exchange, value, count);
    } else if (strcmp(name, ":authority") == 0) {
        exchange_add_field(exchange, "host", 4, value, count);
    }
}

static int on_header(nghttp2_session *frames, const nghttp2_frame *frame, nghttp2_rcbuf *name,
                     nghttp2_rcbuf *value, uint8_t flags, void *argument)
{
    (void)flags;
    struct connection *connection = argument;
    struct h2 *h2 = connection->session;
    nghttp2_vec n = nghttp2_rcbuf_get_buf(name), v = nghttp2_rcbuf_get_buf(value);
    int stop = weigh(connection, h2_guard_decoded(&h2->guard, n.len + v.len));
    if (stop != 0)
        return stop;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0; /* trailers are dropped */
    struct exchange *exchange = exchange_of(frames, frame->hd.stream_id);
    if (exchange == NULL || exchange->head_fault != 0)
        return 0;
    if (n.base[0] == ':')
        take_pseudo_header(exchange, (const char *)n.base, (const char *)v.base, v.len);
    else
        exchange_add_field(exchange, (const char *)n.base, n.len, (const char *)v.base, v.len);
    return 0;
}

/* nghttp2 would drop the malformed field and go on; a request that we misread is worse. */
static int on_invalid_header(nghttp2_session *frames, const nghttp2_frame *frame,
                             nghttp2_rcbuf *name, nghttp2_rcbuf *value, uint8_t flags,
                             void *argument)
{
    (void)frames;
    (void)frame;
    (void)name;
    (void)value;
    (void)flags;
    (void)argument;
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static const char *fault_text(uint32_t status)
{
    switch (status) {
    case 414:
        return "the request target is too long";
    case 431:
        return "the headers are too many or too large";
    default:
        return "there is no memory for this request";
    }
}

static bool announces_too_much(const struct exchange *exchange)
{
    const char *length = exchange_header(exchange, "content-length");
    size_t max = exchange->connection->listener->limits.body_bytes_max;
    return length != NULL && strtoull(length, NULL, 10) > max; /* nghttp2 let only digits pass */
}

static void end_head(struct exchange *exchange)
{
    exchange->started_us = exchange->connection->listener->now_us;
    if (exchange->head.failed)
        exchange->head_fault = 503;
    if (exchange->head_fault != 0)
        exchange_refuse(exchange, exchange->head_fault, fault_text(exchange->head_fault));
    else if (announces_too_much(exchange))
        exchange_refuse(exchange, 413, "the request body is larger than this server takes");
    else
        exchange_tell_headers(exchange);
}

static void tell_last_stream(struct h2 *h2)
{
    if (h2->drain_told)
        return;
    h2->drain_told = true;
    (void)nghttp2_submit_goaway(h2->frames, NGHTTP2_FLAG_NONE,
                                nghttp2_session_get_last_proc_stream_id(h2->frames),
                                NGHTTP2_NO_ERROR, NULL, 0);
}

static int on_frame_recv(nghttp2_session *frames, const nghttp2_frame *frame, void *argument)
{
    struct connection *connection = argument;
    struct h2 *h2 = connection->session;
    h2->head_since_us = 0;
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
    case NGHTTP2_DATA: {
        struct exchange *exchange = exchange_of(frames, frame->hd.stream_id);
        if (exchange == NULL)
            break;
        if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
            end_head(exchange);
        if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0)
            put_request(h2, exchange);
        break;
    }
    case NGHTTP2_SETTINGS:
        h2->settings_seen = true;
        break;
    case NGHTTP2_PING:
        if ((frame->hd.flags & NGHTTP2_FLAG_ACK) != 0 && h2->drain_since_us != 0)
            tell_last_stream(h2);
        break;
    default:
        break;
    }
    return 0;
}

/* nghttp2 resets the stream, with the next it sends: whoever provoked that has no work begun. */
static int on_invalid_frame(nghttp2_session *frames, const nghttp2_frame *frame, int error,
                            void *argument)
{
    (void)error;
    struct connection *connection = argument;
    struct exchange *exchange = exchange_of(frames, frame->hd.stream_id);
    if (exchange == NULL)
        return 0;
    drop_request(connection->session, exchange);
    exchange_vanish(exchange);
    exchange->broken = true;
    return 0;
}

/* The bodies that this connection's exchanges hold. */
static size_t body_bytes(const struct connection *connection)
{
    size_t sum = 0;
    for (const struct exchange *each = connection->exchanges; each != NULL; each = each->next)
        sum += each->body.count;
    return sum;
}

static int on_data_chunk(nghttp2_session *frames, uint8_t flags, int32_t stream_id,
                         const uint8_t *bytes, size_t count, void *argument)
{
    (void)flags;
    struct connection *connection = argument;
    size_t max = connection->listener->limits.body_bytes_max;
    struct exchange *exchange = exchange_of(frames, stream_id);
    if (exchange == NULL || exchange_answered(exchange))
        return 0; /* dropped; the stream ends with its answer */
    if (exchange->body.count + count > max) {
        exchange_refuse(exchange, 413, "the request body is larger than this server takes");
        return 0;
    }
    if (body_bytes(connection) + count > max * H2_BODIES_PER_MAX) {
        exchange_refuse(exchange, 503, "this connection has too many request bodies open");
        return 0;
    }
    text_append(&exchange->body, bytes, count);
    if (exchange->body.failed)
        exchange_refuse(exchange, 503, "there is no memory for the request body");
    return 0;
}

static void h2_receive(struct connection *connection, const char *bytes, size_t count)
{
    struct h2 *h2 = connection->session;
    if (h2->ending)
        return;
    ssize_t used =
        weigh(connection, h2_guard_read(&h2->guard, bytes, count, connection->listener->now_us));
    if (used == 0)
        used = nghttp2_session_mem_recv(h2->frames, (const uint8_t *)bytes, count);
    h2->exhausted |= used == NGHTTP2_ERR_NOMEM;
    if (used >= 0 && !h2->ending)
        begin_requests(h2);
    if (used == NGHTTP2_ERR_FLOODED ||
        nghttp2_session_get_outbound_queue_size(h2->frames) > H2_OUTBOUND_MAX)
        (void)weigh(connection, HTTP_ABUSE_UNREAD);
    if (h2->ending && !connection->blocked) {
        connection_pause_reading(connection, true); /* the GOAWAY is built by the flush */
    } else if (used < 0 || h2->ending) {
        COUNTER_ADD(connection->listener->counters.protocol_errors, 1);
        connection_break(connection);
    }
    connection_touch(connection);
}

static void h2_end_of_input(struct connection *connection)
{
    connection_break(connection);
}

/* -- Answers go out -- */

static ssize_t on_read_answer(nghttp2_session *frames, int32_t stream_id, uint8_t *to, size_t count,
                              uint32_t *ret_flags, nghttp2_data_source *source, void *argument)
{
    (void)frames;
    (void)stream_id;
    struct connection *connection = argument;
    struct h2 *h2 = connection->session;
    struct exchange *exchange = source->ptr;
    if (exchange_waiting(exchange) > count) {
        int stop = weigh(connection, h2_guard_cut(&h2->guard, count, connection->listener->now_us));
        if (stop != 0)
            return stop;
    }
    size_t taken = exchange_take(exchange, to, count);
    if (exchange_waiting(exchange) == 0 && exchange->answer_state == ANSWER_COMPLETE) {
        *ret_flags |= NGHTTP2_DATA_FLAG_EOF;
    } else if (taken == 0) {
        exchange->deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    return (ssize_t)taken;
}

static nghttp2_nv header_of(const char *name, const char *value)
{
    return (nghttp2_nv){(uint8_t *)name, (uint8_t *)value, strlen(name), strlen(value),
                        NGHTTP2_NV_FLAG_NONE};
}

static void h2_answer_begin(struct exchange *exchange, const struct answer_head *head)
{
    struct connection *connection = exchange->connection;
    struct h2 *h2 = connection->session;
    nghttp2_nv headers[EXCHANGE_ANSWER_HEADERS_MAX + 3];
    size_t count = 0;
    char status[4], length[H2_CONTENT_LENGTH_BYTES];
    (void)snprintf(status, sizeof status, "%u", head->status);
    headers[count++] = header_of(":status", status);
    headers[count++] = header_of("date", connection->listener->date);
    for (size_t i = 0; i < head->header_count; i++) {
        if (!exchange_header_may_pass(&head->headers[i]))
            continue;
        headers[count] = header_of(head->headers[i].name, head->headers[i].value);
        /* Ids and counts are new in each answer: in HPACK's table they would only push out what
         * comes again, at the price of an entry made and thrown away. */
        if (strcmp(head->headers[i].name, "content-type") != 0)
            headers[count].flags = NGHTTP2_NV_FLAG_NO_INDEX;
        count++;
    }
    if (head->whole && head->status != 204 && head->status != 304) {
        (void)snprintf(length, sizeof length, "%zu", head->body_count);
        headers[count++] = header_of("content-length", length);
    }
    const nghttp2_data_provider body = {.source.ptr = exchange, .read_callback = on_read_answer};
    bool empty = head->whole && (head->body_count == 0 || exchange->bodyless);
    if (nghttp2_submit_response(h2->frames, exchange->stream_id, headers, count,
                                empty ? NULL : &body) != 0) {
        exchange->answer.failed = true; /* no memory, as if the bytes had found none */
        return;
    }
    if (head->whole)
        return;
    /* Streams of one urgency take turns; a whole answer goes out in one piece. */
    const nghttp2_extpri turns = {.urgency = NGHTTP2_EXTPRI_DEFAULT_URGENCY, .inc = 1};
    (void)nghttp2_session_change_extpri_stream_priority(h2->frames, exchange->stream_id, &turns, 0);
}

static void resume(struct exchange *exchange)
{
    struct h2 *h2 = exchange->connection->session;
    if (!exchange->deferred)
        return;
    exchange->deferred = false;
    if (nghttp2_session_resume_data(h2->frames, exchange->stream_id) == NGHTTP2_ERR_NOMEM)
        exchange->answer.failed = h2->exhausted = true;
}

static void h2_answer_write(struct exchange *exchange, const void *bytes, size_t count)
{
    text_append(&exchange->answer, bytes, count);
    resume(exchange);
}

static void reset_stream(struct exchange *exchange, uint32_t code)
{
    struct h2 *h2 = exchange->connection->session;
    exchange->broken = true;
    if (nghttp2_submit_rst_stream(h2->frames, NGHTTP2_FLAG_NONE, exchange->stream_id, code) != 0)
        connection_break(exchange->connection);
    connection_touch(exchange->connection);
}

static void h2_answer_abort(struct exchange *exchange)
{
    reset_stream(exchange, NGHTTP2_INTERNAL_ERROR);
}

static int on_frame_send(nghttp2_session *frames, const nghttp2_frame *frame, void *argument)
{
    struct connection *connection = argument;
    struct h2 *h2 = connection->session;
    int32_t id = frame->hd.stream_id;
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
    case NGHTTP2_DATA:
        /* The answer is whole and the request is not: RFC 9113, section 8.1. */
        if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0 &&
            nghttp2_session_get_stream_remote_close(frames, id) == 0)
            (void)nghttp2_submit_rst_stream(frames, NGHTTP2_FLAG_NONE, id, NGHTTP2_NO_ERROR);
        break;
    case NGHTTP2_RST_STREAM:
        if (frame->rst_stream.error_code == NGHTTP2_PROTOCOL_ERROR)
            COUNTER_ADD(connection->listener->counters.protocol_errors, 1);
        break;
    case NGHTTP2_GOAWAY:
        if (frame->goaway.error_code != NGHTTP2_NO_ERROR)
            COUNTER_ADD(connection->listener->counters.protocol_errors, 1);
        break;
    default:
        break;
    }
    uint32_t code = frame->hd.type == NGHTTP2_RST_STREAM ? frame->rst_stream.error_code : 0;
    return weigh(connection,
                 h2_guard_sent(&h2->guard, frame->hd.type, code, connection->listener->now_us));
}

static int on_stream_close(nghttp2_session *frames, int32_t stream_id, uint32_t code,
                           void *argument)
{
    (void)code;
    struct connection *connection = argument;
    struct h2 *h2 = connection->session;
    struct exchange *exchange = exchange_of(frames, stream_id);
    if (exchange == NULL)
        return 0;
    h2->head_since_us = 0;
    drop_request(h2, exchange);
    exchange_vanish(exchange);
    (void)nghttp2_session_set_stream_user_data(frames, stream_id, NULL);
    exchange_close(exchange);
    if (connection->exchange_count == 0)
        h2->idle_since_us = connection->listener->now_us;
    return 0;
}

static void h2_produce(struct connection *connection, struct text *out)
{
    struct h2 *h2 = connection->session;
    ssize_t count = 1;
    while (count > 0 && out->count < CONNECTION_OUT_BYTES && !h2->ending) {
        const uint8_t *bytes;
        count = nghttp2_session_mem_send(h2->frames, &bytes);
        if (count > 0)
            text_append(out, bytes, (size_t)count);
    }
    h2->exhausted |= count == NGHTTP2_ERR_NOMEM;
    if (h2->ending)
        write_goaway(connection, out);
    else if (count < 0)
        connection_break(connection);
    else if (count == 0 && !nghttp2_session_want_read(h2->frames) &&
             !nghttp2_session_want_write(h2->frames))
        connection_finish(connection);
}

/* -- Time -- */

static void h2_drain(struct connection *connection)
{
    struct h2 *h2 = connection->session;
    h2->drain_since_us = connection->listener->now_us;
    if (nghttp2_submit_shutdown_notice(h2->frames) != 0 ||
        nghttp2_submit_ping(h2->frames, NGHTTP2_FLAG_NONE, NULL) != 0)
        connection_break(connection);
    connection_touch(connection);
}

static uint64_t body_deadline(const struct exchange *exchange)
{
    if (exchange->request_complete || exchange->started_us == 0 ||
        exchange->answer_state == ANSWER_COMPLETE)
        return UINT64_MAX;
    return deadline_after(exchange->started_us,
                          exchange->connection->listener->limits.body_timeout_ms);
}

static uint64_t stall_deadline(const struct exchange *exchange)
{
    if (exchange->broken || exchange_waiting(exchange) == 0)
        return UINT64_MAX;
    return deadline_after(exchange->progress_us,
                          exchange->connection->listener->limits.write_timeout_ms);
}

static uint64_t head_deadline(const struct connection *connection)
{
    const struct h2 *h2 = connection->session;
    uint32_t ms = connection->listener->limits.header_timeout_ms;
    if (!h2->settings_seen)
        return deadline_after(connection->opened_us, ms);
    return h2->head_since_us == 0 ? UINT64_MAX : deadline_after(h2->head_since_us, ms);
}

static uint64_t idle_deadline(const struct connection *connection)
{
    const struct h2 *h2 = connection->session;
    if (connection->exchange_count > 0)
        return UINT64_MAX;
    return deadline_after(h2->idle_since_us, connection->listener->limits.idle_timeout_ms);
}

static uint64_t drain_deadline(const struct connection *connection)
{
    const struct h2 *h2 = connection->session;
    if (h2->drain_since_us == 0 || h2->drain_told)
        return UINT64_MAX;
    return deadline_after(h2->drain_since_us, H2_DRAIN_NOTICE_MS);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t h2_deadline(const struct connection *connection)
{
    uint64_t next = earlier(head_deadline(connection), idle_deadline(connection));
    next = earlier(next, drain_deadline(connection));
    for (const struct exchange *each = connection->exchanges; each != NULL; each = each->next)
        next = earlier(next, earlier(body_deadline(each), stall_deadline(each)));
    return next;
}

static void h2_expire(struct connection *connection, uint64_t now_us)
{
    struct h2 *h2 = connection->session;
    connection_touch(connection);
    if (drain_deadline(connection) <= now_us)
        tell_last_stream(h2);
    if (head_deadline(connection) <= now_us || idle_deadline(connection) <= now_us) {
        COUNTER_ADD(connection->listener->counters.timeouts, 1);
        if (head_deadline(connection) <= now_us)
            COUNTER_ADD(connection->listener->counters.abuse[HTTP_ABUSE_SLOW_REQUEST], 1);
        uint32_t code = h2->settings_seen ? NGHTTP2_NO_ERROR : NGHTTP2_SETTINGS_TIMEOUT;
        if (nghttp2_session_terminate_session(h2->frames, code) != 0)
            connection_break(connection);
        h2->settings_seen = true; /* it has gone away: said once */
        h2->head_since_us = 0;
        h2->idle_since_us = now_us;
        return;
    }
    /* on_gone may speak of neighbours, but it frees none: the list stands still meanwhile. */
    for (struct exchange *each = connection->exchanges; each != NULL; each = each->next) {
        bool late = body_deadline(each) <= now_us;
        if (!late && stall_deadline(each) > now_us)
            continue;
        COUNTER_ADD(connection->listener->counters.timeouts, 1);
        COUNTER_ADD(connection->listener->counters
                        .abuse[late ? HTTP_ABUSE_SLOW_REQUEST : HTTP_ABUSE_STALLED_WINDOW],
                    1);
        if (late)
            exchange_refuse(each, 408, "the request's body did not come in time");
        else
            reset_stream(each, NGHTTP2_CANCEL);
    }
}

/* Streams that come now are past the last one, and never begun. */
static void h2_cut(struct connection *connection)
{
    tell_last_stream(connection->session);
    connection_touch(connection);
    for (struct exchange *each = connection->exchanges; each != NULL; each = each->next)
        if (each->started_us != 0 && !each->request_complete && !exchange_answered(each))
            exchange_refuse(each, 503, EXCHANGE_CUT_TEXT);
}

/* -- Life -- */

void h2_unprepare(struct listener *listener)
{
    nghttp2_session_callbacks_del(listener->h2_callbacks);
    nghttp2_option_del(listener->h2_option);
    listener->h2_callbacks = NULL;
    listener->h2_option = NULL;
}

int h2_prepare(struct listener *listener, struct error *err)
{
    if (nghttp2_session_callbacks_new(&listener->h2_callbacks) != 0 ||
        nghttp2_option_new(&listener->h2_option) != 0)
        return error_no_memory(err);
    nghttp2_session_callbacks *callbacks = listener->h2_callbacks;
    nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, on_begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback2(callbacks, on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback2(callbacks, on_invalid_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data_chunk);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_send);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_option_set_no_closed_streams(listener->h2_option, 1);
    nghttp2_option_set_max_outbound_ack(listener->h2_option, H2_OUTBOUND_MAX);
    return 0;
}

bool h2_start(struct connection *connection)
{
    struct listener *listener = connection->listener;
    struct h2 *h2 = calloc(1, sizeof *h2);
    if (h2 == NULL)
        return false;
    h2->idle_since_us = listener->now_us;
    h2_guard_init(&h2->guard, &listener->limits);
    if (nghttp2_session_server_new2(&h2->frames, listener->h2_callbacks, connection,
                                    listener->h2_option) != 0)
        goto fail;
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, listener->limits.streams_max},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, H2_STREAM_WINDOW},
        /* 32 a field is how RFC 9113, section 10.5.1 counts */
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)listener->limits.header_bytes_max +
                                                    EXCHANGE_PATH_BYTES_MAX +
                                                    32u * (listener->limits.headers_max + 4u)},
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
    };
    if (nghttp2_submit_settings(h2->frames, NGHTTP2_FLAG_NONE, settings,
                                sizeof settings / sizeof *settings) != 0 ||
        nghttp2_session_set_local_window_size(h2->frames, NGHTTP2_FLAG_NONE, 0,
                                              H2_CONNECTION_WINDOW) != 0)
        goto fail;
    connection->session = h2;
    return true;

fail:
    nghttp2_session_del(h2->frames);
    free(h2);
    return false;
}

/* nghttp2 1.52 can be left holding a queue item that it has freed already, when an allocation
 * fails between sending HEADERS and queueing their DATA. Leaking that session, once, is the lesser
 * evil; held by http_memory_test.c. */
static void h2_free(struct connection *connection)
{
    struct h2 *h2 = connection->session;
    if (!h2->exhausted)
        nghttp2_session_del(h2->frames);
    free(h2);
    connection->session = NULL;
}

const struct protocol h2_protocol = {
    .receive = h2_receive,
    .end_of_input = h2_end_of_input,
    .produce = h2_produce,
    .drain = h2_drain,
    .cut = h2_cut,
    .deadline = h2_deadline,
    .expire = h2_expire,
    .free = h2_free,
    .answer_begin = h2_answer_begin,
    .answer_write = h2_answer_write,
    .answer_end = resume,
    .answer_abort = h2_answer_abort,
};
