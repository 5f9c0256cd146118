/* Near-duplicates: pairs by the rule of sslmem/pixels.h, joined to groups.
 *
 * Images with equal features are joined first, so that many copies of an image cost no more than
 * one. Candidates for pairs are, of images without profiles, those that the Hamming search finds;
 * of images with profiles, all whose sizes allow a crop, and of images of one size only those whose
 * mean luminances differ by no more than the profiles may.
 *
 * The cosine of g's pooled representation of the unaugmented image is no part of the rule: it would
 * take one more forward of every image, 5 % of an audit with 10 views and two encoders. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/audit/controls.h"
#include "core/audit/out.h"

#define COMPARISONS_MAX ((uint64_t)1 << 27) /* a few seconds */

struct entry {
    const struct sm_pixel_item *item;
    size_t row;       /* of the item */
    double luminance; /* mean of an image with profiles */
};

struct search {
    const struct sm_pixel_items *items;
    size_t *parent; /* [items]: union-find */
    struct entry *small, *large;
    size_t small_count, large_count;
    uint64_t left; /* comparisons */
};

static size_t root_of(struct search *s, size_t i)
{
    while (s->parent[i] != i)
        i = s->parent[i] = s->parent[s->parent[i]];
    return i;
}

static void join(struct search *s, size_t i, size_t j)
{
    size_t a = root_of(s, i), b = root_of(s, j);
    if (a < b)
        s->parent[b] = a;
    else
        s->parent[a] = b;
}

static void compare(struct search *s, const struct entry *a, const struct entry *b)
{
    if (sm_pixels_near(&a->item->pixels, &b->item->pixels))
        join(s, a->row, b->row);
}

/* --- images with profiles --- */

static int by_size_and_luminance(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    const struct sm_pixels *p = &x->item->pixels, *q = &y->item->pixels;
    if (p->height_px != q->height_px)
        return p->height_px < q->height_px ? -1 : 1;
    if (p->width_px != q->width_px)
        return p->width_px < q->width_px ? -1 : 1;
    int order = (x->luminance > y->luminance) - (x->luminance < y->luminance);
    return order ? order : (x->row > y->row) - (x->row < y->row);
}

static double mean_luminance(const struct sm_pixels *p)
{
    uint32_t sum = 0;
    for (int32_t y = 0; y < p->height_px; y++)
        sum += p->rows[y];
    return (double)sum / p->height_px;
}

static bool same_size(const struct entry *a, const struct entry *b)
{
    return a->item->pixels.height_px == b->item->pixels.height_px &&
           a->item->pixels.width_px == b->item->pixels.width_px;
}

/* Returns true if `b`, which is as tall as `a` or taller, may be a crop of it or the reverse. */
static bool may_be_crop(const struct entry *a, const struct entry *b)
{
    return b->item->pixels.height_px - a->item->pixels.height_px <= SM_PIXELS_CROP_MAX &&
           abs(b->item->pixels.width_px - a->item->pixels.width_px) <= SM_PIXELS_CROP_MAX;
}

static bool compare_range(struct search *s, const struct entry *a, size_t first, size_t end)
{
    for (size_t i = first; i < end; i++) {
        if (s->left == 0)
            return false;
        s->left--;
        compare(s, a, &s->small[i]);
    }
    return true;
}

static size_t end_of_size(const struct search *s, size_t first)
{
    size_t end = first;
    while (end < s->small_count && same_size(&s->small[first], &s->small[end]))
        end++;
    return end;
}

/* Compares images first to end - 1, which have one size, with each other and with larger ones. */
static bool search_size(struct search *s, size_t first, size_t end)
{
    for (size_t i = first; i < end; i++) {
        const struct entry *a = &s->small[i];
        size_t last = i + 1;
        while (last < end && s->small[last].luminance - a->luminance <= SM_PIXELS_LEVELS + 1)
            last++;
        if (!compare_range(s, a, i + 1, last))
            return false;
    }
    for (size_t other = end, next; other < s->small_count; other = next) {
        next = end_of_size(s, other);
        if (!may_be_crop(&s->small[first], &s->small[other]))
            continue;
        for (size_t i = first; i < end; i++)
            if (!compare_range(s, &s->small[i], other, next))
                return false;
    }
    return true;
}

