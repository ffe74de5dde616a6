/* SPDX-License-Identifier: Apache-2.0 */
/* report.h -- a month's evidence, collected from the ledger; and the rows that hold its figures.
 *
 * A row of kind "month" has the model in its own column, as its subject "MONTH PRODUCT FAMILY" (so
 * that an unchanged one is no second row), and as its body
 *     {"product": "", "model": "kimi", "family": "kimi", "month": "2026-11",
 *      "lower": {"users": 90, "low": 89, "high": 91}, "best": {...}, "upper": {...},
 *      "exact": false, "coverage": 0.93, "anonymous_requests": 12, "days_missing": 0,
 *      "state": "provisional", "sketch_sha256": "", "key_id": "00c0ffee00c0ffee",
 *      "daily": [{"day": "2026-11-01", "lower": 9, "best": 10, "upper": 11}, ...]}
 * A family's union has a family alone, a product's a product alone, the organisation's nothing at
 * all; a model in several products has no product. Low and high are the bounds of an estimate, all
 * three equal where it is exact; what is reported as the lower end is lower.low, as the upper one
 * upper.high. A day's figures are those of the month up to its end, so that they may be held
 * against a line of monthly users; they are the same bounds. coverage: the share of requests whose
 * user was verified or asserted; anonymous requests are all others. sketch_sha256: what
 * usage_ask_month() says of `best`.
 *
 * Rows of one month, product, model and family supersede each other upward only: a row whose
 * lower.low or upper.high sinks stays in the ledger and is told as an anomaly, and so is one that
 * makes a final month provisional again. The writer takes the larger of what it wrote and what it
 * counts. Rows of kind "alert" have the body
 *     {"id", "condition", "scope": model, family or "organisation", "rule": "level-90" | "lead-30",
 *      "fires": bool, "upper", "threshold", "days_early": number or null, "day": "2026-11-23"}
 *
 * Verdicts and acknowledgements (evidence.h) are those in force at the month's end; figures are the
 * newest, for a month is closed after it is over. Everything is taken from one chain that was
 * verified to the row the report names. One thread. */
#ifndef WEIR_POLICY_REPORT_REPORT_H
#define WEIR_POLICY_REPORT_REPORT_H

#include "base/arena.h"
#include "base/text.h"
#include "policy/ledger.h"
#include "policy/tokens_store.h"

#include <stdbool.h>
#include <stdint.h>

#define REPORT_MONTH_KIND    "month"
#define REPORT_ALERT_KIND    "alert"
#define REPORT_ORGANISATION  "organisation"
#define REPORT_USERS_MAX     UINT64_C(100000000000) /* more people than that are no figure */
#define REPORT_DAYS_MAX      31u
#define REPORT_MODELS_MAX    1024u
#define REPORT_ENTRIES_MAX   4096u /* of figures, acknowledgements, alerts, conditions each */
#define REPORT_ANOMALIES_MAX 256u  /* told one by one; the rest is counted */

/* -- Figures of a month -- */

enum report_state { REPORT_PROVISIONAL, REPORT_FINAL, REPORT_AMENDED };
const char *report_state_name(enum report_state state); /* "final" */

struct report_figure {
    uint64_t users, low, high;
};
struct report_day {
    uint32_t day; /* of the month: 1 to 31 */
    uint64_t lower, best, upper;
};
struct report_month {
    const char *product, *model, *family; /* "" as above */
    int32_t month;                        /* license/month.h */
    struct report_figure lower, best, upper;
    bool exact;
    double coverage; /* 0 to 1 */
    uint64_t anonymous_requests;
    uint32_t days_missing; /* days of which counts are lost */
    enum report_state state;
    const char *sketch_sha256; /* hexadecimal, "" for none */
    uint64_t key_id;           /* of the pseudonyms' key: of a year */
    struct report_day daily[REPORT_DAYS_MAX];
    uint32_t day_count;
};
uint32_t report_days_in(int32_t month); /* 28 to 31 */
void report_month_body(const struct report_month *month, struct text *out);
/* Appends the row, as ledger_append() does. */
int report_month_append(struct ledger *ledger, const struct report_month *month, int64_t at_unix,
                        bool *ret_appended, struct error *err);
