/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "policy/policy_inner.h"
#include "policy/policy_tokens.h"
#include "policy/users/calendar.h"
#include "tests/unit/policy/few_licenses.h"
#include "tests/unit/policy/scratch.h"

#define NOV_15   20772u /* 2026-11-15 */
#define NOVEMBER (2026u * 12 + 10)
#define SECOND   INT64_C(1000000)

struct fixture {
    char folder[SCRATCH_PATH_BYTES];
    struct catalogue *catalogue;
    struct policy *policy;
    struct policy_model *models[3]; /* the last one is added by a test */
};

static void open_policy(struct fixture *fixture)
{
    struct error err = {0};
    const struct policy_config config = {.state_folder = fixture->folder,
                                         .rules = {.catalogue = fixture->catalogue},
                                         .keep_days = 40,
                                         .models_max = 3};
    fixture->policy = policy_new(&config, &err);
    assert_string_equal(err.text, "");
    for (uint32_t i = 0; i < 2; i++) {
        const struct policy_model_facts facts = {.id = i == 0 ? "alpha" : "beta",
                                                 .path = fixture->folder,
                                                 .chosen_license = "free-1",
                                                 .product = ""};
        (void)policy_model_add(fixture->policy, &facts, 0, &fixture->models[i], &err);
        assert_string_equal(err.text, "");
    }
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

static int64_t noon(uint32_t day)
{
    return (int64_t)day * CALENDAR_DAY_US + CALENDAR_DAY_US / 2;
}

static void add(struct fixture *fixture, uint32_t model, const char *tenant, uint32_t worker,
                uint64_t generated)
{
    const struct policy_tokens_use use = {
        .tenant = tenant,
        .worker = worker,
        .counts = {.requests = 1, .prompt = 10, .cached = 4, .generated = generated}};
    policy_tokens_add(fixture->policy, fixture->models[model], &use);
}

/* A whole round: every worker's table, and all that is old. */
static void turns(struct fixture *fixture, int64_t now_us)
{
    while (policy_tokens_turn(fixture->policy, now_us) < TOKENS_FOLD_S * 1000)
        continue;
}

struct sum {
    const char *tenant, *model; /* NULL: any */
    uint32_t rows;
    struct token_counts counts;
};

static bool sum_up(void *argument, const struct token_row *row)
{
    struct sum *sum = argument;
    if ((sum->tenant != NULL && strcmp(sum->tenant, row->tenant) != 0) ||
        (sum->model != NULL && strcmp(sum->model, row->model) != 0))
        return true;
    sum->rows++;
    sum->counts.requests += row->counts.requests;
    sum->counts.prompt += row->counts.prompt;
    sum->counts.cached += row->counts.cached;
    sum->counts.generated += row->counts.generated;
    return true;
}

static struct sum sum_of(struct fixture *fixture, uint32_t month, const char *tenant,
                         const char *model)
{
    struct error err = {0};
    struct sum sum = {.tenant = tenant, .model = model};
    (void)policy_tokens_read(fixture->policy, month, sum_up, &sum, &err);
    assert_string_equal(err.text, "");
    return sum;
}

static int add_late(struct fixture *fixture, const char *id, struct policy_model **ret)
{
    const struct policy_model_facts facts = {
        .id = id, .path = fixture->folder, .chosen_license = "free-1", .product = ""};
    return policy_model_add(fixture->policy, &facts, 0, ret, NULL);
}

static void a_model_that_comes_late_finds_room_in_every_table(void **state)
{
    struct fixture *fixture = *state;
    struct policy_model *none = NULL;
    add(fixture, 0, "acme", 0, 5); /* the worker's table is there from now on */
    assert_int_equal(add_late(fixture, "gamma", &fixture->models[2]), 0);
    add(fixture, 2, "acme", 0, 7);
    add(fixture, 2, "acme", 1, 8);
    turns(fixture, noon(NOV_15));
    assert_int_equal(sum_of(fixture, NOVEMBER, "acme", "gamma").counts.generated, 15);
    assert_int_equal(sum_of(fixture, NOVEMBER, "acme", "alpha").counts.generated, 5);
    assert_int_equal(add_late(fixture, "delta", &none), ERROR_BUSY);
    assert_null(none);
}

static void workers_and_days_add_up_by_tenant_and_model(void **state)
{
    struct fixture *fixture = *state;
    add(fixture, 0, "acme", 0, 5);
    add(fixture, 0, "acme", 7, 6);
    add(fixture, 1, "acme", 0, 100);
    add(fixture, 0, "", 0, 1000);
    turns(fixture, noon(NOV_15));
    add(fixture, 0, "acme", 0, 7);
    turns(fixture, noon(NOV_15 + 1));
    struct sum sum = sum_of(fixture, NOVEMBER, "acme", "alpha");
    assert_int_equal(sum.rows, 1);
    assert_int_equal(sum.counts.requests, 3);
    assert_int_equal(sum.counts.prompt, 30);
    assert_int_equal(sum.counts.cached, 12);
    assert_int_equal(sum.counts.generated, 18);
    assert_int_equal(sum_of(fixture, NOVEMBER, "acme", "beta").counts.generated, 100);
    assert_int_equal(sum_of(fixture, NOVEMBER, "", NULL).counts.generated, 1000);
    assert_int_equal(sum_of(fixture, NOVEMBER, NULL, NULL).rows, 3);
    assert_int_equal(sum_of(fixture, NOVEMBER + 1, NULL, NULL).rows, 0);
}

struct live_sum {
    const char *tenant, *model;
    uint32_t rows;
    struct token_counts counts;
};

static void on_live_row(void *argument, const struct token_row *row)
{
    struct live_sum *sum = argument;
    if (strcmp(sum->tenant, row->tenant) != 0 || strcmp(sum->model, row->model) != 0)
        return;
    sum->rows++;
    sum->counts.requests += row->counts.requests;
    sum->counts.generated += row->counts.generated;
}

/* What metrics show: it does not wait for the disk, and what is taken over stays in it. */
static void counts_since_the_start_need_no_fold(void **state)
{
    struct fixture *fixture = *state;
    add(fixture, 0, "acme", 0, 5);
    add(fixture, 0, "acme", 7, 6);
    add(fixture, 1, "acme", 0, 100);
    for (uint32_t i = 0; i < 2; i++) {
        struct live_sum sum = {.tenant = "acme", .model = "alpha"};
        policy_tokens_each(fixture->policy, on_live_row, &sum);
        assert_int_equal(sum.rows, 2); /* a worker each */
        assert_int_equal(sum.counts.requests, 2);
        assert_int_equal(sum.counts.generated, 11);
        turns(fixture, noon(NOV_15));
    }
    struct live_sum none = {.tenant = "nobody", .model = "alpha"};
    policy_tokens_each(fixture->policy, on_live_row, &none);
    assert_int_equal(none.rows, 0);
}

static void nothing_is_taken_twice_and_a_stop_takes_the_rest(void **state)
{
    struct fixture *fixture = *state;
    add(fixture, 0, "acme", 0, 5);
    for (uint32_t i = 0; i < 3; i++)
        turns(fixture, noon(NOV_15) + i * 5 * SECOND);
    assert_int_equal(sum_of(fixture, NOVEMBER, NULL, NULL).counts.generated, 5);
    add(fixture, 0, "acme", 0, 6);
    policy_tokens_stop(fixture->policy, noon(NOV_15));
    policy_free(fixture->policy);
    open_policy(fixture);
    add(fixture, 0, "acme", 0, 7);
    turns(fixture, noon(NOV_15));
    assert_int_equal(sum_of(fixture, NOVEMBER, NULL, NULL).counts.generated, 18);
}

static void tenants_past_the_limit_are_counted_together(void **state)
{
    struct fixture *fixture = *state;
    char name[TOKENS_TENANT_BYTES_MAX + 2];
    for (uint32_t i = 0; i < TOKENS_TENANTS_MAX + 50; i++) {
        (void)snprintf(name, sizeof name, "tenant-%u", i);
        add(fixture, 0, name, 0, 1);
        add(fixture, 0, "tenant-0", 0, 1); /* who was seen before stays apart */
    }
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    add(fixture, 0, name, 0, 1);
    turns(fixture, noon(NOV_15));
    assert_int_equal(sum_of(fixture, NOVEMBER, NULL, NULL).rows, TOKENS_TENANTS_MAX + 1);
    assert_int_equal(sum_of(fixture, NOVEMBER, TOKENS_REST, NULL).counts.generated, 51);
    assert_int_equal(sum_of(fixture, NOVEMBER, "tenant-0", NULL).counts.generated,
                     TOKENS_TENANTS_MAX + 51);
}

static void old_days_become_months_and_old_months_go(void **state)
{
    struct fixture *fixture = *state;
    for (uint32_t day = 0; day < 3; day++) {
        add(fixture, 0, "acme", 0, 1);
        turns(fixture, noon(NOV_15 + day));
    }
    turns(fixture, noon(NOV_15 + 41)); /* two of three are older than 40 days */
    assert_int_equal(sum_of(fixture, NOVEMBER, NULL, NULL).counts.generated, 3);
    char path[2 * SCRATCH_PATH_BYTES];
    sqlite3 *database = NULL;
    sqlite3_stmt *statement = NULL;
    (void)snprintf(path, sizeof path, "%s/" TOKENS_FILE, fixture->folder);
    assert_int_equal(sqlite3_open(path, &database), SQLITE_OK);
    assert_int_equal(
        sqlite3_prepare_v2(database, "SELECT count(*) FROM token_day", -1, &statement, NULL),
        SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    assert_int_equal(sqlite3_column_int(statement, 0), 1);
    (void)sqlite3_finalize(statement);
    (void)sqlite3_close(database);
    turns(fixture, noon(NOV_15 + 366 * 3));
    assert_int_equal(sum_of(fixture, NOVEMBER, NULL, NULL).rows, 1);
    turns(fixture, noon(NOV_15 + 366 * 3 + 31));
    assert_int_equal(sum_of(fixture, NOVEMBER, NULL, NULL).rows, 0);
}

static void a_disk_that_fails_loses_nothing_and_is_noted_once(void **state)
{
    struct fixture *fixture = *state;
    char path[2 * SCRATCH_PATH_BYTES];
    sqlite3 *other = NULL;
    struct text notes;
    (void)snprintf(path, sizeof path, "%s/" TOKENS_FILE, fixture->folder);
    assert_int_equal(sqlite3_open(path, &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "ALTER TABLE token_day RENAME TO away", NULL, NULL, NULL),
                     SQLITE_OK);
    for (uint32_t i = 0; i < 3; i++) {
        add(fixture, 0, "acme", 0, 1);
        turns(fixture, noon(NOV_15) + i * 5 * SECOND);
    }
    text_init(&notes);
    policy_take_notes(fixture->policy, &notes);
    const char *said = strstr(text_string(&notes), "tokens: ");
    assert_non_null(said);
    assert_null(strstr(said + 1, "tokens: "));
    text_destroy(&notes);
    assert_int_equal(sqlite3_exec(other, "ALTER TABLE away RENAME TO token_day", NULL, NULL, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_close(other), SQLITE_OK);
    turns(fixture, noon(NOV_15) + 20 * SECOND);
    assert_int_equal(sum_of(fixture, NOVEMBER, "acme", "alpha").counts.generated, 3);
}

static void a_file_of_others_is_refused_and_reading_makes_none(void **state)
{
    (void)state;
    char folder[SCRATCH_PATH_BYTES], path[2 * SCRATCH_PATH_BYTES];
    struct stat status;
    struct error err = {0};
    scratch_make(folder);
    assert_null(tokens_store_open(folder, false, &err));
    assert_int_equal(err.code, ERROR_NOT_FOUND);
    struct tokens_store *store = tokens_store_open(folder, true, &err);
    assert_non_null(store);
    tokens_store_close(store);
    (void)snprintf(path, sizeof path, "%s/" TOKENS_FILE, folder);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    scratch_write(folder, TOKENS_FILE, "no database at all, but long enough to look like one", 52);
    err = (struct error){0};
    assert_null(tokens_store_open(folder, true, &err));
    assert_int_equal(err.code, ERROR_INVALID);
    assert_non_null(strstr(err.text, "move it away"));
    scratch_remove(folder);
}

/* -- Workers beside the policy thread -- */

#define ADDS 20000u

struct worker {
    struct fixture *fixture;
    uint32_t number;
    _Atomic uint32_t *running;
};

static void *work(void *argument)
{
    static const char *const tenants[] = {"a", "b", "c", ""};
    struct worker *worker = argument;
    for (uint32_t i = 0; i < ADDS; i++)
        add(worker->fixture, i & 1, tenants[i & 3], worker->number, 1);
    (void)atomic_fetch_sub(worker->running, 1);
    return NULL;
}

static void workers_do_not_wait_and_lose_nothing(void **state)
{
    struct fixture *fixture = *state;
    pthread_t threads[3];
    struct worker workers[3];
    _Atomic uint32_t running = 3;
    for (uint32_t i = 0; i < 3; i++) {
        workers[i] = (struct worker){fixture, i, &running};
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    while (atomic_load(&running) > 0)
        turns(fixture, noon(NOV_15));
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    turns(fixture, noon(NOV_15));
    struct sum sum = sum_of(fixture, NOVEMBER, NULL, NULL);
    assert_int_equal(sum.counts.requests, 3 * ADDS);
    assert_int_equal(sum.counts.generated, 3 * ADDS);
    assert_int_equal(sum.rows, 4); /* a and c ask one model, b and no tenant the other */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(counts_since_the_start_need_no_fold, setup, teardown),
        cmocka_unit_test_setup_teardown(a_model_that_comes_late_finds_room_in_every_table, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(workers_and_days_add_up_by_tenant_and_model, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(nothing_is_taken_twice_and_a_stop_takes_the_rest, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(tenants_past_the_limit_are_counted_together, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(old_days_become_months_and_old_months_go, setup, teardown),
        cmocka_unit_test_setup_teardown(a_disk_that_fails_loses_nothing_and_is_noted_once, setup,
                                        teardown),
        cmocka_unit_test(a_file_of_others_is_refused_and_reading_makes_none),
        cmocka_unit_test_setup_teardown(workers_do_not_wait_and_lose_nothing, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
