/* SPDX-License-Identifier: Apache-2.0 */
/* doubles.h -- what stands in for the protocol, the engine and the model in tests of daemon/api.
 *
 * A double defines every function of the face it stands in for, so that the linker never needs the
 * real one. All of it is reached through one struct world, made anew for each test. */
#ifndef WEIR_TESTS_UNIT_API_DOUBLES_H
#define WEIR_TESTS_UNIT_API_DOUBLES_H

#include "base/text.h"
#include "daemon/api/api.h"
#include "daemon/api/auth.h"
#include "daemon/config.h"
#include "daemon/server.h"
#include "policy/license/assessment.h"
#include "policy/policy_users.h"
#include "policy/tokens_store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* -- The protocol -- */

#define DOUBLE_HEADERS_MAX 24

struct exchange {
    const char *method, *path, *client;
    const char *query;                   /* NULL: none */
    const struct tls_client *tls_client; /* NULL for none */
    struct http_header request[DOUBLE_HEADERS_MAX];
    size_t request_count;
    const char *body;
    size_t body_count;
    uint64_t started_us;
    enum http_version version;
    unsigned door;
    void *owner;
    /* the answer */
    uint32_t status;
    uint32_t refusal;    /* the protocol's own, of a request that goes */
    struct text headers; /* "name: value\n" a line */
    struct text bytes;   /* whole or streamed */
    uint32_t writes;
    size_t waiting; /* what exchange_stream_write() says */
    bool streaming, complete, aborted;
};

void exchange_double_init(struct exchange *exchange, const char *method, const char *path);
void exchange_double_header(struct exchange *exchange, const char *name, const char *value);
void exchange_double_destroy(struct exchange *exchange);
/* on_headers, then on_request when it was not answered. */
void exchange_double_ask(struct api *api, struct exchange *exchange, const char *json);
void exchange_double_go(struct api *api, struct exchange *exchange);

/* -- The engine -- */

#define DOUBLE_SUBMISSIONS_MAX 8

struct submission {
    struct generation_request request; /* arrays are ours now */
    bool open, cancelled;
    uint32_t choices_cancelled;
    uint32_t running; /* choices without a finish */
    uint32_t outputs[ENGINE_CHOICES_MAX];
    bool finished[ENGINE_CHOICES_MAX];
};

struct engine {
    uint32_t context;
    int admission; /* what engine_admission() answers */
    uint32_t retry_after_s;
    uint64_t wait_us;
    int32_t wait_class;    /* who is in a better one does not wait */
    uint32_t submit_limit; /* submissions before ERROR_BUSY */
    struct submission submissions[DOUBLE_SUBMISSIONS_MAX];
    uint32_t submission_count;
    struct generation_events *outbox; /* newest last */
    struct engine_stats stats;
};

/* The engine drew a token for a choice; finish may be FINISH_NONE. `engine_double_end()` ends a
 * choice without one. Delivered by the next api_wake(). */
void engine_double_token(struct engine *engine, uint32_t submission, uint32_t choice,
                         uint32_t token, enum finish_reason finish);
void engine_double_end(struct engine *engine, uint32_t submission, uint32_t choice,
                       enum finish_reason finish);
void engine_double_prompt_token(struct engine *engine, uint32_t submission, uint32_t token,
                                float logprob);
/* Ends every choice that was cancelled, as the engine owes it. */
void engine_double_keep_promises(struct engine *engine);
/* A token for each byte of text, an event each. */
void engine_double_text(struct engine *engine, uint32_t submission, uint32_t choice,
                        const char *text);

/* -- The model: a token a byte, and a few besides -- */

enum double_token {
    TOKEN_BOS = 256, /* "<s>", special */
    TOKEN_EOS = 257, /* "</s>", special, ends */
    TOKEN_HELLO,     /* "Hello" */
    TOKEN_WORLD,     /* " world" */
    TOKEN_ST,        /* "ST" */
    TOKEN_OP,        /* "OP!" */
    TOKEN_DOUBLE_COUNT
};

/* -- Policy, metrics, time -- */

struct policy {
    enum policy_verdict verdict;
    const char *attribution;
    bool capped;
    uint32_t admissions;
    char user[64], header[64], tenant[64], address[64]; /* of the last claims, "" for NULL */
    uint64_t sequence, durable;                         /* of decisions; what is on disk */
    struct token_counts tokens;                         /* of all that ended */
    /* feeds: pieces of the next one, what is open, steps of all; how the next one fails */
    uint32_t feed_pieces, feeds_open, feed_steps;
    int feed_error;
    enum identity_class feed_class;
};

struct policy_model {
    struct recognition recognition;
    struct license_condition source;
    struct assessed_condition condition;
    struct assessment assessment;
};

struct metrics {
    uint32_t first_tokens, next_tokens, generations, answers, tenant_answers;
    uint32_t limited[LIMITED_COUNT];
    uint32_t keys_refused[AUTH_OUTCOME_COUNT];
    enum http_route route;
    uint32_t status;
    struct generation_record record;
};

#define DOUBLE_NOW_US 5000000u /* the monotonic clock stands still */

/* -- All of it together -- */

struct world {
    struct config config;
    struct config_api_key keys[2];
    struct config_admin_key admin;
    struct engine engine;
    struct policy policy;
    struct metrics metrics;
    struct policy_model licenses[2]; /* of the model, and of the refused one */
    struct served_model models[3];
    struct server server;
    struct api *api;
    struct exchange exchange;
};

/* One model "tiny" with a context of 64 tokens, under "free-1"; another, "org/barred", is refused
 * by "bar-1"; a third, "late", did not load yet, and is there where model_count is 3. with_keys:
 * "sk-one" of tenant "a" and "sk-two" of tenant "b" are needed. */
void world_init(struct world *world, bool with_keys);
/* Opens the admin door to "sk-admin-0123456789", named "ops". */
void world_open_admin(struct world *world);
/* Fails the test when a generation is still open. */
/* A new api, by the config as it is now. */
void world_renew(struct world *world);
void world_destroy(struct world *world);
/* Asks with a fresh exchange. */
void world_post(struct world *world, const char *path, const char *json);
void world_get(struct world *world, const char *path);
/* Whether the answer's body, ids and times of making replaced by '*', is as expected. */
void world_expect_body(struct world *world, const char *expected);

#endif
