/* SPDX-License-Identifier: Apache-2.0 */
/* attention_walk.cuh -- queries meet the tiles of their sequence's cache, on tensor cores.
 *
 * Sixteen queries are the rows of an mma: (row of the step, head of the group) pairs, side by side,
 * so that each key is fetched once for all heads that read it. A block of four warps works on
 *
 *     prefill     64 queries, 16 a warp: a warp meets all keys and all dimensions of its own; of
 *                 heads above 128, whose sums fill the registers, 32 and two warps to 16
 *     decode      16 queries (one row's group, padded), which the four warps share: each scores a
 *                 quarter of a tile's keys, then sums a quarter of the dimensions of V
 *
 * and both are attend() below, told apart by `sharers`. A row walks its keys in stretches of
 * CUDA_SPLIT_TOKENS, a stretch in tiles, both aligned to the position in the sequence. In a tile
 * (Milakov and Gimelshein 2018; Dao 2023)
 *
 *     largest' = max(largest, max s)               s = scale * q . k, 16 dimensions an mma
 *     total    = total e^(largest - largest') + sum w      w = e^(s - largest'), rounded as V is
 *     out      = out   e^(largest - largest') + sum w v    16 keys an mma, ascending
 *
 * and stretches join likewise, ascending (join_peaks, join_element), in `out` itself or, where
 * other blocks walked them, from the partial sums. `total` is an mma too, w times ones. A sink is
 * what a row has joined before its first stretch.
 *
 * A row's bits are then its own. An element of S depends on its row and its key, a sum over keys is
 * a chain of mma in order of position whichever warp runs it, and a maximum has no order. A
 * neighbour makes a row pass tiles that it does not see; there w is 0 for all keys, largest stays,
 * and the sums are multiplied by 1 and added 0 to. That an mma adds a product with 0 without a
 * trace is the one thing taken from the hardware on trust. A sum may still be 0 or -0 by who walked
 * along: + 0.0f at the end makes one of the two. V is zeroed where no row of the block may look,
 * for 0 times NaN is NaN; an infinity in V, which spoils its own row and all later ones, does here
 * spoil rows of its chunk that are less than a tile before it as well.
 *
 * Who holds what, lane l with g = l / 4 and t = l % 4: of S and of out, rows g and g + 8, columns
 * 2t and 2t + 1 of each 8 (keys, dimensions). S becomes the A fragment of the second product in
 * place where a warp has all keys; sharers pass it through shared memory.
 *
 *     shared memory     q [queries][dim] | ring of stages: K [tile][dim], V [tile][dim]
 *                       | sharers' peaks [4][16]; their weights go over the tile's K
 *
 * KV_FP8's ring holds codes and scales as the cache does, half as much; when a tile's turn comes
 * the block makes halves of them, once for all its queries, in a place of their own before the
 * ring. Codes times scales are halves exactly: nothing after that knows the difference.
 *
 * Rows of shared memory are chunks of 16 bytes, stored at chunk ^ (row % 8), so that the eight rows
 * that ldmatrix reads at a time lie in different banks; with an odd multiple of four chunks two
 * rows make a turn of the banks, and chunk ^ (row / 2 % 4) does it.
 *
 * What bounds it: a decode reads 4 head_dim bytes a key and does as many flops for each of at most
 * 16 queries, far under any GPU's ratio: memory. Copies run two tiles ahead (one, of wide heads).
 * In a prefill 64 queries share what their block reads, and blocks of a chunk share it through the
 * second cache: tensor cores bound it, and e^x, of which there is one for 4 head_dim flops. The
 * road not taken: wgmma and TMA, which no emulator here can vouch for. */
#ifndef WEIR_KERNELS_CUDA_ATTENTION_WALK_CUH
#define WEIR_KERNELS_CUDA_ATTENTION_WALK_CUH

#include "kernels/cuda/port.cuh"

#include "kernels/cuda/attention.h"
#include "kernels/cuda/kv_element.cuh"
#include "kernels/cuda/lane_math.cuh"

#define ATTEND_WARPS   4u
#define ATTEND_THREADS (ATTEND_WARPS * WARP)
#define QUERIES        16u /* rows of an mma */
#define SPLIT_BLOCKS   (CUDA_SPLIT_TOKENS / KV_BLOCK_TOKENS)

static_assert(SPLIT_BLOCKS == WARP, "a warp holds the blocks of a stretch, one a lane");

/* What a launch is given; pointers are to the device. */
struct attend_args {
    const float *q;
    const void *cache;
    const float *sinks; /* [heads] or NULL */
    float *out, *partials;
    const struct attention_span *spans;
    const uint32_t *block_tables;
    const uint32_t *count; /* of pieces */
    const struct attention_piece *pieces;
    uint32_t heads, kv_heads, head_dim, window;
    size_t slice_bytes;
    float scale; /* of scores; with a soft cap, of the angle (scaled_score) */
    float softcap;
};

