/* SPDX-License-Identifier: Apache-2.0 */
/* choice.h -- the text of one choice: tokens go in, text that may be shown comes out.
 *
 * Between the two wait: bytes of a character not finished yet (the detokenizer), and whole
 * characters that may begin a stop string. A token's log-probability is ready when all its text
 * is. Worker's thread. */
#ifndef WEIR_DAEMON_API_CHOICE_H
#define WEIR_DAEMON_API_CHOICE_H

#include "base/text.h"
#include "batching/engine.h"
#include "daemon/api/logprobs.h"
#include "daemon/api/stop.h"
#include "models/tokenizer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What all choices of a generation have in common. */
struct choice_rules {
    const struct tokenizer *tokenizer; /* borrowed: the model */
    struct stop_set *stops;            /* owned by the generation; NULL for none */
    uint32_t min_tokens;               /* stop strings count only past so many tokens */
    bool include_stop_text;
    bool skip_special_tokens;
    bool logprobs;
};

struct choice {
    uint32_t index;            /* in the answer */
    enum finish_reason finish; /* FINISH_NONE while it goes on */
    uint32_t output_tokens;
    uint64_t last_token_us;
    bool begun, ended; /* its first, its last chunk was written */
    struct detokenizer detokenizer;
    struct stop_state stop;
    struct text text;             /* decoded and not shown */
    size_t held_bytes;            /* at the end of text: may begin a stop string */
    size_t shown_bytes;           /* of its whole text, no longer in `text` */
    size_t characters;            /* of its whole text */
    struct logprob_list logprobs; /* of tokens whose text is not shown */
};

void choice_init(struct choice *choice, uint32_t index, const struct choice_rules *rules);
void choice_destroy(struct choice *choice);

/* Text before the first token (echo). Stop strings are not looked for in it. */
void choice_add_prompt_text(struct choice *choice, const char *bytes, size_t count);
/* A prompt token's log-probability; its text starts `characters` into the prompt's. */
void choice_add_prompt_token(struct choice *choice, const struct sampled *sampled,
                             size_t characters);
/* The next token. True when its text completes a stop string: `text` then ends where it must, and
 * nothing more may be added. */
bool choice_add_token(struct choice *choice, const struct choice_rules *rules,
                      const struct sampled *sampled);
/* No token follows: what was held is text. */
void choice_end(struct choice *choice);

/* What may be shown now: bytes at the start of choice->text, entries at the start of
 * choice->logprobs. */
size_t choice_ready_bytes(const struct choice *choice);
size_t choice_ready_entries(const struct choice *choice);
/* It was shown. */
void choice_shown(struct choice *choice, size_t bytes, size_t entries);
/* An allocation failed: the text is not whole. */
bool choice_failed(const struct choice *choice);

#endif
