/* SPDX-License-Identifier: Apache-2.0 */
/* journal_files.c -- reading a journal back, whatever has happened to it.
 *
 *     journal-0000000000000001.log   [ good ][ good ][ bad ][ good ]        1 damaged
 *     journal-00000000000002a5.log   [ good ][ bad ][ good ][ bad ][ ha   1 damaged, the rest cut
 *
 * What is bad at the very end was torn by a power cut: nobody was told that it is durable, and it
 * is cut off so that what comes next has no gap before it. What is bad before something good is
 * damage: it is counted, left where it is, and the good is replayed, for each record stands alone.
 * (A cut may tear the frames of one commit in any order, so damage may also be harmless.)
 *
 * Sequences only name what became durable; replay does not need them. The next one is after every
 * name and every good frame. */
#include "policy/users/journal_files.h"

#include "policy/users/journal_frame.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void name_of(uint64_t first, char ret[JOURNAL_NAME_BYTES])
{
    (void)snprintf(ret, JOURNAL_NAME_BYTES, "journal-%016llx.log", (unsigned long long)first);
}

/* False for a name that is not one of ours. */
static bool parse_name(const char *name, uint64_t *ret)
{
    unsigned long long first;
    char again[JOURNAL_NAME_BYTES];
    if (sscanf(name, "journal-%16llx.log", &first) != 1 || first == 0 ||
        first > JOURNAL_SEQUENCE_MAX)
        return false;
    name_of(first, again);
    *ret = first;
    return strcmp(name, again) == 0;
}

