/* SPDX-License-Identifier: Apache-2.0 */
/* report_view.h -- what several formats of a report ask, and the words they share. Internal to
 * render/. Pure; any thread. */
#ifndef WEIR_POLICY_RENDER_REPORT_VIEW_H
#define WEIR_POLICY_RENDER_REPORT_VIEW_H

#include "policy/report/report.h"

extern const char report_method[];    /* how users are counted, in two sentences */
extern const char report_org_note[];  /* what a clause over all products counts beyond it */
extern const char report_test_note[]; /* a clause that is tested on one month */
extern const char report_no_figures[];
extern const char report_no_coverage[]; /* identities do not suffice to rule a line out */
extern const char report_tokens_note[]; /* what tokens are, and are not */
extern const char report_no_tenant[];
extern const char report_advice[]; /* what the document is not */

/* "November 2026" */
void report_view_month(int32_t month, struct text *out);
/* "model kimi", "family kimi", "product x", "the organisation"; a model with ", product x". */
void report_view_scope(const struct report_month *month, struct text *out);
const char *report_view_scope_kind(const struct report_month *month); /* "model" */
/* "more than 100,000,000 monthly users" */
void report_view_line(const struct report_line *line, struct text *out);
/* Whether it is one of monthly users, so that the figures can be held against it. */
bool report_view_is_monthly(const struct report_line *line);
/* "12.3%", "0.004%"; "0%" for a line at 0. */
void report_view_share(uint64_t users, uint64_t line, struct text *out);
/* The upper figure is more than 1.2 times the lower one. */
bool report_view_lacks_coverage(const struct report_month *month);
bool report_view_counts_all_products(const struct report_condition *condition);
/* Something to do or to show, or taken on by name. */
bool report_view_asks(const struct report_condition *condition);

/* The lines of monthly users that a figure is held against, each condition once. */
struct report_held {
    const struct report_license *license;
    const struct report_condition *condition;
    const struct report_line *line;
};
#define REPORT_HELD_MAX 64u /* of one figure; there are not so many licences with lines */
uint32_t report_view_held(const struct report *report, const struct report_month *month,
                          struct report_held ret[REPORT_HELD_MAX]);

/* Charts of report_svg.c. The daily band, best and the nearest line; nothing without days. */
void report_svg_days(const struct report_month *month, const struct report_held *held,
                     uint32_t held_count, struct text *out);
/* A bar of a line's share: best within lower to upper. */
void report_svg_share(const struct report_month *month, const struct report_held *held,
                      struct text *out);
void report_html_text(struct text *out, const char *string); /* escaped */

#endif
