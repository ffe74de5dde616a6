/* SPDX-License-Identifier: Apache-2.0 */
/* years.h -- under which years' keys a day is counted, and which year answers a window. Pure; any
 * thread.
 *
 * Hashes of two years have nothing in common, so a window needs one year under which all of its
 * days were counted, the days at a month's edges included. A day is counted under its own year; so
 * that windows may reach back over the turn of a year, its last days are under the next as well:
 *
 *     2026-                  30 Nov   1 Dec            31 Dec   1 Jan            30 Jan   31 Jan
 *     under 2026   ... =========================================
 *     under 2027           =======================================================================
 *     December's month     [edge]  [ ..................... ]  [edge]                      of 2027
 *     31 days to 1 January          2 Dec [ .......................]                      of 2027
 *     31 days to 31 December       [ ..................... ]                              of 2026
 *     January's month                                [edge]   [ .........................  of 2027
 *
 * A window is answered under the year of the last day that it reads. That is one day later than the
 * month's end for a month, whose edge is read: so December is answered under the year that begins
 * after it, and the 1st of January needs no hash under the year that is over. What reaches back
 * farthest, December's edge, sets the first day of two years: 30 November. */
#ifndef WEIR_POLICY_USERS_YEARS_H
#define WEIR_POLICY_USERS_YEARS_H

#include "policy/users/usage_figures.h"

#include <stdint.h>

#define YEARS_MAX 2u

/* They rise. At most two, and of the days around one midnight at most two in all, so that a year's
 * parity tells it from the other. */
uint32_t years_of_day(uint32_t day, uint32_t ret[YEARS_MAX]);
/* day: the window's last; of a month any day in it. */
uint32_t years_of_window(enum usage_window window, uint32_t day);

#endif
