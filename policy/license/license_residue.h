/* SPDX-License-Identifier: Apache-2.0 */
/* license_residue.h -- what of a text nobody vouches for, as people are shown it. Pure; any
 * thread. */
#ifndef WEIR_POLICY_LICENSE_LICENSE_RESIDUE_H
#define WEIR_POLICY_LICENSE_LICENSE_RESIDUE_H

#include "policy/license/license_match.h"

/* Fills residues, residue_count and residue_total of ret from the words that are not `matched` (a
 * flag a word; NULL for none). bytes: what the text was made from. */
void license_residues_find(const struct license_text *text, const char *bytes, const bool *matched,
                           struct license_match *ret);

#endif
