/* SPDX-License-Identifier: Apache-2.0 */
/* policy_enforce.c -- at a threshold, for those who asked for more than an alert.
 *
 *     policy thread   figures --- rules ---> a state a model, published by one pointer
 *     a request       state:  stops?         -> refused, all of them
 *                             caps?          -> known, or a ticket, or refused
 *                             words?         -> passes, and the answer carries them
 *
 * Figures are weighed every few seconds, so a line may be passed by what comes in between; a cap
 * decides at each request. A state that was published may be read for as long as some request
 * likes, so none is freed before the policy; one that was there before is published again, so that
 * there are as many as there are different things to say.
 *
 * A user who is refused was not served, and is not counted. */
#include "policy/policy_enforce_inner.h"

#include "base/ring.h"
#include "policy/license/assessment.h"
#include "policy/license/month.h"
#include "policy/users/calendar.h"
#include "policy/users/cap.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_US   INT64_C(1000000)
#define DAY_SECONDS INT64_C(86400)
#define LINE_BYTES  1024u

int policy_enforce_open(struct policy *policy, const struct policy_config *config,
                        struct error *err)
{
    struct enforce *enforce = calloc(1, sizeof *enforce);
    if (enforce == NULL)
        return error_no_memory(err);
    enforce->view = config->enforce_on;
    enforce->cap_open = config->cap_open;
    (void)pthread_mutex_init(&enforce->lock, NULL); /* cannot fail with these attributes */
    policy->enforce = enforce;
    return 0;
}

void policy_enforce_close(struct policy *policy)
{
    if (policy->enforce == NULL)
        return;
    enforce_caps_free(policy->enforce);
    explicit_bzero(policy->enforce->keys, sizeof policy->enforce->keys);
    (void)pthread_mutex_destroy(&policy->enforce->lock);
    free(policy->enforce);
    policy->enforce = NULL;
}

void policy_enforced_free(struct enforced *enforced)
{
    if (enforced == NULL)
        return;
    while (enforced->states != NULL) {
        struct enforce_state *older = enforced->states->older;
        free(enforced->states);
        enforced->states = older;
    }
    free(enforced->plan);
    free(enforced);
}

/* -- Plans -- */

static void want(struct enforce_cap *cap, uint64_t limit)
{
    if (limit < cap->wanted)
        cap->wanted = limit;
}

static int plan_caps(struct policy *policy, const struct policy_model *model,
                     struct enforce_plan *plan, int64_t now_us, struct error *err)
{
    const struct enforced *enforced = model->enforced;
    int result = 0;
    if (enforced->mode != POLICY_ENFORCE_CAP)
        return 0;
    if (enforced->cap_users > 0) { /* a number of the operator's stands for the licence's */
        const struct enforce_wish wish = {
            .scope = LINE_MODEL, .name = model->facts->id, .users_max = enforced->cap_users};
        result = enforce_cap_find(policy, &wish, now_us, &plan->own_cap, err);
        if (result == 0)
            want(plan->own_cap, enforced->cap_users);
        return result;
    }
    for (uint32_t i = 0; i < plan->rule_count && result == 0; i++) {
        struct enforce_rule *rule = &plan->rules[i];
        if (rule->shows || rule->line.daily) /* who is of a day is not known by a month's filter */
            continue;
        const struct enforce_wish wish = {
            .scope = rule->line.scope,
            .name = rule->line.scope == LINE_PRODUCT ? model->facts->product : model->facts->id,
            .users_max = (uint64_t)rule->line.threshold};
        result = enforce_cap_find(policy, &wish, now_us, &rule->cap, err);
        if (result == 0)
            want(rule->cap, enforce_cap_limit(policy, rule->cap, &rule->line, rule->at_least));
    }
    return result;
}

static const char *what_of(const struct enforced *enforced, const struct enforce_rule *rule)
{
    return policy_enforce_name(rule->shows ? POLICY_ENFORCE_ATTRIBUTE : enforced->mode);
}

