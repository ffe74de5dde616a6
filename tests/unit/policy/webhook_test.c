/* SPDX-License-Identifier: Apache-2.0 */
/* Deliveries to a real receiver on loopback, with the time as the test says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/alerts/webhook.h"
#include "tests/unit/policy/receiver.h"
#include "tests/unit/policy/scratch.h"

#define NOON     INT64_C(1780000000000)
#define MESSAGES 200u
#define SECRET   "whsec_MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1ub3BxcnN0dXY="
#define OLDER    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#define STEPS    20000u /* that settle all of a test */

static const char accepted[] =
    "HTTP/1.1 204 No Content\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
static const char broken[] = "HTTP/1.1 500 Oh\r\nconnection: close\r\ncontent-length: 2\r\n\r\nno";

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15; /* SplitMix64 (S. Vigna, public domain) */
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

/* -- One outbox, one sender, one receiver -- */

struct post {
    char folder[SCRATCH_PATH_BYTES], url[64];
    struct receiver *receiver;
    struct outbox *outbox;
    struct webhook *webhook;
    struct webhook_target target;
    int64_t now_ms;
};

static void post_open(struct post *post)
{
    struct error err = {0};
    struct webhook_config config = {.targets = &post->target, .target_count = 1};
    post->outbox = outbox_open(post->folder, &err);
    post->webhook = post->outbox == NULL ? NULL : webhook_new(&config, post->outbox, &err);
    if (post->webhook == NULL)
        fail_msg("%s", err.text);
}

static void post_close(struct post *post)
{
    webhook_free(post->webhook);
    outbox_close(post->outbox);
}

static void post_start(struct post *post, receiver_answer answer, void *argument)
{
    memset(post, 0, sizeof *post);
    scratch_make(post->folder);
    post->receiver = receiver_start(answer, argument);
    (void)snprintf(post->url, sizeof post->url, "http://127.0.0.1:%u/hook",
                   receiver_port(post->receiver));
    post->target = (struct webhook_target){.name = "ops", .url = post->url, .secrets = {SECRET}};
    post->now_ms = NOON;
    post_open(post);
}

static void post_end(struct post *post)
{
    post_close(post);
    receiver_free(post->receiver);
    scratch_remove(post->folder);
}

static void put(struct post *post, const char *id, const char *target)
{
    char body[64];
    (void)snprintf(body, sizeof body, "{\"id\":\"%s\"}", id);
    const struct outbox_message message = {id, target, body};
    assert_int_equal(outbox_put(post->outbox, &message, post->now_ms, NULL), 0);
}

static struct outbox_counts counts_of(struct post *post)
{
    struct outbox_counts counts = {0};
    assert_int_equal(outbox_count(post->outbox, &counts, NULL), 0);
    return counts;
}

/* One attempt at what is due, to its end. */
static void attempt(struct post *post)
{
    struct webhook_turn turn = {.now_ms = post->now_ms, .wait_ms = 1000, .jitter = 0.5};
    uint32_t steps = 0;
    int sending;
    do {
        sending = webhook_step(post->webhook, &turn, NULL);
        assert_true(sending >= 0 && ++steps < STEPS);
    } while (sending > 0);
}

/* Time moves to the next attempt, until nothing is pending. */
static void settle_all(struct post *post)
{
    for (uint32_t steps = 0; counts_of(post).pending > 0; steps++) {
        int64_t next_ms;
        assert_true(steps < STEPS);
        assert_int_equal(outbox_next_ms(post->outbox, &next_ms, NULL), 0);
        if (next_ms > post->now_ms)
            post->now_ms = next_ms;
        attempt(post);
    }
}

static const char *on_fixed(void *argument, const struct received *request)
{
    (void)request;
    return argument;
}

/* -- Delivery -- */

/* Half of the requests fail: by a status, or by silence before or after the message was taken. */
struct moody {
    uint64_t random;
    uint32_t taken[MESSAGES];
};

static const char *on_moody(void *argument, const struct received *request)
{
    struct moody *moody = argument;
    uint64_t mood = next_random(&moody->random) % 6;
    unsigned long index = strtoul(request->id, NULL, 10);
    if (mood >= 2 && index < MESSAGES) /* with mood 2 the sender does not hear of it */
        moody->taken[index]++;
    return mood == 0 ? broken : mood <= 2 ? NULL : accepted;
}

