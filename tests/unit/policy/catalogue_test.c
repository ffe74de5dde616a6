/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "policy/license/catalogue.h"
#include "tests/unit/policy/scratch.h"

#define DIGEST "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

/* A head that is sound, for bodies that are not. Conditions begin at line 9. */
#define HEAD                                                                                       \
    "id: acme\nname: Acme License\nfamily: acme\ncategory: threshold\ngrade: P\nverified: true\n"  \
    "sources: [here]\nsummary: Ours.\n"
#define CONDITION(kind) HEAD "conditions:\n  - {id: a, clause: c, summary: s, kind: " kind "}\n"
#define THRESHOLD(limb, rest)                                                                      \
    CONDITION("threshold, any_of: [{" limb "}], entity: licensee, scope: all_products" rest)
#define USERS "metric: mau, op: '>', value: 7, window: month"

static const char acme[] = HEAD
    "publisher: Acme\nversion: '2'\nspdx: LicenseRef-Acme\n"
    "aliases: [Acme License, acme_2]\nlinks: [acme/Model-1, acme.com/license]\n"
    "policies: [{name: AUP, url: 'https://acme.com/aup'}]\n"
    "grants: {commercial: yes, patent: silent, transferable: conditional}\n"
    "conditions:\n"
    "  - id: size\n"
    "    kind: threshold\n"
    "    clause: §2\n"
    "    summary: Above 700M users another licence is needed.\n"
    "    any_of:\n"
    "      - {metric: mau, op: '>', value: 700000000, window: month}\n"
    "      - {metric: revenue, op: '>=', value: 20000000, window: arr, currency: CNY}\n"
    "    test: release_date\n"
    "    release_date: 2024-02-29\n"
    "    test_month: 2024-01\n"
    "    entity: affiliates\n"
    "    scope: product_using_model\n"
    "    commercial_only: true\n"
    "    business: [model_as_a_service, image_generation]\n"
    "    exempt: [nonprofit]\n"
    "    consequence: attribute\n"
    "    checkpoints: [{model: '*-1', text: 'Acme {model}'}]\n"
    "    where: [website]\n"
    "  - {id: eu, kind: territory, clause: §3, summary: s, denied: [EU, KR], subject: anyone,\n"
    "     models: multimodal, multimodal: ['*vl*'], trigger: serving}\n"
    "  - {id: out, kind: outputs, clause: §4, summary: s, outputs: no_training}\n"
    "osaid: no\nosaid_reason: A size.\n"
    "ai_act: yes\n"
    "texts:\n"
    "  - {role: use_policy, source: here, digest: " DIGEST ", sentences: '1:00'}\n";
static const char mit[] =
    "id: MIT\nname: MIT License\nfamily: mit\nspdx: MIT\ncategory: permissive\n"
    "grade: K\nverified: false\nsummary: Keep the notice.\n";

struct file {
    const char *name, *yaml;
};

static void write_all(const char *folder, const struct file *files, size_t count)
{
    for (size_t i = 0; i < count; i++)
        scratch_write(folder, files[i].name, files[i].yaml, strlen(files[i].yaml));
}

static struct catalogue *load_sound(const char *const *folders, uint32_t count)
{
    struct error err = {0};
    struct catalogue *catalogue = catalogue_load(folders, count, &err);
    assert_string_equal(err.text, "");
    assert_non_null(catalogue);
    return catalogue;
}

/* One folder of these files; the error ends so, after the folder's name. */
static void expect_load_error(const struct file *files, size_t count, const char *tail)
{
    char folder[SCRATCH_PATH_BYTES];
    struct error err = {0};
    scratch_make(folder);
    write_all(folder, files, count);
    assert_null(catalogue_load((const char *[]){folder}, 1, &err));
    assert_int_equal(err.code, ERROR_INVALID);
    assert_int_equal(strncmp(err.text, folder, strlen(folder)), 0);
    if (strstr(err.text, tail) == NULL)
        fail_msg("'%s' does not hold '%s'", err.text, tail);
    scratch_remove(folder);
}

