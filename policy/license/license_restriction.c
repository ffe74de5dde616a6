/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/license/license_restriction.h"

#include "policy/license/license_words.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* A sentence is read through a window, so that a hostile megabyte needs no memory. What is kept of
 * the last window when the next is read is longer than any phrase. */
#define WINDOW_BYTES  2048u
#define OVERLAP_BYTES 96u

struct phrase {
    const char *words; /* lower case; a last '*' is any end of a word; Han without blanks */
    const char *topic;
};

/* The more telling topics stand first: a sentence about research that also names a country is
 * about the country only to those who may do research. */
static const struct phrase phrases[] = {
    {"monthly active", "users"},
    {"daily active", "users"},
    {"active user*", "users"},
    {"monthly user*", "users"},
    {"daily user*", "users"},
    {"unique user*", "users"},
    {"mau", "users"},
    {"maus", "users"},
    {"dau", "users"},
    {"daus", "users"},
    {"users", "users"},
    {"\xe6\x9c\x88\xe6\xb4\xbb", "users"},                         /* yue huo */
    {"\xe6\x97\xa5\xe6\xb4\xbb", "users"},                         /* ri huo */
    {"\xe6\xb4\xbb\xe8\xb7\x83\xe7\x94\xa8\xe6\x88\xb7", "users"}, /* active users */
    {"\xe6\xb4\xbb\xe8\xba\x8d\xe7\x94\xa8\xe6\x88\xb6", "users"}, /* traditional */
    {"revenue*", "revenue"},
    {"turnover", "revenue"},
    {"arr", "revenue"},
    {"annual income", "revenue"},
    {"gross income", "revenue"},
    {"us dollars", "revenue"},
    {"usd", "revenue"},
    {"million dollars", "revenue"},
    {"royalt*", "revenue"},
    {"\xe6\x94\xb6\xe5\x85\xa5", "revenue"},             /* shouru */
    {"\xe8\x90\xa5\xe6\x94\xb6", "revenue"},             /* yingshou */
    {"\xe8\x90\xa5\xe4\xb8\x9a\xe9\xa2\x9d", "revenue"}, /* yingye'e */
    {"european union", "territory"},
    {"european economic area", "territory"},
    {"member state*", "territory"},
    {"eu", "territory"},
    {"eea", "territory"},
    {"united kingdom", "territory"},
    {"uk", "territory"},
    {"korea", "territory"},
    {"china", "territory"},
    {"russia*", "territory"},
    {"outside of the united states", "territory"},
    {"outside the united states", "territory"},
    {"not available in", "territory"},
    {"territor*", "territory"},
    {"domicil*", "territory"},
    {"principal place of business", "territory"},
    {"embargo*", "territory"},
    {"export control*", "territory"},
    {"\xe6\xac\xa7\xe7\x9b\x9f", "territory"}, /* EU */
    {"\xe6\xad\x90\xe7\x9b\x9f", "territory"}, /* traditional */
    {"\xe5\x9c\xb0\xe5\x8c\xba", "territory"}, /* diqu */
    {"\xe5\xa2\x83\xe5\xa4\x96", "territory"}, /* jingwai */
    {"\xe5\xa2\x83\xe5\x86\x85", "territory"}, /* jingnei */
    {"non commercial*", "commerce"},
    {"noncommercial*", "commerce"},
    {"commercial*", "commerce"},
    {"for profit", "commerce"},
    {"not for sale", "commerce"},
    {"\xe5\x95\x86\xe4\xb8\x9a", "commerce"}, /* shangye */
    {"\xe5\x95\x86\xe6\xa5\xad", "commerce"}, /* traditional */
    {"\xe5\x95\x86\xe7\x94\xa8", "commerce"}, /* shangyong */
    {"research*", "research"},
    {"evaluation", "research"},
    {"academi*", "research"},
    {"educational", "research"},
    {"personal use", "research"},
    {"internal use", "research"},
    {"\xe7\xa0\x94\xe7\xa9\xb6", "research"}, /* yanjiu */
    {"\xe7\xa7\x91\xe7\xa0\x94", "research"}, /* keyan */
    {"\xe5\xad\xa6\xe6\x9c\xaf", "research"}, /* xueshu */
    {"\xe8\xaf\x84\xe4\xbc\xb0", "research"}, /* pinggu */
    {"production", "production"},
    {"non production", "production"},
    {"hosted service*", "production"},
    {"as a service", "production"},
    {"\xe7\x94\x9f\xe4\xba\xa7\xe7\x8e\xaf\xe5\xa2\x83", "production"}, /* production systems */
    {"prominently", "display"},
    {"display*", "display"},
    {"user interface*", "display"},
    {"attribution", "display"},
    {"powered by", "display"},
    {"built with", "display"},
    {"\xe5\xb1\x95\xe7\xa4\xba", "display"}, /* zhanshi */
    {"\xe6\x98\xbe\xe7\xa4\xba", "display"}, /* xianshi */
    {"\xe7\xbd\xb2\xe5\x90\x8d", "display"}, /* shuming */
    {"compet*", "competition"},
    {"improve any other", "competition"},
    {"train other", "competition"},
    {"\xe7\xab\x9e\xe4\xba\x89", "competition"}, /* jingzheng */
    {"register*", "registration"},
    {"registration", "registration"},
    {"prior written", "registration"},
    {"written permission", "registration"},
    {"permission from", "registration"},
    {"permission of", "registration"},
    {"separate license", "registration"},
    {"separate licence", "registration"},
    {"request a license", "registration"},
    {"contact us", "registration"},
    {"\xe7\x99\xbb\xe8\xae\xb0", "registration"}, /* dengji */
    {"\xe6\xb3\xa8\xe5\x86\x8c", "registration"}, /* zhuce */
    {"\xe7\x94\xb3\xe8\xaf\xb7", "registration"}, /* shenqing */
    {"\xe4\xb9\xa6\xe9\x9d\xa2", "registration"}, /* in writing */
    {"military", "military"},
    {"weapon*", "military"},
    {"warfare", "military"},
    {"\xe5\x86\x9b\xe4\xba\x8b", "military"}, /* junshi */
    {"\xe6\xad\xa6\xe5\x99\xa8", "military"}, /* wuqi */
    {"acceptable use", "conduct"},
    {"use restriction*", "conduct"},
    {"prohibit*", "conduct"},
    {"forbid*", "conduct"},
    {"unlawful*", "conduct"},
    {"may not", "conduct"},
    {"must not", "conduct"},
    {"shall not", "conduct"},
    {"not permitted", "conduct"},
    {"not allowed", "conduct"},
    {"not to use", "conduct"},
    {"\xe7\xa6\x81\xe6\xad\xa2", "conduct"},             /* jinzhi */
    {"\xe4\xb8\x8d\xe5\xbe\x97", "conduct"},             /* bude */
    {"\xe9\x99\x90\xe5\x88\xb6", "conduct"},             /* xianzhi */
    {"\xe4\xb8\x8d\xe5\x85\x81\xe8\xae\xb8", "conduct"}, /* not allowed */
};
#define PHRASE_COUNT (sizeof phrases / sizeof phrases[0])

