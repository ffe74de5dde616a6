/* SPDX-License-Identifier: Apache-2.0 */
/* policy.h -- may this model be served, and how many people does it serve?
 *
 * The one face of policy/ to the daemon. It knows nothing of HTTP, tokens or tensors: it is given
 * facts about a model and claims about a user, and it answers. Raw user ids enter policy_admit()
 * and go no further than a 64-bit keyed hash.
 *
 * Threads: policy_new(), policy_model_add() and policy_start() before the workers start;
 * policy_admit(), policy_durable() and policy_usage() from any thread. */
#ifndef WEIR_POLICY_POLICY_H
#define WEIR_POLICY_POLICY_H

#include "base/error.h"
#include "base/text.h"
#include "policy/users/usage_figures.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct policy;
struct policy_model; /* borrowed from the policy, lives as long */
struct assessment;   /* assessment.h: a verdict a condition */
struct catalogue;    /* catalogue.h: what every known licence says */
struct declaration;  /* declaration.h: what the operator declares of itself */

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

struct policy_config {
    const char *state_folder; /* where counters and the ledger live; created 0700 when missing */
    const char *key_file; /* 32 bytes or more, secret; NULL: a credential, else made (secret.h) */
    struct policy_identity identity;
    struct policy_rules rules;
    bool trust_asserted;  /* who a tenant says its users are counts in the lower bound */
    uint32_t keep_days;   /* of daily counters; then they become months; 0: 92 */
    uint32_t final_hours; /* after the end of a day its figures are final; 0: 48 */
    const struct policy_webhook *webhooks; /* read at policy_new() */
    uint32_t webhook_count;                /* at most POLICY_WEBHOOKS_MAX */
};

struct policy *policy_new(const struct policy_config *config, struct error *err);
/* Ends the thread, flushes counters. NULL is fine. */
void policy_free(struct policy *policy);

/* -- Licences -- */

struct policy_base_model {
    const char *name, *organization, *repo_url; /* "" where the file says nothing */
};

/* What the weights' file says of itself. Strings are "" where it says nothing. */
struct policy_model_facts {
    const char *id;             /* as served: the model parameter of requests */
    const char *path;           /* of the weights, or a folder: texts and cards there are read */
    bool path_is_text;          /* or of a licence text or a README, which is read alone */
    const char *chosen_license; /* models[].license of weir.yaml: wins over all that is found */
    const char *product;        /* that uses it; "" where it has no name */
    const char *name, *organization;
    const char *architecture;                          /* general.architecture */
    const char *tags;                                  /* general.tags, joined with "," */
    const char *license, *license_name, *license_link; /* general.license*, lists joined with "," */
    const struct policy_base_model *base_models;
    uint32_t base_model_count;
};

/* Recognises and weighs the model; the ledger keeps the verdict and what was acknowledged.
 * ERROR_REFUSED, with conditions and remedies, for a breach that nobody acknowledged: the model
 * must not be served nor its users counted, but *ret is set, so that its assessment can be told.
 * Main thread. */
int policy_model_add(struct policy *policy, const struct policy_model_facts *facts,
                     int64_t now_unix, struct policy_model **ret, struct error *err);
/* The newest; valid until policy_free(). Any thread. */
const struct assessment *policy_model_assessment(const struct policy_model *model);
/* Weighs all models anew, refused ones too, under new rules or on another day; the files beside the
 * weights are read again. On failure everything stays as it was. A model that comes out as a breach
 * goes on being served, for its users did nothing wrong. ret_changed: how many models are told
 * otherwise than they were, be it a figure in a reason; when it is 0, or on failure, nothing of
 * `rules` is kept, and they need not outlive the call. Main thread. */
int policy_reassess(struct policy *policy, const struct policy_rules *rules, int64_t now_unix,
                    uint32_t *ret_changed, struct error *err);

/* -- Users -- */

