/* SPDX-License-Identifier: Apache-2.0 */
/* file_stamp.h -- whether a file is another than when it was read.
 *
 * It is when its device, inode, size, or time of change is. The time of change (ctime) cannot be
 * set by programs that keep a file's mtime, and moves with the mode, which may be what was wrong.
 * Take the stamp before the file is read: what is written in between is seen by the next look. Any
 * thread. */
#ifndef WEIR_BASE_FILE_STAMP_H
#define WEIR_BASE_FILE_STAMP_H

#include <stdbool.h>
#include <sys/types.h>
#include <time.h>

struct file_stamp {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec changed;
    bool there; /* false: no such file, or none was asked for; all else is zero */
};

struct file_stamp file_stamp(const char *path); /* NULL and "" are not there */
bool file_stamp_same(const struct file_stamp *a, const struct file_stamp *b);

#endif
