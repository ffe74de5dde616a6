/* SPDX-License-Identifier: Apache-2.0 */
/* What is enforced at thresholds, through policy_admit() and with the clock in the test's hands. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "policy/license/catalogue.h"
#include "policy/license/declaration.h"
#include "policy/policy_enforce_inner.h"
#include "policy/users/calendar.h"
#include "policy/users/cap.h"
#include "tests/unit/policy/few_licenses.h"
#include "tests/unit/policy/scratch.h"

#define SECOND_US INT64_C(1000000)
#define NOON_US   ((int64_t)20785 * CALENDAR_DAY_US + 43200 * SECOND_US) /* 2026-11-28 */
#define TURN_US   ((int64_t)20788 * CALENDAR_DAY_US)                     /* 2026-12-01 */

#define HEAD(id)                                                                                   \
    "id: " id "\nname: " id "\nfamily: test\ncategory: threshold\ngrade: P\nverified: true\n"      \
    "sources: [\"a test\"]\nsummary: A licence of a test.\nconditions:\n"
#define SIZE(id, op, value, scope, rest)                                                           \
    "  - {id: " id ", kind: threshold, clause: \"4\", summary: Ask., any_of: [{metric: mau, "      \
    "op: '" op "', value: " value ", window: month}], test: continuing, entity: affiliates, "      \
    "scope: " scope ", consequence: " rest "}\n"

static const char show_1[] = HEAD("show-1")
    SIZE("size", ">", "20", "product_using_model",
         "attribute, text: Show Me, where: [website]") "  - {id: built, kind: attribution, clause: "
                                                       "\"5\", summary: Show., trigger: serving, "
                                                       "text: Built with Show}\n";
static const char stop_1[] =
    HEAD("stop-1") SIZE("size", ">=", "20", "product_using_model", "separate_license");
static const char all_1[] = HEAD("all-1") SIZE("size", ">", "30", "all_products", "no_rights");

static const struct license_source licenses[] = {
    {"show-1.yaml", show_1}, {"stop-1.yaml", stop_1}, {"all-1.yaml", all_1}};

struct fixture {
    char folder[SCRATCH_PATH_BYTES];
    struct catalogue *catalogue;
    struct declared_acknowledgement acknowledgement;
    struct declaration declaration;
    struct policy *policy;
    struct policy_model *models[2];
};

static void open_policy(struct fixture *fixture)
{
    struct error err = {0};
    char key_file[SCRATCH_PATH_BYTES + 16];
    /* One key, so that the same strangers are taken for known ones each time: none of these. */
    static const char key[33] = "a key of 32 bytes, of a test 007";
    scratch_write(fixture->folder, "test.key", key, 32);
    (void)snprintf(key_file, sizeof key_file, "%s/test.key", fixture->folder);
    assert_int_equal(chmod(key_file, 0600), 0);
    const struct policy_config config = {
        .state_folder = fixture->folder,
        .key_file = key_file,
        .trust_asserted = true,
        .rules = {.catalogue = fixture->catalogue, .declaration = &fixture->declaration}};
    fixture->policy = policy_new(&config, &err);
    assert_string_equal(err.text, "");
}

