/* SPDX-License-Identifier: Apache-2.0 */
/* template_render.c -- memory, budgets, output and scopes of one run.
 *
 * Output and captures share one text, used as a stack:
 *
 *     out:  [ caller's bytes | output so far | macro's text so far | a filter's text ... ]
 *           ^                ^               ^
 *           |                out_start       mark of a capture
 *           never touched
 *
 * Ending a capture moves what lies above its mark to the string heap. So every text under
 * construction, however deep, counts against the one limit on output.
 *
 * The string heap lays new strings end to end, so a + b, where a is the string laid last, is
 * done by laying b behind it: `ns.text = ns.text + piece` in a loop is linear. It is safe since
 * strings never change and carry their length: a stays what it was. */
#include "models/template_render.h"

#include "models/chat_template.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define HEAP_CHUNK_BYTES 4096u
#define FRAME_BINDINGS   8u

/* -- failure and budgets -- */

struct template_value template_fail(struct template_render *render, const char *format, ...)
{
    if (render->failed == 0) {
        char text[512];
        va_list arguments;
        va_start(arguments, format);
        (void)vsnprintf(text, sizeof text, format, arguments);
        va_end(arguments);
        render->failed =
            error_set(render->err, ERROR_INVALID, "chat template line %u: %s", render->line, text);
    }
    return template_undefined("", 0);
}

struct template_value template_raise(struct template_render *render, struct template_value text)
{
    if (render->failed == 0) {
        int count = text.count < 512 ? (int)text.count : 512;
        render->failed =
            error_set(render->err, ERROR_INVALID, "chat template: %.*s", count, text.bytes);
    }
    return template_undefined("", 0);
}

struct template_value template_fail_undefined(struct template_render *render,
                                              struct template_value value)
{
    int count = value.count < 200 ? (int)value.count : 200;
    if (value.detail == TEMPLATE_UNDEFINED_NAME)
        return template_fail(render, "'%.*s' is undefined", count, value.bytes);
    if (value.detail == TEMPLATE_UNDEFINED_HINT)
        return template_fail(render, "%.*s", count, value.bytes);
    struct template_value owner = {.kind = value.detail & 63u};
    if (value.detail & TEMPLATE_UNDEFINED_UNSAFE)
        return template_fail(render, "'%.*s' would change a '%s', which templates may not", count,
                             value.bytes, template_type_name(owner));
    return template_fail(render, "'%s' object has no attribute '%.*s'", template_type_name(owner),
                         count, value.bytes);
}

bool template_charge(struct template_render *render, uint64_t steps)
{
    if (render->failed != 0)
        return false;
    if (steps > render->steps_left) {
        template_fail(render, "takes more than %u steps", CHAT_TEMPLATE_STEPS_MAX);
        return false;
    }
    render->steps_left -= (uint32_t)steps;
    return true;
}

bool template_charge_bytes(struct template_render *render, size_t bytes)
{
    return template_charge(render, bytes / TEMPLATE_STEP_BYTES);
}

/* -- memory -- */

void *template_alloc(struct template_render *render, size_t bytes)
{
    if (!template_charge_bytes(render, bytes))
        return NULL;
    void *memory = arena_alloc(render->arena, bytes);
    if (memory == NULL)
        template_fail(render, "takes more than %u bytes of memory", TEMPLATE_MEMORY_BYTES_MAX);
    return memory;
}

/* Room at the end of the heap; a chunk twice as long as what is needed starts when there is
 * none, so that a string that grows moves only a logarithmic number of times. */
static char *heap_room(struct template_render *render, size_t count)
{
    if (render->heap_capacity - render->heap_used < count || render->heap == NULL) {
        size_t capacity = count < HEAP_CHUNK_BYTES / 2 ? HEAP_CHUNK_BYTES : count * 2;
        render->heap = template_alloc(render, capacity);
        render->heap_used = 0;
        render->heap_capacity = render->heap != NULL ? capacity : 0;
    }
    return render->heap != NULL ? render->heap + render->heap_used : NULL;
}

char *template_string_room(struct template_render *render, size_t count)
{
    if (render->failed != 0 || !template_charge_bytes(render, count))
        return NULL;
    char *room;
    if (count > HEAP_CHUNK_BYTES / 4 && render->heap_capacity - render->heap_used < count)
        return template_alloc(render, count); /* long and final: leave the chunk to others */
    room = heap_room(render, count);
    if (room != NULL)
        render->heap_used += count;
    return room;
}

