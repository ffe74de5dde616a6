/* SPDX-License-Identifier: Apache-2.0 */
/* step_arrays.h -- a plan in the words of the model, and how a token is drawn for each entry.
 *
 * Engine thread only. Made once at the size of the largest step. */
#ifndef WEIR_BATCHING_STEP_ARRAYS_H
#define WEIR_BATCHING_STEP_ARRAYS_H

#include "base/error.h"
#include "batching/sampler.h"
#include "batching/scheduler.h"
#include "models/model.h"

#include <stdbool.h>
#include <stdint.h>

struct step_arrays;

struct step_arrays_limits {
    uint32_t rows_max, sequences_max, outputs_max;
    const uint32_t *ends; /* the model's end tokens; copied */
    uint32_t end_count;
    bool device_draws; /* model_draws() */
};

struct step_arrays *step_arrays_new(const struct step_arrays_limits *limits, struct error *err);
void step_arrays_free(struct step_arrays *arrays); /* NULL is fine */

/* What comes of it names the arrays, and is valid until the next fill. */
struct model_step step_arrays_fill(struct step_arrays *arrays, const struct plan *plan);
/* For model_begin(); NULL where the device draws nothing. */
const struct draw_row *step_arrays_rows(const struct step_arrays *arrays);

/* Of a plan ahead; NULL for others. */
const uint32_t *step_arrays_sources(const struct step_arrays *arrays);
/* Whether the settings of all who draw in it let a plan ahead follow: no draw depends on the tokens
 * before it but by logits, and the device is sure to make all. */
bool step_arrays_may_lead(const struct plan *plan);

struct step_draw {
    struct sampler_input input;
    const uint32_t *ends; /* tokens that end it: the model's own unless ignored, its stop tokens */
    uint32_t end_count;
};
/* Of an entry that draws, as it was when the step was filled. */
const struct step_draw *step_arrays_draw(const struct step_arrays *arrays, uint32_t entry);

#endif
