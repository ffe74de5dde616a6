/* SPDX-License-Identifier: Apache-2.0 */
/* scheduler.c -- a budget of rows, shared every step.
 *
 * A step may have max_step_tokens rows. They are given out in this order:
 *
 *     | decodes, one row each | oldest prefill: a quarter | prefills, shortest remainder first |
 *
 * 1. Every sequence that decodes gets its row, so no prompt delays a token by more than the step it
 *    is part of (Agrawal et al. 2024: chunked prefills).
 * 2. Waiting sequences are admitted in the order of tenants.c while there are seats, and blocks for
 *    the whole prompt beside what running prefills still need and one more for each sequence that
 *    runs: then none of them runs dry before it has had 16 more tokens, and preemption cannot
 *    chase its tail.
 * 3. A quarter of what is left goes to the most senior prefill: a long prompt always advances. The
 *    rest goes to the shortest remainder first, which is what makes the mean wait least: a short
 *    prompt is not kept waiting by a long one.
 *
 * Blocks are taken when a row needs them. If there is none, the most junior running sequence is
 * preempted: it goes back to its queue, its full blocks stay findable, and being resumed means
 * mostly finding them again.
 *
 * No livelock. Running sequences are totally ordered by seniority (sequence_before), and a block
 * is only ever taken from a junior for a senior. So the most senior running sequence gets at least
 * one row in each step: if need be until it runs alone, and alone it fits, for the pool holds a
 * whole context (asserted here, checked with an error by engine_start). It ends after a finite
 * number of rows, and the next one is the most senior. Planning is thus never empty while anything
 * runs or waits.
 *
 * The prefix cache is looked up at admission: whole blocks of (prompt and output), but never the
 * last token, whose logits are wanted. The parent of the first block is a salt of tenant and
 * request, or, where sharing is off or every prompt row has to be computed, one of the generation
 * alone: so the choices of one generation, and its own resuming, always share. They find the
 * prompt's blocks because they are held until one choice has computed all of it.
 *
 * Invariant (scheduler_check): a sequence has a seat and blocks if and only if it runs; the blocks
 * cover what was computed; the running are in order of seniority, so the victim is the last. */
#include "batching/scheduler.h"

#include "batching/tenants.h"
#include "kernels/backend.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct scheduler {
    struct scheduler_config config;
    uint32_t table_stride; /* blocks of a whole context */

    struct tenants *tenants;
    uint64_t arrivals;
    struct sequence **running;  /* [max_sequences] senior first */
    struct sequence **order;    /* [max_sequences] prefills while they are planned */
    struct planned *entries[2]; /* [max_sequences] of two plans in turn */
    uint32_t entry_counts[2], newest;
    uint32_t planned_running; /* sequences that ran after the last scheduler_plan() */
    uint32_t *tables;         /* [max_sequences, table_stride] a row a seat */
    uint32_t *seats;          /* [max_sequences] those not taken, a stack */
    uint32_t seat_count;

    uint32_t rows_left, echo_left; /* of the step being planned */
    struct scheduler_counts counts;
    struct scheduler_left left[PACE_RANKS];
};

struct scheduler *scheduler_new(const struct scheduler_config *config, struct error *err)
{
    assert(config->max_sequences > 0);
    assert(config->max_step_tokens >= config->max_sequences);
    struct scheduler *scheduler = calloc(1, sizeof *scheduler);
    if (scheduler == NULL)
        goto fail;
    size_t seats = config->max_sequences;
    scheduler->config = *config;
    scheduler->table_stride = (config->context + KV_BLOCK_TOKENS - 1) / KV_BLOCK_TOKENS;
    assert(kv_cache_available(config->cache) >= scheduler->table_stride);
    assert(seats * scheduler->table_stride <= UINT32_MAX); /* attention_span.block_offset */
    scheduler->tenants = tenants_new(config->generations_max);
    scheduler->running = calloc(seats, sizeof(struct sequence *));
    scheduler->order = calloc(seats, sizeof(struct sequence *));
    for (uint32_t i = 0; i < 2; i++)
        scheduler->entries[i] = calloc(seats, sizeof *scheduler->entries[i]);
    scheduler->tables = malloc(seats * scheduler->table_stride * sizeof *scheduler->tables);
    scheduler->seats = calloc(seats, sizeof *scheduler->seats);
    if (scheduler->tenants == NULL || scheduler->running == NULL || scheduler->order == NULL ||
        scheduler->entries[0] == NULL || scheduler->entries[1] == NULL ||
        scheduler->tables == NULL || scheduler->seats == NULL)
        goto fail;
    for (uint32_t i = 0; i < config->max_sequences; i++)
        scheduler->seats[i] = config->max_sequences - 1 - i;
    scheduler->seat_count = config->max_sequences;
    return scheduler;
fail:
    scheduler_free(scheduler);
    (void)error_no_memory(err);
    return NULL;
}

