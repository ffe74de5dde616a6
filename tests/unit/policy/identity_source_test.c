/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "policy/users/identity_source.h"
#include "tests/unit/policy/scratch.h"

#define SECRET_BYTES 32u

struct fixture {
    char folder[SCRATCH_PATH_BYTES];
    char path[SCRATCH_PATH_BYTES + 16];
    struct policy_identity settings;
    struct identity_source *source;
};

/* As programs do that replace a file: whole, by a rename. */
static void replace(struct fixture *fixture, char letter, size_t count, mode_t mode)
{
    char bytes[SECRET_BYTES], made[SCRATCH_PATH_BYTES + 16];
    memset(bytes, letter, sizeof bytes);
    scratch_write(fixture->folder, "new", bytes, count);
    (void)snprintf(made, sizeof made, "%s/new", fixture->folder);
    assert_int_equal(chmod(made, mode), 0);
    assert_int_equal(rename(made, fixture->path), 0);
}

static int setup(void **state)
{
    struct error err = {0};
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    scratch_make(fixture->folder);
    (void)snprintf(fixture->path, sizeof fixture->path, "%s/secret", fixture->folder);
    fixture->settings.gateway_secret_file = fixture->path;
    replace(fixture, 'a', SECRET_BYTES, 0600);
    fixture->source = identity_source_new(&fixture->settings, &err);
    assert_string_equal(err.text, "");
    assert_non_null(fixture->source);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    identity_source_free(fixture->source);
    scratch_remove(fixture->folder);
    free(fixture);
    return 0;
}

static int look(struct fixture *fixture, bool anyway, bool *ret_read, struct error *err)
{
    *ret_read = false;
    return identity_source_look(fixture->source, anyway, ret_read, err);
}

static char letter_of(struct fixture *fixture)
{
    uint32_t guard;
    const struct identity_rules *rules = identity_source_enter(fixture->source, &guard);
    assert_non_null(rules);
    char letter = (char)rules->gateway.secret[0];
    assert_int_equal(rules->gateway.secret[SECRET_BYTES - 1], letter);
    identity_source_leave(fixture->source, guard);
    return letter;
}

static void file_that_changed_is_taken_up_and_one_that_did_not_is_left(void **state)
{
    struct fixture *fixture = *state;
    bool is_read;
    assert_int_equal(look(fixture, false, &is_read, NULL), 0);
    assert_false(is_read);
    replace(fixture, 'b', SECRET_BYTES, 0600);
    assert_int_equal(letter_of(fixture), 'a');
    assert_int_equal(look(fixture, false, &is_read, NULL), 0);
    assert_true(is_read);
    assert_int_equal(letter_of(fixture), 'b');
    assert_int_equal(look(fixture, false, &is_read, NULL), 0);
    assert_false(is_read);
    assert_int_equal(look(fixture, true, &is_read, NULL), 0);
    assert_true(is_read);
}

static void bad_file_is_refused_once_and_the_old_rules_stay(void **state)
{
    struct fixture *fixture = *state;
    struct error err = {0};
    bool is_read;
    replace(fixture, 'b', SECRET_BYTES - 1, 0600);
    assert_int_equal(look(fixture, false, &is_read, &err), ERROR_INVALID);
    assert_non_null(strstr(err.text, fixture->path));
    assert_int_equal(letter_of(fixture), 'a');
    assert_int_equal(look(fixture, false, &is_read, &err), 0); /* it was told */
    assert_int_equal(look(fixture, true, &is_read, &err), ERROR_INVALID);
    replace(fixture, 'c', SECRET_BYTES, 0644);
    assert_int_equal(look(fixture, false, &is_read, &err), ERROR_REFUSED);
    assert_int_equal(chmod(fixture->path, 0600), 0); /* the remedy changes no byte */
    assert_int_equal(look(fixture, false, &is_read, &err), 0);
    assert_true(is_read);
    assert_int_equal(letter_of(fixture), 'c');
    assert_int_equal(unlink(fixture->path), 0);
    assert_int_equal(look(fixture, false, &is_read, &err), ERROR_NOT_FOUND);
    assert_int_equal(letter_of(fixture), 'c');
}

static void nothing_configured_proves_nothing_and_costs_nothing(void **state)
{
    (void)state;
    uint32_t guard;
    bool is_read = true;
    const struct policy_identity none = {.jwt_keys_file = ""};
    struct identity_source *source = identity_source_new(&none, NULL);
    assert_non_null(source);
    assert_null(identity_source_enter(source, &guard));
    identity_source_leave(source, guard);
    assert_int_equal(identity_source_look(source, true, &is_read, NULL), 0);
    assert_false(is_read);
    identity_source_free(source);
    identity_source_free(NULL);
}

/* While somebody reads, what it reads stays, and replacing waits rather than grow. */
static void rules_in_use_stay(void **state)
{
    struct fixture *fixture = *state;
    uint32_t guard, replaced = 0;
    bool is_read;
    const struct identity_rules *rules = identity_source_enter(fixture->source, &guard);
    for (uint32_t i = 0; i < 20; i++) {
        replace(fixture, (char)('b' + i), SECRET_BYTES, 0600);
        assert_int_equal(look(fixture, false, &is_read, NULL), 0);
        replaced += is_read;
        assert_int_equal(rules->gateway.secret[0], 'a');
    }
    assert_int_equal(replaced, 8);
    identity_source_leave(fixture->source, guard);
    assert_int_equal(look(fixture, false, &is_read, NULL), 0);
    assert_true(is_read);
    assert_int_equal(letter_of(fixture), 'b' + 19);
}

struct readers {
    struct fixture *fixture;
    _Atomic bool ending;
};

static void *read_on(void *argument)
{
    struct readers *readers = argument;
    while (!atomic_load(&readers->ending)) {
        char letter = letter_of(readers->fixture);
        assert_true(letter == 'a' || letter == 'b');
    }
    return NULL;
}

static void rotation_under_load_shows_one_or_the_other(void **state)
{
    struct fixture *fixture = *state;
    struct readers readers = {.fixture = fixture};
    pthread_t threads[2];
    bool is_read;
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_on, &readers), 0);
    for (uint32_t i = 0; i < 500; i++) {
        replace(fixture, i % 2 == 0 ? 'b' : 'a', SECRET_BYTES, 0600);
        assert_int_equal(look(fixture, true, &is_read, NULL), 0);
    }
    atomic_store(&readers.ending, true);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(file_that_changed_is_taken_up_and_one_that_did_not_is_left,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(bad_file_is_refused_once_and_the_old_rules_stay, setup,
                                        teardown),
        cmocka_unit_test(nothing_configured_proves_nothing_and_costs_nothing),
        cmocka_unit_test_setup_teardown(rules_in_use_stay, setup, teardown),
        cmocka_unit_test_setup_teardown(rotation_under_load_shows_one_or_the_other, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
