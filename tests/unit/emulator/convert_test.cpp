/* SPDX-License-Identifier: Apache-2.0 */
/* convert_test.cpp -- short floats: every one of them by the definition, and against CUDA's own
 * headers where the toolkit is. WEIR_TEST_STRIDE=1 tries every float there is (a minute). */
#include "formats.hpp"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

extern "C" {
#include <cmocka.h>
}

const struct formats *emulated_formats(void)
{
    static const struct formats formats = all_formats();
    return &formats;
}

/* Beside each other in size, both of which there are: the middle goes to the even one, and what is
 * off the middle to the nearer. */
static void check_between(float low, float high, unsigned even, unsigned odd_is_high,
                          unsigned (*write)(float))
{
    float middle = (float)(((double)low + (double)high) / 2);
    unsigned odd = odd_is_high ? even + 1 : even - 1;
    assert_int_equal(write(middle), even);
    assert_int_equal(write(nextafterf(middle, high)), odd_is_high ? odd : even);
    assert_int_equal(write(nextafterf(middle, low)), odd_is_high ? even : odd);
    assert_int_equal(write(low), odd_is_high ? even : odd);
    assert_int_equal(write(high), odd_is_high ? odd : even);
}

static unsigned write_f16(float value)
{
    return emulated_formats()->f16.write(value);
}

static unsigned write_bf16(float value)
{
    return emulated_formats()->bf16.write(value);
}

static unsigned write_e4m3(float value)
{
    return emulated_formats()->write_e4m3(value);
}

static void neighbours_round_to_the_even_one(void **state)
{
    (void)state;
    const struct formats *formats = emulated_formats();
    for (unsigned bits = 0; bits + 1 <= 0x7bff; bits++)
        check_between(formats->f16.read((uint16_t)bits), formats->f16.read((uint16_t)(bits + 1)),
                      bits % 2 == 0 ? bits : bits + 1, bits % 2 == 0, write_f16);
    /* The smallest are subnormal floats, whose middle is none. */
    for (unsigned bits = 0x0080; bits + 1 <= 0x7f7f; bits++)
        check_between(formats->bf16.read((uint16_t)bits), formats->bf16.read((uint16_t)(bits + 1)),
                      bits % 2 == 0 ? bits : bits + 1, bits % 2 == 0, write_bf16);
    for (unsigned bits = 0; bits + 1 <= 0x7e; bits++)
        check_between(formats->read_e4m3((uint8_t)bits), formats->read_e4m3((uint8_t)(bits + 1)),
                      bits % 2 == 0 ? bits : bits + 1, bits % 2 == 0, write_e4m3);
}

static void what_is_too_large_is_infinite_but_for_e4m3(void **state)
{
    (void)state;
    assert_int_equal(write_f16(65519.99f), 0x7bff);
    assert_int_equal(write_f16(65520.0f), 0x7c00);
    assert_int_equal(write_f16(-INFINITY), 0xfc00);
    assert_int_equal(write_bf16(3.4e38f), 0x7f80);
    assert_int_equal(write_bf16(-INFINITY), 0xff80);
    assert_int_equal(write_e4m3(464.0f), 0x7e);
    assert_int_equal(write_e4m3(1e30f), 0x7e);
    assert_int_equal(write_e4m3(-INFINITY), 0xfe);
    assert_int_equal(write_f16(NAN), 0x7fff);
    assert_int_equal(write_bf16(-NAN), 0x7fff);
    assert_int_equal(write_e4m3(NAN), 0x7f);
}

static void every_value_comes_back(void **state)
{
    (void)state;
    const struct formats *formats = emulated_formats();
    for (unsigned bits = 0; bits <= 0xffff; bits++) {
        float f = formats->f16.read((uint16_t)bits), b = formats->bf16.read((uint16_t)bits);
        assert_true(f != f ? write_f16(f) == 0x7fff : write_f16(f) == bits);
        assert_true(b != b ? write_bf16(b) == 0x7fff : write_bf16(b) == bits);
    }
    assert_true(formats->f16.read(0x0001) == 0x1p-24f);
    assert_true(formats->f16.read(0x3555) == 0x1.554p-2f);
    assert_true(formats->read_e4m3(0x01) == 0x1p-9f);
    assert_true(formats->read_e4m3(0xb9) == -0x1.2p0f);
}

/* Once, from the exact value: not by way of a float. */
static void sums_and_doubles_are_rounded_once(void **state)
{
    (void)state;
    double just_above_middle = 1.0 + 0x1p-11 + 0x1p-40; /* a float drops the last */
    assert_int_equal(emulated_formats()->f16.write_double(just_above_middle), 0x3c01);
    assert_int_equal(emulated_formats()->f16.write_double(1.0 + 0x1p-11), 0x3c00);
    assert_int_equal(emulated_formats()->bf16.write_double(1.0 + 0x1p-8 + 0x1p-40), 0x3f81);
    assert_int_equal(emulated_formats()->f16.write_int(2049), half(2048.0f).bits());
    /* 1 x 1 + 2^-11 + 2^-24 x something: only the exact sum is above the middle. */
    half tiny = half::of_bits(1), up = half(1.0f + 0x1p-10f);
    assert_int_equal(__hfma(tiny, half(0x1p-14f), half(1.0f)).bits(), 0x3c00);
    assert_int_equal(__hfma(up, up, tiny).bits(), half((float)(1.0 + 0x1p-9 + 0x1p-20)).bits());
    assert_int_equal(__hfma(half(0x1p-11f), half(1.0f + 0x1p-10f), half(1.0f)).bits(), 0x3c01);
    assert_int_equal(__hfma(half(0x1p-11f), half(1.0f), half(1.0f)).bits(), 0x3c00);
    assert_int_equal(__hfma(half(60000.0f), half(2.0f), half(-60000.0f)).bits(),
                     half(60000.0f).bits());
    assert_true(__hisnan(__hfma(half(INFINITY), half(0.0f), half(1.0f))));
}

