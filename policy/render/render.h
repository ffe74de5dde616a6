/* SPDX-License-Identifier: Apache-2.0 */
/* render.h -- an assessment in the words of those who read it.
 *
 * Each appends to `out`, whose `failed` tells of memory. Output is UTF-8; strings that came from
 * model files are escaped for the format. Pure; any thread. */
#ifndef WEIR_POLICY_RENDER_RENDER_H
#define WEIR_POLICY_RENDER_RENDER_H

#include "base/text.h"
#include "policy/license/assessment.h"

/* For people at a terminal: a head, a row a condition, what to do. columns: of the terminal, 0 for
 * 80. colour: ANSI. */
void render_table(const struct assessment *assessment, uint32_t columns, bool colour,
                  struct text *out);
/* One JSON object, config/schema/assessment.schema.json. Also /v1/models/{id}/license. */
void render_json(const struct assessment *assessment, struct text *out);
/* One line of a threshold, as an element of an array. */
void render_limb(const struct threshold_limb *limb, struct text *out);
/* The short licence object of /v1/models. */
/* attribution: words that answers carry now, "" for none. */
void render_license_object(const struct assessment *assessment, const char *attribution,
                           struct text *out);

/* Whole documents over all assessments of a run. */
/* SARIF 2.1.0 (OASIS): a rule a condition, a result a condition that asks something. */
void render_sarif(const struct assessment *const *assessments, uint32_t count, struct text *out);
/* CycloneDX 1.6 ML-BOM: a machine-learning-model component a model. at_unix: its timestamp. */
void render_cyclonedx(const struct assessment *const *assessments, uint32_t count, int64_t at_unix,
                      struct text *out);
/* NOTICE and attribution texts to paste, and the duties behind them. */
void render_markdown(const struct assessment *const *assessments, uint32_t count, struct text *out);

/* The catalogue's own: `weir licenses show ID`, and one line of `weir licenses list`. */
void render_record(const struct license_record *record, uint32_t columns, struct text *out);

#endif
