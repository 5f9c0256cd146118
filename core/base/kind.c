/* One table. A row recognises a kind by magic bytes, by a test where no magic bytes exist, or by
 * the end of the file's name; the first row that fits the bytes wins, then the first that fits the
 * name. Rows of magic bytes are exact; the tests of formats without them (protocol buffers,
 * msgpack, pickle, text) look for the fields that such a file begins with. */
#include "core/base/kind.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

/* Decides the advice of rows that have none of their own. */
enum group { DOWNLOAD, WEIGHTS, PACKED, IMAGE, DATA, GROUPS };

static const char *const advice[GROUPS][SM_WANTED] = {
    [WEIGHTS] = {[SM_WANTED_IMAGE] = "give an image, JPEG or PNG",
                 [SM_WANTED_ARCHIVE] = "give images: a tar or zip of JPEG and PNG files"},
    [PACKED] = {[SM_WANTED_CHECKPOINT] = "unpack it and give the file in it",
                [SM_WANTED_IMAGE] = "unpack it and give the images in it, JPEG or PNG",
                [SM_WANTED_ARCHIVE] = "pack it again; taken are tar, zip, tar.gz and tar.zst"},
    [IMAGE] = {[SM_WANTED_CHECKPOINT] = "give the file with the encoder's weights",
               [SM_WANTED_IMAGE] = "convert it to PNG or JPEG",
               [SM_WANTED_ARCHIVE] = "give images: a tar or zip of JPEG and PNG files"},
    [DATA] = {[SM_WANTED_CHECKPOINT] = "give the file with the encoder's weights",
              [SM_WANTED_IMAGE] = "give an image, JPEG or PNG",
              [SM_WANTED_ARCHIVE] = "give images: a tar or zip of JPEG and PNG files"},
};

struct bytes {
    const uint8_t *at;
    size_t count;       /* of the head */
    const uint8_t *end; /* the end of the whole file */
};

/* --- tests of kinds without magic bytes --- */

static bool has(const struct bytes *b, size_t at, const char *text)
{
    size_t n = strlen(text);
    return b->count >= n && at <= b->count - n && memcmp(b->at + at, text, n) == 0;
}

static bool holds(const struct bytes *b, const char *text)
{
    return memmem(b->at, b->count, text, strlen(text)) != NULL;
}

/* Returns true if the text, after a byte order mark and blanks, begins with `word` in any case. */
static bool begins(const struct bytes *b, const char *word)
{
    size_t at = has(b, 0, "\xef\xbb\xbf") ? 3 : 0, n = strlen(word);
    while (at < b->count && strchr(" \t\r\n", b->at[at]) && b->at[at] != '\0')
        at++;
    return b->count >= n && at <= b->count - n &&
           strncasecmp((const char *)b->at + at, word, n) == 0;
}

static bool is_html(const struct bytes *b)
{
    return begins(b, "<!doctype html") || begins(b, "<html") || begins(b, "<head");
}

static bool is_svg(const struct bytes *b)
{
    return begins(b, "<svg") || (begins(b, "<?xml") && holds(b, "<svg"));
}

static bool is_xml(const struct bytes *b)
{
    return begins(b, "<?xml");
}

static bool is_lfs(const struct bytes *b)
{
    return begins(b, "version https://git-lfs.github.com/spec/");
}

/* Reads a protocol buffer's number of at most 5 bytes; false if none is at `*at`. */
static bool varint(const struct bytes *b, size_t *at, uint64_t *out)
{
    *out = 0;
    for (unsigned shift = 0; shift < 35 && *at < b->count; shift += 7) {
        uint8_t byte = b->at[(*at)++];
        *out |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return true;
    }
    return false;
}

static bool is_print(const struct bytes *b, size_t at, uint64_t count)
{
    if (count == 0 || at > b->count || count > b->count - at)
        return false;
    for (uint64_t i = 0; i < count; i++)
        if (b->at[at + i] < ' ' || b->at[at + i] > '~')
            return false;
    return true;
}

