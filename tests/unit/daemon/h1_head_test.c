/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/text.h"
#include "daemon/http/h1_head.h"

#define HOST "Host: a\r\n"

static const struct {
    const char *head;
    size_t count;
    uint32_t status;
} cases[] = {
#define CASE(status, head)                                                                         \
    {                                                                                              \
        head, sizeof(head) - 1, status                                                             \
    }
    CASE(0, "GET / HTTP/1.1\r\n" HOST "\r\n"),
    CASE(0, "GET / HTTP/1.0\r\n\r\n"),
    CASE(0, "BREW /pot?x=1 HTTP/1.1\r\n" HOST "\r\n"),
    CASE(0, "GET http://a/b HTTP/1.1\r\n" HOST "\r\n"),
    CASE(0, "OPTIONS * HTTP/1.1\r\n" HOST "\r\n"),
    CASE(0, "POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nContent-Length: 5\r\n\r\n"),
    CASE(0, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: Chunked\r\n\r\n"),
    CASE(0, "GET / HTTP/1.1\r\n" HOST "X:\r\nY: \t a b\t \r\n\r\n"),
    CASE(0, "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n"),
    /* two readers could see two bodies */
    CASE(400, "POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
    CASE(400, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"),
    CASE(400, "POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nContent-Length: 6\r\n\r\n"),
    CASE(400, "POST / HTTP/1.1\r\n" HOST "Content-Length: 5, 5\r\n\r\n"),
    CASE(400, "POST / HTTP/1.1\r\n" HOST "Content-Length: +5\r\n\r\n"),
    CASE(400, "POST / HTTP/1.1\r\n" HOST "Content-Length: -5\r\n\r\n"),
    CASE(400, "POST / HTTP/1.1\r\n" HOST "Content-Length: 0x5\r\n\r\n"),
    CASE(400, "POST / HTTP/1.1\r\n" HOST "Content-Length: 5 5\r\n\r\n"),
    CASE(400, "POST / HTTP/1.1\r\n" HOST "Content-Length:\r\n\r\n"),
    CASE(400, "POST / HTTP/1.1\r\n" HOST "Content-Length: 18446744073709551617\r\n\r\n"),
    CASE(501, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n"),
    CASE(501, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: xchunked\r\n\r\n"),
    CASE(501, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked, identity\r\n\r\n"),
    CASE(501, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding:\r\n\r\n"),
    CASE(400, "POST / HTTP/1.1\r\n" HOST
              "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
    CASE(400, "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
    CASE(400, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding : chunked\r\n\r\n"),
    CASE(400, "POST / HTTP/1.1\r\n" HOST " Transfer-Encoding: chunked\r\n\r\n"),
    CASE(400, "POST / HTTP/1.1\r\n" HOST "X: a\r\n Transfer-Encoding: chunked\r\n\r\n"),
    CASE(400, "POST / HTTP/1.1\r\n" HOST "X: a\r\n\tfolded\r\n\r\n"),
    CASE(400, "POST / HTTP/1.1\r\n" HOST "X: a\nTransfer-Encoding: chunked\r\n\r\n"),
    CASE(400, "POST / HTTP/1.1\r\n" HOST "X: a\rTransfer-Encoding: chunked\r\n\r\n"),
    CASE(400, "GET / HTTP/1.1\n" HOST "\r\n"),
    CASE(400, "GET / HTTP/1.1\r\n" HOST "\n"),
    CASE(400, "GET / HTTP/1.1\r\n" HOST "X: a\0b\r\n\r\n"),
    CASE(400, "GET / HTTP/1.1\r\n" HOST "X: a\x01\r\n\r\n"),
    CASE(400, "GET / HTTP/1.1\r\n" HOST "X: a\x7f\r\n\r\n"),
    CASE(400, "GET / HTTP/1.1\r\n" HOST "X\0: a\r\n\r\n"),
    CASE(400, "GET / HTTP/1.1\r\n" HOST ": a\r\n\r\n"),
    CASE(400, "GET / HTTP/1.1\r\n" HOST "no colon\r\n\r\n"),
    CASE(400, "GET / HTTP/1.1\r\n" HOST "X(y): a\r\n\r\n"),
    /* whom it is for */
    CASE(400, "GET / HTTP/1.1\r\n\r\n"),
    CASE(400, "GET / HTTP/1.1\r\n" HOST HOST "\r\n"),
    CASE(400, "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    CASE(400, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
    /* the request line */
    CASE(400, "\r\n\r\n"),
    CASE(400, "GET /\r\n\r\n"),
    CASE(400, "GET  / HTTP/1.1\r\n" HOST "\r\n"),
    CASE(400, "GET /  HTTP/1.1\r\n" HOST "\r\n"),
    CASE(400, "GET / HTTP/1.1 \r\n" HOST "\r\n"),
    CASE(400, " GET / HTTP/1.1\r\n" HOST "\r\n"),
    CASE(400, "GET\t/ HTTP/1.1\r\n" HOST "\r\n"),
    CASE(400, "GET /a b HTTP/1.1\r\n" HOST "\r\n"),
    CASE(400, "GET /\0 HTTP/1.1\r\n" HOST "\r\n"),
    CASE(400, "GET /\xc3\xa9 HTTP/1.1\r\n" HOST "\r\n"),
    CASE(400, "GET /#f HTTP/1.1\r\n" HOST "\r\n"),
    CASE(400, "G@T / HTTP/1.1\r\n" HOST "\r\n"),
    CASE(400, "AMETHODTHATISLONGERTHANANYBODYNEEDS / HTTP/1.1\r\n" HOST "\r\n"),
    CASE(400, "GET / http/1.1\r\n" HOST "\r\n"),
    CASE(400, "GET / HTTP/1\r\n" HOST "\r\n"),
    CASE(400, "GET / HTTP/1.10\r\n" HOST "\r\n"),
    CASE(505, "GET / HTTP/1.2\r\n" HOST "\r\n"),
    CASE(505, "GET / HTTP/2.0\r\n" HOST "\r\n"),
    CASE(505, "GET / HTTP/0.9\r\n" HOST "\r\n"),
    CASE(417, "GET / HTTP/1.1\r\n" HOST "Expect: the-unexpected\r\n\r\n"),
#undef CASE
};

static void what_two_readers_could_take_differently_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct h1_head head;
        const char *fault = NULL;
        size_t scanned = 0;
        size_t count = h1_head_find(cases[i].head, cases[i].count, &scanned);
        if (count == 0 || (count != cases[i].count && cases[i].status == 0))
            fail_msg("case %zu: %zu of %zu bytes found", i, count, cases[i].count);
        uint32_t status = h1_head_parse(cases[i].head, count, &head, &fault);
        if (status != cases[i].status)
            fail_msg("case %zu: %u instead of %u: %s", i, status, cases[i].status, cases[i].head);
        assert_non_null(fault);
    }
}

static void a_head_is_found_however_it_is_cut(void **state)
{
    (void)state;
    const char head[] = "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\nnext";
    size_t whole = sizeof head - 1 - 4;
    for (size_t cut = 0; cut < whole; cut++) {
        size_t scanned = 0;
        assert_int_equal(h1_head_find(head, cut, &scanned), 0);
        assert_int_equal(h1_head_find(head, sizeof head - 1, &scanned), whole);
    }
    size_t scanned = 0;
    for (size_t cut = 0; cut < whole; cut++)
        assert_int_equal(h1_head_find(head, cut, &scanned), 0);
    assert_int_equal(h1_head_find(head, whole, &scanned), whole);
}

static void fields_are_spans_without_the_space_around_them(void **state)
{
    (void)state;
    const char bytes[] = "POST /p?q HTTP/1.1\r\nHost: h\r\nEmpty:\r\nX-Y: \t a b \r\n"
                         "Connection: foo, Close\r\nContent-Length: 12\r\n\r\n";
    struct h1_head head;
    const char *fault;
    assert_int_equal(h1_head_parse(bytes, sizeof bytes - 1, &head, &fault), 0);
    assert_int_equal(head.field_count, 5);
    assert_int_equal(head.fields[1].value.count, 0);
    assert_memory_equal(head.fields[2].value.bytes, "a b", head.fields[2].value.count);
    assert_int_equal(head.fields[2].value.count, 3);
    assert_memory_equal(head.target.bytes, "/p?q", head.target.count);
    assert_int_equal(head.length, 12);
    assert_true(head.has_length);
    assert_false(head.keep_alive);
}

static void limits_of_a_head_are_told_apart(void **state)
{
    (void)state;
    struct text text;
    text_init(&text);
    struct h1_head head;
    const char *fault;
    text_append_string(&text, "GET /");
    for (unsigned i = 0; i < EXCHANGE_PATH_BYTES_MAX; i++)
        text_append_char(&text, 'a');
    text_append_string(&text, " HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(h1_head_parse(text.bytes, text.count, &head, &fault), 414);
    text_reset(&text);
    text_append_string(&text, "GET / HTTP/1.1\r\n" HOST);
    for (unsigned i = 0; i < EXCHANGE_HEADERS_MAX; i++)
        text_append_string(&text, "X: y\r\n");
    text_append_string(&text, "\r\n");
    assert_int_equal(h1_head_parse(text.bytes, text.count, &head, &fault), 431);
    text_reset(&text);
    text_append_string(&text, "GET / HTTP/1.1\r\n" HOST "X: ");
    for (unsigned i = 0; i < EXCHANGE_HEADER_BYTES_MAX; i++)
        text_append_char(&text, 'a');
    text_append_string(&text, "\r\n\r\n");
    assert_int_equal(h1_head_parse(text.bytes, text.count, &head, &fault), 431);
    text_destroy(&text);
}

/* Reads a chunked body in two pieces; the body's bytes go to text. */
static enum h1_chunk_state read_chunks(const char *bytes, size_t count, size_t cut,
                                       struct text *text, size_t *ret_used)
{
    struct h1_chunks chunks = {0};
    size_t at = 0;
    text_reset(text);
    while (at < count && chunks.state != H1_CHUNK_DONE && chunks.state != H1_CHUNK_BAD) {
        size_t end = at < cut ? cut : count;
        struct h1_span run;
        at += h1_chunks_parse(&chunks, bytes + at, end - at, &run);
        text_append(text, run.bytes, run.count);
    }
    *ret_used = at;
    return chunks.state;
}

static void a_chunked_body_reads_alike_however_it_is_cut(void **state)
{
    (void)state;
    const char body[] = "5\r\nhello\r\n1;a=\"b\"\r\n \r\nA\r\n0123456789\r\n000\r\nT: x\r\n\r\nGET";
    struct text text;
    text_init(&text);
    for (size_t cut = 0; cut < sizeof body; cut++) {
        size_t used;
        assert_int_equal(read_chunks(body, sizeof body - 1, cut, &text, &used), H1_CHUNK_DONE);
        assert_string_equal(text_string(&text), "hello 0123456789");
        assert_int_equal(used, sizeof body - 1 - 3);
    }
    text_destroy(&text);
}

static void malformed_chunks_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "\r\n",
        ";x\r\n",
        "g\r\n",
        " 5\r\n",
        "5 \r\n",
        "0x5\r\n",
        "-5\r\n",
        "5\nhello\r\n",
        "5\rhello",
        "5\r\nhelloX\r\n",
        "5\r\nhello\n",
        "5\r\nhello\rX",
        "0\r\nX: y\n",
        "0\r\n folded\r",
        "0\r\n\rX",
        "0\r\n\n",
        "5;a\x01\r\n",
        "00000000000000005\r\n",
        "fffffffffffffffff\r\n",
    };
    struct text text;
    text_init(&text);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        size_t used;
        if (read_chunks(bad[i], strlen(bad[i]), 0, &text, &used) != H1_CHUNK_BAD)
            fail_msg("case %zu passed: %s", i, bad[i]);
    }
    struct text flood; /* an extension without end, and trailers without end */
    text_init(&flood);
    text_append_string(&flood, "5;");
    for (unsigned i = 0; i < H1_CHUNK_LINE_BYTES_MAX; i++)
        text_append_char(&flood, 'a');
    size_t used;
    assert_int_equal(read_chunks(flood.bytes, flood.count, 0, &text, &used), H1_CHUNK_BAD);
    text_reset(&flood);
    text_append_string(&flood, "0\r\n");
    for (unsigned i = 0; i <= H1_TRAILER_BYTES_MAX / 6; i++)
        text_append_string(&flood, "A: b\r\n");
    assert_int_equal(read_chunks(flood.bytes, flood.count, 0, &text, &used), H1_CHUNK_BAD);
    text_destroy(&flood);
    text_destroy(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_two_readers_could_take_differently_is_refused),
        cmocka_unit_test(a_head_is_found_however_it_is_cut),
        cmocka_unit_test(fields_are_spans_without_the_space_around_them),
        cmocka_unit_test(limits_of_a_head_are_told_apart),
        cmocka_unit_test(a_chunked_body_reads_alike_however_it_is_cut),
        cmocka_unit_test(malformed_chunks_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
