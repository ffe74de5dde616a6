/* SPDX-License-Identifier: Apache-2.0 */
/* usage_years_test.c -- a year's turn: users are hashed under the key of their year, and every
 * window still knows who is one and the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "policy/users/calendar.h"
#include "policy/users/siphash.h"
#include "policy/users/usage.h"
#include "policy/users/usage_inner.h"
#include "policy/users/usage_window.h"
#include "tests/unit/policy/scratch.h"

#define NOV_30    20787u /* 2026-11-30 */
#define DEC_31    (NOV_30 + 31)
#define JAN_1     (DEC_31 + 1)
#define NOON      (CALENDAR_DAY_US / 2)
#define SECOND_US INT64_C(1000000)

struct fixture {
    char folder[SCRATCH_PATH_BYTES];
    struct secret secret;
    struct usage *usage;
    struct usage_scope *scope;
};

static int try_open(struct fixture *fixture, struct error *err)
{
    const struct usage_config config = {
        .folder = fixture->folder, .secret = &fixture->secret, .keep_days = 40};
    fixture->usage = usage_new(&config, err);
    return fixture->usage == NULL ? err->code : 0;
}

static void open_usage(struct fixture *fixture)
{
    struct error err = {0};
    const struct usage_scope_name name = {.product = "", .model = "m", .family = ""};
    assert_int_equal(try_open(fixture, &err), 0);
    assert_int_equal(usage_scope_add(fixture->usage, &name, &fixture->scope, &err), 0);
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    scratch_make(fixture->folder);
    fixture->secret =
        (struct secret){.files_key = {4, 5}, .key_id = 77, .epochs_root = {6, 7, 8, 9}};
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

static uint64_t hash_under(const struct usage *usage, uint32_t year, uint64_t user)
{
    return siphash(year_keys_peek(usage_year_keys(usage), year)->users, &user, sizeof user);
}

/* Hashes that a year's key did not make would be other users. */
static uint64_t see(struct fixture *fixture, uint32_t day, enum identity_class class, uint64_t user)
{
    uint32_t years[YEARS_MAX], count = years_of_day(day, years);
    struct usage_sight sight = {.class = class, .request_hashes = {~user, ~user}};
    for (uint32_t i = 0; i < count; i++)
        sight.hashes[years[i] % YEARS_MAX] = hash_under(fixture->usage, years[i], user);
    return usage_count(fixture->scope, day, &sight);
}

static void see_many(struct fixture *fixture, uint32_t day, uint64_t first, uint64_t count)
{
    for (uint64_t user = first; user < first + count; user++)
        (void)see(fixture, day, IDENTITY_ASSERTED, user);
}

static struct usage_figures ask_on(struct fixture *fixture, enum usage_window window, uint32_t day,
                                   uint32_t today)
{
    struct usage_figures figures;
    struct error err = {0};
    const struct usage_question question = {
        .group = usage_group_find(fixture->usage, USAGE_GROUP_MODEL, "m"),
        .window = window,
        .day = day,
        .now_unix_us = (int64_t)today * CALENDAR_DAY_US + NOON,
    };
    (void)usage_ask(fixture->usage, &question, &figures, &err);
    assert_string_equal(err.text, "");
    return figures;
}

static double best(struct fixture *fixture, enum usage_window window, uint32_t day)
{
    return ask_on(fixture, window, day, day).best.users;
}

static void ticks(struct fixture *fixture, int64_t now_us, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        usage_tick(fixture->usage, now_us + (int64_t)i * SECOND_US);
}

static void expect_no_note(struct fixture *fixture)
{
    struct text notes;
    text_init(&notes);
    usage_take_notes(fixture->usage, &notes);
    assert_string_equal(text_string(&notes), "");
    text_destroy(&notes);
}

static uint32_t files_with(const struct fixture *fixture, const char *part)
{
    uint32_t count = 0;
    DIR *entries = opendir(fixture->folder);
    assert_non_null(entries);
    for (struct dirent *entry; (entry = readdir(entries)) != NULL;)
        count += strstr(entry->d_name, part) != NULL;
    (void)closedir(entries);
    return count;
}

/* -- Windows over the turn -- */

static void users_of_december_are_themselves_in_windows_of_january(void **state)
{
    struct fixture *fixture = *state;
    for (uint32_t day = NOV_30 - 5; day <= JAN_1 + 20; day++)
        see_many(fixture, day, 0, 100);
    for (uint32_t day = NOV_30; day <= JAN_1 + 20; day++)
        for (enum usage_window window = 0; window < USAGE_WINDOW_COUNT; window++) {
            struct usage_figures figures = ask_on(fixture, window, day, day);
            assert_true(figures.best.users == 100);
            assert_true(figures.upper.users == 100);
        }
    expect_no_note(fixture);
}

#define USERS      40u
#define FIRST_DAY  (NOV_30 - 36)
#define LAST_DAY   (JAN_1 + 35)
#define DAYS_COUNT (LAST_DAY - FIRST_DAY + 1)

struct diary {
    bool seen[DAYS_COUNT][USERS];
};

static uint32_t truth(const struct diary *diary, uint32_t first, uint32_t last, uint32_t today)
{
    uint32_t count = 0;
    for (uint32_t user = 0; user < USERS; user++) {
        bool seen = false;
        for (uint32_t day = first; day <= last && day <= today; day++)
            seen = seen || diary->seen[day - FIRST_DAY][user];
        count += seen;
    }
    return count;
}

static void live_a_day(struct fixture *fixture, struct diary *diary, uint32_t day, uint64_t *random)
{
    for (uint32_t user = 0; user < USERS; user++) {
        *random = *random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        if ((*random >> 33) % 40 != 0)
            continue;
        diary->seen[day - FIRST_DAY][user] = true;
        (void)see(fixture, day, (enum identity_class)(user % 3), user);
    }
    ticks(fixture, (int64_t)day * CALENDAR_DAY_US + NOON, 3);
    ticks(fixture, (int64_t)(day + 1) * CALENDAR_DAY_US - 300 * SECOND_US, 1);
}

static void expect_truth(struct fixture *fixture, const struct diary *diary, uint32_t day)
{
    static const uint32_t rolling[USAGE_WINDOW_COUNT] = {[USAGE_WINDOW_DAY] = 1,
                                                         [USAGE_WINDOW_ROLLING_28] = 28,
                                                         [USAGE_WINDOW_ROLLING_30] = 30,
                                                         [USAGE_WINDOW_ROLLING_31] = 31};
    for (enum usage_window window = 0; window < USAGE_WINDOW_COUNT; window++) {
        struct usage_figures figures = ask_on(fixture, window, day, day);
        uint32_t first = window == USAGE_WINDOW_MONTH ? calendar_first_day(calendar_month(day))
                                                      : day + 1 - rolling[window];
        if ((uint32_t)figures.best.users != truth(diary, first, day, day))
            fail_msg("window %d of day %u: %.0f users, not %u", (int)window, day,
                     figures.best.users, truth(diary, first, day, day));
    }
}

static void expect_months(struct fixture *fixture, const struct diary *diary, uint32_t today)
{
    static const uint32_t days[] = {NOV_30, DEC_31, JAN_1};
    for (size_t i = 0; i < sizeof days / sizeof days[0]; i++) {
        uint32_t month = calendar_month(days[i]);
        uint32_t first = calendar_first_day(month), last = calendar_last_day(month);
        struct usage_figures figures = ask_on(fixture, USAGE_WINDOW_MONTH, days[i], today);
        assert_int_equal((uint32_t)figures.best.users, truth(diary, first, last, LAST_DAY));
        assert_true(figures.best.exact);
        /* A weak user's requests all have one hash here, so that it is one in this view too. */
        assert_int_equal((uint32_t)figures.upper.users,
                         truth(diary, first - 1, last + 1, LAST_DAY));
    }
}

static void every_window_is_exact_on_every_day_around_the_turn(void **state)
{
    struct fixture *fixture = *state;
    struct diary *diary = calloc(1, sizeof *diary);
    uint64_t random = 1;
    assert_non_null(diary);
    for (uint32_t day = FIRST_DAY; day <= LAST_DAY; day++) {
        live_a_day(fixture, diary, day, &random);
        if (day >= NOV_30 - 5 && day <= JAN_1 + 35)
            expect_truth(fixture, diary, day);
        if (day == DEC_31)
            reopen(fixture);
    }
    expect_months(fixture, diary, LAST_DAY);
    ticks(fixture, (int64_t)(LAST_DAY + 50) * CALENDAR_DAY_US + NOON, 200); /* all are folded */
    assert_int_equal(files_with(fixture, "day-"), 0);
    assert_int_equal(files_with(fixture, "-202612-2027.wsk"), 1);
    assert_int_equal(files_with(fixture, "-202611-2026.wsk"), 1);
    assert_int_equal(files_with(fixture, "-202701-2027.wsk"), 1);
    expect_months(fixture, diary, LAST_DAY + 50);
    reopen(fixture);
    expect_months(fixture, diary, LAST_DAY + 50);
    expect_no_note(fixture);
    free(diary);
}

static void half_of_december_folded_and_half_not_is_december(void **state)
{
    struct fixture *fixture = *state;
    for (uint32_t day = NOV_30; day <= JAN_1; day++)
        see_many(fixture, day, day - NOV_30, 10);
    for (uint32_t later = 30; later <= 80; later += 10) {
        ticks(fixture, (int64_t)(DEC_31 + later) * CALENDAR_DAY_US + NOON, 60);
        struct usage_figures december = ask_on(fixture, USAGE_WINDOW_MONTH, DEC_31, DEC_31 + later);
        assert_true(december.best.users == 40);  /* 1 to 40 */
        assert_true(december.upper.users == 42); /* 0 of 30 November, 41 of 1 January */
        assert_int_equal(december.requests[IDENTITY_ASSERTED], 310);
    }
    assert_int_equal(files_with(fixture, "day-"), 0);
}

static double to_date(struct fixture *fixture, uint32_t day, uint32_t today)
{
    struct usage_figures figures;
    struct error err = {0};
    const struct usage_question question = {
        .group = usage_group_find(fixture->usage, USAGE_GROUP_MODEL, "m"),
        .window = USAGE_WINDOW_MONTH,
        .day = day,
        .now_unix_us = (int64_t)today * CALENDAR_DAY_US + NOON,
    };
    (void)usage_ask_to_date(fixture->usage, &question, &figures, &err);
    assert_string_equal(err.text, "");
    assert_true(figures.upper.users >= figures.best.users);
    return figures.best.users;
}

static void month_to_date_is_exact_in_december_and_in_an_odd_year(void **state)
{
    struct fixture *fixture = *state;
    for (uint32_t day = NOV_30; day <= JAN_1 + 5; day++)
        see_many(fixture, day, day - NOV_30, 10);
    assert_true(to_date(fixture, NOV_30, NOV_30 + 1) == 10);
    assert_true(to_date(fixture, NOV_30 + 10, JAN_1) == 19);
    assert_true(to_date(fixture, DEC_31, JAN_1) == 40);
    assert_true(to_date(fixture, JAN_1 + 5, JAN_1 + 5) == 15);
}

static void last_month_of_all_can_be_asked_for(void **state)
{
    struct fixture *fixture = *state;
    see_many(fixture, CALENDAR_DAY_MAX, 0, 3);
    for (enum usage_window window = 0; window < USAGE_WINDOW_COUNT; window++)
        assert_true(best(fixture, window, CALENDAR_DAY_MAX) == 3);
    see_many(fixture, 0, 0, 2); /* a clock that nobody set */
    for (enum usage_window window = 0; window < USAGE_WINDOW_COUNT; window++)
        assert_true(best(fixture, window, 0) == 2);
}

/* -- Days of two years -- */

static void coming_years_counters_are_ready_before_their_days(void **state)
{
    struct fixture *fixture = *state;
    see_many(fixture, NOV_30 - 1, 0, 1);
    ticks(fixture, (int64_t)NOV_30 * CALENDAR_DAY_US - 500 * SECOND_US, 1);
    assert_int_equal(files_with(fixture, "-20261130-2026-asserted.wcn"), 1);
    assert_int_equal(files_with(fixture, "-20261130-2027-asserted.wcn"), 1);
    see_many(fixture, DEC_31, 0, 1);
    ticks(fixture, (int64_t)JAN_1 * CALENDAR_DAY_US - 500 * SECOND_US, 1);
    assert_int_equal(files_with(fixture, "-20270101-"), 1);
    assert_int_equal(files_with(fixture, "-20270101-2027-asserted.wcn"), 1);
}

static double users_in(const struct sketch *sketch)
{
    struct sketch_count count;
    sketch_count(sketch, &count);
    return count.value;
}

static void years_share_no_hash(void **state)
{
    struct fixture *fixture = *state;
    struct sketch *sketches[2];
    struct counter *counter;
    struct error err = {0};
    see_many(fixture, DEC_31, 0, 1000);
    for (uint32_t i = 0; i < 2; i++) {
        const struct usage_name name = {.scope = fixture->scope->id,
                                        .day = DEC_31,
                                        .class = usage_keyed_class(USAGE_ASSERTED, 2026 + i)};
        struct usage_day *day = usage_live_day(fixture->scope, DEC_31);
        assert_int_equal(usage_year(&name), 2026 + i);
        counter = atomic_load(&day->counters[name.class]);
        assert_int_equal(counter_sketch(counter, &sketches[i], &err), 0);
        assert_true(users_in(sketches[i]) == 1000);
    }
    assert_int_equal(sketch_join(sketches[0], sketches[1], &err), 0);
    assert_true(users_in(sketches[0]) == 2000);
    sketch_free(sketches[0]);
    sketch_free(sketches[1]);
}

static void midnight_counts_again_but_requests_once(void **state)
{
    struct fixture *fixture = *state;
    struct usage_sight sight = {.class = IDENTITY_ASSERTED};
    for (uint32_t year = 2026; year <= 2027; year++)
        sight.hashes[year % YEARS_MAX] = hash_under(fixture->usage, year, 5);
    (void)usage_count(fixture->scope, JAN_1, &sight);
    (void)usage_count_again(fixture->scope, DEC_31, &sight);
    assert_true(best(fixture, USAGE_WINDOW_DAY, DEC_31) == 1);
    assert_true(best(fixture, USAGE_WINDOW_DAY, JAN_1) == 1);
    assert_true(ask_on(fixture, USAGE_WINDOW_MONTH, DEC_31, JAN_1).best.users == 1);
    assert_true(best(fixture, USAGE_WINDOW_ROLLING_31, JAN_1) == 1);
    assert_int_equal(ask_on(fixture, USAGE_WINDOW_DAY, DEC_31, JAN_1).requests[1], 0);
    assert_int_equal(ask_on(fixture, USAGE_WINDOW_DAY, JAN_1, JAN_1).requests[1], 1);
}

static void counters_name_their_day_class_and_year(void **state)
{
    (void)state;
    for (uint32_t day = NOV_30 - 1; day <= JAN_1; day++)
        for (uint8_t class = 0; class < USAGE_KEYED_COUNT; class ++) {
            uint32_t years[YEARS_MAX], count = years_of_day(day, years);
            const struct usage_name name = {
                .scope = (UINT64_C(1) << USAGE_SCOPE_BITS) - 1, .day = day, .class = class};
            struct usage_name again = usage_counter_name(usage_counter_id(&name));
            assert_true(again.scope == name.scope);
            assert_int_equal(again.day, day);
            assert_int_equal(again.class, class);
            bool holds = usage_year(&name) == years[0] || count == 2;
            assert_int_equal(usage_name_holds(&name), holds);
        }
    const struct usage_name beyond = {.day = NOV_30, .class = USAGE_KEYED_COUNT};
    assert_false(usage_name_holds(&beyond));
}

static void what_others_counted_under_no_year_of_the_day_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct sketch *more = sketch_new(SKETCH_P);
    struct error err = {0};
    assert_int_equal(sketch_add(more, hash_under(fixture->usage, 2027, 1), NULL, &err), 0);
    struct usage_name name = {.scope = fixture->scope->id,
                              .day = NOV_30 - 1,
                              .class = usage_keyed_class(USAGE_ASSERTED, 2027)};
    assert_int_equal(usage_join(fixture->scope, &name, more, &err), ERROR_INVALID);
    name.day = NOV_30;
    assert_int_equal(usage_join(fixture->scope, &name, more, &err), 0);
    name.class = USAGE_KEYED_COUNT + 1;
    assert_int_equal(usage_join(fixture->scope, &name, more, &err), ERROR_INVALID);
    (void)see(fixture, NOV_30 + 1, IDENTITY_ASSERTED, 1);
    assert_true(ask_on(fixture, USAGE_WINDOW_MONTH, NOV_30 + 1, NOV_30 + 1).upper.users == 1);
    sketch_free(more);
}

