/* The record: everything about an audit as one JSON document, and one line an image as CSV.
 *
 * Each top-level member and each image has a line of its own, so diff can compare two records; only
 * "run" may differ between runs. Images are written one at a time and never collected in memory.
 *
 * The record protects the identity of images: digests are replaced by names under the digest key,
 * and file names and texts of errors, which may quote them, are written only with names. Classes
 * and groups are words of the client and are always written. */
#include <math.h>
#include <string.h>

#include "core/audit/out.h"
#include "core/audit/record.h"
#include "core/base/sha256.h"

#define SCHEMA "sslmem-audit/1"

void sm_audit_image_name(char out[65], const struct sm_audit *audit,
                         const struct sm_audit_item *item)
{
    out[0] = '\0';
    if (item->image_digest[0])
        sm_hmac_sha256_hex(out, audit->digest_key, item->image_digest, strlen(item->image_digest));
}

const char *sm_text_or_none(const char *text)
{
    return text ? text : "";
}

const char *sm_completeness_cell(char out[SM_COMPLETENESS_BYTES], const struct sm_audit *audit)
{
    return audit->completeness.state == SM_COMPLETION_COMPLETE
               ? sm_completion_name(SM_COMPLETION_COMPLETE)
               : sm_completeness_words(out, &audit->completeness);
}

/* Writes ,"key":"text", or null for "". */
static void put_text(struct sm_out *out, const char *key, const char *text)
{
    sm_put(out, ",\"%s\":", key);
    if (text && text[0])
        sm_put_json_text(out, text);
    else
        sm_put(out, "null");
}

static void put_number(struct sm_out *out, const char *key, double value)
{
    sm_put(out, ",\"%s\":", key);
    sm_put_json_number(out, value);
}

static void put_side(struct sm_out *out, const char *key, double alignment, double se)
{
    sm_put(out, ",\"%s\":{\"alignment\":", key);
    sm_put_json_number(out, alignment);
    put_number(out, "se", se);
    sm_put(out, "}");
}

static void put_norms(struct sm_out *out, const struct sm_audit_item *item)
{
    sm_put(out, ",\"outsider\":{\"one_minus_alignment\":");
    sm_put_json_number(out, 1 - item->f);
    put_number(out, "norm_1", item->norm_1);
    put_number(out, "norm_2", item->norm_2);
    put_number(out, "norm_max", item->norm_max);
    sm_put(out, "}");
}

void sm_put_image_names(struct sm_out *out, const struct sm_audit *audit,
                        const struct sm_audit_item *item)
{
    char image[65];
    sm_audit_image_name(image, audit, item);
    sm_put(out, "{\"index\":%lld", (long long)item->index);
    put_text(out, "image", image);
    if (audit->with_names)
        put_text(out, "name", item->name);
    sm_put(out, ",\"cohort\":\"%s\"", sm_cohort_name(item->cohort));
    put_text(out, "class", item->class_label);
    put_text(out, "group", item->group);
}

void sm_put_image_stats(struct sm_out *out, const struct sm_audit_item *item,
                        const struct sm_image_stats *image)
{
    put_number(out, "m", item->m);
    put_number(out, "m_se", item->m_se);
    put_number(out, "shrunken", image->shrunken);
    put_number(out, "centered", image->centered);
    put_number(out, "percentile", image->percentile);
    put_number(out, "p_value", image->p);
    put_number(out, "q_value", image->q);
    put_number(out, "normalized", image->normalized);
}

/* The error code of a failed image; a score that is not finite comes without one. */
static const char *failure(const struct sm_audit_item *item)
{
    return item->error_code ? item->error_code : "score_not_finite";
}

static void put_item(struct sm_out *out, const struct sm_audit *audit,
                     const struct sm_audit_result *result, size_t i)
{
    const struct sm_audit_item *item = &audit->items[i];
    sm_put_image_names(out, audit, item);
    if (sm_item_scored(item, result->samples.has_g)) {
        sm_put_image_stats(out, item, &result->images[i]);
        put_number(out, "ratio", item->ratio);
        put_side(out, "f", item->f, item->f_se);
        put_side(out, "g", item->g, item->g_se);
        if (result->near && result->near[i] > 0)
            put_number(out, "near_duplicate", result->near[i]);
        if (!result->samples.has_g)
            put_norms(out, item);
    } else {
        sm_put(out, ",\"error\":{\"code\":");
        sm_put_json_text(out, failure(item));
        if (audit->with_names)
            put_text(out, "detail", item->error_detail);
        sm_put(out, "}");
    }
    sm_put(out, "}");
}

