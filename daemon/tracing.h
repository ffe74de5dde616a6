/* SPDX-License-Identifier: Apache-2.0 */
/* tracing.h -- spans to an OpenTelemetry collector, by a thread of its own: OTLP/HTTP, JSON.
 *
 * Workers hand over a request that ended and go on. The thread sends batches; a collector that is
 * slow or away makes requests wait, up to a limit, and what comes beyond is dropped and counted. */
#ifndef WEIR_DAEMON_TRACING_H
#define WEIR_DAEMON_TRACING_H

#include "base/error.h"
#include "base/log.h"
#include "daemon/otlp.h"

#include <stdint.h>

#define TRACING_BATCH        256u  /* requests in a body */
#define TRACING_BATCH_MS     200u  /* that the first of a batch waits for others */
#define TRACING_TRIES        4u    /* of a batch; those after the first wait 1, 2, 4 s */
#define TRACING_TIMEOUT_MS   10000 /* of one try */
#define TRACING_CLOSE_MS     2000u /* how long a stop waits for the collector */
#define TRACING_HEADERS_MAX  16u
#define TRACING_HEADER_BYTES 8192u /* of the whole file */

struct tracing;

/* endpoint: scheme, host and port, such as "http://127.0.0.1:4318"; spans go to /v1/traces of it.
 * headers_file: lines "name: value" that each request carries, mode 0600; "" for none.
 * requests_max: that may wait, rounded up to a power of two. Starts the thread. NULL and err, with
 * the key at fault, otherwise. log: borrowed. */
struct tracing_config {
    const char *endpoint, *headers_file;
    uint32_t requests_max;
    struct log *log;
};
struct tracing *tracing_open(const struct tracing_config *config, struct error *err);
/* When nobody puts any more: sends what waits, for TRACING_CLOSE_MS at most. NULL is fine. */
void tracing_close(struct tracing *tracing);

/* Any thread; never blocks. Copies. */
void tracing_put(struct tracing *tracing, const struct otlp_request *request);

struct tracing_stats {
    uint64_t exported, dropped; /* spans */
};
void tracing_stats(const struct tracing *tracing, struct tracing_stats *ret); /* NULL: none */

#endif
