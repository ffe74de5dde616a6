/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "policy/policy.h"
#include "policy/usage.h"
#include "tests/unit/policy/scratch.h"
#include "tests/unit/policy/token_maker.h"

#define SECOND_US   INT64_C(1000000)
#define NOV_LAST_US (INT64_C(1796083200) * SECOND_US - 1) /* 2026-11-30T23:59:59.999999Z */
#define NOV_US      (NOV_LAST_US - 86400 * SECOND_US)

struct fixture {
    char folder[SCRATCH_PATH_BYTES];
    struct policy *policy;
    struct policy_model *model;
};

static void open_policy(struct fixture *fixture)
{
    struct error err = {0};
    const struct policy_config config = {.state_folder = fixture->folder};
    fixture->policy = policy_new(&config, &err);
    assert_string_equal(err.text, "");
    assert_non_null(fixture->policy);
    const struct policy_model_facts facts = {.id = "q", .path = "/nonexistent/q.gguf"};
    assert_int_equal(policy_model_add(fixture->policy, &facts, 0, &fixture->model, &err), 0);
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    scratch_make(fixture->folder);
    open_policy(fixture);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    policy_free(fixture->policy);
    scratch_remove(fixture->folder);
    free(fixture);
    return 0;
}

static void reopen(struct fixture *fixture)
{
    policy_free(fixture->policy);
    open_policy(fixture);
}

static enum identity_class admit(struct fixture *fixture, const char *user, int64_t now_us)
{
    struct policy_decision decision;
    const struct policy_claims claims = {.tenant = "acme", .user = user};
    policy_admit(fixture->policy, fixture->model, &claims, now_us, &decision);
    assert_int_equal(decision.verdict, POLICY_GO);
    return decision.identity;
}

static struct policy_usage usage_at(struct fixture *fixture, int64_t now_us)
{
    struct policy_usage usage;
    policy_usage(fixture->policy, fixture->model, now_us, &usage);
    return usage;
}

static void admit_many(struct fixture *fixture, uint32_t first, uint32_t count, int64_t now_us)
{
    char user[32];
    for (uint32_t i = first; i < first + count; i++) {
        (void)snprintf(user, sizeof user, "user-%u", i);
        (void)admit(fixture, user, now_us);
    }
}

static void count_is_exact_and_survives_a_restart(void **state)
{
    struct fixture *fixture = *state;
    admit_many(fixture, 0, 5000, NOV_US);
    admit_many(fixture, 0, 5000, NOV_US); /* nobody new */
    assert_int_equal(usage_at(fixture, NOV_US).users, 5000);
    reopen(fixture);
    struct policy_usage usage = usage_at(fixture, NOV_US);
    assert_int_equal(usage.users, 5000);
    assert_int_equal(usage.users_by_class[IDENTITY_ASSERTED], 5000);
    assert_int_equal(usage.year, 2026);
    assert_int_equal(usage.month, 11);
    assert_true(usage.exact);
    assert_int_equal(usage.unsaved, 0);
    admit_many(fixture, 4000, 2000, NOV_US);
    assert_int_equal(usage_at(fixture, NOV_US).users, 6000);
}

static void nobody_is_lost_when_the_process_is_killed(void **state)
{
    struct fixture *fixture = *state;
    char file[SCRATCH_PATH_BYTES];
    struct stat status;
    admit_many(fixture, 0, 100, NOV_US);
    scratch_find(fixture->folder, "users-", file);
    assert_int_equal(stat(file, &status), 0); /* before any close: what a kill would leave */
    assert_int_equal(status.st_size, 32 + 100 * 16);
    assert_int_equal(status.st_mode & 0777, 0600);
}

