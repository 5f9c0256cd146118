/* Dialects are rows of a table, and what differs between them is data: anchors to find them by,
 * renames, and which names are the encoder's own. Wrappers ("model.", "state_dict.",
 * "module.backbone.", a pickled module's attributes) need no table: they are the prefix before an
 * anchor.
 *
 * The index is sorted once, so a lookup is a binary search however many tensors a file claims to
 * have.
 *
 * Why unused tensors are errors: a checkpoint with one more LayerScale or register token loads
 * without complaint into code that ignores it, and every number after that is wrong. Heads,
 * projectors, decoders and optimizer states stand outside of the encoder's own names and are left
 * alone. */
#include "core/nn/names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FULL_NAME 256

/* The published SimCLR script (sprintml/MemorizationSSL, models/SimCLR/model.py) drops maxpool and
 * fc from the children and wraps the rest in a Sequential. */
static const struct sm_rename sequential_renames[] = {
    {"conv1", "0"},  {"bn1", "1"},    {"layer1", "3"}, {"layer2", "4"},
    {"layer3", "5"}, {"layer4", "6"}, {NULL, NULL}};

/* Sequential(*list(resnet.children())[:-1]), with the pooling at 3: its VICReg script, lightly, and
 * many others. */
static const struct sm_rename sequential_pool_renames[] = {
    {"conv1", "0"},  {"bn1", "1"},    {"layer1", "4"}, {"layer2", "5"},
    {"layer3", "6"}, {"layer4", "7"}, {NULL, NULL}};

/* models/MAE/model.py of the same repository. */
static const struct sm_rename memssl_mae_renames[] = {{"patch_embed.proj", "patchify"},
                                                      {"pos_embed", "pos_embedding"},
                                                      {"blocks", "transformer"},
                                                      {"norm", "layer_norm"},
                                                      {NULL, NULL}};

static const struct sm_rename no_renames[] = {{NULL, NULL}};

/* conv2 to attnpool: the three-convolution stem and attention pooling of CLIP's ResNet. */
static const char *const torchvision_own[] = {"conv1",  "bn1",    "layer1", "layer2",   "layer3",
                                              "layer4", "layer0", "layer5", "conv2",    "bn2",
                                              "conv3",  "bn3",    "stem",   "attnpool", NULL};
static const char *const sequential_own[] = {"0", "1", "2", "3", "4", "5", "6", NULL};
static const char *const sequential_pool_own[] = {"0", "1", "2", "3", "4", "5", "6", "7", NULL};
static const char *const timm_own[] = {
    "cls_token",      "pos_embed",  "patch_embed", "blocks",
    "norm",           "norm_pre",   "reg_token",   "register_tokens",
    "storage_tokens", "dist_token", "rope",        "rope_embed",
    "rel_pos_bias",   NULL};
static const char *const memssl_mae_own[] = {"cls_token",   "pos_embedding", "patchify",
                                             "transformer", "layer_norm",    NULL};

static const struct sm_dialect dialects[] = {
    {.name = "torchvision",
     .family = SM_FAMILY_RESNET,
     .anchors = {"layer1.0.conv1.weight", "conv1.weight"},
     .renames = no_renames,
     .own = torchvision_own,
     .stem_pool = -1},
    {.name = "sequential",
     .family = SM_FAMILY_RESNET,
     .anchors = {"3.0.conv1.weight", "0.weight"},
     .renames = sequential_renames,
     .own = sequential_own,
     .stem_pool = 0},
    {.name = "sequential",
     .family = SM_FAMILY_RESNET,
     .anchors = {"7.0.conv1.weight", "4.0.conv1.weight", "0.weight"},
     .renames = sequential_pool_renames,
     .own = sequential_pool_own,
     .stem_pool = 1},
    {.name = "timm",
     .family = SM_FAMILY_VIT,
     .anchors = {"blocks.0.norm1.weight", "patch_embed.proj.weight"},
     .renames = no_renames,
     .own = timm_own,
     .cls_position = true,
     .norm_eps = 1e-6},
    {.name = "memssl-mae",
     .family = SM_FAMILY_VIT,
     .anchors = {"transformer.0.norm1.weight", "patchify.weight"},
     .renames = memssl_mae_renames,
     .own = memssl_mae_own,
     .cls_position = false,
     .norm_eps = 1e-5},
};

#define DIALECTS (sizeof dialects / sizeof dialects[0])

static int compare_entries(const void *a, const void *b)
{
    const struct sm_name_entry *x = a, *y = b;
    return strcmp(x->tensor->name, y->tensor->name);
}

static struct sm_name_entry *find_entry(const struct sm_names *names, const char *file_name)
{
    const struct sm_tensor key = {.name = file_name};
    const struct sm_name_entry entry = {.tensor = &key};
    return bsearch(&entry, names->entries, names->entries_count, sizeof entry, compare_entries);
}

