/* SPDX-License-Identifier: Apache-2.0 */
/* template_render.h -- one run of a template: its memory, budgets, frames and failure.
 *
 * Failure is sticky. template_fail() keeps the first message; from then on allocation answers
 * NULL, writing does nothing, evaluation answers undefined at once, and loops stop. So only code
 * that would go on for long, or follow a pointer, asks whether the render has failed.
 * One thread. */
#ifndef WEIR_MODELS_TEMPLATE_RENDER_H
#define WEIR_MODELS_TEMPLATE_RENDER_H

#include "base/arena.h"
#include "base/error.h"
#include "base/text.h"
#include "models/template_ast.h"
#include "models/template_value.h"

#define TEMPLATE_MEMORY_BYTES_MAX (64u * 1024u * 1024u) /* of one render, the output aside */
#define TEMPLATE_NESTING_MAX      512u    /* evaluations inside one another, macros included */
#define TEMPLATE_RANGE_MAX        100000u /* items of range(), as Jinja's sandbox has it */
#define TEMPLATE_PARSED_BYTES_MAX (4u * 1024u * 1024u) /* that from_json reads in one render */
#define TEMPLATE_STEP_BYTES       256u /* bytes of text work that cost as much as a step */

/* What {% for %} offers as `loop`. */
struct template_loop {
    struct template_list *items;
    const struct template_node *node; /* its filter, if not yet applied to all items */
    struct template_frame *outer;     /* where the filter is evaluated */
    uint32_t scanned;                 /* items taken from the list, or refused by the filter */
    int64_t index0, length;           /* length: -1 until asked for */
    bool peeked;                      /* `following` is known */
    struct template_value previous, following; /* MISSING where there is none */
};

struct template_binding {
    uint32_t symbol;
    struct template_value value;
};

/* Variables of one scope. The root frame has one binding a symbol, found by number; the others
 * are searched, for they are short. */
struct template_frame {
    struct template_frame *parent;
    struct template_binding *bindings;
    uint32_t count, capacity;
    bool captured; /* a macro may name it later: never reused */
    struct template_loop loop;
};

struct template_macro {
    const struct template_node *node;
    struct template_frame *frame; /* where it was defined */
};

enum template_flow { TEMPLATE_FLOW_ON, TEMPLATE_FLOW_BREAK, TEMPLATE_FLOW_CONTINUE };

struct template_render {
    const struct template_program *program;
    int64_t now_unix;
    struct arena *arena;
    struct error *err;
    int failed; /* enum error_code; 0 while all is well */
    uint32_t line;
    uint32_t steps_left, nesting, macro_depth;
    enum template_flow flow;
    struct template_list nothing;   /* stays empty */
    struct template_value captured; /* what a filter block hands to its filters */
    struct template_frame *root, *frame, *free_frames;
    json_t *parsed; /* what from_json has read, an array; NULL before */
    size_t parsed_bytes;
    struct text *out; /* the output, and above it whatever is being captured */
    size_t out_start; /* where this render began to write */
    char *heap;       /* where new strings are laid, end to end */
    size_t heap_used, heap_capacity;
};

/* -- failure and budgets -- */

/* "chat template line N: ..." under ERROR_INVALID, unless the render has failed before. Answers
 * undefined, so that `return template_fail(...)` reads well. */
struct template_value template_fail(struct template_render *render, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The same with the message of raise_exception(): no line, for it speaks to the user. */
struct template_value template_raise(struct template_render *render, struct template_value text);
/* Fails with what is undefined about this undefined value. */
struct template_value template_fail_undefined(struct template_render *render,
                                              struct template_value value);
/* False once the render has failed, or does now for want of steps. */
bool template_charge(struct template_render *render, uint64_t steps);
bool template_charge_bytes(struct template_render *render, size_t bytes);

/* -- memory -- */

void *template_alloc(struct template_render *render, size_t bytes); /* zeroed; NULL: failed */
/* Room for a new string of so many bytes; NULL: failed. */
char *template_string_room(struct template_render *render, size_t count);
/* a + b. Extends a where it lies if nothing follows it, so that text built piece by piece costs
 * what its length is, not the square of it. */
struct template_value template_string_join(struct template_render *render, struct template_value a,
                                           struct template_value b);

/* -- output -- */

void template_write(struct template_render *render, const char *bytes, size_t count);
void template_write_text(struct template_render *render, const char *text);
void template_write_char(struct template_render *render, uint32_t codepoint);
void template_write_value(struct template_render *render, struct template_value value); /* str() */
void template_write_repr(struct template_render *render, struct template_value value);
/* What is written between the two becomes a string instead of output; they nest. */
size_t template_capture_begin(struct template_render *render);
struct template_value template_capture_end(struct template_render *render, size_t mark);
/* str(value) as a string. */
struct template_value template_to_string(struct template_render *render,
                                         struct template_value value);

/* -- frames -- */

struct template_frame *template_frame_push(struct template_render *render,
                                           struct template_frame *parent);
/* Leaves the current frame for `back`. */
void template_frame_pop(struct template_render *render, struct template_frame *back);
void template_frame_set(struct template_render *render, uint32_t symbol,
                        struct template_value value);
struct template_value template_frame_find(const struct template_render *render, uint32_t symbol);

/* -- running -- */

struct template_value template_evaluate(struct template_render *render,
                                        const struct template_node *node);
void template_execute(struct template_render *render, const struct template_node *statements);
/* Assigns to a name, a namespace's attribute, or a tuple of them. */
void template_assign(struct template_render *render, const struct template_node *target,
                     struct template_value value);

/* The item that follows in a loop, MISSING at its end. */
struct template_value template_loop_peek(struct template_render *render,
                                         struct template_loop *loop);
struct template_value template_loop_attribute(struct template_render *render,
                                              struct template_loop *loop,
                                              struct template_value name);

#endif
