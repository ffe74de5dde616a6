/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/policy_groups.h"

#include "policy/policy_inner.h"
#include "policy/users/calendar.h"

#define ROLLING_AGE_S_MAX 120u

static const struct {
    enum usage_group_kind kind;
    const char *name;
} kinds[] = {{USAGE_GROUP_ORGANISATION, "organisation"},
             {USAGE_GROUP_FAMILY, "family"},
             {USAGE_GROUP_PRODUCT, "product"},
             {USAGE_GROUP_MODEL, "model"}};

/* NULL: those who use no product that has a name are no product. */
static const char *name_of(const struct usage_group_name *named)
{
    switch (named->kind) {
    case USAGE_GROUP_MODEL:
        return named->model;
    case USAGE_GROUP_FAMILY:
        return named->family;
    case USAGE_GROUP_PRODUCT:
        return named->product[0] == '\0' ? NULL : named->product;
    case USAGE_GROUP_ORGANISATION:
        break;
    }
    return "";
}

static void ask(struct policy *policy, struct usage_group *of, uint32_t month, int64_t now_us,
                struct policy_group *group)
{
    uint32_t today = calendar_day(now_us);
    bool current = month == calendar_month(today);
    for (uint32_t w = 0; group->known && w < USAGE_WINDOW_COUNT; w++) {
        if (!current && w != USAGE_WINDOW_MONTH)
            continue;
        bool rolls = w >= USAGE_WINDOW_ROLLING_28;
        const struct usage_question question = {.group = of,
                                                .window = (enum usage_window)w,
                                                .day = current ? today : calendar_last_day(month),
                                                .age_s_max = rolls ? ROLLING_AGE_S_MAX : 0,
                                                .now_unix_us = now_us};
        if (usage_ask(policy->usage, &question, &group->windows[group->window_count], NULL) == 0)
            group->window_count++;
        else
            group->known = false;
    }
    if (!group->known)
        group->window_count = 0;
}

uint32_t policy_groups_each(struct policy *policy, uint32_t month, int64_t now_us,
                            void (*on_group)(void *argument, const struct policy_group *group),
                            void *argument)
{
    uint32_t count = 0;
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        struct usage_group *of = usage_group_next(policy->usage, NULL);
        for (; of != NULL; of = usage_group_next(policy->usage, of)) {
            struct usage_group_name named;
            usage_group_name(policy->usage, of, &named);
            const char *name = name_of(&named);
            if (named.kind != kinds[k].kind || name == NULL || ++count > POLICY_GROUPS_MAX)
                continue;
            struct policy_group group = {.kind = kinds[k].name, .name = name, .known = true};
            ask(policy, of, month, now_us, &group);
            on_group(argument, &group);
        }
    }
    return count;
}
