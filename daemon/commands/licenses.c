/* SPDX-License-Identifier: Apache-2.0 */
/* licenses.c -- `weir licenses`: the catalogue, listed, shown, checked and added to.
 *
 * lint goes on after a finding, a file at a time, so that one run shows what there is; a folder
 * whose files are sound is then loaded over the catalogue in use, which shows what lies between
 * files: a name, a link or a text that two licences claim. */
#include "daemon/commands/commands.h"

#include "base/schema.h"
#include "base/text.h"
#include "daemon/commands/flag_value.h"
#include "policy/license/catalogue.h"
#include "policy/license/license_text.h"
#include "policy/render/render.h"

#include <dirent.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

static const char usage[] =
    "weir licenses -- what is known of licences\n"
    "\n"
    "  weir licenses list                    every licence, a line each\n"
    "  weir licenses show ID                 what one grants and asks\n"
    "  weir licenses lint [FILE|FOLDER...]   check files; by default those in use\n"
    "  weir licenses fingerprint TEXT        the texts: entry of a licence's text\n"
    "\n"
    "  --folder FOLDER   an operator's own licences, beside those in use\n"
    "  --json            list and show as JSON\n"
    "\n"
    "Exit status: 0 fine, 64 wrong command line, 65 a fault was found, 66 no such file or "
    "licence.\n";

struct request {
    const char *verb, *folder; /* folder "": none */
    char **operands;
    int operand_count;
    bool json, help;
};

/* -- The command line -- */

static int complain(int status, const char *message, const char *about)
{
    (void)fprintf(stderr, "weir: %s%s%s\n", about, about[0] == '\0' ? "" : ": ", message);
    return status;
}

static int complain_of(const struct error *err)
{
    return complain(err->code == ERROR_NOT_FOUND || err->code == ERROR_IO ? EX_NOINPUT
                    : err->code == ERROR_NO_MEMORY                        ? EX_OSERR
                                                                          : EX_DATAERR,
                    err->text, "");
}

/* Flags may stand anywhere; operands are gathered at the front of argv. */
static int read_request(int argc, char **argv, struct request *request)
{
    *request = (struct request){.verb = "", .folder = "", .operands = argv};
    for (int i = 2; i < argc; i++) {
        const char *argument = argv[i];
        if (strcmp(argument, "--json") == 0)
            request->json = true;
        else if (flag_is_help(argument))
            request->help = true;
        else if (flag_value("--folder", argc, argv, &i, &request->folder))
            continue;
        else if (argument[0] == '-')
            return flag_misused("licenses", "unknown, or without a value: ", argument);
        else if (request->verb[0] == '\0')
            request->verb = argument;
        else
            request->operands[request->operand_count++] = argv[i];
    }
    return 0;
}

static int print(struct text *text)
{
    int status = EXIT_SUCCESS;
    if (text->failed)
        status = complain(EX_OSERR, "out of memory", "");
    else if (fwrite(text_string(text), 1, text->count, stdout) != text->count ||
             fflush(stdout) != 0)
        status = complain(EX_IOERR, "cannot be written", "standard output");
    text_destroy(text);
    return status;
}

static struct catalogue *load(const char *extra, struct error *err)
{
    char storage[PATH_MAX];
    const char *folders[2];
    uint32_t count = catalogue_folders(extra, storage, sizeof storage, folders);
    return catalogue_load(folders, count, err);
}

/* -- list, show, fingerprint -- */

static int list(const struct request *request)
{
    struct error err = {0};
    struct catalogue *catalogue = load(request->folder, &err);
    struct text out;
    int id_columns = 2;
    if (catalogue == NULL)
        return complain_of(&err);
    text_init(&out);
    for (uint32_t i = 0; i < catalogue_count(catalogue); i++) {
        int columns = (int)strlen(catalogue_at(catalogue, i)->id);
        id_columns = columns > id_columns ? columns : id_columns;
    }
    text_append_string(&out, request->json ? "[" : "");
    if (!request->json)
        text_append_format(&out, "%-*s  %-5s  %-8s  %-14s  %s\n", id_columns, "ID", "GRADE",
                           "VERIFIED", "CATEGORY", "NAME");
    for (uint32_t i = 0; i < catalogue_count(catalogue); i++) {
        const struct license_record *record = catalogue_at(catalogue, i);
        if (request->json) {
            text_append_string(&out, i > 0 ? ",\n" : "\n");
            catalogue_write_json(record, &out);
        } else {
            text_append_format(&out, "%-*s  %-5s  %-8s  %-14s  %s\n", id_columns, record->id,
                               catalogue_grade_word(record), record->verified ? "yes" : "no",
                               catalogue_category_word(record), record->name);
        }
    }
    text_append_string(&out, request->json ? "\n]\n" : "");
    catalogue_free(catalogue);
    return print(&out);
}

/* 0, which stands for 80, when nobody looks. */
static uint32_t terminal_columns(void)
{
    struct winsize size;
    if (isatty(STDOUT_FILENO) == 0 || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0)
        return 0;
    return size.ws_col;
}

