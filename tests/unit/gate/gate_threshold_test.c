/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "tests/unit/gate/gate_fixture.h"

#define LINE UINT64_C(100000000)

static void one_limb(struct world *world, struct threshold_limb limb)
{
    world_init(world, CONDITION_THRESHOLD);
    world->limbs[0] = limb;
    world->condition.any_of_count = 1;
    world->condition.scope = SCOPE_PRODUCT;
    world->condition.consequence = CONSEQUENCE_NO_RIGHTS;
}

static const struct threshold_limb mau = {
    .metric = METRIC_MAU, .window = WINDOW_MONTH, .value = LINE};
static const struct threshold_limb monthly_usd = {
    .metric = METRIC_REVENUE, .window = WINDOW_MONTH, .value = 20000000};

static void product_users(struct world *world, struct declared_users *users)
{
    world->declaration.product_mau = users;
    world->declaration.product_mau_count = 1;
}

static void a_figure_exactly_at_the_line_is_not_over(void **state)
{
    (void)state;
    struct world world;
    struct declared_users users = {.month = "2026-10", .users = LINE};
    one_limb(&world, mau);
    product_users(&world, &users);
    expect(&world, VERDICT_WATCH, "100,000,000 of 100,000,000 users, 100.00%");
    expect(&world, VERDICT_WATCH, "only more than that crosses it");
    users.users = LINE + 1;
    expect(&world, VERDICT_BREACH, "100,000,001 users, more than 100,000,000");
    users.users = LINE - 1;
    expect(&world, VERDICT_WATCH, "99.99%");
    world_destroy(&world);
}

static void at_least_is_over_at_the_line(void **state)
{
    (void)state;
    struct world world;
    struct threshold_limb limb = monthly_usd;
    struct declared_revenue revenue = {
        .window = WINDOW_MONTH, .value = 20000000, .ended = "2026-10"};
    limb.comparator = COMPARATOR_AT_LEAST;
    one_limb(&world, limb);
    world.declaration.product_revenue = &revenue;
    world.declaration.product_revenue_count = 1;
    expect(&world, VERDICT_BREACH, "US$20,000,000 a month, which reaches US$20,000,000");
    revenue.value--;
    expect(&world, VERDICT_WATCH, "US$19,999,999 of US$20,000,000 a month, 99.99%");
    world_destroy(&world);
}

static void the_share_of_the_line_is_told(void **state)
{
    (void)state;
    struct world world;
    struct declared_users users = {.month = "2026-10", .users = 120000};
    one_limb(&world, mau);
    product_users(&world, &users);
    expect(&world, VERDICT_WATCH,
           "120,000 of 100,000,000 users, 0.12% (operator.product_mau, 2026-10)");
    users.users = 1;
    expect(&world, VERDICT_WATCH, "under 0.01%");
    world_destroy(&world);
}

static void undeclared_is_review_and_names_key_and_figure(void **state)
{
    (void)state;
    struct world world;
    one_limb(&world, mau);
    expect(&world, VERDICT_REVIEW, "not declared: operator.product_mau");
    expect(&world, VERDICT_REVIEW, "month: 2026-09 or later");
    world.condition.scope = SCOPE_ALL_PRODUCTS;
    expect(&world, VERDICT_REVIEW, "not declared: operator.organisation_mau");
    world.limbs[0].metric = METRIC_DAU;
    expect(&world, VERDICT_REVIEW, "operator.organisation_dau (daily users");
    world.condition.scope = SCOPE_PRODUCT;
    expect(&world, VERDICT_REVIEW, "operator.product_dau");
    world.limbs[0] = monthly_usd;
    expect(&world, VERDICT_REVIEW, "operator.product_revenue");
    expect(&world, VERDICT_REVIEW, "period: month, currency: USD, ended: 2026-09 or later");
    world.condition.scope = SCOPE_ALL_PRODUCTS;
    expect(&world, VERDICT_REVIEW, "operator.revenue (revenue of the whole group");
    world_destroy(&world);
}

static void the_newest_month_that_is_not_to_come_counts(void **state)
{
    (void)state;
    struct world world;
    struct declared_users users[] = {{.month = "2026-09", .users = LINE + 1},
                                     {.month = "2026-10", .users = 5},
                                     {.month = "2026-12", .users = LINE + 1}};
    one_limb(&world, mau);
    product_users(&world, users);
    world.declaration.product_mau_count = 3;
    expect(&world, VERDICT_WATCH, "5 of 100,000,000");
    world.declaration.product_mau_count = 1;
    users[0].month = "2026-12";
    expect(&world, VERDICT_REVIEW, "not declared");
    users[0].month = "2026-11"; /* this month, so far */
    expect(&world, VERDICT_BREACH, "2026-11");
    world_destroy(&world);
}

