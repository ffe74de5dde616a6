/* SPDX-License-Identifier: Apache-2.0 */
/* usage.c -- a set of pseudonyms a month, read without locks, and its file.
 *
 * The set is a table with open addressing whose slots only ever go from 0 to a pseudonym. So a
 * reader needs no lock: what it finds is there, and what it does not find it looks for again
 * under the lock before it believes it. Growth builds a new table beside the old one and then
 * moves one pointer; readers may still walk the old table, so it stays until the month is freed
 * (all old tables together are smaller than the new one).
 *
 *     table     [  0  | 7f3a..1 |  0  | 09bc..2 | ... ]   low two bits: the class
 *
 *     file      users-<model>-2026-11.log, little endian
 *               0   "WEIRUSE1"        8
 *               8   key id            8   of the root key: other keys, other pseudonyms
 *              16   model             8   keyed hash of the id
 *              24   month             4   year * 12 + month - 1
 *              28   check             4   keyed hash of the 28 bytes before
 *              32   records, 16 each: pseudonym 8, amount 4, check 4
 *
 * A record of pseudonym IDENTITY_NONE adds `amount` requests that named nobody; these come in
 * bundles, so a crash forgets fewer than ANONYMOUS_BUNDLE of them.
 *
 * Durability: a record is written, not synced, when its user is first seen: a killed process
 * loses nobody, a power cut may lose the last seconds. A cut also tears the tail; replay drops a
 * broken end but refuses a break that has good records behind it, for that is no torn write.
 * A disk that is full or gone makes records wait in memory, and the next new user tries again.
 *
 * A person seen under two classes is two: which one was meant is not ours to guess, and counting
 * high is the safe side of a licence's limit. The road not taken, for now: one sketch a day. It
 * bounds the memory (here 16 bytes a user and month, at most 32) and answers rolling windows. */
#include "policy/usage.h"

#include "base/text.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TABLE_SLOTS_MIN  64u
#define ANONYMOUS_BUNDLE 256u
#define PATH_BYTES_MAX   4352
#define RECORDS_A_READ   4096u

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the file's byte order is the machine's");

struct header {
    char magic[8];
    uint64_t key_id, model;
    uint32_t month, check;
};
struct record {
    uint64_t pseudonym;
    uint32_t amount, check;
};
static_assert(sizeof(struct header) == 32 && sizeof(struct record) == 16, "the file's layout");

struct table {
    struct table *older; /* readers may be in it */
    uint64_t slot_count; /* a power of two */
    _Atomic uint64_t slots[];
};

struct month {
    struct month *older;
    uint32_t number;
    _Atomic(struct table *) table;                     /* changed under the lock */
    _Atomic uint64_t user_count[IDENTITY_CLASS_COUNT]; /* changed under the lock */
    _Atomic uint64_t anonymous, anonymous_bundled;     /* requests; of these on their way to disk */
    _Atomic uint64_t left_out;                         /* users that found no memory */
    _Atomic uint64_t waiting_count;                    /* records in `waiting` */
    struct text waiting;                               /* under the lock: the disk has not taken */
    int fd; /* under the lock; -1 before the first record */
};

struct usage {
    const char *folder;          /* borrowed: policy */
    const struct secret *secret; /* borrowed: policy */
    uint64_t model;
    _Atomic(struct month *) newest; /* a list by `older`, in the order of first use */
    _Atomic uint64_t left_out;      /* requests whose month found no memory */
    pthread_mutex_t lock;
};

/* Days to year and month: the era arithmetic of H. Hinnant's chrono-compatible algorithms; the C
 * library's takes a lock. */
uint32_t usage_month(int64_t unix_us)
{
    int64_t days = unix_us / 86400000000;
    if (unix_us < 0)
        days = 0; /* a clock before 1970 is not set; all of it is one month */
    uint64_t z = (uint64_t)days + 719468; /* since 0000-03-01 */
    uint64_t era = z / 146097, day_of_era = z % 146097;
    uint64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    uint64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    uint64_t march_month = (5 * day_of_year + 2) / 153; /* 0 is March */
    uint64_t month = march_month < 10 ? march_month + 2 : march_month - 10;
    uint64_t year = era * 400 + year_of_era + (month < 2);
    return (uint32_t)(year * 12 + month);
}

