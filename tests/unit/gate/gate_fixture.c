/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "tests/unit/gate/gate_fixture.h"

void world_init(struct world *world, enum condition_kind kind)
{
    *world = (struct world){
        .condition = {.id = "cond", .kind = kind, .clause = "§2", .summary = "It asks something."},
        .record = {.id = "lic",
                   .name = "A licence",
                   .publisher = "Maker",
                   .condition_count = 1,
                   .osaid = ANSWER_NO,
                   .ai_act = ANSWER_CONDITIONAL},
        .names = {"served", "maker/Model-7B", "model.gguf"},
        .recognition = {.model = "served", .name_count = 3, .license_count = 1}};
}

void world_destroy(struct world *world)
{
    assessment_free(world->assessment);
    world->assessment = NULL;
}

struct assessment *weigh_all(struct world *world)
{
    struct error err = {.code = 0};
    world_destroy(world);
    world->condition.any_of = world->limbs;
    if (world->record.conditions == NULL)
        world->record.conditions = &world->condition;
    world->recognition.names = world->names;
    if (world->recognition.license_count == 1 && world->recognition.licenses[0].declared == NULL)
        world->recognition.licenses[0] =
            (struct recognised_license){.record = &world->record, .declared = "lic"};
    assert_int_equal(
        gate_assess(&world->recognition, &world->declaration, NOW, &world->assessment, &err), 0);
    return world->assessment;
}

const struct assessed_condition *weigh(struct world *world)
{
    struct assessment *assessment = weigh_all(world);
    assert_int_equal(assessment->condition_count, 1);
    return &assessment->conditions[0];
}

void expect_contains(const char *text, const char *word)
{
    if (strstr(text, word) == NULL)
        fail_msg("'%s' is not in: %s", word, text);
}

void expect_readings(struct world *world, enum verdict literal, enum verdict conservative,
                     const char *word)
{
    const struct assessed_condition *one = weigh(world);
    if (one->literal != literal || one->conservative != conservative)
        fail_msg("literal %s, conservative %s: %s", verdict_name(one->literal),
                 verdict_name(one->conservative), one->reason);
    expect_contains(one->reason, word);
    if (one->verdict > VERDICT_WATCH && one->remedy[0] == '\0')
        fail_msg("no remedy for: %s", one->reason);
}

void expect(struct world *world, enum verdict verdict, const char *word)
{
    expect_readings(world, verdict, verdict, word);
    assert_int_equal(world->assessment->conditions[0].verdict, verdict);
    assert_int_equal(world->assessment->verdict, verdict);
}