struct template_value template_string_join(struct template_render *render, struct template_value a,
                                           struct template_value b)
{
    if (a.count == 0 || b.count == 0)
        return a.count == 0 ? b : a;
    if (!template_charge_bytes(render, b.count))
        return a;
    bool last = render->heap != NULL && a.bytes + a.count == render->heap + render->heap_used;
    if (last && render->heap_capacity - render->heap_used >= b.count) {
        memcpy(render->heap + render->heap_used, b.bytes, b.count);
        render->heap_used += b.count;
        return template_string(a.bytes, (size_t)a.count + b.count);
    }
    size_t count = (size_t)a.count + b.count;
    if (!template_charge_bytes(render, a.count))
        return a;
    char *room = heap_room(render, count);
    if (room == NULL)
        return a;
    memcpy(room, a.bytes, a.count);
    memcpy(room + a.count, b.bytes, b.count);
    render->heap_used += count;
    return template_string(room, count);
}

/* -- output -- */

void template_write(struct template_render *render, const char *bytes, size_t count)
{
    if (count == 0 || !template_charge_bytes(render, count))
        return;
    if (count > CHAT_TEMPLATE_OUTPUT_BYTES_MAX - (render->out->count - render->out_start)) {
        template_fail(render, "writes more than %u bytes", CHAT_TEMPLATE_OUTPUT_BYTES_MAX);
        return;
    }
    text_append(render->out, bytes, count);
    if (render->out->failed)
        render->failed = error_no_memory(render->err);
}

void template_write_text(struct template_render *render, const char *text)
{
    template_write(render, text, strlen(text));
}

void template_write_char(struct template_render *render, uint32_t codepoint)
{
    char bytes[4];
    template_write(render, bytes, utf8_encode(codepoint, bytes));
}

size_t template_capture_begin(struct template_render *render)
{
    return render->out->count;
}

struct template_value template_capture_end(struct template_render *render, size_t mark)
{
    if (render->failed != 0)
        return template_string("", 0);
    size_t count = render->out->count - mark;
    char *room = count > 0 ? template_string_room(render, count) : NULL;
    if (room == NULL)
        return template_string("", 0);
    memcpy(room, render->out->bytes + mark, count);
    render->out->count = mark;
    render->out->bytes[mark] = '\0';
    return template_string(room, count);
}

struct template_value template_to_string(struct template_render *render,
                                         struct template_value value)
{
    if (value.kind == TEMPLATE_STRING)
        return value;
    size_t mark = template_capture_begin(render);
    template_write_value(render, value);
    return template_capture_end(render, mark);
}

/* -- frames -- */

struct template_frame *template_frame_push(struct template_render *render,
                                           struct template_frame *parent)
{
    struct template_frame *frame = render->free_frames;
    if (frame != NULL) {
        render->free_frames = frame->parent;
    } else {
        frame = template_alloc(render, sizeof *frame);
        if (frame == NULL)
            return NULL;
        frame->bindings = template_alloc(render, FRAME_BINDINGS * sizeof *frame->bindings);
        if (frame->bindings == NULL)
            return NULL;
        frame->capacity = FRAME_BINDINGS;
    }
    frame->parent = parent;
    frame->count = 0;
    render->frame = frame;
    return frame;
}

void template_frame_pop(struct template_render *render, struct template_frame *back)
{
    struct template_frame *frame = render->frame;
    render->frame = back;
    if (frame->captured)
        return;
    frame->parent = render->free_frames;
    render->free_frames = frame;
}

static bool grow_frame(struct template_render *render, struct template_frame *frame)
{
    struct template_binding *grown =
        template_alloc(render, 2 * (size_t)frame->capacity * sizeof *grown);
    if (grown == NULL)
        return false;
    memcpy(grown, frame->bindings, frame->count * sizeof *grown);
    frame->bindings = grown;
    frame->capacity *= 2;
    return true;
}

void template_frame_set(struct template_render *render, uint32_t symbol,
                        struct template_value value)
{
    struct template_frame *frame = render->frame;
    if (frame == render->root) {
        frame->bindings[symbol].value = value;
        return;
    }
    for (uint32_t i = 0; i < frame->count; i++)
        if (frame->bindings[i].symbol == symbol) {
            frame->bindings[i].value = value;
            return;
        }
    if (frame->count == frame->capacity && !grow_frame(render, frame))
        return;
    frame->bindings[frame->count++] = (struct template_binding){symbol, value};
}

struct template_value template_frame_find(const struct template_render *render, uint32_t symbol)
{
    for (const struct template_frame *frame = render->frame; frame != render->root;
         frame = frame->parent)
        for (uint32_t i = 0; i < frame->count; i++)
            if (frame->bindings[i].symbol == symbol)
                return frame->bindings[i].value;
    return render->root->bindings[symbol].value;
}
