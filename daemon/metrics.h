/* SPDX-License-Identifier: Apache-2.0 */
/* metrics.h -- what Prometheus scrapes: vLLM's series under their own names, and weir's.
 *
 * Recording is a few relaxed atomic adds, from any thread. Rendering reads them, the engines'
 * snapshots and the policy's counts, and writes text format 0.0.4. */
#ifndef WEIR_DAEMON_METRICS_H
#define WEIR_DAEMON_METRICS_H

#include "base/error.h"
#include "base/text.h"
#include "batching/engine.h"
#include "daemon/limited.h"

#include <stdbool.h>
#include <stdint.h>

struct auth_counts;
struct metrics;
struct server;

struct metrics *metrics_new(uint32_t model_count, struct error *err);
void metrics_free(struct metrics *metrics); /* NULL is fine */

/* A choice's first token came; a later one came `gap` after the one before. */
void metrics_first_token(struct metrics *metrics, uint32_t model, uint64_t ttft_us);
void metrics_next_token(struct metrics *metrics, uint32_t model, uint64_t gap_us);

/* A whole generation ended. */
struct generation_record {
    uint32_t prompt_tokens, cached_tokens, output_tokens; /* output: over all choices */
    uint32_t longest_choice_tokens; /* 0 says: output_tokens, there is one choice */
    uint32_t max_tokens, choices;
    enum finish_reason finish; /* of the worst-ended choice */
    struct generation_times times;
};
void metrics_generation(struct metrics *metrics, uint32_t model,
                        const struct generation_record *record);

/* An answer left, or a client went before it did (status 499). `route` is a pattern such as
 * "/v1/chat/completions", never a raw path. */
enum http_route {
    ROUTE_CHAT,
    ROUTE_COMPLETIONS,
    ROUTE_MODELS,
    ROUTE_TOKENIZE,
    ROUTE_DETOKENIZE,
    ROUTE_ADMIN_USERS,
    ROUTE_ADMIN_USAGE,
    ROUTE_ADMIN_PROFILE_CPU,
    ROUTE_ADMIN_PROFILE_HEAP,
    ROUTE_HEALTH,
    ROUTE_READY,
    ROUTE_METRICS,
    ROUTE_VERSION,
    ROUTE_OTHER,
    ROUTE_COUNT
};
void metrics_http(struct metrics *metrics, enum http_route route, const char *method,
                  uint32_t status, uint64_t duration_us);

/* The same of who proved to be a tenant's; "" for a key without one. Past TENANT_NAMES_MAX of
 * them, further ones are counted together. */
void metrics_tenant(struct metrics *metrics, const char *tenant, uint32_t status);

/* A bound sent a request away; LIMITED_NOT is fine. */
void metrics_limited(struct metrics *metrics, enum limited limited);
/* Somebody was refused for their key: an enum auth_outcome that is not AUTH_GRANTED. */
void metrics_key_refused(struct metrics *metrics, uint32_t outcome);
/* Which keys there are now; stale: a newer file of them was refused, and these stay. */
void metrics_keys(struct metrics *metrics, const struct auth_counts *counts, bool stale);

/* What was read anew was taken up, or refused. Main thread. */
void metrics_reload(struct metrics *metrics, bool taken_up, int64_t now_unix_us);

/* The whole exposition. */
void metrics_render(struct metrics *metrics, const struct server *server, struct text *out);

#endif
