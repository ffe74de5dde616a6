/* SPDX-License-Identifier: Apache-2.0 */
/* wait_estimate.h -- how long a newcomer would wait for its first token, from what was measured.
 * Pure: it is given times, and reads no clock. */
#ifndef WEIR_BATCHING_WAIT_ESTIMATE_H
#define WEIR_BATCHING_WAIT_ESTIMATE_H

#include <stdint.h>

/* What steps have shown of late. All zero: nothing yet. One thread's. */
struct wait_meter {
    double prefill_rows, prefill_us; /* of steps that computed prompts */
    double ends, busy_us;            /* sequences that ended; of all steps */
};

/* A step took elapsed_us, computed so many rows of prompts, and so many sequences ended. */
void wait_meter_note(struct wait_meter *meter, uint32_t prefill_rows, uint32_t ends,
                     uint64_t elapsed_us);

/* 0 where nothing was measured: who knows nothing sends nobody away. */
struct wait_rates {
    uint32_t prompt_tokens_per_s;
    uint32_t ends_per_1000_s;
};
struct wait_rates wait_meter_rates(const struct wait_meter *meter);

struct wait_queue {
    uint32_t waiting, waiting_tokens; /* generations that never ran, and their prompts */
    uint32_t running, seats;          /* sequences that run, or are to go on; that may run */
};
uint64_t wait_estimate_us(const struct wait_queue *queue, const struct wait_rates *rates);

#endif
