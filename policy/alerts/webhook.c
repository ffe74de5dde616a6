/* SPDX-License-Identifier: Apache-2.0 */
/* webhook.c -- a few slots, each with one message on its way.
 *
 *     idle -- due --> sending -- answer, fault or timeout --> ended -- written down --> idle
 *
 * A delivery that ended stays in its slot until the outbox has it in writing: with a full disk it
 * would otherwise be due, and sent, at every step. A process that dies in between sends it once
 * more; the receiver knows the id. Addresses and secrets appear in no error and no file. */
#include "policy/alerts/webhook.h"

#include <arpa/inet.h>
#include <assert.h>
#include <curl/curl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECRET_PREFIX    "whsec_"
#define SECRET_TEXT_MAX  128u
#define HEADER_BYTES_MAX 320u
#define WHY_BYTES        96u
#define HTTP_GONE        410

enum stage { STAGE_IDLE, STAGE_SENDING, STAGE_ENDED };
enum outcome { OUTCOME_DELIVERED, OUTCOME_AGAIN, OUTCOME_REFUSED };

struct delivery {
    CURL *easy; /* kept between deliveries */
    enum stage stage;
    struct outbox_row row;      /* while not idle */
    struct curl_slist *headers; /* while sending */
    size_t answer_bytes;
    /* once ended */
    enum outcome outcome;
    int64_t wait_ms_least; /* asked for by the receiver */
    char why[WHY_BYTES];
};

struct target {
    char *name, *url, *secrets[WEBHOOK_SECRETS_MAX];
};

struct webhook {
    struct outbox *outbox; /* borrowed: the caller */
    struct target targets[WEBHOOK_TARGETS_MAX];
    uint32_t target_count;
    bool allow_http, global;
    char *ca_file; /* NULL for the system's */
    CURLM *multi;
    struct delivery deliveries[WEBHOOK_CONCURRENCY_MAX];
};

/* -- Parts -- */

/* The bytes of a secret, or 0 for one that is none. */
static size_t decode_secret(const char *secret, uint8_t ret[SECRET_TEXT_MAX])
{
    size_t prefix = sizeof SECRET_PREFIX - 1, padding = 0;
    if (strncmp(secret, SECRET_PREFIX, prefix) != 0)
        return 0;
    const char *text = secret + prefix;
    size_t count = strnlen(text, SECRET_TEXT_MAX + 1);
    if (count == 0 || count > SECRET_TEXT_MAX || count % 4 != 0)
        return 0;
    while (padding < 2 && text[count - 1 - padding] == '=')
        padding++;
    if (strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") !=
        count - padding)
        return 0;
    int decoded = EVP_DecodeBlock(ret, (const uint8_t *)text, (int)count);
    size_t bytes = decoded < 0 ? 0 : (size_t)decoded - padding;
    return bytes >= WEBHOOK_SECRET_BYTES_MIN && bytes <= WEBHOOK_SECRET_BYTES_MAX ? bytes : 0;
}

static bool hmac_message(const uint8_t *key, size_t key_count, const struct webhook_signed *message,
                         uint8_t ret[EVP_MAX_MD_SIZE])
{
    unsigned count = 0;
    size_t capacity = strlen(message->id) + strlen(message->body) + 32;
    char *signed_text = malloc(capacity);
    if (signed_text == NULL)
        return false;
    int length = snprintf(signed_text, capacity, "%s.%lld.%s", message->id,
                          (long long)message->unix_s, message->body);
    bool made = length > 0 && (size_t)length < capacity &&
                HMAC(EVP_sha256(), key, (int)key_count, (const uint8_t *)signed_text,
                     (size_t)length, ret, &count) != NULL &&
                count == 32;
    free(signed_text);
    return made;
}

