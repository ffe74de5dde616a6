/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/api/admin_users_body.h"

#include "daemon/api/body.h"
#include "policy/users/base64url.h"
#include "policy/users/calendar.h"
#include "policy/users/identity.h"
#include "policy/users/identity_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEX_DIGITS 16u
#define DAY_TEXT   10u /* "2026-11-25" */

static int fail_type(struct fault *fault, const char *param, const char *expected,
                     const json_t *value)
{
    return fault_set(fault, 400, param, "'%s' must be %s, not %s", param, expected,
                     value == NULL ? "left out" : body_type_name(value));
}

/* A name that is to be compared and written into files: no NUL, no control character. */
static int read_name(const json_t *body, const char *key, size_t most, const char **ret,
                     struct fault *fault)
{
    const json_t *value = json_object_get(body, key);
    *ret = "";
    if (value == NULL || json_is_null(value))
        return 0;
    if (!json_is_string(value))
        return fail_type(fault, key, "a string", value);
    const char *text = json_string_value(value);
    size_t count = json_string_length(value);
    if (count > most)
        return fault_set(fault, 400, key, "'%s' has more than %zu bytes", key, most);
    if (!identity_text_is_plain(text, count))
        return fault_set(fault, 400, key, "'%s' holds a control character", key);
    *ret = text;
    return 0;
}

static int read_day(const json_t *body, uint32_t today, uint32_t *ret, struct fault *fault)
{
    const json_t *value = json_object_get(body, "day");
    char digits[CALENDAR_TEXT_BYTES] = "";
    *ret = today;
    if (value == NULL || json_is_null(value))
        return 0;
    const char *text = json_string_value(value);
    if (text != NULL && json_string_length(value) == DAY_TEXT && text[4] == '-' && text[7] == '-') {
        memcpy(digits, text, 4);
        memcpy(digits + 4, text + 5, 2);
        memcpy(digits + 6, text + 8, 2);
    }
    return calendar_parse(digits, ret)
               ? 0
               : fault_set(fault, 400, "day", "'day' must be a day of UTC such as 2026-11-25");
}

