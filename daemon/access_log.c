/* SPDX-License-Identifier: Apache-2.0 */
/* access_log.c -- lines from many workers to one file, by a thread that may be kept waiting.
 *
 *     workers --put--> ring of lines --> thread: a batch of whole lines --> write(2)
 *
 * A worker rings the thread's bell only while it sleeps. The thread says that it sleeps before it
 * looks at the ring a last time: either it sees the line, or the worker sees the sleeper. After a
 * write it rests a moment before it sleeps, deaf to workers: a lone line is written at once, and
 * under load a line costs a push, no system call, and the thread wakes once for many. A ring that
 * is half full ends its rest.
 *
 * Before each write the thread polls: where nothing can be written for a while, the lines stay in
 * the ring, which fills, and then put() drops. A batch that the kernel refuses (no space) is
 * dropped too, and counted; the log says so once, until a write succeeds again. */
#include "daemon/access_log.h"

#include "base/clock.h"
#include "base/ring.h"
#include "base/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define FILE_MODE     0640
#define WRITE_WAIT_MS 100  /* between looks at whether to stop, while a pipe is full */
#define SLEEP_MS      1000 /* a bell that is missed costs no more */
#define REST_MS       100

struct access_log {
    /* fixed at start */
    const char *path; /* borrowed: the configuration; "" for the log's descriptor */
    struct log *log;  /* borrowed: main */
    struct ring *lines;
    uint32_t half; /* of the ring */
    int bell_fd;
    pthread_t thread;
    bool running;
    /* the thread's own */
    int fd;
    char *held; /* a line that did not fit into the last batch */
    bool failing;
    /* shared */
    _Atomic bool asleep, stop, reopen;
    _Atomic uint32_t waiting; /* lines in the ring */
    _Atomic uint64_t stop_us; /* monotonic: when to give up, once told to stop */
    _Atomic uint64_t written, dropped;
};

static int open_file(const char *path, struct error *err)
{
    /* O_NONBLOCK: a named pipe without a reader is an error here, not a start that hangs */
    int fd =
        open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, FILE_MODE);
    if (fd >= 0)
        return fd;
    return error_set_errno(
        err, errno, "access_log.path: '%s' (its folder must exist and let weir write)", path);
}

/* -- The thread -- */

static void take_up_file(struct access_log *access)
{
    struct error err = {0};
    if (!atomic_exchange(&access->reopen, false) || access->path[0] == '\0')
        return;
    int fd = open_file(access->path, &err);
    if (fd < 0) {
        log_event(access->log, LOG_LEVEL_ERROR, "access_log_not_reopened",
                  LOG_STRING("error", err.text), LOG_STRING("stays", "the file that was open"));
        return;
    }
    close(access->fd);
    access->fd = fd;
    log_event(access->log, LOG_LEVEL_INFO, "access_log_reopened", LOG_STRING("path", access->path));
}

static char *next_line(struct access_log *access)
{
    char *line = access->held;
    access->held = NULL;
    if (line == NULL && (line = ring_pop(access->lines)) != NULL)
        (void)atomic_fetch_sub(&access->waiting, 1);
    return line;
}

/* Whole lines up to a batch, or one that is longer; returns how many. */
static uint32_t gather(struct access_log *access, struct text *batch)
{
    uint32_t count = 0;
    text_reset(batch);
    for (char *line; (line = next_line(access)) != NULL; count++) {
        size_t bytes = strlen(line);
        if (count > 0 && batch->count + bytes > ACCESS_LOG_BATCH_BYTES) {
            access->held = line;
            break;
        }
        text_append(batch, line, bytes);
        free(line);
    }
    return count;
}

static bool past_stop(const struct access_log *access)
{
    return atomic_load(&access->stop) && clock_monotonic_us() >= atomic_load(&access->stop_us);
}

/* Waits until the file takes bytes; false when it is time to end, or to open another file. */
static bool wait_writable(struct access_log *access)
{
    struct pollfd wait = {.fd = access->fd, .events = POLLOUT};
    while (!past_stop(access)) {
        take_up_file(access);
        wait.fd = access->fd;
        if (poll(&wait, 1, WRITE_WAIT_MS) > 0)
            return true;
    }
    errno = ETIMEDOUT;
    return false;
}

static bool write_all(struct access_log *access, const char *bytes, size_t count)
{
    while (count > 0) {
        if (!wait_writable(access))
            return false;
        ssize_t written = write(access->fd, bytes, count);
        if (written < 0 && errno != EAGAIN && errno != EINTR)
            return false;
        if (written < 0)
            continue;
        bytes += written;
        count -= (size_t)written;
    }
    return true;
}

