/* SPDX-License-Identifier: Apache-2.0 */
/* gate_threshold.c -- when a number changes the terms.
 *
 * A threshold is any of its limbs (100M users, or US$20M a month), and each limb asks for a figure
 * of its own: whose, of what period, in what currency. One figure never answers for another.
 *
 *     any limb over        crossed, whatever else is undeclared
 *     else any silent      review, naming the key and the figure wanted
 *     else                 watch, with the share of the line that is used up
 *
 * An old figure is silence, for it says nothing of today; but one that is over the line counts
 * unless the text asks for the preceding month alone: who crossed a line does not come back by
 * saying nothing more.
 *
 * At a release date the text asks once, about one month long past. That is the literal reading. A
 * cautious one watches the newest figure as well, for the next version will ask again, and the
 * publisher may hold that the line goes on. */
#include "policy/license/gate_inner.h"

#include "policy/license/month.h"

#include <string.h>

/* -- Figures -- */

struct figure {
    uint64_t value;
    int32_t month; /* its last; MONTH_NONE: nothing is declared */
};

/* The list of the declaration that a limb asks for. */
struct source {
    const char *key, *whose;
    const struct declared_users *users;     /* one of the two is NULL */
    const struct declared_revenue *revenue; /* likewise */
    uint32_t count;
    bool by_model;
};

static struct source source_of(const struct declaration *declaration,
                               const struct threshold_limb *limb, enum threshold_scope scope)
{
    bool product = scope == SCOPE_PRODUCT;
    struct source source = {.by_model = product,
                            .whose = product ? "of the product that uses the model"
                                             : "of everything the group offers"};
    if (limb->metric == METRIC_REVENUE) {
        source.key = product ? "operator.product_revenue" : "operator.revenue";
        source.revenue = product ? declaration->product_revenue : declaration->revenue;
        source.count = product ? declaration->product_revenue_count : declaration->revenue_count;
        if (!product)
            source.whose = "of the whole group";
    } else if (limb->metric == METRIC_DAU) {
        source.key = product ? "operator.product_dau" : "operator.organisation_dau";
        source.users = product ? declaration->product_dau : declaration->organisation_dau;
        source.count =
            product ? declaration->product_dau_count : declaration->organisation_dau_count;
    } else { /* who are unique users is what the figure counts anyway */
        source.key = product ? "operator.product_mau" : "operator.organisation_mau";
        source.users = product ? declaration->product_mau : declaration->organisation_mau;
        source.count =
            product ? declaration->product_mau_count : declaration->organisation_mau_count;
    }
    return source;
}

/* The newest that answers the limb and is of no later month than `latest`, and not before
 * `earliest`. Of one month, the model's own figure goes before that of every model. */
static struct figure figure_of(const struct gate *gate, const struct source *source,
                               const struct threshold_limb *limb, int32_t earliest, int32_t latest)
{
    struct figure found = {.month = MONTH_NONE};
    bool found_own = false;
    for (uint32_t i = 0; i < source->count; i++) {
        const struct declared_revenue *revenue = source->revenue ? &source->revenue[i] : NULL;
        const struct declared_users *users = source->users ? &source->users[i] : NULL;
        if (revenue != NULL &&
            (revenue->window != limb->window || revenue->currency != limb->currency))
            continue;
        const char *model =
            source->by_model ? gate_shown(users ? users->model : revenue->model) : "";
        bool own = model[0] != '\0';
        if (own && strcmp(model, gate_shown(gate->recognition->model)) != 0)
            continue;
        int32_t month = month_parse(users ? users->month : revenue->ended);
        if (month == MONTH_NONE || month < earliest || month > latest || month < found.month ||
            (month == found.month && found_own))
            continue;
        found.month = month;
        found.value = users ? users->users : revenue->value;
        found_own = own;
    }
    return found;
}

static bool is_over(const struct threshold_limb *limb, uint64_t value)
{
    return limb->comparator == COMPARATOR_AT_LEAST ? value >= limb->value : value > limb->value;
}

