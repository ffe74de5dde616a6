/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/policy/scratch.h"

void scratch_make(char ret[SCRATCH_PATH_BYTES])
{
    (void)snprintf(ret, SCRATCH_PATH_BYTES, "/tmp/weir-policy-XXXXXX");
    assert_non_null(mkdtemp(ret));
}

void scratch_make_in_memory(char ret[SCRATCH_PATH_BYTES])
{
    (void)snprintf(ret, SCRATCH_PATH_BYTES, "/dev/shm/weir-policy-XXXXXX");
    assert_non_null(mkdtemp(ret));
}

void scratch_remove(const char *folder)
{
    DIR *entries = opendir(folder);
    assert_non_null(entries);
    for (struct dirent *entry; (entry = readdir(entries)) != NULL;)
        if (entry->d_name[0] != '.')
            assert_int_equal(unlinkat(dirfd(entries), entry->d_name, 0), 0);
    closedir(entries);
    assert_int_equal(rmdir(folder), 0);
}

void scratch_write(const char *folder, const char *name, const void *bytes, size_t count)
{
    char path[SCRATCH_PATH_BYTES + 64];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, count, file), count);
    assert_int_equal(fclose(file), 0);
}

void scratch_find(const char *folder, const char *prefix, char ret[SCRATCH_PATH_BYTES])
{
    uint32_t found = 0;
    DIR *entries = opendir(folder);
    assert_non_null(entries);
    for (struct dirent *entry; (entry = readdir(entries)) != NULL;)
        if (strncmp(entry->d_name, prefix, strlen(prefix)) == 0) {
            found++;
            (void)snprintf(ret, SCRATCH_PATH_BYTES, "%s/%.255s", folder, entry->d_name);
        }
    closedir(entries);
    assert_int_equal(found, 1);
}
