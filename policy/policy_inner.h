/* SPDX-License-Identifier: Apache-2.0 */
/* policy_inner.h -- what policy.c shares with policy_*.c. Internal to them. */
#ifndef WEIR_POLICY_POLICY_INNER_H
#define WEIR_POLICY_POLICY_INNER_H

#include "policy/alerts/lines.h"
#include "policy/ledger.h"
#include "policy/license/license_match.h"
#include "policy/policy.h"
#include "policy/policy_ids.h"
#include "policy/policy_lines.h"
#include "policy/policy_thread.h"
#include "policy/policy_users.h"
#include "policy/users/secret.h"
#include "policy/users/usage.h"
#include "policy/users/usage_window.h"

#include <pthread.h>
#include <stdatomic.h>

struct arena;
struct enforce;
struct enforced;
struct delivery;
struct policy_months;
struct policy_tokens;
struct policy_fleet;
struct policy_tickets;
struct watch;

#define POLICY_TURNS 5u /* watch, months, tokens, findings, enforcement */

struct weighed { /* an assessment, and those before it */
    struct weighed *older;
    struct assessment *assessment;
};

struct policy_model {
    _Atomic(struct policy_model *) next;
    uint32_t index; /* from 0, in the order in which they were added */
    struct arena *arena;
    const struct policy_model_facts *facts; /* in the arena */
    struct usage_scope *scope;              /* NULL where the licence refuses the model */
    struct usage_group *group;              /* of the model, whatever the product */
    struct usage_group *product;            /* NULL where it is part of no named one */
    struct enforced *enforced;              /* NULL where the licence refuses the model */
    /* under the policy's models_lock */
    struct weighed *newest;
    struct weighed *pending; /* made, and not yet told; NULL outside of policy_reassess() */
    /* any thread */
    _Atomic(const struct assessment *) assessment; /* of newest */
};

struct policy {
    char *folder;
    int folder_fd; /* holds the lock on the folder */
    struct secret secret;
    struct policy_ids *ids;
    uint8_t requests_key[SIPHASH_KEY_BYTES];
    int64_t clock_skew_us;
    struct usage *usage;
    struct policy_thread *thread; /* NULL before policy_start() */
    _Atomic uint64_t unnamed;     /* requests that came without an id */
    uint32_t models_max;          /* that are ever added; 0: none but before the first request */
    /* They grow at their end, under the lock; any thread reads them. A model is whole before it is
     * in the list. */
    _Atomic(struct policy_model *) models, *models_end;
    _Atomic uint32_t model_count;
    pthread_mutex_t models_lock;     /* who weighs models; taken before ledger_lock */
    struct policy_rules rules;       /* under it */
    struct license_matcher *matcher; /* likewise: of the rules' catalogue */
    /* under the lock: main records verdicts, the policy thread alerts */
    pthread_mutex_t ledger_lock;
    struct ledger *ledger;
    /* of the rules, for other threads; generation rises when anything is weighed otherwise */
    _Atomic(const struct declaration *) declaration;
    _Atomic uint64_t generation;
    struct outbox *outbox;             /* the policy thread's, once it runs */
    struct watch *watch;               /* likewise, but for watch_forecast() */
    struct delivery *delivery;         /* likewise, but for delivery_counts() */
    struct policy_fleet *fleet;        /* NULL: alone */
    struct policy_tickets *tickets;    /* the fleet's thread's; NULL: alone */
    struct enforce *enforce;           /* enforce.lock says who */
    _Atomic(struct usage_group *) all; /* the organisation; NULL before a model is served */
    struct policy_months *months;      /* the policy thread's; NULL before policy_start() */
    struct policy_tokens *tokens;
    int64_t due_us[POLICY_TURNS]; /* the policy thread's */
};

/* Whose users a scope is; name: of a model or a product. NULL: nothing of it is or was served. Any
 * thread. */
struct usage_group *policy_group_of(const struct policy *policy, enum line_scope scope,
                                    const char *name);
/* A row of evidence; any thread. */
int policy_record(struct policy *policy, const struct ledger_entry *entry, struct error *err);

/* policy_watch.c. Main thread, before others: outbox, watch and delivery, from a policy that has a
 * folder. */
int policy_watch_open(struct policy *policy, const struct policy_config *config, struct error *err);
void policy_watch_close(struct policy *policy);
/* Policy thread. Does a bounded piece of what is due of alerts, and returns after how many
 * milliseconds it wants to be called again. */
uint32_t policy_watch_turn(void *policy, int64_t now_unix_us);
/* policy_findings.c. Policy thread: keys whose ids cannot be people. */
uint32_t policy_findings_turn(struct policy *policy, int64_t now_unix_us);

/* policy_turns.c. Policy thread: a bounded piece of what is due of alerts, months or tokens, and
 * after how many milliseconds the next is due. */
uint32_t policy_turn(void *policy, int64_t now_unix_us);

#endif
