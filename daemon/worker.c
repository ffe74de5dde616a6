/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/worker.h"

#include "base/thread.h"
#include "daemon/doors.h"
#include "daemon/tls_keeper.h"

#include <assert.h>
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define ADDRESS_CONNECTIONS_MIN 64u    /* where their number is not set */
#define TICK_US                 250000 /* how late a generation's time limit may strike */
#define IDLE_CHECK_US           10000  /* while draining: how often it looks whether it is done */

static void on_idle_check(evutil_socket_t fd, short what, void *argument)
{
    struct worker *worker = argument;
    (void)fd;
    (void)what;
    struct listener_stats stats;
    listener_stats(worker->listener, &stats);
    /* Not at the last exchange: its answer may be on its way, and who was let in last may ask. */
    atomic_store(&worker->idle, stats.connections == 0 && api_open_generations(worker->api) == 0);
}

static void on_tick(evutil_socket_t fd, short what, void *argument)
{
    struct worker *worker = argument;
    (void)fd;
    (void)what;
    api_tick(worker->api);
}

static void start_draining(struct worker *worker)
{
    worker->draining = true;
    listener_drain(worker->listener);
    const struct timeval period = {.tv_usec = IDLE_CHECK_US};
    if (event_add(worker->idle_timer, &period) != 0)
        atomic_store(&worker->idle, false); /* never idle: the drain timeout ends it */
}

/* Where it is not set an address may have a quarter of all connections: nobody alone can take them,
 * and a proxy that nobody declared as one still gets far. */
static struct listener_limits limits_of(const struct worker *worker)
{
    struct listener_limits limits = worker->live->config->limits;
    uint32_t quarter = limits.connections_max / 4;
    if (limits.connections_per_address == 0)
        limits.connections_per_address =
            quarter > ADDRESS_CONNECTIONS_MIN ? quarter : ADDRESS_CONNECTIONS_MIN;
    return limits;
}

static void take_up_tls(struct worker *worker)
{
    struct tls_keeper *keeper = worker->server->tls;
    bool changed = false;
    if (keeper != NULL)
        worker->tls = shelf_renew(tls_keeper_shelf(keeper), worker->tls, &changed);
    if (changed)
        listener_set_tls(worker->listener, worker->tls);
}

static void take_up_live(struct worker *worker)
{
    bool changed;
    worker->live = shelf_renew(&worker->server->live, worker->live, &changed);
    if (!changed)
        return;
    const struct listener_limits limits = limits_of(worker);
    listener_set_limits(worker->listener, &limits);
    listener_set_trust(worker->listener, &worker->live->config->trust);
    api_set_live(worker->api, worker->live);
}

static void on_bell(evutil_socket_t fd, short what, void *argument)
{
    struct worker *worker = argument;
    (void)what;
    uint64_t rings;
    if (read((int)fd, &rings, sizeof rings) != (ssize_t)sizeof rings && errno != EAGAIN)
        return;
    (void)atomic_fetch_add_explicit(&worker->turns, 1, memory_order_relaxed);
    uint32_t order = atomic_load(&worker->order);
    if (order == WORKER_STOP) {
        (void)event_base_loopbreak(worker->base);
        return;
    }
    take_up_live(worker);
    take_up_tls(worker);
    if (order >= WORKER_DRAIN && !worker->draining)
        start_draining(worker);
    if (order == WORKER_CUT)
        listener_cut(worker->listener);
    api_wake(worker->api);
}

static void *worker_main(void *argument)
{
    struct worker *worker = argument;
    (void)event_base_dispatch(worker->base);
    return NULL;
}

