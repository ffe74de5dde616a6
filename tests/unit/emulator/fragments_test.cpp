/* SPDX-License-Identifier: Apache-2.0 */
/* fragments_test.cpp -- who holds what, element by element, from the PTX manual's tables and not
 * from the engine's formulas.
 *
 * The manual draws each fragment as a matrix of "T lane: register". Below they are written out as
 * it has them, row by row; a matrix of distinct marks is then handed to the lanes by the table, and
 * what comes back is read by the table. Were the engine's A and B wrong in the same way, sums would
 * hide it: so each product is asked for alone, one element of A and one of B not zero. */
#include "kernels/cuda/port.cuh"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

extern "C" {
#include <cmocka.h>
}

/* -- The tables: lane and element, as "lane a0,a1" is in the manual -- */

struct place {
    unsigned lane, element;
};

/* PTX ISA, "Matrix Fragments for mma.m16n8k16 with floating point type", A: rows 0 and 8; each row
 * further down has lanes higher by four. */
static const struct place a16_row0[16] = {{0, 0}, {0, 1}, {1, 0}, {1, 1}, {2, 0}, {2, 1},
                                          {3, 0}, {3, 1}, {0, 4}, {0, 5}, {1, 4}, {1, 5},
                                          {2, 4}, {2, 5}, {3, 4}, {3, 5}};
static const struct place a16_row8[16] = {{0, 2}, {0, 3}, {1, 2}, {1, 3}, {2, 2}, {2, 3},
                                          {3, 2}, {3, 3}, {0, 6}, {0, 7}, {1, 6}, {1, 7},
                                          {2, 6}, {2, 7}, {3, 6}, {3, 7}};
/* B: column 0, rows 0 to 15; each column to the right has lanes higher by four. */
static const struct place b16_column0[16] = {{0, 0}, {0, 1}, {1, 0}, {1, 1}, {2, 0}, {2, 1},
                                             {3, 0}, {3, 1}, {0, 2}, {0, 3}, {1, 2}, {1, 3},
                                             {2, 2}, {2, 3}, {3, 2}, {3, 3}};
/* C and D: rows 0 and 8. */
static const struct place c_row0[8] = {{0, 0}, {0, 1}, {1, 0}, {1, 1},
                                       {2, 0}, {2, 1}, {3, 0}, {3, 1}};
static const struct place c_row8[8] = {{0, 2}, {0, 3}, {1, 2}, {1, 3},
                                       {2, 2}, {2, 3}, {3, 2}, {3, 3}};
/* "Matrix Fragments for mma.m16n8k16 with integer type" (.s8): A's rows 0 and 8, B's column 0. */
static const struct place a8_row0[16] = {{0, 0}, {0, 1}, {0, 2}, {0, 3}, {1, 0}, {1, 1},
                                         {1, 2}, {1, 3}, {2, 0}, {2, 1}, {2, 2}, {2, 3},
                                         {3, 0}, {3, 1}, {3, 2}, {3, 3}};
static const struct place a8_row8[16] = {{0, 4}, {0, 5}, {0, 6}, {0, 7}, {1, 4}, {1, 5},
                                         {1, 6}, {1, 7}, {2, 4}, {2, 5}, {2, 6}, {2, 7},
                                         {3, 4}, {3, 5}, {3, 6}, {3, 7}};
static const struct place b8_column0[16] = {{0, 0}, {0, 1}, {0, 2}, {0, 3}, {1, 0}, {1, 1},
                                            {1, 2}, {1, 3}, {2, 0}, {2, 1}, {2, 2}, {2, 3},
                                            {3, 0}, {3, 1}, {3, 2}, {3, 3}};

static struct place of_rows(const struct place *row0, const struct place *row8, unsigned row,
                            unsigned column)
{
    struct place place = row < 8 ? row0[column] : row8[column];
    place.lane += row % 8 * 4;
    return place;
}

static struct place of_columns(const struct place *column0, unsigned row, unsigned column)
{
    struct place place = column0[row];
    place.lane += column * 4;
    return place;
}

/* -- Kernels: registers in, registers out -- */

struct lane16 {
    uint32_t a[4], b[2];
    float c[4];
};
struct lane8 {
    uint32_t a[2], b;
    int32_t c[4];
};

template <class T> __global__ void multiply16(struct lane16 *lanes, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct lane16 *own = &lanes[32 * i + threadIdx.x];
        mma_16816(own->c, own->a, own->b, T());
    }
}

__global__ void multiply8(struct lane8 *lanes, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct lane8 *own = &lanes[32 * i + threadIdx.x];
        mma_16816_s8(own->c, own->a, own->b);
    }
}

