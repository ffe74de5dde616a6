/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/users/usage_days.h"

#include "policy/users/calendar.h"
#include "policy/users/years.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_BYTES     64
#define SCOPE_AT       4u  /* after "day-" */
#define DAY_AT         17u /* after the scope and "-" */
#define CLASS_AT       31u
#define PARITY_BIT     4u /* of a keyed class */
#define CLASS_BITS     3u
#define ASIDE_MAX      1000u
#define FILES_LIST_MAX 1000000u

static const char *const class_names[USAGE_CLASS_COUNT] = {"verified", "asserted", "weak",
                                                           "request"};

uint8_t usage_keyed_class(enum usage_class class, uint32_t year)
{
    assert((uint32_t) class < USAGE_CLASS_COUNT);
    return (uint8_t)((uint32_t) class | (year & 1) << 2);
}

uint32_t usage_year(const struct usage_name *name)
{
    uint32_t year = calendar_month(name->day) / 12;
    return year % 2 == (name->class & PARITY_BIT) / PARITY_BIT ? year : year + 1;
}

bool usage_name_holds(const struct usage_name *name)
{
    uint32_t years[YEARS_MAX];
    if (name->scope >> USAGE_SCOPE_BITS != 0 || name->day > CALENDAR_DAY_MAX ||
        name->class >= USAGE_KEYED_COUNT)
        return false;
    uint32_t count = years_of_day(name->day, years);
    return years[count - 1] >= usage_year(name);
}

uint64_t usage_counter_id(const struct usage_name *name)
{
    assert(name->scope >> USAGE_SCOPE_BITS == 0);
    assert(name->day <= CALENDAR_DAY_MAX);
    assert(name->class < USAGE_KEYED_COUNT);
    return name->scope << 19 | (uint64_t)name->day << 3 | (uint64_t)name->class;
}

struct usage_name usage_counter_name(uint64_t id)
{
    return (struct usage_name){
        .scope = id >> 19, .day = (uint32_t)(id >> 3) & 0xffffu, .class = id & 7u};
}

static void file_name(const struct usage_name *name, char ret[NAME_BYTES])
{
    char day[CALENDAR_TEXT_BYTES];
    calendar_write(name->day, day);
    (void)snprintf(ret, NAME_BYTES, "day-%012llx-%s-%04u-%s.wcn", (unsigned long long)name->scope,
                   day, usage_year(name), class_names[name->class & CLASS_BITS]);
}

static void file_path(const struct usage_folder *folder, const struct usage_name *name,
                      char ret[USAGE_PATH_BYTES_MAX])
{
    char file[NAME_BYTES];
    file_name(name, file);
    (void)snprintf(ret, USAGE_PATH_BYTES_MAX, "%s/%s", folder->path, file);
}

/* -- Opening -- */

