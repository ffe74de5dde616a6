/* SPDX-License-Identifier: Apache-2.0 */
/* main.c -- the process: configuration, signals, and the wait in between.
 *
 * Signals are blocked before any thread is made, so that all threads inherit the block and only
 * this one, inside ppoll(), ever sees one. The first SIGTERM or SIGINT drains, the second ends
 * at once; SIGHUP has settings, keys, certificates and licences read again; SIGUSR1 has the state
 * written down. Exit codes are those of sysexits.h where a supervisor can use the difference. */
#include "base/build_id.h"
#include "base/clock.h"
#include "base/text.h"
#include "base/thread.h"
#include "daemon/access_log.h"
#include "daemon/commands/commands.h"
#include "daemon/config.h"
#include "daemon/crash.h"
#include "daemon/doors.h"
#include "daemon/notify.h"
#include "daemon/reload.h"
#include "daemon/rules.h"
#include "daemon/server.h"
#include "daemon/state_dump.h"
#include "daemon/tls_keeper.h"
#include "daemon/watch.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#define WATCH_PERIOD_MS 1000u
#define STOP_NEEDS_MS   20000u /* the ledger and the last events, after a drain */

static volatile int stop_signals; /* counts SIGTERM and SIGINT; written by on_stop_signal alone */

static volatile int reload_signals; /* counts SIGHUP; written by on_reload_signal alone */

static volatile int state_signals; /* counts SIGUSR1; written by on_state_signal alone */

static void on_stop_signal(int number)
{
    (void)number;
    stop_signals++;
}

static void on_reload_signal(int number)
{
    (void)number;
    reload_signals++;
}

static void on_state_signal(int number)
{
    (void)number;
    state_signals++;
}

/* Blocks the signals that we answer and sets their handlers; ret_open: the mask that lets them
 * in. */
static void prepare_signals(sigset_t *ret_open)
{
    static const int answered[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1};
    struct sigaction stop = {.sa_handler = on_stop_signal}, ignore = {.sa_handler = SIG_IGN};
    struct sigaction reload = {.sa_handler = on_reload_signal};
    struct sigaction state = {.sa_handler = on_state_signal};
    sigset_t blocked;
    sigemptyset(&blocked);
    for (size_t i = 0; i < sizeof answered / sizeof answered[0]; i++)
        sigaddset(&blocked, answered[i]);
    (void)pthread_sigmask(SIG_BLOCK, &blocked, ret_open);
    for (size_t i = 0; i < sizeof answered / sizeof answered[0]; i++) {
        sigdelset(ret_open, answered[i]);
        (void)sigaction(answered[i],
                        answered[i] == SIGHUP    ? &reload
                        : answered[i] == SIGUSR1 ? &state
                                                 : &stop,
                        NULL);
    }
    (void)sigaction(SIGPIPE, &ignore, NULL);
}

/* A word of a shell command line, in single quotes. */
static void append_shell_word(struct text *out, const char *word)
{
    text_append_char(out, '\'');
    for (; *word != '\0'; word++) {
        if (*word == '\'')
            text_append_string(out, "'\\''");
        else
            text_append_char(out, *word);
    }
    text_append_char(out, '\'');
}

/* Where we are, and a command that works when pasted. */
static void greet(const struct server *server)
{
    struct text options, body, out;
    const struct served_model *served = server_first_model(server);
    if (served == NULL)
        return; /* there is nothing that would work */
    bool chat = model_chat_template(served->model) != NULL;
    text_init(&options);
    text_init(&body);
    text_init(&out);
    struct doors_way way;
    doors_way(server->doors, &way);
    if (way.proxy_protocol)
        text_append_string(&options, "--haproxy-protocol ");
    if (way.unix_path != NULL) {
        text_append_string(&options, "--unix-socket ");
        append_shell_word(&options, way.unix_path);
        text_append_char(&options, ' ');
    }
    text_append_string(&body, "{\"model\": ");
    text_append_json(&body, served->id, strlen(served->id));
    text_append_string(&body, chat ? ", \"messages\": [{\"role\": \"user\", \"content\": "
                                     "\"What is a weir?\"}], \"max_tokens\": 64}"
                                   : ", \"prompt\": \"A weir is\", \"max_tokens\": 64}");
    text_append_format(
        &out, "weir %s is ready at %s%s\n  curl %s%s%s -H 'content-type: application/json'",
        WEIR_VERSION, way.unix_path != NULL ? "unix:" : "",
        way.unix_path != NULL ? way.unix_path : way.url, text_string(&options), way.url,
        chat ? "/v1/chat/completions" : "/v1/completions");
    if (server->config->api_key_count > 0 || server->config->keys_file[0] != '\0')
        text_append_string(&out, " -H \"authorization: Bearer $WEIR_API_KEY\"");
    text_append_string(&out, " -d ");
    append_shell_word(&out, text_string(&body));
    text_append_char(&out, '\n');
    if (!options.failed && !body.failed && !out.failed) {
        (void)fwrite(out.bytes, 1, out.count, stdout);
        (void)fflush(stdout);
    }
    text_destroy(&options);
    text_destroy(&body);
    text_destroy(&out);
}

