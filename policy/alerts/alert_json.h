/* SPDX-License-Identifier: Apache-2.0 */
/* alert_json.h -- an alert in words: for receivers, and for people. Pure.
 *
 *     {"type": "license.alert.fired", "timestamp": "2026-11-23T10:04:05Z",
 *      "data": {"id": ..., "condition": "kimi-k2.5/ui-name", "scope": "organisation",
 *               "rule": "level-90", "day": "2026-11-23", "users_upper": 90340000,
 *               "threshold": 100000000, "days_early": 31.5, "rehearsal": false, "text": ...}}
 *
 * type ends in "fired" or "cleared"; days_early is null where there is no date. No user, key or
 * address is in it. */
#ifndef WEIR_POLICY_ALERTS_ALERT_JSON_H
#define WEIR_POLICY_ALERTS_ALERT_JSON_H

#include "base/text.h"
#include "policy/alerts/alert.h"

#include <stdbool.h>
#include <stdint.h>

struct alert_note {
    const struct alert_scope *scope; /* borrowed */
    const struct alert_event *event; /* borrowed */
    int64_t now_ms;                  /* Unix */
    bool rehearsal;                  /* nothing happened: a drill */
};

void alert_json(const struct alert_note *note, struct text *out);
/* One sentence without a full stop. */
void alert_sentence(const struct alert_note *note, struct text *out);
/* "2026-11-23" of days since 1970-01-01. */
void alert_date(uint32_t day, struct text *out);
/* 90340000 as "90,340,000". */
void alert_users(double users, struct text *out);

#endif
