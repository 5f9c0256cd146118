/* A claim takes the first queued item of the first job that has one. Plain jobs come before audits;
 * jobs of one kind come in the order of their turn, which is the time of admission plus the cost of
 * the job's dearest item. So a short request does not wait behind a long one, equal requests keep
 * their order, and every job is reached: a job admitted later than its turn comes after it. Within
 * a job, lost items come last. Two partial indexes hold only the candidates: `job_queued` has the
 * jobs, `item_queued` their items. A claim waits in memory, on the count of claimable items, and
 * uses the database only when the count says that there is an item.
 *
 * A standing claim runs in the transaction that made its item claimable, so it subtracts the item
 * from the count before that transaction adds it. Its errors are not reported: it ends without an
 * item, and the worker meets the error again in sm_store_claim.
 *
 * The image of an audit's item may be a file. The file is read outside of the transaction and must
 * still have the digest with which it was admitted. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/sha256.h"
#include "server/base/clock.h"
#include "server/store/claim.h"
#include "server/store/impl.h"
#include "sslmem/image.h"

struct claiming {
    struct sm_write write;
    struct sm_claim *claim;
    const char *owner;
    int64_t cost_ms_max; /* INT64_MAX: any cost, and audits too */
    char *path;          /* of the image's file; NULL: the bytes are in the database */
};

static const char any_sql[] =
    "SELECT id FROM job WHERE queued_count > 0 AND state IN ('queued', 'running') "
    "ORDER BY kind DESC, turn_ms, id LIMIT 1";
static const char cheap_sql[] =
    "SELECT id FROM job WHERE queued_count > 0 AND state IN ('queued', 'running') AND "
    "kind = 'score' AND item_cost_ms <= $max ORDER BY item_cost_ms, id LIMIT 1";

/* SM_NOT_FOUND if no item is queued. */
static enum sm_code pick_job(char id[SM_ID_BYTES], int64_t cost_ms_max, struct sm_db *db,
                             struct sm_err *err)
{
    bool found, cheap = cost_ms_max < INT64_MAX;
    enum sm_code code = sm_db_row(&found, db, cheap ? cheap_sql : any_sql,
                                  SM_BIND(SM_INT(cheap ? "$max" : NULL, cost_ms_max)),
                                  SM_COLUMNS(SM_GET_ID(id)), err);
    if (code == SM_OK && !found)
        code = sm_err_set(err, SM_NOT_FOUND, "no item is queued");
    return code;
}

/* Leases the job's first queued item. */
static enum sm_code lease_item(struct sm_claim *claim, struct sm_db *db, const char *owner,
                               struct sm_err *err)
{
    bool found;
    enum sm_code code = sm_db_row(
        &found, db,
        "UPDATE item SET state = 'running', attempt = attempt + 1, lease_owner = $owner, "
        "lease_until_ms = $until WHERE job_id = $job AND idx = (SELECT idx FROM item WHERE "
        "job_id = $job AND state = 'queued' ORDER BY attempt, idx LIMIT 1) "
        "RETURNING idx, attempt, image_digest, cost_ms",
        SM_BIND(SM_HEX("$job", claim->job_id), SM_TEXT("$owner", owner),
                SM_INT("$until", sm_clock_unix_ms() + SM_LEASE_MS)),
        SM_COLUMNS(SM_GET_INT32(&claim->index), SM_GET_INT32(&claim->attempt),
                   SM_GET_DIGEST(claim->image_digest), SM_GET_INT(&claim->cost_ms)),
        err);
    if (code == SM_OK && !found)
        code =
            sm_err_set(err, SM_CORRUPT, "job %s counts queued items and has none", claim->job_id);
    return code;
}

static enum sm_code copy_image(struct claiming *c, const struct sm_stmt *q, struct sm_err *err)
{
    struct sm_claim *claim = c->claim;
    if (!sm_stmt_is_null(q, 4)) {
        c->path = strdup(sm_stmt_get_text(q, 4));
        return c->path ? SM_OK : sm_err_set(err, SM_NOMEM, "path of an image: out of memory");
    }
    const void *bytes = sm_stmt_get_blob(q, 3, &claim->bytes_count);
    claim->bytes = malloc(claim->bytes_count + 1);
    if (!claim->bytes)
        return sm_err_set(err, SM_NOMEM, "image of %zu bytes: out of memory", claim->bytes_count);
    if (claim->bytes_count > 0)
        memcpy(claim->bytes, bytes, claim->bytes_count);
    return SM_OK;
}

