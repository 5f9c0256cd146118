/* The batch and the report.
 *
 * A batch collects up to SM_INGEST_BATCH_IMAGES images or about SM_INGEST_BATCH_BYTES bytes, then
 * goes to the store in one transaction. So images share the cost of a commit, a flush of the disk,
 * and memory stays bounded. A failed image commits the batch first, so that items keep the order of
 * the input. */
#include "server/ingest/ingest_impl.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/kind.h"
#include "core/base/sha256.h"
#include "sslmem/cost.h"

enum sm_code sm_ingest_new(struct sm_ingest **out, const struct sm_ingest_params *params,
                           struct sm_err *err)
{
    struct sm_ingest *ingest = calloc(1, sizeof *ingest);
    *out = ingest;
    if (!ingest)
        return sm_err_set(err, SM_NOMEM, "ingest: out of memory");
    ingest->params = *params;
    ingest->audit = *params->audit;
    if ((ingest->skipped = json_array()))
        return SM_OK;
    sm_ingest_free(ingest);
    *out = NULL;
    return sm_err_set(err, SM_NOMEM, "ingest: out of memory");
}

static void drop_batch(struct sm_ingest *ingest)
{
    for (size_t i = 0; i < ingest->batch_count; i++) {
        free(ingest->held[i].path);
        free(ingest->held[i].bytes);
    }
    ingest->batch_count = 0;
    ingest->batch_bytes = 0;
}

void sm_ingest_free(struct sm_ingest *ingest)
{
    if (!ingest)
        return;
    drop_batch(ingest);
    json_decref(ingest->skipped);
    free(ingest);
}

enum sm_code sm_ingest_check(const struct sm_ingest *ingest, struct sm_err *err)
{
    if (ingest->params.stop && atomic_load(ingest->params.stop))
        return sm_err_set(err, SM_CANCELLED, "stopped");
    return SM_OK;
}

/* --- the batch --- */

static enum sm_code add(struct sm_store_audit_added *added, const struct sm_ingest *ingest,
                        const struct sm_store_audit_image_in *images, size_t count,
                        struct sm_err *err)
{
    return sm_store_audit_add(added, ingest->params.store, &ingest->audit,
                              &(struct sm_store_audit_intake){.images = images,
                                                              .images_count = count,
                                                              .items_max = ingest->params.items_max,
                                                              .shard = ingest->params.shard,
                                                              .caller = ingest->params.caller},
                              err);
}

/* Commits the batch. If that fails, the batch is dropped and the error is returned. */
static enum sm_code flush(struct sm_ingest *ingest, struct sm_err *err)
{
    struct sm_store_audit_added added;
    enum sm_code code = SM_OK;
    if (ingest->batch_count > 0)
        code = add(&added, ingest, ingest->images, ingest->batch_count, err);
    if (ingest->batch_count > 0 && code == SM_OK) {
        ingest->added_count += added.added_count;
        ingest->duplicate_count += added.duplicate_count;
    }
    drop_batch(ingest);
    return code;
}

static void describe(struct sm_store_audit_image_in *image, struct sm_ingest_held *held,
                     const struct sm_ingest_labels *labels)
{
    sm_label(held->name, labels->name);
    sm_label(held->class_label, labels->class_label);
    sm_label(held->group, labels->group);
    *image = (struct sm_store_audit_image_in){.cohort = (enum sm_cohort)labels->cohort,
                                              .name = held->name,
                                              .class_label = held->class_label,
                                              .group = held->group};
}

/* Computes the cost of scoring the image from its header; 0 without a pair. SM_LIMIT if it is over
 * item_cost_ms_max. */
static enum sm_code weigh(int64_t *cost_ms, const struct sm_ingest *ingest, const void *bytes,
                          size_t bytes_count, struct sm_err *err)
{
    const struct sm_ingest_params *p = &ingest->params;
    int32_t width_px, height_px;
    *cost_ms = 0;
    if (!p->pair)
        return SM_OK;
    sm_image_declared_size(&width_px, &height_px, bytes, bytes_count);
    *cost_ms = sm_cost_ms(p->pair, p->recipe, width_px, height_px);
    if (p->item_cost_ms_max == 0 || *cost_ms <= p->item_cost_ms_max)
        return SM_OK;
    return sm_err_set(err, SM_LIMIT,
                      "the image of %dx%d pixels costs %lld ms with the audit's recipe, "
                      "item_cost_ms_max is %lld: make it smaller, or the audit with fewer views, "
                      "smaller sizes or fewer ops",
                      (int)width_px, (int)height_px, (long long)*cost_ms,
                      (long long)p->item_cost_ms_max);
}

