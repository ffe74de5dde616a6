/* SPDX-License-Identifier: Apache-2.0 */
/* gate_inner.h -- what the parts of the gate share: one assessment in the making.
 *
 * Strings are built in the assessment's arena. Where memory runs out, gate_say() and its kin answer
 * "" and set `failed`, so that a rule reads as a rule; gate_assess() asks once, at the end. */
#ifndef WEIR_POLICY_LICENSE_GATE_INNER_H
#define WEIR_POLICY_LICENSE_GATE_INNER_H

#include "base/arena.h"
#include "policy/license/assessment.h"

struct gate {
    struct arena *arena; /* borrowed: the assessment's */
    const struct recognition *recognition;
    const struct declaration *declaration; /* never NULL */
    int32_t month;                         /* of now, MONTH_NONE when the clock is not set */
    bool failed;
};

/* A condition under the scales. */
struct matter {
    const struct license_record *record;
    const struct license_condition *condition;
    const char *id; /* "LICENSE/CONDITION" */
};

struct finding {
    enum verdict literal, conservative;
    bool
        undeclared; /* a declaration would answer it, whatever remedy the record has for a breach */
    const char *reason, *remedy;
    const char *text; /* the exact words to show */
};

/* -- gate_words.c -- */

const char *gate_say(struct gate *gate, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
const char *gate_number(struct gate *gate, uint64_t value); /* "700,000,000" */
/* "a, b or c", by last = " or ". */
const char *gate_join(struct gate *gate, const char *const *words, uint32_t count,
                      const char *last);
/* One more word after those said before, with `between` when there are any. */
const char *gate_also(struct gate *gate, const char *before, const char *between, const char *word);
/* The exact words that a condition wants shown for this model; "" when it gives none. */
const char *gate_text(struct gate *gate, const struct matter *matter);
/* ` on the user interface or website`, "" when the text names no place. */
const char *gate_where(struct gate *gate, const struct matter *matter);
const char *gate_publisher(const struct matter *matter); /* "Meta", "the publisher" */
/* How to get out of a breach. */
const char *gate_way_out(struct gate *gate, const struct matter *matter);

/* Both readings alike. */
struct finding gate_found(enum verdict verdict, const char *reason, const char *remedy);
/* Review for want of a declaration. key: "operator.domicile"; why: a sentence without its stop. */
struct finding gate_undeclared(struct gate *gate, const char *key, const char *why);
/* What a threshold crossed, or a kind of business, brings about. because: a whole sentence. */
struct finding gate_consequence(struct gate *gate, const struct matter *matter,
                                const char *because);

static inline const char *gate_shown(const char *text)
{
    return text == NULL ? "" : text;
}

/* -- the rules, a file a subject -- */

struct finding gate_weigh_threshold(struct gate *gate, const struct matter *matter);
struct finding gate_weigh_territory(struct gate *gate, const struct matter *matter);
struct finding gate_weigh_purpose(struct gate *gate, const struct matter *matter);
struct finding gate_weigh_business(struct gate *gate, const struct matter *matter);
struct finding gate_weigh_duty(struct gate *gate, const struct matter *matter); /* all others */

/* "model_as_a_service or image_generation", the words of weir.yaml. */
const char *gate_business_words(struct gate *gate, uint32_t business);

#endif
