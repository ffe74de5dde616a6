/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/ledger.h"
#include "policy/policy_months.h"
#include "policy/report/report.h"
#include "policy/users/calendar.h"
#include "policy/users/usage.h"
#include "policy/users/usage_inner.h"
#include "policy/users/usage_window.h"
#include "tests/unit/policy/scratch.h"

#define NOV_1     20758u /* 2026-11-01 */
#define NOV_15    20772u
#define NOV_30    20787u
#define NOVEMBER  (2026 * 12 + 10)
#define HOUR_US   INT64_C(3600000000)
#define TURNS_MAX 20000u
#define KEY_ID    77u

struct fixture {
    char folder[SCRATCH_PATH_BYTES];
    struct secret secret;
    struct usage *usage;
    struct usage_scope *llama, *qwen; /* qwen: of the product chat, without a family */
    struct ledger *ledger;
    pthread_mutex_t lock;
    struct policy_months *months;
    int64_t heard_us; /* up to then all replicas have told what they counted */
};

static bool heard_past(const void *argument, int64_t unix_us)
{
    const struct fixture *fixture = argument;
    return fixture->heard_us > unix_us;
}

static struct usage_scope *add_scope(struct fixture *fixture, const char *product,
                                     const char *model, const char *family)
{
    struct usage_scope *scope = NULL;
    const struct usage_scope_name name = {.product = product, .model = model, .family = family};
    assert_int_equal(usage_scope_add(fixture->usage, &name, &scope, NULL), 0);
    return scope;
}

static void open_all(struct fixture *fixture, int64_t now_us)
{
    struct error err = {0};
    const struct usage_config usage = {.folder = fixture->folder, .secret = &fixture->secret};
    fixture->usage = usage_new(&usage, &err);
    assert_string_equal(err.text, "");
    fixture->llama = add_scope(fixture, "", "llama-a", "llama");
    fixture->qwen = add_scope(fixture, "chat", "qwen", "");
    fixture->ledger = ledger_open(fixture->folder, &err);
    const struct policy_months_config months = {.usage = fixture->usage,
                                                .ledger = fixture->ledger,
                                                .ledger_lock = &fixture->lock,
                                                .heard_past = heard_past,
                                                .argument = fixture};
    fixture->months = policy_months_new(&months, now_us, &err);
    assert_string_equal(err.text, "");
}

static void close_all(struct fixture *fixture)
{
    policy_months_free(fixture->months);
    ledger_close(fixture->ledger);
    usage_free(fixture->usage);
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    scratch_make(fixture->folder);
    (void)pthread_mutex_init(&fixture->lock, NULL);
    fixture->secret =
        (struct secret){.users_key = {1, 2, 3}, .files_key = {4, 5}, .key_id = KEY_ID};
    fixture->heard_us = INT64_MAX;
    open_all(fixture, (int64_t)NOV_15 * CALENDAR_DAY_US);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    close_all(fixture);
    (void)pthread_mutex_destroy(&fixture->lock);
    scratch_remove(fixture->folder);
    free(fixture);
    return 0;
}

static int64_t at(uint32_t day, uint32_t hour)
{
    return (int64_t)day * CALENDAR_DAY_US + hour * HOUR_US;
}

static uint64_t hash_of(uint64_t user)
{
    return (user + 1) * UINT64_C(0x9e3779b97f4a7c15);
}

static void see_as(struct usage_scope *scope, uint32_t day, enum identity_class class,
                   uint32_t first, uint32_t count)
{
    for (uint32_t i = first; i < first + count; i++) {
        const struct usage_sight sight = {
            .class = class,
            .hashes = {hash_of(i), ~hash_of(i)},
            .request_hashes = {hash_of(i + 1000000), hash_of(i + 1000000)}};
        (void)usage_count(scope, day, &sight);
    }
}

static void see(struct usage_scope *scope, uint32_t day, uint32_t first, uint32_t count)
{
    see_as(scope, day, IDENTITY_VERIFIED, first, count);
}

/* All turns that are due then. */
static uint32_t turns(struct fixture *fixture, int64_t now_us)
{
    uint32_t count = 0;
    usage_tick(fixture->usage, now_us);
    while (policy_months_turn(fixture->months, now_us) <= 100)
        assert_true(++count < TURNS_MAX);
    return count;
}

