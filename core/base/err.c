/* Errors are set in one line and carry their text; nothing here allocates. */
#include "sslmem/err.h"

#include <stdarg.h>
#include <stdio.h>

static const char *const names[] = {
    [SM_OK] = "ok",
    [SM_INVALID] = "invalid",
    [SM_NOT_FOUND] = "not_found",
    [SM_CONFLICT] = "conflict",
    [SM_UNSUPPORTED] = "unsupported",
    [SM_CORRUPT] = "corrupt",
    [SM_LIMIT] = "limit",
    [SM_BUSY] = "busy",
    [SM_FULL] = "disk_full",
    [SM_CANCELLED] = "cancelled",
    [SM_IO] = "io",
    [SM_NOMEM] = "no_memory",
    [SM_INTERNAL] = "internal",
};

const char *sm_code_name(enum sm_code code)
{
    return (size_t)code < sizeof names / sizeof *names ? names[code] : "internal";
}

static enum sm_code set(struct sm_err *err, enum sm_code code, const char *pointer,
                        const char *format, va_list args) __attribute__((format(printf, 4, 0)));

/* Names out of hostile files end up in texts, texts in logs, terminals and JSON: only printable
 * ASCII passes. */
static void make_printable(char *text)
{
    for (; *text; text++)
        if (*text < ' ' || *text > '~')
            *text = '?';
}

static enum sm_code set(struct sm_err *err, enum sm_code code, const char *pointer,
                        const char *format, va_list args)
{
    if (!err)
        return code;
    err->code = code;
    vsnprintf(err->text, sizeof err->text, format, args);
    snprintf(err->pointer, sizeof err->pointer, "%s", pointer);
    make_printable(err->text);
    make_printable(err->pointer);
    return code;
}

enum sm_code sm_err_set(struct sm_err *err, enum sm_code code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    set(err, code, "", format, args);
    va_end(args);
    return code;
}

enum sm_code sm_err_field(struct sm_err *err, const char *pointer, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    set(err, SM_INVALID, pointer, format, args);
    va_end(args);
    return SM_INVALID;
}
