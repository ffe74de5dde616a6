/* SPDX-License-Identifier: Apache-2.0 */
/* health.c -- weir health: whether a daemon says that it is well, for a container's health check,
 * which so needs no other program in the image. */
#include "base/text.h"
#include "daemon/commands/commands.h"
#include "daemon/commands/flag_value.h"

#include <curl/curl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#define URL_DEFAULT       "http://127.0.0.1:8080"
#define TIMEOUT_S_DEFAULT 3u
#define TIMEOUT_S_MAX     300u
#define ANSWER_BYTES_MAX  4096u /* what is shown of it */

static const char usage[] =
    "weir health -- whether a daemon is well\n"
    "\n"
    "  weir health [flags]\n"
    "\n"
    "  --url URL           of the daemon; " URL_DEFAULT " by default\n"
    "  --unix-socket PATH  reach it by a socket of this machine\n"
    "  --ready             whether it takes requests, too: loaded, and not draining\n"
    "  --timeout SECONDS   for the answer; 3 by default\n"
    "\n"
    "No certificate is checked: nothing secret is sent or believed.\n"
    "Exit status: 0 well, 1 not, which standard error explains, 64 wrong command line.\n";

struct health_command {
    const char *url, *socket, *timeout;
    bool help, ready;
    uint32_t timeout_s;
};

static int fail_usage(const char *message, const char *what)
{
    return flag_misused("health", message, what);
}

static int parse(struct health_command *command, int argc, char **argv)
{
    for (int i = 2; i < argc; i++) {
        const char *argument = argv[i];
        if (flag_is_help(argument))
            command->help = true;
        else if (strcmp(argument, "--ready") == 0)
            command->ready = true;
        else if (!flag_value("--url", argc, argv, &i, &command->url) &&
                 !flag_value("--unix-socket", argc, argv, &i, &command->socket) &&
                 !flag_value("--timeout", argc, argv, &i, &command->timeout))
            return fail_usage("unknown, or without a value: ", argument);
    }
    if (command->timeout != NULL &&
        !flag_seconds(command->timeout, TIMEOUT_S_MAX, &command->timeout_s))
        return fail_usage("--timeout: expected seconds from 1 to 300, got ", command->timeout);
    return flag_check_url("health", command->url);
}

/* Keeps the beginning, and only what may be shown on a terminal. */
static size_t on_body(char *bytes, size_t size, size_t count, void *argument)
{
    struct text *body = argument;
    (void)size; /* 1, by curl's word */
    for (size_t i = 0; i < count && body->count < ANSWER_BYTES_MAX; i++)
        text_append_char(body, bytes[i] >= ' ' && bytes[i] <= '~' ? bytes[i] : ' ');
    return body->failed ? 0 : count;
}

static bool prepare(CURL *easy, const struct health_command *command, const char *url,
                    struct text *body)
{
    return curl_easy_setopt(easy, CURLOPT_URL, url) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_NOPROXY, "*") == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_TIMEOUT, (long)command->timeout_s) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_WRITEDATA, body) == CURLE_OK &&
           (command->socket == NULL ||
            curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, command->socket) == CURLE_OK);
}

static int ask(CURL *easy, const struct health_command *command)
{
    struct text url, body;
    long status = 0;
    text_init(&url);
    text_init(&body);
    text_append_format(&url, "%s/%s", command->url, command->ready ? "ready" : "health");
    CURLcode code = CURLE_OUT_OF_MEMORY;
    if (!url.failed && prepare(easy, command, text_string(&url), &body))
        code = curl_easy_perform(easy);
    (void)curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    bool well = code == CURLE_OK && status == 200;
    if (code != CURLE_OK)
        (void)fprintf(stderr, "weir health: %s: %s\n", text_string(&url), curl_easy_strerror(code));
    else if (!well)
        (void)fprintf(stderr, "weir health: %s: status %ld: %s\n", text_string(&url), status,
                      text_string(&body));
    text_destroy(&url);
    text_destroy(&body);
    return well ? EXIT_SUCCESS : EXIT_FAILURE;
}

int command_health(int argc, char **argv)
{
    struct health_command command = {.url = URL_DEFAULT, .timeout_s = TIMEOUT_S_DEFAULT};
    int status = parse(&command, argc, argv);
    if (status == 0 && command.help)
        (void)fputs(usage, stdout);
    if (status != 0 || command.help)
        return status;
    CURL *easy = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? curl_easy_init() : NULL;
    if (easy == NULL) {
        (void)fprintf(stderr, "weir health: libcurl does not start\n");
        return EXIT_FAILURE;
    }
    status = ask(easy, &command);
    curl_easy_cleanup(easy);
    curl_global_cleanup();
    return status;
}
