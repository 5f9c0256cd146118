/* Opens a pair: reads a folder with pair.json and checkpoints, and makes encoders that can be
 * compared.
 *
 * Everything is checked at open, so that a score can fail only because of its image. File names
 * stay inside the folder. Every encoder opens under the configuration of its side. All encoders
 * agree in what makes distances comparable (the table `facts`). The pair's own recipe fits them,
 * and the reference was measured with them. A step that fails reports its problem, and the later
 * steps check what does not depend on it. */
#include "core/score/pair.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/score/digest.h"
#include "core/score/pair_read.h"

#define UNKNOWN_PX 224 /* input size for reading a recipe whose encoders did not open */

const char *const sm_side_names[SM_SIDES] = {"f", "g"};

enum fact_type { FACT_TEXT, FACT_INT, FACT_DOUBLE };

/* The facts that every encoder of a pair must have in common. */
static const struct {
    const char *name;
    enum fact_type type;
    size_t offset;
} facts[] = {
    {"family", FACT_TEXT, offsetof(struct sm_encoder_info, family)},
    {"input_px", FACT_INT, offsetof(struct sm_encoder_info, input_h_px)},
    {"tokens", FACT_INT, offsetof(struct sm_encoder_info, tokens)},
    {"dim", FACT_INT, offsetof(struct sm_encoder_info, dim)},
    {"blocks", FACT_INT, offsetof(struct sm_encoder_info, blocks)},
    {"heads", FACT_INT, offsetof(struct sm_encoder_info, heads)},
    {"norm_eps", FACT_DOUBLE, offsetof(struct sm_encoder_info, norm_eps)},
};

char *sm_pair_path(const char *dir, const char *file)
{
    size_t size = strlen(dir) + strlen(file) + 2;
    char *path = malloc(size);
    if (path)
        snprintf(path, size, "%s/%s", dir, file);
    return path;
}

static const char *last_component(char *path)
{
    for (size_t n = strlen(path); n > 0 && path[n - 1] == '/'; n--)
        path[n - 1] = '\0';
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* Sets the pair's name to the last component of the path as given, without following links. For "."
 * and ".." the file system resolves the path first. */
static enum sm_code set_name(struct sm_pair *pair, struct sm_err *err)
{
    char *path = strdup(pair->dir);
    const char *name = path ? last_component(path) : "";
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
        free(path);
        path = realpath(pair->dir, NULL);
        name = path ? last_component(path) : "";
    }
    if (!path)
        return sm_err_set(err, SM_IO, "%s: path cannot be resolved", pair->dir);
    size_t length = strlen(name);
    enum sm_code code = SM_OK;
    if (length == 0 || length > PAIR_NAME_MAX)
        code = sm_err_set(err, SM_INVALID, "%s: pair name has %zu bytes, must be from 1 to %d",
                          pair->dir, length, PAIR_NAME_MAX);
    else
        memcpy(pair->name, name, length + 1);
    free(path);
    return code;
}

/* Returns the configuration with the pair's normalisation. pair->configs do not have it, because
 * the pair's digest covers mean and std separately. */
static struct sm_encoder_config with_pixels(const struct sm_pair *pair, int side)
{
    struct sm_encoder_config config = pair->configs[side];
    memcpy(config.mean, pair->mean, sizeof config.mean);
    memcpy(config.std, pair->std, sizeof config.std);
    config.source[SM_CONFIG_MEAN] = (uint8_t)pair->mean_source;
    config.source[SM_CONFIG_STD] = (uint8_t)pair->std_source;
    return config;
}

static enum sm_code open_member(struct sm_member *member, const struct sm_pair *pair, int side,
                                const char *kernels, struct sm_err *err)
{
    struct sm_ckpt *ckpt = NULL;
    char *path = sm_pair_path(pair->dir, member->file);
    enum sm_code code = path ? sm_ckpt_open(&ckpt, path, err)
                             : sm_err_set(err, SM_NOMEM, "out of memory for a path");
    if (code == SM_OK) {
        snprintf(member->digest, sizeof member->digest, "%s", sm_ckpt_digest(ckpt));
        const struct sm_encoder_config config = with_pixels(pair, side);
        code = sm_encoder_open(&member->encoder, ckpt, &config, kernels, err);
        sm_ckpt_close(ckpt);
    }
    const struct sm_encoder_info *info = code == SM_OK ? sm_encoder_info(member->encoder) : NULL;
    if (info && info->input_h_px != info->input_w_px) {
        sm_encoder_close(member->encoder);
        member->encoder = NULL;
        code = sm_err_set(err, SM_UNSUPPORTED, "input of %dx%d pixels, views are square",
                          (int)info->input_h_px, (int)info->input_w_px);
    }
    free(path);
    return code;
}

