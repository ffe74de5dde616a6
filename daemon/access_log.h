/* SPDX-License-Identifier: Apache-2.0 */
/* access_log.h -- a line a request, written by a thread of its own, so that no worker waits.
 *
 * Workers hand over whole lines; the thread writes them to the file of access_log.path, or to
 * weir's own log. A disk or pipe that takes nothing lets lines wait, up to a limit; what comes
 * beyond is dropped and counted. What lines say is access_line.h's. */
#ifndef WEIR_DAEMON_ACCESS_LOG_H
#define WEIR_DAEMON_ACCESS_LOG_H

#include "base/error.h"
#include "base/log.h"
#include "base/text.h"

#include <stdint.h>

#define ACCESS_LOG_BATCH_BYTES 4096u /* of one write: a pipe takes so much whole (PIPE_BUF) */
#define ACCESS_LOG_CLOSE_MS    2000u /* how long a stop waits for a file that takes nothing */

struct access_log;

/* path: of the file, made with mode 0640 and only appended to; "" for the descriptor of `log`.
 * lines_max: that may wait, rounded up to a power of two. log, path: borrowed, outlive it. Starts
 * the thread. NULL and err, with a remedy, when the file cannot be opened. */
struct access_log *access_log_open(const char *path, uint32_t lines_max, struct log *log,
                                   struct error *err);
/* When nobody puts any more: writes what waits, for ACCESS_LOG_CLOSE_MS at most. NULL is fine. */
void access_log_close(struct access_log *access);

/* Any thread; never blocks. Takes the line's bytes; it is empty after. NULL drops it uncounted. */
void access_log_put(struct access_log *access, struct text *line);
/* Any thread: the file was moved away, open the path anew (logrotate). The old one stays open and
 * in use while that fails, and the log says why. NULL is fine. */
void access_log_reopen(struct access_log *access);

struct access_log_stats {
    uint64_t written, dropped; /* lines */
};
/* Any thread. NULL: none. */
void access_log_stats(const struct access_log *access, struct access_log_stats *ret);

#endif
