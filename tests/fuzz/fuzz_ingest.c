/* Fuzzes archives and manifests of audits, and the paths of manifests. Bit 0 of the first byte: the
 * rest is a manifest, else an archive. Bit 1: an archive's tar checksums are corrected, so that
 * mutations get past them; the rest of a manifest is one path. Bit 2: an archive has a cohort.
 *
 * Properties: the errors are those that ingest.h names; there is always a report, and its counts
 * add up; the store has exactly the images of the report; a manifest reaches only files below the
 * data root; the kernel and our own walk find the same file for a path. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/sha256.h"
#include "server/base/id.h"
#include "server/ingest/ingest.h"
#include "server/ingest/root.h"
#include "tests/unit/server/store/own.h"

#define IMAGES_MAX     500
#define UNPACKED_BYTES (64 << 20)
#define TAR_BLOCK      512
#define TAR_SIZE       124 /* offsets of fields in a header */
#define TAR_CHECKSUM   148
#define MAGIC          "\x89PNG\r\n\x1a\n"

enum { IS_MANIFEST = 1, MENDED = 2, HAS_COHORT = 4, IS_PATH = 2 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct sm_store *store;
static char folder[] = "/dev/shm/sslmem-fuzz-XXXXXX", root[64];
static struct sm_root opened;
static char inside[2][SM_SHA256_HEX]; /* digests of the files below the data root */

/* --- a folder with a database, files below a data root, and one outside it --- */

static const char *const leaves[] = {"db",        "db-wal",     "db-shm",
                                     "db.lock",   "root/a.png", "root/d/b.png",
                                     "root/link", "root/up",    "secret.png"};

static void name_leaf(char path[64], const char *leaf)
{
    snprintf(path, 64, "%s/%s", folder, leaf);
}

static void tidy(void)
{
    char path[64];
    sm_store_close(store);
    sm_root_close(&opened);
    for (size_t i = 0; i < sizeof leaves / sizeof *leaves; i++) {
        name_leaf(path, leaves[i]);
        unlink(path);
    }
    name_leaf(path, "root/d");
    rmdir(path);
    rmdir(root);
    rmdir(folder);
}

static void put(const char *leaf, const char *text)
{
    char path[64];
    FILE *file;
    name_leaf(path, leaf);
    if (!(file = fopen(path, "w")) || fputs(text, file) < 0 || fclose(file) != 0)
        abort();
}

static void prepare(void)
{
    struct sm_err err;
    char path[64];
    if (!mkdtemp(folder))
        abort();
    atexit(tidy);
    name_leaf(root, "root");
    name_leaf(path, "root/d");
    if (mkdir(root, 0700) != 0 || mkdir(path, 0700) != 0)
        abort();
    put("root/a.png", MAGIC "a");
    put("root/d/b.png", MAGIC "b");
    put("secret.png", MAGIC "secret");
    sm_sha256_hex(inside[0], MAGIC "a", strlen(MAGIC) + 1);
    sm_sha256_hex(inside[1], MAGIC "b", strlen(MAGIC) + 1);
    name_leaf(path, "root/link");
    if (symlink("../secret.png", path) != 0)
        abort();
    name_leaf(path, "root/up");
    if (symlink("..", path) != 0 || sm_root_open(&opened, root, &err) != SM_OK)
        abort();
    name_leaf(path, "db");
    if (sm_store_open(&store, path, &err) != SM_OK)
        abort();
}

static void new_audit(char id[SM_ID_BYTES])
{
    struct sm_store_audit_in in = {.pair = "p"};
    struct sm_err err;
    json_t *object = json_pack("{s:s}", "name", "n");
    in.recipe = in.pair_document = in.spec = object;
    memset(in.recipe_digest, 'a', 64);
    sm_id_new(in.audit.id);
    memcpy(id, in.audit.id, SM_ID_BYTES);
    if (sm_store_audit_create(store, &in, &err) != SM_OK)
        abort();
    json_decref(object);
}

/* --- properties --- */

static int64_t count(const json_t *document, const char *name)
{
    return json_integer_value(json_object_get(document, name));
}

static void check_report(const json_t *report, const char *id)
{
    int64_t skipped = 0;
    const char *reason;
    json_t *audit, *node;
    struct sm_err err;
    assert(report != NULL);
    json_object_foreach(json_object_get(report, "skipped_by_reason"), reason, node) skipped +=
        json_integer_value(node);
    assert(skipped == count(report, "skipped_count"));
    assert((int64_t)json_array_size(json_object_get(report, "skipped")) ==
           (skipped < SM_INGEST_SKIPPED_MAX ? skipped : SM_INGEST_SKIPPED_MAX));
    assert(sm_store_audit(&audit, NULL, store, OWN(id), &err) == SM_OK);
    assert(count(audit, "items_count") ==
           count(report, "added_count") + count(report, "failed_count"));
    assert(count(audit, "failed_count") == count(report, "failed_count"));
    assert(count(audit, "items_count") <= IMAGES_MAX);
    json_decref(audit);
}

/* Checks that every item of the audit is one of the files below the data root. */
static void check_inside(const char *id)
{
    const struct sm_store_audit_items_filter filter = {
        .cohort = -1, .after = -1, .limit = IMAGES_MAX};
    struct sm_err err;
    struct sm_store_audit_items_page page;
    json_t *item;
    size_t i;
    assert(sm_store_audit_items(&page, store, OWN(id), &filter, &err) == SM_OK);
    json_array_foreach(page.items, i, item)
    {
        const char *digest = json_string_value(json_object_get(item, "image"));
        assert(strcmp(digest, inside[0]) == 0 || strcmp(digest, inside[1]) == 0);
    }
    sm_store_audit_items_page_release(&page);
}

static void check_path(const uint8_t *bytes, size_t bytes_count)
{
    char *path = strndup((const char *)bytes, bytes_count);
    struct stat ours, kernels;
    int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
    if (!path)
        return;
    int a = sm_root_at(&opened, path, flags);
    bool refused = a < 0 && errno == EXDEV;
    int b = refused || path[0] == '\0' ? -1 : sm_root_walk(opened.fd, path, flags);
    assert((a >= 0) == (b >= 0));
    if (a >= 0) {
        assert(fstat(a, &ours) == 0 && fstat(b, &kernels) == 0 && ours.st_ino == kernels.st_ino);
        assert(!strstr(path, "..") || !strstr(path, "/../"));
        close(a);
        close(b);
    }
    free(path);
}

/* --- the input --- */

static void mend(uint8_t *tar, size_t tar_count)
{
    for (size_t at = 0; tar_count - at >= TAR_BLOCK;) {
        char size[13] = "", text[8];
        unsigned sum = 0;
        memset(tar + at + TAR_CHECKSUM, ' ', 8);
        for (size_t i = 0; i < TAR_BLOCK; i++)
            sum += tar[at + i];
        if (sum == 8 * ' ') /* a block of zeros, which ends the archive, stays */
            memset(tar + at + TAR_CHECKSUM, 0, 8);
        snprintf(text, sizeof text, "%06o", sum);
        if (sum != 8 * ' ')
            memcpy(tar + at + TAR_CHECKSUM, text, 7);
        memcpy(size, tar + at + TAR_SIZE, 12);
        size_t data = strtoul(size, NULL, 8), room = tar_count - at - TAR_BLOCK;
        if (data > room)
            return;
        data = (data + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK;
        at += TAR_BLOCK + (data > room ? room : data);
    }
}

static int write_input(const uint8_t *data, size_t size)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    uint8_t *copy = malloc(size);
    if (fd < 0 || !copy)
        abort();
    memcpy(copy, data + 1, size - 1);
    if ((data[0] & (IS_MANIFEST | MENDED)) == MENDED)
        mend(copy, size - 1);
    if (write(fd, copy, size - 1) != (ssize_t)(size - 1))
        abort();
    free(copy);
    return fd;
}

static void ingest_input(const char *id, int fd, uint8_t choice)
{
    struct sm_ingest *ingest;
    struct sm_err err;
    json_t *report;
    const struct sm_audit_id own = *OWN(id);
    struct sm_ingest_params params = {.store = store,
                                      .audit = &own,
                                      .items_max = IMAGES_MAX,
                                      .unpacked_bytes_max = UNPACKED_BYTES};
    const struct sm_ingest_labels labels = {.cohort = choice & HAS_COHORT ? SM_COHORT_SHARED : -1};
    if (sm_ingest_new(&ingest, &params, &err) != SM_OK)
        abort();
    enum sm_code code = choice & IS_MANIFEST ? sm_ingest_manifest(ingest, root, fd, &err)
                                             : sm_ingest_archive(ingest, fd, &labels, &err);
    assert(code == SM_OK || code == SM_CORRUPT || code == SM_LIMIT || code == SM_NOMEM);
    code = sm_ingest_finish(&report, ingest, &err);
    assert(code == SM_OK || code == SM_LIMIT || code == SM_NOMEM);
    sm_ingest_free(ingest);
    if (code == SM_OK)
        check_report(report, id);
    if (choice & IS_MANIFEST)
        check_inside(id);
    json_decref(report);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char id[SM_ID_BYTES];
    struct sm_err err;
    if (!store)
        prepare();
    if (size == 0)
        return 0;
    if ((data[0] & IS_MANIFEST) && (data[0] & IS_PATH)) {
        check_path(data + 1, size - 1);
        return 0;
    }
    int fd = write_input(data, size);
    new_audit(id);
    ingest_input(id, fd, data[0]);
    sm_store_audit_delete(store, OWN(id), -1, &err);
    close(fd);
    return 0;
}
