/* SPDX-License-Identifier: Apache-2.0 */
/* key_record.c -- fields by name, a blank between them:
 *
 *     ID sha256:DIGEST tenant=acme scopes=inference,usage created=2026-11-30T18:00:00Z note=text
 *
 * A name that is not known here is refused: a newer weir may have put a restriction there, and to
 * pass over it would be to grant what was not. Times are UTC, to the second. */
#include "daemon/access/key_record.h"

#include <assert.h>
#include <ctype.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const char digest_prefix[] = "sha256:";

static const struct {
    unsigned scope;
    const char *name;
} scopes[] = {{SCOPE_INFERENCE, "inference"}, {SCOPE_USAGE, "usage"}, {SCOPE_ADMIN, "admin"}};
#define SCOPE_COUNT (sizeof scopes / sizeof scopes[0])

const char *access_scope_name(unsigned scope)
{
    for (size_t i = 0; i < SCOPE_COUNT; i++)
        if (scopes[i].scope == scope)
            return scopes[i].name;
    return "";
}

static unsigned scope_of(const char *name, size_t count)
{
    for (size_t i = 0; i < SCOPE_COUNT; i++)
        if (strlen(scopes[i].name) == count && memcmp(scopes[i].name, name, count) == 0)
            return scopes[i].scope;
    return 0;
}

bool access_scopes_read(const char *text, size_t count, char separator, unsigned *ret)
{
    unsigned found = 0;
    const char *end = text + count;
    while (text < end) {
        const char *stop = memchr(text, separator, (size_t)(end - text));
        if (stop == NULL)
            stop = end;
        unsigned scope = scope_of(text, (size_t)(stop - text));
        if (scope == 0 || (found & scope) != 0 || stop + 1 == end)
            return false;
        found |= scope;
        text = stop + 1;
    }
    if (found == 0)
        return false;
    *ret = found;
    return true;
}

void access_scopes_write(unsigned wanted, char separator, struct text *out)
{
    bool first = true;
    for (size_t i = 0; i < SCOPE_COUNT; i++) {
        if ((wanted & scopes[i].scope) == 0)
            continue;
        if (!first)
            text_append_char(out, separator);
        first = false;
        text_append_string(out, scopes[i].name);
    }
}

enum key_state key_record_state(const struct key_record *record, int64_t now_unix)
{
    if (record->revoked_unix != 0)
        return KEY_REVOKED;
    return record->expires_unix != 0 && now_unix >= record->expires_unix ? KEY_EXPIRED : KEY_GOOD;
}

bool key_id_fits(const char *id)
{
    size_t count = strlen(id);
    for (size_t i = 0; i < count; i++)
        if (!isalnum((unsigned char)id[i]) && id[i] != '-' && id[i] != '_')
            return false;
    return count > 0 && count <= KEY_ID_BYTES_MAX;
}

static bool has_only(const char *text, unsigned char least)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < least || *text == 0x7f)
            return false;
    return true;
}

bool key_tenant_fits(const char *tenant)
{
    return has_only(tenant, '!') && strlen(tenant) <= KEY_TENANT_BYTES_MAX;
}

bool key_note_fits(const char *note)
{
    return has_only(note, ' ') && strlen(note) <= KEY_NOTE_BYTES_MAX;
}

/* -- Reading -- */

struct cursor {
    const char *at, *end;
};

/* The next word; empty at the end. Blanks are single, so that a line has one spelling. */
static struct cursor next_word(struct cursor *line)
{
    const char *stop = memchr(line->at, ' ', (size_t)(line->end - line->at));
    struct cursor word = {line->at, stop == NULL ? line->end : stop};
    line->at = stop == NULL ? line->end : stop + 1;
    return word;
}

static bool copy_word(struct cursor word, char *to, size_t bytes_max)
{
    size_t count = (size_t)(word.end - word.at);
    if (count > bytes_max || memchr(word.at, '\0', count) != NULL)
        return false;
    memcpy(to, word.at, count);
    to[count] = '\0';
    return true;
}

