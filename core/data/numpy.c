/* NumPy's .npy and .npz. An image array is uint8 of rank 4 with 1 or 3 channels last, or of rank 3.
 * Its labels are an array of whole numbers of rank 1 or 2, found by its name (sm_arrays_label_name)
 * in the same .npz or in a .npy beside. Entries of an .npz may be deflated, as MedMNIST's are; they
 * are unpacked as images are read. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/ckpt/npy.h"
#include "core/data/arrays.h"
#include "core/data/labels.h"

#define NAME_BYTES 256

/* The header of one array. The text of `descr` is kept here. */
struct array {
    char name[NAME_BYTES]; /* without ".npy" */
    char descr[40];
    bool column_major;
    int rank;
    int64_t shape[SM_TENSOR_RANK_MAX];
    int64_t head_count, count; /* bytes before the elements; elements */
};

static enum sm_code multiply(struct array *array, struct sm_err *err)
{
    array->count = 1;
    for (int i = 0; i < array->rank; i++)
        if (array->shape[i] < 0 ||
            __builtin_mul_overflow(array->count, array->shape[i], &array->count) ||
            array->count > INT64_MAX / 8)
            return sm_err_set(err, SM_CORRUPT,
                              "%.60s: side %d of its shape is %" PRId64
                              ", or the product overflows",
                              array->name, i, array->shape[i]);
    return SM_OK;
}

/* Reads the header and leaves the source at the first element. */
static enum sm_code read_header(struct array *array, struct sm_source *source, struct sm_err *err)
{
    uint8_t head[SM_NPY_HEAD_BYTES_MAX];
    struct sm_npy_header header;
    struct sm_err why = {0};
    size_t head_count = 0, text = 0;
    enum sm_code code = sm_source_take(source, head, 12, &why);
    if (code == SM_OK && memcmp(head, SM_NPY_MAGIC, 6) != 0)
        code = sm_err_set(&why, SM_CORRUPT, "not an array of NumPy");
    size_t width = code == SM_OK && head[6] == 1 ? 2 : 4;
    for (size_t i = 0; code == SM_OK && i < width; i++)
        text |= (size_t)head[8 + i] << (8 * i);
    if (code == SM_OK && text > SM_NPY_HEADER_BYTES_MAX)
        code = sm_err_set(&why, SM_LIMIT, "header has %zu bytes, limit is %d", text,
                          SM_NPY_HEADER_BYTES_MAX);
    if (code == SM_OK && 8 + width + text < 12)
        code = sm_err_set(&why, SM_CORRUPT, "header has %zu bytes", text);
    if (code == SM_OK)
        code = sm_source_take(source, head + 12, 8 + width + text - 12, &why);
    if (code == SM_OK)
        code = sm_npy_read_header(&header, &head_count, head, 8 + width + text, &why);
    if (code != SM_OK)
        return sm_err_set(err, code, "%.60s: %s", array->name, why.text);
    snprintf(array->descr, sizeof array->descr, "%.*s", (int)header.descr_count, header.descr);
    array->column_major = header.column_major;
    array->rank = header.rank;
    memcpy(array->shape, header.shape, sizeof array->shape);
    array->head_count = (int64_t)head_count;
    return multiply(array, err);
}

static void say_shape(char out[128], const struct array *array)
{
    size_t n = 0;
    out[0] = '\0';
    for (int i = 0; i < array->rank && n < 100; i++)
        n += (size_t)snprintf(out + n, 128 - n, "%s%" PRId64, i > 0 ? "," : "", array->shape[i]);
}

static bool is_u8(const struct array *array)
{
    return strcmp(array->descr, "|u1") == 0 || strcmp(array->descr, "u1") == 0;
}