static bool count_row(void *argument, const struct ledger_row *row)
{
    (void)row;
    ++*(uint32_t *)argument;
    return true;
}

static uint32_t rows(struct fixture *fixture)
{
    uint32_t count = 0;
    assert_int_equal(ledger_read(fixture->ledger, REPORT_MONTH_KIND, count_row, &count, NULL), 0);
    return count;
}

static struct report *collect(struct fixture *fixture, int32_t month)
{
    struct error err = {0};
    struct report *report = NULL;
    const struct report_request request = {.month = month, .model = "", .family = ""};
    (void)report_collect(fixture->ledger, &request, &report, &err);
    assert_string_equal(err.text, "");
    assert_int_equal(report->anomaly_count, 0); /* nothing sinks, nothing is provisional again */
    return report;
}

static const struct report_users *find(const struct report *report, const char *product,
                                       const char *model, const char *family)
{
    for (uint32_t i = 0; i < report->users_count; i++) {
        const struct report_month *month = &report->users[i].month;
        if (strcmp(month->product, product) == 0 && strcmp(month->model, model) == 0 &&
            strcmp(month->family, family) == 0)
            return &report->users[i];
    }
    fail_msg("no figure of product '%s', model '%s', family '%s'", product, model, family);
    return NULL;
}

/* The organisation's, whose strings go. */
static struct report_month organisation(struct fixture *fixture, int32_t month)
{
    struct report *report = collect(fixture, month);
    struct report_month row = find(report, "", "", "")->month;
    row.sketch_sha256 = NULL;
    report_free(report);
    return row;
}

/* -- What a row says -- */

static void every_union_has_a_row_with_its_figures(void **state)
{
    struct fixture *fixture = *state;
    see(fixture->llama, NOV_15, 0, 10);
    see_as(fixture->qwen, NOV_15, IDENTITY_ASSERTED, 5, 10);
    see_as(fixture->qwen, NOV_15, IDENTITY_WEAK, 50, 2);
    (void)turns(fixture, at(NOV_15, 12));
    struct report *report = collect(fixture, NOVEMBER);
    assert_int_equal(report->users_count, 5);
    const struct report_month *all = &find(report, "", "", "")->month;
    assert_int_equal(all->lower.low, 10);
    assert_int_equal(all->best.users, 17);
    assert_int_equal(all->upper.high, 17);
    assert_true(all->exact);
    assert_int_equal(all->anonymous_requests, 2);
    assert_true(all->coverage > 20.0 / 22 - 1e-9 && all->coverage < 20.0 / 22 + 1e-9);
    assert_int_equal(all->state, REPORT_PROVISIONAL);
    assert_true(all->key_id == year_keys_peek(usage_year_keys(fixture->usage), 2026)->id);
    assert_int_equal(find(report, "chat", "", "")->month.best.users, 12);
    assert_int_equal(find(report, "", "", "llama")->month.best.users, 10);
    assert_int_equal(find(report, "", "llama-a", "llama")->month.best.users, 10);
    assert_int_equal(find(report, "chat", "qwen", "")->month.upper.high, 12);
    report_free(report);
}

static void the_digest_is_of_the_union_behind_best(void **state)
{
    struct fixture *fixture = *state;
    struct sketch *sketch = sketch_new(SKETCH_P);
    struct text bytes;
    unsigned char digest[32];
    char expected[65];
    see(fixture->llama, NOV_15, 0, 3);
    see_as(fixture->llama, NOV_15, IDENTITY_WEAK, 2, 3);
    for (uint64_t user = 0; user < 5; user++)
        assert_int_equal(sketch_add(sketch, hash_of(user), NULL, NULL), 0);
    text_init(&bytes);
    sketch_write(sketch, &bytes);
    assert_int_equal(EVP_Digest(bytes.bytes, bytes.count, digest, NULL, EVP_sha256(), NULL), 1);
    for (int i = 0; i < 32; i++)
        (void)snprintf(expected + 2 * (size_t)i, 3, "%02x", digest[i]);
    (void)turns(fixture, at(NOV_15, 12));
    struct report *report = collect(fixture, NOVEMBER);
    assert_string_equal(find(report, "", "llama-a", "llama")->month.sketch_sha256, expected);
    report_free(report);
    text_destroy(&bytes);
    sketch_free(sketch);
}

