/* POST /v1/audits/{id}/images and /manifest: all uploads of images into an audit.
 *
 *     headers    audit exists and is open, cohort, data root     400 403 404 409, before the body
 *     body       one image and multipart in memory, archives and manifests in a file
 *     call       server/ingest on a thread of the crew `uploads`
 *     answer     images added, and those skipped with reasons    200 after the commits; 422 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/file.h"
#include "server/api/handlers.h"
#include "server/api/upload.h"
#include "server/base/log.h"
#include "server/ingest/ingest.h"
#include "sslmem/cost.h"

#define MULTIPART "multipart/form-data"

struct intake {
    struct sm_call call;
    struct sm_api *api;
    const struct sm_body *body;
    struct sm_caller caller;
    struct sm_audit_id audit;
    struct sm_ingest_labels labels;
    enum sm_code (*take)(struct intake *intake, struct sm_ingest *ingest, struct sm_err *err);
    enum sm_problem invalid, limit; /* answers to a bad body, and to one over a limit */
    struct sm_part *parts;          /* of a multipart body */
    int parts_count;
    json_t *folders;                  /* of a manifest that names folders */
    struct sm_generation *generation; /* of the audit's pair; NULL: not loaded */
    struct sm_recipe recipe;          /* the audit's */
    json_t *report;
};

static void intake_free(struct sm_call *call)
{
    struct intake *x = (struct intake *)call;
    free(x->parts);
    json_decref(x->folders);
    json_decref(x->report);
    sm_generation_give(x->generation);
    free(x);
}

/* --- bodies --- */

static enum sm_code take_image(struct intake *x, struct sm_ingest *ingest, struct sm_err *err)
{
    return sm_ingest_image(ingest, &x->labels, x->body->bytes, x->body->bytes_count, err);
}

/* Reads at most one byte over the limit, which is enough to refuse the image. */
static enum sm_code take_spooled_image(struct intake *x, struct sm_ingest *ingest,
                                       struct sm_err *err)
{
    size_t count = x->body->bytes_count;
    size_t wanted = count > SM_IMAGE_BYTES_MAX ? (size_t)SM_IMAGE_BYTES_MAX + 1 : count;
    uint8_t *bytes = malloc(wanted);
    enum sm_code code = SM_OK;
    if (!bytes)
        return sm_err_set(err, SM_NOMEM, "no memory for an image of %zu bytes", wanted);
    if (lseek(x->body->fd, 0, SEEK_SET) != 0 ||
        sm_file_read(x->body->fd, bytes, wanted) != (ssize_t)wanted)
        code = sm_err_set(err, SM_IO, "the body cannot be read from its start");
    if (code == SM_OK)
        code = sm_ingest_image(ingest, &x->labels, bytes, wanted, err);
    free(bytes);
    return code;
}

static enum sm_code take_parts(struct intake *x, struct sm_ingest *ingest, struct sm_err *err)
{
    enum sm_code code = SM_OK;
    for (int i = 0; i < x->parts_count && code == SM_OK; i++) {
        x->labels.name = x->parts[i].filename;
        code = sm_ingest_image(ingest, &x->labels, x->parts[i].bytes, x->parts[i].bytes_count, err);
    }
    return code;
}

static enum sm_code take_archive(struct intake *x, struct sm_ingest *ingest, struct sm_err *err)
{
    return sm_ingest_archive(ingest, x->body->fd, &x->labels, err);
}

static enum sm_code take_manifest(struct intake *x, struct sm_ingest *ingest, struct sm_err *err)
{
    return sm_ingest_manifest(ingest, x->api->config->data_root, x->body->fd, err);
}

static enum sm_code take_folders(struct intake *x, struct sm_ingest *ingest, struct sm_err *err)
{
    enum sm_code code = SM_OK;
    for (int i = 0; i < SM_COHORTS && code == SM_OK; i++) {
        const json_t *folder = json_object_get(x->folders, sm_cohort_name((enum sm_cohort)i));
        x->labels.cohort = i;
        if (folder)
            code = sm_ingest_folder(ingest, x->api->config->data_root, json_string_value(folder),
                                    &x->labels, err);
    }
    return code;
}

/* --- the call --- */

/* Reads pair and recipe of the audit, to compute costs. When the pair is not loaded, or no longer
 * fits the recipe, images are weighed when they are decoded. */
