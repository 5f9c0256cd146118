/* Archives into an audit, good ones and hostile ones. They are made here, by libarchive's writer. */
#include "server/base/clock.h"
#include "tests/unit/server/ingest/ingest_fixture.h"

#include <archive.h>
#include <archive_entry.h>
#include <sys/stat.h>

#include "sslmem/image.h"

static const struct sm_ingest_labels any = {.cohort = -1};

/* --- making archives --- */

struct maker {
    struct archive *archive;
    int fd;
};

static struct maker make(int (*format)(struct archive *a), int (*filter)(struct archive *a))
{
    struct maker m = {archive_write_new(), memfd_create("archive", MFD_CLOEXEC)};
    assert_int_equal(format(m.archive), ARCHIVE_OK);
    if (filter)
        assert_int_equal(filter(m.archive), ARCHIVE_OK);
    archive_write_set_bytes_in_last_block(m.archive, 1);
    assert_int_equal(archive_write_open_fd(m.archive, m.fd), ARCHIVE_OK);
    return m;
}

static void put_header(struct maker *m, const char *name, mode_t type, int64_t size,
                       const char *link, const char *hardlink)
{
    struct archive_entry *e = archive_entry_new();
    archive_entry_set_pathname(e, name);
    archive_entry_set_filetype(e, type);
    archive_entry_set_perm(e, 0644);
    archive_entry_set_size(e, size);
    if (link)
        archive_entry_set_symlink(e, link);
    if (hardlink)
        archive_entry_set_hardlink(e, hardlink);
    assert_true(archive_write_header(m->archive, e) >= ARCHIVE_WARN);
    archive_entry_free(e);
}

static void put(struct maker *m, const char *name, const char *bytes, size_t bytes_count)
{
    put_header(m, name, AE_IFREG, (int64_t)bytes_count, NULL, NULL);
    assert_int_equal(archive_write_data(m->archive, bytes, bytes_count), (la_ssize_t)bytes_count);
}

#define PUT(m, name, text) put(m, name, text, sizeof text - 1)

/* `count` bytes that begin with `head`. */
static void put_long(struct maker *m, const char *name, const char *head, int64_t count)
{
    static const char zeros[1 << 16];
    int64_t n = (int64_t)strlen(head);
    put_header(m, name, AE_IFREG, count, NULL, NULL);
    archive_write_data(m->archive, head, (size_t)n);
    for (; n < count; n += (int64_t)sizeof zeros) {
        size_t part = count - n < (int64_t)sizeof zeros ? (size_t)(count - n) : sizeof zeros;
        assert_int_equal(archive_write_data(m->archive, zeros, part), (la_ssize_t)part);
    }
}

static int made(struct maker *m)
{
    assert_int_equal(archive_write_free(m->archive), ARCHIVE_OK);
    return m->fd;
}

/* Takes the archive and ends the ingestion. */
static enum sm_code take(int fd, const struct sm_ingest_labels *labels)
{
    struct sm_err last = {0};
    err = (struct sm_err){0};
    enum sm_code code = sm_ingest_archive(ingest, fd, labels, &err);
    last = err;
    assert_code(SM_OK, finish_ingest());
    err = last;
    close(fd);
    return code;
}

/* --- what is taken --- */

static void check_plain(struct maker m, const char *b_name)
{
    PUT(&m, "candidate/a.png", PNG "a");
    PUT(&m, "./external/b.jpg", JPEG "b");
    PUT(&m, "candidate/deep/er/c.png", PNG "c");
    assert_code(SM_OK, take(made(&m), &any));
    assert_int_equal(counted("added_count"), 3);
    assert_int_equal(counted("skipped_count"), 0);
    assert_item(0, "candidate", "candidate/a.png", "queued");
    assert_item(1, "external", b_name, "queued");
    assert_item(2, "candidate", "candidate/deep/er/c.png", "queued");
}

static void tar_is_read(void **state)
{
    (void)state;
    check_plain(make(archive_write_set_format_ustar, NULL), "./external/b.jpg");
}

static void pax_under_gzip_is_read(void **state)
{
    (void)state;
    check_plain(make(archive_write_set_format_pax, archive_write_add_filter_gzip),
                "./external/b.jpg");
}

static void gnu_under_zstd_is_read(void **state)
{
    (void)state;
    check_plain(make(archive_write_set_format_gnutar, archive_write_add_filter_zstd),
                "./external/b.jpg");
}

static void zip_is_read(void **state)
{
    (void)state;
    check_plain(make(archive_write_set_format_zip, NULL), "./external/b.jpg");
}

