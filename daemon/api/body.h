/* SPDX-License-Identifier: Apache-2.0 */
/* body.h -- the bytes of a request's body as a JSON value, within bounds.
 *
 * One value of JSON text costs jansson some 20 times its two bytes, and each level of nesting a
 * stack frame, in parsing and in freeing. So depth and number of values are counted first, on the
 * bytes. Any thread. */
#ifndef WEIR_DAEMON_API_BODY_H
#define WEIR_DAEMON_API_BODY_H

#include "daemon/api/fault.h"

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#define BODY_DEPTH_DEFAULT 64u
#define BODY_DEPTH_MAX     512u /* that may be set */
#define BODY_VALUES_MAX    (1u << 20)

/* The object in bytes, nested no deeper than depth_max: 0 and *ret (the caller's), or -1 and a 400
 * naming line and column. Duplicate keys are refused, lest a gateway in front reads another one
 * than we do. NUL is allowed inside strings; bytes that are not UTF-8 are not. */
int body_parse(const char *bytes, size_t count, uint32_t depth_max, json_t **ret,
               struct fault *fault);
/* The same for JSON inside a string of the body, at `param`. */
int body_parse_nested(const char *bytes, size_t count, const char *param, uint32_t depth_max,
                      json_t **ret, struct fault *fault);

/* "an object", "a string", ... for messages. */
const char *body_type_name(const json_t *value);

#endif
