/* SPDX-License-Identifier: Apache-2.0 */
/* prompt.h -- from what a request says to the tokens that a model reads. Worker's thread. */
#ifndef WEIR_DAEMON_API_PROMPT_H
#define WEIR_DAEMON_API_PROMPT_H

#include "daemon/api/call.h"
#include "daemon/api/fault.h"
#include "daemon/api/request.h"
#include "daemon/server.h"
#include "models/tokenizer.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The model that the request names, or the only one, where its tenant may use it: NULL and 404 (400
 * when it had to name one). */
struct served_model *prompt_find_model(const struct call *call, const char *id,
                                       struct fault *fault);

/* Each appends to list: 0, or -1 and a fault, list then unchanged. More tokens than the model's
 * context are refused while they are counted, so that no text costs more than that. */
int prompt_encode(const struct served_model *model, const char *text, size_t bytes,
                  bool add_special, struct token_list *list, struct fault *fault);
/* Messages through the model's chat template. now_unix: seconds. */
int prompt_encode_chat(const struct served_model *model, const struct request *request,
                       int64_t now_unix, struct token_list *list, struct fault *fault);
/* ids: as request_check_tokens() left them. */
int prompt_copy_ids(const json_t *ids, struct token_list *list, struct fault *fault);

#endif
