/* SPDX-License-Identifier: Apache-2.0 */
/* block.c -- whose turn it is, and the block's barrier.
 *
 * A thread runs until it waits: at a barrier, in a warp's collective, or by its own wish. Then the
 * next one that can run does, and when none can while some live, the block hangs for ever on a
 * device: that is reported, with the places where they wait. Orders:
 *
 *     forward   the lowest warp runs as far as it can, then the next one: from barrier to barrier
 *               each is as far ahead of those above it as a device allows
 *     reverse   the highest warp first: who reads what a higher thread writes later has it written
 *     random    seeded, other for every block; warps advance side by side
 *
 * So where a barrier is missing between two warps, one of the first two has the one that should
 * have waited go first.
 *
 * Under TSan a barrier is a release by each who comes and an acquire by each who leaves. Two
 * objects take turns: with one, a thread that runs ahead to the next barrier would release there
 * what it did in between before a slow one acquires, and hide their race. */
#include "block.h"

#include "sanitizer.h"
#include "settings.h"
#include "sites.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

__thread uint3 threadIdx, blockIdx;
__thread dim3 blockDim, gridDim;
__thread unsigned char *emulator_dynamic;
static __thread struct block *running;
static __thread struct fiber *current;

struct block *block_current(void)
{
    return running;
}

struct fiber *fiber_current(void)
{
    return current;
}

void emulator_fail(const char *format, ...)
{
    char words[512];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(words, sizeof words, format, arguments);
    va_end(arguments);
    const struct fiber *fiber = current;
    if (running == NULL || fiber == NULL) {
        (void)fprintf(stderr, "emulator: %s\n", words);
    } else {
        uint3 b = blockIdx, t = fiber->thread_index;
        (void)fprintf(stderr, "emulator: %s\n  in %s, block (%u, %u, %u), thread (%u, %u, %u)\n",
                      words, running->launch->kernel.name, b.x, b.y, b.z, t.x, t.y, t.z);
    }
    (void)fflush(stderr);
    abort();
}

/* -- Turns -- */

static uint32_t random_next(struct block *block)
{
    block->random = block->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(block->random >> 33);
}

static unsigned lowest(uint32_t lanes)
{
    return (unsigned)__builtin_ctz(lanes);
}

static unsigned highest(uint32_t lanes)
{
    return 31u - (unsigned)__builtin_clz(lanes);
}

static struct fiber *fiber_of(struct block *block, unsigned warp, unsigned lane)
{
    return block->fibers[warp * WARP_LANES + lane];
}

/* The ready thread after `from`, which may be itself where it is the only one; NULL: none. Where
 * `stays`, threads of its own warp come before all others. */
static struct fiber *next_forward(struct block *block, unsigned from, bool stays)
{
    unsigned warp = from / WARP_LANES, lane = from % WARP_LANES;
    uint32_t ready = block->warps[warp].ready, above = lane == 31 ? 0 : ready & ~0u << (lane + 1);
    if (above != 0 || (stays && ready != 0))
        return fiber_of(block, warp, lowest(above != 0 ? above : ready));
    for (unsigned i = 1; i <= block->warp_count; i++) {
        unsigned other = (warp + i) % block->warp_count;
        if (block->warps[other].ready != 0)
            return fiber_of(block, other, lowest(block->warps[other].ready));
    }
    return NULL;
}

static struct fiber *next_reverse(struct block *block, unsigned from, bool stays)
{
    unsigned warp = from / WARP_LANES, lane = from % WARP_LANES;
    uint32_t ready = block->warps[warp].ready, below = ready & ((1u << lane) - 1);
    if (below != 0 || (stays && ready != 0))
        return fiber_of(block, warp, highest(below != 0 ? below : ready));
    for (unsigned i = 1; i <= block->warp_count; i++) {
        unsigned other = (warp + block->warp_count - i) % block->warp_count;
        if (block->warps[other].ready != 0)
            return fiber_of(block, other, highest(block->warps[other].ready));
    }
    return NULL;
}

static struct fiber *next_random(struct block *block)
{
    uint32_t draw = random_next(block);
    return next_forward(block, draw % block->thread_count, false);
}

