/* SPDX-License-Identifier: Apache-2.0 */
/* config_keys.h -- one row a key: its place in weir.yaml, its flag, its range, its default.
 *
 * The table is the only list of keys: the YAML schema, the flags, --help and the messages are all
 * made from it. Internal to config*.c. Main thread. */
#ifndef WEIR_DAEMON_CONFIG_KEYS_H
#define WEIR_DAEMON_CONFIG_KEYS_H

#include "base/error.h"
#include "daemon/config.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONFIG_PATH_BYTES_MAX 4095u

enum config_kind {
    CONFIG_TEXT,            /* char *, at least `least` and at most `most` bytes */
    CONFIG_U16,             /* uint16_t */
    CONFIG_U32,             /* uint32_t */
    CONFIG_BYTES,           /* uint64_t or size_t: "512MiB", "2GiB", "4096" */
    CONFIG_DURATION,        /* uint32_t, milliseconds: "500ms", "30s", "5m", "1h" */
    CONFIG_SHARE,           /* uint32_t, millionths: "1.0", "0.01" */
    CONFIG_SWITCH,          /* bool: true or false */
    CONFIG_ON_OFF,          /* bool: on or off */
    CONFIG_SHARING,         /* bool: all or tenant */
    CONFIG_HEADER,          /* enum forwarded_by */
    CONFIG_DOOR,            /* enum config_door: auto, yes or no */
    CONFIG_ADMIN,           /* enum config_admin */
    CONFIG_MODE,            /* uint32_t, permissions: 0660 */
    CONFIG_LEVEL,           /* enum log_level */
    CONFIG_ENFORCE,         /* enum policy_enforce */
    CONFIG_VIEW,            /* enum policy_view */
    CONFIG_FORMAT,          /* enum log_format */
    CONFIG_KV_FORMAT,       /* enum kv_format */
    CONFIG_TLS_VERSION,     /* enum tls_version */
    CONFIG_CLIENT_AUTH,     /* enum tls_client_auth */
    CONFIG_CERTIFICATE_USER /* enum certificate_user */
};

struct config_key {
    const char *section; /* "server.tls" */
    const char *name;    /* "certificate" */
    const char *flag;    /* "--port"; NULL when there is none */
    const char *value;   /* the default, as it would be written */
    enum config_kind kind;
    bool takes_auto; /* "auto" is written as 0: chosen at start */
    size_t offset;   /* in struct config */
    uint64_t least, most;
};

extern const struct config_key config_keys[];
extern const uint32_t config_key_count;
#define CONFIG_KEYS_MAX 256u /* at least config_key_count; asserted where it sizes an array */

/* Sections in the order that a parent precedes its children. */
extern const char *const config_sections[];
extern const uint32_t config_section_count;
#define CONFIG_SECTIONS_MAX 24u

/* Parses value into the key's place in config. The error says what would be right and what was
 * found, not where: that is the caller's to add. */
int config_key_set(struct config *config, const struct config_key *key, const char *value,
                   struct error *err);
/* The same of any struct that a key's offset is in. */
int config_value_set(void *owner, const struct config_key *key, const char *value,
                     struct error *err);

/* All defaults. NULL and err when there is no memory. */
struct config *config_new(struct error *err);
/* Appends a model; id "" means: from the file's name. model: borrowed for the call. */
int config_add_model(struct config *config, const struct config_model *model, struct error *err);
void config_clear_models(struct config *config);
/* webhook: borrowed for the call. */
int config_add_webhook(struct config *config, const struct config_webhook *webhook,
                       struct error *err);
int config_add_api_key(struct config *config, const char *key, const char *tenant,
                       struct error *err);

/* name "": by its place. Call it once all API keys are there: no key may be both. */
int config_add_admin_key(struct config *config, const char *key, const char *name,
                         struct error *err);

/* A number of a tenant's entry. */
enum config_tenant_kind {
    CONFIG_TENANT_CLASS,  /* int32_t */
    CONFIG_TENANT_WEIGHT, /* float */
    CONFIG_TENANT_COUNT,  /* uint32_t; CONFIG_TENANT_UNSAID where the entry says nothing */
};
struct config_tenant_key {
    const char *name;
    enum config_tenant_kind kind;
    size_t offset; /* in struct config_tenant */
    double least, most;
};
extern const struct config_tenant_key config_tenant_keys[];
extern const uint32_t config_tenant_key_count;
#define CONFIG_TENANT_KEYS_MAX 16u /* at least config_tenant_key_count */

/* An entry as it was written. */
struct config_raw_tenant {
    char *name;
    char **models;
    uint32_t model_count;
    char *values[CONFIG_TENANT_KEYS_MAX]; /* NULL where it says nothing */
};
/* raw: borrowed for the call. */
int config_add_tenant(struct config *config, const struct config_raw_tenant *raw,
                      struct error *err);
/* Whether the models that tenants may use are there. */
int config_check_tenants(const struct config *config, struct error *err);
void config_release_tenants(struct config *config);

/* Puts the file's values over what config holds. name: for messages. */
int config_load_yaml(struct config *config, const char *name, const char *yaml, size_t count,
                     struct error *err);
int config_load_file(struct config *config, const char *path, struct error *err);

/* A network or "unix"; server.trusted_proxies. */
int config_add_trusted(struct config *config, const char *text, struct error *err);
/* Keys of an entry of server.listeners, in struct config_listener. */
extern const struct config_key config_listener_keys[];
#define CONFIG_LISTENER_KEYS 8u
/* values: by those keys, NULL where the file says nothing. */
int config_add_listener(struct config *config, char *const values[CONFIG_LISTENER_KEYS],
                        struct error *err);
/* What no listener can know alone; 0, or an error that begins with the key. */
int config_check_listeners(const struct config *config, struct error *err);
void config_release_doors(struct config *config);

void config_release_admin_keys(struct config *config);

/* pair: borrowed for the call. */
int config_add_certificate(struct config *config, const struct tls_pair *pair, struct error *err);
void config_release_certificates(struct config *config);
/* What no single key of server.tls can know. The caller adds which file. */
int config_check_tls(const struct config *config, struct error *err);

/* Nothing declared, in place of what config has. */
int config_declare_nothing(struct config *config, struct error *err);
void config_release_declaration(struct config *config);

#endif
