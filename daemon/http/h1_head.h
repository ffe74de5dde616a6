/* SPDX-License-Identifier: Apache-2.0 */
/* h1_head.h -- the grammar of HTTP/1.1 requests: heads and chunked bodies. Pure: bytes in, spans
 * out, no memory, no I/O. Any thread. */
#ifndef WEIR_DAEMON_HTTP_H1_HEAD_H
#define WEIR_DAEMON_HTTP_H1_HEAD_H

#include "daemon/http/exchange.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define H1_METHOD_BYTES_MAX 32u
/* A head with every limit of exchange.h reached, and its separators. */
#define H1_HEAD_BYTES_MAX                                                                          \
    (EXCHANGE_HEADER_BYTES_MAX + EXCHANGE_PATH_BYTES_MAX + 4u * EXCHANGE_HEADERS_MAX + 64u)
#define H1_CHUNK_LINE_BYTES_MAX 256u         /* a chunk's size and extensions */
#define H1_TRAILER_BYTES_MAX    (8u * 1024u) /* all trailers of a body */

/* Borrowed from the bytes parsed. */
struct h1_span {
    const char *bytes;
    size_t count;
};
struct h1_field {
    struct h1_span name, value; /* name as sent; value without the white space around it */
};

struct h1_head {
    struct h1_span method, target;
    bool version_1_1;
    struct h1_field fields[EXCHANGE_HEADERS_MAX];
    uint32_t field_count;
    bool chunked;
    bool has_length;
    uint64_t length; /* 0 unless has_length */
    bool expects_continue;
    bool keep_alive;
};

/* Bytes of the head at the front, its empty line included; 0 when it is not all there yet.
 * *scanned remembers how far we looked, so that a head in pieces is scanned once. */
size_t h1_head_find(const char *bytes, size_t count, size_t *scanned);

/* Reads a whole head (as h1_head_find() measured it). 0, or the status that refuses it, with
 * *ret_fault saying why in words for the client. */
uint32_t h1_head_parse(const char *bytes, size_t count, struct h1_head *ret,
                       const char **ret_fault);

enum h1_chunk_state {
    H1_CHUNK_SIZE,
    H1_CHUNK_EXTENSION,
    H1_CHUNK_SIZE_LF,
    H1_CHUNK_DATA,
    H1_CHUNK_DATA_CR,
    H1_CHUNK_DATA_LF,
    H1_CHUNK_TRAILER, /* at the start of a line */
    H1_CHUNK_TRAILER_LINE,
    H1_CHUNK_TRAILER_LF,
    H1_CHUNK_END_LF,
    H1_CHUNK_DONE,
    H1_CHUNK_BAD,
};
struct h1_chunks {
    enum h1_chunk_state state; /* zero: at the start of a body */
    uint64_t left;             /* of this chunk */
    uint32_t digits, line_bytes, trailer_bytes;
};

/* Reads on; returns how many bytes were used. *ret_body is the run of body bytes met, after which
 * it stops (empty when none). Look at chunks->state for DONE and BAD. */
size_t h1_chunks_parse(struct h1_chunks *chunks, const char *bytes, size_t count,
                       struct h1_span *ret_body);

#endif
