/* SPDX-License-Identifier: Apache-2.0 */
/* template_statements.c -- what statements do: write, assign, branch, loop, call macros.
 *
 * Scopes are Jinja's: a loop's body, a macro, a with, and what is captured have their own frame,
 * if has none. An assignment goes to the innermost frame; a name is looked for outwards. A loop
 * has a fresh frame each time round. A macro sees the frames where it was defined, as they are
 * when it is called; they are then `captured` and live as long as the render. */
#include "models/template_builtin.h"

#include "models/chat_template.h"

#include <string.h>

/* -- loops -- */

/* The next item that the filter lets pass, MISSING at the end. Lazy, as in Jinja: the filter may
 * ask for what the body has changed. */
static struct template_value next_item(struct template_render *render, struct template_loop *loop)
{
    while (loop->scanned < loop->items->count && render->failed == 0) {
        struct template_value item = loop->items->items[loop->scanned++];
        if (loop->node == NULL)
            return item;
        struct template_frame *body = render->frame;
        if (template_frame_push(render, loop->outer) == NULL)
            break;
        template_assign(render, loop->node->loop.target, item);
        bool passes = template_truthy(template_evaluate(render, loop->node->loop.filter));
        template_frame_pop(render, body);
        if (passes)
            return item;
    }
    return (struct template_value){.kind = TEMPLATE_MISSING};
}

struct template_value template_loop_peek(struct template_render *render, struct template_loop *loop)
{
    if (!loop->peeked) {
        loop->following = next_item(render, loop);
        loop->peeked = true;
    }
    return loop->following;
}

/* How many items the loop has in all. Applies the filter to what is left. */
static int64_t count_items(struct template_render *render, struct template_loop *loop)
{
    if (loop->length >= 0)
        return loop->length;
    if (loop->node == NULL)
        return loop->length = loop->items->count;
    struct template_list *rest = template_list_new(render, 0);
    struct template_value item = template_loop_peek(render, loop);
    for (; item.kind != TEMPLATE_MISSING && render->failed == 0; item = next_item(render, loop))
        template_list_append(render, rest, item);
    if (rest == NULL)
        return 0;
    loop->length = loop->index0 + 1 + rest->count;
    /* The rest is a list without filter now; scanned counts from its start. */
    loop->items = rest;
    loop->scanned = rest->count > 0;
    loop->node = NULL;
    return loop->length;
}

struct template_value template_loop_attribute(struct template_render *render,
                                              struct template_loop *loop,
                                              struct template_value name)
{
    struct template_value value = {.kind = TEMPLATE_MISSING};
    if (template_string_is(name, "index0"))
        value = template_integer(loop->index0);
    else if (template_string_is(name, "index"))
        value = template_integer(loop->index0 + 1);
    else if (template_string_is(name, "first"))
        value = template_bool(loop->index0 == 0);
    else if (template_string_is(name, "last"))
        value = template_bool(template_loop_peek(render, loop).kind == TEMPLATE_MISSING);
    else if (template_string_is(name, "length"))
        value = template_integer(count_items(render, loop));
    else if (template_string_is(name, "revindex0"))
        value = template_integer(count_items(render, loop) - loop->index0 - 1);
    else if (template_string_is(name, "revindex"))
        value = template_integer(count_items(render, loop) - loop->index0);
    else if (template_string_is(name, "previtem"))
        value = loop->previous;
    else if (template_string_is(name, "nextitem"))
        value = template_loop_peek(render, loop);
    else if (template_string_is(name, "depth"))
        value = template_integer(1); /* recursive loops are refused */
    else if (template_string_is(name, "depth0"))
        value = template_integer(0);
    return value;
}

/* One turn of the loop for an item already found; false to stop. */
static bool run_turn(struct template_render *render, const struct template_node *node,
                     struct template_loop *loop, struct template_value item)
{
    loop->peeked = false;
    loop->index0++;
    template_frame_set(render, TEMPLATE_SYMBOL_LOOP,
                       (struct template_value){.kind = TEMPLATE_LOOP, .loop = loop});
    template_assign(render, node->loop.target, item);
    template_execute(render, node->loop.body);
    loop->previous = item;
    bool stop = render->failed != 0 || render->flow == TEMPLATE_FLOW_BREAK;
    render->flow = TEMPLATE_FLOW_ON;
    return !stop;
}

