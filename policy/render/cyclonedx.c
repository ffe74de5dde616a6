/* SPDX-License-Identifier: Apache-2.0 */
/* cyclonedx.c -- a CycloneDX 1.6 ML-BOM: a machine-learning-model component a model.
 *
 * A licence has its SPDX id only where the format's own list holds it, and its name otherwise:
 * anything else would not validate. What the format has no place for, verdicts and thresholds,
 * are properties named weir:... The serial number is derived from what the document says (a UUID
 * of version 8, RFC 9562, from SHA-256), so that one and the same report has one and the same
 * number. */
#include "policy/render/json_writer.h"
#include "policy/render/plain.h"
#include "policy/render/render.h"
#include "policy/render/view.h"

#include <openssl/evp.h>
#include <string.h>

#define DIGEST_BYTES 32u

/* Those of the format's list that models are published under. */
static const char *const spdx_ids[] = {
    "0BSD",
    "AFL-3.0",
    "AGPL-3.0",
    "AGPL-3.0-only",
    "Apache-2.0",
    "Artistic-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSD-3-Clause-Clear",
    "BSL-1.0",
    "CC-BY-2.0",
    "CC-BY-2.5",
    "CC-BY-3.0",
    "CC-BY-4.0",
    "CC-BY-NC-2.0",
    "CC-BY-NC-3.0",
    "CC-BY-NC-4.0",
    "CC-BY-NC-ND-3.0",
    "CC-BY-NC-ND-4.0",
    "CC-BY-NC-SA-2.0",
    "CC-BY-NC-SA-3.0",
    "CC-BY-NC-SA-4.0",
    "CC-BY-ND-4.0",
    "CC-BY-SA-3.0",
    "CC-BY-SA-4.0",
    "CC0-1.0",
    "CDLA-Permissive-1.0",
    "CDLA-Permissive-2.0",
    "CDLA-Sharing-1.0",
    "ECL-2.0",
    "EPL-1.0",
    "EPL-2.0",
    "EUPL-1.1",
    "EUPL-1.2",
    "GFDL-1.3",
    "GPL-2.0",
    "GPL-2.0-only",
    "GPL-3.0",
    "GPL-3.0-only",
    "ISC",
    "LGPL-2.1",
    "LGPL-3.0",
    "LGPL-3.0-only",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "MS-PL",
    "NCSA",
    "ODC-By-1.0",
    "ODbL-1.0",
    "OFL-1.1",
    "OSL-3.0",
    "PDDL-1.0",
    "PostgreSQL",
    "Unlicense",
    "UPL-1.0",
    "WTFPL",
    "Zlib",
    "AGPL-3.0-or-later",
    "GPL-2.0-or-later",
    "GPL-3.0-or-later",
    "LGPL-2.1-only",
    "LGPL-2.1-or-later",
    "LGPL-3.0-or-later",
};

static bool is_listed(const char *spdx)
{
    for (size_t i = 0; i < sizeof spdx_ids / sizeof spdx_ids[0]; i++)
        if (strcmp(spdx_ids[i], spdx) == 0)
            return true;
    return false;
}

static void append_license_link(struct text *out, const char *link)
{
    struct text url;
    text_init(&url);
    if (plain_append_url(&url, link)) {
        json_write_open(out, "externalReferences", '[');
        json_write_open(out, NULL, '{');
        json_write_string(out, "type", "license");
        json_write_string(out, "url", text_string(&url));
        json_write_close(out, '}');
        json_write_close(out, ']');
    }
    out->failed = out->failed || url.failed;
    text_destroy(&url);
}

static void append_license(struct text *out, const struct recognised_license *license)
{
    const struct license_record *record = license->record;
    bool is_text = license->by == BY_TEXT_DIGEST || license->by == BY_TEXT_PATTERN;
    json_write_open(out, NULL, '{');
    json_write_open(out, "license", '{');
    if (record != NULL && is_listed(record->spdx))
        json_write_string(out, "id", record->spdx);
    else
        json_write_string(out, "name", view_license_name(license));
    json_write_string(out, "acknowledgement", is_text ? "concluded" : "declared");
    json_write_open(out, "properties", '[');
    json_write_open(out, NULL, '{');
    json_write_string(out, "name", "weir:license");
    json_write_string(out, "value", view_license_id(license));
    json_write_close(out, '}');
    json_write_open(out, NULL, '{');
    json_write_string(out, "name", "weir:recognised_by");
    json_write_string(out, "value", recognised_by_name(license->by));
    json_write_close(out, '}');
    json_write_close(out, ']');
    json_write_close(out, '}');
    json_write_close(out, '}');
}

