/* An index of shards: a JSON file in a folder of checkpoints, each of which has part of the
 * tensors.
 *
 *     model.safetensors.index.json, pytorch_model.bin.index.json:
 *     {"metadata": {...}, "weight_map": {"fc.weight": "model-00001-of-00002.safetensors", ...}}
 *
 * Hugging Face's transformers writes an index if a model is larger than its limit for one file.
 *
 * File names are untrusted: they may only name files in the index's own folder. A shard is opened
 * as any checkpoint, but must not be an index itself. The map and the shards must agree: every
 * tensor of the map is in its shard, and a shard has no other tensors. Both are walked in order of
 * file and name, so that one pass compares them.
 *
 * Shards are listed in order of their file names, the tensors of a shard in the order of its file.
 * The digest is the SHA-256 of this text, which does not contain the folder's path:
 *
 *     <digest of the index>\n
 *     <digest of the first shard> <its file name>\n
 *     ...                                             in order of file names */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/json.h"
#include "core/ckpt/format.h"

#define SHARDS_MAX      256
#define FILE_NAME_MAX   255
#define INDEX_DEPTH_MAX 8 /* the map needs 2 levels; "metadata" may have more */
#define PATH_BYTES      4096

struct state {
    struct sm_ckpt *shards[SHARDS_MAX]; /* in order of file names, owned */
    size_t count;
};

/* An entry of the map; its texts are borrowed from the index's JSON. */
struct mapped {
    const char *tensor, *file;
};

struct opening {
    struct sm_ckpt *ckpt;
    struct state *state;
    struct mapped *map; /* [map_count], sorted by file, then by tensor */
    size_t map_count;
    size_t folder_count; /* bytes of ckpt->path up to and including its last slash */
};

/* Recognises a brace in text. A safetensors file may begin with the byte of a brace, too, but its
 * first 8 bytes are a header size and end in zeros. */
static bool sniff_shards(const uint8_t *bytes, size_t bytes_count)
{
    const bool marked = bytes_count >= 8 && memcmp(bytes, SM_JSON_MARK "{", 4) == 0;
    return bytes_count >= 8 && (marked || bytes[0] == '{') && !memchr(bytes, '\0', 8);
}

static int compare_mapped(const void *a, const void *b)
{
    const struct mapped *left = a, *right = b;
    int order = strcmp(left->file, right->file);
    return order != 0 ? order : strcmp(left->tensor, right->tensor);
}

static enum sm_code check_file_name(const char *tensor, const char *file, struct sm_err *err)
{
    const size_t count = strlen(file);
    if (count == 0 || file[0] == '.' || strpbrk(file, "/\\"))
        return sm_err_set(err, SM_CORRUPT,
                          "tensor %.72s: shard %.72s is no file of the index's folder", tensor,
                          file);
    if (count > FILE_NAME_MAX)
        return sm_err_set(err, SM_LIMIT, "tensor %.72s: shard's name has %zu bytes, limit is %d",
                          tensor, count, FILE_NAME_MAX);
    return SM_OK;
}

/* Returns the number of entries from `first` on that name the same file. */
static size_t count_of_file(const struct opening *opening, size_t first)
{
    size_t last = first + 1;
    while (last < opening->map_count &&
           strcmp(opening->map[last].file, opening->map[first].file) == 0)
        last++;
    return last - first;
}

static enum sm_code read_map(struct opening *opening, const json_t *index, struct sm_err *err)
{
    const json_t *map = json_object_get(index, "weight_map");
    enum sm_code code = SM_OK;
    const char *tensor;
    size_t shards = 0;
    json_t *file;
    if (!json_is_object(map))
        return sm_err_set(
            err, SM_UNSUPPORTED,
            "JSON without a weight_map: neither weights nor an index of shards; give the "
            "checkpoint itself");
    if (json_object_size(map) > SM_CKPT_TENSORS_MAX)
        return sm_err_set(err, SM_LIMIT, "weight_map has %zu tensors, limit is %d",
                          json_object_size(map), SM_CKPT_TENSORS_MAX);
    opening->map = calloc(json_object_size(map) + 1, sizeof *opening->map);
    if (!opening->map)
        return sm_err_set(err, SM_NOMEM, "no memory for %zu tensors", json_object_size(map));
    json_object_foreach((json_t *)(uintptr_t)map, tensor, file)
    {
        if (!json_is_string(file))
            return sm_err_set(err, SM_CORRUPT, "tensor %.96s: its shard is no text", tensor);
        code = check_file_name(tensor, json_string_value(file), err);
        if (code != SM_OK)
            return code;
        opening->map[opening->map_count++] =
            (struct mapped){.tensor = tensor, .file = json_string_value(file)};
    }
    qsort(opening->map, opening->map_count, sizeof *opening->map, compare_mapped);
    for (size_t i = 0; i < opening->map_count; i += count_of_file(opening, i))
        shards++;
    if (shards > SHARDS_MAX)
        return sm_err_set(err, SM_LIMIT, "weight_map has %zu shards, limit is %d", shards,
                          SHARDS_MAX);
    return SM_OK;
}

