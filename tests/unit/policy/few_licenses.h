/* SPDX-License-Identifier: Apache-2.0 */
/* few_licenses.h -- a catalogue for tests that only need one: three made-up licences.
 *
 *     free-1      nothing asked but a notice when weights are passed on
 *     research-1  research only: breached by production, or by commercial use
 *     many-1      four clauses that production and commercial use breach, with long words */
#ifndef WEIR_TESTS_POLICY_FEW_LICENSES_H
#define WEIR_TESTS_POLICY_FEW_LICENSES_H

#include "policy/license/catalogue.h"

struct catalogue *few_licenses(void); /* of the caller's to free; fails the test, never NULL */

#endif
