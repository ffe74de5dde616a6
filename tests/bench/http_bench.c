/* SPDX-License-Identifier: Apache-2.0 */
/* http_bench.c -- daemon/http alone, for a load generator: GET /health gives 15 bytes.
 *
 *     http_bench PORT
 *     h2load -n 200000 -c 64 -m 32 http://127.0.0.1:PORT/health
 *
 * One worker, clear text. Ends at SIGINT or SIGTERM. */
#include "daemon/http/listener.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void answer(void *application, struct exchange *exchange)
{
    (void)application;
    const struct http_header type = {"content-type", "application/json"};
    if (strcmp(exchange_path(exchange), "/health") == 0)
        exchange_respond(exchange, 200, &type, 1, "{\"status\":\"ok\"}", 15);
    else
        exchange_respond(exchange, 404, NULL, 0, NULL, 0);
}

static void on_gone(void *application, struct exchange *exchange)
{
    (void)application;
    (void)exchange; /* every answer is complete at once: nothing is kept */
}

static void on_signal(evutil_socket_t number, short what, void *base)
{
    (void)number;
    (void)what;
    (void)event_base_loopbreak(base);
}

int main(int argc, char **argv)
{
    struct error err = {0};
    uint16_t port = argc > 1 ? (uint16_t)strtoul(argv[1], NULL, 10) : 0;
    int fd = listener_bind("127.0.0.1", port, &port, &err);
    if (fd < 0) {
        (void)fprintf(stderr, "http_bench: %s\n", err.text);
        return 1;
    }
    const struct exchange_handler handler = {.on_request = answer, .on_gone = on_gone};
    struct event_base *base = event_base_new();
    const struct listener_door door = {.fd = fd};
    struct listener_config config = {
        .base = base, .doors = &door, .door_count = 1, .handler = &handler};
    listener_limits_default(&config.limits);
    struct listener *listener = listener_new(&config, &err);
    if (listener == NULL) {
        (void)fprintf(stderr, "http_bench: %s\n", err.text);
        event_base_free(base);
        return 1;
    }
    struct event *interrupt = evsignal_new(base, SIGINT, on_signal, base);
    struct event *terminate = evsignal_new(base, SIGTERM, on_signal, base);
    (void)event_add(interrupt, NULL);
    (void)event_add(terminate, NULL);
    (void)printf("http://127.0.0.1:%u/health\n", port);
    (void)fflush(stdout);
    (void)event_base_dispatch(base);
    listener_free(listener);
    event_free(interrupt);
    event_free(terminate);
    event_base_free(base);
    return 0;
}