void scheduler_free(struct scheduler *scheduler)
{
    if (scheduler == NULL)
        return;
    tenants_free(scheduler->tenants);
    free(scheduler->running);
    free(scheduler->order);
    free(scheduler->entries[0]);
    free(scheduler->entries[1]);
    free(scheduler->tables);
    free(scheduler->seats);
    free(scheduler);
}

/* -- queue and running list -- */

static void enqueue(struct scheduler *scheduler, struct sequence *sequence)
{
    if (sequence->state == SEQUENCE_HELD)
        scheduler->counts.held--;
    sequence_set_state(sequence, SEQUENCE_WAITING);
    tenants_enqueue(scheduler->tenants, sequence);
    scheduler->counts.waiting++;
}

static void dequeue(struct scheduler *scheduler, struct sequence *sequence)
{
    tenants_dequeue(scheduler->tenants, sequence);
    scheduler->counts.waiting--;
    struct generation *generation = sequence->generation;
    if (!generation->queued)
        return;
    generation->queued = false;
    scheduler->counts.dequeued++;
    scheduler->counts.dequeued_cached_tokens += sequence->computed_tokens;
    struct scheduler_left *left = &scheduler->left[pace_rank(generation->request.priority)];
    left->generations++;
    left->tokens += generation->request.prompt_count;
}

