/* JPEG, decoded by libjpeg-turbo with its defaults (islow DCT, fancy upsampling), as Pillow and
 * torchvision do. The pixels are those of Pillow's convert("RGB"), bit for bit.
 *
 * Refused files. All that Pillow refuses: libjpeg's errors and files without an end marker. Also
 * two kinds of files in which Pillow shows the missing rows in grey: a scan that ends before its
 * last row (a truncated file with an end marker), and a component that no scan codes. A truncated
 * arithmetic-coded scan is not detected, because encoders may omit zeros at its end.
 *
 * Counted warnings. libjpeg reports other broken data as warnings and invents pixels. Training saw
 * the same pixels, so the file is decoded, and `decoder_warnings` has the number of warnings. A
 * progressive file without some of the coefficients is valid (T.81 does not require all of them).
 *
 * Costs. The size is checked after the frame header, before pixels or coefficients are allocated. A
 * scan costs a pass over the picture even if it has no data; therefore the number of scans and the
 * pixels in all scans are limited. Coefficients stay in memory: libjpeg may use MEMORY_MAX_BYTES,
 * whatever the environment variable JPEGMEM says, and never makes temporary files.
 *
 * libjpeg prints nothing; its messages become the text of the error. After an error it leaves its
 * function only by longjmp to run. One struct owns everything of a decoder. */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>

#include "core/image/container.h"
#include "core/image/exif.h"

#define SCANS_MAX          100 /* no encoder writes more; cjpeg accepts at most as many */
#define SCANNED_PIXELS_MAX (16 * (int64_t)SM_IMAGE_PIXELS_MAX) /* 10 scans per file are usual */
#define ROWS_AT_ONCE       16
#define MEMORY_MAX_BYTES   (512L << 20) /* 40 million pixels have 320 MB of coefficients */
#define EXIF_MARKER        (JPEG_APP0 + 1)
#define EXIF_HEAD_BYTES    6 /* bytes before the TIFF block: "Exif", 0, padding */

struct decoder {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf failed;
    size_t bytes_count;
    struct sm_image image;
    uint8_t *inks; /* [4 * width], one row of CMYK; NULL for other files */
    int warnings;
    enum sm_code code;
    struct sm_err *err;
};

/* --- messages --- */

/* Codes of libjpeg's errors; all others are SM_CORRUPT. */
static const struct {
    int message;
    enum sm_code code;
} codes[] = {
    {JERR_OUT_OF_MEMORY, SM_NOMEM},
    {JERR_NO_BACKING_STORE, SM_LIMIT},
    {JERR_SOF_UNSUPPORTED, SM_UNSUPPORTED},
    {JERR_BAD_PRECISION, SM_UNSUPPORTED},
    {JERR_EMPTY_IMAGE, SM_UNSUPPORTED},
    {JERR_ARITH_NOTIMPL, SM_UNSUPPORTED},
    {JERR_CCIR601_NOTIMPL, SM_UNSUPPORTED},
    {JERR_FRACT_SAMPLE_NOTIMPL, SM_UNSUPPORTED},
    {JERR_CONVERSION_NOTIMPL, SM_UNSUPPORTED},
    {JERR_NOT_COMPILED, SM_UNSUPPORTED},
    {JERR_NOTIMPL, SM_UNSUPPORTED},
};

static enum sm_code code_of(int message)
{
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (codes[i].message == message)
            return codes[i].code;
    return SM_CORRUPT;
}

/* Returns true if the current warning means that a scan ends before its last row. A restart
 * marker is no end, because the scan continues after it. */
static bool is_cut(const struct decoder *d)
{
    int message = d->errors.msg_code;
    int marker = message == JWRN_MUST_RESYNC ? d->errors.msg_parm.i[0] : d->jpeg.unread_marker;
    bool ended = marker < JPEG_RST0 || marker > JPEG_RST0 + 7;
    return (message == JWRN_HIT_MARKER || message == JWRN_MUST_RESYNC) && ended;
}

/* Returns true if the current warning is about data that changes no pixel: an unknown version of
 * JFIF, useless parameters of a sequential scan, or extra bytes after the last row of a scan or
 * outside of scans. */
