/* Fuzzes PyTorch zip files. An input that begins like a pickle also runs inside a zip file, with a
 * storage of four floats. */
#include "tests/fuzz/ckpt.h"

#define PICKLE_BEGIN 0x80

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const float storage[4] = {1, 2, 3, 4};
    open_and_read(data, size);
    if (size > 0 && data[0] == PICKLE_BEGIN) {
        const struct stored entries[] = {{"a/data.pkl", data, size},
                                         {"a/data/0", storage, sizeof storage}};
        open_in_zip(entries, 2);
    }
    return 0;
}
