/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "tests/unit/gate/gate_fixture.h"

static char *const eu[] = {"EU"};
static char *const eu_gb_kr[] = {"EU", "UK", "KR"};

/* -- Territory -- */

static void who_is_at_home_in_a_denied_place_may_not(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, CONDITION_TERRITORY);
    world.condition.denied = (char **)eu;
    world.condition.denied_count = 1;
    expect(&world, VERDICT_REVIEW, "not declared: operator.domicile");
    world.declaration.domicile = "de";
    expect(&world, VERDICT_BREACH, "in the EU");
    world.declaration.domicile = "NO";
    expect(&world, VERDICT_MET, "taken to be the domicile");
    world.declaration.principal_place_of_business = "IE";
    expect(&world, VERDICT_BREACH, "operator.principal_place_of_business: IE");
    world.declaration.domicile = "";
    world.declaration.principal_place_of_business = "CH";
    expect(&world, VERDICT_MET, "CH");
    world.declaration.domicile = "EU";
    expect(&world, VERDICT_BREACH, "operator.domicile: EU");
    world.declaration.domicile = "Germany"; /* no code: as if it were not there */
    world.declaration.principal_place_of_business = NULL;
    expect(&world, VERDICT_REVIEW, "not declared");
    world_destroy(&world);
}

static void a_licence_for_nobody_there_asks_of_users_and_machines_too(void **state)
{
    (void)state;
    struct world world;
    char *users[] = {"US", "kr"}, *machines[] = {"US"};
    world_init(&world, CONDITION_TERRITORY);
    world.condition.denied = (char **)eu_gb_kr;
    world.condition.denied_count = 3;
    world.condition.subject = SUBJECT_ANYONE;
    expect(&world, VERDICT_REVIEW, "operator.domicile");
    expect(&world, VERDICT_REVIEW, "operator.user_regions");
    expect(&world, VERDICT_REVIEW, "operator.deployment_regions");
    world.declaration.domicile = "US";
    expect(&world, VERDICT_REVIEW, "EU, UK and KR");
    world.declaration.user_regions = users;
    world.declaration.user_region_count = 2;
    expect(&world, VERDICT_BREACH, "operator.user_regions: kr");
    world.declaration.user_region_count = 1;
    expect(&world, VERDICT_REVIEW, "not declared: operator.deployment_regions");
    world.declaration.deployment_regions = machines;
    world.declaration.deployment_region_count = 1;
    expect(&world, VERDICT_MET, "Neither users");
    machines[0] = "world";
    expect(&world, VERDICT_BREACH, "operator.deployment_regions: world");
    machines[0] = "GB";
    expect(&world, VERDICT_BREACH, "GB");
    machines[0] = "fr";
    expect(&world, VERDICT_BREACH, "in the EU");
    machines[0] = "EU";
    expect(&world, VERDICT_BREACH, "operator.deployment_regions: EU");
    machines[0] = "somewhere";
    expect(&world, VERDICT_REVIEW, "not declared: operator.deployment_regions");
    world.declaration.domicile = "GB";
    expect(&world, VERDICT_BREACH, "operator.domicile: GB");
    world_destroy(&world);
}

static void a_condition_on_multimodal_models_spares_text_models(void **state)
{
    (void)state;
    struct world world;
    char *vision[] = {"*Vision*"}, *text_only[] = {"*Model-7B"};
    world_init(&world, CONDITION_TERRITORY);
    world.condition.denied = (char **)eu;
    world.condition.denied_count = 1;
    world.condition.models = MODELS_MULTIMODAL;
    world.declaration.domicile = "DE";
    expect(&world, VERDICT_REVIEW, "multimodal");
    world.recognition.modality = MODALITY_MULTIMODAL;
    expect(&world, VERDICT_BREACH, "operator.domicile: DE");
    world.recognition.modality = MODALITY_TEXT;
    expect(&world, VERDICT_MET, "text-only model");
    world.recognition.modality = MODALITY_UNKNOWN;
    world.condition.text_only = text_only;
    world.condition.text_only_count = 1;
    expect(&world, VERDICT_MET, "text-only model");
    world.condition.multimodal = vision;
    world.condition.multimodal_count = 1;
    expect(&world, VERDICT_MET, "text-only model");
    vision[0] = "maker/*"; /* both: the condition holds */
    expect(&world, VERDICT_BREACH, "DE");
    world_destroy(&world);
}

/* -- Purpose and business -- */

