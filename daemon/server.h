/* SPDX-License-Identifier: Apache-2.0 */
/* server.h -- the process put together: models, engines, workers, and their life and death.
 *
 * server_start() builds from the bottom up and server_stop() takes down from the top; in between
 * no pointer in it changes. The main thread owns it; workers read it. */
#ifndef WEIR_DAEMON_SERVER_H
#define WEIR_DAEMON_SERVER_H

#include "base/error.h"
#include "base/log.h"
#include "daemon/config.h"
#include "daemon/live.h"
#include "daemon/metrics.h"
#include "daemon/served_model.h"
#include "policy/policy.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct address_table; /* http/address_table.h */
struct doors;         /* doors.h: the sockets */
struct loader;        /* loader.h: who tries again to load models */
struct profiler;      /* profile/profiler.h: where time and memory go, for operators */
struct notify;        /* notify.h: what the service manager is told */
struct tenant_limits; /* api/tenant_limits.h: what tenants have used of theirs */
struct rules;         /* rules.h: what models are weighed against */
struct tls_keeper;    /* tls_keeper.h: the certificates */
struct worker;        /* worker.h: a thread, its event_base, listener and api */
struct access_log;    /* access_log.h: a line a request */
struct tracing;       /* tracing.h: spans to a collector */

#define SERVER_CUT_MS  2000u
#define SERVER_STEP_MS 10000u

struct server {
    struct config *config; /* borrowed: main; as it was at the start */
    struct shelf live;     /* of struct live: what may change since */
    struct log *log;       /* borrowed: main */
    struct policy *policy;
    struct metrics *metrics;
    struct tenant_limits *tenant_limits;
    struct address_table *addresses; /* whose connections are open */
    struct access_log *access_log;
    struct tracing *tracing;     /* NULL without tracing.endpoint */
    struct served_model *models; /* all that are configured, whatever their state */
    uint32_t model_count;
    struct loader *loader;
    struct worker *workers;
    uint32_t worker_count;
    struct profiler *profiler;
    struct tls_keeper *tls; /* NULL for clear text */
    struct doors *doors;
    uint16_t port;      /* bound: of the first TCP door, 0 for none */
    _Atomic bool ready; /* accepting; false again while draining */
    _Atomic bool draining;
    _Atomic bool loads_end;                          /* one that runs is given up, none begins */
    _Atomic bool memory_over;                        /* new requests are refused */
    _Atomic uint64_t memory_bytes, memory_watermark; /* as of the last watch; 0: unknown */
    _Atomic uint32_t held; /* answers that wait for policy_durable() to begin */
    /* main thread only */
    struct notify *notify;           /* the service manager */
    uint64_t status_us;              /* when it was told last how we are */
    struct auth_files refused_files; /* as they were refused last */
    bool keys_refused;               /* they were, and are not read again until they change */
    struct rules *rules;             /* the newest, owned; older ones hang on it */
    int32_t weighed_month;           /* in which all models were weighed last, month.h */
    int64_t weigh_again_unix;        /* not before, after a failure */
};

/* ERROR_REFUSED when the licences of all models do not allow what the operator declares. */
struct server *server_start(struct config *config, struct log *log, struct error *err);
/* Readiness fails; whoever comes all the same is served as before. Any thread. */
void server_leave(struct server *server);
/* Readiness fails, listeners close, open exchanges go on. Any thread. */
void server_drain(struct server *server);
/* Waits until every exchange is done or timeout_ms passed; true when all were done. A changed
 * *interrupted (a second signal) ends the wait. */
bool server_wait_idle(struct server *server, uint32_t timeout_ms, const volatile int *interrupted);
/* Has every worker take up what is new. Any thread. */
void server_ring(struct server *server);
/* What is still open after the wait gets an error: workers refuse requests that are not all there,
 * the engines stop, and their last events become answers. Waits until those are sent,
 * SERVER_CUT_MS at most. False when an engine's step does not end in SERVER_STEP_MS: then
 * server_stop() would wait for it, perhaps for ever. */
bool server_cut(struct server *server);
/* In its place: what was counted is kept, and the process is to be ended. */
void server_abandon(struct server *server);
/* Main thread, about once a second: sees that engines and workers get on and tells the service
 * manager so (watch.h), weighs the models' licences anew when a month begins, and reads
 * certificates that were renewed. */
void server_watch(struct server *server, uint64_t now_us, int64_t now_unix);
/* A load that runs is given up, SERVER_STEP_MS at most. False when it does not end: as above. */
bool server_end_loads(struct server *server);
/* Models that did not load are tried again now. Main thread. */
void server_load_again(struct server *server);
/* Ends everything at once and frees it. NULL is fine. */
void server_stop(struct server *server);

#endif
