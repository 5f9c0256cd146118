/* The spec of an audit: reads the request of a client over the defaults by one table of fields, and
 * writes every field. Gates are checked here, so a wrong one is refused before the first image. */
#include <stdio.h>
#include <string.h>

#include "core/audit/gate.h"
#include "core/base/json.h"

static const char *const cohort_names[] = {
    [SM_COHORT_SHARED] = "shared",
    [SM_COHORT_CANDIDATE] = "candidate",
    [SM_COHORT_INDEPENDENT] = "independent",
    [SM_COHORT_EXTERNAL] = "external",
};

static const char *const reference_names[] = {"external", "independent", NULL};
static const enum sm_cohort references[] = {SM_COHORT_EXTERNAL, SM_COHORT_INDEPENDENT};

const char *sm_cohort_name(enum sm_cohort cohort)
{
    return cohort_names[cohort];
}

enum sm_code sm_cohort_parse(enum sm_cohort *out, const char *name, struct sm_err *err)
{
    for (int k = 0; k < SM_COHORTS; k++) {
        if (strcmp(name, cohort_names[k]) == 0) {
            *out = (enum sm_cohort)k;
            return SM_OK;
        }
    }
    return sm_err_set(
        err, SM_INVALID,
        "cohort is \"%.40s\", must be one of shared, candidate, independent, external", name);
}

/* A spec whose reference and gates are still to be read. */
struct draft {
    struct sm_audit_spec spec;
    int reference;
    const json_t *gates;
};

#define AT(member) offsetof(struct draft, member)
static const struct sm_field fields[] = {
    {"name", SM_FIELD_TEXT, AT(spec.name), 0, SM_AUDIT_NAME_MAX, NULL, true},
    {"signed_by", SM_FIELD_TEXT, AT(spec.signed_by), 0, SM_AUDIT_SIGNED_MAX, NULL, false},
    {"reference", SM_FIELD_ENUM, AT(reference), 0, 0, reference_names, false},
    {"gates", SM_FIELD_NODE, AT(gates), 0, 0, NULL, false},
    {"resamples", SM_FIELD_INT, AT(spec.resamples), 0, SM_AUDIT_RESAMPLES_MAX, NULL, false},
    {"seed", SM_FIELD_U64, AT(spec.seed), 0, 0, NULL, false},
    {"keep_thumbnails", SM_FIELD_BOOL, AT(spec.keep_thumbnails), 0, 0, NULL, false},
    {"inserted_at_random", SM_FIELD_BOOL, AT(spec.inserted_at_random), 0, 0, NULL, false},
    {"controls", SM_FIELD_BOOL, AT(spec.controls), 0, 0, NULL, false},
    {NULL, SM_FIELD_NODE, 0, 0, 0, NULL, false},
};
#undef AT

static enum sm_code read_gate(struct sm_audit_gate *out, const json_t *node, size_t index,
                              const struct sm_gate_table *table, struct sm_err *err)
{
    char pointer[32];
    struct sm_gate parsed;
    snprintf(pointer, sizeof pointer, "/gates/%zu", index);
    if (!json_is_string(node))
        return sm_err_field(err, pointer, "a gate must be a text such as \"auc<=0.6\"");
    size_t length = json_string_length(node);
    if (length >= sizeof out->text || strlen(json_string_value(node)) != length)
        return sm_err_field(err, pointer, "gate has %zu bytes, limit is %zu without NUL", length,
                            sizeof out->text - 1);
    memcpy(out->text, json_string_value(node), length + 1);
    return sm_gate_parse(&parsed, table, out->text, pointer, err);
}

enum sm_code sm_gates_read(struct sm_audit_gate *gates, int *gates_count, const json_t *list,
                           const struct sm_gate_table *table, struct sm_err *err)
{
    enum sm_code code = SM_OK;
    *gates_count = 0;
    if (!json_is_array(list))
        return sm_err_field(err, "/gates", "gates must be an array of texts");
    if (json_array_size(list) > SM_AUDIT_GATES_MAX)
        return sm_err_field(err, "/gates", "gates has %zu entries, limit is %d",
                            json_array_size(list), SM_AUDIT_GATES_MAX);
    for (size_t i = 0; code == SM_OK && i < json_array_size(list); i++)
        code = read_gate(&gates[(*gates_count)++], json_array_get(list, i), i, table, err);
    return code;
}

enum sm_code sm_audit_gates_parse(struct sm_audit_spec *spec, const json_t *list,
                                  struct sm_err *err)
{
    return sm_gates_read(spec->gates, &spec->gates_count, list, &sm_gate_of_audit, err);
}

enum sm_code sm_audit_spec_parse(struct sm_audit_spec *out, const json_t *node, struct sm_err *err)
{
    struct draft draft = {.spec = {.resamples = SM_AUDIT_RESAMPLES, .controls = true}};
    *out = (struct sm_audit_spec){0};
    enum sm_code code = sm_fields_read(&draft, node, fields, "", err);
    if (code == SM_OK && draft.spec.name[0] == '\0')
        code = sm_err_field(err, "/name", "name is empty");
    if (code == SM_OK && draft.gates)
        code = sm_audit_gates_parse(&draft.spec, draft.gates, err);
    if (code != SM_OK)
        return code;
    draft.spec.reference = references[draft.reference];
    *out = draft.spec;
    return SM_OK;
}

json_t *sm_audit_spec_json(const struct sm_audit_spec *spec)
{
    json_t *gates = json_array();
    for (int i = 0; i < spec->gates_count; i++)
        json_array_append_new(gates, json_string(spec->gates[i].text));
    if (json_array_size(gates) != (size_t)spec->gates_count) {
        json_decref(gates);
        return NULL;
    }
    return json_pack("{s:s, s:s, s:s, s:o, s:i, s:o, s:b, s:b, s:b}", "name", spec->name,
                     "signed_by", spec->signed_by, "reference", sm_cohort_name(spec->reference),
                     "gates", gates, "resamples", (int)spec->resamples, "seed",
                     sm_json_u64(spec->seed), "keep_thumbnails", (int)spec->keep_thumbnails,
                     "inserted_at_random", (int)spec->inserted_at_random, "controls",
                     (int)spec->controls);
}