static void record_is_read_as_it_is_written(void **state)
{
    (void)state;
    char folder[SCRATCH_PATH_BYTES];
    scratch_make(folder);
    scratch_write(folder, "acme.yaml", acme, sizeof acme - 1);
    struct catalogue *catalogue = load_sound((const char *[]){folder}, 1);
    assert_int_equal(catalogue_count(catalogue), 1);
    const struct license_record *record = catalogue_at(catalogue, 0);
    assert_int_equal(record->category, CATEGORY_THRESHOLD);
    assert_int_equal(record->grade, GRADE_P);
    assert_true(record->verified);
    assert_int_equal(record->grants.commercial, ANSWER_YES);
    assert_int_equal(record->grants.production, ANSWER_UNKNOWN);
    assert_int_equal(record->grants.patent, ANSWER_SILENT);
    assert_int_equal(record->osaid, ANSWER_NO);
    assert_int_equal(record->ai_act, ANSWER_YES);
    assert_string_equal(record->ai_act_reason, "");
    assert_int_equal(record->texts[0].role, TEXT_USE_POLICY);
    assert_int_equal(record->condition_count, 3);
    const struct license_condition *size = &record->conditions[0];
    assert_int_equal(size->kind, CONDITION_THRESHOLD);
    assert_int_equal(size->trigger, TRIGGER_ALWAYS);
    assert_int_equal(size->any_of_count, 2);
    assert_int_equal(size->any_of[0].metric, METRIC_MAU);
    assert_int_equal(size->any_of[0].comparator, COMPARATOR_ABOVE);
    assert_int_equal(size->any_of[0].value, 700000000);
    assert_int_equal(size->any_of[1].comparator, COMPARATOR_AT_LEAST);
    assert_int_equal(size->any_of[1].window, WINDOW_ARR);
    assert_int_equal(size->any_of[1].currency, CURRENCY_CNY);
    assert_int_equal(size->test, TEST_RELEASE_DATE);
    assert_int_equal(size->entity, ENTITY_AFFILIATES);
    assert_int_equal(size->scope, SCOPE_PRODUCT);
    assert_true(size->commercial_only);
    assert_int_equal(size->business, BUSINESS_MODEL_AS_A_SERVICE | BUSINESS_IMAGE_GENERATION);
    assert_int_equal(size->exempt, EXEMPT_NONPROFIT);
    assert_int_equal(size->consequence, CONSEQUENCE_ATTRIBUTE);
    assert_string_equal(size->text, "");
    assert_string_equal(size->remedy, "");
    assert_string_equal(size->checkpoints[0].text, "Acme {model}");
    const struct license_condition *eu = &record->conditions[1];
    assert_int_equal(eu->trigger, TRIGGER_SERVING);
    assert_int_equal(eu->models, MODELS_MULTIMODAL);
    assert_int_equal(eu->subject, SUBJECT_ANYONE);
    assert_string_equal(eu->denied[1], "KR");
    assert_false(eu->commercial_only);
    assert_int_equal(record->conditions[2].outputs, OUTPUTS_NO_TRAINING);
    catalogue_free(catalogue);
    scratch_remove(folder);
}

static void names_are_found_whatever_their_spelling(void **state)
{
    (void)state;
    char folder[SCRATCH_PATH_BYTES], longest[2048];
    const struct file files[] = {{"acme.yaml", acme}, {"MIT.yaml", mit}};
    scratch_make(folder);
    write_all(folder, files, 2);
    struct catalogue *catalogue = load_sound((const char *[]){folder}, 1);
    assert_string_equal(catalogue_at(catalogue, 0)->id, "acme");
    assert_string_equal(catalogue_at(catalogue, 1)->id, "MIT");
    static const char *const acmes[] = {"acme",         "ACME",   "licenseref-acme", "acme license",
                                        "Acme_License", "acme 2", "acme-2"};
    for (size_t i = 0; i < sizeof acmes / sizeof acmes[0]; i++)
        assert_ptr_equal(catalogue_find(catalogue, acmes[i]), catalogue_at(catalogue, 0));
    assert_ptr_equal(catalogue_find(catalogue, "mit"), catalogue_at(catalogue, 1));
    assert_null(catalogue_find(catalogue, "modified-mit"));
    assert_null(catalogue_find(catalogue, "other"));
    assert_null(catalogue_find(catalogue, ""));
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    assert_null(catalogue_find(catalogue, longest));
    catalogue_free(catalogue);
    scratch_remove(folder);
}

