/* SPDX-License-Identifier: Apache-2.0 */
/* template_expression.c -- what an expression is worth: a walk over its nodes.
 *
 * Every evaluation costs a step, and is counted while it runs, so that the C stack is bounded
 * whatever a template and its macros do. A compiled form would run faster; the walk takes some
 * tens of nanoseconds a node, and a prompt is some thousands of nodes. */
#include "models/template_builtin.h"

#include <string.h>

static struct template_value evaluate_sequence(struct template_render *render,
                                               const struct template_node *node)
{
    uint32_t count = 0;
    for (const struct template_node *item = node->items; item != NULL; item = item->next)
        count++;
    struct template_list *list = template_list_new(render, count);
    for (const struct template_node *item = node->items; item != NULL && render->failed == 0;
         item = item->next)
        template_list_append(render, list, template_evaluate(render, item));
    return template_sequence(node->kind == NODE_LIST ? TEMPLATE_LIST : TEMPLATE_TUPLE, list);
}

static struct template_value evaluate_dict(struct template_render *render,
                                           const struct template_node *node)
{
    struct template_dict *dict = template_dict_new(render, 0);
    for (const struct template_node *item = node->items; item != NULL && render->failed == 0;
         item = item->next->next) {
        struct template_value key = template_evaluate(render, item);
        template_dict_set(render, dict, key, template_evaluate(render, item->next));
    }
    if (dict == NULL)
        return template_undefined("", 0);
    return (struct template_value){.kind = TEMPLATE_DICT, .dict = dict};
}

static struct template_value evaluate_name(struct template_render *render,
                                           const struct template_node *node)
{
    struct template_value value = template_frame_find(render, node->symbol);
    if (value.kind != TEMPLATE_MISSING)
        return value;
    struct template_value name = render->program->symbols[node->symbol];
    return template_undefined(name.bytes, name.count);
}

static struct template_value evaluate_bound(struct template_render *render,
                                            const struct template_node *node)
{
    return node != NULL ? template_evaluate(render, node) : template_none();
}

static struct template_value evaluate_subscript(struct template_render *render,
                                                const struct template_node *node)
{
    struct template_value subject = template_evaluate(render, node->subscript.subject);
    const struct template_node *index = node->subscript.index;
    if (index->kind != NODE_SLICE) {
        struct template_value key = template_evaluate(render, index);
        render->line = node->line;
        return template_get_item(render, subject, key);
    }
    struct template_value bounds[3];
    bounds[0] = evaluate_bound(render, index->slice.start);
    bounds[1] = evaluate_bound(render, index->slice.stop);
    bounds[2] = evaluate_bound(render, index->slice.step);
    render->line = node->line;
    return template_get_slice(render, subject, bounds);
}

void template_evaluate_arguments(struct template_render *render,
                                 const struct template_arguments *arguments,
                                 struct template_call *call)
{
    call->positional_count = arguments->positional_count;
    call->keyword_count = arguments->keyword_count;
    uint32_t count = 0;
    for (const struct template_node *node = arguments->values; node != NULL; node = node->next)
        call->values[count++] = template_evaluate(render, node);
    for (uint32_t i = 0; i < arguments->keyword_count; i++)
        call->names[i] = arguments->names[i];
}

/* A filter, a test, or a call; these three take the room that a struct template_call does. */
static struct template_value evaluate_builtin(struct template_render *render,
                                              const struct template_node *node)
{
    struct template_value subject = template_evaluate(render, node->call.subject);
    struct template_call call;
    template_evaluate_arguments(render, &node->call.arguments, &call);
    render->line = node->line;
    return template_call_builtin(render, node->call.builtin, subject, &call);
}

static struct template_value evaluate_call(struct template_render *render,
                                           const struct template_node *node)
{
    struct template_value callee = template_evaluate(render, node->call.subject);
    struct template_call call;
    template_evaluate_arguments(render, &node->call.arguments, &call);
    render->line = node->line;
    return template_call_value(render, callee, &call);
}

static struct template_value evaluate_method_call(struct template_render *render,
                                                  const struct template_node *node)
{
    struct template_value object = template_evaluate(render, node->call.subject);
    const struct template_builtin *method = template_find_method(object, node->call.name);
    struct template_call call;
    template_evaluate_arguments(render, &node->call.arguments, &call);
    render->line = node->line;
    if (method != NULL && !template_is_mutator(method))
        return template_call_builtin(render, method, object, &call);
    return template_call_value(render, template_get_attribute(render, object, node->call.name),
                               &call);
}

static struct template_value evaluate_arithmetic(struct template_render *render,
                                                 const struct template_node *node)
{
    struct template_value value = template_evaluate(render, node->items);
    for (const struct template_node *item = node->items->next; item != NULL && render->failed == 0;
         item = item->next) {
        struct template_value right = template_evaluate(render, item);
        render->line = item->line;
        value = template_arithmetic(render, item->sign, value, right);
    }
    return value;
}

