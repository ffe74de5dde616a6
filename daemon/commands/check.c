/* SPDX-License-Identifier: Apache-2.0 */
/* check.c -- weir check: may I run this, here, for this?
 *
 * Catalogue and configuration, then the targets, then an assessment each, then one document over
 * all of them. What cannot be looked at never makes an answer milder: a file that is no sound GGUF
 * is judged by what lies beside it, and the exit status is then at least that of a review; alone,
 * it is nothing that could be checked. */
#include "base/clock.h"
#include "daemon/commands/check_targets.h"
#include "daemon/commands/commands.h"
#include "daemon/commands/flag_value.h"
#include "daemon/model_facts.h"
#include "policy/license/gate.h"
#include "policy/render/render.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sysexits.h>
#include <unistd.h>

#define TABLE_COLUMNS_UNKNOWN 0u
#define VERDICT_COUNT         5u

enum check_format { FORMAT_TABLE, FORMAT_JSON, FORMAT_SARIF, FORMAT_CYCLONEDX, FORMAT_MARKDOWN };

struct check {
    /* the command line */
    const char *config_path, *licenses; /* NULL when not given */
    enum check_format format;
    bool format_given, quiet, help;
    const char **arguments;
    uint32_t argument_count;
    /* what models are weighed by */
    struct config *config; /* NULL without --config */
    struct catalogue *catalogue;
    struct license_matcher *matcher;
    int64_t now_unix;
    /* what was found */
    struct check_targets targets;
    struct assessment **assessments; /* room for one a target */
    uint32_t assessment_count;
    bool troubled, missing; /* something was not looked at; an argument stands for nothing */
};

static const char usage[] =
    "weir check -- may I run this model, here, for this?\n"
    "\n"
    "  weir check [flags] MODEL|FOLDER|TEXT|ID...\n"
    "\n"
    "  MODEL            a GGUF file, or the id of a model of --config\n"
    "  FOLDER           of one model, or a tree of many\n"
    "  TEXT             a licence text, or a README.md\n"
    "  ID               a licence (weir licenses list), or a published model's name\n"
    "\n"
    "  --config FILE    weir.yaml: its operator section is what models are weighed by; without\n"
    "                   MODEL, all models that it names\n"
    "  --licenses DIR   more licences, or others in place of the known ones\n"
    "  --json           as config/schema/assessment.schema.json has it; several as a list\n"
    "  --sarif          SARIF 2.1.0, for code scanning\n"
    "  --cyclonedx      CycloneDX 1.6, a bill of materials\n"
    "  --markdown       notices and attributions to paste\n"
    "  --quiet          the exit status alone\n"
    "\n"
    "Exit status, the worst of all: 0 nothing to do, 1 obligations, 2 a breach, 3 unknown or to\n"
    "be reviewed; 64 wrong command line, 66 nothing found there, 78 wrong configuration.\n";

/* -- The command line -- */

static int fail_usage(const char *format, const char *what, struct error *err)
{
    char message[256];
    (void)snprintf(message, sizeof message, format, what);
    return error_set(err, ERROR_UNSUPPORTED, "%s; weir check --help tells the rest", message);
}

static bool set_format(struct check *check, const char *flag, struct error *err, int *ret_result)
{
    static const char *const flags[] = {[FORMAT_JSON] = "--json",
                                        [FORMAT_SARIF] = "--sarif",
                                        [FORMAT_CYCLONEDX] = "--cyclonedx",
                                        [FORMAT_MARKDOWN] = "--markdown"};
    for (uint32_t i = FORMAT_JSON; i <= FORMAT_MARKDOWN; i++) {
        if (strcmp(flag, flags[i]) != 0)
            continue;
        *ret_result = check->format_given && check->format != (enum check_format)i
                          ? fail_usage("%s: one format at a time", flag, err)
                          : 0;
        check->format = (enum check_format)i;
        check->format_given = true;
        return true;
    }
    return false;
}

static int parse(struct check *check, int argc, char **argv, struct error *err)
{
    bool only_targets = false;
    check->arguments = calloc((size_t)argc + 1, sizeof *check->arguments);
    if (check->arguments == NULL)
        return error_no_memory(err);
    for (int at = 2; at < argc; at++) { /* after "weir check" */
        int result = 0;
        if (only_targets || argv[at][0] != '-')
            check->arguments[check->argument_count++] = argv[at];
        else if (strcmp(argv[at], "--") == 0)
            only_targets = true;
        else if (flag_is_help(argv[at]))
            check->help = true;
        else if (strcmp(argv[at], "--quiet") == 0)
            check->quiet = true;
        else if (!flag_value("--config", argc, argv, &at, &check->config_path) &&
                 !flag_value("--licenses", argc, argv, &at, &check->licenses) &&
                 !set_format(check, argv[at], err, &result))
            result = fail_usage("%.100s: unknown flag, or a value is missing", argv[at], err);
        if (result != 0)
            return result;
    }
    for (uint32_t i = 0; i < check->argument_count; i++)
        if (check->arguments[i][0] == '\0')
            return fail_usage("%s", "an argument is empty", err);
    if (check->argument_count == 0 && check->config_path == NULL && !check->help)
        return fail_usage("%s", "nothing to check was named", err);
    return 0;
}

