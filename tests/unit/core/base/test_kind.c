/* Kinds of files: each made file is told apart by its bytes, and no prefix of it crashes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/file.h"
#include "core/base/kind.h"

#define CORPUS  "tests/fuzz/corpus/kind/"
#define CONVERT "load it in its framework and save the weights with safetensors or numpy.savez"
#define AGAIN   "download it again, from the link of the file itself"
#define WEIGHTS "give the file with the encoder's weights"
#define PIXELS  "convert it to PNG or JPEG"
#define IMAGE   "give an image, JPEG or PNG"
#define PACK    "pack it again; taken are tar, zip, tar.gz and tar.zst"
#define UNPACK  "unpack it and give the images in it, JPEG or PNG"
#define IMAGES  "give images: a tar or zip of JPEG and PNG files"

/* A name of NULL: the table does not have it. */
static const struct {
    const char *file, *name;
    const char *advice[SM_WANTED];
} cases[] = {
    {"lfs",
     "a git-lfs pointer, not the file",
     {[SM_WANTED_IMAGE] = "fetch it with `git lfs pull`"}},
    {"html", "an HTML page, not the file", {AGAIN, AGAIN, AGAIN}},
    {"html-mark", "an HTML page, not the file", {AGAIN}},
    {"xml", "an XML document, often a storage server's error", {AGAIN, AGAIN}},
    {"svg", "an SVG drawing", {WEIGHTS, PIXELS, IMAGES}},
    {"gguf",
     "a GGUF file (llama.cpp)",
     {"give the safetensors or PyTorch file that it was made from", IMAGE, IMAGES}},
    {"hdf5", "an HDF5 file (Keras, h5py)", {CONVERT, IMAGE, IMAGES}},
    {"tflite", "a TensorFlow Lite model", {CONVERT}},
    {"savedmodel", "a TensorFlow SavedModel", {CONVERT}},
    {"tf-index", "a TensorFlow checkpoint's index", {CONVERT}},
    {"tf-state", "a TensorFlow checkpoint's state file", {CONVERT}},
    {"onnx",
     "an ONNX graph",
     {"save the state_dict in the training code, with torch.save or safetensors"}},
    {"onnx-plain", "an ONNX graph", {[SM_WANTED_IMAGE] = IMAGE}},
    {"msgpack", "a msgpack file (Flax)", {CONVERT}},
    {"dcp",
     "the metadata of a distributed checkpoint (DCP)",
     {"convert its folder: torch.distributed.checkpoint.format_utils.dcp_to_torch_save"}},
    {"pickle",
     "a pickle that torch.save did not write",
     {"load it in Python and save its tensors with torch.save or safetensors", IMAGE}},
    {"pickle-2", "a pickle that torch.save did not write", {[SM_WANTED_ARCHIVE] = IMAGES}},
    {"gzip", "a gzip file", {"unpack it with gunzip", UNPACK, PACK}},
    {"bzip2", "a bzip2 file", {"unpack it with bunzip2", UNPACK, PACK}},
    {"xz", "an xz file", {"unpack it with unxz", UNPACK, PACK}},
    {"zstd", "a zstd file", {"unpack it with unzstd", UNPACK}},
    {"lz4", "an lz4 file", {"unpack it with unlz4", UNPACK, PACK}},
    {"7z", "a 7z archive", {"unpack it and give the file in it", UNPACK, PACK}},
    {"rar", "a rar archive", {"unpack it and give the file in it", UNPACK, PACK}},
    {"zip", "a zip archive", {[SM_WANTED_IMAGE] = UNPACK}},
    {"tar", "a tar archive", {[SM_WANTED_IMAGE] = UNPACK}},
    {"jpeg", "a JPEG image", {WEIGHTS}},
    {"png", "a PNG image", {WEIGHTS}},
    {"webp", "a WebP image", {WEIGHTS, PIXELS, IMAGES}},
    {"gif", "a GIF image", {WEIGHTS, PIXELS}},
    {"tiff", "a TIFF image", {WEIGHTS, PIXELS}},
    {"tiff-be", "a TIFF image", {WEIGHTS, PIXELS}},
    {"bigtiff", "a BigTIFF image", {WEIGHTS, PIXELS}},
    {"bmp", "a BMP image", {WEIGHTS, PIXELS}},
    {"avif", "an AVIF image", {WEIGHTS, PIXELS}},
    {"avif-mif1", "an AVIF image", {WEIGHTS, PIXELS}},
    {"heic", "a HEIC image", {WEIGHTS, PIXELS}},
    {"jxl", "a JPEG XL image", {WEIGHTS, PIXELS}},
    {"jxl-box", "a JPEG XL image", {WEIGHTS, PIXELS}},
    {"jp2", "a JPEG 2000 image", {WEIGHTS, PIXELS}},
    {"psd", "a Photoshop file", {WEIGHTS, PIXELS}},
    {"dicom", "a DICOM image", {WEIGHTS, PIXELS}},
    {"pdf", "a PDF document", {WEIGHTS, IMAGE, IMAGES}},
    {"video", "a video", {WEIGHTS, IMAGE}},
    {"npy", "a NumPy array", {WEIGHTS, IMAGE}},
    {"parquet", "a Parquet table", {WEIGHTS, IMAGE}},
    {"unknown", NULL, {0}},
    {"unknown-bm", NULL, {0}},
    {"unknown-ftyp", NULL, {0}},
    {"unknown-proto", NULL, {0}},
};
#define CASES (sizeof cases / sizeof *cases)

