/* SPDX-License-Identifier: Apache-2.0 */
/* What is done to a ledger behind its back is done through a connection of the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "policy/ledger.h"

#define ROWS   5
#define NOBODY 65534

struct fixture {
    char folder[64], path[96];
    struct ledger *ledger;
};

static struct ledger *open_ledger(struct fixture *fixture)
{
    struct error err = {0};
    fixture->ledger = ledger_open(fixture->folder, &err);
    assert_string_equal(err.text, "");
    assert_non_null(fixture->ledger);
    return fixture->ledger;
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    (void)snprintf(fixture->folder, sizeof fixture->folder, "/tmp/weir-ledger-XXXXXX");
    assert_non_null(mkdtemp(fixture->folder));
    (void)snprintf(fixture->path, sizeof fixture->path, "%s/%s", fixture->folder, LEDGER_FILE);
    (void)open_ledger(fixture);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    ledger_close(fixture->ledger);
    (void)unlink(fixture->path);
    (void)rmdir(fixture->path); /* where a test made it a folder */
    assert_int_equal(rmdir(fixture->folder), 0);
    free(fixture);
    return 0;
}

static void close_ledger(struct fixture *fixture)
{
    ledger_close(fixture->ledger);
    fixture->ledger = NULL;
}

static bool append(struct fixture *fixture, const char *kind, const char *subject, const char *body)
{
    struct error err = {0};
    bool appended = false;
    const struct ledger_entry entry = {
        .at_unix = 1700000000, .kind = kind, .model = "m", .subject = subject, .body = body};
    assert_int_equal(ledger_append(fixture->ledger, &entry, &appended, &err), 0);
    assert_string_equal(err.text, "");
    return appended;
}

static void fill(struct fixture *fixture)
{
    char body[32];
    for (int i = 1; i <= ROWS; i++) {
        (void)snprintf(body, sizeof body, "{\"n\":%d}", i);
        assert_true(append(fixture, i % 2 == 0 ? "even" : "odd", "", body));
    }
}

