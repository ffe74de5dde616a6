/* SPDX-License-Identifier: Apache-2.0 */
/* sarif.c -- SARIF 2.1.0 (OASIS, with errata 01), for code scanning.
 *
 * A rule is a condition, by its id, whatever models it binds; a result is one model's duty under
 * it: error for a breach, warning for a review, note for an obligation. What is met or only
 * watched asks for nothing and is left out. A condition that the operator took on by name is a
 * suppressed result, with the reference as its justification, so that the report still shows it. */
#include "policy/render/json_writer.h"
#include "policy/render/render.h"
#include "policy/render/view.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#define SCHEMA_URI                                                                                 \
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
#define DIGEST_BYTES 32u

struct finding {
    const struct assessment *assessment;
    const struct assessed_condition *condition;
    uint32_t order; /* as found, so that a sort is stable */
};

struct findings {
    struct finding *found;        /* in the order of models */
    const struct finding **by_id; /* one a rule, in the order of ids */
    uint32_t count, rule_count;
};

static int compare_ids(const void *a, const void *b)
{
    const struct finding *left = *(const struct finding *const *)a;
    const struct finding *right = *(const struct finding *const *)b;
    int order = strcmp(left->condition->id, right->condition->id);
    return order != 0 ? order : (left->order > right->order) - (left->order < right->order);
}

/* False when there is no memory. */
static bool findings_init(struct findings *findings, const struct assessment *const *assessments,
                          uint32_t count)
{
    size_t total = 0;
    *findings = (struct findings){.count = 0};
    for (uint32_t i = 0; i < count; i++)
        total += assessments[i]->condition_count;
    findings->found = calloc(total + 1, sizeof *findings->found);
    findings->by_id = calloc(total + 1, sizeof *findings->by_id);
    if (findings->found == NULL || findings->by_id == NULL)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t j = 0; j < assessments[i]->condition_count; j++) {
            const struct assessed_condition *condition = &assessments[i]->conditions[j];
            if (!view_asks(condition))
                continue;
            struct finding *finding = &findings->found[findings->count];
            *finding = (struct finding){assessments[i], condition, findings->count};
            findings->by_id[findings->count++] = finding;
        }
    }
    qsort(findings->by_id, findings->count, sizeof *findings->by_id, compare_ids);
    for (uint32_t i = 0; i < findings->count; i++) {
        const char *id = findings->by_id[i]->condition->id;
        if (i == 0 || strcmp(findings->by_id[findings->rule_count - 1]->condition->id, id) != 0)
            findings->by_id[findings->rule_count++] = findings->by_id[i];
    }
    return true;
}

static void findings_destroy(struct findings *findings)
{
    free(findings->found);
    free(findings->by_id);
}

static uint32_t rule_index(const struct findings *findings, const char *id)
{
    uint32_t least = 0, most = findings->rule_count;
    while (most - least > 1) {
        uint32_t middle = least + (most - least) / 2;
        if (strcmp(findings->by_id[middle]->condition->id, id) <= 0)
            least = middle;
        else
            most = middle;
    }
    return least;
}

static const char *level_of(enum verdict verdict)
{
    switch (verdict) {
    case VERDICT_BREACH:
        return "error";
    case VERDICT_REVIEW:
        return "warning";
    default:
        return "note";
    }
}

static void append_message(struct text *out, const char *key, struct text *message)
{
    json_write_open(out, key, '{');
    json_write_take(out, "text", message);
    json_write_close(out, '}');
}

static void append_rule(struct text *out, const struct assessed_condition *condition)
{
    struct text text;
    json_write_open(out, NULL, '{');
    json_write_string(out, "id", condition->id);
    text_init(&text);
    text_append_string(&text, condition->summary);
    append_message(out, "shortDescription", &text);
    text_init(&text);
    text_append_string(&text, condition->summary);
    if (condition->clause[0] != '\0')
        text_append_format(&text, "\n\nWhere: %s, %s", condition->license, condition->clause);
    if (condition->remedy[0] != '\0')
        text_append_format(&text, "\n\nWhat to do: %s", condition->remedy);
    append_message(out, "help", &text);
    json_write_open(out, "properties", '{');
    json_write_string(out, "kind", condition->kind);
    json_write_string(out, "license", condition->license);
    json_write_string(out, "clause", condition->clause);
    json_write_open(out, "tags", '[');
    json_write_string(out, NULL, "licence");
    json_write_string(out, NULL, condition->kind);
    json_write_close(out, ']');
    json_write_close(out, '}');
    json_write_close(out, '}');
}

/* A path as a URI reference: absolute ones get a scheme, the rest stay relative to where the
 * command ran; everything but unreserved characters is escaped (RFC 3986, section 2.3). */
static void append_uri(struct text *uri, const char *path)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/";
    if (path[0] == '/')
        text_append_string(uri, "file://");
    for (; *path != '\0'; path++) {
        if (strchr(plain, *path) != NULL)
            text_append_char(uri, *path);
        else
            text_append_format(uri, "%%%02X", (unsigned char)*path);
    }
}

/* The file that told of the licence; where that was no file, any that was read beside the
 * weights, and the model itself where there is none. */
