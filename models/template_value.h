/* SPDX-License-Identifier: Apache-2.0 */
/* template_value.h -- what a template computes with: Python's values, as far as templates see them.
 *
 * A value is 16 bytes and passed by copy. What it points at lives in the arena of the render, of
 * the compiled template, or in the caller's JSON, and none of them frees while a render runs.
 * Strings are UTF-8 slices and never change; lists and dicts change only while being built, as in
 * Jinja's immutable sandbox; namespaces alone are written by templates. One render's thread. */
#ifndef WEIR_MODELS_TEMPLATE_VALUE_H
#define WEIR_MODELS_TEMPLATE_VALUE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct template_builtin;
struct template_macro;
struct template_loop;
struct template_render;

enum template_kind {
    TEMPLATE_MISSING, /* an argument that was not given; no template ever sees it */
    TEMPLATE_UNDEFINED,
    TEMPLATE_NONE,
    TEMPLATE_BOOL,
    TEMPLATE_INTEGER,
    TEMPLATE_FLOAT,
    TEMPLATE_STRING,
    TEMPLATE_LIST,
    TEMPLATE_TUPLE,
    TEMPLATE_VIEW,     /* dict.keys(), .values(), .items(): has a length, but no [index] */
    TEMPLATE_ITERATOR, /* map, select, reverse, items: runs once, no length, always true */
    TEMPLATE_DICT,
    TEMPLATE_NAMESPACE,
    TEMPLATE_LOOP,
    TEMPLATE_MACRO,
    TEMPLATE_FUNCTION,
    TEMPLATE_METHOD, /* a builtin bound to its object */
};

/* The detail of an undefined value: what to say when a template does more than print it. */
enum template_undefined {
    TEMPLATE_UNDEFINED_NAME = 0, /* 'x' is undefined */
    /* 1 to 63: the kind of the object that has no such attribute */
    TEMPLATE_UNDEFINED_HINT = 64,    /* the bytes are the whole message */
    TEMPLATE_UNDEFINED_UNSAFE = 128, /* plus the kind: the attribute would change its object */
};

/* The detail of a string that |safe or |escape gave: "+" escapes what is joined to it, as Markup
 * does in Python. It prints as any other. */
#define TEMPLATE_SAFE 1

struct template_value {
    uint8_t kind;   /* enum template_kind */
    uint8_t detail; /* undefined: enum template_undefined; string: TEMPLATE_SAFE or 0 */
    uint32_t count; /* string, undefined: bytes */
    union {
        bool boolean;
        int64_t integer;
        double real;
        const char *bytes;          /* string; undefined: the name */
        struct template_list *list; /* list, tuple, view, iterator */
        struct template_dict *dict; /* dict, namespace */
        struct template_loop *loop;
        struct template_macro *macro;
        const struct template_builtin *builtin;
        struct template_method *method;
    };
};

struct template_list {
    struct template_value *items;
    uint32_t count, capacity;
    uint32_t taken;  /* by an iterator: items already gone */
    uint32_t height; /* 1 + that of the highest item, so that nothing nests without bound */
};

struct template_entry {
    struct template_value key, value;
};

struct template_dict {
    struct template_entry *entries; /* in the order of insertion */
    uint32_t count, capacity;
    uint32_t height;
};

struct template_method {
    struct template_value self;
    const struct template_builtin *builtin;
};

/* A literal of C as a template's string. */
#define TEMPLATE_STRING_OF(literal) template_string((literal), sizeof(literal) - 1)

struct template_value template_none(void);
struct template_value template_bool(bool boolean);
struct template_value template_integer(int64_t integer);
struct template_value template_float(double real);
struct template_value template_string(const char *bytes, size_t count); /* borrows */
struct template_value template_undefined(const char *name, size_t count);
struct template_value template_sequence(enum template_kind kind, struct template_list *list);

static inline bool template_is_number(struct template_value value)
{
    return value.kind >= TEMPLATE_BOOL && value.kind <= TEMPLATE_FLOAT;
}

static inline bool template_is_integral(struct template_value value) /* Python's int, bool too */
{
    return value.kind == TEMPLATE_BOOL || value.kind == TEMPLATE_INTEGER;
}

int64_t template_to_integer(struct template_value value); /* of an integral value */
double template_to_double(struct template_value value);   /* of a number */

bool template_truthy(struct template_value value);
bool template_string_is(struct template_value value, const char *text);
/* What Python calls the type: "str", "list", "NoneType". */
const char *template_type_name(struct template_value value);

/* Python's ==. Undefined equals undefined. */
bool template_equal(struct template_render *render, struct template_value a,
                    struct template_value b);
/* Python's order: negative, 0 or positive. `sign` ("<") is for the message when there is none;
 * the render has then failed. */
int template_compare(struct template_render *render, struct template_value a,
                     struct template_value b, const char *sign);

/* Lists and dicts under construction. NULL or false once the render has failed. */
struct template_list *template_list_new(struct template_render *render, uint32_t capacity);
bool template_list_append(struct template_render *render, struct template_list *list,
                          struct template_value value);
struct template_dict *template_dict_new(struct template_render *render, uint32_t capacity);
bool template_dict_set(struct template_render *render, struct template_dict *dict,
                       struct template_value key, struct template_value value);
/* Fails for what can't be a key: a list, a dict, or a tuple that holds one. */
bool template_check_key(struct template_render *render, struct template_value key);
/* NULL when there is none; valid until the dict changes. */
struct template_value *template_dict_find(struct template_render *render,
                                          const struct template_dict *dict,
                                          struct template_value key);

/* What Python's iter() runs over, as a list: of a dict its keys, of a string its characters, of
 * undefined nothing. An iterator is used up. Never NULL: what can't be iterated fails the render
 * and is an empty list. Not to be appended to. */
struct template_list *template_iterate(struct template_render *render, struct template_value value);

/* JSON as a value. Strings are borrowed from it. */
struct template_value template_from_json(struct template_render *render, json_t *json);

#endif
