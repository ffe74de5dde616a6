/* SPDX-License-Identifier: Apache-2.0 */
/* Each op against its formula in double, and every level against the scalar one, bit for bit.
 *
 * Tolerances are of single precision: a value passes through some tens of roundings of 6e-8, and
 * through e^x within 1.5 units, so 1e-5 of its size is generous; a wrong term is far outside. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/kernels/op_levels.h"
#include "tests/unit/kernels/random_values.h"

static void assert_near(double got, double wanted, double tolerance)
{
    if (!(fabs(got - wanted) <= tolerance * (1.0 + fabs(wanted))))
        fail_msg("got %.9g, wanted %.9g", got, wanted);
}

/* -- rms_norm -- */

static void rms_norm_is_its_formula_at_every_level_and_width(void **state)
{
    (void)state;
    static const uint32_t widths[] = {1, 8, 15, 16, 17, 48, 576, 1000};
    const struct cpu_ops *ops[OP_LEVELS_MAX];
    uint32_t count = op_levels(ops);
    for (size_t w = 0; w < sizeof widths / sizeof *widths; w++) {
        const uint32_t width = widths[w], rows = 3;
        float *x = random_floats(rows * width, 4.0f, w),
              *residual = random_floats(rows * width, 1.0f, 9);
        float *gain = random_floats(width, 2.0f, 7);
        float *first_x = NULL, *first_out = NULL;
        for (uint32_t level = 0; level < count; level++) {
            float *sum = copy_floats(x, rows * width), *out = random_floats(rows * width, 1.0f, 1);
            struct rms_norm_args args = {sum, residual, gain, 1e-5f, rows, width, out};
            ops[level]->rms_norm(&args, 0, 1);
            ops[level]->rms_norm(&args, 1, rows);
            if (level == 0) {
                first_x = copy_floats(sum, rows * width);
                first_out = copy_floats(out, rows * width);
            }
            assert_memory_equal(sum, first_x, rows * width * sizeof *sum);
            assert_memory_equal(out, first_out, rows * width * sizeof *out);
            free(sum);
            free(out);
        }
        for (uint32_t row = 0; row < rows; row++) {
            double squares = 0;
            for (uint32_t i = row * width; i < (row + 1) * width; i++) {
                assert_true(first_x[i] == x[i] + residual[i]);
                squares += (double)first_x[i] * first_x[i];
            }
            for (uint32_t i = 0; i < width; i++)
                assert_near(first_out[row * width + i],
                            first_x[row * width + i] / sqrt(squares / width + 1e-5) * gain[i],
                            1e-5);
        }
        free(x), free(residual), free(gain), free(first_x), free(first_out);
    }
}

static void rms_norm_without_residual_leaves_x_alone(void **state)
{
    (void)state;
    float *x = random_floats(40, 1.0f, 3), *before = copy_floats(x, 40);
    float *gain = random_floats(40, 1.0f, 4), out[40];
    struct rms_norm_args args = {x, NULL, gain, 1e-6f, 1, 40, out};
    cpu_ops_scalar.rms_norm(&args, 0, 1);
    assert_memory_equal(x, before, 40 * sizeof *x);
    free(x), free(before), free(gain);
}

/* -- layer_norm -- */

