/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/http/tls_client.h"
#include "tests/unit/daemon/tls_maker.h"

#define HOUR_S 3600L

struct house {
    char folder[32];
    struct tls_made site, root, other_root;
    char certificate[TLS_MAKER_PATH_BYTES], key[TLS_MAKER_PATH_BYTES], roots[TLS_MAKER_PATH_BYTES],
        revoked[TLS_MAKER_PATH_BYTES];
    struct tls_pair pair;
    struct tls_tickets tickets;
};

static int setup(void **state)
{
    struct house *house = calloc(1, sizeof *house);
    assert_non_null(house);
    (void)snprintf(house->folder, sizeof house->folder, "/tmp/tls_client_XXXXXX");
    assert_non_null(mkdtemp(house->folder));
    house->site = tls_make(&(struct tls_make){.common_name = "site"});
    house->root = tls_make(&(struct tls_make){.common_name = "Root", .authority = true});
    house->other_root = tls_make(&(struct tls_make){.common_name = "Other", .authority = true});
    tls_write_file(house->folder, "pem", house->site.certificate, NULL, house->certificate);
    tls_write_file(house->folder, "key", NULL, house->site.key, house->key);
    tls_write_file(house->folder, "roots", house->root.certificate, NULL, house->roots);
    house->pair = (struct tls_pair){.certificate = house->certificate, .key = house->key};
    assert_int_equal(tls_tickets_rotate(&house->tickets, NULL), 0);
    *state = house;
    return 0;
}

static int teardown(void **state)
{
    struct house *house = *state;
    DIR *folder = opendir(house->folder);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;)
        (void)unlinkat(dirfd(folder), entry->d_name, 0);
    closedir(folder);
    rmdir(house->folder);
    tls_made_release(&house->site);
    tls_made_release(&house->root);
    tls_made_release(&house->other_root);
    free(house);
    return 0;
}

/* -- Names -- */

static struct tls_client *named(const char *common_name, const char *names)
{
    struct tls_made made = tls_make(&(struct tls_make){.common_name = common_name, .names = names});
    struct tls_client *client = tls_client_new(made.certificate);
    assert_non_null(client);
    tls_made_release(&made);
    return client;
}

static void a_certificate_says_who_it_is(void **state)
{
    struct house *house = *state;
    struct tls_made made = tls_make(&(struct tls_make){.common_name = "Zo\xc3\xab, \n x",
                                                       .names = "URI:urn:x,DNS:a.example,"
                                                                "email:zoe@a.example",
                                                       .issuer = &house->root});
    struct tls_client *client = tls_client_new(made.certificate);
    assert_string_equal(client->subject, "CN=Zo\xc3\xab\\, \\0A x");
    assert_string_equal(client->issuer, "CN=Root");
    assert_string_equal(client->alternative, "zoe@a.example");
    assert_string_equal(client->spiffe, "");
    assert_string_equal(client->trust_domain, "");
    tls_client_free(client);
    tls_made_release(&made);
    client = named(NULL, "IP:127.0.0.1");
    assert_string_equal(client->subject, "");
    assert_string_equal(client->alternative, "");
    tls_client_free(client);
    client = named("a", "URI:urn:x,DNS:a.example");
    assert_string_equal(client->alternative, "a.example");
    tls_client_free(client);
    client = named("a", "URI:urn:x");
    assert_string_equal(client->alternative, "urn:x");
    tls_client_free(client);
    client = named("a", NULL);
    assert_string_equal(client->alternative, "");
    tls_client_free(client);
}

static void a_spiffe_id_is_one_uri_of_its_kind(void **state)
{
    (void)state;
    static const char *const ids[] = {"spiffe://acme.example/ns/default/sa/web",
                                      "spiffe://a_b-c.1/X"};
    static const char *const domains[] = {"acme.example", "a_b-c.1"};
    static const char *const wrong[] = {"URI:spiffe://acme.example",
                                        "URI:spiffe://acme.example/",
                                        "URI:spiffe://acme.example/a/",
                                        "URI:spiffe://acme.example//a",
                                        "URI:spiffe:///a",
                                        "URI:spiffe://ACME/a",
                                        "URI:spiffe://acme/a?b",
                                        "URI:spiffe://acme/a#b",
                                        "URI:spiffe://acme:443/a",
                                        "URI:spiffe://u@acme/a",
                                        "URI:spiffe://acme/../a",
                                        "URI:spiffe://acme/./a",
                                        "URI:spiffe://acme/a%20b",
                                        "URI:https://acme/a",
                                        "DNS:spiffe.example",
                                        "URI:spiffe://acme/a,URI:spiffe://acme/b",
                                        "URI:spiffe://acme/a,URI:urn:x"};
    for (size_t i = 0; i < 2; i++) {
        char names[128];
        (void)snprintf(names, sizeof names, "DNS:x,URI:%s", ids[i]);
        struct tls_client *client = named("a", names);
        assert_string_equal(client->spiffe, ids[i]);
        assert_string_equal(client->trust_domain, domains[i]);
        tls_client_free(client);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct tls_client *client = named("a", wrong[i]);
        if (client->spiffe[0] != '\0' || client->trust_domain[0] != '\0')
            fail_msg("'%s' is taken for a SPIFFE id", wrong[i]);
        tls_client_free(client);
    }
}