static void link_is_found_by_whole_steps_of_its_path(void **state)
{
    (void)state;
    char folder[SCRATCH_PATH_BYTES];
    const struct file files[] = {
        {"acme.yaml", acme},
        {"acme-2.yaml", "id: acme-2\nname: A\nfamily: acme\ncategory: permissive\ngrade: K\n"
                        "verified: no\nsummary: s\nlinks: [acme/Model-1/blob/v2]\n"}};
    char renamed[sizeof acme];
    scratch_make(folder);
    write_all(folder, files, 2);
    memcpy(renamed, acme, sizeof acme);
    memcpy(strstr(renamed, "acme_2"), "acme_9", 6);
    scratch_write(folder, "acme.yaml", renamed, sizeof acme - 1);
    struct catalogue *catalogue = load_sound((const char *[]){folder}, 1);
    const struct license_record *first = catalogue_find(catalogue, "acme");
    const struct license_record *second = catalogue_find(catalogue, "acme-2");
    static const char *const firsts[] = {"https://huggingface.co/acme/Model-1",
                                         "https://hf.co/ACME/model-1/blob/main/LICENSE",
                                         "acme/Model-1?x=y", "https://www.acme.com/license#2"};
    for (size_t i = 0; i < sizeof firsts / sizeof firsts[0]; i++)
        assert_ptr_equal(catalogue_find_link(catalogue, firsts[i]), first);
    assert_ptr_equal(catalogue_find_link(catalogue, "hf.co/acme/Model-1/blob/v2/LICENSE"), second);
    static const char *const none[] = {
        "https://hf.co/acme/Model-1.5/LICENSE", "https://hf.co/acme/Model-10",
        "https://hf.co/not-acme/Model-1", "https://acme.com/license2", ""};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        assert_null(catalogue_find_link(catalogue, none[i]));
    catalogue_free(catalogue);
    scratch_remove(folder);
}

static void later_folder_replaces_a_record_with_all_its_names(void **state)
{
    (void)state;
    char base[SCRATCH_PATH_BYTES], own[SCRATCH_PATH_BYTES];
    static const char ours[] = "id: acme\nname: Ours\nfamily: acme\ncategory: permissive\n"
                               "grade: P\nverified: yes\nsources: [contract]\nsummary: s\n";
    static const char taker[] =
        "id: taker\nname: Takes a freed alias and text\nfamily: acme\n"
        "category: permissive\ngrade: K\nverified: no\nsummary: s\n"
        "aliases: [acme-2]\ntexts: [{role: license, source: s, digest: " DIGEST
        ", sentences: '1:00'}]\n";
    scratch_make(base);
    scratch_make(own);
    scratch_write(base, "acme.yaml", acme, sizeof acme - 1);
    scratch_write(base, "MIT.yaml", mit, sizeof mit - 1);
    scratch_write(own, "acme.yaml", ours, sizeof ours - 1);
    scratch_write(own, "taker.yaml", taker, sizeof taker - 1);
    struct catalogue *catalogue = load_sound((const char *[]){base, own}, 2);
    assert_int_equal(catalogue_count(catalogue), 3);
    assert_string_equal(catalogue_find(catalogue, "acme")->name, "Ours");
    assert_null(catalogue_find(catalogue, "licenseref-acme"));
    assert_string_equal(catalogue_find(catalogue, "acme-2")->id, "taker");
    assert_null(catalogue_find_link(catalogue, "hf.co/acme/Model-1"));
    catalogue_free(catalogue);
    scratch_remove(base);
    scratch_remove(own);
}

static void two_licences_never_share_a_name_a_link_or_a_text(void **state)
{
    (void)state;
#define OTHER                                                                                      \
    "id: other-1\nname: N\nfamily: o\ncategory: permissive\ngrade: K\nverified: no\nsummary: s\n"
    static const struct {
        const char *yaml, *tail;
    } rows[] = {
        {OTHER "aliases: [x, Acme 2]\n", "other-1.yaml:8: aliases[1]: a name of acme ("},
        {OTHER "aliases: [acme]\n", "other-1.yaml:8: aliases[0]: a name of acme ("},
        {OTHER "spdx: LicenseRef-ACME\n", "other-1.yaml:8: spdx: a name of acme ("},
        {OTHER "links:\n - ACME/model-1\n", "other-1.yaml:9: links[0]: a link of acme ("},
        {OTHER "texts:\n- {role: license, source: s, digest: " DIGEST ", sentences: '1:00'}\n",
         "other-1.yaml:9: texts[0]: a text of acme ("},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct file files[] = {{"acme.yaml", acme}, {"other-1.yaml", rows[i].yaml}};
        expect_load_error(files, 2, rows[i].tail);
    }
    const struct file twice[] = {
        {"mit.yaml", "id: mit\nname: N\nfamily: o\ncategory: permissive\ngrade: K\nverified: no\n"
                     "summary: s\n"},
        {"MIT.yaml", mit}};
    expect_load_error(twice, 2, "mit.yaml:1: id: taken by ");
}

