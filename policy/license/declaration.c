/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/license/declaration.h"

#include "policy/license/month.h"

#include <stdio.h>
#include <string.h>

#define COUNT_OF(table) ((uint32_t)(sizeof(table) / sizeof((table)[0])))
#define TEXT_BYTES_MAX  512u

/* -- The schema -- */

/* YAML's own words for a boolean, and one for saying that nothing is said. */
static const cyaml_strval_t declared_words[] = {{"yes", DECLARED_YES},
                                                {"no", DECLARED_NO},
                                                {"true", DECLARED_YES},
                                                {"false", DECLARED_NO},
                                                {"undeclared", UNDECLARED}};
static const cyaml_strval_t answer_words[] = {
    {"yes", DECLARED_YES}, {"no", DECLARED_NO}, {"true", DECLARED_YES}, {"false", DECLARED_NO}};
static const cyaml_strval_t business_words[] = {
    {"none", BUSINESS_NONE},
    {"model_as_a_service", BUSINESS_MODEL_AS_A_SERVICE},
    {"ai_work_assistant", BUSINESS_AI_WORK_ASSISTANT},
    {"software_or_cloud", BUSINESS_SOFTWARE_OR_CLOUD},
    {"competes_with_publisher", BUSINESS_COMPETES_WITH_PUBLISHER},
    {"image_generation", BUSINESS_IMAGE_GENERATION}};
static const cyaml_strval_t metric_words[] = {
    {"mau", METRIC_MAU}, {"dau", METRIC_DAU}, {"muu", METRIC_MUU}, {"revenue", METRIC_REVENUE}};
static const cyaml_strval_t period_words[] = {{"month", WINDOW_MONTH},
                                              {"year", WINDOW_YEAR},
                                              {"trailing_12_months", WINDOW_TRAILING_12_MONTHS},
                                              {"arr", WINDOW_ARR}};
static const cyaml_strval_t currency_words[] = {{"USD", CURRENCY_USD}, {"CNY", CURRENCY_CNY}};
static const cyaml_strval_t interpretation_words[] = {{"conservative", INTERPRETATION_CONSERVATIVE},
                                                      {"literal", INTERPRETATION_LITERAL}};

#define REQUIRED      (CYAML_FLAG_DEFAULT)
#define OPTIONAL      (CYAML_FLAG_OPTIONAL)
#define STRICT        (CYAML_FLAG_STRICT | CYAML_FLAG_CASE_INSENSITIVE)
#define TEXT          (CYAML_FLAG_POINTER)
#define OPTIONAL_TEXT (CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL)

static const cyaml_schema_field_t organisation_users_fields[] = {
    CYAML_FIELD_STRING_PTR("month", TEXT, struct declared_users, month, 0, TEXT_BYTES_MAX),
    CYAML_FIELD_UINT("users", REQUIRED, struct declared_users, users),
    CYAML_FIELD_STRING_PTR("signer", OPTIONAL_TEXT, struct declared_users, signer, 0,
                           TEXT_BYTES_MAX),
    CYAML_FIELD_END};
static const cyaml_schema_field_t product_users_fields[] = {
    CYAML_FIELD_STRING_PTR("month", TEXT, struct declared_users, month, 0, TEXT_BYTES_MAX),
    CYAML_FIELD_UINT("users", REQUIRED, struct declared_users, users),
    CYAML_FIELD_STRING_PTR("model", OPTIONAL_TEXT, struct declared_users, model, 0, TEXT_BYTES_MAX),
    CYAML_FIELD_STRING_PTR("signer", OPTIONAL_TEXT, struct declared_users, signer, 0,
                           TEXT_BYTES_MAX),
    CYAML_FIELD_END};
static const cyaml_schema_field_t outside_users_fields[] = {
    CYAML_FIELD_STRING_PTR("month", TEXT, struct declared_users, month, 0, TEXT_BYTES_MAX),
    CYAML_FIELD_UINT("users", REQUIRED, struct declared_users, users),
    CYAML_FIELD_STRING_PTR("product", OPTIONAL_TEXT, struct declared_users, product, 0,
                           TEXT_BYTES_MAX),
    CYAML_FIELD_STRING_PTR("signer", OPTIONAL_TEXT, struct declared_users, signer, 0,
                           TEXT_BYTES_MAX),
    CYAML_FIELD_END};
static const cyaml_schema_value_t organisation_users = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct declared_users, organisation_users_fields)};
static const cyaml_schema_value_t product_users = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct declared_users, product_users_fields)};

static const cyaml_schema_value_t outside_users = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct declared_users, outside_users_fields)};