static void an_old_figure_is_silence_unless_it_is_over(void **state)
{
    (void)state;
    struct world world;
    struct declared_users users = {.month = "2026-09", .users = 5};
    one_limb(&world, mau);
    product_users(&world, &users);
    expect(&world, VERDICT_WATCH, "2026-09");
    users.month = "2026-08";
    expect(&world, VERDICT_REVIEW, "the newest declared is of 2026-08");
    users.users = LINE + 1;
    expect(&world, VERDICT_BREACH, "2026-08");
    world_destroy(&world);
}

static void the_preceding_month_is_that_month(void **state)
{
    (void)state;
    struct world world;
    struct declared_revenue revenue = {
        .window = WINDOW_MONTH, .value = 21000000, .ended = "2026-10"};
    one_limb(&world, monthly_usd);
    world.condition.test = TEST_PRECEDING_MONTH;
    world.condition.scope = SCOPE_ALL_PRODUCTS;
    world.declaration.revenue = &revenue;
    world.declaration.revenue_count = 1;
    expect(&world, VERDICT_BREACH, "US$21,000,000 a month, more than US$20,000,000");
    revenue.ended = "2026-09"; /* neither over nor under answers for October */
    expect(&world, VERDICT_REVIEW, "ended: 2026-10 or later");
    revenue.ended = "2026-11";
    revenue.value = 20000000;
    expect(&world, VERDICT_WATCH, "100.00%");
    world_destroy(&world);
}

static void yearly_figures_hold_for_twelve_months(void **state)
{
    (void)state;
    struct world world;
    struct threshold_limb limb = {
        .metric = METRIC_REVENUE, .window = WINDOW_YEAR, .value = 1000000};
    struct declared_revenue revenue = {.window = WINDOW_YEAR, .value = 7, .ended = "2025-11"};
    one_limb(&world, limb);
    world.condition.test = TEST_ANY_TIME;
    world.condition.scope = SCOPE_ALL_PRODUCTS;
    world.declaration.revenue = &revenue;
    world.declaration.revenue_count = 1;
    expect(&world, VERDICT_WATCH, "US$7 of US$1,000,000 a year");
    revenue.ended = "2025-10";
    expect(&world, VERDICT_REVIEW, "ended: 2025-11 or later");
    world_destroy(&world);
}

static void neither_period_nor_currency_answers_for_another(void **state)
{
    (void)state;
    struct world world;
    struct threshold_limb limb = {.metric = METRIC_REVENUE,
                                  .window = WINDOW_YEAR,
                                  .currency = CURRENCY_CNY,
                                  .value = 1000000000};
    struct declared_revenue revenue = {.window = WINDOW_YEAR, .value = 1, .ended = "2026-06"};
    one_limb(&world, limb);
    world.condition.scope = SCOPE_ALL_PRODUCTS;
    world.declaration.revenue = &revenue;
    world.declaration.revenue_count = 1;
    expect(&world, VERDICT_REVIEW, "currency: CNY");
    expect(&world, VERDICT_REVIEW, "a figure in USD does not answer");
    revenue.currency = CURRENCY_CNY;
    expect(&world, VERDICT_WATCH, "CNY 1 of CNY 1,000,000,000 a year");
    revenue.window = WINDOW_TRAILING_12_MONTHS;
    expect(&world, VERDICT_REVIEW, "period: year");
    world_destroy(&world);
}