/* Returns false if the comparisons ran out. */
static bool search_small(struct search *s)
{
    qsort(s->small, s->small_count, sizeof *s->small, by_size_and_luminance);
    for (size_t first = 0, end; first < s->small_count; first = end) {
        end = end_of_size(s, first);
        if (!search_size(s, first, end))
            return false;
    }
    return true;
}

/* --- images without profiles --- */

static void compare_found(void *arg, size_t i, size_t j)
{
    struct search *s = arg;
    compare(s, &s->large[i], &s->large[j]);
}

static enum sm_code search_large(bool *complete, struct search *s, struct sm_err *err)
{
    uint64_t *codes = malloc((s->large_count + 1) * sizeof *codes);
    if (!codes)
        return sm_err_set(err, SM_NOMEM, "out of memory for %zu hashes", s->large_count);
    for (size_t i = 0; i < s->large_count; i++)
        codes[i] = s->large[i].item->pixels.hash;
    enum sm_code code = sm_hamming_search(complete, codes, s->large_count, SM_PIXELS_HASH_BITS,
                                          s->left, compare_found, s, err);
    free(codes);
    return code;
}

/* --- groups --- */

static int by_features(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int order = 0;
    if (x->item->item->pixels_bytes != y->item->item->pixels_bytes)
        return x->item->item->pixels_bytes < y->item->item->pixels_bytes ? -1 : 1;
    order = memcmp(x->item->item->pixels, y->item->item->pixels, x->item->item->pixels_bytes);
    return order ? order : (x->row > y->row) - (x->row < y->row);
}

/* Joins images with equal features; the first of each goes to the search. */
static void sort_out(struct search *s, struct entry *all, size_t count)
{
    qsort(all, count, sizeof *all, by_features);
    for (size_t first = 0, end; first < count; first = end) {
        struct entry one = all[first];
        for (end = first + 1;
             end < count && all[end].item->item->pixels_bytes == one.item->item->pixels_bytes &&
             memcmp(all[end].item->item->pixels, one.item->item->pixels,
                    one.item->item->pixels_bytes) == 0;
             end++)
            join(s, one.row, all[end].row);
        if (sm_pixels_has_profiles(&one.item->pixels))
            s->small[s->small_count++] = one;
        else
            s->large[s->large_count++] = one;
    }
}

static enum sm_code search(bool *complete, struct search *s, struct sm_err *err)
{
    size_t count = s->items->count;
    struct entry *all = malloc((count + 1) * sizeof *all);
    enum sm_code code = SM_OK;
    *complete = false;
    if (!all)
        return sm_err_set(err, SM_NOMEM, "out of memory for %zu images", count);
    for (size_t i = 0; i < count; i++) {
        const struct sm_pixel_item *item = &s->items->rows[i];
        s->parent[i] = i;
        all[i] = (struct entry){item, i, 0};
        if (sm_pixels_has_profiles(&item->pixels))
            all[i].luminance = mean_luminance(&item->pixels);
    }
    sort_out(s, all, count);
    free(all);
    if (search_small(s))
        code = search_large(complete, s, err);
    return code;
}

/* Numbers the groups by their first image. `near` [items of the audit] gets the numbers. */
static size_t number_groups(uint32_t *near, struct search *s, const size_t *row_of, size_t count,
                            const uint32_t *sizes, uint32_t *number)
{
    uint32_t used = 0;
    for (size_t position = 0; position < count; position++) {
        if (row_of[position] == SIZE_MAX)
            continue;
        size_t root = root_of(s, row_of[position]);
        if (sizes[root] < 2)
            continue;
        if (number[root] == 0)
            number[root] = ++used;
        near[position] = number[root];
    }
    return used;
}

