/* Whole numbers of arrays, for labels. Private to core/data. */
#ifndef CORE_DATA_LABELS_H
#define CORE_DATA_LABELS_H

#include "core/data/source.h"

struct sm_int_type {
    int width; /* bytes, 1 to 8 */
    bool is_signed, big_endian;
};

/* Reads `count` numbers into *out, which the caller frees. SM_LIMIT for one over INT64_MAX. */
enum sm_code sm_ints_read(int64_t **out, struct sm_source *source, int64_t count,
                          struct sm_int_type type, struct sm_err *err);

#endif
