/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/license/month.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

#define YEAR_FIRST 2000
#define YEAR_LAST  2199

int32_t month_parse(const char *text)
{
    if (text == NULL || strlen(text) != 7 || text[4] != '-')
        return MONTH_NONE;
    int32_t digits[7];
    for (int i = 0; i < 7; i++) {
        if (i != 4 && (text[i] < '0' || text[i] > '9'))
            return MONTH_NONE;
        digits[i] = text[i] - '0';
    }
    int32_t year = digits[0] * 1000 + digits[1] * 100 + digits[2] * 10 + digits[3];
    int32_t month = digits[5] * 10 + digits[6];
    if (year < YEAR_FIRST || year > YEAR_LAST || month < 1 || month > 12)
        return MONTH_NONE;
    return year * 12 + month - 1;
}

int32_t month_of_unix(int64_t unix_seconds)
{
    struct tm tm;
    time_t seconds = (time_t)unix_seconds;
    if (gmtime_r(&seconds, &tm) == NULL || tm.tm_year < YEAR_FIRST - 1900 ||
        tm.tm_year > YEAR_LAST - 1900)
        return MONTH_NONE;
    return (tm.tm_year + 1900) * 12 + tm.tm_mon;
}

void month_write(int32_t month, char ret[MONTH_TEXT_BYTES])
{
    int32_t year = month / 12, number = month % 12 + 1;
    assert(month >= 0);
    assert(year <= 9999);
    const char text[MONTH_TEXT_BYTES] = {(char)('0' + year / 1000),
                                         (char)('0' + year / 100 % 10),
                                         (char)('0' + year / 10 % 10),
                                         (char)('0' + year % 10),
                                         '-',
                                         (char)('0' + number / 10),
                                         (char)('0' + number % 10),
                                         '\0'};
    memcpy(ret, text, MONTH_TEXT_BYTES);
}
