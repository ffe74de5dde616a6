/* SPDX-License-Identifier: Apache-2.0 */
/* usage_totals.c -- how many requests a day, by how the user was identified.
 *
 * Not users: these figures say how far the others can be trusted, so that the last seconds of them
 * may be lost in a crash. A file a day, for all scopes, written whole when something changed.
 *
 *     requests-<yyyymmdd>.wrq   0 "WRQ1"   4 crc32c of the rest   8 key id   16 day   20 records
 *                              24 records of 48: scope 8, requests 4 x 8, amended 4, 0 4 */
#include "policy/users/calendar.h"
#include "policy/users/crc32c.h"
#include "policy/users/usage_inner.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAME_BYTES 32
#define PREFIX     "requests-"

struct totals_header {
    char magic[4];
    uint32_t crc;
    uint64_t key_id;
    uint32_t day, count;
};
struct totals_record {
    uint64_t scope;
    uint64_t requests[IDENTITY_CLASS_COUNT];
    uint32_t amended, zero;
};
static_assert(sizeof(struct totals_header) == 24 && sizeof(struct totals_record) == 48,
              "the file's layout");
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the file's byte order is the machine's");

/* -- In memory -- */

const struct usage_total *usage_total_find(const struct usage_scope *scope, uint32_t day)
{
    for (uint32_t i = scope->total_count; i > 0; i--)
        if (scope->totals[i - 1].day == day)
            return &scope->totals[i - 1];
    return NULL;
}

struct usage_total *usage_total_of(struct usage_scope *scope, uint32_t day)
{
    uint32_t at = scope->total_count;
    while (at > 0 && scope->totals[at - 1].day > day)
        at--;
    if (at > 0 && scope->totals[at - 1].day == day)
        return &scope->totals[at - 1];
    if (scope->total_count == scope->total_capacity) {
        uint32_t capacity = scope->total_capacity == 0 ? 8 : 2 * scope->total_capacity;
        struct usage_total *grown = realloc(scope->totals, capacity * sizeof *grown);
        if (grown == NULL)
            return NULL;
        scope->totals = grown;
        scope->total_capacity = capacity;
    }
    memmove(&scope->totals[at + 1], &scope->totals[at],
            (scope->total_count - at) * sizeof scope->totals[0]);
    scope->totals[at] = (struct usage_total){.day = day, .saved = true};
    scope->total_count++;
    return &scope->totals[at];
}

void usage_totals_forget(struct usage_scope *scope, uint32_t before_day)
{
    uint32_t gone = 0;
    while (gone < scope->total_count && scope->totals[gone].day < before_day)
        gone++;
    scope->total_count -= gone;
    memmove(scope->totals, scope->totals + gone, scope->total_count * sizeof scope->totals[0]);
}

void usage_totals_fold_day(struct usage_scope *scope, struct usage_day *day)
{
    uint64_t fresh[IDENTITY_CLASS_COUNT] = {0}, all = 0;
    for (uint32_t t = 0; t < USAGE_TALLIES; t++)
        for (uint32_t c = 0; c < IDENTITY_CLASS_COUNT; c++)
            all += atomic_load_explicit(&day->tallies[t].requests[c], memory_order_relaxed);
    struct usage_total *total = all == 0 ? NULL : usage_total_of(scope, day->day);
    if (total == NULL)
        return; /* no memory: they stay tallied */
    for (uint32_t t = 0; t < USAGE_TALLIES; t++)
        for (uint32_t c = 0; c < IDENTITY_CLASS_COUNT; c++)
            fresh[c] +=
                atomic_exchange_explicit(&day->tallies[t].requests[c], 0, memory_order_relaxed);
    for (uint32_t c = 0; c < IDENTITY_CLASS_COUNT; c++)
        total->requests[c] += fresh[c];
    total->saved = false;
}

void usage_totals_fold(struct usage_scope *scope)
{
    for (uint32_t slot = 0; slot < USAGE_LIVE_DAYS; slot++) {
        struct usage_day *day = atomic_load(&scope->live[slot]);
        if (day != NULL)
            usage_totals_fold_day(scope, day);
    }
    for (struct usage_day *day = scope->retired; day != NULL; day = day->next)
        usage_totals_fold_day(scope, day);
}

/* -- On disk -- */

static void name_of(uint32_t day, char ret[NAME_BYTES])
{
    char text[CALENDAR_TEXT_BYTES];
    calendar_write(day, text);
    (void)snprintf(ret, NAME_BYTES, PREFIX "%s.wrq", text);
}

static void append_records(struct usage *usage, uint32_t day, struct text *out, uint32_t *ret_count)
{
    for (struct usage_scope *scope = usage->scopes; scope != NULL; scope = scope->next) {
        (void)pthread_mutex_lock(&scope->lock);
        const struct usage_total *total = usage_total_find(scope, day);
        if (total != NULL) {
            struct totals_record record = {.scope = scope->id, .amended = total->amended};
            memcpy(record.requests, total->requests, sizeof record.requests);
            text_append(out, &record, sizeof record);
            (*ret_count)++;
        }
        (void)pthread_mutex_unlock(&scope->lock);
    }
}

