/* SPDX-License-Identifier: Apache-2.0 */
/* admin_users_body.h -- the body of POST /admin/v1/users, as policy/ takes it. Pure; any thread.
 *
 *     {"product": "chat", "model": "q", "day": "2026-11-25", "class": "asserted",
 *      "users": ["id", ...], "tenant": "acme", "issuer": "https://id.example"
 *      | "hashes": ["16 hexadecimal digits", ...], "key_id": "16 hexadecimal digits"
 *      | "sketch": "base64 of sketch_write()'s bytes", "key_id": "...", "sketch_users": 12000000}
 *
 * Strict: what is no member of these is refused, for a misspelt "class" would be the wrong one. A
 * fault names the member and the index, and never says an id again. */
#ifndef WEIR_DAEMON_API_ADMIN_USERS_BODY_H
#define WEIR_DAEMON_API_ADMIN_USERS_BODY_H

#include "daemon/api/fault.h"
#include "policy/policy_feed.h"

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#define ADMIN_USERS_BODY_MAX   (8u << 20)
#define ADMIN_USERS_SKETCH_MAX ((1u << 20) + 16u) /* bytes: registers of p = 20 */

struct admin_users {
    struct policy_feed_request request; /* borrows from what follows */
    json_t *body;
    const char **users;
    uint64_t *hashes;
    uint8_t *sketch;
};

/* today: the day where the body says none, of UTC since 1970. -1 and a 400 or 413, and nothing to
 * destroy. */
int admin_users_parse(const char *bytes, size_t count, uint32_t today, struct admin_users *ret,
                      struct fault *fault);
void admin_users_destroy(struct admin_users *users);

#endif
