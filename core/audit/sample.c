/* Passes twice over the items: counts them, then places them. The cohorts share one block of scores
 * and sorted scores, and one of positions. */
#include "core/audit/sample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sslmem/stats.h"

bool sm_audit_has_g(const struct sm_audit *audit)
{
    const json_t *g = json_object_get(json_object_get(audit->pair, "encoders"), "g");
    return !json_is_array(g) || json_array_size(g) > 0;
}

bool sm_audit_stratified(const struct sm_audit *audit)
{
    const char *draws = json_string_value(json_object_get(audit->recipe, "draws"));
    return draws && strcmp(draws, "stratified") == 0;
}

bool sm_item_scored(const struct sm_audit_item *item, bool has_g)
{
    return !item->error_code && isfinite(has_g ? item->m : item->f);
}

const char *sm_cohort_plural(enum sm_cohort cohort)
{
    static const char *const names[] = {
        [SM_COHORT_SHARED] = "shared images",
        [SM_COHORT_CANDIDATE] = "candidates",
        [SM_COHORT_INDEPENDENT] = "independents",
        [SM_COHORT_EXTERNAL] = "externals",
    };
    return names[cohort];
}

const char *sm_interval_method(double low, const char *method)
{
    return isfinite(low) ? method : NULL;
}

static void count_items(struct sm_samples *out, const struct sm_audit *audit)
{
    for (size_t i = 0; i < audit->items_count; i++) {
        const struct sm_audit_item *item = &audit->items[i];
        struct sm_sample *sample = &out->of[item->cohort];
        if (sm_item_scored(item, out->has_g)) {
            sample->scored++;
            out->scored++;
        } else {
            sample->failed++;
            out->failed++;
        }
    }
}

static void place_items(struct sm_samples *out, const struct sm_audit *audit)
{
    size_t used[SM_COHORTS] = {0};
    out->min = out->max = NAN;
    for (size_t i = 0; i < audit->items_count; i++) {
        const struct sm_audit_item *item = &audit->items[i];
        if (!sm_item_scored(item, out->has_g))
            continue;
        struct sm_sample *sample = &out->of[item->cohort];
        size_t at = used[item->cohort]++;
        sample->item[at] = i;
        if (!out->has_g)
            continue;
        sample->m[at] = sample->sorted[at] = item->m;
        out->min = fmin(out->min, item->m);
        out->max = fmax(out->max, item->m);
    }
}

enum sm_code sm_samples_make(struct sm_samples *out, const struct sm_audit *audit,
                             struct sm_err *err)
{
    *out = (struct sm_samples){.has_g = sm_audit_has_g(audit)};
    count_items(out, audit);
    out->values = calloc(2 * out->scored + 1, sizeof *out->values);
    out->items = calloc(out->scored + 1, sizeof *out->items);
    if (!out->values || !out->items) {
        sm_samples_release(out);
        return sm_err_set(err, SM_NOMEM, "out of memory for the scores of %zu images",
                          audit->items_count);
    }
    size_t first = 0;
    for (int c = 0; c < SM_COHORTS; first += out->of[c++].scored) {
        out->of[c].count = out->has_g ? out->of[c].scored : 0;
        out->of[c].m = out->values + first;
        out->of[c].sorted = out->values + out->scored + first;
        out->of[c].item = out->items + first;
    }
    place_items(out, audit);
    for (int c = 0; c < SM_COHORTS; c++)
        sm_sort(out->of[c].sorted, out->of[c].count);
    return SM_OK;
}

void sm_samples_release(struct sm_samples *samples)
{
    free(samples->values);
    free(samples->items);
    *samples = (struct sm_samples){0};
}