enum sm_code sm_ingest_put(struct sm_ingest *ingest, const struct sm_ingest_labels *labels,
                           void *bytes, size_t bytes_count, const char *path, struct sm_err *err)
{
    struct sm_store_audit_image_in *image = &ingest->images[ingest->batch_count];
    struct sm_ingest_held *held = &ingest->held[ingest->batch_count];
    struct sm_err why = {0};
    int64_t cost_ms;
    if (weigh(&cost_ms, ingest, bytes, bytes_count, &why) != SM_OK) {
        free(bytes);
        return sm_ingest_fail(ingest, labels, &why, err);
    }
    describe(image, held, labels);
    image->cost_ms = cost_ms;
    sm_sha256_hex(image->image_digest, bytes, bytes_count);
    held->path = NULL;
    held->bytes = NULL;
    if (!path) {
        held->bytes = bytes;
        image->bytes = bytes;
        image->bytes_count = bytes_count;
        ingest->batch_bytes += bytes_count;
    } else {
        free(bytes);
        if (!(held->path = strdup(path)))
            return sm_err_set(err, SM_NOMEM, "ingest: out of memory");
        image->path = held->path;
    }
    ingest->batch_count++;
    if (ingest->batch_count == SM_INGEST_BATCH_IMAGES ||
        ingest->batch_bytes >= SM_INGEST_BATCH_BYTES)
        return flush(ingest, err);
    return SM_OK;
}

enum sm_code sm_ingest_fail(struct sm_ingest *ingest, const struct sm_ingest_labels *labels,
                            const struct sm_err *why, struct sm_err *err)
{
    struct sm_store_audit_image_in image;
    struct sm_ingest_held held;
    struct sm_store_audit_added added;
    char text[SM_LABEL_BYTES];
    enum sm_code code = flush(ingest, err);
    if (code != SM_OK)
        return code;
    describe(&image, &held, labels);
    sm_label(text, why->text);
    image.failed = why->code;
    image.failed_text = text;
    code = add(&added, ingest, &image, 1, err);
    ingest->failed_count += added.added_count;
    ingest->duplicate_count += added.duplicate_count;
    return code;
}

enum sm_code sm_ingest_image(struct sm_ingest *ingest, const struct sm_ingest_labels *labels,
                             const void *bytes, size_t bytes_count, struct sm_err *err)
{
    struct sm_err why = {0};
    struct sm_kind kind;
    if (bytes_count == 0 || !sm_image_sniff(bytes, bytes_count)) {
        if (sm_kind_find(&kind, bytes, bytes_count, NULL, SM_WANTED_IMAGE))
            sm_ingest_pass_stranger(ingest, 0, labels->name, bytes, bytes_count);
        else
            sm_ingest_pass(ingest, 0, labels->name,
                           bytes_count == 0 ? SM_INGEST_EMPTY : SM_INGEST_NOT_AN_IMAGE,
                           SM_INGEST_NO_IMAGE("of %zu "), bytes_count);
        return SM_OK;
    }
    if (bytes_count > SM_IMAGE_BYTES_MAX) {
        sm_err_set(&why, SM_LIMIT, "the image has %zu bytes, the limit is %u", bytes_count,
                   SM_IMAGE_BYTES_MAX);
        return sm_ingest_fail(ingest, labels, &why, err);
    }
    void *copy = malloc(bytes_count);
    if (!copy)
        return sm_err_set(err, SM_NOMEM, "ingest: no memory for %zu bytes", bytes_count);
    memcpy(copy, bytes, bytes_count);
    return sm_ingest_put(ingest, labels, copy, bytes_count, NULL, err);
}

