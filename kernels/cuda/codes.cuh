/* SPDX-License-Identifier: Apache-2.0 */
/* codes.cuh -- a pair of blocks of quantised weights (weight_layout.h) as a lane of a warp sees it:
 * fragments of A for the integer mma, and a row's scales. Compiled once a type.
 *
 * Codes that a file counts from a centre come out as two's complement in the top bits of a byte,
 * 2^code_shift times too large, for that takes the fewest instructions: dot_of() divides again.
 * dot_of() also turns the sum to a float without a conversion, which runs at a quarter of the rate
 * of additions or less: the mma starts from DOT_START, the bits of 1.5 * 2^23, and as long as the
 * sum's size stays below 2^22, its bits are those of the float 1.5 * 2^23 + sum. The largest is
 * 16 columns * 128 * 127 = 260,096, whatever the type: the shift fills the byte. */
#ifndef WEIR_KERNELS_CUDA_CODES_CUH
#define WEIR_KERNELS_CUDA_CODES_CUH

#include "kernels/cuda/port.cuh"

#include "kernels/cuda/linear_kernels.h"
#include "kernels/quant_codes.h"

#define DOT_START       0x4b400000
#define DOT_START_FLOAT 12582912.0f

/* What quant_codes.h says, for the compiler: its functions are not known to be constant. */
template <enum weight_type TYPE>
constexpr uint32_t code_bits =
    TYPE == WEIGHT_Q8_0                                                 ? 8
    : TYPE == WEIGHT_Q6_K                                               ? 6
    : TYPE == WEIGHT_Q5_0 || TYPE == WEIGHT_Q5_1 || TYPE == WEIGHT_Q5_K ? 5
                                                                        : 4;
template <enum weight_type TYPE>
constexpr enum quant_scaling code_scaling =
    TYPE == WEIGHT_Q4_0 || TYPE == WEIGHT_Q5_0 || TYPE == WEIGHT_Q8_0 ? QUANT_SCALING_HALF
    : TYPE == WEIGHT_Q4_1 || TYPE == WEIGHT_Q5_1                      ? QUANT_SCALING_MINIMUM
    : TYPE == WEIGHT_Q4_K || TYPE == WEIGHT_Q5_K                      ? QUANT_SCALING_NESTED
                                                                      : QUANT_SCALING_SPLIT;
template <enum weight_type TYPE>
constexpr uint32_t code_shift = TYPE == WEIGHT_Q4_0   ? 4
                                : TYPE == WEIGHT_Q5_0 ? 3
                                : TYPE == WEIGHT_Q6_K ? 2
                                                      : 0;
template <enum weight_type TYPE>
constexpr bool code_has_offsets =
    code_scaling<TYPE> == QUANT_SCALING_MINIMUM || code_scaling<TYPE> == QUANT_SCALING_NESTED;

/* Bytes of a pair's codes, of a row's scales in it, of the pair, of a superblock's scales. */
template <enum weight_type TYPE> constexpr uint32_t pair_codes_bytes = code_bits<TYPE> * 128;
template <enum weight_type TYPE>
constexpr uint32_t row_scales_bytes = code_scaling<TYPE> == QUANT_SCALING_MINIMUM ? 8 : 4;
template <enum weight_type TYPE>
constexpr uint32_t pair_bytes = pair_codes_bytes<TYPE> + (row_scales_bytes<TYPE> * TILE_ROWS);
template <enum weight_type TYPE>
constexpr uint32_t row_supers_bytes = code_scaling<TYPE> == QUANT_SCALING_NESTED  ? 4
                                      : code_scaling<TYPE> == QUANT_SCALING_SPLIT ? 2
                                                                                  : 0;
template <enum weight_type TYPE>
constexpr uint32_t superblock_bytes = (row_supers_bytes<TYPE> * TILE_ROWS);

/* A lane's codes of a pair, as they lie. */
template <enum weight_type TYPE> struct pair_codes {
    uint4 words[code_bits<TYPE> == 8 ? 2 : 1];
    uint2 high; /* 5 bits: x; 6 bits: both */
};

template <enum weight_type TYPE>
__device__ __forceinline__ pair_codes<TYPE> load_codes(const uint8_t *pair, uint32_t lane)
{
    pair_codes<TYPE> codes;
    codes.high = make_uint2(0, 0);
    codes.words[0] = reinterpret_cast<const uint4 *>(pair)[lane];
    if constexpr (code_bits<TYPE> == 8)
        codes.words[1] = reinterpret_cast<const uint4 *>(pair + LANES_BYTES)[lane];
    if constexpr (code_bits<TYPE> == 5)
        codes.high.x = reinterpret_cast<const uint32_t *>(pair + LANES_BYTES)[lane];
    if constexpr (code_bits<TYPE> == 6)
        codes.high = reinterpret_cast<const uint2 *>(pair + LANES_BYTES)[lane];
    return codes;
}

