/* SPDX-License-Identifier: Apache-2.0 */
/* simulate.c -- weir simulate: a drill. What would be told, when, if users grew like this?
 *
 * The days run through the forecast and the alerts that the daemon runs, and with --webhook the
 * alerts leave by the same outbox, kept in a folder of its own that goes when the drill ends. Their
 * ids carry the time of the drill, so that no receiver takes a real alert for a repetition of one
 * from a drill. */
#include "base/clock.h"
#include "base/text.h"
#include "daemon/commands/commands.h"
#include "daemon/commands/flag_value.h"
#include "daemon/commands/simulated_year.h"
#include "policy/alerts/alert_json.h"
#include "policy/alerts/webhook.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <openssl/crypto.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#define NAME_MAX_BYTES   200u
#define SECRET_BYTES_MAX 256u
#define DELIVER_MS       30000 /* how long a receiver is given in all */
#define DELIVER_STEP_MS  200u
#define HISTORY_DAYS     90u
#define YEAR_DAYS        365u
#define START_SHARE      0.4 /* of the threshold, where no --start is given */
#define GROWTH_MOST      0.5 /* a day, either way */
#define USERS_MOST       1e10
#define TARGET           "rehearsal"

static const char usage[] =
    "weir simulate -- rehearse the alerts before a licence's user threshold\n"
    "\n"
    "  weir simulate --threshold USERS --growth RATE[:DAYS][,RATE[:DAYS]...] [flags]\n"
    "\n"
    "  --threshold USERS     such as 100M, 700M or 1000000\n"
    "  --growth RATES        a day, such as 0.4%; 0.4%:300,-0.6% grows for 300 days, then falls\n"
    "  --start USERS         on the first day; 40% of the threshold by default\n"
    "  --days N              how many, 1 to 1000; 365 by default\n"
    "  --history N           days counted before the first, 0 to 1000; 90 by default. With fewer\n"
    "                        than 60 there is no forecast at first, as after an installation\n"
    "  --condition NAME      of the licence, for the alerts' text; \"rehearsal\" by default\n"
    "  --from YYYY-MM-DD     the first day; today by default\n"
    "  --seed N              of the counter's error; 1 by default\n"
    "  --alerts              only days with alerts\n"
    "  --json                one JSON object\n"
    "  --webhook URL         send the alerts there, marked as a rehearsal; https, or this machine\n"
    "  --secret-file FILE    \"whsec_...\", to sign them with\n"
    "\n"
    "Exit status: 0 fine, 64 wrong command line, 66 no secret there, 69 the webhook did not take\n"
    "every alert within 30 seconds.\n";

struct drill {
    struct simulated_plan plan;
    const char *condition, *webhook, *secret_file; /* borrowed: argv; NULL for none */
    bool growth_given, alerts_only, json, help;
    int64_t now_ms;
    char named[NAME_MAX_BYTES + 64]; /* the condition as the ids have it */
    /* of deliveries */
    uint64_t sent, delivered;
};

/* -- The command line -- */

static int wrong(struct error *err, const char *flag, const char *value, const char *right)
{
    return error_set(err, ERROR_UNSUPPORTED, "%s: '%.100s' is not %s", flag, value, right);
}

static int read_users(const char *flag, const char *value, double *ret, struct error *err)
{
    static const char suffixes[] = "kMB";
    char *end = NULL;
    double users = strtod(value, &end);
    const char *suffix = *end == '\0' ? NULL : strchr(suffixes, *end);
    if (suffix != NULL && end[1] == '\0')
        users *= pow(1000, (double)(suffix - suffixes + 1));
    else if (*end != '\0' || end == value)
        return wrong(err, flag, value, "a number of users, such as 100M");
    if (!(users >= 1) || users > USERS_MOST)
        return wrong(err, flag, value, "between 1 and 10B users");
    *ret = users;
    return 0;
}

struct range {
    uint64_t least, most;
};

