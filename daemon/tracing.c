/* SPDX-License-Identifier: Apache-2.0 */
/* tracing.c -- from many workers to one collector.
 *
 *     workers --put--> ring of requests --> thread: a batch --> POST /v1/traces
 *
 * The bell is rung only while the thread sleeps, as in access_log.c. A batch is tried a few times
 * where the collector asks for it (429, 502, 503, 504) or is not reached; meanwhile the ring fills
 * and put() drops, which is the whole of the back-pressure: nobody waits for a collector. */
#include "daemon/tracing.h"

#include "base/clock.h"
#include "base/ring.h"
#include "base/thread.h"
#include "policy/alerts/webhook.h"
#include "policy/users/private_file.h"

#include <assert.h>
#include <curl/curl.h>
#include <errno.h>
#include <openssl/rand.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define SLEEP_MS         1000 /* a bell that is missed costs no more */
#define CONNECT_MS       5000L
#define PATH             "/v1/traces"
#define ANSWER_BYTES_MAX (64u * 1024u) /* beyond, the collector is none */

struct tracing {
    /* fixed at start */
    struct log *log; /* borrowed: main */
    struct ring *requests;
    int bell_fd;
    char *url;
    char instance[33];
    bool global; /* curl_global_init() */
    pthread_t thread;
    bool running;
    /* the thread's own */
    CURL *easy;
    struct curl_slist *headers;
    bool failing;
    size_t answer_bytes;
    /* shared */
    _Atomic bool asleep, stop;
    _Atomic uint64_t stop_us; /* monotonic: when to give up, once told to stop */
    _Atomic uint64_t exported, dropped;
};

/* -- Sending -- */

static bool past_stop(const struct tracing *tracing)
{
    return atomic_load(&tracing->stop) && clock_monotonic_us() >= atomic_load(&tracing->stop_us);
}

static int on_progress(void *argument, curl_off_t down_all, curl_off_t down, curl_off_t up_all,
                       curl_off_t up)
{
    (void)down_all;
    (void)down;
    (void)up_all;
    (void)up;
    return past_stop(argument) ? 1 : 0; /* not 0: break off */
}

static size_t on_answer(char *bytes, size_t size, size_t count, void *argument)
{
    struct tracing *tracing = argument;
    (void)bytes;
    (void)size; /* 1, by curl's word */
    tracing->answer_bytes += count;
    return tracing->answer_bytes > ANSWER_BYTES_MAX ? 0 : count;
}

static bool prepare(struct tracing *tracing)
{
    CURL *easy = tracing->easy;
    return curl_easy_setopt(easy, CURLOPT_URL, tracing->url) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)TRACING_TIMEOUT_MS) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_HTTPHEADER, tracing->headers) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_answer) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_WRITEDATA, tracing) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, on_progress) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_XFERINFODATA, tracing) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_NOPROXY, "*") == CURLE_OK;
}

enum outcome { OUTCOME_TAKEN, OUTCOME_AGAIN, OUTCOME_REFUSED };

/* why: for the log; neither address nor header is in it. */
static enum outcome try_once(struct tracing *tracing, const struct text *body, char why[64])
{
    long status = 0;
    tracing->answer_bytes = 0;
    if (curl_easy_setopt(tracing->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body->count) !=
            CURLE_OK ||
        curl_easy_setopt(tracing->easy, CURLOPT_POSTFIELDS, text_string(body)) != CURLE_OK)
        return OUTCOME_REFUSED;
    CURLcode code = curl_easy_perform(tracing->easy);
    if (code != CURLE_OK) {
        (void)snprintf(why, 64, "%s", curl_easy_strerror(code));
        return OUTCOME_AGAIN;
    }
    (void)curl_easy_getinfo(tracing->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status >= 200 && status < 300)
        return OUTCOME_TAKEN;
    (void)snprintf(why, 64, "status %ld", status);
    bool again = status == 429 || status == 502 || status == 503 || status == 504;
    return again ? OUTCOME_AGAIN : OUTCOME_REFUSED;
}

/* Hears a ring; whether it is time to end. */
static bool wait_rung(struct tracing *tracing, int wait_ms)
{
    struct pollfd wait = {.fd = tracing->bell_fd, .events = POLLIN};
    uint64_t rings;
    if (poll(&wait, 1, wait_ms) > 0 && read(tracing->bell_fd, &rings, sizeof rings) < 0)
        return atomic_load(&tracing->stop); /* EAGAIN: somebody rang who was heard already */
    return atomic_load(&tracing->stop);
}

