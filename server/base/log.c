/* Each line is one write, so lines of several threads do not mix in a terminal, a file or a pipe
 * (up to PIPE_BUF bytes). Logging must never stop the service, so a failed write is ignored. JSON
 * escapes only C0 control characters; sm_escape_json escapes the rest that is unsafe on a
 * terminal. */
#include "server/base/log.h"

#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/base/escape.h"
#include "core/base/json.h"
#include "server/base/clock.h"

static int log_fd = STDERR_FILENO;

void sm_log_to(int fd)
{
    log_fd = fd;
}

void sm_log_json(const char *level, const char *event, const char *fields)
{
    char time[32], head[160];
    char *safe = fields ? sm_escape_json(fields) : NULL;
    if (fields && !safe)
        fields = "\"fields_lost\":\"no memory\"";
    else
        fields = safe;
    sm_time_format(time, sm_clock_unix_ms());
    int length =
        snprintf(head, sizeof head, "{\"time\":\"%s\",\"level\":\"%.16s\",\"event\":\"%.48s\"%s",
                 time, level, event, fields ? "," : "");
    struct iovec line[] = {{head, (size_t)length},
                           {(void *)(uintptr_t)fields, fields ? strlen(fields) : 0},
                           {(char[]){"}\n"}, 2}};
    ssize_t written;
    do
        written = writev(log_fd, line, sizeof line / sizeof *line);
    while (written < 0 && errno == EINTR);
    free(safe);
}

/* Returns the fields as JSON text without braces, which the caller frees. NULL: no fields, or out
 * of memory. */
static char *fields_text(const char *pack_format, va_list args)
{
    json_error_t why;
    json_t *fields = json_vpack_ex(&why, 0, pack_format, args);
    if (!fields) /* most likely a string that is not UTF-8 */
        fields = json_pack("{s:s}", "fields_lost", why.text);
    bool any = json_object_size(fields) > 0;
    char *text = any ? sm_json_text(fields, JSON_COMPACT | JSON_EMBED) : NULL;
    json_decref(fields);
    return text;
}

void sm_log(const char *level, const char *event, const char *pack_format, ...)
{
    char *fields = NULL;
    if (pack_format) {
        va_list args;
        va_start(args, pack_format);
        fields = fields_text(pack_format, args);
        va_end(args);
    }
    sm_log_json(level, event, fields);
    free(fields);
}
