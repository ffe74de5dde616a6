/* SPDX-License-Identifier: Apache-2.0 */
/* catalogue_check.c -- what a schema cannot say of a licence, each with the line at fault.
 *
 * Which keys a kind of condition has is one table, read beside the schema's own: a key that is
 * not in it belongs to every kind. The record is not settled yet (catalogue_schema.h): an enum is
 * 0 where the file says nothing, and WORD_IS() compares. */
#include "policy/license/catalogue.h"
#include "policy/license/catalogue_schema.h"
#include "policy/license/country.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define VALUE_MAX     UINT64_C(1000000000000000) /* no licence asks for more than 10^15 */
#define PATH_BYTES    128u
#define MESSAGE_BYTES 320u

#define WORD_IS(biased, value) ((uint32_t)(biased) == (uint32_t)(value) + 1)

/* -- Words and dates -- */

bool catalogue_normalise(const char *name, char ret[CATALOGUE_NAME_BYTES_MAX + 1])
{
    size_t count = strlen(name);
    if (count > CATALOGUE_NAME_BYTES_MAX)
        return false;
    for (size_t i = 0; i <= count; i++) {
        unsigned char c = (unsigned char)name[i];
        ret[i] = (char)(c == '_' || isspace(c) ? '-' : tolower(c));
    }
    return true;
}

bool catalogue_is_ambiguous(const char *normalised)
{
    static const char *const words[] = {
        "",
        "apache",
        "bsd",
        "cc",
        "creativeml",
        "commercial",
        "custom",
        "custom-license",
        "gpl",
        "license",
        "licence",
        "modified-mit",
        "n-a",
        "n/a",
        "na",
        "none",
        "null",
        "open",
        "open-source",
        "openrail",
        "other",
        "proprietary",
        "rail",
        "research-only",
        "see-license",
        "unknown",
        "unlicensed",
        "non-commercial",
        "bigscience-openrail",
    };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(words[i], normalised) == 0)
            return true;
    return false;
}

static bool all_of(const char *text, const char *accepted)
{
    return text[0] != '\0' && text[strspn(text, accepted)] == '\0';
}

