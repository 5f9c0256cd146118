/* Comparison of two audits of the same images: do they rank the images alike, and did the scores
 * move?
 *
 * Images are joined by digest and cohort; the first one counts if a cohort holds an image twice.
 * Every number is given for all joint images and for each cohort. Over all images two audits agree
 * already because the cohorts differ, so the candidates show the agreement about memorization. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/audit/sample.h"
#include "core/base/json.h"
#include "sslmem/stats.h"

static const size_t tops[] = {10, 20, 50, 100, 200, 500, 1000, 2000, 5000};

struct joined {
    const struct sm_audit_item *a, *b;
};

/* Scores and scratch space of one group of joint images: all of them, or a cohort. */
struct group {
    double *x, *y, *difference;
    size_t *order_x, *order_y;
    unsigned char *seen;
    size_t count;
};

static int by_image(const void *a, const void *b)
{
    const struct sm_audit_item *x = *(const struct sm_audit_item *const *)a;
    const struct sm_audit_item *y = *(const struct sm_audit_item *const *)b;
    int order = strcmp(x->image_digest, y->image_digest);
    if (order == 0)
        order = (int)x->cohort - (int)y->cohort;
    return order ? order : (x->index > y->index) - (x->index < y->index);
}

static bool same_image(const struct sm_audit_item *x, const struct sm_audit_item *y)
{
    return x->cohort == y->cohort && strcmp(x->image_digest, y->image_digest) == 0;
}

static int by_index(const void *a, const void *b)
{
    const struct joined *x = a, *y = b;
    return (x->a->index > y->a->index) - (x->a->index < y->a->index);
}

/* Lists the scored images of an audit, each once, by digest and cohort. */
static enum sm_code list_images(const struct sm_audit_item ***out, size_t *count,
                                const struct sm_audit *audit, struct sm_err *err)
{
    size_t n = 0, kept = 0;
    const struct sm_audit_item **items = calloc(audit->items_count + 1, sizeof *items);
    *out = items;
    *count = 0;
    if (!items)
        return sm_err_set(err, SM_NOMEM, "out of memory for %zu images", audit->items_count);
    for (size_t i = 0; i < audit->items_count; i++)
        if (sm_item_scored(&audit->items[i], true) && audit->items[i].image_digest[0])
            items[n++] = &audit->items[i];
    qsort(items, n, sizeof *items, by_image);
    for (size_t i = 0; i < n; i++)
        if (kept == 0 || !same_image(items[kept - 1], items[i]))
            items[kept++] = items[i];
    *count = kept;
    return SM_OK;
}

/* Merges the two lists; the result is in the order of the first audit. */
static size_t join(struct joined *out, const struct sm_audit_item **a, size_t a_count,
                   const struct sm_audit_item **b, size_t b_count)
{
    size_t n = 0;
    for (size_t i = 0, j = 0; i < a_count && j < b_count;) {
        int order = strcmp(a[i]->image_digest, b[j]->image_digest);
        if (order == 0)
            order = (int)a[i]->cohort - (int)b[j]->cohort;
        if (order == 0)
            out[n++] = (struct joined){a[i], b[j]};
        i += order <= 0;
        j += order >= 0;
    }
    qsort(out, n, sizeof *out, by_index);
    return n;
}

static json_t *correlation_json(const struct sm_correlation *c)
{
    return json_pack("{s:o, s:o}", "value", sm_json_number(c->r), "p_two_sided",
                     sm_json_number(c->p_two_sided));
}

/* Tests b minus a, which is positive where the second audit scores higher. */
static json_t *paired_json(const struct group *g)
{
    struct sm_ttest t;
    sm_ttest_one(&t, g->difference, g->count);
    return json_pack("{s:o, s:o, s:o, s:s?, s:o, s:o, s:o, s:o}", "difference",
                     sm_json_number(sm_mean(g->difference, g->count)), "low", sm_json_number(t.low),
                     "high", sm_json_number(t.high), "interval_method",
                     sm_interval_method(t.low, "student"), "t", sm_json_number(t.t), "df",
                     sm_json_number(t.df), "p_two_sided", sm_json_number(t.p_two_sided), "cohen_d",
                     sm_json_number(t.cohen_d));
}

