/* Errors: one closed list of codes, one line of text, owned by the caller.
 *
 *     struct sm_err err = {0};
 *     if (sm_image_decode(&img, bytes, n, false, NULL, &err) != SM_OK)
 *         fprintf(stderr, "%s\n", err.text);
 *
 * Owner:   the caller; nothing to free.
 * Threads: no shared state.
 * Rules:   a failing function fills `err` and returns its code; a succeeding one leaves it
 * untouched. The text names the thing and both numbers ("tensor fc.weight ends at byte 812, file
 * has 800") and never repeats the caller's verb; it is UTF-8 without anything that is unsafe to
 * show (core/base/escape.h). `pointer` is the RFC 6901 pointer of the bad field
 * when the error is about a JSON document, else empty. */
#ifndef SSLMEM_ERR_H
#define SSLMEM_ERR_H

enum sm_code {
    SM_OK,
    SM_INVALID,     /* an argument or document says something it may not */
    SM_NOT_FOUND,   /* a named thing does not exist */
    SM_CONFLICT,    /* two things that must agree do not */
    SM_UNSUPPORTED, /* well formed, but of a kind we do not read */
    SM_CORRUPT,     /* a file or message breaks its own format */
    SM_LIMIT,       /* over a named limit */
    SM_BUSY,        /* full or locked now; later may succeed */
    SM_FULL,        /* the disk, or a file that may not grow, has no room; later may succeed */
    SM_CANCELLED,
    SM_IO,
    SM_NOMEM,
    SM_INTERNAL /* our own mistake */
};

struct sm_err {
    enum sm_code code;
    char text[240];
    char pointer[80];
};

/* Fills `err` (which may be NULL) and returns `code`. */
enum sm_code sm_err_set(struct sm_err *err, enum sm_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* As sm_err_set, for the field of a JSON document at `pointer`; the code is SM_INVALID. */
enum sm_code sm_err_field(struct sm_err *err, const char *pointer, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* "invalid", "not_found", …: stable names, used in stored records and problem documents. */
const char *sm_code_name(enum sm_code code);

#endif
