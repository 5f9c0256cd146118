/* Cursors of the score list: where a page ended, bound to the filter it was made for.
 *
 *     sm_cursor_encode(text, &filter, page.last_value, page.last_id);
 *     if (!sm_cursor_decode(&filter, text)) …   // damaged, or of another filter
 *
 * Owner, threads: no state. */
#ifndef SERVER_API_CURSOR_H
#define SERVER_API_CURSOR_H

#include "server/store/store.h"

#define SM_CURSOR_BYTES 56 /* base64url of 41 bytes, and a NUL */

/* `id` is a UUID in text. */
void sm_cursor_encode(char out[SM_CURSOR_BYTES], const struct sm_score_filter *filter, double value,
                      const char *id);
/* Fills has_after, after_value and after_id of `filter`, whose other fields (but limit) must be
 * those of the page before. */
bool sm_cursor_decode(struct sm_score_filter *filter, const char *text);

#endif
