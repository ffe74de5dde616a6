/* SPDX-License-Identifier: Apache-2.0 */
/* policy.c -- the state folder and its lock, the models, and who is let in.
 *
 * A model's assessment is read by any thread and made anew by the main thread, which swaps one
 * pointer. What was swapped out stays until policy_free(), for nobody knows who still reads it.
 * So that this does not grow with every signal, an assessment that tells nothing new is dropped
 * again, and so are rules under which every model comes out as it was. */
#include "policy/policy.h"

#include "policy/evidence.h"
#include "policy/facts.h"
#include "policy/identity.h"
#include "policy/ledger.h"
#include "policy/license/gate.h"
#include "policy/license/license_match.h"
#include "policy/secret.h"
#include "policy/usage.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define STATE_FOLDER_MODE 0700
#define FACTS_BYTES_MAX   (1u << 20) /* of one model: more is no model's description */

struct weighed { /* an assessment, and those before it */
    struct weighed *older;
    struct assessment *assessment;
};

struct policy_model {
    struct policy_model *next;
    struct arena *arena;
    const struct policy_model_facts *facts; /* in the arena */
    struct usage *usage;                    /* NULL where the licence refuses the model */
    /* main thread */
    struct weighed *newest;
    struct weighed *pending; /* made, and not yet told; NULL outside of policy_reassess() */
    /* any thread */
    _Atomic(const struct assessment *) assessment; /* of newest */
};

struct policy {
    char *folder;
    int folder_fd; /* holds the lock on the folder */
    struct secret secret;
    struct policy_model *models, **models_end; /* changed by main, before the workers start */
    /* main thread */
    struct policy_rules rules;
    struct license_matcher *matcher; /* of the rules' catalogue */
    struct ledger *ledger;
};

