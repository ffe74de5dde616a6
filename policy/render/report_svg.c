/* SPDX-License-Identifier: Apache-2.0 */
/* report_svg.c -- the charts of a report, as figures that a printer and a screen both take.
 *
 *     band     lower to upper, the area between what is certain and what cannot be excluded
 *     curve    best
 *     dashes   the nearest line of a licence, when it is at most LINE_HEADROOM times the figures
 *
 * A line far above would press the curve flat against the ground; then words say how far it is.
 * Colours are classes of the page's style sheet: presentation attributes stay out of the file. */
#include "policy/render/plain.h"
#include "policy/render/report_view.h"

#define WIDTH         760.0
#define HEIGHT        250.0
#define LEFT          104.0
#define RIGHT         20.0
#define TOP           22.0
#define BOTTOM        30.0
#define LINE_HEADROOM 4u
#define TICKS_ABOUT   4u

struct chart {
    struct text *out;
    const struct report_month *month;
    uint64_t top; /* of the scale, a multiple of step */
    uint64_t step;
    uint32_t days; /* of the scale */
};

static double x_of(const struct chart *chart, uint32_t day)
{
    return LEFT + (WIDTH - LEFT - RIGHT) * (day - 1) / (double)(chart->days - 1);
}

static double y_of(const struct chart *chart, uint64_t users)
{
    double share = (double)users / (double)chart->top;
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (share > 1 ? 1 : share);
}

/* 1, 2 or 5 times a power of ten, so that about TICKS_ABOUT of it reach the most. */
static uint64_t step_for(uint64_t most)
{
    static const uint64_t factors[] = {1, 2, 5};
    for (uint64_t power = 1; power <= REPORT_USERS_MAX; power *= 10)
        for (int i = 0; i < 3; i++)
            if (power * factors[i] * TICKS_ABOUT >= most)
                return power * factors[i];
    return REPORT_USERS_MAX;
}

static void append_number(struct text *out, double x, double y, const char *class, uint64_t value)
{
    text_append_format(out, "<text class=\"%s\" x=\"%.1f\" y=\"%.1f\">", class, x, y);
    plain_number(out, value);
    text_append_string(out, "</text>");
}

static void append_grid(const struct chart *chart)
{
    for (uint64_t users = 0; users <= chart->top; users += chart->step) {
        double y = y_of(chart, users);
        text_append_format(chart->out, "<path class=\"grid\" d=\"M%.1f %.1fH%.1f\"/>", LEFT, y,
                           WIDTH - RIGHT);
        append_number(chart->out, LEFT - 10, y + 4, "tick end", users);
    }
    for (uint32_t day = 1; day <= chart->days; day += day == 1 ? 4 : 5) {
        text_append_format(chart->out, "<text class=\"tick mid\" x=\"%.1f\" y=\"%.1f\">%u</text>",
                           x_of(chart, day), HEIGHT - 8, day);
    }
}

static void append_band(const struct chart *chart)
{
    const struct report_month *month = chart->month;
    text_append_string(chart->out, "<path class=\"band\" d=\"");
    for (uint32_t i = 0; i < month->day_count; i++)
        text_append_format(chart->out, "%c%.1f %.1f", i == 0 ? 'M' : 'L',
                           x_of(chart, month->daily[i].day), y_of(chart, month->daily[i].upper));
    for (uint32_t i = month->day_count; i-- > 0;)
        text_append_format(chart->out, "L%.1f %.1f", x_of(chart, month->daily[i].day),
                           y_of(chart, month->daily[i].lower));
    text_append_string(chart->out, "Z\"/><path class=\"best\" d=\"");
    for (uint32_t i = 0; i < month->day_count; i++)
        text_append_format(chart->out, "%c%.1f %.1f", i == 0 ? 'M' : 'L',
                           x_of(chart, month->daily[i].day), y_of(chart, month->daily[i].best));
    const struct report_day *last = &month->daily[month->day_count - 1];
    text_append_format(chart->out, "\"/><circle class=\"dot\" cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\"/>",
                       x_of(chart, last->day), y_of(chart, last->best));
}

static void append_line(const struct chart *chart, uint64_t line)
{
    double y = y_of(chart, line);
    text_append_format(chart->out, "<path class=\"line\" d=\"M%.1f %.1fH%.1f\"/>", LEFT, y,
                       WIDTH - RIGHT);
    text_append_format(chart->out, "<text class=\"mark\" x=\"%.1f\" y=\"%.1f\">line: ", LEFT + 6,
                       y - 6);
    plain_number(chart->out, line);
    text_append_string(chart->out, "</text>");
}

