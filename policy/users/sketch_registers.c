/* SPDX-License-Identifier: Apache-2.0 */
/* sketch_registers.c -- what a byte says of the hashes that fell on it.
 *
 * The first p bits of a hash choose a register, and the run of zeros behind them gives its rank
 * k = 1, 2, ... with probability 2^-k (the last rank, of no ones at all, takes what is left). A
 * register keeps the highest rank seen and whether the two below it were seen as well:
 *
 *     bit      7 6 5 4 3 2      1              0
 *            [ k + p - 2     | k-1 was seen | k-2 was seen ]       0: nothing was seen
 *
 * The offset p - 2 makes a register and its sum in a smaller array the same byte. `unpack` turns
 * the byte into a word with a one for each rank known to have been seen, where unions are ORs.
 *
 * A byte only grows in the lattice of such words, so any mixture of older and newer bytes is some
 * earlier state: a file of registers can be torn and still be right.
 *
 * Estimate: with n hashes a register sees rank k with probability 1 - exp(-n/m 2^-k), all ranks
 * being independent when n is Poisson. So the log-likelihood of x = n/m is
 *     -alpha x + sum over j of beta[j] log(1 - exp(-x 2^-j))
 * with beta[j] the ranks j that are known to be seen, over all registers, and alpha the summed
 * probability of those known not to be. It is concave, so its top is one root of one equation. */
#include "policy/users/sketch_registers.h"

#include "policy/users/sketch_join.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#define RANKS            66u /* beta[1 .. 65 - p] are used */
#define NEWTON_STEPS_MAX 100u
#define BIAS_CORRECTION                                                                            \
    0.48147376527720065 /* of the ML estimator for registers of two extra bits */

static uint64_t unpack(uint8_t value)
{
    return value == 0 ? 0 : ((uint64_t)4 | (value & 3u)) << ((value >> 2) - 2);
}

static uint8_t pack(uint64_t seen)
{
    if (seen == 0)
        return 0;
    uint32_t top = 63u - (uint32_t)__builtin_clzll(seen);
    return (uint8_t)(top << 2 | (uint32_t)(seen << (63 - top) << 1 >> 62));
}

/* The bit of the hash's rank in an unpacked word: p - 1 for rank 1. */
static uint32_t rank_bit(uint64_t hash, uint32_t p)
{
    uint64_t rest = ~(~hash << p); /* ends in p ones, so there is always one to find */
    return (uint32_t)__builtin_clzll(rest) + p - 1;
}

bool registers_would_change(const uint8_t *registers, uint32_t p, uint64_t hash)
{
    uint8_t old = __atomic_load_n(&registers[hash >> (64 - p)], __ATOMIC_RELAXED);
    uint64_t seen = unpack(old);
    return pack(seen | (uint64_t)1 << rank_bit(hash, p)) != old;
}

bool registers_add(uint8_t *registers, uint32_t p, uint64_t hash, uint32_t *ret_index,
                   uint8_t *ret_value)
{
    uint32_t index = (uint32_t)(hash >> (64 - p));
    uint64_t bit = (uint64_t)1 << rank_bit(hash, p);
    uint8_t old = __atomic_load_n(&registers[index], __ATOMIC_RELAXED), value;
    do {
        value = pack(unpack(old) | bit);
        if (value == old)
            return false;
    } while (!__atomic_compare_exchange_n(&registers[index], &old, value, true, __ATOMIC_ACQ_REL,
                                          __ATOMIC_RELAXED));
    if (ret_index != NULL)
        *ret_index = index;
    if (ret_value != NULL)
        *ret_value = value;
    return true;
}

uint8_t register_join(uint8_t a, uint8_t b)
{
    return pack(unpack(a) | unpack(b));
}

bool register_possible(uint8_t value, uint32_t p)
{
    uint32_t two = value & 3u;
    uint32_t rank = (uint32_t)(value >> 2) + 2 - p; /* below the first it is far above the last */
    if (value == 0)
        return true;
    return rank >= 1 && rank <= 65 - p && (rank != 1 || two == 0) && (rank != 2 || (two & 1) == 0);
}

bool registers_possible(const uint8_t *registers, uint32_t p)
{
    for (size_t i = 0; i < (size_t)1 << p; i++)
        if (!register_possible(registers[i], p))
            return false;
    return true;
}

void registers_join_scalar(uint8_t *into, const uint8_t *from, uint32_t p)
{
    for (size_t i = 0; i < (size_t)1 << p; i++)
        into[i] = register_join(into[i], from[i]);
}

void registers_join(uint8_t *into, const uint8_t *from, uint32_t p)
{
    /* Below p = 5 there are fewer registers than lanes, and an empty one is too near the rest. */
    if (p >= 5 && __builtin_cpu_supports("avx2"))
        registers_join_avx2(into, from, (size_t)1 << p);
    else
        registers_join_scalar(into, from, p);
}

