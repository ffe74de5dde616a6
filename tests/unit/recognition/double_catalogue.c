/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "policy/license/catalogue.h"
#include "policy/license/license_match.h"
#include "tests/unit/recognition/doubles.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static struct license_fingerprint one_text[] = {{.role = TEXT_LICENSE}};
static struct license_fingerprint two_texts[] = {{.role = TEXT_LICENSE}, {.role = TEXT_USE_POLICY}};

#define RECORD(i, n, f, c, texts_of, text_total)                                                   \
    {                                                                                              \
        .id = (i), .name = (n), .family = (f), .publisher = "", .version = "", .spdx = "",         \
        .category = (c), .summary = "", .texts = (texts_of), .text_count = (text_total)            \
    }

static struct license_record records[] = {
    RECORD("Apache-2.0", "Apache License 2.0", "apache", CATEGORY_PERMISSIVE, one_text, 1),
    RECORD("GPL-3.0", "GNU General Public License 3.0", "gpl", CATEGORY_COPYLEFT, NULL, 0),
    RECORD("MIT", "MIT License", "mit", CATEGORY_PERMISSIVE, one_text, 1),
    RECORD("bigscience-openrail-m", "BigScience OpenRAIL-M", "openrail", CATEGORY_USE_RESTRICTED,
           one_text, 1),
    RECORD("creativeml-openrail-m", "CreativeML OpenRAIL-M", "openrail", CATEGORY_USE_RESTRICTED,
           one_text, 1),
    RECORD("kimi-k2", "Kimi K2 License (Modified MIT)", "kimi", CATEGORY_ATTRIBUTION, one_text, 1),
    RECORD("kimi-k2.5", "Kimi K2.5 License (Modified MIT)", "kimi", CATEGORY_ATTRIBUTION, one_text,
           1),
    RECORD("llama3.1", "Llama 3.1 Community License", "llama", CATEGORY_THRESHOLD, two_texts, 2),
    RECORD("llama4", "Llama 4 Community License", "llama", CATEGORY_THRESHOLD, two_texts, 2),
    RECORD("minimax-m2", "MiniMax-M2 License (MIT with a rider)", "minimax", CATEGORY_ATTRIBUTION,
           one_text, 1),
    RECORD("mrl-0.1", "Mistral AI Research License", "mistral", CATEGORY_NON_COMMERCIAL, one_text,
           1),
};

static const struct {
    const char *alias, *id;
} aliases[] = {{"apache-license-2.0", "Apache-2.0"},
               {"apache-2.0-license", "Apache-2.0"},
               {"mit-license", "MIT"},
               {"gpl-3.0-only", "GPL-3.0"},
               {"mrl", "mrl-0.1"},
               {"research-and-evaluation", "mrl-0.1"}};

static const struct {
    const char *part, *id;
} links[] = {{"moonshotai/Kimi-K2.5", "kimi-k2.5"}, {"mistral.ai/licenses/MRL", "mrl-0.1"}};

static char *llama31[] = {"llama3.1"}, *mit[] = {"MIT"}, *apache[] = {"Apache-2.0"};
static char *kimi25[] = {"kimi-k2.5"}, *missing[] = {"no-such-id"};
static char *llama31_8b[] = {"meta-llama/Llama-3.1-8B"}, *ring_a[] = {"ring/A"},
            *ring_b[] = {"ring/B"};

#define ROW(m, l, b, total)                                                                        \
    {                                                                                              \
        .model = (m), .licenses = (l), .license_count = (l) == NULL ? 0 : 1, .base_models = (b),   \
        .base_model_count = (total), .source = "a test", .note = ""                                \
    }

static struct lineage_row rows[] = {
    ROW("deepseek-ai/DeepSeek-R1-Distill-Llama-8B", mit, llama31_8b, 1),
    ROW("DeepSeek-R1-Distill-Llama-8B", mit, llama31_8b, 1),
    ROW("meta-llama/Llama-3.1-8B", llama31, NULL, 0),
    ROW("Llama-3.1-8B", llama31, llama31_8b, 1), /* whose base model the row above describes */
    ROW("moonshotai/Kimi-K2.5", kimi25, NULL, 0),
    ROW("Mistral-Large-3", apache, NULL, 0),
    ROW("HuggingFaceTB/SmolLM2-135M", apache, NULL, 0),
    ROW("odd/Row", missing, NULL, 0),
    ROW("ring/A", mit, ring_b, 1),
    ROW("ring/B", mit, ring_a, 1),
};

