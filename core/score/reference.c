/* Reference cohorts: scores of images that neither side saw, kept in a file in the pair's folder.
 *
 * The file carries the digests of the encoders and of the recipe that it was measured with. A file
 * of other encoders is refused; a file of another recipe is not used. The file also lists the
 * digests of its images, so that a score of one of them is compared with the others only. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/score/pair.h"
#include "core/score/problems.h"
#include "sslmem/reliability.h"

/* a million scores and errors of about 20 digits and as many digests of 64 */
#define REFERENCE_BYTES_MAX (128 << 20)
#define REFERENCE_DEPTH_MAX 4
#define REFERENCE_FILE      "reference.json"

struct draft {
    char cohort[PAIR_COHORT_MAX + 1];
    char recipe_digest[SM_SHA256_HEX];
    const json_t *encoders, *images, *scores, *errors;
};

#define AT(member) offsetof(struct draft, member)
static const struct sm_field fields[] = {
    {"cohort", SM_FIELD_TEXT, AT(cohort), 0, PAIR_COHORT_MAX, NULL, true},
    {"recipe", SM_FIELD_TEXT, AT(recipe_digest), 0, SM_SHA256_HEX - 1, NULL, true},
    {"encoders", SM_FIELD_NODE, AT(encoders), 0, 0, NULL, true},
    {"images", SM_FIELD_NODE, AT(images), 0, 0, NULL, false},
    {"scores", SM_FIELD_NODE, AT(scores), 0, 0, NULL, true},
    {"errors", SM_FIELD_NODE, AT(errors), 0, 0, NULL, false},
    {NULL, SM_FIELD_NODE, 0, 0, 0, NULL, false},
};
#undef AT

static enum sm_code check_encoders(const struct sm_pair *pair, const json_t *encoders,
                                   struct sm_err *err)
{
    for (int s = 0; s < SM_SIDES; s++) {
        const struct sm_side *side = &pair->sides[s];
        const json_t *list = json_object_get(encoders, sm_side_names[s]);
        if (json_array_size(list) != (size_t)side->count)
            return sm_err_set(err, SM_CONFLICT,
                              "measured with %zu encoders on side %s, the pair has %d",
                              json_array_size(list), sm_side_names[s], side->count);
        for (int k = 0; k < side->count; k++) {
            const char *digest = json_string_value(json_array_get(list, (size_t)k));
            if (!digest || strcmp(digest, side->members[k].digest) != 0)
                return sm_err_set(
                    err, SM_CONFLICT, "measured with encoder %.16s in place of %.60s (%.16s)",
                    digest ? digest : "null", side->members[k].file, side->members[k].digest);
        }
    }
    return SM_OK;
}

static enum sm_code read_scores(struct sm_reference *out, const json_t *list, struct sm_err *err)
{
    char at[40];
    size_t i, count = json_array_size(list);
    const json_t *node;
    if (count == 0 || count > SM_REFERENCE_MAX)
        return sm_err_field(err, "/scores", "scores must be a list of 1 to %d numbers, has %zu",
                            SM_REFERENCE_MAX, count);
    out->sorted = malloc(count * sizeof *out->sorted);
    if (!out->sorted)
        return sm_err_set(err, SM_NOMEM, "out of memory for %zu reference scores", count);
    json_array_foreach(list, i, node)
    {
        snprintf(at, sizeof at, "/scores/%zu", i);
        if (!json_is_number(node) || !isfinite(json_number_value(node)))
            return sm_err_field(err, at, "score %zu of %zu is not a finite number", i, count);
        out->sorted[i] = json_number_value(node);
    }
    out->count = count;
    return SM_OK;
}

static int by_digest(const void *a, const void *b)
{
    const struct sm_reference_image *x = a, *y = b;
    return strcmp(x->digest, y->digest);
}

/* Sorts the images by digest and refuses duplicates, which would be compared with themselves. */
static enum sm_code check_once(struct sm_reference_image *images, size_t count, struct sm_err *err)
{
    qsort(images, count, sizeof *images, by_digest);
    for (size_t i = 1; i < count; i++)
        if (strcmp(images[i - 1].digest, images[i].digest) == 0)
            return sm_err_field(err, "/images", "image %.16s is there twice", images[i].digest);
    return SM_OK;
}

