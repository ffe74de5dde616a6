/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/tokens_store.h"

#include "policy/users/calendar.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define APPLICATION_ID 0x57544f4b /* "WTOK" */
#define FORMAT         1
#define BUSY_WAIT_MS   2000 /* a report may read at the same time */

#define COLUMNS                                                                                    \
    "tenant TEXT NOT NULL, model TEXT NOT NULL, requests INTEGER NOT NULL,"                        \
    " prompt INTEGER NOT NULL, cached INTEGER NOT NULL, generated INTEGER NOT NULL,"
static const char schema[] = "CREATE TABLE token_day (day INTEGER NOT NULL, " COLUMNS
                             " PRIMARY KEY (day, tenant, model)) STRICT, WITHOUT ROWID;"
                             "CREATE TABLE token_month (month INTEGER NOT NULL, " COLUMNS
                             " PRIMARY KEY (month, tenant, model)) STRICT, WITHOUT ROWID;";

#define SUM_UP                                                                                     \
    " ON CONFLICT DO UPDATE SET requests = requests + excluded.requests,"                          \
    " prompt = prompt + excluded.prompt, cached = cached + excluded.cached,"                       \
    " generated = generated + excluded.generated"
enum query { QUERY_ADD, QUERY_OLDEST, QUERY_MOVE, QUERY_DROP_DAY, QUERY_DROP_MONTHS, QUERY_READ };
#define QUERIES (QUERY_READ + 1)
static const char *const queries[QUERIES] = {
    [QUERY_ADD] = "INSERT INTO token_day VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)" SUM_UP,
    [QUERY_OLDEST] = "SELECT min(day) FROM token_day",
    [QUERY_MOVE] = "INSERT INTO token_month SELECT ?2, tenant, model, requests, prompt, cached,"
                   " generated FROM token_day WHERE day = ?1" SUM_UP,
    [QUERY_DROP_DAY] = "DELETE FROM token_day WHERE day = ?1",
    [QUERY_DROP_MONTHS] = "DELETE FROM token_month WHERE month < ?1",
    [QUERY_READ] = "SELECT tenant, model, sum(requests), sum(prompt), sum(cached), sum(generated)"
                   " FROM (SELECT * FROM token_month WHERE month = ?1 UNION ALL"
                   " SELECT * FROM token_day WHERE day BETWEEN ?2 AND ?3)"
                   " GROUP BY tenant, model ORDER BY tenant, model",
};

struct tokens_store {
    sqlite3 *connection;
    sqlite3_stmt *statements[QUERIES];
};

/* -- SQLite -- */

static int fault(const struct tokens_store *store, struct error *err)
{
    int code = sqlite3_errcode(store->connection) & 0xff;
    const char *message = sqlite3_errmsg(store->connection);
    switch (code) {
    case SQLITE_NOMEM:
        return error_no_memory(err);
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
    case SQLITE_SCHEMA:
        return error_set(err, ERROR_INVALID, TOKENS_FILE ": %s; restore it, or move it away",
                         message);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return error_set(err, ERROR_BUSY, TOKENS_FILE ": another process holds it; try again");
    default:
        return error_set(err, ERROR_IO, TOKENS_FILE ": %s", message);
    }
}

static int execute(const struct tokens_store *store, const char *sql, struct error *err)
{
    return sqlite3_exec(store->connection, sql, NULL, NULL, NULL) == SQLITE_OK ? 0
                                                                               : fault(store, err);
}

static int prepare(const struct tokens_store *store, const char *sql, sqlite3_stmt **ret,
                   struct error *err)
{
    return sqlite3_prepare_v3(store->connection, sql, -1, SQLITE_PREPARE_PERSISTENT, ret, NULL) ==
                   SQLITE_OK
               ? 0
               : fault(store, err);
}

static void finish(sqlite3_stmt *statement)
{
    (void)sqlite3_reset(statement);
    (void)sqlite3_clear_bindings(statement);
}

/* Binds numbers from the first place on, and does it. */
static int change(struct tokens_store *store, enum query query, const int64_t *numbers, int count,
                  struct error *err)
{
    sqlite3_stmt *statement = store->statements[query];
    bool bound = true;
    for (int i = 0; i < count; i++)
        bound = bound && sqlite3_bind_int64(statement, i + 1, numbers[i]) == SQLITE_OK;
    int result = bound && sqlite3_step(statement) == SQLITE_DONE ? 0 : fault(store, err);
    finish(statement);
    return result;
}

