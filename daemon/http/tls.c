/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/http/tls.h"

#include "daemon/http/listener.h"

#include <assert.h>
#include <limits.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

/* Memory BIOs on both sides rather than the socket's: a turn's records leave in one send(), which
 * can also ask for no SIGPIPE, and tests need no socket. */
struct tls {
    SSL *ssl;
    BIO *from_wire, *to_wire; /* borrowed: ssl */
    bool failed;
};

struct tls *tls_new(SSL_CTX *context)
{
    struct tls *tls = calloc(1, sizeof *tls);
    if (tls == NULL)
        return NULL;
    tls->ssl = SSL_new(context);
    tls->from_wire = BIO_new(BIO_s_mem());
    tls->to_wire = BIO_new(BIO_s_mem());
    if (tls->ssl == NULL || tls->from_wire == NULL || tls->to_wire == NULL)
        goto fail;
    SSL_set_bio(tls->ssl, tls->from_wire, tls->to_wire);
    SSL_set_accept_state(tls->ssl);
    return tls;

fail:
    BIO_free(tls->from_wire);
    BIO_free(tls->to_wire);
    SSL_free(tls->ssl);
    free(tls);
    ERR_clear_error();
    return NULL;
}

void tls_free(struct tls *tls)
{
    if (tls == NULL)
        return;
    SSL_free(tls->ssl); /* and both BIOs */
    free(tls);
}

bool tls_receive(struct tls *tls, const void *cipher, size_t count)
{
    assert(count <= INT_MAX);
    return BIO_write(tls->from_wire, cipher, (int)count) == (int)count;
}

ssize_t tls_read(struct tls *tls, void *plain, size_t count)
{
    if (tls->failed)
        return -1;
    size_t got = 0;
    ERR_clear_error(); /* SSL_get_error() looks at the thread's queue */
    int answer = SSL_read_ex(tls->ssl, plain, count, &got);
    if (answer == 1)
        return (ssize_t)got;
    int why = SSL_get_error(tls->ssl, answer);
    ERR_clear_error();
    if (why == SSL_ERROR_WANT_READ)
        return 0;
    tls->failed = why != SSL_ERROR_ZERO_RETURN; /* after close_notify we may still write */
    return -1;
}

bool tls_write(struct tls *tls, const void *plain, size_t count)
{
    if (tls->failed)
        return false;
    size_t written = 0;
    ERR_clear_error();
    if (count > 0 && SSL_write_ex(tls->ssl, plain, count, &written) != 1)
        tls->failed = true;
    ERR_clear_error();
    return !tls->failed;
}

void tls_collect(struct tls *tls, struct text *out)
{
    char *bytes = NULL;
    long count = BIO_get_mem_data(tls->to_wire, &bytes);
    if (count > 0)
        text_append(out, bytes, (size_t)count);
    (void)BIO_reset(tls->to_wire);
}

void tls_close(struct tls *tls)
{
    if (!tls->failed && SSL_is_init_finished(tls->ssl) &&
        (SSL_get_shutdown(tls->ssl) & SSL_SENT_SHUTDOWN) == 0)
        (void)SSL_shutdown(tls->ssl); /* 0: sent, theirs not seen; we do not wait for it */
    ERR_clear_error();
}

bool tls_chose_h2(const struct tls *tls)
{
    const unsigned char *name = NULL;
    unsigned count = 0;
    SSL_get0_alpn_selected(tls->ssl, &name, &count);
    return count == 2 && memcmp(name, "h2", 2) == 0;
}

/* Our order of preference, whatever theirs: h2, then http/1.1. */
static int on_alpn(SSL *ssl, const unsigned char **ret_name, unsigned char *ret_count,
                   const unsigned char *offered, unsigned offered_count, void *argument)
{
    (void)ssl;
    (void)argument;
    static const unsigned char ours[] = "\x02h2\x08http/1.1";
    unsigned char *chosen;
    if (SSL_select_next_proto(&chosen, ret_count, ours, sizeof ours - 1, offered, offered_count) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *ret_name = chosen;
    return SSL_TLSEXT_ERR_OK;
}

/* The oldest entry of OpenSSL's queue is the one nearest the cause. */
static int tls_error(struct error *err, const char *what, const char *file)
{
    char reason[256] = "unknown reason";
    unsigned long code = ERR_get_error();
    if (code != 0)
        ERR_error_string_n(code, reason, sizeof reason);
    ERR_clear_error();
    return error_set(err, ERROR_INVALID, "%s '%s': %s", what, file, reason);
}

SSL_CTX *listener_tls_context(const char *certificate_file, const char *key_file, struct error *err)
{
    ERR_clear_error();
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    if (context == NULL) {
        (void)error_no_memory(err);
        return NULL;
    }
    (void)SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                     SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_alpn_select_cb(context, on_alpn, NULL);
    /* RFC 9113, section 9.2.2: forward secrecy and AEAD are all that HTTP/2 may be spoken with. */
    if (SSL_CTX_set_cipher_list(context, "ECDHE+AESGCM:ECDHE+CHACHA20") != 1) {
        (void)tls_error(err, "TLS ciphers for", certificate_file);
        goto fail;
    }
    if (SSL_CTX_use_certificate_chain_file(context, certificate_file) != 1) {
        (void)tls_error(err, "TLS certificate", certificate_file);
        goto fail;
    }
    if (SSL_CTX_use_PrivateKey_file(context, key_file, SSL_FILETYPE_PEM) != 1) {
        (void)tls_error(err, "TLS key", key_file);
        goto fail;
    }
    if (SSL_CTX_check_private_key(context) != 1) {
        (void)tls_error(err, "TLS key does not belong to the certificate", key_file);
        goto fail;
    }
    return context;

fail:
    SSL_CTX_free(context);
    return NULL;
}
