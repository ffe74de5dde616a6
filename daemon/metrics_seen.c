/* SPDX-License-Identifier: Apache-2.0 */
/* metrics_seen.c -- which build runs, and what became of the lines and spans that tell of
 * requests. */
#include "base/build_id.h"
#include "daemon/access_log.h"
#include "daemon/metrics_state.h"
#include "daemon/server.h"
#include "daemon/tracing.h"

static void render_counter(struct text *out, const char *name, const char *help, uint64_t value)
{
    render_family(out, name, "counter", help);
    text_append_format(out, "%s ", name);
    text_append_u64(out, value);
    text_append_char(out, '\n');
}

static void render_build(struct text *out)
{
    char build[BUILD_ID_TEXT_BYTES];
    build_id_read(build);
    render_family(out, "weir_build_info", "gauge", "The version that runs, and which build of it.");
    text_append_format(out, "weir_build_info{version=\"%s\",build_id=\"%s\"} 1\n", WEIR_VERSION,
                       build);
}

void render_seen(const struct server *server, struct text *out)
{
    struct access_log_stats lines;
    struct tracing_stats spans;
    render_build(out);
    tracing_stats(server->tracing, &spans);
    access_log_stats(server->access_log, &lines);
    render_counter(out, "weir_access_log_lines_total", "Lines of the access log, written.",
                   lines.written);
    render_counter(out, "weir_access_log_dropped_total",
                   "Lines of the access log, dropped for a slow or full disk or pipe.",
                   lines.dropped);
    render_counter(out, "weir_trace_spans_exported_total", "Spans that the collector took.",
                   spans.exported);
    render_counter(out, "weir_trace_spans_dropped_total",
                   "Spans dropped for a slow or missing collector.", spans.dropped);
}
