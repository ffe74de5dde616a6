/* SPDX-License-Identifier: Apache-2.0 */
/* error.h -- an error is a value: a negative code, and a trail of who knew what.
 *
 * The level that detects a fault calls error_set(); each level above may add what only it knows
 * with error_wrap(), so that the text reads from the outside in:
 *     model 'q': tensor 'blk.0.attn_q.weight': truncated at byte 4096
 * Nobody below daemon/ logs. A NULL err is allowed everywhere: the caller wants the code alone.
 * No thread owns these; a struct error belongs to whoever declared it. */
#ifndef WEIR_BASE_ERROR_H
#define WEIR_BASE_ERROR_H

#define ERROR_TEXT_MAX 768

enum error_code {
    ERROR_INVALID = -1,     /* the input is malformed, hostile or out of range */
    ERROR_NOT_FOUND = -2,   /* the named thing does not exist */
    ERROR_NO_MEMORY = -3,   /* an allocation failed */
    ERROR_IO = -4,          /* the system said no; the text carries strerror() */
    ERROR_UNSUPPORTED = -5, /* well formed, but more than we implement */
    ERROR_BUSY = -6,        /* a named limit is reached; later may work */
    ERROR_REFUSED = -7,     /* a policy forbids it */
    ERROR_CLOSED = -8,      /* the other side is gone or draining */
};

struct error {
    int code;                  /* 0 while nothing happened */
    char text[ERROR_TEXT_MAX]; /* NUL-terminated, cut where it would not fit */
};

/* Fills err and returns code, so that a failing function can end `return error_set(...)`. */
int error_set(struct error *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "format: " before what err already says; returns err's code (ERROR_INVALID if err is
 * NULL, for the caller is failing already). */
int error_wrap(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* "what: strerror(saved_errno)" under ERROR_IO (ERROR_NO_MEMORY for ENOMEM, ERROR_NOT_FOUND for
 * ENOENT). */
int error_set_errno(struct error *err, int saved_errno, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* "out of memory" under ERROR_NO_MEMORY. */
int error_no_memory(struct error *err);

#endif
