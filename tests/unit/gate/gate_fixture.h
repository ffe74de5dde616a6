/* SPDX-License-Identifier: Apache-2.0 */
/* gate_fixture.h -- one licence with one condition, one model, one declaration, all by hand. */
#ifndef WEIR_TESTS_UNIT_GATE_GATE_FIXTURE_H
#define WEIR_TESTS_UNIT_GATE_GATE_FIXTURE_H

#include "policy/license/gate.h"

#define NOW 1794268800 /* 2026-11-10 */

extern unsigned recognition_frees;

/* double_arena.c: the n-th allocation from now on is refused, from 1; 0 refuses none. */
void arena_refuse_after(unsigned long n);
bool arena_refused(void);

struct world {
    struct license_condition condition;
    struct threshold_limb limbs[2];
    struct license_record record;
    const char *names[3];
    struct recognition recognition;
    struct declaration declaration;
    struct assessment *assessment; /* of the last weigh() */
};

/* Licence "lic" of "Maker" with condition "cond" of the kind; model "served", of no known modality,
 * which also goes by "maker/Model-7B". Nothing is declared. */
void world_init(struct world *world, enum condition_kind kind);
/* The one condition of the licence, after all were weighed; the last assessment is freed. */
const struct assessed_condition *weigh(struct world *world);
/* With no condition picked, for those that make their own. */
struct assessment *weigh_all(struct world *world);
void world_destroy(struct world *world);

/* Fails unless the condition's verdict and both readings are this, and every word is in its reason.
 */
void expect(struct world *world, enum verdict verdict, const char *word);
void expect_readings(struct world *world, enum verdict literal, enum verdict conservative,
                     const char *word);
void expect_contains(const char *text, const char *word);

#endif
