/* Manifests and folders below a data root, and what leads out of it. */
#include "tests/unit/server/ingest/ingest_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "server/ingest/root.h"
#include "sslmem/image.h"

static char root[512];

/* What `format` names below the scratch folder. */
__attribute__((format(printf, 1, 2))) static const char *at(const char *format, ...)
{
    static char path[4][8192];
    static int turn;
    va_list args;
    char *out = path[turn = (turn + 1) % 4];
    int n = snprintf(out, sizeof path[0], "%s/", scratch.dir);
    va_start(args, format);
    vsnprintf(out + n, sizeof path[0] - (size_t)n, format, args);
    va_end(args);
    return out;
}

static void write_file(const char *path, const char *bytes, size_t bytes_count)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, bytes_count, file), bytes_count);
    assert_int_equal(fclose(file), 0);
}

#define WRITE(path, text) write_file(path, text, sizeof text - 1)

static int setup_root(void **state)
{
    setup_ingest(state);
    snprintf(root, sizeof root, "%s", at("root"));
    assert_int_equal(mkdir(root, 0700), 0);
    assert_int_equal(mkdir(at("root/sub"), 0700), 0);
    WRITE(at("root/a.png"), PNG "a");
    WRITE(at("root/sub/b.jpg"), JPEG "b");
    WRITE(at("root/notes.txt"), "no image, whatever one says");
    WRITE(at("root/empty.png"), "");
    WRITE(at("outside.png"), PNG "outside");
    assert_int_equal(symlink("../outside.png", at("root/link.png")), 0);
    assert_int_equal(symlink("..", at("root/up")), 0);
    assert_int_equal(symlink("sub", at("root/within")), 0);
    assert_int_equal(mkfifo(at("root/pipe.png"), 0600), 0);
    return 0;
}

static enum sm_code take_text(const char *data_root, const char *text, size_t text_bytes)
{
    int fd = memory_file(text, text_bytes);
    err = (struct sm_err){0};
    enum sm_code code = sm_ingest_manifest(ingest, data_root, fd, &err);
    struct sm_err last = err;
    assert_code(SM_OK, finish_ingest());
    err = last;
    close(fd);
    return code;
}

#define TAKE(text) assert_code(SM_OK, take_text(root, text, sizeof text - 1))

/* The line that was skipped for that reason. */
static void assert_line(int64_t line, const char *reason, const char *detail)
{
    const json_t *list = json_object_get(report, "skipped");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *row = json_array_get(list, i);
        if (json_integer_value(json_object_get(row, "line")) != line)
            continue;
        assert_string_equal(text_at(row, "reason"), reason);
        assert_string_equal(text_at(row, "detail"), detail);
        return;
    }
    fail_msg("line %lld was not skipped: %s", (long long)line, json_dumps(report, 0));
}

/* --- manifests --- */

static void lines_name_files(void **state)
{
    char digest[65];
    (void)state;
    TAKE("{\"cohort\":\"candidate\",\"path\":\"a.png\",\"class\":\"7\",\"group\":\"g\"}\n"
         "\n \t\r\n"
         "{\"path\":\"./sub//b.jpg\",\"cohort\":\"external\"}\r\n"
         "{\"cohort\":\"shared\",\"path\":\"a.png\"}"); /* no end of line */
    assert_int_equal(counted("added_count"), 3);
    assert_int_equal(counted("skipped_count"), 0);
    json_t *item = item_at(0);
    assert_string_equal(text_at(item, "name"), "a.png");
    assert_string_equal(text_at(item, "class"), "7");
    assert_string_equal(text_at(item, "group"), "g");
    sm_sha256_hex(digest, PNG "a", 9);
    assert_string_equal(text_at(item, "image"), digest);
    json_decref(item);
    assert_item(1, "external", "./sub//b.jpg", "queued");
    /* The files stay where they are. */
    assert_int_equal(read_int("SELECT COUNT(*) FROM image WHERE bytes IS NULL"), 3);
    struct sm_claim claim;
    assert_code(SM_OK, move(audit, SM_AUDIT_START));
    assert_code(SM_OK, sm_store_claim(&claim, store, "w", 1000, &err));
    assert_int_equal(claim.bytes_count, 9);
    assert_memory_equal(claim.bytes, PNG "a", 9);
    sm_claim_free(&claim);
}

