/* SPDX-License-Identifier: Apache-2.0 */
/* sampled_registers.h -- states of sketches of any number of users, without inserting them.
 *
 * A register has seen rank k with probability 1 - exp(-x r(k)), x being users a register and r(k)
 * the probability of the rank: independent of other ranks and registers when the number of users
 * is Poisson. So the state of a sketch of 700 million is drawn in microseconds, as how many of its
 * registers hold each byte. Beside a fixed number of users that is a little more noise: x of a
 * standard error of 1/sqrt(users). The same seed draws the same states. */
#ifndef WEIR_TESTS_POLICY_SAMPLED_REGISTERS_H
#define WEIR_TESTS_POLICY_SAMPLED_REGISTERS_H

#include "policy/users/sketch.h"
#include "policy/users/sketch_registers.h"

#include <stdint.h>

/* SplitMix64 (S. Vigna, public domain), and of it a number in (0, 1). */
uint64_t sampled_word(uint64_t *random);
double sampled_uniform(uint64_t *random);

/* How many registers of 2^p hold each byte. */
void sampled_counts(double users, uint32_t p, uint64_t *random, uint32_t ret[REGISTER_VALUES]);
/* The registers themselves, rank by rank: what the above is held against. Slow. */
void sampled_registers(double users, uint32_t p, uint64_t *random, uint8_t *ret);

/* A sketch's own figures of a state that was drawn. */
void sampled_count(double users, uint32_t p, uint64_t *random, struct sketch_count *ret);

#endif
