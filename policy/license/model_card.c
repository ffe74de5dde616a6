/* SPDX-License-Identifier: Apache-2.0 */
/* model_card.c -- front matter by libyaml's events, one pass, nothing built.
 *
 * A document would resolve aliases, and a node may then hold itself; events show an alias as what
 * it is. Of the keys we ask for, whatever is not a name or a list of names is an error rather than
 * nothing: a licence that we cannot read must not look like a card that gives none. */
#include "policy/license/model_card.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#define CARD_DEPTH_MAX    64u
#define CARD_STRING_BYTES 1024u /* no name or link that we know is longer; the rest is cut */
#define FIRST_YAML_LINE   2u    /* the line after "---" */

struct reader {
    yaml_parser_t parser;
    yaml_event_t event; /* the current one, deleted by the next step */
    struct model_card *card;
    struct error *err;
};

struct card_field {
    const char *key;
    size_t strings;     /* offset of a char *, or of MODEL_CARD_LIST_MAX of them */
    size_t count_index; /* offset of the list's count; 0 for a single string */
};

static const struct card_field fields[] = {
    {"license", offsetof(struct model_card, licenses), offsetof(struct model_card, license_count)},
    {"license_name", offsetof(struct model_card, license_name), 0},
    {"license_link", offsetof(struct model_card, license_link), 0},
    {"base_model", offsetof(struct model_card, base_models),
     offsetof(struct model_card, base_model_count)},
    {"base_model_relation", offsetof(struct model_card, base_model_relation), 0},
    {"pipeline_tag", offsetof(struct model_card, pipeline_tag), 0},
};
static_assert(offsetof(struct model_card, licenses) == 0, "so that 0 is no offset of a count");

void model_card_destroy(struct model_card *card)
{
    for (uint32_t i = 0; i < card->license_count; i++)
        free(card->licenses[i]);
    for (uint32_t i = 0; i < card->base_model_count; i++)
        free(card->base_models[i]);
    free(card->license_name);
    free(card->license_link);
    free(card->base_model_relation);
    free(card->pipeline_tag);
    memset(card, 0, sizeof *card);
}

static size_t line_of(const yaml_event_t *event)
{
    return event->start_mark.line + FIRST_YAML_LINE;
}

static int next(struct reader *reader)
{
    yaml_event_delete(&reader->event);
    if (yaml_parser_parse(&reader->parser, &reader->event))
        return 0;
    const yaml_parser_t *parser = &reader->parser;
    if (parser->error == YAML_MEMORY_ERROR)
        return error_no_memory(reader->err);
    const char *problem = parser->problem == NULL ? "not YAML" : parser->problem;
    if (parser->error == YAML_READER_ERROR) /* which knows bytes, not lines */
        return error_set(reader->err, ERROR_INVALID, "front matter: %s", problem);
    return error_set(reader->err, ERROR_INVALID, "line %zu: %s",
                     parser->problem_mark.line + FIRST_YAML_LINE, problem);
}

/* Leaves the current node behind: its last event is then the current one. */
static int skip_node(struct reader *reader)
{
    uint32_t depth = 0;
    for (;;) {
        yaml_event_type_t type = reader->event.type;
        if (type == YAML_SEQUENCE_START_EVENT || type == YAML_MAPPING_START_EVENT)
            depth++;
        if (type == YAML_SEQUENCE_END_EVENT || type == YAML_MAPPING_END_EVENT)
            depth--;
        if (depth == 0)
            return 0;
        if (depth > CARD_DEPTH_MAX)
            return error_set(reader->err, ERROR_INVALID, "line %zu: nested deeper than %u",
                             line_of(&reader->event), CARD_DEPTH_MAX);
        int result = next(reader);
        if (result != 0)
            return result;
    }
}

