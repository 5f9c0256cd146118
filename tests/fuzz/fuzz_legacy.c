/* Fuzzes PyTorch files from before version 1.6. */
#include "tests/fuzz/ckpt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    open_and_read(data, size);
    return 0;
}
