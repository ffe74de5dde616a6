/* SPDX-License-Identifier: Apache-2.0 */
/* logprobs.h -- log-probabilities of tokens, kept raw until their text is shown, then spelt.
 * Worker's thread. */
#ifndef WEIR_DAEMON_API_LOGPROBS_H
#define WEIR_DAEMON_API_LOGPROBS_H

#include "base/text.h"
#include "batching/sampler.h"
#include "models/tokenizer.h"

#include <stdbool.h>
#include <stddef.h>

struct logprob_entry {
    struct sampled sampled;
    size_t start, end; /* bytes of the choice's whole text that it added */
    size_t characters; /* of text before it */
};

struct logprob_list {
    struct logprob_entry *entries;
    size_t count, capacity;
    bool failed; /* out of memory: entries are missing */
};

void logprob_list_add(struct logprob_list *list, const struct logprob_entry *entry);
void logprob_list_drop_front(struct logprob_list *list, size_t count);
void logprob_list_destroy(struct logprob_list *list);

/* {"content":[{"token":..,"logprob":..,"bytes":[..],"top_logprobs":[..]},..],"refusal":null} */
void logprobs_write_chat(struct text *out, const struct tokenizer *tokenizer,
                         const struct logprob_entry *entries, size_t count);
/* {"tokens":[...],"token_logprobs":[...],"top_logprobs":[{...}],"text_offset":[...]}; offsets are
 * in characters, as the legacy API counts. */
void logprobs_write_completion(struct text *out, const struct tokenizer *tokenizer,
                               const struct logprob_entry *entries, size_t count);

#endif
