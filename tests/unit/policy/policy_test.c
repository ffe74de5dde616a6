/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "policy/policy.h"
#include "policy/policy_users.h"
#include "tests/unit/policy/few_licenses.h"
#include "tests/unit/policy/scratch.h"
#include "tests/unit/policy/token_maker.h"

#define SECOND_US   INT64_C(1000000)
#define NOV_LAST_US (INT64_C(1796083200) * SECOND_US - 1) /* 2026-11-30T23:59:59.999999Z */
#define NOV_US      (NOV_LAST_US - 86400 * SECOND_US)

struct fixture {
    char folder[SCRATCH_PATH_BYTES];
    struct catalogue *catalogue;
    struct policy *policy;
    struct policy_model *model;
};

static struct policy_config config_of(const struct fixture *fixture)
{
    return (struct policy_config){.state_folder = fixture->folder,
                                  .rules = {.catalogue = fixture->catalogue}};
}

static void open_policy(struct fixture *fixture)
{
    struct error err = {0};
    const struct policy_config config = config_of(fixture);
    fixture->policy = policy_new(&config, &err);
    assert_string_equal(err.text, "");
    assert_non_null(fixture->policy);
    const struct policy_model_facts facts = {.id = "q", .path = fixture->folder};
    assert_int_equal(policy_model_add(fixture->policy, &facts, 0, &fixture->model, &err), 0);
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    scratch_make(fixture->folder);
    fixture->catalogue = few_licenses();
    open_policy(fixture);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    policy_free(fixture->policy);
    catalogue_free(fixture->catalogue);
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

static struct usage_figures month_at(struct fixture *fixture, int64_t now_us)
{
    struct policy_usage usage;
    policy_usage(fixture->policy, fixture->model, now_us, &usage);
    assert_true(usage.known);
    return usage.windows[USAGE_WINDOW_MONTH];
}

static uint64_t users_at(struct fixture *fixture, int64_t now_us)
{
    struct usage_figures month = month_at(fixture, now_us);
    assert_true(month.best.exact);
    return (uint64_t)month.best.users;
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
    assert_int_equal(users_at(fixture, NOV_US), 5000);
    reopen(fixture);
    struct policy_usage usage;
    policy_usage(fixture->policy, fixture->model, NOV_US, &usage);
    assert_int_equal(usage.year, 2026);
    assert_int_equal(usage.month, 11);
    assert_int_equal(usage.unsaved, 0);
    assert_int_equal(usage.left_out, 0);
    assert_true(usage.windows[USAGE_WINDOW_MONTH].users_by_class[IDENTITY_ASSERTED] == 5000);
    assert_int_equal(usage.windows[USAGE_WINDOW_MONTH].requests[IDENTITY_ASSERTED], 10000);
    assert_true(usage.windows[USAGE_WINDOW_ROLLING_30].best.users == 5000);
    admit_many(fixture, 4000, 2000, NOV_US);
    assert_int_equal(users_at(fixture, NOV_US), 6000);
}

static void another_key_is_refused(void **state)
{
    struct fixture *fixture = *state;
    char file[SCRATCH_PATH_BYTES];
    struct error err = {0};
    const struct policy_config config = config_of(fixture);
    admit_many(fixture, 0, 10, NOV_US);
    policy_free(fixture->policy);
    scratch_find(fixture->folder, "users.key", file);
    int fd = open(file, O_WRONLY);
    assert_int_equal(pwrite(fd, "another key", 11, 0), 11);
    close(fd);
    fixture->policy = policy_new(&config, &err);
    assert_null(fixture->policy);
    assert_int_equal(err.code, ERROR_INVALID);
    assert_non_null(strstr(err.text, "key"));
    assert_non_null(strstr(err.text, fixture->folder)); /* which file */
}

static void month_ends_at_midnight_utc(void **state)
{
    struct fixture *fixture = *state;
    admit_many(fixture, 0, 3, NOV_LAST_US);
    admit_many(fixture, 2, 5, NOV_LAST_US + 1);
    admit_many(fixture, 3, 1, NOV_LAST_US); /* late news of November */
    for (int i = 0; i < 2; i++) {
        assert_int_equal(users_at(fixture, NOV_LAST_US), 4);
        assert_int_equal(users_at(fixture, NOV_LAST_US + 1), 5);
        reopen(fixture);
    }
}

static void anonymous_requests_are_somebody_in_the_upper_view_alone(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < 600; i++)
        assert_int_equal(admit(fixture, "anonymous", NOV_US), IDENTITY_NONE);
    reopen(fixture);
    struct usage_figures month = month_at(fixture, NOV_US);
    assert_true(month.best.users == 0);
    assert_true(month.upper.users == 600);
    assert_int_equal(month.requests[IDENTITY_NONE], 600);
    assert_true(month.coverage == 0);
}