static enum sm_code read_scoring(struct intake *x, struct sm_err *err)
{
    struct sm_store_audit_scoring scoring;
    const struct sm_pair *pair;
    enum sm_code code = sm_store_audit_scoring(&scoring, x->api->store, &x->audit, err);
    if (code != SM_OK || sm_pairs_take(&x->generation, x->api->pairs, scoring.pair, NULL) != SM_OK)
        x->generation = NULL;
    if (x->generation) {
        pair = sm_generation_pair(x->generation);
        if (sm_recipe_parse(&x->recipe, scoring.recipe, NULL, sm_pair_input_px(pair), "", NULL) !=
                SM_OK ||
            sm_pair_check_recipe(pair, &x->recipe, NULL) != SM_OK) {
            sm_generation_give(x->generation);
            x->generation = NULL;
        }
    }
    json_decref(scoring.recipe);
    return code;
}

/* A single image over the cost limit is refused; among several it becomes a failed item. */
static enum sm_code weigh_single(struct intake *x, struct sm_err *err)
{
    int64_t max_ms = x->api->config->item_cost_ms_max, cost_ms;
    int32_t width_px, height_px;
    if (x->take != take_image || !x->generation)
        return SM_OK;
    sm_image_declared_size(&width_px, &height_px, x->body->bytes, x->body->bytes_count);
    cost_ms = sm_cost_ms(sm_generation_pair(x->generation), &x->recipe, width_px, height_px);
    if (cost_ms <= max_ms)
        return SM_OK;
    x->limit = SM_PROBLEM_RECIPE_TOO_COSTLY;
    return sm_err_set(err, SM_LIMIT,
                      "the image of %dx%d pixels costs %lld ms with the audit's recipe, "
                      "item_cost_ms_max is %lld",
                      (int)width_px, (int)height_px, (long long)cost_ms, (long long)max_ms);
}

static enum sm_code work(struct sm_call *call, struct sm_err *err)
{
    struct intake *x = (struct intake *)call;
    struct sm_ingest *ingest;
    struct sm_err last = {0};
    struct sm_ingest_params params = {.store = x->api->store,
                                      .audit = &x->audit,
                                      .items_max = x->api->config->audit_images_max,
                                      .item_cost_ms_max = x->api->config->item_cost_ms_max,
                                      .caller = &x->caller,
                                      .stop = &call->stop};
    enum sm_code code = read_scoring(x, err);
    if (code == SM_OK)
        code = weigh_single(x, err);
    if (code != SM_OK)
        return code;
    params.pair = !x->generation ? NULL : sm_generation_pair(x->generation);
    params.recipe = &x->recipe;
    if ((code = sm_ingest_new(&ingest, &params, err)) != SM_OK)
        return code;
    code = x->take(x, ingest, err);
    enum sm_code finished = sm_ingest_finish(&x->report, ingest, code == SM_OK ? err : &last);
    sm_ingest_free(ingest);
    return code == SM_OK ? finished : code;
}

/* Says how many images an interrupted upload has added: sent again, it goes on from there. */
static void reply_broken(struct sm_request *request, const struct intake *x,
                         enum sm_problem problem)
{
    json_int_t added = json_integer_value(json_object_get(x->report, "added_count"));
    sm_reply_problem(request, problem, "%s; %lld images were added before", x->call.err.text,
                     (long long)added);
}

/* Logs which request added images, also for an interrupted upload. */
static void log_added(const struct sm_request *request, const struct intake *x)
{
    sm_log("info", "images_added", "{s:s, s:s, s:s*, s:I, s:I}", "audit", x->audit.id, "request",
           request->id, "trace", sm_api_trace(request), "added",
           json_integer_value(json_object_get(x->report, "added_count")), "skipped",
           json_integer_value(json_object_get(x->report, "skipped_count")));
}

/* Replies 422 when the audit has no image of the upload. A repeated upload consists of duplicates,
 * which the audit has, so it is answered with 200. */
static void reply_report(struct sm_request *request, json_t *report)
{
    char detail[SM_INGEST_NOTHING_BYTES];
    if (sm_ingest_took(report)) {
        sm_reply_json(request, 200, json_incref(report));
        return;
    }
    sm_ingest_say_nothing(detail, report);
    sm_make_ascii(detail);
    sm_reply_problem_with(request, SM_PROBLEM_NOTHING_ADDED, "report", json_incref(report), detail);
}

