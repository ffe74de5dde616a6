/* SPDX-License-Identifier: Apache-2.0 */
/* cap.h -- known users always pass, new ones take a ticket while there are any.
 *
 * A ticket is the right to let one new user in. A machine alone gets users_cap of them at the
 * month's turn; a replica of a fleet leases them from the store (ticket_lease.h). Who passed is
 * known from then on (cap_filter.h) until the month turns, and needs no ticket again.
 *
 * Never more tickets are taken than there were. Past the cap a stranger may still pass for a known
 * user: user_cap_overshoot() says how many may. The reverse does not happen.
 *
 * Named user_cap_, not cap_: libcap, which libsystemd brings along, has a cap_free() of its own.
 *
 * A refusal tells whether somebody was here this month. Limiting how often a client may ask that
 * is the caller's. One thread arms, grants, returns and cuts off; any thread admits. */
#ifndef WEIR_POLICY_USERS_CAP_H
#define WEIR_POLICY_USERS_CAP_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

struct user_cap; /* of one scope: who is known, the tickets left */

struct user_cap_config {
    uint64_t users_cap;
    bool leased; /* tickets come by user_cap_grant() alone; else arming gives users_cap - counted */
    /* How many new users a month may pass without a ticket while the store cannot be asked; 0 is
     * to fail closed. They come on top of the cap, so C + open_max * replicas <= the threshold. */
    uint64_t open_max;
    /* Where who is known outlives the process: two files, `path` and ".a" or ".b"; NULL for memory
     * alone. key_id names what users are hashed with. month: the present one; a file of it is taken
     * up as it was left, and the cap is armed then, with no tickets before they are settled. */
    const char *path;
    uint64_t key_id;
    uint32_t month;
};

/* Nobody is let in before the first arming. */
struct user_cap *user_cap_new(const struct user_cap_config *config, struct error *err);
void user_cap_free(struct user_cap *cap); /* NULL is fine */

/* At the first of a month (year * 12 + month - 1): everyone is new again. False, and nothing
 * changes, unless the month is later than the one armed; so it may be called at any tick.
 * `counted`: users of this month counted already. Armed late (a restart too), the cap knows only
 * those seen since: the others take a ticket again, or are refused when there is none. A request
 * under way at the turn is judged by the old month. */
bool user_cap_arm(struct user_cap *cap, uint32_t month, uint64_t counted);

uint32_t user_cap_month(const struct user_cap *cap); /* armed; 0: none. Any thread */

enum user_cap_answer {
    USER_CAP_KNOWN,
    USER_CAP_TAKEN, /* new, and took a ticket */
    USER_CAP_OPEN,  /* new, and passed without: the store is out of reach (open_max) */
    USER_CAP_REFUSED
};
/* Any thread; no lock, no system call. Of threads that admit one new user at the same moment at
 * least one takes a ticket, and at worst each does; at the very last ticket one may be refused. */
enum user_cap_answer user_cap_admit(struct user_cap *cap, uint64_t hash);
/* What user_cap_admit() would say, were it asked now, and changes nothing. Any thread. */
bool user_cap_would_refuse(const struct user_cap *cap, uint64_t hash);
/* Let in by another replica: known here from now on, without a ticket. Any thread. */
bool user_cap_learn(struct user_cap *cap, uint64_t hash); /* whether it was not */

/* Tickets for this month. */
void user_cap_grant(struct user_cap *cap, uint64_t tickets);
/* Takes back all that is left but `keep`, to be given to the store. */
uint64_t user_cap_return(struct user_cap *cap, uint64_t keep);
uint64_t user_cap_tickets(const struct user_cap *cap); /* any thread */
/* For a cap that is not leased: as many tickets as are missing from `counted` to the cap, so that
 * what was taken for somebody counted already comes back. `left`: user_cap_tickets() as it was
 * before the counting began; only who was between ticket and count then, one a thread, may be given
 * a ticket twice. */
void user_cap_settle(struct user_cap *cap, uint64_t users_cap, uint64_t counted, uint64_t left);
/* Whether the store is out of reach, so that new users without a ticket may pass open. */
void user_cap_cut_off(struct user_cap *cap, bool cut_off);

/* Answers since user_cap_new(), for metrics. Any thread. */
struct user_cap_counts {
    uint64_t known, taken, open, refused;
};
void user_cap_counts(const struct user_cap *cap, struct user_cap_counts *ret);

/* New users that may have passed for known ones when so many distinct ones asked in a month: with
 * probability 99.9% no more, a full cap assumed all along. */
double user_cap_overshoot(const struct user_cap *cap, uint64_t new_users);
uint64_t user_cap_bytes(const struct user_cap *cap); /* memory of a full month */

#endif
