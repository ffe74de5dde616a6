/* SPDX-License-Identifier: Apache-2.0 */
/* copy_async.h -- the copies that a thread has under way. */
#ifndef WEIR_EMULATOR_COPY_ASYNC_H
#define WEIR_EMULATOR_COPY_ASYNC_H

struct copy {
    void *to;
    const void *from; /* NULL: zeros */
    unsigned group;
};

/* Copies in the order of their issue; groups are numbered from 0 for each block. */
struct copy_queue {
    struct copy *copies;
    unsigned first, count, room;
    unsigned group; /* the open one: as many are committed */
};

struct fiber;
/* A thread that ends with copies under way is a fault: shared memory may be another block's by the
 * time that they land. */
void copy_async_end(struct fiber *fiber);

#endif
