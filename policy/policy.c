/* SPDX-License-Identifier: Apache-2.0 */
/* policy.c -- the state folder and its lock, the models, and who is let in.
 *
 * A model's assessment is read by any thread and made anew under models_lock, by swapping one
 * pointer. What was swapped out stays until policy_free(), for nobody knows who still reads it.
 * So that this does not grow with every signal, an assessment that tells nothing new is dropped
 * again, and so are rules under which every model comes out as it was. */
#include "policy/policy.h"

#include "base/clock.h"
#include "policy/evidence.h"
#include "policy/facts.h"
#include "policy/license/gate.h"
#include "policy/policy_enforce_inner.h"
#include "policy/policy_fleet.h"
#include "policy/policy_fleet_inner.h"
#include "policy/policy_inner.h"
#include "policy/policy_moment.h"
#include "policy/policy_months.h"
#include "policy/policy_tickets.h"
#include "policy/policy_tokens.h"
#include "policy/users/calendar.h"
#include "policy/users/identity.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define REQUEST_ID_BYTES  48
#define STATE_FOLDER_MODE 0700
#define ROLLING_AGE_S_MAX 120u       /* the thread makes them anew each minute */
#define FACTS_BYTES_MAX   (1u << 20) /* of one model: more is no model's description */

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

/* One for all years: a request is over when its hash was counted, and none comes again. */
static int derive_requests_key(struct policy *policy, struct error *err)
{
    struct secret_epoch epoch;
    int result = secret_epoch(&policy->secret, 1970, &epoch, err);
    if (result == 0)
        memcpy(policy->requests_key, epoch.requests, sizeof policy->requests_key);
    explicit_bzero(&epoch, sizeof epoch);
    return result;
}

static int open_all(struct policy *policy, const struct policy_config *config, struct error *err)
{
    if (config->clock_skew_ms > POLICY_SKEW_MS_MAX)
        return error_set(err, ERROR_INVALID, "clocks are at most %u ms apart, not %u",
                         POLICY_SKEW_MS_MAX, config->clock_skew_ms);
    policy->clock_skew_us = (int64_t)config->clock_skew_ms * 1000;
    int result = make_folder(policy->folder, err);
    if (result == 0)
        result = lock_folder(policy, err);
    if (result == 0)
        result = secret_open(policy->folder, config->key_file, &policy->secret, err);
    if (result == 0)
        result = derive_requests_key(policy, err);
    if (result != 0)
        return result;
    const struct usage_config usage = {.folder = policy->folder,
                                       .secret = &policy->secret,
                                       .trust_asserted = config->trust_asserted,
                                       .keep_days = config->keep_days,
                                       .final_hours = config->final_hours};
    policy->usage = usage_new(&usage, err);
    if (policy->usage == NULL)
        return err->code;
    const struct policy_ids_config ids = {.rules = &config->identity,
                                          .folder = policy->folder,
                                          .key = policy->secret.users_key,
                                          .usage = policy->usage,
                                          .worker_count = config->worker_count};
    policy->ids = policy_ids_new(&ids, err);
    if (policy->ids == NULL)
        return err->code;
    policy->ledger = ledger_open(policy->folder, err);
    if (policy->ledger == NULL)
        return err->code;
    policy->tokens = policy_tokens_open(policy->folder, config->keep_days, err);
    if (policy->tokens == NULL)
        return err->code;
    policy->matcher = license_matcher_new(policy->rules.catalogue, err);
    result = policy->matcher == NULL ? err->code : policy_watch_open(policy, config, err);
    if (result == 0)
        result = policy_fleet_open(policy, config, &policy->fleet, err);
    if (result == 0)
        result = policy_enforce_open(policy, config, err);
    return result == 0 ? policy_tickets_open(policy, err) : result;
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
    policy->models_max = config->models_max;
    policy->models_end = &policy->models;
    (void)pthread_mutex_init(&policy->models_lock, NULL); /* cannot fail with these attributes */
    policy->rules = config->rules;
    atomic_store(&policy->declaration, config->rules.declaration);
    (void)pthread_mutex_init(&policy->ledger_lock, NULL); /* likewise */
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
    release_weighed(model->newest);
    policy_enforced_free(model->enforced);
    arena_free(model->arena);
    free(model);
}

