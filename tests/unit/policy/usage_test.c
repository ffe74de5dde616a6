/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "policy/users/calendar.h"
#include "policy/users/siphash.h"
#include "policy/users/usage.h"
#include "policy/users/usage_inner.h"
#include "policy/users/usage_window.h"
#include "tests/unit/policy/scratch.h"

#define NOV_15 20772u /* 2026-11-15 */
#define NOV_30 20787u
#define NOON   (CALENDAR_DAY_US / 2)

struct fixture {
    char folder[SCRATCH_PATH_BYTES];
    struct secret secret;
    struct usage_config config;
    struct usage *usage;
    struct usage_scope *scope; /* llama-a, of family llama */
};

static struct usage_scope *add_scope(struct fixture *fixture, const char *product,
                                     const char *model, const char *family)
{
    struct error err = {0};
    struct usage_scope *scope = NULL;
    const struct usage_scope_name name = {.product = product, .model = model, .family = family};
    (void)usage_scope_add(fixture->usage, &name, &scope, &err);
    assert_string_equal(err.text, "");
    assert_non_null(scope);
    return scope;
}

static void open_usage(struct fixture *fixture)
{
    struct error err = {0};
    fixture->config.folder = fixture->folder;
    fixture->config.secret = &fixture->secret;
    fixture->usage = usage_new(&fixture->config, &err);
    assert_string_equal(err.text, "");
    assert_non_null(fixture->usage);
    fixture->scope = add_scope(fixture, "", "llama-a", "llama");
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    scratch_make(fixture->folder);
    fixture->secret = (struct secret){.users_key = {1, 2, 3}, .files_key = {4, 5}, .key_id = 77};
    open_usage(fixture);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    usage_free(fixture->usage);
    scratch_remove(fixture->folder);
    free(fixture);
    return 0;
}

static void reopen(struct fixture *fixture)
{
    usage_free(fixture->usage);
    open_usage(fixture);
}

