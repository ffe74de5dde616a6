/* SPDX-License-Identifier: Apache-2.0 */
/* copy_async.c -- cp.async, at the two ends of what it may do.
 *
 * A copy may land at any moment between its issue and the wait for its group. Late, it lands in
 * the wait: who reads without waiting finds poison. Early, it lands at once: who issues it while
 * others still read the old bytes gives them the new ones. A kernel must be right both ways. TSan
 * is told of a write at both moments. */
#include "copy_async.h"

#include "counted.h"
#include "fiber.h"
#include "sanitizer.h"
#include "settings.h"
#include "sites.h"

#include <stdlib.h>
#include <string.h>

#define COPY_BYTES 16u

static void tell(const struct copy *copy)
{
    if (!tsan_is_linked())
        return;
    __tsan_write_range(copy->to, COPY_BYTES);
    if (copy->from != NULL)
        __tsan_read_range((void *)copy->from, COPY_BYTES);
}

static void land(const struct copy *copy)
{
    tell(copy);
    if (tsan_is_linked()) {
        if (copy->from != NULL)
            raw_copy(copy->to, copy->from, COPY_BYTES);
        else
            raw_fill(copy->to, 0, COPY_BYTES);
        return;
    }
    /* A length that the compiler does not know: the call is made, and ASan sees both ends. */
    volatile size_t bytes = COPY_BYTES;
    if (copy->from != NULL)
        memcpy(copy->to, copy->from, bytes);
    else
        memset(copy->to, 0, bytes);
}

static void make_room(struct copy_queue *queue)
{
    if (queue->count < queue->room)
        return;
    queue->count -= queue->first;
    if (queue->first > 0)
        memmove(queue->copies, queue->copies + queue->first, queue->count * sizeof(struct copy));
    queue->first = 0;
    if (2 * queue->count < queue->room)
        return;
    queue->room = queue->room == 0 ? 32 : 2 * queue->room;
    queue->copies = realloc(queue->copies, queue->room * sizeof *queue->copies);
    if (queue->copies == NULL)
        emulator_fail("no memory for asynchronous copies");
}

void emulator_copy_async(void *shared, const void *from, struct emulator_site site)
{
    if (((uintptr_t)shared | (uintptr_t)from) % COPY_BYTES != 0)
        emulator_fail("%s:%d: an asynchronous copy from %p to %p: both are to be 16-byte aligned",
                      site.file, site.line, from, shared);
    struct copy_queue *queue = &fiber_current()->copies;
    struct copy copy = {shared, from, queue->group};
    if (counted_is_linked() && from != NULL)
        counted_read(from, COPY_BYTES);
    if (settings()->early_copies)
        land(&copy);
    else
        tell(&copy);
    make_room(queue);
    queue->copies[queue->count++] = copy;
}

void emulator_copy_async_commit(void)
{
    fiber_current()->copies.group++;
}

void emulator_copy_async_wait(unsigned pending_max, struct emulator_site site)
{
    if (site_is_skipped(site))
        return;
    struct copy_queue *queue = &fiber_current()->copies;
    bool late = !settings()->early_copies;
    while (queue->first < queue->count) {
        const struct copy *copy = &queue->copies[queue->first];
        if (copy->group + pending_max >= queue->group)
            return;
        if (late)
            land(copy);
        queue->first++;
    }
    queue->first = queue->count = 0;
}

void copy_async_end(struct fiber *fiber)
{
    struct copy_queue *queue = &fiber->copies;
    if (queue->first < queue->count)
        emulator_fail("a thread ends with %u asynchronous copies that it never waited for",
                      queue->count - queue->first);
    queue->first = queue->count = queue->group = 0;
}
