/* SPDX-License-Identifier: Apache-2.0 */
/* secret.h -- the root key, and the keys derived from it. Main thread, at start. */
#ifndef WEIR_POLICY_SECRET_H
#define WEIR_POLICY_SECRET_H

#include "base/error.h"
#include "policy/siphash.h"

#include <stdint.h>

#define SECRET_BYTES_MIN 32u
#define SECRET_BYTES_MAX 4096u

struct secret {
    uint8_t users_key[SIPHASH_KEY_BYTES]; /* pseudonyms of users */
    uint8_t files_key[SIPHASH_KEY_BYTES]; /* checks of records and names of files */
    uint64_t key_id;                      /* names the root key without telling it */
};

/* key_file NULL: folder/users.key, made of 32 random bytes, 0600, on disk before it is used, when
 * it is missing. A key_file that was named must exist. ERROR_REFUSED when group or others may
 * read it; ERROR_INVALID when it is short. */
int secret_open(const char *folder, const char *key_file, struct secret *ret, struct error *err);

#endif
