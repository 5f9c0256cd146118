/* CIFAR-10 and CIFAR-100. Images are planes [3, 32, 32].
 *
 * A pickled batch is a dict with "data", a uint8 array [n, 3072], and "labels" or "fine_labels", a
 * list. The pickle machine of core/ckpt reads it as inert values. Only the globals that NumPy
 * writes for an array may occur; a pickle that names another one is refused, and nothing is
 * imported or called in any case. After the dict was read, only the position of the pixels in the
 * file is kept.
 *
 * A binary record is the class (CIFAR-100: the coarse, then the fine class) and 3072 bytes.
 *
 * A file in the same folder has the names of the classes: batches.meta or meta (pickles),
 * batches.meta.txt or fine_label_names.txt (lines). Without it classes are numbers. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/ckpt/pickle.h"
#include "core/data/arrays.h"

#define SIDE        32
#define IMAGE_BYTES (3 * SIDE * SIDE)
#define META_BYTES  (1 << 20)
#define CLASSES_10  10
#define CLASSES_100 100

/* --- pickles --- */

struct batch {
    struct sm_file file;
    struct sm_pickle pickle;
};

static void release(struct batch *batch)
{
    sm_pickle_release(&batch->pickle);
    sm_file_release(&batch->file);
}

static const struct {
    const char *module, *name;
} allowed[] = {{"numpy.core.multiarray", "_reconstruct"},
               {"numpy._core.multiarray", "_reconstruct"},
               {"numpy.core.numeric", "_frombuffer"},
               {"numpy._core.numeric", "_frombuffer"},
               {"numpy", "ndarray"},
               {"numpy", "dtype"}};

static enum sm_code check_globals(const struct sm_pickle *p, struct sm_err *err)
{
    for (uint32_t i = 0; i < p->values_count; i++) {
        bool known = p->values[i].kind != SM_VALUE_GLOBAL;
        for (size_t k = 0; !known && k < sizeof allowed / sizeof *allowed; k++)
            known = sm_pickle_is_global(p, i, allowed[k].module, allowed[k].name);
        if (known)
            continue;
        struct sm_slice module = p->values[i].as.global.module, name = p->values[i].as.global.name;
        return sm_err_set(err, SM_UNSUPPORTED,
                          "the pickle names %.*s.%.*s; only NumPy's arrays are read, and nothing "
                          "was run",
                          (int)(module.count < 60 ? module.count : 60), sm_slice_text(p, module),
                          (int)(name.count < 60 ? name.count : 60), sm_slice_text(p, name));
    }
    return SM_OK;
}

static bool is_word(const struct sm_pickle *p, uint32_t value, const char *text)
{
    const struct sm_value *v = &p->values[value];
    return (v->kind == SM_VALUE_TEXT || v->kind == SM_VALUE_BYTES) &&
           sm_slice_is(p, v->as.text, text);
}

/* Refuses a dict that has a key of a batch twice: Python takes the last value of a key. */
static enum sm_code check_keys(const struct sm_pickle *p, struct sm_err *err)
{
    static const char *const keys[] = {"data", "labels", "fine_labels", "label_names",
                                       "fine_label_names"};
    for (size_t k = 0; k < sizeof keys / sizeof *keys; k++) {
        int found = 0;
        for (uint32_t link = p->values[p->root].as.items.first; link != 0;
             link = p->links[p->links[link].next].next)
            found += is_word(p, p->links[link].value, keys[k]);
        if (found > 1)
            return sm_err_set(err, SM_CORRUPT, "the dict has \"%s\" %d times", keys[k], found);
    }
    return SM_OK;
}

static enum sm_code open_batch(struct batch *batch, const char *path, int64_t bytes_max,
                               struct sm_err *err)
{
    *batch = (struct batch){0};
    enum sm_code code = sm_file_map(&batch->file, path, bytes_max, err);
    if (code == SM_OK && batch->file.bytes_count == 0)
        code = sm_err_set(err, SM_CORRUPT, "has 0 bytes");
    if (code == SM_OK)
        code = sm_pickle_parse_within(&batch->pickle, batch->file.bytes, batch->file.bytes_count,
                                      SM_DATASET_PICKLE_BYTES_MAX, err);
    if (code == SM_OK)
        code = check_globals(&batch->pickle, err);
    if (code == SM_OK && batch->pickle.values[batch->pickle.root].kind != SM_VALUE_DICT)
        code = sm_err_set(err, SM_UNSUPPORTED, "the pickle is no dict, as a batch of CIFAR is");
    return code == SM_OK ? check_keys(&batch->pickle, err) : code;
}

