/* SPDX-License-Identifier: Apache-2.0 */
/* clock.h -- the two clocks. Only threads' loops read them; logic takes the time as an argument,
 * so that tests own it. Any thread. */
#ifndef WEIR_BASE_CLOCK_H
#define WEIR_BASE_CLOCK_H

#include <stdint.h>

uint64_t clock_monotonic_us(void); /* microseconds since some fixed moment; never goes back */
int64_t clock_unix_us(void);       /* microseconds since 1970-01-01 UTC; may jump */

#endif
