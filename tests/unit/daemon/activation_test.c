/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/activation.h"

static void descriptors_have_their_names(void **state)
{
    (void)state;
    struct activation activation;
    assert_int_equal(activation_parse("77", "3", "weir:admin.socket:", 77, &activation, NULL), 0);
    assert_int_equal(activation.count, 3);
    assert_string_equal(activation.names[0], "weir");
    assert_string_equal(activation.names[1], "admin.socket");
    assert_string_equal(activation.names[2], "");
    assert_int_equal(activation_parse("77", "2", NULL, 77, &activation, NULL), 0);
    assert_string_equal(activation.names[0], "unknown");
    assert_string_equal(activation.names[1], "unknown");
    assert_int_equal(activation_parse("77", "0", "", 77, &activation, NULL), 0);
    assert_int_equal(activation.count, 0);
}

/* Whoever started us may have been started so itself. */
static void what_is_for_another_process_is_not_for_us(void **state)
{
    static const char *const pids[] = {
        NULL, "", "76", "777", "-77", " 77", "77 ", "0x4d", "99999999999999999999"};
    (void)state;
    struct activation activation;
    for (size_t i = 0; i < sizeof pids / sizeof *pids; i++) {
        assert_int_equal(activation_parse(pids[i], "1", "weir", 77, &activation, NULL), 0);
        assert_int_equal(activation.count, 0);
    }
    assert_int_equal(activation_parse("77", NULL, "weir", 77, &activation, NULL), 0);
    assert_int_equal(activation.count, 0);
}

static void what_systemd_would_not_write_is_refused(void **state)
{
    static const char *const cases[][2] = {
        {"", "weir"},  {"-1", "weir"},    {"65", "weir"}, {"1x", "weir"},
        {"2", "weir"}, {"1", "weir:two"}, {"2", ""},      {"99999999999999999999", "weir"},
    };
    (void)state;
    struct activation activation;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error err = {0};
        assert_int_equal(activation_parse("77", cases[i][0], cases[i][1], 77, &activation, &err),
                         ERROR_INVALID);
        assert_non_null(strstr(err.text, "LISTEN_FD"));
    }
    char name[ACTIVATION_NAME_BYTES + 1];
    memset(name, 'n', sizeof name);
    name[sizeof name - 1] = '\0';
    assert_int_equal(activation_parse("77", "1", name, 77, &activation, NULL), ERROR_INVALID);
    name[sizeof name - 2] = '\0';
    assert_int_equal(activation_parse("77", "1", name, 77, &activation, NULL), 0);
    assert_string_equal(activation.names[0], name);
}

static void the_environment_forgets(void **state)
{
    (void)state;
    struct activation activation;
    setenv("LISTEN_PID", "1", 1);
    setenv("LISTEN_FDS", "1", 1);
    setenv("LISTEN_FDNAMES", "weir", 1);
    assert_int_equal(activation_take(&activation, NULL), 0);
    assert_int_equal(activation.count, 0);
    assert_null(getenv("LISTEN_PID"));
    assert_null(getenv("LISTEN_FDS"));
    assert_null(getenv("LISTEN_FDNAMES"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(descriptors_have_their_names),
        cmocka_unit_test(what_is_for_another_process_is_not_for_us),
        cmocka_unit_test(what_systemd_would_not_write_is_refused),
        cmocka_unit_test(the_environment_forgets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