static void reply(struct sm_request *request, struct sm_call *call)
{
    struct intake *x = (struct intake *)call;
    if (x->report)
        log_added(request, x);

    switch (call->code) {
    case SM_OK:
        reply_report(request, x->report);
        break;
    case SM_CORRUPT:
    case SM_INVALID:
        reply_broken(request, x, x->invalid);
        break;
    case SM_LIMIT:
        reply_broken(request, x, x->limit);
        break;
    case SM_FULL:
        reply_broken(request, x, SM_PROBLEM_DISK_FULL);
        sm_reply_header(request, "Retry-After", "5");
        break;
    case SM_CANCELLED:
        sm_api_reply_refusal(request, &call->err);
        break;
    default:
        sm_api_reply_audit_failure(request, &call->err);
    }
}

/* --- images --- */

/* Returns whether images can be added; false after a reply. */
static bool check_open(struct sm_request *request)
{
    struct sm_audit_head head;
    if (!sm_api_audit_head(&head, request))
        return false;
    bool open = head.state == SM_STATE_OPEN;
    if (!open)
        sm_api_reply_audit_state(request, &head, "it must be open to take images");
    return open;
}

/* Returns whether the body goes to a file: an archive, a manifest, or bytes of unknown type. */
static bool is_spooled(const struct sm_request *request)
{
    return sm_media_type_in(request->route->spools, request->media_type);
}

static void reply_no_cohort(struct sm_request *request)
{
    sm_reply_problem(request, SM_PROBLEM_COHORT_INVALID,
                     "say which cohort: ?cohort=shared, candidate, independent or external");
}

/* Reads the cohort, which only archives may leave out (-1); false after a reply. */
static bool read_cohort(int *out, struct sm_request *request)
{
    if (sm_request_query(request, "cohort") || is_spooled(request))
        return sm_api_query_cohort(out, request);
    reply_no_cohort(request);
    return false;
}

void sm_api_post_images_admit(struct sm_request *request)
{
    static const char *const labels[] = {"name", "class", "group"};
    int cohort;
    for (size_t i = 0; i < sizeof labels / sizeof *labels; i++) {
        const char *text = sm_request_query(request, labels[i]);
        if (!text || strlen(text) <= SM_INGEST_LABEL_BYTES_MAX)
            continue;
        sm_reply_problem(request, SM_PROBLEM_QUERY_INVALID, "%s has %zu bytes, the limit is %d",
                         labels[i], strlen(text), SM_INGEST_LABEL_BYTES_MAX);
        return;
    }
    if (read_cohort(&cohort, request) && check_open(request))
        sm_api_store_takes(request);
}

/* Returns NULL after a reply, also to an empty body. */
static struct intake *intake_new(struct sm_request *request)
{
    struct intake *x = NULL;
    if (request->body.bytes_count == 0)
        sm_reply_problem(request, SM_PROBLEM_BODY_EMPTY, "the body has 0 bytes");
    else if (!(x = calloc(1, sizeof *x)))
        sm_reply_no_memory(request);
    if (!x)
        return NULL;
    x->call = (struct sm_call){.work = work, .reply = reply, .release = intake_free};
    x->api = sm_api_of(request);
    x->body = &request->body;
    x->caller = request->caller;
    x->limit = SM_PROBLEM_IMAGES_LIMIT;
    x->audit = sm_api_audit_id(request);
    return x;
}

/* Returns whether the body is an image; false after a reply. */
static bool check_image(struct sm_request *request)
{
    const struct sm_body *body = &request->body;
    const char *sniffed = sm_image_sniff(body->bytes, body->bytes_count);
    if (!sniffed)
        sm_api_reply_no_image(request, body->bytes, body->bytes_count);
    return sniffed != NULL;
}

/* Chooses between an archive and one image of unknown type; false after a reply. */
static bool check_spooled(struct intake *x, struct sm_request *request)
{
    uint8_t head[SM_INGEST_SNIFF_BYTES];
    ssize_t n = pread(x->body->fd, head, sizeof head, 0);
    x->take = take_archive;
    x->invalid = SM_PROBLEM_ARCHIVE_INVALID;
    x->limit = SM_PROBLEM_ARCHIVE_LIMIT;
    if (n <= 0 || !sm_image_sniff(head, (size_t)n))
        return true;
    x->take = take_spooled_image;
    if (x->labels.cohort < 0)
        reply_no_cohort(request);
    return x->labels.cohort >= 0;
}

