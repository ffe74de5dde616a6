/* SPDX-License-Identifier: Apache-2.0 */
/* sample_choose.cu -- one row's token from what the wide passes found. A block of threads a row.
 *
 * Where the CPU's sampler walks, and rounds at each step, the walk is kept: a warp makes or fetches
 * 32 numbers at once and all its lanes add them one after another. But two things it does in order
 * need not be done in order to end the same.
 *
 * The quickselect's partition. Keys above the pivot go to the front as they come; every other key
 * is swapped about until the end. Let f(i) be how many of the first i keys are above the pivot:
 * step i swaps places i and f(i). Let H(i) be the first of the small keys once step i is done:
 *
 *     H(i) = key i        where key i is small: the swap put it there
 *     H(i) = H(f(i))      where it is not: now place f(i) + 1 is the first, and what stands there
 *                         was swapped there by step f(i) + 1, which found it first
 *
 * and in the end, for the same reason, place j behind the pivot holds H(j - 1). f is a prefix sum,
 * and an H is a chase down indices that ends at a small key: some ln n steps when any pivot is as
 * likely as another. So a partition is a few barriers for any number of keys, and leaves the very
 * permutation that the CPU's does, on which later pivots and the draw depend.
 *
 * Sums of weights. All candidates' weights are multiples of the smallest one's last bit. Where the
 * mass is less than 2^53 of those, no sum of them is ever rounded, and any order gives the same:
 * so it is for top_p below 0.999 or so. Else the warp walks.
 *
 * What it costs: a few hundred candidates, the usual, stay in shared memory and take some ten
 * rounds of about a thousand cycles. */
#include "kernels/cuda/sample_step.cuh"

#define SHARED_KEYS   1024u /* as many candidates stay in shared memory */
#define BLOCKS_WANTED 2u    /* a multiprocessor; for more than that nobody is to spill registers */

/* Adds up a row's sums in order, by one warp: before_end (or NULL) gets each sum so far. */
__device__ static double add_up(const double *sums, uint32_t count, double *before_end)
{
    const uint32_t lane = threadIdx.x % WARP;
    double sum = 0.0, mine = 0.0, next = lane < count ? sums[lane] : 0.0;
    for (uint32_t first = 0; first < count; first += WARP) {
        const double here = next;
        next = first + WARP + lane < count ? sums[first + WARP + lane] : 0.0;
#pragma unroll
        for (uint32_t j = 0; j < WARP; j++) {
            sum += __shfl_sync(WARP_ALL, here, static_cast<int>(j));
            mine = lane == j ? sum : mine;
        }
        if (before_end != NULL && first + lane < count)
            before_end[first + lane] = mine;
    }
    return sum;
}

/* The lowest index below count for which `holds`, or UINT32_MAX; the whole block calls. */
template <typename CONDITION> __device__ uint32_t first_index(uint32_t count, CONDITION holds)
{
    uint32_t found = UINT32_MAX;
    for (uint32_t i = threadIdx.x; i < count && found == UINT32_MAX; i += BLOCK_THREADS)
        if (holds(i))
            found = i;
    return ~block_largest(~found);
}

/* The lowest id that has the highest logit. */
__device__ static uint32_t first_of(const struct sample_step &step, uint32_t row, float highest)
{
    const float *blocks = step.highest[BENT] + row_blocks(step, row);
    const float *logits = row_logits(step, row, BENT);
    const uint32_t block =
        first_index(step.chunks * CHUNK_BLOCKS, [&](uint32_t b) { return blocks[b] == highest; });
    const uint32_t begin = block * DRAW_BLOCK;
    return begin + first_index(DRAW_BLOCK, [&](uint32_t i) {
               return begin + i < step.args.vocabulary && logits[begin + i] == highest;
           });
}

/* The draw without filters: the block of 64 in which the sum passes the target, then the token.
 * Where rounding leaves the target unreached, it is the last block that has weight. */