static void write_batch(struct access_log *access, const struct text *batch, uint32_t count)
{
    bool written = !batch->failed && write_all(access, batch->bytes, batch->count);
    atomic_fetch_add(written ? &access->written : &access->dropped, count);
    if (written != access->failing)
        return;
    access->failing = !written;
    if (written)
        log_event(access->log, LOG_LEVEL_WARN, "access_log_writes_again",
                  LOG_U64("dropped", atomic_load(&access->dropped)));
    else
        log_event(access->log, LOG_LEVEL_ERROR, "access_log_failing",
                  LOG_STRING("path", access->path), LOG_STRING("error", strerror(errno)),
                  LOG_STRING("remedy", "make room; lines are dropped until then"));
}

static void sleep_until_rung(struct access_log *access, int most_ms)
{
    struct pollfd wait = {.fd = access->bell_fd, .events = POLLIN};
    uint64_t rings;
    if (poll(&wait, 1, most_ms) <= 0)
        return;
    ssize_t got = read(access->bell_fd, &rings, sizeof rings);
    (void)got; /* EAGAIN: somebody rang who was heard already */
}

static void *writer_main(void *argument)
{
    struct access_log *access = argument;
    struct text batch;
    text_init(&batch);
    for (bool rested = true;;) {
        bool stop = atomic_load(&access->stop); /* before the ring: what came first is written */
        take_up_file(access);
        uint32_t count = gather(access, &batch);
        if (count > 0) {
            atomic_store(&access->asleep, false);
            write_batch(access, &batch, count);
            rested = false;
        } else if (stop) {
            break;
        } else if (!rested) {
            sleep_until_rung(access, REST_MS); /* for a stop, or a new file, only */
            rested = true;
        } else if (atomic_load(&access->asleep)) {
            sleep_until_rung(access, SLEEP_MS); /* nothing came since we said so */
        } else {
            atomic_store(&access->asleep, true); /* and look once more */
        }
    }
    text_destroy(&batch);
    return NULL;
}

/* -- Its face -- */

static void ring_bell(struct access_log *access)
{
    const uint64_t one = 1;
    ssize_t written = write(access->bell_fd, &one, sizeof one);
    (void)written; /* EAGAIN: it is rung */
}

/* False: there is no room, or there was no memory; the caller keeps the bytes. */
static bool hand_over(struct access_log *access, char *bytes)
{
    uint32_t waiting = atomic_fetch_add(&access->waiting, 1) + 1;
    if (bytes == NULL || !ring_push(access->lines, bytes)) {
        (void)atomic_fetch_sub(&access->waiting, 1);
        return false;
    }
    if (atomic_exchange(&access->asleep, false) || waiting == access->half)
        ring_bell(access);
    return true;
}

void access_log_put(struct access_log *access, struct text *line)
{
    char *bytes = access == NULL || line->failed ? NULL : text_take(line, NULL);
    if (access != NULL && !hand_over(access, bytes)) {
        (void)atomic_fetch_add(&access->dropped, 1);
        free(bytes);
    }
    text_reset(line);
}

void access_log_reopen(struct access_log *access)
{
    if (access == NULL)
        return;
    atomic_store(&access->reopen, true);
    ring_bell(access);
}

void access_log_stats(const struct access_log *access, struct access_log_stats *ret)
{
    *ret = (struct access_log_stats){0};
    if (access == NULL)
        return;
    ret->written = atomic_load(&access->written);
    ret->dropped = atomic_load(&access->dropped);
}

static int start(struct access_log *access, uint32_t lines_max, struct error *err)
{
    size_t capacity = 2;
    while (capacity < lines_max)
        capacity *= 2;
    access->half = (uint32_t)(capacity / 2);
    access->lines = ring_new(capacity);
    if (access->lines == NULL)
        return error_no_memory(err);
    access->fd = access->path[0] == '\0' ? log_fd(access->log) : open_file(access->path, err);
    if (access->fd < 0)
        return err->code;
    access->bell_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (access->bell_fd < 0)
        return error_set_errno(err, errno, "access log: eventfd");
    int failed = thread_start(&access->thread, "access-log", 0, writer_main, access);
    if (failed != 0)
        return error_set_errno(err, failed, "access log: thread");
    access->running = true;
    return 0;
}

struct access_log *access_log_open(const char *path, uint32_t lines_max, struct log *log,
                                   struct error *err)
{
    struct access_log *access = calloc(1, sizeof *access);
    if (access == NULL) {
        (void)error_no_memory(err);
        return NULL;
    }
    access->path = path;
    access->log = log;
    access->fd = access->bell_fd = -1;
    if (start(access, lines_max, err) == 0)
        return access;
    access_log_close(access);
    return NULL;
}

void access_log_close(struct access_log *access)
{
    if (access == NULL)
        return;
    if (access->running) {
        atomic_store(&access->stop_us, clock_monotonic_us() + ACCESS_LOG_CLOSE_MS * 1000);
        atomic_store(&access->stop, true);
        ring_bell(access);
        (void)pthread_join(access->thread, NULL);
    }
    if (access->path[0] != '\0' && access->fd >= 0)
        close(access->fd);
    if (access->bell_fd >= 0)
        close(access->bell_fd);
    ring_free(access->lines);
    free(access->held);
    free(access);
}
