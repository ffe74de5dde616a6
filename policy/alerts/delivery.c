/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/alerts/delivery.h"

#include "base/text.h"
#include "policy/alerts/webhook.h"
#include "policy/users/private_file.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define SECRETS_BYTES_MAX 512u
#define RETRY_US          INT64_C(60000000) /* after an outbox that cannot be used */
#define COUNT_US          INT64_C(1000000)
#define FORGET_US         INT64_C(86400000000)
#define DAY_MS            INT64_C(86400000)

static_assert(POLICY_WEBHOOKS_MAX == WEBHOOK_TARGETS_MAX, "each has a target");

struct delivery {
    struct outbox *outbox;   /* borrowed: the caller */
    struct webhook *webhook; /* NULL: nobody hears of alerts */
    void (*note)(void *argument, const char *text);
    void *argument;
    /* the turning thread's */
    int64_t retry_us, counted_us, forgot_us;
    bool failing;
    /* shared */
    _Atomic uint64_t pending, delivered, dead;
};

/* -- Secrets -- */

/* Cuts the lines apart, in place. */
static int split(char *text, const char *secrets[WEBHOOK_SECRETS_MAX], struct error *err)
{
    uint32_t count = 0;
    char *rest = text;
    for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
        size_t length = strlen(line);
        if (length > 0 && line[length - 1] == '\r')
            line[length - 1] = '\0';
        if (line[0] == '\0')
            continue;
        if (count == WEBHOOK_SECRETS_MAX)
            return error_set(err, ERROR_INVALID, "more than %u secrets", WEBHOOK_SECRETS_MAX);
        secrets[count++] = line;
    }
    return count > 0 ? 0 : error_set(err, ERROR_INVALID, "no secret in it");
}

static int read_secrets(const struct policy_webhook *from, char text[SECRETS_BYTES_MAX + 1],
                        struct webhook_target *target, struct error *err)
{
    const struct private_file_rules rules = {
        .bytes_min = 1, .bytes_max = SECRETS_BYTES_MAX, .forbidden = 077};
    size_t count = 0;
    int result = private_file_read(from->secret_file, &rules, (uint8_t *)text, &count, NULL, err);
    if (result == 0) {
        text[count] = '\0';
        result = split(text, target->secrets, err);
    }
    return result == 0 ? 0 : error_wrap(err, "webhook '%.64s': secret_file", from->name);
}

static int open_webhook(struct delivery *delivery, const struct delivery_config *config,
                        struct error *err)
{
    struct webhook_target targets[POLICY_WEBHOOKS_MAX] = {{0}};
    char texts[POLICY_WEBHOOKS_MAX][SECRETS_BYTES_MAX + 1];
    int result = 0;
    assert(config->webhook_count <= POLICY_WEBHOOKS_MAX);
    for (uint32_t i = 0; i < config->webhook_count && result == 0; i++) {
        targets[i].name = config->webhooks[i].name;
        targets[i].url = config->webhooks[i].url;
        result = read_secrets(&config->webhooks[i], texts[i], &targets[i], err);
    }
    const struct webhook_config webhook = {.targets = targets,
                                           .target_count = config->webhook_count};
    if (result == 0) {
        delivery->webhook = webhook_new(&webhook, config->outbox, err);
        result = delivery->webhook == NULL ? ERROR_INVALID : 0;
    }
    OPENSSL_cleanse(texts, sizeof texts);
    return result;
}

/* -- Life -- */

struct delivery *delivery_new(const struct delivery_config *config, struct error *err)
{
    struct delivery *delivery = calloc(1, sizeof *delivery);
    if (delivery == NULL) {
        error_no_memory(err);
        return NULL;
    }
    delivery->outbox = config->outbox;
    delivery->note = config->note;
    delivery->argument = config->argument;
    if (config->webhook_count == 0 || open_webhook(delivery, config, err) == 0)
        return delivery;
    delivery_free(delivery);
    return NULL;
}

void delivery_free(struct delivery *delivery)
{
    if (delivery == NULL)
        return;
    webhook_free(delivery->webhook);
    free(delivery);
}

/* -- Each turn -- */

static bool is_due(int64_t now_us, int64_t last_us, int64_t every_us)
{
    return last_us == 0 || now_us < last_us || now_us - last_us >= every_us;
}

static double jitter(void)
{
    uint32_t random = 0;
    (void)RAND_bytes((unsigned char *)&random, sizeof random); /* else all wait alike */
    return (double)random / 4294967296.0;
}

static int count_all(struct delivery *delivery, int64_t now_us, struct error *err)
{
    struct outbox_counts counts = {0};
    if (!is_due(now_us, delivery->counted_us, COUNT_US))
        return 0;
    int result = outbox_count(delivery->outbox, &counts, err);
    if (result != 0)
        return result;
    delivery->counted_us = now_us;
    atomic_store(&delivery->pending, counts.pending);
    atomic_store(&delivery->delivered, counts.delivered);
    uint64_t dead = atomic_exchange(&delivery->dead, counts.dead);
    if (counts.dead > dead)
        delivery->note(delivery->argument, "alert_dead a receiver did not take an alert in time, "
                                           "or never will; it is not tried again");
    return 0;
}

static int forget(struct delivery *delivery, int64_t now_us, struct error *err)
{
    if (!is_due(now_us, delivery->forgot_us, FORGET_US))
        return 0;
    delivery->forgot_us = now_us;
    return outbox_forget(delivery->outbox, now_us / 1000 - DELIVERY_KEEP_DAYS * DAY_MS, err);
}

/* How many are on their way. */
static int step(struct delivery *delivery, int64_t now_us, struct error *err)
{
    int result = forget(delivery, now_us, err), moving = 0;
    if (result == 0 && delivery->webhook != NULL) {
        const struct webhook_turn turn = {.now_ms = now_us / 1000, .jitter = jitter()};
        moving = webhook_step(delivery->webhook, &turn, err);
        result = moving < 0 ? moving : 0;
    }
    if (result == 0)
        result = count_all(delivery, now_us, err);
    return result == 0 ? moving : result;
}

static void fail(struct delivery *delivery, int64_t now_us, const struct error *err)
{
    struct text text;
    delivery->retry_us = now_us;
    if (delivery->failing)
        return; /* said before */
    delivery->failing = true;
    text_init(&text);
    text_append_format(&text, "alerts cannot be sent: %s; tried again each minute", err->text);
    if (!text.failed)
        delivery->note(delivery->argument, text_string(&text));
    text_destroy(&text);
}

uint32_t delivery_turn(struct delivery *delivery, int64_t now_us)
{
    struct error err = {0};
    if (delivery->failing && !is_due(now_us, delivery->retry_us, RETRY_US))
        return DELIVERY_IDLE_MS;
    int moving = step(delivery, now_us, &err);
    if (moving < 0)
        fail(delivery, now_us, &err);
    else
        delivery->failing = false;
    return moving > 0 ? DELIVERY_BUSY_MS : DELIVERY_IDLE_MS;
}

void delivery_counts(const struct delivery *delivery, struct outbox_counts *ret)
{
    *ret = (struct outbox_counts){.pending = atomic_load(&delivery->pending),
                                  .delivered = atomic_load(&delivery->delivered),
                                  .dead = atomic_load(&delivery->dead)};
}
