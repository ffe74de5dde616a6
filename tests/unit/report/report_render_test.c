/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "policy/render/report_render.h"
#include "tests/unit/report/report_fixture.h"

#define HOSTILE "<script>alert('1')</script>\x1b[31m\xe2\x80\xae\"&"

static const struct {
    void (*render)(const struct report *, struct text *);
} formats[] = {{render_report_html}, {render_report_json}, {render_report_csv}};

static void expect(const struct text *out, const char *words)
{
    assert_false(out->failed);
    if (strstr(text_string(out), words) == NULL)
        fail_msg("no '%s' in: %s", words, text_string(out));
}

static void expect_none(const struct text *out, const char *words)
{
    if (strstr(text_string(out), words) != NULL)
        fail_msg("'%s' in: %s", words, text_string(out));
}

static void fill(struct fixture *fixture, const char *model)
{
    const struct report_month month = fixture_month(model, 1234567, 2345678);
    struct report_month all = fixture_month("", 1234567, 2345678);
    all.family = "";
    fixture_verdict(fixture, IN_MONTH, model);
    fixture_write(fixture, &month);
    fixture_write(fixture, &all);
}

static void every_format_begins_with_the_stamp(void **state)
{
    struct fixture *fixture = *state;
    int64_t sequence = 0;
    fill(fixture, "kimi");
    const struct report *report = fixture_collect(fixture, "", "");
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        struct text out;
        text_init(&out);
        formats[i].render(report, &out);
        assert_false(out.failed);
        assert_int_equal(report_stamp_check(out.bytes, out.count, fixture->ledger, &sequence, NULL),
                         0);
        assert_int_equal(sequence, 3);
        text_destroy(&out);
    }
}

static void the_page_holds_no_markup_of_others(void **state)
{
    struct fixture *fixture = *state;
    struct text out;
    fill(fixture, HOSTILE);
    struct report *report = fixture_collect(fixture, "", "");
    report->operator_name = HOSTILE;
    text_init(&out);
    render_report_html(report, &out);
    expect_none(&out, "<script");
    expect_none(&out, "\x1b");
    expect_none(&out, "\xe2\x80\xae");
    expect_none(&out, "alert('");
    expect(&out, "&lt;script&gt;alert(&#39;1&#39;)");
    expect(&out, "Kimi &amp; &quot;K2.5&quot;");
    text_destroy(&out);
}

static void the_page_asks_for_nothing_from_elsewhere(void **state)
{
    struct fixture *fixture = *state;
    struct text out;
    fill(fixture, "kimi");
    text_init(&out);
    render_report_html(fixture_collect(fixture, "", ""), &out);
    expect(&out, "default-src 'none'; style-src 'sha256-");
    expect_none(&out, "http:");
    expect_none(&out, "https:");
    expect_none(&out, "url(");
    expect_none(&out, " style=");
    expect_none(&out, " href=");
    expect_none(&out, " src=");
    text_destroy(&out);
}

static void numbers_are_read_in_thousands_and_bounds_are_honest(void **state)
{
    struct fixture *fixture = *state;
    struct text out;
    fill(fixture, "kimi");
    text_init(&out);
    render_report_html(fixture_collect(fixture, "", ""), &out);
    expect(&out, "1,234,567");
    expect(&out, "2,345,678");
    expect(&out, "more than 1,000 users a month");
    expect(&out, "they are a lower bound");
    expect(&out, "Identity coverage is insufficient");
    expect_none(&out, "2345678<");
    text_destroy(&out);
}

static void a_month_without_figures_says_so(void **state)
{
    struct fixture *fixture = *state;
    struct text out;
    fixture_verdict(fixture, IN_MONTH, "kimi");
    const struct report *report = fixture_collect(fixture, "", "");
    for (size_t i = 0; i < 3; i += 2) { /* the page and the table */
        text_init(&out);
        formats[i].render(report, &out);
        expect(&out, "No user figures are kept for this month");
        text_destroy(&out);
    }
    text_init(&out);
    render_report_plain(report, 200, &out);
    expect(&out, "No user figures are kept for this month");
    text_destroy(&out);
    text_init(&out);
    render_report_json(report, &out);
    expect(&out, "\"has_figures\":false");
    text_destroy(&out);
}

