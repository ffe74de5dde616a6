/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/alerts/outbox_inner.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define APPLICATION_ID 0x57414c54 /* "WALT": in the file's header, so that another's is not taken */
#define FORMAT         1
#define BUSY_WAIT_MS   5000

static const char schema[] =
    "CREATE TABLE outbox ("
    " row INTEGER PRIMARY KEY,"
    " id TEXT NOT NULL,"
    " target TEXT NOT NULL,"
    " body TEXT NOT NULL,"
    " state TEXT NOT NULL DEFAULT 'pending'"
    "  CHECK (state IN ('pending', 'delivered', 'dead')),"
    " attempts INTEGER NOT NULL DEFAULT 0,"
    " created_ms INTEGER NOT NULL,"
    " next_ms INTEGER NOT NULL," /* pending: of the next attempt; else when that ended */
    " why TEXT NOT NULL DEFAULT '',"
    " UNIQUE (id, target)) STRICT;"
    "CREATE INDEX outbox_by_time ON outbox (state, next_ms);";

enum query {
    QUERY_PUT,
    QUERY_PENDING,
    QUERY_DUE,
    QUERY_NEXT,
    QUERY_DELIVERED,
    QUERY_FAILED,
    QUERY_DEAD,
    QUERY_COUNT,
    QUERY_READ_DEAD,
    QUERY_FORGET,
    QUERIES
};

static const char *const queries[QUERIES] = {
    [QUERY_PUT] = "INSERT INTO outbox (id, target, body, created_ms, next_ms)"
                  " VALUES (?1, ?2, ?3, ?4, ?4) ON CONFLICT (id, target) DO NOTHING",
    [QUERY_PENDING] = "SELECT count(*) FROM outbox WHERE state = 'pending'",
    [QUERY_DUE] = "SELECT row, id, target, body, attempts, created_ms, next_ms, why FROM outbox"
                  " WHERE state = 'pending' AND next_ms <= ?1 ORDER BY next_ms, row",
    [QUERY_NEXT] = "SELECT min(next_ms) FROM outbox WHERE state = 'pending'",
    [QUERY_DELIVERED] = "UPDATE outbox SET state = 'delivered', next_ms = ?2, why = ''"
                        " WHERE row = ?1 AND state = 'pending'",
    [QUERY_FAILED] = "UPDATE outbox SET attempts = attempts + 1, next_ms = ?2, why = ?3"
                     " WHERE row = ?1 AND state = 'pending'",
    [QUERY_DEAD] = "UPDATE outbox SET attempts = attempts + 1, state = 'dead', next_ms = ?2,"
                   " why = ?3 WHERE row = ?1 AND state = 'pending'",
    [QUERY_COUNT] = "SELECT state, count(*) FROM outbox GROUP BY state",
    [QUERY_READ_DEAD] = "SELECT row, id, target, body, attempts, created_ms, next_ms, why"
                        " FROM outbox WHERE state = 'dead' ORDER BY row",
    [QUERY_FORGET] = "DELETE FROM outbox WHERE state <> 'pending' AND next_ms < ?1",
};

struct outbox {
    sqlite3 *connection;
    sqlite3_stmt *statements[QUERIES];
};

/* -- SQLite -- */

sqlite3 *outbox_connection(struct outbox *outbox)
{
    return outbox->connection;
}

int outbox_fault(struct outbox *outbox, struct error *err)
{
    int code = sqlite3_errcode(outbox->connection) & 0xff;
    const char *message = sqlite3_errmsg(outbox->connection);
    if (code == SQLITE_NOMEM)
        return error_no_memory(err);
    if (code == SQLITE_NOTADB || code == SQLITE_CORRUPT)
        return error_set(err, ERROR_INVALID,
                         "%s; restore it, or move it away: alerts that fired are then sent anew",
                         message);
    return error_set(err, ERROR_IO, "%s", message);
}

int outbox_execute(struct outbox *outbox, const char *sql, struct error *err)
{
    return sqlite3_exec(outbox->connection, sql, NULL, NULL, NULL) == SQLITE_OK
               ? 0
               : outbox_fault(outbox, err);
}

int outbox_prepare(struct outbox *outbox, const char *sql, sqlite3_stmt **ret, struct error *err)
{
    return sqlite3_prepare_v3(outbox->connection, sql, -1, SQLITE_PREPARE_PERSISTENT, ret, NULL) ==
                   SQLITE_OK
               ? 0
               : outbox_fault(outbox, err);
}

