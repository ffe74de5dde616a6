/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>
#include <stdint.h>

#include "policy/license/catalogue.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

/* Any bytes are a licence, a lineage, or an error that says something; nothing leaks. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    static const char *const names[] = {"acme.yaml", "lineage.yaml"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct error err = {0};
        int result = catalogue_check(names[i], (const char *)bytes, count, &err);
        if (result > 0 || (result < 0 && (err.code != result || err.text[0] == '\0')))
            __builtin_trap();
    }
    return 0;
}
