/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "policy/license/license_pattern.h"

static struct license_text read_text(const char *bytes)
{
    struct license_text text = {0};
    struct error err = {0};
    if (license_text_init(&text, bytes, strlen(bytes), &err) != 0)
        fail_msg("%s", err.text);
    return text;
}

/* The pattern of a text in which slots are marked. */
static struct license_pattern *pattern_of(const char *bytes)
{
    struct license_text text = read_text(bytes);
    struct text out;
    struct error err = {0};
    text_init(&out);
    license_text_write(&text, 0, &out);
    const char *sentences = strstr(text_string(&out), "|\n");
    assert_non_null(sentences);
    struct license_pattern *pattern = license_pattern_new(sentences + 2, &err);
    if (pattern == NULL)
        fail_msg("%s", err.text);
    text_destroy(&out);
    license_text_destroy(&text);
    return pattern;
}

static bool is_pattern(const char *marked, const char *bytes)
{
    struct license_pattern *pattern = pattern_of(marked);
    struct license_text text = read_text(bytes);
    bool found = license_pattern_is(pattern, &text);
    license_text_destroy(&text);
    license_pattern_free(pattern);
    return found;
}

static void malformed_patterns_name_their_line(void **state)
{
    (void)state;
    static const struct {
        const char *sentences, *message;
    } rows[] = {
        {"", "no sentences"},
        {"\n \n", "no sentences"},
        {"x", "line 1"},
        {"3:0011223344556677\n3:001122334455667", "line 2"},
        {"3:0011223344556677\n\n3:00112233445566778", "line 3"},
        {"0:0011223344556677", "line 1"},
        {"524289:0011223344556677", "line 1"},
        {"4294967297:0011223344556677", "line 1"},
        {"3:001122334455667G", "line 1"},
        {"3:00112233445566AA", "line 1"}, /* one spelling only */
        {"3 :0011223344556677", "line 1"},
        {"-3:0011223344556677", "line 1"},
        {"3:0011223344556677 ~0", "line 1"},
        {"3:0011223344556677 ~33", "line 1"},
        {"3:0011223344556677~3", "line 1"},
        {"3:0011223344556677 ~3 ~3", "side by side"},
        {"~3", "slots alone"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct error err = {0};
        assert_null(license_pattern_new(rows[i].sentences, &err));
        assert_int_equal(err.code, ERROR_INVALID);
        if (strstr(err.text, rows[i].message) == NULL)
            fail_msg("row %zu: %s", i, err.text);
    }
}

static void patterns_are_bounded(void **state)
{
    (void)state;
    struct text lines;
    struct error err = {0};
    text_init(&lines);
    for (uint32_t i = 0; i < LICENSE_PATTERN_SENTENCES_MAX; i++)
        text_append_string(&lines, "3:0011223344556677\r\n");
    struct license_pattern *pattern = license_pattern_new(text_string(&lines), &err);
    assert_non_null(pattern);
    assert_int_equal(license_pattern_sentences(pattern), LICENSE_PATTERN_SENTENCES_MAX);
    assert_int_equal(license_pattern_words(pattern), 3 * LICENSE_PATTERN_SENTENCES_MAX);
    assert_false(license_pattern_has_slots(pattern));
    license_pattern_free(pattern);
    text_append_string(&lines, "3:0011223344556677\n");
    assert_null(license_pattern_new(text_string(&lines), &err));
    assert_non_null(strstr(err.text, "line 2049"));
    text_reset(&lines);
    for (uint32_t i = 0; i <= LICENSE_PATTERN_SLOTS_MAX; i++)
        text_append_string(&lines, "3:0011223344556677 ~3\n");
    assert_null(license_pattern_new(text_string(&lines), &err));
    assert_non_null(strstr(err.text, "line 65"));
    text_destroy(&lines);
}

static void slots_take_names_and_no_rules(void **state)
{
    (void)state;
    static const char marked[] = "Keep it. Do not use weirslot4 to advertise weirslot2.";
    assert_true(is_pattern(marked, "Keep it. Do not use the name of Acme to advertise Robots."));
    assert_true(is_pattern(marked, "Keep it.\n\nDo not use Acme to advertise."));
    assert_false(is_pattern(marked, "Keep it. Do not use the many names of Acme to advertise."));
    assert_false(is_pattern(marked, "Keep it. Do not use Acme commercially to advertise."));
    assert_false(is_pattern(marked, "Keep it. Do not use Acme to advertise, users pay."));
    assert_false(is_pattern(marked, "Keep it. Do not use Acme to advertise robots. Run."));
    assert_true(is_pattern(marked, "Keep it. Do not use Acme Inc. Robots to advertise."));
    assert_false(is_pattern(marked, "Do not use Acme to advertise robots."));
    assert_false(is_pattern(marked, "Keep it."));
    /* a slot that could end in several places finds the one that fits */
    assert_true(is_pattern("By weirslot8 and weirslot8 it is.", "By A and B and C and D it is."));
}

static void every_word_counts_whatever_ends_a_sentence(void **state)
{
    (void)state;
    static const char marked[] = "Keep it here. You may run it.\n\nYou may sell it; ask weirslot3.";
    assert_true(is_pattern(marked, "Keep it here you may run it. You may sell it: ask Acme"));
    assert_false(
        is_pattern(marked, "Keep it here you may run it. You may sell it: ask me, Acme Inc, Ltd"));
    assert_false(is_pattern(marked, "Keep it here you may not run it. You may sell it: ask Acme"));
}

/* Aligns and says which words are nobody's, joined by blanks. */
static void expect_left_over(const char *marked, const char *bytes, const char *words,
                             uint32_t missing)
{
    struct license_pattern *pattern = pattern_of(marked);
    struct license_text text = read_text(bytes);
    struct license_alignment alignment;
    struct error err = {0};
    struct text left;
    bool *matched = calloc(text.word_count, sizeof *matched);
    uint32_t count = 0;
    assert_non_null(matched);
    assert_int_equal(license_pattern_align(pattern, &text, &alignment, matched, &err), 0);
    text_init(&left);
    for (uint32_t i = 0; i < text.word_count; i++) {
        count += matched[i];
        if (!matched[i])
            text_append(&left, text.words + text.starts[i], text.starts[i + 1] - text.starts[i]);
    }
    assert_string_equal(text_string(&left), words);
    assert_int_equal(alignment.missing, missing);
    assert_int_equal(alignment.word_count, count);
    text_destroy(&left);
    free(matched);
    license_text_destroy(&text);
    license_pattern_free(pattern);
}

#define BODY "Keep this note. You may run the robot wherever you like. You may sell it.\n\n"

static void words_put_in_are_told_from_those_that_were_there(void **state)
{
    (void)state;
    expect_left_over(BODY, BODY, "", 0);
    expect_left_over(BODY, "Pay us.\n\n" BODY, "pay us ", 0);
    expect_left_over(BODY, BODY "Pay us.", "pay us ", 0);
    expect_left_over(BODY,
                     "Keep this note. Pay us. You may run the robot wherever you like. You "
                     "may sell it.",
                     "pay us ", 0);
    /* within a sentence, with and without a stop of its own */
    expect_left_over(BODY,
                     "Keep this note. You may run Pay us. the robot wherever you like. You "
                     "may sell it.",
                     "pay us ", 0);
    expect_left_over(BODY,
                     "Keep this note. You may not run the robot wherever you like. You may "
                     "sell it.",
                     "not ", 0);
    /* stuck to its neighbours */
    expect_left_over(BODY,
                     "Keep this note and pay us you may run the robot wherever you like. "
                     "You may sell it.",
                     "and pay us ", 0);
    /* in two places */
    expect_left_over(BODY,
                     "Pay us. Keep this note. You may run the robot wherever you like. You "
                     "may sell it, pay us.",
                     "pay us pay us ", 0);
}

static void what_is_missing_or_altered_is_counted(void **state)
{
    (void)state;
    expect_left_over(BODY, "Keep this note. You may sell it.", "", 1);
    expect_left_over(BODY,
                     "Keep this note. You may hit the robot wherever you like. You may sell "
                     "it.",
                     "you may hit the robot wherever you like ", 1);
    expect_left_over(BODY, "Something else.", "something else ", 3);
    /* in order: a sentence that moved is one of theirs and one of ours */
    expect_left_over("A b c d. E f. G h.", "E f. A b c d. G h.", "e f ", 1);
}

static void slots_are_walked_too(void **state)
{
    (void)state;
    static const char marked[] = "Keep this. Ask weirslot3 before noon. Go weirslot3.\n\nEnd it.";
    expect_left_over(marked, "Keep this. Ask Acme before noon. Go Acme Home. End it.", "", 0);
    expect_left_over(marked, "Keep this and pay us. Ask Acme before noon. Go Acme Home. End it.",
                     "and pay us ", 0);
    expect_left_over(marked, "Keep this. Ask users before noon. Go Acme.\n\nEnd it.", "users ", 0);
}

static void a_hostile_text_costs_a_bounded_effort(void **state)
{
    (void)state;
    /* one long sentence of the pattern, the same with one word changed and one more */
    struct text bytes, longer;
    text_init(&bytes);
    text_init(&longer);
    for (uint32_t i = 0; i < 60000; i++) {
        text_append_string(&bytes, "word ");
        text_append_string(&longer, i == 30000 ? "other " : "word ");
    }
    text_append_string(&longer, "word");
    struct license_pattern *pattern = pattern_of(text_string(&bytes));
    struct license_text text = read_text(text_string(&longer));
    struct license_alignment alignment;
    bool *matched = calloc(text.word_count, sizeof *matched);
    assert_int_equal(license_pattern_align(pattern, &text, &alignment, matched, NULL), 0);
    assert_int_equal(alignment.missing, 1);
    free(matched);
    license_text_destroy(&text);
    license_pattern_free(pattern);
    /* more sentences than are compared */
    text_reset(&longer);
    for (uint32_t i = 0; i < LICENSE_PATTERN_COMPARED_MAX + 9; i++)
        text_append_format(&longer, "A b%u. ", i);
    text_reset(&bytes);
    for (uint32_t i = 0; i < LICENSE_PATTERN_SENTENCES_MAX; i++)
        text_append_format(&bytes, "A b%u. ", i * 2);
    pattern = pattern_of(text_string(&bytes));
    text = read_text(text_string(&longer));
    matched = calloc(text.word_count, sizeof *matched);
    assert_int_equal(license_pattern_align(pattern, &text, &alignment, matched, NULL), 0);
    assert_int_equal(alignment.missing, 0);
    assert_int_equal(alignment.word_count, 2 * LICENSE_PATTERN_SENTENCES_MAX);
    free(matched);
    license_text_destroy(&text);
    license_pattern_free(pattern);
    text_destroy(&bytes);
    text_destroy(&longer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(malformed_patterns_name_their_line),
        cmocka_unit_test(patterns_are_bounded),
        cmocka_unit_test(slots_take_names_and_no_rules),
        cmocka_unit_test(every_word_counts_whatever_ends_a_sentence),
        cmocka_unit_test(words_put_in_are_told_from_those_that_were_there),
        cmocka_unit_test(what_is_missing_or_altered_is_counted),
        cmocka_unit_test(slots_are_walked_too),
        cmocka_unit_test(a_hostile_text_costs_a_bounded_effort),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
