/* SPDX-License-Identifier: Apache-2.0 */
/* API keys whose ids cannot be people, through admission: what is told, and what still counts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "policy/policy_identity.h"
#include "policy/policy_inner.h"
#include "policy/users/suspects.h"
#include "tests/unit/policy/few_licenses.h"
#include "tests/unit/policy/scratch.h"

#define DAY_US INT64_C(86400000000)
#define NOV_28 (INT64_C(20785) * DAY_US + DAY_US / 2) /* 2026-11-28, noon */
#define WINDOW 1000u

struct fixture {
    char folder[SCRATCH_PATH_BYTES];
    struct catalogue *catalogue;
    struct policy *policy;
    struct policy_model *model;
    uint64_t request;
};

static void open_policy(struct fixture *fixture, bool trust_asserted)
{
    struct error err = {0};
    const struct policy_config config = {.state_folder = fixture->folder,
                                         .rules = {.catalogue = fixture->catalogue},
                                         .trust_asserted = trust_asserted,
                                         .worker_count = 2};
    fixture->policy = policy_new(&config, &err);
    assert_string_equal(err.text, "");
    const struct policy_model_facts facts = {.id = "q", .path = fixture->folder};
    assert_int_equal(policy_model_add(fixture->policy, &facts, 0, &fixture->model, &err), 0);
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    scratch_make(fixture->folder);
    fixture->catalogue = few_licenses();
    open_policy(fixture, true);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    policy_free(fixture->policy);
    catalogue_free(fixture->catalogue);
    scratch_remove(fixture->folder);
    free(fixture);
    return 0;
}

/* What the policy thread does every few seconds. */
static void turn(struct fixture *fixture, int64_t now_us)
{
    (void)policy_findings_turn(fixture->policy, now_us);
}

static enum identity_class ask(struct fixture *fixture, const char *key, const char *user,
                               int64_t now_us)
{
    char request[24];
    struct policy_decision decision;
    (void)snprintf(request, sizeof request, "%llu", (unsigned long long)++fixture->request);
    const struct policy_claims claims = {.tenant = "acme",
                                         .api_key = key,
                                         .address = "192.0.2.7",
                                         .user = user,
                                         .request_id = request,
                                         .worker = (uint32_t)fixture->request % 2};
    policy_admit(fixture->policy, fixture->model, &claims, now_us, &decision);
    return decision.identity;
}

static void ask_as(struct fixture *fixture, const char *key, uint32_t first, uint32_t count,
                   int64_t now_us)
{
    char user[24];
    for (uint32_t i = first; i < first + count; i++) {
        (void)snprintf(user, sizeof user, "user-%u", i);
        (void)ask(fixture, key, user, now_us);
    }
}

static struct usage_figures month(struct fixture *fixture, int64_t now_us)
{
    struct policy_usage usage;
    policy_usage(fixture->policy, fixture->model, now_us, &usage);
    assert_true(usage.known);
    return usage.windows[USAGE_WINDOW_MONTH];
}

static void expect(struct fixture *fixture, uint32_t shared, uint32_t sprayed)
{
    uint32_t found_shared, found_sprayed;
    policy_identity_suspects(fixture->policy, &found_shared, &found_sprayed);
    assert_int_equal(found_shared, shared);
    assert_int_equal(found_sprayed, sprayed);
}

static uint32_t notes_with(struct fixture *fixture, const char *words)
{
    struct text notes;
    uint32_t count = 0;
    text_init(&notes);
    policy_take_notes(fixture->policy, &notes);
    assert_null(strstr(text_string(&notes), "sk-"));
    assert_null(strstr(text_string(&notes), "user-"));
    for (const char *at = text_string(&notes); (at = strstr(at, words)) != NULL; at++)
        count++;
    text_destroy(&notes);
    return count;
}

