/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/license/license_match.h"

#define RECORDS_MAX 160

/* A catalogue of texts. */
struct shelf {
    struct license_record records[RECORDS_MAX];
    struct license_fingerprint texts[RECORDS_MAX];
    const struct license_record *order[RECORDS_MAX];
    char *names[RECORDS_MAX], *entries[RECORDS_MAX], *bytes[RECORDS_MAX];
    size_t byte_counts[RECORDS_MAX];
    uint32_t count;
    struct license_matcher *matcher;
};

static struct license_text read_text(const char *bytes, size_t count)
{
    struct license_text text = {0};
    struct error err = {0};
    if (license_text_init(&text, bytes, count, &err) != 0)
        fail_msg("%s", err.text);
    return text;
}

/* Takes `bytes`. marked: the text with its slots, or NULL when it has none. */
static void shelf_add(struct shelf *shelf, const char *name, char *bytes, size_t byte_count,
                      const char *marked)
{
    struct license_text text = read_text(bytes, byte_count), slots = {0};
    struct text entry;
    uint32_t i = shelf->count++;
    assert_true(i < RECORDS_MAX);
    if (marked != NULL)
        slots = read_text(marked, strlen(marked));
    text_init(&entry);
    license_text_write(&text, 0, &entry);
    if (marked != NULL) {
        text_reset(&entry);
        license_text_write(&slots, 0, &entry);
    }
    shelf->bytes[i] = bytes;
    shelf->byte_counts[i] = byte_count;
    shelf->names[i] = strdup(name);
    shelf->entries[i] = text_take(&entry, NULL);
    assert_non_null(shelf->entries[i]);
    /* "digest: 64 digits\nsentences: |\n..." */
    char *sentences = strstr(shelf->entries[i], "|\n");
    assert_non_null(sentences);
    shelf->texts[i] = (struct license_fingerprint){
        .role = strstr(name, "USE_POLICY") != NULL ? TEXT_USE_POLICY : TEXT_LICENSE,
        .source = shelf->names[i],
        .digest = shelf->entries[i] + strlen("digest: "),
        .sentences = sentences + 2};
    shelf->texts[i].digest[2 * LICENSE_DIGEST_BYTES] = '\0';
    shelf->records[i] =
        (struct license_record){.id = shelf->names[i], .texts = &shelf->texts[i], .text_count = 1};
    shelf->order[i] = &shelf->records[i];
    license_text_destroy(&text);
    license_text_destroy(&slots);
}

static void shelf_close(struct shelf *shelf)
{
    struct error err = {0};
    shelf->matcher = license_matcher_of(shelf->order, shelf->count, &err);
    if (shelf->matcher == NULL)
        fail_msg("%s", err.text);
}

static void shelf_free(struct shelf *shelf)
{
    license_matcher_free(shelf->matcher);
    for (uint32_t i = 0; i < shelf->count; i++) {
        free(shelf->names[i]);
        free(shelf->entries[i]);
        free(shelf->bytes[i]);
    }
    free(shelf);
}

static struct license_match match_bytes(const struct shelf *shelf, const char *bytes, size_t count)
{
    struct license_text text = read_text(bytes, count);
    struct license_match match;
    struct error err = {0};
    if (license_match(shelf->matcher, &text, bytes, &match, &err) != 0)
        fail_msg("%s", err.text);
    license_text_destroy(&text);
    return match;
}

static struct license_match match_string(const struct shelf *shelf, const char *bytes)
{
    return match_bytes(shelf, bytes, strlen(bytes));
}

/* -- invented licences -- */

#define HEAD  "Acme License\n\nCopyright (c) 2025 Acme\n\n"
#define GRANT "You are free to run, copy, change and give away this robot model.\n\n"
#define KEEP  "Whoever gets a copy from you gets this whole page with it, on disk or paper.\n\n"
#define BLAME                                                                                      \
    "Nobody promises that the robot does anything well; what it breaks is yours to mend.\n"
#define NAME  "The name of weirslot6 is not put on anything that you make from it.\n"
#define NAMED "The name of the Acme Robot Works is not put on anything that you make from it.\n"
#define RIDER                                                                                      \
    "\nServices with more than 5 million monthly users show \"Robot by Acme\" on every page.\n"

