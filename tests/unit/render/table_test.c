/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "policy/render/plain.h"
#include "policy/render/render.h"
#include "tests/unit/render/samples.h"

static void assert_fits(const struct text *out, uint32_t columns)
{
    const char *line = text_string(out);
    while (*line != '\0') {
        size_t count = strcspn(line, "\n");
        char copy[512];
        assert_true(count < sizeof copy);
        memcpy(copy, line, count);
        copy[count] = '\0';
        assert_true(plain_width(copy) <= columns);
        assert_true(count == 0 || copy[count - 1] != ' ');
        line += count + (line[count] == '\n');
    }
}

static void assert_holds(const struct text *out, const char *part)
{
    if (strstr(text_string(out), part) == NULL)
        fail_msg("'%s' is not in:\n%s", part, text_string(out));
}

static void every_sample_fits_the_columns_it_is_given(void **state)
{
    (void)state;
    const struct assessment *samples[] = {sample_full(), sample_plain(), sample_bare(),
                                          sample_hostile()};
    const struct {
        uint32_t asked, given;
    } columns[] = {{0, 80}, {80, 80}, {1, 40}, {40, 40}, {UINT32_MAX, 120}};
    for (size_t i = 0; i < 4; i++) {
        for (size_t j = 0; j < 5; j++) {
            struct text out;
            text_init(&out);
            render_table(samples[i], columns[j].asked, false, &out);
            assert_false(out.failed);
            assert_true(utf8_valid(out.bytes, out.count));
            assert_fits(&out, columns[j].given);
            assert_null(strchr(text_string(&out), '\033'));
            text_destroy(&out);
        }
    }
}

static void the_table_says_what_why_and_what_to_do(void **state)
{
    (void)state;
    struct text out;
    text_init(&out);
    render_table(sample_full(), 120, false, &out);
    assert_holds(&out, "Model     weirdo-5-chat\n");
    assert_holds(&out, "MIT License [MIT]; by card: models/weirdo 5/README.md");
    assert_holds(&out, "of its base model weirdo/Weirdo-5-Base");
    assert_holds(&out, "Differs   The card says MIT");
    assert_holds(&out, "Verdict   breach (literal: breach, conservative: breach");
    assert_holds(&out, "breach      weirdo-5/eu, use policy, \xc2\xa7"
                       "1(a)\n  asks      Companies");
    assert_holds(&out, "  because   Declared domicile DE");
    assert_holds(&out, "  do        Use a model that reads text alone.");
    assert_holds(&out, "review      recognition/text-unknown\n");
    assert_holds(&out, "  text      Weirdo 5\n  where     user interface or website\n");
    assert_holds(&out, "  readings  literal: met, conservative: watch\n");
    assert_holds(&out, "  taken on  breach, under contract 7/2026\n");
    assert_holds(&out, "AI Act    open-source exemption: uncertain (para. 83): Thresholds");
    assert_holds(&out, "OSAID     no: It limits");
    text_destroy(&out);
}

static void a_model_without_licence_or_conditions_is_still_told(void **state)
{
    (void)state;
    struct text out;
    text_init(&out);
    render_table(sample_bare(), 80, false, &out);
    assert_holds(&out, "Licence   unknown\n");
    assert_holds(&out, "weighed literally");
    text_destroy(&out);
}

static void colour_wraps_verdicts_alone_and_is_put_out(void **state)
{
    (void)state;
    struct text out;
    uint32_t on = 0, off = 0;
    text_init(&out);
    render_table(sample_full(), 80, true, &out);
    assert_holds(&out, "\033[1;31mbreach\033[0m      weirdo-5/eu");
    for (const char *at = text_string(&out); (at = strchr(at, '\033')) != NULL; at++) {
        if (strncmp(at, "\033[0m", 4) == 0)
            off++;
        else
            on++;
    }
    assert_int_equal(on, off);
    assert_int_equal(on, 7); /* the model's and its six conditions' */
    text_destroy(&out);
}

static void a_record_shows_all_that_it_asks(void **state)
{
    (void)state;
    struct text out;
    text_init(&out);
    render_record(sample_full()->recognition->licenses[1].record, 100, &out);
    assert_false(out.failed);
    assert_fits(&out, 100);
    assert_holds(&out, "Id          weirdo-5\n");
    assert_holds(&out, "grade P, verified");
    assert_holds(&out, "ui-name (threshold), final paragraph\n");
    assert_holds(&out, "line      more than 100,000,000 users a month\n");
    assert_holds(&out, "or        at least CNY 20,000,000 a year\n");
    assert_holds(&out, "not in    EU\n");
    assert_holds(&out, "due       when weights or derivatives are passed on\n");
    assert_holds(&out, "Policies    Acceptable Use Policy: https://example.org/use policy\n");
    text_destroy(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_sample_fits_the_columns_it_is_given),
        cmocka_unit_test(the_table_says_what_why_and_what_to_do),
        cmocka_unit_test(a_model_without_licence_or_conditions_is_still_told),
        cmocka_unit_test(colour_wraps_verdicts_alone_and_is_put_out),
        cmocka_unit_test(a_record_shows_all_that_it_asks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