static void finish(sqlite3_stmt *statement)
{
    (void)sqlite3_reset(statement);
    (void)sqlite3_clear_bindings(statement);
}

int outbox_step(struct outbox *outbox, sqlite3_stmt *statement, struct error *err)
{
    int result = sqlite3_step(statement) == SQLITE_DONE ? 0 : outbox_fault(outbox, err);
    finish(statement);
    return result;
}

/* -- Opening -- */

static int read_pragma(struct outbox *outbox, const char *sql, int *ret, struct error *err)
{
    sqlite3_stmt *statement = NULL;
    int result = outbox_prepare(outbox, sql, &statement, err);
    if (result == 0 && sqlite3_step(statement) == SQLITE_ROW)
        *ret = sqlite3_column_int(statement, 0);
    else if (result == 0)
        result = outbox_fault(outbox, err);
    (void)sqlite3_finalize(statement);
    return result;
}

/* A file without tables is one that was just made. */
static int settle_format(struct outbox *outbox, struct error *err)
{
    int application = 0, format = 0, tables = 0;
    char sql[64];
    int result = outbox_execute(outbox, "BEGIN IMMEDIATE", err);
    if (result == 0)
        result = read_pragma(outbox, "PRAGMA application_id", &application, err);
    if (result == 0)
        result = read_pragma(outbox, "PRAGMA user_version", &format, err);
    if (result == 0)
        result = read_pragma(outbox, "SELECT count(*) FROM sqlite_schema", &tables, err);
    if (result == 0 && tables == 0 && application == 0) {
        (void)snprintf(sql, sizeof sql, "PRAGMA application_id = %d; PRAGMA user_version = %d",
                       APPLICATION_ID, FORMAT);
        result = outbox_execute(outbox, schema, err);
        if (result == 0)
            result = outbox_execute(outbox, sql, err);
    } else if (result == 0 && application != APPLICATION_ID) {
        result = error_set(err, ERROR_INVALID, "not an outbox; move it away");
    } else if (result == 0 && format != FORMAT) {
        result = error_set(err, ERROR_INVALID,
                           "format %d; this weir knows %d: use the one that "
                           "wrote it, or move the file away",
                           format, FORMAT);
    }
    if (result == 0)
        result = outbox_execute(outbox, "COMMIT", err);
    return result;
}

static int open_connection(struct outbox *outbox, const char *path, struct error *err)
{
    /* SQLite would make it readable for all, and its log like it. */
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set_errno(err, errno, "cannot be opened");
    close(fd);
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX;
    if (sqlite3_open_v2(path, &outbox->connection, flags, NULL) != SQLITE_OK)
        return outbox->connection == NULL ? error_no_memory(err) : outbox_fault(outbox, err);
    (void)sqlite3_busy_timeout(outbox->connection, BUSY_WAIT_MS);
    int result = outbox_execute(outbox,
                                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                                "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON",
                                err);
    if (result == 0)
        result = settle_format(outbox, err);
    for (uint32_t i = 0; i < QUERIES && result == 0; i++)
        result = outbox_prepare(outbox, queries[i], &outbox->statements[i], err);
    return result;
}

struct outbox *outbox_open(const char *folder, struct error *err)
{
    char path[PATH_MAX];
    struct error local = {0};
    struct error *inner = err != NULL ? err : &local;
    struct outbox *outbox = calloc(1, sizeof *outbox);
    if (outbox == NULL) {
        error_no_memory(inner);
        return NULL;
    }
    int count = snprintf(path, sizeof path, "%s/outbox.db", folder);
    int result = count < 0 || (size_t)count >= sizeof path
                     ? error_set(inner, ERROR_INVALID, "the path is too long")
                     : open_connection(outbox, path, inner);
    if (result == 0)
        return outbox;
    (void)error_wrap(inner, "%.512s/outbox.db", folder);
    outbox_close(outbox);
    return NULL;
}

void outbox_close(struct outbox *outbox)
{
    if (outbox == NULL)
        return;
    for (uint32_t i = 0; i < QUERIES; i++)
        (void)sqlite3_finalize(outbox->statements[i]);
    (void)sqlite3_close(outbox->connection); /* open transactions are rolled back */
    free(outbox);
}

/* -- Putting -- */