/* Small letters: a digest has one spelling. */
static bool read_digest(struct cursor word, uint8_t ret[KEY_DIGEST_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    size_t prefix = sizeof digest_prefix - 1;
    if ((size_t)(word.end - word.at) != prefix + 2 * (size_t)KEY_DIGEST_BYTES ||
        memcmp(word.at, digest_prefix, prefix) != 0)
        return false;
    for (size_t i = 0; i < 2 * (size_t)KEY_DIGEST_BYTES; i++) {
        const char *digit = memchr(digits, word.at[prefix + i], 16);
        if (digit == NULL)
            return false;
        unsigned value = (unsigned)(digit - digits);
        ret[i / 2] = (uint8_t)(i % 2 == 0 ? value << 4 : (ret[i / 2] | value));
    }
    return true;
}

bool key_time_read(const char *text, size_t count, int64_t *ret)
{
    static const char shape[] = "dddd-dd-ddTdd:dd:ddZ";
    if (count != sizeof shape - 1)
        return false;
    int parts[6] = {0}, part = 0;
    for (size_t i = 0; i < sizeof shape - 1; i++) {
        if (shape[i] != 'd') {
            if (text[i] != shape[i])
                return false;
            part++;
            continue;
        }
        if (!isdigit((unsigned char)text[i]))
            return false;
        parts[part] = parts[part] * 10 + (text[i] - '0');
    }
    struct tm utc = {.tm_year = parts[0] - 1900,
                     .tm_mon = parts[1] - 1,
                     .tm_mday = parts[2],
                     .tm_hour = parts[3],
                     .tm_min = parts[4],
                     .tm_sec = parts[5]};
    const struct tm written = utc;
    time_t at = timegm(&utc); /* which would carry a 31st of June over into July */
    if (at <= 0 || utc.tm_mday != written.tm_mday || utc.tm_mon != written.tm_mon ||
        utc.tm_hour != written.tm_hour || utc.tm_min != written.tm_min ||
        utc.tm_sec != written.tm_sec)
        return false;
    *ret = at;
    return true;
}

static bool read_time(struct cursor word, int64_t *ret)
{
    return key_time_read(word.at, (size_t)(word.end - word.at), ret);
}

enum field { FIELD_TENANT, FIELD_SCOPES, FIELD_CREATED, FIELD_EXPIRES, FIELD_REVOKED, FIELD_NOTE };
static const char *const field_names[] = {"tenant",  "scopes",  "created",
                                          "expires", "revoked", "note"};
#define FIELD_COUNT (sizeof field_names / sizeof field_names[0])

static int read_value(enum field field, struct cursor value, struct key_record *record,
                      struct error *err)
{
    bool holds = false;
    const char *what = "a time such as 2026-11-30T18:00:00Z";
    switch (field) {
    case FIELD_TENANT:
        what = "1 to 128 bytes, no blanks or control characters";
        holds = value.at < value.end && copy_word(value, record->tenant, KEY_TENANT_BYTES_MAX) &&
                key_tenant_fits(record->tenant);
        break;
    case FIELD_SCOPES:
        what = "a list of inference, usage and admin with commas between them";
        holds = access_scopes_read(value.at, (size_t)(value.end - value.at), ',', &record->scopes);
        break;
    case FIELD_CREATED:
        holds = read_time(value, &record->created_unix);
        break;
    case FIELD_EXPIRES:
        holds = read_time(value, &record->expires_unix);
        break;
    case FIELD_REVOKED:
        holds = read_time(value, &record->revoked_unix);
        break;
    case FIELD_NOTE:
        what = "at most 256 bytes without control characters";
        holds = copy_word(value, record->note, KEY_NOTE_BYTES_MAX) && key_note_fits(record->note);
        break;
    }
    return holds ? 0 : error_set(err, ERROR_INVALID, "%s: expected %s", field_names[field], what);
}

static int read_field(struct cursor *line, unsigned *seen, struct key_record *record,
                      struct error *err)
{
    const char *start = line->at;
    struct cursor word = next_word(line);
    const char *equals = memchr(word.at, '=', (size_t)(word.end - word.at));
    for (size_t i = 0; equals != NULL && i < FIELD_COUNT; i++) {
        if (strlen(field_names[i]) != (size_t)(equals - start) ||
            memcmp(field_names[i], start, (size_t)(equals - start)) != 0)
            continue;
        if ((*seen & 1u << i) != 0)
            return error_set(err, ERROR_INVALID, "%s: given twice", field_names[i]);
        *seen |= 1u << i;
        struct cursor value = {equals + 1, word.end};
        if (i == FIELD_NOTE)
            value.end = line->at = line->end;
        return read_value((enum field)i, value, record, err);
    }
    return error_set(err, ERROR_INVALID,
                     "a field that is not known here; there are tenant, scopes, created, expires, "
                     "revoked and note, with one blank between them");
}

int key_record_read(const char *line, size_t count, struct key_record *ret, struct error *err)
{
    struct key_record record = {.id = ""};
    struct cursor rest = {line, line + count};
    if (count > KEY_LINE_BYTES_MAX)
        return error_set(err, ERROR_INVALID, "more than %u bytes", KEY_LINE_BYTES_MAX);
    if (!copy_word(next_word(&rest), record.id, KEY_ID_BYTES_MAX) || !key_id_fits(record.id))
        return error_set(err, ERROR_INVALID,
                         "expected an id of 1 to %u letters, digits, - or _ at its beginning",
                         KEY_ID_BYTES_MAX);
    if (!read_digest(next_word(&rest), record.digest))
        return error_set(err, ERROR_INVALID,
                         "expected %s and 64 digits 0-9a-f after the id; the key itself never "
                         "stands here: make lines by 'weir keys new'",
                         digest_prefix);
    unsigned seen = 0;
    while (rest.at < rest.end) {
        int result = read_field(&rest, &seen, &record, err);
        if (result != 0)
            return result;
    }
    if ((seen & 1u << FIELD_SCOPES) == 0)
        return error_set(err, ERROR_INVALID, "scopes: missing");
    if (line[count - 1] == ' ' && (seen & 1u << FIELD_NOTE) == 0)
        return error_set(err, ERROR_INVALID, "a blank at its end");
    *ret = record;
    return 0;
}

/* -- Writing -- */

void key_digest(const char *key, uint8_t ret[KEY_DIGEST_BYTES])
{
    static_assert(KEY_DIGEST_BYTES == SHA256_DIGEST_LENGTH, "of SHA-256");
    SHA256((const unsigned char *)key, strlen(key), ret);
}

void key_time_write(int64_t unix_s, char ret[KEY_TIME_BYTES])
{
    struct tm utc;
    time_t at = (time_t)unix_s;
    ret[0] = '\0';
    if (unix_s != 0 && gmtime_r(&at, &utc) != NULL &&
        strftime(ret, KEY_TIME_BYTES, "%Y-%m-%dT%H:%M:%SZ", &utc) == 0)
        ret[0] = '\0';
}

static void append_time(struct text *out, enum field field, int64_t unix_s)
{
    char time[KEY_TIME_BYTES];
    key_time_write(unix_s, time);
    if (time[0] != '\0')
        text_append_format(out, " %s=%s", field_names[field], time);
}

void key_record_write(const struct key_record *record, struct text *out)
{
    text_append_format(out, "%s %s", record->id, digest_prefix);
    for (size_t i = 0; i < KEY_DIGEST_BYTES; i++)
        text_append_format(out, "%02x", record->digest[i]);
    if (record->tenant[0] != '\0')
        text_append_format(out, " %s=%s", field_names[FIELD_TENANT], record->tenant);
    text_append_format(out, " %s=", field_names[FIELD_SCOPES]);
    access_scopes_write(record->scopes, ',', out);
    append_time(out, FIELD_CREATED, record->created_unix);
    append_time(out, FIELD_EXPIRES, record->expires_unix);
    append_time(out, FIELD_REVOKED, record->revoked_unix);
    if (record->note[0] != '\0')
        text_append_format(out, " %s=%s", field_names[FIELD_NOTE], record->note);
    text_append_char(out, '\n');
}
