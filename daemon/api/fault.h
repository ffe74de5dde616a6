/* SPDX-License-Identifier: Apache-2.0 */
/* fault.h -- why a request is not answered as it wished, in the words of OpenAI's error object.
 *
 * A plain value on the stack of whoever answers. Functions that find a fault fill it and return
 * -1, so that they can end `return fault_set(...)`. Any thread. */
#ifndef WEIR_DAEMON_API_FAULT_H
#define WEIR_DAEMON_API_FAULT_H

#include "base/error.h"
#include "base/text.h"
#include "daemon/limited.h"

#include <stdint.h>

struct policy_refusal;

#define FAULT_PARAM_MAX   96
#define FAULT_MESSAGE_MAX 900

struct fault {
    uint32_t status;
    const char *code;                     /* a constant such as "model_not_found", or NULL */
    const char *allow;                    /* 405: a constant for the Allow header, else NULL */
    const char *scope;                    /* 403: what a key would need, a constant, else NULL */
    uint32_t retry_after_s;               /* 0: no Retry-After */
    enum limited limited;                 /* the bound that is in the way, for the metrics */
    const struct policy_refusal *refusal; /* by a licence; borrowed: whoever answers. NULL else */
    char param[FAULT_PARAM_MAX];          /* the parameter at fault, "" when none is */
    char message[FAULT_MESSAGE_MAX];
};

/* Fills fault (code, allow and retry_after_s empty) and returns -1. param may be NULL. */
int fault_set(struct fault *fault, uint32_t status, const char *param, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* The same as 400 with a code that clients test for; code is a constant. */
int fault_code(struct fault *fault, uint32_t status, const char *code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* What an error of a floor below means to a client. */
int fault_from_error(struct fault *fault, const struct error *err);
int fault_no_memory(struct fault *fault);

/* {"error":{"message":...,"type":...,"param":...,"code":...}}; before it, with a refusal, what RFC
 * 9457 has of a problem, and what it is refused by: clients of either kind find their own. */
void fault_write(const struct fault *fault, struct text *out);

#endif
