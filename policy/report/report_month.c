/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"
#include "policy/license/month.h"
#include "policy/render/json_writer.h"
#include "policy/report/report.h"
#include "policy/report/report_inner.h"

#include <assert.h>
#include <string.h>

static const char *const state_names[] = {"provisional", "final", "amended"};
#define STATE_COUNT (sizeof state_names / sizeof state_names[0])

const char *report_state_name(enum report_state state)
{
    assert((size_t)state < STATE_COUNT);
    return state_names[state];
}

/* -- Members -- */

int report_parse(const char *body, json_t **ret, struct error *err)
{
    json_error_t problem;
    json_t *root = json_loads(body, JSON_REJECT_DUPLICATES, &problem);
    if (root == NULL && json_error_code(&problem) == json_error_out_of_memory)
        return error_no_memory(err);
    if (!json_is_object(root)) {
        json_decref(root);
        return error_set(err, ERROR_INVALID, "its body is no JSON object");
    }
    *ret = root;
    return 0;
}

int report_string(const json_t *object, const char *key, struct arena *arena, const char **ret,
                  struct error *err)
{
    const json_t *value = json_object_get(object, key);
    if (value == NULL) {
        *ret = "";
        return 0;
    }
    if (!json_is_string(value))
        return error_set(err, ERROR_INVALID, "%s: expected a string", key);
    const char *copy = arena_copy(arena, json_string_value(value), json_string_length(value));
    if (copy == NULL)
        return error_no_memory(err);
    *ret = copy;
    return 0;
}

int report_number(const json_t *object, const char *key, uint64_t most, uint64_t *ret,
                  struct error *err)
{
    const json_t *value = json_object_get(object, key);
    json_int_t number = json_integer_value(value);
    if (!json_is_integer(value) || number < 0 || (uint64_t)number > most)
        return error_set(err, ERROR_INVALID, "%s: expected a number from 0 to %llu", key,
                         (unsigned long long)most);
    *ret = (uint64_t)number;
    return 0;
}

int report_bool(const json_t *object, const char *key, bool *ret, struct error *err)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_boolean(value))
        return error_set(err, ERROR_INVALID, "%s: expected true or false", key);
    *ret = json_is_true(value);
    return 0;
}

uint32_t report_days_in(int32_t month)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int32_t year = month / 12;
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month % 12] + (month % 12 == 1 && leap);
}

uint32_t report_day_of(const char *date, int32_t month)
{
    char expected[MONTH_TEXT_BYTES];
    month_write(month, expected);
    if (strlen(date) != 10 || memcmp(date, expected, 7) != 0 || date[7] != '-' || date[8] < '0' ||
        date[8] > '3' || date[9] < '0' || date[9] > '9')
        return 0;
    uint32_t day = (uint32_t)(date[8] - '0') * 10 + (uint32_t)(date[9] - '0');
    return day <= report_days_in(month) ? day : 0;
}

/* -- Writing -- */

static void write_figure(struct text *out, const char *key, const struct report_figure *figure)
{
    assert(figure->low <= figure->users);
    assert(figure->users <= figure->high);
    json_write_open(out, key, '{');
    json_write_u64(out, "users", figure->users);
    json_write_u64(out, "low", figure->low);
    json_write_u64(out, "high", figure->high);
    json_write_close(out, '}');
}

static void write_daily(struct text *out, const struct report_month *month, const char *name)
{
    json_write_open(out, "daily", '[');
    for (uint32_t i = 0; i < month->day_count; i++) {
        const struct report_day *day = &month->daily[i];
        struct text date;
        text_init(&date);
        text_append_format(&date, "%s-%02u", name, day->day);
        json_write_open(out, NULL, '{');
        json_write_take(out, "day", &date);
        json_write_u64(out, "lower", day->lower);
        json_write_u64(out, "best", day->best);
        json_write_u64(out, "upper", day->upper);
        json_write_close(out, '}');
    }
    json_write_close(out, ']');
}

