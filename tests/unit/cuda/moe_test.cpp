/* SPDX-License-Identifier: Apache-2.0 */
/* The GPU's routing against the CPU's: the same experts, bits of weights, and places. */
#include "tests/unit/cuda/device_copy.cuh"

extern "C" {
#include "kernels/cpu/moe.h"
#include "kernels/cpu/ops.h"
}
#include "kernels/cuda/ops.h"

struct moe_case {
    uint32_t rows, experts, top_k;
    bool renormalise, odd;
};

/* Room for one entry more than there is, which nobody may touch. */
struct routes {
    std::vector<uint32_t> chosen, begins, order, places;
    std::vector<float> weights;
};

static struct routes routes_for(const struct moe_case &of)
{
    const size_t entries = (size_t)of.rows * of.top_k + 1;
    return {std::vector<uint32_t>(entries, 77), std::vector<uint32_t>(of.experts + 2, 77),
            std::vector<uint32_t>(entries, 77), std::vector<uint32_t>(entries, 77),
            std::vector<float>(entries, 77.0f)};
}

static std::vector<float> scores_for(const struct moe_case &of)
{
    static const float odd[] = {NAN, INFINITY, -INFINITY, -0.0f, 0.0f};
    std::vector<float> scores = random_values((size_t)of.rows * of.experts, 6.0f, of.experts);
    uint64_t seed = 3;
    for (size_t i = 0; i < scores.size() / 3 && of.odd; i++)
        scores[next_random(&seed) % scores.size()] = odd[i % 5];
    for (size_t i = 0; i < scores.size(); i += 2)
        scores[i] = roundf(scores[i]);
    return scores;
}

static void check(const struct moe_case &of)
{
    std::vector<float> scores = scores_for(of);
    struct routes want = routes_for(of);
    device_copy<float> on_scores = device_put(scores), weights = device_put(want.weights);
    device_copy<uint32_t> chosen = device_put(want.chosen), begins = device_put(want.begins);
    device_copy<uint32_t> order = device_put(want.order), places = device_put(want.places);
    struct moe_route_args cpu = {};
    cpu.scores = scores.data();
    cpu.rows = of.rows;
    cpu.experts = of.experts;
    cpu.top_k = of.top_k;
    cpu.renormalise = of.renormalise;
    cpu.scale = 1.5f;
    struct moe_route_args gpu = cpu;
    cpu.chosen = want.chosen.data();
    cpu.weights = want.weights.data();
    cpu.expert_begins = want.begins.data();
    cpu.order = want.order.data();
    cpu.places = want.places.data();
    gpu.scores = on_scores.at;
    gpu.chosen = chosen.at;
    gpu.weights = weights.at;
    gpu.expert_begins = begins.at;
    gpu.order = order.at;
    gpu.places = places.at;
    cpu_ops_scalar.moe_route(&cpu, 0, of.rows);
    if (of.rows > 0)
        cpu_moe_group(&cpu);
    assert_int_equal(cuda_moe_route(&gpu, NULL), cudaSuccess);
    assert_same_floats(device_get(weights), want.weights);
    assert_true(device_get(chosen) == want.chosen);
    assert_true(device_get(begins) == want.begins);
    assert_true(device_get(order) == want.order);
    assert_true(device_get(places) == want.places);
    device_release(&on_scores), device_release(&weights), device_release(&chosen);
    device_release(&begins), device_release(&order), device_release(&places);
}

static void routes_have_the_bits_of_the_cpu(void **state)
{
    (void)state;
    static const struct moe_case cases[] = {
        {0, 8, 2, false, false},   {1, 1, 1, false, false},  {1, 8, 2, true, false},
        {3, 8, 8, false, false},   {5, 17, 3, true, true},   {4, 60, 4, false, true},
        {131, 64, 6, true, false}, {9, 128, 8, false, true}, {2, 1024, 32, true, true},
        {257, 5, 1, false, true},
    };
    for (const struct moe_case &of : cases)
        check(of);
}

struct combine_case {
    uint32_t rows, top_k, width;
    bool shared, scores;
    size_t shift; /* of device memory, in floats */
};

static void check_combined(const struct combine_case &of)
{
    const uint32_t entries = of.rows * of.top_k;
    std::vector<float> x = random_values((size_t)entries * of.width, 3.0f, 1);
    std::vector<float> weights = random_values(entries, 1.0f, 2),
                       scores = random_values(of.rows, 9.0f, 3);
    std::vector<float> shared = random_values((size_t)of.rows * of.width, 2.0f, 4);
    std::vector<float> want((size_t)of.rows * of.width + 1, 77.0f);
    std::vector<uint32_t> places(entries);
    for (uint32_t i = 0; i < entries; i++)
        places[i] = entries - 1 - i;
    device_copy<float> on_x = device_put(x, of.shift), on_shared = device_put(shared, of.shift);
    device_copy<float> on_weights = device_put(weights), on_scores = device_put(scores);
    device_copy<float> out = device_put(want, of.shift);
    device_copy<uint32_t> on_places = device_put(places);
    struct moe_combine_args cpu = {};
    cpu.rows = of.rows;
    cpu.top_k = of.top_k;
    cpu.width = of.width;
    struct moe_combine_args gpu = cpu;
    cpu.x = x.data();
    cpu.places = places.data();
    cpu.weights = weights.data();
    cpu.shared = of.shared ? shared.data() : NULL;
    cpu.shared_scores = of.scores ? scores.data() : NULL;
    cpu.out = want.data();
    gpu.x = on_x.at;
    gpu.places = on_places.at;
    gpu.weights = on_weights.at;
    gpu.shared = of.shared ? on_shared.at : NULL;
    gpu.shared_scores = of.scores ? on_scores.at : NULL;
    gpu.out = out.at;
    cpu_ops_scalar.moe_combine(&cpu, 0, of.rows);
    assert_int_equal(cuda_moe_combine(&gpu, NULL), cudaSuccess);
    assert_same_floats(device_get(out), want);
    device_release(&on_x), device_release(&on_shared), device_release(&on_weights);
    device_release(&on_scores), device_release(&out), device_release(&on_places);
}

static void sums_of_what_experts_say_have_the_bits_of_the_cpu(void **state)
{
    (void)state;
    static const struct combine_case cases[] = {
        {0, 2, 64, false, false, 0}, {1, 1, 1, false, false, 0}, {3, 2, 64, true, false, 0},
        {5, 3, 1100, true, true, 0}, {4, 8, 67, true, true, 0},  {2, 32, 128, false, false, 1},
        {7, 2, 1028, true, true, 1},
    };
    for (const struct combine_case &of : cases)
        check_combined(of);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(routes_have_the_bits_of_the_cpu),
        cmocka_unit_test(sums_of_what_experts_say_have_the_bits_of_the_cpu),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
