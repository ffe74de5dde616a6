/* SPDX-License-Identifier: Apache-2.0 */
/* roofline_run.h -- a model's steps on a GPU that is not there: what `weir bench --roofline` asks,
 * and the answer to it. Main thread. */
#ifndef WEIR_DAEMON_COMMANDS_ROOFLINE_RUN_H
#define WEIR_DAEMON_COMMANDS_ROOFLINE_RUN_H

#include "base/error.h"
#include "base/text.h"
#include "kernels/roofline/gpu.h"
#include "models/model.h"

#define ROOFLINE_LIST_MAX     8u
#define ROOFLINE_BATCH_MAX    1024u
#define ROOFLINE_CONTEXT_MAX  (1u << 24)
#define ROOFLINE_STEP_MAX     65536u
#define ROOFLINE_CASES_MAX    (ROOFLINE_LIST_MAX * (ROOFLINE_LIST_MAX + 1))
#define ROOFLINE_NAME_BYTES   128u
#define ROOFLINE_LAUNCH_US    2.0 /* by default */
#define ROOFLINE_STEP_DEFAULT 512u

/* Numbers of a flag, or what stands for them where it is not given. */
struct roofline_list {
    uint32_t values[ROOFLINE_LIST_MAX];
    uint32_t count;
    bool given;
};

struct roofline_request {
    const char *path;
    const struct gpu *gpu;
    struct roofline_list batches, contexts, prompts;
    uint32_t step_tokens; /* of a prompt in one step */
    double launch_us;     /* of each kernel of a prefill; half of it in a graph, as decodes are */
};

/* One decode of `sequences` rows, each with `tokens` in its cache, or the whole prefill of a prompt
 * of so many. */
struct roofline_case {
    bool prefill;
    uint32_t sequences, tokens;
    struct roofline_kernel kernels[ROOFLINE_KERNELS_MAX];
    uint32_t kernel_count;
    double us, tokens_per_second;
    uint64_t memory_bytes; /* weights, and the cache of all sequences */
    bool fits;             /* the GPU has so much */
};

struct roofline_answer {
    char name[ROOFLINE_NAME_BYTES]; /* what the model calls itself, or "" */
    char architecture[ROOFLINE_NAME_BYTES];
    struct model_shape shape;
    uint64_t weight_bytes;
    struct roofline_case cases[ROOFLINE_CASES_MAX];
    uint32_t case_count;
};

/* Contexts and prompts beyond the model's own are cut where they were not given, else
 * ERROR_REFUSED. ERROR_UNSUPPORTED: no model that a GPU of ours serves. */
int roofline_run(const struct roofline_request *request, struct roofline_answer *ret,
                 struct error *err);
/* Microseconds of one kernel's launches, launching included, and what most of them are for. */
double roofline_us(const struct roofline_request *request, const struct roofline_case *of,
                   const struct roofline_kernel *kernel, const char **ret_bound);

/* roofline_table.c */
void roofline_write_table(const struct roofline_request *request,
                          const struct roofline_answer *answer, struct text *out);
void roofline_write_json(const struct roofline_request *request,
                         const struct roofline_answer *answer, struct text *out);

#endif
