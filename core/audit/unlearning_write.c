/* An unlearning as JSON and as CSV. The tables list the members in document order; their schema is
 * `Unlearning` of openapi.yaml. Images are named as in an audit's record: by keyed digests, and by
 * file names only with names. */
#include <math.h>

#include "core/audit/record.h"
#include "core/audit/rows.h"
#include "core/audit/unlearning.h"
#include "core/base/json.h"

#define SCHEMA "sslmem-unlearning/1"

#define S struct sm_unlearning_contrast
static const struct sm_row auc_rows[] = {SM_ROW("value", auc.auc),
                                         SM_ROW("se", auc.se),
                                         SM_ROW("interval", auc.interval),
                                         SM_ROW("interval_method", auc_method),
                                         SM_ROW("enough", auc.enough),
                                         SM_ROW("p_two_sided", auc.p_two_sided),
                                         {0}};
static const struct sm_row contrast_rows[] = {
    SM_ROW("mean", mean),
    SM_ROW("low", low),
    SM_ROW("high", high),
    SM_ROW_AS("interval_method", low, SM_ROW_METHOD, .method = "welch"),
    SM_ROW("p_two_sided", p_two_sided),
    SM_ROW_SAME("auc", auc_rows),
    {0}};
#undef S

#define S struct sm_unlearning_named
static const struct sm_row named_rows[] = {SM_ROW("q", q),
                                           SM_ROW("count", count),
                                           SM_ROW("enough", enough),
                                           SM_ROW("expected_false", expected_false),
                                           SM_ROW_AS("at_least", at_least, SM_ROW_WHOLE),
                                           SM_ROW("p_smallest", p_smallest),
                                           {0}};
#undef S

#define S struct sm_audit_gate_verdict
static const struct sm_row gate_rows[] = {SM_ROW("gate", gate),       SM_ROW("number", number),
                                          SM_ROW("meaning", meaning), SM_ROW("limit", limit),
                                          SM_ROW("value", value),     SM_ROW("passed", passed),
                                          SM_ROW("note", note),       {0}};
#undef S

#define S struct sm_unlearning_reason
static const struct sm_row reason_rows[] = {SM_ROW("code", code), SM_ROW("text", text), {0}};
#undef S

static json_t *equivalent_json(const void *member)
{
    double value = *(const double *)member;
    return isfinite(value) ? json_boolean(value == 1) : json_null();
}

#define S struct sm_unlearning
static const struct sm_row deviation_rows[] = {SM_ROW("value", deviation.value),
                                               SM_ROW("low", deviation.low),
                                               SM_ROW("high", deviation.high),
                                               SM_ROW("zone", zone),
                                               {0}};
static const struct sm_row share_rows[] = {
    SM_ROW("value", share),
    SM_ROW("low", share_low),
    SM_ROW("high", share_high),
    SM_ROW_AS("interval_method", share_low, SM_ROW_METHOD, .method = "fieller"),
    {0}};
static const struct sm_row equivalence_rows[] = {
    SM_ROW("delta", tost.margin),
    SM_ROW("p_above", tost.p_above),
    SM_ROW("p_below", tost.p_below),
    SM_ROW("p", tost.p),
    SM_ROW_AS("images_needed", needed, SM_ROW_WHOLE),
    SM_ROW_AS("shown", equivalent, SM_ROW_CUSTOM, .write = equivalent_json),
    {0}};
static const struct sm_row bins_rows[] = {
    SM_ROW("low", low),
    SM_ROW("high", high),
    SM_ROW_ARRAY(SM_ROW_COUNTS, "before", bins_before, NULL),
    SM_ROW_ARRAY(SM_ROW_COUNTS, "residual", bins_residual, NULL),
    SM_ROW_ARRAY(SM_ROW_COUNTS, "external", bins_external, NULL),
    {0}};
static const struct sm_row rows[] = {
    SM_ROW_ARRAY(SM_ROW_LIST, "reasons", reasons, reason_rows, .counted = SM_ROW_AT(reasons_count)),
    SM_ROW_STRUCT("before", was, contrast_rows),
    SM_ROW_STRUCT("residual", left, contrast_rows),
    SM_ROW_SAME("auc_deviation", deviation_rows),
    SM_ROW_SAME("forgotten_share", share_rows),
    SM_ROW_SAME("equivalence", equivalence_rows),
    SM_ROW_STRUCT("named", named, named_rows),
    SM_ROW_SAME("histogram", bins_rows),
    SM_ROW_ARRAY(SM_ROW_LIST, "gates", judgement.gates, gate_rows,
                 .counted = SM_ROW_AT(judgement.count)),
    SM_ROW("passed", judgement.passed),
    {0}};
#undef S

static json_t *audit_json(const struct sm_audit *audit)
{
    return json_pack("{s:O?, s:s, s:O?, s:O?, s:O?, s:o}", "id", json_object_get(audit->run, "id"),
                     "name", audit->spec->name, "pair", json_object_get(audit->pair, "name"),
                     "pair_digest", json_object_get(audit->pair, "digest"), "encoders",
                     json_object_get(audit->pair, "encoders"), "completeness",
                     sm_completeness_json(&audit->completeness));
}

static json_t *group_json(const struct sm_unlearning_group *group)
{
    return json_pack("{s:I, s:I}", "scored", (json_int_t)group->scored, "unscored",
                     (json_int_t)(group->count - group->scored + group->unread));
}

static json_t *text_or_null(const char *text)
{
    return text && *text ? json_string(text) : json_null();
}