static const char *evidence_of(const struct finding *finding)
{
    const struct recognition *recognition = finding->assessment->recognition;
    const struct recognised_license *license =
        view_license_of(finding->assessment, finding->condition);
    if (license != NULL && license->evidence[0] != '\0' &&
        (license->by == BY_CARD || license->by == BY_TEXT_DIGEST || license->by == BY_TEXT_PATTERN))
        return license->evidence;
    return recognition->file_count > 0 ? recognition->files[0] : finding->assessment->model;
}

static void append_location(struct text *out, const struct finding *finding)
{
    struct text uri;
    text_init(&uri);
    append_uri(&uri, evidence_of(finding));
    json_write_open(out, "locations", '[');
    json_write_open(out, NULL, '{');
    json_write_open(out, "physicalLocation", '{');
    json_write_open(out, "artifactLocation", '{');
    json_write_take(out, "uri", &uri);
    json_write_close(out, '}');
    json_write_close(out, '}');
    json_write_open(out, "logicalLocations", '[');
    json_write_open(out, NULL, '{');
    json_write_string(out, "name", finding->assessment->model);
    json_write_string(out, "kind", "resource");
    json_write_close(out, '}');
    json_write_close(out, ']');
    json_write_close(out, '}');
    json_write_close(out, ']');
}

/* The same model and condition are the same finding, run after run. */
static void append_fingerprint(struct text *out, const struct finding *finding)
{
    struct text source, hexadecimal;
    unsigned char digest[DIGEST_BYTES] = {0};
    text_init(&source);
    text_init(&hexadecimal);
    text_append_string(&source, finding->assessment->model);
    text_append_char(&source, '\n');
    text_append_string(&source, finding->condition->id);
    if (EVP_Digest(text_string(&source), source.count, digest, NULL, EVP_sha256(), NULL) != 1)
        out->failed = true;
    for (uint32_t i = 0; i < DIGEST_BYTES; i++)
        text_append_format(&hexadecimal, "%02x", digest[i]);
    out->failed = out->failed || source.failed;
    text_destroy(&source);
    json_write_open(out, "partialFingerprints", '{');
    json_write_take(out, "weirModelCondition/v1", &hexadecimal);
    json_write_close(out, '}');
}

static void append_suppression(struct text *out, const struct assessed_condition *condition)
{
    if (!view_is_taken_on(condition))
        return;
    json_write_open(out, "suppressions", '[');
    json_write_open(out, NULL, '{');
    json_write_string(out, "kind", "external");
    json_write_string(out, "status", "accepted");
    json_write_string(out, "justification", condition->acknowledged);
    json_write_close(out, '}');
    json_write_close(out, ']');
}

static void append_result(struct text *out, const struct findings *findings,
                          const struct finding *finding)
{
    const struct assessed_condition *condition = finding->condition;
    /* Suppressed or not, a result has the level of what was found. */
    enum verdict verdict = view_is_taken_on(condition)
                               ? view_raw_verdict(finding->assessment, condition)
                               : condition->verdict;
    struct text message;
    text_init(&message);
    text_append_format(&message, "%s: %s: %s", finding->assessment->model, verdict_name(verdict),
                       condition->summary);
    if (condition->reason[0] != '\0')
        text_append_format(&message, " Because: %s", condition->reason);
    if (condition->remedy[0] != '\0')
        text_append_format(&message, " What to do: %s", condition->remedy);
    if (condition->text[0] != '\0')
        text_append_format(&message, " Text: %s", condition->text);
    json_write_open(out, NULL, '{');
    json_write_string(out, "ruleId", condition->id);
    json_write_u64(out, "ruleIndex", rule_index(findings, condition->id));
    json_write_string(out, "level", level_of(verdict));
    append_message(out, "message", &message);
    append_location(out, finding);
    append_fingerprint(out, finding);
    append_suppression(out, condition);
    json_write_open(out, "properties", '{');
    json_write_string(out, "model", finding->assessment->model);
    json_write_string(out, "license", condition->license);
    json_write_string(out, "verdict", verdict_name(condition->verdict));
    json_write_string(out, "literal", verdict_name(condition->literal));
    json_write_string(out, "conservative", verdict_name(condition->conservative));
    json_write_close(out, '}');
    json_write_close(out, '}');
}

void render_sarif(const struct assessment *const *assessments, uint32_t count, struct text *out)
{
    struct findings findings;
    if (!findings_init(&findings, assessments, count)) {
        out->failed = true;
        findings_destroy(&findings);
        return;
    }
    text_append_char(out, '{');
    json_write_string(out, "$schema", SCHEMA_URI);
    json_write_string(out, "version", "2.1.0");
    json_write_open(out, "runs", '[');
    json_write_open(out, NULL, '{');
    json_write_open(out, "tool", '{');
    json_write_open(out, "driver", '{');
    json_write_string(out, "name", "weir");
    json_write_string(out, "version", WEIR_VERSION);
    json_write_string(out, "semanticVersion", WEIR_VERSION);
    json_write_open(out, "rules", '[');
    for (uint32_t i = 0; i < findings.rule_count; i++)
        append_rule(out, findings.by_id[i]->condition);
    json_write_close(out, ']');
    json_write_close(out, '}');
    json_write_close(out, '}');
    json_write_open(out, "results", '[');
    for (uint32_t i = 0; i < findings.count; i++)
        append_result(out, &findings, &findings.found[i]);
    json_write_close(out, ']');
    json_write_close(out, '}');
    json_write_close(out, ']');
    json_write_close(out, '}');
    findings_destroy(&findings);
}
