/* SPDX-License-Identifier: Apache-2.0 */
/* The GPU's ops over rows and elements against the CPU's scalar ones: the same bits at every width,
 * any number of rows, aligned or not, and for NaN and infinity. */
#include "tests/unit/cuda/device_copy.cuh"

extern "C" {
#include "kernels/cpu/ops.h"
}
#include "kernels/cuda/ops.h"

typedef std::vector<float> floats;

/* What arithmetic has no answer to, where arithmetic will meet it. */
static void sprinkle(floats *values, uint64_t seed)
{
    static const float odd[] = {NAN, INFINITY, -INFINITY, -0.0f, 3e38f, -3e38f, 1e-40f};
    for (size_t i = 0; i < sizeof odd / sizeof *odd && !values->empty(); i++)
        (*values)[next_random(&seed) % values->size()] = odd[i];
}

/* -- norms -- */

struct norm_case {
    uint32_t rows, width;
    size_t shift; /* of every pointer, in floats */
    bool residual, bias, odd;
};

/* RMSNorm has no bias, and with one it is LayerNorm here. */
static void check_norm(const struct norm_case &of, bool layer)
{
    const size_t count = (size_t)of.rows * of.width;
    floats x = random_values(count, 4.0f, count), residual = random_values(count, 1.0f, 2);
    floats gain = random_values(of.width, 2.0f, 3), bias = random_values(of.width, 1.0f, 4);
    floats out(count, -1.0f);
    if (of.odd)
        sprinkle(&x, 5);
    device_copy<float> on_x = device_put(x, of.shift), on_residual = device_put(residual, of.shift);
    device_copy<float> on_gain = device_put(gain, of.shift), on_bias = device_put(bias, of.shift);
    device_copy<float> on_out = device_put(out, of.shift);
    const float *with = of.residual ? residual.data() : NULL,
                *on = of.residual ? on_residual.at : NULL;
    if (layer) {
        struct layer_norm_args want = {x.data(), with,    gain.data(), of.bias ? bias.data() : NULL,
                                       1e-5f,    of.rows, of.width,    out.data()};
        struct layer_norm_args got = {on_x.at, on,      on_gain.at, of.bias ? on_bias.at : NULL,
                                      1e-5f,   of.rows, of.width,   on_out.at};
        cpu_ops_scalar.layer_norm(&want, 0, of.rows);
        assert_int_equal(cuda_layer_norm(&got, NULL), cudaSuccess);
    } else {
        struct rms_norm_args want = {x.data(), with,     gain.data(), 1e-5f,
                                     of.rows,  of.width, out.data()};
        struct rms_norm_args got = {on_x.at, on, on_gain.at, 1e-5f, of.rows, of.width, on_out.at};
        cpu_ops_scalar.rms_norm(&want, 0, of.rows);
        assert_int_equal(cuda_rms_norm(&got, NULL), cudaSuccess);
    }
    assert_same_floats(device_get(on_out), out);
    assert_same_floats(device_get(on_x), x);
    device_release(&on_x), device_release(&on_residual), device_release(&on_gain);
    device_release(&on_bias), device_release(&on_out);
}

/* Widths about a vector, a warp's reach, the sixteen lanes, and every change of kernel. */
static void check_norms(bool layer)
{
    static const uint32_t widths[] = {1,   3,    4,    15,   16,   17,   64,   127,
                                      576, 1000, 1024, 1025, 2048, 4096, 4100, 8192};
    for (uint32_t width : widths)
        for (size_t shift = 0; shift < 2; shift++) {
            check_norm({2, width, shift, true, true, false}, layer);
            check_norm({1, width, shift, false, false, false}, layer);
        }
    check_norm({0, 64, 0, true, true, false}, layer);
    check_norm({3, 100, 0, true, true, true}, layer);
    check_norm({3, 5000, 0, true, true, true}, layer);
}

static void rms_norm_has_the_bits_of_the_cpu(void **state)
{
    (void)state;
    check_norms(false);
}

