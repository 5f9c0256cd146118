/* The format of torch.save before PyTorch 1.6: five pickles one after the other, then the storages.
 *
 *     magic number | protocol 1001 | system | object | keys of storages | count, data | …
 *
 * The object is the same pickle as in the zip files. A persistent id names a storage, or a class of
 * a whole module with its source, ('module', class, file, source), which is ignored. A storage may
 * be shared, and an id may name a part of another storage. After the list of keys, each key's
 * storage follows in the order of the list: its number of elements as an int64, then its elements.
 * See _legacy_save in torch/serialization.py of PyTorch 1.13.
 *
 * All storages are located before the tensors are read, in three steps. The keys are sorted; the
 * file's order is not trusted. Each persistent id gives its storage, found by bisection, a type and
 * a number of elements. One walk over the file, in the order of the list, checks these numbers and
 * locates the elements. Then each tensor costs one look-up. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/ckpt/flatten.h"
#include "core/ckpt/format.h"
#include "core/ckpt/pickle.h"
#include "core/ckpt/rebuild.h"
#include "core/ckpt/refuse.h"

#define PROTOCOL 1001

struct stored {
    const char *key; /* [key_count], without NUL, borrowed from the file */
    uint32_t key_count;
    uint32_t order; /* position in the file's list of keys */
    bool named;     /* a persistent id names it and has set the next three fields */
    enum sm_dtype dtype;
    size_t element_bytes;
    int64_t count;
    uint64_t at; /* first byte of its elements in the file */
};

struct opening {
    struct sm_ckpt *ckpt;
    struct sm_pickle object, keys;
    struct stored *stored; /* [stored_count], sorted by key */
    uint32_t stored_count;
};

/* The first pickle is PyTorch's magic number, as an opcode LONG1 with ten bytes after PROTO. */
static bool sniff_legacy(const uint8_t *bytes, size_t bytes_count)
{
    static const uint8_t magic[] = {0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46,
                                    0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19};
    size_t head = bytes_count < 32 ? bytes_count : 32;
    return head > 0 && bytes[0] == 0x80 && memmem(bytes, head, magic, sizeof magic);
}

/* Parses the pickle at byte *at of the file and advances *at to its end. */
static enum sm_code next_pickle(struct sm_pickle *out, const struct sm_ckpt *ckpt, size_t *at,
                                const char *what, struct sm_err *err)
{
    struct sm_err inner;
    enum sm_code code = sm_pickle_parse(out, ckpt->bytes + *at, ckpt->bytes_count - *at, &inner);
    if (code != SM_OK)
        return sm_err_set(err, code, "%s at byte %zu: %.160s", what, *at, inner.text);
    *at += out->bytes_count;
    return SM_OK;
}

/* Reads and checks the magic number, the protocol and the system (byte order). */
static enum sm_code read_head(const struct sm_ckpt *ckpt, size_t *at, struct sm_err *err)
{
    static const char *const parts[] = {"magic number", "protocol number", "system"};
    enum sm_code code = SM_OK;
    for (size_t i = 0; code == SM_OK && i < sizeof parts / sizeof parts[0]; i++) {
        struct sm_pickle pickle;
        const struct sm_value *value, *little;
        code = next_pickle(&pickle, ckpt, at, parts[i], err);
        if (code != SM_OK)
            return code;
        value = &pickle.values[pickle.root];
        little = &pickle.values[sm_pickle_entry(&pickle, pickle.root, "little_endian")];
        if (i == 0 && value->kind != SM_VALUE_BIG)
            code = sm_err_set(err, SM_CORRUPT, "magic number is none");
        if (i == 1 && (value->kind != SM_VALUE_INT || value->as.number != PROTOCOL))
            code = sm_err_set(err, SM_UNSUPPORTED, "protocol number is %" PRId64 ", must be %d",
                              value->kind == SM_VALUE_INT ? value->as.number : 0, PROTOCOL);
        if (i == 2 && little->kind == SM_VALUE_BOOL && little->as.number == 0)
            code = sm_err_set(err, SM_UNSUPPORTED, "byte order is big, must be little");
        sm_pickle_release(&pickle);
    }
    return code;
}

static int compare_keys(const struct stored *left, const struct stored *right)
{
    uint32_t shorter = left->key_count < right->key_count ? left->key_count : right->key_count;
    int order = memcmp(left->key, right->key, shorter);
    return order != 0 ? order
                      : (left->key_count > right->key_count) - (left->key_count < right->key_count);
}

static int by_key(const void *a, const void *b)
{
    return compare_keys(a, b);
}

