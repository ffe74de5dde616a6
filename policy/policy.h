/* SPDX-License-Identifier: Apache-2.0 */
/* policy.h -- may this model be served, and how many people does it serve?
 *
 * The face of policy/ to the daemon, with policy_config.h (what it is told), policy_users.h (who is
 * let in, and how many they are) and policy_lines.h (how near a threshold is). It knows nothing of
 * HTTP, tokens or tensors: it is given facts about a model and claims about a user, and it answers.
 *
 * Threads: policy_new() and policy_start() before the workers start. Models may be added later
 * where policy_config.models_max says how many there will be, else before the first request. */
#ifndef WEIR_POLICY_POLICY_H
#define WEIR_POLICY_POLICY_H

#include "base/error.h"
#include "base/text.h"
#include "policy/policy_config.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct policy;
struct policy_model; /* borrowed from the policy, lives as long */
struct assessment;   /* assessment.h: a verdict a condition */

struct policy *policy_new(const struct policy_config *config, struct error *err);
/* Ends the thread, flushes counters. NULL is fine. */
void policy_free(struct policy *policy);
/* Starts the thread that keeps counts on disk. on_durable: on that thread, whenever an answer of
 * policy_durable() may have changed; must not block; NULL: nobody asks. Main thread, once. */
int policy_start(struct policy *policy, void (*on_durable)(void *argument), void *argument,
                 struct error *err);
void policy_stop(struct policy *policy); /* ends that thread, if it runs; main thread */
/* What the log should be told, a line each, appended. */
void policy_take_notes(struct policy *policy, struct text *out);

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
    enum policy_enforce enforce;
    uint64_t cap_users; /* of this model in a month, said by the operator; 0: by its licence */
};

/* Recognises and weighs the model; the ledger keeps the verdict and what was acknowledged.
 * ERROR_REFUSED, with conditions and remedies, for a breach that nobody acknowledged: the model
 * must not be served nor its users counted, but *ret is set, so that its assessment can be told.
 * Any thread; waits for disks. */
int policy_model_add(struct policy *policy, const struct policy_model_facts *facts,
                     int64_t now_unix, struct policy_model **ret, struct error *err);
/* The same of a model of which it is not known yet whether it can be served: a breach is kept as
 * above, and of anything else nothing is, *ret untouched. Any thread. */
int policy_model_screen(struct policy *policy, const struct policy_model_facts *facts,
                        int64_t now_unix, struct policy_model **ret, struct error *err);
/* The newest; valid until policy_free(). Any thread. */
const struct assessment *policy_model_assessment(const struct policy_model *model);
/* Weighs all models anew, refused ones too, under new rules or on another day; the files beside the
 * weights are read again. On failure everything stays as it was. A model that comes out as a breach
 * goes on being served, for its users did nothing wrong. ret_changed: how many models are told
 * otherwise than they were, be it a figure in a reason; when it is 0, or on failure, nothing of
 * `rules` is kept, and they need not outlive the call. Any thread. */
int policy_reassess(struct policy *policy, const struct policy_rules *rules, int64_t now_unix,
                    uint32_t *ret_changed, struct error *err);

#endif
