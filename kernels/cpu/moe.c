/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/cpu/moe.h"

#include <assert.h>

void cpu_moe_group(const struct moe_route_args *args)
{
    assert(args->experts <= MOE_EXPERTS_MAX);
    uint32_t next[MOE_EXPERTS_MAX] = {0}; /* the place of an expert's next entry */
    const uint32_t entries = args->rows * args->top_k;
    for (uint32_t entry = 0; entry < entries; entry++)
        next[args->chosen[entry]]++;
    uint32_t begin = 0;
    for (uint32_t expert = 0; expert < args->experts; expert++) {
        const uint32_t count = next[expert];
        args->expert_begins[expert] = next[expert] = begin;
        begin += count;
    }
    args->expert_begins[args->experts] = begin;
    for (uint32_t entry = 0; entry < entries; entry++) {
        const uint32_t place = next[args->chosen[entry]]++;
        args->order[place] = entry;
        args->places[entry] = place;
    }
}