/* Left for positive counts. */
template <int COUNT> __device__ __forceinline__ uint32_t shifted(uint32_t word)
{
    if constexpr (COUNT >= 0)
        return word << COUNT;
    else
        return word >> -COUNT;
}

/* Four signed bytes: the codes of columns 4t.. of a stretch, of row g (HALF 0) or g + 8 (1). */
template <enum weight_type TYPE, uint32_t BLOCK, uint32_t HALF, uint32_t STRETCH>
__device__ __forceinline__ uint32_t signed_codes(const pair_codes<TYPE> &codes)
{
    constexpr int SHIFT = code_shift<TYPE>, BIT = 4 * BLOCK + 2 * HALF + STRETCH;
    if constexpr (code_bits<TYPE> == 8) {
        const uint4 &words = codes.words[BLOCK];
        return HALF ? STRETCH ? words.w : words.z : STRETCH ? words.y : words.x;
    } else {
        const uint4 &words = codes.words[0];
        uint32_t word = BLOCK ? HALF ? words.w : words.z : HALF ? words.y : words.x;
        uint32_t bytes =
            shifted<SHIFT - 4 * static_cast<int>(STRETCH)>(word) & (0x0f0f0f0fu << SHIFT);
        if constexpr (code_bits<TYPE> == 5)
            bytes |= shifted<4 + SHIFT - BIT>(codes.high.x) & (0x10101010u << SHIFT);
        if constexpr (code_bits<TYPE> == 6)
            bytes |= shifted<4 + SHIFT - 2 * static_cast<int>(2 * HALF + STRETCH)>(
                         BLOCK ? codes.high.y : codes.high.x) &
                     (0x30303030u << SHIFT);
        return bytes;
    }
}

template <enum weight_type TYPE, uint32_t BLOCK, uint32_t STRETCH>
__device__ __forceinline__ void code_fragment(const pair_codes<TYPE> &codes, uint32_t (&a)[2])
{
    a[0] = signed_codes<TYPE, BLOCK, 0, STRETCH>(codes);
    a[1] = signed_codes<TYPE, BLOCK, 1, STRETCH>(codes);
}

/* The integer of an mma that began at DOT_START as a float, exactly; `sub` under SPLIT is the
 * stretch's sub-scale, elsewhere 1: their product is an integer below 2^24. */
template <enum weight_type TYPE> __device__ __forceinline__ float dot_of(int32_t sum, float sub)
{
    constexpr float STEP = 1.0f / (1 << code_shift<TYPE>);
    float dot = __int_as_float(sum);
    if constexpr (code_scaling<TYPE> == QUANT_SCALING_SPLIT)
        return fmaf(dot, STEP * sub, -(DOT_START_FLOAT * STEP) * sub);
    else if constexpr (code_shift<TYPE> != 0)
        return fmaf(dot, STEP, -(DOT_START_FLOAT * STEP));
    else
        return dot - DOT_START_FLOAT;
}

/* A row's scales of a pair: its own bytes, and minima or the superscale. */
__device__ __forceinline__ float half_at(uint32_t word, uint32_t index)
{
    return __half2float(__ushort_as_half(static_cast<unsigned short>(word >> 16 * index)));
}

/* scales: the pair's; supers: its superblock's, not read where there are none. */
template <enum weight_type TYPE>
__device__ __forceinline__ uint2 load_scales(const uint8_t *scales, const uint8_t *supers,
                                             uint32_t row)
{
    if constexpr (code_scaling<TYPE> == QUANT_SCALING_MINIMUM)
        return reinterpret_cast<const uint2 *>(scales)[row];
    uint2 raw = make_uint2(reinterpret_cast<const uint32_t *>(scales)[row], 0);
    if constexpr (code_scaling<TYPE> == QUANT_SCALING_NESTED)
        raw.y = reinterpret_cast<const uint32_t *>(supers)[row];
    if constexpr (code_scaling<TYPE> == QUANT_SCALING_SPLIT)
        raw.y = reinterpret_cast<const uint16_t *>(supers)[row];
    return raw;
}

/* scale_b and offset_b of the law; exact, but for SPLIT's sub-scales, which dots carry. */
template <enum weight_type TYPE>
__device__ __forceinline__ float scale_of(const uint2 &raw, uint32_t block)
{
    if constexpr (code_scaling<TYPE> == QUANT_SCALING_NESTED)
        return half_at(raw.y, 0) * static_cast<float>(raw.x >> 8 * block & 255);
    else if constexpr (code_scaling<TYPE> == QUANT_SCALING_SPLIT)
        return half_at(raw.y, 0);
    else
        return half_at(raw.x, block);
}

