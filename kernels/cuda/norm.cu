/* SPDX-License-Identifier: Apache-2.0 */
/* norm.cu -- RMSNorm and LayerNorm: a row is read once, summed in the CPU's order, written once.
 *
 * The CPU sums a row in sixteen lanes: lane i takes elements i, i + 16, i + 32, ..., and halves are
 * then laid onto halves. Those sixteen chains of fused multiply-adds are the law, so they are all
 * the parallelism that one row's sum has, whatever the GPU. Everything else about a row is free:
 *
 *     memory   all threads of the row, 16 bytes each, four loads on their way before the first is
 *              wanted; residual added, the sum stored back, and kept in shared memory
 *     chains   | 0 1 2 ... 15 | 0 1 2 ... 15 | ...   lanes 0..15 of the row's first warp, reading
 *              shared memory along the row: sixteen neighbours, no bank conflict, and no load
 *              depends on the one before, so only the multiply-add's own four cycles count
 *     output   all threads again, from shared memory
 *
 * What the chains cost: width / 16 steps of 4 cycles. 8,192 columns are 2,048 cycles, 1.2 us at
 * 1.7 GHz, and nothing hides them when there is but one row: with the loads before and the stores
 * after, some 2.5 us where bandwidth alone would ask for 1. 4,096 columns pay 0.6 us, 1,024 0.15.
 * At a prefill it is hidden: four rows are resident on a multiprocessor (64 registers for each of
 * 256 threads, 32 KiB of shared memory; three where there are but 100 KiB), and one row's share of
 * the bandwidth (64 KiB at 15 bytes a cycle and multiprocessor, over 4,000 cycles) outlasts the
 * chain of another.
 *
 * A narrow row is a warp's, so that no barrier of a block is needed and eight rows share a block;
 * wider ones take 128 or 256 threads, and while there are fewer rows than multiprocessors 512, for
 * all of an 8,192-column row to be on its way at once. A row wider than NORM_TILE goes through
 * shared memory a tile at a time, the chains carried along, and its tiles are read again (from L2)
 * for the output. None of this reaches the arithmetic: threads a row, rows a block and tiles leave
 * the chains as is.
 *
 * Roads not taken: a row a half warp, its elements in registers (every width its own kernel, and
 * 4-byte loads); Welford's one-pass variance for LayerNorm (Welford 1962), for the row is in shared
 * memory anyway and two passes over it are exact where the mean is large. */
#include "kernels/cuda/ops.h"

#include "kernels/cuda/lane_math.cuh"
#include "kernels/cuda/vector_move.cuh"

#define NORM_TILE    12288u /* columns staged at once: 48 KiB, what every GPU gives unasked */
#define IN_FLIGHT    4u     /* loads that a thread has on their way */
#define NARROW       1024u  /* columns of a row that a warp takes */
#define MEDIUM       4096u  /* and four warps */
#define ROWS_A_BLOCK 8u     /* narrow ones */
#define MANY_ROWS    512u   /* below that each narrow row has a block, and so a multiprocessor */
#define FEW_ROWS     128u   /* of wide ones: each has a multiprocessor to itself */

struct norm {
    float *x;
    const float *residual;    /* or NULL */
    const float *gain, *bias; /* bias or NULL */
    float epsilon;
    uint32_t rows, width, tile; /* tile: columns staged at once, a multiple of 4 */
    float *out;
};

template <uint32_t THREADS> __device__ __forceinline__ void row_barrier()
{
    if (THREADS == WARP)
        __syncwarp();
    else
        __syncthreads();
}

