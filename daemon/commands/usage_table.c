/* SPDX-License-Identifier: Apache-2.0 */
/* usage_table.c -- one row a group: who they are, how many, and the nearest line that they have.
 *
 *     organisation       90,112  120,345  131,002  700,000,000  100.0%  not in sight            98%
 *     model  kimi-k2.5   90,112  ...               100,000,000   99.9%  2027-03-01..2027-05-11  98%
 *
 * Widths are those of what is in a column, so that numbers stand below each other; what is left of
 * the terminal is the name's. Drawn bytes are UTF-8, and a character is taken to be one column
 * wide: a name in a script of wide ones pushes its row to the right, no more. */
#include "daemon/commands/usage.h"

#include "daemon/commands/cell.h"
#include "policy/alerts/alert_json.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define ROWS_MAX     4096u
#define CELL_BYTES   48u
#define NAME_LEAST   25u
#define NAME_MOST    64u
#define RED_BELOW    0.05
#define YELLOW_BELOW 0.25

enum column { LOWER, BEST, UPPER, THRESHOLD, HEADROOM, CROSSING, COVERAGE, COLUMNS };
static const char *const heads[COLUMNS] = {"LOWER",    "BEST",     "UPPER",   "THRESHOLD",
                                           "HEADROOM", "CROSSING", "COVERAGE"};

static const char doubt[] = "* upper is over 1.2 times lower: identities do not suffice";

struct row {
    char cells[COLUMNS][CELL_BYTES];
    double headroom; /* NAN where there is no line */
    bool insufficient;
};

static const char *string_at(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value == NULL ? "" : value;
}