static void nobody_has_no_row(void **state)
{
    struct fixture *fixture = *state;
    (void)turns(fixture, at(NOV_15, 12));
    assert_int_equal(rows(fixture), 0);
    see(fixture->llama, NOV_30 + 1, 0, 3); /* at November's edge, and not in it */
    (void)turns(fixture, at(NOV_30 + 1, 12));
    struct report *report = collect(fixture, NOVEMBER);
    assert_int_equal(report->users_count, 0);
    report_free(report);
    assert_int_equal(organisation(fixture, NOVEMBER + 1).best.users, 3);
}

/* -- When -- */

static void a_days_figures_are_the_months_up_to_its_end(void **state)
{
    struct fixture *fixture = *state;
    (void)turns(fixture, at(NOV_15, 1));
    for (uint32_t i = 0; i < 3; i++) {
        see(fixture->llama, NOV_15 + i, 10 * i, 15);
        (void)turns(fixture, at(NOV_15 + i + 1, 1));
    }
    struct report_month row = organisation(fixture, NOVEMBER);
    assert_int_equal(row.day_count, 17); /* from the first of the month */
    assert_int_equal(row.daily[0].day, 1);
    assert_int_equal(row.daily[13].best, 0);
    assert_int_equal(row.daily[14].day, 15);
    assert_int_equal(row.daily[14].best, 15);
    assert_int_equal(row.daily[15].best, 25);
    assert_int_equal(row.daily[16].lower, 35);
    assert_int_equal(row.daily[16].upper, 35);
}

static void nothing_new_is_no_row(void **state)
{
    struct fixture *fixture = *state;
    see(fixture->llama, NOV_15, 0, 100);
    (void)turns(fixture, at(NOV_15, 1));
    uint32_t before = rows(fixture);
    assert_int_equal(before, 3); /* model, family, organisation */
    (void)turns(fixture, at(NOV_15, 2));
    see(fixture->llama, NOV_15, 100, 24); /* less than a quarter more */
    (void)turns(fixture, at(NOV_15, 3));
    assert_int_equal(rows(fixture), before);
    see(fixture->llama, NOV_15, 124, 1);
    (void)turns(fixture, at(NOV_15, 4));
    assert_int_equal(rows(fixture), before + 3);
    close_all(fixture);
    open_all(fixture, at(NOV_15, 5));
    (void)turns(fixture, at(NOV_15, 5)); /* a start says what it finds: the same */
    policy_months_stop(fixture->months, at(NOV_15, 6));
    assert_int_equal(rows(fixture), before + 3);
}

static void a_clean_stop_writes_what_is_new(void **state)
{
    struct fixture *fixture = *state;
    see(fixture->llama, NOV_15, 0, 100);
    (void)turns(fixture, at(NOV_15, 1));
    see(fixture->llama, NOV_15, 100, 1);
    policy_months_stop(fixture->months, at(NOV_15, 2));
    assert_int_equal(organisation(fixture, NOVEMBER).best.users, 101);
    assert_int_equal(rows(fixture), 6);
}

static void a_start_writes_what_a_crash_left(void **state)
{
    struct fixture *fixture = *state;
    see(fixture->llama, NOV_15, 0, 7);
    close_all(fixture);
    open_all(fixture, at(NOV_15, 2));
    (void)turns(fixture, at(NOV_15, 2));
    assert_int_equal(organisation(fixture, NOVEMBER).best.users, 7);
}

static void missed_days_and_months_are_made_up_for(void **state)
{
    struct fixture *fixture = *state;
    see(fixture->llama, NOV_1 - 3, 0, 4); /* October */
    see(fixture->llama, NOV_15, 0, 10);
    close_all(fixture); /* off from mid-November to the fifth of December */
    open_all(fixture, at(NOV_30 + 5, 12));
    (void)turns(fixture, at(NOV_30 + 5, 12));
    struct report_month october = organisation(fixture, NOVEMBER - 1);
    assert_int_equal(october.state, REPORT_FINAL);
    assert_int_equal(october.best.users, 4);
    struct report_month november = organisation(fixture, NOVEMBER);
    assert_int_equal(november.state, REPORT_FINAL);
    assert_int_equal(november.best.users, 10);
    assert_int_equal(november.day_count, 30);
    assert_int_equal(november.daily[29].best, 10);
    assert_int_equal(rows(fixture), 6); /* one of each */
}

/* -- A month's end -- */

