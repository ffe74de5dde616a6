/* SPDX-License-Identifier: Apache-2.0 */
/* policy_months.h -- the month's figures, written into the ledger while they are made.
 *
 * A row (report.h) of each model, licence family, named product and the organisation of which
 * anybody was counted in the month, when there is something new to say:
 *     each day, 15 minutes after midnight UTC, with the figures up to each day that is over
 *     each hour, when a figure is a quarter higher than the row says, so that rows stay few
 *     when a month becomes final, and on each amendment after
 *     at a clean stop and at the start after one that was not clean
 * Days and months that were missed are made up for, oldest first, up to MONTHS_BACK_MAX months. In
 * a year that is 365 rows of each, and some 150 more at most.
 *
 * Figures only rise: a row has the larger of what the ledger says and what is counted, each bound
 * for itself. One thread at a time; the ledger is written under its lock. */
#ifndef WEIR_POLICY_POLICY_MONTHS_H
#define WEIR_POLICY_POLICY_MONTHS_H

#include "base/error.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define MONTHS_BACK_MAX 12u /* looked at when the daemon starts */

struct ledger;
struct policy_months;
struct usage;

struct policy_months_config {
    struct usage *usage;          /* borrowed */
    struct ledger *ledger;        /* borrowed */
    pthread_mutex_t *ledger_lock; /* borrowed: taken for as long as one row is written */
    /* Whether all who count with us were heard past that time: before, no month that ended there is
     * final. NULL: we are alone. */
    bool (*heard_past)(const void *argument, int64_t unix_us);
    const void *argument;
};

/* Reads what the ledger says of the months that may yet change; main thread. */
struct policy_months *policy_months_new(const struct policy_months_config *config, int64_t now_us,
                                        struct error *err);
void policy_months_free(struct policy_months *months); /* NULL is fine */

/* Asks the counters one question at most, and writes one row at most; returns after how many
 * milliseconds it wants to go on. What fails is noted and tried again. Policy thread. */
uint32_t policy_months_turn(struct policy_months *months, int64_t now_us);
/* At a clean stop, once nobody counts any more: what is new of this month and the one before. */
void policy_months_stop(struct policy_months *months, int64_t now_us);

#endif
