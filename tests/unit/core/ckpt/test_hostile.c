/* Files made to break a reader: each has its own exact answer, and none crashes, hangs or allocates
 * much. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/file.h"
#include "sslmem/ckpt.h"

#define CORPUS "tests/fuzz/corpus/"
#define CUT    "; it is cut off: download or copy it again"

/* Reads and closes what was opened with `code`: the code and text of the first failure. */
static enum sm_code read_all(struct sm_ckpt *ckpt, enum sm_code code, size_t floats_max,
                             struct sm_err *err)
{
    if (code != SM_OK) {
        assert_null(ckpt);
        return code;
    }
    for (size_t i = 0; code == SM_OK && i < sm_ckpt_count(ckpt); i++) {
        const struct sm_tensor *tensor = sm_ckpt_at(ckpt, i);
        float *out;
        assert_in_range(tensor->count, 0, floats_max);
        out = malloc((size_t)tensor->count * sizeof *out + 1);
        code = sm_ckpt_read(ckpt, tensor, out, err);
        free(out);
    }
    sm_ckpt_close(ckpt);
    return code;
}

static enum sm_code open_and_read(const void *bytes, size_t count, struct sm_err *err)
{
    struct sm_ckpt *ckpt;
    enum sm_code code = sm_ckpt_open_bytes(&ckpt, bytes, count, err);
    return read_all(ckpt, code, count, err);
}

/* A copy of exactly `count` bytes, so that a sanitizer sees the first byte read beyond. */
static void *copy_of(const void *bytes, size_t count)
{
    void *copy = malloc(count == 0 ? 1 : count);
    assert_non_null(copy);
    if (count != 0)
        memcpy(copy, bytes, count);
    return copy;
}

