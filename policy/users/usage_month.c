/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/users/usage_month.h"

#include "policy/users/calendar.h"
#include "policy/users/crc32c.h"
#include "policy/users/usage_inner.h"

#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_BYTES     48
#define FILE_BYTES_MAX (USAGE_MONTH_SKETCHES * (size_t)((1u << SKETCH_P) + 64) + 128)

struct month_header {
    char magic[4];
    uint32_t crc;
    uint64_t key_id, scope;
    uint32_t month, upto;
    uint64_t requests[4];
    uint32_t amended;
    uint32_t bytes[USAGE_MONTH_SKETCHES];
};
static_assert(sizeof(struct month_header) == 88, "the file's layout");
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the file's byte order is the machine's");

void usage_month_release(struct usage_month *month)
{
    for (uint32_t i = 0; i < USAGE_MONTH_SKETCHES; i++)
        sketch_free(month->sketches[i]);
    *month = (struct usage_month){0};
}

static uint32_t year_of(uint32_t month)
{
    return years_of_window(USAGE_WINDOW_MONTH, calendar_first_day(month));
}

static uint64_t key_id_of(const struct usage_folder *folder, uint32_t month)
{
    return year_keys_peek(folder->years, year_of(month))->id;
}

static void name_of(uint64_t scope, uint32_t month, char ret[NAME_BYTES])
{
    (void)snprintf(ret, NAME_BYTES, "month-%012llx-%04u%02u-%04u.wsk", (unsigned long long)scope,
                   month / 12, month % 12 + 1, year_of(month));
}

/* -- Reading -- */

static int read_sketches(const struct month_header *header, const char *bytes, size_t count,
                         struct usage_month *month, struct error *err)
{
    size_t at = sizeof *header;
    for (uint32_t i = 0; i < USAGE_MONTH_SKETCHES; i++) {
        if (header->bytes[i] > count - at)
            return error_set(err, ERROR_INVALID, "cut short");
        int result = header->bytes[i] == 0
                         ? 0
                         : sketch_read(bytes + at, header->bytes[i], &month->sketches[i], err);
        if (result != 0)
            return result;
        at += header->bytes[i];
    }
    return at == count ? 0 : error_set(err, ERROR_INVALID, "longer than it says");
}

static int parse(const struct usage_folder *folder, const struct month_header *expected,
                 const char *bytes, size_t count, struct usage_month *ret, struct error *err)
{
    struct month_header header;
    struct usage_month month = {0};
    size_t checked = offsetof(struct month_header, key_id);
    if (count < sizeof header)
        return error_set(err, ERROR_INVALID, "cut short");
    memcpy(&header, bytes, sizeof header);
    if (memcmp(header.magic, "WMO1", 4) != 0 || header.scope != expected->scope ||
        header.month != expected->month || header.key_id != key_id_of(folder, header.month))
        return error_set(err, ERROR_INVALID, "not this month of this model under this key");
    if (header.crc != crc32c(0, bytes + checked, count - checked))
        return error_set(err, ERROR_INVALID, "damaged");
    int result = read_sketches(&header, bytes, count, &month, err);
    if (result != 0) {
        usage_month_release(&month);
        return result;
    }
    memcpy(month.requests, header.requests, sizeof month.requests);
    month.amended = header.amended;
    month.upto = header.upto;
    *ret = month;
    return 0;
}

int usage_month_load(const struct usage_folder *folder, uint64_t scope, uint32_t number,
                     struct usage_month *ret, struct error *err)
{
    const struct month_header expected = {.scope = scope, .month = number};
    char name[NAME_BYTES], path[USAGE_PATH_BYTES_MAX], *bytes;
    struct error why;
    size_t count;
    name_of(scope, number, name);
    *ret = (struct usage_month){0};
    int result = usage_days_read(folder, name, FILE_BYTES_MAX, &bytes, &count, &why);
    if (result == ERROR_NOT_FOUND)
        return 0;
    if (result == 0) {
        result = parse(folder, &expected, bytes, count, ret, &why);
        free(bytes);
    }
    if (result == ERROR_INVALID) {
        usage_note(folder->notes, "%s: %s; moved aside, the month's users are lost", name,
                   why.text);
        (void)snprintf(path, sizeof path, "%s/%s", folder->path, name);
        result = usage_days_move_aside(path, "damaged", &why);
    }
    return result == 0 ? 0 : error_set(err, result, "%s", why.text);
}

