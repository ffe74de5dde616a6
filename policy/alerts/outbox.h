/* SPDX-License-Identifier: Apache-2.0 */
/* outbox.h -- messages that must arrive: written down before they are sent, kept until they have.
 *
 * outbox.db in the state folder: SQLite with a write-ahead log and synchronous=FULL, so that what
 * outbox_put() returned from outlives a power cut. A message is named by its id and its target;
 * putting it again changes nothing, so that whoever makes messages may do so twice after a crash.
 * States: pending until delivered, or dead when its time is up. Times are Unix milliseconds, and
 * the caller's. One thread at a time. */
#ifndef WEIR_POLICY_ALERTS_OUTBOX_H
#define WEIR_POLICY_ALERTS_OUTBOX_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OUTBOX_ID_MAX      128u   /* bytes, of an id and of a target's name, without the NUL */
#define OUTBOX_BODY_MAX    65536u /* bytes */
#define OUTBOX_PENDING_MAX 10000u /* messages */

struct outbox;

struct outbox_message {
    const char *id;     /* printable ASCII without spaces or dots: it is signed and sent */
    const char *target; /* the name of who it is for, never an address: addresses hold secrets */
    const char *body;
};

/* Makes the file, for its owner alone, when it is missing. ERROR_INVALID, with a remedy, for a file
 * that is no outbox, of a later format, or damaged. */
struct outbox *outbox_open(const char *folder, struct error *err);
void outbox_close(struct outbox *outbox); /* NULL is fine */

/* Durable when it returns. ERROR_BUSY past OUTBOX_PENDING_MAX, ERROR_INVALID for bytes that an id
 * or a body may not have. */
int outbox_put(struct outbox *outbox, const struct outbox_message *message, int64_t now_ms,
               struct error *err);

struct outbox_row {
    int64_t row, created_ms, next_ms;
    uint32_t attempts; /* that failed */
    char id[OUTBOX_ID_MAX + 1], target[OUTBOX_ID_MAX + 1];
    char why[OUTBOX_ID_MAX + 1]; /* the newest attempt failed, "" before any did */
    char *body;                  /* malloc'ed; the caller's, see outbox_row_destroy() */
};
void outbox_row_destroy(struct outbox_row *row);

/* Pending messages due by now, the longest waiting first, passing over those numbered in
 * `busy`: rows that are on their way already. Returns how many, at most rows_max. */
struct outbox_due {
    int64_t now_ms;
    const int64_t *busy;
    uint32_t busy_count, rows_max;
};
int outbox_due(struct outbox *outbox, const struct outbox_due *due, struct outbox_row *ret,
               struct error *err);
/* INT64_MAX when nothing is pending. */
int outbox_next_ms(struct outbox *outbox, int64_t *ret, struct error *err);

int outbox_delivered(struct outbox *outbox, int64_t row, int64_t now_ms, struct error *err);
/* why: for people, cut to OUTBOX_ID_MAX bytes. */
int outbox_failed(struct outbox *outbox, int64_t row, int64_t next_ms, const char *why,
                  struct error *err);
int outbox_dead(struct outbox *outbox, int64_t row, int64_t now_ms, const char *why,
                struct error *err);

struct outbox_counts {
    uint64_t pending, delivered, dead;
};
int outbox_count(struct outbox *outbox, struct outbox_counts *ret, struct error *err);
/* Dead letters, oldest first; a callback that returns false ends it. */
int outbox_read_dead(struct outbox *outbox,
                     bool (*on_row)(void *argument, const struct outbox_row *row), void *argument,
                     struct error *err);
/* Removes what was delivered or died before then. */
int outbox_forget(struct outbox *outbox, int64_t before_ms, struct error *err);

#endif