static void format_fact(char *out, size_t out_size, const struct sm_encoder_info *info, size_t i)
{
    const char *at = (const char *)info + facts[i].offset;
    if (facts[i].type == FACT_TEXT)
        snprintf(out, out_size, "%s", at);
    else if (facts[i].type == FACT_INT)
        snprintf(out, out_size, "%d", (int)*(const int32_t *)(const void *)at);
    else
        snprintf(out, out_size, "%.9g", *(const double *)(const void *)at);
}

/* Reports every fact in which two encoders differ. */
static void check_agree(const struct sm_member *a, const struct sm_member *b, const char *pointer,
                        struct sm_collector *collector)
{
    char of_a[40], of_b[40];
    struct sm_err why;
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++) {
        format_fact(of_a, sizeof of_a, sm_encoder_info(a->encoder), i);
        format_fact(of_b, sizeof of_b, sm_encoder_info(b->encoder), i);
        if (strcmp(of_a, of_b) == 0)
            continue;
        why = (struct sm_err){0};
        sm_err_set(&why, SM_CONFLICT, "%.60s has %s %s, %.60s has %s %s", a->file, facts[i].name,
                   of_a, b->file, facts[i].name, of_b);
        sm_collect(collector, SM_IN_SIDES, b->file, pointer, &why);
    }
}

/* Opens a member and reports why it cannot be. An error of a setting is one of pair.json. */
static void open_or_report(struct sm_pair *pair, int s, int k, const struct sm_pair_draft *draft,
                           const char *kernels, struct sm_collector *collector)
{
    struct sm_member *member = &pair->sides[s].members[k];
    struct sm_err why = {0};
    char at[32], pointer[sizeof why.pointer + 32];
    if (open_member(member, pair, s, kernels, &why) == SM_OK)
        return;
    if (why.pointer[0] && draft->mended[s])
        return; /* the setting may be among those that were left out */
    if (why.pointer[0]) {
        sm_pair_config_pointer(at, draft, s);
        snprintf(pointer, sizeof pointer, "%s%s", at, why.pointer);
        snprintf(why.pointer, sizeof why.pointer, "%.79s", pointer);
    } else {
        snprintf(pointer, sizeof pointer, "/%s/%d", sm_side_names[s], k);
    }
    sm_collect(collector, SM_IN_CHECKPOINT, member->file, pointer, &why);
}

/* Opens every encoder and compares it with the first. Returns false if one is missing. */
static bool open_members(struct sm_pair *pair, const struct sm_pair_draft *draft,
                         const char *kernels, struct sm_collector *collector)
{
    const struct sm_member *first = NULL;
    char at[32];
    bool whole = pair->sides[SM_SIDE_F].count > 0 &&
                 (pair->sides[SM_SIDE_G].count > 0 || !draft->sides[SM_SIDE_G]);
    for (int s = 0; s < SM_SIDES; s++) {
        for (int k = 0; k < pair->sides[s].count && !collector->full; k++) {
            struct sm_member *member = &pair->sides[s].members[k];
            if (member->file[0] && draft->config_read[s])
                open_or_report(pair, s, k, draft, kernels, collector);
            whole = whole && member->encoder;
            if (!member->encoder || draft->mended[s])
                continue;
            first = first ? first : member;
            snprintf(at, sizeof at, "/%s/%d", sm_side_names[s], k);
            check_agree(first, member, at, collector);
        }
    }
    return whole;
}

bool sm_members_same(const struct sm_member *a, const struct sm_member *b)
{
    return strcmp(a->digest, b->digest) == 0 || sm_encoder_same_weights(a->encoder, b->encoder);
}

