/* Parsers of what an HTTP client sends: the body splitter, header values, cursors.
 *
 * The same bytes go to each. Properties: parts lie within the body and in order; a cursor that
 * decodes encodes to the text it came from. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "server/api/cursor.h"
#include "server/http/multipart.h"

#define PARTS_MAX 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void split(const uint8_t *data, size_t size)
{
    struct sm_part parts[PARTS_MAX];
    struct sm_err err;
    const uint8_t *at = data;
    int count;

    enum sm_code code = sm_multipart_split(parts, &count, PARTS_MAX, data, size, "B", &err);
    assert(code == SM_OK || code == SM_INVALID || code == SM_LIMIT);
    for (int i = 0; code == SM_OK && i < count; i++) {
        assert(parts[i].bytes >= at && parts[i].name[0] != '\0');
        at = parts[i].bytes + parts[i].bytes_count;
        assert(at <= data + size);
    }
}

static void parse_text(const char *text)
{
    struct sm_prefer prefer = {0};
    struct sm_score_filter filter = {0};
    char type[SM_MEDIA_TYPE_BYTES], boundary[SM_BOUNDARY_BYTES], cursor[SM_CURSOR_BYTES];

    sm_prefer_parse(&prefer, text);
    assert(!prefer.has_wait || prefer.wait_s >= 0);
    sm_media_type(type, text);
    sm_header_param(boundary, sizeof boundary, text, "boundary");
    sm_etag_matches(text, "\"0123\"");
    if (sm_cursor_decode(&filter, text)) {
        sm_cursor_encode(cursor, &filter, filter.after_value, filter.after_id);
        assert(strcmp(cursor, text) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);

    if (text == NULL)
        return 0;
    split(data, size);
    memcpy(text, data, size);
    text[size] = '\0';
    parse_text(text);
    free(text);
    return 0;
}
