/* SPDX-License-Identifier: Apache-2.0 */
/* stack_sampler.c -- a timer for each thread, on that thread's own clock of processor time.
 *
 *     timer of thread 17 expires -> SIGPROF to thread 17 -> on_sample, in thread 17:
 *         spare sample -> walk the stack -> full sample -> the profile's thread takes it
 *
 * One timer on the process's clock (setitimer, ITIMER_PROF) would be simpler, and wrong: the kernel
 * gives its signal to whichever thread does not block it, so one thread is asked for the time of
 * another. perf_event_open() would be cheaper, and is forbidden in most containers and by our own
 * unit. A thread that sleeps has no processor time and is not disturbed. Clocks of the kernel tick
 * 100 to 1000 times a second: at a higher rate ticks come together, and the timer says how many.
 *
 * The handler takes no lock and no memory: two rings of ready samples, a walk (stack_walk.c), and a
 * few atomics. It keeps errno, and system calls go on where they were (SA_RESTART) but for poll()
 * and its like, which return EINTR as for any signal.
 *
 * Signals come late: when a timer is deleted its signal may be under way. So the target that it
 * carries lives as long as the sampler, `on` says whether there is anything to write to, and
 * `inside` counts those who may be writing: whoever enters counts itself, then reads `on`; whoever
 * stops clears `on`, then waits for `inside` to be 0. One of them sees the other. A signal that
 * outlives its profile into the next is told by its thread's number. Then SIGPROF is ignored, which
 * forgets those that are pending. */
#include "daemon/profile/stack_sampler.h"

#include "base/ring.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define SAMPLES  4096u /* a power of two: what all threads may leave between two takings */
#define TASKS    "/proc/self/task"
#define PAUSE_NS 1000000

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

struct target {
    struct stack_sampler *sampler; /* borrowed: owns us; fixed */
    _Atomic pid_t thread_id;
    timer_t timer;
};

struct stack_sampler {
    /* shared with handlers */
    _Atomic bool on;
    _Atomic uint32_t inside;
    _Atomic uint64_t lost;
    struct ring *spare, *full; /* of struct sample; there while `on`, and until the clearing */
    /* the profile thread's */
    struct sample *samples;
    uint32_t hz;
    pid_t own_id;
    uint32_t count, left_out;
    struct target targets[STACK_SAMPLER_THREADS_MAX];
};

/* -- In the sampled thread, in the middle of anything -- */

static void record(struct stack_sampler *sampler, uint32_t ticks, const void *context)
{
    struct sample *sample = ring_pop(sampler->spare);
    if (sample == NULL) {
        (void)atomic_fetch_add(&sampler->lost, ticks);
        return;
    }
    (void)prctl(PR_GET_NAME, sample->thread);
    sample->ticks = ticks;
    sample->frame_count = stack_walk(context, sample->frames, &sample->broken);
    bool pushed = ring_push(sampler->full, sample); /* it has room for all that there are */
    (void)pushed;
}

static void on_sample(int number, siginfo_t *cause, void *context)
{
    struct target *target = cause->si_value.sival_ptr;
    int before = errno;
    (void)number;
    if (cause->si_code != SI_TIMER) /* sent by somebody: it carries nothing of ours */
        return;
    struct stack_sampler *sampler = target->sampler;
    (void)atomic_fetch_add(&sampler->inside, 1);
    if (atomic_load(&sampler->on) && atomic_load(&target->thread_id) == gettid())
        record(sampler, 1 + (uint32_t)cause->si_overrun, context);
    (void)atomic_fetch_sub(&sampler->inside, 1);
    errno = before;
}

/* -- The profile's thread -- */

