/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/batching/client.h"

#include "tests/unit/batching/fake_model.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static void on_wake(void *wake_argument, uint32_t worker)
{
    struct client *client = wake_argument;
    assert(worker == 0);
    pthread_mutex_lock(&client->lock);
    client->wakes++;
    pthread_cond_signal(&client->woken);
    pthread_mutex_unlock(&client->lock);
}

void client_start(struct client *client, struct engine_config config)
{
    *client = (struct client){0};
    pthread_mutex_init(&client->lock, NULL);
    pthread_cond_init(&client->woken, NULL);
    config.context = config.context > 0 ? config.context : 512;
    config.workers = 1;
    config.kv_blocks = config.kv_blocks > 0 ? config.kv_blocks : 1024;
    config.max_step_tokens = config.max_step_tokens > 0 ? config.max_step_tokens : 256;
    config.max_sequences = config.max_sequences > 0 ? config.max_sequences : 64;
    config.max_queue = config.max_queue > 0 ? config.max_queue : 256;
    config.max_queue_tokens = config.max_queue_tokens > 0 ? config.max_queue_tokens : 1u << 20;
    config.wake = on_wake;
    config.wake_argument = client;
    client->model = fake_model_new(config.context);
    config.model = client->model;
    struct error err = {0};
    client->engine = engine_start(&config, &err);
    assert(client->engine != NULL);
}

void client_stop(struct client *client)
{
    engine_stop(client->engine);
    client_poll(client);
    struct engine_stats stats;
    engine_stats(client->engine, &stats);
    assert(stats.kv.referenced_count == 0);
    assert(stats.running == 0);
    assert(stats.waiting == 0);
    assert(stats.waiting_tokens == 0);
    engine_free(client->engine);
    fake_model_free(client->model);
    pthread_cond_destroy(&client->woken);
    pthread_mutex_destroy(&client->lock);
}

void client_prompt(uint32_t prompt_seed, uint32_t *tokens, uint32_t count)
{
    uint64_t random = prompt_seed * 2862933555777941757u + 3037000493u;
    for (uint32_t i = 0; i < count; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        tokens[i] = (uint32_t)(random >> 33) % FAKE_VOCABULARY;
    }
}

struct generation_request client_request(uint32_t prompt_seed, uint32_t prompt_count,
                                         uint32_t max_tokens)
{
    struct generation_request request = {
        .prompt = malloc(prompt_count * sizeof(uint32_t)),
        .prompt_count = prompt_count,
        .max_tokens = max_tokens,
        .choices = 1,
        .ignore_eos = true,
        .sampling = {.temperature = 0.0f, .top_p = 1.0f, .repetition_penalty = 1.0f},
        .tenant = 1,
        .tenant_weight = 1.0f,
    };
    assert(request.prompt != NULL);
    client_prompt(prompt_seed, request.prompt, prompt_count);
    return request;
}

int client_submit(struct client *client, const struct generation_request *request,
                  struct collected *collected)
{
    *collected = (struct collected){.request = *request};
    collected->request.owner = collected;
    int code = engine_submit(client->engine, &collected->request, &collected->id, NULL);
    collected->submitted = code == 0;
    if (code != 0) {
        free(request->prompt);
        free(request->sampling.bias);
    }
    return code;
}

static void take_prompt_event(struct collected *collected, const struct generation_event *event)
{
    assert(event->choice == 0 && event->has_token && event->finish == FINISH_NONE);
    assert(collected->choices[0].count == 0);
    assert(collected->prompt_count < collected->request.prompt_count);
    collected->prompt_logprobs[collected->prompt_count] = event->sampled.logprob;
    collected->prompt_tokens[collected->prompt_count++] = event->sampled.token;
}

static void take_event(const struct generation_event *event)
{
    struct collected *collected = event->owner;
    assert(collected->submitted && !collected->done);
    assert(event->choice < collected->request.choices);
    assert(event->prompt_tokens == collected->request.prompt_count);
    if (event->is_prompt) {
        take_prompt_event(collected, event);
        return;
    }
    struct collected_choice *choice = &collected->choices[event->choice];
    assert(choice->finish == FINISH_NONE); /* nothing comes after the end */
    if (event->has_token) {
        assert(choice->count < CLIENT_TOKENS_MAX);
        if (choice->count == 0)
            choice->first = event->sampled;
        choice->tokens[choice->count++] = event->sampled.token;
    } else {
        assert(event->finish >= FINISH_ABORT);
    }
    assert(event->output_tokens == choice->count);
    choice->finish = event->finish;
    choice->cached_tokens = event->cached_tokens;
    choice->preemptions = event->preemptions;
    collected->times = event->times;
    uint32_t finished = 0;
    for (uint32_t i = 0; i < collected->request.choices; i++)
        finished += collected->choices[i].finish != FINISH_NONE;
    assert(event->last == (finished == collected->request.choices));
    collected->done = event->last;
}

void client_poll(struct client *client)
{
    struct generation_events *batch = engine_receive(client->engine, 0);
    while (batch != NULL) {
        struct generation_events *next = batch->next;
        for (uint32_t i = 0; i < batch->count; i++, client->events++)
            take_event(&batch->events[i]);
        free(batch);
        batch = next;
    }
}

static void await_wake(struct client *client)
{
    pthread_mutex_lock(&client->lock);
    while (client->wakes == client->wakes_seen)
        pthread_cond_wait(&client->woken, &client->lock);
    client->wakes_seen = client->wakes;
    pthread_mutex_unlock(&client->lock);
    client_poll(client);
}

void client_await(struct client *client, const struct collected *collected)
{
    while (!collected->done)
        await_wake(client);
}

void client_await_tokens(struct client *client, const struct collected *collected, uint32_t count)
{
    while (!collected->done && collected->choices[0].count < count)
        await_wake(client);
}

struct collected *client_collected_new(uint32_t count)
{
    struct collected *collected = calloc(count, sizeof *collected);
    assert(collected != NULL);
    return collected;
}

void client_expect_greedy(const struct collected *collected, uint32_t choice, uint32_t prompt_seed)
{
    uint32_t tokens[2 * CLIENT_TOKENS_MAX];
    uint32_t count = collected->request.prompt_count;
    client_prompt(prompt_seed, tokens, count);
    const struct collected_choice *got = &collected->choices[choice];
    for (uint32_t i = 0; i < got->count; i++, count++) {
        tokens[count] = fake_model_greedy(tokens, count);
        assert(got->tokens[i] == tokens[count]);
    }
}