/* Each of two workers sees half, so that a window a worker is what it takes at the most. */
static void spraying_raises_the_flag_and_then_no_lower_bound(void **state)
{
    struct fixture *fixture = *state;
    turn(fixture, NOV_28);
    ask_as(fixture, "sk-good", 0, 300, NOV_28);
    ask_as(fixture, "sk-spray", 1000, 2 * WINDOW, NOV_28);
    struct usage_figures before = month(fixture, NOV_28);
    assert_true(before.lower.users <= 300 + 2 * WINDOW);
    assert_int_equal(ask(fixture, "sk-spray", "user-a", NOV_28), IDENTITY_WEAK);
    ask_as(fixture, "sk-spray", 10000, 5000, NOV_28);
    ask_as(fixture, "sk-spray", 10000, 5000, NOV_28); /* the same are no more */
    turn(fixture, NOV_28 + 4000000);
    expect(fixture, 0, 1);
    assert_int_equal(notes_with(fixture, "identity_suspect sprayed by key"), 1);
    struct usage_figures after = month(fixture, NOV_28);
    assert_true(after.lower.users == before.lower.users);
    assert_true(after.best.users == before.best.users + 5001); /* they may be people */
    assert_true(after.upper.users == before.upper.users + 5001);
    assert_int_equal(ask(fixture, "sk-good", "user-b", NOV_28), IDENTITY_ASSERTED);
    assert_true(month(fixture, NOV_28).lower.users == before.lower.users + 1);
}

/* Where tenants are not trusted nothing asserted is in the lower view, before the flag as after. */
static void spraying_never_moves_a_lower_bound_that_trusts_nobody(void **state)
{
    struct fixture *fixture = *state;
    policy_free(fixture->policy);
    open_policy(fixture, false);
    turn(fixture, NOV_28);
    for (uint32_t i = 0; i < 5; i++) {
        ask_as(fixture, "sk-spray", 1000 * i, WINDOW, NOV_28);
        assert_true(month(fixture, NOV_28).lower.users == 0);
    }
    turn(fixture, NOV_28 + 4000000);
    expect(fixture, 0, 1);
}

static void flag_ends_a_day_after_the_last_finding(void **state)
{
    struct fixture *fixture = *state;
    turn(fixture, NOV_28);
    ask_as(fixture, "sk-spray", 0, 3 * WINDOW, NOV_28);
    turn(fixture, NOV_28 + 4000000);
    assert_int_equal(ask(fixture, "sk-spray", "user-x", NOV_28 + DAY_US), IDENTITY_WEAK);
    turn(fixture, NOV_28 + DAY_US);
    expect(fixture, 0, 1);
    turn(fixture, NOV_28 + 2 * DAY_US);
    expect(fixture, 0, 0);
    assert_int_equal(ask(fixture, "sk-spray", "user-x", NOV_28 + 2 * DAY_US), IDENTITY_ASSERTED);
}

/* A hundred thousand people who come once a day each: a suspicion on the first day, for nobody
 * knows them yet, and none at any midnight after, the month's end included. */
static void steady_tenant_is_not_flagged_at_midnight(void **state)
{
    struct fixture *fixture = *state;
    for (uint32_t day = 0; day < 6; day++) {
        int64_t now_us = NOV_28 - DAY_US / 2 + day * DAY_US; /* 00:00 */
        for (uint32_t i = 0; i < 20; i++) {
            turn(fixture, now_us + i * 4000000);
            ask_as(fixture, "sk-steady", 5000 * i, 5000, now_us + i * 4000000);
            if (day >= 2)
                expect(fixture, 0, 0);
        }
        turn(fixture, now_us + DAY_US / 2);
        assert_int_equal(notes_with(fixture, "identity_suspect"), day == 0 ? 1 : 0);
    }
}

static void restart_forgets_no_id(void **state)
{
    struct fixture *fixture = *state;
    turn(fixture, NOV_28);
    ask_as(fixture, "sk-steady", 0, 700, NOV_28); /* less than a window */
    policy_free(fixture->policy);
    open_policy(fixture, true);
    turn(fixture, NOV_28 + DAY_US);
    for (uint32_t i = 0; i < 5; i++)
        ask_as(fixture, "sk-steady", 0, 700, NOV_28 + DAY_US);
    turn(fixture, NOV_28 + DAY_US + 4000000);
    expect(fixture, 0, 0);
}