/* As somebody with the sqlite3 shell would. */
static void tamper(struct fixture *fixture, const char *sql)
{
    sqlite3 *db;
    char *problem = NULL;
    assert_int_equal(sqlite3_open(fixture->path, &db), SQLITE_OK);
    (void)sqlite3_exec(db, sql, NULL, NULL, &problem);
    assert_null(problem);
    assert_true(sqlite3_total_changes(db) > 0 || strstr(sql, "PRAGMA") != NULL);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void expect_broken(struct fixture *fixture, const char *sql, const char *expected)
{
    struct error err = {0};
    int64_t rows = -1;
    tamper(fixture, sql);
    assert_int_equal(ledger_verify(fixture->ledger, &rows, &err), ERROR_INVALID);
    assert_int_equal(rows, -1);
    if (strstr(err.text, expected) == NULL || strstr(err.text, fixture->path) == NULL)
        fail_msg("'%s' does not say '%s'", err.text, expected);
}

static void expect_whole(struct fixture *fixture, int64_t expected)
{
    struct error err = {0};
    int64_t rows = -1;
    assert_int_equal(ledger_verify(fixture->ledger, &rows, &err), 0);
    assert_int_equal(rows, expected);
}

static void expect_refused(struct fixture *fixture, const char *expected)
{
    struct error err = {0};
    close_ledger(fixture);
    assert_null(ledger_open(fixture->folder, &err));
    assert_int_equal(err.code, ERROR_INVALID);
    if (strstr(err.text, expected) == NULL || strstr(err.text, fixture->path) == NULL)
        fail_msg("'%s' does not say '%s'", err.text, expected);
}

static void rows_survive_a_restart_and_go_on(void **state)
{
    struct fixture *fixture = *state;
    fill(fixture);
    close_ledger(fixture);
    (void)open_ledger(fixture);
    expect_whole(fixture, ROWS);
    assert_true(append(fixture, "odd", "", "{\"n\":6}"));
    expect_whole(fixture, ROWS + 1);
}

static void the_file_is_private(void **state)
{
    struct fixture *fixture = *state;
    struct stat status;
    assert_int_equal(stat(fixture->path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
}

static void the_same_is_not_said_twice(void **state)
{
    struct fixture *fixture = *state;
    assert_true(append(fixture, "k", "", "{}"));
    assert_false(append(fixture, "k", "", "{}"));
    assert_true(append(fixture, "k", "a", "{}")); /* of something else */
    assert_false(append(fixture, "k", "", "{}"));
    assert_true(append(fixture, "k", "", "{1}"));
    assert_true(append(fixture, "k", "", "{}")); /* again, after something else was true */
    close_ledger(fixture);
    (void)open_ledger(fixture);
    assert_false(append(fixture, "k", "", "{}"));
    expect_whole(fixture, 4);
}

static void any_field_that_is_changed_shows(void **state)
{
    struct fixture *fixture = *state;
    static const char *const changes[] = {
        "UPDATE ledger SET at_unix = at_unix + 1 WHERE sequence = 3",
        "UPDATE ledger SET kind = 'even' WHERE sequence = 3",
        "UPDATE ledger SET model = 'M' WHERE sequence = 3",
        "UPDATE ledger SET subject = 's' WHERE sequence = 3",
        "UPDATE ledger SET body = body || ' ' WHERE sequence = 3",
        "UPDATE ledger SET body = body || char(0) WHERE sequence = 3",
        /* the same bytes, cut elsewhere */
        "UPDATE ledger SET kind = 'oddm', model = '' WHERE sequence = 3",
        "UPDATE ledger SET hash = upper(hash) WHERE sequence = 3",
    };
    fill(fixture);
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        tamper(fixture, "CREATE TABLE kept AS SELECT * FROM ledger; DELETE FROM kept WHERE "
                        "sequence <> 3; UPDATE kept SET kind = kind");
        expect_broken(fixture, changes[i], "row 3 was changed");
        tamper(fixture, "DELETE FROM ledger WHERE sequence = 3; "
                        "INSERT INTO ledger SELECT * FROM kept; DROP TABLE kept");
        expect_whole(fixture, ROWS);
    }
}

static void a_row_that_is_taken_out_is_missed(void **state)
{
    struct fixture *fixture = *state;
    fill(fixture);
    expect_broken(fixture, "DELETE FROM ledger WHERE sequence = 2", "row 2 is missing");
    expect_broken(fixture,
                  "UPDATE ledger SET sequence = sequence - 1 WHERE sequence = 3; "
                  "UPDATE ledger SET sequence = sequence - 1 WHERE sequence = 4; "
                  "UPDATE ledger SET sequence = sequence - 1 WHERE sequence = 5",
                  "row 2 was changed or is not where it was written");
}

static void an_end_that_is_cut_off_is_missed(void **state)
{
    struct fixture *fixture = *state;
    struct error err = {0};
    const struct ledger_entry entry = {.kind = "k", .model = "m", .subject = "", .body = "{}"};
    fill(fixture);
    expect_broken(fixture, "DELETE FROM ledger WHERE sequence >= 4", "rows 4 to 5 are missing");
    assert_int_equal(ledger_append(fixture->ledger, &entry, NULL, &err), ERROR_INVALID);
    assert_non_null(strstr(err.text, "its last row is not"));
    expect_refused(fixture, "its last row is not the one that was written last");
}

static void a_row_that_is_put_in_or_moved_shows(void **state)
{
    struct fixture *fixture = *state;
    fill(fixture);
    expect_broken(fixture,
                  "UPDATE ledger SET sequence = 99 WHERE sequence = 2; "
                  "UPDATE ledger SET sequence = 2 WHERE sequence = 4; "
                  "UPDATE ledger SET sequence = 4 WHERE sequence = 99",
                  "row 2 was changed or is not where it was written");
    expect_broken(fixture,
                  "UPDATE ledger SET sequence = 99 WHERE sequence = 2; "
                  "UPDATE ledger SET sequence = 2 WHERE sequence = 4; "
                  "UPDATE ledger SET sequence = 4 WHERE sequence = 99; "
                  "INSERT INTO ledger SELECT 6, at_unix, kind, model, subject, body, hash "
                  "FROM ledger WHERE sequence = 5",
                  "row 6 was changed or is not where it was written");
}

static void a_forged_end_needs_the_head_too(void **state)
{
    struct fixture *fixture = *state;
    fill(fixture);
    expect_broken(fixture, "UPDATE head SET sequence = 4",
                  "row 5 was put in behind the last that was written");
    expect_refused(fixture, "its last row is not");
}

static void a_transaction_is_kept_whole_or_not_at_all(void **state)
{
    struct fixture *fixture = *state;
    struct error err = {0};
    assert_int_equal(ledger_begin(fixture->ledger, &err), 0);
    assert_true(append(fixture, "k", "", "{1}"));
    assert_true(append(fixture, "k", "", "{2}"));
    ledger_rollback(fixture->ledger);
    expect_whole(fixture, 0);
    assert_int_equal(ledger_begin(fixture->ledger, &err), 0);
    assert_true(append(fixture, "k", "", "{1}"));
    assert_true(append(fixture, "k", "", "{2}"));
    assert_int_equal(ledger_commit(fixture->ledger, &err), 0);
    expect_whole(fixture, 2);
    assert_int_equal(ledger_begin(fixture->ledger, &err), 0);
    assert_true(append(fixture, "k", "", "{3}"));
    close_ledger(fixture);
    (void)open_ledger(fixture);
    expect_whole(fixture, 2);
}

struct seen {
    char text[256];
    int left;
};

static bool on_row(void *argument, const struct ledger_row *row)
{
    struct seen *seen = argument;
    size_t used = strlen(seen->text);
    assert_int_equal(strlen(row->hash), LEDGER_HASH_BYTES - 1);
    (void)snprintf(seen->text + used, sizeof seen->text - used, "%lld %s %s %s|",
                   (long long)row->sequence, row->kind, row->model, row->body);
    return --seen->left > 0;
}

static void rows_are_read_in_order_and_by_kind(void **state)
{
    struct fixture *fixture = *state;
    struct error err = {0};
    struct seen all = {.left = 3}, even = {.left = 99};
    fill(fixture);
    assert_int_equal(ledger_read(fixture->ledger, NULL, on_row, &all, &err), 0);
    assert_string_equal(all.text, "1 odd m {\"n\":1}|2 even m {\"n\":2}|3 odd m {\"n\":3}|");
    assert_int_equal(ledger_read(fixture->ledger, "even", on_row, &even, &err), 0);
    assert_string_equal(even.text, "2 even m {\"n\":2}|4 even m {\"n\":4}|");
}

static void write_file(struct fixture *fixture, const char *bytes, size_t count)
{
    close_ledger(fixture);
    int fd = open(fixture->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, bytes, count), (ssize_t)count);
    close(fd);
}

static void what_is_no_ledger_is_refused_by_name(void **state)
{
    struct fixture *fixture = *state;
    static char text[8192];
    memset(text, 'x', sizeof text);
    write_file(fixture, text, sizeof text);
    expect_refused(fixture, "not a ledger of weir");
    write_file(fixture, "", 0);
    tamper(fixture, "CREATE TABLE t(a); INSERT INTO t VALUES(1)");
    expect_refused(fixture, "a database, but not a ledger of weir");
    assert_int_equal(unlink(fixture->path), 0);
    assert_int_equal(mkdir(fixture->path, 0700), 0);
    struct error err = {0};
    assert_null(ledger_open(fixture->folder, &err));
    assert_non_null(strstr(err.text, fixture->path));
}

static void an_empty_file_becomes_a_ledger(void **state)
{
    struct fixture *fixture = *state;
    write_file(fixture, "", 0);
    (void)open_ledger(fixture);
    fill(fixture);
    expect_whole(fixture, ROWS);
}

static void a_later_format_is_left_alone(void **state)
{
    struct fixture *fixture = *state;
    fill(fixture);
    tamper(fixture, "PRAGMA user_version = 2");
    expect_refused(fixture, "of format 2, and this weir knows up to 1");
    tamper(fixture, "PRAGMA user_version = 0");
    expect_refused(fixture, "damaged");
}

static void other_tables_are_refused(void **state)
{
    struct fixture *fixture = *state;
    static const char endless[] =
        "ALTER TABLE ledger RENAME TO old; CREATE VIEW ledger AS WITH RECURSIVE n(i) AS (SELECT 1 "
        "UNION ALL SELECT i + 1 FROM n) SELECT i AS sequence FROM n; UPDATE old SET kind = 'x'";
    fill(fixture);
    tamper(fixture, endless);
    expect_refused(fixture, "its tables are not as weir makes them");
}

/* Whatever byte is hit: an answer, never a crash, and never a row that reads otherwise. */
static void damaged_pages_are_told(void **state)
{
    struct fixture *fixture = *state;
    fill(fixture);
    close_ledger(fixture);
    struct stat status;
    assert_int_equal(stat(fixture->path, &status), 0);
    char *sound = malloc((size_t)status.st_size), *bytes = malloc((size_t)status.st_size);
    int fd = open(fixture->path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(read(fd, sound, (size_t)status.st_size), status.st_size);
    close(fd);
    int found = 0;
    for (off_t at = 0; at < status.st_size; at += 37) {
        struct error err = {0};
        int64_t rows = 0;
        memcpy(bytes, sound, (size_t)status.st_size);
        bytes[at] = (char)~bytes[at];
        write_file(fixture, bytes, (size_t)status.st_size);
        fixture->ledger = ledger_open(fixture->folder, &err);
        if (fixture->ledger == NULL || ledger_verify(fixture->ledger, &rows, &err) != 0) {
            assert_non_null(strstr(err.text, fixture->path));
            found++;
        } else {
            assert_int_equal(rows, ROWS);
        }
    }
    assert_true(found > 10);
    write_file(fixture, sound, (size_t)status.st_size - 4096); /* cut */
    expect_refused(fixture, "damaged");
    free(sound);
    free(bytes);
}

static void full_disk_keeps_what_was_there(void **state)
{
    struct fixture *fixture = *state;
    struct rlimit limit, old;
    struct error err = {0};
    char body[20000];
    memset(body, 'b', sizeof body - 1);
    body[sizeof body - 1] = '\0';
    const struct ledger_entry entry = {.kind = "k", .model = "m", .subject = "", .body = body};
    fill(fixture);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    limit = old;
    (void)signal(SIGXFSZ, SIG_IGN);
    limit.rlim_cur = 20480;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    bool appended = true;
    int result = ledger_append(fixture->ledger, &entry, &appended, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(result, ERROR_IO);
    assert_true(appended); /* untouched */
    assert_non_null(strstr(err.text, fixture->path));
    expect_whole(fixture, ROWS);
    assert_int_equal(ledger_append(fixture->ledger, &entry, &appended, &err), 0);
    expect_whole(fixture, ROWS + 1);
}

static void what_may_not_be_written_is_told(void **state)
{
    struct fixture *fixture = *state;
    struct error err = {0};
    close_ledger(fixture);
    assert_int_equal(chmod(fixture->folder, 0755), 0);
    assert_int_equal(chmod(fixture->path, 0444), 0);
    bool root = geteuid() == 0;
    assert_int_equal(root ? seteuid(NOBODY) : 0, 0);
    struct ledger *ledger = ledger_open(fixture->folder, &err);
    assert_int_equal(root ? seteuid(0) : 0, 0);
    assert_null(ledger);
    assert_int_equal(err.code, ERROR_IO);
    assert_non_null(strstr(err.text, fixture->path));
}

static void another_writer_is_waited_for_and_then_told(void **state)
{
    struct fixture *fixture = *state;
    struct error err = {0};
    const struct ledger_entry entry = {.kind = "k", .model = "m", .subject = "", .body = "{}"};
    sqlite3 *db;
    assert_int_equal(sqlite3_open(fixture->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN EXCLUSIVE", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(ledger_append(fixture->ledger, &entry, NULL, &err), ERROR_BUSY);
    assert_int_equal(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    assert_int_equal(ledger_append(fixture->ledger, &entry, NULL, &err), 0);
}

static void a_row_has_a_limit(void **state)
{
    struct fixture *fixture = *state;
    struct error err = {0};
    char *body = malloc(LEDGER_BODY_BYTES_MAX + 2);
    memset(body, ' ', LEDGER_BODY_BYTES_MAX + 1);
    body[LEDGER_BODY_BYTES_MAX + 1] = '\0';
    const struct ledger_entry entry = {.kind = "k", .model = "m", .subject = "", .body = body};
    assert_int_equal(ledger_append(fixture->ledger, &entry, NULL, &err), ERROR_INVALID);
    body[LEDGER_BODY_BYTES_MAX] = '\0';
    assert_int_equal(ledger_append(fixture->ledger, &entry, NULL, &err), 0);
    expect_whole(fixture, 1);
    free(body);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(rows_survive_a_restart_and_go_on),
        TEST(the_file_is_private),
        TEST(the_same_is_not_said_twice),
        TEST(any_field_that_is_changed_shows),
        TEST(a_row_that_is_taken_out_is_missed),
        TEST(an_end_that_is_cut_off_is_missed),
        TEST(a_row_that_is_put_in_or_moved_shows),
        TEST(a_forged_end_needs_the_head_too),
        TEST(a_transaction_is_kept_whole_or_not_at_all),
        TEST(rows_are_read_in_order_and_by_kind),
        TEST(what_is_no_ledger_is_refused_by_name),
        TEST(an_empty_file_becomes_a_ledger),
        TEST(a_later_format_is_left_alone),
        TEST(other_tables_are_refused),
        TEST(damaged_pages_are_told),
        TEST(full_disk_keeps_what_was_there),
        TEST(what_may_not_be_written_is_told),
        TEST(another_writer_is_waited_for_and_then_told),
        TEST(a_row_has_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