static void retried_request_is_the_same_request(void **state)
{
    struct fixture *fixture = *state;
    struct policy_decision decision;
    const char *const ids[] = {"r1", "r2", "r1", "r1"};
    for (size_t i = 0; i < 4; i++) {
        const struct policy_claims claims = {.api_key = "sk-1", .request_id = ids[i]};
        policy_admit(fixture->policy, fixture->model, &claims, NOV_US, &decision);
        assert_int_equal(decision.identity, IDENTITY_WEAK);
    }
    assert_true(month_at(fixture, NOV_US).best.users == 1);
    assert_true(month_at(fixture, NOV_US).upper.users == 2);
}

struct bell {
    pthread_mutex_t lock;
    pthread_cond_t rung;
    uint32_t rings;
};

static void on_durable(void *argument)
{
    struct bell *bell = argument;
    (void)pthread_mutex_lock(&bell->lock);
    bell->rings++;
    (void)pthread_cond_signal(&bell->rung);
    (void)pthread_mutex_unlock(&bell->lock);
}

/* The thread's first tick commits as well, often before it was asked to: that rings too. */
static void bell_rings_whoever_put_the_user_on_disk(void **state)
{
    struct fixture *fixture = *state;
    struct policy_decision decision;
    for (uint32_t i = 0; i < 100; i++) {
        struct bell bell = {.lock = PTHREAD_MUTEX_INITIALIZER, .rung = PTHREAD_COND_INITIALIZER};
        char user[16];
        (void)snprintf(user, sizeof user, "user-%u", i);
        const struct policy_claims claims = {.user = user};
        assert_int_equal(policy_start(fixture->policy, on_durable, &bell, NULL), 0);
        policy_admit(fixture->policy, fixture->model, &claims, NOV_US, &decision);
        (void)pthread_mutex_lock(&bell.lock);
        while (!policy_durable(fixture->policy, decision.sequence))
            (void)pthread_cond_wait(&bell.rung, &bell.lock);
        (void)pthread_mutex_unlock(&bell.lock);
        policy_stop(fixture->policy);
    }
}

static void new_user_is_on_disk_before_the_bell_rings(void **state)
{
    struct fixture *fixture = *state;
    struct bell bell = {.lock = PTHREAD_MUTEX_INITIALIZER, .rung = PTHREAD_COND_INITIALIZER};
    struct policy_decision decision;
    const struct policy_claims claims = {.user = "alice"};
    assert_int_equal(policy_start(fixture->policy, on_durable, &bell, NULL), 0);
    policy_admit(fixture->policy, fixture->model, &claims, NOV_US, &decision);
    assert_true(decision.sequence > 0);
    (void)pthread_mutex_lock(&bell.lock);
    while (bell.rings == 0)
        (void)pthread_cond_wait(&bell.rung, &bell.lock);
    (void)pthread_mutex_unlock(&bell.lock);
    assert_true(policy_durable(fixture->policy, decision.sequence));
    policy_admit(fixture->policy, fixture->model, &claims, NOV_US, &decision);
    assert_int_equal(decision.sequence, 0);
    assert_true(policy_durable(fixture->policy, decision.sequence));
    policy_stop(fixture->policy);
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
    (void)users_at(crowd->fixture, NOV_US);
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
    assert_int_equal(users_at(fixture, NOV_US), expected);
    reopen(fixture);
    assert_int_equal(users_at(fixture, NOV_US), expected);
}

