/* SPDX-License-Identifier: Apache-2.0 */
/* quantize.cu -- activations to what the products read (activation_layout.h): 8-bit codes with a
 * scale every 16 columns, exactly as kernels/cpu/linear_level.h has it; or halves.
 *
 * Codes: eight lanes a stretch, lane j has columns j and j + 8, which is how the law groups the
 * squares of rounding errors; its sums of pairs are then a butterfly. Bound by latency at a row, by
 * memory at a thousand.
 *
 * Halves: a block of threads a row, twice over it. IEEE halves end at 65,504, which some models'
 * activations pass, and the largest float rounds to a bfloat16 infinity. So a row is scaled by the
 * power of two that puts its largest in 2^14..2^15, and its results are scaled back: exact both
 * ways. */
#include "kernels/cuda/groups.cuh"

#define QUANTIZE_THREADS 128u
#define ROUND_THREADS    256u
#define STRETCH_LANES    8u
#define BLOCK_LANES      16u
#define BLOCKS_A_BLOCK   (QUANTIZE_THREADS / BLOCK_LANES) /* of columns, of threads */

/* As in linear_level.h; the tests hold the two together. */
#define STEPS_MAX       127
#define SCALES_TRIED    4
#define ACTIVATION_TINY 1e-30f

#define HALF_EXPONENT  14   /* of a row's largest, once scaled */
#define EXPONENT_LEAST -112 /* 2^(14 + 112) is a float, and so is its inverse */
#define FLOAT_INFINITE 0x7f800000u

/* The sum over the eight lanes of a stretch, the same in each: neighbours first. */
template <class T> __device__ __forceinline__ T stretch_sum(T value)
{
    for (int distance = 1; distance < 8; distance *= 2)
        value += __shfl_xor_sync(WARP_ALL, value, distance);
    return value;
}

/* How many steps up to the largest size leave the least squared error. */
__device__ __forceinline__ float choose_steps(float low, float high, float largest)
{
    float best = STEPS_MAX, least = __uint_as_float(FLOAT_INFINITE);
#pragma unroll
    for (int n = 0; n < SCALES_TRIED; n++) {
        const float steps = static_cast<float>(STEPS_MAX - n);
        float inverse = steps / largest, t = low * inverse, u = high * inverse;
        float d = t - rintf(t), e = u - rintf(u);
        float error = stretch_sum(fmaf(e, e, d * d)) * (1 / (steps * steps));
        best = error < least ? steps : best;
        least = error < least ? error : least;
    }
    return best;
}

/* What row of x a prepared one is; false where it is none. */
__device__ __forceinline__ bool find_row(const struct linear_groups &groups, uint32_t rows,
                                         uint32_t prepared, uint32_t *ret)
{
    *ret = prepared;
    if (prepared >= rows || !groups.slabs)
        return prepared < rows;
    uint32_t place = groups.places[prepared];
    if (place == NO_PLACE)
        return false;
    *ret = row_of_place(groups, place);
    return true;
}

__global__ void __launch_bounds__(QUANTIZE_THREADS)
    quantize(struct quantize_args args, uint32_t block_count, uint32_t blocks)
{
    uint32_t index = blockIdx.x * BLOCKS_A_BLOCK + threadIdx.x / BLOCK_LANES;
    uint32_t lane = threadIdx.x % BLOCK_LANES, stretch = lane / STRETCH_LANES;
    uint32_t column = lane % STRETCH_LANES;
    uint32_t row = index / block_count, block = index % block_count, x_row;
    float low = 0, high = 0;
    if (find_row(args.groups, args.rows, row, &x_row)) {
        const float *from = args.x + (static_cast<uint64_t>(x_row) * args.columns +
                                      block * BLOCK_COLUMNS + stretch * 16 + column);
        low = from[0];
        high = from[STRETCH_LANES];
    }
    /* Sizes compare as their bits do, infinity and NaN above all. */
    uint32_t size = max(__float_as_uint(fabsf(low)), __float_as_uint(fabsf(high)));
    for (int distance = 1; distance < 8; distance *= 2)
        size = max(size, __shfl_xor_sync(WARP_ALL, size, distance));
    float largest = __uint_as_float(size);
    bool finite = size < FLOAT_INFINITE, scaled = finite && largest >= ACTIVATION_TINY;
    float steps = choose_steps(scaled ? low : 0, scaled ? high : 0, scaled ? largest : 1);
    float scale = finite ? 0 : __uint_as_float(0x7fc00000u);
    int low_code = 0, high_code = 0;
    if (scaled) {
        float inverse = steps / largest;
        scale = largest / steps;
        low_code = __float2int_rn(low * inverse);
        high_code = __float2int_rn(high * inverse);
    }
    float sum = static_cast<float>(stretch_sum(low_code + high_code));
    float other_scale = __shfl_xor_sync(WARP_ALL, scale, static_cast<int>(STRETCH_LANES));
    float other_sum = __shfl_xor_sync(WARP_ALL, sum, static_cast<int>(STRETCH_LANES));
    if (index >= blocks)
        return;
    uint32_t within = row % ACTIVATION_ROWS;
    uint8_t *out =
        args.codes +
        (static_cast<uint64_t>(row / ACTIVATION_ROWS) * block_count + block) * ACTIVATION_BLOCK;
    uint8_t *codes = out + within * BLOCK_COLUMNS + stretch * 4 + column / 4 * 8 + column % 4;
    codes[0] = static_cast<uint8_t>(low_code);
    codes[16] = static_cast<uint8_t>(high_code);
    if (column == 0)
        reinterpret_cast<float *>(out + ACTIVATION_SCALES)[within * 2 + stretch] = scale;
    if (lane == 0)
        reinterpret_cast<float *>(out + ACTIVATION_SUMS)[within] =
            fmaf(other_scale, other_sum, scale * sum);
}

