/* SPDX-License-Identifier: Apache-2.0 */
/* unix_socket.h -- listening at a path: what is left there by the dead is replaced, the living are
 * not disturbed. */
#ifndef WEIR_DAEMON_HTTP_UNIX_SOCKET_H
#define WEIR_DAEMON_HTTP_UNIX_SOCKET_H

#include "base/error.h"

#include <stdint.h>
#include <sys/types.h>
#include <sys/un.h>
#include <time.h>

#define UNIX_SOCKET_PATH_MAX (sizeof(((struct sockaddr_un *)0)->sun_path) - 1) /* 107 */

/* Which socket lies at a path: another process may put its own there later, and the file system may
 * give that the same number. */
struct unix_place {
    dev_t device;
    ino_t inode;
    struct timespec made;
};

/* A listening, non-blocking socket with these permissions from its first moment; -1 and err on
 * failure: ERROR_BUSY where somebody answers at the path, ERROR_INVALID where no socket is in the
 * way. */
int unix_socket_listen(const char *path, mode_t mode, struct unix_place *ret, struct error *err);
/* Removes the path, if it is still that socket. */
void unix_socket_remove(const char *path, const struct unix_place *place);

#endif
