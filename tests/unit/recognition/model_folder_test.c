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
#include <unistd.h>

#include "policy/license/model_folder.h"
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

static struct model_folder open_at(const char *path)
{
    char whole[TREE_PATH_BYTES];
    struct model_folder folder;
    struct error err = {0};
    if (model_folder_open(&folder, tree_join(whole, root, path), &err) != 0)
        fail_msg("%s", err.text);
    return folder;
}

static void model_files_go_before_plain_ones_and_code_is_left_out(void **state)
{
    (void)state;
    static const char *const names[] = {
        "LICENSE",
        "LICENSE-CODE",
        "LICENSE_CODE.txt",
        "code_license.md",
        "MODEL_LICENSE.pdf",
        "license_check.py",
        "licensed_models.md",
        "THIRD_PARTY_LICENSES",
        "USE_POLICY.md",
        "readme.md",
        "README.md",
        "config.json",
        "Kimi-Code-Licence",
        "tokenizer.json",
        "LICENSE-data",
        ".LICENSE",
        "license.json",
        "some-license.json",
        "acceptable_use.md.py",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        tree_write(root, names[i], "x");
    struct model_folder folder = open_at("m.gguf");
    assert_int_equal(folder.text_count, 4);
    assert_string_equal(folder.texts[0].name, "MODEL_LICENSE.pdf");
    assert_string_equal(folder.texts[1].name, "Kimi-Code-Licence");
    assert_string_equal(folder.texts[2].name, "LICENSE");
    assert_int_equal(folder.texts[1].promise, folder.texts[2].promise);
    assert_string_equal(folder.texts[3].name, "USE_POLICY.md");
    assert_true(folder.texts[3].use_policy);
    assert_string_equal(folder.card, "README.md");
    assert_string_equal(folder.config, "config.json");
    assert_false(folder.cut);
    model_folder_close(&folder);
}

static void texts_beyond_the_limit_are_counted(void **state)
{
    (void)state;
    for (int i = 0; i < 12; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "LICENSE.%02d", 11 - i);
        tree_write(root, name, "x");
    }
    struct model_folder folder = open_at("");
    assert_int_equal(folder.text_count, MODEL_FOLDER_TEXTS_MAX);
    assert_int_equal(folder.left_out, 4);
    assert_string_equal(folder.texts[0].name, "LICENSE.00");
    assert_string_equal(folder.texts[7].name, "LICENSE.07");
    model_folder_close(&folder);
}

static void assert_unreadable(const struct model_folder *folder, const char *name, const char *why)
{
    struct text bytes;
    struct error err = {0};
    text_init(&bytes);
    assert_int_equal(model_folder_read(folder, name, 100, &bytes, &err), ERROR_IO);
    if (strstr(err.text, why) == NULL)
        fail_msg("%s", err.text);
    assert_int_equal(bytes.count, 0);
    text_destroy(&bytes);
}

static void only_plain_files_are_read_and_only_so_far(void **state)
{
    (void)state;
    char path[TREE_PATH_BYTES];
    struct text bytes;
    tree_write(root, "LICENSE", "0123456789");
    tree_write(root, "folder/x", "x");
    assert_int_equal(mkfifo(tree_join(path, root, "fifo"), 0600), 0);
    assert_int_equal(symlink("loop", tree_join(path, root, "loop")), 0);
    struct model_folder folder = open_at("");
    text_init(&bytes);
    assert_int_equal(model_folder_read(&folder, "LICENSE", 4, &bytes, NULL), 0);
    assert_string_equal(text_string(&bytes), "0123");
    text_destroy(&bytes);
    assert_unreadable(&folder, "folder", "it is a folder");
    assert_unreadable(&folder, "fifo", "it is no plain file");
    assert_unreadable(&folder, "loop", "cannot be opened");
    assert_unreadable(&folder, "none", "cannot be opened");
    model_folder_close(&folder);
}

/* What a text says is shown to clients, so a link must not reach a secret. */
static void links_are_followed_within_the_folder_alone(void **state)
{
    (void)state;
    char path[TREE_PATH_BYTES];
    struct text bytes;
    tree_write(root, "secret", "s");
    tree_write(root, "m/..real/LICENSE", "inside");
    tree_write(root, "m-other/LICENSE", "s");
    assert_int_equal(symlink("../secret", tree_join(path, root, "m/LICENSE")), 0);
    assert_int_equal(symlink("../m-other/LICENSE", tree_join(path, root, "m/COPYING")), 0);
    assert_int_equal(symlink("..real/LICENSE", tree_join(path, root, "m/LICENCE")), 0);
    struct model_folder folder = open_at("m");
    text_init(&bytes);
    assert_unreadable(&folder, "LICENSE", "leads out");
    assert_unreadable(&folder, "COPYING", "leads out");
    assert_int_equal(model_folder_read(&folder, "LICENCE", 100, &bytes, NULL), 0);
    assert_string_equal(text_string(&bytes), "inside");
    model_folder_close(&folder);
    text_destroy(&bytes);
}

