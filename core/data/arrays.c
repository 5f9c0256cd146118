/* Reads each image into the memory of one raw image. The header of a raw image is the same for all,
 * so it is written once. Images that are not wanted are skipped, by seeking where that works. */
#include "core/data/arrays.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sslmem/image.h"

#define HEADER SM_IMAGE_RAW_HEADER_BYTES

struct sm_arrays *sm_arrays_new(struct sm_err *err)
{
    struct sm_arrays *arrays = calloc(1, sizeof *arrays);
    if (!arrays)
        sm_err_set(err, SM_NOMEM, "dataset: out of memory");
    return arrays;
}

void sm_arrays_close(void *state)
{
    struct sm_arrays *a = state;
    if (!a)
        return;
    sm_source_close(a->source);
    sm_zip_close(a->zip);
    sm_file_release(&a->file);
    for (int64_t i = 0; i < a->names_count; i++)
        free(a->names[i]);
    free(a->names);
    free(a->labels);
    free(a->image);
    free(a->planes);
    free(a);
}

bool sm_arrays_label_name(char *out, size_t out_size, const char *images, int row)
{
    static const struct {
        const char *from, *to;
        bool first; /* `from` must begin the name */
    } rows[] = {{"images-idx3", "labels-idx1", false},
                {"images-idx4", "labels-idx1", false},
                {"images.idx3", "labels.idx1", false},
                {"images.idx4", "labels.idx1", false},
                {"image", "label", false},
                {"image", "target", false},
                {"x_", "y_", true},
                {"X_", "y_", true},
                {"X_", "Y_", true},
                {"data", "labels", false},
                {"data", "targets", false},
                {"arr_0", "arr_1", true},
                {"x", "y", true},
                {"X", "y", true},
                {"X", "Y", true}};
    if (row < 0 || (size_t)row >= sizeof rows / sizeof *rows)
        return false;
    const char *at = strstr(images, rows[row].from);
    out[0] = '\0';
    if (!at || (rows[row].first && at != images))
        return true;
    int n = snprintf(out, out_size, "%.*s%s%s", (int)(at - images), images, rows[row].to,
                     at + strlen(rows[row].from));
    if (n < 0 || (size_t)n >= out_size)
        out[0] = '\0';
    return true;
}

/* --- opening --- */

static int64_t count_all(const struct sm_arrays *a)
{
    int64_t count = 0;
    for (int i = 0; i < a->parts_count; i++)
        count += a->parts[i].count;
    return count;
}

static enum sm_code check_label(const struct sm_arrays *a, int64_t label, int64_t index,
                                struct sm_err *err)
{
    if (a->names && (label < 0 || label >= a->names_count))
        return sm_err_set(err, SM_CORRUPT,
                          "image %" PRId64 " has label %" PRId64 ", there are %" PRId64 " classes",
                          index, label, a->names_count);
    return SM_OK;
}

static enum sm_code prepare(struct sm_arrays *a, struct sm_err *err)
{
    if (a->height > SM_IMAGE_SIDE_MAX_PX || a->width > SM_IMAGE_SIDE_MAX_PX || a->height < 1 ||
        a->width < 1)
        return sm_err_set(err, SM_LIMIT,
                          "images of %" PRId64 "x%" PRId64 " pixels, 1 to %d per side are allowed",
                          a->width, a->height, SM_IMAGE_SIDE_MAX_PX);
    size_t bytes = (size_t)a->height * (size_t)a->width * (size_t)a->channels;
    if (bytes > SM_IMAGE_BYTES_MAX - HEADER)
        return sm_err_set(err, SM_LIMIT, "images of %zu bytes, the limit is %u", bytes,
                          SM_IMAGE_BYTES_MAX - HEADER);
    a->image = malloc(HEADER + bytes);
    a->planes = malloc((size_t)a->label_bytes + bytes);
    if (!a->image || !a->planes)
        return sm_err_set(err, SM_NOMEM, "no memory for images of %zu bytes", bytes);
    sm_image_raw_header(a->image, (uint32_t)a->height, (uint32_t)a->width, (uint32_t)a->channels);
    return SM_OK;
}

static enum sm_code read_image(struct sm_dataset_item *out, void *state, int64_t index,
                               struct sm_err *err);

