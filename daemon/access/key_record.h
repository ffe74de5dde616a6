/* SPDX-License-Identifier: Apache-2.0 */
/* key_record.h -- a line of the keys file: what there is of a key but the key. Pure; any thread. */
#ifndef WEIR_DAEMON_ACCESS_KEY_RECORD_H
#define WEIR_DAEMON_ACCESS_KEY_RECORD_H

#include "base/error.h"
#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KEY_ID_BYTES_MAX     32u
#define KEY_TENANT_BYTES_MAX 128u
#define KEY_NOTE_BYTES_MAX   256u
#define KEY_LINE_BYTES_MAX   1024u
#define KEY_DIGEST_BYTES     32u /* SHA-256 */
#define KEY_TIME_BYTES       21u /* "2026-11-30T18:00:00Z" and a NUL */

/* What a credential is good for: a bit each. */
enum access_scope { SCOPE_INFERENCE = 1, SCOPE_USAGE = 2, SCOPE_ADMIN = 4 };
#define SCOPES_ALL (SCOPE_INFERENCE | SCOPE_USAGE | SCOPE_ADMIN)

/* Of one bit; "" for none. */
const char *access_scope_name(unsigned scope);
/* Names with one of `separators` between them, each known and given once, at least one. *ret is
 * untouched on failure. */
bool access_scopes_read(const char *text, size_t count, char separator, unsigned *ret);
void access_scopes_write(unsigned scopes, char separator, struct text *out);

struct key_record {
    char id[KEY_ID_BYTES_MAX + 1];
    uint8_t digest[KEY_DIGEST_BYTES];      /* of the key as it is sent */
    char tenant[KEY_TENANT_BYTES_MAX + 1]; /* "" for none */
    unsigned scopes;
    int64_t created_unix, expires_unix, revoked_unix; /* 0: not said, never, not */
    char note[KEY_NOTE_BYTES_MAX + 1];
};

enum key_state { KEY_GOOD, KEY_EXPIRED, KEY_REVOKED };
enum key_state key_record_state(const struct key_record *record, int64_t now_unix);

/* Whether it may be an id: letters, digits, '-' and '_'; a tenant in this file: no blanks, no
 * control characters; a note: no control characters. */
bool key_id_fits(const char *id);
bool key_tenant_fits(const char *tenant);
bool key_note_fits(const char *note);

/* A line without its end, which is no comment. ERROR_INVALID, in words that quote nothing of it
 * but names of fields that are ours: what stands there by mistake may be a key. */
int key_record_read(const char *line, size_t count, struct key_record *ret, struct error *err);
/* The line with its end. Reads back equal. */
void key_record_write(const struct key_record *record, struct text *out);

void key_digest(const char *key, uint8_t ret[KEY_DIGEST_BYTES]);
/* UTC, to the second; false for what is no time after 1970 written so. */
bool key_time_read(const char *text, size_t count, int64_t *ret);
/* "" for 0. */
void key_time_write(int64_t unix_s, char ret[KEY_TIME_BYTES]);

#endif
