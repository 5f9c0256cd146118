/* What someone with f alone could learn: signals of f as membership tests, candidates against
 * images that f did not see.
 *
 * 1 - A_f is the statistic of EncoderMI-T (CCS 2021) where the recipe compares pairs of views by
 * the cosine of their pooled representation. It comes from the alignments that every score holds. A
 * signal is given when every scored image has it: images without it may be of one kind.
 *
 * No bootstrap: DeLong and Newcombe give the interval, at no cost for large audits. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/audit/out.h"
#include "core/audit/result.h"

static double of_alignment(const struct sm_audit_item *item)
{
    return 1 - item->f;
}

static double of_norm_1(const struct sm_audit_item *item)
{
    return item->norm_1;
}

static double of_norm_2(const struct sm_audit_item *item)
{
    return item->norm_2;
}

static double of_norm_max(const struct sm_audit_item *item)
{
    return item->norm_max;
}

static const struct {
    const char *key, *name, *source;
    double (*value)(const struct sm_audit_item *item);
    bool alone; /* measured only where the pair has no g */
} signals[SM_OUTSIDER_SIGNALS] = {
    [SM_OUTSIDER_ALIGNMENT] = {"alignment", "1 - A_f", "the alignment of f", of_alignment, false},
    [SM_OUTSIDER_NORM_1] = {"norm_1", "the 1-norm of its output", "norms", of_norm_1, true},
    [SM_OUTSIDER_NORM_2] = {"norm_2", "the 2-norm of its output", "norms", of_norm_2, true},
    [SM_OUTSIDER_NORM_MAX] = {"norm_max", "the max-norm of its output", "norms", of_norm_max, true},
};

/* The values of a cohort, in the order of its sample. */
static size_t read_values(double *out, int signal, const struct sm_sample *sample,
                          const struct sm_audit *audit)
{
    size_t known = 0;
    for (size_t i = 0; i < sample->scored; i++) {
        out[i] = signals[signal].value(&audit->items[sample->item[i]]);
        known += isfinite(out[i]);
    }
    return known;
}

static void put_words(struct sm_audit_membership *test, int signal)
{
    const struct sm_auc *auc = &test->auc;
    const char *others = sm_cohort_plural(test->others);
    if (!isfinite(auc->auc))
        snprintf(test->words, SM_WORDS_BYTES,
                 "someone with f alone cannot be tested: there are no candidates, or no images "
                 "that f did not see");
    else
        snprintf(test->words, SM_WORDS_BYTES,
                 "someone with f alone, who ranks images by %s, puts a candidate drawn at random "
                 "above one of the %s with probability %s, 95 %% interval %s to %s; 0.5 is "
                 "guessing%s",
                 signals[signal].name, others, SM_THREE(auc->auc), SM_THREE(auc->interval.low),
                 SM_THREE(auc->interval.high),
                 auc->enough ? "" : "; one image can move this by more than 0.1");
}

static enum sm_code fill_signal(struct sm_audit_outsider *out, int signal,
                                const struct sm_audit_result *result, const struct sm_audit *audit,
                                struct sm_err *err)
{
    const struct sm_sample *a = &result->samples.of[SM_COHORT_CANDIDATE];
    const struct sm_sample *b = &result->samples.of[out->others];
    size_t total = a->scored + b->scored;
    double *values = calloc(total + 1, sizeof *values);
    if (!values)
        return sm_err_set(err, SM_NOMEM, "out of memory for the signals of %zu images", total);
    size_t known = read_values(values, signal, a, audit);
    known += read_values(values + a->scored, signal, b, audit);
    enum sm_code code = SM_OK;
    if (known < total) {
        snprintf(out->missing, sizeof out->missing,
                 "%s is not given: %zu of %zu scores do not hold %s", signals[signal].name,
                 total - known, total, signals[signal].source);
    } else {
        struct sm_audit_membership *test = &out->signals[out->count++];
        const struct sm_membership_values v = {values, values + a->scored, a->scored, b->scored};
        test->key = signals[signal].key;
        test->others = out->others;
        test->is_reference = out->others == audit->spec->reference;
        code = sm_membership_test(test, &v, 0, audit->spec->seed, err);
        put_words(test, signal);
    }
    free(values);
    return code;
}

enum sm_code sm_part_outsider(struct sm_audit_result *result, const struct sm_audit *audit,
                              struct sm_err *err)
{
    struct sm_audit_outsider *out = &result->summary.outsider;
    enum sm_code code = SM_OK;
    out->others = result->samples.of[SM_COHORT_EXTERNAL].scored > 0 ||
                          result->samples.of[SM_COHORT_INDEPENDENT].scored == 0
                      ? SM_COHORT_EXTERNAL
                      : SM_COHORT_INDEPENDENT;
    out->alone = !result->samples.has_g;
    for (int i = 0; code == SM_OK && i < SM_OUTSIDER_SIGNALS; i++)
        if (out->alone || !signals[i].alone)
            code = fill_signal(out, i, result, audit, err);
    return code;
}