/* Checks that a shard has exactly the `count` tensors that the map assigns to it. */
static enum sm_code compare_names(const struct sm_ckpt *shard, const struct mapped *map,
                                  size_t count, struct sm_err *err)
{
    size_t i = 0, j = 0;
    while (i < count || j < shard->tensors_count) {
        int order = i == count                  ? 1
                    : j == shard->tensors_count ? -1
                                                : strcmp(map[i].tensor, shard->by_name[j]->name);
        if (order < 0)
            return sm_err_set(err, SM_CORRUPT, "tensor %.96s is not in its shard %.96s",
                              map[i].tensor, map[i].file);
        if (order > 0)
            return sm_err_set(
                err, SM_CORRUPT,
                "tensor %.96s of shard %.96s is not in the index, or in another shard",
                shard->by_name[j]->name, map[0].file);
        i++;
        j++;
    }
    return SM_OK;
}

static enum sm_code add_shard(struct opening *opening, const struct mapped *map, size_t count,
                              struct sm_err *err)
{
    struct sm_ckpt *ckpt = opening->ckpt, *shard = NULL;
    struct sm_place place = {.part = opening->state->count};
    char path[PATH_BYTES];
    struct sm_err inner;
    enum sm_code code;
    if (opening->folder_count + strlen(map->file) >= sizeof path)
        return sm_err_set(err, SM_LIMIT, "path of shard %.96s has %zu bytes, limit is %zu",
                          map->file, opening->folder_count + strlen(map->file), sizeof path - 1);
    snprintf(path, sizeof path, "%.*s%s", (int)opening->folder_count, ckpt->path, map->file);
    code = sm_ckpt_open_alone(&shard, path, &inner);
    if (code != SM_OK)
        return sm_err_set(err, code, "shard %.64s: %.160s", map->file, inner.text);
    opening->state->shards[opening->state->count++] = shard;
    code = compare_names(shard, map, count, err);
    for (size_t i = 0; code == SM_OK && i < shard->tensors_count; i++) {
        place.at = i;
        code = sm_ckpt_add(ckpt, &shard->tensors[i], &place, err);
    }
    return code;
}

static enum sm_code set_digest(const struct opening *opening, struct sm_err *err)
{
    struct sm_ckpt *ckpt = opening->ckpt;
    const size_t line_bytes = SM_SHA256_HEX + FILE_NAME_MAX + 2;
    char *text = malloc((opening->state->count + 1) * line_bytes);
    size_t at = 0, first = 0;
    if (!text)
        return sm_err_set(err, SM_NOMEM, "no memory for a digest of %zu shards",
                          opening->state->count);
    sm_sha256_hex(ckpt->digest, ckpt->bytes, ckpt->bytes_count);
    at = (size_t)snprintf(text, line_bytes, "%s\n", ckpt->digest);
    for (size_t i = 0; i < opening->state->count; i++) {
        at += (size_t)snprintf(text + at, line_bytes, "%s %s\n", opening->state->shards[i]->digest,
                               opening->map[first].file);
        first += count_of_file(opening, first);
    }
    sm_sha256_hex(ckpt->digest, text, at);
    free(text);
    return SM_OK;
}

static enum sm_code open_shards(struct sm_ckpt *ckpt, struct sm_err *err)
{
    struct opening opening = {.ckpt = ckpt};
    const char *slash;
    struct sm_err inner;
    json_t *index = NULL;
    enum sm_code code = sm_json_parse(&index, ckpt->bytes, ckpt->bytes_count, SM_CKPT_HEADER_MAX,
                                      INDEX_DEPTH_MAX, &inner);
    if (code != SM_OK)
        return sm_err_set(err, code, "index of shards: %.200s", inner.text);
    code = read_map(&opening, index, err);
    if (code == SM_OK && !ckpt->path)
        code = sm_err_set(err, SM_UNSUPPORTED,
                          "an index of shards has its tensors in other files: open it by its path");
    ckpt->state = opening.state = calloc(1, sizeof *opening.state);
    if (code == SM_OK && !opening.state)
        code = sm_err_set(err, SM_NOMEM, "no memory for an index of shards");
    if (code != SM_OK)
        goto out;
    slash = strrchr(ckpt->path, '/');
    opening.folder_count = !slash ? 0 : (size_t)(slash - ckpt->path) + 1;
    for (size_t i = 0; code == SM_OK && i < opening.map_count;) {
        size_t count = count_of_file(&opening, i);
        code = add_shard(&opening, &opening.map[i], count, err);
        i += count;
    }
    if (code == SM_OK)
        code = set_digest(&opening, err);
out:
    free(opening.map);
    json_decref(index);
    return code;
}

static enum sm_code read_shards(struct sm_ckpt *ckpt, size_t index, int64_t row, float *out,
                                struct sm_err *err)
{
    const struct state *state = ckpt->state;
    const struct sm_place *place = &ckpt->places[index];
    struct sm_ckpt *shard = state->shards[place->part];
    const struct sm_tensor *tensor = &shard->tensors[place->at];
    return row == SM_ALL_ROWS ? sm_ckpt_read(shard, tensor, out, err)
                              : sm_ckpt_read_row(shard, tensor, row, out, err);
}

static void close_shards(void *opaque)
{
    struct state *state = opaque;
    for (size_t i = 0; state && i < state->count; i++)
        sm_ckpt_close(state->shards[i]);
    free(state);
}

const struct sm_ckpt_format sm_ckpt_format_shards = {
    .name = "shards",
    .sniff = sniff_shards,
    .open = open_shards,
    .read = read_shards,
    .close = close_shards,
};
