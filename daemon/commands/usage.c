/* SPDX-License-Identifier: Apache-2.0 */
/* usage.c -- weir usage: how many there are now, from the daemon that counts them.
 *
 * One thread, which waits in poll() for three things: the daemon's answer, the next time to ask, a
 * signal. Signals come through a descriptor, so that an interrupt ends a wait of any kind and the
 * terminal is always given back as it was. */
#include "daemon/commands/usage.h"

#include "daemon/commands/commands.h"
#include "daemon/commands/flag_value.h"
#include "policy/alerts/webhook.h"
#include "policy/license/month.h"
#include "policy/users/private_file.h"

#include <curl/curl.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#define URL_DEFAULT     "http://127.0.0.1:8080"
#define KEY_VARIABLE    "WEIR_ADMIN_KEY"
#define KEY_BYTES_MAX   513u /* with a line's end */
#define WATCH_S_DEFAULT 2u
#define WATCH_S_MAX     3600u

#define SCREEN_ENTER "\033[?1049h\033[?25l"
#define SCREEN_LEAVE "\033[?25h\033[?1049l"

static const char usage[] =
    "weir usage -- how many users there are now, and how near the lines of licences\n"
    "\n"
    "  weir usage [flags]\n"
    "\n"
    "  --watch[=SECONDS]  draw it again and again, every 2 seconds by default, until Ctrl-C\n"
    "  --month YYYY-MM    of an earlier month (UTC)\n"
    "  --json             as config/schema/usage.schema.json has it\n"
    "  --url URL          of the daemon; " URL_DEFAULT " by default\n"
    "  --key-file FILE    holds a key of access.admin_keys, mode 0600; else $" KEY_VARIABLE "\n"
    "  --cacert FILE      the authority of its certificate, PEM\n"
    "\n"
    "LOWER and UPPER are bounds of the calendar month; THRESHOLD is the nearest of the licences'\n"
    "lines that are held against those users, CROSSING when it is reached, early and late.\n"
    "\n"
    "Exit status: 0 fine, 64 wrong command line, 66 no key file there, 69 no daemon answers, 76 "
    "it\n"
    "is no weir, 77 no key or a wrong one.\n";

struct usage_command {
    const char *url, *key_file, *ca_file, *month;
    bool help, json, watch;
    uint32_t watch_s;
    char key[KEY_BYTES_MAX + 1];
};

static int complain(const struct error *err)
{
    (void)fprintf(stderr, "weir usage: %s\n", err->text);
    switch (err->code) {
    case ERROR_NOT_FOUND:
    case ERROR_BUSY:
        return EX_UNAVAILABLE;
    case ERROR_REFUSED:
        return EX_NOPERM;
    case ERROR_UNSUPPORTED:
        return EX_USAGE;
    case ERROR_INVALID:
        return EX_PROTOCOL;
    default:
        return EX_OSERR;
    }
}

/* -- The command line -- */

static int fail_usage(const char *message, const char *what)
{
    (void)fprintf(stderr, "weir usage: %.200s%.200s; weir usage --help tells the rest\n", message,
                  what);
    return EX_USAGE;
}

static bool set_value(const char *flag, int argc, char **argv, int *at, const char **ret)
{
    return flag_value(flag, argc, argv, at, ret) && (*ret)[0] != '\0';
}

static bool set_watch(struct usage_command *command, const char *argument)
{
    static const char flag[] = "--watch";
    if (strncmp(argument, flag, sizeof flag - 1) != 0)
        return false;
    const char *rest = argument + sizeof flag - 1;
    char *end;
    command->watch = true;
    command->watch_s = WATCH_S_DEFAULT;
    if (rest[0] == '\0')
        return true;
    unsigned long seconds = strtoul(rest + 1, &end, 10);
    if (rest[0] != '=' || rest[1] < '0' || rest[1] > '9' || *end != '\0' || seconds < 1 ||
        seconds > WATCH_S_MAX)
        return false;
    command->watch_s = (uint32_t)seconds;
    return true;
}

static int parse(struct usage_command *command, int argc, char **argv)
{
    for (int i = 2; i < argc; i++) {
        const char *argument = argv[i];
        if (strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0)
            command->help = true;
        else if (strcmp(argument, "--json") == 0)
            command->json = true;
        else if (!set_watch(command, argument) &&
                 !set_value("--url", argc, argv, &i, &command->url) &&
                 !set_value("--key-file", argc, argv, &i, &command->key_file) &&
                 !set_value("--cacert", argc, argv, &i, &command->ca_file) &&
                 !set_value("--month", argc, argv, &i, &command->month))
            return fail_usage("unknown, or without a value that will do: ", argument);
    }
    if (command->month != NULL && month_parse(command->month) == MONTH_NONE)
        return fail_usage("--month: expected a month such as 2026-11", "");
    if (command->json && command->watch)
        return fail_usage("--json is said once: --watch draws", "");
    return 0;
}

