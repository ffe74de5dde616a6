/* SPDX-License-Identifier: Apache-2.0 */
/* keys_file.h -- the file of API keys: a key_record a line, '#' for comments, nothing else.
 *
 * It holds no key, only SHA-256 of each. A key is 256 random bits, so that nobody finds it by
 * trying, however fast the digest: a slow one (bcrypt, Argon2) is for passwords, which people
 * choose, and would let any stranger spend our time, a tenth of a second for each wrong key. */
#ifndef WEIR_DAEMON_ACCESS_KEYS_FILE_H
#define WEIR_DAEMON_ACCESS_KEYS_FILE_H

#include "base/error.h"
#include "daemon/access/key_record.h"

#include <stddef.h>
#include <stdint.h>

#define KEYS_MAX            100000u
#define KEYS_FILE_BYTES_MAX (32u << 20)
#define KEYS_CREDENTIAL     "weir-api-keys" /* in $CREDENTIALS_DIRECTORY */

/* Called for each record, in their order. What is not 0 ends the reading and is returned. */
typedef int (*key_visit_fn)(void *argument, const struct key_record *record, struct error *err);

/* Text of a file. Pure. ERROR_INVALID names the line; ids and digests are unique, which is the
 * caller's to see to: it has a table. A last line without its end is refused: half of it may be on
 * its way. */
int keys_read(const char *bytes, size_t count, key_visit_fn visit, void *argument,
              struct error *err);

/* The file itself, malloc'ed. ERROR_NOT_FOUND; ERROR_REFUSED where others may read it (0600 and
 * 0640 are fine, 0440 too); ERROR_INVALID. Errors name the path. */
int keys_file_load(const char *path, char **ret, size_t *ret_count, struct error *err);

/* Where the keys are: configured, else the credential that systemd put there; "" for nowhere. */
int keys_file_path(const char *configured, char *ret, size_t ret_bytes, struct error *err);

#endif
