/* IDX, the format of MNIST: bytes 0, 0, type, rank, then a big-endian u32 for each side, then the
 * elements. Private to core/data. */
#ifndef CORE_DATA_IDX_H
#define CORE_DATA_IDX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Returns true if the bytes begin as an IDX file does. */
bool sm_idx_sniff(const uint8_t *bytes, size_t bytes_count);

#endif
