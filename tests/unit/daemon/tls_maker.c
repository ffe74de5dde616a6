/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/daemon/tls_maker.h"

#define HOUR_S     3600
#define TURNS_MAX  20
#define WIRE_BYTES 16384

static void extend(X509 *certificate, X509 *issuer, int kind, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, kind, value);
    assert_non_null(extension);
    assert_int_equal(X509_add_ext(certificate, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

struct tls_made tls_make(const struct tls_make *make)
{
    static long serial = 1;
    struct tls_made made = {.certificate = X509_new(), .key = EVP_EC_gen("P-256")};
    assert_non_null(made.certificate);
    assert_non_null(made.key);
    X509_set_version(made.certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(made.certificate), serial++);
    X509_gmtime_adj(X509_getm_notBefore(made.certificate), -HOUR_S);
    X509_gmtime_adj(X509_getm_notAfter(made.certificate),
                    make->seconds == 0 ? 24L * HOUR_S : make->seconds);
    X509_set_pubkey(made.certificate, made.key);
    X509_NAME *name = X509_get_subject_name(made.certificate);
    if (make->common_name != NULL)
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                                   (const unsigned char *)make->common_name, -1, -1, 0);
    const struct tls_made *issuer = make->issuer == NULL ? &made : make->issuer;
    X509_set_issuer_name(made.certificate, X509_get_subject_name(issuer->certificate));
    if (make->authority)
        extend(made.certificate, issuer->certificate, NID_basic_constraints, "critical,CA:TRUE");
    if (make->names != NULL)
        extend(made.certificate, issuer->certificate, NID_subject_alt_name, make->names);
    assert_true(X509_sign(made.certificate, issuer->key, EVP_sha256()) > 0);
    return made;
}

void tls_made_release(struct tls_made *made)
{
    X509_free(made->certificate);
    EVP_PKEY_free(made->key);
}

void tls_write_file(const char *folder, const char *name, const X509 *certificate,
                    const EVP_PKEY *key, char ret_path[TLS_MAKER_PATH_BYTES])
{
    (void)snprintf(ret_path, TLS_MAKER_PATH_BYTES, "%s/%s", folder, name);
    FILE *file = fopen(ret_path, "we");
    assert_non_null(file);
    if (certificate != NULL)
        assert_int_equal(PEM_write_X509(file, (X509 *)certificate), 1);
    if (key != NULL)
        assert_int_equal(PEM_write_PrivateKey(file, (EVP_PKEY *)key, NULL, NULL, 0, NULL, NULL), 1);
    assert_int_equal(fclose(file), 0);
}

SSL_CTX *tls_client_context(void)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    assert_non_null(context);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    return context;
}

/* What one side wrote, to the other; the server's answers come by tls_collect(). */
static void carry(struct tls_pair_of_hands *hands)
{
    char bytes[WIRE_BYTES];
    int count = BIO_read(SSL_get_wbio(hands->client), bytes, sizeof bytes);
    if (count > 0)
        assert_true(tls_receive(hands->server, bytes, (size_t)count));
    char plain[64];
    (void)tls_read(hands->server, plain, sizeof plain);
    struct text out;
    text_init(&out);
    tls_collect(hands->server, &out);
    if (out.count > 0)
        assert_int_equal(BIO_write(SSL_get_rbio(hands->client), out.bytes, (int)out.count),
                         (int)out.count);
    text_destroy(&out);
}

bool tls_shake(struct tls_pair_of_hands *hands, struct tls_set *set,
               const struct tls_greeting *greeting)
{
    memset(hands, 0, sizeof *hands);
    hands->server = tls_new(set, hands->counts);
    hands->client = SSL_new(greeting->context);
    assert_non_null(hands->server);
    assert_non_null(hands->client);
    SSL_set_bio(hands->client, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_connect_state(hands->client);
    if (greeting->name != NULL)
        assert_int_equal(SSL_set_tlsext_host_name(hands->client, greeting->name), 1);
    if (greeting->session != NULL)
        assert_int_equal(SSL_set_session(hands->client, greeting->session), 1);
    bool shaken = false;
    for (int turn = 0; !shaken && turn < TURNS_MAX; turn++) {
        int answer = SSL_do_handshake(hands->client);
        if (answer != 1 && SSL_get_error(hands->client, answer) != SSL_ERROR_WANT_READ)
            return false;
        shaken = answer == 1;
        carry(hands);
    }
    /* In TLS 1.3 the server may yet refuse; its tickets come too. */
    char byte;
    assert_true(shaken);
    (void)tls_write(hands->server, "x", 1);
    carry(hands);
    return SSL_read(hands->client, &byte, 1) == 1 && byte == 'x';
}

void tls_let_go(struct tls_pair_of_hands *hands)
{
    tls_free(hands->server);
    SSL_set_shutdown(hands->client, SSL_SENT_SHUTDOWN); /* else its session is thought broken */
    SSL_free(hands->client);
}
