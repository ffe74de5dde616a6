/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/commands/screen.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#define SCREEN_ENTER "\033[?1049h\033[?25l"
#define SCREEN_LEAVE "\033[?25h\033[?1049l"

bool screen_may_color(void)
{
    const char *none = getenv("NO_COLOR"), *terminal = getenv("TERM");
    return isatty(STDOUT_FILENO) != 0 && (none == NULL || none[0] == '\0') &&
           (terminal == NULL || strcmp(terminal, "dumb") != 0);
}

bool screen_put(const struct text *text)
{
    return !text->failed && fwrite(text_string(text), 1, text->count, stdout) == text->count &&
           fflush(stdout) == 0;
}

int screen_open(struct screen *screen, struct error *err)
{
    static const int wanted[] = {SIGINT, SIGTERM, SIGHUP, SIGWINCH};
    sigset_t signals;
    sigemptyset(&signals);
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
        sigaddset(&signals, wanted[i]);
    *screen = (struct screen){.terminal = isatty(STDOUT_FILENO) != 0, .color = screen_may_color()};
    (void)sigprocmask(SIG_BLOCK, &signals, &screen->before);
    screen->signal_fd = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
    return screen->signal_fd >= 0 ? 0 : error_set_errno(err, errno, "signalfd");
}

void screen_close(struct screen *screen)
{
    if (screen->signal_fd >= 0)
        close(screen->signal_fd);
    (void)sigprocmask(SIG_SETMASK, &screen->before, NULL);
}

bool screen_take_signals(struct screen *screen)
{
    struct signalfd_siginfo info;
    while (read(screen->signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGWINCH)
            screen->resized = true;
        else
            screen->stopped = true;
    }
    return screen->stopped;
}

static void enter(const struct screen *screen)
{
    if (screen->terminal)
        (void)fputs(SCREEN_ENTER, stdout);
}

static void leave(const struct screen *screen)
{
    if (!screen->terminal)
        return;
    (void)fputs(SCREEN_LEAVE, stdout);
    (void)fflush(stdout);
}

void screen_size(const struct screen *screen, uint32_t *ret_columns, uint32_t *ret_lines)
{
    struct winsize size = {0};
    if (screen->terminal)
        (void)ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
    *ret_columns = size.ws_col;
    *ret_lines = size.ws_row;
}

/* Line by line over what stood there, so that nothing flickers. */
static bool put_over(const struct screen *screen, const struct text *rows)
{
    struct text out;
    text_init(&out);
    if (screen->terminal)
        text_append_string(&out, "\033[H");
    for (const char *at = text_string(rows), *end; *at != '\0'; at = end + 1) {
        end = strchr(at, '\n');
        text_append(&out, at, (size_t)(end - at));
        text_append_string(&out, screen->terminal ? "\033[K\r\n" : "\n");
    }
    text_append_string(&out, screen->terminal ? "\033[J" : "\n");
    out.failed = out.failed || rows->failed;
    bool drawn = screen_put(&out);
    text_destroy(&out);
    return drawn;
}

int64_t screen_now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

bool screen_wait(struct screen *screen, int64_t end_ms)
{
    struct pollfd waits = {.fd = screen->signal_fd, .events = POLLIN};
    for (int64_t left; !screen->stopped && (left = end_ms - screen_now_ms()) > 0;) {
        if (poll(&waits, 1, (int)left) <= 0)
            continue;
        (void)screen_take_signals(screen);
        if (screen->resized)
            break;
    }
    bool resized = screen->resized && !screen->stopped;
    screen->resized = false;
    return resized;
}

static bool draw(const struct screen *screen, const struct screen_show *show, const char *failure)
{
    struct text rows;
    text_init(&rows);
    show->compose(show->argument, failure, &rows);
    bool drawn = put_over(screen, &rows);
    text_destroy(&rows);
    return drawn;
}

int screen_run(struct screen *screen, const struct screen_show *show, struct error *err)
{
    char failure[200] = "";
    int result = show->ask(show->argument, err);
    if (result != 0)
        return result;
    bool drawn = true;
    enter(screen);
    while (drawn && !screen->stopped) {
        int64_t end_ms = screen_now_ms() + (int64_t)show->interval_s * 1000;
        drawn = draw(screen, show, failure);
        while (drawn && screen_wait(screen, end_ms))
            drawn = draw(screen, show, failure);
        if (!drawn || screen->stopped)
            break;
        struct error newest = {0};
        result = show->ask(show->argument, &newest);
        (void)snprintf(failure, sizeof failure, "%s", result == 0 ? "" : newest.text);
    }
    leave(screen);
    return drawn ? 0 : error_set(err, ERROR_IO, "standard output takes no more");
}
