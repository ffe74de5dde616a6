/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

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

/* Of the keys alone, without a folder. */
static struct recognition *by_keys(const char *license, const char *name, const char *link)
{
    const struct policy_model_facts facts = {
        .id = "m", .license = license, .license_name = name, .license_link = link};
    return recognised(&facts);
}

static void keys_name_a_licence_in_every_spelling(void **state)
{
    (void)state;
    static const struct {
        const char *license, *name, *link, *ids;
        enum recognised_by by;
    } rows[] = {
        {"apache-2.0", "", "", "Apache-2.0", BY_WEIGHTS},
        {"MIT AND llama3.1", "", "", "MIT AND llama3.1", BY_WEIGHTS},
        {"mit,apache-2.0", "", "", "MIT AND Apache-2.0", BY_WEIGHTS},
        {"strange OR MIT", "", "", "MIT", BY_WEIGHTS},
        {"other", "mrl", "", "mrl-0.1", BY_WEIGHTS},
        {"", "mrl", "", "mrl-0.1", BY_WEIGHTS},
        {"other", "", "https://mistral.ai/licenses/MRL-0.1.md", "mrl-0.1", BY_LINK},
        {"", "", "https://mistral.ai/licenses/MRL-0.1.md", "mrl-0.1", BY_LINK},
        {"other", "modified-mit", "https://x/moonshotai/Kimi-K2.5/LICENSE", "kimi-k2.5", BY_LINK},
        {"apache-2.0", "Apache License 2.0", "https://x", "Apache-2.0", BY_WEIGHTS},
        {"mit", "mrl", "", "MIT AND mrl-0.1", BY_WEIGHTS},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct recognition *made = by_keys(rows[i].license, rows[i].name, rows[i].link);
        assert_licenses(made, rows[i].ids);
        assert_int_equal(made->licenses[0].by, rows[i].by);
        assert_string_equal(made->link, rows[i].link);
        assert_no_doubts(made);
        recognition_free(made);
    }
}