static bool is_harmless(const struct decoder *d)
{
    int message = d->errors.msg_code;
    if (message == JWRN_EXTRANEOUS_DATA)
        return d->jpeg.input_iMCU_row >= d->jpeg.total_iMCU_rows;
    return message == JWRN_JFIF_MAJOR || message == JWRN_NOT_SEQUENTIAL;
}

_Noreturn static void leave(struct decoder *d, enum sm_code code)
{
    d->code = code;
    longjmp(d->failed, 1);
}

static void on_error(j_common_ptr jpeg)
{
    struct decoder *d = jpeg->client_data;
    char text[JMSG_LENGTH_MAX];
    int message = d->errors.msg_code;
    if (message == JERR_IMAGE_TOO_BIG)
        leave(d, sm_image_check_size(d->jpeg.image_width, d->jpeg.image_height, d->err));
    d->errors.format_message(jpeg, text);
    leave(d, sm_err_set(d->err, code_of(message), "libjpeg: %s", text));
}

static void on_message(j_common_ptr jpeg, int level)
{
    struct decoder *d = jpeg->client_data;
    if (level >= 0 || is_harmless(d))
        return;
    if (d->errors.msg_code == JWRN_JPEG_EOF)
        leave(d, sm_err_set(d->err, SM_CORRUPT, "JPEG ends at byte %zu without an end marker",
                            d->bytes_count));
    if (is_cut(d))
        leave(d, sm_err_set(d->err, SM_CORRUPT, "JPEG scan %d ends before its last row",
                            d->jpeg.input_scan_number));
    d->warnings++;
}

static void print_nothing(j_common_ptr jpeg)
{
    (void)jpeg;
}

static void on_progress(j_common_ptr jpeg)
{
    struct decoder *d = jpeg->client_data;
    if (d->jpeg.input_scan_number > SCANS_MAX)
        leave(d, sm_err_set(d->err, SM_LIMIT, "JPEG has more than %d scans", SCANS_MAX));
    int64_t pixels = (int64_t)d->jpeg.image_width * d->jpeg.image_height;
    if (d->jpeg.input_scan_number * pixels > SCANNED_PIXELS_MAX)
        leave(d, sm_err_set(d->err, SM_LIMIT,
                            "JPEG has %d scans or more of %lld pixels, the limit is %lld pixels in "
                            "all scans",
                            d->jpeg.input_scan_number, (long long)pixels,
                            (long long)SCANNED_PIXELS_MAX));
}

/* --- header --- */

static void read_exif(struct sm_exif *out, const struct decoder *d)
{
    const struct jpeg_marker_struct *marker = d->jpeg.marker_list;
    while (marker &&
           (marker->data_length < EXIF_HEAD_BYTES || memcmp(marker->data, "Exif", 5) != 0))
        marker = marker->next;
    if (marker)
        *out = sm_exif_read(marker->data + EXIF_HEAD_BYTES, marker->data_length - EXIF_HEAD_BYTES);
}

static void read_header(struct decoder *d, const uint8_t *bytes)
{
    jpeg_create_decompress(&d->jpeg);
    d->jpeg.mem->max_memory_to_use = MEMORY_MAX_BYTES;
    d->jpeg.progress = &d->progress;
    jpeg_save_markers(&d->jpeg, EXIF_MARKER, 0xffff);
    jpeg_mem_src(&d->jpeg, bytes, (unsigned long)d->bytes_count);
    jpeg_read_header(&d->jpeg, TRUE);
    int components = d->jpeg.num_components;
    if (components != 1 && components != 3 && components != 4)
        leave(d, sm_err_set(d->err, SM_UNSUPPORTED, "JPEG has %d components, not 1, 3 or 4",
                            components));
    enum sm_code code =
        sm_image_alloc(&d->image, d->jpeg.image_width, d->jpeg.image_height, d->err);
    if (code != SM_OK)
        leave(d, code);
    d->jpeg.out_color_space = components == 4 ? JCS_CMYK : JCS_RGB;
}

/* --- pixels --- */

/* Returns a * b / 255, rounded, for a and b in 0..255. */
static unsigned product_255(unsigned a, unsigned b)
{
    unsigned product = a * b + 128;
    return (product + (product >> 8)) >> 8;
}

