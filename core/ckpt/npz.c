/* NumPy's .npz, as numpy.savez writes it and big_vision stores weights: a zip file with one .npy
 * entry per array, named after the array. See numpy/lib/format.py of NumPy 1.24. An entry holds:
 *
 *     "\x93NUMPY", version 1..3, header size (u16, or u32 since version 2), header, elements
 *     {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }
 *
 * The header is the text of a Python dict. This parser accepts only a small part of Python: exactly
 * these three keys, each once and in any order; their values must be a text, True or False, and a
 * tuple of numbers. Blanks may be between tokens, nothing may follow the dict. The elements must
 * fill the rest of the entry exactly. A column-major array is a view with other strides.
 *
 * A 2-byte void is read as bfloat16: NumPy has no name for that type, and NumPy saves bfloat16
 * arrays of JAX as such. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/escape.h"
#include "core/ckpt/format.h"
#include "core/ckpt/zip.h"

#define MAGIC           "\x93NUMPY"
#define MAGIC_COUNT     6
#define NPY_HEADER_MAX  10000 /* bytes; numpy.load has the same limit */
#define SUFFIX          ".npy"
#define SUFFIX_COUNT    4
#define DESCR_BYTES_MAX 32

/* A position in the header's text, and the text's end. */
struct cursor {
    const char *at, *end;
};

struct header {
    const char *descr;
    size_t descr_count;
    bool column_major;
    int rank;
    int64_t shape[SM_TENSOR_RANK_MAX];
};

static bool sniff_npz(const uint8_t *bytes, size_t bytes_count)
{
    const char *name;
    size_t count;
    return sm_zip_sniff(bytes, bytes_count, &name, &count) && count > SUFFIX_COUNT &&
           memcmp(name + count - SUFFIX_COUNT, SUFFIX, SUFFIX_COUNT) == 0;
}

static void skip_blanks(struct cursor *c)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\n' || *c->at == '\t'))
        c->at++;
}

/* Skips blanks and then `word`; returns false if the text does not continue with `word`. */
static bool accept(struct cursor *c, const char *word)
{
    const size_t count = strlen(word);
    skip_blanks(c);
    if ((size_t)(c->end - c->at) < count || memcmp(c->at, word, count) != 0)
        return false;
    c->at += count;
    return true;
}

/* Reads a quoted text without escapes. */
static bool accept_text(struct cursor *c, const char **text, size_t *count)
{
    const char *quote;
    if (!accept(c, "'") && !accept(c, "\""))
        return false;
    quote = memchr(c->at, c->at[-1], (size_t)(c->end - c->at));
    if (!quote || memchr(c->at, '\\', (size_t)(quote - c->at)))
        return false;
    *text = c->at;
    *count = (size_t)(quote - c->at);
    c->at = quote + 1;
    return true;
}

static bool accept_number(struct cursor *c, int64_t *out)
{
    const bool negative = accept(c, "-");
    const char *first;
    skip_blanks(c);
    first = c->at;
    for (*out = 0; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++) {
        if (__builtin_mul_overflow(*out, 10, out) ||
            __builtin_sub_overflow(*out, *c->at - '0', out))
            return false;
    }
    if (c->at == first || (!negative && __builtin_mul_overflow(*out, -1, out)))
        return false;
    if (c->at < c->end && *c->at == 'L') /* suffix of a long in Python 2 */
        c->at++;
    return true;
}

static enum sm_code parse_descr(struct cursor *c, struct header *header, struct sm_err *err)
{
    if (accept(c, "["))
        return sm_err_set(err, SM_UNSUPPORTED, "structured elements are not supported");
    if (!accept_text(c, &header->descr, &header->descr_count) ||
        header->descr_count > DESCR_BYTES_MAX)
        return sm_err_set(err, SM_CORRUPT, "descr is no short text");
    return SM_OK;
}

static enum sm_code parse_order(struct cursor *c, struct header *header, struct sm_err *err)
{
    header->column_major = accept(c, "True");
    if (!header->column_major && !accept(c, "False"))
        return sm_err_set(err, SM_CORRUPT, "fortran_order is neither True nor False");
    return SM_OK;
}

