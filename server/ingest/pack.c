/* fts(3) walks the folder without following links, names in byte order; libarchive packs into a
 * temporary file. Only files that begin as an image does are packed: a folder of training data can
 * hold many other files. */
#include "server/ingest/pack.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fts.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/data/sample.h"
#include "server/ingest/ingest_impl.h"
#include "sslmem/image.h"

struct packing {
    const struct sm_pack_params *params;
    FILE *file;
    struct archive *archive;
    int64_t bytes_count; /* bytes of images in the open archive */
};

static enum sm_code begin(struct packing *p, struct sm_err *err)
{
    p->bytes_count = 0;
    p->file = tmpfile();
    if (!p->file)
        return sm_err_set(err, SM_IO, "temporary file: %s", strerror(errno));
    p->archive = archive_write_new();
    if (!p->archive || archive_write_set_format_pax_restricted(p->archive) != ARCHIVE_OK ||
        archive_write_set_bytes_per_block(p->archive, 0) != ARCHIVE_OK ||
        archive_write_open_FILE(p->archive, p->file) != ARCHIVE_OK)
        return sm_err_set(err, SM_NOMEM, "tar archive: out of memory");
    return SM_OK;
}

/* Closes the archive, sends it if it is whole, and releases it. */
static enum sm_code end(struct packing *p, bool whole, struct sm_err *err)
{
    enum sm_code code = SM_OK;
    if (p->archive && archive_write_close(p->archive) != ARCHIVE_OK && whole)
        code = sm_err_set(err, SM_IO, "tar archive: %.160s", archive_error_string(p->archive));
    if (code == SM_OK && whole && (fflush(p->file) != 0 || ferror(p->file)))
        code = sm_err_set(err, SM_IO, "tar archive: %s", strerror(errno));
    if (code == SM_OK && whole)
        code = p->params->send(p->params->arg, p->file, err);
    archive_write_free(p->archive);
    if (p->file)
        fclose(p->file);
    p->archive = NULL;
    p->file = NULL;
    return code;
}

static enum sm_code put(struct packing *p, const char *name, const void *bytes, size_t bytes_count,
                        struct sm_err *err)
{
    struct archive_entry *entry = archive_entry_new();
    enum sm_code code = SM_OK;
    if (!entry)
        return sm_err_set(err, SM_NOMEM, "tar archive: out of memory");
    archive_entry_copy_pathname(entry, name);
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0600);
    archive_entry_set_size(entry, (la_int64_t)bytes_count);
    if (archive_write_header(p->archive, entry) < ARCHIVE_WARN ||
        archive_write_data(p->archive, bytes, bytes_count) != (la_ssize_t)bytes_count)
        code = sm_err_set(err, SM_IO, "tar archive: %.160s", archive_error_string(p->archive));
    p->bytes_count += (int64_t)bytes_count;
    archive_entry_free(entry);
    return code;
}

/* Packs a file if it begins as an image does. Of a file over the size limit of images it packs one
 * byte more than the limit, so that the service records a failed item. */
static enum sm_code take_file(struct packing *p, const FTSENT *at, size_t base, struct sm_err *err)
{
    struct sm_file file;
    struct sm_err why = {0};
    enum sm_code code = sm_file_map(&file, at->fts_path, INT64_MAX, &why);
    if (code != SM_OK) {
        p->params->pass(p->params->arg, at->fts_path + base, why.text);
        return SM_OK;
    }
    if (file.bytes && sm_image_sniff(file.bytes, file.bytes_count)) {
        struct sm_file sent = file;
        if (sent.bytes_count > SM_IMAGE_BYTES_MAX)
            sent.bytes_count = (size_t)SM_IMAGE_BYTES_MAX + 1;
        if (!p->archive)
            code = begin(p, err);
        if (code == SM_OK)
            code = put(p, at->fts_path + base, sent.bytes, sent.bytes_count, err);
        if (code == SM_OK && p->bytes_count >= SM_PACK_BYTES)
            code = end(p, true, err);
    }
    sm_file_release(&file);
    return code;
}

