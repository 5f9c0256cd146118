/* Looks up and reads tensors by canonical name. The index is sorted once, so a lookup is a binary
 * search, however many tensors a file claims to have. One rule of the dialect (dialect.c) turns a
 * canonical name into the file's: the first rule whose leading components the name has. The rule
 * can name several tensors, which are read one after the other. The resulting shape is checked
 * before any data is read.
 *
 * Wrappers ("model.", "state_dict.", "module.backbone.", a pickled module's attributes) need no
 * table: they are whatever precedes an anchor. If a file has several encoders, find.c chooses one.
 *
 * Why unused tensors are errors: a checkpoint with one more LayerScale or register token loads
 * without complaint into code that ignores it, and every number after that is wrong. Heads,
 * projectors, decoders and optimizer states are outside the encoder's own names and are ignored. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/names/names_impl.h"

#define PARTS_MAX  3
#define BLOCKS_MAX 4096

/* The tensors of the file behind a canonical name. */
struct source {
    struct sm_name_entry *parts[PARTS_MAX]; /* NULL: the part is not in the file */
    int parts_count, present;
    /* row of the parts' first dimension if blocks are stacked, else -1 */
    int32_t row;
    char first[SM_NAME_BYTES]; /* name that the error reports if no part exists */
};

struct shape {
    int rank;
    int64_t side[SM_TENSOR_RANK_MAX];
};

/* Splits a canonical name into the file's prefix for it (`base`) and the rest (`tail`). Returns the
 * rename table for the rest. *row is the block's number if blocks are stacked, else -1. */
static const struct sm_rename *place(char base[SM_NAME_BYTES], const char **tail, int32_t *row,
                                     const struct sm_names *names, const char *canonical)
{
    const struct sm_dialect *d = names->dialect;
    int digits = 0, number = 0;
    *row = -1;
    if (d->block && sscanf(canonical, "blocks.%d.%n", &number, &digits) == 1 && digits) {
        int before = (int)strcspn(d->block, "#");
        if (d->stacked)
            snprintf(base, SM_NAME_BYTES, "%s%s", names->prefix, d->block);
        else
            snprintf(base, SM_NAME_BYTES, "%s%.*s%d%s", names->prefix, before, d->block, number,
                     d->block + before + 1);
        *row = d->stacked ? number : -1;
        *tail = canonical + digits;
        return d->block_renames;
    }
    snprintf(base, SM_NAME_BYTES, "%s", names->prefix);
    *tail = canonical;
    return d->renames;
}

/* Looks up the tensors of one alternative of a rename, such as "a+b+c". */
static void find_parts(struct source *out, const struct sm_names *names, const char *base,
                       const char *alternative, size_t alternative_length, const char *rest)
{
    const char *end = alternative + alternative_length;
    out->parts_count = out->present = 0;
    while (alternative < end && out->parts_count < PARTS_MAX) {
        char name[SM_NAME_BYTES];
        size_t part = strcspn(alternative, "+,");
        int length = snprintf(name, sizeof name, "%s%.*s%s", base, (int)part, alternative, rest);
        bool fits = length >= 0 && (size_t)length < sizeof name;
        if (!out->first[0])
            memcpy(out->first, name, sizeof name);
        struct sm_name_entry *entry = fits ? sm_names_entry(names, name) : NULL;
        out->parts[out->parts_count++] = entry;
        out->present += entry != NULL;
        alternative += part + 1;
    }
}

static void resolve(struct source *out, const struct sm_names *names, const char *canonical)
{
    char base[SM_NAME_BYTES];
    const char *tail;
    const struct sm_rename *r = place(base, &tail, &out->row, names, canonical);
    out->first[0] = 0;
    while (r->canonical && !sm_name_leads(tail, r->canonical))
        r++;
    const char *rest = r->canonical ? tail + strlen(r->canonical) : "";
    const char *alternatives = r->canonical ? r->file : tail;
    do {
        size_t length = strcspn(alternatives, ",");
        find_parts(out, names, base, alternatives, length, rest);
        alternatives += length + (alternatives[length] == ',');
    } while (!out->present && *alternatives);
}

bool sm_names_has(const struct sm_names *names, const char *canonical)
{
    struct source source;
    resolve(&source, names, canonical);
    return source.present > 0;
}

bool sm_names_any_ends(const struct sm_names *names, const char *last)
{
    size_t prefix = strlen(names->prefix);
    for (size_t i = 0; i < names->entries_count; i++)
        if (!strncmp(names->entries[i].key, names->prefix, prefix) &&
            sm_name_ends(names->entries[i].key + prefix, last))
            return true;
    return false;
}