enum identity_class { IDENTITY_VERIFIED, IDENTITY_ASSERTED, IDENTITY_WEAK, IDENTITY_NONE };
#define IDENTITY_CLASS_COUNT 4
const char *identity_class_name(enum identity_class identity); /* "asserted" */

#define POLICY_HEADERS_MAX 8u

/* Everything the request says about who is behind it; NULL where it says nothing. The strongest
 * usable claim wins, in this order. */
struct policy_claims {
    const char *tenant;                      /* "" for none: ids are bound to it */
    const char *bearer;                      /* a token of its own, or the API key again */
    const char *gateway;                     /* the header that a gateway signs */
    const char *headers[POLICY_HEADERS_MAX]; /* the configured user headers, in their order */
    const char *safety_identifier;           /* request body */
    const char *user;                        /* request body */
    const char *metadata_user_id;            /* request body */
    const char *api_key;
    const char *address;    /* of the client, textual */
    const char *request_id; /* made by the server, never the client's own choice; NULL: one is */
    uint32_t worker;        /* of the calling thread: what it alone writes */
};

enum policy_verdict { POLICY_GO, POLICY_GO_WITH_ATTRIBUTION, POLICY_REFUSE };

struct policy_decision {
    enum policy_verdict verdict;
    enum identity_class identity;
    char attribution[96]; /* to show, "" when none is due */
    char reason[256];     /* of a refusal: licence and clause */
    uint64_t sequence;    /* for policy_durable(), before the answer begins */
};

/* Counts the user for the model in the UTC day of now, and decides. Where the user was counted in
 * the day before: no lock, no system call, and no allocation but to check a proof. */
void policy_admit(struct policy *policy, struct policy_model *model,
                  const struct policy_claims *claims, int64_t now_unix_us,
                  struct policy_decision *ret);

/* Starts the thread that keeps counts on disk. on_durable: on that thread, whenever an answer of
 * policy_durable() may have changed; must not block; NULL: nobody asks. Main thread, once. */
int policy_start(struct policy *policy, void (*on_durable)(void *argument), void *argument,
                 struct error *err);
void policy_stop(struct policy *policy); /* ends that thread, if it runs; main thread */
/* Whether what a decision's sequence stands for would survive a power cut. True as well while the
 * disk takes nothing: that is told by policy_take_notes(), and answers go on. */
bool policy_durable(const struct policy *policy, uint64_t sequence);
/* What the log should be told, a line each, appended. */
void policy_take_notes(struct policy *policy, struct text *out);

struct policy_usage {
    int32_t year, month; /* UTC */
    struct usage_figures windows[USAGE_WINDOW_COUNT];
    uint64_t unsaved;  /* users that are not on disk yet; tried again and again */
    uint64_t left_out; /* users that found neither memory nor disk since the start */
    bool known;        /* false: there was no memory or no disk to answer from */
};
/* Rolling windows may be two minutes old. */
void policy_usage(struct policy *policy, const struct policy_model *model, int64_t now_unix_us,
                  struct policy_usage *ret);

/* -- Before the line -- */

/* How near a threshold is. */
struct policy_line {
    const char *license, *condition; /* the assessment's */
    double upper, threshold; /* users: surely no more than `upper` are counted or declared */
    /* Days until it is crossed: at the earliest, as it looks, at the latest; INFINITY for never.
     * NAN where no date can be told, and until a day is over. */
    double days_early, days, days_late;
};
/* The user thresholds of a served model, one a condition: of two, that which is nearer. Those whose
 * figures cannot be had just now are left out. Returns how many, at most `capacity`. Any thread. */
uint32_t policy_lines(struct policy *policy, const struct policy_model *model, int64_t now_unix_us,
                      struct policy_line *ret, uint32_t capacity);

struct policy_messages {
    uint64_t pending, delivered, dead; /* dead: nobody took them in time */
};
/* Of alerts, some seconds old. Any thread. */
void policy_messages(const struct policy *policy, struct policy_messages *ret);

#endif
