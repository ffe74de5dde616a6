/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "policy/license/lineage.h"
#include "tests/unit/recognition/doubles.h"

static char root[TREE_PATH_BYTES];

static int make_root(void **state)
{
    (void)state;
    tree_make(root);
    return 0;
}

static int remove_root(void **state)
{
    (void)state;
    tree_remove(root);
    return 0;
}

static struct recognition *made_from(const char *license, const char *name,
                                     const struct policy_base_model *base)
{
    const struct policy_model_facts facts = {.id = "m",
                                             .license = license,
                                             .license_name = name,
                                             .base_models = base,
                                             .base_model_count = 1};
    return recognised(&facts);
}

static const struct policy_base_model llama = {"Llama 3.1 8B", "Meta Llama",
                                               "https://huggingface.co/meta-llama/Llama-3.1-8B"};
static const struct policy_base_model kimi = {"Kimi K2.5", "Moonshotai",
                                              "https://huggingface.co/moonshotai/Kimi-K2.5"};
static const struct policy_base_model smol = {"SmolLM2-135M", "HuggingFaceTB", ""};

static void a_base_models_licence_binds_too(void **state)
{
    (void)state;
    struct recognition *made = made_from("mit", "", &llama);
    assert_licenses(made, "MIT AND llama3.1");
    assert_int_equal(made->licenses[1].by, BY_LINEAGE);
    assert_string_equal(made->licenses[1].base, "meta-llama/Llama-3.1-8B");
    assert_disagreement(made, "MIT meta-llama/Llama-3.1-8B llama3.1");
    assert_int_equal(made->doubt_count, 0);
    recognition_free(made);
}

static void the_same_licence_is_listed_once(void **state)
{
    (void)state;
    struct recognition *made = made_from("llama3.1", "", &llama);
    assert_licenses(made, "llama3.1");
    assert_string_equal(made->licenses[0].base, "");
    assert_no_doubts(made);
    recognition_free(made);
}

static void a_permissive_base_may_be_relabelled(void **state)
{
    (void)state;
    struct recognition *made = made_from("mrl", "", &smol);
    assert_licenses(made, "mrl-0.1 AND Apache-2.0");
    assert_no_doubts(made);
    recognition_free(made);
}

static void a_quantisation_without_keys_has_its_base_models_licence(void **state)
{
    (void)state;
    struct recognition *made = made_from("", "", &llama);
    assert_licenses(made, "llama3.1");
    assert_no_doubts(made);
    recognition_free(made);
    tree_write(root, "m/README.md",
               "---\nbase_model: meta-llama/Llama-3.1-8B\nbase_model_relation: finetune\n---\n");
    made = recognised_folder(root, "m");
    assert_licenses(made, "llama3.1");
    assert_non_null(strstr(doubt_of(made, "license-unknown")->reason, "finetune"));
    recognition_free(made);
}

static void a_base_model_decides_a_vague_name(void **state)
{
    (void)state;
    struct recognition *made = made_from("other", "modified-mit", &kimi);
    assert_licenses(made, "kimi-k2.5");
    assert_no_doubts(made);
    recognition_free(made);
    made = made_from("other", "", &llama);
    assert_licenses(made, "llama3.1");
    assert_no_doubts(made);
    recognition_free(made);
    made = made_from("other", "modified-mit", &llama); /* which none of them is */
    assert_licenses(made, "llama3.1 AND unknown");
    assert_non_null(doubt_of(made, "ambiguous-name"));
    recognition_free(made);
    made = made_from("other", "house-licence", &llama);
    assert_non_null(doubt_of(made, "license-unknown"));
    recognition_free(made);
}

static void an_unknown_base_model_is_a_doubt(void **state)
{
    (void)state;
    static const struct policy_base_model nobody = {"Some Thing", "some org", ""};
    struct recognition *made = made_from("mit", "", &nobody);
    assert_licenses(made, "MIT");
    assert_non_null(strstr(doubt_of(made, "lineage-unknown")->reason, "some-org/Some-Thing"));
    recognition_free(made);
}

static void a_name_is_looked_up_too(void **state)
{
    (void)state;
    const struct policy_model_facts distill = {
        .id = "q", .name = "DeepSeek R1 Distill Llama 8B", .license = "mit"};
    struct recognition *made = recognised(&distill);
    assert_licenses(made, "MIT AND llama3.1");
    assert_disagreement(made, "MIT meta-llama/Llama-3.1-8B llama3.1");
    assert_int_equal(made->disagreement_count, 1);
    recognition_free(made);
    const struct policy_model_facts large = {.id = "Mistral-Large-3", .license = "mrl"};
    made = recognised(&large);
    assert_licenses(made, "mrl-0.1 AND Apache-2.0");
    assert_int_equal(made->licenses[1].by, BY_NAME);
    assert_disagreement(made, "mrl-0.1 Mistral-Large-3 Apache-2.0");
    recognition_free(made);
    const struct policy_model_facts silent = {
        .id = "Kimi-K2.5", .license = "", .organization = "moonshotai", .name = "Kimi-K2.5"};
    made = recognised(&silent);
    assert_licenses(made, "kimi-k2.5");
    assert_no_doubts(made);
    recognition_free(made);
    const struct policy_model_facts odd = {.id = "odd/Row"};
    made = recognised(&odd);
    assert_licenses(made, "unknown");
    assert_non_null(strstr(doubt_of(made, "license-unknown")->reason, "no-such-id"));
    recognition_free(made);
}

static void a_row_that_describes_its_own_base_model_is_no_cycle(void **state)
{
    (void)state;
    const struct policy_model_facts facts = {.id = "Llama-3.1-8B", .license = "llama3.1"};
    struct recognition *made = recognised(&facts);
    assert_licenses(made, "llama3.1");
    assert_no_doubts(made);
    recognition_free(made);
}

