/* SPDX-License-Identifier: Apache-2.0 */
/* What policy makes of licences: who is let in, what the ledger keeps, what a reload changes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/text.h"
#include "policy/evidence.h"
#include "policy/license/assessment.h"
#include "policy/policy.h"
#include "policy/policy_inner.h"
#include "policy/policy_users.h"
#include "policy/users/calendar.h"
#include "tests/unit/policy/few_licenses.h"
#include "tests/unit/policy/scratch.h"

#define NOW INT64_C(1796083199)

struct fixture {
    char folder[SCRATCH_PATH_BYTES];
    struct catalogue *catalogue;
    struct declaration declaration;
    struct policy *policy;
};

static void open_policy(struct fixture *fixture)
{
    struct error err = {0};
    const struct policy_config config = {
        .state_folder = fixture->folder,
        .rules = {.catalogue = fixture->catalogue, .declaration = &fixture->declaration}};
    fixture->policy = policy_new(&config, &err);
    assert_string_equal(err.text, "");
    assert_non_null(fixture->policy);
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    scratch_make(fixture->folder);
    fixture->catalogue = few_licenses();
    open_policy(fixture);
    *state = fixture;
    return 0;
}

static void close_policy(struct fixture *fixture)
{
    policy_free(fixture->policy);
    fixture->policy = NULL;
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

/* Weights in a folder without texts or cards. */
static int add(struct fixture *fixture, const char *id, const char *license,
               struct policy_model **ret, struct error *err)
{
    const struct policy_model_facts facts = {
        .id = id, .path = fixture->folder, .chosen_license = license};
    return policy_model_add(fixture->policy, &facts, NOW, ret, err);
}

static struct policy_model *add_served(struct fixture *fixture, const char *id, const char *license)
{
    struct error err = {0};
    struct policy_model *model = NULL;
    int result = add(fixture, id, license, &model, &err);
    assert_string_equal(err.text, "");
    assert_int_equal(result, 0);
    assert_non_null(model);
    return model;
}

static void acknowledge(struct fixture *fixture, const char *condition, const char *reference)
{
    static struct declared_acknowledgement list[4];
    uint32_t count = fixture->declaration.acknowledge_count++;
    list[count] = (struct declared_acknowledgement){.condition = (char *)condition,
                                                    .model = (char *)"",
                                                    .reference = (char *)reference,
                                                    .signer = (char *)"Ada"};
    fixture->declaration.acknowledge = list;
}

/* -- The ledger, read by a connection of its own -- */

struct rows {
    uint32_t count;
    char last[2048];
};

static bool on_row(void *argument, const struct ledger_row *row)
{
    struct rows *rows = argument;
    rows->count++;
    (void)snprintf(rows->last, sizeof rows->last, "%lld %s %s %s", (long long)row->at_unix,
                   row->model, row->subject, row->body);
    return true;
}

static struct rows ledger_rows(struct fixture *fixture, const char *kind)
{
    struct error err = {0};
    struct rows rows = {0};
    int64_t count = 0;
    struct ledger *ledger = ledger_open(fixture->folder, &err);
    assert_string_equal(err.text, "");
    assert_int_equal(ledger_verify(ledger, &count, &err), 0);
    assert_int_equal(ledger_read(ledger, kind, on_row, &rows, &err), 0);
    ledger_close(ledger);
    return rows;
}

static void expect_in(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("'%s' does not say '%s'", text, part);
}

/* -- Loading -- */