template <int COUNT, bool TURNED>
__global__ void load(const uint16_t *rows, uint32_t (*fragments)[COUNT])
{
    SHARED_ARRAY(uint16_t, tile, [32][8]);
    for (unsigned i = 0; i < 8; i++)
        tile[threadIdx.x][i] = rows[8 * threadIdx.x + i];
    __syncwarp();
    uint32_t fragment[COUNT];
    /* Lanes past the matrices' rows may point anywhere. */
    const void *row = threadIdx.x < 8 * COUNT ? &tile[threadIdx.x][0] : NULL;
    if (TURNED)
        load_matrices_turned(fragment, row);
    else
        load_matrices(fragment, row);
    for (unsigned i = 0; i < COUNT; i++)
        fragments[threadIdx.x][i] = fragment[i];
}

/* -- Host and device -- */

template <class T> static T *upload(const T *values, size_t count)
{
    T *device;
    assert_int_equal(cudaMalloc(&device, count * sizeof(T)), cudaSuccess);
    assert_int_equal(cudaMemcpy(device, values, count * sizeof(T), cudaMemcpyHostToDevice),
                     cudaSuccess);
    return device;
}

template <class T> static void download(T *values, T *device, size_t count)
{
    assert_int_equal(cudaMemcpy(values, device, count * sizeof(T), cudaMemcpyDeviceToHost),
                     cudaSuccess);
    assert_int_equal(cudaFree(device), cudaSuccess);
}

/* Element e of registers of 16 or 8 bits an element. */
template <class T> static void put(uint32_t *registers, unsigned element, T bits)
{
    memcpy(reinterpret_cast<T *>(registers) + element, &bits, sizeof bits);
}

/* -- mma: every A(i, k) times every B(k, j) alone -- */

#define CASES (16 * 16 * 8)

template <class T> static void each_product_lands_in_its_place()
{
    static struct lane16 lanes[CASES * 32];
    memset(lanes, 0, sizeof lanes);
    unsigned number = 0;
    for (unsigned i = 0; i < 16; i++) {
        for (unsigned k = 0; k < 16; k++) {
            for (unsigned j = 0; j < 8; j++, number++) {
                struct lane16 *one = &lanes[32 * number];
                struct place a = of_rows(a16_row0, a16_row8, i, k);
                struct place b = of_columns(b16_column0, k, j);
                put<uint16_t>(one[a.lane].a, a.element, T(3.0f).bits());
                put<uint16_t>(one[b.lane].b, b.element, T(5.0f).bits());
                one[0].c[0] = 0.25f;
            }
        }
    }
    struct lane16 *device = upload(lanes, CASES * 32);
    LAUNCH((multiply16<T>), 1, 32, 0, 0, device, CASES);
    download(lanes, device, CASES * 32);
    number = 0;
    for (unsigned i = 0; i < 16; i++) {
        for (unsigned k = 0; k < 16; k++) {
            for (unsigned j = 0; j < 8; j++, number++) {
                struct place at = of_rows(c_row0, c_row8, i, j);
                for (unsigned e = 0; e < 32 * 4; e++) {
                    float wanted = e / 4 == at.lane && e % 4 == at.element ? 15.0f : 0.0f;
                    if (e == 0)
                        wanted += 0.25f;
                    assert_true(lanes[32 * number + e / 4].c[e % 4] == wanted);
                }
            }
        }
    }
}

static void half_products_land_in_their_places(void **state)
{
    (void)state;
    each_product_lands_in_its_place<half>();
}

static void bfloat_products_land_in_their_places(void **state)
{
    (void)state;
    each_product_lands_in_its_place<__nv_bfloat16>();
}

static void byte_products_land_in_their_places(void **state)
{
    static struct lane8 lanes[CASES * 32];
    (void)state;
    unsigned number = 0;
    for (unsigned i = 0; i < 16; i++) {
        for (unsigned k = 0; k < 16; k++) {
            for (unsigned j = 0; j < 8; j++, number++) {
                struct lane8 *one = &lanes[32 * number];
                struct place a = of_rows(a8_row0, a8_row8, i, k);
                struct place b = of_columns(b8_column0, k, j);
                put<int8_t>(one[a.lane].a, a.element, -128);
                put<int8_t>(&one[b.lane].b, b.element, 127);
                one[0].c[0] = 7;
            }
        }
    }
    struct lane8 *device = upload(lanes, CASES * 32);
    LAUNCH((multiply8), 1, 32, 0, 0, device, CASES);
    download(lanes, device, CASES * 32);
    number = 0;
    for (unsigned i = 0; i < 16; i++) {
        for (unsigned k = 0; k < 16; k++) {
            for (unsigned j = 0; j < 8; j++, number++) {
                struct place at = of_rows(c_row0, c_row8, i, j);
                for (unsigned e = 0; e < 32 * 4; e++) {
                    int wanted = e / 4 == at.lane && e % 4 == at.element ? -128 * 127 : 0;
                    assert_int_equal(lanes[32 * number + e / 4].c[e % 4], wanted + (e == 0) * 7);
                }
            }
        }
    }
}

/* -- mma: rounding -- */