/* -- Opening -- */

static int read_number(const struct tokens_store *store, const char *sql, int64_t *ret,
                       struct error *err)
{
    sqlite3_stmt *statement = NULL;
    int result = prepare(store, sql, &statement, err);
    if (result == 0 && sqlite3_step(statement) == SQLITE_ROW)
        *ret = sqlite3_column_int64(statement, 0);
    else if (result == 0)
        result = fault(store, err);
    (void)sqlite3_finalize(statement);
    return result;
}

/* A file without tables is one that was just made. */
static int settle_format(struct tokens_store *store, struct error *err)
{
    int64_t application = 0, format = 0, tables = 0;
    char sql[96];
    int result = execute(store, "BEGIN IMMEDIATE", err);
    if (result == 0)
        result = read_number(store, "PRAGMA application_id", &application, err);
    if (result == 0)
        result = read_number(store, "PRAGMA user_version", &format, err);
    if (result == 0)
        result = read_number(store, "SELECT count(*) FROM sqlite_schema", &tables, err);
    if (result == 0 && tables == 0 && application == 0) {
        (void)snprintf(sql, sizeof sql, "PRAGMA application_id = %d; PRAGMA user_version = %d",
                       APPLICATION_ID, FORMAT);
        result = execute(store, schema, err);
        if (result == 0)
            result = execute(store, sql, err);
    } else if (result == 0 && (application != APPLICATION_ID || format != FORMAT)) {
        result = error_set(err, ERROR_INVALID,
                           TOKENS_FILE ": not of this weir (format %lld); use the one that wrote "
                                       "it, or move the file away",
                           (long long)format);
    }
    return result == 0 ? execute(store, "COMMIT", err) : result;
}