static void bad_lines_are_reported_and_the_others_go_on(void **state)
{
    (void)state;
    TAKE("{\"cohort\":\"candidates\",\"path\":\"a.png\"}\n"            /* 1 */
         "not JSON\n"                                                  /* 2 */
         "{\"cohort\":\"candidate\",\"path\":\"missing.png\"}\n"       /* 3 */
         "{\"cohort\":\"candidate\",\"path\":\"../outside.png\"}\n"    /* 4 */
         "{\"cohort\":\"candidate\",\"path\":\"/etc/passwd\"}\n"       /* 5 */
         "{\"cohort\":\"candidate\",\"path\":\"link.png\"}\n"          /* 6 */
         "{\"cohort\":\"candidate\",\"path\":\"up/outside.png\"}\n"    /* 7 */
         "{\"cohort\":\"candidate\",\"path\":\"sub/../a.png\"}\n"      /* 8 */
         "{\"cohort\":\"candidate\",\"path\":\"pipe.png\"}\n"          /* 9 */
         "{\"cohort\":\"candidate\",\"path\":\"sub\"}\n"               /* 10 */
         "{\"cohort\":\"candidate\",\"path\":\"notes.txt\"}\n"         /* 11 */
         "{\"cohort\":\"candidate\",\"path\":\"empty.png\"}\n"         /* 12 */
         "{\"cohort\":\"candidate\"}\n"                                /* 13 */
         "{\"cohort\":\"candidate\",\"path\":\"a.png\",\"label\":1}\n" /* 14 */
         "[\"candidate\",\"a.png\"]\n"                                 /* 15 */
         "{\"cohort\":\"candidate\",\"path\":\"\"}\n"                  /* 16 */
         "{\"cohort\":\"candidate\",\"path\":\"a.png/x\"}\n"           /* 17 */
         "{\"cohort\":\"candidate\",\"path\":\"within/b.jpg\"}\n"      /* 18 */
         "{\"cohort\":\"candidate\",\"path\":\"a.png\"}\n");           /* 19 */
    assert_int_equal(counted("added_count"), 1);
    assert_int_equal(counted("skipped_count"), 18);
    assert_line(1, "cohort_invalid",
                "cohort is \"candidates\", must be one of shared, candidate, independent, "
                "external");
    assert_line(2, "line_invalid", "JSON at line 1 column 3: '[' or '{' expected near 'not'");
    assert_line(3, "file_missing", "No such file or directory");
    assert_line(4, "file_outside", "the path leads out of the data root");
    assert_line(5, "file_outside", "the path leads out of the data root");
    assert_line(6, "link", "Too many levels of symbolic links");
    assert_line(7, "link", "Too many levels of symbolic links");
    assert_line(8, "file_outside", "the path leads out of the data root");
    assert_line(9, "not_a_file", "not a regular file");
    assert_line(10, "not_a_file", "not a regular file");
    assert_line(11, "not_an_image", "the first bytes are those of no JPEG, PNG or raw image");
    assert_line(12, "empty", "the file has 0 bytes");
    assert_line(16, "file_missing", "No such file or directory");
    assert_line(17, "file_missing", "Not a directory");
    assert_line(18, "link", "Too many levels of symbolic links");
    assert_int_equal(skipped("line_invalid"), 4);
}

static void a_line_at_the_limit_and_one_byte_past_it(void **state)
{
    (void)state;
    static const char head[] = "{\"cohort\":\"candidate\",\"path\":\"a.png\"}";
    size_t size = 2 * SM_INGEST_LINE_BYTES_MAX + 2;
    char *text = malloc(size);
    memset(text, ' ', size);
    memcpy(text, head, sizeof head - 1);
    text[SM_INGEST_LINE_BYTES_MAX] = '\n';
    memcpy(text + SM_INGEST_LINE_BYTES_MAX + 1, head, sizeof head - 1);
    assert_code(SM_OK, take_text(root, text, size));
    free(text);
    assert_int_equal(counted("added_count"), 1);
    assert_int_equal(counted("skipped_count"), 1);
    assert_line(2, "line_too_long", "the line has over 16384 bytes, which is the limit");
}

