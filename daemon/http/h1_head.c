/* SPDX-License-Identifier: Apache-2.0 */
/* h1_head.c -- HTTP/1.1 requests to the letter of RFC 9112, and not a byte looser.
 *
 * Two programs that read one byte stream and disagree where a request ends let a stranger put his
 * request in front of a neighbour's ("request smuggling"). Behind a proxy weir is the second
 * reader, so whatever two readers could take differently is refused:
 *
 *     line ends             CRLF only; a bare CR or LF anywhere in a head or chunk line is 400
 *     request line          method SP target SP HTTP/d.d, one space each; other versions 505
 *     field line            token ":" value; no space before the colon, no folding (a line that
 *                           begins with white space), no control bytes and no NUL in the value
 *     Content-Length        digits, no sign, no list; several only if all are equal
 *     Transfer-Encoding     "chunked", once, on HTTP/1.1, without Content-Length; others 501
 *     Host                  exactly one on HTTP/1.1, at most one on 1.0
 *     chunk                 1 to 16 hex digits, then ";" extension or CRLF; CRLF after the data;
 *                           extensions and trailers have limits and are dropped
 *
 * A head is parsed once it is whole: every span is contiguous, and the parser is a function from
 * bytes to spans without a state machine. Only bodies come in pieces.
 *
 * The road not taken is http-parser: it refuses methods that it does not know, and as Debian
 * builds it (without its strict mode) it takes any byte for the LF after a chunk's size and any
 * two after its data. All that would need checking here again, at which point nothing is left
 * for it to do.
 *
 * Held by tests/unit/daemon/h1_head_test.c (a table of smuggling cases, and every split of a
 * chunked body giving the same bytes) and tests/fuzz/http1_fuzz.c. */
#include "daemon/http/h1_head.h"

#include <assert.h>
#include <string.h>
#include <strings.h>

