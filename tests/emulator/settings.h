/* SPDX-License-Identifier: Apache-2.0 */
/* settings.h -- what the environment asks of the emulator (README.md has the table). */
#ifndef WEIR_EMULATOR_SETTINGS_H
#define WEIR_EMULATOR_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum thread_order { ORDER_FORWARD, ORDER_REVERSE, ORDER_RANDOM };

struct settings {
    unsigned devices;
    unsigned driver; /* its version as CUDA counts, 0 where there is none */
    unsigned sm;     /* compute capability times ten */
    size_t memory_bytes;
    unsigned out_of_memory_at; /* which allocation of device memory fails, from 1; 0 none */
    unsigned lost_at;          /* at which kernel the device is lost, from 1; 0 never */
    bool protect;              /* device memory from the host */
    bool lazy_streams;
    bool early_copies;
    enum thread_order order;
    unsigned seed;
    const char *sites_path;   /* NULL: not told */
    const char *skipped_site; /* FILE:LINE; NULL: none */
    bool watch_sites;         /* either */
    unsigned workers;         /* threads of the machine that run blocks */
};

/* Read from the environment at first use, and again by settings_reload(). A value that is none
 * ends the program. */
const struct settings *settings(void);
void settings_reload(void);

#endif
