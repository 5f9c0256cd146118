/* Removal lists: candidates by rank of their shrunken or measured scores, or a random control.
 *
 * A list has the requested length, or the request fails; only the FDR list has a length of its own.
 * The random control is drawn from all scored candidates, including those that rank high: excluding
 * them would make control and list differ in more than the way they were chosen. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/audit/draw.h"
#include "core/audit/record.h"
#include "sslmem/selection.h"

struct list {
    size_t *positions; /* in the items of the audit */
    size_t count;
};

static enum sm_code wanted_count(size_t *out, const struct sm_audit_result *result,
                                 const struct sm_selection *s, struct sm_err *err)
{
    size_t n = result->samples.of[SM_COHORT_CANDIDATE].count;
    *out = 0;
    switch (s->kind) {
    case SM_SELECT_TOP:
    case SM_SELECT_RANDOM:
        if (s->count < 0 || (uint64_t)s->count > n)
            return sm_err_field(err, "/count",
                                "count is %lld, must be from 0 to %zu, the scored "
                                "candidates",
                                (long long)s->count, n);
        *out = (size_t)s->count;
        return SM_OK;
    case SM_SELECT_SHARE:
        if (!(s->share > 0 && s->share <= 1))
            return sm_err_field(err, "/share", "share is %g, must be above 0 and at most 1",
                                s->share);
        *out = (size_t)llround(s->share * (double)n);
        return SM_OK;
    case SM_SELECT_FDR:
        if (!(s->q > 0 && s->q < 1))
            return sm_err_field(err, "/q", "q is %g, must be between 0 and 1", s->q);
        for (size_t i = 0; i < n; i++)
            *out += result->images[result->ranked[i]].q <= s->q;
        return SM_OK;
    }
    return sm_err_set(err, SM_INTERNAL, "selection is of kind %d", (int)s->kind);
}

/* Takes the head of the ranking, or, in its order, the candidates with a q-value at most q. */
static void take_ranked(struct list *out, const struct sm_audit_result *result,
                        const struct sm_selection *s)
{
    const size_t *ranked = s->by == SM_BY_RAW ? result->ranked : result->ranked_shrunken;
    size_t taken = 0;
    for (size_t i = 0; taken < out->count; i++)
        if (s->kind != SM_SELECT_FDR || result->images[ranked[i]].q <= s->q)
            out->positions[taken++] = ranked[i];
}

static enum sm_code choose(struct list *out, const struct sm_audit_result *result,
                           const struct sm_selection *s, struct sm_err *err)
{
    const struct sm_sample *c = &result->samples.of[SM_COHORT_CANDIDATE];
    if (!result->samples.has_g)
        return sm_err_set(err, SM_INVALID,
                          "the pair of this audit has no g, so there is no score m to list "
                          "candidates by");
    enum sm_code code = wanted_count(&out->count, result, s, err);
    if (code != SM_OK)
        return code;
    if (s->kind == SM_SELECT_RANDOM) {
        code = sm_draw_order(&out->positions, out->count, c->count, s->seed, SM_DRAW_CONTROL, err);
        for (size_t i = 0; code == SM_OK && i < out->count; i++)
            out->positions[i] = c->item[out->positions[i]];
        return code;
    }
    out->positions = calloc(out->count + 1, sizeof *out->positions);
    if (!out->positions)
        return sm_err_set(err, SM_NOMEM, "out of memory for a list of %zu images", out->count);
    take_ranked(out, result, s);
    return SM_OK;
}

/* --- formats --- */

/* Refuses names with line breaks, which would read as two names. */
static enum sm_code check_names(const struct sm_audit *audit, const struct list *list,
                                struct sm_err *err)
{
    for (size_t i = 0; audit->with_names && i < list->count; i++) {
        const struct sm_audit_item *item = &audit->items[list->positions[i]];
        if (strpbrk(sm_text_or_none(item->name), "\r\n"))
            return sm_err_set(err, SM_INVALID,
                              "the name of image %lld holds a line break: take the list as CSV or "
                              "JSON Lines",
                              (long long)item->index);
    }
    return SM_OK;
}

/* Writes the name byte for byte, so that it matches a training file. */
static void put_line(struct sm_out *out, const struct sm_audit *audit, size_t position)
{
    const struct sm_audit_item *item = &audit->items[position];
    if (audit->with_names && item->name && item->name[0])
        sm_put(out, "%s\n", item->name);
    else
        sm_put(out, "%lld\n", (long long)item->index);
}

static void put_csv_row(struct sm_out *out, const struct sm_audit *audit,
                        const struct sm_audit_result *result, size_t rank, size_t position)
{
    const struct sm_audit_item *item = &audit->items[position];
    const struct sm_image_stats *s = &result->images[position];
    const double numbers[] = {item->m, s->shrunken, s->centered, s->p, s->q};
    const char *texts[] = {NULL, audit->with_names ? item->name : NULL, item->class_label,
                           item->group};
    char image[65];
    sm_audit_image_name(image, audit, item);
    texts[0] = image;
    sm_put(out, "%zu,%lld", rank, (long long)item->index);
    for (size_t k = 0; k < sizeof texts / sizeof *texts; k++) {
        sm_put(out, ",");
        sm_put_csv(out, sm_text_or_none(texts[k]));
    }
    for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++) {
        sm_put(out, ",");
        sm_put_csv_number(out, numbers[k]);
    }
    sm_put_csv_end(out, audit);
}

static void put_jsonl_row(struct sm_out *out, const struct sm_audit *audit,
                          const struct sm_audit_result *result, size_t rank, size_t position)
{
    char cell[SM_COMPLETENESS_BYTES];
    sm_put_image_names(out, audit, &audit->items[position]);
    sm_put(out, ",\"rank\":%zu", rank);
    sm_put_image_stats(out, &audit->items[position], &result->images[position]);
    sm_put(out, ",\"completeness\":");
    sm_put_json_text(out, sm_completeness_cell(cell, audit));
    sm_put(out, "}\n");
}

enum sm_code sm_audit_write_selection(FILE *file, const struct sm_audit *audit,
                                      const struct sm_audit_result *result,
                                      const struct sm_selection *selection,
                                      enum sm_list_format format, struct sm_err *err)
{
    struct sm_out out = {file};
    struct list list = {NULL, 0};
    enum sm_code code = choose(&list, result, selection, err);
    if (code == SM_OK && format == SM_LIST_TEXT)
        code = check_names(audit, &list, err);
    if (code == SM_OK && format == SM_LIST_CSV)
        sm_put(&out, "rank,index,image,name,class,group,m,shrunken,centered,p_value,"
                     "q_value,completeness\r\n");
    for (size_t i = 0; code == SM_OK && i < list.count; i++) {
        if (format == SM_LIST_TEXT)
            put_line(&out, audit, list.positions[i]);
        else if (format == SM_LIST_CSV)
            put_csv_row(&out, audit, result, i + 1, list.positions[i]);
        else
            put_jsonl_row(&out, audit, result, i + 1, list.positions[i]);
    }
    free(list.positions);
    return code == SM_OK ? sm_out_finish(&out, err) : code;
}