cudaError_t attend_decodes(const struct attend_args *args, enum kv_format format, uint32_t grid,
                           cudaStream_t stream);
cudaError_t attend_prefills(const struct attend_args *args, enum kv_format format, uint32_t grid,
                            cudaStream_t stream);

/* -- The arithmetic that every path shares -- */

__device__ __forceinline__ float exp_lane(float x)
{
    return lanes_exp(lanes_set(x)).lane;
}

/* As the CPU's: cap tanh(s / cap), and tanh(y) = 1 - 2 / (1 + e^2y). */
__device__ __forceinline__ float scaled_score(const struct attend_args &args, float dot)
{
    float score = dot * args.scale;
    if (args.softcap != 0.0f)
        score = (1.0f + -2.0f / (1.0f + exp_lane(score))) * args.softcap;
    return score;
}

/* Sums of two runs of keys, each relative to its own largest score, come to a common one. A run
 * that saw nothing has -infinity and zeros; what is not scaled is multiplied by exactly 1. */
struct join_factors {
    float largest, keep, take; /* keep: for the sums so far; take: for those that join */
};

__device__ __forceinline__ struct join_factors join_peaks(float so_far, float joining)
{
    float largest = fmaxf(so_far, joining);
    return {largest, so_far == largest ? 1.0f : exp_lane(so_far - largest),
            joining == largest ? 1.0f : exp_lane(joining - largest)};
}

__device__ __forceinline__ float join_element(const struct join_factors &factors, float so_far,
                                              float joining)
{
    return fmaf(joining, factors.take, so_far * factors.keep);
}

__device__ __forceinline__ float2 finished(float2 sum, float share)
{
    return make_float2(sum.x * share + 0.0f, sum.y * share + 0.0f);
}

/* -- Shapes -- */

/* Heads padded to `DIM`; `SHARERS` warps work on the same sixteen queries. */
template <enum kv_format FORMAT, uint32_t DIM, uint32_t SHARERS> struct attend_shape {
    typedef typename kv_element<FORMAT>::type element;
    static constexpr enum kv_format format = FORMAT;
    static constexpr uint32_t dim = DIM, sharers = SHARERS;
    static constexpr uint32_t tile = DIM <= 96 ? 64 : 32; /* keys; a stage is at most 32 KiB */
    static constexpr uint32_t stages = SHARERS > 1 && DIM <= 128 ? 3 : 2;
    static constexpr uint32_t chunks = DIM / 8; /* of 16 bytes, a row */
    static constexpr uint32_t queries = QUERIES * ATTEND_WARPS / SHARERS;
    static constexpr uint32_t score_tiles = tile / 8 / SHARERS; /* of a warp */
    static constexpr uint32_t out_tiles = DIM / 8 / SHARERS;    /* of a warp */
    static constexpr uint32_t plane = tile * DIM; /* elements of K or of V in a tile */
    static constexpr bool packed = FORMAT == KV_FP8;
    static constexpr uint32_t tile_bytes = 2 * plane * 2;
    static constexpr uint32_t stage_bytes = packed ? 2 * (plane + 2 * tile) : tile_bytes;
    static constexpr uint32_t shared_bytes = 2 * queries * DIM + (packed ? tile_bytes : 0) +
                                             stages * stage_bytes +
                                             (SHARERS > 1 ? 4 * ATTEND_WARPS * QUERIES : 0);
    /* Blocks an SM that registers are kept few enough for; more, and ptxas would spill. */
    static constexpr uint32_t resident = DIM <= 64 || SHARERS > 2 ? 3 : 2;
    static_assert(ATTEND_WARPS % SHARERS == 0, "sharers are of one block");
    static_assert(ATTEND_WARPS / SHARERS * QUERIES <= DIM, "weights fit where keys were");
    static_assert(tile * chunks / 2 % ATTEND_THREADS == 0, "threads copy alike");
    static_assert(tile / 8 <= WARP, "a warp copies the scales");
};

template <class SHAPE> struct shared_memory {
    typename SHAPE::element *q, *unpacked; /* where packed */
    unsigned char *ring;                   /* [stages][stage_bytes] */
    float *peaks;                          /* [ATTEND_WARPS][QUERIES] */
};

template <class SHAPE>
__device__ __forceinline__ struct shared_memory<SHAPE> shared_cut(typename SHAPE::element *bytes) {
    typename SHAPE::element *unpacked = bytes + SHAPE::queries * SHAPE::dim;
    unsigned char *ring =
        reinterpret_cast<unsigned char *>(unpacked) + (SHAPE::packed ? SHAPE::tile_bytes : 0);
    return {bytes, unpacked, ring,
            reinterpret_cast<float *>(ring + SHAPE::stages * SHAPE::stage_bytes)};
}