/* Where in the running list the sequence is, or belongs. */
static uint32_t running_index(const struct scheduler *scheduler, const struct sequence *sequence)
{
    uint32_t low = 0, high = scheduler->counts.running;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (sequence_before(scheduler->running[middle], sequence))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void running_insert(struct scheduler *scheduler, struct sequence *sequence)
{
    uint32_t at = running_index(scheduler, sequence);
    struct sequence **place = &scheduler->running[at];
    memmove(place + 1, place, (scheduler->counts.running - at) * sizeof *place);
    *place = sequence;
    scheduler->counts.running++;
}

static void running_remove(struct scheduler *scheduler, const struct sequence *sequence)
{
    uint32_t at = running_index(scheduler, sequence);
    assert(at < scheduler->counts.running);
    struct sequence **place = &scheduler->running[at];
    assert(*place == sequence);
    scheduler->counts.running--;
    memmove(place, place + 1, (scheduler->counts.running - at) * sizeof *place);
}

static void take_seat(struct scheduler *scheduler, struct sequence *sequence)
{
    assert(scheduler->seat_count > 0);
    sequence->seat = scheduler->seats[--scheduler->seat_count];
    sequence->blocks = &scheduler->tables[(size_t)sequence->seat * scheduler->table_stride];
    sequence->chain = sequence->generation->salt;
}

/* Blocks go back tail first: eviction then takes a prefix apart from its end. */
static void leave_seat(struct scheduler *scheduler, struct sequence *sequence)
{
    while (sequence->block_count > 0)
        kv_cache_unref(scheduler->config.cache, sequence->blocks[--sequence->block_count]);
    scheduler->seats[scheduler->seat_count++] = sequence->seat;
    sequence->blocks = NULL;
    sequence->sealed_count = sequence->computed_tokens = 0;
    sequence->planned_rows = sequence->ahead_rows = 0;
}

/* -- rows and blocks -- */

/* Of rows at positions [from, to): those whose logits tell about a prompt token not yet told. */
static uint32_t echo_range(const struct sequence *sequence, uint32_t from, uint32_t to,
                           uint32_t *ret_first)
{
    const struct generation *generation = sequence->generation;
    *ret_first = from;
    if (!generation->request.prompt_logprobs)
        return 0;
    uint32_t told = generation->echoed_tokens;
    uint32_t last = generation->request.prompt_count - 1; /* tells of no prompt token */
    if (told > 0 && told - 1 > from)
        *ret_first = told - 1;
    if (to > last)
        to = last;
    return to > *ret_first ? to - *ret_first : 0;
}

static void preempt(struct scheduler *scheduler, struct sequence *sequence)
{
    uint32_t first, from = sequence->computed_tokens;
    scheduler->rows_left += sequence->planned_rows;
    scheduler->echo_left += echo_range(sequence, from, from + sequence->planned_rows, &first);
    running_remove(scheduler, sequence);
    leave_seat(scheduler, sequence);
    sequence->preemptions++;
    scheduler->counts.preemptions++;
    enqueue(scheduler, sequence);
}

/* Blocks for positions below `to`, taken from juniors if need be; returns below which position
 * there are blocks now. */
static uint32_t claim_blocks(struct scheduler *scheduler, struct sequence *sequence, uint32_t to)
{
    while (sequence->block_count * KV_BLOCK_TOKENS < to) {
        uint32_t block = kv_cache_take(scheduler->config.cache);
        if (block == KV_BLOCK_NONE) {
            struct sequence *junior = scheduler->running[scheduler->counts.running - 1];
            if (junior == sequence)
                return sequence->block_count * KV_BLOCK_TOKENS;
            preempt(scheduler, junior);
            continue;
        }
        assert(sequence->block_count < scheduler->table_stride);
        sequence->blocks[sequence->block_count++] = block;
    }
    return to;
}

static uint32_t rows_remaining(const struct sequence *sequence)
{
    return sequence_token_count(sequence) - sequence->computed_tokens - sequence->planned_rows;
}

/* Plans up to `wanted` more rows of the sequence, within what the step has left. */
static void give_rows(struct scheduler *scheduler, struct sequence *sequence, uint32_t wanted)
{
    uint32_t rows = rows_remaining(sequence);
    if (rows > wanted)
        rows = wanted;
    if (rows > scheduler->rows_left)
        rows = scheduler->rows_left;
    uint32_t from = sequence->computed_tokens + sequence->planned_rows;
    uint32_t to = from + rows, first;
    if (echo_range(sequence, from, to, &first) > scheduler->echo_left)
        to = first + scheduler->echo_left;
    to = claim_blocks(scheduler, sequence, to);
    if (to <= from)
        return;
    scheduler->rows_left -= to - from;
    scheduler->echo_left -= echo_range(sequence, from, to, &first);
    sequence->planned_rows += to - from;
}

static void plan_decodes(struct scheduler *scheduler)
{
    for (uint32_t i = 0; i < scheduler->counts.running; i++) {
        struct sequence *sequence = scheduler->running[i];
        if (sequence->state != SEQUENCE_DECODE)
            continue;
        assert(rows_remaining(sequence) == 1);
        give_rows(scheduler, sequence, 1);
        if (sequence->planned_rows == 0)
            preempt(scheduler, sequence); /* no block left, and it is the most junior */
    }
}

/* -- admission -- */

static uint32_t blocks_for(uint32_t tokens)
{
    return (tokens + KV_BLOCK_TOKENS - 1) / KV_BLOCK_TOKENS;
}

static void block_tokens(const struct sequence *sequence, uint32_t index,
                         uint32_t tokens[KV_BLOCK_TOKENS])
{
    for (uint32_t i = 0; i < KV_BLOCK_TOKENS; i++)
        tokens[i] = sequence_token(sequence, index * KV_BLOCK_TOKENS + i);
}

/* Fills the table with the longest prefix that the cache knows; not the last token's block. */
static void find_prefix(struct scheduler *scheduler, struct sequence *sequence)
{
    uint32_t limit = (sequence_token_count(sequence) - 1) / KV_BLOCK_TOKENS;
    while (sequence->block_count < limit) {
        uint32_t tokens[KV_BLOCK_TOKENS];
        block_tokens(sequence, sequence->block_count, tokens);
        struct kv_hash hash = kv_hash_chain(sequence->chain, tokens);
        uint32_t block = kv_cache_find(scheduler->config.cache, hash);
        if (block == KV_BLOCK_NONE)
            break;
        sequence->blocks[sequence->block_count++] = block;
        sequence->chain = hash;
    }
    sequence->sealed_count = sequence->block_count;
    sequence->computed_tokens = sequence->block_count * KV_BLOCK_TOKENS;
}

/* What is true of the first time only: accounts. Being preempted is not the tenant's fault, so
 * resuming is not charged; tokens found in the cache cost nothing. */
static void account_admission(struct scheduler *scheduler, struct sequence *sequence,
                              uint64_t now_us)
{
    struct generation *generation = sequence->generation;
    if (generation->times.scheduled_us == 0)
        generation->times.scheduled_us = now_us;
    if (sequence->admitted)
        return;
    sequence->admitted = true;
    sequence->cached_tokens = sequence->computed_tokens;
    uint32_t prompt_count = generation->request.prompt_count;
    tenants_charge(scheduler->tenants, generation->tenant, prompt_count - sequence->cached_tokens);
    scheduler->counts.cached_tokens += sequence->cached_tokens;
    if (scheduler->config.prefix_cache && !generation->request.prompt_logprobs) {
        scheduler->counts.prefix_queries += prompt_count;
        scheduler->counts.prefix_hits += sequence->cached_tokens;
    }
}

/* What prefills in progress still need: blocks and rows, and how many they are. */
struct prefill_load {
    uint32_t blocks, rows, count;
};

static struct prefill_load prefill_load(const struct scheduler *scheduler)
{
    struct prefill_load load = {0};
    for (uint32_t i = 0; i < scheduler->counts.running; i++) {
        const struct sequence *sequence = scheduler->running[i];
        if (sequence->state != SEQUENCE_PREFILL)
            continue;
        load.blocks += blocks_for(sequence_token_count(sequence)) - sequence->block_count;
        load.rows += rows_remaining(sequence);
        load.count++;
    }
    return load;
}

/* Seats the sequence if there are blocks for it, after the load; one that runs alone always fits.
 * A long prompt that was turned away is not hashed again until there are as many blocks. */
static bool admit(struct scheduler *scheduler, struct sequence *sequence, struct prefill_load *load,
                  uint64_t now_us)
{
    struct kv_cache *cache = scheduler->config.cache;
    uint32_t running = scheduler->counts.running;
    uint32_t reserved = load->blocks + running;
    uint32_t before = kv_cache_available(cache);
    if (running > 0 && before < sequence->blocks_wanted + reserved)
        return false;
    take_seat(scheduler, sequence);
    find_prefix(scheduler, sequence);
    uint32_t available = kv_cache_available(cache);
    uint32_t missing = blocks_for(sequence_token_count(sequence)) - sequence->block_count;
    if (running > 0 && available < missing + reserved) {
        sequence->blocks_wanted = missing + (before - available);
        leave_seat(scheduler, sequence);
        return false;
    }
    sequence->blocks_wanted = 0;
    dequeue(scheduler, sequence);
    sequence_set_state(sequence, SEQUENCE_PREFILL);
    running_insert(scheduler, sequence);
    account_admission(scheduler, sequence, now_us);
    load->blocks += missing;
    load->rows += rows_remaining(sequence);
    load->count++;
    return true;
}

static void plan_admissions(struct scheduler *scheduler, uint64_t now_us)
{
    scheduler->counts.short_of_blocks = false;
    if (scheduler->counts.waiting == 0)
        return;
    struct prefill_load load = prefill_load(scheduler);
    while (scheduler->counts.running < scheduler->config.max_sequences &&
           (load.count < SCHEDULER_PREFILLS_MAX || load.rows < scheduler->rows_left)) {
        struct sequence *sequence = tenants_peek(scheduler->tenants);
        if (sequence == NULL)
            return;
        if (!admit(scheduler, sequence, &load, now_us)) {
            scheduler->counts.short_of_blocks = true;
            return;
        }
    }
}

/* -- prefills -- */

static int compare_remaining(const void *left, const void *right)
{
    const struct sequence *a = *(struct sequence *const *)left;
    const struct sequence *b = *(struct sequence *const *)right;
    uint32_t a_rows = rows_remaining(a), b_rows = rows_remaining(b);
    if (a_rows != b_rows)
        return a_rows < b_rows ? -1 : 1;
    return sequence_before(a, b) ? -1 : 1;
}

static void plan_prefills(struct scheduler *scheduler)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < scheduler->counts.running; i++)
        if (scheduler->running[i]->state == SEQUENCE_PREFILL)
            scheduler->order[count++] = scheduler->running[i];
    if (count == 0)
        return;
    uint32_t quarter = scheduler->rows_left / 4;
    give_rows(scheduler, scheduler->order[0], quarter > 0 ? quarter : 1);
    /* Those preempted for the first one are in the queue now, and not to be planned. */
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++)
        if (scheduler->order[i]->state == SEQUENCE_PREFILL)
            scheduler->order[kept++] = scheduler->order[i];
    qsort(scheduler->order, kept, sizeof(struct sequence *), compare_remaining);
    for (uint32_t i = 0; i < kept && scheduler->rows_left > 0; i++)
        if (scheduler->order[i]->state == SEQUENCE_PREFILL)
            give_rows(scheduler, scheduler->order[i], UINT32_MAX);
}