static void lineage_is_first_match_and_the_operators_first(void **state)
{
    (void)state;
    char base[SCRATCH_PATH_BYTES], own[SCRATCH_PATH_BYTES];
    static const char rows[] =
        "- {model: '*Distill-Llama-8B*', licenses: [MIT], base_models: [meta/L], grade: P,\n"
        "   source: s, note: n}\n"
        "- {model: 'acme/*', licenses: [acme, MIT], grade: S, source: s}\n";
    static const char own_rows[] = "- {model: 'ACME/One', licenses: [MIT], grade: K, source: s}\n";
    scratch_make(base);
    scratch_make(own);
    scratch_write(base, "acme.yaml", acme, sizeof acme - 1);
    scratch_write(base, "MIT.yaml", mit, sizeof mit - 1);
    scratch_write(base, "lineage.yaml", rows, sizeof rows - 1);
    scratch_write(own, "lineage.yaml", own_rows, sizeof own_rows - 1);
    struct catalogue *catalogue = load_sound((const char *[]){base, own}, 2);
    assert_int_equal(catalogue_count(catalogue), 2);
    const struct lineage_row *row =
        catalogue_published(catalogue, "deepseek-ai/deepseek-r1-distill-llama-8b-gguf");
    assert_string_equal(row->base_models[0], "meta/L");
    assert_int_equal(row->grade, GRADE_P);
    row = catalogue_published(catalogue, "acme/Two");
    assert_int_equal(row->license_count, 2);
    assert_string_equal(row->note, "");
    assert_int_equal(row->grade, GRADE_S);
    assert_int_equal(catalogue_published(catalogue, "acme/one")->grade, GRADE_K);
    assert_null(catalogue_published(catalogue, "other/One"));
    assert_null(catalogue_published(catalogue, ""));
    catalogue_free(catalogue);
    scratch_remove(base);
    scratch_remove(own);
}

static void lineage_names_licences_that_there_are(void **state)
{
    (void)state;
    const struct file unknown[] = {{"MIT.yaml", mit},
                                   {"lineage.yaml",
                                    "- {model: a, licenses: [MIT], grade: P, source: s}\n"
                                    "- {model: b, licenses: [MIT, nope], grade: P, source: s}\n"}};
    expect_load_error(unknown, 2, "lineage.yaml:2: [1].licenses[1]: no licence has the id 'nope'");
    const struct file spelling[] = {
        {"MIT.yaml", mit},
        {"lineage.yaml", "- {model: a, licenses: [mit], grade: P, source: s}\n"}};
    expect_load_error(spelling, 2, "no licence has the id 'mit'; did you mean 'MIT'?");
    const struct file twice[] = {{"lineage.yaml",
                                  "- {model: a*, licenses: [MIT], grade: P, source: s}\n"
                                  "- {model: A*, licenses: [MIT], grade: P, source: s}\n"}};
    expect_load_error(twice, 1, "lineage.yaml:2: [1].model: an earlier row has the same");
    const struct file none[] = {
        {"lineage.yaml", "- {model: a*, licenses: [], grade: P, source: s}\n"}};
    expect_load_error(none, 1, "lineage.yaml:1: [0].licenses: must not be empty");
}