/* Written one way alone, so that lists compare: capitals, and GB for "UK". */
static bool is_territory(const char *code)
{
    return strlen(code) == 2 && all_of(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") &&
           strcmp(code, "UK") != 0 && country_known(code);
}

static unsigned digits(const char *text, unsigned count)
{
    unsigned value = 0;
    for (unsigned i = 0; i < count; i++)
        value = value * 10 + (unsigned)(text[i] - '0');
    return value;
}

/* "2025-04", "2025-04-05": a month or day that there is, of this century. */
static bool is_date(const char *text, bool with_day)
{
    static const char shape[] = "dddd-dd-dd";
    static const unsigned char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    size_t count = with_day ? 10 : 7;
    if (strlen(text) != count)
        return false;
    for (size_t i = 0; i < count; i++)
        if (shape[i] == 'd' ? !isdigit((unsigned char)text[i]) : text[i] != shape[i])
            return false;
    unsigned year = digits(text, 4), month = digits(text + 5, 2);
    if (year < 2000 || year > 2099 || month < 1 || month > 12)
        return false;
    if (!with_day)
        return true;
    unsigned day = digits(text + 8, 2);
    unsigned most = days[month - 1] + (month == 2 && year % 4 == 0);
    return day >= 1 && day <= most;
}

/* -- Which keys a kind has -- */

#define KIND(kind) (1u << (kind))
#define THRESHOLD  KIND(CONDITION_THRESHOLD)
#define BUSINESS   KIND(CONDITION_BUSINESS)
#define DISPLAYS   (KIND(CONDITION_ATTRIBUTION) | KIND(CONDITION_NOTICE) | KIND(CONDITION_NAMING))
#define PURPOSE    KIND(CONDITION_PURPOSE)
#define TERRITORY  KIND(CONDITION_TERRITORY)
#define OUTPUTS    KIND(CONDITION_OUTPUTS)

static const struct key_rule {
    const char *key;
    uint32_t allowed, required; /* kinds, a bit each */
} key_rules[] = {
    {"any_of", THRESHOLD, THRESHOLD},
    {"test", THRESHOLD, THRESHOLD},
    {"release_date", THRESHOLD, 0},
    {"test_month", THRESHOLD, 0},
    {"entity", THRESHOLD, THRESHOLD},
    {"scope", THRESHOLD, THRESHOLD},
    {"commercial_only", THRESHOLD | KIND(CONDITION_REGISTRATION), 0},
    {"business", THRESHOLD | BUSINESS, BUSINESS},
    {"consequence", THRESHOLD | BUSINESS, THRESHOLD | BUSINESS},
    {"purpose", PURPOSE, PURPOSE},
    {"denied", TERRITORY, TERRITORY},
    {"subject", TERRITORY, TERRITORY},
    {"text", THRESHOLD | DISPLAYS, 0},
    {"where", THRESHOLD | DISPLAYS, 0},
    {"checkpoints", THRESHOLD | DISPLAYS, 0},
    {"outputs", OUTPUTS, OUTPUTS},
};

static const struct key_rule *rule_of(const char *key)
{
    for (size_t i = 0; i < sizeof key_rules / sizeof key_rules[0]; i++)
        if (strcmp(key_rules[i].key, key) == 0)
            return &key_rules[i];
    return NULL;
}

bool catalogue_kind_has_key(enum condition_kind kind, const char *key)
{
    const struct key_rule *rule = rule_of(key);
    return rule == NULL || (rule->allowed & KIND(kind)) != 0;
}

static bool is_given(const cyaml_schema_field_t *field, const struct license_condition *condition)
{
    const char *place = (const char *)condition + field->data_offset;
    uint32_t value = 0;
    if (field->value.type == CYAML_STRING)
        return **(char *const *)place != '\0';
    if (field->value.type == CYAML_SEQUENCE)
        return *(const uint32_t *)((const char *)condition + field->count_offset) > 0;
    memcpy(&value, place, field->value.data_size); /* an enum, a switch, bits: 0 is absent */
    return value != 0;
}

static const char *kind_word(uint32_t kind)
{
    const cyaml_schema_field_t *field = catalogue_condition_fields;
    while (strcmp(field->key, "kind") != 0)
        field++;
    for (uint32_t i = 0; i < field->value.enumeration.count; i++)
        if (WORD_IS(field->value.enumeration.strings[i].val, kind))
            return field->value.enumeration.strings[i].str;
    return "?";
}

/* -- One condition -- */

struct place {
    const struct schema_source *source;
    const char *list; /* "conditions" */
    uint32_t index;
};

/* At conditions[index].key; key "" for the condition itself. */
static int fail(const struct place *place, const char *key, const char *message, struct error *err)
{
    char path[PATH_BYTES];
    (void)snprintf(path, sizeof path, "%s[%u]%s%s", place->list, place->index,
                   key[0] == '\0' ? "" : ".", key);
    return schema_fail_at(place->source, path, message, err);
}

static int check_keys(const struct license_condition *condition, const struct place *place,
                      struct error *err)
{
    uint32_t kind = (uint32_t)condition->kind - 1;
    char message[MESSAGE_BYTES];
    for (const cyaml_schema_field_t *field = catalogue_condition_fields; field->key != NULL;
         field++) {
        const struct key_rule *rule = rule_of(field->key);
        if (rule == NULL)
            continue;
        bool given = is_given(field, condition);
        if (given && (rule->allowed & KIND(kind)) == 0) {
            (void)snprintf(message, sizeof message, "a condition of kind %s has no such key",
                           kind_word(kind));
            return fail(place, field->key, message, err);
        }
        if (!given && (rule->required & KIND(kind)) != 0) {
            (void)snprintf(message, sizeof message,
                           "'%s' is missing; a condition of kind %s needs it", field->key,
                           kind_word(kind));
            return fail(place, "", message, err);
        }
    }
    return 0;
}

static int check_limb(const struct threshold_limb *limb, uint32_t index, const struct place *place,
                      struct error *err)
{
    bool is_revenue = WORD_IS(limb->metric, METRIC_REVENUE);
    const char *key = NULL, *message = NULL;
    if (limb->value == 0 || limb->value > VALUE_MAX)
        key = ".value", message = "expected a number from 1 to 10^15";
    else if (is_revenue && limb->currency == 0)
        key = "", message = "'currency' is missing; revenue needs it";
    else if (!is_revenue && limb->currency != 0)
        key = ".currency", message = "users have no currency";
    else if (!is_revenue && WORD_IS(limb->window, WINDOW_ARR))
        key = ".window", message = "arr is of revenue alone";
    else if (is_revenue && WORD_IS(limb->window, WINDOW_DAY))
        key = ".window", message = "revenue is of a month, a year, trailing_12_months or arr";
    if (message == NULL)
        return 0;
    char path[PATH_BYTES];
    (void)snprintf(path, sizeof path, "any_of[%u]%s", index, key);
    return fail(place, path, message, err);
}

static int check_test(const struct license_condition *condition, const struct place *place,
                      struct error *err)
{
    if (!WORD_IS(condition->test, TEST_RELEASE_DATE)) {
        if (condition->release_date[0] != '\0')
            return fail(place, "release_date", "goes with test: release_date alone", err);
        if (condition->test_month[0] != '\0')
            return fail(place, "test_month", "goes with test: release_date alone", err);
        return 0;
    }
    if (condition->release_date[0] == '\0')
        return fail(place, "", "'release_date' is missing; test: release_date needs it", err);
    if (condition->test_month[0] == '\0')
        return fail(place, "", "'test_month' is missing; test: release_date needs it", err);
    if (!is_date(condition->release_date, true))
        return fail(place, "release_date", "expected a day that there is, as 2025-04-05", err);
    if (!is_date(condition->test_month, false))
        return fail(place, "test_month", "expected a month that there is, as 2025-03", err);
    if (strncmp(condition->test_month, condition->release_date, 7) > 0)
        return fail(place, "test_month", "lies after the release date", err);
    return 0;
}

static int check_threshold(const struct license_condition *condition, const struct place *place,
                           struct error *err)
{
    int result = 0;
    for (uint32_t i = 0; i < condition->any_of_count && result == 0; i++)
        result = check_limb(&condition->any_of[i], i, place, err);
    if (result == 0)
        result = check_test(condition, place, err);
    if (result != 0)
        return result;
    bool has_text = condition->text[0] != '\0';
    if (WORD_IS(condition->consequence, CONSEQUENCE_ATTRIBUTE))
        return has_text || condition->checkpoint_count > 0
                   ? 0
                   : fail(place, "", "'text' is missing; consequence: attribute needs it", err);
    const char *surplus = has_text                          ? "text"
                          : condition->where_count > 0      ? "where"
                          : condition->checkpoint_count > 0 ? "checkpoints"
                                                            : NULL;
    return surplus == NULL ? 0
                           : fail(place, surplus, "goes with consequence: attribute alone", err);
}

/* A slip in the one placeholder would be shown to users as it stands. */
static bool has_sound_braces(const char *text)
{
    for (const char *at = strchr(text, '{'); at != NULL; at = strchr(at + 1, '{'))
        if (strncmp(at, "{model}", 7) != 0)
            return false;
    return true;
}

static int check_denied(const struct license_condition *condition, const struct place *place,
                        struct error *err)
{
    for (uint32_t i = 0; i < condition->denied_count; i++) {
        char path[PATH_BYTES];
        (void)snprintf(path, sizeof path, "denied[%u]", i);
        if (!is_territory(condition->denied[i]))
            return fail(place, path,
                        "expected a country as ISO 3166-1 writes it, such as KR or GB, or EU", err);
        for (uint32_t j = 0; j < i; j++)
            if (strcmp(condition->denied[i], condition->denied[j]) == 0)
                return fail(place, path, "listed twice; keep one", err);
    }
    return 0;
}

int catalogue_check_condition(const struct license_condition *condition, uint32_t index,
                              const struct schema_source *source, struct error *err)
{
    struct place place = {.source = source, .list = "conditions", .index = index};
    if (!all_of(condition->id, "abcdefghijklmnopqrstuvwxyz0123456789-"))
        return fail(&place, "id", "expected lower-case letters, digits and '-'", err);
    int result = check_keys(condition, &place, err);
    if (result != 0)
        return result;
    bool some_models = WORD_IS(condition->models, MODELS_MULTIMODAL);
    if (!some_models && condition->multimodal_count > 0)
        return fail(&place, "multimodal", "goes with models: multimodal alone", err);
    if (!some_models && condition->text_only_count > 0)
        return fail(&place, "text_only", "goes with models: multimodal alone", err);
    if (!has_sound_braces(condition->text))
        return fail(&place, "text", "'{' begins {model} and nothing else", err);
    for (uint32_t i = 0; i < condition->checkpoint_count; i++)
        if (!has_sound_braces(condition->checkpoints[i].text))
            return fail(&place, "checkpoints", "'{' begins {model} and nothing else", err);
    if (WORD_IS(condition->kind, CONDITION_THRESHOLD))
        return check_threshold(condition, &place, err);
    return check_denied(condition, &place, err);
}

/* -- One record -- */

static int check_identity(const struct license_record *record, const struct schema_source *source,
                          struct error *err)
{
    static const char lower[] = "abcdefghijklmnopqrstuvwxyz0123456789.-+";
    const char *slash = strrchr(source->name, '/');
    const char *file = slash == NULL ? source->name : slash + 1;
    size_t count = strlen(record->id);
    char normalised[CATALOGUE_NAME_BYTES_MAX + 1];
    if (!all_of(record->id, lower) && strcmp(record->id, record->spdx) != 0)
        return schema_fail_at(source, "id",
                              "expected lower-case letters, digits, '.', '-' and '+', or the spdx "
                              "id as it stands",
                              err);
    if (record->id[0] == '.' || strchr(record->id, '/') != NULL)
        return schema_fail_at(source, "id", "is no file's name", err);
    if (strncmp(file, record->id, count) != 0 || strcmp(file + count, ".yaml") != 0)
        return schema_fail_at(source, "id", "the file's name must be the id and .yaml", err);
    if (!catalogue_normalise(record->id, normalised) || catalogue_is_ambiguous(normalised))
        return schema_fail_at(source, "id", "stands for several licences", err);
    if (!all_of(record->family, lower))
        return schema_fail_at(source, "family",
                              "expected lower-case letters, digits, '.', '-' and '+'", err);
    for (uint32_t i = 0; i < record->alias_count; i++) {
        char path[PATH_BYTES];
        (void)snprintf(path, sizeof path, "aliases[%u]", i);
        if (!catalogue_normalise(record->aliases[i], normalised) ||
            catalogue_is_ambiguous(normalised))
            return schema_fail_at(source, path,
                                  "stands for several licences, so it is nobody's alias", err);
    }
    for (uint32_t i = 0; i < record->link_count; i++) {
        char path[PATH_BYTES];
        (void)snprintf(path, sizeof path, "links[%u]", i);
        if (strlen(record->links[i]) < 4 || strpbrk(record->links[i], "/.") == NULL)
            return schema_fail_at(source, path, "expected part of a URL, as org/name", err);
    }
    return 0;
}

static int check_evidence(const struct license_record *record, const struct schema_source *source,
                          struct error *err)
{
    bool is_hearsay = WORD_IS(record->grade, GRADE_S) || WORD_IS(record->grade, GRADE_K);
    uint8_t verified;
    memcpy(&verified, &record->verified, 1); /* one up, so not to be read as a bool yet */
    if (is_hearsay && WORD_IS(verified, true))
        return schema_fail_at(source, "verified",
                              "grade S or K is nobody's reading of the text: verified is false",
                              err);
    if (record->source_count == 0 && !WORD_IS(record->grade, GRADE_K))
        return schema_fail_at(source, "grade", "needs sources: where the text was read", err);
    if ((WORD_IS(record->osaid, ANSWER_NO) || WORD_IS(record->osaid, ANSWER_CONDITIONAL)) &&
        record->osaid_reason[0] == '\0')
        return schema_fail_at(source, "osaid", "needs osaid_reason: which term", err);
    if ((WORD_IS(record->ai_act, ANSWER_NO) || WORD_IS(record->ai_act, ANSWER_CONDITIONAL)) &&
        record->ai_act_reason[0] == '\0')
        return schema_fail_at(source, "ai_act", "needs ai_act_reason: which term", err);
    for (uint32_t i = 0; i < record->policy_count; i++) {
        const char *url = record->policies[i].url;
        char path[PATH_BYTES];
        (void)snprintf(path, sizeof path, "policies[%u].url", i);
        if ((strncmp(url, "https://", 8) != 0 && strncmp(url, "http://", 7) != 0) ||
            strpbrk(url, " \t\r\n\"<>") != NULL)
            return schema_fail_at(source, path, "expected a URL, http:// or https://", err);
    }
    return 0;
}

static int check_texts(const struct license_record *record, const struct schema_source *source,
                       struct error *err)
{
    for (uint32_t i = 0; i < record->text_count; i++) {
        const char *digest = record->texts[i].digest;
        char path[PATH_BYTES];
        (void)snprintf(path, sizeof path, "texts[%u].digest", i);
        if (strlen(digest) != 64 || !all_of(digest, "0123456789abcdef"))
            return schema_fail_at(source, path, "expected 64 digits, 0 to 9 and a to f", err);
        for (uint32_t j = 0; j < i; j++)
            if (strcmp(digest, record->texts[j].digest) == 0)
                return schema_fail_at(source, path, "the same text is listed twice", err);
    }
    return 0;
}

int catalogue_check_record(const struct license_record *record, const struct schema_source *source,
                           struct error *err)
{
    int result = check_identity(record, source, err);
    if (result == 0)
        result = check_evidence(record, source, err);
    for (uint32_t i = 0; i < record->condition_count && result == 0; i++) {
        result = catalogue_check_condition(&record->conditions[i], i, source, err);
        for (uint32_t j = 0; j < i && result == 0; j++)
            if (strcmp(record->conditions[i].id, record->conditions[j].id) == 0) {
                struct place place = {.source = source, .list = "conditions", .index = i};
                result = fail(&place, "id", "the id of an earlier condition; give it its own", err);
            }
    }
    return result == 0 ? check_texts(record, source, err) : result;
}

int catalogue_check_lineage(const struct lineage_row *rows, uint32_t count,
                            const struct schema_source *source, struct error *err)
{
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t j = 0; j < i; j++)
            if (strcasecmp(rows[i].model, rows[j].model) == 0) {
                char path[PATH_BYTES];
                (void)snprintf(path, sizeof path, "[%u].model", i);
                return schema_fail_at(source, path, "an earlier row has the same; it would win",
                                      err);
            }
    return 0;
}
