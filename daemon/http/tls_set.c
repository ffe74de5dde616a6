/* SPDX-License-Identifier: Apache-2.0 */
/* tls_set.c -- the handshake's rules in one place.
 *
 * Each certificate is a context of OpenSSL's, all made alike. A connection begins with the first,
 * and moves to another when the client's server name asks for it:
 *
 *     ClientHello -> [server name: which context] -> [ALPN: h2, http/1.1 or an alert] -> ...
 *
 * Who comes back with a ticket moves likewise. Contexts hold nothing that changes: what does, they
 * find in the set, by the connection. So sets that differ in the keys of tickets share contexts.
 *
 * Versions and options are those of the first context, for OpenSSL copies them when a connection
 * begins; that is why all contexts have the same. */
#include "daemon/http/tls_set.h"

#include "base/shelf.h"

#include <assert.h>
#include <openssl/err.h>
#include <stddef.h>
#include <stdlib.h>

struct tls_set {
    struct shelved shelved;
    struct tls_certificate *certificates;
    uint32_t count;
    struct tls_names names;
    struct tls_tickets tickets;
};

static_assert(offsetof(struct tls_set, shelved) == 0, "it lies on a shelf");

/* -- During a handshake -- */

/* Our order of preference, whatever theirs: h2, then http/1.1. Who offers neither is told so
 * (RFC 7301, section 3.2: no_application_protocol). */
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

/* No name, or one that we do not have: the first certificate, and no word that it was heard. */
static int on_server_name(SSL *ssl, int *alert, void *argument)
{
    (void)alert;
    (void)argument;
    const struct tls_set *set = SSL_get_app_data(ssl);
    const char *asked = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    uint32_t index;
    if (set == NULL || asked == NULL || !tls_names_find(&set->names, asked, &index))
        return SSL_TLSEXT_ERR_NOACK;
    if (SSL_set_SSL_CTX(ssl, set->certificates[index].context) == NULL)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    return SSL_TLSEXT_ERR_OK;
}

/* The first context's, for it is there that sessions belong. */
static int on_ticket(SSL *ssl, unsigned char name[16], unsigned char *iv, EVP_CIPHER_CTX *cipher,
                     EVP_MAC_CTX *mac, int making)
{
    const struct tls_set *set = SSL_get_app_data(ssl);
    return set == NULL ? -1 : tls_tickets_use(&set->tickets, name, iv, cipher, mac, making);
}

SSL *tls_set_meet(struct tls_set *set)
{
    SSL *ssl = SSL_new(set->certificates[0].context);
    if (ssl != NULL && SSL_set_app_data(ssl, set) == 1)
        return ssl;
    SSL_free(ssl);
    return NULL;
}

void tls_set_part(SSL *ssl)
{
    (void)SSL_set_app_data(ssl, NULL); /* the place is there: this allocates nothing */
}

/* -- Making one -- */

static void free_set(void *argument)
{
    struct tls_set *set = argument;
    for (uint32_t i = 0; i < set->count; i++)
        tls_certificate_destroy(&set->certificates[i]);
    free(set->certificates);
    tls_tickets_wipe(&set->tickets);
    tls_names_destroy(&set->names);
    free(set);
}

static int set_up(SSL_CTX *context, const struct tls_settings *settings,
                  const struct tls_clients *clients, struct error *err)
{
    bool newest = settings->version_min == TLS_VERSION_1_3;
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_alpn_select_cb(context, on_alpn, NULL);
    (void)SSL_CTX_set_tlsext_servername_callback(context, on_server_name);
    (void)SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    (void)SSL_CTX_set_tlsext_ticket_key_evp_cb(context, on_ticket);
    /* What is sent before hands are shaken can be sent again by anybody (RFC 8446, section 8). */
    (void)SSL_CTX_set_max_early_data(context, 0);
    /* RFC 9113, section 9.2.2: forward secrecy and AEAD are all that HTTP/2 may be spoken with. The
     * client knows best which of them its processor is good at. */
    if (SSL_CTX_set_min_proto_version(context, newest ? TLS1_3_VERSION : TLS1_2_VERSION) != 1 ||
        SSL_CTX_set_cipher_list(context, "ECDHE+AESGCM:ECDHE+CHACHA20") != 1) {
        ERR_clear_error();
        return error_set(err, ERROR_UNSUPPORTED, "OpenSSL has no modern ciphers here");
    }
    bool told = tls_clients_set_up(clients, context);
    ERR_clear_error();
    return told ? 0 : error_no_memory(err);
}

static int load_certificates(struct tls_set *set, const struct tls_settings *settings,
                             const struct tls_clients *clients, struct error *err)
{
    set->certificates = calloc(settings->pair_count, sizeof *set->certificates);
    if (set->certificates == NULL)
        return error_no_memory(err);
    for (uint32_t i = 0; i < settings->pair_count; i++) {
        struct tls_certificate *certificate = &set->certificates[i];
        int result = tls_certificate_load(certificate, &settings->pairs[i], i, &set->names, err);
        if (result != 0)
            return result;
        set->count++;
        result = set_up(certificate->context, settings, clients, err);
        if (result != 0)
            return result;
    }
    tls_names_sort(&set->names);
    return 0;
}

struct tls_set *tls_set_new(const struct tls_settings *settings, struct error *err)
{
    assert(settings->pair_count >= 1 && settings->pair_count <= TLS_CERTIFICATES_MAX);
    struct tls_clients clients;
    struct tls_set *set = calloc(1, sizeof *set);
    if (set == NULL) {
        (void)error_no_memory(err);
        return NULL;
    }
    shelved_init(&set->shelved, free_set);
    int result = tls_clients_init(&clients, &settings->clients, err);
    if (settings->tickets != NULL)
        set->tickets = *settings->tickets;
    else if (result == 0)
        result = tls_tickets_rotate(&set->tickets, err);
    if (result == 0)
        result = load_certificates(set, settings, &clients, err);
    tls_clients_destroy(&clients);
    if (result == 0)
        return set;
    tls_set_unref(set);
    return NULL;
}

struct tls_set *tls_set_with_tickets(const struct tls_set *set, const struct tls_tickets *tickets)
{
    struct tls_set *copy = calloc(1, sizeof *copy);
    if (copy == NULL)
        return NULL;
    shelved_init(&copy->shelved, free_set);
    copy->certificates = calloc(set->count, sizeof *copy->certificates);
    if (copy->certificates == NULL || !tls_names_copy(&set->names, &copy->names)) {
        tls_set_unref(copy);
        return NULL;
    }
    for (; copy->count < set->count; copy->count++) {
        copy->certificates[copy->count] = set->certificates[copy->count];
        int counted = SSL_CTX_up_ref(copy->certificates[copy->count].context);
        assert(counted == 1);
    }
    copy->tickets = *tickets;
    return copy;
}

struct tls_set *tls_set_ref(struct tls_set *set)
{
    return shelved_ref(set);
}

void tls_set_unref(struct tls_set *set)
{
    shelved_unref(set);
}

uint32_t tls_set_count(const struct tls_set *set)
{
    return set->count;
}

const struct tls_certificate *tls_set_certificate(const struct tls_set *set, uint32_t index)
{
    assert(index < set->count);
    return &set->certificates[index];
}