static void cohort_of_the_caller_goes_before_folders(void **state)
{
    (void)state;
    struct maker m = make(archive_write_set_format_ustar, NULL);
    PUT(&m, "candidate/a.png", PNG "a");
    PUT(&m, "b.png", PNG "b");
    PUT(&m, "candidate/again.png", PNG "a");
    assert_code(SM_OK,
                take(made(&m), &(struct sm_ingest_labels){
                                   .cohort = SM_COHORT_SHARED, .class_label = "7", .group = "g"}));
    assert_int_equal(counted("added_count"), 2);
    assert_int_equal(counted("duplicate_count"), 1);
    json_t *item = item_at(1);
    assert_string_equal(text_at(item, "cohort"), "shared");
    assert_string_equal(text_at(item, "class"), "7");
    assert_string_equal(text_at(item, "group"), "g");
    json_decref(item);
}

/* Nothing of a name is a path: a name that could be one is a label, or no cohort. */
static void names_are_labels(void **state)
{
    (void)state;
    char longer[600] = "candidate/";
    memset(longer + 10, 'x', sizeof longer - 11);
    struct maker m = make(archive_write_set_format_pax, NULL);
    PUT(&m, "/candidate/absolute.png", PNG "1");
    PUT(&m, "../candidate/up.png", PNG "2");
    PUT(&m, "candidate/../../up.png", PNG "3");
    PUT(&m, "candidate\\back.png", PNG "4");
    PUT(&m, "candidate/new\nline\x1b.png", PNG "5");
    PUT(&m, "candidate/\xff\xc0\xaf.png", PNG "6");
    PUT(&m, longer, PNG "7");
    PUT(&m, "top.png", PNG "8");
    PUT(&m, "candidates/x.png", PNG "9");
    assert_code(SM_OK, take(made(&m), &any));
    assert_int_equal(counted("added_count"), 4);
    assert_int_equal(skipped("cohort_invalid"), 5);
    const char *why = "the first folder is none of shared, candidate, independent, external";
    assert_skipped("/candidate/absolute.png", "cohort_invalid", why);
    assert_skipped("../candidate/up.png", "cohort_invalid", why);
    assert_skipped("candidate\\back.png", "cohort_invalid", why);
    assert_skipped("top.png", "cohort_invalid", why);
    assert_skipped("candidates/x.png", "cohort_invalid", why);
    assert_item(0, "candidate", "candidate/../../up.png", "queued");
    assert_item(1, "candidate", "candidate/new?line?.png", "queued");
    assert_item(2, "candidate", "candidate/???.png", "queued");
    json_t *item = item_at(3);
    assert_int_equal(strlen(text_at(item, "name")), SM_INGEST_LABEL_BYTES_MAX);
    json_decref(item);
}

/* Not followed, not made, reported. */
static void links_and_devices_are_skipped(void **state)
{
    (void)state;
    struct maker m = make(archive_write_set_format_pax, NULL);
    put_header(&m, "candidate", AE_IFDIR, 0, NULL, NULL);
    put_header(&m, "candidate/soft.png", AE_IFLNK, 0, "/etc/passwd", NULL);
    put_header(&m, "candidate/hard.png", AE_IFREG, 0, NULL, "/etc/passwd");
    put_header(&m, "candidate/pipe.png", AE_IFIFO, 0, NULL, NULL);
    put_header(&m, "candidate/disk.png", AE_IFBLK, 0, NULL, NULL);
    put_header(&m, "candidate/tty.png", AE_IFCHR, 0, NULL, NULL);
    PUT(&m, "candidate/a.png", PNG "a");
    assert_code(SM_OK, take(made(&m), &any));
    assert_int_equal(counted("added_count"), 1);
    assert_int_equal(counted("skipped_count"), 5);
    assert_skipped("candidate/soft.png", "link", "links are not followed");
    assert_skipped("candidate/hard.png", "link", "links are not followed");
    assert_skipped("candidate/pipe.png", "not_a_file", "not a regular file");
    assert_skipped("candidate/disk.png", "not_a_file", "not a regular file");
    assert_skipped("candidate/tty.png", "not_a_file", "not a regular file");
}