static const struct {
    const char *file;
    enum sm_code code;
    const char *text;
} cases[] = {
    {"torch/byteorder-big.pt", SM_UNSUPPORTED, "byte order is big, must be little"},
    {"torch/crc.pt", SM_CORRUPT, "tensor w: zip entry a/data/0: CRC error"},
    {"torch/memo-far.pt", SM_LIMIT,
     "pickle: LONG_BINPUT at byte 3 writes a memo beyond the stream's size"},
    {"torch/name-bytes.pt", SM_CORRUPT, "the name of tensor w\\xff is not UTF-8 text"},
    {"torch/name-nul.pt", SM_CORRUPT, "the name of tensor w is not UTF-8 text"},
    {"torch/name-twice.pt", SM_CORRUPT, "two tensors are called a.b"},
    {"torch/no-pickle.zip", SM_UNSUPPORTED, "zip file without data.pkl: not a PyTorch file"},
    {"torch/offset-past-end.pt", SM_CORRUPT, "tensor w: zip entry a/data/0: Invalid argument"},
    {"torch/opcode-text.pt", SM_UNSUPPORTED, "pickle: opcode 0x49 at byte 2 is not supported"},
    {"torch/overlap.pt", SM_CORRUPT, "zip entry a/data/0 begins at byte 338, inside a/data/1"},
    {"torch/persistent-odd.pt", SM_UNSUPPORTED, "pickle: a persistent id is not a storage"},
    {"torch/pickle-compressed.pt", SM_UNSUPPORTED,
     "zip entry a/data.pkl is compressed by method 8, must be stored"},
    {"torch/qtensor.pt", SM_UNSUPPORTED, "tensor w: kind _rebuild_qtensor is not supported"},
    {"torch/rank-9.pt", SM_UNSUPPORTED, "tensor w: shape has 9 numbers, limit is 8"},
    {"torch/reduce-storage.pt", SM_UNSUPPORTED,
     "tensor w: made by my.module.make, which is no known function"},
    {"torch/shape-overflows.pt", SM_CORRUPT, "tensor w: the product of its shape overflows"},
    {"torch/shared-bomb.pt", SM_LIMIT,
     "pickle: more than 1048900 steps to walk 81 items: shared values nest"},
    {"torch/side-negative.pt", SM_CORRUPT, "tensor w: shape: number 0 is -1"},
    {"torch/size-claimed.pt", SM_CORRUPT,
     "zip entries up to a/data/0 claim 4294967413 bytes, file has 359"},
    {"torch/size-unequal.pt", SM_CORRUPT,
     "tensor w: zip entry a/data/0 claims 4294967280 bytes, 16 are stored"},
    {"torch/storage-complex.pt", SM_UNSUPPORTED,
     "tensor w: storage type ComplexFloatStorage is not supported"},
    {"torch/storage-compressed.pt", SM_UNSUPPORTED,
     "tensor w: zip entry a/data/0 is compressed by method 8, must be stored"},
    {"torch/storage-huge.pt", SM_CORRUPT,
     "tensor w: storage data/0 has 16 bytes, needs 4611686018427387904 elements of 4"},
    {"torch/storage-missing.pt", SM_CORRUPT, "tensor w: zip entry a/data/0 is missing"},
    {"torch/storage-short.pt", SM_CORRUPT,
     "tensor w: storage data/0 has 15 bytes, needs 4 elements of 4"},
    {"torch/stride-missing.pt", SM_CORRUPT, "tensor w: 2 sides, 1 strides"},
    {"torch/stride-overflows.pt", SM_CORRUPT, "tensor w: its strides overflow"},
    {"torch/view-expands.pt", SM_UNSUPPORTED,
     "tensor w: it expands to 2199023255552 elements, its storage has 4"},
    {"torch/view-past-end.pt", SM_CORRUPT, "tensor w ends at element 5, its storage has 4"},
    {"legacy/byteorder-big.pt", SM_UNSUPPORTED, "byte order is big, must be little"},
    {"legacy/count-huge.pt", SM_CORRUPT,
     "storage 0: 4611686018427387904 elements of 4 from byte 302 on, file has 318" CUT},
    {"legacy/count-lies.pt", SM_CORRUPT, "storage 0 has 5 elements, its tensors say 4"},
    {"legacy/count-negative.pt", SM_CORRUPT, "storage 0 has -1 elements, its tensors say 4"},
    {"legacy/cut-count.pt", SM_CORRUPT, "storage 0: its count is at byte 289, file has 296" CUT},
    {"legacy/cut-data.pt", SM_CORRUPT,
     "storage 0: 4 elements of 4 from byte 297 on, file has 312" CUT},
    {"legacy/cut-keys.pt", SM_CORRUPT, "keys of storages at byte 274: pickle: no STOP in 14 bytes"},
    {"legacy/cut-object.pt", SM_CORRUPT,
     "object at byte 137: pickle: BININT at byte 113 runs past the end"},
    {"legacy/keys-extra.pt", SM_CORRUPT, "storage 1 is used by nothing"},
    {"legacy/keys-missing.pt", SM_CORRUPT, "storage 0 is not in the list of storages"},
    {"legacy/keys-no-list.pt", SM_CORRUPT, "keys of storages are no list"},
    {"legacy/keys-number.pt", SM_CORRUPT, "key 0 of the storages is no text"},
    {"legacy/keys-twice.pt", SM_CORRUPT, "two storages have the key 0"},
    {"legacy/magic-dropped.pt", SM_CORRUPT, "magic number is none"},
    {"legacy/name-twice.pt", SM_CORRUPT, "two tensors are called w"},
    {"legacy/old.tar", SM_UNSUPPORTED,
     "tar archive: if PyTorch before 0.1.10 wrote it, load it and save it again with PyTorch 1.6 "
     "or later; if not, unpack it"},
    {"legacy/part-negative.pt", SM_UNSUPPORTED, "pickle: a persistent id is not a storage"},
    {"legacy/part-past-storage.pt", SM_CORRUPT,
     "part of a storage has 3 elements from 2 on, the storage has 4"},
    {"legacy/part-wraps.pt", SM_CORRUPT,
     "part of a storage has 9223372036854775807 elements from 9223372036854775807 on, the storage "
     "has 4"},
    {"legacy/persistent-odd.pt", SM_UNSUPPORTED, "pickle: a persistent id is not a storage"},
    {"legacy/protocol.pt", SM_UNSUPPORTED, "protocol number is 1002, must be 1001"},
    {"legacy/reduce-storage.pt", SM_UNSUPPORTED,
     "tensor w: made by my.module.make, which is no known function"},
    {"legacy/shape-overflows.pt", SM_CORRUPT, "tensor w: the product of its shape overflows"},
    {"legacy/shared-bomb.pt", SM_LIMIT,
     "pickle: more than 1048900 steps to walk 81 items: shared values nest"},
    {"legacy/side-negative.pt", SM_CORRUPT, "tensor w: shape: number 0 is -1"},
    {"legacy/type-complex.pt", SM_CORRUPT,
     "storage 0: 4 elements of 8 from byte 304 on, file has 320" CUT},
    {"legacy/type-differs.pt", SM_CORRUPT,
     "storage 0 has 4 elements of type f32, and 4 of type i32"},
    {"legacy/type-unknown.pt", SM_UNSUPPORTED,
     "storage type StrangeStorage is not supported, and where the next storage begins is unknown"},
    {"legacy/view-past-end.pt", SM_CORRUPT, "tensor w ends at element 5, its storage has 4"},
    {"legacy/view-past-part.pt", SM_CORRUPT, "tensor w ends at element 4, its storage has 2"},
    {"npz/big-endian.npz", SM_UNSUPPORTED, "tensor w: elements of type >f4 are not supported"},
    {"npz/bytes-wrap.npz", SM_CORRUPT, "tensor w: the product of its shape overflows"},
    {"npz/code.npz", SM_CORRUPT, "tensor w: header is no dict"},
    {"npz/complex.npz", SM_UNSUPPORTED, "tensor w: elements of type <c8 are not supported"},
    {"npz/compressed.npz", SM_UNSUPPORTED,
     "tensor w: zip entry w.npy is compressed by method 8, must be stored: save it with "
     "numpy.savez, not "
     "savez_compressed"},
    {"npz/crc.npz", SM_CORRUPT, "tensor w: zip entry w.npy: CRC error"},
    {"npz/data-long.npz", SM_CORRUPT, "tensor w: has 17 bytes, its shape needs 16"},
    {"npz/data-short.npz", SM_CORRUPT, "tensor w: has 15 bytes, its shape needs 16"},
    {"npz/descr-number.npz", SM_CORRUPT, "tensor w: descr is no short text"},
    {"npz/header-cut.npz", SM_CORRUPT, "tensor w: header ends at byte 10, entry has 9"},
    {"npz/header-long.npz", SM_LIMIT, "tensor w: header has 10061 bytes, limit is 10000"},
    {"npz/header-past-end.npz", SM_CORRUPT, "tensor w: header ends at byte 10011, entry has 88"},
    {"npz/key-missing.npz", SM_CORRUPT, "tensor w: header has no key fortran_order"},
    {"npz/key-twice.npz", SM_CORRUPT, "tensor w: header has two keys descr"},
    {"npz/key-unknown.npz", SM_CORRUPT, "tensor w: header has an unknown key evil"},
    {"npz/magic.npz", SM_CORRUPT, "tensor w: not an array of NumPy"},
    {"npz/name-bytes.npz", SM_CORRUPT, "zip entry w\\xff.npy: its name is not UTF-8 text"},
    {"npz/name-long.npz", SM_LIMIT,
     "zip entry "
     "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"
     "nnn...: name of 517 bytes, limit is 516"},
    {"npz/name-twice.npz", SM_CORRUPT, "zip entries 0 and 1 are both named w.npy"},
    {"npz/no-dict.npz", SM_CORRUPT, "tensor w: header is no dict"},
    {"npz/object.npz", SM_UNSUPPORTED, "tensor w: elements of type |O are not supported"},
    {"npz/order-number.npz", SM_CORRUPT, "tensor w: fortran_order is neither True nor False"},
    {"npz/other-entry.npz", SM_UNSUPPORTED, "zip entry readme is no .npy"},
    {"npz/rank-9.npz", SM_UNSUPPORTED, "tensor w: rank is over 8"},
    {"npz/shape-number.npz", SM_CORRUPT, "tensor w: shape is no tuple"},
    {"npz/shape-one.npz", SM_CORRUPT, "tensor w: shape is no tuple"},
    {"npz/shape-sum.npz", SM_CORRUPT, "tensor w: shape is no tuple"},
    {"npz/shape-unclosed.npz", SM_CORRUPT, "tensor w: shape: number 1 is no integer"},
    {"npz/shape-wraps.npz", SM_CORRUPT, "tensor w: the product of its shape overflows"},
    {"npz/side-huge.npz", SM_CORRUPT, "tensor w: shape: number 0 is no integer"},
    {"npz/side-negative.npz", SM_CORRUPT, "tensor w: side 0 of its shape is -2"},
    {"npz/structured.npz", SM_UNSUPPORTED, "tensor w: structured elements are not supported"},
    {"npz/tail.npz", SM_CORRUPT, "tensor w: header has 6 bytes behind its dict"},
    {"npz/unclosed.npz", SM_CORRUPT, "tensor w: descr is no short text"},
    {"npz/version-4.npz", SM_UNSUPPORTED, "tensor w: version is 4.0, must be 1 to 3"},
    {"safetensors/end-past-file.safetensors", SM_CORRUPT,
     "tensor w ends at byte 70, file has 66" CUT},
    {"safetensors/gap.safetensors", SM_CORRUPT,
     "tensor v begins at byte 124, the data before it ends at 120"},
    {"safetensors/header-huge.safetensors", SM_CORRUPT,
     "safetensors header has 9223372036854775813 bytes, file has 15"},
    {"safetensors/name-twice.safetensors", SM_CORRUPT,
     "safetensors header: JSON at line 1 column 57: duplicate object key near '\"w\"'"},
    {"safetensors/overlap.safetensors", SM_CORRUPT, "tensor v begins at byte 120, inside tensor w"},
    {"safetensors/shape-overflows.safetensors", SM_CORRUPT,
     "tensor w: the product of its shape overflows"},
    {"safetensors/side-negative.safetensors", SM_CORRUPT, "tensor w: side 0 of its shape is -2"},
    {"index/cut.json", SM_CORRUPT,
     "index of shards: JSON at line 1 column 27: premature end of input near '\"a.saf'"},
    {"index/deep.json", SM_LIMIT, "index of shards: JSON is 10 levels deep, limit is 8"},
    {"index/file-absolute.json", SM_CORRUPT,
     "tensor w: shard /etc/passwd is no file of the index's folder"},
    {"index/file-backslash.json", SM_CORRUPT,
     "tensor w: shard ..\\a.safetensors is no file of the index's folder"},
    {"index/file-dots.json", SM_CORRUPT, "tensor w: shard .. is no file of the index's folder"},
    {"index/file-long.json", SM_LIMIT, "tensor w: shard's name has 256 bytes, limit is 255"},
    {"index/file-nameless.json", SM_CORRUPT, "tensor w: shard  is no file of the index's folder"},
    {"index/file-number.json", SM_CORRUPT, "tensor w: its shard is no text"},
    {"index/file-separator.json", SM_CORRUPT,
     "tensor w: shard ../index/a.safetensors is no file of the index's folder"},
    {"index/in-index.json", SM_UNSUPPORTED,
     "shard ok.json: an index of shards has its tensors in other files: open it by its path"},
    {"index/many-shards.json", SM_LIMIT, "weight_map has 257 shards, limit is 256"},
    {"index/map-list.json", SM_UNSUPPORTED,
     "JSON without a weight_map: neither weights nor an index of shards; give the checkpoint "
     "itself"},
    {"index/name-twice.json", SM_CORRUPT,
     "index of shards: JSON at line 1 column 41: duplicate object key near '\"w\"'"},
    {"index/no-map.json", SM_UNSUPPORTED,
     "JSON without a weight_map: neither weights nor an index of shards; give the checkpoint "
     "itself"},
    {"index/other-shard.json", SM_CORRUPT,
     "tensor b of shard a.safetensors is not in the index, or in another shard"},
    {"index/shard-broken.json", SM_CORRUPT,
     "shard c.safetensors: tensor v ends at byte 72, file has 71" CUT},
    {"index/shard-missing.json", SM_NOT_FOUND,
     "shard absent.safetensors: tests/fuzz/corpus/index/absent.safetensors: No such file or "
     "directory"},
    {"index/unknown-tensor.json", SM_CORRUPT, "tensor x is not in its shard b.safetensors"},
    {"index/unlisted-tensor.json", SM_CORRUPT,
     "tensor b of shard a.safetensors is not in the index, or in another shard"},
};

