/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "policy/license/model_card.h"

static struct model_card read_card(const char *text)
{
    struct model_card card;
    struct error err = {0};
    if (model_card_init(&card, text, strlen(text), &err) != 0)
        fail_msg("%s", err.text);
    return card;
}

static void names_and_lists_are_read_alike(void **state)
{
    (void)state;
    struct model_card card = read_card("\xef\xbb\xbf---\r\nlicense: mit\r\nbase_model: org/a\r\n"
                                       "tags:\r\n- x\r\npipeline_tag: text-generation\r\n---\r\n");
    assert_int_equal(card.license_count, 1);
    assert_string_equal(card.licenses[0], "mit");
    assert_int_equal(card.base_model_count, 1);
    assert_string_equal(card.base_models[0], "org/a");
    assert_string_equal(card.pipeline_tag, "text-generation");
    assert_null(card.license_name);
    model_card_destroy(&card);
    card = read_card("---\nlicense: [other, \"apache-2.0\"]\nlicense_name: 2.0\nlicense_link: >\n"
                     "  https://x/\nbase_model:\n  - a/b\n  - c/d\nbase_model_relation: merge\n"
                     "---\ntext\n---\n");
    assert_int_equal(card.license_count, 2);
    assert_string_equal(card.licenses[1], "apache-2.0");
    assert_string_equal(card.license_name, "2.0");
    assert_string_equal(card.license_link, "https://x/ ");
    assert_int_equal(card.base_model_count, 2);
    assert_string_equal(card.base_model_relation, "merge");
    model_card_destroy(&card);
}

static void a_text_without_front_matter_says_nothing(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        "---",
                                        "# Title\n---\nlicense: mit\n---\n",
                                        "---\nlicense: mit\n",
                                        "----\nlicense: mit\n----\n",
                                        "---\n---\n",
                                        "---\njust a line\n---\n",
                                        "---\n- license: mit\n---\n",
                                        "---\nlicense:\nlicense_name: ~\nbase_model: null\n---\n"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct model_card card = read_card(texts[i]);
        const struct model_card empty = {0};
        assert_memory_equal(&card, &empty, sizeof card);
    }
}

static void other_keys_may_be_anything(void **state)
{
    (void)state;
    struct model_card card =
        read_card("---\nmodel-index: &x\n- name: y\n  license: gpl\n  results: [{a: [1]}]\n"
                  "other: *x\n? {license: gpl}\n: {b: c}\nlicense: mit\n---\n");
    assert_int_equal(card.license_count, 1);
    assert_string_equal(card.licenses[0], "mit");
    model_card_destroy(&card);
}

/* A licence that cannot be read must not look like a card that gives none. */
static void unreadable_front_matter_names_its_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } rows[] = {
        {"---\nlicense: [mit\n---\n", "line "},
        {"---\na: 1\nlicense:\n  name: mit\n---\n", "line 4: license is no name"},
        {"---\nlicense:\n- [mit]\n---\n", "line 3: license is no name"},
        {"---\na: &x mit\nlicense: *x\n---\n", "line 3: license is no name but an alias"},
        {"---\nlicense: \xff\xfe\n---\n", "front matter: "},
        {"---\nlicense: [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]\n---\n", "more than 16"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct model_card card;
        struct error err = {0};
        const struct model_card empty = {0};
        assert_int_equal(model_card_init(&card, rows[i].text, strlen(rows[i].text), &err),
                         ERROR_INVALID);
        if (strstr(err.text, rows[i].message) == NULL)
            fail_msg("%s", err.text);
        assert_memory_equal(&card, &empty, sizeof card);
    }
}

static void a_nul_does_not_end_a_name(void **state)
{
    (void)state;
    struct model_card card = read_card("---\nlicense: \"mit\\0 with a rider\"\n---\n");
    assert_string_equal(card.licenses[0], "mit  with a rider");
    model_card_destroy(&card);
}

static void size_and_depth_have_limits(void **state)
{
    (void)state;
    size_t count = MODEL_CARD_BYTES_MAX + 64;
    char *text = malloc(count);
    struct model_card card;
    struct error err = {0};
    memset(text, '[', count);
    memcpy(text, "---\nx: ", 7);
    memcpy(text + 4096, "\n---\n", 5);
    assert_int_equal(model_card_init(&card, text, 4101, &err), ERROR_INVALID);
    assert_non_null(strstr(err.text, "nested deeper"));
    memset(text + 4, '\n', count - 4);
    memcpy(text + count - 20, "\nlicense: mit\n---\n", 18);
    assert_int_equal(model_card_init(&card, text, count, &err), ERROR_INVALID);
    assert_non_null(strstr(err.text, "more than"));
    memset(text + 4, 'a', count - 4);
    memcpy(text + 4, "license: ", 9);
    memcpy(text + 100000, "\n---\n", 5);
    assert_int_equal(model_card_init(&card, text, count, &err), 0);
    assert_int_equal(strlen(card.licenses[0]), 1024);
    model_card_destroy(&card);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_lists_are_read_alike),
        cmocka_unit_test(a_text_without_front_matter_says_nothing),
        cmocka_unit_test(other_keys_may_be_anything),
        cmocka_unit_test(unreadable_front_matter_names_its_line),
        cmocka_unit_test(a_nul_does_not_end_a_name),
        cmocka_unit_test(size_and_depth_have_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
