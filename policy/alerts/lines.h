/* SPDX-License-Identifier: Apache-2.0 */
/* lines.h -- the user thresholds of a model's licences, as lines that a count may come near. Pure;
 * any thread.
 *
 * A clause that speaks of all products is held against the organisation's users, of which ours are
 * only some; one that speaks of the product that uses the model against that product's, where it
 * has a name, else against the model's own. What the operator declares counts where it is more.
 *
 * Two declarations, which are not the same: a figure of all users (organisation_mau, product_mau)
 * is another count of the same people, and the larger holds; users who never come here
 * (outside_mau) may be others or the same, so that with a of them and b counted the union is
 *     max(a, b) <= users <= a + b
 * Of a day nothing is known from a month's figure: outside_mau is for monthly lines. */
#ifndef WEIR_POLICY_ALERTS_LINES_H
#define WEIR_POLICY_ALERTS_LINES_H

#include <stdbool.h>
#include <stdint.h>

struct assessment;
struct declaration;

#define LINES_MAX        512u  /* of all models together */
#define LINE_SCOPE_BYTES 1100u /* names are longer nowhere that users are counted */

enum line_scope { LINE_MODEL, LINE_PRODUCT, LINE_ORGANISATION };

struct line {
    const char *model, *license, *condition; /* borrowed: the assessment's */
    const char *product;                     /* borrowed: the caller's */
    enum line_scope scope;
    bool daily;  /* users of a day, else of a month */
    bool beside; /* its condition has a line of the other kind as well, before it */
    double threshold;
    double declared;      /* of all users; 0 where nothing is */
    double outside;       /* who never come here, at most; 0 likewise */
    double outside_least; /* and at least */
};

struct line_source {
    const struct assessment *assessment;
    const struct declaration *declaration; /* NULL: nothing is declared */
    const char *product;                   /* "" for none of its own */
    int32_t month;                         /* now, as month_of_unix() has it */
};

/* Lines of conditions that may bind, by either reading; of a condition the lowest of
 * each kind. Returns how many, at most `capacity`. */
uint32_t lines_of(const struct line_source *source, struct line *ret, uint32_t capacity);

/* What is surely no less than all users, and no more, of what is counted. */
double line_upper(const struct line *line, double counted_high);
double line_lower(const struct line *line, double counted_low);

const char *line_kind_name(enum line_scope scope); /* "organisation" */
const char *line_whose(const struct line *line);   /* the model or product; "" for all */

/* Whose users, for people and receivers: "organisation", a product, a model; with " a day" or
 * " a month" behind it where that tells a line of a condition from the one before it. */
void line_scope_name(const struct line *line, char ret[LINE_SCOPE_BYTES]);
/* The same for files: "organisation", "product/chat", "model/q", be it of a day or a month. */
void line_scope_key(const struct line *line, char ret[LINE_SCOPE_BYTES]);
/* Whether both are the same line, be it of two models. */
bool line_same(const struct line *one, const struct line *other);

#endif