int usage_days_move_aside(const char *path, const char *suffix, struct error *err)
{
    char aside[USAGE_PATH_BYTES_MAX];
    for (uint32_t i = 1; i <= ASIDE_MAX; i++) {
        (void)snprintf(aside, sizeof aside, "%s.%s-%u", path, suffix, i);
        if (faccessat(AT_FDCWD, aside, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
            continue;
        if (rename(path, aside) == 0)
            return 0;
        return error_set_errno(err, errno, "%s: moving it aside", path);
    }
    return error_set(err, ERROR_BUSY, "%s: %u files of its name were moved aside already", path,
                     ASIDE_MAX);
}

bool usage_days_exists(const struct usage_folder *folder, const struct usage_name *name)
{
    char path[USAGE_PATH_BYTES_MAX];
    file_path(folder, name, path);
    return faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

int usage_days_open(const struct usage_folder *folder, const struct usage_name *name, bool make,
                    struct counter **ret, struct error *err)
{
    char path[USAGE_PATH_BYTES_MAX];
    struct error found = {0};
    assert(usage_name_holds(name));
    const struct counter_name counter = {.id = usage_counter_id(name),
                                         .key_id =
                                             year_keys_peek(folder->years, usage_year(name))->id,
                                         .day = name->day,
                                         .class = name->class};
    if (!make && !usage_days_exists(folder, name)) {
        *ret = NULL;
        return 0;
    }
    file_path(folder, name, path);
    int result = counter_open(path, &counter, ret, &found);
    if (result == 0)
        return 0;
    if (result == ERROR_INVALID || result == ERROR_UNSUPPORTED) {
        usage_note(folder->notes, "%s: moved aside; its users are lost but for the journal's",
                   found.text);
        result = usage_days_move_aside(path, "damaged", &found);
    }
    if (result == 0) {
        result = counter_open(path, &counter, ret, &found);
        if (result == 0)
            return 0;
    }
    return error_set(err, result, "%s", found.text);
}

int usage_days_remove(const struct usage_folder *folder, const struct usage_name *name,
                      struct error *err)
{
    char path[USAGE_PATH_BYTES_MAX];
    file_path(folder, name, path);
    if (unlink(path) == 0 || errno == ENOENT)
        return 0;
    return error_set_errno(err, errno, "%s", path);
}

/* -- Listing -- */

static bool parse_scope(const char *text, uint64_t *ret)
{
    uint64_t scope = 0;
    for (int i = 0; i < 12; i++) {
        char c = text[i];
        if ((c < '0' || c > '9') && (c < 'a' || c > 'f'))
            return false;
        scope = scope << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    *ret = scope;
    return scope >> USAGE_SCOPE_BITS == 0;
}

/* What file_name() would write, and nothing else. */
static bool parse_name(const char *file, struct usage_name *ret)
{
    char again[NAME_BYTES];
    struct usage_name name;
    if (strnlen(file, NAME_BYTES) <= CLASS_AT || !parse_scope(file + SCOPE_AT, &name.scope) ||
        !calendar_parse(file + DAY_AT, &name.day))
        return false;
    for (uint8_t c = 0; c < USAGE_KEYED_COUNT; c++) {
        name.class = c;
        file_name(&name, again);
        if (usage_name_holds(&name) && strcmp(file, again) == 0) {
            *ret = name;
            return true;
        }
    }
    return false;
}

int usage_days_list(const struct usage_folder *folder, struct usage_name **ret, uint32_t *ret_count,
                    struct error *err)
{
    struct usage_name *names = NULL, name;
    uint32_t count = 0, capacity = 0;
    int result = 0;
    DIR *entries = opendir(folder->path);
    if (entries == NULL)
        return error_set_errno(err, errno, "%s", folder->path);
    for (struct dirent *entry; result == 0 && (entry = readdir(entries)) != NULL;) {
        if (!parse_name(entry->d_name, &name))
            continue;
        if (count == capacity) {
            capacity = capacity == 0 ? 64 : 2 * capacity;
            struct usage_name *grown = realloc(names, capacity * sizeof *names);
            result = grown == NULL ? error_no_memory(err) : 0;
            names = grown == NULL ? names : grown;
        }
        if (result == 0)
            names[count++] = name;
        if (count == FILES_LIST_MAX)
            result = error_set(err, ERROR_BUSY, "%s: too many counters", folder->path);
    }
    (void)closedir(entries);
    if (result != 0) {
        free(names);
        return result;
    }
    *ret = names;
    *ret_count = count;
    return 0;
}

/* Names of what was counted before each year had its key: a model's month, a month, a day. */
static bool is_yearless(const char *file)
{
    char again[NAME_BYTES], day[CALENDAR_TEXT_BYTES];
    unsigned long long scope;
    uint32_t number;
    unsigned year, month;
    if (sscanf(file, "users-%16llx-%4u-%2u.log", &scope, &year, &month) == 3) {
        (void)snprintf(again, sizeof again, "users-%016llx-%04u-%02u.log", scope, year, month);
        return strcmp(file, again) == 0;
    }
    if (sscanf(file, "month-%12llx-%6u.wsk", &scope, &month) == 2) {
        (void)snprintf(again, sizeof again, "month-%012llx-%06u.wsk", scope, month);
        return strcmp(file, again) == 0;
    }
    if (sscanf(file, "day-%12llx-", &scope) != 1 || strnlen(file, NAME_BYTES) <= DAY_AT ||
        !calendar_parse(file + DAY_AT, &number))
        return false;
    calendar_write(number, day);
    for (uint32_t c = 0; c < USAGE_CLASS_COUNT; c++) {
        (void)snprintf(again, sizeof again, "day-%012llx-%s-%s.wcn", scope, day, class_names[c]);
        if (strcmp(file, again) == 0)
            return true;
    }
    return false;
}

int usage_days_refuse_yearless(const struct usage_folder *folder, struct error *err)
{
    int result = 0;
    DIR *entries = opendir(folder->path);
    if (entries == NULL)
        return error_set_errno(err, errno, "%s", folder->path);
    for (struct dirent *entry; result == 0 && (entry = readdir(entries)) != NULL;)
        if (is_yearless(entry->d_name))
            result = error_set(err, ERROR_INVALID,
                               "%s/%s: counted under one key for all years, and now each year has "
                               "its own; move day-*, month-*, users-* and journal-* out of the "
                               "folder to begin anew, or go on with the weir that wrote them",
                               folder->path, entry->d_name);
    (void)closedir(entries);
    return result;
}

/* -- Small files -- */

static int write_synced(const char *path, const void *bytes, size_t count, struct error *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set_errno(err, errno, "%s", path);
    const char *at = bytes;
    int failed = 0;
    while (count > 0 && failed == 0) {
        ssize_t written = write(fd, at, count);
        if (written > 0) {
            at += written;
            count -= (size_t)written;
        } else if (written == 0 || errno != EINTR) {
            failed = written == 0 ? ENOSPC : errno;
        }
    }
    if (failed == 0 && fsync(fd) != 0)
        failed = errno;
    close(fd);
    return failed == 0 ? 0 : error_set_errno(err, failed, "%s", path);
}

int usage_days_write(const struct usage_folder *folder, const char *name, const void *bytes,
                     size_t count, struct error *err)
{
    char path[USAGE_PATH_BYTES_MAX], new_path[USAGE_PATH_BYTES_MAX];
    (void)snprintf(path, sizeof path, "%s/%s", folder->path, name);
    (void)snprintf(new_path, sizeof new_path, "%s/%s.new", folder->path, name);
    int result = write_synced(new_path, bytes, count, err);
    if (result == 0 && rename(new_path, path) != 0)
        result = error_set_errno(err, errno, "%s", path);
    if (result != 0) {
        (void)unlink(new_path);
        return result;
    }
    int fd = open(folder->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    result = fd >= 0 && fsync(fd) == 0 ? 0 : error_set_errno(err, errno, "%s", folder->path);
    if (fd >= 0)
        close(fd);
    return result;
}

int usage_days_read(const struct usage_folder *folder, const char *name, size_t bytes_max,
                    char **ret, size_t *ret_count, struct error *err)
{
    char path[USAGE_PATH_BYTES_MAX];
    struct stat status;
    (void)snprintf(path, sizeof path, "%s/%s", folder->path, name);
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(err, errno, "%s", path);
    int result = fstat(fd, &status) == 0 ? 0 : error_set_errno(err, errno, "%s", path);
    if (result == 0 && (!S_ISREG(status.st_mode) || (uint64_t)status.st_size > bytes_max))
        result = error_set(err, ERROR_INVALID, "%s: not a plain file of at most %zu bytes", path,
                           bytes_max);
    size_t count = result == 0 ? (size_t)status.st_size : 0, got = 0;
    char *bytes = result == 0 ? malloc(count + 1) : NULL;
    if (result == 0 && bytes == NULL)
        result = error_no_memory(err);
    while (result == 0 && got < count) {
        ssize_t part = read(fd, bytes + got, count - got);
        if (part > 0)
            got += (size_t)part;
        else if (part == 0)
            count = got; /* it was cut meanwhile: whoever parses it will tell */
        else if (errno != EINTR)
            result = error_set_errno(err, errno, "%s", path);
    }
    close(fd);
    if (result != 0) {
        free(bytes);
        return result;
    }
    bytes[count] = '\0';
    *ret = bytes;
    *ret_count = count;
    return 0;
}
