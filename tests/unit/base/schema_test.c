/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/schema.h"

/* A schema with one of each shape. */
struct inner {
    char *name, *nick;
    uint64_t size;
};
struct outer {
    char *title, *subtitle;
    char *null_when_empty, *kept_null;
    uint32_t colour, bits;
    int64_t offset;
    bool open;
    struct inner inner;
    struct inner *others;
    uint32_t other_count;
    char **words;
    uint8_t word_count;
};

static const cyaml_strval_t colours[] = {{"red", 1}, {"green", 2}};
static const cyaml_schema_field_t inner_fields[] = {
    CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_POINTER, struct inner, name, 1, 8),
    CYAML_FIELD_STRING_PTR("nick", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct inner, nick, 0,
                           8),
    CYAML_FIELD_UINT("size", CYAML_FLAG_OPTIONAL, struct inner, size),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t inner_entry = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct inner, inner_fields)};
static const cyaml_schema_value_t word_entry = {CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 1, 8)};
static const cyaml_schema_field_t outer_fields[] = {
    CYAML_FIELD_STRING_PTR("title", CYAML_FLAG_POINTER, struct outer, title, 1, 8),
    CYAML_FIELD_STRING_PTR("subtitle", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct outer,
                           subtitle, 0, 8),
    CYAML_FIELD_STRING_PTR("null_when_empty", CYAML_FLAG_POINTER_NULL | CYAML_FLAG_OPTIONAL,
                           struct outer, null_when_empty, 0, 8),
    CYAML_FIELD_STRING_PTR("kept_null",
                           CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL | SCHEMA_FLAG_KEEP_NULL,
                           struct outer, kept_null, 0, 8),
    CYAML_FIELD_ENUM("colour", CYAML_FLAG_OPTIONAL | CYAML_FLAG_STRICT, struct outer, colour,
                     colours, 2),
    CYAML_FIELD_FLAGS("bits", CYAML_FLAG_OPTIONAL | CYAML_FLAG_STRICT, struct outer, bits, colours,
                      2),
    CYAML_FIELD_INT("offset", CYAML_FLAG_OPTIONAL, struct outer, offset),
    CYAML_FIELD_BOOL("open", CYAML_FLAG_OPTIONAL, struct outer, open),
    CYAML_FIELD_MAPPING("inner", CYAML_FLAG_OPTIONAL, struct outer, inner, inner_fields),
    CYAML_FIELD_SEQUENCE_COUNT("others", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct outer,
                               others, other_count, &inner_entry, 1, 2),
    CYAML_FIELD_SEQUENCE_COUNT("words", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct outer,
                               words, word_count, &word_entry, 0, 3),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t root = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct outer, outer_fields)};
static const cyaml_schema_value_t list_root = {
    CYAML_VALUE_SEQUENCE(CYAML_FLAG_POINTER, struct inner, &inner_entry, 0, 4)};

static struct schema_source source_of(const char *yaml)
{
    return (struct schema_source){.name = "x.yaml", .bytes = yaml, .count = strlen(yaml)};
}

static struct outer *load(const char *yaml)
{
    struct schema_source source = source_of(yaml);
    struct error err = {0};
    void *loaded = NULL;
    int result = schema_load(&source, &root, "see the manual", &loaded, &err);
    assert_string_equal(err.text, "");
    assert_int_equal(result, 0);
    return loaded;
}

static void expect_error(const char *yaml, const char *message)
{
    struct schema_source source = source_of(yaml);
    struct error err = {0};
    void *loaded = &err;
    assert_int_equal(schema_load(&source, &root, "see the manual", &loaded, &err), ERROR_INVALID);
    assert_string_equal(err.text, message);
    assert_ptr_equal(loaded, &err);
}

static void absent_string_is_empty_and_freed(void **state)
{
    (void)state;
    struct outer *loaded = load("title: a\nothers:\n  - name: b\n  - {name: c, nick: d}\n");
    assert_string_equal(loaded->subtitle, "");
    assert_string_equal(loaded->inner.name, "");
    assert_string_equal(loaded->inner.nick, "");
    assert_int_equal(loaded->other_count, 2);
    assert_string_equal(loaded->others[0].nick, "");
    assert_string_equal(loaded->others[1].nick, "d");
    assert_null(loaded->words);
    schema_free(&root, loaded);
    schema_free(&root, NULL);
}

static void null_strings_stay_null(void **state)
{
    (void)state;
    struct outer *loaded = load("title: a\n");
    assert_null(loaded->null_when_empty);
    assert_null(loaded->kept_null);
    schema_free(&root, loaded);
    loaded = load("title: a\nnull_when_empty: ''\nkept_null: ''\n");
    assert_null(loaded->null_when_empty);
    assert_string_equal(loaded->kept_null, "");
    schema_free(&root, loaded);
}

