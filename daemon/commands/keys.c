/* SPDX-License-Identifier: Apache-2.0 */
/* keys.c -- weir keys: makes keys, tells of them, takes them back.
 *
 * The key is printed once, after its line is on disk, and is nowhere else. */
#include "base/clock.h"
#include "daemon/access/key_make.h"
#include "daemon/access/keys_edit.h"
#include "daemon/access/keys_file.h"
#include "daemon/commands/commands.h"
#include "daemon/commands/flag_value.h"
#include "daemon/config.h"

#include <ctype.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#define REVOKED_AT_ONCE_MAX 64u
#define DAY_S               INT64_C(86400)
#define LIFE_S_MAX          (INT64_C(36525) * DAY_S) /* a hundred years */

static const char usage[] =
    "weir keys -- API keys in a file: made, listed, revoked\n"
    "\n"
    "  weir keys new [--tenant NAME] [--scope LIST] [--expires TIME] [--note TEXT]\n"
    "  weir keys list [--json]\n"
    "  weir keys revoke ID...\n"
    "\n"
    "  --file FILE      the keys; or\n"
    "  --config FILE    weir.yaml, whose access.keys_file names it\n"
    "  --tenant NAME    whose key it is; weir.yaml's tenants say what it may\n"
    "  --scope LIST     of inference, usage and admin, commas between; inference by default\n"
    "  --expires TIME   90d, 12h, or a time such as 2027-01-31T00:00:00Z; never by default\n"
    "  --note TEXT      for whoever reads the list\n"
    "\n"
    "new prints the key, this once: the file has only its digest. A running weir takes the change\n"
    "up within a second or two. The file is made where there is none, mode 0600; later its mode\n"
    "and owner stay as they are: the daemon must be able to read it.\n"
    "\n"
    "Exit status: 0 fine, 64 wrong command line, 65 the file is unsound, 66 no such file or id, "
    "73\n"
    "it cannot be written, 77 others can read it, 78 wrong configuration.\n";

struct keys_command {
    const char *file, *config_file, *tenant, *scope, *expires, *note;
    bool json, help;
    const char *verb;
    const char *ids[REVOKED_AT_ONCE_MAX];
    uint32_t id_count;
    int64_t now_unix;
    struct config *config; /* holds file where it is the configuration's */
};

static int complain(const struct error *err)
{
    (void)fprintf(stderr, "weir keys: %s\n", err->text);
    switch (err->code) {
    case ERROR_NOT_FOUND:
        return EX_NOINPUT;
    case ERROR_REFUSED:
        return EX_NOPERM;
    case ERROR_UNSUPPORTED:
        return EX_USAGE;
    case ERROR_INVALID:
        return EX_DATAERR;
    case ERROR_NO_MEMORY:
        return EX_OSERR;
    default:
        return EX_CANTCREAT;
    }
}

static int fail_usage(const char *message, const char *what)
{
    return flag_misused("keys", message, what);
}

/* -- The command line -- */

static bool take_flag(struct keys_command *command, int argc, char **argv, int *at)
{
    const struct {
        const char *flag;
        const char **value;
    } flags[] = {{"--file", &command->file},       {"--config", &command->config_file},
                 {"--tenant", &command->tenant},   {"--scope", &command->scope},
                 {"--expires", &command->expires}, {"--note", &command->note}};
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
        if (flag_value(flags[i].flag, argc, argv, at, flags[i].value))
            return true;
    return false;
}

