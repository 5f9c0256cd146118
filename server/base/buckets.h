/* Token buckets by network address: how often an address may do something that is bad but not a
 * crime.
 *
 *     if (!sm_buckets_take(buckets, &client, sm_clock_monotonic_ms(), &retry_s)) … // 429
 *
 * A bucket holds as many as a minute gives and fills up evenly. IPv6 addresses count by their /64,
 * which is what one client has. The table has SM_BUCKETS places and no more: a new address takes
 * the place of the fullest bucket of its row, which is the one that loses least by it.
 *
 * Owner: the caller frees. Threads: any. */
#ifndef SERVER_BASE_BUCKETS_H
#define SERVER_BASE_BUCKETS_H

#include <stdbool.h>
#include <stdint.h>

#include "server/base/peer.h"
#include "sslmem/err.h"

#define SM_BUCKETS 4096

struct sm_buckets;
enum sm_code sm_buckets_new(struct sm_buckets **out, int64_t per_minute, struct sm_err *err);
void sm_buckets_free(struct sm_buckets *buckets);

/* Takes one; false when there is none, with the seconds until there is. Unknown
 * addresses share a bucket. */
bool sm_buckets_take(struct sm_buckets *buckets, const struct sm_peer *client, int64_t now_ms,
                     int64_t *retry_s);

#endif
