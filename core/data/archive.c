/* Archives, read by libarchive from front to back: tar, plain or compressed with gzip or zstd, and
 * zip. Opening reads the archive once to count its images, so that an index list can be checked
 * before the first image is used. Only one sample is in memory. */
#include "core/data/archive.h"

#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/data/data.h"
#include "core/data/sample.h"
#include "sslmem/image.h"

#define ROOM_BYTES  65536 /* the first memory of an entry */
#define SNIFF_BYTES 16
#define NAME_BYTES  1024

#define TAR_BLOCK_BYTES 512

struct entry {
    enum sm_sample_kind kind;
    char name[NAME_BYTES];
    uint8_t *bytes; /* of an image or a sidecar */
    size_t bytes_count, room;
    bool over; /* larger than an image may be; `bytes` are its first */
};

struct tar {
    char path[PATH_MAX];
    struct archive *archive;
    struct sm_archive_input input;
    int64_t packed_count, data_count, entries_count;
    int64_t passed_count; /* entries that are no folder, no image and no labels beside one */
    struct sm_sample sample, last; /* last: the sample before, if it had an image */
    struct sm_err wrong;           /* the first of the sample's labels that cannot be read */
    char label_name[NAME_BYTES];   /* entry of the sample's last labels */
    struct entry image, coming;    /* of the sample; the entry after it, if `has_coming` */
    bool has_coming, at_end;
    int64_t next; /* index of the next image */
    char label[SM_DATASET_LABEL_BYTES_MAX + 1];
};

static la_ssize_t read_block(struct archive *archive, void *arg, const void **block)
{
    struct sm_archive_input *input = arg;
    struct sm_err why;
    ssize_t n;
    *block = input->block;
    if (input->check(input->arg, &why) != SM_OK) {
        archive_set_error(archive, ECANCELED, "%s", why.text);
        return -1;
    }
    do
        n = read(input->fd, input->block, sizeof input->block);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        archive_set_error(archive, errno, "%s", strerror(errno));
    return n;
}

enum sm_code sm_archive_open(struct archive **out, struct sm_archive_input *input,
                             struct sm_err *err)
{
    struct archive *a = *out = archive_read_new();
    if (!a)
        return sm_err_set(err, SM_NOMEM, "no memory for an archive");
    if (archive_read_support_filter_gzip(a) != ARCHIVE_OK ||
        archive_read_support_filter_zstd(a) != ARCHIVE_OK ||
        archive_read_support_format_tar(a) != ARCHIVE_OK ||
        archive_read_support_format_zip_streamable(a) != ARCHIVE_OK ||
        archive_read_set_options(a, "tar:read_concatenated_archives") != ARCHIVE_OK)
        return sm_err_set(err, SM_UNSUPPORTED, "this libarchive lacks tar, zip, gzip or zstd");
    if (archive_read_open(a, input, NULL, read_block, NULL) != ARCHIVE_OK)
        return sm_err_set(err, SM_CORRUPT, "not an archive");
    return SM_OK;
}

/* A tar ends with blocks of zeros. One that is cut between two entries has none. */
enum sm_code sm_archive_check_end(struct archive *archive, int64_t entries_count,
                                  struct sm_err *err)
{
    bool is_tar = (archive_format(archive) & ARCHIVE_FORMAT_BASE_MASK) == ARCHIVE_FORMAT_TAR;
    int64_t read = archive_filter_bytes(archive, 0) - archive_read_header_position(archive);
    if (is_tar && read < TAR_BLOCK_BYTES)
        return sm_err_set(err, SM_CORRUPT,
                          "after entry %" PRId64
                          ": a tar's end mark is missing, so entries may be, "
                          "too; write or fetch it again",
                          entries_count);
    return SM_OK;
}

static enum sm_code check_unpacked(const void *arg, struct sm_err *err)
{
    const struct tar *t = arg;
    int64_t streamed = archive_filter_bytes(t->archive, 0);
    int64_t unpacked = streamed > t->data_count ? streamed : t->data_count;
    return sm_data_check_unpacked(unpacked, t->packed_count, err);
}

static enum sm_code corrupt(const struct tar *t, struct sm_err *err)
{
    enum sm_code code = check_unpacked(t, err);
    if (code != SM_OK)
        return code;
    const char *text = archive_error_string(t->archive);
    return sm_err_set(err, SM_CORRUPT, "after entry %" PRId64 ": %.120s", t->entries_count,
                      text ? text : "not readable");
}

static enum sm_code start(struct tar *t, struct sm_err *err)
{
    struct stat status;
    archive_read_free(t->archive);
    t->data_count = t->entries_count = t->passed_count = t->next = 0;
    t->has_coming = t->at_end = false;
    sm_sample_begin(&t->sample, "");
    sm_sample_begin(&t->last, "");
    t->archive = NULL;
    if (t->input.fd < 0)
        t->input.fd = open(t->path, O_RDONLY | O_CLOEXEC);
    if (t->input.fd < 0 || fstat(t->input.fd, &status) != 0 || lseek(t->input.fd, 0, SEEK_SET) != 0)
        return sm_err_set(err, SM_IO, "cannot be read from its start");
    t->packed_count = status.st_size;
    enum sm_code code = sm_archive_open(&t->archive, &t->input, err);
    return code == SM_CORRUPT ? corrupt(t, err) : code;
}

