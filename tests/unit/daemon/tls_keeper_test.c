/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/tls_keeper.h"
#include "tests/unit/daemon/tls_maker.h"

#define SECOND_US UINT64_C(1000000)
#define DAY_S     86400
#define LONG_S    (90L * DAY_S)

struct desk {
    char folder[32], certificate[TLS_MAKER_PATH_BYTES], key[TLS_MAKER_PATH_BYTES];
    struct tls_made made[3];
    struct config *config;
    struct log *log;
    int log_fd;
    uint64_t now_us;
    int64_t now_unix;
    struct tls_keeper *keeper;
};

/* Over what is there, under another inode, as tools do it. */
static void place(struct desk *desk, int certificate, int key)
{
    char fresh[TLS_MAKER_PATH_BYTES];
    if (certificate >= 0) {
        tls_write_file(desk->folder, "fresh", desk->made[certificate].certificate, NULL, fresh);
        assert_int_equal(rename(fresh, desk->certificate), 0);
    }
    if (key >= 0) {
        tls_write_file(desk->folder, "fresh", NULL, desk->made[key].key, fresh);
        assert_int_equal(rename(fresh, desk->key), 0);
    }
}

static int setup(void **state)
{
    struct desk *desk = calloc(1, sizeof *desk);
    struct error err = {0};
    char yaml[512];
    assert_non_null(desk);
    (void)snprintf(desk->folder, sizeof desk->folder, "/tmp/tls_keeper_XXXXXX");
    assert_non_null(mkdtemp(desk->folder));
    (void)snprintf(desk->certificate, sizeof desk->certificate, "%s/site.pem", desk->folder);
    (void)snprintf(desk->key, sizeof desk->key, "%s/site.key", desk->folder);
    static const char *const names[] = {"DNS:a.example", "DNS:b.example", "DNS:c.example"};
    for (int i = 0; i < 3; i++)
        desk->made[i] = tls_make(&(struct tls_make){.names = names[i], .seconds = LONG_S});
    place(desk, 0, 0);
    (void)snprintf(yaml, sizeof yaml, "server: {tls: {certificate: %s, key: %s}}",
                   desk->certificate, desk->key);
    assert_int_equal(config_parse_yaml("weir.yaml", yaml, strlen(yaml), &desk->config, &err), 0);
    (void)snprintf(yaml, sizeof yaml, "%s/log", desk->folder);
    desk->log_fd = open(yaml, O_RDWR | O_CREAT | O_CLOEXEC | O_APPEND, 0600);
    assert_true(desk->log_fd >= 0);
    desk->log = log_new(desk->log_fd, LOG_LEVEL_INFO, LOG_FORMAT_LOGFMT);
    desk->now_us = SECOND_US;
    desk->now_unix = INT64_C(1796083200);
    desk->keeper = tls_keeper_new(desk->config, &err);
    assert_non_null(desk->keeper);
    *state = desk;
    return 0;
}

static int teardown(void **state)
{
    struct desk *desk = *state;
    tls_keeper_free(desk->keeper);
    log_free(desk->log);
    close(desk->log_fd);
    assert_int_equal(desk->config->references, 1);
    config_free(desk->config);
    DIR *folder = opendir(desk->folder);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;)
        (void)unlinkat(dirfd(folder), entry->d_name, 0);
    closedir(folder);
    rmdir(desk->folder);
    for (int i = 0; i < 3; i++)
        tls_made_release(&desk->made[i]);
    free(desk);
    return 0;
}

static unsigned said(const struct desk *desk, const char *part)
{
    static char text[65536];
    ssize_t count = pread(desk->log_fd, text, sizeof text - 1, 0);
    assert_true(count >= 0);
    text[count] = '\0';
    unsigned times = 0;
    for (const char *at = text; (at = strstr(at, part)) != NULL; at++)
        times++;
    return times;
}

/* A second passes. */
static bool watch(struct desk *desk)
{
    desk->now_us += SECOND_US;
    return tls_keeper_watch(desk->keeper, desk->log, desk->now_us, desk->now_unix);
}

static const char *name(const struct desk *desk)
{
    struct tls_set *set = shelf_newest(tls_keeper_shelf(desk->keeper));
    const char *found = tls_set_certificate(set, 0)->name;
    tls_set_unref(set); /* the shelf has one too */
    return found;
}

static void a_renewed_pair_is_taken_up_once(void **state)
{
    struct desk *desk = *state;
    assert_string_equal(name(desk), "a.example");
    assert_false(watch(desk));
    place(desk, 1, 1);
    assert_true(watch(desk));
    assert_string_equal(name(desk), "b.example");
    for (int i = 0; i < 30; i++)
        assert_false(watch(desk));
    assert_int_equal(said(desk, "event=tls_reloaded"), 1);
    assert_int_equal(tls_keeper_reloads(desk->keeper, TLS_RELOAD_DONE), 1);
    assert_int_equal(tls_keeper_reloads(desk->keeper, TLS_RELOAD_REFUSED), 0);
}