/* Whether the phrase stands in the window; words there have a blank on either side, but Han, which
 * stand close. */
static bool holds(const char *window, const char *phrase)
{
    size_t count = strlen(phrase);
    bool any_end = phrase[count - 1] == '*', alone = (unsigned char)phrase[0] >= 0x80;
    char bare[OVERLAP_BYTES];
    count -= any_end;
    memcpy(bare, phrase, count);
    bare[count] = '\0';
    for (const char *at = window; (at = strstr(at, bare)) != NULL; at += count)
        if (alone || (at > window && at[-1] == ' ' && (any_end || at[count] == ' ')))
            return true;
    return false;
}

/* The index of the first phrase that the window holds, below `best`; else `best`. */
static size_t best_phrase(const char *window, size_t best)
{
    for (size_t i = 0; i < best; i++)
        if (holds(window, phrases[i].words))
            return i;
    return best;
}

const char *license_restriction(const char *sentence, size_t count)
{
    char window[WINDOW_BYTES + 8] = " ";
    size_t used = 1, best = PHRASE_COUNT, length;
    enum license_char last = LICENSE_CHAR_BLANK;
    for (size_t at = 0; at < count; at += length) {
        enum license_char kind = license_char_at(sentence + at, count - at, &length);
        bool is_word = kind == LICENSE_CHAR_LETTER || kind == LICENSE_CHAR_ALONE;
        if (kind == LICENSE_CHAR_ALONE && last == LICENSE_CHAR_BLANK && used > 1 &&
            (unsigned char)window[used - 2] >= 0x80)
            used--; /* Han that a line's end has parted */
        if (!is_word && window[used - 1] != ' ')
            window[used++] = ' ';
        for (size_t i = 0; is_word && i < length; i++) {
            char c = sentence[at + i];
            window[used++] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
        }
        last = is_word ? kind : LICENSE_CHAR_BLANK;
        if (used >= WINDOW_BYTES) {
            window[used] = '\0';
            best = best_phrase(window, best);
            memmove(window, window + used - OVERLAP_BYTES, OVERLAP_BYTES);
            used = OVERLAP_BYTES;
        }
    }
    window[used++] = ' ';
    window[used] = '\0';
    best = best_phrase(window, best);
    return best == PHRASE_COUNT ? NULL : phrases[best].topic;
}
