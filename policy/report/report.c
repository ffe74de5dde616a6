/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/report/report.h"

#include "policy/license/month.h"
#include "policy/report/report_collect.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ARENA_BYTES_MAX ((size_t)128 << 20)
#define STAMP_WORD      "weir-ledger-1:"
#define STAMP_WITHIN    4096u /* bytes from a document's begin */

void report_free(struct report *report)
{
    if (report == NULL)
        return;
    free(report->users);
    free(report->licenses);
    free(report->acknowledgements);
    free(report->alerts);
    free(report->tokens);
    free(report->outside);
    free(report->anomalies);
    arena_free(report->arena);
    free(report);
}

/* -- Scope and order, once all is there -- */

static const struct report_license *license_of(const struct report *report, const char *model)
{
    for (uint32_t i = 0; i < report->license_count; i++)
        if (strcmp(report->licenses[i].model, model) == 0)
            return &report->licenses[i];
    return NULL;
}

static bool is_counted_on(const struct report_license *license,
                          const struct report_acknowledgement *acknowledgement)
{
    for (uint32_t i = 0; license != NULL && i < license->condition_count; i++)
        if (strcmp(license->conditions[i].id, acknowledgement->condition) == 0 &&
            strcmp(license->conditions[i].acknowledged, acknowledgement->reference) == 0)
            return true;
    return false;
}

/* Those of models that the report is of. */
static void settle_acknowledgements(struct report *report)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < report->acknowledgement_count; i++) {
        struct report_acknowledgement one = report->acknowledgements[i];
        const struct report_license *license = license_of(report, one.model);
        if (license == NULL &&
            (report->request.model[0] != '\0' || report->request.family[0] != '\0'))
            continue;
        one.in_force = is_counted_on(license, &one);
        report->acknowledgements[kept++] = one;
    }
    report->acknowledgement_count = kept;
}

static bool is_about(const struct report *report, const struct report_alert *alert)
{
    const struct report_request *request = &report->request;
    if (request->organisation)
        return strcmp(alert->scope, REPORT_ORGANISATION) == 0;
    if (request->model[0] != '\0')
        return strcmp(alert->scope, request->model) == 0;
    return request->family[0] == '\0' || strcmp(alert->scope, request->family) == 0 ||
           license_of(report, alert->scope) != NULL;
}

static void settle_alerts(struct report *report)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < report->alert_count; i++)
        if (is_about(report, &report->alerts[i]))
            report->alerts[kept++] = report->alerts[i];
    report->alert_count = kept;
}

/* The organisation, products, families, models: who reads on learns more of less. */
static int rank_of(const struct report_month *month)
{
    if (month->model[0] != '\0')
        return 3;
    return month->family[0] != '\0' ? 2 : month->product[0] != '\0';
}

static int compare_users(const void *left, const void *right)
{
    const struct report_month *a = &((const struct report_users *)left)->month;
    const struct report_month *b = &((const struct report_users *)right)->month;
    if (rank_of(a) != rank_of(b))
        return rank_of(a) < rank_of(b) ? -1 : 1;
    int order = strcmp(a->family, b->family);
    if (rank_of(a) == 3)
        order = strcmp(a->model, b->model);
    return order != 0 ? order : strcmp(a->product, b->product);
}

static int compare_licenses(const void *left, const void *right)
{
    return strcmp(((const struct report_license *)left)->model,
                  ((const struct report_license *)right)->model);
}

static void settle(struct report *report)
{
    if (report->users_count > 0)
        qsort(report->users, report->users_count, sizeof *report->users, compare_users);
    if (report->license_count > 0)
        qsort(report->licenses, report->license_count, sizeof *report->licenses, compare_licenses);
    settle_acknowledgements(report);
    settle_alerts(report);
}

/* -- Collecting -- */

static bool on_row(void *argument, const struct ledger_row *row)
{
    struct report_collector *collector = argument;
    if (row->sequence > collector->verified)
        return false; /* written since the chain was verified: of the next report */
    collector->report->sequence = row->sequence;
    (void)snprintf(collector->report->hash, LEDGER_HASH_BYTES, "%s", row->hash);
    collector->result = report_take_row(collector, row);
    return collector->result == 0;
}

static int64_t unix_of_month(int32_t month)
{
    struct tm tm = {.tm_year = month / 12 - 1900, .tm_mon = month % 12, .tm_mday = 1};
    return (int64_t)timegm(&tm);
}