static void what_is_no_image_is_skipped(void **state)
{
    (void)state;
    struct maker m = make(archive_write_set_format_zip, NULL);
    PUT(&m, "candidate/readme.txt", "some text that is longer than any magic number");
    PUT(&m, "candidate/empty.png", "");
    PUT(&m, "candidate/short.png", "\x89PN");
    put_header(&m, "candidate/soft.png", AE_IFLNK, 0, "/etc/passwd", NULL);
    PUT(&m, "candidate/a.png", PNG "a");
    assert_code(SM_OK, take(made(&m), &any));
    assert_int_equal(counted("added_count"), 1);
    assert_skipped("candidate/readme.txt", "not_an_image",
                   "the first bytes are those of no JPEG, PNG or raw image");
    assert_skipped("candidate/empty.png", "empty", "the entry has 0 bytes");
    assert_skipped("candidate/short.png", "not_an_image",
                   "the first bytes are those of no JPEG, PNG or raw image");
    assert_int_equal(counted("skipped_count"), 4); /* a zip read forward does not know of links */
}

static void an_encrypted_entry_is_skipped(void **state)
{
    (void)state;
    struct maker m = {archive_write_new(), memfd_create("archive", MFD_CLOEXEC)};
    archive_write_set_format_zip(m.archive);
    if (archive_write_set_options(m.archive, "zip:encryption=traditional") != ARCHIVE_OK)
        skip();
    archive_write_set_passphrase(m.archive, "secret");
    assert_int_equal(archive_write_open_fd(m.archive, m.fd), ARCHIVE_OK);
    PUT(&m, "candidate/a.png", PNG "a");
    PUT(&m, "candidate/b.png", PNG "b");
    assert_code(SM_OK, take(made(&m), &any));
    assert_int_equal(skipped("unreadable"), 2);
}

/* --- labels (core/data/sample.h) --- */

static void assert_class(int64_t index, const char *name, const char *class_label)
{
    json_t *item = item_at(index);
    const char *text = json_string_value(json_object_get(item, "class"));
    assert_string_equal(text_at(item, "name"), name);
    assert_string_equal(text ? text : "", class_label);
    json_decref(item);
}

static const struct sm_ingest_labels shared = {.cohort = SM_COHORT_SHARED};

/* Two images of a key, of which one would get the labels: neither does, whatever the order. */
static void labels_of_several_images_are_reported(void **state)
{
    static const char *const orders[][3] = {{"c/0.cls", "c/0.mask.png", "c/0.png"},
                                            {"c/0.png", "c/0.mask.png", "c/0.cls"},
                                            {"c/0.json", "c/0.mask.png", "c/0.png"},
                                            {"c/0.mask.png", "c/0.json", "c/0.png"}};
    (void)state;
    struct maker m = make(archive_write_set_format_ustar, NULL);
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
        for (int k = 0; k < 3; k++) {
            char bytes[32];
            size_t n = (size_t)snprintf(bytes, sizeof bytes, PNG "%zu %d", i, k);
            if (strstr(orders[i][k], ".png"))
                put(&m, orders[i][k], bytes, n);
            else if (strstr(orders[i][k], ".cls"))
                PUT(&m, orders[i][k], "7");
            else
                PUT(&m, orders[i][k], "{\"label\": 7, \"group\": \"g\"}");
        }
        PUT(&m, "between.txt", "another sample");
    }
    assert_code(SM_OK, take(made(&m), &shared));
    assert_int_equal(counted("added_count"), 8);
    assert_int_equal(skipped("unreadable"), 4);
    for (int i = 0; i < 2; i++)
        assert_skipped(i == 0 ? "c/0.cls" : "c/0.json", "unreadable",
                       "labels of a sample with several images, which tell the class of one; keep "
                       "one image a sample: no image has them");
    assert_class(0, "c/0.mask.png", "c");
    assert_class(1, "c/0.png", "c");
    assert_class(2, "c/0.png", "c");
    assert_class(3, "c/0.mask.png", "c");
    json_t *item = item_at(4);
    assert_string_equal(text_at(item, "group"), "");
    json_decref(item);
}

/* Several images of a key without labels, or each with its own, are in order. */
static void images_of_one_key_keep_their_own_labels(void **state)
{
    (void)state;
    struct maker m = make(archive_write_set_format_ustar, NULL);
    PUT(&m, "0.a.png", PNG "a");
    PUT(&m, "0.b.png", PNG "b");
    PUT(&m, "1.png", PNG "c");
    PUT(&m, "1.cls", "4");
    PUT(&m, "1.png", PNG "d");
    PUT(&m, "1.cls", "5");
    assert_code(SM_OK, take(made(&m), &shared));
    assert_int_equal(counted("added_count"), 4);
    assert_int_equal(counted("skipped_count"), 0);
    assert_class(0, "0.a.png", "");
    assert_class(1, "0.b.png", "");
    assert_class(2, "1.png", "4");
    assert_class(3, "1.png", "5");
}

