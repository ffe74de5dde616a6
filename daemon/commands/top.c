/* SPDX-License-Identifier: Apache-2.0 */
/* top.c -- weir top: what a running daemon is busy with, drawn again and again.
 *
 * All of it comes from /metrics, which needs no key where the daemon shows it; with a key the
 * table of `weir usage` follows, which has products and the organisation too. */
#include "base/clock.h"
#include "daemon/commands/commands.h"
#include "daemon/commands/flag_value.h"
#include "daemon/commands/remote.h"
#include "daemon/commands/screen.h"
#include "daemon/commands/top_frame.h"
#include "daemon/commands/usage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#define INTERVAL_S_DEFAULT 2u
#define INTERVAL_S_MAX     3600u
#define ONCE_MS            1000 /* between the two scrapes of --once */

static const char usage[] =
    "weir top -- what a running daemon is busy with\n"
    "\n"
    "  weir top [flags]\n"
    "\n"
    "  --once              one frame, over one second, for scripts\n"
    "  --interval SECONDS  between frames, 1 to 3600; 2 by default\n"
    "  --url URL           of the daemon, or of its admin listener; " REMOTE_URL_DEFAULT
    " by default\n"
    "  --key-file FILE     holds a key of access.admin_keys, mode 0600; else $" REMOTE_KEY_VARIABLE
    ":\n"
    "                      with one, users by product and organisation are shown too\n"
    "  --cacert FILE       the authority of its certificate, PEM\n"
    "\n"
    "STREAMS run and QUEUE waits; BATCH is tokens of a forward pass, KV blocks in use, CACHED the\n"
    "prompt tokens that the prefix cache held. TTFT is the time to the first token, ITL between\n"
    "two. HEADROOM is what the nearest licence line leaves. Ctrl-C ends it.\n"
    "\n"
    "Exit status: 0 fine, 64 wrong command line, 66 no key file there, 69 no daemon answers, 76 "
    "it\n"
    "is no weir, 77 a wrong key.\n";

struct top_command {
    struct remote remote;
    bool help, once;
    uint32_t interval_s;
};

struct top {
    const struct remote *remote; /* borrowed */
    struct screen screen;
    struct exposition before, now; /* no text: there is none */
    int64_t before_ms, now_ms;
    json_t *users; /* with a key: what /admin/v1/usage said last */
};

/* -- The command line -- */

static int parse(struct top_command *command, int argc, char **argv)
{
    for (int i = 2; i < argc; i++) {
        const char *argument = argv[i], *value = NULL;
        if (flag_is_help(argument))
            command->help = true;
        else if (strcmp(argument, "--once") == 0)
            command->once = true;
        else if (flag_value("--interval", argc, argv, &i, &value)
                     ? !flag_seconds(value, INTERVAL_S_MAX, &command->interval_s)
                     : !remote_take_flag(&command->remote, argc, argv, &i))
            return flag_misused("top", "unknown, or without a value that will do: ", argument);
    }
    return 0;
}

/* -- Asking -- */

static int check_answer(const struct top *top, long status, const struct exposition *answer,
                        struct error *err)
{
    const struct exposition_query known = {.name = "weir_build_info"};
    const char *url = top->remote->url;
    if (status == 404)
        return error_set(err, ERROR_NOT_FOUND,
                         "%.200s: no /metrics here: --url names the listener that has it", url);
    if (status == 401 || status == 403)
        return error_set(err, ERROR_REFUSED, "%.200s: its /metrics needs a key", url);
    if (status != 200)
        return error_set(err, ERROR_BUSY, "%.200s: status %ld", url, status);
    for (size_t i = 0; i < answer->count; i++)
        if (exposition_matches(&answer->samples[i], &known))
            return 0;
    return error_set(err, ERROR_INVALID, "%.200s: answers, but is no weir", url);
}

static int ask_metrics(const struct top *top, struct exposition *ret, struct error *err)
{
    struct text body;
    long status = 0;
    *ret = (struct exposition){.count = 0};
    int result = remote_get(top->remote, "/metrics", &body, &status, err);
    if (result != 0)
        return result;
    if (status == 200 && exposition_parse(text_string(&body), body.count, ret, err) != 0)
        result = error_wrap(err, "%.200s/metrics", top->remote->url);
    text_destroy(&body);
    if (result == 0)
        result = check_answer(top, status, ret, err);
    if (result != 0)
        exposition_destroy(ret);
    return result;
}

