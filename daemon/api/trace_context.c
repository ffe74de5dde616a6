/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/api/trace_context.h"

#include <assert.h>
#include <string.h>

#define TRACE_ID_AT 3u
#define SPAN_ID_AT  (TRACE_ID_AT + TRACE_ID_DIGITS + 1)
#define FLAGS_AT    (SPAN_ID_AT + SPAN_ID_DIGITS + 1)
#define SAMPLED     1u

static_assert(FLAGS_AT + 2 == TRACE_PARENT_BYTES, "the format of version 00");

/* -- traceparent -- */

/* -1 for what is no lower-case digit. */
static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* How many of them are digits, from the first; *ret_zero: all are '0'. */
static bool are_digits(const char *at, size_t count, bool *ret_zero)
{
    *ret_zero = true;
    for (size_t i = 0; i < count; i++) {
        int digit = digit_of(at[i]);
        if (digit < 0)
            return false;
        *ret_zero = *ret_zero && digit == 0;
    }
    return true;
}

/* Version 00 has one length; a later one may go on behind a dash. */
static bool is_known_shape(const char *value)
{
    bool zero;
    size_t count = strnlen(value, TRACE_PARENT_BYTES + 1);
    if (count < TRACE_PARENT_BYTES || !are_digits(value, 2, &zero) ||
        (value[0] == 'f' && value[1] == 'f'))
        return false;
    if (value[2] != '-' || value[SPAN_ID_AT - 1] != '-' || value[FLAGS_AT - 1] != '-')
        return false;
    return count == TRACE_PARENT_BYTES || (!zero && value[TRACE_PARENT_BYTES] == '-');
}

bool trace_parent_read(const char *value, struct trace_parent *ret)
{
    bool trace_zero, span_zero, flags_zero;
    if (!is_known_shape(value) || !are_digits(value + TRACE_ID_AT, TRACE_ID_DIGITS, &trace_zero) ||
        !are_digits(value + SPAN_ID_AT, SPAN_ID_DIGITS, &span_zero) ||
        !are_digits(value + FLAGS_AT, 2, &flags_zero) || trace_zero || span_zero)
        return false;
    memcpy(ret->trace_id, value + TRACE_ID_AT, TRACE_ID_DIGITS);
    ret->trace_id[TRACE_ID_DIGITS] = '\0';
    memcpy(ret->span_id, value + SPAN_ID_AT, SPAN_ID_DIGITS);
    ret->span_id[SPAN_ID_DIGITS] = '\0';
    ret->sampled = ((unsigned)digit_of(value[FLAGS_AT + 1]) & SAMPLED) != 0;
    return true;
}

void trace_parent_write(const struct trace_parent *parent, char ret[TRACE_PARENT_BYTES + 1])
{
    memcpy(ret, "00-", TRACE_ID_AT);
    memcpy(ret + TRACE_ID_AT, parent->trace_id, TRACE_ID_DIGITS);
    ret[SPAN_ID_AT - 1] = '-';
    memcpy(ret + SPAN_ID_AT, parent->span_id, SPAN_ID_DIGITS);
    memcpy(ret + FLAGS_AT - 1, parent->sampled ? "-01" : "-00", sizeof "-00");
}

static void put_digits(uint64_t number, char *ret)
{
    for (uint32_t i = 0; i < SPAN_ID_DIGITS; i++)
        ret[i] = "0123456789abcdef"[number >> (60 - 4 * i) & 15];
    ret[SPAN_ID_DIGITS] = '\0';
}

void trace_id_of(uint64_t high, uint64_t low, char ret[TRACE_ID_DIGITS + 1])
{
    put_digits(high, ret);
    put_digits(high == 0 && low == 0 ? 1 : low, ret + SPAN_ID_DIGITS);
}

void span_id_of(uint64_t number, char ret[SPAN_ID_DIGITS + 1])
{
    put_digits(number == 0 ? 1 : number, ret);
}

