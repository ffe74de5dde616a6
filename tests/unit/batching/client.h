/* SPDX-License-Identifier: Apache-2.0 */
/* client.h -- a worker for tests: submits to an engine and collects what comes, with every rule of
 * the events asserted as they arrive. */
#ifndef WEIR_TESTS_CLIENT_H
#define WEIR_TESTS_CLIENT_H

#include "batching/engine.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define CLIENT_TOKENS_MAX 512u

struct collected_choice {
    uint32_t tokens[CLIENT_TOKENS_MAX];
    uint32_t count;
    enum finish_reason finish;
    uint32_t cached_tokens, preemptions;
    struct sampled first;
};

/* One generation: the owner of its events. */
struct collected {
    struct generation_request request; /* as asked for; arrays are the engine's */
    uint64_t id;
    bool submitted, done;
    struct collected_choice choices[ENGINE_CHOICES_MAX];
    uint32_t prompt_tokens[CLIENT_TOKENS_MAX];
    float prompt_logprobs[CLIENT_TOKENS_MAX];
    uint32_t prompt_count;
    struct generation_times times;
};

struct client {
    struct model *model;
    struct engine *engine;
    uint32_t events;
    pthread_mutex_t lock;
    pthread_cond_t woken;
    uint64_t wakes; /* guarded by lock */
    uint64_t wakes_seen;
};

/* Fills what the config leaves 0, makes model and engine. */
void client_start(struct client *client, struct engine_config config);
/* Stops the engine, collects the rest, checks that no block is referenced, frees. */
void client_stop(struct client *client);

/* A request for `max_tokens` tokens after `prompt_count` tokens made from `prompt_seed`: prompts
 * of one seed are prefixes of each other. Greedy, never ended by an end token. */
struct generation_request client_request(uint32_t prompt_seed, uint32_t prompt_count,
                                         uint32_t max_tokens);
void client_prompt(uint32_t prompt_seed, uint32_t *tokens, uint32_t count);
/* engine_submit()'s code; 0 fills collected. On failure the arrays are freed. */
int client_submit(struct client *client, const struct generation_request *request,
                  struct collected *collected);
/* Takes what has arrived. */
void client_poll(struct client *client);
/* Until the generation is done. */
void client_await(struct client *client, const struct collected *collected);
/* Until it has so many tokens of choice 0, or is done. */
void client_await_tokens(struct client *client, const struct collected *collected, uint32_t count);

/* Room for so many, to free(). */
struct collected *client_collected_new(uint32_t count);
/* What the model says after the prompt, token by token, without any engine. */
void client_expect_greedy(const struct collected *collected, uint32_t choice, uint32_t prompt_seed);

#endif