static void an_image_over_the_limit_is_a_failed_item(void **state)
{
    (void)state;
    WRITE(at("root/large.png"), PNG);
    assert_int_equal(truncate(at("root/large.png"), (off_t)SM_IMAGE_BYTES_MAX + 1), 0);
    TAKE("{\"cohort\":\"candidate\",\"path\":\"large.png\"}\n"
         "{\"cohort\":\"candidate\",\"path\":\"a.png\"}\n");
    assert_int_equal(counted("failed_count"), 1);
    assert_int_equal(counted("added_count"), 1);
    json_t *item = item_at(0);
    assert_string_equal(text_at(json_object_get(item, "error"), "detail"),
                        "the image has over 16777216 bytes, which is the limit");
    json_decref(item);
}

static void a_failed_image_counts_once_and_against_the_limit(void **state)
{
    static const char lines[] = "{\"cohort\":\"candidate\",\"path\":\"large.png\"}\n"
                                "{\"cohort\":\"candidate\",\"path\":\"large.png\"}\n"
                                "{\"cohort\":\"shared\",\"path\":\"large.png\"}\n";
    char expected[160];
    (void)state;
    WRITE(at("root/large.png"), PNG);
    assert_int_equal(truncate(at("root/large.png"), (off_t)SM_IMAGE_BYTES_MAX + 1), 0);
    sm_ingest_free(ingest);
    begin(1, 0);
    assert_code(SM_LIMIT, take_text(root, lines, sizeof lines - 1));
    snprintf(expected, sizeof expected, "audit %s has 1 images of at most 1, no room for large.png",
             audit);
    assert_string_equal(err.text, expected);
    assert_int_equal(counted("failed_count"), 1);
    assert_int_equal(counted("duplicate_count"), 1);
}

static void without_a_data_root(void **state)
{
    (void)state;
    int fd = memory_file("", 0);
    assert_code(SM_UNSUPPORTED, sm_ingest_manifest(ingest, "", fd, &err));
    assert_string_equal(err.text, "no data root is configured");
    assert_code(SM_UNSUPPORTED, sm_ingest_manifest(ingest, NULL, fd, &err));
    assert_code(SM_IO, sm_ingest_manifest(ingest, "/nowhere/at all", fd, &err));
    assert_string_equal(err.text, "data root /nowhere/at all: No such file or directory");
    close(fd);
}

/* --- folders --- */

static void a_folder_is_taken_in_the_order_of_names(void **state)
{
    (void)state;
    WRITE(at("root/sub/Z.png"), PNG "z");
    WRITE(at("root/c.png"), PNG "c");
    const struct sm_ingest_labels labels = {.cohort = SM_COHORT_CANDIDATE, .class_label = "7"};
    assert_code(SM_OK, sm_ingest_folder(ingest, root, "./", &labels, &err));
    assert_code(SM_OK, finish_ingest());
    assert_int_equal(counted("added_count"), 4);
    assert_item(0, "candidate", "a.png", "queued");
    assert_item(1, "candidate", "c.png", "queued");
    assert_item(2, "candidate", "sub/Z.png", "queued");
    assert_item(3, "candidate", "sub/b.jpg", "queued");
    assert_skipped("link.png", "link", "links are not followed");
    assert_skipped("up", "link", "links are not followed");
    assert_skipped("within", "link", "links are not followed");
    assert_skipped("pipe.png", "not_a_file", "not a regular file");
    assert_skipped("empty.png", "empty", "the file has 0 bytes");
    assert_int_equal(counted("skipped_count"), 6);
}

static void names_begin_below_the_folder(void **state)
{
    (void)state;
    const struct sm_ingest_labels labels = {.cohort = SM_COHORT_SHARED};
    assert_code(SM_OK, sm_ingest_folder(ingest, root, "sub//", &labels, &err));
    assert_code(SM_OK, finish_ingest());
    assert_item(0, "shared", "b.jpg", "queued");
}

static void folders_that_are_not_there(void **state)
{
    static const struct {
        const char *folder, *text;
    } bad[] = {{"nothing", "folder nothing: No such file or directory"},
               {"a.png", "folder a.png: Not a directory"},
               {"..", "folder ..: leads out of the data root"},
               {"/etc", "folder /etc: leads out of the data root"},
               {"up", "folder up: is a link"},
               {"", "folder : No such file or directory"}};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const struct sm_ingest_labels labels = {.cohort = SM_COHORT_SHARED};
        assert_code(SM_INVALID, sm_ingest_folder(ingest, root, bad[i].folder, &labels, &err));
        assert_string_equal(err.text, bad[i].text);
    }
}

