/* Sorts files by digest to find the images, sorts the images of each class by a random rank, and
 * gives the first ones to the first cohort, and so on. quota.c says how many.
 *
 * The rank is Philox of seed and digest: the place of a file in the dataset has no influence.
 * O(n log n); 90 bytes a file beside what the caller holds. */
#include "sslmem/split.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/audit/ensemble.h"
#include "core/audit/quota.h"
#include "core/base/rng.h"

#define RANKS 0x73706c74u /* keeps these draws apart from others of an equal seed */

_Static_assert(SM_QUOTA_PARTS == SM_COHORTS + 1, "a part for each cohort, and one for no cohort");

struct image {
    uint64_t rank;
    const struct sm_split_file **files; /* in work.files */
    size_t files_count;
    uint32_t class_index;
};

struct work {
    const struct sm_split_params *params;
    const struct sm_split_file *base; /* file 0 */
    const struct sm_split_file *
        *files;           /* by digest; files of one image in the order of the dataset */
    struct image *images; /* by class and rank */
    size_t *classes;      /* number of images of each class that has some */
    size_t classes_count;
    size_t (*quotas)[SM_QUOTA_PARTS]; /* of each of these classes */
    uint64_t *masks;                  /* of candidates of a class, with their digests */
    const uint8_t **digests;
};

static int by_digest(const void *a, const void *b)
{
    const struct sm_split_file *const *x = a, *const *y = b;
    int order = memcmp((*x)->digest, (*y)->digest, sizeof(*x)->digest);
    return order ? order : (*x > *y) - (*x < *y);
}

static int by_class_and_rank(const void *a, const void *b)
{
    const struct image *x = a, *y = b;
    if (x->class_index != y->class_index)
        return x->class_index < y->class_index ? -1 : 1;
    if (x->rank != y->rank)
        return x->rank < y->rank ? -1 : 1;
    return memcmp((*x->files)->digest, (*y->files)->digest, sizeof(*x->files)->digest);
}

static uint64_t rank_of(const uint8_t *digest, uint64_t seed)
{
    uint32_t r[4], counter[4] = {0, 0, 0, RANKS};
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    for (int i = 0; i < 12; i++)
        counter[i / 4] |= (uint32_t)digest[i] << (8 * (i % 4));
    sm_philox(r, key, counter);
    return (uint64_t)r[0] << 32 | r[1];
}

static void find_images(struct work *w, size_t *images_count, size_t count)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++)
        w->files[i] = w->base + i;
    qsort(w->files, count, sizeof *w->files, by_digest);
    for (size_t i = 0; i < count; i++) {
        const struct sm_split_file *file = w->files[i];
        if (i > 0 && memcmp(w->files[i - 1]->digest, file->digest, sizeof file->digest) == 0) {
            w->images[n - 1].files_count++;
            continue;
        }
        w->images[n++] = (struct image){rank_of(file->digest, w->params->seed), w->files + i, 1,
                                        file->class_index};
    }
    qsort(w->images, n, sizeof *w->images, by_class_and_rank);
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || w->images[i].class_index != w->images[i - 1].class_index)
            w->classes_count++;
        w->classes[w->classes_count - 1]++;
    }
    *images_count = n;
}

/* Fills `sizes` with the images of each cohort and of none. */
static enum sm_code read_sizes(size_t sizes[SM_QUOTA_PARTS], const struct sm_split_params *params,
                               size_t images_count, size_t files_count, struct sm_err *err)
{
    size_t sum = 0, left = images_count;
    int rest = SM_SPLIT_NONE;
    bool fits = true;
    for (int k = 0; k < SM_COHORTS; k++) {
        size_t size = params->sizes[k];
        if (size == SM_SPLIT_REST && rest != SM_SPLIT_NONE)
            return sm_err_set(err, SM_INVALID,
                              "the rest of the images can go to one cohort, not to both %s and %s",
                              sm_cohort_name((enum sm_cohort)rest),
                              sm_cohort_name((enum sm_cohort)k));
        if (size == SM_SPLIT_REST) {
            rest = k;
            continue;
        }
        sizes[k] = size;
        sum = size > SIZE_MAX - sum ? SIZE_MAX : sum + size;
        fits = fits && size <= left;
        left -= fits ? size : 0;
    }
    if (!fits)
        return sm_err_set(err, SM_INVALID,
                          "the cohorts have %zu images together, the dataset has %zu (%zu files); "
                          "choose smaller cohorts",
                          sum, images_count, files_count);
    sizes[SM_SPLIT_NONE] = 0;
    sizes[rest] = left;
    return SM_OK;
}

