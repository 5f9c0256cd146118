/* Errors: a closed list of codes and one line of text, in a struct that the caller owns.
 *
 *     struct sm_err err = {0};
 *     if (sm_image_decode(&img, bytes, n, false, NULL, &err) != SM_OK)
 *         fprintf(stderr, "%s\n", err.text);
 *
 * Owner:   the caller owns the struct; nothing needs to be freed.
 * Threads: no shared state.
 * Rules:   a function that fails fills `err` and returns its code; one that succeeds leaves `err`
 *          untouched. The text names the thing and both numbers ("tensor fc.weight ends at byte
 *          812, file has 800") and does not say what the caller tried to do. It is UTF-8 without
 *          characters that are unsafe to show (core/base/escape.h). For an error in a JSON document
 *          `pointer` is the RFC 6901 pointer of the bad field; otherwise it is empty. */
#ifndef SSLMEM_ERR_H
#define SSLMEM_ERR_H

enum sm_code {
    SM_OK,
    SM_INVALID,     /* an argument or a field of a document has a forbidden value */
    SM_NOT_FOUND,   /* a named thing does not exist */
    SM_CONFLICT,    /* two things that must agree differ */
    SM_UNSUPPORTED, /* well formed, but of a kind that the library does not read */
    SM_CORRUPT,     /* a file or message breaks its own format */
    SM_LIMIT,       /* a size or count exceeds a named limit */
    SM_BUSY,        /* full or locked now; a retry may succeed */
    SM_FULL,        /* the disk, or a file of limited size, has no room; a retry may succeed */
    SM_CANCELLED,
    SM_IO,
    SM_NOMEM,
    SM_INTERNAL /* a bug in this program */
};

struct sm_err {
    enum sm_code code;
    char text[320];
    char pointer[80];
};

/* Fills `err` (which may be NULL) and returns `code`. */
enum sm_code sm_err_set(struct sm_err *err, enum sm_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Fills `err` (which may be NULL) for the JSON field at `pointer` and returns SM_INVALID. */
enum sm_code sm_err_field(struct sm_err *err, const char *pointer, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Returns the name of a code: "invalid", "not_found", …. Stored records and problem documents use
 * these names, so they never change. */
const char *sm_code_name(enum sm_code code);

#endif
