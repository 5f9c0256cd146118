/* Flags: what a reader must know before believing the numbers, in a fixed order. A lost flag could
 * let a gate hold that must not, so without room or memory for one the evaluation fails. */
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
#define SPELLED_MAX 8  /* groups or images that the text of a flag names */
#define OWN_MAX     32 /* room for flags other than those of the pair; at most 27 occur together */
#define CONSTANT    1e-6

/* Adds a flag. Counts a flag beyond the room without keeping it; sm_part_flags then fails. */
__attribute__((format(printf, 3, 4))) static void flag(struct sm_audit_flags *list,
                                                       const char *code, const char *format, ...)
{
    va_list args;
    size_t at = list->count++;
    if (at >= list->room)
        return;
    struct sm_audit_flag *row = &list->rows[at];
    va_start(args, format);
    vsnprintf(row->own_text, sizeof row->own_text, format, args);
    va_end(args);
    row->code = code;
    row->text = row->own_text;
}

static void flag_cohorts(struct sm_audit_flags *list, const struct sm_samples *samples,
                         const struct sm_audit_spec *spec)
{
    for (int c = 0; c < SM_COHORTS; c++) {
        enum sm_cohort cohort = (enum sm_cohort)c;
        size_t n = samples->of[c].scored;
        const char *name = sm_cohort_plural(cohort), *then = "comparisons with them are left out";
        if (cohort == SM_COHORT_CANDIDATE)
            then = "there is nothing to audit";
        else if (cohort == spec->reference)
            then = "they are the reference, so there are no centred scores, p-values or q-values";
        if (n == 0 && !samples->has_g && cohort != SM_COHORT_CANDIDATE)
            continue; /* what f did not see is in either of two cohorts */
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

/* Appends a share to a list such as "1 %, 5 %". */
static void add_percent(char *list, size_t list_size, double share)
{
    size_t used = strlen(list);
    snprintf(list + used, list_size - used, "%s%.3g %%", used ? ", " : "", 100 * share);
}

static void flag_reference_size(struct sm_audit_flags *list, const struct sm_audit_fdr *fdr)
{
    char levels[60] = "";
    double n = (double)fdr->reference_n, least = 1;
    for (int i = 0; i < SM_FDRS; i++) {
        double q = fdr->levels[i].q;
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

static void flag_rates(struct sm_audit_flags *list, const struct sm_audit_membership *test)
{
    double n = (double)test->n_others;
    char rates[60] = "";
    for (int i = 0; i < SM_FPRS; i++)
        if (!test->tpr_at_fpr[i].enough)
            add_percent(rates, sizeof rates, test->tpr_at_fpr[i].fpr);
    if (n > 0 && test->n_members > 0 && rates[0])
        flag(list, "others_too_few_for_fpr",
             "%.0f %s images are too few for a false positive rate of %s: one false alarm "
             "among them is already %s %%. What is shown there is the rate without any false "
             "alarm.",
             n, sm_cohort_name(test->others), rates, SM_THREE(100 / n));
}

/* --- flags that make gates fail (gate.c) --- */

/* Returns true if one encoder file is on both sides. Only needed for audits whose pair was recorded
 * before pairs had flags. */
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

/* Adds the flags of the pair, which is JSON, unchanged. */
static void flag_pair(struct sm_audit_flags *list, const json_t *pair)
{
    const json_t *one;
    size_t i;
    if (!list->of_pair && shares_file(json_object_get(pair, "encoders")))
        flag(list, SM_FLAG_SIDES_SAME,
             "f and g hold the same file: they cancel out, so scores of this pair do not measure "
             "memorization, and no gate holds.");
    json_array_foreach(list->of_pair, i, one)
    {
        const char *code = json_string_value(json_object_get(one, "code"));
        const char *text = json_string_value(json_object_get(one, "text"));
        list->rows[list->count++] = (struct sm_audit_flag){
            .code = code ? code : "", .text = text ? text : "", .of_pair = one};
    }
}

/* Returns true if the scores of a cohort differ by no more than rounding errors: CONSTANT times its
 * largest alignment. */
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

static void flag_constant(struct sm_audit_flags *list, const struct sm_samples *samples,
                          const struct sm_audit *audit)
{
    const enum sm_cohort cohorts[] = {SM_COHORT_CANDIDATE, audit->spec->reference};
    for (size_t i = 0; i < 2; i++) {
        const struct sm_sample *sample = &samples->of[cohorts[i]];
        if (is_constant(sample, audit->items))
            flag(list, SM_FLAG_SCORES_CONSTANT,
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

/* The first groups in words: "3 and 7, 5 and 9". */
struct spelled {
    char text[160];
};

static void add_repeat(struct sm_audit_repeats *r, struct spelled *spelled,
                       const struct sm_audit_item **run, size_t first, size_t length)
{
    r->count++;
    if (r->listed == SM_FLAG_GROUPS_MAX)
        return;
    r->groups[r->listed].first = first;
    r->groups[r->listed].count = length;
    if (++r->listed > SPELLED_MAX)
        return;
    size_t used = strlen(spelled->text);
    snprintf(spelled->text + used, sizeof spelled->text - used, "%s%lld and %lld", used ? ", " : "",
             (long long)run[0]->index, (long long)run[length - 1]->index);
}

/* Finds groups of equal digests: of several cohorts, of candidates and the reference, of one
 * cohort. */
static void find_repeats(struct sm_audit_repeats out[SM_REPEATS],
                         struct spelled spelled[SM_REPEATS], const struct sm_audit_item **items,
                         size_t count, enum sm_cohort reference)
{
    for (size_t i = 0, end; i < count; i = end) {
        bool in[SM_COHORTS] = {false}, same_cohort = true;
        for (end = i; end < count && strcmp(items[end]->image_digest, items[i]->image_digest) == 0;
             end++) {
            in[items[end]->cohort] = true;
            same_cohort = same_cohort && items[end]->cohort == items[i]->cohort;
        }
        int kind = same_cohort ? SM_REPEATS_WITHIN : SM_REPEATS_ACROSS;
        if (end - i > 1)
            add_repeat(&out[kind], &spelled[kind], items + i, i, end - i);
        if (in[SM_COHORT_CANDIDATE] && in[reference])
            add_repeat(&out[SM_REPEATS_REFERENCE], &spelled[SM_REPEATS_REFERENCE], items + i, i,
                       end - i);
    }
}

/* Attaches a list of images to the flag that was added last. */
static void list_repeats(struct sm_audit_flags *list, const struct sm_audit_repeats *repeats)
{
    if (list->count <= list->room)
        list->rows[list->count - 1].repeats = repeats;
}

static void flag_repeats_of(struct sm_audit_flags *list, const struct spelled spelled[SM_REPEATS],
                            enum sm_cohort reference)
{
    static const struct {
        const char *code, *where;
    } kinds[] = {[SM_REPEATS_ACROSS] = {"images_in_two_cohorts", "different cohorts"},
                 [SM_REPEATS_WITHIN] = {"images_repeated", "one cohort"}};
    const char *const more[] = {"", " …"};
    const struct sm_audit_repeats *shared = &list->repeats[SM_REPEATS_REFERENCE];
    if (shared->count > 0) {
        flag(list, SM_FLAG_CANDIDATES_IN_REFERENCE,
             "%zu candidate%s among the %s that candidates are compared with: items "
             "%s%s. Such an image cannot stand out, so no gate that compares holds.",
             shared->count, shared->count == 1 ? " is also" : "s are also",
             sm_cohort_plural(reference), spelled[SM_REPEATS_REFERENCE].text,
             more[shared->count > SPELLED_MAX]);
        list_repeats(list, shared);
    }
    for (int k = SM_REPEATS_ACROSS; k < SM_REPEATS; k++) {
        const struct sm_audit_repeats *r = &list->repeats[k];
        if (r->count == 0)
            continue;
        flag(list, kinds[k].code,
             "%zu image%s more than once in %s: items %s%s. They are counted as "
             "they were given; tests take images as independent.",
             r->count, r->count == 1 ? " occurs" : "s occur", kinds[k].where, spelled[k].text,
             more[r->count > SPELLED_MAX]);
        list_repeats(list, r);
    }
}

static enum sm_code flag_repeats(struct sm_audit_flags *list, const struct sm_audit *audit,
                                 struct sm_err *err)
{
    const struct sm_audit_item **items = calloc(audit->items_count + 1, sizeof *items);
    struct spelled spelled[SM_REPEATS] = {0};
    size_t count = 0;
    list->by_digest = calloc(audit->items_count + 1, sizeof *list->by_digest);
    if (!items || !list->by_digest) {
        free(items);
        return sm_err_set(err, SM_NOMEM, "out of memory for the digests of %zu images",
                          audit->items_count);
    }
    for (size_t i = 0; i < audit->items_count; i++)
        if (audit->items[i].image_digest[0])
            items[count++] = &audit->items[i];
    qsort(items, count, sizeof *items, by_digest);
    for (size_t i = 0; i < count; i++)
        list->by_digest[i] = items[i]->index;
    find_repeats(list->repeats, spelled, items, count, audit->spec->reference);
    flag_repeats_of(list, spelled, audit->spec->reference);
    free(items);
    return SM_OK;
}

/* --- scores --- */

static void flag_failed(struct sm_audit_flags *list, const struct sm_samples *samples, size_t total)
{
    if (samples->failed > 0)
        flag(list, "images_failed",
             "%zu of %zu images (%s %%) could not be scored and are in no statistic. If some kind "
             "of image fails more often than others, the cohorts are no longer alike.",
             samples->failed, total, SM_THREE(100 * (double)samples->failed / (double)total));
}

static void flag_erased(struct sm_audit_flags *list, const struct sm_audit *audit)
{
    if (audit->erased_count > 0)
        flag(list, "images_erased",
             "%lld image%s been erased from this audit and %s in no statistic: the numbers are "
             "those of the %zu that are left, and differ from a report that was made before.",
             (long long)audit->erased_count, audit->erased_count == 1 ? " has" : "s have",
             audit->erased_count == 1 ? "is" : "are", audit->items_count);
}

static void flag_damaged(struct sm_audit_flags *list, const struct sm_audit *audit)
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

/* Variants arise when an audit continues under another version or on another machine. */
static void flag_variants(struct sm_audit_flags *list, const json_t *provenance)
{
    size_t count = json_array_size(json_object_get(provenance, "variants"));
    if (count > 1)
        flag(list, "scores_made_differently",
             "Scores of this audit were made in %zu ways: method, kernels or libraries differ "
             "(provenance lists them). Standard errors of two methods do not compare; measure "
             "again to have all of one kind.",
             count);
}

static void flag_scores(struct sm_audit_flags *list, const struct sm_samples *samples,
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

/* The opposite of memorization; gates that limit a number from above hold in this case. */
static void flag_direction(struct sm_audit_flags *list, const struct sm_audit_summary *summary)
{
    const struct sm_auc *auc = &summary->membership[summary->against].auc;
    if (auc->interval.high < .5)
        flag(list, "candidates_below_reference",
             "Candidates score lower than %s: AUC %s, 95 %% interval up to %s. Memorization by f "
             "does not do this. Look whether f and g, or the cohorts, are exchanged: gates that "
             "limit numbers from above hold then whatever was memorized.",
             sm_cohort_plural(summary->reference), SM_THREE(auc->auc),
             SM_THREE(auc->interval.high));
}

static void flag_views(struct sm_audit_flags *list, const json_t *recipe)
{
    const json_t *views = json_object_get(recipe, "views");
    if (json_is_integer(views) && json_integer_value(views) < FEW_VIEWS)
        flag(list, "few_views",
             "Scores rest on %lld views of each image, below %d: the score of a single image, and "
             "its standard error, are rough. Means of cohorts suffer less.",
             (long long)json_integer_value(views), FEW_VIEWS);
}

/* --- controls --- */

/* Appends a full stop and begins with a capital: the words of the summary as a sentence. */
static void flag_words(struct sm_audit_flags *list, const char *code, const char *words)
{
    char first = words[0] >= 'a' && words[0] <= 'z' ? (char)(words[0] - 'a' + 'A') : words[0];
    flag(list, code, "%c%s.", first, words + 1);
}

static void flag_controls(struct sm_audit_flags *list, const struct sm_audit_controls *controls)
{
    const struct sm_audit_duplicates *duplicates = &controls->duplicates;
    for (int i = 0; i < SM_CONTROLS; i++)
        if (controls->control[i].differs)
            flag_words(list, "cohorts_differ", controls->control[i].words);
    for (int i = 0; i < SM_BLINDS; i++)
        if (controls->blind[i].separates)
            flag_words(list, "blind_separates", controls->blind[i].words);
    if (duplicates->share > SM_DUPLICATES_SHARE)
        flag_words(list, "duplicates", duplicates->words);
}

static void flag_draws(struct sm_audit_flags *list, const struct sm_audit *audit)
{
    if (sm_audit_stratified(audit))
        flag(list, "se_upper_bound",
             "The views of an image are stratified, hence negatively dependent: the standard error "
             "of a score is an upper bound. Tests between cohorts rest on the spread over images "
             "and are not affected.");
}

static enum sm_code make_room(struct sm_audit_flags *list, const json_t *pair, struct sm_err *err)
{
    json_t *of_pair = json_object_get(pair, "flags");
    if (of_pair && !json_is_array(of_pair))
        return sm_err_set(err, SM_INTERNAL, "the flags of the pair are not an array");
    list->of_pair = json_incref(of_pair);
    list->room = json_array_size(of_pair) + OWN_MAX;
    list->rows = calloc(list->room, sizeof *list->rows);
    return list->rows ? SM_OK
                      : sm_err_set(err, SM_NOMEM, "out of memory for %zu flags", list->room);
}

enum sm_code sm_part_flags(struct sm_audit_result *result, const struct sm_audit *audit,
                           struct sm_err *err)
{
    const struct sm_samples *samples = &result->samples;
    const struct sm_audit_summary *summary = &result->summary;
    struct sm_audit_flags *list = &result->summary.flags;
    enum sm_code code = make_room(list, audit->pair, err);
    if (code != SM_OK)
        return code;
    flag_pair(list, audit->pair);
    flag_constant(list, samples, audit);
    flag_cohorts(list, samples, audit->spec);
    flag_reference_size(list, &summary->fdr);
    for (int i = 0; i < SM_AGAINST; i++)
        flag_rates(list, &summary->membership[i]);
    code = flag_repeats(list, audit, err);
    flag_failed(list, samples, audit->items_count);
    flag_erased(list, audit);
    flag_damaged(list, audit);
    flag_variants(list, audit->provenance);
    flag_scores(list, samples, audit->spec);
    flag_direction(list, summary);
    flag_controls(list, &summary->controls);
    flag_views(list, audit->recipe);
    flag_draws(list, audit);
    if (code == SM_OK && list->count > list->room)
        return sm_err_set(err, SM_INTERNAL, "%zu flags, room for %zu", list->count, list->room);
    return code;
}
