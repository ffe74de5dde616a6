/* SPDX-License-Identifier: Apache-2.0 */
/* few_licenses.h -- a catalogue for tests that only need one: three made-up licences.
 *
 *     free-1      nothing asked but a notice when weights are passed on
 *     research-1  research only: breached by production, or by commercial use
 *     many-1      four clauses that production and commercial use breach, with long words */
#ifndef WEIR_TESTS_POLICY_FEW_LICENSES_H
#define WEIR_TESTS_POLICY_FEW_LICENSES_H

#include "policy/license/catalogue.h"

#include <stdint.h>

/* The caller's to free; they fail the test, and are never NULL. */
struct catalogue *few_licenses(void);
/* Of licences of the test's own. */
struct license_source {
    const char *file; /* "free-1.yaml" */
    const char *yaml;
};
struct catalogue *licenses_of(const struct license_source *sources, uint32_t count);

#endif
