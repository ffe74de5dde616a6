/* SPDX-License-Identifier: Apache-2.0 */
/* draws.c -- the sampler's memory, and what comes back of it.
 *
 *     device  | results | scratch: arrays of rows_at_once rows |
 *     pinned  | results | results |                               24 bytes a row, of two steps
 *
 * Settings go out with the step's other inputs (step_inputs.c). Rows that are the host's are drawn
 * too, greedily and for nobody: that takes a GPU microseconds, and rows stay where they are. */
#include "kernels/cuda/draws.h"

#include "kernels/cuda/cuda_memory.h"
#include "kernels/cuda/sample.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

/* A vocabulary of 150,000 takes 4 MiB a row: so many rows are drawn in one turn. */
#define SCRATCH_BYTES_MAX ((size_t)64 << 20)

#define UNTOLD_MAX 2u

/* Of one draw(). */
struct untold {
    struct sample_result *results; /* [row_max] pinned */
    cudaEvent_t done;              /* behind their copy */
    bool *left;                    /* [row_max] the host's */
};

struct draws {
    uint32_t row_max;
    struct sample_scratch scratch;
    struct sample_result *on_device; /* [row_max] */
    struct untold ring[UNTOLD_MAX];
    uint32_t drawn, told; /* counts */
};

static uint32_t rows_at_once(const struct reserve_args *args)
{
    const size_t most = SCRATCH_BYTES_MAX / cuda_sample_scratch_bytes(1, args->vocabulary);
    const uint32_t rows = args->spans_max < args->outputs_max ? args->spans_max : args->outputs_max;
    return most >= rows ? rows : most > 0 ? (uint32_t)most : 1;
}

static size_t results_bytes(const struct reserve_args *args)
{
    return cuda_memory_rounded(args->outputs_max * sizeof(struct sample_result));
}

size_t draws_bytes(const struct reserve_args *args)
{
    if (args->outputs_max == 0)
        return 0;
    return results_bytes(args) + cuda_sample_scratch_bytes(rows_at_once(args), args->vocabulary);
}

static cudaError_t make_untold(struct untold *untold, const struct reserve_args *args)
{
    void *pinned = NULL;
    untold->left = calloc(args->outputs_max, sizeof *untold->left);
    if (untold->left == NULL)
        return cudaErrorMemoryAllocation;
    cudaError_t code = cudaMallocHost(&pinned, results_bytes(args));
    if (code != cudaSuccess)
        return code;
    untold->results = pinned;
    return cudaEventCreateWithFlags(&untold->done, cudaEventDisableTiming);
}

struct draws *draws_new(const struct reserve_args *args, void *device, struct error *err)
{
    struct draws *draws = calloc(1, sizeof *draws);
    cudaError_t code = cudaSuccess;
    if (draws == NULL) {
        error_no_memory(err);
        return NULL;
    }
    draws->row_max = args->outputs_max;
    if (args->outputs_max == 0)
        return draws;
    draws->on_device = device;
    draws->scratch = (struct sample_scratch){
        .memory = (unsigned char *)device + results_bytes(args),
        .rows_at_once = rows_at_once(args),
    };
    for (uint32_t i = 0; i < UNTOLD_MAX && code == cudaSuccess; i++)
        code = make_untold(&draws->ring[i], args);
    if (code == cudaSuccess)
        return draws;
    (void)cudaGetLastError();
    draws_free(draws);
    (void)error_set(err, ERROR_NO_MEMORY, "%zu KiB of pinned memory: %s",
                    (UNTOLD_MAX * results_bytes(args) >> 10) + 1, cudaGetErrorString(code));
    return NULL;
}

void draws_free(struct draws *draws)
{
    if (draws == NULL)
        return;
    for (uint32_t i = 0; i < UNTOLD_MAX; i++) {
        if (draws->ring[i].done != NULL)
            (void)cudaEventDestroy(draws->ring[i].done);
        if (draws->ring[i].results != NULL)
            (void)cudaFreeHost(draws->ring[i].results);
        free(draws->ring[i].left);
    }
    free(draws);
}

static cudaError_t enqueue(struct draws *draws, const struct sample_args *sample,
                           struct sample_result *results, cudaStream_t stream)
{
    if (sample->rows == 0)
        return cudaSuccess;
    cudaError_t code = cuda_sample(sample, &draws->scratch, stream);
    if (code != cudaSuccess)
        return code;
    return cudaMemcpyAsync(results, draws->on_device, sample->rows * sizeof *results,
                           cudaMemcpyDeviceToHost, stream);
}

cudaError_t draws_enqueue(struct draws *draws, struct step_inputs *inputs,
                          const struct draw_args *args, cudaStream_t stream)
{
    struct sample_args sample;
    struct untold *untold = &draws->ring[draws->drawn++ % UNTOLD_MAX];
    assert(args->row_count <= draws->row_max);
    assert(draws->drawn - draws->told <= UNTOLD_MAX);
    cudaError_t code = step_inputs_draws(inputs, args, untold->left, &sample);
    sample.logits = args->logits;
    sample.results = draws->on_device;
    if (code == cudaSuccess)
        code = enqueue(draws, &sample, untold->results, stream);
    return code == cudaSuccess ? cudaEventRecord(untold->done, stream) : code;
}

cudaError_t draws_feed(const struct draws *draws, struct step_inputs *inputs,
                       const uint32_t *draw_rows, uint32_t row_count, cudaStream_t stream)
{
    const uint32_t *sources;
    uint32_t *tokens;
    cudaError_t code = step_inputs_sources(inputs, draw_rows, row_count, &sources, &tokens);
    if (code != cudaSuccess)
        return code;
    return cuda_sample_feed(draws->on_device, sources, row_count, tokens, stream);
}

cudaError_t draws_tell(struct draws *draws, struct drawn *ret, uint32_t row_count)
{
    assert(draws->told != draws->drawn);
    const struct untold *untold = &draws->ring[draws->told++ % UNTOLD_MAX];
    cudaError_t code = cudaEventSynchronize(untold->done);
    for (uint32_t i = 0; i < row_count && code == cudaSuccess; i++) {
        const struct sample_result *result = &untold->results[i];
        ret[i] = (struct drawn){.outcome = DRAW_LEFT, .logprob = NAN};
        if (untold->left[i])
            continue;
        ret[i].outcome = result->token == SAMPLE_NONE ? DRAW_NAN : DRAW_DONE;
        ret[i].token = result->token;
        ret[i].logprob = sample_logprob(result);
    }
    return code;
}
