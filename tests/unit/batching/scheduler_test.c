/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "batching/scheduler.h"
#include "kernels/backend.h"
#include "tests/unit/batching/client.h"

/* A scheduler with a pool, and a model that answers 1 to everything. */
struct bench {
    struct kv_cache *cache;
    struct scheduler *scheduler;
    struct generation *generations[256];
    uint32_t generation_count;
    uint64_t now_us;
};

static void bench_init(struct bench *bench, uint32_t blocks, uint32_t rows, uint32_t sequences)
{
    *bench = (struct bench){.now_us = 1};
    bench->cache = kv_cache_new(blocks, NULL);
    const struct scheduler_config config = {
        .cache = bench->cache,
        .context = blocks < 64 ? blocks * KV_BLOCK_TOKENS : 64 * KV_BLOCK_TOKENS,
        .max_step_tokens = rows,
        .max_sequences = sequences,
        .generations_max = 256,
        .prefix_cache = true,
    };
    bench->scheduler = scheduler_new(&config, NULL);
    assert_non_null(bench->scheduler);
}

static void bench_destroy(struct bench *bench)
{
    for (uint32_t i = 0; i < bench->generation_count; i++) {
        struct generation *generation = bench->generations[i];
        for (uint32_t c = 0; c < generation->sequence_count; c++)
            if (generation->sequences[c].state != SEQUENCE_FINISHED)
                scheduler_finish(bench->scheduler, &generation->sequences[c]);
        generation_free(generation, true);
    }
    assert_int_equal(kv_cache_stats(bench->cache).referenced_count, 0);
    scheduler_check(bench->scheduler);
    scheduler_free(bench->scheduler);
    kv_cache_free(bench->cache);
}

static struct sequence *add(struct bench *bench, const struct generation_request *request)
{
    struct generation *generation = generation_new(request);
    assert_non_null(generation);
    bench->generations[bench->generation_count++] = generation;
    scheduler_add(bench->scheduler, generation);
    return &generation->sequences[0];
}

/* Prompts that share nothing with each other. */
static struct sequence *add_plain(struct bench *bench, uint32_t prompt_count, uint32_t max_tokens)
{
    struct generation_request request =
        client_request(bench->generation_count + 1, prompt_count, max_tokens);
    return add(bench, &request);
}

/* What comes of a step, as the engine would tell it. */
static void end_step(struct bench *bench, const struct plan *ended)
{
    const struct plan plan = *ended;
    for (uint32_t i = 0; i < plan.entry_count; i++) {
        const struct planned *entry = &plan.entries[i];
        struct sequence *sequence = entry->sequence;
        if (sequence == NULL)
            continue;
        scheduler_computed(bench->scheduler, entry);
        sequence->generation->echoed_tokens += entry->echo_count;
        if (!entry->draws)
            continue;
        scheduler_drawn(bench->scheduler, sequence, 1);
        if (sequence->output_count == sequence->generation->request.max_tokens)
            scheduler_finish(bench->scheduler, sequence);
    }
    scheduler_check(bench->scheduler);
}

static struct plan run_step(struct bench *bench)
{
    struct plan plan = scheduler_plan(bench->scheduler, bench->now_us++);
    scheduler_check(bench->scheduler);
    end_step(bench, &plan);
    return plan;
}

static const struct planned *entry_of(const struct plan *plan, const struct sequence *sequence)
{
    for (uint32_t i = 0; i < plan->entry_count; i++)
        if (plan->entries[i].sequence == sequence)
            return &plan->entries[i];
    return NULL;
}

static void decodes_come_first_and_prefills_fill_the_budget(void **state)
{
    (void)state;
    struct bench bench;
    bench_init(&bench, 256, 32, 8);
    struct sequence *first = add_plain(&bench, 10, 50), *second = add_plain(&bench, 10, 50);
    (void)run_step(&bench);
    struct sequence *prompt = add_plain(&bench, 100, 50);
    for (uint32_t left = 100; left > 0;) {
        struct plan plan = scheduler_plan(bench.scheduler, 0);
        assert_ptr_equal(plan.entries[0].sequence, first);
        assert_ptr_equal(plan.entries[1].sequence, second);
        assert_ptr_equal(plan.entries[2].sequence, prompt);
        uint32_t rows = left < 30 ? left : 30;
        assert_int_equal(plan.entries[2].row_count, rows);
        assert_int_equal(plan.row_count, 2 + rows);
        left -= rows;
        assert_int_equal(plan.entries[2].draws, left == 0);
        assert_int_equal(plan.output_count, left == 0 ? 3 : 2);
        (void)run_step(&bench);
    }
    assert_int_equal(prompt->state, SEQUENCE_DECODE);
    bench_destroy(&bench);
}

