/* SPDX-License-Identifier: Apache-2.0 */
/* catalogue_json.c -- a record as JSON, in the shape and the words of its file: the schema that
 * reads the file also writes it, so that no key has a second list. */
#include "policy/license/catalogue_schema.h"

#include "base/text.h"
#include "policy/license/catalogue.h"

#include <string.h>

static const char *word_at(const cyaml_schema_value_t *schema, const void *place)
{
    uint32_t value = 0;
    memcpy(&value, place, schema->data_size);
    for (uint32_t i = 0; i < schema->enumeration.count; i++) /* the tables are one up */
        if ((uint32_t)schema->enumeration.strings[i].val == value + 1)
            return schema->enumeration.strings[i].str;
    return "unknown"; /* an answer that the table leaves out */
}

static void append_string(struct text *out, const char *string)
{
    text_append_json(out, string, strlen(string));
}

static void append_bits(const cyaml_schema_value_t *schema, const void *place, struct text *out)
{
    uint32_t bits, count = 0;
    memcpy(&bits, place, sizeof bits);
    text_append_char(out, '[');
    for (uint32_t i = 0; i < schema->enumeration.count; i++)
        if ((bits & (uint32_t)schema->enumeration.strings[i].val) != 0) {
            text_append_string(out, count++ > 0 ? "," : "");
            append_string(out, schema->enumeration.strings[i].str);
        }
    text_append_char(out, ']');
}

/* A key that the kind or the metric does not have would show a default that no text says. */
static bool is_shown(const cyaml_schema_value_t *mapping, const cyaml_schema_field_t *field,
                     const void *place)
{
    if (mapping->mapping.fields == catalogue_condition_fields)
        return catalogue_kind_has_key(((const struct license_condition *)place)->kind, field->key);
    if (mapping->mapping.fields == catalogue_limb_fields && strcmp(field->key, "currency") == 0)
        return ((const struct threshold_limb *)place)->metric == METRIC_REVENUE;
    return true;
}

static void append_value(const cyaml_schema_value_t *schema, const char *place, uint32_t count,
                         struct text *out);

static void append_mapping(const cyaml_schema_value_t *schema, const char *place, struct text *out)
{
    const char *comma = "";
    text_append_char(out, '{');
    for (const cyaml_schema_field_t *field = schema->mapping.fields; field->key != NULL; field++) {
        uint32_t entries = 0;
        if (!is_shown(schema, field, place))
            continue;
        if (field->value.type == CYAML_SEQUENCE)
            memcpy(&entries, place + field->count_offset, sizeof entries);
        text_append_string(out, comma);
        append_string(out, field->key);
        text_append_char(out, ':');
        append_value(&field->value, place + field->data_offset, entries, out);
        comma = ",";
    }
    text_append_char(out, '}');
}

/* The schema bounds the recursion. count: of the entries, when it is a list. */
static void append_value(const cyaml_schema_value_t *schema, const char *place, uint32_t count,
                         struct text *out)
{
    if ((schema->flags & CYAML_FLAG_POINTER) != 0)
        place = *(const char *const *)place;
    switch (schema->type) {
    case CYAML_MAPPING:
        append_mapping(schema, place, out);
        break;
    case CYAML_SEQUENCE: {
        const cyaml_schema_value_t *entry = schema->sequence.entry;
        bool by_pointer = (entry->flags & CYAML_FLAG_POINTER) != 0;
        size_t stride = by_pointer ? sizeof(char *) : entry->data_size;
        text_append_char(out, '[');
        for (uint32_t i = 0; i < count; i++) {
            text_append_string(out, i > 0 ? "," : "");
            append_value(entry, place + i * stride, 0, out);
        }
        text_append_char(out, ']');
        break;
    }
    case CYAML_STRING:
        append_string(out, place);
        break;
    case CYAML_FLAGS:
        append_bits(schema, place, out);
        break;
    case CYAML_UINT: {
        uint64_t value;
        memcpy(&value, place, sizeof value);
        text_append_u64(out, value);
        break;
    }
    default: /* an enum; a switch is one of a byte */
        if (schema->data_size == sizeof(bool))
            text_append_string(out, *(const bool *)place ? "true" : "false");
        else
            append_string(out, word_at(schema, place));
    }
}

void catalogue_write_json(const struct license_record *record, struct text *out)
{
    append_value(&catalogue_record_schema, (const char *)&record, 0, out);
}

static const char *record_word(const struct license_record *record, const char *key)
{
    const cyaml_schema_field_t *field = catalogue_record_schema.mapping.fields;
    while (strcmp(field->key, key) != 0)
        field++;
    return word_at(&field->value, (const char *)record + field->data_offset);
}

const char *catalogue_category_word(const struct license_record *record)
{
    return record_word(record, "category");
}

const char *catalogue_grade_word(const struct license_record *record)
{
    return record_word(record, "grade");
}
