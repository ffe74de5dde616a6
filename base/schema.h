/* SPDX-License-Identifier: Apache-2.0 */
/* schema.h -- YAML against a libcyaml schema, with errors that a person can act on.
 *
 * libcyaml checks shape and types and fills structs; what it does not give is a sentence with a
 * line in it. Every error here reads "NAME:LINE: path.to[1].key: what is wrong, what would be
 * right", with the nearest key when a key looks like a slip. Aliases are refused: a small file
 * must not become a large one. Any thread; nothing is kept between calls. */
#ifndef WEIR_BASE_SCHEMA_H
#define WEIR_BASE_SCHEMA_H

#include "base/error.h"

#include <cyaml/cyaml.h>
#include <stddef.h>

struct schema_source {
    const char *name;  /* of the file, for messages */
    const char *bytes; /* need not end in NUL */
    size_t count;
};

/* Loads the document into *ret, which schema_free() frees; NULL in *ret for a document without
 * content. hint: what to say after "unknown key" when no key is near, e.g. "config/weir.yaml lists
 * all keys". ERROR_INVALID or ERROR_NO_MEMORY; *ret is untouched then. */
int schema_load(const struct schema_source *source, const cyaml_schema_value_t *root,
                const char *hint, void **ret, struct error *err);
void schema_free(const cyaml_schema_value_t *root, void *loaded); /* NULL is fine */

/* For what a schema cannot say: ERROR_INVALID, "NAME:LINE: path: message", the line being that of
 * the node which a path such as "models[1].path" leads to, as far as it leads. */
int schema_fail_at(const struct schema_source *source, const char *path, const char *message,
                   struct error *err);

/* A whole file, NUL-terminated, malloc'ed. ERROR_INVALID when it holds more than bytes_max. */
int schema_read_file(const char *path, size_t bytes_max, char **ret, size_t *ret_count,
                     struct error *err);

#endif
