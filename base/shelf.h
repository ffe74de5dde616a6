/* SPDX-License-Identifier: Apache-2.0 */
/* shelf.h -- where the newest of something lies: a set that others read while it is exchanged.
 *
 * A set is immutable once made, and counted. One thread makes it, whole or not at all, and puts it
 * on the shelf. Each reader takes up the newest between two turns of its loop and keeps a reference
 * of its own; who keeps a pointer into a set for longer than a turn keeps a reference too. So a set
 * goes when the last of those that began under it has ended, and nobody waits for anybody. */
#ifndef WEIR_BASE_SHELF_H
#define WEIR_BASE_SHELF_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* The first member of whatever is put on a shelf; a `set` below points to such a thing. */
struct shelved {
    uint64_t number; /* 1 for the first on the shelf, then rising; 0: it never lay there */
    _Atomic uint32_t references;
    void (*free)(void *set); /* called by whoever gives the last reference back */
};

void shelved_init(struct shelved *shelved, void (*free_set)(void *set)); /* one, the caller's */
void *shelved_ref(void *set);  /* returns set; any thread */
void shelved_unref(void *set); /* NULL is fine; any thread */

/* All zero is empty, and may be destroyed. */
struct shelf {
    pthread_mutex_t lock;    /* held for a few instructions */
    struct shelved *newest;  /* under lock; one reference */
    _Atomic uint64_t number; /* of the newest: read without the lock, to see whether to look */
};

void shelf_init(struct shelf *shelf);
void shelf_destroy(struct shelf *shelf);        /* once no other thread uses it */
void shelf_put(struct shelf *shelf, void *set); /* takes the reference; any thread */
/* A reference to the newest; NULL while empty. Any thread. */
void *shelf_newest(struct shelf *shelf);
/* Gives held, a reference or NULL, in exchange for one to the newest, if that is another: returns
 * what the caller has now. One read where nothing changed. Any thread. */
void *shelf_renew(struct shelf *shelf, void *held, bool *ret_changed);

#endif
