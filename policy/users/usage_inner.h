/* SPDX-License-Identifier: Apache-2.0 */
/* usage_inner.h -- what the parts of usage share. Internal to them.
 *
 * Locks, in the order in which they are taken: usage.scopes_lock, usage.windows_lock, scope.lock,
 * a counter's own.
 *
 * Live days hang in four slots by day & 3, so that midnight needs no switch: the new day's slot was
 * filled before. A day leaves its slot for the scope's retired list and is freed there once every
 * guard has been seen at rest, for then nobody is in it who found it in its slot. While it is on
 * the list it is still the one opening of its files: whoever needs the day again takes it back. */
#ifndef WEIR_POLICY_USERS_USAGE_INNER_H
#define WEIR_POLICY_USERS_USAGE_INNER_H

#include "policy/users/usage.h"
#include "policy/users/usage_window.h"

#include <pthread.h>
#include <stdatomic.h>

#define USAGE_LIVE_DAYS  4u
#define USAGE_GUARDS     16u
#define USAGE_GUARDS_ALL ((1u << USAGE_GUARDS) - 1)
#define USAGE_TALLIES    4u

/* Threads that are in a live day right now; a cache line each, picked by thread. */
struct usage_guard {
    _Alignas(64) _Atomic uint32_t inside;
};
struct usage_tally {
    _Alignas(64) _Atomic uint64_t requests[IDENTITY_CLASS_COUNT];
};

struct usage_day {
    struct usage_tally tallies[USAGE_TALLIES]; /* requests not yet in the scope's totals */
    _Atomic(struct counter *) counters[USAGE_KEYED_COUNT]; /* set under the scope's lock */
    uint32_t day;
    uint32_t years[YEARS_MAX], year_count;
    uint32_t serial; /* of this opening; a counter's number of changes begins anew with each */
    /* under the scope's lock, once retired */
    uint32_t guards_rested;
    struct usage_day *next;
};

struct usage_total {
    uint32_t day, amended;
    uint64_t requests[IDENTITY_CLASS_COUNT];
    bool saved;
};

/* The union of a month's closed days, so that a query joins only the live ones to it. */
struct usage_closed {
    uint32_t month;                             /* 0: none */
    uint32_t upto;                              /* days of the month before it are in */
    uint64_t reopened;                          /* of the scope, when it was begun */
    struct sketch *sketches[USAGE_CLASS_COUNT]; /* NULL: nobody */
};

struct usage_scope {
    struct usage *usage;
    _Atomic(struct usage_scope *) next; /* appended while others walk the list, never taken out */
    uint64_t id;
    char *product, *model;
    _Atomic(const char *) family; /* one of the names below */
    char **families;              /* that were ever told: who reads one takes no lock */
    uint32_t family_count;        /* under scopes_lock */

    _Atomic(struct usage_day *) live[USAGE_LIVE_DAYS]; /* set under the lock */
    _Atomic uint64_t epoch; /* rises when a counter or day comes or goes: a new set to look at */
    pthread_mutex_t lock;
    struct usage_day *retired;
    uint32_t folded_before;     /* days that `closed` may hold ... */
    uint64_t reopened;          /* ... and how often one of them was opened again */
    struct usage_total *totals; /* by day, rising */
    uint32_t total_count, total_capacity;

    struct usage_closed closed; /* under the windows' lock */
};

struct usage {
    /* fixed at start */
    struct usage_folder folder;
    const struct secret *secret; /* borrowed: the caller */
    struct year_keys *years;
    bool trust_asserted;
    uint32_t keep_days, final_hours;
    struct journal *journal;
    _Atomic(struct usage_scope *) scopes, *scopes_end; /* grow at their end, under scopes_lock */
    _Atomic uint32_t scope_count;
    _Atomic(struct usage_group *) groups; /* the same, under the windows' lock */
    pthread_mutex_t scopes_lock;

    struct usage_notes notes;
    pthread_mutex_t windows_lock;