/* -- What models are weighed by -- */

static int load_rules(struct check *check, struct error *err)
{
    char storage[PATH_MAX];
    const char *folders[2], *extra = check->licenses;
    if (check->config_path != NULL && config_read(check->config_path, &check->config, err) != 0)
        return err->code;
    if (extra == NULL && check->config != NULL)
        extra = check->config->licenses_folder;
    uint32_t count = catalogue_folders(extra, storage, sizeof storage, folders);
    check->catalogue = catalogue_load(folders, count, err);
    if (check->catalogue == NULL)
        return err->code;
    check->matcher = license_matcher_new(check->catalogue, err);
    return check->matcher == NULL ? err->code : 0;
}

/* -- Targets -- */

static void complain(struct check *check, const struct error *err)
{
    (void)fprintf(stderr, "weir check: %s\n", err->text);
    check->troubled = true;
}

static int find_targets(struct check *check, struct error *err)
{
    check_targets_init(&check->targets, check->config);
    if (check->argument_count == 0)
        return check_targets_add_configured(&check->targets, err);
    for (uint32_t i = 0; i < check->argument_count; i++) {
        int result = check_targets_add(&check->targets, check->arguments[i], err);
        if (result == ERROR_NO_MEMORY || result == ERROR_BUSY)
            return result;
        if (result != 0) {
            complain(check, err);
            check->missing = true;
        }
    }
    if (check->targets.troubles.count > 0) {
        (void)fputs(text_string(&check->targets.troubles), stderr);
        check->troubled = true;
    }
    return check->targets.troubles.failed ? error_no_memory(err) : 0;
}

/* -- One model -- */

static int recognise_file(struct check *check, const struct check_target *target,
                          struct recognition **ret, struct error *err)
{
    struct model_facts facts;
    struct error inner = {0};
    struct gguf *gguf = NULL;
    if (target->kind == CHECK_WEIGHTS) {
        gguf = gguf_open(target->path, &inner);
        if (gguf == NULL)
            complain(check, &inner);
    }
    int result = model_facts_init(&facts, gguf, &inner);
    if (result == ERROR_INVALID) {
        error_wrap(&inner, "%s", target->path);
        complain(check, &inner);
        result = model_facts_init(&facts, NULL, &inner);
    }
    if (result != 0) {
        gguf_close(gguf);
        return error_set(err, result, "%s", inner.text);
    }
    facts.facts.id = target->id;
    facts.facts.path = target->path;
    facts.facts.path_is_text = target->kind == CHECK_TEXT;
    facts.facts.chosen_license = target->license;
    result = recognition_read(check->catalogue, check->matcher, &facts.facts, ret, err);
    model_facts_destroy(&facts);
    gguf_close(gguf);
    return result;
}

static int assess(struct check *check, const struct check_target *target, struct error *err)
{
    struct recognition *recognition = NULL;
    int result = target->kind == CHECK_NAME
                     ? recognition_of_name(check->catalogue, target->id, &recognition, err)
                     : recognise_file(check, target, &recognition, err);
    if (result == ERROR_NOT_FOUND && target->kind == CHECK_NAME) {
        check->missing = true;
        return error_set(err, ERROR_NOT_FOUND,
                         "'%.200s' is no file, no folder, no licence of the catalogue and no "
                         "model that it knows; weir licenses list names the licences",
                         target->id);
    }
    if (result != 0)
        return error_wrap(err, "%s", target->id);
    const struct declaration *declaration =
        check->config == NULL ? NULL : check->config->declaration;
    result = gate_assess(recognition, declaration, check->now_unix,
                         &check->assessments[check->assessment_count], err);
    if (result == 0)
        check->assessment_count++;
    return result;
}

static int assess_all(struct check *check, struct error *err)
{
    check->assessments = calloc((size_t)check->targets.count + 1, sizeof *check->assessments);
    if (check->assessments == NULL)
        return error_no_memory(err);
    for (uint32_t i = 0; i < check->targets.count; i++) {
        int result = assess(check, &check->targets.items[i], err);
        if (result == ERROR_NO_MEMORY)
            return result;
        if (result != 0)
            complain(check, err);
    }
    return 0;
}

/* -- The answer -- */

static enum verdict worst(const struct check *check)
{
    enum verdict verdict = VERDICT_MET;
    for (uint32_t i = 0; i < check->assessment_count; i++)
        if (check->assessments[i]->verdict > verdict)
            verdict = check->assessments[i]->verdict;
    return check->troubled && verdict < VERDICT_REVIEW ? VERDICT_REVIEW : verdict;
}

