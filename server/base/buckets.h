/* Token buckets per network address. They limit how often an address may do something that is
 * tolerated in small numbers, such as sending a wrong API key.
 *
 *     if (!sm_buckets_take(buckets, &client, sm_clock_monotonic_ms(), &retry_s)) … // 429
 *
 * A bucket holds the tokens of one minute and refills evenly. The IPv6 addresses of a /64, which
 * one client has, share a bucket. The table has SM_BUCKETS buckets and does not grow: a new address
 * replaces the fullest bucket of its row, whose address loses the least.
 *
 * Owner: the caller frees the table. Threads: any. */
#ifndef SERVER_BASE_BUCKETS_H
#define SERVER_BASE_BUCKETS_H

#include <stdbool.h>
#include <stdint.h>

#include "server/base/peer.h"
#include "sslmem/err.h"

#define SM_BUCKETS 4096

struct sm_buckets;
/* Makes a table of full buckets with `per_minute` tokens each (at least 1). Errors: SM_NOMEM. */
enum sm_code sm_buckets_new(struct sm_buckets **out, int64_t per_minute, struct sm_err *err);
void sm_buckets_free(struct sm_buckets *buckets);

/* Takes a token from the client's bucket. If the bucket is empty, returns false and sets *retry_s
 * to the seconds until its next token. All unknown addresses share one bucket. */
bool sm_buckets_take(struct sm_buckets *buckets, const struct sm_peer *client, int64_t now_ms,
                     int64_t *retry_s);

#endif