static void assert_signed(const struct received *request)
{
    char signature[WEBHOOK_SIGNATURE_BYTES];
    struct webhook_signed message = {
        .id = request->id, .body = request->body, .unix_s = strtoll(request->timestamp, NULL, 10)};
    assert_int_equal(webhook_sign(SECRET, &message, signature, NULL), 0);
    assert_string_equal(request->signature, signature);
    assert_true(message.unix_s >= NOON / 1000);
}

static void all_arrive_though_half_of_the_attempts_fail(void **state)
{
    (void)state;
    struct moody moody = {.random = 7};
    struct post post;
    post_start(&post, on_moody, &moody);
    for (uint32_t i = 0; i < MESSAGES; i++) {
        char id[16];
        (void)snprintf(id, sizeof id, "%u", i);
        put(&post, id, "ops");
        put(&post, id, "ops"); /* as after a crash */
    }
    struct webhook_turn turn = {.now_ms = post.now_ms, .wait_ms = 100, .jitter = 0};
    for (uint32_t i = 0; i < 20; i++) /* the sender dies with some on their way */
        assert_true(webhook_step(post.webhook, &turn, NULL) >= 0);
    post_close(&post);
    post_open(&post);
    settle_all(&post);
    receiver_stop(post.receiver);
    assert_int_equal(counts_of(&post).delivered, MESSAGES);
    assert_int_equal(counts_of(&post).dead, 0);
    uint32_t heard[MESSAGES] = {0}, count = receiver_count(post.receiver);
    for (uint32_t i = 0; i < count; i++) {
        const struct received *request = receiver_message(post.receiver, i);
        char body[64];
        assert_signed(request);
        (void)snprintf(body, sizeof body, "{\"id\":\"%s\"}", request->id);
        assert_string_equal(request->body, body);
        heard[strtoul(request->id, NULL, 10)]++;
    }
    for (uint32_t i = 0; i < MESSAGES; i++)
        assert_true(moody.taken[i] >= 1 && heard[i] >= moody.taken[i]);
    assert_true(count > MESSAGES * 3 / 2); /* it did fail */
    post_end(&post);
}

static void a_message_waits_longer_after_each_failure_and_dies_after_three_days(void **state)
{
    (void)state;
    struct post post;
    post_start(&post, on_fixed, (void *)broken);
    put(&post, "a", "ops");
    int64_t last_ms = post.now_ms, wait_ms = 0;
    while (counts_of(&post).pending > 0) {
        int64_t next_ms;
        attempt(&post);
        assert_int_equal(outbox_next_ms(post.outbox, &next_ms, NULL), 0);
        if (next_ms == INT64_MAX)
            break;
        assert_true(next_ms - last_ms >= wait_ms || next_ms == NOON + WEBHOOK_GIVE_UP_MS);
        wait_ms = next_ms - last_ms;
        assert_true(wait_ms <= WEBHOOK_BACKOFF_MS_MOST);
        last_ms = post.now_ms = next_ms;
    }
    receiver_stop(post.receiver);
    assert_true(last_ms == NOON + WEBHOOK_GIVE_UP_MS);
    assert_int_equal(counts_of(&post).dead, 1);
    assert_in_range(receiver_count(post.receiver), 72, 144);
    post_end(&post);
}

static void nobody_there_is_tried_again(void **state)
{
    (void)state;
    struct post post;
    post_start(&post, on_fixed, (void *)accepted);
    receiver_stop(post.receiver); /* the port refuses now */
    put(&post, "a", "ops");
    attempt(&post);
    assert_int_equal(counts_of(&post).pending, 1);
    int64_t next_ms;
    assert_int_equal(outbox_next_ms(post.outbox, &next_ms, NULL), 0);
    assert_true(next_ms == NOON + webhook_backoff_ms(1, 0.5));
    post_end(&post);
}

static void try_once(const char *answer, struct outbox_counts *ret, int64_t *ret_wait_ms)
{
    struct post post;
    int64_t next_ms;
    post_start(&post, on_fixed, (void *)answer);
    put(&post, "a", "ops");
    attempt(&post);
    *ret = counts_of(&post);
    assert_int_equal(outbox_next_ms(post.outbox, &next_ms, NULL), 0);
    *ret_wait_ms = next_ms - NOON;
    receiver_stop(post.receiver);
    assert_int_equal(receiver_count(post.receiver), 1);
    post_end(&post);
}