static enum sm_code check(const struct sm_split_params *params, size_t count, struct sm_err *err)
{
    int encoders = params->encoders_count;
    if (count > SM_SPLIT_FILES_MAX)
        return sm_err_set(err, SM_LIMIT, "the dataset has %zu files, the limit is %d", count,
                          SM_SPLIT_FILES_MAX);
    if (encoders < 0 || encoders > SM_SPLIT_ENCODERS_MAX || encoders % 2 == 1)
        return sm_err_set(err, SM_INVALID,
                          "an ensemble of %d encoders: must be an even number from 2 to %d",
                          encoders, SM_SPLIT_ENCODERS_MAX);
    if (encoders > 0 && params->sizes[SM_COHORT_INDEPENDENT] > 0)
        return sm_err_set(err, SM_INVALID,
                          "an ensemble has no independent images: half of its encoders train "
                          "without each candidate");
    return SM_OK;
}

static enum sm_code allocate(struct sm_split *out, struct work *w, size_t count, struct sm_err *err)
{
    size_t room = count + 1; /* of no file too */
    out->cohorts = calloc(room, sizeof *out->cohorts);
    out->encoders = calloc(room, sizeof *out->encoders);
    w->files = calloc(room, sizeof *w->files);
    w->images = calloc(room, sizeof *w->images);
    w->classes = calloc(room, sizeof *w->classes);
    w->masks = calloc(room, sizeof *w->masks);
    w->digests = calloc(room, sizeof *w->digests);
    if (!out->cohorts || !out->encoders || !w->files || !w->images || !w->classes || !w->masks ||
        !w->digests)
        return sm_err_set(err, SM_NOMEM, "out of memory for a split of %zu files", count);
    return SM_OK;
}

static void release(struct work *w)
{
    free(w->files);
    free(w->images);
    free(w->classes);
    free(w->quotas);
    free(w->masks);
    free(w->digests);
}

static void give(struct sm_split *out, const struct work *w, const struct image *image, int cohort,
                 uint64_t mask)
{
    out->images[cohort]++;
    out->files[cohort] += image->files_count;
    for (size_t i = 0; i < image->files_count; i++) {
        size_t at = (size_t)(image->files[i] - w->base);
        out->cohorts[at] = (uint8_t)cohort;
        out->encoders[at] = mask;
    }
}

/* Gives the images of a class to cohorts; `quota` has the number of each. */
static void give_class(struct sm_split *out, struct work *w, struct sm_ensemble *ensemble,
                       const struct image *images, const size_t quota[SM_QUOTA_PARTS])
{
    size_t begin = 0;
    for (int k = 0; k < SM_QUOTA_PARTS; k++) {
        bool halves = ensemble->encoders_count > 0 && k == SM_COHORT_CANDIDATE;
        uint64_t every = ensemble->encoders_count > 0 && k == SM_COHORT_SHARED
                             ? ~UINT64_C(0) >> (64 - ensemble->encoders_count)
                             : 0;
        for (size_t i = 0; i < quota[k]; i++)
            w->digests[i] = (*images[begin + i].files)->digest;
        if (halves)
            sm_ensemble_class(w->masks, ensemble, w->digests, quota[k]);
        for (size_t i = 0; i < quota[k]; i++)
            give(out, w, &images[begin + i], k, halves ? w->masks[i] : every);
        begin += quota[k];
    }
}

enum sm_code sm_split_make(struct sm_split *out, const struct sm_split_file *files, size_t count,
                           const struct sm_split_params *params, struct sm_err *err)
{
    struct work w = {.params = params, .base = files};
    struct sm_ensemble ensemble = {.encoders_count = params->encoders_count, .seed = params->seed};
    size_t sizes[SM_QUOTA_PARTS], begin = 0;
    *out = (struct sm_split){0};
    enum sm_code code = check(params, count, err);
    if (code == SM_OK)
        code = allocate(out, &w, count, err);
    if (code == SM_OK) {
        find_images(&w, &out->images_count, count);
        code = read_sizes(sizes, params, out->images_count, count, err);
    }
    if (code == SM_OK && !(w.quotas = calloc(w.classes_count + 1, sizeof *w.quotas)))
        code = sm_err_set(err, SM_NOMEM, "out of memory for %zu classes", w.classes_count);
    if (code == SM_OK)
        sm_quota(w.quotas, sizes, w.classes, w.classes_count);
    for (size_t c = 0; code == SM_OK && c < w.classes_count; c++) {
        give_class(out, &w, &ensemble, w.images + begin, w.quotas[c]);
        begin += w.classes[c];
    }
    release(&w);
    return code;
}

void sm_split_release(struct sm_split *split)
{
    free(split->cohorts);
    free(split->encoders);
    *split = (struct sm_split){0};
}
