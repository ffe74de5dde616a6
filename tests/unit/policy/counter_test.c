/* SPDX-License-Identifier: Apache-2.0 */
/* A counter is the sketch of the same users, whoever adds them, and whatever kills it. */
#include "tests/unit/policy/counter_fixture.h"

#include <linux/seccomp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "policy/users/sketch_registers.h"

/* -- What it counts -- */

static void it_is_the_sketch_of_the_same_users(void **state)
{
    static const uint64_t stops[] = {
        0,   1, 7, 448, 449, 5000, SKETCH_EXACT_MAX - 1, SKETCH_EXACT_MAX, SKETCH_EXACT_MAX + 1,
        MANY};
    struct fixture *fixture = *state;
    uint64_t count = 0;
    fixture->counter = open_file(fixture);
    for (size_t i = 0; i < sizeof stops / sizeof stops[0]; i++) {
        add_users(fixture->counter, count, stops[i] - count);
        add_users(fixture->counter, 0, stops[i] / 2); /* again is nothing new */
        count = stops[i];
        assert_holds_users(fixture->counter, count);
        assert_has_users(fixture->counter, count);
    }
}

static void it_outlives_a_kill_and_a_close_at_every_stage(void **state)
{
    static const uint64_t stops[] = {1, 448, 449, SKETCH_EXACT_MAX, SKETCH_EXACT_MAX + 1, MANY};
    struct fixture *fixture = *state;
    uint64_t count = 0;
    fixture->counter = open_file(fixture);
    for (size_t i = 0; i < sizeof stops / sizeof stops[0]; i++) {
        add_users(fixture->counter, count, stops[i] - count);
        count = stops[i];
        struct counter *after_kill = open_file(fixture);
        assert_holds_users(after_kill, count);
        counter_close(after_kill);
        reopen(fixture);
        assert_holds_users(fixture->counter, count);
    }
}

static void the_hash_zero_is_a_user_like_any_other(void **state)
{
    struct fixture *fixture = *state;
    struct journal_record record;
    fixture->counter = open_file(fixture);
    assert_false(counter_has(fixture->counter, 0));
    assert_int_equal(counter_add(fixture->counter, 0, &record, NULL), 1);
    assert_int_equal(counter_add(fixture->counter, 0, &record, NULL), 0);
    reopen(fixture);
    assert_true(counter_has(fixture->counter, 0));
    struct sketch *expected = sketch_of_users(SKETCH_P, 0, SKETCH_EXACT_MAX - 1);
    assert_int_equal(sketch_add(expected, 0, NULL, NULL), 0);
    add_users(fixture->counter, 0, SKETCH_EXACT_MAX - 1);
    assert_true(sketch_is_exact(expected));
    assert_holds_sketch(fixture->counter, expected);
    expected = sketch_of_users(SKETCH_P, 0, SKETCH_EXACT_MAX);
    assert_int_equal(sketch_add(expected, 0, NULL, NULL), 0);
    add_users(fixture->counter, 0, SKETCH_EXACT_MAX);
    assert_holds_sketch(fixture->counter, expected);
}

static void its_records_replayed_are_the_counter(void **state)
{
    struct fixture *fixture = *state;
    struct journal_record *records = calloc(MANY, sizeof *records);
    uint32_t count = 0;
    assert_non_null(records);
    fixture->counter = open_file(fixture);
    for (uint64_t i = 0; i < MANY; i++) {
        int result = counter_add(fixture->counter, user(i), &records[count], NULL);
        assert_true(result >= 0);
        count += (uint32_t)result;
        assert_int_equal(counter_changes(fixture->counter), count);
        assert_true(i > SKETCH_EXACT_MAX || (result == 1 && records[i].kind == JOURNAL_HASH));
    }
    assert_int_equal(records[count - 1].kind, JOURNAL_REGISTER);
    assert_true(count < MANY);
    close_file(fixture);
    assert_int_equal(unlink(fixture->path), 0);
    fixture->counter = open_file(fixture);
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(counter_apply(fixture->counter, &records[i], NULL), 1);
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(counter_apply(fixture->counter, &records[i], NULL), 0);
    assert_holds_users(fixture->counter, MANY);
    free(records);
}

