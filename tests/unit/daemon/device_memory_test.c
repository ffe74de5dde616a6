/* SPDX-License-Identifier: Apache-2.0 */
/* What is left of a GPU's memory for keys and values. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "daemon/device_memory.h"

#define MIB (UINT64_C(1) << 20)

static const struct model_shape shape = {.context = 4096,
                                         .kv_block_bytes = MIB}; /* 256 MiB a one */

static struct device_request request_of(uint64_t free_mib)
{
    return (struct device_request){.room = {"GPU", 10000 * MIB, free_mib * MIB},
                                   .utilization = 900000,
                                   .shape = &shape,
                                   .weight_bytes = 4000 * MIB,
                                   .step_bytes = 1000 * MIB,
                                   .models_to_come = 1,
                                   .max_sequences = 64};
}

static void the_rest_is_for_keys_and_values(void **state)
{
    (void)state;
    struct device_request request = request_of(10000);
    struct device_plan plan;
    struct error err = {0};
    assert_int_equal(device_plan_memory(&request, &plan, &err), 0);
    assert_true(plan.usable_bytes == 9000 * MIB);
    assert_true(plan.kv_bytes == 4000 * MIB);
    assert_int_equal(plan.context, 4096);
    assert_false(plan.context_cut);
    request.room.free_bytes = 8000 * MIB; /* others have some: the spared share stays free */
    assert_int_equal(device_plan_memory(&request, &plan, &err), 0);
    assert_true(plan.kv_bytes == 2000 * MIB);
    request.later_bytes = 1000 * MIB;
    request.models_to_come = 2;
    assert_int_equal(device_plan_memory(&request, &plan, &err), 0);
    assert_true(plan.kv_bytes == 500 * MIB);
}

static void no_more_than_all_sequences_need(void **state)
{
    (void)state;
    struct device_request request = request_of(10000);
    struct device_plan plan;
    request.max_sequences = 3;
    assert_int_equal(device_plan_memory(&request, &plan, NULL), 0);
    assert_true(plan.kv_bytes == 3 * 256 * MIB);
    request.kv_memory_bytes = 1234 * MIB;
    assert_int_equal(device_plan_memory(&request, &plan, NULL), 0);
    assert_true(plan.kv_bytes == 1234 * MIB);
}

static void a_context_is_cut_only_where_nobody_asked_for_it(void **state)
{
    (void)state;
    struct device_request request = request_of(6100);
    struct device_plan plan;
    struct error err = {0};
    assert_int_equal(device_plan_memory(&request, &plan, &err), 0);
    assert_true(plan.context_cut);
    assert_int_equal(plan.context, 100 * 16);
    request.context = 4096;
    assert_int_equal(device_plan_memory(&request, &plan, &err), ERROR_NO_MEMORY);
    assert_string_equal(
        err.text,
        "'GPU' has 10000 MiB, 6100 free, of which engine.gpu_memory_utilization 0.90 leaves 5100; "
        "needed are 4000 for weights, 1000 for steps, 0 for models that follow and 256 for "
        "keys and values of one sequence of 4096 tokens: lower engine.context or "
        "engine.max_step_tokens, raise engine.gpu_memory_utilization, or serve a smaller model");
    request.context = 1600;
    assert_int_equal(device_plan_memory(&request, &plan, &err), 0);
}

static void what_cannot_fit_is_refused(void **state)
{
    (void)state;
    struct device_plan plan;
    struct error err = {0};
    const uint64_t free_mib[] = {0, 500, 1000, 5000, 6015};
    for (size_t i = 0; i < sizeof free_mib / sizeof *free_mib; i++) {
        struct device_request request = request_of(free_mib[i]);
        assert_int_equal(device_plan_memory(&request, &plan, &err), ERROR_NO_MEMORY);
    }
    struct device_request request = request_of(10000);
    request.kv_memory_bytes = 4001 * MIB;
    assert_int_equal(device_plan_memory(&request, &plan, &err), ERROR_NO_MEMORY);
    assert_non_null(strstr(err.text, "engine.kv_memory: 4001 MiB asked; 'GPU' has 9000"));
    request = request_of(10000);
    request.utilization = 0;
    assert_int_equal(device_plan_memory(&request, &plan, &err), ERROR_NO_MEMORY);
    request = request_of(10000);
    request.context = 4097;
    assert_int_equal(device_plan_memory(&request, &plan, &err), ERROR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_rest_is_for_keys_and_values),
        cmocka_unit_test(no_more_than_all_sequences_need),
        cmocka_unit_test(a_context_is_cut_only_where_nobody_asked_for_it),
        cmocka_unit_test(what_cannot_fit_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
