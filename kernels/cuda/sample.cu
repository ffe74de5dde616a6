/* SPDX-License-Identifier: Apache-2.0 */
/* sample.cu -- rows of logits to tokens: the passes over whole rows, and their order.
 *
 *     copy, bend      rows with bias or penalties get logits of their own, and those are bent
 *     survey          the highest finite logit of every 64
 *     weigh           the sum of weights of every 64; of the raw row too, for log-probabilities
 *     settle          one block of threads a row: adds the sums up, takes the highest, or draws
 *     gather          rows with top_k or top_p: what may be drawn, as keys, in every 64
 *     pick            one block a row: top_k, top_p, draw (sample_choose.cu)
 *
 * A vocabulary of 150,000 is 600 KB a row. The wide passes cut it into chunks of 2,048, so that one
 * row already fills a GPU: each is its bytes at the memory's speed (the logits are still in L2),
 * and weights are made twice rather than stored. What is in order by law is left to one block a
 * row: 2,350 sums of doubles one after another, some ten cycles each, 14 us on a GPU with fast
 * doubles and five times that on one without, all rows at once beside each other.
 *
 * A turn has as many rows as the scratch; the launches that no row of the call needs are left out,
 * and in those made a row that does not need one leaves at once. Settings lie in device memory, so
 * a captured graph of this serves every step that needs no more than it did.
 *
 * The counts that penalties need are atomic sums of integers, and the token's change is made by
 * whoever met it first: the same change, whoever that was. */
#include "kernels/cuda/sample_step.cuh"

#include <float.h>

#define ROUND_UP(bytes) (((bytes) + 255) / 256 * 256)

/* -- bias and penalties -- */

static __global__ void __launch_bounds__(BLOCK_THREADS) sample_copy(struct sample_step step)
{
    const uint32_t row = blockIdx.y;
    if (!row_bends(step.args.settings[row]))
        return;
    const float *from = row_logits(step, row, RAW);
    float *to = step.bent + row_tokens(step, row);
#pragma unroll
    for (uint32_t j = 0; j < CHUNK / BLOCK_THREADS; j++) {
        uint32_t i = blockIdx.x * CHUNK + j * BLOCK_THREADS + threadIdx.x;
        if (i < step.args.vocabulary)
            to[i] = from[i];
    }
}

/* A token may have several biases, that add up in the order of the list: the first one's thread
 * adds all of them. */
__device__ __forceinline__ void add_biases(float *bent, const struct logit_bias *biases,
                                           uint32_t count)
{
    for (uint32_t i = threadIdx.x; i < count; i += BLOCK_THREADS) {
        const uint32_t token = biases[i].token;
        bool first = true;
        for (uint32_t j = 0; j < i && first; j++)
            first = biases[j].token != token;
        if (!first)
            continue;
        float logit = bent[token];
        for (uint32_t j = i; j < count; j++)
            if (biases[j].token == token)
                logit += biases[j].bias;
        bent[token] = logit;
    }
}

__device__ __forceinline__ void penalise(float *bent, uint32_t *counts, const uint32_t *history,
                                         const struct sample_row &row)
{
    const uint32_t count = row.prompt_count + row.output_count;
    if (row.repetition_penalty != 1.0f) {
        for (uint32_t i = threadIdx.x; i < count; i += BLOCK_THREADS) {
            if (atomicAdd(&counts[history[i]], 1u) > 0)
                continue;
            float *logit = &bent[history[i]];
            *logit =
                *logit > 0.0f ? *logit / row.repetition_penalty : *logit * row.repetition_penalty;
        }
        __syncthreads();
        for (uint32_t i = threadIdx.x; i < count; i += BLOCK_THREADS)
            atomicExch(&counts[history[i]], 0u);
        __syncthreads();
    }
    if (row.frequency_penalty == 0.0f && row.presence_penalty == 0.0f)
        return;
    for (uint32_t i = row.prompt_count + threadIdx.x; i < count; i += BLOCK_THREADS)
        atomicAdd(&counts[history[i]], 1u);
    __syncthreads();
    for (uint32_t i = row.prompt_count + threadIdx.x; i < count; i += BLOCK_THREADS) {
        uint32_t times = atomicExch(&counts[history[i]], 0u);
        if (times > 0) /* else it was met before */
            bent[history[i]] -=
                row.frequency_penalty * static_cast<float>(times) + row.presence_penalty;
    }
}