static int collect(struct ledger *ledger, struct report_collector *collector)
{
    int result = ledger_verify(ledger, &collector->verified, collector->err);
    if (result == 0)
        result = ledger_read(ledger, NULL, on_row, collector, collector->err);
    if (result == 0)
        result = collector->result;
    if (result == 0)
        result = report_take_verdicts(collector);
    for (uint32_t i = 0; i < collector->verdict_count; i++) {
        free(collector->verdicts[i].model);
        free(collector->verdicts[i].body);
    }
    free(collector->verdicts);
    return result;
}

int report_collect(struct ledger *ledger, const struct report_request *request, struct report **ret,
                   struct error *err)
{
    struct error local = {0};
    assert(request->month != MONTH_NONE);
    assert((request->model[0] != '\0') + (request->family[0] != '\0') + request->organisation <= 1);
    if (err == NULL)
        err = &local;
    struct report *report = calloc(1, sizeof *report);
    if (report == NULL)
        return error_no_memory(err);
    report->request = *request;
    report->operator_name = report->signer = "";
    memset(report->hash, '0', LEDGER_HASH_BYTES - 1); /* what stands before the first row */
    report->arena = arena_new(ARENA_BYTES_MAX);
    struct report_collector collector = {.report = report,
                                         .month_from = unix_of_month(request->month),
                                         .month_to = unix_of_month(request->month + 1),
                                         .err = err};
    int result = report->arena == NULL ? error_no_memory(err) : collect(ledger, &collector);
    if (result != 0) {
        report_free(report);
        return result;
    }
    settle(report);
    *ret = report;
    return 0;
}

/* -- The stamp -- */

void report_stamp(const struct report *report, char ret[REPORT_STAMP_BYTES])
{
    (void)snprintf(ret, REPORT_STAMP_BYTES, STAMP_WORD "%lld:%s", (long long)report->sequence,
                   report->hash);
}

struct stamp {
    int64_t sequence;
    char hash[LEDGER_HASH_BYTES];
    bool found;
};

static int read_stamp(const char *document, size_t count, struct stamp *ret, struct error *err)
{
    size_t within = count < STAMP_WITHIN ? count : STAMP_WITHIN;
    const char *word = memmem(document, within, STAMP_WORD, strlen(STAMP_WORD));
    const char *end = document + count;
    int64_t sequence = 0;
    int digits = 0;
    if (word == NULL)
        return error_set(err, ERROR_INVALID, "no report of weir: it names no row of a ledger");
    word += strlen(STAMP_WORD);
    for (; word < end && *word >= '0' && *word <= '9' && digits < 18; word++, digits++)
        sequence = sequence * 10 + (*word - '0');
    if (digits == 0 || end - word < LEDGER_HASH_BYTES || *word != ':')
        return error_set(err, ERROR_INVALID, "the row of the ledger that it names cannot be read");
    memcpy(ret->hash, word + 1, LEDGER_HASH_BYTES - 1);
    ret->hash[LEDGER_HASH_BYTES - 1] = '\0';
    ret->sequence = sequence;
    ret->found = sequence == 0 && strspn(ret->hash, "0") == LEDGER_HASH_BYTES - 1;
    return 0;
}

static bool on_stamped(void *argument, const struct ledger_row *row)
{
    struct stamp *stamp = argument;
    if (row->sequence == stamp->sequence)
        stamp->found = strcmp(row->hash, stamp->hash) == 0;
    return row->sequence < stamp->sequence;
}

int report_stamp_check(const char *document, size_t count, struct ledger *ledger,
                       int64_t *ret_sequence, struct error *err)
{
    struct stamp stamp;
    int64_t rows = 0;
    int result = read_stamp(document, count, &stamp, err);
    if (result == 0)
        result = ledger_verify(ledger, &rows, err);
    if (result == 0)
        result = ledger_read(ledger, NULL, on_stamped, &stamp, err);
    if (result != 0)
        return result;
    if (!stamp.found)
        return error_set(err, ERROR_INVALID,
                         "row %lld of this ledger is not the one that the report was made at: it "
                         "is another ledger, or one that was written anew",
                         (long long)stamp.sequence);
    *ret_sequence = stamp.sequence;
    return 0;
}
