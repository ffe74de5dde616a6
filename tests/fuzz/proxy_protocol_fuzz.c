/* SPDX-License-Identifier: Apache-2.0 */
/* proxy_protocol_fuzz.c -- what a load balancer says first, from any bytes.
 *
 * Every prefix must answer MORE until the first that does not, and all longer ones must answer as
 * that one did: what a connection is told may not depend on how its bytes were cut. */
#include "daemon/http/proxy_protocol.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void check_done(const struct proxy_header *header, const struct proxy_header *whole,
                       size_t given)
{
    char text[ADDRESS_TEXT_BYTES];
    struct address again;
    require(header->bytes == given && whole->bytes == given); /* not a byte later than it was */
    require(header->has_client == whole->has_client);
    require(header->client_port == whole->client_port);
    require(memcmp(&header->client, &whole->client, sizeof header->client) == 0);
    if (!header->has_client)
        return;
    address_format(&header->client, text);
    require(address_parse(text, strlen(text), &again));
    require(memcmp(&again, &header->client, sizeof again) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    struct proxy_header whole = {0}, part = {0};
    const char *fault = NULL, *part_fault = NULL;
    enum proxy_result result = proxy_parse(bytes, count, &whole, &fault);
    require((result == PROXY_WRONG) == (fault != NULL));
    require(result != PROXY_MORE || count < PROXY_BYTES_MAX);
    require(result != PROXY_DONE || whole.bytes <= count);
    size_t given = 0;
    enum proxy_result first = PROXY_MORE;
    for (; first == PROXY_MORE && given <= count; given++) {
        uint8_t *copy = malloc(given == 0 ? 1 : given); /* so that a byte too far is seen */
        require(copy != NULL);
        memcpy(copy, bytes, given);
        first = proxy_parse(copy, given, &part, &part_fault);
        free(copy);
    }
    require(first == result);
    if (result == PROXY_DONE)
        check_done(&part, &whole, given - 1);
    return 0;
}
