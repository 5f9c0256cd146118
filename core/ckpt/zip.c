/* libzip reads archives through a source that this file implements: the mapped bytes and a
 * position. libzip parses the directory and the local headers, finds an entry's data and computes
 * its CRC while reading. The source sees which bytes libzip reads. To locate an entry, this code
 * lets libzip read its first byte and takes the position of that read. To check an entry, it lets
 * libzip read all of it, in pieces that stay in the processor's cache. So this file need not parse
 * zip files.
 *
 * The directory is untrusted. libzip adds each name to a hash table with a known function, so that
 * colliding names cost time quadratic in their number. Opening an archive takes two reads for each
 * entry of a large directory; therefore the source counts reads until the archive is open and fails
 * over a limit. Overlapping entries could make a small archive expand to a large one. Therefore all
 * entries together may not claim more bytes than the archive has, and entries that are used may not
 * overlap. */
#include "core/ckpt/zip.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <zip.h>

#include "core/ckpt/refuse.h"

#define ENTRIES_MAX   16384 /* a ViT with its optimizer has about 2000; this many collide in 1 s */
#define OPEN_READS    (2 * ENTRIES_MAX + 64) /* limit of reads; libzip needs two per entry */
#define PIECE_BYTES   65536
#define NO_READ       UINT64_MAX
#define LOCAL_MARK    "PK\3\4"
#define LOCAL_NAME_AT 30 /* offset of the name in a local header */
#define LOCAL_SIZE_AT 26 /* offset of the name's length in a local header */

struct entry {
    uint64_t at, count;    /* first byte in the archive and number of bytes; valid if located */
    bool located, checked; /* checked: the CRC was correct */
};

struct sm_zip {
    const uint8_t *bytes;
    uint64_t bytes_count;
    uint64_t at;         /* current position of the source in the archive */
    uint64_t first_read; /* position of the first read since this was set to NO_READ */
    uint64_t reads;      /* number of reads until the archive was open */
    zip_error_t error;   /* last error of the source */
    zip_t *archive;
    struct entry *entries; /* [sm_zip_count], what is known about each entry */
};

bool sm_zip_sniff(const uint8_t *bytes, size_t bytes_count, const char **name, size_t *name_count)
{
    if (bytes_count < LOCAL_NAME_AT || memcmp(bytes, LOCAL_MARK, 4) != 0)
        return false;
    *name = (const char *)bytes + LOCAL_NAME_AT;
    *name_count = (size_t)bytes[LOCAL_SIZE_AT] | (size_t)bytes[LOCAL_SIZE_AT + 1] << 8;
    if (*name_count > bytes_count - LOCAL_NAME_AT)
        *name_count = bytes_count - LOCAL_NAME_AT;
    return true;
}

static zip_int64_t source_read(struct sm_zip *zip, void *data, zip_uint64_t count)
{
    if (!zip->archive && ++zip->reads > OPEN_READS) {
        zip_error_set(&zip->error, ZIP_ER_INCONS, 0);
        return -1;
    }
    if (count > zip->bytes_count - zip->at)
        count = zip->bytes_count - zip->at;
    if (count > 0)
        memcpy(data, zip->bytes + zip->at, (size_t)count);
    if (zip->first_read == NO_READ)
        zip->first_read = zip->at;
    zip->at += count;
    return (zip_int64_t)count;
}

static zip_int64_t source_seek(struct sm_zip *zip, void *data, zip_uint64_t count)
{
    zip_int64_t at =
        zip_source_seek_compute_offset(zip->at, zip->bytes_count, data, count, &zip->error);
    if (at < 0)
        return -1;
    zip->at = (zip_uint64_t)at;
    return 0;
}

static zip_int64_t source_stat(const struct sm_zip *zip, zip_stat_t *stat)
{
    zip_stat_init(stat);
    stat->size = zip->bytes_count;
    stat->valid = ZIP_STAT_SIZE;
    return sizeof *stat;
}