static int read_class(const json_t *body, enum identity_class *ret, struct fault *fault)
{
    const char *name;
    *ret = IDENTITY_ASSERTED;
    int result = read_name(body, "class", 16, &name, fault);
    if (result != 0 || name[0] == '\0' || strcmp(name, "asserted") == 0)
        return result;
    *ret = IDENTITY_VERIFIED;
    return strcmp(name, "verified") == 0
               ? 0
               : fault_set(fault, 400, "class", "'class' must be \"verified\" or \"asserted\"");
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_hex(const json_t *value, uint64_t *ret)
{
    const char *text = json_string_value(value);
    uint64_t number = 0;
    if (text == NULL || json_string_length(value) != HEX_DIGITS)
        return false;
    for (uint32_t i = 0; i < HEX_DIGITS; i++) {
        int digit = hex_digit(text[i]);
        if (digit < 0)
            return false;
        number = number << 4 | (uint64_t)digit;
    }
    *ret = number;
    return true;
}

static int read_list(const json_t *body, const char *key, const json_t **ret, struct fault *fault)
{
    const json_t *list = json_object_get(body, key);
    if (!json_is_array(list))
        return fail_type(fault, key, "a list", list);
    if (json_array_size(list) == 0)
        return fault_set(fault, 400, key, "'%s' is empty", key);
    if (json_array_size(list) > POLICY_FEED_USERS_MAX)
        return fault_set(fault, 400, key, "'%s' has more than %u entries; send several", key,
                         POLICY_FEED_USERS_MAX);
    *ret = list;
    return 0;
}

static int fail_entry(struct fault *fault, const char *key, size_t index, const char *why)
{
    char param[48];
    (void)snprintf(param, sizeof param, "%s[%zu]", key, index);
    return fault_set(fault, 400, param, "'%s' %s", param, why);
}

/* Blanks and placeholders are let through: they are nobody, and are counted as that. */
static int check_user(const json_t *value, size_t index, struct fault *fault)
{
    const char *text = json_string_value(value);
    size_t count = json_string_length(value);
    if (text == NULL)
        return fail_entry(fault, "users", index, "must be a string");
    if (strlen(text) != count)
        return fail_entry(fault, "users", index, "holds a NUL");
    identity_text_trim(&text, &count);
    if (count > IDENTITY_BYTES_MAX)
        return fail_entry(fault, "users", index, "has more than 512 bytes: that is no user's id");
    return 0;
}

static int read_users(struct admin_users *users, struct fault *fault)
{
    const json_t *list;
    int result = read_list(users->body, "users", &list, fault);
    if (result != 0)
        return result;
    uint32_t count = (uint32_t)json_array_size(list);
    users->users = calloc(count, sizeof *users->users);
    if (users->users == NULL)
        return fault_no_memory(fault);
    for (uint32_t i = 0; i < count; i++) {
        const json_t *value = json_array_get(list, i);
        if (check_user(value, i, fault) != 0)
            return -1;
        users->users[i] = json_string_value(value);
    }
    users->request.users = users->users;
    users->request.count = count;
    result = read_name(users->body, "tenant", IDENTITY_TENANT_MAX, &users->request.tenant, fault);
    return result != 0
               ? result
               : read_name(users->body, "issuer", JWT_CLAIM_MAX, &users->request.issuer, fault);
}

static int read_hashes(struct admin_users *users, struct fault *fault)
{
    const json_t *list;
    int result = read_list(users->body, "hashes", &list, fault);
    if (result != 0)
        return result;
    uint32_t count = (uint32_t)json_array_size(list);
    users->hashes = calloc(count, sizeof *users->hashes);
    if (users->hashes == NULL)
        return fault_no_memory(fault);
    for (uint32_t i = 0; i < count; i++) {
        if (!read_hex(json_array_get(list, i), &users->hashes[i]))
            return fail_entry(fault, "hashes", i, "must be 16 digits of 0-9 and a-f");
        if (users->hashes[i] == 0)
            return fail_entry(fault, "hashes", i, "is 0, which no user's hash is");
    }
    users->request.hashes = users->hashes;
    users->request.count = count;
    return 0;
}

/* RFC 4648 with either alphabet, padded or not. */
static int decode(const char *text, size_t count, struct admin_users *users, struct fault *fault)
{
    for (int i = 0; i < 2 && count > 0 && text[count - 1] == '='; i++)
        count--;
    if (count / 4 * 3 > ADMIN_USERS_SKETCH_MAX)
        return fault_set(fault, 413, "sketch", "'sketch' has more than %u bytes",
                         ADMIN_USERS_SKETCH_MAX);
    char *url = malloc(count + 1);
    users->sketch = malloc(count / 4 * 3 + 3);
    if (url == NULL || users->sketch == NULL) {
        free(url);
        return fault_no_memory(fault);
    }
    for (size_t i = 0; i < count; i++)
        url[i] = (char)(text[i] == '+' ? '-' : text[i] == '/' ? '_' : text[i]);
    bool good = base64url_decode(url, count, users->sketch, count / 4 * 3 + 3,
                                 &users->request.sketch_bytes);
    free(url);
    users->request.sketch = users->sketch;
    return good ? 0 : fault_set(fault, 400, "sketch", "'sketch' is no base64");
}

static int read_sketch(struct admin_users *users, struct fault *fault)
{
    const json_t *value = json_object_get(users->body, "sketch");
    const json_t *expected = json_object_get(users->body, "sketch_users");
    if (!json_is_string(value))
        return fail_type(fault, "sketch", "a string", value);
    if (expected != NULL && (!json_is_number(expected) || !(json_number_value(expected) > 0)))
        return fault_set(fault, 400, "sketch_users", "'sketch_users' must be a number above 0");
    users->request.sketch_users = json_number_value(expected);
    return decode(json_string_value(value), json_string_length(value), users, fault);
}

/* Each form with the members that are its own. */
static const struct {
    const char *name;
    const char *own[3];
} forms[] = {[POLICY_FEED_USERS] = {"users", {"tenant", "issuer", NULL}},
             [POLICY_FEED_HASHES] = {"hashes", {"key_id", NULL}},
             [POLICY_FEED_SKETCH] = {"sketch", {"key_id", "sketch_users", NULL}}};
#define FORMS 3u

static int find_form(const json_t *body, enum policy_feed_form *ret, struct fault *fault)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < FORMS; i++)
        if (json_object_get(body, forms[i].name) != NULL) {
            *ret = (enum policy_feed_form)i;
            count++;
        }
    return count == 1
               ? 0
               : fault_set(fault, 400, "users",
                           "one of 'users', 'hashes' and 'sketch' is expected, not %u", count);
}

