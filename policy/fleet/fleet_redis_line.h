/* SPDX-License-Identifier: Apache-2.0 */
/* fleet_redis_line.h -- one command to the fleet's store and its answer, for what is neither a
 * counter nor a delta: who is there, what is called how, who may spend how many tickets.
 *
 * The same limits of time and bytes as for all calls (fleet_redis.h). The fleet's thread. */
#ifndef WEIR_POLICY_FLEET_FLEET_REDIS_LINE_H
#define WEIR_POLICY_FLEET_FLEET_REDIS_LINE_H

#include "base/error.h"
#include "policy/fleet/fleet_redis.h"

#include <hiredis.h>
#include <stddef.h>

#define FLEET_ARGUMENTS_MAX  12u
#define FLEET_KEY_NAME_BYTES 160u

/* Arguments, borrowed. Begins as {0}. */
struct fleet_command {
    int count;
    const char *arguments[FLEET_ARGUMENTS_MAX];
    size_t lengths[FLEET_ARGUMENTS_MAX];
};
void fleet_command_add(struct fleet_command *command, const void *bytes, size_t count);
void fleet_command_string(struct fleet_command *command, const char *string);

/* Connects if need be. *ret is freeReplyObject()'s to free, and never of the type ERROR: what the
 * server calls one is an error here, and the connection is closed. */
int fleet_redis_call(struct fleet_redis *redis, const struct fleet_command *command,
                     redisReply **ret, struct error *err);
/* For an answer that is none: closes the connection, for who knows what comes next. */
int fleet_redis_confused(struct fleet_redis *redis, const char *what, struct error *err);
/* "PREFIX:what". Put a hash tag into `what` where several keys are changed at one stroke. */
void fleet_redis_key(const struct fleet_redis *redis, const char *what,
                     char ret[FLEET_KEY_NAME_BYTES]);

#endif