/* Where a chunk of a row lies among rows of CHUNKS chunks, in elements. */
template <uint32_t CHUNKS>
__device__ __forceinline__ uint32_t chunk_at(uint32_t row, uint32_t chunk)
{
    static_assert(CHUNKS % 4 == 0, "half a turn of the banks at least");
    constexpr uint32_t turn = CHUNKS % 8 == 0 ? 8 : 4;
    const uint32_t by = CHUNKS % 8 == 0 ? row : row / 2;
    const uint32_t turned = chunk / turn * turn + (chunk ^ by) % turn; /* the first term constant */
    return (row * CHUNKS + turned) * 8;
}

/* -- A block's work, and a thread's two rows of it -- */

struct block_work {
    const uint32_t *table; /* of the sequence */
    uint32_t kv_head;
    uint32_t first_query; /* of the piece's, first row first, heads of the group side by side */
    uint32_t query_count; /* from there, at most the shape's */
    uint32_t step_row;    /* of the piece's first row */
    uint32_t position;    /* likewise */
    uint32_t begin, end;  /* positions that any of the queries sees */
};

/* A query as others number it. */
struct query_place {
    uint32_t row;        /* of the piece */
    uint32_t head;       /* of the model */
    uint32_t begin, end; /* positions it sees */
};

__device__ __forceinline__ struct query_place
place_of(const struct attend_args &args, const struct block_work &work, uint32_t query)
{
    const uint32_t group = args.heads / args.kv_heads;
    const uint32_t row = (work.first_query + query) / group;
    const uint32_t head = work.kv_head * group + (work.first_query + query) % group;
    const uint32_t end = work.position + row + 1;
    return {row, head, args.window == 0 || end < args.window ? 0 : end - args.window, end};
}

__device__ __forceinline__ size_t query_offset(const struct attend_args &args,
                                               const struct block_work &work,
                                               const struct query_place &place)
{
    return (static_cast<size_t>(work.step_row + place.row) * args.heads + place.head) *
           args.head_dim;
}

struct thread_rows {
    uint32_t begin[2], end[2];     /* positions that rows g and g + 8 see; none: padding */
    uint32_t warp_begin, warp_end; /* that any row of the warp sees */
};

template <class SHAPE>
__device__ __forceinline__ struct thread_rows rows_of_thread(const struct attend_args &args,
                                                             const struct block_work &work)
{
    const uint32_t first = threadIdx.x / WARP / SHAPE::sharers * QUERIES;
    struct thread_rows rows = {};
    for (uint32_t i = 0; i < 2; i++) {
        const uint32_t query = first + threadIdx.x % WARP / 4 + 8 * i;
        if (query < work.query_count) {
            const struct query_place place = place_of(args, work, query);
            rows.begin[i] = place.begin;
            rows.end[i] = place.end;
        }
    }
    if (first < work.query_count) {
        const uint32_t last = min(first + QUERIES, work.query_count) - 1;
        rows.warp_begin = place_of(args, work, first).begin;
        rows.warp_end = place_of(args, work, last).end;
    }
    return rows;
}

/* Queries rounded as keys are; those of padding, and dimensions of it, are zeros. */
template <class SHAPE>
__device__ __forceinline__ void load_queries(const struct attend_args &args,
                                             const struct block_work &work,
                                             typename SHAPE::element *shared)
{
    for (uint32_t i = threadIdx.x; i < SHAPE::queries * SHAPE::chunks; i += ATTEND_THREADS) {
        const uint32_t query = i / SHAPE::chunks, chunk = i % SHAPE::chunks;
        uint4 eight = make_uint4(0, 0, 0, 0);
        if (query < work.query_count && chunk * 8 < args.head_dim) {
            const struct query_place place = place_of(args, work, query);
            eight = pack_eight<SHAPE::format>(args.q + query_offset(args, work, place) + chunk * 8);
        }
        *reinterpret_cast<uint4 *>(shared + chunk_at<SHAPE::chunks>(query, chunk)) = eight;
    }
}

/* -- A tile -- */

/* The head's K in a block; its V is kv_heads slices on. */
__device__ __forceinline__ const unsigned char *
key_slice(const struct attend_args &args, const struct block_work &work, uint32_t block)
{
    return static_cast<const unsigned char *>(args.cache) +
           (static_cast<size_t>(block) * 2 * args.kv_heads + work.kv_head) * args.slice_bytes;
}

/* 16 bytes of K to `to`, and those of V to `apart` bytes behind. */
__device__ __forceinline__ void copy_pair(const struct attend_args &args, const unsigned char *from,
                                          unsigned char *to, uint32_t apart, bool valid)
{
    const void *none = args.cache;
    copy_async16(to, valid ? from : none, valid);
    copy_async16(to + apart, valid ? from + args.kv_heads * args.slice_bytes : none, valid);
}

