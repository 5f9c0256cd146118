/* The other direction is sm_hex and sm_id_format. */
#include "server/db/hex.h"

#include <string.h>

size_t sm_unhex(uint8_t out[SM_HEX_MAX], const char *text)
{
    static const char digits[] = "0123456789abcdef";
    size_t count = 0;
    for (; *text; text++) {
        const char *digit = strchr(digits, *text);
        if (*text == '-')
            continue;
        if (!digit || count == 2 * SM_HEX_MAX)
            return 0;
        uint8_t value = (uint8_t)(digit - digits);
        out[count / 2] = count % 2 ? (uint8_t)(out[count / 2] | value) : (uint8_t)(value << 4);
        count++;
    }
    return count == 2 * SM_HEX_MAX || count == SM_HEX_MAX ? count / 2 : 0;
}
