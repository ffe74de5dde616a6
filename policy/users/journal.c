/* SPDX-License-Identifier: Apache-2.0 */
/* journal.c -- many threads append, one commits.
 *
 *     ring      first                      last
 *     [ . . . . | being committed | appended | . . . . ]      JOURNAL_PENDING_MAX entries
 *
 * Appenders write at `last` under the lock; the committer reads from `first` on without it, for
 * nobody overwrites an entry before `first` has passed it. So a commit of any length holds nobody
 * up, and a commit that fails has only to leave `first` where it is.
 *
 * Records are numbered from 1 without an end. `durable` is the number up to which all of them are
 * on disk here, or safe elsewhere by journal_forget(). A full ring makes a gap: records that have a
 * number but no entry. They are in the counters' files already, so that a killed process keeps
 * them; only a sync of those makes them durable, and until then `durable` stays before the gap.
 *
 * After a failed fdatasync the kernel may call pages clean that never reached the disk. So that
 * file is left alone, and what was not acknowledged is written again to a new one.
 *
 * The road not taken: a ring without a lock. At most one request in some hundreds appends. */
#include "policy/users/journal.h"

#include "policy/users/journal_files.h"
#include "policy/users/journal_frame.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

#define FRAMES_A_WRITE 64u

struct entry {
    struct journal_record record;
    uint64_t sequence;
};
static_assert((JOURNAL_PENDING_MAX & (JOURNAL_PENDING_MAX - 1)) == 0, "positions are masked");

struct journal {
    /* Fixed at opening. */
    uint64_t key_id, bytes_rotate;
    struct entry *ring;
    uint8_t *frames; /* FRAMES_A_WRITE of them, on their way to the disk */

    /* The committing thread's. */
    struct journal_files files;
    int fd;              /* of the last file; -1 before there is one */
    uint64_t file_bytes; /* of it that are durable */
    bool file_failed;    /* a sync of it did */

    /* Shared, under the lock; the atomics are read without. */
    pthread_mutex_t lock;
    uint64_t ring_first, ring_last; /* positions; both only rise */
    uint64_t gap_first, gap_last;   /* sequences; 0 when there is no gap */
    _Atomic uint64_t appended, durable;
    _Atomic bool stuck;
};

static struct entry *entry_at(const struct journal *journal, uint64_t position)
{
    return &journal->ring[position & (JOURNAL_PENDING_MAX - 1)];
}

/* -- Any thread -- */

uint64_t journal_append(struct journal *journal, const struct journal_record *record)
{
    (void)pthread_mutex_lock(&journal->lock);
    uint64_t sequence = atomic_load_explicit(&journal->appended, memory_order_relaxed) + 1;
    if (journal->ring_last - journal->ring_first < JOURNAL_PENDING_MAX) {
        *entry_at(journal, journal->ring_last++) =
            (struct entry){.record = *record, .sequence = sequence};
    } else {
        if (journal->gap_first == 0)
            journal->gap_first = sequence;
        journal->gap_last = sequence;
        atomic_store(&journal->stuck, true);
    }
    atomic_store_explicit(&journal->appended, sequence, memory_order_release);
    (void)pthread_mutex_unlock(&journal->lock);
    return sequence;
}

uint64_t journal_appended(const struct journal *journal)
{
    return atomic_load_explicit(&journal->appended, memory_order_acquire);
}

uint64_t journal_durable(const struct journal *journal)
{
    return atomic_load_explicit(&journal->durable, memory_order_acquire);
}

bool journal_stuck(const struct journal *journal)
{
    return atomic_load(&journal->stuck);
}

/* -- Committing -- */

/* Under the lock, after entries or the gap went: what is durable now. */
static void settle(struct journal *journal)
{
    uint64_t durable = atomic_load_explicit(&journal->appended, memory_order_relaxed);
    if (journal->ring_first < journal->ring_last)
        durable = entry_at(journal, journal->ring_first)->sequence - 1;
    if (journal->gap_first != 0 && journal->gap_first - 1 < durable)
        durable = journal->gap_first - 1;
    assert(durable >= atomic_load_explicit(&journal->durable, memory_order_relaxed));
    atomic_store_explicit(&journal->durable, durable, memory_order_release);
    atomic_store(&journal->stuck, journal->gap_first != 0);
}

/* A file to write on. */
static int ready_file(struct journal *journal, uint64_t sequence, struct error *err)
{
    int fd;
    if (journal->fd >= 0 && !journal->file_failed &&
        (journal->file_bytes < journal->bytes_rotate || journal->files.count == JOURNAL_FILES_MAX))
        return 0;
    int result = journal_files_start(&journal->files, sequence, &fd, err);
    if (result != 0)
        return result;
    if (journal->fd >= 0)
        close(journal->fd);
    journal->fd = fd;
    journal->file_bytes = 0;
    journal->file_failed = false;
    return 0;
}

/* As many entries from `at` on as go into one frame: numbers in a frame have no gap. */
static uint64_t fill_frame(const struct journal *journal, uint64_t at, uint64_t last,
                           struct journal_frame *frame)
{
    frame->key_id = journal->key_id;
    frame->sequence = entry_at(journal, at)->sequence;
    frame->record_count = 0;
    while (at < last && frame->record_count < JOURNAL_FRAME_RECORDS) {
        const struct entry *entry = entry_at(journal, at);
        if (entry->sequence != frame->sequence + frame->record_count)
            break;
        frame->records[frame->record_count++] = entry->record;
        at++;
    }
    return at;
}

