/* Positions for another input size: position tables resampled as PyTorch does it, and the angles of
 * RoPE.
 *
 *     // table [16 x 16, 384] for an input of 24 x 20 patches
 *     code = sm_pos_resample(out, table, 16, 16, 384, 24, 20, SM_POS_RESIZE_OFFSET, &err);
 *
 * Mirrors F.interpolate(mode="bicubic", align_corners=False) of PyTorch 1.13 for float32 on the
 * CPU. Results differ by about 1e-6 of the largest number in the table. */
#ifndef CORE_NN_RESAMPLE_H
#define CORE_NN_RESAMPLE_H

#include <stdint.h>

#include "sslmem/encoder.h"
#include "sslmem/err.h"

#define SM_POS_SIDE_MAX 4096 /* most rows or columns of a position table */

/* Resamples table [grid_h, grid_w, dim] to out [rows, cols, dim]. If the sides do not change, PLAIN
 * and ANTIALIAS copy the table. OFFSET changes it even then; the original code does not resample in
 * this case, and neither must the caller. SM_LIMIT for a side over SM_POS_SIDE_MAX or a table over
 * INT32_MAX numbers, SM_NOMEM. */
enum sm_code sm_pos_resample(float *out, const float *table, int32_t grid_h, int32_t grid_w,
                             int32_t dim, int32_t rows, int32_t cols, enum sm_pos_resize rule,
                             struct sm_err *err);

/* Fills cosines and sines [rows * cols, head_dim] of the axial RoPE of facebookresearch/dinov3
 * layers/rope_position_encoding.py (normalize_coords="separate"). periods [head_dim / 4]; head_dim
 * must be a multiple of 4. */
void sm_rope_tables(float *cosines, float *sines, const double *periods, int32_t head_dim,
                    int32_t rows, int32_t cols);

#endif
