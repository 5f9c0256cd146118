/* Opens a pair: reads a folder with pair.json and checkpoints, and makes encoders that can be
 * compared.
 *
 * Everything is checked at open, so that a score can fail only because of its image. File names
 * stay inside the folder. Every encoder opens under the one shared configuration. All encoders
 * agree in what makes distances comparable (the table `facts`). The pair's own recipe fits them,
 * and the reference was measured with them. */
#include "core/score/pair.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/score/digest.h"

#define PAIR_JSON_MAX  (256 << 10)
#define PAIR_DEPTH_MAX 8

const char *const sm_side_names[SM_SIDES] = {"f", "g"};

/* pair.json as read; its nodes are borrowed from the document. */
struct draft {
    char description[PAIR_DESCRIPTION_MAX + 1];
    const json_t *sides[SM_SIDES];
    const json_t *encoder, *mean, *std, *recipe;
    char reference[PAIR_FILE_MAX + 1];
    bool allow_same;
};

#define AT(member) offsetof(struct draft, member)
static const struct sm_field fields[] = {
    {"description", SM_FIELD_TEXT, AT(description), 0, PAIR_DESCRIPTION_MAX, NULL, false},
    {"f", SM_FIELD_NODE, AT(sides[SM_SIDE_F]), 0, 0, NULL, true},
    {"g", SM_FIELD_NODE, AT(sides[SM_SIDE_G]), 0, 0, NULL, true},
    {"encoder", SM_FIELD_NODE, AT(encoder), 0, 0, NULL, false},
    {"mean", SM_FIELD_NODE, AT(mean), 0, 0, NULL, false},
    {"std", SM_FIELD_NODE, AT(std), 0, 0, NULL, false},
    {"recipe", SM_FIELD_NODE, AT(recipe), 0, 0, NULL, true},
    {"reference", SM_FIELD_TEXT, AT(reference), 0, PAIR_FILE_MAX, NULL, false},
    {"allow_same", SM_FIELD_BOOL, AT(allow_same), 0, 0, NULL, false},
    {NULL, SM_FIELD_NODE, 0, 0, 0, NULL, false},
};
#undef AT

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

/* Returns true if the text begins with "<file>:" or contains a path that ends in it. */
static bool names_file(const char *text, const char *file)
{
    char in_path[PAIR_FILE_MAX + 3];
    size_t length = strlen(file);
    snprintf(in_path, sizeof in_path, "/%.*s:", PAIR_FILE_MAX, file);
    return strstr(text, in_path) || (strncmp(text, file, length) == 0 && text[length] == ':');
}

