/* What is packed and unpacked is what the folder itself gives: the same images in the same order. */
#include "tests/unit/server/ingest/ingest_fixture.h"

#include <sys/stat.h>

#include "server/ingest/pack.h"
#include "sslmem/image.h"

static char folder[512];
static int archives_count, passes_count;
static enum sm_code refuse;

static void write_file(const char *name, const char *bytes, size_t bytes_count, off_t size)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, bytes_count, file), bytes_count);
    assert_int_equal(fflush(file), 0);
    if (size > 0)
        assert_int_equal(ftruncate(fileno(file), size), 0);
    assert_int_equal(fclose(file), 0);
}

#define WRITE(name, text) write_file(name, text, sizeof text - 1, 0)

static void make_folder(const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(mkdir(path, 0700), 0);
}

static int setup_folder(void **state)
{
    char path[4096], name[240];
    setup_ingest(state);
    archives_count = passes_count = 0;
    refuse = SM_OK;
    snprintf(folder, sizeof folder, "%s/images", scratch.dir);
    assert_int_equal(mkdir(folder, 0700), 0);
    make_folder("b");
    make_folder("b/c");
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    WRITE("a.png", PNG "a");
    WRITE("b/c/d.jpg", JPEG "d");
    WRITE("b-.png", PNG "b-"); /* before b/ as text, behind it as a name */
    WRITE("b/\xc3\xbc.png", PNG "u");
    WRITE("b/\xff.png", PNG "no UTF-8");
    WRITE("notes.txt", "no image");
    WRITE("empty.png", "");
    write_file(name, PNG "n", 9, 0);
    snprintf(path, sizeof path, "%s/link.png", folder);
    assert_int_equal(symlink("a.png", path), 0);
    snprintf(path, sizeof path, "%s/pipe.png", folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    return 0;
}

static enum sm_code take_archive(void *arg, FILE *tar, struct sm_err *why)
{
    struct sm_ingest_labels labels = {.cohort = SM_COHORT_CANDIDATE};
    (void)arg;
    archives_count++;
    if (refuse != SM_OK)
        return sm_err_set(why, refuse, "the receiver's own words");
    return sm_ingest_archive(ingest, fileno(tar), &labels, why);
}

static void count_pass(void *arg, const char *name, const char *why)
{
    (void)arg, (void)name, (void)why;
    passes_count++;
}

static enum sm_code pack(const char *from, const atomic_bool *stop)
{
    err = (struct sm_err){0};
    return sm_pack_folder(
        &(struct sm_pack_params){
            .folder = from, .stop = stop, .send = take_archive, .pass = count_pass},
        &err);
}

static json_t *items_of(const char *id)
{
    static const struct sm_store_audit_items_filter all = {.cohort = -1, .after = -1, .limit = 100};
    struct sm_store_audit_items_page page;
    assert_code(SM_OK, sm_store_audit_items(&page, store, OWN(id), &all, &err));
    json_t *items = json_incref(page.items);
    sm_store_audit_items_page_release(&page);
    return items;
}

/* Packs into the one audit, ingests the folder into another, compares. */
static void check_same(int64_t added, int64_t failed)
{
    struct sm_ingest_labels labels = {.cohort = SM_COHORT_CANDIDATE};
    json_t *unpacked, *direct;
    assert_code(SM_OK, pack(folder, NULL));
    assert_code(SM_OK, finish_ingest());
    assert_int_equal(counted("added_count"), added);
    assert_int_equal(counted("failed_count"), failed);
    unpacked = items_of(audit);
    create_audit(audit, false);
    begin(MANY, 0);
    assert_code(SM_OK, sm_ingest_folder(ingest, folder, ".", &labels, &err));
    assert_code(SM_OK, finish_ingest());
    direct = items_of(audit);
    const json_t *a = unpacked, *b = direct;
    assert_int_equal(json_array_size(a), added + failed);
    assert_int_equal(json_array_size(b), added + failed);
    for (size_t i = 0; i < json_array_size(a); i++) {
        const json_t *x = json_array_get(a, i), *y = json_array_get(b, i);
        assert_string_equal(text_at(x, "name"), text_at(y, "name"));
        assert_string_equal(text_at(x, "image"), text_at(y, "image"));
        assert_string_equal(text_at(x, "state"), text_at(y, "state"));
    }
    json_decref(unpacked);
    json_decref(direct);
}

static void the_same_images_in_the_same_order(void **state)
{
    (void)state;
    check_same(6, 0);
    assert_int_equal(archives_count, 1);
    assert_int_equal(passes_count, 0);
}

/* Two images over their limit, cut where the service knows that they are, fill an archive. */
static void more_archives_than_one(void **state)
{
    (void)state;
    write_file("0.png", PNG, 8, (off_t)SM_IMAGE_BYTES_MAX + 1);
    write_file("1.png", PNG, 8, 2 * (off_t)SM_IMAGE_BYTES_MAX);
    check_same(6, 2);
    assert_int_equal(archives_count, 2);
}

static void nothing_to_pack(void **state)
{
    (void)state;
    char path[4096];
    make_folder("none");
    snprintf(path, sizeof path, "%s/none", folder);
    assert_code(SM_OK, pack(path, NULL));
    assert_int_equal(archives_count, 0);
    snprintf(path, sizeof path, "%s/nowhere", folder);
    assert_code(SM_IO, pack(path, NULL));
    assert_non_null(strstr(err.text, "nowhere: No such file or directory"));
}

static void stopped_and_refused(void **state)
{
    (void)state;
    atomic_bool stop = true;
    assert_code(SM_CANCELLED, pack(folder, &stop));
    assert_int_equal(archives_count, 0);
    refuse = SM_CONFLICT;
    assert_code(SM_CONFLICT, pack(folder, NULL));
    assert_string_equal(err.text, "the receiver's own words");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_folder, teardown_ingest)
    static const struct CMUnitTest tests[] = {
        TEST(the_same_images_in_the_same_order),
        TEST(more_archives_than_one),
        TEST(nothing_to_pack),
        TEST(stopped_and_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
