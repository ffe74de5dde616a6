/* SPDX-License-Identifier: Apache-2.0 */
/* report.c -- weir report: a month's evidence from the ledger, as a document to file.
 *
 * Only the ledger is read, and only after its chain was verified: no daemon needs to run, and none
 * is disturbed. A document appears under its name whole or not at all; its signature follows. */
#include "daemon/commands/report.h"

#include "base/clock.h"
#include "daemon/commands/commands.h"
#include "daemon/commands/flag_value.h"
#include "daemon/config.h"
#include "policy/license/month.h"
#include "policy/render/report_render.h"
#include "policy/report/sign.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sysexits.h>
#include <unistd.h>

#define EXIT_NOT_VERIFIED 1

static const char usage[] =
    "weir report -- users and licences of a month, as evidence\n"
    "\n"
    "  weir report --month YYYY-MM [flags]   make a report from the ledger\n"
    "  weir report --verify FILE|FOLDER      verify a signed report, or a state folder's ledger\n"
    "\n"
    "  --month YYYY-MM  the calendar month (UTC)\n"
    "  --model ID       one model alone; or --family NAME, or --org for the organisation's "
    "figures\n"
    "  --html           a page to file and print; --json as config/schema/report.schema.json has\n"
    "                   it; --csv for a spreadsheet; by default what --output ends in, or else\n"
    "                   text for the terminal\n"
    "  --output FILE    instead of standard output\n"
    "  --sign           writes FILE.sig beside it, Ed25519; the key is made once in the state\n"
    "                   folder (report-key.pem, report-key.pub)\n"
    "  --key FILE       the key to sign with, or the public key to verify with\n"
    "  --state FOLDER   of the ledger; by default that of weir serve\n"
    "  --config FILE    weir.yaml: its users.state and operator.name\n"
    "\n"
    "Exit status: 0 fine, 1 not verified, 64 wrong command line, 65 no ledger, report or key,\n"
    "66 not there.\n";

int report_complain(const struct error *err)
{
    (void)fprintf(stderr, "weir report: %s\n", err->text);
    switch (err->code) {
    case ERROR_NOT_FOUND:
        return EX_NOINPUT;
    case ERROR_NO_MEMORY:
        return EX_OSERR;
    case ERROR_IO:
        return EX_IOERR;
    case ERROR_BUSY:
        return EX_TEMPFAIL;
    default:
        return EX_DATAERR;
    }
}

/* -- The command line -- */

static int fail_usage(const char *message)
{
    return flag_misused("report", message, "");
}

static bool set_values(struct report_command *command, int argc, char **argv, int *at)
{
    const struct {
        const char *flag, **ret;
    } flags[] = {{"--month", &command->month},   {"--model", &command->model},
                 {"--family", &command->family}, {"--config", &command->config},
                 {"--state", &command->state},   {"--output", &command->output},
                 {"--key", &command->key},       {"--verify", &command->verify}};
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
        if (flag_value(flags[i].flag, argc, argv, at, flags[i].ret))
            return (*flags[i].ret)[0] != '\0';
    return false;
}

static bool set_format(struct report_command *command, const char *flag)
{
    static const char *const flags[] = {
        [REPORT_HTML] = "--html", [REPORT_JSON] = "--json", [REPORT_CSV] = "--csv"};
    for (int i = REPORT_HTML; i <= REPORT_CSV; i++) {
        if (strcmp(flag, flags[i]) != 0)
            continue;
        if (command->format_given && command->format != (enum report_format)i)
            return false; /* one at a time */
        command->format = (enum report_format)i;
        command->format_given = true;
        return true;
    }
    return false;
}

static int check_request(struct report_command *command)
{
    int scopes = (command->model != NULL) + (command->family != NULL) + command->organisation;
    if (command->verify != NULL)
        return command->month != NULL || command->sign || command->output != NULL
                   ? fail_usage("--verify makes no report")
                   : 0;
    if (command->month == NULL)
        return fail_usage("--month or --verify is missing");
    if (month_parse(command->month) == MONTH_NONE)
        return fail_usage("--month: expected a month such as 2026-11");
    if (scopes > 1)
        return fail_usage("one of --model, --family and --org at a time");
    if (command->sign && command->output == NULL)
        return fail_usage("--sign needs --output: the signature lies beside the file");
    return 0;
}

