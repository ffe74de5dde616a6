/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/api/access_line.h"

#include <assert.h>

#define FIELDS_MAX 24u

static const char *version_name(enum http_version version)
{
    switch (version) {
    case HTTP_1_0:
        return "HTTP/1.0";
    case HTTP_1_1:
        return "HTTP/1.1";
    default:
        return "HTTP/2";
    }
}

static void add(struct log_field *fields, size_t *count, struct log_field field)
{
    assert(*count < FIELDS_MAX - 1); /* one ends them */
    fields[(*count)++] = field;
}

static void add_string(struct log_field *fields, size_t *count, const char *key, const char *value)
{
    if (value != NULL && value[0] != '\0')
        add(fields, count, LOG_STRING(key, value));
}

static void add_generation(struct log_field *fields, size_t *count,
                           const struct access_record *record)
{
    add(fields, count, LOG_STRING("model", record->model));
    add(fields, count, LOG_U64("prompt_tokens", record->prompt_tokens));
    add(fields, count, LOG_U64("completion_tokens", record->completion_tokens));
    add(fields, count, LOG_U64("cached_tokens", record->cached_tokens));
    add(fields, count, LOG_F64("queue_ms", (double)record->queue_us / 1000));
    if (record->ttft_us > 0)
        add(fields, count, LOG_F64("ttft_ms", (double)record->ttft_us / 1000));
    add_string(fields, count, "finish", record->finish);
    add_string(fields, count, "user_class", record->user_class);
}

void access_line(struct text *out, enum log_format format, int64_t now_unix_us,
                 const struct access_record *record)
{
    struct log_field fields[FIELDS_MAX] = {{0}};
    size_t count = 0;
    add(fields, &count, LOG_STRING("request_id", record->request_id));
    add_string(fields, &count, "trace_id", record->trace_id);
    add(fields, &count, LOG_STRING("method", record->method));
    add(fields, &count, LOG_STRING("route", record->route));
    add(fields, &count, LOG_U64("status", record->status));
    add(fields, &count, LOG_F64("duration_ms", (double)record->duration_us / 1000));
    add(fields, &count, LOG_STRING("protocol", version_name(record->version)));
    add(fields, &count, LOG_STRING("tls", record->tls ? "yes" : "no"));
    add(fields, &count, LOG_U64("bytes_in", record->bytes_in));
    add(fields, &count, LOG_U64("bytes_out", record->bytes_out));
    add_string(fields, &count, "tenant", record->tenant);
    add_string(fields, &count, "key", record->key_id);
    add_string(fields, &count, "admin", record->admin);
    add_string(fields, &count, "address", record->address);
    if (record->model != NULL)
        add_generation(fields, &count, record);
    log_line(out, format, now_unix_us, LOG_LEVEL_INFO, "request", fields);
}

bool access_wanted(const struct access_rules *rules, uint32_t status, uint64_t duration_us,
                   uint64_t draw)
{
    return status >= 500 || duration_us >= (uint64_t)rules->slow_ms * 1000 ||
           draw % ACCESS_SAMPLE_ALL < rules->sample;
}