/* Returns the value of a key of the root, a text or bytes; 0: none. */
static uint32_t entry(const struct sm_pickle *p, const char *key)
{
    uint32_t link = p->values[p->root].as.items.first;
    while (link != 0) {
        uint32_t value = p->links[link].next;
        if (is_word(p, p->links[link].value, key))
            return p->links[value].value;
        link = p->links[value].next;
    }
    return 0;
}

/* The parts of a pickled array: its shape, its type and its bytes. */
struct pixels {
    uint32_t shape, dtype, bytes;
};

static bool find_pixels(struct pixels *out, const struct sm_pickle *p, uint32_t value)
{
    const struct sm_value *v = &p->values[value];
    if (v->kind != SM_VALUE_OBJECT)
        return false;
    uint32_t call = v->as.object.callable, args = v->as.object.args, state = v->as.object.state;
    if (sm_pickle_is_global(p, call, "numpy.core.numeric", "_frombuffer") ||
        sm_pickle_is_global(p, call, "numpy._core.numeric", "_frombuffer"))
        *out = (struct pixels){sm_pickle_item(p, args, 2), sm_pickle_item(p, args, 1),
                               sm_pickle_item(p, args, 0)};
    else /* (version, shape, dtype, by columns, bytes) */
        *out = (struct pixels){sm_pickle_item(p, state, 1), sm_pickle_item(p, state, 2),
                               sm_pickle_item(p, state, 4)};
    const struct sm_value *dtype = &p->values[out->dtype];
    uint8_t kind = p->values[out->bytes].kind;
    return dtype->kind == SM_VALUE_OBJECT && (kind == SM_VALUE_TEXT || kind == SM_VALUE_BYTES);
}

/* Returns the side of square images of `bytes` bytes in three planes; 0: there is none. */
static int64_t side_of(int64_t bytes)
{
    for (int64_t side = 1; 3 * side * side <= bytes; side++)
        if (3 * side * side == bytes)
            return side;
    return 0;
}

static int64_t number_of(const struct sm_pickle *p, uint32_t value)
{
    return p->values[value].kind == SM_VALUE_INT ? p->values[value].as.number : -1;
}

static enum sm_code take_data(struct sm_arrays *a, struct sm_arrays_part *part,
                              const struct sm_pickle *p, struct sm_err *err)
{
    struct pixels pixels;
    uint32_t data = entry(p, "data");
    if (data == 0 || !find_pixels(&pixels, p, data))
        return sm_err_set(err, SM_UNSUPPORTED, "the dict has no \"data\" that is an array");
    uint32_t type = sm_pickle_item(p, p->values[pixels.dtype].as.object.args, 0);
    bool u8 = is_word(p, type, "u1") || is_word(p, type, "|u1") || is_word(p, type, "uint8");
    const struct sm_value *shape = &p->values[pixels.shape];
    int64_t count = number_of(p, sm_pickle_item(p, pixels.shape, 0));
    int64_t wide = number_of(p, sm_pickle_item(p, pixels.shape, 1));
    int64_t bytes = p->values[pixels.bytes].as.text.count, side, wanted;
    if (!u8 || shape->kind != SM_VALUE_TUPLE || shape->as.items.count != 2 || count < 0)
        return sm_err_set(err, SM_UNSUPPORTED, "\"data\" is not uint8 [n, 3072]");
    if (wide < 3 || wide > 3 * 1024 * 1024 || (side = side_of(wide)) == 0)
        return sm_err_set(
            err, SM_UNSUPPORTED,
            "\"data\" has %" PRId64 " bytes an image, 3 planes of a square are needed", wide);
    if (__builtin_mul_overflow(count, wide, &wanted) || wanted != bytes)
        return sm_err_set(err, SM_CORRUPT,
                          "\"data\" has %" PRId64 " bytes, its shape [%" PRId64 ",%" PRId64
                          "] needs others",
                          bytes, count, wide);
    if (a->parts_count > 0 && side != a->height)
        return sm_err_set(err, SM_CONFLICT, "images of %" PRId64 " pixels a side, before %" PRId64,
                          side, a->height);
    a->height = a->width = side;
    a->channels = 3;
    a->planar = true;
    part->at = p->values[pixels.bytes].as.text.at;
    part->count = count;
    return SM_OK;
}