static uint64_t hash_of(uint64_t number)
{
    uint64_t hash = (number + 1) * UINT64_C(0x9e3779b97f4a7c15); /* SplitMix64 */
    hash = (hash ^ hash >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    hash = (hash ^ hash >> 27) * UINT64_C(0x94d049bb133111eb);
    return hash ^ hash >> 31;
}

static uint64_t see(struct usage_scope *scope, uint32_t day, enum identity_class class,
                    uint64_t number)
{
    const struct usage_sight sight = {.class = class,
                                      .hashes = {hash_of(number), ~hash_of(number)},
                                      .request_hashes = {hash_of(number + (UINT64_C(1) << 40)),
                                                         hash_of(number + (UINT64_C(1) << 40))}};
    return usage_count(scope, day, &sight);
}

static void see_many(struct usage_scope *scope, uint32_t day, uint64_t first, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        (void)see(scope, day, IDENTITY_ASSERTED, first + i);
}

static struct usage_figures ask_of(struct fixture *fixture, enum usage_group_kind kind,
                                   const char *name, enum usage_window window, uint32_t day)
{
    struct usage_figures figures;
    struct error err = {0};
    const struct usage_question question = {
        .group = usage_group_find(fixture->usage, kind, name),
        .window = window,
        .day = day,
        .now_unix_us = (int64_t)day * CALENDAR_DAY_US + NOON,
    };
    assert_non_null(question.group);
    assert_int_equal(usage_ask(fixture->usage, &question, &figures, &err), 0);
    return figures;
}

static struct usage_figures ask(struct fixture *fixture, enum usage_window window, uint32_t day)
{
    return ask_of(fixture, USAGE_GROUP_MODEL, "llama-a", window, day);
}

static double best(struct fixture *fixture, enum usage_window window, uint32_t day)
{
    return ask(fixture, window, day).best.users;
}

/* Many enough for whatever a tick does piece by piece. */
static void ticks(struct fixture *fixture, int64_t now_us, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        usage_tick(fixture->usage, now_us + (int64_t)i * 1000000);
}

static void expect_note(struct fixture *fixture, const char *part)
{
    struct text notes;
    text_init(&notes);
    usage_take_notes(fixture->usage, &notes);
    if (strstr(text_string(&notes), part) == NULL)
        fail_msg("no '%s' in: %s", part, text_string(&notes));
    text_destroy(&notes);
}

static void expect_no_note(struct fixture *fixture)
{
    struct text notes;
    text_init(&notes);
    usage_take_notes(fixture->usage, &notes);
    assert_string_equal(text_string(&notes), "");
    text_destroy(&notes);
}

/* Files whose names begin and end so. */
static uint32_t files_of(const struct fixture *fixture, const char *begin, const char *end)
{
    uint32_t count = 0;
    DIR *entries = opendir(fixture->folder);
    assert_non_null(entries);
    for (struct dirent *entry; (entry = readdir(entries)) != NULL;) {
        size_t bytes = strlen(entry->d_name);
        count += strncmp(entry->d_name, begin, strlen(begin)) == 0 && bytes >= strlen(end) &&
                 strcmp(entry->d_name + bytes - strlen(end), end) == 0;
    }
    (void)closedir(entries);
    return count;
}

/* -- Unions -- */

static void same_person_is_one_over_classes_models_and_days(void **state)
{
    struct fixture *fixture = *state;
    struct usage_scope *other = add_scope(fixture, "", "llama-b", "llama");
    struct usage_scope *qwen = add_scope(fixture, "chat", "qwen", "tongyi");
    (void)see(fixture->scope, NOV_15, IDENTITY_VERIFIED, 1);
    (void)see(fixture->scope, NOV_15, IDENTITY_ASSERTED, 1);
    (void)see(fixture->scope, NOV_15 + 1, IDENTITY_ASSERTED, 1);
    (void)see(fixture->scope, NOV_15 + 1, IDENTITY_ASSERTED, 2);
    (void)see(other, NOV_15, IDENTITY_ASSERTED, 2);
    (void)see(other, NOV_15, IDENTITY_ASSERTED, 3);
    (void)see(qwen, NOV_15 + 1, IDENTITY_VERIFIED, 3);
    (void)see(qwen, NOV_15 + 1, IDENTITY_VERIFIED, 4);
    struct usage_figures month = ask(fixture, USAGE_WINDOW_MONTH, NOV_15 + 1);
    assert_true(month.best.users == 2);
    assert_true(month.best.exact);
    assert_true(month.users_by_class[0] == 1 && month.users_by_class[1] == 2);
    assert_int_equal(month.requests[IDENTITY_ASSERTED], 3);
    uint32_t day = NOV_15 + 1;
    enum usage_window window = USAGE_WINDOW_MONTH;
    assert_true(ask_of(fixture, USAGE_GROUP_FAMILY, "llama", window, day).best.users == 3);
    assert_true(ask_of(fixture, USAGE_GROUP_PRODUCT, "default", window, day).best.users == 3);
    assert_true(ask_of(fixture, USAGE_GROUP_PRODUCT, "chat", window, day).best.users == 2);
    assert_true(ask_of(fixture, USAGE_GROUP_ORGANISATION, "", window, day).best.users == 4);
    assert_null(usage_group_find(fixture->usage, USAGE_GROUP_MODEL, "none"));
}

static void windows_hold_their_days_and_no_others(void **state)
{
    struct fixture *fixture = *state;
    for (uint32_t i = 0; i < 60; i++) /* user i is seen on day i alone */
        see_many(fixture->scope, NOV_30 - i, i, 1);
    assert_true(best(fixture, USAGE_WINDOW_DAY, NOV_30) == 1);
    assert_true(best(fixture, USAGE_WINDOW_MONTH, NOV_30) == 30);
    assert_true(best(fixture, USAGE_WINDOW_ROLLING_28, NOV_30) == 28);
    assert_true(best(fixture, USAGE_WINDOW_ROLLING_30, NOV_30) == 30);
    assert_true(best(fixture, USAGE_WINDOW_ROLLING_31, NOV_30) == 31);
    assert_true(best(fixture, USAGE_WINDOW_ROLLING_31, NOV_30 - 29) == 31);
    assert_true(best(fixture, USAGE_WINDOW_MONTH, NOV_30 - 30) == 30); /* October, its last 30 */
    struct usage_figures figures = ask(fixture, USAGE_WINDOW_ROLLING_28, NOV_30);
    assert_int_equal(figures.first_day, NOV_30 - 27);
    assert_int_equal(figures.last_day, NOV_30);
    assert_int_equal(figures.days_missing, 0);
}

static void month_turns_at_midnight_and_its_edge_widens_only_the_upper_view(void **state)
{
    struct fixture *fixture = *state;
    see_many(fixture->scope, NOV_30, 0, 3);
    see_many(fixture->scope, NOV_30 + 1, 2, 5); /* 2 is in both */
    see_many(fixture->scope, NOV_30 + 2, 100, 1);
    struct usage_figures november = ask(fixture, USAGE_WINDOW_MONTH, NOV_30);
    struct usage_figures december = ask(fixture, USAGE_WINDOW_MONTH, NOV_30 + 2);
    assert_true(november.best.users == 3 && november.upper_strict.users == 3);
    assert_true(november.upper.users == 7); /* December 1 is its edge, December 2 is not */
    assert_true(december.best.users == 6 && december.upper_strict.users == 6);
    assert_true(december.upper.users == 8);
    assert_int_equal(december.first_day, NOV_30 + 1);
}

static void views_take_anonymous_requests_as_nobody_or_as_everybody(void **state)
{
    struct fixture *fixture = *state;
    (void)see(fixture->scope, NOV_15, IDENTITY_VERIFIED, 1);
    (void)see(fixture->scope, NOV_15, IDENTITY_VERIFIED, 1);
    (void)see(fixture->scope, NOV_15, IDENTITY_ASSERTED, 2);
    for (uint64_t i = 0; i < 5; i++) {
        const struct usage_sight weak = {.class = IDENTITY_WEAK,
                                         .hashes = {hash_of(3)},
                                         .request_hashes = {hash_of(1000 + i), hash_of(1000 + i)}};
        (void)usage_count(fixture->scope, NOV_15, &weak);
        (void)usage_count(fixture->scope, NOV_15, &weak); /* a retry of the same request */
    }
    (void)see(fixture->scope, NOV_15, IDENTITY_NONE, 4);
    struct usage_figures figures = ask(fixture, USAGE_WINDOW_DAY, NOV_15);
    assert_true(figures.lower.users == 1);
    assert_true(figures.best.users == 3);
    assert_true(figures.upper.users == 2 + 5 + 1);
    assert_true(figures.identity_insufficient);
    assert_true(fabs(figures.coverage - 3.0 / 14) < 1e-12);
    assert_int_equal(figures.requests[IDENTITY_WEAK], 10);
    assert_int_equal(figures.requests[IDENTITY_NONE], 1);
    fixture->config.trust_asserted = true;
    reopen(fixture);
    assert_true(ask(fixture, USAGE_WINDOW_DAY, NOV_15).lower.users == 2);
    assert_int_equal(ask(fixture, USAGE_WINDOW_DAY, NOV_15).requests[IDENTITY_WEAK], 10);
}

static void identities_suffice_up_to_a_fifth_more(void **state)
{
    struct fixture *fixture = *state;
    for (uint64_t i = 0; i < 10; i++)
        (void)see(fixture->scope, NOV_15, IDENTITY_VERIFIED, i);
    (void)see(fixture->scope, NOV_15, IDENTITY_NONE, 10);
    (void)see(fixture->scope, NOV_15, IDENTITY_NONE, 11);
    assert_false(ask(fixture, USAGE_WINDOW_DAY, NOV_15).identity_insufficient);
    (void)see(fixture->scope, NOV_15, IDENTITY_NONE, 12);
    assert_true(ask(fixture, USAGE_WINDOW_DAY, NOV_15).identity_insufficient);
    assert_false(ask(fixture, USAGE_WINDOW_DAY, NOV_15 + 1).identity_insufficient); /* nobody */
    assert_true(ask(fixture, USAGE_WINDOW_DAY, NOV_15 + 1).coverage == 1);
}

static void estimates_have_bounds_around_the_truth(void **state)
{
    struct fixture *fixture = *state;
    see_many(fixture->scope, NOV_15, 0, 60000);
    see_many(fixture->scope, NOV_15 + 1, 30000, 60000);
    struct usage_figures figures = ask(fixture, USAGE_WINDOW_MONTH, NOV_15 + 1);
    assert_false(figures.best.exact);
    assert_true(figures.upper.low < 90000 && figures.upper.high > 90000);
    assert_true(figures.upper.high < 90000 * 1.02);
    assert_true(figures.best.users == figures.upper.users);
}

/* -- Days come and go -- */

static void day_is_ready_before_midnight_and_closed_after_it(void **state)
{
    struct fixture *fixture = *state;
    int64_t midnight_us = (int64_t)(NOV_30 + 1) * CALENDAR_DAY_US;
    see_many(fixture->scope, NOV_30, 0, 3);
    ticks(fixture, midnight_us - 700 * INT64_C(1000000), 1);
    assert_int_equal(files_of(fixture, "day-", ".wcn"), 2); /* two years' */
    ticks(fixture, midnight_us - 500 * INT64_C(1000000), 1);
    assert_int_equal(files_of(fixture, "day-", "-20261201-2026-asserted.wcn"), 1);
    assert_int_equal(files_of(fixture, "day-", "-20261201-2027-asserted.wcn"), 1);
    assert_int_equal(files_of(fixture, "day-", ".wcn"), 4); /* of the class that is in use */
    ticks(fixture, midnight_us + 1, 1);
    see_many(fixture->scope, NOV_30, 3, 1); /* admitted before midnight */
    see_many(fixture->scope, NOV_30 + 1, 10, 2);
    ticks(fixture, midnight_us + 400 * INT64_C(1000000), 4);
    assert_true(best(fixture, USAGE_WINDOW_MONTH, NOV_30) == 4);
    assert_true(best(fixture, USAGE_WINDOW_DAY, NOV_30 + 1) == 2);
    see_many(fixture->scope, NOV_30, 4, 1); /* a clock that was set back */
    assert_true(best(fixture, USAGE_WINDOW_MONTH, NOV_30) == 5);
    ticks(fixture, midnight_us + 500 * INT64_C(1000000), 4);
    assert_true(best(fixture, USAGE_WINDOW_MONTH, NOV_30) == 5);
    expect_no_note(fixture);
}

static void closed_days_that_are_opened_again_are_seen(void **state)
{
    struct fixture *fixture = *state;
    for (uint32_t day = NOV_15; day < NOV_15 + 10; day++) {
        see_many(fixture->scope, day, day, 2);
        ticks(fixture, (int64_t)day * CALENDAR_DAY_US + NOON, 3);
        assert_true(best(fixture, USAGE_WINDOW_MONTH, day) == day - NOV_15 + 2);
    }
    see_many(fixture->scope, NOV_15 + 2, 7, 1);
    assert_true(best(fixture, USAGE_WINDOW_MONTH, NOV_15 + 9) == 12);
    ticks(fixture, (int64_t)(NOV_15 + 9) * CALENDAR_DAY_US + NOON, 3);
    assert_true(best(fixture, USAGE_WINDOW_MONTH, NOV_15 + 9) == 12);
}

static void many_far_days_are_counted_where_they_belong(void **state)
{
    struct fixture *fixture = *state;
    for (uint32_t i = 0; i < 40; i++) /* clocks that jump; four days share a slot */
        see_many(fixture->scope, NOV_30 - (i * 7) % 40, i, 1);
    uint32_t seen = 0;
    for (uint32_t i = 0; i < 40; i++)
        seen += best(fixture, USAGE_WINDOW_DAY, NOV_30 - i) == 1;
    assert_int_equal(seen, 40);
    ticks(fixture, (int64_t)NOV_30 * CALENDAR_DAY_US + NOON, 30);
    assert_true(best(fixture, USAGE_WINDOW_MONTH, NOV_30) == 30);
}

static void final_days_are_amended_upward_and_it_is_told(void **state)
{
    struct fixture *fixture = *state;
    struct sketch *more = sketch_new(SKETCH_P);
    struct error err = {0};
    see_many(fixture->scope, NOV_15, 0, 3);
    assert_int_equal(sketch_add(more, hash_of(2), NULL, &err), 0);
    assert_int_equal(sketch_add(more, hash_of(9), NULL, &err), 0);
    struct usage_name name = usage_counter_name(0);
    char file[SCRATCH_PATH_BYTES];
    scratch_find(fixture->folder, "day-", file);
    unsigned long long scope;
    assert_int_equal(sscanf(strrchr(file, '/'), "/day-%12llx", &scope), 1);
    name = (struct usage_name){.scope = scope, .day = NOV_15, .class = USAGE_ASSERTED};
    ticks(fixture, (int64_t)(NOV_15 + 3) * CALENDAR_DAY_US - 10000000, 4);
    assert_false(ask(fixture, USAGE_WINDOW_DAY, NOV_15).final);
    assert_int_equal(usage_join(fixture->scope, &name, more, &err), 0);
    assert_int_equal(ask(fixture, USAGE_WINDOW_DAY, NOV_15).amended, 0);
    assert_int_equal(sketch_add(more, hash_of(10), NULL, &err), 0);
    ticks(fixture, (int64_t)(NOV_15 + 3) * CALENDAR_DAY_US, 4);
    assert_int_equal(usage_join(fixture->scope, &name, more, &err), 0);
    assert_int_equal(usage_join(fixture->scope, &name, more, &err), 0); /* nothing new */
    struct usage_figures figures;
    const struct usage_question question = {
        .group = usage_group_find(fixture->usage, USAGE_GROUP_MODEL, "llama-a"),
        .window = USAGE_WINDOW_DAY,
        .day = NOV_15,
        .now_unix_us = (int64_t)(NOV_15 + 3) * CALENDAR_DAY_US};
    assert_int_equal(usage_ask(fixture->usage, &question, &figures, &err), 0);
    assert_true(figures.final);
    assert_true(figures.best.users == 5);
    assert_int_equal(figures.amended, 1);
    sketch_free(more);
}

/* -- Retention -- */

static void old_days_become_months_and_no_figure_of_a_month_changes(void **state)
{
    struct fixture *fixture = *state;
    uint32_t oct_31 = NOV_30 - 30;
    see_many(fixture->scope, oct_31, 0, 7);
    for (uint32_t day = oct_31 + 1; day <= NOV_30; day++)
        see_many(fixture->scope, day, day, 10);
    (void)see(fixture->scope, NOV_30, IDENTITY_NONE, 1);
    see_many(fixture->scope, NOV_30 + 1, 1000000, 4);
    struct usage_figures before = ask(fixture, USAGE_WINDOW_MONTH, NOV_30);
    assert_true(before.best.users == 39);
    assert_true(before.upper.users == 7 + 39 + 1 + 4);
    ticks(fixture, (int64_t)(NOV_30 + 80) * CALENDAR_DAY_US + NOON, 40); /* some are too old */
    assert_in_range(files_of(fixture, "day-", "-asserted.wcn"), 10, 22);
    struct usage_question question = {
        .group = usage_group_find(fixture->usage, USAGE_GROUP_MODEL, "llama-a"),
        .window = USAGE_WINDOW_MONTH,
        .day = NOV_30,
        .now_unix_us = (int64_t)(NOV_30 + 140) * CALENDAR_DAY_US + NOON};
    struct usage_figures after;
    assert_int_equal(usage_ask(fixture->usage, &question, &after, NULL), 0);
    assert_true(after.best.users == 39 && after.upper.users == 51);
    ticks(fixture, question.now_unix_us, 60); /* all are */
    assert_int_equal(files_of(fixture, "", ".wcn"), 0);
    assert_int_equal(files_of(fixture, "month-", ".wsk"), 3); /* October, November, December */
    for (int again = 0; again < 2; again++) {
        assert_int_equal(usage_ask(fixture->usage, &question, &after, NULL), 0);
        assert_true(after.best.users == 39 && after.upper.users == 51);
        assert_true(after.upper_strict.users == 40);
        assert_memory_equal(after.requests, before.requests, sizeof before.requests);
        assert_int_equal(after.days_missing, 0);
        reopen(fixture);
        question.group = usage_group_find(fixture->usage, USAGE_GROUP_MODEL, "llama-a");
    }
    struct usage_question rolling = question;
    rolling.window = USAGE_WINDOW_ROLLING_30;
    assert_int_equal(usage_ask(fixture->usage, &rolling, &after, NULL), 0);
    assert_int_equal(after.days_missing, 30);
    expect_no_note(fixture);
}

static void model_served_no_more_stays_in_its_family(void **state)
{
    struct fixture *fixture = *state;
    struct usage_scope *gone = add_scope(fixture, "", "llama-old \"3\"", "llama");
    see_many(gone, NOV_15, 0, 5);
    see_many(fixture->scope, NOV_15, 3, 5);
    reopen(fixture); /* llama-a alone is served from here on */
    assert_true(
        ask_of(fixture, USAGE_GROUP_FAMILY, "llama", USAGE_WINDOW_MONTH, NOV_15).best.users == 8);
    (void)add_scope(fixture, "", "llama-a", "other"); /* the operator named another licence */
    assert_true(
        ask_of(fixture, USAGE_GROUP_FAMILY, "llama", USAGE_WINDOW_MONTH, NOV_15).best.users == 5);
    reopen(fixture);
    assert_true(
        ask_of(fixture, USAGE_GROUP_FAMILY, "llama", USAGE_WINDOW_MONTH, NOV_15).best.users == 8);
}

static void family_follows_the_licence(void **state)
{
    struct fixture *fixture = *state;
    see_many(fixture->scope, NOV_15, 0, 5);
    for (uint32_t i = 0; i < 2; i++) /* the second time it is there already */
        assert_int_equal(usage_scope_move(fixture->scope, "free", NULL), 0);
    assert_true(
        ask_of(fixture, USAGE_GROUP_FAMILY, "llama", USAGE_WINDOW_MONTH, NOV_15).best.users == 0);
    assert_true(
        ask_of(fixture, USAGE_GROUP_FAMILY, "free", USAGE_WINDOW_MONTH, NOV_15).best.users == 5);
    assert_int_equal(usage_scope_move(fixture->scope, "", NULL), 0);
    assert_true(
        ask_of(fixture, USAGE_GROUP_FAMILY, "free", USAGE_WINDOW_MONTH, NOV_15).best.users == 0);
    assert_true(
        ask_of(fixture, USAGE_GROUP_ORGANISATION, "", USAGE_WINDOW_MONTH, NOV_15).best.users == 5);
}

/* -- Coming back -- */

static void killed_process_loses_nobody(void **state)
{
    struct fixture *fixture = *state;
    usage_free(fixture->usage);
    fixture->usage = NULL;
    for (uint64_t round = 0; round < 5; round++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            open_usage(fixture);
            see_many(fixture->scope, NOV_15, round * 1000, 1000 + 200 * round);
            if (round % 2 == 0)
                (void)usage_commit(fixture->usage, NULL);
            (void)kill(getpid(), SIGKILL);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    }
    open_usage(fixture);
    assert_true(best(fixture, USAGE_WINDOW_DAY, NOV_15) == 5800);
    expect_no_note(fixture);
}

static void lost_counters_come_back_from_the_journal(void **state)
{
    struct fixture *fixture = *state;
    char file[SCRATCH_PATH_BYTES];
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) { /* without the sync that an orderly end brings */
        uint64_t last = 0;
        for (uint64_t i = 0; i < 100; i++)
            last = see(fixture->scope, NOV_15, IDENTITY_ASSERTED, i);
        (void)usage_commit(fixture->usage, NULL);
        _exit(usage_durable(fixture->usage) >= last && last > 0 ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    scratch_find(fixture->folder, "day-", file);
    assert_int_equal(truncate(file, 5000), 0);
    struct usage *never_used = fixture->usage; /* of before the fork: it counted nothing */
    open_usage(fixture);
    assert_true(best(fixture, USAGE_WINDOW_DAY, NOV_15) == 100);
    expect_note(fixture, "cut short");
    assert_int_equal(files_of(fixture, "day-", ".damaged-1"), 1);
    usage_free(never_used);
}

static void damaged_counter_is_moved_aside_and_made_again_from_the_journal(void **state)
{
    struct fixture *fixture = *state;
    char file[SCRATCH_PATH_BYTES];
    see_many(fixture->scope, NOV_15, 0, 10);
    usage_free(fixture->usage);
    scratch_find(fixture->folder, "day-", file);
    int fd = open(file, O_WRONLY);
    assert_int_equal(pwrite(fd, "x", 1, 4096 + 19), 1);
    close(fd);
    open_usage(fixture);
    expect_note(fixture, "moved aside");
    assert_true(best(fixture, USAGE_WINDOW_DAY, NOV_15) == 10);
    reopen(fixture);
    assert_true(best(fixture, USAGE_WINDOW_DAY, NOV_15) == 10);
    expect_no_note(fixture);
}

static void damaged_counter_without_its_journal_begins_anew_and_it_is_told(void **state)
{
    struct fixture *fixture = *state;
    char file[SCRATCH_PATH_BYTES];
    see_many(fixture->scope, NOV_15, 0, 10);
    usage_free(fixture->usage);
    scratch_find(fixture->folder, "journal-", file);
    assert_int_equal(unlink(file), 0);
    scratch_find(fixture->folder, "day-", file);
    int fd = open(file, O_WRONLY);
    assert_int_equal(pwrite(fd, "x", 1, 4096 + 19), 1);
    close(fd);
    open_usage(fixture);
    (void)best(fixture, USAGE_WINDOW_DAY, NOV_15);
    expect_note(fixture, "moved aside");
    see_many(fixture->scope, NOV_15, 0, 3);
    assert_true(best(fixture, USAGE_WINDOW_DAY, NOV_15) == 3);
    reopen(fixture);
    assert_true(best(fixture, USAGE_WINDOW_DAY, NOV_15) == 3);
    expect_no_note(fixture);
}

static void journal_is_forgotten_once_counters_are_synced(void **state)
{
    struct fixture *fixture = *state;
    see_many(fixture->scope, NOV_15, 0, 500);
    assert_int_equal(usage_waiting(fixture->usage), 500);
    assert_int_equal(usage_durable(fixture->usage), 0);
    ticks(fixture, (int64_t)NOV_15 * CALENDAR_DAY_US + NOON, 3);
    assert_int_equal(usage_waiting(fixture->usage), 0);
    assert_int_equal(usage_durable(fixture->usage), 500);
    assert_int_equal(see(fixture->scope, NOV_15, IDENTITY_ASSERTED, 3), 0);
    assert_int_equal(see(fixture->scope, NOV_15, IDENTITY_ASSERTED, 500), 501);
    assert_int_equal(usage_commit(fixture->usage, NULL), 0);
    assert_int_equal(usage_durable(fixture->usage), 501);
}

/* -- Cost -- */

/* Memory of mapped counters, as the kernel has it. */
static uint64_t mapped_kib(void)
{
    char line[SCRATCH_PATH_BYTES + 256];
    uint64_t all = 0;
    bool of_counter = false;
    FILE *file = fopen("/proc/self/smaps", "re");
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL) {
        unsigned long long kib;
        if (strchr(line, '-') != NULL && strchr(line, '-') < strchr(line, ' '))
            of_counter = strstr(line, ".wcn") != NULL;
        else if (of_counter && sscanf(line, "Rss: %llu kB", &kib) == 1)
            all += kib;
    }
    (void)fclose(file);
    return all;
}

static uint64_t kept_kib(const struct usage *usage)
{
    uint64_t all = 0;
    for (const struct usage_scope *scope = usage->scopes; scope != NULL; scope = scope->next)
        for (uint32_t c = 0; c < USAGE_CLASS_COUNT; c++)
            if (scope->closed.sketches[c] != NULL)
                all += sketch_memory(scope->closed.sketches[c]) / 1024;
    return all;
}

#define MODELS 50

static void fifty_models_at_full_size_fit_26_mib(void **state)
{
    struct fixture *fixture = *state;
    struct usage_scope *scopes[MODELS];
    int64_t now_us = (int64_t)NOV_15 * CALENDAR_DAY_US + NOON;
    for (uint32_t i = 0; i < MODELS; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "m%u", i);
        scopes[i] = add_scope(fixture, "", name, "family");
    }
    for (uint32_t day = NOV_15; day <= NOV_15 + 1; day++) {
        for (uint32_t i = 0; i < MODELS; i++)
            see_many(scopes[i], day, (uint64_t)(day - NOV_15) * 20000, 40000);
        ticks(fixture, now_us + (int64_t)(day - NOV_15) * CALENDAR_DAY_US, 40);
    }
    uint64_t started_us = clock_monotonic_us();
    for (uint32_t i = 0; i < MODELS; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "m%u", i);
        double users =
            ask_of(fixture, USAGE_GROUP_MODEL, name, USAGE_WINDOW_MONTH, NOV_15 + 1).best.users;
        assert_true(fabs(users / 60000 - 1) < 0.01);
    }
    uint64_t first_us = clock_monotonic_us() - started_us;
    ticks(fixture, now_us + CALENDAR_DAY_US, 40);
    uint64_t kib = mapped_kib() + kept_kib(fixture->usage);
    started_us = clock_monotonic_us();
    for (uint32_t i = 0; i < MODELS; i++)
        (void)ask_of(fixture, USAGE_GROUP_FAMILY, "family", USAGE_WINDOW_MONTH, NOV_15 + 1);
    uint64_t family_us = clock_monotonic_us() - started_us;
    started_us = clock_monotonic_us();
    for (uint32_t i = 0; i < MODELS; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "m%u", i);
        (void)ask_of(fixture, USAGE_GROUP_MODEL, name, USAGE_WINDOW_MONTH, NOV_15 + 1);
    }
    uint64_t again_us = clock_monotonic_us() - started_us;
    print_message("50 models: %llu KiB; asked first %llu us, again %llu us, family %llu us\n",
                  (unsigned long long)kib, (unsigned long long)first_us,
                  (unsigned long long)again_us, (unsigned long long)family_us);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    assert_in_range(kib, 50 * 512, 26 * 1024);
    assert_true(again_us < 1000);
