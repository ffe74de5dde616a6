/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/license/findings.h"

#include "base/arena.h"
#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define RECOGNITION_BYTES_MAX (8u << 20)

struct owned_recognition {
    struct recognition recognition; /* first: the caller's pointer is this one */
    struct arena *arena;            /* holds this struct too */
};

const char *recognised_by_name(enum recognised_by by)
{
    switch (by) {
    case BY_OPERATOR:
        return "operator";
    case BY_WEIGHTS:
        return "weights";
    case BY_CARD:
        return "card";
    case BY_TEXT_DIGEST:
        return "text";
    case BY_TEXT_PATTERN:
        return "template";
    case BY_LINK:
        return "link";
    case BY_LINEAGE:
        return "lineage";
    case BY_NAME:
        return "name";
    case BY_NOTHING:
        break;
    }
    return "nothing";
}

void recognition_free(struct recognition *recognition)
{
    if (recognition != NULL)
        arena_free(((struct owned_recognition *)recognition)->arena);
}

static void *take_memory(struct findings *findings, size_t bytes)
{
    void *memory = findings->failed ? NULL : arena_alloc(findings->arena, bytes);
    findings->failed = memory == NULL;
    return memory;
}

int findings_init(struct findings *findings, const char *model, struct error *err)
{
    *findings = (struct findings){.arena = arena_new(RECOGNITION_BYTES_MAX)};
    if (findings->arena == NULL)
        return error_no_memory(err);
    struct owned_recognition *owned = take_memory(findings, sizeof *owned);
    findings->names = take_memory(findings, FINDINGS_NAMES_MAX * sizeof(char *));
    findings->disagreements = take_memory(findings, FINDINGS_SENTENCES_MAX * sizeof(char *));
    findings->files = take_memory(findings, FINDINGS_FILES_MAX * sizeof(char *));
    findings->doubts = take_memory(findings, FINDINGS_DOUBTS_MAX * sizeof *findings->doubts);
    if (findings->failed) {
        findings_destroy(findings);
        return error_no_memory(err);
    }
    owned->arena = findings->arena;
    findings->made = &owned->recognition;
    *findings->made = (struct recognition){
        .names = findings->names,
        .disagreements = findings->disagreements,
        .doubts = findings->doubts,
        .files = findings->files,
        .link = "",
    };
    findings->made->model = findings_copy(findings, model, strlen(model));
    return 0;
}

void findings_destroy(struct findings *findings)
{
    arena_free(findings->arena);
    *findings = (struct findings){0};
}

int findings_take(struct findings *findings, struct recognition **ret, struct error *err)
{
    if (findings->failed) {
        findings_destroy(findings);
        return error_no_memory(err);
    }
    *ret = findings->made;
    *findings = (struct findings){0};
    return 0;
}

/* Controls, line ends of every kind, and marks that turn the direction of what follows. */
static bool is_unfit(uint32_t codepoint)
{
    return codepoint < 0x20 || (codepoint >= 0x7f && codepoint < 0xa0) ||
           (codepoint >= 0x2028 && codepoint <= 0x202e) ||
           (codepoint >= 0x2066 && codepoint <= 0x2069) || codepoint == 0xfeff;
}

/* Writes at most bytes_max - 1 bytes and a NUL; "..." ends what was cut. */
static size_t clean(const char *bytes, size_t count, char *ret, size_t bytes_max)
{
    static const char dots[] = "...";
    const size_t room = bytes_max - sizeof dots;
    size_t used = 0;
    for (size_t at = 0; at < count;) {
        uint32_t codepoint;
        char encoded[4];
        at += utf8_decode(bytes + at, count - at, &codepoint);
        if (codepoint == UINT32_MAX)
            codepoint = 0xfffd;
        size_t length = utf8_encode(is_unfit(codepoint) ? ' ' : codepoint, encoded);
        if (used + length > room) {
            memcpy(ret + used, dots, sizeof dots);
            return used + sizeof dots - 1;
        }
        memcpy(ret + used, encoded, length);
        used += length;
    }
    ret[used] = '\0';
    return used;
}

static const char *keep(struct findings *findings, const char *bytes, size_t count)
{
    char *copy = findings->failed ? NULL : arena_copy(findings->arena, bytes, count);
    findings->failed = copy == NULL;
    return copy == NULL ? "" : copy;
}

const char *findings_copy(struct findings *findings, const char *bytes, size_t count)
{
    char cleaned[FINDINGS_NAME_BYTES];
    return keep(findings, cleaned, clean(bytes, count, cleaned, sizeof cleaned));
}

const char *findings_format(struct findings *findings, const char *format, ...)
{
    char raw[FINDINGS_REASON_BYTES], cleaned[FINDINGS_REASON_BYTES];
    va_list args;
    va_start(args, format);
    int needed = vsnprintf(raw, sizeof raw, format, args);
    va_end(args);
    size_t count = needed < 0 ? 0 : strlen(raw);
    if (needed >= (int)sizeof raw)
        count -= utf8_incomplete_tail(raw, count);
    return keep(findings, cleaned, clean(raw, count, cleaned, sizeof cleaned));
}

static bool has_string(const char *const *strings, uint32_t count, const char *string)
{
    for (uint32_t i = 0; i < count; i++)
        if (strcasecmp(strings[i], string) == 0)
            return true;
    return false;
}

void findings_name(struct findings *findings, const char *name)
{
    struct recognition *made = findings->made;
    if (name[0] == '\0' || made->name_count == FINDINGS_NAMES_MAX)
        return;
    name = findings_copy(findings, name, strlen(name));
    if (!findings->failed && !has_string(findings->names, made->name_count, name))
        findings->names[made->name_count++] = name;
}

void findings_file(struct findings *findings, const char *path)
{
    struct recognition *made = findings->made;
    if (made->file_count < FINDINGS_FILES_MAX &&
        !has_string(findings->files, made->file_count, path))
        findings->files[made->file_count++] = path;
}

void findings_license(struct findings *findings, const struct recognised_license *license)
{
    struct recognition *made = findings->made;
    for (uint32_t i = 0; i < made->license_count; i++) {
        const struct recognised_license *there = &made->licenses[i];
        if (there->record == license->record &&
            (there->record != NULL || strcasecmp(there->declared, license->declared) == 0))
            return;
    }
    if (made->license_count < RECOGNITION_LICENSES_MAX)
        made->licenses[made->license_count++] = *license;
    else
        findings_doubt(findings, "license-unknown",
                       findings_format(findings,
                                       "more than %u licences are named; %s is not weighed",
                                       RECOGNITION_LICENSES_MAX, license->declared),
                       "Weigh what is left out by hand, or name the licences under "
                       "models[].license.");
}

void findings_doubt(struct findings *findings, const char *id, const char *reason,
                    const char *remedy)
{
    struct recognition *made = findings->made;
    if (findings->settled || made->doubt_count == FINDINGS_DOUBTS_MAX)
        return;
    for (uint32_t i = 0; i < made->doubt_count; i++)
        if (strcmp(findings->doubts[i].id, id) == 0 &&
            strcmp(findings->doubts[i].reason, reason) == 0)
            return;
    findings->doubts[made->doubt_count++] = (struct recognition_doubt){id, reason, remedy};
}

void findings_disagree(struct findings *findings, const char *sentence)
{
    struct recognition *made = findings->made;
    if (!findings->settled && made->disagreement_count < FINDINGS_SENTENCES_MAX &&
        !has_string(findings->disagreements, made->disagreement_count, sentence))
        findings->disagreements[made->disagreement_count++] = sentence;
}
