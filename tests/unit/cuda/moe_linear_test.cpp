/* SPDX-License-Identifier: Apache-2.0 */
/* moe_linear_test.cpp -- products by expert on the (emulated) GPU: with quantised and F32 weights
 * the CPU's bits, and with any weights those that a row gets alone from its expert's matrix. */
#include "tests/unit/cuda/device_copy.cuh"

extern "C" {
#include "kernels/cpu/moe.h"
#include "kernels/cpu/weight.h"
#include "kernels/quant_codes.h"
}
#include "kernels/cuda/linear.h"

static const enum weight_type every_type[] = {
    WEIGHT_F32,  WEIGHT_F16,  WEIGHT_BF16, WEIGHT_Q4_0, WEIGHT_Q4_1, WEIGHT_Q5_0,
    WEIGHT_Q5_1, WEIGHT_Q8_0, WEIGHT_Q4_K, WEIGHT_Q5_K, WEIGHT_Q6_K,
};

#define WEIGHT_ROWS 37u /* not whole tiles */

struct fixture {
    struct pool *pool;
    void *staging;
};

/* Every expert's matrix in one weight on both sides, and each alone on the GPU. */
struct stack {
    std::vector<uint8_t> bytes;
    struct weight *cpu, *cuda;
    std::vector<struct weight *> alone;
    std::vector<void *> memories;
};

/* Who goes where. */
struct routes {
    uint32_t rows, top_k, experts;
    std::vector<uint32_t> chosen, begins, order, places;
};

static std::vector<uint8_t> random_matrices(enum weight_type type, uint32_t rows, uint32_t columns)
{
    const struct quant_format *format = quant_format_find(type);
    std::vector<uint8_t> bytes(rows * quant_row_bytes(format, columns));
    uint64_t seed = type + 5;
    for (uint8_t &byte : bytes)
        byte = (uint8_t)next_random(&seed);
    for (size_t at = 0; at < bytes.size(); at += format->block_bytes) {
        const float value = next_float(&seed, 0.05f);
        const uint16_t half =
            type == WEIGHT_BF16 ? quant_float_to_bf16(value) : quant_float_to_half(value);
        if (type == WEIGHT_F32)
            memcpy(&bytes[at], &value, sizeof value);
        else
            memcpy(&bytes[at + (type == WEIGHT_Q6_K ? 208 : 0)], &half, sizeof half);
        if (quant_scaling_of(type) == QUANT_SCALING_MINIMUM ||
            quant_scaling_of(type) == QUANT_SCALING_NESTED)
            memcpy(&bytes[at + 2], &half, sizeof half);
    }
    return bytes;
}

static struct weight *prepare(struct fixture *fixture, struct stack *stack,
                              const struct weight_source *source)
{
    void *memory = NULL;
    assert_int_equal(cudaMalloc(&memory, cuda_weight_bytes_wanted(source)), cudaSuccess);
    stack->memories.push_back(memory);
    const struct cuda_weight_place place = {memory, fixture->staging, CUDA_WEIGHT_STAGING_MIN,
                                            NULL};
    struct weight *weight = cuda_weight_prepare(source, &place, NULL);
    assert_non_null(weight);
    assert_int_equal(cuda_weight_bytes(weight), cuda_weight_bytes_wanted(source));
    return weight;
}

static void stack_init(struct fixture *fixture, struct stack *stack, enum weight_type type,
                       uint32_t columns, uint32_t experts)
{
    stack->bytes = random_matrices(type, experts * WEIGHT_ROWS, columns);
    const size_t each = stack->bytes.size() / experts;
    struct weight_source source = {stack->bytes.data(), type, WEIGHT_ROWS, columns, experts};
    stack->cpu = cpu_weight_prepare(CPU_LEVEL_SCALAR, fixture->pool, &source, NULL);
    assert_non_null(stack->cpu);
    stack->cuda = prepare(fixture, stack, &source);
    for (uint32_t expert = 0; expert < experts; expert++) {
        source = {&stack->bytes[expert * each], type, WEIGHT_ROWS, columns, 0};
        stack->alone.push_back(prepare(fixture, stack, &source));
    }
}