static void verdict_is_told_and_written_down_once(void **state)
{
    struct fixture *fixture = *state;
    fixture->declaration.distributes_weights = DECLARED_YES;
    const struct assessment *assessment =
        policy_model_assessment(add_served(fixture, "m", "free-1"));
    assert_string_equal(assessment->license, "free-1");
    assert_int_equal(assessment->verdict, VERDICT_OBLIGATION);
    struct rows rows = ledger_rows(fixture, EVIDENCE_VERDICT);
    assert_int_equal(rows.count, 1);
    assert_string_equal(rows.last,
                        "1796083199 m  {\"license\":\"free-1\",\"licenses\":[{\"id\":\"free-1\","
                        "\"declared\":\"free-1\",\"family\":\"test\",\"recognised_by\":"
                        "\"operator\"}],\"verdict\":"
                        "\"obligation\",\"literal\":\"obligation\",\"conservative\":\"obligation\","
                        "\"conditions\":[{\"id\":\"free-1/notice\",\"kind\":\"notice\","
                        "\"clause\":\"1\",\"summary\":\"Keep it.\",\"verdict\":\"obligation\","
                        "\"literal\":\"obligation\",\"conservative\":\"obligation\"}]}");
    close_policy(fixture);
    open_policy(fixture);
    (void)add_served(fixture, "m", "free-1");
    assert_int_equal(ledger_rows(fixture, NULL).count, 1); /* the same again */
    close_policy(fixture);
    fixture->declaration.distributes_weights = DECLARED_NO;
    open_policy(fixture);
    (void)add_served(fixture, "m", "free-1");
    assert_int_equal(ledger_rows(fixture, NULL).count, 2);
}

static void breach_is_refused_with_all_that_helps(void **state)
{
    struct fixture *fixture = *state;
    struct error err = {0};
    struct policy_model *model = NULL;
    fixture->declaration.production = DECLARED_YES;
    assert_int_equal(add(fixture, "m", "research-1", &model, &err), ERROR_REFUSED);
    assert_non_null(model);
    assert_int_equal(policy_model_assessment(model)->verdict, VERDICT_BREACH);
    const struct assessed_condition *condition = &policy_model_assessment(model)->conditions[0];
    expect_in(err.text, "model 'm' is refused by its licence research-1");
    expect_in(err.text, "research-1/research-only (2.1)");
    expect_in(err.text, condition->reason);
    expect_in(err.text, condition->remedy);
    expect_in(err.text, "{condition: research-1/research-only, reference: its number}");
    expect_in(err.text, "operator.acknowledge");
    expect_in(ledger_rows(fixture, EVIDENCE_VERDICT).last, "\"verdict\":\"breach\"");
}

static int screen(struct fixture *fixture, const char *license, struct policy_model **ret)
{
    const struct policy_model_facts facts = {
        .id = "m", .path = fixture->folder, .chosen_license = license};
    return policy_model_screen(fixture->policy, &facts, NOW, ret, NULL);
}

static void screening_keeps_nothing_but_a_breach(void **state)
{
    struct fixture *fixture = *state;
    struct policy_model *model = NULL;
    fixture->declaration.production = DECLARED_YES;
    assert_int_equal(screen(fixture, "free-1", &model), 0);
    assert_null(model);
    assert_null(fixture->policy->models);
    assert_int_equal(ledger_rows(fixture, NULL).count, 0);
    assert_int_equal(screen(fixture, "research-1", &model), ERROR_REFUSED);
    assert_int_equal(policy_model_assessment(model)->verdict, VERDICT_BREACH);
    assert_int_equal(ledger_rows(fixture, EVIDENCE_VERDICT).count, 1);
}

#define LATE_MODELS 8u

struct weigher {
    struct fixture *fixture;
    struct declaration declarations[2];
    _Atomic bool stop;
    uint32_t rounds;
};

static void *weigh_again_and_again(void *argument)
{
    struct weigher *weigher = argument;
    for (; !atomic_load(&weigher->stop); weigher->rounds++) {
        const struct policy_rules rules = {.catalogue = weigher->fixture->catalogue,
                                           .declaration =
                                               &weigher->declarations[weigher->rounds % 2]};
        uint32_t changed;
        if (policy_reassess(weigher->fixture->policy, &rules, NOW, &changed, NULL) != 0)
            break;
    }
    return NULL;
}