static void any_limb_over_decides_whatever_is_undeclared(void **state)
{
    (void)state;
    struct world world;
    struct declared_users users = {.month = "2026-10", .users = 1000000};
    struct declared_revenue revenue = {
        .window = WINDOW_MONTH, .value = 25000000, .ended = "2026-10"};
    one_limb(&world, mau);
    world.limbs[1] = monthly_usd;
    world.condition.any_of_count = 2;
    world.condition.consequence = CONSEQUENCE_ATTRIBUTE;
    world.condition.text = "Kimi K2.5";
    world.declaration.product_revenue = &revenue;
    world.declaration.product_revenue_count = 1;
    expect(&world, VERDICT_OBLIGATION, "US$25,000,000 a month, more than US$20,000,000");
    assert_string_equal(world.assessment->conditions[0].text, "Kimi K2.5");
    expect_contains(world.assessment->conditions[0].remedy, "\"Kimi K2.5\"");
    revenue.value = 1;
    expect(&world, VERDICT_REVIEW, "not declared: operator.product_mau");
    product_users(&world, &users);
    expect(&world, VERDICT_WATCH, "1,000,000 of 100,000,000 users, 1.00%");
    assert_string_equal(world.assessment->conditions[0].text, "");
    users.users = 120000000;
    expect(&world, VERDICT_OBLIGATION, "120,000,000 users, more than 100,000,000");
    world_destroy(&world);
}

static void product_figures_are_of_this_model_or_of_all(void **state)
{
    (void)state;
    struct world world;
    struct declared_users users[] = {{.month = "2026-10", .users = 7, .model = "other"},
                                     {.month = "2026-10", .users = 8, .model = "served"},
                                     {.month = "2026-10", .users = 9, .model = ""}};
    one_limb(&world, mau);
    product_users(&world, users);
    expect(&world, VERDICT_REVIEW, "not declared");
    world.declaration.product_mau_count = 3;
    expect(&world, VERDICT_WATCH, "8 of 100,000,000");
    world.declaration.product_mau = users + 2;
    world.declaration.product_mau_count = 1;
    expect(&world, VERDICT_WATCH, "9 of 100,000,000");
    world_destroy(&world);
}

static void commercial_only_asks_who_uses_it_commercially(void **state)
{
    (void)state;
    struct world world;
    struct declared_users users = {.month = "2026-10", .users = LINE + 1};
    one_limb(&world, mau);
    world.condition.commercial_only = true;
    expect(&world, VERDICT_REVIEW, "operator.commercial");
    product_users(&world, &users);
    expect(&world, VERDICT_REVIEW, "not declared: operator.commercial");
    world.declaration.commercial = DECLARED_YES;
    expect(&world, VERDICT_BREACH, "more than");
    world.declaration.commercial = DECLARED_NO;
    expect(&world, VERDICT_MET, "operator.commercial: no");
    world.declaration.commercial = UNDECLARED;
    users.users = 3;
    expect(&world, VERDICT_WATCH, "3 of 100,000,000");
    world_destroy(&world);
}

static void a_line_for_some_businesses_asks_for_the_business(void **state)
{
    (void)state;
    struct world world;
    struct declared_revenue revenue = {
        .window = WINDOW_TRAILING_12_MONTHS, .value = 20000001, .ended = "2026-10"};
    struct threshold_limb limb = {
        .metric = METRIC_REVENUE, .window = WINDOW_TRAILING_12_MONTHS, .value = 20000000};
    one_limb(&world, limb);
    world.condition.business = BUSINESS_MODEL_AS_A_SERVICE;
    world.condition.scope = SCOPE_ALL_PRODUCTS;
    world.condition.consequence = CONSEQUENCE_SEPARATE_LICENSE;
    world.condition.exempt = EXEMPT_INTERNAL_USE | EXEMPT_NONPROFIT;
    world.declaration.revenue = &revenue;
    world.declaration.revenue_count = 1;
    expect(&world, VERDICT_REVIEW, "not declared: operator.business_types");
    world.declaration.business_types = BUSINESS_NONE;
    expect(&world, VERDICT_MET, "operator.business_types");
    world.declaration.business_types = BUSINESS_SOFTWARE_OR_CLOUD;
    expect(&world, VERDICT_MET, "model_as_a_service");
    world.declaration.business_types = BUSINESS_SOFTWARE_OR_CLOUD | BUSINESS_MODEL_AS_A_SERVICE;
    expect(&world, VERDICT_BREACH, "US$20,000,001 in 12 months on end");
    world.declaration.internal_use = DECLARED_YES;
    expect(&world, VERDICT_MET, "operator.internal_use");
    world.declaration.internal_use = DECLARED_NO;
    world.declaration.nonprofit = DECLARED_YES;
    expect(&world, VERDICT_MET, "operator.nonprofit");
    world.condition.exempt = 0;
    expect(&world, VERDICT_BREACH, "US$20,000,001");
    world_destroy(&world);
}

