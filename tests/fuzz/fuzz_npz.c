/* Fuzzes NumPy's npz files. An input that begins like a npy file also runs inside an npz file. */
#include "tests/fuzz/ckpt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    open_and_read(data, size);
    if (size >= 6 && memcmp(data, "\x93NUMPY", 6) == 0)
        open_in_zip(&(struct stored){"w.npy", data, size}, 1);
    return 0;
}
