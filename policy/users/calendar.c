/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/users/calendar.h"

#include <assert.h>
#include <string.h>

#define EPOCH_DAYS 719468u /* from 0000-03-01, where years begin here, to 1970-01-01 */
#define ERA_DAYS   146097u /* 400 years */
#define MONTH_1970 (1970u * 12)

struct date {
    uint32_t year, month, day; /* the month from 0, the day from 1 */
};

uint32_t calendar_day(int64_t unix_us)
{
    int64_t day = unix_us < 0 ? 0 : unix_us / CALENDAR_DAY_US;
    return day > (int64_t)CALENDAR_DAY_MAX ? CALENDAR_DAY_MAX : (uint32_t)day;
}

/* Years that begin in March have their odd day last, so that a month's length is one formula (the
 * era arithmetic of H. Hinnant's chrono-compatible date algorithms). */
static struct date date_of(uint32_t day)
{
    uint32_t since = day + EPOCH_DAYS;
    uint32_t era = since / ERA_DAYS, day_of_era = since % ERA_DAYS;
    uint32_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    uint32_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    uint32_t march_month = (5 * day_of_year + 2) / 153; /* 0 is March */
    uint32_t month = march_month < 10 ? march_month + 2 : march_month - 10;
    return (struct date){.year = era * 400 + year_of_era + (month < 2),
                         .month = month,
                         .day = day_of_year - (153 * march_month + 2) / 5 + 1};
}

uint32_t calendar_month(uint32_t day)
{
    struct date date = date_of(day);
    return date.year * 12 + date.month;
}

uint32_t calendar_first_day(uint32_t month)
{
    assert(month >= MONTH_1970);
    uint32_t year = month / 12, march_month = (month % 12 + 10) % 12;
    if (month % 12 < 2)
        year--;
    uint32_t era = year / 400, year_of_era = year % 400;
    uint32_t day_of_year = (153 * march_month + 2) / 5;
    uint32_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * ERA_DAYS + day_of_era - EPOCH_DAYS;
}

uint32_t calendar_last_day(uint32_t month)
{
    return calendar_first_day(month + 1) - 1;
}

uint32_t calendar_days_around(int64_t unix_us, int64_t skew_us, uint32_t ret[CALENDAR_DAYS_AROUND])
{
    assert(skew_us >= 0);
    assert(skew_us < CALENDAR_DAY_US / 2);
    ret[0] = calendar_day(unix_us);
    int64_t into_us = unix_us - (int64_t)ret[0] * CALENDAR_DAY_US;
    if (into_us >= 0 && into_us < skew_us && ret[0] > 0)
        ret[1] = ret[0] - 1;
    else if (into_us < CALENDAR_DAY_US && into_us > CALENDAR_DAY_US - skew_us &&
             ret[0] < CALENDAR_DAY_MAX)
        ret[1] = ret[0] + 1;
    else
        return 1;
    return 2;
}

void calendar_write(uint32_t day, char ret[CALENDAR_TEXT_BYTES])
{
    assert(day <= CALENDAR_DAY_MAX);
    struct date date = date_of(day);
    uint32_t digits = date.year * 10000 + (date.month + 1) * 100 + date.day;
    for (int i = 7; i >= 0; i--, digits /= 10)
        ret[i] = (char)('0' + digits % 10);
    ret[8] = '\0';
}

bool calendar_parse(const char *text, uint32_t *ret)
{
    uint32_t digits = 0;
    for (int i = 0; i < 8; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        digits = digits * 10 + (uint32_t)(text[i] - '0');
    }
    uint32_t year = digits / 10000, month = digits / 100 % 100, day = digits % 100;
    if (year < 1970 || year > 2149 || month < 1 || month > 12 || day < 1)
        return false;
    uint32_t number = calendar_first_day(year * 12 + month - 1) + day - 1;
    if (number > CALENDAR_DAY_MAX || calendar_month(number) != year * 12 + month - 1)
        return false;
    *ret = number;
    return true;
}
