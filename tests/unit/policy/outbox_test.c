/* SPDX-License-Identifier: Apache-2.0 */
/* The outbox, and the alerts' state that shares its file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "policy/alerts/alert_store.h"
#include "policy/alerts/outbox.h"
#include "tests/unit/policy/scratch.h"

#define NOON INT64_C(1780000000000)

static char folder[SCRATCH_PATH_BYTES];

static int set_up(void **state)
{
    (void)state;
    scratch_make(folder);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    scratch_remove(folder);
    return 0;
}

static struct outbox *must_open(void)
{
    struct error err = {0};
    struct outbox *outbox = outbox_open(folder, &err);
    if (outbox == NULL)
        fail_msg("%s", err.text);
    return outbox;
}

static void put(struct outbox *outbox, const char *id, int64_t at_ms)
{
    const struct outbox_message message = {id, "ops", "{\"a\":1}"};
    assert_int_equal(outbox_put(outbox, &message, at_ms, NULL), 0);
}

static int take(struct outbox *outbox, int64_t now_ms, struct outbox_row *ret, uint32_t rows_max)
{
    return outbox_due(outbox, &(struct outbox_due){.now_ms = now_ms, .rows_max = rows_max}, ret,
                      NULL);
}

static struct outbox_counts count_of(struct outbox *outbox)
{
    struct outbox_counts counts = {0};
    assert_int_equal(outbox_count(outbox, &counts, NULL), 0);
    return counts;
}

static void a_message_is_put_once_an_id_and_target(void **state)
{
    (void)state;
    struct outbox *outbox = must_open();
    put(outbox, "a", NOON);
    put(outbox, "a", NOON + 5);
    assert_int_equal(outbox_put(outbox, &(struct outbox_message){"a", "desk", "{}"}, NOON, NULL),
                     0);
    assert_int_equal(count_of(outbox).pending, 2);
    struct outbox_row rows[3];
    assert_int_equal(take(outbox, NOON, rows, 3), 2);
    assert_string_equal(rows[0].id, "a");
    assert_string_equal(rows[0].target, "ops");
    assert_string_equal(rows[0].body, "{\"a\":1}");
    assert_int_equal(rows[0].created_ms, NOON);
    assert_int_equal(outbox_delivered(outbox, rows[0].row, NOON + 9, NULL), 0);
    put(outbox, "a", NOON + 10); /* nor anew once it has arrived */
    assert_int_equal(count_of(outbox).pending, 1);
    assert_int_equal(count_of(outbox).delivered, 1);
    outbox_row_destroy(&rows[0]);
    outbox_row_destroy(&rows[1]);
    outbox_close(outbox);
}

static void the_longest_waiting_are_due_first_and_the_busy_are_not(void **state)
{
    (void)state;
    struct outbox *outbox = must_open();
    int64_t next_ms = 0;
    assert_int_equal(outbox_next_ms(outbox, &next_ms, NULL), 0);
    assert_true(next_ms == INT64_MAX);
    put(outbox, "late", NOON + 20);
    put(outbox, "first", NOON);
    put(outbox, "second", NOON + 10);
    assert_int_equal(outbox_next_ms(outbox, &next_ms, NULL), 0);
    assert_true(next_ms == NOON);
    struct outbox_row rows[4];
    assert_int_equal(take(outbox, NOON + 15, rows, 4), 2);
    assert_string_equal(rows[0].id, "first");
    assert_string_equal(rows[1].id, "second");
    struct outbox_due due = {
        .now_ms = NOON + 15, .busy = &rows[0].row, .busy_count = 1, .rows_max = 4};
    struct outbox_row others[4];
    assert_int_equal(outbox_due(outbox, &due, others, NULL), 1);
    assert_string_equal(others[0].id, "second");
    outbox_row_destroy(&rows[0]);
    outbox_row_destroy(&rows[1]);
    outbox_row_destroy(&others[0]);
    outbox_close(outbox);
}

static bool on_dead(void *argument, const struct outbox_row *row)
{
    uint32_t *count = argument;
    assert_string_equal(row->id, "b");
    assert_int_equal(row->attempts, 2);
    assert_string_equal(row->why, "HTTP status 500");
    ++*count;
    return true;
}

static void failures_wait_and_the_dead_are_kept_to_be_read(void **state)
{
    (void)state;
    struct outbox *outbox = must_open();
    struct outbox_row row;
    uint32_t dead = 0;
    put(outbox, "b", NOON);
    assert_int_equal(take(outbox, NOON, &row, 1), 1);
    outbox_row_destroy(&row);
    assert_int_equal(outbox_failed(outbox, row.row, NOON + 1000, "refused", NULL), 0);
    assert_int_equal(take(outbox, NOON + 999, &row, 1), 0);
    assert_int_equal(take(outbox, NOON + 1000, &row, 1), 1);
    outbox_row_destroy(&row);
    assert_int_equal(row.attempts, 1);
    assert_int_equal(outbox_dead(outbox, row.row, NOON + 2000, "HTTP status 500", NULL), 0);
    assert_int_equal(take(outbox, INT64_MAX, &row, 1), 0);
    assert_int_equal(outbox_read_dead(outbox, on_dead, &dead, NULL), 0);
    assert_int_equal(dead, 1);
    assert_int_equal(outbox_forget(outbox, NOON + 2000, NULL), 0);
    assert_int_equal(count_of(outbox).dead, 1);
    assert_int_equal(outbox_forget(outbox, NOON + 2001, NULL), 0);
    assert_int_equal(count_of(outbox).dead, 0);
    outbox_close(outbox);
}

