/* JPEG (ITU-T T.81), marker by marker, from SOI to EOI.
 *
 * The walk takes exactly the steps that stb_image takes, and is stricter at each, so nothing
 * reaches the decoder that was not seen here. It refuses what stb_image would decode into garbage
 * or worse:
 *  - Huffman tables of more than 256 symbols, which stb_image 2.27 writes past its tables;
 *  - scans that name a Huffman or quantisation table that no segment has defined;
 *  - components that no scan codes;
 *  - scans whose data cannot hold their blocks: a block takes at least one bit for its DC code and,
 * in sequential mode, one for the end of block, so data shorter than that was cut, and a small file
 * cannot claim a huge picture;
 *  - more scans than any encoder writes, each of which costs a pass over the picture;
 *  - four components without an Adobe marker that says whether they are CMYK or YCCK.
 * Cost: one pass over the bytes. */
#include <string.h>

#include "core/image/container.h"
#include "sslmem/image.h"

#define SCANS_MAX 100

enum {
    M_SOF0 = 0xc0,
    M_SOF2 = 0xc2,
    M_DHT = 0xc4,
    M_JPG = 0xc8,
    M_DAC = 0xcc,
    M_SOF15 = 0xcf,
    M_RST0 = 0xd0,
    M_RST7 = 0xd7,
    M_EOI = 0xd9,
    M_SOS = 0xda,
    M_DQT = 0xdb,
    M_DNL = 0xdc,
    M_DRI = 0xdd,
    M_APP0 = 0xe0,
    M_APP1 = 0xe1,
    M_APP14 = 0xee,
    M_APP15 = 0xef,
    M_COM = 0xfe
};

struct component {
    uint8_t id, h, v, quant;
    bool coded;
};

struct walk {
    const uint8_t *bytes;
    size_t count, at;
    unsigned quant_defined, dc_defined, ac_defined; /* sets of table numbers */
    int components_count, h_max, v_max;
    struct component components[4];
    bool has_frame, progressive;
    int adobe_transform; /* -1: no Adobe marker */
    int scans;
};

/* A segment without its length field. */
struct segment {
    const uint8_t *data;
    size_t count;
};

static enum sm_code truncated(const struct walk *w, struct sm_err *err)
{
    return sm_err_set(err, SM_CORRUPT, "JPEG ends at byte %zu without an end marker", w->count);
}

/* The next marker. Before the frame header stray bytes are skipped, as stb_image does. */
static enum sm_code marker_next(int *marker, struct walk *w, struct sm_err *err)
{
    while (!w->has_frame && w->at < w->count && w->bytes[w->at] != 0xff)
        w->at++;
    if (w->at < w->count && w->bytes[w->at] != 0xff)
        return sm_err_set(err, SM_CORRUPT, "JPEG has 0x%02x at byte %zu where a marker must be",
                          w->bytes[w->at], w->at);
    while (w->at < w->count && w->bytes[w->at] == 0xff)
        w->at++;
    if (w->at >= w->count)
        return truncated(w, err);
    *marker = w->bytes[w->at++];
    return SM_OK;
}

static enum sm_code segment_next(struct segment *s, struct walk *w, int marker, struct sm_err *err)
{
    size_t left = w->count - w->at;
    if (left < 2)
        return truncated(w, err);
    size_t length = sm_be16(w->bytes + w->at);
    if (length < 2 || length > left)
        return sm_err_set(err, SM_CORRUPT,
                          "JPEG segment 0x%02x at byte %zu has %zu bytes, file has %zu",
                          (unsigned)marker, w->at, length, left);
    *s = (struct segment){w->bytes + w->at + 2, length - 2};
    w->at += length;
    return SM_OK;
}

