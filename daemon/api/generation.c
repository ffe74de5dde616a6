/* SPDX-License-Identifier: Apache-2.0 */
/* generation.c -- two lives that end at different times.
 *
 * An exchange wants an answer; the engine works on one generation for each prompt (a part). Either
 * side may end first, and neither may be left with a pointer into the other:
 *
 *     exchange  |--- head ---- chunk ---- chunk -- end|
 *     part 0    |--- queued --- prefill -- t t t t stop|
 *     part 1    |--- queued ------ prefill ---- t t t t t [cancel] ....last event|
 *     struct    |----------------------------------------------------------------| free
 *
 *   - A stop string is found by us, a step after the engine drew the token that completes it: the
 *     choice is finished at once, and what the engine still sends for it is dropped.
 *   - The client goes: call.exchange becomes NULL, every open part is cancelled, and the struct
 *     waits for the engine.
 *   - The engine ends every choice with exactly one event, and a part with `last`. That alone
 *     closes a part. The struct is freed when no part is open, in settle() and nowhere else.
 *
 * Invariant: open_parts counts the parts whose last event has not come; outside
 * generation_receive() and generation_start() every living generation has at least one, or is held,
 * and one with no part open that is not held is answered.
 *
 * Held is an answer whose user was counted but is not on disk yet: power loss must not forget whom
 * we answered. It takes a few milliseconds, beside the first tokens, and only for a user's first
 * request of a day. The policy thread rings our bell.
 *
 * Everything that one wake-up brings for an exchange leaves in one write: events only mark a
 * generation as touched, and after the last of them each is flushed. So 16 choices cost one
 * frame a step, and the first token leaves in the same turn of the loop that brought it. */
#include "daemon/api/generation.h"

#include "base/clock.h"
#include "daemon/api/generation_inner.h"
#include "daemon/api/limiting.h"
#include "policy/policy_tokens.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_US         UINT64_C(1000000)
#define RETRY_AFTER_MAX_S 600u

/* Its tenant's class, or as far behind as it wishes. */
static int32_t class_of(const struct call *call, const struct request *request)
{
    int64_t wanted = call->identity.rules->priority;
    if (request != NULL)
        wanted += request->priority;
    return wanted > INT32_MAX ? INT32_MAX : (int32_t)wanted;
}

static int check_wait(const struct call *call, const struct served_model *model, int32_t priority,
                      struct fault *fault)
{
    uint64_t max_us = (uint64_t)call->live->config->max_wait_ms * 1000;
    uint64_t wait_us = max_us == 0 ? 0 : engine_wait_us(model->engine, priority);
    if (wait_us <= max_us)
        return 0;
    (void)fault_code(fault, 429, "wait_too_long",
                     "It would be some %llu s until the first token, and %llu s are the most that "
                     "this server lets anybody wait",
                     (unsigned long long)(wait_us / SECOND_US),
                     (unsigned long long)(max_us / SECOND_US));
    uint64_t until_s = (wait_us - max_us) / SECOND_US + 1;
    fault->retry_after_s = (uint32_t)(until_s < RETRY_AFTER_MAX_S ? until_s : RETRY_AFTER_MAX_S);
    fault->limited = LIMITED_WAIT;
    return -1;
}

int generation_admission(const struct call *call, const struct served_model *model,
                         const struct request *request, struct fault *fault)
{
    struct error err = {0};
    uint32_t retry_after_s = 1;
    int32_t priority = class_of(call, request);
    if (engine_admission(model->engine, priority, &retry_after_s, &err) == 0)
        return check_wait(call, model, priority, fault);
    (void)fault_from_error(fault, &err);
    fault->retry_after_s = retry_after_s > 0 ? retry_after_s : 1;
    return -1;
}

static void generation_free(struct generation *generation)
{
    uint32_t count = generation->part_count * generation->choices_per_part;
    for (uint32_t i = 0; i < count; i++)
        choice_destroy(&generation->choices[i]);
    stop_set_free(generation->rules.stops);
    text_destroy(&generation->out);
    text_destroy(&generation->head);
    tenant_limits_leave(&generation->lease, generation->used_tokens);
    live_unref(generation->call.live);
    free(generation->choices);
    free(generation->parts);
    free(generation);
}

