/* Steps that tests of audits share, on an open store. */
#ifndef TESTS_UNIT_SERVER_STORE_AUDIT_FIXTURE_H
#define TESTS_UNIT_SERVER_STORE_AUDIT_FIXTURE_H

#include "server/store/audits.h"
#include "tests/unit/server/store/fixture.h"
#include "tests/unit/server/store/own.h"

/* -1: no such audit. */
static inline int64_t revision_of(const char *id)
{
    struct sm_audit_head head;
    return sm_store_audit_head(&head, store, OWN(id), NULL) == SM_OK ? head.revision : -1;
}

static inline void create_audit(char id[SM_ID_BYTES], bool keep_thumbnails)
{
    struct sm_store_audit_in in = {.pair = "alpha"};
    json_t *recipe = json_pack("{s:i}", "views", 10);
    json_t *pair = json_pack("{s:s}", "name", "alpha");
    json_t *spec =
        json_pack("{s:s, s:b}", "name", "trial", "keep_thumbnails", (int)keep_thumbnails);
    in.recipe = recipe;
    in.pair_document = pair;
    in.spec = spec;
    memset(in.recipe_digest, 'a', 64);
    sm_id_new(in.audit.id);
    memcpy(id, in.audit.id, SM_ID_BYTES);
    assert_code(SM_OK, sm_store_audit_create(store, &in, &err));
    json_decref(recipe);
    json_decref(pair);
    json_decref(spec);
    usleep(2000); /* the next id is of a later millisecond, so it sorts after this one */
}

enum { MANY = 50000 };

/* Adds `count` images to a cohort, as an upload does; their digests are those of `first` and on. */
static inline enum sm_code add_images(const char *id, enum sm_cohort cohort, int first, int count)
{
    struct sm_store_audit_added added;
    struct sm_store_audit_image_in *images = calloc((size_t)count, sizeof *images);
    char(*names)[32] = calloc((size_t)count, sizeof *names);
    for (int i = 0; i < count; i++) {
        snprintf(names[i], sizeof names[i], "%s/%05d.png", cohort ? "candidate" : "shared",
                 first + i);
        images[i] = (struct sm_store_audit_image_in){.cohort = cohort,
                                                     .name = names[i],
                                                     .class_label = "",
                                                     .group = "",
                                                     .bytes = names[i],
                                                     .bytes_count = strlen(names[i])};
        digest_of(images[i].image_digest, first + i);
    }
    enum sm_code code =
        sm_store_audit_add(&added, store, OWN(id),
                           &(struct sm_store_audit_intake){
                               .images = images, .images_count = (size_t)count, .items_max = MANY},
                           &err);
    if (code == SM_OK)
        assert_int_equal(added.added_count + added.duplicate_count, count);
    free(images);
    free(names);
    return code;
}

/* Adds an image that could not be ingested: a failed item. */
static inline enum sm_code add_failed(const char *id, struct sm_store_audit_image_in image,
                                      enum sm_code why, const char *text)
{
    struct sm_store_audit_added added;
    image.failed = why;
    image.failed_text = text;
    return sm_store_audit_add(
        &added, store, OWN(id),
        &(struct sm_store_audit_intake){.images = &image, .images_count = 1, .items_max = MANY},
        &err);
}

static inline enum sm_code move(const char *id, enum sm_store_audit_move how)
{
    return sm_store_audit_move(store, OWN(id), how, NULL, &err);
}

static inline enum sm_code fail_item(const struct sm_claim *claim, enum sm_code why,
                                     const char *text)
{
    char none[SM_ID_BYTES];
    bool finished;
    return sm_store_finish(store,
                           &(struct sm_finish){.job_id = claim->job_id,
                                               .index = claim->index,
                                               .owner = "w",
                                               .error_code = why,
                                               .error_text = text},
                           none, &finished, &err);
}

static inline int64_t count_at(const json_t *document, const char *name)
{
    assert_true(json_is_integer(json_object_get(document, name)));
    return json_integer_value(json_object_get(document, name));
}

