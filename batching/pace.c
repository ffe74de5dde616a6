/* SPDX-License-Identifier: Apache-2.0 */
/* pace.c -- two things are waited for, and the longer of them is the wait.
 *
 *     prompts   those ahead must be computed first:   their tokens * time of a token
 *     seats     so many sequences run at once; of     (how many must end) * time of a turn / seats
 *               those that run or wait ahead, some
 *               must end
 *
 * A prompt's token is timed over steps that compute some: steps of decodes alone have few rows and
 * say nothing of how fast prompts go. What the cache finds counts as computed, in no time: so the
 * share that it has found of late makes the tokens of those who wait cheaper.
 *
 * A turn is the time that all sequences ran, divided by the generations that ended meanwhile. Ends
 * a second would not do: a machine with seats to spare ends few because few ask. And it is
 * generations, for those are what waits; one of four choices takes four seats.
 *
 * Both are ratios of two sums that fade with the time spent in steps, by half in about 20 seconds:
 * an idle hour leaves them as they are, and a slow step or a burst of cancellations is outweighed
 * by those around it. The last few ends are kept however long ago they are, where generations take
 * minutes. Where nobody has ended yet, one may at any moment: as if one just had.
 *
 * It is an estimate. It counts whole ranks as ahead, and all that wait in them, though shares
 * reorder those; it knows nothing of who comes later with a better class, nor of how much the cache
 * will find for whom. So it errs to either side, and max_wait should leave room. */
#include "batching/pace.h"

#include <assert.h>
#include <math.h>

#define FADING_US   30e6 /* to 1/e */
#define ENDS_KEPT   8.0
#define TURN_US_MAX 1e12 /* days */
#define WAIT_US_MAX 1e18
#define SECOND_US   UINT64_C(1000000)

void pace_note(struct pace *pace, const struct pace_step *step)
{
    double us = step->ended_us > step->begun_us ? (double)(step->ended_us - step->begun_us) : 1;
    double kept = exp(-us / FADING_US);
    double ends_kept = pace->ends * kept >= ENDS_KEPT ? kept : 1;
    pace->ends = pace->ends * ends_kept + step->ends;
    pace->seat_us = pace->seat_us * ends_kept + us * step->running;
    if (step->prompt_tokens == 0)
        return;
    pace->prompt_tokens = pace->prompt_tokens * kept + step->prompt_tokens;
    pace->prompt_us = pace->prompt_us * kept + us;
}

/* Never 0 of what was measured. */
static double mean(double sum, double count, double most)
{
    return sum <= 0 ? 0 : fmin(fmax(sum / fmax(count, 1), 1), most);
}

struct pace_costs pace_costs(const struct pace *pace)
{
    return (struct pace_costs){
        .token_ns = (uint32_t)mean(pace->prompt_us * 1e3, pace->prompt_tokens, UINT32_MAX),
        .turn_us = (uint64_t)mean(pace->seat_us, pace->ends, TURN_US_MAX),
    };
}

uint64_t pace_wait_us(const struct pace_queue *queue, const struct pace_costs *costs)
{
    assert(queue->seats > 0);
    uint64_t ahead = (uint64_t)queue->running + queue->waiting;
    uint64_t must_end = ahead >= queue->seats ? ahead + 1 - queue->seats : 0;
    double prompts_us = (double)queue->waiting_tokens * costs->token_ns / 1e3;
    double seats_us = (double)must_end * (double)costs->turn_us / queue->seats;
    return (uint64_t)fmin(fmax(prompts_us, seats_us), WAIT_US_MAX);
}

uint32_t pace_retry_after_s(uint64_t wait_us)
{
    if (wait_us >= PACE_RETRY_AFTER_MAX_S * SECOND_US)
        return PACE_RETRY_AFTER_MAX_S;
    return wait_us == 0 ? 1 : (uint32_t)((wait_us + SECOND_US - 1) / SECOND_US);
}

static uint32_t bit_count(uint32_t value)
{
    return value == 0 ? 0 : 32 - (uint32_t)__builtin_clz(value);
}

uint32_t pace_rank(int32_t priority)
{
    return priority >= 0 ? PACE_RANKS / 2 + bit_count((uint32_t)priority)
                         : PACE_RANKS / 2 - bit_count(0 - (uint32_t)priority);
}

uint64_t pace_still_us(const struct engine_stats *stats, uint64_t now_us)
{
    return stats->busy && now_us > stats->last_progress_us ? now_us - stats->last_progress_us : 0;
}

bool pace_stalled(const struct engine_stats *stats, uint64_t now_us, uint32_t timeout_ms)
{
    return pace_still_us(stats, now_us) > (uint64_t)timeout_ms * 1000;
}
