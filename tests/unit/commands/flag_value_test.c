/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sysexits.h>

#include "daemon/commands/flag_value.h"
#include "daemon/commands/remote.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))

static char weir[] = "weir", url[] = "--url", url_a[] = "--url=http://a", url_b[] = "http://b",
            url_empty[] = "--url=", longer[] = "--urls", key_file[] = "--key-file=/k",
            cacert[] = "--cacert", pem[] = "ca.pem";

static void a_value_is_the_next_argument_or_behind_the_sign(void **state)
{
    (void)state;
    char *argv[] = {weir, url_a, url, url_b, url_empty, longer, url};
    const char *value = NULL;
    int at = 1;
    assert_true(flag_value("--url", COUNT(argv), argv, &at, &value));
    assert_string_equal(value, "http://a");
    assert_int_equal(at, 1);
    at = 2;
    assert_true(flag_value("--url", COUNT(argv), argv, &at, &value));
    assert_string_equal(value, "http://b");
    assert_int_equal(at, 3);
    at = 4;
    assert_true(flag_value("--url", COUNT(argv), argv, &at, &value));
    assert_string_equal(value, "");
    for (at = 5; at < COUNT(argv); at++)
        assert_false(
            flag_value("--url", COUNT(argv), argv, &at, &value)); /* none behind the last */
}

static void seconds_are_whole_and_within_their_bounds(void **state)
{
    (void)state;
    static const char *const wrong[] = {"",   "0",  "301", "-1", "+1",
                                        " 1", "1s", "1.5", "x",  "99999999999999999999"};
    uint32_t seconds = 7;
    for (int i = 0; i < COUNT(wrong); i++)
        assert_false(flag_seconds(wrong[i], 300, &seconds));
    assert_int_equal(seconds, 7);
    assert_true(flag_seconds("1", 300, &seconds));
    assert_int_equal(seconds, 1);
    assert_true(flag_seconds("300", 300, &seconds));
    assert_int_equal(seconds, 300);
}

static void a_remote_takes_its_three_flags_and_no_empty_value(void **state)
{
    (void)state;
    char *argv[] = {weir, key_file, cacert, pem, url_empty, longer};
    struct remote remote = {.command = "test", .url = REMOTE_URL_DEFAULT};
    int at = 1;
    assert_true(remote_take_flag(&remote, COUNT(argv), argv, &at));
    assert_string_equal(remote.key_file, "/k");
    at = 2;
    assert_true(remote_take_flag(&remote, COUNT(argv), argv, &at));
    assert_string_equal(remote.ca_file, "ca.pem");
    assert_string_equal(remote.url, REMOTE_URL_DEFAULT);
    at = 4;
    assert_false(remote_take_flag(&remote, COUNT(argv), argv, &at));
    at = 5;
    assert_false(remote_take_flag(&remote, COUNT(argv), argv, &at));
}

static void what_failed_has_an_exit_status_and_an_interruption_none(void **state)
{
    (void)state;
    static const struct {
        int code, status;
    } rows[] = {
        {ERROR_CLOSED, 0},          {ERROR_NOT_FOUND, EX_UNAVAILABLE}, {ERROR_BUSY, EX_UNAVAILABLE},
        {ERROR_REFUSED, EX_NOPERM}, {ERROR_UNSUPPORTED, EX_USAGE},     {ERROR_INVALID, EX_PROTOCOL},
        {ERROR_IO, EX_IOERR},       {ERROR_NO_MEMORY, EX_OSERR}};
    const struct remote remote = {.command = "test"};
    for (int i = 0; i < COUNT(rows); i++) {
        const struct error err = {.code = rows[i].code, .text = "expected"};
        assert_int_equal(remote_complain(&remote, &err), rows[i].status);
    }
}

static void an_address_ends_with_its_host_or_port(void **state)
{
    (void)state;
    assert_int_equal(flag_check_url("test", "http://a:1"), 0);
    assert_int_equal(flag_check_url("test", "http://a:1/"), EX_USAGE);
    assert_int_equal(flag_check_url("test", ""), EX_USAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_value_is_the_next_argument_or_behind_the_sign),
        cmocka_unit_test(seconds_are_whole_and_within_their_bounds),
        cmocka_unit_test(a_remote_takes_its_three_flags_and_no_empty_value),
        cmocka_unit_test(what_failed_has_an_exit_status_and_an_interruption_none),
        cmocka_unit_test(an_address_ends_with_its_host_or_port),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
