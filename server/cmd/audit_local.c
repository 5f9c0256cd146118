/* Runs an audit without a server, with the service's own store, ingestion and workers; OUT/audit.db
 * is the database.
 *
 *     lock OUT, open pair and database
 *     without audit.json: delete an unfinished audit, create a new one
 *         open -> datasets, manifest -> audit.json -> running
 *     run workers until the audit ends or a signal comes
 *     record -> result -> reports
 *
 * The store makes this durable: a process that is killed leaves items under leases, and the next
 * process takes them back when it opens the database. audit.json is written when the audit has all
 * its images. The log of the workers goes to OUT/audit.log. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/escape.h"
#include "server/base/clock.h"
#include "server/base/digest_key.h"
#include "server/base/id.h"
#include "server/cmd/audit_data.h"
#include "server/cmd/audit_shard.h"
#include "server/ingest/ingest.h"
#include "server/jobs/jobs.h"
#include "server/store/audits.h"

#define LOOK_MS      200
#define UNHEALTHY_MS 5000 /* how long writes may fail: a disk may be full only for a moment */

struct local {
    const struct sm_cmd_audit_plan *plan;
    struct sm_pairs *pairs;
    struct sm_generation *generation;
    const struct sm_pair *pair; /* of the generation */
    struct sm_recipe recipe;
    char recipe_digest[65];
    json_t *inputs;
    struct sm_store *store;
    struct sm_audit_id id; /* of the default tenant, the only one of a database without keys */
};

/* --- opening --- */

static enum sm_code open_pair(struct local *l, struct sm_err *err)
{
    const struct sm_cmd_audit_plan *plan = l->plan;
    struct sm_pair_state *only;
    int count;
    json_t *node = NULL;
    enum sm_code code =
        sm_pairs_load_one(&l->pairs, plan->pair, plan->kernels ? plan->kernels : "auto", err);
    if (code == SM_OK)
        code = sm_pairs_list(&only, &count, l->pairs, NULL, err);
    if (code == SM_OK) {
        l->generation = sm_generation_take(only->generation);
        l->pair = sm_generation_pair(l->generation);
        sm_pairs_list_free(only, count);
    }
    if (code == SM_OK && plan->recipe_path)
        code = sm_json_read_file(&node, plan->recipe_path, err);
    if (code == SM_OK)
        code = sm_recipe_parse(&l->recipe, node, sm_pair_recipe(l->pair), sm_pair_input_px(l->pair),
                               "", err);
    if (code == SM_OK)
        code = sm_pair_check_recipe(l->pair, &l->recipe, err);
    if (code == SM_OK)
        code = sm_recipe_digest(l->recipe_digest, &l->recipe, err);
    json_decref(node);
    return code;
}

static enum sm_code add_inputs(struct local *l, struct sm_err *err)
{
    enum sm_code code = sm_cmd_audit_inputs(&l->inputs, l->plan, err);
    if (code == SM_OK &&
        (json_object_set_new(l->inputs, "pair", json_string(sm_pair_name(l->pair))) != 0 ||
         json_object_set_new(l->inputs, "pair_digest", json_string(sm_pair_digest(l->pair))) != 0 ||
         json_object_set_new(l->inputs, "recipe", json_string(l->recipe_digest)) != 0))
        code = sm_err_set(err, SM_NOMEM, "inputs of an audit: out of memory");
    return code;
}

static enum sm_code open_store(struct local *l, struct sm_err *err)
{
    char *path = sm_cmd_audit_path(l->plan->out, "audit.db");
    uint8_t key[32];
    enum sm_code code = path ? sm_store_open(&l->store, path, err)
                             : sm_err_set(err, SM_NOMEM, "%.160s: out of memory", l->plan->out);
    if (code == SM_OK && l->plan->digest_key_path)
        code = sm_digest_key_read(key, l->plan->digest_key_path, err);
    if (code == SM_OK && l->plan->digest_key_path)
        sm_store_set_digest_key(l->store, key);
    free(path);
    return code;
}

/* --- a new audit --- */

enum sm_code sm_cmd_audit_drop_unstarted(const char *out, struct sm_store *store,
                                         struct sm_err *err)
{
    struct sm_store_audit_page page;
    enum sm_code code =
        sm_store_audits(&page, store, SM_TENANT_DEFAULT, "", SM_SCORES_LIMIT_MAX, err);
    for (int i = 0; i < page.count && code == SM_OK; i++) {
        const struct sm_audit_head *head = &page.heads[i];
        if (head->state == SM_STATE_OPEN)
            code = sm_store_audit_delete(store, &head->audit, -1, err);
        else
            code = sm_err_set(err, SM_CONFLICT,
                              "%.120s/audit.db holds audit %s, and its audit.json is not there",
                              out, head->audit.id);
    }
    sm_store_audit_page_release(&page);
    return code;
}

