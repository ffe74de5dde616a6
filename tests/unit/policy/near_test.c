/* SPDX-License-Identifier: Apache-2.0 */
/* From users to alerts: what policy makes of thresholds, with its clock in the test's hands. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "policy/alerts/alert.h"
#include "policy/license/catalogue.h"
#include "policy/license/declaration.h"
#include "policy/policy_inner.h"
#include "policy/users/calendar.h"
#include "tests/unit/policy/few_licenses.h"
#include "tests/unit/policy/scratch.h"

#define DAY_0     20785u /* 2026-11-28 */
#define THRESHOLD 20
#define TURNS_MAX 1000

#define HEAD(id)                                                                                   \
    "id: " id "\nname: " id "\nfamily: test\ncategory: threshold\ngrade: P\nverified: true\n"      \
    "sources: [\"a test\"]\nsummary: A licence of a test.\nconditions:\n"
#define SIZE(id, value, scope)                                                                     \
    "  - {id: " id ", kind: threshold, clause: \"4\", summary: Ask., any_of: [{metric: mau, "      \
    "op: '>', value: " value ", window: month}], test: continuing, entity: affiliates, "           \
    "scope: " scope ", consequence: separate_license}\n"

static const char own_1[] = HEAD("own-1") SIZE("size", "20", "product_using_model");
static const char all_1[] = HEAD("all-1") SIZE("size", "1000", "all_products");

static const struct license_source licenses[] = {{"own-1.yaml", own_1}, {"all-1.yaml", all_1}};

struct fixture {
    char folder[SCRATCH_PATH_BYTES], secret[SCRATCH_PATH_BYTES + 16];
    struct catalogue *catalogue;
    struct declared_users users[2];
    struct declaration declaration;
    struct policy *policy;
};

static void open_policy(struct fixture *fixture)
{
    struct error err = {0};
    const struct policy_webhook webhook = {
        .name = "counsel", .url = "http://127.0.0.1:1/", .secret_file = fixture->secret};
    const struct policy_config config = {
        .state_folder = fixture->folder,
        .rules = {.catalogue = fixture->catalogue, .declaration = &fixture->declaration},
        .webhooks = &webhook,
        .webhook_count = 1};
    fixture->policy = policy_new(&config, &err);
    assert_string_equal(err.text, "");
    assert_non_null(fixture->policy);
}