/* mkdir -p, the last part private. */
static int make_folder(char *folder, struct error *err)
{
    for (char *slash = strchr(folder + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        int failed = mkdir(folder, 0755) != 0 ? errno : 0;
        int result =
            failed == 0 || failed == EEXIST ? 0 : error_set_errno(err, failed, "%s", folder);
        *slash = '/';
        if (result != 0)
            return result;
    }
    if (mkdir(folder, STATE_FOLDER_MODE) != 0 && errno != EEXIST)
        return error_set_errno(err, errno, "%s", folder);
    return 0;
}

/* Two daemons on one folder would each count what the other does not see. */
static int lock_folder(struct policy *policy, struct error *err)
{
    policy->folder_fd = open(policy->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (policy->folder_fd < 0)
        return error_set_errno(err, errno, "%s", policy->folder);
    if (flock(policy->folder_fd, LOCK_EX | LOCK_NB) == 0)
        return 0;
    if (errno == EWOULDBLOCK)
        return error_set(err, ERROR_BUSY,
                         "%s: another weir counts here; give this one a folder of its own "
                         "(users.state, or --state FOLDER)",
                         policy->folder);
    return error_set_errno(err, errno, "%s: lock", policy->folder);
}

static int open_all(struct policy *policy, const struct policy_config *config, struct error *err)
{
    int result = make_folder(policy->folder, err);
    if (result == 0)
        result = lock_folder(policy, err);
    if (result == 0)
        result = secret_open(policy->folder, config->key_file, &policy->secret, err);
    if (result != 0)
        return result;
    policy->ledger = ledger_open(policy->folder, err);
    if (policy->ledger == NULL)
        return err->code;
    policy->matcher = license_matcher_new(policy->rules.catalogue, err);
    return policy->matcher == NULL ? err->code : 0;
}

struct policy *policy_new(const struct policy_config *config, struct error *err)
{
    assert(config->rules.catalogue != NULL);
    struct error local = {0};
    if (err == NULL)
        err = &local;
    struct policy *policy = calloc(1, sizeof *policy);
    if (policy == NULL) {
        error_no_memory(err);
        return NULL;
    }
    policy->folder_fd = -1;
    policy->models_end = &policy->models;
    policy->rules = config->rules;
    policy->folder = strdup(config->state_folder);
    int result = 0;
    if (policy->folder == NULL)
        result = error_no_memory(err);
    else if (policy->folder[0] == '\0')
        result = error_set(err, ERROR_INVALID, "the state folder has no name");
    if (result == 0 && open_all(policy, config, err) == 0)
        return policy;
    policy_free(policy);
    return NULL;
}

static void release_weighed(struct weighed *weighed)
{
    while (weighed != NULL) {
        struct weighed *older = weighed->older;
        assessment_free(weighed->assessment);
        free(weighed);
        weighed = older;
    }
}

static void release_model(struct policy_model *model)
{
    usage_free(model->usage);
    release_weighed(model->newest);
    arena_free(model->arena);
    free(model);
}

void policy_free(struct policy *policy)
{
    if (policy == NULL)
        return;
    while (policy->models != NULL) {
        struct policy_model *next = policy->models->next;
        release_model(policy->models);
        policy->models = next;
    }
    ledger_close(policy->ledger);
    license_matcher_free(policy->matcher);
    if (policy->folder_fd >= 0)
        close(policy->folder_fd);
    free(policy->folder);
    explicit_bzero(&policy->secret, sizeof policy->secret);
    free(policy);
}

/* -- Licences -- */

static struct policy_model *model_new(const struct policy_model_facts *facts)
{
    struct policy_model *model = calloc(1, sizeof *model);
    if (model == NULL)
        return NULL;
    model->arena = arena_new(FACTS_BYTES_MAX);
    if (model->arena != NULL)
        model->facts = facts_copy(model->arena, facts);
    if (model->facts != NULL)
        return model;
    release_model(model);
    return NULL;
}

static int weigh(const struct policy_model *model, const struct policy_rules *rules,
                 const struct license_matcher *matcher, int64_t now_unix, struct weighed **ret,
                 struct error *err)
{
    struct recognition *recognition;
    struct weighed *weighed = calloc(1, sizeof *weighed);
    if (weighed == NULL)
        return error_no_memory(err);
    int result = recognition_read(rules->catalogue, matcher, model->facts, &recognition, err);
    if (result == 0)
        result = gate_assess(recognition, rules->declaration, now_unix, &weighed->assessment, err);
    if (result != 0) {
        free(weighed);
        return result;
    }
    *ret = weighed;
    return 0;
}

/* What was made becomes what is told. */
static void publish(struct policy_model *model, struct weighed *weighed)
{
    weighed->older = model->newest;
    model->newest = weighed;
    atomic_store_explicit(&model->assessment, weighed->assessment, memory_order_release);
}

static int record_one(struct policy *policy, const struct weighed *weighed, struct error *err)
{
    int result = ledger_begin(policy->ledger, err);
    if (result != 0)
        return result;
    result = evidence_record(policy->ledger, weighed->assessment, policy->rules.declaration, err);
    if (result == 0)
        return ledger_commit(policy->ledger, err);
    ledger_rollback(policy->ledger);
    return result;
}

int policy_model_add(struct policy *policy, const struct policy_model_facts *facts,
                     int64_t now_unix, struct policy_model **ret, struct error *err)
{
    struct error local;
    struct weighed *weighed = NULL;
    if (err == NULL)
        err = &local;
    struct policy_model *model = model_new(facts);
    if (model == NULL)
        return error_no_memory(err);
    int result = weigh(model, &policy->rules, policy->matcher, now_unix, &weighed, err);
    if (result == 0) {
        publish(model, weighed);
        result = record_one(policy, weighed, err);
    }
    bool refused = result == 0 && weighed->assessment->verdict == VERDICT_BREACH;
    if (result == 0 && !refused) {
        model->usage = usage_new(policy->folder, model->facts->id, &policy->secret, err);
        result = model->usage == NULL ? err->code : 0;
    }
    if (result != 0) {
        release_model(model);
        return result;
    }
    *policy->models_end = model;
    policy->models_end = &model->next;
    *ret = model;
    return refused ? evidence_refuse(weighed->assessment, err) : 0;
}

const struct assessment *policy_model_assessment(const struct policy_model *model)
{
    return atomic_load_explicit(&model->assessment, memory_order_acquire);
}

/* Weighs every model; what tells nothing new is dropped at once. */
static int weigh_all(struct policy *policy, const struct policy_rules *rules,
                     const struct license_matcher *matcher, int64_t now_unix, struct error *err)
{
    for (struct policy_model *model = policy->models; model != NULL; model = model->next) {
        bool same = false;
        int result = weigh(model, rules, matcher, now_unix, &model->pending, err);
        if (result == 0)
            result =
                evidence_compare(model->newest->assessment, model->pending->assessment, &same, err);
        if (result != 0)
            return result;
        if (same) {
            release_weighed(model->pending);
            model->pending = NULL;
        }
    }
    return 0;
}

static int record_all(struct policy *policy, const struct policy_rules *rules, struct error *err)
{
    int result = ledger_begin(policy->ledger, err);
    if (result != 0)
        return result;
    for (struct policy_model *model = policy->models; model != NULL && result == 0;
         model = model->next)
        if (model->pending != NULL)
            result = evidence_record(policy->ledger, model->pending->assessment, rules->declaration,
                                     err);
    if (result == 0)
        return ledger_commit(policy->ledger, err);
    ledger_rollback(policy->ledger);
    return result;
}

/* Publishes what waits, or drops it. */
static uint32_t settle(struct policy *policy, bool publishing)
{
    uint32_t count = 0;
    for (struct policy_model *model = policy->models; model != NULL; model = model->next) {
        if (model->pending == NULL)
            continue;
        if (publishing)
            publish(model, model->pending);
        else
            release_weighed(model->pending);
        model->pending = NULL;
        count++;
    }
    return count;
}

int policy_reassess(struct policy *policy, const struct policy_rules *rules, int64_t now_unix,
                    uint32_t *ret_changed, struct error *err)
{
    assert(rules->catalogue != NULL);
    struct error local = {0};
    if (err == NULL)
        err = &local;
    struct license_matcher *matcher = license_matcher_new(rules->catalogue, err);
    if (matcher == NULL)
        return err->code;
    int result = weigh_all(policy, rules, matcher, now_unix, err);
    if (result == 0)
        result = record_all(policy, rules, err);
    uint32_t changed = settle(policy, result == 0);
    if (result == 0 && changed > 0) {
        license_matcher_free(policy->matcher);
        policy->matcher = matcher;
        policy->rules = *rules;
    } else {
        license_matcher_free(matcher);
    }
    if (result == 0)
        *ret_changed = changed;
    return result;
}

/* -- Users -- */

void policy_admit(struct policy *policy, struct policy_model *model,
                  const struct policy_claims *claims, int64_t now_unix_us,
                  struct policy_decision *ret)
{
    assert(model->usage != NULL);
    struct identity identity = identity_of(claims, policy->secret.users_key);
    usage_add(model->usage, usage_month(now_unix_us), &identity);
    ret->verdict = POLICY_GO;
    ret->identity = identity.class;
    ret->attribution[0] = '\0';
    ret->reason[0] = '\0';
}

void policy_usage(struct policy *policy, const struct policy_model *model, int64_t now_unix_us,
                  struct policy_usage *ret)
{
    (void)policy;
    assert(model->usage != NULL);
    uint32_t month = usage_month(now_unix_us);
    *ret = (struct policy_usage){.year = (int32_t)(month / 12), .month = (int32_t)(month % 12 + 1)};
    usage_read(model->usage, month, ret);
}
