/* SPDX-License-Identifier: Apache-2.0 */
/* kernel_faults.cpp -- kernels that CUDA does not promise to run, and their right neighbours. */
#include "faults.h"

#include "kernels/cuda/port.cuh"

#include <math.h>

/* Hides from the compiler, and from its bounds checks, where a pointer points. */
template <class T> static T *hidden(T *pointer)
{
    T *volatile kept = pointer;
    return kept;
}

/* -- Bounds and alignment -- */

__global__ void shared_past_end(float *out)
{
    SHARED_ARRAY(float, values, [64]);
    float *at = hidden(&values[0]);
    at[threadIdx.x] = 1.0f;
    __syncthreads();
    out[threadIdx.x] = at[threadIdx.x + 1];
}

__global__ void dynamic_past_end(float *out)
{
    SHARED_DYNAMIC(float, values);
    values[threadIdx.x] = 1.0f;
    __syncthreads();
    out[threadIdx.x] = values[threadIdx.x + 1];
}

__global__ void device_past_end(float *out)
{
    out[threadIdx.x + 1] = 1.0f;
}

__global__ void misaligned_vector(float *out)
{
    float4 value = *hidden(reinterpret_cast<float4 *>(out + 1));
    out[threadIdx.x] = value.x;
}

__global__ void misaligned_copy(float *out)
{
    SHARED_ARRAY(float, values, [64]);
    copy_async16(&values[1], out, true);
    copy_async_commit();
    copy_async_wait<0>();
    out[threadIdx.x] = values[threadIdx.x];
}

__global__ void misaligned_matrix(float *out)
{
    SHARED_ARRAY(uint16_t, rows, [32 * 8 + 8]);
    uint32_t fragment[4];
    load_matrices(fragment, &rows[threadIdx.x * 8 + 1]);
    out[threadIdx.x] = (float)fragment[0];
}

__global__ void static_shared_too_large(float *out)
{
    SHARED_ARRAY(float, values, [13000]);
    values[threadIdx.x] = 1.0f;
    out[threadIdx.x] = values[threadIdx.x];
}

/* -- Threads that do not meet -- */

__global__ void divergent_barriers(float *out)
{
    if (threadIdx.x < 32)
        __syncthreads();
    else
        __syncthreads();
    out[threadIdx.x] = 1.0f;
}

__global__ void barrier_meets_collective(float *out)
{
    if (threadIdx.x % 32 < 16)
        __syncthreads();
    out[threadIdx.x] = __shfl_xor_sync(WARP_ALL, 1.0f, 1);
}

__global__ void lanes_gone(float *out)
{
    if (threadIdx.x % 32 >= 20)
        return;
    out[threadIdx.x] = __shfl_down_sync(WARP_ALL, 1.0f, 1);
}

__global__ void source_not_in_mask(float *out)
{
    if (threadIdx.x < 16)
        out[threadIdx.x] = __shfl_xor_sync(0xffffu, 1.0f, 16);
}

__global__ void caller_not_in_mask(float *out)
{
    out[threadIdx.x] = __shfl_xor_sync(0xffffu, 1.0f, 1);
}

__global__ void divergent_collectives(float *out)
{
    float value;
    if (threadIdx.x % 2 == 0)
        value = __shfl_sync(WARP_ALL, 1.0f, 0);
    else
        value = __shfl_sync(WARP_ALL, 2.0f, 0);
    out[threadIdx.x] = value;
}

/* -- Races -- */

__global__ void no_barrier(float *out)
{
    SHARED_ARRAY(float, values, [64]);
    values[threadIdx.x] = 1.0f;
    out[threadIdx.x] = values[threadIdx.x ^ 1];
}

__global__ void warp_barrier_across_warps(float *out)
{
    SHARED_ARRAY(float, values, [64]);
    values[threadIdx.x] = 1.0f;
    __syncwarp();
    out[threadIdx.x] = values[threadIdx.x ^ 32];
}

/* The value that a slow reader should see is overwritten by the next round's. */
__global__ void no_barrier_before_overwrite(float *out)
{
    SHARED_ARRAY(float, value, [1]);
    float sum = 0.0f;
    for (unsigned i = 0; i < 4; i++) {
        if (threadIdx.x == 0)
            value[0] = 1.0f;
        __syncthreads();
        sum += value[0];
    }
    out[threadIdx.x] = sum;
}

