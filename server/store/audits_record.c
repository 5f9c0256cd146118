/* The record of an audit, for its evaluation: one pass over its finished items.
 *
 * 50,000 items take some 25 MB: a growing array, and their texts in blocks that do not move.
 * Numbers are read from the texts of the scores: one document is parsed for each shape, none for
 * each item. */
#include <stdlib.h>
#include <string.h>

#include "server/store/audits_impl.h"

#define BLOCK_BYTES ((size_t)64 << 10)

struct block {
    struct block *next;
    size_t used, size;
    char bytes[];
};

struct memory {
    struct block *blocks;
    struct sm_audit_item *items;
    size_t items_count, items_room;
    json_t *run, *pair, *recipe, *provenance;
};

/* Returns NULL when out of memory. */
static void *reserve(struct memory *m, size_t bytes_count)
{
    struct block *block = m->blocks;
    if (!block || block->size - block->used < bytes_count) {
        size_t size = bytes_count > BLOCK_BYTES ? bytes_count : BLOCK_BYTES;
        block = malloc(sizeof *block + size);
        if (!block)
            return NULL;
        *block = (struct block){.next = m->blocks, .size = size};
        m->blocks = block;
    }
    block->used += bytes_count;
    return block->bytes + block->used - bytes_count;
}

static const char *keep_text(struct memory *m, const char *text)
{
    size_t bytes_count = strlen(text) + 1;
    char *to = bytes_count > 1 ? reserve(m, bytes_count) : NULL;
    if (bytes_count == 1)
        return "";
    return to ? memcpy(to, text, bytes_count) : NULL;
}

static const void *keep_bytes(struct memory *m, const void *bytes, size_t bytes_count)
{
    void *to = reserve(m, bytes_count);
    return to ? memcpy(to, bytes, bytes_count) : NULL;
}

static struct sm_audit_item *new_item(struct memory *m)
{
    if (m->items_count == m->items_room) {
        size_t room = m->items_room ? 2 * m->items_room : 1024;
        struct sm_audit_item *items = realloc(m->items, room * sizeof *items);
        if (!items)
            return NULL;
        m->items = items;
        m->items_room = room;
    }
    m->items[m->items_count] = (struct sm_audit_item){0};
    return &m->items[m->items_count++];
}

static void free_memory(struct memory *m)
{
    struct block *next;
    if (!m)
        return;
    for (struct block *block = m->blocks; block; block = next) {
        next = block->next;
        free(block);
    }
    free(m->items);
    json_decref(m->run);
    json_decref(m->pair);
    json_decref(m->recipe);
    json_decref(m->provenance);
    free(m);
}

/* --- items --- */

static const char items_sql[] =
    "SELECT item.idx, item.cohort, item.name, item.class_label, item.group_label, "
    "item.image_digest, item.error_code, item.error_detail, score.shape_id, score.own, "
    "item.pixels FROM item "
    "LEFT JOIN score ON score.id = item.score_id WHERE item.job_id = $id AND "
    "item.state IN ('succeeded', 'failed') AND item.erased_ms IS NULL" OF_TENANT
    " ORDER BY item.idx";

static void read_numbers(struct sm_audit_item *item, const struct sm_shape *shape, const char *own)
{
    double values[SM_NUMBERS];
    sm_document_read(values, &shape->numbers, own);
    item->m = values[SM_NUMBER_M];
    item->m_se = values[SM_NUMBER_M_SE];
    item->ratio = values[SM_NUMBER_RATIO];
    item->f = values[SM_NUMBER_F];
    item->f_se = values[SM_NUMBER_F_SE];
    item->g = values[SM_NUMBER_G];
    item->g_se = values[SM_NUMBER_G_SE];
    item->norm_1 = values[SM_NUMBER_NORM_1];
    item->norm_2 = values[SM_NUMBER_NORM_2];
    item->norm_max = values[SM_NUMBER_NORM_MAX];
    item->is_damaged = values[SM_NUMBER_DECODER_WARNINGS] > 0;
}

struct items {
    struct memory *memory;
    struct sm_shapes *shapes;
    struct sm_db *db;
};