/* Counts the images among the k highest of both audits; by chance their share is k/n. */
static json_t *overlap_json(const struct group *g)
{
    json_t *out = json_array();
    for (size_t i = 0; i < sizeof tops / sizeof *tops && tops[i] < g->count; i++) {
        size_t k = tops[i], common = 0;
        memset(g->seen, 0, g->count);
        for (size_t j = 0; j < k; j++)
            g->seen[g->order_x[j]] = 1;
        for (size_t j = 0; j < k; j++)
            common += g->seen[g->order_y[j]];
        json_array_append_new(out,
                              json_pack("{s:I, s:I, s:f, s:f}", "k", (json_int_t)k, "common",
                                        (json_int_t)common, "share", (double)common / (double)k,
                                        "by_chance", (double)k / (double)g->count));
    }
    return out;
}

static json_t *group_json(struct group *g, struct sm_err *err)
{
    struct sm_correlation kendall, spearman, pearson;
    sm_pearson(&pearson, g->x, g->y, g->count);
    if (sm_kendall(&kendall, g->x, g->y, g->count, err) != SM_OK ||
        sm_spearman(&spearman, g->x, g->y, g->count, err) != SM_OK ||
        sm_order_descending(g->order_x, g->x, g->count, err) != SM_OK ||
        sm_order_descending(g->order_y, g->y, g->count, err) != SM_OK)
        return NULL;
    return json_pack("{s:I, s:o, s:o, s:o, s:o, s:o}", "n", (json_int_t)g->count, "kendall",
                     correlation_json(&kendall), "spearman", correlation_json(&spearman), "pearson",
                     correlation_json(&pearson), "overlap", overlap_json(g), "paired",
                     paired_json(g));
}

static void release_group(struct group *g)
{
    free(g->x);
    free(g->y);
    free(g->difference);
    free(g->order_x);
    free(g->order_y);
    free(g->seen);
}

static enum sm_code make_group(struct group *g, size_t room, struct sm_err *err)
{
    *g = (struct group){
        .x = calloc(room, sizeof *g->x),
        .y = calloc(room, sizeof *g->y),
        .difference = calloc(room, sizeof *g->difference),
        .order_x = calloc(room, sizeof *g->order_x),
        .order_y = calloc(room, sizeof *g->order_y),
        .seen = calloc(room, 1),
    };
    if (g->x && g->y && g->difference && g->order_x && g->order_y && g->seen)
        return SM_OK;
    return sm_err_set(err, SM_NOMEM, "out of memory to compare %zu images", room);
}

/* Takes the images of one cohort; SM_COHORTS: of all cohorts. */
static void fill_group(struct group *g, const struct joined *images, size_t count, int cohort)
{
    g->count = 0;
    for (size_t i = 0; i < count; i++) {
        if (cohort != SM_COHORTS && (int)images[i].a->cohort != cohort)
            continue;
        g->x[g->count] = images[i].a->m;
        g->y[g->count] = images[i].b->m;
        g->difference[g->count++] = images[i].b->m - images[i].a->m;
    }
}

static json_t *agreement_json(const struct joined *images, size_t count, struct sm_err *err)
{
    struct group g;
    json_t *out = make_group(&g, count, err) == SM_OK ? json_object() : NULL;
    for (int c = SM_COHORTS; out && c >= 0; c--) {
        const char *name = c == SM_COHORTS ? "all" : sm_cohort_name((enum sm_cohort)c);
        fill_group(&g, images, count, c);
        if (json_object_set_new(out, name, group_json(&g, err)) != 0) {
            json_decref(out);
            out = NULL;
        }
    }
    release_group(&g);
    return out;
}

/* [[m of a, m of b, cohort] …], a sample spread evenly over the joint images. */
static json_t *scatter_json(const struct joined *images, size_t count, size_t points_max)
{
    json_t *out = json_array();
    size_t points = count < points_max ? count : points_max;
    for (size_t i = 0; i < points; i++) {
        const struct joined *one = &images[i * count / points];
        json_array_append_new(
            out, json_pack("[f, f, s]", one->a->m, one->b->m, sm_cohort_name(one->a->cohort)));
    }
    return out;
}

