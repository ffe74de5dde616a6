/* SPDX-License-Identifier: Apache-2.0 */
/* catalogue_schema.h -- the catalogue's YAML as libcyaml sees it, and what a schema cannot say.
 *
 * While a record is being loaded every enum in it is stored as its value plus one, so that 0 is
 * "the file does not say": the checks need the difference, the gate does not. catalogue_settle()
 * takes the one off; a record is only seen outside after it. Internal to catalogue*.c. */
#ifndef WEIR_POLICY_LICENSE_CATALOGUE_SCHEMA_H
#define WEIR_POLICY_LICENSE_CATALOGUE_SCHEMA_H

#include "base/error.h"
#include "base/schema.h"
#include "policy/license/license_record.h"

#include <stddef.h>
#include <stdint.h>

#define CATALOGUE_CONDITIONS_MAX 64u
#define CATALOGUE_LIST_MAX       256u  /* any list of a record */
#define CATALOGUE_LINEAGE_MAX    1024u /* rows of one file */
#define CATALOGUE_NAME_BYTES_MAX 256u  /* an id, an alias, a glob */
#define CATALOGUE_TEXT_BYTES_MAX 4096u /* a summary and its like */

extern const cyaml_schema_value_t catalogue_record_schema;  /* struct license_record */
extern const cyaml_schema_value_t catalogue_lineage_schema; /* a list of struct lineage_row */
extern const cyaml_schema_field_t catalogue_condition_fields[];
extern const cyaml_schema_field_t catalogue_limb_fields[];

/* A file of either shape: loaded, checked, settled. ERROR_INVALID with file and line, also
 * for a file without content; ERROR_NO_MEMORY. source->name is the path, whose last part must be
 * the record's id and ".yaml". */
int catalogue_load_record(const struct schema_source *source, struct license_record **ret,
                          struct error *err);
int catalogue_load_lineage(const struct schema_source *source, struct lineage_row **ret,
                           uint32_t *ret_count, struct error *err);

/* Of a record that is not settled; the error names the line. */
int catalogue_check_record(const struct license_record *record, const struct schema_source *source,
                           struct error *err);
int catalogue_check_condition(const struct license_condition *condition, uint32_t index,
                              const struct schema_source *source, struct error *err);
int catalogue_check_lineage(const struct lineage_row *rows, uint32_t count,
                            const struct schema_source *source, struct error *err);

/* Whether a condition of that kind has that key. */
bool catalogue_kind_has_key(enum condition_kind kind, const char *key);

/* How names are compared: lower case, blanks and '_' are '-'. False when it does not fit. */
bool catalogue_normalise(const char *name, char ret[CATALOGUE_NAME_BYTES_MAX + 1]);
/* A name that stands for several texts ("modified-mit", "other"); takes a normalised one. */
bool catalogue_is_ambiguous(const char *normalised);

#endif