static void each_consequence_is_a_breach_but_naming_and_telling(void **state)
{
    (void)state;
    static const struct {
        enum threshold_consequence consequence;
        enum verdict verdict;
        const char *word;
    } rows[] = {{CONSEQUENCE_NO_RIGHTS, VERDICT_BREACH, "grants nothing until Maker"},
                {CONSEQUENCE_SEPARATE_LICENSE, VERDICT_BREACH, "separate licence from Maker"},
                {CONSEQUENCE_TERMINATE, VERDICT_BREACH, "ends"},
                {CONSEQUENCE_SECURITY_REVIEW, VERDICT_BREACH, "Maker's security review"},
                {CONSEQUENCE_ROYALTY, VERDICT_BREACH, "royalty"},
                {CONSEQUENCE_ATTRIBUTE, VERDICT_OBLIGATION, "show"},
                {CONSEQUENCE_NOTIFY, VERDICT_OBLIGATION, "told"}};
    struct declared_users users = {.month = "2026-10", .users = LINE + 1};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct world world;
        one_limb(&world, mau);
        product_users(&world, &users);
        world.condition.consequence = rows[i].consequence;
        expect(&world, rows[i].verdict, rows[i].word);
        if (rows[i].verdict == VERDICT_BREACH)
            expect_contains(world.assessment->conditions[0].remedy, "lic/cond");
        world_destroy(&world);
    }
}

static void our_own_count_is_only_a_lower_bound_of_the_organisations(void **state)
{
    (void)state;
    struct world world;
    struct declared_users users = {.month = "2026-10", .users = 5};
    one_limb(&world, mau);
    world.condition.scope = SCOPE_ALL_PRODUCTS;
    expect(&world, VERDICT_REVIEW, "only a lower bound");
    world.declaration.organisation_mau = &users;
    world.declaration.organisation_mau_count = 1;
    expect(&world, VERDICT_WATCH, "only a lower bound");
    world_destroy(&world);
}

/* -- A release date -- */

static void llama(struct world *world)
{
    one_limb(world, mau);
    world->limbs[0].value = 700000000;
    world->condition.test = TEST_RELEASE_DATE;
    world->condition.release_date = "2025-04-05";
    world->condition.test_month = "2025-03";
    world->condition.entity = ENTITY_AFFILIATES;
    world->condition.scope = SCOPE_ALL_PRODUCTS;
}

static void a_release_date_asks_its_question_once(void **state)
{
    (void)state;
    struct world world;
    llama(&world);
    expect(&world, VERDICT_REVIEW,
           "not declared: did the group exceed 700,000,000 monthly users in 2025-03?");
    expect(&world, VERDICT_REVIEW, "operator.answers");
    expect(&world, VERDICT_REVIEW, "operator.organisation_mau for 2025-03");
    world_destroy(&world);
}

static void the_test_months_figure_answers_a_release_date(void **state)
{
    (void)state;
    struct world world;
    struct declared_users users = {.month = "2025-03", .users = 700000000};
    llama(&world);
    world.declaration.organisation_mau = &users;
    world.declaration.organisation_mau_count = 1;
    expect_readings(&world, VERDICT_MET, VERDICT_WATCH, "no current figure is declared");
    users.users++;
    expect(&world, VERDICT_BREACH, "700,000,001 users, more than 700,000,000");
    users.month = "2025-02"; /* another month answers nothing */
    expect(&world, VERDICT_REVIEW, "not declared");
    users.month = "2026-10";
    expect(&world, VERDICT_REVIEW, "not declared");
    world_destroy(&world);
}

static void an_answer_answers_a_release_date(void **state)
{
    (void)state;
    struct world world;
    struct declared_answer answer = {
        .above = 700000000, .month = "2025-03", .exceeded = DECLARED_NO};
    llama(&world);
    world.declaration.answers = &answer;
    world.declaration.answer_count = 1;
    expect_readings(&world, VERDICT_MET, VERDICT_WATCH, "did not exceed 700,000,000 monthly users");
    answer.exceeded = DECLARED_YES;
    expect(&world, VERDICT_BREACH, "by your answer");
    answer.month = "2025-02";
    expect(&world, VERDICT_REVIEW, "not declared");
    answer.month = "2025-03";
    answer.metric = METRIC_DAU;
    expect(&world, VERDICT_REVIEW, "not declared");
    world_destroy(&world);
}