#define REVENUE_FIELDS                                                                             \
    CYAML_FIELD_ENUM("period", STRICT, struct declared_revenue, window, period_words,              \
                     COUNT_OF(period_words)),                                                      \
        CYAML_FIELD_ENUM("currency", STRICT, struct declared_revenue, currency, currency_words,    \
                         COUNT_OF(currency_words)),                                                \
        CYAML_FIELD_UINT("value", REQUIRED, struct declared_revenue, value),                       \
        CYAML_FIELD_STRING_PTR("ended", TEXT, struct declared_revenue, ended, 0, TEXT_BYTES_MAX),  \
        CYAML_FIELD_STRING_PTR("signer", OPTIONAL_TEXT, struct declared_revenue, signer, 0,        \
                               TEXT_BYTES_MAX)

static const cyaml_schema_field_t group_revenue_fields[] = {REVENUE_FIELDS, CYAML_FIELD_END};
static const cyaml_schema_field_t product_revenue_fields[] = {
    REVENUE_FIELDS,
    CYAML_FIELD_STRING_PTR("model", OPTIONAL_TEXT, struct declared_revenue, model, 0,
                           TEXT_BYTES_MAX),
    CYAML_FIELD_END};
static const cyaml_schema_value_t group_revenue = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct declared_revenue, group_revenue_fields)};
static const cyaml_schema_value_t product_revenue = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct declared_revenue, product_revenue_fields)};

static const cyaml_schema_field_t answer_fields[] = {
    CYAML_FIELD_ENUM("metric", STRICT, struct declared_answer, metric, metric_words,
                     COUNT_OF(metric_words)),
    CYAML_FIELD_UINT("above", REQUIRED, struct declared_answer, above),
    CYAML_FIELD_STRING_PTR("month", TEXT, struct declared_answer, month, 0, TEXT_BYTES_MAX),
    CYAML_FIELD_ENUM("exceeded", STRICT, struct declared_answer, exceeded, answer_words,
                     COUNT_OF(answer_words)),
    CYAML_FIELD_STRING_PTR("signer", OPTIONAL_TEXT, struct declared_answer, signer, 0,
                           TEXT_BYTES_MAX),
    CYAML_FIELD_END};
static const cyaml_schema_value_t answer = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct declared_answer, answer_fields)};

static const cyaml_schema_field_t acknowledgement_fields[] = {
    CYAML_FIELD_STRING_PTR("condition", TEXT, struct declared_acknowledgement, condition, 0,
                           TEXT_BYTES_MAX),
    CYAML_FIELD_STRING_PTR("model", OPTIONAL_TEXT, struct declared_acknowledgement, model, 0,
                           TEXT_BYTES_MAX),
    CYAML_FIELD_STRING_PTR("reference", TEXT, struct declared_acknowledgement, reference, 0,
                           TEXT_BYTES_MAX),
    CYAML_FIELD_STRING_PTR("signer", OPTIONAL_TEXT, struct declared_acknowledgement, signer, 0,
                           TEXT_BYTES_MAX),
    CYAML_FIELD_END};
static const cyaml_schema_value_t acknowledgement = {CYAML_VALUE_MAPPING(
    CYAML_FLAG_DEFAULT, struct declared_acknowledgement, acknowledgement_fields)};

static const cyaml_schema_value_t place = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 0, TEXT_BYTES_MAX)};

#define DECLARED_FIELD(name, member)                                                               \
    CYAML_FIELD_ENUM(name, OPTIONAL | STRICT, struct declaration, member, declared_words,          \
                     COUNT_OF(declared_words))
#define TEXT_FIELD(name, member)                                                                   \
    CYAML_FIELD_STRING_PTR(name, OPTIONAL_TEXT, struct declaration, member, 0, TEXT_BYTES_MAX)
#define LIST_FIELD(name, member, counter, entry)                                                   \
    CYAML_FIELD_SEQUENCE_COUNT(name, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct declaration, \
                               member, counter, entry, 0, DECLARATION_ENTRIES_MAX)

