/* Headers of NumPy's .npy files; see numpy/lib/format.py of NumPy 1.24.
 *
 *     "\x93NUMPY", version 1..3, header size (u16, or u32 since version 2), header, elements
 *     {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }
 *
 * Threads: no state.
 * Errors:  SM_CORRUPT, SM_UNSUPPORTED (structured elements, a rank over SM_TENSOR_RANK_MAX),
 *          SM_LIMIT. */
#ifndef CORE_CKPT_NPY_H
#define CORE_CKPT_NPY_H

#include "core/ckpt/format.h"

#define SM_NPY_MAGIC            "\x93NUMPY"
#define SM_NPY_HEADER_BYTES_MAX 10000                          /* numpy.load has the same limit */
#define SM_NPY_HEAD_BYTES_MAX   (12 + SM_NPY_HEADER_BYTES_MAX) /* all before the elements */

struct sm_npy_header {
    const char *descr; /* the type of elements, such as "<f4"; points into the file */
    size_t descr_count;
    bool column_major;
    int rank;
    int64_t shape[SM_TENSOR_RANK_MAX]; /* sides may be negative */
};

/* Reads the header of a .npy of `count` bytes, of which at least the first SM_NPY_HEAD_BYTES_MAX
 * are at `bytes`. *head_count: number of bytes before the elements. */
enum sm_code sm_npy_read_header(struct sm_npy_header *header, size_t *head_count,
                                const uint8_t *bytes, uint64_t count, struct sm_err *err);

#endif