static void layer_norm_has_the_bits_of_the_cpu(void **state)
{
    (void)state;
    check_norms(true);
}

static void rows_wider_than_shared_memory_go_through_it_in_tiles(void **state)
{
    (void)state;
    static const uint32_t widths[] = {12288, 12289, 12292, 16384, 30001};
    for (uint32_t width : widths)
        for (int layer = 0; layer < 2; layer++) {
            check_norm({1, width, 0, true, true, false}, layer != 0);
            check_norm({1, width, 0, false, true, false}, layer != 0);
        }
}

/* With fewer threads a row than few rows have. */
static void many_wide_rows_have_the_bits_of_few(void **state)
{
    (void)state;
    check_norm({129, 4100, 0, true, true, false}, false);
    check_norm({129, 4097, 0, true, true, true}, true);
}

/* Many narrow rows share blocks, the last of them not full. */
static void rows_that_share_a_block_do_not_meet(void **state)
{
    (void)state;
    check_norm({519, 20, 0, true, false, false}, false);
    check_norm({513, 7, 0, true, true, true}, true);
}

/* -- elements -- */

static void add_has_the_bits_of_the_cpu(void **state)
{
    (void)state;
    static const uint64_t counts[] = {0, 1, 3, 4, 5, 1023, 1024, 1025, 4099};
    for (uint64_t count : counts)
        for (size_t shift = 0; shift < 3; shift++) {
            floats x = random_values(count, 2.0f, count), residual = random_values(count, 2.0f, 9);
            sprinkle(&x, count);
            device_copy<float> on_x = device_put(x, shift),
                               on_residual = device_put(residual, shift / 2);
            struct add_args want = {x.data(), residual.data(), count};
            struct add_args got = {on_x.at, on_residual.at, count};
            cpu_ops_scalar.add(&want, 0, count);
            assert_int_equal(cuda_add(&got, NULL), cudaSuccess);
            assert_same_floats(device_get(on_x), x);
            device_release(&on_x), device_release(&on_residual);
        }
}

/* Into its own memory or into gate's. */
static void check_gated(uint64_t count, size_t shift, enum activation activation, bool in_place)
{
    floats gate = random_values(count, 120.0f, count + 1), up = random_values(count, 2.0f, 2);
    for (uint64_t i = 0; i < count; i += 3)
        gate[i] /= 60.0f; /* where activations bend */
    sprinkle(&gate, 3);
    floats out(count, -1.0f);
    device_copy<float> on_gate = device_put(gate, shift), on_up = device_put(up, shift);
    device_copy<float> on_out = device_put(out, shift);
    struct gated_args want = {gate.data(), up.data(), count, activation, out.data()};
    struct gated_args got = {on_gate.at, on_up.at, count, activation,
                             in_place ? on_gate.at : on_out.at};
    cpu_ops_scalar.gated(&want, 0, count);
    assert_int_equal(cuda_gated(&got, NULL), cudaSuccess);
    assert_same_floats(device_get(in_place ? on_gate : on_out), out);
    device_release(&on_gate), device_release(&on_up), device_release(&on_out);
}

static void gated_has_the_bits_of_the_cpu(void **state)
{
    (void)state;
    static const uint64_t counts[] = {0, 1, 6, 1024, 4097};
    for (uint64_t count : counts)
        for (size_t shift = 0; shift < 2; shift++)
            for (int in_place = 0; in_place < 2; in_place++) {
                check_gated(count, shift, ACTIVATION_SILU, in_place != 0);
                check_gated(count, shift, ACTIVATION_GELU_TANH, in_place != 0);
            }
}