/* --- the report --- */

static const char *const reasons[] = {
#define ROW(NAME, text) text,
    SM_INGEST_SKIPS(ROW)
#undef ROW
};

void sm_ingest_pass(struct sm_ingest *ingest, int64_t line, const char *name,
                    enum sm_ingest_skip reason, const char *format, ...)
{
    char clean_name[SM_LABEL_BYTES], detail[SM_LABEL_BYTES], text[512];
    va_list args;
    ingest->skipped_count[reason]++;
    if (json_array_size(ingest->skipped) == SM_INGEST_SKIPPED_MAX)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    sm_label(detail, text);
    sm_label(clean_name, name);
    json_t *row = json_pack("{s:s, s:s, s:s}", "name", clean_name, "reason", reasons[reason],
                            "detail", detail);
    if (line > 0 && json_object_set_new(row, "line", json_integer(line)) != 0)
        ingest->lost = true;
    if (json_array_append_new(ingest->skipped, row) != 0)
        ingest->lost = true;
}

void sm_ingest_pass_stranger(struct sm_ingest *ingest, int64_t line, const char *name,
                             const void *bytes, size_t bytes_count)
{
    struct sm_kind kind;
    if (sm_kind_find(&kind, bytes, bytes_count, NULL, SM_WANTED_IMAGE))
        sm_ingest_pass(ingest, line, name, SM_INGEST_NOT_AN_IMAGE, "%s: %s", kind.name,
                       kind.advice);
    else
        sm_ingest_pass(ingest, line, name, SM_INGEST_NOT_AN_IMAGE, SM_INGEST_NO_IMAGE(""));
}

static json_t *skips_by_reason(const struct sm_ingest *ingest, int64_t *total)
{
    json_t *counts = json_object();
    *total = 0;
    for (int i = 0; i < SM_INGEST_SKIPS_COUNT; i++) {
        *total += ingest->skipped_count[i];
        if (ingest->skipped_count[i] > 0 &&
            json_object_set_new(counts, reasons[i], json_integer(ingest->skipped_count[i])) != 0) {
            json_decref(counts);
            return NULL;
        }
    }
    return counts;
}

bool sm_ingest_took(const json_t *report)
{
    static const char *const counts[] = {"added_count", "duplicate_count", "failed_count"};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        if (json_integer_value(json_object_get(report, counts[i])) > 0)
            return true;
    return false;
}

void sm_ingest_say_nothing(char out[SM_INGEST_NOTHING_BYTES], const json_t *report)
{
    json_t *rows = json_object_get(report, "skipped_by_reason"), *count;
    const char *reason, *separator = ": ";
    size_t n =
        (size_t)snprintf(out, SM_INGEST_NOTHING_BYTES, "0 images (JPEG, PNG), %lld skipped",
                         (long long)json_integer_value(json_object_get(report, "skipped_count")));
    json_object_foreach(rows, reason, count)
    {
        if (n < SM_INGEST_NOTHING_BYTES)
            n += (size_t)snprintf(out + n, SM_INGEST_NOTHING_BYTES - n, "%s%lld %s", separator,
                                  (long long)json_integer_value(count), reason);
        separator = ", ";
    }
}

enum sm_code sm_ingest_finish(json_t **out, struct sm_ingest *ingest, struct sm_err *err)
{
    struct sm_err flushed = {0};
    int64_t skipped_count;
    enum sm_code code = flush(ingest, &flushed);
    json_t *counts = skips_by_reason(ingest, &skipped_count);
    *out = NULL;
    if (!ingest->lost && counts)
        *out = json_pack(
            "{s:I, s:I, s:I, s:I, s:O, s:O}", "added_count", (json_int_t)ingest->added_count,
            "duplicate_count", (json_int_t)ingest->duplicate_count, "failed_count",
            (json_int_t)ingest->failed_count, "skipped_count", (json_int_t)skipped_count,
            "skipped_by_reason", counts, "skipped", ingest->skipped);
    json_decref(counts);
    if (!*out)
        return sm_err_set(err, SM_NOMEM, "ingest: out of memory");
    if (code != SM_OK)
        *err = flushed;
    return code;
}
