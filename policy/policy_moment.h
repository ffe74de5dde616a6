/* SPDX-License-Identifier: Apache-2.0 */
/* policy_moment.h -- when a request came: the days that it counts in, and the years under whose
 * keys it is counted. Pure; any thread. */
#ifndef WEIR_POLICY_POLICY_MOMENT_H
#define WEIR_POLICY_POLICY_MOMENT_H

#include "policy/users/calendar.h"
#include "policy/users/years.h"

#include <stdint.h>

struct policy_moment {
    int64_t now_us; /* Unix */
    uint32_t days[CALENDAR_DAYS_AROUND], day_count;
    uint32_t years[YEARS_MAX], year_count; /* they rise */
};

/* skew_us: as near to midnight both days count. */
struct policy_moment policy_moment(int64_t now_us, int64_t skew_us);

#endif
