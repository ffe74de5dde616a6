/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/license/assessment.h"

#include "base/arena.h"

void assessment_free(struct assessment *assessment)
{
    if (assessment == NULL)
        return;
    recognition_free((struct recognition *)assessment->recognition);
    arena_free(assessment->arena); /* the assessment itself lies there */
}

int verdict_exit_status(enum verdict verdict)
{
    switch (verdict) {
    case VERDICT_MET:
    case VERDICT_WATCH:
        return 0;
    case VERDICT_OBLIGATION:
        return 1;
    case VERDICT_BREACH:
        return 2;
    case VERDICT_REVIEW:
        break;
    }
    return 3;
}

/* -- Names: the words of the catalogue's files and of every output -- */

#define NAME_OF(names, value)                                                                      \
    ((size_t)(value) < sizeof(names) / sizeof((names)[0]) ? (names)[value] : "unknown")

const char *verdict_name(enum verdict verdict)
{
    static const char *const names[] = {"met", "watch", "obligation", "review", "breach"};
    return NAME_OF(names, verdict);
}

const char *condition_kind_name(enum condition_kind kind)
{
    static const char *const names[] = {"threshold",    "purpose",     "territory", "business",
                                        "registration", "attribution", "notice",    "naming",
                                        "use_policy",   "flow_down",   "outputs",   "copyleft",
                                        "termination",  "transfer",    "update"};
    return NAME_OF(names, kind);
}

const char *license_answer_name(enum license_answer answer)
{
    static const char *const names[] = {"unknown", "no", "yes", "conditional", "silent"};
    return NAME_OF(names, answer);
}

const char *license_grade_name(enum license_grade grade)
{
    static const char *const names[] = {"P", "C", "X", "S", "K"};
    return NAME_OF(names, grade);
}

const char *license_category_name(enum license_category category)
{
    static const char *const names[] = {"permissive",     "attribution", "copyleft",
                                        "use_restricted", "threshold",   "non_commercial",
                                        "proprietary"};
    return NAME_OF(names, category);
}

const char *threshold_metric_name(enum threshold_metric metric)
{
    static const char *const names[] = {"mau", "dau", "muu", "revenue"};
    return NAME_OF(names, metric);
}

const char *threshold_window_name(enum threshold_window window)
{
    static const char *const names[] = {"month", "day", "year", "trailing_12_months", "arr"};
    return NAME_OF(names, window);
}