static enum sm_code create(struct local *l, struct sm_err *err)
{
    struct sm_store_audit_in in = {.pair = sm_pair_name(l->pair)};
    json_t *recipe = sm_recipe_json(&l->recipe), *pair = sm_pair_json(l->pair);
    json_t *spec = sm_audit_spec_json(&l->plan->spec);
    enum sm_code code =
        recipe && pair && spec ? SM_OK : sm_err_set(err, SM_NOMEM, "audit: out of memory");
    sm_id_new(l->id.id);
    in.audit = l->id;
    memcpy(in.recipe_digest, l->recipe_digest, sizeof in.recipe_digest);
    in.recipe = recipe;
    in.pair_document = pair;
    in.spec = spec;
    if (code == SM_OK)
        code = sm_store_audit_create(l->store, &in, err);
    json_decref(recipe);
    json_decref(pair);
    json_decref(spec);
    return code;
}

static enum sm_code take_manifest(struct sm_ingest *ingest, const struct sm_cmd_audit_plan *plan,
                                  struct sm_err *err)
{
    enum sm_code code = sm_cmd_audit_keep_manifest(plan, err);
    if (code != SM_OK)
        return code;
    char *path = sm_cmd_audit_path(plan->out, SM_AUDIT_MANIFEST);
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;

    code = fd < 0 ? sm_err_set(err, SM_IO, "%.160s/" SM_AUDIT_MANIFEST ": %s", plan->out,
                               strerror(errno))
                  : sm_ingest_manifest(ingest, plan->root, fd, err);
    if (fd >= 0)
        close(fd);
    free(path);
    return code;
}

/* Ingests the dataset of `cohort`, or the manifest if it is -1. */
static enum sm_code take(struct local *l, int cohort, struct sm_err *err)
{
    const struct sm_cmd_audit_plan *plan = l->plan;
    const char *what = cohort < 0 ? plan->manifest : plan->folders[cohort];
    struct sm_ingest_params params = {.store = l->store,
                                      .audit = &l->id,
                                      .items_max = SM_INGEST_ENTRIES_MAX,
                                      .shard = plan->shard,
                                      .pair = l->pair,
                                      .recipe = &l->recipe,
                                      .stop = &sm_stop_asked};
    struct sm_ingest *ingest;
    struct sm_err last = {0};
    json_t *report = NULL;
    enum sm_code code = sm_ingest_new(&ingest, &params, err);
    if (code != SM_OK)
        return code;
    code = cohort < 0 ? take_manifest(ingest, plan, err)
                      : sm_cmd_audit_take_data(ingest, what, cohort, err);
    enum sm_code finished = sm_ingest_finish(&report, ingest, code == SM_OK ? err : &last);
    sm_ingest_free(ingest);
    if (code == SM_OK)
        code = finished;
    if (code == SM_OK) {
        sm_cmd_audit_say_taken(plan, what, report);
        code = sm_cmd_audit_check_taken(what, report, err);
    }
    json_decref(report);
    return code;
}

static enum sm_code begin(struct local *l, struct sm_err *err)
{
    enum sm_code code = sm_cmd_audit_drop_unstarted(l->plan->out, l->store, err);
    if (code == SM_OK)
        code = create(l, err);
    for (int i = 0; i < SM_COHORTS && code == SM_OK; i++)
        if (l->plan->folders[i])
            code = take(l, i, err);
    if (code == SM_OK && l->plan->manifest)
        code = take(l, -1, err);
    if (code == SM_OK)
        code =
            sm_cmd_audit_state_write(l->plan->out, SM_AUDIT_STATE, l->id.id, l->inputs, NULL, err);
    return code;
}

/* --- to its end --- */

/* Fails when the database could not be written for UNHEALTHY_MS. The audit's state cannot show
 * that, because pausing it would be a write to the same database. */
static enum sm_code check_store(int64_t *healthy_ms, const struct local *l, struct sm_err *err)
{
    int64_t now_ms = sm_clock_monotonic_ms();
    if (sm_store_check(l->store, NULL) == SM_OK)
        *healthy_ms = now_ms;
    if (now_ms - *healthy_ms < UNHEALTHY_MS)
        return SM_OK;
    return sm_err_set(
        err, SM_IO,
        "%.100s/audit.db cannot be written, audit.log says why; the same command goes "
        "on from here",
        l->plan->out);
}