static int show(const struct request *request)
{
    struct error err = {0};
    struct text out;
    if (request->operand_count != 1)
        return complain(EX_USAGE, "expected one ID; weir licenses list names them", "show");
    struct catalogue *catalogue = load(request->folder, &err);
    if (catalogue == NULL)
        return complain_of(&err);
    const struct license_record *record = catalogue_find(catalogue, request->operands[0]);
    int status = EX_NOINPUT;
    if (record == NULL) {
        (void)complain(status, "no such licence; weir licenses list names them",
                       request->operands[0]);
    } else {
        text_init(&out);
        if (request->json) {
            catalogue_write_json(record, &out);
            text_append_char(&out, '\n');
        } else {
            render_record(record, terminal_columns(), &out);
        }
        status = print(&out);
    }
    catalogue_free(catalogue);
    return status;
}

/* As text_fields of the catalogue want it; the source is the writer's to correct. */
static int fingerprint(const struct request *request)
{
    struct error err = {0};
    struct license_text text;
    struct text out;
    char *bytes;
    size_t count;
    if (request->operand_count != 1)
        return complain(EX_USAGE, "expected one file with a licence's text", "fingerprint");
    const char *path = request->operands[0];
    if (schema_read_file(path, LICENSE_TEXT_BYTES_MAX, &bytes, &count, &err) != 0)
        return complain_of(&err);
    int result = license_text_init(&text, bytes, count, &err);
    free(bytes);
    if (result != 0)
        return complain(EX_DATAERR, err.text, path);
    text_init(&out);
    text_append_string(&out, "  - role: license\n    source: ");
    text_append_json(&out, path, strlen(path)); /* a JSON string is a YAML one */
    text_append_char(&out, '\n');
    license_text_write(&text, 4, &out);
    license_text_destroy(&text);
    return print(&out);
}

/* -- lint -- */

struct lint {
    uint32_t files, findings;
    bool missing; /* something that was named is not there */
};

static void lint_file(const char *path, struct lint *lint)
{
    struct error err = {0};
    char *bytes;
    size_t count;
    lint->files++;
    int result = schema_read_file(path, CATALOGUE_FILE_BYTES_MAX, &bytes, &count, &err);
    if (result == 0) {
        result = catalogue_check(path, bytes, count, &err);
        free(bytes);
    } else if (result != ERROR_INVALID) {
        lint->missing = true;
    }
    if (result != 0) {
        lint->findings++;
        (void)printf("%s\n", err.text);
    }
}

static int is_yaml(const struct dirent *file)
{
    const char *dot = strrchr(file->d_name, '.');
    return file->d_name[0] != '.' && dot != NULL && strcmp(dot, ".yaml") == 0;
}

static bool is_same_folder(const char *a, const char *b)
{
    struct stat first, second;
    return stat(a, &first) == 0 && stat(b, &second) == 0 && first.st_dev == second.st_dev &&
           first.st_ino == second.st_ino;
}

/* What lies between the files of a folder, and between it and those in use. */
static void lint_together(const char *folder, struct lint *lint)
{
    char storage[PATH_MAX];
    const char *folders[2];
    struct error err = {0};
    uint32_t count = catalogue_folders(folder, storage, sizeof storage, folders);
    bool alone = is_same_folder(folders[0], folder) || access(folders[0], R_OK) != 0;
    struct catalogue *catalogue = catalogue_load(folders + alone, count - alone, &err);
    if (catalogue == NULL) {
        lint->findings++;
        (void)printf("%s\n", err.text);
    }
    catalogue_free(catalogue);
}

static void lint_folder(const char *folder, struct lint *lint)
{
    struct dirent **files;
    uint32_t findings_before = lint->findings;
    int count = scandir(folder, &files, is_yaml, alphasort);
    if (count < 0) {
        lint->missing = true;
        (void)complain(EX_NOINPUT, "no folder that can be read", folder);
        return;
    }
    for (int i = 0; i < count; i++) {
        char path[PATH_MAX];
        int length = snprintf(path, sizeof path, "%s/%s", folder, files[i]->d_name);
        if (length > 0 && (size_t)length < sizeof path)
            lint_file(path, lint);
        free(files[i]);
    }
    free(files);
    if (lint->findings == findings_before)
        lint_together(folder, lint);
}

static void lint_operand(const char *path, struct lint *lint)
{
    struct stat status;
    if (stat(path, &status) == 0 && S_ISDIR(status.st_mode))
        lint_folder(path, lint);
    else
        lint_file(path, lint);
}

static int lint(const struct request *request)
{
    struct lint lint = {0};
    for (int i = 0; i < request->operand_count; i++)
        lint_operand(request->operands[i], &lint);
    if (request->operand_count == 0) {
        char storage[PATH_MAX];
        const char *folders[2];
        uint32_t count = catalogue_folders(request->folder, storage, sizeof storage, folders);
        for (uint32_t i = 0; i < count; i++)
            lint_folder(folders[i], &lint);
    }
    (void)printf("%u files, %u findings\n", lint.files, lint.findings);
    return lint.missing ? EX_NOINPUT : lint.findings > 0 ? EX_DATAERR : EXIT_SUCCESS;
}

int command_licenses(int argc, char **argv)
{
    static const struct {
        const char *verb;
        int (*run)(const struct request *request);
    } verbs[] = {{"list", list}, {"show", show}, {"lint", lint}, {"fingerprint", fingerprint}};
    struct request request;
    int status = read_request(argc, argv, &request);
    if (status != 0)
        return status;
    if (request.help) {
        (void)fputs(usage, stdout);
        return EXIT_SUCCESS;
    }
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
        if (strcmp(verbs[i].verb, request.verb) == 0)
            return verbs[i].run(&request);
    return flag_misused("licenses",
                        "expected list, show, lint or fingerprint, got: ", request.verb);
}
