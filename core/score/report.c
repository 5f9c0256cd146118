/* Pairs and scores as JSON: the documents that clients see. An undefined number is null. */
#include <stdio.h>

#include "core/base/json.h"
#include "core/score/pair.h"
#include "sslmem/version.h"

static json_t *member_json(const struct sm_member *member)
{
    json_t *out = sm_encoder_json(member->encoder);
    json_t *file = json_pack("{s:s, s:s}", "file", member->file, "digest", member->digest);
    if (!out || json_object_update(out, file) != 0) {
        json_decref(out);
        out = NULL;
    }
    json_decref(file);
    return out;
}

/* Returns an encoder as a score names it: file and digest. */
static json_t *member_name_json(const struct sm_member *member)
{
    return json_pack("{s:s, s:s}", "file", member->file, "digest", member->digest);
}

static json_t *side_json(const struct sm_side *side, json_t *(*one)(const struct sm_member *))
{
    json_t *list = json_array();
    for (int k = 0; k < side->count; k++)
        json_array_append_new(list, one(&side->members[k]));
    if (json_array_size(list) == (size_t)side->count)
        return list;
    json_decref(list);
    return NULL;
}

static json_t *sides_json(const struct sm_pair *pair, json_t *(*one)(const struct sm_member *))
{
    return json_pack("{s:o, s:o}", "f", side_json(&pair->sides[SM_SIDE_F], one), "g",
                     side_json(&pair->sides[SM_SIDE_G], one));
}

static json_t *channels_json(const double v[3])
{
    return json_pack("[f, f, f]", v[0], v[1], v[2]);
}

/* --- flags --- */

/* Lists the pairs of members that are the same encoder, [[file, file] …], between two sides or
 * within one (a == b). */
static json_t *same_json(const struct sm_side *a, const struct sm_side *b)
{
    json_t *list = json_array();
    for (int i = 0; i < a->count; i++)
        for (int k = a == b ? i + 1 : 0; k < b->count; k++)
            if (sm_members_same(&a->members[i], &b->members[k]))
                json_array_append_new(list,
                                      json_pack("[s, s]", a->members[i].file, b->members[k].file));
    return list;
}

/* Adds the flag if `files` is not empty; its text names the first two files. Releases `files`.
 * Returns false when out of memory. */
static bool add_flag(json_t *flags, const char *code, json_t *files, const char *text)
{
    const json_t *first = json_array_get(files, 0);
    char named[2 * PAIR_FILE_MAX + 200];
    bool added = files != NULL;
    if (first) {
        snprintf(named, sizeof named, "%s and %s %s", json_string_value(json_array_get(first, 0)),
                 json_string_value(json_array_get(first, 1)), text);
        added = json_array_append_new(flags, json_pack("{s:s, s:s, s:O}", "code", code, "text",
                                                       named, "files", files)) == 0;
    }
    json_decref(files);
    return added;
}

static const char without_g_text[] =
    "The pair has no g: m is null, and nothing here measures memorization. What is given are "
    "signals that someone with f alone has; images differ in them for other reasons too.";

json_t *sm_pair_flags_json(const struct sm_pair *pair)
{
    const struct sm_side *f = &pair->sides[SM_SIDE_F], *g = &pair->sides[SM_SIDE_G];
    json_t *flags = json_array(), *repeated = same_json(f, f), *of_g = same_json(g, g);
    bool whole = json_array_extend(repeated, of_g) == 0;
    json_decref(of_g);
    whole = add_flag(flags, "sides_same", same_json(f, g),
                     "hold the same weights, one in f and one in g: they cancel out, so scores of "
                     "this pair do not measure memorization, and no gate holds.") &&
            whole;
    whole = add_flag(flags, "encoders_repeated", repeated,
                     "hold the same weights, on one side: they count twice in its mean, and the "
                     "spread between its encoders is too small.") &&
            whole;
    if (whole && !sm_pair_has_g(pair))
        whole = json_array_append_new(flags, json_pack("{s:s, s:s}", "code", "g_missing", "text",
                                                       without_g_text)) == 0;
    if (whole)
        return flags;
    json_decref(flags);
    return NULL;
}

json_t *sm_pair_json(const struct sm_pair *pair)
{
    const struct sm_reference *r = &pair->reference;
    json_t *reference =
        r->count ? json_pack("{s:s, s:I, s:o, s:o, s:o, s:s, s:b}", "cohort", r->cohort, "n",
                             (json_int_t)r->count, "mean", sm_json_number(r->mean), "sd",
                             sm_json_number(r->sd), "reliability", sm_json_number(r->reliability),
                             "recipe_digest", r->recipe_digest, "lists_images", r->images != NULL)
                 : json_null();
    return json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:s, s:o, s:o}", "name", pair->name,
                     "digest", pair->digest, "description", pair->description, "encoders",
                     sides_json(pair, member_json), "mean", channels_json(pair->mean), "std",
                     channels_json(pair->std), "recipe", sm_recipe_json(&pair->recipe),
                     "recipe_digest", pair->recipe_digest, "reference", reference, "flags",
                     sm_pair_flags_json(pair));
}

static json_t *alignment_json(const struct sm_alignment *a)
{
    json_t *list = json_array();
    for (int k = 0; k < a->encoders_count; k++)
        json_array_append_new(list, sm_json_number(a->per_encoder[k]));
    return json_pack("{s:o, s:o, s:o, s:o}", "alignment", sm_json_number(a->mean), "se",
                     sm_json_number(a->se), "encoders", list, "sd_encoders",
                     sm_json_number(a->sd_encoders));
}

