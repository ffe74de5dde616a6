/* SPDX-License-Identifier: Apache-2.0 */
/* proxy_protocol.h -- HAProxy's PROXY protocol, versions 1 and 2: what a load balancer says of its
 * client before the client's first byte. Pure: bytes in, an answer out, no memory, no I/O. */
#ifndef WEIR_DAEMON_HTTP_PROXY_PROTOCOL_H
#define WEIR_DAEMON_HTTP_PROXY_PROTOCOL_H

#include "daemon/http/address.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROXY_V1_BYTES_MAX 107u /* the specification's; with CR and LF */
#define PROXY_V2_HEAD      16u
#define PROXY_BYTES_MAX    (PROXY_V2_HEAD + 4096u) /* addresses and TLVs: ours, of its 65,535 */

enum proxy_result {
    PROXY_MORE,  /* so far it may be one; never with PROXY_BYTES_MAX bytes or more */
    PROXY_DONE,  /* *ret is set */
    PROXY_WRONG, /* it is none; the connection is not to be read any further */
};

struct proxy_header {
    size_t bytes;    /* of the header: what follows is the client's */
    bool has_client; /* else the proxy speaks for itself (a health check), or does not know */
    struct address client;
    uint16_t client_port;
};

/* bytes: all that came so far, from the first. ret_fault: on PROXY_WRONG, what is wrong, a
 * constant. */
enum proxy_result proxy_parse(const uint8_t *bytes, size_t count, struct proxy_header *ret,
                              const char **ret_fault);

#endif
