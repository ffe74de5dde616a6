/* SPDX-License-Identifier: Apache-2.0 */
/* shared.h -- the shared memory of the block that a worker runs. */
#ifndef WEIR_EMULATOR_SHARED_H
#define WEIR_EMULATOR_SHARED_H

#include <stddef.h>

#define SHARED_ARRAYS_MAX       64u
#define SHARED_STATIC_BYTES_MAX (48u << 10)

struct launch;

struct shared_array {
    const void *key;
    unsigned char *start;
    size_t bytes;
};

struct shared_memory {
    unsigned char *map;
    const void *function; /* whose arrays these are */
    size_t dynamic_bytes;
    struct shared_array arrays[SHARED_ARRAYS_MAX];
    unsigned array_count;
    size_t used_bytes; /* of the map, red zones counted */
    size_t static_bytes;
};

/* Fresh shared memory for a block: all poison. The dynamic part, which may have no bytes. */
unsigned char *shared_begin(struct shared_memory *shared, const struct launch *launch);

#endif