static enum sm_code take_labels(struct sm_arrays *a, int64_t first, int64_t count,
                                const struct sm_pickle *p, struct sm_err *err)
{
    static const char *const keys[] = {"labels", "fine_labels"};
    uint32_t list = entry(p, keys[0]), key = 0;
    if (list == 0)
        list = entry(p, keys[key = 1]);
    if (list == 0)
        return sm_err_set(err, SM_CORRUPT, "the dict has neither \"labels\" nor \"fine_labels\"");
    const struct sm_value *v = &p->values[list];
    if (v->kind != SM_VALUE_LIST)
        return sm_err_set(err, SM_UNSUPPORTED, "\"%s\" is not a list", keys[key]);
    if (v->as.items.count != count)
        return sm_err_set(err, SM_CONFLICT, "\"%s\" has %" PRIu32 " entries for %" PRId64 " images",
                          keys[key], v->as.items.count, count);
    if (first + count == 0)
        return SM_OK;
    int64_t *labels = realloc(a->labels, (size_t)(first + count) * sizeof *labels);
    if (!labels)
        return sm_err_set(err, SM_NOMEM, "no memory for %" PRId64 " labels", first + count);
    a->labels = labels;
    a->labels_wide = 1;
    uint32_t link = v->as.items.first;
    for (int64_t i = first; link != 0; link = p->links[link].next, i++) {
        if (p->values[p->links[link].value].kind != SM_VALUE_INT)
            return sm_err_set(err, SM_CORRUPT, "\"%s\": entry %" PRId64 " is no whole number",
                              keys[key], i - first);
        a->labels[i] = p->values[p->links[link].value].as.number;
    }
    return SM_OK;
}

static enum sm_code add_pickle(struct sm_arrays *a, const char *path, struct sm_err *err)
{
    struct batch batch;
    int64_t first = 0;
    if (a->parts_count == SM_ARRAYS_PARTS_MAX)
        return sm_err_set(err, SM_LIMIT, "over %d batches", SM_ARRAYS_PARTS_MAX);
    struct sm_arrays_part *part = &a->parts[a->parts_count];
    for (int i = 0; i < a->parts_count; i++)
        first += a->parts[i].count;
    enum sm_code code = open_batch(&batch, path, SM_DATASET_PICKLE_BYTES_MAX, err);
    if (code == SM_OK)
        code = take_data(a, part, &batch.pickle, err);
    if (code == SM_OK)
        code = take_labels(a, first, part->count, &batch.pickle, err);
    release(&batch);
    snprintf(part->path, sizeof part->path, "%s", path);
    a->parts_count++;
    return code;
}

/* --- names of classes --- */

static enum sm_code add_name(struct sm_arrays *a, const char *text, size_t count,
                             struct sm_err *err)
{
    if (a->names_count == SM_DATASET_CLASSES_MAX)
        return sm_err_set(err, SM_LIMIT, "over %d names of classes", SM_DATASET_CLASSES_MAX);
    char **names = realloc(a->names, (size_t)(a->names_count + 1) * sizeof *names);
    if (names)
        a->names = names;
    if (!names || !(names[a->names_count] = strndup(text, count)))
        return sm_err_set(err, SM_NOMEM, "no memory for names of classes");
    a->names_count++;
    return SM_OK;
}

static enum sm_code names_of_pickle(struct sm_arrays *a, const char *path, struct sm_err *err)
{
    struct batch batch;
    enum sm_code code = open_batch(&batch, path, META_BYTES, err);
    const struct sm_pickle *p = &batch.pickle;
    uint32_t list = code == SM_OK ? entry(p, "fine_label_names") : 0;
    if (code == SM_OK && list == 0)
        list = entry(p, "label_names");
    if (code == SM_OK && p->values[list].kind != SM_VALUE_LIST)
        code = sm_err_set(err, SM_CORRUPT, "the dict has no list of names");
    uint32_t link = code == SM_OK ? p->values[list].as.items.first : 0;
    for (; code == SM_OK && link != 0; link = p->links[link].next) {
        const struct sm_value *v = &p->values[p->links[link].value];
        code = v->kind == SM_VALUE_TEXT || v->kind == SM_VALUE_BYTES
                   ? add_name(a, sm_slice_text(p, v->as.text), v->as.text.count, err)
                   : sm_err_set(err, SM_CORRUPT, "a name of a class is no text");
    }
    release(&batch);
    return code;
}