void report_month_body(const struct report_month *month, struct text *out)
{
    char name[MONTH_TEXT_BYTES], key[20];
    assert(month->day_count <= REPORT_DAYS_MAX);
    month_write(month->month, name);
    for (uint32_t i = 0; i < 16; i++)
        key[i] = "0123456789abcdef"[month->key_id >> (60 - 4 * i) & 15];
    key[16] = '\0';
    text_append_char(out, '{');
    json_write_string(out, "product", month->product);
    json_write_string(out, "model", month->model);
    json_write_string(out, "family", month->family);
    json_write_string(out, "month", name);
    write_figure(out, "lower", &month->lower);
    write_figure(out, "best", &month->best);
    write_figure(out, "upper", &month->upper);
    json_write_bool(out, "exact", month->exact);
    text_append_string(out, ",\"coverage\":");
    text_append_json_double(out, month->coverage);
    json_write_u64(out, "anonymous_requests", month->anonymous_requests);
    json_write_u64(out, "days_missing", month->days_missing);
    json_write_string(out, "state", report_state_name(month->state));
    json_write_string(out, "sketch_sha256", month->sketch_sha256);
    json_write_string(out, "key_id", key);
    write_daily(out, month, name);
    json_write_close(out, '}');
}

int report_month_append(struct ledger *ledger, const struct report_month *month, int64_t at_unix,
                        bool *ret_appended, struct error *err)
{
    char name[MONTH_TEXT_BYTES];
    struct text subject, body;
    text_init(&subject);
    text_init(&body);
    month_write(month->month, name);
    text_append_format(&subject, "%s %s %s", name, month->product, month->family);
    report_month_body(month, &body);
    const struct ledger_entry entry = {.at_unix = at_unix,
                                       .kind = REPORT_MONTH_KIND,
                                       .model = month->model,
                                       .subject = text_string(&subject),
                                       .body = text_string(&body)};
    int result = subject.failed || body.failed ? error_no_memory(err)
                                               : ledger_append(ledger, &entry, ret_appended, err);
    text_destroy(&subject);
    text_destroy(&body);
    return result;
}

bool report_month_is_same(const struct report_month *one, const struct report_month *other)
{
    return one->month == other->month && strcmp(one->product, other->product) == 0 &&
           strcmp(one->model, other->model) == 0 &&
           (one->model[0] != '\0' || strcmp(one->family, other->family) == 0);
}

/* -- Reading -- */

static int read_figure(const json_t *root, const char *key, struct report_figure *ret,
                       struct error *err)
{
    const json_t *figure = json_object_get(root, key);
    int result = report_number(figure, "users", REPORT_USERS_MAX, &ret->users, err);
    if (result == 0)
        result = report_number(figure, "low", REPORT_USERS_MAX, &ret->low, err);
    if (result == 0)
        result = report_number(figure, "high", REPORT_USERS_MAX, &ret->high, err);
    if (result == 0 && (ret->low > ret->users || ret->users > ret->high))
        result = error_set(err, ERROR_INVALID, "low, users, high are not in order");
    return result == 0 ? 0 : error_wrap(err, "%s", key);
}

static int read_day(const json_t *value, int32_t month, struct report_day *ret, struct error *err)
{
    const char *date = json_string_value(json_object_get(value, "day"));
    ret->day = date == NULL ? 0 : report_day_of(date, month);
    if (ret->day == 0)
        return error_set(err, ERROR_INVALID, "daily: expected a day of the month");
    int result = report_number(value, "lower", REPORT_USERS_MAX, &ret->lower, err);
    if (result == 0)
        result = report_number(value, "best", REPORT_USERS_MAX, &ret->best, err);
    if (result == 0)
        result = report_number(value, "upper", REPORT_USERS_MAX, &ret->upper, err);
    if (result == 0 && ret->lower > ret->upper)
        result = error_set(err, ERROR_INVALID, "lower is above upper");
    return result == 0 ? 0 : error_wrap(err, "daily: %s", date);
}

