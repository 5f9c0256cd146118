/* Images are unsigned bytes of rank 3 [n, h, w] or 4 [n, h, w, 3]. Labels are whole numbers of rank
 * 1 or 2, in a file of the same folder that is found by its name: train-labels-idx1-ubyte for
 * train-images-idx3-ubyte, also with .gz. Without such a file the images have no class. */
#include "core/data/idx.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "core/data/arrays.h"
#include "core/data/labels.h"

#define RANK_MAX 4

struct header {
    uint8_t type;
    int rank;
    int64_t sides[RANK_MAX];
    size_t bytes_count;
};

/* Bytes of an element; 0: a floating type or none. */
static int width_of(uint8_t type)
{
    return type == 0x08 || type == 0x09 ? 1 : type == 0x0b ? 2 : type == 0x0c ? 4 : 0;
}

bool sm_idx_sniff(const uint8_t *bytes, size_t bytes_count)
{
    return bytes_count >= 8 && bytes[0] == 0 && bytes[1] == 0 && bytes[2] >= 0x08 &&
           bytes[2] <= 0x0e && bytes[3] >= 1 && bytes[3] <= RANK_MAX;
}

static enum sm_code read_header(struct header *header, struct sm_source *source, struct sm_err *err)
{
    uint8_t bytes[4 + 4 * RANK_MAX] = {0};
    enum sm_code code = sm_source_take(source, bytes, 8, err);
    if (code == SM_OK && !sm_idx_sniff(bytes, 8))
        code = sm_err_set(err, SM_CORRUPT, "not an IDX file");
    if (code != SM_OK)
        return code;
    *header = (struct header){.type = bytes[2], .rank = bytes[3], .bytes_count = 4 + 4u * bytes[3]};
    code = sm_source_take(source, bytes + 8, header->bytes_count - 8, err);
    for (int i = 0; i < header->rank; i++) {
        const uint8_t *p = bytes + 4 + (ptrdiff_t)4 * i;
        header->sides[i] = (int64_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];
    }
    return code;
}

/* Checks the size of a plain file; of a gzip file it is checked at the end. */
static enum sm_code check_bytes(const struct sm_source *source, int64_t head, int64_t body,
                                struct sm_err *err)
{
    int64_t bytes = sm_source_bytes(source);
    if (bytes >= 0 && bytes - head != body)
        return sm_err_set(err, SM_CORRUPT,
                          "has %" PRId64 " bytes after its header, its sides need %" PRId64,
                          bytes - head, body);
    return SM_OK;
}

static enum sm_code read_images(struct sm_arrays *a, const char *path, struct sm_err *err)
{
    struct sm_source *source;
    struct header h = {0};
    int64_t body = 1;
    enum sm_code code = sm_source_open(&source, path, err);
    if (code == SM_OK)
        code = read_header(&h, source, err);
    for (int i = 0; i < h.rank; i++)
        if (code == SM_OK && __builtin_mul_overflow(body, h.sides[i], &body))
            code = sm_err_set(err, SM_CORRUPT, "the product of its sides overflows");
    if (code == SM_OK && h.type != 0x08)
        code = sm_err_set(err, SM_UNSUPPORTED, "elements of type 0x%02x, images have 0x08 (u8)",
                          h.type);
    if (code == SM_OK && (h.rank < 3 || (h.rank == 4 && h.sides[3] != 1 && h.sides[3] != 3)))
        code = sm_err_set(err, SM_UNSUPPORTED,
                          "rank %d, images have rank 3, or 4 with 1 or 3 channels%s", h.rank,
                          h.rank == 1 ? ": this is a file of labels, give that of the images" : "");
    if (code == SM_OK)
        code = check_bytes(source, (int64_t)h.bytes_count, body, err);
    sm_source_close(source);
    if (code != SM_OK)
        return code;
    a->height = h.sides[1];
    a->width = h.sides[2];
    a->channels = h.rank == 4 ? h.sides[3] : 1;
    a->parts_count = 1;
    a->parts[0].at = (int64_t)h.bytes_count;
    a->parts[0].count = h.sides[0];
    a->parts[0].whole = true;
    snprintf(a->parts[0].path, sizeof a->parts[0].path, "%s", path);
    snprintf(a->base, sizeof a->base, "%s", sm_data_base(path));
    if (sm_data_ends(a->base, ".gz"))
        a->base[strlen(a->base) - 3] = '\0';
    return SM_OK;
}

static enum sm_code read_labels(struct sm_arrays *a, const char *path, struct sm_err *err)
{
    struct sm_source *source;
    struct header h = {0};
    struct sm_err why = {0};
    int64_t count = a->parts[0].count, wide = 1;
    enum sm_code code = sm_source_open(&source, path, &why);
    if (code == SM_OK)
        code = read_header(&h, source, &why);
    int width = width_of(h.type);
    if (code == SM_OK && (width == 0 || h.rank > 2))
        code = sm_err_set(&why, SM_UNSUPPORTED,
                          "type 0x%02x and rank %d, labels are whole numbers "
                          "of rank 1 or 2",
                          h.type, h.rank);
    if (code == SM_OK && h.sides[0] != count)
        code = sm_err_set(&why, SM_CONFLICT, "%" PRId64 " labels for %" PRId64 " images",
                          h.sides[0], count);
    if (h.rank == 2)
        wide = h.sides[1];
    if (code == SM_OK && (wide < 1 || wide > SM_DATASET_LABELS_MAX))
        code = sm_err_set(&why, SM_LIMIT, "%" PRId64 " labels an image, the limit is %d", wide,
                          SM_DATASET_LABELS_MAX);
    if (code == SM_OK)
        code = check_bytes(source, (int64_t)h.bytes_count, count * wide * width, &why);
    if (code == SM_OK)
        code = sm_ints_read(&a->labels, source, count * wide,
                            (struct sm_int_type){width, h.type != 0x08, true}, &why);
    if (code == SM_OK)
        code = sm_source_end(source, &why);
    sm_source_close(source);
    a->labels_wide = wide;
    return code == SM_OK ? SM_OK : sm_err_set(err, code, "%.80s: %s", sm_data_base(path), why.text);
}

/* Finds the file of labels, packed or not. */
static bool find_labels(char out[PATH_MAX], const char *path)
{
    char name[NAME_MAX + 8];
    struct stat status;
    for (int row = 0; sm_arrays_label_name(name, NAME_MAX, sm_data_base(path), row); row++) {
        static const char *const ends[] = {"", ".gz"};
        size_t length = strlen(name);
        if (length == 0)
            continue;
        if (sm_data_ends(name, ".gz"))
            name[length -= 3] = '\0';
        for (int i = 0; i < 2; i++) {
            memcpy(name + length, ends[i], strlen(ends[i]) + 1);
            if (sm_data_beside(out, path, name) && stat(out, &status) == 0)
                return true; /* not opened: a FIFO would wait for its writer */
        }
    }
    return false;
}

enum sm_code sm_data_open_idx(struct sm_data_reader *out, const struct sm_dataset_place *place,
                              struct sm_err *err)
{
    char path[PATH_MAX];
    struct sm_arrays *a = sm_arrays_new(err);
    if (!a)
        return SM_NOMEM;
    enum sm_code code =
        place->part[0] != '\0'
            ? sm_err_set(err, SM_INVALID, "an IDX file has no part \"%.60s\"", place->part)
            : read_images(a, place->path, err);
    if (code == SM_OK && find_labels(path, place->path))
        code = read_labels(a, path, err);
    if (code == SM_OK)
        return sm_arrays_serve(out, "idx", a, err);
    sm_arrays_close(a);
    return code;
}
