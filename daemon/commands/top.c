/* SPDX-License-Identifier: Apache-2.0 */
/* top.c -- weir top: what a running daemon is busy with, drawn again and again.
 *
 * All of it comes from /metrics, which needs no key where the daemon shows it; with a key the
 * table of `weir usage` follows, which has products and the organisation too. */
#include "base/clock.h"
#include "daemon/commands/admin_key.h"
#include "daemon/commands/commands.h"
#include "daemon/commands/flag_value.h"
#include "daemon/commands/screen.h"
#include "daemon/commands/top_frame.h"
#include "daemon/commands/usage.h"

#include <curl/curl.h>
#include <errno.h>
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
    "  --url URL           of the daemon, or of its admin listener; " ADMIN_URL_DEFAULT
    " by default\n"
    "  --key-file FILE     holds a key of access.admin_keys, mode 0600; else $" ADMIN_KEY_VARIABLE
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
    const char *url, *key_file, *ca_file;
    bool help, once;
    uint32_t interval_s;
    char key[ADMIN_KEY_BYTES_MAX + 1];
};

struct top {
    const struct top_command *command; /* borrowed */
    struct usage_source source;
    struct screen screen;
    struct exposition before, now; /* no text: there is none */
    int64_t before_ms, now_ms;
    json_t *users; /* with a key: what /admin/v1/usage said last */
    char failure[200];
};

/* -- The command line -- */

static int fail_usage(const char *what)
{
    return flag_misused("top", "unknown, or without a value that will do: ", what);
}

static bool set_interval(struct top_command *command, const char *value)
{
    char *end;
    unsigned long seconds = strtoul(value, &end, 10);
    if (value[0] < '0' || value[0] > '9' || *end != '\0' || seconds < 1 || seconds > INTERVAL_S_MAX)
        return false;
    command->interval_s = (uint32_t)seconds;
    return true;
}

static int parse(struct top_command *command, int argc, char **argv)
{
    for (int i = 2; i < argc; i++) {
        const char *argument = argv[i], *value = NULL;
        if (strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0)
            command->help = true;
        else if (strcmp(argument, "--once") == 0)
            command->once = true;
        else if (flag_value("--interval", argc, argv, &i, &value)
                     ? !set_interval(command, value)
                     : !flag_value("--url", argc, argv, &i, &command->url) &&
                           !flag_value("--key-file", argc, argv, &i, &command->key_file) &&
                           !flag_value("--cacert", argc, argv, &i, &command->ca_file))
            return fail_usage(argument);
    }
    return 0;
}

static int complain(const struct error *err)
{
    (void)fprintf(stderr, "weir top: %s\n", err->text);
    switch (err->code) {
    case ERROR_NOT_FOUND:
    case ERROR_BUSY:
        return EX_UNAVAILABLE;
    case ERROR_REFUSED:
        return EX_NOPERM;
    case ERROR_INVALID:
        return EX_PROTOCOL;
    default:
        return EX_OSERR;
    }
}

/* -- Asking -- */

static int check_answer(const struct top *top, long status, const struct exposition *answer,
                        struct error *err)
{
    const struct exposition_query known = {.name = "weir_build_info"};
    const char *url = top->command->url;
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
    int result = usage_get(&top->source, "/metrics", &body, &status, err);
    if (result != 0)
        return result;
    if (status == 200 && exposition_parse(text_string(&body), body.count, ret, err) != 0)
        result = error_wrap(err, "%.200s/metrics", top->command->url);
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
    if (top->command->key[0] == '\0')
        return 0;
    int result = usage_fetch(&top->source, &answer, &bytes, err);
    if (result != 0)
        return result == ERROR_NOT_FOUND ? 0 : result; /* it has no admin door */
    text_destroy(&bytes);
    json_decref(top->users);
    top->users = answer;
    return 0;
}

/* What there was becomes `before`; it stays where nothing new comes. */
static int ask(struct top *top, struct error *err)
{
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

static void compose(const struct top *top, struct text *out)
{
    struct top_look look = {
        .color = top->screen.color, .url = top->command->url, .failure = top->failure};
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

static bool draw(const struct top *top)
{
    struct text frame;
    text_init(&frame);
    compose(top, &frame);
    bool drawn = screen_draw(&top->screen, &frame);
    text_destroy(&frame);
    return drawn;
}

static int once(struct top *top)
{
    struct error err = {0};
    int result = ask(top, &err);
    if (result == 0) {
        (void)screen_wait(&top->screen, screen_now_ms() + ONCE_MS);
        result =
            top->screen.stopped ? error_set(&err, ERROR_CLOSED, "interrupted") : ask(top, &err);
    }
    if (result != 0)
        return result == ERROR_CLOSED ? EXIT_SUCCESS : complain(&err);
    struct text frame;
    text_init(&frame);
    top->screen.terminal = false; /* nothing is drawn over, and nothing is cut */
    compose(top, &frame);
    bool put = screen_put(&frame);
    text_destroy(&frame);
    return put ? EXIT_SUCCESS : EX_IOERR;
}

static int watch(struct top *top)
{
    const struct screen *screen = &top->screen;
    struct error err = {0};
    int result = ask(top, &err);
    if (result != 0)
        return result == ERROR_CLOSED ? EXIT_SUCCESS : complain(&err);
    bool drawn = true;
    screen_enter(screen);
    while (drawn && !screen->stopped) {
        int64_t end_ms = screen_now_ms() + (int64_t)top->command->interval_s * 1000;
        drawn = draw(top);
        while (drawn && screen_wait(&top->screen, end_ms))
            drawn = draw(top);
        if (!drawn || screen->stopped)
            break;
        result = ask(top, &err);
        (void)snprintf(top->failure, sizeof top->failure, "%s", result == 0 ? "" : err.text);
    }
    screen_leave(screen);
    return drawn ? EXIT_SUCCESS : EX_IOERR;
}

static int run(const struct top_command *command)
{
    struct top top = {.command = command};
    int status = EX_OSERR;
    if (screen_open(&top.screen)) {
        top.source = (struct usage_source){.url = command->url,
                                           .key = command->key,
                                           .ca_file = command->ca_file,
                                           .signal_fd = top.screen.signal_fd,
                                           .stop = screen_take_signals,
                                           .argument = &top.screen};
        status = command->once ? once(&top) : watch(&top);
    } else {
        (void)fprintf(stderr, "weir top: signalfd: %s\n", strerror(errno));
    }
    exposition_destroy(&top.before);
    exposition_destroy(&top.now);
    json_decref(top.users);
    screen_close(&top.screen);
    return status;
}

int command_top(int argc, char **argv)
{
    struct top_command command = {.url = ADMIN_URL_DEFAULT, .interval_s = INTERVAL_S_DEFAULT};
    int status = parse(&command, argc, argv);
    if (status == 0 && command.help) {
        (void)fputs(usage, stdout);
        return EXIT_SUCCESS;
    }
    if (status == 0)
        status = admin_url_check("top", command.url);
    if (status == 0)
        status = admin_key_find("top", command.key_file, false, command.key);
    if (status != 0)
        return status;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        (void)fprintf(stderr, "weir top: libcurl does not start\n");
        return EX_OSERR;
    }
    status = run(&command);
    explicit_bzero(command.key, sizeof command.key);
    curl_global_cleanup();
    return status;
}
