/* Fuzzes indexes of sharded checkpoints: the JSON and its map of files, but no shards, because the
 * input has no folder. */
#include "tests/fuzz/ckpt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    open_and_read(data, size);
    return 0;
}