/* The scales of KV_FP8 of a tile, behind its codes, by the first warp: 8 tokens a lane. Those of
 * tokens that nobody wrote come with them. */
template <class SHAPE>
__device__ __forceinline__ void copy_scales(const struct attend_args &args,
                                            const struct block_work &work, uint32_t block,
                                            uint32_t base, unsigned char *stage)
{
    constexpr uint32_t chunks = SHAPE::tile / 8;
    const uint32_t chunk = threadIdx.x % chunks, position = base + chunk * 8;
    const uint32_t from_block =
        __shfl_sync(WARP_ALL, block, position / KV_BLOCK_TOKENS % SPLIT_BLOCKS);
    if (threadIdx.x < chunks)
        copy_pair(args,
                  key_slice(args, work, from_block) + KV_BLOCK_TOKENS * args.head_dim +
                      position % KV_BLOCK_TOKENS * 2,
                  stage + 2 * SHAPE::plane + chunk * 16, 2 * SHAPE::tile,
                  position + 8 > work.begin && position < work.end);
}

/* Starts the copy of the tile at position `base`. `block` is this lane's of the stretch. */
template <class SHAPE>
__device__ __forceinline__ void copy_tile(const struct attend_args &args,
                                          const struct block_work &work, uint32_t block,
                                          uint32_t base, unsigned char *stage)
{
    constexpr uint32_t chunks = SHAPE::packed ? SHAPE::chunks / 2 : SHAPE::chunks; /* a row */
    constexpr uint32_t width = SHAPE::packed ? 16 : 8; /* dimensions a chunk */
    if (SHAPE::packed && threadIdx.x < WARP)
        copy_scales<SHAPE>(args, work, block, base, stage);
#pragma unroll 2
    for (uint32_t i = 0; i < SHAPE::tile * chunks / ATTEND_THREADS; i++) {
        const uint32_t index = i * ATTEND_THREADS + threadIdx.x;
        const uint32_t row = index / chunks, chunk = index % chunks;
        const uint32_t position = base + row;
        const uint32_t from_block =
            __shfl_sync(WARP_ALL, block, position / KV_BLOCK_TOKENS % SPLIT_BLOCKS);
        const bool valid =
            position >= work.begin && position < work.end && chunk * width < args.head_dim;
        const uint32_t slot = position % KV_BLOCK_TOKENS;
        const unsigned char *from = key_slice(args, work, from_block) +
                                    (slot * args.head_dim + chunk * width) * (16 / width);
        if constexpr (SHAPE::packed)
            copy_pair(args, from, stage + index * 16, SHAPE::plane, valid);
        else
            copy_pair(args, from, stage + 2 * chunk_at<chunks>(row, chunk), 2 * SHAPE::plane,
                      valid);
    }
}

/* Codes that were copied become K and V in halves; zeros where no query looks. */
template <class SHAPE>
__device__ __forceinline__ void unpack_tile(const struct attend_args &args,
                                            const struct block_work &work, uint32_t base,
                                            const unsigned char *stage, half *to)
{
    constexpr uint32_t chunks = SHAPE::chunks / 2;
    const half *scales = reinterpret_cast<const half *>(stage + 2 * SHAPE::plane);
#pragma unroll 2
    for (uint32_t i = 0; i < SHAPE::tile * chunks / ATTEND_THREADS; i++) {
        const uint32_t index = i * ATTEND_THREADS + threadIdx.x;
        const uint32_t row = index / chunks, chunk = index % chunks, position = base + row;
        const bool valid =
            position >= work.begin && position < work.end && chunk * 16 < args.head_dim;
#pragma unroll
        for (uint32_t plane = 0; plane < 2; plane++) {
            const uint4 codes =
                *reinterpret_cast<const uint4 *>(stage + plane * SHAPE::plane + index * 16);
            const half2 scale = __half2half2(scales[plane * SHAPE::tile + row]);
            const uint32_t words[4] = {codes.x, codes.y, codes.z, codes.w};
#pragma unroll
            for (uint32_t k = 0; k < 2; k++) {
                const uint2 low = unpack_four(words[2 * k], scale);
                const uint2 high = unpack_four(words[2 * k + 1], scale);
                half *at = to + plane * SHAPE::plane + chunk_at<SHAPE::chunks>(row, 2 * chunk + k);
                *reinterpret_cast<uint4 *>(at) =
                    valid ? make_uint4(low.x, low.y, high.x, high.y) : make_uint4(0, 0, 0, 0);
            }
        }
    }
}

