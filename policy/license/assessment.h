/* SPDX-License-Identifier: Apache-2.0 */
/* assessment.h -- the gate's answer for one model: a verdict a condition, and what they come to.
 *
 * Immutable once made; any thread may read it while its owner keeps it. All strings are its own,
 * in one arena, or the catalogue's, which must outlive it. */
#ifndef WEIR_POLICY_LICENSE_ASSESSMENT_H
#define WEIR_POLICY_LICENSE_ASSESSMENT_H

#include "policy/license/declaration.h"
#include "policy/license/license_record.h"
#include "policy/license/recognition.h"

#include <stdbool.h>
#include <stdint.h>

struct arena;

/* In rising order of what they ask: the worst of a model's conditions is the model's. */
enum verdict {
    VERDICT_MET,        /* does not apply, or is kept */
    VERDICT_WATCH,      /* kept today; it can change while the model runs */
    VERDICT_OBLIGATION, /* something has to be done, and may be done by the operator alone */
    VERDICT_REVIEW,     /* nobody can say yet: undeclared, unknown, or a question for a lawyer */
    VERDICT_BREACH      /* not allowed as declared */
};
const char *verdict_name(enum verdict verdict); /* "met" */
/* Of `weir check`: 0 met or watch, 1 obligation, 2 breach, 3 review. */
int verdict_exit_status(enum verdict verdict);

struct assessed_condition {
    const char *id;      /* "kimi-k2.5/ui-name"; a doubt: "recognition/license-unknown" */
    const char *kind;    /* a condition_kind's name, "recognition" or "lineage" */
    const char *license; /* "" for doubts */
    const struct license_condition *condition; /* NULL for doubts and disagreements */
    const char *clause;                        /* "" where there is none */
    const char *summary;                       /* what it asks */
    enum verdict verdict; /* by the interpretation asked for, acknowledgements counted */
    enum verdict literal, conservative; /* by each reading, before it */
    const char *reason;                 /* why, with the figures */
    const char *remedy;                 /* what to do; "" when there is nothing */
    const char *text;                   /* the exact words to show now, "" for none */
    const char *words;                  /* that it would have shown once it asks for them */
    const char *acknowledged;           /* the reference, "" when it is not */
};

struct assessment {
    const struct recognition *recognition; /* owned */
    const char *model;
    const char *license; /* ids joined by " AND ", "unknown" */
    enum verdict verdict, literal, conservative;
    enum interpretation interpretation;
    struct assessed_condition *conditions; /* worst first, then in the catalogue's order */
    uint32_t condition_count;
    enum license_answer osaid, ai_act; /* the worst of the licences */
    const char *osaid_reason, *ai_act_basis, *ai_act_reason;
    int64_t at_unix;     /* when it was made */
    struct arena *arena; /* owned; holds this struct, conditions, and strings of nobody else */
};

void assessment_free(struct assessment *assessment); /* NULL is fine */

const char *condition_kind_name(enum condition_kind kind);   /* "threshold" */
const char *license_answer_name(enum license_answer answer); /* "yes" */
const char *license_grade_name(enum license_grade grade);    /* "P" */
const char *license_category_name(enum license_category category);
const char *threshold_metric_name(enum threshold_metric metric); /* "mau" */
const char *threshold_window_name(enum threshold_window window); /* "month" */

#endif
