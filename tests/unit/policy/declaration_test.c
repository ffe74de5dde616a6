/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "policy/license/declaration.h"

/* -- Loading, by libcyaml alone: its messages are base/schema.h's affair -- */

static const cyaml_config_t quiet = {
    .log_fn = NULL, .mem_fn = cyaml_mem, .log_level = CYAML_LOG_ERROR};

static cyaml_schema_value_t root_of(void)
{
    return (cyaml_schema_value_t){.type = CYAML_MAPPING,
                                  .flags = CYAML_FLAG_POINTER,
                                  .data_size = sizeof(struct declaration),
                                  .mapping = {.fields = declaration_fields()}};
}

static struct declaration *load(const char *yaml)
{
    cyaml_schema_value_t root = root_of();
    struct declaration *declaration = NULL;
    cyaml_err_t result = cyaml_load_data((const uint8_t *)yaml, strlen(yaml), &quiet, &root,
                                         (cyaml_data_t **)&declaration, NULL);
    if (result != CYAML_OK)
        fail_msg("%s: %s", cyaml_strerror(result), yaml);
    return declaration;
}

static void unload(struct declaration *declaration)
{
    cyaml_schema_value_t root = root_of();
    assert_int_equal(cyaml_free(&quiet, &root, declaration, 0), CYAML_OK);
}

static void expect_not_loaded(const char *yaml)
{
    cyaml_schema_value_t root = root_of();
    struct declaration *declaration = NULL;
    cyaml_err_t result = cyaml_load_data((const uint8_t *)yaml, strlen(yaml), &quiet, &root,
                                         (cyaml_data_t **)&declaration, NULL);
    if (result == CYAML_OK)
        fail_msg("loaded: %s", yaml);
}

static void what_is_left_out_is_undeclared(void **state)
{
    (void)state;
    struct declaration *declaration = load("name: Us\n");
    char path[64];
    assert_string_equal(declaration->name, "Us");
    assert_int_equal(declaration->production, UNDECLARED);
    assert_int_equal(declaration->distributes_weights, UNDECLARED);
    assert_int_equal(declaration->business_types, 0);
    assert_int_equal(declaration->organisation_mau_count, 0);
    assert_int_equal(declaration->acknowledge_count, 0);
    assert_int_equal(declaration->interpretation, INTERPRETATION_CONSERVATIVE);
    assert_int_equal(declaration_check(declaration, path, sizeof path, NULL), 0);
    unload(declaration);
}

static void a_declaration_says_yes_or_no_in_yamls_words(void **state)
{
    (void)state;
    struct declaration *declaration =
        load("production: yes\ncommercial: True\nnonprofit: no\ninternal_use: FALSE\n"
             "distributes_weights: undeclared\ninterpretation: literal\n");
    assert_int_equal(declaration->production, DECLARED_YES);
    assert_int_equal(declaration->commercial, DECLARED_YES);
    assert_int_equal(declaration->nonprofit, DECLARED_NO);
    assert_int_equal(declaration->internal_use, DECLARED_NO);
    assert_int_equal(declaration->distributes_weights, UNDECLARED);
    assert_int_equal(declaration->change_of_control, UNDECLARED);
    assert_int_equal(declaration->interpretation, INTERPRETATION_LITERAL);
    unload(declaration);
    expect_not_loaded("production: maybe\n");
    expect_not_loaded("production: 1\n");
    expect_not_loaded("interpretation: lenient\n");
    expect_not_loaded("commercially: yes\n");
}

