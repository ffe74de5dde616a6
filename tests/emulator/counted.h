/* SPDX-License-Identifier: Apache-2.0 */
/* counted.h -- what the engine tells a counted build (counted/traffic.c); elsewhere no one. */
#ifndef WEIR_EMULATOR_COUNTED_H
#define WEIR_EMULATOR_COUNTED_H

#include "launch.h"
#include "sanitizer.h"

EMULATOR_WEAK void counted_begin(const struct launch *launch);
EMULATOR_WEAK void counted_end(void);
/* A kernel reads in the engine's words. */
EMULATOR_WEAK void counted_read(const void *start, size_t bytes);

static inline bool counted_is_linked(void)
{
    return counted_begin != NULL;
}

#endif
