/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/users/guards.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>

uint32_t guards_enter(struct guards *guards)
{
    static_assert(GUARDS_COUNT == 16, "four bits");
    uint64_t thread = (uint64_t)pthread_self() * UINT64_C(0x9e3779b97f4a7c15);
    uint32_t guard = (uint32_t)(thread >> 60);
    /* Sequentially consistent, like the swap: either we are seen inside, or we see the new one. */
    atomic_fetch_add(&guards->each[guard].inside, 1);
    return guard;
}

void guards_leave(struct guards *guards, uint32_t guard)
{
    assert(guard < GUARDS_COUNT);
    atomic_fetch_sub_explicit(&guards->each[guard].inside, 1, memory_order_release);
}

bool guards_rested(struct guards *guards, uint32_t *rested)
{
    for (uint32_t i = 0; i < GUARDS_COUNT; i++)
        if (atomic_load(&guards->each[i].inside) == 0)
            *rested |= 1u << i;
    return *rested == (1u << GUARDS_COUNT) - 1;
}
