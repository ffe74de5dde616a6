/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/kernels/random_values.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

uint64_t random_next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

float random_float(uint64_t *state, float size)
{
    return ((float)(random_next(state) >> 40) / (float)(1 << 23) - 1.0f) * size;
}

float *random_floats(size_t count, float size, uint64_t seed)
{
    float *floats = malloc(count * sizeof *floats);
    assert(floats != NULL);
    for (size_t i = 0; i < count; i++)
        floats[i] = random_float(&seed, size);
    return floats;
}

float *copy_floats(const float *from, size_t count)
{
    float *floats = malloc(count * sizeof *floats);
    assert(floats != NULL);
    memcpy(floats, from, count * sizeof *floats);
    return floats;
}