/* Reads the digest of the pair for which the audit was made; "" if the document has none. */
static void read_pair_digest(struct sm_claim *claim, const struct sm_stmt *q)
{
    json_t *pair = json_loads(sm_stmt_get_text(q, 6), 0, NULL);
    const char *digest = json_string_value(json_object_get(pair, "digest"));
    snprintf(claim->pair_digest, sizeof claim->pair_digest, "%s", digest ? digest : "");
    json_decref(pair);
}

static enum sm_code claim_of_row(void *arg, const struct sm_stmt *q, struct sm_err *err)
{
    struct claiming *c = arg;
    struct sm_claim *claim = c->claim;
    json_error_t why;
    snprintf(claim->pair, sizeof claim->pair, "%s", sm_stmt_get_text(q, 0));
    sm_stmt_get_digest(claim->recipe_digest, q, 1);
    claim->recipe = json_loads(sm_stmt_get_text(q, 2), 0, &why);
    if (!claim->recipe)
        return sm_err_set(err, SM_CORRUPT, "recipe %s: stored document: %s", claim->recipe_digest,
                          why.text);
    snprintf(claim->origin.request, sizeof claim->origin.request, "%s", sm_stmt_get_text(q, 7));
    snprintf(claim->origin.trace, sizeof claim->origin.trace, "%s", sm_stmt_get_text(q, 8));
    claim->audit = !sm_stmt_is_null(q, 5);
    claim->keep_thumbnail = sm_stmt_get_int(q, 5) != 0;
    claim->keep_pixels = sm_stmt_get_int(q, 10) != 0;
    if (claim->audit)
        read_pair_digest(claim, q);
    claim->tenant = sm_stmt_get_int(q, 9);
    return copy_image(c, q, err);
}

static enum sm_code load_item(struct claiming *c, struct sm_db *db, struct sm_err *err)
{
    struct sm_claim *claim = c->claim;
    int64_t rows;
    enum sm_code code = sm_db_each(
        &rows, db,
        "SELECT job.pair, job.recipe_digest, recipe.body, image.bytes, image.path, "
        "audit.keep_thumbnails, audit.pair_document, job.request, job.trace, "
        "job.tenant_id, audit.keep_pixels FROM job LEFT JOIN audit ON audit.job_id = job.id "
        "JOIN recipe ON recipe.digest = job.recipe_digest "
        "JOIN image ON image.job_id = job.id AND image.idx = $idx WHERE job.id = $job",
        SM_BIND(SM_HEX("$job", claim->job_id), SM_INT("$idx", claim->index)), claim_of_row, c, err);
    if (code == SM_OK && rows == 0)
        code = sm_err_set(err, SM_CORRUPT, "item %d of job %s has no image", claim->index,
                          claim->job_id);
    return code;
}

static enum sm_code run_claim(struct sm_write *write, struct sm_db *db, struct sm_err *err)
{
    struct claiming *c = (struct claiming *)write;
    const char *job_id = c->claim->job_id;
    struct sm_job_row job;
    bool moved;
    enum sm_code code = pick_job(c->claim->job_id, c->cost_ms_max, db, err);
    if (code == SM_OK)
        code = lease_item(c->claim, db, c->owner, err);
    if (code == SM_OK)
        code = sm_store_change_job(&job, db, job_id, &(struct sm_job_change){.queued = -1}, err);
    if (code == SM_OK && job.state == SM_STATE_QUEUED)
        code = sm_store_move_job(&moved, db, job_id, SM_STATE_QUEUED, SM_STATE_RUNNING, err);
    return code == SM_OK ? load_item(c, db, err) : code;
}

/* --- files --- */

static enum sm_code read_fd(struct sm_claim *claim, int fd, const char *path, struct sm_err *err)
{
    struct stat status;
    if (fstat(fd, &status) != 0)
        return sm_err_set(err, SM_IO, "%s: %s", path, strerror(errno));
    if (!S_ISREG(status.st_mode))
        return sm_err_set(err, SM_INVALID, "%s is no regular file", path);
    if (status.st_size > SM_IMAGE_BYTES_MAX)
        return sm_err_set(err, SM_LIMIT, "%s has %lld bytes, at most %u", path,
                          (long long)status.st_size, SM_IMAGE_BYTES_MAX);
    size_t bytes_count = (size_t)status.st_size;
    claim->bytes = malloc(bytes_count + 1);
    if (!claim->bytes)
        return sm_err_set(err, SM_NOMEM, "image of %zu bytes: out of memory", bytes_count);
    ssize_t got = sm_file_read(fd, claim->bytes, bytes_count + 1); /* one more shows growth */
    if (got < 0)
        return sm_err_set(err, SM_IO, "%s: %s", path, strerror(errno));
    claim->bytes_count = (size_t)got;
    return SM_OK;
}

