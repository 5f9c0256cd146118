/* Cursors of lists. A cursor says where a page ended; it is valid only for its own list and filter.
 *
 *     sm_cursor_encode(text, &filter, page.last_value, page.ids[page.count - 1]);
 *     if (!sm_cursor_decode(&filter, text)) …   // damaged, or of another filter
 *
 *     sm_cursor_put(text, "audits", 0, last_id);   // any list: the text names list and filter
 *     if (!sm_cursor_get(&value, id, "audits", text)) …
 *
 * Owner, threads: no state. */
#ifndef SERVER_API_CURSOR_H
#define SERVER_API_CURSOR_H

#include "server/store/store.h"

#define SM_CURSOR_BYTES 56 /* base64url of 41 bytes, and a NUL */

/* Write and read a cursor of any list: sort value and id (a UUID as text) of the page's last row.
 * `list` names the list and its filter in at most SM_CURSOR_LIST_MAX bytes. sm_cursor_get returns
 * false for a damaged text or a cursor of another list. */
#define SM_CURSOR_LIST_MAX 400
void sm_cursor_put(char out[SM_CURSOR_BYTES], const char *list, uint64_t value, const char *id);
bool sm_cursor_get(uint64_t *value, char id[SM_ID_BYTES], const char *list, const char *text);

/* Writes a cursor of the score list; `value` and `id` are those of the page's last row. */
void sm_cursor_encode(char out[SM_CURSOR_BYTES], const struct sm_score_filter *filter, double value,
                      const char *id);
/* Sets has_after, after_value and after_id of `filter`. Returns false for a damaged text, or if the
 * other fields (except `limit`) are not those that the cursor was made with. */
bool sm_cursor_decode(struct sm_score_filter *filter, const char *text);

#endif
