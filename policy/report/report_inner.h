/* SPDX-License-Identifier: Apache-2.0 */
/* report_inner.h -- members of a row's body. Internal to report.c and report_month.c.
 *
 * Bodies are read as if anybody had written them: sizes are the ledger's, nesting is jansson's. */
#ifndef WEIR_POLICY_REPORT_REPORT_INNER_H
#define WEIR_POLICY_REPORT_REPORT_INNER_H

#include "base/arena.h"
#include "base/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* An object, which the caller lets go by json_decref(). ERROR_INVALID or ERROR_NO_MEMORY. */
int report_parse(const char *body, json_t **ret, struct error *err);
/* A copy in the arena; "" for what is not there. ERROR_INVALID for what is no string. */
int report_string(const json_t *object, const char *key, struct arena *arena, const char **ret,
                  struct error *err);
/* 0 to most; ERROR_INVALID for anything else, absence included. */
int report_number(const json_t *object, const char *key, uint64_t most, uint64_t *ret,
                  struct error *err);
int report_bool(const json_t *object, const char *key, bool *ret, struct error *err);
/* 1 to 31 of "2026-11-23" when it lies in the month; 0 for anything else. */
uint32_t report_day_of(const char *date, int32_t month);

#endif