static void fault_is_named_with_its_line(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *message;
    } rows[] = {
        {"", "acme.yaml:1: empty: a licence has at least an id and a name"},
        {"- a\n", "acme.yaml:1: expected keys and values below it"},
        {HEAD "sumary: x\n", "acme.yaml:9: sumary: unknown key; did you mean 'summary'?"},
        {HEAD "banana: x\n", "acme.yaml:9: banana: unknown key; config/licenses/README.md lists"},
        {HEAD "id: acme\n", "acme.yaml:9: id: given twice; keep one"},
        {"name: N\n", "acme.yaml:1: 'id' is missing; add it"},
        {"id: acne\nname: N\nfamily: a\ncategory: permissive\ngrade: K\nverified: no\nsummary: s\n",
         "acme.yaml:1: id: the file's name must be the id and .yaml"},
        {"id: ACME\nname: N\nfamily: a\ncategory: permissive\ngrade: K\nverified: no\nsummary: s\n",
         "acme.yaml:1: id: expected lower-case letters, digits"},
        {"id: acme\nname: N\nfamily: A b\ncategory: permissive\ngrade: K\nverified: no\nsummary: "
         "s\n",
         "acme.yaml:3: family: expected lower-case letters"},
        {"id: acme\nname: N\nfamily: a\ncategory: free\ngrade: K\nverified: no\nsummary: s\n",
         "acme.yaml:4: category: expected one of permissive, attribution, copyleft"},
        {"id: acme\nname: N\nfamily: a\ncategory: permissive\ngrade: 0\nverified: no\nsummary: s\n",
         "acme.yaml:5: grade: expected one of P, C, X, S, K, got '0'"},
        {"id: acme\nname: N\nfamily: a\ncategory: permissive\ngrade: S\nverified: yes\nsummary: "
         "s\n",
         "acme.yaml:6: verified: grade S or K is nobody's reading"},
        {"id: acme\nname: N\nfamily: a\ncategory: permissive\ngrade: K\nverified: ok\nsummary: s\n",
         "acme.yaml:6: verified: expected one of true, false, yes, no, got 'ok'"},
        {"id: acme\nname: N\nfamily: a\ncategory: permissive\ngrade: X\nverified: no\nsummary: s\n",
         "acme.yaml:5: grade: needs sources"},
        {HEAD "aliases:\n  - ok\n  - Modified MIT\n",
         "acme.yaml:11: aliases[1]: stands for several licences, so it is nobody's alias"},
        {HEAD "aliases: [OpenRAIL]\n", "acme.yaml:9: aliases[0]: stands for several"},
        {HEAD "aliases: [other]\n", "acme.yaml:9: aliases[0]: stands for several"},
        {HEAD "aliases: [unknown]\n", "acme.yaml:9: aliases[0]: stands for several"},
        {HEAD "links: [mit]\n", "acme.yaml:9: links[0]: expected part of a URL"},
        {HEAD "policies: [{name: n, url: 'ftp://x'}]\n",
         "acme.yaml:9: policies[0].url: expected a URL, http:// or https://"},
        {HEAD "policies: [{name: n, url: 'javascript:x'}]\n", "acme.yaml:9: policies[0].url: "},
        {HEAD "policies: [{name: n}]\n", "acme.yaml:9: policies[0]: 'url' is missing; add it"},
        {HEAD "grants: {commercial: maybe}\n",
         "acme.yaml:9: grants.commercial: expected one of yes, no, conditional, unknown, silent"},
        {HEAD "osaid: silent\n",
         "acme.yaml:9: osaid: expected one of yes, no, conditional, unknown"},
        {HEAD "osaid: no\n", "acme.yaml:9: osaid: needs osaid_reason"},
        {HEAD "ai_act: conditional\n", "acme.yaml:9: ai_act: needs ai_act_reason"},
        {HEAD "texts: [{role: license, source: s, digest: 00, sentences: '1:00'}]\n",
         "acme.yaml:9: texts[0].digest: expected 64 digits"},
        {HEAD "texts:\n- {role: license, source: s, digest: " DIGEST ", sentences: '1:00'}\n"
              "- {role: license, source: s, digest: " DIGEST ", sentences: '1:00'}\n",
         "acme.yaml:11: texts[1].digest: the same text is listed twice"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct file files[] = {{"acme.yaml", rows[i].yaml}};
        expect_load_error(files, 1, rows[i].message);
    }
}

