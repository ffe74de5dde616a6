/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/users/secret.h"

#include "policy/users/private_file.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define PATH_BYTES_MAX 4096

#define FORBIDDEN 077u

/* `purpose` keeps keys for different uses apart. */
static int derive(const uint8_t *root, size_t root_count, const char *purpose, uint8_t *ret,
                  size_t ret_count, struct error *err)
{
    int made = 0;
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *derivation = kdf == NULL ? NULL : EVP_KDF_CTX_new(kdf);
    if (derivation != NULL) {
        OSSL_PARAM params[] = {
            OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)"SHA256", 0),
            OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)root, root_count),
            OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)purpose,
                                              strlen(purpose)),
            OSSL_PARAM_construct_end(),
        };
        made = EVP_KDF_derive(derivation, ret, ret_count, params);
    }
    EVP_KDF_CTX_free(derivation);
    EVP_KDF_free(kdf);
    return made == 1 ? 0 : error_set(err, ERROR_IO, "OpenSSL has no HKDF-SHA256");
}

static int sync_folder(const char *folder, struct error *err)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int failed = fd < 0 || fsync(fd) != 0 ? errno : 0;
    if (fd >= 0)
        close(fd);
    return failed == 0 ? 0 : error_set_errno(err, failed, "%s", folder);
}

static int make_key(const char *folder, const char *path, struct error *err)
{
    uint8_t root[SECRET_BYTES_MIN];
    if (getrandom(root, sizeof root, 0) != (ssize_t)sizeof root)
        return error_set_errno(err, errno, "random bytes");
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set_errno(err, errno, "%s", path);
    bool written = write(fd, root, sizeof root) == (ssize_t)sizeof root && fsync(fd) == 0;
    int failed = errno;
    OPENSSL_cleanse(root, sizeof root);
    close(fd);
    if (!written) {
        (void)unlink(path); /* half a key would be refused for ever */
        return error_set_errno(err, failed, "%s", path);
    }
    return sync_folder(folder, err);
}

static int derive_all(const uint8_t *root, size_t count, struct secret *ret, struct error *err)
{
    uint8_t id[sizeof ret->key_id];
    struct secret secret = {.key_id = 0};
    const struct {
        const char *purpose;
        uint8_t *key;
        size_t count;
    } keys[] = {
        {"weir users 1", secret.users_key, sizeof secret.users_key},
        {"weir files 1", secret.files_key, sizeof secret.files_key},
        {"weir key id 1", id, sizeof id},
        {"weir epochs 1", secret.epochs_root, sizeof secret.epochs_root},
    };
    int result = 0;
    for (size_t i = 0; result == 0 && i < sizeof keys / sizeof keys[0]; i++)
        result = derive(root, count, keys[i].purpose, keys[i].key, keys[i].count, err);
    if (result == 0) {
        memcpy(&secret.key_id, id, sizeof id);
        *ret = secret;
    }
    OPENSSL_cleanse(&secret, sizeof secret);
    return result;
}

static int read_key(const char *path, struct secret *ret, struct error *err)
{
    const struct private_file_rules rules = {
        .bytes_min = SECRET_BYTES_MIN, .bytes_max = SECRET_BYTES_MAX, .forbidden = FORBIDDEN};
    uint8_t root[SECRET_BYTES_MAX];
    size_t count = 0;
    int result = private_file_read(path, &rules, root, &count, NULL, err);
    if (result == 0)
        result = derive_all(root, count, ret, err);
    OPENSSL_cleanse(root, sizeof root);
    return result;
}

static int join_path(const char *folder, const char *name, char ret[PATH_BYTES_MAX],
                     struct error *err)
{
    int count = snprintf(ret, PATH_BYTES_MAX, "%s/%s", folder, name);
    if (count < 0 || count >= PATH_BYTES_MAX)
        return error_set(err, ERROR_INVALID, "%.100s...: the path is too long", folder);
    return 0;
}

/* As read_key(), but a file that is not there leaves err alone: something else has its turn. */
static int try_key(const char *path, struct secret *ret, struct error *err)
{
    struct error attempt = {0};
    int result = read_key(path, ret, &attempt);
    if (result != 0 && result != ERROR_NOT_FOUND)
        return error_set(err, result, "%s", attempt.text);
    return result;
}

int secret_open(const char *folder, const char *key_file, struct secret *ret, struct error *err)
{
    char path[PATH_BYTES_MAX];
    if (key_file != NULL)
        return read_key(key_file, ret, err);
    const char *credentials = getenv("CREDENTIALS_DIRECTORY");
    if (credentials != NULL && credentials[0] == '/') {
        int result = join_path(credentials, SECRET_CREDENTIAL, path, err);
        if (result == 0)
            result = try_key(path, ret, err);
        if (result != ERROR_NOT_FOUND)
            return result;
    }
    int result = join_path(folder, "users.key", path, err);
    if (result == 0)
        result = try_key(path, ret, err);
    if (result != ERROR_NOT_FOUND)
        return result;
    result = make_key(folder, path, err);
    return result == 0 ? read_key(path, ret, err) : result;
}

bool secret_is_shared(const char *key_file)
{
    char path[PATH_BYTES_MAX];
    const char *credentials = getenv("CREDENTIALS_DIRECTORY");
    if (key_file != NULL)
        return true;
    return credentials != NULL && credentials[0] == '/' &&
           join_path(credentials, SECRET_CREDENTIAL, path, NULL) == 0 && access(path, F_OK) == 0;
}

int secret_purpose(const struct secret *secret, const char *purpose, uint8_t ret[SECRET_HMAC_BYTES],
                   struct error *err)
{
    return derive(secret->epochs_root, sizeof secret->epochs_root, purpose, ret, SECRET_HMAC_BYTES,
                  err);
}

int secret_epoch(const struct secret *secret, uint32_t year, struct secret_epoch *ret,
                 struct error *err)
{
    uint8_t id[sizeof ret->key_id];
    struct secret_epoch epoch = {.year = year};
    const struct {
        const char *purpose;
        uint8_t *key;
        size_t count;
    } keys[] = {
        {"users", epoch.users, sizeof epoch.users},
        {"requests", epoch.requests, sizeof epoch.requests},
        {"cap", epoch.cap, sizeof epoch.cap},
        {"blobs", epoch.blobs, sizeof epoch.blobs},
        {"key id", id, sizeof id},
    };
    int result = 0;
    for (size_t i = 0; result == 0 && i < sizeof keys / sizeof keys[0]; i++) {
        char purpose[64];
        (void)snprintf(purpose, sizeof purpose, "weir mau 1 %u %s", year, keys[i].purpose);
        result = derive(secret->epochs_root, sizeof secret->epochs_root, purpose, keys[i].key,
                        keys[i].count, err);
    }
    if (result == 0) {
        memcpy(&epoch.key_id, id, sizeof id);
        *ret = epoch;
    }
    OPENSSL_cleanse(&epoch, sizeof epoch);
    return result;
}