static enum sm_code names_of_lines(struct sm_arrays *a, const char *path, struct sm_err *err)
{
    struct sm_file file;
    int64_t number = 0, blank = 0; /* of the line; of the last line without a name */
    enum sm_code code = sm_file_map(&file, path, META_BYTES, err);
    for (size_t at = 0; code == SM_OK && at < file.bytes_count;) {
        const uint8_t *line = file.bytes + at, *end = memchr(line, '\n', file.bytes_count - at);
        size_t n = end ? (size_t)(end - line) : file.bytes_count - at;
        at += n + 1;
        number++;
        if (n > 0 && line[n - 1] == '\r')
            n--;
        if (n == 0)
            blank = number;
        else if (blank > 0)
            code = sm_err_set(err, SM_CORRUPT,
                              "line %" PRId64 " is empty, line %" PRId64
                              " names a class: the line is the number of a class",
                              blank, number);
        else
            code = add_name(a, (const char *)line, n, err);
    }
    sm_file_release(&file);
    return code;
}

/* Reads the first of `files` that exists in the folder of `path`. */
static enum sm_code read_names(struct sm_arrays *a, const char *path, const char *const *files,
                               enum sm_code (*read)(struct sm_arrays *, const char *,
                                                    struct sm_err *),
                               struct sm_err *err)
{
    char beside[PATH_MAX];
    struct stat status;
    for (; *files; files++) {
        struct sm_err why = {0};
        if (!sm_data_beside(beside, path, *files) || stat(beside, &status) != 0)
            continue;
        enum sm_code code = read(a, beside, &why);
        return code == SM_OK ? SM_OK : sm_err_set(err, code, "%s: %.200s", *files, why.text);
    }
    return SM_OK;
}

static enum sm_code names_of_python(struct sm_arrays *a, const char *path, struct sm_err *err)
{
    static const char *const files[] = {"batches.meta", "meta", NULL};
    return read_names(a, path, files, names_of_pickle, err);
}

/* --- binary --- */

static enum sm_code add_binary(struct sm_arrays *a, const char *path, struct sm_err *err)
{
    char beside[PATH_MAX];
    struct stat status, names;
    if (a->parts_count == SM_ARRAYS_PARTS_MAX)
        return sm_err_set(err, SM_LIMIT, "over %d batches", SM_ARRAYS_PARTS_MAX);
    if (stat(path, &status) != 0)
        return sm_err_set(err, SM_IO, "cannot be read");
    /* A file whose size fits both is CIFAR-100 if its names are. */
    bool hundred =
        status.st_size % (2 + IMAGE_BYTES) == 0 &&
        (status.st_size % (1 + IMAGE_BYTES) != 0 ||
         (sm_data_beside(beside, path, "fine_label_names.txt") && stat(beside, &names) == 0));
    int labels = hundred ? 2 : 1;
    if (status.st_size == 0 || status.st_size % (labels + IMAGE_BYTES) != 0)
        return sm_err_set(err, SM_CORRUPT,
                          "%lld bytes are no multiple of %d (CIFAR-10) or %d (CIFAR-100)",
                          (long long)status.st_size, 1 + IMAGE_BYTES, 2 + IMAGE_BYTES);
    if (a->parts_count > 0 && a->label_bytes != labels)
        return sm_err_set(err, SM_CONFLICT, "%.60s has %d labels an image, the batch before %d",
                          sm_data_base(path), labels, a->label_bytes);
    a->height = a->width = SIDE;
    a->channels = 3;
    a->planar = true;
    a->label_bytes = labels;
    struct sm_arrays_part *part = &a->parts[a->parts_count++];
    part->count = status.st_size / (labels + IMAGE_BYTES);
    part->whole = true;
    snprintf(part->path, sizeof part->path, "%s", path);
    return SM_OK;
}

/* Without names the classes are numbers, which bound what a label may be. */
static enum sm_code names_of_binary(struct sm_arrays *a, const char *path, struct sm_err *err)
{
    static const char *const files[] = {"batches.meta.txt", "fine_label_names.txt", NULL};
    int classes = a->label_bytes == 2 ? CLASSES_100 : CLASSES_10;
    enum sm_code code = read_names(a, path, files, names_of_lines, err);
    for (int i = 0; code == SM_OK && a->names_count == i && i < classes; i++) {
        char number[16];
        int n = snprintf(number, sizeof number, "%d", i);
        code = add_name(a, number, (size_t)n, err);
    }
    return code;
}

/* --- files and folders --- */

