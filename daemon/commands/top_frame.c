/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/commands/top_frame.h"

#include "daemon/commands/cell.h"
#include "policy/alerts/alert_json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS_MAX  12u
#define NAME_LEAST   8u
#define NAME_MOST    40u
#define TENANTS_SEEN 10u
#define RED_BELOW    0.05
#define YELLOW_BELOW 0.25

struct row {
    const char *name, *color; /* color: NULL for none */
    char cells[COLUMNS_MAX][CELL_NUMBER_BYTES];
};

struct grid {
    const char *title; /* of the names */
    const char *const *heads;
    uint32_t columns;
    const struct row *rows;
    uint32_t row_count;
};

static uint32_t widest(const struct grid *grid, uint32_t column)
{
    uint32_t width = (uint32_t)strlen(grid->heads[column]);
    for (uint32_t i = 0; i < grid->row_count; i++) {
        uint32_t own = (uint32_t)strlen(grid->rows[i].cells[column]);
        width = own > width ? own : width;
    }
    return width;
}

/* What columns leave of the terminal, but room for a name there must be. */
static uint32_t name_width(const struct grid *grid, const struct top_look *look)
{
    uint32_t width = (uint32_t)strlen(grid->title), rest = 0;
    width = width < NAME_LEAST ? NAME_LEAST : width;
    for (uint32_t i = 0; i < grid->row_count; i++) {
        uint32_t own = (uint32_t)strnlen(grid->rows[i].name, NAME_MOST);
        width = own > width ? own : width;
    }
    for (uint32_t c = 0; c < grid->columns; c++)
        rest += widest(grid, c) + 2;
    if (look->columns > 0 && width + rest > look->columns)
        width = look->columns > rest + NAME_LEAST ? look->columns - rest : NAME_LEAST;
    return width;
}

/* row NULL: the heads. Cells are ASCII, so that a row may be cut at the terminal's edge. */
static void draw_row(struct text *out, const struct grid *grid, const struct row *row,
                     uint32_t name, const struct top_look *look)
{
    uint32_t used = name;
    const char *color = !look->color ? NULL : row == NULL ? "\033[1m" : row->color;
    if (color != NULL)
        text_append_string(out, color);
    cell_name(out, row == NULL ? grid->title : row->name, name);
    for (uint32_t c = 0; c < grid->columns; c++) {
        uint32_t width = widest(grid, c) + 2;
        if (look->columns > 0 && used + width > look->columns)
            break;
        text_append_format(out, "%*s", (int)width, row == NULL ? grid->heads[c] : row->cells[c]);
        used += width;
    }
    text_append_string(out, color != NULL ? "\033[0m\n" : "\n");
}

static void draw_grid(struct text *out, const struct grid *grid, const struct top_look *look)
{
    uint32_t name = name_width(grid, look);
    text_append_char(out, '\n');
    draw_row(out, grid, NULL, name, look);
    for (uint32_t i = 0; i < grid->row_count; i++)
        draw_row(out, grid, &grid->rows[i], name, look);
}

/* -- The three tables -- */

static void draw_engines(struct text *out, const struct top_view *view, const struct top_look *look,
                         struct row *rows)
{
    static const char *const heads[] = {"STREAMS",  "QUEUE",    "BATCH",    "KV",
                                        "CACHED",   "PROMPT/s", "OUTPUT/s", "TTFT p50",
                                        "TTFT p95", "ITL p50",  "ITL p95"};
    for (uint32_t i = 0; i < view->model_count; i++) {
        const struct top_model *model = &view->models[i];
        struct row *row = &rows[i];
        *row = (struct row){.name = model->name};
        if (model->kv >= 1 - RED_BELOW)
            row->color = "\033[33m";
        cell_number(model->streams, row->cells[0]);
        cell_number(model->queue, row->cells[1]);
        cell_number(model->batch, row->cells[2]);
        cell_share(model->kv, row->cells[3]);
        cell_share(model->hits, row->cells[4]);
        cell_number(model->prompt_rate, row->cells[5]);
        cell_number(model->output_rate, row->cells[6]);
        cell_seconds(model->ttft_p50_s, row->cells[7]);
        cell_seconds(model->ttft_p95_s, row->cells[8]);
        cell_seconds(model->gap_p50_s, row->cells[9]);
        cell_seconds(model->gap_p95_s, row->cells[10]);
    }
    const struct grid grid = {.title = "MODEL",
                              .heads = heads,
                              .columns = sizeof heads / sizeof heads[0],
                              .rows = rows,
                              .row_count = view->model_count};
    draw_grid(out, &grid, look);
}

static void write_users(double users, char ret[CELL_NUMBER_BYTES])
{
    struct text text;
    text_init(&text);
    if (isfinite(users) && users >= 0)
        alert_users(users, &text);
    else
        text_append_char(&text, '-');
    (void)snprintf(ret, CELL_NUMBER_BYTES, "%s", text_string(&text));
    text_destroy(&text);
}

static void write_crossing(const struct top_model *model, char ret[CELL_NUMBER_BYTES])
{
    if (isnan(model->headroom))
        (void)snprintf(ret, CELL_NUMBER_BYTES, "-");
    else if (model->headroom < 0)
        (void)snprintf(ret, CELL_NUMBER_BYTES, "crossed");
    else if (isfinite(model->crossing_days))
        (void)snprintf(ret, CELL_NUMBER_BYTES, "in %.0f days", model->crossing_days);
    else
        (void)snprintf(ret, CELL_NUMBER_BYTES, "not in sight");
}