/* -- Start -- */

/* Prompt and answer must fit the context; nothing is ever cut to fit. *ret: what may be drawn. */
static int check_length(const struct generation_plan *plan, size_t prompt_count, uint32_t *ret,
                        struct fault *fault)
{
    const struct request *request = plan->request;
    uint32_t context = engine_context(plan->model->engine);
    if (prompt_count == 0)
        return fault_set(fault, 400, "prompt", "the prompt has no tokens; at least one is needed");
    bool open_ended = request->max_tokens == UINT32_MAX;
    uint32_t wanted = open_ended || request->max_tokens == 0 ? 1 : request->max_tokens;
    if (prompt_count + wanted > context)
        return fault_code(fault, 400, "context_length_exceeded",
                          "This model's context is %u tokens; the prompt has %zu and %u %s asked "
                          "for, together %zu. Shorten the prompt or lower max_tokens",
                          context, prompt_count, wanted, wanted == 1 ? "is" : "are",
                          prompt_count + wanted);
    uint32_t most = open_ended ? context - (uint32_t)prompt_count : wanted;
    if (request->min_tokens > most)
        return fault_set(fault, 400, "min_tokens", "min_tokens is %u, but only %u fit",
                         request->min_tokens, most);
    *ret = most;
    return 0;
}

/* Who leaves the length open gets what fits: into the context, and into what its tenant may use in
 * a minute. */
static void fit_open_ended(const struct generation_plan *plan, uint32_t *max_tokens)
{
    const struct request *request = plan->request;
    uint64_t answers = (uint64_t)plan->prompt_count * request->choices, prompts = 0;
    uint32_t rate = limiting_rates(plan->call).tokens;
    for (uint32_t i = 0; i < plan->prompt_count; i++)
        prompts += plan->prompts[i].count;
    if (request->max_tokens != UINT32_MAX || prompts + answers > rate)
        return; /* as asked; what is too much is refused with the numbers */
    uint32_t each = (uint32_t)((rate - prompts) / answers);
    if (each < request->min_tokens)
        each = request->min_tokens;
    for (uint32_t i = 0; i < plan->prompt_count; i++)
        if (max_tokens[i] > each)
            max_tokens[i] = each;
}

/* The most that it may come to. */
static uint64_t tokens_of(const struct generation_plan *plan, const uint32_t *max_tokens)
{
    uint64_t tokens = 0;
    for (uint32_t i = 0; i < plan->prompt_count; i++)
        tokens += plan->prompts[i].count + (uint64_t)max_tokens[i] * plan->request->choices;
    return tokens;
}

/* A refusal tells whether somebody was here this month, and costs its asker nothing: whoever asks
 * on and on is told to wait. Who is known passes, however often others were refused. */
static int refuse(const struct call *call, const struct policy_claims *claims,
                  const struct policy_decision *decision, struct fault *fault)
{
    const char *code = decision->refusal.capped ? "user_cap" : "license_threshold";
    uint32_t wait_s =
        refusals_note(&call->api->refusals,
                      claims->api_key != NULL ? claims->api_key : claims->address, call->now_us);
    if (wait_s > 0) {
        (void)fault_code(fault, 429, "refusals_limited",
                         "More than %u requests were refused within a minute; ask again in %u s",
                         REFUSALS_A_MINUTE, wait_s);
        fault->retry_after_s = wait_s;
        return -1;
    }
    (void)fault_code(fault, 403, code, "%s", decision->reason);
    fault->refusal = &decision->refusal;
    return -1;
}

static int admit_user(const struct generation_plan *plan, struct policy_decision *ret,
                      struct fault *fault)
{
    const struct call *call = plan->call;
    struct claims claims;
    if (claims_check(call, fault) < 0)
        return -1;
    claims_read(call, plan->request, &claims);
    policy_admit(call->api->server->policy, plan->model->policy, &claims.policy, plan->now_unix_us,
                 ret);
    return ret->verdict == POLICY_REFUSE ? refuse(call, &claims.policy, ret, fault) : 0;
}

