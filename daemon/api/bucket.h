/* SPDX-License-Identifier: Apache-2.0 */
/* bucket.h -- so many a minute, kept in one number. Pure: it is given the time. Any thread. */
#ifndef WEIR_DAEMON_API_BUCKET_H
#define WEIR_DAEMON_API_BUCKET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* A window in nanoseconds times this must fit 64 bits. */
#define BUCKET_PER_MINUTE_MAX 200000000u

/* All zero is a full bucket. */
struct bucket {
    _Atomic uint64_t arrival_ns;
};

/* Takes `cost` of `per_minute` (1..BUCKET_PER_MINUTE_MAX), or nothing and false: *ret_wait_us is
 * then how long it takes until it could, and UINT64_MAX when it never can. */
bool bucket_take(struct bucket *bucket, uint32_t per_minute, uint64_t cost, uint64_t now_us,
                 uint64_t *ret_wait_us);
/* Gives back some of what was taken, at the rate at which it was taken. */
void bucket_give(struct bucket *bucket, uint32_t per_minute, uint64_t count);
/* How many could be taken now, and *ret_full_us until it is full again. */
uint32_t bucket_left(const struct bucket *bucket, uint32_t per_minute, uint64_t now_us,
                     uint64_t *ret_full_us);
bool bucket_is_full(const struct bucket *bucket, uint64_t now_us);

#endif
