/* SPDX-License-Identifier: Apache-2.0 */
/* alert.c -- each rule is a switch with a streak on either side.
 *
 *                ALERT_FIRE_AFTER in a row ask for it
 *        quiet ----------------------------------------> firing
 *              <----------------------------------------
 *                ALERT_CLEAR_AFTER in a row are well away
 *
 * Waiting for a row of evaluations keeps a day's noise quiet, and would tell of a level days after
 * it was crossed. So what is weighed is where the figure will be when the row is full: the upper
 * bound, grown by the forecast's high edge, against a level; the early edge, less those days,
 * against a lead time. How far a level looks ahead has a limit, for the first days of counting
 * grow without one.
 *
 * An id covers the condition, scope, rule and direction, the month of firing and the number of
 * firings. The number alone would do for one replica; one that lost its state and began at 1 again
 * would say something that receivers have heard, and they would drop it. */
#include "policy/alerts/alert.h"

#include <assert.h>
#include <math.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define AHEAD_DAYS      ALERT_FIRE_AFTER /* one beyond the evaluations, for the day between them */
#define AHEAD_MOST      0.1              /* of ln(users) that a level may look ahead by growth */
#define AHEAD_SHOCK     0.005            /* what users may do in those days beside it */
#define CLEAR_SHARE     0.97             /* of a level */
#define CLEAR_LEAD      1.25             /* times a lead time */
#define HASHED_TEXT_MAX 256u

const uint32_t alert_level_percents[ALERT_LEVELS] = {50, 75, 90, 95, 100};
const uint32_t alert_lead_days[ALERT_LEADS] = {90, 30, 7};

static const char *const rule_names[ALERT_RULES] = {"level-50",  "level-75", "level-90", "level-95",
                                                    "level-100", "lead-90",  "lead-30",  "lead-7"};

const char *alert_rule_name(uint32_t rule)
{
    assert(rule < ALERT_RULES);
    return rule_names[rule];
}

uint32_t alert_rule_find(const char *name)
{
    uint32_t rule = 0;
    while (rule < ALERT_RULES && strcmp(name, rule_names[rule]) != 0)
        rule++;
    return rule;
}

/* -- What a rule asks for -- */

enum wish { WISH_NONE, WISH_FIRE, WISH_CLEAR };

static enum wish level_wish(uint32_t percent, const struct alert_scope *scope,
                            const struct alert_figures *figures)
{
    double growth = figures->forecast != NULL ? figures->forecast->growth_high : 0;
    double ahead = growth > 0 ? fmin(growth * AHEAD_DAYS, AHEAD_MOST) : 0;
    double level = scope->threshold * percent / 100;
    double reached = figures->upper * exp(ahead + AHEAD_SHOCK);
    return reached >= level ? WISH_FIRE : reached < CLEAR_SHARE * level ? WISH_CLEAR : WISH_NONE;
}

static bool has_date(const struct forecast *forecast)
{
    return forecast != NULL && forecast->outcome != FORECAST_TOO_SHORT;
}

static enum wish lead_wish(uint32_t days, const struct forecast *forecast)
{
    if (!has_date(forecast))
        return WISH_NONE;
    double lead = days + ALERT_FIRE_AFTER - 1;
    return forecast->days_early <= lead               ? WISH_FIRE
           : forecast->days_early > CLEAR_LEAD * lead ? WISH_CLEAR
                                                      : WISH_NONE;
}

static enum wish rule_wish(uint32_t rule, const struct alert_scope *scope,
                           const struct alert_figures *figures)
{
    return rule < ALERT_LEVELS ? level_wish(alert_level_percents[rule], scope, figures)
                               : lead_wish(alert_lead_days[rule - ALERT_LEVELS], figures->forecast);
}

/* Whether the rule changes now. */
static bool advance(struct alert_rule_state *state, enum wish wish, uint32_t day)
{
    if (wish != (state->firing ? WISH_CLEAR : WISH_FIRE)) {
        state->streak = 0;
        return false;
    }
    state->streak++;
    if (state->streak < (state->firing ? ALERT_CLEAR_AFTER : ALERT_FIRE_AFTER))
        return false;
    state->streak = 0;
    state->firing = !state->firing;
    if (state->firing) {
        state->period++;
        state->fired_day = day;
    }
    return true;
}

/* -- Its name -- */

static uint32_t month_of(uint32_t day)
{
    struct tm date = {0};
    time_t second = (time_t)day * 86400;
    (void)gmtime_r(&second, &date);
    return (uint32_t)(date.tm_year + 1900) * 12 + (uint32_t)date.tm_mon;
}

static int name_event(const struct alert_scope *scope, const struct alert_rule_state *state,
                      struct alert_event *event, struct error *err)
{
    const char *const parts[] = {"weir alert 1", scope->condition, scope->scope,
                                 alert_rule_name(event->rule), event->fires ? "fires" : "clears"};
    uint8_t digest[EVP_MAX_MD_SIZE];
    char period[HASHED_TEXT_MAX];
    int count = snprintf(period, sizeof period, "%u/%u", month_of(state->fired_day), state->period);
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    bool sound = hash != NULL && EVP_DigestInit_ex(hash, EVP_sha256(), NULL) == 1;
    /* With their NULs, so that no two lists of strings are the same bytes. */
    for (uint32_t i = 0; sound && i < sizeof parts / sizeof *parts; i++)
        sound = EVP_DigestUpdate(hash, parts[i], strlen(parts[i]) + 1) == 1;
    sound = sound && EVP_DigestUpdate(hash, period, (size_t)count) == 1 &&
            EVP_DigestFinal_ex(hash, digest, NULL) == 1;
    EVP_MD_CTX_free(hash);
    if (!sound)
        return error_no_memory(err);
    for (uint32_t i = 0; i < (ALERT_ID_BYTES - 1) / 2; i++)
        (void)snprintf(event->id + 2 * (size_t)i, 3, "%02x", digest[i]);
    return 0;
}

int alert_evaluate(struct alert_watch *watch, const struct alert_scope *scope,
                   const struct alert_figures *figures, struct alert_event *ret, struct error *err)
{
    struct alert_watch next = *watch;
    struct alert_event events[ALERT_RULES];
    int count = 0;
    assert(scope->threshold > 0);
    assert(figures->day > 0);
    if (!isfinite(figures->upper) || figures->upper < 0)
        return error_set(err, ERROR_INVALID, "%s, %s: %f users is no figure", scope->condition,
                         scope->scope, figures->upper);
    if (figures->day <= watch->last_day)
        return 0;
    next.last_day = figures->day;
    for (uint32_t rule = 0; rule < ALERT_RULES; rule++) {
        struct alert_rule_state *state = &next.rules[rule];
        if (!advance(state, rule_wish(rule, scope, figures), figures->day))
            continue;
        events[count] = (struct alert_event){
            .rule = rule,
            .fires = state->firing,
            .upper = figures->upper,
            .threshold = scope->threshold,
            .days_early = has_date(figures->forecast) ? figures->forecast->days_early : NAN,
            .day = figures->day};
        int result = name_event(scope, state, &events[count++], err);
        if (result != 0)
            return result;
    }
    *watch = next;
    memcpy(ret, events, (size_t)count * sizeof *events);
    return count;
}
