/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/alerts/alert_store.h"
#include "policy/alerts/outbox_inner.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define DAY_ROW "day" /* the row of a watch that says when it was last evaluated */

static const char schema[] =
    "CREATE TABLE IF NOT EXISTS alert_watch ("
    " condition TEXT NOT NULL,"
    " scope TEXT NOT NULL,"
    " rule TEXT NOT NULL," /* alert_rule_name(), or "day" with the last one in fired_day */
    " streak INTEGER NOT NULL,"
    " firing INTEGER NOT NULL,"
    " period INTEGER NOT NULL,"
    " fired_day INTEGER NOT NULL,"
    " PRIMARY KEY (condition, scope, rule)) STRICT, WITHOUT ROWID";

static const char load_sql[] = "SELECT rule, streak, firing, period, fired_day FROM alert_watch"
                               " WHERE condition = ?1 AND scope = ?2";
static const char save_sql[] = "INSERT INTO alert_watch VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"
                               " ON CONFLICT DO UPDATE SET streak = ?4, firing = ?5, period = ?6,"
                               " fired_day = ?7";

struct alert_store {
    struct outbox *outbox; /* borrowed: the caller */
    sqlite3_stmt *load, *save;
};

struct alert_store *alert_store_new(struct outbox *outbox, struct error *err)
{
    struct alert_store *store = calloc(1, sizeof *store);
    if (store == NULL) {
        error_no_memory(err);
        return NULL;
    }
    store->outbox = outbox;
    if (outbox_execute(outbox, schema, err) != 0 ||
        outbox_prepare(outbox, load_sql, &store->load, err) != 0 ||
        outbox_prepare(outbox, save_sql, &store->save, err) != 0) {
        alert_store_free(store);
        return NULL;
    }
    return store;
}

void alert_store_free(struct alert_store *store)
{
    if (store == NULL)
        return;
    (void)sqlite3_finalize(store->load);
    (void)sqlite3_finalize(store->save);
    free(store);
}

static bool bind_name(sqlite3_stmt *statement, int at, const char *name)
{
    return sqlite3_bind_text(statement, at, name, -1, SQLITE_STATIC) == SQLITE_OK;
}

/* -- Loading -- */

/* Column `at` where it holds a number up to `most`. */
static bool read_u32(sqlite3_stmt *statement, int at, uint32_t most, uint32_t *ret)
{
    int64_t value = sqlite3_column_int64(statement, at);
    if (value < 0 || value > most)
        return false;
    *ret = (uint32_t)value;
    return true;
}

static bool read_rule(sqlite3_stmt *statement, struct alert_watch *watch)
{
    const char *name = (const char *)sqlite3_column_text(statement, 0);
    uint32_t firing = 0, rule = name == NULL ? ALERT_RULES : alert_rule_find(name);
    struct alert_rule_state state = {0};
    if (name != NULL && strcmp(name, DAY_ROW) == 0)
        return read_u32(statement, 4, UINT32_MAX, &watch->last_day);
    if (!read_u32(statement, 2, 1, &firing) ||
        !read_u32(statement, 1, firing ? ALERT_CLEAR_AFTER - 1 : ALERT_FIRE_AFTER - 1,
                  &state.streak) ||
        !read_u32(statement, 3, UINT32_MAX - 1, &state.period) ||
        !read_u32(statement, 4, UINT32_MAX, &state.fired_day) || (firing && state.period == 0))
        return false;
    state.firing = firing != 0;
    if (rule < ALERT_RULES)
        watch->rules[rule] = state;
    return true;
}

int alert_store_load(struct alert_store *store, const char *condition, const char *scope,
                     struct alert_watch *ret, struct error *err)
{
    struct alert_watch watch = {0};
    int result = 0, step = SQLITE_DONE;
    if (!bind_name(store->load, 1, condition) || !bind_name(store->load, 2, scope))
        result = outbox_fault(store->outbox, err);
    while (result == 0 && (step = sqlite3_step(store->load)) == SQLITE_ROW)
        if (!read_rule(store->load, &watch))
            result = error_set(err, ERROR_INVALID,
                               "outbox.db: the watch of %s, %s is damaged; restore the file, or "
                               "move it away: alerts that fired are then sent anew",
                               condition, scope);
    if (result == 0 && step != SQLITE_DONE)
        result = outbox_fault(store->outbox, err);
    (void)sqlite3_reset(store->load);
    (void)sqlite3_clear_bindings(store->load);
    if (result == 0)
        *ret = watch;
    return result;
}

/* -- Saving -- */

static int save_row(struct alert_store *store, const struct alert_change *change, const char *rule,
                    const struct alert_rule_state *state, struct error *err)
{
    sqlite3_stmt *statement = store->save;
    if (bind_name(statement, 1, change->condition) && bind_name(statement, 2, change->scope) &&
        bind_name(statement, 3, rule) &&
        sqlite3_bind_int64(statement, 4, state->streak) == SQLITE_OK &&
        sqlite3_bind_int64(statement, 5, state->firing) == SQLITE_OK &&
        sqlite3_bind_int64(statement, 6, state->period) == SQLITE_OK &&
        sqlite3_bind_int64(statement, 7, state->fired_day) == SQLITE_OK)
        return outbox_step(store->outbox, statement, err);
    return outbox_fault(store->outbox, err);
}

static int save_all(struct alert_store *store, const struct alert_change *change, int64_t now_ms,
                    struct error *err)
{
    const struct alert_rule_state day = {.fired_day = change->watch->last_day};
    int result = save_row(store, change, DAY_ROW, &day, err);
    for (uint32_t i = 0; i < ALERT_RULES && result == 0; i++)
        result = save_row(store, change, alert_rule_name(i), &change->watch->rules[i], err);
    for (uint32_t i = 0; i < change->message_count && result == 0; i++)
        result = outbox_put(store->outbox, &change->messages[i], now_ms, err);
    return result;
}

int alert_store_save(struct alert_store *store, const struct alert_change *change, int64_t now_ms,
                     struct error *err)
{
    assert(sqlite3_get_autocommit(outbox_connection(store->outbox)) != 0);
    int result = outbox_execute(store->outbox, "BEGIN IMMEDIATE", err);
    if (result != 0)
        return result;
    result = save_all(store, change, now_ms, err);
    if (result == 0)
        result = outbox_execute(store->outbox, "COMMIT", err);
    if (result != 0 && sqlite3_get_autocommit(outbox_connection(store->outbox)) == 0)
        (void)outbox_execute(store->outbox, "ROLLBACK", NULL);
    return result;
}