static void a_month_becomes_final_and_is_then_only_amended(void **state)
{
    struct fixture *fixture = *state;
    see(fixture->llama, NOV_30, 0, 100);
    (void)turns(fixture, at(NOV_30, 12));
    (void)turns(fixture, at(NOV_30 + 1, 1));
    struct report_month row = organisation(fixture, NOVEMBER);
    assert_int_equal(row.state, REPORT_PROVISIONAL);
    assert_int_equal(row.day_count, 30);
    see(fixture->llama, NOV_30 + 1, 500, 50); /* December's, and at November's edge */
    (void)turns(fixture, at(NOV_30 + 2, 23));
    assert_int_equal(organisation(fixture, NOVEMBER).state, REPORT_PROVISIONAL);
    (void)turns(fixture, at(NOV_30 + 3, 0)); /* 48 hours after the month's end, within the hour */
    row = organisation(fixture, NOVEMBER);
    assert_int_equal(row.state, REPORT_FINAL);
    assert_int_equal(row.best.users, 100);
    assert_int_equal(row.upper.high, 150);
    assert_int_equal(organisation(fixture, NOVEMBER + 1).best.users, 50);
    (void)turns(fixture, at(NOV_30 + 3, 1)); /* the day's rows */
    uint32_t before = rows(fixture);
    (void)turns(fixture, at(NOV_30 + 3, 2));
    assert_int_equal(rows(fixture), before);
    struct sketch *late = sketch_new(SKETCH_P);
    assert_int_equal(sketch_add(late, hash_of(9999), NULL, NULL), 0);
    const struct usage_name name = {
        .scope = fixture->llama->id, .day = NOV_30, .class = USAGE_VERIFIED};
    assert_int_equal(usage_join(fixture->llama, &name, late, NULL), 0);
    sketch_free(late);
    (void)turns(fixture, at(NOV_30 + 4, 1));
    row = organisation(fixture, NOVEMBER);
    assert_int_equal(row.state, REPORT_AMENDED);
    assert_int_equal(row.best.users, 101);
    close_all(fixture);
    open_all(fixture, at(NOV_30 + 5, 1));
    (void)turns(fixture, at(NOV_30 + 5, 1));
    assert_int_equal(organisation(fixture, NOVEMBER).state, REPORT_AMENDED);
}

static void a_month_is_not_final_while_a_replica_was_not_heard_past_it(void **state)
{
    struct fixture *fixture = *state;
    fixture->heard_us = at(NOV_30 + 1, 12); /* its edge is the day after the month */
    see(fixture->llama, NOV_30, 0, 100);
    (void)turns(fixture, at(NOV_30, 12));
    (void)turns(fixture, at(NOV_30 + 3, 1));
    assert_int_equal(organisation(fixture, NOVEMBER).state, REPORT_PROVISIONAL);
    fixture->heard_us = at(NOV_30 + 3, 2);
    (void)turns(fixture, at(NOV_30 + 3, 3));
    assert_int_equal(organisation(fixture, NOVEMBER).state, REPORT_FINAL);
}

static bool has_note(struct fixture *fixture, const char *part)
{
    struct text notes;
    text_init(&notes);
    usage_take_notes(fixture->usage, &notes);
    bool found = strstr(text_string(&notes), part) != NULL;
    text_destroy(&notes);
    return found;
}

/* Whoever reads a day's damaged file says so. */
static void a_final_month_is_not_read_again_until_it_is_amended(void **state)
{
    struct fixture *fixture = *state;
    char path[SCRATCH_PATH_BYTES];
    see(fixture->llama, NOV_15, 0, 100); /* at no edge of a month */
    (void)turns(fixture, at(NOV_30 + 3, 1));
    assert_int_equal(organisation(fixture, NOVEMBER).state, REPORT_FINAL);
    for (uint32_t i = 0; i < 20; i++) /* the day is closed */
        usage_tick(fixture->usage, at(NOV_30 + 4, 0) + i * INT64_C(1000000));
    scratch_find(fixture->folder, "day-", path);
    scratch_write(fixture->folder, strrchr(path, '/') + 1, "damaged", 7);
    (void)turns(fixture, at(NOV_30 + 4, 1));
    assert_false(has_note(fixture, "moved aside"));
    struct sketch *late = sketch_new(SKETCH_P);
    assert_int_equal(sketch_add(late, hash_of(9999), NULL, NULL), 0);
    const struct usage_name name = {
        .scope = fixture->llama->id, .day = NOV_15 + 1, .class = USAGE_VERIFIED};
    assert_int_equal(usage_join(fixture->llama, &name, late, NULL), 0);
    sketch_free(late);
    (void)turns(fixture, at(NOV_30 + 5, 1));
    assert_true(has_note(fixture, "moved aside"));
    assert_int_equal(organisation(fixture, NOVEMBER).best.users, 100); /* and nothing sinks */
}

