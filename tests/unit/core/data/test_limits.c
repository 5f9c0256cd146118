/* Every limit of dataset.h that a file of bearable size can reach: at the limit, and one past it. */
#include <archive.h>
#include <archive_entry.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
// cmocka.h needs the headers above
#include <cmocka.h>

#include "sslmem/dataset.h"
#include "sslmem/image.h"

#define PNG "\x89PNG\r\n\x1a\n"

static struct sm_err err;
static char folder[64];

static int setup(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/sslmem-data-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

/* Opens a new file; `path` receives its path. */
static FILE *new_file(char path[128], const char *name)
{
    snprintf(path, 128, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    return file;
}

/* Writes `head` and zeros up to `count` bytes. */
static void write_file(char path[128], const char *name, const void *head, size_t head_count,
                       size_t count)
{
    FILE *file = new_file(path, name);
    assert_int_equal(head_count, fwrite(head, 1, head_count, file));
    assert_int_equal(0, fflush(file));
    assert_int_equal(0, ftruncate(fileno(file), (off_t)count));
    fclose(file);
}

/* Opens and reads all; returns the first error and the last item's label. */
static enum sm_code read_all(const char *path, char label[SM_DATASET_LABEL_BYTES_MAX + 1])
{
    struct sm_dataset *dataset;
    struct sm_dataset_item item;
    bool found = true;
    err = (struct sm_err){0};
    enum sm_code code = sm_dataset_open(&dataset, path, &err);
    while (code == SM_OK && found) {
        code = sm_dataset_next(&item, &found, dataset, &err);
        if (code == SM_OK && found && label)
            strcpy(label, item.class_label);
    }
    sm_dataset_close(dataset);
    return code;
}

static void write_idx(char path[128], const char *name, const uint32_t *sides, uint8_t rank,
                      size_t bytes)
{
    uint8_t head[20] = {0, 0, 8, rank};
    for (int i = 0; i < rank; i++)
        for (int k = 0; k < 4; k++)
            head[4 + 4 * i + k] = (uint8_t)(sides[i] >> (24 - 8 * k));
    write_file(path, name, head, 4 + 4 * (size_t)rank, 4 + 4 * (size_t)rank + bytes);
}

static void test_image_bytes(void **state)
{
    char path[128];
    (void)state;
    write_idx(path, "x", (uint32_t[]){1, 4096, 4095}, 3, 4096 * 4095);
    assert_int_equal(SM_OK, read_all(path, NULL));
    write_idx(path, "x", (uint32_t[]){1, 4096, 4096}, 3, 4096 * 4096);
    assert_int_equal(SM_LIMIT, read_all(path, NULL));
    assert_non_null(strstr(err.text, "16777216 bytes, the limit is 16777196"));
    write_idx(path, "x", (uint32_t[]){1, 1, 8192}, 3, 8192);
    assert_int_equal(SM_OK, read_all(path, NULL));
    write_idx(path, "x", (uint32_t[]){1, 1, 8193}, 3, 8193);
    assert_int_equal(SM_LIMIT, read_all(path, NULL));
    /* images of no byte could claim any number of items */
    write_idx(path, "x", (uint32_t[]){UINT32_MAX, 0, 1}, 3, 0);
    assert_int_equal(SM_LIMIT, read_all(path, NULL));
}

static void test_items(void **state)
{
    char path[128];
    struct sm_dataset *dataset;
    (void)state;
    for (uint32_t more = 0; more < 2; more++) {
        write_idx(path, "x", (uint32_t[]){SM_DATASET_ITEMS_MAX + more, 1, 1}, 3,
                  SM_DATASET_ITEMS_MAX + more);
        assert_int_equal(more ? SM_LIMIT : SM_OK, sm_dataset_open(&dataset, path, &err));
        sm_dataset_close(dataset);
    }
    assert_non_null(strstr(err.text, "10000001 images, the limit is 10000000"));
}

static void test_labels(void **state)
{
    char path[128], labels[128];
    (void)state;
    write_idx(path, "t-images-idx3", (uint32_t[]){2, 1, 1}, 3, 2);
    for (uint32_t more = 0; more < 2; more++) {
        char label[SM_DATASET_LABEL_BYTES_MAX + 1];
        uint32_t wide = SM_DATASET_LABELS_MAX + more;
        write_idx(labels, "t-labels-idx1", (uint32_t[]){2, wide}, 2, (size_t)2 * wide);
        assert_int_equal(more ? SM_LIMIT : SM_OK, read_all(path, label));
        if (!more)
            assert_int_equal(2 * SM_DATASET_LABELS_MAX - 1, strlen(label));
    }
    assert_non_null(strstr(err.text, "65 labels an image, the limit is 64"));
}

static void test_entries(void **state)
{
    char path[128];
    struct sm_dataset *dataset;
    (void)state;
    for (int more = 0; more < 2; more++) {
        FILE *file = new_file(path, "x.csv");
        fputs("path\n", file);
        for (int i = 0; i < SM_DATASET_ENTRIES_MAX + more; i++)
            fputs("x\n", file);
        fclose(file);
        assert_int_equal(more ? SM_LIMIT : SM_OK, sm_dataset_open(&dataset, path, &err));
        if (!more)
            assert_int_equal(SM_DATASET_ENTRIES_MAX, sm_dataset_count(dataset));
        sm_dataset_close(dataset);
    }
    assert_non_null(strstr(err.text, "more than 1000000 images, which is the limit"));
}

static void test_lines(void **state)
{
    char path[128];
    (void)state;
    for (int more = 0; more < 2; more++) {
        FILE *file = new_file(path, "x.jsonl");
        int head = fprintf(file, "{\"path\": \"x\", \"class\": \""), tail = 2;
        for (int i = head + tail; i < SM_DATASET_LINE_BYTES_MAX + more; i++)
            fputc('c', file);
        fputs("\"}", file);
        fclose(file);
        assert_int_equal(more ? SM_LIMIT : SM_OK, read_all(path, NULL));
        file = new_file(path, "x.csv");
        fputs("path,label\nx,", file);
        for (int i = 0; i < SM_DATASET_LINE_BYTES_MAX + more; i++)
            fputc('c', file);
        fclose(file);
        assert_int_equal(more ? SM_LIMIT : SM_OK, read_all(path, NULL));
    }
    assert_non_null(strstr(err.text, "line 2: a cell of over 16384 bytes"));
}

/* A label of 255 bytes stays whole; a longer one is cut between two characters. */
static void test_label_bytes(void **state)
{
    char path[128], label[SM_DATASET_LABEL_BYTES_MAX + 1];
    (void)state;
    for (int more = 0; more < 2; more++) {
        FILE *file = new_file(path, "x.csv");
        fputs("path,label\nx,", file);
        for (int i = 0; i < SM_DATASET_LABEL_BYTES_MAX - 2 + more; i++)
            fputc('c', file);
        fputs("\xc3\xbc\n", file);
        fclose(file);
        assert_int_equal(SM_OK, read_all(path, label));
        assert_int_equal(more ? 254 : 255, strlen(label));
        assert_int_equal(more ? 'c' : (char)0xbc, label[strlen(label) - 1]);
    }
}

/* By size alone: at the limit another error comes first. */
static void test_file_bytes(void **state)
{
    char path[128], list[128], argument[300];
    (void)state;
    write_file(path, "x", "\x80\x02", 2, SM_DATASET_PICKLE_BYTES_MAX);
    assert_int_equal(SM_UNSUPPORTED, read_all(path, NULL));
    write_file(path, "x", "\x80\x02", 2, (size_t)SM_DATASET_PICKLE_BYTES_MAX + 1);
    assert_int_equal(SM_LIMIT, read_all(path, NULL));
    assert_non_null(strstr(err.text, "file has 536870913 bytes, limit is 536870912"));
    write_idx(path, "five", (uint32_t[]){5, 1, 1}, 3, 5);
    write_file(list, "list", "1", 1, SM_DATASET_TABLE_BYTES_MAX);
    snprintf(argument, sizeof argument, "%s@%s", path, list);
    assert_int_equal(SM_INVALID, read_all(argument, NULL));
    write_file(list, "list", "1", 1, (size_t)SM_DATASET_TABLE_BYTES_MAX + 1);
    assert_int_equal(SM_LIMIT, read_all(argument, NULL));
    assert_non_null(strstr(err.text, "file has 268435457 bytes, limit is 268435456"));
}

static void test_classes(void **state)
{
    char path[128], names[128];
    uint8_t record[3073] = {0};
    (void)state;
    write_file(path, "data_batch_1.bin", record, sizeof record, sizeof record);
    for (int more = 0; more < 2; more++) {
        FILE *file = new_file(names, "batches.meta.txt");
        for (int i = 0; i < SM_DATASET_CLASSES_MAX + more; i++)
            fputs("c\n", file);
        fclose(file);
        assert_int_equal(more ? SM_LIMIT : SM_OK, read_all(path, NULL));
    }
    assert_non_null(strstr(err.text, "batches.meta.txt: over 10000 names of classes"));
}

static void test_depth(void **state)
{
    char path[512];
    struct sm_dataset *dataset;
    (void)state;
    size_t n = (size_t)snprintf(path, sizeof path, "%s", folder);
    for (int depth = 1; depth <= SM_DATASET_DEPTH_MAX + 1; depth++) {
        n += (size_t)snprintf(path + n, sizeof path - n, "/d");
        assert_int_equal(0, mkdir(path, 0700));
        if (depth < SM_DATASET_DEPTH_MAX)
            continue;
        snprintf(path + n, sizeof path - n, "/a.png");
        FILE *file = fopen(path, "w");
        fputs(PNG, file);
        fclose(file);
        path[n] = '\0';
    }
    assert_int_equal(SM_OK, sm_dataset_open(&dataset, folder, &err));
    assert_int_equal(1, sm_dataset_count(dataset));
    assert_int_equal(1, sm_dataset_passed(dataset)); /* the folder that is too deep */
    sm_dataset_close(dataset);
}

static void put(struct archive *archive, const char *name, const char *head, size_t count)
{
    struct archive_entry *e = archive_entry_new();
    char *bytes = calloc(1, count);
    memset(bytes, ' ', count);
    memcpy(bytes, head, strlen(head));
    archive_entry_set_pathname(e, name);
    archive_entry_set_filetype(e, AE_IFREG);
    archive_entry_set_perm(e, 0644);
    archive_entry_set_size(e, (la_int64_t)count);
    assert_true(archive_write_header(archive, e) >= ARCHIVE_WARN);
    assert_int_equal(count, archive_write_data(archive, bytes, count));
    archive_entry_free(e);
    free(bytes);
}

/* Writes an archive of one image and its class. */
static void write_tar(char path[128], size_t class_bytes, size_t image_bytes)
{
    struct archive *archive = archive_write_new();
    archive_write_set_format_ustar(archive);
    snprintf(path, 128, "%s/x.tar", folder);
    assert_int_equal(ARCHIVE_OK, archive_write_open_filename(archive, path));
    put(archive, "a.cls", "7", class_bytes);
    put(archive, "a.png", PNG, image_bytes);
    archive_write_free(archive);
}

static void test_archive(void **state)
{
    char path[128];
    (void)state;
    for (int more = 0; more < 2; more++) {
        struct sm_dataset *dataset;
        struct sm_dataset_item item;
        bool found;
        write_tar(path, SM_DATASET_SIDECAR_BYTES_MAX, SM_IMAGE_BYTES_MAX + (size_t)more);
        assert_int_equal(SM_OK, sm_dataset_open(&dataset, path, &err));
        assert_int_equal(SM_OK, sm_dataset_next(&item, &found, dataset, &err));
        assert_true(found);
        assert_string_equal(item.class_label, "7");
        assert_int_equal(item.error.code, more ? SM_LIMIT : SM_OK);
        sm_dataset_close(dataset);
    }
    assert_int_equal(SM_OK, read_all(path, NULL));
    write_tar(path, SM_DATASET_SIDECAR_BYTES_MAX + 1, 100);
    assert_int_equal(SM_LIMIT, read_all(path, NULL));
    assert_non_null(strstr(err.text, "a.cls: has over 65536 bytes"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_image_bytes), TEST(test_items),       TEST(test_labels),     TEST(test_entries),
        TEST(test_lines),       TEST(test_label_bytes), TEST(test_file_bytes), TEST(test_classes),
        TEST(test_depth),       TEST(test_archive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
