/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/load_retry.h"

void load_retry_failed(struct load_retry *retry, uint32_t longest_ms, uint64_t now_us)
{
    uint64_t wait_ms = LOAD_RETRY_FIRST_MS;
    for (uint32_t i = 0; i < retry->failures && wait_ms < longest_ms; i++)
        wait_ms *= 2;
    if (wait_ms > longest_ms)
        wait_ms = longest_ms;
    if (retry->failures < UINT32_MAX)
        retry->failures++;
    retry->due_us = now_us + wait_ms * 1000;
}

void load_retry_hurry(struct load_retry *retry)
{
    *retry = (struct load_retry){0};
}

uint64_t load_retry_left_us(const struct load_retry *retry, uint64_t now_us)
{
    return now_us < retry->due_us ? retry->due_us - now_us : 0;
}