static void records_that_nobody_writes_are_refused(void **state)
{
    static const struct journal_record records[] = {
        {.counter = 78, .value = 5, .kind = JOURNAL_HASH},
        {.counter = 77, .value = 5, .kind = (enum journal_kind)3},
        {.counter = 77, .value = 0, .kind = JOURNAL_REGISTER},
        {.counter = 77, .value = 1, .kind = JOURNAL_REGISTER},
        {.counter = 77, /* rank 1 after rank 0 */ .value = 71, .kind = JOURNAL_REGISTER},
        {.counter = 77, .value = (uint64_t)1 << 26 | 68, .kind = JOURNAL_REGISTER},
    };
    struct fixture *fixture = *state;
    fixture->counter = open_file(fixture);
    for (size_t i = 0; i < sizeof records / sizeof records[0]; i++)
        assert_int_equal(counter_apply(fixture->counter, &records[i], NULL), ERROR_INVALID);
    assert_int_equal(counter_changes(fixture->counter), 0);
    assert_holds_users(fixture->counter, 0);
}

static void a_join_is_the_users_of_both(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        uint64_t mine, first, count;
        uint32_t p;
    } joins[] = {{100, 50, 100, 18},        {0, 0, 30000, 18},     {100, 0, 30000, 18},
                 {20000, 10000, 20000, 18}, {30000, 0, 30100, 18}, {40000, 20000, 50000, 18},
                 {100, 50, 300, 12},        {100, 0, 200000, 20}};
    for (size_t i = 0; i < sizeof joins / sizeof joins[0]; i++) {
        struct sketch *theirs = sketch_of_users(joins[i].p, joins[i].first, joins[i].count);
        fixture->counter = open_file(fixture);
        add_users(fixture->counter, 0, joins[i].mine);
        assert_int_equal(counter_join(fixture->counter, theirs, NULL), 1);
        assert_holds_users(fixture->counter, joins[i].first + joins[i].count);
        assert_int_equal(counter_join(fixture->counter, theirs, NULL), 0);
        sketch_free(theirs);
        close_file(fixture);
        assert_int_equal(unlink(fixture->path), 0);
    }
}

static void a_sketch_of_fewer_registers_is_not_joined(void **state)
{
    struct fixture *fixture = *state;
    struct sketch *theirs = sketch_of_users(12, 0, 1000);
    fixture->counter = open_file(fixture);
    assert_int_equal(counter_join(fixture->counter, theirs, &fixture->err), ERROR_UNSUPPORTED);
    assert_holds_users(fixture->counter, 0);
    sketch_free(theirs);
}

/* -- Room on the disk -- */

static void few_users_take_few_kilobytes(void **state)
{
    struct fixture *fixture = *state;
    fixture->counter = open_file(fixture);
    add_users(fixture->counter, 0, 500);
    assert_true(disk_bytes(fixture) <= 4 * 4096);
    add_users(fixture->counter, 0, MANY);
    assert_int_equal(counter_sync(fixture->counter, NULL), 0);
    assert_true(disk_bytes(fixture) <= (1 << 18) + 4 * 4096); /* the list is gone */
    assert_holds_users(fixture->counter, MANY);
    struct counter *after_kill = open_file(fixture);
    assert_holds_users(after_kill, MANY);
    counter_close(after_kill);
}

