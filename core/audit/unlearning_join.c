/* Two audits side by side: do they fit, and which image is which?
 *
 * An unlearning means something only if BEFORE and AFTER differ in nothing but f and u. Recipe, g
 * and images are compared as they were recorded. In addition g's alignment of every image is, which
 * also finds another normalisation, decoder or configuration: two kernels differ by some 1e-5 of
 * it. Images are joined by digest; the first one counts if a cohort holds an image twice. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/audit/sample.h"
#include "core/audit/unlearning.h"
#include "core/base/json.h"

#define SHOWN        50   /* bytes of a field of a recipe in a refusal */
#define SHOWN_BEFORE 20   /* of these, before the first difference */
#define G_TOLERANCE  1e-3 /* of the mean alignment of g */

/* --- recipe, reference and encoders --- */

static const char *text_of(const json_t *node)
{
    const char *text = json_string_value(node);
    return text ? text : "";
}

static const char *id_of(const struct sm_audit *audit)
{
    return text_of(json_object_get(audit->run, "id"));
}

/* Returns where two texts begin to differ, less some bytes that show the place. */
static size_t place_of_difference(const char *a, const char *b)
{
    size_t at = 0;
    while (a[at] && a[at] == b[at])
        at++;
    at = at > SHOWN_BEFORE ? at - SHOWN_BEFORE : 0;
    while (at > 0 && ((unsigned char)a[at] & 0xc0) == 0x80) /* inside of a character */
        at--;
    return at;
}

/* Refuses two different values of a field of the recipes; NULL: the field is missing. */
static enum sm_code refuse_field(const char *key, const json_t *before, const json_t *after,
                                 struct sm_err *err)
{
    char *a = before ? sm_json_text(before, JSON_COMPACT) : NULL;
    char *b = after ? sm_json_text(after, JSON_COMPACT) : NULL;
    size_t at = a && b && (strlen(a) > SHOWN || strlen(b) > SHOWN) ? place_of_difference(a, b) : 0;
    sm_err_set(err, SM_INVALID,
               "the recipes differ: %.20s is %s%.*s in BEFORE, %s%.*s in AFTER; audit f and u with "
               "the same --recipe",
               key, at ? "..." : "", SHOWN, a ? a + at : "missing", at ? "..." : "", SHOWN,
               b ? b + at : "missing");
    free(a);
    free(b);
    return SM_INVALID;
}

static enum sm_code check_recipes(const struct sm_unlearning *u, struct sm_err *err)
{
    json_t *before = (json_t *)(uintptr_t)u->before->recipe;
    json_t *after = (json_t *)(uintptr_t)u->after->recipe;
    const char *key;
    const json_t *value;
    json_object_foreach(before, key, value)
    {
        if (!json_equal(value, json_object_get(after, key)))
            return refuse_field(key, value, json_object_get(after, key), err);
    }
    json_object_foreach(after, key, value)
    {
        if (!json_object_get(before, key))
            return refuse_field(key, NULL, value, err);
    }
    return SM_OK;
}

static const json_t *encoders_of(const struct sm_audit *audit, const char *side)
{
    return json_object_get(json_object_get(audit->pair, "encoders"), side);
}

static size_t count_digest(const json_t *list, const char *digest)
{
    size_t i, n = 0;
    const json_t *e;
    json_array_foreach(list, i, e) n += strcmp(text_of(json_object_get(e, "digest")), digest) == 0;
    return n;
}

/* Returns true if both lists hold the same files, in any order. */
static bool same_encoders(const json_t *a, const json_t *b)
{
    size_t i;
    const json_t *e;
    if (json_array_size(a) != json_array_size(b) || json_array_size(a) == 0)
        return false;
    json_array_foreach(a, i, e)
    {
        const char *digest = text_of(json_object_get(e, "digest"));
        if (digest[0] == '\0' || count_digest(a, digest) != count_digest(b, digest))
            return false;
    }
    return true;
}

