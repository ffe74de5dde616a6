/* SPDX-License-Identifier: Apache-2.0 */
/* config.h -- weir.yaml and the flags that override it.
 *
 * Read by the main thread, immutable after, and counted: sets of what may change share it. Every
 * key has a default that serves; every error names file, line and key, and says what would be
 * right. config/weir.yaml documents the keys. */
#ifndef WEIR_DAEMON_CONFIG_H
#define WEIR_DAEMON_CONFIG_H

#include "base/error.h"
#include "base/log.h"
#include "daemon/config_listener.h"
#include "daemon/config_tenant.h"
#include "daemon/config_tls.h"
#include "daemon/http/listener.h"
#include "kernels/kv_format.h"
#include "policy/license/declaration.h"
#include "policy/policy_config.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define CONFIG_MODELS_MAX     64u
#define CONFIG_API_KEYS_MAX   1024u
#define CONFIG_WEBHOOKS_MAX   16u
#define CONFIG_ADMIN_KEYS_MAX 64u
#define CONFIG_TRUSTED_MAX    256u
#define CONFIG_TENANTS_MAX    4096u
#define CONFIG_TENANT_UNSAID  UINT32_MAX
#define CONFIG_LISTENERS_MAX  32u

struct config_model {
    char *id;                     /* as clients name it; default: from the file's name */
    char *path;                   /* of the GGUF */
    char *license;                /* a licence's id, said by the operator; "" to find it out */
    char *product;                /* that uses it; "" where it has no name */
    char *enforce;                /* as written; "" for users.enforce */
    char *cap;                    /* likewise; "" for the licence's own lines */
    char *on_failure, *retry_max; /* likewise; "" for exit, and for five minutes */
    /* from these four, by config_add_model() */
    bool has_enforcement;
    enum policy_enforce enforcement;
    uint64_t cap_users;
    bool retries;          /* a load that fails is tried again, and ends nothing */
    uint32_t retry_max_ms; /* between two tries */
};

struct config_webhook {
    char *name; /* as logs have it; default: "webhook-1", by its place */
    char *url;
    char *secret_file;
};

struct config_api_key {
    char *key;    /* the bearer token */
    char *tenant; /* "" for none */
};

struct config_admin_key {
    char *key;  /* the bearer token */
    char *name; /* as the log has whoever holds it; default: "admin-1", by its place */
};

