/* SPDX-License-Identifier: Apache-2.0 */
/* report_render.h -- a month's report for those who file it, weigh it or reckon with it.
 *
 * Each appends a whole document to `out`, whose `failed` tells of memory. Strings come from the
 * ledger, which holds what model files and requests' senders chose: they are escaped for the
 * format. The same report gives the same bytes. Pure; any thread. */
#ifndef WEIR_POLICY_RENDER_REPORT_RENDER_H
#define WEIR_POLICY_RENDER_REPORT_RENDER_H

#include "policy/report/report.h"

/* One page that asks for nothing from elsewhere, by its own content security policy too. */
void render_report_html(const struct report *report, struct text *out);
/* config/schema/report.schema.json. */
void render_report_json(const struct report *report, struct text *out);
/* RFC 4180, a record a line, its kind in the first field. A text that a spreadsheet would take for
 * a formula has an apostrophe before it. */
void render_report_csv(const struct report *report, struct text *out);
/* A page for the terminal: figures, lines, what is due. columns: 0 for 80. */
void render_report_plain(const struct report *report, uint32_t columns, struct text *out);

#endif
