/* Writes pair.json and the README.md beside it. Known facts go into pair.json; a guess does
 * not, so that it stays a guess wherever the pair is used. README.md comments each field, which
 * JSON cannot. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/json.h"
#include "server/cmd/cmd.h"
#include "server/cmd/pair.h"

/* Removes the facts that the encoder does not have: a file of another program, as config.json,
 * describes more than one network needs, and pair.json must not. */
static void keep_used(json_t *facts, const struct sm_encoder_info *info)
{
    const char *name;
    void *next;
    json_t *value;
    json_object_foreach_safe(facts, next, name, value)
    {
        bool used = strcmp(name, "preset") == 0 || strcmp(name, "key") == 0;
        for (int32_t i = 0; i < info->choices_count && !used; i++)
            used = strcmp(info->choices[i].name, name) == 0;
        if (!used)
            json_object_del(facts, name);
    }
}

/* Returns the known facts about a side's encoders without mean and std, which *pixels receives. */
static json_t *known_facts(json_t **pixels, const struct sm_pair_new *new, int side)
{
    json_t *facts = sm_encoder_config_said_json(&new->parts[side][0].config);
    json_t *all = sm_encoder_config_json(&new->parts[side][0].config);
    const json_t *mean = json_object_get(all, "mean"), *std = json_object_get(all, "std");
    *pixels = mean && std ? json_pack("{s:O, s:O}", "mean", mean, "std", std) : NULL;
    if (facts && json_object_get(facts, "mean")) {
        json_object_del(facts, "mean");
        json_object_del(facts, "std");
    }
    keep_used(facts, sm_encoder_info(new->parts[side][0].encoder));
    json_decref(all);
    return facts;
}

static json_t *files_json(const struct sm_pair_new *new, int side)
{
    json_t *list = json_array();
    for (int k = 0; new->plan->files[side][k]; k++)
        json_array_append_new(list, json_string(new->parts[side][k].file));
    return list;
}

/* Adds "encoder", once for both sides or for each, and the normalisation that is known. Sides with
 * different normalisations keep their own in "encoder", which opening the pair then refuses. */
static void add_facts(json_t *doc, const struct sm_pair_new *new)
{
    bool has_g = new->plan->files[1][0] != NULL;
    json_t *pixels[2], *facts[2];
    for (int s = 0; s < 2; s++)
        facts[s] = known_facts(&pixels[s], new, has_g ? s : 0);
    const json_t *shown = pixels[0] ? pixels[0] : pixels[1];
    if (pixels[0] && pixels[1] && !json_equal(pixels[0], pixels[1])) {
        json_object_update(facts[0], pixels[0]);
        json_object_update(facts[1], pixels[1]);
        shown = NULL;
    }
    if (json_equal(facts[0], facts[1]))
        json_object_set(doc, "encoder", facts[0]);
    else
        json_object_set_new(doc, "encoder", json_pack("{s:O, s:O}", "f", facts[0], "g", facts[1]));
    if (shown)
        json_object_update(doc, (json_t *)(uintptr_t)shown);
    for (int s = 0; s < 2; s++) {
        json_decref(facts[s]);
        json_decref(pixels[s]);
    }
}

static json_t *document(const struct sm_pair_new *new)
{
    const struct sm_pair_plan *plan = new->plan;
    const struct sm_encoder_info *info = sm_encoder_info(new->parts[0][0].encoder);
    char description[160];
    snprintf(description, sizeof description, "%s of width %d, input %d px", info->family,
             (int)info->dim, (int)info->input_h_px);
    json_t *doc = json_pack("{s:s, s:o, s:o*}", "description",
                            plan->description ? plan->description : description, "f",
                            files_json(new, 0), "g", plan->files[1][0] ? files_json(new, 1) : NULL);
    if (!doc)
        return NULL;
    add_facts(doc, new);
    json_object_set_new(doc, "recipe",
                        json_pack("{s:s, s:i, s:s, s:s, s:s, s:s, s:i, s:s}", "augment",
                                  new->augment, "views", 10, "compare", "pairs", "representation",
                                  "tokens", "normalize", "vector", "distance", "l2", "seed", 0,
                                  "orientation", "ignore"));
    if (plan->allow_same)
        json_object_set_new(doc, "allow_same", json_true());
    return doc;
}