/* -- The set -- */

static struct table *table_new(uint64_t slot_count)
{
    struct table *table = calloc(1, sizeof *table + slot_count * sizeof table->slots[0]);
    if (table != NULL)
        table->slot_count = slot_count;
    return table;
}

/* Where the pseudonym is, or the empty slot where it would go. A table is never full. */
static _Atomic uint64_t *table_slot(struct table *table, uint64_t pseudonym)
{
    uint64_t mask = table->slot_count - 1, at = (pseudonym >> 2) & mask;
    for (;;) {
        uint64_t found = atomic_load_explicit(&table->slots[at], memory_order_relaxed);
        if (found == pseudonym || found == 0)
            return &table->slots[at];
        at = (at + 1) & mask;
    }
}

static bool month_has(struct month *month, uint64_t pseudonym)
{
    struct table *table = atomic_load_explicit(&month->table, memory_order_acquire);
    return atomic_load_explicit(table_slot(table, pseudonym), memory_order_relaxed) != 0;
}

static uint64_t month_users(const struct month *month)
{
    uint64_t users = 0;
    for (uint32_t c = 0; c < IDENTITY_NONE; c++)
        users += atomic_load_explicit(&month->user_count[c], memory_order_relaxed);
    return users;
}

/* Under the lock. False when there is no memory and the old table has no room to spare. */
static bool month_make_room(struct month *month)
{
    struct table *old = atomic_load_explicit(&month->table, memory_order_relaxed);
    uint64_t users = month_users(month);
    if (users + 1 <= old->slot_count / 2)
        return true;
    struct table *grown = table_new(old->slot_count * 2);
    if (grown == NULL)
        return users + 1 <= old->slot_count / 8 * 7; /* slower, not wrong */
    for (uint64_t i = 0; i < old->slot_count; i++) {
        uint64_t pseudonym = atomic_load_explicit(&old->slots[i], memory_order_relaxed);
        if (pseudonym != 0)
            atomic_store_explicit(table_slot(grown, pseudonym), pseudonym, memory_order_relaxed);
    }
    grown->older = old;
    atomic_store_explicit(&month->table, grown, memory_order_release);
    return true;
}

enum insertion { INSERTED, WAS_THERE, NO_ROOM };

/* Under the lock. */
static enum insertion month_insert(struct month *month, uint64_t pseudonym)
{
    if (month_has(month, pseudonym))
        return WAS_THERE;
    if (!month_make_room(month))
        return NO_ROOM;
    struct table *table = atomic_load_explicit(&month->table, memory_order_relaxed);
    atomic_store_explicit(table_slot(table, pseudonym), pseudonym, memory_order_relaxed);
    atomic_fetch_add_explicit(&month->user_count[pseudonym & IDENTITY_CLASS_BITS], 1,
                              memory_order_relaxed);
    return INSERTED;
}

static struct month *month_new(uint32_t number)
{
    struct month *month = calloc(1, sizeof *month);
    struct table *table = table_new(TABLE_SLOTS_MIN);
    if (month == NULL || table == NULL) {
        free(month);
        free(table);
        return NULL;
    }
    month->number = number;
    month->fd = -1;
    atomic_store(&month->table, table);
    return month;
}

static void month_free(struct month *month)
{
    struct table *table = atomic_load(&month->table);
    while (table != NULL) {
        struct table *older = table->older;
        free(table);
        table = older;
    }
    text_destroy(&month->waiting);
    if (month->fd >= 0)
        close(month->fd);
    free(month);
}

/* -- The file -- */

static void month_path(const struct usage *usage, uint32_t number, char ret[PATH_BYTES_MAX])
{
    (void)snprintf(ret, PATH_BYTES_MAX, "%s/users-%016llx-%04u-%02u.log", usage->folder,
                   (unsigned long long)usage->model, number / 12, number % 12 + 1);
}

