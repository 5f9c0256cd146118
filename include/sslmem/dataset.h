/* Datasets as they lie on disk: folders, archives, tables and arrays of images, each image with a
 * stable name and a class label.
 *
 *     struct sm_dataset *dataset;
 *     struct sm_dataset_item item;
 *     bool found = true;
 *     enum sm_code code = sm_dataset_open(&dataset, "cifar-10-batches-py:train@members.txt", &err);
 *     while (code == SM_OK && found) {
 *         code = sm_dataset_next(&item, &found, dataset, &err);
 *         if (code == SM_OK && found)
 *             ... item.name, item.class_label, item.bytes: what sm_image_decode takes ...
 *     }
 *     sm_dataset_close(dataset);
 *
 * An argument is PATH[:PART][@LIST]. PART chooses among several arrays of a file ("train" of
 * train_images), or the training or test batches of a CIFAR folder. LIST is a text file of indices
 * from 0; the dataset then has only those images. Images always come in the order of the dataset.
 * A PATH that exists is never split.
 *
 *     format          what PATH is
 *     image           one JPEG, PNG or raw image
 *     folder          images in it and its sub-folders, by name; class: the first sub-folder
 *     archive         tar (plain, gzip, zstd) or zip; class: KEY.cls, else KEY.json beside the
 *                     image (WebDataset), else the first folder
 *     json-lines      {"path", "class", "group", "cohort"} a line; also file_name, image, label
 *     csv             the same names in its first line
 *     numpy           .npy or .npz, uint8 [n,h,w,3], [n,h,w,1] or [n,h,w]; labels: the array
 *                     train_labels beside train_images, y_train beside x_train, and so on
 *     idx             MNIST's format, also gzipped; labels: the file beside it
 *     cifar-python    a pickled batch, or the folder of all; nothing in a pickle runs
 *     cifar-binary    data_batch_1.bin, or the folder of all
 *
 * Images of arrays come as raw images (image.h). Reading is sequential and keeps one image in
 * memory, beside the labels, and the names of a folder or table.
 *
 * Owner:   the caller closes the dataset; what an item points to lives until the next call.
 * Threads: one at a time per dataset.
 * Errors:  SM_NOT_FOUND, SM_INVALID (PART or LIST does not fit; the text says what would),
 *          SM_UNSUPPORTED (no format above), SM_CORRUPT, SM_LIMIT, SM_IO, SM_NOMEM. The text begins
 *          with the path. A single file that cannot be read fails only its item.
 * Limits:  the constants below, and those of image.h for each image. */
#ifndef SSLMEM_DATASET_H
#define SSLMEM_DATASET_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sslmem/err.h"

#define SM_DATASET_ITEMS_MAX          10000000
#define SM_DATASET_ENTRIES_MAX        1000000 /* of an archive, folder or table */
#define SM_DATASET_DEPTH_MAX          16      /* levels of nested folders */
#define SM_DATASET_LABELS_MAX         64      /* labels of one image in an array */
#define SM_DATASET_CLASSES_MAX        10000   /* class names beside a file */
#define SM_DATASET_PICKLE_BYTES_MAX   (512u << 20)
#define SM_DATASET_TABLE_BYTES_MAX    (256 << 20) /* a table or an index list */
#define SM_DATASET_LINE_BYTES_MAX     16384       /* a line of a table */
#define SM_DATASET_SIDECAR_BYTES_MAX  65536       /* KEY.cls or KEY.json */
#define SM_DATASET_UNPACKED_BYTES_MAX (INT64_C(64) << 30)
#define SM_DATASET_RATIO_MAX          100 /* unpacked bytes per packed byte, after the first MiB */
#define SM_DATASET_LABEL_BYTES_MAX    255 /* a class or group; longer ones are cut */

struct sm_dataset;

struct sm_dataset_item {
    int64_t index;                            /* in the whole dataset, from 0 */
    const char *name;                         /* such as "cat/0001.png" or "data_batch_1#00017" */
    const char *class_label, *group, *cohort; /* "" if the dataset does not tell */
    const char *path; /* the image's own file; NULL: it is part of a larger file */
    const void *bytes;
    size_t bytes_count;
    struct sm_err error; /* code SM_OK, or why this image has no bytes */
};

enum sm_code sm_dataset_open(struct sm_dataset **out, const char *argument, struct sm_err *err);
void sm_dataset_close(struct sm_dataset *dataset);

/* Returns the name of the format, as listed above. */
const char *sm_dataset_format(const struct sm_dataset *dataset);
/* Returns the number of images, after LIST has chosen. */
int64_t sm_dataset_count(const struct sm_dataset *dataset);
/* Returns the number of files in a folder or archive that have no index: links, and files that are
 * neither an image nor, in an archive, the labels of one. */
int64_t sm_dataset_passed(const struct sm_dataset *dataset);

/* Reads the next image; *found is false after the last one. */
enum sm_code sm_dataset_next(struct sm_dataset_item *out, bool *found, struct sm_dataset *dataset,
                             struct sm_err *err);

/* The parts of an argument; "" if absent. */
struct sm_dataset_place {
    char path[PATH_MAX], part[256], list[PATH_MAX];
    bool is_folder; /* a whole folder of image files: no part, no list, no CIFAR folder */
};
enum sm_code sm_dataset_place(struct sm_dataset_place *out, const char *argument,
                              struct sm_err *err);

#endif
