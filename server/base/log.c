/* One line, one write: lines of several threads do not mix, whether standard error is a terminal, a
 * file or a pipe (up to PIPE_BUF bytes). A log line must never stop the service, so failures end
 * here. */
#include "server/base/log.h"

#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/base/id.h"

static int log_fd = STDERR_FILENO;

void sm_log_to(int fd)
{
    log_fd = fd;
}

void sm_log(const char *level, const char *event, const char *pack_format, ...)
{
    char time[32];
    sm_time_format(time, sm_clock_unix_ms());
    json_t *line = json_pack("{s:s, s:s, s:s}", "time", time, "level", level, "event", event);
    if (line && pack_format) {
        json_error_t why;
        va_list args;
        va_start(args, pack_format);
        json_t *fields = json_vpack_ex(&why, 0, pack_format, args);
        va_end(args);
        if (fields)
            json_object_update_missing(line, fields);
        else /* a string that is not UTF-8, most likely */
            json_object_set_new(line, "fields_lost", json_string(why.text));
        json_decref(fields);
    }
    char *text = line ? json_dumps(line, JSON_COMPACT) : NULL;
    json_decref(line);
    if (!text)
        return;
    size_t length = strlen(text);
    text[length] = '\n'; /* in place of the NUL: the text is written by its length */
    ssize_t written;
    do
        written = write(log_fd, text, length + 1);
    while (written < 0 && errno == EINTR);
    free(text);
}
