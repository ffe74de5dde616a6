/* SPDX-License-Identifier: Apache-2.0 */
/* random_values.h -- reproducible numbers for kernel tests. Memory is the caller's to free(). */
#ifndef WEIR_TESTS_UNIT_KERNELS_RANDOM_VALUES_H
#define WEIR_TESTS_UNIT_KERNELS_RANDOM_VALUES_H

#include <stddef.h>
#include <stdint.h>

/* The next of a sequence (Steele, Lea and Flood 2014, SplitMix64). */
uint64_t random_next(uint64_t *state);
/* Uniform in [-size, size]. */
float random_float(uint64_t *state, float size);

float *random_floats(size_t count, float size, uint64_t seed);
float *copy_floats(const float *from, size_t count);

#endif
