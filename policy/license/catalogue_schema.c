/* SPDX-License-Identifier: Apache-2.0 */
/* catalogue_schema.c -- the tables of config/licenses/README.md, and the loading of one file. */
#include "policy/license/catalogue_schema.h"

#include <assert.h>
#include <string.h>

#define WORD_COUNT(words) (uint32_t)(sizeof(words) / sizeof(words)[0])

/* Values are one up: 0 is an absent key (catalogue_schema.h). */
#define WORD(word, value)                                                                          \
    {                                                                                              \
        word, (value) + 1                                                                          \
    }

static const cyaml_strval_t switch_words[] = {
    WORD("true", true),
    WORD("false", false),
    WORD("yes", true),
    WORD("no", false),
};
static const cyaml_strval_t category_words[] = {
    WORD("permissive", CATEGORY_PERMISSIVE),   WORD("attribution", CATEGORY_ATTRIBUTION),
    WORD("copyleft", CATEGORY_COPYLEFT),       WORD("use_restricted", CATEGORY_USE_RESTRICTED),
    WORD("threshold", CATEGORY_THRESHOLD),     WORD("non_commercial", CATEGORY_NON_COMMERCIAL),
    WORD("proprietary", CATEGORY_PROPRIETARY),
};
static const cyaml_strval_t grade_words[] = {
    WORD("P", GRADE_P), WORD("C", GRADE_C), WORD("X", GRADE_X),
    WORD("S", GRADE_S), WORD("K", GRADE_K),
};
/* "silent" is last: only a grant may be. */
static const cyaml_strval_t answer_words[] = {
    WORD("yes", ANSWER_YES),
    WORD("no", ANSWER_NO),
    WORD("conditional", ANSWER_CONDITIONAL),
    WORD("unknown", ANSWER_UNKNOWN),
    WORD("silent", ANSWER_SILENT),
};
static const cyaml_strval_t role_words[] = {
    WORD("license", TEXT_LICENSE),
    WORD("use_policy", TEXT_USE_POLICY),
};
static const cyaml_strval_t kind_words[] = {
    WORD("threshold", CONDITION_THRESHOLD),
    WORD("purpose", CONDITION_PURPOSE),
    WORD("territory", CONDITION_TERRITORY),
    WORD("business", CONDITION_BUSINESS),
    WORD("registration", CONDITION_REGISTRATION),
    WORD("attribution", CONDITION_ATTRIBUTION),
    WORD("notice", CONDITION_NOTICE),
    WORD("naming", CONDITION_NAMING),
    WORD("use_policy", CONDITION_USE_POLICY),
    WORD("flow_down", CONDITION_FLOW_DOWN),
    WORD("outputs", CONDITION_OUTPUTS),
    WORD("copyleft", CONDITION_COPYLEFT),
    WORD("termination", CONDITION_TERMINATION),
    WORD("transfer", CONDITION_TRANSFER),
    WORD("update", CONDITION_UPDATE),
};
static const cyaml_strval_t trigger_words[] = {
    WORD("always", TRIGGER_ALWAYS),
    WORD("serving", TRIGGER_SERVING),
    WORD("distribution", TRIGGER_DISTRIBUTION),
    WORD("derivative", TRIGGER_DERIVATIVE),
    WORD("network", TRIGGER_NETWORK),
};
static const cyaml_strval_t models_words[] = {
    WORD("all", MODELS_ALL),
    WORD("multimodal", MODELS_MULTIMODAL),
};
static const cyaml_strval_t metric_words[] = {
    WORD("mau", METRIC_MAU),
    WORD("dau", METRIC_DAU),
    WORD("muu", METRIC_MUU),
    WORD("revenue", METRIC_REVENUE),
};
static const cyaml_strval_t comparator_words[] = {
    WORD(">", COMPARATOR_ABOVE),
    WORD(">=", COMPARATOR_AT_LEAST),
};
static const cyaml_strval_t window_words[] = {
    WORD("month", WINDOW_MONTH), WORD("day", WINDOW_DAY),
    WORD("year", WINDOW_YEAR),   WORD("trailing_12_months", WINDOW_TRAILING_12_MONTHS),
    WORD("arr", WINDOW_ARR),
};
static const cyaml_strval_t currency_words[] = {
    WORD("USD", CURRENCY_USD),
    WORD("CNY", CURRENCY_CNY),
};
static const cyaml_strval_t test_words[] = {
    WORD("continuing", TEST_CONTINUING),
    WORD("release_date", TEST_RELEASE_DATE),
    WORD("preceding_month", TEST_PRECEDING_MONTH),
    WORD("any_time", TEST_ANY_TIME),
};
static const cyaml_strval_t entity_words[] = {
    WORD("licensee", ENTITY_LICENSEE),
    WORD("affiliates", ENTITY_AFFILIATES),
    WORD("consolidated", ENTITY_CONSOLIDATED),
    WORD("employer", ENTITY_EMPLOYER),
};
static const cyaml_strval_t scope_words[] = {
    WORD("all_products", SCOPE_ALL_PRODUCTS),
    WORD("product_using_model", SCOPE_PRODUCT),
    WORD("business", SCOPE_BUSINESS),
};
static const cyaml_strval_t consequence_words[] = {
    WORD("no_rights", CONSEQUENCE_NO_RIGHTS),
    WORD("separate_license", CONSEQUENCE_SEPARATE_LICENSE),
    WORD("terminate", CONSEQUENCE_TERMINATE),
    WORD("security_review", CONSEQUENCE_SECURITY_REVIEW),
    WORD("royalty", CONSEQUENCE_ROYALTY),
    WORD("attribute", CONSEQUENCE_ATTRIBUTE),
    WORD("notify", CONSEQUENCE_NOTIFY),
};
static const cyaml_strval_t purpose_words[] = {
    WORD("research", PURPOSE_RESEARCH),
    WORD("non_production", PURPOSE_NON_PRODUCTION),
    WORD("non_commercial", PURPOSE_NON_COMMERCIAL),
};
static const cyaml_strval_t subject_words[] = {
    WORD("licensee", SUBJECT_LICENSEE),
    WORD("anyone", SUBJECT_ANYONE),
};
static const cyaml_strval_t outputs_words[] = {
    WORD("free", OUTPUTS_FREE),
    WORD("no_training", OUTPUTS_NO_TRAINING),
    WORD("training_named", OUTPUTS_TRAINING_NAMED),
    WORD("research", OUTPUTS_RESEARCH),
    WORD("make_derivatives", OUTPUTS_MAKE_DERIVATIVES),
};
/* Bits are themselves: no bit is an absent key. BUSINESS_NONE is for declarations alone. */
static const cyaml_strval_t business_words[] = {
    {"model_as_a_service", BUSINESS_MODEL_AS_A_SERVICE},
    {"ai_work_assistant", BUSINESS_AI_WORK_ASSISTANT},
    {"software_or_cloud", BUSINESS_SOFTWARE_OR_CLOUD},
    {"competes_with_publisher", BUSINESS_COMPETES_WITH_PUBLISHER},
    {"image_generation", BUSINESS_IMAGE_GENERATION},
};
static const cyaml_strval_t exempt_words[] = {
    {"integrated_product", EXEMPT_INTEGRATED_PRODUCT},
    {"internal_use", EXEMPT_INTERNAL_USE},
    {"official_channel", EXEMPT_OFFICIAL_CHANNEL},
    {"nonprofit", EXEMPT_NONPROFIT},
};

