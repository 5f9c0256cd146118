/* What users give in place of an encoder's checkpoint (tests/golden/make_refusals.py): each is
 * named, with what to do. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/ckpt/refuse.h"
#include "core/names/config.h"
#include "sslmem/encoder.h"

#define FILES   "tests/golden/refusals/"
#define CUT     "; it is cut off: download or copy it again"
#define CONVERT "load it in its framework and save the weights with safetensors or numpy.savez"
#define DCP     "torch.distributed.checkpoint.format_utils.dcp_to_torch_save"
#define JOIN    ": join them in the training code with "
#define AGAIN   ", and save again"
#define REMOVE  "torch.nn.utils.parametrize.remove_parametrizations(layer, \"weight\")"
#define PART    " is one part of a weight under "
#define FIRST   "tensor layer1.0.conv1."
#define MERGE                                                                                      \
    " is of an adapter (LoRA), which is not applied here: merge it, with PEFT by "                 \
    "merge_and_unload(), and save the whole model"

static const struct {
    const char *file;
    enum sm_code code;
    const char *text;
} cases[] = {
    {"cut.pt", SM_CORRUPT, "zip file of 7284 bytes without the directory at its end" CUT},
    {"cut.npz", SM_CORRUPT, "zip file of 200 bytes without the directory at its end" CUT},
    {"cut.safetensors", SM_CORRUPT,
     "tensor layer1.0.bn2.bias ends at byte 7365, file has 7333" CUT},
    {"cut-header.safetensors", SM_CORRUPT, "safetensors header has 1557 bytes, file has 200" CUT},
    {"empty.pt", SM_UNSUPPORTED, "the file is empty: download or copy it again"},
    {"pointer.safetensors", SM_UNSUPPORTED,
     "a git-lfs pointer, not the file: fetch it with `git lfs pull`"},
    {"page.pth", SM_UNSUPPORTED,
     "an HTML page, not the file: download it again, from the link of the file itself"},
    {"model.onnx", SM_UNSUPPORTED,
     "an ONNX graph: save the state_dict in the training code, with torch.save or safetensors"},
    {"variables.data-00000-of-00001", SM_UNSUPPORTED, "a TensorFlow checkpoint's data: " CONVERT},
    {"keras.keras", SM_UNSUPPORTED, "a Keras file: " CONVERT},
    {"config.json", SM_UNSUPPORTED,
     "JSON without a weight_map: neither weights nor an index of shards; give the checkpoint "
     "itself"},
    {"../../fuzz/corpus/kind/gguf", SM_UNSUPPORTED,
     "a GGUF file (llama.cpp): give the safetensors or PyTorch file that it was made from"},
    {"../../fuzz/corpus/kind/pickle", SM_UNSUPPORTED,
     "a pickle that torch.save did not write: load it in Python and save its tensors with "
     "torch.save or safetensors"},
    {"../../fuzz/corpus/kind/gzip", SM_UNSUPPORTED, "a gzip file: unpack it with gunzip"},
    {"model-00001-of-00003.safetensors", SM_UNSUPPORTED,
     "shard 1 of 3, which holds a part of the tensors: give the index beside it, "
     "model.safetensors.index.json"},
    {"pytorch_model-00002-of-00002.bin", SM_UNSUPPORTED,
     "shard 2 of 2, which holds a part of the tensors: give the index beside it, "
     "pytorch_model.bin.index.json"},
    {"dcp/__0_0.distcp", SM_UNSUPPORTED,
     "one part of a distributed checkpoint (DCP): convert its folder: " DCP},
    {"dcp/.metadata", SM_UNSUPPORTED,
     "the metadata of a distributed checkpoint (DCP): convert its folder: " DCP},
    {"dcp", SM_IO, FILES "dcp: a folder, a distributed checkpoint (DCP): convert it with " DCP},
    {"hub", SM_IO, FILES "hub: a folder, give model.safetensors in it"},
    {"sharded", SM_IO, FILES "sharded: a folder, give model.safetensors.index.json in it"},
    {"adapter", SM_IO,
     FILES "adapter: a folder, a PEFT adapter: merge_and_unload() it into its model, save that"},
    {"tensorflow", SM_IO,
     FILES "tensorflow: a folder, weights of TensorFlow: load them there and save them with "
           "safetensors or numpy.savez"},
    {"orbax", SM_IO,
     FILES "orbax: a folder, a checkpoint of Orbax (JAX): load it there and save the weights with "
           "safetensors or numpy.savez"},
    {"unpacked", SM_IO,
     FILES "unpacked: a folder, an unpacked PyTorch file: give the file as it was before"},
    {"nothing", SM_IO, FILES "nothing: a folder that holds no checkpoint; give a file"},
    {"dtensor.pt", SM_UNSUPPORTED,
     "tensor conv1.weight of the encoder cannot be read: a DTensor, of which this file has one "
     "process's part: save its full_tensor()"},
    {"lora.safetensors", SM_UNSUPPORTED,
     "tensor base_model.model.vit.encoder.layer.0.attention.attention.query.lora_A.weight" MERGE},
    {"lora-unmerged.pt", SM_UNSUPPORTED, FIRST "lora_A" MERGE},
    {"group-norm.pt", SM_UNSUPPORTED,
     "bn1 is a GroupNorm, or another norm without running statistics: these are not supported "
     "yet, BatchNorm is"},
    {"weight-norm.pt", SM_UNSUPPORTED,
     FIRST "weight_g" PART "weight norm" JOIN "torch.nn.utils.remove_weight_norm(layer)" AGAIN},
    {"weight-norm-stem.pt", SM_UNSUPPORTED,
     "tensor conv1.weight_g" PART "weight norm" JOIN
     "torch.nn.utils.remove_weight_norm(layer)" AGAIN},
    {"weight-norm-new.pt", SM_UNSUPPORTED,
     FIRST "parametrizations.weight.original0" PART "weight norm" JOIN REMOVE AGAIN},
    {"spectral-norm.pt", SM_UNSUPPORTED,
     FIRST "weight_u" PART "spectral norm" JOIN "torch.nn.utils.remove_spectral_norm(layer)" AGAIN},
    {"spectral-norm-new.pt", SM_UNSUPPORTED,
     FIRST "parametrizations.weight.0._u" PART "spectral norm" JOIN REMOVE AGAIN},
    {"pruned.pt", SM_UNSUPPORTED,
     FIRST "weight_mask" PART "pruning" JOIN
           "torch.nn.utils.prune.remove(layer, \"weight\")" AGAIN},
    /* The files above fail by what they are, not by their few layers: this one has no more. */
    {"plain.pt", SM_NOT_FOUND,
     "tensor layer2.0.conv2.weight is missing, expected with shape [*,*,*,*]"},
};

