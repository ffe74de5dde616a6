/* SPDX-License-Identifier: Apache-2.0 */
/* parsed.h -- what was rendered, as JSON: strict parsing is half of every test here. */
#ifndef WEIR_TESTS_UNIT_RENDER_PARSED_H
#define WEIR_TESTS_UNIT_RENDER_PARSED_H

#include "base/text.h"

#include <jansson.h>

/* The document, for json_decref(); destroys the text. Fails the test when it is none, or has a
 * key twice. */
json_t *parsed(struct text *out);
/* The string under a path such as "runs.0.tool.driver.name"; NULL where there is none. */
const char *string_at(const json_t *root, const char *path);
const json_t *value_at(const json_t *root, const char *path);

#endif
