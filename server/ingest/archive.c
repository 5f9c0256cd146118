/* Reads untrusted archives with libarchive.
 *
 * Only tar and zip are enabled, plain or compressed with gzip or zstd, and no filter for which
 * libarchive would start a program. A zip is read from front to back, because its directory at the
 * end can have any number of entries and would have to be held in memory.
 *
 * `read_entry` reads every byte of every entry, even of entries that are not used: if libarchive
 * skipped them, it would unpack them without our limits. The unpacked size is the larger of two
 * numbers: the data of the entries (zip), and the output of the filters (tar, headers included).
 * A hole in a sparse entry is filled with zeros, within the limit of an image.
 *
 * An image is held back until its sample and the next one end (core/data/sample.h), because labels
 * may follow it, and because labels that could be those of two images are given to neither.
 *
 * Names are bytes. The process stays in the C locale, in which libarchive passes on the bytes of
 * every name, except of names that a zip marks as UTF-8; zip_name.h reads those. */
#include <archive_entry.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/kind.h"
#include "core/data/archive.h"
#include "core/data/sample.h"
#include "server/ingest/ingest_impl.h"
#include "server/ingest/zip_name.h"
#include "sslmem/image.h"

#define ROOM_BYTES        65536     /* the first memory of an entry */
#define RATIO_SLACK_BYTES (1 << 20) /* unpacked bytes to which the ratio does not apply */
#define SNIFF_BYTES       16        /* bytes that suffice to recognize an image */

struct reading {
    struct sm_ingest *ingest;
    const struct sm_ingest_labels *labels;
    struct archive *archive;
    struct sm_archive_input *input;
    int64_t archive_bytes, data_bytes, bytes_max, entries_count;
    struct held *here, *last; /* the sample that is read, and the one before it */
};

struct entry {
    const char *name;
    enum sm_sample_kind kind; /* by the name; IMAGE once the bytes are known */
    uint8_t *bytes;
    size_t bytes_count, capacity;
    bool useless; /* the bytes are read but not kept */
    bool over;    /* the entry is larger than an image may be */
    bool broken;  /* libarchive cannot read it, but can read the next entry */
};

struct held {
    struct sm_sample sample;
    struct entry image; /* its name is names[SM_SAMPLE_IMAGE] */
    int cohort;         /* of the image, once the sample has ended; -1: it is skipped */
    char names[SM_SAMPLE_JSON + 1][SM_ZIP_NAME_BYTES];
    struct sm_err wrong[SM_SAMPLE_JSON + 1]; /* why the labels of a sidecar cannot be read */
};

static enum sm_code check_unpacked(const void *arg, struct sm_err *err)
{
    const struct reading *r = arg;
    int64_t streamed = archive_filter_bytes(r->archive, 0);
    int64_t unpacked = streamed > r->data_bytes ? streamed : r->data_bytes;
    if (unpacked > r->bytes_max)
        return sm_err_set(
            err, SM_LIMIT, "entry %lld: the archive has unpacked to %lld bytes, the limit is %lld",
            (long long)r->entries_count, (long long)unpacked, (long long)r->bytes_max);
    if (unpacked - RATIO_SLACK_BYTES > r->archive_bytes * SM_INGEST_RATIO_MAX)
        return sm_err_set(err, SM_LIMIT,
                          "entry %lld: %lld bytes have unpacked to %lld, the limit is %d times",
                          (long long)r->entries_count, (long long)r->archive_bytes,
                          (long long)unpacked, SM_INGEST_RATIO_MAX);
    return sm_ingest_check(r->ingest, err);
}

static enum sm_code corrupt(const struct reading *r, struct sm_err *err)
{
    enum sm_code code = check_unpacked(r, err);
    if (code != SM_OK)
        return code;
    const char *text = archive_error_string(r->archive);
    char clean[SM_LABEL_BYTES];
    sm_label(clean, !text ? "not readable" : text);
    return sm_err_set(err, SM_CORRUPT, "after entry %lld: %.160s", (long long)r->entries_count,
                      clean);
}

/* --- one entry --- */

