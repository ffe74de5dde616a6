/* SPDX-License-Identifier: Apache-2.0 */
/* policy_enforce_told.c -- what people read of enforcement: the sentence of a refusal, the ledger's
 * rows, the log's lines. */
#include "policy/license/assessment.h"
#include "policy/license/month.h"
#include "policy/policy_enforce_inner.h"
#include "policy/render/json_writer.h"
#include "policy/users/calendar.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define EVIDENCE_ENFORCEMENT "enforcement"
#define SUBJECT_BYTES        400u
#define LINE_BYTES           900u
#define DATE_BYTES           16u
#define DAY_SECONDS          86400
#define BEGINS               "\"begins\":true"
#define OWN_CAP              "models[].cap"

const char *policy_outcome_name(enum policy_outcome outcome)
{
    static const char *const names[] = {"passed", "attributed", "capped", "refused"};
    static_assert(sizeof names / sizeof names[0] == POLICY_OUTCOME_COUNT, "a name each");
    return names[outcome];
}

const char *policy_enforce_name(enum policy_enforce enforce)
{
    static const char *const names[] = {"alert", "attribute", "cap", "refuse"};
    return names[enforce];
}

/* "2026-11-30" */
static void write_date(int64_t unix_s, char ret[DATE_BYTES])
{
    char digits[CALENDAR_TEXT_BYTES];
    calendar_write(calendar_day(unix_s * 1000000), digits);
    (void)snprintf(ret, DATE_BYTES, "%.4s-%.2s-%.2s", digits, digits + 4, digits + 6);
}

void enforce_reason(const char *model, struct policy_decision *ret)
{
    const struct policy_refusal *refusal = &ret->refusal;
    char since[DATE_BYTES], until[DATE_BYTES], by[POLICY_REASON_BYTES / 2];
    write_date(refusal->since_unix, since);
    write_date(refusal->until_unix, until);
    if (refusal->condition[0] == '\0')
        (void)snprintf(by, sizeof by, "a cap that the operator set");
    else
        (void)snprintf(by, sizeof by, "%.150s (licence %.80s%s%.40s)", refusal->condition,
                       refusal->license, refusal->clause[0] == '\0' ? "" : ", ", refusal->clause);
    if (refusal->capped)
        (void)snprintf(ret->reason, sizeof ret->reason,
                       "The model '%.80s' takes no new users from %s until %s: its cap of %" PRIu64
                       " users a month is reached, by %s. Users of this month are served on.",
                       model, since, until, refusal->users, by);
    else
        (void)snprintf(ret->reason, sizeof ret->reason,
                       "The model '%.80s' is not served since %s: beyond %" PRIu64
                       " users it needs a licence of its own, by %s.",
                       model, since, refusal->users, by);
}

/* -- The ledger -- */

static const char *condition_id(const struct enforce_event *event)
{
    return event->condition == NULL ? OWN_CAP : event->condition->id;
}

static void subject_of(const struct enforce_event *event, char ret[SUBJECT_BYTES])
{
    char month[MONTH_TEXT_BYTES] = "";
    int32_t number = month_of_unix(event->now_unix);
    if (number != MONTH_NONE)
        month_write(number, month);
    (void)snprintf(ret, SUBJECT_BYTES, "%.380s %s", condition_id(event), month);
}

static void write_body(const struct enforce_event *event, struct text *out)
{
    text_append_char(out, '{');
    json_write_bool(out, "begins", event->begins);
    json_write_string(out, "enforce", event->what);
    json_write_string(out, "condition", condition_id(event));
    json_write_string_or_null(out, "license",
                              event->condition == NULL ? "" : event->condition->license);
    json_write_string_or_null(out, "clause",
                              event->condition == NULL ? "" : event->condition->clause);
    json_write_u64(out, "users", event->users);
    text_append_char(out, '}');
}

static int record(struct policy *policy, const struct enforce_event *event, struct error *err)
{
    char subject[SUBJECT_BYTES];
    struct text body;
    text_init(&body);
    subject_of(event, subject);
    write_body(event, &body);
    const struct ledger_entry entry = {.at_unix = event->now_unix,
                                       .kind = EVIDENCE_ENFORCEMENT,
                                       .model = event->model->facts->id,
                                       .subject = subject,
                                       .body = text_string(&body)};
    int result = body.failed ? error_no_memory(err) : policy_record(policy, &entry, err);
    text_destroy(&body);
    return result;
}

void enforce_tell(struct policy *policy, const struct enforce_event *event)
{
    struct error err = {0};
    char line[LINE_BYTES];
    (void)snprintf(line, sizeof line,
                   "enforcement_%s model '%.200s': %s at %" PRIu64 " users, by %.300s",
                   event->begins ? "began" : "ended", event->model->facts->id, event->what,
                   event->users, condition_id(event));
    usage_add_note(policy->usage, line);
    if (record(policy, event, &err) != 0) {
        (void)snprintf(line, sizeof line, "enforcement is not in the ledger: %.700s", err.text);
        usage_add_note(policy->usage, line);
    }
}

struct search {
    const char *model, *subject;
    int64_t began_unix;
};

static bool on_row(void *argument, const struct ledger_row *row)
{
    struct search *search = argument;
    if (strcmp(row->model, search->model) == 0 && strcmp(row->subject, search->subject) == 0)
        search->began_unix = strstr(row->body, BEGINS) != NULL ? row->at_unix : 0;
    return true;
}

int64_t enforce_began(struct policy *policy, const struct enforce_event *event)
{
    char subject[SUBJECT_BYTES];
    subject_of(event, subject);
    struct search search = {.model = event->model->facts->id, .subject = subject};
    (void)pthread_mutex_lock(&policy->ledger_lock);
    int result = ledger_read(policy->ledger, EVIDENCE_ENFORCEMENT, on_row, &search, NULL);
    (void)pthread_mutex_unlock(&policy->ledger_lock);
    return result == 0 ? search.began_unix : 0;
}