static int parse(struct keys_command *command, int argc, char **argv)
{
    for (int i = 2; i < argc; i++) {
        const char *argument = argv[i];
        if (flag_is_help(argument))
            command->help = true;
        else if (strcmp(argument, "--json") == 0)
            command->json = true;
        else if (take_flag(command, argc, argv, &i))
            continue;
        else if (argument[0] == '-')
            return fail_usage("unknown, or without a value: ", argument);
        else if (command->verb == NULL)
            command->verb = argument;
        else if (command->id_count == REVOKED_AT_ONCE_MAX)
            return fail_usage("too many ids at once", "");
        else
            command->ids[command->id_count++] = argument;
    }
    if (command->help)
        return 0;
    if (command->verb == NULL)
        return fail_usage("new, list or revoke?", "");
    bool makes = strcmp(command->verb, "new") == 0, revokes = strcmp(command->verb, "revoke") == 0;
    if (!makes && !revokes && strcmp(command->verb, "list") != 0)
        return fail_usage("unknown: ", command->verb);
    if (revokes != (command->id_count > 0))
        return fail_usage(revokes ? "revoke: which id?" : "unknown: ",
                          revokes ? "" : command->ids[0]);
    if (!makes && (command->tenant != NULL || command->scope != NULL || command->expires != NULL ||
                   command->note != NULL))
        return fail_usage("--tenant, --scope, --expires and --note are for new", "");
    if ((command->file == NULL) == (command->config_file == NULL))
        return fail_usage("give --file or --config, one of them", "");
    return 0;
}

static int find_file(struct keys_command *command)
{
    struct error err = {0};
    if (command->file != NULL)
        return 0;
    if (config_read(command->config_file, &command->config, &err) != 0) {
        (void)fprintf(stderr, "weir keys: %s\n", err.text);
        return err.code == ERROR_NOT_FOUND ? EX_NOINPUT : EX_CONFIG;
    }
    command->file = command->config->keys_file;
    if (command->file[0] != '\0')
        return 0;
    (void)fprintf(stderr,
                  "weir keys: %s: access.keys_file is empty: name a file there, or by --file\n",
                  command->config_file);
    return EX_CONFIG;
}

/* "90d", or a time as lines have it. */
static bool read_end(const char *text, int64_t now_unix, int64_t *ret)
{
    char *unit;
    if (!isdigit((unsigned char)text[0]))
        return false;
    long long number = strtoll(text, &unit, 10);
    const char *units = "mhdw";
    static const int64_t seconds[] = {60, 3600, DAY_S, 7 * DAY_S};
    const char *found = unit[0] == '\0' || unit[1] != '\0' ? NULL : strchr(units, unit[0]);
    if (found == NULL)
        return key_time_read(text, strlen(text), ret) && *ret > now_unix;
    if (number < 1 || number > LIFE_S_MAX / seconds[found - units])
        return false;
    *ret = now_unix + number * seconds[found - units];
    return true;
}

/* -- new -- */

static int describe(const struct keys_command *command, struct key_record *ret)
{
    const char *tenant = command->tenant == NULL ? "" : command->tenant;
    const char *note = command->note == NULL ? "" : command->note;
    const char *scope =
        command->scope == NULL ? access_scope_name(SCOPE_INFERENCE) : command->scope;
    *ret = (struct key_record){.created_unix = command->now_unix};
    if (!key_tenant_fits(tenant))
        return fail_usage("--tenant: at most 128 bytes without blanks or control characters", "");
    if (!key_note_fits(note))
        return fail_usage("--note: at most 256 bytes without control characters", "");
    if (!access_scopes_read(scope, strlen(scope), ',', &ret->scopes))
        return fail_usage("--scope: expected some of inference,usage,admin", "");
    if (command->expires != NULL &&
        !read_end(command->expires, command->now_unix, &ret->expires_unix))
        return fail_usage("--expires: expected 90d, 12h, or a time to come such as "
                          "2027-01-31T00:00:00Z",
                          "");
    memcpy(ret->tenant, tenant, strlen(tenant) + 1);
    memcpy(ret->note, note, strlen(note) + 1);
    return 0;
}

static int is_free(void *argument, const struct key_record *record, struct error *err)
{
    const struct key_record *wanted = argument;
    return strcmp(wanted->id, record->id) != 0
               ? 0
               : error_set(err, ERROR_BUSY, "the id is taken; try again");
}

