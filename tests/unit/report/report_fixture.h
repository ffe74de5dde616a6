/* SPDX-License-Identifier: Apache-2.0 */
/* report_fixture.h -- a ledger in a folder of its own, and rows for it. */
#ifndef WEIR_TESTS_UNIT_REPORT_REPORT_FIXTURE_H
#define WEIR_TESTS_UNIT_REPORT_REPORT_FIXTURE_H

#include "policy/ledger.h"
#include "policy/report/report.h"

#define MONTH        (2026 * 12 + 9) /* 2026-10 */
#define IN_MONTH     1792000000      /* 2026-10-14 */
#define BEFORE       1790000000      /* 2026-09-21 */
#define AFTERWARDS   1794000000      /* 2026-11-06 */
#define FOLDER_BYTES 64

struct fixture {
    char folder[FOLDER_BYTES];
    struct ledger *ledger;
    struct report *report; /* freed at the end, or by the next collecting */
};

int fixture_setup(void **state);
int fixture_teardown(void **state);

void fixture_row(struct fixture *fixture, int64_t at_unix, const struct ledger_entry *row);
/* A verdict on a model of family "kimi" with a line at 1,000 users and words to show. */
void fixture_verdict(struct fixture *fixture, int64_t at_unix, const char *model);
/* Figures of a model, a family (model "") or all. */
struct report_month fixture_month(const char *model, uint64_t lower, uint64_t upper);
void fixture_write(struct fixture *fixture, const struct report_month *month);
/* As somebody with the sqlite3 shell would. */
void fixture_tamper(struct fixture *fixture, const char *sql);
/* Must succeed. */
struct report *fixture_collect(struct fixture *fixture, const char *model, const char *family);

#endif
