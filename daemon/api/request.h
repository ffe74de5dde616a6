/* SPDX-License-Identifier: Apache-2.0 */
/* request.h -- the body of a POST as a struct: every known parameter, typed and in range.
 *
 * Parsing knows no model: what depends on one (ids below the vocabulary, the context's length) is
 * checked by request_check_tokens() and prompt.h. Unknown parameters are ignored as OpenAI's
 * servers do; those that would change the answer and are not served are refused by name. A null
 * is the same as an absent parameter. Strings and arrays are borrowed from the JSON tree, which
 * the request owns. Pure: no I/O, no clock; any thread. */
#ifndef WEIR_DAEMON_API_REQUEST_H
#define WEIR_DAEMON_API_REQUEST_H

#include "batching/engine.h"
#include "daemon/api/fault.h"
#include "daemon/api/stop.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REQUEST_PROMPTS_MAX      64u
#define REQUEST_STRING_BYTES_MAX 4096u /* of a parameter that is a name or an id */

/* A bit each, for the table says with several of them where a parameter belongs. */
enum request_kind {
    REQUEST_CHAT = 1,
    REQUEST_COMPLETION = 2,
    REQUEST_TOKENIZE = 4,
    REQUEST_DETOKENIZE = 8,
};

/* Text or ids: exactly one is there. */
struct request_prompt {
    const char *text;
    size_t bytes;
    json_t *ids; /* array of integers, each known to fit uint32_t; NULL for text */
};

struct request {
    enum request_kind kind;
    uint32_t depth_max; /* of JSON within strings, too */
    json_t *body;       /* owned; the rest borrows from it */
    const char *model;  /* "" when absent */
    /* what to generate from */
    json_t *messages, *tools, *template_variables; /* or NULL */
    bool add_generation_prompt, add_special_tokens;
    struct request_prompt prompts[REQUEST_PROMPTS_MAX];
    uint32_t prompt_count;
    json_t *tokens; /* /detokenize: as request_prompt.ids */
    /* how */
    struct sampling sampling; /* bias is malloc'ed, the request's */
    bool has_seed, ignore_eos, echo;
    bool skip_special_tokens, include_stop_text;
    uint32_t choices;
    uint32_t max_tokens; /* UINT32_MAX: absent, the rest of the context */
    uint32_t min_tokens;
    uint32_t priority; /* steps behind the tenant's own: nobody can put itself before others */
    struct stop_string stops[STOP_STRINGS_MAX];
    uint32_t stop_count;
    uint32_t stop_tokens[ENGINE_STOP_TOKENS_MAX];
    uint32_t stop_token_count;
    /* how to answer */
    bool stream, include_usage, continuous_usage, return_token_strings;
    /* for whom; NULL when absent */
    const char *user, *safety_identifier, *metadata_user_id, *cache_salt;
};

/* depth_max: levels of nesting. 0 and *ret (request_destroy() it), or -1 and a fault that names the
 * parameter; *ret is then empty. */
int request_parse(enum request_kind kind, const char *body, size_t count, uint32_t depth_max,
                  struct request *ret, struct fault *fault);
/* Ids in logit_bias, stop_token_ids, prompt and tokens against a model's vocabulary. */
int request_check_tokens(const struct request *request, uint32_t vocabulary, struct fault *fault);
void request_destroy(struct request *request);

#endif