/* The source: a zip_source_callback of libzip. */
static zip_int64_t source(void *context, void *data, zip_uint64_t count, zip_source_cmd_t command)
{
    struct sm_zip *zip = context;
    switch (command) {
    case ZIP_SOURCE_OPEN:
        zip->at = 0;
        return 0;
    case ZIP_SOURCE_READ:
        return source_read(zip, data, count);
    case ZIP_SOURCE_SEEK:
        return source_seek(zip, data, count);
    case ZIP_SOURCE_TELL:
        return (zip_int64_t)zip->at;
    case ZIP_SOURCE_STAT:
        return source_stat(zip, data);
    case ZIP_SOURCE_ERROR:
        return zip_error_to_data(&zip->error, data, count);
    case ZIP_SOURCE_CLOSE:
    case ZIP_SOURCE_FREE:
        return 0;
    case ZIP_SOURCE_SUPPORTS:
        return zip_source_make_command_bitmap(
            ZIP_SOURCE_OPEN, ZIP_SOURCE_READ, ZIP_SOURCE_CLOSE, ZIP_SOURCE_STAT, ZIP_SOURCE_ERROR,
            ZIP_SOURCE_FREE, ZIP_SOURCE_SEEK, ZIP_SOURCE_TELL, ZIP_SOURCE_SUPPORTS, -1);
    default:
        zip_error_set(&zip->error, ZIP_ER_OPNOTSUPP, 0);
        return -1;
    }
}

/* Checks that all entries have names and sizes and together claim at most the archive's bytes. */
static enum sm_code check_directory(const struct sm_zip *zip, struct sm_err *err)
{
    uint64_t claimed = 0;
    for (uint64_t i = 0; i < sm_zip_count(zip); i++) {
        zip_stat_t stat;
        if (zip_stat_index(zip->archive, i, ZIP_FL_ENC_RAW, &stat) != 0 ||
            (stat.valid & ZIP_STAT_NAME) == 0 || (stat.valid & ZIP_STAT_COMP_SIZE) == 0)
            return sm_err_set(err, SM_CORRUPT, "zip entry %" PRIu64 " has no name or size", i);
        if (__builtin_add_overflow(claimed, stat.comp_size, &claimed) || claimed > zip->bytes_count)
            return sm_err_set(err, SM_CORRUPT,
                              "zip entries up to %.96s claim %" PRIu64 " bytes, file has %" PRIu64,
                              stat.name, claimed, zip->bytes_count);
    }
    return SM_OK;
}

struct name {
    const char *text;
    uint64_t entry;
};

static int compare_names(const void *a, const void *b)
{
    const struct name *x = a, *y = b;
    int order = strcmp(x->text, y->text);
    return order != 0 ? order : (x->entry > y->entry) - (x->entry < y->entry);
}

/* Refuses two entries of one name: readers differ in which of them they take. */
static enum sm_code check_names(const struct sm_zip *zip, struct sm_err *err)
{
    const uint64_t count = sm_zip_count(zip);
    struct name *names = malloc(((size_t)count + 1) * sizeof *names);
    enum sm_code code = SM_OK;
    if (!names)
        return sm_err_set(err, SM_NOMEM, "no memory for %" PRIu64 " zip entries", count);
    for (uint64_t i = 0; i < count; i++)
        names[i] = (struct name){sm_zip_name(zip, i), i};
    qsort(names, (size_t)count, sizeof *names, compare_names);
    for (uint64_t i = 1; code == SM_OK && i < count; i++)
        if (strcmp(names[i - 1].text, names[i].text) == 0)
            code = sm_err_set(err, SM_CORRUPT,
                              "zip entries %" PRIu64 " and %" PRIu64 " are both named %.96s",
                              names[i - 1].entry, names[i].entry, names[i].text);
    free(names);
    return code;
}

