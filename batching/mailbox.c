/* SPDX-License-Identifier: Apache-2.0 */
/* mailbox.c -- slots, a ring, and one wake-up.
 *
 * Each posted generation has a slot until the engine retires it, and the slot has one word:
 *
 *     63         32 31      16 15          0        id = turn << 32 | slot
 *     [ turn       |    0     | cancelled  ]
 *
 * Posting and retiring each add one to the turn: it is odd while the slot is in use. A cancellation
 * sets bits by compare-and-swap if, and only if, the turn is odd and still the id's: so it finds
 * its generation without a lookup that could race with its end, takes no memory, and is bounded by
 * the slots. A common flag tells the engine to look through the words; it looks at a generation's
 * word again when it takes it from the ring, for the cancellation may have been faster.
 *
 * The ring has room for every slot, so pushing cannot fail. What is refused is refused by the two
 * counters of what waits, before a slot is taken.
 *
 * Sleeping: the engine sets `asleep`, looks once more, then reads an eventfd; a sender publishes
 * first and then clears `asleep`, and writes the eventfd if it was set. Both sides are
 * sequentially consistent: one of them sees the other (Dekker). While the engine is busy, sending
 * costs no system call. */
#include "batching/mailbox.h"

#include "base/ring.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define CHOICES_MASK ((1u << ENGINE_CHOICES_MAX) - 1)

struct slot {
    _Atomic uint64_t word;
};

struct rank {
    _Atomic uint32_t waiting, waiting_tokens;
};

struct mailbox {
    struct mailbox_limits limits;
    int wake_fd;
    struct slot *slots;
    struct ring *unused; /* slots; any thread */
    struct ring *posted; /* generations; pushed by any thread, popped by the engine's */
    _Atomic uint32_t waiting, waiting_tokens;
    struct rank ranks[PACE_RANKS]; /* the same by rank: what is ahead of whom */
    _Atomic uint32_t token_ns;     /* pace.h */
    _Atomic uint64_t turn_us;
    _Atomic uint32_t running, seats;
    _Atomic uint32_t posting;    /* threads inside mailbox_post() */
    _Atomic uint32_t mail_count; /* in `posted`, or about to be */
    _Atomic uint64_t mail_us;    /* when what lies longest there came, or something since */
    _Atomic bool closed, cancels, asleep;
};

static size_t power_of_two(size_t least)
{
    size_t power = 2;
    while (power < least)
        power *= 2;
    return power;
}

struct mailbox *mailbox_new(const struct mailbox_limits *limits, struct error *err)
{
    struct mailbox *mailbox = calloc(1, sizeof *mailbox);
    if (mailbox == NULL) {
        (void)error_no_memory(err);
        return NULL;
    }
    mailbox->limits = *limits;
    mailbox->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (mailbox->wake_fd < 0) {
        (void)error_set_errno(err, errno, "eventfd");
        goto fail;
    }
    mailbox->slots = calloc(limits->slots, sizeof *mailbox->slots);
    mailbox->unused = ring_new(power_of_two((size_t)limits->slots * 2));
    mailbox->posted = ring_new(power_of_two(limits->slots));
    if (mailbox->slots == NULL || mailbox->unused == NULL || mailbox->posted == NULL) {
        (void)error_no_memory(err);
        goto fail;
    }
    for (uint32_t i = 0; i < limits->slots; i++) {
        atomic_init(&mailbox->slots[i].word, 0); /* the first turn is 1: no id is 0 */
        bool pushed = ring_push(mailbox->unused, &mailbox->slots[i]);
        assert(pushed);
    }
    return mailbox;
fail:
    mailbox_free(mailbox);
    return NULL;
}

void mailbox_free(struct mailbox *mailbox)
{
    if (mailbox == NULL)
        return;
    if (mailbox->wake_fd >= 0)
        (void)close(mailbox->wake_fd);
    free(mailbox->slots);
    ring_free(mailbox->unused);
    ring_free(mailbox->posted);
    free(mailbox);
}

/* -- admission -- */

uint64_t mailbox_wait_us(const struct mailbox *mailbox, int32_t priority)
{
    struct pace_queue ahead = {
        .running = atomic_load_explicit(&mailbox->running, memory_order_relaxed),
        .seats = atomic_load_explicit(&mailbox->seats, memory_order_relaxed),
    };
    for (uint32_t i = 0; i <= pace_rank(priority); i++) {
        const struct rank *rank = &mailbox->ranks[i];
        ahead.waiting += atomic_load_explicit(&rank->waiting, memory_order_relaxed);
        ahead.waiting_tokens += atomic_load_explicit(&rank->waiting_tokens, memory_order_relaxed);
    }
    const struct pace_costs costs = {
        .token_ns = atomic_load_explicit(&mailbox->token_ns, memory_order_relaxed),
        .turn_us = atomic_load_explicit(&mailbox->turn_us, memory_order_relaxed),
    };
    return pace_wait_us(&ahead, &costs);
}

