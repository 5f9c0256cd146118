/* Finds the parts of an argument and the format of its path, and hands on the images that an index
 * list has chosen. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#include "core/base/kind.h"
#include "core/ckpt/npy.h"
#include "core/data/data.h"
#include "core/data/idx.h"
#include "core/data/source.h"
#include "sslmem/image.h"

struct sm_dataset {
    struct sm_dataset_place place;
    struct sm_data_reader reader;
    int64_t *chosen; /* ascending indices; NULL: all images */
    int64_t count, next;
};

/* --- small things that formats share --- */

const char *sm_data_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash && slash[1] != '\0' ? slash + 1 : path;
}

bool sm_data_ends(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

bool sm_data_beside(char out[PATH_MAX], const char *path, const char *name)
{
    const char *slash = strrchr(path, '/');
    int folder = slash ? (int)(slash + 1 - path) : 0;
    int n = snprintf(out, PATH_MAX, "%.*s%s", folder, path, name);
    return n >= 0 && n < PATH_MAX;
}

void sm_data_copy_label(char out[SM_DATASET_LABEL_BYTES_MAX + 1], const char *text, size_t count)
{
    const char *nul = memchr(text, '\0', count);
    if (nul)
        count = (size_t)(nul - text);
    if (count > SM_DATASET_LABEL_BYTES_MAX) {
        count = SM_DATASET_LABEL_BYTES_MAX;
        while (count > 0 && ((uint8_t)text[count] & 0xc0) == 0x80)
            count--;
    }
    memcpy(out, text, count);
    out[count] = '\0';
}

void sm_data_folder_class(char out[SM_DATASET_LABEL_BYTES_MAX + 1], const char *name)
{
    while (strncmp(name, "./", 2) == 0)
        name += 2;
    const char *slash = strchr(name, '/');
    sm_data_copy_label(out, name, slash ? (size_t)(slash - name) : 0);
}

enum sm_code sm_data_check_unpacked(int64_t unpacked, int64_t packed, struct sm_err *err)
{
    if (unpacked > SM_DATASET_UNPACKED_BYTES_MAX)
        return sm_err_set(err, SM_LIMIT, "unpacks to %" PRId64 " bytes, the limit is %" PRId64,
                          unpacked, SM_DATASET_UNPACKED_BYTES_MAX);
    if ((unpacked - SM_DATA_RATIO_SLACK_BYTES) / SM_DATASET_RATIO_MAX > packed)
        return sm_err_set(err, SM_LIMIT,
                          "%" PRId64 " bytes unpack to %" PRId64 ", the limit is %d times", packed,
                          unpacked, SM_DATASET_RATIO_MAX);
    return SM_OK;
}

/* --- the argument --- */

static bool exists(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0;
}

static bool is_folder(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

/* Cuts `path` at its last `mark` and copies the rest to `after`. */
static void cut(char *path, char mark, char *after, size_t after_size)
{
    char *at = strrchr(path, mark);
    if (!at || at == path || at[1] == '\0')
        return;
    snprintf(after, after_size, "%s", at + 1);
    *at = '\0';
}

enum sm_code sm_dataset_place(struct sm_dataset_place *out, const char *argument,
                              struct sm_err *err)
{
    *out = (struct sm_dataset_place){0};
    int n = snprintf(out->path, sizeof out->path, "%s", argument);
    if (n < 0 || (size_t)n >= sizeof out->path)
        return sm_err_set(err, SM_LIMIT, "a dataset's argument of %zu bytes, the limit is %d",
                          strlen(argument), PATH_MAX - 1);
    if (!exists(out->path))
        cut(out->path, '@', out->list, sizeof out->list);
    if (!exists(out->path))
        cut(out->path, ':', out->part, sizeof out->part);
    if (!exists(out->path))
        return sm_err_set(err, SM_NOT_FOUND, "%.140s: %s%s", argument, strerror(errno),
                          out->list[0] != '\0' || out->part[0] != '\0'
                              ? " (a dataset is PATH[:PART][@LIST])"
                              : "");
    out->is_folder = is_folder(out->path) && out->part[0] == '\0' && out->list[0] == '\0' &&
                     !sm_data_is_cifar_folder(out->path);
    return SM_OK;
}

/* --- the format --- */

struct head {
    uint8_t bytes[SM_DATA_HEAD_BYTES], unpacked[SM_DATA_HEAD_BYTES];
    size_t count, unpacked_count; /* unpacked: of a gzip file, else 0 */
    const char *path;
};

static bool begins(const struct head *head, const char *magic, size_t at)
{
    size_t n = strlen(magic);
    return head->count >= at + n && memcmp(head->bytes + at, magic, n) == 0;
}

static bool is_image(const struct head *h)
{
    return sm_image_sniff(h->bytes, h->count) != NULL;
}

static bool is_npy(const struct head *h)
{
    return begins(h, SM_NPY_MAGIC, 0);
}

static bool is_npz(const struct head *h)
{
    const char *name;
    size_t count;
    return sm_data_ends(h->path, ".npz") || (sm_zip_sniff(h->bytes, h->count, &name, &count) &&
                                             count > 4 && memcmp(name + count - 4, ".npy", 4) == 0);
}

static bool is_idx(const struct head *h)
{
    return sm_idx_sniff(h->bytes, h->count) || sm_idx_sniff(h->unpacked, h->unpacked_count);
}

static bool is_archive(const struct head *h)
{
    return begins(h, "ustar", 257) || begins(h, "PK\3\4", 0) || begins(h, "\x1f\x8b", 0) ||
           begins(h, "\x28\xb5\x2f\xfd", 0) || sm_data_ends(h->path, ".tar");
}

static bool is_pickle(const struct head *h)
{
    return h->count > 2 && h->bytes[0] == 0x80 && h->bytes[1] >= 2 && h->bytes[1] <= 5;
}

static bool is_binary(const struct head *h)
{
    return sm_data_ends(h->path, ".bin");
}

static bool is_csv(const struct head *h)
{
    return sm_data_ends(h->path, ".csv");
}

static bool is_lines(const struct head *h)
{
    size_t at = begins(h, "\xef\xbb\xbf", 0) ? 3 : 0;
    while (at < h->count && (h->bytes[at] == ' ' || h->bytes[at] == '\n'))
        at++;
    return at < h->count && h->bytes[at] == '{';
}

/* In the order in which they are asked: those with a sure mark first. */
static const struct {
    bool (*sniff)(const struct head *head);
    sm_data_opener *open;
} formats[] = {{is_image, sm_data_open_image},     {is_npy, sm_data_open_npy},
               {is_npz, sm_data_open_npz},         {is_idx, sm_data_open_idx},
               {is_archive, sm_data_open_archive}, {is_csv, sm_data_open_csv},
               {is_lines, sm_data_open_lines},     {is_binary, sm_data_open_binary},
               {is_pickle, sm_data_open_pickle}};

static enum sm_code read_head(struct head *head, const char *path, struct sm_err *err)
{
    FILE *file = fopen(path, "re");
    *head = (struct head){.path = path};
    if (!file)
        return sm_err_set(err, SM_IO, "%s", strerror(errno));
    head->count = fread(head->bytes, 1, sizeof head->bytes, file);
    fclose(file);
    if (begins(head, "\x1f\x8b", 0)) {
        gzFile packed = gzopen(path, "r");
        int n = packed ? gzread(packed, head->unpacked, sizeof head->unpacked) : 0;
        head->unpacked_count = n > 0 ? (size_t)n : 0;
        if (packed)
            gzclose(packed);
    }
    return SM_OK;
}

static enum sm_code open_reader(struct sm_data_reader *out, const struct sm_dataset_place *place,
                                struct sm_err *err)
{
    struct stat status;
    struct head head;
    if (stat(place->path, &status) != 0)
        return sm_err_set(err, SM_IO, "%s", strerror(errno));
    if (S_ISDIR(status.st_mode))
        return sm_data_is_cifar_folder(place->path) ? sm_data_open_cifar_folder(out, place, err)
                                                    : sm_data_open_folder(out, place, err);
    if (!S_ISREG(status.st_mode))
        return sm_err_set(err, SM_UNSUPPORTED, "neither a file nor a folder");
    enum sm_code code = read_head(&head, place->path, err);
    if (code != SM_OK)
        return code;
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (formats[i].sniff(&head))
            return formats[i].open(out, place, err);
    struct sm_kind kind;
    if (sm_kind_find(&kind, head.bytes, head.count, place->path, SM_WANTED_IMAGE))
        return sm_err_set(err, SM_UNSUPPORTED, "%s: %s", kind.name, kind.advice);
    return sm_err_set(err, SM_UNSUPPORTED,
                      "not a dataset: give a folder, JPEG, PNG, tar, zip, .npy, .npz, IDX, CIFAR "
                      "batch, JSON Lines or .csv");
}

/* --- the dataset --- */

enum sm_code sm_dataset_open(struct sm_dataset **out, const char *argument, struct sm_err *err)
{
    struct sm_dataset *dataset = calloc(1, sizeof *dataset);
    struct sm_err why = {0};
    *out = NULL;
    if (!dataset)
        return sm_err_set(err, SM_NOMEM, "dataset: out of memory");
    struct sm_dataset_place *place = &dataset->place;
    enum sm_code code = sm_dataset_place(place, argument, err);
    if (code != SM_OK) {
        free(dataset);
        return code;
    }
    code = open_reader(&dataset->reader, place, &why);
    if (code == SM_OK && dataset->reader.count > SM_DATASET_ITEMS_MAX)
        code = sm_err_set(&why, SM_LIMIT, "%" PRId64 " images, the limit is %d",
                          dataset->reader.count, SM_DATASET_ITEMS_MAX);
    dataset->count = dataset->reader.count;
    if (code == SM_OK && place->list[0] != '\0')
        code = sm_data_read_list(&dataset->chosen, &dataset->count, place->list,
                                 dataset->reader.count, &why);
    if (code == SM_OK) {
        *out = dataset;
        return SM_OK;
    }
    sm_err_set(err, code, "%.80s: %s", place->path, why.text);
    sm_dataset_close(dataset);
    return code;
}

void sm_dataset_close(struct sm_dataset *dataset)
{
    if (!dataset)
        return;
    if (dataset->reader.state)
        dataset->reader.close(dataset->reader.state);
    free(dataset->chosen);
    free(dataset);
}

const char *sm_dataset_format(const struct sm_dataset *dataset)
{
    return dataset->reader.format;
}

int64_t sm_dataset_count(const struct sm_dataset *dataset)
{
    return dataset->count;
}

int64_t sm_dataset_passed(const struct sm_dataset *dataset)
{
    return dataset->reader.passed_count;
}

enum sm_code sm_dataset_next(struct sm_dataset_item *out, bool *found, struct sm_dataset *dataset,
                             struct sm_err *err)
{
    struct sm_err why = {0};
    *out = (struct sm_dataset_item){.name = "", .class_label = "", .group = "", .cohort = ""};
    *found = dataset->next < dataset->count;
    if (!*found)
        return SM_OK;
    int64_t at = dataset->next++;
    out->index = dataset->chosen ? dataset->chosen[at] : at;
    enum sm_code code = dataset->reader.read(out, dataset->reader.state, out->index, &why);
    if (code != SM_OK) {
        *found = false;
        dataset->next = dataset->count; /* what follows cannot be read either */
        return sm_err_set(err, code, "%.80s: %s", dataset->place.path, why.text);
    }
    return SM_OK;
}