enum sm_code sm_arrays_serve(struct sm_data_reader *out, const char *format, struct sm_arrays *a,
                             struct sm_err *err)
{
    *out = (struct sm_data_reader){.format = format,
                                   .count = count_all(a),
                                   .state = a,
                                   .read = read_image,
                                   .close = sm_arrays_close};
    enum sm_code code = prepare(a, err);
    for (int64_t i = 0; code == SM_OK && a->labels && a->labels_wide == 1 && i < out->count; i++)
        code = check_label(a, a->labels[i], i, err);
    return code;
}

/* --- reading --- */

static enum sm_code open_part(struct sm_arrays *a, struct sm_err *err)
{
    const struct sm_arrays_part *part = &a->parts[a->part];
    enum sm_code code = part->in_zip ? sm_source_open_entry(&a->source, a->zip, part->entry, err)
                                     : sm_source_open(&a->source, part->path, err);
    a->next = a->part_first;
    return code == SM_OK ? sm_source_skip(a->source, part->at, err) : code;
}

/* Moves the source to image `index`. */
static enum sm_code seek(struct sm_arrays *a, int64_t index, size_t record, struct sm_err *err)
{
    while (index - a->part_first >= a->parts[a->part].count) {
        sm_source_close(a->source);
        a->source = NULL;
        a->part_first += a->parts[a->part++].count;
    }
    enum sm_code code = a->source ? SM_OK : open_part(a, err);
    if (code == SM_OK)
        code = sm_source_skip(a->source, (index - a->next) * (int64_t)record, err);
    a->next = index + 1;
    return code;
}

static void interleave(uint8_t *to, const uint8_t *planes, size_t pixels)
{
    const uint8_t *red = planes, *green = planes + pixels, *blue = planes + 2 * pixels;
    for (size_t i = 0; i < pixels; i++) {
        to[3 * i] = red[i];
        to[3 * i + 1] = green[i];
        to[3 * i + 2] = blue[i];
    }
}

static enum sm_code name_label(struct sm_arrays *a, const int64_t *labels, int64_t wide,
                               int64_t index, struct sm_err *err)
{
    size_t n = 0;
    a->label[0] = '\0';
    if (wide == 1 && a->names && labels[0] >= 0 && labels[0] < a->names_count) {
        sm_data_copy_label(a->label, a->names[labels[0]], strlen(a->names[labels[0]]));
        return SM_OK;
    }
    for (int64_t i = 0; i < wide && n < sizeof a->label; i++)
        n += (size_t)snprintf(a->label + n, sizeof a->label - n, "%s%" PRId64, i > 0 ? "," : "",
                              labels[i]);
    if (n < sizeof a->label)
        return SM_OK;
    return sm_err_set(err, SM_LIMIT,
                      "the %" PRId64 " labels of image %" PRId64
                      " have over %d bytes as text, the limit of a class",
                      wide, index, SM_DATASET_LABEL_BYTES_MAX);
}

static enum sm_code read_image(struct sm_dataset_item *out, void *state, int64_t index,
                               struct sm_err *err)
{
    struct sm_arrays *a = state;
    size_t pixels = (size_t)a->height * (size_t)a->width, bytes = pixels * (size_t)a->channels;
    size_t labels = (size_t)a->label_bytes;
    enum sm_code code = seek(a, index, labels + bytes, err);
    if (code != SM_OK)
        return code;
    const struct sm_arrays_part *part = &a->parts[a->part];
    if (a->planar || labels > 0) {
        code = sm_source_take(a->source, a->planes, labels + bytes, err);
        if (code == SM_OK && a->planar && a->channels == 3)
            interleave(a->image + HEADER, a->planes + labels, pixels);
        else if (code == SM_OK)
            memcpy(a->image + HEADER, a->planes + labels, bytes);
    } else {
        code = sm_source_take(a->source, a->image + HEADER, bytes, err);
    }
    if (code == SM_OK && part->whole && index - a->part_first == part->count - 1)
        code = sm_source_end(a->source, err);
    int64_t label = labels > 0 ? a->planes[labels - 1] : 0;
    if (code == SM_OK && labels > 0)
        code = check_label(a, label, index, err);
    if (code == SM_OK && labels > 0)
        code = name_label(a, &label, 1, index, err);
    else if (code == SM_OK && a->labels)
        code = name_label(a, a->labels + index * a->labels_wide, a->labels_wide, index, err);
    if (code != SM_OK)
        return code;
    snprintf(a->name, sizeof a->name, "%s#%05" PRId64, a->base, index);
    out->name = a->name;
    out->class_label = a->label;
    out->bytes = a->image;
    out->bytes_count = HEADER + bytes;
    return SM_OK;
}