static struct enforce_event event_of(const struct policy_model *model,
                                     const struct enforce_rule *rule, int64_t now_us)
{
    return (struct enforce_event){.model = model,
                                  .condition = rule->condition,
                                  .what = what_of(model->enforced, rule),
                                  .users = (uint64_t)rule->line.threshold,
                                  .begins = true,
                                  .now_unix = now_us / SECOND_US};
}

/* What is due goes on being due, for the ledger as well. */
static void keep_since(struct policy *policy, const struct policy_model *model,
                       struct enforce_plan *plan, int64_t now_us)
{
    for (uint32_t i = 0; i < plan->rule_count; i++) {
        const struct enforce_event event = event_of(model, &plan->rules[i], now_us);
        plan->rules[i].since_unix = enforce_began(policy, &event);
    }
}

static int make_plan(struct policy *policy, struct policy_model *model, int64_t now_us,
                     struct error *err)
{
    const struct line_source source = {.assessment = policy_model_assessment(model),
                                       .declaration = atomic_load(&policy->declaration),
                                       .product = model->facts->product,
                                       .month = month_of_unix(now_us / SECOND_US)};
    uint64_t generation = atomic_load(&policy->generation);
    struct enforce_plan *plan = calloc(1, sizeof *plan);
    if (plan == NULL)
        return error_no_memory(err);
    plan->generation = generation;
    enforce_rules_of(&source, model->enforced->mode, plan);
    keep_since(policy, model, plan, now_us);
    int result = plan_caps(policy, model, plan, now_us, err);
    if (result != 0) {
        free(plan);
        return result;
    }
    free(model->enforced->plan);
    model->enforced->plan = plan;
    return 0;
}

/* Limits are the lowest that any plan asks for. */
static void take_limits(struct policy *policy)
{
    for (struct enforce_cap *cap = atomic_load(&policy->enforce->caps); cap != NULL;
         cap = cap->next)
        atomic_store(&cap->limit, cap->wanted);
}

static void replan(struct policy *policy, int64_t now_us)
{
    struct error err = {0};
    char line[LINE_BYTES];
    bool stale = false;
    uint64_t generation = atomic_load(&policy->generation);
    for (struct policy_model *model = policy->models; model != NULL; model = model->next)
        stale =
            stale || (model->enforced != NULL && model->enforced->plan->generation != generation);
    if (!stale)
        return;
    for (struct enforce_cap *cap = atomic_load(&policy->enforce->caps); cap != NULL;
         cap = cap->next)
        cap->wanted = UINT64_MAX;
    for (struct policy_model *model = policy->models; model != NULL; model = model->next) {
        if (model->enforced == NULL || make_plan(policy, model, now_us, &err) == 0)
            continue;
        (void)snprintf(line, sizeof line,
                       "model '%.200s': what is enforced stays as it was: %.600s", model->facts->id,
                       err.text);
        usage_add_note(policy->usage, line);
        model->enforced->plan->generation = generation;
    }
    take_limits(policy);
}

/* -- Figures -- */

/* A bound of a sketch, so many errors away that a fleet's looks of years do not miss it. */
static double widen(double users, double bound)
{
    return users + (bound - users) * SKETCH_Z_ENFORCE / SKETCH_Z_REPORT;
}

static double figure(const struct usage_figures *figures, enum policy_view view)
{
    if (view == POLICY_VIEW_LOWER)
        return widen(figures->lower.users, figures->lower.low);
    if (view == POLICY_VIEW_BEST)
        return figures->best.users;
    return widen(figures->upper.users, figures->upper.high);
}

/* What is declared of all users holds where it is more. Who never come here are added in full where
 * the question is how many there may be, else as far as they are surely others. */
static double with_declared(const struct line *line, enum policy_view view, double counted)
{
    return view == POLICY_VIEW_UPPER ? line_upper(line, counted)
                                     : fmax(line->declared, line_lower(line, counted));
}