/* Length of `name` without the components of `tail`, or -1 when it does not end in them. */
static ptrdiff_t prefix_length(const char *name, const char *tail)
{
    size_t length = strlen(name), tail_length = strlen(tail);
    if (length < tail_length || strcmp(name + length - tail_length, tail) != 0)
        return -1;
    size_t prefix = length - tail_length;
    return prefix == 0 || name[prefix - 1] == '.' ? (ptrdiff_t)prefix : -1;
}

static bool stands_at(const struct sm_names *names, const struct sm_dialect *dialect,
                      const char *prefix)
{
    char name[FULL_NAME];
    for (size_t i = 0; i < 3 && dialect->anchors[i]; i++) {
        snprintf(name, sizeof name, "%s%s", prefix, dialect->anchors[i]);
        if (!find_entry(names, name))
            return false;
    }
    return true;
}

/* Sets dialect and prefix when there is exactly one encoder, and under the wanted prefix. `list`
 * names those found. */
static size_t search(struct sm_names *names, const char *wanted, char *list, size_t list_bytes)
{
    size_t found = 0, at = 0;
    list[0] = 0;
    for (size_t i = 0; i < names->entries_count; i++) {
        const char *name = names->entries[i].tensor->name;
        for (size_t d = 0; d < DIALECTS; d++) {
            char prefix[SM_PREFIX_MAX + 1];
            ptrdiff_t length = prefix_length(name, dialects[d].anchors[0]);
            if (length < 0 || length > SM_PREFIX_MAX)
                continue;
            memcpy(prefix, name, (size_t)length);
            prefix[length] = 0;
            if (!stands_at(names, &dialects[d], prefix))
                continue;
            if (at < list_bytes)
                at += (size_t)snprintf(list + at, list_bytes - at, "%s\"%s\"", at ? ", " : "",
                                       prefix);
            if (wanted && strcmp(prefix, wanted) != 0)
                continue;
            found++;
            names->dialect = &dialects[d];
            memcpy(names->prefix, prefix, (size_t)length + 1);
        }
    }
    return found;
}

static enum sm_code choose(struct sm_names *names, const char *wanted, struct sm_err *err)
{
    char list[150];
    size_t found = search(names, wanted, list, sizeof list);
    if (found == 1)
        return SM_OK;
    if (found > 1)
        return sm_err_set(err, SM_INVALID, "%zu encoders in one file, \"prefix\" must choose: %s",
                          found, list);
    if (wanted && list[0])
        return sm_err_set(err, SM_NOT_FOUND, "no encoder under prefix \"%.40s\"; there is: %s",
                          wanted, list);
    return sm_err_set(err, SM_UNSUPPORTED,
                      "no ResNet or ViT of a known dialect among %zu tensors, the first is %.60s",
                      names->entries_count,
                      names->entries_count ? names->entries[0].tensor->name : "missing");
}

enum sm_code sm_names_init(struct sm_names *out, struct sm_ckpt *ckpt, const char *prefix,
                           struct sm_err *err)
{
    size_t count = sm_ckpt_count(ckpt);
    *out = (struct sm_names){.ckpt = ckpt, .entries_count = count};
    out->entries = calloc(count + 1, sizeof *out->entries);
    if (!out->entries)
        return sm_err_set(err, SM_NOMEM, "no memory for the names of %zu tensors", count);
    for (size_t i = 0; i < count; i++)
        out->entries[i].tensor = sm_ckpt_at(ckpt, i);
    qsort(out->entries, count, sizeof *out->entries, compare_entries);
    enum sm_code code = choose(out, prefix, err);
    if (code != SM_OK)
        sm_names_release(out);
    return code;
}

void sm_names_release(struct sm_names *names)
{
    free(names->entries);
    *names = (struct sm_names){0};
}

/* Length of `head` when it is `name` or its leading components, else 0. */
static size_t leads(const char *name, const char *head)
{
    size_t length = strlen(head);
    return !strncmp(name, head, length) && (name[length] == '.' || !name[length]) ? length : 0;
}

static void file_name(char out[FULL_NAME], const struct sm_names *names, const char *canonical)
{
    const struct sm_rename *r = names->dialect->renames;
    while (r->canonical && !leads(canonical, r->canonical))
        r++;
    snprintf(out, FULL_NAME, "%s%s%s", names->prefix, r->canonical ? r->file : "",
             canonical + (r->canonical ? strlen(r->canonical) : 0));
}

const struct sm_tensor *sm_names_find(const struct sm_names *names, const char *canonical)
{
    char name[FULL_NAME];
    file_name(name, names, canonical);
    const struct sm_name_entry *entry = find_entry(names, name);
    return entry ? entry->tensor : NULL;
}