/* Reads one digest for each score. The scores are in the order of the file here, not sorted yet. */
static enum sm_code read_images(struct sm_reference *out, const json_t *list, struct sm_err *err)
{
    char at[40];
    size_t i;
    const json_t *node;
    if (!list)
        return SM_OK;
    if (json_array_size(list) != out->count)
        return sm_err_field(err, "/images", "images must be a list of %zu digests, has %zu",
                            out->count, json_array_size(list));
    out->images = calloc(out->count, sizeof *out->images);
    if (!out->images)
        return sm_err_set(err, SM_NOMEM, "out of memory for %zu reference images", out->count);
    json_array_foreach(list, i, node)
    {
        const char *digest = json_string_value(node);
        snprintf(at, sizeof at, "/images/%zu", i);
        if (!digest || strlen(digest) != SM_SHA256_HEX - 1 ||
            strspn(digest, "0123456789abcdef") != SM_SHA256_HEX - 1)
            return sm_err_field(err, at, "image %zu of %zu is no SHA-256 of 64 hex digits", i,
                                out->count);
        memcpy(out->images[i].digest, digest, SM_SHA256_HEX);
        out->images[i].m = out->sorted[i];
    }
    return check_once(out->images, out->count, err);
}

static enum sm_code read_error(double *out, const json_t *node, size_t i, size_t count,
                               struct sm_err *err)
{
    char at[40];
    *out = json_is_number(node) ? json_number_value(node) : NAN;
    if (json_is_null(node) || (*out >= 0 && isfinite(*out)))
        return SM_OK;
    snprintf(at, sizeof at, "/errors/%zu", i);
    return sm_err_field(err, at, "error %zu of %zu is no finite number from 0 on, and not null", i,
                        count);
}

/* Computes the reliability from one standard error for each score. The scores are in the order of
 * the file here, not sorted yet. */
static enum sm_code read_errors(struct sm_reference *out, const json_t *list, struct sm_err *err)
{
    struct sm_reliability reliability;
    enum sm_code code = SM_OK;
    out->reliability = NAN;
    if (!list)
        return SM_OK;
    if (json_array_size(list) != out->count)
        return sm_err_field(err, "/errors", "errors must be a list of %zu numbers, has %zu",
                            out->count, json_array_size(list));
    double *errors = calloc(out->count, sizeof *errors);
    if (!errors)
        return sm_err_set(err, SM_NOMEM, "out of memory for %zu reference errors", out->count);
    for (size_t i = 0; code == SM_OK && i < out->count; i++)
        code = read_error(&errors[i], json_array_get(list, i), i, out->count, err);
    if (code == SM_OK)
        code = sm_reliability_make(&reliability, out->sorted, errors, out->count, 0, 0, err);
    if (code == SM_OK)
        out->reliability = reliability.value;
    free(errors);
    return code;
}

static void describe(struct sm_reference *out)
{
    out->mean = sm_mean(out->sorted, out->count);
    out->sd = sqrt(sm_variance(out->sorted, out->count));
    sm_sort(out->sorted, out->count);
}

static enum sm_code read_document(struct sm_reference *out, const struct sm_pair *pair,
                                  const json_t *doc, struct sm_err *err)
{
    struct draft draft = {0};
    enum sm_code code = sm_fields_read(&draft, doc, fields, "", err);
    if (code == SM_OK)
        code = check_encoders(pair, draft.encoders, err);
    if (code == SM_OK)
        code = read_scores(out, draft.scores, err);
    if (code == SM_OK)
        code = read_images(out, draft.images, err);
    if (code == SM_OK)
        code = read_errors(out, draft.errors, err);
    if (code == SM_OK)
        describe(out);
    memcpy(out->cohort, draft.cohort, sizeof out->cohort);
    memcpy(out->recipe_digest, draft.recipe_digest, sizeof out->recipe_digest);
    return code;
}

