/* SPDX-License-Identifier: Apache-2.0 */
/* emulator_traffic.h -- what kernels read and write of device memory, counted.
 *
 * Only in a counted build (counted/traffic.c): kernels are compiled with -fsanitize=thread, and
 * that file is linked in place of ThreadSanitizer. */
#ifndef WEIR_EMULATOR_TRAFFIC_H
#define WEIR_EMULATOR_TRAFFIC_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A sector is what a device moves at least: 32 bytes, aligned. */
#define EMULATOR_SECTOR_BYTES 32u

struct emulator_traffic {
    const char *kernel; /* as its launch wrote it */
    unsigned launches;
    /* What threads asked for, each for itself. */
    uint64_t read_bytes, written_bytes;
    /* Sectors touched, once a launch however often: what must come from memory and go there when
     * the cache holds the rest. */
    uint64_t read_sectors, written_sectors;
};

/* One entry a kernel, in the order of their first launches; how many there are. */
unsigned emulator_traffic_read(struct emulator_traffic *entries, unsigned max);
/* Counts from nothing. */
void emulator_traffic_reset(void);

#ifdef __cplusplus
}
#endif

#endif
