/* `sslmem audit merge`: joins the folders of shards into the audit that one machine would make.
 *
 *     inspect   each part: its number, its state, and its identity, which must be that of the first
 *     compare   numbers: none twice, none missing, every shard at its end
 *     build     a new database: the list of images, the results of each part, the end
 *     report    as after any audit
 *
 * The identity is what decides the bytes of a report beside the scores: pair, recipe,
 * specification, list of images, and the provenance that all scores have in common (method,
 * kernels, BLAS). All problems of all parts are printed before the command gives up. Parts are
 * opened one after the other, so memory and descriptors do not grow with their number. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/escape.h"
#include "core/base/json.h"
#include "server/base/digest_key.h"
#include "server/base/id.h"
#include "server/cmd/audit_shard.h"
#include "server/store/audits_shards.h"

#define LOST_SHOWN 20

struct part {
    const char *folder;
    struct sm_audit_source source; /* its store is NULL while the part is closed */
    json_t *state;                 /* audit.json */
    bool known;                    /* the shard's number could be read */
    bool ended;
    int64_t done_count, own_count; /* images of the shard */
};

struct merging {
    struct sm_cmd_audit_plan plan;
    char *manifest; /* of the plan; NULL: none */
    struct sm_cmd_audit_places places;
    struct part *parts;
    size_t count;
    bool partial;     /* merge what is there */
    json_t *identity; /* of the first part that could be read */
    const struct part *first;
    int problems_count, gaps_count; /* gaps: of shards that are lost or incomplete */
};

/* --- problems --- */

__attribute__((format(printf, 2, 3))) static void problem(struct merging *m, const char *format,
                                                          ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fprintf(stderr, "sslmem audit merge: %s\n", sm_shown(text));
    m->problems_count++;
}

/* --- one part --- */

static enum sm_code open_part(struct part *p, struct sm_err *err)
{
    char *path = sm_cmd_audit_path(p->folder, "audit.db");
    enum sm_code code = path ? sm_check_database(path, err)
                             : sm_err_set(err, SM_NOMEM, "%.160s: out of memory", p->folder);
    if (code == SM_OK)
        code = sm_store_open(&p->source.store, path, err);
    free(path);
    return code;
}

static void close_part(struct part *p)
{
    if (p->source.store)
        sm_store_close(p->source.store);
    p->source.store = NULL;
}

/* Reads audit.json: the id and the number of the shard. */
static enum sm_code read_state(struct part *p, struct sm_err *err)
{
    enum sm_code code = sm_cmd_audit_state_read(p->source.audit.id, &p->state, p->folder,
                                                SM_AUDIT_STATE, NULL, err);
    const json_t *inputs = json_object_get(p->state, "inputs");
    const char *server = json_string_value(json_object_get(inputs, "server"));
    if (code == SM_OK && p->source.audit.id[0] == '\0')
        return sm_err_set(err, SM_NOT_FOUND,
                          "no audit.json: no shard was started there, or it has not read all "
                          "images yet; run its command again");
    if (code == SM_OK && server && *server)
        return sm_err_set(err, SM_INVALID, "its audit is at %.100s, only local shards are merged",
                          server);
    if (code == SM_OK)
        code = sm_cmd_audit_shard_read(&p->source.shard,
                                       json_string_value(json_object_get(inputs, "shard")), err);
    if (code == SM_OK && p->source.shard.count == 0)
        return sm_err_set(err, SM_INVALID,
                          "it is a whole audit and no shard: its command had no --shard");
    p->known = code == SM_OK;
    return code;
}

/* Takes from the provenance what may differ between shards. Without a score it is empty. */
static json_t *common_provenance(const json_t *provenance)
{
    json_t *common = json_copy((json_t *)(uintptr_t)provenance);
    if (!json_object_get(common, "method"))
        json_object_clear(common);
    json_object_del(common, "decoders");
    json_object_del(common, "recipe_digest");
    return common;
}