template <enum weight_type TYPE>
__device__ __forceinline__ float offset_of(const uint2 &raw, uint32_t block)
{
    if constexpr (code_scaling<TYPE> == QUANT_SCALING_MINIMUM)
        return half_at(raw.y, block);
    else if constexpr (code_scaling<TYPE> == QUANT_SCALING_NESTED)
        return -(half_at(raw.y, 1) * static_cast<float>(raw.x >> 8 * (2 + block) & 255));
    else
        return 0;
}

template <enum weight_type TYPE>
__device__ __forceinline__ float sub_scale_of(const uint2 &raw, uint32_t block, uint32_t stretch)
{
    if constexpr (code_scaling<TYPE> == QUANT_SCALING_SPLIT)
        return static_cast<float>(static_cast<int8_t>(raw.x >> 8 * (2 * block + stretch)));
    else
        return 1;
}

/* Slabs of `each` rows that there are, or may be. */
__host__ __device__ __forceinline__ uint32_t count_slabs(const struct linear_batch &batch,
                                                         uint32_t each)
{
    return batch.groups.slabs ? batch.groups.slab_count : (batch.rows + each - 1) / each;
}

/* The rows of slab `number` of `each` rows: as planned, or in order. */
__device__ __forceinline__ struct linear_slab find_slab(const struct linear_batch &batch,
                                                        uint32_t number, uint32_t each)
{
    if (batch.groups.slabs) {
        const uint4 slab = reinterpret_cast<const uint4 *>(batch.groups.slabs)[number];
        return {slab.x, slab.y, slab.z, slab.w};
    }
    uint32_t first = number * each;
    return {0, first, min(each, batch.rows - first), first / ACTIVATION_ROWS};
}

/* Where a target's matrix for this slab begins. */
__device__ __forceinline__ const uint8_t *tiles_of(const struct linear_batch &batch,
                                                   const struct linear_target &target,
                                                   const struct linear_slab &slab)
{
    return target.tiles + static_cast<uint64_t>(slab.matrix) * target.tile_count * batch.tile_bytes;
}

/* Which matrix, and which of its stretches of `tiles` tiles, a block of threads serves, counted
 * over all targets. Written without an index, so that the parameters stay where they are. */
__device__ __forceinline__ struct linear_target find_target(const struct linear_batch &batch,
                                                            uint32_t tiles, uint32_t *index)
{
    uint32_t first = (batch.targets[0].tile_count + tiles - 1) / tiles;
    if (batch.target_count == 1 || *index < first)
        return batch.targets[0];
    *index -= first;
    uint32_t second = (batch.targets[1].tile_count + tiles - 1) / tiles;
    if (batch.target_count == 2 || *index < second)
        return batch.targets[1];
    *index -= second;
    return batch.targets[2];
}

/* Blocks of threads that serve all targets, `tiles` tiles each. */
static inline uint32_t count_stretches(const struct linear_batch *batch, uint32_t tiles)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < batch->target_count; i++)
        count += (batch->targets[i].tile_count + tiles - 1) / tiles;
    return count;
}

/* return launch<TYPE>(...), TYPE being the quantised type that `type` turns out to be; goes on
 * below where it is none. */
#define RETURN_LAUNCH_CASE(TYPE, launch, ...)                                                      \
    case TYPE:                                                                                     \
        return launch<TYPE>(__VA_ARGS__)
#define RETURN_LAUNCH(type, launch, ...)                                                           \
    switch (type) {                                                                                \
        RETURN_LAUNCH_CASE(WEIGHT_Q4_0, launch, __VA_ARGS__);                                      \
        RETURN_LAUNCH_CASE(WEIGHT_Q4_1, launch, __VA_ARGS__);                                      \
        RETURN_LAUNCH_CASE(WEIGHT_Q5_0, launch, __VA_ARGS__);                                      \
        RETURN_LAUNCH_CASE(WEIGHT_Q5_1, launch, __VA_ARGS__);                                      \
        RETURN_LAUNCH_CASE(WEIGHT_Q8_0, launch, __VA_ARGS__);                                      \
        RETURN_LAUNCH_CASE(WEIGHT_Q4_K, launch, __VA_ARGS__);                                      \
        RETURN_LAUNCH_CASE(WEIGHT_Q5_K, launch, __VA_ARGS__);                                      \
        RETURN_LAUNCH_CASE(WEIGHT_Q6_K, launch, __VA_ARGS__);                                      \
    default:                                                                                       \
        break;                                                                                     \
    }

#endif
