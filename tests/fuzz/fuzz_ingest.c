/* Archives and manifests of audits. The first byte says which: even an archive, odd a manifest.
 *
 * Properties: only the errors that ingest.h names; a report in any case; every image of it, and no
 * more, is in the store. */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/base/id.h"
#include "server/ingest/ingest.h"

#define IMAGES_MAX     500
#define UNPACKED_BYTES (64 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct sm_store *store;
static char folder[] = "/dev/shm/sslmem-fuzz-XXXXXX", db[64], image[64];

static void tidy(void)
{
    static const char *const tails[] = {"", "-wal", "-shm", ".lock"};
    char path[80];

    sm_store_close(store);
    unlink(image);
    for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
        snprintf(path, sizeof path, "%s%s", db, tails[i]);
        unlink(path);
    }
    rmdir(folder);
}

static void open_store(void)
{
    struct sm_err err;
    FILE *file;

    if (mkdtemp(folder) == NULL)
        abort();
    snprintf(db, sizeof db, "%s/db", folder);
    snprintf(image, sizeof image, "%s/a.png", folder);
    if ((file = fopen(image, "w")) == NULL || fputs("\x89PNG\r\n\x1a\n", file) < 0 ||
        fclose(file) != 0 || sm_store_open(&store, db, &err) != SM_OK)
        abort();
    atexit(tidy);
}

static void new_audit(char id[SM_ID_BYTES])
{
    struct sm_audit_in in = {.pair = "p"};
    struct sm_err err;
    json_t *object = json_pack("{s:s}", "name", "n");

    in.recipe = in.pair_document = in.spec = object;
    memset(in.recipe_digest, 'a', 64);
    sm_id_new(in.id);
    memcpy(id, in.id, SM_ID_BYTES);
    if (sm_store_audit_create(store, &in, &err) != SM_OK)
        abort();
    json_decref(object);
}

static int64_t count(const json_t *document, const char *name)
{
    return json_integer_value(json_object_get(document, name));
}

static void check(const json_t *report, const char *id)
{
    json_t *audit;
    struct sm_err err;

    assert(report != NULL);
    assert(sm_store_audit(&audit, store, id, &err) == SM_OK);
    assert(count(audit, "items_count") ==
           count(report, "added_count") + count(report, "failed_count"));
    assert(count(audit, "failed_count") == count(report, "failed_count"));
    assert(json_array_size(json_object_get(report, "skipped")) <= SM_INGEST_SKIPPED_MAX);
    json_decref(audit);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char id[SM_ID_BYTES];
    struct sm_ingest *ingest;
    struct sm_err err;
    json_t *report;
    int fd = memfd_create("fuzz", MFD_CLOEXEC);

    if (store == NULL)
        open_store();
    if (size == 0 || fd < 0 || write(fd, data + 1, size - 1) != (ssize_t)(size - 1)) {
        close(fd);
        return 0;
    }
    new_audit(id);
    struct sm_ingest_params params = {
        .store = store, .audit = id, .items_max = IMAGES_MAX, .unpacked_bytes_max = UNPACKED_BYTES};
    if (sm_ingest_new(&ingest, &params, &err) != SM_OK)
        abort();
    enum sm_code code =
        data[0] % 2 == 0
            ? sm_ingest_archive(ingest, fd, &(struct sm_ingest_labels){.cohort = -1}, &err)
            : sm_ingest_manifest(ingest, folder, fd, &err);
    assert(code == SM_OK || code == SM_CORRUPT || code == SM_LIMIT || code == SM_NOMEM);
    code = sm_ingest_finish(&report, ingest, &err);
    assert(code == SM_OK || code == SM_LIMIT || code == SM_NOMEM);
    sm_ingest_free(ingest);
    if (code == SM_OK)
        check(report, id);
    json_decref(report);
    sm_store_audit_delete(store, id, &err);
    close(fd);
    return 0;
}