static const char *first_digest(const json_t *list)
{
    const char *digest = text_of(json_object_get(json_array_get(list, 0), "digest"));
    return *digest ? digest : "none";
}

/* Returns true if an encoder of f and one of g hold the same weights, by the pair's flag or, for a
 * pair that was recorded before pairs had flags, by the digests of the files. */
static bool has_g_in_f(const struct sm_audit *audit)
{
    const json_t *flag, *g = encoders_of(audit, "g"), *e;
    size_t i;
    json_array_foreach(json_object_get(audit->pair, "flags"), i, flag)
    {
        if (strcmp(text_of(json_object_get(flag, "code")), SM_FLAG_SIDES_SAME) == 0)
            return true;
    }
    json_array_foreach(encoders_of(audit, "f"), i, e)
    {
        const char *digest = text_of(json_object_get(e, "digest"));
        if (*digest && count_digest(g, digest) > 0)
            return true;
    }
    return false;
}

static enum sm_code check_encoders(const struct sm_unlearning *u, struct sm_err *err)
{
    const json_t *before = encoders_of(u->before, "g"), *after = encoders_of(u->after, "g");
    if (!sm_audit_has_g(u->before) || !sm_audit_has_g(u->after))
        return sm_err_set(err, SM_INVALID,
                          "the pair of %s has no g: audit f and u against an encoder that never "
                          "saw the forget images",
                          sm_audit_has_g(u->before) ? "AFTER" : "BEFORE");
    if (!same_encoders(before, after))
        return sm_err_set(err, SM_INVALID,
                          "g differs: BEFORE has %zu encoder%s, the first %.16s, AFTER %zu, the "
                          "first %.16s; audit f and u against the same g",
                          json_array_size(before), json_array_size(before) == 1 ? "" : "s",
                          first_digest(before), json_array_size(after), first_digest(after));
    if (has_g_in_f(u->before))
        return sm_err_set(err, SM_INVALID,
                          "f and g of BEFORE hold the same weights (%.16s, %.16s): f has nothing "
                          "to forget; give the audit of the encoder that saw the images",
                          first_digest(encoders_of(u->before, "f")), first_digest(before));
    return SM_OK;
}

static enum sm_code check_audits(const struct sm_unlearning *u, struct sm_err *err)
{
    const struct sm_audit *b = u->before, *a = u->after;
    if (b == a || (*id_of(b) && strcmp(id_of(b), id_of(a)) == 0))
        return sm_err_set(err, SM_INVALID,
                          "BEFORE and AFTER are the same audit (%.40s): give that of f and that "
                          "of u",
                          id_of(b));
    enum sm_code code = check_recipes(u, err);
    if (code == SM_OK && b->spec->reference != a->spec->reference)
        code = sm_err_set(err, SM_INVALID,
                          "the reference is %s in BEFORE, %s in AFTER; audit f and u with the "
                          "same --reference",
                          sm_cohort_name(b->spec->reference), sm_cohort_name(a->spec->reference));
    return code == SM_OK ? check_encoders(u, err) : code;
}

/* --- images --- */

struct list {
    const struct sm_audit_item **items;
    size_t count, unread;
};

static int by_digest(const void *a, const void *b)
{
    const struct sm_audit_item *x = *(const struct sm_audit_item *const *)a;
    const struct sm_audit_item *y = *(const struct sm_audit_item *const *)b;
    int order = strcmp(x->image_digest, y->image_digest);
    return order ? order : (x->index > y->index) - (x->index < y->index);
}

