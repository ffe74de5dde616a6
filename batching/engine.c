/* SPDX-License-Identifier: Apache-2.0 */
/* engine.c -- the thread that turns requests into tokens.
 *
 *      workers                        engine thread
 *      engine_submit() --> mailbox --> take mail
 *      engine_cancel() -->    "    --> take cancels      scheduler.c
 *                                      plan          --> sequences, rows, blocks
 *                                      run           --> model_begin(), model_end()
 *                                      sample        --> sampler.c
 *      engine_receive() <- outbox <--- deliver, wake
 *
 * This file is the loop and the bookkeeping of lives; what is hard is next door and pure. It alone
 * reads the clock.
 *
 * Exactly one finishing event a choice. A choice ends in one of two places: finish_in_step() uses
 * room reserved before the step ran; finish_outside() (cancelled, failed, stopped) uses the room
 * that came with the sequence. Both go through scheduler_finish(), which refuses a second end.
 * A step for whose events there is no memory is not run, and is planned again a millisecond later:
 * so nothing that was drawn is ever lost.
 *
 * Where the device draws tokens, two steps may be under way, the second begun ahead:
 *
 *     device   | step n          | step n + 1      | step n + 2
 *     host      plan n + 1, begin | end n, deliver, mail, plan n + 2, begin | end n + 1, ...
 *
 * A sequence that ends meanwhile leaves the plan, and what its row gives is not looked at; that its
 * blocks may be another's by then is no harm, for the device does one thing after the other.
 *
 * A failed step ends the sequences that were in it, with FINISH_ERROR: their cache is not to be
 * trusted. The others go on. A device that is lost ends them all, with FINISH_LOST, and the loop:
 * nothing that this process asks of it will work again. */
#include "batching/engine.h"

#include "base/clock.h"
#include "base/thread.h"
#include "batching/engine_check.h"
#include "batching/mailbox.h"
#include "batching/outbox.h"
#include "batching/pace.h"
#include "batching/scheduler.h"
#include "batching/sequence.h"
#include "batching/stats_board.h"
#include "batching/step_arrays.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define RETRY_WITHOUT_MEMORY_MS 1

/* A step under way. */
struct flight {
    bool up;
    bool reserved; /* room for its events */
    struct plan plan;
    struct step_arrays *arrays; /* its own */
    uint64_t begun_us;
    uint32_t running, prefill_rows; /* when it began */
};

struct engine {
    /* Fixed at start. */
    struct engine_config config;
    const struct model_shape *shape; /* borrowed: model */
    uint32_t slots;

    /* The engine thread's. */
    struct kv_cache *cache;
    struct scheduler *scheduler;
    struct sampler *sampler;
    struct generation **generations; /* [slots] */
    struct flight flights[2];        /* the older at `older`; the other may follow it */
    uint32_t older;
    uint64_t step_ended_us;
    uint32_t *event_counts;                 /* [workers] of the step being planned */
    uint64_t dequeued;                      /* that the mailbox knows of */
    struct scheduler_left left[PACE_RANKS]; /* the same by rank */
    struct pace pace;
    uint64_t cached_paced; /* of dequeued_cached_tokens: what pace knows of */
    uint32_t ended;        /* generations that had begun, since the last step that was measured */
    struct engine_stats stats;

    /* Shared: each guards itself. */
    struct mailbox *mailbox;
    struct outbox *outbox;
    struct stats_board board;
    struct error failure;      /* once `lost`; written by the engine thread before */
    _Atomic bool lost;         /* the device, for good */
    _Atomic uint64_t layer_us; /* written by the model: see model_step.progress_us */
    pthread_t thread;
    bool started; /* the thread is to be joined; owner's */
};

/* -- statistics -- */

