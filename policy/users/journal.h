/* SPDX-License-Identifier: Apache-2.0 */
/* journal.h -- what counters changed, on disk before an answer leaves: group commit.
 *
 * A file of 4 KiB frames, each with a sequence number and a CRC32C. Any thread appends to memory;
 * one thread commits what has gathered, every few milliseconds at most, by one write and one
 * fdatasync. Records are idempotent, so that replay may begin anywhere earlier and a torn end is
 * cut off; damage before good frames is told, and what follows it is still replayed.
 *
 *     frame    0 "WJ01"   4 crc32c of all but itself   8 sequence of the first record
 *             16 key id  24 record bytes  28 0
 *             32 records of 24 bytes: counter 8 (its id), value 8, kind 4, 0 4 */
#ifndef WEIR_POLICY_USERS_JOURNAL_H
#define WEIR_POLICY_USERS_JOURNAL_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

enum journal_kind {
    JOURNAL_HASH = 1,    /* value: a hash added to an exact counter */
    JOURNAL_REGISTER = 2 /* value: index << 8 | register */
};

struct journal_record {
    uint64_t counter;
    uint64_t value;
    enum journal_kind kind;
};

struct journal;

struct journal_config {
    const char *folder;    /* the caller holds its lock: one journal a folder */
    uint64_t key_id;       /* of the pseudonyms' key; another one refuses the file */
    uint64_t bytes_rotate; /* a new file after so many; old ones go when told (journal_forget) */
};

/* What opening found. */
struct journal_recovery {
    uint64_t records, frames;
    uint64_t frames_damaged; /* before good ones, or in a file that is not the last */
    uint64_t bytes_cut;      /* off the end of the last file */
};

/* Replays every record in order through on_record (negative stops), then opens for appending.
 * ERROR_INVALID: another key's file, or none of ours, or numbered so high that there would be no
 * numbers to go on; the text names the file and the remedy. */
int journal_open(const struct journal_config *config,
                 int (*on_record)(void *argument, const struct journal_record *record,
                                  struct error *err),
                 void *argument, struct journal **ret, struct journal_recovery *ret_recovery,
                 struct error *err);
/* Commits what is left, if the disk takes it. NULL is fine. */
void journal_close(struct journal *journal);

/* Any thread; a short lock, and no system call that waits for a disk. Returns the sequence to wait
 * for: the record is durable once journal_durable() is no less. A disk that takes nothing fills the
 * memory kept for it (JOURNAL_PENDING_MAX records): then journal_stuck() says so, and what comes
 * after is not durable before the counters were synced and journal_forget() told so. */
#define JOURNAL_PENDING_MAX 65536u
uint64_t journal_append(struct journal *journal, const struct journal_record *record);
uint64_t journal_appended(const struct journal *journal); /* the last one; any thread */
uint64_t journal_durable(const struct journal *journal);  /* any thread; only rises */
bool journal_stuck(const struct journal *journal);        /* any thread */
/* Committing thread only. Writes and syncs what was appended; an error keeps it for the next. */
int journal_commit(struct journal *journal, struct error *err);
/* Committing thread: everything up to `sequence` is safe elsewhere: that was journal_appended()
 * before the counters were synced, and all of them were. So it is durable, and whole files before
 * it are removed. */
int journal_forget(struct journal *journal, uint64_t sequence, struct error *err);

#endif
