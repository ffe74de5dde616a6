/* SPDX-License-Identifier: Apache-2.0 */
/* What a block of threads finds out together: all of its threads get it, call after call with
 * nothing in between to keep them in step. */
#include "tests/unit/cuda/device_copy.cuh"

#include "kernels/cuda/block_math.cuh"

#define CALLS 6u

/* What one thread got in one call. */
struct answers {
    float largest;
    uint32_t sum, before, through_all;
};

static __global__ void __launch_bounds__(BLOCK_THREADS)
    ask(const uint32_t *values, struct answers *answers)
{
    values += threadIdx.x, answers += threadIdx.x;
    for (uint32_t at = 0; at < CALLS * BLOCK_THREADS; at += BLOCK_THREADS)
        answers[at].largest = block_largest(static_cast<float>(values[at]));
    for (uint32_t at = 0; at < CALLS * BLOCK_THREADS; at += BLOCK_THREADS)
        answers[at].sum = block_sum(values[at]);
    for (uint32_t at = 0; at < CALLS * BLOCK_THREADS; at += BLOCK_THREADS)
        answers[at].before = block_sum_before(values[at], &answers[at].through_all);
}

/* Below 2^24, where floats are exact; each warp's are of another size in each call. */
static std::vector<uint32_t> values_for_calls(void)
{
    uint64_t seed = 11;
    std::vector<uint32_t> values(CALLS * BLOCK_THREADS);
    for (size_t i = 0; i < values.size(); i++)
        values[i] = (uint32_t)(next_random(&seed) >> 40) >> i / WARP * 7 % 20;
    return values;
}

static void every_thread_gets_the_answer_of_every_call(void **state)
{
    (void)state;
    const std::vector<uint32_t> values = values_for_calls();
    device_copy<uint32_t> on_values = device_put(values);
    device_copy<struct answers> on_answers = device_put(std::vector<struct answers>(values.size()));
    LAUNCH((ask), dim3(1), dim3(BLOCK_THREADS), 0, NULL, on_values.at, on_answers.at);
    assert_int_equal(cudaGetLastError(), cudaSuccess);
    const std::vector<struct answers> got = device_get(on_answers);
    for (size_t call = 0; call < CALLS; call++) {
        const uint32_t *mine = &values[call * BLOCK_THREADS];
        uint32_t largest = 0, sum = 0, before = 0;
        for (uint32_t i = 0; i < BLOCK_THREADS; i++) {
            largest = largest_of(largest, mine[i]);
            sum += mine[i];
        }
        for (uint32_t i = 0; i < BLOCK_THREADS; before += mine[i++]) {
            const struct answers &answers = got[call * BLOCK_THREADS + i];
            assert_true(answers.largest == (float)largest);
            assert_int_equal(answers.sum, sum);
            assert_int_equal(answers.before, before);
            assert_int_equal(answers.through_all, sum);
        }
    }
    device_release(&on_values), device_release(&on_answers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_thread_gets_the_answer_of_every_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