/* Whether rows of the two are of one figure, so that one supersedes the other. */
bool report_month_is_same(const struct report_month *one, const struct report_month *other);
/* Strings in the arena. ERROR_INVALID says what of the body is wrong; *ret is untouched then. */
int report_month_read(const char *body, struct arena *arena, struct report_month *ret,
                      struct error *err);

/* -- A report; strings are "", never NULL, where the ledger says nothing -- */

struct report_line {
    const char *metric, *op, *window, *currency; /* "mau", ">", "month", "" */
    uint64_t value;
};
struct report_condition {
    const char *id, *kind, *clause, *summary, *text, *scope, *test_month;
    const char *verdict, *literal, *conservative, *acknowledged;
    struct report_line *lines;
    uint32_t line_count;
};
struct report_license { /* a model's verdict in force when the month ended */
    const char *model, *license, *family, *verdict, *literal, *conservative;
    int64_t at_unix, sequence;
    uint32_t changes; /* verdicts written in the month */
    struct report_condition *conditions;
    uint32_t condition_count;
};
struct report_users {
    struct report_month month;
    int64_t at_unix, sequence;
    uint32_t rows; /* that the ledger holds of it */
};
struct report_acknowledgement {
    const char *model, *condition, *clause, *reference, *signer;
    int64_t at_unix, sequence;
    bool in_force; /* the verdict in force counts on it */
};
struct report_alert {
    const char *id, *condition, *scope, *rule, *day;
    bool fires, has_days_early;
    double upper, threshold, days_early;
    int64_t sequence;
};
struct report_tokens {
    const char *tenant, *model; /* tenant "": none */
    struct token_counts counts;
};
struct report_outside { /* users of the month whom weir did not see, as declared last */
    const char *product, *signer;
    uint64_t users;
    int64_t at_unix, sequence;
};
struct report_anomaly {
    int64_t sequence;
    const char *text;
};

struct report_request {
    int32_t month;              /* license/month.h */
    const char *model, *family; /* one of them at most; "" for all */
    bool organisation;          /* its figures alone, and every model's licence */
    int64_t now_unix;
};

struct report {
    struct report_request request; /* borrowed strings */
    const char *operator_name;     /* the caller's to set, "" */
    const char *signer; /* fingerprint of the key that will sign, "" for none; so is it */
    int64_t sequence;   /* the ledger's last row, verified up to it; 0 for none */
    char hash[LEDGER_HASH_BYTES];
    struct report_users *users; /* organisation, products, families, models */
    struct report_license *licenses;
    struct report_acknowledgement *acknowledgements;
    struct report_alert *alerts;
    struct report_outside *outside;
    struct report_tokens *tokens;     /* by tenant and model; not from the ledger */
    struct report_anomaly *anomalies; /* of all months and models: they are about the ledger */
    uint32_t users_count, license_count, acknowledgement_count, alert_count, anomaly_count;
    uint32_t outside_count, token_count, tokens_untold, anomalies_untold;
    struct arena *arena; /* owned, with the lists */
};

/* ERROR_INVALID for a ledger whose chain does not hold: there is no report of it. ERROR_BUSY past
 * a limit. A report about which the ledger holds nothing is none the less one. */
int report_collect(struct ledger *ledger, const struct report_request *request, struct report **ret,
                   struct error *err);
/* Adds the month's tokens, once; past REPORT_ENTRIES_MAX rows they are only numbered. */
int report_take_tokens(struct report *report, struct tokens_store *store, struct error *err);
void report_free(struct report *report); /* NULL is fine */

/* "weir-ledger-1:17:9f3c..." binds a document to the row that it was made at; every format has it
 * in its first bytes. */
#define REPORT_STAMP_BYTES (sizeof "weir-ledger-1::" + 20 + LEDGER_HASH_BYTES)
void report_stamp(const struct report *report, char ret[REPORT_STAMP_BYTES]);
/* ERROR_INVALID when there is none, and when the verified ledger has another row there. */
int report_stamp_check(const char *document, size_t count, struct ledger *ledger,
                       int64_t *ret_sequence, struct error *err);

#endif