/* Everything that may refuse it; its user is counted last, once nothing else can. */
static int admit(const struct generation_plan *plan, uint32_t *max_tokens,
                 struct tenant_lease *lease, struct policy_decision *ret, struct fault *fault)
{
    for (uint32_t i = 0; i < plan->prompt_count; i++)
        if (check_length(plan, plan->prompts[i].count, &max_tokens[i], fault) < 0)
            return -1;
    fit_open_ended(plan, max_tokens);
    if (limiting_enter(plan->call, tokens_of(plan, max_tokens), lease, fault) < 0)
        return -1;
    if (admit_user(plan, ret, fault) == 0)
        return 0;
    tenant_limits_leave(lease, 0);
    return -1;
}

/* Printable ASCII as it is, all else by percent and two digits, as in a URI: words of a licence may
 * be of any script, and a header's value is not. */
static void write_header_value(const char *text, char ret[GENERATION_ATTRIBUTION_BYTES])
{
    static const char digits[] = "0123456789ABCDEF";
    size_t used = 0;
    for (; *text != '\0' && used + 4 <= GENERATION_ATTRIBUTION_BYTES; text++) {
        unsigned char c = (unsigned char)*text;
        if (c >= ' ' && c < 0x7f && c != '%') {
            ret[used++] = (char)c;
            continue;
        }
        ret[used++] = '%';
        ret[used++] = digits[c >> 4];
        ret[used++] = digits[c & 15];
    }
    ret[used] = '\0';
}

static void write_chunk_head(struct generation *generation)
{
    struct text *head = &generation->head;
    const char *model = generation->model->id;
    text_append_format(
        head, "data: {\"id\":\"%s\",\"object\":\"%s\",\"created\":%lld,\"model\":", generation->id,
        generation->shape->chunk_object, (long long)generation->created_unix);
    text_append_json(head, model, strlen(model));
    text_append_string(head, ",\"system_fingerprint\":null,\"choices\":[");
}

static int allocate_choices(struct generation *generation, const struct generation_plan *plan)
{
    uint32_t each = plan->request->choices, count = plan->prompt_count * each;
    generation->parts = calloc(plan->prompt_count, sizeof *generation->parts);
    generation->choices = calloc(count, sizeof *generation->choices);
    if (generation->parts == NULL || generation->choices == NULL)
        return -1;
    generation->part_count = plan->prompt_count;
    generation->choices_per_part = each;
    generation->running_choices = count;
    for (uint32_t i = 0; i < count; i++) {
        struct choice *choice = &generation->choices[i];
        choice_init(choice, i, &generation->rules);
        if (plan->echoes != NULL)
            choice_add_prompt_text(choice, plan->echoes[i / each].bytes,
                                   plan->echoes[i / each].count);
    }
    for (uint32_t p = 0; p < plan->prompt_count; p++) {
        struct part *part = &generation->parts[p];
        part->generation = generation;
        part->choices = generation->choices + (size_t)p * each;
        detokenizer_init(&part->prompt_detokenizer, generation->rules.tokenizer, true, true);
    }
    return 0;
}

