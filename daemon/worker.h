/* SPDX-License-Identifier: Apache-2.0 */
/* worker.h -- one network thread: an event loop, a listener, an api, and the bell that wakes it.
 *
 * Made by the main thread, run by its own. Others may only ring (worker_ring) and read what is
 * marked shared. Signals are blocked in every worker, for they are the main
 * thread's, but for those of faults and profiles (base/thread.h). */
#ifndef WEIR_DAEMON_WORKER_H
#define WEIR_DAEMON_WORKER_H

#include "base/error.h"
#include "daemon/api/api.h"
#include "daemon/http/listener.h"
#include "daemon/server.h"
#include "daemon/watch.h"

#include <event2/event.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum worker_order { WORKER_RUN, WORKER_DRAIN, WORKER_CUT, WORKER_STOP };

struct worker {
    /* fixed at start */
    struct server *server; /* borrowed: the server that holds the array */
    uint32_t index;
    int bell_fd; /* eventfd; -1 before worker_prepare() */
    struct event_base *base;
    struct event *bell, *tick, *idle_timer;
    struct api *api;
    pthread_t thread;
    bool running; /* thread is to be joined */
    /* the thread's own */
    struct listener *listener;
    struct live *live;   /* one reference: what it last took up */
    struct tls_set *tls; /* likewise; NULL for clear text */
    bool draining;
    /* the main thread's */
    struct watch_pulse pulse; /* of turns */
    /* shared */
    _Atomic uint64_t turns; /* of the loop in which the bell was heard */
    _Atomic bool stalled;   /* it has not been for long; the main thread says so */
    _Atomic uint32_t order; /* enum worker_order, only ever upwards; then ring */
    _Atomic bool idle;      /* draining, and nothing is open any more */
};

/* Loop, listener and api, over this worker's doors. On failure worker_release() frees what there
 * is. */
int worker_prepare(struct worker *worker, struct error *err);
int worker_run(struct worker *worker, struct error *err);          /* starts the thread */
void worker_ring(struct worker *worker);                           /* any thread; never blocks */
void worker_order(struct worker *worker, enum worker_order order); /* any thread */
void worker_join(struct worker *worker); /* ends the thread; what is open stays open */
/* After every worker was joined, for a /metrics on one reads the listeners of all: closes the
 * listener, breaks its exchanges. Engines still run and take the cancels. */
void worker_break(struct worker *worker);
/* After worker_break() and after the engines stopped: the last events, then everything else. */
void worker_release(struct worker *worker);

/* The listener's numbers; false when there is no listener. Any thread while the server runs. */
bool worker_stats(const struct server *server, uint32_t index, struct listener_stats *ret);

#endif
