/* SPDX-License-Identifier: Apache-2.0 */
/* identity_known.h -- the ids that came in this month or the one before, of everything served, so
 * that a new id can be told from one that comes back each morning.
 *
 * Two counters (counter.h) in the state folder, `known-<yyyymm>.wcn`: a restart forgets nobody, and
 * memory is 512 KiB whatever comes. While ids are few they are exact. Registers recognise a new id
 * only by the chance that it changes them, which is known: each one recognised stands for 1/chance,
 * and what was recognised is new for sure. */
#ifndef WEIR_POLICY_USERS_IDENTITY_KNOWN_H
#define WEIR_POLICY_USERS_IDENTITY_KNOWN_H

#include "base/error.h"
#include "policy/users/sketch.h"

#include <stdbool.h>
#include <stdint.h>

struct identity_known;

/* folder: borrowed. key_id: of the key under which ids are hashed. */
struct identity_known *identity_known_new(const char *folder, uint64_t key_id, struct error *err);
void identity_known_free(struct identity_known *known); /* NULL is fine */

/* Policy thread, or before others. Opens what the day needs, and removes what is older; a damaged
 * file is removed, and its ids are new again. Reckons the chance anew. */
int identity_known_turn(struct identity_known *known, uint32_t day, struct error *err);
/* Policy thread. Ids that others counted, or that were counted before this file was there. */
int identity_known_join(struct identity_known *known, const struct sketch *ids, struct error *err);

/* Any thread; no lock but for an id that is new. Adds it; true: it is new for sure. */
bool identity_known_add(struct identity_known *known, uint64_t id);
/* With which a new id is recognised as one: 1 while exact, 0 while there is no file to know from.
 * Some seconds old. Any thread. */
float identity_known_chance(const struct identity_known *known);

#endif
