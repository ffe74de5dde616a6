/* SPDX-License-Identifier: Apache-2.0 */
/* wait_estimate.c -- two things are waited for, and the longer of them is the wait.
 *
 *     prompts   those ahead must be computed first:     their tokens / prompt tokens a second
 *     seats     max_sequences run at once; of those     (how many must end) / ends a second
 *               that run or wait ahead, some must end
 *
 * Both rates are ratios of two sums that forget: a step of so many microseconds scales what was
 * before it by 1 - elapsed / MEMORY_US (at least by half), so a burst of cancellations or one slow
 * step is outweighed by some ten seconds around it. Prompts are measured on steps that compute
 * some: steps of decodes alone have few rows and say nothing of how fast prompts go.
 *
 * It is an estimate. It takes the queue for one, though classes and shares reorder it, and knows
 * nothing of what the prefix cache will find: so it errs to the long side for who comes first, and
 * max_wait should leave room. */
#include "batching/wait_estimate.h"

#define MEMORY_US 10000000.0
#define KEEP_MIN  0.5
#define SECOND_US UINT64_C(1000000)

void wait_meter_note(struct wait_meter *meter, uint32_t prefill_rows, uint32_t ends,
                     uint64_t elapsed_us)
{
    double us = elapsed_us > 0 ? (double)elapsed_us : 1;
    double keep = 1 - us / MEMORY_US;
    if (keep < KEEP_MIN)
        keep = KEEP_MIN;
    meter->ends = meter->ends * keep + ends;
    meter->busy_us = meter->busy_us * keep + us;
    if (prefill_rows == 0)
        return;
    meter->prefill_rows = meter->prefill_rows * keep + prefill_rows;
    meter->prefill_us = meter->prefill_us * keep + us;
}

static uint32_t rate(double count, double us, double per_us)
{
    if (us <= 0 || count <= 0)
        return 0;
    double value = count / us * per_us;
    if (value < 1)
        return 1; /* it was measured, however slow */
    return value < (double)UINT32_MAX ? (uint32_t)value : UINT32_MAX;
}

struct wait_rates wait_meter_rates(const struct wait_meter *meter)
{
    return (struct wait_rates){
        .prompt_tokens_per_s = rate(meter->prefill_rows, meter->prefill_us, 1e6),
        .ends_per_1000_s = rate(meter->ends, meter->busy_us, 1e9),
    };
}

uint64_t wait_estimate_us(const struct wait_queue *queue, const struct wait_rates *rates)
{
    uint64_t ahead = (uint64_t)queue->running + queue->waiting, prompts_us = 0, seats_us = 0;
    uint64_t must_end = ahead >= queue->seats ? ahead + 1 - queue->seats : 0;
    if (rates->prompt_tokens_per_s > 0)
        prompts_us = queue->waiting_tokens * SECOND_US / rates->prompt_tokens_per_s;
    if (rates->ends_per_1000_s > 0)
        seats_us = must_end * (1000 * SECOND_US) / rates->ends_per_1000_s;
    return prompts_us > seats_us ? prompts_us : seats_us;
}
