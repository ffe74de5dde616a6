/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "policy/render/plain.h"

static void assert_plain(const char *string, const char *expected)
{
    struct text out;
    text_init(&out);
    plain_append(&out, string);
    assert_string_equal(text_string(&out), expected);
    text_destroy(&out);
}

static void nothing_that_a_terminal_obeys_gets_through(void **state)
{
    (void)state;
    assert_plain("a\033[2Jb", "a\xef\xbf\xbd[2Jb");
    assert_plain("a\x07\x7f\xff", "a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
    assert_plain("\xc2\x9b"
                 "31m",
                 "\xef\xbf\xbd"
                 "31m"); /* one-byte CSI */
    assert_plain("a\xe2\x80\xae"
                 "b\xef\xbb\xbf",
                 "a\xef\xbf\xbd"
                 "b\xef\xbf\xbd"); /* right to left, BOM */
    assert_plain("one\ntwo\tthree\r\n", "one two three ");
    assert_plain("\xe4\xbd\xa0\xe5\xa5\xbd \xc3\xa9", "\xe4\xbd\xa0\xe5\xa5\xbd \xc3\xa9");
    assert_plain(NULL, "");
}

static void exact_words_keep_their_lines(void **state)
{
    (void)state;
    struct text out;
    text_init(&out);
    plain_append_lines(&out, "one\r\ntwo\n\033");
    assert_string_equal(text_string(&out), "one\ntwo\n\xef\xbf\xbd");
    text_destroy(&out);
}

static void assert_wrapped(const char *string, struct plain_lines lines, const char *expected)
{
    struct text out;
    text_init(&out);
    plain_wrap(&out, string, lines);
    assert_string_equal(text_string(&out), expected);
    text_destroy(&out);
}

static void words_wrap_at_the_column_and_long_ones_are_cut(void **state)
{
    (void)state;
    const struct plain_lines lines = {.at = 2, .indent = 2, .columns = 12};
    assert_wrapped("", lines, "\n");
    assert_wrapped("  one  two\nthree four ", lines, "one two\n  three four\n");
    assert_wrapped("exactly ten", lines, "exactly\n  ten\n");
    assert_wrapped("0123456789abcde f", lines, "0123456789\n  abcde f\n");
    /* Ten code points of two bytes each fit as ten columns do. */
    assert_wrapped("\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9 \xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9",
                   lines,
                   "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9 \xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\n");
    assert_wrapped("abcdefgh", (struct plain_lines){.at = 50, .indent = 50, .columns = 40},
                   "abcdefgh\n");
}

static void times_are_utc_and_stay_in_four_digits(void **state)
{
    (void)state;
    static const struct {
        int64_t at;
        const char *expected;
    } cases[] = {{0, "1970-01-01T00:00:00Z"},
                 {1795568932, "2026-11-25T01:08:52Z"},
                 {-1, "1969-12-31T23:59:59Z"},
                 {INT64_MAX, "9999-12-31T23:59:59Z"},
                 {INT64_MIN, "0000-01-01T00:00:00Z"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct text out;
        text_init(&out);
        plain_time(&out, cases[i].at);
        assert_string_equal(text_string(&out), cases[i].expected);
        text_destroy(&out);
    }
}

static void numbers_have_their_thousands_apart(void **state)
{
    (void)state;
    struct text out;
    text_init(&out);
    plain_number(&out, 7);
    text_append_char(&out, ' ');
    plain_number(&out, 700000000);
    text_append_char(&out, ' ');
    plain_number(&out, UINT64_MAX);
    assert_string_equal(text_string(&out), "7 700,000,000 18,446,744,073,709,551,615");
    text_destroy(&out);
}

static void only_web_links_are_links(void **state)
{
    (void)state;
    struct text out;
    text_init(&out);
    assert_false(plain_append_url(&out, "javascript:alert(1)"));
    assert_false(plain_append_url(&out, ""));
    assert_int_equal(out.count, 0);
    assert_true(plain_append_url(&out, "https://a/b c<\">\x01?d=e&f#g"));
    assert_string_equal(text_string(&out), "https://a/b%20c%3C%22%3E%01?d=e&f#g");
    text_destroy(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_that_a_terminal_obeys_gets_through),
        cmocka_unit_test(exact_words_keep_their_lines),
        cmocka_unit_test(words_wrap_at_the_column_and_long_ones_are_cut),
        cmocka_unit_test(times_are_utc_and_stay_in_four_digits),
        cmocka_unit_test(numbers_have_their_thousands_apart),
        cmocka_unit_test(only_web_links_are_links),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
