/* SPDX-License-Identifier: Apache-2.0 */
/* answer_trace.h -- an answered request as spans, where its trace is recorded. Worker's thread. */
#ifndef WEIR_DAEMON_API_ANSWER_TRACE_H
#define WEIR_DAEMON_API_ANSWER_TRACE_H

#include "daemon/api/answer.h"

#include <stdint.h>

/* While the exchange still lives. record: NULL where no model was asked. */
void answer_trace(const struct call *call, uint32_t status, const struct answer_record *record);

#endif
