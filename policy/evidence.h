/* SPDX-License-Identifier: Apache-2.0 */
/* evidence.h -- what the ledger keeps of an assessment, and what a refusal says of it.
 *
 * Bodies are compact JSON without a time of their own: an unchanged verdict is not written twice.
 *     license_verdict   a row a model: licences, verdicts by both readings; a condition's verdict,
 *                       clause, summary, exact text and lines, as the catalogue had them then
 *     acknowledgement   a row an acknowledged condition (its subject): reference and signer
 *     outside           a row a month and product (subject "MONTH PRODUCT", no model): users whom
 *                       weir never sees, as they are declared, and who signed
 * Main thread. */
#ifndef WEIR_POLICY_EVIDENCE_H
#define WEIR_POLICY_EVIDENCE_H

#include "policy/ledger.h"
#include "policy/license/assessment.h"

#include <stdbool.h>

#define EVIDENCE_VERDICT         "license_verdict"
#define EVIDENCE_ACKNOWLEDGEMENT "acknowledgement"
#define EVIDENCE_OUTSIDE         "outside"

/* Inside a transaction of the caller's. declaration: that the assessment was made by; NULL fine. */
int evidence_record(struct ledger *ledger, const struct assessment *assessment,
                    const struct declaration *declaration, struct error *err);

/* Likewise: all that is declared of users outside. */
int evidence_record_outside(struct ledger *ledger, const struct declaration *declaration,
                            int64_t at_unix, struct error *err);

/* ERROR_REFUSED for a verdict of breach: model and licence, then condition by condition clause,
 * reason and remedy as far as they fit, and how to take one on by name. */
int evidence_refuse(const struct assessment *assessment, struct error *err);

/* ret: whether all that they tell is the same, but for when they were made. */
int evidence_compare(const struct assessment *one, const struct assessment *other, bool *ret,
                     struct error *err);

#endif
