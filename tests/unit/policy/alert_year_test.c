/* SPDX-License-Identifier: Apache-2.0 */
/* Two hundred years up to a line of 100 million and two hundred up to one of 700 million, and the
 * fall after each: every alert once, in time, at a receiver that fails half the time.
 *
 * A day's figures are those of a sketch whose state is drawn (sampled_registers.h), its estimate
 * for the forecast and its upper bound for the levels. How much of its error a day shares with the
 * next depends on how many users come back, so half of the years have the one extreme, states that
 * share nothing, and half the other: the same luck for a month. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/alerts/alert.h"
#include "policy/alerts/alert_json.h"
#include "policy/alerts/webhook.h"
#include "tests/unit/policy/receiver.h"
#include "tests/unit/policy/sampled_registers.h"
#include "tests/unit/policy/scratch.h"

/* A quarter of them under a sanitizer, which takes four times as long. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SEEDS 50u
#else
#define SEEDS 200u
#endif
#define YEAR         365u
#define FALL         260u /* days of decline after it */
#define DAYS         (YEAR + FALL)
#define LUCK_DAYS    30u     /* that states share, where they share any */
#define SKETCH_ERROR 0.00149 /* as the watch tells the forecast */
#define SHOCK        0.0012  /* lasting, a day */
#define FIRST_DAY    20454u  /* 2026-01-01 */
#define LEAD_SHARE   0.8     /* of a lead time is left, at least, when it fires */
#define CLEAR_SHARE  0.97    /* of a level */
#define TURN         6.283185307179586
#define EVENTS       (2 * ALERT_RULES) /* of a life: each rule fires and clears */
#define LINES        2u
#define MESSAGES     (LINES * SEEDS * EVENTS)
#define DAY_MS       INT64_C(86400000)
#define STEPS        100000u /* that settle a day's messages */
#define SECRET       "whsec_MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1ub3BxcnN0dXY="

/* Box and Muller's transform. */
static double normal(uint64_t *random)
{
    double radius = sqrt(-2 * log(sampled_uniform(random)));
    return radius * cos(TURN * sampled_uniform(random));
}

static double level_of(uint32_t rule, const struct alert_scope *scope)
{
    uint32_t percent = rule < ALERT_LEVELS ? alert_level_percents[rule] : 100;
    return scope->threshold * percent / 100;
}

/* -- Lives -- */

struct life {
    char name[32];
    struct alert_scope scope;
    double truth[DAYS], seen[DAYS], upper[DAYS];
    uint32_t event_count; /* beyond EVENTS they are counted, not kept */
    struct alert_event events[EVENTS];
};

struct lives { /* up to one line; a thread's until it ends */
    double line;
    pthread_t thread;
    struct life lives[SEEDS];
};

/* Growth with lasting shocks up to 102% of the line on the year's last day, then 0.6% less a day:
 * the shocks are those of a random walk that is pinned at its end. */
static void draw_truth(struct life *life, double line, uint64_t *random)
{
    double growth = 0.0022 + 0.0025 * sampled_uniform(random), walk[YEAR] = {0};
    for (uint32_t day = 1; day < YEAR; day++)
        walk[day] = walk[day - 1] + SHOCK * normal(random);
    for (uint32_t day = 0; day < DAYS; day++) {
        double left = (double)day - (YEAR - 1);
        double path = day < YEAR ? growth * left + walk[day] - walk[YEAR - 1] * day / (YEAR - 1.0)
                                 : -0.006 * left;
        life->truth[day] = 1.02 * line * exp(path + 0.002 * sin(TURN * day / 7));
    }
}

static void draw_sketches(struct life *life, bool lasting, uint64_t *random)
{
    uint64_t luck = 0;
    for (uint32_t day = 0; day < DAYS; day++) {
        struct sketch_count count;
        if (!lasting || day % LUCK_DAYS == 0)
            luck = sampled_word(random);
        uint64_t todays = luck;
        sampled_count(life->truth[day], SKETCH_P, &todays, &count);
        life->seen[day] = count.value;
        life->upper[day] = sketch_upper(&count, SKETCH_Z_REPORT);
    }
}

static void live(struct life *life)
{
    struct alert_watch watch = {0};
    struct alert_event events[ALERT_RULES];
    for (uint32_t day = 0; day < DAYS; day++) {
        struct forecast forecast;
        const struct forecast_question question = {.daily = life->seen,
                                                   .day_count = day + 1,
                                                   .threshold = life->scope.threshold,
                                                   .relative_error = SKETCH_ERROR};
        forecast_make(&question, &forecast);
        const struct alert_figures figures = {
            .day = FIRST_DAY + day, .upper = life->upper[day], .forecast = &forecast};
        int count = alert_evaluate(&watch, &life->scope, &figures, events, NULL);
        for (int i = 0; i < count; i++) {
            if (life->event_count < EVENTS)
                life->events[life->event_count] = events[i];
            life->event_count++;
        }
    }
}