static enum sm_code read_item(void *arg, const struct sm_stmt *q, struct sm_err *err)
{
    const struct items *in = arg;
    struct memory *m = in->memory;
    const struct sm_shape *shape;
    struct sm_audit_item *item = new_item(m);
    if (!item)
        return sm_err_set(err, SM_NOMEM, "items of an audit: out of memory");
    item->index = sm_stmt_get_int(q, 0);
    item->cohort = (enum sm_cohort)sm_stmt_get_int(q, 1);
    item->name = keep_text(m, sm_stmt_get_text(q, 2));
    item->class_label = keep_text(m, sm_stmt_get_text(q, 3));
    item->group = keep_text(m, sm_stmt_get_text(q, 4));
    sm_stmt_get_digest(item->image_digest, q, 5);
    bool whole = item->name && item->class_label && item->group;
    if (!sm_stmt_is_null(q, 6)) {
        item->error_code = keep_text(m, sm_stmt_get_text(q, 6));
        item->error_detail = keep_text(m, sm_stmt_get_text(q, 7));
        whole = whole && item->error_code && item->error_detail;
    }
    if (!whole)
        return sm_err_set(err, SM_NOMEM, "items of an audit: out of memory");
    if (item->error_code)
        return SM_OK;
    const void *pixels = sm_stmt_get_blob(q, 10, &item->pixels_bytes);
    if (pixels && !(item->pixels = keep_bytes(m, pixels, item->pixels_bytes)))
        return sm_err_set(err, SM_NOMEM, "items of an audit: out of memory");
    enum sm_code code = sm_store_find_shape(&shape, in->shapes, in->db, sm_stmt_get_int(q, 8), err);
    if (code == SM_OK)
        read_numbers(item, shape, sm_stmt_get_text(q, 9));
    return code;
}

/* --- documents --- */

static enum sm_code parse(json_t **out, const char *text, const char *what, struct sm_err *err)
{
    json_error_t why;
    *out = json_loads(text, 0, &why);
    return *out ? SM_OK : sm_err_set(err, SM_CORRUPT, "stored %s: %s", what, why.text);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(json_string_value(*(json_t *const *)a), json_string_value(*(json_t *const *)b));
}

static bool has(const json_t *list, const json_t *node)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (json_equal(node, json_array_get(list, i)))
            return true;
    return false;
}

/* Copies a list of texts sorted, so that the order of images does not show. */
static json_t *sorted(const json_t *list)
{
    size_t count = json_array_size(list);
    json_t *out = json_array(), **texts = calloc(count + 1, sizeof *texts);
    for (size_t i = 0; texts && i < count; i++)
        texts[i] = json_array_get(list, i);
    if (texts)
        qsort(texts, count, sizeof *texts, by_text);
    for (size_t i = 0; texts && i < count; i++)
        json_array_append(out, texts[i]);
    free(texts);
    if (json_array_size(out) == count)
        return out;
    json_decref(out);
    return NULL;
}

/* Makes the provenance that the scores share, with their method; "decoders" lists those of all
 * images. An audit that another version of the program continued has several provenances: the
 * fields are those of the first, and "variants" holds all. */
static enum sm_code make_provenance(struct memory *m, const struct sm_shapes *shapes,
                                    const char *recipe_digest, struct sm_err *err)
{
    json_t *variants = json_array(), *decoders = json_array(), *first = NULL;
    bool whole = variants && decoders;
    for (size_t i = 0; i < shapes->count && whole; i++) {
        const json_t *common = shapes->rows[i].common;
        json_t *one = json_deep_copy(json_object_get(common, "provenance"));
        json_t *decoder = json_object_get(one, "decoder");
        if (json_is_string(decoder) && !has(decoders, decoder))
            whole = json_array_append(decoders, decoder) == 0;
        json_object_del(one, "decoder");
        json_object_del(one, "key");
        json_object_set(one, "method", json_object_get(common, "method"));
        if (one && !has(variants, one))
            whole = whole && json_array_append(variants, one) == 0;
        json_decref(one);
    }
    first = json_array_get(variants, 0);
    m->provenance = first ? json_deep_copy(first) : json_object();
    whole = whole &&
            json_object_set_new(m->provenance, "recipe_digest", json_string(recipe_digest)) == 0;
    whole = whole && json_object_set_new(m->provenance, "decoders", sorted(decoders)) == 0;
    if (whole && json_array_size(variants) > 1)
        whole = json_object_set(m->provenance, "variants", variants) == 0;
    json_decref(variants);
    json_decref(decoders);
    return whole ? SM_OK : sm_err_set(err, SM_NOMEM, "provenance of an audit: out of memory");
}

static json_t *make_run(const json_t *document)
{
    static const char *const fields[] = {"id", "state", "created", "started", "finished"};
    json_t *run = json_object();
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (json_object_set(run, fields[i], json_object_get(document, fields[i])) != 0) {
            json_decref(run);
            return NULL;
        }
    return run;
}

struct head {
    struct memory *memory;
    struct sm_audit_spec *spec;
    char *recipe_digest; /* [65] */
};