/* Appends a block at byte `at`; a hole before it is filled with zeros. */
static enum sm_code keep(struct entry *e, const void *block, size_t count, int64_t at,
                         struct sm_err *err)
{
    if (at < (int64_t)e->bytes_count || at > SM_IMAGE_BYTES_MAX ||
        (int64_t)count > SM_IMAGE_BYTES_MAX - at) {
        e->over = true;
        return SM_OK;
    }
    size_t needed = (size_t)at + count, room = e->room == 0 ? ROOM_BYTES : e->room;
    while (room < needed)
        room *= 2;
    if (room > e->room) {
        uint8_t *bytes = realloc(e->bytes, room);
        if (!bytes)
            return sm_err_set(err, SM_NOMEM, "no memory for %zu bytes", room);
        e->bytes = bytes;
        e->room = room;
    }
    memset(e->bytes + e->bytes_count, 0, (size_t)at - e->bytes_count);
    memcpy(e->bytes + at, block, count);
    e->bytes_count = needed;
    return SM_OK;
}

/* Reads all bytes of an entry and keeps those of an image or a sidecar. */
static enum sm_code read_data(struct entry *e, struct tar *t, struct sm_err *err)
{
    bool useless = false;
    for (enum sm_code code = SM_OK;;) {
        const void *block;
        size_t count;
        la_int64_t at;
        int rc = archive_read_data_block(t->archive, &block, &count, &at);
        if (rc == ARCHIVE_EOF)
            break;
        if (rc < ARCHIVE_WARN)
            return corrupt(t, err);
        t->data_count += (int64_t)count;
        if ((code = check_unpacked(t, err)) != SM_OK)
            return code;
        if (useless || e->over || count == 0)
            continue;
        if ((code = keep(e, block, count, at, err)) != SM_OK)
            return code;
        useless = e->kind == SM_SAMPLE_OTHER && e->bytes_count >= SNIFF_BYTES &&
                  !sm_image_sniff(e->bytes, e->bytes_count);
    }
    if (sm_image_sniff(e->bytes, e->bytes_count))
        e->kind = SM_SAMPLE_IMAGE;
    return SM_OK;
}

/* Reads the next regular file into `e`, whose memory is used again. */
static enum sm_code read_entry(struct entry *e, bool *found, struct tar *t, struct sm_err *err)
{
    struct archive_entry *header;
    *found = false;
    for (;;) {
        int rc = archive_read_next_header(t->archive, &header);
        if (rc == ARCHIVE_EOF)
            return sm_archive_check_end(t->archive, t->entries_count, err);
        if (rc < ARCHIVE_WARN || rc == ARCHIVE_RETRY) /* RETRY: there is no header, so no entry */
            return corrupt(t, err);
        if (++t->entries_count > SM_DATASET_ENTRIES_MAX)
            return sm_err_set(err, SM_LIMIT, "more than %d entries, which is the limit",
                              SM_DATASET_ENTRIES_MAX);
        t->passed_count += archive_entry_filetype(header) != AE_IFDIR;
        const char *name = archive_entry_pathname(header);
        e->bytes_count = 0;
        e->over = false;
        while (name && strncmp(name, "./", 2) == 0)
            name += 2;
        snprintf(e->name, sizeof e->name, "%s", name ? name : "");
        e->kind = sm_sample_kind(e->name);
        enum sm_code code = read_data(e, t, err);
        *found = archive_entry_filetype(header) == AE_IFREG && !archive_entry_hardlink(header);
        if (code != SM_OK || *found)
            return code;
    }
}

static void swap(struct entry *a, struct entry *b)
{
    struct entry kept = *a;
    *a = *b;
    *b = kept;
}

/* Reads the labels of `coming`. Labels that are wrong count only if their sample has an image. */
static enum sm_code read_labels(struct tar *t, struct sm_err *err)
{
    const struct entry *e = &t->coming;
    struct sm_err why = {0};
    size_t count = e->over ? (size_t)SM_DATASET_SIDECAR_BYTES_MAX + 1 : e->bytes_count;
    enum sm_code code = sm_sample_read(&t->sample, e->kind, e->bytes, count, &why);
    if (code == SM_NOMEM)
        return sm_err_set(err, code, "%.200s", why.text);
    memcpy(t->label_name, e->name, sizeof t->label_name);
    if (code != SM_OK && t->wrong.code == SM_OK)
        sm_err_set(&t->wrong, code, "%.80s: %.120s", e->name, why.text);
    return SM_OK;
}