template <class T> __device__ __forceinline__ uint32_t bits_of(float value);
template <> __device__ __forceinline__ uint32_t bits_of<half>(float value)
{
    return __half_as_ushort(__float2half_rn(value));
}
template <> __device__ __forceinline__ uint32_t bits_of<__nv_bfloat16>(float value)
{
    return __bfloat16_as_ushort(__float2bfloat16_rn(value));
}

/* The power of two that brings the row's largest to 2^HALF_EXPONENT or a little above; all threads
 * of the block. A row with a NaN or an infinity stays as it is. */
__device__ float row_scale(const float *x, uint32_t columns)
{
    SHARED_ARRAY(uint32_t, sizes, [ROUND_THREADS / WARP]);
    uint32_t size = 0;
    for (uint32_t i = threadIdx.x; i < columns; i += ROUND_THREADS)
        size = max(size, __float_as_uint(fabsf(x[i])));
    for (int distance = 1; distance < 32; distance *= 2)
        size = max(size, __shfl_xor_sync(WARP_ALL, size, distance));
    if (threadIdx.x % WARP == 0)
        sizes[threadIdx.x / WARP] = size;
    __syncthreads();
    for (uint32_t i = 0; i < ROUND_THREADS / WARP; i++)
        size = max(size, sizes[i]);
    int exponent = max(static_cast<int>(size >> 23) - 127, EXPONENT_LEAST);
    return size >= FLOAT_INFINITE
               ? 1.0f
               : __uint_as_float(static_cast<uint32_t>(HALF_EXPONENT - exponent + 127) << 23);
}

template <class T>
__global__ void __launch_bounds__(ROUND_THREADS) round_rows(struct round_args args)
{
    uint32_t row = blockIdx.x, steps = (args.columns + STEP_COLUMNS - 1) / STEP_COLUMNS;
    uint32_t x_row;
    bool there = find_row(args.groups, args.rows, row, &x_row);
    const float *from = args.x + static_cast<uint64_t>(x_row) * args.columns;
    float scale = there ? row_scale(from, args.columns) : 1.0f;
    uint8_t *tile = args.halves +
                    static_cast<uint64_t>(row / ACTIVATION_ROWS) * steps * ACTIVATION_STEP +
                    row % ACTIVATION_ROWS * 32;
    for (uint32_t i = threadIdx.x; i < steps * 8; i += ROUND_THREADS) {
        uint32_t step = i / 8, pair = i % 8, column = step * STEP_COLUMNS + 2 * pair;
        uint32_t word = 0;
        if (there && column < args.columns)
            word = bits_of<T>(from[column] * scale);
        if (there && column + 1 < args.columns)
            word |= bits_of<T>(from[column + 1] * scale) << 16;
        *reinterpret_cast<uint32_t *>(tile + static_cast<uint64_t>(step) * ACTIVATION_STEP +
                                      pair % 4 * 8 + pair / 4 * 4) = word;
    }
    if (threadIdx.x == 0)
        args.factors[row] = 1 / scale;
}

static uint32_t whole_tiles(uint32_t rows)
{
    return (rows + ACTIVATION_ROWS - 1) / ACTIVATION_ROWS * ACTIVATION_ROWS;
}

cudaError_t cuda_quantize(const struct quantize_args *args, cudaStream_t stream)
{
    uint32_t block_count = args->columns / BLOCK_COLUMNS;
    uint64_t blocks = static_cast<uint64_t>(whole_tiles(args->rows)) * block_count;
    if (blocks > UINT32_MAX - BLOCKS_A_BLOCK) /* 190 GB of codes */
        return cudaErrorInvalidValue;
    LAUNCH((quantize), static_cast<unsigned>((blocks - 1) / BLOCKS_A_BLOCK + 1), QUANTIZE_THREADS,
           0, stream, *args, block_count, static_cast<uint32_t>(blocks));
    return cudaPeekAtLastError();
}

cudaError_t cuda_round(const struct round_args *args, cudaStream_t stream)
{
    if (args->type == WEIGHT_F16)
        LAUNCH((round_rows<half>), whole_tiles(args->rows), ROUND_THREADS, 0, stream, *args);
    else
        LAUNCH((round_rows<__nv_bfloat16>), whole_tiles(args->rows), ROUND_THREADS, 0, stream,
               *args);
    return cudaPeekAtLastError();
}
