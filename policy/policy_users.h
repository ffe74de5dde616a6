/* SPDX-License-Identifier: Apache-2.0 */
/* policy_users.h -- who is let in, and how many they are. Any thread.
 *
 * Raw user ids enter policy_admit() and go no further than a 64-bit keyed hash. */
#ifndef WEIR_POLICY_POLICY_USERS_H
#define WEIR_POLICY_POLICY_USERS_H

#include "policy/users/usage_figures.h"

#include <stdbool.h>
#include <stdint.h>

struct policy;
struct policy_model;

enum identity_class { IDENTITY_VERIFIED, IDENTITY_ASSERTED, IDENTITY_WEAK, IDENTITY_NONE };
#define IDENTITY_CLASS_COUNT 4
const char *identity_class_name(enum identity_class identity); /* "asserted" */

#define POLICY_HEADERS_MAX 8u

/* Everything the request says about who is behind it; NULL where it says nothing. The strongest
 * usable claim wins, in this order. */
struct policy_claims {
    const char *tenant;  /* "" for none: ids are bound to it */
    const char *bearer;  /* a token of its own, or the API key again */
    const char *gateway; /* the header that a gateway signs */
    /* Of a certificate that the client proved to hold, signed by an authority of ours. Both or
     * none: one issuer's "alice" is not another's. */
    const char *certificate_issuer, *certificate_subject;
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

#define POLICY_ATTRIBUTION_BYTES 512u
#define POLICY_REASON_BYTES      640u

/* By what somebody is refused. Strings are the policy's, and "" where there is none. */
struct policy_refusal {
    const char *license, *condition, *clause;
    uint64_t users;     /* the threshold or the cap */
    bool capped;        /* a new user beyond a cap; else the model is not served at all */
    int64_t since_unix; /* when this began */
    int64_t until_unix; /* the month's turn; 0: nobody can say */
};

struct policy_decision {
    enum policy_verdict verdict;
    enum identity_class identity;
    uint64_t sequence;       /* for policy_durable(), before the answer begins */
    const char *attribution; /* words to show; the policy's, "" when none are due */
    /* of POLICY_REFUSE, else unset */
    struct policy_refusal refusal;
    char reason[POLICY_REASON_BYTES]; /* all of it in a sentence or two */
};

/* Decides, and counts the user for the model in the UTC day of now, next to a midnight
 * (policy_config.h, clock_skew_ms) in the day beyond it too, unless it is refused. Where the user
 * was counted in the day: no lock, no system call, and no allocation but to check a proof. */
void policy_admit(struct policy *policy, struct policy_model *model,
                  const struct policy_claims *claims, int64_t now_unix_us,
                  struct policy_decision *ret);

/* Whether what a decision's sequence stands for would survive a power cut. True as well while the
 * disk takes nothing: that is told by policy_take_notes(), and answers go on. */
bool policy_durable(const struct policy *policy, uint64_t sequence);

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

#endif
