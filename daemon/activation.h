/* SPDX-License-Identifier: Apache-2.0 */
/* activation.h -- sockets that systemd opened for us: LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES.
 *
 * The protocol is three variables and descriptors from 3 on (sd_listen_fds(3)); a library for that
 * would be one more. systemd keeps the sockets while we restart: we close ours, and never shut
 * one down. Main thread, at start. */
#ifndef WEIR_DAEMON_ACTIVATION_H
#define WEIR_DAEMON_ACTIVATION_H

#include "base/error.h"

#include <stdint.h>
#include <sys/types.h>

#define ACTIVATION_FIRST_FD   3
#define ACTIVATION_FDS_MAX    64u
#define ACTIVATION_NAME_BYTES 256u /* with its NUL; systemd's own limit */

struct activation {
    uint32_t count; /* of descriptors from ACTIVATION_FIRST_FD on */
    char names[ACTIVATION_FDS_MAX][ACTIVATION_NAME_BYTES];
};

/* What the three variables say, each NULL where it is not set; pure. None of it is for us where
 * the pid is another's: count is 0 then. ERROR_INVALID for what systemd would not write. */
int activation_parse(const char *pid, const char *fds, const char *names, pid_t own,
                     struct activation *ret, struct error *err);

/* The same of the environment, which forgets it. The descriptors are made non-blocking, closed on
 * exec, and each is a listening stream socket, or it is ERROR_INVALID. */
int activation_take(struct activation *ret, struct error *err);

#endif
