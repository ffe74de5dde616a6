/* SPDX-License-Identifier: Apache-2.0 */
/* schema.h -- YAML against a libcyaml schema, with errors that a person can act on.
 *
 * libcyaml checks shape and types and fills structs; what it does not give is a sentence with a
 * line in it. Every error here reads "NAME:LINE: path.to[1].key: what is wrong, what would be
 * right", with the nearest key when a key looks like a slip. Aliases are refused: a small file
 * must not become a large one. Any thread; nothing is kept between calls.
 *
 * Stricter than libcyaml in two ways: numbers are decimal digits alone (it reads "1e9" as 1 and
 * "0700" as 448), and a CYAML_BOOL is true, false, yes or no (it takes any other word for true).
 * Declare enums and flags CYAML_FLAG_STRICT, or it takes numbers for their words.
 *
 * Strings: a CYAML_FLAG_POINTER string that the document leaves out is "", never NULL, in every
 * mapping that is there. One with CYAML_FLAG_POINTER_NULL is NULL when it is absent or empty; one
 * with SCHEMA_FLAG_KEEP_NULL is NULL when absent and "" when empty. */
#ifndef WEIR_BASE_SCHEMA_H
#define WEIR_BASE_SCHEMA_H

#include "base/error.h"

#include <cyaml/cyaml.h>
#include <stddef.h>
#include <stdint.h>

/* A flag that libcyaml reads only when it writes YAML, which nobody does here. */
#define SCHEMA_FLAG_KEEP_NULL CYAML_FLAG_SCALAR_PLAIN

struct schema_source {
    const char *name;  /* of the file, for messages */
    const char *bytes; /* need not end in NUL */
    size_t count;
};

/* Loads the document into *ret, which schema_free() frees; NULL in *ret for a document without
 * content. root: a mapping with CYAML_FLAG_POINTER. hint: what to say after "unknown key" when no
 * key is near, e.g. "config/weir.yaml lists all keys". ERROR_INVALID or ERROR_NO_MEMORY; *ret is
 * untouched then. */
int schema_load(const struct schema_source *source, const cyaml_schema_value_t *root,
                const char *hint, void **ret, struct error *err);
void schema_free(const cyaml_schema_value_t *root, void *loaded); /* NULL is fine */

/* The same for a document that is a list: root is a sequence with CYAML_FLAG_POINTER. */
int schema_load_list(const struct schema_source *source, const cyaml_schema_value_t *root,
                     const char *hint, void **ret, uint32_t *ret_count, struct error *err);
void schema_free_list(const cyaml_schema_value_t *root, void *loaded, uint32_t count);

/* For what a schema cannot say: ERROR_INVALID, "NAME:LINE: path: message", the line being that of
 * the node which a path such as "models[1].path" leads to, as far as it leads. */
int schema_fail_at(const struct schema_source *source, const char *path, const char *message,
                   struct error *err);

/* Calls visit for every value of what was loaded, a mapping before its fields. place: where the
 * value lies, or for CYAML_FLAG_POINTER where its pointer lies. A non-zero answer ends the walk
 * and is returned. count: of a list, else 0. */
typedef int (*schema_visit_fn)(void *context, const cyaml_schema_value_t *value, void *place);
int schema_walk(const cyaml_schema_value_t *root, void *loaded, uint32_t count,
                schema_visit_fn visit, void *context);

/* A whole file, NUL-terminated, malloc'ed. ERROR_INVALID when it holds more than bytes_max. */
int schema_read_file(const char *path, size_t bytes_max, char **ret, size_t *ret_count,
                     struct error *err);

#endif