/* O_NONBLOCK: opening a FIFO must not block. */
static enum sm_code read_file(struct sm_claim *claim, const char *path, struct sm_err *err)
{
    char digest[SM_SHA256_HEX];
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return sm_err_set(err, errno == ENOENT ? SM_NOT_FOUND : SM_IO, "%s: %s", path,
                          strerror(errno));
    enum sm_code code = read_fd(claim, fd, path, err);
    close(fd);
    if (code != SM_OK)
        return code;
    sm_sha256_hex(digest, claim->bytes, claim->bytes_count);
    if (strcmp(digest, claim->image_digest) != 0)
        return sm_err_set(err, SM_CONFLICT,
                          "%s has changed: admitted with SHA-256 %.12s, it has %.12s now", path,
                          claim->image_digest, digest);
    return SM_OK;
}

/* Reads the bytes of the claim's file, if it has one. Takes `path`. */
static void read_path(struct sm_claim *claim, char *path)
{
    if (path && read_file(claim, path, &claim->unreadable) != SM_OK) {
        free(claim->bytes);
        claim->bytes = NULL;
        claim->bytes_count = 0;
    }
    free(path);
}

/* --- claim --- */

/* Waits until an item may be claimed and subtracts it from the count; false after `until_ms`. */
static bool await_item(struct sm_store *store, int64_t until_ms)
{
    struct timespec until = {.tv_sec = until_ms / 1000, .tv_nsec = until_ms % 1000 * 1000000};
    pthread_mutex_lock(&store->mutex);
    while (store->waiting_count <= 0 &&
           pthread_cond_timedwait(&store->came, &store->mutex, &until) == 0)
        ;
    bool came = store->waiting_count > 0;
    store->waiting_count -= came;
    pthread_mutex_unlock(&store->mutex);
    return came;
}

/* If no item is found, a pause or the end of an audit came first. It subtracted all of the audit's
 * items from the count, including the one that await_item subtracted, which is added again. A claim
 * of a cheap item may also find only dear ones. */
static enum sm_code claim_by(struct sm_claim *out, struct sm_store *store, const char *owner,
                             int64_t until_ms, int64_t cost_ms_max, struct sm_err *err)
{
    bool any = cost_ms_max == INT64_MAX;
    *out = (struct sm_claim){0};
    for (int tries = 0; (any || tries == 0) && await_item(store, until_ms); tries++) {
        struct sm_claim claim = {0};
        struct sm_err why = {0};
        struct claiming c = {.write = {.run = run_claim, .room = SM_ROOM_USE},
                             .claim = &claim,
                             .owner = owner,
                             .cost_ms_max = cost_ms_max};
        enum sm_code code = sm_writer_call(store->writer, &c.write, &why);
        if (code == SM_OK) {
            read_path(&claim, c.path);
            *out = claim;
            return SM_OK;
        }
        free(c.path);
        sm_claim_free(&claim);
        sm_store_count(store, 1, 0);
        if (code != SM_NOT_FOUND)
            return sm_err_set(err, code, "%s", why.text);
    }
    return sm_err_set(err, SM_NOT_FOUND, "no item is queued");
}

enum sm_code sm_store_claim(struct sm_claim *out, struct sm_store *store, const char *owner,
                            int timeout_ms, struct sm_err *err)
{
    return claim_by(out, store, owner, sm_clock_monotonic_ms() + timeout_ms, INT64_MAX, err);
}

static bool has_cheap(struct sm_store *store, int64_t cost_ms_max)
{
    char id[SM_ID_BYTES];
    struct sm_db *db;
    pthread_mutex_lock(&store->mutex);
    bool waits = store->waiting_count > 0;
    pthread_mutex_unlock(&store->mutex);
    if (!waits || sm_store_reader_take(&db, store, NULL) != SM_OK)
        return false;
    waits = pick_job(id, cost_ms_max, db, NULL) == SM_OK;
    sm_store_reader_give(store, db);
    return waits;
}

