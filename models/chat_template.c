/* SPDX-License-Identifier: Apache-2.0 */
/* chat_template.c -- compile once, render for each chat.
 *
 * The language is the part of Jinja2 that chat templates use, as the transformers library sets it
 * up (immutable sandbox, trim_blocks, lstrip_blocks, loop controls, its own tojson). Reading order:
 *
 *     template_lexer.c       source -> tokens, and the whitespace rules
 *     template_parser.c      tokens -> statements; template_syntax.c: -> expressions
 *     template_value.c       what values are; template_format.c: how they print
 *     template_render.c      a run: its memory, budgets, output, scopes, failure
 *     template_statements.c  template_expression.c  template_operators.c    running it
 *     template_builtin.c     _filters.c _sequence.c _tests.c _methods.c _text.c  what it may call
 *
 * A template is as hostile as the file it came in, so every loop charges for its steps, every
 * recursion is counted, all memory comes from an arena with a limit, and output has a limit of
 * its own. Compiled templates never change; a render owns everything else it touches. The golden
 * cases in tests/golden/chat_template.json are what Python's Jinja2 makes of the same input. */
#include "models/chat_template.h"

#include "models/template_builtin.h"

#include <stdlib.h>
#include <string.h>

/* A token takes an eighth of what its node does; this holds the largest source there may be. */
#define PROGRAM_BYTES_MAX (128u * 1024u * 1024u)

struct chat_template {
    struct template_program program;
};

struct chat_template *chat_template_compile(const char *source, size_t count, struct error *err)
{
    if (count > CHAT_TEMPLATE_SOURCE_BYTES_MAX) {
        error_set(err, ERROR_INVALID, "chat template: %zu bytes, more than the limit of %u", count,
                  CHAT_TEMPLATE_SOURCE_BYTES_MAX);
        return NULL;
    }
    if (!utf8_valid(source, count)) {
        error_set(err, ERROR_INVALID, "chat template: its source is not UTF-8");
        return NULL;
    }
    struct chat_template *compiled = calloc(1, sizeof *compiled);
    if (compiled != NULL)
        compiled->program.arena = arena_new(PROGRAM_BYTES_MAX);
    if (compiled == NULL || compiled->program.arena == NULL) {
        error_no_memory(err);
        chat_template_free(compiled);
        return NULL;
    }
    /* Without this locale only ASCII has upper and lower case. */
    compiled->program.letters = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    if (template_parse(&compiled->program, source, count, err) != 0) {
        chat_template_free(compiled);
        return NULL;
    }
    return compiled;
}

void chat_template_free(struct chat_template *chat_template)
{
    if (chat_template == NULL)
        return;
    if (chat_template->program.letters != (locale_t)0)
        freelocale(chat_template->program.letters);
    arena_free(chat_template->program.arena);
    free(chat_template);
}

/* Gives a variable to the template, if the template names it at all. */
static void bind(struct template_render *render, const char *name, struct template_value value)
{
    const struct template_program *program = render->program;
    for (uint32_t i = TEMPLATE_SYMBOL_COUNT; i < program->symbol_count; i++)
        if (template_string_is(program->symbols[i], name))
            render->root->bindings[i].value = value;
}

static void bind_input(struct template_render *render, const struct chat_template_input *input)
{
    const struct template_program *program = render->program;
    for (uint32_t i = TEMPLATE_SYMBOL_COUNT; i < program->symbol_count; i++) {
        const struct template_builtin *function = template_find_function(program->symbols[i]);
        if (function != NULL)
            render->root->bindings[i].value =
                (struct template_value){.kind = TEMPLATE_FUNCTION, .builtin = function};
    }
    bind(render, "messages", template_from_json(render, input->messages));
    bind(render, "tools",
         input->tools != NULL ? template_from_json(render, input->tools) : template_none());
    bind(render, "documents", template_none());
    bind(render, "add_generation_prompt", template_bool(input->add_generation_prompt));
    bind(render, "bos_token", template_string(input->bos_token, strlen(input->bos_token)));
    bind(render, "eos_token", template_string(input->eos_token, strlen(input->eos_token)));
    for (void *at = json_object_iter(input->extra); at != NULL && render->failed == 0;
         at = json_object_iter_next(input->extra, at))
        bind(render, json_object_iter_key(at),
             template_from_json(render, json_object_iter_value(at)));
}

/* The root frame has a binding for every symbol of the template. */
static void make_root(struct template_render *render)
{
    struct template_frame *root = template_alloc(render, sizeof *root);
    uint32_t count = render->program->symbol_count;
    if (root == NULL)
        return;
    root->bindings = template_alloc(render, count * sizeof *root->bindings);
    root->count = root->capacity = count;
    root->captured = true;
    render->root = render->frame = root;
}

int chat_template_render(const struct chat_template *chat_template,
                         const struct chat_template_input *input, struct text *out,
                         struct error *err)
{
    struct template_render render = {
        .program = &chat_template->program,
        .now_unix = input->now_unix,
        .arena = arena_new(TEMPLATE_MEMORY_BYTES_MAX),
        .err = err,
        .line = 1,
        .steps_left = CHAT_TEMPLATE_STEPS_MAX,
        .out = out,
        .out_start = out->count,
    };
    bool out_failed = out->failed;
    if (render.arena == NULL || out_failed)
        render.failed = error_no_memory(err);
    make_root(&render);
    if (render.failed == 0)
        bind_input(&render, input);
    if (render.failed == 0)
        template_execute(&render, chat_template->program.body);
    arena_free(render.arena);
    json_decref(render.parsed);
    if (render.failed == 0)
        return 0;
    out->failed = out_failed;
    out->count = render.out_start;
    if (out->bytes != NULL)
        out->bytes[out->count] = '\0';
    return render.failed;
}