/* False: it cannot be told just now. The upper view looks at 31 days too, as alerts do. */
static bool weigh(struct policy *policy, const struct line *line, enum policy_view view,
                  int64_t now_us, double *ret)
{
    static const enum usage_window monthly[] = {USAGE_WINDOW_MONTH, USAGE_WINDOW_ROLLING_31};
    static const enum usage_window daily[] = {USAGE_WINDOW_DAY};
    struct usage_question question = {.group =
                                          policy_group_of(policy, line->scope, line_whose(line)),
                                      .day = calendar_day(now_us),
                                      .now_unix_us = now_us};
    uint32_t count = view == POLICY_VIEW_UPPER && !line->daily ? 2 : 1;
    double most = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct usage_figures figures;
        question.window = line->daily ? daily[i] : monthly[i];
        if (question.group == NULL || usage_ask(policy->usage, &question, &figures, NULL) != 0)
            return false;
        most = fmax(most, figure(&figures, view));
    }
    *ret = with_declared(line, view, most);
    return true;
}

static void set_due(struct policy *policy, const struct policy_model *model,
                    struct enforce_rule *rule, bool due, int64_t now_us)
{
    struct enforce_event event = event_of(model, rule, now_us);
    if (due == rule->due)
        return;
    rule->due = due;
    event.begins = due;
    if (due && rule->since_unix == 0)
        rule->since_unix = event.now_unix;
    enforce_tell(policy, &event);
    if (!due)
        rule->since_unix = 0;
}

static void weigh_rules(struct policy *policy, struct policy_model *model, int64_t now_us)
{
    struct enforce_plan *plan = model->enforced->plan;
    bool stops = model->enforced->mode == POLICY_ENFORCE_REFUSE;
    for (uint32_t i = 0; i < plan->rule_count; i++) {
        struct enforce_rule *rule = &plan->rules[i];
        double users = 0;
        enum policy_view view = rule->shows ? POLICY_VIEW_UPPER : policy->enforce->view;
        if ((rule->shows || stops) && weigh(policy, &rule->line, view, now_us, &users))
            set_due(policy, model, rule,
                    rule->at_least ? users >= rule->line.threshold : users > rule->line.threshold,
                    now_us);
    }
}

/* -- States -- */

static struct policy_refusal refusal_of(const struct enforce_rule *rule, uint64_t users)
{
    return (struct policy_refusal){.license = rule->condition->license,
                                   .condition = rule->condition->id,
                                   .clause = rule->condition->clause,
                                   .users = users,
                                   .since_unix = rule->since_unix};
}

static bool holds(const struct enforce_cap *cap, const struct policy_model *model)
{
    return cap->scope == LINE_ORGANISATION ||
           strcmp(cap->name, cap->scope == LINE_MODEL ? model->facts->id : model->facts->product) ==
               0;
}

static void bind(const struct policy_model *model, struct enforce_cap *cap,
                 struct enforce_state *state)
{
    const struct enforce_plan *plan = model->enforced->plan;
    struct enforce_bound *bound = &state->caps[state->cap_count++];
    uint64_t limit = atomic_load(&cap->limit);
    *bound = (struct enforce_bound){.cap = cap};
    if (limit == UINT64_MAX)
        return;
    if (plan->own_cap == cap) {
        bound->binds = true;
        bound->refusal =
            (struct policy_refusal){.license = "", .condition = "", .clause = "", .users = limit};
        for (uint32_t i = 0; i < plan->rule_count; i++)
            if (!plan->rules[i].shows) { /* that which the number is kept for */
                bound->refusal = refusal_of(&plan->rules[i], limit);
                break;
            }
    }
    for (uint32_t i = 0; i < plan->rule_count && !bound->binds; i++)
        if (plan->rules[i].cap == cap) {
            bound->binds = true;
            bound->refusal = refusal_of(&plan->rules[i], limit);
        }
    bound->refusal.capped = true;
    bound->refusal.since_unix = 0; /* the cap's own, when somebody is refused */
}

