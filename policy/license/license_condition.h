/* SPDX-License-Identifier: Apache-2.0 */
/* license_condition.h -- the shape of one condition of a licence. Only types; see
 * license_record.h. */
#ifndef WEIR_POLICY_LICENSE_LICENSE_CONDITION_H
#define WEIR_POLICY_LICENSE_LICENSE_CONDITION_H

#include <stdbool.h>
#include <stdint.h>

enum condition_kind {
    CONDITION_THRESHOLD,    /* a number of users or of money changes the terms */
    CONDITION_PURPOSE,      /* research, non-production, non-commercial */
    CONDITION_TERRITORY,    /* who or what may not be where */
    CONDITION_BUSINESS,     /* a kind of business needs another licence, at any size */
    CONDITION_REGISTRATION, /* tell or ask the publisher first */
    CONDITION_ATTRIBUTION,  /* show a name or a sentence */
    CONDITION_NOTICE,       /* keep a text with copies */
    CONDITION_NAMING,       /* derivatives are called after it */
    CONDITION_USE_POLICY,   /* uses that are barred */
    CONDITION_FLOW_DOWN,    /* bind your users or recipients to them */
    CONDITION_OUTPUTS,      /* what may be done with what the model says */
    CONDITION_COPYLEFT,     /* derivatives under the same licence, or their source */
    CONDITION_TERMINATION,  /* what ends it */
    CONDITION_TRANSFER,     /* assignment, change of control */
    CONDITION_UPDATE        /* use the latest version, obey remote limits */
};

/* What brings a duty about. */
enum condition_trigger {
    TRIGGER_ALWAYS,       /* any use */
    TRIGGER_SERVING,      /* a product or service that uses the model */
    TRIGGER_DISTRIBUTION, /* passing on weights or derivatives */
    TRIGGER_DERIVATIVE,   /* passing on a model trained from it or, where said, from its outputs */
    TRIGGER_NETWORK       /* letting others use it over a network */
};

enum threshold_metric { METRIC_MAU, METRIC_DAU, METRIC_MUU, METRIC_REVENUE };
enum threshold_comparator { COMPARATOR_ABOVE, COMPARATOR_AT_LEAST };
enum threshold_window {
    WINDOW_MONTH, /* users: a month, undefined or calendar; revenue: a month's */
    WINDOW_DAY,
    WINDOW_YEAR,
    WINDOW_TRAILING_12_MONTHS,
    WINDOW_ARR
};
enum license_currency { CURRENCY_USD, CURRENCY_CNY };
enum threshold_test { TEST_CONTINUING, TEST_RELEASE_DATE, TEST_PRECEDING_MONTH, TEST_ANY_TIME };
enum threshold_entity { ENTITY_LICENSEE, ENTITY_AFFILIATES, ENTITY_CONSOLIDATED, ENTITY_EMPLOYER };
enum threshold_scope { SCOPE_ALL_PRODUCTS, SCOPE_PRODUCT, SCOPE_BUSINESS };

struct threshold_limb {
    enum threshold_metric metric;
    enum threshold_comparator comparator;
    enum threshold_window window;
    enum license_currency currency; /* of METRIC_REVENUE */
    uint64_t value;                 /* users, or whole units of the currency */
};

enum threshold_consequence {
    CONSEQUENCE_NO_RIGHTS,        /* until the publisher grants a licence */
    CONSEQUENCE_SEPARATE_LICENSE, /* before (further) commercial use */
    CONSEQUENCE_TERMINATE,
    CONSEQUENCE_SECURITY_REVIEW,
    CONSEQUENCE_ROYALTY,
    CONSEQUENCE_ATTRIBUTE, /* show the condition's `text` */
    CONSEQUENCE_NOTIFY
};

enum condition_purpose { PURPOSE_RESEARCH, PURPOSE_NON_PRODUCTION, PURPOSE_NON_COMMERCIAL };
enum condition_models { MODELS_ALL, MODELS_MULTIMODAL };
enum territory_subject {
    SUBJECT_LICENSEE, /* domicile or principal place of business */
    SUBJECT_ANYONE    /* deployment, users and outputs too */
};
enum outputs_use {
    OUTPUTS_FREE,
    OUTPUTS_NO_TRAINING,     /* not to train or improve other models */
    OUTPUTS_TRAINING_NAMED,  /* to train others, who then carry the name */
    OUTPUTS_RESEARCH,        /* the same purposes as the model */
    OUTPUTS_MAKE_DERIVATIVES /* a model trained on them is a derivative */
};
/* Kinds of business, a bit each; also what an operator declares. */
enum business_type {
    BUSINESS_NONE = 1 << 0, /* "none of those that licences name": a declaration, no kind */
    BUSINESS_MODEL_AS_A_SERVICE = 1 << 1,
    BUSINESS_AI_WORK_ASSISTANT = 1 << 2,
    BUSINESS_SOFTWARE_OR_CLOUD = 1 << 3,
    BUSINESS_COMPETES_WITH_PUBLISHER = 1 << 4,
    BUSINESS_IMAGE_GENERATION = 1 << 5
};
/* Who or what is let off, a bit each. */
enum condition_exemption {
    EXEMPT_INTEGRATED_PRODUCT = 1 << 0, /* got it inside an end-user product */
    EXEMPT_INTERNAL_USE = 1 << 1,
    EXEMPT_OFFICIAL_CHANNEL = 1 << 2,
    EXEMPT_NONPROFIT = 1 << 3
};

struct license_checkpoint { /* another text for one of the licence's models */
    char *model;            /* a glob over names */
    char *text;
};

/* One condition. Fields after `summary` are for the kinds named beside them. */
struct license_condition {
    char *id; /* within the licence, e.g. "eu-multimodal"; "LICENSE/ID" names it everywhere */
    enum condition_kind kind;
    char *clause;  /* "§2", "final paragraph" */
    char *summary; /* what it asks, in our words */
    char *remedy;  /* what to do about it; "" for the gate's own words */
    enum condition_trigger trigger;
    /* which of the licence's models: territory, and any other */
    enum condition_models models;
    char **multimodal; /* globs over names, for weights that do not tell */
    uint32_t multimodal_count;
    char **text_only;
    uint32_t text_only_count;
    /* threshold */
    struct threshold_limb *any_of;
    uint32_t any_of_count;
    enum threshold_test test;
    char *release_date; /* "2025-04-05", with TEST_RELEASE_DATE; "" else */
    char *test_month;   /* "2025-03", the month that decides then */
    enum threshold_entity entity;
    enum threshold_scope scope;
    bool commercial_only; /* asks nothing of those who do not use it commercially */
    enum threshold_consequence consequence;
    uint32_t exempt;   /* condition_exemption bits */
    uint32_t business; /* business_type bits: business; threshold: only for those kinds */
    /* purpose */
    enum condition_purpose purpose;
    /* territory */
    enum territory_subject subject;
    char **denied; /* ISO 3166-1 alpha-2, or "EU" */
    uint32_t denied_count;
    /* attribution, notice, naming, threshold with CONSEQUENCE_ATTRIBUTE: the exact words, "" when
     * the text gives none ("{model}" stands for the model's own name) */
    char *text;
    struct license_checkpoint *checkpoints;
    uint32_t checkpoint_count;
    char **where; /* "user interface", "website", ...; any one of them */
    uint32_t where_count;
    /* outputs */
    enum outputs_use outputs;
};

#endif