/* The oldest month whose figure still speaks of today. */
static int32_t fresh_from(const struct gate *gate, const struct license_condition *condition,
                          const struct threshold_limb *limb)
{
    bool yearly = limb->metric == METRIC_REVENUE &&
                  (limb->window == WINDOW_YEAR || limb->window == WINDOW_TRAILING_12_MONTHS);
    if (yearly)
        return gate->month - 12;
    return gate->month - (condition->test == TEST_PRECEDING_MONTH ? 1 : 2);
}

/* -- Their words -- */

static const char *amount(struct gate *gate, const struct threshold_limb *limb, uint64_t value)
{
    const char *number = gate_number(gate, value);
    if (limb->metric != METRIC_REVENUE)
        return number;
    return gate_say(gate, "%s%s", limb->currency == CURRENCY_CNY ? "CNY " : "US$", number);
}

static const char *unit(const struct threshold_limb *limb)
{
    if (limb->metric != METRIC_REVENUE)
        return " users";
    switch (limb->window) {
    case WINDOW_MONTH:
        return " a month";
    case WINDOW_DAY:
        return " a day";
    case WINDOW_YEAR:
        return " a year";
    case WINDOW_TRAILING_12_MONTHS:
        return " in 12 months on end";
    case WINDOW_ARR:
        return " of annual recurring revenue";
    }
    return "";
}

static const char *month_words(struct gate *gate, int32_t month)
{
    char text[MONTH_TEXT_BYTES];
    if (month < 0)
        return "any month"; /* the clock is not set: nothing is fresh */
    month_write(month, text);
    return gate_say(gate, "%s", text);
}

static const char *share(struct gate *gate, const struct threshold_limb *limb, uint64_t value)
{
    if (limb->value == 0)
        return "";
    double percent = 100.0 * (double)value / (double)limb->value;
    if (value > 0 && percent < 0.01)
        return ", under 0.01%";
    /* Cut, not rounded: what is under the line must not read as all of it. */
    uint64_t hundredths = (uint64_t)(percent * 100.0);
    return gate_say(gate, ", %llu.%02llu%%", (unsigned long long)(hundredths / 100),
                    (unsigned long long)(hundredths % 100));
}

/* "120,000 of 100,000,000 users, 0.12% (operator.product_mau, 2026-10)" */
static const char *figure_words(struct gate *gate, const struct source *source,
                                const struct threshold_limb *limb, struct figure figure)
{
    const char *place = gate_say(gate, "(%s, %s)", source->key, month_words(gate, figure.month));
    if (is_over(limb, figure.value))
        return gate_say(gate, "%s%s, %s %s %s", amount(gate, limb, figure.value), unit(limb),
                        limb->comparator == COMPARATOR_AT_LEAST ? "which reaches" : "more than",
                        amount(gate, limb, limb->value), place);
    return gate_say(gate, "%s of %s%s%s%s %s", amount(gate, limb, figure.value),
                    amount(gate, limb, limb->value), unit(limb), share(gate, limb, figure.value),
                    figure.value == limb->value ? ", and only more than that crosses it" : "",
                    place);
}

/* Why what is declared does not answer. */
static const char *unfit_words(struct gate *gate, const struct source *source,
                               const struct threshold_limb *limb, struct figure stale)
{
    if (stale.month != MONTH_NONE)
        return gate_say(gate, "; the newest declared is of %s", month_words(gate, stale.month));
    for (uint32_t i = 0; source->revenue != NULL && i < source->count; i++)
        if (source->revenue[i].window == limb->window &&
            source->revenue[i].currency != limb->currency)
            return gate_say(gate, "; a figure in %s does not answer it",
                            source->revenue[i].currency == CURRENCY_CNY ? "CNY" : "USD");
    return "";
}

