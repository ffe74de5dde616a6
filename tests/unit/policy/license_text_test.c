/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/license/license_restriction.h"
#include "policy/license/license_text.h"
#include "policy/license/license_words.h"

static struct license_text read_bytes(const char *bytes, size_t count)
{
    struct license_text text = {0};
    struct error err = {0};
    if (license_text_init(&text, bytes, count, &err) != 0)
        fail_msg("%s", err.text);
    return text;
}

static void expect_words(const char *bytes, const char *words)
{
    struct license_text text = read_bytes(bytes, strlen(bytes));
    assert_string_equal(text.words, words);
    assert_int_equal(text.starts[text.word_count], strlen(words));
    license_text_destroy(&text);
}

static void layout_and_quotes_are_no_words(void **state)
{
    (void)state;
    static const char *const spellings[] = {
        "Show \"Acme One\" on\nyour site; do not sell.",
        ("  show \xe2\x80\x9c"
         "Acme One\xe2\x80\x9d on your\r\n\tsite; do not sell.   \r\n\r\n"),
        "\xef\xbb\xbf> Show 'Acme One'\n> on your site; do *not* sell.\n",
        "// SHOW Acme\xc2\xa0One on your site;\n// do not sell.",
        "Show Acme One on your\rsite; do not sell.\r",
        "# Show Acme-One on your site;\n#\n\n# do not sell.",
    };
    for (size_t i = 0; i < sizeof spellings / sizeof spellings[0]; i++)
        expect_words(spellings[i], "show acme one on your site do not sell ");
}

static void other_scripts_are_words_wherever_a_line_breaks(void **state)
{
    (void)state;
    /* "no commercial use", with a full-width stop; then with a line end within */
    expect_words("MIT \xe7\xa6\x81\xe6\xad\xa2\xe5\x95\x86\xe7\x94\xa8\xe3\x80\x82",
                 "mit \xe7\xa6\x81 \xe6\xad\xa2 \xe5\x95\x86 \xe7\x94\xa8 ");
    expect_words("MIT \xe7\xa6\x81\xe6\xad\xa2\n\xe5\x95\x86\xe7\x94\xa8",
                 "mit \xe7\xa6\x81 \xe6\xad\xa2 \xe5\x95\x86 \xe7\x94\xa8 ");
    expect_words("r\xc3\xa9sum\xc3\xa9 \xd0\xbd\xd0\xb5\xd1\x82",
                 "r\xc3\xa9sum\xc3\xa9 \xd0\xbd\xd0\xb5\xd1\x82 ");
}

static void who_and_when_is_left_open(void **state)
{
    (void)state;
    static const char *const heads[] = {
        "Copyright (c) 2025 Acme\n\n",
        "Copyright \xc2\xa9 2019-2025 Acme, Inc. and its affiliates. All rights reserved.\n\n",
        "MIT License\n\nCopyright 2025 Acme Institute for Robots\nAll Rights Reserved.\n\n",
        "The MIT License (MIT)\nCopyright (C) Acme Research\n\n",
        "(c) 2024 Acme\n\n",
        "Copyright [yyyy] [name of copyright owner]\n\n",
        ("BSD 3-Clause License\n\nCopyright (c) 2024, The Very Long Name of a Company\n"
         "of Two Lines\n\n"),
        "Copyright (c) 2025 Acme\n",
        "MIT License Copyright (c) 2025 Acme\n\n",
        "Copyright (c) 2025 \xe4\xb8\x8a\xe6\xb5\xb7\n\n", /* Shanghai */
    };
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        char bytes[512];
        (void)snprintf(bytes, sizeof bytes, "%sYou may keep it.\n", heads[i]);
        expect_words(bytes, "you may keep it ");
    }
    expect_words("Copyright (c) 2025 Acme Permission is hereby granted.",
                 "permission is hereby granted ");
}

static void a_rule_is_no_copyright_line(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "Copyright (c) 2025 Acme, not for commercial use",
        "Copyright (c) 2025 Acme. Users must pay.",
        "Copyright 2025 Acme. For research.",
        "Copyright 2025 Acme. Academic evaluation.",
        "Copyright 2025 Acme, military excluded",
        "Copyright 2025 Acme (European Union excluded)",
        "Copyright (c) 2025 Acme, limited to students",
        "Copyright (c) 2025 Acme \xe7\xa6\x81\xe6\xad\xa2\xe5\x95\x86\xe7\x94\xa8",
        "MIT License for research",
        "Modified MIT License",
        "MIT License, 5 users",
        "All rights reserved.", /* after no copyright */
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        char bytes[512];
        (void)snprintf(bytes, sizeof bytes, "%s\n\nYou may keep it.\n", lines[i]);
        struct license_text text = read_bytes(bytes, strlen(bytes));
        if (strcmp(text.words, "you may keep it ") == 0)
            fail_msg("'%s' went unread", lines[i]);
        license_text_destroy(&text);
    }
    /* within a paragraph a line that begins so is but a line */
    expect_words("Keep this\ncopyright 2025 Acme\nwith it.",
                 "keep this copyright 2025 acme with it ");
}