static void check_layer_norm(uint32_t width, bool with_residual, bool with_bias)
{
    const uint32_t rows = 3, count = rows * width;
    float *x = random_floats(count, 2.0f, width), *residual = random_floats(count, 1.0f, 9);
    float *gain = random_floats(width, 2.0f, 7), *bias = random_floats(width, 1.0f, 8);
    for (uint32_t i = 0; i < count; i++)
        x[i] += 50.0f; /* a mean that a careless variance drowns in */
    const struct cpu_ops *ops[OP_LEVELS_MAX];
    uint32_t level_count = op_levels(ops);
    float *first_x = NULL, *first_out = NULL;
    for (uint32_t level = 0; level < level_count; level++) {
        float *sum = copy_floats(x, count), *out = random_floats(count, 1.0f, 1);
        struct layer_norm_args args = {
            sum, with_residual ? residual : NULL, gain, with_bias ? bias : NULL, 1e-5f, rows, width,
            out};
        ops[level]->layer_norm(&args, 0, 1);
        ops[level]->layer_norm(&args, 1, rows);
        if (level == 0) {
            first_x = copy_floats(sum, count);
            first_out = copy_floats(out, count);
        }
        assert_memory_equal(sum, first_x, count * sizeof *sum);
        assert_memory_equal(out, first_out, count * sizeof *out);
        free(sum), free(out);
    }
    for (uint32_t row = 0; row < rows; row++) {
        const float *values = first_x + (size_t)row * width;
        double sum = 0, squares = 0;
        for (uint32_t i = 0; i < width; i++) {
            assert_true(values[i] ==
                        x[row * width + i] + (with_residual ? residual[row * width + i] : 0.0f));
            sum += (double)values[i];
        }
        for (uint32_t i = 0; i < width; i++)
            squares += (values[i] - sum / width) * (values[i] - sum / width);
        for (uint32_t i = 0; i < width; i++)
            assert_near(first_out[row * width + i],
                        (values[i] - sum / width) / sqrt(squares / width + 1e-5) * gain[i] +
                            (with_bias ? (double)bias[i] : 0.0),
                        1e-4);
    }
    free(x), free(residual), free(gain), free(bias), free(first_x), free(first_out);
}

/* The mean is rounded where values are some fifty times their spread: 50 * 6e-8, a few times. */
static void layer_norm_is_its_formula_at_every_level_and_width(void **state)
{
    (void)state;
    static const uint32_t widths[] = {8, 15, 16, 17, 48, 576, 1000};
    for (size_t w = 0; w < sizeof widths / sizeof *widths; w++) {
        check_layer_norm(widths[w], true, true);
        check_layer_norm(widths[w], false, false);
    }
}

/* -- elements -- */

static double activation_of(double g, enum activation activation)
{
    if (activation == ACTIVATION_SILU)
        return g / (1 + exp(-g));
    return 0.5 * g * (1 + tanh(sqrt(2 / M_PI) * (g + 0.044715 * g * g * g)));
}

static void gated_is_its_formula_from_very_negative_to_very_large(void **state)
{
    (void)state;
    const uint64_t count = 4001;
    float *gate = malloc(count * sizeof *gate), *up = random_floats(count, 2.0f, 5);
    for (uint64_t i = 0; i < count; i++)
        gate[i] = ((float)i - 2000.0f) * 0.06f; /* -120 .. 120: past both ends of e^x */
    const struct cpu_ops *ops[OP_LEVELS_MAX];
    uint32_t level_count = op_levels(ops);
    for (int a = ACTIVATION_SILU; a <= ACTIVATION_GELU_TANH; a++) {
        float *first = NULL;
        for (uint32_t level = 0; level < level_count; level++) {
            float *out = copy_floats(gate, count);
            struct gated_args args = {out, up, count, (enum activation)a, out}; /* in place */
            ops[level]->gated(&args, 0, 64);
            ops[level]->gated(&args, 64, count);
            if (level == 0)
                first = copy_floats(out, count);
            assert_memory_equal(out, first, count * sizeof *out);
            free(out);
        }
        for (uint64_t i = 0; i < count; i++)
            assert_near(first[i], activation_of(gate[i], (enum activation)a) * up[i], 1e-5);
        free(first);
    }
    free(gate), free(up);
}