static void a_hub_cache_links_to_its_blobs(void **state)
{
    (void)state;
    char path[TREE_PATH_BYTES];
    struct text bytes;
    text_init(&bytes);
    tree_write(root, "models--org--a/blobs/77", "blob");
    tree_write(root, "models--org--a/refs/main", "abc123\n");
    tree_write(root, "models--org--a/snapshots/abc123/config.json", "{}");
    tree_write(root, "models--org--b/snapshots/77/config.json", "{}");
    assert_int_equal(
        symlink("../../blobs/77", tree_join(path, root, "models--org--a/snapshots/abc123/LICENSE")),
        0);
    struct model_folder other = open_at("models--org--b/snapshots/77/m.gguf"), folder;
    assert_int_equal(model_folder_open_near(&folder, &other, "org/a", NULL), 0);
    assert_int_equal(model_folder_read(&folder, "LICENSE", 100, &bytes, NULL), 0);
    assert_string_equal(text_string(&bytes), "blob");
    model_folder_close(&folder);
    model_folder_close(&other);
    text_destroy(&bytes);
}

static void folders_nearby_are_beside_below_and_above(void **state)
{
    (void)state;
    tree_write(root, "x/m/below/LICENSE", "x");
    tree_write(root, "x/beside/LICENSE", "x");
    tree_write(root, "org/above/LICENSE", "x");
    tree_write(root, "x/org/inner/LICENSE", "x");
    tree_write(root, "x/file", "x");
    struct model_folder from = open_at("x/m");
    static const char *const found[] = {"below", "beside", "any/beside", "org/above", "org/inner"};
    static const char *const missing[] = {
        "above", "none", "file", "..", "../beside", "", "/etc", "org/none", "../../org/above"};
    struct model_folder folder;
    for (size_t i = 0; i < sizeof found / sizeof found[0]; i++) {
        assert_int_equal(model_folder_open_near(&folder, &from, found[i], NULL), 0);
        assert_int_equal(folder.text_count, 1);
        model_folder_close(&folder);
    }
    for (size_t i = 0; i < sizeof missing / sizeof missing[0]; i++)
        assert_int_equal(model_folder_open_near(&folder, &from, missing[i], NULL), ERROR_NOT_FOUND);
    model_folder_close(&from);
}

static void a_projector_is_of_the_model_that_it_is_named_for(void **state)
{
    (void)state;
    tree_write(root, "one/a-Q4_K_M.gguf", "");
    tree_write(root, "one/a-Q8_0.gguf", "");
    tree_write(root, "one/mmproj-F16.gguf", "");
    tree_write(root, "many/a-Q4_K_M.gguf", "");
    tree_write(root, "many/b-Q4_K_M.gguf", "");
    tree_write(root, "many/mmproj-b-F16.gguf", "");
    static const struct {
        const char *path;
        bool has;
    } rows[] = {{"one/a-Q4_K_M.gguf", true},
                {"one", true},
                {"many/a-Q4_K_M.gguf", false},
                {"many/b-Q4_K_M.gguf", true}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct model_folder folder = open_at(rows[i].path);
        assert_int_equal(folder.has_projector, rows[i].has);
        model_folder_close(&folder);
    }
}

static void a_folder_that_is_not_there_is_an_error(void **state)
{
    (void)state;
    char path[TREE_PATH_BYTES];
    struct model_folder folder;
    struct error err = {0};
    assert_int_equal(model_folder_open(&folder, tree_join(path, root, "no/m.gguf"), &err),
                     ERROR_NOT_FOUND);
    assert_non_null(strstr(err.text, "/no"));
    model_folder_close(&folder);
}

int main(void)
{
#define WITH_ROOT(test) cmocka_unit_test_setup_teardown(test, make_root, remove_root)
    const struct CMUnitTest tests[] = {
        WITH_ROOT(model_files_go_before_plain_ones_and_code_is_left_out),
        WITH_ROOT(texts_beyond_the_limit_are_counted),
        WITH_ROOT(only_plain_files_are_read_and_only_so_far),
        WITH_ROOT(links_are_followed_within_the_folder_alone),
        WITH_ROOT(a_hub_cache_links_to_its_blobs),
        WITH_ROOT(folders_nearby_are_beside_below_and_above),
        WITH_ROOT(a_projector_is_of_the_model_that_it_is_named_for),
        WITH_ROOT(a_folder_that_is_not_there_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