static int refuse(const struct mailbox *mailbox, int32_t priority, uint32_t *ret_retry_after_s,
                  struct error *err)
{
    uint32_t seconds = pace_retry_after_s(mailbox_wait_us(mailbox, priority));
    if (ret_retry_after_s != NULL)
        *ret_retry_after_s = seconds;
    return error_set(err, ERROR_BUSY, "the queue is full: retry in %u s", seconds);
}

static int refuse_closed(struct error *err)
{
    return error_set(err, ERROR_CLOSED, "the engine is stopping");
}

int mailbox_admission(const struct mailbox *mailbox, int32_t priority, uint32_t *ret_retry_after_s,
                      struct error *err)
{
    if (atomic_load(&mailbox->closed))
        return refuse_closed(err);
    uint32_t waiting = atomic_load_explicit(&mailbox->waiting, memory_order_relaxed);
    uint32_t tokens = atomic_load_explicit(&mailbox->waiting_tokens, memory_order_relaxed);
    if (waiting >= mailbox->limits.max_queue || tokens >= mailbox->limits.max_queue_tokens)
        return refuse(mailbox, priority, ret_retry_after_s, err);
    return 0;
}

/* Counts the generation as waiting, if there is room. A prompt longer than max_queue_tokens is
 * taken when nothing else waits: it would never fit otherwise. */
static bool enter_queue(struct mailbox *mailbox, uint32_t rank, uint32_t tokens)
{
    atomic_fetch_add(&mailbox->ranks[rank].waiting, 1);
    atomic_fetch_add(&mailbox->ranks[rank].waiting_tokens, tokens);
    uint32_t generations_before = atomic_fetch_add(&mailbox->waiting, 1);
    uint32_t tokens_before = atomic_fetch_add(&mailbox->waiting_tokens, tokens);
    if (generations_before < mailbox->limits.max_queue &&
        (tokens_before == 0 ||
         (uint64_t)tokens_before + tokens <= mailbox->limits.max_queue_tokens))
        return true;
    mailbox_left_queue(mailbox, rank, 1, tokens);
    return false;
}

void mailbox_left_queue(struct mailbox *mailbox, uint32_t rank, uint32_t generations,
                        uint32_t tokens)
{
    atomic_fetch_sub(&mailbox->ranks[rank].waiting, generations);
    atomic_fetch_sub(&mailbox->ranks[rank].waiting_tokens, tokens);
    uint32_t before = atomic_fetch_sub(&mailbox->waiting, generations);
    uint32_t tokens_before = atomic_fetch_sub(&mailbox->waiting_tokens, tokens);
    assert(before >= generations);
    assert(tokens_before >= tokens);
}

uint32_t mailbox_waiting(const struct mailbox *mailbox, uint32_t *ret_tokens)
{
    *ret_tokens = atomic_load_explicit(&mailbox->waiting_tokens, memory_order_relaxed);
    return atomic_load_explicit(&mailbox->waiting, memory_order_relaxed);
}

uint64_t mailbox_mail_us(const struct mailbox *mailbox)
{
    return atomic_load(&mailbox->mail_count) > 0 ? atomic_load(&mailbox->mail_us) : 0;
}

void mailbox_set_costs(struct mailbox *mailbox, const struct pace_costs *costs)
{
    atomic_store_explicit(&mailbox->token_ns, costs->token_ns, memory_order_relaxed);
    atomic_store_explicit(&mailbox->turn_us, costs->turn_us, memory_order_relaxed);
}

void mailbox_set_seats(struct mailbox *mailbox, uint32_t running, uint32_t seats)
{
    atomic_store_explicit(&mailbox->running, running, memory_order_relaxed);
    atomic_store_explicit(&mailbox->seats, seats, memory_order_relaxed);
}

/* -- sending -- */

static void wake(struct mailbox *mailbox)
{
    if (!atomic_exchange(&mailbox->asleep, false))
        return;
    const uint64_t one = 1;
    ssize_t written = write(mailbox->wake_fd, &one, sizeof one);
    (void)written; /* EAGAIN: the counter is not 0, so the engine wakes anyway */
}

/* A slot's word after posting or retiring: nothing cancelled, the turn one more. */
static uint64_t next_turn(uint64_t word)
{
    return ((word >> 32) + 1) << 32; /* 2^32 turns later it begins again at 0 */
}

static bool in_use(uint64_t word)
{
    return (word >> 32) % 2 == 1;
}

