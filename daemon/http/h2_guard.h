/* SPDX-License-Identifier: Apache-2.0 */
/* h2_guard.h -- what a connection has cost for nothing, and when that is enough. Pure: events and
 * the clock in, a verdict out. The thread of its connection. */
#ifndef WEIR_DAEMON_HTTP_H2_GUARD_H
#define WEIR_DAEMON_HTTP_H2_GUARD_H

#include "daemon/http/listener.h"

#include <stddef.h>
#include <stdint.h>

#define H2_GUARD_WINDOW_MS   10000u /* what listener_limits.resets and .control_frames count in */
#define H2_FRAME_HEAD_BYTES  9u
#define H2_CONTINUATIONS_MAX 6u   /* of a header block; libnghttp2 takes 8, then hangs up */
#define H2_UPDATES_A_DATA    4u   /* WINDOW_UPDATEs that a DATA frame of ours may bring forth */
#define H2_TINY_BYTES        256u /* a DATA frame that a window cut shorter than this is tiny */
#define H2_DECODED_BYTES_MAX                                                                       \
    (4u * (EXCHANGE_HEADER_BYTES_MAX + EXCHANGE_PATH_BYTES_MAX + 32u * EXCHANGE_HEADERS_MAX))

struct h2_guard {
    const struct listener_limits *limits; /* borrowed: the listener, which may change them */

    /* owned state: where in the bytes we are */
    uint32_t payload_left; /* of the frame (or of the preface) */
    uint32_t head_count;
    uint8_t head[H2_FRAME_HEAD_BYTES];

    /* owned state: counts */
    uint64_t window_us; /* began */
    uint32_t resets;    /* of streams, by either side, in the window */
    uint32_t frames[HTTP_ABUSE_COUNT];
    uint32_t data_sent, data_sent_before; /* DATA frames, in this window and in the one before */
    uint32_t continuations;               /* of this header block */
    uint64_t decoded_bytes;               /* likewise: names, values, and 32 a field */
};

/* limits: those in force at each event. */
void h2_guard_init(struct h2_guard *guard, const struct listener_limits *limits);

/* Each returns HTTP_ABUSE_NONE, or the kind of which there was one too many. */
/* Bytes of the connection have come, from its preface on, cut anywhere. Counts the frames that
 * begin in them; looks at none behind the first that is too many, and is of no use after it. */
enum http_abuse h2_guard_read(struct h2_guard *guard, const char *bytes, size_t count,
                              uint64_t now_us);
void h2_guard_block(struct h2_guard *guard); /* a header block is about to be decoded */
/* A field of it is: its name and value have so many bytes. */
enum http_abuse h2_guard_decoded(struct h2_guard *guard, size_t bytes);
/* A frame has gone out; code: of an RST_STREAM. */
enum http_abuse h2_guard_sent(struct h2_guard *guard, uint8_t type, uint32_t code, uint64_t now_us);
/* More bytes wait than the window lets us put into a DATA frame. */
enum http_abuse h2_guard_cut(struct h2_guard *guard, size_t window_bytes, uint64_t now_us);

#endif
