/* SPDX-License-Identifier: Apache-2.0 */
/* A journal on a disk that tears, flips, fills up and lies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "policy/users/crc32c.h"
#include "policy/users/journal.h"
#include "policy/users/journal_files.h"
#include "policy/users/journal_frame.h"
#include "tests/unit/policy/scratch.h"

#define KEY         0x1122334455667788u
#define FIRST_NAME  "journal-0000000000000001.log"
#define RECORDS_MAX 200000u

/* -- A disk that can fail: these two win over the C library's -- */

static struct {
    size_t room;    /* bytes that writes still get; SIZE_MAX: all */
    uint32_t syncs; /* of data, that came through */
    bool sync_fails;
    struct journal *busy; /* somebody appends one record to it while a sync is under way */
} disk = {.room = SIZE_MAX};

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset)
{
    if (disk.room != SIZE_MAX) {
        if (disk.room == 0) {
            errno = ENOSPC;
            return -1;
        }
        count = count < disk.room ? count : disk.room;
        disk.room -= count;
    }
    return syscall(SYS_pwrite64, fd, bytes, count, offset);
}

int fdatasync(int fd)
{
    if (disk.sync_fails) {
        errno = EIO;
        return -1;
    }
    disk.syncs++;
    if (disk.busy != NULL) {
        const struct journal_record record = {.counter = 1, .value = 1, .kind = JOURNAL_HASH};
        (void)journal_append(disk.busy, &record);
    }
    return (int)syscall(SYS_fdatasync, fd);
}

/* -- Helpers -- */

struct seen {
    uint32_t count;
    struct journal_record records[RECORDS_MAX];
};

static int on_record(void *argument, const struct journal_record *record, struct error *err)
{
    struct seen *seen = argument;
    (void)err;
    assert_true(seen->count < RECORDS_MAX);
    seen->records[seen->count++] = *record;
    return 0;
}

struct fixture {
    char folder[SCRATCH_PATH_BYTES];
    struct journal *journal;
    struct journal_recovery recovery;
    struct seen *seen;
    struct error err;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    fixture->seen = calloc(1, sizeof *fixture->seen);
    assert_non_null(fixture->seen);
    scratch_make(fixture->folder);
    disk.room = SIZE_MAX;
    disk.sync_fails = false;
    disk.busy = NULL;
    disk.syncs = 0;
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    journal_close(fixture->journal);
    scratch_remove(fixture->folder);
    free(fixture->seen);
    free(fixture);
    return 0;
}

static int try_open(struct fixture *fixture, uint64_t key_id, uint64_t bytes_rotate)
{
    const struct journal_config config = {
        .folder = fixture->folder, .key_id = key_id, .bytes_rotate = bytes_rotate};
    journal_close(fixture->journal);
    fixture->journal = NULL;
    fixture->seen->count = 0;
    fixture->err = (struct error){0};
    return journal_open(&config, on_record, fixture->seen, &fixture->journal, &fixture->recovery,
                        &fixture->err);
}

static void reopen(struct fixture *fixture)
{
    int result = try_open(fixture, KEY, 1 << 20);
    if (result != 0)
        print_error("%s\n", fixture->err.text);
    assert_int_equal(result, 0);
}

/* The i-th record of every test. */
static struct journal_record record_of(uint64_t i)
{
    return (struct journal_record){.counter = i % 7,
                                   .value = i * 0x9e3779b97f4a7c15u,
                                   .kind = i % 3 == 0 ? JOURNAL_REGISTER : JOURNAL_HASH};
}

static void append(struct fixture *fixture, uint64_t first, uint64_t count)
{
    for (uint64_t i = first; i < first + count; i++) {
        struct journal_record record = record_of(i);
        (void)journal_append(fixture->journal, &record);
    }
}

static void commit(struct fixture *fixture)
{
    assert_int_equal(journal_commit(fixture->journal, &fixture->err), 0);
}

static void assert_seen(const struct fixture *fixture, uint32_t at, uint64_t first, uint32_t count)
{
    assert_true(at + count <= fixture->seen->count);
    for (uint32_t i = 0; i < count; i++) {
        struct journal_record expected = record_of(first + i), *found;
        found = &fixture->seen->records[at + i];
        assert_int_equal(found->counter, expected.counter);
        assert_int_equal(found->value, expected.value);
        assert_int_equal(found->kind, expected.kind);
    }
}