/* A file name is there only with names. */
static json_t *image_json(const struct sm_unlearning *u, const struct sm_unlearning_image *image)
{
    const struct sm_audit_item *item = image->in_after;
    char name[65];
    sm_audit_image_name(name, u->after, item);
    json_t *out = json_pack(
        "{s:I, s:s, s:o, s:o, s:o, s:o, s:o, s:o}", "index", (json_int_t)item->index, "image", name,
        "class", text_or_null(item->class_label), "group", text_or_null(item->group), "before",
        sm_json_number(image->before), "residual", sm_json_number(image->residual), "p_value",
        sm_json_number(image->p), "q_value", sm_json_number(image->q));
    if (out && u->after->with_names &&
        json_object_set_new(out, "name", text_or_null(item->name)) != 0) {
        json_decref(out);
        return NULL;
    }
    return out;
}

static json_t *images_json(const struct sm_unlearning *u)
{
    json_t *out = json_array();
    for (size_t i = 0; out && i < (size_t)u->named.count && i < SM_UNLEARNING_NAMED_MAX; i++)
        if (json_array_append_new(out, image_json(u, u->ranked[i])) != 0) {
            json_decref(out);
            return NULL;
        }
    return out;
}

/* [[before, residual] …], spread evenly over the forget images by residual. */
static json_t *scatter_json(const struct sm_unlearning *u)
{
    size_t n = u->forget.scored;
    size_t points = n < SM_UNLEARNING_POINTS ? n : SM_UNLEARNING_POINTS;
    json_t *out = json_array();
    for (size_t i = 0; out && i < points; i++) {
        const struct sm_unlearning_image *image = u->ranked[i * n / points];
        json_t *point =
            json_pack("[o, o]", sm_json_number(image->before), sm_json_number(image->residual));
        if (json_array_append_new(out, point) != 0) {
            json_decref(out);
            return NULL;
        }
    }
    return out;
}

static json_t *head_json(const struct sm_unlearning *u)
{
    char words[SM_WORDS_BYTES];
    snprintf(words, sizeof words, "%s: %s", sm_unlearning_headline(u->verdict),
             sm_unlearning_meaning(u->verdict));
    return json_pack(
        "{s:s, s:s, s:s, s:o, s:O?, s:O?, s:o, s:o}", "schema", SCHEMA, "verdict",
        sm_unlearning_verdict_name(u->verdict), "words", words, "audits",
        json_pack("{s:o, s:o}", "before", audit_json(u->before), "after", audit_json(u->after)),
        "recipe", u->after->recipe, "recipe_digest",
        json_object_get(u->after->provenance, "recipe_digest"), "forget", group_json(&u->forget),
        "externals", group_json(&u->external));
}

json_t *sm_unlearning_document(const struct sm_unlearning *u)
{
    json_t *out = head_json(u), *numbers = sm_rows_json(rows, u);
    json_t *declared = json_boolean(u->spec.delta > 0);
    bool whole = out && numbers && json_object_update(out, numbers) == 0;
    json_t *named = json_object_get(out, "named");
    whole = whole && json_object_set_new(named, "images", images_json(u)) == 0;
    whole =
        whole && json_object_set(json_object_get(out, "equivalence"), "declared", declared) == 0;
    whole = whole && json_object_set_new(out, "scatter", scatter_json(u)) == 0;
    json_decref(declared);
    json_decref(numbers);
    if (whole)
        return out;
    json_decref(out);
    return NULL;
}

enum sm_code sm_unlearning_write_json(FILE *file, const struct sm_unlearning *u, struct sm_err *err)
{
    struct sm_out out = {file};
    sm_put_json(&out, u->json);
    sm_put(&out, "\n");
    return sm_out_finish(&out, err);
}

/* --- CSV --- */

static const char csv_header[] =
    "index,image,name,class,group,before,residual,p_value,q_value,named,error_before,error_after,"
    "completeness\r\n";

/* Why an audit has no score of the image; a score that is not finite comes without a code. */
static const char *failure(const struct sm_audit_item *item)
{
    if (sm_item_scored(item, true))
        return "";
    return item->error_code ? item->error_code : "score_not_finite";
}

static void put_row(struct sm_out *out, const struct sm_unlearning *u,
                    const struct sm_unlearning_image *image, const struct sm_audit *completeness)
{
    const struct sm_audit_item *item = image->in_after;
    char name[65];
    sm_audit_image_name(name, u->after, item);
    const char *const texts[] = {name, u->after->with_names ? item->name : "", item->class_label,
                                 item->group};
    const double numbers[] = {image->before, image->residual, image->p, image->q};
    sm_put(out, "%lld", (long long)item->index);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        sm_put(out, ",");
        sm_put_csv(out, sm_text_or_none(texts[i]));
    }
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        sm_put(out, ",");
        sm_put_csv_number(out, numbers[i]);
    }
    sm_put(out, ",%s,", image->q <= SM_UNLEARNING_Q ? "yes" : image->scored ? "no" : "");
    sm_put_csv(out, failure(image->in_before));
    sm_put(out, ",");
    sm_put_csv(out, failure(item));
    sm_put_csv_end(out, completeness);
}

enum sm_code sm_unlearning_write_csv(FILE *file, const struct sm_unlearning *u, struct sm_err *err)
{
    struct sm_out out = {file};
    bool before_is_whole = u->before->completeness.state == SM_COMPLETION_COMPLETE;
    const struct sm_audit *worse = before_is_whole ? u->after : u->before;
    sm_put(&out, "%s", csv_header);
    for (size_t i = 0; i < u->forget.scored; i++)
        put_row(&out, u, u->ranked[i], worse);
    for (size_t i = u->forget.scored; i < u->forget.count; i++)
        put_row(&out, u, &u->forget.images[i], worse);
    return sm_out_finish(&out, err);
}
