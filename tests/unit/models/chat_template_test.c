/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/chat_template.h"

#define GOLDEN   "tests/golden/chat_template.json"
#define NOW_UNIX 1785000000 /* what the golden cases were made with */

static struct chat_template *compile(const char *source, struct error *err)
{
    return chat_template_compile(source, strlen(source), err);
}

static int render(const struct chat_template *chat_template, json_t *input, struct text *out,
                  struct error *err)
{
    struct chat_template_input chat = {
        .messages = json_object_get(input, "messages"),
        .tools = json_object_get(input, "tools"),
        .extra = json_object_get(input, "extra"),
        .bos_token = "<s>",
        .eos_token = "</s>",
        .add_generation_prompt = json_is_true(json_object_get(input, "add_generation_prompt")),
        .now_unix = NOW_UNIX,
    };
    return chat_template_render(chat_template, &chat, out, err);
}

/* Renders source over JSON text; returns the code, with the output and the error's text. */
static int run(const char *source, const char *json, struct text *out, struct error *err)
{
    json_t *input = json_loads(json, 0, NULL);
    assert_non_null(input);
    struct chat_template *compiled = compile(source, err);
    int rc = err->code;
    if (compiled != NULL)
        rc = render(compiled, input, out, err);
    chat_template_free(compiled);
    json_decref(input);
    return rc;
}

static void assert_fails_with(const char *source, const char *text)
{
    struct error err = {0};
    struct text out;
    text_init(&out);
    text_append_string(&out, "before");
    int rc = run(source, "{\"messages\": []}", &out, &err);
    assert_true(rc < 0);
    if (strstr(err.text, text) == NULL)
        fail_msg("%s: \"%s\" does not say \"%s\"", source, err.text, text);
    assert_string_equal(text_string(&out), "before");
    assert_false(out.failed);
    text_destroy(&out);
}

/* Does the interpreter do with this input what Jinja2 did? */
static bool agrees(const struct chat_template *compiled, json_t *input, json_t *result)
{
    json_t *expected = json_object_get(result, "output");
    struct error err = {0};
    struct text out;
    text_init(&out);
    int rc = compiled != NULL ? render(compiled, input, &out, &err) : ERROR_INVALID;
    bool same = expected == NULL
                    ? rc < 0
                    : rc == 0 && out.count == json_string_length(expected) &&
                          memcmp(text_string(&out), json_string_value(expected), out.count) == 0;
    if (!same)
        print_error("%d %s\nexpected: %s\n     got: %s\n", rc, err.text,
                    expected != NULL ? json_string_value(expected) : "an error", text_string(&out));
    text_destroy(&out);
    return same;
}

static void golden_cases_render_as_in_jinja2(void **state)
{
    (void)state;
    json_t *golden = json_load_file(GOLDEN, JSON_ALLOW_NUL, NULL);
    assert_non_null(golden);
    json_t *inputs = json_object_get(golden, "inputs"), *test_case, *result;
    size_t index, count = 0, wrong = 0;
    const char *name;
    json_array_foreach(json_object_get(golden, "cases"), index, test_case)
    {
        json_t *source = json_object_get(test_case, "template");
        struct error err = {0};
        struct chat_template *compiled =
            chat_template_compile(json_string_value(source), json_string_length(source), &err);
        json_object_foreach(json_object_get(test_case, "results"), name, result)
        {
            count++;
            if (agrees(compiled, json_object_get(inputs, name), result))
                continue;
            wrong++;
            print_error("^ case %s, input %s: %s\n",
                        json_string_value(json_object_get(test_case, "name")), name, err.text);
        }
        chat_template_free(compiled);
    }
    json_decref(golden);
    assert_int_equal(wrong, 0);
    assert_true(count > 800);
}

static void what_lies_outside_the_subset_is_refused_with_line_and_name(void **state)
{
    (void)state;
    assert_fails_with("a\nb\n{{ x | frobnicate }}", "line 3: unknown filter 'frobnicate'");
    assert_fails_with("\n\n{% extends 'x' %}", "line 3: statement 'extends' is not supported");
    assert_fails_with("{{ x is strange }}", "line 1: unknown test 'strange'");
    assert_fails_with("\n{{ x.encode() }}", "line 2: unknown method 'encode'");
    assert_fails_with("{{ lipsum() }}", "function 'lipsum' is not supported");
    assert_fails_with("{{ f(*x) }}", "unpacking arguments is not supported");
    assert_fails_with("{% for x in y recursive %}{% endfor %}", "recursive");
    assert_fails_with("{% if x %}\n\n{% endfor %}", "line 3: unknown or misplaced");
    assert_fails_with("{% if x %}\n", "the template ends before 'endif'");
    assert_fails_with("{{ 99999999999999999999 }}", "does not fit in 64 bits");
    assert_fails_with("\xff", "not UTF-8");
}

