/* SPDX-License-Identifier: Apache-2.0 */
/* secret.h -- the root key, and the keys derived from it (HKDF-SHA256, RFC 5869).
 *
 *     root key ---- users_key, files_key, key_id          as long as the root key lives
 *              \--- epochs_root --- year --- users, requests, cap, blobs, key_id
 *
 * An epoch is a year of UTC: pseudonyms of two years cannot be joined. In December both years are
 * written, so that a window of up to 31 days that reaches back from January is all in the new
 * one. A purpose has a key of its own, so that what one of them lets an outsider see (a cap's
 * refusals, say) tells nothing about another. Whoever holds the root key can derive all years; to
 * make old counts unlinkable, replace it. Main thread, at start and at the turn of a year. */
#ifndef WEIR_POLICY_USERS_SECRET_H
#define WEIR_POLICY_USERS_SECRET_H

#include "base/error.h"
#include "policy/users/siphash.h"

#include <stdbool.h>
#include <stdint.h>

#define SECRET_BYTES_MIN  32u
#define SECRET_BYTES_MAX  4096u
#define SECRET_HMAC_BYTES 32u
#define SECRET_CREDENTIAL "weir-root-key" /* in $CREDENTIALS_DIRECTORY */

struct secret {
    uint8_t users_key[SIPHASH_KEY_BYTES];   /* pseudonyms of users, in usage.h */
    uint8_t files_key[SIPHASH_KEY_BYTES];   /* checks of records and names of files */
    uint64_t key_id;                        /* names the root key without telling it */
    uint8_t epochs_root[SECRET_HMAC_BYTES]; /* for secret_epoch() */
};

/* In this order: key_file, which must exist when it is named; the systemd credential
 * SECRET_CREDENTIAL where there is one; folder/users.key, made of 32 random bytes, 0600, on disk
 * before it is used, when it is missing. ERROR_REFUSED when others may read it; ERROR_INVALID when
 * it is short. */
int secret_open(const char *folder, const char *key_file, struct secret *ret, struct error *err);

/* Whether the key is one that others can have too: named, or a credential; not that of the folder,
 * which was made here by itself. */
bool secret_is_shared(const char *key_file);
/* A key for one purpose, for as long as the root key lives. */
int secret_purpose(const struct secret *secret, const char *purpose, uint8_t ret[SECRET_HMAC_BYTES],
                   struct error *err);

struct secret_epoch {
    uint32_t year;
    uint64_t key_id;                     /* names this year's keys: what is joined must agree */
    uint8_t users[SIPHASH_KEY_BYTES];    /* hashes in counters */
    uint8_t requests[SIPHASH_KEY_BYTES]; /* hashes of requests that named nobody */
    uint8_t cap[SIPHASH_KEY_BYTES];      /* hashes in membership filters */
    uint8_t blobs[SECRET_HMAC_BYTES];    /* HMAC over what replicas exchange */
};
int secret_epoch(const struct secret *secret, uint32_t year, struct secret_epoch *ret,
                 struct error *err);

/* The years whose counters a request at that time belongs in: one, in December two. */
#define SECRET_YEARS_MAX 2u
uint32_t secret_years(int64_t now_unix, uint32_t ret[SECRET_YEARS_MAX]);

#endif