/* -- Fields: a macro a shape, so that the tables below read like the manual -- */

#define REQUIRED 0
#define OPTIONAL CYAML_FLAG_OPTIONAL

#define STRING(structure, member, need, most)                                                      \
    CYAML_FIELD_STRING_PTR(#member, CYAML_FLAG_POINTER | (need), structure, member,                \
                           (need) == REQUIRED ? 1 : 0, most)
#define NAME(structure, member, need)  STRING(structure, member, need, CATALOGUE_NAME_BYTES_MAX)
#define PROSE(structure, member, need) STRING(structure, member, need, CATALOGUE_TEXT_BYTES_MAX)
#define LIST(structure, member, counter, entry, need, most)                                        \
    CYAML_FIELD_SEQUENCE_COUNT(#member, CYAML_FLAG_POINTER | (need), structure, member, counter,   \
                               entry, (need) == REQUIRED ? 1 : 0, most)
#define WORD_OF(words, structure, key_text, member, need)                                          \
    {                                                                                              \
        .key = key_text, .data_offset = offsetof(structure, member), .value = {                    \
            .type = CYAML_ENUM,                                                                    \
            .flags = (enum cyaml_flag)(CYAML_FLAG_STRICT | (need)),                                \
            .data_size = sizeof(((structure *)0)->member),                                         \
            .enumeration = {.strings = words, .count = WORD_COUNT(words)}                          \
        }                                                                                          \
    }
#define ENUM(structure, member, need)   WORD_OF(member##_words, structure, #member, member, need)
#define SWITCH(structure, member, need) WORD_OF(switch_words, structure, #member, member, need)
#define BITS(structure, member)                                                                    \
    CYAML_FIELD_FLAGS(#member, CYAML_FLAG_STRICT | CYAML_FLAG_OPTIONAL, structure, member,         \
                      member##_words, WORD_COUNT(member##_words))

static const cyaml_schema_value_t name_entry = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 1, CATALOGUE_NAME_BYTES_MAX)};
static const cyaml_schema_value_t prose_entry = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 1, CATALOGUE_TEXT_BYTES_MAX)};

