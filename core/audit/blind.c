/* The blind classifier of two cohorts: which images take part, their folds and their features.
 *
 * Files that occur twice in a cohort count once. Of a larger cohort the SM_BLIND_SIDE_MAX images
 * with the smallest digests take part, a random draw: more would tell little more, and the cost of
 * evaluating an audit stays bounded.
 *
 * An image's fold follows from the rank of its digest within its cohort, so that each fold has its
 * share of both cohorts; images in both cohorts are ranked apart from the others, so that a file
 * has one fold. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/audit/controls.h"
#include "core/audit/out.h"

#define SM_BLIND_SIDE_MAX 2000
#define CELLS             (SM_PIXELS_GRID * SM_PIXELS_GRID)
#define FEATURES          (CELLS + 11)

struct table {
    double *x;
    bool *is_member;
    uint8_t *fold;
    size_t count, room;
    size_t ranks[3]; /* images so far: of a alone, of b alone, of both */
    int64_t sides[2];
};

static void put_features(double *x, const struct sm_pixels *p)
{
    for (int i = 0; i < CELLS; i++)
        x[i] = p->luminance[i];
    x += CELLS;
    for (int c = 0; c < 3; c++) {
        x[c] = p->mean[c];
        x[3 + c] = p->sd[c];
    }
    x[6] = p->width_px;
    x[7] = p->height_px;
    x[8] = p->bytes_per_pixel;
    x[9] = p->format == SM_PIXELS_JPEG;
    x[10] = p->format == SM_PIXELS_PNG;
}

static void add_row(struct table *t, const struct sm_pixels *pixels, bool is_member, size_t rank)
{
    if (t->sides[is_member] == SM_BLIND_SIDE_MAX)
        return;
    put_features(t->x + t->count * FEATURES, pixels);
    t->is_member[t->count] = is_member;
    t->fold[t->count++] = (uint8_t)(rank % SM_BLIND_FOLDS);
    t->sides[is_member]++;
}

/* Adds the images of one file. */
static void add_file(struct table *t, const struct sm_pixel_item *rows, size_t count,
                     const struct sm_audit_blind *of)
{
    const struct sm_pixel_item *a = NULL, *b = NULL;
    for (size_t i = 0; i < count; i++) {
        if (rows[i].item->cohort == of->a && !a)
            a = &rows[i];
        if (rows[i].item->cohort == of->b && !b)
            b = &rows[i];
    }
    if (!a && !b)
        return;
    size_t rank = t->ranks[a && b ? 2 : b ? 1 : 0]++;
    if (a)
        add_row(t, &a->pixels, true, rank);
    if (b)
        add_row(t, &b->pixels, false, rank);
}

static void fill_table(struct table *t, const struct sm_pixel_items *items,
                       const struct sm_audit_blind *of)
{
    for (size_t first = 0, end; first < items->count; first = end) {
        const char *digest = items->rows[first].item->image_digest;
        for (end = first + 1; end < items->count && digest[0] &&
                              strcmp(items->rows[end].item->image_digest, digest) == 0;)
            end++;
        add_file(t, items->rows + first, end - first, of);
    }
}

static void put_words(struct sm_audit_blind *out)
{
    const char *a = sm_cohort_plural(out->a), *b = sm_cohort_plural(out->b);
    if (!isfinite(out->auc.auc))
        snprintf(out->words, sizeof out->words,
                 "pixels of %s and %s were not compared: one side has fewer than %d images", a, b,
                 SM_AUC_SIDE_MIN);
    else if (out->separates)
        snprintf(
            out->words, sizeof out->words,
            "a classifier that saw pixels and no encoder tells %s from %s: AUC %s, interval "
            "%s to %s, permutation p = %s; what a membership test finds may be this difference",
            a, b, SM_THREE(out->auc.auc), SM_THREE(out->auc.interval.low),
            SM_THREE(out->auc.interval.high), SM_TWO(out->p_value));
    else if (sm_auc_is_open(&out->auc))
        snprintf(out->words, sizeof out->words,
                 "a classifier that saw pixels and no encoder may tell %s from %s: AUC %s, "
                 "interval %s to %s, permutation p = %s; not at the level of 1 %%, from which it "
                 "counts",
                 a, b, SM_THREE(out->auc.auc), SM_THREE(out->auc.interval.low),
                 SM_THREE(out->auc.interval.high), SM_TWO(out->p_value));
    else
        snprintf(out->words, sizeof out->words,
                 "a classifier that saw pixels and no encoder cannot tell %s from %s: AUC %s, "
                 "interval %s to %s, permutation p = %s",
                 a, b, SM_THREE(out->auc.auc), SM_THREE(out->auc.interval.low),
                 SM_THREE(out->auc.interval.high), SM_TWO(out->p_value));
}

static enum sm_code classify(struct sm_audit_blind *out, const struct table *t, uint64_t seed,
                             struct sm_err *err)
{
    struct sm_blind blind;
    struct sm_blind_rows rows = {t->x, t->is_member, t->fold, t->count, FEATURES};
    enum sm_code code = sm_blind_make(&blind, NULL, &rows, seed, err);
    if (code != SM_OK || !isfinite(blind.auc.auc))
        return code;
    out->auc = blind.auc;
    out->p_value = blind.p_value;
    bool both = isfinite(out->auc.delong.low);
    out->auc_method =
        sm_interval_method(out->auc.interval.low, both ? "delong_or_newcombe" : "newcombe");
    out->separates = out->p_value <= SM_CONTROL_LEVEL && out->auc.auc > .5;
    return SM_OK;
}

enum sm_code sm_blind_fill(struct sm_audit_blind *out, const struct sm_pixel_items *items,
                           uint64_t seed, struct sm_err *err)
{
    size_t room = items->count < 2 * SM_BLIND_SIDE_MAX ? items->count : 2 * SM_BLIND_SIDE_MAX;
    struct table t = {.x = malloc((room * FEATURES + 1) * sizeof *t.x),
                      .is_member = malloc(room + 1),
                      .fold = malloc(room + 1)};
    enum sm_code code = SM_OK;
    if (!t.x || !t.is_member || !t.fold) {
        code = sm_err_set(err, SM_NOMEM, "out of memory for features of %zu images", room);
    } else {
        fill_table(&t, items, out);
        out->n_a = t.sides[1];
        out->n_b = t.sides[0];
        if (t.sides[0] >= SM_AUC_SIDE_MIN && t.sides[1] >= SM_AUC_SIDE_MIN)
            code = classify(out, &t, seed, err);
        put_words(out);
    }
    free(t.x);
    free(t.is_member);
    free(t.fold);
    return code;
}
