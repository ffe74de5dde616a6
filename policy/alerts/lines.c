/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/alerts/lines.h"

#include "policy/license/assessment.h"
#include "policy/license/month.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static bool counts_users(const struct threshold_limb *limb)
{
    return limb->metric != METRIC_REVENUE && limb->value > 0;
}

/* The newest figure up to this month; of one month, the model's own before that of every model. */
static double declared_for(const struct line_source *source, const struct line *line)
{
    const struct declaration *declaration = source->declaration;
    int32_t newest = MONTH_NONE;
    bool newest_own = false;
    double users = 0;
    if (declaration == NULL)
        return 0;
    bool all = line->scope == LINE_ORGANISATION;
    const struct declared_users *list =
        line->daily ? (all ? declaration->organisation_dau : declaration->product_dau)
                    : (all ? declaration->organisation_mau : declaration->product_mau);
    uint32_t count =
        line->daily ? (all ? declaration->organisation_dau_count : declaration->product_dau_count)
                    : (all ? declaration->organisation_mau_count : declaration->product_mau_count);
    for (uint32_t i = 0; i < count; i++) {
        bool own = list[i].model != NULL && list[i].model[0] != '\0';
        int32_t month = month_parse(list[i].month);
        if ((own && !all && strcmp(list[i].model, line->model) != 0) || month == MONTH_NONE ||
            month > source->month || month < newest || (month == newest && newest_own))
            continue;
        newest = month;
        newest_own = own;
        users = (double)list[i].users;
    }
    return users;
}

static bool is_product(const struct declared_users *entry, const char *product)
{
    return strcmp(entry->product == NULL ? "" : entry->product, product) == 0;
}

/* The newest of that product up to this month, "" for the organisation; NULL for none. */
static const struct declared_users *newest_outside(const struct line_source *source,
                                                   const char *product)
{
    const struct declaration *declaration = source->declaration;
    const struct declared_users *found = NULL;
    int32_t newest = MONTH_NONE;
    for (uint32_t i = 0; i < declaration->outside_mau_count; i++) {
        const struct declared_users *entry = &declaration->outside_mau[i];
        int32_t month = month_parse(entry->month);
        if (!is_product(entry, product) || month == MONTH_NONE || month > source->month ||
            month < newest)
            continue;
        newest = month;
        found = entry;
    }
    return found;
}

/* Where nobody spoke for the organisation: of products, whose users may be the same people. */
static void add_outside_products(const struct line_source *source, struct line *line)
{
    const struct declaration *declaration = source->declaration;
    for (uint32_t i = 0; i < declaration->outside_mau_count; i++) {
        const struct declared_users *entry = &declaration->outside_mau[i];
        if (newest_outside(source, entry->product == NULL ? "" : entry->product) != entry)
            continue;
        line->outside += (double)entry->users;
        line->outside_least = fmax(line->outside_least, (double)entry->users);
    }
}

static void add_outside(const struct line_source *source, struct line *line)
{
    if (source->declaration == NULL || line->daily || line->scope == LINE_MODEL)
        return;
    bool all = line->scope == LINE_ORGANISATION;
    const struct declared_users *entry = newest_outside(source, all ? "" : line->product);
    if (entry != NULL)
        line->outside = line->outside_least = (double)entry->users;
    else if (all)
        add_outside_products(source, line);
}

double line_upper(const struct line *line, double counted_high)
{
    return fmax(line->declared, counted_high + line->outside);
}

double line_lower(const struct line *line, double counted_low)
{
    return fmax(counted_low, line->outside_least);
}

/* The line of the same condition and kind among the last, to be lowered; NULL for none. */
static struct line *repeated(struct line *lines, uint32_t first, uint32_t count, bool daily)
{
    for (uint32_t i = first; i < count; i++)
        if (lines[i].daily == daily)
            return &lines[i];
    return NULL;
}

static uint32_t add_condition(const struct line_source *source,
                              const struct assessed_condition *assessed, struct line *lines,
                              uint32_t count, uint32_t capacity)
{
    const struct license_condition *condition = assessed->condition;
    uint32_t first = count;
    for (uint32_t i = 0; i < condition->any_of_count; i++) {
        const struct threshold_limb *limb = &condition->any_of[i];
        bool daily = limb->metric == METRIC_DAU;
        if (!counts_users(limb))
            continue;
        struct line *line = repeated(lines, first, count, daily);
        if (line != NULL && line->threshold <= (double)limb->value)
            continue;
        if (line == NULL && count == capacity)
            break;
        if (line == NULL)
            line = &lines[count++];
        bool beside = line != &lines[first];
        *line = (struct line){.model = source->assessment->model,
                              .license = assessed->license,
                              .condition = assessed->id,
                              .product = source->product,
                              .scope = condition->scope != SCOPE_PRODUCT ? LINE_ORGANISATION
                                       : source->product[0] == '\0'      ? LINE_MODEL
                                                                         : LINE_PRODUCT,
                              .daily = daily,
                              .beside = beside,
                              .threshold = (double)limb->value};
        line->declared = declared_for(source, line);
        add_outside(source, line);
    }
    return count;
}

uint32_t lines_of(const struct line_source *source, struct line *ret, uint32_t capacity)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < source->assessment->condition_count; i++) {
        const struct assessed_condition *assessed = &source->assessment->conditions[i];
        bool binds = assessed->literal != VERDICT_MET || assessed->conservative != VERDICT_MET;
        if (binds && assessed->condition != NULL)
            count = add_condition(source, assessed, ret, count, capacity);
    }
    return count;
}

const char *line_kind_name(enum line_scope scope)
{
    static const char *const names[] = {
        [LINE_MODEL] = "model", [LINE_PRODUCT] = "product", [LINE_ORGANISATION] = "organisation"};
    return names[scope];
}

const char *line_whose(const struct line *line)
{
    return line->scope == LINE_MODEL     ? line->model
           : line->scope == LINE_PRODUCT ? line->product
                                         : "";
}

static const char *whose(const struct line *line)
{
    return line->scope == LINE_ORGANISATION ? line_kind_name(line->scope) : line_whose(line);
}

void line_scope_name(const struct line *line, char ret[LINE_SCOPE_BYTES])
{
    (void)snprintf(ret, LINE_SCOPE_BYTES, "%s%s", whose(line),
                   line->beside && line->daily ? " a day"
                   : line->beside              ? " a month"
                                               : "");
}

void line_scope_key(const struct line *line, char ret[LINE_SCOPE_BYTES])
{
    static const char *const kinds[] = {
        [LINE_MODEL] = "model/", [LINE_PRODUCT] = "product/", [LINE_ORGANISATION] = ""};
    (void)snprintf(ret, LINE_SCOPE_BYTES, "%s%s", kinds[line->scope], whose(line));
}

bool line_same(const struct line *one, const struct line *other)
{
    if (one->scope != other->scope || one->daily != other->daily ||
        strcmp(one->condition, other->condition) != 0)
        return false;
    return one->scope == LINE_ORGANISATION ||
           (one->scope == LINE_MODEL ? strcmp(one->model, other->model) == 0
                                     : strcmp(one->product, other->product) == 0);
}
