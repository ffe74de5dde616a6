/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/commands/usage.h"

#include <curl/curl.h>
#include <string.h>

#define CONNECT_MS 5000L
#define ANSWER_MS  60000L /* the first question for rolling windows reads a month of files */
#define POLL_MS    1000

struct answer {
    struct text body;
    bool too_long;
};

static size_t on_body(char *bytes, size_t size, size_t count, void *argument)
{
    struct answer *answer = argument;
    (void)size; /* 1, by curl's word */
    answer->too_long = answer->too_long || answer->body.count + count > USAGE_ANSWER_MAX;
    if (answer->too_long)
        return 0;
    text_append(&answer->body, bytes, count);
    return answer->body.failed ? 0 : count;
}

static bool prepare(CURL *easy, const struct usage_source *source, const char *url,
                    struct curl_slist *headers, struct answer *answer)
{
    return headers != NULL && curl_easy_setopt(easy, CURLOPT_URL, url) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, ANSWER_MS) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_WRITEDATA, answer) == CURLE_OK &&
           (strncmp(url, "http:", 5) != 0 || /* to this machine: no proxy needs the key */
            curl_easy_setopt(easy, CURLOPT_NOPROXY, "*") == CURLE_OK) &&
           (source->ca_file == NULL ||
            curl_easy_setopt(easy, CURLOPT_CAINFO, source->ca_file) == CURLE_OK);
}

/* CURLE_OK, what failed, or CURLE_ABORTED_BY_CALLBACK when told to stop. */
static CURLcode transfer(CURLM *multi, const struct usage_source *source)
{
    struct curl_waitfd waits = {.fd = source->signal_fd, .events = CURL_WAIT_POLLIN};
    int running = 1, left;
    while (running > 0) {
        waits.revents = 0;
        if (curl_multi_perform(multi, &running) != CURLM_OK)
            return CURLE_FAILED_INIT;
        if (running == 0)
            break;
        if (curl_multi_poll(multi, &waits, source->signal_fd >= 0 ? 1 : 0, POLL_MS, NULL) !=
            CURLM_OK)
            return CURLE_FAILED_INIT;
        if (waits.revents != 0 && source->stop(source->argument))
            return CURLE_ABORTED_BY_CALLBACK;
    }
    const CURLMsg *message = curl_multi_info_read(multi, &left);
    return message == NULL ? CURLE_FAILED_INIT : message->data.result;
}

static int fail_transfer(CURLcode code, const struct usage_source *source,
                         const struct answer *answer, struct error *err)
{
    if (answer->too_long)
        return error_set(err, ERROR_INVALID, "%.200s: an answer of more than %u bytes", source->url,
                         USAGE_ANSWER_MAX);
    switch (code) {
    case CURLE_ABORTED_BY_CALLBACK:
        return error_set(err, ERROR_CLOSED, "interrupted");
    case CURLE_OUT_OF_MEMORY:
    case CURLE_WRITE_ERROR:
        return error_no_memory(err);
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
        return error_set(err, ERROR_BUSY,
                         "%.200s: %s; --cacert FILE names the authority that signed its "
                         "certificate",
                         source->url, curl_easy_strerror(code));
    default:
        return error_set(err, ERROR_BUSY,
                         "%.200s: %s; is weir serve running there (--url)? weir report reads the "
                         "ledger without it",
                         source->url, curl_easy_strerror(code));
    }
}

/* What the daemon says of itself, in OpenAI's shape. */
static const char *message_of(const json_t *answer)
{
    const json_t *error = json_object_get(answer, "error");
    const char *message = json_string_value(json_object_get(error, "message"));
    return message == NULL ? "it does not say why" : message;
}

static int fail_status(long status, const json_t *answer, const char *url, struct error *err)
{
    switch (status) {
    case 401:
    case 403:
        return error_set(err, ERROR_REFUSED, "%.200s: the key is none of its access.admin_keys",
                         url);
    case 404:
        return error_set(err, ERROR_NOT_FOUND,
                         "%.200s: no admin door: give its configuration an access.admin_keys, or "
                         "this command the --url of a weir that has one",
                         url);
    case 400:
        return error_set(err, ERROR_UNSUPPORTED, "%.200s: %.300s", url, message_of(answer));
    default:
        return error_set(err, ERROR_BUSY, "%.200s: status %ld: %.300s", url, status,
                         message_of(answer));
    }
}

/* One question and its whole answer, of whatever status. */
static int transfer_all(CURL *easy, CURLM *multi, const struct usage_source *source,
                        const char *path, struct answer *answer, struct error *err)
{
    struct text url, authorization;
    text_init(&url);
    text_init(&authorization);
    text_append_format(&url, "%s%s", source->url, path);
    text_append_format(&authorization, "authorization:%s%s",
                       source->key[0] == '\0' ? "" : " Bearer ", source->key);
    struct curl_slist *headers = curl_slist_append(NULL, text_string(&authorization));
    int result = 0;
    if (url.failed || authorization.failed ||
        !prepare(easy, source, text_string(&url), headers, answer) ||
        curl_multi_add_handle(multi, easy) != CURLM_OK)
        result = error_no_memory(err);
    if (result == 0) {
        CURLcode code = transfer(multi, source);
        if (code != CURLE_OK)
            result = fail_transfer(code, source, answer, err);
        (void)curl_multi_remove_handle(multi, easy);
    }
    curl_slist_free_all(headers);
    if (authorization.bytes != NULL)
        explicit_bzero(authorization.bytes, authorization.count);
    text_destroy(&authorization);
    text_destroy(&url);
    return result;
}

int usage_get(const struct usage_source *source, const char *path, struct text *ret_body,
              long *ret_status, struct error *err)
{
    struct answer answer = {.too_long = false};
    CURL *easy = curl_easy_init();
    CURLM *multi = curl_multi_init();
    text_init(&answer.body);
    int result = easy == NULL || multi == NULL
                     ? error_no_memory(err)
                     : transfer_all(easy, multi, source, path, &answer, err);
    if (result == 0) {
        (void)curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, ret_status);
        *ret_body = answer.body;
    } else {
        text_destroy(&answer.body);
    }
    curl_easy_cleanup(easy);
    if (multi != NULL)
        (void)curl_multi_cleanup(multi);
    return result;
}

int usage_fetch(const struct usage_source *source, json_t **ret, struct text *ret_bytes,
                struct error *err)
{
    struct text path, body;
    long status = 0;
    text_init(&path);
    text_append_string(&path, "/admin/v1/usage");
    if (source->month != NULL)
        text_append_format(&path, "?month=%s", source->month);
    int result = path.failed ? error_no_memory(err)
                             : usage_get(source, text_string(&path), &body, &status, err);
    text_destroy(&path);
    if (result != 0)
        return result;
    json_t *answer = json_loadb(text_string(&body), body.count, JSON_REJECT_DUPLICATES, NULL);
    const char *object = json_string_value(json_object_get(answer, "object"));
    if (status != 200)
        result = fail_status(status, answer, source->url, err);
    else if (object == NULL || strcmp(object, "usage") != 0)
        result = error_set(err, ERROR_INVALID, "%.200s: answers, but is no weir", source->url);
    if (result == 0) {
        *ret = answer;
        *ret_bytes = body;
        return 0;
    }
    json_decref(answer);
    text_destroy(&body);
    return result;
}
