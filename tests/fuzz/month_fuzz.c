/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as the body of a month's row in the ledger: taken, or refused with a reason. What is
 * taken holds what the header promises of figures, and comes back the same from what would be
 * written of it. */
#include "policy/license/month.h"
#include "policy/report/report.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_BYTES (1u << 22)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

static void check_figure(const struct report_figure *figure)
{
    assert(figure->low <= figure->users);
    assert(figure->users <= figure->high);
    assert(figure->high <= REPORT_USERS_MAX);
}

static void check_month(const struct report_month *month)
{
    check_figure(&month->lower);
    check_figure(&month->best);
    check_figure(&month->upper);
    assert(month->month != MONTH_NONE);
    assert(month->coverage >= 0 && month->coverage <= 1);
    assert(month->day_count <= REPORT_DAYS_MAX);
    assert(month->product != NULL && month->model != NULL && month->family != NULL);
    assert(month->sketch_sha256 != NULL);
    for (uint32_t i = 0; i < month->day_count; i++) {
        assert(month->daily[i].day > (i == 0 ? 0 : month->daily[i - 1].day));
        assert(month->daily[i].day <= report_days_in(month->month));
        assert(month->daily[i].lower <= month->daily[i].upper);
    }
}

static void check_written(const struct report_month *month, struct arena *arena)
{
    struct text once, again;
    struct report_month read;
    text_init(&once);
    text_init(&again);
    report_month_body(month, &once);
    assert(!once.failed);
    int result = report_month_read(text_string(&once), arena, &read, NULL);
    assert(result == 0);
    report_month_body(&read, &again);
    assert(strcmp(text_string(&once), text_string(&again)) == 0);
    text_destroy(&once);
    text_destroy(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    struct report_month month;
    struct error err = {0};
    struct arena *arena = arena_new(ARENA_BYTES);
    char *body = malloc(count + 1); /* of the input's own length, so that a read past it is seen */
    assert(arena != NULL && body != NULL);
    if (count > 0)
        memcpy(body, bytes, count);
    body[count] = '\0';
    if (report_month_read(body, arena, &month, &err) != 0) {
        assert(err.code == ERROR_INVALID);
        assert(err.text[0] != '\0');
    } else {
        check_month(&month);
        check_written(&month, arena);
    }
    free(body);
    arena_free(arena);
    return 0;
}
