/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/commands/remote.h"

#include "daemon/commands/flag_value.h"
#include "policy/alerts/webhook.h"
#include "policy/users/private_file.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#define CONNECT_MS 5000L
#define ANSWER_MS  60000L /* the first question for rolling windows reads a month of files */
#define POLL_MS    1000

/* -- The command line -- */

bool remote_take_flag(struct remote *remote, int argc, char **argv, int *at)
{
    const struct {
        const char *flag, **value;
    } flags[] = {
        {"--url", &remote->url}, {"--key-file", &remote->key_file}, {"--cacert", &remote->ca_file}};
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
        if (flag_value(flags[i].flag, argc, argv, at, flags[i].value))
            return (*flags[i].value)[0] != '\0';
    return false;
}

static int check_url(const struct remote *remote)
{
    struct error err = {0};
    int status = flag_check_url(remote->command, remote->url);
    if (status != 0 || webhook_check_url(remote->url, false, &err) == 0)
        return status;
    (void)fprintf(stderr, "weir %s: --url: %s\n", remote->command, err.text);
    return EX_USAGE;
}

static int read_key_file(const char *command, const char *path, char *ret)
{
    const struct private_file_rules rules = {
        .bytes_min = 1, .bytes_max = REMOTE_KEY_BYTES_MAX, .forbidden = 077};
    struct error err = {0};
    size_t count = 0;
    int result = private_file_read(path, &rules, (uint8_t *)ret, &count, NULL, &err);
    if (result != 0) {
        (void)fprintf(stderr, "weir %s: %s\n", command, err.text);
        return result == ERROR_REFUSED ? EX_NOPERM : EX_NOINPUT;
    }
    while (count > 0 && (ret[count - 1] == '\n' || ret[count - 1] == '\r'))
        count--;
    ret[count] = '\0';
    return 0;
}

static int find_key(struct remote *remote, bool needed)
{
    const char *variable = getenv(REMOTE_KEY_VARIABLE);
    char *key = remote->key;
    key[0] = '\0';
    if (remote->key_file != NULL) {
        int status = read_key_file(remote->command, remote->key_file, key);
        if (status != 0)
            return status;
    } else if (variable != NULL && strlen(variable) <= REMOTE_KEY_BYTES_MAX) {
        memcpy(key, variable, strlen(variable) + 1);
    }
    bool plain = key[0] != '\0' || (!needed && remote->key_file == NULL);
    for (const char *at = key; *at != '\0'; at++)
        plain = plain && *at > ' ' && *at <= '~'; /* it becomes a line of a header */
    if (plain)
        return 0;
    (void)fprintf(stderr,
                  "weir %s: no key: --key-file FILE, or $" REMOTE_KEY_VARIABLE
                  ", holds one of access.admin_keys\n",
                  remote->command);
    return EX_NOPERM;
}

int remote_open(struct remote *remote, bool key_needed)
{
    int status = check_url(remote);
    if (status == 0)
        status = find_key(remote, key_needed);
    if (status == 0 && curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        (void)fprintf(stderr, "weir %s: libcurl does not start\n", remote->command);
        status = EX_OSERR;
    }
    if (status != 0)
        explicit_bzero(remote->key, sizeof remote->key);
    return status;
}

void remote_close(struct remote *remote)
{
    explicit_bzero(remote->key, sizeof remote->key);
    curl_global_cleanup();
}

int remote_complain(const struct remote *remote, const struct error *err)
{
    if (err->code == ERROR_CLOSED)
        return EXIT_SUCCESS;
    (void)fprintf(stderr, "weir %s: %s\n", remote->command, err->text);
    switch (err->code) {
    case ERROR_NOT_FOUND:
    case ERROR_BUSY:
        return EX_UNAVAILABLE;
    case ERROR_REFUSED:
        return EX_NOPERM;
    case ERROR_UNSUPPORTED:
        return EX_USAGE;
    case ERROR_INVALID:
        return EX_PROTOCOL;
    case ERROR_IO:
        return EX_IOERR;
    default:
        return EX_OSERR;
    }
}