static void labels_without_their_image_are_reported(void **state)
{
    (void)state;
    struct maker m = make(archive_write_set_format_ustar, NULL);
    PUT(&m, "a.png", PNG "a");
    PUT(&m, "b.png", PNG "b");
    PUT(&m, "a.cls", "1");
    PUT(&m, "b.json", "{\"label\": 2}");
    PUT(&m, "text.txt", "of another kind");
    PUT(&m, "text.json", "{\"label\": 3}");
    PUT(&m, "meta.json", "{\"made\": 2026}");
    assert_code(SM_OK, take(made(&m), &shared));
    assert_int_equal(counted("added_count"), 2);
    const char *why = "no image stands next to this class; write the entries of a sample one after "
                      "another (tar --sort=name)";
    assert_skipped("a.cls", "not_an_image", why);
    assert_skipped("b.json", "not_an_image", why);
    assert_skipped("text.json", "not_an_image",
                   "the first bytes are those of no JPEG, PNG or raw image");
    assert_skipped("meta.json", "not_an_image",
                   "the first bytes are those of no JPEG, PNG or raw image");
    assert_int_equal(counted("skipped_count"), 5);
}

/* --- limits --- */

static void an_image_at_the_limit_and_one_byte_past_it(void **state)
{
    (void)state;
    struct maker m = make(archive_write_set_format_ustar, NULL);
    put_long(&m, "candidate/fits.png", PNG, SM_IMAGE_BYTES_MAX);
    put_long(&m, "candidate/over.png", PNG, SM_IMAGE_BYTES_MAX + 1);
    PUT(&m, "candidate/after.png", PNG "a");
    assert_code(SM_OK, take(made(&m), &any));
    assert_int_equal(counted("added_count"), 2);
    assert_int_equal(counted("failed_count"), 1);
    assert_item(0, "candidate", "candidate/fits.png", "queued");
    assert_item(1, "candidate", "candidate/over.png", "failed");
    assert_item(2, "candidate", "candidate/after.png", "queued");
    json_t *item = item_at(1);
    const json_t *error = json_object_get(item, "error");
    assert_string_equal(text_at(error, "code"), "limit");
    assert_string_equal(text_at(error, "detail"),
                        "the image has over 16777216 bytes, which is the limit");
    json_decref(item);
}

static void a_hundred_thousand_empty_entries(void **state)
{
    (void)state;
    int64_t began = sm_clock_monotonic_ms();
    struct maker m = make(archive_write_set_format_ustar, NULL);
    for (int i = 0; i < 100000; i++) {
        char name[32];
        snprintf(name, sizeof name, "candidate/%06d.png", i);
        put_header(&m, name, AE_IFREG, 0, NULL, NULL);
    }
    assert_code(SM_OK, take(made(&m), &any));
    assert_int_equal(counted("added_count"), 0);
    assert_int_equal(counted("skipped_count"), 100000);
    assert_int_equal(skipped("empty"), 100000);
    assert_int_equal(json_array_size(json_object_get(report, "skipped")), SM_INGEST_SKIPPED_MAX);
    assert_true(sm_clock_monotonic_ms() - began < 30000);
}

/* 60 MB of zeros in some 60 KB: given up after a hundred times that, whatever the entry is called
 * and begins with. */
static void check_bomb(struct maker m, const char *head)
{
    struct stat status;
    PUT(&m, "candidate/a.png", PNG "a");
    put_long(&m, "candidate/bomb.png", head, 60 << 20);
    int fd = made(&m), copy = dup(fd);
    assert_int_equal(fstat(fd, &status), 0);
    assert_code(SM_LIMIT, take(fd, &any));
    char begin_text[64], end_text[] = ", the limit is 100 times";
    snprintf(begin_text, sizeof begin_text, "entry 2: %lld bytes have unpacked to ",
             (long long)status.st_size);
    assert_memory_equal(err.text, begin_text, strlen(begin_text));
    assert_string_equal(err.text + strlen(err.text) - strlen(end_text), end_text);
    assert_true(strtoll(err.text + strlen(begin_text), NULL, 10) <
                status.st_size * SM_INGEST_RATIO_MAX + (2 << 20));
    assert_int_equal(counted("added_count"), 1); /* what came before stays */
    close(copy);
}

static void a_zip_bomb_is_given_up(void **state)
{
    (void)state;
    check_bomb(make(archive_write_set_format_zip, NULL), "");
}

