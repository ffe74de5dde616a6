/* SPDX-License-Identifier: Apache-2.0 */
/* policy_feed.h -- users who made no request here: a product's logins, or another weir's users.
 *
 * A clause that speaks of all products means everybody who uses them, with a model or without. So
 * whoever knows of logins feeds them: raw ids, which are hashed at once as those of requests are,
 * so that a person of both is one; hashes made under the same key; or a sketch of such hashes.
 * They count in their product and in the organisation, and in a model only where one is named.
 *
 * A feed goes in by pieces, each durable before the next, so that no thread is kept long. Repeating
 * one changes nothing. Nothing is told of who was known before. One thread at a time each. */
#ifndef WEIR_POLICY_POLICY_FEED_H
#define WEIR_POLICY_POLICY_FEED_H

#include "base/error.h"
#include "policy/policy_users.h"

#include <stddef.h>
#include <stdint.h>

struct policy;
struct policy_feed;

#define POLICY_FEED_USERS_MAX   10000u /* ids or hashes of one feed */
#define POLICY_FEED_PRODUCT_MAX 255u   /* bytes */
#define POLICY_FEED_PEOPLE      1e10   /* a sketch of more than there are is not believed */
#define POLICY_FEED_PLAIN_USERS 1e7    /* one of more must say how many it is of ... */
#define POLICY_FEED_TOLERANCE   0.1    /* ... and be no further than that from it */

enum policy_feed_form { POLICY_FEED_USERS, POLICY_FEED_HASHES, POLICY_FEED_SKETCH };

struct policy_feed_request {
    const char *product;       /* "": the model's */
    const char *model;         /* served here; "" for none */
    uint32_t day;              /* of UTC, since 1970 */
    enum identity_class class; /* verified or asserted */
    enum policy_feed_form form;
    const char *tenant, *issuer; /* of ids: as identity.h has them */
    const char *const *users;
    const uint64_t *hashes;
    uint32_t count; /* of users or hashes */
    const void *sketch;
    size_t sketch_bytes;
    double sketch_users; /* that the sender expects in it; 0: not told */
    uint64_t key_id;     /* of hashes and sketches: that under which they were made */
};

/* Names the key of a year's hashes, without telling it. Hashes of a day are made under the key of
 * its year; from 30 November to 31 December they are wanted under the next year's as well
 * (users/years.h), or windows that reach back over the year's turn miss them: feed them twice. */
uint64_t policy_key_id(const struct policy *policy, uint32_t year);

/* Any thread; waits for a disk where the product is new. What is borrowed may go after the call.
 * On failure *ret_member is the request's member at fault (a constant, of no longer life than the
 * process), "" where none is: ERROR_NOT_FOUND a model that is not served, ERROR_REFUSED another
 * key, ERROR_INVALID what cannot be, ERROR_UNSUPPORTED a day or a sketch that there is no room for,
 * ERROR_BUSY too many products. */
int policy_feed_new(struct policy *policy, const struct policy_feed_request *request,
                    int64_t now_unix_us, struct policy_feed **ret, const char **ret_member,
                    struct error *err);
void policy_feed_free(struct policy_feed *feed);              /* NULL is fine */
uint32_t policy_feed_ignored(const struct policy_feed *feed); /* ids that name nobody */
const char *policy_feed_product(const struct policy_feed *feed);

/* The next piece: 1 when there are more, 0 when that was the last. ret_sequence: for
 * policy_durable(), before the next step and before anybody is told that it is done. */
int policy_feed_step(struct policy_feed *feed, uint64_t *ret_sequence, struct error *err);

#endif