int webhook_sign(const char *secret, const struct webhook_signed *message,
                 char ret[WEBHOOK_SIGNATURE_BYTES], struct error *err)
{
    uint8_t key[SECRET_TEXT_MAX], digest[EVP_MAX_MD_SIZE];
    size_t count = decode_secret(secret, key);
    if (count == 0)
        return error_set(err, ERROR_INVALID,
                         "a secret is \"whsec_\" and the base64 of %u to %u random bytes",
                         WEBHOOK_SECRET_BYTES_MIN, WEBHOOK_SECRET_BYTES_MAX);
    bool made = hmac_message(key, count, message, digest);
    OPENSSL_cleanse(key, sizeof key);
    if (!made)
        return error_no_memory(err);
    memcpy(ret, "v1,", 3);
    (void)EVP_EncodeBlock((uint8_t *)ret + 3, digest, 32); /* 44 characters and a NUL */
    return 0;
}

int64_t webhook_backoff_ms(uint32_t failures, double jitter)
{
    /* Up to half as much again by chance, within the limit. */
    int64_t most = WEBHOOK_BACKOFF_MS_MOST * 2 / 3, wait = WEBHOOK_BACKOFF_MS_LEAST;
    assert(jitter >= 0 && jitter < 1);
    for (uint32_t i = 1; i < failures && wait < most; i++)
        wait *= 2;
    if (wait > most)
        wait = most;
    return wait + (int64_t)(jitter * 0.5 * (double)wait);
}