static void publish(struct engine *engine, bool busy, uint64_t progress_us)
{
    struct engine_stats *stats = &engine->stats;
    struct scheduler_counts counts = scheduler_counts(engine->scheduler);
    stats->running = counts.running;
    stats->waiting = counts.waiting + counts.held;
    bool is_short = counts.short_of_blocks && counts.running > 0;
    mailbox_set_seats(engine->mailbox, counts.running,
                      is_short ? counts.running : engine->config.max_sequences);
    stats->kv = kv_cache_stats(engine->cache);
    stats->preemptions = counts.preemptions;
    stats->prefix_queries = counts.prefix_queries;
    stats->prefix_hits = counts.prefix_hits;
    stats->prompt_tokens_computed = counts.computed_tokens;
    stats->prompt_tokens_cached = counts.cached_tokens;
    stats->last_progress_us = progress_us;
    stats->busy = busy;
    stats_board_write(&engine->board, stats);
}

void engine_stats(const struct engine *engine, struct engine_stats *ret)
{
    stats_board_read(&engine->board, ret);
    uint64_t layer_us = atomic_load_explicit(&engine->layer_us, memory_order_relaxed);
    if (layer_us > ret->last_progress_us)
        ret->last_progress_us = layer_us;
    /* An engine that hangs while it sleeps says nothing of the mail that it does not take. */
    uint64_t mail_us = mailbox_mail_us(engine->mailbox);
    if (mail_us != 0 && !ret->busy) {
        ret->busy = true;
        if (mail_us > ret->last_progress_us)
            ret->last_progress_us = mail_us;
    }
    (void)mailbox_waiting(engine->mailbox, &ret->waiting_tokens);
}

static void count_step(struct engine *engine, uint32_t rows)
{
    static const uint32_t bounds[] = {1,   8,    16,   32,   64,   128,  256,
                                      512, 1024, 2048, 4096, 8192, 16384};
    uint32_t bucket = 0;
    while (bucket < sizeof bounds / sizeof *bounds && rows > bounds[bucket])
        bucket++;
    engine->stats.iteration_rows[bucket]++;
    engine->stats.steps++;
    engine->stats.step_rows += rows;
}

/* Tells the mailbox what the scheduler took out of the queue. */
static void settle_queue(struct engine *engine)
{
    struct scheduler_counts counts = scheduler_counts(engine->scheduler);
    if (counts.dequeued == engine->dequeued)
        return;
    engine->dequeued = counts.dequeued;
    const struct scheduler_left *left = scheduler_left(engine->scheduler);
    for (uint32_t i = 0; i < PACE_RANKS; i++) {
        uint32_t generations = left[i].generations - engine->left[i].generations;
        if (generations > 0)
            mailbox_left_queue(engine->mailbox, i, generations,
                               left[i].tokens - engine->left[i].tokens);
        engine->left[i] = left[i];
    }
}

/* -- ends -- */

static void fill_event(struct generation_event *event, const struct sequence *sequence)
{
    const struct generation *generation = sequence->generation;
    event->owner = generation->request.owner;
    event->choice = sequence->choice;
    event->sampled.logprob = NAN;
    event->prompt_tokens = generation->request.prompt_count;
    event->cached_tokens = sequence->cached_tokens;
    event->output_tokens = sequence->output_count;
    event->preemptions = sequence->preemptions;
    event->times = generation->times;
}

/* The choice is over and `event` says so. Frees the generation with its last choice: `sequence`
 * is not to be used after. */
static void finish(struct engine *engine, struct sequence *sequence, struct generation_event *event,
                   enum finish_reason reason, uint64_t now_us)
{
    struct generation *generation = sequence->generation;
    scheduler_finish(engine->scheduler, sequence);
    event->finish = reason;
    event->last = generation->unfinished == 0;
    event->times.finished_us = now_us;
    if (!event->last)
        return;
    engine->ended += generation->times.scheduled_us != 0;
    uint64_t id = generation->id;
    engine->generations[mailbox_slot(id)] = NULL;
    generation_free(generation, true);
    mailbox_retire(engine->mailbox, id);
}

static void finish_outside(struct engine *engine, struct sequence *sequence,
                           enum finish_reason reason, uint64_t now_us)
{
    struct generation_events *batch = sequence->last_words;
    uint32_t worker = sequence->generation->request.worker;
    assert(batch != NULL);
    sequence->last_words = NULL;
    batch->count = 1;
    fill_event(&batch->events[0], sequence);
    finish(engine, sequence, &batch->events[0], reason, now_us);
    outbox_append(engine->outbox, worker, batch);
}