static void torn_tail_costs_only_the_torn_record(void **state)
{
    struct fixture *fixture = *state;
    char file[SCRATCH_PATH_BYTES];
    for (int cut = 1; cut <= 15; cut += 7) {
        admit_many(fixture, 0, 100, NOV_US);
        scratch_find(fixture->folder, "users-", file);
        assert_int_equal(truncate(file, 32 + 100 * 16 - cut), 0);
        reopen(fixture);
        assert_int_equal(usage_at(fixture, NOV_US).users, 99);
    }
    admit_many(fixture, 0, 100, NOV_US);
    int fd = open(file, O_WRONLY | O_APPEND);
    const char zeros[40] = {0}; /* a file grown before its bytes were on disk */
    assert_int_equal(write(fd, zeros, sizeof zeros), sizeof zeros);
    close(fd);
    reopen(fixture);
    assert_int_equal(usage_at(fixture, NOV_US).users, 100);
    admit_many(fixture, 100, 1, NOV_US);
    reopen(fixture);
    assert_int_equal(usage_at(fixture, NOV_US).users, 101);
}

static void expect_refusal(struct fixture *fixture, const char *part)
{
    struct error err = {0};
    struct policy_model *model = NULL;
    const struct policy_config config = {.state_folder = fixture->folder};
    policy_free(fixture->policy);
    fixture->policy = policy_new(&config, &err);
    assert_non_null(fixture->policy);
    const struct policy_model_facts facts = {.id = "q", .path = "q.gguf"};
    assert_true(policy_model_add(fixture->policy, &facts, 0, &model, &err) < 0);
    assert_null(model);
    assert_non_null(strstr(err.text, part));
    assert_non_null(strstr(err.text, fixture->folder)); /* which file */
}

static void damage_before_good_records_is_refused(void **state)
{
    struct fixture *fixture = *state;
    char file[SCRATCH_PATH_BYTES];
    admit_many(fixture, 0, 10, NOV_US);
    scratch_find(fixture->folder, "users-", file);
    int fd = open(file, O_WRONLY);
    assert_int_equal(pwrite(fd, "x", 1, 32 + 3 * 16 + 2), 1);
    close(fd);
    expect_refusal(fixture, "damaged at byte 80");
}

static void another_key_or_another_file_is_refused(void **state)
{
    struct fixture *fixture = *state;
    char file[SCRATCH_PATH_BYTES];
    admit_many(fixture, 0, 10, NOV_US);
    scratch_find(fixture->folder, "users-", file);
    int fd = open(file, O_WRONLY);
    assert_int_equal(pwrite(fd, "x", 1, 9), 1);
    expect_refusal(fixture, "another key");
    assert_int_equal(pwrite(fd, "x", 1, 0), 1);
    expect_refusal(fixture, "not a file of user counts");
    close(fd);
}

static void month_ends_at_midnight_utc(void **state)
{
    struct fixture *fixture = *state;
    admit_many(fixture, 0, 3, NOV_LAST_US);
    admit_many(fixture, 2, 5, NOV_LAST_US + 1);
    admit_many(fixture, 3, 1, NOV_LAST_US); /* late news of November */
    struct policy_usage november = usage_at(fixture, NOV_LAST_US);
    struct policy_usage december = usage_at(fixture, NOV_LAST_US + 1);
    assert_int_equal(november.users, 4);
    assert_int_equal(november.month, 11);
    assert_int_equal(december.users, 5);
    assert_int_equal(december.month, 12);
    reopen(fixture);
    assert_int_equal(usage_at(fixture, NOV_LAST_US).users, 4);
    assert_int_equal(usage_at(fixture, NOV_LAST_US + 1).users, 5);
}

static void months_follow_the_calendar(void **state)
{
    (void)state;
    static const struct {
        int64_t unix_s;
        uint32_t year, month;
    } days[] = {{0, 1970, 1},           {951782400, 2000, 2},  {951868799, 2000, 2},
                {951868800, 2000, 3},   {1709164800, 2024, 2}, {1709251200, 2024, 3},
                {1767225599, 2025, 12}, {1767225600, 2026, 1}, {4107542400, 2100, 3}};
    for (size_t i = 0; i < sizeof days / sizeof days[0]; i++)
        assert_int_equal(usage_month(days[i].unix_s * SECOND_US),
                         days[i].year * 12 + days[i].month - 1);
}