static struct generation *generation_new(const struct generation_plan *plan,
                                         const struct policy_decision *decision)
{
    const struct request *request = plan->request;
    struct generation *generation = calloc(1, sizeof *generation);
    if (generation == NULL)
        return NULL;
    generation->call = *plan->call;
    (void)live_ref(generation->call.live);
    generation->model = plan->model;
    generation->shape = plan->shape;
    generation->stream = request->stream;
    generation->include_usage = request->include_usage || request->continuous_usage;
    generation->continuous_usage = request->continuous_usage;
    generation->prompt_only = request->max_tokens == 0;
    generation->created_unix = plan->now_unix_us / 1000000;
    generation->sequence = decision->sequence;
    generation->identity = decision->identity;
    generation->times.submitted_us = plan->call->now_us;
    write_header_value(decision->attribution, generation->attribution);
    (void)snprintf(generation->id, sizeof generation->id, "%s%016llx%08llx", plan->shape->id_prefix,
                   (unsigned long long)api_random_u64(plan->call->api),
                   (unsigned long long)(api_random_u64(plan->call->api) >> 32));
    generation->rules = (struct choice_rules){
        .tokenizer = model_tokenizer(plan->model->model),
        .min_tokens = request->min_tokens,
        .include_stop_text = request->include_stop_text,
        .skip_special_tokens = request->skip_special_tokens,
        .logprobs = request->sampling.logprobs,
    };
    if (request->stop_count > 0)
        generation->rules.stops = stop_set_new(request->stops, request->stop_count);
    if ((request->stop_count > 0 && generation->rules.stops == NULL) ||
        allocate_choices(generation, plan) < 0) {
        generation_free(generation);
        return NULL;
    }
    write_chunk_head(generation);
    return generation;
}

static int submit_part(struct generation *generation, const struct generation_plan *plan,
                       uint32_t index, uint64_t seed, struct fault *fault)
{
    const struct request *request = plan->request;
    struct part *part = &generation->parts[index];
    const struct call *call = &generation->call;
    struct generation_request wanted = {
        .owner = part,
        .worker = call->api->worker,
        .prompt = plan->prompts[index].ids,
        .prompt_count = (uint32_t)plan->prompts[index].count,
        .max_tokens = part->max_tokens,
        .min_tokens = request->min_tokens,
        .choices = request->choices,
        .ignore_eos = request->ignore_eos,
        .prompt_logprobs = request->echo && request->sampling.logprobs,
        .stop_token_count = request->stop_token_count,
        .sampling = request->sampling,
        .priority = class_of(call, request),
        .tenant = call->identity.tenant_id,
        .tenant_weight = call->identity.rules->weight,
        .cache_salt = auth_cache_salt(&call->identity, request->cache_salt),
    };
    memcpy(wanted.stop_tokens, request->stop_tokens, sizeof wanted.stop_tokens);
    wanted.sampling.seed = seed;
    size_t bias_bytes = request->sampling.bias_count * sizeof *wanted.sampling.bias;
    if (bias_bytes > 0) {
        wanted.sampling.bias = malloc(bias_bytes);
        if (wanted.sampling.bias == NULL)
            return fault_no_memory(fault);
        memcpy(wanted.sampling.bias, request->sampling.bias, bias_bytes);
    }
    struct error err = {0};
    if (engine_submit(generation->model->engine, &wanted, &part->engine_id, &err) < 0) {
        free(wanted.sampling.bias);
        (void)fault_from_error(fault, &err);
        fault->retry_after_s = err.code == ERROR_BUSY || err.code == ERROR_CLOSED ? 1 : 0;
        return -1;
    }
    plan->prompts[index] = (struct token_list){0}; /* the engine's now */
    part->open = true;
    generation->open_parts++;
    return 0;
}

/* Among those that are open: it is looked at by generation_expire(). */
static void list(struct generation *generation)
{
    struct api *api = generation->call.api;
    generation->submitted_us = generation->call.now_us;
    generation->next_open = api->open;
    if (generation->next_open != NULL)
        generation->next_open->previous_open = generation;
    api->open = generation;
    api->open_generations++;
}

static void unlist(struct generation *generation)
{
    struct api *api = generation->call.api;
    if (generation->previous_open != NULL)
        generation->previous_open->next_open = generation->next_open;
    else
        api->open = generation->next_open;
    if (generation->next_open != NULL)
        generation->next_open->previous_open = generation->previous_open;
    api->open_generations--;
}

/* The one place where a generation ends. */
static void settle(struct generation *generation)
{
    if (generation->open_parts > 0)
        return;
    assert(generation->call.exchange == NULL);
    unlist(generation);
    generation_free(generation);
}