static void finish_choices(struct engine *engine, struct generation *generation, uint32_t choices,
                           enum finish_reason reason, uint64_t now_us)
{
    uint32_t count = generation->sequence_count; /* the generation may go with the last one */
    uint32_t unfinished = generation->unfinished;
    for (uint32_t i = 0; i < count && unfinished > 0; i++) {
        struct sequence *sequence = &generation->sequences[i];
        if (sequence->state == SEQUENCE_FINISHED || !(choices & 1u << i))
            continue;
        unfinished--;
        finish_outside(engine, sequence, reason, now_us);
    }
}

/* -- mail -- */

static void take_mail(struct engine *engine, uint64_t now_us)
{
    struct generation *generation;
    while ((generation = mailbox_take(engine->mailbox)) != NULL) {
        uint32_t slot = mailbox_slot(generation->id);
        assert(engine->generations[slot] == NULL);
        engine->generations[slot] = generation;
        scheduler_add(engine->scheduler, generation);
        uint32_t cancelled = mailbox_cancelled(engine->mailbox, generation->id);
        finish_choices(engine, generation, cancelled, FINISH_ABORT, now_us);
    }
}

static void take_cancels(struct engine *engine, uint64_t now_us)
{
    if (!mailbox_has_cancels(engine->mailbox))
        return;
    for (uint32_t i = 0; i < engine->slots; i++) {
        struct generation *generation = engine->generations[i];
        if (generation != NULL)
            finish_choices(engine, generation, mailbox_cancelled(engine->mailbox, generation->id),
                           FINISH_ABORT, now_us);
    }
}

static void finish_all(struct engine *engine, enum finish_reason reason, uint64_t now_us)
{
    for (uint32_t i = 0; i < engine->slots; i++)
        if (engine->generations[i] != NULL)
            finish_choices(engine, engine->generations[i], UINT32_MAX, reason, now_us);
}

/* -- a step -- */

/* Room for every event that the plan can make: one a draw, one a prompt token. */
static bool reserve_events(struct engine *engine, const struct plan *plan)
{
    memset(engine->event_counts, 0, engine->config.workers * sizeof *engine->event_counts);
    for (uint32_t i = 0; i < plan->entry_count; i++) {
        const struct planned *entry = &plan->entries[i];
        if (entry->sequence == NULL)
            continue;
        const struct generation *generation = entry->sequence->generation;
        uint32_t first_told = generation->request.prompt_logprobs && generation->echoed_tokens == 0;
        engine->event_counts[generation->request.worker] +=
            entry->echo_count + entry->draws + first_told;
    }
    for (uint32_t i = 0; i < engine->config.workers; i++)
        if (engine->event_counts[i] > 0 &&
            !outbox_reserve(engine->outbox, i, engine->event_counts[i]))
            return false;
    return true;
}

static uint32_t count_prefill_rows(const struct plan *plan)
{
    uint32_t rows = 0;
    for (uint32_t i = 0; i < plan->entry_count; i++)
        if (!plan->ahead && plan->entries[i].sequence->state == SEQUENCE_PREFILL)
            rows += plan->entries[i].row_count;
    return rows;
}

static void launch(struct engine *engine, struct flight *flight, bool reserved)
{
    struct model_step step = step_arrays_fill(flight->arrays, &flight->plan);
    step.progress_us = &engine->layer_us;
    flight->up = true;
    flight->reserved = reserved;
    flight->begun_us = clock_monotonic_us();
    flight->running = scheduler_counts(engine->scheduler).running;
    flight->prefill_rows = count_prefill_rows(&flight->plan);
    model_begin(engine->config.model, &step, step_arrays_rows(flight->arrays),
                step_arrays_sources(flight->arrays));
}

