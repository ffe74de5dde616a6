/* SPDX-License-Identifier: Apache-2.0 */
/* gateway.h -- a header in which a gateway that is trusted names the end user, and signs for it.
 *
 *     v1;t=1796083200;id=YWxpY2U;sig=5f0c...e1
 *
 *     t    seconds since 1970, decimal, when the gateway signed
 *     id   the user's id, 1 to 512 bytes, base64url without padding
 *     sig  HMAC-SHA256 under the shared secret of all before ";sig=", 64 hexadecimal digits
 *
 * No blanks, the parts in this order. A header older than the window, or as far ahead of our
 * clock, is refused. Pure; any thread. */
#ifndef WEIR_POLICY_USERS_GATEWAY_H
#define WEIR_POLICY_USERS_GATEWAY_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

#define GATEWAY_SECRET_MIN 32u
#define GATEWAY_SECRET_MAX 256u
#define GATEWAY_ID_MAX     512u
#define GATEWAY_VALUE_MAX  1024u
#define GATEWAY_WINDOW_S   300

struct gateway {
    uint8_t secret[GATEWAY_SECRET_MAX];
    size_t secret_count; /* 0: there is no such gateway */
    int64_t window_s;
};

/* ERROR_REFUSED, with the reason, for a header that proves nothing; ret is untouched then. ret: the
 * id, without control characters, NUL-terminated. */
int gateway_verify(const struct gateway *gateway, const char *value, int64_t now_unix,
                   char ret[GATEWAY_ID_MAX + 1], struct error *err);

#endif
