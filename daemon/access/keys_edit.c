/* SPDX-License-Identifier: Apache-2.0 */
/* keys_edit.c -- a copy is written, synced, and takes the name.
 *
 *     open, flock --> is it still the file of that name? --no--> again
 *                     yes: read, write FILE.XXXXXX, fsync, rename over FILE, fsync the folder
 *
 * The lock lies on the file itself, which the rename puts away: who waited for it finds another
 * file under the name and begins anew. So no lock file is left lying about. */
#include "daemon/access/keys_edit.h"

#include "daemon/access/keys_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static int lock_file(int fd)
{
    int result;
    do
        result = flock(fd, LOCK_EX);
    while (result != 0 && errno == EINTR);
    return result;
}

/* One try: *ret_moved where another writer's file took the name meanwhile. */
static int try_lock(struct keys_edit *edit, bool create, bool *ret_moved, struct error *err)
{
    struct stat opened, named;
    int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | (create ? O_CREAT : 0);
    edit->lock = open(edit->path, flags, 0600);
    if (edit->lock < 0)
        return error_set_errno(err, errno, "%s", edit->path);
    if (fstat(edit->lock, &opened) != 0 || lock_file(edit->lock) != 0)
        return error_set_errno(err, errno, "%s", edit->path);
    *ret_moved = stat(edit->path, &named) != 0 || named.st_ino != opened.st_ino ||
                 named.st_dev != opened.st_dev;
    edit->mode = opened.st_mode & 0777;
    edit->owner = opened.st_uid;
    edit->group = opened.st_gid;
    return 0;
}

/* The file behind links; a name that is not there yet is its own. */
static int resolve(const char *path, char ret[PATH_MAX], struct error *err)
{
    if (realpath(path, ret) != NULL)
        return 0;
    if (errno != ENOENT)
        return error_set_errno(err, errno, "%s", path);
    int count = snprintf(ret, PATH_MAX, "%s", path);
    return count > 0 && count < PATH_MAX - 8
               ? 0
               : error_set(err, ERROR_INVALID, "%.100s...: the path is too long", path);
}

int keys_edit_begin(const char *path, bool create, struct keys_edit *ret, struct error *err)
{
    bool moved = true;
    *ret = (struct keys_edit){.lock = -1};
    int result = resolve(path, ret->path, err);
    while (result == 0 && moved) {
        if (ret->lock >= 0)
            close(ret->lock);
        result = try_lock(ret, create, &moved, err);
    }
    if (result == 0)
        result = keys_file_load(ret->path, &ret->bytes, &ret->count, err);
    if (result != 0)
        keys_edit_end(ret);
    return result;
}

static int write_all(int fd, const char *bytes, size_t count)
{
    while (count > 0) {
        ssize_t written = write(fd, bytes, count);
        if (written < 0 && errno != EINTR)
            return -1;
        if (written > 0) {
            bytes += written;
            count -= (size_t)written;
        }
    }
    return 0;
}

/* The daemon runs as somebody else, maybe: what it could read before it can read after. */
static int fill(const struct keys_edit *edit, int fd, const struct text *text)
{
    struct stat made;
    if (fstat(fd, &made) != 0)
        return -1;
    if ((made.st_uid != edit->owner || made.st_gid != edit->group) &&
        fchown(fd, edit->owner, edit->group) != 0)
        return -1;
    if (fchmod(fd, edit->mode) != 0 || write_all(fd, text_string(text), text->count) != 0)
        return -1;
    return fsync(fd);
}

static int sync_folder(const char *path)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t count = slash == NULL ? 1 : slash == path ? 1 : (size_t)(slash - path);
    memcpy(folder, slash == NULL ? "." : path, count);
    folder[count] = '\0';
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int result = fd < 0 ? -1 : fsync(fd);
    int failed = errno;
    if (fd >= 0)
        close(fd);
    errno = failed;
    return result;
}

int keys_edit_commit(struct keys_edit *edit, const struct text *text, struct error *err)
{
    char made[PATH_MAX];
    if (text->failed)
        return error_no_memory(err);
    int count = snprintf(made, sizeof made, "%s.XXXXXX", edit->path);
    int fd = count < 0 || (size_t)count >= sizeof made ? -1 : mkostemp(made, O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(err, errno, "%s: a file beside it", edit->path);
    bool done = fill(edit, fd, text) == 0 && rename(made, edit->path) == 0;
    int failed = errno;
    close(fd);
    if (!done) {
        (void)unlink(made);
        return error_set_errno(err, failed, "%s: its copy", edit->path);
    }
    if (sync_folder(edit->path) != 0)
        return error_set_errno(err, errno, "%s: its folder", edit->path);
    return 0;
}

void keys_edit_end(struct keys_edit *edit)
{
    free(edit->bytes);
    if (edit->lock >= 0)
        close(edit->lock); /* and unlocks */
    *edit = (struct keys_edit){.lock = -1};
}
