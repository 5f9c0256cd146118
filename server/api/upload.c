/* Every check of an upload that needs no decoding.
 *
 * If the only image is not an image, the request is refused. Among several, such a file becomes a
 * failed item of the job, and the others are scored. The bytes decide what a file is; the media
 * type of a part is ignored, because clients guess it from the file name. */
#include "server/api/upload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/json.h"
#include "core/base/kind.h"
#include "core/base/sha256.h"
#include "server/http/reply.h"
#include "server/ingest/ingest.h"

static void add_image(struct sm_upload *upload, const char *name, const void *bytes,
                      size_t bytes_count)
{
    struct sm_item_in *item = &upload->items[upload->items_count++];
    item->name = name;
    item->bytes = bytes;
    item->bytes_count = bytes_count;
    sm_sha256_hex(item->image_digest, bytes, bytes_count);
}

/* Checks that the only image of a request is an image; false after a reply. */
static bool check_single(struct sm_request *request, const void *bytes, size_t bytes_count)
{
    if (bytes_count == 0)
        sm_reply_problem(request, SM_PROBLEM_BODY_EMPTY, "the image has 0 bytes");
    else if (!sm_image_sniff(bytes, bytes_count))
        sm_api_reply_no_image(request, bytes, bytes_count);
    return bytes_count > 0 && sm_image_sniff(bytes, bytes_count);
}

static bool read_recipe(struct sm_upload *upload, struct sm_request *request,
                        const struct sm_pair *pair, const struct sm_part *part)
{
    struct sm_recipe recipe;
    struct sm_err err = {0};
    json_t *node = NULL;
    enum sm_code code = sm_json_parse(&node, part->bytes, part->bytes_count, SM_RECIPE_BYTES_MAX,
                                      SM_RECIPE_DEPTH_MAX, &err);
    if (code == SM_OK)
        code =
            sm_recipe_parse(&recipe, node, sm_pair_recipe(pair), sm_pair_input_px(pair), "", &err);
    if (code == SM_OK)
        code = sm_pair_check_recipe(pair, &recipe, &err);
    json_decref(node);
    if (code == SM_OK)
        upload->recipe = recipe;
    else if (code == SM_NOMEM || code == SM_INTERNAL)
        sm_reply_failure(request, &err);
    else
        sm_reply_field_problem(request, SM_PROBLEM_RECIPE_INVALID, &err);
    return code == SM_OK;
}

/* Makes a file name fit for JSON: if it is not UTF-8, other than ASCII is replaced. */
static void make_utf8(char *text)
{
    json_t *node = json_string(text);
    if (!node)
        sm_make_ascii(text);
    json_decref(node);
}

void sm_api_reply_no_image(struct sm_request *request, const void *bytes, size_t bytes_count)
{
    const char *archive = sm_ingest_sniff(bytes, bytes_count);
    struct sm_kind kind;
    if (!archive && sm_kind_find(&kind, bytes, bytes_count, NULL, SM_WANTED_IMAGE))
        sm_reply_problem(request, SM_PROBLEM_IMAGE_UNRECOGNISED, "%s: %s", kind.name, kind.advice);
    else if (!archive)
        sm_reply_problem(request, SM_PROBLEM_IMAGE_UNRECOGNISED, SM_INGEST_NO_IMAGE("of %zu "),
                         bytes_count);
    else
        sm_reply_problem(
            request, SM_PROBLEM_IMAGE_UNRECOGNISED,
            "the first of %zu bytes are those of a %s archive: archives go to "
            "/v1/audits/{id}/images, as application/octet-stream or under their own type",
            bytes_count, archive);
}

