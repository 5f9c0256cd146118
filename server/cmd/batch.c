/* The threads form a team (server/jobs/team.h), and the main thread is one of them. Each reads the
 * next image, scores it and puts the result into a ring; whoever completes the oldest result tells
 * it and those after it. A thread without an image helps with unfinished ones. */
#include "server/cmd/batch.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/escape.h"
#include "core/base/sha256.h"
#include "server/cmd/cmd.h"
#include "server/jobs/team.h"
#include "sslmem/cost.h"
#include "sslmem/dataset.h"

#define IDLE_MS 1000

struct slot {
    struct sm_batch_image image;
    char *name, *class_label;
    void *bytes;
    size_t bytes_count;
    struct sm_score *score;
    bool ready;
};

struct batch {
    const struct sm_batch_params *params;
    struct sm_team *team;
    pthread_mutex_t mutex;         /* guards all below */
    char **operand;                /* the next operand to open */
    const char *opened;            /* operand of `dataset` */
    struct sm_dataset_place place; /* its parts */
    struct sm_dataset *dataset;
    int64_t opened_count, passed_count; /* images and other files of the operands opened */
    size_t next, told;                  /* images taken, images told */
    bool read;                          /* no image is left, or the batch has failed */
    struct sm_err err;
    struct slot slots[SM_BATCH_WINDOW];
};

struct hand {
    struct batch *batch;
    struct sm_team_worker *worker;
    pthread_t thread;
};

/* --- reading --- */

static int64_t count_total(const struct batch *b)
{
    int64_t total = b->opened_count;
    for (char **operand = b->operand; *operand; operand++)
        total++;
    return total;
}

/* Copies the item, because the dataset keeps it only until the next. */
static enum sm_code copy_item(struct slot *out, const struct batch *b,
                              const struct sm_dataset_item *item, struct sm_err *err)
{
    bool good;
    if (item->path)
        good = (out->name = strdup(item->path));
    else
        good = asprintf(&out->name, "%s:%s", b->place.path, item->name) >= 0 || (out->name = NULL);
    good = good && (out->class_label = strdup(item->class_label ? item->class_label : ""));
    out->image.error = item->error;
    if (good && item->error.code == SM_OK && item->bytes_count > 0) {
        good = (out->bytes = malloc(item->bytes_count));
        if (good)
            memcpy(out->bytes, item->bytes, item->bytes_count);
        out->bytes_count = item->bytes_count;
    }
    return good ? SM_OK : sm_err_set(err, SM_NOMEM, "no memory for an image");
}

/* Fills the slot with an operand that gives no image, or no more. It counts as an image, because it
 * is meant to be one, unless it is a dataset without images. */
static enum sm_code fail_operand(struct slot *out, struct batch *b, const char *operand,
                                 const struct sm_err *why, struct sm_err *err)
{
    out->name = strdup(operand);
    out->class_label = strdup("");
    out->image.error = *why;
    out->image.ends_operand = true;
    out->image.is_operand = why->code == SM_INVALID;
    b->opened_count += !out->image.is_operand;
    return out->name && out->class_label ? SM_OK
                                         : sm_err_set(err, SM_NOMEM, "no memory for a name");
}

/* Reads the next image into the slot; *found is false after the last. An operand without images is
 * an error of that operand. */
static enum sm_code read_next(struct slot *out, bool *found, struct batch *b, struct sm_err *err)
{
    struct sm_err why = {0};
    struct sm_dataset_item item;
    *found = true;
    for (;;) {
        bool more = false;
        enum sm_code code = SM_OK;
        if (b->dataset)
            code = sm_dataset_next(&item, &more, b->dataset, &why);
        if (more && code == SM_OK)
            return copy_item(out, b, &item, err);
        sm_dataset_close(b->dataset);
        b->dataset = NULL;
        if (code != SM_OK)
            return fail_operand(out, b, b->opened, &why, err);
        if (!*b->operand) {
            *found = false;
            return SM_OK;
        }
        b->opened = *b->operand++;
        code = sm_dataset_place(&b->place, b->opened, &why);
        if (code == SM_OK)
            code = sm_dataset_open(&b->dataset, b->opened, &why);
        int64_t count = code == SM_OK ? sm_dataset_count(b->dataset) : 0;
        b->opened_count += count;
        b->passed_count += code == SM_OK ? sm_dataset_passed(b->dataset) : 0;
        if (code == SM_OK && count == 0)
            code = sm_err_set(&why, SM_INVALID,
                              "%.160s holds no images (JPEG, PNG): %" PRId64 " other files",
                              b->opened, sm_dataset_passed(b->dataset));
        if (code != SM_OK)
            return fail_operand(out, b, b->opened, &why, err);
    }
}

/* --- scoring --- */

/* Announces an image that takes long before it is scored. The command line has no limit of cost. */
static void say_cost(const struct batch *b, const struct slot *slot)
{
    int32_t width_px, height_px;
    const struct sm_batch_params *p = b->params;
    sm_image_declared_size(&width_px, &height_px, slot->bytes, slot->bytes_count);
    int64_t cost_ms = sm_cost_ms(sm_generation_pair(p->generation), p->recipe, width_px, height_px);
    if (cost_ms >= SM_COST_SAID_MS)
        fprintf(stderr,
                "sslmem %s: %s costs about %lld minutes of a reference core with this recipe\n",
                p->command, sm_shown(slot->name), (long long)(cost_ms / 60000));
}