static int post(struct mailbox *mailbox, struct generation *generation, uint64_t *ret_id,
                struct error *err)
{
    if (atomic_load(&mailbox->closed))
        return refuse_closed(err);
    int32_t priority = generation->request.priority;
    uint32_t rank = pace_rank(priority), tokens = generation->request.prompt_count;
    if (!enter_queue(mailbox, rank, tokens))
        return refuse(mailbox, priority, NULL, err);
    struct slot *slot = ring_pop(mailbox->unused);
    if (slot == NULL) {
        mailbox_left_queue(mailbox, rank, 1, tokens);
        return refuse(mailbox, priority, NULL, err);
    }
    uint64_t word = next_turn(atomic_load(&slot->word));
    assert(in_use(word));
    atomic_store(&slot->word, word);
    uint64_t id = word | (uint64_t)(slot - mailbox->slots);
    generation->id = id;
    if (atomic_load(&mailbox->mail_count) == 0) /* before it counts: no reader sees an older time */
        atomic_store(&mailbox->mail_us, generation->times.submitted_us);
    atomic_fetch_add(&mailbox->mail_count, 1);
    bool pushed = ring_push(mailbox->posted, generation); /* no longer ours */
    assert(pushed);
    *ret_id = id;
    wake(mailbox);
    return 0;
}

int mailbox_post(struct mailbox *mailbox, struct generation *generation, uint64_t *ret_id,
                 struct error *err)
{
    atomic_fetch_add(&mailbox->posting, 1);
    int code = post(mailbox, generation, ret_id, err);
    atomic_fetch_sub(&mailbox->posting, 1);
    return code;
}

uint32_t mailbox_slot(uint64_t id)
{
    return (uint32_t)id;
}

void mailbox_cancel(struct mailbox *mailbox, uint64_t id, uint32_t choices)
{
    if (mailbox_slot(id) >= mailbox->limits.slots || !in_use(id))
        return;
    _Atomic uint64_t *word = &mailbox->slots[mailbox_slot(id)].word;
    uint64_t seen = atomic_load(word);
    do {
        if (seen >> 32 != id >> 32)
            return;
    } while (!atomic_compare_exchange_weak(word, &seen, seen | (choices & CHOICES_MASK)));
    atomic_store(&mailbox->cancels, true);
    wake(mailbox);
}

void mailbox_close(struct mailbox *mailbox)
{
    atomic_store(&mailbox->closed, true);
    wake(mailbox);
}

/* -- receiving -- */

struct generation *mailbox_take(struct mailbox *mailbox)
{
    struct generation *generation = ring_pop(mailbox->posted);
    if (generation != NULL)
        atomic_fetch_sub(&mailbox->mail_count, 1);
    return generation;
}

bool mailbox_has_cancels(struct mailbox *mailbox)
{
    return atomic_load(&mailbox->cancels) && atomic_exchange(&mailbox->cancels, false);
}

uint32_t mailbox_cancelled(const struct mailbox *mailbox, uint64_t id)
{
    uint64_t word = atomic_load(&mailbox->slots[mailbox_slot(id)].word);
    assert(word >> 32 == id >> 32);
    return (uint32_t)word & CHOICES_MASK;
}

void mailbox_retire(struct mailbox *mailbox, uint64_t id)
{
    struct slot *slot = &mailbox->slots[mailbox_slot(id)];
    assert(in_use(id));
    atomic_store(&slot->word, next_turn(id));
    /* There is room, but the place may still be being read by a worker that was interrupted. */
    while (!ring_push(mailbox->unused, slot))
        (void)sched_yield();
}

bool mailbox_closed(const struct mailbox *mailbox)
{
    return atomic_load(&mailbox->closed);
}

void mailbox_settle(struct mailbox *mailbox)
{
    assert(mailbox_closed(mailbox));
    while (atomic_load(&mailbox->posting) > 0)
        (void)sched_yield(); /* a post is a few instructions; none that comes later gets in */
}

void mailbox_wait(struct mailbox *mailbox, int timeout_ms)
{
    atomic_store(&mailbox->asleep, true);
    /* What was sent before `asleep` was seen did not write the eventfd: look at it here. */
    bool sent = atomic_load(&mailbox->closed) || atomic_load(&mailbox->cancels) ||
                atomic_load(&mailbox->mail_count) > 0;
    if (!sent) {
        struct pollfd wait = {.fd = mailbox->wake_fd, .events = POLLIN};
        (void)poll(&wait, 1, timeout_ms); /* EINTR: an early return is allowed */
    }
    atomic_store(&mailbox->asleep, false);
    uint64_t count;
    ssize_t ignored = read(mailbox->wake_fd, &count, sizeof count);
    (void)ignored; /* EAGAIN: nobody wrote */
}
