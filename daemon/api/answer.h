/* SPDX-License-Identifier: Apache-2.0 */
/* answer.h -- every answer leaves through here: its headers, its line in the log, its metrics.
 *
 * After answer_*() gave the last of an answer the exchange may be gone: call->exchange is NULL. */
#ifndef WEIR_DAEMON_API_ANSWER_H
#define WEIR_DAEMON_API_ANSWER_H

#include "daemon/api/call.h"
#include "daemon/api/fault.h"
#include "daemon/api/limiting.h"

#include <stddef.h>
#include <stdint.h>

#define ANSWER_HEADERS_MAX 19u
#define ANSWER_LIMITS_MAX  6u /* x-ratelimit-* */

struct answer_headers {
    struct http_header headers[ANSWER_HEADERS_MAX]; /* values borrowed until the head is given */
    size_t count;
    char limits[ANSWER_LIMITS_MAX][LIMITING_VALUE_BYTES];
    char traceparent[TRACE_PARENT_BYTES + 1];
};

/* With content-type, x-request-id, traceparent where the call is part of a trace, and what the
 * tenant has left of its limits. Not moved after: headers point into it. */
void answer_headers_init(struct answer_headers *head, const struct call *call,
                         const char *content_type);
void answer_headers_add(struct answer_headers *head, const char *name, const char *value);

/* What a generation adds to the log line. */
struct answer_record {
    const char *model;
    const char *finish;     /* of the choice that ended worst; constants, both */
    const char *user_class; /* identity_class_name() */
    uint32_t prompt_tokens, completion_tokens, cached_tokens;
    uint64_t ttft_us;              /* 0: no token came */
    struct generation_times times; /* over its parts; what is 0 did not happen */
};

struct answer {
    uint32_t status;
    const struct answer_headers *head;
    const void *body;
    size_t count;
    const struct answer_record *record; /* NULL: not a generation's */
};

/* call->now_us is the time of the answer in all of these. */
void answer_give(struct call *call, const struct answer *answer);
/* 200 and a body of JSON; a body that failed to be built is 500. */
void answer_json(struct call *call, const struct text *body);
void answer_fault(struct call *call, const struct fault *fault, const struct answer_record *record);
/* The end of a stream whose head was 200. */
void answer_stream_end(struct call *call, const struct answer_record *record);
/* We break off a stream, or the client did: status 499 in the log and the metrics. */
void answer_stream_abort(struct call *call, const struct answer_record *record);
/* The protocol refused what was never shown to us: its line and its counters. */
void answer_refused(const struct call *call);
/* Where the protocol refused the request (413, 408), its status instead. */
void answer_gone(struct call *call, const struct answer_record *record);

#endif
