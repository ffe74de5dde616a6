/* SPDX-License-Identifier: Apache-2.0 */
/* profiler.c -- the thread that takes a profile, and the state that its owner asks for.
 *
 * Owner and thread share two words. `state` says whose the result is: the thread's while RUNNING,
 * nobody's when DONE (whoever moves it on has it), the mover's in TAKING. `order` only rises while
 * a profile runs. A cancel and the end of the profile may meet: the owner writes the order and then
 * looks at the state, the thread writes the state and then looks at the order, so one of them sees
 * the other, and the exchange of DONE for TAKING lets only one of them free the result. */
#include "daemon/profile/profiler.h"

#include "base/clock.h"
#include "base/thread.h"
#include "daemon/profile/heap.h"
#include "daemon/profile/stack_sampler.h"
#include "daemon/profile/stacks.h"
#include "daemon/profile/symbols.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>

#define LOOK_NS         20000000 /* between takings of samples */
#define LOOKS_A_THREADS 10       /* between looks for new threads */
#define BROKEN_MARK     "[broken stack]"

enum profiler_state { PROFILER_IDLE, PROFILER_RUNNING, PROFILER_DONE, PROFILER_TAKING };
enum profiler_order { ORDER_RUN, ORDER_HURRY, ORDER_CANCEL };

struct profiler {
    /* fixed at start */
    struct stack_sampler *sampler;
    /* whoever `state` says */
    struct profile_request request;
    struct profile_result result;
    pthread_t thread;
    bool joinable; /* it ended, or is about to */
    /* shared */
    _Atomic uint32_t state; /* enum profiler_state */
    _Atomic uint32_t order; /* enum profiler_order */
    _Atomic uint64_t profiles[PROFILE_KIND_COUNT], samples, lost;
};

/* What a profile of stacks is made with. */
struct drawing {
    struct stack_sampler *sampler;
    struct symbols *symbols;
    struct stacks *stacks;
    uint64_t broken;
};

struct profiler *profiler_new(struct error *err)
{
    struct profiler *profiler = calloc(1, sizeof *profiler);
    if (profiler == NULL) {
        (void)error_no_memory(err);
        return NULL;
    }
    profiler->sampler = stack_sampler_new(err);
    if (profiler->sampler != NULL)
        return profiler;
    free(profiler);
    return NULL;
}

/* -- The thread -- */

/* A return address is behind its call, perhaps in the next function: a byte before is within. */
static void add(struct drawing *drawing, const struct sample *sample)
{
    const char *names[STACK_WALK_FRAMES_MAX + 2];
    uint32_t count = 0;
    static_assert(STACK_WALK_FRAMES_MAX + 2 <= STACKS_DEPTH_MAX, "a stack would not fit");
    for (uint32_t i = 0; i < sample->frame_count; i++) {
        const char *name = symbols_find(drawing->symbols, sample->frames[i] - (i > 0));
        if (count == 0 || name != names[count - 1] ||
            name[0] != '[') /* one "[libc.so.6]" will do */
            names[count++] = name;
    }
    if (sample->broken) {
        names[count++] = symbols_intern(drawing->symbols, BROKEN_MARK);
        drawing->broken += sample->ticks;
    }
    names[count++] = symbols_intern(drawing->symbols, sample->thread);
    stacks_add(drawing->stacks, names, count, sample->ticks);
}

static void take_all(struct drawing *drawing)
{
    struct sample sample;
    while (stack_sampler_take(drawing->sampler, &sample))
        add(drawing, &sample);
}

static void sample_until(const struct profiler *profiler, struct drawing *drawing, uint64_t end_us)
{
    const struct timespec pause = {.tv_nsec = LOOK_NS};
    for (uint32_t i = 1; atomic_load(&profiler->order) == ORDER_RUN; i++) {
        if (clock_monotonic_us() >= end_us)
            return;
        (void)nanosleep(&pause, NULL);
        take_all(drawing);
        if (i % LOOKS_A_THREADS == 0)
            stack_sampler_look(drawing->sampler);
    }
}

static int draw(struct profiler *profiler, struct drawing *drawing, struct profile_result *result)
{
    const struct profile_request *request = &profiler->request;
    uint64_t started_us = clock_monotonic_us();
    struct stack_sampler_counts counts;
    int code = stack_sampler_start(drawing->sampler, request->hz, &result->err);
    if (code != 0)
        return code;
    sample_until(profiler, drawing, started_us + request->seconds * UINT64_C(1000000));
    stack_sampler_stop(drawing->sampler);
    result->took_us = clock_monotonic_us() - started_us;
    take_all(drawing);
    stack_sampler_counts(drawing->sampler, &counts);
    stack_sampler_clear(drawing->sampler);
    result->samples = stacks_samples(drawing->stacks);
    result->lost = counts.lost;
    result->broken = drawing->broken;
    result->threads = counts.threads;
    result->threads_left_out = counts.left_out;
    (void)atomic_fetch_add(&profiler->samples, result->samples);
    (void)atomic_fetch_add(&profiler->lost, result->lost);
    stacks_fold(drawing->stacks, PROFILER_TEXT_MAX, &result->body);
    return result->body.failed ? error_no_memory(&result->err) : 0;
}

