/* SPDX-License-Identifier: Apache-2.0 */
/* policy_config.h -- what policy/ is told once, at policy_new(). Only types; what is pointed to may
 * go after that call, but for the rules. */
#ifndef WEIR_POLICY_POLICY_CONFIG_H
#define WEIR_POLICY_POLICY_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

struct catalogue;   /* catalogue.h: what every known licence says */
struct declaration; /* declaration.h: what the operator declares of itself */

/* What models are weighed against; borrowed, and to outlive the policy. */
struct policy_rules {
    const struct catalogue *catalogue;     /* never NULL */
    const struct declaration *declaration; /* NULL: nothing is declared */
};

/* What proves who a user is; NULL or "" for what there is not. Read at policy_new(). */
struct policy_identity {
    const char *jwt_keys_file; /* a JWKS document: tokens prove nothing without */
    const char *jwt_issuer, *jwt_audience;
    const char *jwt_claim;           /* that holds the user; NULL for "sub" */
    const char *gateway_secret_file; /* 32 to 256 bytes, 0600: no header proves anything without */
};

/* Who hears of alerts. */
struct policy_webhook {
    const char *name; /* in files and logs, where the URL, which may hold a secret, is not */
    const char *url;
    /* "whsec_" and base64, a line each: the newest and, while they change, the one before. */
    const char *secret_file;
};
#define POLICY_WEBHOOKS_MAX 16u
#define POLICY_SKEW_MS_MAX  60000u

/* The store that replicas share; redis NULL or "": there are none. */
struct policy_fleet_config {
    const char *redis; /* "host:port" or "/path/of/socket" */
    const char *redis_user, *redis_password_file;
    const char *prefix; /* of keys; NULL or "": "weir" */
    uint32_t sync_ms;   /* between exchanges; 0: 5000 */
};

/* What happens at a threshold of users beyond alerts. Each does what those before it do, but that
 * cap and refuse exclude each other. */
enum policy_enforce {
    POLICY_ENFORCE_ALERT,     /* nothing */
    POLICY_ENFORCE_ATTRIBUTE, /* answers carry the words that a licence asks for, while it does */
    POLICY_ENFORCE_CAP,   /* new users of the month are refused near a line that needs a licence */
    POLICY_ENFORCE_REFUSE /* past such a line everybody is */
};
/* Which figure has to be past a line before anybody is refused: what surely is, probably is, or
 * may be. Words are shown as soon as they may be due. */
enum policy_view { POLICY_VIEW_LOWER, POLICY_VIEW_BEST, POLICY_VIEW_UPPER };

struct policy_config {
    const char *state_folder; /* where counters and the ledger live; created 0700 when missing */
    const char *key_file; /* 32 bytes or more, secret; NULL: a credential, else made (secret.h) */
    struct policy_identity identity;
    struct policy_rules rules;
    bool trust_asserted;    /* who a tenant says its users are counts in the lower bound */
    uint32_t keep_days;     /* of daily counters; then they become months; 0: 92 */
    uint32_t clock_skew_ms; /* as near to midnight both days count; at most POLICY_SKEW_MS_MAX */
    uint32_t final_hours;   /* after the end of a day its figures are final; 0: 48 */
    uint32_t worker_count;  /* who admits, for policy_claims.worker; 0: 1 */
    uint32_t models_max;    /* that may be added; 0: any number, all before the first request */
    const struct policy_webhook *webhooks; /* read at policy_new() */
    uint32_t webhook_count;                /* at most POLICY_WEBHOOKS_MAX */
    struct policy_fleet_config fleet;
    enum policy_view enforce_on;
    uint32_t cap_open; /* users a month that a replica lets in while it is cut off from tickets */
};

#endif
