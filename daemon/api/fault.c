/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/api/fault.h"

#include "policy/policy_users.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static void fill(struct fault *fault, uint32_t status, const char *format, va_list args)
{
    memset(fault, 0, sizeof *fault);
    fault->status = status;
    (void)vsnprintf(fault->message, sizeof fault->message, format, args);
}

int fault_set(struct fault *fault, uint32_t status, const char *param, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fill(fault, status, format, args);
    va_end(args);
    if (param != NULL)
        (void)snprintf(fault->param, sizeof fault->param, "%s", param);
    return -1;
}

int fault_code(struct fault *fault, uint32_t status, const char *code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fill(fault, status, format, args);
    va_end(args);
    fault->code = code;
    return -1;
}

int fault_no_memory(struct fault *fault)
{
    return fault_code(fault, 500, "out_of_memory", "the server is out of memory; try again later");
}

int fault_from_error(struct fault *fault, const struct error *err)
{
    switch (err->code) {
    case ERROR_INVALID:
    case ERROR_UNSUPPORTED:
        return fault_set(fault, 400, NULL, "%s", err->text);
    case ERROR_NOT_FOUND:
        return fault_set(fault, 404, NULL, "%s", err->text);
    case ERROR_BUSY:
        (void)fault_code(fault, 429, "queue_full", "%s", err->text);
        fault->limited = LIMITED_QUEUE;
        return -1;
    case ERROR_REFUSED:
        return fault_set(fault, 403, NULL, "%s", err->text);
    case ERROR_CLOSED:
        return fault_code(fault, 503, "shutting_down", "%s", err->text);
    case ERROR_NO_MEMORY:
        return fault_no_memory(fault);
    default:
        return fault_code(fault, 500, "internal_error", "%s", err->text);
    }
}

static const char *fault_type(uint32_t status)
{
    if (status >= 500)
        return "server_error";
    if (status == 429)
        return "rate_limit_error";
    if (status == 403)
        return "permission_error";
    return "invalid_request_error";
}

static void append_or_null(struct text *out, const char *string)
{
    if (string == NULL || string[0] == '\0')
        text_append_string(out, "null");
    else
        text_append_json(out, string, strlen(string));
}

static void append_string(struct text *out, const char *key, const char *value)
{
    text_append_format(out, "\"%s\":", key);
    append_or_null(out, value);
    text_append_char(out, ',');
}

static void append_time(struct text *out, const char *key, int64_t unix_s)
{
    char value[32] = "";
    struct tm utc;
    time_t at = (time_t)unix_s;
    if (unix_s != 0 && gmtime_r(&at, &utc) != NULL)
        (void)strftime(value, sizeof value, "%Y-%m-%dT%H:%M:%SZ", &utc);
    append_string(out, key, value);
}

/* No type of its own: `code` tells kinds apart, and "about:blank" has the status' own title. */
static void append_problem(struct text *out, const struct fault *fault)
{
    const struct policy_refusal *refusal = fault->refusal;
    text_append_format(out, "\"type\":\"about:blank\",\"title\":\"Forbidden\",\"status\":%u,",
                       fault->status);
    append_string(out, "detail", fault->message);
    append_string(out, "code", fault->code);
    append_string(out, "license", refusal->license);
    append_string(out, "condition", refusal->condition);
    append_string(out, "clause", refusal->clause);
    text_append_format(out, "\"users\":%llu,", (unsigned long long)refusal->users);
    append_time(out, "since", refusal->since_unix);
    append_time(out, "until", refusal->until_unix);
}

void fault_write(const struct fault *fault, struct text *out)
{
    text_append_char(out, '{');
    if (fault->refusal != NULL)
        append_problem(out, fault);
    text_append_string(out, "\"error\":{\"message\":");
    text_append_json(out, fault->message, strlen(fault->message));
    text_append_format(out, ",\"type\":\"%s\",\"param\":", fault_type(fault->status));
    append_or_null(out, fault->param);
    text_append_string(out, ",\"code\":");
    append_or_null(out, fault->code);
    text_append_string(out, "}}");
}