/* -- Ends of any kind, in the overlap -- */

static void process_killed_in_december_loses_nobody_under_either_year(void **state)
{
    struct fixture *fixture = *state;
    usage_free(fixture->usage);
    fixture->usage = NULL;
    for (uint64_t round = 0; round < 6; round++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            open_usage(fixture);
            see_many(fixture, DEC_31, round * 1000, 1000 + 200 * round);
            if (round % 2 == 0)
                (void)usage_commit(fixture->usage, NULL);
            (void)kill(getpid(), SIGKILL);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    }
    open_usage(fixture);
    assert_true(best(fixture, USAGE_WINDOW_DAY, DEC_31) == 7000);
    see_many(fixture, JAN_1, 0, 7000);
    assert_true(best(fixture, USAGE_WINDOW_ROLLING_31, JAN_1) == 7000);
    assert_true(ask_on(fixture, USAGE_WINDOW_MONTH, DEC_31, JAN_1).best.users == 7000);
    expect_no_note(fixture);
}

/* A child counts and says whom, until it is killed; returns how many it was heard to have done. */
static uint64_t count_until_killed(struct fixture *fixture, uint64_t first, uint64_t heard_max)
{
    int ends[2], status;
    uint64_t user, heard = 0;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        open_usage(fixture);
        for (user = first;; user++) {
            (void)see(fixture, DEC_31, IDENTITY_ASSERTED, user);
            if (user % 7 == 0)
                (void)usage_commit(fixture->usage, NULL);
            if (write(ends[1], &user, sizeof user) != (ssize_t)sizeof user)
                _exit(1);
        }
    }
    close(ends[1]);
    while (heard < heard_max && read(ends[0], &user, sizeof user) == (ssize_t)sizeof user)
        heard++;
    assert_int_equal(kill(child, SIGKILL), 0);
    while (read(ends[0], &user, sizeof user) == (ssize_t)sizeof user)
        heard++;
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    return heard;
}