static int ask_users(struct top *top, struct error *err)
{
    struct text bytes;
    json_t *answer = NULL;
    if (top->remote->key[0] == '\0')
        return 0;
    int result = usage_fetch(top->remote, NULL, &answer, &bytes, err);
    if (result != 0)
        return result == ERROR_NOT_FOUND ? 0 : result; /* it has no admin door */
    text_destroy(&bytes);
    json_decref(top->users);
    top->users = answer;
    return 0;
}

/* What there was becomes `before`; it stays where nothing new comes. */
static int ask(void *argument, struct error *err)
{
    struct top *top = argument;
    struct exposition fresh;
    int result = ask_metrics(top, &fresh, err);
    if (result == 0 && (result = ask_users(top, err)) != 0)
        exposition_destroy(&fresh);
    if (result != 0)
        return result;
    exposition_destroy(&top->before);
    top->before = top->now;
    top->before_ms = top->now_ms;
    top->now = fresh;
    top->now_ms = screen_now_ms();
    return 0;
}

/* -- Drawing -- */

static void compose(void *argument, const char *failure, struct text *out)
{
    const struct top *top = argument;
    struct top_look look = {
        .color = top->screen.color, .url = top->remote->url, .failure = failure};
    struct top_view *view = malloc(sizeof *view);
    if (view == NULL) {
        out->failed = true;
        return;
    }
    screen_size(&top->screen, &look.columns, &look.lines);
    top_view_read(top->before.text == NULL ? NULL : &top->before, &top->now,
                  (double)(top->now_ms - top->before_ms) / 1000, (double)clock_unix_us() / 1e6,
                  view);
    top_frame(view, &look, out);
    free(view);
    uint32_t used = 0;
    for (const char *at = text_string(out); *at != '\0'; at++)
        used += *at == '\n';
    if (top->users == NULL || (look.lines > 0 && used + 4 > look.lines))
        return;
    const struct usage_look table = {.columns = look.columns,
                                     .lines = look.lines == 0 ? 0 : look.lines - used - 1,
                                     .color = look.color};
    text_append_char(out, '\n');
    usage_table(top->users, &table, out);
}

static int once(struct top *top, struct error *err)
{
    int result = ask(top, err);
    if (result == 0) {
        (void)screen_wait(&top->screen, screen_now_ms() + ONCE_MS);
        result = top->screen.stopped ? error_set(err, ERROR_CLOSED, "interrupted") : ask(top, err);
    }
    if (result != 0)
        return result;
    struct text frame;
    text_init(&frame);
    top->screen.terminal = false; /* nothing is drawn over, and nothing is cut */
    compose(top, "", &frame);
    bool put = screen_put(&frame);
    text_destroy(&frame);
    return put ? 0 : error_set(err, ERROR_IO, "standard output takes no more");
}

static int run(struct top_command *command, struct error *err)
{
    struct top top = {.remote = &command->remote};
    const struct screen_show show = {
        .interval_s = command->interval_s, .ask = ask, .compose = compose, .argument = &top};
    command->remote.screen = &top.screen;
    int result = screen_open(&top.screen, err);
    if (result == 0)
        result = command->once ? once(&top, err) : screen_run(&top.screen, &show, err);
    exposition_destroy(&top.before);
    exposition_destroy(&top.now);
    json_decref(top.users);
    screen_close(&top.screen);
    return result;
}

int command_top(int argc, char **argv)
{
    struct error err = {0};
    struct top_command command = {.remote = {.command = "top", .url = REMOTE_URL_DEFAULT},
                                  .interval_s = INTERVAL_S_DEFAULT};
    int status = parse(&command, argc, argv);
    if (status == 0 && command.help)
        (void)fputs(usage, stdout);
    if (status == 0 && !command.help)
        status = remote_open(&command.remote, false);
    if (status != 0 || command.help)
        return status;
    if (run(&command, &err) != 0)
        status = remote_complain(&command.remote, &err);
    remote_close(&command.remote);
    return status;
}
