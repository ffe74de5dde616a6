/* SPDX-License-Identifier: Apache-2.0 */
/* template_text.c -- work on strings that methods and filters share: case, strip, escape, replace.
 *
 * Case is mapped character by character by the C library's tables for Unicode, plus the one
 * letter in common use whose capital is two: U+00DF. */
#include "models/template_builtin.h"

#include <string.h>
#include <wctype.h>

uint32_t template_lower(const struct template_render *render, uint32_t c)
{
    if (c < 0x80)
        return c >= 'A' && c <= 'Z' ? c + 32 : c;
    locale_t letters = render->program->letters;
    return letters != (locale_t)0 ? (uint32_t)towlower_l((wint_t)c, letters) : c;
}

static uint32_t upper(const struct template_render *render, uint32_t c)
{
    if (c < 0x80)
        return c >= 'a' && c <= 'z' ? c - 32 : c;
    locale_t letters = render->program->letters;
    return letters != (locale_t)0 ? (uint32_t)towupper_l((wint_t)c, letters) : c;
}

/* Does a word begin after this character? str.title() asks for a letter, and the filter `title`,
 * which is what `filter_title` means, for space, a hyphen or an opening bracket. */
static bool begins_word(const struct template_render *render, uint32_t c, bool filter_title)
{
    if (filter_title)
        return template_is_space(c) || (c < 0x80 && c != 0 && strchr("-({[<", (int)c) != NULL);
    return upper(render, c) == c && template_lower(render, c) == c &&
           (c < 0x80 || render->program->letters == (locale_t)0 ||
            !iswalpha_l((wint_t)c, render->program->letters));
}

static struct template_value change_case(struct template_render *render, struct template_value text,
                                         enum template_case to, bool filter_title)
{
    size_t mark = template_capture_begin(render);
    bool start = true;
    (void)template_charge(render, text.count / 8);
    for (size_t at = 0; at < text.count && render->failed == 0;) {
        uint32_t c;
        at += utf8_decode(text.bytes + at, text.count - at, &c);
        bool raise = to == TEMPLATE_UPPER || (to != TEMPLATE_LOWER && start);
        if (raise && c == 0xdf)
            template_write_text(render, to == TEMPLATE_UPPER ? "SS" : "Ss");
        else
            template_write_char(render, raise ? upper(render, c) : template_lower(render, c));
        start = to == TEMPLATE_TITLE && begins_word(render, c, filter_title);
    }
    return template_capture_end(render, mark);
}

struct template_value template_change_case(struct template_render *render,
                                           struct template_value text, enum template_case to)
{
    return change_case(render, text, to, false);
}

struct template_value template_title_filter(struct template_render *render,
                                            struct template_value text)
{
    return change_case(render, text, TEMPLATE_TITLE, true);
}

/* -- strip -- */

/* Is the character at the front of `one` among `characters`? */
static bool is_among(struct template_value characters, const char *one, size_t count)
{
    for (size_t at = 0; at < characters.count;) {
        uint32_t c;
        size_t used = utf8_decode(characters.bytes + at, characters.count - at, &c);
        if (used == count && memcmp(characters.bytes + at, one, count) == 0)
            return true;
        at += used;
    }
    return false;
}

struct template_value template_strip(struct template_render *render, struct template_value text,
                                     struct template_value characters, bool left, bool right)
{
    bool space = characters.kind == TEMPLATE_MISSING || characters.kind == TEMPLATE_NONE;
    if (!space)
        characters = template_string_argument(render, characters);
    if (!template_charge_bytes(render, text.count) ||
        !template_charge(render, space ? 0 : characters.count / 16 * (1 + text.count / 16)))
        return text;
    const char *start = text.bytes, *end = text.bytes + text.count;
    if (left && space)
        start += template_leading_space(start, text.count);
    while (left && !space && start < end) {
        uint32_t c;
        size_t used = utf8_decode(start, (size_t)(end - start), &c);
        if (!is_among(characters, start, used))
            break;
        start += used;
    }
    if (right && space)
        end -= template_trailing_space(start, (size_t)(end - start));
    while (right && !space && start < end) {
        const char *last = end - 1;
        while (last > start && ((unsigned char)*last & 0xc0) == 0x80)
            last--;
        if (!is_among(characters, last, (size_t)(end - last)))
            break;
        end = last;
    }
    struct template_value stripped = template_string(start, (size_t)(end - start));
    stripped.detail = text.detail;
    return stripped;
}