static enum sm_code open_archive(struct sm_zip *zip, struct sm_err *err)
{
    enum sm_code code = SM_OK;
    zip_error_t error;
    zip_source_t *bytes;
    zip_error_init(&error);
    bytes = zip_source_function_create(source, zip, &error);
    if (bytes)
        zip->archive = zip_open_from_source(bytes, ZIP_RDONLY, &error);
    if (zip->reads > OPEN_READS) {
        code = sm_err_set(err, SM_LIMIT, "zip directory of more than %d entries", ENTRIES_MAX);
    } else if (!zip->archive && zip_error_code_zip(&error) == ZIP_ER_NOZIP) {
        code =
            sm_err_set(err, SM_CORRUPT,
                       "zip file of %" PRIu64 " bytes without the directory at its end" SM_CKPT_CUT,
                       zip->bytes_count);
    } else if (!zip->archive) {
        bool memory = zip_error_code_zip(&error) == ZIP_ER_MEMORY;
        code = sm_err_set(err, memory ? SM_NOMEM : SM_CORRUPT, "zip directory: %s",
                          zip_error_strerror(&error));
    }
    if (!zip->archive)
        zip_source_free(bytes);
    zip_error_fini(&error);
    return code;
}

enum sm_code sm_zip_open(struct sm_zip **out, const uint8_t *bytes, size_t bytes_count,
                         struct sm_err *err)
{
    struct sm_zip *zip = calloc(1, sizeof *zip);
    enum sm_code code;
    *out = NULL;
    if (!zip)
        return sm_err_set(err, SM_NOMEM, "no memory for a zip archive");
    zip->bytes = bytes;
    zip->bytes_count = bytes_count;
    zip_error_init(&zip->error);
    code = open_archive(zip, err);
    if (code == SM_OK && sm_zip_count(zip) > ENTRIES_MAX)
        code = sm_err_set(err, SM_LIMIT, "zip directory of %" PRIu64 " entries, limit is %d",
                          sm_zip_count(zip), ENTRIES_MAX);
    if (code == SM_OK)
        code = check_directory(zip, err);
    if (code == SM_OK)
        code = check_names(zip, err);
    if (code == SM_OK) {
        zip->entries = calloc((size_t)sm_zip_count(zip) + 1, sizeof *zip->entries);
        if (!zip->entries)
            code = sm_err_set(err, SM_NOMEM, "no memory for a zip archive");
    }
    if (code == SM_OK)
        *out = zip;
    else
        sm_zip_close(zip);
    return code;
}

void sm_zip_close(struct sm_zip *zip)
{
    if (!zip)
        return;
    if (zip->archive)
        zip_discard(zip->archive);
    zip_error_fini(&zip->error);
    free(zip->entries);
    free(zip);
}

uint64_t sm_zip_count(const struct sm_zip *zip)
{
    return (uint64_t)zip_get_num_entries(zip->archive, 0);
}

const char *sm_zip_name(const struct sm_zip *zip, uint64_t entry)
{
    return zip_get_name(zip->archive, entry, ZIP_FL_ENC_RAW);
}

int64_t sm_zip_find(const struct sm_zip *zip, const char *name)
{
    return zip_name_locate(zip->archive, name, ZIP_FL_ENC_RAW);
}

static enum sm_code broken(struct sm_zip *zip, uint64_t entry, zip_error_t *error,
                           struct sm_err *err)
{
    bool memory = zip_error_code_zip(error) == ZIP_ER_MEMORY;
    return sm_err_set(err, memory ? SM_NOMEM : SM_CORRUPT, "zip entry %.96s: %s",
                      sm_zip_name(zip, entry), zip_error_strerror(error));
}