static bool is_loopback(const char *host)
{
    struct in_addr v4;
    struct in6_addr v6;
    char plain[64];
    if (strcmp(host, "localhost") == 0) /* libcurl asks no name server for it */
        return true;
    if (inet_pton(AF_INET, host, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127;
    size_t count = strlen(host);
    if (count < 3 || count >= sizeof plain || host[0] != '[' || host[count - 1] != ']')
        return false;
    memcpy(plain, host + 1, count - 2);
    plain[count - 2] = '\0';
    return inet_pton(AF_INET6, plain, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

int webhook_check_url(const char *url, bool allow_http, struct error *err)
{
    char *scheme = NULL, *host = NULL;
    CURLU *parsed = curl_url();
    int result = 0;
    if (parsed == NULL)
        return error_no_memory(err);
    if (curl_url_set(parsed, CURLUPART_URL, url, 0) != CURLUE_OK ||
        curl_url_get(parsed, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
        curl_url_get(parsed, CURLUPART_HOST, &host, 0) != CURLUE_OK)
        result = error_set(err, ERROR_INVALID, "not a URL, such as https://example.com/hook");
    else if (strcmp(scheme, "https") != 0 && strcmp(scheme, "http") != 0)
        result = error_set(err, ERROR_INVALID, "only https and http are spoken");
    else if (strcmp(scheme, "http") == 0 && !allow_http && !is_loopback(host))
        result = error_set(err, ERROR_REFUSED,
                           "http to another machine is read by all between; use https");
    curl_free(scheme);
    curl_free(host);
    curl_url_cleanup(parsed);
    return result;
}

/* -- Life -- */

static bool copy_string(const char *from, char **ret)
{
    *ret = from == NULL ? NULL : strdup(from);
    return from == NULL || *ret != NULL;
}

static int add_target(struct webhook *webhook, const struct webhook_target *from, bool allow_http,
                      struct error *err)
{
    char signature[WEBHOOK_SIGNATURE_BYTES];
    const struct webhook_signed nothing = {.id = "", .body = ""};
    struct target *target = &webhook->targets[webhook->target_count++];
    int result = webhook_check_url(from->url, allow_http, err);
    bool copied = copy_string(from->name, &target->name) && copy_string(from->url, &target->url);
    for (uint32_t i = 0; i < WEBHOOK_SECRETS_MAX && result == 0; i++) {
        if (from->secrets[i] != NULL)
            result = webhook_sign(from->secrets[i], &nothing, signature, err);
        copied = copied && copy_string(from->secrets[i], &target->secrets[i]);
    }
    if (result != 0)
        return error_wrap(err, "webhook '%.64s'", from->name);
    return copied ? 0 : error_no_memory(err);
}

static int set_up(struct webhook *webhook, const struct webhook_config *config, struct error *err)
{
    if (config->target_count > WEBHOOK_TARGETS_MAX)
        return error_set(err, ERROR_INVALID, "%u webhooks, at most %u", config->target_count,
                         WEBHOOK_TARGETS_MAX);
    webhook->global = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
    webhook->multi = webhook->global ? curl_multi_init() : NULL;
    if (webhook->multi == NULL || !copy_string(config->ca_file, &webhook->ca_file))
        return error_no_memory(err);
    for (uint32_t i = 0; i < WEBHOOK_CONCURRENCY_MAX; i++)
        if ((webhook->deliveries[i].easy = curl_easy_init()) == NULL)
            return error_no_memory(err);
    (void)curl_multi_setopt(webhook->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS,
                            (long)WEBHOOK_CONCURRENCY_MAX);
    for (uint32_t i = 0; i < config->target_count; i++) {
        int result = add_target(webhook, &config->targets[i], config->allow_http, err);
        if (result != 0)
            return result;
    }
    return 0;
}

struct webhook *webhook_new(const struct webhook_config *config, struct outbox *outbox,
                            struct error *err)
{
    struct webhook *webhook = calloc(1, sizeof *webhook);
    if (webhook == NULL) {
        error_no_memory(err);
        return NULL;
    }
    webhook->outbox = outbox;
    if (set_up(webhook, config, err) == 0)
        return webhook;
    webhook_free(webhook);
    return NULL;
}

/* Also for a delivery that never got so far. */
static void leave_multi(struct webhook *webhook, struct delivery *delivery)
{
    if (delivery->stage == STAGE_SENDING)
        (void)curl_multi_remove_handle(webhook->multi, delivery->easy);
    if (delivery->easy != NULL)
        curl_easy_reset(delivery->easy); /* it points at headers and a body */
    curl_slist_free_all(delivery->headers);
    delivery->headers = NULL;
}

void webhook_free(struct webhook *webhook)
{
    if (webhook == NULL)
        return;
    for (uint32_t i = 0; i < WEBHOOK_CONCURRENCY_MAX; i++) {
        struct delivery *delivery = &webhook->deliveries[i];
        leave_multi(webhook, delivery);
        outbox_row_destroy(&delivery->row);
        curl_easy_cleanup(delivery->easy);
    }
    for (uint32_t i = 0; i < webhook->target_count; i++) {
        struct target *target = &webhook->targets[i];
        free(target->name);
        free(target->url);
        for (uint32_t j = 0; j < WEBHOOK_SECRETS_MAX; j++) {
            if (target->secrets[j] != NULL)
                OPENSSL_cleanse(target->secrets[j], strlen(target->secrets[j]));
            free(target->secrets[j]);
        }
    }
    free(webhook->ca_file);
    (void)curl_multi_cleanup(webhook->multi);
    if (webhook->global)
        curl_global_cleanup();
    free(webhook);
}

/* -- Sending -- */

static void set_outcome(struct delivery *delivery, enum outcome outcome, const char *why)
{
    delivery->outcome = outcome;
    delivery->wait_ms_least = 0;
    (void)snprintf(delivery->why, sizeof delivery->why, "%s", why);
}

/* What a receiver says is not kept; how much it says has an end. */
static size_t on_answer(char *bytes, size_t size, size_t count, void *argument)
{
    struct delivery *delivery = argument;
    (void)bytes;
    delivery->answer_bytes += size * count;
    return delivery->answer_bytes > WEBHOOK_ANSWER_BYTES_MAX ? 0 : size * count;
}

static bool add_header(struct delivery *delivery, const char *name, const char *value)
{
    char line[HEADER_BYTES_MAX];
    int count = snprintf(line, sizeof line, "%s: %s", name, value);
    if (count < 0 || (size_t)count >= sizeof line)
        return false;
    struct curl_slist *more = curl_slist_append(delivery->headers, line);
    if (more != NULL)
        delivery->headers = more;
    return more != NULL;
}

/* One signature a secret, with spaces between. */
static bool add_signature(struct delivery *delivery, const struct target *target, int64_t unix_s)
{
    const struct webhook_signed message = {
        .id = delivery->row.id, .body = delivery->row.body, .unix_s = unix_s};
    char all[WEBHOOK_SECRETS_MAX * WEBHOOK_SIGNATURE_BYTES];
    size_t count = 0;
    for (uint32_t i = 0; i < WEBHOOK_SECRETS_MAX; i++) {
        if (target->secrets[i] == NULL)
            continue;
        if (webhook_sign(target->secrets[i], &message, all + count, NULL) != 0)
            return false;
        count += WEBHOOK_SIGNATURE_BYTES;
        all[count - 1] = ' ';
    }
    if (count == 0)
        return true;
    all[count - 1] = '\0';
    return add_header(delivery, "webhook-signature", all);
}

static bool add_headers(struct delivery *delivery, const struct target *target, int64_t unix_s)
{
    char seconds[24];
    (void)snprintf(seconds, sizeof seconds, "%lld", (long long)unix_s);
    return add_header(delivery, "content-type", "application/json") &&
           add_header(delivery, "user-agent", "weir/" WEIR_VERSION) &&
           add_header(delivery, "webhook-id", delivery->row.id) &&
           add_header(delivery, "webhook-timestamp", seconds) &&
           add_signature(delivery, target, unix_s);
}

static bool set_options(const struct webhook *webhook, struct delivery *delivery,
                        const struct target *target)
{
    CURL *easy = delivery->easy;
    bool local =
        webhook_check_url(target->url, false, NULL) == 0 && strncmp(target->url, "https", 5) != 0;
    return curl_easy_setopt(easy, CURLOPT_URL, target->url) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)WEBHOOK_CONNECT_MS) ==
               CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)WEBHOOK_TIMEOUT_MS) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_POST, 1L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_POSTFIELDS, delivery->row.body) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)strlen(delivery->row.body)) ==
               CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_HTTPHEADER, delivery->headers) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_answer) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_WRITEDATA, delivery) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_PRIVATE, delivery) == CURLE_OK &&
           (!local || curl_easy_setopt(easy, CURLOPT_NOPROXY, "*") == CURLE_OK) &&
           (webhook->ca_file == NULL ||
            curl_easy_setopt(easy, CURLOPT_CAINFO, webhook->ca_file) == CURLE_OK);
}