/* -- Hands -- */

static struct tls_client_rules rules_of(const struct house *house, enum tls_client_auth auth)
{
    return (struct tls_client_rules){
        .auth = auth, .authorities = house->roots, .revoked = house->revoked, .depth_max = 1};
}

static struct tls_set *make(const struct house *house, const struct tls_client_rules *rules)
{
    struct error err = {0};
    const struct tls_settings settings = {
        .pairs = &house->pair, .pair_count = 1, .clients = *rules, .tickets = &house->tickets};
    struct tls_set *set = tls_set_new(&settings, &err);
    assert_string_equal(err.text, "");
    return set;
}

static SSL_CTX *holding(const struct tls_made *made)
{
    SSL_CTX *context = tls_client_context();
    if (made != NULL) {
        assert_int_equal(SSL_CTX_use_certificate(context, made->certificate), 1);
        assert_int_equal(SSL_CTX_use_PrivateKey(context, made->key), 1);
    }
    return context;
}

/* Whether it is let in, and under which name: "" for none. */
static bool let_in(struct tls_set *set, const struct tls_made *made, char ret_name[64])
{
    struct tls_pair_of_hands hands;
    SSL_CTX *context = holding(made);
    bool in = tls_shake(&hands, set, &(struct tls_greeting){.context = context});
    ret_name[0] = '\0';
    if (in && tls_client_of(hands.server) != NULL)
        (void)snprintf(ret_name, 64, "%s", tls_client_of(hands.server)->subject);
    assert_int_equal(hands.counts[in ? TLS_FULL : TLS_FAILED], 1);
    tls_let_go(&hands);
    SSL_CTX_free(context);
    return in;
}

static void who_is_let_in(void **state)
{
    struct house *house = *state;
    struct tls_made alice =
        tls_make(&(struct tls_make){.common_name = "alice", .issuer = &house->root});
    struct tls_made stranger =
        tls_make(&(struct tls_make){.common_name = "eve", .issuer = &house->other_root});
    struct tls_made late = tls_make(
        &(struct tls_make){.common_name = "late", .issuer = &house->root, .seconds = -HOUR_S / 2});
    char name[64];
    for (int auth = TLS_CLIENT_AUTH_OFF; auth <= TLS_CLIENT_AUTH_REQUIRED; auth++) {
        const struct tls_client_rules rules = rules_of(house, (enum tls_client_auth)auth);
        struct tls_set *set = make(house, &rules);
        assert_int_equal(let_in(set, NULL, name), auth != TLS_CLIENT_AUTH_REQUIRED);
        assert_string_equal(name, "");
        assert_true(let_in(set, &alice, name));
        assert_string_equal(name, auth == TLS_CLIENT_AUTH_OFF ? "" : "CN=alice");
        assert_int_equal(let_in(set, &stranger, name), auth == TLS_CLIENT_AUTH_OFF);
        assert_int_equal(let_in(set, &late, name), auth == TLS_CLIENT_AUTH_OFF);
        tls_set_unref(set);
    }
    tls_made_release(&alice);
    tls_made_release(&stranger);
    tls_made_release(&late);
}

/* Taken up with a ticket, a client is who it was; by other rules it has to show itself again. */
static void a_session_is_bound_to_the_rules_it_began_by(void **state)
{
    struct house *house = *state;
    struct tls_made alice =
        tls_make(&(struct tls_make){.common_name = "alice", .issuer = &house->root});
    SSL_CTX *context = holding(&alice);
    const struct tls_client_rules optional = rules_of(house, TLS_CLIENT_AUTH_OPTIONAL),
                                  off = rules_of(house, TLS_CLIENT_AUTH_OFF);
    struct tls_set *asks = make(house, &optional), *does_not = make(house, &off);
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        (void)SSL_CTX_set_max_proto_version(context, version);
        struct tls_greeting greeting = {.context = context};
        struct tls_pair_of_hands hands;
        assert_true(tls_shake(&hands, does_not, &greeting));
        SSL_SESSION *nameless = SSL_get1_session(hands.client);
        tls_let_go(&hands);
        greeting.session = nameless;
        assert_true(tls_shake(&hands, asks, &greeting));
        assert_int_equal(hands.counts[TLS_FULL], 1);
        assert_string_equal(tls_client_of(hands.server)->subject, "CN=alice");
        SSL_SESSION *session = SSL_get1_session(hands.client);
        tls_let_go(&hands);
        greeting.session = session;
        assert_true(tls_shake(&hands, asks, &greeting));
        assert_int_equal(hands.counts[TLS_RESUMED], 1);
        assert_string_equal(tls_client_of(hands.server)->subject, "CN=alice");
        tls_let_go(&hands);
        SSL_SESSION_free(nameless);
        SSL_SESSION_free(session);
    }
    tls_set_unref(asks);
    tls_set_unref(does_not);
    SSL_CTX_free(context);
    tls_made_release(&alice);
}