static void map(struct sm_file *file, const char *name)
{
    char path[256];
    snprintf(path, sizeof path, CORPUS "%s", name);
    assert_int_equal(sm_file_map(file, path, SM_CKPT_BYTES_MAX, NULL), SM_OK);
}

static void each_has_its_answer(void **context)
{
    (void)context;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sm_err err = {0};
        struct sm_file file;
        enum sm_code code;
        map(&file, cases[i].file);
        if (strncmp(cases[i].file, "index/", 6) == 0) {
            char path[256];
            struct sm_ckpt *ckpt;
            snprintf(path, sizeof path, CORPUS "%s", cases[i].file);
            code = sm_ckpt_open(&ckpt, path, &err);
            code = read_all(ckpt, code, 8, &err);
        } else {
            void *copy = copy_of(file.bytes, file.bytes_count);
            code = open_and_read(copy, file.bytes_count, &err);
            free(copy);
        }
        sm_file_release(&file);
        if (code != cases[i].code || err.code != code || strcmp(err.text, cases[i].text) != 0)
            fail_msg("%s: %s: %s", cases[i].file, sm_code_name(code), err.text);
    }
}

/* Bytes have no folder, so the files that an index names are out of reach; what is wrong with the
 * index itself is said first. */
static void an_index_needs_its_path(void **context)
{
    struct sm_err err = {0};
    struct sm_file file;
    (void)context;
    map(&file, "index/ok.json");
    assert_int_equal(open_and_read(file.bytes, file.bytes_count, &err), SM_UNSUPPORTED);
    assert_string_equal(err.text,
                        "an index of shards has its tensors in other files: open it by its path");
    sm_file_release(&file);
}

