/* Erasure has two steps. The first is one transaction for all images. It clears each item of an
 * image, found by its score or, without a score, by the index `item_unscored`, and then deletes the
 * scores. SQLite overwrites deleted and cleared values (secure_delete).
 *
 * That is not sufficient: when SQLite balances a tree, it moves rows to other pages and leaves
 * copies behind (measured with 3.40: after 2,000 of 4,000 rows were deleted, 15 of their digests
 * were still in the file). So the second step, outside of a transaction and after a checkpoint,
 * rewrites the file from its rows if an image had any row, or if its digest is still in the file.
 */
#include "server/store/erase.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/sha256.h"
#include "server/base/clock.h"
#include "server/base/log.h"
#include "server/db/db_file.h"
#include "server/db/hex.h"
#include "server/store/impl.h"

#define CLEAN_TRIES   50
#define CLEAN_WAIT_MS 100

struct erasing {
    struct sm_write write;
    struct sm_store *store;
    struct sm_erasure *images;
    size_t images_count;
    struct sm_erased erased;
    int64_t waiting, active, active_bytes, active_cost_ms; /* to subtract from the store's counts */
};

/* An item of the image. */
struct found {
    char job_id[SM_ID_BYTES];
    int index;
    int cohort; /* -1: of a plain job, or of an audit that is being deleted */
    enum sm_state state, job_state;
    bool audit;
    int64_t cost_ms;
};

#define FOUND                                                                                      \
    "SELECT item.job_id, item.idx, item.state, job.state, job.kind = 'audit', "                    \
    "CASE WHEN EXISTS (SELECT 1 FROM audit WHERE audit.job_id = item.job_id) THEN item.cohort "    \
    "END, item.cost_ms FROM "

static const char *const items_of[] = {
    FOUND "score JOIN item ON item.score_id = score.id JOIN job ON job.id = item.job_id "
          "WHERE score.image_digest = $image LIMIT 1",
    FOUND "item JOIN job ON job.id = item.job_id WHERE item.image_digest = $image AND "
          "item.score_id IS NULL LIMIT 1",
};

static enum sm_code read_found(void *out, const struct sm_stmt *q, struct sm_err *err)
{
    struct found *f = out;
    (void)err;
    sm_stmt_get_id(f->job_id, q, 0);
    f->index = (int)sm_stmt_get_int(q, 1);
    f->state = sm_state_parse(sm_stmt_get_text(q, 2));
    f->job_state = sm_state_parse(sm_stmt_get_text(q, 3));
    f->audit = sm_stmt_get_int(q, 4) != 0;
    f->cohort = sm_stmt_is_null(q, 5) ? -1 : (int)sm_stmt_get_int(q, 5);
    f->cost_ms = sm_stmt_get_int(q, 6);
    return SM_OK;
}

static bool is_unfinished(const struct found *f)
{
    return f->state == SM_STATE_QUEUED || f->state == SM_STATE_RUNNING;
}

static enum sm_code clear_row(struct sm_db *db, const struct found *f, struct sm_err *err)
{
    return sm_db_change(
        NULL, db,
        "UPDATE item SET name = '', image_digest = NULL, score_id = NULL, pixels = NULL, "
        "class_label = CASE WHEN class_label IS NULL THEN NULL ELSE '' END, "
        "group_label = CASE WHEN group_label IS NULL THEN NULL ELSE '' END, "
        "state = COALESCE($state, state), error_code = COALESCE($code, error_code), "
        "error_detail = CASE WHEN COALESCE($code, error_code) IS NULL THEN NULL ELSE $detail END, "
        "lease_owner = NULL, lease_until_ms = NULL, erased_ms = $now "
        "WHERE job_id = $job AND idx = $idx",
        SM_BIND(SM_TEXT("$state", is_unfinished(f) ? sm_state_name(SM_STATE_FAILED) : NULL),
                SM_TEXT("$code", is_unfinished(f) ? SM_ERASED : NULL),
                SM_TEXT("$detail", "the image was erased"), SM_INT("$now", sm_clock_unix_ms()),
                SM_HEX("$job", f->job_id), SM_INT("$idx", f->index)),
        err);
}

/* Runs a statement about the item and adds the number of changed rows to `count`. */
static enum sm_code change_of(int64_t *count, struct sm_db *db, const char *sql,
                              const struct found *f, struct sm_err *err)
{
    int64_t changes = 0;
    enum sm_code code = sm_db_change(
        &changes, db, sql, SM_BIND(SM_HEX("$job", f->job_id), SM_INT("$idx", f->index)), err);
    *count += changes;
    return code;
}

