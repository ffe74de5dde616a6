/* SPDX-License-Identifier: Apache-2.0 */
/* catalogue.h -- what every known licence says, as data.
 *
 * One YAML file a licence version (config/licenses/README.md is the manual of the format), loaded
 * into struct license_record (license_record.h). Values are the text's own, "unknown" where it was
 * not seen; what an operator makes of them is the gate's affair. Folders come in order, and a later
 * one may add a licence or replace one by its id, so that an operator needs no patched package.
 *
 * Immutable once loaded; any thread. */
#ifndef WEIR_POLICY_LICENSE_CATALOGUE_H
#define WEIR_POLICY_LICENSE_CATALOGUE_H

#include "base/error.h"
#include "base/text.h"
#include "policy/license/license_record.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CATALOGUE_FILE_BYTES_MAX (1u << 20)
#define CATALOGUE_RECORDS_MAX    1024u
#define CATALOGUE_LINEAGE_FILE   "lineage.yaml" /* in a folder of licences: no licence itself */

struct catalogue;

/* Reads *.yaml of each folder, in the order of their names. Fails on the first file at fault with
 * file, line and key: a catalogue that is half read would answer "unknown" for what is known.
 * ERROR_NOT_FOUND names a folder that does not exist; ERROR_INVALID also for an id that stands
 * twice in one folder, an alias or a text that two licences claim. */
struct catalogue *catalogue_load(const char *const *folders, uint32_t folder_count,
                                 struct error *err);
void catalogue_free(struct catalogue *catalogue); /* NULL is fine */

/* One file's text, checked as catalogue_load() does and each fingerprint parsed as well; for
 * tests, `licenses lint` and fuzzing. name: its path, which ends in the id or is lineage.yaml. */
int catalogue_check(const char *name, const char *yaml, size_t count, struct error *err);

/* The folders to read when nobody says otherwise: config/licenses of the source tree that the
 * binary lies in, else share/weir/licenses beside the binary's folder, else config/licenses of the
 * working folder when that is a source tree, else /usr/share/weir/licenses. extra: an operator's
 * own, read after; "" or NULL for none. ret_folders: room for 2 paths; strings are valid until the
 * process ends, are `extra`, or lie in `storage` (PATH_MAX bytes). Returns how many. */
uint32_t catalogue_folders(const char *extra, char *storage, size_t storage_bytes,
                           const char *ret_folders[2]);

uint32_t catalogue_count(const struct catalogue *catalogue);
/* In the order of their ids. */
const struct license_record *catalogue_at(const struct catalogue *catalogue, uint32_t index);

/* By id, SPDX id or alias; case does not count, and blanks and '_' are '-'. NULL for none. A name
 * that stands for several texts ("modified-mit", "openrail") is nobody's alias. */
const struct license_record *catalogue_find(const struct catalogue *catalogue, const char *name);
/* By where the licence is published: a link that holds one of the record's `links` in whole steps
 * of its path; the longest where several do. */
const struct license_record *catalogue_find_link(const struct catalogue *catalogue,
                                                 const char *link);

/* What is known of a published model by its name ("meta-llama/Llama-3.1-8B"); NULL for nothing.
 * The first row of lineage.yaml that matches; the operator's rows come first. */
const struct lineage_row *catalogue_published(const struct catalogue *catalogue, const char *model);

/* The record as a JSON object in the shape of its file; the words of two of its keys. */
void catalogue_write_json(const struct license_record *record, struct text *out);
const char *catalogue_category_word(const struct license_record *record);
const char *catalogue_grade_word(const struct license_record *record);

/* '*' is any run of characters; case does not count. Pure. */
bool catalogue_glob(const char *pattern, const char *name);

#endif