static int read_whole(const char *flag, const char *value, struct range range, uint64_t *ret,
                      struct error *err)
{
    char *end = NULL, right[64];
    errno = 0;
    unsigned long long number = strtoull(value, &end, 10);
    (void)snprintf(right, sizeof right, "a whole number from %llu to %llu",
                   (unsigned long long)range.least, (unsigned long long)range.most);
    if (value[0] < '0' || value[0] > '9' || *end != '\0' || errno != 0 || number < range.least ||
        number > range.most)
        return wrong(err, flag, value, right);
    *ret = number;
    return 0;
}

static int read_days(const char *flag, const char *value, struct range range, uint32_t *ret,
                     struct error *err)
{
    uint64_t number = 0;
    int result = read_whole(flag, value, range, &number, err);
    if (result == 0)
        *ret = (uint32_t)number;
    return result;
}

static int read_growth(struct drill *drill, const char *value, struct error *err)
{
    static const char right[] = "a rate a day, such as 0.4%, or 0.4%:300,-0.6%";
    struct simulated_plan *plan = &drill->plan;
    const char *at = value;
    plan->phase_count = 0;
    for (bool more = true; more;) {
        char *end = NULL;
        double growth = strtod(at, &end);
        if (end == at || *end != '%' || !(fabs(growth / 100) <= GROWTH_MOST) ||
            plan->phase_count == SIMULATED_PHASES_MAX)
            return wrong(err, "--growth", value, right);
        struct simulated_phase *phase = &plan->phases[plan->phase_count++];
        *phase = (struct simulated_phase){.growth = growth / 100};
        at = end + 1;
        if (*at == ':') {
            unsigned long days = at[1] >= '0' && at[1] <= '9' ? strtoul(at + 1, &end, 10) : 0;
            if (days == 0 || days > SIMULATED_DAYS_MAX)
                return wrong(err, "--growth", value, right);
            phase->days = (uint32_t)days;
            at = end;
        }
        more = *at == ',' && phase->days != 0;
        at += more;
    }
    drill->growth_given = true;
    return *at == '\0' ? 0 : wrong(err, "--growth", value, right);
}

static int read_date(const char *value, uint32_t *ret, struct error *err)
{
    struct tm date = {0};
    struct text spelled;
    const char *end = strptime(value, "%Y-%m-%d", &date);
    time_t second = end != NULL && *end == '\0' ? timegm(&date) : -1;
    text_init(&spelled);
    if (second > 0)
        alert_date((uint32_t)(second / 86400), &spelled);
    bool sound = second > 0 && strcmp(text_string(&spelled), value) == 0;
    text_destroy(&spelled);
    if (!sound)
        return wrong(err, "--from", value, "a date after 1970, such as 2027-01-31");
    *ret = (uint32_t)(second / 86400);
    return 0;
}

static int read_name(const char *value, const char **ret, struct error *err)
{
    if (value[0] == '\0' || strlen(value) > NAME_MAX_BYTES || !utf8_valid(value, strlen(value)))
        return wrong(err, "--condition", value, "a name of 1 to 200 bytes");
    *ret = value;
    return 0;
}

static int read_flag(struct drill *drill, const char *flag, const char *value, struct error *err)
{
    struct simulated_plan *plan = &drill->plan;
    if (strcmp(flag, "--threshold") == 0)
        return read_users(flag, value, &plan->scope.threshold, err);
    if (strcmp(flag, "--start") == 0)
        return read_users(flag, value, &plan->start, err);
    if (strcmp(flag, "--growth") == 0)
        return read_growth(drill, value, err);
    if (strcmp(flag, "--days") == 0)
        return read_days(flag, value, (struct range){1, SIMULATED_DAYS_MAX}, &plan->days, err);
    if (strcmp(flag, "--history") == 0)
        return read_days(flag, value, (struct range){0, SIMULATED_DAYS_MAX}, &plan->history_days,
                         err);
    if (strcmp(flag, "--seed") == 0)
        return read_whole(flag, value, (struct range){0, UINT64_MAX}, &plan->seed, err);
    if (strcmp(flag, "--from") == 0)
        return read_date(value, &plan->first_day, err);
    if (strcmp(flag, "--condition") == 0)
        return read_name(value, &drill->condition, err);
    if (strcmp(flag, "--webhook") == 0) {
        drill->webhook = value;
        return webhook_check_url(value, false, err) == 0 ? 0 : error_wrap(err, "%s", flag);
    }
    drill->secret_file = value;
    return 0;
}

