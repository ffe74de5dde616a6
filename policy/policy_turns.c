/* SPDX-License-Identifier: Apache-2.0 */
/* policy_turns.c -- what the policy thread does besides commits: pieces of several things that each
 * say when they want to go on. One piece a turn, of that which has been due for longest, so that a
 * commit waits for one piece at most. */
#include "policy/policy_enforce_inner.h"
#include "policy/policy_inner.h"
#include "policy/policy_months.h"
#include "policy/policy_tokens.h"

#include <stddef.h>

#define WAIT_US_MAX INT64_C(60000000) /* whatever they say: a clock may be set back */

static uint32_t turn_watch(struct policy *policy, int64_t now_us)
{
    return policy_watch_turn(policy, now_us);
}

static uint32_t turn_months(struct policy *policy, int64_t now_us)
{
    return policy_months_turn(policy->months, now_us);
}

static uint32_t (*const turns[POLICY_TURNS])(struct policy *policy, int64_t now_us) = {
    turn_watch, turn_months, policy_tokens_turn, policy_findings_turn, policy_enforce_turn};

static uint32_t most_due(const struct policy *policy)
{
    uint32_t first = 0;
    for (uint32_t i = 1; i < POLICY_TURNS; i++)
        if (policy->due_us[i] < policy->due_us[first])
            first = i;
    return first;
}

uint32_t policy_turn(void *argument, int64_t now_us)
{
    struct policy *policy = argument;
    for (uint32_t i = 0; i < POLICY_TURNS; i++)
        if (policy->due_us[i] > now_us + WAIT_US_MAX)
            policy->due_us[i] = now_us;
    uint32_t index = most_due(policy);
    if (policy->due_us[index] <= now_us) {
        int64_t wait_us = (int64_t)turns[index](policy, now_us) * 1000;
        policy->due_us[index] = now_us + (wait_us < WAIT_US_MAX ? wait_us : WAIT_US_MAX);
        index = most_due(policy);
    }
    int64_t wait_us = policy->due_us[index] - now_us;
    return wait_us <= 0 ? 0 : (uint32_t)(wait_us / 1000) + 1;
}