/* Lists the images of a cohort by digest, each once. */
static enum sm_code list_images(struct list *out, const struct sm_audit *audit,
                                enum sm_cohort cohort, struct sm_err *err)
{
    size_t n = 0;
    *out = (struct list){.items = calloc(audit->items_count + 1, sizeof *out->items)};
    if (!out->items)
        return sm_err_set(err, SM_NOMEM, "out of memory for %zu images", audit->items_count);
    for (size_t i = 0; i < audit->items_count; i++) {
        const struct sm_audit_item *item = &audit->items[i];
        if (item->cohort == cohort && item->image_digest[0])
            out->items[n++] = item;
        out->unread += item->cohort == cohort && !item->image_digest[0];
    }
    qsort(out->items, n, sizeof *out->items, by_digest);
    for (size_t i = 0; i < n; i++)
        if (out->count == 0 ||
            strcmp(out->items[out->count - 1]->image_digest, out->items[i]->image_digest) != 0)
            out->items[out->count++] = out->items[i];
    return SM_OK;
}

/* Counts the images that both lists hold, and collects them unless `out` is NULL. */
static size_t join(struct sm_unlearning_image *out, const struct list *a, const struct list *b)
{
    size_t n = 0;
    for (size_t i = 0, j = 0; i < a->count && j < b->count;) {
        int order = strcmp(a->items[i]->image_digest, b->items[j]->image_digest);
        if (order == 0 && out)
            out[n] = (struct sm_unlearning_image){.in_before = a->items[i],
                                                  .in_after = b->items[j],
                                                  .before = NAN,
                                                  .residual = NAN,
                                                  .p = NAN,
                                                  .q = NAN};
        n += order == 0;
        i += order <= 0;
        j += order >= 0;
    }
    return n;
}

static int by_place(const void *a, const void *b)
{
    const struct sm_unlearning_image *x = a, *y = b;
    if (x->scored != y->scored)
        return x->scored ? -1 : 1;
    return (x->in_after->index > y->in_after->index) - (x->in_after->index < y->in_after->index);
}

/* Audits that are complete must hold the same images; of a part, those in both are joined. */
static enum sm_code fill_group(struct sm_unlearning_group *out, const struct list *before,
                               const struct list *after, const char *what, bool complete,
                               struct sm_err *err)
{
    size_t joint = join(NULL, before, after);
    if (complete && (joint != before->count || joint != after->count))
        return sm_err_set(err, SM_INVALID,
                          "the %s differ: BEFORE has %zu, AFTER %zu, and %zu are in both; audit f "
                          "and u with the same images",
                          what, before->count, after->count, joint);
    out->images = calloc(joint + 1, sizeof *out->images);
    if (!out->images)
        return sm_err_set(err, SM_NOMEM, "out of memory for %zu images", joint);
    out->count = join(out->images, before, after);
    out->unread = before->unread > after->unread ? before->unread : after->unread;
    for (size_t i = 0; i < joint; i++) {
        struct sm_unlearning_image *image = &out->images[i];
        image->scored =
            sm_item_scored(image->in_before, true) && sm_item_scored(image->in_after, true);
        out->scored += image->scored;
    }
    qsort(out->images, joint, sizeof *out->images, by_place);
    return SM_OK;
}

static enum sm_code check_images(const struct list lists[4], struct sm_err *err)
{
    size_t both = join(NULL, &lists[1], &lists[3]);
    if (lists[0].count == 0 || lists[1].count == 0)
        return sm_err_set(err, SM_INVALID,
                          "there is nothing to forget: %zu candidates in BEFORE, %zu in AFTER; "
                          "give the images to forget as --candidate of both audits",
                          lists[0].count, lists[1].count);
    if (lists[2].count < 2 || lists[3].count < 2)
        return sm_err_set(err, SM_INVALID,
                          "%zu externals in BEFORE, %zu in AFTER, must be 2 at least: audit f and "
                          "u with --external, images that no encoder saw",
                          lists[2].count, lists[3].count);
    if (both > 0)
        return sm_err_set(err, SM_INVALID,
                          "%zu of %zu forget images are among the %zu externals too; take them "
                          "out of --external",
                          both, lists[1].count, lists[3].count);
    return SM_OK;
}