static int read_daily(const json_t *root, struct report_month *month, struct error *err)
{
    const json_t *daily = json_object_get(root, "daily");
    if (daily != NULL && (!json_is_array(daily) || json_array_size(daily) > REPORT_DAYS_MAX))
        return error_set(err, ERROR_INVALID, "daily: expected a list of at most %u days",
                         REPORT_DAYS_MAX);
    month->day_count = (uint32_t)json_array_size(daily);
    for (uint32_t i = 0; i < month->day_count; i++) {
        int result = read_day(json_array_get(daily, i), month->month, &month->daily[i], err);
        if (result != 0)
            return result;
        if (i > 0 && month->daily[i].day <= month->daily[i - 1].day)
            return error_set(err, ERROR_INVALID, "daily: the days are not in order");
    }
    return 0;
}

static int read_figures(const json_t *root, struct report_month *month, struct error *err)
{
    int result = read_figure(root, "lower", &month->lower, err);
    if (result == 0)
        result = read_figure(root, "best", &month->best, err);
    if (result == 0)
        result = read_figure(root, "upper", &month->upper, err);
    if (result == 0 && month->lower.low > month->upper.high)
        result = error_set(err, ERROR_INVALID, "lower is above upper");
    if (result == 0)
        result = report_bool(root, "exact", &month->exact, err);
    if (result == 0)
        result =
            report_number(root, "anonymous_requests", INT64_MAX, &month->anonymous_requests, err);
    const json_t *coverage = json_object_get(root, "coverage");
    month->coverage = json_number_value(coverage);
    if (result == 0 &&
        (!json_is_number(coverage) || !(month->coverage >= 0 && month->coverage <= 1)))
        result = error_set(err, ERROR_INVALID, "coverage: expected 0 to 1");
    return result == 0 ? read_daily(root, month, err) : result;
}

static int read_state(const json_t *root, enum report_state *ret, struct error *err)
{
    const char *name = json_string_value(json_object_get(root, "state"));
    for (size_t i = 0; name != NULL && i < STATE_COUNT; i++)
        if (strcmp(name, state_names[i]) == 0) {
            *ret = (enum report_state)i;
            return 0;
        }
    return error_set(err, ERROR_INVALID, "state: expected provisional, final or amended");
}

/* 16 hexadecimal digits. */
static int read_key_id(const json_t *root, uint64_t *ret, struct error *err)
{
    const char *name = json_string_value(json_object_get(root, "key_id"));
    uint64_t id = 0;
    size_t count = name == NULL ? 0 : strspn(name, "0123456789abcdef");
    if (count != 16 || name[16] != '\0')
        return error_set(err, ERROR_INVALID, "key_id: expected 16 hexadecimal digits");
    for (size_t i = 0; i < 16; i++)
        id = id << 4 | (uint64_t)(name[i] <= '9' ? name[i] - '0' : name[i] - 'a' + 10);
    *ret = id;
    return 0;
}

static int read_names(const json_t *root, struct arena *arena, struct report_month *month,
                      struct error *err)
{
    int result = report_string(root, "product", arena, &month->product, err);
    if (result == 0)
        result = report_string(root, "model", arena, &month->model, err);
    if (result == 0)
        result = report_string(root, "family", arena, &month->family, err);
    if (result == 0)
        result = report_string(root, "sketch_sha256", arena, &month->sketch_sha256, err);
    return result;
}

static int read_month(const json_t *root, struct arena *arena, struct report_month *month,
                      struct error *err)
{
    month->month = month_parse(json_string_value(json_object_get(root, "month")));
    if (month->month == MONTH_NONE)
        return error_set(err, ERROR_INVALID, "month: expected one such as 2026-11");
    uint64_t missing = 0;
    int result = read_figures(root, month, err);
    if (result == 0)
        result = read_state(root, &month->state, err);
    if (result == 0)
        result = read_key_id(root, &month->key_id, err);
    if (result == 0 && json_object_get(root, "days_missing") != NULL)
        result = report_number(root, "days_missing", REPORT_DAYS_MAX, &missing, err);
    month->days_missing = (uint32_t)missing;
    return result == 0 ? read_names(root, arena, month, err) : result;
}

int report_month_read(const char *body, struct arena *arena, struct report_month *ret,
                      struct error *err)
{
    struct report_month month = {0};
    json_t *root = NULL;
    int result = report_parse(body, &root, err);
    if (result != 0)
        return result;
    result = read_month(root, arena, &month, err);
    json_decref(root);
    if (result == 0)
        *ret = month;
    return result;
}