/* While the rules change and users are counted, and the policy thread runs. */
static void models_come_late_and_are_weighed_like_all_others(void **state)
{
    struct fixture *fixture = *state;
    struct weigher weigher = {.fixture = fixture};
    struct policy_model *models[LATE_MODELS];
    char ids[LATE_MODELS][8];
    pthread_t thread;
    weigher.declarations[1].distributes_weights = DECLARED_YES;
    assert_int_equal(policy_start(fixture->policy, NULL, NULL, NULL), 0);
    assert_int_equal(pthread_create(&thread, NULL, weigh_again_and_again, &weigher), 0);
    for (uint32_t i = 0; i < LATE_MODELS; i++) {
        struct policy_decision decision;
        const struct policy_claims claims = {.user = "ada"};
        (void)snprintf(ids[i], sizeof ids[i], "late-%u", i);
        models[i] = add_served(fixture, ids[i], "free-1");
        policy_admit(fixture->policy, models[i], &claims, NOW * 1000000, &decision);
        assert_int_equal(decision.verdict, POLICY_GO);
    }
    atomic_store(&weigher.stop, true);
    (void)pthread_join(thread, NULL);
    policy_stop(fixture->policy);
    const struct policy_rules rules = {.catalogue = fixture->catalogue,
                                       .declaration = &weigher.declarations[1]};
    uint32_t changed;
    assert_int_equal(policy_reassess(fixture->policy, &rules, NOW, &changed, NULL), 0);
    for (uint32_t i = 0; i < LATE_MODELS; i++) {
        assert_int_equal(models[i]->index, i);
        assert_int_equal(policy_model_assessment(models[i])->verdict, VERDICT_OBLIGATION);
    }
    close_policy(fixture); /* before what it was told goes */
}

static void many_breaches_are_counted_and_the_way_out_is_kept(void **state)
{
    struct fixture *fixture = *state;
    struct error err = {0};
    struct policy_model *model = NULL;
    char id[1000];
    memset(id, 'i', sizeof id - 1);
    id[sizeof id - 1] = '\0';
    fixture->declaration.production = DECLARED_YES;
    assert_int_equal(add(fixture, id, "many-1", &model, &err), ERROR_REFUSED);
    assert_true(strlen(err.text) < ERROR_TEXT_MAX - 40); /* room for a caller's words */
    expect_in(err.text, "many-1/first (§1)");
    expect_in(err.text, "and 3 more");
    expect_in(err.text, "operator.acknowledge");
    assert_true(utf8_valid(err.text, strlen(err.text)));
}

static void acknowledged_breach_is_let_in_and_the_ledger_says_by_whom(void **state)
{
    struct fixture *fixture = *state;
    fixture->declaration.production = DECLARED_YES;
    acknowledge(fixture, "research-1/research-only", "contract 7/2026");
    struct policy_model *model = add_served(fixture, "m", "research-1");
    assert_int_equal(policy_model_assessment(model)->conservative, VERDICT_BREACH);
    assert_true(policy_model_assessment(model)->verdict < VERDICT_BREACH);
    struct rows rows = ledger_rows(fixture, EVIDENCE_ACKNOWLEDGEMENT);
    assert_int_equal(rows.count, 1);
    assert_string_equal(rows.last, "1796083199 m research-1/research-only {\"condition\":"
                                   "\"research-1/research-only\",\"clause\":\"2.1\",\"reference\":"
                                   "\"contract 7/2026\",\"signer\":\"Ada\",\"literal\":\"breach\","
                                   "\"conservative\":\"breach\"}");
    expect_in(ledger_rows(fixture, EVIDENCE_VERDICT).last, "\"acknowledged\":\"contract 7/2026\"");
}

static void several_acknowledgements_are_each_written_once(void **state)
{
    struct fixture *fixture = *state;
    fixture->declaration.production = DECLARED_YES;
    acknowledge(fixture, "many-1/first", "a");
    acknowledge(fixture, "many-1/second", "b");
    acknowledge(fixture, "many-1/third", "c");
    acknowledge(fixture, "many-1/fourth", "d");
    for (int start = 0; start < 3; start++) {
        (void)add_served(fixture, "m", "many-1");
        close_policy(fixture);
        open_policy(fixture);
    }
    assert_int_equal(ledger_rows(fixture, EVIDENCE_ACKNOWLEDGEMENT).count, 4);
    assert_int_equal(ledger_rows(fixture, EVIDENCE_VERDICT).count, 1);
}