static void a_name_of_several_licences_is_ambiguous_and_lists_them(void **state)
{
    (void)state;
    static const struct {
        const char *license, *name, *candidates;
    } rows[] = {
        {"other", "modified-mit", "kimi-k2, kimi-k2.5, minimax-m2"},
        {"modified-mit", "", "kimi-k2, kimi-k2.5, minimax-m2"},
        {"openrail", "", "bigscience-openrail-m, creativeml-openrail-m"},
        {"other", "", "no text, link or base model"},
        {"unknown", "", "no text, link or base model"},
        {"other", "other", "no text, link or base model"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct recognition *made = by_keys(rows[i].license, rows[i].name, "");
        const struct recognition_doubt *doubt = doubt_of(made, "ambiguous-name");
        assert_non_null(doubt);
        assert_non_null(strstr(doubt->reason, rows[i].candidates));
        assert_true(doubt->remedy[0] != '\0');
        assert_licenses(made, "unknown");
        recognition_free(made);
    }
    struct recognition *made = by_keys("", "", "https://nowhere/");
    assert_non_null(doubt_of(made, "ambiguous-name"));
    recognition_free(made);
    made = by_keys("mit", "modified-mit", "");
    assert_licenses(made, "MIT AND unknown");
    assert_non_null(doubt_of(made, "ambiguous-name"));
    recognition_free(made);
}

static void a_name_that_nobody_knows_is_told_as_it_is_spelled(void **state)
{
    (void)state;
    struct recognition *made = by_keys("mit, my house licence", "", "");
    assert_licenses(made, "MIT AND unknown");
    assert_non_null(strstr(doubt_of(made, "license-unknown")->reason, "\"my house licence\""));
    recognition_free(made);
    made = by_keys("other", "my-house", "");
    assert_non_null(strstr(doubt_of(made, "license-unknown")->reason, "\"my-house\""));
    assert_string_equal(made->licenses[0].declared, "my-house");
    recognition_free(made);
}

static void silence_is_a_doubt(void **state)
{
    (void)state;
    struct recognition *made = by_keys("", NULL, "");
    assert_int_equal(made->license_count, 0);
    assert_non_null(doubt_of(made, "license-unknown"));
    recognition_free(made);
    made = recognised_folder(root, "");
    assert_non_null(doubt_of(made, "license-unknown"));
    assert_int_equal(made->doubt_count, 1);
    recognition_free(made);
}

static void the_operator_settles_it(void **state)
{
    (void)state;
    char path[TREE_PATH_BYTES];
    static const struct policy_base_model bases[] = {{"Strange", "nobody", ""},
                                                     {"Llama-3.1-8B", "meta-llama", ""}};
    struct policy_model_facts facts = {.id = "m",
                                       .path = tree_join(path, root, "m.gguf"),
                                       .chosen_license = "mrl",
                                       .license = "other",
                                       .license_name = "modified-mit",
                                       .base_models = bases,
                                       .base_model_count = 1};
    tree_write(root, "LICENSE", "LIKE MIT\nNot for users.\n");
    tree_write(root, "README.md", "---\nlicense: [\n---\n");
    struct recognition *made = recognised(&facts);
    assert_licenses(made, "mrl-0.1");
    assert_int_equal(made->licenses[0].by, BY_OPERATOR);
    assert_string_equal(made->licenses[0].evidence, "models[].license");
    assert_no_doubts(made);
    recognition_free(made);
    /* What it is known to be made from binds all the same. */
    facts.base_model_count = 2;
    facts.chosen_license = "MIT";
    made = recognised(&facts);
    assert_licenses(made, "MIT AND llama3.1");
    assert_string_equal(made->licenses[1].base, "meta-llama/Llama-3.1-8B");
    assert_no_doubts(made);
    recognition_free(made);
}

static void an_unknown_choice_names_the_key_and_settles_nothing(void **state)
{
    (void)state;
    const struct policy_model_facts facts = {
        .id = "m", .chosen_license = "lama4", .license = "llama4"};
    struct recognition *made = recognised(&facts);
    assert_licenses(made, "unknown AND llama4");
    const struct recognition_doubt *doubt = doubt_of(made, "license-unknown");
    assert_non_null(strstr(doubt->reason, "models[].license says \"lama4\""));
    recognition_free(made);
}

static void the_card_is_read_like_the_keys(void **state)
{
    (void)state;
    tree_write(root, "README.md",
               "---\nlicense: other\nlicense_name: mrl\nlicense_link: https://x/LICENSE\n---\n");
    struct recognition *made = recognised_folder(root, "m.gguf");
    assert_licenses(made, "mrl-0.1");
    assert_int_equal(made->licenses[0].by, BY_CARD);
    assert_non_null(strstr(made->licenses[0].evidence, "license_name of /"));
    assert_string_equal(made->link, "https://x/LICENSE");
    assert_int_equal(made->file_count, 1);
    assert_no_doubts(made);
    recognition_free(made);
    tree_write(root, "README.md", "---\nlicense: {a: b}\n---\n");
    made = recognised_folder(root, "m.gguf");
    assert_non_null(strstr(doubt_of(made, "text-unreadable")->reason, "README.md: line 2"));
    recognition_free(made);
}

static void weights_and_card_that_differ_both_bind(void **state)
{
    (void)state;
    char path[TREE_PATH_BYTES];
    tree_write(root, "README.md", "---\nlicense: llama3.1\n---\n");
    const struct policy_model_facts facts = {
        .id = "m", .path = tree_join(path, root, "m.gguf"), .license = "mit"};
    struct recognition *made = recognised(&facts);
    assert_licenses(made, "MIT AND llama3.1");
    assert_disagreement(made, "weights MIT README.md llama3.1");
    recognition_free(made);
}

static struct recognition *labelled_beside(const char *license, const char *name)
{
    char path[TREE_PATH_BYTES];
    const struct policy_model_facts facts = {.id = "m",
                                             .path = tree_join(path, root, "m.gguf"),
                                             .license = license,
                                             .license_name = name};
    return recognised(&facts);
}

static void the_text_decides(void **state)
{
    (void)state;
    static const struct {
        const char *license, *name, *text, *ids;
        enum recognised_by by;
        const char *disagreement; /* NULL for none */
    } rows[] = {
        {"mit", "", "TEXT OF MIT", "MIT", BY_WEIGHTS, NULL},
        {"mit", "", "TEXT OF kimi-k2.5", "kimi-k2.5", BY_TEXT_DIGEST, "MIT LICENSE kimi-k2.5"},
        {"", "", "TEXT OF kimi-k2.5", "kimi-k2.5", BY_TEXT_DIGEST, NULL},
        {"", "", "TEMPLATE OF MIT", "MIT", BY_TEXT_PATTERN, NULL},
        {"other", "modified-mit", "TEXT OF kimi-k2", "kimi-k2", BY_TEXT_DIGEST, NULL},
        {"strange", "", "TEXT OF MIT", "MIT", BY_TEXT_DIGEST, NULL},
        {"mit, strange", "", "TEXT OF kimi-k2", "MIT AND kimi-k2", BY_WEIGHTS, NULL},
        {"mit, apache-2.0", "", "TEXT OF Apache-2.0", "MIT AND Apache-2.0", BY_WEIGHTS, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        tree_write(root, "LICENSE", rows[i].text);
        struct recognition *made = labelled_beside(rows[i].license, rows[i].name);
        assert_licenses(made, rows[i].ids);
        assert_int_equal(made->licenses[0].by, rows[i].by);
        assert_int_equal(made->doubt_count, 0);
        assert_int_equal(made->disagreement_count, rows[i].disagreement != NULL);
        if (rows[i].disagreement != NULL)
            assert_disagreement(made, rows[i].disagreement);
        recognition_free(made);
    }
    tree_write(root, "LICENSE", "TEXT OF MIT");
    struct recognition *made = labelled_beside("mit, strange", "");
    assert_licenses(made, "MIT AND unknown"); /* the text is the first one's */
    assert_non_null(doubt_of(made, "license-unknown"));
    recognition_free(made);
}

static void a_rider_is_never_mit(void **state)
{
    (void)state;
    static const char *const labels[] = {"", "mit", "MIT,Apache-2.0"};
    tree_write(root, "LICENSE", "LIKE MIT\nNo more than 9 users may use it.\n");
    for (size_t i = 0; i < sizeof labels / sizeof labels[0]; i++) {
        struct recognition *made = labelled_beside(labels[i], "");
        assert_null(license_of(made, "MIT"));
        const struct recognition_doubt *doubt = doubt_of(made, "text-unknown");
        assert_non_null(doubt);
        assert_non_null(strstr(doubt->reason, "LICENSE"));
        assert_non_null(strstr(doubt->reason, "87% of it is as in MIT"));
        assert_non_null(strstr(doubt->reason, "\"No more than 9 users may use it. \""));
        assert_non_null(strstr(doubt->reason, "seems to limit users"));
        assert_int_equal(made->doubt_count, 1);
        if (labels[i][0] != '\0')
            assert_disagreement(made, "LICENSE MIT");
        recognition_free(made);
    }
}

/* What an unknown text says is in doubt; that it lifts a bar is not to be believed. */
static void an_unknown_text_lifts_no_condition(void **state)
{
    (void)state;
    tree_write(root, "LICENSE", "Hello.");
    struct recognition *made = labelled_beside("llama4", "");
    assert_licenses(made, "llama4");
    assert_non_null(doubt_of(made, "text-unknown"));
    assert_disagreement(made, "llama4 LICENSE");
    recognition_free(made);
    made = labelled_beside("gpl-3.0", ""); /* whose text the catalogue does not have */
    assert_licenses(made, "GPL-3.0");
    assert_non_null(doubt_of(made, "text-unknown"));
    assert_int_equal(made->disagreement_count, 0);
    recognition_free(made);
}

static void texts_that_cannot_be_read_are_doubts(void **state)
{
    (void)state;
    char path[TREE_PATH_BYTES];
    char *large = calloc(1, LICENSE_TEXT_BYTES_MAX + 9);
    memset(large, 'a', LICENSE_TEXT_BYTES_MAX + 8);
    tree_write_bytes(root, "binary/LICENSE", "\0\1", 2);
    tree_write(root, "empty/LICENSE", "");
    tree_write(root, "large/LICENSE", large);
    tree_write(root, "folder/LICENSE/x", "");
    tree_write(root, "fifo/m.gguf", "");
    assert_int_equal(mkfifo(tree_join(path, root, "fifo/LICENSE"), 0600), 0);
    static const char *const folders[] = {"binary", "empty", "large", "folder", "fifo"};
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        struct recognition *made = recognised_folder(root, folders[i]);
        const struct recognition_doubt *doubt = doubt_of(made, "text-unreadable");
        assert_non_null(doubt);
        assert_non_null(strstr(doubt->reason, "/LICENSE: it is "));
        assert_int_equal(made->license_count, 0);
        assert_int_equal(made->doubt_count, 1);
        recognition_free(made);
    }
    free(large);
}

static void several_texts_bind_unless_one_is_the_models(void **state)
{
    (void)state;
    tree_write(root, "LICENSE.md", "TEXT OF MIT");
    tree_write(root, "LICENSE.txt", "TEXT OF kimi-k2");
    struct recognition *made = recognised_folder(root, "m.gguf");
    assert_licenses(made, "MIT AND kimi-k2");
    const struct recognition_doubt *doubt = doubt_of(made, "several-texts");
    assert_non_null(strstr(doubt->reason, "LICENSE.md"));
    assert_non_null(strstr(doubt->reason, "LICENSE.txt"));
    recognition_free(made);
    tree_write(root, "LICENSE-MODEL", "TEXT OF mrl-0.1");
    tree_write(root, "LICENSE-CODE", "TEXT OF Apache-2.0");
    made = recognised_folder(root, "m.gguf");
    assert_licenses(made, "mrl-0.1");
    assert_int_equal(made->file_count, 1);
    assert_no_doubts(made);
    recognition_free(made);
}

static void a_use_policy_belongs_to_its_licence(void **state)
{
    (void)state;
    tree_write(root, "LICENSE", "TEXT OF llama4");
    tree_write(root, "USE_POLICY.md", "POLICY OF llama4");
    struct recognition *made = recognised_folder(root, "m.gguf");
    assert_licenses(made, "llama4");
    assert_int_equal(made->file_count, 2);
    assert_no_doubts(made);
    recognition_free(made);
    tree_write(root, "LICENSE", "TEXT OF MIT");
    made = recognised_folder(root, "m.gguf");
    assert_licenses(made, "MIT AND llama4");
    assert_disagreement(made, "MIT USE_POLICY.md llama4");
    recognition_free(made);
    tree_write(root, "USE_POLICY.md", "Be good.");
    made = recognised_folder(root, "m.gguf");
    assert_licenses(made, "MIT");
    assert_non_null(strstr(doubt_of(made, "text-unknown")->reason, "USE_POLICY.md"));
    recognition_free(made);
}

static void every_name_is_told(void **state)
{
    (void)state;
    char path[TREE_PATH_BYTES];
    static const char *const names[] = {
        "served",    "Llama 3.2 1B", "Llama-3.2-1B",  "Meta/Llama-3.2-1B", "Llama-3.2-1B-Instruct",
        "Some-GGUF", "Some",         "org/Some-GGUF", "org/Some"};
    tree_write(root, "org/Some-GGUF/README.md", "");
    const struct policy_model_facts facts = {
        .id = "served",
        .name = "Llama 3.2 1B",
        .organization = "Meta",
        .license = "mit",
        .path = tree_join(path, root, "org/Some-GGUF/Llama-3.2-1B-Instruct-Q4_0.gguf")};
    struct recognition *made = recognised(&facts);
    assert_string_equal(made->model, "served");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        bool found = false;
        for (uint32_t j = 0; j < made->name_count; j++)
            found = found || strcmp(made->names[j], names[i]) == 0;
        if (!found)
            fail_msg("no name %s", names[i]);
    }
    recognition_free(made);
    tree_write(root, "models--org--name/snapshots/77/README.md", "");
    made = recognised_folder(root, "models--org--name/snapshots/77/m.gguf");
    bool found = false;
    for (uint32_t j = 0; j < made->name_count; j++) {
        found = found || strcmp(made->names[j], "org/name") == 0;
        assert_string_not_equal(made->names[j], "77");
    }
    assert_true(found);
    recognition_free(made);
}

