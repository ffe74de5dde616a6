/* SPDX-License-Identifier: Apache-2.0 */
/* forwarded.c -- a chain of addresses is believed from its near end, and only as far as we know it.
 *
 *     X-Forwarded-For: 10.9.9.9, 203.0.113.9, 10.0.0.2      peer: 10.0.0.1, trusted
 *                      ^ anyone   ^ client     ^ our proxy, as our other proxy saw it
 *                        wrote it
 *
 * Each proxy appends whom it saw. The peer is trusted, so the last entry is true; where that is a
 * trusted proxy too, the one before it is; and so on to the first that is not trusted: the client.
 * What stands left of it came with the client's request, and is not even looked at: else a client
 * could hide by adding what is malformed. Lines of one name are one list, and the last line is
 * looked at first.
 *
 * In a line of Forwarded a quotation can hold commas, so that it must be read from its beginning,
 * which a client may have written; a line that cannot be read is not believed.
 *
 * A proxy that writes one of the headers passes the other on as the client made it. So where both
 * come they must agree, and who knows which of them the proxies write should say so (`by`). In
 * doubt it is the peer's address that counts: true, if not the whole truth. */
#include "daemon/http/forwarded.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#define NODE_BYTES_MAX  64u /* "[" an address "]:" a port; a longer one is none */
#define PORT_DIGITS_MAX 5u

struct span {
    const char *bytes;
    size_t count;
};

enum node_kind { NODE_UNKNOWN, NODE_ADDRESS, NODE_WRONG };

struct node {
    enum node_kind kind;
    struct address address;
};

/* How far the chain has been walked. */
struct walk {
    const struct trusted_networks *trusted;
    struct address nearest; /* so far, if hops > 0 */
    unsigned hops;
    bool done;
    enum forwarded_result result; /* once done */
};

static void finish(struct walk *walk, enum forwarded_result result)
{
    walk->done = true;
    walk->result = result;
}

/* One hop further from us. */
static void step(struct walk *walk, const struct node *node)
{
    assert(!walk->done);
    if (node->kind == NODE_WRONG || walk->hops == FORWARDED_HOPS_MAX) {
        finish(walk, FORWARDED_WRONG);
    } else if (node->kind == NODE_UNKNOWN) {
        finish(walk, FORWARDED_NONE);
    } else {
        walk->nearest = node->address;
        walk->hops++;
        if (!trusted_holds(walk->trusted, &node->address))
            finish(walk, FORWARDED_CLIENT);
    }
}

/* -- A node: an address with or without a port -- */

static bool is_word(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' ||
           c == '_' || c == '-';
}

/* "_" and at least one more: a name that hides an address or a port (RFC 7239, section 6.3). */
static bool is_hidden(struct span text)
{
    if (text.count < 2 || text.bytes[0] != '_')
        return false;
    for (size_t i = 1; i < text.count; i++)
        if (!is_word(text.bytes[i]))
            return false;
    return true;
}

static bool is_port(struct span text)
{
    if (is_hidden(text))
        return true;
    for (size_t i = 0; i < text.count; i++)
        if (text.bytes[i] < '0' || text.bytes[i] > '9')
            return false;
    return text.count > 0 && text.count <= PORT_DIGITS_MAX;
}

static struct node address_node(const char *text, size_t count)
{
    struct node node = {.kind = NODE_WRONG};
    if (address_parse(text, count, &node.address))
        node.kind = NODE_ADDRESS;
    return node;
}

/* bare_v6: without brackets, as X-Forwarded-For has it and Forwarded may not. */
static struct node read_node(struct span text, bool bare_v6)
{
    const struct node unknown = {.kind = NODE_UNKNOWN}, wrong = {.kind = NODE_WRONG};
    if (text.count == 0 || text.count > NODE_BYTES_MAX)
        return wrong;
    const char *end = text.bytes + text.count;
    const char *colon = memchr(text.bytes, ':', text.count);
    const char *host_end = colon == NULL ? end : colon;
    bool bracketed = text.bytes[0] == '[';
    if (bracketed) {
        const char *bracket = memchr(text.bytes, ']', text.count);
        if (bracket == NULL || memchr(text.bytes, ':', (size_t)(bracket - text.bytes)) == NULL)
            return wrong;
        host_end = bracket + 1;
    } else if (colon != NULL && memchr(colon + 1, ':', (size_t)(end - colon - 1)) != NULL) {
        return bare_v6 ? address_node(text.bytes, text.count) : wrong;
    }
    const char *port_begin = host_end < end ? host_end + 1 : end;
    const struct span port = {port_begin, (size_t)(end - port_begin)};
    if (host_end < end && (*host_end != ':' || !is_port(port)))
        return wrong;
    const struct span host = {text.bytes, (size_t)(host_end - text.bytes)};
    if (bracketed)
        return address_node(host.bytes + 1, host.count - 2);
    if (is_hidden(host) || (host.count == 7 && strncasecmp(host.bytes, "unknown", 7) == 0))
        return unknown;
    return address_node(host.bytes, host.count);
}

/* -- X-Forwarded-For -- */