static void faulty_threshold_is_named_with_its_line(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *message;
    } rows[] = {
        {CONDITION("wish"), "acme.yaml:10: conditions[0].kind: expected one of threshold, purpose"},
        {HEAD "conditions: [{id: a, clause: c, summary: s}]\n",
         "acme.yaml:9: conditions[0]: 'kind' is missing; add it"},
        {HEAD "conditions:\n- {id: a/b, kind: notice, clause: c, summary: s}\n",
         "acme.yaml:10: conditions[0].id: expected lower-case letters, digits and '-'"},
        {HEAD "conditions:\n- {id: a, kind: notice, clause: c, summary: s}\n"
              "- {id: a, kind: update, clause: c, summary: s}\n",
         "acme.yaml:11: conditions[1].id: the id of an earlier condition"},
        {CONDITION("threshold"),
         "conditions[0]: 'any_of' is missing; a condition of kind threshold"},
        {THRESHOLD(USERS, ", test: continuing"), "conditions[0]: 'consequence' is missing"},
        {THRESHOLD(USERS, ", consequence: no_rights"), "conditions[0]: 'test' is missing"},
        {THRESHOLD("metric: mau, op: '>', value: 0, window: month",
                   ", test: continuing, consequence: no_rights"),
         "acme.yaml:10: conditions[0].any_of[0].value: expected a number from 1 to 10^15"},
        {THRESHOLD("metric: mau, op: '>', value: 1e9, window: month",
                   ", test: continuing, consequence: no_rights"),
         "any_of[0].value: expected a whole number in digits, got '1e9'"},
        {THRESHOLD("metric: mau, op: '=', value: 9, window: month", ""),
         "any_of[0].op: expected one of >, >=, got '='"},
        {THRESHOLD("metric: revenue, op: '>', value: 9, window: month",
                   ", test: continuing, consequence: no_rights"),
         "any_of[0]: 'currency' is missing; revenue needs it"},
        {THRESHOLD("metric: mau, op: '>', value: 9, window: month, currency: USD",
                   ", test: continuing, consequence: no_rights"),
         "any_of[0].currency: users have no currency"},
        {THRESHOLD("metric: mau, op: '>', value: 9, window: arr",
                   ", test: continuing, consequence: no_rights"),
         "any_of[0].window: arr is of revenue alone"},
        {THRESHOLD(USERS, ", test: release_date, consequence: no_rights"),
         "conditions[0]: 'release_date' is missing"},
        {THRESHOLD(USERS, ", test: release_date, consequence: no_rights, release_date: 2025-04-05"),
         "conditions[0]: 'test_month' is missing"},
        {THRESHOLD(USERS, ", test: release_date, consequence: no_rights, release_date: 2025-02-29, "
                          "test_month: 2025-01"),
         "acme.yaml:10: conditions[0].release_date: expected a day that there is"},
        {THRESHOLD(USERS, ", test: release_date, consequence: no_rights, release_date: 2025-04-31, "
                          "test_month: 2025-03"),
         "conditions[0].release_date: expected a day that there is"},
        {THRESHOLD(USERS, ", test: release_date, consequence: no_rights, release_date: 2025-04-05, "
                          "test_month: 2025-13"),
         "conditions[0].test_month: expected a month that there is"},
        {THRESHOLD(USERS, ", test: release_date, consequence: no_rights, release_date: 2025-04-05, "
                          "test_month: 2025-05"),
         "conditions[0].test_month: lies after the release date"},
        {THRESHOLD(USERS, ", test: continuing, consequence: no_rights, test_month: 2025-03"),
         "conditions[0].test_month: goes with test: release_date alone"},
        {THRESHOLD(USERS, ", test: continuing, consequence: attribute"),
         "conditions[0]: 'text' is missing; consequence: attribute needs it"},
        {THRESHOLD(USERS, ", test: continuing, consequence: notify, text: x"),
         "conditions[0].text: goes with consequence: attribute alone"},
        {THRESHOLD(USERS, ", test: continuing, consequence: notify, exempt: [everyone]"),
         "conditions[0].exempt: expected one of integrated_product, internal_use"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct file files[] = {{"acme.yaml", rows[i].yaml}};
        expect_load_error(files, 1, rows[i].message);
    }
}

