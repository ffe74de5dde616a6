/* SPDX-License-Identifier: Apache-2.0 */
/* webhook.h -- takes messages from the outbox to where they go: HTTP POST, by libcurl.
 *
 * As Standard Webhooks has it: webhook-id, webhook-timestamp, and webhook-signature, which is
 * "v1," and the base64 HMAC-SHA256 of "id.timestamp.body" under the target's secret. Any 2xx is
 * delivery; anything else is tried again after 1 s, 2 s, 4 s ... 1 h until 72 h after it was put,
 * then the message is a dead letter. 410 makes it one at once. Redirects are not followed: what
 * was signed for one address is not for another. At least once; the receiver tells by the id.
 *
 * One thread at a time; webhook_step() never waits longer than it is told. */
#ifndef WEIR_POLICY_ALERTS_WEBHOOK_H
#define WEIR_POLICY_ALERTS_WEBHOOK_H

#include "policy/alerts/outbox.h"

#include <stdbool.h>
#include <stdint.h>

#define WEBHOOK_TARGETS_MAX      16u
#define WEBHOOK_SECRETS_MAX      2u  /* the newest and the one before it, while they change */
#define WEBHOOK_SECRET_BYTES_MIN 24u /* as the standard has it, decoded */
#define WEBHOOK_SECRET_BYTES_MAX 64u
#define WEBHOOK_CONCURRENCY_MAX  8u     /* deliveries on their way */
#define WEBHOOK_ANSWER_BYTES_MAX 16384u /* of a body, then the connection is dropped */
#define WEBHOOK_CONNECT_MS       5000
#define WEBHOOK_TIMEOUT_MS       15000
#define WEBHOOK_BACKOFF_MS_LEAST INT64_C(1000)
#define WEBHOOK_BACKOFF_MS_MOST  INT64_C(3600000)
#define WEBHOOK_GIVE_UP_MS       (INT64_C(72) * 3600000)

struct webhook_target {
    const char *name; /* as the outbox's messages have it */
    const char *url;
    /* "whsec_" and base64; NULL for none. Without any, messages go unsigned. */
    const char *secrets[WEBHOOK_SECRETS_MAX];
};

struct webhook_config {
    const struct webhook_target *targets; /* copied */
    uint32_t target_count;
    bool allow_http;     /* in clear to elsewhere than this machine */
    const char *ca_file; /* of certificates to trust; NULL for the system's */
};

struct webhook;

/* Main thread, before others start: it sets libcurl up. outbox: borrowed, must outlive it.
 * ERROR_INVALID names the target and what is wrong with its URL or secret. */
struct webhook *webhook_new(const struct webhook_config *config, struct outbox *outbox,
                            struct error *err);
/* What is on its way is dropped, and pending still. NULL is fine. */
void webhook_free(struct webhook *webhook);

struct webhook_turn {
    int64_t now_ms;   /* Unix */
    uint32_t wait_ms; /* at most, for something to happen on the network */
    double jitter;    /* at random in [0, 1), anew each turn */
};
/* Starts what is due, moves what is on its way, settles what ended. Returns how many are on their
 * way still; negative for an outbox that cannot be read or written. */
int webhook_step(struct webhook *webhook, const struct webhook_turn *turn, struct error *err);

/* -- Parts, pure -- */

/* "v1," and 44 characters. secret: as in webhook_target. */
#define WEBHOOK_SIGNATURE_BYTES 48u
struct webhook_signed {
    const char *id, *body;
    int64_t unix_s;
};
int webhook_sign(const char *secret, const struct webhook_signed *message,
                 char ret[WEBHOOK_SIGNATURE_BYTES], struct error *err);
/* How long to wait after so many failures, the first being 1: never outside the limits above. */
int64_t webhook_backoff_ms(uint32_t failures, double jitter);
int webhook_check_url(const char *url, bool allow_http, struct error *err);

#endif
