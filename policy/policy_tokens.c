/* SPDX-License-Identifier: Apache-2.0 */
/* policy_tokens.c -- a table a worker, and what the policy thread has taken of it.
 *
 *     worker          cells[tenant][model] grows, and never sinks       (its only writer)
 *     policy thread   cells - seen  ->  tokens.db, and seen = cells once that is committed
 *
 * So neither waits for the other, and a disk that fails loses nothing while the process lives. A
 * tenant is found by its name's hash in slots that only the worker touches; its name is written
 * before its number is published, and never changes. */
#include "policy/policy_tokens.h"

#include "base/text.h"
#include "policy/policy_inner.h"
#include "policy/users/calendar.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define SLOTS   512u /* a power of two, at most half of it in use */
#define TENANTS (TOKENS_TENANTS_MAX + 1)
#define VALUES  4u
#define STEP_MS 100u

static_assert(2 * TENANTS <= SLOTS, "a search ends at an empty slot");

struct cell {
    _Atomic uint64_t values[VALUES]; /* requests, prompt, cached, generated */
};

struct table {
    uint32_t model_count;
    uint16_t slots[SLOTS];         /* the worker's: 0 is empty */
    _Atomic uint32_t tenant_count; /* the worker writes; the first, number 0, is the rest */
    char names[TENANTS][TOKENS_TENANT_BYTES_MAX + 1]; /* likewise, below tenant_count */
    struct cell *cells;                               /* likewise; [tenant][model] */
    struct token_counts *seen, *fresh;                /* the policy thread's; likewise */
};

struct policy_tokens {
    uint32_t keep_days;
    /* shared */
    _Atomic(struct table *) tables[TOKENS_WORKERS_MAX]; /* each made by its worker */
    _Atomic uint64_t left_out;                          /* requests that found no memory */
    pthread_mutex_t lock;                               /* of the store */
    struct tokens_store *store;
    /* the policy thread's */
    uint32_t next, aged_day;
    uint64_t left_out_told;
    bool failing, failed; /* in the last round, in this one */
};

struct policy_tokens *policy_tokens_open(const char *folder, uint32_t keep_days, struct error *err)
{
    struct policy_tokens *tokens = calloc(1, sizeof *tokens);
    if (tokens == NULL) {
        (void)error_no_memory(err);
        return NULL;
    }
    tokens->keep_days = keep_days == 0 ? USAGE_KEEP_DAYS : keep_days;
    (void)pthread_mutex_init(&tokens->lock, NULL); /* cannot fail with these attributes */
    tokens->store = tokens_store_open(folder, true, err);
    if (tokens->store != NULL)
        return tokens;
    policy_tokens_close(tokens);
    return NULL;
}

static void table_free(struct table *table)
{
    if (table == NULL)
        return;
    free(table->cells);
    free(table->seen);
    free(table->fresh);
    free(table);
}

void policy_tokens_close(struct policy_tokens *tokens)
{
    if (tokens == NULL)
        return;
    for (uint32_t i = 0; i < TOKENS_WORKERS_MAX; i++)
        table_free(atomic_load(&tokens->tables[i]));
    tokens_store_close(tokens->store);
    (void)pthread_mutex_destroy(&tokens->lock);
    free(tokens);
}

/* -- Workers -- */

static struct table *table_new(uint32_t model_count)
{
    struct table *table = calloc(1, sizeof *table);
    if (table == NULL)
        return NULL;
    size_t count = (size_t)TENANTS * model_count;
    table->model_count = model_count;
    table->cells = calloc(count, sizeof *table->cells);
    table->seen = calloc(count, sizeof *table->seen);
    table->fresh = calloc(count, sizeof *table->fresh);
    memcpy(table->names[0], TOKENS_REST, sizeof TOKENS_REST);
    atomic_store(&table->tenant_count, 1);
    if (table->cells != NULL && table->seen != NULL && table->fresh != NULL)
        return table;
    table_free(table);
    return NULL;
}

static uint32_t tenant_of(struct table *table, const char *name)
{
    size_t bytes = strnlen(name, TOKENS_TENANT_BYTES_MAX + 1);
    if (bytes > TOKENS_TENANT_BYTES_MAX)
        return 0;
    uint32_t at = (uint32_t)XXH3_64bits(name, bytes) & (SLOTS - 1);
    for (; table->slots[at] != 0; at = (at + 1) & (SLOTS - 1))
        if (strcmp(table->names[table->slots[at]], name) == 0)
            return table->slots[at];
    uint32_t count = atomic_load_explicit(&table->tenant_count, memory_order_relaxed);
    if (count == TENANTS)
        return 0;
    memcpy(table->names[count], name, bytes + 1);
    table->slots[at] = (uint16_t)count;
    atomic_store_explicit(&table->tenant_count, count + 1, memory_order_release);
    return count;
}

