/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/http/tls_names.h"

#include <assert.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define LABEL_BYTES_MAX 63u

struct tls_name {
    char text[TLS_NAME_BYTES_MAX + 1]; /* lower case */
    uint32_t certificate;
    uint32_t place; /* when it was added */
};

bool tls_name_is_valid(const char *name)
{
    if (strncmp(name, "*.", 2) == 0)
        name += 2;
    size_t label = 0, count = strnlen(name, TLS_NAME_BYTES_MAX + 1);
    if (count == 0 || count > TLS_NAME_BYTES_MAX - 2)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (name[i] == '.') {
            if (label == 0)
                return false;
            label = 0;
        } else if (!isalnum((unsigned char)name[i]) && name[i] != '-' && name[i] != '_') {
            return false;
        } else if (++label > LABEL_BYTES_MAX) {
            return false;
        }
    }
    return label > 0;
}

static void copy_lower(char *to, const char *from, size_t count)
{
    for (size_t i = 0; i < count; i++)
        to[i] = (char)tolower((unsigned char)from[i]);
    to[count] = '\0';
}

int tls_names_add(struct tls_names *names, const char *name, uint32_t certificate,
                  struct error *err)
{
    assert(tls_name_is_valid(name));
    if (names->count == TLS_NAMES_MAX)
        return error_set(err, ERROR_BUSY, "more than %u names over all certificates",
                         TLS_NAMES_MAX);
    struct tls_name *grown =
        realloc(names->entries, ((size_t)names->count + 1) * sizeof *names->entries);
    if (grown == NULL)
        return error_no_memory(err);
    names->entries = grown;
    struct tls_name *entry = &grown[names->count];
    copy_lower(entry->text, name, strlen(name));
    entry->certificate = certificate;
    entry->place = names->count++;
    return 0;
}

const char *tls_names_added(const struct tls_names *names, uint32_t place)
{
    assert(place < names->count && names->entries[place].place == place);
    return names->entries[place].text;
}

static int by_text_then_place(const void *first, const void *second)
{
    const struct tls_name *a = first, *b = second;
    int order = strcmp(a->text, b->text);
    return order != 0 ? order : (a->place > b->place) - (a->place < b->place);
}

void tls_names_sort(struct tls_names *names)
{
    if (names->count > 1)
        qsort(names->entries, names->count, sizeof *names->entries, by_text_then_place);
}

/* The first of those that are equal: whoever asked for it first. */
static bool find_exact(const struct tls_names *names, const char *text, uint32_t *ret)
{
    uint32_t low = 0, high = names->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (strcmp(names->entries[middle].text, text) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == names->count || strcmp(names->entries[low].text, text) != 0)
        return false;
    *ret = names->entries[low].certificate;
    return true;
}

bool tls_names_find(const struct tls_names *names, const char *asked, uint32_t *ret)
{
    char text[TLS_NAME_BYTES_MAX + 1], wildcard[TLS_NAME_BYTES_MAX + 1];
    size_t count = strnlen(asked, TLS_NAME_BYTES_MAX + 1);
    if (count > 0 && asked[count - 1] == '.')
        count--; /* the root's dot means nothing here */
    if (count == 0 || count > TLS_NAME_BYTES_MAX || asked[0] == '*')
        return false;
    copy_lower(text, asked, count);
    if (find_exact(names, text, ret))
        return true;
    const char *dot = strchr(text, '.');
    if (dot == NULL || dot == text)
        return false;
    wildcard[0] = '*';
    memcpy(wildcard + 1, dot, strlen(dot) + 1);
    return find_exact(names, wildcard, ret);
}

bool tls_names_copy(const struct tls_names *names, struct tls_names *ret)
{
    *ret = (struct tls_names){.count = 0};
    if (names->count == 0)
        return true;
    ret->entries = malloc(names->count * sizeof *names->entries);
    if (ret->entries == NULL)
        return false;
    memcpy(ret->entries, names->entries, names->count * sizeof *names->entries);
    ret->count = names->count;
    return true;
}

void tls_names_destroy(struct tls_names *names)
{
    free(names->entries);
    *names = (struct tls_names){.count = 0};
}
