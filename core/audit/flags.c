/* What a reader must know before believing the numbers: [{"code", "text"} …] in a fixed order. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/audit/out.h"
#include "core/audit/result.h"
#include "sslmem/stats.h"

#define SMALL_N     30
#define FEW_VIEWS   5
#define LISTED_MAX  100 /* images that a flag lists */
#define SPELLED_MAX 8   /* of them in its text */
#define CONSTANT    1e-6

/* A flag that is lost could let a gate hold that must not: without memory there are no flags. */
struct flags {
    json_t *list;
    bool whole;
};

__attribute__((format(printf, 3, 4))) static json_t *flag(struct flags *list, const char *code,
                                                          const char *format, ...)
{
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    json_t *node = json_pack("{s:s, s:s}", "code", code, "text", text);
    list->whole = json_array_append_new(list->list, node) == 0 && list->whole;
    return node;
}

static void flag_cohorts(struct flags *list, const struct sm_samples *samples,
                         const struct sm_audit_spec *spec)
{
    for (int c = 0; c < SM_COHORTS; c++) {
        enum sm_cohort cohort = (enum sm_cohort)c;
        size_t n = samples->of[c].count;
        const char *name = sm_cohort_plural(cohort), *then = "comparisons with them are left out";
        if (cohort == SM_COHORT_CANDIDATE)
            then = "there is nothing to audit";
        else if (cohort == spec->reference)
            then = "they are the reference, so there are no centred scores, p-values or q-values";
        if (n == 0)
            flag(list, "cohort_empty", "There are no scores of %s: %s.", name, then);
        else if (n == 1)
            flag(list, "cohort_of_one",
                 "There is one score among %s: it has a value, but no spread, and its mean no "
                 "interval and no test.",
                 name);
        else if (n < SMALL_N)
            flag(list, "cohort_small",
                 "There are only %zu scores of %s: intervals are wide, and a test may miss what is "
                 "there.",
                 n, name);
    }
}

/* "1 %, 5 %" behind what is there. */
static void add_percent(char *list, size_t list_size, double share)
{
    size_t used = strlen(list);
    snprintf(list + used, list_size - used, "%s%.3g %%", used ? ", " : "", 100 * share);
}

static void flag_reference_size(struct flags *list, const json_t *fdr)
{
    const json_t *level;
    size_t i;
    char levels[60] = "";
    double n = json_number_value(json_object_get(fdr, "reference_n")), least = 1;
    json_array_foreach(json_object_get(fdr, "levels"), i, level)
    {
        double q = json_number_value(json_object_get(level, "q"));
        if (1 / (n + 1) <= q)
            continue;
        add_percent(levels, sizeof levels, q);
        least = fmin(least, q);
    }
    if (n > 0 && levels[0])
        flag(list, "reference_too_small_for_fdr",
             "The reference cohort is too small for this claim: with %.0f reference images no "
             "p-value is below %s, so no candidate can be listed at FDR %s. FDR %.3g %% takes "
             "%.0f reference images at least.",
             n, SM_TWO(1 / (n + 1)), levels, 100 * least, ceil(1 / least - 1e-9) - 1);
}

static void flag_rates(struct flags *list, const json_t *membership)
{
    const char *key;
    const json_t *test, *rate;
    size_t i;
    json_object_foreach((json_t *)(uintptr_t)membership, key, test)
    {
        double n = json_number_value(json_object_get(test, "n_others"));
        char rates[60] = "";
        json_array_foreach(json_object_get(test, "tpr_at_fpr"), i, rate)
        {
            if (json_is_false(json_object_get(rate, "enough")))
                add_percent(rates, sizeof rates, json_number_value(json_object_get(rate, "fpr")));
        }
        if (n > 0 && json_number_value(json_object_get(test, "n_members")) > 0 && rates[0])
            flag(list, "others_too_few_for_fpr",
                 "%.0f %s images are too few for a false positive rate of %s: one false alarm "
                 "among them is already %s %%. What is shown there is the rate without any false "
                 "alarm.",
                 n, json_string_value(json_object_get(test, "others")), rates, SM_THREE(100 / n));
    }
}

/* --- what no gate survives (gate.c) --- */

