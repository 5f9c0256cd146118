#include "server/base/digest_key.h"

#include <sodium.h>
#include <string.h>

#include "server/base/settings.h"

#define KEY_BYTES 32

enum sm_code sm_digest_key_read(uint8_t key[32], const char *path, struct sm_err *err)
{
    struct sm_secret secret;
    size_t bytes_count = 0;
    const char *end = NULL;
    enum sm_code code = sm_secret_read(&secret, "digest key", path, err);
    if (code != SM_OK)
        return code;
    size_t digits = strlen(secret.value);
    if (digits > 0 && secret.value[digits - 1] == '\r')
        digits--;
    if (digits != 2 * KEY_BYTES ||
        sodium_hex2bin(key, KEY_BYTES, secret.value, digits, NULL, &bytes_count, &end) != 0 ||
        bytes_count != KEY_BYTES)
        code = sm_err_set(err, SM_INVALID,
                          "digest key: %.160s: %zu characters, must be %d hexadecimal digits", path,
                          digits, 2 * KEY_BYTES);
    explicit_bzero(&secret, sizeof secret);
    return code;
}
