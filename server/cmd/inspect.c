/* `sslmem inspect`: prints the tensors of a checkpoint, the encoder recognised in it, and the graph
 * that would run. */
#include <stdio.h>
#include <string.h>

#include "core/base/escape.h"
#include "server/cmd/cmd.h"

static json_t *shape_json(const struct sm_tensor *t)
{
    json_t *shape = json_array();
    for (int i = 0; i < t->rank; i++)
        json_array_append_new(shape, json_integer(t->shape[i]));
    return shape;
}

/* Describes every tensor. `encoder` NULL: none of them is used. */
static json_t *tensors_json(const struct sm_ckpt *ckpt, const struct sm_encoder *encoder)
{
    json_t *tensors = json_array();
    for (size_t i = 0; i < sm_ckpt_count(ckpt); i++) {
        const struct sm_tensor *t = sm_ckpt_at(ckpt, i);
        json_array_append_new(
            tensors, json_pack("{s:s?, s:s, s:o, s:I, s:b, s:s*}", "name", t->name, "dtype",
                               sm_dtype_name(t->dtype), "shape", shape_json(t), "bytes",
                               (json_int_t)(t->count * (int64_t)sm_dtype_bytes(t->dtype)), "used",
                               (int)(encoder && sm_encoder_uses(encoder, i)), "unread", t->unread));
    }
    return tensors;
}