/* -- escape -- */

struct template_value template_escape(struct template_render *render, struct template_value text)
{
    if (text.detail == TEMPLATE_SAFE)
        return text;
    (void)template_charge_bytes(render, text.count);
    size_t mark = template_capture_begin(render), written = 0;
    for (size_t at = 0; at < text.count && render->failed == 0; at++) {
        char c = text.bytes[at];
        const char *escape = c == '&'    ? "&amp;"
                             : c == '<'  ? "&lt;"
                             : c == '>'  ? "&gt;"
                             : c == '"'  ? "&#34;"
                             : c == '\'' ? "&#39;"
                                         : NULL;
        if (escape == NULL)
            continue;
        template_write(render, text.bytes + written, at - written);
        template_write_text(render, escape);
        written = at + 1;
    }
    template_write(render, text.bytes + written, text.count - written);
    text = template_capture_end(render, mark);
    text.detail = TEMPLATE_SAFE;
    return text;
}

/* -- replace, lines -- */

/* replace(old, new, count=-1); an empty `old` stands between all characters. */
struct template_value template_replace(struct template_render *render, struct template_value text,
                                       const struct template_value *arguments)
{
    struct template_value old = template_string_argument(render, arguments[0]);
    struct template_value new = template_string_argument(render, arguments[1]);
    int64_t left = arguments[2].kind == TEMPLATE_NONE
                       ? -1
                       : template_integer_argument(render, arguments[2], -1);
    size_t mark = template_capture_begin(render), from = 0, at = 0;
    (void)template_charge_bytes(render, text.count);
    for (; left != 0 && at <= text.count && render->failed == 0; left--) {
        size_t rest = text.count - at;
        const char *found = old.count == 0 ? text.bytes + at
                            : rest > 0     ? memmem(text.bytes + at, rest, old.bytes, old.count)
                                           : NULL;
        if (found == NULL || !template_charge(render, 1))
            break;
        template_write(render, text.bytes + from, (size_t)(found - text.bytes) - from);
        template_write_value(render, new);
        from = (size_t)(found - text.bytes) + old.count;
        at = from;
        if (old.count == 0) {
            uint32_t c;
            size_t used = utf8_decode(text.bytes + at, rest, &c);
            at += used > 0 ? used : 1;
        }
    }
    template_write(render, text.bytes + from, text.count - from);
    return template_capture_end(render, mark);
}

/* The length of the line break that begins here, 0 if none does: those of str.splitlines(). */
static size_t measure_line_break(const char *bytes, size_t count)
{
    uint32_t c;
    size_t used = utf8_decode(bytes, count, &c);
    if (c == '\r' && count > 1 && bytes[1] == '\n')
        return 2;
    bool ends =
        (c >= 10 && c <= 13) || (c >= 0x1c && c <= 0x1e) || c == 0x85 || c == 0x2028 || c == 0x2029;
    return ends ? used : 0;
}

struct template_list *template_split_lines(struct template_render *render,
                                           struct template_value text)
{
    struct template_list *list = template_list_new(render, 0);
    size_t from = 0;
    (void)template_charge_bytes(render, text.count);
    for (size_t at = 0; at < text.count && render->failed == 0;) {
        size_t ends = measure_line_break(text.bytes + at, text.count - at);
        if (ends > 0) {
            template_list_append(render, list, template_string(text.bytes + from, at - from));
            from = at + ends;
        }
        at += ends > 0 ? ends : 1;
    }
    if (from < text.count)
        template_list_append(render, list, template_string(text.bytes + from, text.count - from));
    return list;
}