static uint32_t check_of(const struct usage *usage, const void *bytes, size_t count)
{
    return (uint32_t)siphash(usage->secret->files_key, bytes, count);
}

static struct header header_of(const struct usage *usage, uint32_t number)
{
    struct header header = {.magic = {'W', 'E', 'I', 'R', 'U', 'S', 'E', '1'},
                            .key_id = usage->secret->key_id,
                            .model = usage->model,
                            .month = number};
    header.check = check_of(usage, &header, offsetof(struct header, check));
    return header;
}

static int check_header(const struct usage *usage, const struct header *found, uint32_t number,
                        const char *path, struct error *err)
{
    struct header expected = header_of(usage, number);
    if (memcmp(found->magic, expected.magic, sizeof expected.magic) != 0)
        return error_set(err, ERROR_INVALID, "%s: not a file of user counts; move it away", path);
    if (found->key_id != expected.key_id)
        return error_set(err, ERROR_INVALID,
                         "%s: counted under another key: bring that key back (users.key_file), or "
                         "move the file away to count the month anew",
                         path);
    if (memcmp(found, &expected, sizeof expected) != 0)
        return error_set(err, ERROR_INVALID,
                         "%s: the header is damaged; restore the file or move it away", path);
    return 0;
}

static bool record_is_good(const struct usage *usage, const struct record *record)
{
    return record->check == check_of(usage, record, offsetof(struct record, check));
}

/* Counts one record. False when there is no memory. */
static bool replay_record(struct month *month, const struct record *record)
{
    if (record->pseudonym == IDENTITY_NONE) {
        month->anonymous += record->amount;
        month->anonymous_bundled += record->amount;
        return true;
    }
    return month_insert(month, record->pseudonym) != NO_ROOM;
}

/* Reads records up to the end or the first bad one; *ret_end is the offset after the last good. */
static int replay(const struct usage *usage, struct month *month, int fd, const char *path,
                  off_t *ret_end, struct error *err)
{
    struct record *records = malloc(RECORDS_A_READ * sizeof *records);
    if (records == NULL)
        return error_no_memory(err);
    off_t at = sizeof(struct header), bad_at = 0;
    int result = 0;
    ssize_t got;
    while (result == 0 && (got = pread(fd, records, RECORDS_A_READ * sizeof *records, at)) > 0) {
        size_t count = (size_t)got / sizeof *records;
        for (size_t i = 0; i < count && result == 0; i++) {
            off_t place = at + (off_t)(i * sizeof *records);
            bool good = record_is_good(usage, &records[i]);
            if (!good && bad_at == 0)
                bad_at = place;
            else if (good && bad_at != 0)
                result = error_set(err, ERROR_INVALID,
                                   "%s: damaged at byte %lld, with good records behind it; restore "
                                   "the file, or move it away to count the month anew",
                                   path, (long long)bad_at);
            else if (good && !replay_record(month, &records[i]))
                result = error_no_memory(err);
        }
        at += (off_t)(count * sizeof *records);
        if (count == 0) /* less than a record: the torn end */
            break;
    }
    if (result == 0 && got < 0)
        result = error_set_errno(err, errno, "%s", path);
    *ret_end = bad_at != 0 ? bad_at : at;
    free(records);
    return result;
}