/* Reports each encoder on both sides: it cancels out, and m then says nothing about any image. */
static void check_sides(const struct sm_pair *pair, struct sm_collector *collector)
{
    char at[32];
    const struct sm_side *f = &pair->sides[SM_SIDE_F], *g = &pair->sides[SM_SIDE_G];
    for (int i = 0; i < f->count && !pair->allow_same; i++) {
        for (int k = 0; k < g->count; k++) {
            struct sm_err why = {0};
            if (!f->members[i].encoder || !g->members[k].encoder ||
                !sm_members_same(&f->members[i], &g->members[k]))
                continue;
            snprintf(at, sizeof at, "/g/%d", k);
            sm_err_field(&why, at,
                         "%.36s of f and %.36s of g hold the same weights, which cancel out: name "
                         "in g what was trained without the candidates, or set \"allow_same\": "
                         "true",
                         f->members[i].file, g->members[k].file);
            sm_collect(collector, SM_IN_SIDES, PAIR_JSON, at, &why);
        }
    }
}

/* Checks that the recipe fits the encoders. */
static void check_recipe(struct sm_pair *pair, struct sm_collector *collector)
{
    struct sm_err why = {0};
    char at[sizeof why.pointer];
    if (sm_pair_check_recipe(pair, &pair->recipe, &why) == SM_OK)
        return;
    memcpy(at, why.pointer, sizeof at);
    snprintf(why.pointer, sizeof why.pointer, "/recipe%.60s", at);
    sm_collect(collector, SM_IN_DOCUMENT, PAIR_JSON, why.pointer, &why);
}

/* Returns the flags of the pair without their texts, [] if it has none. NULL when out of memory. */
static json_t *flags_without_texts(const struct sm_pair *pair)
{
    json_t *flags = sm_pair_flags_json(pair), *flag;
    size_t i;
    json_array_foreach(flags, i, flag) json_object_del(flag, "text");
    return flags;
}

/* Returns the configuration that both sides have, or {"f", "g"}. NULL when out of memory. */
static json_t *configs_json(const struct sm_pair *pair)
{
    json_t *f = sm_encoder_config_json(&pair->configs[SM_SIDE_F]);
    json_t *g = sm_encoder_config_json(&pair->configs[SM_SIDE_G]);
    if (!f || !g || !json_equal(f, g))
        return json_pack("{s:o, s:o}", "f", f, "g", g);
    json_decref(g);
    return f;
}

static enum sm_code set_digest(struct sm_pair *pair, struct sm_err *err)
{
    json_t *flags = flags_without_texts(pair);
    json_t *doc =
        json_pack("{s:o, s:o, s:[f,f,f], s:[f,f,f], s:s?}", "encoders", sm_pair_digests_json(pair),
                  "encoder", configs_json(pair), "mean", pair->mean[0], pair->mean[1],
                  pair->mean[2], "std", pair->std[0], pair->std[1], pair->std[2], "reference",
                  pair->reference.count ? pair->reference.digest : NULL);
    bool whole =
        doc && flags && (json_array_size(flags) == 0 || json_object_set(doc, "flags", flags) == 0);
    json_decref(flags);
    if (!whole) {
        json_decref(doc);
        doc = NULL;
    }
    return sm_json_digest(pair->digest, doc, err);
}

/* Reports an error that has no place in pair.json, or of the reference. */
static void collect_code(struct sm_collector *collector, enum sm_found_in in, const char *file,
                         const struct sm_err *why)
{
    if (why->code != SM_OK)
        sm_collect(collector, in, file, why->pointer, why);
}

