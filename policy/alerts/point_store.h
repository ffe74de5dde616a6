/* SPDX-License-Identifier: Apache-2.0 */
/* point_store.h -- a figure a day of each scope that is watched, for the forecast: rows of
 * outbox.db, POINTS_DAYS_MAX of them a scope. The outbox's thread. */
#ifndef WEIR_POLICY_ALERTS_POINT_STORE_H
#define WEIR_POLICY_ALERTS_POINT_STORE_H

#include "policy/alerts/forecast.h"
#include "policy/alerts/outbox.h"

#include <stdbool.h>
#include <stdint.h>

#define POINTS_DAYS_MAX FORECAST_DAYS_MAX

struct point_store;

/* Users by the upper view. */
struct point {
    uint32_t day;        /* since 1970-01-01 UTC */
    double rolling_30;   /* as estimated: what a forecast reads */
    double monthly_high; /* surely no more: of the month, or of 31 days where that is more */
    double daily;
    double daily_high;
};

/* outbox: borrowed; must outlive the store. */
struct point_store *point_store_new(struct outbox *outbox, struct error *err);
void point_store_free(struct point_store *store); /* NULL is fine */

/* In place of what there is of the day; forgets what is too old, of scopes that are watched no more
 * as well. */
int point_store_put(struct point_store *store, const char *scope, const struct point *point,
                    struct error *err);
/* The days with a point that lie next to each other up to `upto`, oldest first. ret: room for
 * POINTS_DAYS_MAX. */
int point_store_read(struct point_store *store, const char *scope, uint32_t upto, struct point *ret,
                     uint32_t *ret_count, struct error *err);
/* The first day after `after` that has a point; 0 for none. */
int point_store_after(struct point_store *store, const char *scope, uint32_t after, uint32_t *ret,
                      struct error *err);
/* 0 for none. */
int point_store_newest(struct point_store *store, const char *scope, uint32_t *ret,
                       struct error *err);

#endif
