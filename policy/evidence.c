/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/evidence.h"

#include "base/text.h"
#include "policy/render/json_writer.h"
#include "policy/render/render.h"

#include <assert.h>
#include <string.h>

/* Of an error's text, which the caller may put words before. */
#define REFUSAL_BYTES   700u
#define NAME_BYTES      80u
#define CONDITION_BYTES 100u
#define REASON_BYTES    180u

/* -- Rows -- */

/* The lines of a threshold, and over whose products its users are counted. */
static void append_lines(struct text *out, const struct license_condition *condition)
{
    static const char *const scopes[] = {[SCOPE_ALL_PRODUCTS] = "all_products",
                                         [SCOPE_PRODUCT] = "product_using_model",
                                         [SCOPE_BUSINESS] = "business"};
    json_write_string(out, "scope", scopes[condition->scope]);
    json_write_string_unless_empty(out, "test_month", condition->test_month);
    json_write_open(out, "any_of", '[');
    for (uint32_t i = 0; i < condition->any_of_count; i++)
        render_limb(&condition->any_of[i], out);
    json_write_close(out, ']');
}

/* With the words of the catalogue as it was: a later one may say otherwise of the same id. */
static void append_condition(struct text *out, const struct assessed_condition *condition)
{
    json_write_open(out, NULL, '{');
    json_write_string(out, "id", condition->id);
    json_write_string(out, "kind", condition->kind);
    json_write_string_unless_empty(out, "clause", condition->clause);
    json_write_string_unless_empty(out, "summary", condition->summary);
    json_write_string_unless_empty(out, "text", condition->text);
    if (condition->condition != NULL && condition->condition->any_of_count > 0)
        append_lines(out, condition->condition);
    json_write_string(out, "verdict", verdict_name(condition->verdict));
    json_write_string(out, "literal", verdict_name(condition->literal));
    json_write_string(out, "conservative", verdict_name(condition->conservative));
    json_write_string_unless_empty(out, "acknowledged", condition->acknowledged);
    json_write_close(out, '}');
}

static void append_verdict(struct text *out, const struct assessment *assessment)
{
    const struct recognition *recognition = assessment->recognition;
    text_append_char(out, '{');
    json_write_string(out, "license", assessment->license);
    json_write_open(out, "licenses", '[');
    for (uint32_t i = 0; i < recognition->license_count; i++) {
        const struct recognised_license *license = &recognition->licenses[i];
        json_write_open(out, NULL, '{');
        json_write_string(out, "id", license->record == NULL ? "" : license->record->id);
        json_write_string(out, "declared", license->declared);
        json_write_string_unless_empty(out, "family",
                                       license->record == NULL ? "" : license->record->family);
        json_write_string(out, "recognised_by", recognised_by_name(license->by));
        json_write_string_unless_empty(out, "base", license->base);
        json_write_close(out, '}');
    }
    json_write_close(out, ']');
    json_write_string(out, "verdict", verdict_name(assessment->verdict));
    json_write_string(out, "literal", verdict_name(assessment->literal));
    json_write_string(out, "conservative", verdict_name(assessment->conservative));
    json_write_open(out, "conditions", '[');
    for (uint32_t i = 0; i < assessment->condition_count; i++)
        append_condition(out, &assessment->conditions[i]);
    json_write_close(out, ']');
    json_write_close(out, '}');
}

static bool is_for(const char *declared_model, const char *model)
{
    return declared_model == NULL || declared_model[0] == '\0' ||
           strcmp(declared_model, model) == 0;
}

/* Who signed for it; "" when the operator did not say. */
static const char *signer_of(const struct declaration *declaration,
                             const struct assessment *assessment,
                             const struct assessed_condition *condition)
{
    for (uint32_t i = 0; declaration != NULL && i < declaration->acknowledge_count; i++) {
        const struct declared_acknowledgement *one = &declaration->acknowledge[i];
        if (one->condition != NULL && strcmp(one->condition, condition->id) == 0 &&
            is_for(one->model, assessment->model) && one->reference != NULL &&
            strcmp(one->reference, condition->acknowledged) == 0)
            return one->signer == NULL ? "" : one->signer;
    }
    return "";
}

static void append_acknowledgement(struct text *out, const struct assessment *assessment,
                                   const struct assessed_condition *condition,
                                   const struct declaration *declaration)
{
    text_append_char(out, '{');
    json_write_string(out, "condition", condition->id);
    json_write_string(out, "clause", condition->clause);
    json_write_string(out, "reference", condition->acknowledged);
    json_write_string(out, "signer", signer_of(declaration, assessment, condition));
    json_write_string(out, "literal", verdict_name(condition->literal));
    json_write_string(out, "conservative", verdict_name(condition->conservative));
    json_write_close(out, '}');
}

static int record(struct ledger *ledger, const struct assessment *assessment,
                  const struct ledger_entry *row, struct text *body, struct error *err)
{
    struct ledger_entry entry = *row;
    entry.at_unix = assessment->at_unix;
    entry.model = assessment->model;
    entry.body = text_string(body);
    return body->failed ? error_no_memory(err) : ledger_append(ledger, &entry, NULL, err);
}

int evidence_record(struct ledger *ledger, const struct assessment *assessment,
                    const struct declaration *declaration, struct error *err)
{
    struct text body;
    text_init(&body);
    append_verdict(&body, assessment);
    const struct ledger_entry verdict = {.kind = EVIDENCE_VERDICT, .subject = ""};
    int result = record(ledger, assessment, &verdict, &body, err);
    for (uint32_t i = 0; result == 0 && i < assessment->condition_count; i++) {
        const struct assessed_condition *condition = &assessment->conditions[i];
        if (condition->acknowledged[0] == '\0')
            continue;
        text_reset(&body);
        append_acknowledgement(&body, assessment, condition, declaration);
        const struct ledger_entry row = {.kind = EVIDENCE_ACKNOWLEDGEMENT,
                                         .subject = condition->id};
        result = record(ledger, assessment, &row, &body, err);
    }
    text_destroy(&body);
    return result;
}

