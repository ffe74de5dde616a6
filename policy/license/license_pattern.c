/* SPDX-License-Identifier: Apache-2.0 */
/* license_pattern.c -- how much of a text is a licence's, and which words are not.
 *
 * Only hashes of whole sentences are kept, so a word cannot be compared with a word. Still the
 * words that somebody put in can be told from those that were there:
 *
 *     pattern    A    B          C    D
 *                |    |               |        sentences alike, in order: anchors
 *     text       A    B    r r   c r c    D
 *                          between two anchors lies a gap
 *
 * A gap is walked from both its ends, element by element, whatever the sentence ends say: where the
 * hash of the next n words is the pattern's next, they are its. What then remains of the pattern is
 * nothing (all words left were put in), or one run of n words against n + m of the text: then each
 * of the n + 1 places where m words could have been put in is tried by hashing the rest. What that
 * does not explain stays unmatched as a whole.
 *
 * Cost: the table of the subsequence has at most 2048 x 4096 cells of a byte; trying places stops
 * after PLACES_BYTES_MAX hashed bytes. The road not taken: keeping a hash of every word, which
 * would keep the text itself, readable by anybody with a dictionary. */
#include "policy/license/license_pattern.h"

#include "policy/license/license_words.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define POSITIONS_MAX    128u
#define PLACES_BYTES_MAX (8u << 20)

struct element {
    uint64_t hash;  /* of a run */
    uint32_t words; /* of a run, or the most that a slot takes */
    bool slot;
};

struct pattern_sentence {
    uint32_t first_element, element_count;
};

struct license_pattern {
    struct element *elements;
    struct pattern_sentence *sentences;
    uint32_t element_count, sentence_count;
    uint32_t words, slots;
};

/* -- parsing -- */

/* Digits up to `max`; false for none, or for more. */
static bool read_number(const char **at, uint32_t max, uint32_t *ret)
{
    uint32_t number = 0, digits = 0;
    for (; **at >= '0' && **at <= '9'; ++*at, digits++) {
        number = 10 * number + (uint32_t)(**at - '0');
        if (number > max)
            return false;
    }
    *ret = number;
    return digits > 0 && number > 0;
}