static int by_bytes(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

/* Packs or reports the entry to which the walk has come. */
static enum sm_code take(struct packing *p, const FTSENT *at, size_t base, struct sm_err *err)
{
    const atomic_bool *stop = p->params->stop;
    if (stop && atomic_load(stop))
        return sm_err_set(err, SM_CANCELLED, "stopped");
    if (at->fts_info == FTS_F && S_ISREG(at->fts_statp->st_mode))
        return take_file(p, at, base, err);
    if (at->fts_info == FTS_DNR || at->fts_info == FTS_ERR || at->fts_info == FTS_NS)
        p->params->pass(p->params->arg, at->fts_level > 0 ? at->fts_path + base : ".",
                        strerror(at->fts_errno));
    return SM_OK;
}

enum sm_code sm_pack_folder(const struct sm_pack_params *params, struct sm_err *err)
{
    struct packing p = {.params = params};
    char *root = realpath(params->folder, NULL), *roots[] = {root, NULL};
    enum sm_code code = SM_OK;
    const FTSENT *at;
    FTS *walk = root ? fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, by_bytes) : NULL;
    if (!walk)
        code = sm_err_set(err, SM_IO, "%.160s: %s", params->folder, strerror(errno));
    while (code == SM_OK && (at = fts_read(walk)))
        code = take(&p, at, strlen(root) + 1, err);
    if (walk)
        fts_close(walk);
    if (p.archive || p.file) {
        enum sm_code last = end(&p, code == SM_OK, err);
        code = code == SM_OK ? last : code;
    }
    free(root);
    return code;
}

/* --- datasets --- */

/* Packs an image and, before it, its labels, which thereby begin a sample of their own. */
static enum sm_code put_item(struct packing *p, const struct sm_dataset_item *item,
                             const void *bytes, size_t bytes_count, struct sm_err *err)
{
    struct sm_sample sample;
    char name[SM_SAMPLE_KEY_BYTES + 8], class_label[SM_LABEL_BYTES], group[SM_LABEL_BYTES];
    sm_sample_begin(&sample, item->name);
    snprintf(name, sizeof name, "%s.json", sample.key);
    sm_label(class_label, item->class_label);
    sm_label(group, item->group);
    json_t *labels = json_pack("{s:s, s:s}", "class", class_label, "group", group);
    char *text = labels ? sm_json_text(labels, JSON_COMPACT) : NULL;
    enum sm_code code = text ? put(p, name, text, strlen(text), err)
                             : sm_err_set(err, SM_NOMEM, "tar archive: out of memory");
    if (code == SM_OK)
        code = put(p, item->name, bytes, bytes_count, err);
    free(text);
    json_decref(labels);
    return code;
}

/* Packs an image over the size limit as one byte more than the limit, of which the service reads
 * the first: it records a failed item, as an audit on this machine does. */
static enum sm_code put_too_large(struct packing *p, const struct sm_dataset_item *item,
                                  struct sm_err *err)
{
    static const char head[] = "\x89PNG\r\n\x1a\n";
    char *bytes = calloc(1, (size_t)SM_IMAGE_BYTES_MAX + 1);
    if (!bytes)
        return sm_err_set(err, SM_NOMEM, "tar archive: out of memory");
    memcpy(bytes, head, sizeof head - 1);
    enum sm_code code = put_item(p, item, bytes, (size_t)SM_IMAGE_BYTES_MAX + 1, err);
    free(bytes);
    return code;
}

static enum sm_code take_item(struct packing *p, const struct sm_dataset_item *item,
                              const char *cohort, struct sm_err *err)
{
    const atomic_bool *stop = p->params->stop;
    if (stop && atomic_load(stop))
        return sm_err_set(err, SM_CANCELLED, "stopped");
    enum sm_code code = sm_ingest_check_cohort(item, cohort, err);
    if (code != SM_OK)
        return code;
    bool too_large = item->error.code == SM_LIMIT;
    if (item->error.code != SM_OK && !too_large) {
        p->params->pass(p->params->arg, item->name, item->error.text);
        return SM_OK;
    }
    if (!p->archive)
        code = begin(p, err);
    if (code == SM_OK)
        code = too_large ? put_too_large(p, item, err)
                         : put_item(p, item, item->bytes, item->bytes_count, err);
    if (code == SM_OK && p->bytes_count >= SM_PACK_BYTES)
        code = end(p, true, err);
    return code;
}

enum sm_code sm_pack_dataset(const struct sm_pack_params *params, struct sm_dataset *dataset,
                             const char *cohort, struct sm_err *err)
{
    struct packing p = {.params = params};
    struct sm_dataset_item item;
    bool found = true;
    enum sm_code code = SM_OK;
    while (code == SM_OK && found) {
        code = sm_dataset_next(&item, &found, dataset, err);
        if (code == SM_OK && found)
            code = take_item(&p, &item, cohort, err);
    }
    if (p.archive || p.file) {
        enum sm_code last = end(&p, code == SM_OK, err);
        code = code == SM_OK ? last : code;
    }
    return code;
}
