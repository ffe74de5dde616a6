/* SPDX-License-Identifier: Apache-2.0 */
/* trace_context.h -- the headers traceparent and tracestate: which trace a request is part of.
 *
 * W3C Trace Context, level 1. Pure: text in, values out, no I/O, no clock, no random numbers. */
#ifndef WEIR_DAEMON_API_TRACE_CONTEXT_H
#define WEIR_DAEMON_API_TRACE_CONTEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TRACE_ID_DIGITS       32u
#define SPAN_ID_DIGITS        16u
#define TRACE_PARENT_BYTES    55u  /* "00-" trace id "-" span id "-" flags */
#define TRACE_STATE_BYTES_MAX 512u /* that we keep: whole members, the leftmost */
#define TRACE_STATE_MEMBERS   32u

/* One hop: who asks. Lower-case hexadecimal digits, never all zero. */
struct trace_parent {
    char trace_id[TRACE_ID_DIGITS + 1];
    char span_id[SPAN_ID_DIGITS + 1]; /* of the asker's span: our parent */
    bool sampled; /* the asker records its span, and would have us record ours */
};

/* The value of the one header traceparent. False, and *ret untouched, for what the specification
 * has no receiver continue: wrong length or digits, upper case, all zeros, version ff. A version
 * that is later than ours is read as far as we know it. */
bool trace_parent_read(const char *value, struct trace_parent *ret);
/* As version 00. */
void trace_parent_write(const struct trace_parent *parent, char ret[TRACE_PARENT_BYTES + 1]);

/* A random identifier from random numbers; 0, which means none, becomes 1. */
void trace_id_of(uint64_t high, uint64_t low, char ret[TRACE_ID_DIGITS + 1]);
void span_id_of(uint64_t number, char ret[SPAN_ID_DIGITS + 1]);

/* The share of a trace among all, 0 to 999,999, by its identifier: all who ask get one answer. */
uint32_t trace_draw(const char trace_id[TRACE_ID_DIGITS + 1]);

/* The list of all headers tracestate, joined by ','. What is not sound leaves ret "": a wrong key
 * or value, a key twice, too many members. Empty members and spaces around them are dropped. */
void trace_state_read(const char *list, char ret[TRACE_STATE_BYTES_MAX + 1]);

#endif
