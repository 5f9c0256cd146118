/* PNG (ISO/IEC 15948). A walk over the chunks checks the file: IHDR comes first, critical chunks
 * have a correct CRC, there is image data, IEND comes last. The walk neither decodes nor allocates.
 * Then stb_image decodes the file.
 *
 * Pixels are those of Pillow's convert("RGB"): grey of 1, 2 and 4 bits is scaled to 0..255, 16-bit
 * samples are reduced to their high bytes, palettes are expanded, alpha and tRNS are dropped (never
 * blended), gamma and colour profiles are not applied.
 *
 * 16-bit grey is refused, because decoders disagree: Pillow clips it at 255, which makes most such
 * images white; torchvision and OpenCV keep or scale it. A pixel beyond the palette is refused,
 * too: some decoders show it black, others grey.
 *
 * This file handles four cases that stb_image does not. Colour type and bit depth must be a pair of
 * the standard. An unknown critical chunk is refused; stb_image would write its name into a static
 * buffer that all threads share. For a palette shorter than the pixels' bits can index, stb_image
 * gets a copy of the file with a padded palette. For IDAT chunks without bytes, which are legal, it
 * gets a copy without them, because it would copy to a null pointer. Ancillary chunks other than
 * eXIf are skipped, and their CRC is not checked.
 *
 * Cost: one pass over the bytes of critical chunks. Memory: stb_image's buffers (for 16-bit RGBA up
 * to about 24 bytes per pixel) are freed before sm_png_decode returns. */
#include <stdlib.h>
#include <string.h>

#include "core/image/container.h"
#include "core/image/stb.h"
#include "sslmem/image.h"

#define SIGNATURE_BYTES 8
#define DEPTH_OFFSET    24 /* offset of IHDR's bit depth in the file; the colour type follows */
#define CHUNK_BYTES     12 /* bytes of a chunk besides its data: length, type, CRC */

/* Table for the CRC of ISO 3309, 4 bits at a time; reflected polynomial 0xedb88320. */
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

/* For each colour type: its channels, and the sum of its allowed bit depths (powers of two). */
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

enum { COLOUR_GREY = 0, COLOUR_PALETTE = 3 };

struct chunk {
    const uint8_t *data;
    uint32_t count;
    char name[5];
};

struct walk {
    const uint8_t *bytes;
    size_t count, at;
    int depth, colour;
    bool has_header;
    int data_chunks;
    size_t data_bytes;
    /* Results of the walk. */
    int32_t width_px, height_px;
    const uint8_t *exif; /* TIFF block; NULL: the file has none */
    size_t exif_count;
    size_t inflated_bytes;                  /* upper bound of the bytes of the filtered rows */
    int palette_entries, palette_reachable; /* colours in the file; colours that pixels can index */
    bool has_empty_data;                    /* the file has an IDAT chunk without bytes */
};

/* Reads the chunk at w->at, checks its bounds and CRC, and moves w->at to the next chunk. */
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

/* Returns the bytes of the filtered rows. For interlaced images it is an upper bound, because each
 * row of the seven passes has a filter byte and a partly used last byte. */
static size_t inflated_size(int64_t width, int64_t height, int bits, bool interlaced)
{
    int64_t row = (width * bits + 7) / 8 + 1;
    return (size_t)(interlaced ? 2 * row * height + 1024 : row * height);
}

static enum sm_code read_ihdr(struct walk *w, const struct chunk *c, struct sm_err *err)
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
    w->width_px = (int32_t)width;
    w->height_px = (int32_t)height;
    w->inflated_bytes =
        inflated_size(width, height, colour_types[w->colour].channels * w->depth, c->data[12] == 1);
    return SM_OK;
}