static struct shelf *open_shelf(void)
{
    struct shelf *shelf = calloc(1, sizeof *shelf);
    assert_non_null(shelf);
    static const char *const texts[][3] = {
        {"plain", HEAD GRANT KEEP BLAME, NULL},
        {"rider", HEAD GRANT KEEP BLAME RIDER, NULL},
        {"named", HEAD GRANT KEEP NAMED BLAME, HEAD GRANT KEEP NAME BLAME},
        {"robot-USE_POLICY", "Robots do not hit people. Robots do not sell people.\n", NULL},
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        char *bytes = strdup(texts[i][1]);
        shelf_add(shelf, texts[i][0], bytes, strlen(bytes), texts[i][2]);
    }
    shelf_close(shelf);
    return shelf;
}

static void a_text_is_known_by_every_word(void **state)
{
    (void)state;
    struct shelf *shelf = open_shelf();
    struct license_match match = match_string(shelf, HEAD GRANT KEEP BLAME);
    assert_int_equal(match.kind, MATCH_DIGEST);
    assert_string_equal(match.record->id, "plain");
    assert_int_equal(match.role, TEXT_LICENSE);
    assert_int_equal(match.residue_total, 0);
    assert_string_equal(match_string(shelf, HEAD GRANT KEEP BLAME RIDER).record->id, "rider");
    match = match_string(shelf, "Robots do not hit people. Robots do not sell people.");
    assert_string_equal(match.record->id, "robot-USE_POLICY");
    assert_int_equal(match.role, TEXT_USE_POLICY);
    shelf_free(shelf);
}

static void a_name_in_a_slot_is_the_same_licence(void **state)
{
    (void)state;
    struct shelf *shelf = open_shelf();
    static const char other[] = HEAD GRANT KEEP
        "The name of Bolt, Inc. is not put on anything that you make from it.\n" BLAME;
    struct license_match match = match_string(shelf, other);
    assert_int_equal(match.kind, MATCH_PATTERN);
    assert_string_equal(match.record->id, "named");
    match =
        match_string(shelf, HEAD GRANT KEEP
                     "The name of any user is not put on anything that you make from it.\n" BLAME);
    assert_int_equal(match.kind, MATCH_NONE);
    assert_string_equal(match.nearest->id, "named");
    assert_int_equal(match.residue_total, 1);
    assert_non_null(strstr(match.residues[0].sentence, "any user"));
    shelf_free(shelf);
}

static void a_rider_is_named_and_its_licence_only_suggested(void **state)
{
    (void)state;
    struct shelf *shelf = open_shelf();
    static const char *const texts[] = {
        HEAD GRANT KEEP BLAME "\nFor research use only.\n",
        HEAD "For research use only.\n\n" GRANT KEEP BLAME,
        "For research use only.\n" HEAD GRANT KEEP BLAME,
        HEAD "For research use only. " GRANT KEEP BLAME,
        HEAD GRANT KEEP "Nobody promises (For research use only.) that the robot does anything "
                        "well; what it breaks is yours to mend.",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct license_match match = match_string(shelf, texts[i]);
        assert_int_equal(match.kind, MATCH_NONE);
        assert_null(match.record);
        assert_string_equal(match.nearest->id, "plain");
        assert_true(match.similarity > 0.9 && match.similarity < 1);
        assert_int_equal(match.missing, 0);
        assert_non_null(strstr(match.residues[0].sentence, "For research use only."));
        assert_string_equal(match.residues[0].restricts, "research");
    }
    shelf_free(shelf);
}

static void residues_that_restrict_come_first(void **state)
{
    (void)state;
    struct shelf *shelf = open_shelf();
    struct license_match match =
        match_string(shelf, "Be kind.\n\n" HEAD GRANT "Feed the robot.\n\n" KEEP BLAME
                            "Not available in the EU.\nGood luck.\n");
    assert_int_equal(match.residue_total, 4);
    assert_int_equal(match.residue_count, 4);
    assert_string_equal(match.residues[0].sentence, "Not available in the EU.");
    assert_string_equal(match.residues[0].restricts, "territory");
    assert_string_equal(match.residues[1].sentence, "Be kind.");
    assert_null(match.residues[1].restricts);
    assert_string_equal(match.residues[3].sentence, "Good luck.");
    shelf_free(shelf);
}

static void a_text_like_none_shows_all_of_itself(void **state)
{
    (void)state;
    struct shelf *shelf = open_shelf();
    struct text bytes;
    text_init(&bytes);
    for (int i = 0; i < 30; i++)
        text_append_format(&bytes, "Sentence %d says little. ", i);
    text_append_string(&bytes, "It is prohibited.");
    struct license_match match = match_string(shelf, text_string(&bytes));
    assert_int_equal(match.kind, MATCH_NONE);
    assert_null(match.nearest);
    assert_int_equal(match.residue_count, LICENSE_RESIDUES_MAX);
    assert_int_equal(match.residue_total, 31);
    assert_string_equal(match.residues[0].sentence, "It is prohibited.");
    text_destroy(&bytes);
    shelf_free(shelf);
}

