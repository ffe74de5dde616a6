/* SPDX-License-Identifier: Apache-2.0 */
/* receiver.h -- someone to send webhooks to: an HTTP/1.1 server of one thread, on loopback, that
 * does what a test tells it to, and remembers what it was sent. */
#ifndef WEIR_TESTS_POLICY_RECEIVER_H
#define WEIR_TESTS_POLICY_RECEIVER_H

#include <stdbool.h>
#include <stdint.h>

#define RECEIVER_MESSAGES_MAX 32768u
#define RECEIVER_HEADER_BYTES 256u
#define RECEIVER_BODY_BYTES   512u

struct received {
    char id[RECEIVER_HEADER_BYTES], timestamp[RECEIVER_HEADER_BYTES],
        signature[RECEIVER_HEADER_BYTES], body[RECEIVER_BODY_BYTES];
    bool answered; /* by the whole answer; else the connection was closed on it */
};

/* The answer to a request: whole HTTP bytes, or NULL to close without a word. Receiver's thread. */
typedef const char *(*receiver_answer)(void *argument, const struct received *request);

struct receiver;

struct receiver *receiver_start(receiver_answer answer, void *argument);
uint16_t receiver_port(const struct receiver *receiver);
/* Ends the thread; what was received may be read until receiver_free(). */
void receiver_stop(struct receiver *receiver);
uint32_t receiver_count(const struct receiver *receiver);
const struct received *receiver_message(const struct receiver *receiver, uint32_t index);
void receiver_free(struct receiver *receiver);

#endif