/* Grows the buffer to at least `size` bytes, at most SM_IMAGE_BYTES_MAX; new bytes are zero. */
static bool grow(struct entry *e, size_t size)
{
    size_t capacity = e->capacity < ROOM_BYTES ? ROOM_BYTES : e->capacity;
    while (capacity < size)
        capacity *= 2;
    if (capacity > e->capacity) {
        uint8_t *bytes = realloc(e->bytes, capacity);
        if (!bytes)
            return false;
        memset(bytes + e->capacity, 0, capacity - e->capacity);
        e->bytes = bytes;
        e->capacity = capacity;
    }
    return true;
}

/* Stores a block of the entry that begins at byte `at`; libarchive returns blocks in order. */
static enum sm_code keep(struct entry *e, const void *block, size_t n, int64_t at,
                         struct sm_err *err)
{
    if (e->useless || e->over || n == 0)
        return SM_OK;
    if (at < (int64_t)e->bytes_count || at > SM_IMAGE_BYTES_MAX ||
        (int64_t)n > SM_IMAGE_BYTES_MAX - at) {
        e->over = true;
        return SM_OK;
    }
    if (!grow(e, (size_t)at + n))
        return sm_err_set(err, SM_NOMEM, "ingest: no memory for %zu bytes", (size_t)at + n);
    memcpy(e->bytes + at, block, n);
    e->bytes_count = (size_t)at + n;
    e->useless = e->kind == SM_SAMPLE_OTHER
                     ? e->bytes_count >= SNIFF_BYTES && !sm_image_sniff(e->bytes, e->bytes_count)
                     : e->bytes_count > SM_DATASET_SIDECAR_BYTES_MAX;
    return SM_OK;
}

/* Reads the whole entry. */
static enum sm_code read_entry(struct entry *e, struct reading *r, struct sm_err *err)
{
    enum sm_code code = SM_OK;
    while (code == SM_OK) {
        const void *block = NULL;
        size_t n = 0;
        la_int64_t at = 0;
        int rc = archive_read_data_block(r->archive, &block, &n, &at);
        if (rc == ARCHIVE_EOF)
            return SM_OK;
        if (rc == ARCHIVE_FATAL)
            return corrupt(r, err);
        if (rc < ARCHIVE_WARN) {
            e->broken = true;
            return SM_OK;
        }
        r->data_bytes += (int64_t)n;
        code = check_unpacked(r, err);
        if (code == SM_OK)
            code = keep(e, block, n, at, err);
    }
    return code;
}

/* Returns the cohort that the first folder of the name names, or -1. */
static int cohort_of(const char *name)
{
    char first[SM_LABEL_BYTES];
    enum sm_cohort cohort;
    sm_label_folder(first, name);
    return first[0] != '\0' && sm_cohort_parse(&cohort, first, NULL) == SM_OK ? (int)cohort : -1;
}

/* Returns the name without its first folder. */
static const char *below(const char *name)
{
    while (strncmp(name, "./", 2) == 0)
        name += 2;
    const char *slash = strchr(name, '/');
    return slash ? slash + 1 : name;
}

/* Skips an entry that is no image. */
static void pass_entry(const struct entry *e, const struct reading *r)
{
    if (e->broken) {
        const char *text = archive_error_string(r->archive);
        sm_ingest_pass(r->ingest, 0, e->name, SM_INGEST_UNREADABLE, "%.200s",
                       !text ? "cannot be unpacked" : text);
    } else if (e->bytes_count == 0 && !e->over) {
        sm_ingest_pass(r->ingest, 0, e->name, SM_INGEST_EMPTY, "the entry has 0 bytes");
    } else {
        sm_ingest_pass_stranger(r->ingest, 0, e->name, e->bytes, e->bytes_count);
    }
}

