/* The blind classifier: five folds of sm_logistic, and a permutation test by its first step.
 *
 * The first Newton step from w = 0 and b = log(m/(n - m)) is, for a fold whose other rows z are
 * standardised, w = H^-1 z'(y - m/n) with H = m/n (1 - m/n) z'z + 1. With z = (x - mean)/sd and A =
 * the sum of the rows x of members this is w = M (A - m mean) in units of x, where M = sd^-1 H^-1
 * sd^-1. A permutation within folds changes only A, so each one costs two passes over x. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/rng.h"
#include "core/stats/cholesky.h"
#include "core/stats/sort.h"
#include "sslmem/controls.h"

/* What a fold takes from the rows outside of it. */
struct side {
    double *mean, *scale; /* [features] */
    double *matrix;       /* [features, features]: M above */
    size_t members, count;
};

struct blind {
    const struct sm_blind_rows *rows;
    struct side sides[SM_BLIND_FOLDS];
    double *z, *w;        /* [count, features], [features + 1]: a fit */
    double *scores;       /* [count] */
    double *sums;         /* [SM_BLIND_FOLDS, features]: A of each fold */
    double *a, *b;        /* [count]: scores of members and others; or ranks */
    bool *label, *inside; /* [count]: permuted membership; membership of a fit's rows */
    size_t *order;        /* [count]: rows by fold */
    size_t first[SM_BLIND_FOLDS + 1];
    struct sm_keyed *keyed;
};

static void release(struct blind *s)
{
    for (int k = 0; k < SM_BLIND_FOLDS; k++)
        free(s->sides[k].mean);
    free(s->z);
    free(s->label);
    free(s->order);
    free(s->keyed);
}

static bool allocate(struct blind *s, size_t count, size_t features)
{
    size_t scalars = count * features + features + 1 + 3 * count + SM_BLIND_FOLDS * features;
    bool whole = true;
    for (int k = 0; k < SM_BLIND_FOLDS; k++) {
        struct side *side = &s->sides[k];
        side->mean = calloc(2 * features + features * features, sizeof *side->mean);
        whole = whole && side->mean;
        side->scale = side->mean + features;
        side->matrix = side->scale + features;
    }
    s->z = calloc(scalars, sizeof *s->z);
    s->label = calloc(2 * count, sizeof *s->label);
    s->order = calloc(count, sizeof *s->order);
    if (!whole || !s->z || !s->label || !s->order)
        return false;
    s->w = s->z + count * features;
    s->scores = s->w + features + 1;
    s->a = s->scores + count;
    s->b = s->a + count;
    s->sums = s->b + count;
    s->inside = s->label + count;
    return true;
}

/* Lists the rows by fold. Returns false unless every fold, and the rest of it, has members and
 * others. */
static bool sort_folds(struct blind *s)
{
    const struct sm_blind_rows *rows = s->rows;
    size_t used = 0, members[SM_BLIND_FOLDS] = {0}, all = 0;
    for (int k = 0; k < SM_BLIND_FOLDS; k++) {
        s->first[k] = used;
        for (size_t i = 0; i < rows->count; i++) {
            if (rows->fold[i] != k)
                continue;
            s->order[used++] = i;
            members[k] += rows->is_member[i];
        }
        all += members[k];
    }
    s->first[SM_BLIND_FOLDS] = used;
    bool whole = used == rows->count;
    for (int k = 0; k < SM_BLIND_FOLDS; k++) {
        size_t count = s->first[k + 1] - s->first[k];
        s->sides[k].members = all - members[k];
        s->sides[k].count = used - count;
        whole = whole && members[k] > 0 && members[k] < count && all > members[k] &&
                used - all > count - members[k];
    }
    return whole;
}

static void measure_side(struct blind *s, int fold)
{
    const struct sm_blind_rows *rows = s->rows;
    struct side *side = &s->sides[fold];
    size_t features = rows->features;
    double n = (double)side->count;
    for (size_t i = 0; i < rows->count; i++)
        for (size_t j = 0; j < features && rows->fold[i] != fold; j++)
            side->mean[j] += rows->x[i * features + j] / n;
    for (size_t i = 0; i < rows->count; i++)
        for (size_t j = 0; j < features && rows->fold[i] != fold; j++) {
            double d = rows->x[i * features + j] - side->mean[j];
            side->scale[j] += d * d / n;
        }
    for (size_t j = 0; j < features; j++) {
        double least = 1e-10 * fabs(side->mean[j]); /* of a constant, rounding is left */
        side->scale[j] = sqrt(side->scale[j]);
        if (!(side->scale[j] > least))
            side->scale[j] = INFINITY; /* the feature counts as 0 */
    }
}