static void planning_twice_gives_the_same_plan(void **state)
{
    (void)state;
    struct bench bench;
    bench_init(&bench, 64, 32, 8);
    for (uint32_t i = 0; i < 6; i++)
        (void)add_plain(&bench, 20 + i, 20);
    for (uint32_t step = 0; step < 30; step++) {
        struct plan once = scheduler_plan(bench.scheduler, 0);
        uint32_t rows = once.row_count, outputs = once.output_count, entries = once.entry_count;
        struct plan again = scheduler_plan(bench.scheduler, 0);
        assert_int_equal(again.row_count, rows);
        assert_int_equal(again.output_count, outputs);
        assert_int_equal(again.entry_count, entries);
        (void)run_step(&bench);
    }
    bench_destroy(&bench);
}

static void short_prompt_does_not_wait_for_a_long_one(void **state)
{
    (void)state;
    struct bench bench;
    bench_init(&bench, 256, 64, 8);
    struct sequence *longest = add_plain(&bench, 900, 5), *other = add_plain(&bench, 800, 5);
    (void)run_step(&bench);
    struct sequence *brief = add_plain(&bench, 20, 5);
    struct plan plan = run_step(&bench);
    assert_int_equal(entry_of(&plan, brief)->row_count, 20);
    assert_int_equal(entry_of(&plan, longest)->row_count, 16); /* a quarter, the oldest's */
    assert_int_equal(entry_of(&plan, other)->row_count, 28);   /* the shorter remainder */
    assert_int_equal(brief->output_count, 1);
    bench_destroy(&bench);
}

/* Short prompts arrive without end; the long one still gets its quarter of every step. */
static void long_prompt_is_not_starved_by_short_ones(void **state)
{
    (void)state;
    struct bench bench;
    bench_init(&bench, 256, 64, 64);
    struct sequence *longest = add_plain(&bench, 900, 5);
    uint32_t steps = 0;
    for (; longest->output_count == 0; steps++) {
        for (uint32_t i = 0; i < 3; i++)
            (void)add_plain(&bench, 30, 1);
        (void)run_step(&bench);
    }
    assert_true(steps <= 900 / 16 + 1);
    bench_destroy(&bench);
}

static void lower_priority_value_is_admitted_first(void **state)
{
    (void)state;
    struct bench bench;
    bench_init(&bench, 256, 64, 1);
    const int32_t priorities[4] = {5, -1, 5, 0};
    const uint32_t turns[4] = {1, 3, 0, 2};
    struct sequence *sequences[4];
    for (uint32_t i = 0; i < 4; i++) {
        struct generation_request request = client_request(i, 10, 3);
        request.priority = priorities[i];
        sequences[i] = add(&bench, &request);
    }
    for (uint32_t turn = 0; turn < 4; turn++)
        for (uint32_t step = 0; step < 3; step++) {
            struct plan plan = run_step(&bench);
            assert_int_equal(plan.entry_count, 1);
            assert_int_equal(sequences[turns[turn]]->output_count, step + 1);
        }
    bench_destroy(&bench);
}

static void a_plan_ahead_goes_on_by_a_token(void **state)
{
    (void)state;
    struct bench bench;
    struct plan ahead;
    bench_init(&bench, 256, 64, 8);
    struct sequence *first = add_plain(&bench, 10, 30), *second = add_plain(&bench, 31, 30);
    struct plan now = scheduler_plan(bench.scheduler, 1); /* both prompts */
    for (uint32_t i = 0; i < 25; i++, now = ahead) {
        assert_true(scheduler_plan_ahead(bench.scheduler, &now, &ahead));
        scheduler_check(bench.scheduler);
        assert_true(ahead.ahead);
        assert_int_equal(ahead.entry_count, 2);
        assert_int_equal(entry_of(&ahead, first)->position, 10 + i);
        assert_int_equal(entry_of(&ahead, second)->position, 31 + i);
        for (uint32_t j = 0; j < 2; j++)
            assert_ptr_equal(now.entries[ahead.entries[j].source].sequence,
                             ahead.entries[j].sequence);
        end_step(&bench, &now);
    }
    assert_int_equal(first->output_count, 25);
    scheduler_finish(bench.scheduler, second); /* cancelled: it leaves the plan under way */
    assert_null(entry_of(&now, second));
    assert_true(scheduler_plan_ahead(bench.scheduler, &now, &ahead));
    assert_int_equal(ahead.entry_count, 1);
    end_step(&bench, &now);
    end_step(&bench, &ahead);
    assert_int_equal(first->output_count, 27);
    bench_destroy(&bench);
}

