/* SPDX-License-Identifier: Apache-2.0 */
/* A body of any bytes, as each kind of request: it is taken whole or refused with a fault that
 * says why; what is taken keeps the limits that the engine asserts. */
#include "daemon/api/body.h"
#include "daemon/api/request.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

static void check_taken(const struct request *request)
{
    assert(request->body != NULL);
    assert(request->choices >= 1 && request->choices <= ENGINE_CHOICES_MAX);
    assert(request->stop_count <= STOP_STRINGS_MAX);
    for (uint32_t i = 0; i < request->stop_count; i++)
        assert(request->stops[i].count >= 1 && request->stops[i].count <= STOP_BYTES_MAX);
    assert(request->stop_token_count <= ENGINE_STOP_TOKENS_MAX);
    assert(request->prompt_count <= REQUEST_PROMPTS_MAX);
    assert(request->sampling.temperature >= 0 && request->sampling.temperature <= 2);
    assert(request->sampling.top_p > 0 && request->sampling.top_p <= 1);
    assert(request->sampling.repetition_penalty > 0);
    assert(request->sampling.top_logprobs <= SAMPLING_TOP_LOGPROBS_MAX);
    assert(request->sampling.bias_count <= SAMPLING_LOGIT_BIAS_MAX);
    if (request->kind == REQUEST_CHAT)
        assert(json_array_size(request->messages) > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    static const enum request_kind kinds[] = {REQUEST_CHAT, REQUEST_COMPLETION, REQUEST_TOKENIZE,
                                              REQUEST_DETOKENIZE};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct request request;
        struct fault fault = {0};
        if (request_parse(kinds[i], (const char *)bytes, count, BODY_DEPTH_DEFAULT, &request,
                          &fault) < 0) {
            assert(fault.status == 400);
            assert(fault.message[0] != '\0');
            assert(request.body == NULL);
            continue;
        }
        check_taken(&request);
        (void)request_check_tokens(&request, 100, &fault);
        request_destroy(&request);
    }
    return 0;
}
