/* SPDX-License-Identifier: Apache-2.0 */
/* live.h -- what may change while weir runs: one set, immutable once made, exchanged whole.
 *
 * The main thread reads the files and makes a set, or refuses it, and the one before stays. Each
 * worker takes up the newest between two turns of its loop and keeps a reference of its own. Who
 * keeps a pointer into a set for longer than a callback (a generation: its tenant's name) keeps a
 * reference too; so a set goes when the last of those that began under it has ended. */
#ifndef WEIR_DAEMON_LIVE_H
#define WEIR_DAEMON_LIVE_H

#include "base/error.h"
#include "daemon/api/auth.h"
#include "daemon/api/claim_names.h"
#include "daemon/config.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

struct live {
    struct config *config; /* one reference of it */
    struct auth *auth;
    struct claim_names claims;
    uint64_t number; /* 1 for the first on the shelf, then rising */
    _Atomic uint32_t references;
};

/* One reference, the caller's; takes one of config. ERROR_INVALID in err names the key. */
struct live *live_new(struct config *config, struct error *err);
struct live *live_ref(struct live *live); /* returns live; any thread */
void live_unref(struct live *live);       /* NULL is fine; any thread */

/* Where the newest lies. All zero is empty, and may be destroyed. */
struct live_shelf {
    pthread_mutex_t lock;
    struct live *newest;     /* under lock */
    _Atomic uint64_t number; /* of the newest: read without the lock, to see whether to look */
};

void live_shelf_init(struct live_shelf *shelf);
void live_shelf_destroy(struct live_shelf *shelf);                /* once no other thread uses it */
void live_shelf_put(struct live_shelf *shelf, struct live *live); /* takes the reference */
/* A reference to the newest; NULL while empty. Any thread. */
struct live *live_shelf_newest(struct live_shelf *shelf);
/* Exchanges *held, a reference or NULL, for the newest, where that is another. Whether it did. */
bool live_shelf_renew(struct live_shelf *shelf, struct live **held);

#endif