/* -- Writing -- */

static int save(const struct usage_folder *folder, uint64_t scope, uint32_t number,
                const struct usage_month *month, struct error *err)
{
    char name[NAME_BYTES];
    struct text out;
    struct month_header header = {.magic = {'W', 'M', 'O', '1'},
                                  .key_id = key_id_of(folder, number),
                                  .scope = scope,
                                  .month = number,
                                  .upto = month->upto,
                                  .amended = month->amended};
    memcpy(header.requests, month->requests, sizeof header.requests);
    text_init(&out);
    text_append(&out, &header, sizeof header);
    for (uint32_t i = 0; i < USAGE_MONTH_SKETCHES; i++) {
        size_t before = out.count;
        if (month->sketches[i] != NULL)
            sketch_write(month->sketches[i], &out);
        header.bytes[i] = (uint32_t)(out.count - before);
    }
    int result = 0;
    if (out.failed) {
        result = error_no_memory(err);
    } else {
        size_t checked = offsetof(struct month_header, key_id);
        memcpy(out.bytes, &header, sizeof header);
        header.crc = crc32c(0, out.bytes + checked, out.count - checked);
        memcpy(out.bytes, &header, sizeof header);
        name_of(scope, number, name);
        result = usage_days_write(folder, name, out.bytes, out.count, err);
    }
    text_destroy(&out);
    return result;
}

static int join(struct sketch **into, const struct sketch *from, struct error *err)
{
    if (*into == NULL)
        *into = sketch_new(SKETCH_P);
    return *into == NULL ? error_no_memory(err) : sketch_join(*into, from, err);
}

/* -- Folding -- */

/* One day of one scope, read from its counters. */
struct old_day {
    uint64_t scope;
    uint32_t day;
    struct sketch *classes[USAGE_KEYED_COUNT];
    struct usage_total total;
};

static int read_old_day(const struct usage *usage, struct old_day *old, struct error *err)
{
    int result = 0;
    for (uint8_t c = 0; c < USAGE_KEYED_COUNT && result == 0; c++) {
        struct counter *counter = NULL;
        const struct usage_name name = {.scope = old->scope, .day = old->day, .class = c};
        if (!usage_name_holds(&name))
            continue;
        result = usage_days_open(&usage->folder, &name, false, &counter, err);
        if (result == 0 && counter != NULL)
            result = counter_sketch(counter, &old->classes[c], err);
        counter_close(counter);
    }
    return result;
}

static int fold_into(const struct usage *usage, const struct old_day *old, uint32_t number,
                     struct error *err)
{
    struct usage_month month;
    bool is_edge = number != calendar_month(old->day);
    int result = usage_month_load(&usage->folder, old->scope, number, &month, err);
    for (uint32_t c = 0; c < USAGE_CLASS_COUNT && result == 0; c++) {
        const struct sketch *sketch =
            old->classes[usage_keyed_class((enum usage_class)c, year_of(number))];
        if (sketch == NULL || (is_edge && c == USAGE_WEAK))
            continue;
        result = join(&month.sketches[is_edge ? USAGE_EDGE : c], sketch, err);
    }
    /* Twice, when an end came between this and the removal of the day, must be once. */
    if (result == 0 && !is_edge && old->day >= month.upto) {
        for (uint32_t c = 0; c < IDENTITY_CLASS_COUNT; c++)
            month.requests[c] += old->total.requests[c];
        month.amended += old->total.amended;
        month.upto = old->day + 1;
    }
    if (result == 0)
        result = save(&usage->folder, old->scope, number, &month, err);
    usage_month_release(&month);
    return result;
}

static int remove_old_day(const struct usage *usage, const struct old_day *old, struct error *err)
{
    int result = 0;
    for (uint8_t c = 0; c < USAGE_KEYED_COUNT && result == 0; c++) {
        const struct usage_name name = {.scope = old->scope, .day = old->day, .class = c};
        if (usage_name_holds(&name))
            result = usage_days_remove(&usage->folder, &name, err);
    }
    return result;
}

