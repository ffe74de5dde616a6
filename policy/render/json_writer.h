/* SPDX-License-Identifier: Apache-2.0 */
/* json_writer.h -- the commas and keys of JSON, over base/text.h's strings.
 *
 * A member or element puts a comma before itself when a value stands before it, which the last
 * byte tells: all values end in '"', '}', ']', a digit or a letter, and openings do not. The
 * outermost bracket is the caller's to append. key: NULL inside an array. Any thread. */
#ifndef WEIR_POLICY_RENDER_JSON_WRITER_H
#define WEIR_POLICY_RENDER_JSON_WRITER_H

#include "base/text.h"

#include <stdbool.h>
#include <stdint.h>

void json_write_open(struct text *out, const char *key, char bracket);        /* '{' or '[' */
void json_write_close(struct text *out, char bracket);                        /* '}' or ']' */
void json_write_string(struct text *out, const char *key, const char *value); /* NULL is "" */
/* Leaves the member out for "" and NULL. */
void json_write_string_unless_empty(struct text *out, const char *key, const char *value);
void json_write_string_or_null(struct text *out, const char *key,
                               const char *value); /* "" is null */
void json_write_bool(struct text *out, const char *key, bool value);
void json_write_u64(struct text *out, const char *key, uint64_t value);
void json_write_strings(struct text *out, const char *key, const char *const *values,
                        uint32_t count);
/* The string that `value` holds, which is left empty and destroyed; its failure is out's. */
void json_write_take(struct text *out, const char *key, struct text *value);

#endif