static bool is_member(const char *key, enum policy_feed_form form)
{
    static const char *const always[] = {"product", "model", "day", "class"};
    for (size_t i = 0; i < sizeof always / sizeof always[0]; i++)
        if (strcmp(key, always[i]) == 0)
            return true;
    for (uint32_t i = 0; forms[form].own[i] != NULL; i++)
        if (strcmp(key, forms[form].own[i]) == 0)
            return true;
    return strcmp(key, forms[form].name) == 0;
}

static int check_members(json_t *body, enum policy_feed_form form, struct fault *fault)
{
    const char *key;
    json_t *value;
    json_object_foreach(body, key, value)
    {
        if (!is_member(key, form))
            return fault_set(fault, 400, key, "'%.64s' is no member of a feed of %s", key,
                             forms[form].name);
    }
    return 0;
}

static int read_form(struct admin_users *users, struct fault *fault)
{
    const json_t *key_id = json_object_get(users->body, "key_id");
    if (users->request.form == POLICY_FEED_USERS)
        return read_users(users, fault);
    if (!read_hex(key_id, &users->request.key_id))
        return fault_set(fault, 400, "key_id",
                         "'key_id' must be 16 digits of 0-9 and a-f: GET /admin/v1/usage tells "
                         "ours, a year each");
    return users->request.form == POLICY_FEED_HASHES ? read_hashes(users, fault)
                                                     : read_sketch(users, fault);
}

static int read_all(struct admin_users *users, uint32_t today, struct fault *fault)
{
    struct policy_feed_request *request = &users->request;
    request->tenant = request->issuer = "";
    if (find_form(users->body, &request->form, fault) != 0 ||
        check_members(users->body, request->form, fault) != 0 ||
        read_name(users->body, "product", POLICY_FEED_PRODUCT_MAX, &request->product, fault) != 0 ||
        read_name(users->body, "model", 1024, &request->model, fault) != 0 ||
        read_day(users->body, today, &request->day, fault) != 0 ||
        read_class(users->body, &request->class, fault) != 0)
        return -1;
    if (request->product[0] == '\0' && request->model[0] == '\0')
        return fault_set(fault, 400, "product", "'product' or 'model' must say whose users");
    return read_form(users, fault);
}

int admin_users_parse(const char *bytes, size_t count, uint32_t today, struct admin_users *ret,
                      struct fault *fault)
{
    struct admin_users users = {.body = NULL};
    memset(ret, 0, sizeof *ret);
    if (count > ADMIN_USERS_BODY_MAX)
        return fault_set(fault, 413, NULL, "the body has more than %u bytes; send several",
                         ADMIN_USERS_BODY_MAX);
    int result = body_parse(bytes, count, BODY_DEPTH_DEFAULT, &users.body, fault);
    if (result == 0)
        result = read_all(&users, today, fault);
    if (result != 0)
        admin_users_destroy(&users);
    else
        *ret = users;
    return result;
}

void admin_users_destroy(struct admin_users *users)
{
    json_decref(users->body);
    free((void *)users->users);
    free(users->hashes);
    free(users->sketch);
    memset(users, 0, sizeof *users);
}