/* Of the model itself (base NULL), or of one of its base models. */
static void append_licenses(struct text *out, const struct recognition *recognition,
                            const char *base)
{
    json_write_open(out, "licenses", '[');
    for (uint32_t i = 0; i < recognition->license_count; i++)
        if (base == NULL || strcmp(base, recognition->licenses[i].base) == 0)
            append_license(out, &recognition->licenses[i]);
    json_write_close(out, ']');
}

static bool is_first_of_base(const struct recognition *recognition, uint32_t index)
{
    const char *base = recognition->licenses[index].base;
    for (uint32_t i = 0; i < index; i++)
        if (strcmp(recognition->licenses[i].base, base) == 0)
            return false;
    return base[0] != '\0';
}

static void append_pedigree(struct text *out, const struct recognition *recognition)
{
    bool opened = false;
    for (uint32_t i = 0; i < recognition->license_count; i++) {
        const char *base = recognition->licenses[i].base;
        if (!is_first_of_base(recognition, i))
            continue;
        if (!opened) {
            json_write_open(out, "pedigree", '{');
            json_write_open(out, "ancestors", '[');
            opened = true;
        }
        json_write_open(out, NULL, '{');
        json_write_string(out, "type", "machine-learning-model");
        json_write_string(out, "name", base);
        append_licenses(out, recognition, base);
        json_write_close(out, '}');
    }
    if (opened) {
        json_write_close(out, ']');
        json_write_close(out, '}');
    }
}

/* Conditions on what the model is used for, and where: the card has a place for them. */
static bool is_consideration(const struct assessed_condition *condition)
{
    if (condition->condition == NULL || condition->verdict == VERDICT_MET)
        return false;
    switch (condition->condition->kind) {
    case CONDITION_PURPOSE:
    case CONDITION_TERRITORY:
    case CONDITION_BUSINESS:
    case CONDITION_USE_POLICY:
    case CONDITION_FLOW_DOWN:
    case CONDITION_OUTPUTS:
        return true;
    default:
        return false;
    }
}

static void append_card(struct text *out, const struct assessment *assessment)
{
    json_write_open(out, "modelCard", '{');
    json_write_open(out, "considerations", '{');
    json_write_open(out, "ethicalConsiderations", '[');
    for (uint32_t i = 0; i < assessment->condition_count; i++) {
        const struct assessed_condition *condition = &assessment->conditions[i];
        if (!is_consideration(condition))
            continue;
        json_write_open(out, NULL, '{');
        json_write_string(out, "name", condition->summary);
        json_write_string_unless_empty(out, "mitigationStrategy", condition->remedy);
        json_write_close(out, '}');
    }
    json_write_close(out, ']');
    json_write_close(out, '}');
    json_write_close(out, '}');
}

static void append_property(struct text *out, const char *name, const char *value)
{
    json_write_open(out, NULL, '{');
    json_write_string(out, "name", name);
    json_write_string(out, "value", value);
    json_write_close(out, '}');
}

static void append_condition(struct text *out, const struct assessed_condition *condition)
{
    struct text name, value;
    text_init(&name);
    text_append_format(&name, "weir:condition:%s", condition->id);
    json_write_open(out, NULL, '{');
    json_write_take(out, "name", &name);
    json_write_string(out, "value", verdict_name(condition->verdict));
    json_write_close(out, '}');
    for (uint32_t i = 0; condition->condition != NULL && i < condition->condition->any_of_count;
         i++) {
        const struct threshold_limb *limb = &condition->condition->any_of[i];
        text_init(&name);
        text_init(&value);
        text_append_format(&name, "weir:%s.threshold:%s", threshold_metric_name(limb->metric),
                           condition->id);
        view_append_limb(&value, limb);
        json_write_open(out, NULL, '{');
        json_write_take(out, "name", &name);
        json_write_take(out, "value", &value);
        json_write_close(out, '}');
    }
}