/* The worker's own, made at its first use; NULL when there is no memory. */
static struct table *table_of(struct policy *policy, uint32_t worker)
{
    struct policy_tokens *tokens = policy->tokens;
    struct table *table = atomic_load_explicit(&tokens->tables[worker], memory_order_relaxed);
    uint32_t model_count = policy->models_max != 0 ? policy->models_max : policy->model_count;
    if (table == NULL && (table = table_new(model_count)) != NULL)
        atomic_store_explicit(&tokens->tables[worker], table, memory_order_release);
    return table;
}

static void raise(_Atomic uint64_t *value, uint64_t by)
{
    uint64_t before = atomic_load_explicit(value, memory_order_relaxed);
    atomic_store_explicit(value, before + by, memory_order_relaxed);
}

void policy_tokens_add(struct policy *policy, const struct policy_model *model,
                       const struct policy_tokens_use *use)
{
    assert(use->worker < TOKENS_WORKERS_MAX);
    struct table *table = table_of(policy, use->worker);
    if (table == NULL) {
        (void)atomic_fetch_add(&policy->tokens->left_out, 1);
        return;
    }
    assert(model->index < table->model_count);
    uint32_t tenant = tenant_of(table, use->tenant);
    struct cell *cell = &table->cells[(size_t)tenant * table->model_count + model->index];
    raise(&cell->values[0], use->counts.requests);
    raise(&cell->values[1], use->counts.prompt);
    raise(&cell->values[2], use->counts.cached);
    raise(&cell->values[3], use->counts.generated);
}

/* -- Policy thread -- */

static struct token_counts counts_of(const struct cell *cell)
{
    return (struct token_counts){
        .requests = atomic_load_explicit(&cell->values[0], memory_order_relaxed),
        .prompt = atomic_load_explicit(&cell->values[1], memory_order_relaxed),
        .cached = atomic_load_explicit(&cell->values[2], memory_order_relaxed),
        .generated = atomic_load_explicit(&cell->values[3], memory_order_relaxed)};
}

/* Reads the table into `fresh`; whether anything is new. */
static bool read_table(struct table *table, uint32_t tenant_count)
{
    size_t count = (size_t)tenant_count * table->model_count;
    for (size_t i = 0; i < count; i++)
        table->fresh[i] = counts_of(&table->cells[i]);
    return memcmp(table->fresh, table->seen, count * sizeof *table->seen) != 0;
}

static void each_cell(const struct table *table, const struct policy_model *model,
                      void (*on_row)(void *argument, const struct token_row *row), void *argument)
{
    static const struct token_counts nothing = {0};
    uint32_t tenants = atomic_load_explicit(&table->tenant_count, memory_order_acquire);
    for (uint32_t tenant = 0; tenant < tenants; tenant++) {
        const struct cell *cell = &table->cells[(size_t)tenant * table->model_count + model->index];
        const struct token_row row = {
            .tenant = table->names[tenant], .model = model->facts->id, .counts = counts_of(cell)};
        if (memcmp(&row.counts, &nothing, sizeof nothing) != 0)
            on_row(argument, &row);
    }
}

void policy_tokens_each(const struct policy *policy,
                        void (*on_row)(void *argument, const struct token_row *row), void *argument)
{
    for (uint32_t i = 0; i < TOKENS_WORKERS_MAX; i++) {
        const struct table *table =
            atomic_load_explicit(&policy->tokens->tables[i], memory_order_acquire);
        for (const struct policy_model *model = policy->models; table != NULL && model != NULL;
             model = model->next)
            each_cell(table, model, on_row, argument);
    }
}

static int add_row(struct policy_tokens *tokens, const struct table *table, size_t at,
                   const struct policy_model *model, uint32_t day, struct error *err)
{
    const struct token_counts *fresh = &table->fresh[at], *seen = &table->seen[at];
    const struct token_row row = {.tenant = table->names[at / table->model_count],
                                  .model = model->facts->id,
                                  .counts = {.requests = fresh->requests - seen->requests,
                                             .prompt = fresh->prompt - seen->prompt,
                                             .cached = fresh->cached - seen->cached,
                                             .generated = fresh->generated - seen->generated}};
    return memcmp(fresh, seen, sizeof *seen) == 0 ? 0
                                                  : tokens_store_add(tokens->store, day, &row, err);
}

