/* SPDX-License-Identifier: Apache-2.0 */
/* otlp.h -- requests as spans, in the JSON encoding of OTLP/HTTP (/v1/traces). Pure.
 *
 *     POST /v1/chat/completions  |--------------------------------|   SERVER, HTTP conventions
 *       queue                      |---|                              INTERNAL, as the two below
 *       prefill                        |------|
 *       decode                                |------------------|    GenAI conventions
 *
 * A request that asked no model is its server span alone. No prompt, no answer, no user, no key
 * and no address is in a span. */
#ifndef WEIR_DAEMON_OTLP_H
#define WEIR_DAEMON_OTLP_H

#include "base/text.h"

#include <stdint.h>

#define OTLP_NAME_BYTES  256u
#define OTLP_STATE_BYTES 513u
#define OTLP_CHILDREN    3u

enum otlp_child { OTLP_QUEUE, OTLP_PREFILL, OTLP_DECODE };

/* A request that ended, by value. Times are microseconds since 1970; 0: it did not happen. */
struct otlp_request {
    char trace_id[33], span_id[17];
    char parent_span_id[17];            /* "" at the root of a trace */
    char trace_state[OTLP_STATE_BYTES]; /* "" for none */
    char child_ids[OTLP_CHILDREN][17];
    char request_id[129];
    char tenant[OTLP_NAME_BYTES]; /* "" for none */
    const char *method, *route;   /* constants, and so below */
    const char *protocol;         /* "1.1", "2" */
    const char *scheme;           /* "http", "https" */
    uint32_t status;
    int64_t started_us, ended_us;
    /* of generations */
    char model[OTLP_NAME_BYTES];    /* "" where no model was asked */
    const char *operation, *finish; /* "chat", "text_completion"; "stop", "length", ... */
    uint32_t prompt_tokens, cached_tokens, completion_tokens;
    int64_t submitted_us, scheduled_us, first_token_us, finished_us;
};

/* How many spans it makes: 1 to 1 + OTLP_CHILDREN. */
uint32_t otlp_spans(const struct otlp_request *request);

/* A whole body: otlp_open(), otlp_add() for each, otlp_close(). instance: service.instance.id. */
void otlp_open(struct text *out, const char *version, const char *instance);
void otlp_add(struct text *out, const struct otlp_request *request);
void otlp_close(struct text *out);

#endif
