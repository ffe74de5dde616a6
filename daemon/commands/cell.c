/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/commands/cell.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

void cell_name(struct text *out, const char *name, uint32_t most)
{
    size_t left = strlen(name);
    uint32_t drawn = 0;
    while (left > 0 && drawn < most) {
        uint32_t codepoint;
        size_t used = utf8_decode(name, left, &codepoint);
        bool last = drawn + 1 == most && used < left;
        bool plain = codepoint != UINT32_MAX && codepoint >= 0x20 &&
                     !(codepoint >= 0x7f && codepoint < 0xa0) &&
                     !(codepoint >= 0x200b && codepoint <= 0x200f) &&
                     !(codepoint >= 0x2028 && codepoint <= 0x202e) &&
                     !(codepoint >= 0x2066 && codepoint <= 0x2069); /* which turn the line around */
        if (last)
            text_append_char(out, '~');
        else if (plain)
            text_append(out, name, used);
        else
            text_append_char(out, '?');
        name += used;
        left -= used;
        drawn++;
    }
    text_append_format(out, "%*s", (int)(most - drawn), "");
}

/* The largest unit that leaves one or more of it. */
static void write_scaled(double value, double step, const char *const units[5],
                         char ret[CELL_NUMBER_BYTES])
{
    uint32_t unit = 0;
    while (unit < 4 && fabs(value) >= step * 0.9995) {
        value /= step;
        unit++;
    }
    int digits = unit == 0 && value == floor(value) ? 0 : fabs(value) < 99.95 ? 1 : 0;
    (void)snprintf(ret, CELL_NUMBER_BYTES, "%.*f%s", digits, value, units[unit]);
}

static bool is_unknown(double value, char ret[CELL_NUMBER_BYTES])
{
    if (isfinite(value))
        return false;
    memcpy(ret, "-", 2);
    return true;
}

void cell_number(double value, char ret[CELL_NUMBER_BYTES])
{
    static const char *const units[5] = {"", "k", "M", "G", "T"};
    if (is_unknown(value, ret))
        return;
    if (fabs(value) >= 1000 && fabs(value) < 9999.5)
        (void)snprintf(ret, CELL_NUMBER_BYTES, "%.0f", value);
    else
        write_scaled(value, 1000, units, ret);
}

void cell_share(double value, char ret[CELL_NUMBER_BYTES])
{
    if (!is_unknown(value, ret))
        (void)snprintf(ret, CELL_NUMBER_BYTES, "%.0f%%", 100 * value);
}

void cell_seconds(double value, char ret[CELL_NUMBER_BYTES])
{
    if (is_unknown(value, ret))
        return;
    if (value < 0.9995)
        (void)snprintf(ret, CELL_NUMBER_BYTES, "%.*f ms", value < 0.00995 ? 1 : 0, 1000 * value);
    else
        (void)snprintf(ret, CELL_NUMBER_BYTES, "%.*f s", value < 9.995 ? 2 : 0, value);
}

void cell_bytes(double value, char ret[CELL_NUMBER_BYTES])
{
    static const char *const units[5] = {" B", " KiB", " MiB", " GiB", " TiB"};
    if (!is_unknown(value, ret))
        write_scaled(value, 1024, units, ret);
}

void cell_uptime(double seconds, char ret[CELL_NUMBER_BYTES])
{
    if (is_unknown(seconds, ret))
        return;
    unsigned long minutes = seconds > 0 ? (unsigned long)(seconds / 60) : 0;
    if (minutes >= 1440)
        (void)snprintf(ret, CELL_NUMBER_BYTES, "%lud %02lu:%02lu", minutes / 1440,
                       minutes / 60 % 24, minutes % 60);
    else
        (void)snprintf(ret, CELL_NUMBER_BYTES, "%02lu:%02lu", minutes / 60, minutes % 60);
}