static void run(struct generation *generation, const struct generation_plan *plan)
{
    struct call *call = &generation->call;
    const struct request *request = plan->request;
    uint64_t seed = request->has_seed ? request->sampling.seed : api_random_u64(call->api);
    struct fault fault;
    list(generation);
    exchange_set_owner(call->exchange, generation);
    for (uint32_t i = 0; i < plan->prompt_count; i++) {
        if (submit_part(generation, plan, i, seed, &fault) < 0) {
            generation_answer_fault(generation, &fault);
            break;
        }
    }
    settle(generation);
}

void generation_start(const struct generation_plan *plan)
{
    struct fault fault;
    struct policy_decision decision = {0};
    struct tenant_lease lease = {0};
    uint32_t max_tokens[REQUEST_PROMPTS_MAX];
    assert(plan->prompt_count <= REQUEST_PROMPTS_MAX);
    if (admit(plan, max_tokens, &lease, &decision, &fault) < 0) {
        answer_fault(plan->call, &fault, NULL);
        return;
    }
    struct generation *generation = generation_new(plan, &decision);
    if (generation == NULL) {
        tenant_limits_leave(&lease, 0);
        (void)fault_no_memory(&fault);
        answer_fault(plan->call, &fault, NULL);
        return;
    }
    generation->lease = lease;
    for (uint32_t i = 0; i < plan->prompt_count; i++)
        generation->parts[i].max_tokens = max_tokens[i];
    plan->call->exchange = NULL; /* the generation's now */
    run(generation, plan);
}

/* -- Events -- */

static void on_prompt_token(struct part *part, const struct generation_event *event)
{
    struct generation *generation = part->generation;
    if (!event->has_token || generation->call.exchange == NULL)
        return;
    for (uint32_t i = 0; i < generation->choices_per_part; i++)
        choice_add_prompt_token(&part->choices[i], &event->sampled, part->prompt_characters);
    generation->kept_bytes += generation->choices_per_part * sizeof(struct logprob_entry);
    struct text piece;
    text_init(&piece);
    detokenizer_push(&part->prompt_detokenizer, event->sampled.token, &piece);
    for (size_t i = 0; i < piece.count; i++)
        part->prompt_characters += ((unsigned char)piece.bytes[i] & 0xc0) != 0x80;
    text_destroy(&piece);
}

static void note_latency(struct generation *generation, struct choice *choice)
{
    const struct call *call = &generation->call;
    struct metrics *metrics = call->api->server->metrics;
    uint32_t model = (uint32_t)(generation->model - call->api->server->models);
    if (choice->last_token_us != 0) {
        metrics_next_token(metrics, model, call->now_us - choice->last_token_us);
    } else {
        uint64_t ttft_us = call->now_us - call->started_us;
        metrics_first_token(metrics, model, ttft_us);
        if (generation->ttft_us == 0)
            generation->ttft_us = ttft_us > 0 ? ttft_us : 1;
    }
    choice->last_token_us = call->now_us;
}

static void finish_choice(struct generation *generation, struct choice *choice,
                          enum finish_reason finish)
{
    assert(choice->finish == FINISH_NONE);
    assert(generation->running_choices > 0);
    choice->finish = finish;
    generation->running_choices--;
}

static void on_token(struct part *part, struct choice *choice, const struct generation_event *event)
{
    struct generation *generation = part->generation;
    choice->output_tokens = event->output_tokens;
    note_latency(generation, choice);
    bool end_token = event->finish == FINISH_STOP && !generation->rules.include_stop_text;
    if (generation->call.exchange == NULL || end_token)
        return;
    size_t before = choice->text.count;
    bool stopped = choice_add_token(choice, &generation->rules, &event->sampled);
    if (choice->text.count > before)
        generation->kept_bytes += choice->text.count - before;
    if (generation->rules.logprobs)
        generation->kept_bytes += sizeof(struct logprob_entry);
    if (!stopped)
        return;
    finish_choice(generation, choice, FINISH_STOP);
    if (event->finish == FINISH_NONE)
        engine_cancel_choice(generation->model->engine, part->engine_id, event->choice);
}