static enum sm_code read_identity(json_t **out, struct part *p, int64_t items_count,
                                  struct sm_err *err)
{
    struct sm_audit_list list;
    struct sm_store_audit_record record;
    enum sm_code code = sm_store_audit_list(&list, p->source.store, &p->source.audit, err);
    if (code == SM_OK && list.count != items_count)
        code = sm_err_set(err, SM_CORRUPT, "audit.db lists %lld images and counts %lld",
                          (long long)list.count, (long long)items_count);
    if (code == SM_OK)
        code = sm_store_audit_record(&record, p->source.store, &p->source.audit, err);
    if (code != SM_OK)
        return code;
    *out = json_pack("{s:I, s:O, s:O, s:o, s:{s:I, s:s}, s:o, s:O}", "shards",
                     (json_int_t)p->source.shard.count, "pair", record.audit.pair, "recipe",
                     record.audit.recipe, "spec", sm_audit_spec_json(record.audit.spec), "images",
                     "count", (json_int_t)list.count, "digest", list.digest, "provenance",
                     common_provenance(record.audit.provenance), "recipe_digest",
                     json_object_get(record.audit.provenance, "recipe_digest"));
    sm_store_audit_record_release(&record);
    return *out ? SM_OK : sm_err_set(err, SM_NOMEM, "shard: out of memory");
}

static enum sm_code read_part(json_t **identity, struct part *p, struct sm_err *err)
{
    struct sm_audit_head head;
    json_t *document = NULL;
    enum sm_code code = read_state(p, err);
    if (code == SM_OK)
        code = open_part(p, err);
    if (code == SM_OK)
        code = sm_store_audit(&document, &head, p->source.store, &p->source.audit, err);
    if (code == SM_OK && json_integer_value(json_object_get(document, "erased_count")) > 0)
        code = sm_err_set(err, SM_CONFLICT,
                          "images were erased from it: compute the shard again in a new folder");
    if (code == SM_OK) {
        int64_t items_count = json_integer_value(json_object_get(document, "items_count"));
        p->ended = head.finished;
        p->done_count = head.done_count;
        p->own_count = items_count - sm_cmd_audit_others_count(document);
        code = read_identity(identity, p, items_count, err);
    }
    json_decref(document);
    return code;
}

/* --- the same audit --- */

/* Two values, and the JSON pointer of their place. */
struct difference {
    const json_t *here, *there; /* borrowed; NULL: missing */
    char pointer[256];
};

/* Moves to the first member or element that differs, and so on down to a single value. */
static bool find_difference(struct difference *d)
{
    json_t *const here = (json_t *)(uintptr_t)d->here, *value;
    const json_t *const there = d->there;
    size_t length = strlen(d->pointer), i;
    const char *key;
    if (json_equal(here, there))
        return false;
    json_object_foreach(here, key, value)
    {
        d->here = value;
        d->there = json_object_get(there, key);
        snprintf(d->pointer + length, sizeof d->pointer - length, "/%s", key);
        if (find_difference(d))
            return true;
    }
    json_array_foreach(here, i, value)
    {
        d->here = value;
        d->there = json_array_get(there, i);
        snprintf(d->pointer + length, sizeof d->pointer - length, "/%zu", i);
        if (find_difference(d))
            return true;
    }
    d->pointer[length] = '\0'; /* a value, or only the other side has more */
    d->here = here;
    d->there = there;
    return true;
}

static enum sm_code read_item(json_t **out, struct part *p, int64_t after, struct sm_err *err)
{
    struct sm_store_audit_items_page page;
    enum sm_code code = sm_store_audit_items(
        &page, p->source.store, &p->source.audit,
        &(struct sm_store_audit_items_filter){-1, NULL, after, SM_SCORES_LIMIT_MAX}, err);
    *out = code == SM_OK ? json_incref(page.items) : NULL;
    sm_store_audit_items_page_release(&page);
    return code;
}