static void type_errors_carry_the_line(void **state)
{
    (void)state;
    assert_fails_with("\n{{ x.y }}", "line 2: 'x' is undefined");
    assert_fails_with("\n\n{{ 'a' + 1 }}", "line 3: '+' is not supported between 'str' and 'int'");
    assert_fails_with("{% set x = [] %}\n{{ x.append(1) }}", "line 2: 'append' would change a");
    assert_fails_with("{{ 9223372036854775807 + 1 }}", "integer overflow");
    assert_fails_with("{{ 3 // 0 }}", "division by zero");
    assert_fails_with("{{ {[]: 1} }}", "unhashable");
}

static void raise_exception_gives_its_message(void **state)
{
    (void)state;
    struct error err = {0};
    struct text out;
    text_init(&out);
    int rc = run("x{{ raise_exception('Roles must ' ~ 'alternate') }}", "{\"messages\": []}", &out,
                 &err);
    assert_int_equal(rc, ERROR_INVALID);
    assert_string_equal(err.text, "chat template: Roles must alternate");
    assert_int_equal(out.count, 0);
    text_destroy(&out);
}

static void output_is_appended_to_what_is_there(void **state)
{
    (void)state;
    struct error err = {0};
    struct text out;
    text_init(&out);
    text_append_string(&out, "a");
    const char *json = "{\"messages\": [{\"role\": \"user\", \"content\": \"c\"}]}";
    assert_int_equal(run("b{{ messages[0].content }}", json, &out, &err), 0);
    assert_string_equal(text_string(&out), "abc");
    text_destroy(&out);
}

static void endless_work_runs_out_of_steps(void **state)
{
    (void)state;
    assert_fails_with("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}"
                      "{% endfor %}",
                      "takes more than 4000000 steps");
    assert_fails_with("{% set x = 'ab' * 4000000 %}{% for a in range(99999) %}{% if 'c' in x %}"
                      "{% endif %}{% endfor %}",
                      "steps");
    assert_fails_with("{% set x = 'ab' * 4000000 %}{% for a in range(99999) %}{{ x | length }}"
                      "{% endfor %}",
                      "steps");
}

static void endless_output_is_cut(void **state)
{
    (void)state;
    assert_fails_with("{% set x = 'a' * 1000000 %}{% for a in range(99) %}{{ x }}{% endfor %}",
                      "writes more than 33554432 bytes");
    assert_fails_with("{% set x = 'a' * 1000000 %}{% macro m() %}{% for a in range(99) %}{{ x }}"
                      "{% endfor %}{% endmacro %}{{ m() }}",
                      "writes more than 33554432 bytes");
}

static void endless_memory_is_refused(void **state)
{
    (void)state;
    assert_fails_with("{{ 'a' * 99999999999 }}", "bytes of memory");
    assert_fails_with("{{ [1] * 99999999999 }}", "bytes of memory");
    assert_fails_with("{% set ns = namespace(x='ab') %}{% for a in range(99) %}"
                      "{% set ns.x = ns.x + ns.x %}{% endfor %}",
                      "bytes of memory");
    assert_fails_with("{% set ns = namespace(x=[1]) %}{% for a in range(99) %}"
                      "{% set ns.x = ns.x + ns.x %}{% endfor %}",
                      "bytes of memory");
}

static void text_built_piece_by_piece_costs_its_length(void **state)
{
    (void)state;
    struct error err = {0};
    struct text out;
    text_init(&out);
    const char *source = "{% set ns = namespace(x='') %}{% for a in range(100000) %}"
                         "{% set ns.x = ns.x + '0123456789' %}{% endfor %}{{ ns.x }}";
    assert_int_equal(run(source, "{\"messages\": []}", &out, &err), 0);
    assert_int_equal(out.count, 1000000);
    text_destroy(&out);
}

static void deep_nesting_is_refused_when_compiling_and_when_running(void **state)
{
    (void)state;
    static const char *const pieces[] = {"(", "[",          "{1:",         "not ",
                                         "-", "{% if 1 %}", "x if x else "};
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        struct text source;
        text_init(&source);
        if (pieces[i][1] != '%')
            text_append_string(&source, "{{ ");
        for (size_t j = 0; j < 20000; j++)
            text_append_string(&source, pieces[i]);
        struct error err = {0};
        assert_null(chat_template_compile(text_string(&source), source.count, &err));
        assert_non_null(strstr(err.text, "deep"));
        text_destroy(&source);
    }
    assert_fails_with("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "deeper than 64");
    assert_fails_with("{% set ns = namespace(x=[]) %}{% for a in range(99) %}"
                      "{% set ns.x = [ns.x] %}{% endfor %}",
                      "nested deeper than 64");
    assert_fails_with("{% set ns = namespace() %}{% set ns.x = ns %}{{ ns }}", "deeper than 512");
}