/* Adds the sample's image to the audit. */
static enum sm_code add_image(struct reading *r, struct held *held, struct sm_err *err)
{
    struct entry *e = &held->image;
    const struct sm_sample *sample = &held->sample;
    struct sm_ingest_labels labels = *r->labels;
    struct sm_err why = {0};
    char folder[SM_LABEL_BYTES];
    bool told = sample->has[SM_SAMPLE_CLS] || sample->has[SM_SAMPLE_JSON];
    labels.name = e->name;
    labels.cohort = held->cohort;
    sm_label_folder(folder, r->labels->cohort < 0 ? below(e->name) : e->name);
    if (!labels.class_label || labels.class_label[0] == '\0')
        labels.class_label = told ? sample->class_label : folder;
    if (!labels.group || labels.group[0] == '\0')
        labels.group = sample->group;
    if (e->over) {
        sm_err_set(&why, SM_LIMIT, SM_IMAGE_TOO_LARGE, SM_IMAGE_BYTES_MAX);
        return sm_ingest_fail(r->ingest, &labels, &why, err);
    }
    uint8_t *bytes = e->bytes;
    e->bytes = NULL;
    return sm_ingest_put(r->ingest, &labels, bytes, e->bytes_count, NULL, err);
}

/* Reports the labels of a complete sample that its image does not get. */
static void check_labels(struct reading *r, const struct held *held)
{
    const struct sm_sample *sample = &held->sample;
    for (int kind = SM_SAMPLE_CLS; kind <= SM_SAMPLE_JSON; kind++) {
        if (!sample->has[kind])
            continue;
        if (sm_sample_lost_class(sample))
            sm_ingest_pass(r->ingest, 0, held->names[kind], SM_INGEST_NOT_AN_IMAGE, SM_SAMPLE_LOST);
        else if (!sample->has[SM_SAMPLE_IMAGE])
            sm_ingest_pass(r->ingest, 0, held->names[kind], SM_INGEST_NOT_AN_IMAGE,
                           SM_INGEST_NO_IMAGE(""));
        else if (held->wrong[kind].code != SM_OK)
            sm_ingest_pass(r->ingest, 0, held->names[kind], SM_INGEST_UNREADABLE,
                           "%s: its image does not have these labels", held->wrong[kind].text);
    }
}

/* Finds the cohort of a complete sample's image, or reports that it has none. */
static void find_cohort(const struct reading *r, struct held *held)
{
    const char *name = held->image.name;
    held->cohort = -1;
    if (!held->sample.has[SM_SAMPLE_IMAGE])
        return;
    held->cohort = r->labels->cohort < 0 ? cohort_of(name) : r->labels->cohort;
    if (held->cohort < 0)
        sm_ingest_pass(r->ingest, 0, name, SM_INGEST_COHORT_INVALID,
                       "the first folder is none of shared, candidate, independent, external");
}

/* Takes labels away that could be those of two images, and reports them. */
static void disown(struct reading *r, struct held *held)
{
    struct sm_sample *sample = &held->sample;
    for (int kind = SM_SAMPLE_CLS; kind <= SM_SAMPLE_JSON; kind++) {
        if (sample->has[kind] && held->wrong[kind].code == SM_OK)
            sm_ingest_pass(r->ingest, 0, held->names[kind], SM_INGEST_UNREADABLE,
                           "labels of a sample with several images, " SM_SAMPLE_SHARED
                           ": no image has them");
        sample->has[kind] = false;
    }
    sample->class_label[0] = sample->group[0] = '\0';
}

/* Ends the sample: adds the image of the sample before it, and holds back its own. */
static enum sm_code end_sample(struct reading *r, struct sm_err *err)
{
    struct held *here = r->here, *last = r->last;
    enum sm_code code = SM_OK;
    check_labels(r, here);
    find_cohort(r, here);
    if (sm_sample_shares_labels(&last->sample, &here->sample)) {
        disown(r, last);
        disown(r, here);
    }
    if (last->sample.has[SM_SAMPLE_IMAGE] && last->cohort >= 0)
        code = add_image(r, last, err);
    free(last->image.bytes);
    last->image.bytes = NULL;
    sm_sample_begin(&last->sample, "");
    r->here = last;
    r->last = here;
    return code;
}

/* Ends the sample if the entry does not belong to it, and begins that of the entry. */
static enum sm_code meet(struct reading *r, const struct entry *e, struct sm_err *err)
{
    if (sm_sample_holds(&r->here->sample, e->name, e->kind))
        return SM_OK;
    enum sm_code code = end_sample(r, err);
    sm_sample_begin(&r->here->sample, e->name);
    return code;
}

