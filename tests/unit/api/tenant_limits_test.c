/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>

#include "daemon/api/limiting.h"
#include "daemon/api/tenant_limits.h"

#define SECOND UINT64_C(1000000)
#define NOW    (1000 * SECOND)

static const struct tenant_rates rates = {.requests = 3, .tokens = 100, .concurrent = 2};

static struct tenant_question question(uint64_t tenant)
{
    return (struct tenant_question){.tenant = tenant, .rates = rates, .now_us = NOW};
}

static void each_tenant_has_its_own_requests(void **state)
{
    (void)state;
    struct tenant_limits *limits = tenant_limits_new(NULL);
    struct tenant_question one = question(1), two = question(2);
    struct tenant_view view;
    uint64_t wait_us;
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(tenant_limits_ask(limits, &one, &view, &wait_us), TENANT_MAY);
        assert_int_equal(view.requests_left, 2 - i);
    }
    assert_int_equal(view.requests_full_us, 60 * SECOND);
    assert_int_equal(tenant_limits_ask(limits, &one, &view, &wait_us), TENANT_REQUESTS);
    assert_int_equal(wait_us, 20 * SECOND);
    tenant_limits_look(limits, &two, &view);
    assert_int_equal(view.requests_left, 3);
    assert_int_equal(tenant_limits_ask(limits, &two, &view, &wait_us), TENANT_MAY);
    one.now_us += 20 * SECOND;
    assert_int_equal(tenant_limits_ask(limits, &one, &view, &wait_us), TENANT_MAY);
    tenant_limits_free(limits);
}

static void tokens_are_reserved_and_what_was_not_used_goes_back(void **state)
{
    (void)state;
    struct tenant_limits *limits = tenant_limits_new(NULL);
    struct tenant_question one = question(1);
    struct tenant_lease first = {0}, second = {0};
    struct tenant_view view;
    uint64_t wait_us;
    assert_int_equal(tenant_limits_enter(limits, &one, 70, &first, &view, &wait_us), TENANT_MAY);
    assert_int_equal(view.tokens_left, 30);
    assert_int_equal(tenant_limits_enter(limits, &one, 60, &second, &view, &wait_us),
                     TENANT_TOKENS);
    assert_null(second.slot);
    assert_int_equal(wait_us, 18 * SECOND); /* 30 of them, at 100 a minute */
    assert_int_equal(tenant_limits_enter(limits, &one, 101, &second, &view, &wait_us),
                     TENANT_TOKENS_NEVER);
    tenant_limits_leave(&first, 10);
    assert_null(first.slot);
    assert_int_equal(tenant_limits_enter(limits, &one, 60, &second, &view, &wait_us), TENANT_MAY);
    assert_int_equal(view.tokens_left, 30);
    tenant_limits_leave(&second, 1000); /* more than was reserved: nothing goes back */
    tenant_limits_look(limits, &one, &view);
    assert_int_equal(view.tokens_left, 30);
    tenant_limits_leave(&second, 0); /* an empty one is fine */
    tenant_limits_free(limits);
}

static void as_many_run_as_may_and_the_next_when_one_has_ended(void **state)
{
    (void)state;
    struct tenant_limits *limits = tenant_limits_new(NULL);
    struct tenant_question one = question(1);
    one.rates = (struct tenant_rates){.concurrent = 2};
    struct tenant_lease leases[3] = {0};
    struct tenant_view view;
    uint64_t wait_us;
    assert_int_equal(tenant_limits_enter(limits, &one, 9, &leases[0], &view, &wait_us), TENANT_MAY);
    assert_int_equal(tenant_limits_ask(limits, &one, &view, &wait_us), TENANT_MAY);
    assert_int_equal(tenant_limits_enter(limits, &one, 9, &leases[1], &view, &wait_us), TENANT_MAY);
    assert_int_equal(tenant_limits_enter(limits, &one, 9, &leases[2], &view, &wait_us),
                     TENANT_CONCURRENT);
    assert_int_equal(tenant_limits_ask(limits, &one, &view, &wait_us), TENANT_CONCURRENT);
    assert_int_equal(tenant_limits_running(limits), 2);
    tenant_limits_leave(&leases[0], 0);
    assert_int_equal(tenant_limits_enter(limits, &one, 9, &leases[2], &view, &wait_us), TENANT_MAY);
    tenant_limits_leave(&leases[1], 0);
    tenant_limits_leave(&leases[2], 0);
    assert_int_equal(tenant_limits_running(limits), 0);
    tenant_limits_free(limits);
}

