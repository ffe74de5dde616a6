/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "tests/unit/gate/gate_fixture.h"

/* -- Acknowledgements -- */

static void research_in_production(struct world *world)
{
    world_init(world, CONDITION_PURPOSE);
    world->condition.purpose = PURPOSE_RESEARCH;
    world->declaration.production = DECLARED_YES;
}

static void an_acknowledged_breach_counts_as_watch(void **state)
{
    (void)state;
    struct world world;
    struct declared_acknowledgement one = {.condition = "lic/cond", .reference = "C-2026-17"};
    research_in_production(&world);
    world.declaration.acknowledge = &one;
    world.declaration.acknowledge_count = 1;
    const struct assessed_condition *assessed = weigh(&world);
    assert_int_equal(assessed->verdict, VERDICT_WATCH);
    assert_int_equal(assessed->literal, VERDICT_BREACH);
    assert_int_equal(assessed->conservative, VERDICT_BREACH);
    assert_string_equal(assessed->acknowledged, "C-2026-17");
    assert_int_equal(world.assessment->verdict, VERDICT_WATCH);
    assert_int_equal(world.assessment->literal, VERDICT_BREACH);
    one.model = "served";
    assert_int_equal(weigh(&world)->verdict, VERDICT_WATCH);
    world.declaration.production = UNDECLARED; /* a review may be taken on as well */
    assert_int_equal(weigh(&world)->verdict, VERDICT_WATCH);
    world_destroy(&world);
}

static void an_acknowledgement_is_of_its_condition_and_model_alone(void **state)
{
    (void)state;
    static const struct declared_acknowledgement others[] = {
        {.condition = "lic/other", .reference = "C-1"},
        {.condition = "cond", .reference = "C-1"},
        {.condition = "lic/cond", .reference = "C-1", .model = "another"},
        {.condition = "lic/cond", .reference = ""}};
    struct world world;
    research_in_production(&world);
    world.declaration.acknowledge = (struct declared_acknowledgement *)others;
    world.declaration.acknowledge_count = 4;
    assert_int_equal(weigh(&world)->verdict, VERDICT_BREACH);
    assert_string_equal(weigh(&world)->acknowledged, "");
    world_destroy(&world);
}

static void an_obligation_stays_due_when_acknowledged(void **state)
{
    (void)state;
    struct world world;
    struct declared_acknowledgement one = {.condition = "lic/cond", .reference = "C-2026-17"};
    world_init(&world, CONDITION_NOTICE);
    world.declaration.acknowledge = &one;
    world.declaration.acknowledge_count = 1;
    assert_int_equal(weigh(&world)->verdict, VERDICT_OBLIGATION);
    assert_string_equal(weigh(&world)->acknowledged, "");
    world_destroy(&world);
}

static void the_assessment_outlives_the_declaration(void **state)
{
    (void)state;
    struct world world;
    char reference[] = "C-2026-17", condition[] = "lic/cond";
    struct declared_acknowledgement one = {.condition = condition, .reference = reference};
    research_in_production(&world);
    world.declaration.acknowledge = &one;
    world.declaration.acknowledge_count = 1;
    const struct assessed_condition *assessed = weigh(&world);
    memset(reference, 'x', sizeof reference - 1);
    assert_string_equal(assessed->acknowledged, "C-2026-17");
    world_destroy(&world);
}

/* -- Records, doubts, disagreements -- */

static void the_records_remedy_goes_before_the_gates_own(void **state)
{
    (void)state;
    struct world world;
    research_in_production(&world);
    world.condition.remedy = "Write to maker@maker.example.";
    assert_string_equal(weigh(&world)->remedy, "Write to maker@maker.example.");
    world.declaration.production = UNDECLARED; /* nothing to write about yet */
    expect_contains(weigh(&world)->remedy, "Declare operator.production");
    world.declaration.production = world.declaration.commercial = DECLARED_NO;
    assert_string_equal(weigh(&world)->remedy, "");
    world_destroy(&world);
}