static enum sm_code stat_stored(zip_stat_t *stat, struct sm_zip *zip, uint64_t entry,
                                struct sm_err *err)
{
    const zip_uint64_t needed =
        ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD | ZIP_STAT_ENCRYPTION_METHOD;
    if (zip_stat_index(zip->archive, entry, ZIP_FL_ENC_RAW, stat) != 0 ||
        (stat->valid & needed) != needed)
        return sm_err_set(err, SM_CORRUPT, "zip entry %.96s has no size or method",
                          sm_zip_name(zip, entry));
    if (stat->encryption_method != ZIP_EM_NONE)
        return sm_err_set(err, SM_UNSUPPORTED, "zip entry %.96s is encrypted", stat->name);
    if (stat->comp_method != ZIP_CM_STORE)
        return sm_err_set(err, SM_UNSUPPORTED,
                          "zip entry %.96s is compressed by method %u, must be stored", stat->name,
                          (unsigned)stat->comp_method);
    if (stat->size != stat->comp_size)
        return sm_err_set(err, SM_CORRUPT,
                          "zip entry %.96s claims %" PRIu64 " bytes, %" PRIu64 " are stored",
                          stat->name, stat->size, stat->comp_size);
    return SM_OK;
}

/* Finds the first byte of an entry of `count` bytes: lets libzip read it and takes its position. */
static enum sm_code locate(uint64_t *at, struct sm_zip *zip, uint64_t entry, uint64_t count,
                           struct sm_err *err)
{
    uint8_t byte;
    zip_file_t *file = zip_fopen_index(zip->archive, entry, 0);
    enum sm_code code = SM_OK;
    if (!file)
        return broken(zip, entry, zip_get_error(zip->archive), err);
    zip->first_read = NO_READ;
    if (zip_fread(file, &byte, 1) < 0)
        code = broken(zip, entry, zip_file_get_error(file), err);
    else if (zip->first_read > zip->bytes_count || count > zip->bytes_count - zip->first_read)
        code = sm_err_set(err, SM_CORRUPT,
                          "zip entry %.96s: %" PRIu64 " bytes from byte %" PRIu64
                          " on, file has %" PRIu64,
                          sm_zip_name(zip, entry), count, zip->first_read, zip->bytes_count);
    zip_fclose(file);
    *at = zip->first_read;
    return code;
}

enum sm_code sm_zip_locate(uint64_t *at, uint64_t *bytes_count, struct sm_zip *zip, uint64_t entry,
                           struct sm_err *err)
{
    struct entry *known = &zip->entries[entry];
    zip_stat_t stat;
    enum sm_code code = SM_OK;
    if (!known->located) {
        code = stat_stored(&stat, zip, entry, err);
        if (code == SM_OK && stat.size != 0)
            code = locate(&known->at, zip, entry, stat.size, err);
        if (code == SM_OK)
            known->count = stat.size;
        known->located = code == SM_OK;
    }
    *at = code == SM_OK ? known->at : 0;
    *bytes_count = known->count;
    return code;
}

static int compare_entries(const void *a, const void *b)
{
    const struct entry *const *left = a, *const *right = b;
    return ((*left)->at > (*right)->at) - ((*left)->at < (*right)->at);
}

enum sm_code sm_zip_check_overlaps(const struct sm_zip *zip, struct sm_err *err)
{
    const uint64_t count = sm_zip_count(zip);
    const struct entry **sorted = malloc(((size_t)count + 1) * sizeof *sorted);
    size_t sorted_count = 0;
    enum sm_code code = SM_OK;
    if (!sorted)
        return sm_err_set(err, SM_NOMEM, "no memory for %" PRIu64 " zip entries", count);
    for (uint64_t i = 0; i < count; i++) {
        if (zip->entries[i].count != 0)
            sorted[sorted_count++] = &zip->entries[i];
    }
    qsort(sorted, sorted_count, sizeof *sorted, compare_entries);
    for (size_t i = 1; code == SM_OK && i < sorted_count; i++) {
        const struct entry *before = sorted[i - 1], *after = sorted[i];
        if (after->at - before->at < before->count)
            code = sm_err_set(err, SM_CORRUPT,
                              "zip entry %.72s begins at byte %" PRIu64 ", inside %.72s",
                              sm_zip_name(zip, (uint64_t)(after - zip->entries)), after->at,
                              sm_zip_name(zip, (uint64_t)(before - zip->entries)));
    }
    free(sorted);
    return code;
}

