/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "policy/alerts/lines.h"
#include "policy/license/assessment.h"

#define OCTOBER (2026 * 12 + 9)

struct clause { /* one condition of one licence */
    struct threshold_limb limbs[4];
    struct license_condition condition;
    struct assessed_condition assessed;
    struct assessment assessment;
    struct declaration declaration;
};

static struct line_source source_of(struct clause *clause, const char *product)
{
    clause->condition.any_of = clause->limbs;
    clause->assessed = (struct assessed_condition){.id = "acme-1/size",
                                                   .license = "acme-1",
                                                   .condition = &clause->condition,
                                                   .literal = VERDICT_MET,
                                                   .conservative = VERDICT_WATCH};
    clause->assessment =
        (struct assessment){.model = "q", .conditions = &clause->assessed, .condition_count = 1};
    return (struct line_source){.assessment = &clause->assessment,
                                .declaration = &clause->declaration,
                                .product = product,
                                .month = OCTOBER};
}

static uint32_t lines_at(struct clause *clause, const char *product, struct line *ret,
                         uint32_t capacity)
{
    const struct line_source source = source_of(clause, product);
    return lines_of(&source, ret, capacity);
}

static struct threshold_limb limb(enum threshold_metric metric, uint64_t value)
{
    return (struct threshold_limb){.metric = metric, .value = value};
}

static void money_is_no_line_and_of_two_the_lower_counts(void **state)
{
    (void)state;
    struct line lines[4];
    struct clause clause = {.limbs = {limb(METRIC_REVENUE, 5), limb(METRIC_MAU, 300),
                                      limb(METRIC_MUU, 200), limb(METRIC_MAU, 400)},
                            .condition = {.any_of_count = 4, .scope = SCOPE_ALL_PRODUCTS}};
    assert_int_equal(lines_at(&clause, "", lines, 4), 1);
    assert_true(lines[0].threshold == 200 && !lines[0].daily && !lines[0].beside);
    assert_int_equal(lines[0].scope, LINE_ORGANISATION);
    clause.condition.any_of_count = 1;
    assert_int_equal(lines_at(&clause, "", lines, 4), 0);
}

static void days_and_months_of_a_condition_have_names_of_their_own(void **state)
{
    (void)state;
    struct line lines[4];
    char name[LINE_SCOPE_BYTES], key[LINE_SCOPE_BYTES];
    struct clause clause = {.limbs = {limb(METRIC_MAU, 300), limb(METRIC_DAU, 20)},
                            .condition = {.any_of_count = 2, .scope = SCOPE_PRODUCT}};
    assert_int_equal(lines_at(&clause, "", lines, 4), 2);
    line_scope_name(&lines[0], name);
    assert_string_equal(name, "q");
    line_scope_name(&lines[1], name);
    line_scope_key(&lines[1], key);
    assert_string_equal(name, "q a day");
    assert_string_equal(key, "model/q"); /* the same users */
    assert_false(line_same(&lines[0], &lines[1]));
    assert_int_equal(lines_at(&clause, "chat", lines, 1), 1); /* no more room */
    line_scope_key(&lines[0], key);
    assert_string_equal(key, "product/chat");
}

static void what_binds_nobody_is_no_line(void **state)
{
    (void)state;
    struct line lines[4];
    struct clause clause = {.limbs = {limb(METRIC_MAU, 300)},
                            .condition = {.any_of_count = 1, .scope = SCOPE_PRODUCT}};
    const struct line_source source = source_of(&clause, "");
    clause.assessed.conservative = VERDICT_MET;
    assert_int_equal(lines_of(&source, lines, 4), 0);
    clause.assessed.literal = VERDICT_REVIEW;
    assert_int_equal(lines_of(&source, lines, 4), 1);
    clause.assessed.condition = NULL; /* a doubt */
    assert_int_equal(lines_of(&source, lines, 4), 0);
}

