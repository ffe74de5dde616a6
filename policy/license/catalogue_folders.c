/* SPDX-License-Identifier: Apache-2.0 */
/* catalogue_folders.c -- where the catalogue lies: beside the source, or where it was installed. */
#include "policy/license/catalogue.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PARENTS_MAX 5u /* build/asan/unit/policy/x_test is five folders below the tree */

static const char installed[] = "/usr/share/weir/licenses";

/* folder + tail, when a file `mark` lies there. */
static bool find_below(const char *folder, const char *tail, const char *mark, char *storage,
                       size_t storage_bytes)
{
    char file[PATH_MAX];
    int length = snprintf(file, sizeof file, "%s%s%s", folder, tail, mark);
    if (length < 0 || (size_t)length >= sizeof file || access(file, R_OK) != 0)
        return false;
    length = snprintf(storage, storage_bytes, "%s%s", folder, tail);
    return length >= 0 && (size_t)length < storage_bytes;
}

/* A source tree is told by the manual beside its licences, which is not installed. A prefix other
 * than /usr has its share/ beside the binary's folder. */
static bool find_near_binary(char *storage, size_t storage_bytes)
{
    char folder[PATH_MAX];
    ssize_t count = readlink("/proc/self/exe", folder, sizeof folder - 1);
    if (count <= 0)
        return false;
    folder[count] = '\0';
    for (uint32_t i = 0; i < PARENTS_MAX; i++) {
        char *slash = strrchr(folder, '/');
        if (slash == NULL || slash == folder)
            return false;
        *slash = '\0';
        if (find_below(folder, "/config/licenses", "/README.md", storage, storage_bytes) ||
            find_below(folder, "/share/weir/licenses", "/" CATALOGUE_LINEAGE_FILE, storage,
                       storage_bytes))
            return true;
    }
    return false;
}

uint32_t catalogue_folders(const char *extra, char *storage, size_t storage_bytes,
                           const char *ret_folders[2])
{
    uint32_t count = 0;
    bool found = find_near_binary(storage, storage_bytes) ||
                 find_below(".", "/config/licenses", "/README.md", storage, storage_bytes);
    ret_folders[count++] = found ? storage : installed;
    if (extra != NULL && extra[0] != '\0')
        ret_folders[count++] = extra;
    return count;
}
