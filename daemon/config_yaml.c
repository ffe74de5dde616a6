/* SPDX-License-Identifier: Apache-2.0 */
/* config_yaml.c -- weir.yaml, by libcyaml, with errors that a person can act on.
 *
 * libcyaml checks the shape against a schema, which is made here from the table of keys: every
 * scalar is taken as text, and config_key_set() reads it, so that the file and the flags obey the
 * same rules. Two things libcyaml does not give:
 *
 *     a message    it logs lines ("Unexpected key: prot", then a backtrace of fields). They are
 *                  captured by on_log() and put into one sentence with a remedy.
 *     a line       it forgets positions once loaded, and its backtrace names the event before
 *                  the fault. line_of() asks libyaml, which libcyaml stands on, for the place of
 *                  a path such as models[1].path; only a file with an error is read so twice.
 *
 * All sections share one flat struct raw: a section's mapping has offset 0, its keys the index of
 * their row. The road not taken is a struct a section, each key then named in three places. */
#include "daemon/config_keys.h"

#include <assert.h>
#include <cyaml/cyaml.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml.h>

#define YAML_BYTES_MAX (1u << 20)
#define PATH_PARTS_MAX 6u /* deepest is access.api_keys[1].tenant: 4 */
#define PATH_TEXT_MAX  192u

struct raw_entry { /* a model's id and path; an API key and its tenant */
    char *first, *second;
};

struct raw {
    char *values[CONFIG_KEYS_MAX]; /* NULL where the file says nothing */
    struct raw_entry *models;
    uint32_t model_count;
    struct raw_entry *api_keys;
    uint32_t api_key_count;
};

/* -- The schema -- */

struct schema {
    cyaml_schema_field_t fields[CONFIG_SECTIONS_MAX][CONFIG_KEYS_MAX];
    cyaml_schema_field_t model_fields[3], api_key_fields[3];
    cyaml_schema_value_t model, api_key, root;
};

static cyaml_schema_field_t text_field(const char *name, size_t offset, bool optional)
{
    int flags = CYAML_FLAG_POINTER | (optional ? CYAML_FLAG_OPTIONAL : 0);
    return (cyaml_schema_field_t){
        .key = name,
        .data_offset = (uint32_t)offset,
        .value = {.type = CYAML_STRING,
                  .flags = (enum cyaml_flag)flags,
                  .data_size = sizeof(char),
                  .string = {.min = 0, .max = CYAML_UNLIMITED}},
    };
}

static cyaml_schema_field_t section_field(const char *name, const cyaml_schema_field_t *fields)
{
    return (cyaml_schema_field_t){
        .key = name,
        .value = {.type = CYAML_MAPPING,
                  .flags = CYAML_FLAG_OPTIONAL,
                  .data_size = sizeof(struct raw),
                  .mapping = {.fields = fields}},
    };
}

static cyaml_schema_field_t list_field(const char *name, size_t offset, size_t count_offset,
                                       const cyaml_schema_value_t *entry, uint32_t most)
{
    return (cyaml_schema_field_t){
        .key = name,
        .data_offset = (uint32_t)offset,
        .count_offset = (uint32_t)count_offset,
        .count_size = sizeof(uint32_t),
        .value = {.type = CYAML_SEQUENCE,
                  .flags = (enum cyaml_flag)(CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL),
                  .data_size = sizeof(struct raw_entry),
                  .sequence = {.entry = entry, .min = 0, .max = most}},
    };
}

static uint32_t section_index(const char *path, size_t count)
{
    uint32_t index = 0;
    while (strlen(config_sections[index]) != count ||
           strncmp(config_sections[index], path, count) != 0) {
        index++;
        assert(index < config_section_count); /* every section's parent is listed */
    }
    return index;
}

static cyaml_schema_value_t entry_value(const cyaml_schema_field_t *fields)
{
    return (cyaml_schema_value_t){.type = CYAML_MAPPING,
                                  .flags = CYAML_FLAG_DEFAULT,
                                  .data_size = sizeof(struct raw_entry),
                                  .mapping = {.fields = fields}};
}

