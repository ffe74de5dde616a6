/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "daemon/api/call.h"
#include "daemon/api/claims.h"
#include "daemon/api/fault.h"
#include "daemon/api/request.h"
#include "daemon/http/tls_client.h"
#include "tests/unit/api/doubles.h"

static struct claim_names names_of(const char *header, const char *headers)
{
    const struct config config = {.user_header = (char *)header,
                                  .user_headers = (char *)headers,
                                  .gateway_header = (char *)"X-Weir-User",
                                  .jwt_header = (char *)"Authorization"};
    struct claim_names names;
    struct error err = {0};
    int result = claim_names_init(&names, &config, &err);
    assert_string_equal(err.text, "");
    assert_int_equal(result, 0);
    return names;
}

static void refuse_names(const struct config *config, const char *why)
{
    struct claim_names names;
    struct error err = {0};
    assert_int_equal(claim_names_init(&names, config, &err), ERROR_INVALID);
    if (strstr(err.text, why) == NULL)
        fail_msg("'%s' does not say '%s'", err.text, why);
    assert_null(names.text);
}

static void list_of_headers_follows_the_first(void **state)
{
    (void)state;
    struct claim_names names = names_of("X-User-Id", " X-One,\tx-TWO ,, x-three");
    assert_int_equal(names.user_count, 4);
    assert_string_equal(names.users[0], "x-user-id");
    assert_string_equal(names.users[1], "x-one");
    assert_string_equal(names.users[2], "x-two");
    assert_string_equal(names.users[3], "x-three");
    assert_string_equal(names.gateway, "x-weir-user");
    assert_string_equal(names.token, "authorization");
    claim_names_destroy(&names);
    claim_names_destroy(&names);
    const struct config nothing = {.user_header = NULL};
    assert_int_equal(claim_names_init(&names, &nothing, NULL), 0);
    assert_int_equal(names.user_count, 0);
    claim_names_destroy(&names);
}

static void what_is_no_header_is_refused(void **state)
{
    (void)state;
    const struct config two_words = {.user_headers = (char *)"x-a, x b"},
                        colon = {.user_headers = (char *)"x-a:"},
                        nine = {.user_header = (char *)"a",
                                .user_headers = (char *)"b,c,d,e,f,g,h,i"},
                        gateway = {.gateway_header = (char *)"x y"},
                        token = {.jwt_header = (char *)"x\ty"};
    refuse_names(&two_words, "users.headers: 'x b' is no header's name");
    refuse_names(&colon, "users.headers: 'x-a:'");
    refuse_names(&nine, "at most 8");
    refuse_names(&gateway, "users.gateway_header: 'x y'");
    refuse_names(&token, "users.jwt_header");
}

/* -- Reading -- */

struct fixture {
    struct world world;
    struct call call;
    struct request request;
    struct claims claims;
};

static void begin(struct fixture *fixture)
{
    memset(fixture, 0, sizeof *fixture);
    world_init(&fixture->world, false);
    claim_names_destroy(&fixture->world.api->live->claims);
    fixture->world.api->live->claims = names_of("x-user-id", "x-other");
    fixture->call = (struct call){.api = fixture->world.api,
                                  .exchange = &fixture->world.exchange,
                                  .live = fixture->world.api->live,
                                  .identity = {.tenant = ""}};
}

static void end(struct fixture *fixture)
{
    world_destroy(&fixture->world);
}

static const char *bearer_of(struct fixture *fixture, const char *authorization)
{
    exchange_double_destroy(&fixture->world.exchange);
    exchange_double_init(&fixture->world.exchange, "POST", "/");
    exchange_double_header(&fixture->world.exchange, "authorization", authorization);
    claims_read(&fixture->call, &fixture->request, &fixture->claims);
    return fixture->claims.policy.bearer;
}

static void claims_are_what_the_request_says(void **state)
{
    (void)state;
    struct fixture fixture;
    begin(&fixture);
    struct exchange *exchange = &fixture.world.exchange;
    exchange_double_header(exchange, "authorization", "Bearer a.b.c");
    exchange_double_header(exchange, "x-weir-user", "v1;");
    exchange_double_header(exchange, "x-other", "bob");
    fixture.call.identity = (struct auth_identity){.tenant = "acme", .key = "sk-1"};
    fixture.request.user = "u";
    fixture.request.safety_identifier = "s";
    fixture.request.metadata_user_id = "m";
    claims_read(&fixture.call, &fixture.request, &fixture.claims);
    const struct policy_claims *claims = &fixture.claims.policy;
    assert_string_equal(claims->tenant, "acme");
    assert_string_equal(claims->api_key, "sk-1");
    assert_string_equal(claims->bearer, "a.b.c");
    assert_string_equal(claims->gateway, "v1;");
    assert_null(claims->headers[0]);
    assert_string_equal(claims->headers[1], "bob");
    assert_null(claims->headers[2]);
    assert_string_equal(claims->user, "u");
    assert_string_equal(claims->safety_identifier, "s");
    assert_string_equal(claims->metadata_user_id, "m");
    assert_string_equal(claims->address, "127.0.0.1");
    assert_int_equal(claims->worker, 0);
    end(&fixture);
}