static bool read_hash(const char **at, uint64_t *ret)
{
    uint64_t hash = 0;
    for (uint32_t i = 0; i < 16; i++, ++*at) {
        char c = **at;
        if (c >= '0' && c <= '9')
            hash = hash << 4 | (uint64_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            hash = hash << 4 | (uint64_t)(c - 'a' + 10);
        else
            return false;
    }
    *ret = hash;
    return true;
}

static const char *read_element(const char **at, struct element *ret)
{
    if (**at == '~') {
        ++*at;
        ret->slot = true;
        if (!read_number(at, LICENSE_PATTERN_SLOT_WORDS_MAX, &ret->words))
            return "a slot is ~ and a number of words from 1 to 32";
    } else {
        if (!read_number(at, LICENSE_PATTERN_RUN_WORDS_MAX, &ret->words) || **at != ':')
            return "a run of words is their number, ':' and 16 hexadecimal digits";
        ++*at;
        if (!read_hash(at, &ret->hash))
            return "a run of words is their number, ':' and 16 hexadecimal digits";
    }
    if (**at != ' ' && **at != '\t' && **at != '\r' && **at != '\n' && **at != '\0')
        return "runs and slots are parted by blanks";
    return NULL;
}

static bool grow(void **array, uint32_t count, size_t bytes)
{
    if ((count & (count - 1)) != 0 || (count != 0 && count < 16))
        return true; /* room for the next power of two, 16 at least */
    void *larger = realloc(*array, (count == 0 ? 16 : 2 * (size_t)count) * bytes);
    if (larger != NULL)
        *array = larger;
    return larger != NULL;
}

static const char no_memory[] = "out of memory";

/* Reads up to the end of the line. NULL, or what is wrong. */
static const char *read_line(struct license_pattern *pattern, const char **at)
{
    struct pattern_sentence sentence = {.first_element = pattern->element_count};
    uint32_t runs = 0;
    for (;;) {
        while (**at == ' ' || **at == '\t' || **at == '\r')
            ++*at;
        if (**at == '\n' || **at == '\0')
            break;
        struct element element = {0};
        const char *wrong = read_element(at, &element);
        if (wrong != NULL)
            return wrong;
        if (element.slot && sentence.element_count > 0 &&
            pattern->elements[pattern->element_count - 1].slot)
            return "two slots side by side are one";
        if (!grow((void **)&pattern->elements, pattern->element_count, sizeof element))
            return no_memory;
        pattern->elements[pattern->element_count++] = element;
        sentence.element_count++;
        runs += !element.slot;
        pattern->slots += element.slot;
        pattern->words += element.slot ? 0 : element.words;
    }
    if (sentence.element_count == 0)
        return NULL;
    if (runs == 0)
        return "a sentence of slots alone would let anything pass";
    if (pattern->slots > LICENSE_PATTERN_SLOTS_MAX)
        return "more than 64 slots";
    if (pattern->sentence_count == LICENSE_PATTERN_SENTENCES_MAX)
        return "more than 2048 sentences";
    if (!grow((void **)&pattern->sentences, pattern->sentence_count, sizeof sentence))
        return no_memory;
    pattern->sentences[pattern->sentence_count++] = sentence;
    return NULL;
}

struct license_pattern *license_pattern_new(const char *sentences, struct error *err)
{
    struct license_pattern *pattern = calloc(1, sizeof *pattern);
    if (pattern == NULL) {
        (void)error_no_memory(err);
        return NULL;
    }
    const char *at = sentences, *wrong = NULL;
    uint32_t line = 0;
    while (wrong == NULL && *at != '\0') {
        line++;
        wrong = read_line(pattern, &at);
        at += wrong == NULL && *at == '\n';
    }
    if (wrong == NULL && pattern->sentence_count > 0)
        return pattern;
    if (wrong == no_memory)
        (void)error_no_memory(err);
    else if (wrong != NULL)
        (void)error_set(err, ERROR_INVALID, "line %u of the sentences: %s", line, wrong);
    else
        (void)error_set(err, ERROR_INVALID, "no sentences");
    license_pattern_free(pattern);
    return NULL;
}

void license_pattern_free(struct license_pattern *pattern)
{
    if (pattern == NULL)
        return;
    free(pattern->elements);
    free(pattern->sentences);
    free(pattern);
}

uint32_t license_pattern_words(const struct license_pattern *pattern)
{
    return pattern->words;
}

bool license_pattern_has_slots(const struct license_pattern *pattern)
{
    return pattern->slots > 0;
}

uint32_t license_pattern_sentences(const struct license_pattern *pattern)
{
    return pattern->sentence_count;
}

uint32_t license_pattern_sentence(const struct license_pattern *pattern, uint32_t index,
                                  uint64_t *ret_hash)
{
    assert(index < pattern->sentence_count);
    const struct pattern_sentence *sentence = &pattern->sentences[index];
    if (sentence->element_count > 1)
        return 0;
    *ret_hash = pattern->elements[sentence->first_element].hash;
    return pattern->elements[sentence->first_element].words;
}

/* -- elements against words -- */

/* Half-open ranges: elements of a pattern, words of a text. */
struct range {
    uint32_t begin, end;
};

/* Whether the run stands at word `at`, before `end`. */
static bool run_at(const struct element *run, const struct license_text *text, uint32_t at,
                   uint32_t end)
{
    uint64_t hash;
    if (end - at < run->words)
        return false;
    uint32_t begin = text->starts[at];
    return license_words_hash(text->words + begin, text->starts[at + run->words] - begin, &hash) &&
           hash == run->hash;
}

/* The sentence that holds the word. */
static const struct license_sentence *sentence_of(const struct license_text *text, uint32_t word)
{
    uint32_t low = 0, high = text->sentence_count;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (text->sentences[middle].first_word <= word)
            low = middle;
        else
            high = middle;
    }
    return &text->sentences[low];
}

