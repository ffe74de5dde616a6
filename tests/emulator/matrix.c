/* SPDX-License-Identifier: Apache-2.0 */
/* matrix.c -- mma.m16n8k16 and ldmatrix, element by element.
 *
 * Which lane holds what, from the PTX manual's fragments of m16n8k16, with row = lane / 4 and
 * pair = lane % 4. Two 16-bit elements a register, the lower one in the lower half:
 *
 *     A 16 x 16   a[0] row, 2 pair     a[1] row + 8, 2 pair
 *                 a[2] row, 2 pair + 8 a[3] row + 8, 2 pair + 8
 *     B 16 x 8    b[0] rows 2 pair, 2 pair + 1 of column `row`; b[1] the same, 8 rows on
 *     C 16 x 8    c[0], c[1] row, 2 pair, 2 pair + 1; c[2], c[3] the same of row + 8
 *
 * Of bytes four a register: A row, 4 pair .. 4 pair + 3 and the same of row + 8; B rows 4 pair and
 * on of column `row`.
 *
 * A tensor core does not round as a chain of sums does. On Ampere it adds eight exact products and
 * the sum so far at once, each shifted to the largest one's exponent and cut off there, and cuts
 * the result to 24 bits (Fasi, Higham, Mikaitis, Pranesh: Numerical behavior of NVIDIA tensor
 * cores, 2021). So it is done here: always towards zero, which a kernel's tolerance must bear. */
#include "warp.h"

#include "include/emulator/convert.h"
#include "sanitizer.h"

#include <math.h>
#include <string.h>

#define ROWS         16u
#define COLUMNS      8u
#define DEPTH        16u
#define TERMS        8u /* products that are added at once */
#define ALIGNED_BITS 24 /* kept below the largest addend's first */

/* 2^exponent of the value's own, or its inverse. */
static double power_of_exponent(double value, int shift, bool inverse)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    int exponent = (int)(bits >> 52 & 0x7ff) - 1023 + shift;
    bits = (uint64_t)((inverse ? -exponent : exponent) + 1023) << 52;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static float cut(double value)
{
    float f = (float)value;
    if (fabs((double)f) <= fabs(value))
        return f;
    return emulator_float(emulator_bits(f) - 1);
}

/* One row of C, by eight of A's columns and B's rows. Loops run over columns: the compiler makes
 * vectors of them. */
static void add_products(float c[COLUMNS], const double a[TERMS], double b[TERMS][COLUMNS])
{
    double terms[TERMS + 1][COLUMNS], largest[COLUMNS], check[COLUMNS], scale[COLUMNS];
    int32_t totals[COLUMNS] = {0};
    for (unsigned j = 0; j < COLUMNS; j++) {
        terms[TERMS][j] = check[j] = c[j];
        largest[j] = fabs(check[j]);
    }
    for (unsigned k = 0; k < TERMS; k++) {
        for (unsigned j = 0; j < COLUMNS; j++) {
            double term = a[k] * b[k][j], size = fabs(term);
            terms[k][j] = term;
            check[j] += term;
            largest[j] = size > largest[j] ? size : largest[j];
        }
    }
    /* Nothing at all, infinities and NaN as they come: scaled by nothing. */
    for (unsigned j = 0; j < COLUMNS; j++) {
        bool plain = largest[j] > 0.0 && fabs(check[j]) <= 3e38;
        scale[j] = plain ? power_of_exponent(largest[j], -ALIGNED_BITS, true) : 0.0;
    }
    for (unsigned k = 0; k <= TERMS; k++) {
        for (unsigned j = 0; j < COLUMNS; j++)
            totals[j] += (int32_t)(terms[k][j] * scale[j]);
    }
    for (unsigned j = 0; j < COLUMNS; j++)
        c[j] = scale[j] == 0.0 ? (float)check[j] : cut(totals[j] / scale[j]);
}