static void add_adds_exactly_the_elements_it_is_given(void **state)
{
    (void)state;
    const struct cpu_ops *ops[OP_LEVELS_MAX];
    uint32_t level_count = op_levels(ops);
    float *x = random_floats(100, 1.0f, 1), *residual = random_floats(100, 1.0f, 2);
    for (uint32_t level = 0; level < level_count; level++) {
        float *sum = copy_floats(x, 100);
        struct add_args args = {sum, residual, 100};
        ops[level]->add(&args, 32, 77);
        for (uint32_t i = 0; i < 100; i++)
            assert_true(sum[i] == (i >= 32 && i < 77 ? x[i] + residual[i] : x[i]));
        free(sum);
    }
    free(x), free(residual);
}

/* -- rope -- */

/* The formula, over one head. */
static void rope_in_double(const float *x, double *out, const struct rope_args *args, uint32_t row)
{
    const uint32_t half = args->rotary_dims / 2;
    for (uint32_t i = 0; i < args->head_dim; i++)
        out[i] = x[i];
    for (uint32_t i = 0; i < half; i++) {
        uint32_t a = args->style == ROPE_NORM ? 2 * i : i;
        uint32_t b = args->style == ROPE_NORM ? 2 * i + 1 : i + half;
        /* The angle is a single-precision product by definition: that is how models are trained. */
        double angle = (float)args->positions[row] * args->frequencies[i];
        out[a] = args->magnitude * (x[a] * cos(angle) - x[b] * sin(angle));
        out[b] = args->magnitude * (x[b] * cos(angle) + x[a] * sin(angle));
    }
}

static void check_rope(enum rope_style style, uint32_t head_dim, uint32_t rotary_dims,
                       float magnitude)
{
    static const uint32_t positions[] = {0, 1, 2, 511, 8191, 131071, 1000000};
    const uint32_t rows = sizeof positions / sizeof *positions, heads = 3;
    const size_t count = (size_t)rows * heads * head_dim;
    float frequencies[128], *first = NULL;
    for (uint32_t i = 0; i < rotary_dims / 2; i++)
        frequencies[i] = (float)pow(10000.0, -2.0 * i / rotary_dims);
    float *x = random_floats(count, 3.0f, head_dim + rotary_dims);
    struct rope_args args = {NULL,  rows,        heads,     head_dim, rotary_dims,
                             style, frequencies, positions, magnitude};
    const struct cpu_ops *ops[OP_LEVELS_MAX];
    uint32_t level_count = op_levels(ops);
    for (uint32_t level = 0; level < level_count; level++) {
        float *turned = copy_floats(x, count);
        args.x = turned;
        ops[level]->rope(&args, 0, 2);
        ops[level]->rope(&args, 2, rows);
        if (level == 0)
            first = copy_floats(turned, count);
        assert_memory_equal(turned, first, count * sizeof *turned);
        free(turned);
    }
    for (uint32_t row = 0; row < rows; row++)
        for (uint32_t head = 0; head < heads; head++) {
            size_t at = ((size_t)row * heads + head) * head_dim;
            double wanted[256];
            rope_in_double(x + at, wanted, &args, row);
            for (uint32_t i = 0; i < head_dim; i++)
                assert_near(first[at + i], wanted[i], 2e-6);
        }
    free(x), free(first);
}

static void rope_turns_pairs_of_both_styles_and_leaves_the_rest(void **state)
{
    (void)state;
    for (int style = ROPE_NORM; style <= ROPE_NEOX; style++) {
        check_rope((enum rope_style)style, 64, 64, 1.0f);
        check_rope((enum rope_style)style, 128, 128, 1.0f);
        check_rope((enum rope_style)style, 80, 20, 1.0f);
        check_rope((enum rope_style)style, 10, 6, 1.25f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rms_norm_is_its_formula_at_every_level_and_width),
        cmocka_unit_test(rms_norm_without_residual_leaves_x_alone),
        cmocka_unit_test(layer_norm_is_its_formula_at_every_level_and_width),
        cmocka_unit_test(gated_is_its_formula_from_very_negative_to_very_large),
        cmocka_unit_test(add_adds_exactly_the_elements_it_is_given),
        cmocka_unit_test(rope_turns_pairs_of_both_styles_and_leaves_the_rest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