struct sides {
    const struct sm_audit *const *audits;
    size_t a, b, points_max;
};

static enum sm_code compare_joined(json_t **out, const struct sides *s, const size_t counts[2],
                                   const struct joined *images, size_t n, struct sm_err *err)
{
    struct sm_err inner = {.code = SM_OK};
    if (n == 0)
        return sm_err_set(err, SM_INVALID,
                          "audits %zu and %zu have no scored image in common (%zu and %zu scored)",
                          s->a, s->b, counts[0], counts[1]);
    json_t *agreement = agreement_json(images, n, &inner);
    *out = json_pack("{s:I, s:I, s:I, s:I, s:I, s:o, s:o}", "a", (json_int_t)s->a, "b",
                     (json_int_t)s->b, "joint", (json_int_t)n, "only_a",
                     (json_int_t)(counts[0] - n), "only_b", (json_int_t)(counts[1] - n),
                     "agreement", agreement, "scatter", scatter_json(images, n, s->points_max));
    if (*out)
        return SM_OK;
    return sm_err_set(err, SM_NOMEM, "out of memory to compare %zu images", n);
}

static enum sm_code compare_two(json_t **out, const struct sides *s, struct sm_err *err)
{
    const struct sm_audit_item **a = NULL, **b = NULL;
    struct joined *images = NULL;
    size_t counts[2] = {0};
    *out = NULL;
    enum sm_code code = list_images(&a, &counts[0], s->audits[s->a], err);
    if (code == SM_OK)
        code = list_images(&b, &counts[1], s->audits[s->b], err);
    if (code == SM_OK) {
        images = calloc(counts[0] + 1, sizeof *images);
        code = images ? compare_joined(out, s, counts, images,
                                       join(images, a, counts[0], b, counts[1]), err)
                      : sm_err_set(err, SM_NOMEM, "out of memory for %zu images", counts[0]);
    }
    free(images);
    free(a);
    free(b);
    return code;
}

static json_t *audit_json(const struct sm_audit *audit)
{
    json_t *pair = json_object_get(audit->pair, "name");
    json_t *digest = json_object_get(audit->pair, "digest");
    json_t *flags = json_object_get(audit->pair, "flags");
    return json_pack("{s:s, s:I, s:o, s:O?, s:O?, s:O*}", "name", audit->spec->name, "items",
                     (json_int_t)audit->items_count, "completeness",
                     sm_completeness_json(&audit->completeness), "pair", pair, "pair_digest",
                     digest, "flags", json_array_size(flags) > 0 ? flags : NULL);
}

enum sm_code sm_audit_compare(json_t **out, const struct sm_audit *const *audits, size_t count,
                              size_t points_max, struct sm_err *err)
{
    enum sm_code code = SM_OK;
    *out = NULL;
    if (count < 2)
        return sm_err_set(err, SM_INVALID, "%zu audits to compare, must be 2 at least", count);
    for (size_t i = 0; i < count; i++)
        if (!sm_audit_has_g(audits[i]))
            return sm_err_set(err, SM_INVALID,
                              "the pair of audit %zu, %.100s, has no g: there is no score m to "
                              "compare",
                              i + 1, audits[i]->spec->name);
    json_t *list = json_array(), *pairs = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, audit_json(audits[i]));
    for (size_t a = 0; code == SM_OK && a < count; a++) {
        for (size_t b = a + 1; code == SM_OK && b < count; b++) {
            json_t *one;
            code = compare_two(&one, &(struct sides){audits, a, b, points_max}, err);
            if (code == SM_OK)
                json_array_append_new(pairs, one);
        }
    }
    if (code == SM_OK) {
        *out = json_pack("{s:O, s:O}", "audits", list, "pairs", pairs);
        code = *out ? SM_OK : sm_err_set(err, SM_NOMEM, "out of memory for %zu audits", count);
    }
    json_decref(list);
    json_decref(pairs);
    return code;
}