static void the_newest_declared_figure_that_is_the_models_counts(void **state)
{
    (void)state;
    struct line lines[4];
    struct declared_users figures[] = {
        {.month = (char *)"2026-09", .users = 10},
        {.month = (char *)"2026-10", .users = 20, .model = (char *)"q"},
        {.month = (char *)"2026-10", .users = 30},
        {.month = (char *)"2026-10", .users = 40, .model = (char *)"r"},
        {.month = (char *)"2026-11", .users = 50}};
    struct clause clause = {.limbs = {limb(METRIC_MAU, 300)},
                            .condition = {.any_of_count = 1, .scope = SCOPE_PRODUCT},
                            .declaration = {.product_mau = figures, .product_mau_count = 5}};
    assert_int_equal(lines_at(&clause, "", lines, 4), 1);
    assert_true(lines[0].declared == 20);
    clause.declaration.product_mau_count = 1;
    assert_int_equal(lines_at(&clause, "", lines, 4), 1);
    assert_true(lines[0].declared == 10);
    clause.condition.scope = SCOPE_ALL_PRODUCTS; /* which is another figure */
    assert_int_equal(lines_at(&clause, "", lines, 4), 1);
    assert_true(lines[0].declared == 0);
}

static void users_outside_are_added_above_and_floor_what_is_below(void **state)
{
    (void)state;
    struct line lines[4];
    struct declared_users outside[] = {
        {.month = (char *)"2026-09", .users = 70, .product = (char *)"chat"},
        {.month = (char *)"2026-10", .users = 50, .product = (char *)"chat"},
        {.month = (char *)"2026-10", .users = 30, .product = (char *)"shop"},
        {.month = (char *)"2026-11", .users = 999, .product = (char *)"shop"},
        {.month = (char *)"2026-08", .users = 60}};
    struct clause clause = {.limbs = {limb(METRIC_MAU, 300), limb(METRIC_DAU, 200)},
                            .condition = {.any_of_count = 2, .scope = SCOPE_PRODUCT},
                            .declaration = {.outside_mau = outside, .outside_mau_count = 4}};
    assert_int_equal(lines_at(&clause, "chat", lines, 4), 2);
    assert_true(line_upper(&lines[0], 20) == 70 && line_lower(&lines[0], 20) == 50);
    assert_true(line_lower(&lines[0], 55) == 55);
    assert_true(line_upper(&lines[1], 20) == 20 && line_lower(&lines[1], 5) == 5); /* of a day */
    assert_int_equal(lines_at(&clause, "", lines, 4), 2);
    assert_true(lines[0].outside == 0); /* a product without a name is none of these */
    clause.condition.scope = SCOPE_ALL_PRODUCTS;
    assert_int_equal(lines_at(&clause, "chat", lines, 4), 2);
    assert_true(line_upper(&lines[0], 20) == 100 && line_lower(&lines[0], 20) == 50);
    clause.declaration.outside_mau_count = 5; /* somebody speaks for all */
    assert_int_equal(lines_at(&clause, "chat", lines, 4), 2);
    assert_true(line_upper(&lines[0], 20) == 80 && line_lower(&lines[0], 20) == 60);
    struct declared_users all = {.month = (char *)"2026-10", .users = 500};
    clause.declaration.organisation_mau = &all; /* another count of the same people */
    clause.declaration.organisation_mau_count = 1;
    assert_int_equal(lines_at(&clause, "chat", lines, 4), 2);
    assert_true(line_upper(&lines[0], 20) == 500 && line_upper(&lines[0], 480) == 540);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(money_is_no_line_and_of_two_the_lower_counts),
        cmocka_unit_test(days_and_months_of_a_condition_have_names_of_their_own),
        cmocka_unit_test(what_binds_nobody_is_no_line),
        cmocka_unit_test(the_newest_declared_figure_that_is_the_models_counts),
        cmocka_unit_test(users_outside_are_added_above_and_floor_what_is_below),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