static int read_argument(struct drill *drill, int argc, char **argv, int *at, struct error *err)
{
    static const char *const flags[] = {"--threshold", "--start",      "--growth", "--days",
                                        "--history",   "--seed",       "--from",   "--condition",
                                        "--webhook",   "--secret-file"};
    const char *argument = argv[*at], *value = NULL;
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (flag_value(flags[i], argc, argv, at, &value))
            return read_flag(drill, flags[i], value, err);
    if (strcmp(argument, "--json") == 0)
        drill->json = true;
    else if (strcmp(argument, "--alerts") == 0)
        drill->alerts_only = true;
    else if (flag_is_help(argument))
        drill->help = true;
    else
        return error_set(err, ERROR_UNSUPPORTED, "%.100s: unknown, or without a value", argument);
    return 0;
}

static int read_command_line(struct drill *drill, int argc, char **argv, struct error *err)
{
    struct simulated_plan *plan = &drill->plan;
    for (int at = 2; at < argc; at++) { /* after "weir simulate" */
        int result = read_argument(drill, argc, argv, &at, err);
        if (result != 0)
            return result;
    }
    if (drill->help)
        return 0;
    if (plan->scope.threshold == 0 || !drill->growth_given)
        return error_set(err, ERROR_UNSUPPORTED, "--threshold and --growth are needed");
    if (drill->secret_file != NULL && drill->webhook == NULL)
        return error_set(err, ERROR_UNSUPPORTED,
                         "--secret-file: there is no --webhook to sign for");
    if (plan->start == 0)
        plan->start = START_SHARE * plan->scope.threshold;
    (void)snprintf(drill->named, sizeof drill->named, "rehearsal %lld %s", (long long)drill->now_ms,
                   drill->condition);
    plan->scope.condition = drill->named;
    plan->scope.scope = "organisation";
    return 0;
}

/* -- What is shown -- */

/* As it is called outside, without the time of the drill. */
static struct alert_scope scope_of(const struct drill *drill)
{
    struct alert_scope scope = drill->plan.scope;
    scope.condition = drill->condition;
    return scope;
}

static void append_forecast(const struct forecast *forecast, struct text *out)
{
    if (forecast->outcome == FORECAST_TOO_SHORT)
        text_append_string(out, "no forecast yet");
    else if (forecast->outcome == FORECAST_CROSSED)
        text_append_string(out, "crossed");
    else if (forecast->outcome == FORECAST_NOT_GROWING)
        text_append_string(out, "not in sight");
    else if (isfinite(forecast->days_late))
        text_append_format(out, "in %.0f to %.0f days", floor(forecast->days_early),
                           ceil(forecast->days_late));
    else
        text_append_format(out, "in %.0f days or more", floor(forecast->days_early));
}

static void append_column(struct text *out, double users)
{
    struct text spelled;
    text_init(&spelled);
    alert_users(users, &spelled);
    text_append_format(out, "  %14s", text_string(&spelled));
    out->failed = out->failed || spelled.failed;
    text_destroy(&spelled);
}

