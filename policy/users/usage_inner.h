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
    _Atomic(struct counter *) counters[USAGE_CLASS_COUNT]; /* set under the scope's lock */
    uint32_t day;
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
    _Atomic(struct usage_scope *) next; /* set once; who walks the list takes no lock */
    uint64_t id;
    char *product, *model, *family;

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
    bool trust_asserted;
    uint32_t keep_days, final_hours;
    struct journal *journal;
    _Atomic(struct usage_scope *) scopes; /* only ever longer, and so are the groups */
    _Atomic(struct usage_group *) groups;
    pthread_mutex_t scopes_lock; /* of who adds one */
    _Atomic(struct usage_scope *) *scopes_end;
    _Atomic(struct usage_group *) *groups_end; /* under the windows' lock */
    uint32_t scope_count;

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
    _Atomic int64_t now_us; /* of the newest tick */
    struct usage_guard guards[USAGE_GUARDS];
};

/* Between these two no day found in a slot is freed. Returns what usage_leave() needs. */
uint32_t usage_enter(struct usage *usage);
void usage_leave(struct usage *usage, uint32_t guard);

/* The day, if it is in a slot; valid until usage_leave(). */
struct usage_day *usage_live_day(struct usage_scope *scope, uint32_t day);
/* Under the scope's lock: the day in its slot, taken back or made. NULL: no memory. */
struct usage_day *usage_need_day(struct usage_scope *scope, uint32_t day);
/* Under the scope's lock: the counter of a live day, opened or made. */
int usage_need_counter(struct usage_scope *scope, struct usage_day *day, enum usage_class class,
                       struct counter **ret, struct error *err);
/* Under the scope's lock: something was added to the day, which may have been final. */
void usage_note_amendment(struct usage_scope *scope, uint32_t day);

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

/* usage_scopes.c. Finds by id; NULL. */
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