static void tell_prompt_token(struct engine *engine, struct sequence *sequence, const float *logits)
{
    struct generation *generation = sequence->generation;
    const struct generation_request *request = &generation->request;
    uint32_t token = request->prompt[generation->echoed_tokens++];
    struct generation_event *event = outbox_next(engine->outbox, request->worker);
    fill_event(event, sequence);
    event->choice = 0;
    event->is_prompt = true;
    event->has_token = true;
    event->sampled.token = token;
    if (logits != NULL) /* the first token follows nothing */
        sampler_logprobs(engine->sampler, logits, token, request->sampling.top_logprobs,
                         &event->sampled);
}

static void tell_prompt(struct engine *engine, const struct planned *entry, const float *logits)
{
    const struct generation *generation = entry->sequence->generation;
    if (generation->request.prompt_logprobs && generation->echoed_tokens == 0)
        tell_prompt_token(engine, entry->sequence, NULL);
    for (uint32_t i = 0; i < entry->echo_count; i++, logits += engine->shape->vocabulary)
        tell_prompt_token(engine, entry->sequence, logits);
}

static bool among(uint32_t token, const uint32_t *tokens, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (tokens[i] == token)
            return true;
    return false;
}

/* The token of an output: the device's, or one of ours where it left that to us. */
static int choose(struct engine *engine, const struct model_results *results, uint32_t output,
                  const struct sampler_input *input, struct sampled *ret)
{
    const struct drawn *drawn = results->drawn == NULL ? NULL : &results->drawn[output];
    if (drawn == NULL || drawn->outcome == DRAW_LEFT)
        return sampler_draw(engine->sampler,
                            results->logits + (size_t)output * engine->shape->vocabulary, input,
                            ret);
    if (drawn->outcome == DRAW_NAN)
        return ERROR_INVALID;
    *ret = (struct sampled){.token = drawn->token, .logprob = drawn->logprob};
    engine->stats.device_draws++;
    return 0;
}

static void draw(struct engine *engine, struct sequence *sequence, const struct step_draw *draw,
                 const struct model_results *results, uint32_t output, uint64_t now_us)
{
    struct generation *generation = sequence->generation;
    const struct generation_request *request = &generation->request;
    struct generation_event *event = outbox_next(engine->outbox, request->worker);
    struct sampled sampled = {.logprob = NAN};
    if (choose(engine, results, output, &draw->input, &sampled) != 0) {
        fill_event(event, sequence);
        finish(engine, sequence, event, FINISH_NAN, now_us);
        return;
    }
    scheduler_drawn(engine->scheduler, sequence, sampled.token);
    engine->stats.generated_tokens++;
    if (generation->times.first_token_us == 0)
        generation->times.first_token_us = now_us;
    fill_event(event, sequence);
    event->has_token = true;
    event->sampled = sampled;
    if (among(sampled.token, draw->ends, draw->end_count))
        finish(engine, sequence, event, FINISH_STOP, now_us);
    else if (sequence->output_count == request->max_tokens)
        finish(engine, sequence, event, FINISH_LENGTH, now_us);
}

static void sample(struct engine *engine, const struct flight *flight,
                   const struct model_results *results, uint64_t now_us)
{
    uint32_t output = 0;
    for (uint32_t i = 0; i < flight->plan.entry_count; i++) {
        const struct planned *entry = &flight->plan.entries[i];
        const float *logits = results->logits + (size_t)output * engine->shape->vocabulary;
        output += entry->echo_count + entry->draws;
        if (entry->sequence == NULL) /* it ended while this was under way */
            continue;
        scheduler_computed(engine->scheduler, entry);
        tell_prompt(engine, entry, logits);
        if (entry->draws)
            draw(engine, entry->sequence, step_arrays_draw(flight->arrays, i), results, output - 1,
                 now_us);
    }
}

/* What is not answered now is answered by the end of the loop, which follows. */
static void lose(struct engine *engine, const struct error *err)
{
    engine->failure = *err;
    atomic_store(&engine->lost, true);
    mailbox_close(engine->mailbox);
}

static void fail(struct engine *engine, const struct plan *plan, uint64_t now_us)
{
    for (uint32_t i = 0; i < plan->entry_count; i++)
        if (plan->entries[i].sequence != NULL)
            finish_outside(engine, plan->entries[i].sequence, FINISH_ERROR, now_us);
}

