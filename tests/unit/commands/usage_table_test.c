/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "daemon/commands/usage.h"

static const char two[] =
    "{\"version\":\"1\",\"month\":\"2026-11\",\"messages\":{\"dead\":2},\"groups\":["
    "{\"kind\":\"organisation\",\"name\":\"\",\"windows\":"
    "{\"month\":{\"lower\":{\"low\":12},\"best\":{\"users\":12},\"upper\":{\"high\":34567},"
    "\"coverage\":0.5,\"identity_insufficient\":true}}},"
    "{\"kind\":\"model\",\"name\":\"kimi\",\"windows\":"
    "{\"month\":{\"lower\":{\"low\":7},\"best\":{\"users\":7},\"upper\":{\"high\":9},"
    "\"coverage\":0.5,\"identity_insufficient\":true}}}],\"lines\":["
    "{\"model\":\"kimi\",\"kind\":\"organisation\",\"name\":\"\",\"threshold\":1000000,"
    "\"headroom_ratio\":0.5,\"crossing_days_early_date\":\"2027-03-01\","
    "\"crossing_days_late_date\":null},"
    "{\"model\":\"kimi\",\"kind\":\"product\",\"name\":\"chat\",\"threshold\":1000000,"
    "\"headroom_ratio\":-0.25,\"crossing_days_early_date\":\"2026-11-25\"}]}";

static struct text draw(const char *json, const struct usage_look *look)
{
    json_t *usage = json_loads(json, 0, NULL);
    struct text out;
    assert_non_null(usage);
    text_init(&out);
    usage_table(usage, look, &out);
    json_decref(usage);
    assert_false(out.failed);
    return out;
}

static void a_row_has_the_nearest_line_that_its_users_are_held_against(void **state)
{
    (void)state;
    struct text out = draw(two, &(struct usage_look){.columns = 0});
    assert_string_equal(
        text_string(&out),
        "weir 1  month 2026-11 (UTC)  2 alerts that nobody took\n"
        "WHO                        LOWER  BEST   UPPER  THRESHOLD  HEADROOM      CROSSING  "
        "COVERAGE\n"
        "organisation                  12    12  34,567  1,000,000     50.0%  2027-03-01..    "
        "50.0%*\n"
        "model        kimi              7     7       9  1,000,000    -25.0%       crossed    "
        "50.0%*\n"
        "* upper is over 1.2 times lower: identities do not suffice\n");
    text_destroy(&out);
}

static void what_has_no_room_is_cut_and_told(void **state)
{
    (void)state;
    struct text out =
        draw(two, &(struct usage_look){.columns = 48, .lines = 5, .failure = "no answer"});
    assert_string_equal(text_string(&out), "weir 1  month 2026-11 (UTC)  2 alerts that nobo~\n"
                                           "WHO                        LOWER  BEST   UPPER\n"
                                           "organisation                  12    12  34,567\n"
                                           "... and 1 more\n"
                                           "* upper is over 1.2 times lower: identities do ~\n");
    text_destroy(&out);
}

static void colors_are_of_rows_that_are_near_and_only_where_wanted(void **state)
{
    (void)state;
    struct text out = draw(two, &(struct usage_look){.color = true});
    assert_non_null(strstr(text_string(&out), "\033[31mmodel"));
    assert_null(strstr(text_string(&out), "morganisation"));
    text_destroy(&out);
    out = draw(two, &(struct usage_look){.color = false});
    assert_null(strchr(text_string(&out), '\033'));
    text_destroy(&out);
}

static void what_a_terminal_would_obey_is_drawn_as_a_question(void **state)
{
    (void)state;
    struct text out = draw("{\"version\":\"\\u001b[2J\",\"groups\":[{\"kind\":\"model\","
                           "\"name\":\"a\\u001b]0;x\\u0007\\u202eb\\u009b1m\\u00e9\"}]}",
                           &(struct usage_look){.columns = 100});
    assert_non_null(strstr(text_string(&out), "weir ?[2J"));
    assert_non_null(strstr(text_string(&out), "a?]0;x??b?1m\xc3\xa9"));
    assert_null(strchr(text_string(&out), '\033'));
    text_destroy(&out);
}

static void an_answer_of_nothing_is_a_table_of_nobody(void **state)
{
    (void)state;
    struct text out = draw("{\"groups\":[7,{}],\"lines\":3}", &(struct usage_look){.columns = 1});
    assert_non_null(strchr(text_string(&out), '\n'));
    text_destroy(&out);
    out = draw("{}", &(struct usage_look){.lines = 1});
    text_destroy(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_has_the_nearest_line_that_its_users_are_held_against),
        cmocka_unit_test(what_has_no_room_is_cut_and_told),
        cmocka_unit_test(colors_are_of_rows_that_are_near_and_only_where_wanted),
        cmocka_unit_test(what_a_terminal_would_obey_is_drawn_as_a_question),
        cmocka_unit_test(an_answer_of_nothing_is_a_table_of_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