const cyaml_schema_field_t catalogue_limb_fields[] = {
    ENUM(struct threshold_limb, metric, REQUIRED),
    WORD_OF(comparator_words, struct threshold_limb, "op", comparator, REQUIRED),
    CYAML_FIELD_UINT("value", CYAML_FLAG_DEFAULT, struct threshold_limb, value),
    ENUM(struct threshold_limb, window, REQUIRED),
    ENUM(struct threshold_limb, currency, OPTIONAL),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t limb_entry = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct threshold_limb, catalogue_limb_fields)};

static const cyaml_schema_field_t checkpoint_fields[] = {
    NAME(struct license_checkpoint, model, REQUIRED),
    PROSE(struct license_checkpoint, text, REQUIRED),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t checkpoint_entry = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct license_checkpoint, checkpoint_fields)};

#define NAMES(structure, member, counter)                                                          \
    LIST(structure, member, counter, &name_entry, OPTIONAL, CATALOGUE_LIST_MAX)

const cyaml_schema_field_t catalogue_condition_fields[] = {
    NAME(struct license_condition, id, REQUIRED),
    ENUM(struct license_condition, kind, REQUIRED),
    PROSE(struct license_condition, clause, REQUIRED),
    PROSE(struct license_condition, summary, REQUIRED),
    PROSE(struct license_condition, remedy, OPTIONAL),
    ENUM(struct license_condition, trigger, OPTIONAL),
    ENUM(struct license_condition, models, OPTIONAL),
    NAMES(struct license_condition, multimodal, multimodal_count),
    NAMES(struct license_condition, text_only, text_only_count),
    BITS(struct license_condition, exempt),
    LIST(struct license_condition, any_of, any_of_count, &limb_entry, OPTIONAL, 16),
    ENUM(struct license_condition, test, OPTIONAL),
    NAME(struct license_condition, release_date, OPTIONAL),
    NAME(struct license_condition, test_month, OPTIONAL),
    ENUM(struct license_condition, entity, OPTIONAL),
    ENUM(struct license_condition, scope, OPTIONAL),
    SWITCH(struct license_condition, commercial_only, OPTIONAL),
    BITS(struct license_condition, business),
    ENUM(struct license_condition, consequence, OPTIONAL),
    ENUM(struct license_condition, purpose, OPTIONAL),
    NAMES(struct license_condition, denied, denied_count),
    ENUM(struct license_condition, subject, OPTIONAL),
    PROSE(struct license_condition, text, OPTIONAL),
    NAMES(struct license_condition, where, where_count),
    LIST(struct license_condition, checkpoints, checkpoint_count, &checkpoint_entry, OPTIONAL,
         CATALOGUE_LIST_MAX),
    ENUM(struct license_condition, outputs, OPTIONAL),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t condition_entry = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct license_condition, catalogue_condition_fields)};

static const cyaml_schema_field_t policy_fields[] = {
    PROSE(struct license_reference, name, REQUIRED),
    PROSE(struct license_reference, url, REQUIRED),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t policy_entry = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct license_reference, policy_fields)};

#define GRANT(member) WORD_OF(answer_words, struct license_grants, #member, member, OPTIONAL)
static const cyaml_schema_field_t grant_fields[] = {
    GRANT(commercial), GRANT(production),   GRANT(hosting_is_distribution),
    GRANT(patent),     GRANT(transferable), CYAML_FIELD_END,
};

static const cyaml_schema_field_t text_fields[] = {
    ENUM(struct license_fingerprint, role, REQUIRED),
    PROSE(struct license_fingerprint, source, REQUIRED),
    NAME(struct license_fingerprint, digest, REQUIRED),
    STRING(struct license_fingerprint, sentences, REQUIRED, CYAML_UNLIMITED),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t text_entry = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct license_fingerprint, text_fields)};

/* Of answers all but "silent". */
#define JUDGEMENT(member)                                                                          \
    {                                                                                              \
        .key = #member, .data_offset = offsetof(struct license_record, member), .value = {         \
            .type = CYAML_ENUM,                                                                    \
            .flags = (enum cyaml_flag)(CYAML_FLAG_STRICT | CYAML_FLAG_OPTIONAL),                   \
            .data_size = sizeof(enum license_answer),                                              \
            .enumeration = {.strings = answer_words, .count = WORD_COUNT(answer_words) - 1}        \
        }                                                                                          \
    }

