/* SPDX-License-Identifier: Apache-2.0 */
/* declaration.h -- what the operator declares of itself: the `operator:` section of weir.yaml.
 *
 * Everything may be left out, and what is left out is undeclared, which is neither yes nor no: the
 * gate then says "review: not declared" and names the key. libcyaml fills the struct by
 * declaration_fields(); declaration_check() says what a schema cannot. Immutable after;
 * any thread. */
#ifndef WEIR_POLICY_LICENSE_DECLARATION_H
#define WEIR_POLICY_LICENSE_DECLARATION_H

#include "base/error.h"
#include "policy/license/country.h"
#include "policy/license/license_record.h"

#include <cyaml/cyaml.h>
#include <stdbool.h>
#include <stdint.h>

enum declared { UNDECLARED, DECLARED_NO, DECLARED_YES };

/* Users of a month (or, for DAU, of a day on the month's average). */
struct declared_users {
    char *month; /* "2026-10" */
    uint64_t users;
    char *model;   /* product figures: the served id; "" for every model */
    char *product; /* outside figures: the product; "" for the whole organisation */
    char *signer;
};

struct declared_revenue {
    enum threshold_window window; /* period: month, year, trailing_12_months, arr */
    enum license_currency currency;
    uint64_t value; /* whole units */
    char *ended;    /* "2026-10": the last month of the period */
    char *model;    /* product figures: the served id; "" for every model */
    char *signer;
};

/* "Did the group exceed `above` in `month`?", for release-date tests. */
struct declared_answer {
    enum threshold_metric metric;
    uint64_t above;
    char *month;
    enum declared exceeded;
    char *signer;
};

/* `acknowledge:`, a condition taken on by name. */
struct declared_acknowledgement {
    char *condition; /* "mrl-0.1/research-only" */
    char *model;     /* the served id; "" for every model */
    char *reference; /* a contract or ticket number: required */
    char *signer;
};

#define DECLARATION_ENTRIES_MAX 600u                   /* of each list: 50 years of months */
#define DECLARATION_USERS_MAX   UINT64_C(100000000000) /* more is a slip: a minus, a key held */
#define DECLARATION_REVENUE_MAX UINT64_C(1000000000000000)

enum interpretation { INTERPRETATION_CONSERVATIVE, INTERPRETATION_LITERAL };

struct declaration {
    char *name;
    char *domicile, *principal_place_of_business; /* ISO 3166-1 alpha-2; "" undeclared */
    enum declared production, commercial, nonprofit, internal_use, distributes_weights;
    enum declared change_of_control;
    uint32_t business_types;                   /* business_type bits; 0 undeclared */
    char **user_regions, **deployment_regions; /* ISO 3166-1 alpha-2, "EU" or "world" */
    uint32_t user_region_count, deployment_region_count;
    struct declared_users *organisation_mau, *organisation_dau, *product_mau, *product_dau;
    uint32_t organisation_mau_count, organisation_dau_count, product_mau_count, product_dau_count;
    struct declared_users *outside_mau; /* who never come to weir: more people, or the same */
    uint32_t outside_mau_count;
    struct declared_revenue *revenue, *product_revenue; /* revenue: of the group, consolidated */
    uint32_t revenue_count, product_revenue_count;
    struct declared_answer *answers;
    uint32_t answer_count;
    enum interpretation interpretation;
    struct declared_acknowledgement *acknowledge;
    uint32_t acknowledge_count;
};

/* The schema of the section, ended by a field without a key. Strings that the file leaves out may
 * be NULL or "", which mean the same. Any thread. */
const cyaml_schema_field_t *declaration_fields(void);

/* Whether two declare the same users outside: no verdict tells of them, but lines do. NULL declares
 * none. */
bool declaration_same_outside(const struct declaration *one, const struct declaration *other);

/* Months, countries, figures beyond reason or given twice, "none" beside others, acknowledgements
 * without a reference. On ERROR_INVALID ret_path is the key at fault below the section,
 * "organisation_mau[0].month". */
int declaration_check(const struct declaration *declaration, char *ret_path, size_t path_bytes,
                      struct error *err);

#endif