static int by_order(const void *a, const void *b)
{
    const struct stored *left = a, *right = b;
    return (left->order > right->order) - (left->order < right->order);
}

/* Fills opening->stored from the list of keys and sorts it by key. */
static enum sm_code list_keys(struct opening *opening, struct sm_err *err)
{
    const struct sm_pickle *keys = &opening->keys;
    const struct sm_value *list = &keys->values[keys->root];
    if (list->kind != SM_VALUE_LIST)
        return sm_err_set(err, SM_CORRUPT, "keys of storages are no list");
    if (list->as.items.count > SM_CKPT_TENSORS_MAX)
        return sm_err_set(err, SM_LIMIT, "%u storages, limit is %d", list->as.items.count,
                          SM_CKPT_TENSORS_MAX);
    opening->stored = calloc((size_t)list->as.items.count + 1, sizeof *opening->stored);
    if (!opening->stored)
        return sm_err_set(err, SM_NOMEM, "no memory for %u storages", list->as.items.count);
    for (uint32_t link = list->as.items.first; link != 0; link = keys->links[link].next) {
        const struct sm_value *key = &keys->values[keys->links[link].value];
        struct stored *stored = &opening->stored[opening->stored_count];
        if (key->kind != SM_VALUE_TEXT)
            return sm_err_set(err, SM_CORRUPT, "key %u of the storages is no text",
                              opening->stored_count);
        stored->key = sm_slice_text(keys, key->as.text);
        stored->key_count = key->as.text.count;
        stored->order = opening->stored_count++;
    }
    qsort(opening->stored, opening->stored_count, sizeof *opening->stored, by_key);
    for (uint32_t i = 1; i < opening->stored_count; i++) {
        const struct stored *stored = &opening->stored[i];
        if (compare_keys(stored - 1, stored) == 0)
            return sm_err_set(err, SM_CORRUPT, "two storages have the key %.*s",
                              (int)(stored->key_count < 64 ? stored->key_count : 64), stored->key);
    }
    return SM_OK;
}

/* Returns the storage of a key, or NULL. */
static struct stored *find_stored(const struct opening *opening, struct sm_slice key)
{
    struct stored wanted = {.key = sm_slice_text(&opening->object, key), .key_count = key.count};
    return bsearch(&wanted, opening->stored, opening->stored_count, sizeof wanted, by_key);
}

/* Sets type and number of elements of every storage from the persistent ids of the object. */
static enum sm_code name_storages(struct opening *opening, struct sm_err *err)
{
    const struct sm_pickle *object = &opening->object;
    for (uint32_t i = 0; i < object->values_count; i++) {
        uint32_t id = object->values[i].as.id;
        struct sm_storage storage;
        struct stored *stored;
        struct sm_err inner = {0};
        enum sm_code code;
        if (object->values[i].kind != SM_VALUE_PERSISTENT ||
            sm_pickle_is_text(object, sm_pickle_item(object, id, 0), "module"))
            continue;
        if (!sm_storage_is_id(object, id))
            return sm_err_set(err, SM_UNSUPPORTED, "pickle: a persistent id is not a storage");
        code = sm_storage_parse(&storage, object, id, &inner);
        if (code == SM_UNSUPPORTED && storage.element_bytes != 0)
            code = SM_OK; /* a type that cannot be read, but of known size */
        else if (code == SM_UNSUPPORTED)
            return sm_err_set(err, code, "%.120s, and where the next storage begins is unknown",
                              inner.text);
        if (code != SM_OK)
            return sm_err_set(err, code, "%s", inner.text);
        stored = find_stored(opening, storage.key);
        if (!stored)
            return sm_err_set(err, SM_CORRUPT, "storage %.*s is not in the list of storages",
                              (int)storage.key.count, sm_slice_text(object, storage.key));
        if (stored->named && (stored->dtype != storage.dtype || stored->count != storage.count ||
                              stored->element_bytes != storage.element_bytes))
            return sm_err_set(
                err, SM_CORRUPT,
                "storage %.*s has %" PRId64 " elements of type %s, and %" PRId64 " of type %s",
                (int)storage.key.count, stored->key, stored->count, sm_dtype_name(stored->dtype),
                storage.count, sm_dtype_name(storage.dtype));
        stored->named = true;
        stored->dtype = storage.dtype;
        stored->element_bytes = storage.element_bytes;
        stored->count = storage.count;
    }
    return SM_OK;
}

