/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/users/usage_import.h"

#include "policy/users/calendar.h"
#include "policy/users/siphash.h"
#include "policy/users/usage_inner.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RECORDS_A_READ 4096u
#define CLASS_BITS     3u         /* of a pseudonym */
#define ANONYMOUS_MAX  (1u << 24) /* requests that become users of the upper view, a file */
#define MONTH_MIN      (1970u * 12)
#define MONTH_MAX      (2149u * 12)

struct import_header {
    char magic[8];
    uint64_t key_id, model;
    uint32_t month, check;
};
struct import_record {
    uint64_t pseudonym;
    uint32_t amount, check;
};
static_assert(sizeof(struct import_header) == 32 && sizeof(struct import_record) == 16,
              "the file's layout");

struct import {
    struct usage_scope *scope;
    struct usage_day *day;
    uint64_t anonymous, left_out;
};

uint64_t usage_hash_of_pseudonym(uint64_t pseudonym)
{
    uint64_t hash = pseudonym & ~(uint64_t)CLASS_BITS;
    hash = (hash ^ hash >> 30) * UINT64_C(0xbf58476d1ce4e5b9); /* SplitMix64's finalizer */
    hash = (hash ^ hash >> 27) * UINT64_C(0x94d049bb133111eb);
    return hash ^ hash >> 31;
}

static int add(struct import *import, enum usage_class class, uint64_t hash, struct error *err)
{
    struct usage_day *day = import->day;
    struct counter *counter;
    struct journal_record unused; /* the file goes only when the counters are synced */
    int result = 0;
    for (uint32_t i = 0; i < day->year_count && result >= 0; i++) {
        result = usage_need_counter(import->scope, day, usage_keyed_class(class, day->years[i]),
                                    &counter, err);
        if (result == 0)
            result = counter_add(counter, hash, &unused, err);
    }
    return result < 0 ? result : 0;
}

/* A request of those that named nobody has no id that is known: one is made of its number. */
static int add_anonymous(struct import *import, uint32_t amount, struct error *err)
{
    const struct usage_scope *scope = import->scope;
    int result = 0;
    for (uint32_t i = 0; i < amount && result == 0 && import->anonymous < ANONYMOUS_MAX; i++) {
        const uint64_t number[3] = {scope->id, import->day->day, import->anonymous++};
        result = add(import, USAGE_REQUEST,
                     siphash(scope->usage->secret->files_key, number, sizeof number), err);
    }
    return result;
}

static int add_record(struct import *import, const struct import_record *record, struct error *err)
{
    static const enum usage_class classes[] = {USAGE_VERIFIED, USAGE_ASSERTED, USAGE_WEAK};
    uint32_t class = record->pseudonym & CLASS_BITS;
    uint64_t hash = usage_hash_of_pseudonym(record->pseudonym);
    if (record->pseudonym == IDENTITY_NONE) {
        struct usage_total *total = usage_total_of(import->scope, import->day->day);
        if (total == NULL)
            return error_no_memory(err);
        total->requests[IDENTITY_NONE] += record->amount;
        total->saved = false;
        return add_anonymous(import, record->amount, err);
    }
    if (class == IDENTITY_NONE) {
        import->left_out++;
        return 0;
    }
    int result = add(import, classes[class], hash, err);
    /* How many requests it made is not known; at least one. */
    return result == 0 && class == IDENTITY_WEAK ? add(import, USAGE_REQUEST, hash, err) : result;
}

static int read_records(struct import *import, int fd, struct error *err)
{
    const uint8_t *key = import->scope->usage->secret->files_key;
    struct import_record *records = malloc(RECORDS_A_READ * sizeof *records);
    if (records == NULL)
        return error_no_memory(err);
    off_t at = sizeof(struct import_header);
    int result = 0;
    ssize_t got = 0;
    while (result == 0 && (got = pread(fd, records, RECORDS_A_READ * sizeof *records, at)) > 0) {
        size_t count = (size_t)got / sizeof *records;
        for (size_t i = 0; i < count && result == 0; i++) {
            size_t checked = offsetof(struct import_record, check);
            if (records[i].check == (uint32_t)siphash(key, &records[i], checked))
                result = add_record(import, &records[i], err);
            else
                import->left_out++;
        }
        at += (off_t)(count * sizeof *records);
        if (count == 0) { /* less than a record: the torn end */
            import->left_out++;
            break;
        }
    }
    free(records);
    return result == 0 && got < 0 ? error_set_errno(err, errno, "reading") : result;
}