bool sm_upload_split(struct sm_part *parts, int *parts_count, int parts_max,
                     struct sm_request *request, const char *allowed)
{
    char boundary[SM_BOUNDARY_BYTES];
    struct sm_err err = {0};
    const char *type = sm_request_header(request, "Content-Type");
    if (!sm_header_param(boundary, sizeof boundary, type, "boundary")) {
        sm_reply_problem(request, SM_PROBLEM_MULTIPART_INVALID,
                         "Content-Type has no boundary of 1 to %d characters",
                         SM_BOUNDARY_BYTES - 1);
        return false;
    }
    enum sm_code code = sm_multipart_split(parts, parts_count, parts_max, request->body.bytes,
                                           request->body.bytes_count, boundary, &err);
    if (code == SM_LIMIT)
        sm_reply_problem(request, SM_PROBLEM_IMAGES_LIMIT, "%s; the limit is %s", err.text,
                         allowed);
    else if (code != SM_OK)
        sm_reply_problem(request, SM_PROBLEM_MULTIPART_INVALID, "%s", err.text);
    return code == SM_OK;
}

/* Adds one part to the upload, as an image or as the recipe; false after a reply. */
static bool take_part(struct sm_upload *upload, bool *has_recipe, struct sm_part *part,
                      struct sm_request *request, const struct sm_pair *pair, int64_t images_max)
{
    if (strcmp(part->name, "image") == 0 && upload->items_count < images_max) {
        make_utf8(part->filename);
        add_image(upload, part->filename, part->bytes, part->bytes_count);
        return true;
    }
    if (strcmp(part->name, "recipe") == 0 && !*has_recipe) {
        *has_recipe = true;
        return read_recipe(upload, request, pair, part);
    }
    if (strcmp(part->name, "image") == 0)
        sm_reply_problem(request, SM_PROBLEM_IMAGES_LIMIT, "more than %lld images",
                         (long long)images_max);
    else
        sm_reply_problem(request, SM_PROBLEM_PART_UNKNOWN,
                         "part '%s' %s: parts are 'image', and at most one 'recipe'", part->name,
                         *has_recipe ? "is unknown or repeated" : "is unknown");
    return false;
}

static bool read_multipart(struct sm_upload *upload, struct sm_request *request,
                           const struct sm_pair *pair, int64_t images_max)
{
    int parts_count;
    bool has_recipe = false;
    char allowed[64];
    snprintf(allowed, sizeof allowed, "%lld images and one recipe", (long long)images_max);
    if (!sm_upload_split(upload->parts, &parts_count, (int)images_max + 1, request, allowed))
        return false;
    for (int i = 0; i < parts_count; i++)
        if (!take_part(upload, &has_recipe, &upload->parts[i], request, pair, images_max))
            return false;
    if (upload->items_count == 0)
        sm_reply_problem(request, SM_PROBLEM_IMAGES_MISSING, "%d parts, none named 'image'",
                         parts_count);
    return upload->items_count > 0;
}

bool sm_upload_read(struct sm_upload *out, struct sm_request *request, const struct sm_pair *pair,
                    int64_t images_max)
{
    const struct sm_body *body = &request->body;
    bool multipart = strcmp(request->media_type, "multipart/form-data") == 0;
    struct sm_err err = {0};
    *out = (struct sm_upload){.recipe = *sm_pair_recipe(pair)};
    if (body->bytes_count == 0) {
        sm_reply_problem(request, SM_PROBLEM_BODY_EMPTY, "the body has 0 bytes");
        return false;
    }
    out->items = calloc(multipart ? (size_t)images_max : 1, sizeof *out->items);
    if (multipart)
        out->parts = calloc((size_t)images_max + 1, sizeof *out->parts);
    if (!out->items || (multipart && !out->parts)) {
        sm_err_set(&err, SM_NOMEM, "no memory for %lld parts", (long long)images_max);
        sm_reply_failure(request, &err);
        goto fail;
    }
    if (!multipart)
        add_image(out, "", body->bytes, body->bytes_count);
    else if (!read_multipart(out, request, pair, images_max))
        goto fail;
    if (out->items_count == 1 &&
        !check_single(request, out->items[0].bytes, out->items[0].bytes_count))
        goto fail;
    if (sm_recipe_digest(out->recipe_digest, &out->recipe, &err) == SM_OK)
        return true;
    sm_reply_failure(request, &err);

fail:
    sm_upload_release(out);
    return false;
}

void sm_upload_release(struct sm_upload *upload)
{
    free(upload->items);
    free(upload->parts);
    *upload = (struct sm_upload){0};
}
