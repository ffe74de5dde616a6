/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/daemon/tls_maker.h"

struct desk {
    char folder[32], certificate[TLS_MAKER_PATH_BYTES], key[TLS_MAKER_PATH_BYTES];
    char keys[TLS_MAKER_PATH_BYTES];
    struct tls_pair pair;
    SSL_CTX *client;
};

static int setup(void **state)
{
    struct desk *desk = calloc(1, sizeof *desk);
    assert_non_null(desk);
    (void)snprintf(desk->folder, sizeof desk->folder, "/tmp/tls_tickets_XXXXXX");
    assert_non_null(mkdtemp(desk->folder));
    struct tls_made made = tls_make(&(struct tls_make){.common_name = "a"});
    tls_write_file(desk->folder, "pem", made.certificate, NULL, desk->certificate);
    tls_write_file(desk->folder, "key", NULL, made.key, desk->key);
    tls_made_release(&made);
    (void)snprintf(desk->keys, sizeof desk->keys, "%s/keys", desk->folder);
    desk->pair = (struct tls_pair){.certificate = desk->certificate, .key = desk->key};
    desk->client = tls_client_context();
    *state = desk;
    return 0;
}

static int teardown(void **state)
{
    struct desk *desk = *state;
    (void)unlink(desk->certificate);
    (void)unlink(desk->key);
    (void)unlink(desk->keys);
    (void)rmdir(desk->folder);
    SSL_CTX_free(desk->client);
    free(desk);
    return 0;
}

static struct tls_set *make(const struct desk *desk, const struct tls_tickets *tickets)
{
    const struct tls_settings settings = {
        .pairs = &desk->pair, .pair_count = 1, .tickets = tickets};
    struct tls_set *set = tls_set_new(&settings, NULL);
    assert_non_null(set);
    return set;
}

/* Shakes hands; *session is offered where there is one, and replaced by what came. */
static bool resumed(const struct desk *desk, struct tls_set *set, SSL_SESSION **session)
{
    struct tls_pair_of_hands hands;
    assert_true(tls_shake(&hands, set,
                          &(struct tls_greeting){.context = desk->client, .session = *session}));
    bool again = SSL_session_reused(hands.client) == 1;
    assert_int_equal(hands.counts[TLS_RESUMED], again);
    assert_int_equal(hands.counts[TLS_FULL], !again);
    SSL_SESSION_free(*session);
    *session = SSL_get1_session(hands.client);
    tls_let_go(&hands);
    return again;
}

static void write_keys(const struct desk *desk, const char *seeds, size_t more, mode_t mode)
{
    FILE *file = fopen(desk->keys, "we");
    assert_non_null(file);
    for (; *seeds != '\0'; seeds++)
        for (unsigned i = 0; i < TLS_TICKET_KEY_BYTES; i++)
            (void)fputc((unsigned char)*seeds + (int)i % 7, file);
    for (; more > 0; more--)
        (void)fputc('x', file);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(desk->keys, mode), 0);
}

static void a_session_outlives_one_change_of_keys_and_not_two(void **state)
{
    struct desk *desk = *state;
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        struct tls_tickets tickets = {.count = 0};
        SSL_SESSION *session = NULL, *kept;
        (void)SSL_CTX_set_max_proto_version(desk->client, version);
        assert_int_equal(tls_tickets_rotate(&tickets, NULL), 0);
        struct tls_set *first = make(desk, &tickets), *other = make(desk, &tickets);
        assert_false(resumed(desk, first, &session));
        assert_true(resumed(desk, first, &session));
        assert_true(resumed(desk, other, &session)); /* another worker, another set */
        kept = SSL_SESSION_dup(session);
        assert_int_equal(tls_tickets_rotate(&tickets, NULL), 0);
        struct tls_set *second = tls_set_with_tickets(first, &tickets);
        tls_set_unref(first);
        tls_set_unref(other);
        assert_true(resumed(desk, second, &session)); /* and it has a newer ticket now */
        assert_int_equal(tls_tickets_rotate(&tickets, NULL), 0);
        assert_int_equal(tickets.count, TLS_TICKET_OWN_KEYS);
        struct tls_set *third = tls_set_with_tickets(second, &tickets);
        tls_set_unref(second);
        assert_true(resumed(desk, third, &session));
        assert_false(resumed(desk, third, &kept));
        assert_true(resumed(desk, third, &kept));
        tls_set_unref(third);
        SSL_SESSION_free(session);
        SSL_SESSION_free(kept);
    }
}

