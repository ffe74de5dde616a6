/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/policy_moment.h"

struct policy_moment policy_moment(int64_t now_us, int64_t skew_us)
{
    struct policy_moment moment = {.now_us = now_us};
    moment.day_count = calendar_days_around(now_us, skew_us, moment.days);
    moment.year_count = years_of_day(moment.days[0], moment.years);
    /* Of the two days at a midnight one has all years of the other. */
    if (moment.day_count == 2 && moment.year_count == 1)
        moment.year_count = years_of_day(moment.days[1], moment.years);
    return moment;
}
