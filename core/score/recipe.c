/* Recipes: one table of fields, which is read over a base recipe, and one function that writes
 * every field.
 *
 * Two recipes are the same if their canonical JSON is: presets are expanded to their ops, defaults
 * are written out, and a seed has one spelling. So the digest does not depend on how the client
 * wrote the recipe. target_se and draws are newer than the other fields. They are left out at their
 * defaults, so that older digests stay the same. So that a written recipe reads back as itself over
 * any base, a document with all the other fields takes these two from it or from the defaults. */
#include "sslmem/recipe.h"

#include <stdio.h>
#include <string.h>

#include "core/base/json.h"
#include "core/score/digest.h"

#define TARGET_SE_MAX 1e9

static const char *const compare_names[] = {"pairs", "anchor", NULL};
static const char *const normalize_names[] = {"vector", "token", "none", NULL};
static const char *const distance_names[] = {"l2", "l1", "cosine", "angular", NULL};
static const char *const draws_names[] = {"independent", "stratified", NULL};
static const char *const orientation_names[] = {"ignore", "apply", NULL};

static const struct sm_recipe defaults = {.views = 10, .representation = "tokens"};

/* A recipe while its document is read: enums are indexes of their names. */
struct draft {
    struct sm_recipe recipe;
    const json_t *augment;
    int compare, normalize, distance, draws, orientation;
};

#define AT(member) offsetof(struct draft, member)
static const struct sm_field fields[] = {
    {"augment", SM_FIELD_NODE, AT(augment), 0, 0, NULL, false},
    {"views", SM_FIELD_INT, AT(recipe.views), SM_VIEWS_MIN, SM_VIEWS_MAX, NULL, false},
    {"target_se", SM_FIELD_DOUBLE, AT(recipe.target_se), 0, TARGET_SE_MAX, NULL, false},
    {"compare", SM_FIELD_ENUM, AT(compare), 0, 0, compare_names, false},
    {"representation", SM_FIELD_TEXT, AT(recipe.representation), 0,
     sizeof defaults.representation - 1, NULL, false},
    {"normalize", SM_FIELD_ENUM, AT(normalize), 0, 0, normalize_names, false},
    {"distance", SM_FIELD_ENUM, AT(distance), 0, 0, distance_names, false},
    {"seed", SM_FIELD_U64, AT(recipe.seed), 0, 0, NULL, false},
    {"draws", SM_FIELD_ENUM, AT(draws), 0, 0, draws_names, false},
    {"orientation", SM_FIELD_ENUM, AT(orientation), 0, 0, orientation_names, false},
    {NULL, SM_FIELD_NODE, 0, 0, 0, NULL, false},
};
#undef AT

static void join(char *out, size_t out_size, const char *pointer, const char *name)
{
    snprintf(out, out_size, "%s/%s", pointer, name);
}

/* Returns true if `name` is a representation. Every output has one name only, or two spellings of a
 * recipe would have two digests. So N has no leading zeros, and "block.N.mlp.residual", the same
 * output as "block.N", is refused. */
