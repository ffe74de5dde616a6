/* SPDX-License-Identifier: Apache-2.0 */
/* router.c -- what can be said before a body is read is said before a body is read.
 *
 * on_headers answers every GET but those that are answered later (ROUTE_KEPT), and of POST all that
 * the head alone decides: no such path, wrong method, no key, wrong content type, queue full, more
 * than its tenant may ask. The last two are the point: under overload a refusal must cost less than
 * an answer, so no byte of JSON is parsed and nothing is tokenised for it. on_request then finds a
 * body whose head was in order.
 * Nothing is kept between the two callbacks: finding the route and the key again is cheaper than an
 * allocation. What a request costs its tenant is charged in the first of them alone.
 *
 * What belongs inside (ROUTE_INSIDE) is at admin doors alone, once there is one, and what does not
 * is not there: by exchange_door(), and nothing else.
 *
 * Every route names the scope that a key must have for it: what the table does not open is shut.
 * Where no key is for admin or usage the paths of those are unknown ones, word for word: 403 would
 * tell a stranger that they are there, and which version of weir has them. */
#include "daemon/api/router.h"

#include "base/clock.h"
#include "daemon/api/answer.h"
#include "daemon/api/generation.h"
#include "daemon/api/handlers.h"
#include "daemon/api/limiting.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#define MEMORY_RETRY_AFTER_S 2u

enum route_flags {
    ROUTE_PREFIX = 1,    /* the path goes on behind */
    ROUTE_GENERATES = 2, /* asks the engine for admission */
    ROUTE_INSIDE = 4,    /* at admin doors; all others at public ones ... */
    ROUTE_ANYWHERE = 8,  /* ... but for these: at both */
    ROUTE_KEPT = 16,     /* a GET that is answered later: once the request is whole */
};

#define OPEN      0u /* answers without a key */
#define INFERENCE SCOPE_INFERENCE
#define USAGE     SCOPE_USAGE
#define ADMIN     SCOPE_ADMIN

struct route {
    const char *path;
    const char *method; /* "GET" (HEAD too) or "POST" */
    enum http_route id;
    unsigned scope; /* one bit of enum access_scope, or OPEN */
    unsigned flags;
    void (*answer)(struct call *call);
};

static const struct route routes[] = {
    {"/v1/chat/completions", "POST", ROUTE_CHAT, INFERENCE, ROUTE_GENERATES, chat_answer},
    {"/v1/completions", "POST", ROUTE_COMPLETIONS, INFERENCE, ROUTE_GENERATES, completions_answer},
    {"/v1/models", "GET", ROUTE_MODELS, INFERENCE, 0, models_answer_list},
    {"/v1/models/", "GET", ROUTE_MODELS, INFERENCE, ROUTE_PREFIX, models_answer_one},
    {"/tokenize", "POST", ROUTE_TOKENIZE, INFERENCE, 0, tokenize_answer},
    {"/detokenize", "POST", ROUTE_DETOKENIZE, INFERENCE, 0, detokenize_answer},
    {"/admin/v1/users", "POST", ROUTE_ADMIN_USERS, ADMIN, ROUTE_INSIDE, admin_users_answer},
    {"/admin/v1/usage", "GET", ROUTE_ADMIN_USAGE, USAGE, ROUTE_INSIDE, admin_usage_answer},
    {"/admin/v1/profile/cpu", "GET", ROUTE_ADMIN_PROFILE_CPU, ADMIN, ROUTE_INSIDE | ROUTE_KEPT,
     admin_profile_answer_cpu},
    {"/admin/v1/profile/heap", "GET", ROUTE_ADMIN_PROFILE_HEAP, ADMIN, ROUTE_INSIDE | ROUTE_KEPT,
     admin_profile_answer_heap},
    {"/health", "GET", ROUTE_HEALTH, OPEN, ROUTE_ANYWHERE, status_answer_health},
    {"/ready", "GET", ROUTE_READY, OPEN, ROUTE_ANYWHERE, status_answer_ready},
    {"/metrics", "GET", ROUTE_METRICS, OPEN, ROUTE_INSIDE, status_answer_metrics},
    {"/version", "GET", ROUTE_VERSION, OPEN, ROUTE_ANYWHERE, status_answer_version},
};

static const struct route *find_route(const char *path)
{
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        size_t count = strlen(routes[i].path);
        if (strncmp(path, routes[i].path, count) != 0)
            continue;
        if (path[count] == '\0' || (routes[i].flags & ROUTE_PREFIX) != 0)
            return &routes[i];
    }
    return NULL;
}

const char *router_route_name(enum http_route route)
{
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++)
        if (routes[i].id == route)
            return routes[i].path;
    return "other";
}

bool router_is_probe(enum http_route route)
{
    return route == ROUTE_HEALTH || route == ROUTE_READY || route == ROUTE_METRICS ||
           route == ROUTE_VERSION;
}

/* Metrics and log take only these, so that clients cannot make up label values. */
static const char *method_name(const char *method)
{
    static const char *const known[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(method, known[i]) == 0)
            return known[i];
    return "other";
}