static int profile_cpu(struct profiler *profiler, struct profile_result *result)
{
    struct drawing drawing = {.sampler = profiler->sampler,
                              .symbols = symbols_new(&result->err),
                              .stacks = stacks_new(&result->err)};
    int code = drawing.symbols == NULL || drawing.stacks == NULL ? ERROR_NO_MEMORY
                                                                 : draw(profiler, &drawing, result);
    symbols_free(drawing.symbols);
    stacks_free(drawing.stacks);
    return code;
}

/* DONE becomes TAKING for one alone. */
static bool move_done(struct profiler *profiler)
{
    uint32_t expected = PROFILER_DONE;
    return atomic_compare_exchange_strong(&profiler->state, &expected, PROFILER_TAKING);
}

static void drop_if_done(struct profiler *profiler)
{
    if (!move_done(profiler))
        return;
    text_destroy(&profiler->result.body);
    atomic_store(&profiler->state, PROFILER_IDLE);
}

static void *profile_main(void *argument)
{
    struct profiler *profiler = argument;
    struct profile_result *result = &profiler->result;
    int code = profiler->request.kind == PROFILE_CPU
                   ? profile_cpu(profiler, result)
                   : heap_dump(heap_own_control(), &result->body, &result->err);
    assert((code == 0) == (result->err.code == 0));
    int bell_fd = profiler->request.bell_fd;
    atomic_store(&profiler->state, PROFILER_DONE);
    if (atomic_load(&profiler->order) == ORDER_CANCEL)
        drop_if_done(profiler);
    else
        (void)eventfd_write(bell_fd, 1);
    return NULL;
}

/* -- Its owner -- */

static void join(struct profiler *profiler)
{
    if (profiler->joinable)
        (void)pthread_join(profiler->thread, NULL);
    profiler->joinable = false;
}

int profiler_start(struct profiler *profiler, const struct profile_request *request,
                   struct error *err)
{
    uint32_t expected = PROFILER_IDLE;
    if (!atomic_compare_exchange_strong(&profiler->state, &expected, PROFILER_TAKING))
        return error_set(err, ERROR_BUSY, "a profile is being taken, and there is one at a time");
    join(profiler); /* it has nothing left to do but to return */
    profiler->request = *request;
    profiler->result = (struct profile_result){0};
    text_init(&profiler->result.body);
    atomic_store(&profiler->order, ORDER_RUN);
    atomic_store(&profiler->state, PROFILER_RUNNING);
    int failed = thread_start(&profiler->thread, "profile", 0, profile_main, profiler);
    if (failed != 0) {
        atomic_store(&profiler->state, PROFILER_IDLE);
        return error_set_errno(err, failed, "the thread of a profile");
    }
    profiler->joinable = true;
    (void)atomic_fetch_add(&profiler->profiles[request->kind], 1);
    return 0;
}

void profiler_hurry(struct profiler *profiler)
{
    uint32_t expected = ORDER_RUN;
    (void)atomic_compare_exchange_strong(&profiler->order, &expected, ORDER_HURRY);
}

void profiler_cancel(struct profiler *profiler)
{
    atomic_store(&profiler->order, ORDER_CANCEL);
    drop_if_done(profiler);
}

bool profiler_take(struct profiler *profiler, struct profile_result *ret)
{
    if (!move_done(profiler))
        return false;
    *ret = profiler->result;
    text_init(&profiler->result.body);
    atomic_store(&profiler->state, PROFILER_IDLE);
    return true;
}

void profiler_free(struct profiler *profiler)
{
    if (profiler == NULL)
        return;
    profiler_cancel(profiler);
    join(profiler);
    assert(atomic_load(&profiler->state) == PROFILER_IDLE);
    stack_sampler_free(profiler->sampler);
    free(profiler);
}

void profiler_stats(const struct profiler *profiler, struct profiler_stats *ret)
{
    *ret = (struct profiler_stats){.running = atomic_load(&profiler->state) != PROFILER_IDLE,
                                   .samples = atomic_load(&profiler->samples),
                                   .lost = atomic_load(&profiler->lost)};
    for (uint32_t i = 0; i < PROFILE_KIND_COUNT; i++)
        ret->profiles[i] = atomic_load(&profiler->profiles[i]);
}