static void shared_id_is_told_once_a_day_and_goes_on_counting(void **state)
{
    struct fixture *fixture = *state;
    struct policy_finding finding;
    turn(fixture, NOV_28);
    for (uint32_t i = 0; i < 200; i++)
        (void)ask(fixture, "sk-one", "everybody", NOV_28);
    for (uint32_t i = 1; i < 4; i++) {
        turn(fixture, NOV_28 + i * 4000000);
        (void)ask(fixture, "sk-one", "everybody", NOV_28);
    }
    expect(fixture, 1, 0);
    assert_int_equal(notes_with(fixture, "identity_suspect shared"), 1);
    assert_int_equal(policy_identity_findings(fixture->policy, &finding, 1), 1);
    assert_string_equal(finding.kind, "shared");
    assert_string_equal(finding.tenant, "acme");
    assert_int_equal(strlen(finding.key), 8);
    assert_true(finding.share == 1.0);
    assert_int_equal(ask(fixture, "sk-one", "everybody", NOV_28), IDENTITY_ASSERTED);
    ask_as(fixture, "sk-one", 0, 1, NOV_28 + DAY_US);
    for (uint32_t i = 0; i < 200; i++)
        (void)ask(fixture, "sk-one", "everybody", NOV_28 + DAY_US);
    turn(fixture, NOV_28 + DAY_US);
    assert_int_equal(notes_with(fixture, "identity_suspect shared"), 1);
}

/* Somebody at home, without a key, is one id all day. */
static void one_id_at_an_address_is_no_finding(void **state)
{
    struct fixture *fixture = *state;
    turn(fixture, NOV_28);
    for (uint32_t i = 0; i < 500; i++)
        (void)ask(fixture, NULL, "me", NOV_28);
    turn(fixture, NOV_28 + 4000000);
    expect(fixture, 0, 0);
    ask_as(fixture, "", 0, 4 * WINDOW, NOV_28); /* but a new one each time is */
    turn(fixture, NOV_28 + 8000000);
    expect(fixture, 0, 1);
}

/* Whoever knows the hash picks ids that meet in a sixteenth of the registers at least rank. */
static void crafted_ids_move_the_estimate_as_any_others(void **state)
{
    enum { IDS = 60000 };
    struct fixture *fixture = *state;
    static const uint8_t no_key[SIPHASH_KEY_BYTES];
    struct sketch_count count;
    struct sketch *unkeyed = sketch_new(SKETCH_P);
    uint32_t made = 0;
    for (uint64_t i = 0; made < IDS; i++) {
        char user[24], key[24];
        int length = snprintf(user, sizeof user, "user-%llu", (unsigned long long)i);
        uint64_t hash = siphash(no_key, user, (size_t)length);
        if (hash >> 60 != 0 || (hash >> (63 - SKETCH_P) & 1) == 0)
            continue;
        assert_int_equal(sketch_add(unkeyed, hash, NULL, NULL), 0);
        (void)snprintf(key, sizeof key, "sk-%u", made++ / 400); /* no key sprays */
        (void)ask(fixture, key, user, NOV_28);
    }
    sketch_count(unkeyed, &count);
    assert_true(count.value < 0.8 * IDS);
    struct usage_figure best = month(fixture, NOV_28).best;
    print_message("%u crafted ids: %.0f without a key, %.0f with one\n", IDS, count.value,
                  best.users);
    assert_false(best.exact);
    assert_true(best.low <= IDS && IDS <= best.high);
    sketch_free(unkeyed);
}

static bool on_row(void *argument, const struct ledger_row *row)
{
    struct text *rows = argument;
    text_append_format(rows, "%s|%s|%s\n", row->model, row->subject, row->body);
    return true;
}

