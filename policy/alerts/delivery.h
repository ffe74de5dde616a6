/* SPDX-License-Identifier: Apache-2.0 */
/* delivery.h -- takes what is in the outbox to its receivers, a piece a turn: their secrets, the
 * pump of webhook.h, what is told of it. Made by the main thread, turned by one other;
 * delivery_counts() is any thread's. */
#ifndef WEIR_POLICY_ALERTS_DELIVERY_H
#define WEIR_POLICY_ALERTS_DELIVERY_H

#include "policy/alerts/outbox.h"
#include "policy/policy_config.h"

#include <stdint.h>

#define DELIVERY_IDLE_MS   1000u
#define DELIVERY_BUSY_MS   20u /* while a message is on its way */
#define DELIVERY_KEEP_DAYS 90  /* of messages that arrived, or died */

struct delivery;

struct delivery_config {
    const struct policy_webhook *webhooks; /* borrowed for the call */
    uint32_t webhook_count;
    struct outbox *outbox;                          /* borrowed; must outlive it */
    void (*note)(void *argument, const char *text); /* a line for the log */
    void *argument;
};

/* ERROR_INVALID, ERROR_REFUSED: a name twice, a URL or a secret that will not do, by name. */
struct delivery *delivery_new(const struct delivery_config *config, struct error *err);
void delivery_free(struct delivery *delivery); /* NULL is fine */

/* Does not wait. Returns after how many milliseconds it wants to go on. */
uint32_t delivery_turn(struct delivery *delivery, int64_t now_unix_us);
void delivery_counts(const struct delivery *delivery, struct outbox_counts *ret);

#endif
