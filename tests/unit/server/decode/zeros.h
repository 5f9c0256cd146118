/* Makes black PNGs of any size in a few bytes, by repeating deflate's longest match. */
#ifndef TESTS_UNIT_SERVER_DECODE_ZEROS_H
#define TESTS_UNIT_SERVER_DECODE_ZEROS_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct zeros {
    uint8_t *bytes;
    size_t count;
    uint32_t bits, bits_count; /* bits of the deflate stream that are not yet in `bytes` */
};

static void zeros_be32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (24 - 8 * i));
}

/* Appends `count` bits, lowest bit first, as deflate packs them. */
static void zeros_bits(struct zeros *z, uint32_t value, uint32_t count)
{
    z->bits |= value << z->bits_count;
    for (z->bits_count += count; z->bits_count >= 8; z->bits_count -= 8, z->bits >>= 8)
        z->bytes[z->count++] = (uint8_t)z->bits;
}

/* Writes the length, type and CRC of the chunk that begins at `begin` and whose data ends at
 * z->count. */
static void zeros_end_chunk(struct zeros *z, size_t begin, const char *type)
{
    uint32_t crc = ~0u;
    zeros_be32(z->bytes + begin, (uint32_t)(z->count - begin - 8));
    memcpy(z->bytes + begin + 4, type, 4);
    for (size_t i = begin + 4; i < z->count; i++) {
        crc ^= z->bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    zeros_be32(z->bytes + z->count, ~crc);
    z->count += 4;
}

/* Returns the bytes of all rows, each with its filter byte. */
static uint64_t zeros_length(uint32_t width, uint32_t height, uint32_t pixel_bytes, int interlaced)
{
    static const uint8_t passes[7][4] = {{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4},
                                         {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}};
    uint64_t length = 0;
    if (!interlaced)
        return (uint64_t)height * ((uint64_t)width * pixel_bytes + 1);
    for (int p = 0; p < 7; p++) {
        uint64_t columns = (width - passes[p][0] + passes[p][2] - 1) / passes[p][2];
        uint64_t rows = (height - passes[p][1] + passes[p][3] - 1) / passes[p][3];
        length += columns == 0 ? 0 : rows * (columns * pixel_bytes + 1);
    }
    return length;
}

/* Makes a PNG. `bits` is 8 or 16, `channels` 1 (grey) or 4 (RGBA); sides above 8 if interlaced. */
static struct zeros zeros_png(uint32_t width, uint32_t height, int bits, int channels,
                              int interlaced)
{
    uint64_t length = zeros_length(width, height, (uint32_t)(bits / 8 * channels), interlaced);
    struct zeros z = {.bytes = calloc(1, length / 150 + 1024)};
    memcpy(z.bytes, "\x89PNG\r\n\x1a\n", 8);
    zeros_be32(z.bytes + 16, width);
    zeros_be32(z.bytes + 20, height);
    z.bytes[24] = (uint8_t)bits;
    z.bytes[25] = channels == 4 ? 6 : 0;
    z.bytes[28] = (uint8_t)interlaced;
    z.count = 29;
    zeros_end_chunk(&z, 8, "IHDR");

    size_t begin = z.count;
    z.count += 8;
    memcpy(z.bytes + z.count, "\x78\x01", 2);
    z.count += 2;
    zeros_bits(&z, 1 | 1 << 1, 3); /* begins the last block, with fixed codes */
    zeros_bits(&z, 0x0c, 8);       /* literal 0; codes are stored from their highest bit */
    uint64_t left = length - 1;
    for (; left >= 258; left -= 258) {
        zeros_bits(&z, 0xa3, 8); /* a match of 258 bytes */
        zeros_bits(&z, 0, 5);    /* at distance 1 */
    }
    for (; left > 0; left--)
        zeros_bits(&z, 0x0c, 8);
    zeros_bits(&z, 0, 7); /* end of the block */
    zeros_bits(&z, 0, (8 - z.bits_count) % 8);
    zeros_be32(z.bytes + z.count, (uint32_t)(length % 65521) << 16 | 1); /* Adler-32 */
    z.count += 4;
    zeros_end_chunk(&z, begin, "IDAT");
    begin = z.count;
    z.count += 8;
    zeros_end_chunk(&z, begin, "IEND");
    return z;
}

#endif