static void fill(const struct policy *policy, const struct policy_model *model,
                 struct enforce_state *ret)
{
    const struct enforced *enforced = model->enforced;
    const struct enforce_plan *plan = enforced->plan;
    for (uint32_t i = 0; i < plan->rule_count && !ret->stops; i++)
        if (!plan->rules[i].shows && plan->rules[i].due) {
            ret->stops = true;
            ret->stop = refusal_of(&plan->rules[i], (uint64_t)plan->rules[i].line.threshold);
        }
    for (struct enforce_cap *cap = atomic_load(&policy->enforce->caps); cap != NULL;
         cap = cap->next)
        if (holds(cap, model)) {
            assert(ret->cap_count < POLICY_CAPS_MAX); /* one a scope, and there are three */
            bind(model, cap, ret);
        }
    if (enforced->mode != POLICY_ENFORCE_ALERT)
        enforce_words(policy_model_assessment(model), plan, ret->attribution);
}

static bool same_refusal(const struct policy_refusal *one, const struct policy_refusal *other)
{
    return one->license == other->license && one->condition == other->condition &&
           one->clause == other->clause && one->users == other->users &&
           one->since_unix == other->since_unix;
}

static bool same_state(const struct enforce_state *one, const struct enforce_state *other)
{
    if (one->stops != other->stops || one->cap_count != other->cap_count ||
        !same_refusal(&one->stop, &other->stop) ||
        strcmp(one->attribution, other->attribution) != 0)
        return false;
    for (uint32_t i = 0; i < one->cap_count; i++)
        if (one->caps[i].cap != other->caps[i].cap || one->caps[i].binds != other->caps[i].binds ||
            !same_refusal(&one->caps[i].refusal, &other->caps[i].refusal))
            return false;
    return true;
}

static int publish(const struct policy *policy, struct policy_model *model, struct error *err)
{
    struct enforced *enforced = model->enforced;
    struct enforce_state *made = calloc(1, sizeof *made), *state = enforced->states;
    if (made == NULL)
        return error_no_memory(err);
    fill(policy, model, made);
    while (state != NULL && !same_state(state, made))
        state = state->older;
    if (state != NULL) {
        free(made);
    } else {
        made->older = enforced->states;
        enforced->states = state = made;
    }
    bool silent = enforced->mode == POLICY_ENFORCE_ALERT && state->cap_count == 0;
    atomic_store_explicit(&enforced->state, silent ? NULL : state, memory_order_release);
    return 0;
}

/* -- The policy thread -- */

/* The first model that a cap binds tells of it. */
static void tell_full(struct policy *policy, struct enforce_cap *cap, int64_t now_unix)
{
    for (struct policy_model *model = policy->models; model != NULL; model = model->next) {
        const struct enforce_plan *plan = model->enforced == NULL ? NULL : model->enforced->plan;
        if (plan == NULL)
            continue;
        const struct assessed_condition *condition = NULL;
        bool binds = plan->own_cap == cap;
        for (uint32_t i = 0; i < plan->rule_count && !binds; i++)
            if (plan->rules[i].cap == cap) {
                binds = true;
                condition = plan->rules[i].condition;
            }
        if (!binds)
            continue;
        const struct enforce_event event = {.model = model,
                                            .condition = condition,
                                            .what = "cap",
                                            .users = atomic_load(&cap->limit),
                                            .begins = true,
                                            .now_unix = now_unix};
        int64_t began = enforce_began(policy, &event);
        atomic_store(&cap->full_since_unix, began != 0 ? began : now_unix);
        if (began == 0)
            enforce_tell(policy, &event);
        return;
    }
}

static void watch_caps(struct policy *policy, int64_t now_us)
{
    for (struct enforce_cap *cap = atomic_load(&policy->enforce->caps); cap != NULL;
         cap = cap->next)
        if (atomic_load(&cap->full_since_unix) == 0 && user_cap_month(cap->users) != 0 &&
            atomic_load(&cap->counted_month) == user_cap_month(cap->users) &&
            user_cap_tickets(cap->users) == 0 &&
            (policy->fleet == NULL || atomic_load(&cap->counted) >= atomic_load(&cap->limit)))
            tell_full(policy, cap, now_us / SECOND_US);
}

static void weigh_all(struct policy *policy, int64_t now_us)
{
    replan(policy, now_us);
    for (struct policy_model *model = policy->models; model != NULL; model = model->next) {
        if (model->enforced == NULL)
            continue;
        weigh_rules(policy, model, now_us);
        (void)publish(policy, model, NULL); /* no memory: what was told goes on */
    }
}