static __global__ void __launch_bounds__(BLOCK_THREADS) sample_bend(struct sample_step step)
{
    const struct sample_row row = step.args.settings[blockIdx.x];
    if (!row_bends(row))
        return;
    float *bent = step.bent + row_tokens(step, blockIdx.x);
    add_biases(bent, step.args.biases + row.bias_offset, row.bias_count);
    __syncthreads();
    const uint32_t *forbidden = step.args.tokens + row.forbidden_offset;
    for (uint32_t i = threadIdx.x; i < row.forbidden_count; i += BLOCK_THREADS)
        if (forbidden[i] < step.args.vocabulary)
            atomicExch(reinterpret_cast<unsigned *>(&bent[forbidden[i]]),
                       __float_as_uint(-INFINITY)); /* twice in the list, perhaps */
    __syncthreads();
    penalise(bent, step.counts + row_tokens(step, blockIdx.x),
             step.args.tokens + row.history_offset, row);
}

/* -- the highest -- */

/* Eight neighbours a block of 64, each with eight of its logits. NaN fails every comparison, so it
 * is passed over here as infinity is. */
static __global__ void __launch_bounds__(BLOCK_THREADS) sample_survey(struct sample_step step)
{
    const uint32_t row = blockIdx.y, sharers = BLOCK_THREADS / CHUNK_BLOCKS;
    const int which = static_cast<int>(blockIdx.z);
    const struct sample_row &settings = step.args.settings[row];
    if (which == RAW && !(settings.logprobs && row_bends(settings)))
        return;
    const float *logits = row_logits(step, row, which);
    const uint32_t block = blockIdx.x * CHUNK_BLOCKS + threadIdx.x / sharers;
    float highest = -INFINITY;
#pragma unroll
    for (uint32_t j = 0; j < DRAW_BLOCK / sharers; j++) {
        uint32_t i = block * DRAW_BLOCK + j * sharers + threadIdx.x % sharers;
        float logit = i < step.args.vocabulary ? logits[i] : -INFINITY;
        highest = logit > highest && logit <= FLT_MAX ? logit : highest;
    }
    for (int width = sharers / 2; width > 0; width /= 2)
        highest = largest_of(highest, __shfl_xor_sync(WARP_ALL, highest, width));
    if (threadIdx.x % sharers == 0)
        step.highest[which][row_blocks(step, row) + block] = highest;
    highest = block_largest(highest);
    if (threadIdx.x == 0)
        step.chunk_highest[which][static_cast<size_t>(row) * step.chunks + blockIdx.x] = highest;
}

/* -- weights -- */

__device__ __forceinline__ struct draw_softmax softmax_of(const struct sample_row &row,
                                                          float highest, int which)
{
    if (which == RAW)
        return {highest, 1.0f, 0.0f};
    return {highest, 1.0f / row.temperature, row.min_p};
}

/* Weights go through shared memory, for those who make them lie along the row and those who add
 * them are four a block of 64. Rows of 68 there: what a warp adds at once has 32 banks. */
static __global__ void __launch_bounds__(BLOCK_THREADS) sample_weigh(struct sample_step step)
{
    SHARED_ARRAY(float, weights, [CHUNK_BLOCKS][DRAW_BLOCK + DRAW_LANES]);
    const uint32_t row = blockIdx.y;
    const int which = static_cast<int>(blockIdx.z);
    const struct sample_row &settings = step.args.settings[row];
    if (which == RAW ? !settings.logprobs : !row_draws(settings))
        return;
    const float highest = row_highest(step, row, which);
    const struct draw_softmax softmax = softmax_of(settings, highest, which);
    const float *logits = row_logits(step, row, which);
#pragma unroll
    for (uint32_t j = 0; j < CHUNK / BLOCK_THREADS; j++) {
        uint32_t at = j * BLOCK_THREADS + threadIdx.x, i = blockIdx.x * CHUNK + at;
        weights[at / DRAW_BLOCK][at % DRAW_BLOCK] =
            i < step.args.vocabulary ? draw_weight(logits[i], &softmax) : 0.0f;
    }
    __syncthreads();
    if (threadIdx.x >= CHUNK_BLOCKS * DRAW_LANES)
        return; /* whole warps */
    const uint32_t block = threadIdx.x / DRAW_LANES, lane = threadIdx.x % DRAW_LANES;
    float sum = 0.0f;
#pragma unroll
    for (uint32_t i = lane; i < DRAW_BLOCK; i += DRAW_LANES)
        sum += weights[block][i];
    double both = static_cast<double>(sum);
    both += __shfl_xor_sync(WARP_ALL, both, 1);
    both += __shfl_xor_sync(WARP_ALL, both, 2);
    if (lane == 0)
        step.sums[which][row_blocks(step, row) + blockIdx.x * CHUNK_BLOCKS + block] = both;
}