static int open_connection(struct tokens_store *store, const char *path, bool make,
                           struct error *err)
{
    /* SQLite would make it readable for all, and its log like it. */
    int fd = open(path, O_RDWR | O_CLOEXEC | (make ? O_CREAT : 0), 0600);
    if (fd < 0)
        return error_set_errno(err, errno, TOKENS_FILE);
    close(fd);
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX;
    if (sqlite3_open_v2(path, &store->connection, flags, NULL) != SQLITE_OK)
        return store->connection == NULL ? error_no_memory(err) : fault(store, err);
    (void)sqlite3_busy_timeout(store->connection, BUSY_WAIT_MS);
    (void)sqlite3_db_config(store->connection, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    int result = execute(store,
                         "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;"
                         "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL",
                         err);
    if (result == 0)
        result = settle_format(store, err);
    for (uint32_t i = 0; i < QUERIES && result == 0; i++)
        result = prepare(store, queries[i], &store->statements[i], err);
    return result;
}

struct tokens_store *tokens_store_open(const char *folder, bool make, struct error *err)
{
    char path[PATH_MAX];
    struct tokens_store *store = calloc(1, sizeof *store);
    if (store == NULL) {
        (void)error_no_memory(err);
        return NULL;
    }
    int count = snprintf(path, sizeof path, "%s/" TOKENS_FILE, folder);
    int result = count < 0 || (size_t)count >= sizeof path
                     ? error_set(err, ERROR_INVALID, "%.200s: the path is too long", folder)
                     : open_connection(store, path, make, err);
    if (result == 0)
        return store;
    tokens_store_close(store);
    return NULL;
}

void tokens_store_close(struct tokens_store *store)
{
    if (store == NULL)
        return;
    for (uint32_t i = 0; i < QUERIES; i++)
        (void)sqlite3_finalize(store->statements[i]);
    (void)sqlite3_close(store->connection);
    free(store);
}

/* -- Writing -- */

int tokens_store_begin(struct tokens_store *store, struct error *err)
{
    assert(sqlite3_get_autocommit(store->connection));
    return execute(store, "BEGIN IMMEDIATE", err);
}

int tokens_store_commit(struct tokens_store *store, struct error *err)
{
    int result = execute(store, "COMMIT", err);
    if (result != 0)
        tokens_store_rollback(store);
    return result;
}

void tokens_store_rollback(struct tokens_store *store)
{
    if (!sqlite3_get_autocommit(store->connection)) /* some failures have undone it already */
        (void)sqlite3_exec(store->connection, "ROLLBACK", NULL, NULL, NULL);
}

int tokens_store_add(struct tokens_store *store, uint32_t day, const struct token_row *row,
                     struct error *err)
{
    sqlite3_stmt *statement = store->statements[QUERY_ADD];
    const uint64_t counts[] = {row->counts.requests, row->counts.prompt, row->counts.cached,
                               row->counts.generated};
    bool bound = sqlite3_bind_int64(statement, 1, day) == SQLITE_OK &&
                 sqlite3_bind_text(statement, 2, row->tenant, -1, SQLITE_STATIC) == SQLITE_OK &&
                 sqlite3_bind_text(statement, 3, row->model, -1, SQLITE_STATIC) == SQLITE_OK;
    for (int i = 0; i < 4; i++)
        bound = bound && sqlite3_bind_int64(statement, 4 + i, (int64_t)counts[i]) == SQLITE_OK;
    int result = bound && sqlite3_step(statement) == SQLITE_DONE ? 0 : fault(store, err);
    finish(statement);
    return result;
}

/* 0 for none. */
static int oldest_day(struct tokens_store *store, uint32_t *ret, struct error *err)
{
    sqlite3_stmt *statement = store->statements[QUERY_OLDEST];
    int result = sqlite3_step(statement) == SQLITE_ROW ? 0 : fault(store, err);
    int64_t day = result == 0 ? sqlite3_column_int64(statement, 0) : 0;
    finish(statement);
    if (result == 0)
        *ret = day < 0 || day > CALENDAR_DAY_MAX ? 0 : (uint32_t)day;
    return result;
}

static int move_day(struct tokens_store *store, uint32_t day, struct error *err)
{
    const int64_t move[] = {day, calendar_month(day)};
    int result = tokens_store_begin(store, err);
    if (result != 0)
        return result;
    result = change(store, QUERY_MOVE, move, 2, err);
    if (result == 0)
        result = change(store, QUERY_DROP_DAY, move, 1, err);
    if (result == 0)
        return tokens_store_commit(store, err);
    tokens_store_rollback(store);
    return result;
}

int tokens_store_age(struct tokens_store *store, uint32_t today, uint32_t keep_days, bool *ret_more,
                     struct error *err)
{
    uint32_t day;
    int64_t month = calendar_month(today);
    int result = oldest_day(store, &day, err);
    if (result != 0)
        return result;
    bool old = day != 0 && day + keep_days <= today;
    month -= TOKENS_KEEP_MONTHS;
    result = old ? move_day(store, day, err) : change(store, QUERY_DROP_MONTHS, &month, 1, err);
    if (result == 0)
        *ret_more = old;
    return result;
}

/* -- Reading -- */

static bool read_counts(sqlite3_stmt *statement, struct token_counts *ret)
{
    int64_t values[4];
    for (int i = 0; i < 4; i++) {
        values[i] = sqlite3_column_int64(statement, 2 + i);
        if (values[i] < 0)
            return false;
    }
    *ret = (struct token_counts){.requests = (uint64_t)values[0],
                                 .prompt = (uint64_t)values[1],
                                 .cached = (uint64_t)values[2],
                                 .generated = (uint64_t)values[3]};
    return true;
}

int tokens_store_read(struct tokens_store *store, uint32_t month,
                      bool (*on_row)(void *argument, const struct token_row *row), void *argument,
                      struct error *err)
{
    sqlite3_stmt *statement = store->statements[QUERY_READ];
    const int64_t numbers[] = {month, calendar_first_day(month), calendar_last_day(month)};
    int step = SQLITE_DONE, result = 0;
    for (int i = 0; i < 3; i++)
        if (sqlite3_bind_int64(statement, i + 1, numbers[i]) != SQLITE_OK)
            result = fault(store, err);
    for (uint32_t i = 0; result == 0 && (step = sqlite3_step(statement)) == SQLITE_ROW; i++) {
        struct token_row row = {.tenant = (const char *)sqlite3_column_text(statement, 0),
                                .model = (const char *)sqlite3_column_text(statement, 1)};
        if (row.tenant == NULL || row.model == NULL)
            result = error_no_memory(err);
        else if (i == TOKENS_ROWS_MAX)
            result = error_set(err, ERROR_BUSY, TOKENS_FILE ": more than %u rows of one month",
                               TOKENS_ROWS_MAX);
        else if (!read_counts(statement, &row.counts))
            result = error_set(err, ERROR_INVALID,
                               TOKENS_FILE ": a count below zero; restore it, or move it away");
        else if (!on_row(argument, &row))
            break;
    }
    if (result == 0 && step != SQLITE_DONE && step != SQLITE_ROW)
        result = fault(store, err);
    finish(statement);
    return result;
}