static void whoever_was_counted_before_a_kill_is_under_both_years(void **state)
{
    struct fixture *fixture = *state;
    uint64_t random = 7, heard = 0;
    usage_free(fixture->usage);
    fixture->usage = NULL;
    for (uint32_t round = 0; round < 40; round++) {
        random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        heard += count_until_killed(fixture, heard, random >> 55);
    }
    open_usage(fixture);
    see_many(fixture, DEC_31, heard, 1); /* opens both counters */
    for (uint32_t year = 2026; year <= 2027; year++) {
        struct usage_day *day = usage_live_day(fixture->scope, DEC_31);
        const struct counter *counter =
            atomic_load(&day->counters[usage_keyed_class(USAGE_ASSERTED, year)]);
        for (uint64_t user = 0; user < heard; user++)
            assert_true(counter_has(counter, hash_under(fixture->usage, year, user)));
    }
    assert_true(best(fixture, USAGE_WINDOW_DAY, DEC_31) == heard + 1);
    assert_true(best(fixture, USAGE_WINDOW_MONTH, DEC_31) == heard + 1);
    expect_no_note(fixture);
}

/* Power lost after the journal's commit and before any counter was synced. */
static void both_years_come_back_from_the_journal(void **state)
{
    struct fixture *fixture = *state;
    char file[SCRATCH_PATH_BYTES], prefix[64];
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        uint64_t last = 0;
        for (uint64_t user = 0; user < 100; user++)
            last = see(fixture, DEC_31, IDENTITY_ASSERTED, user);
        (void)usage_commit(fixture->usage, NULL);
        _exit(usage_durable(fixture->usage) >= last && last == 200 ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    struct usage *never_used = fixture->usage; /* of before the fork: it counted nothing */
    for (uint32_t year = 2026; year <= 2027; year++) {
        (void)snprintf(prefix, sizeof prefix, "day-%012llx-20261231-%u-",
                       (unsigned long long)fixture->scope->id, year);
        scratch_find(fixture->folder, prefix, file);
        assert_int_equal(unlink(file), 0);
    }
    open_usage(fixture);
    assert_true(best(fixture, USAGE_WINDOW_DAY, DEC_31) == 100);
    assert_true(best(fixture, USAGE_WINDOW_MONTH, DEC_31) == 100);
    see_many(fixture, JAN_1, 0, 100);
    assert_true(best(fixture, USAGE_WINDOW_ROLLING_31, JAN_1) == 100);
    expect_no_note(fixture);
    usage_free(never_used);
}

static void journal_of_an_impossible_year_is_left_out_and_told(void **state)
{
    struct fixture *fixture = *state;
    struct journal *journal;
    struct journal_recovery found;
    struct error err = {0};
    struct text notes;
    uint64_t key_id = year_keys_id(usage_year_keys(fixture->usage));
    const struct usage_name name = {.scope = fixture->scope->id,
                                    .day = NOV_30 - 1,
                                    .class = usage_keyed_class(USAGE_ASSERTED, 2027)};
    const struct journal_record record = {
        .counter = usage_counter_id(&name), .value = 12345, .kind = JOURNAL_HASH};
    usage_free(fixture->usage);
    const struct journal_config config = {
        .folder = fixture->folder, .key_id = key_id, .bytes_rotate = 1 << 20};
    assert_int_equal(journal_open(&config, NULL, NULL, &journal, &found, &err), 0);
    (void)journal_append(journal, &record);
    journal_close(journal);
    open_usage(fixture);
    text_init(&notes);
    usage_take_notes(fixture->usage, &notes);
    assert_non_null(strstr(text_string(&notes), "1 records make no sense"));
    text_destroy(&notes);
}

/* -- Folders that knew one key for all years -- */

static void expect_refused(struct fixture *fixture, const char *part)
{
    struct error err = {0};
    assert_int_equal(try_open(fixture, &err), ERROR_INVALID);
    if (strstr(err.text, part) == NULL)
        fail_msg("no '%s' in: %s", part, err.text);
}

static void folder_of_one_key_for_all_years_is_refused_with_the_remedy(void **state)
{
    struct fixture *fixture = *state;
    static const char *const names[] = {"day-00000000002a-20261115-asserted.wcn",
                                        "month-00000000002a-202611.wsk",
                                        "users-000000000000002a-2026-11.log"};
    char path[2 * SCRATCH_PATH_BYTES];
    usage_free(fixture->usage);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        scratch_write(fixture->folder, names[i], "x", 1);
        expect_refused(fixture, names[i]);
        expect_refused(fixture, "move day-*, month-*, users-* and journal-* out of the folder");
        (void)snprintf(path, sizeof path, "%s/%s", fixture->folder, names[i]);
        assert_int_equal(unlink(path), 0);
    }
    scratch_write(fixture->folder, "day-00000000002a-20261115-asserted.wcn.damaged-1", "x", 1);
    scratch_write(fixture->folder, "month-00000000002a-20261.wsk", "x", 1);
    open_usage(fixture); /* what is neither is left alone */
}