static bool says_nothing(const yaml_event_t *event)
{
    const char *value = (const char *)event->data.scalar.value;
    if (event->data.scalar.length == 0)
        return true;
    if (event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return false;
    return strcmp(value, "~") == 0 || strcmp(value, "null") == 0 || strcmp(value, "Null") == 0 ||
           strcmp(value, "NULL") == 0;
}

/* A copy of the current scalar. "mit\0, but ..." must not end at its NUL. */
static int copy_scalar(struct reader *reader, char **ret)
{
    size_t count = reader->event.data.scalar.length;
    if (count > CARD_STRING_BYTES)
        count = CARD_STRING_BYTES;
    char *copy = malloc(count + 1);
    if (copy == NULL)
        return error_no_memory(reader->err);
    memcpy(copy, reader->event.data.scalar.value, count);
    for (size_t i = 0; i < count; i++)
        if ((unsigned char)copy[i] < 0x20)
            copy[i] = ' ';
    copy[count] = '\0';
    *ret = copy;
    return 0;
}

static int add_to_list(struct reader *reader, const struct card_field *field)
{
    char **strings = (char **)((char *)reader->card + field->strings);
    uint32_t *count = (uint32_t *)((char *)reader->card + field->count_index);
    if (*count == MODEL_CARD_LIST_MAX)
        return error_set(reader->err, ERROR_INVALID, "line %zu: %s: more than %u names",
                         line_of(&reader->event), field->key, MODEL_CARD_LIST_MAX);
    int result = copy_scalar(reader, &strings[*count]);
    if (result == 0)
        (*count)++;
    return result;
}

static int set_string(struct reader *reader, const struct card_field *field)
{
    char **slot = (char **)((char *)reader->card + field->strings);
    char *copy = NULL;
    int result = copy_scalar(reader, &copy);
    if (result != 0)
        return result;
    free(*slot); /* of a key that stands twice the last counts, as it does on hubs */
    *slot = copy;
    return 0;
}

static int read_scalar(struct reader *reader, const struct card_field *field)
{
    if (reader->event.type != YAML_SCALAR_EVENT)
        return error_set(reader->err, ERROR_INVALID, "line %zu: %s is no name%s",
                         line_of(&reader->event), field->key,
                         reader->event.type == YAML_ALIAS_EVENT ? " but an alias" : "");
    if (says_nothing(&reader->event))
        return 0;
    return field->count_index == 0 ? set_string(reader, field) : add_to_list(reader, field);
}

/* The current event begins the value of the key. */
static int read_value(struct reader *reader, const struct card_field *field)
{
    if (reader->event.type != YAML_SEQUENCE_START_EVENT)
        return read_scalar(reader, field);
    for (;;) {
        int result = next(reader);
        if (result != 0 || reader->event.type == YAML_SEQUENCE_END_EVENT)
            return result;
        result = read_scalar(reader, field);
        if (result != 0)
            return result;
    }
}

static const struct card_field *field_of(const yaml_event_t *event)
{
    if (event->type != YAML_SCALAR_EVENT)
        return NULL;
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        if (strcmp(fields[i].key, (const char *)event->data.scalar.value) == 0)
            return &fields[i];
    return NULL;
}

/* Matter that is no mapping is a rule drawn above some text, and says nothing. */
static int read_matter(struct reader *reader)
{
    int result = next(reader);
    while (result == 0 && (reader->event.type == YAML_STREAM_START_EVENT ||
                           reader->event.type == YAML_DOCUMENT_START_EVENT))
        result = next(reader);
    if (result != 0 || reader->event.type != YAML_MAPPING_START_EVENT)
        return result;
    for (;;) {
        result = next(reader);
        if (result != 0 || reader->event.type == YAML_MAPPING_END_EVENT)
            return result;
        const struct card_field *field = field_of(&reader->event);
        result = skip_node(reader);
        if (result == 0)
            result = next(reader);
        if (result == 0)
            result = field == NULL ? skip_node(reader) : read_value(reader, field);
        if (result != 0)
            return result;
    }
}

/* The line at `at`, without its end; *ret_next is where the one after it begins. */
static size_t line_length(const char *bytes, size_t count, size_t at, size_t *ret_next)
{
    const char *end = memchr(bytes + at, '\n', count - at);
    size_t length = (end == NULL ? count : (size_t)(end - bytes)) - at;
    *ret_next = end == NULL ? count : at + length + 1;
    while (length > 0 && strchr(" \t\r", bytes[at + length - 1]) != NULL &&
           bytes[at + length - 1] != '\0')
        length--;
    return length;
}

static bool is_fence(const char *bytes, size_t count, size_t at, size_t *ret_next)
{
    return line_length(bytes, count, at, ret_next) == 3 && memcmp(bytes + at, "---", 3) == 0;
}

/* Where the matter begins and ends; false when there is none. */
static bool find_matter(const char *bytes, size_t count, size_t *ret_begin, size_t *ret_end)
{
    size_t at = count >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    if (at == count || !is_fence(bytes, count, at, &at))
        return false;
    *ret_begin = at;
    for (size_t after; at < count; at = after) {
        *ret_end = at;
        if (is_fence(bytes, count, at, &after))
            return true;
    }
    *ret_end = count;
    return false;
}

int model_card_init(struct model_card *card, const char *bytes, size_t count, struct error *err)
{
    size_t begin = 0, end = 0;
    memset(card, 0, sizeof *card);
    if (!find_matter(bytes, count < MODEL_CARD_BYTES_MAX ? count : MODEL_CARD_BYTES_MAX, &begin,
                     &end))
        return end < MODEL_CARD_BYTES_MAX
                   ? 0
                   : error_set(err, ERROR_INVALID, "front matter of more than %u bytes",
                               MODEL_CARD_BYTES_MAX);
    struct reader reader = {.card = card, .err = err};
    if (!yaml_parser_initialize(&reader.parser))
        return error_no_memory(err);
    yaml_parser_set_input_string(&reader.parser, (const unsigned char *)bytes + begin, end - begin);
    int result = read_matter(&reader);
    yaml_event_delete(&reader.event);
    yaml_parser_delete(&reader.parser);
    if (result != 0)
        model_card_destroy(card);
    return result;
}