static void draw_users(struct text *out, const struct top_view *view, const struct top_look *look,
                       struct row *rows)
{
    static const char *const heads[] = {"LOWER", "USERS", "UPPER", "HEADROOM", "CROSSING"};
    for (uint32_t i = 0; i < view->model_count; i++) {
        const struct top_model *model = &view->models[i];
        struct row *row = &rows[i];
        *row = (struct row){.name = model->name};
        if (model->headroom < YELLOW_BELOW)
            row->color = model->headroom < RED_BELOW ? "\033[31m" : "\033[33m";
        write_users(model->users_low, row->cells[0]);
        write_users(model->users, row->cells[1]);
        write_users(model->users_high, row->cells[2]);
        cell_share(model->headroom, row->cells[3]);
        write_crossing(model, row->cells[4]);
    }
    const struct grid grid = {.title = "THIS MONTH",
                              .heads = heads,
                              .columns = sizeof heads / sizeof heads[0],
                              .rows = rows,
                              .row_count = view->model_count};
    draw_grid(out, &grid, look);
}

static void draw_tenants(struct text *out, const struct top_view *view, const struct top_look *look,
                         struct row *rows)
{
    static const char *const heads[] = {"OUTPUT/s", "GENERATED"};
    uint32_t count = view->tenant_count < TENANTS_SEEN ? view->tenant_count : TENANTS_SEEN;
    if (count == 0)
        return;
    for (uint32_t i = 0; i < count; i++) {
        const struct top_tenant *tenant = &view->tenants[i];
        rows[i] = (struct row){.name = tenant->name[0] == '\0' ? "(none)" : tenant->name};
        cell_number(tenant->output_rate, rows[i].cells[0]);
        cell_number(tenant->tokens, rows[i].cells[1]);
    }
    const struct grid grid = {
        .title = "TENANT", .heads = heads, .columns = 2, .rows = rows, .row_count = count};
    draw_grid(out, &grid, look);
    if (view->tenant_count > count)
        text_append_format(out, "... and %u more\n", view->tenant_count - count);
}

/* -- Above them -- */

static void draw_line(struct text *out, const struct text *line, const struct top_look *look)
{
    uint32_t most = (uint32_t)line->count;
    cell_name(out, text_string(line),
              look->columns > 0 && most > look->columns ? look->columns : most);
    text_append_char(out, '\n');
    out->failed = out->failed || line->failed;
}

static void draw_title(struct text *out, const struct top_view *view, const struct top_look *look)
{
    char up[CELL_NUMBER_BYTES], memory[CELL_NUMBER_BYTES], cpu[CELL_NUMBER_BYTES];
    struct text line;
    cell_uptime(view->uptime_s, up);
    cell_bytes(view->resident_bytes, memory);
    cell_number(view->cpu, cpu);
    text_init(&line);
    text_append_format(&line, "weir %s  %s  up %s  %s  %s  %s cores", view->version, look->url, up,
                       view->ready > 0 ? "ready" : "NOT READY", memory, cpu);
    if (view->absent > 0)
        text_append_format(&line, "  %u MODEL%s NOT LOADED", view->absent,
                           view->absent == 1 ? "" : "S");
    if (look->failure != NULL && look->failure[0] != '\0')
        text_append_format(&line, "  OLD FIGURES: %s", look->failure);
    draw_line(out, &line, look);
    text_destroy(&line);
}

static void draw_network(struct text *out, const struct top_view *view, const struct top_look *look)
{
    char connections[CELL_NUMBER_BYTES], open[CELL_NUMBER_BYTES], answers[CELL_NUMBER_BYTES],
        errors[CELL_NUMBER_BYTES];
    struct text line;
    cell_number(view->connections, connections);
    cell_number(view->open_requests, open);
    cell_number(view->answer_rate, answers);
    cell_number(view->error_rate, errors);
    text_init(&line);
    text_append_format(&line, "%s connections  %s requests open  %s answers/s  %s errors/s",
                       connections, open, answers, errors);
    draw_line(out, &line, look);
    text_destroy(&line);
}

/* As many lines as the terminal has, the last of which says that it is not all. */
static void cut(const struct text *all, uint32_t lines, struct text *out)
{
    const char *at = text_string(all);
    uint32_t count = 0;
    for (const char *c = at; *c != '\0'; c++)
        count += *c == '\n';
    if (lines == 0 || count < lines) {
        text_append(out, all->bytes, all->count);
    } else {
        for (uint32_t i = 0; i + 2 < lines; i++)
            at = strchr(at, '\n') + 1;
        text_append(out, all->bytes, (size_t)(at - all->bytes));
        text_append_string(out, "...\n");
    }
    out->failed = out->failed || all->failed;
}

void top_frame(const struct top_view *view, const struct top_look *look, struct text *out)
{
    uint32_t most = TOP_MODELS_MAX > TENANTS_SEEN ? TOP_MODELS_MAX : TENANTS_SEEN;
    struct row *rows = calloc(most, sizeof *rows);
    struct text all;
    if (rows == NULL) {
        out->failed = true;
        return;
    }
    text_init(&all);
    draw_title(&all, view, look);
    draw_network(&all, view, look);
    draw_engines(&all, view, look, rows);
    draw_users(&all, view, look, rows);
    draw_tenants(&all, view, look, rows);
    cut(&all, look->lines, out);
    text_destroy(&all);
    free(rows);
}
