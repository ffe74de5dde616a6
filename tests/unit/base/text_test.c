/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

static void utf8_accepts_every_scalar_value_and_nothing_else(void **state)
{
    (void)state;
    for (uint32_t codepoint = 0; codepoint <= 0x10ffff; codepoint++) {
        char bytes[4];
        size_t count = utf8_encode(codepoint, bytes);
        uint32_t back;
        size_t used = utf8_decode(bytes, count, &back);
        if (codepoint >= 0xd800 && codepoint <= 0xdfff) {
            assert_int_equal(back, UINT32_MAX);
            continue;
        }
        assert_int_equal(used, count);
        assert_int_equal(back, codepoint);
        for (size_t cut = 1; cut < count; cut++) {
            assert_false(utf8_valid(bytes, cut));
            assert_int_equal(utf8_incomplete_tail(bytes, cut), cut);
        }
        assert_int_equal(utf8_incomplete_tail(bytes, count), 0);
    }
    assert_false(utf8_valid("\xc0\xaf", 2));
    assert_false(utf8_valid("\xf4\x90\x80\x80", 4));
    assert_false(utf8_valid("\x80", 1));
    assert_int_equal(utf8_incomplete_tail("a\x80\x80", 3), 0);
}

static void json_string_is_valid_for_any_bytes(void **state)
{
    (void)state;
    struct text text;
    text_init(&text);
    const char input[] = "a\"\\\n\r\t\x01\x7f\xff\xc3\xa9z";
    text_append_json(&text, input, sizeof input - 1);
    assert_string_equal(text_string(&text),
                        "\"a\\\"\\\\\\n\\r\\t\\u0001\\u007f\xef\xbf\xbd\xc3\xa9z\"");
    text_destroy(&text);
}

static void numbers_read_back_equal(void **state)
{
    (void)state;
    const double values[] = {0, -0.1, 1e300, 3.141592653589793, 1.0 / 3, -1e-310};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        struct text text;
        text_init(&text);
        text_append_json_double(&text, values[i]);
        assert_true(strtod(text_string(&text), NULL) == values[i]);
        text_destroy(&text);
    }
    struct text text;
    text_init(&text);
    text_append_json_double(&text, NAN);
    text_append_u64(&text, UINT64_MAX);
    text_append_u64(&text, 0);
    assert_string_equal(text_string(&text), "null184467440737095516150");
    text_destroy(&text);
}

/* As "%g" of the fewest digits that read back equal has them, whichever way they are written. */
static void short_decimals_are_the_shortest(void **state)
{
    (void)state;
    for (int i = 0; i < 200000; i++) {
        double value = (i % 2 == 0 ? 1 : -1) * (double)(i * 5000 / 7) / (i % 3 == 0 ? 1000 : 4096);
        char want[32];
        for (int precision = 6; precision <= 17; precision++) {
            (void)snprintf(want, sizeof want, "%.*g", precision, value);
            if (strtod(want, NULL) == value)
                break;
        }
        struct text text;
        text_init(&text);
        text_append_json_double(&text, value);
        assert_string_equal(text_string(&text), want);
        text_destroy(&text);
    }
}

static void a_format_may_be_longer_than_the_room(void **state)
{
    (void)state;
    struct text text;
    text_init(&text);
    size_t count = 0;
    for (int width = 1; width < 400; width += 7) {
        text_append_format(&text, "%*d", width, 7);
        count += (size_t)width;
        assert_int_equal(text.count, count);
        assert_int_equal(strlen(text.bytes), count);
        assert_int_equal(text.bytes[count - 1], '7');
    }
    text_destroy(&text);
}

static void take_moves_the_bytes_and_empties_the_text(void **state)
{
    (void)state;
    struct text text;
    text_init(&text);
    text_append_format(&text, "%d-%s", 7, "x");
    size_t count;
    char *bytes = text_take(&text, &count);
    assert_int_equal(count, 3);
    assert_string_equal(bytes, "7-x");
    assert_int_equal(text.count, 0);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(utf8_accepts_every_scalar_value_and_nothing_else),
        cmocka_unit_test(json_string_is_valid_for_any_bytes),
        cmocka_unit_test(numbers_read_back_equal),
        cmocka_unit_test(short_decimals_are_the_shortest),
        cmocka_unit_test(a_format_may_be_longer_than_the_room),
        cmocka_unit_test(take_moves_the_bytes_and_empties_the_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
