/* SPDX-License-Identifier: Apache-2.0 */
/* journal_fuzz.c -- opening a journal that may be anything.
 *
 * The input is cut into pieces of 64 bytes, each the beginning of a frame whose rest is zeros. The
 * first byte of a piece says what is done to it: 1 the magic is put right, 2 the checksum is, 4 the
 * key is, 8 a new file begins, 16 the file ends within this frame. So most inputs come past the
 * checksum. Opening twice must agree, and what is appended afterwards must be there. */
#include "policy/users/crc32c.h"
#include "policy/users/journal.h"
#include "policy/users/journal_files.h"
#include "policy/users/journal_frame.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE_BYTES 64u
#define FRAMES_MAX  64u
#define FILES_MAX   8u
#define KEY         0x6b65796b65796b65u

enum repair { REPAIR_MAGIC = 1, REPAIR_CRC = 2, REPAIR_KEY = 4, NEXT_FILE = 8, CUT = 16 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

static void require(bool condition)
{
    if (!condition)
        abort();
}

/* Of what was replayed: how much, and a digest of it. */
struct seen {
    uint64_t count;
    uint32_t crc;
};

static int on_record(void *argument, const struct journal_record *record, struct error *err)
{
    struct seen *seen = argument;
    (void)err;
    require(record->kind == JOURNAL_HASH || record->kind == JOURNAL_REGISTER);
    seen->count++;
    seen->crc = crc32c(seen->crc, &record->counter, sizeof record->counter);
    seen->crc = crc32c(seen->crc, &record->value, sizeof record->value);
    return 0;
}

static int start_file(int folder, uint32_t number)
{
    char name[JOURNAL_NAME_BYTES];
    (void)snprintf(name, sizeof name, "journal-%016x.log", number + 1);
    int fd = openat(folder, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    require(fd >= 0);
    return fd;
}

static size_t make_frame(uint8_t frame[JOURNAL_FRAME_BYTES], const uint8_t *piece, size_t count)
{
    const uint64_t key = KEY;
    uint8_t how = piece[0];
    memset(frame, 0, JOURNAL_FRAME_BYTES);
    memcpy(frame, piece, count);
    if (how & REPAIR_MAGIC)
        memcpy(frame, "WJ01", 4);
    if (how & REPAIR_KEY)
        memcpy(frame + 16, &key, sizeof key);
    if (how & REPAIR_CRC) {
        uint32_t crc = crc32c(crc32c(0, frame, 4), frame + 8, JOURNAL_FRAME_BYTES - 8);
        memcpy(frame + 4, &crc, sizeof crc);
    }
    return how & CUT ? (size_t)(how >> 5) * 512 + 1 : JOURNAL_FRAME_BYTES;
}

static void write_files(int folder, const uint8_t *bytes, size_t count)
{
    uint8_t frame[JOURNAL_FRAME_BYTES];
    uint32_t file = 0;
    int fd = start_file(folder, file);
    for (uint32_t i = 0; count > 0 && i < FRAMES_MAX; i++) {
        size_t some = count < PIECE_BYTES ? count : PIECE_BYTES;
        if ((bytes[0] & NEXT_FILE) != 0 && file + 1 < FILES_MAX) {
            close(fd);
            fd = start_file(folder, ++file);
        }
        size_t length = make_frame(frame, bytes, some);
        require(write(fd, frame, length) == (ssize_t)length);
        bytes += some;
        count -= some;
    }
    close(fd);
}

static void remove_files(const char *folder)
{
    struct journal_files *files = malloc(sizeof *files);
    require(files != NULL && journal_files_open(folder, files, NULL) == 0);
    for (uint32_t i = 0; i < files->count; i++) {
        char name[JOURNAL_NAME_BYTES];
        (void)snprintf(name, sizeof name, "journal-%016llx.log",
                       (unsigned long long)files->first[i]);
        require(unlinkat(files->folder, name, 0) == 0);
    }
    journal_files_close(files);
    free(files);
}

static int open_journal(const char *folder, struct seen *seen, struct journal **ret,
                        struct journal_recovery *recovery)
{
    const struct journal_config config = {.folder = folder, .key_id = KEY, .bytes_rotate = 16384};
    *seen = (struct seen){0};
    return journal_open(&config, on_record, seen, ret, recovery, NULL);
}

static void check_folder(const char *folder)
{
    struct journal *journal = NULL;
    struct journal_recovery recovery, again;
    struct journal_record record = {.counter = 1, .value = 2, .kind = JOURNAL_HASH};
    struct seen first, second;
    if (open_journal(folder, &first, &journal, &recovery) != 0)
        return;
    require(recovery.records == first.count);
    uint64_t sequence = journal_append(journal, &record);
    require(sequence == journal_durable(journal) + 1);
    require(journal_commit(journal, NULL) == 0 && journal_durable(journal) == sequence);
    journal_close(journal);
    require(open_journal(folder, &second, &journal, &again) == 0);
    require(again.records == recovery.records + 1 && again.bytes_cut == 0);
    require(again.frames == recovery.frames + 1);
    require(again.frames_damaged == recovery.frames_damaged);
    (void)on_record(&first, &record, NULL);
    require(first.crc == second.crc && journal_durable(journal) >= sequence);
    require(journal_forget(journal, journal_appended(journal), NULL) == 0);
    journal_close(journal);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    char path[] = "/dev/shm/weir-journal-fuzz-XXXXXX"; /* memory: no disk waits for each input */
    require(mkdtemp(path) != NULL);
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    require(folder >= 0);
    write_files(folder, bytes, count);
    close(folder);
    check_folder(path);
    remove_files(path);
    require(rmdir(path) == 0);
    return 0;
}