/* 1: a header of ours; 0: none of it is. */
static int check_header(const struct usage *usage, int fd, struct import_header *ret,
                        struct error *err)
{
    if (pread(fd, ret, sizeof *ret, 0) != (ssize_t)sizeof *ret ||
        memcmp(ret->magic, "WEIRUSE1", 8) != 0)
        return 0;
    if (ret->key_id != usage->folder.key_id)
        return error_set(err, ERROR_INVALID,
                         "counted under another key: bring that key back (users.key_file), or "
                         "move the file away to lose its users");
    uint32_t check =
        (uint32_t)siphash(usage->secret->files_key, ret, offsetof(struct import_header, check));
    return check == ret->check && ret->month >= MONTH_MIN && ret->month < MONTH_MAX;
}

static int sync_counters(const struct usage_day *day, struct error *err)
{
    int result = 0;
    for (uint32_t c = 0; c < USAGE_KEYED_COUNT && result == 0; c++) {
        struct counter *counter = atomic_load(&day->counters[c]);
        if (counter != NULL)
            result = counter_sync(counter, err);
    }
    return result;
}

static int import_open(struct usage_scope *scope, int fd, const char *path, struct error *err)
{
    struct import_header header;
    int good = check_header(scope->usage, fd, &header, err);
    if (good < 0)
        return good;
    if (good == 0) {
        usage_note(&scope->usage->notes, "%s: its header is damaged; moved aside", path);
        return usage_days_move_aside(path, "damaged", err);
    }
    struct import import = {.scope = scope};
    (void)pthread_mutex_lock(&scope->lock);
    import.day = usage_need_day(scope, calendar_first_day(header.month));
    int result = import.day == NULL ? error_no_memory(err) : read_records(&import, fd, err);
    if (result == 0)
        result = sync_counters(import.day, err);
    (void)pthread_mutex_unlock(&scope->lock);
    if (result != 0)
        return result;
    if (import.left_out > 0)
        usage_note(&scope->usage->notes, "%s: %llu records are damaged and were left out", path,
                   (unsigned long long)import.left_out);
    char imported[USAGE_PATH_BYTES_MAX];
    (void)snprintf(imported, sizeof imported, "%s.imported", path);
    return rename(path, imported) == 0 ? 0 : error_set_errno(err, errno, "renaming");
}

static int import_file(struct usage_scope *scope, const char *name, struct error *err)
{
    char path[USAGE_PATH_BYTES_MAX];
    (void)snprintf(path, sizeof path, "%s/%s", scope->usage->folder.path, name);
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(err, errno, "%s", path);
    int result = import_open(scope, fd, path, err);
    close(fd);
    if (result != 0)
        (void)error_wrap(err, "%s", path);
    return result;
}

int usage_import(struct usage *usage, struct usage_scope *scope, struct error *err)
{
    char prefix[32];
    uint64_t model = siphash(usage->secret->files_key, scope->model, strlen(scope->model));
    (void)snprintf(prefix, sizeof prefix, "users-%016llx-", (unsigned long long)model);
    DIR *entries = opendir(usage->folder.path);
    if (entries == NULL)
        return error_set_errno(err, errno, "%s", usage->folder.path);
    int result = 0;
    for (struct dirent *entry; result == 0 && (entry = readdir(entries)) != NULL;) {
        unsigned year, month;
        int used = 0;
        if (strncmp(entry->d_name, prefix, strlen(prefix)) != 0 ||
            sscanf(entry->d_name + strlen(prefix), "%4u-%2u.log%n", &year, &month, &used) != 2 ||
            used != 11 || entry->d_name[strlen(prefix) + 11] != '\0')
            continue;
        result = import_file(scope, entry->d_name, err);
    }
    (void)closedir(entries);
    return result;
}