enum sm_code sm_store_claim_cheap(struct sm_claim *out, struct sm_store *store, const char *owner,
                                  int64_t cost_ms_max, struct sm_err *err)
{
    *out = (struct sm_claim){0};
    if (!has_cheap(store, cost_ms_max))
        return sm_err_set(err, SM_NOT_FOUND, "no item is queued");
    return claim_by(out, store, owner, sm_clock_monotonic_ms(), cost_ms_max, err);
}

/* --- standing claims --- */

enum standing_state {
    AT_REST,
    AWAITS,    /* the finish with which it will stand has not run */
    STANDS,    /* in the store's list */
    IS_SERVED, /* in a group of writes, and has not run */
    PASSED,    /* it found no item in a transaction that is not committed */
    PROMISED,  /* its item is claimed in a transaction that is not committed */
    HAS_ITEM
};

struct sm_standing {
    struct claiming claiming;
    struct sm_store *store;
    void (*wake)(void *arg);
    void *arg;
    bool counted; /* its item is subtracted from the count; writer thread only */
    /* guarded by the store's mutex: */
    struct sm_claim claim;
    enum standing_state state;
    bool by_finish; /* it stands since a finish, whose worker waits for the outcome */
    bool again;     /* stands again after PASSED */
    struct sm_standing *next;
};

/* The caller holds the mutex. */
static void change(struct sm_standing *s, enum standing_state state)
{
    s->state = state;
    pthread_cond_broadcast(&s->store->served);
}

/* Puts the claim at the end of the list. The caller holds the mutex. */
static void stand(struct sm_standing *s, bool by_finish)
{
    struct sm_standing **last = &s->store->standing;
    while (*last)
        last = &(*last)->next;
    *last = s;
    s->next = NULL;
    s->by_finish = by_finish;
    s->again = true;
    change(s, STANDS);
}

/* Takes the claim off the list if it is there. The caller holds the mutex. */
static void lay_down(struct sm_standing *s)
{
    struct sm_standing **link = &s->store->standing;
    while (*link && *link != s)
        link = &(*link)->next;
    if (*link)
        *link = s->next;
    change(s, AT_REST);
}

/* The caller holds the mutex. */
static bool is_undecided(const struct sm_standing *s)
{
    return s->state == AWAITS || s->state == IS_SERVED || (s->state == STANDS && s->by_finish);
}

static enum sm_code run_standing(struct sm_write *write, struct sm_db *db, struct sm_err *err)
{
    struct sm_standing *s = (struct sm_standing *)write;
    struct sm_claim claim = {0};
    s->claiming.claim = &claim;
    enum sm_code code = run_claim(write, db, err);
    s->counted = code == SM_OK;
    if (code != SM_OK)
        sm_claim_free(&claim);
    sm_store_count(s->store, -s->counted, 0);
    pthread_mutex_lock(&s->store->mutex);
    s->claim = claim;
    change(s, code == SM_OK ? PROMISED : PASSED);
    if (code == SM_OK && !s->by_finish)
        s->wake(s->arg);
    pthread_mutex_unlock(&s->store->mutex);
    return code;
}

/* Without an item the claim stands again; after a failure it is at rest. Its owner may free it once
 * the mutex is released. */
static void served(struct sm_write *write, enum sm_code code, const struct sm_err *err)
{
    struct sm_standing *s = (struct sm_standing *)write;
    struct sm_store *store = s->store;
    (void)err;
    if (code != SM_OK)
        sm_store_count(store, s->counted, 0);
    pthread_mutex_lock(&store->mutex);
    if (code != SM_OK) {
        free(s->claiming.path);
        s->claiming.path = NULL;
        sm_claim_free(&s->claim);
    }
    bool stands = code == SM_NOT_FOUND && s->again;
    if (stands)
        stand(s, false);
    else
        change(s, code == SM_OK ? HAS_ITEM : AT_REST);
    pthread_mutex_unlock(&store->mutex);
    if (stands)
        sm_writer_hurry(store->writer);
}

struct sm_write *sm_store_serve(void *store)
{
    struct sm_store *of = store;
    struct sm_write *first = NULL, **last = &first;
    pthread_mutex_lock(&of->mutex);
    for (struct sm_standing *s = of->standing; s; s = s->next) {
        s->claiming.write =
            (struct sm_write){.run = run_standing, .done = served, .room = SM_ROOM_USE};
        s->counted = false;
        change(s, IS_SERVED);
        *last = &s->claiming.write;
        last = &s->claiming.write.next;
    }
    of->standing = NULL;
    pthread_mutex_unlock(&of->mutex);
    return first;
}