/* Converts a row of CMYK as Pillow does. In every file of four components, with or without an Adobe
 * marker, the inks are inverted. With C the inverted ink and K the inverted black:
 * red = K - (255 - C) * K / 255; green and blue likewise. */
static void put_inks(uint8_t *rgb, const uint8_t *inks, size_t width)
{
    for (size_t x = 0; x < width; x++, rgb += 3, inks += 4) {
        unsigned light = inks[3];
        for (int c = 0; c < 3; c++)
            rgb[c] = (uint8_t)(light - product_255(255u - inks[c], light));
    }
}

static void read_inks(struct decoder *d)
{
    size_t width = d->jpeg.output_width;
    d->inks = malloc(4 * width);
    if (!d->inks)
        leave(d, sm_err_set(d->err, SM_NOMEM, "out of memory for a row of %zu pixels", width));
    while (d->jpeg.output_scanline < d->jpeg.output_height) {
        uint8_t *rgb = d->image.rgb + 3 * width * d->jpeg.output_scanline;
        jpeg_read_scanlines(&d->jpeg, &d->inks, 1);
        put_inks(rgb, d->inks, width);
    }
}

static void read_rows(struct decoder *d)
{
    size_t row_bytes = 3 * (size_t)d->jpeg.output_width;
    while (d->jpeg.output_scanline < d->jpeg.output_height) {
        uint8_t *rows[ROWS_AT_ONCE];
        JDIMENSION left = d->jpeg.output_height - d->jpeg.output_scanline;
        JDIMENSION count = left < ROWS_AT_ONCE ? left : ROWS_AT_ONCE;
        for (JDIMENSION i = 0; i < count; i++)
            rows[i] = d->image.rgb + row_bytes * (d->jpeg.output_scanline + i);
        jpeg_read_scanlines(&d->jpeg, rows, count);
    }
}

/* Refuses a file with a component that no scan codes. libjpeg sets a component's quantisation table
 * when a scan codes it. */
static void check_coded(struct decoder *d)
{
    for (int i = 0; i < d->jpeg.num_components; i++)
        if (!d->jpeg.comp_info[i].quant_table)
            leave(d, sm_err_set(d->err, SM_CORRUPT, "JPEG component %d of %d is in no scan", i + 1,
                                d->jpeg.num_components));
}

static void decode(struct decoder *d, struct sm_found *found, const uint8_t *bytes)
{
    read_header(d, bytes);
    read_exif(&found->exif, d); /* now: jpeg_finish_decompress frees the markers */
    jpeg_start_decompress(&d->jpeg);
    check_coded(d);
    if (d->jpeg.out_color_space == JCS_CMYK)
        read_inks(d);
    else
        read_rows(d);
    jpeg_finish_decompress(&d->jpeg);
    found->decoder_warnings = d->warnings;
}

/* A function of its own, because longjmp makes locals of the function with setjmp indeterminate. */
static void run(struct decoder *d, struct sm_found *found, const uint8_t *bytes)
{
    if (setjmp(d->failed) == 0)
        decode(d, found, bytes);
}

enum sm_code sm_jpeg_decode(struct sm_image *out, struct sm_found *found, const uint8_t *bytes,
                            size_t bytes_count, struct sm_err *err)
{
    struct decoder d = {.bytes_count = bytes_count, .err = err};
    d.jpeg.err = jpeg_std_error(&d.errors);
    d.jpeg.client_data = &d;
    d.errors.error_exit = on_error;
    d.errors.emit_message = on_message;
    d.errors.output_message = print_nothing;
    d.progress.progress_monitor = on_progress;
    run(&d, found, bytes);
    jpeg_destroy_decompress(&d.jpeg);
    free(d.inks);
    if (d.code == SM_OK)
        *out = d.image;
    else
        sm_image_release(&d.image);
    return d.code;
}

#define TEXT_OF(macro) TEXT(macro)
#define TEXT(tokens)   #tokens

const char *sm_jpeg_decoder(void)
{
    return "libjpeg-turbo-" TEXT_OF(LIBJPEG_TURBO_VERSION);
}