static void faulty_condition_is_named_with_its_line(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *message;
    } rows[] = {
        {CONDITION("business, business: [none], consequence: no_rights"),
         "conditions[0].business: expected one of model_as_a_service"},
        {CONDITION("business, consequence: no_rights"), "conditions[0]: 'business' is missing"},
        {CONDITION("purpose"), "conditions[0]: 'purpose' is missing"},
        {CONDITION("outputs"), "conditions[0]: 'outputs' is missing"},
        {CONDITION("territory, subject: anyone"), "conditions[0]: 'denied' is missing"},
        {CONDITION("territory, denied: [EU]"), "conditions[0]: 'subject' is missing"},
        {CONDITION("territory, subject: anyone, denied: [EU, UK]"),
         "acme.yaml:10: conditions[0].denied[1]: expected a country as ISO 3166-1 writes it"},
        {CONDITION("territory, subject: anyone, denied: [kr]"),
         "conditions[0].denied[0]: expected"},
        {CONDITION("territory, subject: anyone, denied: [KR, KR]"),
         "conditions[0].denied[1]: listed twice; keep one"},
        {CONDITION("notice, purpose: research"),
         "conditions[0].purpose: a condition of kind notice has no such key"},
        {CONDITION("notice, test: continuing"),
         "conditions[0].test: a condition of kind notice has no such key"},
        {CONDITION("update, commercial_only: false"),
         "conditions[0].commercial_only: a condition of kind update has no such key"},
        {CONDITION("notice, multimodal: ['*']"),
         "conditions[0].multimodal: goes with models: multimodal alone"},
        {CONDITION("attribution, text: 'Built with {modle}'"),
         "conditions[0].text: '{' begins {model} and nothing else"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct file files[] = {{"acme.yaml", rows[i].yaml}};
        expect_load_error(files, 1, rows[i].message);
    }
}

static void folder_that_is_not_there_is_not_found(void **state)
{
    (void)state;
    struct error err = {0};
    assert_null(catalogue_load((const char *[]){"/nonexistent/licenses"}, 1, &err));
    assert_int_equal(err.code, ERROR_NOT_FOUND);
    assert_non_null(strstr(err.text, "/nonexistent/licenses"));
    struct catalogue *empty = load_sound(NULL, 0);
    assert_int_equal(catalogue_count(empty), 0);
    assert_null(catalogue_find(empty, "mit"));
    assert_null(catalogue_published(empty, "a/b"));
    catalogue_free(empty);
    catalogue_free(NULL);
}

static void only_yaml_files_are_read(void **state)
{
    (void)state;
    char folder[SCRATCH_PATH_BYTES], hidden[SCRATCH_PATH_BYTES + 16];
    const struct file files[] = {{"MIT.yaml", mit},
                                 {"README.md", "# no licence\n"},
                                 {"acme.yaml.bak", "no licence"},
                                 {".swap.yaml", "no licence"}};
    scratch_make(folder);
    write_all(folder, files, 4);
    struct catalogue *catalogue = load_sound((const char *[]){folder}, 1);
    assert_int_equal(catalogue_count(catalogue), 1);
    catalogue_free(catalogue);
    (void)snprintf(hidden, sizeof hidden, "%s/.swap.yaml", folder);
    assert_int_equal(unlink(hidden), 0);
    scratch_remove(folder);
}

