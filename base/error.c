/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int error_set(struct error *err, int code, const char *format, ...)
{
    if (err != NULL) {
        va_list args;
        va_start(args, format);
        err->code = code;
        (void)vsnprintf(err->text, sizeof err->text, format, args);
        va_end(args);
    }
    return code;
}

int error_wrap(struct error *err, const char *format, ...)
{
    if (err == NULL)
        return ERROR_INVALID;
    char inner[ERROR_TEXT_MAX];
    memcpy(inner, err->text, sizeof inner);
    va_list args;
    va_start(args, format);
    int used = vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    if (used >= 0 && (size_t)used < sizeof err->text)
        (void)snprintf(err->text + used, sizeof err->text - (size_t)used, ": %s", inner);
    return err->code;
}

int error_set_errno(struct error *err, int saved_errno, const char *format, ...)
{
    int code = ERROR_IO;
    if (saved_errno == ENOMEM)
        code = ERROR_NO_MEMORY;
    else if (saved_errno == ENOENT)
        code = ERROR_NOT_FOUND;
    if (err == NULL)
        return code;
    err->code = code;
    va_list args;
    va_start(args, format);
    int used = vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    if (used >= 0 && (size_t)used < sizeof err->text)
        (void)snprintf(err->text + used, sizeof err->text - (size_t)used, ": %s",
                       strerror(saved_errno));
    return code;
}

int error_no_memory(struct error *err)
{
    return error_set(err, ERROR_NO_MEMORY, "out of memory");
}