/* S = Q K^T for the warp's keys. */
template <class SHAPE>
__device__ __forceinline__ void
multiply_keys(const typename SHAPE::element *q, const typename SHAPE::element *keys,
              uint32_t first_row, uint32_t first_key, float (&scores)[SHAPE::score_tiles][4])
{
    const uint32_t lane = threadIdx.x % WARP;
#pragma unroll
    for (uint32_t i = 0; i < SHAPE::score_tiles; i++)
        scores[i][0] = scores[i][1] = scores[i][2] = scores[i][3] = 0.0f;
#pragma unroll
    for (uint32_t chunk = 0; chunk < SHAPE::chunks; chunk += 4) {
        uint32_t a[2][4];
        const uint32_t row = first_row + lane % 16;
        load_matrices(a[0], q + chunk_at<SHAPE::chunks>(row, chunk + lane / 16));
        load_matrices(a[1], q + chunk_at<SHAPE::chunks>(row, chunk + 2 + lane / 16));
#pragma unroll
        for (uint32_t i = 0; i < SHAPE::score_tiles; i++) {
            uint32_t b[4];
            const uint32_t key = first_key + 8 * i + lane % 8;
            load_matrices(b, keys + chunk_at<SHAPE::chunks>(key, chunk + lane / 8));
            mma_16816(scores[i], a[0], {b[0], b[1]}, typename SHAPE::element());
            mma_16816(scores[i], a[1], {b[2], b[3]}, typename SHAPE::element());
        }
    }
}

/* Dots become scores; -infinity where the row may not look. */
template <uint32_t TILES>
__device__ __forceinline__ void mask_scores(const struct attend_args &args,
                                            const struct thread_rows &rows, uint32_t base,
                                            float (&scores)[TILES][4])
{
#pragma unroll
    for (uint32_t i = 0; i < TILES; i++)
#pragma unroll
        for (uint32_t k = 0; k < 4; k++) {
            const uint32_t position = base + 8 * i + threadIdx.x % 4 * 2 + k % 2;
            const bool seen = position >= rows.begin[k / 2] && position < rows.end[k / 2];
            scores[i][k] = seen ? scaled_score(args, scores[i][k]) : -INFINITY;
        }
}

/* The largest score of each of the thread's rows, over all keys of the tile. */
template <class SHAPE>
__device__ __forceinline__ void row_peaks(const float (&scores)[SHAPE::score_tiles][4],
                                          float *shared_peaks, float (&peaks)[2])
{
#pragma unroll
    for (uint32_t h = 0; h < 2; h++) {
        peaks[h] = -INFINITY;
#pragma unroll
        for (uint32_t i = 0; i < SHAPE::score_tiles; i++)
            peaks[h] = fmaxf(peaks[h], fmaxf(scores[i][2 * h], scores[i][2 * h + 1]));
        peaks[h] = fmaxf(peaks[h], __shfl_xor_sync(WARP_ALL, peaks[h], 1));
        peaks[h] = fmaxf(peaks[h], __shfl_xor_sync(WARP_ALL, peaks[h], 2));
    }
    if constexpr (SHAPE::sharers > 1) {
        const uint32_t warp = threadIdx.x / WARP, row = threadIdx.x % WARP / 4;
        const uint32_t first = warp / SHAPE::sharers * SHAPE::sharers;
        if (threadIdx.x % 4 == 0) {
            shared_peaks[warp * QUERIES + row] = peaks[0];
            shared_peaks[warp * QUERIES + row + 8] = peaks[1];
        }
        __syncthreads();
#pragma unroll
        for (uint32_t i = 0; i < SHAPE::sharers; i++) {
            peaks[0] = fmaxf(peaks[0], shared_peaks[(first + i) * QUERIES + row]);
            peaks[1] = fmaxf(peaks[1], shared_peaks[(first + i) * QUERIES + row + 8]);
        }
    }
}

/* Sums of the stretch so far, of the thread's rows. */
template <class SHAPE> struct stretch_sums {
    float largest[2];
    float total[4]; /* an accumulator all of whose columns are equal */
    float out[SHAPE::out_tiles][4];
};

/* Takes in the tile's peaks: sums shrink, scores become weights. */
template <class SHAPE>
__device__ __forceinline__ void soften(const float (&peaks)[2], struct stretch_sums<SHAPE> &sums,
                                       float (&scores)[SHAPE::score_tiles][4])
{
    float shrink[2], minus[2];
#pragma unroll
    for (uint32_t h = 0; h < 2; h++) {
        const float largest = fmaxf(sums.largest[h], peaks[h]);
        minus[h] = largest == -INFINITY ? 0.0f : -largest; /* else -infinity + infinity */
        shrink[h] = sums.largest[h] == largest ? 1.0f : exp_lane(sums.largest[h] + minus[h]);
        sums.largest[h] = largest;
    }
#pragma unroll
    for (uint32_t i = 0; i < SHAPE::score_tiles; i++)
#pragma unroll
        for (uint32_t k = 0; k < 4; k++)
            scores[i][k] = exp_lane(scores[i][k] + minus[k / 2]);
    if (shrink[0] == 1.0f && shrink[1] == 1.0f)
        return;
#pragma unroll
    for (uint32_t k = 0; k < 4; k++) {
        sums.total[k] *= shrink[k / 2];
#pragma unroll
        for (uint32_t i = 0; i < SHAPE::out_tiles; i++)
            sums.out[i][k] *= shrink[k / 2];
    }
}