static struct fiber *next_ready(struct block *block, unsigned from, bool stays)
{
    switch (settings()->order) {
    case ORDER_FORWARD:
        return next_forward(block, from, stays);
    case ORDER_REVERSE:
        return next_reverse(block, from, stays);
    default:
        return next_random(block);
    }
}

/* Who begins, where nobody is ahead: at the start, and when a barrier has opened. */
static struct fiber *first_ready(struct block *block)
{
    return next_ready(block, settings()->order == ORDER_REVERSE ? 0 : block->thread_count - 1,
                      false);
}

static bool is_same_wait(const struct fiber *a, const struct fiber *b)
{
    return a->state == b->state && is_same_site(a->site, b->site) &&
           (a->state != FIBER_IN_WARP || a->mask == b->mask);
}

static void report_wait(const struct block *block, const struct fiber *fiber)
{
    unsigned count = 0;
    for (unsigned i = 0; i < block->thread_count; i++) {
        if (!is_same_wait(block->fibers[i], fiber))
            continue;
        if (i < fiber->index)
            return; /* its turn was earlier */
        count++;
    }
    (void)fprintf(stderr, "  %u of its threads wait at %s:%d ", count, fiber->site.file,
                  fiber->site.line);
    if (fiber->state == FIBER_AT_BARRIER)
        (void)fprintf(stderr, "in a barrier, first thread %u\n", fiber->index);
    else
        (void)fprintf(stderr, "in a collective of lanes %08x, first thread %u\n", fiber->mask,
                      fiber->index);
}

__attribute__((noreturn)) static void report_deadlock(struct block *block)
{
    uint3 index = blockIdx;
    (void)fprintf(stderr, "emulator: deadlock in %s, block (%u, %u, %u): no thread can go on\n",
                  block->launch->kernel.name, index.x, index.y, index.z);
    for (unsigned i = 0; i < block->thread_count; i++) {
        if (block->fibers[i]->state != FIBER_DONE)
            report_wait(block, block->fibers[i]);
    }
    (void)fflush(stderr);
    abort();
}

static void run(struct fiber *fiber)
{
    current = fiber;
    threadIdx = fiber->thread_index;
}

/* Another's turn; returns when it is this one's again. */
static void turn(struct block *block, struct fiber *fiber, struct fiber *next)
{
    if (next == fiber)
        return;
    if (next == NULL)
        report_deadlock(block);
    run(next);
    fiber_switch(&fiber->context, &next->context);
}

void emulator_yield(void)
{
    if (running != NULL)
        turn(running, current, next_ready(running, current->index, false));
}

void block_wait(struct fiber *fiber, enum fiber_state state)
{
    fiber->state = state;
    running->warps[fiber->index / WARP_LANES].ready &= ~(1u << fiber->index % WARP_LANES);
    turn(running, fiber, next_ready(running, fiber->index, true));
}

void block_wake(struct fiber *fiber)
{
    fiber->state = FIBER_READY;
    running->warps[fiber->index / WARP_LANES].ready |= 1u << fiber->index % WARP_LANES;
}

/* -- The barrier -- */

static void barrier_open(struct block *block)
{
    struct barrier *barrier = &block->barrier;
    for (unsigned i = 0; i < block->thread_count; i++) {
        struct fiber *fiber = block->fibers[i];
        if (fiber->state == FIBER_AT_BARRIER) {
            fiber->barrier_result = barrier->result;
            block_wake(fiber);
        }
    }
    barrier->arrived = 0;
    barrier->generation++;
}

static void barrier_arrive(struct barrier *barrier, enum emulator_barrier kind, bool predicate,
                           struct emulator_site site)
{
    if (barrier->arrived++ == 0) {
        barrier->kind = kind;
        barrier->site = site;
        barrier->result = kind == BARRIER_AND;
    } else if (!is_same_site(barrier->site, site) || barrier->kind != kind) {
        emulator_fail("divergent barriers: %s:%d and %s:%d meet", barrier->site.file,
                      barrier->site.line, site.file, site.line);
    }
    switch (kind) {
    case BARRIER_AND:
        barrier->result &= predicate;
        break;
    case BARRIER_OR:
        barrier->result |= predicate;
        break;
    default:
        barrier->result += predicate;
    }
}