/* Takes up the month's file where there is one. */
static int month_load(const struct usage *usage, struct month *month, struct error *err)
{
    char path[PATH_BYTES_MAX];
    struct header header;
    off_t end = 0;
    month_path(usage, month->number, path);
    int fd = open(path, O_RDWR | O_APPEND | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : error_set_errno(err, errno, "%s", path);
    ssize_t got = pread(fd, &header, sizeof header, 0);
    int result;
    if (got < 0) {
        result = error_set_errno(err, errno, "%s", path);
    } else if ((size_t)got < sizeof header) { /* torn before it held anybody */
        struct header fresh = header_of(usage, month->number);
        result = ftruncate(fd, 0) == 0 && write(fd, &fresh, sizeof fresh) == (ssize_t)sizeof fresh
                     ? 0
                     : error_set_errno(err, errno, "%s", path);
    } else {
        result = check_header(usage, &header, month->number, path, err);
        if (result == 0)
            result = replay(usage, month, fd, path, &end, err);
        if (result == 0 && ftruncate(fd, end) != 0)
            result = error_set_errno(err, errno, "%s", path);
    }
    if (result != 0) {
        close(fd);
        return result;
    }
    month->fd = fd;
    return 0;
}

/* Appends bytes whole or not at all. Creates the file at the first record. */
static bool append(const struct usage *usage, struct month *month, const void *bytes, size_t count)
{
    if (month->fd < 0) {
        char path[PATH_BYTES_MAX];
        struct header header = header_of(usage, month->number);
        month_path(usage, month->number, path);
        /* O_EXCL: a file that is there and was not taken up is one that we must not touch. */
        int fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0)
            return false;
        if (write(fd, &header, sizeof header) != (ssize_t)sizeof header) {
            close(fd);
            (void)unlink(path);
            return false;
        }
        month->fd = fd;
    }
    off_t before = lseek(month->fd, 0, SEEK_END);
    ssize_t written = before < 0 ? -1 : write(month->fd, bytes, count);
    if (written == (ssize_t)count)
        return true;
    if (written > 0 && ftruncate(month->fd, before) != 0) {
        close(month->fd); /* the next replay drops the torn end; until then nothing more here */
        month->fd = -1;
    }
    return false;
}

/* Under the lock. What does not reach the disk waits. */
static void month_write(const struct usage *usage, struct month *month, uint64_t pseudonym,
                        uint32_t amount)
{
    struct record record = {.pseudonym = pseudonym, .amount = amount};
    record.check = check_of(usage, &record, offsetof(struct record, check));
    if (month->waiting.count == 0 && append(usage, month, &record, sizeof record))
        return;
    text_append(&month->waiting, &record, sizeof record);
    if (month->waiting.failed) { /* no disk and no memory: counted here, gone at the restart */
        month->waiting.failed = false;
        atomic_fetch_add(&month->left_out, 1);
    }
    if (append(usage, month, month->waiting.bytes, month->waiting.count))
        text_reset(&month->waiting);
    atomic_store(&month->waiting_count, month->waiting.count / sizeof record);
}

/* -- Months -- */

static struct month *find_month(struct usage *usage, uint32_t number)
{
    struct month *month = atomic_load_explicit(&usage->newest, memory_order_acquire);
    while (month != NULL && month->number != number)
        month = month->older;
    return month;
}

/* Under the lock. A file that cannot be taken up is left alone: with err that is an error, at the
 * start; without, the month is counted in memory and `unsaved` says so. NULL: no memory. */
static struct month *open_month(struct usage *usage, uint32_t number, struct error *err)
{
    struct month *month = find_month(usage, number);
    if (month != NULL)
        return month;
    month = month_new(number);
    if (month == NULL) {
        error_no_memory(err);
        return NULL;
    }
    if (month_load(usage, month, err) != 0 && err != NULL) {
        month_free(month);
        return NULL;
    }
    month->older = atomic_load(&usage->newest);
    atomic_store_explicit(&usage->newest, month, memory_order_release);
    return month;
}

/* The newest month of this model that the folder has a file of; 0 when there is none. */
static int newest_file(const struct usage *usage, uint32_t *ret, struct error *err)
{
    char prefix[32];
    int prefix_count =
        snprintf(prefix, sizeof prefix, "users-%016llx-", (unsigned long long)usage->model);
    DIR *folder = opendir(usage->folder);
    if (folder == NULL)
        return error_set_errno(err, errno, "%s", usage->folder);
    uint32_t newest = 0;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        unsigned year, month;
        int used = 0;
        if (strncmp(entry->d_name, prefix, (size_t)prefix_count) == 0 &&
            sscanf(entry->d_name + prefix_count, "%4u-%2u.log%n", &year, &month, &used) == 2 &&
            used == 11 && month >= 1 && month <= 12 && year * 12 + month - 1 > newest)
            newest = year * 12 + month - 1;
    }
    (void)closedir(folder);
    *ret = newest;
    return 0;
}

