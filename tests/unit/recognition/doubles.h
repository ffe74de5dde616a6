/* SPDX-License-Identifier: Apache-2.0 */
/* doubles.h -- a catalogue and a matcher that say what a test needs, trees of files, and an arena
 * whose allocations fail on demand.
 *
 * The catalogue's licences are in double_catalogue.c. A text whose first line is "TEXT OF ID",
 * "TEMPLATE OF ID" or "POLICY OF ID" is that licence's; "LIKE ID" is nobody's but near to it, the
 * second line being its residue. Bytes with a NUL are no text. */
#ifndef WEIR_TESTS_RECOGNITION_DOUBLES_H
#define WEIR_TESTS_RECOGNITION_DOUBLES_H

#include "policy/license/recognition.h"

#include <stdint.h>

#define TREE_PATH_BYTES 1024

/* A folder of its own for a test. */
void tree_make(char ret[TREE_PATH_BYTES]);
void tree_remove(const char *root);
/* Folders on the way are made. */
void tree_write(const char *root, const char *path, const char *content);
void tree_write_bytes(const char *root, const char *path, const void *bytes, size_t count);
const char *tree_join(char ret[TREE_PATH_BYTES], const char *root, const char *path);

/* The n-th allocation from now on fails, once; a negative number: none. */
void arena_fail_after(int64_t allocations);
int64_t arena_allocations(void); /* since the last arena_fail_after() */

/* Recognises, and fails the test on an error. */
struct recognition *recognised(const struct policy_model_facts *facts);
/* Of a folder with nothing known of the weights. */
struct recognition *recognised_folder(const char *root, const char *path);

/* The licence with that record id; NULL for none. "" finds one that is none of the catalogue's. */
const struct recognised_license *license_of(const struct recognition *recognition, const char *id);
const struct recognition_doubt *doubt_of(const struct recognition *recognition, const char *id);
/* "MIT AND llama3.1", in the order found; "unknown" for what has no record. */
void assert_licenses(const struct recognition *recognition, const char *ids);
void assert_no_doubts(const struct recognition *recognition);
/* A sentence that holds all of the words, parted by blanks. */
void assert_disagreement(const struct recognition *recognition, const char *words);

#endif