/* The arrays end where a key is NULL; the schema comes zeroed. */
static void schema_fill(struct schema *schema)
{
    uint32_t used[CONFIG_SECTIONS_MAX] = {0};
    for (uint32_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        uint32_t section = section_index(key->section, strlen(key->section));
        schema->fields[section][used[section]++] =
            text_field(key->name, offsetof(struct raw, values) + i * sizeof(char *), true);
    }
    for (uint32_t i = 1; i < config_section_count; i++) {
        const char *dot = strchr(config_sections[i], '.');
        uint32_t parent =
            dot == NULL ? 0 : section_index(config_sections[i], (size_t)(dot - config_sections[i]));
        schema->fields[parent][used[parent]++] =
            section_field(dot == NULL ? config_sections[i] : dot + 1, schema->fields[i]);
    }
    schema->model_fields[0] = text_field("id", offsetof(struct raw_entry, first), true);
    schema->model_fields[1] = text_field("path", offsetof(struct raw_entry, second), false);
    schema->model = entry_value(schema->model_fields);
    schema->fields[0][used[0]++] =
        list_field("models", offsetof(struct raw, models), offsetof(struct raw, model_count),
                   &schema->model, CONFIG_MODELS_MAX);
    uint32_t access = section_index("access", 6);
    schema->api_key_fields[0] = text_field("key", offsetof(struct raw_entry, first), false);
    schema->api_key_fields[1] = text_field("tenant", offsetof(struct raw_entry, second), true);
    schema->api_key = entry_value(schema->api_key_fields);
    schema->fields[access][used[access]++] =
        list_field("api_keys", offsetof(struct raw, api_keys), offsetof(struct raw, api_key_count),
                   &schema->api_key, CONFIG_API_KEYS_MAX);
    schema->root = (cyaml_schema_value_t){.type = CYAML_MAPPING,
                                          .flags = CYAML_FLAG_POINTER,
                                          .data_size = sizeof(struct raw),
                                          .mapping = {.fields = schema->fields[0]}};
}

/* -- Places -- */

/* The node that a step of a path leads to; ret_key: the node to point at. NULL when absent. */
static yaml_node_t *step_into(yaml_document_t *document, yaml_node_t *node, const char *name,
                              size_t count, yaml_node_t **ret_key)
{
    if (node->type != YAML_MAPPING_NODE)
        return NULL;
    yaml_node_t *found = NULL;
    for (yaml_node_pair_t *pair = node->data.mapping.pairs.start;
         pair < node->data.mapping.pairs.top; pair++) {
        yaml_node_t *key = yaml_document_get_node(document, pair->key);
        if (key->type != YAML_SCALAR_NODE || key->data.scalar.length != count ||
            memcmp(key->data.scalar.value, name, count) != 0)
            continue;
        *ret_key = key; /* the last of that name: of two, the second is the one too many */
        found = yaml_document_get_node(document, pair->value);
    }
    return found;
}

/* Follows "models[1].path" as far as it leads. */
static size_t line_in(yaml_document_t *document, const char *path)
{
    yaml_node_t *node = yaml_document_get_root_node(document);
    size_t line = 0;
    while (node != NULL && *path != '\0') {
        if (*path == '[') {
            char *after;
            unsigned long index = strtoul(path + 1, &after, 10);
            if (node->type != YAML_SEQUENCE_NODE ||
                index >= (size_t)(node->data.sequence.items.top - node->data.sequence.items.start))
                break;
            node = yaml_document_get_node(document, node->data.sequence.items.start[index]);
            line = node->start_mark.line;
            path = *after == ']' ? after + 1 : after;
        } else {
            size_t count = strcspn(path, ".[");
            yaml_node_t *key = NULL;
            node = step_into(document, node, path, count, &key);
            if (node != NULL)
                line = key->start_mark.line;
            path += count;
        }
        path += *path == '.';
    }
    return line + 1;
}

/* The line of what the path names, from 1; or where the text stops being YAML, with ret_problem
 * then saying why. */
static size_t line_of(const char *yaml, size_t count, const char *path, char *ret_problem,
                      size_t problem_bytes)
{
    yaml_parser_t parser;
    yaml_document_t document;
    size_t line = 1;
    ret_problem[0] = '\0';
    if (!yaml_parser_initialize(&parser))
        return line;
    yaml_parser_set_input_string(&parser, (const unsigned char *)yaml, count);
    if (yaml_parser_load(&parser, &document)) {
        line = line_in(&document, path);
        yaml_document_delete(&document);
    } else {
        line = parser.problem_mark.line + 1;
        (void)snprintf(ret_problem, problem_bytes, "%s",
                       parser.problem == NULL ? "not YAML" : parser.problem);
    }
    yaml_parser_delete(&parser);
    return line;
}

