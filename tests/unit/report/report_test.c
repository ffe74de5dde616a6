/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/report/report_fixture.h"

static void a_row_of_figures_reads_back_as_it_was_written(void **state)
{
    (void)state;
    struct report_month written = fixture_month("kimi", 90, 110), read;
    struct error err = {0};
    struct text body;
    struct arena *arena = arena_new(1 << 20);
    written.lower.low = 88;
    written.state = REPORT_AMENDED;
    written.days_missing = 2;
    text_init(&body);
    report_month_body(&written, &body);
    assert_int_equal(report_month_read(text_string(&body), arena, &read, &err), 0);
    assert_string_equal(read.model, "kimi");
    assert_int_equal(read.month, MONTH);
    assert_int_equal(read.lower.low, 88);
    assert_int_equal(read.upper.high, 110);
    assert_true(read.coverage == 0.75);
    assert_true(read.key_id == written.key_id);
    assert_int_equal(read.state, REPORT_AMENDED);
    assert_int_equal(read.days_missing, 2);
    assert_int_equal(read.day_count, 2);
    assert_memory_equal(read.daily, written.daily, sizeof written.daily);
    text_destroy(&body);
    arena_free(arena);
}

static void a_body_at_fault_is_named_and_changes_nothing(void **state)
{
    static const struct {
        const char *from, *to, *expected;
    } faults[] = {{"2026-10\",\"lower", "2026-13\",\"lower", "month"},
                  {"\"users\":90", "\"users\":-1", "lower: users"},
                  {"\"low\":90", "\"low\":91", "in order"},
                  {"\"coverage\":0.75", "\"coverage\":1.5", "coverage"},
                  {"provisional", "certain", "state"},
                  {"2026-10-31", "2026-10-32", "daily"},
                  {"2026-10-31", "2026-10-01", "daily"},
                  {"fedcba98", "fedcba9G", "key_id"},
                  {"\"model\":\"kimi\"", "\"model\":[\"kimi\"]", "model"},
                  {"{\"product", "[\"product", "JSON"}};
    (void)state;
    const struct report_month month = fixture_month("kimi", 90, 110);
    struct report_month untouched = {.month = 7};
    struct arena *arena = arena_new(1 << 20);
    struct text body;
    text_init(&body);
    report_month_body(&month, &body);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        struct error err = {0};
        struct text bad;
        const char *at = strstr(text_string(&body), faults[i].from);
        assert_non_null(at);
        text_init(&bad);
        text_append(&bad, body.bytes, (size_t)(at - body.bytes));
        text_append_string(&bad, faults[i].to);
        text_append_string(&bad, at + strlen(faults[i].from));
        assert_int_equal(report_month_read(text_string(&bad), arena, &untouched, &err),
                         ERROR_INVALID);
        if (strstr(err.text, faults[i].expected) == NULL)
            fail_msg("'%s' does not say '%s'", err.text, faults[i].expected);
        assert_int_equal(untouched.month, 7);
        text_destroy(&bad);
    }
    text_destroy(&body);
    arena_free(arena);
}

static void figures_rise_and_never_sink(void **state)
{
    struct fixture *fixture = *state;
    struct report_month first = fixture_month("kimi", 100, 200);
    struct report_month sunk = fixture_month("kimi", 99, 300);
    struct report_month risen = fixture_month("kimi", 110, 220);
    fixture_write(fixture, &first);
    fixture_write(fixture, &sunk);
    struct report *report = fixture_collect(fixture, "", "");
    assert_int_equal(report->users_count, 1);
    assert_int_equal(report->users[0].month.lower.low, 100);
    assert_int_equal(report->users[0].month.upper.high, 200);
    assert_int_equal(report->anomaly_count, 1);
    assert_int_equal(report->anomalies[0].sequence, 2);
    assert_non_null(strstr(report->anomalies[0].text, "do not sink"));
    risen.state = REPORT_FINAL;
    fixture_write(fixture, &risen);
    report = fixture_collect(fixture, "", "");
    assert_int_equal(report->users[0].month.lower.low, 110);
    assert_int_equal(report->users[0].month.upper.high, 220);
    assert_int_equal(report->users[0].month.state, REPORT_FINAL);
    assert_int_equal(report->users[0].sequence, 3);
    assert_int_equal(report->users[0].rows, 3);
}

static void a_final_month_is_never_provisional_again(void **state)
{
    struct fixture *fixture = *state;
    struct report_month final = fixture_month("kimi", 100, 200);
    struct report_month later = fixture_month("kimi", 101, 201);
    final.state = REPORT_FINAL;
    fixture_write(fixture, &final);
    fixture_write(fixture, &later);
    const struct report *report = fixture_collect(fixture, "", "");
    assert_int_equal(report->users[0].month.upper.high, 201);
    assert_int_equal(report->users[0].month.state, REPORT_AMENDED);
    assert_int_equal(report->anomaly_count, 1);
}

