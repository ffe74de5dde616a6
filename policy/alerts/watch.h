/* SPDX-License-Identifier: Apache-2.0 */
/* watch.h -- every line, looked at once a day, when the day before it is over.
 *
 *     a day is over -> its point a scope -> a forecast and an evaluation a line -> what to say
 *
 * A turn does one of these steps, so that nothing that shares its thread waits for more than one
 * question to the counters. Days that were missed while nobody ran are made up for, in order.
 * watch_turn() is one thread's; watch_forecast() is any thread's. */
#ifndef WEIR_POLICY_ALERTS_WATCH_H
#define WEIR_POLICY_ALERTS_WATCH_H

#include "base/error.h"
#include "policy/alerts/alert.h"
#include "policy/alerts/lines.h"
#include "policy/alerts/outbox.h"
#include "policy/alerts/point_store.h"

#include <stdbool.h>
#include <stdint.h>

#define WATCH_TARGETS_MAX   16u
#define WATCH_CATCH_UP_DAYS 60u /* of points that are made for days long over */

struct watch;

/* What there is to say of a line, with its name. */
struct watch_event {
    const struct line *line;
    const struct alert_scope *scope;
    const struct alert_event *event;
    int64_t now_ms; /* Unix */
};

struct watch_config {
    struct outbox *outbox;      /* borrowed; must outlive the watch */
    const char *const *targets; /* names of those who hear of alerts; copied */
    uint32_t target_count;      /* at most WATCH_TARGETS_MAX */
    /* The lines now; their strings live as long as the watch. Returns how many. */
    uint32_t (*lines)(void *argument, int64_t now_us, struct line *ret, uint32_t capacity);
    /* ret->day is set: users of the line's scope on that day, which is over. */
    int (*figures)(void *argument, const struct line *line, int64_t now_us, struct point *ret,
                   struct error *err);
    /* Before it is sent, and perhaps again after a crash; a failure holds it back. */
    int (*record)(void *argument, const struct watch_event *event, struct error *err);
    /* A line for the log: what fired, and what fails. */
    void (*note)(void *argument, const char *text);
    void *argument;
};

struct watch *watch_new(const struct watch_config *config, struct error *err);
void watch_free(struct watch *watch); /* NULL is fine */

/* generation: another value than before means that there may be other lines. Returns whether there
 * was something to do. */
bool watch_turn(struct watch *watch, uint64_t generation, int64_t now_us);

/* Of the newest day that was looked at; false where there is none. */
bool watch_forecast(struct watch *watch, const struct line *line, struct forecast *ret);

#endif
