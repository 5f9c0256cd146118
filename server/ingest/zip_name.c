/* A local header has a signature, fixed fields, the name, and extra fields {id, length, value}. The
 * extra field 0x7075 of Info-ZIP holds {version 1, CRC-32 of the header's own name, the name as
 * UTF-8}. It is valid only if the CRC matches; otherwise another program has renamed the entry. */
#include "server/ingest/zip_name.h"

#include <string.h>
#include <unistd.h>
#include <zlib.h>

#define HEADER_BYTES    30
#define AHEAD_BYTES     64 /* the header begins within so many bytes */
#define UNICODE_PATH_ID 0x7075

static unsigned two(const uint8_t *p)
{
    return p[0] | (unsigned)p[1] << 8;
}

/* Returns the valid name in the extra fields, or else the header's own, and its length. */
static const uint8_t *choose(size_t *count, const uint8_t *name, size_t name_bytes,
                             const uint8_t *extra, size_t extra_bytes)
{
    while (extra_bytes >= 4 && two(extra + 2) <= extra_bytes - 4) {
        const uint8_t *value = extra + 4;
        size_t n = two(extra + 2);
        if (two(extra) == UNICODE_PATH_ID && n > 5 && value[0] == 1 &&
            (two(value + 1) | (unsigned long)two(value + 3) << 16) ==
                crc32(0, name, (unsigned)name_bytes)) {
            *count = n - 5;
            return value + 5;
        }
        extra += 4 + n;
        extra_bytes -= 4 + n;
    }
    *count = name_bytes;
    return name;
}

bool sm_ingest_zip_name(char out[SM_ZIP_NAME_BYTES], int fd, int64_t at)
{
    uint8_t bytes[AHEAD_BYTES + HEADER_BYTES + 2 * UINT16_MAX];
    ssize_t n = pread(fd, bytes, sizeof bytes, at);
    size_t ahead = n > AHEAD_BYTES ? AHEAD_BYTES : n > 0 ? (size_t)n : 0, count;
    const uint8_t *header = memmem(bytes, ahead, "PK\3\4", 4);
    size_t left = !header ? 0 : (size_t)(bytes + n - header);
    if (left < HEADER_BYTES || two(header + 26) > left - HEADER_BYTES ||
        two(header + 28) > left - HEADER_BYTES - two(header + 26))
        return false;
    const uint8_t *own = header + HEADER_BYTES;
    const uint8_t *name =
        choose(&count, own, two(header + 26), own + two(header + 26), two(header + 28));
    if (count >= SM_ZIP_NAME_BYTES)
        count = SM_ZIP_NAME_BYTES - 1;
    memcpy(out, name, count);
    out[count] = '\0';
    return true;
}
