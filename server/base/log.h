/* Log: one JSON object per line on standard error: time, level (info, warning, error), event,
 * fields in jansson's pack format under other names than these. No image content, no full digests.
 *
 *     sm_log("info", "listening", "{s:s, s:i}", "address", a, "port", p);
 *
 * Threads: any. */
#ifndef SERVER_BASE_LOG_H
#define SERVER_BASE_LOG_H

/* Where lines go from here on; standard error before. To be called before there are threads. */
void sm_log_to(int fd);

void sm_log(const char *level, const char *event, const char *pack_format, ...);

/* The same of fields that are JSON already, without braces: for what is logged with every request,
 * where packing them would be a quarter of the work of a refusal. NULL: none. */
void sm_log_json(const char *level, const char *event, const char *fields);

#endif
