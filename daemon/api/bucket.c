/* SPDX-License-Identifier: Apache-2.0 */
/* bucket.c -- a token bucket as one moment in time (the generic cell rate algorithm of ITU-T
 * I.371).
 *
 *         now                     arrival           now + a minute
 *          |=======  taken  ========|.......  left  .......|
 *
 * What was taken lies before us as time: each unit is worth a minute / per_minute, and time eats
 * it up. `arrival` is when the bucket will be full again; one that is past counts as now. Taking
 * moves it to the right, never further than a minute ahead; giving back moves it to the left. So
 * there is no counter, no timestamp beside it and no refill, one compare-and-swap is the whole of
 * it, and a new limit (a reload) needs no conversion: the share that is taken stays the same.
 *
 * What is given back was taken before and can only have shrunk since: at worst `arrival` falls into
 * the past, where it means full. */
#include "daemon/api/bucket.h"

#include <assert.h>

#define MINUTE_NS UINT64_C(60000000000)
static_assert(UINT64_MAX / BUCKET_PER_MINUTE_MAX > MINUTE_NS, "a product of both fits");

/* What so many are worth in time; count <= per_minute. */
static uint64_t span_ns(uint64_t count, uint32_t per_minute)
{
    return count * MINUTE_NS / per_minute;
}

bool bucket_take(struct bucket *bucket, uint32_t per_minute, uint64_t cost, uint64_t now_us,
                 uint64_t *ret_wait_us)
{
    assert(per_minute > 0);
    assert(per_minute <= BUCKET_PER_MINUTE_MAX);
    if (cost > per_minute) {
        *ret_wait_us = UINT64_MAX;
        return false;
    }
    uint64_t now_ns = now_us * 1000, cost_ns = span_ns(cost, per_minute), next;
    uint64_t seen = atomic_load_explicit(&bucket->arrival_ns, memory_order_relaxed);
    do {
        next = (seen > now_ns ? seen : now_ns) + cost_ns;
        if (next > now_ns + MINUTE_NS) {
            *ret_wait_us = (next - now_ns - MINUTE_NS + 999) / 1000;
            return false;
        }
    } while (!atomic_compare_exchange_weak_explicit(&bucket->arrival_ns, &seen, next,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

void bucket_give(struct bucket *bucket, uint32_t per_minute, uint64_t count)
{
    uint64_t before = atomic_fetch_sub_explicit(&bucket->arrival_ns, span_ns(count, per_minute),
                                                memory_order_relaxed);
    assert(before >= span_ns(count, per_minute)); /* no more than was taken */
}

uint32_t bucket_left(const struct bucket *bucket, uint32_t per_minute, uint64_t now_us,
                     uint64_t *ret_full_us)
{
    uint64_t now_ns = now_us * 1000;
    uint64_t arrival_ns = atomic_load_explicit(&bucket->arrival_ns, memory_order_relaxed);
    uint64_t taken_ns = arrival_ns > now_ns ? arrival_ns - now_ns : 0;
    if (taken_ns > MINUTE_NS) /* only by a clock that we read before another thread took */
        taken_ns = MINUTE_NS;
    *ret_full_us = (taken_ns + 999) / 1000;
    return (uint32_t)((MINUTE_NS - taken_ns) * per_minute / MINUTE_NS);
}

bool bucket_is_full(const struct bucket *bucket, uint64_t now_us)
{
    return atomic_load_explicit(&bucket->arrival_ns, memory_order_relaxed) <= now_us * 1000;
}