/* -- Messages -- */

struct capture {
    char message[256];              /* libcyaml's first error line */
    char parts[PATH_PARTS_MAX][64]; /* fields of the backtrace, innermost first */
    uint32_t part_count;
};

static void on_log(cyaml_log_t level, void *context, const char *format, va_list args)
{
    struct capture *capture = context;
    char line[256];
    if (level < CYAML_LOG_ERROR)
        return;
    (void)vsnprintf(line, sizeof line, format, args);
    line[strcspn(line, "\n")] = '\0';
    const char *quote = strchr(line, '\'');
    bool is_field = strncmp(line, "  in mapping field '", 20) == 0;
    bool is_entry = strncmp(line, "  in sequence entry '", 21) == 0;
    if ((is_field || is_entry) && capture->part_count < PATH_PARTS_MAX) {
        char *part = capture->parts[capture->part_count++];
        int length = (int)strcspn(quote + 1, "'");
        if (is_field)
            (void)snprintf(part, sizeof capture->parts[0], "%.*s", length, quote + 1);
        else /* libcyaml counts entries from 1, and so does nobody who writes paths */
            (void)snprintf(part, sizeof capture->parts[0], "[%lu]",
                           strtoul(quote + 1, NULL, 10) - 1);
    } else if (capture->message[0] == '\0' && line[0] != ' ') {
        const char *text = strncmp(line, "Load: ", 6) == 0 ? line + 6 : line;
        (void)snprintf(capture->message, sizeof capture->message, "%s", text);
    }
}

