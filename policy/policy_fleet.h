/* SPDX-License-Identifier: Apache-2.0 */
/* policy_fleet.h -- the replicas that count together: are all heard, and what is doubtful? Any
 * thread; what is told is some seconds old. */
#ifndef WEIR_POLICY_POLICY_FLEET_H
#define WEIR_POLICY_POLICY_FLEET_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

struct policy;

struct policy_fleet_status {
    bool together;          /* false: this daemon counts alone, and the rest is 0 but `complete` */
    bool complete;          /* all counters were compared, and no replica is missing */
    uint64_t stale_seconds; /* since everything was last exchanged; UINT64_MAX: never */
    uint32_t replicas, replicas_current; /* registered; heard within three exchanges */
    uint64_t published, received;        /* messages */
    uint64_t refused;                    /* damaged, or of another key */
    uint64_t set_aside;                  /* too big to be true */
    uint32_t suspects;                   /* of these, how many wait for somebody to settle them */
    uint64_t left_out; /* counters for which there was no room, or whose scope has no name */
    double clock_offset_seconds; /* our clock less the store's; NAN: not measured */
};
void policy_fleet_status(const struct policy *policy, int64_t now_unix_us,
                         struct policy_fleet_status *ret);

/* Whether every registered replica has told all that it counted before that time: until then a
 * month that ended there is not final, whatever the clock says. True when alone. */
bool policy_fleet_heard_past(const struct policy *policy, int64_t unix_us);

/* What was set aside since it would make a counter jump. */
struct policy_suspect {
    uint64_t number; /* to settle it by */
    char model[128]; /* cut; "" where it is not known here */
    uint32_t day;    /* days since 1970-01-01 UTC */
    uint8_t class;   /* enum usage_class */
    uint64_t sender; /* the replica; 0: the fleet's snapshot */
    double users_before, users_after;
};
#define POLICY_SUSPECTS_MAX 16u
/* Returns how many there are, at most `capacity`. */
uint32_t policy_fleet_suspects(const struct policy *policy, struct policy_suspect *ret,
                               uint32_t capacity);
/* Joined (accept), which cannot be undone, or forgotten: within seconds, by the fleet's thread; the
 * log is told what came of it. ERROR_NOT_FOUND; ERROR_BUSY: too many wait already. */
int policy_fleet_settle(struct policy *policy, uint64_t number, bool accept, struct error *err);

#endif