/* Writes the standardised rows outside of the fold; returns their count. */
static size_t standardize(struct blind *s, int fold)
{
    const struct sm_blind_rows *rows = s->rows;
    const struct side *side = &s->sides[fold];
    size_t features = rows->features, used = 0;
    for (size_t i = 0; i < rows->count; i++) {
        if (rows->fold[i] == fold)
            continue;
        const double *x = rows->x + i * features;
        double *z = s->z + used * features;
        for (size_t j = 0; j < features; j++)
            z[j] = (x[j] - side->mean[j]) / side->scale[j];
        s->inside[used++] = rows->is_member[i];
    }
    return used;
}

/* Replaces the matrix by its inverse, both scaled: matrix = sd^-1 H^-1 sd^-1. */
static bool invert(struct side *side, double *factor, double *column, size_t features)
{
    memcpy(factor, side->matrix, features * features * sizeof *factor);
    if (!sm_cholesky(factor, features))
        return false;
    for (size_t j = 0; j < features; j++) {
        memset(column, 0, features * sizeof *column);
        column[j] = 1;
        sm_cholesky_solve(column, factor, features);
        for (size_t k = 0; k < features; k++)
            side->matrix[j * features + k] = column[k] / side->scale[j] / side->scale[k];
    }
    return true;
}

static enum sm_code make_matrix(struct blind *s, int fold, size_t count, struct sm_err *err)
{
    struct side *side = &s->sides[fold];
    size_t features = s->rows->features;
    double share = (double)side->members / (double)side->count, *m = side->matrix;
    double *memory = malloc((features * features + features) * sizeof *memory);
    if (!memory)
        return sm_err_set(err, SM_NOMEM, "out of memory for %zu features", features);
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < features; j++) {
            const double *z = s->z + i * features;
            double scaled = share * (1 - share) * z[j];
            for (size_t k = 0; k <= j; k++)
                m[j * features + k] += scaled * z[k];
        }
    for (size_t j = 0; j < features; j++)
        m[j * features + j] += 1;
    bool definite = invert(side, memory, memory + features * features, features);
    free(memory);
    return definite ? SM_OK : sm_err_set(err, SM_INTERNAL, "a ridge matrix is not definite");
}

/* Fits the rows outside of the fold and scores those inside. */
static enum sm_code fit_fold(struct blind *s, int fold, struct sm_err *err)
{
    const struct side *side = &s->sides[fold];
    size_t features = s->rows->features;
    measure_side(s, fold);
    size_t count = standardize(s, fold);
    enum sm_code code = make_matrix(s, fold, count, err);
    if (code == SM_OK)
        code = sm_logistic(s->w, s->z, s->inside, count, features, err);
    for (size_t k = s->first[fold]; code == SM_OK && k < s->first[fold + 1]; k++) {
        const double *x = s->rows->x + s->order[k] * features;
        double score = s->w[features];
        for (size_t j = 0; j < features; j++)
            score += s->w[j] * ((x[j] - side->mean[j]) / side->scale[j]);
        s->scores[s->order[k]] = score;
    }
    return code;
}

static enum sm_code measure_auc(struct sm_auc *out, struct blind *s, struct sm_err *err)
{
    size_t a = 0, b = 0;
    for (size_t i = 0; i < s->rows->count; i++)
        *(s->rows->is_member[i] ? &s->a[a++] : &s->b[b++]) = s->scores[i];
    return sm_auc_make(out, s->a, a, s->b, b, 0, 0, err);
}

/* --- the permutation test --- */

/* Fills the sums of members by fold. */
static void sum_members(struct blind *s)
{
    size_t features = s->rows->features;
    memset(s->sums, 0, SM_BLIND_FOLDS * features * sizeof *s->sums);
    for (size_t i = 0; i < s->rows->count; i++) {
        const double *x = s->rows->x + i * features;
        double *sum = s->sums + s->rows->fold[i] * features;
        for (size_t j = 0; s->label[i] && j < features; j++)
            sum[j] += x[j];
    }
}

/* Fills w with the first step outside of the fold, in units of x, and its intercept. */
static void first_step(struct blind *s, int fold)
{
    const struct side *side = &s->sides[fold];
    size_t features = s->rows->features;
    double members = (double)side->members, *sum = s->z; /* not in use any more */
    s->w[features] = log(members / ((double)side->count - members));
    for (size_t j = 0; j < features; j++) {
        sum[j] = -members * side->mean[j];
        for (int k = 0; k < SM_BLIND_FOLDS; k++)
            sum[j] += k == fold ? 0 : s->sums[(size_t)k * features + j];
    }
    for (size_t j = 0; j < features; j++) {
        s->w[j] = 0;
        for (size_t k = 0; k < features; k++)
            s->w[j] += side->matrix[j * features + k] * sum[k];
        s->w[features] -= s->w[j] * side->mean[j];
    }
}