static void a_residue_is_one_line_that_a_terminal_can_show(void **state)
{
    (void)state;
    struct shelf *shelf = open_shelf();
    struct license_match match =
        match_string(shelf, HEAD GRANT KEEP BLAME
                     "Not \x1b[31m for\r\n\tresearch\xe2\x80\xae or \xc2\x9b sale.\n");
    assert_string_equal(match.residues[0].sentence, "Not [31m for research or sale.");
    /* a long sentence: the words in question, with some of what stands before them */
    struct text bytes;
    text_init(&bytes);
    for (int i = 0; i < 200; i++)
        text_append_format(&bytes, i == 50 ? "w%d. " : "w%d ", i);
    char *known = strdup(text_string(&bytes));
    struct shelf *other = calloc(1, sizeof *other);
    assert_non_null(other);
    shelf_add(other, "long", known, strlen(known), NULL);
    shelf_close(other);
    text_reset(&bytes);
    for (int i = 0; i < 200; i++)
        text_append_format(&bytes,
                           i == 150  ? "in the EU \xe4\xb8\xad w%d "
                           : i == 50 ? "w%d. "
                                     : "w%d ",
                           i);
    match = match_string(other, text_string(&bytes));
    assert_int_equal(match.residue_total, 1);
    assert_string_equal(match.residues[0].restricts, "territory");
    assert_memory_equal(match.residues[0].sentence, "...w1", 5);
    assert_non_null(strstr(match.residues[0].sentence, "w149 in the EU \xe4\xb8\xad w150"));
    assert_true(strlen(match.residues[0].sentence) < LICENSE_RESIDUE_BYTES);
    assert_true(utf8_valid(match.residues[0].sentence, strlen(match.residues[0].sentence)));
    text_destroy(&bytes);
    shelf_free(other);
    shelf_free(shelf);
}