static struct template_value evaluate_concat(struct template_render *render,
                                             const struct template_node *node)
{
    struct template_value text = template_string("", 0);
    for (const struct template_node *item = node->items; item != NULL && render->failed == 0;
         item = item->next) {
        struct template_value piece = template_evaluate(render, item);
        text = template_string_join(render, text, template_to_string(render, piece));
    }
    return text;
}

static struct template_value evaluate_compare(struct template_render *render,
                                              const struct template_node *node)
{
    struct template_value left = template_evaluate(render, node->items);
    for (const struct template_node *item = node->items->next; item != NULL && render->failed == 0;
         item = item->next) {
        struct template_value right = template_evaluate(render, item);
        render->line = item->line;
        if (!template_relation(render, item->sign, left, right))
            return template_bool(false);
        left = right;
    }
    return template_bool(true);
}

/* The first item whose truth decides, or the last. */
static struct template_value evaluate_logic(struct template_render *render,
                                            const struct template_node *node)
{
    bool deciding = node->kind == NODE_OR;
    struct template_value value = template_none();
    for (const struct template_node *item = node->items; item != NULL && render->failed == 0;
         item = item->next) {
        value = template_evaluate(render, item);
        if (template_truthy(value) == deciding)
            break;
    }
    return value;
}

static struct template_value evaluate_sign(struct template_render *render,
                                           const struct template_node *node)
{
    struct template_value value = template_evaluate(render, node->items);
    render->line = node->line;
    if (value.kind == TEMPLATE_FLOAT)
        return template_float(node->kind == NODE_NEGATE ? -value.real : value.real);
    return template_arithmetic(render, node->kind == NODE_NEGATE ? OPERATOR_SUBTRACT : OPERATOR_ADD,
                               template_integer(0), value);
}

static struct template_value evaluate_conditional(struct template_render *render,
                                                  const struct template_node *node)
{
    static const char hint[] = "the inline if is false, and there is no else";
    if (template_truthy(template_evaluate(render, node->branch.condition)))
        return template_evaluate(render, node->branch.body);
    if (node->branch.otherwise != NULL)
        return template_evaluate(render, node->branch.otherwise);
    struct template_value undefined = template_undefined(hint, sizeof hint - 1);
    undefined.detail = TEMPLATE_UNDEFINED_HINT;
    return undefined;
}

static struct template_value evaluate_attribute(struct template_render *render,
                                                const struct template_node *node)
{
    struct template_value subject = template_evaluate(render, node->attribute.subject);
    render->line = node->line;
    return template_get_attribute(render, subject, node->attribute.name);
}

static struct template_value evaluate(struct template_render *render,
                                      const struct template_node *node)
{
    switch (node->kind) {
    case NODE_CONSTANT:
        return node->constant;
    case NODE_CAPTURED:
        return render->captured;
    case NODE_NAME:
        return evaluate_name(render, node);
    case NODE_LIST:
    case NODE_TUPLE:
        return evaluate_sequence(render, node);
    case NODE_DICT:
        return evaluate_dict(render, node);
    case NODE_ATTRIBUTE:
        return evaluate_attribute(render, node);
    case NODE_SUBSCRIPT:
        return evaluate_subscript(render, node);
    case NODE_CALL:
        return evaluate_call(render, node);
    case NODE_METHOD_CALL:
        return evaluate_method_call(render, node);
    case NODE_FILTER:
    case NODE_TEST:
        return evaluate_builtin(render, node);
    case NODE_NOT:
        return template_bool(!template_truthy(template_evaluate(render, node->items)));
    case NODE_NEGATE:
    case NODE_PLUS:
        return evaluate_sign(render, node);
    case NODE_ARITHMETIC:
        return evaluate_arithmetic(render, node);
    case NODE_CONCAT:
        return evaluate_concat(render, node);
    case NODE_COMPARE:
        return evaluate_compare(render, node);
    case NODE_AND:
    case NODE_OR:
        return evaluate_logic(render, node);
    case NODE_CONDITIONAL:
        return evaluate_conditional(render, node);
    default:
        return template_fail(render, "a statement stands where a value should");
    }
}

struct template_value template_evaluate(struct template_render *render,
                                        const struct template_node *node)
{
    if (!template_charge(render, 1))
        return template_undefined("", 0);
    if (render->nesting == TEMPLATE_NESTING_MAX)
        return template_fail(render, "evaluation is nested deeper than %u", TEMPLATE_NESTING_MAX);
    render->nesting++;
    struct template_value value = evaluate(render, node);
    render->nesting--;
    return value;
}