static uint32_t turn(struct policy *policy, int64_t now_us)
{
    struct enforce *enforce = policy->enforce;
    if (!enforce->any)
        return ENFORCE_EVERY_MS;
    bool due = now_us >= enforce->next_us ||
               enforce->next_us - now_us > (int64_t)ENFORCE_EVERY_MS * 1000; /* set back */
    if (due) {
        weigh_all(policy, now_us);
        enforce->next_us = now_us + (int64_t)ENFORCE_EVERY_MS * 1000;
    }
    enforce_caps_turn(policy, now_us, due);
    watch_caps(policy, now_us);
    return ENFORCE_MONTH_MS;
}

uint32_t policy_enforce_turn(struct policy *policy, int64_t now_us)
{
    (void)pthread_mutex_lock(&policy->enforce->lock);
    uint32_t wait_ms = turn(policy, now_us);
    (void)pthread_mutex_unlock(&policy->enforce->lock);
    return wait_ms;
}

static int add(struct policy *policy, struct policy_model *model, int64_t now_us, struct error *err)
{
    /* Not calloc(): its counts have cache lines of their own. */
    model->enforced = aligned_alloc(_Alignof(struct enforced), sizeof *model->enforced);
    if (model->enforced == NULL)
        return error_no_memory(err);
    memset(model->enforced, 0, sizeof *model->enforced);
    model->enforced->mode = model->facts->enforce;
    model->enforced->cap_users = model->facts->cap_users;
    if (model->enforced->mode != POLICY_ENFORCE_ALERT)
        policy->enforce->any = true;
    int result = make_plan(policy, model, now_us, err);
    if (result != 0)
        return error_wrap(err, "enforce");
    take_limits(policy);
    enforce_caps_turn(policy, now_us, true);
    weigh_rules(policy, model, now_us);
    policy->enforce->next_us = 0; /* models before it have to know its cap */
    return publish(policy, model, err);
}

int policy_enforce_add(struct policy *policy, struct policy_model *model, int64_t now_us,
                       struct error *err)
{
    (void)pthread_mutex_lock(&policy->enforce->lock);
    int result = add(policy, model, now_us, err);
    (void)pthread_mutex_unlock(&policy->enforce->lock);
    return result;
}

/* -- A request -- */

static void count(struct enforced *enforced, uint32_t worker, enum policy_outcome outcome)
{
    (void)atomic_fetch_add_explicit(&enforced->stripes[worker % ENFORCE_STRIPES].outcomes[outcome],
                                    1, memory_order_relaxed);
}

static void refuse(const struct policy_model *model, const struct policy_refusal *refusal,
                   struct policy_decision *ret)
{
    ret->verdict = POLICY_REFUSE;
    ret->attribution = "";
    ret->refusal = *refusal;
    enforce_reason(model->facts->id, ret);
}

static void refuse_new(const struct policy_model *model, const struct enforce_bound *bound,
                       uint32_t day, struct policy_decision *ret)
{
    struct policy_refusal refusal = bound->refusal;
    int64_t since = atomic_load_explicit(&bound->cap->full_since_unix, memory_order_relaxed);
    refusal.since_unix = since != 0 ? since : (int64_t)day * DAY_SECONDS;
    refusal.until_unix = (calendar_last_day(calendar_month(day)) + 1) * DAY_SECONDS;
    refuse(model, &refusal, ret);
}

/* Whoever names nobody cannot be known: such requests pass as long as new users do. */
static bool has_room(const struct enforce_cap *cap)
{
    return user_cap_tickets(cap->users) > 0;
}

/* Who came in is told to other replicas; a full queue is emptied within the second. */
static void tell_news(const struct enforce_cap *cap, uint64_t hash)
{
    if (cap->news != NULL)
        (void)ring_push(cap->news, (void *)(uintptr_t)hash); /* not told: known here alone */
}

