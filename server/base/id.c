/* UUIDv7 over Unix milliseconds. */
#include "server/base/id.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/base/clock.h"

#define ID_MS_MAX ((INT64_C(1) << 48) - 1)

void sm_id_new(char out[37])
{
    uint8_t b[16];
    uint64_t ms = (uint64_t)sm_clock_unix_ms();
    randombytes_buf(b, sizeof b);
    for (int i = 0; i < 6; i++)
        b[i] = (uint8_t)(ms >> (8 * (5 - i)));
    b[6] = (uint8_t)(0x70 | (b[6] & 0x0f)); /* version 7 */
    b[8] = (uint8_t)(0x80 | (b[8] & 0x3f)); /* variant 10 */
    sm_id_format(out, b);
}

void sm_id_format(char out[37], const uint8_t bytes[16])
{
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *out++ = '-';
        *out++ = digits[bytes[i] >> 4];
        *out++ = digits[bytes[i] & 15];
    }
    *out = '\0';
}

int64_t sm_id_unix_ms(const char *id)
{
    char digits[13];
    snprintf(digits, sizeof digits, "%.8s%.4s", id, id + 9);
    return strtoll(digits, NULL, 16);
}

void sm_id_floor(char out[37], int64_t unix_ms)
{
    uint64_t ms = unix_ms < 0 ? 0 : unix_ms > ID_MS_MAX ? ID_MS_MAX : (uint64_t)unix_ms;
    uint8_t b[16] = {0};
    for (int i = 0; i < 6; i++)
        b[i] = (uint8_t)(ms >> (8 * (5 - i)));
    sm_id_format(out, b);
}

bool sm_id_valid(const char *text)
{
    static const char shape[] = "xxxxxxxx-xxxx-7xxx-vxxx-xxxxxxxxxxxx";
    if (strlen(text) != sizeof shape - 1)
        return false;
    for (int i = 0; shape[i]; i++) {
        const char *allowed = shape[i] == 'x'   ? "0123456789abcdef"
                              : shape[i] == 'v' ? "89ab"
                                                : NULL;
        if (allowed ? !strchr(allowed, text[i]) : text[i] != shape[i])
            return false;
    }
    return true;
}