__device__ static uint32_t draw_from_blocks(const struct sample_step &step, uint32_t row,
                                            const struct draw_softmax &softmax, double target)
{
    const double *ends = step.before_end + row_blocks(step, row);
    const double *sums = step.sums[BENT] + row_blocks(step, row);
    const uint32_t blocks = step.chunks * CHUNK_BLOCKS, lane = threadIdx.x % WARP;
    uint32_t block = first_index(blocks, [&](uint32_t b) { return ends[b] > target; });
    double sum = 0.0;
    if (block == UINT32_MAX) {
        sum = ends[blocks - 1];
        block = blocks - 1 -
                first_index(blocks, [&](uint32_t b) { return sums[blocks - 1 - b] != 0.0; });
    } else if (block > 0) {
        sum = ends[block - 1];
    }
    const float *logits = row_logits(step, row, BENT);
    uint32_t drawn = SAMPLE_NONE;
    for (uint32_t part = 0; part < DRAW_BLOCK; part += WARP) {
        const uint32_t first = block * DRAW_BLOCK + part;
        const float weight = first + lane < step.args.vocabulary
                                 ? draw_weight(logits[first + lane], &softmax)
                                 : 0.0f;
        for (uint32_t j = 0; j < WARP; j++) {
            const float next = __shfl_sync(WARP_ALL, weight, static_cast<int>(j));
            if (next == 0.0f || !(sum <= target))
                continue;
            drawn = first + j;
            sum += static_cast<double>(next);
        }
    }
    return drawn;
}

/* A logit that at least k of the row reach, for k blocks have one as high: the k-th highest of
 * theirs, found bit by bit from the top. -INFINITY if the blocks are too few to tell. */
__device__ static float top_k_bound(const struct sample_step &step, uint32_t row, uint32_t k)
{
    const uint32_t blocks = (step.args.vocabulary + DRAW_BLOCK - 1) / DRAW_BLOCK;
    const float *highest = step.highest[BENT] + row_blocks(step, row);
    if (k >= blocks)
        return -INFINITY;
    uint32_t bound = 0;
    for (uint32_t bit = 1u << 31; bit > 0; bit >>= 1) {
        uint32_t reach = 0;
        for (uint32_t b = threadIdx.x; b < blocks; b += BLOCK_THREADS)
            reach += draw_ordered(highest[b]) >= (bound | bit);
        if (block_sum(reach) >= k)
            bound |= bit;
    }
    return draw_unordered(bound);
}

__device__ static void finish(const struct sample_step &step, uint32_t row, uint32_t token)
{
    if (threadIdx.x != 0)
        return;
    step.args.results[row].token = token;
    if (token != SAMPLE_NONE)
        step.args.results[row].logit = row_logits(step, row, RAW)[token];
}

__global__ void __launch_bounds__(BLOCK_THREADS, BLOCKS_WANTED)
    sample_settle(struct sample_step step)
{
    SHARED_ARRAY(double, masses, [2]);
    const uint32_t row = blockIdx.x, blocks = step.chunks * CHUNK_BLOCKS;
    const uint32_t warp = threadIdx.x / WARP;
    const struct sample_row &settings = step.args.settings[row];
    const size_t at = row_blocks(step, row);
    const float highest = row_highest(step, row, BENT), raw = row_highest(step, row, RAW);
    double mass = 0.0;
    if (warp == BENT && row_draws(settings))
        mass = add_up(step.sums[BENT] + at, blocks, step.before_end + at);
    if (warp == RAW && settings.logprobs)
        mass = add_up(step.sums[RAW] + at, blocks, NULL);
    if (warp <= RAW && threadIdx.x % WARP == 0)
        masses[warp] = mass;
    __syncthreads();
    if (threadIdx.x == 0)
        step.args.results[row] = {SAMPLE_NONE, 0.0f, raw, 0, settings.logprobs ? masses[RAW] : 0.0};
    if (highest == -INFINITY) {
        if (threadIdx.x == 0)
            step.states[row].highest = highest;
        return;
    }
    if (!row_draws(settings)) {
        finish(step, row, first_of(step, row, highest));
        return;
    }
    mass = masses[BENT];
    if (!row_filters(settings)) {
        const struct draw_softmax softmax = {highest, 1.0f / settings.temperature, settings.min_p};
        const double point = draw_uniform(settings.seed, settings.choice, settings.output_count);
        finish(step, row, draw_from_blocks(step, row, softmax, point * mass));
        return;
    }
    float bound = -INFINITY, least = 0.0f;
    if (settings.top_k > 0)
        bound = top_k_bound(step, row, settings.top_k);
    else
        least = draw_least(settings.top_p, mass, step.args.vocabulary);
    if (threadIdx.x == 0)
        step.states[row] = {mass, highest, bound, least};
}

/* -- candidates -- */