static void stack_destroy(struct stack *stack)
{
    cpu_weight_free(stack->cpu);
    cuda_weight_free(stack->cuda);
    for (struct weight *weight : stack->alone)
        cuda_weight_free(weight);
    for (void *memory : stack->memories)
        cudaFree(memory);
}

/* No row goes to expert 1 where there are others; most go to the last. */
static void choose(struct routes *routes, uint64_t seed)
{
    const uint32_t entries = routes->rows * routes->top_k;
    routes->chosen.resize(entries);
    for (uint32_t row = 0; row < routes->rows; row++) {
        uint32_t *chosen = &routes->chosen[row * routes->top_k];
        for (uint32_t rank = 0; rank < routes->top_k; rank++) {
            bool taken = true;
            while (taken) {
                chosen[rank] = rank == 0 && next_random(&seed) % 4 != 0
                                   ? routes->experts - 1
                                   : (uint32_t)(next_random(&seed) % routes->experts);
                taken = chosen[rank] == 1 && routes->experts > routes->top_k + 1;
                for (uint32_t before = 0; before < rank; before++)
                    taken |= chosen[before] == chosen[rank];
            }
        }
    }
    routes->begins.resize(routes->experts + 1);
    routes->order.resize(entries);
    routes->places.resize(entries);
    struct moe_route_args args = {};
    args.rows = routes->rows;
    args.experts = routes->experts;
    args.top_k = routes->top_k;
    args.chosen = routes->chosen.data();
    args.expert_begins = routes->begins.data();
    args.order = routes->order.data();
    args.places = routes->places.data();
    cpu_moe_group(&args);
}

static struct moe_linear_args args_for(const struct routes &routes, bool by_place)
{
    struct moe_linear_args args = {};
    args.by_place = by_place;
    args.rows = routes.rows;
    args.experts = routes.experts;
    args.top_k = routes.top_k;
    args.weight_count = 1;
    return args;
}

static std::vector<float> multiply_on_cpu(struct fixture *fixture, const struct stack &stack,
                                          const struct routes &routes, bool by_place,
                                          const std::vector<float> &x, uint32_t columns)
{
    const uint32_t entries = routes.rows * routes.top_k;
    std::vector<float> out(entries * WEIGHT_ROWS);
    void *scratch =
        aligned_alloc(64, (cpu_moe_linear_scratch_bytes(entries, columns) / 64 + 1) * 64);
    assert_non_null(scratch);
    struct moe_linear_args args = args_for(routes, by_place);
    args.x = x.data();
    args.expert_begins = routes.begins.data();
    args.order = routes.order.data();
    args.weights[0] = stack.cpu;
    args.outs[0] = out.data();
    cpu_moe_linear(CPU_LEVEL_SCALAR, fixture->pool, scratch, &args);
    free(scratch);
    return out;
}

/* A product on the GPU, with room of exactly the bytes that it asked for. */
struct product {
    struct device_copy<float> x, out;
    struct device_copy<uint32_t> begins, order;
    void *plan, *scratch;
    struct moe_route_args route;
    struct moe_linear_args args;
};

static void product_init(struct product *product, const struct stack &stack,
                         const struct routes &routes, bool by_place, const std::vector<float> &x,
                         uint32_t columns)
{
    const uint32_t entries = routes.rows * routes.top_k, experts = routes.experts;
    product->x = device_put(x);
    product->out = device_put(std::vector<float>(entries * WEIGHT_ROWS, 77.0f));
    product->begins = device_put(routes.begins);
    product->order = device_put(routes.order);
    assert_int_equal(cudaMalloc(&product->plan, cuda_moe_plan_bytes(entries, experts)),
                     cudaSuccess);
    assert_int_equal(
        cudaMalloc(&product->scratch, cuda_moe_linear_scratch_bytes(entries, experts, columns)),
        cudaSuccess);
    product->route = {};
    product->route.rows = routes.rows;
    product->route.experts = experts;
    product->route.top_k = routes.top_k;
    product->route.expert_begins = product->begins.at;
    product->args = args_for(routes, by_place);
    product->args.x = product->x.at;
    product->args.expert_begins = product->begins.at;
    product->args.order = product->order.at;
    product->args.weights[0] = stack.cuda;
    product->args.outs[0] = product->out.at;
}

