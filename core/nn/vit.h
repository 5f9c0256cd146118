/* Shared by the files that build a ViT: vit_facts.c (facts from tensors and configuration), vit.c
 * (embedding and blocks) and vit_out.c (final norm and pooling). Private to vit*.c. */
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
    int64_t fc1;                   /* rows of mlp.fc1, the same in every block */
    int32_t rows, cols;            /* patches of the input: down, across */
    int32_t table_side;            /* side of the position table in patches; 0: no table, RoPE */
    bool cls, cls_position;        /* there is a CLS token; it has a row in the position table */
    int32_t registers;             /* tokens without position, between CLS and patches */
    bool conv_stem, norm_pre;      /* convolutional stem (MoCo v3); norm before the blocks (CLIP) */
    bool gated, scaled, bias_mask; /* MLPs have SwiGLU; LayerScale; a mask on the bias of q, k, v */
    bool norm_post;                /* post-norm: norm(x + f(x)) in place of x + f(norm(x)) */
    int32_t patch_stride;
    double eps, stem_eps, attn_scale, rope_base;
    enum sm_activation activation;
    enum sm_pool pool;
    enum sm_final_norm final_norm;
    enum sm_pos_resize pos_resize;
};

/* Fills all members of `v` from `dim` on. Records facts that tensors hide in info->choices. */
enum sm_code sm_vit_facts(struct sm_vit *v);

/* Returns the factor of q k^T that the attention kernel applies, 1/sqrt(head width). */
double sm_vit_attn_scale(const struct sm_vit *v);

/* Returns the number of tokens before the patches: CLS and registers. */
static inline int32_t sm_vit_prefix(const struct sm_vit *v)
{
    return v->cls + v->registers;
}

/* Adds the encoder's outputs, computed from the residual stream (node `stream`), and their taps. */
enum sm_code sm_vit_out(struct sm_vit *v, int32_t stream);

#endif