static const char comments[] =
    "# A pair of encoders\n\n"
    "`pair.json` names the encoders `f` and `g` of sslmem and says what their files do not. Made "
    "by\n"
    "`sslmem pair create`; change it with any editor, and check it with `sslmem pair check`.\n\n"
    "| field | meaning |\n"
    "| --- | --- |\n"
    "| `description` | text for people |\n"
    "| `f` | checkpoints in this folder that were trained with the candidate images, 1 to 8 |\n"
    "| `g` | checkpoints that were trained without them, 1 to 8, of the same architecture; "
    "without "
    "`g` there is no score m, and nothing measures memorization |\n"
    "| `encoder` | what the tensors do not tell, for both sides or as `{\"f\": {...}, \"g\": "
    "{...}}`; "
    "also `preset` and `key` |\n"
    "| `mean`, `std` | input normalisation on [0, 1], red, green, blue; without them 0.5, which is "
    "a "
    "guess |\n"
    "| `recipe.augment` | how views are drawn: the name of a preset, or a list of ops; best that "
    "of "
    "the training |\n"
    "| `recipe.views` | views of each image, 2 to 64; more make the standard error smaller |\n"
    "| `recipe.compare` | `pairs`: all pairs of views; `anchor`: the image itself against each "
    "view "
    "|\n"
    "| `recipe.representation` | the output to compare: `tokens`, `cls`, `mean`, `pooled`, "
    "`block.N`, `stage.N` |\n"
    "| `recipe.normalize` | `vector`, `token` or `none` |\n"
    "| `recipe.distance` | `l2`, `l1`, `cosine` or `angular` |\n"
    "| `recipe.seed` | of the random numbers of the views |\n"
    "| `recipe.draws` | `independent` (also without it), or `stratified` over the views |\n"
    "| `recipe.orientation` | `ignore` the EXIF orientation, as training does, or `apply` it |\n"
    "| `reference` | file of scores of images that neither side saw; `sslmem reference` writes it "
    "|\n"
    "| `allow_same` | `true` loads the pair although both sides hold the same weights; every "
    "answer "
    "says so |\n";

static void write_guesses(FILE *out, const struct sm_pair_new *new)
{
    fputs("\n## Guesses\n\n"
          "Facts that no file told. They are not in `pair.json`, so every use of the pair shows "
          "them\n"
          "as guesses. To settle one, add it to `encoder`.\n\n",
          out);
    for (int s = 0; s < 2 && new->parts[s][0].encoder; s++) {
        const struct sm_encoder_info *info = sm_encoder_info(new->parts[s][0].encoder);
        for (int32_t i = 0; i < info->choices_count; i++)
            if (info->choices[i].source == SM_SOURCE_GUESS)
                fprintf(out, "- %s: `%s` is %s (%s)\n", s == 0 ? "f" : "g", info->choices[i].name,
                        info->choices[i].value, info->choices[i].why);
    }
    if (new->augment_why)
        fprintf(out, "- `recipe.augment` is %s (%s)\n", new->augment, new->augment_why);
}

static enum sm_code write_text(const char *folder, const char *name, const char *text,
                               struct sm_err *err)
{
    char path[4096];
    if (!text)
        return sm_err_set(err, SM_NOMEM, "out of memory for %s", name);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return sm_file_write(path, text, strlen(text), err);
}

enum sm_code sm_pair_write(const struct sm_pair_new *new, const char *folder, struct sm_err *err)
{
    char *readme = NULL;
    size_t readme_bytes = 0;
    json_t *doc = document(new);
    char *text = doc ? sm_json_text(doc, JSON_INDENT(2)) : NULL;
    FILE *out = open_memstream(&readme, &readme_bytes);
    enum sm_code code = write_text(folder, "pair.json", text, err);
    if (out) {
        fputs(comments, out);
        write_guesses(out, new);
        fclose(out);
    }
    if (code == SM_OK)
        code = write_text(folder, "README.md", readme, err);
    free(readme);
    free(text);
    json_decref(doc);
    return code;
}