/* Returns true if the file has a tensor below a canonical prefix, "blocks.3." or "layer1.3.". */
static bool has_below(const struct sm_names *names, const char *canonical)
{
    char base[SM_NAME_BYTES], below[2 * SM_NAME_BYTES];
    const char *tail;
    int32_t row;
    const struct sm_rename *r = place(base, &tail, &row, names, canonical);
    while (r->canonical && !sm_name_leads(tail, r->canonical))
        r++;
    snprintf(below, sizeof below, "%s%s%s", base, r->canonical ? r->file : "",
             tail + (r->canonical ? strlen(r->canonical) : 0));
    const struct sm_name_entry *entry = sm_names_below(names, below);
    return entry && (row < 0 || (entry->tensor->rank > 0 && row < entry->tensor->shape[0]));
}

int32_t sm_names_count(const struct sm_names *names, const char *list)
{
    for (int32_t count = 0; count < BLOCKS_MAX; count++) {
        char name[SM_NAME_BYTES];
        snprintf(name, sizeof name, "%s.%d.", list, (int)count);
        if (!has_below(names, name))
            return count;
    }
    return BLOCKS_MAX;
}

/* Writes a shape as "[64,*,3,3]"; '*' is any size. */
static void shape_text(char out[96], int rank, const int64_t *side)
{
    size_t at = (size_t)snprintf(out, 96, "[");
    for (int i = 0; i < rank && at < 80; i++) {
        const char *comma = i ? "," : "";
        at += (size_t)(side[i] < 0
                           ? snprintf(out + at, 96 - at, "%s*", comma)
                           : snprintf(out + at, 96 - at, "%s%lld", comma, (long long)side[i]));
    }
    snprintf(out + (at < 94 ? at : 94), 2, "]");
}

/* Changes a shape to `rank` sides: removes sides of 1, the first ones first, or adds some in
 * front. */
static void squeeze(struct shape *s, int rank)
{
    for (int i = 0; i < s->rank && s->rank > rank;) {
        if (s->side[i] != 1) {
            i++;
            continue;
        }
        memmove(s->side + i, s->side + i + 1, (size_t)(s->rank - i - 1) * sizeof *s->side);
        s->rank--;
    }
    while (s->rank < rank) {
        memmove(s->side + 1, s->side, (size_t)s->rank * sizeof *s->side);
        s->side[0] = 1;
        s->rank++;
    }
}

static bool is_kernel(const struct sm_names *names, const struct sm_tensor *t)
{
    return names->dialect->in_out && sm_name_ends(t->name, "kernel");
}

/* Returns the number of elements of a part: of the whole tensor (row < 0), or of one row. */
static int64_t part_count(const struct sm_tensor *t, int32_t row)
{
    return row >= 0 ? t->count / t->shape[0] : t->count;
}

/* Changes the shape of a kernel whose inputs come first to PyTorch's order. A convolution [h, w,
 * ci, co] becomes [co, ci, h, w]. A matrix [in, out] becomes [out, in], and so do [in, heads, dim]
 * and [heads, dim, out]; `in` shows which of these two it is. */
static void turn(struct shape *s, int rank, int64_t in)
{
    const struct shape was = *s;
    if (rank == 4 && was.rank == 4) {
        *s = (struct shape){4, {was.side[3], was.side[2], was.side[0], was.side[1]}};
    } else if (rank == 2 && was.rank == 2) {
        *s = (struct shape){2, {was.side[1], was.side[0]}};
    } else if (rank == 2 && was.rank == 3) {
        bool first = was.side[0] == in;
        *s = first ? (struct shape){2, {was.side[1] * was.side[2], in}}
                   : (struct shape){2, {was.side[2], was.side[0] * was.side[1]}};
    }
}

/* Returns the shape of a tensor of the file, or of one of its rows, in canonical layout. */
static struct shape our_shape(const struct sm_names *names, const struct sm_tensor *t, int32_t row,
                              int rank, const int64_t *expected)
{
    const int skip = row >= 0;
    struct shape s = {.rank = t->rank - skip};
    memcpy(s.side, t->shape + skip, (size_t)s.rank * sizeof *s.side);
    if (is_kernel(names, t))
        turn(&s, rank, rank == 2 ? expected[1] : 0);
    else if (names->dialect->in_out && rank == 1)
        s = (struct shape){1, {part_count(t, row)}};
    else
        squeeze(&s, rank);
    return s;
}

