/* SPDX-License-Identifier: Apache-2.0 */
/* profile_query.h -- what a profile is asked for by, behind the '?'. Pure.
 *
 * Values are numbers and words, so nothing is decoded. A name that is not known, or comes twice, is
 * a fault: "second=60" must not mean the default. */
#ifndef WEIR_DAEMON_API_PROFILE_QUERY_H
#define WEIR_DAEMON_API_PROFILE_QUERY_H

#include "daemon/api/fault.h"

#include <stdbool.h>
#include <stdint.h>

#define PROFILE_SECONDS_DEFAULT 10u
#define PROFILE_HZ_DEFAULT      99u /* not 100, which goes in step with much else */

/* "seconds=10&hz=99", each left out or not. 0, or -1 and the fault. */
int profile_query_cpu(const char *query, uint32_t *ret_seconds, uint32_t *ret_hz,
                      struct fault *fault);
/* "format=json" or "format=jeprof". */
int profile_query_heap(const char *query, bool *ret_jeprof, struct fault *fault);

#endif