static void each_is_named_with_what_to_do(void **context)
{
    (void)context;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sm_ckpt *ckpt;
        struct sm_encoder *encoder = NULL;
        struct sm_err err = {0};
        char path[160];
        snprintf(path, sizeof path, FILES "%s", cases[i].file);
        enum sm_code code = sm_ckpt_open(&ckpt, path, &err);
        if (code == SM_OK)
            code = sm_encoder_open(&encoder, ckpt, NULL, "ref", &err);
        sm_ckpt_close(ckpt);
        assert_null(encoder);
        if (code != cases[i].code || strcmp(err.text, cases[i].text) != 0)
            fail_msg("%s: %s: %s", cases[i].file, sm_code_name(code), err.text);
    }
}

/* A preset of another network: both widths, not what its other numbers lead to. */
static void a_wrong_preset_gives_both_widths(void **context)
{
    static const char path[] = "tests/golden/encoders/dino-backbone/pretrain.pth";
    struct sm_encoder_config config = {.preset = "dino-vits16"};
    struct sm_ckpt *ckpt;
    struct sm_encoder *encoder;
    struct sm_err err = {0};
    (void)context;
    assert_int_equal(sm_ckpt_open(&ckpt, path, &err), SM_OK);
    assert_int_equal(sm_encoder_config_complete(&config, path, &err), SM_OK);
    assert_int_equal(sm_encoder_open(&encoder, ckpt, &config, "ref", &err), SM_CONFLICT);
    assert_string_equal(err.text, "preset dino-vits16 is of width 384, the file of width 24");
    sm_ckpt_close(ckpt);
}

/* A folder of so many images is not searched. */
static void a_large_folder_is_not_searched(void **context)
{
    char folder[] = "test_refusals-XXXXXX", path[64];
    struct sm_ckpt *ckpt;
    struct sm_err err = {0};
    (void)context;
    assert_non_null(mkdtemp(folder));
    for (int i = 0; i < SM_FOLDER_ENTRIES_MAX - 1; i++) { /* the last one is over: "." and ".." */
        if (i == SM_FOLDER_ENTRIES_MAX - 2) {
            assert_int_equal(sm_ckpt_open(&ckpt, folder, &err), SM_IO);
            assert_string_equal(err.text + strlen(folder), ": a folder, give 0.pt in it");
        }
        snprintf(path, sizeof path, "%s/%d.%s", folder, i, i ? "png" : "pt");
        assert_int_equal(close(open(path, O_CREAT | O_WRONLY, 0600)), 0);
    }
    assert_int_equal(sm_ckpt_open(&ckpt, folder, &err), SM_IO);
    assert_string_equal(err.text + strlen(folder),
                        ": a folder of more than 4096 entries; give a file");
    for (int i = 0; i < SM_FOLDER_ENTRIES_MAX - 1; i++) {
        snprintf(path, sizeof path, "%s/%d.%s", folder, i, i ? "png" : "pt");
        unlink(path);
    }
    rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_is_named_with_what_to_do),
        cmocka_unit_test(a_wrong_preset_gives_both_widths),
        cmocka_unit_test(a_large_folder_is_not_searched),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