static void a_plan_ahead_leaves_out_who_ends_by_length(void **state)
{
    (void)state;
    struct bench bench;
    struct plan ahead;
    bench_init(&bench, 256, 64, 8);
    struct sequence *shorter = add_plain(&bench, 10, 1), *longer = add_plain(&bench, 10, 2);
    struct plan now = scheduler_plan(bench.scheduler, 1);
    assert_true(scheduler_plan_ahead(bench.scheduler, &now, &ahead));
    assert_int_equal(ahead.entry_count, 1);
    assert_null(entry_of(&ahead, shorter));
    end_step(&bench, &now);
    assert_false(scheduler_plan_ahead(bench.scheduler, &ahead, &now)); /* nobody would be in it */
    end_step(&bench, &ahead);
    assert_int_equal(longer->state, SEQUENCE_FINISHED);
    bench_destroy(&bench);
}

static void nobody_is_passed_by_a_plan_ahead(void **state)
{
    (void)state;
    struct bench bench;
    struct plan now, ahead;
    bench_init(&bench, 256, 64, 2);
    (void)add_plain(&bench, 10, 30);
    now = scheduler_plan(bench.scheduler, 1);
    (void)add_plain(&bench, 100, 4); /* there is a seat: it is to be admitted */
    assert_false(scheduler_plan_ahead(bench.scheduler, &now, &ahead));
    end_step(&bench, &now);
    now = scheduler_plan(bench.scheduler, 2); /* a part of the prompt */
    assert_false(scheduler_plan_ahead(bench.scheduler, &now, &ahead));
    end_step(&bench, &now);
    now = scheduler_plan(bench.scheduler, 3);
    (void)add_plain(&bench, 10, 30);
    assert_true(scheduler_plan_ahead(bench.scheduler, &now, &ahead)); /* it waits for a seat */
    end_step(&bench, &now);
    end_step(&bench, &ahead);
    now = scheduler_plan(bench.scheduler, 4);
    assert_true(scheduler_plan_ahead(bench.scheduler, &now, &ahead));
    end_step(&bench, &now);
    assert_false(
        scheduler_plan_ahead(bench.scheduler, &ahead, &now)); /* one ends, a seat is free */
    bench_destroy(&bench);
}

/* A pool of 8 blocks: 2 x 3 for prompts of 48, one each for what follows, and then no more. */
static void a_plan_ahead_takes_no_block_from_anybody(void **state)
{
    (void)state;
    struct bench bench;
    struct plan now, ahead;
    bench_init(&bench, 8, 128, 2);
    (void)add_plain(&bench, 48, 40);
    (void)add_plain(&bench, 48, 40);
    now = scheduler_plan(bench.scheduler, 1);
    for (uint32_t i = 0; i < 16; i++, now = ahead) {
        assert_true(scheduler_plan_ahead(bench.scheduler, &now, &ahead));
        end_step(&bench, &now);
    }
    assert_int_equal(kv_cache_available(bench.cache), 0);
    assert_false(scheduler_plan_ahead(bench.scheduler, &now, &ahead));
    end_step(&bench, &now);
    assert_int_equal(scheduler_counts(bench.scheduler).preemptions, 0);
    (void)run_step(&bench);
    assert_int_equal(scheduler_counts(bench.scheduler).preemptions, 1);
    bench_destroy(&bench);
}

