/* SPDX-License-Identifier: Apache-2.0 */
/* catalogue.c -- folders of licences, made one and indexed by every name.
 *
 *     /usr/share/weir/licenses   mit.yaml  llama-3.1.yaml  lineage.yaml  ...
 *     /etc/weir/licenses         llama-3.1.yaml  our-own.yaml            the operator's
 *     -> records, by id          llama-3.1 (the operator's), mit, our-own
 *     -> names, sorted           every id, SPDX id and alias; looked up by bisection
 *
 * A record that is replaced is gone with all its names and texts, so that the checks between
 * records (a name, a link and a text are one licence's) are made on the result. They name the
 * line at fault by reading that one file again: lines are not kept, for faults are rare.
 *
 * Invariant: whatever catalogue_find() can return, it returns whatever the order of files. */
#include "policy/license/catalogue.h"

#include "base/arena.h"
#include "policy/license/catalogue_schema.h"
#include "policy/license/license_pattern.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define FOLDERS_MAX     8u
#define INDEX_BYTES_MAX (64u << 20) /* names, links and paths of all records */
#define FIELD_BYTES     32u

struct entry {
    struct license_record *record;
    const char *path; /* in the arena */
    uint32_t folder;
};

/* One claim of a record on a name, a link or a text: no two records may make the same. */
struct claim {
    const char *key; /* what is compared, in the arena or the record */
    uint32_t entry;
    char field[FIELD_BYTES]; /* "aliases[2]", to point at */
};

struct claims {
    struct claim *all;
    uint32_t count;
};

struct lineage_file {
    struct lineage_row *rows;
    uint32_t count;
    const char *path; /* in the arena */
};

struct catalogue {
    struct arena *arena;
    struct entry entries[CATALOGUE_RECORDS_MAX]; /* by id */
    uint32_t entry_count;
    struct claims names, links, texts;        /* sorted by key */
    struct lineage_file lineage[FOLDERS_MAX]; /* as the folders came: the last one wins */
    uint32_t lineage_count;
};

/* -- Reading -- */

/* Takes the record. One of the same id in an earlier folder goes. */
static int add_record(struct catalogue *catalogue, const char *path, uint32_t folder,
                      const struct schema_source *source, struct license_record *record,
                      struct error *err)
{
    for (uint32_t i = 0; i < catalogue->entry_count; i++) {
        struct entry *entry = &catalogue->entries[i];
        if (strcasecmp(entry->record->id, record->id) != 0)
            continue;
        if (entry->folder == folder) { /* ids that differ in case alone */
            char message[PATH_MAX + 64];
            (void)snprintf(message, sizeof message, "taken by %s", entry->path);
            schema_free(&catalogue_record_schema, record);
            return schema_fail_at(source, "id", message, err);
        }
        schema_free(&catalogue_record_schema, entry->record);
        *entry = (struct entry){.record = record, .path = path, .folder = folder};
        return 0;
    }
    if (catalogue->entry_count == CATALOGUE_RECORDS_MAX) {
        schema_free(&catalogue_record_schema, record);
        return error_set(err, ERROR_INVALID, "%s: more than %u licences", path,
                         CATALOGUE_RECORDS_MAX);
    }
    catalogue->entries[catalogue->entry_count++] =
        (struct entry){.record = record, .path = path, .folder = folder};
    return 0;
}

static int read_one(struct catalogue *catalogue, const char *path, bool is_lineage, uint32_t folder,
                    struct error *err)
{
    char *bytes;
    size_t count;
    int result = schema_read_file(path, CATALOGUE_FILE_BYTES_MAX, &bytes, &count, err);
    if (result != 0)
        return result;
    struct schema_source source = {.name = path, .bytes = bytes, .count = count};
    if (is_lineage) {
        struct lineage_file *file = &catalogue->lineage[catalogue->lineage_count];
        result = catalogue_load_lineage(&source, &file->rows, &file->count, err);
        if (result == 0) {
            file->path = path;
            catalogue->lineage_count++;
        }
    } else {
        struct license_record *record;
        result = catalogue_load_record(&source, &record, err);
        if (result == 0)
            result = add_record(catalogue, path, folder, &source, record, err);
    }
    free(bytes);
    return result;
}

static int is_yaml(const struct dirent *file)
{
    size_t count = strlen(file->d_name);
    return file->d_name[0] != '.' && count > 5 && strcmp(file->d_name + count - 5, ".yaml") == 0;
}