/* What may be signed as "id.time.body" and sent as a header. */
static bool name_is_sound(const char *name)
{
    size_t count = strlen(name);
    for (size_t i = 0; i < count; i++)
        if (name[i] <= ' ' || name[i] > '~' || name[i] == '.')
            return false;
    return count > 0 && count <= OUTBOX_ID_MAX;
}

static int check_room(struct outbox *outbox, struct error *err)
{
    sqlite3_stmt *statement = outbox->statements[QUERY_PENDING];
    int result = 0;
    if (sqlite3_step(statement) != SQLITE_ROW)
        result = outbox_fault(outbox, err);
    else if (sqlite3_column_int64(statement, 0) >= OUTBOX_PENDING_MAX)
        result = error_set(err, ERROR_BUSY, "outbox: %u messages are pending already",
                           OUTBOX_PENDING_MAX);
    finish(statement);
    return result;
}

int outbox_put(struct outbox *outbox, const struct outbox_message *message, int64_t now_ms,
               struct error *err)
{
    if (!name_is_sound(message->id) || !name_is_sound(message->target))
        return error_set(err, ERROR_INVALID,
                         "outbox: ids and targets have 1 to %u printable characters, no dots",
                         OUTBOX_ID_MAX);
    size_t count = strlen(message->body);
    if (count > OUTBOX_BODY_MAX)
        return error_set(err, ERROR_INVALID, "outbox: a body of %zu bytes, at most %u", count,
                         OUTBOX_BODY_MAX);
    int result = check_room(outbox, err);
    if (result != 0)
        return result;
    sqlite3_stmt *statement = outbox->statements[QUERY_PUT];
    if (sqlite3_bind_text(statement, 1, message->id, -1, SQLITE_STATIC) != SQLITE_OK ||
        sqlite3_bind_text(statement, 2, message->target, -1, SQLITE_STATIC) != SQLITE_OK ||
        sqlite3_bind_text(statement, 3, message->body, (int)count, SQLITE_STATIC) != SQLITE_OK ||
        sqlite3_bind_int64(statement, 4, now_ms) != SQLITE_OK) {
        result = outbox_fault(outbox, err);
        finish(statement);
        return result;
    }
    return outbox_step(outbox, statement, err);
}

/* -- Taking -- */

void outbox_row_destroy(struct outbox_row *row)
{
    free(row->body);
    row->body = NULL;
}

/* A file is as hostile as the network: what we would not have put is not taken. */
static int copy_name(sqlite3_stmt *statement, int column, char ret[OUTBOX_ID_MAX + 1],
                     struct error *err)
{
    const char *name = (const char *)sqlite3_column_text(statement, column);
    if (name == NULL || !name_is_sound(name))
        return error_set(err, ERROR_INVALID, "outbox: row %lld has no sound name",
                         (long long)sqlite3_column_int64(statement, 0));
    memcpy(ret, name, strlen(name) + 1);
    return 0;
}

static int read_row(sqlite3_stmt *statement, struct outbox_row *ret, struct error *err)
{
    struct outbox_row row = {.row = sqlite3_column_int64(statement, 0),
                             .attempts = (uint32_t)sqlite3_column_int64(statement, 4),
                             .created_ms = sqlite3_column_int64(statement, 5),
                             .next_ms = sqlite3_column_int64(statement, 6)};
    int result = copy_name(statement, 1, row.id, err);
    if (result == 0)
        result = copy_name(statement, 2, row.target, err);
    if (result != 0)
        return result;
    const char *why = (const char *)sqlite3_column_text(statement, 7);
    (void)snprintf(row.why, sizeof row.why, "%s", why != NULL ? why : "");
    const char *body = (const char *)sqlite3_column_text(statement, 3);
    if (body == NULL || (row.body = strdup(body)) == NULL)
        return error_no_memory(err);
    *ret = row;
    return 0;
}

static bool is_busy(const struct outbox_due *due, int64_t row)
{
    for (uint32_t i = 0; i < due->busy_count; i++)
        if (due->busy[i] == row)
            return true;
    return false;
}

