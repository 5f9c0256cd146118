/* Three ways to read, one loop. Plain files go through stdio and are skipped by seeking; the others
 * are unpacked to skip. Nothing is mapped, so that memory does not grow with the file. */
#include "core/data/source.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "core/data/data.h"

#define PIECE_BYTES 65536

struct sm_source {
    FILE *file; /* one of the three is set */
    gzFile gzip;
    struct sm_zip_stream *entry;
    int64_t bytes_count, packed_count; /* bytes_count -1: unknown */
    int64_t at;
};

static enum sm_code open_stream(struct sm_source *source, int fd, bool packed, struct sm_err *err)
{
    if (!packed && (source->file = fdopen(fd, "r"))) {
        setvbuf(source->file, NULL, _IOFBF, PIECE_BYTES);
        return SM_OK;
    }
    if (packed && (source->gzip = gzdopen(fd, "r"))) {
        gzbuffer(source->gzip, PIECE_BYTES);
        source->bytes_count = -1;
        return SM_OK;
    }
    close(fd);
    return sm_err_set(err, SM_NOMEM, "out of memory");
}

enum sm_code sm_source_open(struct sm_source **out, const char *path, struct sm_err *err)
{
    struct stat status;
    uint8_t head[2] = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    *out = NULL;
    if (fd < 0)
        return sm_err_set(err, errno == ENOENT ? SM_NOT_FOUND : SM_IO, "%s", strerror(errno));
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
        close(fd);
        return sm_err_set(err, SM_IO, "not a regular file");
    }
    struct sm_source *source = calloc(1, sizeof *source);
    if (!source) {
        close(fd);
        return sm_err_set(err, SM_NOMEM, "out of memory");
    }
    source->bytes_count = source->packed_count = status.st_size;
    bool packed = pread(fd, head, 2, 0) == 2 && head[0] == 0x1f && head[1] == 0x8b;
    enum sm_code code = open_stream(source, fd, packed, err);
    if (code == SM_OK)
        *out = source;
    else
        free(source);
    return code;
}

enum sm_code sm_source_open_entry(struct sm_source **out, struct sm_zip *zip, uint64_t entry,
                                  struct sm_err *err)
{
    struct sm_source *source = calloc(1, sizeof *source);
    uint64_t bytes_count = 0, packed_count = 0;
    *out = NULL;
    if (!source)
        return sm_err_set(err, SM_NOMEM, "out of memory");
    enum sm_code code =
        sm_zip_stream_open(&source->entry, &bytes_count, &packed_count, zip, entry, err);
    if (code == SM_OK && bytes_count > INT64_MAX)
        code = sm_err_set(err, SM_CORRUPT, "zip entry claims %" PRIu64 " bytes", bytes_count);
    source->bytes_count = (int64_t)bytes_count;
    source->packed_count = (int64_t)packed_count; /* at most the file's size (sm_zip_open) */
    if (code == SM_OK)
        code = sm_data_check_unpacked(source->bytes_count, source->packed_count, err);
    if (code == SM_OK)
        *out = source;
    else
        sm_source_close(source);
    return code;
}

void sm_source_close(struct sm_source *source)
{
    if (!source)
        return;
    if (source->file)
        fclose(source->file);
    if (source->gzip)
        gzclose(source->gzip);
    sm_zip_stream_close(source->entry);
    free(source);
}

int64_t sm_source_bytes(const struct sm_source *source)
{
    return source->bytes_count;
}

static enum sm_code read_gzip(size_t *got, struct sm_source *source, void *bytes, size_t count,
                              struct sm_err *err)
{
    int kind = Z_OK, n = gzread(source->gzip, bytes, (unsigned)count);
    const char *text = gzerror(source->gzip, &kind);
    if (n < 0 || (kind != Z_OK && kind != Z_STREAM_END))
        return sm_err_set(err, kind == Z_MEM_ERROR ? SM_NOMEM : SM_CORRUPT,
                          "after %" PRId64 " bytes: gzip: %.100s", source->at, text);
    *got = (size_t)n;
    return sm_data_check_unpacked(source->at + n, source->packed_count, err);
}

/* Reads up to `count` bytes; 0 only at the end. */
static enum sm_code read_some(size_t *got, struct sm_source *source, void *bytes, size_t count,
                              struct sm_err *err)
{
    size_t piece = count < (1u << 30) ? count : 1u << 30;
    enum sm_code code = SM_OK;
    *got = 0;
    if (source->gzip)
        code = read_gzip(got, source, bytes, piece, err);
    else if (source->entry)
        code = sm_zip_stream_read(got, source->entry, bytes, piece, err);
    else if ((*got = fread(bytes, 1, piece, source->file)) == 0 && ferror(source->file))
        code = sm_err_set(err, SM_IO, "%s", strerror(errno));
    if (code == SM_OK)
        source->at += (int64_t)*got;
    return code;
}

enum sm_code sm_source_take(struct sm_source *source, void *bytes, size_t count, struct sm_err *err)
{
    uint8_t *to = bytes;
    int64_t end;
    if (__builtin_add_overflow(source->at, (int64_t)count, &end))
        return sm_err_set(err, SM_CORRUPT, "ends before its images do");
    while (count > 0) {
        size_t got;
        enum sm_code code = read_some(&got, source, to, count, err);
        if (code != SM_OK)
            return code;
        if (got == 0)
            return sm_err_set(err, SM_CORRUPT, "ends at byte %" PRId64 ", %" PRId64 " are needed",
                              source->at, end);
        to += got;
        count -= got;
    }
    return SM_OK;
}

enum sm_code sm_source_skip(struct sm_source *source, int64_t count, struct sm_err *err)
{
    uint8_t piece[PIECE_BYTES];
    if (source->file && count > (int64_t)sizeof piece) {
        if (count > source->bytes_count - source->at)
            return sm_err_set(err, SM_CORRUPT, "ends at byte %" PRId64 ", more are needed",
                              source->bytes_count);
        if (fseeko(source->file, count, SEEK_CUR) != 0)
            return sm_err_set(err, SM_IO, "%s", strerror(errno));
        source->at += count;
        return SM_OK;
    }
    while (count > 0) {
        size_t n = count < (int64_t)sizeof piece ? (size_t)count : sizeof piece;
        enum sm_code code = sm_source_take(source, piece, n, err);
        if (code != SM_OK)
            return code;
        count -= (int64_t)n;
    }
    return SM_OK;
}

enum sm_code sm_source_end(struct sm_source *source, struct sm_err *err)
{
    uint8_t byte;
    size_t got;
    int64_t at = source->at;
    enum sm_code code = read_some(&got, source, &byte, 1, err);
    if (code == SM_OK && got > 0)
        code = sm_err_set(err, SM_CORRUPT, "has bytes after byte %" PRId64 ", where it should end",
                          at);
    return code;
}