static int fold_old_day(struct usage *usage, struct old_day *old, struct error *err)
{
    uint32_t month = calendar_month(old->day);
    int result = read_old_day(usage, old, err);
    if (result == 0)
        result = fold_into(usage, old, month, err);
    if (result == 0 && old->day == calendar_first_day(month) && old->day > 0)
        result = fold_into(usage, old, month - 1, err);
    if (result == 0 && old->day == calendar_last_day(month))
        result = fold_into(usage, old, month + 1, err);
    if (result == 0)
        result = remove_old_day(usage, old, err);
    for (uint32_t c = 0; c < USAGE_KEYED_COUNT; c++)
        sketch_free(old->classes[c]);
    return result;
}

static int by_day(const void *a, const void *b)
{
    const struct usage_name *left = a, *right = b;
    if (left->day != right->day)
        return left->day < right->day ? -1 : 1;
    return left->scope < right->scope ? -1 : left->scope > right->scope;
}

/* Once a day: which counters are too old. */
static int list_old(struct usage *usage, struct error *err)
{
    uint32_t kept = 0, today = usage->today;
    free(usage->old);
    usage->old = NULL;
    usage->old_count = usage->old_done = 0;
    int result = usage_days_list(&usage->folder, &usage->old, &usage->old_count, err);
    if (result != 0)
        return result;
    for (uint32_t i = 0; i < usage->old_count; i++)
        if (usage->old[i].day + usage->keep_days <= today)
            usage->old[kept++] = usage->old[i];
    usage->old_count = kept;
    if (kept > 1)
        qsort(usage->old, kept, sizeof usage->old[0], by_day);
    return 0;
}

static bool is_open(struct usage_scope *scope, uint32_t day)
{
    bool open = usage_live_day(scope, day) != NULL;
    for (const struct usage_day *at = scope->retired; at != NULL; at = at->next)
        open = open || at->day == day;
    return open;
}

/* Under the windows' lock: nobody asks meanwhile, who would find the day in both or in neither. */
static int fold_next(struct usage *usage, struct error *err)
{
    const struct usage_name *next = &usage->old[usage->old_done];
    struct old_day old = {.scope = next->scope, .day = next->day};
    struct usage_scope *scope = usage_scope_find(usage, next->scope);
    if (scope != NULL)
        (void)pthread_mutex_lock(&scope->lock);
    if (scope != NULL && is_open(scope, old.day)) {
        (void)pthread_mutex_unlock(&scope->lock);
        return 0; /* it is about to be closed */
    }
    const struct usage_total *total = scope == NULL ? NULL : usage_total_find(scope, old.day);
    if (total != NULL)
        old.total = *total;
    int result = fold_old_day(usage, &old, err);
    if (scope != NULL) {
        if (result == 0)
            usage_totals_forget(scope, old.day + 1);
        atomic_fetch_add(&scope->epoch, 1);
        (void)pthread_mutex_unlock(&scope->lock);
    }
    while (result == 0 && usage->old_done < usage->old_count &&
           usage->old[usage->old_done].scope == old.scope &&
           usage->old[usage->old_done].day == old.day)
        usage->old_done++;
    return result;
}

void usage_month_fold(struct usage *usage)
{
    struct error err;
    int result = 0;
    uint32_t today = usage->today;
    if (usage->old_day != today) {
        usage->old_day = today;
        result = list_old(usage, &err);
        if (result == 0)
            usage_totals_remove(usage,
                                today > usage->keep_days + 7 ? today - usage->keep_days - 7 : 0);
    }
    if (result == 0 && usage->old_done < usage->old_count) {
        (void)pthread_mutex_lock(&usage->windows_lock);
        result = fold_next(usage, &err);
        (void)pthread_mutex_unlock(&usage->windows_lock);
    }
    if (result == 0)
        return;
    usage_note(&usage->notes, "putting old days into months: %s; tried again tomorrow", err.text);
    usage->old_done = usage->old_count;
}