static bool same_image(const json_t *a, const json_t *b)
{
    static const char *const fields[] = {"index", "cohort", "name", "class", "group", "image"};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (!json_equal(json_object_get(a, fields[i]), json_object_get(b, fields[i])))
            return false;
    return true;
}

static const char *name_of(const json_t *item)
{
    const char *name = json_string_value(json_object_get(item, "name"));
    return name ? name : "nothing";
}

/* Says which image of the lists is the first that differs. Reads both lists by pages. */
static void name_difference(struct merging *m, struct part *p)
{
    struct part first = *m->first;
    struct sm_err err = {0};
    json_t *here = NULL, *there = NULL;
    int64_t after = -1;
    bool found = false;
    enum sm_code code = open_part(&first, &err);
    while (code == SM_OK && !found) {
        code = read_item(&here, p, after, &err);
        if (code == SM_OK)
            code = read_item(&there, &first, after, &err);
        size_t i = 0, count = code == SM_OK ? json_array_size(here) : 0;
        while (i < count && same_image(json_array_get(here, i), json_array_get(there, i)))
            i++;
        found = code == SM_OK && (i < count || count < SM_SCORES_LIMIT_MAX);
        if (found)
            problem(m,
                    "%.200s: the images differ from those of %.200s: image %lld is %.120s, there "
                    "%.120s%s",
                    p->folder, first.folder, (long long)(after + 1 + (int64_t)i),
                    name_of(json_array_get(here, i)), name_of(json_array_get(there, i)),
                    i < count && i < json_array_size(there) ? " (or its bytes or labels differ)"
                                                            : "");
        after += (int64_t)count;
        json_decref(here);
        json_decref(there);
        here = there = NULL;
    }
    if (!found)
        problem(m, "%.200s: the images differ from those of %.200s", p->folder, first.folder);
    close_part(&first);
}

/* Compares the part with the first one. Keeps the first provenance that is not empty. */
static void compare_identity(struct merging *m, struct part *p, json_t *identity)
{
    struct difference d = {.here = identity, .there = m->identity};
    json_t *own = json_object_get(identity, "provenance");
    json_t *all = json_object_get(m->identity, "provenance");
    if (json_object_size(own) == 0)
        json_object_set(identity, "provenance", all);
    else if (json_object_size(all) == 0)
        json_object_set(m->identity, "provenance", own);
    if (!find_difference(&d))
        return;
    if (strncmp(d.pointer, "/images", 7) == 0) {
        name_difference(m, p);
        return;
    }
    char *here = sm_json_text(d.here, JSON_COMPACT);
    char *there = sm_json_text(d.there, JSON_COMPACT);
    bool machine = strncmp(d.pointer, "/provenance", 11) == 0 || strstr(d.pointer, "kernels");
    problem(m, "%.200s: foreign, it differs from %.200s: %s is %.160s, there %.160s%s", p->folder,
            m->first->folder, d.pointer, here ? here : "nothing", there ? there : "nothing",
            machine ? "; run the shard again with the same version, --kernels and, for BLAS, "
                      "OPENBLAS_CORETYPE"
                    : "");
    free(here);
    free(there);
}

static void inspect(struct merging *m, struct part *p)
{
    struct sm_err err = {0};
    json_t *identity = NULL;
    if (read_part(&identity, p, &err) != SM_OK) {
        problem(m, "%.200s: %s", p->folder, err.text);
    } else if (!m->identity) {
        m->identity = json_incref(identity);
        m->first = p;
    } else {
        compare_identity(m, p, identity);
    }
    json_decref(identity);
    close_part(p);
}

/* --- numbers --- */

static bool is_given(const struct merging *m, int64_t number)
{
    for (size_t i = 0; i < m->count; i++)
        if (m->parts[i].known && m->parts[i].source.shard.part == number)
            return true;
    return false;
}

/* Without --partial a gap is a problem too. */
static void gap(struct merging *m, const char *text)
{
    problem(m, "%s", text);
    m->problems_count--;
    m->gaps_count++;
}