static void names_hide_no_rule(void **state)
{
    (void)state;
    static const char *const names[] = {"",
                                        "acme ",
                                        "the regents of the university of x ",
                                        "lg ai research ",
                                        "acme korea ",
                                        "institute for peace "};
    static const char *const rules[] = {"acme for peace ",
                                        "acme users ",
                                        "non acme ",
                                        "acme only ",
                                        "monthly active acme ",
                                        "acme research evaluation ",
                                        "the european union ",
                                        "\xe5\x95\x86 \xe7\x94\xa8 "};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        assert_true(license_words_are_a_name(names[i], strlen(names[i])));
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
        assert_false(license_words_are_a_name(rules[i], strlen(rules[i])));
    char longest[LICENSE_NAME_BYTES_MAX + 2];
    memset(longest, 'a', sizeof longest);
    assert_true(license_words_are_a_name(longest, LICENSE_NAME_BYTES_MAX - 1));
    assert_false(license_words_are_a_name(longest, LICENSE_NAME_BYTES_MAX + 1));
}

static void sentences_end_at_stops_and_paragraphs(void **state)
{
    (void)state;
    static const char bytes[] = "1. Grant. You may (with care.) use v2.0 of\nit;\n\nA title\n\n"
                                "See http://a.example/x?y=z: always \"so.\" The end\n";
    static const char *const expected[] = {
        "1. Grant.", "You may (with care.)",        "use v2.0 of\nit;",
        "A title",   "See http://a.example/x?y=z:", "always \"so.\"",
        "The end"};
    struct license_text text = read_bytes(bytes, strlen(bytes));
    uint32_t word = 0;
    assert_int_equal(text.sentence_count, sizeof expected / sizeof expected[0]);
    for (uint32_t i = 0; i < text.sentence_count; i++) {
        const struct license_sentence *sentence = &text.sentences[i];
        assert_int_equal(sentence->end - sentence->begin, strlen(expected[i]));
        assert_memory_equal(bytes + sentence->begin, expected[i], strlen(expected[i]));
        assert_int_equal(sentence->first_word, word);
        word += sentence->word_count;
    }
    assert_int_equal(word, text.word_count);
    license_text_destroy(&text);
}

static void what_is_no_text_is_named_with_a_remedy(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t count;
        const char *what, *remedy;
    } rows[] = {
        {"", 0, "empty", "put"},
        {"\xff\xfeM\0I\0T\0", 8, "UTF-16", "UTF-8"},
        {"\xfe\xff\0M\0I\0T", 8, "UTF-16", "UTF-8"},
        {"M\0I\0T\0 \0L\0i\0c\0", 14, "UTF-16", "UTF-8"},
        {"\0M\0I\0T\0 \0L\0i\0c", 14, "UTF-16", "UTF-8"},
        {"\x1f\x8b\x08\0\0\0", 6, "gzip", "gunzip"},
        {"PK\x03\x04zzzz", 8, "zip", "UTF-8"},
        {"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", 15, "PDF", "pdftotext"},
        {"<!DOCTYPE html>\n<html><p>MIT License", 36, "HTML", "UTF-8"},
        {"\xef\xbb\xbf\n  <HTML lang=en><p>MIT", 25, "HTML", "UTF-8"},
        {"<!-- saved -->\n<html><p>MIT", 27, "HTML", "UTF-8"},
        {"{\\rtf1\\ansi MIT}", 16, "RTF", "UTF-8"},
        {"MIT\0License", 11, "binary", "beside the weights"},
        {"MIT\x01License", 11, "binary", "beside the weights"},
        {"line\nCopyright \xa9 2025", 21, "not UTF-8 (byte 0xa9 in line 2)", "iconv"},
        {"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", 57, "Git LFS", "git lfs"},
        {" \n\t--- \n", 8, "no words", "put"},
        {"MIT License\n\nCopyright (c) 2025 Acme\n", 37, "no words but a title", "put"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct license_text text = {.word_count = 7};
        struct error err = {0};
        assert_int_equal(license_text_init(&text, rows[i].bytes, rows[i].count, &err),
                         ERROR_UNSUPPORTED);
        assert_int_equal(text.word_count, 7); /* untouched */
        if (strstr(err.text, rows[i].what) == NULL || strstr(err.text, rows[i].remedy) == NULL)
            fail_msg("row %zu: %s", i, err.text);
    }
}

static void more_than_a_licence_can_have_is_refused(void **state)
{
    (void)state;
    size_t count = LICENSE_TEXT_BYTES_MAX + 1;
    char *bytes = malloc(count);
    assert_non_null(bytes);
    struct license_text text;
    struct error err = {0};
    memset(bytes, 'a', count);
    assert_int_equal(license_text_init(&text, bytes, count, &err), ERROR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "1048577 bytes"));
    for (size_t i = 1; i < count; i += 2)
        bytes[i] = ' ';
    assert_int_equal(license_text_init(&text, bytes, count - 1, &err), 0);
    assert_int_equal(text.word_count, LICENSE_TEXT_BYTES_MAX / 2);
    license_text_destroy(&text);
    free(bytes);
}

