/* SPDX-License-Identifier: Apache-2.0 */
/* messages.h -- a chat's messages, checked and put into the shape that chat templates expect.
 * Any thread. */
#ifndef WEIR_DAEMON_API_MESSAGES_H
#define WEIR_DAEMON_API_MESSAGES_H

#include "daemon/api/fault.h"

#include <jansson.h>

/* Changes messages in place:
 *     content       an array of text parts becomes one string, its parts on lines of their own;
 *                   null or absent becomes ""
 *     role          "developer" becomes "system", the name that templates know
 *     tool_calls    arguments, a string of JSON, become the object in it
 * Other kinds of part, unknown roles and wrong types are a fault naming the place. */
int messages_normalize(json_t *messages, uint32_t depth_max, struct fault *fault);

#endif
