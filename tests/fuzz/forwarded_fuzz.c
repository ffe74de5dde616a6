/* SPDX-License-Identifier: Apache-2.0 */
/* forwarded_fuzz.c -- X-Forwarded-For and Forwarded, from any bytes, cut into lines at LF.
 *
 * Whatever a client wrote, one line more from a proxy of ours decides: with an address that is not
 * trusted as the last line, that address is the client, by either header. */
#include "daemon/http/forwarded.h"

#include <stdlib.h>
#include <string.h>

#define LINES_MAX 100

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void check_last_line_decides(const char **lines, size_t count,
                                    const struct trusted_networks *trusted)
{
    struct address client, expected;
    require(address_parse("203.0.113.9", 11, &expected));
    lines[count] = "203.0.113.9";
    struct forwarded_lines all = {.x = lines, .x_count = count + 1};
    require(forwarded_client(&all, FORWARDED_BY_X, trusted, &client) == FORWARDED_CLIENT);
    require(memcmp(&client, &expected, sizeof client) == 0);
    lines[count] = "for=203.0.113.9;proto=https";
    all = (struct forwarded_lines){.rfc = lines, .rfc_count = count + 1};
    require(forwarded_client(&all, FORWARDED_BY_ANY, trusted, &client) == FORWARDED_CLIENT);
    require(memcmp(&client, &expected, sizeof client) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    struct network networks[2];
    require(network_parse("10.0.0.0/8", &networks[0], NULL) == 0);
    require(network_parse("::/1", &networks[1], NULL) == 0);
    const struct trusted_networks trusted = {.networks = networks, .count = 2};
    const char *lines[LINES_MAX + 1];
    size_t line_count = 0;
    char *copy = malloc(count + 1);
    require(copy != NULL);
    memcpy(copy, bytes, count);
    copy[count] = '\0';
    for (char *rest = copy, *line; line_count < LINES_MAX && (line = strsep(&rest, "\n")) != NULL;)
        lines[line_count++] = line;
    for (int by = FORWARDED_BY_ANY; by <= FORWARDED_BY_RFC; by++) {
        size_t half = line_count / 2;
        const struct forwarded_lines both = {lines, half, lines + half, line_count - half};
        struct address client;
        enum forwarded_result result =
            forwarded_client(&both, (enum forwarded_by)by, &trusted, &client);
        char text[ADDRESS_TEXT_BYTES];
        if (result == FORWARDED_CLIENT)
            address_format(&client, text);
    }
    check_last_line_decides(lines, line_count, &trusted);
    struct network network;
    (void)network_parse(copy, &network, NULL);
    free(copy);
    return 0;
}