static enum sm_code read_quant(struct walk *w, const struct segment *s, struct sm_err *err)
{
    size_t at = 0;
    while (at < s->count) {
        unsigned precision = s->data[at] >> 4, table = s->data[at] & 15;
        at += precision ? 129 : 65;
        if (precision > 1 || table > 3 || at > s->count)
            return sm_err_set(err, SM_CORRUPT,
                              "JPEG quantisation table %u needs %zu bytes, segment has %zu", table,
                              at, s->count);
        w->quant_defined |= 1u << table;
    }
    return SM_OK;
}

static enum sm_code read_huffman(struct walk *w, const struct segment *s, struct sm_err *err)
{
    size_t at = 0;
    while (at < s->count) {
        unsigned class = s->data[at] >> 4, table = s->data[at] & 15;
        size_t symbols = 0;
        for (size_t i = 1; i <= 16 && at + i < s->count; i++)
            symbols += s->data[at + i];
        at += 17 + symbols;
        if (class > 1 || table > 3 || symbols > 256 || at > s->count)
            return sm_err_set(err, SM_CORRUPT,
                              "JPEG Huffman table %u has %zu symbols, segment %zu bytes", table,
                              symbols, s->count);
        *(class ? &w->ac_defined : &w->dc_defined) |= 1u << table;
    }
    return SM_OK;
}

/* Kinds of frame that we do not decode, in the order of T.81 table B.1. */
static const char *const frame_kinds[16] = {
    [3] = "lossless",
    [5] = "hierarchical",
    [6] = "hierarchical progressive",
    [7] = "hierarchical lossless",
    [9] = "arithmetic coded",
    [10] = "arithmetic coded progressive",
    [11] = "arithmetic coded lossless",
    [13] = "arithmetic coded hierarchical",
    [14] = "arithmetic coded hierarchical progressive",
    [15] = "arithmetic coded hierarchical lossless",
};

static enum sm_code read_components(struct walk *w, const uint8_t *p, struct sm_err *err)
{
    w->h_max = w->v_max = 1;
    for (int i = 0; i < w->components_count; i++, p += 3) {
        struct component *c = &w->components[i];
        *c = (struct component){.id = p[0], .h = p[1] >> 4, .v = p[1] & 15, .quant = p[2]};
        if (c->h < 1 || c->h > 4 || c->v < 1 || c->v > 4 || c->quant > 3)
            return sm_err_set(err, SM_CORRUPT, "JPEG component %d has sampling %dx%d, table %d", i,
                              c->h, c->v, c->quant);
        w->h_max = c->h > w->h_max ? c->h : w->h_max;
        w->v_max = c->v > w->v_max ? c->v : w->v_max;
    }
    return SM_OK;
}

static enum sm_code read_frame(struct sm_container *out, struct walk *w, const struct segment *s,
                               int marker, struct sm_err *err)
{
    const char *kind = frame_kinds[marker - M_SOF0];
    if (kind != NULL)
        return sm_err_set(err, SM_UNSUPPORTED, "JPEG is %s", kind);
    if (w->has_frame)
        return sm_err_set(err, SM_CORRUPT, "JPEG has two frame headers");
    if (s->count < 6 || s->count != 6 + 3 * (size_t)s->data[5])
        return sm_err_set(err, SM_CORRUPT, "JPEG frame header of %zu bytes is broken", s->count);
    if (s->data[0] != 8)
        return sm_err_set(err, SM_UNSUPPORTED, "JPEG has %d bits per sample, only 8 are read",
                          s->data[0]);
    uint32_t height = sm_be16(s->data + 1), width = sm_be16(s->data + 3);
    w->components_count = s->data[5];
    if (height == 0)
        return sm_err_set(err, SM_UNSUPPORTED, "JPEG gives its height after the first scan");
    if (w->components_count != 1 && w->components_count != 3 && w->components_count != 4)
        return sm_err_set(err, SM_UNSUPPORTED, "JPEG has %d components, not 1, 3 or 4",
                          w->components_count);
    enum sm_code code = sm_image_check_size(width, height, err);
    if (code != SM_OK)
        return code;
    w->has_frame = true;
    w->progressive = marker == M_SOF2;
    out->width_px = (int32_t)width;
    out->height_px = (int32_t)height;
    return read_components(w, s->data + 6, err);
}

