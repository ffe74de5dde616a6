/* SPDX-License-Identifier: Apache-2.0 */
/* The writer's thread is real; what it is waited for by is its own output. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/access_log.h"

#define LINE_BYTES 100

struct place {
    char folder[64], path[96], moved[96], notes[96];
    struct log *log;
    int log_fd;
};

static int set_up(void **state)
{
    struct place *place = calloc(1, sizeof *place);
    assert_non_null(place);
    (void)snprintf(place->folder, sizeof place->folder, "/tmp/weir-access-XXXXXX");
    assert_non_null(mkdtemp(place->folder));
    (void)snprintf(place->path, sizeof place->path, "%s/access.log", place->folder);
    (void)snprintf(place->moved, sizeof place->moved, "%s/access.log.1", place->folder);
    (void)snprintf(place->notes, sizeof place->notes, "%s/notes", place->folder);
    place->log_fd = open(place->notes, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    place->log = log_new(place->log_fd, LOG_LEVEL_INFO, LOG_FORMAT_LOGFMT);
    assert_non_null(place->log);
    *state = place;
    return 0;
}

static int tear_down(void **state)
{
    struct place *place = *state;
    log_free(place->log);
    close(place->log_fd);
    (void)unlink(place->path);
    (void)unlink(place->moved);
    (void)unlink(place->notes);
    (void)rmdir(place->folder);
    free(place);
    return 0;
}

static void put(struct access_log *access, const char *words)
{
    struct text line;
    text_init(&line);
    text_append_string(&line, words);
    access_log_put(access, &line);
    assert_int_equal(line.count, 0);
    text_destroy(&line);
}

static void expect_file(const char *path, const char *expected)
{
    char bytes[4096];
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    size_t count = fread(bytes, 1, sizeof bytes - 1, file);
    (void)fclose(file);
    bytes[count] = '\0';
    assert_string_equal(bytes, expected);
}

static void wait_written(const struct access_log *access, uint64_t lines)
{
    struct access_log_stats stats;
    do {
        (void)sched_yield();
        access_log_stats(access, &stats);
    } while (stats.written < lines);
    assert_int_equal(stats.written, lines);
    assert_int_equal(stats.dropped, 0);
}

static void lines_are_appended_in_order(void **state)
{
    const struct place *place = *state;
    struct error err = {0};
    struct stat status;
    for (int life = 0; life < 2; life++) {
        struct access_log *access = access_log_open(place->path, 8, place->log, &err);
        assert_non_null(access);
        put(access, life == 0 ? "one\n" : "three\n");
        put(access, life == 0 ? "two\n" : "four\n");
        access_log_close(access);
    }
    expect_file(place->path, "one\ntwo\nthree\nfour\n");
    assert_int_equal(stat(place->path, &status), 0);
    assert_int_equal(status.st_mode & 037, 0);
}

static void a_file_moved_away_is_made_anew(void **state)
{
    const struct place *place = *state;
    struct error err = {0};
    struct access_log *access = access_log_open(place->path, 8, place->log, &err);
    assert_non_null(access);
    put(access, "before\n");
    wait_written(access, 1);
    assert_int_equal(rename(place->path, place->moved), 0);
    put(access, "still the old one\n");
    wait_written(access, 2);
    access_log_reopen(access);
    while (faccessat(AT_FDCWD, place->path, F_OK, 0) != 0)
        (void)sched_yield();
    put(access, "after\n");
    access_log_close(access);
    expect_file(place->moved, "before\nstill the old one\n");
    expect_file(place->path, "after\n");
}

static void without_a_path_lines_go_to_the_log(void **state)
{
    const struct place *place = *state;
    struct error err = {0};
    struct access_log *access = access_log_open("", 8, place->log, &err);
    assert_non_null(access);
    put(access, "a line\n");
    access_log_reopen(access); /* nothing to open */
    access_log_close(access);
    expect_file(place->notes, "a line\n");
}

static void a_folder_that_is_missing_is_told(void **state)
{
    const struct place *place = *state;
    struct error err = {0};
    char path[160];
    (void)snprintf(path, sizeof path, "%s/none/access.log", place->folder);
    assert_null(access_log_open(path, 8, place->log, &err));
    assert_int_equal(err.code, ERROR_NOT_FOUND);
    assert_non_null(strstr(err.text, "access_log.path: "));
    assert_non_null(strstr(err.text, "its folder must exist"));
}

/* Nobody reads the pipe: put() goes on returning, and says how much is lost. */
static void a_full_pipe_drops_and_counts(void **state)
{
    (void)state;
    int ends[2];
    char line[LINE_BYTES + 1], bytes[4096];
    struct error err = {0};
    struct access_log_stats stats;
    memset(line, 'x', LINE_BYTES - 1);
    line[LINE_BYTES - 1] = '\n';
    line[LINE_BYTES] = '\0';
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    struct log *log = log_new(ends[1], LOG_LEVEL_ERROR, LOG_FORMAT_LOGFMT);
    struct access_log *access = access_log_open("", 16, log, &err);
    assert_non_null(access);
    uint64_t puts = 0;
    do {
        put(access, line);
        puts++;
        access_log_stats(access, &stats);
    } while (stats.dropped < 100);
    assert_int_equal(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
    uint64_t got_bytes = 0;
    do { /* read, and what waits is written */
        ssize_t got = read(ends[0], bytes, sizeof bytes);
        got_bytes += got > 0 ? (uint64_t)got : 0;
        access_log_stats(access, &stats);
    } while (stats.written + stats.dropped < puts);
    access_log_close(access);
    close(ends[1]);
    for (ssize_t got; (got = read(ends[0], bytes, sizeof bytes)) > 0;)
        got_bytes += (uint64_t)got;
    close(ends[0]);
    assert_int_equal(got_bytes, stats.written * LINE_BYTES);
    log_free(log);
}

static void a_disk_without_room_drops_and_tells_once(void **state)
{
    const struct place *place = *state;
    struct error err = {0};
    struct access_log_stats stats;
    struct access_log *access = access_log_open("/dev/full", 8, place->log, &err);
    assert_non_null(access);
    for (uint64_t i = 1; i <= 3; i++) {
        put(access, "lost\n");
        do {
            (void)sched_yield();
            access_log_stats(access, &stats);
        } while (stats.dropped < i);
    }
    access_log_close(access);
    char bytes[4096];
    ssize_t count = pread(place->log_fd, bytes, sizeof bytes - 1, 0);
    assert_true(count > 0);
    bytes[count] = '\0';
    const char *told = strstr(bytes, "event=access_log_failing");
    assert_non_null(told);
    assert_null(strstr(told + 1, "event=access_log_failing"));
}

static void none_takes_nothing(void **state)
{
    (void)state;
    struct access_log_stats stats;
    put(NULL, "a line\n");
    access_log_reopen(NULL);
    access_log_stats(NULL, &stats);
    assert_int_equal(stats.written + stats.dropped, 0);
    access_log_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(lines_are_appended_in_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_file_moved_away_is_made_anew, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_a_path_lines_go_to_the_log, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_folder_that_is_missing_is_told, set_up, tear_down),
        cmocka_unit_test(a_full_pipe_drops_and_counts),
        cmocka_unit_test_setup_teardown(a_disk_without_room_drops_and_tells_once, set_up,
                                        tear_down),
        cmocka_unit_test(none_takes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
