/* Fuzzes safetensors files. */
#include "tests/fuzz/ckpt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    open_and_read(data, size);
    return 0;
}
