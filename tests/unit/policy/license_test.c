/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/license.h"
#include "policy/license_text.h"
#include "tests/unit/policy/scratch.h"

#define MIT_BODY                                                                                   \
    "Permission is hereby granted, free of charge, to any person obtaining a copy\n"               \
    "of this software and associated documentation files (the \"Software\"), to deal\n"            \
    "in the Software without restriction, including without limitation the rights\n"               \
    "to use, copy, modify, merge, publish, distribute, sublicense, and/or sell\n"                  \
    "copies of the Software, and to permit persons to whom the Software is\n"                      \
    "furnished to do so, subject to the following conditions:\n\n"                                 \
    "The above copyright notice and this permission notice shall be included in all\n"             \
    "copies or substantial portions of the Software.\n\n"                                          \
    "THE SOFTWARE IS PROVIDED \"AS IS\", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR\n"               \
    "IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,\n"                   \
    "FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE\n"                \
    "AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER\n"                     \
    "LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,\n"              \
    "OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE\n"              \
    "SOFTWARE.\n"

static const char *id_of(const char *text)
{
    uint8_t digest[LICENSE_DIGEST_BYTES];
    assert_int_equal(license_text_digest(text, strlen(text), digest, NULL), 0);
    return license_of_digest(digest);
}

static void mit_is_known_by_every_word_and_no_other(void **state)
{
    (void)state;
    assert_string_equal(id_of("MIT License\n\nCopyright (c) 2025 Some Company\n\n" MIT_BODY),
                        "MIT");
    assert_string_equal(id_of("The MIT License (MIT)\r\n\r\nCopyright 2019-2025 A, B\r\n" MIT_BODY),
                        "MIT");
    assert_string_equal(id_of("\xef\xbb\xbf" MIT_BODY), "MIT");
}

static void rider_is_never_mit(void **state)
{
    (void)state;
    static const char *const riders[] = {
        MIT_BODY "\nServices with more than 5 million monthly users shall display our name.\n",
        MIT_BODY "\nNon-commercial only.\n", "Modified MIT License\n\n" MIT_BODY,
        "Research only.\n" MIT_BODY,
        /* as a copyright line */
        "Copyright (c) 2025 Some Company, not for commercial use\n" MIT_BODY,
        "Copyright (c) 2025 Some Company. Users must pay.\n" MIT_BODY,
        /* in another script */
        MIT_BODY "\n\xe7\xa6\x81\xe6\xad\xa2\xe5\x95\x86\xe7\x94\xa8\n",
        "MIT License\n", /* the title alone grants nothing */
    };
    for (size_t i = 0; i < sizeof riders / sizeof riders[0]; i++)
        assert_null(id_of(riders[i]));
}

static void a_word_left_out_is_another_text(void **state)
{
    (void)state;
    char text[sizeof MIT_BODY];
    memcpy(text, MIT_BODY, sizeof text);
    char *word = strstr(text, "sublicense, ");
    assert_non_null(word);
    memmove(word, word + 12, strlen(word + 12) + 1);
    assert_null(id_of(text));
}

static struct license *by_claims(const char *license, const char *name, const char *file,
                                 const char *text_id)
{
    const struct license_claims claims = {.license = license,
                                          .name = name,
                                          .link = "",
                                          .file = file,
                                          .text_id = text_id,
                                          .text_title = file[0] == '\0' ? "" : "A Title"};
    struct license *found = license_decide(&claims, NULL);
    assert_non_null(found);
    return found;
}

static void names_are_normalised(void **state)
{
    (void)state;
    static const char *const names[][3] = {
        {"apache-2.0", "", "Apache-2.0"},
        {"APACHE 2.0", "", "Apache-2.0"},
        {"apache", "", "unknown"}, /* which version? */
        {"Apache License 2.0", "", "Apache-2.0"},
        {"llama3.1", "", "llama3.1"},
        {"gemma", "", "gemma"},
        {"cc-by-nc-4.0", "", "CC-BY-NC-4.0"},
        {"other", "qwen-research", "qwen-research"},
        {"other", "modified-mit", "unknown"},
        {"other", "", "unknown"},
        {"", "", "unknown"},
        {"mit,apache-2.0", "", "MIT AND Apache-2.0"},
        {"mit, something", "", "unknown"},
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct license *license = by_claims(names[i][0], names[i][1], "", NULL);
        assert_string_equal(license_found(license)->id, names[i][2]);
        assert_string_equal(license_found(license)->disagreement, "");
        license_free(license);
    }
    struct license *license = by_claims("other", "modified-mit", "", NULL);
    assert_string_equal(license_found(license)->name, "modified-mit");
    license_free(license);
}