static const cyaml_schema_field_t record_fields[] = {
    NAME(struct license_record, id, REQUIRED),
    NAME(struct license_record, name, REQUIRED),
    NAME(struct license_record, family, REQUIRED),
    NAME(struct license_record, publisher, OPTIONAL),
    NAME(struct license_record, version, OPTIONAL),
    NAME(struct license_record, spdx, OPTIONAL),
    ENUM(struct license_record, category, REQUIRED),
    NAMES(struct license_record, aliases, alias_count),
    NAMES(struct license_record, links, link_count),
    ENUM(struct license_record, grade, REQUIRED),
    SWITCH(struct license_record, verified, REQUIRED),
    LIST(struct license_record, sources, source_count, &prose_entry, OPTIONAL, CATALOGUE_LIST_MAX),
    PROSE(struct license_record, summary, REQUIRED),
    LIST(struct license_record, policies, policy_count, &policy_entry, OPTIONAL,
         CATALOGUE_LIST_MAX),
    CYAML_FIELD_MAPPING("grants", CYAML_FLAG_OPTIONAL, struct license_record, grants, grant_fields),
    LIST(struct license_record, conditions, condition_count, &condition_entry, OPTIONAL,
         CATALOGUE_CONDITIONS_MAX),
    LIST(struct license_record, ambiguities, ambiguity_count, &prose_entry, OPTIONAL,
         CATALOGUE_LIST_MAX),
    JUDGEMENT(osaid),
    PROSE(struct license_record, osaid_reason, OPTIONAL),
    JUDGEMENT(ai_act),
    PROSE(struct license_record, ai_act_basis, OPTIONAL),
    PROSE(struct license_record, ai_act_reason, OPTIONAL),
    LIST(struct license_record, texts, text_count, &text_entry, OPTIONAL, 32),
    CYAML_FIELD_END,
};
const cyaml_schema_value_t catalogue_record_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct license_record, record_fields)};

static const cyaml_schema_field_t lineage_fields[] = {
    NAME(struct lineage_row, model, REQUIRED),
    LIST(struct lineage_row, licenses, license_count, &name_entry, REQUIRED, 16),
    LIST(struct lineage_row, base_models, base_model_count, &name_entry, OPTIONAL, 16),
    ENUM(struct lineage_row, grade, REQUIRED),
    PROSE(struct lineage_row, source, REQUIRED),
    PROSE(struct lineage_row, note, OPTIONAL),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t lineage_entry = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct lineage_row, lineage_fields)};
const cyaml_schema_value_t catalogue_lineage_schema = {CYAML_VALUE_SEQUENCE(
    CYAML_FLAG_POINTER, struct lineage_row, &lineage_entry, 0, CATALOGUE_LINEAGE_MAX)};

/* -- Loading -- */

static_assert(sizeof(bool) == 1 && sizeof(enum license_answer) == 4, "widths that settle() knows");

static int on_settled_value(void *context, const cyaml_schema_value_t *value, void *place)
{
    (void)context;
    uint32_t biased = 0;
    if (value->type != CYAML_ENUM)
        return 0;
    memcpy(&biased, place, value->data_size); /* little-endian, as all that we run on is */
    if (biased != 0)
        biased--;
    memcpy(place, &biased, value->data_size);
    return 0;
}

static const char hint[] = "config/licenses/README.md lists all keys";

int catalogue_load_record(const struct schema_source *source, struct license_record **ret,
                          struct error *err)
{
    void *loaded = NULL;
    int result = schema_load(source, &catalogue_record_schema, hint, &loaded, err);
    if (result != 0)
        return result;
    if (loaded == NULL)
        return schema_fail_at(source, "", "empty: a licence has at least an id and a name", err);
    result = catalogue_check_record(loaded, source, err);
    if (result != 0) {
        schema_free(&catalogue_record_schema, loaded);
        return result;
    }
    (void)schema_walk(&catalogue_record_schema, loaded, 0, on_settled_value, NULL);
    *ret = loaded;
    return 0;
}

int catalogue_load_lineage(const struct schema_source *source, struct lineage_row **ret,
                           uint32_t *ret_count, struct error *err)
{
    void *loaded = NULL;
    uint32_t count = 0;
    int result = schema_load_list(source, &catalogue_lineage_schema, hint, &loaded, &count, err);
    if (result != 0)
        return result;
    result = catalogue_check_lineage(loaded, count, source, err);
    if (result != 0) {
        schema_free_list(&catalogue_lineage_schema, loaded, count);
        return result;
    }
    (void)schema_walk(&catalogue_lineage_schema, loaded, count, on_settled_value, NULL);
    *ret = loaded;
    *ret_count = count;
    return 0;
}
