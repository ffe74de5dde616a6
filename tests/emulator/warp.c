/* SPDX-License-Identifier: Apache-2.0 */
/* warp.c -- collectives of a warp's lanes.
 *
 * A lane leaves its call in its fiber and waits; the last lane of the mask to come finds all calls
 * there, computes what every lane gets, and wakes them. Any subset of the live lanes may meet, and
 * several disjoint ones at a time. A mask of all lanes in a block's last, partial warp means those
 * that there are.
 *
 * Under TSan those who meet hand over what they did so far, through an object that is theirs alone
 * (the reason is in block.c). */
#include "warp.h"

#include "sanitizer.h"
#include "sites.h"

#include <string.h>

#define FOR_LANES(lane, mask)                                                                      \
    for (uint32_t lane##_left = (mask), lane;                                                      \
         lane##_left != 0 && (lane = (uint32_t)__builtin_ctz(lane##_left), true);                  \
         lane##_left &= lane##_left - 1)

__attribute__((noreturn)) static void fail_divergent(const struct fiber *a, const struct fiber *b)
{
    emulator_fail("divergent collectives: lane %u at %s:%d with lanes %08x meets lane %u at %s:%d "
                  "with lanes %08x",
                  a->index % WARP_LANES, a->site.file, a->site.line, a->mask, b->index % WARP_LANES,
                  b->site.file, b->site.line, b->mask);
}

static void gather_lanes(struct fiber *lanes[WARP_LANES], struct fiber *last)
{
    struct fiber **warp = &block_current()->fibers[last->index / WARP_LANES * WARP_LANES];
    const struct emulator_warp_call *own = last->call;
    if (last->mask != ~0u)
        memset(lanes, 0, WARP_LANES * sizeof *lanes);
    FOR_LANES(l, last->mask)
    {
        const struct emulator_warp_call *call = warp[l]->call;
        if (call->op != own->op || warp[l]->mask != last->mask || call->bytes != own->bytes ||
            !is_same_site(call->site, own->site))
            fail_divergent(last, warp[l]);
        lanes[l] = warp[l];
    }
}

/* -- Shuffles -- */

/* Which lane's value lane l gets; its own where the source is past its section. */
static unsigned shuffle_source(const struct emulator_warp_call *call, unsigned l)
{
    unsigned width = call->width, first = l & ~(width - 1);
    int64_t source;
    switch (call->op) {
    case WARP_SHUFFLE:
        return first + (call->argument & (width - 1));
    case WARP_SHUFFLE_UP:
        source = (int64_t)l - call->argument;
        return source < first ? l : (unsigned)source;
    case WARP_SHUFFLE_DOWN:
        source = (int64_t)l + call->argument;
        break;
    default:
        source = l ^ call->argument;
    }
    return source >= first + width ? l : (unsigned)source;
}

static void shuffle(struct fiber *const lanes[WARP_LANES], const struct fiber *own)
{
    unsigned char values[WARP_LANES][8];
    FOR_LANES(l, own->mask)
    {
        const struct emulator_warp_call *call = lanes[l]->call;
        if (call->width == 0 || call->width > WARP_LANES || (call->width & (call->width - 1)) != 0)
            emulator_fail("%s:%d: a shuffle of width %u", call->site.file, call->site.line,
                          call->width);
        unsigned source = shuffle_source(call, l);
        if (lanes[source] == NULL)
            emulator_fail("%s:%d: lane %u shuffles from lane %u, which is not among lanes %08x",
                          call->site.file, call->site.line, l, source, own->mask);
        raw_copy(values[l], lanes[source]->call->in, call->bytes);
    }
    FOR_LANES(l, own->mask)
    {
        raw_copy(lanes[l]->call->out, values[l], own->call->bytes);
    }
}

/* -- Votes, sums and matches -- */

static uint64_t value_of(const struct fiber *lane)
{
    uint64_t value = 0;
    raw_copy(&value, lane->call->in, lane->call->bytes);
    return value;
}

static uint32_t combine(enum emulator_warp_op op, uint32_t a, uint32_t b)
{
    switch (op) {
    case WARP_ADD:
        return a + b;
    case WARP_MIN_SIGNED:
        return (int32_t)a < (int32_t)b ? a : b;
    case WARP_MAX_SIGNED:
        return (int32_t)a > (int32_t)b ? a : b;
    case WARP_MIN_UNSIGNED:
        return a < b ? a : b;
    case WARP_MAX_UNSIGNED:
        return a > b ? a : b;
    case WARP_AND:
        return a & b;
    case WARP_OR:
        return a | b;
    default:
        return a ^ b;
    }
}

static uint32_t vote(struct fiber *const lanes[WARP_LANES], const struct fiber *own)
{
    uint32_t ballot = 0, combined = 0;
    bool first = true;
    FOR_LANES(l, own->mask)
    {
        uint32_t value = (uint32_t)value_of(lanes[l]);
        ballot |= (uint32_t)(value != 0) << l;
        combined = first ? value : combine(own->call->op, combined, value);
        first = false;
    }
    switch (own->call->op) {
    case WARP_BALLOT:
        return ballot;
    case WARP_ANY:
        return ballot != 0;
    case WARP_ALL:
        return ballot == own->mask;
    default:
        return combined;
    }
}

static void match(struct fiber *const lanes[WARP_LANES], const struct fiber *own)
{
    FOR_LANES(l, own->mask)
    {
        uint32_t same = 0;
        FOR_LANES(other, own->mask)
        {
            same |= (uint32_t)(value_of(lanes[other]) == value_of(lanes[l])) << other;
        }
        if (own->call->op == WARP_MATCH_ALL && same != own->mask)
            same = 0;
        raw_copy(lanes[l]->call->out, &same, sizeof same);
    }
}

static void compute(struct fiber *const lanes[WARP_LANES], const struct fiber *own)
{
    switch (own->call->op) {
    case WARP_SYNC:
        return;
    case WARP_SHUFFLE:
    case WARP_SHUFFLE_UP:
    case WARP_SHUFFLE_DOWN:
    case WARP_SHUFFLE_XOR:
        shuffle(lanes, own);
        return;
    case WARP_MATCH_ANY:
    case WARP_MATCH_ALL:
        match(lanes, own);
        return;
    case WARP_MMA_F16:
    case WARP_MMA_BF16:
        matrix_multiply_16bit(lanes, own->call->op == WARP_MMA_BF16);
        return;
    case WARP_MMA_S8:
        matrix_multiply_s8(lanes);
        return;
    case WARP_LOAD_MATRICES:
    case WARP_LOAD_MATRICES_TURNED:
        matrix_load(lanes, own->call->argument, own->call->op == WARP_LOAD_MATRICES_TURNED);
        return;
    default:
        break;
    }
    uint32_t result = vote(lanes, own);
    FOR_LANES(l, own->mask)
    {
        raw_copy(lanes[l]->call->out, &result, sizeof result);
    }
}

/* -- Meeting -- */

/* The object of those who wait with one of the mask, or a new one. */
static char *order_of(struct warp *warp, struct fiber *const *fibers, uint32_t mask)
{
    if ((warp->waiting & mask) != 0)
        return fibers[__builtin_ctz(warp->waiting & mask)]->warp_order;
    return &warp->orders[warp->next_order++ % WARP_ORDERS];
}

void emulator_warp(const struct emulator_warp_call *call)
{
    if (call->op == WARP_SYNC && site_is_skipped(call->site))
        return;
    struct block *block = block_current();
    struct fiber *fiber = fiber_current();
    unsigned index = fiber->index / WARP_LANES, lane = fiber->index % WARP_LANES;
    struct warp *warp = &block->warps[index];
    struct fiber **fibers = &block->fibers[index * WARP_LANES];
    fiber->call = call;
    fiber->mask = call->mask;
    fiber->site = call->site;
    unsigned present = block->thread_count - index * WARP_LANES;
    if (present < WARP_LANES && call->mask == ~0u && call->op < WARP_MMA_F16)
        fiber->mask = (1u << present) - 1;
    uint32_t mask = fiber->mask;
    if ((mask >> lane & 1) == 0)
        emulator_fail("%s:%d: lane %u is not among the lanes %08x that it names", call->site.file,
                      call->site.line, lane, mask);
    if ((mask & ~warp->alive) != 0)
        emulator_fail("%s:%d: lanes %08x are named, of which %08x are gone", call->site.file,
                      call->site.line, mask, mask & ~warp->alive);
    if (tsan_is_linked()) {
        fiber->warp_order = order_of(warp, fibers, mask);
        tsan_release(fiber->warp_order);
    }
    warp->waiting |= 1u << lane;
    if ((warp->waiting & mask) != mask) {
        block_wait(fiber, FIBER_IN_WARP);
    } else {
        struct fiber *lanes[WARP_LANES];
        gather_lanes(lanes, fiber);
        compute(lanes, fiber);
        warp->waiting &= ~mask;
        FOR_LANES(l, mask)
        {
            if (lanes[l] != fiber)
                block_wake(lanes[l]);
        }
    }
    tsan_acquire(fiber->warp_order);
}
