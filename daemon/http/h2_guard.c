/* SPDX-License-Identifier: Apache-2.0 */
/* h2_guard.c -- frames that cost us more than their sender.
 *
 * No single frame of HTTP/2 is an attack; what hurts is their number, for each makes a server do
 * something at no gain for anyone. So each kind is counted in windows of H2_GUARD_WINDOW_MS, and a
 * client with reasons stays far below what is allowed:
 *
 *     reset            RST_STREAM received: open, work begun, reset, again (CVE-2023-44487)
 *     provoked_reset   RST_STREAM that a client made us send, by a window of nothing, DATA where
 *                      there is none, a wrong length (CVE-2025-8671); one budget with the above
 *     settings, ping, priority, unknown_frame        each asks for an answer, or for our attention
 *     empty_frame      DATA, HEADERS or CONTINUATION with nothing in it that end nothing
 *     window_update    more of them than our DATA could have called for
 *     tiny_window      windows that cut an answer into thousands of frames
 *     continuation     a header block without end (CVE-2024-27316)
 *     header_bomb      a block that HPACK's references blow up: one byte a field on the wire, the
 *                      dynamic table's 4 KiB each for whoever checks it
 *
 * The last two are of one block, not of a window. Fixed windows, not token buckets: what a test or
 * an operator sees is a number in a time, and twice it at a window's edge hurts nobody.
 *
 * Frames are counted by their heads, as they come off the wire, for libnghttp2 tells nothing of
 * those that it passes over: types it does not know, DATA of streams that are closed.
 *
 * libnghttp2 has walls of its own behind these (8 CONTINUATIONs, 1000 resets, acks queued), which
 * close the connection without saying why, and which other builds of it lack. */
#include "daemon/http/h2_guard.h"

#include "daemon/http/connection.h"

#include <nghttp2/nghttp2.h>

#define UNKNOWN_FIRST 10u  /* the first type that RFC 9113 does not name */
#define FIELD_BYTES   32u  /* on top of name and value: RFC 9113, section 6.5.2 */
#define UPDATE_TYPE   0x10 /* PRIORITY_UPDATE, RFC 9218 */

void h2_guard_init(struct h2_guard *guard, const struct listener_limits *limits)
{
    *guard = (struct h2_guard){
        .limits = limits,
        .payload_left = sizeof CONNECTION_PREFACE - 1,
    };
}

static void turn_window(struct h2_guard *guard, uint64_t now_us)
{
    const uint64_t window_us = (uint64_t)H2_GUARD_WINDOW_MS * 1000u;
    uint64_t passed_us = now_us - guard->window_us;
    if (passed_us < window_us)
        return;
    guard->window_us = now_us;
    guard->resets = 0;
    guard->data_sent_before = passed_us < 2 * window_us ? guard->data_sent : 0;
    guard->data_sent = 0;
    for (unsigned kind = 0; kind < HTTP_ABUSE_COUNT; kind++)
        guard->frames[kind] = 0;
}

static enum http_abuse count_frame(struct h2_guard *guard, enum http_abuse kind, uint64_t allowed)
{
    return ++guard->frames[kind] > allowed ? kind : HTTP_ABUSE_NONE;
}

static enum http_abuse count_reset(struct h2_guard *guard, enum http_abuse kind)
{
    return ++guard->resets > guard->limits->resets_max ? kind : HTTP_ABUSE_NONE;
}

static enum http_abuse count_block(struct h2_guard *guard, uint8_t type)
{
    if (type == NGHTTP2_HEADERS) {
        guard->continuations = 0;
        return HTTP_ABUSE_NONE;
    }
    return ++guard->continuations > H2_CONTINUATIONS_MAX ? HTTP_ABUSE_CONTINUATION
                                                         : HTTP_ABUSE_NONE;
}