static void score(struct slot *slot, struct hand *hand)
{
    struct batch *b = hand->batch;
    const struct sm_batch_params *p = b->params;
    struct sm_batch_image *image = &slot->image;
    if (image->error.code != SM_OK)
        return;
    sm_sha256_hex(image->digest, slot->bytes, slot->bytes_count);
    pthread_mutex_lock(&b->mutex);
    bool known = p->known && p->known(p->arg, image->digest);
    pthread_mutex_unlock(&b->mutex);
    if (known)
        return;
    say_cost(b, slot);
    slot->score = malloc(sizeof *slot->score);
    if (!slot->score)
        sm_err_set(&image->error, SM_NOMEM, "no memory for a score");
    else
        sm_team_score(slot->score, hand->worker,
                      &(struct sm_team_order){.generation = p->generation,
                                              .recipe = p->recipe,
                                              .bytes = {slot->bytes, slot->bytes_count}},
                      &image->error);
    image->score = image->error.code == SM_OK ? slot->score : NULL;
}

static void clear(struct slot *slot)
{
    free(slot->name);
    free(slot->class_label);
    free(slot->bytes);
    free(slot->score);
    *slot = (struct slot){0};
}

/* --- the threads --- */

/* Returns a slot with the next image, or NULL if none can be taken now. */
static struct slot *take(bool *done, struct batch *b)
{
    struct slot *slot = NULL;
    pthread_mutex_lock(&b->mutex);
    if (!b->read && b->next - b->told < SM_BATCH_WINDOW) {
        bool found;
        slot = &b->slots[b->next % SM_BATCH_WINDOW];
        enum sm_code code = read_next(slot, &found, b, &b->err);
        b->read = code != SM_OK || !found;
        if (b->read) {
            clear(slot);
            slot = NULL;
        } else {
            b->next++;
        }
    }
    *done = b->read && b->told == b->next;
    pthread_mutex_unlock(&b->mutex);
    return slot;
}

/* Marks the slot as ready, then tells all images up to the first that is not ready. */
static void complete(struct batch *b, struct slot *slot)
{
    const struct sm_batch_params *p = b->params;
    pthread_mutex_lock(&b->mutex);
    slot->ready = true;
    while (b->told < b->next && b->slots[b->told % SM_BATCH_WINDOW].ready) {
        struct slot *ready = &b->slots[b->told++ % SM_BATCH_WINDOW];
        ready->image.name = ready->name;
        ready->image.class_label = ready->class_label;
        ready->image.total = count_total(b);
        ready->image.passed = b->passed_count;
        if (b->err.code == SM_OK && p->tell(p->arg, &ready->image, &b->err) != SM_OK)
            b->read = true;
        clear(ready);
    }
    pthread_mutex_unlock(&b->mutex);
    sm_team_tell(b->team);
}

static void *work(void *arg)
{
    struct hand *hand = arg;
    struct batch *b = hand->batch;
    for (bool done = false; !done;) {
        uint64_t seen = sm_team_news(b->team);
        struct slot *slot = take(&done, b);
        if (slot) {
            score(slot, hand);
            complete(b, slot);
        } else if (done) {
            sm_team_tell(b->team); /* the others may have read `seen` before the last image */
        } else if (!sm_team_help(hand->worker)) {
            sm_team_wait(b->team, seen, IDLE_MS);
        }
    }
    return NULL;
}

/* Runs the batch on all hands, or on fewer if a thread cannot be started. */
static enum sm_code run(struct batch *b, struct hand *hands, size_t hands_count, struct sm_err *err)
{
    size_t ready = 0, running = 1;
    enum sm_code code = SM_OK;
    for (; code == SM_OK && ready < hands_count; ready += code == SM_OK) {
        hands[ready].batch = b;
        code = sm_team_join(&hands[ready].worker, b->team, err);
    }
    if (code == SM_OK) {
        while (running < hands_count &&
               pthread_create(&hands[running].thread, NULL, work, &hands[running]) == 0)
            running++;
        work(&hands[0]);
        while (running > 1)
            pthread_join(hands[--running].thread, NULL);
    }
    while (ready > 0)
        sm_team_leave(hands[--ready].worker);
    if (code == SM_OK && b->err.code != SM_OK)
        *err = b->err;
    return code == SM_OK ? b->err.code : code;
}

enum sm_code sm_batch_run(const struct sm_batch_params *params, struct sm_err *err)
{
    struct batch *b = calloc(1, sizeof *b);
    struct hand *hands = calloc(params->workers, sizeof *hands);
    if (!b || !hands) {
        free(b);
        free(hands);
        return sm_err_set(err, SM_NOMEM, "no memory for %zu threads", params->workers);
    }
    b->params = params;
    b->operand = params->operands;
    pthread_mutex_init(&b->mutex, NULL);
    enum sm_code code = sm_team_new(&b->team, NULL, err);
    if (code == SM_OK)
        code = run(b, hands, params->workers, err);
    for (size_t i = 0; i < SM_BATCH_WINDOW; i++)
        clear(&b->slots[i]);
    sm_dataset_close(b->dataset);
    sm_team_free(b->team);
    pthread_mutex_destroy(&b->mutex);
    free(hands);
    free(b);
    return code;
}

void sm_batch_say_passed(const char *command, int64_t passed)
{
    bool one = passed == 1;
    if (passed > 0)
        fprintf(stderr, "sslmem %s: %" PRId64 " file%s passed over\n", command, passed,
                one ? " that is a link or no image was" : "s that are links or no images were");
}