static enum sm_code make_groups(size_t *groups, uint32_t *near, struct search *s, size_t count,
                                struct sm_err *err)
{
    size_t rows = s->items->count, *row_of = malloc((count + 1) * sizeof *row_of);
    uint32_t *sizes = calloc(2 * rows + 1, sizeof *sizes);
    enum sm_code code =
        row_of && sizes ? SM_OK : sm_err_set(err, SM_NOMEM, "out of memory for %zu images", count);
    for (size_t i = 0; code == SM_OK && i < count; i++)
        row_of[i] = SIZE_MAX;
    for (size_t i = 0; code == SM_OK && i < rows; i++) {
        row_of[s->items->rows[i].position] = i;
        sizes[root_of(s, i)]++;
    }
    if (code == SM_OK)
        *groups = number_groups(near, s, row_of, count, sizes, sizes + rows);
    free(row_of);
    free(sizes);
    return code;
}

/* --- what the summary says of them --- */

/* What the images of a group have in common; bits are 1 << cohort. */
struct group {
    unsigned cohorts;
    int64_t images;
    size_t first; /* of its members */
};

static bool spans(const struct group *group)
{
    return (group->cohorts & (group->cohorts - 1)) != 0;
}

static void list_groups(struct sm_audit_duplicates *out, struct group *groups, size_t count,
                        const uint32_t *near, const struct sm_audit *audit)
{
    struct sm_audit_repeats *repeats = &out->groups.repeats;
    size_t used = 0;
    repeats->count = count;
    for (size_t g = 0; g < count; g++) {
        groups[g].first = used;
        used += (size_t)groups[g].images;
        if (repeats->listed < SM_FLAG_GROUPS_MAX) {
            repeats->groups[repeats->listed].first = groups[g].first;
            repeats->groups[repeats->listed++].count = (size_t)groups[g].images;
        }
    }
    for (size_t i = 0; i < audit->items_count; i++)
        if (near[i] > 0)
            out->groups.members[groups[near[i] - 1].first++] = audit->items[i].index;
}

static void count_groups(struct sm_audit_duplicates *out, struct group *groups, size_t count,
                         const uint32_t *near, const struct sm_audit *audit)
{
    for (size_t i = 0; i < audit->items_count; i++)
        if (near[i] > 0) {
            groups[near[i] - 1].cohorts |= 1u << audit->items[i].cohort;
            groups[near[i] - 1].images++;
        }
    out->groups_count = (int64_t)count;
    for (size_t g = 0; g < count; g++) {
        out->images += groups[g].images;
        out->groups_across += spans(&groups[g]);
        out->images_across += spans(&groups[g]) ? groups[g].images : 0;
    }
}

/* Copies the scores of a cohort without the duplicates; `seen` [groups] marks groups whose first
 * image of the cohort was kept. */
static size_t keep_scores(double *out, const struct sm_sample *sample, const struct group *groups,
                          const uint32_t *near, bool *seen)
{
    size_t count = 0;
    for (size_t i = 0; i < sample->count; i++) {
        uint32_t number = near[sample->item[i]];
        if (number > 0 && (spans(&groups[number - 1]) || seen[number - 1]))
            continue;
        if (number > 0)
            seen[number - 1] = true;
        out[count++] = sample->m[i];
    }
    return count;
}