/* The weights of all keys of the tile as A fragments, 16 keys each. Sharers write theirs over the
 * tile's K, with which every warp was done before the peaks were known. */
template <class SHAPE>
__device__ __forceinline__ void weights_of_tile(const float (&scores)[SHAPE::score_tiles][4],
                                                typename SHAPE::element *keys,
                                                uint32_t (&weights)[SHAPE::tile / 16][4])
{
    if constexpr (SHAPE::sharers == 1) {
#pragma unroll
        for (uint32_t i = 0; i < SHAPE::tile / 16; i++)
#pragma unroll
            for (uint32_t k = 0; k < 4; k++) {
                const float(&pair)[4] = scores[2 * i + k / 2];
                weights[i][k] = pack_pair<SHAPE::format>(pair[k % 2 * 2], pair[k % 2 * 2 + 1]);
            }
    } else {
        constexpr uint32_t chunks = SHAPE::tile / 8;
        const uint32_t lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
        typename SHAPE::element *shared = keys + warp / SHAPE::sharers * QUERIES * SHAPE::tile;
#pragma unroll
        for (uint32_t i = 0; i < SHAPE::score_tiles; i++)
#pragma unroll
            for (uint32_t h = 0; h < 2; h++) {
                const uint32_t chunk = warp % SHAPE::sharers * SHAPE::score_tiles + i;
                typename SHAPE::element *to = shared + chunk_at<chunks>(lane / 4 + 8 * h, chunk);
                *reinterpret_cast<uint32_t *>(to + lane % 4 * 2) =
                    pack_pair<SHAPE::format>(scores[i][2 * h], scores[i][2 * h + 1]);
            }
        __syncthreads();
#pragma unroll
        for (uint32_t i = 0; i < SHAPE::tile / 16; i++)
            load_matrices(weights[i], shared + chunk_at<chunks>(lane % 16, 2 * i + lane / 16));
    }
}

/* out += W V for the warp's dimensions, total += W 1. */
template <class SHAPE>
__device__ __forceinline__ void multiply_values(const uint32_t (&weights)[SHAPE::tile / 16][4],
                                                const typename SHAPE::element *values,
                                                uint32_t first_chunk,
                                                struct stretch_sums<SHAPE> &sums)
{
    typedef typename SHAPE::element element;
    const uint32_t ones = kv_element<SHAPE::format>::ones;
#pragma unroll
    for (uint32_t i = 0; i < SHAPE::tile / 16; i += 2) {
        mma_16816(sums.total, weights[i], {ones, ones}, element());
        mma_16816(sums.total, weights[i + 1], {ones, ones}, element());
#pragma unroll
        for (uint32_t d = 0; d < SHAPE::out_tiles; d++) {
            uint32_t b[4];
            const uint32_t key = 16 * i + threadIdx.x % WARP;
            load_matrices_turned(b, values + chunk_at<SHAPE::chunks>(key, first_chunk + d));
            mma_16816(sums.out[d], weights[i], {b[0], b[1]}, element());
            mma_16816(sums.out[d], weights[i + 1], {b[2], b[3]}, element());
        }
    }
}

template <class SHAPE>
__device__ __forceinline__ void
attend_tile(const struct attend_args &args, const struct thread_rows &rows, uint32_t base,
            typename SHAPE::element *tile, const struct shared_memory<SHAPE> &shared,
            struct stretch_sums<SHAPE> &sums)
{
    const uint32_t warp = threadIdx.x / WARP, share = warp % SHAPE::sharers;
    const uint32_t first_key = share * SHAPE::score_tiles * 8;
    float scores[SHAPE::score_tiles][4], peaks[2];
    uint32_t weights[SHAPE::tile / 16][4];
    multiply_keys<SHAPE>(shared.q, tile, warp / SHAPE::sharers * QUERIES, first_key, scores);
    mask_scores(args, rows, base + first_key, scores);
    row_peaks<SHAPE>(scores, shared.peaks, peaks);
    soften<SHAPE>(peaks, sums, scores);
    weights_of_tile<SHAPE>(scores, tile, weights);
    multiply_values<SHAPE>(weights, tile + SHAPE::plane, share * SHAPE::out_tiles, sums);
}

