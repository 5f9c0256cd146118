/* The header is the text of a Python dict. This parser accepts only a small part of Python: exactly
 * these three keys, each once and in any order; their values must be a text, True or False, and a
 * tuple of numbers. Blanks may be between tokens, nothing may follow the dict. */
#include "core/ckpt/npy.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#define MAGIC_COUNT     6
#define DESCR_BYTES_MAX 32

/* A position in the header's text, and the text's end. */
struct cursor {
    const char *at, *end;
};

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

static enum sm_code parse_descr(struct cursor *c, struct sm_npy_header *header, struct sm_err *err)
{
    if (accept(c, "["))
        return sm_err_set(err, SM_UNSUPPORTED, "structured elements are not supported");
    if (!accept_text(c, &header->descr, &header->descr_count) ||
        header->descr_count > DESCR_BYTES_MAX)
        return sm_err_set(err, SM_CORRUPT, "descr is no short text");
    return SM_OK;
}

static enum sm_code parse_order(struct cursor *c, struct sm_npy_header *header, struct sm_err *err)
{
    header->column_major = accept(c, "True");
    if (!header->column_major && !accept(c, "False"))
        return sm_err_set(err, SM_CORRUPT, "fortran_order is neither True nor False");
    return SM_OK;
}

static enum sm_code parse_shape(struct cursor *c, struct sm_npy_header *header, struct sm_err *err)
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
    enum sm_code (*parse)(struct cursor *c, struct sm_npy_header *header, struct sm_err *err);
} keys[] = {
    {"descr", parse_descr},
    {"fortran_order", parse_order},
    {"shape", parse_shape},
};

#define KEYS_COUNT (sizeof keys / sizeof keys[0])

static enum sm_code parse_pair(struct cursor *c, struct sm_npy_header *header,
                               bool seen[KEYS_COUNT], struct sm_err *err)
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

static enum sm_code parse_header(struct sm_npy_header *header, const char *text, size_t count,
                                 struct sm_err *err)
{
    struct cursor c = {text, text + count};
    bool seen[KEYS_COUNT] = {false};
    bool more = accept(&c, "{");
    enum sm_code code = SM_OK;
    *header = (struct sm_npy_header){0};
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

enum sm_code sm_npy_read_header(struct sm_npy_header *header, size_t *head_count,
                                const uint8_t *bytes, uint64_t count, struct sm_err *err)
{
    size_t width, text_count = 0;
    if (count < MAGIC_COUNT + 2 || memcmp(bytes, SM_NPY_MAGIC, MAGIC_COUNT) != 0)
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
    if (text_count > SM_NPY_HEADER_BYTES_MAX)
        return sm_err_set(err, SM_LIMIT, "header has %zu bytes, limit is %d", text_count,
                          SM_NPY_HEADER_BYTES_MAX);
    if (text_count > count - *head_count)
        return sm_err_set(err, SM_CORRUPT, "header ends at byte %zu, entry has %" PRIu64,
                          *head_count + text_count, count);
    *head_count += text_count;
    return parse_header(header, (const char *)bytes + *head_count - text_count, text_count, err);
}