/* RFC 9110, section 5.6.2. */
static bool is_token(unsigned char c)
{
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
        return true;
    return c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool span_is(struct h1_span span, const char *lower)
{
    return span.count == strlen(lower) && strncasecmp(span.bytes, lower, span.count) == 0;
}

static struct h1_span trimmed(struct h1_span span)
{
    while (span.count > 0 && (span.bytes[0] == ' ' || span.bytes[0] == '\t')) {
        span.bytes++;
        span.count--;
    }
    while (span.count > 0 &&
           (span.bytes[span.count - 1] == ' ' || span.bytes[span.count - 1] == '\t'))
        span.count--;
    return span;
}

size_t h1_head_find(const char *bytes, size_t count, size_t *scanned)
{
    size_t at = *scanned;
    while (at < count) {
        const char *lf = memchr(bytes + at, '\n', count - at);
        if (lf == NULL) {
            *scanned = count;
            return 0;
        }
        size_t after = (size_t)(lf - bytes) + 1;
        /* A bare LF ends the search too: the parser then says what is wrong with it. */
        if (after < count && bytes[after] == '\n')
            return after + 1;
        if (after + 1 < count && bytes[after] == '\r' && bytes[after + 1] == '\n')
            return after + 2;
        if (after + 1 >= count) {
            *scanned = after - 1; /* this LF must be looked at again with what follows */
            return 0;
        }
        at = after;
    }
    return 0;
}

/* Cuts the line at *at off, without its CRLF; false when it does not end in CRLF. */
static bool take_line(const char *bytes, size_t count, size_t *at, struct h1_span *ret)
{
    const char *lf = memchr(bytes + *at, '\n', count - *at);
    if (lf == NULL)
        return false;
    size_t end = (size_t)(lf - bytes);
    if (end == *at || bytes[end - 1] != '\r')
        return false;
    *ret = (struct h1_span){bytes + *at, end - 1 - *at};
    *at = end + 1;
    return memchr(ret->bytes, '\r', ret->count) == NULL;
}

static uint32_t parse_version(struct h1_span version, struct h1_head *ret, const char **ret_fault)
{
    *ret_fault = "the request line does not end in an HTTP version";
    if (version.count != 8 || memcmp(version.bytes, "HTTP/", 5) != 0 ||
        !is_digit(version.bytes[5]) || version.bytes[6] != '.' || !is_digit(version.bytes[7]))
        return 400;
    *ret_fault = "only HTTP/1.0, HTTP/1.1 and HTTP/2 are spoken here";
    if (version.bytes[5] != '1' || version.bytes[7] > '1')
        return 505;
    ret->version_1_1 = version.bytes[7] == '1';
    return 0;
}

/* method SP request-target SP HTTP-version */
static uint32_t parse_request_line(struct h1_span line, struct h1_head *ret, const char **ret_fault)
{
    size_t at = 0;
    while (at < line.count && is_token((unsigned char)line.bytes[at]))
        at++;
    *ret_fault = "the request line does not begin with a method and one space";
    if (at == 0 || at > H1_METHOD_BYTES_MAX || at == line.count || line.bytes[at] != ' ')
        return 400;
    ret->method = (struct h1_span){line.bytes, at};

    size_t begin = ++at;
    while (at < line.count && line.bytes[at] > ' ' && line.bytes[at] < 0x7f)
        at++;
    ret->target = (struct h1_span){line.bytes + begin, at - begin};
    *ret_fault = "the request target is empty or has bytes that must be percent-encoded";
    if (at == begin || at == line.count || line.bytes[at] != ' ' ||
        memchr(line.bytes + begin, '#', at - begin) != NULL)
        return 400;
    *ret_fault = "the request target is too long";
    if (at - begin > EXCHANGE_PATH_BYTES_MAX)
        return 414;
    at++;
    return parse_version((struct h1_span){line.bytes + at, line.count - at}, ret, ret_fault);
}

/* field-name ":" OWS field-value OWS */
static uint32_t parse_field(struct h1_span line, struct h1_head *ret, const char **ret_fault)
{
    size_t colon = 0;
    while (colon < line.count && is_token((unsigned char)line.bytes[colon]))
        colon++;
    *ret_fault = "a header line is not a name, a colon and a value";
    if (colon == 0 || colon == line.count || line.bytes[colon] != ':')
        return 400; /* folding and white space before the colon end here, too */
    struct h1_span value = {line.bytes + colon + 1, line.count - colon - 1};
    *ret_fault = "a header value has control characters";
    for (size_t i = 0; i < value.count; i++) {
        unsigned char c = (unsigned char)value.bytes[i];
        if ((c < ' ' && c != '\t') || c == 0x7f)
            return 400;
    }
    *ret_fault = "too many headers";
    if (ret->field_count == EXCHANGE_HEADERS_MAX)
        return 431;
    ret->fields[ret->field_count++] = (struct h1_field){{line.bytes, colon}, trimmed(value)};
    return 0;
}

static uint32_t read_length(struct h1_span value, struct h1_head *ret, const char **ret_fault)
{
    *ret_fault = "Content-Length is not one number";
    uint64_t length = 0;
    if (value.count == 0 || value.count > 18) /* 18 digits fit in 64 bits and in any body limit */
        return 400;
    for (size_t i = 0; i < value.count; i++) {
        if (!is_digit(value.bytes[i]))
            return 400;
        length = length * 10 + (uint64_t)(value.bytes[i] - '0');
    }
    *ret_fault = "several Content-Length headers disagree";
    if (ret->has_length && ret->length != length)
        return 400;
    ret->has_length = true;
    ret->length = length;
    return 0;
}

static uint32_t read_transfer_encoding(struct h1_span value, struct h1_head *ret,
                                       const char **ret_fault)
{
    *ret_fault = "Transfer-Encoding needs HTTP/1.1, once";
    if (!ret->version_1_1 || ret->chunked)
        return 400;
    *ret_fault = "the only transfer coding understood is chunked";
    if (!span_is(value, "chunked"))
        return 501;
    ret->chunked = true;
    return 0;
}

static uint32_t read_connection(struct h1_span value, struct h1_head *ret)
{
    while (value.count > 0) {
        const char *comma = memchr(value.bytes, ',', value.count);
        size_t count = comma == NULL ? value.count : (size_t)(comma - value.bytes);
        struct h1_span option = trimmed((struct h1_span){value.bytes, count});
        if (span_is(option, "close"))
            ret->keep_alive = false;
        else if (span_is(option, "keep-alive") && !ret->version_1_1)
            ret->keep_alive = true;
        count += comma == NULL ? 0 : 1;
        value = (struct h1_span){value.bytes + count, value.count - count};
    }
    return 0;
}

/* reg-name, IPv4, [IPv6], with a port: none of the bytes that would end an authority. */
static bool host_is_valid(struct h1_span host)
{
    for (size_t i = 0; i < host.count; i++) {
        unsigned char c = (unsigned char)host.bytes[i];
        if (c <= ' ' || c >= 0x7f || strchr("/?#@\\,\"<>", c) != NULL)
            return false;
    }
    return true;
}

/* Fields that say where the request ends and what becomes of the connection. */
static uint32_t weigh_fields(struct h1_head *ret, const char **ret_fault)
{
    uint32_t hosts = 0, status = 0;
    for (uint32_t i = 0; i < ret->field_count && status == 0; i++) {
        const struct h1_field *field = &ret->fields[i];
        if (span_is(field->name, "host")) {
            *ret_fault = "the Host header is repeated or malformed";
            status = ++hosts > 1 || !host_is_valid(field->value) ? 400 : 0;
        } else if (span_is(field->name, "content-length")) {
            status = read_length(field->value, ret, ret_fault);
        } else if (span_is(field->name, "transfer-encoding")) {
            status = read_transfer_encoding(field->value, ret, ret_fault);
        } else if (span_is(field->name, "connection")) {
            status = read_connection(field->value, ret);
        } else if (span_is(field->name, "expect")) {
            *ret_fault = "the only expectation understood is 100-continue";
            status = span_is(field->value, "100-continue") ? 0 : 417;
            ret->expects_continue = ret->version_1_1;
        }
    }
    if (status != 0)
        return status;
    *ret_fault = "Content-Length and Transfer-Encoding exclude each other";
    if (ret->chunked && ret->has_length)
        return 400;
    *ret_fault = "the Host header is missing";
    return ret->version_1_1 && hosts == 0 ? 400 : 0;
}

uint32_t h1_head_parse(const char *bytes, size_t count, struct h1_head *ret, const char **ret_fault)
{
    ret->version_1_1 = ret->chunked = ret->has_length = ret->expects_continue = false;
    ret->field_count = 0;
    ret->length = 0;
    size_t at = 0, field_bytes = 0;
    struct h1_span line;
    *ret_fault = "a line does not end in CR LF";
    if (!take_line(bytes, count, &at, &line))
        return 400;
    uint32_t status = parse_request_line(line, ret, ret_fault);
    if (status != 0)
        return status;
    ret->keep_alive = ret->version_1_1;
    for (;;) {
        *ret_fault = "a line does not end in CR LF";
        if (!take_line(bytes, count, &at, &line))
            return 400;
        if (line.count == 0)
            break;
        status = parse_field(line, ret, ret_fault);
        if (status != 0)
            return status;
        field_bytes += ret->fields[ret->field_count - 1].name.count +
                       ret->fields[ret->field_count - 1].value.count;
    }
    assert(at == count);
    *ret_fault = "the headers are too large";
    if (field_bytes > EXCHANGE_HEADER_BYTES_MAX)
        return 431;
    return weigh_fields(ret, ret_fault);
}

static int hex_value(char c)
{
    if (is_digit(c))
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* A byte of the size's line. */
static enum h1_chunk_state chunk_line_byte(struct h1_chunks *chunks, char c)
{
    if (++chunks->line_bytes > H1_CHUNK_LINE_BYTES_MAX)
        return H1_CHUNK_BAD;
    if (chunks->state == H1_CHUNK_SIZE) {
        int digit = hex_value(c);
        if (digit >= 0 && chunks->digits < 16) {
            chunks->digits++;
            chunks->left = chunks->left << 4 | (uint64_t)digit;
            return H1_CHUNK_SIZE;
        }
        if (chunks->digits == 0 || (c != ';' && c != '\r'))
            return H1_CHUNK_BAD;
    }
    if (chunks->state == H1_CHUNK_SIZE_LF) {
        if (c != '\n')
            return H1_CHUNK_BAD;
        return chunks->left == 0 ? H1_CHUNK_TRAILER : H1_CHUNK_DATA;
    }
    if (c == '\r')
        return H1_CHUNK_SIZE_LF;
    return ((unsigned char)c < ' ' && c != '\t') || c == 0x7f ? H1_CHUNK_BAD : H1_CHUNK_EXTENSION;
}

/* A byte of the trailers, which are dropped: only their lines' ends matter. */
static enum h1_chunk_state chunk_trailer_byte(struct h1_chunks *chunks, char c)
{
    if (++chunks->trailer_bytes > H1_TRAILER_BYTES_MAX)
        return H1_CHUNK_BAD;
    switch (chunks->state) {
    case H1_CHUNK_TRAILER:
        if (c == '\r')
            return H1_CHUNK_END_LF;
        return is_token((unsigned char)c) ? H1_CHUNK_TRAILER_LINE : H1_CHUNK_BAD;
    case H1_CHUNK_TRAILER_LINE:
        if (c == '\r')
            return H1_CHUNK_TRAILER_LF;
        return ((unsigned char)c < ' ' && c != '\t') || c == 0x7f ? H1_CHUNK_BAD
                                                                  : H1_CHUNK_TRAILER_LINE;
    case H1_CHUNK_TRAILER_LF:
        return c == '\n' ? H1_CHUNK_TRAILER : H1_CHUNK_BAD;
    default:
        return c == '\n' ? H1_CHUNK_DONE : H1_CHUNK_BAD;
    }
}

static enum h1_chunk_state chunk_byte(struct h1_chunks *chunks, char c)
{
    switch (chunks->state) {
    case H1_CHUNK_SIZE:
    case H1_CHUNK_EXTENSION:
    case H1_CHUNK_SIZE_LF:
        return chunk_line_byte(chunks, c);
    case H1_CHUNK_DATA_CR:
        return c == '\r' ? H1_CHUNK_DATA_LF : H1_CHUNK_BAD;
    case H1_CHUNK_DATA_LF:
        chunks->digits = chunks->line_bytes = 0;
        return c == '\n' ? H1_CHUNK_SIZE : H1_CHUNK_BAD;
    default:
        return chunk_trailer_byte(chunks, c);
    }
}

size_t h1_chunks_parse(struct h1_chunks *chunks, const char *bytes, size_t count,
                       struct h1_span *ret_body)
{
    *ret_body = (struct h1_span){bytes, 0};
    size_t at = 0;
    while (at < count && chunks->state != H1_CHUNK_DONE && chunks->state != H1_CHUNK_BAD) {
        if (chunks->state != H1_CHUNK_DATA) {
            chunks->state = chunk_byte(chunks, bytes[at++]);
            continue;
        }
        size_t run = count - at < chunks->left ? count - at : (size_t)chunks->left;
        *ret_body = (struct h1_span){bytes + at, run};
        chunks->left -= run;
        if (chunks->left == 0)
            chunks->state = H1_CHUNK_DATA_CR;
        return at + run;
    }
    return at;
}
