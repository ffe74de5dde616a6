/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/commands/exposition.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS_MAX 64u

/* -- Reading -- */

static bool is_name_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == ':';
}

/* Behind the brace that closes labels; NULL for none. */
static char *labels_end(char *at)
{
    bool quoted = false;
    for (; *at != '\0'; at++) {
        if (quoted && *at == '\\' && at[1] != '\0')
            at++;
        else if (*at == '"')
            quoted = !quoted;
        else if (!quoted && *at == '}')
            return at;
    }
    return NULL;
}

/* name{labels} value [time stamp], cut up in place. */
static bool read_sample(char *line, struct exposition_sample *ret)
{
    static const char nothing[] = "";
    char *at = line, *end;
    while (is_name_byte(*at))
        at++;
    if (at == line)
        return false;
    *ret = (struct exposition_sample){.name = line, .labels = nothing};
    if (*at == '{') {
        *at++ = '\0';
        ret->labels = at;
        at = labels_end(at);
        if (at == NULL)
            return false;
    } else if (*at != ' ' && *at != '\t') {
        return false;
    }
    *at++ = '\0';
    at += strspn(at, " \t");
    ret->value = strtod(at, &end); /* +Inf and NaN too */
    return end != at && (*end == '\0' || *end == ' ' || *end == '\t');
}

static size_t count_lines(const char *text, size_t count)
{
    size_t lines = 1;
    for (size_t i = 0; i < count; i++)
        lines += text[i] == '\n';
    return lines;
}

static int read_samples(struct exposition *exposition, struct error *err)
{
    char *rest = exposition->text, *line;
    for (size_t number = 1; (line = strsep(&rest, "\n")) != NULL; number++) {
        size_t bytes = strlen(line);
        if (bytes > 0 && line[bytes - 1] == '\r')
            line[bytes - 1] = '\0';
        if (line[0] == '\0' || line[0] == '#')
            continue;
        if (!read_sample(line, &exposition->samples[exposition->count]))
            return error_set(err, ERROR_INVALID, "line %zu is no sample of Prometheus' text format",
                             number);
        exposition->count++;
    }
    return 0;
}

int exposition_parse(const char *text, size_t count, struct exposition *ret, struct error *err)
{
    size_t lines = count_lines(text, count);
    if (lines > EXPOSITION_SAMPLES_MAX)
        return error_set(err, ERROR_INVALID, "more than %u lines", EXPOSITION_SAMPLES_MAX);
    if (memchr(text, '\0', count) != NULL)
        return error_set(err, ERROR_INVALID, "a zero byte");
    struct exposition made = {.text = malloc(count + 1),
                              .samples = calloc(lines, sizeof *made.samples)};
    int result = made.text == NULL || made.samples == NULL ? error_no_memory(err) : 0;
    if (result == 0) {
        memcpy(made.text, text, count);
        made.text[count] = '\0';
        result = read_samples(&made, err);
    }
    if (result == 0)
        *ret = made;
    else
        exposition_destroy(&made);
    return result;
}

void exposition_destroy(struct exposition *exposition)
{
    free(exposition->text);
    free(exposition->samples);
    *exposition = (struct exposition){.count = 0};
}

/* -- Asking -- */

/* The value from behind its opening quote; returns what is behind the closing one. */
static const char *read_value(const char *at, char ret[EXPOSITION_LABEL_BYTES])
{
    size_t used = 0;
    for (; *at != '\0' && *at != '"'; at++) {
        char c = *at;
        if (c == '\\' && at[1] != '\0')
            c = *++at == 'n' ? '\n' : *at;
        if (used + 1 < EXPOSITION_LABEL_BYTES)
            ret[used++] = c;
    }
    ret[used] = '\0';
    return *at == '"' ? at + 1 : at;
}

bool exposition_label(const struct exposition_sample *sample, const char *key,
                      char ret[EXPOSITION_LABEL_BYTES])
{
    const char *at = sample->labels;
    size_t key_count = strlen(key);
    while (*at != '\0') {
        at += strspn(at, " ,");
        size_t count = strcspn(at, "=");
        bool found = count == key_count && strncmp(at, key, count) == 0;
        at += count;
        if (at[0] != '=' || at[1] != '"')
            break;
        at = read_value(at + 2, ret);
        if (found)
            return true;
    }
    ret[0] = '\0';
    return false;
}

static bool has_label(const struct exposition_sample *sample, const char *key, const char *value)
{
    char found[EXPOSITION_LABEL_BYTES];
    return key == NULL || (exposition_label(sample, key, found) && strcmp(found, value) == 0);
}

bool exposition_matches(const struct exposition_sample *sample,
                        const struct exposition_query *query)
{
    return strcmp(sample->name, query->name) == 0 && has_label(sample, query->key, query->value) &&
           has_label(sample, query->other_key, query->other_value);
}

double exposition_sum(const struct exposition *exposition, const struct exposition_query *query)
{
    double sum = NAN;
    for (size_t i = 0; i < exposition->count; i++)
        if (exposition_matches(&exposition->samples[i], query))
            sum = (isnan(sum) ? 0 : sum) + exposition->samples[i].value;
    return sum;
}

double exposition_least(const struct exposition *exposition, const struct exposition_query *query)
{
    double least = NAN;
    for (size_t i = 0; i < exposition->count; i++)
        if (exposition_matches(&exposition->samples[i], query))
            least = fmin(least, exposition->samples[i].value); /* a number wins over NAN */
    return least;
}

/* -- Histograms -- */

struct buckets {
    double bounds[BUCKETS_MAX], counts[BUCKETS_MAX]; /* counts rise: what is up to the bound */
    uint32_t count;
};

/* Adds counts with this sign, by bound, in the order they stand in. */
static void add_buckets(const struct exposition *exposition, const struct exposition_query *query,
                        double sign, struct buckets *buckets)
{
    char bound[EXPOSITION_LABEL_BYTES];
    for (size_t i = 0; i < exposition->count; i++) {
        const struct exposition_sample *sample = &exposition->samples[i];
        if (!exposition_matches(sample, query) || !exposition_label(sample, "le", bound))
            continue;
        double le = strtod(bound, NULL);
        uint32_t at = 0;
        while (at < buckets->count && buckets->bounds[at] != le)
            at++;
        if (at == BUCKETS_MAX)
            continue;
        if (at == buckets->count) {
            buckets->bounds[at] = le;
            buckets->counts[at] = 0;
            buckets->count++;
        }
        buckets->counts[at] += sign * sample->value;
    }
}

double exposition_quantile(const struct exposition *before, const struct exposition *now,
                           const struct exposition_query *query, double quantile)
{
    char name[128];
    struct buckets buckets = {.count = 0};
    struct exposition_query of_buckets = *query;
    (void)snprintf(name, sizeof name, "%s_bucket", query->name);
    of_buckets.name = name;
    add_buckets(now, &of_buckets, 1, &buckets);
    if (before != NULL)
        add_buckets(before, &of_buckets, -1, &buckets);
    double total = buckets.count == 0 ? 0 : buckets.counts[buckets.count - 1];
    if (!(total > 0))
        return NAN;
    uint32_t at = 0;
    while (at + 1 < buckets.count && buckets.counts[at] < quantile * total)
        at++;
    double low = at == 0 ? 0 : buckets.bounds[at - 1];
    double below = at == 0 ? 0 : buckets.counts[at - 1], within = buckets.counts[at] - below;
    if (isinf(buckets.bounds[at]))
        return low; /* beyond the last bound nothing more is known */
    return within > 0 ? low + (buckets.bounds[at] - low) * (quantile * total - below) / within
                      : low;
}