static void find_doubled(struct merging *m)
{
    for (size_t i = 0; i < m->count; i++)
        for (size_t j = 0; j < i; j++)
            if (m->parts[i].known && m->parts[j].known &&
                m->parts[i].source.shard.part == m->parts[j].source.shard.part)
                problem(m, "shard %lld is doubled: %.200s and %.200s; leave one of them out",
                        (long long)m->parts[i].source.shard.part + 1, m->parts[j].folder,
                        m->parts[i].folder);
}

static void find_lost(struct merging *m)
{
    char text[512] = "";
    int64_t lost_count = 0, shards_count = m->first->source.shard.count;
    for (int64_t number = 0; number < shards_count; number++) {
        size_t n = strlen(text);
        if (is_given(m, number))
            continue;
        if (lost_count++ < LOST_SHOWN)
            snprintf(text + n, sizeof text - n, "%s%lld", n > 0 ? ", " : "", (long long)number + 1);
    }
    char line[600];
    snprintf(line, sizeof line, "lost: %s %s%s of %lld; compute %s with --shard",
             lost_count == 1 ? "shard" : "shards", text,
             lost_count > LOST_SHOWN ? " and so on" : "", (long long)shards_count,
             lost_count == 1 ? "it" : "them");
    if (lost_count > 0)
        gap(m, line);
}

static void find_incomplete(struct merging *m)
{
    char line[600], shard[SM_AUDIT_SHARD_BYTES];
    for (size_t i = 0; i < m->count; i++) {
        const struct part *p = &m->parts[i];
        if (!p->known || p->own_count == 0 || p->ended)
            continue;
        sm_cmd_audit_shard_text(shard, &p->source.shard);
        snprintf(line, sizeof line,
                 "%.200s: shard %s is incomplete: %lld of its %lld images; the same command takes "
                 "it up",
                 p->folder, shard, (long long)p->done_count, (long long)p->own_count);
        gap(m, line);
    }
}

static enum sm_code check_parts(struct merging *m, struct sm_err *err)
{
    for (size_t i = 0; i < m->count && !atomic_load(&sm_stop_asked); i++)
        inspect(m, &m->parts[i]);
    if (sm_stop_wait(0, err) != SM_OK)
        return err->code;
    if (m->first) {
        find_doubled(m);
        find_lost(m);
        find_incomplete(m);
    }
    int count = m->problems_count + (m->partial ? 0 : m->gaps_count);
    bool only_gaps = count > 0 && m->problems_count == 0;
    if (count == 0)
        return SM_OK;
    return sm_err_set(err, SM_CONFLICT, "nothing is merged: %d problem%s%s", count,
                      count == 1 ? "" : "s",
                      only_gaps ? "; --partial merges what is there, without a verdict" : "");
}

/* --- the merged audit --- */

/* Fills the plan from the places of the first part, for the command that repeats the audit. */
static enum sm_code read_plan(struct merging *m, struct sm_err *err)
{
    struct sm_cmd_audit_plan *plan = &m->plan;
    const struct {
        const char *option;
        const char **into;
    } rows[] = {{"--pair", &plan->pair},
                {"--shared", &plan->folders[SM_COHORT_SHARED]},
                {"--candidate", &plan->folders[SM_COHORT_CANDIDATE]},
                {"--independent", &plan->folders[SM_COHORT_INDEPENDENT]},
                {"--external", &plan->folders[SM_COHORT_EXTERNAL]},
                {"--manifest", &plan->manifest},
                {"--root", &plan->root},
                {"--kernels", &plan->kernels},
                {"--digest-key", &plan->digest_key_path}};
    const char *digest_key_path = plan->digest_key_path;
    enum sm_code code = sm_cmd_audit_places_read(&m->places, m->first->folder, err);
    for (int k = 0; code == SM_OK && k + 1 < m->places.count; k += 2)
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
            if (strcmp(m->places.options[k], rows[i].option) == 0)
                *rows[i].into = m->places.options[k + 1];
    if (digest_key_path)
        plan->digest_key_path = digest_key_path;
    if (code == SM_OK && plan->manifest) { /* the folder may have moved since */
        plan->manifest = m->manifest = sm_cmd_audit_path(m->first->folder, SM_AUDIT_MANIFEST);
        code = m->manifest ? sm_cmd_audit_keep_manifest(plan, err)
                           : sm_err_set(err, SM_NOMEM, "merge: out of memory");
    }
    return code;
}