static double number_at(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static void write_users(char cell[CELL_BYTES], double users)
{
    struct text text;
    text_init(&text);
    if (isfinite(users) && users >= 0)
        alert_users(users, &text);
    else
        text_append_string(&text, "?");
    (void)snprintf(cell, CELL_BYTES, "%s", text_string(&text));
    text_destroy(&text);
}

/* "2027-03-01..2027-05-11"; a date of the server's is ten characters or none. */
static void write_crossing(char cell[CELL_BYTES], const json_t *line)
{
    const char *early = string_at(line, "crossing_days_early_date");
    const char *late = string_at(line, "crossing_days_late_date");
    if (number_at(line, "headroom_ratio") < 0)
        (void)snprintf(cell, CELL_BYTES, "crossed");
    else if (strlen(early) == 10)
        (void)snprintf(cell, CELL_BYTES, "%.10s..%.10s", early, strlen(late) == 10 ? late : "");
    else if (strcmp(string_at(line, "crossing_days_early"), "never") == 0)
        (void)snprintf(cell, CELL_BYTES, "not in sight");
    else
        (void)snprintf(cell, CELL_BYTES, "unknown yet");
    for (char *at = cell; *at != '\0'; at++)
        if (*at < ' ' || *at > '~')
            *at = '?';
}

/* Of the lines that are the group's, the one that is nearest; NULL for none. */
static const json_t *nearest(const json_t *usage, const char *kind, const char *name)
{
    const json_t *found = NULL, *line;
    size_t i;
    json_array_foreach(json_object_get(usage, "lines"), i, line)
    {
        bool own = strcmp(kind, string_at(line, "kind")) == 0 &&
                   strcmp(name, string_at(line, "name")) == 0;
        own = own || (strcmp(kind, "model") == 0 && strcmp(name, string_at(line, "model")) == 0);
        if (own && (found == NULL ||
                    number_at(line, "headroom_ratio") < number_at(found, "headroom_ratio")))
            found = line;
    }
    return found;
}

static void fill_row(const json_t *usage, const json_t *group, struct row *row)
{
    const json_t *month = json_object_get(json_object_get(group, "windows"), "month");
    const json_t *line = nearest(usage, string_at(group, "kind"), string_at(group, "name"));
    memset(row, 0, sizeof *row);
    write_users(row->cells[LOWER], number_at(json_object_get(month, "lower"), "low"));
    write_users(row->cells[BEST], number_at(json_object_get(month, "best"), "users"));
    write_users(row->cells[UPPER], number_at(json_object_get(month, "upper"), "high"));
    row->insufficient = json_is_true(json_object_get(month, "identity_insufficient"));
    double coverage = number_at(month, "coverage");
    if (isfinite(coverage))
        (void)snprintf(row->cells[COVERAGE], CELL_BYTES, "%.1f%%%s", 100 * fmin(coverage, 1),
                       row->insufficient ? "*" : " ");
    row->headroom = line == NULL ? NAN : number_at(line, "headroom_ratio");
    if (line == NULL || !isfinite(row->headroom)) {
        for (int c = THRESHOLD; c <= CROSSING; c++)
            (void)snprintf(row->cells[c], CELL_BYTES, "-");
        return;
    }
    write_users(row->cells[THRESHOLD], number_at(line, "threshold"));
    (void)snprintf(row->cells[HEADROOM], CELL_BYTES, "%.1f%%", 100 * fmax(row->headroom, -99));
    write_crossing(row->cells[CROSSING], line);
}

struct layout {
    uint32_t name, widths[COLUMNS];
};

static void widen(struct layout *layout, const struct row *row)
{
    for (int c = 0; c < COLUMNS; c++) {
        uint32_t width = (uint32_t)strlen(row->cells[c]);
        layout->widths[c] = width > layout->widths[c] ? width : layout->widths[c];
    }
}

static void measure(const json_t *usage, const struct usage_look *look, struct layout *layout)
{
    const json_t *group;
    struct row row;
    size_t i;
    uint32_t fixed = 0;
    *layout = (struct layout){.name = NAME_LEAST};
    for (int c = 0; c < COLUMNS; c++)
        layout->widths[c] = (uint32_t)strlen(heads[c]);
    json_array_foreach(json_object_get(usage, "groups"), i, group)
    {
        uint32_t name = 13 + (uint32_t)strnlen(string_at(group, "name"), NAME_MOST);
        layout->name = name > layout->name ? name : layout->name;
        fill_row(usage, group, &row);
        widen(layout, &row);
    }
    for (int c = 0; c < COLUMNS; c++)
        fixed += layout->widths[c] + 2;
    if (look->columns > 0 && fixed + layout->name > look->columns)
        layout->name = look->columns > fixed + NAME_LEAST ? look->columns - fixed : NAME_LEAST;
}

static const char *color_of(const struct row *row)
{
    if (!isfinite(row->headroom) || row->headroom >= YELLOW_BELOW)
        return NULL;
    return row->headroom < RED_BELOW ? "\033[31m" : "\033[33m";
}

/* Cells of ASCII, so that a row may be cut at the terminal's edge by bytes. */
static void append_cells(struct text *out, const char *const cells[COLUMNS],
                         const struct layout *layout, uint32_t columns)
{
    uint32_t used = layout->name;
    for (int c = 0; c < COLUMNS; c++) {
        uint32_t width = layout->widths[c] + 2;
        if (columns > 0 && used + width > columns)
            break;
        text_append_format(out, "%*s", (int)width, cells[c]);
        used += width;
    }
}

static void append_heads(struct text *out, const struct layout *layout,
                         const struct usage_look *look)
{
    if (look->color)
        text_append_string(out, "\033[1m");
    cell_name(out, "WHO", layout->name);
    append_cells(out, heads, layout, look->columns);
    text_append_string(out, look->color ? "\033[0m\n" : "\n");
}

static void append_row(struct text *out, const json_t *group, const struct row *row,
                       const struct layout *layout, const struct usage_look *look)
{
    const char *cells[COLUMNS], *color = look->color ? color_of(row) : NULL;
    char kind[16];
    for (int c = 0; c < COLUMNS; c++)
        cells[c] = row->cells[c];
    if (color != NULL)
        text_append_string(out, color);
    (void)snprintf(kind, sizeof kind, "%s", string_at(group, "kind"));
    cell_name(out, kind, 13);
    cell_name(out, string_at(group, "name"), layout->name - 13);
    append_cells(out, cells, layout, look->columns);
    text_append_string(out, color != NULL ? "\033[0m\n" : "\n");
}

static void append_title(struct text *out, const json_t *usage, const struct usage_look *look)
{
    const json_t *messages = json_object_get(usage, "messages");
    struct text line;
    text_init(&line);
    text_append_format(&line, "weir %s  month %s (UTC)", string_at(usage, "version"),
                       string_at(usage, "month"));
    if (number_at(usage, "stale_seconds") > 0)
        text_append_format(&line, "  fleet view %.0f s old", number_at(usage, "stale_seconds"));
    if (number_at(usage, "unsaved") > 0)
        text_append_format(&line, "  %.0f not on disk yet", number_at(usage, "unsaved"));
    if (number_at(messages, "pending") > 0)
        text_append_format(&line, "  %.0f alerts on their way", number_at(messages, "pending"));
    if (number_at(messages, "dead") > 0)
        text_append_format(&line, "  %.0f alerts that nobody took", number_at(messages, "dead"));
    if (look->failure != NULL && look->failure[0] != '\0')
        text_append_format(&line, "  OLD FIGURES: %s", look->failure);
    uint32_t most = (uint32_t)line.count;
    cell_name(out, text_string(&line),
              look->columns > 0 && most > look->columns ? look->columns : most);
    text_append_char(out, '\n');
    out->failed = out->failed || line.failed;
    text_destroy(&line);
}

void usage_table(const json_t *usage, const struct usage_look *look, struct text *out)
{
    const json_t *groups = json_object_get(usage, "groups"), *group;
    struct layout layout;
    struct row row;
    size_t i;
    uint32_t room = look->lines > 4 ? look->lines - 4 : look->lines > 0 ? 1 : ROWS_MAX;
    bool insufficient = false;
    measure(usage, look, &layout);
    append_title(out, usage, look);
    append_heads(out, &layout, look);
    json_array_foreach(groups, i, group)
    {
        if (i >= room)
            break;
        fill_row(usage, group, &row);
        append_row(out, group, &row, &layout, look);
        insufficient = insufficient || row.insufficient;
    }
    if (json_array_size(groups) > i)
        text_append_format(out, "... and %zu more\n", json_array_size(groups) - i);
    if (!insufficient)
        return;
    uint32_t most = sizeof doubt - 1;
    cell_name(out, doubt, look->columns > 0 && most > look->columns ? look->columns : most);
    text_append_char(out, '\n');
}