/* -- Asking -- */

struct answer {
    struct text body;
    bool too_long;
};

static size_t on_body(char *bytes, size_t size, size_t count, void *argument)
{
    struct answer *answer = argument;
    (void)size; /* 1, by curl's word */
    answer->too_long = answer->too_long || answer->body.count + count > REMOTE_ANSWER_MAX;
    if (answer->too_long)
        return 0;
    text_append(&answer->body, bytes, count);
    return answer->body.failed ? 0 : count;
}

static bool prepare(CURL *easy, const struct remote *remote, const char *url,
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
           (remote->ca_file == NULL ||
            curl_easy_setopt(easy, CURLOPT_CAINFO, remote->ca_file) == CURLE_OK);
}

/* CURLE_OK, what failed, or CURLE_ABORTED_BY_CALLBACK when told to stop. */
static CURLcode transfer(CURLM *multi, const struct remote *remote)
{
    struct screen *screen = remote->screen;
    struct curl_waitfd waits = {.fd = screen == NULL ? -1 : screen->signal_fd,
                                .events = CURL_WAIT_POLLIN};
    int running = 1, left;
    while (running > 0) {
        waits.revents = 0;
        if (curl_multi_perform(multi, &running) != CURLM_OK)
            return CURLE_FAILED_INIT;
        if (running == 0)
            break;
        if (curl_multi_poll(multi, &waits, screen == NULL ? 0 : 1, POLL_MS, NULL) != CURLM_OK)
            return CURLE_FAILED_INIT;
        if (waits.revents != 0 && screen_take_signals(screen))
            return CURLE_ABORTED_BY_CALLBACK;
    }
    const CURLMsg *message = curl_multi_info_read(multi, &left);
    return message == NULL ? CURLE_FAILED_INIT : message->data.result;
}

static int fail_transfer(CURLcode code, const struct remote *remote, const struct answer *answer,
                         struct error *err)
{
    if (answer->too_long)
        return error_set(err, ERROR_INVALID, "%.200s: an answer of more than %u bytes", remote->url,
                         REMOTE_ANSWER_MAX);
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
                         remote->url, curl_easy_strerror(code));
    default:
        return error_set(err, ERROR_BUSY,
                         "%.200s: %s; is weir serve running there (--url)? weir report reads the "
                         "ledger without it",
                         remote->url, curl_easy_strerror(code));
    }
}

/* One question and its whole answer, of whatever status. */
static int transfer_all(CURL *easy, CURLM *multi, const struct remote *remote, const char *path,
                        struct answer *answer, struct error *err)
{
    struct text url, authorization;
    text_init(&url);
    text_init(&authorization);
    text_append_format(&url, "%s%s", remote->url, path);
    text_append_format(&authorization, "authorization:%s%s",
                       remote->key[0] == '\0' ? "" : " Bearer ", remote->key);
    struct curl_slist *headers = curl_slist_append(NULL, text_string(&authorization));
    int result = 0;
    if (url.failed || authorization.failed ||
        !prepare(easy, remote, text_string(&url), headers, answer) ||
        curl_multi_add_handle(multi, easy) != CURLM_OK)
        result = error_no_memory(err);
    if (result == 0) {
        CURLcode code = transfer(multi, remote);
        if (code != CURLE_OK)
            result = fail_transfer(code, remote, answer, err);
        (void)curl_multi_remove_handle(multi, easy);
    }
    curl_slist_free_all(headers);
    if (authorization.bytes != NULL)
        explicit_bzero(authorization.bytes, authorization.count);
    text_destroy(&authorization);
    text_destroy(&url);
    return result;
}

int remote_get(const struct remote *remote, const char *path, struct text *ret_body,
               long *ret_status, struct error *err)
{
    struct answer answer = {.too_long = false};
    CURL *easy = curl_easy_init();
    CURLM *multi = curl_multi_init();
    text_init(&answer.body);
    int result = easy == NULL || multi == NULL
                     ? error_no_memory(err)
                     : transfer_all(easy, multi, remote, path, &answer, err);
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
