/* Cursors of lists: where a page ended, bound to the list and the filter it was made for.
 *
 *     sm_cursor_encode(text, &filter, page.last_value, page.ids[page.count - 1]);
 *     if (!sm_cursor_decode(&filter, text)) …   // damaged, or of another filter
 *
 *     sm_cursor_put(text, "audits", 0, last_id);   // any list, named by a text with its filter
 *     if (!sm_cursor_get(&value, id, "audits", text)) …
 *
 * Owner, threads: no state. */
#ifndef SERVER_API_CURSOR_H
#define SERVER_API_CURSOR_H

#include "server/store/store.h"

#define SM_CURSOR_BYTES 56 /* base64url of 41 bytes, and a NUL */

/* `id` is a UUID in text; `list` is at most SM_CURSOR_LIST_MAX bytes. */
#define SM_CURSOR_LIST_MAX 400
void sm_cursor_put(char out[SM_CURSOR_BYTES], const char *list, uint64_t value, const char *id);
bool sm_cursor_get(uint64_t *value, char id[SM_ID_BYTES], const char *list, const char *text);

/* Those of the score list. */
void sm_cursor_encode(char out[SM_CURSOR_BYTES], const struct sm_score_filter *filter, double value,
                      const char *id);
/* Fills has_after, after_value and after_id of `filter`, whose other fields (but limit) must be
 * those of the page before. */
bool sm_cursor_decode(struct sm_score_filter *filter, const char *text);

#endif