/* Texts that say where in a long name or nesting they are: code and beginning are enough. */
static void depth_and_length_are_limited(void **context)
{
    struct sm_err err = {0};
    struct sm_file file;
    (void)context;
    map(&file, "torch/deep.pt");
    assert_int_equal(open_and_read(file.bytes, file.bytes_count, &err), SM_LIMIT);
    assert_non_null(strstr(err.text, " nests deeper than 64 levels"));
    sm_file_release(&file);
    map(&file, "legacy/deep.pt");
    assert_int_equal(open_and_read(file.bytes, file.bytes_count, &err), SM_LIMIT);
    assert_non_null(strstr(err.text, " nests deeper than 64 levels"));
    sm_file_release(&file);
    map(&file, "torch/name-long.pt");
    assert_int_equal(open_and_read(file.bytes, file.bytes_count, &err), SM_LIMIT);
    assert_memory_equal(err.text, "pickle: a name has 513 bytes, limit is 512: nnn", 47);
    sm_file_release(&file);
}

/* A call of os.system, a dict inside itself and protocol 4 change nothing about the tensor beside
 * them. */
static void inert_values_are_passed_over(void **context)
{
    static const char *const files[] = {
        "torch/ok.pt",          "torch/ok-system.pt", "torch/ok-self.pt",  "torch/ok-protocol4.pt",
        "torch/script.pt",      "legacy/ok.pt",       "legacy/ok-cuda.pt", "legacy/ok-system.pt",
        "legacy/ok-python2.pt", "npz/ok.npz",         "npz/ok-python2.npz"};
    (void)context;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        const float wanted[4] = {1, 2, 3, 4};
        const struct sm_tensor *tensor;
        struct sm_ckpt *ckpt;
        struct sm_file file;
        float out[4];
        map(&file, files[i]);
        assert_int_equal(sm_ckpt_open_bytes(&ckpt, file.bytes, file.bytes_count, NULL), SM_OK);
        assert_int_equal(sm_ckpt_count(ckpt), 1);
        tensor = sm_ckpt_find(ckpt, "w");
        assert_non_null(tensor);
        assert_int_equal(sm_ckpt_read(ckpt, tensor, out, NULL), SM_OK);
        assert_memory_equal(out, wanted, sizeof out);
        sm_ckpt_close(ckpt);
        sm_file_release(&file);
    }
}