static enum sm_code create(const struct merging *m, struct sm_cmd_audit_made *made,
                           struct sm_err *err)
{
    const json_t *pair = json_object_get(m->identity, "pair");
    const char *name = json_string_value(json_object_get(pair, "name"));
    const char *digest = json_string_value(json_object_get(m->identity, "recipe_digest"));
    struct sm_store_audit_in in = {.pair = name,
                                   .recipe = json_object_get(m->identity, "recipe"),
                                   .pair_document = pair,
                                   .spec = json_object_get(m->identity, "spec")};
    if (!name || !digest)
        return sm_err_set(err, SM_CORRUPT, "%.160s/audit.db: its pair has no name",
                          m->first->folder);
    sm_id_new(made->id.id);
    in.audit = made->id;
    snprintf(in.recipe_digest, sizeof in.recipe_digest, "%s", digest);
    return sm_store_audit_create(made->store, &in, err);
}

/* Copies from the part: its results, and before those of the first part the list of images. */
static enum sm_code copy(const struct merging *m, struct part *p,
                         const struct sm_cmd_audit_made *made, struct sm_err *err)
{
    enum sm_code code = sm_stop_wait(0, err);
    if (code == SM_OK)
        code = open_part(p, err);
    if (code == SM_OK && p == m->first)
        code = sm_store_audit_copy_list(made->store, &made->id, &p->source, err);
    if (code == SM_OK)
        code = sm_store_audit_copy_results(made->store, &made->id, &p->source, err);
    close_part(p);
    if (code == SM_CORRUPT) {
        struct sm_err why = *err;
        sm_err_set(err, code, "%.100s: %.130s", p->folder, why.text);
    }
    return code;
}

static enum sm_code build(const struct merging *m, struct sm_cmd_audit_made *made,
                          struct sm_err *err)
{
    enum sm_code code = sm_cmd_audit_drop_unstarted(m->plan.out, made->store, err);
    if (code == SM_OK)
        code = create(m, made, err);
    for (size_t i = 0; i < m->count && code == SM_OK; i++) /* m->first is the first part */
        code = copy(m, &m->parts[i], made, err);
    if (code == SM_OK)
        code = sm_cmd_audit_state_write(m->plan.out, SM_AUDIT_STATE, made->id.id, made->inputs,
                                        NULL, err);
    if (code == SM_OK)
        code = sm_store_audit_move(made->store, &made->id, SM_AUDIT_START, NULL, err);
    return code;
}

/* Opens OUT/audit.db, builds the audit and reports. */
static enum sm_code merge_into(json_t **summary, json_t **audit, struct merging *m,
                               struct sm_err *err)
{
    struct sm_cmd_audit_made made = {.plan = &m->plan};
    json_t *inputs = json_copy(json_object_get(m->first->state, "inputs"));
    char *path = sm_cmd_audit_path(m->plan.out, "audit.db");
    uint8_t key[32];
    enum sm_code code = inputs && path && json_object_set_new(inputs, "shard", json_string("")) == 0
                            ? sm_store_open(&made.store, path, err)
                            : sm_err_set(err, SM_NOMEM, "merge: out of memory");
    made.inputs = inputs;
    if (code == SM_OK)
        code = read_plan(m, err);
    if (code == SM_OK && m->plan.digest_key_path)
        code = sm_digest_key_read(key, m->plan.digest_key_path, err);
    if (code == SM_OK && m->plan.digest_key_path)
        sm_store_set_digest_key(made.store, key);
    if (code == SM_OK)
        code = build(m, &made, err);
    if (code == SM_OK)
        code = sm_cmd_audit_report(summary, &made, err);
    if (code == SM_OK)
        code = sm_store_audit(audit, NULL, made.store, &made.id, err);
    if (made.store)
        sm_store_close(made.store);
    json_decref(inputs);
    free(path);
    return code;
}