static void modality_comes_from_keys_card_config_and_projector(void **state)
{
    (void)state;
    char path[TREE_PATH_BYTES];
    tree_write(root, "card/README.md", "---\npipeline_tag: image-text-to-text\n---\n");
    tree_write(root, "config/config.json", "{\"vision_config\": {\"a\": 1}}");
    tree_write(root, "projector/mmproj.gguf", "");
    tree_write(root, "none/x", "");
    static const struct {
        const char *folder, *architecture, *tags;
        enum modality modality;
    } rows[] = {{"card", "llama", "text-generation", MODALITY_MULTIMODAL},
                {"config", "llama", "", MODALITY_MULTIMODAL},
                {"projector", "llama", "", MODALITY_MULTIMODAL},
                {"none", "llama4", "text-generation", MODALITY_MULTIMODAL},
                {"none", "llama", "x,text-generation", MODALITY_TEXT},
                {"none", "llama", "", MODALITY_UNKNOWN}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct policy_model_facts facts = {.id = "m",
                                                 .path = tree_join(path, root, rows[i].folder),
                                                 .architecture = rows[i].architecture,
                                                 .tags = rows[i].tags};
        struct recognition *made = recognised(&facts);
        assert_int_equal(made->modality, rows[i].modality);
        recognition_free(made);
    }
}

