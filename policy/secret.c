/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_BYTES_MAX 4096

/* HKDF-SHA256 (RFC 5869); `purpose` keeps keys for different uses apart. */
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

static int check_file(int fd, const char *path, struct error *err)
{
    struct stat status;
    if (fstat(fd, &status) != 0)
        return error_set_errno(err, errno, "%s", path);
    if (!S_ISREG(status.st_mode))
        return error_set(err, ERROR_INVALID, "%s: not a regular file", path);
    if ((status.st_mode & 077) != 0)
        return error_set(err, ERROR_REFUSED,
                         "%s: mode %03o lets others read the key; chmod 600 it, or replace it if "
                         "they did",
                         path, status.st_mode & 0777u);
    if (status.st_size < (off_t)SECRET_BYTES_MIN || status.st_size > (off_t)SECRET_BYTES_MAX)
        return error_set(err, ERROR_INVALID, "%s: expected %u to %u bytes of key, got %lld", path,
                         SECRET_BYTES_MIN, SECRET_BYTES_MAX, (long long)status.st_size);
    return 0;
}

static int read_key(int fd, const char *path, struct secret *ret, struct error *err)
{
    uint8_t root[SECRET_BYTES_MAX], id[8];
    struct secret secret = {.key_id = 0};
    ssize_t count = read(fd, root, sizeof root);
    int result = 0;
    if (count < (ssize_t)SECRET_BYTES_MIN)
        result = error_set(err, ERROR_IO, "%s: read %zd bytes", path, count);
    if (result == 0)
        result = derive(root, (size_t)count, "weir users 1", secret.users_key,
                        sizeof secret.users_key, err);
    if (result == 0)
        result = derive(root, (size_t)count, "weir files 1", secret.files_key,
                        sizeof secret.files_key, err);
    if (result == 0)
        result = derive(root, (size_t)count, "weir key id 1", id, sizeof id, err);
    OPENSSL_cleanse(root, sizeof root);
    if (result != 0)
        return result;
    memcpy(&secret.key_id, id, sizeof id);
    *ret = secret;
    return 0;
}

int secret_open(const char *folder, const char *key_file, struct secret *ret, struct error *err)
{
    char made[PATH_BYTES_MAX];
    const char *path = key_file;
    if (path == NULL) {
        int count = snprintf(made, sizeof made, "%s/users.key", folder);
        if (count < 0 || (size_t)count >= sizeof made)
            return error_set(err, ERROR_INVALID, "%.100s...: the path is too long", folder);
        path = made;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT && key_file == NULL) {
        int result = make_key(folder, path, err);
        if (result != 0)
            return result;
        fd = open(path, O_RDONLY | O_CLOEXEC);
    }
    if (fd < 0)
        return error_set_errno(err, errno, "%s", path);
    int result = check_file(fd, path, err);
    if (result == 0)
        result = read_key(fd, path, ret, err);
    close(fd);
    return result;
}