/* libzip compares the CRC when a read meets the end of the entry. */
enum sm_code sm_zip_check(struct sm_zip *zip, uint64_t entry, struct sm_err *err)
{
    uint8_t piece[PIECE_BYTES];
    zip_int64_t got;
    zip_file_t *file;
    enum sm_code code = SM_OK;
    if (zip->entries[entry].checked)
        return SM_OK;
    file = zip_fopen_index(zip->archive, entry, 0);
    if (!file)
        return broken(zip, entry, zip_get_error(zip->archive), err);
    do
        got = zip_fread(file, piece, sizeof piece);
    while (got > 0);
    if (got < 0)
        code = broken(zip, entry, zip_file_get_error(file), err);
    zip_fclose(file);
    zip->entries[entry].checked = code == SM_OK;
    return code;
}

enum sm_code sm_zip_read(struct sm_ckpt *ckpt, size_t index, int64_t row, float *out,
                         struct sm_err *err)
{
    struct sm_err inner;
    enum sm_code code = sm_zip_check(ckpt->state, ckpt->places[index].part, &inner);
    if (code != SM_OK)
        return sm_err_set(err, code, "tensor %.64s: %.160s", ckpt->tensors[index].name, inner.text);
    sm_ckpt_read_place(ckpt, index, row, out);
    return SM_OK;
}

void sm_zip_close_state(void *zip)
{
    sm_zip_close(zip);
}

/* --- streams --- */

struct sm_zip_stream {
    struct sm_zip *zip;
    uint64_t entry;
    zip_file_t *file;
};

enum sm_code sm_zip_stream_open(struct sm_zip_stream **out, uint64_t *bytes_count,
                                uint64_t *packed_count, struct sm_zip *zip, uint64_t entry,
                                struct sm_err *err)
{
    const zip_uint64_t needed =
        ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD | ZIP_STAT_ENCRYPTION_METHOD;
    zip_stat_t stat;
    *out = NULL;
    if (zip_stat_index(zip->archive, entry, ZIP_FL_ENC_RAW, &stat) != 0 ||
        (stat.valid & needed) != needed)
        return sm_err_set(err, SM_CORRUPT, "zip entry %.96s has no size or method",
                          sm_zip_name(zip, entry));
    if (stat.encryption_method != ZIP_EM_NONE ||
        (stat.comp_method != ZIP_CM_STORE && stat.comp_method != ZIP_CM_DEFLATE))
        return sm_err_set(err, SM_UNSUPPORTED,
                          "zip entry %.96s is encrypted or packed by method %u, must be stored or "
                          "deflated",
                          stat.name, (unsigned)stat.comp_method);
    struct sm_zip_stream *stream = calloc(1, sizeof *stream);
    if (!stream)
        return sm_err_set(err, SM_NOMEM, "no memory for a zip entry");
    *stream = (struct sm_zip_stream){zip, entry, zip_fopen_index(zip->archive, entry, 0)};
    if (!stream->file) {
        free(stream);
        return broken(zip, entry, zip_get_error(zip->archive), err);
    }
    *bytes_count = stat.size;
    *packed_count = stat.comp_size;
    *out = stream;
    return SM_OK;
}

enum sm_code sm_zip_stream_read(size_t *count, struct sm_zip_stream *stream, void *bytes,
                                size_t bytes_max, struct sm_err *err)
{
    zip_int64_t got = zip_fread(stream->file, bytes, bytes_max);
    if (got < 0)
        return broken(stream->zip, stream->entry, zip_file_get_error(stream->file), err);
    *count = (size_t)got;
    return SM_OK;
}

void sm_zip_stream_close(struct sm_zip_stream *stream)
{
    if (stream)
        zip_fclose(stream->file);
    free(stream);
}
