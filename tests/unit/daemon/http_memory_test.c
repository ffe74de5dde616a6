/* SPDX-License-Identifier: Apache-2.0 */
/* http_memory_test.c -- each allocation failing in turn, under one HTTP/1.1 and one HTTP/2 visit.
 *
 * This test's own malloc() stands before the library's. It refuses the n-th allocation made while
 * `armed` (and no other) for n = 1, 2, ... until a visit makes fewer than n. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/daemon/http_fixture.h"

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *old, size_t bytes);
void __libc_free(void *old);

static struct {
    bool armed;
    unsigned long left;
    bool refused;
} heap;

static bool refuses(void)
{
    if (!heap.armed || heap.refused || --heap.left > 0)
        return false;
    heap.refused = true;
    errno = ENOMEM;
    return true;
}

void *malloc(size_t bytes)
{
    return refuses() ? NULL : __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes)
{
    return refuses() ? NULL : __libc_calloc(count, bytes);
}

void *realloc(void *old, size_t bytes)
{
    return refuses() ? NULL : __libc_realloc(old, bytes);
}

void free(void *old)
{
    __libc_free(old);
}

static void answer(void *application, struct exchange *exchange)
{
    (void)application;
    size_t count;
    const char *body = exchange_body(exchange, &count);
    const struct http_header type = {"content-type", "text/plain"};
    exchange_stream_begin(exchange, 200, &type, 1);
    (void)exchange_stream_write(exchange, body, count);
    exchange_stream_end(exchange);
}

static void on_gone(void *application, struct exchange *exchange)
{
    (void)exchange;
    unsigned *gone = application;
    (*gone)++; /* its head or body found no memory */
}

/* A listener, a client that says `says` and leaves; true when an allocation was refused. */
static bool visit(const char *says, size_t count, unsigned long refused_at)
{
    struct http_fixture fixture;
    struct http_client client;
    unsigned gone = 0;
    http_fixture_open(&fixture, NULL, NULL);
    fixture.handler =
        (struct exchange_handler){.on_request = answer, .on_gone = on_gone, .application = &gone};
    http_client_open(&client, &fixture);
    http_client_send(&client, says, count);
    heap.left = refused_at;
    heap.refused = false;
    heap.armed = true;
    for (int turns = 0; turns < 4; turns++)
        http_fixture_turn(&fixture);
    heap.armed = false;
    http_client_close(&client);
    for (int turns = 0; turns < 4; turns++)
        http_fixture_turn(&fixture);
    http_fixture_close(&fixture);
    return heap.refused;
}

static void http_1_1_survives_every_allocation_that_fails(void **state)
{
    (void)state;
    const char says[] = "POST /a?b HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\nhello"
                        "POST /c HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n"
                        "3\r\nabc\r\n0\r\n\r\nGET / HTTP/1.1\r\n";
    unsigned long at = 1;
    while (visit(says, sizeof says - 1, at))
        at++;
    assert_true(at > 5); /* it did refuse some */
}

static void http_2_survives_every_allocation_that_fails(void **state)
{
    (void)state;
    const char says[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
                        "\0\0\0\4\0\0\0\0\0"                    /* SETTINGS */
                        "\0\0\6\1\4\0\0\0\1\x83\x86\x84\x41\1a" /* POST / */
                        "\0\0\5\0\1\0\0\0\1hello"               /* its body */
                        "\0\0\6\1\5\0\0\0\3\x82\x86\x84\x41\1a" /* GET / */
                        "\0\0\10\6\0\0\0\0\0pingping";
    unsigned long at = 1;
    while (visit(says, sizeof says - 1, at))
        at++;
    assert_true(at > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(http_1_1_survives_every_allocation_that_fails),
        cmocka_unit_test(http_2_survives_every_allocation_that_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