static enum sm_code read_plte(struct walk *w, const struct chunk *c, struct sm_err *err)
{
    bool misplaced = w->palette_entries > 0 || w->data_chunks > 0;
    if (misplaced || c->count == 0 || c->count % 3 != 0 || c->count > 768)
        return sm_err_set(err, SM_CORRUPT, "PNG palette of %u bytes is %s", c->count,
                          misplaced ? "out of place" : "not 1 to 256 colours");
    w->palette_entries = (int)(c->count / 3);
    w->palette_reachable = w->colour == COLOUR_PALETTE ? 1 << w->depth : 0;
    return SM_OK;
}

static enum sm_code read_idat(struct walk *w, const struct chunk *c, struct sm_err *err)
{
    if (w->colour == COLOUR_PALETTE && w->palette_entries == 0)
        return sm_err_set(err, SM_CORRUPT, "PNG pixels refer to a palette, file has none");
    w->data_chunks++;
    w->data_bytes += c->count;
    w->has_empty_data |= c->count == 0;
    return SM_OK;
}

static enum sm_code read_exif(struct walk *w, const struct chunk *c, struct sm_err *err)
{
    (void)err;
    w->exif = c->data;
    w->exif_count = c->count;
    return SM_OK;
}

static const struct {
    char name[5];
    enum sm_code (*read)(struct walk *, const struct chunk *, struct sm_err *);
} chunks[] = {{"IHDR", read_ihdr}, {"PLTE", read_plte}, {"IDAT", read_idat}, {"eXIf", read_exif}};

static enum sm_code walk_chunks(struct walk *w, struct sm_err *err)
{
    struct chunk chunk;
    for (;;) {
        enum sm_code code = chunk_next(&chunk, w, err);
        if (code != SM_OK)
            return code;
        if (!w->has_header && strcmp(chunk.name, "IHDR") != 0)
            return sm_err_set(err, SM_CORRUPT, "PNG begins with a %s chunk, not IHDR", chunk.name);
        if (strcmp(chunk.name, "IEND") == 0)
            break;
        size_t i = 0, known = sizeof chunks / sizeof chunks[0];
        while (i < known && strcmp(chunk.name, chunks[i].name) != 0)
            i++;
        if (i == known && (chunk.name[0] & 0x20) == 0)
            return sm_err_set(err, SM_UNSUPPORTED, "PNG critical chunk %s is not known",
                              chunk.name);
        if (i < known && (code = chunks[i].read(w, &chunk, err)) != SM_OK)
            return code;
    }
    if (w->data_bytes == 0)
        return sm_err_set(err, SM_CORRUPT, "PNG has no image data: %d IDAT chunks of 0 bytes",
                          w->data_chunks);
    return SM_OK;
}

enum sm_code sm_png_check_kind(const uint8_t *bytes, size_t bytes_count, struct sm_err *err)
{
    if (bytes_count > DEPTH_OFFSET + 1 && memcmp(bytes + SIGNATURE_BYTES + 4, "IHDR", 4) == 0 &&
        bytes[DEPTH_OFFSET] == 16 && bytes[DEPTH_OFFSET + 1] == COLOUR_GREY)
        return sm_err_set(err, SM_UNSUPPORTED,
                          "PNG is 16-bit grey, which readers clip or scale: save it with 8 bits, "
                          "as your training read it");
    return SM_OK;
}

/* --- the file for stb_image --- */

static uint8_t *put_chunk(uint8_t *to, const char *name, const uint8_t *data, size_t count,
                          size_t padded_count)
{
    for (int i = 0; i < 4; i++)
        to[i] = (uint8_t)(padded_count >> (24 - 8 * i));
    memcpy(to + 4, name, 4);
    memcpy(to + 8, data, count);
    return to + padded_count + CHUNK_BYTES; /* the CRC stays 0: stb_image does not read it */
}

static bool needs_copy(const struct walk *w)
{
    return w->palette_entries < w->palette_reachable || w->has_empty_data;
}

/* Makes a copy of the file without empty IDAT chunks. Pads a short palette and adds a tRNS chunk
 * that gives added entries alpha 0, so that pixels beyond the palette can be found. NULL when out
 * of memory. */