static void journal_of_one_key_for_all_years_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct journal *journal;
    struct journal_recovery found;
    struct error err = {0};
    char file[SCRATCH_PATH_BYTES];
    const struct journal_record record = {.counter = 12345, .value = 1, .kind = JOURNAL_HASH};
    usage_free(fixture->usage);
    scratch_find(fixture->folder, "journal-", file);
    assert_int_equal(unlink(file), 0);
    const struct journal_config config = {
        .folder = fixture->folder, .key_id = fixture->secret.key_id, .bytes_rotate = 1 << 20};
    assert_int_equal(journal_open(&config, NULL, NULL, &journal, &found, &err), 0);
    (void)journal_append(journal, &record);
    journal_close(journal);
    expect_refused(fixture, "another key of pseudonyms");
    scratch_find(fixture->folder, "journal-", file);
    assert_int_equal(unlink(file), 0);
    open_usage(fixture);
}

/* -- Cost -- */

#define MODELS 10u

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

/* Full counters of a day: one a model, in December two. */
static uint64_t kib_of_day(struct fixture *fixture, uint32_t day)
{
    for (uint32_t m = 0; m < MODELS; m++) {
        char model[16];
        struct error err = {0};
        (void)snprintf(model, sizeof model, "m%u", m);
        const struct usage_scope_name name = {.product = "", .model = model, .family = ""};
        assert_int_equal(usage_scope_add(fixture->usage, &name, &fixture->scope, &err), 0);
        see_many(fixture, day, 0, 40000);
    }
    ticks(fixture, (int64_t)day * CALENDAR_DAY_US + NOON, 20);
    return mapped_kib();
}

