/* Controls: are the cohorts alike but for membership?
 *
 * Alignments are there in every audit. The controls by pixels need the features of every scored
 * image: an audit that lacks some, because an earlier version made it or because it was made with
 * controls off, says so and leaves them undefined, so that no gate on them holds. */
#include "core/audit/controls.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/audit/out.h"

static const struct {
    const char *key;
    enum sm_cohort a, b;
    bool by_g;
} controls[SM_CONTROLS] = {
    {"candidate_external", SM_COHORT_CANDIDATE, SM_COHORT_EXTERNAL, true},
    {"independent_external", SM_COHORT_INDEPENDENT, SM_COHORT_EXTERNAL, false},
};

static const struct {
    const char *key;
    enum sm_cohort a, b;
} blinds[SM_BLINDS] = {
    [SM_AGAINST_EXTERNAL] = {"candidate_external", SM_COHORT_CANDIDATE, SM_COHORT_EXTERNAL},
    [SM_AGAINST_INDEPENDENT] = {"candidate_independent", SM_COHORT_CANDIDATE,
                                SM_COHORT_INDEPENDENT},
};

/* --- alignments --- */

/* Returns -A of the encoder for each image of the cohort whose alignment is finite. */
static size_t copy_alignments(double *out, const struct sm_sample *sample,
                              const struct sm_audit_item *items, bool by_g)
{
    size_t count = 0;
    for (size_t i = 0; i < sample->scored; i++) {
        const struct sm_audit_item *item = &items[sample->item[i]];
        double alignment = by_g ? item->g : item->f;
        if (isfinite(alignment))
            out[count++] = -alignment;
    }
    return count;
}

bool sm_auc_is_open(const struct sm_auc *auc)
{
    return auc->interval.low > .5 || auc->interval.high < .5;
}

static void put_words(struct sm_audit_control *out, bool has_encoder)
{
    const char *a = sm_cohort_plural(out->a), *b = sm_cohort_plural(out->b);
    if (!has_encoder)
        snprintf(out->words, sizeof out->words,
                 "%s and %s were not compared by %s, which would have seen neither: the pair has "
                 "no %s",
                 a, b, out->encoder, out->encoder);
    else if (!isfinite(out->auc.auc))
        snprintf(out->words, sizeof out->words,
                 "%s and %s were not compared by %s, which saw neither: one side is empty", a, b,
                 out->encoder);
    else if (out->differs)
        snprintf(out->words, sizeof out->words,
                 "the cohorts differ even for the encoder that saw neither: %s tells %s from %s, "
                 "AUC %s, interval %s to %s; read nothing into the rest before this is explained",
                 out->encoder, a, b, SM_THREE(out->auc.auc), SM_THREE(out->auc.interval.low),
                 SM_THREE(out->auc.interval.high));
    else if (sm_auc_is_open(&out->auc))
        snprintf(out->words, sizeof out->words,
                 "encoder %s, which saw neither, may tell %s from %s: AUC %s, interval %s to %s; "
                 "not at the level of 1 %%, from which it counts",
                 out->encoder, a, b, SM_THREE(out->auc.auc), SM_THREE(out->auc.interval.low),
                 SM_THREE(out->auc.interval.high));
    else
        snprintf(
            out->words, sizeof out->words,
            "encoder %s, which saw neither, cannot tell %s from %s: AUC %s, interval %s to %s; 0.5 "
            "is guessing",
            out->encoder, a, b, SM_THREE(out->auc.auc), SM_THREE(out->auc.interval.low),
            SM_THREE(out->auc.interval.high));
}

/* Without a standard error (one side lies wholly above the other) the interval decides. */
static bool is_apart(const struct sm_auc *auc)
{
    if (isfinite(auc->p_two_sided))
        return auc->p_two_sided < SM_CONTROL_LEVEL;
    return auc->enough && (auc->interval.low > .5 || auc->interval.high < .5);
}

static enum sm_code fill_control(struct sm_audit_control *out, const struct sm_samples *samples,
                                 const struct sm_audit *audit, bool by_g, struct sm_err *err)
{
    const struct sm_sample *a = &samples->of[out->a], *b = &samples->of[out->b];
    size_t room = a->scored + b->scored;
    double *values = malloc((room + 1) * sizeof *values);
    if (!values)
        return sm_err_set(err, SM_NOMEM, "out of memory for %zu alignments", room);
    size_t n_a = copy_alignments(values, a, audit->items, by_g);
    size_t n_b = copy_alignments(values + n_a, b, audit->items, by_g);
    enum sm_code code = sm_auc_make(&out->auc, values, n_a, values + n_a, n_b, 0, 0, err);
    free(values);
    out->n_a = (int64_t)n_a;
    out->n_b = (int64_t)n_b;
    bool both = isfinite(out->auc.delong.low);
    out->auc_method =
        sm_interval_method(out->auc.interval.low, both ? "delong_or_newcombe" : "newcombe");
    out->differs = is_apart(&out->auc);
    put_words(out, samples->has_g || !by_g);
    return code;
}

/* The number of the gate: the control of candidates must be measured, that of independents counts
 * if there are any. */
