/* What the files that build a ViT share: facts read off tensors and configuration (vit_facts.c),
 * embedding and blocks (vit.c), final norm and pooling (vit_out.c). Private to vit*.c. */
#ifndef CORE_NN_VIT_H
#define CORE_NN_VIT_H

#include "core/nn/build.h"

struct sm_vit {
    struct sm_graph *graph;
    struct sm_encoder_info *info;
    struct sm_names *names;
    const struct sm_encoder_config *config;
    struct sm_err *err;
    int32_t dim, heads, blocks, patch;
    int64_t fc1;                   /* rows of mlp.fc1, in every block */
    int32_t rows, cols;            /* patches of the input */
    int32_t table_side;            /* of the position table; 0: RoPE */
    bool cls, cls_position;        /* a CLS token; with a row in the position table */
    int32_t registers;             /* tokens without position between CLS and patches */
    bool conv_stem, norm_pre;      /* MoCo v3; CLIP */
    bool gated, scaled, bias_mask; /* SwiGLU; LayerScale; masked bias of q, k, v */
    bool norm_post;                /* norm(x + f(x)) in place of x + f(norm(x)) */
    int32_t patch_stride;
    double eps, stem_eps, attn_scale, rope_base;
    enum sm_activation activation;
    enum sm_pool pool;
    enum sm_final_norm final_norm;
    enum sm_pos_resize pos_resize;
};

/* Fills everything above but the first five members, and notes in info->choices what tensors do
 * not tell. */
enum sm_code sm_vit_facts(struct sm_vit *v);

/* The factor of q k^T of attention that has none of its own: the kernel's. */
double sm_vit_attn_scale(const struct sm_vit *v);

/* Rows before the patches. */
static inline int32_t sm_vit_prefix(const struct sm_vit *v)
{
    return v->cls + v->registers;
}

/* Adds the outputs of the residual stream `stream` and their taps. */
enum sm_code sm_vit_out(struct sm_vit *v, int32_t stream);

#endif