/* A second, or half of what the service manager's watchdog waits for. */
static uint32_t watch_period_ms(const struct server *server)
{
    uint64_t half_ms = notify_watchdog_us(server->notify) / 2000;
    return half_ms > 0 && half_ms < WATCH_PERIOD_MS ? (uint32_t)half_ms : WATCH_PERIOD_MS;
}

static void take_up_again(struct server *server, int64_t now_unix)
{
    notify_reloading(server->notify, clock_monotonic_us());
    reload(server, now_unix);
    server_load_again(server);
    access_log_reopen(server->access_log);
    notify_ready(server->notify);
}

static void wait_for_stop(struct server *server, const sigset_t *open_mask)
{
    uint32_t period_ms = watch_period_ms(server);
    const struct timespec period = {.tv_sec = period_ms / 1000,
                                    .tv_nsec = period_ms % 1000 * 1000000L};
    int reloads_done = 0, states_done = 0;
    while (stop_signals == 0 && !watch_lost(server)) {
        (void)ppoll(NULL, 0, &period, open_mask);
        int64_t now_unix = clock_unix_us() / 1000000;
        if (reloads_done != reload_signals) {
            reloads_done = reload_signals; /* before the files are read: a later one reads again */
            take_up_again(server, now_unix);
        }
        reload_watch(server);
        if (states_done != state_signals) {
            states_done = state_signals;
            state_dump(server, clock_monotonic_us(), clock_unix_us());
        }
        server_watch(server, clock_monotonic_us(), now_unix);
    }
}

/* server_wait_idle() in pieces, between which the watch goes on. */
static bool wait_idle(struct server *server, uint32_t timeout_ms)
{
    uint32_t period_ms = watch_period_ms(server);
    int before = stop_signals;
    uint64_t end_us = clock_monotonic_us() + (uint64_t)timeout_ms * 1000;
    for (uint64_t now_us = clock_monotonic_us();; now_us = clock_monotonic_us()) {
        uint64_t left_ms = now_us < end_us ? (end_us - now_us) / 1000 : 0;
        uint32_t piece_ms = left_ms < period_ms ? (uint32_t)left_ms : period_ms;
        if (server_wait_idle(server, piece_ms, &stop_signals))
            return true;
        if (left_ms == 0 || stop_signals != before)
            return false;
        server_watch(server, clock_monotonic_us(), clock_unix_us() / 1000000);
    }
}

/* Not ready any more, and open: until whoever asks /ready has noticed. */
static void leave(struct server *server, struct log *log, uint32_t delay_ms)
{
    uint32_t period_ms = watch_period_ms(server);
    server_leave(server);
    if (delay_ms == 0)
        return;
    log_event(log, LOG_LEVEL_INFO, "leaving", LOG_U64("delay_ms", delay_ms));
    uint64_t end_us = clock_monotonic_us() + (uint64_t)delay_ms * 1000;
    for (uint64_t now_us; stop_signals <= 1 && (now_us = clock_monotonic_us()) < end_us;) {
        uint64_t left_ms = (end_us - now_us + 999) / 1000;
        uint32_t piece_ms = left_ms < period_ms ? (uint32_t)left_ms : period_ms;
        const struct timespec pause = {.tv_sec = piece_ms / 1000,
                                       .tv_nsec = piece_ms % 1000 * 1000000L};
        (void)nanosleep(&pause, NULL); /* a signal ends it early, which is what we want */
        server_watch(server, clock_monotonic_us(), clock_unix_us() / 1000000);
    }
}

/* False when it cannot be taken down in order. */
static bool drain(struct server *server, struct log *log, const sigset_t *open_mask)
{
    struct live *live = shelf_newest(&server->live);
    uint32_t timeout_ms = live->config->drain_timeout_ms, delay_ms = live->config->drain_delay_ms;
    live_unref(live);
    notify_stopping(server->notify, ((uint64_t)delay_ms + timeout_ms + STOP_NEEDS_MS) * 1000);
    (void)pthread_sigmask(SIG_SETMASK, open_mask, NULL); /* the second signal gets through */
    leave(server, log, delay_ms);
    uint64_t started_us = clock_monotonic_us();
    log_event(log, LOG_LEVEL_INFO, "draining", LOG_U64("timeout_ms", timeout_ms));
    server_drain(server);
    bool idle = stop_signals <= 1 && wait_idle(server, timeout_ms);
    log_event(log, idle ? LOG_LEVEL_INFO : LOG_LEVEL_WARN, "drained",
              LOG_STRING("outcome", idle               ? "all answered"
                                    : stop_signals > 1 ? "interrupted"
                                                       : "timeout"),
              LOG_U64("took_ms", (clock_monotonic_us() - started_us) / 1000));
    bool stopped = idle || server_cut(server);
    if (server_end_loads(server) && stopped)
        return true;
    log_event(log, LOG_LEVEL_ERROR, "stop_forced",
              LOG_STRING("reason", stopped ? "a model's load does not end"
                                           : "an engine's step does not end"));
    return false;
}