static void a_chain_has_an_end(void **state)
{
    struct house *house = *state;
    struct tls_made chain[3];
    const struct tls_made *issuer = &house->root;
    static const char *const names[] = {"first", "second", "alice"};
    for (int i = 0; i < 3; i++) {
        chain[i] = tls_make(
            &(struct tls_make){.common_name = names[i], .issuer = issuer, .authority = i < 2});
        issuer = &chain[i];
    }
    struct tls_client_rules rules = rules_of(house, TLS_CLIENT_AUTH_REQUIRED);
    for (uint32_t depth = 1; depth <= 2; depth++) {
        struct tls_pair_of_hands hands;
        rules.depth_max = depth;
        struct tls_set *set = make(house, &rules);
        SSL_CTX *context = holding(&chain[2]);
        for (int i = 0; i < 2; i++)
            assert_int_equal(SSL_CTX_add1_chain_cert(context, chain[i].certificate), 1);
        assert_int_equal(tls_shake(&hands, set, &(struct tls_greeting){.context = context}),
                         depth == 2);
        tls_let_go(&hands);
        SSL_CTX_free(context);
        tls_set_unref(set);
    }
    for (int i = 0; i < 3; i++)
        tls_made_release(&chain[i]);
}

static void write_revoked(struct house *house, const struct tls_made *revoked, long until_s)
{
    X509_CRL *list = X509_CRL_new();
    ASN1_TIME *now = X509_gmtime_adj(NULL, -HOUR_S), *until = X509_gmtime_adj(NULL, until_s);
    assert_int_equal(X509_CRL_set_version(list, 1), 1);
    X509_CRL_set_issuer_name(list, X509_get_subject_name(house->root.certificate));
    X509_CRL_set1_lastUpdate(list, now);
    X509_CRL_set1_nextUpdate(list, until);
    if (revoked != NULL) {
        X509_REVOKED *entry = X509_REVOKED_new();
        X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(revoked->certificate));
        X509_REVOKED_set_revocationDate(entry, now);
        assert_int_equal(X509_CRL_add0_revoked(list, entry), 1);
    }
    assert_true(X509_CRL_sign(list, house->root.key, EVP_sha256()) > 0);
    (void)snprintf(house->revoked, sizeof house->revoked, "%s/revoked", house->folder);
    FILE *file = fopen(house->revoked, "we");
    assert_int_equal(PEM_write_X509_CRL(file, list), 1);
    assert_int_equal(fclose(file), 0);
    X509_CRL_free(list);
    ASN1_TIME_free(now);
    ASN1_TIME_free(until);
}

static void who_is_revoked_is_not_let_in(void **state)
{
    struct house *house = *state;
    struct tls_made alice =
        tls_make(&(struct tls_make){.common_name = "alice", .issuer = &house->root});
    struct tls_made bob =
        tls_make(&(struct tls_make){.common_name = "bob", .issuer = &house->root});
    char name[64];
    struct tls_client_rules rules = rules_of(house, TLS_CLIENT_AUTH_OPTIONAL);
    write_revoked(house, &alice, HOUR_S);
    struct tls_set *set = make(house, &rules);
    assert_false(let_in(set, &alice, name));
    assert_true(let_in(set, &bob, name));
    tls_set_unref(set);
    write_revoked(house, NULL, -HOUR_S / 2); /* nobody is in it, but it is of yesterday */
    set = make(house, &rules);
    assert_false(let_in(set, &bob, name));
    tls_set_unref(set);
    tls_made_release(&alice);
    tls_made_release(&bob);
}

static void files_without_authorities_are_refused(void **state)
{
    struct house *house = *state;
    struct error err = {0};
    const struct tls_settings settings = {
        .pairs = &house->pair,
        .pair_count = 1,
        .clients = {.auth = TLS_CLIENT_AUTH_OPTIONAL, .authorities = house->key, .revoked = ""}};
    assert_null(tls_set_new(&settings, &err));
    assert_non_null(strstr(err.text, "client_ca '"));
    assert_non_null(strstr(err.text, "none in it (give a PEM file of the authorities'"));
    struct tls_settings other = settings;
    other.clients.authorities = "/nonexistent";
    assert_null(tls_set_new(&other, &err));
    assert_non_null(strstr(err.text, "client_ca: "));
    other.clients.authorities = house->roots;
    other.clients.revoked = house->roots;
    assert_null(tls_set_new(&other, &err));
    assert_non_null(strstr(err.text, "client_crl '"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_certificate_says_who_it_is),
        TEST(a_spiffe_id_is_one_uri_of_its_kind),
        TEST(who_is_let_in),
        TEST(a_session_is_bound_to_the_rules_it_began_by),
        TEST(a_chain_has_an_end),
        TEST(who_is_revoked_is_not_let_in),
        TEST(files_without_authorities_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