/* -- the plan -- */

static void write_entries(struct scheduler *scheduler, enum sequence_state state, struct plan *plan)
{
    for (uint32_t i = 0; i < scheduler->counts.running; i++) {
        struct sequence *sequence = scheduler->running[i];
        if (sequence->state != state || sequence->planned_rows == 0)
            continue;
        struct planned *entry = &scheduler->entries[scheduler->newest][plan->entry_count++];
        uint32_t from = sequence->computed_tokens, first;
        *entry = (struct planned){
            .sequence = sequence,
            .position = from,
            .row_count = sequence->planned_rows,
            .echo_count = echo_range(sequence, from, from + sequence->planned_rows, &first),
            .echo_first = first - from,
            .draws = rows_remaining(sequence) == 0,
        };
        plan->row_count += entry->row_count;
        plan->output_count += entry->echo_count + entry->draws;
    }
}

static struct planned *new_entries(struct scheduler *scheduler)
{
    scheduler->newest ^= 1;
    return scheduler->entries[scheduler->newest];
}

struct plan scheduler_plan(struct scheduler *scheduler, uint64_t now_us)
{
    for (uint32_t i = 0; i < scheduler->counts.running; i++)
        scheduler->running[i]->planned_rows = 0;
    scheduler->rows_left = scheduler->config.max_step_tokens;
    scheduler->echo_left = SCHEDULER_ECHO_ROWS_MAX;
    plan_decodes(scheduler);
    plan_admissions(scheduler, now_us);
    plan_prefills(scheduler);
    struct plan plan = {
        .entries = new_entries(scheduler),
        .block_tables = scheduler->tables,
        .table_stride = scheduler->table_stride,
    };
    write_entries(scheduler, SEQUENCE_DECODE, &plan);
    write_entries(scheduler, SEQUENCE_PREFILL, &plan);
    scheduler->entry_counts[scheduler->newest] = plan.entry_count;
    scheduler->planned_running = scheduler->counts.running;
    assert(plan.row_count <= scheduler->config.max_step_tokens);
    assert(plan.row_count > 0 || !scheduler_has_work(scheduler));
    return plan;
}