static void every_shape_is_read(void **state)
{
    (void)state;
    struct outer *loaded = load("title: a\ncolour: green\nbits: [red, green]\noffset: -12\n"
                                "open: yes\ninner: {name: b, size: 18446744073709551615}\n"
                                "words: [one, two]\n");
    assert_int_equal(loaded->colour, 2);
    assert_int_equal(loaded->bits, 3);
    assert_int_equal(loaded->offset, -12);
    assert_true(loaded->open);
    assert_true(loaded->inner.size == UINT64_MAX);
    assert_int_equal(loaded->word_count, 2);
    assert_string_equal(loaded->words[1], "two");
    schema_free(&root, loaded);
}

static void document_without_content_is_null(void **state)
{
    (void)state;
    assert_null(load(""));
    assert_null(load("# a comment\n"));
}

static void shape_error_names_line_path_and_remedy(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"title: a\nsubtite: b\n", "x.yaml:2: subtite: unknown key; did you mean 'subtitle'?"},
        {"title: a\nbanana: b\n", "x.yaml:2: banana: unknown key; see the manual"},
        {"title: a\nothers:\n  - name: b\n  - {nam: c}\n",
         "x.yaml:4: others[1].nam: unknown key; did you mean 'name'?"},
        {"title: a\ninner:\n  siz: 1\n", "x.yaml:3: inner.siz: unknown key; did you mean 'size'?"},
        {"subtitle: a\n", "x.yaml:1: 'title' is missing; add it"},
        {"title: a\nothers:\n  - name: b\n  - nick: c\n",
         "x.yaml:4: others[1]: 'name' is missing; add it"},
        {"title: a\nothers:\n  - name: b\n  - {}\n",
         "x.yaml:4: others[1]: 'name' is missing; add it"},
        {"title: a\ninner: {}\n", "x.yaml:2: inner: 'name' is missing; add it"},
        {"title: a\ntitle: b\n", "x.yaml:2: title: given twice; keep one"},
        {"title: a\ninner: 1\n", "x.yaml:2: inner: expected keys and values below it"},
        {"title: a\nwords: 1\n", "x.yaml:2: words: expected a list, each entry after a '- '"},
        {"title: a\nbits: red\n", "x.yaml:2: bits: expected a list, each entry after a '- '"},
        {"title: [a]\n", "x.yaml:1: title: expected a single value"},
        {"title: ''\n", "x.yaml:1: title: must not be empty"},
        {"title: 123456789\n", "x.yaml:1: title: too long"},
        {"title: a\nwords: [a, b, c, d]\n", "x.yaml:2: words: too many entries"},
        {"title: a\nothers: []\n", "x.yaml:2: others: must not be empty"},
        {"title: a\ncolour: blue\n", "x.yaml:2: colour: expected one of red, green, got 'blue'"},
        {"title: a\ncolour: 1\n", "x.yaml:2: colour: expected one of red, green, got '1'"},
        {"title: a\nbits: [red,\n  blue]\n",
         "x.yaml:2: bits: expected one of red, green, got 'blue'"},
        {"title: a\nbits: [[red]]\n", "x.yaml:2: bits: does not belong here"},
        {"- a\n", "x.yaml:1: expected keys and values below it"},
        {"title: a\n---\ntitle: b\n", "x.yaml:1: more than one document ('---'); keep one"},
        {"title: &a x\nsubtitle: *a\n",
         "x.yaml:2: subtitle: aliases (*name) are not taken; write the value out"},
        {"title: a\n\tsubtitle: b\n",
         "x.yaml:2: not YAML: found a tab character that violates indentation"},
        {"title: a\n\"sub\\e[31m\": b\n", "x.yaml:1: sub [31m: unknown key; see the manual"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        expect_error(rows[i][0], rows[i][1]);
}

/* strtoull() and its like would make something of each of these. */
static void numbers_are_digits_alone(void **state)
{
    (void)state;
    static const char *const wrong[] = {"1e9", "0700", "0x10", "7_000", "70M", "+7", "-7", "7.5"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char yaml[96], message[128];
        (void)snprintf(yaml, sizeof yaml, "title: a\nothers:\n  - {name: b, size: %s}\n", wrong[i]);
        (void)snprintf(message, sizeof message,
                       "x.yaml:3: others[0].size: expected a whole number in digits, got '%s'",
                       wrong[i]);
        expect_error(yaml, message);
    }
    expect_error("title: a\noffset: 1e3\n",
                 "x.yaml:2: offset: expected a whole number in digits, got '1e3'");
    expect_error("title: a\ninner: {name: b, size: 18446744073709551616}\n",
                 "x.yaml:2: inner.size: expected a whole number in digits, got "
                 "'18446744073709551616'");
    expect_error("title: a\ninner: {name: b, size: many}\n",
                 "x.yaml:2: inner.size: expected a whole number in digits, got 'many'");
}

static void boolean_is_one_of_four_words(void **state)
{
    (void)state;
    expect_error("title: a\nopen: maybe\n", "x.yaml:2: open: expected true or false, got 'maybe'");
    struct outer *loaded = load("title: a\nopen: no\n");
    assert_false(loaded->open);
    schema_free(&root, loaded);
}

