/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/users/identity_text.h"

#include <stdint.h>
#include <strings.h>

bool identity_text_is_plain(const char *text, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint8_t c = (uint8_t)text[i];
        if (c < 0x20 || c == 0x7f)
            return false;
        if (c == 0xc2 && i + 1 < count && (uint8_t)text[i + 1] >= 0x80 &&
            (uint8_t)text[i + 1] <= 0x9f)
            return false;
    }
    return true;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\v' || c == '\f';
}

void identity_text_trim(const char **text, size_t *count)
{
    while (*count > 0 && is_blank((*text)[*count - 1]))
        (*count)--;
    while (*count > 0 && is_blank(**text)) {
        (*text)++;
        (*count)--;
    }
}

#define WORD(letters)                                                                              \
    {                                                                                              \
        sizeof(letters) - 1, (letters)                                                             \
    }

/* Counted as one user each they would make a thousand people one: an undercount is the unsafe
 * side. A person who is really called so counts as a weak or anonymous user instead. */
bool identity_text_is_placeholder(const char *text, size_t count)
{
    static const struct {
        size_t count;
        const char *letters;
    } words[] = {
        /* nobody, in words */
        WORD("anon"), WORD("anonymous"), WORD("anonymous-user"), WORD("anonymous_user"),
        WORD("default"), WORD("default-user"), WORD("default_user"), WORD("default_user_id"),
        WORD("guest"), WORD("n/a"), WORD("na"), WORD("no-user"), WORD("no_user"), WORD("nobody"),
        WORD("someone"), WORD("unknown"), WORD("unknown-user"), WORD("unknown_user"),
        /* nobody, in programming languages */
        WORD("(null)"), WORD("-"), WORD("-1"), WORD("0"), WORD("<nil>"), WORD("<none>"),
        WORD("<null>"), WORD("[object object]"), WORD("false"), WORD("nan"), WORD("nil"),
        WORD("none"), WORD("null"), WORD("true"), WORD("undefined"), WORD("\"\""), WORD("''"),
        WORD("{}"), WORD("[]"), WORD("00000000-0000-0000-0000-000000000000"),
        WORD("ffffffff-ffff-ffff-ffff-ffffffffffff"), WORD("00000000000000000000000000000000"),
        /* templates that nobody filled in, and examples that nobody replaced */
        WORD("$user"), WORD("$user_id"), WORD("${user}"), WORD("${user_id}"), WORD("{user_id}"),
        WORD("{{user_id}}"), WORD("{{ user_id }}"), WORD("<user_id>"), WORD("example"),
        WORD("string"), WORD("test"), WORD("test-user"), WORD("test_user"), WORD("testuser"),
        WORD("user"), WORD("user-id"), WORD("user_id"), WORD("userid"), WORD("username"),
        WORD("your-user-id"), WORD("your_user_id")};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (words[i].count == count && strncasecmp(words[i].letters, text, count) == 0)
            return true;
    return false;
}