/* Refuses what is no array of images, with what would make it one. */
static enum sm_code check_images(const struct array *array, struct sm_err *err)
{
    const int64_t *s = array->shape;
    char shape[128];
    const char *todo = NULL;
    say_shape(shape, array);
    if (!is_u8(array))
        todo = "images are uint8 from 0 to 255: save it as such";
    else if (array->rank == 3 && (s[2] == 1 || s[2] == 3 || s[2] == 4))
        todo = "it can be one colour image or many grey ones: save it as [n,h,w,channels]";
    else if (array->rank == 4 && s[3] != 1 && s[3] != 3 && (s[1] == 1 || s[1] == 3))
        todo = "channels stand first: save array.transpose(0, 2, 3, 1)";
    else if (array->rank != 3 && (array->rank != 4 || (s[3] != 1 && s[3] != 3)))
        todo = "images have the shape [n,h,w,3], [n,h,w,1] or [n,h,w]";
    else if (array->column_major)
        todo = "it is stored by columns: save numpy.ascontiguousarray(array)";
    if (todo)
        return sm_err_set(err, SM_UNSUPPORTED, "%.50s is %.10s [%.50s]: %s", array->name,
                          array->descr, shape, todo);
    return SM_OK;
}

static enum sm_code check_bytes(const struct array *array, const struct sm_source *source,
                                int64_t width, struct sm_err *err)
{
    int64_t bytes = sm_source_bytes(source);
    if (bytes >= 0 && bytes - array->head_count != array->count * width)
        return sm_err_set(err, SM_CORRUPT,
                          "%.60s has %" PRId64 " bytes of elements, its shape needs %" PRId64,
                          array->name, bytes - array->head_count, array->count * width);
    return SM_OK;
}

static enum sm_code take_images(struct sm_arrays *a, const struct array *array,
                                const struct sm_source *source, struct sm_err *err)
{
    enum sm_code code = check_images(array, err);
    if (code == SM_OK)
        code = check_bytes(array, source, 1, err);
    a->parts_count = 1;
    a->parts[0].at = array->head_count;
    a->parts[0].count = array->shape[0];
    a->parts[0].whole = true;
    a->height = array->shape[1];
    a->width = array->shape[2];
    a->channels = array->rank == 4 ? array->shape[3] : 1;
    snprintf(a->base, sizeof a->base, "%.100s", array->name);
    return code;
}

/* Reads "<i8", "|u1", "|b1" and the like. */
static bool int_type(struct sm_int_type *out, const char *descr)
{
    bool order = strchr("<>|=", descr[0]) && descr[0] != '\0';
    const char *kind = descr + order;
    if (!strchr("iub", kind[0]) || kind[0] == '\0' || !strchr("1248", kind[1]) || kind[1] == '\0' ||
        kind[2] != '\0')
        return false;
    *out = (struct sm_int_type){kind[1] - '0', kind[0] == 'i', descr[0] == '>'};
    return true;
}

static enum sm_code take_labels(struct sm_arrays *a, const struct array *array,
                                struct sm_source *source, struct sm_err *err)
{
    struct sm_int_type type;
    char shape[128];
    int64_t count = a->parts[0].count, wide = array->rank == 2 ? array->shape[1] : 1;
    enum sm_code code = SM_OK;
    say_shape(shape, array);
    if (array->rank < 1 || array->rank > 2 || !int_type(&type, array->descr) ||
        (array->column_major && wide > 1))
        return sm_err_set(err, SM_UNSUPPORTED,
                          "%.60s is %.10s [%.50s], labels are whole numbers [n] or [n,k]",
                          array->name, array->descr, shape);
    if (array->shape[0] != count)
        return sm_err_set(err, SM_CONFLICT, "%.60s has %" PRId64 " labels for %" PRId64 " images",
                          array->name, array->shape[0], count);
    if (wide < 1 || wide > SM_DATASET_LABELS_MAX)
        return sm_err_set(err, SM_LIMIT, "%.60s has %" PRId64 " labels an image, the limit is %d",
                          array->name, wide, SM_DATASET_LABELS_MAX);
    code = check_bytes(array, source, type.width, err);
    struct sm_err why = {0};
    if (code == SM_OK && (code = sm_ints_read(&a->labels, source, array->count, type, &why)))
        sm_err_set(err, code, "%.60s: %.170s", array->name, why.text);
    if (code == SM_OK)
        code = sm_source_end(source, err);
    a->labels_wide = wide;
    return code;
}

