/* SPDX-License-Identifier: Apache-2.0 */
/* view.h -- what several formats ask of an assessment. Internal to render/. Pure; any thread. */
#ifndef WEIR_POLICY_RENDER_VIEW_H
#define WEIR_POLICY_RENDER_VIEW_H

#include "base/text.h"
#include "policy/license/assessment.h"

#include <stdbool.h>

/* The model's own licence, or the first of its base models'; NULL when there is none. */
const struct recognised_license *view_license(const struct assessment *assessment);
/* The licence that a condition is of; NULL for doubts. */
const struct recognised_license *view_license_of(const struct assessment *assessment,
                                                 const struct assessed_condition *condition);
const char *view_license_id(const struct recognised_license *license);
const char *view_license_name(const struct recognised_license *license);
/* Names of all licences, each once, joined by " AND "; "unknown" for none. */
void view_append_license_names(const struct assessment *assessment, struct text *out);

/* What the readers of a report have to know of: an obligation, a review or a breach, or one that
 * was taken on by name. */
bool view_asks(const struct assessed_condition *condition);
/* The verdict before acknowledgements, by the reading that was asked for. */
enum verdict view_raw_verdict(const struct assessment *assessment,
                              const struct assessed_condition *condition);
bool view_is_taken_on(const struct assessed_condition *condition);
/* Words that users are to see (an attribution), and that are not ruled out. */
bool view_shows_text(const struct assessed_condition *condition);

const char *view_interpretation(enum interpretation interpretation);
/* The AI Act's answer: "yes", "no", "uncertain", "unknown". */
const char *view_exemption(enum license_answer answer);

/* ">", "USD", and "month" spelled for people: "700,000,000 monthly users". */
const char *view_comparator(enum threshold_comparator comparator);
const char *view_currency(enum license_currency currency);
void view_append_limb(struct text *out, const struct threshold_limb *limb);

#endif