uint32_t catalogue_count(const struct catalogue *catalogue)
{
    (void)catalogue;
    return COUNT(records);
}

const struct license_record *catalogue_at(const struct catalogue *catalogue, uint32_t index)
{
    (void)catalogue;
    return &records[index];
}

static const struct license_record *by_id(const char *id)
{
    for (size_t i = 0; i < COUNT(records); i++)
        if (strcasecmp(records[i].id, id) == 0)
            return &records[i];
    return NULL;
}

const struct license_record *catalogue_find(const struct catalogue *catalogue, const char *name)
{
    char spelled[256];
    (void)catalogue;
    (void)snprintf(spelled, sizeof spelled, "%s", name);
    for (char *c = spelled; *c != '\0'; c++)
        if (*c == ' ' || *c == '_')
            *c = '-';
    for (size_t i = 0; i < COUNT(aliases); i++)
        if (strcasecmp(aliases[i].alias, spelled) == 0)
            return by_id(aliases[i].id);
    return by_id(spelled);
}

const struct license_record *catalogue_find_link(const struct catalogue *catalogue,
                                                 const char *link)
{
    (void)catalogue;
    for (size_t i = 0; i < COUNT(links); i++)
        if (strcasestr(link, links[i].part) != NULL)
            return by_id(links[i].id);
    return NULL;
}

const struct lineage_row *catalogue_published(const struct catalogue *catalogue, const char *model)
{
    (void)catalogue;
    for (size_t i = 0; i < COUNT(rows); i++)
        if (strcasecmp(rows[i].model, model) == 0)
            return &rows[i];
    return NULL;
}

int license_text_init(struct license_text *text, const char *bytes, size_t count, struct error *err)
{
    memset(text, 0, sizeof *text);
    if (count > LICENSE_TEXT_BYTES_MAX)
        return error_set(err, ERROR_UNSUPPORTED, "it is larger than any licence");
    if (count == 0 || memchr(bytes, '\0', count) != NULL)
        return error_set(err, ERROR_UNSUPPORTED, "it is no plain text");
    return 0;
}

void license_text_destroy(struct license_text *text)
{
    memset(text, 0, sizeof *text);
}

static const struct license_record *after(const char *bytes, const char *begin)
{
    char id[64];
    size_t count = strlen(begin);
    if (strncmp(bytes, begin, count) != 0)
        return NULL;
    (void)snprintf(id, sizeof id, "%.*s", (int)strcspn(bytes + count, "\n"), bytes + count);
    return by_id(id);
}

int license_match(const struct license_matcher *matcher, const struct license_text *text,
                  const char *bytes, struct license_match *ret, struct error *err)
{
    (void)matcher;
    (void)text;
    (void)err;
    *ret = (struct license_match){.kind = MATCH_DIGEST, .role = TEXT_LICENSE};
    ret->record = after(bytes, "TEXT OF ");
    if (ret->record != NULL)
        return 0;
    ret->role = TEXT_USE_POLICY;
    ret->record = after(bytes, "POLICY OF ");
    if (ret->record != NULL)
        return 0;
    ret->role = TEXT_LICENSE;
    ret->kind = MATCH_PATTERN;
    ret->record = after(bytes, "TEMPLATE OF ");
    if (ret->record != NULL)
        return 0;
    ret->kind = MATCH_NONE;
    ret->nearest = after(bytes, "LIKE ");
    ret->similarity = ret->nearest == NULL ? 0 : 0.87;
    const char *line = strchr(bytes, '\n');
    if (line != NULL) {
        (void)snprintf(ret->residues[0].sentence, LICENSE_RESIDUE_BYTES, "%.300s", line + 1);
        ret->residues[0].restricts = "users";
        ret->residue_count = ret->residue_total = 1;
    }
    return 0;
}