/* Whether one encoder file stands on both sides: reports of audits whose pair was recorded before
 * pairs had flags. */
static bool shares_file(const json_t *encoders)
{
    const json_t *f, *g;
    size_t i, k;
    json_array_foreach(json_object_get(encoders, "f"), i, f)
    {
        json_array_foreach(json_object_get(encoders, "g"), k, g)
        {
            const json_t *digest = json_object_get(f, "digest");
            if (json_is_string(digest) && json_equal(digest, json_object_get(g, "digest")))
                return true;
        }
    }
    return false;
}

static void flag_pair(struct flags *list, const json_t *pair)
{
    const json_t *flags = json_object_get(pair, "flags");
    if (flags)
        list->whole = json_array_extend(list->list, (json_t *)(uintptr_t)flags) == 0 && list->whole;
    else if (shares_file(json_object_get(pair, "encoders")))
        flag(list, "sides_same",
             "f and g hold the same file: they cancel out, so scores of this pair do not measure "
             "memorization, and no gate holds.");
}

/* Whether the scores of a cohort differ by no more than arithmetic does: CONSTANT of its largest
 * alignment. */
static bool is_constant(const struct sm_sample *sample, const struct sm_audit_item *items)
{
    double largest = 0;
    if (sample->count < 2)
        return false;
    for (size_t i = 0; i < sample->count; i++) {
        const struct sm_audit_item *item = &items[sample->item[i]];
        largest = fmax(largest, fmax(fabs(item->f), fabs(item->g)));
    }
    return sample->sorted[sample->count - 1] - sample->sorted[0] <= CONSTANT * largest;
}

static void flag_constant(struct flags *list, const struct sm_samples *samples,
                          const struct sm_audit *audit)
{
    const enum sm_cohort cohorts[] = {SM_COHORT_CANDIDATE, audit->spec->reference};
    for (size_t i = 0; i < 2; i++) {
        const struct sm_sample *sample = &samples->of[cohorts[i]];
        if (is_constant(sample, audit->items))
            flag(list, "scores_constant",
                 "The %zu scores of %s do not differ (%.6g): they say nothing about any image, so "
                 "no gate on them holds.",
                 sample->count, sm_cohort_plural(cohorts[i]), sample->sorted[0]);
    }
}

/* --- images that occur more than once --- */

static int by_digest(const void *a, const void *b)
{
    const struct sm_audit_item *x = *(const struct sm_audit_item *const *)a;
    const struct sm_audit_item *y = *(const struct sm_audit_item *const *)b;
    int order = strcmp(x->image_digest, y->image_digest);
    return order ? order : (x->index > y->index) - (x->index < y->index);
}

struct repeats {
    size_t count;
    json_t *images; /* [[index, index …] …], at most LISTED_MAX */
    char spelled[160];
};

static void add_repeat(struct repeats *r, const struct sm_audit_item **run, size_t length)
{
    r->count++;
    if (json_array_size(r->images) >= LISTED_MAX)
        return;
    json_t *group = json_array();
    for (size_t i = 0; i < length && i < LISTED_MAX; i++)
        json_array_append_new(group, json_integer((json_int_t)run[i]->index));
    json_array_append_new(r->images, group);
    if (json_array_size(r->images) > SPELLED_MAX)
        return;
    size_t used = strlen(r->spelled);
    snprintf(r->spelled + used, sizeof r->spelled - used, "%s%lld and %lld", used ? ", " : "",
             (long long)run[0]->index, (long long)run[length - 1]->index);
}

/* Runs of equal digests: of several cohorts, among them candidates and the reference, or of one. */
enum repeats_kind { REPEATS_REFERENCE, REPEATS_ACROSS, REPEATS_WITHIN, REPEATS };