static int compare_firsts(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

static int list(struct journal_files *files, struct error *err)
{
    /* A descriptor of its own: closedir() closes it. */
    int fd = openat(files->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    int result = 0;
    if (folder == NULL) {
        result = error_set_errno(err, errno, "listing");
        if (fd >= 0)
            close(fd);
        return result;
    }
    for (struct dirent *entry; result == 0 && (entry = readdir(folder)) != NULL;) {
        uint64_t first;
        if (!parse_name(entry->d_name, &first))
            continue;
        if (files->count == JOURNAL_FILES_MAX)
            result = error_set(err, ERROR_INVALID, "more than %u journal files; move some away",
                               JOURNAL_FILES_MAX);
        else
            files->first[files->count++] = first;
    }
    (void)closedir(folder);
    qsort(files->first, files->count, sizeof files->first[0], compare_firsts);
    return result;
}

int journal_files_open(const char *folder, struct journal_files *ret, struct error *err)
{
    ret->count = 0;
    ret->folder = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (ret->folder < 0)
        return error_set_errno(err, errno, "%s", folder);
    int result = list(ret, err);
    if (result != 0) {
        journal_files_close(ret);
        return error_wrap(err, "%s", folder);
    }
    return 0;
}

void journal_files_close(struct journal_files *files)
{
    if (files->folder >= 0)
        close(files->folder);
    files->folder = -1;
}

/* What has been read of one file. */
struct reading {
    const struct journal_reader *reader;
    struct journal_recovery *recovery;
    uint64_t next;
    int fd;
    uint64_t good_end; /* the offset after the last good frame */
    uint64_t bad_run;  /* frames since then */
};

static int take_frame(struct reading *reading, uint64_t offset, const struct journal_frame *frame,
                      struct error *err)
{
    if (frame->key_id != reading->reader->key_id)
        return error_set(err, ERROR_INVALID,
                         "written under another key of pseudonyms: bring that key back, or move "
                         "the file away and lose the users in it");
    for (uint32_t i = 0; i < frame->record_count; i++) {
        const struct journal_reader *reader = reading->reader;
        int result = reader->on_record(reader->argument, &frame->records[i], err);
        if (result < 0) {
            (void)error_wrap(err, "frame at byte %llu", (unsigned long long)offset);
            return result;
        }
    }
    reading->recovery->records += frame->record_count;
    reading->recovery->frames++;
    reading->recovery->frames_damaged += reading->bad_run;
    reading->bad_run = 0;
    reading->good_end = offset + JOURNAL_FRAME_BYTES;
    if (frame->sequence + frame->record_count > reading->next)
        reading->next = frame->sequence + frame->record_count;
    return 0;
}

static int read_frames(struct reading *reading, uint64_t file_bytes, struct error *err)
{
    uint8_t bytes[JOURNAL_FRAME_BYTES];
    struct journal_frame frame;
    uint64_t offset = 0;
    for (; file_bytes - offset >= JOURNAL_FRAME_BYTES; offset += JOURNAL_FRAME_BYTES) {
        ssize_t got = pread(reading->fd, bytes, sizeof bytes, (off_t)offset);
        if (got < 0 && errno != EIO) /* a bad sector is damage like any other */
            return error_set_errno(err, errno, "reading");
        enum journal_frame_state state = got == (ssize_t)sizeof bytes
                                             ? journal_frame_read(bytes, &frame)
                                             : JOURNAL_FRAME_DAMAGED;
        if (state == JOURNAL_FRAME_NEWER)
            return error_set(err, ERROR_UNSUPPORTED,
                             "frame at byte %llu was written by a newer weir: use that one, or "
                             "move the file away and lose the users in it",
                             (unsigned long long)offset);
        int result = 0;
        if (state == JOURNAL_FRAME_DAMAGED)
            reading->bad_run++;
        else
            result = take_frame(reading, offset, &frame, err);
        if (result != 0)
            return result;
    }
    return 0;
}

/* What follows the last good frame is cut off where the file is the last, else it is damage. */
static int end_file(struct reading *reading, uint64_t file_bytes, bool is_last, struct error *err)
{
    uint64_t rest = file_bytes - reading->good_end;
    if (rest == 0)
        return 0;
    if (!is_last) {
        reading->recovery->frames_damaged += rest / JOURNAL_FRAME_BYTES;
        reading->recovery->frames_damaged += rest % JOURNAL_FRAME_BYTES != 0;
        return 0;
    }
    if (ftruncate(reading->fd, (off_t)reading->good_end) != 0 || fdatasync(reading->fd) != 0)
        return error_set_errno(err, errno, "cutting off the torn end");
    reading->recovery->bytes_cut += rest;
    return 0;
}

/* Opens a file of the folder, which may be anything that someone put there. */
static int open_file(const struct journal_files *files, uint64_t first, int *ret_fd,
                     uint64_t *ret_bytes, struct error *err)
{
    char name[JOURNAL_NAME_BYTES];
    struct stat status;
    name_of(first, name);
    int fd = openat(files->folder, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(err, errno, "%s", name);
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
        close(fd);
        return error_set(err, ERROR_INVALID, "%s: not a plain file; move it away", name);
    }
    *ret_fd = fd;
    *ret_bytes = (uint64_t)status.st_size;
    return 0;
}

static int replay_file(const struct journal_files *files, uint32_t index, struct reading *reading,
                       struct error *err)
{
    uint64_t file_bytes = 0, first = files->first[index];
    reading->good_end = reading->bad_run = 0;
    if (first > reading->next)
        reading->next = first;
    int result = open_file(files, first, &reading->fd, &file_bytes, err);
    if (result != 0)
        return result;
    result = read_frames(reading, file_bytes, err);
    if (result == 0 && reading->next > JOURNAL_SEQUENCE_RESUMED_MAX)
        result = error_set(err, ERROR_INVALID,
                           "numbered beyond what anybody counted: move the file away and lose the "
                           "users in it");
    if (result == 0)
        result = end_file(reading, file_bytes, index == files->count - 1, err);
    if (result != 0) {
        char name[JOURNAL_NAME_BYTES];
        name_of(first, name);
        (void)error_wrap(err, "%s", name);
    }
    close(reading->fd);
    return result;
}

int journal_files_replay(const struct journal_files *files, const struct journal_reader *reader,
                         struct journal_recovery *ret_recovery, uint64_t *ret_next,
                         struct error *err)
{
    struct journal_recovery recovery = {0};
    struct reading reading = {.reader = reader, .recovery = &recovery, .next = 1};
    for (uint32_t i = 0; i < files->count; i++) {
        int result = replay_file(files, i, &reading, err);
        if (result != 0)
            return result;
    }
    *ret_recovery = recovery;
    *ret_next = reading.next;
    return 0;
}

int journal_files_start(struct journal_files *files, uint64_t first, int *ret_fd, struct error *err)
{
    char name[JOURNAL_NAME_BYTES];
    bool again = files->count > 0 && files->first[files->count - 1] == first;
    assert(files->count == 0 || first >= files->first[files->count - 1]);
    if (!again && files->count == JOURNAL_FILES_MAX)
        return error_set(err, ERROR_BUSY, "%u journal files wait to be forgotten",
                         JOURNAL_FILES_MAX);
    name_of(first, name);
    /* A file of this name holds nothing durable, or its records would be before `first`. */
    int fd = openat(files->folder, name, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set_errno(err, errno, "%s", name);
    if (fsync(files->folder) != 0) {
        int result = error_set_errno(err, errno, "%s: its folder", name);
        close(fd);
        return result;
    }
    if (!again)
        files->first[files->count++] = first;
    *ret_fd = fd;
    return 0;
}

int journal_files_resume(const struct journal_files *files, int *ret_fd, uint64_t *ret_bytes,
                         struct error *err)
{
    int fd = -1;
    assert(files->count > 0);
    int result = open_file(files, files->first[files->count - 1], &fd, ret_bytes, err);
    if (result != 0)
        return result;
    /* Whom we read is known from now on, and answered at once. But a killed process may have left
     * frames, or the file's name, that no sync has put on the disk. */
    if (fdatasync(fd) != 0 || fsync(files->folder) != 0) {
        result = error_set_errno(err, errno, "syncing what was read");
        close(fd);
        return result;
    }
    *ret_fd = fd;
    return 0;
}

int journal_files_remove(struct journal_files *files, uint64_t sequence, struct error *err)
{
    uint32_t gone = 0;
    int result = 0;
    while (result == 0 && gone + 1 < files->count && files->first[gone + 1] <= sequence + 1) {
        char name[JOURNAL_NAME_BYTES];
        name_of(files->first[gone], name);
        if (unlinkat(files->folder, name, 0) != 0 && errno != ENOENT)
            result = error_set_errno(err, errno, "%s", name);
        else
            gone++;
    }
    files->count -= gone;
    memmove(files->first, files->first + gone, files->count * sizeof files->first[0]);
    return result;
}
