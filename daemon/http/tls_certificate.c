/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/http/tls_certificate.h"

#include "base/text.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* The oldest entry of OpenSSL's queue is the one nearest the cause. */
int tls_error(struct error *err, const char *what, const char *file, const char *remedy)
{
    unsigned long code = ERR_get_error();
    const char *reason = NULL;
    if (code != 0)
        reason =
            ERR_SYSTEM_ERROR(code) ? strerror(ERR_GET_REASON(code)) : ERR_reason_error_string(code);
    ERR_clear_error();
    return error_set(err, ERROR_INVALID, "%s '%.300s': %s (%s)", what, file,
                     reason == NULL ? "unknown reason" : reason, remedy);
}

int tls_no_passphrase(char *buffer, int bytes, int writing, void *argument)
{
    (void)buffer;
    (void)bytes;
    (void)writing;
    (void)argument;
    return -1;
}

static int64_t unix_of(const ASN1_TIME *time)
{
    struct tm broken;
    return ASN1_TIME_to_tm(time, &broken) == 1 ? (int64_t)timegm(&broken) : 0;
}

static int load_files(SSL_CTX *context, const struct tls_pair *pair, struct error *err)
{
    ERR_clear_error();
    SSL_CTX_set_default_passwd_cb(context, tls_no_passphrase);
    if (SSL_CTX_use_certificate_chain_file(context, pair->certificate) != 1)
        return tls_error(err, "certificate", pair->certificate,
                         "give a PEM file that weir may read: the certificate, then its chain");
    if (SSL_CTX_use_PrivateKey_file(context, pair->key, SSL_FILETYPE_PEM) != 1 &&
        ERR_GET_REASON(ERR_peek_error()) != X509_R_KEY_VALUES_MISMATCH)
        return tls_error(err, "key", pair->key,
                         "give the PEM file of the private key, without a passphrase, that weir "
                         "may read");
    bool belongs = ERR_peek_error() == 0 && SSL_CTX_check_private_key(context) == 1;
    ERR_clear_error();
    return belongs
               ? 0
               : error_set(err, ERROR_INVALID,
                           "key '%.300s' is not that of certificate '%.300s' (give the key that "
                           "it was made for: one of them is of another year, or the other way "
                           "around)",
                           pair->key, pair->certificate);
}

/* The names inside, where the configuration gives none. What is no DNS name is passed over. */
static int add_own_names(const X509 *certificate, uint32_t index, struct tls_names *names,
                         struct error *err)
{
    GENERAL_NAMES *all = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    int result = 0;
    for (int i = 0; result == 0 && i < sk_GENERAL_NAME_num(all); i++) {
        const GENERAL_NAME *one = sk_GENERAL_NAME_value(all, i);
        if (one->type != GEN_DNS)
            continue;
        const char *text = (const char *)ASN1_STRING_get0_data(one->d.dNSName);
        if (strlen(text) == (size_t)ASN1_STRING_length(one->d.dNSName) && tls_name_is_valid(text))
            result = tls_names_add(names, text, index, err);
    }
    GENERAL_NAMES_free(all);
    return result;
}

static int add_names(const struct tls_pair *pair, const X509 *certificate, uint32_t index,
                     struct tls_names *names, struct error *err)
{
    if (pair->name_count == 0)
        return add_own_names(certificate, index, names, err);
    int result = 0;
    for (uint32_t i = 0; result == 0 && i < pair->name_count; i++) {
        if (tls_name_is_valid(pair->names[i]))
            result = tls_names_add(names, pair->names[i], index, err);
        else
            result =
                error_set(err, ERROR_INVALID,
                          "'%.100s' is no name: expected a DNS name, or *.DOMAIN", pair->names[i]);
    }
    return result;
}

static void name_of_subject(const X509 *certificate, char *ret, int ret_bytes)
{
    int count = X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, ret,
                                          ret_bytes);
    if (count <= 0 || !utf8_valid(ret, strlen(ret)))
        (void)snprintf(ret, (size_t)ret_bytes, "unnamed");
}

int tls_certificate_load(struct tls_certificate *ret, const struct tls_pair *pair, uint32_t index,
                         struct tls_names *names, struct error *err)
{
    struct tls_certificate loaded = {.context = SSL_CTX_new(TLS_server_method())};
    if (loaded.context == NULL) {
        ERR_clear_error();
        return error_no_memory(err);
    }
    uint32_t before = names->count;
    int result = load_files(loaded.context, pair, err);
    const X509 *certificate = SSL_CTX_get0_certificate(loaded.context);
    if (result == 0)
        result = add_names(pair, certificate, index, names, err);
    if (result != 0) {
        tls_certificate_destroy(&loaded);
        return result;
    }
    loaded.not_after_unix = unix_of(X509_get0_notAfter(certificate));
    if (names->count > before)
        (void)snprintf(loaded.name, sizeof loaded.name, "%s", tls_names_added(names, before));
    else
        name_of_subject(certificate, loaded.name, sizeof loaded.name);
    *ret = loaded;
    return 0;
}

void tls_certificate_destroy(struct tls_certificate *certificate)
{
    SSL_CTX_free(certificate->context);
    *certificate = (struct tls_certificate){.context = NULL};
}
