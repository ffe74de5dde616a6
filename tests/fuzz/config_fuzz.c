/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>
#include <stdint.h>

#include "daemon/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

/* Any bytes give a configuration or an error that says something; nothing leaks. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    struct config *config = NULL;
    struct error err = {0};
    if (config_parse_yaml("fuzz", (const char *)bytes, count, &config, &err) == 0)
        config_free(config);
    else if (config != NULL || err.code >= 0 || err.text[0] == '\0')
        __builtin_trap();
    return 0;
}