static void a_redirect_is_not_followed(void **state)
{
    (void)state;
    struct outbox_counts counts;
    int64_t wait_ms;
    try_once("HTTP/1.1 307 Go\r\nlocation: /elsewhere\r\nconnection: close\r\n"
             "content-length: 0\r\n\r\n",
             &counts, &wait_ms);
    assert_int_equal(counts.pending, 1);
}

static void gone_is_a_dead_letter_at_once(void **state)
{
    (void)state;
    struct outbox_counts counts;
    int64_t wait_ms;
    try_once("HTTP/1.1 410 Gone\r\nconnection: close\r\ncontent-length: 0\r\n\r\n", &counts,
             &wait_ms);
    assert_int_equal(counts.dead, 1);
}

static void a_receiver_may_ask_for_time_up_to_the_limit(void **state)
{
    (void)state;
    struct outbox_counts counts;
    int64_t wait_ms;
    try_once("HTTP/1.1 429 Slow\r\nretry-after: 120\r\nconnection: close\r\n"
             "content-length: 0\r\n\r\n",
             &counts, &wait_ms);
    assert_true(wait_ms == 120000);
    try_once("HTTP/1.1 503 Slow\r\nretry-after: 999999999\r\nconnection: close\r\n"
             "content-length: 0\r\n\r\n",
             &counts, &wait_ms);
    assert_true(wait_ms == WEBHOOK_BACKOFF_MS_MOST);
}

static void a_long_answer_is_cut_off_and_judged_by_its_status(void **state)
{
    (void)state;
    static char answer[1 << 20];
    struct outbox_counts counts;
    int64_t wait_ms;
    size_t head =
        (size_t)snprintf(answer, sizeof answer, "HTTP/1.1 200 Well\r\nconnection: close\r\n\r\n");
    memset(answer + head, 'x', sizeof answer - head - 1);
    try_once(answer, &counts, &wait_ms);
    assert_int_equal(counts.delivered, 1);
    memcpy(answer + 9, "500", 3);
    try_once(answer, &counts, &wait_ms);
    assert_int_equal(counts.pending, 1);
}

static void a_target_that_is_not_configured_waits_for_it(void **state)
{
    (void)state;
    struct post post;
    post_start(&post, on_fixed, (void *)accepted);
    put(&post, "a", "desk");
    put(&post, "b", "ops");
    attempt(&post);
    receiver_stop(post.receiver);
    assert_int_equal(counts_of(&post).pending, 1);
    assert_int_equal(counts_of(&post).delivered, 1);
    assert_int_equal(receiver_count(post.receiver), 1);
    post_end(&post);
}

static void both_secrets_sign_while_they_change(void **state)
{
    (void)state;
    struct post post;
    char expected[2 * WEBHOOK_SIGNATURE_BYTES];
    post_start(&post, on_fixed, (void *)accepted);
    post_close(&post);
    post.target.secrets[1] = OLDER;
    post_open(&post);
    put(&post, "a", "ops");
    attempt(&post);
    receiver_stop(post.receiver);
    const struct webhook_signed message = {
        .id = "a", .body = "{\"id\":\"a\"}", .unix_s = NOON / 1000};
    assert_int_equal(webhook_sign(SECRET, &message, expected, NULL), 0);
    expected[WEBHOOK_SIGNATURE_BYTES - 1] = ' ';
    assert_int_equal(webhook_sign(OLDER, &message, expected + WEBHOOK_SIGNATURE_BYTES, NULL), 0);
    assert_string_equal(receiver_message(post.receiver, 0)->signature, expected);
    post_end(&post);
}

/* -- Parts -- */

