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
#include <time.h>
#include <unistd.h>

#include "base/shelf.h"
#include "tests/unit/daemon/tls_maker.h"

#define PAIRS 3

struct files {
    char folder[32];
    struct tls_made made[PAIRS];
    char certificate[PAIRS][TLS_MAKER_PATH_BYTES], key[PAIRS][TLS_MAKER_PATH_BYTES];
    struct tls_pair pairs[PAIRS];
    SSL_CTX *client;
};

/* first: a.example, second: *.b.example, third: c.example. */
static int setup(void **state)
{
    static const char *const names[PAIRS] = {"DNS:a.example", "DNS:*.b.example,DNS:b.example",
                                             "DNS:c.example"};
    struct files *files = calloc(1, sizeof *files);
    assert_non_null(files);
    (void)snprintf(files->folder, sizeof files->folder, "/tmp/tls_set_XXXXXX");
    assert_non_null(mkdtemp(files->folder));
    for (int i = 0; i < PAIRS; i++) {
        char name[16];
        files->made[i] = tls_make(&(struct tls_make){.common_name = names[i], .names = names[i]});
        (void)snprintf(name, sizeof name, "%d.pem", i);
        tls_write_file(files->folder, name, files->made[i].certificate, NULL,
                       files->certificate[i]);
        (void)snprintf(name, sizeof name, "%d.key", i);
        tls_write_file(files->folder, name, NULL, files->made[i].key, files->key[i]);
        files->pairs[i] =
            (struct tls_pair){.certificate = files->certificate[i], .key = files->key[i]};
    }
    files->client = tls_client_context();
    *state = files;
    return 0;
}

static int teardown(void **state)
{
    struct files *files = *state;
    DIR *folder = opendir(files->folder);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;)
        (void)unlinkat(dirfd(folder), entry->d_name, 0);
    closedir(folder);
    rmdir(files->folder);
    for (int i = 0; i < PAIRS; i++)
        tls_made_release(&files->made[i]);
    SSL_CTX_free(files->client);
    free(files);
    return 0;
}

static struct tls_set *make(const struct files *files)
{
    struct error err = {0};
    const struct tls_settings settings = {.pairs = files->pairs, .pair_count = PAIRS};
    struct tls_set *set = tls_set_new(&settings, &err);
    assert_string_equal(err.text, "");
    return set;
}

static void expect_refused(const struct files *files, const char *const *parts)
{
    struct error err = {0};
    const struct tls_settings settings = {.pairs = files->pairs, .pair_count = PAIRS};
    assert_null(tls_set_new(&settings, &err));
    assert_int_equal(err.code, ERROR_INVALID);
    for (; *parts != NULL; parts++)
        if (strstr(err.text, *parts) == NULL)
            fail_msg("'%s' does not say '%s'", err.text, *parts);
}
#define PARTS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* Which of the certificates a client that asks for this name is shown. */
static int shown(const struct files *files, struct tls_set *set, const char *name)
{
    struct tls_pair_of_hands hands;
    assert_true(
        tls_shake(&hands, set, &(struct tls_greeting){.context = files->client, .name = name}));
    X509 *certificate = SSL_get1_peer_certificate(hands.client);
    int which = -1;
    for (int i = 0; i < PAIRS; i++)
        if (X509_cmp(certificate, files->made[i].certificate) == 0)
            which = i;
    X509_free(certificate);
    tls_let_go(&hands);
    assert_int_equal(hands.counts[TLS_FULL], 1);
    return which;
}

static void server_name_picks_the_certificate(void **state)
{
    struct files *files = *state;
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        (void)SSL_CTX_set_max_proto_version(files->client, version);
        struct tls_set *set = make(files);
        assert_int_equal(shown(files, set, "a.example"), 0);
        assert_int_equal(shown(files, set, "X.b.example"), 1);
        assert_int_equal(shown(files, set, "b.example"), 1);
        assert_int_equal(shown(files, set, "c.example"), 2);
        assert_int_equal(shown(files, set, "d.example"), 0);
        assert_int_equal(shown(files, set, "a.b.b.example"), 0);
        assert_int_equal(shown(files, set, NULL), 0);
        tls_set_unref(set);
    }
}

static void names_that_are_set_stand_in_for_those_inside(void **state)
{
    struct files *files = *state;
    char *names[] = {(char *)"other.example"};
    files->pairs[2].names = names;
    files->pairs[2].name_count = 1;
    struct tls_set *set = make(files);
    assert_int_equal(shown(files, set, "other.example"), 2);
    assert_int_equal(shown(files, set, "c.example"), 0);
    assert_string_equal(tls_set_certificate(set, 2)->name, "other.example");
    assert_string_equal(tls_set_certificate(set, 1)->name, "*.b.example");
    tls_set_unref(set);
}