static int save_day(struct usage *usage, uint32_t day, struct error *err)
{
    char name[NAME_BYTES];
    struct text out;
    struct totals_header header = {
        .magic = {'W', 'R', 'Q', '1'}, .key_id = usage->folder.key_id, .day = day};
    text_init(&out);
    text_append(&out, &header, sizeof header);
    append_records(usage, day, &out, &header.count);
    int result = 0;
    if (out.failed) {
        result = error_no_memory(err);
    } else {
        memcpy(out.bytes, &header, sizeof header);
        size_t checked = offsetof(struct totals_header, key_id);
        header.crc = crc32c(0, out.bytes + checked, out.count - checked);
        memcpy(out.bytes, &header, sizeof header);
        name_of(day, name);
        result = usage_days_write(&usage->folder, name, out.bytes, out.count, err);
    }
    text_destroy(&out);
    return result;
}

/* A day that some scope has changed, marked as saved everywhere. */
static bool take_unsaved(struct usage *usage, uint32_t *ret_day)
{
    bool found = false;
    for (struct usage_scope *scope = usage->scopes; scope != NULL; scope = scope->next) {
        (void)pthread_mutex_lock(&scope->lock);
        for (uint32_t i = 0; i < scope->total_count; i++) {
            struct usage_total *total = &scope->totals[i];
            if (total->saved || (found && total->day != *ret_day))
                continue;
            *ret_day = total->day;
            total->saved = found = true;
        }
        (void)pthread_mutex_unlock(&scope->lock);
    }
    return found;
}

int usage_totals_save(struct usage *usage, struct error *err)
{
    uint32_t day;
    int result = 0;
    while (result == 0 && take_unsaved(usage, &day))
        result = save_day(usage, day, err); /* when it fails: with the next change */
    return result;
}

/* Whether the name is a totals file's. */
static bool parse_name(const char *file, uint32_t *ret_day)
{
    char again[NAME_BYTES];
    if (strncmp(file, PREFIX, strlen(PREFIX)) != 0 ||
        !calendar_parse(file + strlen(PREFIX), ret_day))
        return false;
    name_of(*ret_day, again);
    return strcmp(file, again) == 0;
}

void usage_totals_remove(struct usage *usage, uint32_t before_day)
{
    DIR *entries = opendir(usage->folder.path);
    if (entries == NULL)
        return;
    for (struct dirent *entry; (entry = readdir(entries)) != NULL;) {
        uint32_t day;
        if (parse_name(entry->d_name, &day) && day < before_day)
            (void)unlinkat(dirfd(entries), entry->d_name, 0);
    }
    (void)closedir(entries);
}

static bool check_file(const struct usage *usage, uint32_t day, const char *bytes, size_t count,
                       struct totals_header *ret)
{
    size_t checked = offsetof(struct totals_header, key_id);
    if (count < sizeof *ret)
        return false;
    memcpy(ret, bytes, sizeof *ret);
    return memcmp(ret->magic, "WRQ1", 4) == 0 &&
           ret->crc == crc32c(0, bytes + checked, count - checked) &&
           ret->key_id == usage->folder.key_id && ret->day == day &&
           ret->count == (count - sizeof *ret) / sizeof(struct totals_record) &&
           count == sizeof *ret + ret->count * sizeof(struct totals_record);
}

static int load_day(struct usage *usage, const char *name, uint32_t day, struct error *err)
{
    struct totals_header header;
    char *bytes;
    size_t count;
    size_t bytes_max = sizeof header + (size_t)USAGE_SCOPES_MAX * sizeof(struct totals_record);
    int result = usage_days_read(&usage->folder, name, bytes_max, &bytes, &count, err);
    if (result != 0)
        return result;
    if (!check_file(usage, day, bytes, count, &header)) {
        usage_note(&usage->notes, "%s: damaged; the day's coverage is unknown", name);
        free(bytes);
        return 0;
    }
    for (uint32_t i = 0; i < header.count && result == 0; i++) {
        struct totals_record record;
        memcpy(&record, bytes + sizeof header + i * sizeof record, sizeof record);
        struct usage_scope *scope = usage_scope_find(usage, record.scope);
        if (scope == NULL)
            continue;
        struct usage_total *total = usage_total_of(scope, day);
        if (total == NULL) {
            result = error_no_memory(err);
        } else {
            total->amended = record.amended;
            memcpy(total->requests, record.requests, sizeof total->requests);
        }
    }
    free(bytes);
    return result;
}

int usage_totals_load(struct usage *usage, struct error *err)
{
    DIR *entries = opendir(usage->folder.path);
    int result = 0;
    if (entries == NULL)
        return error_set_errno(err, errno, "%s", usage->folder.path);
    for (struct dirent *entry; result == 0 && (entry = readdir(entries)) != NULL;) {
        uint32_t day;
        if (parse_name(entry->d_name, &day))
            result = load_day(usage, entry->d_name, day, err);
    }
    (void)closedir(entries);
    return result;
}
