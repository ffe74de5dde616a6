/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/http/tls.h"

#include "daemon/http/listener_inner.h"
#include "daemon/http/tls_client.h"
#include "daemon/http/tls_set.h"

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
    struct tls_set *set;      /* a reference while hands are shaken, then NULL */
    _Atomic uint64_t *counts; /* borrowed: the listener; TLS_RESULT_COUNT */
    bool failed;
    bool client_read;          /* `client` is what there is to know */
    struct tls_client *client; /* NULL for none */
};

/* What came of the handshake is known, once. */
static void settle(struct tls *tls, enum tls_result result)
{
    COUNTER_ADD(tls->counts[result], 1);
    tls_set_part(tls->ssl);
    tls_set_unref(tls->set);
    tls->set = NULL;
}

struct tls *tls_new(struct tls_set *set, _Atomic uint64_t counts[TLS_RESULT_COUNT])
{
    struct tls *tls = calloc(1, sizeof *tls);
    if (tls == NULL)
        return NULL;
    tls->counts = counts;
    tls->ssl = tls_set_meet(set);
    tls->from_wire = BIO_new(BIO_s_mem());
    tls->to_wire = BIO_new(BIO_s_mem());
    if (tls->ssl == NULL || tls->from_wire == NULL || tls->to_wire == NULL)
        goto fail;
    SSL_set_bio(tls->ssl, tls->from_wire, tls->to_wire);
    SSL_set_accept_state(tls->ssl);
    tls->set = tls_set_ref(set);
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
    if (tls->set != NULL)
        settle(tls, TLS_UNFINISHED);
    SSL_free(tls->ssl); /* and both BIOs */
    tls_client_free(tls->client);
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
    int why = answer == 1 ? SSL_ERROR_NONE : SSL_get_error(tls->ssl, answer);
    ERR_clear_error();
    if (tls->set != NULL && SSL_is_init_finished(tls->ssl))
        settle(tls, SSL_session_reused(tls->ssl) ? TLS_RESUMED : TLS_FULL);
    if (why == SSL_ERROR_NONE)
        return (ssize_t)got;
    if (why == SSL_ERROR_WANT_READ)
        return 0;
    tls->failed = why != SSL_ERROR_ZERO_RETURN; /* after close_notify we may still write */
    if (tls->set != NULL)
        settle(tls, TLS_FAILED);
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

const struct tls_client *tls_client_of(struct tls *tls)
{
    assert(tls->set == NULL);
    if (tls->client_read)
        return tls->client;
    tls->client_read = true;
    const X509 *certificate = SSL_get0_peer_certificate(tls->ssl);
    if (certificate != NULL && SSL_get_verify_result(tls->ssl) == X509_V_OK)
        tls->client = tls_client_new(certificate);
    return tls->client;
}

bool tls_chose_h2(const struct tls *tls)
{
    const unsigned char *name = NULL;
    unsigned count = 0;
    SSL_get0_alpn_selected(tls->ssl, &name, &count);
    return count == 2 && memcmp(name, "h2", 2) == 0;
}
