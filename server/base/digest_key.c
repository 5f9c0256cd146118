#include "server/base/digest_key.h"

#include <sodium.h>

#include "core/base/file.h"

#define KEY_BYTES      32
#define FILE_BYTES_MAX 128

enum sm_code sm_digest_key_read(uint8_t key[32], const char *path, struct sm_err *err)
{
    struct sm_file file;
    size_t bytes_count = 0, digits;
    const char *end = NULL;
    enum sm_code code = sm_file_map(&file, path, FILE_BYTES_MAX, err);

    if (code != SM_OK)
        return code;
    const char *text = (const char *)file.bytes;
    digits = file.bytes_count;
    while (digits > 0 && (text[digits - 1] == '\n' || text[digits - 1] == '\r'))
        digits--;
    if (digits != 2 * KEY_BYTES ||
        sodium_hex2bin(key, KEY_BYTES, text, digits, NULL, &bytes_count, &end) != 0 ||
        bytes_count != KEY_BYTES)
        code = sm_err_set(err, SM_CORRUPT,
                          "digest key %.160s: %zu characters, must be %d hexadecimal digits", path,
                          digits, 2 * KEY_BYTES);
    sm_file_release(&file);
    return code;
}
