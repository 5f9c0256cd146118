/* Opens a checkpoint of zeros, with the names and shapes that the input lists, as an encoder and
 * runs it on one image if that is cheap. The first line is the configuration (JSON; "{}": none),
 * each further line a tensor: its name and its shape.
 *
 *     {"heads": 2}
 *     cls_token 1 1 32
 *     blocks.0.norm1.weight 32 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sslmem/encoder.h"

#define INPUT_MAX    (64 << 10)
#define FLOATS_MAX   (1 << 20) /* of all tensors in the file */
#define FORWARD_MAX  (1 << 24) /* multiply-adds, and pixels times dim, of a forward that is run */
#define LINE_TOKENS  (SM_TENSOR_RANK_MAX + 1)
#define HEADER_FIELD 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Adds the tensor of a line to the header, unless the file would pass FLOATS_MAX or the name is
 * taken. */
static void add_line(json_t *header, char *line, size_t *floats)
{
    char *save = NULL, *name = strtok_r(line, " ", &save), *side;
    json_t *shape = json_array();
    size_t count = 1;
    while (name && (side = strtok_r(NULL, " ", &save)) && count <= FLOATS_MAX) {
        long value = strtol(side, NULL, 10);
        json_array_append_new(shape, json_integer(value));
        count = value < 0 ? 0 : value > FLOATS_MAX ? FLOATS_MAX + 1 : count * (size_t)value;
    }
    if (name && count <= FLOATS_MAX - *floats && !json_object_get(header, name)) {
        json_object_set_new(header, name,
                            json_pack("{s:s, s:O, s:[I, I]}", "dtype", "F32", "shape", shape,
                                      "data_offsets", (json_int_t)(4 * *floats),
                                      (json_int_t)(4 * (*floats + count))));
        *floats += count;
    }
    json_decref(shape);
}

/* Returns the safetensors file with the tensors of all lines, to be freed. */
static uint8_t *make_file(size_t *bytes, char *lines)
{
    json_t *header = json_object();
    size_t floats = 0;
    char *save = NULL;
    for (char *line = strtok_r(lines, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
        add_line(header, line, &floats);
    char *text = json_dumps(header, JSON_COMPACT);
    json_decref(header);
    uint64_t text_count = text ? strlen(text) : 0;
    uint8_t *file = text ? calloc(1, HEADER_FIELD + text_count + 4 * floats + 1) : NULL;
    if (file) {
        memcpy(file, &text_count, HEADER_FIELD);
        memcpy(file + HEADER_FIELD, text, text_count);
    }
    *bytes = HEADER_FIELD + text_count + 4 * floats;
    free(text);
    return file;
}

static void run(const struct sm_encoder *encoder)
{
    const struct sm_encoder_info *info = sm_encoder_info(encoder);
    const char *const taps[] = {"tokens", "pooled", "mean", "block.0"};
    size_t pixels = (size_t)info->input_h_px * (size_t)info->input_w_px;
    struct sm_workspace *ws;
    struct sm_tap tap;
    if (info->multiply_adds > FORWARD_MAX || pixels * (size_t)info->dim > FORWARD_MAX)
        return;
    if (sm_workspace_new(&ws, encoder, 1, taps, 4, NULL) != SM_OK)
        return;
    float *x = calloc(3 * pixels, sizeof *x);
    if (x) {
        sm_encoder_forward(encoder, ws, x, 1);
        for (size_t i = 0; i < 4; i++)
            if (sm_encoder_tap(&tap, ws, taps[i], NULL) != SM_OK || tap.rows < 1 || tap.dim < 1)
                abort();
    }
    free(x);
    sm_workspace_free(ws);
}

static void open_encoder(struct sm_ckpt *ckpt, const json_t *node)
{
    struct sm_encoder_config config;
    struct sm_encoder *encoder;
    struct sm_err err = {0};
    if (sm_encoder_config_parse(&config, node, "", &err) != SM_OK ||
        sm_encoder_config_complete(&config, NULL, &err) != SM_OK)
        return;
    if (sm_encoder_open(&encoder, ckpt, &config, "blas", &err) != SM_OK) {
        if (encoder || err.code == SM_OK || !err.text[0])
            abort();
        return;
    }
    json_t *described = sm_encoder_json(encoder);
    if (!described)
        abort();
    json_decref(described);
    run(encoder);
    sm_encoder_close(encoder);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int prepared;
    char *text = size <= INPUT_MAX ? calloc(1, size + 1) : NULL;
    struct sm_ckpt *ckpt = NULL;
    size_t bytes = 0;
    if (!text)
        return 0;
    if (!prepared++)
        sm_blas_single_thread();
    memcpy(text, data, size);
    char *lines = strchr(text, '\n');
    if (lines)
        *lines++ = '\0';
    json_t *node = json_loads(text, 0, NULL);
    uint8_t *file = lines ? make_file(&bytes, lines) : NULL;
    if (node && file && sm_ckpt_open_bytes(&ckpt, file, bytes, NULL) == SM_OK)
        open_encoder(ckpt, node);
    sm_ckpt_close(ckpt);
    free(file);
    json_decref(node);
    free(text);
    return 0;
}