    /* the policy thread's */
    _Atomic uint32_t today;   /* of the newest tick; 0 before the first; read by all */
    int64_t saved_us;         /* when totals were last written */
    int64_t checkpoint_us;    /* when the last checkpoint began */
    uint64_t checkpoint_upto; /* the journal's sequence that it will forget; 0: none is going on */
    struct usage_scope *checkpoint_next, *refresh_next;
    bool checkpoint_failed, commit_failed; /* was noted */
    struct usage_name *old;                /* counters to fold into months */
    uint32_t old_count, old_done, old_day;

    /* shared */
    _Atomic uint64_t left_out;
    _Atomic uint32_t days_opened; /* the newest usage_day.serial */
    _Atomic int64_t now_us;       /* of the newest tick */
    struct usage_guard guards[USAGE_GUARDS];
};

/* Between these two no day found in a slot is freed. Returns what usage_leave() needs. */
uint32_t usage_enter(struct usage *usage);
void usage_leave(struct usage *usage, uint32_t guard);

/* The day, if it is in a slot; valid until usage_leave(). */
struct usage_day *usage_live_day(struct usage_scope *scope, uint32_t day);
/* Under the scope's lock: the day where it is open, in a slot or on its way out. NULL: nowhere. */
struct usage_day *usage_open_day(struct usage_scope *scope, uint32_t day);
/* Under the scope's lock: the day in its slot, taken back or made. NULL: no memory. */
struct usage_day *usage_need_day(struct usage_scope *scope, uint32_t day);
/* Under the scope's lock: the counter of a live day, opened or made; of a keyed class. */
int usage_need_counter(struct usage_scope *scope, struct usage_day *day, uint8_t class,
                       struct counter **ret, struct error *err);
/* Changes the counter where it is: in a live day, in one on its way out, or in its file. Takes the
 * scope's lock; of a final day that is an amendment. ERROR_INVALID: the day is not counted under
 * that year; ERROR_UNSUPPORTED: it is in its month already. */
struct usage_change {
    int (*make)(void *argument, struct counter *counter, struct error *err); /* 1: it changed */
    void *argument;
};
int usage_change_counter(struct usage_scope *scope, const struct usage_name *name,
                         const struct usage_change *change, struct error *err);

/* usage_totals.c, under the scope's lock; NULL: no memory. */
struct usage_total *usage_total_of(struct usage_scope *scope, uint32_t day);
const struct usage_total *usage_total_find(const struct usage_scope *scope, uint32_t day);
void usage_totals_forget(struct usage_scope *scope, uint32_t before_day);
/* Moves what has been tallied into the totals: of one day, of all that are open. */
void usage_totals_fold_day(struct usage_scope *scope, struct usage_day *day);
void usage_totals_fold(struct usage_scope *scope);
/* Policy thread, no lock held. */
int usage_totals_load(struct usage *usage, struct error *err);
int usage_totals_save(struct usage *usage, struct error *err);
void usage_totals_remove(struct usage *usage, uint32_t before_day); /* the files */

/* usage_scopes.c. The id is the same wherever the root key is. */
#define USAGE_NAME_BYTES_MAX 1024u
uint64_t usage_scope_id(const struct usage *usage, const char *product, const char *model);
/* Finds by id; NULL. Any thread. */
struct usage_scope *usage_scope_find(struct usage *usage, uint64_t id);
int usage_scope_new(struct usage *usage, const struct usage_scope_name *name,
                    struct usage_scope **ret, struct error *err);
void usage_scope_free(struct usage_scope *scope);
int usage_scopes_load(struct usage *usage, struct error *err);
int usage_scopes_save(struct usage *usage, struct error *err);

/* usage_tick.c */
void usage_retire(struct usage_scope *scope, uint32_t slot); /* under the scope's lock */
void usage_close_all(struct usage *usage);                   /* no other thread is left */

/* usage_window.c. Policy thread: makes the rolling windows of one group anew, if they are old. */
void usage_window_refresh(struct usage *usage, int64_t now_us);

#endif
