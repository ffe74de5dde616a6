/* SPDX-License-Identifier: Apache-2.0 */
/* policy_enforce_inner.h -- what happens at a threshold beyond alerts: rules (what a line asks
 * for), caps (who may come in), states (what the next request is told). Internal to policy*.c.
 *
 * The policy thread weighs figures against rules every few seconds and publishes a state a model;
 * requests read it. Whoever adds a model does the same for it, so a lock is between the two:
 * "planner" is who holds it. */
#ifndef WEIR_POLICY_POLICY_ENFORCE_INNER_H
#define WEIR_POLICY_POLICY_ENFORCE_INNER_H

#include "policy/policy_enforce.h"
#include "policy/policy_inner.h"

#define ENFORCE_RULES_MAX 32u  /* of one model */
#define ENFORCE_CAPS_MAX  128u /* of all models */
#define ENFORCE_STRIPES   16u  /* of counts: workers meet on a cache line one time in so many */
#define ENFORCE_YEARS     32u  /* of keys, from the start on; then the last goes on */
#define ENFORCE_EVERY_MS  5000u
#define ENFORCE_MONTH_MS  500u /* a month's turn is seen after so long at the latest */

/* A threshold of users, and what is past it. */
struct enforce_rule {
    struct line line;
    const struct assessed_condition *condition; /* the model's assessment's */
    bool at_least;                              /* the line itself is past it */
    bool shows;                                 /* words are due then; else a licence is */
    bool due;
    int64_t since_unix;      /* while due */
    struct enforce_cap *cap; /* that keeps users before it; NULL for none */
};

struct enforce_plan {
    uint64_t generation; /* of the rules it was made from */
    uint32_t rule_count;
    struct enforce_rule rules[ENFORCE_RULES_MAX];
    struct enforce_cap *own_cap; /* by the operator's number; NULL for none */
};

/* Rules of what binds the model now, by its mode and the reading that was asked for. Conditions
 * that were acknowledged refuse nobody. Pure but for memory. */
void enforce_rules_of(const struct line_source *source, enum policy_enforce mode,
                      struct enforce_plan *ret);
/* Words that are due whatever the figures say, and those of rules that are due. */
void enforce_words(const struct assessment *assessment, const struct enforce_plan *plan,
                   char ret[POLICY_ATTRIBUTION_BYTES]);

/* One scope's users of the month: of a model, a product, or all. */
struct enforce_cap {
    /* fixed when made */
    struct enforce_cap *next;
    enum line_scope scope;
    char *name;  /* of model or product */
    uint64_t id; /* keyed hash of the scope: names files and keys of the store */
    uint64_t users_max;
    struct user_cap *users;
    struct ring *news; /* hashes of who came in, for other replicas; NULL when alone */
    /* planner */
    uint64_t wanted; /* the limit, while plans are made */
    /* any thread; written by the planner */
    _Atomic uint64_t limit, counted;
    _Atomic int64_t full_since_unix; /* 0: there is room */
    _Atomic uint32_t counted_month;  /* whose `counted` is; 0: of none yet */
};

struct enforce_bound { /* a cap, as a model has it */
    struct enforce_cap *cap;
    bool binds; /* else its users are only made known: another model's cap has them too */
    struct policy_refusal refusal;
};

/* What requests are told; immutable once published, and kept until policy_free(). */
struct enforce_state {
    struct enforce_state *older;
    bool stops;
    struct policy_refusal stop;
    uint32_t cap_count;
    struct enforce_bound caps[POLICY_CAPS_MAX];
    char attribution[POLICY_ATTRIBUTION_BYTES];
};

struct enforce_stripe {
    _Alignas(64) _Atomic uint64_t outcomes[POLICY_OUTCOME_COUNT];
};

struct enforced { /* a model's */
    enum policy_enforce mode;
    uint64_t cap_users;
    struct enforce_plan *plan;                      /* planner */
    struct enforce_state *states;                   /* planner; all that there were */
    _Atomic(const struct enforce_state *) state;    /* any thread; NULL: nothing is enforced */
    struct enforce_stripe stripes[ENFORCE_STRIPES]; /* any thread */
};

struct enforce {
    /* fixed at start */
    enum policy_view view;
    uint32_t cap_open;
    uint32_t first_year;
    uint8_t keys[ENFORCE_YEARS][SIPHASH_KEY_BYTES]; /* of caps' hashes, before the first cap */
    bool keyed;
    pthread_mutex_t lock; /* the planner's; taken before ledger_lock */
    /* planner */
    _Atomic(struct enforce_cap *) caps; /* only ever grows, in front */
    uint32_t cap_count;
    bool any; /* some model asks for more than alerts */
    int64_t next_us;
};

/* -- policy_enforce.c -- */

int policy_enforce_open(struct policy *policy, const struct policy_config *config,
                        struct error *err);
void policy_enforce_close(struct policy *policy);
/* Any thread: a model that is about to be served, and not in the policy's list yet. ERROR_IO and
 * its like where its cap finds no room. */
int policy_enforce_add(struct policy *policy, struct policy_model *model, int64_t now_unix_us,
                       struct error *err);
void policy_enforced_free(struct enforced *enforced); /* NULL is fine */
/* Policy thread: weighs what is due, and returns after how many milliseconds it wants to go on. */
uint32_t policy_enforce_turn(struct policy *policy, int64_t now_unix_us);
/* Any thread. False: refused, and *ret says why. Fills *ret but for identity and sequence. */
bool policy_enforce_admit(struct policy *policy, struct policy_model *model,
                          const struct usage_sight *sight, uint32_t worker, uint32_t day,
                          struct policy_decision *ret);

/* -- policy_enforce_told.c -- */

/* The sentence of a refusal. Any thread. */
void enforce_reason(const char *model, struct policy_decision *ret);
/* Policy thread: ledger and log hear that it began or ended. condition NULL: the operator's cap. */
struct enforce_event {
    const struct policy_model *model;
    const struct assessed_condition *condition;
    const char *what; /* "attribute", "cap", "refuse" */
    uint64_t users;   /* the threshold or the cap */
    bool begins;
    int64_t now_unix;
};
void enforce_tell(struct policy *policy, const struct enforce_event *event);
/* When it began in this month, as the ledger has it; 0: it did not, or has ended. */
int64_t enforce_began(struct policy *policy, const struct enforce_event *event);

/* -- policy_caps.c -- */

struct enforce_wish {
    enum line_scope scope;
    const char *name;   /* of the model or product; borrowed for the call */
    uint64_t users_max; /* what a cap that is made is sized for */
};
/* Finds or makes the scope's cap, which takes up the month of now where it was left. */
int enforce_cap_find(struct policy *policy, const struct enforce_wish *wish, int64_t now_unix_us,
                     struct enforce_cap **ret, struct error *err);
/* What may be let in before a line: less those who are declared to be elsewhere, and what a sketch
 * and a filter may be wrong by. */
uint64_t enforce_cap_limit(const struct policy *policy, const struct enforce_cap *cap,
                           const struct line *line, bool at_least);
/* Planner: turns months, counts, and hands out tickets where nobody leases them. */
void enforce_caps_turn(struct policy *policy, int64_t now_unix_us, bool counts);
uint64_t enforce_cap_hash(const struct enforce *enforce, uint32_t month, uint64_t user_hash);
void enforce_caps_free(struct enforce *enforce);

#endif
