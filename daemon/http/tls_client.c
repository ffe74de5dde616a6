/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/http/tls_client.h"

#include "base/text.h"

#include <ctype.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#define SPIFFE_SCHEME          "spiffe://"
#define SPIFFE_BYTES_MAX       2048u
#define TRUST_DOMAIN_BYTES_MAX 255u

/* UTF-8 as it is; what could end a string or a line is escaped. NULL: no memory. */
static char *spell_name(const X509_NAME *name)
{
    BIO *out = BIO_new(BIO_s_mem());
    char *bytes = NULL, *copy = NULL;
    if (out != NULL &&
        X509_NAME_print_ex(out, name, 0, XN_FLAG_RFC2253 & ~(unsigned long)ASN1_STRFLGS_ESC_MSB) >=
            0) {
        long count = BIO_get_mem_data(out, &bytes);
        copy = strndup(count > 0 ? bytes : "", count > 0 ? (size_t)count : 0);
    }
    BIO_free(out);
    return copy;
}

/* The text of an alternative name of this kind; NULL for another kind, and for what holds a NUL, by
 * which a name was made to look like another once. */
static const char *text_of(const GENERAL_NAME *name, int kind)
{
    if (name->type != kind)
        return NULL;
    const char *text = (const char *)ASN1_STRING_get0_data(name->d.ia5);
    size_t count = (size_t)ASN1_STRING_length(name->d.ia5);
    return count > 0 && strnlen(text, count) == count && utf8_valid(text, count) ? text : NULL;
}

static bool is_in(char c, const char *more)
{
    return islower((unsigned char)c) || isdigit((unsigned char)c) || strchr(more, c) != NULL;
}

/* By the SPIFFE-ID standard, section 2: how long its trust domain is; 0 for what is no id. */
static size_t spiffe_domain_bytes(const char *id)
{
    if (strncmp(id, SPIFFE_SCHEME, strlen(SPIFFE_SCHEME)) != 0 || strlen(id) > SPIFFE_BYTES_MAX)
        return 0;
    const char *domain = id + strlen(SPIFFE_SCHEME), *at = domain;
    while (*at != '\0' && is_in(*at, ".-_"))
        at++;
    size_t count = (size_t)(at - domain);
    if (count == 0 || count > TRUST_DOMAIN_BYTES_MAX || *at != '/')
        return 0; /* without a path it names the domain, not somebody in it */
    while (*at == '/') {
        const char *segment = ++at;
        while (*at != '\0' && (is_in(*at, ".-_") || isupper((unsigned char)*at)))
            at++;
        size_t bytes = (size_t)(at - segment);
        if (bytes == 0 || strspn(segment, ".") == bytes)
            return 0; /* nor is ".." anybody, whatever else is made of dots */
    }
    return *at == '\0' ? count : 0;
}

/* False: no memory. */
static bool read_alternatives(const X509 *certificate, struct tls_client *client)
{
    static const int kinds[] = {GEN_EMAIL, GEN_DNS, GEN_URI};
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    const char *first[3] = {NULL, NULL, NULL};
    unsigned uris = 0;
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        uris += name->type == GEN_URI;
        for (size_t kind = 0; kind < 3; kind++)
            if (first[kind] == NULL)
                first[kind] = text_of(name, kinds[kind]);
    }
    const char *chosen = first[0] != NULL ? first[0] : first[1] != NULL ? first[1] : first[2];
    const char *spiffe = uris == 1 && first[2] != NULL ? first[2] : "";
    size_t domain_bytes = spiffe_domain_bytes(spiffe);
    client->alternative = strdup(chosen == NULL ? "" : chosen);
    client->spiffe = strdup(domain_bytes == 0 ? "" : spiffe);
    client->trust_domain =
        strndup(domain_bytes == 0 ? "" : spiffe + strlen(SPIFFE_SCHEME), domain_bytes);
    GENERAL_NAMES_free(names);
    return client->alternative != NULL && client->spiffe != NULL && client->trust_domain != NULL;
}

struct tls_client *tls_client_new(const X509 *certificate)
{
    struct tls_client *client = calloc(1, sizeof *client);
    if (client == NULL)
        return NULL;
    client->subject = spell_name(X509_get_subject_name(certificate));
    client->issuer = spell_name(X509_get_issuer_name(certificate));
    bool whole = client->subject != NULL && client->issuer != NULL;
    if (!whole || !read_alternatives(certificate, client)) {
        tls_client_free(client);
        client = NULL;
    }
    ERR_clear_error();
    return client;
}

void tls_client_free(struct tls_client *client)
{
    if (client == NULL)
        return;
    free(client->subject);
    free(client->issuer);
    free(client->alternative);
    free(client->spiffe);
    free(client->trust_domain);
    free(client);
}