static enum sm_code read_head(void *arg, const struct sm_stmt *q, struct sm_err *err)
{
    const struct head *h = arg;
    json_t *spec = NULL;
    enum sm_code code = parse(&spec, sm_stmt_get_text(q, 0), "specification", err);
    if (code == SM_OK)
        code = sm_audit_spec_parse(h->spec, spec, err);
    if (code == SM_OK)
        code = parse(&h->memory->pair, sm_stmt_get_text(q, 1), "pair", err);
    if (code == SM_OK)
        code = parse(&h->memory->recipe, sm_stmt_get_text(q, 2), "recipe", err);
    sm_stmt_get_digest(h->recipe_digest, q, 3);
    json_decref(spec);
    return code;
}

static enum sm_code copy_secret(void *key, const struct sm_stmt *q, struct sm_err *err)
{
    size_t bytes_count;
    const void *bytes = sm_stmt_get_blob(q, 0, &bytes_count);
    if (bytes_count != 32)
        return sm_err_set(err, SM_CORRUPT, "the database's secret has %zu bytes, not 32",
                          bytes_count);
    memcpy(key, bytes, 32);
    return SM_OK;
}

static enum sm_code read_secret(uint8_t key[32], struct sm_db *db, struct sm_err *err)
{
    int64_t rows;
    enum sm_code code =
        sm_db_each(&rows, db, "SELECT key FROM secret WHERE id = 1", NULL, copy_secret, key, err);
    if (code == SM_OK && rows == 0)
        code = sm_err_set(err, SM_CORRUPT, "the database's secret has 0 bytes, not 32");
    return code;
}

static enum sm_code read_record(void *out, struct sm_db *db, const void *arg, struct sm_err *err)
{
    const struct sm_audit_id *audit = arg;
    struct sm_store_audit_record *record = out;
    struct memory *m = record->memory;
    struct sm_shapes shapes = {0};
    char recipe_digest[65];
    json_t *document = NULL;
    enum sm_code code = sm_store_audit_query(
        db,
        "SELECT audit.spec, audit.pair_document, recipe.body, job.recipe_digest FROM audit "
        "JOIN job ON job.id = audit.job_id JOIN recipe ON recipe.digest = job.recipe_digest "
        "WHERE audit.job_id = $id AND job.tenant_id = $tenant",
        audit, read_head, &(struct head){m, &record->spec, recipe_digest}, err);
    if (code == SM_OK)
        code = sm_store_audit_document(&document, NULL, db, audit, err);
    record->audit.erased_count = json_integer_value(json_object_get(document, "erased_count"));
    sm_completeness_read(&record->audit.completeness, json_object_get(document, "completeness"));
    if (code == SM_OK && !(m->run = make_run(document)))
        code = sm_store_audit_no_memory(audit, err);
    if (code == SM_OK)
        code = read_secret(record->digest_key, db, err);
    if (code == SM_OK)
        code = sm_db_each(NULL, db, items_sql, SM_BIND(BIND_AUDIT(audit)), read_item,
                          &(struct items){m, &shapes, db}, err);
    if (code == SM_OK)
        code = make_provenance(m, &shapes, recipe_digest, err);
    json_decref(document);
    sm_store_release_shapes(&shapes);
    return code;
}

void sm_store_set_digest_key(struct sm_store *store, const uint8_t key[32])
{
    memcpy(store->digest_key, key, sizeof store->digest_key);
    store->has_digest_key = true;
}

enum sm_code sm_store_audit_record(struct sm_store_audit_record *out, struct sm_store *store,
                                   const struct sm_audit_id *audit, struct sm_err *err)
{
    *out = (struct sm_store_audit_record){.memory = calloc(1, sizeof(struct memory))};
    struct memory *m = out->memory;
    if (!m)
        return sm_store_audit_no_memory(audit, err);
    enum sm_code code = sm_store_snapshot(out, store, read_record, audit, err);
    if (code != SM_OK) {
        sm_store_audit_record_release(out);
        return code;
    }
    if (store->has_digest_key)
        memcpy(out->digest_key, store->digest_key, sizeof out->digest_key);
    out->audit = (struct sm_audit){.spec = &out->spec,
                                   .completeness = out->audit.completeness,
                                   .run = m->run,
                                   .pair = m->pair,
                                   .recipe = m->recipe,
                                   .provenance = m->provenance,
                                   .items = m->items,
                                   .items_count = m->items_count,
                                   .erased_count = out->audit.erased_count,
                                   .digest_key = out->digest_key};
    return SM_OK;
}

void sm_store_audit_record_release(struct sm_store_audit_record *record)
{
    free_memory(record->memory);
    *record = (struct sm_store_audit_record){0};
}
