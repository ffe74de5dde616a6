/* SPDX-License-Identifier: Apache-2.0 */
/* fake_model.h -- a language model small enough to reason about, in the place of models/.
 *
 * It keeps a cache of its own: each row writes (position, token) where its block table says, and
 * the logits of a row are a hash of everything that reading back through the table gives. One
 * wrong block, a missed row or a stale prefix changes every token that follows.
 *
 * With $FAKE_MODEL_DRAWS set it draws tokens as a GPU does, by the real sampler, and leaves some to
 * the host; a row that it drew from holds NaN then.
 *
 * The next model_end() may be held or made to fail from the test's thread. */
#ifndef WEIR_TESTS_FAKE_MODEL_H
#define WEIR_TESTS_FAKE_MODEL_H

#include "models/model.h"

#include <stdbool.h>
#include <stdint.h>

#define FAKE_VOCABULARY 96u
#define FAKE_END_TOKEN  5u /* ends generation */
#define FAKE_END_TOKEN2 6u

struct model *fake_model_new(uint32_t context);
void fake_model_free(struct model *model);

/* Steps wait at their beginning until released; a release lets `steps` more run. */
void fake_model_hold(struct model *model);
void fake_model_release(struct model *model, uint32_t steps);
void fake_model_run_freely(struct model *model);
/* Until a step waits at its beginning (while held). */
void fake_model_await_step(struct model *model);
/* The step that waits tells of a layer. */
void fake_model_layer(struct model *model);
void fake_model_fail_next(struct model *model, uint32_t steps);
void fake_model_lose_next(struct model *model); /* the next step loses the device */
void fake_model_give_nan_next(struct model *model, uint32_t steps);
uint64_t fake_model_steps(struct model *model);
uint32_t fake_model_rows_max(struct model *model); /* the largest step so far */

/* What the model draws greedily after these tokens. */
uint32_t fake_model_greedy(const uint32_t *tokens, uint32_t count);
/* The logits after them. */
void fake_model_logits(const uint32_t *tokens, uint32_t count, float logits[FAKE_VOCABULARY]);

#endif
