/* SPDX-License-Identifier: Apache-2.0 */
/* report_collect.h -- one report in the making. Internal to report.c and report_rows.c. */
#ifndef WEIR_POLICY_REPORT_REPORT_COLLECT_H
#define WEIR_POLICY_REPORT_REPORT_COLLECT_H

#include "policy/report/report.h"

/* The newest verdict of a model, kept as it was written until it is known to be the newest. */
struct report_kept {
    char *model, *body; /* owned */
    int64_t at_unix, sequence;
    uint32_t changes;
};

struct report_collector {
    struct report *report;
    int64_t verified;             /* rows beyond are not looked at */
    int64_t month_from, month_to; /* Unix seconds, the end excluded */
    struct report_kept *verdicts;
    uint32_t verdict_count;
    int result; /* what ended the reading; 0 */
    struct error *err;
};

/* Takes up a row, whatever its kind: 0, or what ends the collecting. */
int report_take_row(struct report_collector *collector, const struct ledger_row *row);
/* From the kept verdicts to the report's licences. */
int report_take_verdicts(struct report_collector *collector);
int report_tell_anomaly(struct report_collector *collector, int64_t sequence, const char *format,
                        ...) __attribute__((format(printf, 3, 4)));

#endif
