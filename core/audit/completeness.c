/* Completeness of an audit, in JSON, in an HTTP header and in words. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/audit/out.h"
#include "sslmem/audit.h"

static const char *const names[] = {
    [SM_COMPLETION_PARTIAL] = "partial",
    [SM_COMPLETION_CANCELLED] = "cancelled",
    [SM_COMPLETION_COMPLETE] = "complete",
};
#define NAMES_COUNT (sizeof names / sizeof *names)

const char *sm_completion_name(enum sm_completion state)
{
    return names[state];
}

json_t *sm_completeness_json(const struct sm_completeness *completeness)
{
    return json_pack("{s:s, s:I, s:I}", "state", names[completeness->state], "scored",
                     (json_int_t)completeness->scored, "total", (json_int_t)completeness->total);
}

static void set(struct sm_completeness *out, const char *state, int64_t scored, int64_t total)
{
    *out = (struct sm_completeness){SM_COMPLETION_PARTIAL, 0, 0};
    for (size_t i = 0; i < NAMES_COUNT; i++)
        if (strcmp(state, names[i]) == 0)
            *out = (struct sm_completeness){(enum sm_completion)i, scored, total};
}

void sm_completeness_read(struct sm_completeness *out, const json_t *node)
{
    const char *state = json_string_value(json_object_get(node, "state"));
    set(out, state ? state : "", json_integer_value(json_object_get(node, "scored")),
        json_integer_value(json_object_get(node, "total")));
}

const char *sm_completeness_field(char out[SM_COMPLETENESS_BYTES],
                                  const struct sm_completeness *completeness)
{
    snprintf(out, SM_COMPLETENESS_BYTES, "%s;scored=%" PRId64 ";total=%" PRId64,
             names[completeness->state], completeness->scored, completeness->total);
    return out;
}

void sm_completeness_parse(struct sm_completeness *out, const char *field)
{
    char state[16] = "";
    int64_t scored = 0, total = 0;
    bool whole =
        sscanf(field, "%15[a-z];scored=%" SCNd64 ";total=%" SCNd64, state, &scored, &total) == 3;
    set(out, whole ? state : "", scored, total);
}

const char *sm_completeness_words(char out[SM_COMPLETENESS_BYTES],
                                  const struct sm_completeness *completeness)
{
    snprintf(out, SM_COMPLETENESS_BYTES, "%s: %s of %s", names[completeness->state],
             SM_COUNT(completeness->scored), SM_COUNT(completeness->total));
    return out;
}