static void product_run(const struct product *product, cudaStream_t stream)
{
    assert_int_equal(cuda_moe_plan(&product->route, product->plan, stream), cudaSuccess);
    assert_int_equal(cuda_moe_linear(&product->args, product->plan, product->scratch, stream),
                     cudaSuccess);
}

static void product_destroy(struct product *product)
{
    device_release(&product->x), device_release(&product->out);
    device_release(&product->begins), device_release(&product->order);
    cudaFree(product->plan);
    cudaFree(product->scratch);
}

/* Some entries, each by linear() alone. */
static void check_alone(const struct stack &stack, const struct routes &routes, bool by_place,
                        const struct product &product, const std::vector<float> &got,
                        uint32_t columns)
{
    struct device_copy<float> out = device_put(std::vector<float>(WEIGHT_ROWS));
    void *scratch = NULL;
    assert_int_equal(cudaMalloc(&scratch, cuda_linear_scratch_bytes(1, columns)), cudaSuccess);
    for (uint32_t entry = 0; entry < routes.rows * routes.top_k; entry += 7) {
        const uint32_t place = routes.places[entry];
        struct linear_args args = {};
        args.x = product.x.at + (size_t)(by_place ? place : entry / routes.top_k) * columns;
        args.rows = 1;
        args.weight_count = 1;
        args.weights[0] = stack.alone[routes.chosen[entry]];
        args.outs[0] = out.at;
        assert_int_equal(cuda_linear(&args, scratch, NULL), cudaSuccess);
        const auto from = got.begin() + place * WEIGHT_ROWS;
        assert_same_floats(std::vector<float>(from, from + WEIGHT_ROWS), device_get(out));
    }
    cudaFree(scratch);
    device_release(&out);
}

static void check(struct fixture *fixture, enum weight_type type, struct routes routes)
{
    const uint32_t unit = quant_format_find(type)->block_weights;
    const uint32_t columns = unit == 1 ? 83 : unit == 32 ? 288 : 512;
    const bool half = type == WEIGHT_F16 || type == WEIGHT_BF16;
    struct stack stack = {};
    stack_init(fixture, &stack, type, columns, routes.experts);
    choose(&routes, routes.rows);
    for (int by_place = 0; by_place < 2; by_place++) {
        const std::vector<float> x =
            random_values((size_t)routes.rows * (by_place ? routes.top_k : 1) * columns, 2.0f, 9);
        struct product product;
        product_init(&product, stack, routes, by_place, x, columns);
        product_run(&product, NULL);
        const std::vector<float> got = device_get(product.out);
        if (!half)
            assert_same_floats(got, multiply_on_cpu(fixture, stack, routes, by_place, x, columns));
        check_alone(stack, routes, by_place, product, got, columns);
        product_destroy(&product);
    }
    stack_destroy(&stack);
}

static struct routes routes_of(uint32_t rows, uint32_t top_k, uint32_t experts)
{
    struct routes routes = {};
    routes.rows = rows;
    routes.top_k = top_k;
    routes.experts = experts;
    return routes;
}

/* Kernels for few rows an expert, of 1, of up to 4 and of more; and for many. */
static void every_type_at_any_number_of_rows(void **state)
{
    struct fixture *fixture = static_cast<struct fixture *>(*state);
    static const uint32_t rows[] = {1, 4, 11, 33, 67};
    for (enum weight_type type : every_type)
        for (uint32_t count : rows)
            check(fixture, type, routes_of(count, 2, 4));
}

static void one_expert_and_more_experts_than_entries(void **state)
{
    struct fixture *fixture = static_cast<struct fixture *>(*state);
    for (enum weight_type type : {WEIGHT_F32, WEIGHT_BF16, WEIGHT_Q4_K}) {
        check(fixture, type, routes_of(5, 1, 1));
        check(fixture, type, routes_of(34, 1, 1));
        check(fixture, type, routes_of(2, 3, 70));
        check(fixture, type, routes_of(9, 8, 8));
    }
}

