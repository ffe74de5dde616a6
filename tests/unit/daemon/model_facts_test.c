/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/text.h"
#include "daemon/model_facts.h"

enum { KIND_U32 = 4, KIND_STRING = 8, KIND_ARRAY = 9 };

/* A GGUF of keys alone, written front to back; the count of keys is put in at the end. */
struct file {
    struct text bytes;
    uint64_t key_count;
};
#define KEY_COUNT_AT 16u

static void put(struct file *file, const void *bytes, size_t count)
{
    text_append(&file->bytes, bytes, count);
}

static void put_string(struct file *file, const char *bytes, uint64_t count)
{
    put(file, &count, sizeof count);
    put(file, bytes, count);
}

static void begin(struct file *file)
{
    const uint32_t version = 3;
    const uint64_t none[2] = {0};
    file->key_count = 0;
    text_init(&file->bytes);
    put(file, "GGUF", 4);
    put(file, &version, sizeof version);
    put(file, none, sizeof none);
}

static void put_key(struct file *file, const char *key, uint32_t kind)
{
    put_string(file, key, strlen(key));
    put(file, &kind, sizeof kind);
    file->key_count++;
}

static void put_text(struct file *file, const char *key, const char *value, size_t count)
{
    put_key(file, key, KIND_STRING);
    put_string(file, value, count);
}

static void put_u32(struct file *file, const char *key, uint32_t value)
{
    put_key(file, key, KIND_U32);
    put(file, &value, sizeof value);
}

static void put_list(struct file *file, const char *key, const char *value, uint64_t count)
{
    const uint32_t kind = KIND_STRING;
    put_key(file, key, KIND_ARRAY);
    put(file, &kind, sizeof kind);
    put(file, &count, sizeof count);
    for (uint64_t i = 0; i < count; i++)
        put_string(file, value, strlen(value));
}

/* Reads what was written; the facts own all they need, so the file is gone when it returns. */
static int read_back(struct file *file, struct model_facts *facts, struct error *err)
{
    assert_false(file->bytes.failed);
    memcpy(file->bytes.bytes + KEY_COUNT_AT, &file->key_count, sizeof file->key_count);
    while (file->bytes.count % 32 != 0)
        text_append_char(&file->bytes, '\0');
    struct gguf *gguf = gguf_open_memory(file->bytes.bytes, file->bytes.count, err);
    if (gguf == NULL)
        fail_msg("%s", err->text);
    int result = model_facts_init(facts, gguf, err);
    gguf_close(gguf);
    text_destroy(&file->bytes);
    return result;
}

static void keys_become_facts_and_outlive_the_file(void **state)
{
    (void)state;
    struct file file;
    struct model_facts facts;
    struct error err = {0};
    begin(&file);
    put_text(&file, "general.architecture", "llama", 5);
    put_text(&file, "general.name", "Tiny", 4);
    put_text(&file, "general.license", "other", 5);
    put_text(&file, "general.license.name", "its own", 7);
    put_list(&file, "general.tags", "chat", 2);
    put_u32(&file, "general.base_model.count", 2);
    put_text(&file, "general.base_model.0.name", "Base", 4);
    put_text(&file, "general.base_model.1.repo_url", "https://x/y", 11);
    assert_int_equal(read_back(&file, &facts, &err), 0);
    assert_string_equal(facts.facts.architecture, "llama");
    assert_string_equal(facts.facts.name, "Tiny");
    assert_string_equal(facts.facts.license, "other");
    assert_string_equal(facts.facts.license_name, "its own");
    assert_string_equal(facts.facts.license_link, "");
    assert_string_equal(facts.facts.tags, "chat,chat");
    assert_int_equal(facts.facts.base_model_count, 2);
    assert_string_equal(facts.facts.base_models[0].name, "Base");
    assert_string_equal(facts.facts.base_models[0].repo_url, "");
    assert_string_equal(facts.facts.base_models[1].repo_url, "https://x/y");
    model_facts_destroy(&facts);
}

static void a_list_of_licences_is_all_of_them(void **state)
{
    (void)state;
    struct file file;
    struct model_facts facts;
    struct error err = {0};
    begin(&file);
    put_list(&file, "general.license", "mit", 3);
    assert_int_equal(read_back(&file, &facts, &err), 0);
    assert_string_equal(facts.facts.license, "mit,mit,mit");
    model_facts_destroy(&facts);
}

static void nothing_hides_behind_a_nul(void **state)
{
    (void)state;
    struct file file;
    struct model_facts facts;
    struct error err = {0};
    begin(&file);
    put_text(&file, "general.license", "mit\0 for research", 17);
    assert_int_equal(read_back(&file, &facts, &err), 0);
    assert_string_equal(facts.facts.license, "mit  for research");
    model_facts_destroy(&facts);
}

static void what_is_too_long_is_refused_and_not_cut(void **state)
{
    (void)state;
    struct file file;
    struct model_facts facts;
    struct error err = {0};
    begin(&file);
    put_list(&file, "general.license", "apache-2.0", MODEL_FACTS_LICENSE_BYTES / 10);
    assert_int_equal(read_back(&file, &facts, &err), ERROR_INVALID);
    assert_non_null(strstr(err.text, "general.license"));
    begin(&file);
    put_u32(&file, "general.base_model.count", MODEL_FACTS_BASE_MODELS_MAX + 1);
    assert_int_equal(read_back(&file, &facts, &err), ERROR_INVALID);
    assert_non_null(strstr(err.text, "general.base_model.count"));
    begin(&file);
    put_list(&file, "general.license", "mit", MODEL_FACTS_LICENSE_BYTES / 4);
    assert_int_equal(read_back(&file, &facts, &err), 0);
    assert_int_equal(strlen(facts.facts.license), MODEL_FACTS_LICENSE_BYTES - 1);
    model_facts_destroy(&facts);
}

static void a_folder_without_weights_says_nothing(void **state)
{
    (void)state;
    struct model_facts facts;
    assert_int_equal(model_facts_init(&facts, NULL, NULL), 0);
    assert_string_equal(facts.facts.license, "");
    assert_string_equal(facts.facts.id, "");
    assert_int_equal(facts.facts.base_model_count, 0);
    model_facts_destroy(&facts);
    model_facts_destroy(&facts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_become_facts_and_outlive_the_file),
        cmocka_unit_test(a_list_of_licences_is_all_of_them),
        cmocka_unit_test(nothing_hides_behind_a_nul),
        cmocka_unit_test(what_is_too_long_is_refused_and_not_cut),
        cmocka_unit_test(a_folder_without_weights_says_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