/* The key goes over the line: in clear text no further than to this machine. */
static int check_url(const struct usage_command *command)
{
    struct error err = {0};
    size_t count = strlen(command->url);
    if (count == 0 || command->url[count - 1] == '/')
        return fail_usage("--url: expected scheme, host and port, without a '/' at the end", "");
    if (webhook_check_url(command->url, false, &err) == 0)
        return 0;
    (void)fprintf(stderr, "weir usage: --url: %s\n", err.text);
    return EX_USAGE;
}

static int read_key_file(struct usage_command *command)
{
    const struct private_file_rules rules = {
        .bytes_min = 1, .bytes_max = KEY_BYTES_MAX, .forbidden = 077};
    struct error err = {0};
    size_t count = 0;
    int result =
        private_file_read(command->key_file, &rules, (uint8_t *)command->key, &count, NULL, &err);
    if (result != 0) {
        (void)fprintf(stderr, "weir usage: %s\n", err.text);
        return result == ERROR_REFUSED ? EX_NOPERM : EX_NOINPUT;
    }
    while (count > 0 && (command->key[count - 1] == '\n' || command->key[count - 1] == '\r'))
        count--;
    command->key[count] = '\0';
    return 0;
}

static int find_key(struct usage_command *command)
{
    const char *variable = getenv(KEY_VARIABLE);
    if (command->key_file != NULL) {
        int status = read_key_file(command);
        if (status != 0)
            return status;
    } else if (variable != NULL && strlen(variable) < sizeof command->key) {
        memcpy(command->key, variable, strlen(variable) + 1);
    }
    bool plain = command->key[0] != '\0';
    for (const char *at = command->key; *at != '\0'; at++)
        plain = plain && *at > ' ' && *at <= '~'; /* it becomes a line of a header */
    if (plain)
        return 0;
    (void)fprintf(stderr, "weir usage: no key: --key-file FILE, or $" KEY_VARIABLE
                          ", holds one of access.admin_keys\n");
    return EX_NOPERM;
}

/* -- Once -- */

static bool may_color(void)
{
    const char *none = getenv("NO_COLOR"), *terminal = getenv("TERM");
    return isatty(STDOUT_FILENO) != 0 && (none == NULL || none[0] == '\0') &&
           (terminal == NULL || strcmp(terminal, "dumb") != 0);
}

static bool put(const struct text *text)
{
    return !text->failed && fwrite(text_string(text), 1, text->count, stdout) == text->count &&
           fflush(stdout) == 0;
}

static int once(const struct usage_command *command, const struct usage_source *source)
{
    const struct usage_look look = {.color = may_color()};
    struct error err = {0};
    struct text bytes, out;
    json_t *answer = NULL;
    text_init(&bytes);
    text_init(&out);
    if (usage_fetch(source, &answer, &bytes, &err) != 0)
        return complain(&err);
    if (command->json) {
        text_append(&out, bytes.bytes, bytes.count);
        text_append_char(&out, '\n');
    } else {
        usage_table(answer, &look, &out);
    }
    int status = put(&out) ? EXIT_SUCCESS : EX_IOERR;
    text_destroy(&out);
    text_destroy(&bytes);
    json_decref(answer);
    return status;
}

/* -- Again and again -- */

struct screen {
    int signal_fd;
    bool terminal, color, stopped, resized;
    json_t *answer; /* the newest; NULL before the first */
    char failure[200];
};

/* Takes what signals there are; true when one says to end. */
static bool take_signals(void *argument)
{
    struct screen *screen = argument;
    struct signalfd_siginfo info;
    while (read(screen->signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGWINCH)
            screen->resized = true;
        else
            screen->stopped = true;
    }
    return screen->stopped;
}

static int open_signals(struct screen *screen, sigset_t *ret_before)
{
    static const int wanted[] = {SIGINT, SIGTERM, SIGHUP, SIGWINCH};
    sigset_t signals;
    sigemptyset(&signals);
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
        sigaddset(&signals, wanted[i]);
    (void)sigprocmask(SIG_BLOCK, &signals, ret_before);
    screen->signal_fd = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
    return screen->signal_fd;
}