/* What the engine says of a part when it is over, and what we know better: our own stops. */
static void note_end(const struct part *part, const struct generation_event *event)
{
    struct generation *generation = part->generation;
    const struct server *server = generation->call.api->server;
    struct generation_record record = {
        .prompt_tokens = part->prompt_tokens,
        .cached_tokens = part->cached_tokens,
        .max_tokens = part->max_tokens,
        .choices = generation->choices_per_part,
        .finish = FINISH_STOP,
        .times = event->times,
    };
    for (uint32_t i = 0; i < generation->choices_per_part; i++) {
        record.output_tokens += part->choices[i].output_tokens;
        if (part->choices[i].output_tokens > record.longest_choice_tokens)
            record.longest_choice_tokens = part->choices[i].output_tokens;
        if (part->choices[i].finish > record.finish) /* in order of how badly it ended */
            record.finish = part->choices[i].finish;
    }
    generation->used_tokens += record.output_tokens;
    if (event->times.scheduled_us != 0) /* else no token of its prompt was computed */
        generation->used_tokens += record.prompt_tokens;
    metrics_generation(server->metrics, (uint32_t)(generation->model - server->models), &record);
    const struct policy_tokens_use use = {
        .tenant = generation->call.identity.tenant,
        .worker = generation->call.api->worker,
        .counts = {.requests = generation->open_parts == 1, /* with the last of its parts */
                   .prompt = record.prompt_tokens,
                   .cached = record.cached_tokens,
                   .generated = record.output_tokens}};
    policy_tokens_add(server->policy, generation->model->policy, &use);
}

static_assert(FINISH_STOP < FINISH_LENGTH && FINISH_LENGTH < FINISH_ABORT &&
                  FINISH_ABORT < FINISH_ERROR && FINISH_ERROR < FINISH_NAN &&
                  FINISH_NAN < FINISH_LOST,
              "note_end() takes the worst by number");

static void take_earliest(uint64_t *at, uint64_t other)
{
    if (other != 0 && (*at == 0 || other < *at))
        *at = other;
}

static void take_times(struct generation *generation, const struct generation_times *part)
{
    struct generation_times *times = &generation->times;
    take_earliest(&times->scheduled_us, part->scheduled_us);
    take_earliest(&times->first_token_us, part->first_token_us);
    if (part->finished_us > times->finished_us)
        times->finished_us = part->finished_us;
}

static void on_event(struct part *part, const struct generation_event *event)
{
    struct generation *generation = part->generation;
    assert(part->open);
    assert(event->choice < generation->choices_per_part);
    struct choice *choice = &part->choices[event->choice];
    part->prompt_tokens = event->prompt_tokens;
    part->cached_tokens = event->cached_tokens;
    generation->answering |= event->has_token && !event->is_prompt;
    take_times(generation, &event->times);
    if (event->is_prompt)
        on_prompt_token(part, event);
    else if (event->has_token && choice->finish == FINISH_NONE && !generation->prompt_only)
        on_token(part, choice, event);
    if (event->finish != FINISH_NONE && choice->finish == FINISH_NONE) {
        choice_end(choice);
        finish_choice(generation, choice, event->finish);
    }
    if (event->last) {
        note_end(part, event);
        part->open = false;
        generation->open_parts--;
    }
}

static void touch(struct api *api, struct generation *generation, uint64_t now_us)
{
    generation->call.now_us = now_us;
    if (generation->touched)
        return;
    generation->touched = true;
    generation->next_touched = api->touched;
    api->touched = generation;
}

static void take_events(struct api *api, struct engine *engine, uint64_t now_us)
{
    struct generation_events *events = engine_receive(engine, api->worker);
    while (events != NULL) {
        struct generation_events *next = events->next;
        for (uint32_t i = 0; i < events->count; i++) {
            struct part *part = events->events[i].owner;
            touch(api, part->generation, now_us);
            on_event(part, &events->events[i]);
        }
        free(events);
        events = next;
    }
}

/* -- Answers that wait until their user is on disk -- */

static bool may_begin(struct generation *generation)
{
    const struct call *call = &generation->call;
    if (generation->sequence == 0 || call->exchange == NULL ||
        policy_durable(call->api->server->policy, generation->sequence))
        generation->sequence = 0;
    return generation->sequence == 0;
}

