/* Weights that a file has in parts: what PyTorch's reparametrizations and PEFT's adapters leave in
 * a state_dict in place of the weight that the forward uses. The training code can join the parts
 * exactly; this reader would have to repeat each method. A row is the end of a tensor's name behind
 * its layer's, and the function that joins the parts. */
#include <stdio.h>
#include <string.h>

#include "core/names/names_impl.h"

#define REMOVE "torch.nn.utils.parametrize.remove_parametrizations(layer, \"weight\")"

/* In this order: an earlier row tells more. */
static const struct {
    const char *tail, *what, *join;
} rows[] = {
    {"parametrizations.weight.original0", "weight norm", REMOVE},
    {"parametrizations.weight.0._u", "spectral norm", REMOVE},
    {"parametrizations.weight.original", "a parametrization", REMOVE},
    {"weight_g", "weight norm", "torch.nn.utils.remove_weight_norm(layer)"},
    {"weight_u", "spectral norm", "torch.nn.utils.remove_spectral_norm(layer)"},
    {"weight_mask", "pruning", "torch.nn.utils.prune.remove(layer, \"weight\")"},
};
#define ANCHORS (sizeof sm_dialects->anchors / sizeof *sm_dialects->anchors)
#define ROWS    (sizeof rows / sizeof *rows)

/* Components of names that PEFT, LoRA and LyCORIS give to the tensors of adapters. */
static const char *const adapters[] = {
    "lora_A",  "lora_B",    "lora_embedding_A", "lora_magnitude_vector",
    "lora_up", "lora_down", "hada_w1_a",        "lokr_w1",
    "oft_r",   "ia3_l",     "vera_lambda_b"};

static bool is_adapter(const char *name)
{
    for (const char *at = name; *at; at += strcspn(at, "./"), at += *at != 0)
        for (size_t i = 0; i < sizeof adapters / sizeof *adapters; i++)
            if (sm_name_leads(at, adapters[i]))
                return true;
    return false;
}

/* Returns true if the name ends as one of the alternatives of an anchor, "a,b". */
static bool ends_as_one_of(const char *name, const char *anchor)
{
    while (*anchor) {
        char tail[SM_NAME_BYTES];
        size_t length = strcspn(anchor, ",");
        snprintf(tail, sizeof tail, "%.*s", (int)length, anchor);
        if (sm_name_ends(name, tail))
            return true;
        anchor += length + (anchor[length] == ',');
    }
    return false;
}

/* Returns true if the weight of the layer whose name is the first bytes of `key`, with its last
 * separator, is one by which a dialect is recognised. */
static bool is_anchor(const char *key, size_t layer)
{
    char weight[SM_NAME_BYTES];
    int length = snprintf(weight, sizeof weight, "%.*sweight", (int)layer, key);
    if (length < 0 || (size_t)length >= sizeof weight)
        return false;
    for (const struct sm_dialect *d = sm_dialects; d->name; d++)
        for (size_t i = 0; i < ANCHORS && d->anchors[i]; i++)
            if (ends_as_one_of(weight, d->anchors[i]))
                return true;
    return false;
}

static enum sm_code fail_part(const char *name, size_t row, struct sm_err *err)
{
    return sm_err_set(err, SM_UNSUPPORTED,
                      "tensor %.60s is one part of a weight under %s: join them in the training "
                      "code with %s, and save again",
                      name, rows[row].what, rows[row].join);
}

enum sm_code sm_names_refuse_adapters(const struct sm_names *names, struct sm_err *err)
{
    size_t prefix = strlen(names->prefix);
    for (size_t i = 0; i < names->entries_count; i++)
        if (!strncmp(names->entries[i].key, names->prefix, prefix) &&
            is_adapter(names->entries[i].key + prefix))
            return sm_err_set(err, SM_UNSUPPORTED,
                              "tensor %.80s is of an adapter (LoRA), which is not applied here: "
                              "merge it, with PEFT by merge_and_unload(), and save the whole model",
                              names->entries[i].tensor->name);
    return SM_OK;
}

enum sm_code sm_names_refuse_parts(const struct sm_names *names, const char *weight,
                                   struct sm_err *err)
{
    char name[SM_NAME_BYTES];
    size_t layer = strlen(weight) - strlen("weight");
    if (!sm_name_ends(weight, "weight"))
        return SM_OK;
    for (size_t i = 0; i < ROWS; i++) {
        int length = snprintf(name, sizeof name, "%.*s%s", (int)layer, weight, rows[i].tail);
        if (length > 0 && (size_t)length < sizeof name && sm_names_entry(names, name))
            return fail_part(name, i, err);
    }
    return SM_OK;
}

enum sm_code sm_names_refuse_anchor_parts(const struct sm_names *names, struct sm_err *err)
{
    for (size_t row = 0; row < ROWS; row++) {
        for (size_t i = 0; i < names->entries_count; i++) {
            const char *key = names->entries[i].key;
            if (sm_name_ends(key, rows[row].tail) &&
                is_anchor(key, strlen(key) - strlen(rows[row].tail)))
                return fail_part(names->entries[i].tensor->name, row, err);
        }
    }
    return SM_OK;
}