static void measure(struct engine *engine, const struct flight *flight, uint64_t now_us)
{
    uint64_t cached_tokens = scheduler_counts(engine->scheduler).dequeued_cached_tokens;
    const uint64_t ended_us = engine->step_ended_us; /* of the step before: the device was its */
    const struct pace_step step = {
        .begun_us = flight->begun_us > ended_us ? flight->begun_us : ended_us,
        .ended_us = now_us,
        .running = flight->running,
        .prompt_tokens = flight->prefill_rows + (uint32_t)(cached_tokens - engine->cached_paced),
        .ends = engine->ended,
    };
    pace_note(&engine->pace, &step);
    engine->step_ended_us = now_us;
    engine->cached_paced = cached_tokens;
    engine->ended = 0;
    struct pace_costs costs = pace_costs(&engine->pace);
    mailbox_set_costs(engine->mailbox, &costs);
}

/* Before the device is waited for: an idle hour is no measure, and ends by cancellation do not wait
 * for a step. */
static void tell(struct engine *engine, uint64_t now_us)
{
    settle_queue(engine);
    publish(engine, true, now_us);
    outbox_deliver(engine->outbox, engine->config.wake, engine->config.wake_argument);
}

/* Begins a step. Without memory for what comes of it there is none, a millisecond long. */
static void begin_step(struct engine *engine, struct flight *flight)
{
    uint64_t now_us = clock_monotonic_us();
    flight->plan = scheduler_plan(engine->scheduler, now_us);
    tell(engine, now_us);
    if (reserve_events(engine, &flight->plan))
        launch(engine, flight, true);
    else
        mailbox_wait(engine->mailbox, RETRY_WITHOUT_MEMORY_MS);
}

/* While the device works: who came in the meantime, and the step behind, if it can be known. */
static void run_ahead(struct engine *engine, const struct flight *now, struct flight *next)
{
    if (step_arrays_rows(now->arrays) == NULL)
        return; /* its steps end as they begin */
    take_mail(engine, clock_monotonic_us());
    if (!step_arrays_may_lead(&now->plan) ||
        !scheduler_plan_ahead(engine->scheduler, &now->plan, &next->plan))
        return;
    engine->stats.steps_ahead++;
    launch(engine, next, false);
}

static void end_step(struct engine *engine, struct flight *flight)
{
    struct error err;
    struct model_results results;
    int code = model_end(engine->config.model, &results, &err);
    uint64_t now_us = clock_monotonic_us();
    flight->up = false;
    engine->stats.steps_failed += code != 0;
    if (code == 0)
        sample(engine, flight, &results, now_us);
    else if (code == ERROR_CLOSED)
        lose(engine, &err);
    else
        fail(engine, &flight->plan, now_us);
    count_step(engine, flight->plan.row_count);
    measure(engine, flight, now_us);
}

static void step(struct engine *engine)
{
    struct flight *now = &engine->flights[engine->older], *next = &engine->flights[!engine->older];
    if (now->up)
        tell(engine, clock_monotonic_us());
    else
        begin_step(engine, now);
    if (!now->up)
        return;
    if (!next->up)
        run_ahead(engine, now, next);
    /* Of a step that was begun ahead the draws are kept until there is room for them. */
    if (!now->reserved && !reserve_events(engine, &now->plan)) {
        mailbox_wait(engine->mailbox, RETRY_WITHOUT_MEMORY_MS);
        return;
    }
    end_step(engine, now);
    if (next->up)
        engine->older = !engine->older;
}

/* What is still under way is nobody's any more. */
static void land(struct engine *engine)
{
    struct model_results results;
    for (uint32_t i = 0; i < 2; i++, engine->older = !engine->older) {
        struct flight *flight = &engine->flights[engine->older];
        if (flight->up)
            (void)model_end(engine->config.model, &results, NULL);
        flight->up = false;
    }
}

static bool has_work(const struct engine *engine)
{
    return scheduler_has_work(engine->scheduler) || engine->flights[engine->older].up;
}

