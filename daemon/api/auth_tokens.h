/* SPDX-License-Identifier: Apache-2.0 */
/* auth_tokens.h -- JSON Web Tokens as credentials: who an issuer of the operator's says may ask.
 *
 * policy/users/jwt.h verifies; here its claims become an identity. A token that holds is remembered
 * by its digest, a table a worker: its signature costs up to a tenth of a millisecond, and a
 * request asks twice. */
#ifndef WEIR_DAEMON_API_AUTH_TOKENS_H
#define WEIR_DAEMON_API_AUTH_TOKENS_H

#include "base/error.h"
#include "base/file_stamp.h"
#include "daemon/api/auth.h"
#include "daemon/config.h"

#include <stdbool.h>
#include <stdint.h>

#define AUTH_CACHE_ENTRIES 256u

/* Of one worker. All zero is empty; to be emptied when another set of rules is taken up, for what
 * it holds points into them. */
struct auth_cache {
    struct auth_cached {
        uint8_t digest[KEY_DIGEST_BYTES];
        int64_t until_unix; /* 0: the place is free */
        struct auth_identity identity;
    } entries[AUTH_CACHE_ENTRIES];
};

struct auth_tokens;

/* *ret is NULL where no keys are configured. *ret_stamp: of the file, before it was read. */
int auth_tokens_new(const struct config *config, struct auth_tokens **ret,
                    struct file_stamp *ret_stamp, struct error *err);
void auth_tokens_free(struct auth_tokens *tokens); /* NULL is fine */

/* Whether the token holds now; then *ret has its scopes (maybe none), tenant and subject. digest:
 * of the token. cache: NULL is fine. Immutable but for the cache; any thread. */
bool auth_tokens_check(const struct auth_tokens *tokens, struct auth_cache *cache,
                       const char *token, const uint8_t digest[KEY_DIGEST_BYTES], int64_t now_unix,
                       struct auth_identity *ret);

#endif
