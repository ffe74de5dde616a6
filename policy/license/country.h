/* SPDX-License-Identifier: Apache-2.0 */
/* country.h -- places, as licences and operators name them. Case does not count. Pure; any thread.
 *
 * A place is an ISO 3166-1 alpha-2 code, "UK" (which is GB), "XK" (Kosovo, as the European
 * Commission writes it), or "EU". */
#ifndef WEIR_POLICY_LICENSE_COUNTRY_H
#define WEIR_POLICY_LICENSE_COUNTRY_H

#include <stdbool.h>

/* One of the codes above. */
bool country_known(const char *place);
/* A member of the European Union, a part of one where its Treaties apply, "EU" itself included. */
bool country_in_eu(const char *country);
/* Whether two places have ground in common: the same, or one of them the EU and the other in it. */
bool country_overlaps(const char *one, const char *other);

#endif