/* Line by line over what stood there, so that nothing flickers. */
static bool draw(const struct screen *screen)
{
    struct winsize size = {0};
    struct text table, out;
    if (screen->terminal)
        (void)ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
    const struct usage_look look = {.columns = size.ws_col,
                                    .lines = size.ws_row,
                                    .color = screen->color,
                                    .failure = screen->failure};
    text_init(&table);
    text_init(&out);
    usage_table(screen->answer, &look, &table);
    if (screen->terminal)
        text_append_string(&out, "\033[H");
    for (const char *at = text_string(&table), *end; *at != '\0'; at = end + 1) {
        end = strchr(at, '\n');
        text_append(&out, at, (size_t)(end - at));
        text_append_string(&out, screen->terminal ? "\033[K\r\n" : "\n");
    }
    text_append_string(&out, screen->terminal ? "\033[J" : "\n");
    out.failed = out.failed || table.failed;
    bool drawn = put(&out);
    text_destroy(&table);
    text_destroy(&out);
    return drawn;
}

/* The last answer stays where a new one does not come. */
static int ask_again(struct screen *screen, const struct usage_source *source, struct error *err)
{
    struct text bytes;
    json_t *answer = NULL;
    int result = usage_fetch(source, &answer, &bytes, err);
    if (result != 0)
        return result;
    text_destroy(&bytes);
    json_decref(screen->answer);
    screen->answer = answer;
    return 0;
}

static int64_t now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Until it is time to ask again, or to end; a new size is drawn at once. */
static bool wait_until(struct screen *screen, int64_t end_ms)
{
    struct pollfd waits = {.fd = screen->signal_fd, .events = POLLIN};
    for (int64_t left = end_ms - now_ms(); left > 0 && !screen->stopped; left = end_ms - now_ms()) {
        if (poll(&waits, 1, (int)left) <= 0)
            continue;
        (void)take_signals(screen);
        if (screen->resized && !draw(screen))
            return false;
        screen->resized = false;
    }
    return true;
}

static int watch(const struct usage_command *command, struct screen *screen,
                 const struct usage_source *source)
{
    struct error err = {0};
    int result = ask_again(screen, source, &err);
    if (result != 0)
        return result == ERROR_CLOSED ? EXIT_SUCCESS : complain(&err);
    bool drawn = true;
    if (screen->terminal)
        (void)fputs(SCREEN_ENTER, stdout);
    while (drawn && !screen->stopped) {
        drawn = draw(screen) && wait_until(screen, now_ms() + (int64_t)command->watch_s * 1000);
        if (!drawn || screen->stopped)
            break;
        result = ask_again(screen, source, &err);
        (void)snprintf(screen->failure, sizeof screen->failure, "%s", result == 0 ? "" : err.text);
    }
    if (screen->terminal) {
        (void)fputs(SCREEN_LEAVE, stdout);
        (void)fflush(stdout);
    }
    return drawn ? EXIT_SUCCESS : EX_IOERR;
}

static int watch_all(const struct usage_command *command, const struct usage_source *from)
{
    struct usage_source source = *from;
    struct screen screen = {.terminal = isatty(STDOUT_FILENO) != 0, .color = may_color()};
    sigset_t before;
    if (open_signals(&screen, &before) < 0) {
        (void)fprintf(stderr, "weir usage: signalfd: %s\n", strerror(errno));
        return EX_OSERR;
    }
    source.signal_fd = screen.signal_fd;
    source.stop = take_signals;
    source.argument = &screen;
    int status = watch(command, &screen, &source);
    json_decref(screen.answer);
    close(screen.signal_fd);
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    return status;
}

int command_usage(int argc, char **argv)
{
    struct usage_command command = {.url = URL_DEFAULT};
    int status = parse(&command, argc, argv);
    if (status == 0 && command.help) {
        (void)fputs(usage, stdout);
        return EXIT_SUCCESS;
    }
    if (status == 0)
        status = check_url(&command);
    if (status == 0)
        status = find_key(&command);
    if (status != 0)
        return status;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        (void)fprintf(stderr, "weir usage: libcurl does not start\n");
        return EX_OSERR;
    }
    const struct usage_source source = {.url = command.url,
                                        .key = command.key,
                                        .ca_file = command.ca_file,
                                        .month = command.month,
                                        .signal_fd = -1};
    status = command.watch ? watch_all(&command, &source) : once(&command, &source);
    explicit_bzero(command.key, sizeof command.key);
    curl_global_cleanup();
    return status;
}
