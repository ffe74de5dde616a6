/* SPDX-License-Identifier: Apache-2.0 */
/* auth.h -- who may ask for what, and what tells tenants apart in the engine. Immutable once made;
 * any thread.
 *
 * Keys come from three places: access.api_keys (scope inference), access.admin_keys (admin and
 * usage), and the keys file, where each names its scopes. Beside them tokens that access.jwt.keys
 * verify (auth_tokens.h). */
#ifndef WEIR_DAEMON_API_AUTH_H
#define WEIR_DAEMON_API_AUTH_H

#include "base/error.h"
#include "base/file_stamp.h"
#include "daemon/access/key_record.h"
#include "daemon/config.h"

#include <stdbool.h>
#include <stdint.h>

struct auth;
struct auth_cache;

/* Reads the files that the configuration names. config: borrowed, outlives it. ERROR_INVALID,
 * ERROR_REFUSED and their like name the file, and the line where it is one. */
struct auth *auth_new(const struct config *config, struct error *err);
void auth_free(struct auth *auth); /* NULL is fine */

/* What the files were when they were read, and what they are now. */
struct auth_files {
    struct file_stamp keys, jwt_keys;
};
struct auth_files auth_files_read(const struct auth *auth);
struct auth_files auth_files_now(const struct auth *auth);
bool auth_files_same(const struct auth_files *a, const struct auth_files *b);

#define AUTH_SUBJECT_BYTES 24u

struct auth_identity {
    const char *key;    /* stands for the key in counts of users; NULL without; borrowed: auth */
    const char *key_id; /* of the keys file, which the log may tell; NULL; borrowed: auth */
    char tenant[KEY_TENANT_BYTES_MAX + 1]; /* "" for none */
    char subject[AUTH_SUBJECT_BYTES];      /* of a token, in place of a key: a digest; "" else */
    uint64_t tenant_id;                    /* of the name; 0 for none */
    const char *admin; /* the name of an admin key; NULL for everyone else; borrowed: auth */
    unsigned scopes;
    const struct config_tenant *rules; /* the tenant's; NULL before a check; borrowed: config */
};

enum auth_outcome {
    AUTH_GRANTED,
    AUTH_ABSENT,  /* no key was sent */
    AUTH_UNKNOWN, /* none that we know */
    AUTH_EXPIRED,
    AUTH_REVOKED,
    AUTH_TOKEN, /* a token that does not hold */
    AUTH_SCOPE, /* a good key, for something else */
    AUTH_OUTCOME_COUNT
};

struct auth_question {
    const char *authorization; /* the header's value, NULL when absent */
    unsigned scope;            /* what is asked for, one bit */
    int64_t now_unix;
};

/* *ret is set when it is granted, and for AUTH_SCOPE, so that the log can tell whose key it was.
 * Where the configuration has nothing that would be good for inference, that is granted to all.
 * cache: the calling thread's, NULL is fine. */
enum auth_outcome auth_check(const struct auth *auth, struct auth_cache *cache,
                             const struct auth_question *question, struct auth_identity *ret);
/* Whether anything at all could open the admin door. */
bool auth_has_admin(const struct auth *auth);

/* The number by which a tenant is known below; 0 for none. */
uint64_t auth_tenant_id(const char *tenant);

struct auth_counts {
    uint32_t configured, filed, revoked; /* keys in weir.yaml, in the file; of these revoked */
};
struct auth_counts auth_counts(const struct auth *auth);

/* What a tenant's cached prefixes are found by. salt: the client's own, NULL for none. One tenant
 * cannot name another's value, whatever salt it invents: the digest takes both. */
uint64_t auth_cache_salt(const struct auth_identity *identity, const char *salt);

#endif