static void find_repeats(struct repeats out[REPEATS], const struct sm_audit_item **items,
                         size_t count, enum sm_cohort reference)
{
    for (size_t i = 0, end; i < count; i = end) {
        bool in[SM_COHORTS] = {false}, same_cohort = true;
        for (end = i; end < count && strcmp(items[end]->image_digest, items[i]->image_digest) == 0;
             end++) {
            in[items[end]->cohort] = true;
            same_cohort = same_cohort && items[end]->cohort == items[i]->cohort;
        }
        if (end - i > 1)
            add_repeat(&out[same_cohort ? REPEATS_WITHIN : REPEATS_ACROSS], items + i, end - i);
        if (in[SM_COHORT_CANDIDATE] && in[reference])
            add_repeat(&out[REPEATS_REFERENCE], items + i, end - i);
    }
}

static void flag_repeats_of(struct flags *list, const struct repeats r[REPEATS],
                            enum sm_cohort reference)
{
    static const struct {
        const char *code, *where;
    } rows[] = {[REPEATS_ACROSS] = {"images_in_two_cohorts", "different cohorts"},
                [REPEATS_WITHIN] = {"images_repeated", "one cohort"}};
    const char *const more[] = {"", " …"};
    const struct repeats *shared = &r[REPEATS_REFERENCE];
    if (shared->count > 0)
        json_object_set(
            flag(list, "candidates_in_reference",
                 "%zu candidate%s among the %s that candidates are compared with: items "
                 "%s%s. Such an image cannot stand out, so no gate that compares holds.",
                 shared->count, shared->count == 1 ? " is also" : "s are also",
                 sm_cohort_plural(reference), shared->spelled, more[shared->count > SPELLED_MAX]),
            "images", shared->images);
    for (int k = REPEATS_ACROSS; k < REPEATS; k++)
        if (r[k].count > 0)
            json_object_set(
                flag(list, rows[k].code,
                     "%zu image%s more than once in %s: items %s%s. They are counted as "
                     "they were given; tests take images as independent.",
                     r[k].count, r[k].count == 1 ? " occurs" : "s occur", rows[k].where,
                     r[k].spelled, more[r[k].count > SPELLED_MAX]),
                "images", r[k].images);
}

static enum sm_code flag_repeats(struct flags *list, const struct sm_audit *audit,
                                 struct sm_err *err)
{
    const struct sm_audit_item **items = calloc(audit->items_count + 1, sizeof *items);
    size_t count = 0;
    if (!items)
        return sm_err_set(err, SM_NOMEM, "out of memory for the digests of %zu images",
                          audit->items_count);
    for (size_t i = 0; i < audit->items_count; i++)
        if (audit->items[i].image_digest[0])
            items[count++] = &audit->items[i];
    qsort(items, count, sizeof *items, by_digest);
    struct repeats repeats[REPEATS] = {0};
    for (int k = 0; k < REPEATS; k++)
        repeats[k].images = json_array();
    find_repeats(repeats, items, count, audit->spec->reference);
    flag_repeats_of(list, repeats, audit->spec->reference);
    for (int k = 0; k < REPEATS; k++)
        json_decref(repeats[k].images);
    free(items);
    return SM_OK;
}

/* --- scores --- */

static void flag_failed(struct flags *list, const struct sm_samples *samples, size_t total)
{
    if (samples->failed > 0)
        flag(list, "images_failed",
             "%zu of %zu images (%s %%) could not be scored and are in no statistic. If some kind "
             "of image fails more often than others, the cohorts are no longer alike.",
             samples->failed, total, SM_THREE(100 * (double)samples->failed / (double)total));
}

static void flag_erased(struct flags *list, const struct sm_audit *audit)
{
    if (audit->erased_count > 0)
        flag(list, "images_erased",
             "%lld image%s been erased from this audit and %s in no statistic: the numbers are "
             "those of the %zu that are left, and differ from a report that was made before.",
             (long long)audit->erased_count, audit->erased_count == 1 ? " has" : "s have",
             audit->erased_count == 1 ? "is" : "are", audit->items_count);
}

static void flag_damaged(struct flags *list, const struct sm_audit *audit)
{
    char spelled[160] = "";
    size_t count = 0;
    for (size_t i = 0; i < audit->items_count; i++) {
        size_t used = strlen(spelled);
        if (!audit->items[i].is_damaged)
            continue;
        if (count++ < SPELLED_MAX)
            snprintf(spelled + used, sizeof spelled - used, "%s%lld", used ? ", " : "",
                     (long long)audit->items[i].index);
    }
    if (count > 0)
        flag(list, "images_damaged",
             "The data of %zu of %zu images is broken, and the decoder made up some of their "
             "pixels: items %s%s. Pillow and torchvision show the same pixels; training saw them "
             "if it read these files.",
             count, audit->items_count, spelled, count > SPELLED_MAX ? " …" : "");
}