static uint32_t terminal_columns(void)
{
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
        return TABLE_COLUMNS_UNKNOWN;
    return size.ws_col;
}

static bool wants_colour(void)
{
    const char *term = getenv("TERM"), *no_colour = getenv("NO_COLOR");
    return isatty(STDOUT_FILENO) && (no_colour == NULL || no_colour[0] == '\0') && term != NULL &&
           strcmp(term, "dumb") != 0;
}

static void append_tables(const struct check *check, struct text *out)
{
    uint32_t counts[VERDICT_COUNT] = {0}, columns = terminal_columns();
    bool colour = wants_colour();
    for (uint32_t i = 0; i < check->assessment_count; i++) {
        counts[check->assessments[i]->verdict]++;
        text_append_string(out, i == 0 ? "" : "\n\n");
        render_table(check->assessments[i], columns, colour, out);
    }
    if (check->assessment_count < 2)
        return;
    text_append_format(out, "\n\n%u models:", check->assessment_count);
    const char *between = " ";
    for (uint32_t i = VERDICT_COUNT; i > 0; i--) {
        if (counts[i - 1] == 0)
            continue;
        text_append_format(out, "%s%u %s", between, counts[i - 1],
                           verdict_name((enum verdict)(i - 1)));
        between = ", ";
    }
    text_append_char(out, '\n');
}

static void append_json(const struct check *check, struct text *out)
{
    bool several = check->assessment_count != 1;
    text_append_string(out, several ? "[" : "");
    for (uint32_t i = 0; i < check->assessment_count; i++) {
        text_append_string(out, i == 0 ? "" : ",\n");
        render_json(check->assessments[i], out);
    }
    text_append_string(out, several ? "]\n" : "\n");
}

static void append_document(const struct check *check, struct text *out)
{
    const struct assessment *const *assessments =
        (const struct assessment *const *)check->assessments;
    switch (check->format) {
    case FORMAT_TABLE:
        append_tables(check, out);
        break;
    case FORMAT_JSON:
        append_json(check, out);
        break;
    case FORMAT_SARIF:
        render_sarif(assessments, check->assessment_count, out);
        text_append_char(out, '\n');
        break;
    case FORMAT_CYCLONEDX:
        render_cyclonedx(assessments, check->assessment_count, check->now_unix, out);
        text_append_char(out, '\n');
        break;
    case FORMAT_MARKDOWN:
        render_markdown(assessments, check->assessment_count, out);
        break;
    }
}

/* Writes the answer and returns the exit status. */
static int answer(const struct check *check)
{
    struct text out;
    int status = verdict_exit_status(worst(check));
    /* A file that could not be read, and nothing else: there is no answer to give. */
    bool nothing = check->assessment_count == 0 || (check->targets.count == 1 && check->troubled);
    if (check->missing || nothing)
        status = EX_NOINPUT;
    if (check->quiet || nothing)
        return status;
    text_init(&out);
    append_document(check, &out);
    if (out.failed) {
        (void)fputs("weir check: out of memory\n", stderr);
        status = EX_OSERR;
    } else if (fwrite(out.bytes, 1, out.count, stdout) != out.count || fflush(stdout) != 0) {
        perror("weir check: standard output");
        status = EX_IOERR;
    }
    text_destroy(&out);
    return status;
}

static int status_of(int result, int otherwise)
{
    return result == ERROR_NO_MEMORY ? EX_OSERR : otherwise;
}

static void check_destroy(struct check *check)
{
    for (uint32_t i = 0; i < check->assessment_count; i++)
        assessment_free(check->assessments[i]);
    free(check->assessments);
    check_targets_destroy(&check->targets);
    license_matcher_free(check->matcher);
    catalogue_free(check->catalogue);
    config_free(check->config);
    free(check->arguments);
}

static int run(struct check *check, int argc, char **argv, struct error *err)
{
    int result = parse(check, argc, argv, err);
    if (result != 0)
        return status_of(result, EX_USAGE);
    if (check->help) {
        (void)fputs(usage, stdout);
        return EX_OK;
    }
    result = load_rules(check, err);
    if (result != 0)
        return status_of(result, EX_CONFIG);
    result = find_targets(check, err);
    if (result == 0)
        result = assess_all(check, err);
    if (result != 0)
        return status_of(result, EX_NOINPUT);
    err->text[0] = '\0'; /* what was said already */
    return answer(check);
}

int command_check(int argc, char **argv)
{
    struct check check = {.now_unix = clock_unix_us() / 1000000};
    struct error err = {0};
    int status = run(&check, argc, argv, &err);
    if (err.text[0] != '\0')
        (void)fprintf(stderr, "weir check: %s\n", err.text);
    check_destroy(&check);
    return status;
}
