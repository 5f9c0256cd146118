/* Candidates by class and by group (people, sources): which are memorized most.
 *
 * A class is compared with the reference images of the same class, because classes differ in score
 * whether or not they were trained on. A group, such as the images of one person, is compared with
 * the whole reference, which does not contain that person. One label among many differs by chance,
 * so the q-values are those of Benjamini and Hochberg over all labels of a kind. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/audit/result.h"
#include "core/base/escape.h"
#include "sslmem/stats.h"

#define LISTED_AT 0.05 /* largest q-value of a listed image */

struct labelled {
    const char *label;
    bool reference;
    size_t position; /* in the items of the audit */
};

enum label_kind { LABEL_CLASS, LABEL_GROUP };

struct table {
    struct labelled *images;
    double *m, *p; /* m of the images, in their order; p of the rows that have a test */
    struct sm_audit_label *rows;
    size_t images_count, rows_count;
};

static const char *label_of(const struct sm_audit_item *item, enum label_kind kind)
{
    const char *label = kind == LABEL_CLASS ? item->class_label : item->group;
    return label ? label : "";
}

static void take_cohort(struct table *t, const struct sm_audit *audit,
                        const struct sm_sample *sample, enum label_kind kind, bool reference)
{
    for (size_t i = 0; i < sample->count; i++) {
        const char *label = label_of(&audit->items[sample->item[i]], kind);
        if (label[0])
            t->images[t->images_count++] = (struct labelled){label, reference, sample->item[i]};
    }
}

static int by_label(const void *left, const void *right)
{
    const struct labelled *a = left, *b = right;
    int order = strcmp(a->label, b->label);
    if (order == 0)
        order = (int)a->reference - (int)b->reference;
    return order ? order : (a->position > b->position) - (a->position < b->position);
}

/* Makes the row of the label of image `first`; returns how many images from there on have it. */
static size_t make_row(struct sm_audit_label *row, const struct table *t, size_t first,
                       const struct sm_audit_result *result, const struct sm_sample *whole)
{
    const struct labelled *images = t->images + first;
    size_t left = t->images_count - first, n = 0;
    const double *m = t->m + first, *reference;
    *row = (struct sm_audit_label){.label = images->label, .q_value = NAN};
    for (; n < left && strcmp(images[n].label, row->label) == 0; n++) {
        row->n += !images[n].reference;
        row->reference_n += images[n].reference;
        row->listed += !images[n].reference && result->images[images[n].position].q <= LISTED_AT;
    }
    reference = m + row->n;
    if (whole) {
        reference = whole->m;
        row->reference_n = (int64_t)whole->count;
    }
    row->mean = sm_mean(m, (size_t)row->n);
    row->reference_mean = sm_mean(reference, (size_t)row->reference_n);
    row->difference = row->mean - row->reference_mean;
    sm_ttest_welch(&row->welch, m, (size_t)row->n, reference, (size_t)row->reference_n);
    return n;
}

static enum sm_code adjust(struct table *t, struct sm_err *err)
{
    size_t tested = 0;
    for (size_t i = 0; i < t->rows_count; i++)
        if (isfinite(t->rows[i].welch.p_two_sided))
            t->p[tested++] = t->rows[i].welch.p_two_sided;
    enum sm_code code = sm_bh_q(t->p, t->p, tested, err);
    for (size_t i = 0, at = 0; code == SM_OK && i < t->rows_count; i++)
        if (isfinite(t->rows[i].welch.p_two_sided))
            t->rows[i].q_value = t->p[at++];
    return code;
}

static int by_count(const void *left, const void *right)
{
    const struct sm_audit_label *a = left, *b = right;
    if (a->n != b->n)
        return a->n > b->n ? -1 : 1;
    return strcmp(a->label, b->label);
}

static enum sm_code fill_table(struct table *t, const struct sm_audit_result *result,
                               const struct sm_audit *audit, enum label_kind kind,
                               struct sm_err *err)
{
    const struct sm_sample *candidates = &result->samples.of[SM_COHORT_CANDIDATE];
    const struct sm_sample *reference = &result->samples.of[audit->spec->reference];
    bool same = kind == LABEL_CLASS;
    size_t room = candidates->count + reference->count + 1;
    t->images = calloc(room, sizeof *t->images);
    t->m = calloc(room, sizeof *t->m);
    t->p = calloc(room, sizeof *t->p);
    t->rows = calloc(room, sizeof *t->rows);
    if (!t->images || !t->m || !t->p || !t->rows)
        return sm_err_set(err, SM_NOMEM, "out of memory for the labels of %zu images", room);
    take_cohort(t, audit, candidates, kind, false);
    if (same)
        take_cohort(t, audit, reference, kind, true);
    qsort(t->images, t->images_count, sizeof *t->images, by_label);
    for (size_t i = 0; i < t->images_count; i++)
        t->m[i] = audit->items[t->images[i].position].m;
    for (size_t i = 0; i < t->images_count;) {
        struct sm_audit_label *row = &t->rows[t->rows_count];
        i += make_row(row, t, i, result, same ? NULL : reference);
        t->rows_count += row->n > 0;
    }
    enum sm_code code = adjust(t, err);
    qsort(t->rows, t->rows_count, sizeof *t->rows, by_count);
    return code;
}

static enum sm_code fill_labels(struct sm_audit_labels *out, const struct sm_audit_result *result,
                                const struct sm_audit *audit, enum label_kind kind,
                                struct sm_err *err)
{
    struct table t = {0};
    enum sm_code code = fill_table(&t, result, audit, kind, err);
    out->count = (int64_t)t.rows_count;
    for (size_t i = 0; code == SM_OK && i < t.rows_count && i < SM_LABELS_SHOWN; i++) {
        struct sm_audit_label *row = &out->rows[out->shown++];
        *row = t.rows[i];
        if (!sm_utf8_is_text(row->label, strlen(row->label)))
            row->label = "?";
    }
    free(t.images);
    free(t.m);
    free(t.p);
    free(t.rows);
    return code;
}

enum sm_code sm_part_labels(struct sm_audit_result *result, const struct sm_audit *audit,
                            struct sm_err *err)
{
    enum sm_code code = fill_labels(&result->summary.classes, result, audit, LABEL_CLASS, err);
    return code == SM_OK ? fill_labels(&result->summary.groups, result, audit, LABEL_GROUP, err)
                         : code;
}