static void deliver(struct engine *engine)
{
    settle_queue(engine);
    publish(engine, has_work(engine), clock_monotonic_us());
    outbox_deliver(engine->outbox, engine->config.wake, engine->config.wake_argument);
}

static void *engine_main(void *argument)
{
    struct engine *engine = argument;
    while (!mailbox_closed(engine->mailbox)) {
        uint64_t now_us = clock_monotonic_us();
        take_mail(engine, now_us);
        take_cancels(engine, now_us);
        bool work = has_work(engine);
        if (work)
            step(engine);
        deliver(engine);
        if (!work)
            mailbox_wait(engine->mailbox, -1);
    }
    land(engine);
    mailbox_settle(engine->mailbox);
    take_mail(engine, clock_monotonic_us());
    finish_all(engine, atomic_load(&engine->lost) ? FINISH_LOST : FINISH_ABORT,
               clock_monotonic_us());
    deliver(engine);
    return NULL;
}

/* -- start and stop -- */

static int make_step_arrays(struct engine *engine, struct error *err)
{
    const struct tokenizer *tokenizer = model_tokenizer(engine->config.model);
    uint32_t vocabulary = tokenizer_vocabulary(tokenizer);
    uint32_t count = 0;
    for (uint32_t token = 0; token < vocabulary; token++)
        count += tokenizer_ends_generation(tokenizer, token);
    uint32_t *ends = calloc(count + 1, sizeof *ends);
    if (ends == NULL)
        return error_no_memory(err);
    const struct step_arrays_limits limits = {
        .rows_max = engine->config.max_step_tokens,
        .sequences_max = engine->config.max_sequences,
        .outputs_max = engine_outputs_max(&engine->config),
        .ends = ends,
        .end_count = count,
        .device_draws = model_draws(engine->config.model),
    };
    count = 0;
    for (uint32_t token = 0; token < vocabulary; token++)
        if (tokenizer_ends_generation(tokenizer, token))
            ends[count++] = token;
    for (uint32_t i = 0; i < 2; i++)
        engine->flights[i].arrays = step_arrays_new(&limits, err);
    free(ends);
    return engine->flights[0].arrays == NULL || engine->flights[1].arrays == NULL ? ERROR_NO_MEMORY
                                                                                  : 0;
}

static int make_arrays(struct engine *engine, struct error *err)
{
    const struct engine_config *config = &engine->config;
    engine->generations = calloc(engine->slots, sizeof(struct generation *));
    engine->event_counts = calloc(config->workers, sizeof *engine->event_counts);
    engine->outbox = outbox_new(config->workers);
    if (engine->generations == NULL || engine->event_counts == NULL || engine->outbox == NULL)
        return error_no_memory(err);
    return make_step_arrays(engine, err);
}

static int make_parts(struct engine *engine, uint32_t blocks, struct error *err)
{
    const struct engine_config *config = &engine->config;
    struct scheduler_config scheduling = {
        .context = config->context,
        .max_step_tokens = config->max_step_tokens,
        .max_sequences = config->max_sequences,
        .generations_max = engine->slots,
        .prefix_cache = config->prefix_cache,
        .share_prefixes = config->share_prefixes,
    };
    if (getrandom(scheduling.secrets, sizeof scheduling.secrets, 0) !=
        (ssize_t)sizeof scheduling.secrets)
        return error_set_errno(err, errno, "getrandom");
    const struct mailbox_limits limits = {
        .max_queue = config->max_queue,
        .max_queue_tokens = config->max_queue_tokens,
        .slots = engine->slots,
    };
    if ((engine->cache = kv_cache_new(blocks, err)) == NULL)
        return ERROR_NO_MEMORY;
    scheduling.cache = engine->cache;
    if ((engine->scheduler = scheduler_new(&scheduling, err)) == NULL ||
        (engine->sampler = sampler_new(engine->shape->vocabulary, err)) == NULL ||
        (engine->mailbox = mailbox_new(&limits, err)) == NULL)
        return ERROR_NO_MEMORY;
    return make_arrays(engine, err);
}