/* Whether the answer must wait. The server's count goes up before the policy is asked once more:
 * either we see that it is on disk now, or the policy thread sees that somebody waits. */
static bool hold(struct generation *generation)
{
    struct api *api = generation->call.api;
    if (generation->held)
        return true;
    if (may_begin(generation))
        return false;
    (void)atomic_fetch_add(&api->server->held, 1);
    if (may_begin(generation)) {
        (void)atomic_fetch_sub(&api->server->held, 1);
        return false;
    }
    generation->held = true;
    generation->next_held = api->held;
    api->held = generation;
    return true;
}

static void let_go(struct generation *generation, struct generation **at)
{
    assert(*at == generation);
    *at = generation->next_held;
    generation->held = false;
    (void)atomic_fetch_sub(&generation->call.api->server->held, 1);
}

static void let_go_durable(struct api *api, uint64_t now_us)
{
    struct generation **at = &api->held;
    while (*at != NULL) {
        struct generation *generation = *at;
        if (may_begin(generation)) {
            let_go(generation, at);
            touch(api, generation, now_us);
        } else {
            at = &generation->next_held;
        }
    }
}

void generation_receive(struct api *api, uint64_t now_us)
{
    for (uint32_t i = 0; i < api->server->model_count; i++) {
        const struct served_model *model = server_model(api->server, i);
        if (model != NULL)
            take_events(api, model->engine, now_us);
    }
    let_go_durable(api, now_us);
    while (api->touched != NULL) {
        struct generation *generation = api->touched;
        api->touched = generation->next_touched;
        generation->touched = false;
        if (hold(generation))
            continue;
        generation_flush(generation);
        settle(generation);
    }
}

/* Whether it has waited too long, and for what. */
static bool find_lateness(const struct generation *generation, uint64_t now_us, struct fault *fault)
{
    const struct config *config = generation->call.live->config;
    uint64_t token_us = (uint64_t)config->first_token_timeout_ms * 1000;
    uint64_t request_us = (uint64_t)config->request_timeout_ms * 1000;
    if (request_us > 0 && now_us - generation->call.started_us >= request_us) {
        (void)fault_code(fault, 504, "request_timeout",
                         "The answer was not complete within %u ms of the request, which is the "
                         "limit; ask for less",
                         config->request_timeout_ms);
        fault->limited = LIMITED_REQUEST_TIME;
        return true;
    }
    if (token_us == 0 || generation->answering || now_us - generation->submitted_us < token_us)
        return false;
    (void)fault_code(fault, 503, "first_token_timeout",
                     "No token came within %u ms, which is the limit; the server is overloaded, or "
                     "the prompt too long for it",
                     config->first_token_timeout_ms);
    fault->retry_after_s = 1;
    fault->limited = LIMITED_FIRST_TOKEN;
    return true;
}

/* It is told; generation_receive() frees it, after the engine's last word. */
void generation_expire(struct api *api, uint64_t now_us)
{
    struct fault fault;
    for (struct generation *each = api->open; each != NULL; each = each->next_open) {
        if (each->call.exchange == NULL || !find_lateness(each, now_us, &fault))
            continue;
        each->call.now_us = now_us;
        generation_answer_fault(each, &fault);
    }
}

void generation_cancel(struct generation *generation)
{
    for (uint32_t i = 0; i < generation->part_count; i++)
        if (generation->parts[i].open)
            engine_cancel(generation->model->engine, generation->parts[i].engine_id);
}

void generation_gone(struct generation *generation, uint64_t now_us)
{
    generation->call.now_us = now_us;
    struct answer_record record = generation_record_of(generation);
    answer_gone(&generation->call, &record);
    generation_cancel(generation);
    if (!generation->held)
        return;
    struct generation **at = &generation->call.api->held;
    while (*at != generation)
        at = &(*at)->next_held;
    let_go(generation, at);
    settle(generation); /* the engine may be done with it, and nothing would bring us here again */
}