enum sm_code sm_err_name_file(struct sm_err *err, enum sm_code code, const char *file)
{
    if (code == SM_OK || !err || names_file(err->text, file))
        return code;
    const struct sm_err inner = *err;
    sm_err_set(err, code, "%s: %s", file, inner.text);
    memcpy(err->pointer, inner.pointer, sizeof err->pointer);
    return code;
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

static enum sm_code check_file_name(const char *name, const char *pointer, struct sm_err *err)
{
    size_t length = strlen(name);
    if (length == 0 || length > PAIR_FILE_MAX)
        return sm_err_field(err, pointer, "file name has %zu bytes, must be from 1 to %d", length,
                            PAIR_FILE_MAX);
    if (strchr(name, '/') || name[0] == '.')
        return sm_err_field(err, pointer,
                            "file name \"%s\" must be of the pair's folder: no separators, no "
                            "leading dot",
                            name);
    return SM_OK;
}

static enum sm_code read_side(struct sm_side *out, const json_t *list, const char *side,
                              struct sm_err *err)
{
    char at[32];
    const json_t *node;
    size_t i, count = json_array_size(list);
    snprintf(at, sizeof at, "/%s", side);
    if (!json_is_array(list) || count == 0 || count > SM_ENCODERS_MAX)
        return sm_err_field(err, at, "%s must be a list of 1 to %d file names, has %zu", side,
                            SM_ENCODERS_MAX, count);
    json_array_foreach(list, i, node)
    {
        snprintf(at, sizeof at, "/%s/%zu", side, i);
        const char *name = json_string_value(node);
        if (!name)
            return sm_err_field(err, at, "file name must be a string");
        enum sm_code code = check_file_name(name, at, err);
        if (code != SM_OK)
            return code;
        snprintf(out->members[i].file, sizeof out->members[i].file, "%s", name);
    }
    out->count = (int)count;
    return SM_OK;
}

/* Reads three numbers: pair.json's own, else those of the encoder's configuration, else 0.5. */
static enum sm_code read_channels(double out[3], float out_f32[3], const json_t *list,
                                  const double *encoder, const char *name, double min,
                                  struct sm_err *err)
{
    char at[32];
    for (size_t c = 0; c < 3; c++) {
        const json_t *node = json_array_get(list, c);
        double value = list ? json_number_value(node) : encoder ? encoder[c] : .5;
        snprintf(at, sizeof at, "/%s", name);
        if (list && json_array_size(list) != 3)
            return sm_err_field(err, at, "%s must be a list of three numbers", name);
        snprintf(at, sizeof at, "/%s/%zu", name, c);
        if (list && (!json_is_number(node) || !(value >= min && value <= 1)))
            return sm_err_field(err, at, "%s must be numbers from %g to 1", name, min);
        out[c] = value;
        out_f32[c] = (float)value;
    }
    return SM_OK;
}

/* Returns the configuration with the pair's normalisation. pair->config does not have it, because
 * the pair's digest covers mean and std separately. */
static struct sm_encoder_config with_pixels(const struct sm_pair *pair)
{
    struct sm_encoder_config config = pair->config;
    memcpy(config.mean, pair->mean, sizeof config.mean);
    memcpy(config.std, pair->std, sizeof config.std);
    config.source[SM_CONFIG_MEAN] = (uint8_t)pair->mean_source;
    config.source[SM_CONFIG_STD] = (uint8_t)pair->std_source;
    return config;
}

static enum sm_code open_member(struct sm_member *member, const struct sm_pair *pair,
                                const char *kernels, struct sm_err *err)
{
    struct sm_ckpt *ckpt = NULL;
    char *path = sm_pair_path(pair->dir, member->file);
    enum sm_code code = path ? sm_ckpt_open(&ckpt, path, err)
                             : sm_err_set(err, SM_NOMEM, "out of memory for a path");
    if (code == SM_OK) {
        snprintf(member->digest, sizeof member->digest, "%s", sm_ckpt_digest(ckpt));
        const struct sm_encoder_config config = with_pixels(pair);
        code = sm_encoder_open(&member->encoder, ckpt, &config, kernels, err);
        sm_ckpt_close(ckpt);
    }
    const struct sm_encoder_info *info = code == SM_OK ? sm_encoder_info(member->encoder) : NULL;
    if (info && info->input_h_px != info->input_w_px)
        code = sm_err_set(err, SM_UNSUPPORTED, "input of %dx%d pixels, views are square",
                          (int)info->input_h_px, (int)info->input_w_px);
    free(path);
    return sm_err_name_file(err, code, member->file);
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

static enum sm_code check_agree(const struct sm_member *a, const struct sm_member *b,
                                struct sm_err *err)
{
    char of_a[40], of_b[40];
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++) {
        format_fact(of_a, sizeof of_a, sm_encoder_info(a->encoder), i);
        format_fact(of_b, sizeof of_b, sm_encoder_info(b->encoder), i);
        if (strcmp(of_a, of_b) != 0)
            return sm_err_set(err, SM_CONFLICT, "%.60s has %s %s, %.60s has %s %s", a->file,
                              facts[i].name, of_a, b->file, facts[i].name, of_b);
    }
    return SM_OK;
}

static enum sm_code open_members(struct sm_pair *pair, const char *kernels, struct sm_err *err)
{
    enum sm_code code = SM_OK;
    for (int s = 0; s < SM_SIDES; s++) {
        for (int k = 0; code == SM_OK && k < pair->sides[s].count; k++) {
            struct sm_member *member = &pair->sides[s].members[k];
            code = open_member(member, pair, kernels, err);
            if (code == SM_OK)
                code = check_agree(&pair->sides[SM_SIDE_F].members[0], member, err);
        }
    }
    return code;
}

bool sm_members_same(const struct sm_member *a, const struct sm_member *b)
{
    return strcmp(a->digest, b->digest) == 0 || sm_encoder_same_weights(a->encoder, b->encoder);
}

/* Refuses an encoder on both sides: it cancels out, and m then says nothing about any image. */
static enum sm_code check_sides(const struct sm_pair *pair, struct sm_err *err)
{
    char at[32];
    const struct sm_side *f = &pair->sides[SM_SIDE_F], *g = &pair->sides[SM_SIDE_G];
    for (int i = 0; i < f->count && !pair->allow_same; i++) {
        for (int k = 0; k < g->count; k++) {
            if (!sm_members_same(&f->members[i], &g->members[k]))
                continue;
            snprintf(at, sizeof at, "/g/%d", k);
            sm_err_field(err, at,
                         "%.36s of f and %.36s of g hold the same weights, which cancel out: name "
                         "in g what was trained without the candidates, or set \"allow_same\": "
                         "true",
                         f->members[i].file, g->members[k].file);
            return sm_err_name_file(err, SM_INVALID, "pair.json");
        }
    }
    return SM_OK;
}

static enum sm_code read_document(struct sm_pair *pair, struct draft *draft, const json_t *doc,
                                  struct sm_err *err)
{
    enum sm_code code = sm_fields_read(draft, doc, fields, "", err);
    for (int s = 0; code == SM_OK && s < SM_SIDES; s++)
        code = read_side(&pair->sides[s], draft->sides[s], sm_side_names[s], err);
    if (code == SM_OK && draft->reference[0])
        code = check_file_name(draft->reference, "/reference", err);
    if (code == SM_OK)
        code = sm_encoder_config_parse(&pair->config, draft->encoder, "/encoder", err);
    memcpy(pair->description, draft->description, sizeof pair->description);
    pair->allow_same = draft->allow_same;
    return sm_err_name_file(err, code, "pair.json");
}

/* Completes what pair.json leaves open from the preset and from the sidecars in the pair's folder,
 * which all its checkpoints share. */
static enum sm_code complete_config(struct sm_pair *pair, const struct draft *draft,
                                    struct sm_err *err)
{
    char *path = sm_pair_path(pair->dir, pair->sides[SM_SIDE_F].members[0].file);
    const struct sm_encoder_config *c = &pair->config;
    enum sm_code code = path ? sm_encoder_config_complete(&pair->config, path, err)
                             : sm_err_set(err, SM_NOMEM, "out of memory for a path");
    free(path);
    const bool said = c->std[0] > 0;
    const enum sm_source mean = (enum sm_source)c->source[SM_CONFIG_MEAN],
                         std = (enum sm_source)c->source[SM_CONFIG_STD];
    pair->mean_source = draft->mean ? SM_SOURCE_CONFIG : said ? mean : SM_SOURCE_GUESS;
    pair->std_source = draft->std ? SM_SOURCE_CONFIG : said ? std : SM_SOURCE_GUESS;
    if (code == SM_OK)
        code = read_channels(pair->mean, pair->mean_f32, draft->mean, said ? c->mean : NULL, "mean",
                             0, err);
    if (code == SM_OK)
        code = read_channels(pair->std, pair->std_f32, draft->std, said ? c->std : NULL, "std",
                             1e-3, err);
    return sm_err_name_file(err, code, "pair.json");
}

static enum sm_code read_recipe(struct sm_pair *pair, const json_t *node, struct sm_err *err)
{
    enum sm_code code =
        sm_recipe_parse(&pair->recipe, node, NULL, sm_pair_input_px(pair), "/recipe", err);
    if (code == SM_OK) {
        code = sm_pair_check_recipe(pair, &pair->recipe, err);
        if (code == SM_INVALID && err) {
            char at[sizeof err->pointer];
            memcpy(at, err->pointer, sizeof at);
            snprintf(err->pointer, sizeof err->pointer, "/recipe%.60s", at);
        }
    }
    if (code == SM_OK)
        code = sm_recipe_digest(pair->recipe_digest, &pair->recipe, err);
    return sm_err_name_file(err, code, "pair.json");
}

/* Returns the flags of the pair without their texts, [] if it has none. NULL when out of memory. */
static json_t *flags_without_texts(const struct sm_pair *pair)
{
    json_t *flags = sm_pair_flags_json(pair), *flag;
    size_t i;
    json_array_foreach(flags, i, flag) json_object_del(flag, "text");
    return flags;
}

static enum sm_code set_digest(struct sm_pair *pair, struct sm_err *err)
{
    json_t *flags = flags_without_texts(pair);
    json_t *doc =
        json_pack("{s:o, s:o, s:[f,f,f], s:[f,f,f], s:s?}", "encoders", sm_pair_digests_json(pair),
                  "encoder", sm_encoder_config_json(&pair->config), "mean", pair->mean[0],
                  pair->mean[1], pair->mean[2], "std", pair->std[0], pair->std[1], pair->std[2],
                  "reference", pair->reference.count ? pair->reference.digest : NULL);
    bool whole =
        doc && flags && (json_array_size(flags) == 0 || json_object_set(doc, "flags", flags) == 0);
    json_decref(flags);
    if (!whole) {
        json_decref(doc);
        doc = NULL;
    }
    return sm_json_digest(pair->digest, doc, err);
}

static enum sm_code load_document(json_t **out, const char *dir, struct sm_err *err)
{
    struct sm_file file = {0};
    char *path = sm_pair_path(dir, "pair.json");
    enum sm_code code = path ? sm_file_map(&file, path, PAIR_JSON_MAX, err)
                             : sm_err_set(err, SM_NOMEM, "out of memory for a path");
    if (code == SM_OK)
        code = sm_json_parse(out, file.bytes, file.bytes_count, PAIR_JSON_MAX, PAIR_DEPTH_MAX, err);
    sm_file_release(&file);
    free(path);
    return sm_err_name_file(err, code, "pair.json");
}

enum sm_code sm_pair_open(struct sm_pair **out, const char *dir, const char *kernels,
                          struct sm_err *err)
{
    struct draft draft = {0};
    json_t *doc = NULL;
    struct sm_pair *pair = calloc(1, sizeof *pair);
    enum sm_code code = SM_OK;
    *out = NULL;
    if (!pair || !(pair->dir = strdup(dir))) {
        code = sm_err_set(err, SM_NOMEM, "out of memory for pair %s", dir);
        goto out;
    }
    if ((code = set_name(pair, err)) != SM_OK || (code = load_document(&doc, dir, err)) != SM_OK ||
        (code = read_document(pair, &draft, doc, err)) != SM_OK ||
        (code = complete_config(pair, &draft, err)) != SM_OK ||
        (code = open_members(pair, kernels, err)) != SM_OK ||
        (code = check_sides(pair, err)) != SM_OK ||
        (code = read_recipe(pair, draft.recipe, err)) != SM_OK)
        goto out;
    if (draft.reference[0])
        code = sm_reference_load(&pair->reference, pair, draft.reference, err);
    if (code == SM_OK)
        code = set_digest(pair, err);
out:
    json_decref(doc);
    if (code == SM_OK)
        *out = pair;
    else
        sm_pair_close(pair);
    return code;
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
