/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/recognition/doubles.h"

void tree_make(char ret[TREE_PATH_BYTES])
{
    (void)snprintf(ret, TREE_PATH_BYTES, "/tmp/weir-recognition-XXXXXX");
    assert_non_null(mkdtemp(ret));
}

static int on_entry(const char *path, const struct stat *status, int flag, struct FTW *walk)
{
    (void)status;
    (void)flag;
    (void)walk;
    return remove(path);
}

void tree_remove(const char *root)
{
    assert_int_equal(nftw(root, on_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
}

const char *tree_join(char ret[TREE_PATH_BYTES], const char *root, const char *path)
{
    assert_true(snprintf(ret, TREE_PATH_BYTES, "%s/%s", root, path) < TREE_PATH_BYTES);
    return ret;
}

void tree_write_bytes(const char *root, const char *path, const void *bytes, size_t count)
{
    char whole[TREE_PATH_BYTES];
    (void)tree_join(whole, root, path);
    for (char *slash = strchr(whole + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(whole, 0755);
        *slash = '/';
    }
    FILE *file = fopen(whole, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, count, file), count);
    assert_int_equal(fclose(file), 0);
}

void tree_write(const char *root, const char *path, const char *content)
{
    tree_write_bytes(root, path, content, strlen(content));
}

struct recognition *recognised(const struct policy_model_facts *facts)
{
    struct recognition *recognition = NULL;
    struct error err = {0};
    if (recognition_read(NULL, NULL, facts, &recognition, &err) != 0)
        fail_msg("%s", err.text);
    return recognition;
}

struct recognition *recognised_folder(const char *root, const char *path)
{
    char whole[TREE_PATH_BYTES];
    const struct policy_model_facts facts = {.id = "m", .path = tree_join(whole, root, path)};
    return recognised(&facts);
}

const struct recognised_license *license_of(const struct recognition *recognition, const char *id)
{
    for (uint32_t i = 0; i < recognition->license_count; i++) {
        const struct recognised_license *license = &recognition->licenses[i];
        if (strcmp(license->record == NULL ? "" : license->record->id, id) == 0)
            return license;
    }
    return NULL;
}

const struct recognition_doubt *doubt_of(const struct recognition *recognition, const char *id)
{
    for (uint32_t i = 0; i < recognition->doubt_count; i++)
        if (strcmp(recognition->doubts[i].id, id) == 0)
            return &recognition->doubts[i];
    return NULL;
}

void assert_licenses(const struct recognition *recognition, const char *ids)
{
    char joined[1024] = "";
    for (uint32_t i = 0; i < recognition->license_count; i++) {
        const struct license_record *record = recognition->licenses[i].record;
        size_t used = strlen(joined);
        (void)snprintf(joined + used, sizeof joined - used, "%s%s", i == 0 ? "" : " AND ",
                       record == NULL ? "unknown" : record->id);
    }
    assert_string_equal(joined, ids);
}

void assert_no_doubts(const struct recognition *recognition)
{
    for (uint32_t i = 0; i < recognition->doubt_count; i++)
        fail_msg("%s: %s", recognition->doubts[i].id, recognition->doubts[i].reason);
    for (uint32_t i = 0; i < recognition->disagreement_count; i++)
        fail_msg("disagreement: %s", recognition->disagreements[i]);
}

static bool holds(const char *sentence, const char *words)
{
    char word[128];
    for (int used = 0; sscanf(words, "%127s%n", word, &used) == 1; words += used)
        if (strstr(sentence, word) == NULL)
            return false;
    return true;
}

void assert_disagreement(const struct recognition *recognition, const char *words)
{
    for (uint32_t i = 0; i < recognition->disagreement_count; i++)
        if (holds(recognition->disagreements[i], words))
            return;
    fail_msg("no disagreement of %u holds: %s", recognition->disagreement_count, words);
}