struct config {
    _Atomic uint32_t references; /* config_ref(), config_free() */
    char *path;                  /* of the file, "" where there is none */
    int argc;                    /* the command line; 0 for a config that was not made from one */
    char **argv;                 /* borrowed: main */
    /* server */
    char *listen; /* address, default "127.0.0.1"; "" for no such listener */
    uint16_t port;
    bool proxy_protocol;               /* spoken by whoever connects there */
    enum config_admin admin;           /* there */
    struct config_listener *listeners; /* besides that one */
    uint32_t listener_count;
    struct network *trusted; /* what trust.proxies has */
    struct listener_trust trust;
    uint32_t workers; /* 0: chosen from the cores */
    struct config_tls tls;
    struct listener_limits limits;
    uint32_t json_depth_max;
    uint64_t output_bytes_max;   /* of a stream, waiting for a slow reader */
    uint32_t request_timeout_ms; /* from the head to the end of the answer; 0: none */
    uint64_t memory_watermark;   /* bytes, above which requests are refused; 0: chosen */
    uint32_t drain_timeout_ms, drain_delay_ms; /* delay: still accepting, no longer ready */
    uint32_t stall_timeout_ms;                 /* a step that hangs longer makes /health 503 */
    struct tenant_rates rates;                 /* of each tenant whose entry says nothing else */
    /* models */
    struct config_model *models;
    uint32_t model_count;
    /* engine, for each model */
    char *device;                    /* "auto", "cpu", "cuda" */
    uint32_t gpu_memory_utilization; /* millionths of the GPU's memory */
    bool gpu_graphs;
    uint32_t threads;
    uint64_t kv_memory_bytes; /* 0: from memory and context */
    enum kv_format kv_format;
    uint32_t context; /* 0: the model's */
    uint32_t max_step_tokens, max_sequences, max_queue, max_queue_tokens;
    bool prefix_cache, share_prefixes;
    uint32_t first_token_timeout_ms; /* 0: none */
    uint32_t max_wait_ms;            /* of what is estimated; 0: none */
    /* access and users */
    struct config_api_key *api_keys; /* none: everyone may ask */
    uint32_t api_key_count;
    char *keys_file;       /* "" for a credential where there is one, or none */
    char *access_jwt_keys; /* "" for none */
    char *access_jwt_issuer, *access_jwt_audience;
    char *access_jwt_tenant_claim, *access_jwt_scope_claim;
    struct config_admin_key *admin_keys; /* none: there is no /admin */
    uint32_t admin_key_count;
    struct config_tenant *tenants; /* by name */
    uint32_t tenant_count;
    char *user_header, *user_headers; /* "x-user-id"; further ones, "a, b" */
    char *jwt_keys_file;              /* "" for none, and so below */
    char *jwt_issuer, *jwt_audience, *jwt_claim, *jwt_header;
    char *gateway_header, *gateway_secret_file;
    char *state_folder;  /* "": chosen by server_start() */
    char *user_key_file; /* "" for one made in the state folder */
    bool trust_asserted;
    uint32_t clock_skew_ms;
    uint32_t keep_days, final_hours;
    enum policy_enforce enforce; /* of models that say nothing of their own */
    enum policy_view enforce_on;
    uint32_t cap_open;
    /* fleet */
    char *fleet_redis; /* "": alone */
    char *fleet_redis_user, *fleet_redis_password_file, *fleet_prefix;
    uint32_t fleet_sync_ms;
    /* alerts */
    struct config_webhook *webhooks;
    uint32_t webhook_count;
    /* licences */
    char *licenses_folder;           /* the operator's own, "" for none */
    struct declaration *declaration; /* never NULL; what the file leaves out is undeclared */
    /* log */
    enum log_level log_level;
    enum log_format log_format;
    /* access log */
    char *access_log_path;   /* "": lines go into the log */
    uint32_t access_sample;  /* share of requests that leave a line, in millionths */
    uint32_t access_slow_ms; /* those as slow always do */
    uint32_t access_buffer;  /* lines that may wait to be written */
    bool access_addresses;   /* lines name the client's address */
    /* tracing */
    char *trace_endpoint;     /* "": no spans are sent */
    char *trace_headers_file; /* "" for none */
    uint32_t trace_sample;    /* share of traces that begin here, in millionths */
    uint32_t trace_queue;     /* requests that may wait to be sent */
};

enum config_command { CONFIG_SERVE, CONFIG_HELP, CONFIG_VERSION, CONFIG_CHECK };

/* Defaults, then the file (--config, else none), then flags. argv[1] may be the command "serve".
 * Returns 0 with *ret and *ret_command, or a negative error: ERROR_UNSUPPORTED when the command
 * line is at fault (EX_USAGE), any other when the configuration is (EX_CONFIG). */
int config_parse(int argc, char **argv, struct config **ret, enum config_command *ret_command,
                 struct error *err);
/* From the same command line and the file as it is now: what a restart would go by. */
int config_parse_again(struct config *config, struct config **ret, struct error *err);
/* Defaults, then YAML text, which may name no model; for tests and fuzzing. */
int config_parse_yaml(const char *name, const char *yaml, size_t count, struct config **ret,
                      struct error *err);
/* Defaults, then a file, which may name no model: for what is not about to serve. */
int config_read(const char *path, struct config **ret, struct error *err);
struct config *config_ref(struct config *config); /* returns config; any thread */
/* Gives a reference back, and with the last one the rest. NULL is fine. Any thread. */
void config_free(struct config *config);
/* server.listen as a listener, its strings borrowed; address "" where there is none. */
void config_first_listener(const struct config *config, struct config_listener *ret);
const char *config_usage(void); /* the text of --help */

#endif
