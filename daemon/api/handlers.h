/* SPDX-License-Identifier: Apache-2.0 */
/* handlers.h -- the functions behind the routes. Each answers the call, now or later. */
#ifndef WEIR_DAEMON_API_HANDLERS_H
#define WEIR_DAEMON_API_HANDLERS_H

#include "daemon/api/call.h"

void chat_answer(struct call *call);
void completions_answer(struct call *call);
void models_answer_list(struct call *call);
void models_answer_one(struct call *call);
void tokenize_answer(struct call *call);
void detokenize_answer(struct call *call);
void admin_users_answer(struct call *call);
void admin_usage_answer(struct call *call);
void admin_profile_answer_cpu(struct call *call);
void admin_profile_answer_heap(struct call *call);
void status_answer_health(struct call *call);
void status_answer_ready(struct call *call);
void status_answer_metrics(struct call *call);
void status_answer_version(struct call *call);

/* What waits until its users are on disk: goes on, or is forgotten with its client. */
void admin_users_wake(struct api *api, uint64_t now_us);
void admin_users_gone(struct api *api, const struct exchange *exchange);

/* A profile that is done is answered, and hurried while draining; one whose client went ends. */
void admin_profile_wake(struct api *api, uint64_t now_us);
void admin_profile_gone(struct api *api, const struct exchange *exchange);

#endif
