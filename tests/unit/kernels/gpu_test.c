/* SPDX-License-Identifier: Apache-2.0 */
/* What GPUs can do, and what a kernel then takes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "kernels/roofline/gpu.h"

static void a_gpu_is_found_by_its_name(void **state)
{
    (void)state;
    static const char *const names[] = {"h100", "h200", "a100", "l40s", "4090"};
    for (uint32_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_ptr_equal(gpu_find(names[i]), gpu_at(i));
        assert_string_equal(gpu_at(i)->name, names[i]);
    }
    assert_null(gpu_at(sizeof names / sizeof *names));
    assert_null(gpu_find("H100"));
    assert_null(gpu_find(""));
}

static void a_data_sheets_figures_are_of_one_kind(void **state)
{
    (void)state;
    for (uint32_t i = 0; gpu_at(i) != NULL; i++) {
        const struct gpu *gpu = gpu_at(i);
        assert_non_null(strstr(gpu->source, "NVIDIA"));
        assert_true(gpu->half_tflops > gpu->float_tflops);
        /* Dense: 8 bits have twice the rate of 16; four times where sums of 32 bits halve those. */
        const double ratio = gpu->int8_tops / gpu->half_tflops;
        assert_true((ratio > 1.99 && ratio < 2.03) || (ratio > 3.99 && ratio < 4.01));
    }
}

/* On an H100: 3,350,000 bytes, 1,979 million integer operations, 989.5 million of 16 bits and 33.5
 * million others a microsecond. */
static void a_kernel_takes_as_long_as_its_slowest_part(void **state)
{
    (void)state;
    const struct gpu *gpu = gpu_find("h100");
    enum gpu_bound bound;
    struct roofline_kernel kernel = {.read_bytes = 5025000, .written_bytes = 1675000};
    assert_float_equal(gpu_kernel_us(gpu, &kernel, &bound), 2.0, 1e-6);
    assert_int_equal(bound, GPU_BOUND_MEMORY);
    kernel.int8_ops = 1979000000, kernel.half_ops = 2 * 989500000ull;
    assert_float_equal(gpu_kernel_us(gpu, &kernel, &bound), 3.0, 1e-6);
    assert_int_equal(bound, GPU_BOUND_TENSOR);
    kernel.float_ops = 4 * 33500000ull;
    assert_float_equal(gpu_kernel_us(gpu, &kernel, &bound), 4.0, 1e-6);
    assert_int_equal(bound, GPU_BOUND_FLOAT);
    kernel.bus_bytes = 5 * 64000;
    assert_float_equal(gpu_kernel_us(gpu, &kernel, &bound), 5.0, 1e-6);
    assert_int_equal(bound, GPU_BOUND_BUS);
    assert_string_equal(gpu_bound_name(bound), "bus");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_gpu_is_found_by_its_name),
        cmocka_unit_test(a_data_sheets_figures_are_of_one_kind),
        cmocka_unit_test(a_kernel_takes_as_long_as_its_slowest_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