/* What the output's name ends in. */
static void guess_format(struct report_command *command)
{
    static const char *const ends[] = {
        [REPORT_HTML] = ".html", [REPORT_JSON] = ".json", [REPORT_CSV] = ".csv"};
    const char *dot = command->output == NULL ? NULL : strrchr(command->output, '.');
    for (int i = REPORT_HTML; dot != NULL && !command->format_given && i <= REPORT_CSV; i++)
        if (strcmp(dot, ends[i]) == 0)
            command->format = (enum report_format)i;
}

static int parse(struct report_command *command, int argc, char **argv)
{
    for (int at = 2; at < argc; at++) { /* after "weir report" */
        const char *argument = argv[at];
        if (flag_is_help(argument))
            command->help = true;
        else if (strcmp(argument, "--org") == 0)
            command->organisation = true;
        else if (strcmp(argument, "--sign") == 0)
            command->sign = true;
        else if (!set_format(command, argument) && !set_values(command, argc, argv, &at)) {
            char message[256];
            (void)snprintf(message, sizeof message,
                           "%.100s: unknown flag, a value is missing, or a second format",
                           argument);
            return fail_usage(message);
        }
    }
    if (command->help)
        return 0;
    guess_format(command);
    return check_request(command);
}

/* -- Where the ledger is, and whose -- */

static int find_folder(struct report_command *command, struct error *err)
{
    struct config *config = NULL;
    const char *configured = command->state == NULL ? "" : command->state;
    if (command->config != NULL) {
        int result = config_read(command->config, &config, err);
        if (result != 0)
            return result;
        if (command->state == NULL)
            configured = config->state_folder;
        const char *name = config->declaration->name;
        command->operator_name = name == NULL ? NULL : strdup(name);
    }
    int result = state_folder_find(configured, command->folder, sizeof command->folder, err);
    config_free(config);
    return result;
}

struct ledger *report_open_ledger(const char *folder, struct error *err)
{
    char path[STATE_PATH_MAX];
    int count = snprintf(path, sizeof path, "%s/%s", folder, LEDGER_FILE);
    if (count < 0 || (size_t)count >= sizeof path) {
        (void)error_set(err, ERROR_INVALID, "%.200s: the path is too long", folder);
        return NULL;
    }
    if (access(path, F_OK) != 0) {
        (void)error_set_errno(err, errno, "%s", path);
        return NULL;
    }
    return ledger_open(folder, err);
}

/* -- A report -- */

static void render(const struct report_command *command, const struct report *report,
                   struct text *out)
{
    struct winsize size = {0};
    switch (command->format) {
    case REPORT_HTML:
        render_report_html(report, out);
        break;
    case REPORT_JSON:
        render_report_json(report, out);
        break;
    case REPORT_CSV:
        render_report_csv(report, out);
        break;
    case REPORT_PLAIN:
        if (command->output != NULL || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0)
            size.ws_col = 0;
        render_report_plain(report, size.ws_col, out);
        break;
    }
}

/* Whole under its name, or not at all. */
static int write_file(const char *path, const struct text *text, struct error *err)
{
    char part[STATE_PATH_MAX];
    int count = snprintf(part, sizeof part, "%s.%ld.part", path, (long)getpid());
    if (count < 0 || (size_t)count >= sizeof part)
        return error_set(err, ERROR_INVALID, "%.200s: the path is too long", path);
    int fd = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0)
        return error_set_errno(err, errno, "%s", part);
    size_t written = 0;
    int failed = 0;
    while (failed == 0 && written < text->count) {
        ssize_t now = write(fd, text->bytes + written, text->count - written);
        if (now < 0 && errno != EINTR)
            failed = errno;
        written += now > 0 ? (size_t)now : 0;
    }
    if (failed == 0 && fsync(fd) != 0)
        failed = errno;
    close(fd);
    if (failed == 0 && rename(part, path) != 0)
        failed = errno;
    if (failed == 0)
        return 0;
    (void)unlink(part);
    return error_set_errno(err, failed, "%s", path);
}