void registers_downsize(const uint8_t *from, uint32_t p, uint8_t *to, uint32_t to_p)
{
    assert(to_p >= SKETCH_P_MIN && to_p <= p);
    uint32_t dropped = p - to_p;
    for (size_t i = 0; i < (size_t)1 << to_p; i++) {
        const uint8_t *group = from + (i << dropped);
        uint64_t seen = unpack(group[0]); /* its index bits are zeros, and go on with the run */
        /* In the others the index has the first one: it alone gives the rank. */
        for (uint32_t j = 1; j < 1u << dropped; j++)
            if (group[j] != 0) {
                uint32_t zeros = dropped - (32u - (uint32_t)__builtin_clz(j));
                seen |= (uint64_t)1 << (zeros + to_p - 1);
            }
        to[i] = pack(seen);
    }
}

/* What all registers know, summed: see the essay. */
struct evidence {
    double alpha;
    double beta[RANKS];
    uint32_t last; /* the highest rank there is, 65 - p */
};

static double probability(const struct evidence *evidence, uint32_t rank)
{
    return ldexp(1, -(int)(rank < evidence->last ? rank : evidence->last - 1));
}

static void collect(const uint32_t counts[REGISTER_VALUES], uint32_t p, struct evidence *ret)
{
    *ret = (struct evidence){.last = 65 - p, .alpha = counts[0]};
    for (uint32_t value = 4 * (p - 1); value < REGISTER_VALUES; value++) {
        double count = counts[value];
        if (count == 0)
            continue;
        uint32_t rank = (value >> 2) + 2 - p;
        /* Above the rank: all that is left, 2^-rank; nothing above the last. */
        ret->alpha += rank < ret->last ? count * ldexp(1, -(int)rank) : 0;
        ret->beta[rank] += count;
        for (uint32_t below = 1; below <= 2 && below < rank; below++) {
            if ((value >> (2 - below) & 1) != 0)
                ret->beta[rank - below] += count;
            else
                ret->alpha += count * probability(ret, rank - below);
        }
    }
}

/* The derivative of the log-likelihood at x; ret_information: its negative second derivative. */
static double slope(const struct evidence *evidence, double x, double *ret_information)
{
    double first = -evidence->alpha, information = 0;
    for (uint32_t rank = 1; rank <= evidence->last; rank++) {
        if (evidence->beta[rank] == 0)
            continue;
        double rho = probability(evidence, rank), more = expm1(x * rho);
        first += evidence->beta[rank] * rho / more;
        information += evidence->beta[rank] * rho * rho * (1 / more + 1 / more / more);
    }
    *ret_information = information;
    return first;
}

/* The slope falls and is convex, so Newton's steps from the left never pass its root. The start is
 * on the left by Jensen's inequality (O. Ertl, arXiv:1702.01284, section 4.3). */
static double solve(const struct evidence *evidence, double *ret_information)
{
    double seen = 0, weighted = 0;
    for (uint32_t rank = 1; rank <= evidence->last; rank++) {
        seen += evidence->beta[rank];
        weighted += evidence->beta[rank] * probability(evidence, rank);
    }
    double x = weighted <= 1.5 * evidence->alpha
                   ? seen / (0.5 * weighted + evidence->alpha)
                   : log1p(weighted / evidence->alpha) * seen / weighted;
    for (uint32_t step = 0; step < NEWTON_STEPS_MAX; step++) {
        double next = x + slope(evidence, x, ret_information) / *ret_information;
        if (!(next > x)) /* as near as doubles come */
            break;
        x = next;
    }
    return x;
}

static void count_values(const uint8_t *registers, uint32_t p, uint32_t ret[REGISTER_VALUES])
{
    memset(ret, 0, REGISTER_VALUES * sizeof *ret);
    for (size_t i = 0; i < (size_t)1 << p; i++)
        ret[registers[i]]++;
}

void registers_estimate(const uint8_t *registers, uint32_t p, struct registers_estimate *ret)
{
    uint32_t counts[REGISTER_VALUES];
    count_values(registers, p, counts);
    registers_estimate_counted(counts, p, ret);
}

void registers_estimate_counted(const uint32_t counts[REGISTER_VALUES], uint32_t p,
                                struct registers_estimate *ret)
{
    struct evidence evidence;
    double count = ldexp(1, (int)p), information;
    collect(counts, p, &evidence);
    *ret = (struct registers_estimate){0};
    if (evidence.alpha == count) /* all are empty */
        return;
    if (evidence.alpha == 0) { /* all are full: beyond any count there is */
        *ret = (struct registers_estimate){.value = INFINITY, .standard_error = INFINITY};
        return;
    }
    double x = solve(&evidence, &information), correction = 1 + BIAS_CORRECTION / count;
    ret->value = count * x / correction;
    ret->standard_error = count / sqrt(information) / correction;
}

double registers_change_chance(const uint8_t *registers, uint32_t p)
{
    struct evidence evidence;
    uint32_t counts[REGISTER_VALUES];
    count_values(registers, p, counts);
    collect(counts, p, &evidence);
    return evidence.alpha / ldexp(1, (int)p);
}