/* Keeps two tenants' queues full and measures what each gets. */
static void measure_shares(float weight, uint32_t first_tokens, uint32_t second_tokens,
                           double *ret_ratio)
{
    struct bench bench;
    bench_init(&bench, 512, 128, 4);
    uint64_t produced[2] = {0};
    struct sequence *open[2][4] = {{0}};
    for (uint32_t step = 0; step < 4000; step++) {
        for (uint32_t t = 0; t < 2; t++)
            for (uint32_t i = 0; i < 4; i++) {
                if (open[t][i] != NULL && open[t][i]->state != SEQUENCE_FINISHED)
                    continue;
                if (open[t][i] != NULL)
                    produced[t] += 8 + open[t][i]->output_count;
                if (bench.generation_count == 256)
                    continue;
                struct generation_request request =
                    client_request(step, 8, t == 0 ? first_tokens : second_tokens);
                request.tenant = t + 1;
                request.tenant_weight = t == 0 ? weight : 1.0f;
                open[t][i] = add(&bench, &request);
            }
        if (bench.generation_count == 256)
            break;
        (void)run_step(&bench);
    }
    *ret_ratio = (double)produced[0] / (double)produced[1];
    double served = scheduler_served(bench.scheduler, 1) * (double)weight;
    assert_true(served > (double)produced[0] - 0.5); /* and what runs still */
    bench_destroy(&bench);
}

static void tenants_share_by_tokens_and_weight(void **state)
{
    (void)state;
    double ratio;
    measure_shares(1.0f, 16, 16, &ratio);
    assert_true(ratio > 0.9 && ratio < 1.1);
    measure_shares(1.0f, 64, 8, &ratio); /* long answers against short ones */
    assert_true(ratio > 0.85 && ratio < 1.2);
    measure_shares(3.0f, 16, 16, &ratio);
    assert_true(ratio > 2.6 && ratio < 3.4);
}

static void idle_time_earns_nothing_and_flooding_delays_nobody_else(void **state)
{
    (void)state;
    struct bench bench;
    bench_init(&bench, 256, 64, 1);
    for (uint32_t i = 0; i < 100; i++) { /* tenant 1 floods */
        struct generation_request request = client_request(i, 10, 4);
        (void)add(&bench, &request);
    }
    for (uint32_t step = 0; step < 100; step++)
        (void)run_step(&bench);
    struct sequence *late[20];
    for (uint32_t i = 0; i < 20; i++) { /* tenant 2 comes late */
        struct generation_request request = client_request(i, 10, 4);
        request.tenant = 2;
        late[i] = add(&bench, &request);
    }
    for (uint32_t step = 0; step < 80; step++)
        (void)run_step(&bench);
    uint32_t done = 0;
    for (uint32_t i = 0; i < 20; i++)
        done += late[i]->state == SEQUENCE_FINISHED;
    assert_in_range(done, 9, 11); /* half of the 20 turns: neither none nor all */
    bench_destroy(&bench);
}

static void newest_of_the_lowest_priority_is_preempted(void **state)
{
    (void)state;
    struct bench bench;
    bench_init(&bench, 8, 64, 4);
    struct sequence *sequences[4];
    const int32_t priorities[4] = {0, 1, 1, 0};
    for (uint32_t i = 0; i < 4; i++) {
        struct generation_request request = client_request(i, 10, 60);
        request.priority = priorities[i];
        sequences[i] = add(&bench, &request);
    }
    const uint32_t order[4] = {2, 1, 3, 0}; /* of being preempted first */
    uint32_t seen = 0;
    while (sequences[0]->state != SEQUENCE_FINISHED) {
        (void)run_step(&bench);
        for (uint32_t i = 0; i < 4; i++) {
            if (sequences[order[i]]->preemptions == 0)
                continue;
            assert_true(i <= seen);
            seen += i == seen;
        }
    }
    assert_true(seen >= 2);
    assert_int_equal(sequences[0]->preemptions, 0);
    while (scheduler_has_work(bench.scheduler))
        (void)run_step(&bench);
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(sequences[i]->output_count, 60);
    bench_destroy(&bench);
}

static void resuming_finds_its_own_blocks_again(void **state)
{
    (void)state;
    struct bench bench;
    bench_init(&bench, 12, 64, 2);
    struct sequence *senior = add_plain(&bench, 64, 100), *junior = add_plain(&bench, 64, 40);
    while (junior->preemptions == 0)
        (void)run_step(&bench);
    uint32_t tokens = sequence_token_count(junior);
    assert_int_equal(junior->computed_tokens, 0);
    scheduler_finish(bench.scheduler, senior);
    struct plan plan = run_step(&bench);
    assert_ptr_equal(plan.entries[0].sequence, junior);
    assert_true(plan.entries[0].position >= (tokens - 1) / 16 * 16 - 16);
    bench_destroy(&bench);
}