static void signatures_are_those_of_the_standard(void **state)
{
    (void)state;
    char signature[WEBHOOK_SIGNATURE_BYTES];
    struct webhook_signed message = {.id = "msg_p5jXN8AQM9LWM0D4loKWxJek",
                                     .body = "{\"test\": 2432232314}",
                                     .unix_s = 1614265330};
    assert_int_equal(webhook_sign(OLDER, &message, signature, NULL), 0);
    assert_string_equal(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    message = (struct webhook_signed){.id = "an-id", .body = "{\"a\":1}", .unix_s = 1780000000};
    assert_int_equal(webhook_sign(SECRET, &message, signature, NULL), 0);
    assert_string_equal(signature, "v1,Dz46IWWa7Jc0JKTb8wcyeTP/Cg/JcGdY/4QDqrP0LEY=");
}

static void a_weak_or_broken_secret_is_refused_without_being_told(void **state)
{
    (void)state;
    static char most[256];
    const char *const bad[] = {"",
                               "whsec_",
                               "secret",
                               "whsec_c2hvcnQ=",
                               "whsec_MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1ub3BxcnN0dXY", /* no '=' */
                               "whsec_MDEyMzQ1Njc4OWFiY2Rl mdoaWprbG1ub3BxcnN0dXY=",
                               "whsec_====MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1ub3BxcnN0dXY=",
                               most};
    (void)snprintf(most, sizeof most, "whsec_");
    memset(most + 6, 'A', 240);
    for (uint32_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct webhook_target target = {"ops", "https://a.example/hook", {bad[i]}};
        struct webhook_config config = {.targets = &target, .target_count = 1};
        struct error err = {0};
        assert_null(webhook_new(&config, NULL, &err));
        assert_int_equal(err.code, ERROR_INVALID);
        assert_non_null(strstr(err.text, "'ops'"));
        assert_null(strstr(err.text, "MDEy"));
    }
}

static void clear_text_stays_on_this_machine(void **state)
{
    (void)state;
    const char *const good[] = {"https://a.example/x", "http://127.0.0.1:1/", "http://127.9.9.9/",
                                "http://localhost/", "http://[::1]:80/"};
    const char *const clear[] = {"http://a.example/x", "http://10.0.0.1/",
                                 "http://[::2]/",      "http://localhost.example/",
                                 "http://128.0.0.1/",  "http://127.0.0.1.example/"};
    const char *const bad[] = {"",
                               "a.example",
                               "ftp://a.example/",
                               "file:///etc/passwd",
                               "https://",
                               "https://a.example:99999/",
                               "https://a b/"};
    for (uint32_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_int_equal(webhook_check_url(good[i], false, NULL), 0);
    for (uint32_t i = 0; i < sizeof clear / sizeof *clear; i++) {
        assert_int_equal(webhook_check_url(clear[i], false, NULL), ERROR_REFUSED);
        assert_int_equal(webhook_check_url(clear[i], true, NULL), 0);
    }
    for (uint32_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(webhook_check_url(bad[i], true, NULL), ERROR_INVALID);
}

static void backoff_doubles_within_its_limits(void **state)
{
    (void)state;
    assert_true(webhook_backoff_ms(1, 0) == 1000);
    assert_true(webhook_backoff_ms(2, 0) == 2000);
    assert_true(webhook_backoff_ms(3, 0.5) == 5000);
    for (uint32_t failures = 1; failures < 100; failures++) {
        assert_true(webhook_backoff_ms(failures, 0) >= WEBHOOK_BACKOFF_MS_LEAST);
        assert_true(webhook_backoff_ms(failures, 0.999) <= WEBHOOK_BACKOFF_MS_MOST);
    }
    assert_true(webhook_backoff_ms(UINT32_MAX, 0.999) > WEBHOOK_BACKOFF_MS_MOST * 99 / 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_arrive_though_half_of_the_attempts_fail),
        cmocka_unit_test(a_message_waits_longer_after_each_failure_and_dies_after_three_days),
        cmocka_unit_test(nobody_there_is_tried_again),
        cmocka_unit_test(a_redirect_is_not_followed),
        cmocka_unit_test(gone_is_a_dead_letter_at_once),
        cmocka_unit_test(a_receiver_may_ask_for_time_up_to_the_limit),
        cmocka_unit_test(a_long_answer_is_cut_off_and_judged_by_its_status),
        cmocka_unit_test(a_target_that_is_not_configured_waits_for_it),
        cmocka_unit_test(both_secrets_sign_while_they_change),
        cmocka_unit_test(signatures_are_those_of_the_standard),
        cmocka_unit_test(a_weak_or_broken_secret_is_refused_without_being_told),
        cmocka_unit_test(clear_text_stays_on_this_machine),
        cmocka_unit_test(backoff_doubles_within_its_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
