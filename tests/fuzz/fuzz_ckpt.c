/* Opens any bytes as a checkpoint and reads every tensor, as long as the floats stay within a
 * budget. An input that begins as a pickle does is put into a PyTorch zip with one storage of four
 * floats, so that mutations reach the pickle machine in spite of the zip's CRC. */
#include <stdlib.h>
#include <string.h>
#include <zip.h>

#include "sslmem/ckpt.h"

#define BUDGET_FLOATS (1 << 22)
#define PICKLE_BEGIN  0x80

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void open_and_read(const uint8_t *data, size_t size)
{
    struct sm_ckpt *ckpt;
    struct sm_err err = {0};
    int64_t budget = BUDGET_FLOATS;

    if (sm_ckpt_open_bytes(&ckpt, data, size, &err) != SM_OK) {
        if (ckpt != NULL || err.code == SM_OK || err.text[0] == '\0')
            abort();
        return;
    }
    for (size_t i = 0; i < sm_ckpt_count(ckpt); i++) {
        const struct sm_tensor *tensor = sm_ckpt_at(ckpt, i);
        float *out;

        /* As promised: memory in proportion to the file, at most a float per byte of it. */
        if (sm_ckpt_find(ckpt, tensor->name) != tensor || tensor->count < 0 ||
            (uint64_t)tensor->count > size)
            abort();
        budget -= tensor->count;
        if (budget < 0)
            break;
        out = malloc((size_t)tensor->count * sizeof *out);
        if (out != NULL)
            (void)sm_ckpt_read(ckpt, tensor, out, &err);
        free(out);
    }
    sm_ckpt_close(ckpt);
}

static void add_stored(zip_t *zip, const char *name, const void *bytes, size_t count)
{
    zip_int64_t at = zip_file_add(zip, name, zip_source_buffer(zip, bytes, count, 0), 0);

    if (at < 0 || zip_set_file_compression(zip, (zip_uint64_t)at, ZIP_CM_STORE, 0) != 0)
        abort();
}

static void open_in_zip(const uint8_t *pickle, size_t count)
{
    static const float storage[4] = {1, 2, 3, 4};
    zip_source_t *target = zip_source_buffer_create(NULL, 0, 0, NULL);
    zip_t *zip = zip_open_from_source(target, ZIP_TRUNCATE, NULL);
    zip_stat_t stat;
    uint8_t *bytes;

    if (zip == NULL)
        abort();
    zip_source_keep(target);
    add_stored(zip, "a/data.pkl", pickle, count);
    add_stored(zip, "a/data/0", storage, sizeof storage);
    if (zip_close(zip) != 0 || zip_source_stat(target, &stat) != 0 || zip_source_open(target) != 0)
        abort();
    bytes = malloc((size_t)stat.size);
    if (bytes == NULL || zip_source_read(target, bytes, stat.size) != (zip_int64_t)stat.size)
        abort();
    open_and_read(bytes, (size_t)stat.size);
    free(bytes);
    zip_source_close(target);
    zip_source_free(target);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    open_and_read(data, size);
    if (size > 0 && data[0] == PICKLE_BEGIN)
        open_in_zip(data, size);
    return 0;
}