static void a_purpose_is_kept_only_by_saying_no(void **state)
{
    (void)state;
    static const struct {
        enum condition_purpose purpose;
        enum declared production, commercial;
        enum verdict verdict;
        const char *word;
    } rows[] = {
        {PURPOSE_RESEARCH, UNDECLARED, UNDECLARED, VERDICT_REVIEW, "operator.commercial"},
        {PURPOSE_RESEARCH, DECLARED_NO, UNDECLARED, VERDICT_REVIEW, "operator.commercial"},
        {PURPOSE_RESEARCH, UNDECLARED, DECLARED_NO, VERDICT_REVIEW, "operator.production"},
        {PURPOSE_RESEARCH, DECLARED_NO, DECLARED_NO, VERDICT_MET, "research only"},
        {PURPOSE_RESEARCH, DECLARED_YES, UNDECLARED, VERDICT_BREACH, "operator.production: yes"},
        {PURPOSE_RESEARCH, UNDECLARED, DECLARED_YES, VERDICT_BREACH, "operator.commercial: yes"},
        {PURPOSE_NON_PRODUCTION, UNDECLARED, DECLARED_YES, VERDICT_REVIEW, "operator.production"},
        {PURPOSE_NON_PRODUCTION, DECLARED_YES, DECLARED_NO, VERDICT_BREACH, "production use"},
        {PURPOSE_NON_PRODUCTION, DECLARED_NO, DECLARED_YES, VERDICT_MET, "non-production"},
        {PURPOSE_NON_COMMERCIAL, DECLARED_YES, UNDECLARED, VERDICT_REVIEW, "operator.commercial"},
        {PURPOSE_NON_COMMERCIAL, DECLARED_NO, DECLARED_YES, VERDICT_BREACH, "commercial use"},
        {PURPOSE_NON_COMMERCIAL, DECLARED_YES, DECLARED_NO, VERDICT_MET, "non-commercial"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct world world;
        world_init(&world, CONDITION_PURPOSE);
        world.condition.purpose = rows[i].purpose;
        world.declaration.production = rows[i].production;
        world.declaration.commercial = rows[i].commercial;
        expect(&world, rows[i].verdict, rows[i].word);
        world_destroy(&world);
    }
}

static void a_kind_of_business_is_asked_for(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, CONDITION_BUSINESS);
    world.condition.business = BUSINESS_MODEL_AS_A_SERVICE | BUSINESS_AI_WORK_ASSISTANT;
    world.condition.consequence = CONSEQUENCE_SEPARATE_LICENSE;
    expect(&world, VERDICT_REVIEW, "not declared: operator.business_types");
    world.declaration.business_types = BUSINESS_NONE;
    expect(&world, VERDICT_MET, "model_as_a_service or ai_work_assistant");
    world.declaration.business_types = BUSINESS_IMAGE_GENERATION;
    expect(&world, VERDICT_MET, "operator.business_types");
    world.declaration.business_types |= BUSINESS_AI_WORK_ASSISTANT;
    expect(&world, VERDICT_BREACH, "Your business is ai_work_assistant");
    world.condition.consequence = CONSEQUENCE_NOTIFY;
    expect(&world, VERDICT_OBLIGATION, "told");
    world.condition.exempt = EXEMPT_INTERNAL_USE;
    world.declaration.internal_use = DECLARED_YES;
    expect(&world, VERDICT_MET, "internal use");
    world_destroy(&world);
}

/* -- Duties -- */

static void a_duty_comes_with_its_trigger(void **state)
{
    (void)state;
    static const struct {
        enum condition_trigger trigger;
        enum declared distributes;
        enum verdict verdict;
        const char *word;
    } rows[] = {
        {TRIGGER_ALWAYS, DECLARED_NO, VERDICT_OBLIGATION, "any use"},
        {TRIGGER_SERVING, DECLARED_NO, VERDICT_OBLIGATION, "uses the model"},
        {TRIGGER_NETWORK, DECLARED_NO, VERDICT_OBLIGATION, "over a network"},
        {TRIGGER_DISTRIBUTION, DECLARED_NO, VERDICT_MET, "operator.distributes_weights: no"},
        {TRIGGER_DISTRIBUTION, UNDECLARED, VERDICT_OBLIGATION, "when you pass weights on"},
        {TRIGGER_DISTRIBUTION, DECLARED_YES, VERDICT_OBLIGATION, "when you pass weights on"},
        {TRIGGER_DERIVATIVE, DECLARED_NO, VERDICT_MET, "operator.distributes_weights"},
        {TRIGGER_DERIVATIVE, UNDECLARED, VERDICT_OBLIGATION, "when you pass models"}};
    static const enum condition_kind kinds[] = {CONDITION_ATTRIBUTION, CONDITION_NOTICE,
                                                CONDITION_NAMING, CONDITION_FLOW_DOWN,
                                                CONDITION_COPYLEFT};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
            struct world world;
            world_init(&world, kinds[k]);
            world.condition.trigger = rows[i].trigger;
            world.declaration.distributes_weights = rows[i].distributes;
            expect(&world, rows[i].verdict, rows[i].word);
            world_destroy(&world);
        }
}