/* A warp a block of 64, two logits a lane: the lower half's candidates, then the upper half's. */
static __global__ void __launch_bounds__(BLOCK_THREADS) sample_gather(struct sample_step step)
{
    const uint32_t row = blockIdx.y, lane = threadIdx.x % WARP;
    const struct sample_row &settings = step.args.settings[row];
    const struct sample_state state = step.states[row];
    if (!row_filters(settings) || state.highest == -INFINITY)
        return;
    const struct draw_softmax softmax = softmax_of(settings, state.highest, BENT);
    const float *logits = row_logits(step, row, BENT);
    uint64_t *keys = step.keys + row_tokens(step, row);
    for (uint32_t j = threadIdx.x / WARP; j < CHUNK_BLOCKS; j += BLOCK_WARPS) {
        const uint32_t block = blockIdx.x * CHUNK_BLOCKS + j;
        uint32_t found = 0;
        if (step.highest[BENT][row_blocks(step, row) + block] >= state.bound)
            for (uint32_t part = 0; part < DRAW_BLOCK; part += WARP) {
                const uint32_t i = block * DRAW_BLOCK + part + lane;
                const float logit = i < step.args.vocabulary ? logits[i] : -INFINITY;
                const float weight = draw_weight(logit, &softmax);
                const bool candidate =
                    weight > 0.0f && weight >= state.least && logit >= state.bound;
                const uint32_t all = __ballot_sync(WARP_ALL, candidate);
                if (candidate)
                    keys[block * DRAW_BLOCK + found + __popc(all & ((1u << lane) - 1))] =
                        draw_key(logit, i);
                found += static_cast<uint32_t>(__popc(all));
            }
        if (lane == 0)
            step.found[row_blocks(step, row) + block] = found;
    }
}

/* -- to the next step -- */

static __global__ void __launch_bounds__(BLOCK_THREADS)
    feed_tokens(const struct sample_result *results, const uint32_t *sources, uint32_t count,
                uint32_t *tokens)
{
    const uint32_t i = blockIdx.x * BLOCK_THREADS + threadIdx.x;
    if (i >= count)
        return;
    const uint32_t token = results[sources[i]].token;
    tokens[i] = token == SAMPLE_NONE ? 0 : token;
}

/* -- on the host -- */

/* Cuts the scratch into arrays, or with none only measures it. */
static size_t lay_out(struct sample_step *step, unsigned char *memory, uint32_t rows)
{
    const size_t tokens = static_cast<size_t>(rows) * step->chunks * CHUNK;
    const size_t blocks = tokens / DRAW_BLOCK, chunks = tokens / CHUNK;
    size_t used = 0;
    auto take = [&](size_t bytes) {
        unsigned char *at = memory == NULL ? NULL : memory + used;
        used += ROUND_UP(bytes);
        return static_cast<void *>(at);
    };
    step->counts = static_cast<uint32_t *>(take(tokens * sizeof(uint32_t))); /* first: zero */
    step->bent = static_cast<float *>(take(tokens * sizeof(float)));
    step->keys = static_cast<uint64_t *>(take(tokens * sizeof(uint64_t)));
    step->other_keys = static_cast<uint64_t *>(take(tokens * sizeof(uint64_t)));
    step->ranks = static_cast<uint32_t *>(take(tokens * sizeof(uint32_t)));
    for (int which = BENT; which <= RAW; which++) {
        step->highest[which] = static_cast<float *>(take(blocks * sizeof(float)));
        step->chunk_highest[which] = static_cast<float *>(take(chunks * sizeof(float)));
        step->sums[which] = static_cast<double *>(take(blocks * sizeof(double)));
    }
    step->before_end = static_cast<double *>(take(blocks * sizeof(double)));
    step->found = static_cast<uint32_t *>(take(blocks * sizeof(uint32_t)));
    step->states = static_cast<struct sample_state *>(take(rows * sizeof(struct sample_state)));
    return used;
}

