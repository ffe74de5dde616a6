/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include "base/clock.h"
#include "base/text.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES_USUAL 400u

struct log {
    int fd; /* borrowed: log_new's caller */
    _Atomic enum log_level least;
    _Atomic enum log_format format;
};

struct log *log_new(int fd, enum log_level least, enum log_format format)
{
    struct log *log = malloc(sizeof *log);
    if (log != NULL) {
        log->fd = fd;
        atomic_init(&log->least, least);
        atomic_init(&log->format, format);
    }
    return log;
}

void log_set(struct log *log, enum log_level least, enum log_format format)
{
    if (log == NULL)
        return;
    atomic_store(&log->least, least);
    atomic_store(&log->format, format);
}

void log_free(struct log *log)
{
    free(log);
}

static const char *level_name(enum log_level level)
{
    switch (level) {
    case LOG_LEVEL_DEBUG:
        return "debug";
    case LOG_LEVEL_INFO:
        return "info";
    case LOG_LEVEL_WARN:
        return "warn";
    case LOG_LEVEL_ERROR:
        break;
    }
    return "error";
}

int log_fd(const struct log *log)
{
    return log->fd;
}

static void append_digits(struct text *line, int value, unsigned width, char after)
{
    char digits[8];
    digits[width] = after;
    for (unsigned i = width; i-- > 0; value /= 10)
        digits[i] = (char)('0' + value % 10);
    text_append(line, digits, width + 1);
}

/* RFC 3339 in UTC, to the millisecond. By hand: a request may write a line, and printf is slow. */
static void append_time(struct text *line, int64_t now_us)
{
    time_t seconds = (time_t)(now_us / 1000000);
    struct tm broken;
    if (gmtime_r(&seconds, &broken) == NULL)
        memset(&broken, 0, sizeof broken);
    append_digits(line, broken.tm_year + 1900, 4, '-');
    append_digits(line, broken.tm_mon + 1, 2, '-');
    append_digits(line, broken.tm_mday, 2, 'T');
    append_digits(line, broken.tm_hour, 2, ':');
    append_digits(line, broken.tm_min, 2, ':');
    append_digits(line, broken.tm_sec, 2, '.');
    append_digits(line, (int)(now_us / 1000 % 1000), 3, 'Z');
}

/* logfmt takes a word bare when no reader could mistake where it ends. */
static bool logfmt_is_plain(const char *string)
{
    if (*string == '\0')
        return false;
    for (; *string != '\0'; string++)
        if (*string <= ' ' || *string == '"' || *string == '=' || *string == '\\' ||
            *string == 0x7f)
            return false;
    return true;
}

static void append_string(struct text *line, enum log_format format, const char *string)
{
    if (string == NULL)
        string = "";
    if (format == LOG_FORMAT_LOGFMT && logfmt_is_plain(string))
        text_append_string(line, string);
    else
        text_append_json(line, string, strlen(string));
}

static void append_field(struct text *line, enum log_format format, const struct log_field *field)
{
    text_append_string(line, format == LOG_FORMAT_JSON ? ",\"" : " ");
    text_append_string(line, field->key);
    text_append_string(line, format == LOG_FORMAT_JSON ? "\":" : "=");
    switch (field->kind) {
    case LOG_FIELD_STRING:
        append_string(line, format, field->string);
        break;
    case LOG_FIELD_I64:
        if (field->i64 < 0)
            text_append_char(line, '-');
        text_append_u64(line, field->i64 < 0 ? 0 - (uint64_t)field->i64 : (uint64_t)field->i64);
        break;
    case LOG_FIELD_U64:
        text_append_u64(line, field->u64);
        break;
    case LOG_FIELD_F64:
        text_append_json_double(line, field->f64);
        break;
    case LOG_FIELD_END:
        break;
    }
}

void log_line(struct text *out, enum log_format format, int64_t now_unix_us, enum log_level level,
              const char *event, const struct log_field *fields)
{
    bool json = format == LOG_FORMAT_JSON;
    (void)text_reserve(out, LINE_BYTES_USUAL);
    text_append_string(out, json ? "{\"ts\":\"" : "ts=");
    append_time(out, now_unix_us);
    text_append_string(out, json ? "\",\"level\":\"" : " level=");
    text_append_string(out, level_name(level));
    text_append_string(out, json ? "\",\"event\":\"" : " event=");
    text_append_string(out, event);
    text_append_string(out, json ? "\"" : "");
    for (; fields->kind != LOG_FIELD_END; fields++)
        append_field(out, format, fields);
    text_append_string(out, json ? "}\n" : "\n");
}

void log_fields(struct log *log, enum log_level level, const char *event,
                const struct log_field *fields)
{
    if (log == NULL || level < log->least)
        return;
    struct text line;
    text_init(&line);
    log_line(&line, log->format, clock_unix_us(), level, event, fields);
    if (line.count > 0) {
        /* A log that cannot be written has nowhere to say so. */
        ssize_t written = write(log->fd, line.bytes, line.count);
        (void)written;
    }
    text_destroy(&line);
}