/* Puts an image or its labels into the sample. Takes the bytes of an image. Labels that are wrong
 * are reported at the end of the sample. */
static enum sm_code hold(struct reading *r, struct entry *e, struct sm_err *err)
{
    struct held *held = r->here;
    struct sm_err why = {0};
    enum sm_code code = SM_OK;
    held->sample.has[e->kind] = true;
    snprintf(held->names[e->kind], sizeof held->names[0], "%s", e->name);
    if (e->kind == SM_SAMPLE_IMAGE) {
        held->image = *e;
        held->image.name = held->names[SM_SAMPLE_IMAGE];
        e->bytes = NULL;
    } else if (e->kind != SM_SAMPLE_OTHER) {
        size_t count = e->over ? (size_t)SM_DATASET_SIDECAR_BYTES_MAX + 1 : e->bytes_count;
        code = sm_sample_read(&held->sample, e->kind, e->bytes, count, &why);
        held->wrong[e->kind] = why;
    }
    return code == SM_NOMEM ? sm_err_set(err, code, "%.200s", why.text) : SM_OK;
}

/* Adds an entry to its sample, or skips it, after its bytes were read. */
static enum sm_code sort_entry(struct entry *e, struct reading *r, struct sm_err *err)
{
    bool unread = e->broken || (e->bytes_count == 0 && !e->over);
    if (unread)
        e->kind = SM_SAMPLE_OTHER;
    else if (sm_image_sniff(e->bytes, e->bytes_count))
        e->kind = SM_SAMPLE_IMAGE;
    enum sm_code code = meet(r, e, err);
    if (code == SM_OK)
        code = hold(r, e, err);
    if (code == SM_OK && e->kind == SM_SAMPLE_OTHER)
        pass_entry(e, r);
    return code;
}

/* Returns the entry's name, read into `raw` if libarchive has none; NULL if it cannot be read. */
static const char *name_of(const struct reading *r, struct archive_entry *header,
                           char raw[SM_ZIP_NAME_BYTES])
{
    const char *name = archive_entry_pathname(header);
    bool plain_zip =
        (archive_format(r->archive) & ARCHIVE_FORMAT_BASE_MASK) == ARCHIVE_FORMAT_ZIP &&
        archive_filter_count(r->archive) == 1;
    if (!name && plain_zip &&
        sm_ingest_zip_name(raw, r->input->fd, archive_read_header_position(r->archive)))
        name = raw;
    return name;
}

static enum sm_code take_entry(struct reading *r, struct archive_entry *header, struct sm_err *err)
{
    char raw[SM_ZIP_NAME_BYTES];
    const char *name = name_of(r, header, raw);
    struct entry e = {.name = !name ? "" : name};
    e.kind = sm_sample_kind(e.name);
    bool link = archive_entry_hardlink(header) || archive_entry_symlink(header) ||
                archive_entry_filetype(header) == AE_IFLNK;
    bool folder = archive_entry_filetype(header) == AE_IFDIR;
    e.useless = link || archive_entry_filetype(header) != AE_IFREG;
    enum sm_code code = read_entry(&e, r, err);
    /* libarchive returns no block for a hole at the end, but the hole is part of the size. */
    e.over = e.over || archive_entry_size(header) > SM_IMAGE_BYTES_MAX;
    if (code == SM_OK && link)
        sm_ingest_pass(r->ingest, 0, e.name, SM_INGEST_LINK, "links are not followed");
    else if (code == SM_OK && e.useless && !folder && e.bytes_count == 0)
        sm_ingest_pass(r->ingest, 0, e.name, SM_INGEST_NOT_A_FILE, "not a regular file");
    else if (code == SM_OK && !name)
        sm_ingest_pass(r->ingest, 0, e.name, SM_INGEST_UNREADABLE,
                       "the name of entry %lld cannot be read; send a zip as it is, without gzip",
                       (long long)r->entries_count);
    else if (code == SM_OK && !folder)
        code = sort_entry(&e, r, err);
    free(e.bytes);
    return code;
}

/* --- the whole --- */