/* Whether the stop after a word need not end a sentence: "Acme Inc. and its affiliates". */
static bool is_abbreviated(const struct license_text *text, uint32_t word)
{
    static const char *const abbreviations[] = {"inc", "ltd", "co", "corp",
                                                "llc", "dr",  "jr", "st"};
    const char *at = text->words + text->starts[word];
    size_t count = text->starts[word + 1] - text->starts[word] - 1;
    for (size_t i = 0; i < sizeof abbreviations / sizeof abbreviations[0]; i++)
        if (strlen(abbreviations[i]) == count && memcmp(at, abbreviations[i], count) == 0)
            return true;
    return count == 1;
}

/* Whether a slot may take the words: a name, and not the end of one sentence with the beginning of
 * another. */
static bool is_name(const struct license_text *text, uint32_t first, uint32_t end)
{
    if (first == end)
        return true;
    const struct license_sentence *sentence = sentence_of(text, first);
    const struct license_sentence *last = sentence_of(text, end - 1);
    for (; sentence < last; sentence++)
        if (!is_abbreviated(text, sentence[1].first_word - 1))
            return false;
    return license_words_are_a_name(text->words + text->starts[first],
                                    text->starts[end] - text->starts[first]);
}

/* Where a text may stand after so many elements: word indices, ascending. */
struct positions {
    uint32_t at[POSITIONS_MAX], count;
};

static void add_position(struct positions *positions, uint32_t at)
{
    if (positions->count < POSITIONS_MAX &&
        (positions->count == 0 || positions->at[positions->count - 1] < at))
        positions->at[positions->count++] = at;
}

static void step(const struct element *element, const struct license_text *text, uint32_t end,
                 const struct positions *from, struct positions *to)
{
    to->count = 0;
    for (uint32_t i = 0; i < from->count; i++) {
        uint32_t at = from->at[i];
        if (!element->slot) {
            if (run_at(element, text, at, end))
                add_position(to, at + element->words);
            continue;
        }
        for (uint32_t taken = 0; taken <= element->words && taken <= end - at; taken++) {
            if (!is_name(text, at, at + taken))
                break;
            add_position(to, at + taken);
        }
    }
}

/* Whether the elements are the words, all of both. */
static bool covers(const struct license_pattern *pattern, struct range elements,
                   const struct license_text *text, struct range words)
{
    struct positions now = {.at = {words.begin}, .count = 1}, next;
    for (uint32_t i = elements.begin; i < elements.end && now.count > 0; i++) {
        step(&pattern->elements[i], text, words.end, &now, &next);
        now = next;
    }
    return now.count > 0 && now.at[now.count - 1] == words.end;
}

bool license_pattern_is(const struct license_pattern *pattern, const struct license_text *text)
{
    return covers(pattern, (struct range){0, pattern->element_count}, text,
                  (struct range){0, text->word_count});
}

/* -- alignment -- */

struct alignment {
    const struct license_pattern *pattern;
    const struct license_text *text;
    bool *matched; /* a flag a word */
    bool *found;   /* a flag an element */
    size_t effort; /* bytes that may yet be hashed to try places */
};

static void take(struct alignment *alignment, struct range elements, struct range words)
{
    for (uint32_t i = elements.begin; i < elements.end; i++)
        alignment->found[i] = true;
    for (uint32_t i = words.begin; i < words.end; i++)
        alignment->matched[i] = true;
}

/* A run, or a slot and the run after it, at the head of the gap. */
static bool walk_forward(struct alignment *alignment, struct range *elements, struct range *words)
{
    const struct element *element = &alignment->pattern->elements[elements->begin];
    uint32_t slot = element->slot ? element->words : 0, steps = element->slot ? 2 : 1;
    if (elements->end - elements->begin < steps || element[steps - 1].slot)
        return false;
    for (uint32_t taken = 0; taken <= slot && taken <= words->end - words->begin; taken++) {
        uint32_t at = words->begin + taken;
        if (!is_name(alignment->text, words->begin, at))
            return false;
        if (!run_at(&element[steps - 1], alignment->text, at, words->end))
            continue;
        struct range used = {words->begin, at + element[steps - 1].words};
        take(alignment, (struct range){elements->begin, elements->begin + steps}, used);
        elements->begin += steps;
        words->begin = used.end;
        return true;
    }
    return false;
}