static void cycles_show_their_chain(void **state)
{
    (void)state;
    tree_write(root, "A/README.md", "---\nlicense: mit\nbase_model: org/B\n---\n");
    tree_write(root, "B/README.md", "---\nlicense: mit\nbase_model: org/C\n---\n");
    tree_write(root, "C/README.md", "---\nlicense: mrl\nbase_model: [org/B]\n---\n");
    struct recognition *made = recognised_folder(root, "A/m.gguf");
    assert_licenses(made, "MIT AND mrl-0.1");
    assert_non_null(
        strstr(doubt_of(made, "lineage-cycle")->reason, "began: org/B -> org/C -> org/B"));
    recognition_free(made);
    made = recognised_folder(root, "B/m.gguf"); /* which its path does not call org/B */
    assert_non_null(
        strstr(doubt_of(made, "lineage-cycle")->reason, "began: org/B -> org/C -> org/B"));
    recognition_free(made);
    tree_write(root, "S/README.md", "---\nlicense: mit\nbase_model: S\n---\n");
    made = recognised_folder(root, "S");
    assert_non_null(strstr(doubt_of(made, "lineage-cycle")->reason, "began: S -> S"));
    recognition_free(made);
    static const struct policy_base_model ring = {"A", "ring", ""};
    made = made_from("mit", "", &ring);
    assert_non_null(strstr(doubt_of(made, "lineage-cycle")->reason, "ring/A -> ring/B -> ring/A"));
    recognition_free(made);
}

static void base_models_in_folders_nearby_are_read_in_turn(void **state)
{
    (void)state;
    tree_write(root, "me/q/README.md", "---\nlicense: mit\nbase_model: org/fine\n---\n");
    tree_write(root, "org/fine/README.md",
               "---\nlicense: apache-2.0\nbase_model: other/first\n---\n");
    tree_write(root, "other/first/LICENSE", "TEXT OF llama4");
    struct recognition *made = recognised_folder(root, "me/q/m.gguf");
    assert_licenses(made, "MIT AND Apache-2.0 AND llama4");
    assert_string_equal(license_of(made, "Apache-2.0")->base, "org/fine");
    assert_string_equal(license_of(made, "llama4")->base, "other/first");
    assert_non_null(strstr(license_of(made, "llama4")->evidence, "/other/first/LICENSE"));
    assert_disagreement(made, "m MIT other/first llama4");
    assert_disagreement(made, "org/fine Apache-2.0 other/first llama4");
    assert_int_equal(made->doubt_count, 0);
    recognition_free(made);
    tree_write(root, "other/first/LICENSE", "LIKE llama4\nNot on Sundays.\n");
    made = recognised_folder(root, "me/q/m.gguf");
    assert_null(license_of(made, "llama4"));
    assert_non_null(strstr(doubt_of(made, "text-unknown")->reason, "other/first/LICENSE"));
    recognition_free(made);
    tree_write(root, "other/first/LICENSE-MODEL", "TEXT OF MIT");
    tree_write(root, "org/fine/README.md", "---\nbase_model: other/empty\n---\n");
    tree_write(root, "other/empty/x", "");
    made = recognised_folder(root, "me/q/m.gguf");
    assert_non_null(strstr(doubt_of(made, "lineage-unknown")->reason, "other/empty"));
    recognition_free(made);
}

static void a_chain_has_a_limit(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        char path[64], card[128];
        (void)snprintf(path, sizeof path, "n%d/README.md", i);
        (void)snprintf(card, sizeof card, "---\nlicense: mit\nbase_model: n%d\n---\n", i + 1);
        tree_write(root, path, card);
    }
    struct recognition *made = recognised_folder(root, "n0");
    assert_non_null(strstr(doubt_of(made, "lineage-unknown")->reason, "n9"));
    assert_int_equal(made->doubt_count, 1);
    recognition_free(made);
}

/* Sixteen base models each, all the same ones: 16 to the power of the depth if walked as a tree. */
static void each_base_model_is_visited_once(void **state)
{
    (void)state;
    for (int i = 0; i < 6; i++)
        for (int j = 0; j < 16; j++) {
            char path[64], card[1024];
            (void)snprintf(path, sizeof path, "n%d-%d/README.md", i, j);
            size_t used = (size_t)snprintf(card, sizeof card, "---\nlicense: mit\nbase_model:\n");
            for (int k = 0; k < 16; k++)
                used += (size_t)snprintf(card + used, sizeof card - used, "- n%d-%d\n", i + 1, k);
            (void)snprintf(card + used, sizeof card - used, "---\n");
            tree_write(root, path, card);
        }
    struct recognition *made = recognised_folder(root, "n0-0");
    assert_non_null(doubt_of(made, "lineage-unknown"));
    assert_true(made->file_count <= 32);
    recognition_free(made);
}

int main(void)
{
#define WITH_ROOT(test) cmocka_unit_test_setup_teardown(test, make_root, remove_root)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_base_models_licence_binds_too),
        cmocka_unit_test(the_same_licence_is_listed_once),
        cmocka_unit_test(a_permissive_base_may_be_relabelled),
        WITH_ROOT(a_quantisation_without_keys_has_its_base_models_licence),
        cmocka_unit_test(a_base_model_decides_a_vague_name),
        cmocka_unit_test(an_unknown_base_model_is_a_doubt),
        cmocka_unit_test(a_name_is_looked_up_too),
        cmocka_unit_test(a_row_that_describes_its_own_base_model_is_no_cycle),
        WITH_ROOT(cycles_show_their_chain),
        WITH_ROOT(base_models_in_folders_nearby_are_read_in_turn),
        WITH_ROOT(a_chain_has_a_limit),
        WITH_ROOT(each_base_model_is_visited_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
