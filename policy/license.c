/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/license.h"

#include "base/text.h"
#include "policy/license_text.h"

#include <assert.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define UNKNOWN         "unknown"
#define TITLE_BYTES_MAX 128u

struct license {
    struct policy_license found; /* strings point into those below */
    struct text id, name, link, file, disagreement;
};

const char *license_source_name(enum license_source source)
{
    switch (source) {
    case LICENSE_FROM_WEIGHTS:
        return "weights";
    case LICENSE_FROM_FILE:
        return "file";
    case LICENSE_FROM_NOTHING:
        break;
    }
    return "none";
}

void license_free(struct license *license)
{
    if (license == NULL)
        return;
    text_destroy(&license->id);
    text_destroy(&license->name);
    text_destroy(&license->link);
    text_destroy(&license->file);
    text_destroy(&license->disagreement);
    free(license);
}

const struct policy_license *license_found(const struct license *license)
{
    return &license->found;
}

/* One name of a list, trimmed, blanks and underscores as hyphens; appends its id and answers
 * true, or false when the catalogue has none. */
static bool append_id(struct text *out, const char *name, size_t count)
{
    char spelled[96];
    while (count > 0 && isspace((unsigned char)name[0])) {
        name++;
        count--;
    }
    while (count > 0 && isspace((unsigned char)name[count - 1]))
        count--;
    if (count == 0 || count >= sizeof spelled)
        return false;
    for (size_t i = 0; i < count; i++)
        spelled[i] = name[i] == ' ' || name[i] == '_' ? '-' : name[i];
    spelled[count] = '\0';
    const char *id = license_of_name(spelled);
    if (id == NULL)
        return false;
    if (out->count > 0) /* a list does not say "or": all of them bind */
        text_append_string(out, " AND ");
    text_append_string(out, id);
    return true;
}

/* The ids of a list joined with ",". Empty when any of them is not known: half a licence is none. */
static void append_ids(struct text *out, const char *list)
{
    for (;;) {
        size_t count = strcspn(list, ",");
        if (!append_id(out, list, count)) {
            text_reset(out);
            return;
        }
        if (list[count] == '\0')
            return;
        list += count + 1;
    }
}