static void a_full_disk_is_an_error_and_not_a_signal(void **state)
{
    struct fixture *fixture = *state;
    struct journal_record record;
    disk.full = true;
    assert_refused(fixture, ERROR_IO, "No space left");
    disk.full = false;
    fixture->counter = open_file(fixture);
    add_users(fixture->counter, 0, 512); /* a page is full */
    disk.full = true;
    assert_int_equal(counter_add(fixture->counter, user(512), &record, &fixture->err), ERROR_IO);
    assert_false(counter_has(fixture->counter, user(512)));
    assert_int_equal(counter_add(fixture->counter, user(3), &record, NULL), 0);
    assert_holds_users(fixture->counter, 512);
    disk.full = false;
    add_users(fixture->counter, 512, SKETCH_EXACT_MAX - 512);
    disk.full = true; /* before the turn */
    assert_int_equal(counter_add(fixture->counter, user(SKETCH_EXACT_MAX), &record, NULL),
                     ERROR_IO);
    assert_holds_users(fixture->counter, SKETCH_EXACT_MAX);
    disk.full = false;
    add_users(fixture->counter, SKETCH_EXACT_MAX, 1);
    disk.full = true; /* after it nothing more is needed */
    add_users(fixture->counter, SKETCH_EXACT_MAX, 10000);
    assert_holds_users(fixture->counter, SKETCH_EXACT_MAX + 10000);
}

static void a_failed_sync_keeps_all_for_the_next(void **state)
{
    struct fixture *fixture = *state;
    fixture->counter = open_file(fixture);
    add_users(fixture->counter, 0, MANY);
    disk.sync_fails = true;
    assert_int_equal(counter_sync(fixture->counter, &fixture->err), ERROR_IO);
    struct counter_header header;
    read_at(fixture, 0, &header, sizeof header);
    assert_int_equal(header.count, SKETCH_EXACT_MAX); /* the list is not dropped */
    disk.sync_fails = false;
    assert_int_equal(counter_sync(fixture->counter, NULL), 0);
    assert_holds_users(fixture->counter, MANY);
}

/* -- The turn, cut short -- */

static void a_turn_killed_before_its_byte_has_not_been(void **state)
{
    struct fixture *fixture = *state;
    uint8_t *registers = calloc(1, 1 << SKETCH_P);
    assert_non_null(registers);
    fixture->counter = open_file(fixture);
    add_users(fixture->counter, 0, SKETCH_EXACT_MAX);
    for (uint64_t i = 0; i < SKETCH_EXACT_MAX / 2; i++)
        (void)registers_add(registers, SKETCH_P, user(i), NULL, NULL);
    write_at(fixture, COUNTER_REGISTERS_AT, registers, 1 << SKETCH_P);
    struct counter *after_kill = open_file(fixture);
    assert_holds_users(after_kill, SKETCH_EXACT_MAX);
    add_users(after_kill, SKETCH_EXACT_MAX, 1);
    assert_holds_users(after_kill, SKETCH_EXACT_MAX + 1);
    counter_close(after_kill);
    free(registers);
}

static void registers_that_know_more_than_the_list_have_turned(void **state)
{
    struct fixture *fixture = *state;
    uint8_t *registers = calloc(1, 1 << SKETCH_P);
    assert_non_null(registers);
    fixture->counter = open_file(fixture);
    add_users(fixture->counter, 0, 1000);
    for (uint64_t i = 500; i < MANY; i++)
        (void)registers_add(registers, SKETCH_P, user(i), NULL, NULL);
    write_at(fixture, COUNTER_REGISTERS_AT, registers, 1 << SKETCH_P);
    struct counter *after_cut = open_file(fixture);
    assert_holds_users(after_cut, MANY);
    counter_close(after_cut);
    free(registers);
}

/* -- Threads -- */

#define THREADS 3u

struct crowd {
    struct counter *counter;
    _Atomic uint64_t counted; /* users 0 to counted - 1 are in */
    _Atomic bool over;
};

static void *add_overlapping(void *argument)
{
    struct crowd *crowd = argument;
    for (uint64_t i = 0; i < MANY; i++) {
        add(crowd->counter, user(i));
        uint64_t counted = atomic_load(&crowd->counted);
        while (counted < i + 1 && !atomic_compare_exchange_weak(&crowd->counted, &counted, i + 1))
            ;
    }
    return NULL;
}