/* --- the command --- */

/* Claims OUT, which must not hold an audit. */
static enum sm_code claim(const char *out, struct sm_err *err)
{
    char id[SM_ID_BYTES];
    enum sm_code code = sm_cmd_audit_claim_out(out, err);
    if (code == SM_OK)
        code = sm_cmd_audit_state_read(id, NULL, out, SM_AUDIT_STATE, NULL, err);
    if (code == SM_OK && id[0] != '\0')
        code = sm_err_set(err, SM_CONFLICT, "%.160s holds audit %s: give another OUT", out, id);
    return code == SM_OK ? sm_cmd_audit_log_to(out, err) : code;
}

static int merge(struct merging *m)
{
    struct sm_err err = {0};
    json_t *summary = NULL, *audit = NULL;
    sm_stop_watch();
    enum sm_code code = claim(m->plan.out, &err);
    if (code == SM_OK)
        code = check_parts(m, &err);
    if (code == SM_OK)
        code = merge_into(&summary, &audit, m, &err);
    int result = code == SM_OK ? sm_cmd_audit_say_result(&m->plan, summary, audit)
                               : sm_fail("audit merge", &err);
    if (code == SM_CANCELLED && sm_stop_signal() != 0)
        result = 128 + sm_stop_signal();
    json_decref(summary);
    json_decref(audit);
    return result;
}

static void release(struct merging *m)
{
    for (size_t i = 0; i < m->count; i++)
        json_decref(m->parts[i].state);
    free(m->parts);
    json_decref(m->identity);
    free(m->manifest);
    sm_cmd_audit_places_release(&m->places);
}

int sm_cmd_audit_merge(int argc, char **argv)
{
    struct merging m = {0};
    const char *partial = NULL, *names = NULL, *quiet = NULL;
    const struct sm_option options[] = {
        {"partial", NULL, "merge without the shards that are lost or incomplete", &partial},
        {"names", NULL, "file names, and kept pictures, in the reports", &names},
        {"digest-key", "FILE", "64 hex digits (mode 0600); default: that of the first part, if any",
         &m.plan.digest_key_path},
        {"quiet", NULL, "of the result only flags and gates that fail", &quiet},
        {0},
    };
    const struct sm_usage usage = {
        "audit merge",
        "OUT PART...",
        "Joins shards into one audit in the new folder OUT: the report of a run without --shard.\n"
        "A PART is the --out of `sslmem audit --shard`; it is only read.",
        options,
        2,
        SM_AUDIT_SHARDS_MAX + 1,
        ", 3 a gate fails,\n            4 partial: gates are not judged, 130 or 143 stopped by a "
        "signal"};
    char **operands;
    int result = sm_usage_read(&operands, &usage, argc, argv);
    if (result >= 0)
        return result;
    m.plan.out = operands[0];
    m.plan.names = names != NULL;
    m.plan.quiet = quiet != NULL;
    m.partial = partial != NULL;
    while (operands[m.count + 1])
        m.count++;
    m.parts = calloc(m.count, sizeof *m.parts);
    if (!m.parts) {
        fputs("sslmem audit merge: out of memory\n", stderr);
        return SM_EXIT_FAILED;
    }
    for (size_t i = 0; i < m.count; i++)
        m.parts[i] =
            (struct part){.folder = operands[i + 1], .source.audit.tenant = SM_TENANT_DEFAULT};
    result = merge(&m);
    release(&m);
    return result;
}
