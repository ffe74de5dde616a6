/* SPDX-License-Identifier: Apache-2.0 */
/* http2_fuzz.c -- a whole connection on any bytes, either protocol, with an application that
 * answers, streams, keeps and aborts by turns.
 *
 * The first byte's lowest bit puts the HTTP/2 preface and an empty SETTINGS before the rest. The
 * application checks that on_gone comes at most once and never after an answer is complete; every
 * exchange is accounted for when the listener is freed. */
#include "daemon/http/connection.h"
#include "daemon/http/listener_inner.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PIECES 3 /* the input arrives in so many reads */

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

struct record {
    unsigned requests, open;
};

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void on_headers(void *application, struct exchange *exchange)
{
    struct record *record = application;
    require(strlen(exchange_path(exchange)) <= EXCHANGE_PATH_BYTES_MAX);
    record->open++;
    if (++record->requests % 5 != 0)
        return;
    exchange_respond(exchange, 401, NULL, 0, "no", 2);
    record->open--;
}

static void on_request(void *application, struct exchange *exchange)
{
    struct record *record = application;
    size_t count;
    const char *body = exchange_body(exchange, &count);
    switch (record->requests % 5) {
    case 0:
    case 1:
        exchange_respond(exchange, 200, NULL, 0, body, count);
        break;
    case 2:
        exchange_stream_begin(exchange, 200, NULL, 0);
        (void)exchange_stream_write(exchange, body, count);
        exchange_stream_end(exchange);
        break;
    case 3:
        exchange_abort(exchange);
        break;
    default:
        return; /* kept: on_gone must come */
    }
    record->open--;
}

static void on_gone(void *application, struct exchange *exchange)
{
    struct record *record = application;
    require(record->open > 0);
    require(exchange_owner(exchange) == NULL);
    exchange_set_owner(exchange, record); /* a second time would find it */
    record->open--;
}

/* A socket that listens, at a name of the kernel's choice. */
static int listening(void)
{
    const struct sockaddr_un any = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    require(fd >= 0 && bind(fd, (const struct sockaddr *)&any, sizeof any.sun_family) == 0 &&
            listen(fd, 1) == 0);
    return fd;
}

static void drop_input(int fd)
{
    char bytes[4096];
    while (recv(fd, bytes, sizeof bytes, MSG_DONTWAIT) > 0)
        continue;
}

static void feed(struct listener *listener, int ends[2], const uint8_t *bytes, size_t count)
{
    static const char preface[] = CONNECTION_PREFACE "\0\0\0\4\0\0\0\0\0";
    bool h2 = count > 0 && (bytes[0] & 1) != 0;
    if (count > 0) {
        bytes++;
        count--;
    }
    const struct sockaddr_storage from = {.ss_family = AF_UNIX};
    require(connection_new(&listener->doors[0], ends[0], &from) != NULL);
    if (h2)
        require(send(ends[1], preface, sizeof preface - 1, 0) == sizeof preface - 1);
    for (int piece = 0; piece < PIECES; piece++) {
        size_t size = piece == PIECES - 1 ? count : count / PIECES;
        (void)send(ends[1], bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);
        bytes += size;
        count -= size;
        (void)event_base_loop(listener->base, EVLOOP_NONBLOCK);
        drop_input(ends[1]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    struct record record = {0};
    const struct exchange_handler handler = {.on_headers = on_headers,
                                             .on_request = on_request,
                                             .on_gone = on_gone,
                                             .application = &record};
    int ends[2];
    require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
    const struct listener_door door = {.fd = listening()};
    struct listener_config config = {
        .base = event_base_new(), .doors = &door, .door_count = 1, .handler = &handler};
    listener_limits_default(&config.limits);
    config.limits.body_bytes_max = 256;
    config.limits.streams_max = 8;
    config.limits.resets_max = 3; /* the guards are within reach of a small input */
    config.limits.control_frames_max = 6;
    struct listener *listener = listener_new(&config, NULL);
    require(listener != NULL);
    feed(listener, ends, bytes, count);
    if (count % 2 == 0)
        listener_drain(listener);
    (void)close(ends[1]);
    (void)event_base_loop(config.base, EVLOOP_NONBLOCK);
    listener_free(listener);
    require(record.open == 0);
    event_base_free(config.base);
    return 0;
}
