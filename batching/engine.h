/* SPDX-License-Identifier: Apache-2.0 */
/* engine.h -- one model, one thread, many sequences: continuous batching.
 *
 * The thread loops: take mail, plan, run, sample, deliver. A worker talks to it through two
 * rings and never waits: engine_submit() and engine_cancel() put mail in, and events come back in
 * the worker's outbox, one wake-up a worker a step.
 *
 * Life of a generation: after engine_submit() returned 0 the engine owns the request's arrays,
 * and for every choice there is exactly one event with `finish` set, whatever happens: the end,
 * a limit, engine_cancel(), an error, engine_stop(). `owner` is handed back in each event and is
 * not freed by the worker before the last of them. */
#ifndef WEIR_BATCHING_ENGINE_H
#define WEIR_BATCHING_ENGINE_H

#include "base/error.h"
#include "batching/kv_cache.h"
#include "batching/sampler.h"
#include "models/model.h"

#include <stdbool.h>
#include <stdint.h>

#define ENGINE_CHOICES_MAX     16u
#define ENGINE_STOP_TOKENS_MAX 16u

struct engine;

enum finish_reason {
    FINISH_NONE,   /* more tokens follow */
    FINISH_STOP,   /* an end or stop token */
    FINISH_LENGTH, /* max_tokens or the context */
    FINISH_ABORT,  /* cancelled, or the engine stopped */
    FINISH_ERROR,  /* the step failed */
    FINISH_NAN,    /* none of the logits was finite */
    FINISH_LOST,   /* the device failed, for good */
};

/* What a worker asks for. Arrays are malloc'ed; on success the engine takes them. */
struct generation_request {
    void *owner;     /* handed back in events */
    uint32_t worker; /* whose outbox */
    uint32_t *prompt;
    uint32_t prompt_count; /* 1..context - 1 */
    uint32_t max_tokens;   /* 1.., prompt_count + max_tokens <= context */
    uint32_t min_tokens;
    uint32_t choices; /* n: 1..ENGINE_CHOICES_MAX */
    bool ignore_eos;
    bool prompt_logprobs; /* echo with logprobs: an event a prompt token, before the first */
    uint32_t stop_tokens[ENGINE_STOP_TOKENS_MAX]; /* besides the model's own end tokens */
    uint32_t stop_token_count;
    struct sampling sampling; /* bias is malloc'ed, taken with the rest */
    int32_t priority;         /* lower runs first, as vLLM's */
    uint64_t tenant;          /* fairness, and the salt of the prefix cache */
    float tenant_weight;      /* > 0; share of the machine */
    uint64_t cache_salt;
};

/* Steps of one generation's life, monotonic microseconds; 0 until it happened. */
struct generation_times {
    uint64_t submitted_us, scheduled_us, first_token_us, finished_us;
};

struct generation_event {
    void *owner;
    uint32_t choice;
    /* A prompt token's log-probabilities (prompt_logprobs). They come in order, each once, before
     * any choice's first token; the first has none (NAN). choice is 0, though the events belong to
     * the generation: they go on if only choice 0 is cancelled. */
    bool is_prompt;
    /* False in an event that only ends the choice. The end or stop token itself comes with
     * has_token and FINISH_STOP, and counts in output_tokens; printing it is the worker's. */
    bool has_token;
    struct sampled sampled;
    enum finish_reason finish;
    bool last; /* the generation's last event: every choice has finished */
    uint32_t prompt_tokens, cached_tokens, output_tokens; /* of this choice so far */
    uint32_t preemptions;
    struct generation_times times;
};

/* What arrived for one worker from one step. */
struct generation_events {
    struct generation_events *next; /* older first */
    uint32_t count;
    struct generation_event events[];
};