/* NULL: let in; else the cap that does not. No ticket is taken while another cap would refuse. */
static const struct enforce_bound *pass_caps(const struct policy *policy,
                                             const struct enforce_state *state,
                                             const struct usage_sight *sight, uint32_t day)
{
    bool named = sight->class != IDENTITY_NONE;
    uint32_t month = calendar_month(day);
    uint64_t user = sight->hashes[month / 12 % YEARS_MAX]; /* of the month's own year */
    uint64_t hash = named ? enforce_cap_hash(policy->enforce, month, user) : 0;
    for (uint32_t i = 0; i < state->cap_count; i++) {
        const struct enforce_bound *bound = &state->caps[i];
        if (bound->binds &&
            (named ? state->cap_count > 1 && user_cap_would_refuse(bound->cap->users, hash)
                   : !has_room(bound->cap)))
            return bound;
    }
    for (uint32_t i = 0; i < state->cap_count && named; i++) {
        const struct enforce_bound *bound = &state->caps[i];
        enum user_cap_answer answer = USER_CAP_KNOWN;
        if (bound->binds)
            answer = user_cap_admit(bound->cap->users, hash);
        else if (user_cap_learn(bound->cap->users, hash))
            answer = USER_CAP_OPEN;
        if (answer == USER_CAP_REFUSED)
            return bound;
        if (answer != USER_CAP_KNOWN)
            tell_news(bound->cap, hash);
    }
    return NULL;
}

bool policy_enforce_admit(struct policy *policy, struct policy_model *model,
                          const struct usage_sight *sight, uint32_t worker, uint32_t day,
                          struct policy_decision *ret)
{
    struct enforced *enforced = model->enforced;
    const struct enforce_state *state =
        atomic_load_explicit(&enforced->state, memory_order_acquire);
    ret->verdict = POLICY_GO;
    ret->attribution = "";
    if (state == NULL)
        return true;
    if (state->stops) {
        count(enforced, worker, POLICY_OUTCOME_REFUSED);
        refuse(model, &state->stop, ret);
        return false;
    }
    const struct enforce_bound *bound =
        state->cap_count == 0 ? NULL : pass_caps(policy, state, sight, day);
    if (bound != NULL) {
        count(enforced, worker, POLICY_OUTCOME_CAPPED);
        refuse_new(model, bound, day, ret);
        return false;
    }
    if (state->attribution[0] != '\0') {
        ret->verdict = POLICY_GO_WITH_ATTRIBUTION;
        ret->attribution = state->attribution;
    }
    count(enforced, worker,
          ret->verdict == POLICY_GO ? POLICY_OUTCOME_PASSED : POLICY_OUTCOME_ATTRIBUTED);
    return true;
}

/* -- What others are told -- */

const char *policy_attribution(const struct policy_model *model)
{
    const struct enforce_state *state =
        model->enforced == NULL
            ? NULL
            : atomic_load_explicit(&model->enforced->state, memory_order_acquire);
    return state == NULL ? "" : state->attribution;
}

void policy_enforcement(const struct policy_model *model, struct policy_enforcement *ret)
{
    struct enforced *enforced = model->enforced;
    *ret = (struct policy_enforcement){.mode = POLICY_ENFORCE_ALERT};
    if (enforced == NULL)
        return;
    ret->mode = enforced->mode;
    for (uint32_t s = 0; s < ENFORCE_STRIPES; s++)
        for (uint32_t o = 0; o < POLICY_OUTCOME_COUNT; o++)
            ret->outcomes[o] +=
                atomic_load_explicit(&enforced->stripes[s].outcomes[o], memory_order_relaxed);
    const struct enforce_state *state =
        atomic_load_explicit(&enforced->state, memory_order_acquire);
    for (uint32_t i = 0; state != NULL && i < state->cap_count; i++) {
        const struct enforce_cap *cap = state->caps[i].cap;
        if (state->caps[i].binds)
            ret->caps[ret->cap_count++] =
                (struct policy_cap){.scope = line_kind_name(cap->scope),
                                    .limit = atomic_load(&cap->limit),
                                    .counted = atomic_load(&cap->counted),
                                    .tickets = user_cap_tickets(cap->users),
                                    .bytes = user_cap_bytes(cap->users)};
    }
}
