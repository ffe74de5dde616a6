/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/users/years.h"

#include "policy/users/calendar.h"

#include <assert.h>

#define NOVEMBER 10u /* of months from 0 */

uint32_t years_of_day(uint32_t day, uint32_t ret[YEARS_MAX])
{
    uint32_t month = calendar_month(day), of_year = month % 12;
    ret[0] = month / 12;
    if (of_year < NOVEMBER || (of_year == NOVEMBER && day != calendar_last_day(month)))
        return 1;
    ret[1] = ret[0] + 1;
    return 2;
}

uint32_t years_of_window(enum usage_window window, uint32_t day)
{
    assert((uint32_t)window < USAGE_WINDOW_COUNT);
    uint32_t month = calendar_month(day);
    return (window == USAGE_WINDOW_MONTH ? month + 1 : month) / 12;
}
