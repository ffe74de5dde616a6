/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/otlp.h"

#define T0 INT64_C(1796083200000000)

static const struct otlp_request plain = {
    .trace_id = "4bf92f3577b34da6a3ce929d0e0e4736",
    .span_id = "00f067aa0ba902b7",
    .request_id = "req_1",
    .method = "GET",
    .route = "/v1/models",
    .protocol = "2",
    .scheme = "https",
    .status = 200,
    .started_us = T0,
    .ended_us = T0 + 500,
};

static struct otlp_request generation(void)
{
    struct otlp_request request = plain;
    memcpy(request.model, "m", 2);
    memcpy(request.parent_span_id, "1111111111111111", 17);
    memcpy(request.trace_state, "a=\"1\"", 6);
    for (uint32_t i = 0; i < OTLP_CHILDREN; i++) {
        memset(request.child_ids[i], '2' + (int)i, 16);
        request.child_ids[i][16] = '\0';
    }
    request.operation = "chat";
    request.finish = "stop";
    request.prompt_tokens = 5;
    request.cached_tokens = 2;
    request.completion_tokens = 7;
    request.submitted_us = T0 + 10;
    request.scheduled_us = T0 + 20;
    request.first_token_us = T0 + 100;
    request.finished_us = T0 + 400;
    return request;
}

/* The spans of a body with these requests; the caller's. */
static json_t *spans_of(const struct otlp_request *requests, size_t count)
{
    struct text out;
    text_init(&out);
    otlp_open(&out, "1.2.3", "me");
    for (size_t i = 0; i < count; i++)
        otlp_add(&out, &requests[i]);
    otlp_close(&out);
    json_t *body = json_loadb(text_string(&out), out.count, JSON_REJECT_DUPLICATES, NULL), *spans;
    if (body == NULL)
        fail_msg("no JSON: %s", text_string(&out));
    text_destroy(&out);
    json_t *resource = json_array_get(json_object_get(body, "resourceSpans"), 0);
    json_t *scope = json_array_get(json_object_get(resource, "scopeSpans"), 0);
    spans = json_incref(json_object_get(scope, "spans"));
    json_decref(body);
    return spans;
}

static const char *member(const json_t *spans, size_t index, const char *name)
{
    const char *value = json_string_value(json_object_get(json_array_get(spans, index), name));
    return value == NULL ? "" : value;
}

static void expect_times(const json_t *spans, size_t index, int64_t from_us, int64_t to_us)
{
    assert_int_equal(strtoll(member(spans, index, "startTimeUnixNano"), NULL, 10), from_us * 1000);
    assert_int_equal(strtoll(member(spans, index, "endTimeUnixNano"), NULL, 10), to_us * 1000);
}

static void a_body_is_as_the_protocol_has_it(void **state)
{
    (void)state;
    struct text out;
    text_init(&out);
    otlp_open(&out, "1.2.3", "me");
    otlp_add(&out, &plain);
    otlp_close(&out);
    assert_string_equal(
        text_string(&out),
        "{\"resourceSpans\":[{\"resource\":{\"attributes\":["
        "{\"key\":\"service.name\",\"value\":{\"stringValue\":\"weir\"}},"
        "{\"key\":\"service.version\",\"value\":{\"stringValue\":\"1.2.3\"}},"
        "{\"key\":\"service.instance.id\",\"value\":{\"stringValue\":\"me\"}}]},"
        "\"scopeSpans\":[{\"scope\":{\"name\":\"weir\"},\"spans\":["
        "{\"traceId\":\"4bf92f3577b34da6a3ce929d0e0e4736\",\"spanId\":\"00f067aa0ba902b7\","
        "\"flags\":257,\"name\":\"GET /v1/models\",\"kind\":2,"
        "\"startTimeUnixNano\":\"1796083200000000000\",\"endTimeUnixNano\":\"1796083200000500000\","
        "\"attributes\":[{\"key\":\"http.request.method\",\"value\":{\"stringValue\":\"GET\"}},"
        "{\"key\":\"http.route\",\"value\":{\"stringValue\":\"/v1/models\"}},"
        "{\"key\":\"http.response.status_code\",\"value\":{\"intValue\":\"200\"}},"
        "{\"key\":\"url.scheme\",\"value\":{\"stringValue\":\"https\"}},"
        "{\"key\":\"network.protocol.name\",\"value\":{\"stringValue\":\"http\"}},"
        "{\"key\":\"network.protocol.version\",\"value\":{\"stringValue\":\"2\"}},"
        "{\"key\":\"weir.request_id\",\"value\":{\"stringValue\":\"req_1\"}}],"
        "\"status\":{}}]}]}]}");
    text_destroy(&out);
    assert_int_equal(otlp_spans(&plain), 1);
}