/* -- Against the toolkit -- */

static const struct formats *toolkit_or_skip(void)
{
    const struct formats *toolkit = toolkit_formats();
    if (toolkit == nullptr)
        skip();
    return toolkit;
}

static uint32_t float_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static void every_short_value_reads_as_cuda_reads_it(void **state)
{
    (void)state;
    const struct formats *theirs = toolkit_or_skip(), *ours = emulated_formats();
    for (unsigned bits = 0; bits <= 0xffff; bits++) {
        uint16_t b = (uint16_t)bits;
        assert_int_equal(float_bits(ours->f16.read(b)), float_bits(theirs->f16.read(b)));
        assert_int_equal(float_bits(ours->bf16.read(b)), float_bits(theirs->bf16.read(b)));
    }
    for (unsigned bits = 0; bits <= 0xff; bits++) {
        float read = ours->read_e4m3((uint8_t)bits), wanted = theirs->read_e4m3((uint8_t)bits);
        assert_int_equal(float_bits(read), float_bits(wanted));
    }
}

static void floats_are_written_as_cuda_writes_them(void **state)
{
    (void)state;
    const struct formats *theirs = toolkit_or_skip(), *ours = emulated_formats();
    const char *text = getenv("WEIR_TEST_STRIDE");
    uint64_t stride = text != NULL ? strtoull(text, NULL, 10) : 4099;
    for (uint64_t bits = 0; bits <= UINT32_MAX; bits += stride) {
        uint32_t word = (uint32_t)bits;
        float value;
        memcpy(&value, &word, sizeof value);
        if (ours->f16.write(value) != theirs->f16.write(value) ||
            ours->bf16.write(value) != theirs->bf16.write(value) ||
            ours->write_e4m3(value) != theirs->write_e4m3(value))
            fail_msg("%08x: %04x %04x %02x, not %04x %04x %02x", word, ours->f16.write(value),
                     ours->bf16.write(value), ours->write_e4m3(value), theirs->f16.write(value),
                     theirs->bf16.write(value), theirs->write_e4m3(value));
    }
}

static uint64_t next(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return *seed >> 16;
}

static void check_pair(const struct format16 *ours, const struct format16 *theirs, uint16_t a,
                       uint16_t b)
{
    assert_int_equal(ours->add(a, b), theirs->add(a, b));
    assert_int_equal(ours->subtract(a, b), theirs->subtract(a, b));
    assert_int_equal(ours->multiply(a, b), theirs->multiply(a, b));
    assert_int_equal(ours->most(a, b), theirs->most(a, b));
    assert_int_equal(ours->least(a, b), theirs->least(a, b));
}

static void arithmetic_is_cudas(void **state)
{
    (void)state;
    const struct formats *theirs = toolkit_or_skip(), *ours = emulated_formats();
    const uint16_t edges[] = {0x0000, 0x8000, 0x0001, 0x8001, 0x7bff, 0x7c00,
                              0xfc00, 0x7e00, 0x7fff, 0x7f7f, 0x7f80, 0xff80};
    for (uint16_t a : edges) {
        for (uint16_t b : edges) {
            check_pair(&ours->f16, &theirs->f16, a, b);
            check_pair(&ours->bf16, &theirs->bf16, a, b);
        }
    }
    uint64_t seed = 1;
    for (unsigned i = 0; i < 200000; i++) {
        uint16_t a = (uint16_t)next(&seed), b = (uint16_t)next(&seed);
        check_pair(&ours->f16, &theirs->f16, a, b);
        check_pair(&ours->bf16, &theirs->bf16, a, b);
        /* Near a middle: a short value, half its last place, and a little. */
        double value = (double)ours->f16.read(a) * (1.0 + 0x1p-12 + 0x1p-45 * (double)(b % 3));
        if (value == value)
            assert_int_equal(ours->f16.write_double(value), theirs->f16.write_double(value));
        int integer = (int)next(&seed) >> (b % 32);
        assert_int_equal(ours->f16.write_int(integer), theirs->f16.write_int(integer));
        assert_int_equal(ours->bf16.write_int(integer), theirs->bf16.write_int(integer));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(neighbours_round_to_the_even_one),
        cmocka_unit_test(what_is_too_large_is_infinite_but_for_e4m3),
        cmocka_unit_test(every_value_comes_back),
        cmocka_unit_test(sums_and_doubles_are_rounded_once),
        cmocka_unit_test(every_short_value_reads_as_cuda_reads_it),
        cmocka_unit_test(floats_are_written_as_cuda_writes_them),
        cmocka_unit_test(arithmetic_is_cudas),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
