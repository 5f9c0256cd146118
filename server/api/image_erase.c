/* DELETE /v1/images/{digest}: a call of the crew `writes`, because it waits for a commit and may
 * rewrite the whole database file. */
#include <stdio.h>
#include <stdlib.h>

#include "server/api/handlers.h"
#include "server/store/erase.h"

struct removal {
    struct sm_call call;
    struct sm_jobs *jobs;
    char digest[SM_CAPTURE_BYTES];
    struct sm_erasure image;
    bool rewritten;
};

static void removal_free(struct sm_call *call)
{
    free(call);
}

static enum sm_code work(struct sm_call *call, struct sm_err *err)
{
    struct removal *r = (struct removal *)call;
    r->image.digest = r->digest;
    return sm_jobs_erase(&r->image, &r->rewritten, r->jobs, err);
}

static void reply(struct sm_request *request, struct sm_call *call)
{
    const struct removal *r = (const struct removal *)call;
    const struct sm_erasure *image = &r->image;
    if (call->code == SM_INVALID)
        sm_reply_problem(request, SM_PROBLEM_IMAGE_DIGEST_INVALID, "%s", call->err.text);
    else if (call->code != SM_OK)
        sm_reply_failure(request, &call->err);
    else
        sm_reply_json(request, 200,
                      json_pack("{s:s, s:I, s:I, s:I, s:I, s:b}", "image", image->digest,
                                "scores_count", (json_int_t)image->scores_count, "items_count",
                                (json_int_t)image->items_count, "images_count",
                                (json_int_t)image->images_count, "thumbnails_count",
                                (json_int_t)image->thumbnails_count, "rewritten", r->rewritten));
}

void sm_api_delete_image(struct sm_request *request)
{
    struct removal *r = calloc(1, sizeof *r);
    if (!r) {
        sm_reply_no_memory(request);
        return;
    }
    r->call = (struct sm_call){.work = work, .reply = reply, .release = removal_free};
    r->jobs = sm_api_of(request)->jobs;
    snprintf(r->digest, sizeof r->digest, "%s", request->capture);
    sm_call_begin(&r->call, request, sm_api_of(request)->writes);
}