static void pending_messages_are_never_forgotten(void **state)
{
    (void)state;
    struct outbox *outbox = must_open();
    put(outbox, "c", NOON);
    assert_int_equal(outbox_forget(outbox, INT64_MAX, NULL), 0);
    assert_int_equal(count_of(outbox).pending, 1);
    outbox_close(outbox);
}

static void what_could_not_be_signed_or_sent_is_refused(void **state)
{
    (void)state;
    struct outbox *outbox = must_open();
    static char big[OUTBOX_BODY_MAX + 2], name[OUTBOX_ID_MAX + 2];
    memset(big, 'x', sizeof big - 1);
    memset(name, 'n', sizeof name - 1);
    const struct outbox_message bad[] = {{"", "ops", "{}"},         {"a.b", "ops", "{}"},
                                         {"a\r\nb", "ops", "{}"},   {"a b", "ops", "{}"},
                                         {"\xc3\xa4", "ops", "{}"}, {"a", "", "{}"},
                                         {name, "ops", "{}"},       {"a", "ops", big}};
    for (uint32_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(outbox_put(outbox, &bad[i], NOON, NULL), ERROR_INVALID);
    assert_int_equal(count_of(outbox).pending, 0);
    outbox_close(outbox);
}

static void a_full_outbox_says_so(void **state)
{
    (void)state;
    struct outbox *outbox = must_open();
    struct alert_store *store = alert_store_new(outbox, NULL);
    struct alert_watch watch = {.last_day = 7}, loaded = {0};
    /* One transaction, to be quick: its messages are only named apart. */
    static char ids[OUTBOX_PENDING_MAX + 1][8];
    static struct outbox_message messages[OUTBOX_PENDING_MAX + 1];
    for (uint32_t i = 0; i <= OUTBOX_PENDING_MAX; i++) {
        (void)snprintf(ids[i], sizeof ids[i], "%u", i);
        messages[i] = (struct outbox_message){ids[i], "ops", "{}"};
    }
    struct alert_change change = {"c", "s", &watch, messages, OUTBOX_PENDING_MAX + 1};
    assert_int_equal(alert_store_save(store, &change, NOON, NULL), ERROR_BUSY);
    assert_int_equal(count_of(outbox).pending, 0); /* all or nothing, the watch too */
    assert_int_equal(alert_store_load(store, "c", "s", &loaded, NULL), 0);
    assert_int_equal(loaded.last_day, 0);
    change.message_count = OUTBOX_PENDING_MAX;
    assert_int_equal(alert_store_save(store, &change, NOON, NULL), 0);
    assert_int_equal(outbox_put(outbox, &messages[OUTBOX_PENDING_MAX], NOON, NULL), ERROR_BUSY);
    alert_store_free(store);
    outbox_close(outbox);
}

/* -- The file -- */

static void the_file_is_its_owners_alone(void **state)
{
    (void)state;
    char path[SCRATCH_PATH_BYTES + 16];
    struct stat status;
    struct outbox *outbox = must_open();
    put(outbox, "a", NOON);
    const char *const suffixes[] = {"", "-wal", "-shm"};
    for (uint32_t i = 0; i < 3; i++) {
        (void)snprintf(path, sizeof path, "%s/outbox.db%s", folder, suffixes[i]);
        assert_int_equal(stat(path, &status), 0);
        assert_int_equal(status.st_mode & 0777, 0600);
    }
    outbox_close(outbox);
}

static void another_kind_of_file_is_left_alone(void **state)
{
    (void)state;
    struct error err = {0};
    char text[4096];
    memset(text, 'x', sizeof text);
    scratch_write(folder, "outbox.db", text, sizeof text);
    assert_null(outbox_open(folder, &err));
    assert_int_equal(err.code, ERROR_INVALID);
    assert_non_null(strstr(err.text, "outbox.db"));
    assert_null(outbox_open("/nowhere/at/all", &err));
    assert_int_equal(err.code, ERROR_NOT_FOUND);
}

/* A process killed at any moment leaves every message that it was told is put. */
static void what_was_put_outlives_a_kill(void **state)
{
    (void)state;
    for (uint32_t round = 0; round < 10; round++) {
        int pipes[2];
        assert_int_equal(pipe(pipes), 0);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            struct outbox *outbox = outbox_open(folder, NULL);
            for (uint32_t i = 0; outbox != NULL; i++) {
                char id[32];
                (void)snprintf(id, sizeof id, "%u-%u", round, i);
                const struct outbox_message message = {id, "ops", "{}"};
                if (outbox_put(outbox, &message, NOON, NULL) != 0 || write(pipes[1], "x", 1) != 1)
                    break;
            }
            _exit(1);
        }
        close(pipes[1]);
        char heard[64];
        ssize_t told = 0, got;
        while (told < 20 + (ssize_t)round && (got = read(pipes[0], heard, 1)) > 0)
            told += got;
        assert_int_equal(kill(child, SIGKILL), 0);
        while ((got = read(pipes[0], heard, sizeof heard)) > 0)
            told += got;
        assert_int_equal(waitpid(child, NULL, 0), child);
        close(pipes[0]);
        struct outbox *outbox = must_open();
        uint64_t pending = count_of(outbox).pending;
        static struct outbox_row rows[2000];
        int count = take(outbox, NOON, rows, 2000);
        assert_true(count >= 0 && (uint64_t)count == pending);
        ssize_t kept = 0;
        for (int i = 0; i < count; i++) {
            kept += strtoul(rows[i].id, NULL, 10) == round;
            outbox_row_destroy(&rows[i]);
        }
        assert_true(kept >= told && kept <= told + 1);
        outbox_close(outbox);
    }
}

