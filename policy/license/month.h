/* SPDX-License-Identifier: Apache-2.0 */
/* month.h -- calendar months of UTC as numbers, year * 12 + month - 1, to be compared and counted.
 * Pure; any thread. */
#ifndef WEIR_POLICY_LICENSE_MONTH_H
#define WEIR_POLICY_LICENSE_MONTH_H

#include <stdint.h>

#define MONTH_NONE       (-1)
#define MONTH_TEXT_BYTES 8

/* "2026-10", years 2000 to 2199; MONTH_NONE for anything else, NULL included. */
int32_t month_parse(const char *text);
/* MONTH_NONE for a time that the calendar of month_parse() does not hold. */
int32_t month_of_unix(int64_t unix_seconds);
/* month: not MONTH_NONE. */
void month_write(int32_t month, char ret[MONTH_TEXT_BYTES]);

#endif
