/* SPDX-License-Identifier: Apache-2.0 */
/* log.h -- one line an event, to standard error: logfmt for people, JSON for collectors.
 *
 *     ts=2026-11-23T10:04:05.123Z level=info event=model_loaded model=smollm2 load_ms=412
 *
 * A line is built in memory and leaves in one write(2), so lines of different threads do not mix.
 * Only daemon/ writes logs: the floors below return errors. Any thread. */
#ifndef WEIR_BASE_LOG_H
#define WEIR_BASE_LOG_H

#include "base/text.h"

#include <stdint.h>

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };
enum log_format { LOG_FORMAT_LOGFMT, LOG_FORMAT_JSON };

struct log;

/* fd: borrowed, stays open as long as the log. NULL when there is no memory. */
struct log *log_new(int fd, enum log_level least, enum log_format format);
void log_free(struct log *log); /* NULL is fine */
/* From the next line on, of whichever thread. A NULL log has none. */
void log_set(struct log *log, enum log_level least, enum log_format format);

/* What a line carries. Values of strings are quoted and escaped as the format asks. */
enum log_field_kind {
    LOG_FIELD_END,
    LOG_FIELD_STRING,
    LOG_FIELD_I64,
    LOG_FIELD_U64,
    LOG_FIELD_F64
};
struct log_field {
    const char *key; /* lower_snake_case, unit last */
    enum log_field_kind kind;
    union {
        const char *string; /* NULL is written as an empty string */
        int64_t i64;
        uint64_t u64;
        double f64;
    };
};

#define LOG_STRING(k, v) ((struct log_field){.key = (k), .kind = LOG_FIELD_STRING, .string = (v)})
#define LOG_I64(k, v)    ((struct log_field){.key = (k), .kind = LOG_FIELD_I64, .i64 = (v)})
#define LOG_U64(k, v)    ((struct log_field){.key = (k), .kind = LOG_FIELD_U64, .u64 = (v)})
#define LOG_F64(k, v)    ((struct log_field){.key = (k), .kind = LOG_FIELD_F64, .f64 = (v)})

/* fields: an array ended by LOG_FIELD_END. event: a lower_snake_case constant. A NULL log drops. */
void log_fields(struct log *log, enum log_level level, const char *event,
                const struct log_field *fields);

/* The same line into `out`, for whoever writes it elsewhere. Pure. */
void log_line(struct text *out, enum log_format format, int64_t now_unix_us, enum log_level level,
              const char *event, const struct log_field *fields);
int log_fd(const struct log *log); /* borrowed: log_new's caller */

/* log_event(log, LOG_LEVEL_INFO, "model_loaded", LOG_STRING("model", id), LOG_U64("bytes", n));
 * one field at least: log_fields() takes none. */
#define log_event(log, level, event, ...)                                                          \
    log_fields(log, level, event, (const struct log_field[]){__VA_ARGS__, {0}})

#endif