/* -- The alerts' state -- */

static void a_watch_is_remembered_across_a_restart(void **state)
{
    (void)state;
    struct alert_watch watch = {.last_day = 20500}, loaded;
    watch.rules[2] =
        (struct alert_rule_state){.streak = 6, .firing = true, .period = 3, .fired_day = 20490};
    watch.rules[7] = (struct alert_rule_state){.streak = 2};
    const struct outbox_message message = {"an-id", "ops", "{}"};
    for (uint32_t run = 0; run < 2; run++) { /* saved twice: the same */
        struct outbox *outbox = must_open();
        struct alert_store *store = alert_store_new(outbox, NULL);
        struct alert_change change = {"kimi-k2.5/ui-name", "organisation", &watch, &message, 1};
        assert_int_equal(alert_store_save(store, &change, NOON, NULL), 0);
        alert_store_free(store);
        outbox_close(outbox);
    }
    struct outbox *outbox = must_open();
    struct alert_store *store = alert_store_new(outbox, NULL);
    assert_int_equal(alert_store_load(store, "kimi-k2.5/ui-name", "organisation", &loaded, NULL),
                     0);
    assert_int_equal(loaded.last_day, 20500);
    for (uint32_t i = 0; i < ALERT_RULES; i++) {
        assert_int_equal(loaded.rules[i].streak, watch.rules[i].streak);
        assert_int_equal(loaded.rules[i].firing, watch.rules[i].firing);
        assert_int_equal(loaded.rules[i].period, watch.rules[i].period);
        assert_int_equal(loaded.rules[i].fired_day, watch.rules[i].fired_day);
    }
    assert_int_equal(count_of(outbox).pending, 1);
    assert_int_equal(alert_store_load(store, "kimi-k2.5/ui-name", "a-model", &loaded, NULL), 0);
    assert_int_equal(loaded.last_day, 0); /* another watch */
    alert_store_free(store);
    outbox_close(outbox);
}

static void a_state_that_no_evaluation_leaves_is_refused(void **state)
{
    (void)state;
    const struct alert_rule_state bad[] = {
        {.streak = ALERT_FIRE_AFTER},
        {.streak = ALERT_CLEAR_AFTER, .firing = true, .period = 1},
        {.firing = true}};
    struct outbox *outbox = must_open();
    struct alert_store *store = alert_store_new(outbox, NULL);
    for (uint32_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct error err = {0};
        struct alert_watch watch = {.rules = {bad[i]}, .last_day = 9}, loaded = {.last_day = 5};
        struct alert_change change = {"c", "s", &watch, NULL, 0};
        assert_int_equal(alert_store_save(store, &change, NOON, NULL), 0);
        assert_int_equal(alert_store_load(store, "c", "s", &loaded, &err), ERROR_INVALID);
        assert_int_equal(loaded.last_day, 5);
        assert_non_null(strstr(err.text, "outbox.db"));
    }
    alert_store_free(store);
    outbox_close(outbox);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_message_is_put_once_an_id_and_target, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_longest_waiting_are_due_first_and_the_busy_are_not,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(failures_wait_and_the_dead_are_kept_to_be_read, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(pending_messages_are_never_forgotten, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_could_not_be_signed_or_sent_is_refused, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_full_outbox_says_so, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_file_is_its_owners_alone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_kind_of_file_is_left_alone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_was_put_outlives_a_kill, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_watch_is_remembered_across_a_restart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_state_that_no_evaluation_leaves_is_refused, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