/* Returns the AUC of the labels under the first step. */
static double step_auc(struct blind *s)
{
    size_t features = s->rows->features, count = s->rows->count, members = 0;
    double sum = 0;
    sum_members(s);
    for (int fold = 0; fold < SM_BLIND_FOLDS; fold++) {
        first_step(s, fold);
        for (size_t k = s->first[fold]; k < s->first[fold + 1]; k++) {
            const double *x = s->rows->x + s->order[k] * features;
            double sums[4] = {s->w[features]};
            size_t j = 0;
            for (; j + 4 <= features; j += 4)
                for (size_t i = 0; i < 4; i++)
                    sums[i] += s->w[j + i] * x[j + i];
            for (; j < features; j++)
                sums[0] += s->w[j] * x[j];
            s->keyed[k] = (struct sm_keyed){sums[0] + sums[1] + (sums[2] + sums[3]), s->order[k]};
        }
    }
    sm_keyed_sort(s->keyed, count);
    sm_midranks(s->a, s->keyed, count);
    for (size_t i = 0; i < count; i++)
        if (s->label[i]) {
            sum += s->a[i];
            members++;
        }
    double m = (double)members, others = (double)(count - members);
    return (sum - m * (m + 1) / 2) / (m * others);
}

/* Permutes the labels within each fold (Fisher and Yates). */
static void permute(struct blind *s, uint64_t seed, uint32_t number)
{
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    for (int fold = 0; fold < SM_BLIND_FOLDS; fold++) {
        const size_t *rows = s->order + s->first[fold];
        for (size_t i = s->first[fold + 1] - s->first[fold]; i > 1; i--) {
            uint32_t words[4];
            sm_philox(words, key, (const uint32_t[4]){(uint32_t)i, number, (uint32_t)fold, 0});
            size_t j = (size_t)((uint64_t)words[0] * i >> 32);
            bool label = s->label[rows[i - 1]];
            s->label[rows[i - 1]] = s->label[rows[j]];
            s->label[rows[j]] = label;
        }
    }
}

static double permutation_p(struct blind *s, uint64_t seed)
{
    size_t count = s->rows->count;
    memcpy(s->label, s->rows->is_member, count * sizeof *s->label);
    double own = step_auc(s);
    int as_high = 0;
    for (uint32_t i = 0; i < SM_BLIND_PERMUTATIONS; i++) {
        memcpy(s->label, s->rows->is_member, count * sizeof *s->label);
        permute(s, seed, i);
        as_high += step_auc(s) >= own;
    }
    return (1.0 + as_high) / (SM_BLIND_PERMUTATIONS + 1);
}

static enum sm_code evaluate(struct sm_blind *out, struct blind *s, uint64_t seed,
                             struct sm_err *err)
{
    enum sm_code code = SM_OK;
    for (int fold = 0; code == SM_OK && fold < SM_BLIND_FOLDS; fold++)
        code = fit_fold(s, fold, err);
    if (code == SM_OK)
        code = measure_auc(&out->auc, s, err);
    if (code != SM_OK)
        return code;
    s->keyed = sm_keyed_new(s->scores, s->rows->count, err);
    if (!s->keyed)
        return SM_NOMEM;
    out->p_value = permutation_p(s, seed);
    return SM_OK;
}

enum sm_code sm_blind_make(struct sm_blind *out, double *scores, const struct sm_blind_rows *rows,
                           uint64_t seed, struct sm_err *err)
{
    struct blind s = {.rows = rows};
    out->p_value = NAN;
    enum sm_code code = sm_auc_make(&out->auc, NULL, 0, NULL, 0, 0, 0, err);
    for (size_t i = 0; scores && i < rows->count; i++)
        scores[i] = NAN;
    if (code != SM_OK || rows->count == 0 || rows->features == 0)
        return code;
    if (!allocate(&s, rows->count, rows->features))
        code = sm_err_set(err, SM_NOMEM, "out of memory for %zu rows of %zu features", rows->count,
                          rows->features);
    else if (sort_folds(&s))
        code = evaluate(out, &s, seed, err);
    else
        scores = NULL;
    if (code == SM_OK && scores)
        memcpy(scores, s.scores, rows->count * sizeof *scores);
    release(&s);
    return code;
}