static bool same(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

/* Names for people: the name given, else the licence as it was spelled where no id fits it. */
static const char *declared_name(const struct license_claims *claims)
{
    if (claims->name[0] != '\0')
        return claims->name;
    return strcasecmp(claims->license, "other") == 0 ? "" : claims->license;
}

static void decide(struct license *license, const struct license_claims *claims,
                   const char *declared)
{
    bool says = claims->license[0] != '\0' || claims->name[0] != '\0';
    bool has_file = claims->file[0] != '\0';
    bool file_decides = has_file && (claims->text_id != NULL || declared[0] == '\0');
    const char *by_file = claims->text_id != NULL ? claims->text_id : UNKNOWN;
    const char *base = strrchr(claims->file, '/');
    base = base == NULL ? claims->file : base + 1;
    if (has_file && declared[0] != '\0' && !same(declared, by_file) &&
        (claims->text_id != NULL || license_text_is_known(declared))) {
        file_decides = true;
        text_append_format(&license->disagreement,
                           "The weights say %s, but %s beside them is %s%s%s%s.", declared, base,
                           claims->text_id != NULL ? claims->text_id : "another text",
                           claims->text_id != NULL ? "" : " (it begins \"",
                           claims->text_id != NULL ? "" : claims->text_title,
                           claims->text_id != NULL ? "" : "\")");
    }
    if (file_decides && says && declared[0] == '\0' && claims->text_id == NULL) {
        text_append_string(&license->id, UNKNOWN);
        text_append_string(&license->name, declared_name(claims));
        license->found.source = LICENSE_FROM_WEIGHTS;
    } else if (file_decides && !same(declared, by_file)) {
        text_append_string(&license->id, by_file);
        text_append_string(&license->name, claims->text_title);
        license->found.source = LICENSE_FROM_FILE;
    } else if (says) {
        text_append_string(&license->id, declared[0] != '\0' ? declared : UNKNOWN);
        text_append_string(&license->name,
                           declared[0] != '\0' ? claims->name : declared_name(claims));
        license->found.source = LICENSE_FROM_WEIGHTS;
    } else {
        text_append_string(&license->id, UNKNOWN);
        license->found.source = LICENSE_FROM_NOTHING;
    }
    text_append_string(&license->link, claims->link);
    text_append_string(&license->file, claims->file);
}

struct license *license_decide(const struct license_claims *claims, struct error *err)
{
    struct license *license = calloc(1, sizeof *license);
    struct text declared;
    text_init(&declared);
    if (license == NULL) {
        error_no_memory(err);
        return NULL;
    }
    append_ids(&declared, claims->license);
    if (declared.count == 0) /* "other" sends the reader to the name */
        append_ids(&declared, claims->name);
    decide(license, claims, text_string(&declared));
    bool failed = declared.failed || license->id.failed || license->name.failed ||
                  license->link.failed || license->file.failed || license->disagreement.failed;
    text_destroy(&declared);
    if (failed) {
        license_free(license);
        error_no_memory(err);
        return NULL;
    }
    license->found.id = text_string(&license->id);
    license->found.name = text_string(&license->name);
    license->found.link = text_string(&license->link);
    license->found.file = text_string(&license->file);
    license->found.disagreement = text_string(&license->disagreement);
    return license;
}

/* -- The text beside the weights -- */

/* How much a file's name promises the weights' licence: 0 not at all. A CODE file binds code. */
static int promise(const char *name)
{
    if (strncasecmp(name, "license", 7) != 0 && strncasecmp(name, "licence", 7) != 0 &&
        strncasecmp(name, "copying", 7) != 0)
        return 0;
    if (strcasestr(name, "model") != NULL || strcasestr(name, "weight") != NULL)
        return 3;
    return strcasestr(name, "code") != NULL ? 0 : 2;
}

/* Appends the path of the best candidate in the folder of `weights`; nothing when there is none. */
static void find_file(const char *weights, struct text *out)
{
    char best[256] = "";
    int best_promise = 0;
    const char *slash = strrchr(weights, '/');
    struct text folder;
    text_init(&folder);
    if (slash != NULL)
        text_append(&folder, weights, (size_t)(slash - weights) + 1);
    DIR *entries = opendir(folder.count == 0 ? "." : text_string(&folder));
    struct dirent *entry;
    while (entries != NULL && (entry = readdir(entries)) != NULL) {
        int value = promise(entry->d_name);
        /* Equal promise: the first by name, so that the answer does not hang on the disk. */
        if (value < best_promise || value == 0 ||
            (value == best_promise && strcmp(entry->d_name, best) >= 0))
            continue;
        best_promise = value;
        (void)snprintf(best, sizeof best, "%s", entry->d_name);
    }
    if (entries != NULL)
        (void)closedir(entries);
    if (best_promise > 0) {
        text_append(out, folder.bytes, folder.count);
        text_append_string(out, best);
    }
    out->failed = out->failed || folder.failed;
    text_destroy(&folder);
}

/* The first line with words in it, without control characters. */
static void title_of(const char *bytes, size_t count, char ret[TITLE_BYTES_MAX])
{
    size_t used = 0;
    for (size_t at = 0; at < count && used < TITLE_BYTES_MAX - 1; at++) {
        unsigned char c = (unsigned char)bytes[at];
        if (c == '\n' && used > 0)
            break;
        if (c < 0x20 || c == 0x7f || (used == 0 && (c == ' ' || c == '#')))
            continue;
        ret[used++] = (char)c;
    }
    used -= utf8_incomplete_tail(ret, used);
    ret[used] = '\0';
}

/* Reads at most the limit; what is longer is no licence we know, and its digest will say so. */
static int read_text(const char *path, const char **ret_id, char title[TITLE_BYTES_MAX],
                     struct error *err)
{
    uint8_t digest[LICENSE_DIGEST_BYTES];
    size_t count = 0;
    ssize_t got = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not hold us */
    if (fd < 0) {
        (void)snprintf(title, TITLE_BYTES_MAX, "unreadable: %s", strerror(errno));
        return 0;
    }
    char *bytes = malloc(LICENSE_TEXT_BYTES_MAX);
    while (bytes != NULL && count < LICENSE_TEXT_BYTES_MAX &&
           (got = read(fd, bytes + count, LICENSE_TEXT_BYTES_MAX - count)) > 0)
        count += (size_t)got;
    close(fd);
    int result = 0;
    if (bytes == NULL) {
        result = error_no_memory(err);
    } else {
        title_of(bytes, count, title);
        result = license_text_digest(bytes, count, digest, err);
        if (result == 0)
            *ret_id = license_of_digest(digest);
    }
    free(bytes);
    return result;
}

static const char *or_empty(const char *string)
{
    return string == NULL ? "" : string;
}

struct license *license_read(const struct policy_model_facts *facts, struct error *err)
{
    char title[TITLE_BYTES_MAX] = "";
    struct text file;
    struct license_claims claims = {
        .license = or_empty(facts->license),
        .name = or_empty(facts->license_name),
        .link = or_empty(facts->license_link),
        .text_title = title,
    };
    struct license *license = NULL;
    text_init(&file);
    find_file(or_empty(facts->path), &file);
    claims.file = text_string(&file);
    if (file.failed)
        error_no_memory(err);
    else if (file.count == 0 || read_text(claims.file, &claims.text_id, title, err) == 0)
        license = license_decide(&claims, err);
    text_destroy(&file);
    return license;
}
