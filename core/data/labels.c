/* Memory grows with what was read, so that a claimed count alone costs nothing. */
#include "core/data/labels.h"

#include <inttypes.h>
#include <stdlib.h>

#define PIECE 8192

/* Returns false for a number over INT64_MAX. */
static bool number(int64_t *out, const uint8_t *bytes, struct sm_int_type type)
{
    uint64_t value = 0;
    for (int i = 0; i < type.width; i++)
        value = value << 8 | bytes[type.big_endian ? i : type.width - 1 - i];
    if (type.is_signed && type.width < 8 && value >> (8 * type.width - 1))
        value |= UINT64_MAX << (8 * type.width);
    *out = (int64_t)value;
    return type.is_signed || value <= INT64_MAX;
}

enum sm_code sm_ints_read(int64_t **out, struct sm_source *source, int64_t count,
                          struct sm_int_type type, struct sm_err *err)
{
    uint8_t bytes[PIECE * 8];
    int64_t *all = NULL, room = 0;
    *out = NULL;
    for (int64_t at = 0; at < count;) {
        int64_t n = count - at < PIECE ? count - at : PIECE;
        enum sm_code code = sm_source_take(source, bytes, (size_t)(n * type.width), err);
        if (code == SM_OK && at + n > room) {
            room = room == 0 ? PIECE : 2 * room;
            int64_t *more = realloc(all, (size_t)room * sizeof *all);
            if (!more)
                code = sm_err_set(err, SM_NOMEM, "no memory for %" PRId64 " labels", room);
            else
                all = more;
        }
        if (code != SM_OK) {
            free(all);
            return code;
        }
        for (int64_t i = 0; code == SM_OK && i < n; i++)
            if (!number(&all[at + i], bytes + i * type.width, type))
                code = sm_err_set(err, SM_LIMIT,
                                  "label %" PRId64 " is %" PRIu64 ", the limit is %" PRId64
                                  ": number the classes from 0",
                                  at + i, (uint64_t)all[at + i], INT64_MAX);
        if (code != SM_OK) {
            free(all);
            return code;
        }
        at += n;
    }
    *out = all;
    return SM_OK;
}
