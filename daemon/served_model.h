/* SPDX-License-Identifier: Apache-2.0 */
/* served_model.h -- a place for each configured model, and whether it is there.
 *
 * Places are made before the workers run and neither move nor go. What changes is a model's state,
 * once: from absent to served or refused. So whoever looks needs no lock. Any thread. */
#ifndef WEIR_DAEMON_SERVED_MODEL_H
#define WEIR_DAEMON_SERVED_MODEL_H

#include "batching/engine.h"
#include "daemon/config.h"
#include "models/model.h"
#include "policy/policy.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct server;

enum model_state {
    MODEL_ABSENT,  /* it did not load yet */
    MODEL_REFUSED, /* its licence does not allow it: for good */
    MODEL_SERVED,  /* likewise */
};

/* A configured model. Whoever loads it (main before the workers run, then the loader's thread)
 * fills it, and then says so in `state`, once: from there on it is read without a lock. */
struct served_model {
    /* fixed at start */
    const char *id;                    /* borrowed: config */
    const struct config_model *config; /* borrowed: config */
    char *license_link; /* of the Link header: </v1/models/ID/license>; rel="license" */
    /* whose it is that loads it, then fixed */
    struct backend *backend; /* of what is served alone, and so below */
    struct model *model;
    struct engine *engine;
    int64_t created_unix;        /* the weights file's modification time, seconds */
    struct policy_model *policy; /* borrowed: policy; of what is refused, too */
    /* any thread reads */
    _Atomic uint32_t state;         /* enum model_state */
    _Atomic uint64_t load_failures; /* since the start */
    _Atomic uint64_t next_load_us;  /* when it is tried again, monotonic; 0: now, or never */
    _Atomic bool stalled;           /* it does not move; the main thread says so */
    bool lost;                      /* its device, and the log has it; the main thread's */
};

enum model_state server_model_state(const struct served_model *model);
/* The model at a place of `models`, NULL when it is not served. */
struct served_model *server_model(const struct server *server, uint32_t index);
uint32_t server_count_models(const struct server *server, enum model_state state);
/* Of whatever state; NULL when none of the id is configured. An empty id names the only one that is
 * not refused. */
struct served_model *server_find_slot(const struct server *server, const char *id);
/* The same where it is served, else NULL. */
struct served_model *server_find_model(const struct server *server, const char *id);
/* The first that is served; NULL while none is. */
struct served_model *server_first_model(const struct server *server);
/* Whether a balancer may send requests: they are taken, and there is a model for some. */
bool server_is_ready(const struct server *server);

#endif