/* Row 0, column 0 of one product: eight of A times eight of B, and what was there. */
static float sum_of(const float a[16], const float b[16], float c)
{
    struct lane16 lanes[32] = {};
    for (unsigned k = 0; k < 16; k++) {
        struct place at = of_rows(a16_row0, a16_row8, 0, k);
        put<uint16_t>(lanes[at.lane].a, at.element, half(a[k]).bits());
        at = of_columns(b16_column0, k, 0);
        put<uint16_t>(lanes[at.lane].b, at.element, half(b[k]).bits());
    }
    lanes[0].c[0] = c;
    struct lane16 *device = upload(lanes, 32);
    LAUNCH((multiply16<half>), 1, 32, 0, 0, device, 1);
    download(lanes, device, 32);
    return lanes[0].c[0];
}

static void sums_are_cut_and_not_rounded(void **state)
{
    (void)state;
    const float ones[16] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    float a[16] = {};
    /* Far below the largest addend: each alone is cut off, though eight together would count. */
    for (unsigned k = 0; k < 8; k++)
        a[k] = 0x1p-14f;
    assert_true(sum_of(a, ones, 2048.0f) == 2048.0f);
    assert_true(sum_of(a, ones, -2048.0f) == -2048.0f);
    /* One bit below the last that is kept. */
    a[0] = 1.0f;
    for (unsigned k = 1; k < 8; k++)
        a[k] = 0.0f;
    assert_true(sum_of(a, ones, 0x1p25f) == 0x1p25f);
    assert_true(sum_of(a, ones, 0x1.fffffep23f) == 0x1p24f);
    a[0] = 0.5f; /* 2^24 - 1/2: not to 2^24 */
    assert_true(sum_of(a, ones, 0x1.fffffep23f) == 0x1.fffffep23f);
}

static void exact_sums_are_exact(void **state)
{
    (void)state;
    float a[16], b[16], wanted = 100.0f;
    for (unsigned k = 0; k < 16; k++) {
        a[k] = (float)k - 7.0f;
        b[k] = 0.25f * (float)(k + 1);
        wanted += a[k] * b[k];
    }
    assert_true(sum_of(a, b, 100.0f) == wanted);
    for (unsigned k = 0; k < 16; k++)
        a[k] = k % 2 == 0 ? 3.0f : -3.0f, b[k] = 1.0f;
    assert_true(sum_of(a, b, 0.0f) == 0.0f);
}

static void infinities_and_nan_go_through(void **state)
{
    (void)state;
    float a[16] = {}, b[16] = {};
    a[3] = INFINITY;
    b[3] = 1.0f;
    assert_true(sum_of(a, b, 1.0f) == INFINITY);
    assert_true(isnan(sum_of(a, b, -INFINITY)));
    b[3] = 0.0f;
    assert_true(isnan(sum_of(a, b, 1.0f)));
    a[3] = 1.0f;
    assert_true(isnan(sum_of(a, b, NAN)));
}

/* -- ldmatrix: lane 4 r + p holds of each 8 x 8 matrix row r, columns 2 p and 2 p + 1 -- */

template <int COUNT, bool TURNED> static void check_load()
{
    uint16_t rows[32 * 8];
    uint32_t fragments[32][COUNT] = {};
    for (unsigned i = 0; i < 32 * 8; i++)
        rows[i] = (uint16_t)(0x1000 + i);
    const uint16_t *device = upload(rows, 32 * 8);
    auto *out = upload(fragments, 32);
    LAUNCH((load<COUNT, TURNED>), 1, 32, 0, 0, device, out);
    download(fragments, out, 32);
    assert_int_equal(cudaFree(const_cast<uint16_t *>(device)), cudaSuccess);
    for (unsigned matrix = 0; matrix < COUNT; matrix++) {
        for (unsigned r = 0; r < 8; r++) {
            for (unsigned c = 0; c < 8; c++) {
                unsigned held = fragments[4 * r + c / 2][matrix] >> (c % 2 * 16) & 0xffff;
                unsigned from = TURNED ? 8 * (8 * matrix + c) + r : 8 * (8 * matrix + r) + c;
                assert_int_equal(held, 0x1000 + from);
            }
        }
    }
}

static void matrices_are_loaded_as_the_manual_says(void **state)
{
    (void)state;
    check_load<1, false>();
    check_load<2, false>();
    check_load<4, false>();
    check_load<1, true>();
    check_load<2, true>();
    check_load<4, true>();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(half_products_land_in_their_places),
        cmocka_unit_test(bfloat_products_land_in_their_places),
        cmocka_unit_test(byte_products_land_in_their_places),
        cmocka_unit_test(sums_are_cut_and_not_rounded),
        cmocka_unit_test(exact_sums_are_exact),
        cmocka_unit_test(infinities_and_nan_go_through),
        cmocka_unit_test(matrices_are_loaded_as_the_manual_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