/* --- .npy --- */

static enum sm_code open_npy(struct array *array, struct sm_source **source, const char *path,
                             struct sm_err *err)
{
    *array = (struct array){0};
    snprintf(array->name, sizeof array->name, "%.250s", sm_data_base(path));
    enum sm_code code = sm_source_open(source, path, err);
    return code == SM_OK ? read_header(array, *source, err) : code;
}

static enum sm_code two_labels(const char *first, const char *second, const char *images,
                               struct sm_err *err)
{
    return sm_err_set(err, SM_CONFLICT, "%.60s and %.60s can both be the labels of %.60s: keep one",
                      first, second, images);
}

static enum sm_code labels_beside(struct sm_arrays *a, const char *path, struct sm_err *err)
{
    char name[NAME_MAX + 1], beside[PATH_MAX], found[PATH_MAX] = "";
    struct array array;
    struct stat status, first = {0};
    for (int row = 0; sm_arrays_label_name(name, sizeof name, sm_data_base(path), row); row++) {
        if (name[0] == '\0' || !sm_data_beside(beside, path, name) || stat(beside, &status) != 0)
            continue;
        if (found[0] == '\0') {
            memcpy(found, beside, sizeof found);
            first = status;
        } else if (status.st_ino != first.st_ino || status.st_dev != first.st_dev) {
            return two_labels(sm_data_base(found), name, sm_data_base(path), err);
        }
    }
    if (found[0] == '\0')
        return SM_OK;
    struct sm_source *source = NULL;
    enum sm_code code = open_npy(&array, &source, found, err);
    if (code == SM_OK)
        code = take_labels(a, &array, source, err);
    sm_source_close(source);
    return code;
}

enum sm_code sm_data_open_npy(struct sm_data_reader *out, const struct sm_dataset_place *place,
                              struct sm_err *err)
{
    struct sm_arrays *a = sm_arrays_new(err);
    struct sm_source *source = NULL;
    struct array array;
    if (!a)
        return SM_NOMEM;
    enum sm_code code =
        place->part[0] != '\0'
            ? sm_err_set(err, SM_INVALID, "a .npy has no part \"%.60s\"", place->part)
            : open_npy(&array, &source, place->path, err);
    if (code == SM_OK)
        code = take_images(a, &array, source, err);
    sm_source_close(source);
    snprintf(a->parts[0].path, sizeof a->parts[0].path, "%s", place->path);
    if (sm_data_ends(a->base, ".npy"))
        a->base[strlen(a->base) - 4] = '\0';
    if (code == SM_OK)
        code = labels_beside(a, place->path, err);
    if (code == SM_OK)
        return sm_arrays_serve(out, "numpy", a, err);
    sm_arrays_close(a);
    return code;
}

/* --- .npz --- */

static enum sm_code open_entry(struct array *array, struct sm_source **source, struct sm_arrays *a,
                               uint64_t entry, struct sm_err *err)
{
    const char *name = sm_zip_name(a->zip, entry);
    *array = (struct array){0};
    snprintf(array->name, sizeof array->name, "%.250s", name);
    if (sm_data_ends(array->name, ".npy"))
        array->name[strlen(array->name) - 4] = '\0';
    enum sm_code code = sm_source_open_entry(source, a->zip, entry, err);
    return code == SM_OK ? read_header(array, *source, err) : code;
}

/* Returns true if `part` is the array's name or what is left of it without "images" or "x". */
static bool is_part(const char *part, const char *name)
{
    static const struct {
        const char *before, *after;
    } forms[] = {{"", ""}, {"", "_images"}, {"", "_data"}, {"x_", ""}, {"X_", ""}};
    char text[NAME_BYTES + 16];
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        snprintf(text, sizeof text, "%s%s%s", forms[i].before, part, forms[i].after);
        if (strcmp(text, name) == 0)
            return true;
    }
    return false;
}