static void gather_brings_the_rows_it_is_told(void **state)
{
    (void)state;
    static const uint32_t widths[] = {1, 4, 6, 576, 1024, 2052};
    const std::vector<uint32_t> rows = {6, 0, 3, 3, 1};
    for (uint32_t width : widths)
        for (size_t shift = 0; shift < 2; shift++)
            for (uint32_t count = 0; count <= rows.size(); count += 5) {
                floats x = random_values((size_t)7 * width, 1.0f, width), out(count * width, -1.0f);
                device_copy<float> on_x = device_put(x, shift), on_out = device_put(out, shift);
                device_copy<uint32_t> on_rows = device_put(rows);
                struct gather_args got = {on_x.at, on_rows.at, count, width, on_out.at};
                for (uint32_t i = 0; i < count; i++)
                    memcpy(&out[(size_t)i * width], &x[(size_t)rows[i] * width],
                           width * sizeof(float));
                assert_int_equal(cuda_gather(&got, NULL), cudaSuccess);
                assert_same_floats(device_get(on_out), out);
                device_release(&on_x), device_release(&on_out), device_release(&on_rows);
            }
}

/* -- rope -- */

struct rope_case {
    uint32_t rows, heads, head_dim, rotary_dims;
    float magnitude;
    size_t shift;
};

static void check_rope(const struct rope_case &of, enum rope_style style)
{
    static const uint32_t corners[] = {0, 1, 511, 8191, 131071, (1u << 24) - 1};
    const size_t count = (size_t)of.rows * of.heads * of.head_dim;
    floats x = random_values(count, 3.0f, count), frequencies(of.rotary_dims / 2 + 1);
    std::vector<uint32_t> positions(of.rows);
    for (uint32_t i = 0; i < of.rows; i++)
        positions[i] = corners[i % (sizeof corners / sizeof *corners)];
    for (uint32_t i = 0; i < of.rotary_dims / 2; i++)
        frequencies[i] = i == 0 ? ROPE_FREQUENCY_MAX : powf(10000.0f, -2.0f * i / of.rotary_dims);
    sprinkle(&x, 8);
    device_copy<float> on_x = device_put(x, of.shift), on_frequencies = device_put(frequencies);
    device_copy<uint32_t> on_positions = device_put(positions);
    struct rope_args want = {x.data(),           of.rows,          of.heads,
                             of.head_dim,        of.rotary_dims,   style,
                             frequencies.data(), positions.data(), of.magnitude};
    struct rope_args got = want;
    got.x = on_x.at;
    got.frequencies = on_frequencies.at;
    got.positions = on_positions.at;
    cpu_ops_scalar.rope(&want, 0, of.rows);
    assert_int_equal(cuda_rope(&got, NULL), cudaSuccess);
    assert_same_floats(device_get(on_x), x);
    device_release(&on_x), device_release(&on_frequencies), device_release(&on_positions);
}

static void rope_has_the_bits_of_the_cpu(void **state)
{
    (void)state;
    static const struct rope_case cases[] = {
        {0, 3, 64, 64, 1.0f, 0}, {1, 1, 64, 64, 1.0f, 0},    {6, 9, 64, 64, 1.0f, 0},
        {6, 9, 64, 64, 1.0f, 1}, {2, 32, 128, 128, 1.0f, 0}, {3, 5, 256, 128, 1.25f, 0},
        {7, 4, 80, 20, 1.0f, 0}, {7, 3, 10, 6, 1.25f, 0},    {2, 3, 66, 64, 1.0f, 0},
        {2, 6, 4, 2, 1.0f, 0},   {3, 2, 64, 0, 1.0f, 0},
    };
    for (const struct rope_case &of : cases) {
        check_rope(of, ROPE_NORM);
        check_rope(of, ROPE_NEOX);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rms_norm_has_the_bits_of_the_cpu),
        cmocka_unit_test(layer_norm_has_the_bits_of_the_cpu),
        cmocka_unit_test(rows_wider_than_shared_memory_go_through_it_in_tiles),
        cmocka_unit_test(many_wide_rows_have_the_bits_of_few),
        cmocka_unit_test(rows_that_share_a_block_do_not_meet),
        cmocka_unit_test(add_has_the_bits_of_the_cpu),
        cmocka_unit_test(gated_has_the_bits_of_the_cpu),
        cmocka_unit_test(gather_brings_the_rows_it_is_told),
        cmocka_unit_test(rope_has_the_bits_of_the_cpu),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