static void tell(struct tracing *tracing, bool sent, const char *why)
{
    if (sent != tracing->failing)
        return; /* said before */
    tracing->failing = !sent;
    if (sent)
        log_event(tracing->log, LOG_LEVEL_WARN, "tracing_sends_again",
                  LOG_U64("dropped_spans", atomic_load(&tracing->dropped)));
    else
        log_event(tracing->log, LOG_LEVEL_ERROR, "tracing_failing", LOG_STRING("error", why),
                  LOG_STRING("remedy", "see that a collector takes OTLP/HTTP at tracing.endpoint; "
                                       "spans are dropped until then"));
}

static void send_batch(struct tracing *tracing, const struct text *body, uint32_t spans)
{
    char why[64] = "out of memory";
    enum outcome outcome = body->failed ? OUTCOME_REFUSED : OUTCOME_AGAIN;
    for (uint32_t i = 0; i < TRACING_TRIES && outcome == OUTCOME_AGAIN && !past_stop(tracing);
         i++) {
        if (i > 0 && wait_rung(tracing, 1000 << (i - 1)))
            break; /* it is not waited for twice while we stop */
        outcome = try_once(tracing, body, why);
    }
    bool sent = outcome == OUTCOME_TAKEN;
    atomic_fetch_add(sent ? &tracing->exported : &tracing->dropped, spans);
    tell(tracing, sent, why);
}

/* -- The thread -- */

/* Takes requests into the body until it is full or there are none; returns how many spans. */
static uint32_t gather(struct tracing *tracing, struct text *body, uint32_t *count)
{
    uint32_t spans = 0;
    while (*count < TRACING_BATCH) {
        struct otlp_request *request = ring_pop(tracing->requests);
        if (request == NULL)
            break;
        if (*count == 0) {
            text_reset(body);
            otlp_open(body, WEIR_VERSION, tracing->instance);
        }
        otlp_add(body, request);
        spans += otlp_spans(request);
        free(request);
        (*count)++;
    }
    return spans;
}

static void *sender_main(void *argument)
{
    struct tracing *tracing = argument;
    struct text body;
    text_init(&body);
    for (;;) {
        bool stop = atomic_load(&tracing->stop); /* before the ring: what came first is sent */
        uint32_t count = 0;
        uint32_t spans = gather(tracing, &body, &count);
        if (count > 0) {
            atomic_store(&tracing->asleep, false);
            if (count < TRACING_BATCH && !stop && !wait_rung(tracing, TRACING_BATCH_MS))
                spans += gather(tracing, &body, &count);
            otlp_close(&body);
            send_batch(tracing, &body, spans);
        } else if (stop) {
            break;
        } else if (atomic_load(&tracing->asleep)) {
            (void)wait_rung(tracing, SLEEP_MS); /* nothing came since we said so */
        } else {
            atomic_store(&tracing->asleep, true); /* and look once more */
        }
    }
    text_destroy(&body);
    return NULL;
}

/* -- Its face -- */

static void ring_bell(struct tracing *tracing)
{
    const uint64_t one = 1;
    ssize_t written = write(tracing->bell_fd, &one, sizeof one);
    (void)written; /* EAGAIN: it is rung */
}

void tracing_put(struct tracing *tracing, const struct otlp_request *request)
{
    struct otlp_request *copy = malloc(sizeof *copy);
    if (copy != NULL)
        *copy = *request;
    if (copy == NULL || !ring_push(tracing->requests, copy)) {
        free(copy);
        (void)atomic_fetch_add(&tracing->dropped, otlp_spans(request));
        return;
    }
    if (atomic_exchange(&tracing->asleep, false))
        ring_bell(tracing);
}

void tracing_stats(const struct tracing *tracing, struct tracing_stats *ret)
{
    *ret = (struct tracing_stats){0};
    if (tracing == NULL)
        return;
    ret->exported = atomic_load(&tracing->exported);
    ret->dropped = atomic_load(&tracing->dropped);
}

/* -- Life -- */

static bool add_header(struct tracing *tracing, const char *line)
{
    struct curl_slist *longer = curl_slist_append(tracing->headers, line);
    if (longer != NULL)
        tracing->headers = longer;
    return longer != NULL;
}

/* "name: value", of printable ASCII. */
static bool is_header(const char *line)
{
    size_t name = strcspn(line, ": ");
    if (name == 0 || line[name] != ':' || line[name + 1] == '\0')
        return false;
    for (; *line != '\0'; line++)
        if (*line < ' ' || *line > '~')
            return false;
    return true;
}