int worker_prepare(struct worker *worker, struct error *err)
{
    worker->live = shelf_newest(&worker->server->live);
    if (worker->server->tls != NULL)
        worker->tls = shelf_newest(tls_keeper_shelf(worker->server->tls));
    worker->bell_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (worker->bell_fd < 0)
        return error_set_errno(err, errno, "worker %u: eventfd", worker->index);
    worker->base = event_base_new();
    if (worker->base == NULL)
        return error_set(err, ERROR_IO, "worker %u: no event loop", worker->index);
    worker->bell = event_new(worker->base, worker->bell_fd, EV_READ | EV_PERSIST, on_bell, worker);
    worker->idle_timer = event_new(worker->base, -1, EV_PERSIST, on_idle_check, worker);
    worker->tick = event_new(worker->base, -1, EV_PERSIST, on_tick, worker);
    const struct timeval period = {.tv_usec = TICK_US};
    if (worker->bell == NULL || worker->idle_timer == NULL || worker->tick == NULL ||
        event_add(worker->bell, NULL) != 0 || event_add(worker->tick, &period) != 0)
        return error_no_memory(err);
    worker->api = api_new(worker->server, worker->index, err);
    if (worker->api == NULL)
        return error_wrap(err, "worker %u", worker->index);
    struct listener_door doors[LISTENER_DOORS_MAX];
    const struct listener_config config = {
        .base = worker->base,
        .doors = doors,
        .door_count = doors_take(worker->server->doors, worker->index, doors),
        .addresses = worker->server->addresses,
        .tls = worker->tls,
        .limits = limits_of(worker),
        .trust = worker->live->config->trust,
        .handler = api_handler(worker->api),
    };
    worker->listener = listener_new(&config, err);
    if (worker->listener == NULL)
        return error_wrap(err, "worker %u", worker->index);
    return 0;
}

int worker_run(struct worker *worker, struct error *err)
{
    int failed =
        thread_start_numbered(&worker->thread, "worker", worker->index, worker_main, worker);
    if (failed != 0)
        return error_set_errno(err, failed, "worker %u: thread", worker->index);
    worker->running = true;
    return 0;
}

void worker_ring(struct worker *worker)
{
    const uint64_t one = 1;
    /* EAGAIN means that the counter is full of rings not heard yet: it will wake all the same. */
    ssize_t written = write(worker->bell_fd, &one, sizeof one);
    (void)written;
}

void worker_order(struct worker *worker, enum worker_order order)
{
    uint32_t before = atomic_load(&worker->order);
    while (before < (uint32_t)order &&
           !atomic_compare_exchange_weak(&worker->order, &before, (uint32_t)order))
        ;
    worker_ring(worker);
}

void worker_join(struct worker *worker)
{
    if (!worker->running)
        return;
    worker_order(worker, WORKER_STOP);
    (void)pthread_join(worker->thread, NULL);
    worker->running = false;
}

void worker_break(struct worker *worker)
{
    assert(!worker->running);
    if (worker->idle_timer != NULL)
        (void)event_del(worker->idle_timer); /* it asks the listener */
    if (worker->tick != NULL)
        (void)event_del(worker->tick);
    listener_free(worker->listener);
    worker->listener = NULL;
    if (worker->base != NULL)
        (void)event_base_loop(worker->base, EVLOOP_NONBLOCK); /* what libevent put off */
}

void worker_release(struct worker *worker)
{
    assert(!worker->running);
    if (worker->api != NULL)
        api_wake(worker->api); /* every generation gets its last event */
    api_free(worker->api);
    live_unref(worker->live);
    tls_set_unref(worker->tls);
    if (worker->idle_timer != NULL)
        event_free(worker->idle_timer);
    if (worker->tick != NULL)
        event_free(worker->tick);
    if (worker->bell != NULL)
        event_free(worker->bell);
    if (worker->base != NULL)
        event_base_free(worker->base);
    if (worker->bell_fd >= 0)
        close(worker->bell_fd);
}

bool worker_stats(const struct server *server, uint32_t index, struct listener_stats *ret)
{
    const struct worker *worker = &server->workers[index];
    if (worker->listener == NULL)
        return false;
    listener_stats(worker->listener, ret);
    return true;
}
