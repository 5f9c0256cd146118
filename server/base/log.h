/* Log: one JSON object per line on standard error with time, level (info, warning or error), event
 * and the caller's fields. The fields are given in jansson's pack format and need other names than
 * the first three. Never log image content or whole digests.
 *
 *     sm_log("info", "listening", "{s:s, s:i}", "address", a, "port", p);
 *
 * Threads: any. */
#ifndef SERVER_BASE_LOG_H
#define SERVER_BASE_LOG_H

/* Sends later lines to `fd` in place of standard error. Call it before other threads start. */
void sm_log_to(int fd);

void sm_log(const char *level, const char *event, const char *pack_format, ...);

/* Logs fields that are JSON text already, without the outer braces; NULL: no fields. It serves the
 * log line of every request: packing those fields would take a quarter of the time of a refusal. */
void sm_log_json(const char *level, const char *event, const char *fields);

#endif