int outbox_due(struct outbox *outbox, const struct outbox_due *due, struct outbox_row *ret,
               struct error *err)
{
    sqlite3_stmt *statement = outbox->statements[QUERY_DUE];
    uint32_t count = 0;
    int result = 0, step = SQLITE_DONE;
    if (sqlite3_bind_int64(statement, 1, due->now_ms) != SQLITE_OK)
        result = outbox_fault(outbox, err);
    while (result == 0 && count < due->rows_max && (step = sqlite3_step(statement)) == SQLITE_ROW) {
        if (is_busy(due, sqlite3_column_int64(statement, 0)))
            continue;
        result = read_row(statement, &ret[count], err);
        count += result == 0;
    }
    if (result == 0 && step != SQLITE_DONE && step != SQLITE_ROW)
        result = outbox_fault(outbox, err);
    finish(statement);
    if (result == 0)
        return (int)count;
    while (count > 0)
        outbox_row_destroy(&ret[--count]);
    return result;
}

int outbox_next_ms(struct outbox *outbox, int64_t *ret, struct error *err)
{
    sqlite3_stmt *statement = outbox->statements[QUERY_NEXT];
    int result = 0;
    if (sqlite3_step(statement) != SQLITE_ROW)
        result = outbox_fault(outbox, err);
    else
        *ret = sqlite3_column_type(statement, 0) == SQLITE_NULL
                   ? INT64_MAX
                   : sqlite3_column_int64(statement, 0);
    finish(statement);
    return result;
}

/* -- Settling -- */

static int settle(struct outbox *outbox, enum query query, int64_t row, int64_t at_ms,
                  const char *why, struct error *err)
{
    sqlite3_stmt *statement = outbox->statements[query];
    size_t count = why == NULL ? 0 : strnlen(why, OUTBOX_ID_MAX);
    bool bound = sqlite3_bind_int64(statement, 1, row) == SQLITE_OK &&
                 sqlite3_bind_int64(statement, 2, at_ms) == SQLITE_OK;
    if (bound && why != NULL)
        bound = sqlite3_bind_text(statement, 3, why, (int)count, SQLITE_STATIC) == SQLITE_OK;
    if (bound)
        return outbox_step(outbox, statement, err);
    int result = outbox_fault(outbox, err);
    finish(statement);
    return result;
}

int outbox_delivered(struct outbox *outbox, int64_t row, int64_t now_ms, struct error *err)
{
    return settle(outbox, QUERY_DELIVERED, row, now_ms, NULL, err);
}

int outbox_failed(struct outbox *outbox, int64_t row, int64_t next_ms, const char *why,
                  struct error *err)
{
    return settle(outbox, QUERY_FAILED, row, next_ms, why, err);
}

int outbox_dead(struct outbox *outbox, int64_t row, int64_t now_ms, const char *why,
                struct error *err)
{
    return settle(outbox, QUERY_DEAD, row, now_ms, why, err);
}

int outbox_forget(struct outbox *outbox, int64_t before_ms, struct error *err)
{
    sqlite3_stmt *statement = outbox->statements[QUERY_FORGET];
    if (sqlite3_bind_int64(statement, 1, before_ms) != SQLITE_OK)
        return outbox_fault(outbox, err);
    return outbox_step(outbox, statement, err);
}

/* -- Reading -- */

int outbox_count(struct outbox *outbox, struct outbox_counts *ret, struct error *err)
{
    sqlite3_stmt *statement = outbox->statements[QUERY_COUNT];
    struct outbox_counts counts = {0};
    int step;
    while ((step = sqlite3_step(statement)) == SQLITE_ROW) {
        const char *state = (const char *)sqlite3_column_text(statement, 0);
        uint64_t count = (uint64_t)sqlite3_column_int64(statement, 1);
        if (state != NULL && strcmp(state, "pending") == 0)
            counts.pending = count;
        else if (state != NULL && strcmp(state, "delivered") == 0)
            counts.delivered = count;
        else
            counts.dead = count;
    }
    int result = step == SQLITE_DONE ? 0 : outbox_fault(outbox, err);
    finish(statement);
    if (result == 0)
        *ret = counts;
    return result;
}

int outbox_read_dead(struct outbox *outbox,
                     bool (*on_row)(void *argument, const struct outbox_row *row), void *argument,
                     struct error *err)
{
    sqlite3_stmt *statement = outbox->statements[QUERY_READ_DEAD];
    bool more = true;
    int result = 0, step = SQLITE_DONE;
    while (result == 0 && more && (step = sqlite3_step(statement)) == SQLITE_ROW) {
        struct outbox_row row;
        result = read_row(statement, &row, err);
        if (result != 0)
            break;
        more = on_row(argument, &row);
        outbox_row_destroy(&row);
    }
    if (result == 0 && more && step != SQLITE_DONE)
        result = outbox_fault(outbox, err);
    finish(statement);
    return result;
}
