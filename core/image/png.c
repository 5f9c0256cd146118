/* PNG (ISO/IEC 15948), chunk by chunk: signature, IHDR first, critical chunks with a good CRC, one
 * IEND.
 *
 * Beyond wholeness, three things are settled here because stb_image leaves them open: colour type
 * and bit depth must be a pair that the standard knows; an unknown critical chunk is refused before
 * stb_image writes its name into a static buffer shared by all threads; and a palette that is
 * shorter than its pixels can index is reported, so that the decoder can be given a padded copy
 * instead of reading uninitialised entries. Ancillary chunks are skipped unread (eXIf apart) and
 * their CRC is not checked. Cost: one pass over the bytes of critical chunks. */
#include <stdlib.h>
#include <string.h>

#include "core/image/container.h"
#include "sslmem/image.h"

#define SIGNATURE_BYTES 8
#define CHUNK_BYTES     12 /* length, type, CRC */

/* Half-byte table of the CRC of ISO 3309, reflected polynomial 0xedb88320. */
static const uint32_t crc_nibble[16] = {
    0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
    0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};

static uint32_t crc32_of(const uint8_t *bytes, size_t count)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < count; i++) {
        crc ^= bytes[i];
        crc = crc >> 4 ^ crc_nibble[crc & 15];
        crc = crc >> 4 ^ crc_nibble[crc & 15];
    }
    return ~crc;
}

/* Channels of a colour type, and the bit depths that it allows as a set of powers of two. */
static const struct {
    int channels;
    unsigned depths;
} colour_types[7] = {
    [0] = {1, 1 | 2 | 4 | 8 | 16},
    [2] = {3, 8 | 16},
    [3] = {1, 1 | 2 | 4 | 8},
    [4] = {2, 8 | 16},
    [6] = {4, 8 | 16},
};

enum { COLOUR_PALETTE = 3 };

struct chunk {
    const uint8_t *data;
    uint32_t count;
    char name[5];
};

struct walk {
    const uint8_t *bytes;
    size_t count, at;
    int depth, colour;
    bool has_header, has_palette, has_data;
};

/* Reads the chunk at `at` and steps over it. */
static enum sm_code chunk_next(struct chunk *chunk, struct walk *w, struct sm_err *err)
{
    size_t left = w->count - w->at;
    if (left < CHUNK_BYTES)
        return sm_err_set(err, SM_CORRUPT, "PNG ends at byte %zu without an IEND chunk", w->count);
    const uint8_t *p = w->bytes + w->at;
    chunk->count = sm_be32(p);
    memcpy(chunk->name, p + 4, 4);
    chunk->name[4] = '\0';
    for (int i = 0; i < 4; i++) {
        char letter = (char)(chunk->name[i] | 0x20);
        if (letter < 'a' || letter > 'z')
            return sm_err_set(err, SM_CORRUPT, "PNG chunk at byte %zu has no valid name", w->at);
    }
    if (chunk->count > left - CHUNK_BYTES)
        return sm_err_set(err, SM_CORRUPT, "PNG chunk %s at byte %zu has %u bytes, file has %zu",
                          chunk->name, w->at, chunk->count, left - CHUNK_BYTES);
    chunk->data = p + 8;
    bool critical = (p[4] & 0x20) == 0;
    uint32_t stored = sm_be32(chunk->data + chunk->count);
    uint32_t found = critical ? crc32_of(p + 4, (size_t)chunk->count + 4) : stored;
    if (found != stored)
        return sm_err_set(err, SM_CORRUPT, "PNG chunk %s at byte %zu has CRC %08x, data has %08x",
                          chunk->name, w->at, stored, found);
    w->at += (size_t)chunk->count + CHUNK_BYTES;
    return SM_OK;
}

/* Bytes of the filtered rows, an upper bound for interlaced images: seven passes, each with a
 * filter byte and a partly used last byte per row. */
static size_t inflated_size(int64_t width, int64_t height, int bits, bool interlaced)
{
    int64_t row = (width * bits + 7) / 8 + 1;
    return (size_t)(interlaced ? 2 * row * height + 1024 : row * height);
}

