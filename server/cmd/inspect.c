/* `sslmem inspect`: what a checkpoint holds, which encoder it is, and the graph that would run. */
#include <stdio.h>
#include <string.h>

#include "server/cmd/cmd.h"

static json_t *shape_json(const struct sm_tensor *t)
{
    json_t *shape = json_array();
    for (int i = 0; i < t->rank; i++)
        json_array_append_new(shape, json_integer(t->shape[i]));
    return shape;
}

static json_t *tensors_json(const struct sm_ckpt *ckpt)
{
    json_t *tensors = json_array();
    for (size_t i = 0; i < sm_ckpt_count(ckpt); i++) {
        const struct sm_tensor *t = sm_ckpt_at(ckpt, i);
        json_array_append_new(
            tensors, json_pack("{s:s?, s:s, s:o, s:I}", "name", t->name, "dtype",
                               sm_dtype_name(t->dtype), "shape", shape_json(t), "bytes",
                               (json_int_t)(t->count * (int64_t)sm_dtype_bytes(t->dtype))));
    }
    return tensors;
}

static json_t *encoder_json(const struct sm_encoder *encoder)
{
    const struct sm_encoder_info *i = sm_encoder_info(encoder);
    return json_pack("{s:s, s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:b, s:f, s:I, s:I, s:s, s:o}",
                     "family", i->family, "dialect", i->dialect, "prefix", i->prefix, "input_px",
                     i->input_px, "tokens", i->tokens, "dim", i->dim, "heads", i->heads, "blocks",
                     i->blocks, "has_cls", i->has_cls, "norm_eps", i->norm_eps, "parameters",
                     (json_int_t)i->parameters, "multiply_adds", (json_int_t)i->multiply_adds,
                     "kernels", i->kernels, "graph", sm_encoder_graph(encoder));
}

static void print_shape(const json_t *shape)
{
    size_t i;
    json_t *side;
    char text[96] = "";
    json_array_foreach(shape, i, side)
    {
        size_t used = strlen(text);
        snprintf(text + used, sizeof text - used, "%s%lld", i ? "x" : "",
                 (long long)json_integer_value(side));
    }
    printf(" %-16s", *text ? text : "scalar");
}

static void print_tensors(const json_t *tensors)
{
    size_t i;
    json_t *t;
    json_array_foreach(tensors, i, t)
    {
        printf("  %-5s", json_string_value(json_object_get(t, "dtype")));
        print_shape(json_object_get(t, "shape"));
        const char *name = json_string_value(json_object_get(t, "name"));
        printf(" %s\n", name ? name : "(name is no UTF-8)");
    }
}

static void print_graph(const json_t *graph)
{
    size_t i;
    json_t *op;
    printf("\n  %-12s %-28s %-16s %12s %12s %14s\n", "op", "name", "shape", "parameters", "bytes",
           "multiply-adds");
    json_array_foreach(graph, i, op)
    {
        const char *name = json_string_value(json_object_get(op, "name"));
        printf("  %-12s %-28s", json_string_value(json_object_get(op, "op")), name ? name : "");
        print_shape(json_object_get(op, "shape"));
        printf(" %12lld %12lld %14lld\n",
               (long long)json_integer_value(json_object_get(op, "parameters")),
               (long long)json_integer_value(json_object_get(op, "bytes")),
               (long long)json_integer_value(json_object_get(op, "multiply_adds")));
    }
}

static void print_text(const json_t *doc, const struct sm_encoder *encoder)
{
    printf("%s: %s, sha256 %s, %zu tensors\n", json_string_value(json_object_get(doc, "file")),
           json_string_value(json_object_get(doc, "format")),
           json_string_value(json_object_get(doc, "digest")),
           json_array_size(json_object_get(doc, "tensors")));
    print_tensors(json_object_get(doc, "tensors"));
    if (!encoder) {
        printf("\nencoder: not recognised: %s\n",
               json_string_value(json_object_get(doc, "reason")));
        return;
    }
    const struct sm_encoder_info *i = sm_encoder_info(encoder);
    printf("\nencoder: %s, %s names%s%s, input %dx%d, %d tokens of %d", i->family, i->dialect,
           *i->prefix ? " under " : "", i->prefix, i->input_px, i->input_px, i->tokens, i->dim);
    if (i->heads)
        printf(", %d heads, LayerNorm eps %g", i->heads, i->norm_eps);
    printf("\n%lld parameters, %lld multiply-adds per image\n", (long long)i->parameters,
           (long long)i->multiply_adds);
    print_graph(json_object_get(json_object_get(doc, "encoder"), "graph"));
}

static enum sm_code inspect(const char *path, const struct sm_encoder_config *config, bool as_json,
                            struct sm_err *err)
{
    struct sm_ckpt *ckpt;
    struct sm_encoder *encoder = NULL;
    struct sm_err reason = {0};
    enum sm_code code = sm_ckpt_open(&ckpt, path, err);
    if (code != SM_OK)
        return code;
    sm_encoder_open(&encoder, ckpt, config, "blas", &reason);
    json_t *doc =
        json_pack("{s:s?, s:s, s:s, s:o, s:o}", "file", path, "format", sm_ckpt_format(ckpt),
                  "digest", sm_ckpt_digest(ckpt), "tensors", tensors_json(ckpt), "encoder",
                  encoder ? encoder_json(encoder) : json_null());
    if (doc && !encoder)
        json_object_set_new(doc, "reason", json_string(reason.text));
    if (!doc)
        code = sm_err_set(err, SM_NOMEM, "%s: description", path);
    else if (as_json)
        sm_print_line(json_incref(doc));
    else
        print_text(doc, encoder);
    json_decref(doc);
    sm_encoder_close(encoder);
    sm_ckpt_close(ckpt);
    return code;
}

int sm_cmd_inspect(int argc, char **argv)
{
    const char *config_path = NULL, *as_json = NULL;
    const struct sm_option options[] = {
        {"config", "FILE", "JSON: prefix, input_px, heads, norm_eps", &config_path},
        {"json", NULL, "one JSON line instead of text", &as_json},
        {0},
    };
    const struct sm_usage usage = {
        "inspect",
        "FILE",
        "Lists a checkpoint's tensors, the encoder that was recognised and its graph.",
        options,
        1,
        1};
    char **paths;
    int result = sm_usage_read(&paths, &usage, argc, argv);
    if (result >= 0)
        return result;

    struct sm_err err = {0};
    struct sm_encoder_config config = {0};
    json_t *node = NULL;
    enum sm_code code = config_path ? sm_json_read_file(&node, config_path, &err) : SM_OK;
    if (code == SM_OK)
        code = sm_encoder_config_parse(&config, node, "", &err);
    json_decref(node);
    if (code == SM_OK)
        code = inspect(paths[0], &config, as_json != NULL, &err);
    return code == SM_OK ? SM_EXIT_OK : sm_fail("inspect", &err);
}