static int64_t div_up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* Blocks that a scan of these components codes (T.81 A.2): interleaved scans pad to whole MCUs. */
static int64_t scan_blocks(const struct walk *w, const struct sm_container *image,
                           struct component *const *scanned, int scanned_count)
{
    if (scanned_count == 1) {
        int64_t width = div_up((int64_t)image->width_px * scanned[0]->h, w->h_max);
        int64_t height = div_up((int64_t)image->height_px * scanned[0]->v, w->v_max);
        return div_up(width, 8) * div_up(height, 8);
    }
    int64_t blocks = 0;
    for (int i = 0; i < scanned_count; i++)
        blocks += (int64_t)scanned[i]->h * scanned[i]->v;
    return blocks * div_up(image->width_px, 8 * w->h_max) * div_up(image->height_px, 8 * w->v_max);
}

/* Steps over entropy-coded data and returns its length; stands on the marker that ends it. */
static int64_t skip_coded(struct walk *w)
{
    size_t from = w->at;
    while (w->at + 1 < w->count) {
        uint8_t next = w->bytes[w->at + 1];
        bool ends = w->bytes[w->at] == 0xff && next != 0 && next != 0xff &&
                    (next < M_RST0 || next > M_RST7);
        if (ends)
            return (int64_t)(w->at - from);
        w->at++;
    }
    w->at = w->count;
    return (int64_t)(w->at - from);
}

/* Whether every table of a component is there for this scan. */
static enum sm_code check_tables(const struct walk *w, const struct component *c, uint8_t tables,
                                 bool needs_dc, bool needs_ac, struct sm_err *err)
{
    unsigned dc = tables >> 4, ac = tables & 15;
    if (dc > 3 || ac > 3)
        return sm_err_set(err, SM_CORRUPT, "JPEG scan names Huffman tables %u and %u of 4", dc, ac);
    if (needs_dc && (w->dc_defined >> dc & 1) == 0)
        return sm_err_set(err, SM_CORRUPT, "JPEG scan uses DC table %u, which is not defined", dc);
    if (needs_ac && (w->ac_defined >> ac & 1) == 0)
        return sm_err_set(err, SM_CORRUPT, "JPEG scan uses AC table %u, which is not defined", ac);
    if ((w->quant_defined >> c->quant & 1) == 0)
        return sm_err_set(err, SM_CORRUPT,
                          "JPEG component %d uses quantisation table %d, which is not defined",
                          c->id, c->quant);
    return SM_OK;
}

static enum sm_code read_scan(const struct sm_container *image, struct walk *w,
                              const struct segment *s, struct sm_err *err)
{
    struct component *scanned[4];
    int count = s->count > 0 ? s->data[0] : 0;
    if (!w->has_frame || count < 1 || count > w->components_count ||
        s->count != 4 + 2 * (size_t)count)
        return sm_err_set(err, SM_CORRUPT, "JPEG scan of %d components in %zu bytes, frame has %d",
                          count, s->count, w->components_count);
    if (++w->scans > (w->progressive ? SCANS_MAX : w->components_count))
        return sm_err_set(err, SM_LIMIT, "JPEG has more than %d scans", w->scans - 1);
    const uint8_t *spectral = s->data + 1 + 2 * count; /* first, last, high << 4 | low */
    bool dc = !w->progressive || spectral[0] == 0, refines = w->progressive && spectral[2] >> 4;
    for (int i = 0; i < count; i++) {
        int which = 0;
        while (which < w->components_count && w->components[which].id != s->data[1 + 2 * i])
            which++;
        if (which == w->components_count)
            return sm_err_set(err, SM_CORRUPT, "JPEG scan names component %d, frame has none such",
                              s->data[1 + 2 * i]);
        scanned[i] = &w->components[which];
        enum sm_code code = check_tables(w, scanned[i], s->data[2 + 2 * i], dc && !refines,
                                         !w->progressive || !dc, err);
        if (code != SM_OK)
            return code;
        scanned[i]->coded |= dc && !refines;
    }
    int64_t bits_min = scan_blocks(w, image, scanned, count) * (w->progressive ? dc : 2);
    int64_t coded = skip_coded(w);
    if (w->at >= w->count)
        return truncated(w, err);
    if (coded * 8 < bits_min)
        return sm_err_set(err, SM_CORRUPT, "JPEG scan %d has %lld bytes, needs at least %lld",
                          w->scans, (long long)coded, (long long)div_up(bits_min, 8));
    return SM_OK;
}

