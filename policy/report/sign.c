/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/report/sign.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_BYTES_MAX  4096
#define SIGNATURE_BYTES 64u /* of Ed25519 */
#define BASE64_BYTES    (4 * ((SIGNATURE_BYTES + 2) / 3))
#define HEAD            "weir-signature-1\nalgorithm: Ed25519\nkey: "
#define MIDDLE          "\nsignature: "

struct sign_key {
    EVP_PKEY *pair;
    bool is_private;
    char fingerprint[SIGN_FINGERPRINT_BYTES];
};

void sign_key_free(struct sign_key *key)
{
    if (key == NULL)
        return;
    EVP_PKEY_free(key->pair);
    free(key);
}

const char *sign_key_fingerprint(const struct sign_key *key)
{
    return key->fingerprint;
}

/* -- Keys -- */

static int fingerprint(struct sign_key *key, struct error *err)
{
    unsigned char digest[EVP_MAX_MD_SIZE], *der = NULL;
    unsigned int digest_count = 0;
    int der_count = i2d_PUBKEY(key->pair, &der);
    bool made = der_count > 0 &&
                EVP_Digest(der, (size_t)der_count, digest, &digest_count, EVP_sha256(), NULL) == 1;
    OPENSSL_free(der);
    if (!made)
        return error_no_memory(err);
    size_t at = (size_t)snprintf(key->fingerprint, sizeof key->fingerprint, "sha256:");
    for (unsigned int i = 0; i < digest_count && at + 2 < sizeof key->fingerprint; i++, at += 2)
        (void)snprintf(key->fingerprint + at, 3, "%02x", digest[i]);
    return 0;
}

/* Takes the pair, whatever comes of it. */
static int wrap(EVP_PKEY *pair, bool is_private, struct sign_key **ret, struct error *err)
{
    struct sign_key *key = calloc(1, sizeof *key);
    if (key == NULL) {
        EVP_PKEY_free(pair);
        return error_no_memory(err);
    }
    key->pair = pair;
    key->is_private = is_private;
    int result = fingerprint(key, err);
    if (result == 0)
        *ret = key;
    else
        sign_key_free(key);
    return result;
}

/* No password is asked for: nobody may be there. */
static int on_password(char *buffer, int size, int writing, void *argument)
{
    (void)buffer;
    (void)size;
    (void)writing;
    (void)argument;
    return -1;
}

static int parse_key(const char *path, const char *pem, size_t count, bool wants_private,
                     struct sign_key **ret, struct error *err)
{
    BIO *source = BIO_new_mem_buf(pem, (int)count);
    if (source == NULL)
        return error_no_memory(err);
    EVP_PKEY *pair = wants_private ? NULL : PEM_read_bio_PUBKEY(source, NULL, on_password, NULL);
    if (pair == NULL) {
        (void)BIO_reset(source);
        pair = PEM_read_bio_PrivateKey(source, NULL, on_password, NULL);
    }
    BIO_free(source);
    ERR_clear_error();
    if (pair == NULL || EVP_PKEY_get_id(pair) != EVP_PKEY_ED25519) {
        EVP_PKEY_free(pair);
        return error_set(err, ERROR_INVALID,
                         "%s: expected an Ed25519 key as PEM without a password, as 'openssl "
                         "genpkey -algorithm ed25519' makes",
                         path);
    }
    return wrap(pair, wants_private, ret, err);
}

/* `guarded`: others must not be able to read it. */
static int read_key(const char *path, bool guarded, struct sign_key **ret, struct error *err)
{
    struct stat status;
    char pem[SIGN_KEY_BYTES_MAX];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return error_set_errno(err, errno, "%s", path);
    int result = 0;
    ssize_t count = 0;
    if (fstat(fd, &status) != 0)
        result = error_set_errno(err, errno, "%s", path);
    else if (!S_ISREG(status.st_mode) || status.st_size > (off_t)sizeof pem)
        result = error_set(err, ERROR_INVALID, "%s: not the file of a key", path);
    else if (guarded && (status.st_mode & 077) != 0)
        result = error_set(err, ERROR_REFUSED,
                           "%s: mode %03o lets others read the key; chmod 600 it, or replace it if "
                           "they did",
                           path, status.st_mode & 0777u);
    else if ((count = read(fd, pem, sizeof pem)) < 0)
        result = error_set_errno(err, errno, "%s", path);
    close(fd);
    if (result == 0)
        result = parse_key(path, pem, (size_t)count, guarded, ret, err);
    OPENSSL_cleanse(pem, sizeof pem);
    return result;
}

int sign_key_read_public(const char *path, struct sign_key **ret, struct error *err)
{
    return read_key(path, false, ret, err);
}

/* -- Making one -- */

/* All of it under its name, or nothing. */
static int write_new(const char *path, const void *bytes, size_t count, mode_t mode,
                     struct error *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0)
        return error_set_errno(err, errno, "%s", path);
    bool written = write(fd, bytes, count) == (ssize_t)count && fsync(fd) == 0;
    int failed = errno;
    close(fd);
    if (written)
        return 0;
    (void)unlink(path); /* half a key would be refused for ever */
    return error_set_errno(err, failed, "%s", path);
}