/* A run, or a run and the slot after it, at the tail of the gap. */
static bool walk_backward(struct alignment *alignment, struct range *elements, struct range *words)
{
    const struct element *element = &alignment->pattern->elements[elements->end - 1];
    uint32_t slot = element->slot ? element->words : 0, steps = element->slot ? 2 : 1;
    if (elements->end - elements->begin < steps || element[1 - (int)steps].slot)
        return false;
    const struct element *run = element + 1 - steps;
    for (uint32_t taken = 0; taken <= slot && taken <= words->end - words->begin; taken++) {
        uint32_t end = words->end - taken;
        if (!is_name(alignment->text, end, words->end))
            return false;
        if (end - words->begin < run->words || !run_at(run, alignment->text, end - run->words, end))
            continue;
        struct range used = {end - run->words, words->end};
        take(alignment, (struct range){elements->end - steps, elements->end}, used);
        elements->end -= steps;
        words->end = used.begin;
        return true;
    }
    return false;
}

/* Tries to see the run in more words than it has, as if some were put in at one place. */
static int find_put_in(struct alignment *alignment, uint32_t element, struct range words,
                       struct error *err)
{
    const struct license_text *text = alignment->text;
    const struct element *run = &alignment->pattern->elements[element];
    uint32_t more = words.end - words.begin - run->words;
    size_t bytes = text->starts[words.end] - text->starts[words.begin];
    if (bytes * 2 > alignment->effort)
        return 0;
    char *rest = malloc(bytes);
    if (rest == NULL)
        return error_no_memory(err);
    for (uint32_t kept = 0; kept <= run->words && bytes <= alignment->effort; kept++) {
        uint32_t place = words.begin + kept;
        size_t head = text->starts[place] - text->starts[words.begin];
        size_t tail = text->starts[words.end] - text->starts[place + more];
        uint64_t hash;
        alignment->effort -= bytes;
        memcpy(rest, text->words + text->starts[words.begin], head);
        memcpy(rest + head, text->words + text->starts[place + more], tail);
        if (!license_words_hash(rest, head + tail, &hash) || hash != run->hash)
            continue;
        take(alignment, (struct range){element, element + 1}, (struct range){words.begin, place});
        take(alignment, (struct range){element, element + 1},
             (struct range){place + more, words.end});
        break;
    }
    free(rest);
    return 0;
}

static int refine(struct alignment *alignment, struct range elements, struct range words,
                  struct error *err)
{
    while (elements.begin < elements.end && words.begin < words.end &&
           walk_forward(alignment, &elements, &words))
        continue;
    while (elements.begin < elements.end && words.begin < words.end &&
           walk_backward(alignment, &elements, &words))
        continue;
    if (elements.end - elements.begin != 1)
        return 0;
    const struct element *left = &alignment->pattern->elements[elements.begin];
    if (left->slot || words.end - words.begin <= left->words)
        return 0;
    return find_put_in(alignment, elements.begin, words, err);
}

static bool sentences_alike(const struct license_pattern *pattern, uint32_t index,
                            const struct license_text *text, uint32_t other)
{
    const struct license_sentence *theirs = &text->sentences[other];
    uint64_t hash;
    uint32_t words = license_pattern_sentence(pattern, index, &hash);
    if (words > 0)
        return words == theirs->word_count && hash == theirs->hash;
    const struct pattern_sentence *ours = &pattern->sentences[index];
    return covers(
        pattern, (struct range){ours->first_element, ours->first_element + ours->element_count},
        text, (struct range){theirs->first_word, theirs->first_word + theirs->word_count});
}

enum step_kind { STEP_OURS, STEP_THEIRS, STEP_BOTH };

/* Fills steps[ours * columns + theirs] with the best way on from there; weights is scratch for two
 * rows. From the end to the beginning, so that reading the steps goes forward. */