static int record_outside(struct ledger *ledger, const struct declared_users *users,
                          int64_t at_unix, struct error *err)
{
    struct text subject, body;
    const char *product = users->product == NULL ? "" : users->product;
    text_init(&subject);
    text_init(&body);
    text_append_format(&subject, "%s %s", users->month, product);
    text_append_char(&body, '{');
    json_write_string(&body, "month", users->month);
    json_write_string(&body, "product", product);
    json_write_u64(&body, "users", users->users);
    json_write_string(&body, "signer", users->signer);
    json_write_close(&body, '}');
    const struct ledger_entry entry = {.at_unix = at_unix,
                                       .kind = EVIDENCE_OUTSIDE,
                                       .model = "",
                                       .subject = text_string(&subject),
                                       .body = text_string(&body)};
    int result = subject.failed || body.failed ? error_no_memory(err)
                                               : ledger_append(ledger, &entry, NULL, err);
    text_destroy(&subject);
    text_destroy(&body);
    return result;
}

int evidence_record_outside(struct ledger *ledger, const struct declaration *declaration,
                            int64_t at_unix, struct error *err)
{
    int result = 0;
    for (uint32_t i = 0; declaration != NULL && i < declaration->outside_mau_count && result == 0;
         i++)
        result = record_outside(ledger, &declaration->outside_mau[i], at_unix, err);
    return result;
}

/* -- Refusals -- */

/* At most `most` bytes, whole characters, "..." where something was left out. */
static void append_cut(struct text *out, const char *string, size_t most)
{
    size_t count = strnlen(string, most + 1);
    bool cut = count > most;
    if (cut) {
        count = most - 3;
        count -= utf8_incomplete_tail(string, count);
    }
    text_append(out, string, count);
    if (cut)
        text_append_string(out, "...");
}

/* "mrl-0.1/research-only (§3.2): reason: remedy" */
static void append_breach(struct text *out, const struct assessed_condition *condition)
{
    append_cut(out, condition->id, CONDITION_BYTES);
    if (condition->clause[0] != '\0') {
        text_append_string(out, " (");
        append_cut(out, condition->clause, NAME_BYTES);
        text_append_char(out, ')');
    }
    text_append_string(out, ": ");
    append_cut(out, condition->reason, REASON_BYTES);
    if (condition->remedy[0] != '\0') {
        text_append_string(out, " To do: ");
        append_cut(out, condition->remedy, REASON_BYTES);
    }
}

static const struct assessed_condition *next_breach(const struct assessment *assessment,
                                                    uint32_t *cursor)
{
    while (*cursor < assessment->condition_count) {
        const struct assessed_condition *condition = &assessment->conditions[(*cursor)++];
        if (condition->verdict == VERDICT_BREACH)
            return condition;
    }
    return NULL;
}

/* The first breach and as many more as leave room for the end, which is written before them. */
static void append_breaches(struct text *out, const struct assessment *assessment, size_t most)
{
    struct text one;
    uint32_t cursor = 0, left_out = 0;
    text_init(&one);
    for (const struct assessed_condition *breach;
         (breach = next_breach(assessment, &cursor)) != NULL;) {
        bool first = out->count == 0;
        text_reset(&one);
        append_breach(&one, breach);
        if (left_out > 0 || (!first && out->count + 3 + one.count > most)) {
            left_out++;
            continue;
        }
        text_append_string(out, first ? "" : " | ");
        append_cut(out, text_string(&one), first ? most : one.count);
    }
    out->failed = out->failed || one.failed;
    text_destroy(&one);
    if (left_out > 0)
        text_append_format(out, " | and %u more", left_out);
}

int evidence_refuse(const struct assessment *assessment, struct error *err)
{
    struct text head, middle, end;
    uint32_t cursor = 0;
    const struct assessed_condition *first = next_breach(assessment, &cursor);
    assert(first != NULL); /* the verdict is the worst of the conditions' */
    text_init(&head);
    text_init(&middle);
    text_init(&end);
    text_append_string(&head, "model '");
    append_cut(&head, assessment->model, NAME_BYTES);
    text_append_string(&head, "' is refused by its licence ");
    append_cut(&head, assessment->license, NAME_BYTES);
    text_append_string(&head, ": ");
    text_append_string(&end, " | If a contract allows it, put {condition: ");
    append_cut(&end, first->id, CONDITION_BYTES);
    text_append_string(&end, ", reference: its number} under operator.acknowledge; 'weir check' "
                             "tells all");
    append_breaches(&middle, assessment, REFUSAL_BYTES - head.count - end.count - 24);
    int result = head.failed || middle.failed || end.failed
                     ? error_no_memory(err)
                     : error_set(err, ERROR_REFUSED, "%s%s%s", text_string(&head),
                                 text_string(&middle), text_string(&end));
    text_destroy(&head);
    text_destroy(&middle);
    text_destroy(&end);
    return result;
}

/* -- Changes -- */

int evidence_compare(const struct assessment *one, const struct assessment *other, bool *ret,
                     struct error *err)
{
    struct text said, says;
    struct assessment as_old = *other;
    as_old.at_unix = one->at_unix;
    text_init(&said);
    text_init(&says);
    render_json(one, &said);
    render_json(&as_old, &says);
    bool failed = said.failed || says.failed;
    if (!failed)
        *ret = strcmp(text_string(&said), text_string(&says)) == 0;
    text_destroy(&said);
    text_destroy(&says);
    return failed ? error_no_memory(err) : 0;
}