static void folders_are_taken_to_a_depth(void **state)
{
    (void)state;
    char path[1024] = "root/deep";
    for (int depth = 1; depth <= SM_INGEST_DEPTH_MAX + 1; depth++) {
        assert_int_equal(mkdir(at("%s", path), 0700), 0);
        char bytes[32];
        int n = snprintf(bytes, sizeof bytes, PNG "%d", depth);
        write_file(at("%s/x.png", path), bytes, (size_t)n);
        strncat(path, "/d", sizeof path - strlen(path) - 1);
    }
    const struct sm_ingest_labels labels = {.cohort = SM_COHORT_SHARED};
    assert_code(SM_OK, sm_ingest_folder(ingest, root, "deep", &labels, &err));
    assert_code(SM_OK, finish_ingest());
    assert_int_equal(counted("added_count"), SM_INGEST_DEPTH_MAX);
    assert_int_equal(skipped("too_deep"), 1);
}

/* --- the two ways to open --- */

static void both_walks_refuse_the_same(void **state)
{
    static const struct {
        const char *path;
        int error;
    } cases[] = {{"a.png", 0},
                 {"sub/b.jpg", 0},
                 {"./sub//b.jpg", 0},
                 {"sub", 0},
                 {"link.png", ELOOP},
                 {"within/b.jpg", ELOOP},
                 {"up/outside.png", ELOOP},
                 {"a.png/x", ENOTDIR},
                 {"none", ENOENT},
                 {"none/x", ENOENT}};
    struct sm_root opened;
    (void)state;
    assert_code(SM_OK, sm_root_open(&opened, root, &err));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int walk = 0; walk < 2; walk++) {
            errno = 0;
            int fd = walk ? sm_root_walk(opened.fd, cases[i].path, O_RDONLY | O_CLOEXEC)
                          : sm_root_at(&opened, cases[i].path, O_RDONLY | O_CLOEXEC);
            if ((fd >= 0) != (cases[i].error == 0) || (fd < 0 && errno != cases[i].error))
                fail_msg("%s, walk %d: %d, %s", cases[i].path, walk, fd, strerror(errno));
            if (fd >= 0)
                close(fd);
        }
    assert_int_equal(sm_root_at(&opened, "../outside.png", O_RDONLY), -1);
    assert_int_equal(errno, EXDEV);
    assert_int_equal(sm_root_at(&opened, "sub/..", O_RDONLY), -1);
    assert_int_equal(errno, EXDEV);
    assert_int_equal(sm_root_at(&opened, at("root/a.png"), O_RDONLY), -1);
    assert_int_equal(errno, EXDEV);
    sm_root_close(&opened);
}

/* --- labels --- */

static void labels_are_clean(void **state)
{
    static const struct {
        const char *text, *label;
    } cases[] = {{"plain.png", "plain.png"},
                 {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"},
                 {"a\tb\nc\x7f", "a?b?c?"},
                 {"\xc2\x85", "?"},            /* C1 */
                 {"\xc0\xaf", "??"},           /* overlong */
                 {"\xed\xa0\x80", "???"},      /* surrogate */
                 {"\xf4\x90\x80\x80", "????"}, /* beyond Unicode */
                 {"\xe2\x82", "??"},           /* cut */
                 {"\xff\xfe", "??"}};
    char out[SM_LABEL_BYTES], text[SM_LABEL_BYTES + 8];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sm_label(out, cases[i].text);
        assert_string_equal(out, cases[i].label);
    }
    sm_label(out, NULL);
    assert_string_equal(out, "");
    memset(text, 'x', sizeof text);
    memcpy(text + SM_INGEST_LABEL_BYTES_MAX - 1, "\xc3\xa9", 3);
    sm_label(out, text); /* the last character does not fit whole */
    assert_int_equal(strlen(out), SM_INGEST_LABEL_BYTES_MAX - 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_root, teardown_ingest)
    const struct CMUnitTest tests[] = {
        TEST(lines_name_files),
        TEST(bad_lines_are_reported_and_the_others_go_on),
        TEST(a_line_at_the_limit_and_one_byte_past_it),
        TEST(an_image_over_the_limit_is_a_failed_item),
        TEST(a_failed_image_counts_once_and_against_the_limit),
        TEST(without_a_data_root),
        TEST(a_folder_is_taken_in_the_order_of_names),
        TEST(names_begin_below_the_folder),
        TEST(folders_that_are_not_there),
        TEST(folders_are_taken_to_a_depth),
        TEST(both_walks_refuse_the_same),
        TEST(labels_are_clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