static void add(struct fixture *fixture, uint32_t index, const char *license,
                enum policy_enforce enforce, uint64_t cap_users)
{
    struct error err = {0};
    const struct policy_model_facts facts = {.id = index == 0 ? "q" : "r",
                                             .path = fixture->folder,
                                             .chosen_license = license,
                                             .enforce = enforce,
                                             .cap_users = cap_users};
    (void)policy_model_add(fixture->policy, &facts, NOON_US / SECOND_US, &fixture->models[index],
                           &err);
    assert_string_equal(err.text, "");
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    scratch_make(fixture->folder);
    fixture->catalogue = licenses_of(licenses, 3);
    open_policy(fixture);
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

static struct policy_decision ask(struct fixture *fixture, uint32_t model, const char *user,
                                  int64_t now_us)
{
    struct policy_decision decision;
    const struct policy_claims claims = {.tenant = "acme", .user = user};
    policy_admit(fixture->policy, fixture->models[model], &claims, now_us, &decision);
    return decision;
}

/* How many of these users are let in. */
static uint32_t let_in(struct fixture *fixture, uint32_t model, uint32_t first, uint32_t count,
                       int64_t now_us)
{
    char user[32];
    uint32_t passed = 0;
    for (uint32_t i = first; i < first + count; i++) {
        (void)snprintf(user, sizeof user, "user-%u", i);
        passed += ask(fixture, model, user, now_us).verdict != POLICY_REFUSE;
    }
    return passed;
}

static uint64_t counted(struct fixture *fixture, uint32_t model, int64_t now_us)
{
    struct policy_usage usage;
    policy_usage(fixture->policy, fixture->models[model], now_us, &usage);
    return (uint64_t)usage.windows[USAGE_WINDOW_MONTH].best.users;
}

static void turn(struct fixture *fixture, int64_t now_us)
{
    fixture->policy->enforce->next_us = 0;
    (void)policy_enforce_turn(fixture->policy, now_us);
}

struct rows {
    uint32_t count;
    char last[1024], subject[256];
};

static bool on_row(void *argument, const struct ledger_row *row)
{
    struct rows *rows = argument;
    rows->count++;
    (void)snprintf(rows->last, sizeof rows->last, "%s", row->body);
    (void)snprintf(rows->subject, sizeof rows->subject, "%s", row->subject);
    return true;
}

static struct rows ledger_of(const struct fixture *fixture)
{
    struct rows rows = {0};
    assert_int_equal(ledger_read(fixture->policy->ledger, "enforcement", on_row, &rows, NULL), 0);
    return rows;
}

/* -- Nothing, and words -- */

static void alert_enforces_nothing(void **state)
{
    struct fixture *fixture = *state;
    add(fixture, 0, "stop-1", POLICY_ENFORCE_ALERT, 0);
    assert_int_equal(let_in(fixture, 0, 0, 50, NOON_US), 50);
    turn(fixture, NOON_US);
    struct policy_decision decision = ask(fixture, 0, "another", NOON_US);
    assert_int_equal(decision.verdict, POLICY_GO);
    assert_string_equal(decision.attribution, "");
    assert_int_equal(ledger_of(fixture).count, 0);
}

static void words_are_carried_while_they_are_due(void **state)
{
    struct fixture *fixture = *state;
    add(fixture, 0, "show-1", POLICY_ENFORCE_ATTRIBUTE, 0);
    assert_int_equal(let_in(fixture, 0, 0, 20, NOON_US), 20);
    turn(fixture, NOON_US);
    struct policy_decision decision = ask(fixture, 0, "user-1", NOON_US);
    assert_int_equal(decision.verdict, POLICY_GO_WITH_ATTRIBUTION);
    assert_string_equal(decision.attribution, "Built with Show"); /* at any size */
    (void)ask(fixture, 0, "one-more", NOON_US);
    turn(fixture, NOON_US);
    decision = ask(fixture, 0, "user-1", NOON_US);
    assert_string_equal(decision.attribution, "Built with Show; Show Me");
    assert_string_equal(policy_attribution(fixture->models[0]), "Built with Show; Show Me");
    struct rows rows = ledger_of(fixture);
    assert_int_equal(rows.count, 1);
    assert_string_equal(rows.subject, "show-1/size 2026-11");
    assert_non_null(strstr(rows.last, "{\"begins\":true,\"enforce\":\"attribute\",\"condition\":"
                                      "\"show-1/size\",\"license\":\"show-1\",\"clause\":\"4\","
                                      "\"users\":20}"));
    turn(fixture, NOON_US + 60 * CALENDAR_DAY_US); /* nobody came for two months */
    assert_string_equal(ask(fixture, 0, "user-1", NOON_US + 60 * CALENDAR_DAY_US).attribution,
                        "Built with Show");
    rows = ledger_of(fixture);
    assert_int_equal(rows.count, 2);
    assert_non_null(strstr(rows.last, "\"begins\":false"));
}

/* -- Refusing -- */

static void past_the_line_nobody_is_served_nor_counted(void **state)
{
    struct fixture *fixture = *state;
    add(fixture, 0, "stop-1", POLICY_ENFORCE_REFUSE, 0);
    assert_int_equal(let_in(fixture, 0, 0, 19, NOON_US), 19);
    turn(fixture, NOON_US);
    assert_int_equal(let_in(fixture, 0, 19, 1, NOON_US), 1); /* ">= 20" */
    turn(fixture, NOON_US);
    struct policy_decision decision = ask(fixture, 0, "user-1", NOON_US);
    assert_int_equal(decision.verdict, POLICY_REFUSE);
    assert_int_equal(decision.sequence, 0);
    assert_false(decision.refusal.capped);
    assert_int_equal(decision.refusal.users, 20);
    assert_int_equal(decision.refusal.since_unix, NOON_US / SECOND_US);
    assert_string_equal(decision.reason,
                        "The model 'q' is not served since 2026-11-28: beyond 20 users it needs a "
                        "licence of its own, by stop-1/size (licence stop-1, 4).");
    assert_int_equal(let_in(fixture, 0, 100, 5, NOON_US), 0);
    assert_int_equal(counted(fixture, 0, NOON_US), 20);
    /* A restart remembers since when, and tells it once. */
    policy_free(fixture->policy);
    open_policy(fixture);
    add(fixture, 0, "stop-1", POLICY_ENFORCE_REFUSE, 0);
    decision = ask(fixture, 0, "user-1", NOON_US + 600 * SECOND_US);
    assert_int_equal(decision.verdict, POLICY_REFUSE);
    assert_int_equal(decision.refusal.since_unix, NOON_US / SECOND_US);
    assert_int_equal(ledger_of(fixture).count, 1);
    turn(fixture, TURN_US);
    assert_int_equal(ask(fixture, 0, "user-1", TURN_US).verdict, POLICY_GO);
}

static void what_was_acknowledged_refuses_nobody(void **state)
{
    struct fixture *fixture = *state;
    fixture->acknowledgement = (struct declared_acknowledgement){
        .condition = (char *)"stop-1/size", .model = (char *)"", .reference = (char *)"contract 7"};
    fixture->declaration.acknowledge = &fixture->acknowledgement;
    fixture->declaration.acknowledge_count = 1;
    add(fixture, 0, "stop-1", POLICY_ENFORCE_REFUSE, 0);
    assert_int_equal(let_in(fixture, 0, 0, 50, NOON_US), 50);
    turn(fixture, NOON_US);
    assert_int_equal(let_in(fixture, 0, 0, 50, NOON_US), 50);
}

/* -- Caps -- */

static void at_the_cap_the_known_pass_and_the_new_do_not(void **state)
{
    struct fixture *fixture = *state;
    add(fixture, 0, "stop-1", POLICY_ENFORCE_CAP, 300);
    assert_int_equal(let_in(fixture, 0, 0, 500, NOON_US), 300);
    assert_int_equal(counted(fixture, 0, NOON_US), 300);
    turn(fixture, NOON_US);
    assert_int_equal(let_in(fixture, 0, 0, 500, NOON_US), 300);
    assert_int_equal(let_in(fixture, 0, 0, 300, NOON_US), 300);
    struct policy_decision decision = ask(fixture, 0, "another", NOON_US);
    assert_int_equal(decision.verdict, POLICY_REFUSE);
    assert_true(decision.refusal.capped);
    assert_int_equal(decision.refusal.until_unix, TURN_US / SECOND_US);
    assert_string_equal(decision.reason,
                        "The model 'q' takes no new users from 2026-11-28 until 2026-12-01: its "
                        "cap of 300 users a month is reached, by stop-1/size (licence stop-1, 4). "
                        "Users of this month are served on.");
    struct policy_enforcement enforcement;
    policy_enforcement(fixture->models[0], &enforcement);
    assert_int_equal(enforcement.cap_count, 1);
    assert_int_equal(enforcement.caps[0].limit, 300);
    assert_int_equal(enforcement.caps[0].counted, 300);
    assert_int_equal(enforcement.caps[0].tickets, 0);
    assert_int_equal(enforcement.outcomes[POLICY_OUTCOME_CAPPED], 401);
    assert_int_equal(ledger_of(fixture).count, 1);
}

static void a_restart_refuses_nobody_who_is_known(void **state)
{
    struct fixture *fixture = *state;
    add(fixture, 0, "stop-1", POLICY_ENFORCE_CAP, 300);
    assert_int_equal(let_in(fixture, 0, 0, 310, NOON_US), 300);
    policy_free(fixture->policy);
    open_policy(fixture);
    add(fixture, 0, "stop-1", POLICY_ENFORCE_CAP, 300);
    assert_int_equal(let_in(fixture, 0, 0, 310, NOON_US), 300);
    assert_int_equal(let_in(fixture, 0, 1000, 50, NOON_US), 0);
    policy_free(fixture->policy);
    open_policy(fixture); /* lowered: who was in stays in */
    add(fixture, 0, "stop-1", POLICY_ENFORCE_CAP, 100);
    assert_int_equal(let_in(fixture, 0, 0, 300, NOON_US), 300);
    assert_int_equal(let_in(fixture, 0, 1000, 50, NOON_US), 0);
}

static void the_month_s_turn_opens_it(void **state)
{
    struct fixture *fixture = *state;
    add(fixture, 0, "stop-1", POLICY_ENFORCE_CAP, 300);
    assert_int_equal(let_in(fixture, 0, 0, 310, NOON_US), 300);
    turn(fixture, TURN_US - 1);
    assert_int_equal(let_in(fixture, 0, 1000, 10, TURN_US - 1), 0);
    (void)policy_enforce_turn(fixture->policy, TURN_US); /* not the seconds' weighing: the month */
    assert_int_equal(let_in(fixture, 0, 1000, 310, TURN_US), 300);
    turn(fixture, TURN_US);
    assert_int_equal(let_in(fixture, 0, 0, 310, TURN_US), 0);
    assert_int_equal(counted(fixture, 0, TURN_US), 300);
}

static void who_was_counted_before_the_cap_gets_the_ticket_back(void **state)
{
    struct fixture *fixture = *state;
    add(fixture, 0, "stop-1", POLICY_ENFORCE_ALERT, 0);
    assert_int_equal(let_in(fixture, 0, 0, 200, NOON_US), 200);
    policy_free(fixture->policy);
    open_policy(fixture);
    add(fixture, 0, "stop-1", POLICY_ENFORCE_CAP, 300);
    assert_int_equal(let_in(fixture, 0, 0, 200, NOON_US), 100); /* there were 100 left */
    turn(fixture, NOON_US);
    assert_int_equal(let_in(fixture, 0, 0, 200, NOON_US), 200);
    turn(fixture, NOON_US);
    assert_int_equal(let_in(fixture, 0, 200, 200, NOON_US), 100);
    assert_int_equal(counted(fixture, 0, NOON_US), 300);
}

static void a_licence_s_line_is_not_reached_by_models_that_share_it(void **state)
{
    struct fixture *fixture = *state;
    add(fixture, 0, "all-1", POLICY_ENFORCE_CAP, 0);
    add(fixture, 1, "all-1", POLICY_ENFORCE_CAP, 0);
    turn(fixture, NOON_US);
    uint32_t first = let_in(fixture, 0, 0, 15, NOON_US);
    assert_int_equal(first, 15);
    assert_int_equal(let_in(fixture, 1, 0, 15, NOON_US), 15); /* the same people */
    uint32_t more = let_in(fixture, 1, 100, 100, NOON_US);
    assert_true(more >= 5 && first + more <= 30);
    assert_int_equal(let_in(fixture, 0, 200, 10, NOON_US), 0);
    assert_int_equal(let_in(fixture, 0, 100, more, NOON_US), more);
}

/* Ten may be others than ours: then there is room for ten fewer. Surely twice as many as the line:
 * nobody is served past it, whoever of them came here. */
static void users_who_never_come_here_are_counted_with_ours(void **state)
{
    struct fixture *fixture = *state;
    struct declared_users outside = {.month = "2026-11", .users = 10};
    fixture->declaration.outside_mau = &outside;
    fixture->declaration.outside_mau_count = 1;
    add(fixture, 0, "all-1", POLICY_ENFORCE_CAP, 0);
    turn(fixture, NOON_US);
    uint32_t passed = let_in(fixture, 0, 0, 100, NOON_US);
    assert_true(passed >= 10 && passed <= 20);
    outside.users = 60;
    add(fixture, 1, "all-1", POLICY_ENFORCE_REFUSE, 0);
    turn(fixture, NOON_US);
    assert_int_equal(let_in(fixture, 1, 0, 1, NOON_US), 0);
}

static void a_display_duty_caps_nobody(void **state)
{
    struct fixture *fixture = *state;
    add(fixture, 0, "show-1", POLICY_ENFORCE_CAP, 0);
    assert_int_equal(let_in(fixture, 0, 0, 100, NOON_US), 100);
    turn(fixture, NOON_US);
    assert_string_equal(ask(fixture, 0, "user-1", NOON_US).attribution, "Built with Show; Show Me");
    assert_int_equal(let_in(fixture, 0, 100, 100, NOON_US), 100);
}

static void requests_without_a_name_pass_as_long_as_new_users_do(void **state)
{
    struct fixture *fixture = *state;
    struct policy_decision decision;
    const struct policy_claims nobody = {.tenant = "acme"};
    add(fixture, 0, "stop-1", POLICY_ENFORCE_CAP, 30);
    for (int i = 0; i < 100; i++) {
        policy_admit(fixture->policy, fixture->models[0], &nobody, NOON_US, &decision);
        assert_int_equal(decision.verdict, POLICY_GO);
    }
    assert_int_equal(let_in(fixture, 0, 0, 40, NOON_US), 30);
    policy_admit(fixture->policy, fixture->models[0], &nobody, NOON_US, &decision);
    assert_int_equal(decision.verdict, POLICY_REFUSE);
}

/* -- Threads -- */

#define CROWD   6000u
#define WORKERS 3u

struct worker {
    struct fixture *fixture;
    uint32_t index, passed;
};

static void *ask_many(void *argument)
{
    struct worker *worker = argument;
    char user[32];
    for (uint32_t i = 0; i < CROWD; i++) {
        struct policy_decision decision;
        (void)snprintf(user, sizeof user, "w%u-%u", worker->index, i);
        const struct policy_claims claims = {
            .tenant = "acme", .user = user, .worker = worker->index};
        policy_admit(worker->fixture->policy, worker->fixture->models[0], &claims, NOON_US,
                     &decision);
        worker->passed += decision.verdict != POLICY_REFUSE;
    }
    return NULL;
}

static void workers_and_the_policy_thread_agree_on_the_cap(void **state)
{
    struct fixture *fixture = *state;
    struct worker workers[WORKERS];
    pthread_t threads[WORKERS];
    uint32_t passed = 0;
    add(fixture, 0, "stop-1", POLICY_ENFORCE_CAP, 5000);
    for (uint32_t i = 0; i < WORKERS; i++) {
        workers[i] = (struct worker){.fixture = fixture, .index = i};
        assert_int_equal(pthread_create(&threads[i], NULL, ask_many, &workers[i]), 0);
    }
    for (uint32_t i = 0; i < 50; i++)
        turn(fixture, NOON_US);
    for (uint32_t i = 0; i < WORKERS; i++) {
        (void)pthread_join(threads[i], NULL);
        passed += workers[i].passed;
    }
    /* A settlement may find a user between ticket and count, one a thread; some strangers pass for
     * known ones. */
    struct enforce_cap *cap = atomic_load(&fixture->policy->enforce->caps);
    assert_true(passed >= 5000 - WORKERS);
    assert_true(passed <= 5000 + 50 * WORKERS + user_cap_overshoot(cap->users, CROWD * WORKERS));
    assert_int_equal(counted(fixture, 0, NOON_US), passed);
}

#define LOOKS 200000u

static void deciding_costs_next_to_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct policy_decision decision;
    const struct policy_claims claims = {.tenant = "acme", .user = "user-1"};
    add(fixture, 0, "stop-1", POLICY_ENFORCE_CAP, 1000);
    add(fixture, 1, "stop-1", POLICY_ENFORCE_ALERT, 0);
    uint64_t ns[2];
    for (uint32_t m = 0; m < 2; m++) {
        uint64_t began_us = clock_monotonic_us();
        for (uint32_t i = 0; i < LOOKS; i++)
            policy_admit(fixture->policy, fixture->models[m], &claims, NOON_US, &decision);
        ns[m] = (clock_monotonic_us() - began_us) * 1000 / LOOKS;
        assert_int_equal(decision.verdict, POLICY_GO);
    }
    print_message("admission: %u ns at a cap, %u ns without\n", (unsigned)ns[0], (unsigned)ns[1]);
    assert_true(ns[0] < 20 * (ns[1] + 1)); /* the machine may have had other work just then */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(deciding_costs_next_to_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(workers_and_the_policy_thread_agree_on_the_cap, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(alert_enforces_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(words_are_carried_while_they_are_due, setup, teardown),
        cmocka_unit_test_setup_teardown(past_the_line_nobody_is_served_nor_counted, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_was_acknowledged_refuses_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(at_the_cap_the_known_pass_and_the_new_do_not, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_restart_refuses_nobody_who_is_known, setup, teardown),
        cmocka_unit_test_setup_teardown(the_month_s_turn_opens_it, setup, teardown),
        cmocka_unit_test_setup_teardown(who_was_counted_before_the_cap_gets_the_ticket_back, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_licence_s_line_is_not_reached_by_models_that_share_it,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(users_who_never_come_here_are_counted_with_ours, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_display_duty_caps_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(requests_without_a_name_pass_as_long_as_new_users_do, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