static void half_a_pair_is_waited_for_in_silence(void **state)
{
    struct desk *desk = *state;
    place(desk, 1, -1);
    for (int i = 0; i < 5; i++)
        assert_false(watch(desk));
    assert_string_equal(name(desk), "a.example");
    place(desk, -1, 1);
    assert_true(watch(desk));
    assert_string_equal(name(desk), "b.example");
    assert_int_equal(said(desk, "refused"), 0);
    assert_int_equal(tls_keeper_reloads(desk->keeper, TLS_RELOAD_REFUSED), 0);
}

static void what_never_holds_is_told_once_and_the_old_stays(void **state)
{
    struct desk *desk = *state;
    place(desk, 1, 2);
    for (int i = 0; i < 60; i++)
        assert_false(watch(desk));
    assert_string_equal(name(desk), "a.example");
    assert_int_equal(said(desk, "event=tls_reload_refused"), 1);
    assert_int_equal(said(desk, "is not that of certificate"), 1);
    assert_int_equal(tls_keeper_reloads(desk->keeper, TLS_RELOAD_REFUSED), 1);
    /* Changed once more, and wrong again: it is news again. */
    assert_int_equal(unlink(desk->key), 0);
    for (int i = 0; i < 60; i++)
        assert_false(watch(desk));
    assert_int_equal(said(desk, "event=tls_reload_refused"), 2);
    assert_int_equal(said(desk, "No such file"), 1);
    place(desk, -1, 1);
    assert_true(watch(desk));
    assert_string_equal(name(desk), "b.example");
}

static void a_file_that_changes_all_the_time_is_told_of_too(void **state)
{
    struct desk *desk = *state;
    for (int i = 0; i < 12; i++) {
        place(desk, 1 + i % 2, 0);
        assert_false(watch(desk));
    }
    assert_int_equal(said(desk, "event=tls_reload_refused"), 1);
}

static void a_reading_is_whole_or_nothing(void **state)
{
    struct desk *desk = *state;
    struct error err = {0};
    place(desk, 1, 2);
    assert_null(tls_reading_new(desk->config, desk->keeper, &err));
    assert_non_null(strstr(err.text, "server.tls: key '"));
    place(desk, 2, 2);
    struct tls_reading *reading = tls_reading_new(desk->config, desk->keeper, &err);
    assert_non_null(reading);
    tls_keeper_take(desk->keeper, reading);
    assert_string_equal(name(desk), "c.example");
    assert_false(watch(desk)); /* it has been seen */
}

static void expiry_is_told_of_day_by_day_when_it_is_near(void **state)
{
    struct desk *desk = *state;
    struct tls_set *set = shelf_newest(tls_keeper_shelf(desk->keeper));
    int64_t end = tls_set_certificate(set, 0)->not_after_unix;
    tls_set_unref(set);
    desk->now_unix = end - 15 * DAY_S;
    tls_keeper_tell(desk->keeper, desk->log, desk->now_unix);
    assert_int_equal(said(desk, "event=tls_certificate name=a.example days_left=15"), 1);
    for (int hour = 0; hour < 24 * 3; hour++) {
        desk->now_unix += 3600;
        assert_false(watch(desk));
    }
    assert_in_range(said(desk, "event=tls_certificate_expires name=a.example"), 2, 3);
    desk->now_unix = end + DAY_S;
    assert_false(watch(desk));
    assert_int_equal(said(desk, "days_left=-1"), 1);
}

static void keys_of_tickets_change_in_time(void **state)
{
    struct desk *desk = *state;
    assert_false(watch(desk)); /* the period begins */
    desk->now_us += 12 * 3600 * SECOND_US - 2 * SECOND_US;
    assert_false(watch(desk));
    assert_true(watch(desk));
    assert_false(watch(desk));
    assert_string_equal(name(desk), "a.example");
    place(desk, 1, 1);
    desk->now_us += 12 * 3600 * SECOND_US;
    assert_true(watch(desk)); /* both at once */
    assert_string_equal(name(desk), "b.example");
    assert_int_equal(tls_keeper_reloads(desk->keeper, TLS_RELOAD_DONE), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_renewed_pair_is_taken_up_once),
        TEST(half_a_pair_is_waited_for_in_silence),
        TEST(what_never_holds_is_told_once_and_the_old_stays),
        TEST(a_file_that_changes_all_the_time_is_told_of_too),
        TEST(a_reading_is_whole_or_nothing),
        TEST(keys_of_tickets_change_in_time),
        TEST(expiry_is_told_of_day_by_day_when_it_is_near),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