static const struct kind {
    const char *format;
    const char *train[6], *test[2]; /* names of the batches, NULL-terminated */
    enum sm_code (*add)(struct sm_arrays *a, const char *path, struct sm_err *err);
    enum sm_code (*names)(struct sm_arrays *a, const char *path, struct sm_err *err);
    const char *mark; /* the folder has this file and the first of `train` */
} kinds[] = {
    {"cifar-python",
     {"data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5"},
     {"test_batch"},
     add_pickle,
     names_of_python,
     "batches.meta"},
    {"cifar-python", {"train"}, {"test"}, add_pickle, names_of_python, "meta"},
    {"cifar-binary",
     {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin",
      "data_batch_5.bin"},
     {"test_batch.bin"},
     add_binary,
     names_of_binary,
     "batches.meta.txt"},
    {"cifar-binary",
     {"train.bin"},
     {"test.bin"},
     add_binary,
     names_of_binary,
     "fine_label_names.txt"},
};

static bool has(char path[PATH_MAX], const char *folder, const char *name)
{
    struct stat status;
    int n = snprintf(path, PATH_MAX, "%s/%s", folder, name);
    return n >= 0 && n < PATH_MAX && stat(path, &status) == 0 && S_ISREG(status.st_mode);
}

static const struct kind *kind_of(const char *folder)
{
    char path[PATH_MAX];
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (has(path, folder, kinds[i].mark) &&
            (has(path, folder, kinds[i].train[0]) || has(path, folder, kinds[i].test[0])))
            return &kinds[i];
    return NULL;
}

bool sm_data_is_cifar_folder(const char *path)
{
    return kind_of(path) != NULL;
}

static enum sm_code serve(struct sm_data_reader *out, const struct kind *kind, struct sm_arrays *a,
                          enum sm_code code, struct sm_err *err)
{
    if (code == SM_OK)
        code = kind->names(a, a->parts[0].path, err);
    if (code == SM_OK)
        return sm_arrays_serve(out, kind->format, a, err);
    sm_arrays_close(a);
    return code;
}

static enum sm_code open_file(struct sm_data_reader *out, const struct sm_dataset_place *place,
                              const struct kind *kind, struct sm_err *err)
{
    struct sm_arrays *a = sm_arrays_new(err);
    if (!a)
        return SM_NOMEM;
    snprintf(a->base, sizeof a->base, "%.100s", sm_data_base(place->path));
    if (sm_data_ends(a->base, ".bin"))
        a->base[strlen(a->base) - 4] = '\0';
    return serve(out, kind, a,
                 place->part[0] != '\0' ? sm_err_set(err, SM_INVALID,
                                                     "a batch has no part \"%.60s\"; its folder "
                                                     "has train and test",
                                                     place->part)
                                        : kind->add(a, place->path, err),
                 err);
}

enum sm_code sm_data_open_pickle(struct sm_data_reader *out, const struct sm_dataset_place *place,
                                 struct sm_err *err)
{
    return open_file(out, place, &kinds[0], err);
}

enum sm_code sm_data_open_binary(struct sm_data_reader *out, const struct sm_dataset_place *place,
                                 struct sm_err *err)
{
    return open_file(out, place, &kinds[2], err);
}

enum sm_code sm_data_open_cifar_folder(struct sm_data_reader *out,
                                       const struct sm_dataset_place *place, struct sm_err *err)
{
    const struct kind *kind = kind_of(place->path);
    bool train = strcmp(place->part, "train") == 0, test = strcmp(place->part, "test") == 0;
    char path[PATH_MAX];
    if (!train && !test)
        return sm_err_set(
            err, SM_INVALID,
            "a folder of CIFAR's batches has the parts train and test, not \"%.60s\": "
            "say which, as in FOLDER:train[@LIST]",
            place->part);
    struct sm_arrays *a = sm_arrays_new(err);
    enum sm_code code = a ? SM_OK : SM_NOMEM;
    if (!a)
        return code;
    snprintf(a->base, sizeof a->base, "%s", train ? "train" : "test");
    for (const char *const *name = train ? kind->train : kind->test; code == SM_OK && *name;
         name++) {
        struct sm_err why = {0};
        code = has(path, place->path, *name)
                   ? kind->add(a, path, &why)
                   : sm_err_set(&why, SM_NOT_FOUND, "the file is missing");
        if (code != SM_OK)
            sm_err_set(err, code, "%s: %.200s", *name, why.text);
    }
    return serve(out, kind, a, code, err);
}