static enum sm_code parse_shape(struct cursor *c, struct header *header, struct sm_err *err)
{
    bool more = accept(c, "(");
    if (!more)
        return sm_err_set(err, SM_CORRUPT, "shape is no tuple");
    while (more && !accept(c, ")")) {
        int64_t side;
        if (!accept_number(c, &side))
            return sm_err_set(err, SM_CORRUPT, "shape: number %d is no integer", header->rank);
        if (header->rank == SM_TENSOR_RANK_MAX)
            return sm_err_set(err, SM_UNSUPPORTED, "rank is over %d", SM_TENSOR_RANK_MAX);
        header->shape[header->rank++] = side;
        more = accept(c, ",");
        if (!more && (header->rank == 1 || !accept(c, ")")))
            return sm_err_set(err, SM_CORRUPT, "shape is no tuple");
    }
    return SM_OK;
}

static const struct {
    const char *name;
    enum sm_code (*parse)(struct cursor *c, struct header *header, struct sm_err *err);
} keys[] = {
    {"descr", parse_descr},
    {"fortran_order", parse_order},
    {"shape", parse_shape},
};

#define KEYS_COUNT (sizeof keys / sizeof keys[0])

static enum sm_code parse_pair(struct cursor *c, struct header *header, bool seen[KEYS_COUNT],
                               struct sm_err *err)
{
    const char *name;
    size_t count;
    if (!accept_text(c, &name, &count) || !accept(c, ":"))
        return sm_err_set(err, SM_CORRUPT, "header has something that is no key");
    for (size_t i = 0; i < KEYS_COUNT; i++) {
        if (strlen(keys[i].name) != count || memcmp(keys[i].name, name, count) != 0)
            continue;
        if (seen[i])
            return sm_err_set(err, SM_CORRUPT, "header has two keys %s", keys[i].name);
        seen[i] = true;
        return keys[i].parse(c, header, err);
    }
    return sm_err_set(err, SM_CORRUPT, "header has an unknown key %.*s",
                      (int)(count < 32 ? count : 32), name);
}

static enum sm_code parse_header(struct header *header, const char *text, size_t count,
                                 struct sm_err *err)
{
    struct cursor c = {text, text + count};
    bool seen[KEYS_COUNT] = {false};
    bool more = accept(&c, "{");
    enum sm_code code = SM_OK;
    *header = (struct header){0};
    if (!more)
        return sm_err_set(err, SM_CORRUPT, "header is no dict");
    while (more && !accept(&c, "}")) {
        code = parse_pair(&c, header, seen, err);
        if (code != SM_OK)
            return code;
        more = accept(&c, ",");
        if (!more && !accept(&c, "}"))
            return sm_err_set(err, SM_CORRUPT, "header does not end after a value");
    }
    skip_blanks(&c);
    if (c.at != c.end)
        return sm_err_set(err, SM_CORRUPT, "header has %zu bytes behind its dict",
                          (size_t)(c.end - c.at));
    for (size_t i = 0; i < KEYS_COUNT; i++) {
        if (!seen[i])
            return sm_err_set(err, SM_CORRUPT, "header has no key %s", keys[i].name);
    }
    return SM_OK;
}

/* Reads the header of a .npy of `count` bytes. *head_count: number of bytes before the elements. */
static enum sm_code read_header(struct header *header, size_t *head_count, const uint8_t *bytes,
                                uint64_t count, struct sm_err *err)
{
    size_t width, text_count = 0;
    if (count < MAGIC_COUNT + 2 || memcmp(bytes, MAGIC, MAGIC_COUNT) != 0)
        return sm_err_set(err, SM_CORRUPT, "not an array of NumPy");
    if (bytes[MAGIC_COUNT] < 1 || bytes[MAGIC_COUNT] > 3)
        return sm_err_set(err, SM_UNSUPPORTED, "version is %u.%u, must be 1 to 3",
                          bytes[MAGIC_COUNT], bytes[MAGIC_COUNT + 1]);
    width = bytes[MAGIC_COUNT] == 1 ? 2 : 4;
    *head_count = MAGIC_COUNT + 2 + width;
    if (count < *head_count)
        return sm_err_set(err, SM_CORRUPT, "header ends at byte %zu, entry has %" PRIu64,
                          *head_count, count);
    for (size_t i = 0; i < width; i++)
        text_count |= (size_t)bytes[MAGIC_COUNT + 2 + i] << (8 * i);
    if (text_count > NPY_HEADER_MAX)
        return sm_err_set(err, SM_LIMIT, "header has %zu bytes, limit is %d", text_count,
                          NPY_HEADER_MAX);
    if (text_count > count - *head_count)
        return sm_err_set(err, SM_CORRUPT, "header ends at byte %zu, entry has %" PRIu64,
                          *head_count + text_count, count);
    *head_count += text_count;
    return parse_header(header, (const char *)bytes + *head_count - text_count, text_count, err);
}

