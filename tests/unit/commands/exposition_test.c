/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "daemon/commands/exposition.h"

static void expect_near(double value, double expected, double tolerance)
{
    if (!(fabs(value - expected) <= tolerance))
        fail_msg("%g, expected %g", value, expected);
}

static struct exposition parse(const char *text)
{
    struct exposition exposition;
    struct error err = {0};
    int result = exposition_parse(text, strlen(text), &exposition, &err);
    assert_string_equal(err.text, "");
    assert_int_equal(result, 0);
    return exposition;
}

static double sum(const struct exposition *exposition, const char *name, const char *key,
                  const char *value)
{
    return exposition_sum(exposition,
                          &(struct exposition_query){.name = name, .key = key, .value = value});
}

static void samples_are_found_by_name_and_label(void **state)
{
    (void)state;
    struct exposition exposition = parse("# HELP a Help.\n# TYPE a counter\n"
                                         "a{m=\"x\",n=\"1\"} 3\na{m=\"x\",n=\"2\"} 4\r\n"
                                         "a{m=\"y\"} 5 1796083200000\n\nb 1e3\nc{} NaN\nd +Inf\n"
                                         "v:with_colon_total{} 2");
    assert_int_equal(exposition.count, 7);
    expect_near(sum(&exposition, "a", NULL, NULL), 12, 0);
    expect_near(sum(&exposition, "a", "m", "x"), 7, 0);
    expect_near(sum(&exposition, "a", "n", "2"), 4, 0);
    assert_true(isnan(sum(&exposition, "a", "m", "z")));
    assert_true(isnan(sum(&exposition, "a", "no", "x")));
    assert_true(isnan(sum(&exposition, "none", NULL, NULL)));
    expect_near(sum(&exposition, "b", NULL, NULL), 1000, 0);
    assert_true(isinf(sum(&exposition, "d", NULL, NULL)));
    expect_near(sum(&exposition, "v:with_colon_total", NULL, NULL), 2, 0);
    expect_near(exposition_sum(&exposition, &(struct exposition_query){"a", "m", "x", "n", "1"}), 3,
                0);
    expect_near(exposition_least(&exposition, &(struct exposition_query){.name = "a"}), 3, 0);
    exposition_destroy(&exposition);
}

static void labels_may_hold_anything(void **state)
{
    (void)state;
    char value[EXPOSITION_LABEL_BYTES];
    struct exposition exposition =
        parse("a{m=\"q\\\"uo\\\\te\\nline\",n=\"} 7, m=\\\"x\\\"\",o=\"\"} 1\n");
    assert_true(exposition_label(&exposition.samples[0], "m", value));
    assert_string_equal(value, "q\"uo\\te\nline");
    assert_true(exposition_label(&exposition.samples[0], "n", value));
    assert_string_equal(value, "} 7, m=\"x\"");
    assert_true(exposition_label(&exposition.samples[0], "o", value));
    assert_string_equal(value, "");
    assert_false(exposition_label(&exposition.samples[0], "p", value));
    exposition_destroy(&exposition);
}

static void a_label_too_long_is_cut(void **state)
{
    (void)state;
    char text[1024] = "a{m=\"", value[EXPOSITION_LABEL_BYTES];
    memset(text + 5, 'x', 600);
    memcpy(text + 605, "\",n=\"1\"} 1\n", 12);
    struct exposition exposition = parse(text);
    assert_true(exposition_label(&exposition.samples[0], "m", value));
    assert_int_equal(strlen(value), EXPOSITION_LABEL_BYTES - 1);
    assert_true(exposition_label(&exposition.samples[0], "n", value));
    assert_string_equal(value, "1");
    exposition_destroy(&exposition);
}

static void what_is_no_sample_refuses_all_and_names_its_line(void **state)
{
    (void)state;
    static const char *const broken[] = {
        "<html>", "a", "a{", "a{m=\"x} 1", "a{m=\"x\\", "a x", "{m=\"x\"} 1", "a 1x", "a-b 1",
    };
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        char text[64] = "ok 1\n";
        struct exposition exposition = {.count = 77};
        struct error err = {0};
        strncat(text, broken[i], sizeof text - 8);
        assert_int_equal(exposition_parse(text, strlen(text), &exposition, &err), ERROR_INVALID);
        assert_non_null(strstr(err.text, "line 2 "));
        assert_int_equal(exposition.count, 77);
    }
    struct exposition exposition;
    assert_int_equal(exposition_parse("a 1\0", 4, &exposition, NULL), ERROR_INVALID);
}

#define BUCKETS(a, b, c, d)                                                                        \
    "h_bucket{m=\"x\",le=\"0.1\"} " a "\nh_bucket{m=\"x\",le=\"0.2\"} " b                          \
    "\nh_bucket{m=\"x\",le=\"0.4\"} " c "\nh_bucket{m=\"x\",le=\"+Inf\"} " d                       \
    "\nh_bucket{m=\"y\",le=\"0.1\"} 1000\nh_bucket{m=\"y\",le=\"+Inf\"} 1000\n"

static void quantiles_are_straight_lines_within_a_bucket(void **state)
{
    (void)state;
    const struct exposition_query query = {.name = "h", .key = "m", .value = "x"};
    struct exposition before = parse(BUCKETS("10", "10", "10", "10"));
    struct exposition now = parse(BUCKETS("20", "30", "30", "40"));
    /* since then: 10 up to 0.1, 10 up to 0.2, none up to 0.4, 10 beyond */
    expect_near(exposition_quantile(&before, &now, &query, 0.5), 0.15, 1e-9);
    expect_near(exposition_quantile(&before, &now, &query, 0.1), 0.03, 1e-9);
    expect_near(exposition_quantile(&before, &now, &query, 0.95), 0.4, 1e-9);
    /* all of it */
    expect_near(exposition_quantile(NULL, &now, &query, 0.5), 0.1, 1e-9);
    assert_true(isnan(exposition_quantile(&now, &now, &query, 0.5)));
    assert_true(isnan(exposition_quantile(&now, &before, &query, 0.5))); /* it was started anew */
    assert_true(
        isnan(exposition_quantile(NULL, &now, &(struct exposition_query){.name = "none"}, 0.5)));
    exposition_destroy(&before);
    exposition_destroy(&now);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samples_are_found_by_name_and_label),
        cmocka_unit_test(labels_may_hold_anything),
        cmocka_unit_test(a_label_too_long_is_cut),
        cmocka_unit_test(what_is_no_sample_refuses_all_and_names_its_line),
        cmocka_unit_test(quantiles_are_straight_lines_within_a_bucket),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
