/* SPDX-License-Identifier: Apache-2.0 */
/* live.h -- what may change while weir runs: one set, exchanged whole, on server.live (shelf.h).
 *
 * The main thread reads the files and makes a set, or refuses it, and the one before stays. Who
 * keeps a pointer into a set for longer than a callback (a generation: its tenant's name) keeps a
 * reference. */
#ifndef WEIR_DAEMON_LIVE_H
#define WEIR_DAEMON_LIVE_H

#include "base/error.h"
#include "base/shelf.h"
#include "daemon/api/auth.h"
#include "daemon/api/claim_names.h"
#include "daemon/config.h"

struct live {
    struct shelved shelved;
    struct config *config; /* one reference of it */
    struct auth *auth;
    struct claim_names claims;
};

/* One reference, the caller's; takes one of config. ERROR_INVALID in err names the key. */
struct live *live_new(struct config *config, struct error *err);
struct live *live_ref(struct live *live); /* returns live; any thread */
void live_unref(struct live *live);       /* NULL is fine; any thread */

#endif