static void an_answer_about_another_line_counts_where_it_must(void **state)
{
    (void)state;
    struct world world;
    struct declared_answer answer = {
        .above = 100000000, .month = "2025-03", .exceeded = DECLARED_NO};
    llama(&world);
    world.declaration.answers = &answer;
    world.declaration.answer_count = 1;
    expect_readings(&world, VERDICT_MET, VERDICT_WATCH, "not touched");
    answer.exceeded = DECLARED_YES; /* over 100M may be over 700M, or not */
    expect(&world, VERDICT_REVIEW, "not declared");
    answer.above = 800000000;
    expect(&world, VERDICT_BREACH, "by your answer");
    answer.exceeded = DECLARED_NO;
    expect(&world, VERDICT_REVIEW, "not declared");
    world_destroy(&world);
}

static void caution_watches_a_release_date_as_a_running_line(void **state)
{
    (void)state;
    struct world world;
    struct declared_users users[] = {{.month = "2025-03", .users = 1},
                                     {.month = "2026-10", .users = 700000000}};
    llama(&world);
    world.declaration.organisation_mau = users;
    world.declaration.organisation_mau_count = 2;
    expect_readings(&world, VERDICT_MET, VERDICT_WATCH,
                    "As a line that goes on: 700,000,000 of 700,000,000 users, 100.00%");
    users[1].users++;
    expect_readings(&world, VERDICT_MET, VERDICT_REVIEW,
                    "The conservative reading asks you to seek the licence");
    assert_int_equal(world.assessment->verdict, VERDICT_REVIEW);
    world.declaration.interpretation = INTERPRETATION_LITERAL;
    expect_readings(&world, VERDICT_MET, VERDICT_REVIEW, "On the letter this version is not");
    assert_int_equal(world.assessment->verdict, VERDICT_MET);
    assert_int_equal(world.assessment->literal, VERDICT_MET);
    assert_int_equal(world.assessment->conservative, VERDICT_REVIEW);
    users[1].users = 5;
    users[1].month = "2026-08";
    expect_readings(&world, VERDICT_MET, VERDICT_WATCH,
                    "no current figure is declared, the newest");
    world_destroy(&world);
}

static void a_licensee_alone_is_asked_for_itself(void **state)
{
    (void)state;
    struct world world;
    llama(&world);
    world.condition.entity = ENTITY_LICENSEE;
    expect(&world, VERDICT_REVIEW, "did the licensee exceed 700,000,000 monthly users in 2025-03?");
    world_destroy(&world);
}

static void a_line_without_a_figure_is_review(void **state)
{
    (void)state;
    struct world world;
    one_limb(&world, mau);
    world.condition.any_of_count = 0;
    expect(&world, VERDICT_REVIEW, "no figure");
    world_destroy(&world);
    llama(&world);
    world.condition.test_month = "";
    expect(&world, VERDICT_REVIEW, "not declared");
    world_destroy(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_figure_exactly_at_the_line_is_not_over),
        cmocka_unit_test(at_least_is_over_at_the_line),
        cmocka_unit_test(the_share_of_the_line_is_told),
        cmocka_unit_test(undeclared_is_review_and_names_key_and_figure),
        cmocka_unit_test(the_newest_month_that_is_not_to_come_counts),
        cmocka_unit_test(an_old_figure_is_silence_unless_it_is_over),
        cmocka_unit_test(the_preceding_month_is_that_month),
        cmocka_unit_test(yearly_figures_hold_for_twelve_months),
        cmocka_unit_test(neither_period_nor_currency_answers_for_another),
        cmocka_unit_test(any_limb_over_decides_whatever_is_undeclared),
        cmocka_unit_test(product_figures_are_of_this_model_or_of_all),
        cmocka_unit_test(commercial_only_asks_who_uses_it_commercially),
        cmocka_unit_test(a_line_for_some_businesses_asks_for_the_business),
        cmocka_unit_test(each_consequence_is_a_breach_but_naming_and_telling),
        cmocka_unit_test(our_own_count_is_only_a_lower_bound_of_the_organisations),
        cmocka_unit_test(a_release_date_asks_its_question_once),
        cmocka_unit_test(the_test_months_figure_answers_a_release_date),
        cmocka_unit_test(an_answer_answers_a_release_date),
        cmocka_unit_test(an_answer_about_another_line_counts_where_it_must),
        cmocka_unit_test(caution_watches_a_release_date_as_a_running_line),
        cmocka_unit_test(a_licensee_alone_is_asked_for_itself),
        cmocka_unit_test(a_line_without_a_figure_is_review),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