/* Locates and checks the storages, in the order of the file; the first is at byte `at`. */
static enum sm_code place_storages(struct opening *opening, uint64_t at, struct sm_err *err)
{
    const struct sm_ckpt *ckpt = opening->ckpt;
    for (uint32_t i = 0; i < opening->stored_count; i++) {
        struct stored *stored = &opening->stored[i];
        const int key_count = (int)(stored->key_count < 64 ? stored->key_count : 64);
        int64_t count, bytes;
        if (!stored->named)
            return sm_err_set(err, SM_CORRUPT, "storage %.*s is used by nothing", key_count,
                              stored->key);
        if (ckpt->bytes_count - at < sizeof count)
            return sm_err_set(err, SM_CORRUPT,
                              "storage %.*s: its count is at byte %" PRIu64
                              ", file has %zu" SM_CKPT_CUT,
                              key_count, stored->key, at, ckpt->bytes_count);
        memcpy(&count, ckpt->bytes + at, sizeof count);
        at += sizeof count;
        if (count != stored->count)
            return sm_err_set(err, SM_CORRUPT,
                              "storage %.*s has %" PRId64 " elements, its tensors say %" PRId64,
                              key_count, stored->key, count, stored->count);
        if (__builtin_mul_overflow(count, (int64_t)stored->element_bytes, &bytes) ||
            (uint64_t)bytes > ckpt->bytes_count - at)
            return sm_err_set(err, SM_CORRUPT,
                              "storage %.*s: %" PRId64 " elements of %zu from byte %" PRIu64
                              " on, file has %zu" SM_CKPT_CUT,
                              key_count, stored->key, count, stored->element_bytes, at,
                              ckpt->bytes_count);
        stored->at = at;
        at += (uint64_t)bytes;
    }
    return SM_OK;
}

/* Callback of sm_flatten: lists one tensor. */
static enum sm_code found_tensor(void *context, const char *name, uint32_t args, const char *why,
                                 struct sm_err *err)
{
    const struct opening *opening = context;
    struct sm_tensor tensor = {.name = name};
    struct sm_place place = {0};
    struct sm_storage storage;
    struct sm_err inner = {0};
    enum sm_code code;
    if (why)
        return sm_ckpt_add_unread(opening->ckpt, &tensor, why, err);
    code = sm_rebuild(&tensor, &place.view, &storage, &opening->object, args, name, &inner);
    if (code == SM_UNSUPPORTED)
        return sm_ckpt_add_unread(opening->ckpt, &tensor, inner.text, err);
    if (code != SM_OK)
        return sm_err_set(err, code, "%s", inner.text);
    place.at = find_stored(opening, storage.key)->at; /* not NULL: name_storages found it */
    return sm_ckpt_add(opening->ckpt, &tensor, &place, err);
}

static enum sm_code open_legacy(struct sm_ckpt *ckpt, struct sm_err *err)
{
    struct opening opening = {.ckpt = ckpt};
    size_t at = 0;
    enum sm_code code = read_head(ckpt, &at, err);
    if (code == SM_OK)
        code = next_pickle(&opening.object, ckpt, &at, "object", err);
    if (code == SM_OK)
        code = next_pickle(&opening.keys, ckpt, &at, "keys of storages", err);
    if (code == SM_OK)
        code = list_keys(&opening, err);
    if (code == SM_OK)
        code = name_storages(&opening, err);
    if (code == SM_OK) {
        qsort(opening.stored, opening.stored_count, sizeof *opening.stored, by_order);
        code = place_storages(&opening, at, err);
        qsort(opening.stored, opening.stored_count, sizeof *opening.stored, by_key);
    }
    if (code == SM_OK)
        code = sm_flatten(&opening.object, found_tensor, &opening, err);
    free(opening.stored);
    sm_pickle_release(&opening.object);
    sm_pickle_release(&opening.keys);
    return code;
}

const struct sm_ckpt_format sm_ckpt_format_torch_legacy = {
    .name = "torch-legacy",
    .sniff = sniff_legacy,
    .open = open_legacy,
};

/* PyTorch before 0.1.10 wrote tar archives. The name .pth.tar is also used for packed folders. */
static bool sniff_tar(const uint8_t *bytes, size_t bytes_count)
{
    return bytes_count >= 512 && memcmp(bytes + 257, "ustar", 5) == 0;
}

static enum sm_code open_tar(struct sm_ckpt *ckpt, struct sm_err *err)
{
    (void)ckpt;
    return sm_err_set(err, SM_UNSUPPORTED,
                      "tar archive: if PyTorch before 0.1.10 wrote it, load it and save it again "
                      "with PyTorch 1.6 or later; if not, unpack it");
}

const struct sm_ckpt_format sm_ckpt_format_torch_tar = {
    .name = "torch-tar",
    .sniff = sniff_tar,
    .open = open_tar,
};