static int append_record(const struct keys_command *command, struct key_record *record,
                         struct error *err)
{
    struct keys_edit edit;
    struct text text;
    int result = key_make_id(record->id, err);
    if (result == 0)
        result = keys_edit_begin(command->file, true, &edit, err);
    if (result != 0)
        return result;
    text_init(&text);
    result = keys_read(edit.bytes, edit.count, is_free, record, err);
    if (result != 0)
        (void)error_wrap(err, "%s", command->file);
    text_append(&text, edit.bytes, edit.count);
    key_record_write(record, &text);
    if (result == 0 && text.count > KEYS_FILE_BYTES_MAX)
        result = error_set(err, ERROR_BUSY, "%s: larger than %u MiB", command->file,
                           KEYS_FILE_BYTES_MAX >> 20);
    if (result == 0)
        result = keys_edit_commit(&edit, &text, err);
    text_destroy(&text);
    keys_edit_end(&edit);
    return result;
}

static int run_new(const struct keys_command *command)
{
    struct key_record record;
    struct error err = {0};
    char key[KEY_BYTES], expires[KEY_TIME_BYTES];
    int status = describe(command, &record);
    if (status != 0)
        return status;
    int result = key_make(key, &err);
    if (result == 0) {
        key_digest(key, record.digest);
        result = append_record(command, &record, &err);
    }
    if (result == 0) {
        key_time_write(record.expires_unix, expires);
        (void)fprintf(stderr, "weir keys: %s is its id; it expires: %s; it is shown this once:\n",
                      record.id, expires[0] == '\0' ? "never" : expires);
        if (printf("%s\n", key) < 0 || fflush(stdout) != 0)
            result =
                error_set(&err, ERROR_IO, "the key could not be written out; revoke %s", record.id);
    }
    OPENSSL_cleanse(key, sizeof key);
    return result == 0 ? EXIT_SUCCESS : complain(&err);
}

/* -- list -- */

static const char *const state_names[] = {
    [KEY_GOOD] = "good", [KEY_EXPIRED] = "expired", [KEY_REVOKED] = "revoked"};

struct listing {
    const struct keys_command *command;
    struct text text;
    uint32_t count;
};

static void append_member(struct text *out, const char *name, const char *value)
{
    text_append_format(out, ",\"%s\":", name);
    if (value[0] == '\0')
        text_append_string(out, "null");
    else
        text_append_json(out, value, strlen(value));
}

static void append_scopes(struct text *out, unsigned scopes)
{
    text_append_string(out, ",\"scopes\":[");
    bool first = true;
    for (unsigned scope = 1; scope <= SCOPES_ALL; scope <<= 1) {
        if ((scopes & scope) == 0)
            continue;
        text_append_format(out, "%s\"%s\"", first ? "" : ",", access_scope_name(scope));
        first = false;
    }
    text_append_char(out, ']');
}

static int list_record(void *argument, const struct key_record *record, struct error *err)
{
    struct listing *listing = argument;
    struct text *out = &listing->text, scopes;
    char created[KEY_TIME_BYTES], expires[KEY_TIME_BYTES];
    const char *state = state_names[key_record_state(record, listing->command->now_unix)];
    (void)err;
    text_init(&scopes);
    access_scopes_write(record->scopes, ',', &scopes);
    key_time_write(record->created_unix, created);
    key_time_write(record->expires_unix, expires);
    if (listing->command->json) {
        text_append_format(out, "%s\n  {\"id\":\"%s\"", listing->count == 0 ? "" : ",", record->id);
        append_member(out, "tenant", record->tenant);
        append_scopes(out, record->scopes);
        append_member(out, "created", created);
        append_member(out, "expires", expires);
        append_member(out, "state", state);
        append_member(out, "note", record->note);
        text_append_char(out, '}');
    } else {
        text_append_format(out, "%-14s %-20s %-21s %-20s %-20s %-7s %s\n", record->id,
                           record->tenant[0] == '\0' ? "-" : record->tenant, text_string(&scopes),
                           created[0] == '\0' ? "-" : created,
                           expires[0] == '\0' ? "never" : expires, state, record->note);
    }
    listing->count++;
    text_destroy(&scopes);
    return 0;
}

