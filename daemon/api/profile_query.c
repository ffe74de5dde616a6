/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/api/profile_query.h"

#include "daemon/profile/profiler.h"

#include <string.h>

#define DIGITS_MAX 9u /* fit 32 bits */

struct parameter {
    const char *name;
    const char *value; /* not ended: value_count bytes; NULL: not given */
    size_t value_count;
};

static struct parameter *find(struct parameter *known, size_t count, const char *name,
                              size_t name_count)
{
    for (size_t i = 0; i < count; i++)
        if (strlen(known[i].name) == name_count && memcmp(known[i].name, name, name_count) == 0)
            return &known[i];
    return NULL;
}

static int split(const char *query, struct parameter *known, size_t count, struct fault *fault)
{
    while (*query != '\0') {
        size_t whole = strcspn(query, "&"), name = strcspn(query, "=&");
        struct parameter *parameter = find(known, count, query, name);
        if (parameter == NULL)
            return fault_set(fault, 400, NULL, "'%.*s' is no parameter of this path",
                             (int)(name < 64 ? name : 64), query);
        if (parameter->value != NULL)
            return fault_set(fault, 400, parameter->name, "send '%s' once", parameter->name);
        parameter->value = query + name + (name < whole);
        parameter->value_count = whole - name - (name < whole);
        query += whole + (query[whole] == '&');
    }
    return 0;
}

/* *ret stays as it is where the parameter was not given. */
static int read_number(const struct parameter *parameter, uint32_t most, uint32_t *ret,
                       struct fault *fault)
{
    uint32_t number = 0;
    if (parameter->value == NULL)
        return 0;
    bool sound = parameter->value_count > 0 && parameter->value_count <= DIGITS_MAX;
    for (size_t i = 0; sound && i < parameter->value_count; i++) {
        sound = parameter->value[i] >= '0' && parameter->value[i] <= '9';
        number = number * 10 + (uint32_t)(parameter->value[i] - '0');
    }
    if (!sound || number < 1 || number > most)
        return fault_set(fault, 400, parameter->name, "'%s' must be a number from 1 to %u",
                         parameter->name, most);
    *ret = number;
    return 0;
}

int profile_query_cpu(const char *query, uint32_t *ret_seconds, uint32_t *ret_hz,
                      struct fault *fault)
{
    struct parameter known[] = {{.name = "seconds"}, {.name = "hz"}};
    uint32_t seconds = PROFILE_SECONDS_DEFAULT, hz = PROFILE_HZ_DEFAULT;
    if (split(query, known, 2, fault) != 0 ||
        read_number(&known[0], PROFILER_SECONDS_MAX, &seconds, fault) != 0 ||
        read_number(&known[1], PROFILER_HZ_MAX, &hz, fault) != 0)
        return -1;
    *ret_seconds = seconds;
    *ret_hz = hz;
    return 0;
}

static bool is_word(const struct parameter *parameter, const char *word)
{
    return parameter->value != NULL && strlen(word) == parameter->value_count &&
           memcmp(parameter->value, word, parameter->value_count) == 0;
}

int profile_query_heap(const char *query, bool *ret_jeprof, struct fault *fault)
{
    struct parameter known[] = {{.name = "format"}};
    if (split(query, known, 1, fault) != 0)
        return -1;
    bool jeprof = is_word(&known[0], "jeprof");
    if (known[0].value != NULL && !jeprof && !is_word(&known[0], "json"))
        return fault_set(fault, 400, "format", "'format' must be json or jeprof");
    *ret_jeprof = jeprof;
    return 0;
}