static void *live_all(void *argument)
{
    struct lives *lives = argument;
    for (uint32_t i = 0; i < SEEDS; i++) {
        struct life *life = &lives->lives[i];
        uint64_t random = (i + 1) * UINT64_C(7919) + (uint64_t)lives->line;
        (void)snprintf(life->name, sizeof life->name, "%.0f/%u", lives->line, i);
        life->scope = (struct alert_scope){"a/threshold", life->name, lives->line};
        draw_truth(life, lives->line, &random);
        draw_sketches(life, i % 2 == 1, &random);
        live(life);
    }
    return NULL;
}

static int setup(void **state)
{
    static const double lines[LINES] = {100e6, 700e6};
    struct lives *lives = calloc(LINES, sizeof *lives);
    if (lives == NULL)
        return -1;
    for (uint32_t i = 0; i < LINES; i++) {
        lives[i].line = lines[i];
        if (pthread_create(&lives[i].thread, NULL, live_all, &lives[i]) != 0)
            return -1;
    }
    for (uint32_t i = 0; i < LINES; i++)
        (void)pthread_join(lives[i].thread, NULL);
    *state = lives;
    return 0;
}

static int teardown(void **state)
{
    free(*state);
    return 0;
}

/* -- When they are told -- */

static uint32_t first_crossing(const struct life *life, double level)
{
    uint32_t day = 0;
    while (day < DAYS && life->truth[day] <= level)
        day++;
    return day;
}

static void assert_event(const struct life *life, const struct alert_event *event)
{
    double level = level_of(event->rule, &life->scope);
    uint32_t day = event->day - FIRST_DAY, crossing = first_crossing(life, level);
    if (!event->fires) {
        assert_true(day > YEAR);
        for (uint32_t i = 0; i < ALERT_CLEAR_AFTER && event->rule < ALERT_LEVELS; i++)
            assert_true(life->truth[day - i] < CLEAR_SHARE * level);
        return;
    }
    assert_true(day < crossing);
    if (event->rule >= ALERT_LEVELS) {
        uint32_t lead = alert_lead_days[event->rule - ALERT_LEVELS];
        assert_true(crossing - day >= LEAD_SHARE * lead);
    }
}

static void every_alert_fires_once_before_the_truth_crosses_and_clears_once(void **state)
{
    const struct lives *lives = *state;
    for (uint32_t i = 0; i < LINES * SEEDS; i++) {
        const struct life *life = &lives[i / SEEDS].lives[i % SEEDS];
        uint32_t fired[ALERT_RULES] = {0}, cleared[ALERT_RULES] = {0};
        assert_int_equal(life->event_count, EVENTS);
        for (uint32_t e = 0; e < EVENTS; e++) {
            assert_event(life, &life->events[e]);
            (life->events[e].fires ? fired : cleared)[life->events[e].rule]++;
        }
        for (uint32_t rule = 0; rule < ALERT_RULES; rule++) {
            assert_int_equal(fired[rule], 1);
            assert_int_equal(cleared[rule], 1);
        }
    }
}

/* -- How they arrive -- */

/* One of the alerts, on its way. */
struct told {
    const struct life *life;
    const struct alert_event *event;
    uint32_t taken;    /* by the receiver */
    uint32_t answered; /* with a 2xx */
    int64_t unix_s;    /* first taken, as signed */
};

/* The receiver's until it is stopped. */
struct moody {
    uint64_t random;
    struct told *told; /* by id */
    uint32_t requests, unknown;
};

static int compare_ids(const void *a, const void *b)
{
    return strcmp(((const struct told *)a)->event->id, ((const struct told *)b)->event->id);
}

static int compare_days(const void *a, const void *b)
{
    uint32_t left = (*(const struct told *const *)a)->event->day;
    uint32_t right = (*(const struct told *const *)b)->event->day;
    return left < right ? -1 : left > right;
}

/* Half of the requests fail: a quarter by a status, a quarter by silence after they were taken. */
static const char *on_moody(void *argument, const struct received *request)
{
    static const char accepted[] =
        "HTTP/1.1 204 No Content\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    static const char broken[] =
        "HTTP/1.1 500 Oh\r\nconnection: close\r\ncontent-length: 2\r\n\r\nno";
    struct moody *moody = argument;
    struct alert_event event = {.day = 0};
    uint64_t mood = sampled_word(&moody->random) % 4;
    (void)snprintf(event.id, sizeof event.id, "%s", request->id);
    const struct told wanted = {.event = &event};
    struct told *told = bsearch(&wanted, moody->told, MESSAGES, sizeof *told, compare_ids);
    moody->requests++;
    if (told == NULL || strstr(request->body, request->id) == NULL) {
        moody->unknown++;
        return accepted;
    }
    if (mood == 0)
        return broken;
    if (told->taken++ == 0)
        told->unix_s = strtoll(request->timestamp, NULL, 10);
    told->answered += mood != 1;
    return mood == 1 ? NULL : accepted;
}

struct post {
    char folder[SCRATCH_PATH_BYTES], url[64];
    struct receiver *receiver;
    struct outbox *outbox;
    struct webhook *webhook;
    int64_t now_ms;
};

