/* Fuzzes every reader of datasets and index lists. The first byte chooses the name's ending, or that
 * the rest is an index list for a small IDX file.
 *
 * Properties: the errors are those that dataset.h names, with a text; there are as many images as
 * announced, their indices ascend, and each is readable or says why; a raw image has the size that
 * its header tells. */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sslmem/dataset.h"
#include "sslmem/image.h"

#define ITEMS_MAX 500 /* that are read of one input */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const ends[] = {"",     ".npz", ".npy", ".csv", ".jsonl",
                                   ".bin", ".tar", ".gz",  ".list"};
enum { ENDS = sizeof ends / sizeof *ends, LIST = ENDS - 1 };

static char folder[] = "/dev/shm/sslmem-fuzz-XXXXXX";

static void name_file(char path[64], const char *name, const char *end)
{
    snprintf(path, 64, "%s/%s%s", folder, name, end);
}

static void tidy(void)
{
    char path[64];
    for (size_t i = 0; i < ENDS; i++) {
        name_file(path, "x", ends[i]);
        unlink(path);
    }
    name_file(path, "five", "");
    unlink(path);
    rmdir(folder);
}

static void put(const char *path, const void *bytes, size_t bytes_count)
{
    FILE *file = fopen(path, "w");
    if (!file || fwrite(bytes, 1, bytes_count, file) != bytes_count || fclose(file) != 0)
        abort();
}

static void check_error(enum sm_code code, const struct sm_err *err)
{
    assert(code == err->code && err->text[0] != '\0');
    assert(code == SM_NOT_FOUND || code == SM_INVALID || code == SM_UNSUPPORTED ||
           code == SM_CORRUPT || code == SM_LIMIT || code == SM_CONFLICT || code == SM_NOMEM);
}

static void check_item(const struct sm_dataset_item *item, int64_t last)
{
    assert(item->index > last && item->name && item->class_label && item->group && item->cohort);
    assert(strlen(item->class_label) <= SM_DATASET_LABEL_BYTES_MAX);
    if (item->error.code != SM_OK) {
        assert(!item->bytes && item->error.text[0] != '\0');
        return;
    }
    assert(item->bytes && item->bytes_count <= SM_IMAGE_BYTES_MAX);
    const char *type = sm_image_sniff(item->bytes, item->bytes_count);
    assert(type);
    int32_t width, height;
    if (memchr(item->name, '#', strlen(item->name)) && strcmp(type, SM_IMAGE_RAW_TYPE) == 0 &&
        !item->path)
        assert(sm_image_declared_size(&width, &height, item->bytes, item->bytes_count) ||
               item->bytes_count >= SM_IMAGE_RAW_HEADER_BYTES);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool ready;
    static const uint8_t five[] = {0, 0, 8, 3, 0, 0, 0, 5, 0, 0, 0, 1, 0, 0, 0, 1, 1, 2, 3, 4, 5};
    char path[64], argument[160];
    struct sm_dataset *dataset;
    struct sm_dataset_item item;
    struct sm_err err = {0};
    if (!ready && !mkdtemp(folder))
        abort();
    if (!ready)
        atexit(tidy);
    ready = true;
    if (size == 0)
        return 0;
    size_t end = data[0] % ENDS;
    name_file(path, "x", ends[end]);
    put(path, data + 1, size - 1);
    snprintf(argument, sizeof argument, "%s", path);
    if (end == LIST) {
        name_file(path, "five", "");
        put(path, five, sizeof five);
        snprintf(argument, sizeof argument, "%s/five@%s/x.list", folder, folder);
    }
    enum sm_code code = sm_dataset_open(&dataset, argument, &err);
    if (code != SM_OK) {
        assert(!dataset);
        check_error(code, &err);
        return 0;
    }
    int64_t count = sm_dataset_count(dataset), seen = 0, last = -1;
    assert(count >= 0 && count <= SM_DATASET_ITEMS_MAX && sm_dataset_format(dataset));
    bool found = true;
    while (found && seen < ITEMS_MAX) {
        code = sm_dataset_next(&item, &found, dataset, &err);
        if (code != SM_OK) {
            check_error(code, &err);
            break;
        }
        if (found)
            check_item(&item, last);
        seen += found;
        last = item.index;
    }
    assert(code != SM_OK || seen == (count < ITEMS_MAX ? count : ITEMS_MAX));
    sm_dataset_close(dataset);
    return 0;
}