void policy_free(struct policy *policy)
{
    if (policy == NULL)
        return;
    policy_stop(policy);
    policy_tokens_stop(policy, clock_unix_us()); /* answers end after the thread has */
    policy_watch_close(policy);
    policy_tokens_close(policy->tokens);
    policy_fleet_close(policy->fleet);
    policy_tickets_close(policy->tickets);
    policy_enforce_close(policy);
    for (struct policy_model *model = policy->models; model != NULL;) {
        struct policy_model *next = model->next;
        release_model(model);
        model = next;
    }
    policy_ids_free(policy->ids);
    usage_free(policy->usage);
    ledger_close(policy->ledger);
    (void)pthread_mutex_destroy(&policy->ledger_lock);
    (void)pthread_mutex_destroy(&policy->models_lock);
    license_matcher_free(policy->matcher);
    if (policy->folder_fd >= 0)
        close(policy->folder_fd);
    free(policy->folder);
    explicit_bzero(policy->requests_key, sizeof policy->requests_key);
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

struct usage_group *policy_group_of(const struct policy *policy, enum line_scope scope,
                                    const char *name)
{
    if (scope == LINE_ORGANISATION)
        return policy->all;
    return usage_group_find(policy->usage,
                            scope == LINE_MODEL ? USAGE_GROUP_MODEL : USAGE_GROUP_PRODUCT, name);
}

int policy_record(struct policy *policy, const struct ledger_entry *entry, struct error *err)
{
    (void)pthread_mutex_lock(&policy->ledger_lock);
    int result = ledger_append(policy->ledger, entry, NULL, err);
    (void)pthread_mutex_unlock(&policy->ledger_lock);
    return result;
}

static int record_one(struct policy *policy, const struct weighed *weighed, struct error *err)
{
    (void)pthread_mutex_lock(&policy->ledger_lock);
    int result = ledger_begin(policy->ledger, err);
    if (result == 0) {
        result =
            evidence_record(policy->ledger, weighed->assessment, policy->rules.declaration, err);
        if (result == 0)
            result = evidence_record_outside(policy->ledger, policy->rules.declaration,
                                             weighed->assessment->at_unix, err);
        if (result == 0)
            result = ledger_commit(policy->ledger, err);
        else
            ledger_rollback(policy->ledger);
    }
    (void)pthread_mutex_unlock(&policy->ledger_lock);
    return result;
}

/* The first licence is the model's own; its base models' come after it. */
static const char *family_of(const struct policy_model *model)
{
    const struct recognition *found = model->newest->assessment->recognition;
    const struct license_record *license =
        found->license_count > 0 ? found->licenses[0].record : NULL;
    return license == NULL ? "" : license->family;
}

static int open_scope(struct policy *policy, struct policy_model *model, struct error *err)
{
    const struct usage_scope_name name = {
        .product = model->facts->product, .model = model->facts->id, .family = family_of(model)};
    int result = usage_scope_add(policy->usage, &name, &model->scope, err);
    if (result != 0)
        return result;
    model->group = usage_group_find(policy->usage, USAGE_GROUP_MODEL, model->facts->id);
    if (name.product[0] != '\0')
        model->product = usage_group_find(policy->usage, USAGE_GROUP_PRODUCT, name.product);
    policy->all = usage_group_find(policy->usage, USAGE_GROUP_ORGANISATION, "");
    return 0;
}

/* Whole, then in the list: who walks it needs no lock. */
static void enter(struct policy *policy, struct policy_model *model)
{
    model->index = policy->model_count;
    *policy->models_end = model;
    policy->models_end = &model->next;
    policy->model_count = model->index + 1;
}

static int keep(struct policy *policy, struct policy_model *model, int64_t now_unix,
                struct error *err)
{
    bool refused = model->newest->assessment->verdict == VERDICT_BREACH;
    if (policy->models_max != 0 && policy->model_count >= policy->models_max)
        return error_set(err, ERROR_BUSY, "more than %u models", policy->models_max);
    int result = record_one(policy, model->newest, err);
    if (result == 0 && !refused)
        result = open_scope(policy, model, err);
    if (result == 0 && !refused)
        result = policy_enforce_add(policy, model, now_unix * 1000000, err);
    if (result == 0)
        enter(policy, model);
    return result;
}

/* Under models_lock. breaches: only those are kept. */
static int add(struct policy *policy, const struct policy_model_facts *facts, int64_t now_unix,
               bool breaches, struct policy_model **ret, struct error *err)
{
    struct weighed *weighed = NULL;
    struct policy_model *model = model_new(facts);
    if (model == NULL)
        return error_no_memory(err);
    int result = weigh(model, &policy->rules, policy->matcher, now_unix, &weighed, err);
    if (result != 0) {
        release_model(model);
        return result;
    }
    publish(model, weighed);
    bool refused = weighed->assessment->verdict == VERDICT_BREACH;
    bool kept = refused || !breaches;
    if (kept)
        result = keep(policy, model, now_unix, err);
    if (!kept || result != 0) {
        release_model(model);
        return result;
    }
    *ret = model;
    return refused ? evidence_refuse(weighed->assessment, err) : 0;
}

int policy_model_add(struct policy *policy, const struct policy_model_facts *facts,
                     int64_t now_unix, struct policy_model **ret, struct error *err)
{
    struct error local;
    (void)pthread_mutex_lock(&policy->models_lock);
    int result = add(policy, facts, now_unix, false, ret, err == NULL ? &local : err);
    (void)pthread_mutex_unlock(&policy->models_lock);
    return result;
}

int policy_model_screen(struct policy *policy, const struct policy_model_facts *facts,
                        int64_t now_unix, struct policy_model **ret, struct error *err)
{
    struct error local;
    (void)pthread_mutex_lock(&policy->models_lock);
    int result = add(policy, facts, now_unix, true, ret, err == NULL ? &local : err);
    (void)pthread_mutex_unlock(&policy->models_lock);
    return result;
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

static int record_pending(struct policy *policy, const struct policy_rules *rules, int64_t now_unix,
                          struct error *err)
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
        result = evidence_record_outside(policy->ledger, rules->declaration, now_unix, err);
    if (result == 0)
        return ledger_commit(policy->ledger, err);
    ledger_rollback(policy->ledger);
    return result;
}

static int record_all(struct policy *policy, const struct policy_rules *rules, int64_t now_unix,
                      struct error *err)
{
    (void)pthread_mutex_lock(&policy->ledger_lock);
    int result = record_pending(policy, rules, now_unix, err);
    (void)pthread_mutex_unlock(&policy->ledger_lock);
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

/* Users who were counted under the licence before go with the model: they are the model's. */
static void move_families(struct policy *policy)
{
    struct error err;
    for (struct policy_model *model = policy->models; model != NULL; model = model->next)
        if (model->scope != NULL && usage_scope_move(model->scope, family_of(model), &err) != 0) {
            (void)error_wrap(&err, "the licence family of '%s'", model->facts->id);
            usage_add_note(policy->usage, err.text);
        }
}

static int reassess(struct policy *policy, const struct policy_rules *rules, int64_t now_unix,
                    uint32_t *ret_changed, struct error *err)
{
    struct license_matcher *matcher = license_matcher_new(rules->catalogue, err);
    if (matcher == NULL)
        return err->code;
    int result = weigh_all(policy, rules, matcher, now_unix, err);
    if (result == 0)
        result = record_all(policy, rules, now_unix, err);
    uint32_t changed = settle(policy, result == 0);
    /* No verdict tells of users elsewhere, but every line does. */
    if (changed == 0 && !declaration_same_outside(policy->rules.declaration, rules->declaration))
        changed = policy->model_count;
    if (result == 0 && changed > 0) {
        license_matcher_free(policy->matcher);
        policy->matcher = matcher;
        policy->rules = *rules;
        atomic_store(&policy->declaration, rules->declaration);
        atomic_fetch_add(&policy->generation, 1);
    } else {
        license_matcher_free(matcher);
    }
    if (result == 0)
        *ret_changed = changed;
    if (result == 0)
        move_families(policy);
    return result;
}

int policy_reassess(struct policy *policy, const struct policy_rules *rules, int64_t now_unix,
                    uint32_t *ret_changed, struct error *err)
{
    assert(rules->catalogue != NULL);
    struct error local = {0};
    (void)pthread_mutex_lock(&policy->models_lock);
    int result = reassess(policy, rules, now_unix, ret_changed, err == NULL ? &local : err);
    (void)pthread_mutex_unlock(&policy->models_lock);
    return result;
}

/* -- Users -- */

/* The one place that makes hashes for counters. */
static void see(struct policy *policy, const struct policy_claims *claims,
                const struct policy_moment *moment, struct policy_id *id, struct usage_sight *ret)
{
    char own_id[REQUEST_ID_BYTES];
    const char *request_id = claims->request_id;
    bool names_request;
    policy_ids_see(policy->ids, claims, moment, id, ret, &names_request);
    if (names_request || (ret->class != IDENTITY_WEAK && ret->class != IDENTITY_NONE))
        return;
    if (request_id == NULL) {
        (void)snprintf(own_id, sizeof own_id, "%lld.%llu", (long long)moment->now_us,
                       (unsigned long long)atomic_fetch_add(&policy->unnamed, 1));
        request_id = own_id;
    }
    uint64_t hash = identity_request_hash(policy->requests_key, request_id);
    ret->request_hashes[0] = ret->request_hashes[1] = hash; /* nobody can be known by it */
}

void policy_admit(struct policy *policy, struct policy_model *model,
                  const struct policy_claims *claims, int64_t now_unix_us,
                  struct policy_decision *ret)
{
    struct usage_sight sight;
    struct policy_id id;
    assert(model->scope != NULL);
    const struct policy_moment moment = policy_moment(now_unix_us, policy->clock_skew_us);
    see(policy, claims, &moment, &id, &sight);
    ret->identity = sight.class;
    ret->sequence = 0;
    if (!policy_enforce_admit(policy, model, &sight, claims->worker, moment.days[0], ret))
        return; /* not served, and so not counted */
    ret->sequence = usage_count(model->scope, moment.days[0], &sight);
    if (moment.day_count == 2) {
        uint64_t beyond = usage_count_again(model->scope, moment.days[1], &sight);
        ret->sequence = beyond > ret->sequence ? beyond : ret->sequence;
    }
    policy_ids_seen(policy->ids, claims, &id, ret->sequence != 0);
    if (ret->sequence != 0 && policy->thread != NULL)
        policy_thread_poke(policy->thread);
}

static bool heard_past(const void *policy, int64_t unix_us)
{
    return policy_fleet_heard_past(policy, unix_us);
}

int policy_start(struct policy *policy, void (*on_durable)(void *argument), void *argument,
                 struct error *err)
{
    assert(policy->thread == NULL);
    const struct policy_months_config months = {.usage = policy->usage,
                                                .ledger = policy->ledger,
                                                .ledger_lock = &policy->ledger_lock,
                                                .heard_past = heard_past,
                                                .argument = policy};
    policy->months = policy_months_new(&months, clock_unix_us(), err);
    if (policy->months == NULL)
        return err == NULL ? ERROR_IO : err->code;
    const struct policy_thread_config config = {.usage = policy->usage,
                                                .on_durable = on_durable,
                                                .argument = argument,
                                                .turn = policy_turn,
                                                .turn_argument = policy};
    policy->thread = policy_thread_new(&config, err);
    if (policy->thread == NULL)
        return err == NULL ? ERROR_IO : err->code;
    return policy_fleet_start(policy->fleet, err);
}

void policy_stop(struct policy *policy)
{
    policy_fleet_stop(policy->fleet); /* first: what it joins is synced by what ends after it */
    policy_thread_free(policy->thread);
    policy->thread = NULL;
    if (policy->months != NULL)
        policy_months_stop(policy->months, clock_unix_us());
    policy_months_free(policy->months);
    policy->months = NULL;
}

bool policy_durable(const struct policy *policy, uint64_t sequence)
{
    return sequence <= usage_durable(policy->usage) || policy->thread == NULL ||
           policy_thread_failing(policy->thread);
}

void policy_take_notes(struct policy *policy, struct text *out)
{
    usage_take_notes(policy->usage, out);
}

void policy_usage(struct policy *policy, const struct policy_model *model, int64_t now_unix_us,
                  struct policy_usage *ret)
{
    assert(model->group != NULL);
    uint32_t today = calendar_day(now_unix_us), month = calendar_month(today);
    *ret = (struct policy_usage){.year = (int32_t)(month / 12),
                                 .month = (int32_t)(month % 12 + 1),
                                 .unsaved = usage_waiting(policy->usage),
                                 .left_out = usage_left_out(policy->usage),
                                 .known = true};
    for (uint32_t w = 0; w < USAGE_WINDOW_COUNT; w++) {
        bool rolls = w >= USAGE_WINDOW_ROLLING_28;
        const struct usage_question question = {.group = model->group,
                                                .window = (enum usage_window)w,
                                                .day = today,
                                                .age_s_max = rolls ? ROLLING_AGE_S_MAX : 0,
                                                .now_unix_us = now_unix_us};
        if (usage_ask(policy->usage, &question, &ret->windows[w], NULL) != 0)
            ret->known = false;
    }
}