static void measure_deviation(struct sm_audit_controls *out)
{
    double largest = isfinite(out->control[0].auc.auc) ? 0 : NAN;
    for (int i = 0; i < SM_CONTROLS && isfinite(largest); i++) {
        const struct sm_auc *auc = &out->control[i].auc;
        if (isfinite(auc->auc))
            largest =
                fmax(largest, fmax(fabs(auc->interval.low - .5), fabs(auc->interval.high - .5)));
    }
    out->control_auc_dev = largest;
    out->control_enough = out->control[0].auc.enough;
}

static enum sm_code fill_controls(struct sm_audit_controls *out, const struct sm_samples *samples,
                                  const struct sm_audit *audit, struct sm_err *err)
{
    enum sm_code code = SM_OK;
    for (int i = 0; code == SM_OK && i < SM_CONTROLS; i++) {
        struct sm_audit_control *control = &out->control[i];
        control->key = controls[i].key;
        control->a = controls[i].a;
        control->b = controls[i].b;
        control->encoder = controls[i].by_g ? "g" : "f";
        code = fill_control(control, samples, audit, controls[i].by_g, err);
    }
    measure_deviation(out);
    return code;
}

/* --- pixels --- */

static int by_digest(const void *a, const void *b)
{
    const struct sm_pixel_item *x = a, *y = b;
    int order = strcmp(x->item->image_digest, y->item->image_digest);
    return order ? order : (x->position > y->position) - (x->position < y->position);
}

static enum sm_code read_pixels(struct sm_pixel_items *out, const struct sm_audit *audit,
                                const struct sm_samples *samples, struct sm_err *err)
{
    *out = (struct sm_pixel_items){.rows = malloc((samples->scored + 1) * sizeof *out->rows)};
    if (!out->rows)
        return sm_err_set(err, SM_NOMEM, "out of memory for the features of %zu images",
                          samples->scored);
    for (size_t i = 0; i < audit->items_count; i++) {
        const struct sm_audit_item *item = &audit->items[i];
        struct sm_pixel_item *row = &out->rows[out->count];
        if (!sm_item_scored(item, samples->has_g))
            continue;
        *row = (struct sm_pixel_item){.item = item, .position = i};
        if (item->pixels && sm_pixels_unpack(&row->pixels, item->pixels, item->pixels_bytes))
            out->count++;
        else
            out->missing++;
    }
    qsort(out->rows, out->count, sizeof *out->rows, by_digest);
    return SM_OK;
}

static enum sm_code fill_blinds(struct sm_audit_controls *out, const struct sm_pixel_items *items,
                                const struct sm_audit *audit, struct sm_err *err)
{
    enum sm_code code = SM_OK;
    double largest = -INFINITY;
    for (int i = 0; code == SM_OK && i < SM_BLINDS; i++) {
        struct sm_audit_blind *blind = &out->blind[i];
        blind->key = blinds[i].key;
        blind->a = blinds[i].a;
        blind->b = blinds[i].b;
        code = sm_blind_fill(blind, items, audit->spec->seed, err);
        if (isfinite(blind->auc.auc))
            largest = fmax(largest, blind->auc.auc);
        if (blind->b != audit->spec->reference)
            continue;
        out->blind_enough = blind->auc.enough;
        if (!isfinite(blind->auc.auc)) /* the contrast that the gates judge is not measured */
            largest = INFINITY;
    }
    out->blind_auc = isfinite(largest) ? largest : NAN;
    return code;
}

static enum sm_code fill_pixels(struct sm_audit_result *result, const struct sm_audit *audit,
                                const struct sm_pixel_items *items, struct sm_err *err)
{
    struct sm_audit_controls *out = &result->summary.controls;
    if (items->missing > 0 || items->count == 0) {
        out->note = items->count == 0
                        ? "Near-duplicates and the blind classifier were not measured: no image of "
                          "this audit has pixel features. Audits made before controls have none."
                        : "Near-duplicates and the blind classifier were not measured: some images "
                          "of this audit have no pixel features. Those scored before controls have "
                          "none.";
        return SM_OK;
    }
    out->has_pixels = true;
    enum sm_code code = fill_blinds(out, items, audit, err);
    if (code == SM_OK)
        code = sm_duplicates_fill(&out->has_duplicates, result, audit, items, err);
    if (out->has_duplicates)
        out->duplicates_share = out->duplicates.share;
    else
        out->note = "Near-duplicates were not searched: too many pairs of images are alike enough "
                    "to be compared.";
    return code;
}

enum sm_code sm_part_controls(struct sm_audit_result *result, const struct sm_audit *audit,
                              struct sm_err *err)
{
    struct sm_audit_controls *out = &result->summary.controls;
    struct sm_pixel_items items;
    out->note = "Nothing was measured: this audit was made with controls off.";
    if (!audit->spec->controls)
        return SM_OK;
    out->on = true;
    out->note = NULL;
    enum sm_code code = fill_controls(out, &result->samples, audit, err);
    if (code != SM_OK)
        return code;
    code = read_pixels(&items, audit, &result->samples, err);
    if (code == SM_OK)
        code = fill_pixels(result, audit, &items, err);
    free(items.rows);
    return code;
}
