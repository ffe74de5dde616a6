/* SPDX-License-Identifier: Apache-2.0 */
/* cap_filter.h -- who was here already: a blocked Bloom filter.
 *
 * A counting sketch cannot answer membership, so a cap has a filter of its own: blocks of 512 bits
 * (one cache line, one miss), 20 bits a user, false positives 1.9e-4 when full, false negatives
 * none. Filters of replicas join by OR. The hash is keyed apart from the counters' (another HKDF
 * purpose), so that refusals tell nothing about registers. */
#ifndef WEIR_POLICY_USERS_CAP_FILTER_H
#define WEIR_POLICY_USERS_CAP_FILTER_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

#define CAP_BITS_A_USER 20u
#define CAP_USERS_MAX   UINT64_C(16000000000) /* 40 GB; more than there are people */

struct cap_filter;

/* users_max: users it is sized for, 1 to CAP_USERS_MAX. The memory is one anonymous map with huge
 * pages asked for; pages come as users do. */
struct cap_filter *cap_filter_new(uint64_t users_max, struct error *err);
void cap_filter_free(struct cap_filter *filter); /* NULL is fine */

/* The same, mapped from a file, so that it outlives the process; a power cut forgets what the
 * system had not written yet, some half a minute of new users. The disk's room is taken at once: a
 * store to the map must not be what finds that there is none.
 *
 *      0 "WCF1"   4 label   8 key id   16 blocks   24 crc32c of the 24 before   4096 blocks
 *
 * The label is the caller's, a month; it is 0 in a file that is new, of another key, or damaged.
 * One of the wanted label keeps the size that it has, and with it its users. */
struct cap_filter_file {
    const char *path;
    uint64_t key_id; /* of what users are hashed with */
    uint32_t label;  /* wanted: a file of any other is emptied, and sized anew */
};
struct cap_filter *cap_filter_open(const struct cap_filter_file *file, uint64_t users_max,
                                   struct error *err);
uint32_t cap_filter_label(const struct cap_filter *filter); /* 0 for one in memory */
void cap_filter_set_label(struct cap_filter *filter, uint32_t label);

/* Any thread, no lock. Of threads that add one new user at the same moment at least one is told
 * that it was new, and more than one may be. */
bool cap_filter_has(const struct cap_filter *filter, uint64_t hash);
bool cap_filter_add(struct cap_filter *filter, uint64_t hash); /* true: was new */
/* Asks for the hash's cache line, for whoever has other work before the question. */
void cap_filter_prefetch(const struct cap_filter *filter, uint64_t hash);

/* into = the filter of the users of both, which are of the same size. Any thread. */
void cap_filter_join(struct cap_filter *into, const struct cap_filter *from);
/* Empty again, with label 0, its pages back with the system. A user added meanwhile may be lost. */
void cap_filter_reset(struct cap_filter *filter);

uint64_t cap_filter_bytes(const struct cap_filter *filter);
/* The expected share of new users taken for known ones after so many were added. */
double cap_filter_error(const struct cap_filter *filter, uint64_t users);

#endif
