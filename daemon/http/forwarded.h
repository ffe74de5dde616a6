/* SPDX-License-Identifier: Apache-2.0 */
/* forwarded.h -- whose request it is, by X-Forwarded-For and Forwarded (RFC 7239). Pure. */
#ifndef WEIR_DAEMON_HTTP_FORWARDED_H
#define WEIR_DAEMON_HTTP_FORWARDED_H

#include "daemon/http/address.h"

#include <stddef.h>

#define FORWARDED_HOPS_MAX 64u /* looked at, from the nearest on; more are not believed */

/* Which of the two headers a proxy of ours writes. */
enum forwarded_by { FORWARDED_BY_ANY, FORWARDED_BY_X, FORWARDED_BY_RFC };

enum forwarded_result {
    FORWARDED_NONE,   /* no such header, or the nearest that is not trusted is not named */
    FORWARDED_CLIENT, /* *ret is whose request it is */
    FORWARDED_WRONG,  /* malformed, too long, or the two headers disagree */
};

/* All lines of each of the two names, in the order that they came. */
struct forwarded_lines {
    const char *const *x;
    size_t x_count;
    const char *const *rfc;
    size_t rfc_count;
};

/* To be asked only where the peer itself is trusted. The rightmost address that is not trusted; the
 * leftmost where all are. *ret is untouched but for FORWARDED_CLIENT. */
enum forwarded_result forwarded_client(const struct forwarded_lines *lines, enum forwarded_by by,
                                       const struct trusted_networks *trusted, struct address *ret);

#endif
