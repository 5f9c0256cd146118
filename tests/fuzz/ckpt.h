/* Helpers of the fuzz targets for checkpoints. One opens the input, reads every tensor and checks
 * properties. The other first puts the input into a zip file with a right CRC, so that mutations
 * reach the code behind the CRC check. */
#ifndef TESTS_FUZZ_CKPT_H
#define TESTS_FUZZ_CKPT_H

#include <stdlib.h>
#include <string.h>
#include <zip.h>

#include "sslmem/ckpt.h"

#define BUDGET_FLOATS (1 << 22) /* at most read from one input */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void open_and_read(const uint8_t *data, size_t size)
{
    struct sm_ckpt *ckpt;
    struct sm_err err = {0};
    int64_t budget = BUDGET_FLOATS;
    if (sm_ckpt_open_bytes(&ckpt, data, size, &err) != SM_OK) {
        if (ckpt || err.code == SM_OK || err.text[0] == '\0')
            abort();
        return;
    }
    for (size_t i = 0; i < sm_ckpt_count(ckpt); i++) {
        const struct sm_tensor *tensor = sm_ckpt_at(ckpt, i);
        float *out;
        /* Memory is in proportion to the file: at most one float for each byte. */
        if (sm_ckpt_find(ckpt, tensor->name) != tensor || tensor->count < 0 ||
            (uint64_t)tensor->count > size)
            abort();
        budget -= tensor->count;
        if (budget < 0)
            break;
        out = malloc((size_t)tensor->count * sizeof *out);
        if (out)
            (void)sm_ckpt_read(ckpt, tensor, out, &err);
        free(out);
    }
    sm_ckpt_close(ckpt);
}

/* An entry for a zip file, stored without compression. */
struct stored {
    const char *name;
    const void *bytes;
    size_t count;
};

static inline void open_in_zip(const struct stored *entries, size_t count)
{
    zip_source_t *target = zip_source_buffer_create(NULL, 0, 0, NULL);
    zip_t *zip = zip_open_from_source(target, ZIP_TRUNCATE, NULL);
    zip_stat_t stat;
    uint8_t *bytes;
    if (!zip)
        abort();
    zip_source_keep(target);
    for (size_t i = 0; i < count; i++) {
        zip_source_t *source = zip_source_buffer(zip, entries[i].bytes, entries[i].count, 0);
        zip_int64_t at = zip_file_add(zip, entries[i].name, source, 0);
        if (at < 0 || zip_set_file_compression(zip, (zip_uint64_t)at, ZIP_CM_STORE, 0) != 0)
            abort();
    }
    if (zip_close(zip) != 0 || zip_source_stat(target, &stat) != 0 || zip_source_open(target) != 0)
        abort();
    bytes = malloc((size_t)stat.size);
    if (!bytes || zip_source_read(target, bytes, stat.size) != (zip_int64_t)stat.size)
        abort();
    open_and_read(bytes, (size_t)stat.size);
    free(bytes);
    zip_source_close(target);
    zip_source_free(target);
}

#endif