struct engine *engine_start(const struct engine_config *config, struct error *err)
{
    const struct model_shape *shape = model_shape(config->model);
    if (engine_check_config(config, shape, err) != 0)
        return NULL;
    uint32_t blocks = engine_pool_blocks(config, shape->kv_block_bytes, err);
    if (blocks == 0)
        return NULL;
    struct engine *engine = calloc(1, sizeof *engine);
    if (engine == NULL) {
        (void)error_no_memory(err);
        return NULL;
    }
    engine->config = *config;
    engine->shape = shape;
    /* Waiting ones are bounded; those that began and were preempted wait in slots of their own. */
    engine->slots = config->max_queue + 4 * config->max_sequences;
    const struct model_limits limits = engine_limits(config, blocks);
    if (make_parts(engine, blocks, err) != 0 || model_reserve(config->model, &limits, err) != 0)
        goto fail;
    publish(engine, false, clock_monotonic_us());
    int code =
        thread_start_numbered(&engine->thread, "engine", config->number, engine_main, engine);
    if (code != 0) {
        (void)error_set_errno(err, code, "engine thread");
        goto fail;
    }
    engine->started = true;
    return engine;
fail:
    engine_free(engine);
    return NULL;
}

bool engine_stop_until(struct engine *engine, int64_t end_unix_us)
{
    if (!engine->started)
        return true;
    const struct timespec end = {.tv_sec = (time_t)(end_unix_us / 1000000),
                                 .tv_nsec = end_unix_us % 1000000 * 1000};
    mailbox_close(engine->mailbox);
    engine->started = pthread_timedjoin_np(engine->thread, NULL, &end) != 0;
    return !engine->started;
}

void engine_stop(struct engine *engine)
{
    if (!engine->started)
        return;
    mailbox_close(engine->mailbox);
    (void)pthread_join(engine->thread, NULL);
    engine->started = false;
}

void engine_free(struct engine *engine)
{
    if (engine == NULL)
        return;
    assert(!engine->started);
    outbox_free(engine->outbox);
    mailbox_free(engine->mailbox);
    scheduler_free(engine->scheduler);
    kv_cache_free(engine->cache);
    sampler_free(engine->sampler);
    free(engine->generations);
    step_arrays_free(engine->flights[0].arrays);
    step_arrays_free(engine->flights[1].arrays);
    free(engine->event_counts);
    free(engine);
}

/* -- the workers' side -- */

int engine_admission(const struct engine *engine, int32_t priority, uint32_t *ret_retry_after_s,
                     struct error *err)
{
    return mailbox_admission(engine->mailbox, priority, ret_retry_after_s, err);
}

uint64_t engine_wait_us(const struct engine *engine, int32_t priority)
{
    return mailbox_wait_us(engine->mailbox, priority);
}

int engine_submit(struct engine *engine, const struct generation_request *request, uint64_t *ret_id,
                  struct error *err)
{
    int code = engine_check_request(&engine->config, request, engine->shape->vocabulary, err);
    if (code != 0)
        return code;
    struct generation *generation = generation_new(request);
    if (generation == NULL)
        return error_no_memory(err);
    generation->times.submitted_us = clock_monotonic_us();
    code = mailbox_post(engine->mailbox, generation, ret_id, err);
    if (code != 0)
        generation_free(generation, false);
    return code;
}

void engine_cancel(struct engine *engine, uint64_t id)
{
    mailbox_cancel(engine->mailbox, id, UINT32_MAX);
}

void engine_cancel_choice(struct engine *engine, uint64_t id, uint32_t choice)
{
    if (choice < ENGINE_CHOICES_MAX)
        mailbox_cancel(engine->mailbox, id, 1u << choice);
}

struct generation_events *engine_receive(struct engine *engine, uint32_t worker)
{
    return outbox_receive(engine->outbox, worker);
}

const struct error *engine_failure(const struct engine *engine)
{
    return atomic_load(&engine->lost) ? &engine->failure : NULL;
}

uint32_t engine_context(const struct engine *engine)
{
    return engine->config.context;
}