static void december_takes_twice_the_memory_of_a_days_counters(void **state)
{
    struct fixture *fixture = *state;
    uint64_t november = kib_of_day(fixture, NOV_30 - 1);
    uint64_t december = kib_of_day(fixture, NOV_30 + 14);
    print_message("%u models, full: %llu KiB, in December %llu KiB\n", MODELS,
                  (unsigned long long)november, (unsigned long long)december);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    assert_in_range(november, MODELS * 256, MODELS * 264);
    assert_in_range(december, 2 * MODELS * 256, 2 * MODELS * 264);
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
    for (uint64_t i = 0; i < 20000; i++) /* half of the users are the other's too, and return */
        (void)see(crowd->fixture, DEC_31 - 2 + (uint32_t)(i / 4000), IDENTITY_ASSERTED,
                  crowd->first + i % 4000);
    return NULL;
}

static void *tick_and_ask(void *argument)
{
    const struct crowd *crowd = argument;
    int64_t now_us = (int64_t)(DEC_31 - 2) * CALENDAR_DAY_US;
    while (!atomic_load(crowd->over)) {
        now_us += CALENDAR_DAY_US / 40;
        (void)usage_commit(crowd->fixture->usage, NULL);
        usage_tick(crowd->fixture->usage, now_us);
        (void)best(crowd->fixture, USAGE_WINDOW_ROLLING_31, JAN_1);
        (void)best(crowd->fixture, USAGE_WINDOW_MONTH, DEC_31);
    }
    return NULL;
}