static void the_exact_words_are_those_of_the_checkpoint(void **state)
{
    (void)state;
    struct world world;
    struct license_checkpoint checkpoints[] = {{"*Model-70B*", "Big"}, {"*model-7b", "Small"}};
    char *where[] = {"website", "user interface"};
    world_init(&world, CONDITION_ATTRIBUTION);
    world.condition.text = "Built with {model}, or {model}.";
    world.condition.where = where;
    world.condition.where_count = 2;
    expect(&world, VERDICT_OBLIGATION, "any use");
    assert_string_equal(world.assessment->conditions[0].text, "Built with Model-7B, or Model-7B.");
    assert_string_equal(world.assessment->conditions[0].remedy,
                        "Show \"Built with Model-7B, or Model-7B.\" (website or user interface).");
    world.condition.checkpoints = checkpoints;
    world.condition.checkpoint_count = 2;
    expect(&world, VERDICT_OBLIGATION, "any use");
    assert_string_equal(world.assessment->conditions[0].text, "Small");
    world.condition.checkpoint_count = 0;
    world.recognition.name_count = 1; /* no name of its own: as it is served */
    expect(&world, VERDICT_OBLIGATION, "any use");
    expect_contains(world.assessment->conditions[0].text, "Built with served");
    world_destroy(&world);
}

static void registration_is_owed_unless_nothing_is_earned(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, CONDITION_REGISTRATION);
    world.condition.commercial_only = true;
    expect(&world, VERDICT_OBLIGATION, "before the model is used");
    world.declaration.commercial = DECLARED_YES;
    expect(&world, VERDICT_OBLIGATION, "before the model is used");
    world.declaration.commercial = DECLARED_NO;
    expect(&world, VERDICT_MET, "operator.commercial: no");
    world.condition.commercial_only = false;
    expect(&world, VERDICT_OBLIGATION, "before the model is used");
    world_destroy(&world);
}

static void policies_bind_and_endings_are_watched(void **state)
{
    (void)state;
    struct world world;
    struct license_reference policy = {"Use Policy", "https://maker.example/use"};
    world_init(&world, CONDITION_USE_POLICY);
    expect(&world, VERDICT_OBLIGATION, "bars some uses");
    world.record.policies = &policy;
    world.record.policy_count = 1;
    expect(&world, VERDICT_OBLIGATION, "bars some uses");
    expect_contains(world.assessment->conditions[0].remedy, "https://maker.example/use");
    world.condition.kind = CONDITION_TERMINATION;
    expect(&world, VERDICT_WATCH, "end the licence");
    world.condition.kind = CONDITION_UPDATE;
    expect(&world, VERDICT_WATCH, "later version");
    world.condition.kind = CONDITION_TRANSFER;
    expect(&world, VERDICT_WATCH, "operator.change_of_control is not declared");
    world.declaration.change_of_control = DECLARED_NO;
    expect(&world, VERDICT_WATCH, "operator.change_of_control: no");
    world.declaration.change_of_control = DECLARED_YES;
    expect(&world, VERDICT_REVIEW, "operator.change_of_control: yes");
    world_destroy(&world);
}

static void outputs_bind_unless_they_are_free(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, CONDITION_OUTPUTS);
    world.condition.outputs = OUTPUTS_FREE;
    expect(&world, VERDICT_MET, "freely");
    for (int use = OUTPUTS_NO_TRAINING; use <= OUTPUTS_MAKE_DERIVATIVES; use++) {
        world.condition.outputs = (enum outputs_use)use;
        expect(&world, VERDICT_OBLIGATION, "what the model says");
    }
    world_destroy(&world);
}

static void nothing_declared_meets_nothing_that_depends_on_it(void **state)
{
    (void)state;
    struct error err;
    for (int kind = CONDITION_THRESHOLD; kind <= CONDITION_UPDATE; kind++) {
        struct world world;
        struct assessment *assessment = NULL;
        world_init(&world, (enum condition_kind)kind);
        world.condition.any_of = world.limbs;
        world.condition.any_of_count = 1;
        world.condition.commercial_only = true;
        world.condition.business = kind == CONDITION_BUSINESS ? BUSINESS_SOFTWARE_OR_CLOUD : 0;
        world.condition.exempt = EXEMPT_INTERNAL_USE | EXEMPT_NONPROFIT;
        world.condition.denied = (char **)eu;
        world.condition.denied_count = 1;
        world.condition.outputs = OUTPUTS_RESEARCH;
        world.record.conditions = &world.condition;
        world.recognition.names = world.names;
        world.recognition.licenses[0].record = &world.record;
        assert_int_equal(gate_assess(&world.recognition, NULL, NOW, &assessment, &err), 0);
        if (kind <= CONDITION_BUSINESS)
            assert_int_equal(assessment->verdict, VERDICT_REVIEW);
        else
            assert_true(assessment->verdict >= VERDICT_WATCH);
        assessment_free(assessment);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_is_at_home_in_a_denied_place_may_not),
        cmocka_unit_test(a_licence_for_nobody_there_asks_of_users_and_machines_too),
        cmocka_unit_test(a_condition_on_multimodal_models_spares_text_models),
        cmocka_unit_test(a_purpose_is_kept_only_by_saying_no),
        cmocka_unit_test(a_kind_of_business_is_asked_for),
        cmocka_unit_test(a_duty_comes_with_its_trigger),
        cmocka_unit_test(the_exact_words_are_those_of_the_checkpoint),
        cmocka_unit_test(registration_is_owed_unless_nothing_is_earned),
        cmocka_unit_test(policies_bind_and_endings_are_watched),
        cmocka_unit_test(outputs_bind_unless_they_are_free),
        cmocka_unit_test(nothing_declared_meets_nothing_that_depends_on_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
