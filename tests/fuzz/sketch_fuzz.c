/* SPDX-License-Identifier: Apache-2.0 */
/* sketch_fuzz.c -- the bytes of a sketch, from a replica or an administrator.
 *
 * What is read is written back byte for byte, counts to a number with bounds around it, and joined
 * with itself or what came before stays what sketch_read() takes. */
#include "policy/users/sketch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void check_written(const struct sketch *sketch, const void *bytes, size_t count)
{
    struct text text;
    text_init(&text);
    sketch_write(sketch, &text);
    require(!text.failed && text.count == count && memcmp(text.bytes, bytes, count) == 0);
    text_destroy(&text);
}

static void check_joined(struct sketch *sketch, uint64_t hash)
{
    struct sketch *other = sketch_new(sketch_p(sketch)), *again = NULL;
    struct text text;
    text_init(&text);
    require(other != NULL && sketch_add(other, hash, NULL, NULL) == 0);
    require(sketch_join(other, sketch, NULL) == 0);
    require(sketch_add(sketch, hash, NULL, NULL) == 0); /* the same union, the other way */
    sketch_write(other, &text);
    check_written(sketch, text.bytes, text.count);
    require(sketch_read(text.bytes, text.count, &again, NULL) == 0);
    sketch_free(again);
    sketch_free(other);
    text_destroy(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    struct sketch *sketch = NULL;
    struct sketch_count counted;
    uint64_t hash = 0;
    if (sketch_read(bytes, count, &sketch, NULL) != 0) {
        require(sketch == NULL);
        return 0;
    }
    check_written(sketch, bytes, count);
    sketch_count(sketch, &counted);
    require(counted.value >= 0 && !isnan(counted.standard_error));
    require(!(sketch_lower(&counted, SKETCH_Z_REPORT) > counted.value));
    require(!(sketch_upper(&counted, SKETCH_Z_REPORT) < counted.value));
    memcpy(&hash, bytes + count / 2, count - count / 2 < 8 ? count - count / 2 : 8);
    check_joined(sketch, hash);
    sketch_free(sketch);
    return 0;
}