static void execute_for(struct template_render *render, const struct template_node *node)
{
    struct template_value iterable = template_evaluate(render, node->loop.iterable);
    render->line = node->line;
    struct template_frame *outer = render->frame;
    struct template_frame *frame = template_frame_push(render, outer);
    if (frame == NULL)
        return;
    struct template_loop *loop = &frame->loop; /* stays where it is, though frames may change */
    *loop = (struct template_loop){.items = template_iterate(render, iterable),
                                   .node = node->loop.filter != NULL ? node : NULL,
                                   .outer = outer,
                                   .index0 = -1,
                                   .length = -1};
    bool more = render->failed == 0;
    while (more) {
        struct template_value item = template_loop_peek(render, loop);
        if (item.kind == TEMPLATE_MISSING || !template_charge(render, 1))
            break;
        more = run_turn(render, node, loop, item);
        if (render->failed == 0 && render->frame->captured) {
            template_frame_pop(render, outer);
            if (template_frame_push(render, outer) == NULL)
                return;
        }
        render->frame->count = 0;
    }
    if (render->failed == 0 && loop->index0 < 0)
        template_execute(render, node->loop.otherwise);
    /* A template may have kept `loop` in a namespace: what it names must not outlive this. */
    loop->items = &render->nothing;
    loop->node = NULL;
    loop->outer = NULL;
    template_frame_pop(render, outer);
}

/* -- assignment -- */

static void assign_attribute(struct template_render *render, const struct template_node *target,
                             struct template_value value)
{
    struct template_value object = template_frame_find(render, target->attribute.symbol);
    render->line = target->line;
    if (object.kind == TEMPLATE_NAMESPACE)
        template_dict_set(render, object.dict, target->attribute.name, value);
    else
        template_fail(render, "can't assign to an attribute of what is not a namespace");
}

void template_assign(struct template_render *render, const struct template_node *target,
                     struct template_value value)
{
    if (target->kind == NODE_NAME) {
        template_frame_set(render, target->symbol, value);
        return;
    }
    if (target->kind == NODE_ATTRIBUTE) {
        assign_attribute(render, target, value);
        return;
    }
    render->line = target->line;
    const struct template_list *list = template_iterate(render, value);
    uint32_t expected = 0;
    for (const struct template_node *item = target->items; item != NULL; item = item->next)
        expected++;
    if (render->failed == 0 && list->count != expected)
        template_fail(render, "can't unpack %u values into %u names", list->count, expected);
    uint32_t i = 0;
    for (const struct template_node *item = target->items; item != NULL && render->failed == 0;
         item = item->next)
        template_assign(render, item, list->items[i++]);
}

/* Runs a body in a frame of its own and answers what it wrote. */
static struct template_value capture_body(struct template_render *render,
                                          const struct template_node *body)
{
    struct template_frame *outer = render->frame;
    if (template_frame_push(render, outer) == NULL)
        return template_string("", 0);
    size_t mark = template_capture_begin(render);
    template_execute(render, body);
    struct template_value text = template_capture_end(render, mark);
    template_frame_pop(render, outer);
    return text;
}

/* A set block or a filter block: the body's text, through the filters. */
static struct template_value filter_body(struct template_render *render,
                                         const struct template_node *node)
{
    struct template_value text = capture_body(render, node->set.body);
    struct template_value outer = render->captured;
    render->captured = text;
    text = template_evaluate(render, node->set.value);
    render->captured = outer;
    return text;
}

static void execute_with(struct template_render *render, const struct template_node *node)
{
    struct template_frame *outer = render->frame, *frame = template_frame_push(render, outer);
    if (frame == NULL)
        return;
    const struct template_node *value = node->with.values;
    for (const struct template_node *target = node->with.targets;
         target != NULL && render->failed == 0; target = target->next) {
        render->frame = outer; /* values do not see each other's names */
        struct template_value evaluated = template_evaluate(render, value);
        render->frame = frame;
        template_assign(render, target, evaluated);
        value = value->next;
    }
    template_execute(render, node->with.body);
    template_frame_pop(render, outer);
}