/* -- A stretch, and a row -- */

template <class SHAPE>
__device__ __forceinline__ void
walk_stretch(const struct attend_args &args, const struct block_work &work,
             const struct thread_rows &rows, uint32_t split,
             const struct shared_memory<SHAPE> &shared, struct stretch_sums<SHAPE> &sums)
{
    const uint32_t first = split * CUDA_SPLIT_TOKENS;
    const uint32_t begin = max(work.begin, first) / SHAPE::tile * SHAPE::tile;
    const uint32_t end = min(work.end, first + CUDA_SPLIT_TOKENS);
    const uint32_t tiles = (end - begin + SHAPE::tile - 1) / SHAPE::tile;
    const uint32_t mine = split * SPLIT_BLOCKS + threadIdx.x % WARP;
    const bool seen = mine * KV_BLOCK_TOKENS < end && (mine + 1) * KV_BLOCK_TOKENS > work.begin;
    const uint32_t block = seen ? work.table[mine] : 0;
    sums = {};
    sums.largest[0] = sums.largest[1] = -INFINITY;
    __syncthreads(); /* the queries are there; no warp reads the ring any more */
    for (uint32_t i = 0; i + 1 < SHAPE::stages; i++) {
        if (i < tiles)
            copy_tile<SHAPE>(args, work, block, begin + i * SHAPE::tile,
                             shared.ring + i * SHAPE::stage_bytes);
        copy_async_commit();
    }
    for (uint32_t i = 0; i < tiles; i++) {
        copy_async_wait<SHAPE::stages - 2>();
        __syncthreads(); /* tile i is there for all; tile i - 1 is done with */
        const uint32_t next = i + SHAPE::stages - 1, base = begin + i * SHAPE::tile;
        unsigned char *stage = shared.ring + i % SHAPE::stages * SHAPE::stage_bytes;
        typename SHAPE::element *tile = shared.unpacked;
        if (next < tiles)
            copy_tile<SHAPE>(args, work, block, begin + next * SHAPE::tile,
                             shared.ring + next % SHAPE::stages * SHAPE::stage_bytes);
        copy_async_commit();
        if constexpr (SHAPE::packed) {
            unpack_tile<SHAPE>(args, work, base, stage, tile);
            __syncthreads(); /* all of it is there */
        } else {
            tile = reinterpret_cast<typename SHAPE::element *>(stage);
        }
        if (SHAPE::sharers > 1 || (base < rows.warp_end && base + SHAPE::tile > rows.warp_begin))
            attend_tile<SHAPE>(args, rows, base, tile, shared, sums);
    }
}

/* The sums of one stretch, as they are, for attention_join.cu. */
template <class SHAPE>
__device__ __forceinline__ void store_partial(const struct attend_args &args,
                                              const struct block_work &work, uint32_t partial,
                                              const struct stretch_sums<SHAPE> &sums)
{
    const uint32_t share = threadIdx.x / WARP % SHAPE::sharers, lane = threadIdx.x % WARP;
    const uint32_t first = threadIdx.x / WARP / SHAPE::sharers * QUERIES + lane / 4;
#pragma unroll
    for (uint32_t h = 0; h < 2; h++) {
        if (first + 8 * h >= work.query_count)
            continue;
        const uint32_t head = place_of(args, work, first + 8 * h).head;
        float *to = args.partials + (static_cast<size_t>(partial) * args.heads + head) *
                                        (args.head_dim + PARTIAL_TAIL);
#pragma unroll
        for (uint32_t i = 0; i < SHAPE::out_tiles; i++) {
            const uint32_t d = 8 * (share * SHAPE::out_tiles + i) + lane % 4 * 2;
            if (d < args.head_dim)
                *reinterpret_cast<float2 *>(to + d) =
                    make_float2(sums.out[i][2 * h], sums.out[i][2 * h + 1]);
        }
        if (share == 0 && lane % 4 == 0)
            *reinterpret_cast<float2 *>(to + args.head_dim) =
                make_float2(sums.largest[h], sums.total[2 * h]);
    }
}

/* What a row's stretches have come to, but for its sums over V, which wait in `out`. */
struct row_sums {
    float largest[2], total[2];
};

/* Before any stretch: nothing, or the sink, a key of that score and with zeros for value. */
__device__ __forceinline__ float2 sums_at_first(const float *sinks, uint32_t head)
{
    return sinks == nullptr ? make_float2(-INFINITY, 0.0f) : make_float2(sinks[head], 1.0f);
}

