/* Every dataset of tests/golden/data: the items that Python's readers found in it, or the error that
 * a broken one must give. */
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
// cmocka.h needs the headers above
#include <cmocka.h>

#include "core/base/sha256.h"
#include "sslmem/dataset.h"
#include "sslmem/image.h"

#define GOLDEN "tests/golden/data"

static json_t *golden;
static struct sm_err err;

static int load(void **state)
{
    (void)state;
    golden = json_load_file(GOLDEN "/expected.json", 0, NULL);
    return golden ? 0 : -1;
}

static int unload(void **state)
{
    (void)state;
    json_decref(golden);
    return 0;
}

/* Puts the folder before an argument, and in place of "{}" in it. */
static void place(char out[512], const char *argument)
{
    const char *mark = strstr(argument, "{}");
    snprintf(out, 512, GOLDEN "/%.*s%s%s", mark ? (int)(mark - argument) : 500, argument,
             mark ? GOLDEN : "", mark ? mark + 2 : "");
}

static const char *text_at(const json_t *row, size_t i)
{
    return json_string_value(json_array_get(row, i));
}

static void check_item(const struct sm_dataset_item *item, const json_t *row)
{
    char digest[SM_SHA256_HEX];
    struct sm_image image;
    assert_string_equal(item->error.text, "");
    assert_string_equal(item->name, text_at(row, 0));
    assert_string_equal(item->class_label, text_at(row, 1));
    assert_string_equal(item->group, text_at(row, 2));
    sm_sha256_hex(digest, item->bytes, item->bytes_count);
    assert_string_equal(digest, text_at(row, 3));
    assert_int_equal(SM_OK,
                     sm_image_decode(&image, item->bytes, item->bytes_count, false, NULL, &err));
    sm_image_release(&image);
}

static void test_items(void **state)
{
    const char *argument;
    json_t *node;
    (void)state;
    json_object_foreach(json_object_get(golden, "good"), argument, node)
    {
        struct sm_dataset *dataset;
        struct sm_dataset_item item;
        const json_t *items = json_object_get(node, "items");
        bool found = true;
        char path[512];
        place(path, argument);
        if (sm_dataset_open(&dataset, path, &err) != SM_OK)
            fail_msg("%s: %s", argument, err.text);
        assert_string_equal(sm_dataset_format(dataset),
                            json_string_value(json_object_get(node, "format")));
        assert_int_equal(sm_dataset_count(dataset), json_array_size(items));
        for (size_t i = 0; i < json_array_size(items); i++) {
            if (sm_dataset_next(&item, &found, dataset, &err) != SM_OK)
                fail_msg("%s: %s", argument, err.text);
            assert_true(found);
            check_item(&item, json_array_get(items, i));
        }
        assert_int_equal(SM_OK, sm_dataset_next(&item, &found, dataset, &err));
        assert_false(found);
        sm_dataset_close(dataset);
    }
}

/* Opens and reads all; returns the first error. */
static enum sm_code read_all(const char *path)
{
    struct sm_dataset *dataset;
    struct sm_dataset_item item;
    bool found = true;
    enum sm_code code = sm_dataset_open(&dataset, path, &err);
    while (code == SM_OK && found)
        code = sm_dataset_next(&item, &found, dataset, &err);
    sm_dataset_close(dataset);
    return code;
}

static void test_refused(void **state)
{
    size_t i;
    json_t *row;
    (void)state;
    json_array_foreach(json_object_get(golden, "bad"), i, row)
    {
        char path[512];
        place(path, text_at(row, 0));
        enum sm_code code = read_all(path);
        if (strcmp(sm_code_name(code), text_at(row, 1)) != 0 || !strstr(err.text, text_at(row, 2)))
            fail_msg("%s: %s: %s", path, sm_code_name(code), code == SM_OK ? "" : err.text);
    }
    assert_int_not_equal(0, access("/tmp/sslmem-was-here", F_OK));
}

static void test_a_file_that_is_gone_fails_its_item(void **state)
{
    struct sm_dataset *dataset;
    struct sm_dataset_item item;
    bool found;
    char table[] = "/tmp/sslmem-data-XXXXXX.csv";
    int fd = mkstemps(table, 4);
    static const char text[] = "path,cohort\nnot-there.png,shared\n" GOLDEN "/folder/top.png,\n";
    (void)state;
    assert_int_equal(write(fd, text, sizeof text - 1), sizeof text - 1);
    close(fd);
    assert_int_equal(SM_OK, sm_dataset_open(&dataset, table, &err));
    assert_int_equal(SM_OK, sm_dataset_next(&item, &found, dataset, &err));
    assert_true(found);
    assert_int_equal(SM_NOT_FOUND, item.error.code);
    assert_non_null(strstr(item.error.text, "not-there.png"));
    assert_string_equal(item.cohort, "shared");
    assert_null(item.bytes);
    assert_int_equal(SM_OK, sm_dataset_next(&item, &found, dataset, &err));
    assert_int_equal(SM_NOT_FOUND, item.error.code); /* relative to the table, not to here */
    sm_dataset_close(dataset);
    unlink(table);
}

static void test_the_whole_path_comes_first(void **state)
{
    struct sm_dataset_place parts;
    char folder[] = "/tmp/sslmem-data-XXXXXX", path[64], argument[128];
    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/a:b@c", folder);
    assert_int_equal(0, mkdir(path, 0700));
    assert_int_equal(SM_OK, sm_dataset_place(&parts, path, &err));
    assert_string_equal(parts.path, path);
    assert_true(parts.is_folder);
    snprintf(argument, sizeof argument, "%s:train@list.txt", path);
    assert_int_equal(SM_OK, sm_dataset_place(&parts, argument, &err));
    assert_string_equal(parts.path, path);
    assert_string_equal(parts.part, "train");
    assert_string_equal(parts.list, "list.txt");
    assert_false(parts.is_folder);
    rmdir(path);
    rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_items),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_a_file_that_is_gone_fails_its_item),
        cmocka_unit_test(test_the_whole_path_comes_first),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