static const cyaml_schema_field_t fields[] = {
    TEXT_FIELD("name", name),
    TEXT_FIELD("domicile", domicile),
    TEXT_FIELD("principal_place_of_business", principal_place_of_business),
    DECLARED_FIELD("production", production),
    DECLARED_FIELD("commercial", commercial),
    DECLARED_FIELD("nonprofit", nonprofit),
    DECLARED_FIELD("internal_use", internal_use),
    DECLARED_FIELD("distributes_weights", distributes_weights),
    DECLARED_FIELD("change_of_control", change_of_control),
    CYAML_FIELD_FLAGS("business_types", OPTIONAL | STRICT, struct declaration, business_types,
                      business_words, COUNT_OF(business_words)),
    LIST_FIELD("user_regions", user_regions, user_region_count, &place),
    LIST_FIELD("deployment_regions", deployment_regions, deployment_region_count, &place),
    LIST_FIELD("organisation_mau", organisation_mau, organisation_mau_count, &organisation_users),
    LIST_FIELD("organisation_dau", organisation_dau, organisation_dau_count, &organisation_users),
    LIST_FIELD("product_mau", product_mau, product_mau_count, &product_users),
    LIST_FIELD("product_dau", product_dau, product_dau_count, &product_users),
    LIST_FIELD("outside_mau", outside_mau, outside_mau_count, &outside_users),
    LIST_FIELD("revenue", revenue, revenue_count, &group_revenue),
    LIST_FIELD("product_revenue", product_revenue, product_revenue_count, &product_revenue),
    LIST_FIELD("answers", answers, answer_count, &answer),
    CYAML_FIELD_ENUM("interpretation", OPTIONAL | STRICT, struct declaration, interpretation,
                     interpretation_words, COUNT_OF(interpretation_words)),
    LIST_FIELD("acknowledge", acknowledge, acknowledge_count, &acknowledgement),
    CYAML_FIELD_END};

const cyaml_schema_field_t *declaration_fields(void)
{
    return fields;
}

/* -- What a schema cannot say -- */

struct check { /* where a fault is told */
    char *path;
    size_t path_bytes;
    struct error *err;
};

static bool is_empty(const char *text)
{
    return text == NULL || text[0] == '\0';
}

static bool same(const char *one, const char *other)
{
    return strcmp(one == NULL ? "" : one, other == NULL ? "" : other) == 0;
}

/* key: of a list's entry, or "" for the entry itself. */
static void point_at(const struct check *check, const char *list, uint32_t index, const char *key)
{
    (void)snprintf(check->path, check->path_bytes, "%s[%u]%s%s", list, index,
                   key[0] == '\0' ? "" : ".", key);
}

static int check_month(const struct check *check, const char *list, uint32_t index, const char *key,
                       const char *month)
{
    if (month_parse(month) != MONTH_NONE)
        return 0;
    point_at(check, list, index, key);
    return error_set(check->err, ERROR_INVALID,
                     "expected a month such as 2026-10, from 2000-01 on, got '%.40s'",
                     month == NULL ? "" : month);
}

static int check_figure(const struct check *check, const char *list, uint32_t index,
                        const char *key, uint64_t value)
{
    bool is_users = strcmp(key, "users") == 0;
    if (value <= (is_users ? DECLARATION_USERS_MAX : DECLARATION_REVENUE_MAX))
        return 0;
    point_at(check, list, index, key);
    return error_set(check->err, ERROR_INVALID,
                     "expected a whole number from 0 to %s, without a minus or digits too many",
                     is_users ? "100000000000" : "1000000000000000");
}

static int fail_twice(const struct check *check, const char *list, uint32_t index, uint32_t first)
{
    point_at(check, list, index, "");
    return error_set(check->err, ERROR_INVALID,
                     "says again what entry %s[%u] says, for the same month; keep one", list,
                     first);
}

static int check_users(const struct check *check, const char *list,
                       const struct declared_users *users, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        int result = check_month(check, list, i, "month", users[i].month);
        if (result == 0)
            result = check_figure(check, list, i, "users", users[i].users);
        if (result != 0)
            return result;
        for (uint32_t j = 0; j < i; j++)
            if (same(users[i].month, users[j].month) && same(users[i].model, users[j].model) &&
                same(users[i].product, users[j].product))
                return fail_twice(check, list, i, j);
    }
    return 0;
}

static int check_revenue(const struct check *check, const char *list,
                         const struct declared_revenue *revenue, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        int result = check_month(check, list, i, "ended", revenue[i].ended);
        if (result == 0)
            result = check_figure(check, list, i, "value", revenue[i].value);
        if (result != 0)
            return result;
        for (uint32_t j = 0; j < i; j++)
            if (same(revenue[i].ended, revenue[j].ended) &&
                same(revenue[i].model, revenue[j].model) &&
                revenue[i].window == revenue[j].window &&
                revenue[i].currency == revenue[j].currency)
                return fail_twice(check, list, i, j);
    }
    return 0;
}

static int check_answers(const struct check *check, const struct declaration *declaration)
{
    for (uint32_t i = 0; i < declaration->answer_count; i++) {
        const struct declared_answer *one = &declaration->answers[i];
        int result = check_month(check, "answers", i, "month", one->month);
        if (result == 0)
            result = check_figure(check, "answers", i, "above", one->above);
        if (result != 0)
            return result;
        for (uint32_t j = 0; j < i; j++) {
            const struct declared_answer *other = &declaration->answers[j];
            if (one->metric == other->metric && one->above == other->above &&
                same(one->month, other->month))
                return fail_twice(check, "answers", i, j);
        }
    }
    return 0;
}