static enum sm_code measure_without(struct sm_audit_result *result, const struct group *groups,
                                    size_t count, struct sm_err *err)
{
    struct sm_audit_duplicates *out = &result->summary.controls.duplicates;
    const struct sm_sample *a = &result->samples.of[SM_COHORT_CANDIDATE],
                           *b = &result->samples.of[result->summary.reference];
    double *m = malloc((a->count + b->count + 1) * sizeof *m);
    bool *seen = calloc(count + 1, sizeof *seen);
    enum sm_code code = SM_NOMEM;
    if (m && seen) {
        size_t n_a = keep_scores(m, a, groups, result->near, seen);
        size_t n_b = keep_scores(m + n_a, b, groups, result->near, seen);
        out->without.n_candidates = (int64_t)n_a;
        out->without.n_reference = (int64_t)n_b;
        sm_ttest_welch(&out->without.welch, m, n_a, m + n_a, n_b);
        code = sm_auc_make(&out->without.auc, m, n_a, m + n_a, n_b, 0, 0, err);
    } else {
        sm_err_set(err, SM_NOMEM, "out of memory for %zu scores", a->count + b->count);
    }
    free(m);
    free(seen);
    return code;
}

static void put_words(struct sm_audit_duplicates *out, size_t images)
{
    if (out->images == 0)
        snprintf(out->words, sizeof out->words, "no two of the %zu images are near-duplicates",
                 images);
    else if (!isfinite(out->without.auc.auc))
        snprintf(out->words, sizeof out->words,
                 "%lld of %zu images have a near-duplicate, %lld of them in another cohort",
                 (long long)out->images, images, (long long)out->images_across);
    else
        snprintf(
            out->words, sizeof out->words,
            "%lld of %zu images have a near-duplicate, %lld of them in another cohort; without "
            "them the AUC of candidates is %s, interval %s to %s",
            (long long)out->images, images, (long long)out->images_across,
            SM_THREE(out->without.auc.auc), SM_THREE(out->without.auc.interval.low),
            SM_THREE(out->without.auc.interval.high));
}

static enum sm_code summarize(struct sm_audit_result *result, const struct sm_audit *audit,
                              size_t groups_count, size_t images, struct sm_err *err)
{
    struct sm_audit_duplicates *out = &result->summary.controls.duplicates;
    struct group *groups = calloc(groups_count + 1, sizeof *groups);
    out->groups.members = calloc(images + 1, sizeof *out->groups.members);
    enum sm_code code =
        groups && out->groups.members
            ? SM_OK
            : sm_err_set(err, SM_NOMEM, "out of memory for %zu groups", groups_count);
    if (code == SM_OK) {
        count_groups(out, groups, groups_count, result->near, audit);
        list_groups(out, groups, groups_count, result->near, audit);
        out->share = (double)out->images / (double)images;
        code = measure_without(result, groups, groups_count, err);
    }
    if (code == SM_OK)
        put_words(out, images);
    free(groups);
    return code;
}

enum sm_code sm_duplicates_fill(bool *searched, struct sm_audit_result *result,
                                const struct sm_audit *audit, const struct sm_pixel_items *items,
                                struct sm_err *err)
{
    struct search s = {.items = items,
                       .parent = malloc((items->count + 1) * sizeof *s.parent),
                       .small = malloc((items->count + 1) * sizeof *s.small),
                       .large = malloc((items->count + 1) * sizeof *s.large),
                       .left = COMPARISONS_MAX};
    size_t groups = 0;
    *searched = false;
    enum sm_code code =
        s.parent && s.small && s.large
            ? SM_OK
            : sm_err_set(err, SM_NOMEM, "out of memory for %zu images", items->count);
    if (code == SM_OK)
        code = search(searched, &s, err);
    if (code == SM_OK && *searched &&
        !(result->near = calloc(audit->items_count + 1, sizeof *result->near)))
        code = sm_err_set(err, SM_NOMEM, "out of memory for %zu images", audit->items_count);
    if (code == SM_OK && *searched)
        code = make_groups(&groups, result->near, &s, audit->items_count, err);
    if (code == SM_OK && *searched)
        code = summarize(result, audit, groups, items->count, err);
    free(s.parent);
    free(s.small);
    free(s.large);
    return code;
}