/* ModelProto: ir_version = 1, then producer_name = 2, graph = 7 or opset_import = 8. */
static bool is_onnx(const struct bytes *b)
{
    size_t at = 3;
    uint64_t count;
    if (b->count < 4 || b->at[0] != 0x08 || b->at[1] == 0 || b->at[1] > 0x3f)
        return false;
    if (b->at[2] == 0x12)
        return varint(b, &at, &count) && is_print(b, at, count);
    return (b->at[2] == 0x3a || b->at[2] == 0x42) && varint(b, &at, &count) && at < b->count &&
           (b->at[at] == 0x0a || b->at[at] == 0x10);
}

/* SavedModel: saved_model_schema_version = 1, then meta_graphs = 2, which begins with field 1. */
static bool is_saved_model(const struct bytes *b)
{
    size_t at = 3;
    uint64_t count;
    return has(b, 0, "\x08\x01\x12") && varint(b, &at, &count) && at < b->count &&
           b->at[at] == 0x0a;
}

/* A table of LevelDB ends with this number; TensorFlow's index of a checkpoint is one. */
static bool is_tf_index(const struct bytes *b)
{
    static const uint8_t magic[8] = {0x57, 0xfb, 0x80, 0x8b, 0x24, 0x75, 0x47, 0xdb};
    return (size_t)(b->end - b->at) >= sizeof magic &&
           memcmp(b->end - sizeof magic, magic, sizeof magic) == 0;
}

/* A map whose first key is a text. */
static bool is_msgpack(const struct bytes *b)
{
    size_t at = 1;
    if (b->count < 8)
        return false;
    if (b->at[0] == 0xde || b->at[0] == 0xdf)
        at += b->at[0] == 0xde ? 2 : 4;
    else if (b->at[0] < 0x81 || b->at[0] > 0x8f)
        return false;
    if (b->at[at] == 0xd9)
        return is_print(b, at + 2, b->at[at + 1]);
    return (b->at[at] & 0xe0) == 0xa0 && is_print(b, at + 1, b->at[at] & 0x1f);
}

static bool is_pickle(const struct bytes *b)
{
    return b->count >= 4 && b->at[0] == 0x80 && b->at[1] >= 2 && b->at[1] <= 5;
}

static bool is_dcp_metadata(const struct bytes *b)
{
    return is_pickle(b) && holds(b, "torch.distributed") && holds(b, "checkpoint.metadata");
}

static bool is_webp(const struct bytes *b)
{
    return has(b, 0, "RIFF") && has(b, 8, "WEBP");
}

/* The file header, then the size of one of the known info headers. */
static bool is_bmp(const struct bytes *b)
{
    static const uint8_t sizes[] = {12, 40, 52, 56, 64, 108, 124};
    return has(b, 0, "BM") && b->count >= 18 && memchr(sizes, b->at[14], sizeof sizes) &&
           b->at[15] == 0 && b->at[16] == 0 && b->at[17] == 0;
}

/* Returns true if one of the brands, four letters each, is among those of the file-type box. */
static bool has_brand(const struct bytes *b, const char *brands)
{
    if (!has(b, 4, "ftyp") || b->count < 16)
        return false;
    size_t box = (size_t)b->at[2] << 8 | b->at[3];
    size_t end = box < b->count ? box : b->count;
    for (size_t at = 8; at + 4 <= end; at += 4)
        for (const char *brand = brands; at != 12 && *brand; brand += 4) /* 12: a version */
            if (memcmp(b->at + at, brand, 4) == 0)
                return true;
    return false;
}

static bool is_avif(const struct bytes *b)
{
    return has_brand(b, "avifavis");
}

static bool is_heic(const struct bytes *b)
{
    return has_brand(b, "heicheixheimheishevchevxmif1msf1");
}

static bool is_video(const struct bytes *b)
{
    return has(b, 4, "ftyp");
}

static bool is_dicom(const struct bytes *b)
{
    return has(b, 128, "DICM");
}

