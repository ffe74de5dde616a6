/* SPDX-License-Identifier: Apache-2.0 */
/* policy_findings.c -- keys whose ids cannot be people: told to the log and the ledger, once a day;
 * and policy_identity.h, where others ask. */
#include "policy/policy_identity.h"
#include "policy/policy_ids.h"
#include "policy/policy_inner.h"
#include "policy/render/json_writer.h"
#include "policy/users/calendar.h"

#include <stdio.h>
#include <string.h>

#define EVIDENCE_IDENTITY "identity"
#define SUBJECT_BYTES     64
#define NOTE_BYTES        512
#define TURN_MS           1000u /* ids are looked at every few seconds */
#define SECOND_US         INT64_C(1000000)

/* The month and the key are the subject: what is the same in a day is no second row. */
static int record_finding(struct policy *policy, const struct policy_finding *finding,
                          int64_t now_us, struct error *err)
{
    char subject[SUBJECT_BYTES], day[CALENDAR_TEXT_BYTES];
    struct text body;
    text_init(&body);
    calendar_write(finding->day, day);
    (void)snprintf(subject, sizeof subject, "%.4s-%.2s %s %s", day, day + 4, finding->key,
                   finding->kind);
    text_append_char(&body, '{');
    json_write_string(&body, "finding", finding->kind);
    json_write_string(&body, "key", finding->key);
    json_write_string(&body, "tenant", finding->tenant);
    json_write_string(&body, "day", day);
    text_append_format(&body,
                       ",\"requests\":%llu,\"share\":", (unsigned long long)finding->requests);
    text_append_json_double(&body, finding->share);
    text_append_char(&body, '}');
    const struct ledger_entry entry = {.at_unix = now_us / SECOND_US,
                                       .kind = EVIDENCE_IDENTITY,
                                       .model = "",
                                       .subject = subject,
                                       .body = text_string(&body)};
    int result = body.failed ? error_no_memory(err) : policy_record(policy, &entry, err);
    text_destroy(&body);
    return result;
}

static void on_finding(void *argument, const struct policy_finding *finding, int64_t now_us)
{
    struct policy *policy = argument;
    struct error err;
    char line[NOTE_BYTES];
    bool shared = strcmp(finding->kind, "shared") == 0;
    (void)snprintf(line, sizeof line,
                   "identity_suspect %s by key %s of tenant '%s': %s %.0f%% of %s; %s",
                   finding->kind, finding->key, finding->tenant,
                   shared ? "one id has" : "ids never seen before are in", 100 * finding->share,
                   shared ? "its requests of the day" : "its latest requests",
                   shared ? "many people may be counted as one"
                          : "made up ids, or a first day; none of them is in the lower view");
    for (char *at = line; *at != '\0'; at++)
        if ((unsigned char)*at < ' ')
            *at = '?'; /* a tenant's name: a note is a line */
    usage_add_note(policy->usage, line);
    if (record_finding(policy, finding, now_us, &err) != 0)
        usage_add_note(policy->usage, err.text);
}

uint32_t policy_findings_turn(struct policy *policy, int64_t now_us)
{
    const struct policy_ids_listener listener = {.on_finding = on_finding, .argument = policy};
    policy_ids_turn(policy->ids, now_us, &listener);
    return TURN_MS;
}

uint32_t policy_identity_findings(struct policy *policy, struct policy_finding *ret,
                                  uint32_t capacity)
{
    return policy_ids_findings(policy->ids, ret, capacity);
}

void policy_identity_suspects(struct policy *policy, uint32_t *ret_shared, uint32_t *ret_sprayed)
{
    policy_ids_suspects(policy->ids, ret_shared, ret_sprayed);
}

void policy_identity_reload(struct policy *policy)
{
    policy_ids_read_rules(policy->ids, true);
}