static int write_signature(const struct report_command *command, const struct sign_key *key,
                           const struct text *document, struct error *err)
{
    char path[STATE_PATH_MAX];
    struct text signature;
    int count = snprintf(path, sizeof path, "%s.sig", command->output);
    if (count < 0 || (size_t)count >= sizeof path)
        return error_set(err, ERROR_INVALID, "%.200s: the path is too long", command->output);
    text_init(&signature);
    int result = sign_document(key, document->bytes, document->count, &signature, err);
    if (result == 0)
        result = write_file(path, &signature, err);
    if (result == 0)
        (void)printf("%s: signed by %s\n", path, sign_key_fingerprint(key));
    text_destroy(&signature);
    return result;
}

static int write_document(const struct report_command *command, const struct sign_key *key,
                          const struct text *document, struct error *err)
{
    if (command->output == NULL)
        return fwrite(document->bytes, 1, document->count, stdout) == document->count &&
                       fflush(stdout) == 0
                   ? 0
                   : error_set_errno(err, errno, "standard output");
    int result = write_file(command->output, document, err);
    return result == 0 && key != NULL ? write_signature(command, key, document, err) : result;
}

static bool is_about_nothing(const struct report_command *command, const struct report *report)
{
    return (command->model != NULL || command->family != NULL) && report->users_count == 0 &&
           report->license_count == 0;
}

static int publish(const struct report_command *command, struct report *report, struct error *err)
{
    struct sign_key *key = NULL;
    struct text document;
    int result = 0;
    if (is_about_nothing(command, report))
        return error_set(err, ERROR_NOT_FOUND, "%s: the ledger knows none of that name",
                         command->model != NULL ? command->model : command->family);
    if (command->sign)
        result = sign_key_open(command->folder, command->key, &key, err);
    if (result != 0)
        return result;
    report->operator_name = command->operator_name == NULL ? "" : command->operator_name;
    report->signer = key == NULL ? "" : sign_key_fingerprint(key);
    text_init(&document);
    render(command, report, &document);
    result = document.failed ? error_no_memory(err) : write_document(command, key, &document, err);
    text_destroy(&document);
    sign_key_free(key);
    return result;
}

/* A folder without any is that of a daemon which has answered nobody yet. */
static int take_tokens(const struct report_command *command, struct report *report,
                       struct error *err)
{
    struct error why = {0};
    struct tokens_store *store = tokens_store_open(command->folder, false, &why);
    if (store == NULL)
        return why.code == ERROR_NOT_FOUND ? 0 : error_set(err, why.code, "%s", why.text);
    int result = report_take_tokens(report, store, err);
    tokens_store_close(store);
    return result;
}

static int make(const struct report_command *command)
{
    struct error err = {0};
    struct report *report = NULL;
    const struct report_request request = {.month = month_parse(command->month),
                                           .model = command->model == NULL ? "" : command->model,
                                           .family = command->family == NULL ? "" : command->family,
                                           .organisation = command->organisation,
                                           .now_unix = clock_unix_us() / 1000000};
    struct ledger *ledger = report_open_ledger(command->folder, &err);
    if (ledger == NULL)
        return report_complain(&err);
    int result = report_collect(ledger, &request, &report, &err);
    ledger_close(ledger);
    if (result == ERROR_INVALID) { /* what does not hold is no evidence */
        (void)report_complain(&err);
        return EXIT_NOT_VERIFIED;
    }
    if (result == 0)
        result = take_tokens(command, report, &err);
    if (result == 0)
        result = publish(command, report, &err);
    report_free(report);
    return result == 0 ? EXIT_SUCCESS : report_complain(&err);
}

int command_report(int argc, char **argv)
{
    struct report_command command = {.format = REPORT_PLAIN};
    struct error err = {0};
    int status = parse(&command, argc, argv);
    if (status != 0)
        return status;
    if (command.help) {
        (void)fputs(usage, stdout);
        return EXIT_SUCCESS;
    }
    if (find_folder(&command, &err) != 0)
        status = report_complain(&err);
    else
        status = command.verify != NULL ? report_verify(&command) : make(&command);
    free(command.operator_name);
    return status;
}
