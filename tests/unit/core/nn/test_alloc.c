/* Opening an encoder of each kind and planning its workspace, with every allocation failing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>
#include <stdio.h>

#include "sslmem/encoder.h"
#include "tests/unit/alloc.h"

static enum sm_code open_encoder(double *result, void *path, struct sm_err *err)
{
    static const char *const taps[] = {"tokens", "pooled", "block.0"};
    struct sm_encoder_config config = {0};
    struct sm_ckpt *ckpt = NULL;
    struct sm_encoder *encoder = NULL;
    struct sm_workspace *ws = NULL;
    enum sm_code code = sm_encoder_config_complete(&config, path, err);
    if (code == SM_OK)
        code = sm_ckpt_open(&ckpt, path, err);
    if (code == SM_OK)
        code = sm_encoder_open(&encoder, ckpt, &config, "blas", err);
    if (code == SM_OK)
        code = sm_workspace_new(&ws, encoder, 2, taps, 3, err);
    *result = code == SM_OK ? (double)sm_encoder_info(encoder)->parameters : 0;
    sm_workspace_free(ws);
    sm_encoder_close(encoder);
    sm_ckpt_close(ckpt);
    return code;
}

static void each_kind_survives(void **state)
{
    static const char *const paths[] = {
        "encoders/clip-resnet/model.pt",
        "encoders/dinov3-convnext/pretrain.pth",
        "encoders/dinov3-plus/pretrain.pth",
        "encoders/hf-dinov2-swiglu/model.safetensors",
        "encoders/hf-siglip/model.safetensors",
        "encoders/ibot-meanpool/checkpoint_teacher.pth",
        "encoders/mocov3-conv/checkpoint_0299.pth.tar",
        "encoders/openclip-variants/open_clip_model.safetensors",
        "encoders/resnet-sololearn-cifar/byol-cifar10-ep=999.ckpt",
        "encoders/timm-dinov2-reg-interp/model.safetensors",
        "nn/big-vision/checkpoint.npz",
    };
    (void)state;
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        char path[128];
        snprintf(path, sizeof path, "tests/golden/%s", paths[i]);
        assert_true(every_allocation_may_fail(open_encoder, path, path) > 50);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_kind_survives)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