static void raw_ids_reach_no_file(void **state)
{
    struct fixture *fixture = *state;
    char command[SCRATCH_PATH_BYTES + 64];
    (void)admit(fixture, "alice@example.org", NOV_US);
    policy_free(fixture->policy);
    fixture->policy = NULL;
    (void)snprintf(command, sizeof command, "grep -raqE 'alice|acme' %s", fixture->folder);
    assert_int_equal(WEXITSTATUS(system(command)), 1);
}

static void key_is_made_private_and_refused_when_it_is_not(void **state)
{
    struct fixture *fixture = *state;
    char file[SCRATCH_PATH_BYTES];
    struct stat status;
    struct error err = {0};
    const struct policy_config config = config_of(fixture);
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
    struct policy_config named = config_of(fixture);
    named.key_file = "/nonexistent/key";
    assert_null(policy_new(&named, &err));
    assert_int_equal(err.code, ERROR_NOT_FOUND);
}

static void folder_has_one_daemon(void **state)
{
    struct fixture *fixture = *state;
    struct error err = {0};
    const struct policy_config config = config_of(fixture);
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
                                   .rules = {.catalogue = fixture->catalogue},
                                   .identity = {.gateway_secret_file = path}};
    fixture->policy = policy_new(&config, &err);
    assert_null(fixture->policy);
    assert_int_equal(err.code, ERROR_NOT_FOUND);
    scratch_write(fixture->folder, "gateway", secret, sizeof secret - 1);
    assert_int_equal(chmod(path, 0600), 0);
    fixture->policy = policy_new(&config, &err);
    assert_non_null(fixture->policy);
    const struct policy_model_facts facts = {.id = "q", .path = fixture->folder};
    assert_int_equal(policy_model_add(fixture->policy, &facts, 0, &fixture->model, &err), 0);
    token_gateway((const uint8_t *)secret, sizeof secret - 1, NOV_US / SECOND_US, "YWxpY2U",
                  &value);
    const struct policy_claims claims = {.gateway = text_string(&value), .user = "bob"};
    policy_admit(fixture->policy, fixture->model, &claims, NOV_US, &decision);
    assert_int_equal(decision.identity, IDENTITY_VERIFIED);
    policy_admit(fixture->policy, fixture->model, &claims, NOV_US + 301 * SECOND_US, &decision);
    assert_int_equal(decision.identity, IDENTITY_ASSERTED);
    assert_int_equal(users_at(fixture, NOV_US), 2);
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
    assert_int_equal(users_at(fixture, NOV_US), 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(count_is_exact_and_survives_a_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(another_key_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(month_ends_at_midnight_utc, setup, teardown),
        cmocka_unit_test_setup_teardown(anonymous_requests_are_somebody_in_the_upper_view_alone,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(retried_request_is_the_same_request, setup, teardown),
        cmocka_unit_test_setup_teardown(bell_rings_whoever_put_the_user_on_disk, setup, teardown),
        cmocka_unit_test_setup_teardown(new_user_is_on_disk_before_the_bell_rings, setup, teardown),
        cmocka_unit_test_setup_teardown(eight_threads_count_as_one, setup, teardown),
        cmocka_unit_test_setup_teardown(raw_ids_reach_no_file, setup, teardown),
        cmocka_unit_test_setup_teardown(key_is_made_private_and_refused_when_it_is_not, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(folder_has_one_daemon, setup, teardown),
        cmocka_unit_test_setup_teardown(user_that_a_gateway_signs_for_is_verified, setup, teardown),
        cmocka_unit_test_setup_teardown(cost_of_a_counted_user_is_printed, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