static void figures_never_sink_though_counters_are_lost(void **state)
{
    struct fixture *fixture = *state;
    char path[SCRATCH_PATH_BYTES];
    see(fixture->llama, NOV_15, 0, 100);
    (void)turns(fixture, at(NOV_15, 1));
    struct report *first = collect(fixture, NOVEMBER);
    char digest[65];
    (void)snprintf(digest, sizeof digest, "%s", find(first, "", "", "")->month.sketch_sha256);
    report_free(first);
    close_all(fixture);
    scratch_find(fixture->folder, "day-", path);
    assert_int_equal(remove(path), 0);
    open_all(fixture, at(NOV_15, 2));
    see(fixture->llama, NOV_15, 200, 5);
    (void)turns(fixture, at(NOV_15, 3));
    (void)turns(fixture, at(NOV_15 + 1, 1));
    struct report *report = collect(fixture, NOVEMBER); /* asks that no row is an anomaly */
    const struct report_month *row = &find(report, "", "", "")->month;
    assert_int_equal(row->best.users, 100);
    assert_int_equal(row->lower.low, 100);
    assert_string_equal(row->sketch_sha256, digest); /* the proof goes with its figure */
    report_free(report);
}

/* -- What fails -- */

static void execute(sqlite3 *database, const char *sql)
{
    assert_int_equal(sqlite3_exec(database, sql, NULL, NULL, NULL), SQLITE_OK);
}

static void a_ledger_that_fails_is_noted_once_and_tried_again(void **state)
{
    struct fixture *fixture = *state;
    char path[2 * SCRATCH_PATH_BYTES];
    sqlite3 *other = NULL;
    struct text notes;
    see(fixture->llama, NOV_15, 0, 10);
    (void)snprintf(path, sizeof path, "%s/" LEDGER_FILE, fixture->folder);
    assert_int_equal(sqlite3_open(path, &other), SQLITE_OK);
    execute(other, "ALTER TABLE head RENAME TO away"); /* nothing can be written */
    for (uint32_t minute = 0; minute < 4; minute++)
        (void)turns(fixture, at(NOV_15, 1) + minute * INT64_C(61000000));
    text_init(&notes);
    usage_take_notes(fixture->usage, &notes);
    const char *said = strstr(text_string(&notes), "figures of the month: ");
    assert_non_null(said);
    assert_null(strstr(said + 1, "figures of the month: "));
    text_destroy(&notes);
    execute(other, "ALTER TABLE away RENAME TO head");
    assert_int_equal(sqlite3_close(other), SQLITE_OK);
    for (uint32_t minute = 5; minute < 12; minute++)
        (void)turns(fixture, at(NOV_15, 1) + minute * INT64_C(61000000));
    assert_int_equal(rows(fixture), 3);
    assert_int_equal(organisation(fixture, NOVEMBER).best.users, 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_union_has_a_row_with_its_figures, setup, teardown),
        cmocka_unit_test_setup_teardown(the_digest_is_of_the_union_behind_best, setup, teardown),
        cmocka_unit_test_setup_teardown(nobody_has_no_row, setup, teardown),
        cmocka_unit_test_setup_teardown(a_days_figures_are_the_months_up_to_its_end, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(nothing_new_is_no_row, setup, teardown),
        cmocka_unit_test_setup_teardown(a_clean_stop_writes_what_is_new, setup, teardown),
        cmocka_unit_test_setup_teardown(a_start_writes_what_a_crash_left, setup, teardown),
        cmocka_unit_test_setup_teardown(missed_days_and_months_are_made_up_for, setup, teardown),
        cmocka_unit_test_setup_teardown(a_month_becomes_final_and_is_then_only_amended, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_month_is_not_final_while_a_replica_was_not_heard_past_it,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_final_month_is_not_read_again_until_it_is_amended, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(figures_never_sink_though_counters_are_lost, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_ledger_that_fails_is_noted_once_and_tried_again, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