/* -- the plan behind one under way -- */

static bool ends_by_length(const struct sequence *sequence)
{
    return sequence->output_count + 1 == sequence->generation->request.max_tokens;
}

/* Tokens in the cache once the sequence has had a row behind the one under way. */
static uint32_t tokens_ahead(const struct sequence *sequence)
{
    return sequence->computed_tokens + sequence->planned_rows + 1;
}

/* Whether a plan ahead is as good as one made later. */
static bool may_run_ahead(const struct scheduler *scheduler, const struct plan *under_way)
{
    const struct scheduler_counts *counts = &scheduler->counts;
    uint32_t alive = 0, ending = 0, blocks = 0;
    for (uint32_t i = 0; i < under_way->entry_count; i++) {
        const struct sequence *sequence = under_way->entries[i].sequence;
        if (sequence == NULL)
            continue;
        if (!under_way->entries[i].draws || under_way->entries[i].echo_count > 0)
            return false;
        alive++;
        ending += ends_by_length(sequence);
        blocks += blocks_for(tokens_ahead(sequence)) > sequence->block_count;
    }
    if (alive != counts->running || alive == ending || counts->held > 0)
        return false;
    /* Who waits goes on waiting for a seat or a block until somebody ends. */
    const bool full = counts->running == scheduler->config.max_sequences ||
                      (counts->short_of_blocks && counts->running == scheduler->planned_running);
    return (counts->waiting == 0 || (full && ending == 0)) &&
           kv_cache_available(scheduler->config.cache) >= blocks;
}

