/* Measures and packs pixel features. The packed form rounds means and standard deviations to 1/256
 * of a level and bytes per pixel to a float. */
#include "sslmem/pixels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/image/resize.h"

#define SIDE        32 /* of the image that is hashed */
#define LOW         8  /* side of the block of low frequencies */
#define HEAD_BYTES  94
#define LEVEL_STEPS 256

/* Pillow's convert("L"): ITU-R 601-2 luma in 16-bit fixed point. */
static uint8_t luma(const uint8_t *rgb)
{
    return (uint8_t)((rgb[0] * 19595u + rgb[1] * 38470u + rgb[2] * 7471u + 0x8000u) >> 16);
}

static enum sm_pixels_format format_of(const char *media_type)
{
    if (media_type && strcmp(media_type, "image/jpeg") == 0)
        return SM_PIXELS_JPEG;
    return media_type && strcmp(media_type, "image/png") == 0 ? SM_PIXELS_PNG : SM_PIXELS_RAW;
}

static void measure_channels(struct sm_pixels *out, const struct sm_image *image)
{
    size_t count = (size_t)image->width_px * (size_t)image->height_px;
    uint64_t sum[3] = {0}, squares[3] = {0};
    for (size_t i = 0; i < count; i++)
        for (int c = 0; c < 3; c++) {
            uint64_t v = image->rgb[3 * i + (size_t)c];
            sum[c] += v;
            squares[c] += v * v;
        }
    for (int c = 0; c < 3; c++) {
        double mean = (double)sum[c] / (double)count;
        double variance = (double)squares[c] / (double)count - mean * mean;
        out->mean[c] = mean;
        out->sd[c] = sqrt(fmax(0, variance));
    }
}

bool sm_pixels_has_profiles(const struct sm_pixels *pixels)
{
    return pixels->width_px <= SM_PIXELS_PROFILE_MAX && pixels->height_px <= SM_PIXELS_PROFILE_MAX;
}

static uint8_t rounded_mean(uint32_t sum, uint32_t count)
{
    return (uint8_t)((2 * sum + count) / (2 * count));
}

static void measure_profiles(struct sm_pixels *out, const struct sm_image *image)
{
    uint32_t rows[SM_PIXELS_PROFILE_MAX] = {0}, columns[SM_PIXELS_PROFILE_MAX] = {0};
    int32_t width = image->width_px, height = image->height_px;
    for (int32_t y = 0; y < height; y++)
        for (int32_t x = 0; x < width; x++) {
            uint8_t level = luma(image->rgb + 3 * ((size_t)y * (size_t)width + (size_t)x));
            rows[y] += level;
            columns[x] += level;
        }
    for (int32_t y = 0; y < height; y++)
        out->rows[y] = rounded_mean(rows[y], (uint32_t)width);
    for (int32_t x = 0; x < width; x++)
        out->columns[x] = rounded_mean(columns[x], (uint32_t)height);
}

/* [LOW, SIDE]: the first rows of the orthonormal DCT-II. */
static void make_basis(double basis[LOW][SIDE])
{
    const double pi = acos(-1);
    for (int k = 0; k < LOW; k++)
        for (int i = 0; i < SIDE; i++)
            basis[k][i] = sqrt((k ? 2.0 : 1.0) / SIDE) * cos(pi * k * (2 * i + 1) / (2.0 * SIDE));
}