const char *sm_ingest_sniff(const void *bytes, size_t bytes_count)
{
    static const struct {
        const char *name, *magic;
        size_t at;
    } rows[] = {{"zip", "PK\3\4", 0},
                {"zip", "PK\5\6", 0},
                {"gzip", "\x1f\x8b", 0},
                {"zstd", "\x28\xb5\x2f\xfd", 0},
                {"tar", "ustar", 257}};

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t n = strlen(rows[i].magic);
        if (bytes_count >= rows[i].at + n &&
            memcmp((const char *)bytes + rows[i].at, rows[i].magic, n) == 0)
            return rows[i].name;
    }
    return NULL;
}

static enum sm_code open_archive(struct reading *r, int fd, struct sm_err *err)
{
    struct stat status;
    if (fstat(fd, &status) != 0 || lseek(fd, 0, SEEK_SET) != 0)
        return sm_err_set(err, SM_IO, "the archive cannot be read from its start");
    r->archive_bytes = status.st_size;
    r->input->fd = fd;
    r->input->check = check_unpacked;
    r->input->arg = r;
    enum sm_code code = sm_archive_open(&r->archive, r->input, err);
    return code == SM_CORRUPT ? corrupt(r, err) : code;
}

static enum sm_code read_entries(struct reading *r, struct sm_err *err)
{
    enum sm_code code = SM_OK;
    while (code == SM_OK) {
        struct archive_entry *header;
        int rc = archive_read_next_header(r->archive, &header);
        if (rc == ARCHIVE_EOF)
            return sm_archive_check_end(r->archive, r->entries_count, err);
        if (rc == ARCHIVE_FATAL || rc == ARCHIVE_RETRY) /* RETRY: there is no header, so no entry */
            return corrupt(r, err);
        if (++r->entries_count > SM_INGEST_ENTRIES_MAX)
            return sm_err_set(err, SM_LIMIT, "the archive has over %d entries, which is the limit",
                              SM_INGEST_ENTRIES_MAX);
        if ((code = check_unpacked(r, err)) != SM_OK)
            return code;
        if (rc >= ARCHIVE_WARN)
            code = take_entry(r, header, err);
        else
            sm_ingest_pass(r->ingest, 0, "", SM_INGEST_UNREADABLE, "entry %lld cannot be read",
                           (long long)r->entries_count);
    }
    return code;
}

/* Names a file in which libarchive has found no entry, if its kind is known. */
static enum sm_code name_stranger(int fd, enum sm_code code, struct sm_err *err)
{
    uint8_t head[SM_KIND_HEAD_BYTES];
    struct sm_kind kind;
    ssize_t n = pread(fd, head, sizeof head, 0);
    if (n <= 0 || sm_ingest_sniff(head, (size_t)n) ||
        !sm_kind_find(&kind, head, (size_t)n, NULL, SM_WANTED_ARCHIVE))
        return code;
    return sm_err_set(err, code, "%s: %s", kind.name, kind.advice);
}

enum sm_code sm_ingest_archive(struct sm_ingest *ingest, int fd,
                               const struct sm_ingest_labels *labels, struct sm_err *err)
{
    int64_t bytes_max = ingest->params.unpacked_bytes_max;
    struct reading r = {.ingest = ingest,
                        .labels = labels,
                        .bytes_max = bytes_max > 0 ? bytes_max : SM_INGEST_UNPACKED_BYTES_MAX};
    struct held *both = calloc(2, sizeof *both);
    r.input = calloc(1, sizeof *r.input);
    r.here = both;
    r.last = both + 1;
    enum sm_code code = both && r.input ? open_archive(&r, fd, err)
                                        : sm_err_set(err, SM_NOMEM, "ingest: out of memory");
    if (code == SM_OK) {
        struct sm_err ignored;
        code = read_entries(&r, err);
        /* what came before a broken entry is added */
        for (int i = 0; i < 2; i++) {
            enum sm_code ended = end_sample(&r, code == SM_OK ? err : &ignored);
            code = code == SM_OK ? ended : code;
        }
    }
    if (code == SM_CORRUPT && r.entries_count == 0)
        code = name_stranger(fd, code, err);
    archive_read_free(r.archive);
    free(r.input);
    free(both);
    return code;
}