/* Splits a multipart body, whose parts must all be images; false after a reply. */
static bool read_parts(struct intake *x, struct sm_request *request)
{
    int64_t images_max = x->api->config->images_max;
    char allowed[64];
    snprintf(allowed, sizeof allowed, "%lld images", (long long)images_max);
    if (!(x->parts = calloc((size_t)images_max, sizeof *x->parts))) {
        sm_reply_no_memory(request);
        return false;
    }
    if (!sm_upload_split(x->parts, &x->parts_count, (int)images_max, request, allowed))
        return false;
    for (int i = 0; i < x->parts_count; i++)
        if (strcmp(x->parts[i].name, "image") != 0) {
            sm_reply_problem(request, SM_PROBLEM_PART_UNKNOWN,
                             "part '%s' is unknown: parts are 'image'", x->parts[i].name);
            return false;
        }
    if (x->parts_count == 0)
        sm_reply_problem(request, SM_PROBLEM_IMAGES_MISSING, "0 parts, none named 'image'");
    return x->parts_count > 0;
}

void sm_api_post_images(struct sm_request *request)
{
    struct intake *x = intake_new(request);
    bool good = true;
    if (!x)
        return;
    x->labels = (struct sm_ingest_labels){.name = sm_request_query(request, "name"),
                                          .class_label = sm_request_query(request, "class"),
                                          .group = sm_request_query(request, "group")};
    good = read_cohort(&x->labels.cohort, request);
    if (is_spooled(request)) {
        good = good && check_spooled(x, request);
    } else if (strcmp(request->media_type, MULTIPART) == 0) {
        x->take = take_parts;
        good = good && read_parts(x, request);
    } else {
        x->take = take_image;
        good = good && check_image(request);
    }
    if (good)
        sm_call_begin(&x->call, request, x->api->uploads);
    else
        intake_free(&x->call);
}

/* --- manifests --- */

void sm_api_post_manifest_admit(struct sm_request *request)
{
    if (sm_api_of(request)->config->data_root[0] == '\0')
        sm_reply_problem(request, SM_PROBLEM_DATA_ROOT_MISSING,
                         "files are taken below the folder of --data-root, which is not set");
    else if (check_open(request))
        sm_api_store_takes(request);
}

/* Checks one row of the object: a cohort and its folder. */
static enum sm_code check_folder(const char *key, const json_t *folder, struct sm_err *err)
{
    struct sm_err why;
    enum sm_cohort cohort;
    char pointer[64];
    snprintf(pointer, sizeof pointer, "/folders/%.40s", key);
    if (sm_cohort_parse(&cohort, key, &why) != SM_OK)
        return sm_err_field(err, pointer, "%s", why.text);
    if (json_string_length(folder) == 0)
        return sm_err_field(err, pointer, "a folder must be a text that is not empty");
    return SM_OK;
}

/* Takes a reference to {cohort: folder, …}. */
static enum sm_code parse_folders(void *out, const json_t *folders, struct sm_err *err)
{
    json_t *list = (json_t *)(uintptr_t)folders;
    enum sm_code code = SM_OK;
    if (json_object_size(list) == 0)
        code = sm_err_field(err, "/folders", "folders must be an object with 1 to 4 cohorts");
    for (void *at = json_object_iter(list); at && code == SM_OK;
         at = json_object_iter_next(list, at))
        code = check_folder(json_object_iter_key(at), json_object_iter_value(at), err);
    if (code == SM_OK)
        *(json_t **)out = json_incref(list);
    return code;
}

void sm_api_post_manifest(struct sm_request *request)
{
    struct intake *x = intake_new(request);
    bool good = true;
    if (!x)
        return;
    x->invalid = SM_PROBLEM_MANIFEST_INVALID;
    x->take = is_spooled(request) ? take_manifest : take_folders;
    if (x->take == take_folders)
        good = sm_api_read_member(&x->folders, request, "folders", SM_PROBLEM_MANIFEST_INVALID,
                                  parse_folders);
    if (good)
        sm_call_begin(&x->call, request, x->api->uploads);
    else
        intake_free(&x->call);
}