/* Takes the row. */
static void start_delivery(struct webhook *webhook, struct delivery *delivery,
                           const struct outbox_row *row, int64_t now_ms)
{
    const struct target *target = NULL;
    delivery->row = *row;
    delivery->answer_bytes = 0;
    for (uint32_t i = 0; i < webhook->target_count && target == NULL; i++)
        if (strcmp(webhook->targets[i].name, row->target) == 0)
            target = &webhook->targets[i];
    if (target == NULL) {
        set_outcome(delivery, OUTCOME_AGAIN, "no webhook of that name is configured");
        delivery->stage = STAGE_ENDED;
        return;
    }
    if (add_headers(delivery, target, now_ms / 1000) && set_options(webhook, delivery, target) &&
        curl_multi_add_handle(webhook->multi, delivery->easy) == CURLM_OK) {
        delivery->stage = STAGE_SENDING;
        return;
    }
    leave_multi(webhook, delivery);
    set_outcome(delivery, OUTCOME_AGAIN, "out of memory");
    delivery->stage = STAGE_ENDED;
}

static int start_due(struct webhook *webhook, int64_t now_ms, struct error *err)
{
    struct outbox_row rows[WEBHOOK_CONCURRENCY_MAX];
    struct delivery *idle[WEBHOOK_CONCURRENCY_MAX];
    int64_t busy[WEBHOOK_CONCURRENCY_MAX];
    struct outbox_due due = {.now_ms = now_ms, .busy = busy};
    for (uint32_t i = 0; i < WEBHOOK_CONCURRENCY_MAX; i++) {
        if (webhook->deliveries[i].stage == STAGE_IDLE)
            idle[due.rows_max++] = &webhook->deliveries[i];
        else
            busy[due.busy_count++] = webhook->deliveries[i].row.row;
    }
    if (due.rows_max == 0)
        return 0;
    int count = outbox_due(webhook->outbox, &due, rows, err);
    for (int i = 0; i < count; i++)
        start_delivery(webhook, idle[i], &rows[i], now_ms);
    return count < 0 ? count : 0;
}

/* -- Ending -- */