/* Reads the rest of the sample that begins with `coming`; t->sample.has[SM_SAMPLE_IMAGE] tells
 * whether it has an image. */
static enum sm_code read_sample(struct tar *t, struct sm_err *err)
{
    for (bool first = true;; first = false) {
        enum sm_code code = SM_OK;
        if (!t->has_coming && !t->at_end) {
            code = read_entry(&t->coming, &t->has_coming, t, err);
            t->at_end = !t->has_coming;
        }
        if (first) {
            sm_sample_begin(&t->sample, t->has_coming ? t->coming.name : "");
            t->wrong.code = SM_OK;
        }
        if (code != SM_OK || !t->has_coming)
            return code;
        if (!first && !sm_sample_holds(&t->sample, t->coming.name, t->coming.kind))
            return SM_OK;
        t->has_coming = false;
        t->sample.has[t->coming.kind] = true;
        if (t->coming.kind == SM_SAMPLE_IMAGE)
            swap(&t->image, &t->coming);
        else if (t->coming.kind != SM_SAMPLE_OTHER)
            code = read_labels(t, err);
        if (code != SM_OK)
            return code;
    }
}

static enum sm_code next_image(bool *found, struct tar *t, struct sm_err *err)
{
    enum sm_code code = SM_OK;
    do {
        t->last = t->sample;
        code = read_sample(t, err);
        if (code == SM_OK && sm_sample_shares_labels(&t->last, &t->sample))
            code = sm_err_set(err, SM_CORRUPT,
                              "%.80s: a second image of a sample with labels, " SM_SAMPLE_SHARED,
                              t->image.name);
        if (code == SM_OK && sm_sample_lost_class(&t->sample))
            code = sm_err_set(err, SM_CORRUPT, "%.80s: " SM_SAMPLE_LOST, t->label_name);
    } while (code == SM_OK && !t->sample.has[SM_SAMPLE_IMAGE] && (t->has_coming || !t->at_end));
    *found = code == SM_OK && t->sample.has[SM_SAMPLE_IMAGE];
    if (*found && t->wrong.code != SM_OK)
        code = sm_err_set(err, t->wrong.code, "%.200s", t->wrong.text);
    if (*found)
        t->passed_count -= 1 + t->sample.has[SM_SAMPLE_CLS] + t->sample.has[SM_SAMPLE_JSON];
    t->next += *found;
    return code;
}

static enum sm_code read_item(struct sm_dataset_item *out, void *state, int64_t index,
                              struct sm_err *err)
{
    struct tar *t = state;
    bool found = true;
    enum sm_code code = SM_OK;
    while (code == SM_OK && found && t->next <= index)
        code = next_image(&found, t, err);
    if (code == SM_OK && !found)
        code = sm_err_set(err, SM_CORRUPT, "has %" PRId64 " images now, and had more when opened",
                          t->next);
    if (code != SM_OK)
        return code;
    out->name = t->image.name;
    if (t->sample.has[SM_SAMPLE_CLS] || t->sample.has[SM_SAMPLE_JSON])
        memcpy(t->label, t->sample.class_label, sizeof t->label);
    else
        sm_data_folder_class(t->label, t->image.name);
    out->class_label = t->label;
    out->group = t->sample.group;
    if (t->image.over) {
        sm_err_set(&out->error, SM_LIMIT, SM_IMAGE_TOO_LARGE, SM_IMAGE_BYTES_MAX);
        return SM_OK;
    }
    out->bytes = t->image.bytes;
    out->bytes_count = t->image.bytes_count;
    return SM_OK;
}

static void close_tar(void *state)
{
    struct tar *t = state;
    archive_read_free(t->archive);
    if (t->input.fd >= 0)
        close(t->input.fd);
    free(t->image.bytes);
    free(t->coming.bytes);
    free(t);
}

enum sm_code sm_data_open_archive(struct sm_data_reader *out, const struct sm_dataset_place *place,
                                  struct sm_err *err)
{
    struct tar *t = calloc(1, sizeof *t);
    bool found = true;
    if (!t)
        return sm_err_set(err, SM_NOMEM, "dataset: out of memory");
    t->input.fd = -1;
    t->input.check = check_unpacked;
    t->input.arg = t;
    *out = (struct sm_data_reader){
        .format = "archive", .state = t, .read = read_item, .close = close_tar};
    memcpy(t->path, place->path, sizeof t->path);
    if (place->part[0] != '\0')
        return sm_err_set(err, SM_INVALID, "an archive has no part \"%.60s\"", place->part);
    enum sm_code code = start(t, err);
    while (code == SM_OK && found)
        code = next_image(&found, t, err);
    out->count = t->next;
    out->passed_count = t->passed_count;
    if (code == SM_OK && out->count == 0)
        code = sm_err_set(err, SM_INVALID, "holds no image (JPEG, PNG), %" PRId64 " other entries",
                          t->entries_count);
    return code == SM_OK ? start(t, err) : code;
}