/* Looks at every array and lists the images in `names`. *found: how many of them `part` can be. */
static enum sm_code find_images(uint64_t *entry, int *found, char names[160], struct sm_arrays *a,
                                const char *part, struct sm_err *err)
{
    size_t n = 0;
    *found = 0;
    names[0] = '\0';
    for (uint64_t i = 0; i < sm_zip_count(a->zip); i++) {
        struct sm_source *source = NULL;
        struct sm_err why = {0};
        struct array array;
        enum sm_code code = open_entry(&array, &source, a, i, &why);
        sm_source_close(source);
        bool wanted = is_part(part, array.name);
        if (code != SM_OK && (wanted || code == SM_NOMEM || code == SM_LIMIT))
            return sm_err_set(err, code, "%.230s", why.text);
        bool image = code == SM_OK && is_u8(&array) && array.rank >= 3;
        if (image && n < 140)
            n += (size_t)snprintf(names + n, 160 - n, "%s%.60s", n > 0 ? ", " : "", array.name);
        if (part[0] != '\0' ? !wanted : !image)
            continue;
        *entry = i;
        ++*found;
    }
    return SM_OK;
}

static enum sm_code choose_images(uint64_t *entry, struct sm_arrays *a,
                                  const struct sm_dataset_place *place, struct sm_err *err)
{
    char names[160];
    int found;
    enum sm_code code = find_images(entry, &found, names, a, place->part, err);
    if (code != SM_OK || found == 1)
        return code;
    if (names[0] == '\0')
        return sm_err_set(err, SM_UNSUPPORTED,
                          "none of its %" PRIu64 " arrays is uint8 of rank 3 "
                          "or 4, as images are",
                          sm_zip_count(a->zip));
    if (place->part[0] != '\0')
        return sm_err_set(err, SM_INVALID, "\"%.60s\" is %s; its images: %.120s", place->part,
                          found == 0 ? "none of its arrays" : "more than one array", names);
    return sm_err_set(err, SM_INVALID,
                      "has %d arrays of images, say which, as in FILE:NAME[@LIST]: %.120s", found,
                      names);
}

/* NumPy writes NAME.npy; other writers leave the ending out. Adds the entries of `name` to `found`,
 * which keeps the first two. */
static void find_entries(int64_t found[2], const struct sm_arrays *a, const char *name)
{
    char entry_name[NAME_BYTES + 8];
    snprintf(entry_name, sizeof entry_name, "%s.npy", name);
    const int64_t entries[] = {sm_zip_find(a->zip, entry_name), sm_zip_find(a->zip, name)};
    for (int i = 0; i < 2; i++)
        if (entries[i] >= 0 && found[0] != entries[i])
            found[found[0] >= 0] = entries[i];
}

/* Finds the first two entries that can be the labels of `images` by name; -1: none. */
static void find_labels(int64_t found[2], const struct sm_arrays *a, const char *images)
{
    char name[NAME_BYTES];
    found[0] = found[1] = -1;
    for (int row = 0; sm_arrays_label_name(name, sizeof name, images, row); row++)
        if (name[0] != '\0')
            find_entries(found, a, name);
}

/* Marks the labels of all arrays of images but those of `images`. */
static enum sm_code mark_owned(bool *owned, struct sm_arrays *a, const char *images,
                               struct sm_err *err)
{
    for (uint64_t i = 0; i < sm_zip_count(a->zip); i++) {
        struct sm_source *source = NULL;
        struct sm_err ignored = {0};
        struct array array;
        enum sm_code code = open_entry(&array, &source, a, i, &ignored);
        sm_source_close(source);
        if (code == SM_NOMEM)
            return sm_err_set(err, code, "%.200s", ignored.text);
        if (code != SM_OK || !is_u8(&array) || array.rank < 3 || strcmp(array.name, images) == 0)
            continue;
        int64_t found[2];
        find_labels(found, a, array.name);
        for (int k = 0; k < 2; k++)
            if (found[k] >= 0)
                owned[found[k]] = true;
    }
    return SM_OK;
}