static void ledger_that_is_damaged_stops_the_start(void **state)
{
    struct fixture *fixture = *state;
    struct error err = {0};
    close_policy(fixture);
    scratch_write(fixture->folder, LEDGER_FILE, "no ledger at all, but a text of some length", 44);
    const struct policy_config config = {.state_folder = fixture->folder,
                                         .rules = {.catalogue = fixture->catalogue}};
    assert_null(policy_new(&config, &err));
    assert_int_equal(err.code, ERROR_INVALID);
    expect_in(err.text, LEDGER_FILE);
}

/* -- Weighing again -- */

static uint32_t reassess(struct fixture *fixture, const struct declaration *declaration)
{
    struct error err = {0};
    uint32_t changed = 99;
    const struct policy_rules rules = {.catalogue = fixture->catalogue, .declaration = declaration};
    assert_int_equal(policy_reassess(fixture->policy, &rules, NOW + 60, &changed, &err), 0);
    assert_string_equal(err.text, "");
    return changed;
}

static void new_declaration_changes_what_depends_on_it(void **state)
{
    struct fixture *fixture = *state;
    const struct declaration research = {.production = DECLARED_NO, .commercial = DECLARED_NO};
    const struct declaration trade = {.production = DECLARED_YES, .commercial = DECLARED_YES};
    struct policy_model *one = add_served(fixture, "one", "research-1");
    struct policy_model *two = add_served(fixture, "two", "free-1");
    const struct assessment *first = policy_model_assessment(one);
    const struct assessment *other = policy_model_assessment(two);
    assert_int_equal(first->verdict, VERDICT_REVIEW); /* nothing is declared */
    assert_int_equal(reassess(fixture, &research), 1);
    assert_int_equal(policy_model_assessment(one)->verdict, VERDICT_MET);
    assert_int_equal(policy_model_assessment(one)->at_unix, NOW + 60);
    assert_int_equal(first->verdict, VERDICT_REVIEW); /* who still reads it may */
    assert_ptr_equal(policy_model_assessment(two), other);
    assert_int_equal(reassess(fixture, &trade), 1);
    assert_int_equal(policy_model_assessment(one)->verdict, VERDICT_BREACH);
    assert_int_equal(ledger_rows(fixture, EVIDENCE_VERDICT).count, 4);
    struct policy_usage usage;
    policy_usage(fixture->policy, one, NOW * 1000000, &usage); /* it goes on being served */
}

/* Users counted before go with the model. */
static void family_of_another_licence_takes_the_users_over(void **state)
{
    static const char card[] = "---\nlicense: free-1\n---\n";
    struct fixture *fixture = *state;
    struct policy_decision decision;
    struct usage_figures figures;
    const struct policy_claims claims = {.user = "ada"};
    struct policy_model *model = add_served(fixture, "m", NULL);
    policy_admit(fixture->policy, model, &claims, NOW * 1000000, &decision);
    assert_null(usage_group_find(fixture->policy->usage, USAGE_GROUP_FAMILY, "test"));
    scratch_write(fixture->folder, "README.md", card, sizeof card - 1);
    assert_int_equal(reassess(fixture, &fixture->declaration), 1);
    const struct usage_question question = {
        .group = usage_group_find(fixture->policy->usage, USAGE_GROUP_FAMILY, "test"),
        .window = USAGE_WINDOW_MONTH,
        .day = calendar_day(NOW * 1000000),
        .now_unix_us = NOW * 1000000};
    assert_non_null(question.group);
    assert_int_equal(usage_ask(fixture->policy->usage, &question, &figures, NULL), 0);
    assert_true(figures.best.users == 1);
}