/* Bytes, not the locale's letters: the order of files must not hang on the environment. */
static int compare_files(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int read_folder(struct catalogue *catalogue, const char *folder, uint32_t index,
                       struct error *err)
{
    struct dirent **files;
    int count = scandir(folder, &files, is_yaml, compare_files);
    int result = 0;
    if (count < 0)
        return error_set_errno(err, errno, "licenses folder %s", folder);
    for (int i = 0; i < count; i++) {
        char path[PATH_MAX];
        int length = snprintf(path, sizeof path, "%s/%s", folder, files[i]->d_name);
        bool is_lineage = strcmp(files[i]->d_name, CATALOGUE_LINEAGE_FILE) == 0;
        free(files[i]);
        if (result != 0)
            continue; /* the rest of the list is only freed */
        const char *kept = arena_copy(catalogue->arena, path, strlen(path));
        if (length < 0 || (size_t)length >= sizeof path)
            result = error_set(err, ERROR_INVALID, "%s: the path is too long", folder);
        else if (kept == NULL)
            result = error_no_memory(err);
        else
            result = read_one(catalogue, kept, is_lineage, index, err);
    }
    free(files);
    return result;
}

/* -- Claims -- */

static int compare_claims(const void *a, const void *b)
{
    const struct claim *left = a, *right = b;
    int order = strcasecmp(left->key, right->key);
    return order != 0 ? order : (left->entry > right->entry) - (left->entry < right->entry);
}

/* key NULL: there was no memory for it. */
static bool claim(struct claims *claims, const char *key, uint32_t entry, const char *field,
                  uint32_t index)
{
    if (key == NULL)
        return false;
    struct claim *made = &claims->all[claims->count++];
    made->key = key;
    made->entry = entry;
    int length = snprintf(made->field, sizeof made->field, index == UINT32_MAX ? "%s" : "%s[%u]",
                          field, index);
    assert(length > 0 && (size_t)length < sizeof made->field);
    return true;
}

static const char *normalised_copy(struct arena *arena, const char *name)
{
    char normalised[CATALOGUE_NAME_BYTES_MAX + 1];
    bool fits = catalogue_normalise(name, normalised);
    assert(fits); /* the schema bounds names */
    return arena_copy(arena, normalised, strlen(normalised));
}

static bool claims_room(struct arena *arena, struct claims *claims, size_t count)
{
    claims->all = arena_alloc(arena, (count + 1) * sizeof claims->all[0]);
    return claims->all != NULL;
}

static bool claim_all(struct catalogue *catalogue)
{
    struct arena *arena = catalogue->arena;
    size_t names = 0, links = 0, texts = 0;
    for (uint32_t i = 0; i < catalogue->entry_count; i++) {
        const struct license_record *record = catalogue->entries[i].record;
        names += 2 + record->alias_count;
        links += record->link_count;
        texts += record->text_count;
    }
    bool done = claims_room(arena, &catalogue->names, names) &&
                claims_room(arena, &catalogue->links, links) &&
                claims_room(arena, &catalogue->texts, texts);
    for (uint32_t i = 0; i < catalogue->entry_count && done; i++) {
        const struct license_record *record = catalogue->entries[i].record;
        struct claims *of = &catalogue->names;
        done = claim(of, normalised_copy(arena, record->id), i, "id", UINT32_MAX);
        if (record->spdx[0] != '\0')
            done = done && claim(of, normalised_copy(arena, record->spdx), i, "spdx", UINT32_MAX);
        for (uint32_t j = 0; j < record->alias_count && done; j++)
            done = claim(of, normalised_copy(arena, record->aliases[j]), i, "aliases", j);
        for (uint32_t j = 0; j < record->link_count && done; j++)
            done = claim(&catalogue->links, record->links[j], i, "links", j);
        for (uint32_t j = 0; j < record->text_count && done; j++)
            done = claim(&catalogue->texts, record->texts[j].digest, i, "texts", j);
    }
    return done;
}

/* A fault found after the file was closed: read it again for the line. */
static int fail_in_file(const char *path, const char *field, const char *message, struct error *err)
{
    char *bytes;
    size_t count;
    int result = schema_read_file(path, CATALOGUE_FILE_BYTES_MAX, &bytes, &count, err);
    if (result != 0)
        return result;
    struct schema_source source = {.name = path, .bytes = bytes, .count = count};
    result = schema_fail_at(&source, field, message, err);
    free(bytes);
    return result;
}

/* Sorts the claims; two records with the same one are at fault, the later folder's first. */
static int settle_claims(const struct catalogue *catalogue, struct claims *claims, const char *what,
                         struct error *err)
{
    qsort(claims->all, claims->count, sizeof claims->all[0], compare_claims);
    for (uint32_t i = 1; i < claims->count; i++) {
        const struct claim *first = &claims->all[i - 1], *second = &claims->all[i];
        if (first->entry == second->entry || strcasecmp(first->key, second->key) != 0)
            continue;
        const struct entry *a = &catalogue->entries[first->entry];
        const struct entry *b = &catalogue->entries[second->entry];
        bool first_at_fault = a->folder > b->folder;
        const struct entry *fault = first_at_fault ? a : b, *other = first_at_fault ? b : a;
        char message[CATALOGUE_NAME_BYTES_MAX + PATH_MAX];
        (void)snprintf(message, sizeof message, "%s of %s (%s) too; it must mean one licence", what,
                       other->record->id, other->path);
        return fail_in_file(fault->path, first_at_fault ? first->field : second->field, message,
                            err);
    }
    return 0;
}

static int compare_entries(const void *a, const void *b)
{
    const struct entry *left = a, *right = b;
    return strcasecmp(left->record->id, right->record->id);
}

static int index_all(struct catalogue *catalogue, struct error *err)
{
    qsort(catalogue->entries, catalogue->entry_count, sizeof catalogue->entries[0],
          compare_entries);
    if (!claim_all(catalogue))
        return error_no_memory(err);
    int result = settle_claims(catalogue, &catalogue->names, "a name", err);
    if (result == 0)
        result = settle_claims(catalogue, &catalogue->links, "a link", err);
    if (result == 0)
        result = settle_claims(catalogue, &catalogue->texts, "a text", err);
    return result;
}

static int check_lineage_ids(const struct catalogue *catalogue, struct error *err)
{
    for (uint32_t f = 0; f < catalogue->lineage_count; f++) {
        const struct lineage_file *file = &catalogue->lineage[f];
        for (uint32_t i = 0; i < file->count; i++)
            for (uint32_t j = 0; j < file->rows[i].license_count; j++) {
                const char *id = file->rows[i].licenses[j];
                const struct license_record *record = catalogue_find(catalogue, id);
                if (record != NULL && strcmp(record->id, id) == 0)
                    continue;
                char field[FIELD_BYTES * 2], message[CATALOGUE_NAME_BYTES_MAX * 2 + 64];
                (void)snprintf(field, sizeof field, "[%u].licenses[%u]", i, j);
                (void)snprintf(message, sizeof message, "no licence has the id '%s'%s%s%s", id,
                               record != NULL ? "; did you mean '" : "",
                               record != NULL ? record->id : "", record != NULL ? "'?" : "");
                return fail_in_file(file->path, field, message, err);
            }
    }
    return 0;
}

struct catalogue *catalogue_load(const char *const *folders, uint32_t folder_count,
                                 struct error *err)
{
    struct catalogue *catalogue = calloc(1, sizeof *catalogue);
    if (catalogue == NULL || (catalogue->arena = arena_new(INDEX_BYTES_MAX)) == NULL) {
        (void)error_no_memory(err);
        goto fail;
    }
    if (folder_count > FOLDERS_MAX) {
        (void)error_set(err, ERROR_INVALID, "more than %u folders of licences", FOLDERS_MAX);
        goto fail;
    }
    for (uint32_t i = 0; i < folder_count; i++)
        if (read_folder(catalogue, folders[i], i, err) != 0)
            goto fail;
    if (index_all(catalogue, err) != 0 || check_lineage_ids(catalogue, err) != 0)
        goto fail;
    return catalogue;
fail:
    catalogue_free(catalogue);
    return NULL;
}

void catalogue_free(struct catalogue *catalogue)
{
    if (catalogue == NULL)
        return;
    for (uint32_t i = 0; i < catalogue->entry_count; i++)
        schema_free(&catalogue_record_schema, catalogue->entries[i].record);
    for (uint32_t i = 0; i < catalogue->lineage_count; i++)
        schema_free_list(&catalogue_lineage_schema, catalogue->lineage[i].rows,
                         catalogue->lineage[i].count);
    arena_free(catalogue->arena);
    free(catalogue);
}

/* -- One file -- */

static int check_sentences(const struct license_record *record, const struct schema_source *source,
                           struct error *err)
{
    for (uint32_t i = 0; i < record->text_count; i++) {
        struct error inner;
        struct license_pattern *pattern = license_pattern_new(record->texts[i].sentences, &inner);
        if (pattern == NULL) {
            char field[FIELD_BYTES];
            (void)snprintf(field, sizeof field, "texts[%u].sentences", i);
            return inner.code == ERROR_NO_MEMORY ? error_no_memory(err)
                                                 : schema_fail_at(source, field, inner.text, err);
        }
        license_pattern_free(pattern);
    }
    return 0;
}

int catalogue_check(const char *name, const char *yaml, size_t count, struct error *err)
{
    struct schema_source source = {.name = name, .bytes = yaml, .count = count};
    const char *slash = strrchr(name, '/');
    if (count > CATALOGUE_FILE_BYTES_MAX)
        return error_set(err, ERROR_INVALID, "%s: larger than %u bytes", name,
                         CATALOGUE_FILE_BYTES_MAX);
    if (strcmp(slash == NULL ? name : slash + 1, CATALOGUE_LINEAGE_FILE) == 0) {
        struct lineage_row *rows;
        uint32_t row_count;
        int result = catalogue_load_lineage(&source, &rows, &row_count, err);
        if (result == 0)
            schema_free_list(&catalogue_lineage_schema, rows, row_count);
        return result;
    }
    struct license_record *record;
    int result = catalogue_load_record(&source, &record, err);
    if (result != 0)
        return result;
    result = check_sentences(record, &source, err);
    schema_free(&catalogue_record_schema, record);
    return result;
}

/* -- Asking -- */

uint32_t catalogue_count(const struct catalogue *catalogue)
{
    return catalogue->entry_count;
}

const struct license_record *catalogue_at(const struct catalogue *catalogue, uint32_t index)
{
    assert(index < catalogue->entry_count);
    return catalogue->entries[index].record;
}

static int compare_key(const void *key, const void *element)
{
    return strcasecmp(key, ((const struct claim *)element)->key);
}

const struct license_record *catalogue_find(const struct catalogue *catalogue, const char *name)
{
    char normalised[CATALOGUE_NAME_BYTES_MAX + 1];
    if (!catalogue_normalise(name, normalised))
        return NULL;
    const struct claim *found = bsearch(normalised, catalogue->names.all, catalogue->names.count,
                                        sizeof catalogue->names.all[0], compare_key);
    return found == NULL ? NULL : catalogue->entries[found->entry].record;
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

/* Whole steps of a path: "org/Model-1" is not in ".../org/Model-1.5/...". */
static bool holds_link(const char *link, const char *part)
{
    size_t count = strlen(part);
    for (const char *at = strcasestr(link, part); at != NULL; at = strcasestr(at + 1, part)) {
        char next = at[count];
        bool begins = at == link || !is_word(at[-1]);
        bool ends = part[count - 1] == '/' || (!is_word(next) && next != '.');
        if (begins && ends)
            return true;
    }
    return false;
}

const struct license_record *catalogue_find_link(const struct catalogue *catalogue,
                                                 const char *link)
{
    const struct claim *best = NULL;
    size_t best_count = 0;
    if (strlen(link) > PATH_MAX) /* no published URL is; the search is their product */
        return NULL;
    for (uint32_t i = 0; i < catalogue->links.count; i++) {
        const struct claim *claim = &catalogue->links.all[i];
        size_t count = strlen(claim->key);
        if (count <= best_count || !holds_link(link, claim->key))
            continue;
        best = claim; /* the longest says most */
        best_count = count;
    }
    return best == NULL ? NULL : catalogue->entries[best->entry].record;
}

const struct lineage_row *catalogue_published(const struct catalogue *catalogue, const char *model)
{
    const char *slash = strrchr(model, '/');
    const char *name = slash == NULL ? model : slash + 1;
    for (uint32_t f = catalogue->lineage_count; f > 0; f--) {
        const struct lineage_file *file = &catalogue->lineage[f - 1];
        for (uint32_t i = 0; i < file->count; i++)
            if (catalogue_glob(file->rows[i].model, model) ||
                catalogue_glob(file->rows[i].model, name))
                return &file->rows[i];
    }
    return NULL;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Only the last '*' is ever taken back: an earlier one that takes more gains nothing. */
bool catalogue_glob(const char *pattern, const char *name)
{
    const char *star = NULL, *taken = NULL;
    while (*name != '\0') {
        if (*pattern == '*') {
            star = pattern++;
            taken = name;
        } else if (lower(*pattern) == lower(*name)) {
            pattern++;
            name++;
        } else if (star != NULL) {
            pattern = star + 1;
            name = ++taken;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}
