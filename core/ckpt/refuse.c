/* Content decides first: core/base/kind.c has the table. The names of two kinds of parts decide
 * before, because the parts are whole files of a format that is read, and a part of a network would
 * at best open as a smaller network. A folder is known by the names in it. */
#include "core/ckpt/refuse.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/base/kind.h"

#define SHARD_DIGITS 5

static const char *last_component(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool ends_with(const char *name, const char *tail)
{
    size_t length = strlen(name), n = strlen(tail);
    return length >= n && strcmp(name + length - n, tail) == 0;
}

/* Returns the number of digits at `text` if they are SHARD_DIGITS, as a number; else -1. */
static long digits(const char *text)
{
    for (int i = 0; i < SHARD_DIGITS; i++)
        if (!isdigit((unsigned char)text[i]))
            return -1;
    return strtol(text, NULL, 10);
}

/* Finds "-00002-of-00003." in a file's name, as transformers writes it: numbers begin with 1. */
static const char *find_shard(const char *name, long *number, long *count)
{
    for (const char *at = strchr(name, '-'); at; at = strchr(at + 1, '-')) {
        *number = digits(at + 1);
        if (*number < 1 || strncmp(at + 1 + SHARD_DIGITS, "-of-", 4) != 0)
            continue;
        *count = digits(at + 5 + SHARD_DIGITS);
        if (*count > 1 && *number <= *count && at[5 + 2 * SHARD_DIGITS] == '.')
            return at;
    }
    return NULL;
}

enum sm_code sm_refuse_part(const char *path, struct sm_err *err)
{
    const char *name = last_component(path);
    long number, count;
    struct sm_kind kind;
    const char *at = find_shard(name, &number, &count);
    if (at)
        return sm_err_set(err, SM_UNSUPPORTED,
                          "shard %ld of %ld, which holds a part of the tensors: give the index "
                          "beside it, %.*s%.24s.index.json",
                          number, count, (int)(at - name < 80 ? at - name : 80), name,
                          at + 5 + 2 * SHARD_DIGITS);
    if (ends_with(name, ".distcp") && sm_kind_find(&kind, NULL, 0, name, SM_WANTED_CHECKPOINT))
        return sm_err_set(err, SM_UNSUPPORTED, "%s: %s", kind.name, kind.advice);
    return SM_OK;
}

enum sm_code sm_refuse_bytes(const struct sm_ckpt *ckpt, struct sm_err *err)
{
    struct sm_kind kind;
    if (ckpt->bytes_count == 0)
        return sm_err_set(err, SM_UNSUPPORTED, "the file is empty: download or copy it again");
    if (sm_kind_find(&kind, ckpt->bytes, ckpt->bytes_count, ckpt->path, SM_WANTED_CHECKPOINT))
        return sm_err_set(err, SM_UNSUPPORTED, "%s: %s", kind.name, kind.advice);
    return sm_err_set(
        err, SM_UNSUPPORTED,
        "%zu bytes that are no checkpoint: not safetensors, PyTorch, npz or an index of shards",
        ckpt->bytes_count);
}

/* --- folders --- */

#define DCP                                                                                        \
    "a distributed checkpoint (DCP): convert it with torch.distributed.checkpoint.format_utils."   \
    "dcp_to_torch_save"
#define TF "weights of TensorFlow: load them there and save them with safetensors or numpy.savez"
#define JAX                                                                                        \
    "a checkpoint of Orbax (JAX): load it there and save the weights with safetensors or "         \
    "numpy.savez"

/* What an entry's name says about its folder; the first row that any entry fits decides. `what`
 * with "%s": the entry is the file to give. */
static const struct {
    const char *head, *tail, *what;
} contents[] = {
    {"pair.json", "", "a pair: give it as --pair, or one of its checkpoints"},
    {".metadata", "", DCP},
    {"", ".distcp", DCP},
    {"adapter_config.json", "", "a PEFT adapter: merge_and_unload() it into its model, save that"},
    {"saved_model.pb", "", TF},
    {"", ".ckpt.index", TF},
    {"manifest.ocdbt", "", JAX},
    {"_CHECKPOINT_METADATA", "", JAX},
    {"data.pkl", "", "an unpacked PyTorch file: give the file as it was before"},
    {"", ".safetensors.index.json", "give %s in it"},
    {"", ".bin.index.json", "give %s in it"},
    {"model.safetensors", "", "give %s in it"},
    {"", ".safetensors", "give %s in it"},
    {"", ".pth", "give %s in it"},
    {"", ".pt", "give %s in it"},
    {"", ".pth.tar", "give %s in it"},
    {"", ".ckpt", "give %s in it"},
    {"", ".bin", "give %s in it"},
    {"", ".npz", "give %s in it"},
};
#define CONTENTS (sizeof contents / sizeof *contents)

/* Returns true if the name is `head`, or ends with `tail` and is not only that. */
static bool fits(const char *name, size_t row)
{
    if (*contents[row].head)
        return strcmp(name, contents[row].head) == 0;
    return ends_with(name, contents[row].tail) && strlen(name) > strlen(contents[row].tail);
}

enum sm_code sm_refuse_folder(const char *path, enum sm_code code, struct sm_err *err)
{
    struct stat status;
    char file[80] = "", what[160];
    size_t best = CONTENTS, count = 0;
    DIR *folder = stat(path, &status) == 0 && S_ISDIR(status.st_mode) ? opendir(path) : NULL;
    if (!folder)
        return code;
    for (struct dirent *entry; count <= SM_FOLDER_ENTRIES_MAX && (entry = readdir(folder)); count++)
        for (size_t i = 0; i < CONTENTS && i <= best; i++)
            if (fits(entry->d_name, i) && (i < best || strcmp(entry->d_name, file) < 0)) {
                best = i;
                snprintf(file, sizeof file, "%.79s", entry->d_name);
                break;
            }
    closedir(folder);
    if (count > SM_FOLDER_ENTRIES_MAX)
        return sm_err_set(err, SM_IO, "%.100s: a folder of more than %d entries; give a file", path,
                          SM_FOLDER_ENTRIES_MAX);
    if (best == CONTENTS)
        return sm_err_set(err, SM_IO, "%.100s: a folder that holds no checkpoint; give a file",
                          path);
    const char *hole = strstr(contents[best].what, "%s");
    int before = (int)(hole ? hole - contents[best].what : (long)strlen(contents[best].what));
    snprintf(what, sizeof what, "%.*s%s%s", before, contents[best].what, hole ? file : "",
             hole ? hole + 2 : "");
    return sm_err_set(err, SM_IO, "%.90s: a folder, %.148s", path, what);
}