/* -- macros -- */

static struct template_value make_macro(struct template_render *render,
                                        const struct template_node *node)
{
    struct template_macro *macro = template_alloc(render, sizeof *macro);
    if (macro == NULL)
        return template_undefined("", 0);
    macro->node = node;
    macro->frame = render->frame;
    for (struct template_frame *frame = render->frame; frame != NULL && !frame->captured;
         frame = frame->parent)
        frame->captured = true;
    return (struct template_value){.kind = TEMPLATE_MACRO, .macro = macro};
}

static void execute_call_block(struct template_render *render, const struct template_node *node)
{
    const struct template_node *call_node = node->call_block.call;
    struct template_value callee = template_evaluate(render, call_node->call.subject);
    struct template_call call;
    template_evaluate_arguments(render, &call_node->call.arguments, &call);
    call.values[call.positional_count + call.keyword_count] =
        make_macro(render, node->call_block.macro);
    call.names[call.keyword_count++] = TEMPLATE_STRING_OF("caller");
    render->line = node->line;
    template_write_value(render, template_call_value(render, callee, &call));
}

/* The keyword argument of this name, taken out of `names`, or MISSING. */
static struct template_value take_keyword(struct template_call *call, struct template_value name)
{
    for (uint32_t i = 0; i < call->keyword_count; i++)
        if (call->names[i].kind == TEMPLATE_STRING && call->names[i].count == name.count &&
            memcmp(call->names[i].bytes, name.bytes, name.count) == 0) {
            call->names[i].kind = TEMPLATE_MISSING;
            return call->values[call->positional_count + i];
        }
    return (struct template_value){.kind = TEMPLATE_MISSING};
}

static void bind_parameters(struct template_render *render, const struct template_node *node,
                            struct template_call *call)
{
    static const char hint[] = "a parameter of the macro was not provided";
    for (uint32_t i = 0; i < node->macro.parameter_count && render->failed == 0; i++) {
        uint32_t symbol = node->macro.parameters[i];
        struct template_value value;
        if (i < call->positional_count)
            value = call->values[i];
        else
            value = take_keyword(call, render->program->symbols[symbol]);
        if (value.kind == TEMPLATE_MISSING && node->macro.defaults[i] != NULL) {
            value = template_evaluate(render, node->macro.defaults[i]);
        } else if (value.kind == TEMPLATE_MISSING) {
            value = template_undefined(hint, sizeof hint - 1);
            value.detail = TEMPLATE_UNDEFINED_HINT;
        }
        template_frame_set(render, symbol, value);
    }
}

/* caller, varargs and kwargs, for a macro that names them; fails for arguments left over. */
static void bind_rest(struct template_render *render, const struct template_node *node,
                      struct template_call *call)
{
    if (node->macro.takes_caller) {
        struct template_value caller = take_keyword(call, TEMPLATE_STRING_OF("caller"));
        if (caller.kind == TEMPLATE_MISSING)
            caller = template_undefined("caller", 6);
        template_frame_set(render, TEMPLATE_SYMBOL_CALLER, caller);
    }
    struct template_list *varargs = template_list_new(render, 0);
    for (uint32_t i = node->macro.parameter_count; i < call->positional_count; i++)
        template_list_append(render, varargs, call->values[i]);
    struct template_dict *kwargs = template_dict_new(render, 0);
    for (uint32_t i = 0; i < call->keyword_count; i++)
        if (call->names[i].kind != TEMPLATE_MISSING)
            template_dict_set(render, kwargs, call->names[i],
                              call->values[call->positional_count + i]);
    if (render->failed != 0)
        return;
    if (node->macro.takes_varargs)
        template_frame_set(render, TEMPLATE_SYMBOL_VARARGS,
                           template_sequence(TEMPLATE_TUPLE, varargs));
    else if (varargs->count > 0)
        template_fail(render, "the macro takes not more than %u arguments",
                      node->macro.parameter_count);
    if (node->macro.takes_kwargs)
        template_frame_set(render, TEMPLATE_SYMBOL_KWARGS,
                           (struct template_value){.kind = TEMPLATE_DICT, .dict = kwargs});
    else if (kwargs->count > 0)
        template_fail(render, "the macro takes no argument '%.*s'",
                      (int)kwargs->entries[0].key.count, kwargs->entries[0].key.bytes);
}