static void read_app(struct sm_container *out, struct walk *w, const struct segment *s, int marker)
{
    if (marker == M_APP1 && out->exif == NULL && s->count >= 6 &&
        memcmp(s->data, "Exif\0", 6) == 0) {
        out->exif = s->data + 6;
        out->exif_count = s->count - 6;
    }
    if (marker == M_APP14 && s->count >= 12 && memcmp(s->data, "Adobe", 6) == 0)
        w->adobe_transform = s->data[11];
}

static enum sm_code check_end(const struct walk *w, struct sm_err *err)
{
    for (int i = 0; i < w->components_count; i++) {
        if (!w->components[i].coded)
            return sm_err_set(err, SM_CORRUPT, "JPEG component %d of %d is in no scan", i + 1,
                              w->components_count);
    }
    if (!w->has_frame)
        return sm_err_set(err, SM_CORRUPT, "JPEG has no frame header");
    if (w->components_count == 4 && w->adobe_transform != 0 && w->adobe_transform != 2)
        return sm_err_set(err, SM_UNSUPPORTED,
                          "JPEG has 4 components and no Adobe marker that tells CMYK from YCCK");
    return SM_OK;
}

static enum sm_code read_segment(struct sm_container *out, struct walk *w, int marker,
                                 struct sm_err *err)
{
    struct segment s = {0};
    bool known = marker == M_DHT || marker == M_SOS || marker == M_DQT || marker == M_DRI ||
                 marker == M_DNL || marker == M_COM || (marker >= M_APP0 && marker <= M_APP15);
    bool frame = marker >= M_SOF0 && marker <= M_SOF15 && marker != M_DHT && marker != M_JPG &&
                 marker != M_DAC;
    if (!known && !frame)
        return sm_err_set(err, marker == M_DAC ? SM_UNSUPPORTED : SM_CORRUPT,
                          "JPEG marker 0x%02x before byte %zu is %s", (unsigned)marker, w->at,
                          marker == M_DAC ? "arithmetic coding" : "out of place");
    enum sm_code code = segment_next(&s, w, marker, err);
    if (code != SM_OK)
        return code;
    if (frame)
        return read_frame(out, w, &s, marker, err);
    if (marker == M_DQT)
        return read_quant(w, &s, err);
    if (marker == M_DHT)
        return read_huffman(w, &s, err);
    if (marker == M_SOS)
        return read_scan(out, w, &s, err);
    read_app(out, w, &s, marker);
    return SM_OK;
}

enum sm_code sm_jpeg_walk(struct sm_container *out, const uint8_t *bytes, size_t bytes_count,
                          struct sm_err *err)
{
    struct walk w = {.bytes = bytes, .count = bytes_count, .at = 2, .adobe_transform = -1};
    *out = (struct sm_container){0};
    for (;;) {
        int marker = 0;
        enum sm_code code = marker_next(&marker, &w, err);
        if (code != SM_OK)
            return code;
        if (marker == M_EOI)
            return check_end(&w, err);
        code = read_segment(out, &w, marker, err);
        if (code != SM_OK)
            return code;
    }
}
