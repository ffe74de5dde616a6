/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/policy/receiver.h"

#include <assert.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define REQUEST_BYTES 65536u

struct receiver {
    receiver_answer answer;
    void *argument;
    int listener;
    uint16_t port;
    pthread_t thread;
    uint32_t count;
    struct received *messages;
    char request[REQUEST_BYTES];
};

static void copy_header(const char *head, const char *name, char ret[RECEIVER_HEADER_BYTES])
{
    size_t count = strlen(name);
    ret[0] = '\0';
    for (const char *line = head; line != NULL; line = strstr(line, "\r\n")) {
        line += line[0] == '\r' ? 2 : 0;
        if (strncasecmp(line, name, count) == 0 && line[count] == ':') {
            (void)sscanf(line + count + 1, " %255[^\r]", ret);
            return;
        }
    }
}

/* Reads a request; false when the other side went away. */
static bool read_request(struct receiver *receiver, int fd, struct received *ret)
{
    size_t got = 0, wanted = SIZE_MAX;
    char *body = NULL, length[RECEIVER_HEADER_BYTES];
    while (got < wanted && got < REQUEST_BYTES - 1) {
        ssize_t more = read(fd, receiver->request + got, REQUEST_BYTES - 1 - got);
        if (more <= 0)
            return false;
        got += (size_t)more;
        receiver->request[got] = '\0';
        if (body == NULL && (body = strstr(receiver->request, "\r\n\r\n")) != NULL) {
            copy_header(receiver->request, "content-length", length);
            body += 4;
            wanted = (size_t)(body - receiver->request) + strtoul(length, NULL, 10);
        }
    }
    memset(ret, 0, sizeof *ret);
    copy_header(receiver->request, "webhook-id", ret->id);
    copy_header(receiver->request, "webhook-timestamp", ret->timestamp);
    copy_header(receiver->request, "webhook-signature", ret->signature);
    if (body != NULL)
        (void)snprintf(ret->body, sizeof ret->body, "%s", body);
    return body != NULL;
}

static void serve(struct receiver *receiver, int fd)
{
    struct received request;
    while (receiver->count < RECEIVER_MESSAGES_MAX && read_request(receiver, fd, &request)) {
        const char *answer = receiver->answer(receiver->argument, &request);
        size_t count = answer == NULL ? 0 : strlen(answer), sent = 0;
        while (sent < count) {
            ssize_t more = send(fd, answer + sent, count - sent, MSG_NOSIGNAL);
            if (more <= 0)
                break;
            sent += (size_t)more;
        }
        request.answered = count > 0 && sent == count;
        receiver->messages[receiver->count++] = request;
        if (!request.answered)
            return;
    }
}

static void *run(void *argument)
{
    struct receiver *receiver = argument;
    int fd;
    while ((fd = accept(receiver->listener, NULL, NULL)) >= 0) {
        serve(receiver, fd);
        close(fd);
    }
    return NULL;
}

struct receiver *receiver_start(receiver_answer answer, void *argument)
{
    struct receiver *receiver = calloc(1, sizeof *receiver);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t count = sizeof address;
    assert(receiver != NULL);
    receiver->answer = answer;
    receiver->argument = argument;
    receiver->messages = calloc(RECEIVER_MESSAGES_MAX, sizeof *receiver->messages);
    receiver->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int bound = bind(receiver->listener, (struct sockaddr *)&address, sizeof address);
    int listening = listen(receiver->listener, 64);
    int named = getsockname(receiver->listener, (struct sockaddr *)&address, &count);
    assert(receiver->messages != NULL && bound == 0 && listening == 0 && named == 0);
    receiver->port = ntohs(address.sin_port);
    int started = pthread_create(&receiver->thread, NULL, run, receiver);
    assert(started == 0);
    return receiver;
}

uint16_t receiver_port(const struct receiver *receiver)
{
    return receiver->port;
}

void receiver_stop(struct receiver *receiver)
{
    (void)shutdown(receiver->listener, SHUT_RDWR); /* wakes accept() */
    (void)pthread_join(receiver->thread, NULL);
    close(receiver->listener);
}

uint32_t receiver_count(const struct receiver *receiver)
{
    return receiver->count;
}

const struct received *receiver_message(const struct receiver *receiver, uint32_t index)
{
    return &receiver->messages[index];
}

void receiver_free(struct receiver *receiver)
{
    free(receiver->messages);
    free(receiver);
}