/* Exactly which figure would answer. */
static const char *wanted_words(struct gate *gate, const struct source *source,
                                const struct threshold_limb *limb, int32_t from,
                                struct figure stale)
{
    const char *month = gate->month == MONTH_NONE ? "any month" : month_words(gate, from);
    const char *unfit = unfit_words(gate, source, limb, stale);
    if (limb->metric != METRIC_REVENUE)
        return gate_say(gate, "%s (%s users %s, month: %s or later%s)", source->key,
                        limb->metric == METRIC_DAU ? "daily" : "monthly", source->whose, month,
                        unfit);
    return gate_say(gate, "%s (revenue %s, period: %s, currency: %s, ended: %s or later%s)",
                    source->key, source->whose, threshold_window_name(limb->window),
                    limb->currency == CURRENCY_CNY ? "CNY" : "USD", month, unfit);
}

/* -- A line that goes on -- */

struct tally { /* what the limbs say, in words */
    const char *over, *under, *silent, *keys;
    bool counts_users;
};

static void add_silence(struct gate *gate, struct tally *tally, const char *key, const char *words)
{
    tally->silent = gate_also(gate, tally->silent, "; ", words);
    if (strstr(tally->keys, key) == NULL)
        tally->keys = gate_also(gate, tally->keys, " and ", key);
}

static void weigh_limb(struct gate *gate, const struct license_condition *condition,
                       const struct threshold_limb *limb, struct tally *tally)
{
    struct source source = source_of(gate->declaration, limb, condition->scope);
    struct figure figure = figure_of(gate, &source, limb, 0, gate->month);
    int32_t from = fresh_from(gate, condition, limb);
    bool declared = figure.month != MONTH_NONE, fresh = declared && figure.month >= from;
    bool counts_when_old = condition->test != TEST_PRECEDING_MONTH;
    if (declared && is_over(limb, figure.value) && (fresh || counts_when_old))
        tally->over = gate_also(gate, tally->over, "; ", figure_words(gate, &source, limb, figure));
    else if (fresh)
        tally->under =
            gate_also(gate, tally->under, "; ", figure_words(gate, &source, limb, figure));
    else
        add_silence(gate, tally, source.key, wanted_words(gate, &source, limb, from, figure));
    tally->counts_users |= limb->metric != METRIC_REVENUE;
}

/* What a reader must not conclude from weir's own count. */
static const char *bound_words(const struct license_condition *condition, bool counts_users)
{
    if (condition->scope == SCOPE_PRODUCT || !counts_users)
        return "";
    return " weir's own count is only a lower bound of the organisation's.";
}

static struct finding silence(struct gate *gate, const struct license_condition *condition,
                              const struct tally *tally)
{
    const char *under =
        tally->under[0] == '\0' ? "" : gate_say(gate, " Under the line: %s.", tally->under);
    struct finding finding =
        gate_found(VERDICT_REVIEW,
                   gate_say(gate, "not declared: %s.%s%s", tally->silent, under,
                            bound_words(condition, tally->counts_users)),
                   gate_say(gate, "Declare %s in weir.yaml, then check again.", tally->keys));
    finding.undeclared = true;
    return finding;
}

static struct finding weigh_running(struct gate *gate, const struct matter *matter)
{
    const struct license_condition *condition = matter->condition;
    struct tally tally = {.over = "", .under = "", .silent = "", .keys = ""};
    bool whose_use = condition->commercial_only && gate->declaration->commercial == UNDECLARED;
    for (uint32_t i = 0; i < condition->any_of_count; i++)
        weigh_limb(gate, condition, &condition->any_of[i], &tally);
    if (tally.over[0] != '\0' && whose_use)
        return gate_undeclared(
            gate, "operator.commercial",
            gate_say(gate, "Over the line: %s. It binds commercial use alone", tally.over));
    if (tally.over[0] != '\0')
        return gate_consequence(gate, matter,
                                gate_say(gate, "Over the line: %s.%s", tally.over,
                                         bound_words(condition, tally.counts_users)));
    if (tally.silent[0] != '\0' && whose_use)
        add_silence(gate, &tally, "operator.commercial",
                    "operator.commercial (it binds commercial use alone)");
    if (tally.silent[0] != '\0')
        return silence(gate, condition, &tally);
    return gate_found(VERDICT_WATCH,
                      gate_say(gate, "Under the line: %s.%s", tally.under,
                               bound_words(condition, tally.counts_users)),
                      "");
}