static void what_files_say_is_cut_and_cleaned(void **state)
{
    (void)state;
    char *huge = malloc(1u << 20);
    memset(huge, 'x', 1u << 20);
    huge[(1u << 20) - 1] = '\0';
    memcpy(huge, "a\033[31m\n\xe2\x80\xae\xff", 11);
    const struct policy_model_facts facts = {.id = huge,
                                             .name = huge,
                                             .organization = huge,
                                             .architecture = huge,
                                             .tags = huge,
                                             .license = huge,
                                             .license_name = huge,
                                             .license_link = huge};
    struct recognition *made = recognised(&facts);
    const struct recognition_doubt *doubt = doubt_of(made, "license-unknown");
    assert_non_null(doubt);
    for (const char *c = doubt->reason; *c != '\0'; c++)
        assert_true((unsigned char)*c >= 0x20);
    assert_null(strstr(doubt->reason, "\xe2\x80\xae"));
    assert_non_null(strstr(doubt->reason, "\xef\xbf\xbd"));
    assert_true(strlen(made->model) < 256);
    assert_true(strlen(made->link) < 4096);
    recognition_free(made);
    free(huge);
}

static void seventeen_licences_are_not_sixteen(void **state)
{
    (void)state;
    struct recognition *made = by_keys("a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r", "", "");
    assert_int_equal(made->license_count, RECOGNITION_LICENSES_MAX);
    assert_true(made->doubt_count > 0);
    recognition_free(made);
}