/* `count` columns of x (+ residual, and x keeps the sum) to shared memory. */
template <uint32_t THREADS, bool VECTOR>
__device__ void stage(float *tile, float *x, const float *residual, uint32_t count)
{
    const uint32_t step = VECTOR_FLOATS * THREADS;
    for (uint32_t first = VECTOR_FLOATS * threadIdx.x; first < count; first += IN_FLIGHT * step) {
        float4 values[IN_FLIGHT], others[IN_FLIGHT];
#pragma unroll
        for (uint32_t j = 0; j < IN_FLIGHT; j++) {
            uint32_t i = first + j * step, left = i < count ? count - i : 0;
            values[j] = load4<VECTOR>(x + i, left);
            if (residual != NULL)
                others[j] = load4<VECTOR>(residual + i, left);
        }
#pragma unroll
        for (uint32_t j = 0; j < IN_FLIGHT; j++) {
            uint32_t i = first + j * step;
            if (i >= count)
                break;
            if (residual != NULL) {
                values[j] = add4(values[j], others[j]);
                store4<VECTOR>(x + i, values[j], count - i);
            }
            store4<true>(tile + i, values[j], VECTOR_FLOATS); /* the tile is whole fours */
        }
    }
}

/* Lane i's chain goes on through a tile: of values, or of squares of what is above `mean`. */
__device__ __forceinline__ float chain_values(const float *tile, uint32_t count, float sum)
{
#pragma unroll 16
    for (uint32_t i = threadIdx.x; i < count; i += LANES)
        sum += tile[i];
    return sum;
}

__device__ __forceinline__ float chain_squares(const float *tile, uint32_t count, float mean,
                                               float sum)
{
#pragma unroll 16
    for (uint32_t i = threadIdx.x; i < count; i += LANES) {
        float value = tile[i] - mean;
        sum = fmaf(value, value, sum);
    }
    return sum;
}

/* The sum over the row's lanes, to all its threads. Wide rows have no shared memory to spare: the
 * total borrows the tile's first place, which thread 0 alone reads and puts back. */
template <uint32_t THREADS> __device__ __forceinline__ float row_total(float lane, float *tile)
{
    if (THREADS == WARP)
        return __shfl_sync(WARP_ALL, warp_lanes_sum(lane), 0);
    float first = 0.0f;
    if (threadIdx.x < WARP)
        lane = warp_lanes_sum(lane);
    if (threadIdx.x == 0) {
        first = tile[0];
        tile[0] = lane;
    }
    __syncthreads();
    float total = tile[0];
    __syncthreads();
    if (threadIdx.x == 0)
        tile[0] = first;
    return total;
}

/* `values` is the row staged, or in global memory: each thread reads what it wrote there itself,
 * for a tile is a whole number of its steps. */
template <uint32_t THREADS, bool VECTOR, bool LAYER>
__device__ void write_row(const struct norm &norm, float *out, const float *values, float mean,
                          float scale)
{
    const float4 means = make_float4(-mean, -mean, -mean, -mean);
    const float4 scales = make_float4(scale, scale, scale, scale);
#pragma unroll 4
    for (uint32_t i = VECTOR_FLOATS * threadIdx.x; i < norm.width; i += VECTOR_FLOATS * THREADS) {
        const uint32_t left = norm.width - i;
        float4 value = load4<VECTOR>(values + i, left), gain = load4<VECTOR>(norm.gain + i, left);
        if (LAYER)
            value = add4(value, means);
        value = mul4(value, scales);
        if (LAYER && norm.bias != NULL)
            value = fma4(value, gain, load4<VECTOR>(norm.bias + i, left));
        else
            value = mul4(value, gain);
        store4<VECTOR>(out + i, value, left);
    }
}