static int read_headers(struct tracing *tracing, const char *path, struct error *err)
{
    const struct private_file_rules rules = {
        .bytes_min = 1, .bytes_max = TRACING_HEADER_BYTES, .forbidden = 077};
    char text[TRACING_HEADER_BYTES + 1];
    size_t bytes = 0;
    uint32_t count = 0;
    int result = private_file_read(path, &rules, (uint8_t *)text, &bytes, NULL, err);
    if (result != 0)
        return error_wrap(err, "tracing.headers_file");
    text[bytes] = '\0';
    char *rest = text;
    for (char *line; result == 0 && (line = strsep(&rest, "\n")) != NULL;) {
        if (line[0] == '\0')
            continue;
        if (!is_header(line) || ++count > TRACING_HEADERS_MAX)
            result = error_set(err, ERROR_INVALID,
                               "tracing.headers_file: expected at most %u lines 'name: value'",
                               TRACING_HEADERS_MAX);
        else if (!add_header(tracing, line))
            result = error_no_memory(err);
    }
    explicit_bzero(text, sizeof text);
    return result;
}

static int check_endpoint(const struct tracing_config *config, struct error *err)
{
    size_t count = strlen(config->endpoint);
    bool secret = config->headers_file[0] != '\0'; /* headers are secrets; spans go where they go */
    if (config->endpoint[count - 1] == '/')
        return error_set(err, ERROR_INVALID,
                         "tracing.endpoint: expected scheme, host and port, without a '/' at the "
                         "end: " PATH " is put behind it");
    if (webhook_check_url(config->endpoint, !secret, err) == 0)
        return 0;
    return error_wrap(err, "tracing.endpoint");
}

static void choose_instance(struct tracing *tracing)
{
    uint8_t random[16];
    int drawn = RAND_bytes(random, sizeof random);
    assert(drawn == 1);
    for (size_t i = 0; i < sizeof random; i++)
        (void)snprintf(tracing->instance + 2 * i, 3, "%02x", random[i]);
}

static int start(struct tracing *tracing, const struct tracing_config *config, struct error *err)
{
    size_t capacity = 2;
    while (capacity < config->requests_max)
        capacity *= 2;
    int result = check_endpoint(config, err);
    if (result != 0)
        return result;
    tracing->requests = ring_new(capacity);
    tracing->global = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
    tracing->easy = tracing->global ? curl_easy_init() : NULL;
    if (tracing->requests == NULL || tracing->easy == NULL ||
        asprintf(&tracing->url, "%s" PATH, config->endpoint) < 0 ||
        !add_header(tracing, "content-type: application/json") || !add_header(tracing, "expect:"))
        return error_no_memory(err);
    if (config->headers_file[0] != '\0')
        result = read_headers(tracing, config->headers_file, err);
    if (result != 0)
        return result;
    if (!prepare(tracing))
        return error_no_memory(err);
    choose_instance(tracing);
    tracing->bell_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (tracing->bell_fd < 0)
        return error_set_errno(err, errno, "tracing: eventfd");
    int failed = thread_start(&tracing->thread, "tracing", 0, sender_main, tracing);
    if (failed != 0)
        return error_set_errno(err, failed, "tracing: thread");
    tracing->running = true;
    return 0;
}

struct tracing *tracing_open(const struct tracing_config *config, struct error *err)
{
    struct tracing *tracing = calloc(1, sizeof *tracing);
    if (tracing == NULL) {
        (void)error_no_memory(err);
        return NULL;
    }
    tracing->log = config->log;
    tracing->bell_fd = -1;
    if (start(tracing, config, err) == 0)
        return tracing;
    tracing_close(tracing);
    return NULL;
}

void tracing_close(struct tracing *tracing)
{
    if (tracing == NULL)
        return;
    if (tracing->running) {
        atomic_store(&tracing->stop_us, clock_monotonic_us() + TRACING_CLOSE_MS * 1000);
        atomic_store(&tracing->stop, true);
        ring_bell(tracing);
        (void)pthread_join(tracing->thread, NULL);
    }
    if (tracing->bell_fd >= 0)
        close(tracing->bell_fd);
    curl_easy_cleanup(tracing->easy);
    curl_slist_free_all(tracing->headers);
    if (tracing->global)
        curl_global_cleanup();
    ring_free(tracing->requests);
    free(tracing->url);
    free(tracing);
}
