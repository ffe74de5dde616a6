/* SPDX-License-Identifier: Apache-2.0 */
/* policy_identity.h -- API keys whose ids cannot be people, and the rules that prove users. */
#ifndef WEIR_POLICY_POLICY_IDENTITY_H
#define WEIR_POLICY_POLICY_IDENTITY_H

#include <stdint.h>

struct policy;

#define POLICY_FINDINGS_MAX   256u
#define POLICY_KEY_NAME_BYTES 9 /* "1a2b3c4d": of a keyed hash, never of the key */

struct policy_finding {
    const char *kind; /* "shared": one id for many; "sprayed": a new one each time */
    char key[POLICY_KEY_NAME_BYTES];
    char tenant[32];   /* "" for none; cut */
    uint32_t day;      /* since 1970, UTC: the last in which it was found */
    uint64_t requests; /* of the key in that day, some seconds old */
    double share;      /* of them with that one id; of the latest with ids never seen before */
};
/* Those of today and yesterday; at most `capacity`. Returns how many. Any thread. */
uint32_t policy_identity_findings(struct policy *policy, struct policy_finding *ret,
                                  uint32_t capacity);
/* How many keys there are of each. Any thread. */
void policy_identity_suspects(struct policy *policy, uint32_t *ret_shared, uint32_t *ret_sprayed);

/* Reads the files of policy_config.identity again. Those that do not hold are refused, and the old
 * rules stay; policy_take_notes() tells. Without it a file that changed is read within seconds.
 * Main thread. */
void policy_identity_reload(struct policy *policy);

#endif
