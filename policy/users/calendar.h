/* SPDX-License-Identifier: Apache-2.0 */
/* calendar.h -- days of UTC as numbers since 1970-01-01, and the months that they lie in, numbered
 * as in license/month.h. Pure; any thread: the C library's calendar takes a lock. */
#ifndef WEIR_POLICY_USERS_CALENDAR_H
#define WEIR_POLICY_USERS_CALENDAR_H

#include <stdbool.h>
#include <stdint.h>

#define CALENDAR_DAY_MAX    65535u /* 2149-06-06: a day fits 16 bits */
#define CALENDAR_DAY_US     INT64_C(86400000000)
#define CALENDAR_TEXT_BYTES 9

/* A clock before 1970 is not set, and one past the last day is broken: the nearest day then. */
uint32_t calendar_day(int64_t unix_us);
uint32_t calendar_month(uint32_t day);       /* year * 12 + month - 1 */
uint32_t calendar_first_day(uint32_t month); /* month: 1970-01 or later */
uint32_t calendar_last_day(uint32_t month);

/* The day, and the one beside it whose midnight is less than skew_us away: clocks are never quite
 * right. Returns how many, 1 or 2; the time's own is the first. skew_us: below half a day. */
#define CALENDAR_DAYS_AROUND 2u
uint32_t calendar_days_around(int64_t unix_us, int64_t skew_us, uint32_t ret[CALENDAR_DAYS_AROUND]);

void calendar_write(uint32_t day, char ret[CALENDAR_TEXT_BYTES]); /* "20261130" */
/* False when the first eight characters are no day that calendar_write() would write. */
bool calendar_parse(const char *text, uint32_t *ret);

#endif