template <class SHAPE>
__device__ __forceinline__ struct row_sums rows_at_first(const struct attend_args &args,
                                                         const struct block_work &work)
{
    const uint32_t first = threadIdx.x / WARP / SHAPE::sharers * QUERIES + threadIdx.x % WARP / 4;
    struct row_sums sums = {};
#pragma unroll
    for (uint32_t h = 0; h < 2; h++) {
        if (first + 8 * h >= work.query_count)
            continue;
        const float2 at_first = sums_at_first(args.sinks, place_of(args, work, first + 8 * h).head);
        sums.largest[h] = at_first.x;
        sums.total[h] = at_first.y;
    }
    return sums;
}

/* Joins a stretch to those before it; the first finds nothing, the last divides by the total. */
template <class SHAPE>
__device__ __forceinline__ void join_stretch(const struct attend_args &args,
                                             const struct block_work &work,
                                             const struct stretch_sums<SHAPE> &sums, bool is_first,
                                             bool is_last, struct row_sums &so_far)
{
    const uint32_t share = threadIdx.x / WARP % SHAPE::sharers, lane = threadIdx.x % WARP;
    const uint32_t first = threadIdx.x / WARP / SHAPE::sharers * QUERIES + lane / 4;
#pragma unroll
    for (uint32_t h = 0; h < 2; h++) {
        if (first + 8 * h >= work.query_count)
            continue;
        const struct join_factors factors = join_peaks(so_far.largest[h], sums.largest[h]);
        so_far.largest[h] = factors.largest;
        so_far.total[h] = join_element(factors, so_far.total[h], sums.total[2 * h]);
        const float share_of_total = 1.0f / so_far.total[h];
        float *out = args.out + query_offset(args, work, place_of(args, work, first + 8 * h));
#pragma unroll
        for (uint32_t i = 0; i < SHAPE::out_tiles; i++) {
            const uint32_t d = 8 * (share * SHAPE::out_tiles + i) + lane % 4 * 2;
            if (d >= args.head_dim)
                continue;
            float2 *to = reinterpret_cast<float2 *>(out + d);
            float2 sum = is_first ? make_float2(0.0f, 0.0f) : *to;
            sum.x = join_element(factors, sum.x, sums.out[i][2 * h]);
            sum.y = join_element(factors, sum.y, sums.out[i][2 * h + 1]);
            *to = is_last ? finished(sum, share_of_total) : sum;
        }
    }
}

/* blockIdx: piece, KV head, which of the piece's queries. */
template <class SHAPE>
__global__ void __launch_bounds__(ATTEND_THREADS, SHAPE::resident)
    attend(const struct attend_args args)
{
    SHARED_DYNAMIC(typename SHAPE::element, bytes);
    if (blockIdx.x >= *args.count)
        return;
    const struct attention_piece piece = args.pieces[blockIdx.x];
    const struct attention_span span = args.spans[piece.span];
    struct block_work work = {};
    work.first_query = blockIdx.z * SHAPE::queries;
    const uint32_t queries = piece.count * (args.heads / args.kv_heads);
    if (work.first_query >= queries)
        return;
    work.query_count = min(queries - work.first_query, SHAPE::queries);
    work.table = args.block_tables + span.block_offset;
    work.kv_head = blockIdx.y;
    work.step_row = span.first_row + piece.first;
    work.position = span.position + piece.first;
    work.begin = place_of(args, work, 0).begin;
    work.end = place_of(args, work, work.query_count - 1).end;

    const struct shared_memory<SHAPE> shared = shared_cut<SHAPE>(bytes);
    const struct thread_rows rows = rows_of_thread<SHAPE>(args, work);
    struct stretch_sums<SHAPE> sums;
    load_queries<SHAPE>(args, work, shared.q);
    if (piece.partial != PIECE_WHOLE) {
        walk_stretch<SHAPE>(args, work, rows, piece.split, shared, sums);
        store_partial<SHAPE>(args, work, piece.partial, sums);
        return;
    }
    const uint32_t first = work.begin / CUDA_SPLIT_TOKENS,
                   last = (work.end - 1) / CUDA_SPLIT_TOKENS;
    struct row_sums so_far = rows_at_first<SHAPE>(args, work);
    for (uint32_t split = first; split <= last; split++) {
        walk_stretch<SHAPE>(args, work, rows, split, shared, sums);
        join_stretch<SHAPE>(args, work, sums, split == first, split == last, so_far);
    }
}

template <class SHAPE>
static cudaError_t launch_attend(const struct attend_args *args, dim3 grid, cudaStream_t stream)
{
    cudaError_t error = cudaFuncSetAttribute(
        attend<SHAPE>, cudaFuncAttributeMaxDynamicSharedMemorySize, SHAPE::shared_bytes);
    if (error != cudaSuccess)
        return error;
    LAUNCH((attend<SHAPE>), grid, dim3(ATTEND_THREADS), SHAPE::shared_bytes, stream, *args);
    return cudaGetLastError();
}

#endif