/* Weights of other types share what was prepared of x. */
static void weights_of_several_types_at_once(void **state)
{
    struct fixture *fixture = static_cast<struct fixture *>(*state);
    const enum weight_type types[] = {WEIGHT_Q4_K, WEIGHT_F16, WEIGHT_Q4_K};
    struct routes routes = routes_of(40, 2, 3);
    struct stack stacks[3] = {};
    struct product products[3];
    const std::vector<float> x = random_values(40 * 256, 2.0f, 3);
    choose(&routes, 1);
    struct moe_linear_args all = {};
    struct device_copy<float> outs[3];
    for (uint32_t i = 0; i < 3; i++) {
        stack_init(fixture, &stacks[i], types[i], 256, 3);
        product_init(&products[i], stacks[i], routes, false, x, 256);
        product_run(&products[i], NULL);
        all = i == 0 ? products[0].args : all;
        outs[i] = device_put(std::vector<float>(80 * WEIGHT_ROWS));
        all.weights[i] = stacks[i].cuda;
        all.outs[i] = outs[i].at;
    }
    all.weight_count = 3;
    assert_int_equal(cuda_moe_linear(&all, products[0].plan, products[0].scratch, NULL),
                     cudaSuccess);
    for (uint32_t i = 0; i < 3; i++) {
        assert_same_floats(device_get(outs[i]), device_get(products[i].out));
        device_release(&outs[i]);
    }
    for (uint32_t i = 0; i < 3; i++) {
        product_destroy(&products[i]);
        stack_destroy(&stacks[i]);
    }
}

/* A step's launches serve the next step of as many rows, whoever chooses whom there. */
static void a_captured_product_replays_for_other_choices(void **state)
{
    struct fixture *fixture = static_cast<struct fixture *>(*state);
    for (uint32_t rows : {6u, 70u}) {
        struct routes routes = routes_of(rows, 2, 4);
        struct stack stack = {};
        stack_init(fixture, &stack, WEIGHT_Q8_0, 64, 4);
        choose(&routes, 1);
        const std::vector<float> x = random_values(rows * 64, 2.0f, 3);
        struct product product;
        product_init(&product, stack, routes, false, x, 64);
        cudaStream_t stream;
        cudaGraph_t graph;
        cudaGraphExec_t exec;
        assert_int_equal(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
        assert_int_equal(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal),
                         cudaSuccess);
        product_run(&product, stream);
        assert_int_equal(cudaStreamEndCapture(stream, &graph), cudaSuccess);
        assert_int_equal(cudaGraphInstantiate(&exec, graph, 0), cudaSuccess);
        for (uint64_t seed = 1; seed < 4; seed++) {
            choose(&routes, seed);
            cudaMemcpy(product.begins.at, routes.begins.data(), 5 * sizeof(uint32_t),
                       cudaMemcpyHostToDevice);
            cudaMemcpy(product.order.at, routes.order.data(), rows * 2 * sizeof(uint32_t),
                       cudaMemcpyHostToDevice);
            assert_int_equal(cudaGraphLaunch(exec, stream), cudaSuccess);
            assert_int_equal(cudaStreamSynchronize(stream), cudaSuccess);
            assert_same_floats(device_get(product.out),
                               multiply_on_cpu(fixture, stack, routes, false, x, 64));
        }
        cudaGraphExecDestroy(exec);
        cudaGraphDestroy(graph);
        cudaStreamDestroy(stream);
        product_destroy(&product);
        stack_destroy(&stack);
    }
}

static void no_rows_are_no_work(void **state)
{
    (void)state;
    struct moe_route_args route = {};
    struct moe_linear_args args = {};
    assert_int_equal(cuda_moe_plan(&route, NULL, NULL), cudaSuccess);
    assert_int_equal(cuda_moe_linear(&args, NULL, NULL, NULL), cudaSuccess);
}

static int setup(void **state)
{
    struct fixture *fixture = static_cast<struct fixture *>(calloc(1, sizeof *fixture));
    fixture->pool = pool_new(1, NULL);
    *state = fixture;
    if (cudaMallocHost(&fixture->staging, CUDA_WEIGHT_STAGING_MIN))
        return -1;
    return fixture->pool ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *fixture = static_cast<struct fixture *>(*state);
    cudaFreeHost(fixture->staging);
    pool_free(fixture->pool);
    free(fixture);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_at_any_number_of_rows),
        cmocka_unit_test(one_expert_and_more_experts_than_entries),
        cmocka_unit_test(weights_of_several_types_at_once),
        cmocka_unit_test(a_captured_product_replays_for_other_choices),
        cmocka_unit_test(no_rows_are_no_work),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