static int write_all(int fd, const uint8_t *bytes, size_t count, uint64_t offset, struct error *err)
{
    while (count > 0) {
        ssize_t written = pwrite(fd, bytes, count, (off_t)offset);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return error_set_errno(err, written < 0 ? errno : ENOSPC, "writing the journal");
        bytes += written;
        count -= (size_t)written;
        offset += (uint64_t)written;
    }
    return 0;
}

/* Writes the entries and syncs them; *ret_end is the file's length after. */
static int write_entries(struct journal *journal, uint64_t at, uint64_t last, uint64_t *ret_end,
                         struct error *err)
{
    struct journal_frame frame;
    uint64_t end = journal->file_bytes;
    while (at < last) {
        size_t count = 0;
        for (; at < last && count < FRAMES_A_WRITE; count++) {
            at = fill_frame(journal, at, last, &frame);
            journal_frame_write(journal->frames + count * JOURNAL_FRAME_BYTES, &frame);
        }
        int result = write_all(journal->fd, journal->frames, count * JOURNAL_FRAME_BYTES, end, err);
        if (result != 0)
            return result;
        end += count * JOURNAL_FRAME_BYTES;
    }
    if (fdatasync(journal->fd) != 0) {
        journal->file_failed = true;
        return error_set_errno(err, errno, "syncing the journal");
    }
    *ret_end = end;
    return 0;
}

int journal_commit(struct journal *journal, struct error *err)
{
    (void)pthread_mutex_lock(&journal->lock);
    uint64_t first = journal->ring_first, last = journal->ring_last;
    (void)pthread_mutex_unlock(&journal->lock);
    if (first == last)
        return 0;
    int result = ready_file(journal, entry_at(journal, first)->sequence, err);
    if (result != 0)
        return result;
    result = write_entries(journal, first, last, &journal->file_bytes, err);
    if (result != 0) {
        /* Half of it helps nobody, and a full disk wants the room. */
        (void)!ftruncate(journal->fd, (off_t)journal->file_bytes);
        return result;
    }
    (void)pthread_mutex_lock(&journal->lock);
    journal->ring_first = last;
    settle(journal);
    (void)pthread_mutex_unlock(&journal->lock);
    return 0;
}

int journal_forget(struct journal *journal, uint64_t sequence, struct error *err)
{
    assert(sequence <= journal_appended(journal));
    (void)pthread_mutex_lock(&journal->lock);
    while (journal->ring_first < journal->ring_last &&
           entry_at(journal, journal->ring_first)->sequence <= sequence)
        journal->ring_first++;
    if (journal->gap_last <= sequence)
        journal->gap_first = journal->gap_last = 0;
    else if (journal->gap_first != 0 && journal->gap_first <= sequence)
        journal->gap_first = sequence + 1;
    settle(journal);
    (void)pthread_mutex_unlock(&journal->lock);
    return journal_files_remove(&journal->files, sequence, err);
}

/* -- Opening -- */

static struct journal *journal_new(const struct journal_config *config)
{
    struct journal *journal = calloc(1, sizeof *journal);
    if (journal == NULL)
        return NULL;
    journal->key_id = config->key_id;
    journal->bytes_rotate = config->bytes_rotate;
    journal->files.folder = journal->fd = -1;
    (void)pthread_mutex_init(&journal->lock, NULL); /* cannot fail with these attributes */
    journal->ring = calloc(JOURNAL_PENDING_MAX, sizeof *journal->ring);
    journal->frames = malloc((size_t)FRAMES_A_WRITE * JOURNAL_FRAME_BYTES);
    return journal;
}

static void journal_free(struct journal *journal)
{
    if (journal->fd >= 0)
        close(journal->fd);
    journal_files_close(&journal->files);
    (void)pthread_mutex_destroy(&journal->lock);
    free(journal->frames);
    free(journal->ring);
    free(journal);
}

static int open_files(struct journal *journal, const char *folder,
                      const struct journal_reader *reader, struct journal_recovery *ret_recovery,
                      struct error *err)
{
    struct journal_recovery recovery = {0};
    uint64_t next = 1;
    int result = journal_files_open(folder, &journal->files, err);
    if (result != 0)
        return result;
    result = journal_files_replay(&journal->files, reader, &recovery, &next, err);
    if (result == 0 && journal->files.count == 0)
        result = journal_files_start(&journal->files, next, &journal->fd, err);
    else if (result == 0)
        result = journal_files_resume(&journal->files, &journal->fd, &journal->file_bytes, err);
    if (result != 0) {
        (void)error_wrap(err, "%s", folder);
        return result;
    }
    atomic_store(&journal->appended, next - 1);
    atomic_store(&journal->durable, next - 1);
    *ret_recovery = recovery;
    return 0;
}

int journal_open(const struct journal_config *config,
                 int (*on_record)(void *argument, const struct journal_record *record,
                                  struct error *err),
                 void *argument, struct journal **ret, struct journal_recovery *ret_recovery,
                 struct error *err)
{
    struct journal *journal = journal_new(config);
    if (journal == NULL)
        return error_no_memory(err);
    const struct journal_reader reader = {
        .key_id = config->key_id, .on_record = on_record, .argument = argument};
    int result = journal->ring == NULL || journal->frames == NULL
                     ? error_no_memory(err)
                     : open_files(journal, config->folder, &reader, ret_recovery, err);
    if (result != 0) {
        journal_free(journal);
        return result;
    }
    *ret = journal;
    return 0;
}

void journal_close(struct journal *journal)
{
    if (journal == NULL)
        return;
    (void)journal_commit(journal, NULL);
    journal_free(journal);
}