static void a_condition_carries_what_the_record_says(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, CONDITION_USE_POLICY);
    const struct assessed_condition *one = weigh(&world);
    assert_string_equal(one->id, "lic/cond");
    assert_string_equal(one->kind, "use_policy");
    assert_string_equal(one->license, "lic");
    assert_string_equal(one->clause, "§2");
    assert_string_equal(one->summary, "It asks something.");
    assert_ptr_equal(one->condition, &world.condition);
    assert_string_equal(world.assessment->model, "served");
    assert_string_equal(world.assessment->license, "lic");
    assert_int_equal(world.assessment->at_unix, NOW);
    world_destroy(&world);
}

static void what_is_not_known_goes_to_review(void **state)
{
    (void)state;
    static const struct recognition_doubt doubts[] = {
        {"text-unknown", "LICENSE is not known.", "Read it."},
        {"text-unknown", "LICENSE-2 is not known.", "Read it too."},
        {"lineage-cycle", "It goes round.", "Cut it."}};
    struct world world;
    world_init(&world, CONDITION_USE_POLICY);
    world.recognition.licenses[0] =
        (struct recognised_license){.declared = "modified-mit", .evidence = "README.md"};
    world.recognition.doubts = doubts;
    world.recognition.doubt_count = 3;
    struct assessment *assessment = weigh_all(&world);
    static const char *const ids[] = {"recognition/text-unknown", "recognition/text-unknown-2",
                                      "recognition/lineage-cycle"};
    assert_int_equal(assessment->condition_count, 3);
    for (uint32_t i = 0; i < 3; i++) {
        assert_string_equal(assessment->conditions[i].id, ids[i]);
        assert_string_equal(assessment->conditions[i].kind, "recognition");
        assert_string_equal(assessment->conditions[i].license, "");
        assert_int_equal(assessment->conditions[i].verdict, VERDICT_REVIEW);
    }
    assert_string_equal(assessment->conditions[1].remedy, "Read it too.");
    assert_string_equal(assessment->license, "unknown");
    assert_int_equal(assessment->osaid, ANSWER_UNKNOWN);
    world_destroy(&world);
}

static void a_licence_without_a_record_is_review_though_nobody_doubts_it(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, CONDITION_USE_POLICY);
    world.recognition.licenses[0] =
        (struct recognised_license){.declared = "modified-mit", .evidence = "README.md"};
    const struct assessment *assessment = weigh_all(&world);
    assert_int_equal(assessment->condition_count, 1);
    assert_string_equal(assessment->conditions[0].id, "recognition/unknown-license");
    expect_contains(assessment->conditions[0].reason, "'modified-mit' is declared (README.md)");
    assert_int_equal(assessment->verdict, VERDICT_REVIEW);
    world_destroy(&world);
}

static void no_licence_at_all_is_review(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, CONDITION_USE_POLICY);
    world.recognition.license_count = 0;
    const struct assessment *assessment = weigh_all(&world);
    assert_int_equal(assessment->condition_count, 1);
    assert_string_equal(assessment->conditions[0].id, "recognition/unknown-license");
    assert_int_equal(assessment->verdict, VERDICT_REVIEW);
    assert_string_equal(assessment->license, "unknown");
    assert_int_equal(assessment->osaid, ANSWER_UNKNOWN);
    assert_int_equal(assessment->ai_act, ANSWER_UNKNOWN);
    world_destroy(&world);
}

static void a_disagreement_is_an_obligation_and_both_bind(void **state)
{
    (void)state;
    static const char *const sentences[] = {"The label says MIT.", "The text says more."};
    struct world world;
    struct license_record other = {.id = "MIT", .osaid = ANSWER_YES, .ai_act = ANSWER_YES};
    struct license_condition transfer = {.id = "transfer", .kind = CONDITION_TRANSFER};
    world_init(&world, CONDITION_USE_POLICY);
    other.conditions = &transfer;
    other.condition_count = 1;
    world.record.conditions = &world.condition;
    world.recognition.licenses[0] = (struct recognised_license){.record = &other};
    world.recognition.licenses[1] =
        (struct recognised_license){.record = &world.record, .base = "maker/Base"};
    world.recognition.licenses[2] = world.recognition.licenses[1]; /* found twice, binds once */
    world.recognition.license_count = 3;
    world.recognition.disagreements = sentences;
    world.recognition.disagreement_count = 2;
    const struct assessment *assessment = weigh_all(&world);
    static const char *const ids[] = {"lic/cond", "lineage/disagreement", "lineage/disagreement-2",
                                      "MIT/transfer"};
    assert_int_equal(assessment->condition_count, 4);
    for (uint32_t i = 0; i < 4; i++)
        assert_string_equal(assessment->conditions[i].id, ids[i]); /* worst first, then in order */
    assert_string_equal(assessment->conditions[1].kind, "lineage");
    assert_string_equal(assessment->conditions[1].reason, "The label says MIT.");
    assert_int_equal(assessment->conditions[2].verdict, VERDICT_OBLIGATION);
    expect_contains(assessment->conditions[0].reason, "Through the base model maker/Base: ");
    assert_string_equal(assessment->license, "MIT AND lic");
    world_destroy(&world);
}