static void scopes_stand_apart_and_in_order(void **state)
{
    struct fixture *fixture = *state;
    struct report_month month = fixture_month("zeta", 1, 2), other = fixture_month("alpha", 3, 4);
    struct report_month family = fixture_month("", 5, 6), all = fixture_month("", 7, 8);
    struct report_month product = fixture_month("alpha", 9, 10), shop = fixture_month("", 6, 7),
                        next = fixture_month("alpha", 1, 1);
    all.family = "";
    other.family = "llama";
    product.product = "app";
    shop.family = "";
    shop.product = "app";
    next.month++;
    next.day_count = 1; /* November has no 31st */
    const struct report_month *const rows[] = {&month,   &other, &family, &all,
                                               &product, &shop,  &next};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        fixture_write(fixture, rows[i]);
    struct report *report = fixture_collect(fixture, "", "");
    static const uint64_t lowers[] = {7, 6, 5, 3, 9, 1}; /* all, app, kimi, then models */
    assert_int_equal(report->users_count, 6);
    for (uint32_t i = 0; i < 6; i++)
        assert_int_equal(report->users[i].month.lower.low, lowers[i]);
    report = fixture_collect(fixture, "alpha", "");
    assert_int_equal(report->users_count, 2);
    report = fixture_collect(fixture, "", "kimi");
    assert_int_equal(report->users_count, 3);
    assert_int_equal(report->anomaly_count, 0);
}

static void the_verdict_is_that_of_the_months_end(void **state)
{
    struct fixture *fixture = *state;
    const struct ledger_entry later = {.kind = "license_verdict",
                                       .model = "kimi",
                                       .subject = "",
                                       .body = "{\"license\":\"other\",\"verdict\":\"breach\"}"};
    const struct ledger_entry old = {.kind = "license_verdict",
                                     .model = "kimi",
                                     .subject = "",
                                     .body = "{\"license\":\"old\",\"verdict\":\"met\"}"};
    fixture_row(fixture, BEFORE, &old);
    fixture_verdict(fixture, IN_MONTH, "kimi");
    fixture_row(fixture, AFTERWARDS, &later);
    const struct report *report = fixture_collect(fixture, "", "");
    assert_int_equal(report->license_count, 1);
    const struct report_license *license = &report->licenses[0];
    assert_string_equal(license->license, "kimi-k2.5");
    assert_string_equal(license->family, "kimi");
    assert_int_equal(license->sequence, 2);
    assert_int_equal(license->changes, 1);
    assert_int_equal(license->condition_count, 2);
    assert_string_equal(license->conditions[0].text, "Kimi & \"K2.5\"");
    assert_int_equal(license->conditions[0].lines[0].value, 1000);
    assert_string_equal(license->conditions[1].text, "");
    assert_int_equal(report->sequence, 3);
}

static void an_acknowledgement_is_in_force_while_a_verdict_counts_on_it(void **state)
{
    struct fixture *fixture = *state;
    struct ledger_entry row = {.kind = "acknowledgement",
                               .model = "kimi",
                               .subject = "kimi-k2.5/ui-name",
                               .body = "{\"reference\":\"contract 7\",\"signer\":\"Ada\"}"};
    fixture_verdict(fixture, BEFORE, "kimi");
    fixture_row(fixture, BEFORE, &row);
    row.subject = "kimi-k2.5/notice";
    fixture_row(fixture, BEFORE, &row);
    row.subject = "kimi-k2.5/later";
    fixture_row(fixture, AFTERWARDS, &row);
    const struct report *report = fixture_collect(fixture, "", "");
    assert_int_equal(report->acknowledgement_count, 2);
    assert_true(report->acknowledgements[0].in_force);
    assert_string_equal(report->acknowledgements[0].signer, "Ada");
    assert_string_equal(report->acknowledgements[0].clause, "");
    assert_false(report->acknowledgements[1].in_force);
}

static void alerts_are_those_of_the_month(void **state)
{
    struct fixture *fixture = *state;
    struct ledger_entry row = {
        .kind = "alert",
        .model = "kimi",
        .subject = "1",
        .body = "{\"id\":\"a\",\"condition\":\"c\",\"scope\":\"kimi\",\"rule\":\"level-90\","
                "\"fires\":true,\"upper\":900,\"threshold\":1000,\"days_early\":null,"
                "\"day\":\"2026-10-09\"}"};
    fixture_row(fixture, AFTERWARDS, &row);
    row.body = "{\"id\":\"b\",\"scope\":\"kimi\",\"fires\":true,\"upper\":900,\"threshold\":1000,"
               "\"day\":\"2026-11-09\"}";
    fixture_row(fixture, AFTERWARDS, &row);
    row.body = "{\"id\":\"c\",\"scope\":\"kimi\",\"fires\":true,\"upper\":1e300,\"threshold\":1}";
    fixture_row(fixture, AFTERWARDS, &row);
    const struct report *report = fixture_collect(fixture, "", "");
    assert_int_equal(report->alert_count, 1);
    assert_string_equal(report->alerts[0].rule, "level-90");
    assert_false(report->alerts[0].has_days_early);
    assert_int_equal(report->anomaly_count, 1);
}

