/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "policy/license/modality.h"
#include "policy/license/model_name.h"

static void a_file_is_named_for_its_model_without_bits_and_shards(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"/m/Llama-3.2-1B-Instruct-Q4_K_M.gguf", "Llama-3.2-1B-Instruct"},
        {"Llama-3.2-1B-Instruct-UD-IQ2_XXS-00001-of-00003.gguf", "Llama-3.2-1B-Instruct"},
        {"Foo.i1-Q6_K.GGUF", "Foo"},
        {"Foo.BF16.gguf", "Foo"},
        {"qwen3-0.6b-q8_0.gguf", "qwen3-0.6b"},
        {"Llama-3.1.gguf", "Llama-3.1"},
        {"Q4_K_M.gguf", "Q4_K_M"},
        {"gpt-oss-20b-mxfp4.gguf", "gpt-oss-20b"},
        {"", ""},
        {".gguf", ".gguf"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char stem[MODEL_NAME_BYTES];
        model_name_of_file(rows[i][0], stem);
        assert_string_equal(stem, rows[i][1]);
    }
    char plain[MODEL_NAME_BYTES];
    model_name_plain("org/Llama 3.1 8B Instruct-GGUF", plain);
    assert_string_equal(plain, "org/Llama-3.1-8B-Instruct");
    model_name_plain("org/GGUF", plain);
    assert_string_equal(plain, "org/GGUF");
}

static void a_hub_id_is_the_first_two_parts_of_a_link(void **state)
{
    (void)state;
    char name[MODEL_NAME_BYTES] = "untouched";
    assert_false(model_name_of_url("", name));
    assert_false(model_name_of_url("https://host/", name));
    assert_false(model_name_of_url("https://host/org", name));
    assert_false(model_name_of_url("https://host/org/?x", name));
    assert_string_equal(name, "untouched");
    assert_true(model_name_of_url("https://huggingface.co/org/name/tree/main", name));
    assert_string_equal(name, "org/name");
    assert_true(model_name_of_url("https://huggingface.co/org/name?x#y", name));
    assert_string_equal(name, "org/name");
}

static void only_plain_parts_become_paths(void **state)
{
    (void)state;
    static const char *const good[] = {"a", "org/a", "org/a.b-c"};
    static const char *const bad[] = {"",      "/",    "/a",   "a/",       "..",   "../a", "org/..",
                                      "a/b/c", "a//b", ".hid", "org/.hid", "a\nb", "a\\b"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_true(model_name_is_path(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(model_name_is_path(bad[i]));
}

static void text_only_has_to_be_said(void **state)
{
    (void)state;
    static const struct {
        const char *config;
        enum modality modality;
    } configs[] = {
        {"{\"vision_config\": {}}", MODALITY_MULTIMODAL},
        {"{\"vision_config\": null, \"audio_config\": {\"a\": 1}}", MODALITY_MULTIMODAL},
        {"{\"vision_config\": null}", MODALITY_UNKNOWN},
        {"{\"architectures\": [\"Llama4ForConditionalGeneration\"]}", MODALITY_MULTIMODAL},
        {"{\"architectures\": [\"LlamaForCausalLM\"]}", MODALITY_TEXT},
        {"{\"architectures\": [\"LlamaForCausalLM\"], \"visual\": {}}", MODALITY_MULTIMODAL},
        {"{\"architectures\": [\"SomethingForCausalLM\"]}", MODALITY_UNKNOWN},
        {"{\"architectures\": 7, \"model_type\": \"mllama\"}", MODALITY_MULTIMODAL},
        {"[]", MODALITY_UNKNOWN},
        {"{", MODALITY_UNKNOWN},
        {"", MODALITY_UNKNOWN},
    };
    for (size_t i = 0; i < sizeof configs / sizeof configs[0]; i++)
        assert_int_equal(modality_of_config(configs[i].config, strlen(configs[i].config)),
                         configs[i].modality);
    assert_int_equal(modality_of_architecture("llama4"), MODALITY_MULTIMODAL);
    assert_int_equal(modality_of_architecture("llama"), MODALITY_UNKNOWN);
    assert_int_equal(modality_of_tags("llama, text-generation"), MODALITY_TEXT);
    assert_int_equal(modality_of_tags("text-generation,image-text-to-text"), MODALITY_MULTIMODAL);
    assert_int_equal(modality_of_tags(""), MODALITY_UNKNOWN);
    assert_int_equal(modality_of_both(MODALITY_TEXT, MODALITY_MULTIMODAL), MODALITY_MULTIMODAL);
    assert_int_equal(modality_of_both(MODALITY_TEXT, MODALITY_UNKNOWN), MODALITY_TEXT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_named_for_its_model_without_bits_and_shards),
        cmocka_unit_test(a_hub_id_is_the_first_two_parts_of_a_link),
        cmocka_unit_test(only_plain_parts_become_paths),
        cmocka_unit_test(text_only_has_to_be_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