/* An audit that went on under another version of the program, or on another machine. */
static void flag_variants(struct flags *list, const json_t *provenance)
{
    size_t count = json_array_size(json_object_get(provenance, "variants"));
    if (count > 1)
        flag(list, "scores_made_differently",
             "Scores of this audit were made in %zu ways: method, kernels or libraries differ "
             "(provenance lists them). Standard errors of two methods do not compare; measure "
             "again to have all of one kind.",
             count);
}

static void flag_scores(struct flags *list, const struct sm_samples *samples,
                        const struct sm_audit_spec *spec)
{
    const struct sm_sample *r = &samples->of[spec->reference];
    struct sm_ttest t;
    if (samples->scored > 1 && samples->min == samples->max)
        flag(list, "scores_all_equal",
             "All %zu scores are %.6g: nothing can be normalised, tested or ranked. Identical "
             "encoders would do this.",
             samples->scored, samples->min);
    sm_ttest_one(&t, r->m, r->count);
    if (isfinite(t.low) && (t.low > 0 || t.high < 0))
        flag(list, "raw_offset",
             "The raw scores of this pair are shifted: the %s, which f never saw, have a mean of "
             "%s (95 %% interval %s to %s) instead of 0. A raw score means nothing without "
             "the reference; read the centred one.",
             sm_cohort_plural(spec->reference), SM_THREE(t.difference), SM_THREE(t.low),
             SM_THREE(t.high));
}

/* The opposite of memorization, and limits from above are kept by it. */
static void flag_direction(struct flags *list, const json_t *membership, enum sm_cohort reference)
{
    char key[64];
    snprintf(key, sizeof key, "candidate_%s", sm_cohort_name(reference));
    const json_t *auc = json_object_get(json_object_get(membership, key), "auc");
    const json_t *high = json_array_get(json_object_get(auc, "interval"), 1);
    if (json_is_number(high) && json_number_value(high) < .5)
        flag(list, "candidates_below_reference",
             "Candidates score lower than %s: AUC %s, 95 %% interval up to %s. Memorization by f "
             "does not do this. Look whether f and g, or the cohorts, are exchanged: gates that "
             "limit numbers from above hold then whatever was memorized.",
             sm_cohort_plural(reference),
             SM_THREE(json_number_value(json_object_get(auc, "value"))),
             SM_THREE(json_number_value(high)));
}

static void flag_views(struct flags *list, const json_t *recipe)
{
    const json_t *views = json_object_get(recipe, "views");
    if (json_is_integer(views) && json_integer_value(views) < FEW_VIEWS)
        flag(list, "few_views",
             "Scores rest on %lld views of each image, below %d: the score of a single image, and "
             "its standard error, are rough. Means of cohorts suffer less.",
             (long long)json_integer_value(views), FEW_VIEWS);
}

json_t *sm_flags_json(const struct sm_audit_result *result, const struct sm_audit *audit,
                      struct sm_err *err)
{
    const struct sm_samples *samples = &result->samples;
    struct flags flags = {json_array(), true}, *list = &flags;
    flag_pair(list, audit->pair);
    flag_constant(list, samples, audit);
    flag_cohorts(list, samples, audit->spec);
    flag_reference_size(list, json_object_get(result->summary, "fdr"));
    flag_rates(list, json_object_get(result->summary, "membership"));
    enum sm_code code = flag_repeats(list, audit, err);
    flag_failed(list, samples, audit->items_count);
    flag_erased(list, audit);
    flag_damaged(list, audit);
    flag_variants(list, audit->provenance);
    flag_scores(list, samples, audit->spec);
    flag_direction(list, json_object_get(result->summary, "membership"), audit->spec->reference);
    flag_views(list, audit->recipe);
    if (code == SM_OK && flags.whole)
        return flags.list;
    json_decref(flags.list);
    return NULL;
}
