/* An unlearning, part by part: the joint images, residuals centred on the externals, contrasts of
 * forget images against externals, the share that was forgotten, equivalence, p- and q-values,
 * findings, verdict.
 *
 * The externals' mean is an estimate like that of the forget images, so every test and interval
 * counts the spread of both groups. p- and q-values are those of an audit's lists: a residual
 * against those of the externals (conformal), Benjamini and Hochberg over the forget images.
 *
 * Cost: sorting, O(n log n). Memory: about 150 bytes an image. */
#include "core/audit/unlearning.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/audit/sample.h"
#include "core/base/json.h"

/* --- the request --- */

struct draft {
    struct sm_unlearning_spec spec;
    const json_t *gates;
};

#define AT(member) offsetof(struct draft, member)
static const struct sm_field fields[] = {
    {"delta", SM_FIELD_DOUBLE, AT(spec.delta), -1e300, 1e300, NULL, false},
    {"gates", SM_FIELD_NODE, AT(gates), 0, 0, NULL, false},
    {NULL, SM_FIELD_NODE, 0, 0, 0, NULL, false},
};
#undef AT

enum sm_code sm_unlearning_spec_parse(struct sm_unlearning_spec *out, const json_t *node,
                                      struct sm_err *err)
{
    struct draft draft = {.spec.delta = NAN};
    *out = (struct sm_unlearning_spec){0};
    enum sm_code code = sm_fields_read(&draft, node, fields, "", err);
    if (code == SM_OK && draft.spec.delta <= 0)
        code = sm_err_field(err, "/delta", "delta is %g, must be above 0, in the unit of m",
                            draft.spec.delta);
    if (isnan(draft.spec.delta))
        draft.spec.delta = 0;
    if (code == SM_OK && draft.gates)
        code = sm_gates_read(draft.spec.gates, &draft.spec.gates_count, draft.gates,
                             &sm_gate_of_unlearning, err);
    if (code == SM_OK)
        *out = draft.spec;
    return code;
}

/* --- residuals --- */

/* Collects m of both audits: y before, x after. */
static enum sm_code collect(struct sm_unlearning_group *group, struct sm_err *err)
{
    size_t n = group->scored;
    group->values = calloc(2 * n + 1, sizeof *group->values);
    if (!group->values)
        return sm_err_set(err, SM_NOMEM, "out of memory for the scores of %zu images", n);
    for (size_t i = 0; i < n; i++) {
        group->values[i] = group->images[i].in_after->m;
        group->values[n + i] = group->images[i].in_before->m;
    }
    group->pairs = (struct sm_pairs){group->values, group->values + n, n};
    return SM_OK;
}

static void center(struct sm_unlearning_group *group, double after, double before)
{
    size_t n = group->scored;
    for (size_t i = 0; i < n; i++) {
        group->images[i].residual = group->values[i] -= after;
        group->images[i].before = group->values[n + i] -= before;
    }
}

static enum sm_code fill_residuals(struct sm_unlearning *u, struct sm_err *err)
{
    enum sm_code code = collect(&u->forget, err);
    if (code == SM_OK)
        code = collect(&u->external, err);
    if (code != SM_OK)
        return code;
    if (u->external.scored == 0)
        return SM_OK; /* every number below is undefined */
    double after = sm_mean(u->external.pairs.x, u->external.scored);
    double before = sm_mean(u->external.pairs.y, u->external.scored);
    center(&u->forget, after, before);
    center(&u->external, after, before);
    return SM_OK;
}

/* --- tests --- */

static enum sm_code fill_contrast(struct sm_unlearning_contrast *out, const double *forget,
                                  size_t forget_count, const double *external,
                                  size_t external_count, struct sm_err *err)
{
    struct sm_ttest t;
    sm_ttest_welch(&t, forget, forget_count, external, external_count);
    out->mean = sm_mean(forget, forget_count) - sm_mean(external, external_count);
    out->low = t.low;
    out->high = t.high;
    out->p_two_sided = t.p_two_sided;
    enum sm_code code =
        sm_auc_make(&out->auc, forget, forget_count, external, external_count, 0, 0, err);
    bool both = isfinite(out->auc.delong.low);
    out->auc_method =
        sm_interval_method(out->auc.interval.low, both ? "delong_or_newcombe" : "newcombe");
    return code;
}

