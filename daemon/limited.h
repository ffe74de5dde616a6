/* SPDX-License-Identifier: Apache-2.0 */
/* limited.h -- which bound sent a request away: the label of weir_limited_total. */
#ifndef WEIR_DAEMON_LIMITED_H
#define WEIR_DAEMON_LIMITED_H

enum limited {
    LIMITED_NOT, /* no bound */
    LIMITED_REQUESTS,
    LIMITED_TOKENS,
    LIMITED_CONCURRENT,
    LIMITED_TENANTS,
    LIMITED_QUEUE,
    LIMITED_JSON,
    LIMITED_WAIT,
    LIMITED_FIRST_TOKEN,
    LIMITED_REQUEST_TIME,
    LIMITED_OUTPUT,
    LIMITED_MEMORY,
    LIMITED_COUNT
};

#endif
