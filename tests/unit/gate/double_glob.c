/* SPDX-License-Identifier: Apache-2.0 */
/* double_glob.c -- catalogue_glob() as its header has it, without the rest of the catalogue. */
#include "policy/license/catalogue.h"

#include <strings.h>

bool catalogue_glob(const char *pattern, const char *name)
{
    for (; *pattern != '\0'; pattern++, name++) {
        if (*pattern == '*') {
            do {
                if (catalogue_glob(pattern + 1, name))
                    return true;
            } while (*name++ != '\0');
            return false;
        }
        if (*name == '\0' || strncasecmp(pattern, name, 1) != 0)
            return false;
    }
    return *name == '\0';
}