/* Fills tensor and place from a .npy of `count` bytes at `bytes`, which is byte place->at of the
 * file. Advances place->at to the elements. */
static enum sm_code parse_array(struct sm_tensor *tensor, struct sm_place *place,
                                const uint8_t *bytes, uint64_t count, struct sm_err *err)
{
    struct header header;
    size_t head_count = 0;
    int64_t wanted;
    enum sm_code code = read_header(&header, &head_count, bytes, count, err);
    if (code != SM_OK)
        return code;
    tensor->rank = header.rank;
    memcpy(tensor->shape, header.shape, sizeof header.shape);
    for (int i = 0; i < tensor->rank; i++) {
        if (tensor->shape[i] < 0)
            return sm_err_set(err, SM_CORRUPT, "side %d of its shape is %" PRId64, i,
                              tensor->shape[i]);
    }
    if (!sm_dtype_of_npy(&tensor->dtype, header.descr, header.descr_count))
        return sm_err_set(err, SM_UNSUPPORTED, "elements of type %.*s are not supported",
                          (int)header.descr_count, header.descr);
    code = sm_tensor_measure(tensor, NULL);
    if (code != SM_OK ||
        __builtin_mul_overflow(tensor->count, (int64_t)sm_dtype_bytes(tensor->dtype), &wanted))
        return sm_err_set(err, SM_CORRUPT, "the product of its shape overflows");
    if ((uint64_t)wanted != count - head_count)
        return sm_err_set(err, SM_CORRUPT, "has %" PRIu64 " bytes, its shape needs %" PRId64,
                          count - head_count, wanted);
    sm_view_dense(&place->view, tensor, header.column_major);
    place->at += head_count;
    return SM_OK;
}

static enum sm_code add_array(struct sm_ckpt *ckpt, struct sm_zip *zip, uint64_t entry,
                              struct sm_err *err)
{
    const char *path = sm_zip_name(zip, entry);
    const size_t path_count = strlen(path);
    struct sm_tensor tensor = {0};
    struct sm_place place = {.part = entry};
    char name[SM_CKPT_NAME_MAX + 1], why[200];
    struct sm_err inner;
    uint64_t count;
    enum sm_code code;
    if (path_count <= SUFFIX_COUNT || strcmp(path + path_count - SUFFIX_COUNT, SUFFIX) != 0)
        return sm_err_set(err, SM_UNSUPPORTED, "zip entry %.96s is no .npy", path);
    if (path_count - SUFFIX_COUNT > SM_CKPT_NAME_MAX)
        return sm_err_set(err, SM_LIMIT, "zip entry %.96s...: name of %zu bytes, limit is %d", path,
                          path_count, SM_CKPT_NAME_MAX + SUFFIX_COUNT);
    if (!sm_utf8_is_text(path, path_count))
        return sm_err_set(err, SM_CORRUPT, "zip entry %.96s: its name is not UTF-8 text", path);
    memcpy(name, path, path_count - SUFFIX_COUNT);
    name[path_count - SUFFIX_COUNT] = '\0';
    tensor.name = name;
    code = sm_zip_locate(&place.at, &count, zip, entry, &inner);
    if (code == SM_UNSUPPORTED) {
        snprintf(why, sizeof why, "%.130s: save it with numpy.savez, not savez_compressed",
                 inner.text);
        return sm_ckpt_add_unread(ckpt, &tensor, why, err);
    }
    if (code != SM_OK)
        return sm_err_set(err, code, "%.200s", inner.text);
    code = parse_array(&tensor, &place, ckpt->bytes + place.at, count, &inner);
    if (code == SM_UNSUPPORTED)
        return sm_ckpt_add_unread(ckpt, &tensor, inner.text, err);
    if (code != SM_OK)
        return sm_err_set(err, code, "tensor %.96s: %.120s", name, inner.text);
    return sm_ckpt_add(ckpt, &tensor, &place, err);
}

static enum sm_code open_npz(struct sm_ckpt *ckpt, struct sm_err *err)
{
    struct sm_zip *zip;
    enum sm_code code = sm_zip_open(&zip, ckpt->bytes, ckpt->bytes_count, err);
    ckpt->state = zip;
    for (uint64_t i = 0; code == SM_OK && i < sm_zip_count(zip); i++)
        code = add_array(ckpt, zip, i, err);
    return code == SM_OK ? sm_zip_check_overlaps(zip, err) : code;
}

const struct sm_ckpt_format sm_ckpt_format_npz = {
    .name = "npz",
    .sniff = sniff_npz,
    .open = open_npz,
    .read = sm_zip_read,
    .close = sm_zip_close_state,
};