struct candidates {
    uint64_t *keys, *other; /* in shared or in device memory; other is scratch */
    uint32_t *ranks;        /* scratch */
    struct draw_softmax softmax;
    bool exact; /* no sum of their weights is rounded */
};

__device__ __forceinline__ double weight_of(const struct candidates &list, uint64_t key)
{
    return static_cast<double>(draw_weight(draw_key_logit(key), &list.softmax));
}

/* Brings the blocks' candidates together, in order; returns how many. */
__device__ static uint32_t compact(const struct sample_step &step, uint32_t row, uint64_t *to)
{
    SHARED_ARRAY(uint32_t, begins, [BLOCK_THREADS]);
    SHARED_ARRAY(uint32_t, counts, [BLOCK_THREADS]);
    const uint64_t *from = step.keys + row_tokens(step, row);
    const uint32_t *found = step.found + row_blocks(step, row), blocks = step.chunks * CHUNK_BLOCKS;
    uint32_t count = 0;
    for (uint32_t first = 0; first < blocks; first += BLOCK_THREADS) {
        uint32_t sum, mine = first + threadIdx.x < blocks ? found[first + threadIdx.x] : 0;
        begins[threadIdx.x] = count + block_sum_before(mine, &sum);
        counts[threadIdx.x] = mine;
        __syncthreads();
        for (uint32_t j = threadIdx.x / WARP; j < BLOCK_THREADS; j += BLOCK_WARPS)
            for (uint32_t i = threadIdx.x % WARP; i < counts[j]; i += WARP)
                to[begins[j] + i] = from[static_cast<size_t>(first + j) * DRAW_BLOCK + i];
        __syncthreads();
        count += sum;
    }
    return count;
}

/* The sum of weights, walked in order by one warp. */
__device__ static double walk(const struct candidates &list, const uint64_t *keys, uint32_t count)
{
    SHARED_ARRAY(double, told, [1]);
    if (threadIdx.x < WARP) {
        double sum = 0.0;
        for (uint32_t first = 0; first < count; first += WARP) {
            const uint32_t i = first + threadIdx.x;
            const double weight = i < count ? weight_of(list, keys[i]) : 0.0;
            for (uint32_t j = 0; j < WARP; j++)
                sum += __shfl_sync(WARP_ALL, weight, static_cast<int>(j));
        }
        if (threadIdx.x == 0)
            told[0] = sum;
    }
    __syncthreads();
    const double sum = told[0];
    __syncthreads();
    return sum;
}

__device__ static double mass_of(const struct candidates &list, const uint64_t *keys,
                                 uint32_t count)
{
    if (!list.exact)
        return walk(list, keys, count);
    double sum = 0.0;
    for (uint32_t i = threadIdx.x; i < count; i += BLOCK_THREADS)
        sum += weight_of(list, keys[i]);
    return block_sum(sum);
}

/* Whether the weights' last bits are all within 53 of the mass's first: two to spare, for the mass
 * found here may be rounded. */
__device__ static bool sums_are_exact(const struct candidates &list, uint32_t count)
{
    double mass = 0.0;
    uint32_t most = 0; /* of the complements of bits, whose order is that of positive floats */
    for (uint32_t i = threadIdx.x; i < count; i += BLOCK_THREADS) {
        const float weight = draw_weight(draw_key_logit(list.keys[i]), &list.softmax);
        mass += static_cast<double>(weight);
        most = largest_of(most, ~__float_as_uint(weight));
    }
    const float total = static_cast<float>(block_sum(mass));
    const uint32_t least = ~block_largest(most);
    const int span = static_cast<int>(__float_as_uint(total) >> 23) - static_cast<int>(least >> 23);
    return span + 2 + 23 <= 53;
}

/* Moves keys above the pivot, a member, to the front and the pivot behind them; returns how many
 * are above. */
