/* SPDX-License-Identifier: Apache-2.0 */
/* scheduler_bench.c -- what a step costs beside the model: planning and accounting for 1024
 * sequences that decode while as many wait, and one draw from a large vocabulary.
 *
 *     scheduling_step sequences=1024 median_us=... p99_us=...
 */
#include "base/clock.h"
#include "batching/sampler.h"
#include "batching/scheduler.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEQUENCES  1024u
#define STEPS      400u
#define TENANTS    64u
#define VOCABULARY 131072u
#define DRAWS      40u

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return left < right ? -1 : left > right;
}

static struct generation *arrive(struct scheduler *scheduler, uint32_t number, uint32_t max_tokens)
{
    const struct generation_request request = {
        .prompt = calloc(100, sizeof(uint32_t)),
        .prompt_count = 100,
        .max_tokens = max_tokens,
        .choices = 1,
        .tenant = number % TENANTS,
        .tenant_weight = 1.0f,
    };
    assert(request.prompt != NULL);
    request.prompt[0] = number; /* nothing is shared */
    struct generation *generation = generation_new(&request);
    assert(generation != NULL);
    scheduler_add(scheduler, generation);
    return generation;
}

/* Plans a step and accounts for it; every token drawn is 1. */
static void step(struct scheduler *scheduler)
{
    struct plan plan = scheduler_plan(scheduler, 1);
    for (uint32_t i = 0; i < plan.entry_count; i++) {
        const struct planned *entry = &plan.entries[i];
        scheduler_computed(scheduler, entry);
        if (entry->draws)
            scheduler_drawn(scheduler, entry->sequence, 1);
    }
}

static void bench_steps(void)
{
    static double elapsed_us[STEPS];
    struct generation *generations[2 * SEQUENCES];
    struct kv_cache *cache = kv_cache_new(SEQUENCES * 64, NULL);
    assert(cache != NULL);
    const struct scheduler_config config = {
        .cache = cache,
        .context = 1024,
        .max_step_tokens = 8192,
        .max_sequences = SEQUENCES,
        .generations_max = 4 * SEQUENCES,
        .prefix_cache = true,
    };
    struct scheduler *scheduler = scheduler_new(&config, NULL);
    assert(scheduler != NULL);
    for (uint32_t i = 0; i < 2 * SEQUENCES; i++)
        generations[i] = arrive(scheduler, i, 900);
    while (scheduler_counts(scheduler).running < SEQUENCES)
        step(scheduler);
    for (uint32_t i = 0; i < 32; i++) /* the last prefills */
        step(scheduler);
    for (uint32_t i = 0; i < STEPS; i++) {
        uint64_t begun_us = clock_monotonic_us();
        step(scheduler);
        elapsed_us[i] = (double)(clock_monotonic_us() - begun_us);
    }
    qsort(elapsed_us, STEPS, sizeof *elapsed_us, compare);
    printf("scheduling_step sequences=%u waiting=%u median_us=%.0f p99_us=%.0f limit_us=200\n",
           scheduler_counts(scheduler).running, scheduler_counts(scheduler).waiting,
           elapsed_us[STEPS / 2], elapsed_us[STEPS * 99 / 100]);
    for (uint32_t i = 0; i < 2 * SEQUENCES; i++) {
        scheduler_finish(scheduler, &generations[i]->sequences[0]);
        generation_free(generations[i], true);
    }
    scheduler_free(scheduler);
    kv_cache_free(cache);
}

static void bench_draws(const char *name, const struct sampling *sampling)
{
    float *logits = malloc(VOCABULARY * sizeof *logits), *row = malloc(VOCABULARY * sizeof *row);
    struct sampler *sampler = sampler_new(VOCABULARY, NULL);
    assert(logits != NULL && row != NULL && sampler != NULL);
    uint32_t random = 1;
    for (uint32_t i = 0; i < VOCABULARY; i++) { /* a sum of uniforms: bell-shaped, as logits are */
        logits[i] = 0.0f;
        for (uint32_t j = 0; j < 4; j++) {
            random = random * 1664525u + 1013904223u;
            logits[i] += (float)(random >> 8) * 0x1p-24f * 8.0f - 4.0f;
        }
    }
    double elapsed_us[DRAWS];
    for (uint32_t i = 0; i < DRAWS; i++) {
        memcpy(row, logits, VOCABULARY * sizeof *row);
        const struct sampler_input input = {.sampling = sampling, .choice = i};
        struct sampled sampled;
        uint64_t begun_us = clock_monotonic_us();
        int code = sampler_draw(sampler, row, &input, &sampled);
        elapsed_us[i] = (double)(clock_monotonic_us() - begun_us);
        assert(code == 0);
    }
    qsort(elapsed_us, DRAWS, sizeof *elapsed_us, compare);
    printf("draw vocabulary=%u settings=%s best_us=%.0f median_us=%.0f\n", VOCABULARY, name,
           elapsed_us[0], elapsed_us[DRAWS / 2]);
    sampler_free(sampler);
    free(row);
    free(logits);
}

int main(void)
{
    bench_steps();
    struct sampling sampling = {.temperature = 0.0f, .top_p = 1.0f, .repetition_penalty = 1.0f};
    bench_draws("greedy", &sampling);
    sampling.temperature = 1.0f;
    bench_draws("plain", &sampling);
    sampling.top_k = 40;
    bench_draws("top_k", &sampling);
    sampling.top_k = 0;
    sampling.top_p = 0.95f;
    bench_draws("top_p", &sampling);
    sampling.top_p = 1.0f;
    sampling.min_p = 0.05f;
    bench_draws("min_p", &sampling);
    sampling.logprobs = true;
    sampling.top_logprobs = 20;
    bench_draws("min_p+logprobs", &sampling);
    return 0;
}
