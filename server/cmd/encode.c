/* `sslmem encode`: runs one encoder on prepared input and writes the chosen taps, for comparing
 * layer by layer with another implementation. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/cmd/cmd.h"

#define TAPS_MAX 64

struct encoding {
    struct sm_encoder *encoder;
    struct sm_workspace *workspace;
    float *x; /* [n, 3, h, w] */
    int64_t n, h, w;
    char *names; /* copy of the --tap text, cut at its commas; `taps` points into it */
    const char *taps[TAPS_MAX];
    struct sm_tensor_out out[TAPS_MAX];
    float *data[TAPS_MAX]; /* [n, rows, dim] each */
    size_t taps_count;
};

static enum sm_code split_taps(struct encoding *e, const char *text, struct sm_err *err)
{
    e->names = strdup(text);
    if (!e->names)
        return sm_err_set(err, SM_NOMEM, "tap names");
    char *save = NULL;
    for (char *name = strtok_r(e->names, ",", &save); name; name = strtok_r(NULL, ",", &save)) {
        if (e->taps_count == TAPS_MAX)
            return sm_err_set(err, SM_LIMIT, "more than %d taps", TAPS_MAX);
        e->taps[e->taps_count++] = name;
    }
    return e->taps_count ? SM_OK : sm_err_set(err, SM_INVALID, "--tap names nothing");
}

/* Reads the input: the only tensor of the file, or the one called "x". */
static enum sm_code read_input(struct encoding *e, const char *path, struct sm_err *err)
{
    struct sm_ckpt *ckpt;
    enum sm_code code = sm_ckpt_open(&ckpt, path, err);
    if (code != SM_OK)
        return code;
    const struct sm_tensor *t =
        sm_ckpt_count(ckpt) == 1 ? sm_ckpt_at(ckpt, 0) : sm_ckpt_find(ckpt, "x");
    if (!t)
        code = sm_err_set(err, SM_NOT_FOUND, "%s: %zu tensors and none is called \"x\"", path,
                          sm_ckpt_count(ckpt));
    else if (t->rank != 4 || t->shape[1] != 3 || t->count == 0 || t->shape[2] > INT32_MAX ||
             t->shape[3] > INT32_MAX)
        code = sm_err_set(err, SM_INVALID, "%s: tensor %s must have shape [n, 3, height, width]",
                          path, t->name);
    else if (!(e->x = malloc((size_t)t->count * sizeof *e->x)))
        code = sm_err_set(err, SM_NOMEM, "%s: %lld floats", path, (long long)t->count);
    else
        code = sm_ckpt_read(ckpt, t, e->x, err);
    if (code == SM_OK) {
        e->n = t->shape[0];
        e->h = t->shape[2];
        e->w = t->shape[3];
    }
    sm_ckpt_close(ckpt);
    return code;
}

/* Opens the encoder for the input's size. */
static enum sm_code open_encoder(struct encoding *e, const char *path,
                                 struct sm_encoder_config *config, const char *kernels,
                                 struct sm_err *err)
{
    struct sm_ckpt *ckpt;
    config->input_h_px = (int32_t)e->h;
    config->input_w_px = (int32_t)e->w;
    enum sm_code code = sm_ckpt_open(&ckpt, path, err);
    if (code == SM_OK)
        code = sm_encoder_open(&e->encoder, ckpt, config, kernels, err);
    sm_ckpt_close(ckpt);
    return code;
}

static enum sm_code prepare_outputs(struct encoding *e, int n_max, struct sm_err *err)
{
    enum sm_code code =
        sm_workspace_new(&e->workspace, e->encoder, n_max, e->taps, e->taps_count, err);
    for (size_t i = 0; code == SM_OK && i < e->taps_count; i++) {
        struct sm_tap tap;
        code = sm_encoder_tap_shape(&tap, e->encoder, e->taps[i], err);
        if (code != SM_OK)
            break;
        e->data[i] = calloc((size_t)e->n * (size_t)tap.rows * (size_t)tap.dim, sizeof(float));
        if (!e->data[i])
            code = sm_err_set(err, SM_NOMEM, "tap %s of %lld images", e->taps[i], (long long)e->n);
        e->out[i] = (struct sm_tensor_out){
            .name = e->taps[i], .rank = 3, .shape = {e->n, tap.rows, tap.dim}, .data = e->data[i]};
    }
    return code;
}

static enum sm_code forward(struct encoding *e, int n_max, struct sm_err *err)
{
    size_t step = (size_t)(3 * e->h * e->w);
    for (int64_t at = 0; at < e->n; at += n_max) {
        int n = e->n - at < n_max ? (int)(e->n - at) : n_max;
        sm_encoder_forward(e->encoder, e->workspace, e->x + (size_t)at * step, n);
        for (size_t i = 0; i < e->taps_count; i++) {
            struct sm_tap tap;
            enum sm_code code = sm_encoder_tap(&tap, e->workspace, e->taps[i], err);
            if (code != SM_OK)
                return code;
            size_t size = (size_t)tap.rows * (size_t)tap.dim;
            memcpy(e->data[i] + (size_t)at * size, tap.data, (size_t)n * size * sizeof(float));
        }
    }
    return SM_OK;
}

static void release(struct encoding *e)
{
    sm_workspace_free(e->workspace);
    sm_encoder_close(e->encoder);
    for (size_t i = 0; i < e->taps_count; i++)
        free(e->data[i]);
    free(e->names);
    free(e->x);
}

int sm_cmd_encode(int argc, char **argv)
{
    const char *encoder = NULL, *config_path = NULL, *key = NULL, *preset = NULL;
    const char *input = NULL, *out = NULL, *taps = "tokens", *kernels = "auto";
    const struct sm_option options[] = {
        {"encoder", "FILE", "checkpoint", &encoder, .required = true},
        {"config", "FILE", "JSON or its file: what tensors do not tell (core/names/README.md)",
         &config_path},
        {"key", "NAME", "which encoder of the file, e.g. teacher", &key},
        {"preset", "NAME", "a known encoder, e.g. dino-vits16", &preset},
        {"input", "FILE", "safetensors with x [n, 3, height, width], normalised", &input,
         .required = true},
        {"out", "FILE", "safetensors to write, one [n, rows, dim] per tap", &out, .required = true},
        {"tap", "LIST", "tokens (default), cls, mean, pooled, block.N, stage.N, …; with commas",
         &taps},
        {"kernels", "NAME", "auto (default), ref, blas, avx2, avx512", &kernels},
        {0},
    };
    const struct sm_usage usage = {"encode", "", "Runs one encoder on prepared input.",
                                   options,  0,  0};
    char **operands;
    int result = sm_usage_read(&operands, &usage, argc, argv);
    if (result >= 0)
        return result;

    struct sm_err err = {0};
    struct encoding e = {0};
    struct sm_encoder_config config;
    enum sm_code code = split_taps(&e, taps, &err);
    if (code == SM_OK)
        code = read_input(&e, input, &err);
    if (code == SM_OK)
        code = sm_read_encoder_config(&config, config_path, key, preset, encoder, &err);
    int n_max = e.n < SM_VIEWS_CHUNK ? (int)e.n : SM_VIEWS_CHUNK;
    if (code == SM_OK)
        code = open_encoder(&e, encoder, &config, kernels, &err);
    if (code == SM_OK)
        code = prepare_outputs(&e, n_max, &err);
    if (code == SM_OK)
        code = forward(&e, n_max, &err);
    if (code == SM_OK)
        code = sm_safetensors_write(out, e.out, e.taps_count, &err);
    release(&e);
    return code == SM_OK ? SM_EXIT_OK : sm_fail("encode", &err);
}