/* "[64,*,3,3]" */
static void shape_text(char out[96], int rank, const int64_t *shape)
{
    size_t at = (size_t)snprintf(out, 96, "[");
    for (int i = 0; i < rank && at < 80; i++) {
        const char *comma = i ? "," : "";
        at += (size_t)(shape[i] < 0
                           ? snprintf(out + at, 96 - at, "%s*", comma)
                           : snprintf(out + at, 96 - at, "%s%lld", comma, (long long)shape[i]));
    }
    snprintf(out + (at < 94 ? at : 94), 2, "]");
}

static bool shape_fits(const struct sm_tensor *tensor, int rank, const int64_t *shape)
{
    bool fits = tensor->rank == rank && tensor->count > 0;
    for (int i = 0; fits && i < rank; i++)
        fits = tensor->shape[i] <= INT32_MAX && (shape[i] < 0 || tensor->shape[i] == shape[i]);
    return fits;
}

enum sm_code sm_names_expect(const struct sm_tensor **out, const struct sm_names *names,
                             const char *canonical, int rank, const int64_t *shape,
                             struct sm_err *err)
{
    char name[FULL_NAME], expected[96], actual[96];
    file_name(name, names, canonical);
    shape_text(expected, rank, shape);
    const struct sm_name_entry *entry = find_entry(names, name);
    if (!entry)
        return sm_err_set(err, SM_NOT_FOUND, "tensor %s is missing, expected with shape %s", name,
                          expected);
    const struct sm_tensor *tensor = entry->tensor;
    if (!shape_fits(tensor, rank, shape)) {
        shape_text(actual, tensor->rank, tensor->shape);
        return sm_err_set(err, SM_INVALID, "tensor %s has shape %s, expected %s", name, actual,
                          expected);
    }
    if (tensor->dtype > SM_BF16)
        return sm_err_set(err, SM_UNSUPPORTED, "tensor %s is of type %s, expected floats", name,
                          sm_dtype_name(tensor->dtype));
    *out = tensor;
    return SM_OK;
}

enum sm_code sm_names_read(struct sm_names *names, float **out, const char *canonical, int rank,
                           const int64_t *shape, struct sm_err *err)
{
    const struct sm_tensor *tensor;
    *out = NULL;
    enum sm_code code = sm_names_expect(&tensor, names, canonical, rank, shape, err);
    if (code != SM_OK)
        return code;
    float *data = malloc((size_t)tensor->count * sizeof *data);
    if (!data)
        return sm_err_set(err, SM_NOMEM, "no memory for the %lld numbers of tensor %s",
                          (long long)tensor->count, tensor->name);
    code = sm_ckpt_read(names->ckpt, tensor, data, err);
    if (code != SM_OK) {
        free(data);
        return code;
    }
    find_entry(names, tensor->name)->used = true;
    *out = data;
    return SM_OK;
}

int32_t sm_names_count(const struct sm_names *names, const char *canonical)
{
    char head[FULL_NAME];
    int32_t count = 0;
    file_name(head, names, canonical);
    for (size_t i = 0; i < names->entries_count; i++) {
        const char *name = names->entries[i].tensor->name;
        size_t length = leads(name, head);
        if (!length || name[length] != '.')
            continue;
        const char *digits = name + length + 1;
        size_t digits_count = strspn(digits, "0123456789");
        if (digits_count < 1 || digits_count > 6 || digits[digits_count] != '.')
            continue;
        int32_t index = (int32_t)strtol(digits, NULL, 10);
        count = index >= count ? index + 1 : count;
    }
    return count;
}

/* Counters that training and profilers leave beside the weights. */
static bool is_bookkeeping(const char *name)
{
    static const char *const last[] = {"num_batches_tracked", "total_ops", "total_params"};
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; i < sizeof last / sizeof last[0]; i++)
        if (!strcmp(dot ? dot + 1 : name, last[i]))
            return true;
    return false;
}

enum sm_code sm_names_check_unused(const struct sm_names *names, struct sm_err *err)
{
    size_t prefix = strlen(names->prefix);
    for (size_t i = 0; i < names->entries_count; i++) {
        const char *name = names->entries[i].tensor->name;
        if (names->entries[i].used || strncmp(name, names->prefix, prefix) != 0 ||
            is_bookkeeping(name))
            continue;
        for (const char *const *own = names->dialect->own; *own; own++)
            if (leads(name + prefix, *own))
                return sm_err_set(err, SM_UNSUPPORTED,
                                  "tensor %.100s belongs to the encoder, but no %s encoder that we "
                                  "know uses it: its outputs would be wrong",
                                  name, names->dialect->name);
    }
    return SM_OK;
}