/* A warp that has read meets itself a few times, and writes what the other has yet to read. */
__global__ void overwritten_by_a_warp_ahead(float *out)
{
    SHARED_ARRAY(float, values, [2]);
    if (threadIdx.x % 32 == 0)
        values[threadIdx.x / 32] = 1.0f;
    __syncthreads();
    float sum = values[0] + values[1];
    for (int width = 16; width > 0; width /= 2)
        sum += __shfl_xor_sync(~0u, sum, width);
    if (threadIdx.x % 32 == 0)
        values[threadIdx.x / 32] = NAN;
    out[threadIdx.x] = sum;
}

__global__ void blocks_write_one_place(float *out)
{
    if (threadIdx.x == blockIdx.x)
        out[0] = 1.0f;
}

__global__ void same_threads_write_one_place(float *out)
{
    if (threadIdx.x == 0)
        out[0] = 1.0f;
}

/* -- Poison -- */

__global__ void shared_not_written(float *out)
{
    SHARED_ARRAY(float, values, [64]);
    if (threadIdx.x < 63)
        values[threadIdx.x] = 1.0f;
    __syncthreads();
    out[threadIdx.x] = values[threadIdx.x];
}

__global__ void device_not_written(float *out)
{
    out[threadIdx.x] = out[threadIdx.x] + 1.0f;
}

/* -- Asynchronous copies -- */

__global__ void copy_waited_for_too_late(float *out)
{
    SHARED_ARRAY(float, values, [64]);
    out[threadIdx.x] = 1.0f;
    __syncthreads();
    if (threadIdx.x % 4 == 0)
        copy_async16(&values[threadIdx.x], &out[threadIdx.x], true);
    copy_async_commit();
    __syncthreads();
    float value = values[threadIdx.x ^ 32];
    copy_async_wait<0>();
    __syncthreads();
    out[threadIdx.x] = value;
}

/* Copies anew into what others may still read: right when the copy is late. */
__global__ void copy_issued_too_early(float *out)
{
    SHARED_ARRAY(float, values, [64]);
    values[threadIdx.x] = 1.0f;
    out[threadIdx.x] = 2.0f;
    __syncthreads();
    if (threadIdx.x % 4 == 0)
        copy_async16(&values[threadIdx.x], &out[threadIdx.x], true);
    copy_async_commit();
    float value = values[threadIdx.x ^ 32];
    __syncthreads();
    copy_async_wait<0>();
    out[threadIdx.x] = value == 1.0f ? 1.0f : NAN;
}

__global__ void copy_never_waited_for(float *out)
{
    SHARED_ARRAY(float, values, [64]);
    if (threadIdx.x % 4 == 0)
        copy_async16(&values[threadIdx.x], &out[threadIdx.x], false);
    copy_async_commit();
    out[threadIdx.x] = 1.0f;
}

/* Two stages in turns, right. */
__global__ void copies_in_stages(float *out)
{
    SHARED_ARRAY(float, values, [2][64]);
    out[threadIdx.x] = 1.0f;
    __syncthreads();
    float sum = 0.0f;
    for (unsigned i = 0; i <= 4; i++) {
        if (i < 4 && threadIdx.x % 4 == 0)
            copy_async16(&values[i % 2][threadIdx.x], &out[threadIdx.x], true);
        copy_async_commit();
        if (i == 0)
            continue;
        copy_async_wait<1>();
        __syncthreads();
        sum += values[(i - 1) % 2][threadIdx.x ^ 32];
        __syncthreads();
    }
    copy_async_wait<0>();
    __syncthreads();
    out[threadIdx.x] = sum == 4.0f ? 1.0f : NAN;
}

/* -- The last block sums what all wrote: out[0] counts, out[1 + b] is block b's -- */

enum fences { FENCES_BOTH, FENCES_NO_WRITER, FENCES_NO_READER, FENCES_BEFORE_WRITE };

template <int FENCES> __global__ void last_block_sums(float *out)
{
    if (threadIdx.x != 0)
        return;
    if (FENCES == FENCES_BEFORE_WRITE)
        __threadfence();
    out[1 + blockIdx.x] = 1.0f;
    if (FENCES == FENCES_BOTH || FENCES == FENCES_NO_READER)
        __threadfence();
    unsigned before = atomicAdd(reinterpret_cast<unsigned *>(out), 1u);
    if (before + 1 != gridDim.x)
        return;
    if (FENCES != FENCES_NO_READER)
        __threadfence();
    float sum = 0.0f;
    for (unsigned b = 0; b < gridDim.x; b++)
        sum += out[1 + b];
    out[63] = sum;
}