void sm_store_await_finish(struct sm_standing *standing)
{
    pthread_mutex_lock(&standing->store->mutex);
    while (standing->state == PASSED)
        pthread_cond_wait(&standing->store->served, &standing->store->mutex);
    change(standing, AWAITS);
    pthread_mutex_unlock(&standing->store->mutex);
}

void sm_store_finish_ran(struct sm_standing *standing)
{
    pthread_mutex_lock(&standing->store->mutex);
    stand(standing, true);
    pthread_mutex_unlock(&standing->store->mutex);
}

void sm_store_finish_failed(struct sm_standing *standing)
{
    pthread_mutex_lock(&standing->store->mutex);
    if (standing->state == AWAITS || standing->state == STANDS)
        lay_down(standing);
    pthread_mutex_unlock(&standing->store->mutex);
}

enum sm_code sm_standing_new(struct sm_standing **out, struct sm_store *store, const char *owner,
                             void (*wake)(void *arg), void *arg, struct sm_err *err)
{
    struct sm_standing *s = calloc(1, sizeof *s);
    *out = s;
    if (!s)
        return sm_err_set(err, SM_NOMEM, "standing claim: out of memory");
    *s = (struct sm_standing){.store = store, .wake = wake, .arg = arg};
    s->claiming = (struct claiming){.owner = owner, .cost_ms_max = INT64_MAX};
    return SM_OK;
}

void sm_standing_free(struct sm_standing *standing)
{
    if (standing)
        sm_standing_kept(standing);
    free(standing);
}

void sm_standing_begin(struct sm_standing *standing)
{
    pthread_mutex_lock(&standing->store->mutex);
    if (standing->state == PASSED)
        standing->again = true;
    else
        stand(standing, false);
    pthread_mutex_unlock(&standing->store->mutex);
    sm_writer_hurry(standing->store->writer);
}

/* Hands over the item. The caller holds the mutex, which is released. */
static enum sm_code hand_over(struct sm_claim *out, struct sm_standing *s, struct sm_err *err)
{
    bool has_item = s->state == PROMISED || s->state == HAS_ITEM;
    char *path = s->claiming.path;
    *out = (struct sm_claim){0};
    if (has_item) {
        *out = s->claim;
        s->claim = (struct sm_claim){0};
        s->claiming.path = NULL;
    }
    pthread_mutex_unlock(&s->store->mutex);
    if (!has_item)
        return sm_err_set(err, SM_NOT_FOUND, "no item is queued");
    read_path(out, path);
    return SM_OK;
}

enum sm_code sm_standing_take(struct sm_claim *out, struct sm_standing *standing,
                              struct sm_err *err)
{
    pthread_mutex_lock(&standing->store->mutex);
    while (is_undecided(standing))
        pthread_cond_wait(&standing->store->served, &standing->store->mutex);
    standing->again = false;
    if (standing->state == STANDS)
        lay_down(standing);
    return hand_over(out, standing, err);
}

bool sm_standing_kept(struct sm_standing *standing)
{
    pthread_mutex_lock(&standing->store->mutex);
    while (is_undecided(standing) || standing->state == PROMISED || standing->state == PASSED)
        pthread_cond_wait(&standing->store->served, &standing->store->mutex);
    bool kept = standing->state == HAS_ITEM;
    lay_down(standing);
    pthread_mutex_unlock(&standing->store->mutex);
    return kept;
}

bool sm_store_claim_wanted(struct sm_store *store, const struct sm_claim *claim, const char *owner)
{
    struct sm_db *db;
    bool found;
    if (sm_store_reader_take(&db, store, NULL) != SM_OK)
        return true;
    enum sm_code code =
        sm_db_row(&found, db,
                  "SELECT 1 FROM item WHERE job_id = $job AND idx = $idx AND state = 'running' "
                  "AND lease_owner = $owner AND (SELECT state FROM job WHERE job.id = "
                  "item.job_id) <> 'cancelled'",
                  SM_BIND(SM_HEX("$job", claim->job_id), SM_INT("$idx", claim->index),
                          SM_TEXT("$owner", owner)),
                  NULL, NULL);
    sm_store_reader_give(store, db);
    return code != SM_OK || found;
}

void sm_claim_free(struct sm_claim *claim)
{
    json_decref(claim->recipe);
    free(claim->bytes);
    *claim = (struct sm_claim){0};
}