template <uint32_t THREADS, bool VECTOR, bool LAYER>
__global__ void __launch_bounds__(THREADS == WARP ? WARP * ROWS_A_BLOCK : THREADS)
    norm_rows(struct norm norm)
{
    SHARED_DYNAMIC(float, tiles);
    const uint32_t row = blockIdx.x * blockDim.y + threadIdx.y;
    if (row >= norm.rows)
        return; /* a whole warp; where a row has more, it has its own block */
    const size_t at = static_cast<size_t>(row) * norm.width;
    const float *residual = norm.residual == NULL ? NULL : norm.residual + at;
    float *tile = tiles + static_cast<size_t>(threadIdx.y) * norm.tile, *x = norm.x + at;
    const bool chains = threadIdx.x < LANES;
    float mean = 0.0f, lane = 0.0f;
    for (uint32_t first = 0; first < norm.width; first += norm.tile) {
        const uint32_t count = min(norm.tile, norm.width - first);
        if (first > 0)
            row_barrier<THREADS>();
        stage<THREADS, VECTOR>(tile, x + first, residual == NULL ? NULL : residual + first, count);
        row_barrier<THREADS>();
        if (chains)
            lane = LAYER ? chain_values(tile, count, lane) : chain_squares(tile, count, 0.0f, lane);
    }
    float total = row_total<THREADS>(lane, tile);
    const bool whole = norm.width <= norm.tile; /* the tile still holds the row */
    if (LAYER) {
        mean = total / static_cast<float>(norm.width);
        lane = 0.0f;
        for (uint32_t first = 0; first < norm.width; first += norm.tile) {
            const uint32_t count = min(norm.tile, norm.width - first);
            if (!whole) {
                row_barrier<THREADS>();
                stage<THREADS, VECTOR>(tile, x + first, NULL, count);
                row_barrier<THREADS>();
            }
            if (chains)
                lane = chain_squares(tile, count, mean, lane);
        }
        total = row_total<THREADS>(lane, tile);
    }
    const float scale = 1.0f / sqrtf(total / static_cast<float>(norm.width) + norm.epsilon);
    write_row<THREADS, VECTOR, LAYER>(norm, norm.out + at, whole ? tile : x, mean, scale);
}

template <uint32_t THREADS, bool VECTOR, bool LAYER>
static cudaError_t launch(const struct norm &norm, uint32_t rows_a_block, cudaStream_t stream)
{
    const dim3 grid((norm.rows + rows_a_block - 1) / rows_a_block), block(THREADS, rows_a_block);
    const size_t shared = static_cast<size_t>(norm.tile) * rows_a_block * sizeof(float);
    LAUNCH((norm_rows<THREADS, VECTOR, LAYER>), grid, block, shared, stream, norm);
    return cudaGetLastError();
}

template <bool VECTOR, bool LAYER>
static cudaError_t choose(const struct norm &norm, cudaStream_t stream)
{
    if (norm.width <= NARROW)
        return launch<WARP, VECTOR, LAYER>(norm, norm.rows < MANY_ROWS ? 1 : ROWS_A_BLOCK, stream);
    if (norm.width <= MEDIUM)
        return launch<4 * WARP, VECTOR, LAYER>(norm, 1, stream);
    if (norm.rows > FEW_ROWS)
        return launch<8 * WARP, VECTOR, LAYER>(norm, 1, stream);
    return launch<16 * WARP, VECTOR, LAYER>(norm, 1, stream);
}

template <bool LAYER> static cudaError_t enqueue(struct norm norm, cudaStream_t stream)
{
    if (norm.rows == 0)
        return cudaSuccess;
    const uint32_t padded = (norm.width + VECTOR_FLOATS - 1) / VECTOR_FLOATS * VECTOR_FLOATS;
    norm.tile = padded < NORM_TILE ? padded : NORM_TILE;
    bool vector = norm.width % VECTOR_FLOATS == 0 && vector_aligned(norm.x) &&
                  vector_aligned(norm.residual) && vector_aligned(norm.gain) &&
                  vector_aligned(norm.bias) && vector_aligned(norm.out);
    return vector ? choose<true, LAYER>(norm, stream) : choose<false, LAYER>(norm, stream);
}

extern "C" cudaError_t cuda_rms_norm(const struct rms_norm_args *args, cudaStream_t stream)
{
    return enqueue<false>({args->x, args->residual, args->gain, NULL, args->epsilon, args->rows,
                           args->width, 0, args->out},
                          stream);
}

extern "C" cudaError_t cuda_layer_norm(const struct layer_norm_args *args, cudaStream_t stream)
{
    return enqueue<true>({args->x, args->residual, args->gain, args->bias, args->epsilon,
                          args->rows, args->width, 0, args->out},
                         stream);
}
