/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "base/error.h"

static void each_level_adds_what_it_knows(void **state)
{
    (void)state;
    struct error err = {0};
    assert_int_equal(error_set(&err, ERROR_INVALID, "truncated at byte %d", 4096), ERROR_INVALID);
    assert_int_equal(error_wrap(&err, "tensor '%s'", "q"), ERROR_INVALID);
    assert_int_equal(error_wrap(&err, "model 'm'"), ERROR_INVALID);
    assert_string_equal(err.text, "model 'm': tensor 'q': truncated at byte 4096");
}

static void a_long_trail_is_cut_and_ended(void **state)
{
    (void)state;
    struct error err = {0};
    char name[ERROR_TEXT_MAX * 2];
    memset(name, 'n', sizeof name);
    name[sizeof name - 1] = '\0';
    error_set(&err, ERROR_IO, "%s", name);
    error_wrap(&err, "%s", name);
    assert_int_equal(strlen(err.text), ERROR_TEXT_MAX - 1);
    assert_int_equal(err.code, ERROR_IO);
}

static void system_errors_keep_their_meaning(void **state)
{
    (void)state;
    struct error err = {0};
    assert_int_equal(error_set_errno(&err, ENOENT, "open '%s'", "x"), ERROR_NOT_FOUND);
    assert_string_equal(err.text, "open 'x': No such file or directory");
    assert_int_equal(error_set_errno(&err, ENOMEM, "map"), ERROR_NO_MEMORY);
    assert_int_equal(error_set_errno(&err, EACCES, "open"), ERROR_IO);
}

static void no_error_wanted_is_fine(void **state)
{
    (void)state;
    assert_int_equal(error_set(NULL, ERROR_BUSY, "x"), ERROR_BUSY);
    assert_int_equal(error_set_errno(NULL, EIO, "x"), ERROR_IO);
    assert_true(error_wrap(NULL, "x") < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_level_adds_what_it_knows),
        cmocka_unit_test(a_long_trail_is_cut_and_ended),
        cmocka_unit_test(system_errors_keep_their_meaning),
        cmocka_unit_test(no_error_wanted_is_fine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