static void append_day(const struct drill *drill, const struct simulated_year *year, uint32_t index,
                       struct text *out)
{
    const struct simulated_day *day = &year->days[index];
    const struct alert_scope scope = scope_of(drill);
    if (drill->alerts_only && day->event_count == 0)
        return;
    text_append_format(out, "%4u  ", index + 1);
    alert_date(day->day, out);
    append_column(out, day->users);
    append_column(out, day->upper);
    text_append_format(out, "  %6.1f%%  ", 100 * day->upper / scope.threshold);
    append_forecast(&day->forecast, out);
    text_append_char(out, '\n');
    for (uint32_t i = 0; i < day->event_count; i++) {
        const struct alert_note note = {.scope = &scope, .event = &day->events[i]};
        text_append_format(out, "      %s %s: ", note.event->fires ? "fires" : "clears",
                           alert_rule_name(note.event->rule));
        alert_sentence(&note, out);
        text_append_char(out, '\n');
    }
}

/* The first day above the threshold in truth; the count of days for none. */
static uint32_t crossing_of(const struct drill *drill, const struct simulated_year *year)
{
    uint32_t index = 0;
    while (index < year->day_count && year->days[index].users <= drill->plan.scope.threshold)
        index++;
    return index;
}

static void append_table(const struct drill *drill, const struct simulated_year *year,
                         struct text *out)
{
    uint32_t crossing = crossing_of(drill, year);
    text_append_format(out, " day  date        %14s  %14s    of all  the threshold\n", "users",
                       "at most");
    for (uint32_t i = 0; i < year->day_count; i++)
        append_day(drill, year, i, out);
    if (crossing == year->day_count) {
        text_append_string(out, "\nThe threshold is not crossed.\n");
        return;
    }
    text_append_string(out, "\nThe threshold is crossed on ");
    alert_date(year->days[crossing].day, out);
    text_append_format(out, ", day %u. Days before it:", crossing + 1);
    for (uint32_t i = 0; i < crossing; i++)
        for (uint32_t j = 0; j < year->days[i].event_count; j++)
            if (year->days[i].events[j].fires)
                text_append_format(out, " %s %u", alert_rule_name(year->days[i].events[j].rule),
                                   crossing - i);
    text_append_char(out, '\n');
}

static void append_json_day(const struct simulated_day *day, struct text *out)
{
    bool dated = day->forecast.outcome != FORECAST_TOO_SHORT;
    text_append_string(out, "{\"date\":\"");
    alert_date(day->day, out);
    text_append_string(out, "\",\"users\":");
    text_append_json_double(out, round(day->users));
    text_append_string(out, ",\"users_upper\":");
    text_append_json_double(out, round(day->upper));
    text_append_string(out, ",\"days_early\":");
    text_append_json_double(out, dated ? day->forecast.days_early : NAN);
    text_append_string(out, ",\"days_late\":");
    text_append_json_double(out, dated ? day->forecast.days_late : NAN);
    text_append_string(out, ",\"alerts\":[");
    for (uint32_t i = 0; i < day->event_count; i++)
        text_append_format(out, "%s{\"id\":\"%s\",\"rule\":\"%s\",\"fires\":%s}", i == 0 ? "" : ",",
                           day->events[i].id, alert_rule_name(day->events[i].rule),
                           day->events[i].fires ? "true" : "false");
    text_append_string(out, "]}");
}

static void append_object(const struct drill *drill, const struct simulated_year *year,
                          struct text *out)
{
    uint32_t crossing = crossing_of(drill, year);
    bool first = true;
    text_append_string(out, "{\"rehearsal\":true,\"condition\":");
    text_append_json(out, drill->condition, strlen(drill->condition));
    text_append_string(out, ",\"threshold\":");
    text_append_json_double(out, drill->plan.scope.threshold);
    text_append_string(out, ",\"crossed\":");
    if (crossing < year->day_count) {
        text_append_char(out, '"');
        alert_date(year->days[crossing].day, out);
        text_append_char(out, '"');
    } else {
        text_append_string(out, "null");
    }
    if (drill->webhook != NULL)
        text_append_format(out, ",\"sent\":%llu,\"delivered\":%llu",
                           (unsigned long long)drill->sent, (unsigned long long)drill->delivered);
    text_append_string(out, ",\"days\":[");
    for (uint32_t i = 0; i < year->day_count; i++) {
        if (drill->alerts_only && year->days[i].event_count == 0)
            continue;
        text_append_string(out, first ? "\n" : ",\n");
        append_json_day(&year->days[i], out);
        first = false;
    }
    text_append_string(out, "]}\n");
}

