/* Error texts may contain names from hostile files and are later shown in logs, terminals and JSON.
 * Therefore every text is escaped here, when it is set. Nothing allocates. */
#include "sslmem/err.h"

#include <stdarg.h>
#include <stdio.h>

#include "core/base/escape.h"

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

static enum sm_code set(struct sm_err *err, enum sm_code code, const char *pointer,
                        const char *format, va_list args)
{
    char text[sizeof err->text], at[sizeof err->pointer];
    if (!err)
        return code;
    vsnprintf(text, sizeof text, format, args);
    snprintf(at, sizeof at, "%s", pointer);
    err->code = code;
    sm_escape(err->text, sizeof err->text, text);
    sm_escape(err->pointer, sizeof err->pointer, at);
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
