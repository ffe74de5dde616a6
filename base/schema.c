/* SPDX-License-Identifier: Apache-2.0 */
/* schema.c -- libcyaml loads, libyaml finds the place, and one sentence says both.
 *
 * Three things libcyaml does not give:
 *
 *     a message    it logs lines ("Unexpected key: prot", then a backtrace of fields, innermost
 *                  first). on_log() captures them; said_by_libcyaml() puts them into a sentence.
 *     a line       it forgets positions once loaded, and its backtrace names the event before
 *                  the fault. find_line() asks libyaml, which libcyaml stands on, for the place
 *                  of a path such as models[1].path; only a file with an error is read so twice.
 *     strictness   strtoull() reads "1e9" as 1, and a licence's threshold must not. A document in
 *                  which a number or a boolean was read is walked once more beside its schema.
 *
 * The road not taken is a loader of our own over libyaml's events: the shape checks, the lists
 * and the freeing are most of the work, and libcyaml has them right. */
#include "base/schema.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yaml.h>

#define PATH_PARTS_MAX 8u /* deepest is access.api_keys[1].tenant: 4 */
#define PATH_TEXT_MAX  256u
#define MESSAGE_MAX    400u
#define DEPTH_MAX      32u

/* -- Places -- */

/* The events of libyaml, with the path followed as far as it leads. Its documents would be simpler
 * to walk, but loading one is quadratic in nesting and in anchors, and what is at fault may be
 * hostile. */
struct level {
    const char *at; /* what is left of the path for what lies in here; NULL off the path */
    const char *value_at;
    uint32_t index;
    bool is_mapping, expects_value;
};

struct finder {
    struct level levels[DEPTH_MAX];
    uint32_t depth;
    const char *path; /* NULL once the first document has ended */
    size_t line;
};

static const char *after_dot(const char *path)
{
    return path + (*path == '.');
}

/* What follows the step when it leads to that key, else NULL. */
static const char *step_to_key(const char *path, const yaml_event_t *event)
{
    if (path == NULL || event->type != YAML_SCALAR_EVENT)
        return NULL;
    size_t count = strcspn(path, ".[");
    if (count == 0 || event->data.scalar.length != count ||
        memcmp(event->data.scalar.value, path, count) != 0)
        return NULL;
    return after_dot(path + count);
}

static const char *step_to_entry(const char *path, uint32_t index)
{
    char *end;
    if (path == NULL || *path != '[' || strtoul(path + 1, &end, 10) != index || end == path + 1)
        return NULL;
    return after_dot(*end == ']' ? end + 1 : end);
}

/* A node begins: what is left of the path for what lies in it. Of two keys of one name the second
 * is found, being the one too many. */
static const char *find_in_level(struct finder *finder, const yaml_event_t *event)
{
    if (finder->depth == 0)
        return finder->path;
    struct level *level = &finder->levels[finder->depth - 1];
    const char *at = NULL;
    if (level->is_mapping && level->expects_value) {
        at = level->value_at;
    } else if (level->is_mapping) {
        level->value_at = step_to_key(level->at, event);
        if (level->value_at != NULL)
            finder->line = event->start_mark.line + 1;
    } else {
        at = step_to_entry(level->at, level->index++);
        if (at != NULL)
            finder->line = event->start_mark.line + 1;
    }
    level->expects_value = level->is_mapping && !level->expects_value;
    return at;
}

/* False for what is nested too deep. */
static bool find_on(struct finder *finder, const yaml_event_t *event)
{
    const char *at;
    switch (event->type) {
    case YAML_SCALAR_EVENT:
    case YAML_ALIAS_EVENT:
        (void)find_in_level(finder, event);
        return true;
    case YAML_MAPPING_START_EVENT:
    case YAML_SEQUENCE_START_EVENT:
        at = find_in_level(finder, event);
        if (finder->depth == DEPTH_MAX)
            return false;
        finder->levels[finder->depth++] =
            (struct level){.at = at, .is_mapping = event->type == YAML_MAPPING_START_EVENT};
        return true;
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
        finder->depth--;
        return true;
    case YAML_DOCUMENT_END_EVENT:
        finder->path = NULL;
        return true;
    default:
        return true;
    }
}