static struct span trimmed(const char *begin, const char *end)
{
    while (begin < end && (*begin == ' ' || *begin == '\t'))
        begin++;
    while (end > begin && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    return (struct span){begin, (size_t)(end - begin)};
}

static void walk_x(struct walk *walk, const char *line)
{
    const char *end = line + strlen(line);
    while (!walk->done) {
        const char *begin = end;
        while (begin > line && begin[-1] != ',')
            begin--;
        const struct node node = read_node(trimmed(begin, end), true);
        step(walk, &node);
        if (begin == line)
            return;
        end = begin - 1;
    }
}

/* -- Forwarded -- */

/* The last nodes of a line, in a ring: more than those are not looked at. */
struct elements {
    struct node nodes[FORWARDED_HOPS_MAX];
    size_t count; /* of all; element i lies at i % FORWARDED_HOPS_MAX */
};

static bool is_token(char c)
{
    return c != '\0' && (is_word(c) || strchr("!#$%&'*+^`|~", c) != NULL);
}

static struct span read_token(const char **at)
{
    struct span token = {*at, 0};
    while (is_token(**at)) {
        (*at)++;
        token.count++;
    }
    return token;
}

/* A token or a quotation, without its quotes and backslashes: in `buffer`, cut where it is too
 * long to be a node. False where there is neither. */
static bool read_value(const char **at, char buffer[NODE_BYTES_MAX + 1], size_t *ret_count)
{
    const char *c = *at;
    size_t count = 0;
    if (*c != '"') {
        struct span token = read_token(at);
        count = token.count > NODE_BYTES_MAX ? NODE_BYTES_MAX + 1 : token.count;
        memcpy(buffer, token.bytes, count);
        *ret_count = count;
        return token.count > 0;
    }
    for (c++; *c != '"'; c++) {
        if (*c == '\\')
            c++;
        if (*c == '\0')
            return false;
        if (count <= NODE_BYTES_MAX)
            buffer[count++] = *c;
    }
    *at = c + 1;
    *ret_count = count;
    return true;
}

/* Pairs up to a comma or the end; false for what is no element. */
static bool read_element(const char **at, struct node *ret)
{
    bool named = false;
    *ret = (struct node){.kind = NODE_UNKNOWN};
    for (;; (*at)++) {
        if (is_token(**at)) {
            char value[NODE_BYTES_MAX + 1];
            size_t count;
            struct span name = read_token(at);
            if (**at != '=')
                return false;
            (*at)++;
            if (!read_value(at, value, &count))
                return false;
            if (name.count == 3 && strncasecmp(name.bytes, "for", 3) == 0) {
                if (named)
                    return false;
                named = true;
                *ret = read_node((struct span){value, count}, false);
            }
        }
        if (**at != ';')
            return true;
    }
}

static bool read_elements(const char *line, struct elements *ret)
{
    ret->count = 0;
    for (const char *at = line;; at++) {
        at += strspn(at, " \t");
        if (!read_element(&at, &ret->nodes[ret->count++ % FORWARDED_HOPS_MAX]))
            return false;
        at += strspn(at, " \t");
        if (*at == '\0')
            return true;
        if (*at != ',')
            return false;
    }
}

static void walk_rfc(struct walk *walk, const char *line)
{
    struct elements elements;
    if (!read_elements(line, &elements)) {
        finish(walk, FORWARDED_WRONG);
        return;
    }
    size_t kept = elements.count < FORWARDED_HOPS_MAX ? elements.count : FORWARDED_HOPS_MAX;
    for (size_t i = 1; i <= kept && !walk->done; i++)
        step(walk, &elements.nodes[(elements.count - i) % FORWARDED_HOPS_MAX]);
    if (!walk->done && kept < elements.count)
        finish(walk, FORWARDED_WRONG);
}

/* -- Both -- */

static enum forwarded_result walk_lines(const char *const *lines, size_t count,
                                        void (*walk_line)(struct walk *walk, const char *line),
                                        const struct trusted_networks *trusted, struct address *ret)
{
    struct walk walk = {.trusted = trusted};
    for (size_t i = count; i > 0 && !walk.done; i--)
        walk_line(&walk, lines[i - 1]);
    if (!walk.done) /* all are trusted: a client of our own networks */
        walk.result = walk.hops > 0 ? FORWARDED_CLIENT : FORWARDED_NONE;
    if (walk.result == FORWARDED_CLIENT)
        *ret = walk.nearest;
    return walk.result;
}

enum forwarded_result forwarded_client(const struct forwarded_lines *lines, enum forwarded_by by,
                                       const struct trusted_networks *trusted, struct address *ret)
{
    struct address x, rfc;
    enum forwarded_result by_x = FORWARDED_NONE, by_rfc = FORWARDED_NONE;
    bool has_x = lines->x_count > 0 && by != FORWARDED_BY_RFC;
    bool has_rfc = lines->rfc_count > 0 && by != FORWARDED_BY_X;
    if (has_x)
        by_x = walk_lines(lines->x, lines->x_count, walk_x, trusted, &x);
    if (has_rfc)
        by_rfc = walk_lines(lines->rfc, lines->rfc_count, walk_rfc, trusted, &rfc);
    if (has_x && has_rfc &&
        (by_x != by_rfc || (by_x == FORWARDED_CLIENT && memcmp(&x, &rfc, sizeof x) != 0)))
        return FORWARDED_WRONG;
    enum forwarded_result result = has_x ? by_x : by_rfc;
    if (result == FORWARDED_CLIENT)
        *ret = has_x ? x : rfc;
    return result;
}