static void a_zip_bomb_that_begins_as_an_image_is_given_up(void **state)
{
    (void)state;
    check_bomb(make(archive_write_set_format_zip, NULL), PNG);
}

static void a_gzip_bomb_is_given_up(void **state)
{
    (void)state;
    check_bomb(make(archive_write_set_format_ustar, archive_write_add_filter_gzip), "text");
}

/* One image, the end mark, and 200 MB of zeros behind it, which libarchive passes over in one call. */
static void zeros_behind_a_tar_are_given_up(void **state)
{
    static const char zeros[1 << 20];
    (void)state;
    struct maker m = make(archive_write_set_format_ustar, NULL);
    PUT(&m, "candidate/a.png", PNG "a");
    int fd = made(&m);
    char tar[2048];
    assert_int_equal(pread(fd, tar, sizeof tar, 0), (ssize_t)sizeof tar);
    close(fd);
    m = make(archive_write_set_format_raw, archive_write_add_filter_zstd);
    put_header(&m, "x", AE_IFREG, sizeof tar + 200 * sizeof zeros, NULL, NULL);
    archive_write_data(m.archive, tar, sizeof tar);
    for (int i = 0; i < 200; i++)
        archive_write_data(m.archive, zeros, sizeof zeros);
    fd = made(&m);
    assert_code(SM_LIMIT, take(fd, &any));
    assert_non_null(strstr(err.text, ", the limit is 100 times"));
    assert_int_equal(counted("added_count"), 1);
}

static void tars_behind_each_other_are_read(void **state)
{
    (void)state;
    int fd = memfd_create("archive", MFD_CLOEXEC);
    for (int i = 0; i < 3; i++) {
        char name[32], tar[2560];
        snprintf(name, sizeof name, "candidate/%d.png", i);
        struct maker m = make(archive_write_set_format_ustar, NULL);
        put(&m, name, name, 0);
        put(&m, name, i == 0 ? PNG "0" : i == 1 ? PNG "1" : PNG "2", 9);
        int one = made(&m);
        assert_int_equal(pread(one, tar, sizeof tar, 0), (ssize_t)sizeof tar);
        close(one);
        assert_int_equal(write(fd, tar, sizeof tar), (ssize_t)sizeof tar);
    }
    int bad = memfd_create("archive", MFD_CLOEXEC);
    char all[3 * 2560];
    assert_int_equal(pread(fd, all, sizeof all, 0), (ssize_t)sizeof all);
    assert_int_equal(write(bad, all, sizeof all), (ssize_t)sizeof all);
    assert_int_equal(write(bad, PNG "no tar", 14), 14);
    assert_code(SM_CORRUPT, sm_ingest_archive(ingest, bad, &any, &err));
    close(bad);
    assert_code(SM_OK, take(fd, &any));
    assert_int_equal(counted("added_count"), 3);
    assert_int_equal(counted("duplicate_count"), 3);
    assert_item(2, "candidate", "candidate/2.png", "queued");
}

static void bytes_in_all_are_limited(void **state)
{
    (void)state;
    sm_ingest_free(ingest);
    begin(MANY, 5000);
    struct maker m = make(archive_write_set_format_ustar, NULL);
    put_long(&m, "candidate/a.png", PNG "a", 2000);
    put_long(&m, "candidate/b.png", PNG "b", 2000);
    put_long(&m, "candidate/c.png", PNG "c", 2000);
    assert_code(SM_LIMIT, take(made(&m), &any));
    assert_non_null(strstr(err.text, "entry 3: the archive has unpacked to "));
    assert_non_null(strstr(err.text, " bytes, the limit is 5000"));
    assert_int_equal(counted("added_count"), 2);
}

static void images_of_the_audit_are_limited(void **state)
{
    (void)state;
    sm_ingest_free(ingest);
    begin(2, 0);
    struct maker m = make(archive_write_set_format_ustar, NULL);
    PUT(&m, "candidate/a.png", PNG "a");
    PUT(&m, "candidate/b.png", PNG "b");
    PUT(&m, "candidate/c.png", PNG "c");
    int fd = made(&m);
    assert_code(SM_OK, sm_ingest_archive(ingest, fd, &any, &err));
    assert_code(SM_LIMIT, finish_ingest());
    assert_non_null(strstr(err.text, " has 2 images of at most 2, no room for candidate/c.png"));
    assert_non_null(report);
    close(fd);
}

