/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/users/private_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define GROUP_READS 040u

/* systemd lets the service's user at its credentials by an access list, whose mask stands where a
 * mode has the group's bits: 0440, though no group may read. */
static bool is_credential(const char *path)
{
    const char *folder = getenv("CREDENTIALS_DIRECTORY");
    if (folder == NULL || folder[0] != '/')
        return false;
    size_t count = strlen(folder);
    return strncmp(path, folder, count) == 0 && path[count] == '/' &&
           strchr(path + count + 1, '/') == NULL;
}

static int check(int fd, const char *path, const struct private_file_rules *rules, mode_t *ret_mode,
                 struct error *err)
{
    struct stat status;
    if (fstat(fd, &status) != 0)
        return error_set_errno(err, errno, "%s", path);
    if (!S_ISREG(status.st_mode))
        return error_set(err, ERROR_INVALID, "%s: not a regular file", path);
    mode_t mode = status.st_mode & 0777;
    if (is_credential(path))
        mode &= ~GROUP_READS;
    if ((mode & rules->forbidden) != 0)
        return error_set(err, ERROR_REFUSED,
                         "%s: mode %03o lets others at the key; chmod 600 it, or replace it if "
                         "they did read it",
                         path, (unsigned)status.st_mode & 0777u);
    if (status.st_size < (off_t)rules->bytes_min || status.st_size > (off_t)rules->bytes_max)
        return error_set(err, ERROR_INVALID, "%s: expected %zu to %zu bytes, got %lld", path,
                         rules->bytes_min, rules->bytes_max, (long long)status.st_size);
    *ret_mode = mode;
    return 0;
}

int private_file_read(const char *path, const struct private_file_rules *rules, uint8_t *ret,
                      size_t *ret_count, mode_t *ret_mode, struct error *err)
{
    /* O_NONBLOCK: a FIFO put there must not hold up the start */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return error_set_errno(err, errno, "%s", path);
    mode_t mode = 0;
    int result = check(fd, path, rules, &mode, err);
    size_t count = 0;
    ssize_t got = 1;
    while (result == 0 && got > 0 && count < rules->bytes_max) {
        got = read(fd, ret + count, rules->bytes_max - count);
        if (got < 0)
            result = error_set_errno(err, errno, "%s", path);
        else
            count += (size_t)got;
    }
    if (result == 0 && count < rules->bytes_min) /* it shrank meanwhile */
        result = error_set(err, ERROR_IO, "%s: read %zu bytes", path, count);
    close(fd);
    if (result != 0)
        return result;
    *ret_count = count;
    if (ret_mode != NULL)
        *ret_mode = mode;
    return 0;
}