/* Within the lock. */
static int add_rows(struct policy *policy, const struct table *table, uint32_t tenant_count,
                    uint32_t day, struct error *err)
{
    int result = tokens_store_begin(policy->tokens->store, err);
    if (result != 0)
        return result;
    for (const struct policy_model *model = policy->models; model != NULL && result == 0;
         model = model->next)
        for (uint32_t tenant = 0; tenant < tenant_count && result == 0; tenant++)
            result = add_row(policy->tokens, table,
                             (size_t)tenant * table->model_count + model->index, model, day, err);
    if (result == 0)
        return tokens_store_commit(policy->tokens->store, err);
    tokens_store_rollback(policy->tokens->store);
    return result;
}

static int fold(struct policy *policy, struct table *table, int64_t now_us, struct error *err)
{
    struct policy_tokens *tokens = policy->tokens;
    uint32_t tenant_count = atomic_load_explicit(&table->tenant_count, memory_order_acquire);
    if (!read_table(table, tenant_count))
        return 0;
    (void)pthread_mutex_lock(&tokens->lock);
    int result = add_rows(policy, table, tenant_count, calendar_day(now_us), err);
    (void)pthread_mutex_unlock(&tokens->lock);
    if (result == 0)
        memcpy(table->seen, table->fresh,
               (size_t)tenant_count * table->model_count * sizeof *table->seen);
    return result;
}

static void fail(struct policy *policy, const struct error *err)
{
    struct text text;
    struct policy_tokens *tokens = policy->tokens;
    tokens->failed = true;
    if (tokens->failing)
        return; /* said before */
    tokens->failing = true;
    text_init(&text);
    text_append_format(&text, "tokens: %s; they are kept in memory and tried again", err->text);
    if (!text.failed)
        usage_add_note(policy->usage, text_string(&text));
    text_destroy(&text);
}

static void tell_left_out(struct policy *policy)
{
    struct policy_tokens *tokens = policy->tokens;
    uint64_t left_out = atomic_load(&tokens->left_out);
    if (left_out > 0 && tokens->left_out_told == 0)
        usage_add_note(policy->usage, "tokens: no memory for a worker's table; they go uncounted");
    tokens->left_out_told = left_out;
}

/* Whether there may be more of it. */
static bool age(struct policy *policy, uint32_t today)
{
    struct policy_tokens *tokens = policy->tokens;
    struct error err = {0};
    bool more = false;
    if (tokens->aged_day == today)
        return false;
    (void)pthread_mutex_lock(&tokens->lock);
    int result = tokens_store_age(tokens->store, today, tokens->keep_days, &more, &err);
    (void)pthread_mutex_unlock(&tokens->lock);
    if (result != 0)
        fail(policy, &err);
    else if (!more)
        tokens->aged_day = today;
    return more;
}

uint32_t policy_tokens_turn(struct policy *policy, int64_t now_us)
{
    struct policy_tokens *tokens = policy->tokens;
    while (tokens->next < TOKENS_WORKERS_MAX) {
        struct error err = {0};
        struct table *table =
            atomic_load_explicit(&tokens->tables[tokens->next++], memory_order_acquire);
        if (table == NULL)
            continue;
        if (fold(policy, table, now_us, &err) != 0)
            fail(policy, &err);
        return STEP_MS;
    }
    if (age(policy, calendar_day(now_us)))
        return STEP_MS;
    tell_left_out(policy);
    tokens->failing = tokens->failed;
    tokens->failed = false;
    tokens->next = 0;
    return TOKENS_FOLD_S * 1000;
}

void policy_tokens_stop(struct policy *policy, int64_t now_us)
{
    for (uint32_t i = 0; policy->tokens != NULL && i < TOKENS_WORKERS_MAX; i++) {
        struct error err = {0};
        struct table *table = atomic_load(&policy->tokens->tables[i]);
        if (table != NULL && fold(policy, table, now_us, &err) != 0)
            fail(policy, &err);
    }
}

int policy_tokens_read(struct policy *policy, uint32_t month,
                       bool (*on_row)(void *argument, const struct token_row *row), void *argument,
                       struct error *err)
{
    struct policy_tokens *tokens = policy->tokens;
    (void)pthread_mutex_lock(&tokens->lock);
    int result = tokens_store_read(tokens->store, month, on_row, argument, err);
    (void)pthread_mutex_unlock(&tokens->lock);
    return result;
}