static uint8_t *copy_chunks(size_t *copy_count, const struct walk *walked)
{
    struct walk w = {.bytes = walked->bytes, .count = walked->count, .at = SIGNATURE_BYTES};
    struct chunk c = {0};
    size_t reachable = (size_t)walked->palette_reachable, entries = (size_t)walked->palette_entries;
    bool is_short = entries < reachable;
    uint8_t opaque[256], *copy = calloc(1, w.count + 4 * reachable + CHUNK_BYTES), *to = copy;
    if (!copy)
        return NULL;
    memset(opaque, 255, sizeof opaque);
    memcpy(to, w.bytes, SIGNATURE_BYTES);
    to += SIGNATURE_BYTES;
    while (strcmp(c.name, "IEND") != 0 && chunk_next(&c, &w, NULL) == SM_OK) {
        bool is_palette = strcmp(c.name, "PLTE") == 0;
        if ((strcmp(c.name, "IDAT") == 0 && c.count == 0) ||
            (is_short && strcmp(c.name, "tRNS") == 0))
            continue;
        to = put_chunk(to, c.name, c.data, c.count,
                       is_short && is_palette ? 3 * reachable : c.count);
        if (is_short && is_palette)
            to = put_chunk(to, "tRNS", opaque, entries, reachable);
    }
    *copy_count = (size_t)(to - copy);
    return copy;
}

/* Converts RGBA to RGB; refuses pixels beyond the palette. */
static enum sm_code take_rgb(struct sm_image *out, const struct sm_stb_pixels *pixels,
                             const struct walk *walked, struct sm_err *err)
{
    bool is_short = walked->palette_entries < walked->palette_reachable;
    size_t count = (size_t)pixels->width_px * (size_t)pixels->height_px;
    if (pixels->width_px != walked->width_px || pixels->height_px != walked->height_px)
        return sm_err_set(err, SM_CORRUPT, "PNG of %dx%d pixels was decoded to %dx%d",
                          walked->width_px, walked->height_px, pixels->width_px, pixels->height_px);
    for (size_t i = 0; is_short && i < count; i++)
        if (pixels->rgba[4 * i + 3] == 0)
            return sm_err_set(err, SM_CORRUPT,
                              "PNG pixel %zu has a colour beyond the palette, which has %d", i,
                              walked->palette_entries);
    enum sm_code code = sm_image_alloc(out, pixels->width_px, pixels->height_px, err);
    if (code != SM_OK)
        return code;
    for (size_t i = 0; i < count; i++)
        memcpy(out->rgb + 3 * i, pixels->rgba + 4 * i, 3);
    return SM_OK;
}

/* stb_image doubles its buffers when they are full. Therefore their limit is twice the filtered
 * rows (inflate buffer) or twice the file (collected IDAT chunks), whichever is more. */
enum sm_code sm_png_decode(struct sm_image *out, struct sm_found *found, const uint8_t *bytes,
                           size_t bytes_count, struct sm_err *err)
{
    struct walk w = {.bytes = bytes, .count = bytes_count, .at = SIGNATURE_BYTES};
    struct sm_stb_pixels pixels = {0};
    uint8_t *copy = NULL;
    enum sm_code code = walk_chunks(&w, err);
    if (code != SM_OK)
        return code;
    if (needs_copy(&w)) {
        copy = copy_chunks(&bytes_count, &w);
        if (!copy)
            return sm_err_set(err, SM_NOMEM, "out of memory for a copy of %zu bytes", bytes_count);
        bytes = copy;
    }
    size_t file_room = 2 * bytes_count + 8192, rows_room = 2 * w.inflated_bytes + 65536;
    code = sm_stb_decode(&pixels, bytes, bytes_count, file_room > rows_room ? file_room : rows_room,
                         err);
    if (code == SM_OK)
        code = take_rgb(out, &pixels, &w, err);
    sm_stb_free(&pixels);
    free(copy);
    if (code == SM_OK)
        found->exif = sm_exif_read(w.exif, w.exif_count);
    return code;
}
