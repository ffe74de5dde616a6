/* SPDX-License-Identifier: Apache-2.0 */
/* keys_edit.h -- the keys file, changed: one writer at a time, and who reads sees the old or the
 * new, never half. For commands; the daemon only reads. */
#ifndef WEIR_DAEMON_ACCESS_KEYS_EDIT_H
#define WEIR_DAEMON_ACCESS_KEYS_EDIT_H

#include "base/error.h"
#include "base/text.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct keys_edit {
    char path[PATH_MAX]; /* links followed: what is replaced is the file, not a link to it */
    int lock;            /* the file as it is, locked */
    char *bytes;         /* of it */
    size_t count;
    mode_t mode;
    uid_t owner;
    gid_t group;
};

/* Waits for other writers, then reads the file. create: makes an empty one, 0600, where there is
 * none. Errors are those of keys_file_load(). End it in any case where it returns 0. */
int keys_edit_begin(const char *path, bool create, struct keys_edit *ret, struct error *err);
/* Puts text in its place, on disk, of the same mode and owner. */
int keys_edit_commit(struct keys_edit *edit, const struct text *text, struct error *err);
void keys_edit_end(struct keys_edit *edit);

#endif
