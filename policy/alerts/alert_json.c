/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/alerts/alert_json.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define SECONDS_A_DAY 86400
#define USERS_MAX     1e15 /* more people than that are no figure */

static void append_time(time_t second, const char *format, struct text *out)
{
    struct tm date = {0};
    char spelled[64];
    (void)gmtime_r(&second, &date);
    text_append(out, spelled, strftime(spelled, sizeof spelled, format, &date));
}

void alert_date(uint32_t day, struct text *out)
{
    append_time((time_t)day * SECONDS_A_DAY, "%Y-%m-%d", out);
}

void alert_users(double users, struct text *out)
{
    char digits[32];
    int count = snprintf(digits, sizeof digits, "%.0f", fmax(0, fmin(users, USERS_MAX)));
    for (int i = 0; i < count; i++) {
        if (i > 0 && (count - i) % 3 == 0)
            text_append_char(out, ',');
        text_append_char(out, digits[i]);
    }
}

static void append_string(struct text *out, const char *key, const char *value)
{
    text_append_format(out, "\"%s\":", key);
    text_append_json(out, value, strlen(value));
    text_append_char(out, ',');
}

static void append_number(struct text *out, const char *key, double value)
{
    text_append_format(out, "\"%s\":", key);
    text_append_json_double(out, value);
    text_append_char(out, ',');
}

void alert_sentence(const struct alert_note *note, struct text *out)
{
    const struct alert_event *event = note->event;
    if (note->rehearsal)
        text_append_string(out, "rehearsal: ");
    text_append_format(out, "%s: ", note->scope->scope);
    if (event->rule >= ALERT_LEVELS)
        text_append_format(out, "the user threshold of %s %s %u days away", note->scope->condition,
                           event->fires ? "may be less than" : "is again more than",
                           alert_lead_days[event->rule - ALERT_LEVELS]);
    else if (event->fires)
        text_append_format(out, "%u%% of the user threshold of %s reached, or about to be",
                           alert_level_percents[event->rule], note->scope->condition);
    else
        text_append_format(out, "well below %u%% of the user threshold of %s again",
                           alert_level_percents[event->rule], note->scope->condition);
    text_append_string(out, " (at most ");
    alert_users(event->upper, out);
    text_append_string(out, " of ");
    alert_users(event->threshold, out);
    text_append_string(out, " users on ");
    alert_date(event->day, out);
    text_append_char(out, ')');
}

void alert_json(const struct alert_note *note, struct text *out)
{
    const struct alert_event *event = note->event;
    struct text sentence;
    text_init(&sentence);
    alert_sentence(note, &sentence);
    text_append_format(out, "{\"type\":\"license.alert.%s\",\"timestamp\":\"",
                       event->fires ? "fired" : "cleared");
    append_time((time_t)(note->now_ms / 1000), "%Y-%m-%dT%H:%M:%SZ", out);
    text_append_string(out, "\",\"data\":{");
    append_string(out, "id", event->id);
    append_string(out, "condition", note->scope->condition);
    append_string(out, "scope", note->scope->scope);
    append_string(out, "rule", alert_rule_name(event->rule));
    text_append_string(out, "\"day\":\"");
    alert_date(event->day, out);
    text_append_string(out, "\",");
    append_number(out, "users_upper", round(event->upper));
    append_number(out, "threshold", event->threshold);
    append_number(out, "days_early", event->days_early);
    text_append_format(out, "\"rehearsal\":%s,\"text\":", note->rehearsal ? "true" : "false");
    text_append_json(out, text_string(&sentence), sentence.count);
    text_append_string(out, "}}");
    out->failed = out->failed || sentence.failed;
    text_destroy(&sentence);
}