static void glob_is_any_run_of_characters(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *name;
        bool matches;
    } rows[] = {
        {"", "", true},       {"", "a", false},           {"*", "", true},
        {"*", "abc", true},   {"a*", "abc", true},        {"*c", "abc", true},
        {"a*c", "abc", true}, {"a*c", "abd", false},      {"A*C", "aBc", true},
        {"*b*", "abc", true}, {"*b*b*", "abc", false},    {"a**c", "abc", true},
        {"*ab", "aab", true}, {"*aab", "aaab", true},     {"abc", "ab", false},
        {"ab", "abc", false}, {"*.gguf", "m.GGUF", true}, {"a.c", "abc", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (catalogue_glob(rows[i].pattern, rows[i].name) != rows[i].matches)
            fail_msg("'%s' over '%s'", rows[i].pattern, rows[i].name);
}

static void json_has_the_shape_of_the_file(void **state)
{
    (void)state;
    char folder[SCRATCH_PATH_BYTES];
    struct text out;
    scratch_make(folder);
    scratch_write(folder, "acme.yaml", acme, sizeof acme - 1);
    struct catalogue *catalogue = load_sound((const char *[]){folder}, 1);
    text_init(&out);
    catalogue_write_json(catalogue_at(catalogue, 0), &out);
    static const char *const parts[] = {
        "{\"id\":\"acme\",",
        "\"verified\":true",
        "\"aliases\":[\"Acme License\",\"acme_2\"]",
        "\"grants\":{\"commercial\":\"yes\",\"production\":\"unknown\"",
        "{\"metric\":\"mau\",\"op\":\">\",\"value\":700000000,\"window\":\"month\"}",
        "\"window\":\"arr\",\"currency\":\"CNY\"}",
        "\"business\":[\"model_as_a_service\",\"image_generation\"]",
        "{\"id\":\"out\",\"kind\":\"outputs\",\"clause\":\"§4\",\"summary\":\"s\",\"remedy\":\"\","
        "\"trigger\":\"always\",\"models\":\"all\",\"multimodal\":[],\"text_only\":[],"
        "\"exempt\":[],\"outputs\":\"no_training\"}",
    };
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (strstr(text_string(&out), parts[i]) == NULL)
            fail_msg("%s lacks %s", text_string(&out), parts[i]);
    assert_string_equal(catalogue_category_word(catalogue_at(catalogue, 0)), "threshold");
    assert_string_equal(catalogue_grade_word(catalogue_at(catalogue, 0)), "P");
    text_destroy(&out);
    catalogue_free(catalogue);
    scratch_remove(folder);
}

static void one_file_is_checked_with_its_fingerprints(void **state)
{
    (void)state;
    static const char bad[] =
        CONDITION("notice") "texts:\n  - {role: license, source: s, digest: " DIGEST
                            ", sentences: '1:00'}\n";
    static const char good[] =
        CONDITION("notice") "texts:\n  - {role: license, source: s, digest: " DIGEST
                            ", sentences: '1:9f3a6c0d51e2b7a4'}\n";
    static const char row[] = "- {model: a, licenses: [nope], grade: P, source: s}\n";
    struct error err = {0};
    assert_int_equal(catalogue_check("x/acme.yaml", bad, sizeof bad - 1, &err), ERROR_INVALID);
    assert_int_equal(strncmp(err.text, "x/acme.yaml:12: texts[0].sentences: ", 36), 0);
    assert_int_equal(catalogue_check("x/acme.yaml", good, sizeof good - 1, &err), 0);
    assert_int_equal(catalogue_check("x/lineage.yaml", row, sizeof row - 1, &err), 0);
    assert_int_equal(catalogue_check("acme.yaml", good, CATALOGUE_FILE_BYTES_MAX + 1, &err),
                     ERROR_INVALID);
}

/* The test's binary lies in the source tree. */
static void source_tree_is_found_from_the_binary(void **state)
{
    (void)state;
    char storage[PATH_MAX], working[PATH_MAX];
    const char *folders[2];
    assert_non_null(getcwd(working, sizeof working));
    assert_int_equal(chdir("/"), 0);
    assert_int_equal(catalogue_folders("", storage, sizeof storage, folders), 1);
    assert_non_null(strstr(folders[0], "/config/licenses"));
    assert_int_equal(catalogue_folders("/own", storage, sizeof storage, folders), 2);
    assert_string_equal(folders[1], "/own");
    assert_int_equal(catalogue_folders(NULL, storage, 4, folders), 1);
    assert_string_equal(folders[0], "/usr/share/weir/licenses");
    assert_int_equal(chdir(working), 0);
}

static void shipped_catalogue_is_sound(void **state)
{
    (void)state;
    char storage[PATH_MAX];
    const char *folders[2];
    uint32_t count = catalogue_folders(NULL, storage, sizeof storage, folders);
    struct catalogue *catalogue = load_sound(folders, count);
    assert_null(catalogue_find(catalogue, "modified-mit"));
    catalogue_free(catalogue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(record_is_read_as_it_is_written),
        cmocka_unit_test(names_are_found_whatever_their_spelling),
        cmocka_unit_test(link_is_found_by_whole_steps_of_its_path),
        cmocka_unit_test(later_folder_replaces_a_record_with_all_its_names),
        cmocka_unit_test(two_licences_never_share_a_name_a_link_or_a_text),
        cmocka_unit_test(lineage_is_first_match_and_the_operators_first),
        cmocka_unit_test(lineage_names_licences_that_there_are),
        cmocka_unit_test(fault_is_named_with_its_line),
        cmocka_unit_test(faulty_threshold_is_named_with_its_line),
        cmocka_unit_test(faulty_condition_is_named_with_its_line),
        cmocka_unit_test(folder_that_is_not_there_is_not_found),
        cmocka_unit_test(only_yaml_files_are_read),
        cmocka_unit_test(glob_is_any_run_of_characters),
        cmocka_unit_test(json_has_the_shape_of_the_file),
        cmocka_unit_test(one_file_is_checked_with_its_fingerprints),
        cmocka_unit_test(source_tree_is_found_from_the_binary),
        cmocka_unit_test(shipped_catalogue_is_sound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
