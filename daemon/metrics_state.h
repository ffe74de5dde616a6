/* SPDX-License-Identifier: Apache-2.0 */
/* metrics_state.h -- what metrics.c records and metrics_render.c shows. Internal to metrics*.c. */
#ifndef WEIR_DAEMON_METRICS_STATE_H
#define WEIR_DAEMON_METRICS_STATE_H

#include "daemon/api/auth.h"
#include "daemon/histogram.h"
#include "daemon/metrics.h"
#include "daemon/tenant_names.h"
#include "policy/policy_lines.h"
#include "policy/policy_users.h"

#include <stdbool.h>

enum model_histogram {
    HISTOGRAM_TTFT,
    HISTOGRAM_INTER_TOKEN,
    HISTOGRAM_TIME_PER_TOKEN,
    HISTOGRAM_E2E,
    HISTOGRAM_QUEUE,
    HISTOGRAM_INFERENCE,
    HISTOGRAM_PREFILL,
    HISTOGRAM_DECODE,
    HISTOGRAM_PROMPT,
    HISTOGRAM_COMPUTED,
    HISTOGRAM_GENERATION,
    HISTOGRAM_LONGEST,
    HISTOGRAM_MAX_TOKENS,
    HISTOGRAM_CHOICES,
    HISTOGRAM_COUNT
};

struct histogram_family {
    const char *name, *help;
    const struct histogram_shape *shape;
    bool up_to_context; /* buckets above the model's context are not shown */
};
extern const struct histogram_family histogram_families[HISTOGRAM_COUNT];
extern const struct histogram_shape http_duration_shape;

#define FINISH_REASONS (FINISH_LOST + 1)

/* The last of each list stands for all others. */
#define HTTP_METHODS  8u
#define HTTP_STATUSES 29u
extern const char *const http_method_names[HTTP_METHODS];
extern const uint16_t http_status_codes[HTTP_STATUSES]; /* 0: other */

#define STATUS_CLASSES 5u /* 1xx to 5xx */

struct model_metrics {
    struct histogram histograms[HISTOGRAM_COUNT];
    _Atomic uint64_t finished[FINISH_REASONS];
};

struct metrics {
    uint32_t model_count;
    int64_t started_unix_us;
    struct tenant_names *tenants;
    _Atomic uint64_t tenant_requests[TENANT_NAMES_MAX][STATUS_CLASSES];
    _Atomic uint64_t reloads[2];      /* refused, taken up */
    _Atomic bool reload_refused;      /* the last one */
    _Atomic int64_t reloaded_unix_us; /* the last that was taken up, or the start */
    struct histogram http_duration[ROUTE_COUNT];
    _Atomic uint64_t http_requests[ROUTE_COUNT][HTTP_METHODS][HTTP_STATUSES];
    _Atomic uint64_t limited[LIMITED_COUNT];
    _Atomic uint64_t keys_refused[AUTH_OUTCOME_COUNT];
    _Atomic uint32_t keys_configured, keys_filed, keys_revoked;
    _Atomic bool keys_stale;
    struct model_metrics models[]; /* [model_count] */
};

/* What one exposition is made from. */
struct scrape_model {
    const struct served_model *served;   /* borrowed: the server */
    const struct model_metrics *metrics; /* borrowed */
    struct engine_stats engine;
    struct policy_usage usage;
    struct text labels; /* model_name="...",engine="0" */
    struct text model;  /* model="..." */
};
struct scrape {
    const struct metrics *metrics; /* borrowed */
    const struct server *server;   /* borrowed */
    uint64_t now_us;
    uint32_t model_count; /* that were served when it began */
    struct scrape_model models[];
};

/* "# HELP" and "# TYPE" of a family. */
void render_family(struct text *out, const char *name, const char *type, const char *help);
/* name="value", with the three escapes of the text format. */
void render_label(struct text *out, const char *name, const char *value);
/* weir_license_*, of all models whose licence was read. */
void render_licenses(const struct server *server, struct text *out);
/* weir_fleet_*, and how old the view of all is. */
void render_fleet(const struct server *server, struct text *out);
/* Tokens and requests by tenant. */
void render_tenants(const struct metrics *metrics, const struct server *server, struct text *out);
/* Which build runs; what became of access log lines and spans. */
void render_seen(const struct server *server, struct text *out);
/* weir_access_*: which keys there are, and who was refused. */
void render_access(const struct metrics *metrics, struct text *out);
/* weir_tls_*; nothing where all is clear text. */
void render_tls(const struct server *server, struct text *out);
/* process_* under the names that Prometheus clients share. */
void render_process(int64_t started_unix_us, struct text *out);

/* name{labels} value */
void render_sample(struct text *out, const char *name, const char *labels, double value);
/* name{labels,key="value"} value */
void render_labelled(struct text *out, const struct scrape_model *model, const char *name,
                     const char *key_value, double value);
/* weir_license_headroom_ratio and its like. */
void render_near(const struct scrape *scrape, int64_t now_unix_us, struct text *out);
/* How many people are served. */
void render_users(const struct scrape *scrape, struct text *out);

/* What bounds sent away, and what they stand at. */
void render_bounds(const struct scrape *scrape, struct text *out);

/* Whether engines and workers get on. */
void render_life(const struct scrape *scrape, struct text *out);
/* What was decided at thresholds. */
void render_enforcement(const struct scrape *scrape, struct text *out);

#endif