static void anonymous_requests_are_kept_apart_and_kept(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < 600; i++)
        assert_int_equal(admit(fixture, "anonymous", NOV_US), IDENTITY_NONE);
    reopen(fixture);
    struct policy_usage usage = usage_at(fixture, NOV_US);
    assert_int_equal(usage.users, 0);
    assert_int_equal(usage.anonymous_requests, 600);
}

#define THREADS          8
#define USERS_OF_EACH    2000u
#define USERS_OVERLAPPED 1000u

struct crowd {
    struct fixture *fixture;
    uint32_t number;
};

static void *admit_crowd(void *argument)
{
    const struct crowd *crowd = argument;
    admit_many(crowd->fixture, crowd->number * (USERS_OF_EACH - USERS_OVERLAPPED), USERS_OF_EACH,
               NOV_US);
    (void)usage_at(crowd->fixture, NOV_US);
    return NULL;
}

static void eight_threads_count_as_one(void **state)
{
    struct fixture *fixture = *state;
    pthread_t threads[THREADS];
    struct crowd crowds[THREADS];
    for (uint32_t i = 0; i < THREADS; i++) {
        crowds[i] = (struct crowd){fixture, i};
        assert_int_equal(pthread_create(&threads[i], NULL, admit_crowd, &crowds[i]), 0);
    }
    for (uint32_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    const uint64_t expected = (THREADS - 1) * (USERS_OF_EACH - USERS_OVERLAPPED) + USERS_OF_EACH;
    assert_int_equal(usage_at(fixture, NOV_US).users, expected);
    reopen(fixture);
    assert_int_equal(usage_at(fixture, NOV_US).users, expected);
}

static void full_disk_is_reported_and_made_good(void **state)
{
    struct fixture *fixture = *state;
    struct rlimit limit, old;
    admit_many(fixture, 0, 4, NOV_US);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    limit = old;
    (void)signal(SIGXFSZ, SIG_IGN);
    limit.rlim_cur = 32 + 4 * 16 + 8; /* half of the next record fits */
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    admit_many(fixture, 4, 3, NOV_US);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    struct policy_usage usage = usage_at(fixture, NOV_US);
    assert_int_equal(usage.users, 7);
    assert_int_equal(usage.unsaved, 3);
    admit_many(fixture, 7, 1, NOV_US);
    assert_int_equal(usage_at(fixture, NOV_US).unsaved, 0);
    reopen(fixture);
    assert_int_equal(usage_at(fixture, NOV_US).users, 8);
}

static void raw_ids_reach_no_file(void **state)
{
    struct fixture *fixture = *state;
    char file[SCRATCH_PATH_BYTES], bytes[4096];
    (void)admit(fixture, "alice@example.org", NOV_US);
    scratch_find(fixture->folder, "users-", file);
    int fd = open(file, O_RDONLY);
    ssize_t count = read(fd, bytes, sizeof bytes);
    close(fd);
    assert_true(count > 0);
    assert_null(memmem(bytes, (size_t)count, "alice", 5));
    assert_null(memmem(bytes, (size_t)count, "acme", 4));
}

static void key_is_made_private_and_refused_when_it_is_not(void **state)
{
    struct fixture *fixture = *state;
    char file[SCRATCH_PATH_BYTES];
    struct stat status;
    struct error err = {0};
    const struct policy_config config = {.state_folder = fixture->folder};
    scratch_find(fixture->folder, "users.key", file);
    assert_int_equal(stat(file, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    assert_int_equal(status.st_size, 32);
    policy_free(fixture->policy);
    fixture->policy = NULL;
    assert_int_equal(chmod(file, 0640), 0);
    assert_null(policy_new(&config, &err));
    assert_int_equal(err.code, ERROR_REFUSED);
    assert_non_null(strstr(err.text, "chmod 600"));
    assert_int_equal(chmod(file, 0600), 0);
    assert_int_equal(truncate(file, 31), 0);
    assert_null(policy_new(&config, &err));
    assert_non_null(strstr(err.text, "32 to 4096 bytes"));
    const struct policy_config named = {.state_folder = fixture->folder,
                                        .key_file = "/nonexistent/key"};
    assert_null(policy_new(&named, &err));
    assert_int_equal(err.code, ERROR_NOT_FOUND);
}

static void folder_has_one_daemon(void **state)
{
    struct fixture *fixture = *state;
    struct error err = {0};
    const struct policy_config config = {.state_folder = fixture->folder};
    assert_null(policy_new(&config, &err));
    assert_int_equal(err.code, ERROR_BUSY);
    assert_non_null(strstr(err.text, "--state"));
}

static void user_that_a_gateway_signs_for_is_verified(void **state)
{
    struct fixture *fixture = *state;
    static const char secret[] = "0123456789abcdef0123456789abcdef";
    char path[SCRATCH_PATH_BYTES + 16];
    struct error err = {0};
    struct text value = {0};
    struct policy_decision decision;
    policy_free(fixture->policy);
    (void)snprintf(path, sizeof path, "%s/gateway", fixture->folder);
    struct policy_config config = {.state_folder = fixture->folder,
                                   .identity = {.gateway_secret_file = path}};
    fixture->policy = policy_new(&config, &err);
    assert_null(fixture->policy);
    assert_int_equal(err.code, ERROR_NOT_FOUND);
    scratch_write(fixture->folder, "gateway", secret, sizeof secret - 1);
    assert_int_equal(chmod(path, 0600), 0);
    fixture->policy = policy_new(&config, &err);
    assert_non_null(fixture->policy);
    const struct policy_model_facts facts = {.id = "q", .path = "/nonexistent/q.gguf"};
    assert_int_equal(policy_model_add(fixture->policy, &facts, 0, &fixture->model, &err), 0);
    token_gateway((const uint8_t *)secret, sizeof secret - 1, NOV_US / SECOND_US, "YWxpY2U",
                  &value);
    const struct policy_claims claims = {.gateway = text_string(&value), .user = "bob"};
    policy_admit(fixture->policy, fixture->model, &claims, NOV_US, &decision);
    assert_int_equal(decision.identity, IDENTITY_VERIFIED);
    policy_admit(fixture->policy, fixture->model, &claims, NOV_US + 301 * SECOND_US, &decision);
    assert_int_equal(decision.identity, IDENTITY_ASSERTED);
    assert_int_equal(usage_at(fixture, NOV_US).users, 2);
    text_destroy(&value);
}

static void cost_of_a_counted_user_is_printed(void **state)
{
    struct fixture *fixture = *state;
    enum { ROUNDS = 200000 };
    char user[32];
    admit_many(fixture, 0, 1000, NOV_US);
    uint64_t started_us = clock_monotonic_us();
    for (uint32_t i = 0; i < ROUNDS; i++) {
        (void)snprintf(user, sizeof user, "user-%u", i % 1000);
        (void)admit(fixture, user, NOV_US);
    }
    uint64_t took_us = clock_monotonic_us() - started_us;
    print_message("admission: %.0f ns, the making of the id included\n",
                  (double)took_us * 1000 / ROUNDS);
    assert_int_equal(usage_at(fixture, NOV_US).users, 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(count_is_exact_and_survives_a_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(nobody_is_lost_when_the_process_is_killed, setup, teardown),
        cmocka_unit_test_setup_teardown(torn_tail_costs_only_the_torn_record, setup, teardown),
        cmocka_unit_test_setup_teardown(damage_before_good_records_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(another_key_or_another_file_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(month_ends_at_midnight_utc, setup, teardown),
        cmocka_unit_test(months_follow_the_calendar),
        cmocka_unit_test_setup_teardown(anonymous_requests_are_kept_apart_and_kept, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(eight_threads_count_as_one, setup, teardown),
        cmocka_unit_test_setup_teardown(full_disk_is_reported_and_made_good, setup, teardown),
        cmocka_unit_test_setup_teardown(raw_ids_reach_no_file, setup, teardown),
        cmocka_unit_test_setup_teardown(key_is_made_private_and_refused_when_it_is_not, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(folder_has_one_daemon, setup, teardown),
        cmocka_unit_test_setup_teardown(user_that_a_gateway_signs_for_is_verified, setup, teardown),
        cmocka_unit_test_setup_teardown(cost_of_a_counted_user_is_printed, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