static void rows_that_cannot_be_read_are_told(void **state)
{
    struct fixture *fixture = *state;
    static const char *const kinds[] = {"month", "license_verdict", "acknowledgement", "alert"};
    for (size_t i = 0; i < 4; i++) {
        const struct ledger_entry row = {
            .kind = kinds[i], .model = "kimi", .subject = "", .body = "[\"not one\"]"};
        fixture_row(fixture, IN_MONTH, &row);
    }
    const struct report *report = fixture_collect(fixture, "", "");
    assert_int_equal(report->anomaly_count, 4);
    assert_int_equal(report->users_count + report->license_count + report->alert_count, 0);
}

static void anomalies_are_told_up_to_a_limit(void **state)
{
    struct fixture *fixture = *state;
    char subject[16];
    for (uint32_t i = 0; i < REPORT_ANOMALIES_MAX + 3; i++) {
        (void)snprintf(subject, sizeof subject, "%u", i);
        const struct ledger_entry row = {
            .kind = "alert", .model = "kimi", .subject = subject, .body = "{}"};
        fixture_row(fixture, IN_MONTH, &row);
    }
    const struct report *report = fixture_collect(fixture, "", "");
    assert_int_equal(report->anomaly_count, REPORT_ANOMALIES_MAX);
    assert_int_equal(report->anomalies_untold, 3);
}

static void a_tampered_ledger_gives_no_report(void **state)
{
    struct fixture *fixture = *state;
    struct error err = {0};
    struct report *report = NULL;
    const struct report_request request = {.month = MONTH, .model = "", .family = ""};
    const struct report_month month = fixture_month("kimi", 100, 200);
    fixture_verdict(fixture, BEFORE, "kimi");
    fixture_write(fixture, &month);
    fixture_tamper(fixture, "UPDATE ledger SET body = replace(body, '200', '150') WHERE "
                            "sequence = 2");
    assert_int_equal(report_collect(fixture->ledger, &request, &report, &err), ERROR_INVALID);
    assert_null(report);
    assert_non_null(strstr(err.text, "row 2 was changed"));
}

static void a_stamp_binds_a_document_to_its_ledger(void **state)
{
    struct fixture *fixture = *state;
    char stamp[REPORT_STAMP_BYTES];
    int64_t sequence = 0;
    struct error err = {0};
    fixture_verdict(fixture, BEFORE, "kimi");
    report_stamp(fixture_collect(fixture, "", ""), stamp);
    fixture_verdict(fixture, BEFORE, "later");
    assert_int_equal(report_stamp_check(stamp, strlen(stamp), fixture->ledger, &sequence, &err), 0);
    assert_int_equal(sequence, 1);
    stamp[strlen(stamp) - 1] = 'x';
    assert_int_equal(report_stamp_check(stamp, strlen(stamp), fixture->ledger, &sequence, &err),
                     ERROR_INVALID);
    assert_non_null(strstr(err.text, "another ledger"));
    for (size_t count = 0; count < strlen(stamp); count++)
        assert_int_equal(report_stamp_check(stamp, count, fixture->ledger, &sequence, NULL),
                         ERROR_INVALID);
}

static void an_empty_ledger_is_a_report_of_nothing(void **state)
{
    char stamp[REPORT_STAMP_BYTES];
    int64_t sequence = -1;
    struct fixture *fixture = *state;
    const struct report *report = fixture_collect(fixture, "", "");
    assert_int_equal(report->users_count, 0);
    assert_int_equal(report->sequence, 0);
    report_stamp(report, stamp);
    assert_int_equal(report_stamp_check(stamp, strlen(stamp), fixture->ledger, &sequence, NULL), 0);
}

#define WITH_LEDGER(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_of_figures_reads_back_as_it_was_written),
        cmocka_unit_test(a_body_at_fault_is_named_and_changes_nothing),
        WITH_LEDGER(figures_rise_and_never_sink),
        WITH_LEDGER(a_final_month_is_never_provisional_again),
        WITH_LEDGER(scopes_stand_apart_and_in_order),
        WITH_LEDGER(the_verdict_is_that_of_the_months_end),
        WITH_LEDGER(an_acknowledgement_is_in_force_while_a_verdict_counts_on_it),
        WITH_LEDGER(alerts_are_those_of_the_month),
        WITH_LEDGER(rows_that_cannot_be_read_are_told),
        WITH_LEDGER(anomalies_are_told_up_to_a_limit),
        WITH_LEDGER(a_tampered_ledger_gives_no_report),
        WITH_LEDGER(a_stamp_binds_a_document_to_its_ledger),
        WITH_LEDGER(an_empty_ledger_is_a_report_of_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
