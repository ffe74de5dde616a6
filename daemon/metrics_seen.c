/* SPDX-License-Identifier: Apache-2.0 */
/* metrics_seen.c -- what became of the lines that tell of requests. */
#include "daemon/access_log.h"
#include "daemon/metrics_state.h"
#include "daemon/server.h"

static void render_counter(struct text *out, const char *name, const char *help, uint64_t value)
{
    render_family(out, name, "counter", help);
    text_append_format(out, "%s ", name);
    text_append_u64(out, value);
    text_append_char(out, '\n');
}

void render_seen(const struct server *server, struct text *out)
{
    struct access_log_stats lines;
    access_log_stats(server->access_log, &lines);
    render_counter(out, "weir_access_log_lines_total", "Lines of the access log, written.",
                   lines.written);
    render_counter(out, "weir_access_log_dropped_total",
                   "Lines of the access log, dropped for a slow or full disk or pipe.",
                   lines.dropped);
}