static void list_document_is_loaded(void **state)
{
    (void)state;
    struct schema_source source = source_of("- {name: a}\n- {name: b, size: 7}\n");
    struct error err = {0};
    void *loaded = NULL;
    uint32_t count = 0;
    assert_int_equal(schema_load_list(&source, &list_root, "", &loaded, &count, &err), 0);
    assert_int_equal(count, 2);
    struct inner *entries = loaded;
    assert_string_equal(entries[0].nick, "");
    assert_int_equal(entries[1].size, 7);
    schema_free_list(&list_root, loaded, count);
    source = source_of("- {name: a}\n- {name: b, size: 07}\n");
    assert_int_equal(schema_load_list(&source, &list_root, "", &loaded, &count, &err),
                     ERROR_INVALID);
    assert_string_equal(err.text,
                        "x.yaml:2: [1].size: expected a whole number in digits, got '07'");
    source = source_of("a: b\n");
    assert_int_equal(schema_load_list(&source, &list_root, "", &loaded, &count, &err),
                     ERROR_INVALID);
    assert_string_equal(err.text, "x.yaml:1: expected a list, each entry after a '- '");
}

static void fault_is_placed_as_far_as_its_path_leads(void **state)
{
    (void)state;
    struct schema_source source = source_of("a:\n  - b: 1\n  - b: 2\n    c:\n      d: 3\n");
    static const struct {
        const char *path, *message;
    } rows[] = {
        {"", "x.yaml:1: wrong"},
        {"a", "x.yaml:1: a: wrong"},
        {"a[1]", "x.yaml:3: a[1]: wrong"},
        {"a[1].c.d", "x.yaml:5: a[1].c.d: wrong"},
        {"a[1].nothing", "x.yaml:3: a[1].nothing: wrong"},
        {"a[7].b", "x.yaml:1: a[7].b: wrong"},
        {"a[", "x.yaml:1: a[: wrong"},
        {"a[99999999999999999999].b", "x.yaml:1: a[99999999999999999999].b: wrong"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct error err = {0};
        assert_int_equal(schema_fail_at(&source, rows[i].path, "wrong", &err), ERROR_INVALID);
        assert_string_equal(err.text, rows[i].message);
    }
    assert_int_equal(schema_fail_at(&source, "a", "wrong", NULL), ERROR_INVALID);
}

/* libyaml's own documents take time in the square of either: minutes for this much. */
static void hostile_nesting_and_anchors_cost_little(void **state)
{
    (void)state;
    enum { DEPTH = 1 << 20 };
    char *yaml = malloc(DEPTH + 16);
    struct error err = {0};
    void *loaded;
    assert_non_null(yaml);
    memcpy(yaml, "title: ", 7);
    memset(yaml + 7, '[', DEPTH);
    struct schema_source source = {.name = "x.yaml", .bytes = yaml, .count = DEPTH + 7};
    assert_int_equal(schema_load(&source, &root, "", &loaded, &err), ERROR_INVALID);
    assert_string_equal(err.text, "x.yaml:1: nested too deep");
    source.count = 7;
    for (uint32_t i = 0; source.count < DEPTH; i++)
        source.count += (size_t)snprintf(yaml + source.count, 16, "\n- &%x x", i);
    memcpy(yaml, "words: ", 7);
    assert_int_equal(schema_load(&source, &root, "", &loaded, &err), ERROR_INVALID);
    assert_string_equal(err.text, "x.yaml:1: words: too many entries");
    free(yaml);
}

static void file_is_read_up_to_its_limit(void **state)
{
    (void)state;
    char path[] = "/tmp/weir-schema-XXXXXX", *bytes = NULL;
    size_t count = 0;
    struct error err = {0};
    int fd = mkstemp(path);
    assert_int_equal(write(fd, "12345678", 8), 8);
    close(fd);
    assert_int_equal(schema_read_file(path, 8, &bytes, &count, &err), 0);
    assert_int_equal(count, 8);
    assert_string_equal(bytes, "12345678");
    free(bytes);
    assert_int_equal(schema_read_file(path, 7, &bytes, &count, &err), ERROR_INVALID);
    assert_non_null(strstr(err.text, "larger than 7 bytes"));
    unlink(path);
    assert_int_equal(schema_read_file(path, 7, &bytes, &count, &err), ERROR_NOT_FOUND);
    assert_int_equal(schema_read_file("/tmp", 7, &bytes, &count, &err), ERROR_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(absent_string_is_empty_and_freed),
        cmocka_unit_test(null_strings_stay_null),
        cmocka_unit_test(every_shape_is_read),
        cmocka_unit_test(document_without_content_is_null),
        cmocka_unit_test(shape_error_names_line_path_and_remedy),
        cmocka_unit_test(numbers_are_digits_alone),
        cmocka_unit_test(boolean_is_one_of_four_words),
        cmocka_unit_test(list_document_is_loaded),
        cmocka_unit_test(fault_is_placed_as_far_as_its_path_leads),
        cmocka_unit_test(hostile_nesting_and_anchors_cost_little),
        cmocka_unit_test(file_is_read_up_to_its_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
