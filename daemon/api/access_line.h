/* SPDX-License-Identifier: Apache-2.0 */
/* access_line.h -- what the access log says of a request, and of which requests. Pure.
 *
 * No prompt, no answer, no user's id and no key is in it; an address only where asked for. */
#ifndef WEIR_DAEMON_API_ACCESS_LINE_H
#define WEIR_DAEMON_API_ACCESS_LINE_H

#include "base/log.h"
#include "base/text.h"
#include "daemon/http/exchange.h"

#include <stdbool.h>
#include <stdint.h>

#define ACCESS_SAMPLE_ALL 1000000u /* of access_log.sample, in millionths */

/* Strings are borrowed for the call. NULL or "" leaves a field out where it says so. */
struct access_record {
    const char *request_id, *method, *route;
    const char *trace_id, *tenant, *key_id, *admin, *address; /* or left out */
    enum http_version version;
    bool tls;
    uint32_t status;
    uint64_t bytes_in, bytes_out; /* of bodies */
    uint64_t duration_us;
    /* of generations */
    const char *model; /* or left out, with all below */
    const char *finish, *user_class;
    uint32_t prompt_tokens, completion_tokens, cached_tokens;
    uint64_t queue_us;
    uint64_t ttft_us; /* 0: no token came, left out */
};

void access_line(struct text *out, enum log_format format, int64_t now_unix_us,
                 const struct access_record *record);

struct access_rules {
    uint32_t sample;  /* in millionths */
    uint32_t slow_ms; /* logged whatever the draw says; so are answers of 500 and more */
};
/* draw: a random number. */
bool access_wanted(const struct access_rules *rules, uint32_t status, uint64_t duration_us,
                   uint64_t draw);

#endif