static enum sm_code keep_finished(struct sm_erased *erased, const char *id, struct sm_err *err)
{
    size_t count = erased->finished_count;
    char(*grown)[SM_ID_BYTES] = realloc(erased->finished, (count + 1) * sizeof *grown);
    if (!grown)
        return sm_err_set(err, SM_NOMEM, "erasure: out of memory");
    erased->finished = grown;
    memcpy(grown[erased->finished_count++], id, SM_ID_BYTES);
    return SM_OK;
}

/* Updates the counts of job and audit, and finishes the job with its last item. */
static enum sm_code count_item(struct erasing *e, struct sm_db *db, const struct found *f,
                               struct sm_err *err)
{
    struct sm_job_row job;
    struct sm_item_end end = {.job_id = f->job_id,
                              .to = SM_STATE_FAILED,
                              .was_queued = f->state == SM_STATE_QUEUED,
                              .cohort = f->cohort,
                              .cost_ms = f->cost_ms,
                              .error_code = SM_ERASED};
    int64_t audits_count = 0;
    bool finished = false;
    enum sm_code code =
        change_of(&audits_count, db,
                  "UPDATE audit SET erased_count = erased_count + 1 WHERE job_id = $job AND "
                  "$idx = $idx",
                  f, err);
    if (code != SM_OK)
        return code;
    if (!is_unfinished(f)) /* only the revision changes */
        return sm_store_change_job(&job, db, f->job_id, &(struct sm_job_change){0}, err);
    e->waiting +=
        end.was_queued && (f->job_state == SM_STATE_QUEUED || f->job_state == SM_STATE_RUNNING);
    e->active += !f->audit;
    code = sm_store_end_item(&job, &finished, db, &end, err);
    if (code == SM_OK && finished && !f->audit)
        code = keep_finished(&e->erased, f->job_id, err);
    return code;
}

static enum sm_code clear_item(struct erasing *e, struct sm_erasure *image, struct sm_db *db,
                               const struct found *f, struct sm_err *err)
{
    int64_t bytes = 0;
    enum sm_code code =
        change_of(&image->thumbnails_count, db,
                  "DELETE FROM thumbnail WHERE job_id = $job AND idx = $idx", f, err);
    if (code == SM_OK)
        code = sm_store_drop_image(&bytes, db, f->job_id, f->index, err);
    if (code == SM_OK && !f->audit) /* answers about audits have no data of single images */
        code = sm_store_idempotency_forget(db, f->job_id, err);
    if (code == SM_OK)
        code = clear_row(db, f, err);
    if (code == SM_OK)
        code = count_item(e, db, f, err);
    image->items_count++;
    image->images_count += is_unfinished(f); /* finished items have no image row any more */
    e->active_bytes += is_unfinished(f) && !f->audit ? bytes : 0;
    e->active_cost_ms += is_unfinished(f) && !f->audit ? f->cost_ms : 0;
    return code;
}

/* Forgets answers that named the image's scores without a job. An image has few scores. */
static enum sm_code forget_score_answers(struct sm_db *db, const char *digest, struct sm_err *err)
{
    return sm_db_change(NULL, db,
                        "DELETE FROM idempotency WHERE resource IN "
                        "(SELECT id FROM score WHERE image_digest = $image)",
                        SM_BIND(SM_HEX("$image", digest)), err);
}

static enum sm_code erase_image(struct erasing *e, struct sm_erasure *image, struct sm_db *db,
                                struct sm_err *err)
{
    const struct sm_bind *binds = SM_BIND(SM_HEX("$image", image->digest));
    enum sm_code code = SM_OK;
    for (size_t i = 0; i < sizeof items_of / sizeof *items_of; i++)
        for (int64_t rows = 1; code == SM_OK && rows > 0;) {
            struct found f;
            code = sm_db_each(&rows, db, items_of[i], binds, read_found, &f, err);
            if (code == SM_OK && rows > 0)
                code = clear_item(e, image, db, &f, err);
        }
    if (code == SM_OK)
        code = forget_score_answers(db, image->digest, err);
    if (code == SM_OK)
        code = sm_db_change(&image->scores_count, db,
                            "DELETE FROM score WHERE image_digest = $image", binds, err);
    return code;
}

static enum sm_code run_erase(struct sm_write *write, struct sm_db *db, struct sm_err *err)
{
    struct erasing *e = (struct erasing *)write;
    enum sm_code code = SM_OK;
    for (size_t i = 0; i < e->images_count && code == SM_OK; i++) {
        code = erase_image(e, &e->images[i], db, err);
        if (e->images[i].scores_count + e->images[i].items_count > 0)
            e->store->to_rewrite = true;
    }
    return code;
}

