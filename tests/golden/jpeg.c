/* Encodes raw 8-bit pixels as JPEG of any kind that libjpeg-turbo writes, for make_image.py, which
 * compiles it: Pillow's encoder knows few of them.
 *
 *     jpeg WIDTH HEIGHT COLOURS [OPTION…] <pixels >file
 *
 * COLOURS: grey, ycc, rgb, cmyk, ycck; pixels have 1, 3, 3, 4, 4 bytes. Options:
 *     sampling=2x1,1x1,1x1  quality=N  restart=N  dct16  arithmetic  progressive  optimize
 *     scans=LIST            of COMPONENTS/SS/SE/AH/AL, such as 0/0/0/0/0:012/1/63/0/0
 *     noadobe nojfif        leave the marker out
 *     notables              leave the Huffman tables out */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#define SCANS_MAX 100

static const struct colours {
    const char *name;
    int channels;
    J_COLOR_SPACE in, stored;
} kinds[] = {
    {"grey", 1, JCS_GRAYSCALE, JCS_GRAYSCALE},
    {"ycc", 3, JCS_RGB, JCS_YCbCr},
    {"rgb", 3, JCS_RGB, JCS_RGB},
    {"cmyk", 4, JCS_CMYK, JCS_CMYK},
    {"ycck", 4, JCS_CMYK, JCS_YCCK},
};

static const struct colours *find_colours(const char *name)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i].name, name) == 0)
            return &kinds[i];
    fprintf(stderr, "no colours %s\n", name);
    exit(2);
}

static void set_sampling(struct jpeg_compress_struct *jpeg, const char *text)
{
    for (int i = 0; i < jpeg->num_components && *text; i++) {
        jpeg->comp_info[i].h_samp_factor = text[0] - '0';
        jpeg->comp_info[i].v_samp_factor = text[2] - '0';
        text += text[3] == ',' ? 4 : 3;
    }
}

static void set_scans(struct jpeg_compress_struct *jpeg, const char *text)
{
    static jpeg_scan_info scans[SCANS_MAX];
    int count = 0;
    for (; *text && count < SCANS_MAX; count++) {
        jpeg_scan_info *scan = &scans[count];
        char *end = NULL;
        int *const numbers[] = {&scan->Ss, &scan->Se, &scan->Ah, &scan->Al};
        while (*text != '/')
            scan->component_index[scan->comps_in_scan++] = *text++ - '0';
        for (int i = 0; i < 4; i++, text = end)
            *numbers[i] = (int)strtol(text + 1, &end, 10);
        text += *text == ':';
    }
    jpeg->scan_info = scans;
    jpeg->num_scans = count;
}

static void forget_tables(struct jpeg_compress_struct *jpeg)
{
    for (int i = 0; i < NUM_HUFF_TBLS; i++) {
        if (jpeg->dc_huff_tbl_ptrs[i])
            jpeg->dc_huff_tbl_ptrs[i]->sent_table = TRUE;
        if (jpeg->ac_huff_tbl_ptrs[i])
            jpeg->ac_huff_tbl_ptrs[i]->sent_table = TRUE;
    }
}

static void set_option(struct jpeg_compress_struct *jpeg, const char *option)
{
    const char *value = strchr(option, '=');
    value = value ? value + 1 : "";
    if (strncmp(option, "sampling=", 9) == 0)
        set_sampling(jpeg, value);
    else if (strncmp(option, "quality=", 8) == 0)
        jpeg_set_quality(jpeg, atoi(value), TRUE);
    else if (strncmp(option, "restart=", 8) == 0)
        jpeg->restart_interval = (unsigned)atoi(value);
    else if (strncmp(option, "scans=", 6) == 0)
        set_scans(jpeg, value);
    else if (strcmp(option, "dct16") == 0)
        jpeg_set_linear_quality(jpeg, 2000, FALSE);
    else if (strcmp(option, "arithmetic") == 0)
        jpeg->arith_code = TRUE;
    else if (strcmp(option, "progressive") == 0)
        jpeg_simple_progression(jpeg);
    else if (strcmp(option, "optimize") == 0)
        jpeg->optimize_coding = TRUE;
    else if (strcmp(option, "noadobe") == 0)
        jpeg->write_Adobe_marker = FALSE;
    else if (strcmp(option, "nojfif") == 0)
        jpeg->write_JFIF_header = FALSE;
}

int main(int argc, char **argv)
{
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    if (argc < 4)
        return 2;
    const struct colours *colours = find_colours(argv[3]);
    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_compress(&jpeg);
    jpeg_stdio_dest(&jpeg, stdout);
    jpeg.image_width = (JDIMENSION)atoi(argv[1]);
    jpeg.image_height = (JDIMENSION)atoi(argv[2]);
    jpeg.input_components = colours->channels;
    jpeg.in_color_space = colours->in;
    jpeg_set_defaults(&jpeg);
    jpeg_set_colorspace(&jpeg, colours->stored);
    jpeg_set_quality(&jpeg, 85, TRUE);
    bool with_tables = true;
    for (int i = 4; i < argc; i++) {
        set_option(&jpeg, argv[i]);
        with_tables = with_tables && strcmp(argv[i], "notables") != 0;
    }
    if (!with_tables)
        forget_tables(&jpeg);
    jpeg_start_compress(&jpeg, with_tables);
    size_t row_bytes = (size_t)jpeg.image_width * (size_t)colours->channels;
    JSAMPROW row = malloc(row_bytes);
    while (jpeg.next_scanline < jpeg.image_height && fread(row, 1, row_bytes, stdin) == row_bytes)
        jpeg_write_scanlines(&jpeg, &row, 1);
    free(row);
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    return 0;
}