static void low_frequencies(double out[LOW * LOW], uint8_t level[SIDE][SIDE])
{
    double basis[LOW][SIDE], half[SIDE][LOW] = {{0}};
    make_basis(basis);
    for (int y = 0; y < SIDE; y++)
        for (int k = 0; k < LOW; k++)
            for (int x = 0; x < SIDE; x++)
                half[y][k] += basis[k][x] * level[y][x];
    for (int k = 0; k < LOW * LOW; k++) {
        double sum = 0;
        for (int y = 0; y < SIDE; y++)
            sum += basis[k / LOW][y] * half[y][k % LOW];
        out[k] = rint(sum * 1024) / 1024;
    }
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static uint64_t hash_of(uint8_t level[SIDE][SIDE])
{
    enum { COUNT = LOW * LOW };
    double low[COUNT], sorted[COUNT - 1];
    uint64_t hash = 0;
    low_frequencies(low, level);
    memcpy(sorted, low + 1, sizeof sorted);
    qsort(sorted, COUNT - 1, sizeof *sorted, ascending);
    for (int k = 1; k < COUNT; k++)
        hash |= (uint64_t)(low[k] > sorted[(COUNT - 1) / 2]) << (COUNT - 1 - k);
    return hash;
}

static void measure_small(struct sm_pixels *out, const struct sm_image *small)
{
    enum { CELL = SIDE / SM_PIXELS_GRID };
    uint8_t level[SIDE][SIDE];
    for (int i = 0; i < SIDE * SIDE; i++)
        level[i / SIDE][i % SIDE] = luma(small->rgb + 3 * (size_t)i);
    out->hash = hash_of(level);
    for (int k = 0; k < SM_PIXELS_GRID * SM_PIXELS_GRID; k++) {
        int y = k / SM_PIXELS_GRID * CELL, x = k % SM_PIXELS_GRID * CELL;
        uint32_t sum = 0;
        for (int i = 0; i < CELL * CELL; i++)
            sum += level[y + i / CELL][x + i % CELL];
        out->luminance[k] = rounded_mean(sum, CELL * CELL);
    }
}

enum sm_code sm_pixels_measure(struct sm_pixels *out, const struct sm_image *image,
                               const char *media_type, size_t file_bytes, struct sm_err *err)
{
    struct sm_image small;
    struct sm_resize_to to = {SIDE, SIDE, SM_BILINEAR, NULL};
    *out = (struct sm_pixels){.format = format_of(media_type),
                              .width_px = image->width_px,
                              .height_px = image->height_px};
    enum sm_code code = sm_resize(&small, image, &to, err);
    if (code != SM_OK)
        return code;
    out->bytes_per_pixel = (double)file_bytes / ((double)image->width_px * image->height_px);
    measure_small(out, &small);
    measure_channels(out, image);
    if (sm_pixels_has_profiles(out))
        measure_profiles(out, image);
    sm_image_release(&small);
    return SM_OK;
}

/* --- the packed form --- */

static uint8_t *put(uint8_t *to, uint64_t value, int bytes_count)
{
    for (int i = 0; i < bytes_count; i++)
        *to++ = (uint8_t)(value >> (8 * i));
    return to;
}

static uint64_t get(const uint8_t *from, int bytes_count)
{
    uint64_t value = 0;
    for (int i = 0; i < bytes_count; i++)
        value |= (uint64_t)from[i] << (8 * i);
    return value;
}

static size_t profile_bytes(const struct sm_pixels *pixels)
{
    return sm_pixels_has_profiles(pixels) ? (size_t)pixels->height_px + (size_t)pixels->width_px
                                          : 0;
}

size_t sm_pixels_pack(uint8_t out[SM_PIXELS_BYTES_MAX], const struct sm_pixels *pixels)
{
    float bytes_per_pixel = (float)pixels->bytes_per_pixel;
    uint32_t bits;
    memcpy(&bits, &bytes_per_pixel, sizeof bits);
    uint8_t *to = put(out, SM_PIXELS_VERSION, 1);
    to = put(to, (uint64_t)pixels->format, 1);
    to = put(to, (uint64_t)pixels->width_px, 2);
    to = put(to, (uint64_t)pixels->height_px, 2);
    to = put(to, bits, 4);
    for (int i = 0; i < 6; i++) {
        double level = i < 3 ? pixels->mean[i] : pixels->sd[i - 3];
        to = put(to, (uint64_t)lrint(level * LEVEL_STEPS), 2);
    }
    to = put(to, pixels->hash, 8);
    memcpy(to, pixels->luminance, sizeof pixels->luminance);
    to += sizeof pixels->luminance;
    if (sm_pixels_has_profiles(pixels)) {
        memcpy(to, pixels->rows, (size_t)pixels->height_px);
        memcpy(to + pixels->height_px, pixels->columns, (size_t)pixels->width_px);
    }
    return HEAD_BYTES + profile_bytes(pixels);
}

bool sm_pixels_unpack(struct sm_pixels *out, const void *packed, size_t bytes_count)
{
    const uint8_t *from = packed;
    float bytes_per_pixel;
    *out = (struct sm_pixels){0};
    if (bytes_count < HEAD_BYTES || from[0] != SM_PIXELS_VERSION || from[1] >= SM_PIXELS_FORMATS)
        return false;
    uint32_t bits = (uint32_t)get(from + 6, 4);
    memcpy(&bytes_per_pixel, &bits, sizeof bits);
    *out = (struct sm_pixels){.format = (enum sm_pixels_format)from[1],
                              .width_px = (int32_t)get(from + 2, 2),
                              .height_px = (int32_t)get(from + 4, 2),
                              .bytes_per_pixel = bytes_per_pixel,
                              .hash = get(from + 22, 8)};
    for (int i = 0; i < 6; i++)
        *(i < 3 ? &out->mean[i] : &out->sd[i - 3]) =
            (double)get(from + 10 + 2 * i, 2) / LEVEL_STEPS;
    if (out->width_px < 1 || out->height_px < 1 || !isfinite(bytes_per_pixel) ||
        bytes_per_pixel < 0 || bytes_count != HEAD_BYTES + profile_bytes(out))
        return false;
    memcpy(out->luminance, from + 30, sizeof out->luminance);
    if (sm_pixels_has_profiles(out)) {
        memcpy(out->rows, from + HEAD_BYTES, (size_t)out->height_px);
        memcpy(out->columns, from + HEAD_BYTES + out->height_px, (size_t)out->width_px);
    }
    return true;
}