/* -- A month long past -- */

/* What `answers` says of the limb: UNDECLARED when nothing there settles it. An answer about
 * another line settles it where it must: not over a lower line is not over this one. */
static enum declared answered(const struct declaration *declaration,
                              const struct threshold_limb *limb, int32_t month)
{
    enum declared found = UNDECLARED;
    for (uint32_t i = 0; i < declaration->answer_count; i++) {
        const struct declared_answer *answer = &declaration->answers[i];
        if (answer->metric != limb->metric || month_parse(answer->month) != month)
            continue;
        if (answer->exceeded == DECLARED_YES && answer->above >= limb->value)
            return DECLARED_YES; /* of two that part, the stricter */
        if (answer->exceeded == DECLARED_NO && answer->above <= limb->value)
            found = DECLARED_NO;
    }
    return found;
}

static const char *question(struct gate *gate, const struct license_condition *condition,
                            const struct threshold_limb *limb, const char *verb)
{
    static const char *const users[] = {"monthly users", "daily users", "monthly unique users", ""};
    const char *line = amount(gate, limb, limb->value);
    return gate_say(gate, "%s %s %s%s%s in %s",
                    condition->entity == ENTITY_LICENSEE ? "the licensee" : "the group", verb, line,
                    limb->metric == METRIC_REVENUE ? unit(limb) : " ",
                    limb->metric == METRIC_REVENUE ? "" : users[limb->metric],
                    gate_shown(condition->test_month));
}

static void weigh_limb_then(struct gate *gate, const struct license_condition *condition,
                            const struct threshold_limb *limb, struct tally *tally)
{
    int32_t month = month_parse(condition->test_month);
    struct source source = source_of(gate->declaration, limb, condition->scope);
    struct figure figure = {.month = MONTH_NONE};
    enum declared answer = UNDECLARED;
    if (month != MONTH_NONE) {
        figure = figure_of(gate, &source, limb, month, month);
        answer = answered(gate->declaration, limb, month);
    }
    bool declared = figure.month != MONTH_NONE;
    if (declared && is_over(limb, figure.value))
        tally->over = gate_also(gate, tally->over, "; ", figure_words(gate, &source, limb, figure));
    else if (answer == DECLARED_YES)
        tally->over = gate_also(gate, tally->over, "; ",
                                gate_say(gate, "by your answer (operator.answers) %s",
                                         question(gate, condition, limb, "exceeded")));
    else if (declared)
        tally->under =
            gate_also(gate, tally->under, "; ", figure_words(gate, &source, limb, figure));
    else if (answer == DECLARED_NO)
        tally->under = gate_also(gate, tally->under, "; ",
                                 gate_say(gate, "by your answer (operator.answers) %s",
                                          question(gate, condition, limb, "did not exceed")));
    else
        add_silence(gate, tally, source.key,
                    gate_say(gate, "did %s? Say so in operator.answers, or give %s for %s",
                             question(gate, condition, limb, "exceed"), source.key,
                             gate_shown(condition->test_month)));
    tally->counts_users |= limb->metric != METRIC_REVENUE;
}

/* The newest figures as a line that goes on. Only months after the one that decided count: what was
 * before it was weighed by the text. */
static void weigh_limb_since(struct gate *gate, const struct license_condition *condition,
                             const struct threshold_limb *limb, struct tally *tally)
{
    struct source source = source_of(gate->declaration, limb, condition->scope);
    struct figure figure =
        figure_of(gate, &source, limb, month_parse(condition->test_month) + 1, gate->month);
    if (figure.month == MONTH_NONE) {
        tally->silent = gate_also(gate, tally->silent, "; ",
                                  gate_say(gate, "no current figure is declared (%s)", source.key));
        return;
    }
    const char *words = figure_words(gate, &source, limb, figure);
    if (is_over(limb, figure.value))
        tally->over = gate_also(gate, tally->over, "; ", words);
    else if (figure.month >= fresh_from(gate, condition, limb))
        tally->under = gate_also(gate, tally->under, "; ", words);
    else
        tally->silent =
            gate_also(gate, tally->silent, "; ",
                      gate_say(gate, "no current figure is declared, the newest: %s", words));
}