static int check_acknowledgements(const struct check *check, const struct declaration *declaration)
{
    for (uint32_t i = 0; i < declaration->acknowledge_count; i++) {
        const struct declared_acknowledgement *one = &declaration->acknowledge[i];
        const char *slash = is_empty(one->condition) ? NULL : strchr(one->condition, '/');
        if (slash == NULL || slash == one->condition || slash[1] == '\0') {
            point_at(check, "acknowledge", i, "condition");
            return error_set(check->err, ERROR_INVALID,
                             "expected LICENSE/CONDITION as 'weir check' prints it, such as "
                             "mrl-0.1/research-only, got '%.100s'",
                             one->condition == NULL ? "" : one->condition);
        }
        if (is_empty(one->reference) || strspn(one->reference, " \t") == strlen(one->reference)) {
            point_at(check, "acknowledge", i, "reference");
            return error_set(check->err, ERROR_INVALID,
                             "must name what allows it, such as a contract's number");
        }
    }
    return 0;
}

static int check_country(const struct check *check, const char *key, const char *country)
{
    if (is_empty(country) || country_known(country))
        return 0;
    (void)snprintf(check->path, check->path_bytes, "%s", key);
    return error_set(check->err, ERROR_INVALID,
                     "expected a country by its ISO 3166-1 code of two letters, such as DE, got "
                     "'%.40s'",
                     country);
}

static int check_regions(const struct check *check, const char *list, char *const *regions,
                         uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (regions[i] != NULL && (country_known(regions[i]) || strcmp(regions[i], "world") == 0))
            continue;
        point_at(check, list, i, "");
        return error_set(check->err, ERROR_INVALID,
                         "expected a country by its ISO 3166-1 code of two letters, such as DE, or "
                         "EU, or world, got '%.40s'",
                         regions[i] == NULL ? "" : regions[i]);
    }
    return 0;
}

static int check_places(const struct check *check, const struct declaration *declaration)
{
    int result = check_country(check, "domicile", declaration->domicile);
    if (result == 0)
        result = check_country(check, "principal_place_of_business",
                               declaration->principal_place_of_business);
    if (result == 0)
        result = check_regions(check, "user_regions", declaration->user_regions,
                               declaration->user_region_count);
    if (result == 0)
        result = check_regions(check, "deployment_regions", declaration->deployment_regions,
                               declaration->deployment_region_count);
    return result;
}

static int check_figures(const struct check *check, const struct declaration *declaration)
{
    int result = check_users(check, "organisation_mau", declaration->organisation_mau,
                             declaration->organisation_mau_count);
    if (result == 0)
        result = check_users(check, "organisation_dau", declaration->organisation_dau,
                             declaration->organisation_dau_count);
    if (result == 0)
        result = check_users(check, "product_mau", declaration->product_mau,
                             declaration->product_mau_count);
    if (result == 0)
        result = check_users(check, "product_dau", declaration->product_dau,
                             declaration->product_dau_count);
    if (result == 0)
        result = check_users(check, "outside_mau", declaration->outside_mau,
                             declaration->outside_mau_count);
    if (result == 0)
        result = check_revenue(check, "revenue", declaration->revenue, declaration->revenue_count);
    if (result == 0)
        result = check_revenue(check, "product_revenue", declaration->product_revenue,
                               declaration->product_revenue_count);
    return result;
}

bool declaration_same_outside(const struct declaration *one, const struct declaration *other)
{
    static const struct declaration nothing;
    one = one == NULL ? &nothing : one;
    other = other == NULL ? &nothing : other;
    bool alike = one->outside_mau_count == other->outside_mau_count;
    for (uint32_t i = 0; alike && i < one->outside_mau_count; i++) {
        const struct declared_users *a = &one->outside_mau[i], *b = &other->outside_mau[i];
        alike = a->users == b->users && same(a->month, b->month) && same(a->product, b->product) &&
                same(a->signer, b->signer);
    }
    return alike;
}

int declaration_check(const struct declaration *declaration, char *ret_path, size_t path_bytes,
                      struct error *err)
{
    const struct check check = {.path = ret_path, .path_bytes = path_bytes, .err = err};
    int result = check_places(&check, declaration);
    if (result == 0 && (declaration->business_types & BUSINESS_NONE) != 0 &&
        declaration->business_types != BUSINESS_NONE) {
        (void)snprintf(ret_path, path_bytes, "business_types");
        result = error_set(err, ERROR_INVALID,
                           "'none' stands beside a kind of business; keep one or the other");
    }
    if (result == 0)
        result = check_figures(&check, declaration);
    if (result == 0)
        result = check_answers(&check, declaration);
    if (result == 0)
        result = check_acknowledgements(&check, declaration);
    return result;
}
