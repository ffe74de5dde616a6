/* SPDX-License-Identifier: Apache-2.0 */
/* crash.c -- from the signal to the line, in a process whose heap and locks may be broken.
 *
 * Nothing here allocates, locks or formats by stdio: the line is put together on the fault stack
 * and leaves in one write(2). backtrace() walks by the unwind tables, as it must to get through
 * libraries without frame pointers; what it loads and allocates at its first call was had by
 * crash_prepare(). It can still hang, where the fault was under the loader's lock: alarm() then
 * ends us. Which library an address lies in is read from /proc/self/maps.
 *
 * The handler gives the signal its default effect back, raises it again and returns: it has been
 * blocked meanwhile, so it ends the process where the fault was, registers and all. */
#include "daemon/crash.h"

#include "base/build_id.h"
#include "base/stack_walk.h"
#include "base/thread.h"

#include <execinfo.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define FRAMES_MAX 48
#define LINE_BYTES 4096u
#define MAPS_BYTES 1024u /* read at once; also the longest line that is understood */
#define GIVE_UP_S  10u

struct line {
    char bytes[LINE_BYTES];
    size_t count;
};

static void put(struct line *line, const char *string)
{
    while (*string != '\0' && line->count + 1 < sizeof line->bytes)
        line->bytes[line->count++] = *string++;
}

static void put_number(struct line *line, uint64_t number, unsigned base)
{
    char digits[24];
    size_t at = sizeof digits - 1;
    digits[at] = '\0';
    do {
        digits[--at] = "0123456789abcdef"[number % base];
        number /= base;
    } while (number > 0);
    put(line, base == 16 ? "0x" : "");
    put(line, digits + at);
}

static const char *signal_name(int number)
{
    switch (number) {
    case SIGSEGV:
        return "SIGSEGV";
    case SIGBUS:
        return "SIGBUS";
    case SIGILL:
        return "SIGILL";
    case SIGFPE:
        return "SIGFPE";
    case SIGABRT:
        return "SIGABRT";
    case SIGTRAP:
        return "SIGTRAP";
    default:
        return "SIGSYS";
    }
}

/* -- Which file an address lies in -- */

static const char *read_hex(const char *at, uint64_t *ret)
{
    uint64_t number = 0;
    for (;; at++) {
        if (*at >= '0' && *at <= '9')
            number = number * 16 + (uint64_t)(*at - '0');
        else if (*at >= 'a' && *at <= 'f')
            number = number * 16 + (uint64_t)(*at - 'a' + 10);
        else
            break;
    }
    *ret = number;
    return at;
}

/* "7f12a000-7f12b000 r-xp 00001000 fe:01 1234    /usr/lib/libc.so.6", without its end. */
static bool is_in_mapping(const char *map, uintptr_t address, struct line *line)
{
    uint64_t first, end, offset;
    const char *at = read_hex(map, &first);
    at = read_hex(at + (*at == '-'), &end);
    const char *path = strchr(at, '/');
    if (address < first || address >= end || strlen(at) < 7 || path == NULL)
        return false;
    (void)read_hex(at + 6, &offset);
    put(line, strrchr(path, '/') + 1);
    put(line, "+");
    put_number(line, address - first + offset, 16);
    return true;
}

static bool put_by_maps(struct line *line, uintptr_t address)
{
    char maps[MAPS_BYTES + 1];
    size_t held = 0;
    bool found = false;
    int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    for (ssize_t got; fd >= 0 && !found && (got = read(fd, maps + held, MAPS_BYTES - held)) > 0;) {
        held += (size_t)got;
        maps[held] = '\0';
        char *map = maps, *end;
        for (; !found && (end = strchr(map, '\n')) != NULL; map = end + 1) {
            *end = '\0';
            found = is_in_mapping(map, address, line);
        }
        held -= (size_t)(map - maps);
        memmove(maps, map, held);
        if (held == MAPS_BYTES)
            held = 0; /* a path longer than that: of no library */
    }
    if (fd >= 0)
        (void)close(fd);
    return found;
}

static void put_address(struct line *line, uintptr_t address)
{
    uintptr_t offset;
    if (build_id_offset(address, &offset)) {
        put(line, "weir+");
        put_number(line, offset, 16);
    } else if (!put_by_maps(line, address)) {
        put_number(line, address, 16);
    }
}

/* -- The line -- */

/* From where the fault was: the handler's own frames are left out. */
static void put_backtrace(struct line *line, uintptr_t at)
{
    void *frames[FRAMES_MAX];
    int count = backtrace(frames, FRAMES_MAX), first = 0;
    for (int i = 0; i < count; i++)
        if ((uintptr_t)frames[i] == at)
            first = i;
    put(line, " backtrace=");
    for (int i = first; i < count; i++) {
        put(line, i > first ? "," : "");
        put_address(line, (uintptr_t)frames[i]);
    }
}

static void write_all(const struct line *line)
{
    for (size_t sent = 0; sent < line->count;) {
        ssize_t wrote = write(STDERR_FILENO, line->bytes + sent, line->count - sent);
        if (wrote <= 0)
            return;
        sent += (size_t)wrote;
    }
}

/* A fault of the line's own ends us, for it is blocked here. */
static void on_fault(int number, siginfo_t *cause, void *context)
{
    stack_walk_escape(); /* a profile's: it goes on there */
    (void)signal(number, SIG_DFL);
    struct line line = {.count = 0};
    char build[BUILD_ID_TEXT_BYTES], thread[THREAD_NAME_MAX + 1] = "";
    struct timespec now = {0};
    uintptr_t at = stack_walk_place(context);
    bool sent = cause->si_code <= 0; /* by kill() or raise(): there is no address */
    (void)alarm(GIVE_UP_S);
    (void)prctl(PR_GET_NAME, thread);
    (void)clock_gettime(CLOCK_REALTIME, &now);
    build_id_read(build);
    put(&line, "level=error event=crash signal=");
    put(&line, signal_name(number));
    put(&line, sent ? " sender_pid=" : " address=");
    put_number(&line, sent ? (uint64_t)cause->si_pid : (uint64_t)(uintptr_t)cause->si_addr,
               sent ? 10 : 16);
    put(&line, " thread=");
    put(&line, thread);
    put(&line, " version=" WEIR_VERSION " build_id=");
    put(&line, build);
    put(&line, " pid=");
    put_number(&line, (uint64_t)getpid(), 10);
    put(&line, " unix_s=");
    put_number(&line, (uint64_t)now.tv_sec, 10);
    put(&line, " at=");
    put_address(&line, at);
    put_backtrace(&line, at);
    line.bytes[line.count++] = '\n';
    write_all(&line);
    (void)raise(number);
}

void crash_prepare(void *fault_stack)
{
#ifdef WEIR_SANITIZED
    (void)fault_stack;
    (void)on_fault;
#else
    void *frame;
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigemptyset(&action.sa_mask);
    sigaddset(&action.sa_mask, THREAD_SAMPLE_SIGNAL);
    (void)thread_fault_stack_set(fault_stack, NULL);
    (void)backtrace(&frame, 1);
    for (const int *number = thread_fault_signals; *number != 0; number++)
        (void)sigaction(*number, &action, NULL);
#endif
}
