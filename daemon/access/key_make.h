/* SPDX-License-Identifier: Apache-2.0 */
/* key_make.h -- a new key: "weir_sk_", 43 letters and digits (256 random bits), 6 of a checksum.
 *
 * The prefix and the checksum are for scanners that look for keys in code and logs: they tell one
 * from what only looks like it, without asking anybody. The daemon takes no notice of either. */
#ifndef WEIR_DAEMON_ACCESS_KEY_MAKE_H
#define WEIR_DAEMON_ACCESS_KEY_MAKE_H

#include "base/error.h"
#include "daemon/access/key_record.h"

#include <stdbool.h>

#define KEY_PREFIX       "weir_sk_"
#define KEY_RANDOM_COUNT 43u
#define KEY_CHECK_COUNT  6u
#define KEY_BYTES        (sizeof KEY_PREFIX + KEY_RANDOM_COUNT + KEY_CHECK_COUNT) /* with a NUL */
#define KEY_ID_RANDOM    10u

int key_make(char ret[KEY_BYTES], struct error *err);
/* "k_" and random letters and digits: 59 bits, so that ids do not meet. */
int key_make_id(char ret[KEY_ID_BYTES_MAX + 1], struct error *err);
/* Whether it has the shape of a key of ours, checksum included. Pure. */
bool key_looks_made(const char *key);

#endif
