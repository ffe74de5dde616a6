/* SPDX-License-Identifier: Apache-2.0 */
/* top_frame.h -- from two scrapes of a daemon to what `weir top` shows, and its drawing. Pure. */
#ifndef WEIR_DAEMON_COMMANDS_TOP_FRAME_H
#define WEIR_DAEMON_COMMANDS_TOP_FRAME_H

#include "base/text.h"
#include "daemon/commands/exposition.h"

#include <stdbool.h>
#include <stdint.h>

#define TOP_MODELS_MAX  64u
#define TOP_TENANTS_MAX 256u

/* What is not known, or was not asked for in the interval, is NAN. Rates are by second. */
struct top_model {
    char name[EXPOSITION_LABEL_BYTES];
    double streams, queue; /* sequences that run; generations that wait */
    double batch;          /* rows of a forward pass, on the interval's average */
    double kv, hits;       /* shares: KV blocks in use, prompt tokens found in the cache */
    double prompt_rate, output_rate;
    double ttft_p50_s, ttft_p95_s, gap_p50_s, gap_p95_s;
    double users_low, users, users_high; /* of the calendar month */
    double headroom;                     /* of its nearest licence line: 1 is all of it */
    double crossing_days;                /* early edge; NAN: not in sight, or no line */
};

struct top_tenant {
    char name[EXPOSITION_LABEL_BYTES];
    double tokens, output_rate; /* generated: since the start, now */
};

struct top_view {
    char version[EXPOSITION_LABEL_BYTES];
    double ready, connections, open_requests;
    uint32_t absent;                      /* models that did not load yet */
    double answer_rate, error_rate;       /* all; of 500 and more */
    double uptime_s, resident_bytes, cpu; /* cpu: cores in use */
    struct top_model models[TOP_MODELS_MAX];
    uint32_t model_count;
    struct top_tenant tenants[TOP_TENANTS_MAX]; /* most generated first */
    uint32_t tenant_count;
};

/* before: NULL, or seconds earlier; without it rates are NAN and quantiles those since the start.
 * A daemon that was started anew in between counts from 0. */
void top_view_read(const struct exposition *before, const struct exposition *now, double seconds,
                   double now_unix_s, struct top_view *ret);

struct top_look {
    uint32_t columns, lines; /* of the terminal; 0: without bounds */
    bool color;
    const char *url;
    const char *failure; /* the newest question failed so; NULL or "": it did not */
};
/* Rows ended by "\n". Names come from afar: what of them a terminal might obey is '?'. */
void top_frame(const struct top_view *view, const struct top_look *look, struct text *out);

#endif
