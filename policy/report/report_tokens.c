/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/report/report.h"
#include "policy/tokens_store.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct taking {
    struct report *report;
    uint32_t capacity;
    int result;
    struct error *err;
};

static bool is_asked_for(const struct report *report, const char *model)
{
    const struct report_request *request = &report->request;
    if (request->model[0] != '\0')
        return strcmp(request->model, model) == 0;
    for (uint32_t i = 0; i < report->license_count; i++)
        if (strcmp(report->licenses[i].model, model) == 0)
            return true;
    return request->family[0] == '\0';
}

static bool grow(struct report *report, uint32_t *capacity)
{
    if (report->token_count < *capacity)
        return true;
    uint32_t count = *capacity == 0 ? 16 : 2 * *capacity;
    struct report_tokens *grown = realloc(report->tokens, count * sizeof *grown);
    if (grown == NULL)
        return false;
    report->tokens = grown;
    *capacity = count;
    return true;
}

static bool on_row(void *argument, const struct token_row *row)
{
    struct taking *taking = argument;
    struct report *report = taking->report;
    if (!is_asked_for(report, row->model))
        return true;
    if (report->token_count == REPORT_ENTRIES_MAX) {
        report->tokens_untold++;
        return true;
    }
    const char *tenant = arena_copy(report->arena, row->tenant, strlen(row->tenant));
    const char *model = arena_copy(report->arena, row->model, strlen(row->model));
    if (tenant == NULL || model == NULL || !grow(report, &taking->capacity)) {
        taking->result = error_no_memory(taking->err);
        return false;
    }
    report->tokens[report->token_count++] =
        (struct report_tokens){.tenant = tenant, .model = model, .counts = row->counts};
    return true;
}

int report_take_tokens(struct report *report, struct tokens_store *store, struct error *err)
{
    struct taking taking = {.report = report, .err = err};
    assert(report->tokens == NULL);
    int result = tokens_store_read(store, (uint32_t)report->request.month, on_row, &taking, err);
    return result == 0 ? taking.result : result;
}