static void phases_follow_each_other_within_the_request(void **state)
{
    (void)state;
    const struct otlp_request requests[] = {generation(), plain};
    json_t *spans = spans_of(requests, 2);
    assert_int_equal(json_array_size(spans), 5);
    assert_int_equal(otlp_spans(&requests[0]), 4);
    assert_string_equal(member(spans, 0, "parentSpanId"), "1111111111111111");
    expect_times(spans, 0, T0, T0 + 500);
    static const char *const names[] = {"queue", "prefill", "decode"};
    static const int64_t bounds[] = {T0 + 10, T0 + 20, T0 + 100, T0 + 400};
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(member(spans, i + 1, "name"), names[i]);
        assert_string_equal(member(spans, i + 1, "parentSpanId"), plain.span_id);
        assert_string_equal(member(spans, i + 1, "traceState"), "a=\"1\"");
        expect_times(spans, i + 1, bounds[i], bounds[i + 1]);
    }
    assert_string_equal(member(spans, 4, "parentSpanId"), "");
    json_decref(spans);
}

/* Cancelled in the queue, in the prefill, in the decode: what began ends with the request. */
static void a_phase_that_was_not_reached_has_no_span(void **state)
{
    (void)state;
    struct otlp_request request = generation();
    request.finished_us = 0;
    json_t *spans = spans_of(&request, 1);
    assert_int_equal(json_array_size(spans), 4);
    expect_times(spans, 3, T0 + 100, T0 + 500);
    json_decref(spans);
    request.first_token_us = 0;
    spans = spans_of(&request, 1);
    assert_int_equal(json_array_size(spans), 3);
    expect_times(spans, 2, T0 + 20, T0 + 500);
    json_decref(spans);
    request.scheduled_us = 0;
    spans = spans_of(&request, 1);
    assert_int_equal(json_array_size(spans), 2);
    assert_int_equal(otlp_spans(&request), 2);
    expect_times(spans, 1, T0 + 10, T0 + 500);
    json_decref(spans);
}

/* The engine's thread reads its clock a little before or after ours. */
static void no_phase_leaves_its_request(void **state)
{
    (void)state;
    struct otlp_request request = generation();
    request.submitted_us = T0 - 3;
    request.first_token_us = T0 + 501;
    request.finished_us = T0 + 502;
    json_t *spans = spans_of(&request, 1);
    expect_times(spans, 1, T0, T0 + 20);
    expect_times(spans, 2, T0 + 20, T0 + 500);
    expect_times(spans, 3, T0 + 500, T0 + 500);
    json_decref(spans);
}

static void an_answer_of_500_is_an_error(void **state)
{
    (void)state;
    struct otlp_request request = plain;
    request.status = 503;
    json_t *spans = spans_of(&request, 1);
    json_t *status = json_object_get(json_array_get(spans, 0), "status");
    assert_int_equal(json_integer_value(json_object_get(status, "code")), 2);
    json_decref(spans);
    request.status = 404;
    spans = spans_of(&request, 1);
    assert_null(json_object_get(json_object_get(json_array_get(spans, 0), "status"), "code"));
    json_decref(spans);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_body_is_as_the_protocol_has_it),
        cmocka_unit_test(phases_follow_each_other_within_the_request),
        cmocka_unit_test(a_phase_that_was_not_reached_has_no_span),
        cmocka_unit_test(no_phase_leaves_its_request),
        cmocka_unit_test(an_answer_of_500_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
