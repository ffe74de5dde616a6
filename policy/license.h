/* SPDX-License-Identifier: Apache-2.0 */
/* license.h -- what a model's licence is, by what the weights say and by the text beside them. */
#ifndef WEIR_POLICY_LICENSE_H
#define WEIR_POLICY_LICENSE_H

#include "base/error.h"
#include "policy/policy.h"

struct license; /* owns the strings of its policy_license */

/* Reads the folder of facts->path. Fails with ERROR_NO_MEMORY, or ERROR_IO when OpenSSL does; a
 * licence that cannot be made out is an answer, "unknown". Main thread. */
struct license *license_read(const struct policy_model_facts *facts, struct error *err);
void license_free(struct license *license); /* NULL is fine */
const struct policy_license *license_found(const struct license *license);

/* Where two sources disagree the text decides, for it is the text that binds; "unknown" when the
 * text is none that we know and the named licence's text is. Pure. */
struct license_claims {
    const char *license, *name, *link; /* of the weights; "" for nothing */
    const char *file;                  /* the path of the text, "" for none */
    const char *text_id;               /* what the text is, NULL when none that we know */
    const char *text_title;            /* its first line */
};
struct license *license_decide(const struct license_claims *claims, struct error *err);

const char *license_of_name(const char *name); /* an id of the catalogue, NULL for none */

#endif
