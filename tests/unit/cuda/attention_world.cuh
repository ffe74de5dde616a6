/* SPDX-License-Identifier: Apache-2.0 */
/* attention_world.cuh -- sequences, a paged cache on the emulated GPU, and steps run over them.
 *
 * The cache is NaN wherever nobody wrote; block tables are shuffled, and garbage where no row of a
 * step may look. Every launch is wider than its plan, as a replayed graph's is. */
#ifndef WEIR_TESTS_UNIT_CUDA_ATTENTION_WORLD_CUH
#define WEIR_TESTS_UNIT_CUDA_ATTENTION_WORLD_CUH

#include <stdint.h>

#include <vector>

extern "C" {
#include "kernels/backend.h"
}
#include "kernels/cuda/attention.h"

struct world_shape {
    uint32_t heads, kv_heads, head_dim;
    uint32_t window;
    float softcap;
    bool sinks; /* random ones; for the heads alike in every world of so many */
    enum kv_format format = KV_F16;
};

struct sequence {
    uint32_t tokens;
    std::vector<float> q, k, v;        /* [tokens, heads or kv_heads, head_dim] */
    std::vector<float> held_k, held_v; /* what the cache holds of them, by the CPU's code */
    std::vector<uint32_t> table;
};

struct world {
    struct world_shape shape;
    std::vector<struct sequence> sequences;
    uint32_t blocks;
    uint32_t partial_max; /* of plans; as many as they want unless a test says less */
    bool replayed;        /* steps run as graphs that were captured before their plan came */
    void *cache;          /* on the device */
};

/* Sequences of so many tokens each, whose values depend on seed and not on each other; block
 * numbers depend on `shuffle`. */
struct world world_new(const struct world_shape &shape, const std::vector<uint32_t> &tokens,
                       uint64_t seed, uint64_t shuffle);
void world_free(struct world *world);

/* Rows [begin, end) of a sequence. */
struct chunk {
    uint32_t sequence, begin, end;
};

/* Writes the chunks' K and V; what the rows come to if `attend`: [rows, heads, head_dim]. */
std::vector<float> world_step(struct world *world, const std::vector<struct chunk> &chunks,
                              bool attend);

/* What the CPU's backend makes of the whole sequence in one step. */
std::vector<float> world_on_cpu(const struct world *world, uint32_t sequence);

size_t world_cache_bytes(const struct world *world);

/* softmax(scale q K^T) V in double over the numbers that the cache holds, and how far rounding may
 * bring the GPU from it. */
struct wanted_row {
    std::vector<double> out;       /* [head_dim], of q rounded as keys are */
    std::vector<double> tolerance; /* [head_dim], for the same */
    double from_rounding_q;        /* more, against an exact q */
};
struct wanted_row world_in_double(const struct world *world, const struct sequence *sequence,
                                  uint32_t row, uint32_t head);

#endif
