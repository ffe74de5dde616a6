/* SPDX-License-Identifier: Apache-2.0 */
/* draws.c -- the sampler's memory, and what comes back of it.
 *
 *     device  | results | scratch: arrays of rows_at_once rows |
 *     pinned  | results |                                         24 bytes a row
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

struct draws {
    uint32_t row_max;
    struct sample_scratch scratch;
    struct sample_result *on_device, *on_host; /* [row_max], the latter pinned */
    bool *left;                                /* [row_max] of the last draws: the host's */
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

struct draws *draws_new(const struct reserve_args *args, void *device, struct error *err)
{
    struct draws *draws = calloc(1, sizeof *draws);
    if (draws == NULL)
        goto fail;
    draws->row_max = args->outputs_max;
    if (args->outputs_max == 0)
        return draws;
    draws->left = calloc(args->outputs_max, sizeof *draws->left);
    if (draws->left == NULL)
        goto fail;
    draws->on_device = device;
    draws->scratch = (struct sample_scratch){
        .memory = (unsigned char *)device + results_bytes(args),
        .rows_at_once = rows_at_once(args),
    };
    void *pinned = NULL;
    cudaError_t code = cudaMallocHost(&pinned, results_bytes(args));
    draws->on_host = pinned;
    if (code == cudaSuccess)
        return draws;
    (void)cudaGetLastError();
    draws->on_host = NULL;
    draws_free(draws);
    (void)error_set(err, ERROR_NO_MEMORY, "%zu KiB of pinned memory: %s", results_bytes(args) >> 10,
                    cudaGetErrorString(code));
    return NULL;
fail:
    draws_free(draws);
    (void)error_no_memory(err);
    return NULL;
}

void draws_free(struct draws *draws)
{
    if (draws == NULL)
        return;
    if (draws->on_host != NULL)
        (void)cudaFreeHost(draws->on_host);
    free(draws->left);
    free(draws);
}

cudaError_t draws_enqueue(struct draws *draws, struct step_inputs *inputs,
                          const struct draw_args *args, cudaStream_t stream)
{
    struct sample_args sample;
    assert(args->row_count <= draws->row_max);
    cudaError_t code = step_inputs_draws(inputs, args, draws->left, &sample);
    if (code != cudaSuccess || sample.rows == 0)
        return code;
    sample.logits = args->logits;
    sample.results = draws->on_device;
    code = cuda_sample(&sample, &draws->scratch, stream);
    if (code != cudaSuccess)
        return code;
    return cudaMemcpyAsync(draws->on_host, draws->on_device,
                           args->row_count * sizeof *draws->on_host, cudaMemcpyDeviceToHost,
                           stream);
}

void draws_tell(const struct draws *draws, struct drawn *ret, uint32_t row_count)
{
    for (uint32_t i = 0; i < row_count; i++) {
        const struct sample_result *result = &draws->on_host[i];
        ret[i] = (struct drawn){.outcome = DRAW_LEFT, .logprob = NAN};
        if (draws->left[i])
            continue;
        ret[i].outcome = result->token == SAMPLE_NONE ? DRAW_NAN : DRAW_DONE;
        ret[i].token = result->token;
        ret[i].logprob = sample_logprob(result);
    }
}