static void every_list_is_read(void **state)
{
    (void)state;
    struct declaration *declaration = load(
        "domicile: NO\nprincipal_place_of_business: us\n"
        "business_types: [model_as_a_service, image_generation]\n"
        "user_regions: [EU, NO, world]\ndeployment_regions: [DE]\n"
        "organisation_mau:\n  - {month: 2026-10, users: 120000, signer: CFO}\n"
        "organisation_dau: [{month: 2026-10, users: 1}]\n"
        "product_mau: [{month: 2026-10, users: 700000001, model: m}]\n"
        "product_dau: [{month: 2026-10, users: 2}]\n"
        "revenue:\n"
        "  - {period: trailing_12_months, currency: CNY, value: 1000000001, ended: 2026-09}\n"
        "product_revenue:\n"
        "  - {period: arr, currency: usd, value: 30000000, ended: 2026-10, model: m, signer: x}\n"
        "answers: [{metric: mau, above: 700000000, month: 2025-03, exceeded: no, signer: y}]\n"
        "acknowledge: [{condition: mrl-0.1/research-only, reference: C-17, model: m}]\n");
    char path[64];
    assert_int_equal(declaration_check(declaration, path, sizeof path, NULL), 0);
    assert_string_equal(declaration->domicile, "NO"); /* Norway, and no "no" */
    assert_int_equal(declaration->business_types,
                     BUSINESS_MODEL_AS_A_SERVICE | BUSINESS_IMAGE_GENERATION);
    assert_int_equal(declaration->user_region_count, 3);
    assert_string_equal(declaration->user_regions[1], "NO");
    assert_int_equal(declaration->organisation_mau[0].users, 120000);
    assert_string_equal(declaration->organisation_mau[0].signer, "CFO");
    assert_int_equal(declaration->product_mau[0].users, 700000001);
    assert_string_equal(declaration->product_mau[0].model, "m");
    assert_int_equal(declaration->revenue[0].window, WINDOW_TRAILING_12_MONTHS);
    assert_int_equal(declaration->revenue[0].currency, CURRENCY_CNY);
    assert_int_equal(declaration->revenue[0].value, 1000000001);
    assert_int_equal(declaration->product_revenue[0].window, WINDOW_ARR);
    assert_int_equal(declaration->product_revenue[0].currency, CURRENCY_USD);
    assert_int_equal(declaration->answers[0].exceeded, DECLARED_NO);
    assert_int_equal(declaration->answers[0].above, 700000000);
    assert_string_equal(declaration->acknowledge[0].reference, "C-17");
    unload(declaration);
}

static void what_gives_a_figure_its_meaning_is_required(void **state)
{
    (void)state;
    expect_not_loaded("organisation_mau: [{users: 1}]\n");
    expect_not_loaded("organisation_mau: [{month: 2026-10}]\n");
    expect_not_loaded("organisation_mau: [{month: 2026-10, users: 1, model: m}]\n");
    expect_not_loaded("organisation_mau: [{month: 2026-10, users: many}]\n");
    expect_not_loaded("revenue: [{currency: USD, value: 1, ended: 2026-10}]\n");
    expect_not_loaded("revenue: [{period: month, value: 1, ended: 2026-10}]\n");
    expect_not_loaded("revenue: [{period: month, currency: EUR, value: 1, ended: 2026-10}]\n");
    expect_not_loaded("revenue: [{period: day, currency: USD, value: 1, ended: 2026-10}]\n");
    expect_not_loaded("answers: [{metric: mau, above: 1, month: 2026-10}]\n");
    expect_not_loaded("answers: [{metric: mau, above: 1, month: 2026-10, exceeded: undeclared}]\n");
    expect_not_loaded("acknowledge: [{condition: a/b}]\n");
    expect_not_loaded("business_types: [bakery]\n");
}

/* -- The check -- */

static void expect_fault(const char *yaml, const char *path, const char *word)
{
    struct declaration *declaration = load(yaml);
    struct error err = {.code = 0};
    char found[64] = "";
    int result = declaration_check(declaration, found, sizeof found, &err);
    if (result != ERROR_INVALID || strcmp(found, path) != 0 || strstr(err.text, word) == NULL)
        fail_msg("%s: %d, '%s': %s", yaml, result, found, err.text);
    unload(declaration);
}

