/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/render/parsed.h"

#include <stdlib.h>
#include <string.h>

json_t *parsed(struct text *out)
{
    json_error_t error;
    assert_false(out->failed);
    json_t *root = json_loadb(text_string(out), out->count, JSON_REJECT_DUPLICATES, &error);
    if (root == NULL)
        fail_msg("%s at %d of: %s", error.text, error.position, text_string(out));
    text_destroy(out);
    return root;
}

const json_t *value_at(const json_t *root, const char *path)
{
    while (root != NULL && *path != '\0') {
        char part[128];
        size_t count = strcspn(path, ".");
        assert_true(count < sizeof part);
        memcpy(part, path, count);
        part[count] = '\0';
        root = json_is_array(root) ? json_array_get(root, strtoul(part, NULL, 10))
                                   : json_object_get(root, part);
        path += count + (path[count] == '.');
    }
    return root;
}

const char *string_at(const json_t *root, const char *path)
{
    return json_string_value(value_at(root, path));
}