static void read_case(struct sm_file *out, size_t i)
{
    char path[128];
    struct sm_err err = {0};
    snprintf(path, sizeof path, CORPUS "%s", cases[i].file);
    assert_int_equal(sm_file_map(out, path, 1 << 20, &err), SM_OK);
}

static void each_kind_is_named(void **context)
{
    (void)context;
    for (size_t i = 0; i < CASES; i++) {
        struct sm_file file;
        read_case(&file, i);
        for (enum sm_wanted wanted = 0; wanted < SM_WANTED; wanted++) {
            struct sm_kind kind = {NULL, NULL};
            bool found = sm_kind_find(&kind, file.bytes, file.bytes_count, NULL, wanted);
            if (found != (cases[i].name != NULL))
                fail_msg("%s: %s", cases[i].file, found ? kind.name : "not found");
            if (!found)
                continue;
            assert_string_equal(kind.name, cases[i].name);
            assert_non_null(kind.advice);
            if (cases[i].advice[wanted])
                assert_string_equal(kind.advice, cases[i].advice[wanted]);
            assert_in_range(strlen(kind.name), 1, 50);
            assert_in_range(strlen(kind.advice), 1, 110);
        }
        sm_file_release(&file);
    }
}

/* Exact copies, so that a sanitizer sees the first byte read beyond. */
static void every_prefix_is_looked_at_safely(void **context)
{
    (void)context;
    for (size_t i = 0; i < CASES; i++) {
        struct sm_file file;
        read_case(&file, i);
        for (size_t n = 0; n < file.bytes_count && n < 300; n++) {
            uint8_t *copy = malloc(n ? n : 1);
            struct sm_kind kind;
            memcpy(copy, file.bytes, n);
            (void)sm_kind_find(&kind, copy, n, NULL, SM_WANTED_IMAGE);
            free(copy);
        }
        sm_file_release(&file);
    }
}

/* The name counts only for bytes that tell nothing. */
static void bytes_come_before_the_name(void **context)
{
    struct sm_kind kind;
    (void)context;
    assert_true(sm_kind_find(&kind, "??", 2, "a/b.ONNX", SM_WANTED_CHECKPOINT));
    assert_string_equal(kind.name, "an ONNX graph");
    assert_true(sm_kind_find(&kind, "GIF89a", 6, "b.onnx", SM_WANTED_CHECKPOINT));
    assert_string_equal(kind.name, "a GIF image");
    assert_true(sm_kind_find(&kind, NULL, 0, "__0_0.distcp", SM_WANTED_CHECKPOINT));
    assert_string_equal(kind.name, "one part of a distributed checkpoint (DCP)");
    assert_false(sm_kind_find(&kind, "??", 2, "onnx", SM_WANTED_CHECKPOINT));
    assert_false(sm_kind_find(&kind, NULL, 0, NULL, SM_WANTED_CHECKPOINT));
}

/* Signs beyond the head are not looked for. */
static void the_head_is_a_limit(void **context)
{
    char text[SM_KIND_HEAD_BYTES + 8];
    struct sm_kind kind;
    (void)context;
    for (int over = 0; over < 2; over++) {
        memset(text, ' ', sizeof text);
        memcpy(text + SM_KIND_HEAD_BYTES - strlen("<html") + (size_t)over, "<html", 5);
        assert_int_equal(sm_kind_find(&kind, text, sizeof text, NULL, SM_WANTED_IMAGE), !over);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_is_named),
        cmocka_unit_test(every_prefix_is_looked_at_safely),
        cmocka_unit_test(bytes_come_before_the_name),
        cmocka_unit_test(the_head_is_a_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
