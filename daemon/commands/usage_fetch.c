/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/commands/usage.h"

#include <string.h>

/* What the daemon says of itself, in OpenAI's shape. */
static const char *message_of(const json_t *answer)
{
    const json_t *error = json_object_get(answer, "error");
    const char *message = json_string_value(json_object_get(error, "message"));
    return message == NULL ? "it does not say why" : message;
}

static int fail_status(long status, const json_t *answer, const char *url, struct error *err)
{
    switch (status) {
    case 401:
    case 403:
        return error_set(err, ERROR_REFUSED, "%.200s: the key is none of its access.admin_keys",
                         url);
    case 404:
        return error_set(err, ERROR_NOT_FOUND,
                         "%.200s: no admin door: give its configuration an access.admin_keys, or "
                         "this command the --url of a weir that has one",
                         url);
    case 400:
        return error_set(err, ERROR_UNSUPPORTED, "%.200s: %.300s", url, message_of(answer));
    default:
        return error_set(err, ERROR_BUSY, "%.200s: status %ld: %.300s", url, status,
                         message_of(answer));
    }
}

int usage_fetch(const struct remote *remote, const char *month, json_t **ret,
                struct text *ret_bytes, struct error *err)
{
    struct text path, body;
    long status = 0;
    text_init(&path);
    text_append_string(&path, "/admin/v1/usage");
    if (month != NULL)
        text_append_format(&path, "?month=%s", month);
    int result = path.failed ? error_no_memory(err)
                             : remote_get(remote, text_string(&path), &body, &status, err);
    text_destroy(&path);
    if (result != 0)
        return result;
    json_t *answer = json_loadb(text_string(&body), body.count, JSON_REJECT_DUPLICATES, NULL);
    const char *object = json_string_value(json_object_get(answer, "object"));
    if (status != 200)
        result = fail_status(status, answer, remote->url, err);
    else if (object == NULL || strcmp(object, "usage") != 0)
        result = error_set(err, ERROR_INVALID, "%.200s: answers, but is no weir", remote->url);
    if (result == 0) {
        *ret = answer;
        *ret_bytes = body;
        return 0;
    }
    json_decref(answer);
    text_destroy(&body);
    return result;
}
