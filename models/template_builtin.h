/* SPDX-License-Identifier: Apache-2.0 */
/* template_builtin.h -- what templates may call: filters, tests, methods and functions.
 *
 * Each is a row: its name, its parameters, the C function. The parser finds the row, so an unknown
 * name is a compile-time error; template_call_builtin() puts the arguments in the order of the
 * parameters and runs it. Tables are constant; any thread. */
#ifndef WEIR_MODELS_TEMPLATE_BUILTIN_H
#define WEIR_MODELS_TEMPLATE_BUILTIN_H

#include "models/template_render.h"

#define TEMPLATE_PARAMETERS_MAX 5u

/* Arguments as evaluated: positional ones first, then as many keyword ones as there are names. */
struct template_call {
    struct template_value values[TEMPLATE_ARGUMENTS_MAX];
    uint32_t positional_count, keyword_count;
    struct template_value names[TEMPLATE_ARGUMENTS_MAX];
};

/* arguments: one a parameter, MISSING where not given; of a variadic builtin, see `call`. */
typedef struct template_value (*template_builtin_run)(struct template_render *render,
                                                      struct template_value subject,
                                                      const struct template_value *arguments);
/* The same for builtins that take any arguments. */
typedef struct template_value (*template_builtin_run_variadic)(struct template_render *render,
                                                               struct template_value subject,
                                                               const struct template_call *call);

struct template_builtin {
    const char *name;
    template_builtin_run run; /* one of the two is set */
    template_builtin_run_variadic run_variadic;
    uint32_t required_count;                         /* parameters that must be given */
    const char *parameters[TEMPLATE_PARAMETERS_MAX]; /* then NULL */
};

/* NULL for a name not known. */
const struct template_builtin *template_find_filter(struct template_value name);
const struct template_builtin *template_find_sequence_filter(struct template_value name);
const struct template_builtin *template_find_test(struct template_value name);
const struct template_builtin *template_find_function(struct template_value name);
/* The method of an object, and whether any kind of object has a method of that name. */
const struct template_builtin *template_find_method(struct template_value object,
                                                    struct template_value name);
bool template_is_method(struct template_value name);
/* Does the method change its object, which the sandbox forbids? */
bool template_is_mutator(const struct template_builtin *method);

struct template_value template_call_builtin(struct template_render *render,
                                            const struct template_builtin *builtin,
                                            struct template_value subject,
                                            const struct template_call *call);
void template_evaluate_arguments(struct template_render *render,
                                 const struct template_arguments *arguments,
                                 struct template_call *call);
struct template_value template_call_macro(struct template_render *render,
                                          const struct template_macro *macro,
                                          const struct template_call *call);
/* Calls a macro, a function, or a bound method. */
struct template_value template_call_value(struct template_render *render,
                                          struct template_value callee,
                                          const struct template_call *call);

/* -- what several of them share -- */

/* object.name and object[key], undefined where there is no such thing. */
struct template_value template_get_attribute(struct template_render *render,
                                             struct template_value object,
                                             struct template_value name);
struct template_value template_get_item(struct template_render *render,
                                        struct template_value object, struct template_value key);
struct template_value template_get_slice(struct template_render *render,
                                         struct template_value object,
                                         const struct template_value bounds[3]);
struct template_value template_arithmetic(struct template_render *render,
                                          enum template_operator sign, struct template_value a,
                                          struct template_value b);
bool template_contains(struct template_render *render, struct template_value container,
                       struct template_value item);
/* Any comparing operator. */
bool template_relation(struct template_render *render, enum template_operator sign,
                       struct template_value a, struct template_value b);

/* len(), failing for what has none. */
int64_t template_length(struct template_render *render, struct template_value value);
/* An argument that must be an integer, or `fallback` where it is missing. */
int64_t template_integer_argument(struct template_render *render, struct template_value value,
                                  int64_t fallback);
/* An argument that must be a string (empty where missing; the render fails if it is another). */
struct template_value template_string_argument(struct template_render *render,
                                               struct template_value value);

/* Text: the methods of strings, which filters of the same name share. */
enum template_case { TEMPLATE_LOWER, TEMPLATE_UPPER, TEMPLATE_CAPITALIZE, TEMPLATE_TITLE };
uint32_t template_lower(const struct template_render *render, uint32_t codepoint);
struct template_value template_change_case(struct template_render *render,
                                           struct template_value text, enum template_case to);
/* The filter `title` finds words otherwise than str.title(). */
struct template_value template_title_filter(struct template_render *render,
                                            struct template_value text);
struct template_value template_strip(struct template_render *render, struct template_value text,
                                     struct template_value characters, bool left, bool right);
struct template_value template_replace(struct template_render *render, struct template_value text,
                                       const struct template_value *arguments);
struct template_list *template_split_lines(struct template_render *render,
                                           struct template_value text);
/* HTML's escapes, unless the text is safe already; the result is. */
struct template_value template_escape(struct template_render *render, struct template_value text);
size_t template_count_characters(const char *bytes, size_t count);

/* template_format.c */
struct template_value template_filter_tojson(struct template_render *render,
                                             struct template_value subject,
                                             const struct template_value *arguments);
struct template_value template_filter_from_json(struct template_render *render,
                                                struct template_value subject,
                                                const struct template_value *arguments);
void template_write_float(struct template_render *render, double real);

#endif