/* Returns the share that delta is of the mean before; NAN if that is not above 0. */
static double share_of(const struct sm_unlearning *u)
{
    if (!(u->was.mean > 0))
        return NAN;
    return u->spec.delta > 0 ? u->spec.delta / u->was.mean : SM_UNLEARNING_SHARE;
}

/* Two one-sided tests at 5 % find a contrast of 0 within the margin in 80 % of all measurements if
 * the margin is 1.645 + 1.282 standard errors, which fall with the root of the images. */
static double images_needed(const struct sm_unlearning *u)
{
    double least =
        (double)(u->forget.scored < u->external.scored ? u->forget.scored : u->external.scored);
    double errors =
        sm_variance(u->forget.pairs.x, u->forget.scored) / (double)u->forget.scored +
        sm_variance(u->external.pairs.x, u->external.scored) / (double)u->external.scored;
    double wanted = u->tost.margin / (1.645 + 1.282);
    return u->tost.margin > 0 && errors > 0 ? ceil(least * errors / (wanted * wanted)) : NAN;
}

static enum sm_code fill_tests(struct sm_unlearning *u, struct sm_err *err)
{
    const struct sm_pairs *f = &u->forget.pairs, *e = &u->external.pairs;
    struct sm_margin margin = {.delta = u->spec.delta};
    enum sm_code code = fill_contrast(&u->was, f->y, f->count, e->y, e->count, err);
    if (code == SM_OK)
        code = fill_contrast(&u->left, f->x, f->count, e->x, e->count, err);
    if (code != SM_OK)
        return code;
    if (!(margin.delta > 0))
        margin.share = SM_UNLEARNING_SHARE;
    sm_auc_deviation(&u->deviation, &u->left.auc);
    sm_fieller(&u->ratio, f, e);
    u->share = 1 - u->ratio.value;
    u->share_low = 1 - u->ratio.high;
    u->share_high = 1 - u->ratio.low;
    sm_tost_welch(&u->tost, f, e, margin);
    u->equivalent = isnan(u->tost.p) ? NAN : u->tost.p <= .05;
    if (u->u_is_g && u->tost.margin > 0)
        u->equivalent = 1;
    u->needed = images_needed(u);
    double share = share_of(u), above = u->was.auc.auc - .5;
    u->zone = isfinite(share) && above > 0 ? fmin(.5, share * above) : 0;
    return SM_OK;
}

/* --- images --- */

static enum sm_code fill_q(struct sm_unlearning *u, struct sm_err *err)
{
    size_t n = u->forget.scored, k = u->external.scored;
    double *sorted = calloc(k + 1, sizeof *sorted), *q = calloc(n + 1, sizeof *q);
    enum sm_code code = sorted && q ? SM_OK : SM_NOMEM;
    if (code != SM_OK)
        sm_err_set(err, SM_NOMEM, "out of memory for %zu q-values", n);
    for (size_t i = 0; code == SM_OK && i < k; i++)
        sorted[i] = u->external.pairs.x[i];
    if (code == SM_OK)
        sm_sort(sorted, k);
    for (size_t i = 0; code == SM_OK && k > 0 && i < n; i++)
        q[i] = u->forget.images[i].p = sm_conformal_p(sorted, k, u->forget.pairs.x[i]);
    if (code == SM_OK && k > 0)
        code = sm_bh_q(q, q, n, err);
    for (size_t i = 0; code == SM_OK && k > 0 && i < n; i++)
        u->forget.images[i].q = q[i];
    free(sorted);
    free(q);
    return code;
}

static enum sm_code rank(struct sm_unlearning *u, struct sm_err *err)
{
    size_t n = u->forget.scored, *order = calloc(n + 1, sizeof *order);
    u->ranked = calloc(n + 1, sizeof *u->ranked);
    enum sm_code code = order && u->ranked
                            ? sm_order_descending(order, u->forget.pairs.x, n, err)
                            : sm_err_set(err, SM_NOMEM, "out of memory for %zu images", n);
    for (size_t i = 0; code == SM_OK && i < n; i++)
        u->ranked[i] = &u->forget.images[order[i]];
    free(order);
    return code;
}