/* The key in PEM, private or public, under a path that is free. */
static int write_key(const struct sign_key *key, const char *path, bool as_private,
                     struct error *err)
{
    char *pem = NULL;
    BIO *sink = BIO_new(BIO_s_secmem());
    bool spelled = sink != NULL && (as_private ? PEM_write_bio_PrivateKey(sink, key->pair, NULL,
                                                                          NULL, 0, NULL, NULL)
                                               : PEM_write_bio_PUBKEY(sink, key->pair)) == 1;
    long count = spelled ? BIO_get_mem_data(sink, &pem) : 0;
    int result = count > 0 ? write_new(path, pem, (size_t)count, as_private ? 0600 : 0644, err)
                           : error_no_memory(err);
    BIO_free(sink);
    return result;
}

static int make_key(const char *path, struct sign_key **ret, struct error *err)
{
    struct sign_key *key = NULL;
    EVP_PKEY *pair = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    if (pair == NULL)
        return error_set(err, ERROR_IO, "OpenSSL makes no Ed25519 key");
    int result = wrap(pair, true, &key, err);
    if (result == 0)
        result = write_key(key, path, true, err);
    if (result == 0)
        *ret = key;
    else
        sign_key_free(key);
    return result;
}

int sign_key_open(const char *folder, const char *path, struct sign_key **ret, struct error *err)
{
    char own[PATH_BYTES_MAX], public[PATH_BYTES_MAX];
    struct sign_key *key = NULL;
    if (path != NULL)
        return read_key(path, true, ret, err);
    int count = snprintf(own, sizeof own, "%s/" SIGN_KEY_FILE, folder);
    if (count < 0 || (size_t)count >= sizeof own)
        return error_set(err, ERROR_INVALID, "%.100s...: the path is too long", folder);
    (void)snprintf(public, sizeof public, "%s/" SIGN_PUBLIC_FILE, folder);
    int result = access(own, F_OK) != 0 && errno == ENOENT ? make_key(own, &key, err)
                                                           : read_key(own, true, &key, err);
    if (result == 0 && access(public, F_OK) != 0 && errno == ENOENT)
        result = write_key(key, public, false, err);
    if (result == 0)
        *ret = key;
    else
        sign_key_free(key);
    return result;
}

/* -- Signatures -- */

int sign_document(const struct sign_key *key, const void *bytes, size_t count, struct text *out,
                  struct error *err)
{
    unsigned char signature[SIGNATURE_BYTES], base64[BASE64_BYTES + 1];
    size_t signature_count = sizeof signature;
    assert(key->is_private);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool made = context != NULL && EVP_DigestSignInit(context, NULL, NULL, NULL, key->pair) == 1 &&
                EVP_DigestSign(context, signature, &signature_count, bytes, count) == 1 &&
                signature_count == sizeof signature;
    EVP_MD_CTX_free(context);
    if (!made)
        return error_no_memory(err);
    (void)EVP_EncodeBlock(base64, signature, (int)sizeof signature);
    text_append_format(out, HEAD "%s" MIDDLE "%s\n", key->fingerprint, (const char *)base64);
    return out->failed ? error_no_memory(err) : 0;
}

/* The 64 bytes of a signature's text, which must be spelled as sign_document() spells it. */
static bool parse_signature(const struct sign_key *key, const char *text,
                            unsigned char ret[SIGNATURE_BYTES], bool *ret_other_key)
{
    unsigned char decoded[SIGNATURE_BYTES + 3];
    const char *named = text + strlen(HEAD);
    size_t named_count = strlen(key->fingerprint);
    if (strncmp(text, HEAD, strlen(HEAD)) != 0 || strlen(named) < named_count)
        return false;
    const char *middle = named + named_count;
    if (strncmp(middle, MIDDLE, strlen(MIDDLE)) != 0)
        return false;
    const char *base64 = middle + strlen(MIDDLE);
    if (strlen(base64) != BASE64_BYTES + 1 || base64[BASE64_BYTES] != '\n' ||
        EVP_DecodeBlock(decoded, (const unsigned char *)base64, (int)BASE64_BYTES) !=
            (int)(BASE64_BYTES / 4 * 3))
        return false;
    unsigned char again[BASE64_BYTES + 1]; /* one spelling alone, which the decoder does not ask */
    (void)EVP_EncodeBlock(again, decoded, (int)SIGNATURE_BYTES);
    if (memcmp(again, base64, BASE64_BYTES) != 0)
        return false;
    memcpy(ret, decoded, SIGNATURE_BYTES);
    *ret_other_key = memcmp(named, key->fingerprint, named_count) != 0;
    return true;
}

int sign_check(const struct sign_key *key, const void *bytes, size_t count, const char *signature,
               struct error *err)
{
    unsigned char raw[SIGNATURE_BYTES];
    bool other_key = false;
    if (!parse_signature(key, signature, raw, &other_key))
        return error_set(err, ERROR_INVALID, "it cannot be read as a signature of weir");
    if (other_key)
        return error_set(err, ERROR_INVALID, "it is by another key than %s", key->fingerprint);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (context == NULL || EVP_DigestVerifyInit(context, NULL, NULL, NULL, key->pair) != 1) {
        EVP_MD_CTX_free(context);
        return error_no_memory(err);
    }
    int verified = EVP_DigestVerify(context, raw, sizeof raw, bytes, count);
    EVP_MD_CTX_free(context);
    ERR_clear_error();
    return verified == 1 ? 0
                         : error_set(err, ERROR_INVALID,
                                     "the document is not the one that was signed, or the "
                                     "signature is not by %s",
                                     key->fingerprint);
}
