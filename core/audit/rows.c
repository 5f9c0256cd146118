/* One writer per type of row. */
#include "core/audit/rows.h"

#include <math.h>

#include "core/base/json.h"

#define AS(type, at) (*(const type *)(at))

static const void *at_offset(const void *from, size_t offset)
{
    return (const char *)from + offset;
}

static json_t *tuple_json(const struct sm_row *rows, const void *from);

static json_t *entry_json(const struct sm_row *row, const void *entry)
{
    if (row->type == SM_ROW_COUNTS)
        return json_integer(AS(int64_t, entry));
    return row->type == SM_ROW_TUPLES ? tuple_json(row->rows, entry)
                                      : sm_rows_json(row->rows, entry);
}

static json_t *array_json(const struct sm_row *row, const void *from)
{
    bool keyed = row->type == SM_ROW_KEYED;
    size_t count = row->counted ? AS(size_t, at_offset(from, row->counted)) : row->count;
    json_t *out = keyed ? json_object() : json_array();
    for (size_t i = 0; out && i < count; i++) {
        const void *entry = at_offset(from, row->offset + i * row->stride);
        json_t *node = entry_json(row, entry);
        int failed = keyed ? json_object_set_new(out, AS(char *, entry), node)
                           : json_array_append_new(out, node);
        if (failed) {
            json_decref(out);
            out = NULL;
        }
    }
    return out;
}

static json_t *verdict_json(enum sm_verdict verdict)
{
    return verdict == SM_VERDICT_NONE ? json_null() : json_boolean(verdict == SM_VERDICT_PASSED);
}

static json_t *text_json(const char *text)
{
    return text ? json_string(text) : json_null();
}

#define S struct sm_interval
static const struct sm_row interval[] = {SM_ROW("low", low), SM_ROW("high", high), {0}};
#undef S

static json_t *member_json(const struct sm_row *row, const void *from)
{
    const void *at = at_offset(from, row->offset);
    switch (row->type) {
    case SM_ROW_NUMBER:
        return sm_json_number(AS(double, at));
    case SM_ROW_WHOLE:
        return isfinite(AS(double, at)) ? json_integer((json_int_t)AS(double, at)) : json_null();
    case SM_ROW_COUNT:
        return json_integer(AS(int64_t, at));
    case SM_ROW_BOOL:
        return json_boolean(AS(bool, at));
    case SM_ROW_TEXT:
        return text_json(AS(char *, at));
    case SM_ROW_CHARS:
        return text_json(AS(char, at) ? at : NULL);
    case SM_ROW_COHORT:
        return json_string(sm_cohort_name(AS(enum sm_cohort, at)));
    case SM_ROW_VERDICT:
        return verdict_json(AS(enum sm_verdict, at));
    case SM_ROW_INTERVAL:
        return tuple_json(interval, at);
    case SM_ROW_METHOD:
        return isfinite(AS(double, at)) ? json_string(row->method) : json_null();
    case SM_ROW_OBJECT:
        return sm_rows_json(row->rows, at);
    case SM_ROW_COUNTS:
    case SM_ROW_LIST:
    case SM_ROW_TUPLES:
    case SM_ROW_KEYED:
        return array_json(row, from);
    case SM_ROW_CUSTOM:
        return row->write(at);
    }
    return NULL;
}

static bool is_known(const struct sm_row *row, const void *from)
{
    return row->known == 0 || AS(bool, at_offset(from, row->known));
}

static json_t *tuple_json(const struct sm_row *rows, const void *from)
{
    json_t *out = json_array();
    for (; out && rows->name; rows++) {
        if (json_array_append_new(out, member_json(rows, from)) != 0) {
            json_decref(out);
            out = NULL;
        }
    }
    return out;
}

json_t *sm_rows_json(const struct sm_row *rows, const void *from)
{
    json_t *out = json_object();
    for (; out && rows->name; rows++) {
        bool known = is_known(rows, from);
        if (!known && rows->optional)
            continue;
        if (json_object_set_new(out, rows->name, known ? member_json(rows, from) : json_null()) !=
            0) {
            json_decref(out);
            out = NULL;
        }
    }
    return out;
}

void sm_rows_settle(const struct sm_row *rows, void *in, double (*settle)(double value))
{
    for (; rows->name; rows++) {
        char *at = (char *)in + rows->offset;
        if (rows->type == SM_ROW_NUMBER || rows->type == SM_ROW_WHOLE) {
            double *number = (void *)at;
            *number = settle(*number);
        }
        const struct sm_row *inside = rows->type == SM_ROW_INTERVAL ? interval : rows->rows;
        size_t count = rows->count > 0 ? rows->count : 1; /* a struct, not an array */
        for (size_t i = 0; inside && i < count; i++)
            sm_rows_settle(inside, at + i * rows->stride, settle);
    }
}
