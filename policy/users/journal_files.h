/* SPDX-License-Identifier: Apache-2.0 */
/* journal_files.h -- the files of a journal's folder: which there are, and what they say.
 *
 * `journal-<sequence of its first record, 16 hex digits>.log`. Committing thread only. */
#ifndef WEIR_POLICY_USERS_JOURNAL_FILES_H
#define WEIR_POLICY_USERS_JOURNAL_FILES_H

#include "policy/users/journal.h"

#include <stdint.h>

#define JOURNAL_FILES_MAX  4096u
#define JOURNAL_NAME_BYTES 32u

struct journal_files {
    int folder; /* -1 when closed */
    uint32_t count;
    uint64_t first[JOURNAL_FILES_MAX]; /* rising */
};

/* Opens the folder and lists its files. *ret need not be set before, and is closed on failure. */
int journal_files_open(const char *folder, struct journal_files *ret, struct error *err);
void journal_files_close(struct journal_files *files);

/* Hands every record to on_record, file by file. The torn end of the last file is cut off.
 * *ret_next is a sequence after all that are there. */
struct journal_reader {
    uint64_t key_id;
    int (*on_record)(void *argument, const struct journal_record *record, struct error *err);
    void *argument;
};
int journal_files_replay(const struct journal_files *files, const struct journal_reader *reader,
                         struct journal_recovery *ret_recovery, uint64_t *ret_next,
                         struct error *err);

/* Makes the file whose first record will have this sequence, which is after all that are there, and
 * lists it; the name is on disk when this returns. The caller closes *ret_fd. */
int journal_files_start(struct journal_files *files, uint64_t first, int *ret_fd,
                        struct error *err);
/* Opens the last one to write on; all that was read is on disk when this returns. */
int journal_files_resume(const struct journal_files *files, int *ret_fd, uint64_t *ret_bytes,
                         struct error *err);
/* Removes files of which every record is at or before `sequence`; never the last. */
int journal_files_remove(struct journal_files *files, uint64_t sequence, struct error *err);

#endif