static void sets_without_keys_in_common_share_no_session(void **state)
{
    struct desk *desk = *state;
    SSL_SESSION *session = NULL;
    struct tls_set *one = make(desk, NULL), *two = make(desk, NULL);
    assert_false(resumed(desk, one, &session));
    assert_false(resumed(desk, two, &session));
    assert_true(resumed(desk, two, &session));
    tls_set_unref(one);
    tls_set_unref(two);
    SSL_SESSION_free(session);
}

static void a_file_of_keys_is_shared_by_a_fleet(void **state)
{
    struct desk *desk = *state;
    struct tls_tickets tickets;
    struct error err = {0};
    SSL_SESSION *session = NULL;
    write_keys(desk, "A", 0, 0600);
    assert_int_equal(tls_tickets_read(desk->keys, &tickets, &err), 0);
    assert_int_equal(tickets.count, 1);
    struct tls_set *one = make(desk, &tickets);
    assert_false(resumed(desk, one, &session));
    write_keys(desk, "BA", 0, 0400); /* a new one in front */
    assert_int_equal(tls_tickets_read(desk->keys, &tickets, &err), 0);
    struct tls_set *two = make(desk, &tickets);
    SSL_SESSION *old = SSL_SESSION_dup(session);
    assert_true(resumed(desk, two, &session));
    write_keys(desk, "CB", 0, 0600);
    assert_int_equal(tls_tickets_read(desk->keys, &tickets, &err), 0);
    struct tls_set *three = make(desk, &tickets);
    assert_true(resumed(desk, three, &session));
    assert_false(resumed(desk, three, &old));
    tls_set_unref(one);
    tls_set_unref(two);
    tls_set_unref(three);
    SSL_SESSION_free(session);
    SSL_SESSION_free(old);
}

static void files_that_are_no_keys_are_refused(void **state)
{
    struct desk *desk = *state;
    static const struct {
        const char *seeds, *said;
        size_t more;
        mode_t mode;
    } cases[] = {
        {"", "expected 80 to 640 bytes", 0, 0600},
        {"", "expected 80 to 640 bytes", 79, 0600},
        {"A", "81 bytes are no whole number of keys of 80 (openssl rand 80 makes one)", 1, 0600},
        {"ABCDEFGHI", "expected 80 to 640 bytes", 0, 0600},
        {"A", "mode 640", 0, 0640},
        {"A", "mode 604", 0, 0604},
    };
    struct tls_tickets untouched = {.count = 77};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct error err = {0};
        write_keys(desk, cases[i].seeds, cases[i].more, cases[i].mode);
        assert_true(tls_tickets_read(desk->keys, &untouched, &err) < 0);
        if (strstr(err.text, cases[i].said) == NULL)
            fail_msg("'%s' does not say '%s'", err.text, cases[i].said);
        (void)unlink(desk->keys);
    }
    assert_int_equal(tls_tickets_read(desk->keys, &untouched, NULL), ERROR_NOT_FOUND);
    assert_int_equal(untouched.count, 77);
}

static void a_forged_ticket_is_no_session(void **state)
{
    struct desk *desk = *state;
    SSL_SESSION *session = NULL;
    (void)SSL_CTX_set_max_proto_version(desk->client, TLS1_2_VERSION);
    struct tls_set *set = make(desk, NULL);
    assert_false(resumed(desk, set, &session));
    /* The ticket lies in what OpenSSL writes: a bit of it turns. */
    const unsigned char *ticket;
    size_t count;
    SSL_SESSION_get0_ticket(session, &ticket, &count);
    unsigned char *bytes = NULL;
    int bytes_count = i2d_SSL_SESSION(session, &bytes);
    unsigned char *at = memmem(bytes, (size_t)bytes_count, ticket, count);
    assert_non_null(at);
    at[count / 2] ^= 1;
    const unsigned char *read = bytes;
    SSL_SESSION *forged = d2i_SSL_SESSION(NULL, &read, bytes_count);
    assert_non_null(forged);
    assert_false(resumed(desk, set, &forged));
    OPENSSL_free(bytes);
    SSL_SESSION_free(forged);
    SSL_SESSION_free(session);
    tls_set_unref(set);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_session_outlives_one_change_of_keys_and_not_two),
        TEST(sets_without_keys_in_common_share_no_session),
        TEST(a_file_of_keys_is_shared_by_a_fleet),
        TEST(files_that_are_no_keys_are_refused),
        TEST(a_forged_ticket_is_no_session),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