/* By hand: printf would be half the cost of answering a probe. */
static void put_hex(char to[16], uint64_t number)
{
    for (int i = 0; i < 16; i++)
        to[i] = "0123456789abcdef"[number >> (60 - 4 * i) & 15];
}

/* What looks like a request's id: a UUID, a trace's id, one of ours. Names, mail and telephone
 * numbers do not, nor do shorter numbers; a user's UUID cannot be told from a request's. */
static bool is_request_id(const char *text)
{
    if (strncmp(text, REQUEST_ID_PREFIX, sizeof REQUEST_ID_PREFIX - 1) == 0)
        text += sizeof REQUEST_ID_PREFIX - 1;
    size_t digits = 0;
    for (; *text != '\0'; text++) {
        if (isxdigit((unsigned char)*text))
            digits++;
        else if (*text != '-')
            return false;
    }
    return digits >= REQUEST_ID_DIGITS_MIN;
}

/* The client's own id where it is fit to be echoed and logged, else 128 random bits. */
static void choose_request_id(struct call *call)
{
    const char *own = exchange_header(call->exchange, "x-request-id");
    if (own != NULL && strlen(own) <= REQUEST_ID_BYTES_MAX && is_request_id(own)) {
        memcpy(call->request_id, own, strlen(own) + 1);
        return;
    }
    memcpy(call->request_id, REQUEST_ID_PREFIX, 4);
    put_hex(call->request_id + 4, api_random_u64(call->api));
    put_hex(call->request_id + 20, api_random_u64(call->api));
    call->request_id[36] = '\0';
}

/* The asker's trace goes on where it sent one traceparent, and a sound one; else one begins here,
 * but for probes, which come a million times a day. */
static void choose_trace(struct call *call)
{
    struct api *api = call->api;
    struct trace_parent parent;
    uint32_t at = 0;
    const char *value = exchange_header_next(call->exchange, "traceparent", &at);
    if (value == NULL && router_is_probe(call->route))
        return;
    if (value != NULL && exchange_header_next(call->exchange, "traceparent", &at) == NULL &&
        trace_parent_read(value, &parent)) {
        call->trace = parent;
        memcpy(call->parent_span_id, parent.span_id, sizeof call->parent_span_id);
    } else {
        uint64_t high = api_random_u64(api);
        trace_id_of(high, api_random_u64(api), call->trace.trace_id);
        call->trace.sampled = api->server->tracing != NULL &&
                              trace_draw(call->trace.trace_id) < call->live->config->trace_sample;
    }
    span_id_of(api_random_u64(api), call->trace.span_id);
}

static const struct route *call_init(struct call *call, struct api *api, struct exchange *exchange)
{
    const struct route *route = find_route(exchange_path(exchange));
    *call = (struct call){
        .api = api,
        .exchange = exchange,
        .live = api->live,
        .route = route == NULL ? ROUTE_OTHER : route->id,
        .method = method_name(exchange_method(exchange)),
        .started_us = exchange_started_us(exchange),
        .now_us = clock_monotonic_us(),
    };
    choose_request_id(call);
    choose_trace(call);
    return route;
}

static int check_method(const struct route *route, const struct call *call, struct fault *fault)
{
    bool get = strcmp(route->method, "GET") == 0;
    if (strcmp(call->method, route->method) == 0 || (get && strcmp(call->method, "HEAD") == 0))
        return 0;
    (void)fault_set(fault, 405, NULL, "%s does not take %s; use %s", route->path, call->method,
                    route->method);
    fault->allow = get ? "GET, HEAD" : "POST";
    return -1;
}

static bool is_admin(const struct route *route)
{
    return (route->scope & (SCOPE_ADMIN | SCOPE_USAGE)) != 0;
}

static int refuse_key(const struct route *route, enum auth_outcome outcome, struct fault *fault)
{
    static const char *const reasons[AUTH_OUTCOME_COUNT] = {
        [AUTH_ABSENT] = "No API key: send it as 'Authorization: Bearer KEY'",
        [AUTH_UNKNOWN] = "The API key is not known to this server",
        [AUTH_EXPIRED] = "The API key has expired",
        [AUTH_REVOKED] = "The API key was revoked",
        [AUTH_TOKEN] = "The token does not hold here: its signature, issuer, audience, times or "
                       "tenant"};
    const char *scope = access_scope_name(route->scope);
    if (outcome != AUTH_SCOPE)
        return fault_code(fault, 401, is_admin(route) ? "invalid_admin_key" : "invalid_api_key",
                          "%s; its scopes must have '%s' in them", reasons[outcome], scope);
    (void)fault_code(fault, 403, "insufficient_scope",
                     "The API key is not for this: its scopes must have '%s' in them", scope);
    fault->scope = scope;
    return -1;
}

static int check_key(const struct route *route, struct call *call, struct fault *fault)
{
    const char *authorization = exchange_header(call->exchange, "authorization");
    if (authorization != NULL && exchange_header_differs(call->exchange, "authorization"))
        return fault_code(fault, 400, "ambiguous_header", "send 'Authorization' once");
    if (route->scope == OPEN)
        return 0;
    const struct auth_question question = {.authorization = authorization,
                                           .scope = route->scope,
                                           .now_unix = clock_unix_us() / 1000000};
    enum auth_outcome outcome =
        auth_check(call->live->auth, &call->api->tokens, &question, &call->identity);
    if (outcome == AUTH_GRANTED)
        return 0;
    metrics_key_refused(call->api->server->metrics, outcome);
    return refuse_key(route, outcome, fault);
}

