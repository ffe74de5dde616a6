/* SPDX-License-Identifier: Apache-2.0 */
/* license_expression.h -- the licences in what a file gives as its licence.
 *
 * Files give an SPDX expression, a hub's word ("llama3.1"), a name for people ("Apache License
 * 2.0"), or a list of those joined with ",". A list and AND bind together. OR leaves the choice to
 * the operator: the first alternative that is known throughout stands for all. An exception (WITH)
 * only ever loosens, so the licence before it is taken where the whole is not known. Pure. */
#ifndef WEIR_POLICY_LICENSE_LICENSE_EXPRESSION_H
#define WEIR_POLICY_LICENSE_LICENSE_EXPRESSION_H

#include "policy/license/catalogue.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LICENSE_NAMES_MAX        16u
#define LICENSE_NAME_BYTES_MAX   128u /* longer is no name that we know */
#define LICENSE_EXPRESSION_DEPTH 16u

struct license_name {
    const char *bytes; /* in the expression, not NUL-terminated */
    size_t count;
    const struct license_record *record; /* NULL: nothing of the catalogue */
};

struct license_names {
    struct license_name names[LICENSE_NAMES_MAX];
    uint32_t count;
    bool chosen; /* there was an OR */
    bool cut;    /* there were more than fit, which nobody has looked at */
};

/* What is no expression is one name that nobody knows. ret lives as long as the string. */
void license_names_read(const struct catalogue *catalogue, const char *expression,
                        struct license_names *ret);

/* Of bytes that end anywhere. */
const struct license_record *license_of_name(const struct catalogue *catalogue, const char *bytes,
                                             size_t count);

#endif
