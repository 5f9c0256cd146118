/* A table of rows of WAYS buckets. A keyed hash of the address selects the row, so that an attacker
 * cannot choose addresses of the same row. A bucket stores only the time at which it was empty; its
 * tokens follow from the time that has passed since then. */
#include "server/base/buckets.h"

#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define WAYS          4
#define ROWS          (SM_BUCKETS / WAYS)
#define MINUTE_US     INT64_C(60000000)
#define ADDRESS_BYTES sizeof((struct sm_peer){0}.address)

struct bucket {
    uint8_t address[ADDRESS_BYTES];
    int64_t empty_us; /* monotonic time at which it was empty; 0: unused */
};

struct sm_buckets {
    pthread_mutex_t mutex;
    int64_t step_us; /* microseconds between two new tokens */
    uint8_t key[crypto_shorthash_KEYBYTES];
    struct bucket buckets[ROWS][WAYS];
};

enum sm_code sm_buckets_new(struct sm_buckets **out, int64_t per_minute, struct sm_err *err)
{
    struct sm_buckets *b = calloc(1, sizeof *b);
    *out = b;
    if (!b)
        return sm_err_set(err, SM_NOMEM, "buckets: out of memory");
    pthread_mutex_init(&b->mutex, NULL);
    b->step_us = MINUTE_US / per_minute;
    randombytes_buf(b->key, sizeof b->key);
    return SM_OK;
}

void sm_buckets_free(struct sm_buckets *b)
{
    if (!b)
        return;
    pthread_mutex_destroy(&b->mutex);
    free(b);
}

/* Returns the bucket of the address. A new address gets an unused bucket of the row, or replaces
 * the fullest one. */
static struct bucket *find(struct sm_buckets *b, const uint8_t address[ADDRESS_BYTES])
{
    uint8_t hash[crypto_shorthash_BYTES];
    crypto_shorthash(hash, address, ADDRESS_BYTES, b->key);
    struct bucket *row = b->buckets[(hash[0] | hash[1] << 8) % ROWS], *oldest = row;
    for (int i = 0; i < WAYS; i++) {
        if (row[i].empty_us != 0 && memcmp(row[i].address, address, ADDRESS_BYTES) == 0)
            return &row[i];
        if (row[i].empty_us < oldest->empty_us)
            oldest = &row[i];
    }
    memcpy(oldest->address, address, ADDRESS_BYTES);
    oldest->empty_us = 0;
    return oldest;
}

bool sm_buckets_take(struct sm_buckets *b, const struct sm_peer *client, int64_t now_ms,
                     int64_t *retry_s)
{
    const struct sm_peer group = sm_peer_group(client);
    int64_t now_us = now_ms * 1000, full_us = now_us - MINUTE_US;
    pthread_mutex_lock(&b->mutex);
    struct bucket *bucket = find(b, group.address);
    int64_t empty_us =
        bucket->empty_us == 0 || bucket->empty_us < full_us ? full_us : bucket->empty_us;
    bool taken = now_us - empty_us >= b->step_us;
    bucket->empty_us = empty_us + (taken ? b->step_us : 0);
    pthread_mutex_unlock(&b->mutex);
    *retry_s = taken ? 0 : (b->step_us - (now_us - empty_us)) / 1000000 + 1;
    return taken;
}