struct usage *usage_new(const char *folder, const char *model, const struct secret *secret,
                        struct error *err)
{
    struct usage *usage = calloc(1, sizeof *usage);
    if (usage == NULL) {
        error_no_memory(err);
        return NULL;
    }
    usage->folder = folder;
    usage->secret = secret;
    usage->model = siphash(secret->files_key, model, strlen(model));
    (void)pthread_mutex_init(&usage->lock, NULL); /* cannot fail with these attributes */
    struct error local = {0};
    struct error *inner = err != NULL ? err : &local;
    uint32_t newest = 0;
    if (newest_file(usage, &newest, inner) != 0 ||
        (newest != 0 && open_month(usage, newest, inner) == NULL)) {
        usage_free(usage);
        return NULL;
    }
    return usage;
}

static uint32_t take_anonymous(struct month *month)
{
    uint64_t all = atomic_load(&month->anonymous), bundled = atomic_load(&month->anonymous_bundled);
    atomic_store(&month->anonymous_bundled, all);
    return (uint32_t)(all - bundled);
}

void usage_free(struct usage *usage)
{
    if (usage == NULL)
        return;
    struct month *month = atomic_load(&usage->newest);
    while (month != NULL) {
        struct month *older = month->older;
        uint32_t amount = take_anonymous(month);
        if (amount > 0)
            month_write(usage, month, IDENTITY_NONE, amount);
        else if (month->waiting.count > 0)
            (void)append(usage, month, month->waiting.bytes, month->waiting.count);
        if (month->fd >= 0)
            (void)fdatasync(month->fd);
        month_free(month);
        month = older;
    }
    (void)pthread_mutex_destroy(&usage->lock);
    free(usage);
}

static void add_anonymous(struct usage *usage, struct month *month)
{
    uint64_t all = atomic_fetch_add_explicit(&month->anonymous, 1, memory_order_relaxed) + 1;
    if (all - atomic_load_explicit(&month->anonymous_bundled, memory_order_relaxed) <
        ANONYMOUS_BUNDLE)
        return;
    (void)pthread_mutex_lock(&usage->lock);
    uint32_t amount = take_anonymous(month); /* 0 where another thread was faster */
    if (amount > 0)
        month_write(usage, month, IDENTITY_NONE, amount);
    (void)pthread_mutex_unlock(&usage->lock);
}

void usage_add(struct usage *usage, uint32_t number, const struct identity *identity)
{
    struct month *month = find_month(usage, number);
    if (month != NULL && identity->class != IDENTITY_NONE && month_has(month, identity->pseudonym))
        return;
    if (month == NULL) {
        (void)pthread_mutex_lock(&usage->lock);
        month = open_month(usage, number, NULL);
        (void)pthread_mutex_unlock(&usage->lock);
    }
    if (month == NULL) {
        atomic_fetch_add(&usage->left_out, 1);
        return;
    }
    if (identity->class == IDENTITY_NONE) {
        add_anonymous(usage, month);
        return;
    }
    (void)pthread_mutex_lock(&usage->lock);
    enum insertion insertion = month_insert(month, identity->pseudonym);
    if (insertion == INSERTED)
        month_write(usage, month, identity->pseudonym, 0);
    (void)pthread_mutex_unlock(&usage->lock);
    if (insertion == NO_ROOM)
        atomic_fetch_add(&month->left_out, 1);
}

void usage_read(struct usage *usage, uint32_t number, struct policy_usage *ret)
{
    (void)pthread_mutex_lock(&usage->lock);
    struct month *month = open_month(usage, number, NULL);
    (void)pthread_mutex_unlock(&usage->lock);
    ret->exact = month != NULL && atomic_load(&usage->left_out) == 0;
    if (month == NULL)
        return;
    for (uint32_t c = 0; c < IDENTITY_CLASS_COUNT; c++)
        ret->users_by_class[c] = atomic_load(&month->user_count[c]);
    ret->users = month_users(month);
    ret->anonymous_requests = atomic_load(&month->anonymous);
    ret->unsaved = atomic_load(&month->waiting_count);
    ret->exact = ret->exact && atomic_load(&month->left_out) == 0;
}