static void open_whole(struct sm_pair *pair, const char *kernels, struct sm_collector *collector)
{
    struct sm_pair_draft draft = {0};
    struct sm_err why = {0};
    json_t *doc = NULL;
    set_name(pair, &why);
    collect_code(collector, SM_IN_DOCUMENT, PAIR_JSON, &why);
    sm_pair_read(&doc, &draft, pair, collector);
    if (!doc || collector->full)
        goto out;
    int before = collector->problems->count;
    bool whole = open_members(pair, &draft, kernels, collector);
    bool agree = whole && collector->first == SM_OK && before == collector->problems->count;
    check_sides(pair, collector);
    int32_t input_px = agree ? sm_pair_input_px(pair) : UNKNOWN_PX;
    if (!collector->full && sm_pair_read_recipe(pair, doc, &draft, input_px, collector) && agree)
        check_recipe(pair, collector);
    why = (struct sm_err){0};
    if (collector->first == SM_OK)
        sm_recipe_digest(pair->recipe_digest, &pair->recipe, &why);
    collect_code(collector, SM_IN_DOCUMENT, PAIR_JSON, &why);
    why = (struct sm_err){0};
    if (draft.reference[0] && whole && !collector->full)
        sm_reference_load(&pair->reference, pair, draft.reference, &why);
    collect_code(collector, SM_IN_REFERENCE, draft.reference, &why);
    why = (struct sm_err){0};
    if (collector->first == SM_OK)
        set_digest(pair, &why);
    collect_code(collector, SM_IN_DOCUMENT, PAIR_JSON, &why);
out:
    json_decref(doc);
}

enum sm_code sm_pair_open_all(struct sm_pair **out, struct sm_pair_problems *problems,
                              const char *dir, const char *kernels, struct sm_err *err)
{
    struct sm_pair_problems *own = problems ? NULL : calloc(1, sizeof *own);
    struct sm_pair *pair = calloc(1, sizeof *pair);
    struct sm_collector collector = {.problems = problems ? problems : own, .err = err};
    *out = NULL;
    if (problems)
        problems->count = 0;
    if (!collector.problems || !pair || !(pair->dir = strdup(dir)))
        collector.first = sm_err_set(err, SM_NOMEM, "out of memory for pair %s", dir);
    else
        open_whole(pair, kernels, &collector);
    if (collector.first == SM_OK)
        *out = pair;
    else
        sm_pair_close(pair);
    free(own);
    return collector.first;
}

enum sm_code sm_pair_open(struct sm_pair **out, const char *dir, const char *kernels,
                          struct sm_err *err)
{
    return sm_pair_open_all(out, NULL, dir, kernels, err);
}

void sm_pair_close(struct sm_pair *pair)
{
    if (!pair)
        return;
    for (int s = 0; s < SM_SIDES; s++)
        for (int k = 0; k < SM_ENCODERS_MAX; k++)
            sm_encoder_close(pair->sides[s].members[k].encoder);
    sm_reference_release(&pair->reference);
    free(pair->dir);
    free(pair);
}

const char *sm_pair_name(const struct sm_pair *pair)
{
    return pair->name;
}

const char *sm_pair_digest(const struct sm_pair *pair)
{
    return pair->digest;
}

const struct sm_recipe *sm_pair_recipe(const struct sm_pair *pair)
{
    return &pair->recipe;
}

double sm_pair_reference_sd(const struct sm_pair *pair)
{
    const struct sm_reference *r = &pair->reference;
    bool own = r->count > 1 && strcmp(r->recipe_digest, pair->recipe_digest) == 0;
    return own && isfinite(r->sd) ? r->sd : 0;
}

int32_t sm_pair_input_px(const struct sm_pair *pair)
{
    return sm_encoder_info(pair->sides[SM_SIDE_F].members[0].encoder)->input_h_px;
}

bool sm_pair_has_g(const struct sm_pair *pair)
{
    return pair->sides[SM_SIDE_G].count > 0;
}

const struct sm_encoder *sm_pair_encoder(const struct sm_pair *pair, char side, int k)
{
    const struct sm_side *s = &pair->sides[side == 'g' ? SM_SIDE_G : SM_SIDE_F];
    return k >= 0 && k < s->count ? s->members[k].encoder : NULL;
}

json_t *sm_pair_digests_json(const struct sm_pair *pair)
{
    json_t *out = json_object();
    for (int s = 0; s < SM_SIDES; s++) {
        json_t *list = json_array();
        for (int k = 0; k < pair->sides[s].count; k++)
            json_array_append_new(list, json_string(pair->sides[s].members[k].digest));
        if (json_object_set_new(out, sm_side_names[s], list) != 0 ||
            json_array_size(list) != (size_t)pair->sides[s].count) {
            json_decref(out);
            return NULL;
        }
    }
    return out;
}
