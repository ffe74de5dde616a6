/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/policy/sampled_registers.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#define INVERTED_BELOW 10.0 /* of the rarer outcome expected: what the rejection needs */

uint64_t sampled_word(uint64_t *random)
{
    uint64_t z = *random += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

double sampled_uniform(uint64_t *random)
{
    return ((double)(sampled_word(random) >> 11) + 0.5) / 9007199254740992.0;
}

/* -- Binomial -- */

static double log_factorial(double of)
{
    int sign;
    return lgamma_r(of + 1, &sign); /* lgamma() keeps its sign in a global */
}

/* One probability after the other, until they exceed a uniform number. */
static uint32_t inverted(uint32_t count, double share, uint64_t *random)
{
    double odds = share / (1 - share), here = pow(1 - share, count);
    double left = sampled_uniform(random) - here;
    uint32_t found = 0;
    while (left > 0 && found < count) {
        here *= odds * (count - found) / (found + 1.0);
        left -= here;
        found++;
    }
    return found;
}

/* Transformed rejection with a squeeze (BTRS; W. Hormann, J. Stat. Comput. Simul. 46, 1993): a
 * table mountain over the bell, most of which needs no look at the bell. share: at most 1/2. */
static uint32_t rejected(uint32_t count, double share, uint64_t *random)
{
    double deviation = sqrt(count * share * (1 - share)), b = 1.15 + 2.53 * deviation;
    double a = -0.0873 + 0.0248 * b + 0.01 * share, squeeze = 0.92 - 4.2 / b;
    double alpha = (2.83 + 5.1 / b) * deviation, mode = floor((count + 1.0) * share);
    for (;;) {
        double v = sampled_uniform(random), u = sampled_uniform(random) - 0.5;
        double edge = 0.5 - fabs(u), found = floor((2 * a / edge + b) * u + count * share + 0.5);
        if (edge >= 0.07 && v <= squeeze)
            return (uint32_t)found;
        if (found < 0 || found > count)
            continue;
        double height = log(v * alpha / (a / (edge * edge) + b));
        double bell = log_factorial(mode) + log_factorial(count - mode) - log_factorial(found) -
                      log_factorial(count - found) + (found - mode) * log(share / (1 - share));
        if (height <= bell)
            return (uint32_t)found;
    }
}

static uint32_t binomial(uint32_t count, double share, uint64_t *random)
{
    if (count == 0 || share <= 0)
        return 0;
    if (share >= 1)
        return count;
    if (share > 0.5)
        return count - binomial(count, 1 - share, random);
    return count * share < INVERTED_BELOW ? inverted(count, share, random)
                                          : rejected(count, share, random);
}

/* -- Registers -- */

/* That a register has seen the rank. */
static double seen(double users, uint32_t p, uint32_t rank)
{
    uint32_t last = 65 - p;
    return -expm1(-ldexp(users, -(int)(p + (rank < last ? rank : last - 1))));
}

/* The byte of a register whose highest rank this is, with the two ranks below it as `below`. */
static uint8_t byte_of(uint32_t p, uint32_t rank, uint32_t below)
{
    return (uint8_t)((rank + p - 2) << 2 | below);
}

void sampled_counts(double users, uint32_t p, uint64_t *random, uint32_t ret[REGISTER_VALUES])
{
    uint32_t left = 1u << p; /* that have seen no rank above */
    memset(ret, 0, REGISTER_VALUES * sizeof *ret);
    for (uint32_t rank = 65 - p; rank >= 1; rank--) {
        double nearest = rank > 1 ? seen(users, p, rank - 1) : 0;
        double next = rank > 2 ? seen(users, p, rank - 2) : 0;
        uint32_t here = binomial(left, seen(users, p, rank), random);
        uint32_t with = binomial(here, nearest, random);
        uint32_t with_both = binomial(with, next, random);
        uint32_t with_next = binomial(here - with, next, random);
        left -= here;
        ret[byte_of(p, rank, 3)] = with_both;
        ret[byte_of(p, rank, 2)] = with - with_both;
        ret[byte_of(p, rank, 1)] = with_next;
        ret[byte_of(p, rank, 0)] = here - with - with_next;
    }
    ret[0] = left;
}

void sampled_registers(double users, uint32_t p, uint64_t *random, uint8_t *ret)
{
    memset(ret, 0, (size_t)1 << p);
    for (uint32_t rank = 1; rank <= 65 - p; rank++) {
        double share = seen(users, p, rank);
        for (size_t i = 0; i < (size_t)1 << p; i++)
            if (sampled_uniform(random) < share)
                ret[i] = register_join(ret[i], byte_of(p, rank, 0));
    }
}

void sampled_count(double users, uint32_t p, uint64_t *random, struct sketch_count *ret)
{
    uint32_t counts[REGISTER_VALUES];
    struct registers_estimate estimate;
    sampled_counts(users, p, random, counts);
    registers_estimate_counted(counts, p, &estimate);
    *ret =
        (struct sketch_count){.value = estimate.value, .standard_error = estimate.standard_error};
}