static void path_of(const struct fixture *fixture, const char *name, char ret[SCRATCH_PATH_BYTES])
{
    assert_true(snprintf(ret, SCRATCH_PATH_BYTES, "%.200s/%.64s", fixture->folder, name) > 0);
}

static uint64_t size_of(const struct fixture *fixture, const char *name)
{
    char path[SCRATCH_PATH_BYTES];
    struct stat status;
    path_of(fixture, name, path);
    return stat(path, &status) == 0 ? (uint64_t)status.st_size : UINT64_MAX;
}

static void xor_byte(const struct fixture *fixture, const char *name, off_t at, uint8_t mask)
{
    char path[SCRATCH_PATH_BYTES];
    uint8_t byte;
    path_of(fixture, name, path);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= mask;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

/* Frames of one record each: the numbers first to first + count - 1. */
static void frames(struct fixture *fixture, uint64_t first, uint64_t count)
{
    for (uint64_t i = first; i < first + count; i++) {
        append(fixture, i, 1);
        commit(fixture);
    }
}

/* -- Tests -- */

static void what_was_committed_comes_back_in_order(void **state)
{
    struct fixture *fixture = *state;
    reopen(fixture);
    append(fixture, 0, 1);
    commit(fixture);
    append(fixture, 1, 12000); /* more than one write takes */
    assert_int_equal(journal_durable(fixture->journal), 1);
    assert_int_equal(journal_appended(fixture->journal), 12001);
    commit(fixture);
    assert_int_equal(journal_durable(fixture->journal), 12001);
    reopen(fixture);
    assert_int_equal(fixture->seen->count, 12001);
    assert_int_equal(fixture->recovery.records, 12001);
    assert_int_equal(fixture->recovery.frames, 1 + (12000 + 168) / 169);
    assert_int_equal(fixture->recovery.frames_damaged, 0);
    assert_int_equal(fixture->recovery.bytes_cut, 0);
    assert_seen(fixture, 0, 0, 12001);
    struct journal_record record = record_of(1);
    assert_int_equal(journal_append(fixture->journal, &record), 12002);
}

static void a_commit_is_whole_frames_and_one_sync(void **state)
{
    struct fixture *fixture = *state;
    reopen(fixture);
    commit(fixture);
    assert_int_equal(disk.syncs, 0); /* nothing to write is no work */
    append(fixture, 0, 169);
    commit(fixture);
    assert_int_equal(size_of(fixture, FIRST_NAME), 4096);
    append(fixture, 169, 170);
    commit(fixture);
    assert_int_equal(size_of(fixture, FIRST_NAME), 3 * 4096);
    assert_int_equal(disk.syncs, 2);
}

static void what_comes_during_a_sync_waits_for_the_next(void **state)
{
    struct fixture *fixture = *state;
    reopen(fixture);
    append(fixture, 0, 3);
    disk.busy = fixture->journal;
    commit(fixture);
    assert_int_equal(journal_appended(fixture->journal), 4);
    assert_int_equal(journal_durable(fixture->journal), 3);
    disk.busy = NULL;
    commit(fixture);
    assert_int_equal(journal_durable(fixture->journal), 4);
}

static void what_is_read_back_is_synced_before_it_counts_as_durable(void **state)
{
    struct fixture *fixture = *state;
    reopen(fixture);
    frames(fixture, 0, 2); /* as if killed before the sync: nobody knows what of it is on disk */
    journal_close(fixture->journal);
    fixture->journal = NULL;
    disk.syncs = 0;
    reopen(fixture);
    assert_int_equal(journal_durable(fixture->journal), 2);
    assert_int_equal(disk.syncs, 1);
    disk.sync_fails = true;
    assert_int_equal(try_open(fixture, KEY, 1 << 20), ERROR_IO);
    assert_null(fixture->journal);
}

static void closing_commits(void **state)
{
    struct fixture *fixture = *state;
    reopen(fixture);
    append(fixture, 0, 5);
    reopen(fixture);
    assert_seen(fixture, 0, 0, 5);
}

static void a_torn_end_is_cut_off_wherever_it_tore(void **state)
{
    static const uint64_t keep[] = {0, 1, 3, 4, 8, 16, 24, 28, 31, 32, 33, 55, 56, 100, 4095};
    struct fixture *fixture = *state;
    for (size_t i = 0; i < sizeof keep / sizeof keep[0]; i++) {
        char path[SCRATCH_PATH_BYTES];
        reopen(fixture);
        frames(fixture, 0, 3);
        journal_close(fixture->journal);
        fixture->journal = NULL;
        path_of(fixture, FIRST_NAME, path);
        assert_int_equal(truncate(path, (off_t)(2 * 4096 + keep[i])), 0);
        reopen(fixture);
        assert_int_equal(fixture->seen->count, 2);
        assert_seen(fixture, 0, 0, 2);
        assert_int_equal(fixture->recovery.bytes_cut, keep[i]);
        assert_int_equal(fixture->recovery.frames_damaged, 0);
        append(fixture, 2, 1); /* what follows has no gap before it */
        reopen(fixture);
        assert_seen(fixture, 0, 0, 3);
        assert_int_equal(fixture->recovery.bytes_cut + fixture->recovery.frames_damaged, 0);
        journal_close(fixture->journal);
        fixture->journal = NULL;
        assert_int_equal(unlink(path), 0);
    }
}

static void a_flipped_bit_costs_its_frame_and_no_other(void **state)
{
    struct fixture *fixture = *state;
    reopen(fixture);
    frames(fixture, 0, 3);
    for (off_t at = 0; at < 4096; at++) {
        uint8_t mask = (uint8_t)(1u << at % 8);
        xor_byte(fixture, FIRST_NAME, 4096 + at, mask);
        reopen(fixture);
        assert_int_equal(fixture->seen->count, 2);
        assert_seen(fixture, 0, 0, 1);
        assert_seen(fixture, 1, 2, 1);
        assert_int_equal(fixture->recovery.frames_damaged, 1);
        assert_int_equal(fixture->recovery.bytes_cut, 0);
        xor_byte(fixture, FIRST_NAME, 4096 + at, mask);
    }
    reopen(fixture);
    assert_int_equal(fixture->seen->count, 3);
    xor_byte(fixture, FIRST_NAME, 2 * 4096 + 40, 1); /* in the last one it is a torn end */
    reopen(fixture);
    assert_int_equal(fixture->recovery.bytes_cut, 4096);
    assert_int_equal(size_of(fixture, FIRST_NAME), 2 * 4096);
}

static void damage_in_an_earlier_file_is_told_and_left(void **state)
{
    struct fixture *fixture = *state;
    char path[SCRATCH_PATH_BYTES];
    assert_int_equal(try_open(fixture, KEY, 2 * 4096), 0);
    frames(fixture, 0, 5); /* 2 + 2 + 1 */
    path_of(fixture, FIRST_NAME, path);
    assert_int_equal(truncate(path, 4096 + 10), 0);
    reopen(fixture);
    assert_int_equal(fixture->seen->count, 4);
    assert_seen(fixture, 1, 2, 3);
    assert_int_equal(fixture->recovery.frames_damaged, 1);
    assert_int_equal(fixture->recovery.bytes_cut, 0);
    assert_int_equal(size_of(fixture, FIRST_NAME), 4096 + 10);
}

static void another_keys_journal_is_refused_with_the_remedy(void **state)
{
    struct fixture *fixture = *state;
    reopen(fixture);
    frames(fixture, 0, 2);
    assert_int_equal(try_open(fixture, KEY + 1, 1 << 20), ERROR_INVALID);
    assert_non_null(strstr(fixture->err.text, FIRST_NAME));
    assert_non_null(strstr(fixture->err.text, "another key"));
    assert_non_null(strstr(fixture->err.text, "move the file away"));
    assert_int_equal(fixture->seen->count, 0);
    reopen(fixture);
    assert_int_equal(fixture->seen->count, 2);
}

/* Writes the frame with its checksum as it should be. */
static void plant(struct fixture *fixture, uint8_t frame[JOURNAL_FRAME_BYTES])
{
    uint32_t crc = crc32c(crc32c(0, frame, 4), frame + 8, JOURNAL_FRAME_BYTES - 8);
    memcpy(frame + 4, &crc, sizeof crc);
    scratch_write(fixture->folder, FIRST_NAME, frame, JOURNAL_FRAME_BYTES);
}

static void sealed_frame(uint8_t ret[JOURNAL_FRAME_BYTES])
{
    struct journal_frame frame = {.sequence = 1, .key_id = KEY, .record_count = 1};
    frame.records[0] = record_of(0);
    journal_frame_write(ret, &frame);
}

static void a_newer_journal_is_refused_and_not_cut(void **state)
{
    struct fixture *fixture = *state;
    uint8_t frame[JOURNAL_FRAME_BYTES];
    sealed_frame(frame);
    frame[3] = '2';
    plant(fixture, frame);
    assert_int_equal(try_open(fixture, KEY, 1 << 20), ERROR_UNSUPPORTED);
    assert_int_equal(size_of(fixture, FIRST_NAME), 4096);
}

static void nonsense_under_a_right_checksum_is_damage(void **state)
{
    static const struct {
        size_t at;
        uint8_t value;
    } nonsense[] = {{8, 0},  {15, 0xff}, {24, 0}, {24, 25}, {26, 1},
                    {28, 1}, {48, 3},    {48, 0}, {49, 1},  {52, 1}};
    struct fixture *fixture = *state;
    for (size_t i = 0; i < sizeof nonsense / sizeof nonsense[0]; i++) {
        uint8_t frame[JOURNAL_FRAME_BYTES];
        sealed_frame(frame);
        frame[nonsense[i].at] = nonsense[i].value;
        plant(fixture, frame);
        reopen(fixture);
        assert_int_equal(fixture->seen->count, 0);
        assert_int_equal(fixture->recovery.bytes_cut, 4096);
    }
}

/* Else what is written next could not be read back. */
static void numbers_that_leave_no_room_are_refused_and_not_cut(void **state)
{
    struct fixture *fixture = *state;
    uint8_t frame[JOURNAL_FRAME_BYTES];
    for (uint8_t high = 0x20; high <= 0x40; high += 0x20) {
        sealed_frame(frame);
        frame[8] = 0;
        frame[15] = high; /* 2^61, 2^62 */
        plant(fixture, frame);
        assert_int_equal(try_open(fixture, KEY, 1 << 20), ERROR_INVALID);
        assert_non_null(strstr(fixture->err.text, FIRST_NAME));
        assert_non_null(strstr(fixture->err.text, "move the file away"));
        assert_int_equal(size_of(fixture, FIRST_NAME), 4096);
    }
    sealed_frame(frame);
    frame[15] = 0x1f;
    plant(fixture, frame);
    reopen(fixture);
    frames(fixture, 1, 1);
    reopen(fixture);
    assert_int_equal(fixture->seen->count, 2);
}

static void files_rotate_and_are_forgotten_when_safe_elsewhere(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(try_open(fixture, KEY, 2 * 4096), 0);
    frames(fixture, 0, 7); /* files from 1, 3, 5, 7 */
    assert_int_equal(size_of(fixture, "journal-0000000000000007.log"), 4096);
    assert_int_equal(journal_forget(fixture->journal, 3, &fixture->err), 0);
    assert_int_equal(size_of(fixture, FIRST_NAME), UINT64_MAX);
    assert_int_equal(size_of(fixture, "journal-0000000000000003.log"), 2 * 4096);
    assert_int_equal(journal_forget(fixture->journal, 7, &fixture->err), 0);
    assert_int_equal(size_of(fixture, "journal-0000000000000005.log"), UINT64_MAX);
    reopen(fixture); /* the last stays, so that numbers go on */
    assert_int_equal(fixture->seen->count, 1);
    assert_int_equal(journal_durable(fixture->journal), 7);
}

static void a_full_disk_keeps_records_for_the_next_commit(void **state)
{
    struct fixture *fixture = *state;
    reopen(fixture);
    frames(fixture, 0, 1);
    append(fixture, 1, 1000);
    for (size_t room = 0; room < 3 * 4096; room += 1000) {
        disk.room = room;
        assert_int_equal(journal_commit(fixture->journal, &fixture->err), ERROR_IO);
        assert_int_equal(journal_durable(fixture->journal), 1);
        assert_int_equal(size_of(fixture, FIRST_NAME), 4096); /* the half is not left lying */
        assert_false(journal_stuck(fixture->journal));
    }
    disk.room = SIZE_MAX;
    commit(fixture);
    assert_int_equal(journal_durable(fixture->journal), 1001);
    reopen(fixture);
    assert_int_equal(fixture->seen->count, 1001);
    assert_seen(fixture, 0, 0, 1001);
    assert_int_equal(fixture->recovery.frames_damaged, 0);
}

static void a_failed_sync_acknowledges_nothing_and_leaves_its_file(void **state)
{
    struct fixture *fixture = *state;
    reopen(fixture);
    frames(fixture, 0, 2);
    append(fixture, 2, 3);
    disk.sync_fails = true;
    assert_int_equal(journal_commit(fixture->journal, &fixture->err), ERROR_IO);
    assert_int_equal(journal_durable(fixture->journal), 2);
    disk.sync_fails = false;
    commit(fixture);
    assert_int_equal(journal_durable(fixture->journal), 5);
    assert_int_equal(size_of(fixture, "journal-0000000000000003.log"), 4096);
    reopen(fixture);
    assert_seen(fixture, 0, 0, 5);
}

static void full_memory_is_told_and_only_a_sync_elsewhere_heals_it(void **state)
{
    struct fixture *fixture = *state;
    reopen(fixture);
    frames(fixture, 0, 1);
    disk.room = 0;
    append(fixture, 1, JOURNAL_PENDING_MAX);
    assert_false(journal_stuck(fixture->journal));
    append(fixture, 1 + JOURNAL_PENDING_MAX, 3);
    assert_true(journal_stuck(fixture->journal));
    assert_int_equal(journal_commit(fixture->journal, &fixture->err), ERROR_IO);
    assert_int_equal(journal_durable(fixture->journal), 1);
    disk.room = SIZE_MAX;
    commit(fixture);
    frames(fixture, 4 + JOURNAL_PENDING_MAX, 2); /* these are on disk, but those before are not */
    assert_int_equal(journal_durable(fixture->journal), 1 + JOURNAL_PENDING_MAX);
    assert_true(journal_stuck(fixture->journal));
    assert_int_equal(journal_forget(fixture->journal, 2 + JOURNAL_PENDING_MAX, NULL), 0);
    assert_int_equal(journal_durable(fixture->journal), 2 + JOURNAL_PENDING_MAX);
    assert_int_equal(journal_forget(fixture->journal, 4 + JOURNAL_PENDING_MAX, NULL), 0);
    assert_int_equal(journal_durable(fixture->journal), 6 + JOURNAL_PENDING_MAX);
    assert_false(journal_stuck(fixture->journal));
    reopen(fixture);
    assert_int_equal(fixture->seen->count, 2); /* of the next file; the first was forgotten */
    assert_seen(fixture, 0, 4 + JOURNAL_PENDING_MAX, 2);
}

static void what_is_safe_elsewhere_needs_no_disk_here(void **state)
{
    struct fixture *fixture = *state;
    reopen(fixture);
    disk.room = 0;
    append(fixture, 0, 2 * JOURNAL_PENDING_MAX);
    assert_int_equal(journal_forget(fixture->journal, journal_appended(fixture->journal), NULL), 0);
    assert_int_equal(journal_durable(fixture->journal), 2 * JOURNAL_PENDING_MAX);
    assert_false(journal_stuck(fixture->journal));
    commit(fixture);
}

static int on_record_refused(void *argument, const struct journal_record *record, struct error *err)
{
    (void)record;
    return ++*(uint32_t *)argument < 2 ? 0 : error_set(err, ERROR_IO, "no room");
}

static void a_reader_that_fails_stops_the_opening(void **state)
{
    struct fixture *fixture = *state;
    reopen(fixture);
    frames(fixture, 0, 3);
    uint32_t calls = 0;
    struct journal *journal = NULL;
    const struct journal_config config = {.folder = fixture->folder, .key_id = KEY};
    assert_int_equal(journal_open(&config, on_record_refused, &calls, &journal, &fixture->recovery,
                                  &fixture->err),
                     ERROR_IO);
    assert_null(journal);
    assert_int_equal(calls, 2);
    assert_non_null(strstr(fixture->err.text, FIRST_NAME ": frame at byte 4096: no room"));
}

static void what_is_not_ours_is_left_alone(void **state)
{
    struct fixture *fixture = *state;
    char path[SCRATCH_PATH_BYTES];
    scratch_write(fixture->folder, "journal-1.log", "x", 1);
    scratch_write(fixture->folder, "journal-000000000000000A.log", "x", 1);
    scratch_write(fixture->folder, "journal-ffffffffffffffff.log", "x", 1);
    scratch_write(fixture->folder, "journal-0000000000000000.log", "x", 1);
    reopen(fixture);
    assert_int_equal(fixture->recovery.frames_damaged + fixture->recovery.bytes_cut, 0);
    assert_int_equal(size_of(fixture, "journal-1.log"), 1);
    path_of(fixture, "journal-0000000000000002.log", path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(try_open(fixture, KEY, 1 << 20), ERROR_INVALID);
    assert_non_null(strstr(fixture->err.text, "not a plain file"));
}

static void a_missing_folder_is_an_error(void **state)
{
    struct fixture *fixture = *state;
    struct journal *journal = NULL;
    const struct journal_config config = {.folder = "/nonexistent/weir", .key_id = KEY};
    assert_int_equal(journal_open(&config, on_record, fixture->seen, &journal, &fixture->recovery,
                                  &fixture->err),
                     ERROR_NOT_FOUND);
    assert_null(journal);
    journal_close(NULL);
}

#define THREADS       4u
#define RECORDS_APART 20000u

struct appender {
    struct journal *journal;
    uint64_t number;
};

static void *append_many(void *argument)
{
    struct appender *appender = argument;
    uint64_t before = 0;
    for (uint64_t i = 0; i < RECORDS_APART; i++) {
        const struct journal_record record = {
            .counter = appender->number, .value = i, .kind = JOURNAL_HASH};
        uint64_t sequence = journal_append(appender->journal, &record);
        assert_true(sequence > before);
        before = sequence;
    }
    return NULL;
}

static void threads_append_while_one_commits(void **state)
{
    struct fixture *fixture = *state;
    struct appender appenders[THREADS];
    pthread_t threads[THREADS];
    uint64_t next[THREADS] = {0};
    assert_int_equal(try_open(fixture, KEY, 1 << 18), 0);
    for (uint64_t i = 0; i < THREADS; i++) {
        appenders[i] = (struct appender){.journal = fixture->journal, .number = i};
        assert_int_equal(pthread_create(&threads[i], NULL, append_many, &appenders[i]), 0);
    }
    while (journal_durable(fixture->journal) < THREADS * RECORDS_APART) {
        commit(fixture);
        if (journal_stuck(fixture->journal)) /* a slow disk; as if the counters had been synced */
            (void)journal_forget(fixture->journal, journal_appended(fixture->journal), NULL);
    }
    for (uint64_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    reopen(fixture);
    for (uint32_t i = 0; i < fixture->seen->count; i++) {
        const struct journal_record *record = &fixture->seen->records[i];
        assert_true(record->counter < THREADS && record->value >= next[record->counter]);
        next[record->counter] = record->value + 1;
    }
}

static void the_checksum_is_castagnolis(void **state)
{
    (void)state;
    uint8_t bytes[64];
    assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 151 + 7);
    for (size_t begin = 0; begin < 9; begin++)
        for (size_t end = begin; end <= sizeof bytes; end++) {
            uint32_t whole = crc32c_portable(0, bytes + begin, end - begin);
            assert_int_equal(crc32c(0, bytes + begin, end - begin), whole);
            size_t middle = (begin + end) / 2;
            assert_int_equal(
                crc32c(crc32c(0, bytes + begin, middle - begin), bytes + middle, end - middle),
                whole);
        }
}

#define JOURNAL_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        JOURNAL_TEST(what_was_committed_comes_back_in_order),
        JOURNAL_TEST(a_commit_is_whole_frames_and_one_sync),
        JOURNAL_TEST(what_comes_during_a_sync_waits_for_the_next),
        JOURNAL_TEST(what_is_read_back_is_synced_before_it_counts_as_durable),
        JOURNAL_TEST(closing_commits),
        JOURNAL_TEST(a_torn_end_is_cut_off_wherever_it_tore),
        JOURNAL_TEST(a_flipped_bit_costs_its_frame_and_no_other),
        JOURNAL_TEST(damage_in_an_earlier_file_is_told_and_left),
        JOURNAL_TEST(another_keys_journal_is_refused_with_the_remedy),
        JOURNAL_TEST(a_newer_journal_is_refused_and_not_cut),
        JOURNAL_TEST(nonsense_under_a_right_checksum_is_damage),
        JOURNAL_TEST(numbers_that_leave_no_room_are_refused_and_not_cut),
        JOURNAL_TEST(files_rotate_and_are_forgotten_when_safe_elsewhere),
        JOURNAL_TEST(a_full_disk_keeps_records_for_the_next_commit),
        JOURNAL_TEST(a_failed_sync_acknowledges_nothing_and_leaves_its_file),
        JOURNAL_TEST(full_memory_is_told_and_only_a_sync_elsewhere_heals_it),
        JOURNAL_TEST(what_is_safe_elsewhere_needs_no_disk_here),
        JOURNAL_TEST(a_reader_that_fails_stops_the_opening),
        JOURNAL_TEST(what_is_not_ours_is_left_alone),
        JOURNAL_TEST(a_missing_folder_is_an_error),
        JOURNAL_TEST(threads_append_while_one_commits),
        cmocka_unit_test(the_checksum_is_castagnolis),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
