/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/http/tls_clients.h"

#include "base/schema.h"
#include "daemon/http/tls_certificate.h"

#include <assert.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

#define AUTHORITIES_BYTES_MAX (1u << 20)
#define REVOKED_BYTES_MAX     (16u << 20)

static_assert(SSL_MAX_SID_CTX_LENGTH == 32, "SHA-256 fits");

/* What one file adds. */
struct found {
    int certificates, lists;
};

static bool add(struct tls_clients *clients, const X509_INFO *one, bool authorities,
                struct found *found)
{
    if (authorities && one->x509 != NULL) {
        X509_NAME *name = X509_NAME_dup(X509_get_subject_name(one->x509));
        if (name == NULL || sk_X509_NAME_push(clients->names, name) == 0) {
            X509_NAME_free(name);
            return false;
        }
        found->certificates++;
        return X509_STORE_add_cert(clients->store, one->x509) == 1;
    }
    if (!authorities && one->crl != NULL) {
        found->lists++;
        return X509_STORE_add_crl(clients->store, one->crl) == 1;
    }
    return true;
}

static int read_file(struct tls_clients *clients, const char *path, bool authorities,
                     EVP_MD_CTX *digest, struct error *err)
{
    const char *what = authorities ? "client_ca" : "client_crl";
    const char *remedy = authorities ? "give a PEM file of the authorities' certificates"
                                     : "give a PEM file of X509 CRLs";
    struct found found = {0};
    char *bytes;
    size_t count;
    int result = schema_read_file(path, authorities ? AUTHORITIES_BYTES_MAX : REVOKED_BYTES_MAX,
                                  &bytes, &count, err);
    if (result != 0)
        return error_wrap(err, "%s", what);
    ERR_clear_error();
    BIO *in = BIO_new_mem_buf(bytes, (int)count);
    STACK_OF(X509_INFO) *all =
        in == NULL ? NULL : PEM_X509_INFO_read_bio(in, NULL, tls_no_passphrase, NULL);
    bool sound = all != NULL && EVP_DigestUpdate(digest, bytes, count) == 1;
    for (int i = 0; sound && i < sk_X509_INFO_num(all); i++)
        sound = add(clients, sk_X509_INFO_value(all, i), authorities, &found);
    if (!sound)
        result = tls_error(err, what, path, remedy);
    else if (found.certificates + found.lists == 0)
        result = error_set(err, ERROR_INVALID, "%s '%.300s': none in it (%s)", what, path, remedy);
    sk_X509_INFO_pop_free(all, X509_INFO_free);
    BIO_free(in);
    free(bytes);
    ERR_clear_error();
    return result;
}

static int read_files(struct tls_clients *clients, const struct tls_client_rules *rules,
                      EVP_MD_CTX *digest, struct error *err)
{
    clients->store = X509_STORE_new();
    clients->names = sk_X509_NAME_new_null();
    if (clients->store == NULL || clients->names == NULL)
        return error_no_memory(err);
    int result = read_file(clients, rules->authorities, true, digest, err);
    if (result != 0 || rules->revoked[0] == '\0')
        return result;
    /* Of every authority on the way: one that has no list here, or an old one, lets nobody in. */
    if (X509_STORE_set_flags(clients->store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL) !=
        1)
        return error_no_memory(err);
    return read_file(clients, rules->revoked, false, digest, err);
}

int tls_clients_init(struct tls_clients *clients, const struct tls_client_rules *rules,
                     struct error *err)
{
    const uint32_t numbers[] = {(uint32_t)rules->auth, rules->depth_max};
    *clients = (struct tls_clients){.auth = rules->auth, .depth_max = (int)rules->depth_max};
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    int result = 0;
    if (digest == NULL || EVP_DigestInit_ex(digest, EVP_sha256(), NULL) != 1 ||
        EVP_DigestUpdate(digest, numbers, sizeof numbers) != 1)
        result = error_no_memory(err);
    if (result == 0 && rules->auth != TLS_CLIENT_AUTH_OFF)
        result = read_files(clients, rules, digest, err);
    if (result == 0 && EVP_DigestFinal_ex(digest, clients->digest, NULL) != 1)
        result = error_no_memory(err);
    EVP_MD_CTX_free(digest);
    if (result != 0)
        tls_clients_destroy(clients);
    return result;
}

/* A ticket carries its client's certificate, and may outlive it: then hands are shaken in full. */
static SSL_TICKET_RETURN on_ticket_read(SSL *ssl, SSL_SESSION *session, const unsigned char *name,
                                        size_t name_bytes, SSL_TICKET_STATUS status, void *argument)
{
    (void)ssl;
    (void)name;
    (void)name_bytes;
    (void)argument;
    if (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW)
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    const X509 *client = SSL_SESSION_get0_peer(session);
    if (client != NULL && X509_cmp_current_time(X509_get0_notAfter(client)) < 0)
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    return status == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_USE_RENEW;
}

bool tls_clients_set_up(const struct tls_clients *clients, SSL_CTX *context)
{
    if (SSL_CTX_set_session_id_context(context, clients->digest, sizeof clients->digest) != 1)
        return false;
    if (clients->auth == TLS_CLIENT_AUTH_OFF)
        return true;
    STACK_OF(X509_NAME) *names = SSL_dup_CA_list(clients->names);
    if (names == NULL || SSL_CTX_set1_verify_cert_store(context, clients->store) != 1) {
        sk_X509_NAME_pop_free(names, X509_NAME_free);
        return false;
    }
    SSL_CTX_set_client_CA_list(context, names);
    SSL_CTX_set_verify_depth(context, clients->depth_max);
    SSL_CTX_set_verify(
        context,
        SSL_VERIFY_PEER |
            (clients->auth == TLS_CLIENT_AUTH_REQUIRED ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0),
        NULL);
    return SSL_CTX_set_session_ticket_cb(context, NULL, on_ticket_read, NULL) == 1;
}

void tls_clients_destroy(struct tls_clients *clients)
{
    X509_STORE_free(clients->store);
    sk_X509_NAME_pop_free(clients->names, X509_NAME_free);
    *clients = (struct tls_clients){.store = NULL};
}