/* A browser may post text/plain or a form to any address without asking; JSON it may not. */
static int check_content_type(const struct call *call, struct fault *fault)
{
    static const char wanted[] = "application/json";
    const char *type = exchange_header(call->exchange, "content-type");
    if (type != NULL && strncasecmp(type, wanted, sizeof wanted - 1) == 0 &&
        strchr("; \t", type[sizeof wanted - 1]) != NULL)
        return 0;
    return fault_set(fault, 415, NULL, "the body must be JSON: send 'Content-Type: %s'", wanted);
}

static int check_memory(const struct call *call, struct fault *fault)
{
    if (!atomic_load_explicit(&call->api->server->memory_over, memory_order_relaxed))
        return 0;
    (void)fault_code(fault, 503, "overloaded",
                     "the server's memory is past its limit; try again in a moment, or ask another "
                     "one");
    fault->retry_after_s = MEMORY_RETRY_AFTER_S;
    fault->limited = LIMITED_MEMORY;
    return -1;
}

/* The head says no model: only when every engine is full is the answer known already. While none
 * is there the body is read, for its model's own answer. */
static int check_admission(const struct call *call, struct fault *fault)
{
    const struct server *server = call->api->server;
    int result = 0;
    for (uint32_t i = 0; i < server->model_count; i++) {
        const struct served_model *model = server_model(server, i);
        if (model == NULL)
            continue;
        result = generation_admission(call, model, NULL, fault);
        if (result == 0)
            return 0;
    }
    return result;
}

static bool is_hidden(const struct route *route, const struct call *call)
{
    unsigned door = (route->flags & ROUTE_INSIDE) != 0 ? EXCHANGE_DOOR_ADMIN : EXCHANGE_DOOR_PUBLIC;
    if ((route->flags & ROUTE_ANYWHERE) == 0 && (exchange_door(call->exchange) & door) == 0)
        return true;
    return is_admin(route) && !auth_has_admin(call->live->auth);
}

/* Whose answer costs enough to be bounded. The operator's own is not. */
static bool is_bounded(enum http_route route)
{
    return route == ROUTE_CHAT || route == ROUTE_COMPLETIONS || route == ROUTE_TOKENIZE ||
           route == ROUTE_DETOKENIZE;
}

/* arrives: for the first time, so that it is charged once, after all that may refuse it. */
static int check_bounds(const struct route *route, struct call *call, bool arrives,
                        struct fault *fault)
{
    if (!is_bounded(route->id))
        return 0;
    if (check_memory(call, fault) < 0)
        return -1;
    if ((route->flags & ROUTE_GENERATES) != 0 && check_admission(call, fault) < 0)
        return -1;
    return arrives ? limiting_ask(call, fault) : 0;
}

static int check_head(const struct route *route, struct call *call, bool arrives,
                      struct fault *fault)
{
    if (route == NULL || is_hidden(route, call))
        return fault_code(fault, 404, "not_found", "no such path: %.200s",
                          exchange_path(call->exchange));
    if (check_method(route, call, fault) < 0 || check_key(route, call, fault) < 0)
        return -1;
    if (is_bounded(route->id))
        limiting_look(call);
    if (strcmp(route->method, "POST") != 0)
        return 0;
    if (check_content_type(call, fault) < 0)
        return -1;
    return check_bounds(route, call, arrives, fault);
}

void router_on_headers(void *application, struct exchange *exchange)
{
    struct call call;
    struct fault fault;
    const struct route *route = call_init(&call, application, exchange);
    if (check_head(route, &call, true, &fault) < 0)
        answer_fault(&call, &fault, NULL);
    else if (strcmp(route->method, "GET") == 0 && (route->flags & ROUTE_KEPT) == 0)
        route->answer(&call);
}

void router_on_request(void *application, struct exchange *exchange)
{
    struct call call;
    struct fault fault;
    const struct route *route = call_init(&call, application, exchange);
    if (check_head(route, &call, false, &fault) < 0) /* the drain may have begun meanwhile */
        answer_fault(&call, &fault, NULL);
    else
        route->answer(&call);
}

void router_on_gone(void *application, struct exchange *exchange)
{
    struct generation *generation = exchange_owner(exchange);
    if (generation != NULL) {
        generation_gone(generation, clock_monotonic_us());
        return;
    }
    if (exchange_answered(exchange))
        return;
    admin_users_gone(application, exchange);
    admin_profile_gone(application, exchange);
    struct call call; /* it went while its body came, or while it waited for us */
    (void)call_init(&call, application, exchange);
    answer_gone(&call, NULL);
}

void router_on_refused(void *application, struct exchange *exchange)
{
    struct call call;
    (void)call_init(&call, application, exchange);
    answer_refused(&call);
}