static enum sm_code fail_missing(const struct sm_names *names, const char *name, int rank,
                                 const int64_t *shape, struct sm_err *err)
{
    char expected[96], nearest[SM_NAME_BYTES];
    enum sm_code parts = sm_names_refuse_parts(names, name, err);
    if (parts != SM_OK)
        return parts;
    shape_text(expected, rank, shape);
    if (sm_names_nearest(nearest, names, name, false))
        return sm_err_set(err, SM_NOT_FOUND,
                          "tensor %.80s is missing, expected with shape %.40s; nearest is %.80s",
                          name, expected, nearest);
    return sm_err_set(err, SM_NOT_FOUND, "tensor %.120s is missing, expected with shape %s", name,
                      expected);
}

static enum sm_code fail_shape(const struct sm_tensor *t, int rank, const int64_t *shape,
                               struct sm_err *err)
{
    char expected[96], actual[96];
    shape_text(actual, t->rank, t->shape);
    shape_text(expected, rank, shape);
    return sm_err_set(err, SM_INVALID, "tensor %.80s has shape %.64s, expected %.64s", t->name,
                      actual, expected);
}

/* Checks one part against `shape` and writes its shape to `out`. The first side may have any size
 * if several parts are joined. */
static enum sm_code check_part(int64_t *out, const struct sm_names *names,
                               const struct source *source, int part, int rank,
                               const int64_t *shape, struct sm_err *err)
{
    const struct sm_tensor *t = source->parts[part]->tensor;
    if (t->unread)
        return sm_err_set(err, SM_UNSUPPORTED, "tensor %.72s of the encoder cannot be read: %.120s",
                          t->name, t->unread);
    if (source->row >= 0 && (t->rank < 1 || source->row >= t->shape[0]))
        return sm_err_set(err, SM_INVALID, "tensor %.120s has no row for block %d", t->name,
                          (int)source->row);
    const struct shape s = our_shape(names, t, source->row, rank, shape);
    bool fits = s.rank == rank && t->count > 0;
    for (int i = 0; fits && i < rank; i++) {
        bool any = shape[i] < 0 || (i == 0 && source->parts_count > 1);
        fits = s.side[i] <= INT32_MAX && (any || s.side[i] == shape[i]);
    }
    if (!fits)
        return fail_shape(t, rank, shape, err);
    if (t->dtype > SM_BF16)
        return sm_err_set(err, SM_UNSUPPORTED, "tensor %.120s is of type %s, expected floats",
                          t->name, sm_dtype_name(t->dtype));
    memcpy(out, s.side, (size_t)rank * sizeof *out);
    return SM_OK;
}

/* Computes the joined shape, out [rank]: the first sides of the parts add up. If some parts of a
 * vector are missing, they share the rest of shape[0] equally, *missing_rows each. */
static enum sm_code measure(int64_t *out, int64_t *missing_rows, const struct sm_names *names,
                            const struct source *source, int rank, const int64_t *shape,
                            struct sm_err *err)
{
    int64_t rows = 0;
    int missing = source->parts_count - source->present;
    for (int p = 0; p < source->parts_count; p++) {
        if (!source->parts[p])
            continue;
        enum sm_code code = check_part(out, names, source, p, rank, shape, err);
        if (code != SM_OK)
            return code;
        rows += out[0];
    }
    if (!source->present || (missing && (rank != 1 || shape[0] < 0)))
        return fail_missing(names, source->first, rank, shape, err);
    *missing_rows = missing && shape[0] > rows ? (shape[0] - rows) / missing : 0;
    out[0] = rows + missing * *missing_rows;
    for (int p = 0; p < source->parts_count; p++)
        if (source->parts[p] && shape[0] >= 0 && out[0] != shape[0])
            return fail_shape(source->parts[p]->tensor, rank, shape, err);
    return SM_OK;
}

enum sm_code sm_names_shape(int64_t *out, const struct sm_names *names, const char *canonical,
                            int rank, const int64_t *shape, struct sm_err *err)
{
    struct source source;
    int64_t missing_rows;
    resolve(&source, names, canonical);
    return measure(out, &missing_rows, names, &source, rank, shape, err);
}

/* Transposes a kernel: out [co, ci, window], in [window, ci, co]. A linear layer's window is 1. */
static void turn_kernel(float *out, const float *in, size_t co, size_t ci, size_t window)
{
    for (size_t t = 0; t < window; t++)
        for (size_t i = 0; i < ci; i++)
            for (size_t o = 0; o < co; o++)
                out[(o * ci + i) * window + t] = in[(t * ci + i) * co + o];
}