static json_t *image_json(const struct sm_score *score)
{
    const struct sm_image_info *i = &score->image;
    json_t *unreadable = i->exif_unreadable ? json_true() : NULL;
    json_t *warnings = i->decoder_warnings > 0 ? json_integer(i->decoder_warnings) : NULL;
    return json_pack("{s:s, s:s, s:i, s:i, s:i, s:b, s:o*, s:o*}", "digest", score->image_digest,
                     "media_type", i->media_type, "width_px", (int)i->width_px, "height_px",
                     (int)i->height_px, "orientation", i->orientation, "oriented", (int)i->oriented,
                     "exif_unreadable", unreadable, "decoder_warnings", warnings);
}

static json_t *in_reference_json(enum sm_in_reference in_reference)
{
    return in_reference == SM_IN_REFERENCE_UNKNOWN
               ? json_null()
               : json_boolean(in_reference == SM_IN_REFERENCE_YES);
}

static const char unlisted_note[] =
    "the reference lists no images: if this one is among them, it is compared with itself too; "
    "sslmem reference writes a list";

/* Returns {"reference": …, "reliability_of_reference": …}. Adds "reference_note" if there is no
 * reference to compare with, or if it lists no images. */
static json_t *reference_json(const struct sm_score *score, const struct sm_pair *pair)
{
    const struct sm_reference *r = &pair->reference;
    char note[240];
    if (score->has_reference)
        return json_pack("{s:{s:s, s:I, s:o, s:o, s:o, s:o, s:o, s:o}, s:o, s:s*}", "reference",
                         "cohort", r->cohort, "n", (json_int_t)score->reference_n, "in_reference",
                         in_reference_json(score->in_reference), "mean", sm_json_number(r->mean),
                         "sd", sm_json_number(r->sd), "centered", sm_json_number(score->centered),
                         "percentile", sm_json_number(score->percentile), "p_value",
                         sm_json_number(score->p_value), "reliability_of_reference",
                         sm_json_number(score->reliability_of_reference), "reference_note",
                         r->images ? NULL : unlisted_note);
    if (!sm_pair_has_g(pair))
        snprintf(note, sizeof note, "pair has no g, so it has no m to compare with a reference");
    else if (r->count == 0)
        snprintf(note, sizeof note, "pair has no reference cohort");
    else
        snprintf(note, sizeof note, "reference was measured with recipe %s, this score with %s",
                 r->recipe_digest, score->recipe_digest);
    return json_pack("{s:n, s:n, s:s}", "reference", "reliability_of_reference", "reference_note",
                     note);
}

static json_t *provenance_json(const struct sm_score *score, const struct sm_pair *pair)
{
    char kernels[32];
    sm_pair_kernels(kernels, pair);
    return json_pack("{s:s, s:s, s:s, s:o, s:s, s:s, s:s, s:s}", "key", score->score_key,
                     "pair_digest", score->pair_digest, "recipe_digest", score->recipe_digest,
                     "encoders", sides_json(pair, member_name_json), "decoder",
                     sm_image_decoder(score->image.media_type), "kernels", kernels, "blas",
                     sm_blas_version(), "library", SM_VERSION);
}

static const char stratified_note[] =
    "the views are stratified, hence negatively dependent: standard errors and the interval are "
    "upper bounds";

/* The signals of f alone; NULL, which json_pack leaves out, if the pair has g. */
static json_t *outsider_json(const struct sm_score *score, const struct sm_pair *pair)
{
    return sm_pair_has_g(pair) ? NULL
                               : json_pack("{s:o, s:o, s:o, s:o}", "one_minus_alignment",
                                           sm_json_number(1 - score->f.mean), "norm_1",
                                           sm_json_number(score->norms[SM_NORM_1]), "norm_2",
                                           sm_json_number(score->norms[SM_NORM_2]), "norm_max",
                                           sm_json_number(score->norms[SM_NORM_MAX]));
}

json_t *sm_score_json(const struct sm_score *score, const struct sm_pair *pair)
{
    json_t *out = json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o*}", "method",
                            SM_METHOD, "pair", score->pair, "image", image_json(score), "m",
                            sm_json_number(score->m), "m_se", sm_json_number(score->m_se), "m_low",
                            sm_json_number(score->m_low), "m_high", sm_json_number(score->m_high),
                            "ratio", sm_json_number(score->ratio), "f", alignment_json(&score->f),
                            "g", sm_pair_has_g(pair) ? alignment_json(&score->g) : json_null(),
                            "outsider", outsider_json(score, pair));
    bool complete = score->recipe.target_se == 0 ||
                    json_object_set_new(out, "views_used", json_integer(score->views_used)) == 0;
    if (score->recipe.draws == SM_DRAWS_STRATIFIED)
        complete =
            complete && json_object_set_new(out, "m_se_note", json_string(stratified_note)) == 0;
    json_t *tail = json_pack("{s:o, s:o}", "recipe", sm_recipe_json(&score->recipe), "provenance",
                             provenance_json(score, pair));
    json_t *reference = reference_json(score, pair), *flags = sm_pair_flags_json(pair);
    complete = complete && flags &&
               (json_array_size(flags) == 0 || json_object_set(out, "flags", flags) == 0);
    json_decref(flags);
    complete = complete && out && tail && json_object_update(out, reference) == 0 &&
               json_object_update(out, tail) == 0;
    json_decref(reference);
    json_decref(tail);
    if (complete)
        return out;
    json_decref(out);
    return NULL;
}