static void judge(struct delivery *delivery, CURLcode code)
{
    long status = 0;
    curl_off_t retry_after_s = 0;
    char why[WHY_BYTES];
    (void)curl_easy_getinfo(delivery->easy, CURLINFO_RESPONSE_CODE, &status);
    (void)curl_easy_getinfo(delivery->easy, CURLINFO_RETRY_AFTER, &retry_after_s);
    bool answered = code == CURLE_OK || (code == CURLE_WRITE_ERROR && status != 0);
    if (answered)
        (void)snprintf(why, sizeof why, "HTTP status %ld", status);
    else
        (void)snprintf(why, sizeof why, "%s", curl_easy_strerror(code));
    set_outcome(delivery,
                answered && status >= 200 && status < 300 ? OUTCOME_DELIVERED
                : answered && status == HTTP_GONE         ? OUTCOME_REFUSED
                                                          : OUTCOME_AGAIN,
                why);
    if (answered && retry_after_s > 0)
        delivery->wait_ms_least = retry_after_s < WEBHOOK_BACKOFF_MS_MOST / 1000
                                      ? retry_after_s * 1000
                                      : WEBHOOK_BACKOFF_MS_MOST;
}

static void take_ended(struct webhook *webhook)
{
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(webhook->multi, &left)) != NULL) {
        if (message->msg != CURLMSG_DONE)
            continue;
        struct delivery *delivery = NULL;
        CURL *easy = message->easy_handle;
        CURLcode code = message->data.result; /* gone once the handle is removed */
        (void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&delivery);
        assert(delivery != NULL);
        assert(delivery->stage == STAGE_SENDING);
        judge(delivery, code);
        leave_multi(webhook, delivery);
        delivery->stage = STAGE_ENDED;
    }
}

static int write_down(struct outbox *outbox, const struct delivery *delivery,
                      const struct webhook_turn *turn, struct error *err)
{
    const struct outbox_row *row = &delivery->row;
    int64_t give_up_ms = row->created_ms + WEBHOOK_GIVE_UP_MS;
    if (delivery->outcome == OUTCOME_DELIVERED)
        return outbox_delivered(outbox, row->row, turn->now_ms, err);
    if (delivery->outcome == OUTCOME_REFUSED || turn->now_ms >= give_up_ms)
        return outbox_dead(outbox, row->row, turn->now_ms, delivery->why, err);
    int64_t wait_ms = webhook_backoff_ms(row->attempts + 1, turn->jitter);
    if (wait_ms < delivery->wait_ms_least)
        wait_ms = delivery->wait_ms_least;
    int64_t next_ms = turn->now_ms + wait_ms;
    return outbox_failed(outbox, row->row, next_ms < give_up_ms ? next_ms : give_up_ms,
                         delivery->why, err);
}

static int settle(struct webhook *webhook, const struct webhook_turn *turn, struct error *err)
{
    for (uint32_t i = 0; i < WEBHOOK_CONCURRENCY_MAX; i++) {
        struct delivery *delivery = &webhook->deliveries[i];
        if (delivery->stage != STAGE_ENDED)
            continue;
        int result = write_down(webhook->outbox, delivery, turn, err);
        if (result != 0)
            return result;
        outbox_row_destroy(&delivery->row);
        delivery->stage = STAGE_IDLE;
    }
    return 0;
}

int webhook_step(struct webhook *webhook, const struct webhook_turn *turn, struct error *err)
{
    int running = 0, sending = 0;
    int result = settle(webhook, turn, err);
    if (result == 0)
        result = start_due(webhook, turn->now_ms, err);
    if (result != 0)
        return result;
    (void)curl_multi_perform(webhook->multi, &running);
    if (running > 0 && turn->wait_ms > 0) {
        (void)curl_multi_poll(webhook->multi, NULL, 0, (int)turn->wait_ms, NULL);
        (void)curl_multi_perform(webhook->multi, &running);
    }
    take_ended(webhook);
    result = settle(webhook, turn, err);
    for (uint32_t i = 0; i < WEBHOOK_CONCURRENCY_MAX; i++)
        sending += webhook->deliveries[i].stage == STAGE_SENDING;
    return result != 0 ? result : sending;
}
