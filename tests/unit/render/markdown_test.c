/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "policy/render/render.h"
#include "tests/unit/render/samples.h"

static void render_into(struct text *out, const struct assessment *assessment)
{
    text_init(out);
    render_markdown(&assessment, 1, out);
    assert_false(out->failed);
    assert_true(utf8_valid(out->bytes, out->count));
}

static void assert_holds(const struct text *out, const char *part)
{
    if (strstr(text_string(out), part) == NULL)
        fail_msg("'%s' is not in:\n%s", part, text_string(out));
}

static void exact_words_stand_in_blocks_as_they_are(void **state)
{
    (void)state;
    struct text out;
    render_into(&out, sample_full());
    assert_holds(&out, "### To show\n");
    assert_holds(&out, "Where: user interface or website. Not due today: 90,000,000");
    assert_holds(&out, "\n```text\nWeirdo 5\n```\n");
    /* Backticks inside do not end the block. */
    assert_holds(&out, "\n````text\nWeirdo is licensed under ```its``` terms.\nAll rights "
                       "reserved.\n````\n");
    text_destroy(&out);
}

static void duties_name_condition_reason_and_remedy(void **state)
{
    (void)state;
    struct text out;
    render_into(&out, sample_full());
    assert_holds(&out, "- breach: **weirdo-5/eu**, use policy, \xc2\xa7"
                       "1(a): Companies");
    assert_holds(&out, "Because: Declared domicile DE");
    assert_holds(&out, "To do: Use a model that reads text alone.");
    assert_holds(&out, "Taken on under contract 7/2026.");
    assert_holds(&out, "- Acceptable Use Policy: <https://example.org/use%20policy>\n");
    assert_holds(&out, "- Published at: <https://example.org/li%20cense?a=b>\n");
    text_destroy(&out);
}

static void what_is_met_asks_for_no_notice(void **state)
{
    (void)state;
    struct text out;
    render_into(&out, sample_full());
    assert_null(strstr(text_string(&out), "MIT/notice"));
    text_destroy(&out);
    render_into(&out, sample_plain());
    assert_null(strstr(text_string(&out), "###"));
    text_destroy(&out);
}

/* In every line, what markup there is must be ours: hostile text is escaped, and on one line. */
static void hostile_strings_are_no_markup(void **state)
{
    (void)state;
    struct text out;
    render_into(&out, sample_hostile());
    assert_holds(&out, "## a\xef\xbf\xbd\\[31m\"\\\\\\<b\\>\\`\\|\\*\\_\\[x\\](http://y) \\# z");
    assert_null(strstr(text_string(&out), "\n# z"));
    assert_null(strchr(text_string(&out), '\033'));
    assert_null(strstr(text_string(&out), " <b>"));
    text_destroy(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact_words_stand_in_blocks_as_they_are),
        cmocka_unit_test(duties_name_condition_reason_and_remedy),
        cmocka_unit_test(what_is_met_asks_for_no_notice),
        cmocka_unit_test(hostile_strings_are_no_markup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
