/* Shared by the formats of datasets. Private to core/data.
 *
 * A format opens a place and then reads images by ascending index. Its state is its own. */
#ifndef CORE_DATA_DATA_H
#define CORE_DATA_DATA_H

#include "sslmem/dataset.h"

#define SM_DATA_RATIO_SLACK_BYTES (1 << 20) /* unpacked bytes to which the ratio does not apply */
#define SM_DATA_HEAD_BYTES        512

struct sm_data_reader {
    const char *format;
    int64_t count, passed_count; /* images; files that sm_dataset_passed counts */
    void *state;
    /* Reads image `index`, which is above that of the last call. `out` is zero but for `index`. */
    enum sm_code (*read)(struct sm_dataset_item *out, void *state, int64_t index,
                         struct sm_err *err);
    void (*close)(void *state);
};

/* Opens one format. After an error, out->state may be set; the caller closes it. Error texts need
 * no path: the caller puts it before them. */
typedef enum sm_code sm_data_opener(struct sm_data_reader *out,
                                    const struct sm_dataset_place *place, struct sm_err *err);
sm_data_opener sm_data_open_image, sm_data_open_folder, sm_data_open_archive, sm_data_open_lines,
    sm_data_open_csv, sm_data_open_npy, sm_data_open_npz, sm_data_open_idx, sm_data_open_pickle,
    sm_data_open_binary, sm_data_open_cifar_folder;

/* Returns true if the folder has CIFAR's batches. */
bool sm_data_is_cifar_folder(const char *path);

/* Reads an index list. *out: ascending indices below `count`, which the caller frees. */
enum sm_code sm_data_read_list(int64_t **out, int64_t *out_count, const char *path, int64_t count,
                               struct sm_err *err);

/* Returns SM_LIMIT if `packed` bytes may not unpack to so many. */
enum sm_code sm_data_check_unpacked(int64_t unpacked, int64_t packed, struct sm_err *err);

/* Returns the last part of a path. */
const char *sm_data_base(const char *path);
/* Returns true if `text` ends with `end`. */
bool sm_data_ends(const char *text, const char *end);
/* Writes the path of `name` in the folder of the file `path`; false if it is too long. */
bool sm_data_beside(char out[PATH_MAX], const char *path, const char *name);
/* Copies at most SM_DATASET_LABEL_BYTES_MAX bytes, without cutting a character of UTF-8. */
void sm_data_copy_label(char out[SM_DATASET_LABEL_BYTES_MAX + 1], const char *text, size_t count);
/* Writes the first folder of a relative path; "" if it has none. */
void sm_data_folder_class(char out[SM_DATASET_LABEL_BYTES_MAX + 1], const char *name);

#endif