static json_t *encoder_json(const struct sm_encoder *encoder)
{
    json_t *out = sm_encoder_json(encoder);
    if (out)
        json_object_set_new(out, "graph", sm_encoder_graph(encoder));
    return out;
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

/* Prints one tensor a line: "+" marks those that the encoder uses, "!" unreadable ones. */
static void print_tensors(const json_t *tensors)
{
    size_t i;
    json_t *t;
    json_array_foreach(tensors, i, t)
    {
        const char *unread = json_string_value(json_object_get(t, "unread"));
        printf("%s %-5s",
               json_is_true(json_object_get(t, "used")) ? "+"
               : unread                                 ? "!"
                                                        : " ",
               unread ? "-" : json_string_value(json_object_get(t, "dtype")));
        print_shape(json_object_get(t, "shape"));
        const char *name = json_string_value(json_object_get(t, "name"));
        printf(" %s%s%s%s\n", name ? sm_shown(name) : "(name is no UTF-8)", unread ? " (" : "",
               unread ? sm_shown(unread) : "", unread ? ")" : "");
    }
}

static void print_choices(const json_t *choices)
{
    size_t i;
    json_t *c;
    json_array_foreach(choices, i, c)
    {
        printf("  %-14s %-12s %s: %s\n", json_string_value(json_object_get(c, "name")),
               json_string_value(json_object_get(c, "value")),
               json_string_value(json_object_get(c, "source")),
               json_string_value(json_object_get(c, "why")));
    }
}

static void print_graph(const json_t *graph)
{
    size_t i;
    json_t *op;
    printf("\n  %-12s %-28s %-16s %12s %12s %14s  algorithm\n", "op", "name", "shape", "parameters",
           "bytes", "multiply-adds");
    json_array_foreach(graph, i, op)
    {
        const char *name = json_string_value(json_object_get(op, "name"));
        printf("  %-12s %-28s", json_string_value(json_object_get(op, "op")),
               name ? sm_shown(name) : "");
        print_shape(json_object_get(op, "shape"));
        const char *algorithm = json_string_value(json_object_get(op, "algorithm"));
        printf(" %12lld %12lld %14lld  %s\n",
               (long long)json_integer_value(json_object_get(op, "parameters")),
               (long long)json_integer_value(json_object_get(op, "bytes")),
               (long long)json_integer_value(json_object_get(op, "multiply_adds")),
               algorithm ? algorithm : "");
    }
}

static void print_text(const char *path, const json_t *doc, const struct sm_encoder *encoder)
{
    printf("%s: %s, sha256 %s, %zu tensors\n", sm_shown(path),
           json_string_value(json_object_get(doc, "format")),
           json_string_value(json_object_get(doc, "digest")),
           json_array_size(json_object_get(doc, "tensors")));
    print_tensors(json_object_get(doc, "tensors"));
    if (!encoder)
        return;
    const struct sm_encoder_info *i = sm_encoder_info(encoder);
    const json_t *described = json_object_get(doc, "encoder");
    printf("\nencoder: %s, %s names%s%s, input %dx%d, %d tokens of %d%s", i->family, i->dialect,
           *i->prefix ? " under " : "", sm_shown(i->prefix), i->input_h_px, i->input_w_px,
           i->tokens, i->dim, i->has_cls ? " with CLS" : "");
    if (i->registers)
        printf(" and %d registers", i->registers);
    printf("\n%lld parameters, %lld multiply-adds per image\n", (long long)i->parameters,
           (long long)i->multiply_adds);
    if (i->nonfinite)
        printf("warning: %lld of the weights are NaN or infinite\n", (long long)i->nonfinite);
    printf("\nwhat tensors alone do not tell, and who decided it:\n");
    print_choices(json_object_get(described, "choices"));
    print_graph(json_object_get(described, "graph"));
}

/* Prints why no encoder is recognised, and the option that gives what is missing. */
static void say_why(const char *path, const struct sm_err *reason)
{
    const char *name = reason->pointer + (reason->pointer[0] == '/');
    bool named = strncmp(reason->text, path, strlen(path)) == 0;
    fprintf(stderr, "sslmem inspect: %s%s%s\n", named ? "" : sm_shown(path), named ? "" : ": ",
            sm_shown(reason->text));
    if (strcmp(name, "key") == 0 || strcmp(name, "preset") == 0)
        fprintf(stderr, "    give --%s NAME\n", name);
    else if (*name)
        fprintf(stderr, "    give --config '{\"%s\": VALUE}'\n", sm_shown(name));
}

/* Prints the checkpoint. If it has no encoder, says that first, because its tensors may be many. */
static enum sm_code inspect(const char *path, const struct sm_encoder_config *config, bool as_json)
{
    struct sm_ckpt *ckpt = NULL;
    struct sm_encoder *encoder = NULL;
    struct sm_err reason = {0};
    enum sm_code code = sm_ckpt_open(&ckpt, path, &reason);
    if (code == SM_OK)
        code = sm_encoder_open(&encoder, ckpt, config, "auto", &reason);
    if (code != SM_OK)
        say_why(path, &reason);
    if (!ckpt)
        return code;
    json_t *doc = json_pack("{s:o, s:s, s:s, s:o, s:o}", "file", sm_path_json(path), "format",
                            sm_ckpt_format(ckpt), "digest", sm_ckpt_digest(ckpt), "tensors",
                            tensors_json(ckpt, encoder), "encoder",
                            encoder ? encoder_json(encoder) : json_null());
    if (doc && !encoder)
        json_object_set_new(doc, "reason", json_string(reason.text));
    if (!doc) {
        code = sm_err_set(&reason, SM_NOMEM, "out of memory for its description");
        say_why(path, &reason);
    } else if (as_json) {
        sm_print_line(json_incref(doc));
    } else {
        print_text(path, doc, encoder);
    }
    json_decref(doc);
    sm_encoder_close(encoder);
    sm_ckpt_close(ckpt);
    return code;
}

int sm_cmd_inspect(int argc, char **argv)
{
    const char *config_path = NULL, *key = NULL, *preset = NULL, *presets = NULL, *as_json = NULL;
    const struct sm_option options[] = {
        {"config", "FILE", "JSON or its file: what tensors do not tell (core/names/README.md)",
         &config_path},
        {"key", "NAME", "which encoder of the file, e.g. teacher", &key},
        {"preset", "NAME", "a known encoder, e.g. dino-vits16", &preset},
        {"presets", NULL, "list the presets instead", &presets},
        {"json", NULL, "one JSON line instead of text", &as_json},
        {0},
    };
    const struct sm_usage usage = {
        "inspect",
        "FILE",
        "Lists a checkpoint's tensors, the encoder that was recognised, how sure that is, and its "
        "graph.\n"
        "Without an encoder it says why first, and exits with 1.",
        options,
        0,
        1};
    char **paths;
    int result = sm_usage_read(&paths, &usage, argc, argv);
    if (result >= 0)
        return result;

    struct sm_err err = {0};
    struct sm_encoder_config config;
    for (size_t i = 0; presets && sm_encoder_preset(i); i++)
        puts(sm_encoder_preset(i));
    if (presets)
        return SM_EXIT_OK;
    if (!paths[0]) {
        fprintf(stderr, "sslmem inspect: FILE is missing\n");
        return SM_EXIT_USAGE;
    }
    enum sm_code code = sm_read_encoder_config(&config, config_path, key, preset, paths[0], &err);
    if (code != SM_OK)
        return sm_fail("inspect", &err);
    return inspect(paths[0], &config, as_json != NULL) == SM_OK ? SM_EXIT_OK : SM_EXIT_FAILED;
}
