/* SPDX-License-Identifier: Apache-2.0 */
/* Any template over any chat: compiles or is refused, renders or is refused, never more.
 *
 * The bytes before the first NUL are the template; those after it are JSON, an array of messages
 * or an object of variables. What is no JSON leaves a chat of one message. */
#include "models/chat_template.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    const uint8_t *nul = memchr(bytes, '\0', count);
    size_t source_count = nul != NULL ? (size_t)(nul - bytes) : count;
    struct error err = {0};
    struct chat_template *compiled = chat_template_compile((const char *)bytes, source_count, &err);
    if (compiled == NULL) {
        if (err.code >= 0 || err.text[0] == '\0')
            abort();
        return 0;
    }
    json_t *json = NULL;
    if (nul != NULL)
        json = json_loadb((const char *)nul + 1, count - source_count - 1, JSON_ALLOW_NUL, NULL);
    json_t *fallback = json_pack("[{s:s, s:s}]", "role", "user", "content", "h\u00e4llo ");
    struct chat_template_input input = {
        .messages = json_is_array(json) ? json : fallback,
        .tools = json_object_get(json, "tools"),
        .extra = json_is_object(json) ? json : NULL,
        .bos_token = "<s>",
        .eos_token = "",
        .add_generation_prompt = true,
        .now_unix = 1785000000,
    };
    struct text out;
    text_init(&out);
    text_append_string(&out, "before");
    int rc = chat_template_render(compiled, &input, &out, &err);
    if (rc != 0 && (out.count != 6 || err.text[0] == '\0'))
        abort();
    if (rc == 0 && !utf8_valid(out.bytes, out.count))
        abort();
    text_destroy(&out);
    chat_template_free(compiled);
    json_decref(json);
    json_decref(fallback);
    return 0;
}