static enum sm_code join_images(struct sm_unlearning *u, struct sm_err *err)
{
    struct list lists[4] = {0}; /* forget images before, after; externals before, after */
    bool complete = u->before->completeness.state == SM_COMPLETION_COMPLETE &&
                    u->after->completeness.state == SM_COMPLETION_COMPLETE;
    enum sm_code code = SM_OK;
    for (int i = 0; code == SM_OK && i < 4; i++)
        code = list_images(&lists[i], i % 2 ? u->after : u->before,
                           i < 2 ? SM_COHORT_CANDIDATE : SM_COHORT_EXTERNAL, err);
    if (code == SM_OK)
        code = check_images(lists, err);
    if (code == SM_OK)
        code = fill_group(&u->forget, &lists[0], &lists[1], "forget images", complete, err);
    if (code == SM_OK)
        code = fill_group(&u->external, &lists[2], &lists[3], "externals", complete, err);
    for (int i = 0; i < 4; i++)
        free(lists[i].items);
    return code;
}

/* --- what u is --- */

static double mean_of_g(const struct sm_unlearning_group *group)
{
    double sum = 0;
    for (size_t i = 0; i < group->scored; i++)
        sum += fabs(group->images[i].in_before->g) / (double)group->scored;
    return sum;
}

static enum sm_code check_g(const struct sm_unlearning_group *group, struct sm_err *err)
{
    double tolerance = G_TOLERANCE * mean_of_g(group);
    for (size_t i = 0; i < group->scored; i++) {
        const struct sm_audit_item *b = group->images[i].in_before, *a = group->images[i].in_after;
        if (!(fabs(b->g - a->g) <= tolerance))
            return sm_err_set(err, SM_INVALID,
                              "g gives image %lld of AFTER the alignment %.6g, in BEFORE %.6g: g "
                              "was not measured alike (mean and std, configuration, decoder); "
                              "audit f and u with the same version and settings",
                              (long long)a->index, a->g, b->g);
    }
    return SM_OK;
}

struct alike {
    bool as_f, as_g, equal; /* scores of u are those of f; are 0; are all equal */
};

static void look(struct alike *out, const struct sm_unlearning_group *group, double first)
{
    for (size_t i = 0; i < group->scored; i++) {
        double was = group->images[i].in_before->m, left = group->images[i].in_after->m;
        out->as_f = out->as_f && left == was;
        out->as_g = out->as_g && left == 0;
        out->equal = out->equal && left == first;
    }
}

static enum sm_code find_identity(struct sm_unlearning *u, struct sm_err *err)
{
    struct alike alike = {true, true, true};
    double first = u->forget.scored > 0 ? u->forget.images[0].in_after->m : 0;
    bool holds_g = has_g_in_f(u->after);
    look(&alike, &u->forget, first);
    look(&alike, &u->external, first);
    u->residuals_equal = alike.equal;
    u->u_is_g = holds_g && alike.as_g && u->forget.scored > 0;
    u->u_is_f = !alike.equal && (alike.as_f || same_encoders(encoders_of(u->before, "f"),
                                                             encoders_of(u->after, "f")));
    if (holds_g && !u->u_is_g)
        return sm_err_set(err, SM_INVALID,
                          "some encoders of u hold weights of g, and others do not (u has %zu, g "
                          "%zu): what is left would be averaged away; audit u without those of g",
                          json_array_size(encoders_of(u->after, "f")),
                          json_array_size(encoders_of(u->after, "g")));
    return SM_OK;
}

enum sm_code sm_unlearning_join(struct sm_unlearning *u, struct sm_err *err)
{
    enum sm_code code = check_audits(u, err);
    if (code == SM_OK)
        code = join_images(u, err);
    if (code == SM_OK)
        code = check_g(&u->forget, err);
    if (code == SM_OK)
        code = check_g(&u->external, err);
    return code == SM_OK ? find_identity(u, err) : code;
}