static int serve(struct config *config, struct log *log)
{
    struct error err = {0};
    sigset_t open_mask;
    uint64_t started_us = clock_monotonic_us();
    char build[BUILD_ID_TEXT_BYTES];
    prepare_signals(&open_mask);
    build_id_read(build);
    log_event(log, LOG_LEVEL_INFO, "starting", LOG_STRING("version", WEIR_VERSION),
              LOG_STRING("build_id", build), LOG_U64("pid", (uint64_t)getpid()),
              LOG_U64("models", config->model_count));
    struct server *server = server_start(config, log, &err);
    if (server == NULL) {
        log_event(log, LOG_LEVEL_ERROR, "start_failed", LOG_STRING("error", err.text));
        return err.code == ERROR_REFUSED ? EX_CONFIG : EXIT_FAILURE;
    }
    doors_log(server->doors, log);
    log_event(log, LOG_LEVEL_INFO, "ready", LOG_STRING("listen", config->listen),
              LOG_U64("port", server->port), LOG_U64("workers", server->worker_count),
              LOG_U64("models_served", server_count_models(server, MODEL_SERVED)),
              LOG_U64("start_ms", (clock_monotonic_us() - started_us) / 1000));
    notify_ready(server->notify);
    watch_tell_status(server, clock_monotonic_us());
    greet(server);
    wait_for_stop(server, &open_mask);
    if (!drain(server, log, &open_mask)) {
        server_abandon(server);
        _exit(EXIT_FAILURE); /* not exit(): threads still run in what it would take down */
    }
    const bool lost = watch_lost(server); /* a supervisor is to start another */
    server_stop(server);
    log_event(log, LOG_LEVEL_INFO, "stopped", LOG_I64("pid", getpid()));
    return lost ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* The file was read; what it names of licences is read too. */
static int check_configuration(struct config *config)
{
    struct error err = {0};
    struct live *live = live_new(config, &err);
    struct rules *rules = live == NULL ? NULL : rules_new(config, &err);
    live_unref(live);
    if (rules != NULL && config_has_tls(config)) {
        struct tls_reading *reading = tls_reading_new(config, NULL, &err);
        if (reading == NULL) {
            rules_free(rules);
            rules = NULL;
        }
        tls_reading_free(reading);
    }
    if (rules == NULL) {
        (void)fprintf(stderr, "weir: %s\n", err.text);
        return EX_CONFIG;
    }
    (void)printf("weir: the configuration is sound (%u models)\n", config->model_count);
    rules_free(rules);
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    struct config *config = NULL;
    enum config_command command = CONFIG_SERVE;
    struct error err = {0};
    static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
    } commands[] = {
        {"bench", command_bench},       {"check", command_check},       {"health", command_health},
        {"keys", command_keys},         {"licenses", command_licenses}, {"report", command_report},
        {"simulate", command_simulate}, {"top", command_top},           {"usage", command_usage}};
    for (size_t i = 0; argc > 1 && i < sizeof commands / sizeof commands[0]; i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc, argv);
    int result = config_parse(argc, argv, &config, &command, &err);
    if (result != 0) {
        (void)fprintf(stderr, "weir: %s\n", err.text);
        return result == ERROR_UNSUPPORTED ? EX_USAGE : EX_CONFIG;
    }
    int status = EXIT_SUCCESS;
    _Alignas(max_align_t) char fault_stack[THREAD_FAULT_STACK_BYTES];
    if (command == CONFIG_HELP) {
        (void)fputs(config_usage(), stdout);
    } else if (command == CONFIG_VERSION) {
        char build[BUILD_ID_TEXT_BYTES];
        build_id_read(build);
        (void)printf("weir %s (build %s)\n", WEIR_VERSION, build);
    } else if (command == CONFIG_CHECK) {
        status = check_configuration(config);
    } else {
        struct log *log = log_new(STDERR_FILENO, config->log_level, config->log_format);
        crash_prepare(fault_stack);
        status = serve(config, log);
        log_free(log);
    }
    config_free(config);
    return status;
}