/* The lowest of the lines; 0 for none. */
static uint64_t nearest(const struct report_held *held, uint32_t count)
{
    uint64_t line = 0;
    for (uint32_t i = 0; i < count; i++)
        if (line == 0 || held[i].line->value < line)
            line = held[i].line->value;
    return line;
}

void report_svg_days(const struct report_month *month, const struct report_held *held,
                     uint32_t held_count, struct text *out)
{
    uint64_t most = month->best.users, line = nearest(held, held_count);
    if (month->day_count == 0)
        return;
    for (uint32_t i = 0; i < month->day_count; i++) {
        const struct report_day *day = &month->daily[i];
        uint64_t high = day->best > day->upper ? day->best : day->upper;
        most = high > most ? high : most;
    }
    bool shows_line = line > 0 && line / LINE_HEADROOM <= most;
    if (shows_line && line + line / 12 > most)
        most = line + line / 12; /* room for its name */
    struct chart chart = {
        .out = out, .month = month, .step = step_for(most), .days = report_days_in(month->month)};
    chart.top = (most / chart.step + (most % chart.step != 0)) * chart.step;
    if (chart.top == 0)
        chart.top = chart.step;
    text_append_format(out,
                       "<figure><svg viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-label=\"Users of "
                       "the month up to each day\">",
                       WIDTH, HEIGHT);
    append_grid(&chart);
    append_band(&chart);
    if (shows_line)
        append_line(&chart, line);
    text_append_string(out, "</svg><figcaption><i class=\"key curve\"></i>best"
                            "<i class=\"key area\"></i>lower to upper");
    if (shows_line)
        text_append_string(out, "<i class=\"key dash\"></i>nearest line");
    text_append_string(out, "<span>Users of the month up to the end of each day (UTC).");
    if (line > 0 && !shows_line) {
        text_append_string(out, " The nearest line, ");
        plain_number(out, line);
        text_append_string(out, ", lies above this chart.");
    }
    text_append_string(out, "</span></figcaption></figure>");
}

/* -- A share -- */

#define BAR_WIDTH  760.0
#define BAR_HEIGHT 34.0
#define BAR_TOP    6.0
#define BAR_SIZE   14.0

static double bar_x(uint64_t users, double scale)
{
    double x = (double)users / scale * BAR_WIDTH;
    return x > BAR_WIDTH ? BAR_WIDTH : x;
}

static void append_quarter(struct text *out, uint64_t line, double scale, uint32_t percent)
{
    double x = bar_x(line, scale) * percent / 100;
    text_append_format(out,
                       "<path class=\"quarter\" d=\"M%.1f %.1fv%.1f\"/><text class=\"tick %s\" "
                       "x=\"%.1f\" y=\"%.1f\">%u%%</text>",
                       x, BAR_TOP - 2, BAR_SIZE + 4, percent == 100 ? "end" : "mid", x,
                       BAR_HEIGHT - 2, percent);
}

void report_svg_share(const struct report_month *month, const struct report_held *held,
                      struct text *out)
{
    uint64_t line = held->line->value, upper = month->upper.high;
    double scale = (double)(upper > line ? upper : line);
    if (scale <= 0)
        return;
    double low = bar_x(month->lower.low, scale), high = bar_x(upper, scale);
    text_append_format(out,
                       "<svg class=\"share\" viewBox=\"0 0 %.0f %.0f\" role=\"img\" "
                       "aria-label=\"Share of the line\"><rect class=\"ground\" x=\"0\" y=\"%.1f\" "
                       "width=\"%.1f\" height=\"%.1f\" rx=\"3\"/>",
                       BAR_WIDTH, BAR_HEIGHT, BAR_TOP, BAR_WIDTH, BAR_SIZE);
    text_append_format(out,
                       "<rect class=\"sure\" x=\"0\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>"
                       "<rect class=\"maybe\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" "
                       "height=\"%.1f\"/>",
                       BAR_TOP, low, BAR_SIZE, low, BAR_TOP, high - low, BAR_SIZE);
    text_append_format(out, "<path class=\"needle\" d=\"M%.1f %.1fv%.1f\"/>",
                       bar_x(month->best.users, scale), BAR_TOP - 3, BAR_SIZE + 6);
    for (uint32_t percent = 50; percent <= 100; percent += 25)
        append_quarter(out, line, scale, percent);
    text_append_string(out, "</svg>");
}