struct template_value template_call_macro(struct template_render *render,
                                          const struct template_macro *macro,
                                          const struct template_call *given)
{
    if (render->macro_depth == CHAT_TEMPLATE_DEPTH_MAX)
        return template_fail(render, "macros call each other deeper than %u",
                             CHAT_TEMPLATE_DEPTH_MAX);
    struct template_frame *back = render->frame;
    if (template_frame_push(render, macro->frame) == NULL)
        return template_string("", 0);
    render->macro_depth++;
    struct template_call call = *given;
    bind_parameters(render, macro->node, &call);
    bind_rest(render, macro->node, &call);
    size_t mark = template_capture_begin(render);
    template_execute(render, macro->node->macro.body);
    struct template_value text = template_capture_end(render, mark);
    render->macro_depth--;
    template_frame_pop(render, back);
    return text;
}

/* -- statements -- */

static void execute_if(struct template_render *render, const struct template_node *node)
{
    for (; node != NULL; node = node->branch.elif) {
        if (template_truthy(template_evaluate(render, node->branch.condition))) {
            template_execute(render, node->branch.body);
            return;
        }
        if (node->branch.elif == NULL)
            template_execute(render, node->branch.otherwise);
    }
}

static void execute_generation(struct template_render *render, const struct template_node *node)
{
    struct template_frame *outer = render->frame;
    if (template_frame_push(render, outer) == NULL)
        return;
    template_execute(render, node->items);
    template_frame_pop(render, outer);
}

static void execute_set(struct template_render *render, const struct template_node *node)
{
    struct template_value value = node->kind == NODE_SET
                                      ? template_evaluate(render, node->set.value)
                                      : filter_body(render, node);
    if (render->failed == 0 && render->flow == TEMPLATE_FLOW_ON)
        template_assign(render, node->set.target, value);
}

static void execute(struct template_render *render, const struct template_node *node)
{
    render->line = node->line;
    switch (node->kind) {
    case NODE_TEXT:
        template_write(render, node->constant.bytes, node->constant.count);
        break;
    case NODE_PRINT:
        template_write_value(render, template_evaluate(render, node->items));
        break;
    case NODE_IF:
        execute_if(render, node);
        break;
    case NODE_FOR:
        execute_for(render, node);
        break;
    case NODE_SET:
    case NODE_SET_BLOCK:
        execute_set(render, node);
        break;
    case NODE_MACRO:
        template_frame_set(render, node->macro.symbol, make_macro(render, node));
        break;
    case NODE_CALL_BLOCK:
        execute_call_block(render, node);
        break;
    case NODE_FILTER_BLOCK:
        template_write_value(render, filter_body(render, node));
        break;
    case NODE_WITH:
        execute_with(render, node);
        break;
    case NODE_GENERATION:
        execute_generation(render, node);
        break;
    default:
        render->flow = node->kind == NODE_BREAK ? TEMPLATE_FLOW_BREAK : TEMPLATE_FLOW_CONTINUE;
        break;
    }
}

void template_execute(struct template_render *render, const struct template_node *statements)
{
    if (render->nesting == TEMPLATE_NESTING_MAX) {
        template_fail(render, "statements are nested deeper than %u", TEMPLATE_NESTING_MAX);
        return;
    }
    render->nesting++;
    for (const struct template_node *node = statements;
         node != NULL && render->flow == TEMPLATE_FLOW_ON && template_charge(render, 1);
         node = node->next)
        execute(render, node);
    render->nesting--;
}