static enum sm_code read_rows(float *out, const struct sm_names *names, const struct sm_tensor *t,
                              int32_t row, struct sm_err *err)
{
    return row >= 0 ? sm_ckpt_read_row(names->ckpt, t, row, out, err)
                    : sm_ckpt_read(names->ckpt, t, out, err);
}

/* Reads one tensor in canonical layout: a kernel becomes [co, ci, …]. */
static enum sm_code read_part(float *out, const struct sm_names *names, const struct sm_tensor *t,
                              int32_t row, int rank, const int64_t *shape, struct sm_err *err)
{
    if (!is_kernel(names, t))
        return read_rows(out, names, t, row, err);
    const struct shape s = our_shape(names, t, row, rank, shape);
    size_t count = (size_t)part_count(t, row);
    float *in = malloc(count * sizeof *in);
    if (!in)
        return sm_err_set(err, SM_NOMEM, "no memory for the %zu numbers of tensor %.120s", count,
                          t->name);
    enum sm_code code = read_rows(in, names, t, row, err);
    if (code == SM_OK)
        turn_kernel(out, in, (size_t)s.side[0], (size_t)s.side[1],
                    rank == 4 ? (size_t)(s.side[2] * s.side[3]) : 1);
    free(in);
    return code;
}

static int64_t count_nonfinite(const float *data, size_t count)
{
    const uint32_t exponent = 0x7f800000u;
    int64_t found = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, data + i, sizeof bits);
        found += (bits & exponent) == exponent;
    }
    return found;
}

enum sm_code sm_names_read(struct sm_names *names, float **out, const char *canonical, int rank,
                           const int64_t *shape, struct sm_err *err)
{
    struct source source;
    int64_t whole[4], missing_rows, count = 1;
    *out = NULL;
    assert(rank >= 1 && rank <= 4);
    resolve(&source, names, canonical);
    enum sm_code code = measure(whole, &missing_rows, names, &source, rank, shape, err);
    if (code != SM_OK)
        return code;
    for (int i = 0; i < rank; i++)
        count *= whole[i];
    float *data = calloc((size_t)count, sizeof *data), *at = data;
    if (!data)
        return sm_err_set(err, SM_NOMEM, "no memory for the %lld numbers of tensor %.120s",
                          (long long)count, source.first);
    for (int p = 0; p < source.parts_count && code == SM_OK; p++) {
        struct sm_name_entry *entry = source.parts[p];
        if (entry) {
            code = read_part(at, names, entry->tensor, source.row, rank, shape, err);
            entry->used = code == SM_OK;
        }
        at += entry ? part_count(entry->tensor, source.row) : missing_rows * (count / whole[0]);
    }
    if (code == SM_OK)
        code = sm_weights_add(&names->weights, canonical, data, (size_t)count, err);
    if (code != SM_OK) {
        free(data);
        return code;
    }
    names->nonfinite += count_nonfinite(data, (size_t)count);
    *out = data;
    return SM_OK;
}

/* Returns true for tensors that inference does not need: counters that training and profilers
 * leave, and the dialect's `unread`. */
static bool may_be_unread(const struct sm_names *names, const char *name, size_t prefix)
{
    static const char *const last[] = {"num_batches_tracked", "total_ops", "total_params"};
    const char *const *unread = names->dialect->unread;
    for (size_t i = 0; i < sizeof last / sizeof last[0]; i++)
        if (sm_name_ends(name, last[i]))
            return true;
    for (; unread && *unread; unread++)
        if (sm_name_leads(name + prefix, *unread))
            return true;
    return false;
}

enum sm_code sm_names_check_unused(const struct sm_names *names, struct sm_err *err)
{
    size_t prefix = strlen(names->prefix);
    for (size_t i = 0; i < names->entries_count; i++) {
        const char *name = names->entries[i].key;
        char nearest[SM_NAME_BYTES] = "";
        if (names->entries[i].used || strncmp(name, names->prefix, prefix) != 0 ||
            may_be_unread(names, name, prefix))
            continue;
        for (const char *const *own = names->dialect->own; *own; own++) {
            if (!sm_name_leads(name + prefix, *own))
                continue;
            bool near = sm_names_nearest(nearest, names, name, true);
            return sm_err_set(err, SM_UNSUPPORTED,
                              "tensor %.70s belongs to the encoder, but no %s encoder that we know "
                              "uses it: its outputs would be wrong%s%.70s",
                              names->entries[i].tensor->name, names->dialect->name,
                              near ? "; nearest that is used: " : "", nearest);
        }
    }
    return SM_OK;
}
