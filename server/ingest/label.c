/* One pass over the bytes: copies each character of valid UTF-8 (RFC 3629) that fits, and writes
 * '?' for a byte that begins no character. C0, DEL and C1 are control characters. */
#include "server/ingest/label.h"

#include <string.h>

/* Returns the bytes of the character at `s`, 0 for invalid UTF-8. Reads no byte after a NUL. */
static size_t character(uint32_t *code, const unsigned char *s)
{
    static const struct {
        unsigned char mask, head;
        uint32_t least;
    } kinds[] = {{0x80, 0x00, 0}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};

    for (size_t n = 0; n < 4; n++) {
        if ((s[0] & kinds[n].mask) != kinds[n].head)
            continue;
        *code = s[0] & (unsigned char)~kinds[n].mask;
        for (size_t i = 1; i <= n; i++) {
            if ((s[i] & 0xc0) != 0x80)
                return 0;
            *code = *code << 6 | (s[i] & 0x3f);
        }
        bool surrogate = *code >= 0xd800 && *code < 0xe000;
        return *code < kinds[n].least || *code > 0x10ffff || surrogate ? 0 : n + 1;
    }
    return 0;
}

void sm_label(char out[SM_LABEL_BYTES], const char *text)
{
    const unsigned char *s = (const unsigned char *)(!text ? "" : text);
    size_t used = 0;
    while (*s != '\0') {
        uint32_t code = 0;
        size_t n = character(&code, s);
        bool printable = n > 0 && code >= 0x20 && (code < 0x7f || code > 0x9f);
        if (used + (printable ? n : 1) > SM_INGEST_LABEL_BYTES_MAX)
            break;
        if (printable)
            memcpy(out + used, s, n);
        else
            out[used] = '?';
        used += printable ? n : 1;
        s += n > 0 ? n : 1;
    }
    out[used] = '\0';
}

void sm_label_folder(char out[SM_LABEL_BYTES], const char *path)
{
    char first[SM_LABEL_BYTES];
    while (strncmp(path, "./", 2) == 0)
        path += 2;
    size_t n = strcspn(path, "/");
    if (path[n] == '\0' || n >= sizeof first)
        n = path[n] == '\0' ? 0 : sizeof first - 1;
    memcpy(first, path, n);
    first[n] = '\0';
    sm_label(out, first);
}