/* An entry of GNU's sparse kind: 512 bytes that begin with `head` at byte `at` of four gigabytes. */
static void put_sparse(int fd, const char *name, int64_t at, const char *head)
{
    char block[1024] = {0};
    unsigned sum = 0;
    snprintf(block, 100, "%s", name);
    snprintf(block + 100, 24, "0000644%c0000000%c0000000", 0, 0);
    snprintf(block + 124, 24, "%011o%c%011o", 512, 0, 0);
    memset(block + 148, ' ', 8);
    block[156] = 'S';
    memcpy(block + 257, "ustar  ", 8);
    snprintf(block + 386, 12, "%011llo", (unsigned long long)at);
    snprintf(block + 398, 12, "%011o", 512);
    snprintf(block + 483, 12, "%011llo", 1ULL << 32);
    for (int i = 0; i < 512; i++)
        sum += (unsigned char)block[i];
    snprintf(block + 148, 8, "%06o", sum);
    memcpy(block + 512, head, strlen(head));
    assert_int_equal(write(fd, block, sizeof block), (ssize_t)sizeof block);
}

static void holes_are_not_filled_beyond_an_image(void **state)
{
    (void)state;
    int fd = memory_file("", 0);
    put_sparse(fd, "candidate/late.png", (INT64_C(1) << 32) - 512, PNG);
    put_sparse(fd, "candidate/early.png", 0, PNG);
    put_sparse(fd, "candidate/middle.png", 5000, PNG);
    assert_int_equal(write(fd, (char[1024]){0}, 1024), 1024);
    assert_code(SM_OK, take(fd, &any));
    assert_skipped("candidate/late.png", "not_an_image",
                   "the first bytes are those of no JPEG, PNG or raw image");
    assert_skipped("candidate/middle.png", "not_an_image",
                   "the first bytes are those of no JPEG, PNG or raw image");
    assert_item(0, "candidate", "candidate/early.png", "failed");
    assert_int_equal(counted("failed_count"), 1);
    assert_int_equal(counted("skipped_count"), 2);
}

/* --- broken --- */

static void what_is_no_archive_is_refused(void **state)
{
    static const struct {
        const char *bytes;
        size_t bytes_count;
        const char *text; /* the beginning of the error's */
    } bad[] = {
        {"", 0, "after entry 0: "},
        {"no archive at all, but text of some length that goes on and on", 61, "after entry 0: "},
        {PNG "an image by itself", 26,
         "a PNG image: give images: a tar or zip of JPEG and PNG files"},
        {"BZh91AY&SY", 10, "a bzip2 file: pack it again; taken are tar, zip, tar.gz and tar.zst"},
        {"7z\xbc\xaf\x27\x1c", 6, "a 7z archive: pack it again; "},
        {"Rar!\x1a\x07", 6, "a rar archive: pack it again; "},
        {"\xfd"
         "7zXZ\0\0\x04",
         8, "an xz file: pack it again; "}};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int fd = memory_file(bad[i].bytes, bad[i].bytes_count);
        err = (struct sm_err){0};
        assert_code(SM_CORRUPT, sm_ingest_archive(ingest, fd, &any, &err));
        assert_memory_equal(err.text, bad[i].text, strlen(bad[i].text));
        close(fd);
    }
}

/* A folder with bytes, which libarchive does not step over: what stands behind it is no header. */
static void a_header_with_a_wrong_sum_is_named(void **state)
{
    char folder[512] = "candidate/", image[512] = PNG "in a folder";
    char tar[4 * 512] = {0};
    unsigned sum = 0;
    (void)state;
    memcpy(folder + 124, "00000000100", 11);
    memset(folder + 148, ' ', 8);
    memcpy(folder + 257, "ustar\00000", 8);
    for (size_t i = 0; i < sizeof folder; i++)
        sum += (unsigned char)folder[i];
    snprintf(folder + 148, 8, "%06o", sum);
    memcpy(tar, folder, sizeof folder);
    memcpy(tar + 512, image, sizeof image);
    assert_code(SM_CORRUPT, take(memory_file(tar, sizeof tar), &any));
    assert_non_null(strstr(err.text, "Damaged tar"));
}

/* Filters that are not switched on, and would run a program. */
static void other_filters_are_not_run(void **state)
{
    (void)state;
    struct maker m = make(archive_write_set_format_ustar, archive_write_add_filter_bzip2);
    PUT(&m, "candidate/a.png", PNG "a");
    assert_code(SM_CORRUPT, take(made(&m), &any));
    assert_int_equal(counted("added_count"), 0);
}