__device__ static uint32_t partition(const struct candidates &list, uint64_t *keys, uint32_t count,
                                     uint32_t pivot_index)
{
    const uint64_t pivot = keys[pivot_index], last = keys[count - 1];
    auto key_at = [&](uint32_t i) { return i == pivot_index ? last : keys[i]; };
    uint32_t front = 0;
    for (uint32_t first = 0; first + 1 < count; first += BLOCK_THREADS) {
        const uint32_t i = first + threadIdx.x;
        const uint64_t key = i + 1 < count ? key_at(i) : 0;
        uint32_t sum, rank = front + block_sum_before(key > pivot, &sum);
        if (i + 1 < count)
            list.ranks[i] = rank;
        if (key > pivot)
            list.other[rank] = key;
        front += sum;
    }
    if (threadIdx.x == 0)
        list.other[front] = pivot;
    __syncthreads();
    for (uint32_t j = front + 1 + threadIdx.x; j < count; j += BLOCK_THREADS) {
        uint32_t i = j - 1;
        while (key_at(i) > pivot)
            i = list.ranks[i];
        list.other[j] = key_at(i);
    }
    __syncthreads();
    for (uint32_t i = threadIdx.x; i < count; i += BLOCK_THREADS)
        keys[i] = list.other[i];
    __syncthreads();
    return front;
}

/* Brings to the front the fewest largest keys whose mass (their number, unless by_mass) reaches
 * limit; returns how many, at least one. */
__device__ static uint32_t keep_largest(const struct candidates &list, uint32_t count, double limit,
                                        bool by_mass)
{
    uint32_t kept = 0; /* keys[0..kept) are in for certain; the border lies within [kept, end) */
    uint32_t end = count;
    double sum = 0.0;
    while (end - kept > 1) {
        uint64_t *keys = list.keys + kept;
        const uint32_t front = partition(list, keys, end - kept, draw_pivot(kept, end));
        const double above = by_mass ? mass_of(list, keys, front) : static_cast<double>(front);
        if (sum + above >= limit && front > 0) {
            end = kept + front;
            continue;
        }
        sum += above + (by_mass ? weight_of(list, keys[front]) : 1.0);
        kept += front + 1;
        if (sum >= limit)
            return kept;
    }
    return end;
}

/* By the first warp: the token whose weight brings the sum above the target, or the last. */
__device__ static uint32_t draw_from_keys(const struct candidates &list, uint32_t count,
                                          double target)
{
    double sum = 0.0;
    uint32_t drawn = 0;
    for (uint32_t first = 0; first < count && sum <= target; first += WARP) {
        const uint32_t i = first + threadIdx.x;
        const double weight = i < count ? weight_of(list, list.keys[i]) : 0.0;
        for (uint32_t j = 0; j < WARP; j++) {
            const double next = __shfl_sync(WARP_ALL, weight, static_cast<int>(j));
            if (first + j >= count || !(sum <= target))
                continue;
            drawn = first + j;
            sum += next;
        }
    }
    return draw_key_token(list.keys[drawn]);
}

__global__ void __launch_bounds__(BLOCK_THREADS, BLOCKS_WANTED) sample_pick(struct sample_step step)
{
    SHARED_ARRAY(uint64_t, shared_keys, [2][SHARED_KEYS]);
    SHARED_ARRAY(uint32_t, shared_ranks, [SHARED_KEYS]);
    const uint32_t row = blockIdx.x;
    const struct sample_row &settings = step.args.settings[row];
    const struct sample_state state = step.states[row];
    if (!row_filters(settings) || state.highest == -INFINITY)
        return;
    struct candidates list = {step.other_keys + row_tokens(step, row),
                              step.keys + row_tokens(step, row),
                              step.ranks + row_tokens(step, row),
                              {state.highest, 1.0f / settings.temperature, settings.min_p},
                              false};
    uint32_t count = compact(step, row, list.keys);
    if (count <= SHARED_KEYS) {
        for (uint32_t i = threadIdx.x; i < count; i += BLOCK_THREADS)
            shared_keys[0][i] = list.keys[i]; /* its own till sums_are_exact() has met */
        list.keys = shared_keys[0], list.other = shared_keys[1], list.ranks = shared_ranks;
    }
    list.exact = sums_are_exact(list, count);
    double mass = state.mass;
    if (settings.top_k > 0) {
        if (settings.top_k < count)
            count = keep_largest(list, count, static_cast<double>(settings.top_k), false);
        mass = mass_of(list, list.keys, count);
    }
    if (settings.top_p < 1.0f) {
        count = keep_largest(list, count, static_cast<double>(settings.top_p) * mass, true);
        mass = mass_of(list, list.keys, count);
    }
    if (threadIdx.x >= WARP)
        return;
    const double point = draw_uniform(settings.seed, settings.choice, settings.output_count);
    finish(step, row, draw_from_keys(list, count, point * mass));
}