/* -- Open source -- */

static void a_model_is_as_open_as_its_least_open_licence(void **state)
{
    (void)state;
    static const enum license_answer falling[] = {ANSWER_YES, ANSWER_CONDITIONAL, ANSWER_UNKNOWN,
                                                  ANSWER_NO};
    struct world world;
    world_init(&world, CONDITION_USE_POLICY);
    struct license_record other = {.id = "other",
                                   .osaid_reason = "Its reason.",
                                   .ai_act_reason = "Another.",
                                   .ai_act_basis = "para. 83"};
    for (size_t i = 0; i < 4; i++)
        for (size_t j = 0; j < 4; j++) {
            world.record.osaid = world.record.ai_act = falling[i];
            other.osaid = other.ai_act = falling[j];
            world.record.conditions = &world.condition;
            world.recognition.licenses[0].record = &world.record;
            world.recognition.licenses[1].record = &other;
            world.recognition.license_count = 2;
            const struct assessment *assessment = weigh_all(&world);
            assert_int_equal(assessment->osaid, falling[i > j ? i : j]);
            assert_int_equal(assessment->ai_act, falling[i > j ? i : j]);
            expect_contains(assessment->ai_act_reason, "that of the model's provider");
            expect_contains(assessment->ai_act_reason, "para. 59");
            expect_contains(assessment->ai_act_reason, "para. 63");
            if (j > i) {
                assert_string_equal(assessment->osaid_reason, "other: Its reason.");
                assert_string_equal(assessment->ai_act_basis, "para. 83");
                expect_contains(assessment->ai_act_reason, "other: Another. ");
            }
        }
    world.recognition.licenses[0].record = NULL;
    other.osaid = other.ai_act = ANSWER_YES;
    assert_int_equal(weigh_all(&world)->osaid, ANSWER_UNKNOWN);
    other.osaid = ANSWER_NO;
    assert_int_equal(weigh_all(&world)->osaid, ANSWER_NO);
    world_destroy(&world);
}

/* -- Names -- */

static void names_are_the_words_of_the_files(void **state)
{
    (void)state;
    assert_string_equal(verdict_name(VERDICT_MET), "met");
    assert_string_equal(verdict_name(VERDICT_BREACH), "breach");
    assert_string_equal(condition_kind_name(CONDITION_THRESHOLD), "threshold");
    assert_string_equal(condition_kind_name(CONDITION_REGISTRATION), "registration");
    assert_string_equal(condition_kind_name(CONDITION_USE_POLICY), "use_policy");
    assert_string_equal(condition_kind_name(CONDITION_UPDATE), "update");
    assert_string_equal(license_answer_name(ANSWER_CONDITIONAL), "conditional");
    assert_string_equal(license_answer_name(ANSWER_SILENT), "silent");
    assert_string_equal(license_grade_name(GRADE_K), "K");
    assert_string_equal(license_category_name(CATEGORY_USE_RESTRICTED), "use_restricted");
    assert_string_equal(license_category_name(CATEGORY_PROPRIETARY), "proprietary");
    assert_string_equal(threshold_metric_name(METRIC_REVENUE), "revenue");
    assert_string_equal(threshold_window_name(WINDOW_ARR), "arr");
    assert_string_equal(verdict_name((enum verdict)99), "unknown");
    static const int statuses[] = {0, 0, 1, 3, 2};
    for (int verdict = VERDICT_MET; verdict <= VERDICT_BREACH; verdict++)
        assert_int_equal(verdict_exit_status((enum verdict)verdict), statuses[verdict]);
}