/* Refuses images without labels by name if other arrays can be their labels: whole numbers, one an
 * image. A class that got lost without a word would put all images into one. */
static enum sm_code refuse_left_over(const bool *owned, struct sm_arrays *a, const char *images,
                                     struct sm_err *err)
{
    char names[100] = "", wanted[NAME_BYTES] = "";
    size_t n = 0;
    for (uint64_t i = 0; i < sm_zip_count(a->zip); i++) {
        struct sm_source *source = NULL;
        struct sm_err ignored = {0};
        struct sm_int_type type;
        struct array array;
        enum sm_code code = owned[i] ? SM_NOT_FOUND : open_entry(&array, &source, a, i, &ignored);
        sm_source_close(source);
        if (code == SM_NOMEM)
            return sm_err_set(err, code, "%.200s", ignored.text);
        if (code == SM_OK && array.rank == 1 && array.shape[0] == a->parts[0].count &&
            int_type(&type, array.descr) && n < 60)
            n += (size_t)snprintf(names + n, sizeof names - n, "%s%.36s", n > 0 ? ", " : "",
                                  array.name);
    }
    if (n == 0)
        return SM_OK;
    for (int row = 0; wanted[0] == '\0'; row++)
        if (!sm_arrays_label_name(wanted, sizeof wanted, images, row))
            break;
    return sm_err_set(
        err, SM_INVALID,
        "no name tells the labels of %.40s, and these can be: %s: save it as %.40s, or "
        "leave out what are no labels",
        images, names, wanted[0] != '\0' ? wanted : "labels beside images");
}

static enum sm_code check_left_over(struct sm_arrays *a, const char *images, struct sm_err *err)
{
    bool *owned = calloc(sm_zip_count(a->zip), sizeof *owned);
    if (!owned)
        return sm_err_set(err, SM_NOMEM, "dataset: out of memory");
    enum sm_code code = mark_owned(owned, a, images, err);
    if (code == SM_OK)
        code = refuse_left_over(owned, a, images, err);
    free(owned);
    return code;
}

static enum sm_code labels_in_zip(struct sm_arrays *a, const char *images, struct sm_err *err)
{
    struct array array;
    int64_t found[2];
    find_labels(found, a, images);
    if (found[1] >= 0)
        return two_labels(sm_zip_name(a->zip, (uint64_t)found[0]),
                          sm_zip_name(a->zip, (uint64_t)found[1]), images, err);
    if (found[0] < 0)
        return check_left_over(a, images, err);
    struct sm_source *source = NULL;
    enum sm_code code = open_entry(&array, &source, a, (uint64_t)found[0], err);
    if (code == SM_OK)
        code = take_labels(a, &array, source, err);
    sm_source_close(source);
    return code;
}

static enum sm_code read_npz(struct sm_arrays *a, const struct sm_dataset_place *place,
                             struct sm_err *err)
{
    struct sm_source *source = NULL;
    struct array array;
    uint64_t entry = 0;
    enum sm_code code = sm_file_map(&a->file, place->path, INT64_MAX, err);
    if (code == SM_OK)
        code = sm_zip_open(&a->zip, a->file.bytes, a->file.bytes_count, err);
    if (code == SM_OK)
        code = choose_images(&entry, a, place, err);
    if (code == SM_OK)
        code = open_entry(&array, &source, a, entry, err);
    if (code == SM_OK)
        code = take_images(a, &array, source, err);
    sm_source_close(source);
    a->parts[0].in_zip = true;
    a->parts[0].entry = entry;
    return code == SM_OK ? labels_in_zip(a, array.name, err) : code;
}

enum sm_code sm_data_open_npz(struct sm_data_reader *out, const struct sm_dataset_place *place,
                              struct sm_err *err)
{
    struct sm_arrays *a = sm_arrays_new(err);
    if (!a)
        return SM_NOMEM;
    enum sm_code code = read_npz(a, place, err);
    if (code == SM_OK)
        return sm_arrays_serve(out, "numpy", a, err);
    sm_arrays_close(a);
    return code;
}
