/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/profile/stacks.h"

static const char thread[] = "worker-0", run[] = "run", read_[] = "read", write_[] = "write";

static struct stacks *make(void)
{
    struct error err = {0};
    struct stacks *stacks = stacks_new(&err);
    assert_non_null(stacks);
    return stacks;
}

static void expect(struct stacks *stacks, size_t bytes_max, const char *expected)
{
    struct text text;
    text_init(&text);
    stacks_fold(stacks, bytes_max, &text);
    assert_string_equal(text_string(&text), expected);
    text_destroy(&text);
    stacks_free(stacks);
}

static void equal_stacks_are_one_line_and_the_heaviest_comes_first(void **state)
{
    (void)state;
    struct stacks *stacks = make();
    stacks_add(stacks, (const char *const[]){read_, run, thread}, 3, 1);
    stacks_add(stacks, (const char *const[]){write_, run, thread}, 3, 2);
    stacks_add(stacks, (const char *const[]){run, thread}, 2, 7);
    stacks_add(stacks, (const char *const[]){read_, run, thread}, 3, 3);
    assert_int_equal(stacks_samples(stacks), 13);
    expect(stacks, 1000, "worker-0;run 7\nworker-0;run;read 4\nworker-0;run;write 2\n");
}

static void no_samples_are_no_lines(void **state)
{
    (void)state;
    expect(make(), 1000, "");
}

static void recursion_is_kept(void **state)
{
    (void)state;
    struct stacks *stacks = make();
    stacks_add(stacks, (const char *const[]){run, run, thread}, 3, 1);
    stacks_add(stacks, (const char *const[]){run, thread}, 2, 1);
    expect(stacks, 1000, "worker-0;run;run 1\nworker-0;run 1\n");
}

static void what_separates_is_in_no_name(void **state)
{
    (void)state;
    struct stacks *stacks = make();
    stacks_add(stacks, (const char *const[]){"a;b\nc", "my thread"}, 2, 1);
    expect(stacks, 1000, "my thread;a:b_c 1\n");
}

static void a_text_that_is_full_says_how_much_is_left_out(void **state)
{
    (void)state;
    struct stacks *stacks = make();
    stacks_add(stacks, (const char *const[]){read_, thread}, 2, 5);
    stacks_add(stacks, (const char *const[]){write_, thread}, 2, 3);
    stacks_add(stacks, (const char *const[]){"x", thread}, 2, 1); /* it would fit, and is lighter */
    expect(stacks, strlen("worker-0;read 5\n") + 14, "worker-0;read 5\n" STACKS_OTHERS " 4\n");
}

static void stacks_past_the_most_are_counted_together(void **state)
{
    (void)state;
    static char names[STACKS_MAX + 5];
    struct stacks *stacks = make();
    for (uint32_t i = 0; i < STACKS_MAX + 5; i++)
        stacks_add(stacks, (const char *const[]){&names[i]}, 1, 1);
    for (uint32_t i = 0; i < STACKS_MAX + 5; i++) /* those that are known go on being told apart */
        stacks_add(stacks, (const char *const[]){&names[i]}, 1, 1);
    assert_int_equal(stacks_samples(stacks), 2 * (STACKS_MAX + 5));
    struct text text;
    text_init(&text);
    stacks_fold(stacks, SIZE_MAX, &text);
    const char *last = strstr(text_string(&text), STACKS_OTHERS);
    assert_non_null(last);
    assert_string_equal(last, STACKS_OTHERS " 10\n");
    size_t lines = 0;
    for (const char *at = text_string(&text); (at = strchr(at, '\n')) != NULL; at++)
        lines++;
    assert_int_equal(lines, STACKS_MAX + 1);
    text_destroy(&text);
    stacks_free(stacks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_stacks_are_one_line_and_the_heaviest_comes_first),
        cmocka_unit_test(no_samples_are_no_lines),
        cmocka_unit_test(recursion_is_kept),
        cmocka_unit_test(what_separates_is_in_no_name),
        cmocka_unit_test(a_text_that_is_full_says_how_much_is_left_out),
        cmocka_unit_test(stacks_past_the_most_are_counted_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