static void a_refusal_for_want_of_a_place_costs_no_request(void **state)
{
    (void)state;
    struct tenant_limits *limits = tenant_limits_new(NULL);
    struct tenant_question one = question(1);
    struct tenant_lease leases[2] = {0};
    struct tenant_view view;
    uint64_t wait_us;
    for (int i = 0; i < 2; i++)
        assert_int_equal(tenant_limits_enter(limits, &one, 1, &leases[i], &view, &wait_us),
                         TENANT_MAY);
    for (int i = 0; i < 9; i++)
        assert_int_equal(tenant_limits_ask(limits, &one, &view, &wait_us), TENANT_CONCURRENT);
    assert_int_equal(view.requests_left, 3);
    tenant_limits_leave(&leases[0], 1);
    tenant_limits_leave(&leases[1], 1);
    tenant_limits_free(limits);
}

/* Whoever has something taken, or running, keeps its place; the others make room. */
static void a_full_table_forgets_only_who_would_begin_alike(void **state)
{
    (void)state;
    struct tenant_limits *limits = tenant_limits_new(NULL);
    struct tenant_question each = question(0);
    struct tenant_view view;
    uint64_t wait_us;
    for (uint64_t i = 0; i < TENANT_SLOTS; i++) {
        each.tenant = 1000 + i * 77;
        assert_int_equal(tenant_limits_ask(limits, &each, &view, &wait_us), TENANT_MAY);
    }
    each.tenant = 5;
    assert_int_equal(tenant_limits_ask(limits, &each, &view, &wait_us), TENANT_UNKNOWN);
    assert_int_equal(view.requests_left, 0);
    each.tenant = 1000;
    struct tenant_lease lease = {0};
    assert_int_equal(tenant_limits_enter(limits, &each, 1, &lease, &view, &wait_us), TENANT_MAY);
    each.now_us += 60 * SECOND;
    for (uint64_t i = 0; i < 2 * TENANT_SLOTS; i++) { /* looked at only: each makes room again */
        each.tenant = 5 + i * 3;
        tenant_limits_look(limits, &each, &view);
        assert_int_equal(view.requests_left, 3);
    }
    each.tenant = 1000;
    each.rates.concurrent = 1;
    assert_int_equal(tenant_limits_ask(limits, &each, &view, &wait_us), TENANT_CONCURRENT);
    tenant_limits_leave(&lease, 1);
    assert_int_equal(tenant_limits_ask(limits, &each, &view, &wait_us), TENANT_MAY);
    tenant_limits_free(limits);
}

static void durations_are_spelled_as_openai_does_and_never_too_short(void **state)
{
    (void)state;
    static const struct {
        uint64_t us;
        const char *text;
    } cases[] = {{0, "0s"},
                 {1, "1ms"},
                 {19001, "20ms"},
                 {999000, "999ms"},
                 {999001, "1s"},
                 {1000001, "2s"},
                 {59 * SECOND, "59s"},
                 {59 * SECOND + 1, "1m0s"},
                 {360 * SECOND, "6m0s"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[LIMITING_VALUE_BYTES];
        limiting_write_duration(cases[i].us, text);
        assert_string_equal(text, cases[i].text);
    }
}

#define THREADS 4

static void *race_main(void *argument)
{
    struct tenant_limits *limits = argument;
    struct tenant_view view;
    uint64_t wait_us;
    for (uint64_t i = 0; i < 5000; i++) {
        struct tenant_question each = question(i % 7);
        struct tenant_lease lease = {0};
        each.rates = (struct tenant_rates){.tokens = 100, .concurrent = 2};
        if (tenant_limits_enter(limits, &each, 40, &lease, &view, &wait_us) == TENANT_MAY)
            tenant_limits_leave(&lease, 0);
    }
    return NULL;
}

static void after_a_race_of_workers_nothing_is_missing(void **state)
{
    (void)state;
    struct tenant_limits *limits = tenant_limits_new(NULL);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, race_main, limits), 0);
    for (int i = 0; i < THREADS; i++)
        (void)pthread_join(threads[i], NULL);
    assert_int_equal(tenant_limits_running(limits), 0);
    for (uint64_t i = 0; i < 7; i++) {
        struct tenant_question each = question(i);
        struct tenant_view view;
        tenant_limits_look(limits, &each, &view);
        assert_int_equal(view.tokens_left, 100);
    }
    tenant_limits_free(limits);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_tenant_has_its_own_requests),
        cmocka_unit_test(tokens_are_reserved_and_what_was_not_used_goes_back),
        cmocka_unit_test(as_many_run_as_may_and_the_next_when_one_has_ended),
        cmocka_unit_test(a_refusal_for_want_of_a_place_costs_no_request),
        cmocka_unit_test(a_full_table_forgets_only_who_would_begin_alike),
        cmocka_unit_test(durations_are_spelled_as_openai_does_and_never_too_short),
        cmocka_unit_test(after_a_race_of_workers_nothing_is_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
