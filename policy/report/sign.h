/* SPDX-License-Identifier: Apache-2.0 */
/* sign.h -- Ed25519 over a document's bytes, beside the document.
 *
 * A signature is a text of four lines, the last ended too:
 *     weir-signature-1
 *     algorithm: Ed25519
 *     key: sha256:9f3c...           SHA-256 of the public key (DER, SubjectPublicKeyInfo)
 *     signature: base64             RFC 8032, over the document as it is
 * so that openssl alone can check it: `openssl pkeyutl -verify -pubin -inkey report-key.pub -rawin
 * -in FILE -sigfile SIG`, SIG being the last line's base64 decoded. It proves that who had the key
 * made these bytes; whose key it is, its fingerprint tells whoever wrote it down. One thread a
 * key. */
#ifndef WEIR_POLICY_REPORT_SIGN_H
#define WEIR_POLICY_REPORT_SIGN_H

#include "base/error.h"
#include "base/text.h"

#include <stddef.h>

#define SIGN_KEY_FILE          "report-key.pem" /* private, 0600 */
#define SIGN_PUBLIC_FILE       "report-key.pub"
#define SIGN_TEXT_BYTES_MAX    1024u
#define SIGN_KEY_BYTES_MAX     16384u
#define SIGN_FINGERPRINT_BYTES 72 /* "sha256:", 64 hexadecimal digits, NUL */

struct sign_key;

/* path NULL: SIGN_KEY_FILE of the folder, made when it is missing; the public key is written
 * beside it. ERROR_REFUSED when others may read it, ERROR_INVALID for another sort of key. */
int sign_key_open(const char *folder, const char *path, struct sign_key **ret, struct error *err);
/* A public key, or the public half of a private one; checks, and does not sign. */
int sign_key_read_public(const char *path, struct sign_key **ret, struct error *err);
void sign_key_free(struct sign_key *key); /* NULL is fine */
const char *sign_key_fingerprint(const struct sign_key *key);

/* Appends the signature's text. The key is a private one. */
int sign_document(const struct sign_key *key, const void *bytes, size_t count, struct text *out,
                  struct error *err);
/* ERROR_INVALID for a text that is no signature, one of another key, or of other bytes. signature:
 * NUL-terminated. */
int sign_check(const struct sign_key *key, const void *bytes, size_t count, const char *signature,
               struct error *err);

#endif