bool scheduler_plan_ahead(struct scheduler *scheduler, const struct plan *under_way,
                          struct plan *ret)
{
    if (!may_run_ahead(scheduler, under_way))
        return false;
    struct planned *entries = new_entries(scheduler);
    struct plan plan = {
        .entries = entries,
        .block_tables = scheduler->tables,
        .table_stride = scheduler->table_stride,
        .ahead = true,
    };
    assert(entries != under_way->entries);
    for (uint32_t i = 0; i < under_way->entry_count; i++) {
        struct sequence *sequence = under_way->entries[i].sequence;
        if (sequence == NULL || ends_by_length(sequence))
            continue;
        const uint32_t to = tokens_ahead(sequence);
        (void)claim_blocks(scheduler, sequence, to); /* there are enough */
        assert(sequence->block_count * KV_BLOCK_TOKENS >= to && sequence->ahead_rows == 0);
        sequence->ahead_rows = 1;
        entries[plan.entry_count++] = (struct planned){
            .sequence = sequence,
            .position = to - 1,
            .row_count = 1,
            .draws = true,
            .source = i,
        };
    }
    plan.row_count = plan.output_count = plan.entry_count;
    scheduler->entry_counts[scheduler->newest] = plan.entry_count;
    *ret = plan;
    return true;
}

/* A sequence that ended is in no plan any more. */
static void leave_plans(struct scheduler *scheduler, const struct sequence *sequence)
{
    for (uint32_t i = 0; i < 2; i++)
        for (uint32_t j = 0; j < scheduler->entry_counts[i]; j++)
            if (scheduler->entries[i][j].sequence == sequence)
                scheduler->entries[i][j].sequence = NULL;
}

/* -- what came of it -- */

void scheduler_computed(struct scheduler *scheduler, const struct planned *entry)
{
    struct sequence *sequence = entry->sequence;
    assert(sequence_is_running(sequence));
    assert(sequence->planned_rows == entry->row_count);
    uint32_t prompt_count = sequence->generation->request.prompt_count;
    if (entry->position < prompt_count) {
        uint32_t of_prompt = prompt_count - entry->position;
        scheduler->counts.computed_tokens +=
            entry->row_count < of_prompt ? entry->row_count : of_prompt;
    }
    sequence->planned_rows = 0;
    sequence->computed_tokens += entry->row_count;
    while ((sequence->sealed_count + 1) * KV_BLOCK_TOKENS <= sequence->computed_tokens) {
        uint32_t tokens[KV_BLOCK_TOKENS];
        block_tokens(sequence, sequence->sealed_count, tokens);
        sequence->chain = kv_hash_chain(sequence->chain, tokens);
        kv_cache_seal(scheduler->config.cache, sequence->blocks[sequence->sealed_count],
                      sequence->chain);
        sequence->sealed_count++;
    }
}

/* The first choice to have the whole prompt in the cache lets the others start. */
static void release_held(struct scheduler *scheduler, struct generation *generation)
{
    generation->prompt_ready = true;
    for (uint32_t i = 0; i < generation->sequence_count; i++)
        if (generation->sequences[i].state == SEQUENCE_HELD)
            enqueue(scheduler, &generation->sequences[i]);
}

void scheduler_drawn(struct scheduler *scheduler, struct sequence *sequence, uint32_t token)
{
    struct generation *generation = sequence->generation;
    assert(sequence_is_running(sequence));
    assert(rows_remaining(sequence) == 0);
    assert(sequence->output_count < generation->request.max_tokens);
    sequence->output[sequence->output_count++] = token;
    sequence->planned_rows = sequence->ahead_rows;
    sequence->ahead_rows = 0;
    tenants_charge(scheduler->tenants, generation->tenant, 1);
    if (sequence->state == SEQUENCE_PREFILL)
        sequence_set_state(sequence, SEQUENCE_DECODE);
    if (!generation->prompt_ready)
        release_held(scheduler, generation);
}