static bool is_tflite(const struct bytes *b)
{
    return has(b, 4, "TFL3");
}

static bool is_tar(const struct bytes *b)
{
    return has(b, 257, "ustar");
}

/* --- the table --- */

#define STATE_DICT "save the state_dict in the training code, with torch.save or safetensors"
#define CONVERT    "load it in its framework and save the weights with safetensors or numpy.savez"
#define DCP        "convert its folder: torch.distributed.checkpoint.format_utils.dcp_to_torch_save"
#define AGAIN      "download it again, from the link of the file itself"
#define M(bytes)   bytes, sizeof(bytes) - 1
#define NONE       NULL, 0

struct row {
    const char *name;
    enum group group;
    const char *magic; /* first bytes; NULL: none */
    size_t magic_count;
    bool (*test)(const struct bytes *); /* NULL: none */
    const char *advice;                 /* for a checkpoint, and for all of DOWNLOAD */
    const char *suffixes;               /* ends of the file's name, each with a blank behind it */
};

static const struct row rows[] = {
    {"a git-lfs pointer, not the file", DOWNLOAD, NONE, is_lfs, "fetch it with `git lfs pull`",
     NULL},
    {"an HTML page, not the file", DOWNLOAD, NONE, is_html, AGAIN, NULL},
    {"an SVG drawing", IMAGE, NONE, is_svg, NULL, NULL},
    {"an XML document, often a storage server's error", DOWNLOAD, NONE, is_xml, AGAIN, NULL},

    {"a GGUF file (llama.cpp)", WEIGHTS, M("GGUF"), NULL,
     "give the safetensors or PyTorch file that it was made from", ".gguf "},
    {"an HDF5 file (Keras, h5py)", WEIGHTS, M("\x89HDF\r\n\x1a\n"), NULL, CONVERT, ".h5 .hdf5 "},
    {"a TensorFlow Lite model", WEIGHTS, NONE, is_tflite, CONVERT, ".tflite "},
    {"a TensorFlow SavedModel", WEIGHTS, NONE, is_saved_model, CONVERT, ".pb "},
    {"a TensorFlow checkpoint's index", WEIGHTS, NONE, is_tf_index, CONVERT, ".ckpt.index "},
    {"a TensorFlow checkpoint's state file", WEIGHTS, M("model_checkpoint_path:"), NULL, CONVERT,
     NULL},
    {"a TensorFlow checkpoint's data", WEIGHTS, NONE, NULL, CONVERT,
     ".data-00000-of-00001 .ckpt.meta "},
    {"an ONNX graph", WEIGHTS, NONE, is_onnx, STATE_DICT, ".onnx "},
    {"a msgpack file (Flax)", WEIGHTS, NONE, is_msgpack, CONVERT, ".msgpack "},
    {"the metadata of a distributed checkpoint (DCP)", WEIGHTS, NONE, is_dcp_metadata, DCP, NULL},
    {"one part of a distributed checkpoint (DCP)", WEIGHTS, NONE, NULL, DCP, ".distcp "},
    {"a pickle that torch.save did not write", WEIGHTS, NONE, is_pickle,
     "load it in Python and save its tensors with torch.save or safetensors", ".pkl .pickle "},

    {"a gzip file", PACKED, M("\x1f\x8b"), NULL, "unpack it with gunzip", ".gz "},
    {"a bzip2 file", PACKED, M("BZh"), NULL, "unpack it with bunzip2", ".bz2 "},
    {"an xz file", PACKED,
     M("\xfd"
       "7zXZ"),
     NULL, "unpack it with unxz", ".xz "},
    {"a zstd file", PACKED, M("\x28\xb5\x2f\xfd"), NULL, "unpack it with unzstd", ".zst "},
    {"an lz4 file", PACKED, M("\x04\x22\x4d\x18"), NULL, "unpack it with unlz4", ".lz4 "},
    {"a 7z archive", PACKED, M("7z\xbc\xaf\x27\x1c"), NULL, NULL, ".7z "},
    {"a rar archive", PACKED, M("Rar!\x1a\x07"), NULL, NULL, ".rar "},
    {"a zip archive", PACKED, M("PK\3\4"), NULL, NULL, NULL},
    {"a tar archive", PACKED, NONE, is_tar, NULL, NULL},

    {"a JPEG image", IMAGE, M("\xff\xd8\xff"), NULL, NULL, NULL},
    {"a PNG image", IMAGE, M("\x89PNG\r\n\x1a\n"), NULL, NULL, NULL},
    {"a WebP image", IMAGE, NONE, is_webp, NULL, NULL},
    {"a GIF image", IMAGE, M("GIF8"), NULL, NULL, NULL},
    {"a TIFF image", IMAGE, M("II*\0"), NULL, NULL, NULL},
    {"a TIFF image", IMAGE, M("MM\0*"), NULL, NULL, NULL},
    {"a BigTIFF image", IMAGE, M("II+\0"), NULL, NULL, NULL},
    {"a BigTIFF image", IMAGE, M("MM\0+"), NULL, NULL, NULL},
    {"an AVIF image", IMAGE, NONE, is_avif, NULL, NULL},
    {"a HEIC image", IMAGE, NONE, is_heic, NULL, NULL},
    {"a BMP image", IMAGE, NONE, is_bmp, NULL, NULL},
    {"a JPEG XL image", IMAGE, M("\xff\x0a"), NULL, NULL, ".jxl "},
    {"a JPEG XL image", IMAGE, M("\0\0\0\x0cJXL \r\n\x87\n"), NULL, NULL, NULL},
    {"a JPEG 2000 image", IMAGE, M("\0\0\0\x0cjP  \r\n\x87\n"), NULL, NULL, NULL},
    {"a Photoshop file", IMAGE, M("8BPS"), NULL, NULL, NULL},
    {"a PDF document", DATA, M("%PDF-"), NULL, NULL, NULL},
    {"a video", DATA, NONE, is_video, NULL, NULL},
    {"a DICOM image", IMAGE, NONE, is_dicom, NULL, ".dcm "},
    {"a NumPy array", DATA, M("\x93NUMPY"), NULL, NULL, NULL},
    {"a Parquet table", DATA, M("PAR1"), NULL, NULL, NULL},
};
#define ROWS (sizeof rows / sizeof *rows)