static void licences_and_published_models_are_found_by_name(void **state)
{
    (void)state;
    struct recognition *made = NULL;
    struct error err = {0};
    assert_int_equal(recognition_of_name(NULL, "Apache License 2.0", &made, NULL), 0);
    assert_licenses(made, "Apache-2.0");
    assert_string_equal(made->model, "Apache License 2.0");
    assert_no_doubts(made);
    recognition_free(made);
    assert_int_equal(
        recognition_of_name(NULL, "deepseek-ai/DeepSeek-R1-Distill-Llama-8B-GGUF", &made, NULL), 0);
    assert_licenses(made, "MIT AND llama3.1");
    assert_int_equal(made->licenses[0].by, BY_NAME);
    assert_int_equal(made->licenses[1].by, BY_LINEAGE);
    recognition_free(made);
    assert_int_equal(recognition_of_name(NULL, "nobody/nothing", &made, &err), ERROR_NOT_FOUND);
    assert_non_null(strstr(err.text, "nobody/nothing"));
    assert_int_equal(recognition_of_name(NULL, "", &made, &err), ERROR_NOT_FOUND);
}

static void a_folder_that_cannot_be_read_is_an_error(void **state)
{
    (void)state;
    char path[TREE_PATH_BYTES];
    const struct policy_model_facts facts = {.id = "m",
                                             .path = tree_join(path, root, "none/m.gguf")};
    struct recognition *made = NULL;
    struct error err = {0};
    assert_int_equal(recognition_read(NULL, NULL, &facts, &made, &err), ERROR_NOT_FOUND);
    assert_null(made);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    char path[TREE_PATH_BYTES];
    static const struct policy_base_model bases[] = {{"a", "x", "https://h/x/Base"}};
    const struct policy_model_facts facts = {.id = "DeepSeek-R1-Distill-Llama-8B",
                                             .path = tree_join(path, root, "m/m.gguf"),
                                             .license = "mit, strange",
                                             .base_models = bases,
                                             .base_model_count = 1};
    tree_write(root, "m/LICENSE", "TEXT OF kimi-k2");
    tree_write(root, "m/USE_POLICY.md", "mine");
    tree_write(root, "m/README.md", "---\nlicense: other\nbase_model: x/Base\n---\n");
    tree_write(root, "x/Base/README.md", "---\nlicense: openrail\nbase_model: x/none\n---\n");
    struct recognition *made = recognised(&facts);
    recognition_free(made);
    arena_fail_after(-1);
    recognition_free(recognised(&facts));
    int64_t total = arena_allocations();
    assert_true(total > 20);
    for (int64_t i = 0; i < total; i++) {
        struct error err = {0};
        arena_fail_after(i);
        made = NULL;
        assert_int_equal(recognition_read(NULL, NULL, &facts, &made, &err), ERROR_NO_MEMORY);
        assert_null(made);
        assert_int_equal(err.code, ERROR_NO_MEMORY);
    }
    arena_fail_after(-1);
}

