/* SPDX-License-Identifier: Apache-2.0 */
/* memory.h -- how much memory there is, and how much of it the KV cache gets. Any thread. */
#ifndef WEIR_DAEMON_MEMORY_H
#define WEIR_DAEMON_MEMORY_H

#include "base/error.h"
#include "models/model.h"

#include <stdbool.h>
#include <stdint.h>

/* Bytes that could be taken without swapping: the least of what the kernel calls available and
 * what the control group (v2) still allows. 0 when neither can be read. */
uint64_t memory_available(void);

/* Bytes that this process may have: the least of the machine's and what the control group (v2)
 * allows. 0 when neither can be read. */
uint64_t memory_total(void);
/* What this process has, in bytes. False when it cannot be read. */
struct memory_use {
    uint64_t virtual_bytes, resident_bytes;
    uint64_t file_bytes; /* of the resident: the kernel can drop them */
};
bool memory_read(struct memory_use *ret);
/* Of that, what the kernel cannot drop. 0 when it cannot be read. */
uint64_t memory_used(void);
/* Whether requests are to be refused. It ends a thirty-second below the watermark, so that it does
 * not flicker. Pure; watermark 0: none. */
bool memory_is_over(bool was_over, uint64_t used_bytes, uint64_t watermark_bytes);

struct kv_request {
    const struct model_shape *shape; /* borrowed */
    uint32_t context;                /* 0: the model's, cut where memory is short */
    uint32_t max_sequences;
    uint64_t kv_memory_bytes; /* 0: chosen */
    uint64_t available_bytes; /* after the weights; 0: unknown */
    uint32_t models_to_come;  /* this one included: they share what is available */
};
struct kv_plan {
    uint64_t bytes;
    uint32_t context;
    bool context_cut; /* memory does not hold one sequence of the model's context */
};
/* Chosen bytes: four full contexts or 1,024 tokens for each sequence that may run, whichever is
 * more; at most half of this model's share of available memory. Pure. ERROR_INVALID with a
 * remedy when a context that was asked for does not fit. */
int kv_plan(const struct kv_request *request, struct kv_plan *ret, struct error *err);

#endif