struct engine_config {
    struct model *model; /* borrowed; the engine thread's while the engine lives */
    uint32_t number;     /* in the thread's name */
    uint32_t workers;    /* outboxes */
    uint32_t kv_blocks;  /* 0: from kv_memory_bytes */
    size_t kv_memory_bytes;
    uint32_t context;          /* tokens a sequence may have; at most the model's */
    uint32_t max_step_tokens;  /* budget of rows a step */
    uint32_t max_sequences;    /* running at once */
    uint32_t max_queue;        /* generations waiting; beyond, ERROR_BUSY */
    uint32_t max_queue_tokens; /* prompt tokens waiting */
    bool prefix_cache;
    bool share_prefixes; /* across tenants: prefix_sharing: all */
    /* Called on the engine thread after a step that left events for `worker`: must only wake it. */
    void (*wake)(void *wake_argument, uint32_t worker);
    void *wake_argument;
};

/* What its steps stay within: what device memory it needs is known before it starts. */
struct model_limits engine_limits(const struct engine_config *config, uint32_t blocks);
/* Reserves device memory and starts the thread. NULL and err on failure. */
struct engine *engine_start(const struct engine_config *config, struct error *err);
/* Aborts everything, delivers the last events, joins the thread. Then outboxes may be emptied,
 * then engine_free(). */
void engine_stop(struct engine *engine);
/* The same, but not past a moment of clock_unix_us(): false when its step has not ended by then;
 * it stops as soon as that does. */
bool engine_stop_until(struct engine *engine, int64_t end_unix_us);
void engine_free(struct engine *engine); /* NULL is fine; after engine_stop() */

/* Any worker. Whether a generation of that class would be taken now: the cheap question before
 * JSON is read and text tokenised. 0, or ERROR_BUSY with *ret_retry_after_s, or ERROR_CLOSED when
 * stopping. */
int engine_admission(const struct engine *engine, int32_t priority, uint32_t *ret_retry_after_s,
                     struct error *err);

/* Any worker. How long a generation of that class that came now would wait for its first token,
 * estimated: see pace.h. */
uint64_t engine_wait_us(const struct engine *engine, int32_t priority);

/* Any worker. 0: request's arrays are the engine's now, and request->owner will get events; the id
 * names it for engine_cancel(). ERROR_BUSY: queue full; ERROR_INVALID: out of range;
 * ERROR_CLOSED: stopping. On failure the caller keeps everything. */
int engine_submit(struct engine *engine, const struct generation_request *request, uint64_t *ret_id,
                  struct error *err);
/* Any worker. The generation's blocks are free before the next step runs. Unknown or finished ids
 * are ignored: the end may be on its way. Never fails: each submission brings its room. */
void engine_cancel(struct engine *engine, uint64_t id);
/* The same for one choice: its stop string was found in the text. It ends with FINISH_ABORT. */
void engine_cancel_choice(struct engine *engine, uint64_t id, uint32_t choice);

/* The worker's own thread. All that has arrived, oldest first, or NULL; the caller frees each. */
struct generation_events *engine_receive(struct engine *engine, uint32_t worker);

/* Any thread: a snapshot, written by the engine thread after each step. */
struct engine_stats {
    uint32_t running, waiting, waiting_tokens;
    struct kv_cache_stats kv;
    uint64_t steps, steps_failed, step_rows, preemptions;
    uint64_t prefix_queries, prefix_hits; /* tokens */
    uint64_t prompt_tokens_computed, prompt_tokens_cached, generated_tokens;
    uint64_t device_draws;     /* of generated_tokens, those that the device drew */
    uint64_t steps_ahead;      /* of steps, those that began while the one before was under way */
    uint64_t last_progress_us; /* monotonic: a step began or ended, a layer ended, or idle loop */
    bool busy;                 /* a step is running or due */
    /* rows a step: vllm:iteration_tokens_total's buckets 1,8,16,32,64,...,16384,+Inf */
    uint64_t iteration_rows[14];
};
void engine_stats(const struct engine *engine, struct engine_stats *ret);
/* Any thread. Why the engine takes and computes nothing any more, its device lost; NULL while it
 * lives. */
const struct error *engine_failure(const struct engine *engine);
uint32_t engine_context(const struct engine *engine); /* tokens a sequence may have */

#endif