static void find_steps(const struct license_pattern *pattern, const struct license_text *text,
                       uint32_t columns, uint8_t *steps, uint32_t *weights)
{
    uint32_t *below = weights, *row = weights + columns + 1;
    memset(weights, 0, 2 * ((size_t)columns + 1) * sizeof *weights);
    for (uint32_t ours = pattern->sentence_count; ours-- > 0;) {
        for (uint32_t theirs = columns; theirs-- > 0;) {
            uint32_t best = below[theirs], both;
            uint8_t way = STEP_OURS;
            if (row[theirs + 1] > best) {
                best = row[theirs + 1];
                way = STEP_THEIRS;
            }
            both = below[theirs + 1] + text->sentences[theirs].word_count;
            if (both > best && sentences_alike(pattern, ours, text, theirs)) {
                best = both;
                way = STEP_BOTH;
            }
            row[theirs] = best;
            steps[(size_t)ours * columns + theirs] = way;
        }
        uint32_t *other = below;
        below = row;
        row = other;
    }
}

/* Follows the steps: what lies between two pairs of sentences is refined. */
static int follow_steps(struct alignment *alignment, uint32_t columns, const uint8_t *steps,
                        struct error *err)
{
    const struct license_pattern *pattern = alignment->pattern;
    const struct license_text *text = alignment->text;
    struct range elements = {0, 0}, words = {0, 0};
    uint32_t ours = 0, theirs = 0;
    int result = 0;
    while (result == 0 && ours < pattern->sentence_count && theirs < columns) {
        uint8_t way = steps[(size_t)ours * columns + theirs];
        if (way == STEP_BOTH) {
            elements.end = pattern->sentences[ours].first_element;
            words.end = text->sentences[theirs].first_word;
            result = refine(alignment, elements, words, err);
            elements.begin = elements.end + pattern->sentences[ours].element_count;
            words.begin = words.end + text->sentences[theirs].word_count;
            take(alignment, (struct range){elements.end, elements.begin},
                 (struct range){words.end, words.begin});
        }
        ours += way != STEP_THEIRS;
        theirs += way != STEP_OURS;
    }
    elements.end = pattern->element_count;
    words.end = text->word_count;
    return result != 0 ? result : refine(alignment, elements, words, err);
}

static void count_matches(const struct alignment *alignment, struct license_alignment *ret)
{
    const struct license_pattern *pattern = alignment->pattern;
    *ret = (struct license_alignment){0};
    for (uint32_t i = 0; i < alignment->text->word_count; i++)
        ret->word_count += alignment->matched[i];
    for (uint32_t i = 0; i < pattern->sentence_count; i++) {
        const struct pattern_sentence *sentence = &pattern->sentences[i];
        bool all = true;
        for (uint32_t j = 0; j < sentence->element_count; j++)
            all = all && (alignment->found[sentence->first_element + j] ||
                          pattern->elements[sentence->first_element + j].slot);
        ret->missing += !all;
    }
}

int license_pattern_align(const struct license_pattern *pattern, const struct license_text *text,
                          struct license_alignment *ret, bool *ret_matched, struct error *err)
{
    uint32_t columns = text->sentence_count < LICENSE_PATTERN_COMPARED_MAX
                           ? text->sentence_count
                           : LICENSE_PATTERN_COMPARED_MAX;
    assert(columns > 0);
    assert(pattern->sentence_count > 0);
    uint8_t *steps = malloc((size_t)pattern->sentence_count * columns);
    uint32_t *weights = malloc(2 * ((size_t)columns + 1) * sizeof *weights);
    bool *found = calloc(pattern->element_count, sizeof *found);
    int result = 0;
    if (steps == NULL || weights == NULL || found == NULL) {
        result = error_no_memory(err);
    } else {
        struct alignment alignment = {pattern, text, ret_matched, found, PLACES_BYTES_MAX};
        memset(ret_matched, 0, text->word_count * sizeof *ret_matched);
        find_steps(pattern, text, columns, steps, weights);
        result = follow_steps(&alignment, columns, steps, err);
        if (result == 0)
            count_matches(&alignment, ret);
    }
    free(steps);
    free(weights);
    free(found);
    return result;
}
