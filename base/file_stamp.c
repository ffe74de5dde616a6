/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file_stamp.h"

#include <stddef.h>
#include <sys/stat.h>

struct file_stamp file_stamp(const char *path)
{
    struct stat status;
    if (path == NULL || path[0] == '\0' || stat(path, &status) != 0)
        return (struct file_stamp){.there = false};
    return (struct file_stamp){.device = status.st_dev,
                               .inode = status.st_ino,
                               .size = status.st_size,
                               .changed = status.st_ctim,
                               .there = true};
}

bool file_stamp_same(const struct file_stamp *a, const struct file_stamp *b)
{
    return a->there == b->there && a->device == b->device && a->inode == b->inode &&
           a->size == b->size && a->changed.tv_sec == b->changed.tv_sec &&
           a->changed.tv_nsec == b->changed.tv_nsec;
}