/* Returns true if the path ends with one of the suffixes, in any case. */
static bool ends(const char *path, const char *suffixes)
{
    size_t length = strlen(path);
    while (suffixes && *suffixes) {
        size_t n = strcspn(suffixes, " ");
        if (length > n && strncasecmp(path + length - n, suffixes, n) == 0)
            return true;
        suffixes += n + 1;
    }
    return false;
}

static bool fits(const struct row *row, const struct bytes *b)
{
    if (row->test)
        return row->test(b);
    return row->magic && b->count >= row->magic_count &&
           memcmp(b->at, row->magic, row->magic_count) == 0;
}

bool sm_kind_find(struct sm_kind *out, const void *bytes, size_t bytes_count, const char *path,
                  enum sm_wanted wanted)
{
    const size_t head = bytes_count < SM_KIND_HEAD_BYTES ? bytes_count : SM_KIND_HEAD_BYTES;
    const uint8_t *first = bytes_count ? bytes : (const uint8_t *)"";
    const struct bytes b = {first, head, first + bytes_count};
    const struct row *found = NULL;
    for (size_t i = 0; i < ROWS && !found; i++)
        if (fits(&rows[i], &b))
            found = &rows[i];
    for (size_t i = 0; i < ROWS && path && !found; i++)
        if (ends(path, rows[i].suffixes))
            found = &rows[i];
    if (!found)
        return false;
    bool own = found->advice && (found->group == DOWNLOAD || wanted == SM_WANTED_CHECKPOINT);
    *out = (struct sm_kind){found->name, own ? found->advice : advice[found->group][wanted]};
    return true;
}