static int run_list(const struct keys_command *command)
{
    struct listing listing = {.command = command};
    struct error err = {0};
    char *bytes = NULL;
    size_t count = 0;
    text_init(&listing.text);
    if (command->json)
        text_append_char(&listing.text, '[');
    else
        text_append_format(&listing.text, "%-14s %-20s %-21s %-20s %-20s %-7s %s\n", "ID", "TENANT",
                           "SCOPES", "CREATED", "EXPIRES", "STATE", "NOTE");
    int result = keys_file_load(command->file, &bytes, &count, &err);
    if (result == 0) {
        result = keys_read(bytes, count, list_record, &listing, &err);
        if (result != 0)
            (void)error_wrap(&err, "%s", command->file);
    }
    if (command->json)
        text_append_string(&listing.text, "\n]\n");
    if (result == 0 && listing.text.failed)
        result = error_no_memory(&err);
    if (result == 0)
        (void)fwrite(listing.text.bytes, 1, listing.text.count, stdout);
    free(bytes);
    text_destroy(&listing.text);
    return result == 0 ? EXIT_SUCCESS : complain(&err);
}

/* -- revoke -- */

struct revocation {
    const struct keys_command *command;
    bool found[REVOKED_AT_ONCE_MAX];
};

static bool is_named(struct revocation *revocation, const char *id)
{
    for (uint32_t i = 0; i < revocation->command->id_count; i++)
        if (strcmp(revocation->command->ids[i], id) == 0) {
            revocation->found[i] = true;
            return true;
        }
    return false;
}

/* Lines that are not meant stay as they are. A key that was revoked keeps its time. */
static int revoke_line(struct revocation *revocation, const char *line, size_t count,
                       struct text *out, struct error *err)
{
    struct key_record record;
    if (count > 0 && line[0] != '#') {
        int result = key_record_read(line, count, &record, err);
        if (result != 0)
            return result;
        if (is_named(revocation, record.id) && record.revoked_unix == 0) {
            record.revoked_unix = revocation->command->now_unix;
            key_record_write(&record, out);
            return 0;
        }
    }
    text_append(out, line, count);
    text_append_char(out, '\n');
    return 0;
}

static int revoke_all(struct revocation *revocation, const struct keys_edit *edit, struct text *out,
                      struct error *err)
{
    const char *at = edit->bytes, *end = at + edit->count;
    for (uint32_t number = 1; at < end; number++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        if (stop == NULL)
            stop = end;
        if (revoke_line(revocation, at, (size_t)(stop - at), out, err) != 0)
            return error_wrap(err, "%s: line %u", edit->path, number);
        at = stop == end ? end : stop + 1;
    }
    for (uint32_t i = 0; i < revocation->command->id_count; i++)
        if (!revocation->found[i])
            return error_set(err, ERROR_NOT_FOUND, "%s: no key has the id '%.64s'; none is revoked",
                             edit->path, revocation->command->ids[i]);
    return 0;
}

static int run_revoke(const struct keys_command *command)
{
    struct revocation revocation = {.command = command};
    struct keys_edit edit;
    struct error err = {0};
    struct text text;
    if (keys_edit_begin(command->file, false, &edit, &err) != 0)
        return complain(&err);
    text_init(&text);
    int result = revoke_all(&revocation, &edit, &text, &err);
    if (result == 0)
        result = keys_edit_commit(&edit, &text, &err);
    text_destroy(&text);
    keys_edit_end(&edit);
    return result == 0 ? EXIT_SUCCESS : complain(&err);
}

int command_keys(int argc, char **argv)
{
    struct keys_command command = {.now_unix = clock_unix_us() / 1000000};
    int status = parse(&command, argc, argv);
    if (status == 0 && command.help) {
        (void)fputs(usage, stdout);
        return EXIT_SUCCESS;
    }
    if (status == 0)
        status = find_file(&command);
    if (status == 0)
        status = strcmp(command.verb, "new") == 0    ? run_new(&command)
                 : strcmp(command.verb, "list") == 0 ? run_list(&command)
                                                     : run_revoke(&command);
    config_free(command.config);
    return status;
}
