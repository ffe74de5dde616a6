/* SPDX-License-Identifier: Apache-2.0 */
/* usage.c -- weir usage: how many there are now, from the daemon that counts them.
 *
 * One thread, which waits in poll() for three things: the daemon's answer, the next time to ask, a
 * signal (screen.h). */
#include "daemon/commands/usage.h"

#include "daemon/commands/admin_key.h"
#include "daemon/commands/commands.h"
#include "daemon/commands/flag_value.h"
#include "daemon/commands/screen.h"
#include "policy/license/month.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#define WATCH_S_DEFAULT 2u
#define WATCH_S_MAX     3600u

static const char usage[] =
    "weir usage -- how many users there are now, and how near the lines of licences\n"
    "\n"
    "  weir usage [flags]\n"
    "\n"
    "  --watch[=SECONDS]  draw it again and again, every 2 seconds by default, until Ctrl-C\n"
    "  --month YYYY-MM    of an earlier month (UTC)\n"
    "  --json             as config/schema/usage.schema.json has it\n"
    "  --url URL          of the daemon; " ADMIN_URL_DEFAULT " by default\n"
    "  --key-file FILE    holds a key of access.admin_keys, mode 0600; else $" ADMIN_KEY_VARIABLE
    "\n"
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
    char key[ADMIN_KEY_BYTES_MAX + 1];
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
    return flag_misused("usage", message, what);
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

/* -- Once -- */

static int once(const struct usage_command *command, const struct usage_source *source)
{
    const struct usage_look look = {.color = screen_may_color()};
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
    int status = screen_put(&out) ? EXIT_SUCCESS : EX_IOERR;
    text_destroy(&out);
    text_destroy(&bytes);
    json_decref(answer);
    return status;
}

/* -- Again and again -- */

struct watched {
    struct screen screen;
    json_t *answer; /* the newest; NULL before the first */
    char failure[200];
};

static bool draw(const struct watched *watched)
{
    struct usage_look look = {.color = watched->screen.color, .failure = watched->failure};
    struct text table;
    screen_size(&watched->screen, &look.columns, &look.lines);
    text_init(&table);
    usage_table(watched->answer, &look, &table);
    bool drawn = screen_draw(&watched->screen, &table);
    text_destroy(&table);
    return drawn;
}

/* The last answer stays where a new one does not come. */
static int ask_again(struct watched *watched, const struct usage_source *source, struct error *err)
{
    struct text bytes;
    json_t *answer = NULL;
    int result = usage_fetch(source, &answer, &bytes, err);
    if (result != 0)
        return result;
    text_destroy(&bytes);
    json_decref(watched->answer);
    watched->answer = answer;
    return 0;
}

/* Until it is time to ask again, or to end; a new size is drawn at once. */
static bool wait_until(struct watched *watched, int64_t end_ms)
{
    while (screen_wait(&watched->screen, end_ms))
        if (!draw(watched))
            return false;
    return true;
}

static int watch(const struct usage_command *command, struct watched *watched,
                 const struct usage_source *source)
{
    const struct screen *screen = &watched->screen;
    struct error err = {0};
    int result = ask_again(watched, source, &err);
    if (result != 0)
        return result == ERROR_CLOSED ? EXIT_SUCCESS : complain(&err);
    bool drawn = true;
    screen_enter(screen);
    while (drawn && !screen->stopped) {
        drawn = draw(watched) &&
                wait_until(watched, screen_now_ms() + (int64_t)command->watch_s * 1000);
        if (!drawn || screen->stopped)
            break;
        result = ask_again(watched, source, &err);
        (void)snprintf(watched->failure, sizeof watched->failure, "%s",
                       result == 0 ? "" : err.text);
    }
    screen_leave(screen);
    return drawn ? EXIT_SUCCESS : EX_IOERR;
}

static int watch_all(const struct usage_command *command, const struct usage_source *from)
{
    struct usage_source source = *from;
    struct watched watched = {.answer = NULL};
    int status = EX_OSERR;
    if (screen_open(&watched.screen)) {
        source.signal_fd = watched.screen.signal_fd;
        source.stop = screen_take_signals;
        source.argument = &watched.screen;
        status = watch(command, &watched, &source);
    } else {
        (void)fprintf(stderr, "weir usage: signalfd: %s\n", strerror(errno));
    }
    json_decref(watched.answer);
    screen_close(&watched.screen);
    return status;
}

int command_usage(int argc, char **argv)
{
    struct usage_command command = {.url = ADMIN_URL_DEFAULT};
    int status = parse(&command, argc, argv);
    if (status == 0 && command.help) {
        (void)fputs(usage, stdout);
        return EXIT_SUCCESS;
    }
    if (status == 0)
        status = admin_url_check("usage", command.url);
    if (status == 0)
        status = admin_key_find("usage", command.key_file, true, command.key);
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
