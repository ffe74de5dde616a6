/* SPDX-License-Identifier: Apache-2.0 */
/* identity_source.h -- the rules that prove users, alive: keys are rotated while we serve.
 *
 * Workers read an immutable object that one pointer names; a look at the files replaces it. What
 * was replaced goes as soon as nobody reads it, so that a rotation an hour for years costs nothing.
 * Looking: one thread at a time, which a lock sees to. Entering: any thread, without one. */
#ifndef WEIR_POLICY_USERS_IDENTITY_SOURCE_H
#define WEIR_POLICY_USERS_IDENTITY_SOURCE_H

#include "base/error.h"
#include "policy/users/identity_rules.h"

#include <stdbool.h>
#include <stdint.h>

struct identity_source;

/* Settings are copied. Errors are those of identity_rules_load(). */
struct identity_source *identity_source_new(const struct policy_identity *settings,
                                            struct error *err);
void identity_source_free(struct identity_source *source); /* NULL is fine */

/* Between these two the rules stay. *ret_guard is what identity_source_leave() needs. Returns NULL
 * where no file is configured: nothing proves anything. */
const struct identity_rules *identity_source_enter(struct identity_source *source,
                                                   uint32_t *ret_guard);
void identity_source_leave(struct identity_source *source, uint32_t guard);

/* Reads the files if one is another than when it was last read, or anyway; then *ret_read. What
 * does not hold is refused, and the rules stay as they are; the same files are not refused again
 * unless `anyway`. */
int identity_source_look(struct identity_source *source, bool anyway, bool *ret_read,
                         struct error *err);

#endif