static void bad_fingerprints_are_named(void **state)
{
    (void)state;
    static char digest[] = "da6d84d806a84b930cdad9c0727f4d03a99c937496005069a610228473f06d02";
    static char upper[] = "DA6d84d806a84b930cdad9c0727f4d03a99c937496005069a610228473f06d02";
    static char good[] = "3:0011223344556677\n", bad[] = "3:0011223344556677\n3\n", none[] = "";
    static char id[] = "acme";
    struct {
        char *digest, *sentences;
        const char *message;
    } rows[] = {{digest, good, NULL},
                {digest, none, NULL}, /* known by its digest alone */
                {upper, good, "'acme': text 1: a digest"},
                {none, good, "'acme': text 1: a digest"},
                {digest, bad, "'acme': text 1: line 2"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct license_fingerprint text = {.digest = rows[i].digest,
                                           .sentences = rows[i].sentences};
        struct license_record record = {.id = id, .texts = &text, .text_count = 1};
        const struct license_record *records[] = {&record};
        struct error err = {0};
        struct license_matcher *matcher = license_matcher_of(records, 1, &err);
        assert_int_equal(matcher == NULL, rows[i].message != NULL);
        if (rows[i].message != NULL)
            assert_non_null(strstr(err.text, rows[i].message));
        license_matcher_free(matcher);
    }
    struct license_matcher *matcher = license_matcher_of(NULL, 0, NULL);
    struct license_text text = read_text("Anything.", 9);
    struct license_match match;
    assert_int_equal(license_match(matcher, &text, "Anything.", &match, NULL), 0);
    assert_int_equal(match.kind, MATCH_NONE);
    license_text_destroy(&text);
    license_matcher_free(matcher);
}

/* -- published texts, where WEIR_LICENCE_TEXTS names a folder of them -- */

static char *read_file(const char *folder, const char *name, size_t *ret_count)
{
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    char *bytes = malloc(LICENSE_TEXT_BYTES_MAX);
    assert_non_null(file);
    assert_non_null(bytes);
    *ret_count = fread(bytes, 1, LICENSE_TEXT_BYTES_MAX, file);
    (void)fclose(file);
    return bytes;
}

/* NULL where there are none: the test has nothing to say then. */
static struct shelf *open_published(void)
{
    const char *folder = getenv("WEIR_LICENCE_TEXTS");
    DIR *entries = folder == NULL ? NULL : opendir(folder);
    if (entries == NULL) {
        print_message("WEIR_LICENCE_TEXTS names no folder: nothing tested\n");
        return NULL;
    }
    struct shelf *shelf = calloc(1, sizeof *shelf);
    assert_non_null(shelf);
    for (struct dirent *entry; (entry = readdir(entries)) != NULL;) {
        if (entry->d_name[0] == '.' || strcmp(entry->d_name, "README.md") == 0)
            continue;
        size_t count;
        char *bytes = read_file(folder, entry->d_name, &count);
        shelf_add(shelf, entry->d_name, bytes, count, NULL);
    }
    (void)closedir(entries);
    assert_true(shelf->count > 50);
    shelf_close(shelf);
    return shelf;
}

/* Some texts stand under two names: MIT and Apache-2.0 of several publishers. */
static bool is_same_text(const struct license_record *found, const struct license_record *wanted)
{
    return found != NULL && strcmp(found->texts[0].digest, wanted->texts[0].digest) == 0;
}

static void published_texts_are_themselves(void **state)
{
    (void)state;
    struct shelf *shelf = open_published();
    for (uint32_t i = 0; shelf != NULL && i < shelf->count; i++) {
        struct license_match match = match_bytes(shelf, shelf->bytes[i], shelf->byte_counts[i]);
        assert_int_equal(match.kind, MATCH_DIGEST);
        assert_true(is_same_text(match.record, &shelf->records[i]));
        assert_int_equal(match.role, shelf->texts[i].role);
        for (uint32_t j = 0; j < i; j++) {
            bool apache =
                strstr(shelf->names[i], "apache") != NULL || strcmp(shelf->names[i], "yi.txt") == 0;
            bool mit = strstr(shelf->names[i], "-mit") != NULL;
            if (is_same_text(&shelf->records[j], &shelf->records[i]) && !apache && !mit)
                fail_msg("%s is %s", shelf->names[i], shelf->names[j]);
        }
    }
    if (shelf != NULL)
        shelf_free(shelf);
}

/* Every paragraph filled anew to `columns`, each line after `mark`, lines ended by `end`. */
static void wrap(const char *bytes, size_t count, size_t columns, const char *mark, const char *end,
                 struct text *out)
{
    size_t column = 0, line_ends = 0;
    text_reset(out);
    for (size_t at = 0; at < count;) {
        size_t length = 0;
        if (strchr(" \t\r\n", bytes[at]) != NULL) {
            line_ends += bytes[at++] == '\n';
            continue;
        }
        while (at + length < count && strchr(" \t\r\n", bytes[at + length]) == NULL)
            length++;
        if (line_ends > 1 && out->count > 0)
            text_append_format(out, "%s%s", end, mark);
        if (out->count == 0 || line_ends > 1 || column + length > columns) {
            text_append_format(out, "%s%s", out->count == 0 ? "" : end, mark);
            column = 0;
        }
        if (column > 0)
            text_append_char(out, ' ');
        text_append(out, bytes + at, length);
        column += length + 1;
        line_ends = 0;
        at += length;
    }
    text_append_string(out, end);
}

static void published_texts_are_themselves_however_wrapped(void **state)
{
    (void)state;
    struct shelf *shelf = open_published();
    static const size_t columns[] = {40, 66, 80, 120, 100000};
    static const char *const marks[][2] = {
        {"", "\n"}, {"> ", "\n"}, {"\t", "  \r\n"}, {"# ", "\n"}, {" * ", "\r\n"}};
    struct text wrapped;
    text_init(&wrapped);
    for (uint32_t i = 0; shelf != NULL && i < shelf->count; i++)
        for (size_t j = 0; j < 25; j++) {
            wrap(shelf->bytes[i], shelf->byte_counts[i], columns[j / 5], marks[j % 5][0],
                 marks[j % 5][1], &wrapped);
            struct license_match match = match_bytes(shelf, wrapped.bytes, wrapped.count);
            if (!is_same_text(match.record, &shelf->records[i]))
                fail_msg("%s, wrapped at %zu after '%s': %s", shelf->names[i], columns[j / 5],
                         marks[j % 5][0],
                         match.residue_count > 0 ? match.residues[0].sentence : "?");
        }
    text_destroy(&wrapped);
    if (shelf != NULL)
        shelf_free(shelf);
}

struct rider {
    const char *sentence, *topic;
};

/* The text with the rider before byte `at` is nobody's, and the rider is the first thing shown. */
static void expect_named(const struct shelf *shelf, uint32_t index, size_t at,
                         const struct rider *rider, const char *parts[2])
{
    struct text bytes;
    text_init(&bytes);
    text_append(&bytes, shelf->bytes[index], at);
    text_append_format(&bytes, "%s%s%s", parts[0], rider->sentence, parts[1]);
    text_append(&bytes, shelf->bytes[index] + at, shelf->byte_counts[index] - at);
    struct license_match match = match_bytes(shelf, bytes.bytes, bytes.count);
    if (match.kind != MATCH_NONE || match.record != NULL)
        fail_msg("%s with '%s' at %zu is %s", shelf->names[index], rider->sentence, at,
                 match.record->id);
    if (match.residue_count == 0 || strstr(match.residues[0].sentence, rider->sentence) == NULL ||
        match.residues[0].restricts == NULL ||
        (parts[0][0] == '\n' && strcmp(match.residues[0].restricts, rider->topic) != 0))
        fail_msg("%s with '%s' at %zu: %s: %s", shelf->names[index], rider->sentence, at,
                 match.residue_count == 0 ? "nothing" : match.residues[0].sentence,
                 match.residues[0].restricts);
    if (!is_same_text(match.nearest, &shelf->records[index]))
        fail_msg("%s with '%s' at %zu looks like %s", shelf->names[index], rider->sentence, at,
                 match.nearest == NULL ? "nothing" : match.nearest->id);
    text_destroy(&bytes);
}

/* The n-th of `of` blanks that stand between two words; after the end of a sentence where asked. */
static size_t find_place(const char *bytes, size_t count, size_t nth, size_t of, bool after_stop)
{
    size_t at = count * nth / of;
    for (; at + 1 < count; at++)
        if (bytes[at] == ' ' && at > 0 && strchr(" \n\r", bytes[at - 1]) == NULL &&
            strchr(" \n\r", bytes[at + 1]) == NULL &&
            (!after_stop || (bytes[at - 1] == '.' && bytes[at - 3] != ' ')))
            return at;
    return count;
}

static void a_sentence_added_to_a_published_text_is_named(void **state)
{
    (void)state;
    struct shelf *shelf = open_published();
    static const struct rider riders[] = {
        {"For research use only.", "research"},
        {"This model is not available in the EU.", "territory"},
        {"Services above 5M monthly users need a separate license.", "users"},
        {"Companies with more than US$1M of yearly revenue must pay 2% of it.", "revenue"},
        {"Non-commercial use only", "commerce"},
        {"\xe7\xa6\x81\xe6\xad\xa2\xe5\x95\x86\xe4\xb8\x9a\xe4\xbd\xbf\xe7\x94\xa8\xe3\x80\x82",
         "commerce"},
    };
    static const char *own_paragraph[2] = {"\n\n", "\n\n"}, *own_line[2] = {"\n", "\n"},
                      *inside[2] = {" ", ""};
    for (uint32_t i = 0; shelf != NULL && i < shelf->count; i++)
        for (size_t j = 0; j < sizeof riders / sizeof riders[0]; j++) {
            size_t count = shelf->byte_counts[i];
            expect_named(shelf, i, 0, &riders[j], own_paragraph);
            expect_named(shelf, i, 0, &riders[j], own_line);
            expect_named(shelf, i, count, &riders[j], own_paragraph);
            expect_named(shelf, i, count, &riders[j], inside);
            for (size_t nth = 1; nth < 9; nth++) {
                size_t after = find_place(shelf->bytes[i], count, nth, 9, true);
                size_t within = find_place(shelf->bytes[i], count, nth, 9, false);
                expect_named(shelf, i, after, &riders[j], inside);
                expect_named(shelf, i, after, &riders[j], own_paragraph);
                expect_named(shelf, i, within, &riders[j], inside);
            }
        }
    if (shelf != NULL)
        shelf_free(shelf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_is_known_by_every_word),
        cmocka_unit_test(a_name_in_a_slot_is_the_same_licence),
        cmocka_unit_test(a_rider_is_named_and_its_licence_only_suggested),
        cmocka_unit_test(residues_that_restrict_come_first),
        cmocka_unit_test(a_text_like_none_shows_all_of_itself),
        cmocka_unit_test(a_residue_is_one_line_that_a_terminal_can_show),
        cmocka_unit_test(bad_fingerprints_are_named),
        cmocka_unit_test(published_texts_are_themselves),
        cmocka_unit_test(published_texts_are_themselves_however_wrapped),
        cmocka_unit_test(a_sentence_added_to_a_published_text_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