/* -- Sending -- */

static int put_all(const struct drill *drill, const struct simulated_year *year,
                   struct outbox *outbox, struct error *err)
{
    const struct alert_scope scope = scope_of(drill);
    int result = 0;
    for (uint32_t i = 0; i < year->day_count && result == 0; i++) {
        for (uint32_t j = 0; j < year->days[i].event_count && result == 0; j++) {
            const struct alert_note note = {.scope = &scope,
                                            .event = &year->days[i].events[j],
                                            .now_ms = drill->now_ms,
                                            .rehearsal = true};
            struct text body;
            text_init(&body);
            alert_json(&note, &body);
            const struct outbox_message message = {
                .id = note.event->id, .target = TARGET, .body = text_string(&body)};
            result = body.failed ? error_no_memory(err)
                                 : outbox_put(outbox, &message, drill->now_ms, err);
            text_destroy(&body);
        }
    }
    return result;
}

static int deliver(struct drill *drill, struct outbox *outbox, struct webhook *webhook,
                   struct error *err)
{
    uint64_t started_us = clock_monotonic_us(), spent_ms = 0;
    struct outbox_counts counts = {0};
    int result = outbox_count(outbox, &counts, err);
    drill->sent = counts.pending;
    while (result >= 0 && counts.pending > 0 && spent_ms < DELIVER_MS) {
        const struct timespec pause = {.tv_nsec = DELIVER_STEP_MS * 1000000L};
        struct webhook_turn turn = {.now_ms = clock_unix_us() / 1000, .wait_ms = DELIVER_STEP_MS};
        result = webhook_step(webhook, &turn, err);
        if (result == 0 && (result = outbox_count(outbox, &counts, err)) == 0 && counts.pending > 0)
            (void)nanosleep(&pause, NULL); /* until an attempt is due again */
        spent_ms = (clock_monotonic_us() - started_us) / 1000;
    }
    if (result < 0)
        return result;
    result = outbox_count(outbox, &counts, err);
    drill->delivered = counts.delivered;
    return result;
}

static void explain_pending(struct outbox *outbox)
{
    struct outbox_row row;
    struct outbox_due due = {.now_ms = INT64_MAX, .rows_max = 1};
    if (outbox_due(outbox, &due, &row, NULL) != 1)
        return;
    (void)fprintf(stderr, "weir: --webhook: %s\n",
                  row.why[0] == '\0' ? "no answer in time" : row.why);
    outbox_row_destroy(&row);
}

static int send_from(struct drill *drill, const struct simulated_year *year, const char *folder,
                     const char *secret, struct error *err)
{
    const struct webhook_target target = {
        .name = TARGET, .url = drill->webhook, .secrets = {secret}};
    const struct webhook_config config = {.targets = &target, .target_count = 1};
    struct outbox *outbox = outbox_open(folder, err);
    struct webhook *webhook = outbox == NULL ? NULL : webhook_new(&config, outbox, err);
    int result = webhook == NULL ? ERROR_INVALID : put_all(drill, year, outbox, err);
    if (result == 0)
        result = deliver(drill, outbox, webhook, err);
    if (result == 0 && drill->delivered < drill->sent)
        explain_pending(outbox);
    webhook_free(webhook);
    outbox_close(outbox);
    return result;
}