extern "C" size_t cuda_sample_scratch_bytes(uint32_t rows_at_once, uint32_t vocabulary)
{
    struct sample_step step = {};
    step.chunks = (vocabulary + CHUNK - 1) / CHUNK;
    return lay_out(&step, NULL, rows_at_once);
}

static cudaError_t enqueue(const struct sample_step &step, cudaStream_t stream)
{
    const uint32_t needs = step.args.needs, rows = step.args.rows;
    const dim3 wide(step.chunks, rows), both(step.chunks, rows, needs & SAMPLE_LOGPROBS ? 2 : 1);
    const dim3 block(BLOCK_THREADS);
    if (needs & SAMPLE_BENDS) {
        LAUNCH((sample_copy), wide, block, 0, stream, step);
        LAUNCH((sample_bend), dim3(rows), block, 0, stream, step);
    }
    LAUNCH((sample_survey), needs & SAMPLE_BENDS ? both : wide, block, 0, stream, step);
    if (needs & (SAMPLE_DRAWS | SAMPLE_LOGPROBS))
        LAUNCH((sample_weigh), both, block, 0, stream, step);
    LAUNCH((sample_settle), dim3(rows), block, 0, stream, step);
    if (needs & SAMPLE_FILTERS) {
        LAUNCH((sample_gather), wide, block, 0, stream, step);
        LAUNCH((sample_pick), dim3(rows), block, 0, stream, step);
    }
    return cudaGetLastError();
}

extern "C" cudaError_t cuda_sample(const struct sample_args *args,
                                   const struct sample_scratch *scratch, cudaStream_t stream)
{
    assert(scratch->rows_at_once > 0 && args->vocabulary > 0);
    struct sample_step step = {};
    step.chunks = (args->vocabulary + CHUNK - 1) / CHUNK;
    (void)lay_out(&step, static_cast<unsigned char *>(scratch->memory), scratch->rows_at_once);
    for (uint32_t first = 0; first < args->rows; first += scratch->rows_at_once) {
        const uint32_t left = args->rows - first;
        step.args = *args;
        step.args.logits += static_cast<size_t>(first) * args->vocabulary;
        step.args.settings += first;
        step.args.results += first;
        step.args.rows = left < scratch->rows_at_once ? left : scratch->rows_at_once;
        cudaError_t failed = enqueue(step, stream);
        if (failed != cudaSuccess)
            return failed;
    }
    return cudaSuccess;
}

extern "C" cudaError_t cuda_sample_feed(const struct sample_result *results,
                                        const uint32_t *sources, uint32_t count, uint32_t *tokens,
                                        cudaStream_t stream)
{
    LAUNCH((feed_tokens), dim3((count + BLOCK_THREADS - 1) / BLOCK_THREADS), dim3(BLOCK_THREADS), 0,
           stream, results, sources, count, tokens);
    return cudaGetLastError();
}

extern "C" uint32_t sample_needs(const struct sample_row *row)
{
    uint32_t needs = row->logprobs ? SAMPLE_LOGPROBS : 0;
    if (row->bias_count > 0 || row->forbidden_count > 0 || row->repetition_penalty != 1.0f ||
        row->presence_penalty != 0.0f || row->frequency_penalty != 0.0f)
        needs |= SAMPLE_BENDS;
    if (row->temperature < DRAW_GREEDY_BELOW)
        return needs;
    needs |= SAMPLE_DRAWS;
    return row->top_k > 0 || row->top_p < 1.0f ? needs | SAMPLE_FILTERS : needs;
}

extern "C" float sample_logprob(const struct sample_result *result)
{
    if (result->token == SAMPLE_NONE || !(result->mass > 0.0))
        return NAN;
    if (!isfinite(result->logit))
        return -INFINITY;
    return static_cast<float>(static_cast<double>(result->logit) -
                              (static_cast<double>(result->highest) + log(result->mass)));
}
