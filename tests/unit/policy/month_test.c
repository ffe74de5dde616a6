/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "policy/license/month.h"

static void a_month_is_four_digits_and_two(void **state)
{
    (void)state;
    assert_int_equal(month_parse("2026-10"), 2026 * 12 + 9);
    assert_int_equal(month_parse("2000-01"), 2000 * 12);
    static const char *const bad[] = {"",        "2026",    "2026-1",   "2026-00", "2026-13",
                                      "26-10",   "1999-12", "2200-01",  "2026/10", "2026-10-01",
                                      "2026-1x", "x026-10", " 2026-10", "2026- 1", "+026-10"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(month_parse(bad[i]), MONTH_NONE);
    assert_int_equal(month_parse(NULL), MONTH_NONE);
}

static void a_month_begins_at_midnight_utc(void **state)
{
    (void)state;
    char text[MONTH_TEXT_BYTES];
    assert_int_equal(month_of_unix(1793491199), month_parse("2026-10"));
    assert_int_equal(month_of_unix(1793491200), month_parse("2026-11"));
    assert_int_equal(month_of_unix(0), MONTH_NONE);
    assert_int_equal(month_of_unix(INT64_MIN), MONTH_NONE);
    assert_int_equal(month_of_unix(INT64_MAX), MONTH_NONE);
    month_write(month_parse("2031-02"), text);
    assert_string_equal(text, "2031-02");
    month_write(month_parse("2026-01") - 1, text);
    assert_string_equal(text, "2025-12");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_month_is_four_digits_and_two),
        cmocka_unit_test(a_month_begins_at_midnight_utc),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
