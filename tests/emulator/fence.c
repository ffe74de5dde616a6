/* SPDX-License-Identifier: Apache-2.0 */
/* fence.c -- what a fence and an atomic order together.
 *
 * CUDA's atomics order nothing by themselves. In
 *
 *     writer                           reader
 *     partial[block] = sum             old = atomicAdd(&count, 1)
 *     __threadfence()                  if (old is the last) {
 *     atomicAdd(&count, 1)                 __threadfence()
 *                                          total = partial[0] + ... }
 *
 * the reader sees the sums because a fence stands before the writer's atomic and another behind the
 * reader's (PTX manual, release and acquire patterns). TSan is told just that: an atomic publishes
 * at its address what its thread had done by its last fence; a fence takes over what was published
 * at the addresses of the thread's atomics since the fence before. Without either fence TSan sees
 * the race.
 *
 * What a thread had done by its fence is kept in an object of its own. Handing that on to the
 * atomic's address takes a courier, a fiber that knows nothing else: the thread itself knows what
 * it has done since. The courier is made anew each time, while the worker is the one that runs: a
 * new fiber knows what its maker does.
 *
 * On several workers the machine's own fence makes all this true for plain builds. */
#include "block.h"

#include "sanitizer.h"

void emulator_fence(void)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (!tsan_is_linked() || block_current() == NULL)
        return;
    struct fiber *fiber = fiber_current();
    for (unsigned i = 0; i < fiber->observed_count; i++)
        __tsan_acquire((void *)fiber->observed[i]);
    fiber->observed_count = 0;
    __tsan_release(&fiber->fence_order);
    fiber->fenced = true;
}

void emulator_atomic_begin(const void *address)
{
    if (!tsan_is_linked() || block_current() == NULL)
        return;
    struct fiber *fiber = fiber_current();
    if (!fiber->fenced)
        return;
    void *own = fiber->context.tsan;
    __tsan_switch_to_fiber(block_current()->worker.tsan, TSAN_NO_SYNC);
    void *courier = __tsan_create_fiber(0);
    __tsan_switch_to_fiber(courier, TSAN_NO_SYNC);
    __tsan_acquire(&fiber->fence_order);
    __tsan_release((void *)address);
    __tsan_switch_to_fiber(own, TSAN_NO_SYNC);
    __tsan_destroy_fiber(courier);
}

void emulator_atomic_end(const void *address)
{
    if (!tsan_is_linked() || block_current() == NULL)
        return;
    struct fiber *fiber = fiber_current();
    for (unsigned i = 0; i < fiber->observed_count; i++) {
        if (fiber->observed[i] == address)
            return;
    }
    if (fiber->observed_count < FENCED_ATOMICS_MAX)
        fiber->observed[fiber->observed_count++] = address;
}