/* Whoever was counted is found, whatever grows or turns meanwhile. */
static void *look_for_counted(void *argument)
{
    struct crowd *crowd = argument;
    for (uint64_t i = 0; !atomic_load(&crowd->over); i++) {
        uint64_t counted = atomic_load(&crowd->counted);
        if (counted > 0)
            assert_true(counter_has(crowd->counter, user(user(i) % counted)));
    }
    return NULL;
}

static void *sync_and_sketch(void *argument)
{
    struct crowd *crowd = argument;
    double before = 0;
    while (!atomic_load(&crowd->over)) {
        struct sketch *sketch = NULL;
        struct sketch_count count;
        assert_int_equal(counter_sync(crowd->counter, NULL), 0);
        assert_int_equal(counter_sketch(crowd->counter, &sketch, NULL), 0);
        sketch_count(sketch, &count);
        assert_true(count.value >= before * (sketch_is_exact(sketch) ? 1 : 0.99));
        before = count.value;
        sketch_free(sketch);
    }
    return NULL;
}

static void threads_count_the_same_users_once(void **state)
{
    struct fixture *fixture = *state;
    pthread_t adders[THREADS], looker, syncer;
    struct crowd crowd = {.counter = open_file(fixture)};
    fixture->counter = crowd.counter;
    assert_int_equal(pthread_create(&looker, NULL, look_for_counted, &crowd), 0);
    assert_int_equal(pthread_create(&syncer, NULL, sync_and_sketch, &crowd), 0);
    for (uint32_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&adders[i], NULL, add_overlapping, &crowd), 0);
    for (uint32_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(adders[i], NULL), 0);
    atomic_store(&crowd.over, true);
    assert_int_equal(pthread_join(looker, NULL), 0);
    assert_int_equal(pthread_join(syncer, NULL), 0);
    assert_holds_users(fixture->counter, MANY);
    reopen(fixture);
    assert_holds_users(fixture->counter, MANY);
}

/* -- The hot path -- */

/* In a process whose every call of the system but read, write and exit is death. */
static void count_without_the_system(struct counter *counter, uint64_t users)
{
    struct journal_record record;
    uint64_t changes = 0;
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0)
        (void)syscall(SYS_exit, 2);
    for (uint64_t i = 0; i < 1000000; i++)
        changes += !counter_has(counter, user(i % users)) ||
                   counter_add(counter, user(i % users), &record, NULL) != 0;
    (void)syscall(SYS_exit, changes == 0 ? 0 : 3);
}

static void known_users_cost_no_system_call(void **state)
{
    struct fixture *fixture = *state;
    if (SANITIZED)
        skip(); /* a sanitizer has calls of its own */
    fixture->counter = open_file(fixture);
    for (uint64_t users = 20000; users <= MANY; users += MANY - 20000) {
        int status;
        add_users(fixture->counter, 0, users);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0)
            count_without_the_system(fixture->counter, users);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        COUNTER_TEST(it_is_the_sketch_of_the_same_users),
        COUNTER_TEST(it_outlives_a_kill_and_a_close_at_every_stage),
        COUNTER_TEST(the_hash_zero_is_a_user_like_any_other),
        COUNTER_TEST(its_records_replayed_are_the_counter),
        COUNTER_TEST(records_that_nobody_writes_are_refused),
        COUNTER_TEST(a_join_is_the_users_of_both),
        COUNTER_TEST(a_sketch_of_fewer_registers_is_not_joined),
        COUNTER_TEST(few_users_take_few_kilobytes),
        COUNTER_TEST(a_full_disk_is_an_error_and_not_a_signal),
        COUNTER_TEST(a_failed_sync_keeps_all_for_the_next),
        COUNTER_TEST(a_turn_killed_before_its_byte_has_not_been),
        COUNTER_TEST(registers_that_know_more_than_the_list_have_turned),
        COUNTER_TEST(threads_count_the_same_users_once),
        COUNTER_TEST(known_users_cost_no_system_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
