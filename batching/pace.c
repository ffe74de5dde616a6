/* SPDX-License-Identifier: Apache-2.0 */
#include "batching/pace.h"

#include <math.h>

#define FADING_S 30.0 /* to 1/e */

void pace_note(struct pace *pace, uint64_t left, uint32_t waiting, uint64_t now_us)
{
    if (pace->somebody_waited && now_us > pace->noted_us) {
        double seconds = (double)(now_us - pace->noted_us) / 1e6;
        double kept = exp(-seconds / FADING_S);
        pace->left = pace->left * kept + (double)left;
        pace->seconds = pace->seconds * kept + seconds;
    }
    pace->noted_us = now_us;
    pace->somebody_waited = waiting > 0;
}

uint32_t pace_a_ks(const struct pace *pace)
{
    if (pace->seconds <= 0)
        return 0;
    /* Where nobody has left for long, the next one may at any moment: as if one just had. */
    double a_ks = 1000 * fmax(pace->left, 1) / pace->seconds;
    return a_ks >= (double)UINT32_MAX ? UINT32_MAX : a_ks < 1 ? 1 : (uint32_t)a_ks;
}

uint32_t pace_retry_after_s(uint32_t waiting, uint32_t a_ks)
{
    if (a_ks == 0 || waiting == 0)
        return 1;
    uint64_t seconds = ((uint64_t)waiting * 1000 + a_ks - 1) / a_ks;
    return seconds < PACE_RETRY_AFTER_MAX_S ? (uint32_t)seconds : PACE_RETRY_AFTER_MAX_S;
}

uint64_t pace_still_us(const struct engine_stats *stats, uint64_t now_us)
{
    return stats->busy && now_us > stats->last_progress_us ? now_us - stats->last_progress_us : 0;
}

bool pace_stalled(const struct engine_stats *stats, uint64_t now_us, uint32_t timeout_ms)
{
    return pace_still_us(stats, now_us) > (uint64_t)timeout_ms * 1000;
}