/* --- the bytes --- */

struct cleaning {
    struct sm_write write;
    struct sm_store *store;
    const struct sm_erasure *images;
    size_t images_count;
    bool emptied;   /* the log is empty */
    bool looked;    /* the file was searched, and rewritten if necessary */
    bool rewritten; /* the file was rewritten */
};

/* Tells whether the file may still have bytes of the images. */
static enum sm_code may_remain(bool *out, const struct cleaning *c, struct sm_db *db,
                               struct sm_err *err)
{
    uint8_t bytes[SM_HEX_MAX];
    enum sm_code code = SM_OK;
    *out = c->store->to_rewrite;
    for (size_t i = 0; i < c->images_count && !*out && code == SM_OK; i++) {
        size_t count = sm_unhex(bytes, c->images[i].digest);
        code = sm_db_search(out, db, bytes, count, err);
    }
    return code;
}

static enum sm_code run_clean(struct sm_write *write, struct sm_db *db, struct sm_err *err)
{
    struct cleaning *c = (struct cleaning *)write;
    bool remains = false;
    enum sm_code code = sm_db_checkpoint(db, &c->emptied, err);
    if (code != SM_OK || !c->emptied || c->looked)
        return code;
    code = may_remain(&remains, c, db, err);
    if (code == SM_OK && remains)
        code = sm_db_compact(db, err);
    if (code != SM_OK)
        return code;
    c->looked = true;
    c->rewritten = remains;
    c->store->to_rewrite = false;
    return remains ? sm_db_checkpoint(db, &c->emptied, err) : SM_OK;
}

/* Tries until no reader prevents the checkpoint. Waiting happens here, so that the writer thread
 * can commit other writes meanwhile. */
static enum sm_code clean(struct erasing *e, struct sm_store *store, struct sm_err *err)
{
    struct cleaning c = {.write = {.run = run_clean, .mode = SM_WRITE_OUTSIDE},
                         .store = store,
                         .images = e->images,
                         .images_count = e->images_count};
    enum sm_code code = SM_OK;
    for (int i = 0; i < CLEAN_TRIES && code == SM_OK && !(c.emptied && c.looked); i++) {
        if (i > 0)
            nanosleep(&(struct timespec){.tv_nsec = CLEAN_WAIT_MS * 1000000L}, NULL);
        code = sm_writer_call(store->writer, &c.write, err);
    }
    e->erased.rewritten = c.rewritten;
    if (code == SM_OK && !(c.emptied && c.looked))
        code = sm_err_set(err, SM_BUSY,
                          "the rows are gone, and a reader has held the log with their bytes for "
                          "%d ms; erase again",
                          CLEAN_TRIES * CLEAN_WAIT_MS);
    return code;
}

static enum sm_code check_digest(const char *digest, struct sm_err *err)
{
    if (strlen(digest) == SM_SHA256_HEX - 1 && strspn(digest, "0123456789abcdef") == 64)
        return SM_OK;
    return sm_err_set(err, SM_INVALID, "'%.70s' is no SHA-256 in 64 hexadecimal digits, lower case",
                      digest);
}

enum sm_code sm_store_erase(struct sm_erased *out, struct sm_store *store,
                            struct sm_erasure *images, size_t images_count, struct sm_err *err)
{
    struct erasing e = {.write = {.run = run_erase, .mode = SM_WRITE_ALONE},
                        .store = store,
                        .images = images,
                        .images_count = images_count};
    enum sm_code code = SM_OK;
    *out = (struct sm_erased){0};
    for (size_t i = 0; i < images_count && code == SM_OK; i++) {
        images[i] = (struct sm_erasure){.digest = images[i].digest};
        code = check_digest(images[i].digest, err);
    }
    if (code == SM_OK)
        code = sm_writer_call(store->writer, &e.write, err);
    if (code != SM_OK) {
        sm_erased_release(&e.erased);
        return code;
    }
    sm_store_count(store, -e.waiting, -e.active);
    sm_store_count_load(store, -e.active_bytes, -e.active_cost_ms);
    code = clean(&e, store, err);
    for (size_t i = 0; i < images_count; i++)
        sm_log("info", "image_erased", "{s:I, s:I, s:I, s:I, s:b}", "scores",
               (json_int_t)images[i].scores_count, "items", (json_int_t)images[i].items_count,
               "images", (json_int_t)images[i].images_count, "thumbnails",
               (json_int_t)images[i].thumbnails_count, "rewritten", e.erased.rewritten);
    *out = e.erased;
    return code;
}

void sm_erased_release(struct sm_erased *erased)
{
    free(erased->finished);
    *erased = (struct sm_erased){0};
}
