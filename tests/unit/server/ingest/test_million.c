/* The limit of a million, met and passed by one: images of an audit, lines of a manifest, entries of
 * an archive. */
#include "tests/unit/server/ingest/ingest_fixture.h"

#include <zlib.h>

#include "server/base/config.h"

#define MILLION 1000000

_Static_assert(SM_INGEST_ENTRIES_MAX == MILLION, "as deploy/LIMITS.md has it");

/* --- images of an audit --- */

static int64_t default_limit(void)
{
    struct sm_config config;
    enum sm_settings_action action;
    char *none[] = {NULL};
    assert_code(SM_OK, sm_config_read(&config, &action, 0, none, &err));
    return config.audit_images_max;
}

/* All but one, cancelled and without a cohort: the shortest rows, in the fewest indexes. */
static enum sm_code run_fill(struct sm_write *write, struct sm_db *db, struct sm_err *why)
{
    char sql[900], id[SM_ID_BYTES] = "";
    int used = 0;
    (void)write;
    for (const char *in = audit; *in; in++)
        if (*in != '-')
            id[used++] = *in;
    snprintf(sql, sizeof sql,
             "INSERT INTO item (job_id, idx, state, name) "
             "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < %d) "
             "SELECT x'%s', i, 'cancelled', '' FROM n;"
             "UPDATE job SET items_count = %d, cancelled_count = %d WHERE id = x'%s'",
             MILLION - 2, id, MILLION - 1, MILLION - 1, id);
    return sm_db_exec(db, sql, why);
}

static enum sm_code run_fast(struct sm_write *write, struct sm_db *db, struct sm_err *why)
{
    (void)write;
    return sm_db_exec(db, "PRAGMA synchronous = OFF", why);
}

static enum sm_code take(const char *name, const char *bytes)
{
    struct sm_ingest_labels labels = {.cohort = SM_COHORT_EXTERNAL, .name = name};
    return sm_ingest_image(ingest, &labels, bytes, strlen(bytes), &err);
}

static void images_of_an_audit(void **state)
{
    (void)state;
    struct sm_write fill = {.run = run_fill};
    struct sm_write fast = {.run = run_fast, .mode = SM_WRITE_OUTSIDE};
    char expected[200];
    json_t *document;
    int64_t limit = default_limit();
    assert_int_equal(limit, MILLION);
    assert_code(SM_OK, sm_writer_call(store->writer, &fast, &err));
    assert_code(SM_OK, sm_writer_call(store->writer, &fill, &err));
    sm_ingest_free(ingest);
    begin(limit, 0);
    assert_code(SM_OK, take("the-last.png", PNG "1"));
    assert_code(SM_OK, finish_ingest());
    assert_int_equal(counted("added_count"), 1);

    begin(limit, 0);
    assert_code(SM_OK, take("one-more.png", PNG "2"));
    assert_code(SM_LIMIT, finish_ingest());
    snprintf(expected, sizeof expected,
             "audit %s has 1000000 images of at most 1000000, no room for one-more.png", audit);
    assert_string_equal(err.text, expected);
    assert_int_equal(counted("added_count"), 0);
    assert_code(SM_OK, sm_store_audit(&document, NULL, store, OWN(audit), &err));
    assert_int_equal(count_at(document, "items_count"), MILLION);
    assert_int_equal(count_at(document, "waiting_count"), 1);
    json_decref(document);

    begin(limit, 0); /* it is there: no more room is asked for */
    assert_code(SM_OK, take("the-last.png", PNG "1"));
    assert_code(SM_OK, finish_ingest());
    assert_int_equal(counted("duplicate_count"), 1);
}

/* --- lines of a manifest --- */

static enum sm_code take_lines(int lines_count)
{
    FILE *file = tmpfile();
    assert_non_null(file);
    for (int i = 0; i < lines_count; i++)
        fputs("{}\n", file);
    assert_int_equal(fflush(file), 0);
    enum sm_code code = sm_ingest_manifest(ingest, scratch.dir, fileno(file), &err);
    fclose(file);
    return code;
}

static void lines_of_a_manifest(void **state)
{
    (void)state;
    assert_code(SM_OK, take_lines(MILLION));
    assert_code(SM_OK, finish_ingest());
    assert_int_equal(counted("skipped_count"), MILLION);
    begin(MANY, 0);
    assert_code(SM_LIMIT, take_lines(MILLION + 1));
    assert_string_equal(err.text, "the manifest has over 1000000 lines, which is the limit");
}

/* --- entries of an archive --- */

enum { BLOCK = 512, GROUP = 10000 };

/* The header of an empty file. Names differ, or the archive would pack better than is allowed. */
static void put_header(unsigned char *out, int k)
{
    unsigned sum = 0;
    memset(out, 0, BLOCK);
    snprintf((char *)out, 100, "candidate/%08x%08x.png", (unsigned)k * 2654435761u,
             (unsigned)k * 40503u);
    memcpy(out + 100, "0000644", 7);
    memcpy(out + 108, "0000000", 7);
    memcpy(out + 116, "0000000", 7);
    memcpy(out + 124, "00000000000", 11);
    memcpy(out + 136, "00000000000", 11);
    memset(out + 148, ' ', 8);
    out[156] = '0';
    memcpy(out + 257, "ustar\00000", 8);
    for (int i = 0; i < BLOCK; i++)
        sum += out[i];
    snprintf((char *)out + 148, 8, "%06o", sum);
}

/* `count` of them as one gzip member, or, if 0, the end mark; archives may be several of these. */
static size_t pack(unsigned char *out, size_t out_bytes, int count)
{
    static unsigned char headers[GROUP * BLOCK];
    int blocks = count > 0 ? count : 2;
    memset(headers, 0, sizeof headers);
    z_stream z = {0};
    for (int i = 0; i < count; i++)
        put_header(headers + i * BLOCK, i);
    assert_int_equal(deflateInit2(&z, 1, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = headers;
    z.avail_in = (unsigned)blocks * BLOCK;
    z.next_out = out;
    z.avail_out = (unsigned)out_bytes;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    size_t used = z.total_out;
    deflateEnd(&z);
    return used;
}

static enum sm_code take_entries(int count)
{
    static unsigned char member[1 << 20];
    size_t member_bytes = pack(member, sizeof member, GROUP);
    struct sm_ingest_labels labels = {.cohort = -1};
    FILE *file = tmpfile();
    assert_non_null(file);
    for (; count >= GROUP; count -= GROUP)
        assert_int_equal(fwrite(member, 1, member_bytes, file), member_bytes);
    if (count > 0) {
        member_bytes = pack(member, sizeof member, count);
        assert_int_equal(fwrite(member, 1, member_bytes, file), member_bytes);
    }
    member_bytes = pack(member, sizeof member, 0);
    assert_int_equal(fwrite(member, 1, member_bytes, file), member_bytes);
    assert_int_equal(fflush(file), 0);
    enum sm_code code = sm_ingest_archive(ingest, fileno(file), &labels, &err);
    fclose(file);
    return code;
}

static void entries_of_an_archive(void **state)
{
    (void)state;
    assert_code(SM_OK, take_entries(MILLION));
    assert_code(SM_OK, finish_ingest());
    assert_int_equal(skipped("empty"), MILLION);
    begin(MANY, 0);
    assert_code(SM_LIMIT, take_entries(MILLION + 1));
    assert_string_equal(err.text, "the archive has over 1000000 entries, which is the limit");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_ingest, teardown_ingest)
    static const struct CMUnitTest tests[] = {
        TEST(images_of_an_audit),
        TEST(lines_of_a_manifest),
        TEST(entries_of_an_archive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
