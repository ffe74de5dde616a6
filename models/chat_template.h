/* SPDX-License-Identifier: Apache-2.0 */
/* chat_template.h -- the Jinja template a model carries, compiled once and run for each chat.
 *
 * The subset that real templates use: output, set (with namespaces and blocks), for (with else,
 * filters, loop.*), if, macros, filters, tests, slices, string, list and dict methods,
 * raise_exception(), strftime_now(), tojson. What lies outside is refused at compile time with
 * line and construct. Templates come with weights and are not trusted: steps, depth and output
 * are bounded. Compiled templates are immutable: any thread may render. */
#ifndef WEIR_MODELS_CHAT_TEMPLATE_H
#define WEIR_MODELS_CHAT_TEMPLATE_H

#include "base/error.h"
#include "base/text.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CHAT_TEMPLATE_SOURCE_BYTES_MAX (256u * 1024u)
#define CHAT_TEMPLATE_STEPS_MAX        4000000u
#define CHAT_TEMPLATE_DEPTH_MAX        64u
#define CHAT_TEMPLATE_OUTPUT_BYTES_MAX (32u * 1024u * 1024u)

struct chat_template;

/* NULL and err ("chat template line 12: unknown filter 'frobnicate'") on failure. */
struct chat_template *chat_template_compile(const char *source, size_t count, struct error *err);
void chat_template_free(struct chat_template *chat_template); /* NULL is fine */

struct chat_template_input {
    json_t *messages; /* borrowed; array of objects */
    json_t *tools;    /* borrowed or NULL */
    json_t *extra;    /* borrowed object or NULL: more variables (chat_template_kwargs) */
    const char *bos_token, *eos_token; /* NUL-terminated, "" if none */
    bool add_generation_prompt;
    int64_t now_unix; /* seconds, for strftime_now(), UTC */
};

/* Appends the prompt text to out. raise_exception() gives ERROR_INVALID with its message; so do
 * type errors, with the line. out is unchanged on failure. */
int chat_template_render(const struct chat_template *chat_template,
                         const struct chat_template_input *input, struct text *out,
                         struct error *err);

#endif