/* Asserts that all stored counts, and the store's counts in memory, agree with the items. */
static inline void check_counts(void)
{
    static const char wrong[] =
        "SELECT COUNT(*) FROM job WHERE "
        "items_count <> (SELECT COUNT(*) FROM item WHERE job_id = id) OR "
        "queued_count <> (SELECT COUNT(*) FROM item WHERE job_id = id AND state = 'queued') OR "
        "succeeded_count <> "
        "(SELECT COUNT(*) FROM item WHERE job_id = id AND state = 'succeeded') OR "
        "failed_count <> (SELECT COUNT(*) FROM item WHERE job_id = id AND state = 'failed') OR "
        "cancelled_count <> (SELECT COUNT(*) FROM item WHERE job_id = id AND state = 'cancelled')";
    static const char wrong_cohorts[] =
        "SELECT COUNT(*) FROM audit_cohort AS c WHERE "
        "items_count <> "
        "(SELECT COUNT(*) FROM item WHERE job_id = c.job_id AND cohort = c.cohort) OR "
        "succeeded_count <> (SELECT COUNT(*) FROM item WHERE job_id = c.job_id AND "
        "cohort = c.cohort AND state = 'succeeded') OR failed_count <> (SELECT COUNT(*) FROM item "
        "WHERE job_id = c.job_id AND cohort = c.cohort AND state = 'failed')";
    static const char wrong_failures[] =
        "SELECT COUNT(*) FROM audit_failure AS f WHERE count <> (SELECT COUNT(*) FROM item "
        "WHERE job_id = f.job_id AND state = 'failed' AND error_code = f.code)";
    assert_int_equal(read_int(wrong), 0);
    assert_int_equal(read_int(wrong_cohorts), 0);
    assert_int_equal(read_int(wrong_failures), 0);
    assert_int_equal(store->waiting_count,
                     read_int("SELECT COUNT(*) FROM item JOIN job ON job.id = item.job_id WHERE "
                              "item.state = 'queued' AND job.state IN ('queued', 'running')"));
    assert_int_equal(sm_store_queued_count(store),
                     read_int("SELECT COUNT(*) FROM item JOIN job ON job.id = item.job_id WHERE "
                              "item.state IN ('queued', 'running') AND job.kind = 'score'"));
    assert_int_equal(sm_store_queued_bytes(store),
                     read_int("SELECT COALESCE(SUM(length(image.bytes)), 0) FROM image JOIN job ON "
                              "job.id = image.job_id WHERE job.kind = 'score'"));
}

static inline json_t *read_audit(const char *id)
{
    json_t *audit;
    assert_code(SM_OK, sm_store_audit(&audit, NULL, store, OWN(id), &err));
    return audit;
}

static inline void check_audit(const char *id, const char *state, int waiting, int succeeded,
                               int failed)
{
    json_t *audit = read_audit(id);
    assert_string_equal(text_at(audit, "state"), state);
    assert_int_equal(count_at(audit, "waiting_count"), waiting);
    assert_int_equal(count_at(audit, "succeeded_count"), succeeded);
    assert_int_equal(count_at(audit, "failed_count"), failed);
    json_decref(audit);
    check_counts();
}

static inline void claim_one(struct sm_claim *claim)
{
    assert_code(SM_OK, sm_store_claim(claim, store, "w", 1000, &err));
}

static inline void claim_none(void)
{
    struct sm_claim claim;
    assert_code(SM_NOT_FOUND, sm_store_claim(&claim, store, "w", 0, &err));
}

/* Claims one item and finishes it with a score, whose score key depends only on the image. */
static inline void score_one(void)
{
    struct sm_claim claim;
    char score_id[SM_ID_BYTES];
    bool finished;
    claim_one(&claim);
    assert_code(SM_OK, finish(&claim, "w", claim.image_digest, .5, score_id, &finished));
    sm_claim_free(&claim);
}

/* Creates an audit with one image and brings it to `state`. */
static inline void audit_in(char id[SM_ID_BYTES], const char *state, int image)
{
    bool succeeded = strcmp(state, "succeeded") == 0, cancelled = strcmp(state, "cancelled") == 0;
    create_audit(id, false);
    assert_code(SM_OK, add_images(id, SM_COHORT_SHARED, image, 1));
    if (cancelled)
        assert_code(SM_OK, move(id, SM_AUDIT_CANCEL));
    else if (strcmp(state, "open") != 0)
        assert_code(SM_OK, move(id, SM_AUDIT_START));
    if (strcmp(state, "paused") == 0)
        assert_code(SM_OK, move(id, SM_AUDIT_PAUSE));
    if (succeeded)
        score_one();
    check_audit(id, state, !succeeded && !cancelled, succeeded, 0);
}

/* Creates and starts an audit with `shared` and `candidates` images in these two cohorts. */
static inline void start_audit(char id[SM_ID_BYTES], int shared, int candidates)
{
    create_audit(id, false);
    assert_code(SM_OK, add_images(id, SM_COHORT_SHARED, 0, shared));
    if (candidates > 0)
        assert_code(SM_OK, add_images(id, SM_COHORT_CANDIDATE, shared, candidates));
    assert_code(SM_OK, move(id, SM_AUDIT_START));
}

/* Asserts that the text of the last error is "audit ID <why>". */
static inline void check_refusal(const char *id, const char *why)
{
    char text[200];
    snprintf(text, sizeof text, "audit %s %s", id, why);
    assert_string_equal(err.text, text);
}

#endif
