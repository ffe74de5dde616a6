/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/http/unix_socket.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define UNIX_SOCKET_BACKLOG 4096

static int make_socket(void)
{
    return socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

/* 0 when nobody answers at the path any more and it is gone, or when there was none. */
static int clear_path(const struct sockaddr_un *address, struct error *err)
{
    const char *path = address->sun_path;
    struct stat found;
    if (lstat(path, &found) != 0)
        return errno == ENOENT ? 0 : error_set_errno(err, errno, "unix socket '%s'", path);
    if (!S_ISSOCK(found.st_mode))
        return error_set(err, ERROR_INVALID,
                         "unix socket '%s': something else is there; remove it, or choose another "
                         "path",
                         path);
    int probe = make_socket();
    if (probe < 0)
        return error_set_errno(err, errno, "unix socket '%s'", path);
    int failed = connect(probe, (const struct sockaddr *)address, sizeof *address) == 0 ? 0 : errno;
    (void)close(probe);
    if (failed == 0 || failed == EAGAIN) /* EAGAIN: alive, with a full queue */
        return error_set(err, ERROR_BUSY,
                         "unix socket '%s' is in use: stop its owner, or choose another path",
                         path);
    if (failed != ECONNREFUSED && failed != ENOENT)
        return error_set_errno(err, failed, "unix socket '%s'", path);
    if (unlink(path) != 0 && errno != ENOENT)
        return error_set_errno(err, errno, "unix socket '%s': left by the dead", path);
    return 0;
}

int unix_socket_listen(const char *path, mode_t mode, struct unix_place *ret, struct error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat made;
    size_t count = strlen(path);
    if (count == 0 || count > UNIX_SOCKET_PATH_MAX) {
        (void)error_set(err, ERROR_INVALID, "unix socket: expected a path of 1 to %zu bytes",
                        UNIX_SOCKET_PATH_MAX);
        return -1;
    }
    memcpy(address.sun_path, path, count + 1);
    if (clear_path(&address, err) != 0)
        return -1;
    int fd = make_socket();
    /* Before bind(), so that there is no moment with more; after it, for the umask takes some. */
    if (fd < 0 || fchmod(fd, mode) != 0 ||
        bind(fd, (const struct sockaddr *)&address, sizeof address) != 0)
        goto fail;
    if (chmod(path, mode) != 0 || lstat(path, &made) != 0 || listen(fd, UNIX_SOCKET_BACKLOG) != 0) {
        int saved = errno;
        (void)unlink(path);
        errno = saved;
        goto fail;
    }
    *ret = (struct unix_place){made.st_dev, made.st_ino, made.st_mtim};
    return fd;

fail:
    (void)error_set_errno(err, errno, "unix socket '%s'", path);
    if (fd >= 0)
        (void)close(fd);
    return -1;
}

void unix_socket_remove(const char *path, const struct unix_place *place)
{
    struct stat found;
    if (lstat(path, &found) == 0 && found.st_dev == place->device && found.st_ino == place->inode &&
        found.st_mtim.tv_sec == place->made.tv_sec && found.st_mtim.tv_nsec == place->made.tv_nsec)
        (void)unlink(path);
}
