/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/api/doubles.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

int engine_admission(const struct engine *engine, int32_t priority, uint32_t *ret_retry_after_s,
                     struct error *err)
{
    (void)priority;
    if (engine->admission == 0)
        return 0;
    *ret_retry_after_s = engine->retry_after_s;
    return error_set(err, engine->admission, "the queue is full");
}

uint64_t engine_wait_us(const struct engine *engine, int32_t priority)
{
    return priority < engine->wait_class ? 0 : engine->wait_us;
}

int engine_submit(struct engine *engine, const struct generation_request *request, uint64_t *ret_id,
                  struct error *err)
{
    if (engine->submission_count == engine->submit_limit)
        return error_set(err, ERROR_BUSY, "the queue is full");
    assert(engine->submission_count < DOUBLE_SUBMISSIONS_MAX);
    assert(request->prompt_count >= 1);
    assert(request->prompt_count + request->max_tokens <= engine->context);
    struct submission *submission = &engine->submissions[engine->submission_count++];
    *submission = (struct submission){.request = *request, .open = true};
    submission->running = request->choices;
    *ret_id = engine->submission_count;
    return 0;
}

void engine_cancel(struct engine *engine, uint64_t id)
{
    assert(id >= 1 && id <= engine->submission_count);
    struct submission *submission = &engine->submissions[id - 1];
    if (submission->open)
        submission->cancelled = true;
}

void engine_cancel_choice(struct engine *engine, uint64_t id, uint32_t choice)
{
    assert(id >= 1 && id <= engine->submission_count);
    engine->submissions[id - 1].choices_cancelled |= 1u << choice;
}

static void deliver(struct engine *engine, const struct generation_event *event)
{
    struct generation_events *events = calloc(1, sizeof *events + sizeof *event);
    assert(events != NULL);
    events->count = 1;
    events->events[0] = *event;
    struct generation_events **link = &engine->outbox;
    while (*link != NULL)
        link = &(*link)->next;
    *link = events;
}

static struct generation_event event_of(struct engine *engine, uint32_t submission, uint32_t choice)
{
    struct submission *from = &engine->submissions[submission];
    assert(from->open);
    return (struct generation_event){
        .owner = from->request.owner,
        .choice = choice,
        .prompt_tokens = from->request.prompt_count,
        .cached_tokens = 1,
        .output_tokens = from->outputs[choice],
        .times = {.scheduled_us = 1},
    };
}

static void note_finish(struct engine *engine, uint32_t submission, struct generation_event *event)
{
    struct submission *from = &engine->submissions[submission];
    if (event->finish == FINISH_NONE)
        return;
    assert(!from->finished[event->choice]);
    from->finished[event->choice] = true;
    event->last = --from->running == 0;
    if (!event->last)
        return;
    from->open = false;
    free(from->request.prompt);
    free(from->request.sampling.bias);
}

void engine_double_token(struct engine *engine, uint32_t submission, uint32_t choice,
                         uint32_t token, enum finish_reason finish)
{
    engine->submissions[submission].outputs[choice]++;
    struct generation_event event = event_of(engine, submission, choice);
    event.has_token = true;
    event.sampled = (struct sampled){.token = token, .logprob = -0.5f};
    uint32_t top = engine->submissions[submission].request.sampling.top_logprobs;
    for (uint32_t i = 0; i < top; i++)
        event.sampled.top[event.sampled.top_count++] =
            (struct token_logprob){.token = token + i, .logprob = -0.5f - (float)i};
    event.finish = finish;
    note_finish(engine, submission, &event);
    deliver(engine, &event);
}

void engine_double_end(struct engine *engine, uint32_t submission, uint32_t choice,
                       enum finish_reason finish)
{
    struct generation_event event = event_of(engine, submission, choice);
    event.finish = finish;
    note_finish(engine, submission, &event);
    deliver(engine, &event);
}

void engine_double_prompt_token(struct engine *engine, uint32_t submission, uint32_t token,
                                float logprob)
{
    struct generation_event event = event_of(engine, submission, 0);
    event.is_prompt = event.has_token = true;
    event.sampled = (struct sampled){.token = token, .logprob = logprob};
    deliver(engine, &event);
}

void engine_double_keep_promises(struct engine *engine)
{
    for (uint32_t s = 0; s < engine->submission_count; s++) {
        struct submission *submission = &engine->submissions[s];
        uint32_t choices = submission->request.choices;
        for (uint32_t c = 0; c < choices; c++)
            if (submission->open && !submission->finished[c] &&
                (submission->cancelled || (submission->choices_cancelled & 1u << c) != 0))
                engine_double_end(engine, s, c, FINISH_ABORT);
    }
}

void engine_double_text(struct engine *engine, uint32_t submission, uint32_t choice,
                        const char *text)
{
    for (; *text != '\0'; text++)
        engine_double_token(engine, submission, choice, (unsigned char)*text, FINISH_NONE);
}

struct generation_events *engine_receive(struct engine *engine, uint32_t worker)
{
    (void)worker;
    struct generation_events *events = engine->outbox;
    engine->outbox = NULL;
    return events;
}

void engine_stats(const struct engine *engine, struct engine_stats *ret)
{
    *ret = engine->stats;
}

const struct error *engine_failure(const struct engine *engine)
{
    (void)engine;
    return NULL;
}

uint32_t engine_context(const struct engine *engine)
{
    return engine->context;
}
