/* SPDX-License-Identifier: Apache-2.0 */
/* profiler.h -- one profile of the process at a time, taken by a thread of its own.
 *
 *     idle --start--> running --its time is over, or hurry--> done --take--> idle
 *                        '---------------- cancel ---------------'-------------^
 *
 * Whoever starts a profile owns it: only its owner hurries, cancels and takes. Nothing here waits
 * for the profile but profiler_free(). */
#ifndef WEIR_DAEMON_PROFILE_PROFILER_H
#define WEIR_DAEMON_PROFILE_PROFILER_H

#include "base/error.h"
#include "base/text.h"

#include <stdbool.h>
#include <stdint.h>

#define PROFILER_SECONDS_MAX 300u
#define PROFILER_HZ_MAX      1000u
#define PROFILER_TEXT_MAX    (8u * 1024u * 1024u) /* of a profile of stacks */

enum profile_kind { PROFILE_CPU, PROFILE_HEAP, PROFILE_KIND_COUNT };

struct profile_request {
    enum profile_kind kind;
    uint32_t seconds, hz; /* PROFILE_CPU: 1 .. PROFILER_SECONDS_MAX, 1 .. PROFILER_HZ_MAX */
    int bell_fd;          /* an eventfd of the owner's, rung when it is done */
};

struct profile_result {
    struct error err;       /* code 0: body is the profile */
    struct text body;       /* the taker's to destroy */
    uint64_t samples, lost; /* ticks of the clock: in the profile, and not for want of room */
    uint64_t broken;        /* of the samples, those without callers */
    uint32_t threads, threads_left_out;
    uint64_t took_us;
};

struct profiler_stats {
    bool running; /* or waiting to be taken */
    uint64_t profiles[PROFILE_KIND_COUNT];
    uint64_t samples, lost;
};

struct profiler;

struct profiler *profiler_new(struct error *err);
/* Ends the profile there is and waits until it did. Before the bells go. NULL is fine. */
void profiler_free(struct profiler *profiler);

/* ERROR_BUSY while there is another, ERROR_IO and ERROR_NO_MEMORY where the thread cannot be. */
int profiler_start(struct profiler *profiler, const struct profile_request *request,
                   struct error *err);
/* Soon done, with what there is. */
void profiler_hurry(struct profiler *profiler);
/* Nobody waits for it any more; soon idle, without a ring. */
void profiler_cancel(struct profiler *profiler);
/* False while it runs. */
bool profiler_take(struct profiler *profiler, struct profile_result *ret);

/* Any thread. */
void profiler_stats(const struct profiler *profiler, struct profiler_stats *ret);

#endif