static void ledger_has_a_row_a_finding_and_no_id(void **state)
{
    struct fixture *fixture = *state;
    struct policy_finding finding;
    struct text rows;
    char subject[64];
    turn(fixture, NOV_28);
    ask_as(fixture, "sk-spray", 0, 3 * WINDOW, NOV_28);
    turn(fixture, NOV_28 + 4000000);
    turn(fixture, NOV_28 + 8000000);
    assert_int_equal(policy_identity_findings(fixture->policy, &finding, 1), 1);
    text_init(&rows);
    assert_int_equal(ledger_read(fixture->policy->ledger, "identity", on_row, &rows, NULL), 0);
    (void)snprintf(subject, sizeof subject, "|2026-11 %s sprayed|", finding.key);
    assert_non_null(strstr(text_string(&rows), subject));
    assert_non_null(strstr(text_string(&rows), "\"day\":\"20261128\""));
    assert_non_null(strstr(text_string(&rows), "\"tenant\":\"acme\""));
    assert_ptr_equal(strchr(text_string(&rows), '\n') + 1, rows.bytes + rows.count);
    assert_null(strstr(text_string(&rows), "user-"));
    assert_null(strstr(text_string(&rows), "sk-"));
    text_destroy(&rows);
}

static void flags_end_and_make_room(void **state)
{
    (void)state;
    struct suspects *suspects = aligned_alloc(64, sizeof *suspects);
    assert_non_null(suspects);
    memset(suspects, 0, sizeof *suspects);
    const uint64_t line = 5; /* all of these keys share one */
    for (uint64_t i = 0; i < SUSPECTS_SLOTS; i++)
        assert_true(suspects_raise(suspects, (i + 1) << 16 | line, 100, 101));
    assert_true(suspects_have(suspects, UINT64_C(3) << 16 | line, 100));
    assert_false(suspects_have(suspects, UINT64_C(99) << 16 | line, 100));
    assert_false(suspects_raise(suspects, UINT64_C(99) << 16 | line, 101, 102));
    assert_true(suspects_raise(suspects, UINT64_C(3) << 16 | line, 101, 105)); /* longer */
    assert_true(suspects_raise(suspects, UINT64_C(3) << 16 | line, 101, 102)); /* not shorter */
    assert_true(suspects_have(suspects, UINT64_C(3) << 16 | line, 105));
    assert_false(suspects_have(suspects, UINT64_C(4) << 16 | line, 102));
    assert_true(suspects_raise(suspects, UINT64_C(99) << 16 | line, 102, 103));
    assert_true(suspects_have(suspects, UINT64_C(99) << 16 | line, 103));
    assert_false(suspects_have(suspects, UINT64_C(3) << 16 | line, 106));
    free(suspects);
}

static void *spray(void *argument)
{
    struct policy_decision decision;
    struct fixture *fixture = argument;
    for (uint32_t i = 0; i < 20000; i++) {
        char user[32];
        (void)snprintf(user, sizeof user, "%p-%u", (void *)&decision, i);
        const struct policy_claims claims = {
            .api_key = "sk-both", .user = user, .request_id = user, .worker = 7};
        policy_admit(fixture->policy, fixture->model, &claims, NOV_28, &decision);
    }
    return NULL;
}

static void threads_spray_while_the_watch_turns(void **state)
{
    struct fixture *fixture = *state;
    pthread_t threads[2];
    turn(fixture, NOV_28);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, spray, fixture), 0);
    for (uint32_t i = 0; i < 20; i++)
        turn(fixture, NOV_28 + i * 4000000);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    turn(fixture, NOV_28 + 100000000);
    expect(fixture, 0, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(spraying_raises_the_flag_and_then_no_lower_bound, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(spraying_never_moves_a_lower_bound_that_trusts_nobody,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(flag_ends_a_day_after_the_last_finding, setup, teardown),
        cmocka_unit_test_setup_teardown(steady_tenant_is_not_flagged_at_midnight, setup, teardown),
        cmocka_unit_test_setup_teardown(restart_forgets_no_id, setup, teardown),
        cmocka_unit_test_setup_teardown(shared_id_is_told_once_a_day_and_goes_on_counting, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(one_id_at_an_address_is_no_finding, setup, teardown),
        cmocka_unit_test_setup_teardown(ledger_has_a_row_a_finding_and_no_id, setup, teardown),
        cmocka_unit_test_setup_teardown(crafted_ids_move_the_estimate_as_any_others, setup,
                                        teardown),
        cmocka_unit_test(flags_end_and_make_room),
        cmocka_unit_test_setup_teardown(threads_spray_while_the_watch_turns, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