static void two_count_over_the_turn_while_a_third_ticks_and_asks(void **state)
{
    struct fixture *fixture = *state;
    _Atomic bool over = false;
    pthread_t threads[3];
    struct crowd crowds[3] = {{fixture, &over, 0}, {fixture, &over, 2000}, {fixture, &over, 0}};
    for (int i = 0; i < 3; i++)
        assert_int_equal(
            pthread_create(&threads[i], NULL, i < 2 ? count_crowd : tick_and_ask, &crowds[i]), 0);
    (void)pthread_join(threads[0], NULL);
    (void)pthread_join(threads[1], NULL);
    atomic_store(&over, true);
    (void)pthread_join(threads[2], NULL);
    assert_true(best(fixture, USAGE_WINDOW_ROLLING_31, DEC_31) == 6000);
    assert_true(best(fixture, USAGE_WINDOW_ROLLING_31, JAN_1 + 1) == 6000);
    assert_true(ask_on(fixture, USAGE_WINDOW_MONTH, DEC_31, JAN_1 + 1).upper.users == 6000);
    assert_int_equal(usage_left_out(fixture->usage), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(users_of_december_are_themselves_in_windows_of_january),
        TEST(every_window_is_exact_on_every_day_around_the_turn),
        TEST(half_of_december_folded_and_half_not_is_december),
        TEST(month_to_date_is_exact_in_december_and_in_an_odd_year),
        TEST(last_month_of_all_can_be_asked_for),
        TEST(coming_years_counters_are_ready_before_their_days),
        TEST(years_share_no_hash),
        TEST(midnight_counts_again_but_requests_once),
        TEST(counters_name_their_day_class_and_year),
        TEST(what_others_counted_under_no_year_of_the_day_is_refused),
        TEST(process_killed_in_december_loses_nobody_under_either_year),
        TEST(whoever_was_counted_before_a_kill_is_under_both_years),
        TEST(both_years_come_back_from_the_journal),
        TEST(journal_of_an_impossible_year_is_left_out_and_told),
        TEST(folder_of_one_key_for_all_years_is_refused_with_the_remedy),
        TEST(journal_of_one_key_for_all_years_is_refused),
        TEST(december_takes_twice_the_memory_of_a_days_counters),
        TEST(two_count_over_the_turn_while_a_third_ticks_and_asks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