/* 0 and finder->line, or the error of a text that is not YAML or too deep. */
static int find_line(const struct schema_source *source, struct finder *finder, struct error *err)
{
    yaml_parser_t parser;
    bool ended = false;
    int result = 0;
    if (!yaml_parser_initialize(&parser))
        return error_no_memory(err);
    yaml_parser_set_input_string(&parser, (const unsigned char *)source->bytes, source->count);
    while (!ended && result == 0) {
        yaml_event_t event;
        if (yaml_parser_parse(&parser, &event) == 0) {
            result = parser.error == YAML_MEMORY_ERROR
                         ? error_no_memory(err)
                         : error_set(err, ERROR_INVALID, "%s:%zu: not YAML: %s", source->name,
                                     parser.problem_mark.line + 1,
                                     parser.problem == NULL ? "cannot be read" : parser.problem);
            break;
        }
        if (!find_on(finder, &event))
            result = error_set(err, ERROR_INVALID, "%s:%zu: nested too deep", source->name,
                               event.start_mark.line + 1);
        ended = event.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    return result;
}

int schema_fail_at(const struct schema_source *source, const char *path, const char *message,
                   struct error *err)
{
    struct finder finder = {.path = path, .line = 1};
    int result = find_line(source, &finder, err);
    if (result != 0)
        return result;
    return error_set(err, ERROR_INVALID, "%s:%zu: %s%s%s", source->name, finder.line, path,
                     path[0] == '\0' ? "" : ": ", message);
}

/* Returns the length before, where to cut it again. */
static size_t path_append(char *path, const char *part)
{
    size_t used = strlen(path);
    if (part[0] != '\0')
        (void)snprintf(path + used, PATH_TEXT_MAX - used, "%s%s",
                       used == 0 || part[0] == '[' ? "" : ".", part);
    return used;
}

/* -- Strictness -- */

static bool is_number(const char *text, bool is_signed)
{
    if (is_signed && *text == '-')
        text++;
    if (!isdigit((unsigned char)*text) || (text[0] == '0' && text[1] != '\0'))
        return false;
    return text[strspn(text, "0123456789")] == '\0';
}

static bool is_boolean(const char *text)
{
    return strcmp(text, "true") == 0 || strcmp(text, "false") == 0 || strcmp(text, "yes") == 0 ||
           strcmp(text, "no") == 0;
}

static yaml_node_t *value_of(yaml_document_t *document, const yaml_node_t *mapping,
                             const char *name)
{
    size_t count = strlen(name);
    for (yaml_node_pair_t *pair = mapping->data.mapping.pairs.start;
         pair < mapping->data.mapping.pairs.top; pair++) {
        const yaml_node_t *key = yaml_document_get_node(document, pair->key);
        if (key->type == YAML_SCALAR_NODE && key->data.scalar.length == count &&
            memcmp(key->data.scalar.value, name, count) == 0)
            return yaml_document_get_node(document, pair->value);
    }
    return NULL;
}

/* A document that libcyaml has taken, node by node beside its schema. Whoever is not what it
 * seems fills message and leaves path at itself. The schema bounds the depth. */
static bool is_strict(yaml_document_t *document, yaml_node_t *node,
                      const cyaml_schema_value_t *value, char *path, char *message);

static bool is_strict_mapping(yaml_document_t *document, yaml_node_t *node,
                              const cyaml_schema_value_t *value, char *path, char *message)
{
    if (node->type != YAML_MAPPING_NODE)
        return true; /* an empty scalar where NULL is allowed */
    for (const cyaml_schema_field_t *field = value->mapping.fields; field->key != NULL; field++) {
        yaml_node_t *found = value_of(document, node, field->key);
        if (found == NULL)
            continue;
        size_t used = path_append(path, field->key);
        if (!is_strict(document, found, &field->value, path, message))
            return false;
        path[used] = '\0';
    }
    return true;
}

static bool is_strict_sequence(yaml_document_t *document, yaml_node_t *node,
                               const cyaml_schema_value_t *value, char *path, char *message)
{
    if (node->type != YAML_SEQUENCE_NODE)
        return true; /* an empty scalar where NULL is allowed */
    size_t count = (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
    for (size_t i = 0; i < count; i++) {
        char part[24];
        (void)snprintf(part, sizeof part, "[%zu]", i);
        size_t used = path_append(path, part);
        yaml_node_t *item = yaml_document_get_node(document, node->data.sequence.items.start[i]);
        if (!is_strict(document, item, value->sequence.entry, path, message))
            return false;
        path[used] = '\0';
    }
    return true;
}

static bool is_strict(yaml_document_t *document, yaml_node_t *node,
                      const cyaml_schema_value_t *value, char *path, char *message)
{
    switch (value->type) {
    case CYAML_MAPPING:
        return is_strict_mapping(document, node, value, path, message);
    case CYAML_SEQUENCE:
    case CYAML_SEQUENCE_FIXED:
        return is_strict_sequence(document, node, value, path, message);
    case CYAML_INT:
    case CYAML_UINT:
    case CYAML_BOOL:
        break;
    default:
        return true;
    }
    if (node->type != YAML_SCALAR_NODE)
        return true;
    const char *text = (const char *)node->data.scalar.value;
    bool strict =
        value->type == CYAML_BOOL ? is_boolean(text) : is_number(text, value->type == CYAML_INT);
    if (!strict)
        (void)snprintf(message, MESSAGE_MAX, "expected %s, got '%.60s'",
                       value->type == CYAML_BOOL ? "true or false" : "a whole number in digits",
                       text);
    return strict;
}

static int check_strictness(const struct schema_source *source, const cyaml_schema_value_t *root,
                            struct error *err)
{
    yaml_parser_t parser;
    yaml_document_t document;
    char path[PATH_TEXT_MAX] = "", message[MESSAGE_MAX] = "";
    bool strict = true;
    if (!yaml_parser_initialize(&parser))
        return error_no_memory(err);
    yaml_parser_set_input_string(&parser, (const unsigned char *)source->bytes, source->count);
    bool parsed = yaml_parser_load(&parser, &document) != 0;
    if (parsed) {
        strict = is_strict(&document, yaml_document_get_root_node(&document), root, path, message);
        yaml_document_delete(&document);
    }
    yaml_parser_delete(&parser);
    if (!parsed) /* libcyaml has parsed it before: only memory can be short */
        return error_no_memory(err);
    return strict ? 0 : schema_fail_at(source, path, message, err);
}

/* -- Messages -- */

struct capture {
    char message[256];              /* libcyaml's first error line */
    char parts[PATH_PARTS_MAX][64]; /* of the backtrace, innermost first; "" between two keys */
    uint32_t part_count;
    bool more_documents;
};

/* Keys and values come from the file and end on a terminal. */
static void blank_controls(char *line)
{
    for (; *line != '\0'; line++)
        if (iscntrl((unsigned char)*line))
            *line = ' ';
}

static void on_log(cyaml_log_t level, void *context, const char *format, va_list args)
{
    struct capture *capture = context;
    char line[256];
    (void)vsnprintf(line, sizeof line, format, args);
    size_t length = strlen(line);
    if (length > 0 && line[length - 1] == '\n')
        line[length - 1] = '\0';
    blank_controls(line);
    if (level < CYAML_LOG_ERROR) {
        capture->more_documents |= strncmp(line, "Ignoring documents", 18) == 0;
        return;
    }
    bool is_field = strncmp(line, "  in mapping field '", 20) == 0;
    bool is_entry = strncmp(line, "  in sequence entry '", 21) == 0;
    bool is_between = strncmp(line, "  in mapping (", 14) == 0;
    if ((is_field || is_entry || is_between) && capture->part_count < PATH_PARTS_MAX) {
        char *part = capture->parts[capture->part_count++];
        const char *quoted = line + (is_field ? 20 : 21);
        if (is_field)
            (void)snprintf(part, sizeof capture->parts[0], "%.*s", (int)strcspn(quoted, "'"),
                           quoted);
        else if (is_entry) /* libcyaml counts entries from 1, and so does nobody else here */
            (void)snprintf(part, sizeof capture->parts[0], "[%lu]", strtoul(quoted, NULL, 10) - 1);
    } else if (capture->message[0] == '\0' && line[0] != ' ' &&
               strcmp(line, "Load: Backtrace:") != 0) {
        const char *text = strncmp(line, "Load: ", 6) == 0 ? line + 6 : line;
        (void)snprintf(capture->message, sizeof capture->message, "%s", text);
    }
}

/* Levenshtein's distance, cut short: names of keys are short. */
static uint32_t distance(const char *a, const char *b)
{
    enum { NAME_MAX_BYTES = 32 };
    size_t a_count = strlen(a), b_count = strlen(b);
    uint32_t row[NAME_MAX_BYTES + 1];
    if (a_count > NAME_MAX_BYTES || b_count > NAME_MAX_BYTES)
        return UINT32_MAX;
    for (uint32_t j = 0; j <= b_count; j++)
        row[j] = j;
    for (uint32_t i = 1; i <= a_count; i++) {
        uint32_t diagonal = row[0];
        row[0] = i;
        for (uint32_t j = 1; j <= b_count; j++) {
            uint32_t change = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            uint32_t shorter = row[j] < row[j - 1] ? row[j] : row[j - 1];
            row[j] = change < shorter + 1 ? change : shorter + 1;
        }
    }
    return row[b_count];
}

static const char *nearest(const cyaml_schema_field_t *fields, const char *name)
{
    const char *best = NULL;
    uint32_t best_distance = 3; /* two slips of the finger, not more */
    for (; fields->key != NULL; fields++) {
        uint32_t d = distance(fields->key, name);
        if (d < best_distance) {
            best_distance = d;
            best = fields->key;
        }
    }
    return best;
}

/* The schema at the place that the backtrace names. NULL if it names none. */
static const cyaml_schema_value_t *value_at(const cyaml_schema_value_t *root,
                                            const struct capture *capture)
{
    const cyaml_schema_value_t *value = root;
    for (uint32_t i = capture->part_count; i > 0 && value != NULL; i--) {
        const char *part = capture->parts[i - 1];
        if (part[0] == '\0')
            continue;
        if (part[0] == '[') {
            bool is_list = value->type == CYAML_SEQUENCE || value->type == CYAML_SEQUENCE_FIXED;
            value = is_list ? value->sequence.entry : NULL;
            continue;
        }
        const cyaml_schema_field_t *field =
            value->type == CYAML_MAPPING ? value->mapping.fields : NULL;
        while (field != NULL && field->key != NULL && strcmp(field->key, part) != 0)
            field++;
        value = field != NULL && field->key != NULL ? &field->value : NULL;
    }
    return value;
}

static void list_words(const cyaml_schema_value_t *value, const char *got, char *message)
{
    size_t used = (size_t)snprintf(message, MESSAGE_MAX, "expected one of ");
    for (uint32_t i = 0; i < value->enumeration.count && used < MESSAGE_MAX; i++)
        used += (size_t)snprintf(message + used, MESSAGE_MAX - used, "%s%s", i > 0 ? ", " : "",
                                 value->enumeration.strings[i].str);
    if (used < MESSAGE_MAX)
        (void)snprintf(message + used, MESSAGE_MAX - used, ", got '%.60s'", got);
}

/* What follows a prefix, or NULL. */
static const char *after(const char *said, const char *prefix)
{
    size_t count = strlen(prefix);
    return strncmp(said, prefix, count) == 0 ? said + count : NULL;
}

/* The rest of a line "TYPE length < 1: VALUE" and its like: one sentence each. */
static void said_of_value(const char *said, const cyaml_schema_value_t *value, char *message)
{
    static const struct {
        const char *prefix, *sentence;
    } plain[] = {
        {"Mapping field already seen", "given twice; keep one"},
        {"Expecting MAPPING", "expected keys and values below it"},
        {"Expecting SEQUENCE", "expected a list, each entry after a '- '"},
        {"Expecting FLAGS", "expected a list, each entry after a '- '"},
        {"Expecting ", "expected a single value"},
        {"STRING length < 1:", "must not be empty"},
        {"STRING length > ", "too long"},
        {"Insufficient entries", "must not be empty"},
        {"Excessive entries", "too many entries"},
    };
    const char *rest;
    bool has_words = value != NULL && (value->type == CYAML_ENUM || value->type == CYAML_FLAGS);
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++)
        if (after(said, plain[i].prefix) != NULL) {
            (void)snprintf(message, MESSAGE_MAX, "%s", plain[i].sentence);
            return;
        }
    if (has_words && ((rest = after(said, "Invalid ENUM value: ")) != NULL ||
                      (rest = after(said, "Unknown flag: ")) != NULL))
        list_words(value, rest, message);
    else if ((rest = after(said, "Invalid UINT value: ")) != NULL ||
             (rest = after(said, "Invalid uint64_t value: ")) != NULL ||
             (rest = after(said, "Invalid INT value: ")) != NULL)
        (void)snprintf(message, MESSAGE_MAX, "expected a whole number in digits, got %s", rest);
    else
        (void)snprintf(message, MESSAGE_MAX, "%s", said[0] == '\0' ? "does not belong here" : said);
}

/* libcyaml's words into ours. */
static int said_by_libcyaml(const struct schema_source *source, const cyaml_schema_value_t *root,
                            const char *hint, struct capture *capture, struct error *err)
{
    char path[PATH_TEXT_MAX] = "", message[MESSAGE_MAX];
    const char *said = capture->message;
    const char *missing = after(said, "Missing required mapping field: ");
    const char *unknown = after(said, "Unexpected key: ");
    bool of_list = after(said, "Insufficient") != NULL || after(said, "Excessive") != NULL;
    /* libcyaml is still at the field before the missing one, or at an entry of the list meant */
    if (capture->part_count > 0 && (missing != NULL ? capture->parts[0][0] != '[' : of_list))
        capture->parts[0][0] = '\0';
    for (uint32_t i = capture->part_count; i > 0; i--)
        (void)path_append(path, capture->parts[i - 1]);
    const cyaml_schema_value_t *value = value_at(root, capture);
    if (missing != NULL) {
        (void)snprintf(message, sizeof message, "'%s' is missing; add it", missing);
    } else if (unknown != NULL) {
        const char *near = value != NULL && value->type == CYAML_MAPPING
                               ? nearest(value->mapping.fields, unknown)
                               : NULL;
        (void)snprintf(message, sizeof message, "unknown key; %s%s%s", near ? "did you mean '" : "",
                       near ? near : hint, near ? "'?" : "");
        (void)path_append(path, unknown);
    } else {
        said_of_value(said, value, message);
    }
    return schema_fail_at(source, path, message, err);
}

/* -- Loading -- */

static uint64_t read_count(const cyaml_schema_field_t *field, const char *mapping)
{
    const void *place = mapping + field->count_offset;
    switch (field->count_size) {
    case sizeof(uint8_t):
        return *(const uint8_t *)place;
    case sizeof(uint16_t):
        return *(const uint16_t *)place;
    case sizeof(uint32_t):
        return *(const uint32_t *)place;
    default:
        assert(field->count_size == sizeof(uint64_t));
        return *(const uint64_t *)place;
    }
}

/* The schema bounds the depth. count: of a list at place. */
static int walk(const cyaml_schema_value_t *value, void *place, uint64_t count,
                schema_visit_fn visit, void *context)
{
    int result = visit(context, value, place);
    char *at = place;
    if ((value->flags & CYAML_FLAG_POINTER) != 0)
        at = *(char **)place;
    if (result != 0 || at == NULL)
        return result;
    if (value->type == CYAML_MAPPING) {
        const cyaml_schema_field_t *field = value->mapping.fields;
        for (; field->key != NULL && result == 0; field++) {
            uint64_t entries = field->value.type == CYAML_SEQUENCE ? read_count(field, at) : 0;
            result = walk(&field->value, at + field->data_offset, entries, visit, context);
        }
    } else if (value->type == CYAML_SEQUENCE || value->type == CYAML_SEQUENCE_FIXED) {
        const cyaml_schema_value_t *entry = value->sequence.entry;
        bool by_pointer = (entry->flags & CYAML_FLAG_POINTER) != 0;
        size_t stride = by_pointer ? sizeof(void *) : entry->data_size;
        if (value->type == CYAML_SEQUENCE_FIXED)
            count = value->sequence.max;
        for (uint64_t i = 0; i < count && result == 0; i++)
            result = walk(entry, at + i * stride, 0, visit, context);
    }
    return result;
}

int schema_walk(const cyaml_schema_value_t *root, void *loaded, uint32_t count,
                schema_visit_fn visit, void *context)
{
    return walk(root, &loaded, count, visit, context);
}

static const cyaml_config_t plain_cyaml = {.mem_fn = cyaml_mem, .flags = CYAML_CFG_NO_ALIAS};

/* Absent strings become "". context: a bool, true once a value needs check_strictness(). */
static int on_loaded_value(void *context, const cyaml_schema_value_t *value, void *place)
{
    bool *strictness_matters = context;
    bool by_pointer = (value->flags & CYAML_FLAG_POINTER) != 0;
    if (value->type == CYAML_STRING && by_pointer) {
        const int keep = (CYAML_FLAG_POINTER_NULL & ~CYAML_FLAG_POINTER) | SCHEMA_FLAG_KEEP_NULL;
        char **string = place;
        if (*string != NULL || ((int)value->flags & keep) != 0)
            return 0;
        *string = cyaml_mem(NULL, NULL, 1); /* libcyaml frees it with the rest */
        if (*string == NULL)
            return ERROR_NO_MEMORY;
        **string = '\0';
    } else if (value->type == CYAML_UINT || value->type == CYAML_INT || value->type == CYAML_BOOL) {
        const char *at = by_pointer ? *(char **)place : place;
        for (uint32_t i = 0; at != NULL && i < value->data_size; i++)
            *strictness_matters |= at[i] != 0;
    }
    return 0;
}

static int load(const struct schema_source *source, const cyaml_schema_value_t *root,
                const char *hint, void **ret, uint32_t *ret_count, struct error *err)
{
    struct capture capture = {.part_count = 0};
    cyaml_config_t cyaml = plain_cyaml;
    void *loaded = NULL;
    unsigned count = 0;
    bool strictness_matters = false;
    cyaml.log_fn = on_log;
    cyaml.log_ctx = &capture;
    cyaml.log_level = CYAML_LOG_WARNING;
    cyaml_err_t status = cyaml_load_data((const uint8_t *)source->bytes, source->count, &cyaml,
                                         root, &loaded, ret_count == NULL ? NULL : &count);
    if (status == CYAML_ERR_OOM)
        return error_no_memory(err);
    if (status != CYAML_OK) {
        if (status == CYAML_ERR_ALIAS)
            (void)snprintf(capture.message, sizeof capture.message,
                           "aliases (*name) are not taken; write the value out");
        return said_by_libcyaml(source, root, hint, &capture, err);
    }
    int result = 0;
    if (capture.more_documents)
        result = schema_fail_at(source, "", "more than one document ('---'); keep one", err);
    else if (schema_walk(root, loaded, count, on_loaded_value, &strictness_matters) != 0)
        result = error_no_memory(err);
    else if (strictness_matters)
        result = check_strictness(source, root, err);
    if (result != 0) {
        schema_free_list(root, loaded, count);
        return result;
    }
    *ret = loaded;
    if (ret_count != NULL)
        *ret_count = count;
    return 0;
}

int schema_load(const struct schema_source *source, const cyaml_schema_value_t *root,
                const char *hint, void **ret, struct error *err)
{
    assert(root->type == CYAML_MAPPING);
    return load(source, root, hint, ret, NULL, err);
}

int schema_load_list(const struct schema_source *source, const cyaml_schema_value_t *root,
                     const char *hint, void **ret, uint32_t *ret_count, struct error *err)
{
    assert(root->type == CYAML_SEQUENCE);
    return load(source, root, hint, ret, ret_count, err);
}

void schema_free(const cyaml_schema_value_t *root, void *loaded)
{
    schema_free_list(root, loaded, 0);
}

void schema_free_list(const cyaml_schema_value_t *root, void *loaded, uint32_t count)
{
    if (loaded != NULL)
        (void)cyaml_free(&plain_cyaml, root, loaded, count);
}

/* -- Files -- */

int schema_read_file(const char *path, size_t bytes_max, char **ret, size_t *ret_count,
                     struct error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(err, errno, "%s", path);
    char *bytes = malloc(bytes_max + 1);
    size_t count = 0;
    ssize_t got = 0;
    int result = 0;
    if (bytes == NULL) {
        result = error_no_memory(err);
        goto done;
    }
    while (count <= bytes_max && (got = read(fd, bytes + count, bytes_max + 1 - count)) > 0)
        count += (size_t)got;
    if (got < 0)
        result = error_set_errno(err, errno, "%s", path);
    else if (count > bytes_max)
        result = error_set(err, ERROR_INVALID, "%s: larger than %zu bytes", path, bytes_max);
    if (result != 0)
        goto done;
    bytes[count] = '\0';
    *ret = bytes;
    *ret_count = count;
    bytes = NULL;
done:
    free(bytes);
    close(fd);
    return result;
}
