/* Images in arrays: stored one behind the other in one or several parts, all of one size. Formats
 * fill a struct sm_arrays and hand it to sm_arrays_serve. Private to core/data.
 *
 * Owner: sm_arrays_close frees all that the struct points to. */
#ifndef CORE_DATA_ARRAYS_H
#define CORE_DATA_ARRAYS_H

#include "core/base/file.h"
#include "core/data/data.h"
#include "core/data/source.h"

#define SM_ARRAYS_PARTS_MAX 8

struct sm_arrays_part {
    char path[PATH_MAX];
    bool in_zip;
    uint64_t entry; /* of the zip */
    int64_t at;     /* bytes before the first image */
    int64_t count;  /* images */
    bool whole;     /* the last image is the end of the file or entry, which is checked */
};

struct sm_arrays {
    struct sm_arrays_part parts[SM_ARRAYS_PARTS_MAX];
    int parts_count;
    int64_t height, width, channels;
    bool planar;     /* [channels, height, width] as in CIFAR, else [height, width, channels] */
    int label_bytes; /* bytes of labels before each image; the last one is the class */
    int64_t *labels; /* [count, labels_wide]; NULL: none */
    int64_t labels_wide;
    char **names; /* class names by number; NULL: the number is the name */
    int64_t names_count;
    char base[128];      /* the part of an item's name before '#' */
    struct sm_file file; /* mapped for `zip` */
    struct sm_zip *zip;

    /* reading */
    struct sm_source *source; /* of the part `part`; NULL: not open */
    int part;
    int64_t part_first, next; /* index of the part's first image, and of the source's next */
    uint8_t *image, *planes;  /* raw image; one planar image */
    char name[192], label[SM_DATASET_LABEL_BYTES_MAX + 1];
};

struct sm_arrays *sm_arrays_new(struct sm_err *err);
void sm_arrays_close(void *arrays);

/* Checks size and labels, and fills `out`, which then owns `arrays` even after an error. */
enum sm_code sm_arrays_serve(struct sm_data_reader *out, const char *format,
                             struct sm_arrays *arrays, struct sm_err *err);

/* Finds the name of the label array or file that belongs to images of the name `images`, by try
 * `row` = 0, 1, …; false when there is no such row. `out` is "" if the row does not apply. */
bool sm_arrays_label_name(char *out, size_t out_size, const char *images, int row);

#endif