/* Of the last 14 digits, which level 2 of the specification wants to be random. */
uint32_t trace_draw(const char trace_id[TRACE_ID_DIGITS + 1])
{
    uint64_t number = 0;
    for (uint32_t i = TRACE_ID_DIGITS - 14; i < TRACE_ID_DIGITS; i++)
        number = number << 4 | (uint64_t)digit_of(trace_id[i]);
    return (uint32_t)(number % 1000000);
}

/* -- tracestate -- */

static bool is_key_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || strchr("_-*/", c) != NULL;
}

/* A letter (or digit, before an '@') and up to `more` bytes behind it. */
static bool is_key_part(const char *at, size_t count, size_t more, bool digit_first)
{
    if (count == 0 || count > more + 1)
        return false;
    if (!(at[0] >= 'a' && at[0] <= 'z') && !(digit_first && at[0] >= '0' && at[0] <= '9'))
        return false;
    for (size_t i = 1; i < count; i++)
        if (at[i] == '\0' || !is_key_byte(at[i]))
            return false;
    return true;
}

/* "vendor", or "tenant@vendor". */
static bool is_key(const char *at, size_t count)
{
    const char *mark = memchr(at, '@', count);
    if (mark == NULL)
        return is_key_part(at, count, 255, false);
    size_t tenant = (size_t)(mark - at);
    return is_key_part(at, tenant, 240, true) &&
           is_key_part(mark + 1, count - tenant - 1, 13, false);
}

static bool is_value(const char *at, size_t count)
{
    if (count == 0 || count > 256 || at[count - 1] == ' ')
        return false;
    for (size_t i = 0; i < count; i++)
        if (at[i] < ' ' || at[i] > '~' || at[i] == ',' || at[i] == '=')
            return false;
    return true;
}

struct member {
    const char *at;
    size_t count, key_count;
};

/* Cuts the spaces off; false for a member that is not sound. An empty one has no bytes. */
static bool read_member(struct member *member)
{
    while (member->count > 0 && (*member->at == ' ' || *member->at == '\t')) {
        member->at++;
        member->count--;
    }
    while (member->count > 0 &&
           (member->at[member->count - 1] == ' ' || member->at[member->count - 1] == '\t'))
        member->count--;
    if (member->count == 0)
        return true;
    const char *mark = memchr(member->at, '=', member->count);
    if (mark == NULL)
        return false;
    member->key_count = (size_t)(mark - member->at);
    return is_key(member->at, member->key_count) &&
           is_value(mark + 1, member->count - member->key_count - 1);
}

/* How many members there are; -1 when one is not sound. */
static int read_members(const char *list, struct member members[TRACE_STATE_MEMBERS])
{
    uint32_t count = 0;
    for (const char *at = list, *end; at != NULL; at = *end == ',' ? end + 1 : NULL) {
        end = strchrnul(at, ',');
        struct member member = {.at = at, .count = (size_t)(end - at)};
        if (!read_member(&member))
            return -1;
        if (member.count == 0)
            continue;
        if (count == TRACE_STATE_MEMBERS)
            return -1;
        for (uint32_t i = 0; i < count; i++)
            if (members[i].key_count == member.key_count &&
                memcmp(members[i].at, member.at, member.key_count) == 0)
                return -1;
        members[count++] = member;
    }
    return (int)count;
}

void trace_state_read(const char *list, char ret[TRACE_STATE_BYTES_MAX + 1])
{
    struct member members[TRACE_STATE_MEMBERS];
    int count = read_members(list, members);
    size_t used = 0;
    for (int i = 0; i < count; i++) {
        size_t comma = used > 0;
        if (used + comma + members[i].count > TRACE_STATE_BYTES_MAX)
            break;
        if (comma)
            ret[used++] = ',';
        memcpy(ret + used, members[i].at, members[i].count);
        used += members[i].count;
    }
    ret[used] = '\0';
}