static void a_fault_is_told_by_its_key(void **state)
{
    (void)state;
    expect_fault("domicile: Germany\n", "domicile", "got 'Germany'");
    expect_fault("domicile: world\n", "domicile", "got 'world'");
    expect_fault("principal_place_of_business: EN\n", "principal_place_of_business", "such as DE");
    expect_fault("user_regions: [DE, Mars]\n", "user_regions[1]", "or EU, or world, got 'Mars'");
    expect_fault("deployment_regions: ['']\n", "deployment_regions[0]", "ISO 3166-1");
    expect_fault("business_types: [none, image_generation]\n", "business_types", "'none'");
    expect_fault("organisation_mau: [{month: 2026-13, users: 1}]\n", "organisation_mau[0].month",
                 "such as 2026-10");
    expect_fault("product_dau: [{month: 2026-10, users: 1}, {month: October, users: 1}]\n",
                 "product_dau[1].month", "got 'October'");
    expect_fault("revenue: [{period: year, currency: USD, value: 1, ended: '2025'}]\n",
                 "revenue[0].ended", "got '2025'");
    expect_fault("answers: [{metric: mau, above: 1, month: March, exceeded: no}]\n",
                 "answers[0].month", "got 'March'");
    expect_fault("acknowledge: [{condition: a/b, reference: ' '}]\n", "acknowledge[0].reference",
                 "contract");
    expect_fault("acknowledge: [{condition: a/, reference: C-1}]\n", "acknowledge[0].condition",
                 "LICENSE/CONDITION");
    expect_fault("acknowledge: [{condition: research, reference: C-1}]\n",
                 "acknowledge[0].condition", "got 'research'");
}

static void a_figure_beyond_reason_is_a_slip(void **state)
{
    (void)state;
    expect_fault("product_mau: [{month: 2026-10, users: 100000000001}]\n", "product_mau[0].users",
                 "from 0 to 100000000000");
    expect_fault("revenue: [{period: month, currency: USD, value: 1000000000000001, "
                 "ended: 2026-10}]\n",
                 "revenue[0].value", "from 0 to 1000000000000000");
    struct declared_users minus = {.month = "2026-10", .users = (uint64_t)-5};
    struct declaration declaration = {.organisation_dau = &minus, .organisation_dau_count = 1};
    char path[64];
    assert_int_equal(declaration_check(&declaration, path, sizeof path, NULL), ERROR_INVALID);
    assert_string_equal(path, "organisation_dau[0].users");
}

static void one_month_has_one_figure(void **state)
{
    (void)state;
    expect_fault("product_mau: [{month: 2026-10, users: 1}, {month: 2026-10, users: 2}]\n",
                 "product_mau[1]", "product_mau[0]");
    expect_fault("revenue:\n  - {period: month, currency: USD, value: 1, ended: 2026-10}\n"
                 "  - {period: month, currency: USD, value: 2, ended: 2026-10}\n",
                 "revenue[1]", "keep one");
    expect_fault("answers:\n  - {metric: mau, above: 9, month: 2025-03, exceeded: no}\n"
                 "  - {metric: mau, above: 9, month: 2025-03, exceeded: yes}\n",
                 "answers[1]", "keep one");
    struct declaration *declaration = load(
        "product_mau:\n  - {month: 2026-10, users: 1}\n  - {month: 2026-10, users: 1, model: m}\n"
        "revenue:\n  - {period: month, currency: USD, value: 1, ended: 2026-10}\n"
        "  - {period: month, currency: CNY, value: 7, ended: 2026-10}\n"
        "  - {period: year, currency: USD, value: 2, ended: 2026-10}\n");
    char path[64];
    assert_int_equal(declaration_check(declaration, path, sizeof path, NULL), 0);
    unload(declaration);
}

static void nothing_and_an_empty_string_are_the_same(void **state)
{
    (void)state;
    struct declared_users users[] = {{.month = "2026-10", .users = 1, .model = ""},
                                     {.month = "2026-10", .users = 1, .model = NULL}};
    struct declaration declaration = {.domicile = "", .product_mau = users, .product_mau_count = 1};
    char path[64];
    assert_int_equal(declaration_check(&declaration, path, sizeof path, NULL), 0);
    declaration.product_mau_count = 2;
    assert_int_equal(declaration_check(&declaration, path, sizeof path, NULL), ERROR_INVALID);
    assert_string_equal(path, "product_mau[1]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_left_out_is_undeclared),
        cmocka_unit_test(a_declaration_says_yes_or_no_in_yamls_words),
        cmocka_unit_test(every_list_is_read),
        cmocka_unit_test(what_gives_a_figure_its_meaning_is_required),
        cmocka_unit_test(a_fault_is_told_by_its_key),
        cmocka_unit_test(a_figure_beyond_reason_is_a_slip),
        cmocka_unit_test(one_month_has_one_figure),
        cmocka_unit_test(nothing_and_an_empty_string_are_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