enum sm_code sm_reference_load(struct sm_reference *out, const struct sm_pair *pair,
                               const char *file, struct sm_err *err)
{
    struct sm_file bytes = {0};
    json_t *doc = NULL;
    char *path = sm_pair_path(pair->dir, file);
    enum sm_code code;
    *out = (struct sm_reference){0};
    code = path ? sm_file_map(&bytes, path, REFERENCE_BYTES_MAX, err)
                : sm_err_set(err, SM_NOMEM, "out of memory for a path");
    if (code == SM_OK)
        code = sm_json_parse(&doc, bytes.bytes, bytes.bytes_count, REFERENCE_BYTES_MAX,
                             REFERENCE_DEPTH_MAX, err);
    if (code == SM_OK)
        code = read_document(out, pair, doc, err);
    if (code == SM_OK)
        sm_sha256_hex(out->digest, bytes.bytes, bytes.bytes_count);
    else
        sm_reference_release(out);
    json_decref(doc);
    sm_file_release(&bytes);
    free(path);
    return sm_err_name_file(err, code, file);
}

void sm_reference_release(struct sm_reference *reference)
{
    free(reference->sorted);
    free(reference->images);
    *reference = (struct sm_reference){0};
}

const struct sm_reference_image *sm_reference_find(const struct sm_reference *reference,
                                                   const char *image_digest)
{
    struct sm_reference_image key;
    if (!reference->images)
        return NULL;
    snprintf(key.digest, sizeof key.digest, "%s", image_digest);
    return bsearch(&key, reference->images, reference->count, sizeof key, by_digest);
}

/* Returns a reference file: cohort, recipe, encoders, images, scores, errors. NULL when out of
 * memory. */
static json_t *document_json(const struct sm_pair *pair, const char *cohort,
                             const char *recipe_digest, const struct sm_reference_image *images,
                             size_t count)
{
    json_t *digests = json_array(), *scores = json_array(), *errors = json_array();
    for (size_t i = 0; i < count; i++) {
        json_array_append_new(digests, json_string(images[i].digest));
        json_array_append_new(scores, json_real(images[i].m));
        json_array_append_new(errors, sm_json_number(images[i].m_se));
    }
    bool whole = json_array_size(digests) == count && json_array_size(scores) == count &&
                 json_array_size(errors) == count;
    json_t *out = json_pack("{s:s, s:s, s:o, s:o, s:o, s:o}", "cohort", cohort, "recipe",
                            recipe_digest, "encoders", sm_pair_digests_json(pair), "images",
                            digests, "scores", scores, "errors", errors);
    if (out && whole)
        return out;
    json_decref(out);
    return NULL;
}

static enum sm_code check_images(const struct sm_reference_image *images, size_t count,
                                 struct sm_err *err)
{
    struct sm_reference_image *copy = calloc(count, sizeof *copy);
    if (!copy)
        return sm_err_set(err, SM_NOMEM, "out of memory for %zu reference images", count);
    memcpy(copy, images, count * sizeof *copy);
    enum sm_code code = check_once(copy, count, err);
    free(copy);
    return code;
}

static enum sm_code check_scores(const char *cohort, const struct sm_reference_image *images,
                                 size_t m_count, struct sm_err *err)
{
    if (strlen(cohort) > PAIR_COHORT_MAX)
        return sm_err_set(err, SM_INVALID, "cohort name has %zu bytes, limit is %d", strlen(cohort),
                          PAIR_COHORT_MAX);
    if (m_count == 0 || m_count > SM_REFERENCE_MAX)
        return sm_err_set(err, SM_LIMIT, "reference has %zu scores, must be from 1 to %d", m_count,
                          SM_REFERENCE_MAX);
    for (size_t i = 0; i < m_count; i++)
        if (!isfinite(images[i].m))
            return sm_err_set(err, SM_INVALID, "score %zu of %zu is not a finite number", i,
                              m_count);
    return check_images(images, m_count, err);
}

enum sm_code sm_reference_write(const struct sm_pair *pair, const char *cohort,
                                const char *recipe_digest, const struct sm_reference_image *images,
                                size_t count, struct sm_err *err)
{
    enum sm_code code = check_scores(cohort, images, count, err);
    if (code != SM_OK)
        return code;
    char *path = sm_pair_path(pair->dir, REFERENCE_FILE);
    json_t *doc = document_json(pair, cohort, recipe_digest, images, count);
    char *text = doc ? sm_json_text(doc, JSON_SORT_KEYS | JSON_COMPACT) : NULL;
    if (path && text)
        code = sm_file_write(path, text, strlen(text), err);
    else
        code = sm_err_set(err, SM_NOMEM, "out of memory for %zu reference scores", count);
    free(text);
    json_decref(doc);
    free(path);
    return code;
}