static struct finding weigh_since(struct gate *gate, const struct matter *matter,
                                  const struct tally *then)
{
    const struct license_condition *condition = matter->condition;
    struct tally since = {.over = "", .under = "", .silent = "", .keys = ""};
    for (uint32_t i = 0; i < condition->any_of_count; i++)
        weigh_limb_since(gate, condition, &condition->any_of[i], &since);
    const char *bound = bound_words(condition, then->counts_users);
    struct finding finding = {.literal = VERDICT_MET, .remedy = "", .text = ""};
    if (since.over[0] == '\0') {
        finding.conservative = VERDICT_WATCH;
        finding.reason = gate_say(
            gate, "On the letter this version is not touched: %s. As a line that goes on: %s.%s",
            then->under, gate_also(gate, since.under, "; ", since.silent), bound);
        return finding;
    }
    finding.conservative = VERDICT_REVIEW;
    finding.reason = gate_say(gate,
                              "On the letter this version is not touched: %s. But today you are "
                              "over the line: %s. The conservative reading asks you to seek the "
                              "licence.%s",
                              then->under, since.over, bound);
    finding.remedy = gate_say(gate,
                              "Ask %s for a licence of your own, or take advice and name it under "
                              "operator.acknowledge (condition: %s).",
                              gate_publisher(matter), matter->id);
    return finding;
}

static struct finding weigh_release(struct gate *gate, const struct matter *matter)
{
    const struct license_condition *condition = matter->condition;
    struct tally then = {.over = "", .under = "", .silent = "", .keys = ""};
    bool whose_use = condition->commercial_only && gate->declaration->commercial == UNDECLARED;
    for (uint32_t i = 0; i < condition->any_of_count; i++)
        weigh_limb_then(gate, condition, &condition->any_of[i], &then);
    if (then.over[0] != '\0' && whose_use)
        return gate_undeclared(gate, "operator.commercial",
                               gate_say(gate,
                                        "Over the line in the month that decides: %s. It "
                                        "binds commercial use alone",
                                        then.over));
    if (then.over[0] != '\0')
        return gate_consequence(
            gate, matter,
            gate_say(gate, "Over the line in the month that decides: %s.", then.over));
    if (then.silent[0] == '\0')
        return weigh_since(gate, matter, &then);
    struct finding finding = gate_found(
        VERDICT_REVIEW,
        gate_say(gate, "not declared: %s.%s", then.silent,
                 bound_words(condition, then.counts_users)),
        "Answer once under operator.answers in weir.yaml; that month does not change any more.");
    finding.undeclared = true;
    return finding;
}

struct finding gate_weigh_threshold(struct gate *gate, const struct matter *matter)
{
    const struct license_condition *condition = matter->condition;
    uint32_t declared = gate->declaration->business_types;
    uint32_t asked = condition->business & ~(uint32_t)BUSINESS_NONE;
    if (condition->any_of_count == 0)
        return gate_found(VERDICT_REVIEW, "The catalogue has no figure for this line.",
                          "Read the clause.");
    if (asked != 0 && declared == 0)
        return gate_undeclared(
            gate, "operator.business_types",
            gate_say(gate, "The line is only for those whose business is %s (or say none)",
                     gate_business_words(gate, asked)));
    if (asked != 0 && (declared & asked) == 0)
        return gate_found(VERDICT_MET,
                          gate_say(gate, "Your business is not %s (operator.business_types).",
                                   gate_business_words(gate, asked)),
                          "");
    if (condition->test == TEST_RELEASE_DATE)
        return weigh_release(gate, matter);
    return weigh_running(gate, matter);
}