/* Any load ends: the pool holds one context and nothing more. */
static void every_sequence_ends_in_the_smallest_pool(void **state)
{
    (void)state;
    for (uint32_t round = 0; round < 20; round++) {
        struct bench bench;
        bench_init(&bench, 4 + round % 3, 16 + round, 2 + round % 14);
        uint32_t context = (4 + round % 3) * KV_BLOCK_TOKENS;
        uint32_t budget = 0;
        for (uint32_t i = 0; i < 40; i++) {
            uint32_t prompt = 1 + (i * 37 + round * 11) % (context - 1);
            uint32_t output = 1 + (i * 17 + round) % (context - prompt);
            struct generation_request request = client_request(i % 7, prompt, output);
            request.priority = (int32_t)(i % 3);
            request.tenant = i % 4;
            request.choices = 1 + i % 3;
            request.prompt_logprobs = i % 5 == 0;
            (void)add(&bench, &request);
            budget += 3 * (prompt + output) * 4;
        }
        for (uint32_t step = 0; scheduler_has_work(bench.scheduler); step++) {
            struct plan plan = run_step(&bench);
            assert_true(plan.row_count > 0);
            assert_true(step < budget);
        }
        for (uint32_t i = 0; i < bench.generation_count; i++)
            assert_int_equal(bench.generations[i]->unfinished, 0);
        bench_destroy(&bench);
    }
}

static void echo_rows_keep_to_their_budget(void **state)
{
    (void)state;
    struct bench bench;
    bench_init(&bench, 256, 512, 8);
    struct generation_request request = client_request(1, 300, 2);
    request.prompt_logprobs = true;
    struct sequence *echo = add(&bench, &request);
    (void)add_plain(&bench, 200, 2);
    while (scheduler_has_work(bench.scheduler)) {
        struct plan plan = run_step(&bench);
        assert_true(plan.output_count <= 8 + SCHEDULER_ECHO_ROWS_MAX);
        const struct planned *entry = entry_of(&plan, echo);
        assert_true(entry == NULL || entry->echo_count <= SCHEDULER_ECHO_ROWS_MAX);
    }
    assert_int_equal(echo->output_count, 2);
    bench_destroy(&bench);
}

static void more_tenants_than_entries_are_forgotten_not_refused(void **state)
{
    (void)state;
    struct bench bench;
    bench_init(&bench, 64, 64, 8);
    for (uint64_t tenant = 0; tenant < 5000; tenant++) {
        struct generation_request request = client_request(1, 5, 1);
        request.tenant = tenant;
        bench.generation_count = 0;
        struct sequence *sequence = add(&bench, &request);
        (void)run_step(&bench);
        assert_int_equal(sequence->state, SEQUENCE_FINISHED);
        generation_free(sequence->generation, true);
    }
    bench.generation_count = 0;
    bench_destroy(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decodes_come_first_and_prefills_fill_the_budget),
        cmocka_unit_test(planning_twice_gives_the_same_plan),
        cmocka_unit_test(short_prompt_does_not_wait_for_a_long_one),
        cmocka_unit_test(long_prompt_is_not_starved_by_short_ones),
        cmocka_unit_test(lower_priority_value_is_admitted_first),
        cmocka_unit_test(a_plan_ahead_goes_on_by_a_token),
        cmocka_unit_test(a_plan_ahead_leaves_out_who_ends_by_length),
        cmocka_unit_test(nobody_is_passed_by_a_plan_ahead),
        cmocka_unit_test(a_plan_ahead_takes_no_block_from_anybody),
        cmocka_unit_test(tenants_share_by_tokens_and_weight),
        cmocka_unit_test(idle_time_earns_nothing_and_flooding_delays_nobody_else),
        cmocka_unit_test(newest_of_the_lowest_priority_is_preempted),
        cmocka_unit_test(resuming_finds_its_own_blocks_again),
        cmocka_unit_test(every_sequence_ends_in_the_smallest_pool),
        cmocka_unit_test(echo_rows_keep_to_their_budget),
        cmocka_unit_test(more_tenants_than_entries_are_forgotten_not_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