static void markdown_that_begins_with_a_tag_is_text(void **state)
{
    (void)state;
    expect_words("<p align=\"center\">Acme</p>\n", "p align center acme p ");
}

static void the_entry_of_a_text_is_written_as_yaml(void **state)
{
    (void)state;
    static const char bytes[] = "A b.\n\nC d weirslot8 c d weirslot12.\n";
    struct license_text text = read_bytes(bytes, strlen(bytes));
    uint64_t ab, cd;
    char expected[256], digest[2 * LICENSE_DIGEST_BYTES + 1];
    struct text out;
    assert_true(license_words_hash("a b ", 4, &ab));
    assert_true(license_words_hash("c d ", 4, &cd));
    for (size_t i = 0; i < LICENSE_DIGEST_BYTES; i++)
        (void)snprintf(digest + 2 * i, 3, "%02x", text.digest[i]);
    (void)snprintf(expected, sizeof expected,
                   "  digest: %s\n  sentences: |\n    2:%016llx\n"
                   "    2:%016llx ~8 2:%016llx ~12\n",
                   digest, (unsigned long long)ab, (unsigned long long)cd, (unsigned long long)cd);
    text_init(&out);
    license_text_write(&text, 2, &out);
    assert_string_equal(text_string(&out), expected);
    text_destroy(&out);
    license_text_destroy(&text);
}

static void restrictions_are_seen_in_english_and_chinese(void **state)
{
    (void)state;
    static const struct {
        const char *sentence, *topic;
    } rows[] = {
        {"Above 5M monthly users you shall ask us.", "users"},
        {"more than 100 million Monthly\n  Active Users", "users"},
        {"more than 9 MAU", "users"},
        {"if your DAU exceeds 9", "users"},
        {"annual recurring revenue above US$9", "revenue"},
        {"yearly turnover of more than EUR 9", "revenue"},
        {"not available in the EU", "territory"},
        {"It does not apply in the European\nUnion.", "territory"},
        {"if you are domiciled in France", "territory"},
        {"outside of Korea", "territory"},
        {"for research use only", "research"},
        {"for evaluation purposes", "research"},
        {"academic institutions", "research"},
        {"Non-Commercial.", "commerce"},
        {"noncommercial", "commerce"},
        {"in a production environment", "production"},
        {"you shall prominently display our name", "display"},
        {"must be shown on the user interface", "display"},
        {"not to compete with Acme", "competition"},
        {"a competing product", "competition"},
        {"after registration", "registration"},
        {"with our prior written consent", "registration"},
        {"under a separate license", "registration"},
        {"the Acceptable Use Policy", "conduct"},
        {"it is prohibited", "conduct"},
        {"You may not sell it", "conduct"},
        {"military purposes", "military"},
        {"\xe7\xa6\x81\xe6\xad\xa2\xe5\x95\x86\xe4\xb8\x9a\xe4\xbd\xbf\xe7\x94\xa8", "commerce"},
        {"\xe4\xbb\x85\xe9\x99\x90\xe7\xa0\x94\n\xe7\xa9\xb6", "research"}, /* a line end within */
        {"\xe6\x9c\x88\xe6\xb4\xbb\xe8\xb6\x85\xe8\xbf\x87", "users"},
        {"\xe7\xa6\x81\xe6\xad\xa2\xe3\x80\x82", "conduct"},
        {"Permission is hereby granted, free of charge.", NULL},
        {"in arrears, at Korean Airlines' museum of neutrality", NULL}, /* parts of words */
        {"", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *found = license_restriction(rows[i].sentence, strlen(rows[i].sentence));
        if ((found == NULL) != (rows[i].topic == NULL) ||
            (found != NULL && strcmp(found, rows[i].topic) != 0))
            fail_msg("'%s': %s", rows[i].sentence, found == NULL ? "nothing" : found);
    }
}

static void a_restriction_is_seen_anywhere_in_a_long_text(void **state)
{
    (void)state;
    char text[8192];
    static const char rider[] = " monthly active users ";
    for (size_t at = 0; at + sizeof rider < sizeof text; at += 7) {
        memset(text, 'x', sizeof text);
        for (size_t i = 9; i < sizeof text; i += 10)
            text[i] = ' ';
        memcpy(text + at, rider, strlen(rider));
        assert_string_equal(license_restriction(text, sizeof text), "users");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layout_and_quotes_are_no_words),
        cmocka_unit_test(other_scripts_are_words_wherever_a_line_breaks),
        cmocka_unit_test(who_and_when_is_left_open),
        cmocka_unit_test(a_rule_is_no_copyright_line),
        cmocka_unit_test(names_hide_no_rule),
        cmocka_unit_test(sentences_end_at_stops_and_paragraphs),
        cmocka_unit_test(what_is_no_text_is_named_with_a_remedy),
        cmocka_unit_test(more_than_a_licence_can_have_is_refused),
        cmocka_unit_test(markdown_that_begins_with_a_tag_is_text),
        cmocka_unit_test(the_entry_of_a_text_is_written_as_yaml),
        cmocka_unit_test(restrictions_are_seen_in_english_and_chinese),
        cmocka_unit_test(a_restriction_is_seen_anywhere_in_a_long_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
