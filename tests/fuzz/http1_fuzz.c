/* SPDX-License-Identifier: Apache-2.0 */
/* http1_fuzz.c -- HTTP/1.1's grammar on any bytes.
 *
 * The input is read as a client's stream: heads, and bodies as the heads announce them, parsed once
 * whole and once byte by byte. Both readings must agree on every head and every body byte, and
 * every span must lie within what was given. */
#include "base/text.h"
#include "daemon/http/h1_head.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void check_span(struct h1_span span, const char *bytes, size_t count)
{
    require(span.bytes >= bytes && span.count <= count &&
            (size_t)(span.bytes - bytes) <= count - span.count);
    require(memchr(span.bytes, '\n', span.count) == NULL);
    require(memchr(span.bytes, '\r', span.count) == NULL);
    require(memchr(span.bytes, '\0', span.count) == NULL);
}

static void check_head(const struct h1_head *head, const char *bytes, size_t count)
{
    check_span(head->method, bytes, count);
    check_span(head->target, bytes, count);
    require(head->method.count > 0 && head->target.count > 0);
    require(!(head->chunked && head->has_length));
    for (uint32_t i = 0; i < head->field_count; i++) {
        check_span(head->fields[i].name, bytes, count);
        check_span(head->fields[i].value, bytes, count);
    }
}

/* Bytes of a chunked body used; the body goes to text. step: how many bytes are given at once. */
static size_t read_body(const char *bytes, size_t count, size_t step, struct text *text,
                        enum h1_chunk_state *ret_state)
{
    struct h1_chunks chunks = {0};
    size_t at = 0;
    while (at < count && chunks.state != H1_CHUNK_DONE && chunks.state != H1_CHUNK_BAD) {
        size_t given = count - at < step ? count - at : step;
        struct h1_span run;
        size_t used = h1_chunks_parse(&chunks, bytes + at, given, &run);
        require(used > 0 && used <= given && run.count <= used);
        text_append(text, run.bytes, run.count);
        at += used;
    }
    *ret_state = chunks.state;
    return at;
}

static size_t check_body(const char *bytes, size_t count)
{
    struct text whole, pieces;
    text_init(&whole);
    text_init(&pieces);
    enum h1_chunk_state whole_state, pieces_state;
    size_t used = read_body(bytes, count, count, &whole, &whole_state);
    require(read_body(bytes, count, 1, &pieces, &pieces_state) == used);
    require(whole_state == pieces_state);
    require(whole.count == pieces.count);
    require(strcmp(text_string(&whole), text_string(&pieces)) == 0);
    text_destroy(&whole);
    text_destroy(&pieces);
    return used;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    const char *at = (const char *)bytes;
    while (count > 0) {
        size_t scanned = 0, scanned_slowly = 0, slowly = 0;
        size_t head_count = h1_head_find(at, count, &scanned);
        for (size_t given = 0; given <= count && slowly == 0; given++)
            slowly = h1_head_find(at, given, &scanned_slowly);
        require(slowly == head_count);
        if (head_count == 0)
            return 0;
        struct h1_head head;
        const char *fault = NULL;
        uint32_t status = h1_head_parse(at, head_count, &head, &fault);
        require(status == 0 || (status >= 400 && status <= 505 && fault != NULL));
        if (status != 0)
            return 0;
        check_head(&head, at, head_count);
        at += head_count;
        count -= head_count;
        size_t body = head.length < count ? (size_t)head.length : count;
        if (head.chunked)
            body = check_body(at, count);
        at += body;
        count -= body;
    }
    return 0;
}