int main(void)
{
#define WITH_ROOT(test) cmocka_unit_test_setup_teardown(test, make_root, remove_root)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_name_a_licence_in_every_spelling),
        cmocka_unit_test(a_name_of_several_licences_is_ambiguous_and_lists_them),
        cmocka_unit_test(a_name_that_nobody_knows_is_told_as_it_is_spelled),
        WITH_ROOT(silence_is_a_doubt),
        WITH_ROOT(the_operator_settles_it),
        cmocka_unit_test(an_unknown_choice_names_the_key_and_settles_nothing),
        WITH_ROOT(the_card_is_read_like_the_keys),
        WITH_ROOT(weights_and_card_that_differ_both_bind),
        WITH_ROOT(the_text_decides),
        WITH_ROOT(a_rider_is_never_mit),
        WITH_ROOT(an_unknown_text_lifts_no_condition),
        WITH_ROOT(texts_that_cannot_be_read_are_doubts),
        WITH_ROOT(several_texts_bind_unless_one_is_the_models),
        WITH_ROOT(a_use_policy_belongs_to_its_licence),
        WITH_ROOT(every_name_is_told),
        WITH_ROOT(modality_comes_from_keys_card_config_and_projector),
        cmocka_unit_test(what_files_say_is_cut_and_cleaned),
        cmocka_unit_test(seventeen_licences_are_not_sixteen),
        cmocka_unit_test(licences_and_published_models_are_found_by_name),
        WITH_ROOT(a_folder_that_cannot_be_read_is_an_error),
        WITH_ROOT(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