/* Cut at every length: never a crash, and what was whole before the cut is there. */
static void archives_cut_short(void **state)
{
    (void)state;
    struct maker m = make(archive_write_set_format_zip, NULL);
    PUT(&m, "candidate/a.png", PNG "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    PUT(&m, "candidate/b.png", PNG "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb");
    int fd = made(&m);
    off_t size = lseek(fd, 0, SEEK_END);
    int refused = 0;
    for (off_t cut = size - 1; cut >= 0; cut--) {
        assert_int_equal(ftruncate(fd, cut), 0);
        enum sm_code code = sm_ingest_archive(ingest, fd, &any, &err);
        assert_true(code == SM_OK || code == SM_CORRUPT);
        refused += code == SM_CORRUPT;
    }
    assert_true(refused > 50);
    assert_code(SM_OK, finish_ingest());
    assert_true(counted("added_count") <= 4);
    close(fd);
}

/* Between two entries nothing is broken; only the end mark is missing. */
static void a_tar_cut_between_two_entries_is_refused(void **state)
{
    int (*const filters[])(struct archive *) = {NULL, archive_write_add_filter_gzip};
    (void)state;
    struct maker m = make(archive_write_set_format_ustar, NULL);
    PUT(&m, "candidate/a.png", PNG "a");
    PUT(&m, "candidate/b.png", PNG "b");
    int fd = made(&m);
    char tar[2048];
    assert_int_equal(pread(fd, tar, sizeof tar, 0), (ssize_t)sizeof tar);
    close(fd);
    for (size_t blocks = 2; blocks <= 4; blocks += 2)
        for (size_t i = 0; i < sizeof filters / sizeof *filters; i++) {
            struct maker cut = make(archive_write_set_format_raw, filters[i]);
            put(&cut, "cut.tar", tar, blocks * 512);
            fd = made(&cut);
            assert_code(SM_CORRUPT, sm_ingest_archive(ingest, fd, &any, &err));
            assert_non_null(strstr(err.text, blocks == 2 ? "after entry 1: a tar's end mark is"
                                                         : "after entry 2: a tar's end mark is"));
            close(fd);
        }
    assert_code(SM_OK, finish_ingest());
    assert_int_equal(counted("added_count"), 2); /* what came before stays */
}

/* Bytes changed one by one in a tar: whatever comes of it is within the rules. */
static void archives_with_wrong_bytes(void **state)
{
    (void)state;
    struct maker m = make(archive_write_set_format_pax, NULL);
    PUT(&m, "candidate/a\xc3\xa9.png", PNG "a");
    PUT(&m, "candidate/b.png", PNG "b");
    int fd = made(&m);
    unsigned char was, other;
    for (off_t at = 0; at < 3000; at += 7) {
        assert_int_equal(pread(fd, &was, 1, at), 1);
        other = (unsigned char)(was ^ (1 << at % 8));
        assert_int_equal(pwrite(fd, &other, 1, at), 1);
        enum sm_code code = sm_ingest_archive(ingest, fd, &any, &err);
        assert_true(code == SM_OK || code == SM_CORRUPT || code == SM_LIMIT);
        assert_int_equal(pwrite(fd, &was, 1, at), 1);
    }
    assert_code(SM_OK, finish_ingest());
    close(fd);
}

/* An entry that is stored under the name \xc3\xa9, marked as UTF-8, with a Unicode path beside it. */
static const char marked[] =
    "PK\3\4\24\0\0\10\0\0\0\0\0\0\xbb\xde\x76\x39\11\0\0\0\11\0\0\0\14\0\23\0"
    "candidate/\xc3\xa9"
    "\x75\x70\17\0\1\0\0\0\0other name" PNG "a";

/* Bytes changed one by one in the header of a zip, and the archive cut there. */
static void zip_headers_with_wrong_bytes(void **state)
{
    (void)state;
    int fd = memory_file(marked, sizeof marked - 1);
    for (off_t at = 0; at < (off_t)sizeof marked - 1; at++)
        for (int bit = 0; bit < 8; bit++) {
            unsigned char other = (unsigned char)(marked[at] ^ (1 << bit));
            assert_int_equal(pwrite(fd, &other, 1, at), 1);
            enum sm_code code = sm_ingest_archive(ingest, fd, &any, &err);
            assert_true(code == SM_OK || code == SM_CORRUPT || code == SM_LIMIT);
            assert_int_equal(pwrite(fd, &marked[at], 1, at), 1);
        }
    for (off_t cut = sizeof marked - 2; cut >= 0; cut--) {
        assert_int_equal(ftruncate(fd, cut), 0);
        enum sm_code code = sm_ingest_archive(ingest, fd, &any, &err);
        assert_true(code == SM_OK || code == SM_CORRUPT);
    }
    close(fd);
    assert_code(SM_OK, finish_ingest());
    assert_true(counted("added_count") > 0);
    assert_item(0, "candidate", "candidate/\xc3\xa9", "queued");
}

/* --- around it --- */

static void it_stops_when_told(void **state)
{
    (void)state;
    atomic_bool stop = true;
    const struct sm_audit_id own = *OWN(audit);
    struct sm_ingest_params params = {
        .store = store, .audit = &own, .items_max = MANY, .stop = &stop};
    sm_ingest_free(ingest);
    assert_code(SM_OK, sm_ingest_new(&ingest, &params, &err));
    struct maker m = make(archive_write_set_format_ustar, NULL);
    PUT(&m, "candidate/a.png", PNG "a");
    assert_code(SM_CANCELLED, take(made(&m), &any));
    assert_int_equal(counted("added_count"), 0);
}

static void batches_are_commits(void **state)
{
    (void)state;
    struct maker m = make(archive_write_set_format_ustar, NULL);
    for (int i = 0; i < 2 * SM_INGEST_BATCH_IMAGES + 2; i++) {
        char name[32], bytes[32];
        snprintf(name, sizeof name, "shared/%d.png", i);
        int n = snprintf(bytes, sizeof bytes, PNG "%d", i);
        put(&m, name, bytes, (size_t)n);
    }
    int fd = made(&m);
    assert_code(SM_OK, sm_ingest_archive(ingest, fd, &any, &err));
    assert_int_equal(read_int("SELECT COUNT(*) FROM item"), 2 * SM_INGEST_BATCH_IMAGES);
    assert_int_equal(revision_of(audit), 2);
    assert_code(SM_OK, finish_ingest());
    assert_int_equal(counted("added_count"), 2 * SM_INGEST_BATCH_IMAGES + 2);
    assert_int_equal(read_int("SELECT COUNT(*) FROM item"), 2 * SM_INGEST_BATCH_IMAGES + 2);
    close(fd);
}

static void an_audit_that_is_not_open(void **state)
{
    (void)state;
    assert_code(SM_OK, add_images(audit, SM_COHORT_SHARED, 0, 1));
    assert_code(SM_OK, move(audit, SM_AUDIT_START));
    assert_code(SM_OK,
                sm_ingest_image(ingest, &(struct sm_ingest_labels){.name = "a"}, PNG, 8, &err));
    assert_code(SM_CONFLICT, finish_ingest());
    assert_non_null(strstr(err.text, "is running, it must be open to take images"));
    assert_int_equal(counted("added_count"), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_ingest, teardown_ingest)
    const struct CMUnitTest tests[] = {
        TEST(tar_is_read),
        TEST(pax_under_gzip_is_read),
        TEST(gnu_under_zstd_is_read),
        TEST(zip_is_read),
        TEST(cohort_of_the_caller_goes_before_folders),
        TEST(names_are_labels),
        TEST(links_and_devices_are_skipped),
        TEST(what_is_no_image_is_skipped),
        TEST(an_encrypted_entry_is_skipped),
        TEST(labels_of_several_images_are_reported),
        TEST(images_of_one_key_keep_their_own_labels),
        TEST(labels_without_their_image_are_reported),
        TEST(an_image_at_the_limit_and_one_byte_past_it),
        TEST(a_hundred_thousand_empty_entries),
        TEST(a_zip_bomb_is_given_up),
        TEST(a_zip_bomb_that_begins_as_an_image_is_given_up),
        TEST(a_gzip_bomb_is_given_up),
        TEST(zeros_behind_a_tar_are_given_up),
        TEST(tars_behind_each_other_are_read),
        TEST(bytes_in_all_are_limited),
        TEST(images_of_the_audit_are_limited),
        TEST(holes_are_not_filled_beyond_an_image),
        TEST(what_is_no_archive_is_refused),
        TEST(a_header_with_a_wrong_sum_is_named),
        TEST(other_filters_are_not_run),
        TEST(archives_cut_short),
        TEST(a_tar_cut_between_two_entries_is_refused),
        TEST(archives_with_wrong_bytes),
        TEST(zip_headers_with_wrong_bytes),
        TEST(it_stops_when_told),
        TEST(batches_are_commits),
        TEST(an_audit_that_is_not_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
