/* SPDX-License-Identifier: Apache-2.0 */
/* usage.c -- weir usage: how many there are now, from the daemon that counts them.
 *
 * One thread, which waits in poll() for three things: the daemon's answer, the next time to ask, a
 * signal (screen.h). */
#include "daemon/commands/usage.h"

#include "daemon/commands/commands.h"
#include "daemon/commands/flag_value.h"
#include "daemon/commands/remote.h"
#include "daemon/commands/screen.h"
#include "policy/license/month.h"

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
    "  --url URL          of the daemon; " REMOTE_URL_DEFAULT " by default\n"
    "  --key-file FILE    holds a key of access.admin_keys, mode 0600; else $" REMOTE_KEY_VARIABLE
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
    struct remote remote;
    const char *month;
    bool help, json, watch;
    uint32_t watch_s;
};

/* -- The command line -- */

static int fail_usage(const char *message, const char *what)
{
    return flag_misused("usage", message, what);
}

static bool set_watch(struct usage_command *command, const char *argument)
{
    static const char flag[] = "--watch";
    if (strncmp(argument, flag, sizeof flag - 1) != 0)
        return false;
    const char *rest = argument + sizeof flag - 1;
    command->watch = true;
    command->watch_s = WATCH_S_DEFAULT;
    return rest[0] == '\0' ||
           (rest[0] == '=' && flag_seconds(rest + 1, WATCH_S_MAX, &command->watch_s));
}

static int parse(struct usage_command *command, int argc, char **argv)
{
    for (int i = 2; i < argc; i++) {
        const char *argument = argv[i];
        if (flag_is_help(argument))
            command->help = true;
        else if (strcmp(argument, "--json") == 0)
            command->json = true;
        else if (!set_watch(command, argument) &&
                 !remote_take_flag(&command->remote, argc, argv, &i) &&
                 !flag_value("--month", argc, argv, &i, &command->month))
            return fail_usage("unknown, or without a value that will do: ", argument);
    }
    if (command->month != NULL && month_parse(command->month) == MONTH_NONE)
        return fail_usage("--month: expected a month such as 2026-11", "");
    if (command->json && command->watch)
        return fail_usage("--json is said once: --watch draws", "");
    return 0;
}

/* -- Once -- */

static int once(const struct usage_command *command, struct error *err)
{
    const struct usage_look look = {.color = screen_may_color()};
    struct text bytes, out;
    json_t *answer = NULL;
    int result = usage_fetch(&command->remote, command->month, &answer, &bytes, err);
    if (result != 0)
        return result;
    text_init(&out);
    if (command->json) {
        text_append(&out, bytes.bytes, bytes.count);
        text_append_char(&out, '\n');
    } else {
        usage_table(answer, &look, &out);
    }
    if (!screen_put(&out))
        result = error_set(err, ERROR_IO, "standard output takes no more");
    text_destroy(&out);
    text_destroy(&bytes);
    json_decref(answer);
    return result;
}

/* -- Again and again -- */

struct watched {
    const struct usage_command *command; /* borrowed */
    struct screen screen;
    json_t *answer; /* the newest; NULL before the first */
};

static int ask(void *argument, struct error *err)
{
    struct watched *watched = argument;
    struct text bytes;
    json_t *answer = NULL;
    int result =
        usage_fetch(&watched->command->remote, watched->command->month, &answer, &bytes, err);
    if (result != 0)
        return result;
    text_destroy(&bytes);
    json_decref(watched->answer);
    watched->answer = answer;
    return 0;
}

static void compose(void *argument, const char *failure, struct text *out)
{
    const struct watched *watched = argument;
    struct usage_look look = {.color = watched->screen.color, .failure = failure};
    screen_size(&watched->screen, &look.columns, &look.lines);
    usage_table(watched->answer, &look, out);
}

static int watch(struct usage_command *command, struct error *err)
{
    struct watched watched = {.command = command};
    const struct screen_show show = {
        .interval_s = command->watch_s, .ask = ask, .compose = compose, .argument = &watched};
    command->remote.screen = &watched.screen;
    int result = screen_open(&watched.screen, err);
    if (result == 0)
        result = screen_run(&watched.screen, &show, err);
    json_decref(watched.answer);
    screen_close(&watched.screen);
    return result;
}

int command_usage(int argc, char **argv)
{
    struct error err = {0};
    struct usage_command command = {.remote = {.command = "usage", .url = REMOTE_URL_DEFAULT}};
    int status = parse(&command, argc, argv);
    if (status == 0 && command.help)
        (void)fputs(usage, stdout);
    if (status == 0 && !command.help)
        status = remote_open(&command.remote, true);
    if (status != 0 || command.help)
        return status;
    if ((command.watch ? watch(&command, &err) : once(&command, &err)) != 0)
        status = remote_complain(&command.remote, &err);
    remote_close(&command.remote);
    return status;
}