static enum sm_code fill_named(struct sm_unlearning *u, struct sm_err *err)
{
    struct sm_unlearning_named *named = &u->named;
    double n = (double)u->forget.scored, k = (double)u->external.scored;
    enum sm_code code = fill_q(u, err);
    if (code == SM_OK)
        code = rank(u, err);
    if (code != SM_OK)
        return code;
    named->q = SM_UNLEARNING_Q;
    named->p_smallest = named->at_least = NAN;
    for (size_t i = 0; i < u->forget.scored; i++)
        named->count += u->forget.images[i].q <= SM_UNLEARNING_Q;
    named->expected_false = (double)named->count * SM_UNLEARNING_Q;
    if (u->external.scored == 0 || u->forget.scored == 0)
        return SM_OK;
    named->p_smallest = 1 / (k + 1);
    named->enough = named->p_smallest <= SM_UNLEARNING_Q;
    named->at_least = ceil(n * named->p_smallest / SM_UNLEARNING_Q - 1e-9);
    return SM_OK;
}

/* --- histograms --- */

static void widen(struct sm_unlearning *u, const double *x, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        u->low = fmin(u->low, x[i]); /* ignores NAN */
        u->high = fmax(u->high, x[i]);
    }
}

static void fill_bins(struct sm_unlearning *u)
{
    const struct sm_pairs *f = &u->forget.pairs, *e = &u->external.pairs;
    u->low = u->high = NAN;
    widen(u, f->x, f->count);
    widen(u, f->y, f->count);
    widen(u, e->x, e->count);
    if (!(u->high > u->low))
        return;
    sm_histogram(u->bins_before, SM_UNLEARNING_BINS, u->low, u->high, f->y, f->count);
    sm_histogram(u->bins_residual, SM_UNLEARNING_BINS, u->low, u->high, f->x, f->count);
    sm_histogram(u->bins_external, SM_UNLEARNING_BINS, u->low, u->high, e->x, e->count);
}

/* --- the whole --- */

static enum sm_code fill(struct sm_unlearning *u, struct sm_err *err)
{
    enum sm_code code = sm_unlearning_join(u, err);
    if (code == SM_OK)
        code = fill_residuals(u, err);
    if (code == SM_OK)
        code = fill_tests(u, err);
    if (code == SM_OK)
        code = fill_named(u, err);
    if (code != SM_OK)
        return code;
    fill_bins(u);
    code = sm_unlearning_judge(u, err);
    if (code == SM_OK && !(u->json = sm_unlearning_document(u)))
        code = sm_err_set(err, SM_NOMEM, "out of memory for the unlearning of %zu images",
                          u->forget.count);
    return code;
}

enum sm_code sm_unlearning_make(struct sm_unlearning **out, const struct sm_audit *before,
                                const struct sm_audit *after, const struct sm_unlearning_spec *spec,
                                struct sm_err *err)
{
    *out = NULL;
    struct sm_unlearning *u = calloc(1, sizeof *u);
    if (!u)
        return sm_err_set(err, SM_NOMEM, "out of memory for the unlearning of %zu images",
                          after->items_count);
    u->before = before;
    u->after = after;
    u->spec = *spec;
    enum sm_code code = fill(u, err);
    if (code == SM_OK)
        *out = u;
    else
        sm_unlearning_free(u);
    return code;
}

static void release_group(struct sm_unlearning_group *group)
{
    free(group->images);
    free(group->values);
}

void sm_unlearning_free(struct sm_unlearning *u)
{
    if (!u)
        return;
    release_group(&u->forget);
    release_group(&u->external);
    free(u->ranked);
    json_decref(u->json);
    free(u);
}

const json_t *sm_unlearning_json(const struct sm_unlearning *u)
{
    return u->json;
}

enum sm_unlearning_verdict sm_unlearning_verdict_of(const struct sm_unlearning *u)
{
    return u->verdict;
}