int emulator_barrier(enum emulator_barrier kind, bool predicate, struct emulator_site site)
{
    if (kind == BARRIER_PLAIN && site_is_skipped(site))
        return 0;
    struct block *block = running;
    struct barrier *barrier = &block->barrier;
    struct fiber *fiber = current;
    char *order = &barrier->orders[barrier->generation & 1];
    tsan_release(order);
    fiber->site = site;
    barrier_arrive(barrier, kind, predicate, site);
    if (barrier->arrived < block->live) {
        block_wait(fiber, FIBER_AT_BARRIER);
    } else {
        fiber->barrier_result = barrier->result;
        barrier_open(block);
        turn(block, fiber, first_ready(block));
    }
    tsan_acquire(order);
    return fiber->barrier_result;
}

/* -- A block from its first thread to its last -- */

static void fiber_end(struct block *block, struct fiber *fiber)
{
    struct warp *warp = &block->warps[fiber->index / WARP_LANES];
    uint32_t lane = 1u << fiber->index % WARP_LANES;
    copy_async_end(fiber);
    tsan_release(&block->end_order);
    fiber->state = FIBER_DONE;
    warp->ready &= ~lane;
    warp->alive &= ~lane;
    block->live--;
    /* Those who wait need not wait for one that is gone. */
    if (block->live > 0 && block->barrier.arrived >= block->live)
        barrier_open(block);
}

/* What every fiber runs: its part of one block after the other. */
static void fiber_main(void)
{
    fiber_arrived(&running->worker);
    for (;;) {
        struct block *block = running;
        struct fiber *fiber = current;
        const struct emulator_kernel *kernel = &block->launch->kernel;
        tsan_acquire(&block->begin_order);
        kernel->call(kernel->function, block->launch->arguments);
        fiber_end(block, fiber);
        struct fiber *next = next_ready(block, fiber->index, true);
        if (next != NULL) {
            run(next);
            fiber_switch(&fiber->context, &next->context);
        } else if (block->live > 0) {
            report_deadlock(block);
        } else {
            fiber_switch(&fiber->context, &block->worker);
        }
    }
}

static void prepare_fibers(struct block *block)
{
    dim3 size = block->launch->block;
    if (tsan_is_linked())
        block->set ^= 1;
    struct fiber_set *set = &block->sets[block->set];
    block->fibers = set->fibers;
    for (unsigned i = 0; i < block->thread_count; i++) {
        if (i == set->count)
            set->fibers[set->count++] = fiber_new(i, fiber_main);
        struct fiber *fiber = set->fibers[i];
        fiber->thread_index = make_uint3(i % size.x, i / size.x % size.y, i / (size.x * size.y));
        fiber->state = FIBER_READY;
        fiber->fenced = false;
        fiber->observed_count = 0;
    }
}

void block_run(struct block *block, const struct launch *launch, uint3 block_index)
{
    running = block;
    block->launch = launch;
    block->thread_count = launch->block.x * launch->block.y * launch->block.z;
    block->live = block->thread_count;
    block->warp_count = (block->thread_count + WARP_LANES - 1) / WARP_LANES;
    if (tsan_is_linked())
        block->worker.tsan = __tsan_get_current_fiber();
    prepare_fibers(block);
    for (unsigned w = 0; w < block->warp_count; w++) {
        unsigned lanes = block->thread_count - w * WARP_LANES;
        struct warp *warp = &block->warps[w];
        warp->alive = warp->ready = lanes >= WARP_LANES ? ~0u : (1u << lanes) - 1;
        warp->waiting = 0;
    }
    block->barrier.arrived = 0;
    block->random = settings()->seed * 0x9e3779b97f4a7c15u +
                    (block_index.x + block_index.y * 7919u + block_index.z * 104729u);
    blockIdx = block_index;
    blockDim = launch->block;
    gridDim = launch->grid;
    emulator_dynamic = shared_begin(&block->shared, launch);
    struct fiber *first = first_ready(block);
    run(first);
    fiber_switch(&block->worker, &first->context);
    current = NULL;
    running = NULL;
}