static void long_chains_of_operators_do_not_nest(void **state)
{
    (void)state;
    struct text source, out;
    text_init(&source);
    text_init(&out);
    text_append_string(&source, "{{ 0");
    for (size_t i = 0; i < 5000; i++)
        text_append_string(&source, " + 1");
    text_append_string(&source, " }}");
    struct error err = {0};
    assert_int_equal(run(text_string(&source), "{\"messages\": []}", &out, &err), 0);
    assert_string_equal(text_string(&out), "5000");
    text_destroy(&source);
    text_destroy(&out);
}

static void deep_input_is_refused(void **state)
{
    (void)state;
    json_t *deep = json_array();
    for (size_t i = 0; i < 100; i++)
        deep = json_pack("[o]", deep);
    json_t *input = json_pack("{s:o}", "messages", deep);
    struct error err = {0};
    struct text out;
    text_init(&out);
    struct chat_template *compiled = compile("{{ messages }}", &err);
    assert_non_null(compiled);
    assert_int_equal(render(compiled, input, &out, &err), ERROR_INVALID);
    assert_non_null(strstr(err.text, "nested deeper"));
    chat_template_free(compiled);
    text_destroy(&out);
    json_decref(input);
}

static void too_long_a_source_is_refused(void **state)
{
    (void)state;
    size_t count = CHAT_TEMPLATE_SOURCE_BYTES_MAX + 1;
    char *source = malloc(count);
    assert_non_null(source);
    memset(source, 'a', count);
    struct error err = {0};
    assert_null(chat_template_compile(source, count, &err));
    assert_non_null(strstr(err.text, "limit"));
    struct chat_template *compiled = chat_template_compile(source, count - 1, &err);
    assert_non_null(compiled);
    chat_template_free(compiled);
    free(source);
}

static void macros_keep_the_scope_they_were_defined_in(void **state)
{
    (void)state;
    struct error err = {0};
    struct text out;
    text_init(&out);
    const char *source = "{% set ns = namespace() %}{% for x in [1, 2] %}{% macro m() %}{{ x }}"
                         "{% endmacro %}{% if x == 1 %}{% set ns.m = m %}{% endif %}{% endfor %}"
                         "{% for y in [7, 8] %}{% for z in [9] %}{{ (ns.m)() }}{% endfor %}"
                         "{% endfor %}";
    int rc = run(source, "{\"messages\": []}", &out, &err);
    assert_int_equal(rc, ERROR_UNSUPPORTED); /* a method call by its form */
    source = "{% set ns = namespace() %}{% for x in [1, 2] %}{% macro m() %}{{ x }}"
             "{% endmacro %}{% if x == 1 %}{% set ns.m = m %}{% endif %}{% endfor %}"
             "{% set f = ns.m %}{% for y in [7, 8] %}{% for z in [9] %}{{ f() }}{% endfor %}"
             "{% endfor %}";
    err.code = 0;
    assert_int_equal(run(source, "{\"messages\": []}", &out, &err), 0);
    assert_string_equal(text_string(&out), "11");
    text_destroy(&out);
}

static void a_loop_that_is_kept_after_its_end_is_over(void **state)
{
    (void)state;
    struct error err = {0};
    struct text out;
    text_init(&out);
    /* The frames of the inner loop and of what is around it are in use again when it is asked. */
    const char *source =
        "{% set ns = namespace() %}{% macro f() %}{% with a = 1 %}"
        "{% for x in [1, 2, 3] if x > a %}{% set ns.kept = loop %}{% break %}{% endfor %}"
        "{% endwith %}{% endmacro %}{{ f() }}{{ ns.kept.last }}{{ ns.kept.nextitem }}"
        "{% for y in [5, 6] if ns.kept.cycle('a', 'b') %}{{ ns.kept.cycle('a', 'b') }}"
        "{{ ns.kept.length }}{{ ns.kept.last }}{% endfor %}{{ ns.kept.revindex is integer }}";
    assert_int_equal(run(source, "{\"messages\": []}", &out, &err), 0);
    assert_int_equal(strncmp(text_string(&out), "True", 4), 0);
    text_destroy(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_cases_render_as_in_jinja2),
        cmocka_unit_test(what_lies_outside_the_subset_is_refused_with_line_and_name),
        cmocka_unit_test(type_errors_carry_the_line),
        cmocka_unit_test(raise_exception_gives_its_message),
        cmocka_unit_test(output_is_appended_to_what_is_there),
        cmocka_unit_test(endless_work_runs_out_of_steps),
        cmocka_unit_test(endless_output_is_cut),
        cmocka_unit_test(endless_memory_is_refused),
        cmocka_unit_test(text_built_piece_by_piece_costs_its_length),
        cmocka_unit_test(deep_nesting_is_refused_when_compiling_and_when_running),
        cmocka_unit_test(long_chains_of_operators_do_not_nest),
        cmocka_unit_test(deep_input_is_refused),
        cmocka_unit_test(too_long_a_source_is_refused),
        cmocka_unit_test(macros_keep_the_scope_they_were_defined_in),
        cmocka_unit_test(a_loop_that_is_kept_after_its_end_is_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