static void the_json_reads_back(void **state)
{
    struct fixture *fixture = *state;
    struct text out;
    fill(fixture, HOSTILE);
    text_init(&out);
    render_report_json(fixture_collect(fixture, "", ""), &out);
    json_t *root = json_loads(text_string(&out), JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(root);
    const json_t *users = json_array_get(json_object_get(root, "users"), 1);
    assert_string_equal(json_string_value(json_object_get(users, "model")), HOSTILE);
    const json_t *line = json_array_get(json_object_get(users, "lines"), 0);
    assert_true(json_is_true(json_object_get(line, "figure_is_lower_bound")));
    assert_true(json_real_value(json_object_get(line, "share_upper")) == 2345.678);
    json_decref(root);
    text_destroy(&out);
}

static void a_table_has_no_formula_and_whole_records(void **state)
{
    struct fixture *fixture = *state;
    struct text out;
    fill(fixture, "=HYPERLINK(\"x\"),\"y\"");
    text_init(&out);
    render_report_csv(fixture_collect(fixture, "", ""), &out);
    expect(&out, "\"'=HYPERLINK(\"\"x\"\"),\"\"y\"\"\"");
    expect(&out, "\"Kimi & \"\"K2.5\"\"\"");
    expect_none(&out, ",=");
    expect_none(&out, "\"=");
    for (const char *c = text_string(&out); (c = strchr(c, '\n')) != NULL; c++)
        assert_int_equal(c[-1], '\r');
    text_destroy(&out);
}

/* As a daemon would have left them, and into the report. */
static void tokens_of(struct fixture *fixture, const char *tenant, const char *model)
{
    struct tokens_store *store = tokens_store_open(fixture->folder, true, NULL);
    const struct token_row row = {
        .tenant = tenant, .model = model, .counts = {1234, 56789, 4321, 98765}};
    assert_non_null(store);
    assert_int_equal(tokens_store_begin(store, NULL), 0);
    assert_int_equal(tokens_store_add(store, IN_MONTH / 86400, &row, NULL), 0);
    assert_int_equal(tokens_store_commit(store, NULL), 0);
    assert_int_equal(report_take_tokens(fixture->report, store, NULL), 0);
    tokens_store_close(store);
}

static void tokens_stand_in_every_format_and_hold_no_markup(void **state)
{
    struct fixture *fixture = *state;
    static const char *const numbers[] = {"1,234", "56,789", "4,321", "98,765"};
    struct text out;
    fill(fixture, "kimi");
    (void)fixture_collect(fixture, "", "");
    tokens_of(fixture, HOSTILE, "kimi");
    assert_int_equal(fixture->report->token_count, 1);
    text_init(&out);
    render_report_html(fixture->report, &out);
    expect(&out, "<td class=\"n\">56,789</td>");
    expect_none(&out, HOSTILE);
    text_reset(&out);
    render_report_csv(fixture->report, &out);
    expect(&out, "\"tokens\",\"model\",\"kimi\",,\"generated_tokens\",\"98765\"");
    text_reset(&out);
    render_report_plain(fixture->report, 400, &out);
    for (uint32_t i = 0; i < 4; i++) /* where a line breaks is its own affair */
        expect(&out, numbers[i]);
    text_reset(&out);
    render_report_json(fixture->report, &out);
    expect(&out, "\"requests\":1234,\"prompt_tokens\":56789,\"cached_tokens\":4321");
    text_destroy(&out);
}

static void tokens_are_those_of_what_is_asked_for(void **state)
{
    struct fixture *fixture = *state;
    fill(fixture, "kimi");
    (void)fixture_collect(fixture, "other", "");
    tokens_of(fixture, "acme", "kimi");
    assert_int_equal(fixture->report->token_count, 0);
    (void)fixture_collect(fixture, "", "kimi");
    tokens_of(fixture, "acme", "kimi");
    assert_int_equal(fixture->report->token_count, 1);
    assert_int_equal(fixture->report->tokens[0].counts.requests, 2 * 1234);
    (void)fixture_collect(fixture, "", "llama");
    tokens_of(fixture, "acme", "kimi");
    assert_int_equal(fixture->report->token_count, 0);
}

static void figures_of_nobody_and_of_everybody_are_drawn(void **state)
{
    struct fixture *fixture = *state;
    struct text out;
    const struct report_month none = fixture_month("none", 0, 0);
    const struct report_month most = fixture_month("most", 0, REPORT_USERS_MAX);
    fixture_verdict(fixture, IN_MONTH, "none");
    fixture_verdict(fixture, IN_MONTH, "most");
    fixture_write(fixture, &none);
    fixture_write(fixture, &most);
    text_init(&out);
    render_report_html(fixture_collect(fixture, "", ""), &out);
    expect(&out, "100,000,000,000");
    expect_none(&out, "nan");
    expect_none(&out, "inf ");
    text_destroy(&out);
}

#define WITH_LEDGER(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_LEDGER(every_format_begins_with_the_stamp),
        WITH_LEDGER(the_page_holds_no_markup_of_others),
        WITH_LEDGER(the_page_asks_for_nothing_from_elsewhere),
        WITH_LEDGER(numbers_are_read_in_thousands_and_bounds_are_honest),
        WITH_LEDGER(a_month_without_figures_says_so),
        WITH_LEDGER(the_json_reads_back),
        WITH_LEDGER(a_table_has_no_formula_and_whole_records),
        WITH_LEDGER(tokens_stand_in_every_format_and_hold_no_markup),
        WITH_LEDGER(tokens_are_those_of_what_is_asked_for),
        WITH_LEDGER(figures_of_nobody_and_of_everybody_are_drawn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