/* -- Memory -- */

static void every_allocation_may_fail(void **state)
{
    (void)state;
    struct world world;
    struct license_condition many[40];
    struct license_record *record = &world.record;
    world_init(&world, CONDITION_ATTRIBUTION);
    for (uint32_t i = 0; i < 40; i++)
        many[i] = (struct license_condition){.id = "one",
                                             .kind = (enum condition_kind)(i % 15),
                                             .text = "Built with {model}, said at length: {model}",
                                             .any_of = world.limbs,
                                             .any_of_count = 2};
    record->conditions = many;
    record->condition_count = 40;
    world.recognition.names = world.names;
    world.recognition.licenses[0].record = record;
    unsigned long refusals = 0;
    for (unsigned long n = 1;; n++) {
        struct error err = {.code = 0};
        struct assessment *assessment = NULL;
        unsigned frees = recognition_frees;
        arena_refuse_after(n);
        int result = gate_assess(&world.recognition, &world.declaration, NOW, &assessment, &err);
        if (!arena_refused()) {
            assert_int_equal(result, 0);
            assessment_free(assessment);
            assert_int_equal(recognition_frees, frees + 1);
            break;
        }
        refusals++;
        assert_int_equal(result, ERROR_NO_MEMORY);
        assert_int_equal(err.code, ERROR_NO_MEMORY);
        assert_null(assessment);
        assert_int_equal(recognition_frees, frees + 1); /* taken over, also on failure */
    }
    assert_true(refusals > 5);
    assessment_free(NULL);
}

static void more_conditions_than_memory_is_an_error(void **state)
{
    (void)state;
    struct world world;
    struct assessment *assessment = NULL;
    struct error err = {.code = 0};
    world_init(&world, CONDITION_ATTRIBUTION);
    world.record.conditions = &world.condition;
    world.record.condition_count = 100000000; /* not read: the limit comes first */
    world.recognition.licenses[0].record = &world.record;
    assert_int_equal(gate_assess(&world.recognition, NULL, NOW, &assessment, &err),
                     ERROR_NO_MEMORY);
    assert_null(assessment);
}

static void a_clock_that_is_not_set_makes_no_figure_fresh(void **state)
{
    (void)state;
    struct world world;
    struct assessment *assessment = NULL;
    struct declared_users users = {.month = "2026-10", .users = 1};
    struct error err;
    static const int64_t clocks[] = {0, -1, INT64_MIN, INT64_MAX};
    for (size_t i = 0; i < sizeof clocks / sizeof clocks[0]; i++) {
        world_init(&world, CONDITION_THRESHOLD);
        world.limbs[0] = (struct threshold_limb){.metric = METRIC_MAU, .value = 100};
        world.condition.any_of = world.limbs;
        world.condition.any_of_count = 1;
        world.record.conditions = &world.condition;
        world.recognition.licenses[0].record = &world.record;
        world.declaration.organisation_mau = &users;
        world.declaration.organisation_mau_count = 1;
        assert_int_equal(
            gate_assess(&world.recognition, &world.declaration, clocks[i], &assessment, &err), 0);
        assert_int_equal(assessment->verdict, VERDICT_REVIEW);
        assessment_free(assessment);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_acknowledged_breach_counts_as_watch),
        cmocka_unit_test(an_acknowledgement_is_of_its_condition_and_model_alone),
        cmocka_unit_test(an_obligation_stays_due_when_acknowledged),
        cmocka_unit_test(the_assessment_outlives_the_declaration),
        cmocka_unit_test(the_records_remedy_goes_before_the_gates_own),
        cmocka_unit_test(a_condition_carries_what_the_record_says),
        cmocka_unit_test(what_is_not_known_goes_to_review),
        cmocka_unit_test(a_licence_without_a_record_is_review_though_nobody_doubts_it),
        cmocka_unit_test(no_licence_at_all_is_review),
        cmocka_unit_test(a_disagreement_is_an_obligation_and_both_bind),
        cmocka_unit_test(a_model_is_as_open_as_its_least_open_licence),
        cmocka_unit_test(names_are_the_words_of_the_files),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(more_conditions_than_memory_is_an_error),
        cmocka_unit_test(a_clock_that_is_not_set_makes_no_figure_fresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