static enum http_abuse count_received(struct h2_guard *guard, uint8_t type, uint32_t bytes,
                                      uint8_t flags)
{
    uint64_t allowed = guard->limits->control_frames_max;
    bool ends = type != NGHTTP2_CONTINUATION && (flags & NGHTTP2_FLAG_END_STREAM) != 0;
    switch (type) {
    case NGHTTP2_HEADERS:
    case NGHTTP2_CONTINUATION:
        if (count_block(guard, type) != HTTP_ABUSE_NONE)
            return HTTP_ABUSE_CONTINUATION;
        /* fall through */
    case NGHTTP2_DATA:
        if (bytes > 0 || ends)
            return HTTP_ABUSE_NONE;
        return count_frame(guard, HTTP_ABUSE_EMPTY_FRAME, allowed);
    case NGHTTP2_RST_STREAM:
        return count_reset(guard, HTTP_ABUSE_RESET);
    case NGHTTP2_SETTINGS:
        return count_frame(guard, HTTP_ABUSE_SETTINGS, allowed);
    case NGHTTP2_PING:
        return count_frame(guard, HTTP_ABUSE_PING, allowed);
    case NGHTTP2_PRIORITY:
    case UPDATE_TYPE:
        return count_frame(guard, HTTP_ABUSE_PRIORITY, allowed);
    case NGHTTP2_WINDOW_UPDATE:
        allowed += H2_UPDATES_A_DATA * ((uint64_t)guard->data_sent + guard->data_sent_before);
        return count_frame(guard, HTTP_ABUSE_WINDOW_UPDATE, allowed);
    default:
        if (type < UNKNOWN_FIRST)
            return HTTP_ABUSE_NONE; /* GOAWAY, PUSH_PROMISE: one is the end or an error */
        return count_frame(guard, HTTP_ABUSE_UNKNOWN_FRAME, allowed);
    }
}

enum http_abuse h2_guard_read(struct h2_guard *guard, const char *bytes, size_t count,
                              uint64_t now_us)
{
    const uint8_t *head = guard->head;
    turn_window(guard, now_us);
    for (size_t at = 0; at < count;) {
        if (guard->payload_left > 0) {
            uint32_t run =
                count - at < guard->payload_left ? (uint32_t)(count - at) : guard->payload_left;
            guard->payload_left -= run;
            at += run;
            continue;
        }
        guard->head[guard->head_count++] = (uint8_t)bytes[at++];
        if (guard->head_count < H2_FRAME_HEAD_BYTES)
            continue;
        guard->head_count = 0;
        guard->payload_left = (uint32_t)head[0] << 16 | (uint32_t)head[1] << 8 | head[2];
        enum http_abuse kind = count_received(guard, head[3], guard->payload_left, head[4]);
        if (kind != HTTP_ABUSE_NONE)
            return kind;
    }
    return HTTP_ABUSE_NONE;
}

void h2_guard_block(struct h2_guard *guard)
{
    guard->decoded_bytes = 0;
}

enum http_abuse h2_guard_decoded(struct h2_guard *guard, size_t bytes)
{
    guard->decoded_bytes += bytes + FIELD_BYTES;
    return guard->decoded_bytes > H2_DECODED_BYTES_MAX ? HTTP_ABUSE_HEADER_BOMB : HTTP_ABUSE_NONE;
}

enum http_abuse h2_guard_sent(struct h2_guard *guard, uint8_t type, uint32_t code, uint64_t now_us)
{
    turn_window(guard, now_us);
    if (type == NGHTTP2_DATA)
        guard->data_sent++;
    /* NO_ERROR ends a stream answered early, INTERNAL_ERROR one that we could not serve. */
    if (type != NGHTTP2_RST_STREAM || code == NGHTTP2_NO_ERROR || code == NGHTTP2_INTERNAL_ERROR)
        return HTTP_ABUSE_NONE;
    return count_reset(guard, HTTP_ABUSE_PROVOKED_RESET);
}

enum http_abuse h2_guard_cut(struct h2_guard *guard, size_t window_bytes, uint64_t now_us)
{
    turn_window(guard, now_us);
    if (window_bytes >= H2_TINY_BYTES)
        return HTTP_ABUSE_NONE;
    return count_frame(guard, HTTP_ABUSE_TINY_WINDOW, guard->limits->control_frames_max);
}