static void append_properties(struct text *out, const struct assessment *assessment)
{
    json_write_open(out, "properties", '[');
    append_property(out, "weir:license", assessment->license);
    append_property(out, "weir:verdict", verdict_name(assessment->verdict));
    append_property(out, "weir:verdict:literal", verdict_name(assessment->literal));
    append_property(out, "weir:verdict:conservative", verdict_name(assessment->conservative));
    append_property(out, "weir:interpretation", view_interpretation(assessment->interpretation));
    append_property(out, "weir:osaid", license_answer_name(assessment->osaid));
    append_property(out, "weir:ai_act.exemption", view_exemption(assessment->ai_act));
    for (uint32_t i = 0; i < assessment->recognition->disagreement_count; i++)
        append_property(out, "weir:disagreement", assessment->recognition->disagreements[i]);
    for (uint32_t i = 0; i < assessment->condition_count; i++)
        append_condition(out, &assessment->conditions[i]);
    json_write_close(out, ']');
}

static void append_component(struct text *out, const struct assessment *assessment, uint32_t number)
{
    struct text reference;
    text_init(&reference);
    text_append_format(&reference, "model-%u", number);
    json_write_open(out, NULL, '{');
    json_write_string(out, "type", "machine-learning-model");
    json_write_take(out, "bom-ref", &reference);
    json_write_string(out, "name", assessment->model);
    append_licenses(out, assessment->recognition, NULL);
    append_license_link(out, assessment->recognition->link);
    append_pedigree(out, assessment->recognition);
    append_card(out, assessment);
    append_properties(out, assessment);
    json_write_close(out, '}');
}

static void append_serial(struct text *out, const struct text *body)
{
    unsigned char digest[DIGEST_BYTES] = {0};
    struct text serial;
    if (EVP_Digest(text_string(body), body->count, digest, NULL, EVP_sha256(), NULL) != 1)
        out->failed = true;
    digest[6] = (unsigned char)(0x80 | (digest[6] & 0x0f)); /* version 8 */
    digest[8] = (unsigned char)(0x80 | (digest[8] & 0x3f)); /* the RFC's variant */
    text_init(&serial);
    text_append_string(&serial, "urn:uuid:");
    for (uint32_t i = 0; i < 16; i++)
        text_append_format(&serial, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
                           digest[i]);
    json_write_take(out, "serialNumber", &serial);
}

/* From "metadata" on: what the serial number is made of. */
static void append_body(struct text *out, const struct assessment *const *assessments,
                        uint32_t count, int64_t at_unix)
{
    struct text time;
    text_init(&time);
    plain_time(&time, at_unix);
    json_write_open(out, "metadata", '{');
    json_write_take(out, "timestamp", &time);
    json_write_open(out, "tools", '{');
    json_write_open(out, "components", '[');
    json_write_open(out, NULL, '{');
    json_write_string(out, "type", "application");
    json_write_string(out, "name", "weir");
    json_write_string(out, "version", WEIR_VERSION);
    json_write_close(out, '}');
    json_write_close(out, ']');
    json_write_close(out, '}');
    json_write_close(out, '}');
    json_write_open(out, "components", '[');
    for (uint32_t i = 0; i < count; i++)
        append_component(out, assessments[i], i + 1);
    json_write_close(out, ']');
}

void render_cyclonedx(const struct assessment *const *assessments, uint32_t count, int64_t at_unix,
                      struct text *out)
{
    struct text body;
    text_init(&body);
    append_body(&body, assessments, count, at_unix);
    text_append_char(out, '{');
    json_write_string(out, "$schema", "http://cyclonedx.org/schema/bom-1.6.schema.json");
    json_write_string(out, "bomFormat", "CycloneDX");
    json_write_string(out, "specVersion", "1.6");
    append_serial(out, &body);
    json_write_u64(out, "version", 1);
    text_append_char(out, ',');
    text_append(out, text_string(&body), body.count);
    json_write_close(out, '}');
    out->failed = out->failed || body.failed;
    text_destroy(&body);
}