static void same_answers_keep_nothing_of_the_new_rules(void **state)
{
    struct fixture *fixture = *state;
    struct policy_model *model = add_served(fixture, "m", "research-1");
    const struct assessment *before = policy_model_assessment(model);
    struct declaration *passing = calloc(1, sizeof *passing);
    passing->nonprofit = DECLARED_YES; /* which nobody asks */
    assert_int_equal(reassess(fixture, passing), 0);
    free(passing);
    assert_ptr_equal(policy_model_assessment(model), before);
    assert_int_equal(reassess(fixture, &fixture->declaration), 0);
    assert_int_equal(ledger_rows(fixture, NULL).count, 1);
}

static void refused_model_can_be_cleared_by_a_reload(void **state)
{
    struct fixture *fixture = *state;
    struct error err = {0};
    struct policy_model *model = NULL;
    const struct declaration research = {.production = DECLARED_NO, .commercial = DECLARED_NO};
    fixture->declaration.production = DECLARED_YES;
    assert_int_equal(add(fixture, "m", "research-1", &model, &err), ERROR_REFUSED);
    assert_int_equal(reassess(fixture, &research), 1);
    assert_int_equal(policy_model_assessment(model)->verdict, VERDICT_MET);
}

static void failed_reassessment_changes_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct error err = {0};
    struct rlimit limit, old;
    uint32_t changed = 99;
    const struct declaration research = {.production = DECLARED_NO, .commercial = DECLARED_NO};
    const struct policy_rules rules = {.catalogue = fixture->catalogue, .declaration = &research};
    struct policy_model *model = add_served(fixture, "m", "research-1");
    const struct assessment *before = policy_model_assessment(model);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    limit = old;
    (void)signal(SIGXFSZ, SIG_IGN);
    limit.rlim_cur = 64; /* no room for the ledger's journal */
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    int result = policy_reassess(fixture->policy, &rules, NOW, &changed, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(result, ERROR_IO);
    assert_int_equal(changed, 99);
    expect_in(err.text, LEDGER_FILE);
    assert_ptr_equal(policy_model_assessment(model), before);
    assert_int_equal(ledger_rows(fixture, NULL).count, 1);
    assert_int_equal(reassess(fixture, &research), 1);
}

struct reader {
    const struct policy_model *model;
    _Atomic bool stop;
    uint64_t seen;
};

static void *read_on(void *argument)
{
    struct reader *reader = argument;
    while (!atomic_load(&reader->stop)) {
        const struct assessment *assessment = policy_model_assessment(reader->model);
        for (uint32_t i = 0; i < assessment->condition_count; i++)
            reader->seen += strlen(assessment->conditions[i].reason);
    }
    return NULL;
}

static void readers_go_on_while_it_is_weighed_again(void **state)
{
    struct fixture *fixture = *state;
    pthread_t thread;
    const struct declaration research = {.production = DECLARED_NO, .commercial = DECLARED_NO};
    struct reader reader = {.model = add_served(fixture, "m", "research-1")};
    assert_int_equal(pthread_create(&thread, NULL, read_on, &reader), 0);
    for (int i = 0; i < 20; i++)
        assert_int_equal(reassess(fixture, i % 2 == 0 ? &research : &fixture->declaration), 1);
    atomic_store(&reader.stop, true);
    pthread_join(thread, NULL);
    assert_int_equal(ledger_rows(fixture, NULL).count, 21);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(verdict_is_told_and_written_down_once),
        TEST(breach_is_refused_with_all_that_helps),
        TEST(screening_keeps_nothing_but_a_breach),
        TEST(models_come_late_and_are_weighed_like_all_others),
        TEST(many_breaches_are_counted_and_the_way_out_is_kept),
        TEST(acknowledged_breach_is_let_in_and_the_ledger_says_by_whom),
        TEST(several_acknowledgements_are_each_written_once),
        TEST(ledger_that_is_damaged_stops_the_start),
        TEST(new_declaration_changes_what_depends_on_it),
        cmocka_unit_test_setup_teardown(family_of_another_licence_takes_the_users_over, setup,
                                        teardown),
        TEST(same_answers_keep_nothing_of_the_new_rules),
        TEST(refused_model_can_be_cleared_by_a_reload),
        TEST(failed_reassessment_changes_nothing),
        TEST(readers_go_on_while_it_is_weighed_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