static void post_open(struct post *post, struct moody *moody)
{
    scratch_make_in_memory(post->folder);
    post->receiver = receiver_start(on_moody, moody);
    (void)snprintf(post->url, sizeof post->url, "http://127.0.0.1:%u/hook",
                   receiver_port(post->receiver));
    const struct webhook_target target = {.name = "ops", .url = post->url, .secrets = {SECRET}};
    const struct webhook_config config = {.targets = &target, .target_count = 1};
    post->outbox = outbox_open(post->folder, NULL);
    assert_non_null(post->outbox);
    post->webhook = webhook_new(&config, post->outbox, NULL);
    assert_non_null(post->webhook);
}

static void post_close(struct post *post)
{
    webhook_free(post->webhook);
    outbox_close(post->outbox);
    receiver_free(post->receiver);
    scratch_remove(post->folder);
}

static void put(struct post *post, const struct told *told)
{
    const struct alert_note note = {
        .scope = &told->life->scope, .event = told->event, .now_ms = post->now_ms};
    struct text body;
    text_init(&body);
    alert_json(&note, &body);
    const struct outbox_message message = {told->event->id, "ops", text_string(&body)};
    assert_int_equal(outbox_put(post->outbox, &message, post->now_ms, NULL), 0);
    text_destroy(&body);
}

/* The clock goes from one attempt to the next, until nothing is pending. */
static void settle_day(struct post *post)
{
    for (uint32_t steps = 0;; steps++) {
        struct webhook_turn turn = {.wait_ms = 1000, .jitter = 0.5};
        int64_t next_ms;
        assert_int_equal(outbox_next_ms(post->outbox, &next_ms, NULL), 0);
        if (next_ms == INT64_MAX)
            return;
        post->now_ms = next_ms > post->now_ms ? next_ms : post->now_ms;
        turn.now_ms = post->now_ms;
        while (webhook_step(post->webhook, &turn, NULL) > 0)
            steps++;
        assert_true(steps < STEPS);
    }
}

/* Day by day, each day's alerts to their end. */
static void tell_all(struct post *post, struct told *told)
{
    struct told **by_day = calloc(MESSAGES, sizeof *by_day);
    assert_non_null(by_day);
    for (uint32_t i = 0; i < MESSAGES; i++)
        by_day[i] = &told[i];
    qsort(by_day, MESSAGES, sizeof *by_day, compare_days);
    for (uint32_t i = 0; i < MESSAGES;) {
        uint32_t day = by_day[i]->event->day;
        post->now_ms = (int64_t)day * DAY_MS + DAY_MS / 2;
        for (; i < MESSAGES && by_day[i]->event->day == day; i++)
            put(post, by_day[i]);
        settle_day(post);
        assert_true(post->now_ms < (int64_t)(day + 1) * DAY_MS);
    }
    free(by_day);
}

static struct told *gather(const struct lives *lives)
{
    struct told *told = calloc(MESSAGES, sizeof *told);
    assert_non_null(told);
    for (uint32_t i = 0; i < MESSAGES; i++) {
        const struct life *life = &lives[i / EVENTS / SEEDS].lives[i / EVENTS % SEEDS];
        assert_int_equal(life->event_count, EVENTS);
        told[i] = (struct told){.life = life, .event = &life->events[i % EVENTS]};
    }
    qsort(told, MESSAGES, sizeof *told, compare_ids);
    for (uint32_t i = 1; i < MESSAGES; i++)
        assert_string_not_equal(told[i - 1].event->id, told[i].event->id);
    return told;
}

static void every_alert_arrives_once_at_a_receiver_that_fails_half_the_time(void **state)
{
    struct told *told = gather(*state);
    struct moody moody = {.random = 7, .told = told};
    struct outbox_counts counts = {0};
    struct post post;
    uint32_t again = 0;
    post_open(&post, &moody);
    tell_all(&post, told);
    receiver_stop(post.receiver);
    assert_int_equal(outbox_count(post.outbox, &counts, NULL), 0);
    assert_int_equal(counts.delivered, MESSAGES);
    assert_int_equal(counts.dead + counts.pending, 0);
    assert_int_equal(moody.unknown, 0);
    for (uint32_t i = 0; i < MESSAGES; i++) {
        const struct life *life = told[i].life;
        uint32_t crossing = first_crossing(life, level_of(told[i].event->rule, &life->scope));
        assert_true(told[i].taken >= 1);
        assert_int_equal(told[i].answered, 1); /* and never sent after that */
        assert_true(!told[i].event->fires ||
                    told[i].unix_s * 1000 < (int64_t)(FIRST_DAY + crossing) * DAY_MS);
        again += told[i].taken - 1; /* which a receiver drops by the id */
    }
    print_message("%u alerts in %u requests, %u of them taken again\n", MESSAGES, moody.requests,
                  again);
    assert_true(moody.requests > MESSAGES * 9 / 5); /* half of them did fail */
    post_close(&post);
    free(told);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_alert_fires_once_before_the_truth_crosses_and_clears_once),
        cmocka_unit_test(every_alert_arrives_once_at_a_receiver_that_fails_half_the_time),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