static void append_part(char *path, const char *part)
{
    size_t used = strlen(path);
    (void)snprintf(path + used, PATH_TEXT_MAX - used, "%s%s",
                   used == 0 || part[0] == '[' ? "" : ".", part);
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

/* The fields allowed at a path. */
static const cyaml_schema_field_t *fields_at(const struct schema *schema, const char *path)
{
    if (strncmp(path, "models", 6) == 0)
        return schema->model_fields;
    if (strncmp(path, "access.api_keys", 15) == 0)
        return schema->api_key_fields;
    for (uint32_t i = 0; i < config_section_count; i++)
        if (strcmp(config_sections[i], path) == 0)
            return schema->fields[i];
    return schema->fields[0];
}

struct source {
    const char *name, *yaml;
    size_t count;
};

static int fail_at(const struct source *source, const char *path, const char *message,
                   struct error *err)
{
    char problem[128];
    size_t line = line_of(source->yaml, source->count, path, problem, sizeof problem);
    if (problem[0] != '\0')
        return error_set(err, ERROR_INVALID, "%s:%zu: not YAML: %s", source->name, line, problem);
    return error_set(err, ERROR_INVALID, "%s:%zu: %s%s%s", source->name, line, path,
                     path[0] == '\0' ? "" : ": ", message);
}

/* libcyaml's words into ours. */
static int fail_by_schema(const struct source *source, const struct schema *schema,
                          const struct capture *capture, struct error *err)
{
    char path[PATH_TEXT_MAX] = "", message[400];
    for (uint32_t i = capture->part_count; i > 0; i--)
        append_part(path, capture->parts[i - 1]);
    const char *said = capture->message;
    char *last = strrchr(path, '.');
    if (last != NULL && strncmp(said, "Missing", 7) == 0)
        *last = '\0'; /* libcyaml is still at the field before the missing one */
    if (strncmp(said, "Unexpected key: ", 16) == 0) {
        const char *near = nearest(fields_at(schema, path), said + 16);
        (void)snprintf(message, sizeof message, "unknown key%s%s%s", near ? "; did you mean '" : "",
                       near ? near : "", near ? "'?" : "; config/weir.yaml lists all keys");
        append_part(path, said + 16);
    } else if (strncmp(said, "Mapping field already seen", 26) == 0) {
        (void)snprintf(message, sizeof message, "given twice; keep one");
    } else if (strncmp(said, "Expecting MAPPING", 17) == 0) {
        (void)snprintf(message, sizeof message, "expected keys and values below it");
    } else if (strncmp(said, "Expecting SEQUENCE", 18) == 0) {
        (void)snprintf(message, sizeof message, "expected a list, each entry after a '- '");
    } else if (strncmp(said, "Expecting STRING", 16) == 0) {
        (void)snprintf(message, sizeof message, "expected a single value");
    } else if (strncmp(said, "Missing required mapping field: ", 32) == 0) {
        (void)snprintf(message, sizeof message, "'%s' is missing; add it", said + 32);
    } else {
        (void)snprintf(message, sizeof message, "%s", said);
    }
    return fail_at(source, path, message, err);
}

/* -- Values -- */

static int take_values(struct config *config, const struct raw *raw, const struct source *source,
                       struct error *err)
{
    struct error inner;
    for (uint32_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        if (raw->values[i] == NULL || config_key_set(config, key, raw->values[i], &inner) == 0)
            continue;
        char path[PATH_TEXT_MAX];
        (void)snprintf(path, sizeof path, "%s.%s", key->section, key->name);
        return fail_at(source, path, inner.text, err);
    }
    for (uint32_t i = 0; i < raw->model_count; i++) {
        const struct raw_entry *model = &raw->models[i];
        char path[PATH_TEXT_MAX];
        (void)snprintf(path, sizeof path, "models[%u]", i);
        if (config_add_model(config, model->first == NULL ? "" : model->first, model->second,
                             &inner) != 0)
            return fail_at(source, path, inner.text, err);
    }
    for (uint32_t i = 0; i < raw->api_key_count; i++) {
        const struct raw_entry *key = &raw->api_keys[i];
        char path[PATH_TEXT_MAX];
        (void)snprintf(path, sizeof path, "access.api_keys[%u]", i);
        if (config_add_api_key(config, key->first, key->second == NULL ? "" : key->second,
                               &inner) != 0)
            return fail_at(source, path, inner.text, err);
    }
    return 0;
}

int config_load_yaml(struct config *config, const char *name, const char *yaml, size_t count,
                     struct error *err)
{
    struct source source = {.name = name, .yaml = yaml, .count = count};
    struct capture capture = {.part_count = 0};
    struct raw *raw = NULL;
    struct schema *schema = calloc(1, sizeof *schema);
    if (schema == NULL)
        return error_no_memory(err);
    schema_fill(schema);
    /* Aliases could make a small file large; a configuration of this size needs none. */
    cyaml_config_t cyaml = {.log_fn = on_log,
                            .log_ctx = &capture,
                            .mem_fn = cyaml_mem,
                            .log_level = CYAML_LOG_ERROR,
                            .flags = CYAML_CFG_NO_ALIAS};
    cyaml_err_t loaded = cyaml_load_data((const uint8_t *)yaml, count, &cyaml, &schema->root,
                                         (cyaml_data_t **)&raw, NULL);
    int result = 0;
    if (loaded == CYAML_ERR_OOM)
        result = error_no_memory(err);
    else if (loaded == CYAML_ERR_ALIAS)
        result = fail_at(&source, "", "aliases (*name) are not taken; write the value out", err);
    else if (loaded != CYAML_OK)
        result = fail_by_schema(&source, schema, &capture, err);
    else if (raw != NULL) /* NULL for a file of comments only */
        result = take_values(config, raw, &source, err);
    if (raw != NULL)
        (void)cyaml_free(&cyaml, &schema->root, raw, 0);
    free(schema);
    return result;
}

int config_load_file(struct config *config, const char *path, struct error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(err, errno, "%s", path);
    char *yaml = malloc(YAML_BYTES_MAX + 1);
    size_t count = 0;
    ssize_t got = 0;
    int result = 0;
    if (yaml == NULL) {
        result = error_no_memory(err);
        goto done;
    }
    while (count <= YAML_BYTES_MAX &&
           (got = read(fd, yaml + count, YAML_BYTES_MAX + 1 - count)) > 0)
        count += (size_t)got;
    if (got < 0)
        result = error_set_errno(err, errno, "%s", path);
    else if (count > YAML_BYTES_MAX)
        result = error_set(err, ERROR_INVALID, "%s: larger than 1 MiB: not a configuration", path);
    else
        result = config_load_yaml(config, path, yaml, count, err);
done:
    free(yaml);
    close(fd);
    return result;
}

int config_parse_yaml(const char *name, const char *yaml, size_t count, struct config **ret,
                      struct error *err)
{
    struct config *config = config_new(err);
    if (config == NULL)
        return ERROR_NO_MEMORY;
    int result = config_load_yaml(config, name, yaml, count, err);
    if (result != 0) {
        config_free(config);
        return result;
    }
    *ret = config;
    return 0;
}