void matrix_multiply_16bit(struct fiber *const lanes[WARP_LANES], bool bfloat)
{
    double a[ROWS][DEPTH], b[DEPTH][COLUMNS];
    float c[ROWS][COLUMNS];
    float (*read)(uint16_t) = bfloat ? emulator_from_bf16 : emulator_from_f16;
    for (unsigned l = 0; l < WARP_LANES; l++) {
        unsigned row = l / 4, pair = l % 4;
        uint32_t in[6];
        raw_copy(in, lanes[l]->call->in, sizeof in);
        for (unsigned i = 0; i < 2; i++) {
            unsigned shift = 16 * i;
            a[row][2 * pair + i] = read((uint16_t)(in[0] >> shift));
            a[row + 8][2 * pair + i] = read((uint16_t)(in[1] >> shift));
            a[row][2 * pair + 8 + i] = read((uint16_t)(in[2] >> shift));
            a[row + 8][2 * pair + 8 + i] = read((uint16_t)(in[3] >> shift));
            b[2 * pair + i][row] = read((uint16_t)(in[4] >> shift));
            b[2 * pair + 8 + i][row] = read((uint16_t)(in[5] >> shift));
        }
        raw_copy(&c[row][2 * pair], lanes[l]->call->out, 2 * sizeof(float));
        raw_copy(&c[row + 8][2 * pair], (const float *)lanes[l]->call->out + 2, 2 * sizeof(float));
    }
    for (unsigned i = 0; i < ROWS; i++) {
        add_products(c[i], a[i], b);
        add_products(c[i], a[i] + TERMS, b + TERMS);
    }
    for (unsigned l = 0; l < WARP_LANES; l++) {
        unsigned row = l / 4, pair = l % 4;
        raw_copy(lanes[l]->call->out, &c[row][2 * pair], 2 * sizeof(float));
        raw_copy((float *)lanes[l]->call->out + 2, &c[row + 8][2 * pair], 2 * sizeof(float));
    }
}

void matrix_multiply_s8(struct fiber *const lanes[WARP_LANES])
{
    int32_t a[ROWS][DEPTH], b[COLUMNS][DEPTH];
    for (unsigned l = 0; l < WARP_LANES; l++) {
        unsigned row = l / 4, pair = l % 4;
        uint32_t in[3];
        raw_copy(in, lanes[l]->call->in, sizeof in);
        for (unsigned i = 0; i < 4; i++) {
            a[row][4 * pair + i] = (int8_t)(in[0] >> 8 * i);
            a[row + 8][4 * pair + i] = (int8_t)(in[1] >> 8 * i);
            b[row][4 * pair + i] = (int8_t)(in[2] >> 8 * i);
        }
    }
    for (unsigned l = 0; l < WARP_LANES; l++) {
        uint32_t c[4];
        raw_copy(c, lanes[l]->call->out, sizeof c);
        for (unsigned i = 0; i < 4; i++) {
            const int32_t *row = a[l / 4 + 8 * (i / 2)], *column = b[2 * (l % 4) + i % 2];
            for (unsigned k = 0; k < DEPTH; k++)
                c[i] += (uint32_t)(row[k] * column[k]);
        }
        raw_copy(lanes[l]->call->out, c, sizeof c);
    }
}

/* Lane 8 m + r names row r of matrix m; of each matrix a lane gets two elements: of its row, or of
 * its column where the matrix is turned. */
void matrix_load(struct fiber *const lanes[WARP_LANES], unsigned count, bool turned)
{
    uint16_t matrices[4][8][8];
    for (unsigned m = 0; m < count; m++) {
        for (unsigned r = 0; r < 8; r++) {
            const struct emulator_warp_call *call = lanes[8 * m + r]->call;
            if ((uintptr_t)call->in % 16 != 0)
                emulator_fail("%s:%d: lane %u loads a matrix's row from %p, not 16-byte aligned",
                              call->site.file, call->site.line, 8 * m + r, call->in);
            watched_copy(matrices[m][r], call->in, sizeof matrices[m][r]);
        }
    }
    for (unsigned l = 0; l < WARP_LANES; l++) {
        uint32_t out[4];
        for (unsigned m = 0; m < count; m++) {
            unsigned major = l / 4, minor = 2 * (l % 4);
            uint32_t low = turned ? matrices[m][minor][major] : matrices[m][major][minor];
            uint32_t high = turned ? matrices[m][minor + 1][major] : matrices[m][major][minor + 1];
            out[m] = high << 16 | low;
        }
        raw_copy(lanes[l]->call->out, out, count * sizeof *out);
    }
}