#endif
}

/* -- Threads -- */

struct crowd {
    struct fixture *fixture;
    _Atomic bool *over;
    uint64_t first;
};

static void *count_crowd(void *argument)
{
    const struct crowd *crowd = argument;
    for (uint64_t i = 0; i < 30000; i++) { /* days pass; half of the users are the other's too */
        uint32_t day = NOV_15 + (uint32_t)(i / 5000);
        (void)see(crowd->fixture->scope, day, (enum identity_class)(i % 4), crowd->first + i);
    }
    return NULL;
}

static void *tick_and_ask(void *argument)
{
    const struct crowd *crowd = argument;
    int64_t now_us = (int64_t)NOV_15 * CALENDAR_DAY_US;
    while (!atomic_load(crowd->over)) {
        now_us += CALENDAR_DAY_US / 40;
        (void)usage_commit(crowd->fixture->usage, NULL);
        usage_tick(crowd->fixture->usage, now_us);
        (void)best(crowd->fixture, USAGE_WINDOW_MONTH, NOV_15 + 3);
        (void)best(crowd->fixture, USAGE_WINDOW_DAY, calendar_day(now_us));
    }
    return NULL;
}

static void two_count_while_a_third_ticks_and_asks(void **state)
{
    struct fixture *fixture = *state;
    _Atomic bool over = false;
    pthread_t threads[3];
    struct crowd crowds[3] = {{fixture, &over, 0}, {fixture, &over, 15000}, {fixture, &over, 0}};
    for (int i = 0; i < 3; i++)
        assert_int_equal(
            pthread_create(&threads[i], NULL, i < 2 ? count_crowd : tick_and_ask, &crowds[i]), 0);
    (void)pthread_join(threads[0], NULL);
    (void)pthread_join(threads[1], NULL);
    atomic_store(&over, true);
    (void)pthread_join(threads[2], NULL);
    struct usage_figures figures = ask(fixture, USAGE_WINDOW_MONTH, NOV_15 + 10);
    uint64_t requests = 0;
    for (uint32_t c = 0; c < IDENTITY_CLASS_COUNT; c++)
        requests += figures.requests[c];
    assert_int_equal(requests, 60000);
    assert_true(figures.users_by_class[0] == 11250); /* 45,000 users in four classes */
    assert_true(figures.users_by_class[1] == 11250);
    assert_true(figures.best.users > 33750 * 0.98 && figures.best.users < 33750 * 1.02);
    assert_int_equal(usage_left_out(fixture->usage), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(same_person_is_one_over_classes_models_and_days),
        TEST(windows_hold_their_days_and_no_others),
        TEST(month_turns_at_midnight_and_its_edge_widens_only_the_upper_view),
        TEST(views_take_anonymous_requests_as_nobody_or_as_everybody),
        TEST(identities_suffice_up_to_a_fifth_more),
        TEST(estimates_have_bounds_around_the_truth),
        TEST(day_is_ready_before_midnight_and_closed_after_it),
        TEST(closed_days_that_are_opened_again_are_seen),
        TEST(many_far_days_are_counted_where_they_belong),
        TEST(final_days_are_amended_upward_and_it_is_told),
        TEST(old_days_become_months_and_no_figure_of_a_month_changes),
        TEST(model_served_no_more_stays_in_its_family),
        TEST(family_follows_the_licence),
        TEST(killed_process_loses_nobody),
        TEST(lost_counters_come_back_from_the_journal),
        TEST(damaged_counter_is_moved_aside_and_made_again_from_the_journal),
        TEST(damaged_counter_without_its_journal_begins_anew_and_it_is_told),
        TEST(journal_is_forgotten_once_counters_are_synced),
        TEST(fifty_models_at_full_size_fit_26_mib),
        TEST(two_count_while_a_third_ticks_and_asks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