template <int FENCES> static void run_sums(float *device, cudaStream_t stream)
{
    (void)cudaMemsetAsync(device, 0, FAULT_FLOATS * sizeof(float), stream);
    LAUNCH((last_block_sums<FENCES>), 8, 32, 0, stream, device);
}

/* -- Right ones -- */

__global__ void right_sum(float *out)
{
    SHARED_ARRAY(float, sums, [2]);
    float sum = 1.0f;
    for (int distance = 16; distance > 0; distance /= 2)
        sum += __shfl_xor_sync(WARP_ALL, sum, distance);
    if (threadIdx.x % 32 == 0)
        sums[threadIdx.x / 32] = sum;
    __syncthreads();
    out[threadIdx.x] = sums[0] + sums[1] == 64.0f ? 1.0f : NAN;
}

/* A few lanes each exchange through shared memory, groups at different paces. */
__global__ void right_groups(float *out)
{
    SHARED_ARRAY(float, values, [64]);
    unsigned group = threadIdx.x % 32 / 8, mask = 0xffu << 8 * group;
    for (unsigned i = 0; i <= group; i++) {
        values[threadIdx.x] = (float)i;
        __syncwarp(mask);
        float other = values[threadIdx.x ^ 7];
        __syncwarp(mask);
        if (other != (float)i)
            values[threadIdx.x] = NAN;
    }
    out[threadIdx.x] = values[threadIdx.x];
}

#define ONE_BLOCK(kernel, shared_bytes)                                                            \
    {                                                                                              \
#kernel,                                                                                   \
            [](float *device,                                                                      \
               cudaStream_t                                                                        \
                   stream) { LAUNCH((kernel), 1, FAULT_FLOATS, shared_bytes, stream, device); }    \
    }
#define ONE_WARP(kernel)                                                                           \
    {                                                                                              \
#kernel,                                                                                   \
            [](float *device, cudaStream_t stream) { LAUNCH((kernel), 1, 32, 0, stream, device); } \
    }
#define FOUR_BLOCKS(kernel)                                                                        \
    {                                                                                              \
#kernel, [](float *device, cudaStream_t stream) {                                          \
            (void)cudaMemsetAsync(device, 0, FAULT_FLOATS * sizeof(float), stream);                \
            LAUNCH((kernel), 4, 32, 0, stream, device);                                            \
        }       \
    }

const struct fault kernel_faults[] = {
    ONE_BLOCK(shared_past_end, 0),
    ONE_BLOCK(dynamic_past_end, 256),
    ONE_BLOCK(device_past_end, 0),
    ONE_BLOCK(misaligned_vector, 0),
    ONE_BLOCK(misaligned_copy, 0),
    ONE_WARP(misaligned_matrix),
    ONE_BLOCK(static_shared_too_large, 0),
    ONE_BLOCK(divergent_barriers, 0),
    ONE_BLOCK(barrier_meets_collective, 0),
    ONE_BLOCK(lanes_gone, 0),
    ONE_WARP(source_not_in_mask),
    ONE_WARP(caller_not_in_mask),
    ONE_WARP(divergent_collectives),
    ONE_BLOCK(no_barrier, 0),
    ONE_BLOCK(warp_barrier_across_warps, 0),
    ONE_BLOCK(no_barrier_before_overwrite, 0),
    ONE_BLOCK(overwritten_by_a_warp_ahead, 0),
    FOUR_BLOCKS(blocks_write_one_place),
    FOUR_BLOCKS(same_threads_write_one_place),
    ONE_BLOCK(shared_not_written, 0),
    ONE_BLOCK(device_not_written, 0),
    ONE_BLOCK(copy_waited_for_too_late, 0),
    ONE_BLOCK(copy_issued_too_early, 0),
    ONE_BLOCK(copy_never_waited_for, 0),
    ONE_BLOCK(copies_in_stages, 0),
    {"fences_both", run_sums<FENCES_BOTH>},
    {"fences_no_writer", run_sums<FENCES_NO_WRITER>},
    {"fences_no_reader", run_sums<FENCES_NO_READER>},
    {"fences_before_write", run_sums<FENCES_BEFORE_WRITE>},
    ONE_BLOCK(right_sum, 0),
    ONE_BLOCK(right_groups, 0),
    {NULL, NULL},
};
