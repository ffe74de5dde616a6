/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/alerts/point_store.h"

#include "policy/alerts/outbox_inner.h"
#include "policy/users/calendar.h"

#include <stdlib.h>
#include <string.h>

static const char schema[] = "CREATE TABLE IF NOT EXISTS daily_point ("
                             " scope TEXT NOT NULL,"
                             " day INTEGER NOT NULL," /* since 1970 */
                             " rolling_30 REAL NOT NULL,"
                             " monthly_high REAL NOT NULL,"
                             " daily REAL NOT NULL,"
                             " daily_high REAL NOT NULL,"
                             " PRIMARY KEY (scope, day)) STRICT, WITHOUT ROWID";

static const char read_sql[] = "SELECT day, rolling_30, monthly_high, daily, daily_high"
                               " FROM daily_point WHERE scope = ?1 AND day <= ?2"
                               " ORDER BY day DESC";

enum query { QUERY_PUT, QUERY_FORGET, QUERY_READ, QUERY_AFTER, QUERY_NEWEST, QUERIES };
static const char *const queries[QUERIES] = {
    [QUERY_PUT] = "INSERT OR REPLACE INTO daily_point VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    [QUERY_FORGET] = "DELETE FROM daily_point WHERE day <= ?2",
    [QUERY_READ] = read_sql,
    [QUERY_AFTER] = "SELECT ifnull(min(day), 0) FROM daily_point WHERE scope = ?1 AND day > ?2",
    [QUERY_NEWEST] = "SELECT ifnull(max(day), 0) FROM daily_point WHERE scope = ?1 AND day > ?2",
};

struct point_store {
    struct outbox *outbox; /* borrowed: the caller */
    sqlite3_stmt *statements[QUERIES];
};

struct point_store *point_store_new(struct outbox *outbox, struct error *err)
{
    struct point_store *store = calloc(1, sizeof *store);
    if (store == NULL) {
        error_no_memory(err);
        return NULL;
    }
    store->outbox = outbox;
    int result = outbox_execute(outbox, schema, err);
    for (uint32_t i = 0; i < QUERIES && result == 0; i++)
        result = outbox_prepare(outbox, queries[i], &store->statements[i], err);
    if (result == 0)
        return store;
    point_store_free(store);
    return NULL;
}

void point_store_free(struct point_store *store)
{
    if (store == NULL)
        return;
    for (uint32_t i = 0; i < QUERIES; i++)
        (void)sqlite3_finalize(store->statements[i]);
    free(store);
}

static int bind(struct point_store *store, sqlite3_stmt *statement, const char *scope, uint32_t day,
                struct error *err)
{
    if (sqlite3_bind_text(statement, 1, scope, -1, SQLITE_STATIC) == SQLITE_OK &&
        sqlite3_bind_int64(statement, 2, day) == SQLITE_OK)
        return 0;
    return outbox_fault(store->outbox, err);
}

static void finish(sqlite3_stmt *statement)
{
    (void)sqlite3_reset(statement);
    (void)sqlite3_clear_bindings(statement);
}

int point_store_put(struct point_store *store, const char *scope, const struct point *point,
                    struct error *err)
{
    sqlite3_stmt *put = store->statements[QUERY_PUT], *forget = store->statements[QUERY_FORGET];
    const double values[] = {point->rolling_30, point->monthly_high, point->daily,
                             point->daily_high};
    int result = bind(store, put, scope, point->day, err);
    for (int i = 0; i < 4 && result == 0; i++)
        if (sqlite3_bind_double(put, 3 + i, values[i]) != SQLITE_OK)
            result = outbox_fault(store->outbox, err);
    if (result == 0)
        result = outbox_step(store->outbox, put, err);
    if (result == 0 && point->day > POINTS_DAYS_MAX) {
        result = bind(store, forget, scope, point->day - POINTS_DAYS_MAX, err);
        if (result == 0)
            result = outbox_step(store->outbox, forget, err);
    }
    finish(put);
    finish(forget);
    return result;
}

static void turn_around(struct point *points, uint32_t count)
{
    for (uint32_t i = 0; i < count / 2; i++) {
        struct point kept = points[i];
        points[i] = points[count - 1 - i];
        points[count - 1 - i] = kept;
    }
}

int point_store_read(struct point_store *store, const char *scope, uint32_t upto, struct point *ret,
                     uint32_t *ret_count, struct error *err)
{
    sqlite3_stmt *statement = store->statements[QUERY_READ];
    uint32_t count = 0;
    int step = SQLITE_DONE, result = bind(store, statement, scope, upto, err);
    while (result == 0 && count < POINTS_DAYS_MAX &&
           (step = sqlite3_step(statement)) == SQLITE_ROW) {
        int64_t day = sqlite3_column_int64(statement, 0);
        if (day != (int64_t)upto - count) {
            step = SQLITE_DONE; /* a gap: what is before it is another series */
            break;
        }
        ret[count++] = (struct point){.day = (uint32_t)day,
                                      .rolling_30 = sqlite3_column_double(statement, 1),
                                      .monthly_high = sqlite3_column_double(statement, 2),
                                      .daily = sqlite3_column_double(statement, 3),
                                      .daily_high = sqlite3_column_double(statement, 4)};
    }
    if (result == 0 && step != SQLITE_DONE && step != SQLITE_ROW)
        result = outbox_fault(store->outbox, err);
    finish(statement);
    if (result != 0)
        return result;
    turn_around(ret, count);
    *ret_count = count;
    return 0;
}

static int read_day(struct point_store *store, enum query query, const char *scope, uint32_t after,
                    uint32_t *ret, struct error *err)
{
    sqlite3_stmt *statement = store->statements[query];
    int result = bind(store, statement, scope, after, err);
    if (result == 0 && sqlite3_step(statement) != SQLITE_ROW)
        result = outbox_fault(store->outbox, err);
    if (result == 0) {
        int64_t day = sqlite3_column_int64(statement, 0);
        *ret = day < 0 ? 0 : day > CALENDAR_DAY_MAX ? CALENDAR_DAY_MAX : (uint32_t)day;
    }
    finish(statement);
    return result;
}

int point_store_after(struct point_store *store, const char *scope, uint32_t after, uint32_t *ret,
                      struct error *err)
{
    return read_day(store, QUERY_AFTER, scope, after, ret, err);
}

int point_store_newest(struct point_store *store, const char *scope, uint32_t *ret,
                       struct error *err)
{
    return read_day(store, QUERY_NEWEST, scope, 0, ret, err);
}