static bool is_representation(const char *name)
{
    static const char *const names[] = {"tokens", "cls", "mean", "pooled", NULL};
    static const char *const parts[] = {"", ".attn", ".mlp", ".attn.residual", NULL};
    for (int i = 0; names[i]; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    bool block = strncmp(name, "block.", 6) == 0;
    if (!block && strncmp(name, "stage.", 6) != 0)
        return false;
    const char *digits = name + 6;
    size_t length = strspn(digits, "0123456789");
    if (length == 0 || (length > 1 && digits[0] == '0'))
        return false;
    for (int i = 0; parts[i] && (block || i == 0); i++)
        if (strcmp(digits + length, parts[i]) == 0)
            return true;
    return false;
}

/* Returns true if `node` has every field that sm_recipe_json always writes. */
static bool is_whole(const json_t *node)
{
    for (const struct sm_field *field = fields; field->name; field++)
        if (!json_object_get(node, field->name) && strcmp(field->name, "target_se") != 0 &&
            strcmp(field->name, "draws") != 0)
            return false;
    return true;
}

enum sm_code sm_recipe_parse(struct sm_recipe *out, const json_t *node,
                             const struct sm_recipe *base, int32_t input_px, const char *pointer,
                             struct sm_err *err)
{
    char at[sizeof err->pointer];
    struct draft draft = {.recipe = base ? *base : defaults};
    if (is_whole(node)) {
        draft.recipe.target_se = defaults.target_se;
        draft.recipe.draws = defaults.draws;
    }
    draft.compare = (int)draft.recipe.compare;
    draft.normalize = (int)draft.recipe.normalize;
    draft.distance = (int)draft.recipe.distance;
    draft.draws = (int)draft.recipe.draws;
    draft.orientation = draft.recipe.apply_orientation;

    *out = (struct sm_recipe){0};
    enum sm_code code = node ? sm_fields_read(&draft, node, fields, pointer, err) : SM_OK;
    if (code != SM_OK)
        return code;
    join(at, sizeof at, pointer, "augment");
    if (draft.augment)
        code = sm_augment_parse(&draft.recipe.augment, draft.augment, input_px, at, err);
    else if (!base)
        code = sm_err_field(err, at, "field \"augment\" is missing");
    if (code != SM_OK)
        return code;
    join(at, sizeof at, pointer, "representation");
    if (!is_representation(draft.recipe.representation))
        return sm_err_field(err, at,
                            "representation is \"%s\", must be one of tokens, cls, mean, pooled, "
                            "block.N, block.N.attn, block.N.mlp, block.N.attn.residual, stage.N",
                            draft.recipe.representation);
    draft.recipe.compare = (enum sm_compare)draft.compare;
    draft.recipe.normalize = (enum sm_normalize)draft.normalize;
    draft.recipe.distance = (enum sm_distance)draft.distance;
    draft.recipe.draws = (enum sm_draws)draft.draws;
    draft.recipe.apply_orientation = draft.orientation != 0;
    join(at, sizeof at, pointer, "draws");
    if (draft.recipe.draws == SM_DRAWS_STRATIFIED && draft.recipe.target_se > 0)
        return sm_err_field(
            err, at,
            "draws is \"stratified\" and target_se is %g: strata need a fixed number "
            "of views; set target_se to 0 or draws to \"independent\"",
            draft.recipe.target_se);
    *out = draft.recipe;
    return SM_OK;
}

json_t *sm_recipe_json(const struct sm_recipe *recipe)
{
    json_t *out = json_pack(
        "{s:o, s:i, s:s, s:s, s:s, s:s, s:o, s:s}", "augment", sm_augment_json(&recipe->augment),
        "views", (int)recipe->views, "compare", compare_names[recipe->compare], "representation",
        recipe->representation, "normalize", normalize_names[recipe->normalize], "distance",
        distance_names[recipe->distance], "seed", sm_json_u64(recipe->seed), "orientation",
        orientation_names[recipe->apply_orientation]);
    bool whole = recipe->target_se == 0 ||
                 json_object_set_new(out, "target_se", json_real(recipe->target_se)) == 0;
    if (recipe->draws != SM_DRAWS_INDEPENDENT)
        whole = whole &&
                json_object_set_new(out, "draws", json_string(draws_names[recipe->draws])) == 0;
    if (!whole) {
        json_decref(out);
        out = NULL;
    }
    return out;
}

uint32_t sm_recipe_strata(const struct sm_recipe *recipe)
{
    return recipe->draws == SM_DRAWS_STRATIFIED ? (uint32_t)recipe->views : 0;
}

enum sm_code sm_recipe_digest(char hex[65], const struct sm_recipe *recipe, struct sm_err *err)
{
    return sm_json_digest(hex, sm_recipe_json(recipe), err);
}