/* Reads the audit again into *audit and *head. */
static enum sm_code look(json_t **audit, struct sm_audit_head *head, const struct local *l,
                         struct sm_err *err)
{
    json_decref(*audit);
    return sm_store_audit(audit, head, l->store, &l->id, err);
}

/* Shows progress until the audit no longer runs; *audit and *head are its last state. */
static enum sm_code watch(json_t **audit, struct sm_audit_head *head, struct local *l,
                          struct sm_err *err)
{
    struct sm_progress progress;
    int64_t healthy_ms = sm_clock_monotonic_ms();
    enum sm_code code = SM_OK;
    sm_progress_init(&progress, l->plan->quiet);
    while (code == SM_OK) {
        code = look(audit, head, l, err);
        progress.others_count = sm_cmd_audit_others_count(*audit);
        if (code == SM_OK)
            sm_progress_show(&progress, *audit);
        if (code == SM_OK && head->state != SM_STATE_RUNNING)
            break;
        if (code == SM_OK)
            code = check_store(&healthy_ms, l, err);
        if (code == SM_OK)
            code = sm_stop_wait(LOOK_MS, err);
    }
    sm_progress_end(&progress);
    return code;
}

/* Announces long work before it begins. The command line has no limit of cost. */
static void say_cost(const struct local *l, const struct sm_audit_head *head)
{
    int64_t left_ms = head->cost_ms - head->done_cost_ms;
    if (!l->plan->quiet && left_ms >= SM_COST_SAID_MS)
        fprintf(stderr, "the images cost about %lld minutes of a reference core, on %d workers\n",
                (long long)(left_ms / 60000), (int)l->plan->workers);
}

/* Starts or resumes the audit and runs workers until it ends. Returns at once if it has ended. */
static enum sm_code run(json_t **audit, struct local *l, struct sm_err *err)
{
    struct sm_jobs *jobs = NULL;
    struct sm_jobs_params params = {
        .store = l->store, .pairs = l->pairs, .workers = (int)l->plan->workers, .queue_max = 1};
    struct sm_audit_head head;
    enum sm_code code = look(audit, &head, l, err);
    if (code != SM_OK)
        return code;
    say_cost(l, &head);
    if (head.state == SM_STATE_OPEN)
        code = sm_store_audit_move(l->store, &l->id, SM_AUDIT_START, NULL, err);
    else if (head.state == SM_STATE_PAUSED)
        code = sm_store_audit_move(l->store, &l->id, SM_AUDIT_RESUME, NULL, err);
    else if (head.state != SM_STATE_RUNNING)
        return SM_OK;
    if (code == SM_OK)
        code = sm_jobs_start(&jobs, &params, err);
    if (code == SM_OK)
        code = watch(audit, &head, l, err);
    if (jobs) {
        sm_jobs_stop(jobs);
        json_t *last = NULL; /* read again: workers finished items after watch() ended */
        if (sm_store_audit(&last, &head, l->store, &l->id, NULL) == SM_OK) {
            json_decref(*audit);
            *audit = last;
        }
    }
    if (code == SM_OK && head.state == SM_STATE_PAUSED)
        code = sm_err_set(err, SM_IO, "results cannot be written: %.160s",
                          json_string_value(json_object_get(*audit, "reason")));
    return code;
}

/* --- reports --- */

struct reports {
    struct sm_store *store;
    const struct sm_audit_id *id;
    const struct sm_audit *audit;
    const struct sm_audit_result *result;
};

static enum sm_code write_json(FILE *file, void *arg, struct sm_err *err)
{
    const struct reports *r = arg;
    return sm_audit_write_json(file, r->audit, r->result, err);
}

static enum sm_code write_csv(FILE *file, void *arg, struct sm_err *err)
{
    const struct reports *r = arg;
    return sm_audit_write_csv(file, r->audit, r->result, err);
}

static void *read_thumbnail(void *arg, const struct sm_audit_item *item, size_t *bytes_count)
{
    const struct reports *r = arg;
    return sm_store_audit_thumbnail(r->store, r->id, item->index, bytes_count);
}

/* Thumbnails reveal as much as file names, so the page has them only if it has names. */
static enum sm_code write_html(FILE *file, void *arg, struct sm_err *err)
{
    const struct reports *r = arg;
    return sm_audit_write_html(file, r->audit, r->result,
                               r->audit->with_names ? read_thumbnail : NULL, arg, err);
}

