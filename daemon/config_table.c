/* SPDX-License-Identifier: Apache-2.0 */
/* config_table.c -- every key of weir.yaml: its flag, default, range and place. */
#include "daemon/config_keys.h"

#include "daemon/api/body.h"
#include "daemon/api/bucket.h"

#include <assert.h>
#include <stddef.h>

#define AT(member)     offsetof(struct config, member)
#define LIMIT(member)  offsetof(struct config, limits.member)
#define PATH_BYTES_MAX CONFIG_PATH_BYTES_MAX
#define MINUTE_MS      60000u
#define DAY_MS         86400000u
#define KIB            UINT64_C(1024)
#define MIB            (UINT64_C(1) << 20)
#define TIB            (UINT64_C(1) << 40)

/* section, name, flag, default, kind, takes auto, place, least, most */
const struct config_key config_keys[] = {
    {"server", "listen", "--listen", "127.0.0.1", CONFIG_TEXT, false, AT(listen), 0, 255},
    {"server", "port", "--port", "8080", CONFIG_U16, false, AT(port), 0, 65535},
    {"server", "proxy_protocol", NULL, "off", CONFIG_ON_OFF, false, AT(proxy_protocol), 0, 0},
    {"server", "admin", NULL, "auto", CONFIG_ADMIN, false, AT(admin), 0, 0},
    {"server", "trusted_header", NULL, "any", CONFIG_HEADER, false, AT(trust.by), 0, 0},
    {"server", "workers", "--workers", "auto", CONFIG_U32, true, AT(workers), 1, 256},
    {"server", "drain_timeout", NULL, "30s", CONFIG_DURATION, false, AT(drain_timeout_ms), 0,
     DAY_MS},
    {"server", "stall_timeout", NULL, "15s", CONFIG_DURATION, false, AT(stall_timeout_ms), 1000,
     DAY_MS},
    {"server.tls", "certificate", "--tls-certificate", "", CONFIG_TEXT, false, AT(tls.certificate),
     0, PATH_BYTES_MAX},
    {"server.tls", "key", "--tls-key", "", CONFIG_TEXT, false, AT(tls.key), 0, PATH_BYTES_MAX},
    {"server.tls", "min_version", NULL, "1.2", CONFIG_TLS_VERSION, false, AT(tls.version_min), 0,
     0},
    {"server.tls", "ticket_rotation", NULL, "12h", CONFIG_DURATION, false,
     AT(tls.ticket_rotation_ms), 1000, 7 * DAY_MS},
    {"server.tls", "ticket_keys_file", NULL, "", CONFIG_TEXT, false, AT(tls.ticket_keys_file), 0,
     PATH_BYTES_MAX},
    {"server.tls", "client_auth", NULL, "off", CONFIG_CLIENT_AUTH, false, AT(tls.client_auth), 0,
     0},
    {"server.tls", "client_ca", NULL, "", CONFIG_TEXT, false, AT(tls.client_ca), 0, PATH_BYTES_MAX},
    {"server.tls", "client_crl", NULL, "", CONFIG_TEXT, false, AT(tls.client_crl), 0,
     PATH_BYTES_MAX},
    {"server.tls", "client_depth", NULL, "3", CONFIG_U32, false, AT(tls.client_depth), 0, 16},
    {"server.limits", "connections", NULL, "10000", CONFIG_U32, false, LIMIT(connections_max), 1,
     1000000},
    {"server.limits", "streams", NULL, "128", CONFIG_U32, false, LIMIT(streams_max), 1, 65536},
    {"server.limits", "body", NULL, "16MiB", CONFIG_BYTES, false, LIMIT(body_bytes_max), 1024,
     1024 * MIB},
    {"server.limits", "headers", NULL, "100", CONFIG_U32, false, LIMIT(headers_max), 8,
     EXCHANGE_HEADERS_MAX},
    {"server.limits", "header_bytes", NULL, "32KiB", CONFIG_BYTES, false, LIMIT(header_bytes_max),
     1024, EXCHANGE_HEADER_BYTES_MAX},
    {"server.limits", "json_depth", NULL, "64", CONFIG_U32, false, AT(json_depth_max), 4,
     BODY_DEPTH_MAX},
    {"server.limits", "output_buffer", NULL, "1MiB", CONFIG_BYTES, false, AT(output_bytes_max),
     64 * KIB, 8 * MIB},
    {"server.limits", "request_timeout", NULL, "0s", CONFIG_DURATION, false, AT(request_timeout_ms),
     0, DAY_MS},
    {"server.limits", "memory", NULL, "auto", CONFIG_BYTES, true, AT(memory_watermark), MIB,
     64 * TIB},
    {"server.limits", "header_timeout", NULL, "10s", CONFIG_DURATION, false,
     LIMIT(header_timeout_ms), 100, 60 * MINUTE_MS},
    {"server.limits", "body_timeout", NULL, "60s", CONFIG_DURATION, false, LIMIT(body_timeout_ms),
     100, 60 * MINUTE_MS},
    {"server.limits", "idle_timeout", NULL, "120s", CONFIG_DURATION, false, LIMIT(idle_timeout_ms),
     100, DAY_MS},
    {"server.limits", "write_timeout", NULL, "60s", CONFIG_DURATION, false, LIMIT(write_timeout_ms),
     100, DAY_MS},
    {"limits", "requests_per_minute", NULL, "0", CONFIG_U32, false, AT(rates.requests), 0,
     BUCKET_PER_MINUTE_MAX},
    {"limits", "tokens_per_minute", NULL, "0", CONFIG_U32, false, AT(rates.tokens), 0,
     BUCKET_PER_MINUTE_MAX},
    {"limits", "concurrent_requests", NULL, "0", CONFIG_U32, false, AT(rates.concurrent), 0,
     1000000},
    {"server.limits", "resets", NULL, "512", CONFIG_U32, false, LIMIT(resets_max), 16, 1000000},
    {"server.limits", "control_frames", NULL, "1000", CONFIG_U32, false, LIMIT(control_frames_max),
     64, 10000000},
    {"engine", "device", "--device", "auto", CONFIG_TEXT, false, AT(device), 1, 31},
    {"engine", "threads", "--threads", "auto", CONFIG_U32, true, AT(threads), 1, 1024},
    {"engine", "kv_memory", "--kv-memory", "auto", CONFIG_BYTES, true, AT(kv_memory_bytes), MIB,
     64 * TIB},
    {"engine", "context", "--context", "auto", CONFIG_U32, true, AT(context), 16, 16777216},
    {"engine", "max_step_tokens", "--max-step-tokens", "512", CONFIG_U32, false,
     AT(max_step_tokens), 16, 65536},
    {"engine", "max_sequences", "--max-sequences", "64", CONFIG_U32, false, AT(max_sequences), 1,
     65536},
    {"engine", "max_queue", "--max-queue", "1024", CONFIG_U32, false, AT(max_queue), 1, 1000000},
    {"engine", "max_queue_tokens", NULL, "1048576", CONFIG_U32, false, AT(max_queue_tokens), 16,
     2000000000},
    {"engine", "max_wait", NULL, "10m", CONFIG_DURATION, false, AT(max_wait_ms), 0, DAY_MS},
    {"engine", "first_token_timeout", NULL, "10m", CONFIG_DURATION, false,
     AT(first_token_timeout_ms), 0, DAY_MS},
    {"engine", "prefix_cache", "--prefix-cache", "true", CONFIG_SWITCH, false, AT(prefix_cache), 0,
     0},
    {"engine", "prefix_sharing", NULL, "tenant", CONFIG_SHARING, false, AT(share_prefixes), 0, 0},
    {"access", "keys_file", NULL, "", CONFIG_TEXT, false, AT(keys_file), 0, PATH_BYTES_MAX},
    {"users", "header", NULL, "x-user-id", CONFIG_TEXT, false, AT(user_header), 1, 127},
    {"users", "headers", NULL, "", CONFIG_TEXT, false, AT(user_headers), 0, 1023},
    {"users", "jwt_keys", NULL, "", CONFIG_TEXT, false, AT(jwt_keys_file), 0, PATH_BYTES_MAX},
    {"users", "jwt_issuer", NULL, "", CONFIG_TEXT, false, AT(jwt_issuer), 0, 512},
    {"users", "jwt_audience", NULL, "", CONFIG_TEXT, false, AT(jwt_audience), 0, 512},
    {"users", "jwt_claim", NULL, "sub", CONFIG_TEXT, false, AT(jwt_claim), 1, 512},
    {"users", "jwt_header", NULL, "authorization", CONFIG_TEXT, false, AT(jwt_header), 1, 127},
    {"users", "gateway_header", NULL, "x-weir-user", CONFIG_TEXT, false, AT(gateway_header), 1,
     127},
    {"users", "gateway_secret_file", NULL, "", CONFIG_TEXT, false, AT(gateway_secret_file), 0,
     PATH_BYTES_MAX},
    {"users", "certificate", NULL, "off", CONFIG_CERTIFICATE_USER, false, AT(tls.user), 0, 0},
    {"users", "state", "--state", "auto", CONFIG_TEXT, true, AT(state_folder), 1, PATH_BYTES_MAX},
    {"users", "key_file", NULL, "", CONFIG_TEXT, false, AT(user_key_file), 0, PATH_BYTES_MAX},
    {"users", "trust_asserted", NULL, "false", CONFIG_SWITCH, false, AT(trust_asserted), 0, 0},
    {"users", "clock_skew", NULL, "2s", CONFIG_DURATION, false, AT(clock_skew_ms), 0, MINUTE_MS},
    {"users", "keep_days", NULL, "92", CONFIG_U32, false, AT(keep_days), 40, 3660},
    {"users", "final_hours", NULL, "48", CONFIG_U32, false, AT(final_hours), 1, 720},
    {"fleet", "redis", NULL, "", CONFIG_TEXT, false, AT(fleet_redis), 0, 255},
    {"fleet", "redis_user", NULL, "", CONFIG_TEXT, false, AT(fleet_redis_user), 0, 255},
    {"fleet", "redis_password_file", NULL, "", CONFIG_TEXT, false, AT(fleet_redis_password_file), 0,
     PATH_BYTES_MAX},
    {"fleet", "prefix", NULL, "weir", CONFIG_TEXT, false, AT(fleet_prefix), 1, 63},
    {"fleet", "sync", NULL, "5s", CONFIG_DURATION, false, AT(fleet_sync_ms), 100, 60 * MINUTE_MS},
    {"users", "enforce", NULL, "alert", CONFIG_ENFORCE, false, AT(enforce), 0, 0},
    {"users", "enforce_on", NULL, "lower", CONFIG_VIEW, false, AT(enforce_on), 0, 0},
    {"users", "cap_open", NULL, "0", CONFIG_U32, false, AT(cap_open), 0, 1000000000},
    {"licenses", "folder", NULL, "", CONFIG_TEXT, false, AT(licenses_folder), 0, PATH_BYTES_MAX},
    {"log", "level", "--log-level", "info", CONFIG_LEVEL, false, AT(log_level), 0, 0},
    {"log", "format", "--log-format", "logfmt", CONFIG_FORMAT, false, AT(log_format), 0, 0},
    {"access_log", "path", NULL, "", CONFIG_TEXT, false, AT(access_log_path), 0, PATH_BYTES_MAX},
    {"access_log", "sample", NULL, "1.0", CONFIG_SHARE, false, AT(access_sample), 0, 1000000},
    {"access_log", "slow", NULL, "10s", CONFIG_DURATION, false, AT(access_slow_ms), 1, DAY_MS},
    {"access_log", "buffer", NULL, "8192", CONFIG_U32, false, AT(access_buffer), 2, 1048576},
    {"tracing", "endpoint", NULL, "", CONFIG_TEXT, false, AT(trace_endpoint), 0, 1023},
    {"tracing", "sample", NULL, "0.01", CONFIG_SHARE, false, AT(trace_sample), 0, 1000000},
    {"tracing", "headers_file", NULL, "", CONFIG_TEXT, false, AT(trace_headers_file), 0,
     PATH_BYTES_MAX},
    {"tracing", "queue", NULL, "2048", CONFIG_U32, false, AT(trace_queue), 2, 65536},
    {"access_log", "addresses", NULL, "false", CONFIG_SWITCH, false, AT(access_addresses), 0, 0},
};
const uint32_t config_key_count = sizeof config_keys / sizeof config_keys[0];
static_assert(sizeof config_keys / sizeof config_keys[0] <= CONFIG_KEYS_MAX, "raise it");
static_assert(sizeof(size_t) == sizeof(uint64_t), "CONFIG_BYTES writes both");

const char *const config_sections[] = {
    "",      "server", "server.tls", "server.limits", "limits", "engine",     "access",
    "users", "fleet",  "alerts",     "licenses",      "log",    "access_log", "tracing"};
const uint32_t config_section_count = sizeof config_sections / sizeof config_sections[0];
static_assert(sizeof config_sections / sizeof config_sections[0] <= CONFIG_SECTIONS_MAX, "raise");
