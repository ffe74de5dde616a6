/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "daemon/api/stop.h"

static struct stop_set *set_of(const char *const *strings, size_t count)
{
    struct stop_string list[STOP_STRINGS_MAX];
    for (size_t i = 0; i < count; i++)
        list[i] = (struct stop_string){strings[i], strlen(strings[i])};
    struct stop_set *set = stop_set_new(list, count);
    assert_non_null(set);
    return set;
}

/* The rule, said plainly: the first end of any string; there, the longest. */
static size_t plain_find(const char *const *strings, size_t count, const char *text,
                         size_t *ret_end)
{
    for (size_t end = 1; end <= strlen(text); end++) {
        size_t found = 0;
        for (size_t i = 0; i < count; i++) {
            size_t length = strlen(strings[i]);
            if (length <= end && length > found &&
                memcmp(text + end - length, strings[i], length) == 0)
                found = length;
        }
        if (found > 0) {
            *ret_end = end;
            return found;
        }
    }
    return 0;
}

/* The longest beginning of a string that the text ends with. */
static size_t plain_held(const char *const *strings, size_t count, const char *text, size_t bytes)
{
    size_t held = 0;
    for (size_t i = 0; i < count; i++)
        for (size_t length = 1; length < strlen(strings[i]) && length <= bytes; length++)
            if (length > held && memcmp(text + bytes - length, strings[i], length) == 0)
                held = length;
    return held;
}

/* Every text over {a, b} of 9 letters, cut in every way, against the plain rule. */
static void what_is_found_does_not_depend_on_the_cuts(void **state)
{
    (void)state;
    static const char *const strings[] = {"aab", "abab", "bb", "aabaaab"};
    struct stop_set *set = set_of(strings, 4);
    for (unsigned letters = 0; letters < 512; letters++) {
        char text[10] = {0};
        for (size_t i = 0; i < 9; i++)
            text[i] = (letters >> i & 1) != 0 ? 'b' : 'a';
        size_t end = 9, length = plain_find(strings, 4, text, &end);
        for (unsigned cuts = 0; cuts < 256; cuts++) {
            struct stop_state at = {0};
            size_t begin = 0, found = 0, read = 0;
            for (size_t i = 1; i <= 9 && found == 0; i++) {
                if (i < 9 && (cuts >> (i - 1) & 1) == 0)
                    continue;
                size_t used;
                found = stop_feed(set, &at, text + begin, i - begin, &used);
                read = begin + used;
                if (found == 0)
                    assert_int_equal(stop_held(set, &at), plain_held(strings, 4, text, i));
                begin = i;
            }
            assert_int_equal(found, length);
            assert_int_equal(read, end);
        }
    }
    stop_set_free(set);
}

static void of_strings_complete_at_once_the_longest_is_found(void **state)
{
    (void)state;
    static const char *const strings[] = {"END", "THE END"};
    struct stop_set *set = set_of(strings, 2);
    struct stop_state at = {0};
    size_t used;
    assert_int_equal(stop_feed(set, &at, "to THE ENDING", 13, &used), 7);
    assert_int_equal(used, 10);
    stop_set_free(set);
}

static void a_stop_string_may_hold_nul_and_be_as_long_as_the_limit(void **state)
{
    (void)state;
    char longest[STOP_BYTES_MAX];
    memset(longest, 'a', sizeof longest);
    longest[7] = '\0';
    struct stop_string one = {longest, sizeof longest};
    struct stop_set *set = stop_set_new(&one, 1);
    assert_non_null(set);
    struct stop_state at = {0};
    size_t used;
    assert_int_equal(stop_feed(set, &at, longest, sizeof longest - 1, &used), 0);
    assert_int_equal(stop_held(set, &at), sizeof longest - 1);
    assert_int_equal(stop_feed(set, &at, "a", 1, &used), sizeof longest);
    stop_set_free(set);
    stop_set_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_found_does_not_depend_on_the_cuts),
        cmocka_unit_test(of_strings_complete_at_once_the_longest_is_found),
        cmocka_unit_test(a_stop_string_may_hold_nul_and_be_as_long_as_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