static void put_part(struct sm_out *out, const char *key, const json_t *node)
{
    sm_put(out, ",\n\"%s\":", key);
    sm_put_json(out, node);
}

enum sm_code sm_audit_write_json(FILE *file, const struct sm_audit *audit,
                                 const struct sm_audit_result *result, struct sm_err *err)
{
    struct sm_out out = {file};
    json_t *spec = sm_audit_spec_json(audit->spec);
    if (!spec)
        return sm_err_set(err, SM_NOMEM, "out of memory for the document of an audit");
    sm_put(&out, "{\"schema\":\"" SCHEMA "\"");
    put_part(&out, "run", audit->run);
    put_part(&out, "spec", spec);
    put_part(&out, "pair", audit->pair);
    put_part(&out, "recipe", audit->recipe);
    put_part(&out, "provenance", audit->provenance);
    put_part(&out, "summary", result->json);
    sm_put(&out, ",\n\"items\":[");
    for (size_t i = 0; i < audit->items_count; i++) {
        sm_put(&out, i ? ",\n" : "\n");
        put_item(&out, audit, result, i);
    }
    sm_put(&out, "\n]}\n");
    json_decref(spec);
    return sm_out_finish(&out, err);
}

/* --- CSV --- */

void sm_put_csv_end(struct sm_out *out, const struct sm_audit *audit)
{
    char cell[SM_COMPLETENESS_BYTES];
    sm_put(out, ",");
    sm_put_csv(out, sm_completeness_cell(cell, audit));
    sm_put(out, "\r\n");
}

/* Only audits of a pair without g have the columns of norms. */
static const char csv_header[] =
    "index,image,name,cohort,class,group,m,m_se,shrunken,centered,percentile,p_value,q_value,"
    "normalized,ratio,f_alignment,f_se,g_alignment,g_se,%serror_code,error_detail,near_duplicate,"
    "completeness\r\n";
static const char csv_norms[] = "norm_1,norm_2,norm_max,";

static void put_fields(struct sm_out *out, const char *const *texts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        sm_put(out, ",");
        sm_put_csv(out, sm_text_or_none(texts[i]));
    }
}

static void put_row(struct sm_out *out, const struct sm_audit *audit,
                    const struct sm_audit_result *result, size_t i)
{
    const struct sm_audit_item *item = &audit->items[i];
    const struct sm_image_stats *s = &result->images[i];
    bool has_g = result->samples.has_g, scored = sm_item_scored(item, has_g);
    const double numbers[] = {item->m,       item->m_se,   s->shrunken,  s->centered,
                              s->percentile, s->p,         s->q,         s->normalized,
                              item->ratio,   item->f,      item->f_se,   item->g,
                              item->g_se,    item->norm_1, item->norm_2, item->norm_max};
    size_t count = sizeof numbers / sizeof *numbers - (has_g ? 3 : 0);
    char image[65];
    sm_audit_image_name(image, audit, item);
    const char *const before[] = {image, audit->with_names ? item->name : "",
                                  sm_cohort_name(item->cohort), item->class_label, item->group};
    const char *const after[] = {scored ? "" : failure(item),
                                 !scored && audit->with_names ? item->error_detail : ""};
    sm_put(out, "%lld", (long long)item->index);
    put_fields(out, before, sizeof before / sizeof *before);
    for (size_t k = 0; k < count; k++) {
        sm_put(out, ",");
        sm_put_csv_number(out, scored ? numbers[k] : NAN);
    }
    put_fields(out, after, sizeof after / sizeof *after);
    sm_put(out, ",");
    if (result->near && result->near[i] > 0)
        sm_put(out, "%lu", (unsigned long)result->near[i]);
    sm_put_csv_end(out, audit);
}

enum sm_code sm_audit_write_csv(FILE *file, const struct sm_audit *audit,
                                const struct sm_audit_result *result, struct sm_err *err)
{
    struct sm_out out = {file};
    sm_put(&out, csv_header, result->samples.has_g ? "" : csv_norms);
    for (size_t i = 0; i < audit->items_count; i++)
        put_row(&out, audit, result, i);
    return sm_out_finish(&out, err);
}
