/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/api/limiting.h"

#include <assert.h>
#include <stdio.h>

#define MS_US     UINT64_C(1000)
#define SECOND_US UINT64_C(1000000)

struct tenant_rates limiting_rates(const struct call *call)
{
    return config_tenant_rates(call->live->config, call->identity.rules);
}

/* Whether there is anything to ask. */
static bool question_of(const struct call *call, struct tenant_question *ret)
{
    *ret = (struct tenant_question){
        .tenant = call->identity.tenant_id,
        .rates = limiting_rates(call),
        .now_us = call->now_us,
    };
    return tenant_rates_any(&ret->rates);
}

void limiting_look(struct call *call)
{
    struct tenant_question question;
    if (question_of(call, &question))
        tenant_limits_look(call->api->server->tenant_limits, &question, &call->limits);
}

static int refuse_rate(const struct call *call, enum tenant_limit found, uint64_t wait_us,
                       struct fault *fault)
{
    bool requests = found == TENANT_REQUESTS;
    uint32_t wait_s = (uint32_t)((wait_us + SECOND_US - 1) / SECOND_US);
    char wait[LIMITING_VALUE_BYTES];
    limiting_write_duration(wait_us, wait);
    (void)fault_code(fault, 429, "rate_limit_exceeded",
                     "The limit of %u %s a minute is reached; try again in %s",
                     requests ? call->limits.rates.requests : call->limits.rates.tokens,
                     requests ? "requests" : "tokens", wait);
    fault->retry_after_s = wait_s > 0 ? wait_s : 1;
    fault->limited = requests ? LIMITED_REQUESTS : LIMITED_TOKENS;
    return -1;
}

static int refuse(const struct call *call, enum tenant_limit found, uint64_t wait_us,
                  struct fault *fault)
{
    switch (found) {
    case TENANT_MAY:
        return 0;
    case TENANT_REQUESTS:
    case TENANT_TOKENS:
        return refuse_rate(call, found, wait_us, fault);
    case TENANT_CONCURRENT:
        (void)fault_code(fault, 429, "concurrency_limit_exceeded",
                         "%u requests run or wait already, which is the limit; try again when one "
                         "has ended",
                         call->limits.rates.concurrent);
        fault->limited = LIMITED_CONCURRENT;
        break;
    default:
        assert(found == TENANT_UNKNOWN);
        (void)fault_code(fault, 503, "too_many_tenants",
                         "%u tenants ask at once, more than this server tells apart; try again",
                         TENANT_SLOTS);
        fault->limited = LIMITED_TENANTS;
        break;
    }
    fault->retry_after_s = 1;
    return -1;
}

int limiting_ask(struct call *call, struct fault *fault)
{
    struct tenant_question question;
    uint64_t wait_us;
    if (!question_of(call, &question))
        return 0;
    enum tenant_limit found =
        tenant_limits_ask(call->api->server->tenant_limits, &question, &call->limits, &wait_us);
    return refuse(call, found, wait_us, fault);
}

int limiting_enter(struct call *call, uint64_t tokens, struct tenant_lease *lease,
                   struct fault *fault)
{
    struct tenant_question question;
    uint64_t wait_us;
    if (!question_of(call, &question))
        return 0;
    enum tenant_limit found = tenant_limits_enter(call->api->server->tenant_limits, &question,
                                                  tokens, lease, &call->limits, &wait_us);
    if (found != TENANT_TOKENS_NEVER)
        return refuse(call, found, wait_us, fault);
    (void)fault_code(fault, 400, "rate_limit_too_small",
                     "The request may use %llu tokens (its prompt, and max_tokens for each "
                     "answer), and %u a minute are the limit: no wait would help. Shorten the "
                     "prompt or lower max_tokens",
                     (unsigned long long)tokens, question.rates.tokens);
    fault->limited = LIMITED_TOKENS;
    return -1;
}

void limiting_write_number(uint32_t number, char ret[LIMITING_VALUE_BYTES])
{
    (void)snprintf(ret, LIMITING_VALUE_BYTES, "%u", number);
}

void limiting_write_duration(uint64_t us, char ret[LIMITING_VALUE_BYTES])
{
    uint64_t ms = (us + MS_US - 1) / MS_US, s = (us + SECOND_US - 1) / SECOND_US;
    if (us > 0 && ms < 1000)
        (void)snprintf(ret, LIMITING_VALUE_BYTES, "%llums", (unsigned long long)ms);
    else if (s < 60)
        (void)snprintf(ret, LIMITING_VALUE_BYTES, "%llus", (unsigned long long)s);
    else
        (void)snprintf(ret, LIMITING_VALUE_BYTES, "%llum%llus", (unsigned long long)(s / 60),
                       (unsigned long long)(s % 60));
}