static void certificate_is_read_as_it_is_set(void **state)
{
    (void)state;
    static const struct tls_client client = {.subject = (char *)"CN=alice",
                                             .issuer = (char *)"CN=Root",
                                             .alternative = (char *)"alice@acme.example",
                                             .spiffe = (char *)"spiffe://acme.example/web",
                                             .trust_domain = (char *)"acme.example"};
    static const struct {
        const char *issuer, *subject;
    } expected[] = {
        [CERTIFICATE_USER_SUBJECT] = {"CN=Root", "CN=alice"},
        [CERTIFICATE_USER_SAN] = {"CN=Root", "alice@acme.example"},
        [CERTIFICATE_USER_SPIFFE] = {"acme.example", "spiffe://acme.example/web"},
    };
    struct fixture fixture;
    begin(&fixture);
    const struct policy_claims *claims = &fixture.claims.policy;
    for (int kind = CERTIFICATE_USER_OFF; kind <= CERTIFICATE_USER_SPIFFE; kind++) {
        fixture.world.api->live->claims.certificate = (enum certificate_user)kind;
        fixture.world.exchange.tls_client = NULL;
        claims_read(&fixture.call, &fixture.request, &fixture.claims);
        assert_null(claims->certificate_subject);
        fixture.world.exchange.tls_client = &client;
        claims_read(&fixture.call, &fixture.request, &fixture.claims);
        if (kind == CERTIFICATE_USER_OFF) {
            assert_null(claims->certificate_subject);
            continue;
        }
        assert_string_equal(claims->certificate_issuer, expected[kind].issuer);
        assert_string_equal(claims->certificate_subject, expected[kind].subject);
    }
    end(&fixture);
}

static void bearer_is_what_follows_the_scheme(void **state)
{
    (void)state;
    struct fixture fixture;
    begin(&fixture);
    assert_string_equal(bearer_of(&fixture, "bearer   a.b.c"), "a.b.c");
    assert_null(bearer_of(&fixture, "Basic YTpi"));
    assert_null(bearer_of(&fixture, "a.b.c"));
    fixture.world.api->live->claims.token =
        "x-token"; /* a header of its own: the scheme may be there */
    assert_null(bearer_of(&fixture, "Bearer a.b.c"));
    exchange_double_header(&fixture.world.exchange, "x-token", "d.e.f");
    claims_read(&fixture.call, &fixture.request, &fixture.claims);
    assert_string_equal(fixture.claims.policy.bearer, "d.e.f");
    end(&fixture);
}

/* A client that sent one x-request-id with all its requests would make them one user. */
static void request_id_is_never_the_clients(void **state)
{
    (void)state;
    struct fixture fixture;
    char first[CLAIMS_REQUEST_ID_BYTES];
    begin(&fixture);
    exchange_double_header(&fixture.world.exchange, "x-request-id", "mine");
    strncpy(fixture.call.request_id, "mine", sizeof fixture.call.request_id - 1);
    claims_read(&fixture.call, &fixture.request, &fixture.claims);
    assert_int_equal(strlen(fixture.claims.policy.request_id), 16);
    memcpy(first, fixture.claims.request_id, sizeof first);
    claims_read(&fixture.call, &fixture.request, &fixture.claims);
    assert_string_not_equal(fixture.claims.policy.request_id, first);
    end(&fixture);
}

/* A gateway that adds its word behind the client's own is no gateway to believe. */
static void a_user_named_twice_is_refused(void **state)
{
    static const char *const names[] = {"x-user-id", "x-other", "x-weir-user", "authorization"};
    (void)state;
    struct fixture fixture;
    struct fault fault;
    begin(&fixture);
    struct exchange *exchange = &fixture.world.exchange;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        exchange_double_destroy(exchange);
        exchange_double_init(exchange, "POST", "/");
        exchange_double_header(exchange, names[i], "mallory");
        exchange_double_header(exchange, "x-unrelated", "a");
        exchange_double_header(exchange, "x-unrelated", "b");
        assert_int_equal(claims_check(&fixture.call, &fault), 0);
        exchange_double_header(exchange, names[i], "mallory"); /* the same is no contradiction */
        assert_int_equal(claims_check(&fixture.call, &fault), 0);
        exchange_double_header(exchange, names[i], "alice");
        assert_int_equal(claims_check(&fixture.call, &fault), -1);
        assert_int_equal(fault.status, 400);
        assert_string_equal(fault.code, "ambiguous_header");
    }
    end(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_user_named_twice_is_refused),
        cmocka_unit_test(list_of_headers_follows_the_first),
        cmocka_unit_test(what_is_no_header_is_refused),
        cmocka_unit_test(claims_are_what_the_request_says),
        cmocka_unit_test(certificate_is_read_as_it_is_set),
        cmocka_unit_test(bearer_is_what_follows_the_scheme),
        cmocka_unit_test(request_id_is_never_the_clients),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