static enum sm_code read_ihdr(struct sm_container *out, struct walk *w, const struct chunk *c,
                              struct sm_err *err)
{
    if (w->has_header || c->count != 13)
        return sm_err_set(err, SM_CORRUPT, "PNG has %s",
                          w->has_header ? "two IHDR chunks" : "an IHDR chunk that is not 13 bytes");
    uint32_t width = sm_be32(c->data), height = sm_be32(c->data + 4);
    w->depth = c->data[8];
    w->colour = c->data[9];
    bool known = w->colour < 7 && w->depth <= 16 && (w->depth & (w->depth - 1)) == 0 &&
                 (colour_types[w->colour].depths & (unsigned)w->depth) != 0;
    if (!known)
        return sm_err_set(err, SM_CORRUPT, "PNG colour type %d does not exist with bit depth %d",
                          w->colour, w->depth);
    if (c->data[10] != 0 || c->data[11] != 0 || c->data[12] > 1)
        return sm_err_set(err, SM_UNSUPPORTED, "PNG compression %d, filter %d, interlace %d",
                          c->data[10], c->data[11], c->data[12]);
    enum sm_code code = sm_image_check_size(width, height, err);
    if (code != SM_OK)
        return code;
    w->has_header = true;
    out->width_px = (int32_t)width;
    out->height_px = (int32_t)height;
    out->inflated_bytes =
        inflated_size(width, height, colour_types[w->colour].channels * w->depth, c->data[12] == 1);
    return SM_OK;
}

static enum sm_code read_plte(struct sm_container *out, struct walk *w, const struct chunk *c,
                              struct sm_err *err)
{
    if (w->has_palette || w->has_data || c->count == 0 || c->count % 3 != 0 || c->count > 768)
        return sm_err_set(err, SM_CORRUPT, "PNG palette of %u bytes is %s", c->count,
                          w->has_palette || w->has_data ? "out of place" : "not 1 to 256 colours");
    w->has_palette = true;
    if (w->colour != COLOUR_PALETTE)
        return SM_OK;
    out->palette_offset = (size_t)(c->data - w->bytes) - 8;
    out->palette_entries = (int)(c->count / 3);
    out->palette_reachable = 1 << w->depth;
    return SM_OK;
}

static enum sm_code read_idat(struct sm_container *out, struct walk *w, const struct chunk *c,
                              struct sm_err *err)
{
    (void)out, (void)c;
    if (w->colour == COLOUR_PALETTE && !w->has_palette)
        return sm_err_set(err, SM_CORRUPT, "PNG pixels refer to a palette, file has none");
    w->has_data = true;
    return SM_OK;
}

static enum sm_code read_exif(struct sm_container *out, struct walk *w, const struct chunk *c,
                              struct sm_err *err)
{
    (void)w, (void)err;
    out->exif = c->data;
    out->exif_count = c->count;
    return SM_OK;
}

static const struct {
    char name[5];
    enum sm_code (*read)(struct sm_container *, struct walk *, const struct chunk *,
                         struct sm_err *);
} chunks[] = {{"IHDR", read_ihdr}, {"PLTE", read_plte}, {"IDAT", read_idat}, {"eXIf", read_exif}};

enum sm_code sm_png_walk(struct sm_container *out, const uint8_t *bytes, size_t bytes_count,
                         struct sm_err *err)
{
    struct walk w = {.bytes = bytes, .count = bytes_count, .at = SIGNATURE_BYTES};
    struct chunk chunk;
    *out = (struct sm_container){0};
    for (;;) {
        enum sm_code code = chunk_next(&chunk, &w, err);
        if (code != SM_OK)
            return code;
        if (!w.has_header && strcmp(chunk.name, "IHDR") != 0)
            return sm_err_set(err, SM_CORRUPT, "PNG begins with a %s chunk, not IHDR", chunk.name);
        if (strcmp(chunk.name, "IEND") == 0)
            break;
        size_t i = 0, known = sizeof chunks / sizeof chunks[0];
        while (i < known && strcmp(chunk.name, chunks[i].name) != 0)
            i++;
        if (i == known && (chunk.name[0] & 0x20) == 0)
            return sm_err_set(err, SM_UNSUPPORTED, "PNG critical chunk %s is not known",
                              chunk.name);
        if (i < known && (code = chunks[i].read(out, &w, &chunk, err)) != SM_OK)
            return code;
    }
    if (!w.has_data)
        return sm_err_set(err, SM_CORRUPT, "PNG has no IDAT chunk");
    return SM_OK;
}

uint8_t *sm_png_pad_palette(size_t *padded_count, const struct sm_container *png,
                            const uint8_t *bytes, size_t bytes_count)
{
    size_t had = (size_t)png->palette_entries * 3, has = (size_t)png->palette_reachable * 3;
    size_t head = png->palette_offset + 8 + had;
    uint8_t *padded = calloc(1, bytes_count + has - had);
    if (padded == NULL)
        return NULL;
    memcpy(padded, bytes, head);
    padded[png->palette_offset + 2] = (uint8_t)(has >> 8);
    padded[png->palette_offset + 3] = (uint8_t)has;
    memcpy(padded + head + has - had, bytes + head, bytes_count - head);
    *padded_count = bytes_count + has - had;
    return padded;
}