static int setup(void **state)
{
    static const char secret[] = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n";
    struct fixture *fixture = calloc(1, sizeof *fixture);
    scratch_make(fixture->folder);
    scratch_write(fixture->folder, "secret", secret, strlen(secret));
    (void)snprintf(fixture->secret, sizeof fixture->secret, "%s/secret", fixture->folder);
    assert_int_equal(chmod(fixture->secret, 0600), 0);
    fixture->catalogue = licenses_of(licenses, 2);
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

static int64_t noon_us(uint32_t day)
{
    return (int64_t)day * CALENDAR_DAY_US + CALENDAR_DAY_US / 2;
}

static struct policy_model *add(struct fixture *fixture, const char *id, const char *license,
                                const char *product)
{
    struct error err = {0};
    struct policy_model *model = NULL;
    const struct policy_model_facts facts = {
        .id = id, .path = fixture->folder, .chosen_license = license, .product = product};
    (void)policy_model_add(fixture->policy, &facts, noon_us(DAY_0) / 1000000, &model, &err);
    assert_string_equal(err.text, "");
    return model;
}

static void admit(struct fixture *fixture, struct policy_model *model, uint32_t first,
                  uint32_t count, uint32_t day)
{
    char user[32];
    for (uint32_t i = first; i < first + count; i++) {
        struct policy_decision decision;
        const struct policy_claims claims = {.user = user};
        (void)snprintf(user, sizeof user, "user-%u", i);
        policy_admit(fixture->policy, model, &claims, noon_us(day), &decision);
    }
}

static struct policy_line line_of(struct fixture *fixture, const struct policy_model *model,
                                  uint32_t day)
{
    struct policy_line lines[4];
    assert_int_equal(policy_lines(fixture->policy, model, noon_us(day), lines, 4), 1);
    return lines[0];
}

/* All that is due at noon, as the policy thread would do it. */
static void turn(struct fixture *fixture, uint32_t day)
{
    for (uint32_t i = 0; i < TURNS_MAX / 4; i++)
        (void)policy_watch_turn(fixture->policy, noon_us(day));
}

struct rows {
    uint32_t count;
    char last[1024];
};

static bool on_row(void *argument, const struct ledger_row *row)
{
    struct rows *rows = argument;
    rows->count++;
    (void)snprintf(rows->last, sizeof rows->last, "%s %s", row->model, row->body);
    return true;
}

static struct rows alert_rows(struct fixture *fixture)
{
    struct rows rows = {0};
    assert_int_equal(ledger_read(fixture->policy->ledger, "alert", on_row, &rows, NULL), 0);
    return rows;
}

/* -- Now -- */

static void headroom_follows_users_as_they_come(void **state)
{
    struct fixture *fixture = *state;
    struct policy_model *model = add(fixture, "q", "own-1", "");
    struct policy_line line = line_of(fixture, model, DAY_0);
    assert_string_equal(line.condition, "own-1/size");
    assert_string_equal(line.license, "own-1");
    assert_true(line.upper == 0 && line.threshold == THRESHOLD && isnan(line.days_early));
    admit(fixture, model, 0, 15, DAY_0);
    assert_true(line_of(fixture, model, DAY_0).upper == 15);
    admit(fixture, model, 10, 20, DAY_0);
    assert_true(line_of(fixture, model, DAY_0).upper == 30);
}

static void a_model_is_its_own_product_until_one_is_named(void **state)
{
    struct fixture *fixture = *state;
    struct policy_model *alone = add(fixture, "q", "own-1", "");
    struct policy_model *chat = add(fixture, "r", "own-1", "chat");
    struct policy_model *also_chat = add(fixture, "s", "own-1", "chat");
    admit(fixture, alone, 0, 4, DAY_0);
    admit(fixture, chat, 100, 5, DAY_0);
    admit(fixture, also_chat, 103, 5, DAY_0); /* two of them are the same */
    assert_true(line_of(fixture, alone, DAY_0).upper == 4);
    assert_true(line_of(fixture, chat, DAY_0).upper == 8);
    assert_true(line_of(fixture, also_chat, DAY_0).upper == 8);
}

static void an_organisation_is_all_models_or_what_it_declares(void **state)
{
    struct fixture *fixture = *state;
    struct policy_model *one = add(fixture, "q", "all-1", "");
    struct policy_model *other = add(fixture, "r", "own-1", "");
    admit(fixture, one, 0, 4, DAY_0);
    admit(fixture, other, 2, 4, DAY_0);
    assert_true(line_of(fixture, one, DAY_0).upper == 6);
    fixture->users[0] = (struct declared_users){.month = (char *)"2026-10", .users = 700};
    fixture->users[1] = (struct declared_users){.month = (char *)"2026-12", .users = 900};
    fixture->declaration.organisation_mau = fixture->users;
    fixture->declaration.organisation_mau_count = 2;
    assert_true(line_of(fixture, one, DAY_0).upper == 700); /* December is to come */
    assert_true(line_of(fixture, one, DAY_0 + 10).upper == 900);
}

static void users_outside_reach_lines_though_no_verdict_tells_of_them(void **state)
{
    struct fixture *fixture = *state;
    struct policy_model *model = add(fixture, "q", "own-1", "chat");
    struct declared_users outside = {
        .month = (char *)"2026-11", .users = 7, .product = (char *)"chat"};
    const struct declaration fresh = {.outside_mau = &outside, .outside_mau_count = 1};
    const struct policy_rules rules = {.catalogue = fixture->catalogue, .declaration = &fresh};
    uint32_t changed = 0;
    admit(fixture, model, 0, 4, DAY_0);
    assert_true(line_of(fixture, model, DAY_0).upper == 4);
    assert_int_equal(
        policy_reassess(fixture->policy, &rules, noon_us(DAY_0) / 1000000, &changed, NULL), 0);
    assert_int_equal(changed, 1);
    assert_true(line_of(fixture, model, DAY_0).upper == 11);
    assert_true(line_of(fixture, model, DAY_0).lower == 7);
    assert_int_equal(
        policy_reassess(fixture->policy, &rules, noon_us(DAY_0) / 1000000, &changed, NULL), 0);
    assert_int_equal(changed, 0);
}

/* -- Days that are over -- */

static void three_days_over_a_line_are_told_once(void **state)
{
    struct fixture *fixture = *state;
    struct text notes;
    struct policy_model *model = add(fixture, "q", "own-1", "");
    for (uint32_t day = DAY_0; day < DAY_0 + 6; day++) {
        admit(fixture, model, 0, 30, day);
        turn(fixture, day);
        assert_int_equal(alert_rows(fixture).count, day < DAY_0 + 3 ? 0 : ALERT_RULES);
    }
    struct rows rows = alert_rows(fixture);
    assert_non_null(strstr(rows.last, "q {\"id\":\""));
    assert_non_null(strstr(rows.last, "\"condition\":\"own-1/size\",\"scope\":\"q\","
                                      "\"rule\":\"lead-7\",\"fires\":true,\"upper\":30,"
                                      "\"threshold\":20,\"days_early\":0,"
                                      "\"day\":\"2026-11-30\"}"));
    assert_int_equal(ledger_verify(fixture->policy->ledger, &(int64_t){0}, NULL), 0);
    text_init(&notes);
    policy_take_notes(fixture->policy, &notes);
    assert_non_null(strstr(text_string(&notes), "alert_fired level-100: q: 100% of"));
    text_destroy(&notes);
    struct policy_messages messages;
    turn(fixture, DAY_0 + 6);
    policy_messages(fixture->policy, &messages);
    assert_int_equal(messages.pending, ALERT_RULES); /* nobody listens there */
    assert_int_equal(messages.dead, 0);
}

static void a_restart_makes_up_for_days_and_tells_nothing_twice(void **state)
{
    struct fixture *fixture = *state;
    struct policy_model *model = add(fixture, "q", "own-1", "");
    admit(fixture, model, 0, 30, DAY_0);
    turn(fixture, DAY_0 + 1);
    assert_int_equal(alert_rows(fixture).count, 0);
    policy_free(fixture->policy);
    open_policy(fixture);
    model = add(fixture, "q", "own-1", "");
    turn(fixture, DAY_0 + 9);
    assert_int_equal(alert_rows(fixture).count, ALERT_RULES);
    policy_free(fixture->policy);
    open_policy(fixture);
    (void)add(fixture, "q", "own-1", "");
    turn(fixture, DAY_0 + 10);
    assert_int_equal(alert_rows(fixture).count, ALERT_RULES);
}

/* -- Webhooks -- */

static void a_webhook_that_will_not_do_is_refused_by_name(void **state)
{
    struct fixture *fixture = *state;
    struct error err = {0};
    const struct policy_webhook webhook = {.name = "counsel",
                                           .url = "https://example.com/token-in-it",
                                           .secret_file = fixture->secret};
    const struct policy_config config = {.state_folder = fixture->folder,
                                         .rules = {.catalogue = fixture->catalogue},
                                         .webhooks = &webhook,
                                         .webhook_count = 1};
    policy_free(fixture->policy);
    assert_int_equal(chmod(fixture->secret, 0644), 0);
    fixture->policy = policy_new(&config, &err);
    assert_null(fixture->policy);
    assert_int_equal(err.code, ERROR_REFUSED);
    assert_non_null(strstr(err.text, "webhook 'counsel': secret_file"));
    scratch_write(fixture->folder, "secret", "not a secret\n", 13);
    assert_int_equal(chmod(fixture->secret, 0600), 0);
    fixture->policy = policy_new(&config, &err);
    assert_null(fixture->policy);
    assert_int_equal(err.code, ERROR_INVALID);
    assert_non_null(strstr(err.text, "webhook 'counsel'"));
    assert_null(strstr(err.text, "token-in-it"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(headroom_follows_users_as_they_come, setup, teardown),
        cmocka_unit_test_setup_teardown(a_model_is_its_own_product_until_one_is_named, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(an_organisation_is_all_models_or_what_it_declares, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(users_outside_reach_lines_though_no_verdict_tells_of_them,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(three_days_over_a_line_are_told_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_restart_makes_up_for_days_and_tells_nothing_twice, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_webhook_that_will_not_do_is_refused_by_name, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
