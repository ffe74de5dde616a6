/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/activation.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Digits alone; -1 for anything else. */
static long read_count(const char *text, long most)
{
    long value = 0;
    if (*text == '\0')
        return -1;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return -1;
        value = value * 10 + (*text - '0');
        if (value > most)
            return -1;
    }
    return value;
}

static int read_names(const char *names, struct activation *ret, struct error *err)
{
    for (uint32_t i = 0; i < ret->count; i++) {
        size_t count = strcspn(names, ":");
        if (count >= ACTIVATION_NAME_BYTES)
            return error_set(err, ERROR_INVALID, "LISTEN_FDNAMES: a name of more than %u bytes",
                             ACTIVATION_NAME_BYTES - 1);
        memcpy(ret->names[i], names, count);
        ret->names[i][count] = '\0';
        bool last = i + 1 == ret->count;
        if (last != (names[count] == '\0'))
            return error_set(err, ERROR_INVALID, "LISTEN_FDNAMES: expected %u names", ret->count);
        names += count + !last;
    }
    return 0;
}

int activation_parse(const char *pid, const char *fds, const char *names, pid_t own,
                     struct activation *ret, struct error *err)
{
    ret->count = 0;
    if (pid == NULL || fds == NULL || read_count(pid, INT_MAX) != (long)own)
        return 0;
    long count = read_count(fds, ACTIVATION_FDS_MAX);
    if (count < 0)
        return error_set(err, ERROR_INVALID, "LISTEN_FDS: expected 0 to %u, got '%.32s'",
                         ACTIVATION_FDS_MAX, fds);
    ret->count = (uint32_t)count;
    if (names != NULL && count > 0)
        return read_names(names, ret, err);
    for (uint32_t i = 0; i < ret->count; i++)
        memcpy(ret->names[i], "unknown", sizeof "unknown");
    return 0;
}

static int prepare(int fd, const char *name, struct error *err)
{
    int type = 0, listening = 0;
    socklen_t count = sizeof type;
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 ||
        fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
        return error_set_errno(err, errno, "the socket '%s' of systemd", name);
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &count) != 0 || type != SOCK_STREAM ||
        getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &count) != 0 || listening == 0)
        return error_set(err, ERROR_INVALID,
                         "'%s' of systemd is no listening stream socket: use ListenStream= and "
                         "Accept=no",
                         name);
    return 0;
}

int activation_take(struct activation *ret, struct error *err)
{
    int result = activation_parse(getenv("LISTEN_PID"), getenv("LISTEN_FDS"),
                                  getenv("LISTEN_FDNAMES"), getpid(), ret, err);
    for (uint32_t i = 0; result == 0 && i < ret->count; i++)
        result = prepare(ACTIVATION_FIRST_FD + (int)i, ret->names[i], err);
    (void)unsetenv("LISTEN_PID");
    (void)unsetenv("LISTEN_FDS");
    (void)unsetenv("LISTEN_FDNAMES");
    return result;
}