static const char *const mutated[] = {"torch/ok.pt",  "torch/ok-self.pt",
                                      "legacy/ok.pt", "legacy/ok-part.pt",
                                      "npz/ok.npz",   "safetensors/ok.safetensors"};

static void no_prefix_opens(void **context)
{
    (void)context;
    for (size_t f = 0; f < sizeof mutated / sizeof mutated[0]; f++) {
        struct sm_file file;
        map(&file, mutated[f]);
        for (size_t count = 0; count < file.bytes_count; count++) {
            void *prefix = copy_of(file.bytes, count);
            struct sm_err err = {0};
            assert_int_not_equal(open_and_read(prefix, count, &err), SM_OK);
            assert_int_not_equal(err.text[0], '\0');
            free(prefix);
        }
        sm_file_release(&file);
    }
}

/* Every byte of a good file set to each of a few values: an answer, whatever it is. */
static void no_changed_byte_crashes(void **context)
{
    static const uint8_t patterns[] = {0x01, 0x80, 0xff};
    (void)context;
    for (size_t f = 0; f < sizeof mutated / sizeof mutated[0]; f++) {
        struct sm_file file;
        map(&file, mutated[f]);
        for (size_t i = 0; i < file.bytes_count * sizeof patterns; i++) {
            uint8_t *copy = copy_of(file.bytes, file.bytes_count);
            struct sm_err err = {0};
            copy[i / sizeof patterns] ^= patterns[i % sizeof patterns];
            if (open_and_read(copy, file.bytes_count, &err) != SM_OK)
                assert_int_not_equal(err.text[0], '\0');
            free(copy);
        }
        sm_file_release(&file);
    }
}