static void text_decides_where_it_and_the_weights_disagree(void **state)
{
    (void)state;
    static const struct {
        const char *license, *text_id, *id;
        enum license_source source;
        bool disagree;
    } rows[] = {
        {"mit", "MIT", "MIT", LICENSE_FROM_WEIGHTS, false},
        {"mit", "Apache-2.0", "Apache-2.0", LICENSE_FROM_FILE, true},
        {"mit", NULL, "unknown", LICENSE_FROM_FILE, true},         /* a rider, perhaps */
        {"gpl-3.0", NULL, "GPL-3.0", LICENSE_FROM_WEIGHTS, false}, /* text not in the catalogue */
        {"strange", NULL, "unknown", LICENSE_FROM_WEIGHTS, false},
        {"strange", "MIT", "MIT", LICENSE_FROM_FILE, false},
        {"", "kimi-k2", "kimi-k2", LICENSE_FROM_FILE, false},
        {"", NULL, "unknown", LICENSE_FROM_FILE, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct license *license = by_claims(rows[i].license, "", "/m/LICENSE", rows[i].text_id);
        const struct policy_license *found = license_found(license);
        assert_string_equal(found->id, rows[i].id);
        assert_int_equal(found->source, rows[i].source);
        assert_int_equal(found->disagreement[0] != '\0', rows[i].disagree);
        assert_string_equal(found->file, "/m/LICENSE");
        license_free(license);
    }
}

static struct license *read_beside(const char *folder, const char *license)
{
    char path[SCRATCH_PATH_BYTES + 16];
    (void)snprintf(path, sizeof path, "%s/m.gguf", folder);
    const struct policy_model_facts facts = {.id = "m", .path = path, .license = license};
    struct license *found = license_read(&facts, NULL);
    assert_non_null(found);
    return found;
}

static void model_file_goes_before_code_file(void **state)
{
    (void)state;
    static const char rider[] = "House License\n" MIT_BODY "\nNot above 9 users.\n";
    char folder[SCRATCH_PATH_BYTES];
    scratch_make(folder);
    scratch_write(folder, "LICENSE-CODE", MIT_BODY, strlen(MIT_BODY));
    struct license *license = read_beside(folder, "llama3.1");
    assert_string_equal(license_found(license)->id, "llama3.1"); /* code binds code */
    assert_string_equal(license_found(license)->disagreement, "");
    license_free(license);
    scratch_write(folder, "LICENSE-MODEL", rider, strlen(rider));
    license = read_beside(folder, "");
    assert_string_equal(license_found(license)->id, "unknown");
    assert_string_equal(license_found(license)->name, "House License");
    license_free(license);
    license = read_beside(folder, "mit");
    assert_string_equal(license_found(license)->id, "unknown");
    assert_non_null(strstr(license_found(license)->disagreement, "LICENSE-MODEL"));
    assert_non_null(strstr(license_found(license)->disagreement, "House License"));
    license_free(license);
    scratch_remove(folder);
}

static void text_beyond_the_limit_is_unknown(void **state)
{
    (void)state;
    char folder[SCRATCH_PATH_BYTES];
    size_t count = LICENSE_TEXT_BYTES_MAX + 4096;
    char *text = malloc(count);
    memset(text, 'a', count);
    memcpy(text, MIT_BODY, strlen(MIT_BODY));
    scratch_make(folder);
    scratch_write(folder, "copying.txt", text, count);
    struct license *license = read_beside(folder, "");
    assert_string_equal(license_found(license)->id, "unknown");
    assert_string_equal(license_source_name(license_found(license)->source), "file");
    license_free(license);
    free(text);
    scratch_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mit_is_known_by_every_word_and_no_other),
        cmocka_unit_test(rider_is_never_mit),
        cmocka_unit_test(a_word_left_out_is_another_text),
        cmocka_unit_test(names_are_normalised),
        cmocka_unit_test(text_decides_where_it_and_the_weights_disagree),
        cmocka_unit_test(model_file_goes_before_code_file),
        cmocka_unit_test(text_beyond_the_limit_is_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