/* If the choice that the held ones wait for is gone, one of them computes the prompt. */
static void promote_held(struct scheduler *scheduler, struct generation *generation)
{
    struct sequence *held = NULL;
    for (uint32_t i = 0; i < generation->sequence_count; i++) {
        struct sequence *sequence = &generation->sequences[i];
        if (sequence->state == SEQUENCE_WAITING || sequence_is_running(sequence))
            return;
        if (sequence->state == SEQUENCE_HELD && held == NULL)
            held = sequence;
    }
    if (held != NULL)
        enqueue(scheduler, held);
}

void scheduler_add(struct scheduler *scheduler, struct generation *generation)
{
    const struct scheduler_config *config = &scheduler->config;
    const struct generation_request *request = &generation->request;
    assert(request->prompt_count > 0);
    assert(request->prompt_count + request->max_tokens <= config->context);
    generation->arrival = scheduler->arrivals++;
    if (config->prefix_cache && !request->prompt_logprobs) {
        uint64_t tenant = config->share_prefixes ? 0 : request->tenant;
        generation->salt = kv_hash_salt(tenant ^ config->secrets[0], request->cache_salt);
    } else {
        generation->salt = kv_hash_salt(config->secrets[1], generation->arrival);
    }
    generation->tenant = tenants_join(scheduler->tenants, request->tenant, request->tenant_weight);
    scheduler->counts.held += generation->sequence_count;
    enqueue(scheduler, &generation->sequences[0]);
}

void scheduler_finish(struct scheduler *scheduler, struct sequence *sequence)
{
    struct generation *generation = sequence->generation;
    assert(generation->unfinished > 0);
    if (sequence_is_running(sequence)) {
        running_remove(scheduler, sequence);
        leave_seat(scheduler, sequence);
        leave_plans(scheduler, sequence);
    } else if (sequence->state == SEQUENCE_WAITING) {
        dequeue(scheduler, sequence);
    } else {
        assert(sequence->state == SEQUENCE_HELD);
        scheduler->counts.held--;
    }
    sequence_set_state(sequence, SEQUENCE_FINISHED);
    generation->unfinished--;
    if (generation->unfinished == 0)
        tenants_leave(generation->tenant);
    else if (!generation->prompt_ready)
        promote_held(scheduler, generation);
}

bool scheduler_has_work(const struct scheduler *scheduler)
{
    return scheduler->counts.running + scheduler->counts.waiting > 0;
}

struct scheduler_counts scheduler_counts(const struct scheduler *scheduler)
{
    return scheduler->counts;
}

const struct scheduler_left *scheduler_left(const struct scheduler *scheduler)
{
    return scheduler->left;
}

double scheduler_served(const struct scheduler *scheduler, uint64_t tenant)
{
    return tenants_served(scheduler->tenants, tenant);
}

void scheduler_check(const struct scheduler *scheduler)
{
    uint32_t running = scheduler->counts.running;
    assert(running + scheduler->seat_count == scheduler->config.max_sequences);
    for (uint32_t i = 0; i < running; i++) {
        const struct sequence *sequence = scheduler->running[i];
        assert(sequence_is_running(sequence));
        assert(i == 0 || sequence_before(scheduler->running[i - 1], sequence));
        uint32_t rows = sequence->computed_tokens + sequence->planned_rows;
        assert(rows <= sequence_token_count(sequence));
        assert(sequence->block_count * KV_BLOCK_TOKENS >= rows);
        assert(sequence->sealed_count == sequence->computed_tokens / KV_BLOCK_TOKENS);
        assert(sequence->blocks ==
               &scheduler->tables[(size_t)sequence->seat * scheduler->table_stride]);
        for (uint32_t j = 0; j < i; j++)
            assert(scheduler->running[j]->seat != sequence->seat);
    }
    kv_cache_check(scheduler->config.cache);
}