/* A folder of shards may hold one; opening it for reading would wait for a writer. */
static void a_fifo_is_no_file(void **context)
{
    static const char path[] = "test_hostile.fifo";
    struct sm_err err = {0};
    struct sm_ckpt *ckpt;
    enum sm_code code;
    (void)context;
    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    code = sm_ckpt_open(&ckpt, path, &err);
    unlink(path);
    assert_int_equal(code, SM_IO);
    assert_string_equal(err.text, "test_hostile.fifo: not a regular file");
}

static void what_is_no_checkpoint_is_refused(void **context)
{
    struct sm_err err = {0};
    (void)context;
    assert_int_equal(open_and_read("no weights..", 12, &err), SM_UNSUPPORTED);
    assert_string_equal(
        err.text,
        "12 bytes that are no checkpoint: not safetensors, PyTorch, npz or an index of shards");
    assert_int_equal(open_and_read(NULL, 0, &err), SM_UNSUPPORTED);
    struct sm_ckpt *ckpt = (struct sm_ckpt *)&err;
    assert_int_equal(sm_ckpt_open(&ckpt, CORPUS "absent.pt", &err), SM_NOT_FOUND);
    assert_null(ckpt);
    sm_ckpt_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_has_its_answer),
        cmocka_unit_test(an_index_needs_its_path),
        cmocka_unit_test(depth_and_length_are_limited),
        cmocka_unit_test(inert_values_are_passed_over),
        cmocka_unit_test(no_prefix_opens),
        cmocka_unit_test(no_changed_byte_crashes),
        cmocka_unit_test(a_fifo_is_no_file),
        cmocka_unit_test(what_is_no_checkpoint_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