static int set_handler(bool on)
{
    struct sigaction action = {.sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    if (on) {
        action.sa_flags |= SA_SIGINFO;
        action.sa_sigaction = on_sample;
    } else {
        action.sa_handler = SIG_IGN;
    }
    return sigaction(THREAD_SAMPLE_SIGNAL, &action, NULL);
}

struct stack_sampler *stack_sampler_new(struct error *err)
{
    struct stack_sampler *sampler = calloc(1, sizeof *sampler);
    if (sampler == NULL) {
        (void)error_no_memory(err);
        return NULL;
    }
    for (uint32_t i = 0; i < STACK_SAMPLER_THREADS_MAX; i++)
        sampler->targets[i].sampler = sampler;
    stack_walk_prepare();
    (void)set_handler(false); /* cannot fail for a signal that is one */
    return sampler;
}

void stack_sampler_free(struct stack_sampler *sampler)
{
    if (sampler == NULL)
        return;
    assert(!atomic_load(&sampler->on));
    stack_sampler_clear(sampler);
    free(sampler);
}

void stack_sampler_clear(struct stack_sampler *sampler)
{
    assert(!atomic_load(&sampler->on));
    ring_free(sampler->spare);
    ring_free(sampler->full);
    free(sampler->samples);
    sampler->spare = sampler->full = NULL;
    sampler->samples = NULL;
}

static bool is_sampled(const struct stack_sampler *sampler, pid_t thread_id)
{
    for (uint32_t i = 0; i < sampler->count; i++)
        if (atomic_load(&sampler->targets[i].thread_id) == thread_id)
            return true;
    return false;
}

/* The kernel's spelling of "processor time of that thread" (clock_getcpuclockid has it for
 * processes alone, pthread_getcpuclockid wants a pthread_t). */
static clockid_t clock_of(pid_t thread_id)
{
    return (clockid_t)(~(unsigned)thread_id << 3 | 6u);
}

static bool watch(struct stack_sampler *sampler, pid_t thread_id)
{
    struct target *target = &sampler->targets[sampler->count];
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID,
                             .sigev_signo = THREAD_SAMPLE_SIGNAL,
                             .sigev_value.sival_ptr = target};
    event.sigev_notify_thread_id = thread_id;
    if (timer_create(clock_of(thread_id), &event, &target->timer) != 0)
        return errno == EINVAL; /* it ended meanwhile */
    atomic_store(&target->thread_id, thread_id);
    sampler->count++;
    struct timespec period = {.tv_sec = sampler->hz == 1,
                              .tv_nsec = sampler->hz == 1 ? 0 : 1000000000L / sampler->hz};
    const struct itimerspec times = {.it_interval = period, .it_value = period};
    return timer_settime(target->timer, 0, &times, NULL) == 0 || errno == ESRCH;
}

void stack_sampler_look(struct stack_sampler *sampler)
{
    DIR *folder = opendir(TASKS);
    uint32_t left_out = 0;
    if (folder == NULL)
        return;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        pid_t thread_id = (pid_t)strtol(entry->d_name, NULL, 10);
        if (thread_id <= 0 || thread_id == sampler->own_id || is_sampled(sampler, thread_id))
            continue;
        if (sampler->count == STACK_SAMPLER_THREADS_MAX || !watch(sampler, thread_id))
            left_out++;
    }
    (void)closedir(folder);
    sampler->left_out = left_out;
}

int stack_sampler_start(struct stack_sampler *sampler, uint32_t hz, struct error *err)
{
    assert(!atomic_load(&sampler->on) && hz > 0);
    stack_sampler_clear(sampler);
    sampler->spare = ring_new(SAMPLES);
    sampler->full = ring_new(SAMPLES);
    sampler->samples = calloc(SAMPLES, sizeof *sampler->samples);
    if (sampler->spare == NULL || sampler->full == NULL || sampler->samples == NULL) {
        stack_sampler_clear(sampler);
        return error_no_memory(err);
    }
    for (uint32_t i = 0; i < SAMPLES; i++) {
        bool pushed = ring_push(sampler->spare, &sampler->samples[i]);
        assert(pushed);
    }
    sampler->hz = hz;
    sampler->own_id = gettid();
    sampler->count = sampler->left_out = 0;
    atomic_store(&sampler->lost, 0);
    if (set_handler(true) != 0) {
        int failed = errno;
        stack_sampler_clear(sampler);
        return error_set_errno(err, failed, "the signal of profiles");
    }
    atomic_store(&sampler->on, true);
    stack_sampler_look(sampler);
    if (sampler->count > 0)
        return 0;
    stack_sampler_stop(sampler);
    stack_sampler_clear(sampler);
    return error_set(err, ERROR_IO, "the system gives no timers (timer_create)");
}

bool stack_sampler_take(struct stack_sampler *sampler, struct sample *ret)
{
    struct sample *sample = sampler->full == NULL ? NULL : ring_pop(sampler->full);
    if (sample == NULL)
        return false;
    *ret = *sample;
    bool pushed = ring_push(sampler->spare, sample);
    assert(pushed);
    return true;
}

void stack_sampler_stop(struct stack_sampler *sampler)
{
    const struct timespec pause = {.tv_nsec = PAUSE_NS};
    for (uint32_t i = 0; i < sampler->count; i++)
        (void)timer_delete(sampler->targets[i].timer);
    atomic_store(&sampler->on, false);
    (void)set_handler(false);
    while (atomic_load(&sampler->inside) > 0)
        (void)nanosleep(&pause, NULL);
}

void stack_sampler_counts(const struct stack_sampler *sampler, struct stack_sampler_counts *ret)
{
    *ret = (struct stack_sampler_counts){.lost = atomic_load(&sampler->lost),
                                         .threads = sampler->count,
                                         .left_out = sampler->left_out};
}