enum sm_code sm_cmd_audit_write_reports(const char *out, struct sm_store *store,
                                        const struct sm_audit_id *id, const struct sm_audit *audit,
                                        const struct sm_audit_result *result, struct sm_err *err)
{
    struct reports r = {store, id, audit, result};
    enum sm_code code = sm_cmd_audit_write(out, "report.json", write_json, &r, err);
    if (code == SM_OK)
        code = sm_cmd_audit_write(out, "report.csv", write_csv, &r, err);
    if (code == SM_OK)
        code = sm_cmd_audit_write(out, "report.html", write_html, &r, err);
    return code;
}

/* Keeps the options that the reports print for running the audit again in audit.json. */
static enum sm_code keep_places(struct sm_cmd_audit_places *places,
                                const struct sm_cmd_audit_made *made, struct sm_err *err)
{
    enum sm_code code = sm_cmd_audit_places_make(places, made->plan, err);
    if (code != SM_OK)
        return code;
    json_t *again = sm_cmd_audit_places_json(places);
    code = sm_cmd_audit_state_write(made->plan->out, SM_AUDIT_STATE, made->id.id, made->inputs,
                                    again, err);
    json_decref(again);
    return code;
}

/* Sets the options that the reports print, and writes the files that those options name. */
static enum sm_code write_again(struct sm_cmd_audit_places *places, struct sm_audit *audit,
                                const struct sm_cmd_audit_made *made, struct sm_err *err)
{
    enum sm_code code = keep_places(places, made, err);
    audit->places = places->options;
    if (code == SM_OK)
        code = sm_cmd_audit_write_recipe(made->plan->out, audit->recipe, err);
    if (code == SM_OK && !made->plan->manifest)
        code = sm_cmd_audit_list_images(made->plan, audit, err);
    return code;
}

enum sm_code sm_cmd_audit_report(json_t **summary, const struct sm_cmd_audit_made *made,
                                 struct sm_err *err)
{
    struct sm_store_audit_record record;
    struct sm_cmd_audit_places places = {0};
    struct sm_audit_result *result = NULL;
    enum sm_code code = sm_store_audit_record(&record, made->store, &made->id, err);
    if (code != SM_OK)
        return code;
    record.audit.with_names = made->plan->names;
    code = sm_audit_evaluate(&result, &record.audit, err);
    if (code == SM_OK)
        code = write_again(&places, &record.audit, made, err);
    if (code == SM_OK)
        code = sm_cmd_audit_write_reports(made->plan->out, made->store, &made->id, &record.audit,
                                          result, err);
    if (code == SM_OK)
        *summary = json_incref((json_t *)(uintptr_t)sm_audit_result_json(result));
    sm_cmd_audit_places_release(&places);
    sm_audit_result_free(result);
    sm_store_audit_record_release(&record);
    return code;
}

/* A shard has no report of its own. It keeps the places for the merge, also if it is stopped. */
static enum sm_code run_and_report(json_t **summary, json_t **audit, struct local *l,
                                   struct sm_err *err)
{
    struct sm_cmd_audit_made made = {l->plan, l->store, l->id, l->inputs};
    struct sm_cmd_audit_places places = {0};
    bool is_shard = l->plan->shard.count > 0;
    enum sm_code code = is_shard ? keep_places(&places, &made, err) : SM_OK;
    sm_cmd_audit_places_release(&places);
    if (code == SM_OK)
        code = run(audit, l, err);
    if (code == SM_OK && !is_shard)
        code = sm_cmd_audit_report(summary, &made, err);
    return code;
}

enum sm_code sm_cmd_audit_local(json_t **summary, json_t **audit,
                                const struct sm_cmd_audit_plan *plan, struct sm_err *err)
{
    struct local l = {.plan = plan, .id.tenant = SM_TENANT_DEFAULT};
    enum sm_code code = sm_cmd_audit_claim_out(plan->out, err);
    if (code == SM_OK)
        code = sm_cmd_audit_log_to(plan->out, err);
    if (code == SM_OK)
        code = open_pair(&l, err);
    if (code == SM_OK)
        code = add_inputs(&l, err);
    if (code == SM_OK)
        code = sm_cmd_audit_state_read(l.id.id, NULL, plan->out, SM_AUDIT_STATE, l.inputs, err);
    if (code == SM_OK)
        code = open_store(&l, err);
    if (code == SM_OK && l.id.id[0] == '\0')
        code = begin(&l, err);
    else if (code == SM_OK && !plan->quiet)
        fprintf(stderr,
                "%s holds this audit: its images are not read again; if they changed, give "
                "another --out\n",
                sm_shown(plan->out));
    if (code == SM_OK)
        code = run_and_report(summary, audit, &l, err);
    if (l.store)
        sm_store_close(l.store);
    json_decref(l.inputs);
    sm_generation_give(l.generation);
    sm_pairs_free(l.pairs);
    return code;
}