static void when_it_expires_is_known(void **state)
{
    struct files *files = *state;
    struct tls_set *set = make(files);
    int64_t left_s = tls_set_certificate(set, 0)->not_after_unix - (int64_t)time(NULL);
    assert_in_range(left_s, 86400 - 600, 86400);
    assert_int_equal(tls_set_count(set), PAIRS);
    tls_set_unref(set);
}

static void what_is_wrong_is_named_with_its_remedy(void **state)
{
    struct files *files = *state;
    struct tls_pair *pair = &files->pairs[1];
    char odd[TLS_MAKER_PATH_BYTES];
    *pair = (struct tls_pair){.certificate = files->certificate[1], .key = files->key[2]};
    expect_refused(files, PARTS("key '", "2.key' is not that of certificate '", "1.pem'"));
    pair->key = files->certificate[1];
    expect_refused(files, PARTS("key '", "1.pem': ", "give the PEM file"));
    *pair = (struct tls_pair){.certificate = (char *)"/nonexistent", .key = files->key[1]};
    expect_refused(files, PARTS("certificate '/nonexistent': No such file or directory (give"));
    /* A key of another kind. */
    EVP_PKEY *rsa = EVP_RSA_gen(2048);
    tls_write_file(files->folder, "rsa.key", NULL, rsa, odd);
    *pair = (struct tls_pair){.certificate = files->certificate[1], .key = odd};
    expect_refused(files, PARTS("rsa.key' is not that of certificate"));
    EVP_PKEY_free(rsa);
    /* Nobody is asked for a passphrase. */
    (void)snprintf(odd, sizeof odd, "%s/locked.key", files->folder);
    FILE *file = fopen(odd, "we");
    assert_int_equal(PEM_write_PKCS8PrivateKey(file, files->made[1].key, EVP_aes_256_cbc(), "pass",
                                               4, NULL, NULL),
                     1);
    (void)fclose(file);
    expect_refused(files, PARTS("locked.key': ", "without a passphrase"));
}

static void old_connections_outlive_their_set(void **state)
{
    struct files *files = *state;
    struct tls_set *set = make(files);
    struct tls_pair_of_hands begun, done;
    memset(&begun, 0, sizeof begun);
    begun.server = tls_new(set, begun.counts); /* has not shaken hands */
    assert_true(tls_shake(&done, set, &(struct tls_greeting){.context = files->client}));
    tls_set_unref(set);
    char byte;
    struct text out;
    text_init(&out);
    assert_true(tls_write(done.server, "y", 1));
    tls_collect(done.server, &out);
    assert_int_equal(BIO_write(SSL_get_rbio(done.client), out.bytes, (int)out.count), out.count);
    assert_int_equal(SSL_read(done.client, &byte, 1), 1);
    assert_int_equal(byte, 'y');
    text_destroy(&out);
    tls_let_go(&done);
    tls_free(begun.server);
    assert_int_equal(begun.counts[TLS_UNFINISHED], 1);
}

static void only_1_3_where_that_is_asked(void **state)
{
    struct files *files = *state;
    struct tls_pair_of_hands hands;
    const struct tls_settings settings = {
        .pairs = files->pairs, .pair_count = PAIRS, .version_min = TLS_VERSION_1_3};
    struct tls_set *set = tls_set_new(&settings, NULL);
    const struct tls_greeting greeting = {.context = files->client, .name = "c.example"};
    assert_true(tls_shake(&hands, set, &greeting));
    tls_let_go(&hands);
    (void)SSL_CTX_set_max_proto_version(files->client, TLS1_2_VERSION);
    assert_false(tls_shake(&hands, set, &greeting));
    tls_let_go(&hands);
    assert_int_equal(hands.counts[TLS_FAILED], 1);
    tls_set_unref(set);
}

static void the_shelf_gives_the_newest(void **state)
{
    struct files *files = *state;
    struct shelf shelf;
    struct tls_set *first = make(files), *second = make(files);
    bool changed;
    shelf_init(&shelf);
    shelf_put(&shelf, first);
    struct tls_set *held = shelf_newest(&shelf);
    assert_ptr_equal(held, first);
    shelf_put(&shelf, second);
    held = shelf_renew(&shelf, held, &changed);
    assert_true(changed);
    assert_ptr_equal(held, second);
    tls_set_unref(held);
    shelf_destroy(&shelf);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(server_name_picks_the_certificate), TEST(names_that_are_set_stand_in_for_those_inside),
        TEST(when_it_expires_is_known),          TEST(what_is_wrong_is_named_with_its_remedy),
        TEST(old_connections_outlive_their_set), TEST(only_1_3_where_that_is_asked),
        TEST(the_shelf_gives_the_newest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