/* The secret's first line. */
static int read_secret(const struct drill *drill, char ret[SECRET_BYTES_MAX], struct error *err)
{
    FILE *file = fopen(drill->secret_file, "re");
    if (file == NULL)
        return error_set_errno(err, errno, "%s", drill->secret_file);
    bool got = fgets(ret, SECRET_BYTES_MAX, file) != NULL;
    int saved = errno, failed = ferror(file);
    (void)fclose(file);
    if (!got && failed != 0)
        return error_set_errno(err, saved, "%s", drill->secret_file);
    ret[got ? strcspn(ret, "\r\n") : 0] = '\0';
    return 0;
}

static int send_alerts(struct drill *drill, const struct simulated_year *year, struct error *err)
{
    static const char *const files[] = {"outbox.db", "outbox.db-wal", "outbox.db-shm"};
    const char *base = getenv("TMPDIR");
    char folder[PATH_MAX / 2], path[PATH_MAX], secret[SECRET_BYTES_MAX];
    bool signing = drill->secret_file != NULL;
    int result = signing ? read_secret(drill, secret, err) : 0;
    if (result != 0)
        return result;
    int count = snprintf(folder, sizeof folder, "%s/weir-simulate-XXXXXX",
                         base == NULL || base[0] == '\0' ? "/tmp" : base);
    if (count < 0 || (size_t)count >= sizeof folder || mkdtemp(folder) == NULL) {
        result = error_set_errno(err, errno, "a folder for the outbox");
    } else {
        result = send_from(drill, year, folder, signing ? secret : NULL, err);
        for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
            (void)snprintf(path, sizeof path, "%s/%s", folder, files[i]);
            (void)unlink(path);
        }
        (void)rmdir(folder);
    }
    OPENSSL_cleanse(secret, sizeof secret);
    return result;
}

/* -- The command -- */

static int complain(const struct error *err, int status)
{
    (void)fprintf(stderr, "weir: %s%s\n", err->text,
                  status == EX_USAGE ? "; see weir simulate --help" : "");
    return status;
}

static int show(const struct drill *drill, const struct simulated_year *year)
{
    struct text out;
    text_init(&out);
    if (drill->json)
        append_object(drill, year, &out);
    else
        append_table(drill, year, &out);
    if (!drill->json && drill->webhook != NULL)
        text_append_format(&out, "%llu of %llu alerts were taken by the webhook.\n",
                           (unsigned long long)drill->delivered, (unsigned long long)drill->sent);
    int status = out.failed                                                    ? EX_OSERR
                 : fwrite(text_string(&out), 1, out.count, stdout) < out.count ? EX_IOERR
                 : fflush(stdout) != 0                                         ? EX_IOERR
                                                                               : EX_OK;
    if (status != EX_OK)
        (void)fprintf(stderr, "weir: %s\n",
                      status == EX_OSERR ? "out of memory" : "standard output cannot be written");
    text_destroy(&out);
    return status;
}

int command_simulate(int argc, char **argv)
{
    struct error err = {0};
    int64_t now_ms = clock_unix_us() / 1000;
    struct drill drill = {.condition = "rehearsal",
                          .now_ms = now_ms,
                          .plan = {.days = YEAR_DAYS,
                                   .history_days = HISTORY_DAYS,
                                   .first_day = (uint32_t)(now_ms / 86400000),
                                   .seed = 1}};
    if (read_command_line(&drill, argc, argv, &err) != 0)
        return complain(&err, EX_USAGE);
    if (drill.help)
        return fputs(usage, stdout) >= 0 && fflush(stdout) == 0 ? EX_OK : EX_IOERR;
    struct simulated_year *year = simulated_year_new(&drill.plan, &err);
    if (year == NULL)
        return complain(&err, EX_OSERR);
    int status = EX_OK;
    if (drill.webhook != NULL && send_alerts(&drill, year, &err) != 0)
        status = complain(&err, err.code == ERROR_NOT_FOUND ? EX_NOINPUT : EX_UNAVAILABLE);
    if (status == EX_OK)
        status = show(&drill, year);
    if (status == EX_OK && drill.delivered < drill.sent)
        status = EX_UNAVAILABLE;
    simulated_year_free(year);
    return status;
}
